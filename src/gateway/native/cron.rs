//! `cron.list`, `cron.status` and `cron.runs`: the jobs of `<state>/cron/jobs.json` and what their runs left in
//! `<state>/cron/runs/<job>.jsonl`. Facts from OpenClaw 2026.3.13 and 2026.9.6.
//!
//! OpenClaw 2026.6 and later move both to `<state>/state/openclaw.sqlite` and rename the old files. Where that was
//! done, only the runtime can read them, and we say so instead of showing none.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::gateway::job::Query;
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::params::Reader;

use super::answer::{Answer, Unreadable, checked, counted, no_params, params, parse, say, whole, whole_file};
use super::date::Date;
use super::{keys, store};

mod runs;

pub(in crate::gateway) use runs::runs;

/// All jobs.
#[derive(Debug)]
struct Jobs {
    list: Vec<Value>,
    /// Changes with the file.
    revision: String,
}

/// Which jobs are wanted, and how.
#[derive(Debug)]
struct Wanted {
    /// `all`, `enabled` or `disabled`.
    enabled: &'static str,
    /// In lower case; part of a name, a description or an agent.
    query: String,
    /// The member to sort by.
    sort_by: &'static str,
    descending: bool,
    offset: usize,
    /// `None`: all, up to the bound of a page.
    limit: Option<usize>,
    /// `None` for protocol 3.
    newer: Option<Newer>,
}

/// The params that protocol 4 has.
#[derive(Debug)]
struct Newer {
    /// The kind of schedule.
    schedule: Option<&'static str>,
    /// How the last run ended; `unknown` for none.
    last_status: Option<&'static str>,
    /// Whether a script decides if the job runs.
    conditional: Option<bool>,
    agent: Option<String>,
    /// Show the short form.
    compact: bool,
}

/// A part of a longer list.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    offset: usize,
    limit: usize,
    total: usize,
}

/// `cron.list`: a page of the jobs.
pub(in crate::gateway) fn list(query: &Query<'_>) -> Answer {
    let wanted = Wanted::read(query)?;
    let jobs = jobs(query)?;
    let mut list: Vec<Value> = jobs.list.into_iter().filter(|job| wanted.takes(job, query)).collect();
    list.sort_by(|a, b| wanted.compare(a, b));
    let limit = wanted.limit.unwrap_or(match list.len() {
        0 => limits::CRON_PAGE.default,
        some => some.min(limits::CRON_PAGE.max),
    });
    let page = Page::of(wanted.offset, limit, list.len());
    let shown: Vec<Value> = page.cut(list).map(|job| wanted.shown(job, query)).collect();
    let mut answer = page.answer("jobs", shown);
    if let (Value::Object(answer), Protocol::V4) = (&mut answer, query.protocol) {
        answer.insert("snapshotRevision".to_owned(), jobs.revision.into());
    }
    say(&answer)
}

/// `cron.status`: whether jobs are configured to run, how many there are, and when the next one is due.
pub(in crate::gateway) fn status(query: &Query<'_>) -> Answer {
    no_params(query, "cron.status")?;
    let jobs = jobs(query)?;
    let enabled = query.setup.openclaw.cron.enabled;
    let next = jobs.list.iter().filter(|job| is_enabled(job)).filter_map(next_run).min();
    let mut status = json!({
        "enabled": enabled,
        "storePath": query.setup.openclaw.cron.store.display().to_string(),
        "jobs": jobs.list.len(),
        "nextWakeAtMs": next.filter(|_| enabled),
    });
    if let (Value::Object(status), Protocol::V4) = (&mut status, query.protocol) {
        status.insert("storage".to_owned(), "json".into());
    }
    say(&status)
}

