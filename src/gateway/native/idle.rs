//! Methods that a gateway without a runtime answers with what it has: nothing.
//!
//! Rule: an empty answer is given only where it is true of this gateway. It holds no approvals, questions, boards,
//! tasks or plugins; where files of the runtime may say otherwise, they are read or the answer is an error.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::gateway::job::Query;
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;

use super::answer::{
    Answer, Unreadable, checked, json_file, needs_runtime, no_params, params, parse, say, whole_file,
};
use super::date::{Date, parse_iso};
use super::store;

/// `exec.approval.list` (protocol 4): nobody waits for a decision.
pub(in crate::gateway) fn exec_approvals(query: &Query<'_>) -> Answer {
    nothing_for(query, "exec.approval.list", &json!([]))
}

/// `plugin.approval.list` (protocol 4): no plugin is loaded that could ask.
pub(in crate::gateway) fn plugin_approvals(query: &Query<'_>) -> Answer {
    nothing_for(query, "plugin.approval.list", &json!([]))
}

/// `openclaw.approval.list` (protocol 4): no agent runs that could ask.
pub(in crate::gateway) fn openclaw_approvals(query: &Query<'_>) -> Answer {
    nothing_for(query, "openclaw.approval.list", &json!([]))
}

/// `question.list` (protocol 4): no agent runs that could ask.
pub(in crate::gateway) fn questions(query: &Query<'_>) -> Answer {
    nothing_for(query, "question.list", &json!({"questions": []}))
}

/// `plugins.controlUi.list` (protocol 4): no plugin adds to the page. The revision is that of the empty list.
pub(in crate::gateway) fn control_ui_plugins(query: &Query<'_>) -> Answer {
    let revision = hex(b"[]");
    nothing_for(
        query,
        "plugins.controlUi.list",
        &json!({"revision": revision, "plugins": [], "diagnostics": []}),
    )
}

/// `sessions.groups.list` (protocol 4): no groups are kept here.
pub(in crate::gateway) fn session_groups(query: &Query<'_>) -> Answer {
    nothing_for(query, "sessions.groups.list", &json!({"groups": [], "sectionOrder": []}))
}

/// `sessions.groups.defaults` (protocol 4).
pub(in crate::gateway) fn session_group_defaults(query: &Query<'_>) -> Answer {
    nothing_for(query, "sessions.groups.defaults", &json!({"defaults": []}))
}

/// `sessions.catalog.list` (protocol 4): no other program's sessions are known.
pub(in crate::gateway) fn session_catalogs(query: &Query<'_>) -> Answer {
    nothing_for(query, "sessions.catalog.list", &json!({"catalogs": []}))
}

/// `environments.list` (protocol 4): there is no place where an agent could run.
pub(in crate::gateway) fn environments(query: &Query<'_>) -> Answer {
    nothing_for(query, "environments.list", &json!({"environments": []}))
}

/// `diagnostics.lanes` (protocol 4): no lane carries work.
pub(in crate::gateway) fn lanes(query: &Query<'_>) -> Answer {
    let lanes = json!({"ts": query.now.unix_ms, "lanes": [], "dynamic": null});
    nothing_for(query, "diagnostics.lanes", &lanes)
}

/// `diagnostics.stability` (protocol 4): decisions go to the journal, no list of events is kept.
pub(in crate::gateway) fn stability(query: &Query<'_>) -> Answer {
    let stability = json!({
        "generatedAt": Date::of(query.now.unix_ms).iso(),
        "capacity": 0,
        "count": 0,
        "dropped": 0,
        "events": [],
        "summary": {"byType": {}},
    });
    nothing_for(query, "diagnostics.stability", &stability)
}

/// `update.status` (protocol 4): loopgate updates nothing and knows of no newer version.
pub(in crate::gateway) fn update_status(query: &Query<'_>) -> Answer {
    nothing_for(query, "update.status", &json!({"sentinel": null, "updateAvailable": null}))
}

/// `talk.catalog` (protocol 4): no voice can be used.
pub(in crate::gateway) fn talk_catalog(query: &Query<'_>) -> Answer {
    let catalog = json!({
        "modes": [],
        "transports": [],
        "brains": [],
        "speech": {"ready": false, "providers": []},
        "transcription": {"ready": false, "providers": []},
        "realtime": {"ready": false, "providers": []},
    });
    nothing_for(query, "talk.catalog", &catalog)
}

/// `usage.status`: no model provider is signed in here.
pub(in crate::gateway) fn usage_status(query: &Query<'_>) -> Answer {
    nothing_for(query, "usage.status", &json!({"updatedAt": query.now.unix_ms, "providers": []}))
}

