//! Session stores: `<state>/agents/<agent>/sessions/sessions.json`, an object of session entries by key, or where
//! `session.store` puts it. Facts from OpenClaw 2026.3.13.
//!
//! Rule: an entry names files, but a path is built here alone, from the store's own folder and a checked name. Nothing
//! outside of that folder can be read by way of an entry.
//!
//! OpenClaw 2026.9 moves the entries of an agent to `<state>/agents/<agent>/agent/openclaw-agent.sqlite` and renames
//! the old file. Where that was done, only the runtime can read them, and we say so instead of showing none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::OpenClaw;
use crate::gateway::io::{FileError, Files};
use crate::limits;

use super::answer::{Unreadable, parse};
use super::keys::{self, Keys};

/// One store, read.
#[derive(Debug)]
pub(super) struct Store {
    /// The file, whether it exists or not.
    pub(super) path: PathBuf,
    /// The agent whose sessions have keys without an agent in this file.
    pub(super) agent: String,
    /// The entries by key; each is an object.
    pub(super) entries: Map<String, Value>,
}

/// Stores that are read once, however many agents or sessions ask for them.
pub(super) struct Stores<'a> {
    openclaw: &'a OpenClaw,
    files: &'a dyn Files,
    read: BTreeMap<PathBuf, Result<Store, Unreadable>>,
}

/// A session found in a store.
#[derive(Debug)]
pub(super) struct Found {
    /// The full key.
    pub(super) key: String,
    /// The agent it belongs to.
    pub(super) agent: String,
    /// The folder of the store.
    pub(super) folder: PathBuf,
    /// The entry; `Value::Null` if there is none.
    pub(super) entry: Value,
}

impl Store {
    /// The folder that holds the store and its transcripts.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The entries that `health` and `status` count: those of people.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.entries.iter().filter(|(key, _)| *key != keys::GLOBAL && *key != keys::UNKNOWN)
    }

    /// The session with a canonical key, with or without an entry. `said` is the key as the caller wrote it.
    fn find(&self, names: &Keys, key: String, said: &str) -> Found {
        let agent = names.agent_of(&key);
        let mut candidates = vec![key.clone(), said.trim().to_lowercase()];
        // Old stores have keys without the agent: those of the store's own.
        if let Some((_, rest)) = keys::split(&key).filter(|_| agent == self.agent) {
            candidates.push(rest.to_owned());
        }
        let in_any_case = || {
            self.entries
                .iter()
                .find(|(key, _)| candidates.contains(&key.to_lowercase()))
                .map(|(_, entry)| entry)
        };
        let entry = candidates.iter().find_map(|name| self.entries.get(name)).or_else(in_any_case);
        Found { key, agent, folder: self.folder().to_path_buf(), entry: entry.cloned().unwrap_or_default() }
    }
}

impl<'a> Stores<'a> {
    /// None is read yet.
    pub(super) fn new(openclaw: &'a OpenClaw, files: &'a dyn Files) -> Self {
        Self { openclaw, files, read: BTreeMap::new() }
    }

    /// The store of one agent.
    pub(super) fn of_agent(&mut self, agent: &str) -> &Result<Store, Unreadable> {
        let read = || of_agent(self.openclaw, self.files, agent);
        self.read.entry(self.openclaw.session_store(agent)).or_insert_with(read)
    }

    /// The file of an agent's store.
    pub(super) fn path_of(&self, agent: &str) -> PathBuf {
        self.openclaw.session_store(agent)
    }

    /// The session that a caller means by `key`, with or without an entry.
    pub(super) fn find(&mut self, key: &str) -> Result<Found, Unreadable> {
        let names = Keys::of(self.openclaw);
        let canonical = names.canonical(key);
        let store = self.of_agent(&names.agent_of(&canonical)).as_ref().map_err(Clone::clone)?;
        Ok(store.find(&names, canonical, key))
    }
}

impl Found {
    /// `sessionId`, if the session has begun.
    pub(super) fn session_id(&self) -> Option<&str> {
        text(&self.entry, "sessionId")
    }

    /// Where the transcript may be, the most likely place first.
    pub(super) fn transcripts(&self) -> Vec<PathBuf> {
        transcripts(&self.folder, &self.entry)
    }
}

/// The store of one agent.
pub(super) fn of_agent(openclaw: &OpenClaw, files: &dyn Files, agent: &str) -> Result<Store, Unreadable> {
    let path = openclaw.session_store(agent);
    let owner = if is_shared(openclaw) { openclaw.agents.default_id.clone() } else { agent.to_owned() };
    load(openclaw, files, path, owner)
}

/// All stores: those of the configured agents and of the agents that have a folder. One if all agents share it.
pub(super) fn all(openclaw: &OpenClaw, files: &dyn Files) -> Result<Vec<Store>, Unreadable> {
    if is_shared(openclaw) {
        return Ok(vec![of_agent(openclaw, files, &openclaw.agents.default_id)?]);
    }
    let mut agents: BTreeSet<String> = openclaw.agents.list.iter().map(|agent| agent.id.clone()).collect();
    agents.extend(on_disk(openclaw, files)?);
    agents.iter().map(|agent| of_agent(openclaw, files, agent)).collect()
}

/// The session that a caller means by `key`, with or without an entry.
pub(super) fn find(openclaw: &OpenClaw, files: &dyn Files, key: &str) -> Result<Found, Unreadable> {
    Stores::new(openclaw, files).find(key)
}

/// What `path` says in an answer about all stores.
pub(super) fn shown_path(openclaw: &OpenClaw) -> String {
    openclaw.session.store.clone().unwrap_or_else(|| "(multiple)".to_owned())
}

