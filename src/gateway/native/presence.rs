//! `system-presence` and `system-event`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Now;
use crate::gateway::Gateway;
use crate::gateway::broadcast::News;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::presence::{Entry, parse_node_text};
use crate::limits;
use crate::wire::error::ErrorShape;
use crate::wire::frame;

/// `system-presence`: the list, newest first. Params are not looked at.
pub(in crate::gateway) fn system_presence(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::json(&gateway.presence_list(call.now))
}

/// `system-event {text, …}`: a line of presence, and a note for the main session if something changed.
///
/// Facts: protocol.md 8.1. A text of the form `Node: …` describes a node and is queued only when it changes; any other
/// text is queued as it is, unless it repeats the one before.
pub(in crate::gateway) fn system_event(gateway: &mut Gateway, call: &Call) -> Reply {
    let text = call.params.get("text").and_then(Value::as_str).map_or("", str::trim);
    if text.is_empty() {
        return Reply::Error(ErrorShape::invalid("text required"));
    }
    let text = limits::cut(text, limits::SYSTEM_EVENT_BYTES_MAX);
    let entry = entry_of(&call.params, text, call.now.unix_ms);
    let key = [&entry.device_id, &entry.instance_id, &entry.host]
        .into_iter()
        .flatten()
        .next()
        .map_or_else(|| text.to_ascii_lowercase(), |key| key.to_ascii_lowercase());
    match parse_node_text(text) {
        Some(_) => {
            if let Some(change) = change(gateway.presence.find(&key), &entry) {
                gateway.queue_system_event(change);
            }
        }
        None => gateway.queue_system_event(text.to_owned()),
    }
    // Whoever is connected under this name stays so, whatever is said of it.
    let holders = gateway.presence.find(&key).map_or(0, |entry| entry.holders);
    gateway.presence.put(key, Entry { holders, ..entry }, call.now);
    gateway.presence_changed(call.now);
    Reply::json(&json!({"ok": true}))
}

impl Gateway {
    pub(in crate::gateway) fn presence_list(&mut self, now: Now) -> Vec<Value> {
        let version = self.server_version().to_owned();
        self.presence.list(&self.setup.host, &version, now)
    }

    /// The list has changed: everybody who may read it gets it, a moment later, so that many changes make one event.
    pub(in crate::gateway) fn presence_changed(&mut self, now: Now) {
        if !self.stopping {
            self.presence_due.get_or_insert(now.mono + limits::PRESENCE_SETTLE);
        }
    }

    /// Sends the list if that is due.
    pub(in crate::gateway) fn expire_presence(&mut self, now: Now) {
        if self.presence_due.is_none_or(|due| due > now.mono) {
            return;
        }
        self.presence_due = None;
        let payload = frame::to_json(&json!({"presence": self.presence_list(now)}));
        let version = self.state_version();
        self.broadcast(News::new("presence", &payload).with_version(version).droppable(), now);
    }

    fn queue_system_event(&mut self, text: String) {
        let queue = &mut Arc::make_mut(&mut self.live).system_events;
        if queue.last() == Some(&text) {
            return;
        }
        if queue.len() >= limits::SYSTEM_EVENTS_MAX {
            queue.remove(0);
        }
        queue.push(text);
    }
}

/// The presence entry that the params describe; what the text says fills the gaps.
fn entry_of(params: &Value, text: &str, ts: u64) -> Entry {
    let said = parse_node_text(text).unwrap_or_default();
    let take = |key: &str| {
        let given = params.get(key).and_then(Value::as_str).filter(|value| !value.is_empty());
        given
            .or_else(|| said.get(key).and_then(Value::as_str))
            .map(|value| limits::cut(value, limits::FIELD_BYTES_MAX).to_owned())
    };
    let list = |key: &str| -> Vec<String> {
        let items = params.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let words = items.iter().filter_map(Value::as_str).filter(|word| !word.is_empty());
        words
            .take(limits::PRESENCE_WORDS_MAX)
            .map(|word| limits::cut(word, limits::FIELD_BYTES_MAX).to_owned())
            .collect()
    };
    Entry {
        host: take("host"),
        ip: take("ip"),
        version: take("version"),
        platform: take("platform"),
        device_family: take("deviceFamily"),
        model_identifier: take("modelIdentifier"),
        last_input_seconds: params.get("lastInputSeconds").and_then(Value::as_u64),
        mode: take("mode"),
        reason: take("reason"),
        device_id: take("deviceId"),
        instance_id: take("instanceId"),
        roles: list("roles"),
        scopes: list("scopes"),
        tags: list("tags"),
        text: text.to_owned(),
        ts,
        holders: 0,
    }
}

/// What is new about a node, as a text for the main session; nothing if it only says that it is still there.
fn change(before: Option<&Entry>, after: &Entry) -> Option<String> {
    let routine = |reason: &str| reason.starts_with("periodic") || reason == "heartbeat";
    let reason = after.reason.as_deref().filter(|reason| !routine(reason));
    let old = |pick: fn(&Entry) -> &Option<String>| before.and_then(|entry| pick(entry).as_deref());
    let pairs: [(&str, Option<&str>, Option<&str>); 5] = [
        ("host", old(|e| &e.host), after.host.as_deref()),
        ("ip", old(|e| &e.ip), after.ip.as_deref()),
        ("app", old(|e| &e.version), after.version.as_deref()),
        ("mode", old(|e| &e.mode), after.mode.as_deref()),
        ("reason", old(|e| &e.reason), reason),
    ];
    let changed: Vec<String> = pairs
        .into_iter()
        .filter(|(_, was, is)| is.is_some() && was != is)
        .filter_map(|(name, _, is)| Some(format!("{name} {}", is?)))
        .collect();
    let host = after.host.as_deref().unwrap_or("unknown");
    (!changed.is_empty()).then(|| format!("Node {host}: {}", changed.join(" · ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_of_a_node_are_told() {
        let entry = |reason: &str| entry_of(&json!({}), &format!("Node: box · mode ui · reason {reason}"), 1);
        let first = change(None, &entry("connect")).unwrap();
        assert_eq!(first, "Node box: host box · mode ui · reason connect");
        assert_eq!(change(Some(&entry("connect")), &entry("periodic-5m")), None);
        assert_eq!(change(Some(&entry("connect")), &entry("wake")).unwrap(), "Node box: reason wake");
    }
}
