//! `cron.runs`: what the runs of cron jobs left behind, one line a run.
//!
//! Rule: a job's id names its log; it is checked to be a plain name first.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::gateway::io::FileError;
use crate::gateway::job::Query;
use crate::gateway::native::answer::{
    Answer, Unreadable, checked, counted, invalid, params, say, whole, wide,
};
use crate::gateway::native::{keys, store};
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::params::Reader;

use super::{Page, agent_of, jobs, runs_folder};

/// Which runs are wanted.
#[derive(Debug, Default)]
struct Wanted {
    /// One job, or all.
    job: Option<String>,
    /// Any of these; none means all.
    statuses: Vec<String>,
    /// Any of these; a run that says nothing was `not-requested`.
    deliveries: Vec<String>,
    query: String,
    /// Oldest first.
    ascending: bool,
    offset: usize,
    limit: usize,
    /// Runs of this agent's jobs (protocol 4).
    agent: Option<String>,
    /// One run (protocol 4).
    run: Option<String>,
}

/// `cron.runs`: a page of the finished runs of one job or of all, newest first unless asked otherwise.
pub(in crate::gateway) fn runs(query: &Query<'_>) -> Answer {
    let wanted = Wanted::read(query)?;
    let jobs = jobs(query)?.list;
    let names: BTreeMap<&str, &str> =
        jobs.iter().filter_map(|job| Some((store::text(job, "id")?, store::text(job, "name")?))).collect();
    let agents: BTreeMap<&str, String> =
        jobs.iter().filter_map(|job| Some((store::text(job, "id")?, agent_of(job, query)))).collect();

    let mut entries = read(query, wanted.job.as_deref())?;
    entries.retain(|entry| wanted.takes(entry, &names, &agents, query));
    entries.sort_by_key(|entry| store::time(entry, "ts"));
    if !wanted.ascending {
        entries.reverse();
    }
    let page = Page::of(wanted.offset, wanted.limit, entries.len());
    let mut shown: Vec<Value> = page.cut(entries).collect();
    if wanted.job.is_none() {
        for entry in &mut shown {
            add_name(entry, &names);
        }
    }
    say(&page.answer("entries", shown))
}

impl Wanted {
    fn read(query: &Query<'_>) -> Result<Self, ErrorShape> {
        const METHOD: &str = "cron.runs";
        let mut reader = params(query, METHOD)?;
        let scope = reader.word("scope", &["job", "all"]);
        let id = job_id(&mut reader, "id");
        let job = id.or(job_id(&mut reader, "jobId"));
        let mut wanted = Self {
            statuses: words(&mut reader, ["status", "statuses"], STATUSES),
            deliveries: words(&mut reader, ["deliveryStatus", "deliveryStatuses"], DELIVERIES),
            query: reader.text("query").unwrap_or_default().trim().to_lowercase(),
            ascending: reader.word("sortDir", &["asc", "desc"]) == Some("asc"),
            offset: whole(&mut reader, "offset", 0).unwrap_or(0),
            limit: counted(&mut reader, "limit", limits::CRON_PAGE),
            ..Self::default()
        };
        if query.protocol == Protocol::V4 {
            wanted.agent = reader.name("agentId").map(keys::agent_id);
            wanted.run = reader.name("runId").map(str::to_owned);
        }
        checked(reader, METHOD)?;
        match (scope, job) {
            (Some("all"), _) | (None, None) => {}
            (Some(_), None) => return Err(invalid(METHOD, "missing id")),
            (_, job) => wanted.job = job,
        }
        Ok(wanted)
    }

    fn takes(
        &self,
        entry: &Value,
        names: &BTreeMap<&str, &str>,
        agents: &BTreeMap<&str, String>,
        query: &Query<'_>,
    ) -> bool {
        let job = store::text(entry, "jobId").unwrap_or_default();
        let one_of = |wanted: &[String], is: &str| wanted.is_empty() || wanted.iter().any(|want| want == is);
        let mentions =
            |text: Option<&str>| text.is_some_and(|text| text.to_lowercase().contains(&self.query));
        let found = self.query.is_empty()
            || ["summary", "error", "jobId"].iter().any(|key| mentions(store::text(entry, key)))
            || mentions(names.get(job).copied());
        let agent = || agents.get(job).unwrap_or(&query.setup.openclaw.agents.default_id);
        found
            && one_of(&self.statuses, store::text(entry, "status").unwrap_or_default())
            && one_of(&self.deliveries, store::text(entry, "deliveryStatus").unwrap_or("not-requested"))
            && self.agent.as_ref().is_none_or(|want| agent() == want)
            && self.run.as_deref().is_none_or(|want| store::text(entry, "runId") == Some(want))
    }
}