/// `users.prefs.get` (protocol 4): no preference is kept here; a page falls back to its own.
pub(in crate::gateway) fn user_prefs(query: &Query<'_>) -> Answer {
    const METHOD: &str = "users.prefs.get";
    let mut reader = params(query, METHOD)?;
    reader.names("keys");
    checked(reader, METHOD)?;
    say(&json!({"status": "ok", "entries": {}}))
}

/// `mentions.list` (protocol 4): nobody was mentioned. The instance is this gateway's, the same after a restart.
pub(in crate::gateway) fn mentions(query: &Query<'_>) -> Answer {
    let openclaw = &query.setup.openclaw;
    let instance = hex(format!("{}\n{}", query.setup.host.name, openclaw.state_dir.display()).as_bytes());
    let instance = instance.get(..32).unwrap_or_default();
    nothing_for(query, "mentions.list", &json!({"gatewayInstanceId": instance, "revision": 0, "items": []}))
}

/// `tasks.list` (protocol 4): nothing runs.
pub(in crate::gateway) fn tasks(query: &Query<'_>) -> Answer {
    nothing_for(query, "tasks.list", &json!({"tasks": []}))
}

/// `taskSuggestions.list` (protocol 4): nobody has suggested anything.
pub(in crate::gateway) fn task_suggestions(query: &Query<'_>) -> Answer {
    nothing_for(query, "taskSuggestions.list", &json!({"suggestions": []}))
}

/// `projects.list` (protocol 4): the workspaces of the configured agents; no others are registered here.
pub(in crate::gateway) fn projects(query: &Query<'_>) -> Answer {
    let projects: Vec<Value> = query.setup.openclaw.agents.list.iter().map(project).collect();
    nothing_for(query, "projects.list", &json!({"projects": projects, "recents": []}))
}

/// `board.get` (protocol 4): a session's board without widgets.
pub(in crate::gateway) fn board(query: &Query<'_>) -> Answer {
    let key = session_key(query, "board.get")?;
    say(&json!({"sessionKey": key, "revision": 0, "tabs": [], "widgets": []}))
}

/// `progressCard.get` (protocol 4): no agent works on anything.
pub(in crate::gateway) fn progress_card(query: &Query<'_>) -> Answer {
    session_key(query, "progressCard.get")?;
    say(&json!({"card": null}))
}

/// `sessions.branches.list` (protocol 4): a transcript in a file has no branches.
pub(in crate::gateway) fn session_branches(query: &Query<'_>) -> Answer {
    session_key(query, "sessions.branches.list")?;
    say(&json!({"branches": []}))
}

/// `session.discussion.info` (protocol 4): there is no discussion beside a session.
pub(in crate::gateway) fn session_discussion(query: &Query<'_>) -> Answer {
    session_key(query, "session.discussion.info")?;
    say(&json!({"state": "none"}))
}

/// `sessions.companion.state` (protocol 4): no companion was asked.
pub(in crate::gateway) fn session_companion(query: &Query<'_>) -> Answer {
    session_key(query, "sessions.companion.state")?;
    say(&json!({"exchanges": []}))
}

/// `sessions.observer.visibility` (protocol 4): no observer watches, whether the page is visible or not.
pub(in crate::gateway) fn observer_visibility(query: &Query<'_>) -> Answer {
    const METHOD: &str = "sessions.observer.visibility";
    let mut reader = params(query, METHOD)?;
    reader.require("visible");
    reader.flag("visible");
    checked(reader, METHOD)?;
    say(&json!({"ok": true}))
}

/// `sessions.viewers.set` (protocol 4): takes the sessions that a page shows; nobody else is told.
pub(in crate::gateway) fn viewers(query: &Query<'_>) -> Answer {
    const METHOD: &str = "sessions.viewers.set";
    let keys = session_keys(query, METHOD)?;
    say(&json!({"sessionKeys": keys}))
}

/// `controlUi.sessionPullRequests.subscribe` (protocol 4): no pull request is watched.
pub(in crate::gateway) fn pull_requests(query: &Query<'_>) -> Answer {
    session_keys(query, "controlUi.sessionPullRequests.subscribe")?;
    say(&json!({"subscribed": false}))
}

/// `skills.status`: skills come with the runtime, so there are none.
pub(in crate::gateway) fn skills(query: &Query<'_>) -> Answer {
    const METHOD: &str = "skills.status";
    let mut reader = params(query, METHOD)?;
    let id = reader.name("agentId").map(super::keys::agent_id);
    checked(reader, METHOD)?;
    let openclaw = &query.setup.openclaw;
    let id = id.unwrap_or_else(|| openclaw.agents.default_id.clone());
    let Some(agent) = openclaw.agents.find(&id) else {
        return Err(ErrorShape::invalid(format!("unknown agent id \"{id}\"")));
    };
    say(&json!({
        "workspaceDir": agent.workspace.display().to_string(),
        "managedSkillsDir": openclaw.state_dir.join("skills").display().to_string(),
        "skills": [],
    }))
}

