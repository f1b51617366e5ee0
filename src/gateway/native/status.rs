//! `status`: who the agents are, what they last did, what waits to be told to them.

use serde_json::{Map, Value, json};

use crate::gateway::job::Query;
use crate::policy::scope::Scopes;
use crate::wire::Protocol;

use super::answer::{Answer, say};
use super::health::sessions_of;
use super::store::{self, Stores};
use super::{agents, keys};

/// `status`, with the system events that wait for the main session.
///
/// Only an admin sees paths, defaults and recent sessions; everybody else gets `[redacted]` and empty lists. Params are
/// not checked, as in OpenClaw; `includeCliProjection` (protocol 4) adds what the command line shows beside it.
pub(in crate::gateway) fn status(query: &Query<'_>) -> Answer {
    let openclaw = &query.setup.openclaw;
    let admin = query.scopes.covers(Scopes::ADMIN);
    let mut status = json!({
        "runtimeVersion": query.setup.server_version(),
        "heartbeat": heartbeat(query),
        "channelSummary": [],
        "queuedSystemEvents": query.live.system_events,
        "sessions": sessions(query, admin),
    });
    let asked = query.params.get("includeCliProjection").and_then(Value::as_bool) == Some(true);
    if let (Value::Object(status), Protocol::V4) = (&mut status, query.protocol) {
        idle_work(status);
        if asked {
            let rows: Vec<Value> = openclaw.agents.list.iter().map(agents::brief).collect();
            status.insert(
                "cliProjection".to_owned(),
                json!({
                    "agents": {
                        "defaultId": openclaw.agents.default_id,
                        "selectionRequired": false,
                        "rows": rows,
                    },
                    "updateChannel": openclaw.resolved.pointer("/update/channel"),
                }),
            );
        }
    }
    say(&status)
}

/// Who is woken how often, as configured.
fn heartbeat(query: &Query<'_>) -> Value {
    let agents = &query.setup.openclaw.agents;
    let rows: Vec<Value> = agents
        .list
        .iter()
        .map(|agent| {
            let heartbeat = &agent.heartbeat;
            json!({
                "agentId": agent.id,
                "enabled": heartbeat.enabled,
                "every": heartbeat.every,
                "everyMs": heartbeat.every_ms,
            })
        })
        .collect();
    json!({"defaultAgentId": agents.default_id, "agents": rows})
}

/// Paths, counts and the newest sessions, of all agents and of each.
fn sessions(query: &Query<'_>, admin: bool) -> Value {
    let openclaw = &query.setup.openclaw;
    let mut stores = Stores::new(openclaw, query.files);
    let mut paths: Vec<Value> = Vec::new();
    let mut recent: Vec<Value> = Vec::new();
    let mut by_agent: Vec<Value> = Vec::new();
    let mut total = 0;
    for agent in &openclaw.agents.list {
        let row = |key: &str, entry: &Value| row(query, &agent.id, key, entry);
        let mut sessions = sessions_of(&mut stores, &agent.id, RECENT, &row);
        let path = sessions.get("path").cloned().unwrap_or_default();
        // Agents may share one store; its sessions count once.
        if !paths.contains(&path) {
            paths.push(path);
            total += sessions.get("count").and_then(Value::as_u64).unwrap_or(0);
            recent.extend(sessions.get("recent").and_then(Value::as_array).cloned().unwrap_or_default());
        }
        if let Value::Object(sessions) = &mut sessions {
            sessions.insert("agentId".to_owned(), agent.id.clone().into());
            if !admin {
                redact(sessions);
            }
        }
        by_agent.push(sessions);
    }
    recent.sort_by(store::newest_first);
    recent.truncate(RECENT);
    let model = openclaw.agents.model.as_ref().filter(|_| admin).map(|model| model.model.as_str());
    let context = openclaw.agents.context_tokens.filter(|_| admin);
    json!({
        "paths": if admin { paths } else { Vec::new() },
        "count": total,
        "defaults": {"model": model, "contextTokens": context},
        "recent": if admin { recent } else { Vec::new() },
        "byAgent": by_agent,
    })
}