/// The runs of one job, or of all that have a log.
fn read(query: &Query<'_>, job: Option<&str>) -> Result<Vec<Value>, Unreadable> {
    let folder = runs_folder(query);
    let logs = match job {
        Some(job) => vec![folder.join(format!("{job}.jsonl"))],
        None => match query.files.list(&folder) {
            Ok(entries) => entries
                .into_iter()
                .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
                .collect(),
            Err(FileError::Missing) => Vec::new(),
            Err(error) => return Err(Unreadable::new(&folder, error)),
        },
    };
    let mut entries = Vec::new();
    let mut left = limits::RUN_LOGS_BYTES_MAX;
    for log in logs {
        let bytes = match query.files.read(&log, left) {
            Ok(bytes) => bytes,
            Err(FileError::Missing) => continue,
            Err(error) => return Err(Unreadable::new(&log, error)),
        };
        left = left.saturating_sub(wide(bytes.len()));
        let lines = bytes.split(|byte| *byte == b'\n');
        entries.extend(
            lines.filter_map(run).filter(|run| job.is_none_or(|job| store::text(run, "jobId") == Some(job))),
        );
    }
    Ok(entries)
}

/// A finished run; `None` for any other line, and for one that is still being written.
fn run(line: &[u8]) -> Option<Value> {
    let line: Value = serde_json::from_slice(line).ok()?;
    store::text(&line, "jobId").filter(|_| store::text(&line, "action") == Some("finished"))?;
    store::time(&line, "ts")?;
    let kept: Map<String, Value> = KEPT
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), line.get(*key).filter(|value| !value.is_null())?.clone())))
        .collect();
    Some(Value::Object(kept))
}

/// A list about all jobs says which is which.
fn add_name(entry: &mut Value, names: &BTreeMap<&str, &str>) {
    let name = store::text(entry, "jobId").and_then(|job| names.get(job));
    if let (Some(name), Value::Object(entry)) = (name.map(|name| Value::from(*name)), entry) {
        entry.insert("jobName".to_owned(), name);
    }
}

/// A job's id as it may stand in a file name.
fn job_id(reader: &mut Reader<'_>, key: &str) -> Option<String> {
    let id = reader.name(key)?.trim();
    let plain = !id.is_empty() && !id.contains(['/', '\\', '\0']) && id.len() <= JOB_ID_BYTES_MAX;
    if !plain {
        return reader.wrong(key, "must be the id of a job");
    }
    Some(id.to_owned())
}

/// A filter that is given as one word or as a list of words; the list wins, and `all` stands for no filter.
fn words(reader: &mut Reader<'_>, keys: [&str; 2], known: &[&str]) -> Vec<String> {
    let [one, many] = keys;
    let mut single: Vec<&str> = known.to_vec();
    single.push("all");
    let word = reader.word(one, &single).filter(|word| *word != "all").map(str::to_owned);
    let Some(list) = reader.names(many) else { return word.into_iter().collect() };
    if list.is_empty() || list.len() > known.len() || list.iter().any(|word| !known.contains(word)) {
        reader.wrong::<()>(many, &format!("must be a list of {}", known.join(", ")));
    }
    list.into_iter().map(str::to_owned).collect()
}

const STATUSES: &[&str] = &["ok", "error", "skipped"];
const DELIVERIES: &[&str] = &["delivered", "not-delivered", "unknown", "not-requested"];
/// A file name has at most 255 bytes, `.jsonl` among them.
const JOB_ID_BYTES_MAX: usize = 200;

/// Members of a run that are shown.
const KEPT: &[&str] = &[
    "ts",
    "jobId",
    "action",
    "status",
    "error",
    "summary",
    "runAtMs",
    "durationMs",
    "nextRunAtMs",
    "model",
    "provider",
    "usage",
    "delivered",
    "deliveryStatus",
    "deliveryError",
    "sessionId",
    "sessionKey",
    "runId",
];