/// `usage.cost`: nothing, as long as there is no session that may have cost something.
pub(in crate::gateway) fn usage_cost(query: &Query<'_>) -> Answer {
    const METHOD: &str = "usage.cost";
    let (start, end) = period(query, METHOD)?;
    unused(query, "adding up the costs of sessions")?;
    let days = match (start, end) {
        (Some(start), Some(end)) => (end - start) / DAY_MS + 1,
        _ => super::answer::narrow(query.params.get("days").and_then(Value::as_u64).unwrap_or(DAYS)) as u64,
    };
    say(&json!({"updatedAt": query.now.unix_ms, "days": days, "daily": [], "totals": totals()}))
}

/// `sessions.usage`: nothing, as long as there is no session that may have used something.
pub(in crate::gateway) fn sessions_usage(query: &Query<'_>) -> Answer {
    const METHOD: &str = "sessions.usage";
    let (start, end) = period(query, METHOD)?;
    unused(query, "adding up the usage of sessions")?;
    let end = end.unwrap_or(query.now.unix_ms);
    let start = start.unwrap_or_else(|| end.saturating_sub((DAYS - 1) * DAY_MS));
    let mut usage = json!({
        "updatedAt": query.now.unix_ms,
        "startDate": Date::of(start).day(),
        "endDate": Date::of(end).day(),
        "sessions": [],
        "totals": totals(),
        "aggregates": {
            "messages": {"total": 0, "user": 0, "assistant": 0, "toolCalls": 0, "toolResults": 0, "errors": 0},
            "tools": {"totalCalls": 0, "uniqueTools": 0, "tools": []},
            "byModel": [], "byProvider": [], "byAgent": [], "byChannel": [],
            "dailyLatency": [], "modelDaily": [], "daily": [],
        },
    });
    if let (Value::Object(usage), Protocol::V4) = (&mut usage, query.protocol) {
        usage.insert("creatorOptions".to_owned(), json!([]));
        if let Some(Value::Object(sums)) = usage.get_mut("aggregates") {
            sums.insert("sessionCount".to_owned(), 0.into());
            sums.insert("byCreator".to_owned(), json!([]));
            sums.insert("costDaily".to_owned(), json!([]));
        }
    }
    say(&usage)
}

/// `talk.config`: what the configuration says beside a voice. A configured voice is checked by the runtime.
pub(in crate::gateway) fn talk_config(query: &Query<'_>) -> Answer {
    const METHOD: &str = "talk.config";
    let mut reader = params(query, METHOD)?;
    reader.flag("includeSecrets");
    checked(reader, METHOD)?;
    let resolved = &query.setup.openclaw.resolved;
    if resolved.get("talk").and_then(Value::as_object).is_some_and(|talk| !talk.is_empty()) {
        return Err(needs_runtime("the configured voice (talk)"));
    }
    let mut config = json!({});
    for (section, key) in [("session", "mainKey"), ("ui", "seamColor")] {
        let value =
            resolved.get(section).and_then(|section| section.get(key)).filter(|value| value.is_string());
        if let (Value::Object(config), Some(value)) = (&mut config, value) {
            config.insert(section.to_owned(), json!({key: value}));
        }
    }
    say(&json!({"config": config}))
}