impl Wanted {
    fn read(query: &Query<'_>) -> Result<Self, ErrorShape> {
        const METHOD: &str = "cron.list";
        let mut reader = params(query, METHOD)?;
        let all = reader.flag("includeDisabled") == Some(true);
        let enabled = reader.word("enabled", &["all", "enabled", "disabled"]);
        let wanted = Self {
            enabled: enabled.unwrap_or(if all { "all" } else { "enabled" }),
            query: reader.text("query").unwrap_or_default().trim().to_lowercase(),
            sort_by: reader.word("sortBy", &["nextRunAtMs", "updatedAtMs", "name"]).unwrap_or("nextRunAtMs"),
            descending: reader.word("sortDir", &["asc", "desc"]) == Some("desc"),
            offset: whole(&mut reader, "offset", 0).unwrap_or(0),
            limit: reader.value("limit").is_some().then(|| counted(&mut reader, "limit", limits::CRON_PAGE)),
            newer: (query.protocol == Protocol::V4).then(|| Newer::read(&mut reader)),
        };
        checked(reader, METHOD)?;
        Ok(wanted)
    }

    fn takes(&self, job: &Value, query: &Query<'_>) -> bool {
        let enabled = match self.enabled {
            "enabled" => is_enabled(job),
            "disabled" => !is_enabled(job),
            _ => true,
        };
        let found = self.query.is_empty()
            || ["name", "description", "agentId"].iter().any(|key| {
                store::text(job, key).is_some_and(|text| text.to_lowercase().contains(&self.query))
            });
        enabled && found && self.newer.as_ref().is_none_or(|newer| newer.takes(job, query))
    }