/// Leaves the count. An error would name the path.
fn redact(sessions: &mut Map<String, Value>) {
    sessions.insert("path".to_owned(), "[redacted]".into());
    sessions.insert("recent".to_owned(), json!([]));
    if sessions.contains_key("error") {
        sessions
            .insert("error".to_owned(), "the session store cannot be read, ask an admin for status".into());
    }
}

/// A session as `status` shows it.
fn row(query: &Query<'_>, agent: &str, key: &str, entry: &Value) -> Value {
    let openclaw = &query.setup.openclaw;
    let mut row = Map::new();
    for name in COPIED {
        if let Some(value) = entry.get(*name).filter(|value| !value.is_null()) {
            row.insert((*name).to_owned(), value.clone());
        }
    }
    let at = store::time(entry, "updatedAt");
    let fresh = entry.get("totalTokensFresh") != Some(&Value::Bool(false));
    let known = store::time(entry, "totalTokens");
    let total = known.filter(|_| fresh);
    let context = store::time(entry, "contextTokens").or(openclaw.agents.context_tokens);
    let model = store::text(entry, "model").or_else(|| store::text(entry, "modelOverride"));
    let default = openclaw.agents.model.as_ref().map(|model| model.model.as_str());
    let percent = |context: u64, total: u64| (total.saturating_mul(100) + context / 2) / context;
    let computed = json!({
        "agentId": agent,
        "key": key,
        "kind": keys::kind(key, entry),
        "updatedAt": at,
        "age": at.map(|at| query.now.unix_ms.saturating_sub(at)),
        "totalTokens": total,
        "totalTokensFresh": known.is_some() && fresh,
        "remainingTokens": context.zip(total).map(|(context, total)| context.saturating_sub(total)),
        "percentUsed": context.filter(|c| *c > 0).zip(total).map(|(c, t)| percent(c, t).min(999)),
        "model": model.or(default),
        "contextTokens": context,
        "flags": flags(entry),
    });
    if let Value::Object(computed) = computed {
        row.extend(computed);
    }
    Value::Object(row)
}

/// What is unusual about a session, in the short words of the command line.
fn flags(entry: &Value) -> Vec<String> {
    let level = |key: &str, name: &str| store::text(entry, key).map(|level| format!("{name}:{level}"));
    let is = |key: &str| entry.get(key).and_then(Value::as_bool);
    let flags = [
        level("thinkingLevel", "think"),
        level("verboseLevel", "verbose"),
        is("fastMode").map(|fast| if fast { "fast" } else { "fast:off" }.to_owned()),
        level("reasoningLevel", "reasoning"),
        level("elevatedLevel", "elevated"),
        is("systemSent").filter(|sent| *sent).map(|_| "system".to_owned()),
        is("abortedLastRun").filter(|aborted| *aborted).map(|_| "aborted".to_owned()),
        level("sessionId", "id"),
    ];
    flags.into_iter().flatten().collect()
}

/// The work of a gateway without a runtime: none.
fn idle_work(status: &mut Map<String, Value>) {
    let idle = json!({
        "degradedSecretOwners": [],
        "degradedPlugins": [],
        "tasks": {
            "total": 0, "active": 0, "terminal": 0, "failures": 0,
            "byStatus": {
                "queued": 0, "running": 0, "succeeded": 0, "failed": 0, "timed_out": 0, "cancelled": 0, "lost": 0,
            },
            "byRuntime": {"subagent": 0, "acp": 0, "cli": 0, "cron": 0},
        },
        "taskAudit": {
            "total": 0, "warnings": 0, "errors": 0,
            "byCode": {
                "stale_queued": 0, "stale_running": 0, "lost": 0, "delivery_failed": 0, "missing_cleanup": 0,
                "inconsistent_timestamps": 0,
            },
        },
    });
    if let Value::Object(idle) = idle {
        status.extend(idle);
    }
}

/// Sessions shown; OpenClaw's number.
const RECENT: usize = 10;

/// Members of an entry that are shown as they are.
const COPIED: &[&str] = &[
    "sessionId",
    "thinkingLevel",
    "fastMode",
    "verboseLevel",
    "reasoningLevel",
    "elevatedLevel",
    "systemSent",
    "abortedLastRun",
    "inputTokens",
    "outputTokens",
    "cacheRead",
    "cacheWrite",
];