/// `voicewake.get`: the words that wake a device, from `<state>/settings/voicewake.json`, else OpenClaw's own.
pub(in crate::gateway) fn voicewake(query: &Query<'_>) -> Answer {
    no_params(query, "voicewake.get")?;
    let path = query.setup.openclaw.state_dir.join("settings").join("voicewake.json");
    let file = json_file(query, &path, limits::SMALL_FILE_BYTES_MAX)?.unwrap_or_default();
    let words = file.get("triggers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> =
        words.iter().filter_map(Value::as_str).map(str::trim).filter(|word| !word.is_empty()).collect();
    let words = if words.is_empty() { WAKE_WORDS.to_vec() } else { words };
    say(&json!({"triggers": words}))
}

/// `exec.approvals.get`: which commands agents may run, from `<state>/exec-approvals.json`. The socket's token is left
/// out. Where OpenClaw 2026.9 has moved the rules to its database, only the runtime can read them.
pub(in crate::gateway) fn exec_rules(query: &Query<'_>) -> Answer {
    no_params(query, "exec.approvals.get")?;
    let state = &query.setup.openclaw.state_dir;
    let path = state.join("exec-approvals.json");
    let bytes = whole_file(query, &path, limits::STATE_FILE_BYTES_MAX)?;
    if bytes.is_none() {
        let database = store::shared_database(&query.setup.openclaw);
        store::refuse_database(query.files, &database, "the rules for commands")?;
    }
    let file = match &bytes {
        Some(bytes) => parse(&path, bytes)?,
        None => json!({"version": 1}),
    };
    if file.get("version").and_then(Value::as_u64) != Some(1) {
        return Err(Unreadable::new(&path, "not of version 1, update loopgate or repair the file").into());
    }
    let socket = file.get("socket").and_then(|socket| store::text(socket, "path"));
    let mut rules = file.clone();
    if let Value::Object(rules) = &mut rules {
        rules.insert("socket".to_owned(), socket.map_or_else(|| json!({}), |path| json!({"path": path})));
        for key in ["defaults", "agents"] {
            rules.entry(key).or_insert_with(|| json!({}));
        }
    }
    say(&json!({
        "path": path.display().to_string(),
        "exists": bytes.is_some(),
        "hash": hex(bytes.as_deref().unwrap_or_default()),
        "file": rules,
    }))
}

/// For methods whose params change nothing, because there is nothing: they must be an object.
fn nothing_for(query: &Query<'_>, method: &str, answer: &Value) -> Answer {
    no_params(query, method)?;
    say(answer)
}

/// `sessionKey` of methods about one session. Whether there is such a session makes no difference to nothing.
fn session_key<'a>(query: &Query<'a>, method: &str) -> Result<&'a str, ErrorShape> {
    let mut reader = params(query, method)?;
    let key = reader.required_name("sessionKey");
    reader.name("agentId");
    checked(reader, method)?;
    Ok(key)
}

/// `sessionKeys` of methods about several.
fn session_keys<'a>(query: &Query<'a>, method: &str) -> Result<Vec<&'a str>, ErrorShape> {
    let mut reader = params(query, method)?;
    reader.require("sessionKeys");
    let keys = reader.names("sessionKeys").unwrap_or_default();
    reader.name("agentId");
    if keys.len() > limits::VIEWED_SESSIONS_MAX {
        let max = limits::VIEWED_SESSIONS_MAX;
        reader.wrong::<()>("sessionKeys", &format!("must NOT have more than {max} items"));
    }
    checked(reader, method)?;
    Ok(keys)
}

/// A workspace as a project.
fn project(agent: &crate::config::agents::Agent) -> Value {
    let name = agent.workspace.file_name().and_then(|name| name.to_str()).unwrap_or(&agent.id);
    json!({
        "id": format!("workspace:{}", agent.id),
        "displayName": name,
        "repoRoot": agent.workspace.display().to_string(),
        "source": "workspace",
        "agentId": agent.id,
    })
}

/// The first and the last day that are asked for, if they are.
fn period(query: &Query<'_>, method: &str) -> Result<(Option<u64>, Option<u64>), ErrorShape> {
    let mut reader = params(query, method)?;
    let mut day = |key: &str| {
        let text = reader.text(key)?;
        let at = parse_iso(&format!("{text}T00:00:00Z"));
        if at.is_none() { reader.wrong(key, "must be a day like 2026-11-22") } else { at }
    };
    let (start, end) = (day("startDate"), day("endDate"));
    reader.word("mode", &["utc", "gateway", "specific"]);
    if let (Some(start), Some(end)) = (start, end) {
        if end < start {
            reader.wrong::<()>("endDate", "must not be before startDate");
        }
    }
    checked(reader, method)?;
    Ok((start, end))
}

/// An error if there is a session: what it used stands in its transcript, which the runtime adds up.
fn unused(query: &Query<'_>, what: &str) -> Result<(), ErrorShape> {
    let stores = store::all(&query.setup.openclaw, query.files)?;
    if stores.iter().all(|store| store.entries.is_empty()) { Ok(()) } else { Err(needs_runtime(what)) }
}

/// The sums of no usage at all.
fn totals() -> Value {
    json!({
        "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 0, "totalCost": 0, "inputCost": 0,
        "outputCost": 0, "cacheReadCost": 0, "cacheWriteCost": 0, "missingCostEntries": 0,
    })
}

/// SHA-256 in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Words that wake a device unless others are chosen; OpenClaw's.
const WAKE_WORDS: [&str; 3] = ["openclaw", "claude", "computer"];
/// Days of a usage report when the caller names none; OpenClaw's number.
const DAYS: u64 = 30;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
