//! The health snapshot: what `health` answers and every hello carries.
//!
//! Rule: it never fails. A session store that cannot be read is named in `sessions.error`; a gateway that answers is
//! alive, and clients of protocol 4 take any error here for a dead one.

use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::config::agents::Agent;
use crate::gateway::Setup;
use crate::gateway::io::Files;

use super::store::{self, Stores};

/// The health snapshot: agents with heartbeat and sessions. Without the runtime no channel and no plugin is loaded.
pub(in crate::gateway) fn snapshot(setup: &Setup, files: &dyn Files, now: Now) -> Value {
    let openclaw = &setup.openclaw;
    let mut stores = Stores::new(openclaw, files);
    let default_id = &openclaw.agents.default_id;
    let agents: Vec<Value> =
        openclaw.agents.list.iter().map(|agent| health_of(agent, default_id, &mut stores, now)).collect();
    let default = agents.iter().find(|agent| agent.get("isDefault") == Some(&Value::Bool(true)));
    let sessions = default.and_then(|agent| agent.get("sessions")).cloned();
    let heartbeat = default.and_then(|agent| agent.pointer("/heartbeat/everyMs")).and_then(Value::as_u64);
    json!({
        "ok": true,
        "ts": now.unix_ms,
        "durationMs": 0,
        "plugins": {"loaded": [], "errors": [], "unavailable": []},
        "channels": {},
        "channelOrder": [],
        "channelLabels": {},
        "heartbeatSeconds": heartbeat.unwrap_or(0) / 1_000,
        "defaultAgentId": openclaw.agents.default_id,
        "agents": agents,
        "sessions": sessions,
    })
}

/// `{path, count, recent, error?}` of an agent's sessions. `recent` holds what `row` makes of the newest `max`.
pub(super) fn sessions_of(
    stores: &mut Stores<'_>,
    agent: &str,
    max: usize,
    row: &dyn Fn(&str, &Value) -> Value,
) -> Value {
    let path = stores.path_of(agent).display().to_string();
    let store = match stores.of_agent(agent) {
        Ok(store) => store,
        Err(error) => return json!({"path": path, "count": 0, "recent": [], "error": error.sentence()}),
    };
    let mut entries: Vec<(&String, &Value)> = store.counted().collect();
    entries.sort_by(|(_, a), (_, b)| store::newest_first(a, b));
    let recent: Vec<Value> = entries.iter().take(max).map(|(key, entry)| row(key, entry)).collect();
    json!({"path": path, "count": entries.len(), "recent": recent})
}

/// One agent: who it is, how it is woken, what it has talked about.
fn health_of(agent: &Agent, default_id: &str, stores: &mut Stores<'_>, now: Now) -> Value {
    let row = |key: &str, entry: &Value| {
        let at = store::time(entry, "updatedAt").filter(|at| *at > 0);
        json!({"key": key, "updatedAt": at, "age": at.map(|at| now.unix_ms.saturating_sub(at))})
    };
    let mut health = Map::new();
    health.insert("agentId".to_owned(), agent.id.clone().into());
    if let Some(name) = &agent.name {
        health.insert("name".to_owned(), name.clone().into());
    }
    health.insert("isDefault".to_owned(), (agent.id == default_id).into());
    health.insert("heartbeat".to_owned(), heartbeat_of(agent));
    health.insert("sessions".to_owned(), sessions_of(stores, &agent.id, RECENT, &row));
    Value::Object(health)
}

/// The prompt is shown only if it is configured: the default one is the runtime's own.
fn heartbeat_of(agent: &Agent) -> Value {
    let heartbeat = &agent.heartbeat;
    let mut shown = json!({
        "enabled": heartbeat.enabled,
        "every": heartbeat.every,
        "everyMs": heartbeat.every_ms,
        "target": heartbeat.target.as_deref().unwrap_or("none"),
        "ackMaxChars": heartbeat.ack_max_chars,
    });
    if let Value::Object(shown) = &mut shown {
        for (key, value) in [("prompt", &heartbeat.prompt), ("model", &heartbeat.model)] {
            if let Some(value) = value {
                shown.insert(key.to_owned(), value.clone().into());
            }
        }
    }
    shown
}

/// Sessions shown of one agent; OpenClaw's number.
const RECENT: usize = 5;