    /// Jobs that are not due stand behind those that are; equal ones are in the order of their ids.
    fn compare(&self, a: &Value, b: &Value) -> Ordering {
        let name = |job| store::text(job, "name").unwrap_or_default().to_lowercase();
        let order = match self.sort_by {
            "name" => name(a).cmp(&name(b)),
            "updatedAtMs" => store::time(a, "updatedAtMs").cmp(&store::time(b, "updatedAtMs")),
            _ => match (next_run(a), next_run(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        };
        let order = if self.descending { order.reverse() } else { order };
        order.then_with(|| store::text(a, "id").cmp(&store::text(b, "id")))
    }

    fn shown(&self, job: Value, query: &Query<'_>) -> Value {
        match &self.newer {
            None => job,
            Some(newer) if newer.compact => compact(&job, query),
            Some(_) => full(job, query),
        }
    }
}

impl Newer {
    fn read(reader: &mut Reader<'_>) -> Self {
        let all = |word: Option<&'static str>| word.filter(|word| *word != "all");
        reader.flag("includeDeliveryPreviews");
        Self {
            schedule: all(reader.word("scheduleKind", &["all", "at", "every", "cron", "on-exit", "stream"])),
            last_status: all(reader.word("lastRunStatus", &["all", "ok", "error", "skipped", "unknown"])),
            conditional: all(reader.word("trigger", &["all", "conditional", "unconditional"]))
                .map(|word| word == "conditional"),
            agent: reader.name("agentId").map(keys::agent_id),
            compact: reader.flag("compact") == Some(true),
        }
    }

    fn takes(&self, job: &Value, query: &Query<'_>) -> bool {
        let kind = job.pointer("/schedule/kind").and_then(Value::as_str);
        self.schedule.is_none_or(|want| kind == Some(want))
            && self.last_status.is_none_or(|want| last_status(job).unwrap_or("unknown") == want)
            && self.conditional.is_none_or(|want| job.get("trigger").is_some_and(Value::is_object) == want)
            && self.agent.as_ref().is_none_or(|want| agent_of(job, query) == *want)
    }
}

impl Page {
    fn of(offset: usize, limit: usize, total: usize) -> Self {
        Self { offset: offset.min(total), limit, total }
    }

    fn cut<T>(&self, list: Vec<T>) -> impl Iterator<Item = T> {
        list.into_iter().skip(self.offset).take(self.limit)
    }

    fn answer(&self, name: &str, shown: Vec<Value>) -> Value {
        let next = self.offset + shown.len();
        let mut answer = json!({
            "total": self.total,
            "offset": self.offset,
            "limit": self.limit,
            "hasMore": next < self.total,
            "nextOffset": (next < self.total).then_some(next),
        });
        if let Value::Object(answer) = &mut answer {
            answer.insert(name.to_owned(), shown.into());
        }
        answer
    }
}

/// Reads the jobs. A job that is not an object, or has no id, makes the file unusable: it would be lost silently.
fn jobs(query: &Query<'_>) -> Result<Jobs, Unreadable> {
    let path = &query.setup.openclaw.cron.store;
    let Some(bytes) = whole_file(query, path, limits::STATE_FILE_BYTES_MAX)? else {
        let database = store::shared_database(&query.setup.openclaw);
        store::refuse_database(query.files, &database, "the cron jobs")?;
        return Ok(Jobs { list: Vec::new(), revision: revision(b"") });
    };
    let malformed = |what: &str| Unreadable::new(path, format!("{what}, repair or move the file"));
    let list = match parse(path, &bytes)? {
        Value::Object(mut file) => file.remove("jobs").unwrap_or_else(|| json!([])),
        _ => return Err(malformed("not an object with jobs")),
    };
    let Value::Array(list) = list else { return Err(malformed("jobs is not a list")) };
    if let Some(at) = list.iter().position(|job| store::text(job, "id").is_none()) {
        return Err(malformed(&format!("job {at} has no id")));
    }
    Ok(Jobs { list, revision: revision(&bytes) })
}

/// A job with what protocol 4 adds.
fn full(mut job: Value, query: &Query<'_>) -> Value {
    let agent = agent_of(&job, query);
    let next = next_run(&job);
    let revision = revision(job.to_string().as_bytes());
    if let Value::Object(job) = &mut job {
        job.insert("configRevision".to_owned(), revision.into());
        job.insert("effectiveAgentId".to_owned(), agent.into());
        job.extend(next.map(|next| ("nextRunAtMs".to_owned(), next.into())));
    }
    job
}

/// A job as lists of protocol 4 show it.
fn compact(job: &Value, query: &Query<'_>) -> Value {
    let last = job.pointer("/state/lastRunAtMs").and_then(Value::as_u64);
    let next = next_run(job);
    let iso = |at: Option<u64>| at.map(|at| Date::of(at).iso());
    let mut shown = json!({
        "id": job.get("id"),
        "name": job.get("name"),
        "enabled": is_enabled(job),
        "nextRunAt": iso(next),
        "nextRunAtMs": next,
        "scheduleKind": job.pointer("/schedule/kind"),
        "schedule": job.get("schedule"),
        "lastRunAt": iso(last),
        "lastRunAtMs": last,
        "lastRunStatus": last_status(job),
        "lastRunError": job.pointer("/state/lastError"),
        "effectiveAgentId": agent_of(job, query),
    });
    if let Value::Object(shown) = &mut shown {
        for key in ["agentId", "displayName", "declarationKey", "updatedAtMs"] {
            shown.extend(job.get(key).map(|value| (key.to_owned(), value.clone())));
        }
    }
    shown
}

/// A job without the member does not run.
fn is_enabled(job: &Value) -> bool {
    job.get("enabled").and_then(Value::as_bool) == Some(true)
}

/// When the scheduler meant to run it next; nobody runs it while there is no runtime.
fn next_run(job: &Value) -> Option<u64> {
    job.get("state").and_then(|state| store::time(state, "nextRunAtMs"))
}

/// Older jobs have the second name.
fn last_status(job: &Value) -> Option<&str> {
    let state = job.get("state")?;
    store::text(state, "lastRunStatus").or_else(|| store::text(state, "lastStatus"))
}

/// The agent that runs the job: its own, or the default one.
fn agent_of(job: &Value, query: &Query<'_>) -> String {
    let own = store::text(job, "agentId").map(keys::agent_id);
    own.unwrap_or_else(|| query.setup.openclaw.agents.default_id.clone())
}

/// Changes if the bytes change.
fn revision(bytes: &[u8]) -> String {
    format!("sha256:{}", BASE64URL_NOPAD.encode(&Sha256::digest(bytes)))
}

/// The folder of the run logs.
fn runs_folder(query: &Query<'_>) -> PathBuf {
    query.setup.openclaw.cron.store.parent().unwrap_or(Path::new(".")).join("runs")
}