/// The agents that have a folder.
pub(super) fn on_disk(openclaw: &OpenClaw, files: &dyn Files) -> Result<Vec<String>, Unreadable> {
    let folder = openclaw.state_dir.join("agents");
    let entries = match files.list(&folder) {
        Ok(entries) => entries,
        Err(FileError::Missing) => return Ok(Vec::new()),
        Err(error) => return Err(Unreadable::new(&folder, error)),
    };
    let mut agents: Vec<String> = entries
        .iter()
        // A stray file is no agent.
        .filter(|path| files.list(path).is_ok())
        .filter_map(|path| path.file_name()?.to_str())
        // A folder with another spelling is nobody's: its id would name a different folder.
        .filter(|name| keys::agent_id(name) == *name)
        .map(str::to_owned)
        .collect();
    agents.sort();
    agents.dedup();
    Ok(agents)
}

/// Where the transcript of an entry may be.
pub(super) fn transcripts(folder: &Path, entry: &Value) -> Vec<PathBuf> {
    let written = text(entry, "sessionFile").and_then(|file| Path::new(file).file_name()?.to_str());
    let own = text(entry, "sessionId").map(|id| format!("{}.jsonl", id.trim()));
    let mut names: Vec<&str> = Vec::new();
    for name in [written, own.as_deref()].into_iter().flatten() {
        if is_transcript(name) && !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// A member of an object that is a string and not empty.
pub(super) fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// A time in milliseconds.
pub(super) fn time(entry: &Value, key: &str) -> Option<u64> {
    let value = entry.get(key)?;
    // Some versions wrote fractions.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a time")]
    value.as_u64().or_else(|| value.as_f64().filter(|ms| (0.0..9e15).contains(ms)).map(|ms| ms as u64))
}

/// The newest first.
pub(super) fn newest_first(a: &Value, b: &Value) -> std::cmp::Ordering {
    time(b, "updatedAt").cmp(&time(a, "updatedAt"))
}

fn load(openclaw: &OpenClaw, files: &dyn Files, path: PathBuf, agent: String) -> Result<Store, Unreadable> {
    if !path.is_absolute() {
        return Err(Unreadable::new(&path, "session.store is not an absolute path, write it in full"));
    }
    let bytes = match files.read(&path, limits::STATE_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(FileError::Missing) => {
            let database = openclaw.state_dir.join("agents").join(&agent).join("agent/openclaw-agent.sqlite");
            refuse_database(files, &database, &format!("the sessions of {agent}"))?;
            return Ok(Store { path, agent, entries: Map::new() });
        }
        Err(error) => return Err(Unreadable::new(&path, error)),
    };
    let Value::Object(mut entries) = parse(&path, &bytes)? else {
        return Err(Unreadable::new(&path, "not an object of sessions, repair or move the file"));
    };
    entries.retain(|_, entry| entry.is_object());
    Ok(Store { path, agent, entries })
}

/// An error if OpenClaw has moved `what` to this database.
pub(super) fn refuse_database(files: &dyn Files, database: &Path, what: &str) -> Result<(), Unreadable> {
    match files.read_range(database, 0, 0) {
        Err(FileError::Missing) => Ok(()),
        Ok(_) => Err(Unreadable::new(
            database,
            format!("OpenClaw keeps {what} in this database, which needs its runtime to be read"),
        )),
        Err(error) => Err(Unreadable::new(database, error)),
    }
}

/// The database for what belongs to no agent.
pub(super) fn shared_database(openclaw: &OpenClaw) -> PathBuf {
    openclaw.state_dir.join("state/openclaw.sqlite")
}

fn is_shared(openclaw: &OpenClaw) -> bool {
    openclaw.session.store.as_deref().is_some_and(|store| !store.contains(AGENT))
}

/// `<id>.jsonl`, or `<id>-topic-<topic>.jsonl` with an encoded topic.
fn is_transcript(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".jsonl") else { return false };
    name.len() <= TRANSCRIPT_NAME_BYTES_MAX
        && stem.starts_with(|c: char| c.is_ascii_alphanumeric())
        && stem.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '%'))
}

const AGENT: &str = "{agentId}";
const TRANSCRIPT_NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_entry_leads_out_of_the_folder() {
        let folder = Path::new("/s");
        let names = |entry: Value| -> Vec<String> {
            transcripts(folder, &entry).iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(names(json!({"sessionId": "a-1"})), ["/s/a-1.jsonl"]);
        // A state folder that was moved: the name counts, the old place does not.
        let moved = json!({"sessionId": "a", "sessionFile": "/old/agents/m/sessions/a-topic-1.jsonl"});
        assert_eq!(names(moved), ["/s/a-topic-1.jsonl", "/s/a.jsonl"]);
        for id in ["../../etc/passwd", "/etc/passwd", "..", ".", "a/b", "", " ", ".hidden", "a\0b", "a\nb"] {
            assert!(names(json!({"sessionId": id})).is_empty(), "{id:?}");
        }
        for file in ["/etc/passwd", "../../x.json", "/s/..", "x\0.jsonl", ".jsonl", "-x.jsonl"] {
            assert!(names(json!({"sessionFile": file})).is_empty(), "{file:?}");
        }
        assert_eq!(names(json!({"sessionFile": "../../x.jsonl"})), ["/s/x.jsonl"]);
        assert!(names(json!({"sessionId": "a".repeat(300)})).is_empty());
        assert!(names(json!({"sessionId": 5, "sessionFile": {}})).is_empty());
    }

    #[test]
    fn times_are_read_as_written() {
        assert_eq!(time(&json!({"a": 5}), "a"), Some(5));
        assert_eq!(time(&json!({"a": 5.7}), "a"), Some(5));
        assert_eq!(time(&json!({"a": -5}), "a"), None);
        assert_eq!(time(&json!({"a": "5"}), "a"), None);
    }
}
