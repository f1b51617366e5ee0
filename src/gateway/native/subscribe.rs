//! What a connection wants to hear beyond the broadcasts: `sessions.subscribe`, `sessions.messages.subscribe`.
//!
//! The events themselves come from the runtime; the subscriptions are kept here, so that they outlive its restarts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::gateway::dispatch::{Call, Reply};
use crate::limits;
use crate::wire::error::ErrorShape;

/// The subscriptions of one connection. A stored format: they outlive a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::gateway) struct Subscriptions {
    sessions: bool,
    messages: BTreeSet<String>,
}

impl Subscriptions {
    /// The calls by which the runtime is asked for the same.
    pub(in crate::gateway) fn requests(&self) -> Vec<(&'static str, Value)> {
        let sessions = self.sessions.then(|| ("sessions.subscribe", json!({})));
        let messages = self.messages.iter().map(|key| ("sessions.messages.subscribe", json!({"key": key})));
        sessions.into_iter().chain(messages).collect()
    }
}

/// `sessions.subscribe`: changes of the session list.
pub(in crate::gateway) fn sessions(gateway: &mut Gateway, call: &Call) -> Reply {
    if let Some(subscriptions) = gateway.subscriptions(call) {
        subscriptions.sessions = true;
    }
    Reply::json(&json!({"subscribed": true}))
}

/// `sessions.messages.subscribe {key}`: messages of one session.
pub(in crate::gateway) fn messages(gateway: &mut Gateway, call: &Call) -> Reply {
    let key = match key(call) {
        Ok(key) => key,
        Err(error) => return Reply::Error(error),
    };
    if let Some(subscriptions) = gateway.subscriptions(call) {
        let full = subscriptions.messages.len() >= limits::SUBSCRIPTIONS_MAX;
        if full && !subscriptions.messages.contains(&key) {
            return Reply::Error(ErrorShape::unavailable(format!(
                "a connection may follow {} sessions; unsubscribe from one first",
                limits::SUBSCRIPTIONS_MAX
            )));
        }
        subscriptions.messages.insert(key.clone());
    }
    let mut answer = json!({"subscribed": true, "key": key});
    if call.params.get("includeApprovals").and_then(Value::as_bool) == Some(true) {
        // Approvals are asked for by agents, and agents live in the runtime: none is open here.
        let replay =
            json!({"sessionKey": key, "updatedAtMs": call.now.unix_ms, "approvals": [], "truncated": false});
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("approvalReplay".to_owned(), replay);
        }
    }
    Reply::json(&answer)
}

/// `sessions.messages.unsubscribe {key}`.
pub(in crate::gateway) fn messages_off(gateway: &mut Gateway, call: &Call) -> Reply {
    let key = match key(call) {
        Ok(key) => key,
        Err(error) => return Reply::Error(error),
    };
    if let Some(subscriptions) = gateway.subscriptions(call) {
        subscriptions.messages.remove(&key);
    }
    Reply::json(&json!({"subscribed": false, "key": key}))
}

impl Gateway {
    fn subscriptions(&mut self, call: &Call) -> Option<&mut Subscriptions> {
        let conn = self.conns.get_mut(call.conn)?;
        conn.record_due = true;
        conn.member_mut().map(|member| &mut member.subscriptions)
    }
}

fn key(call: &Call) -> Result<String, ErrorShape> {
    let key = call.read(|r| r.required_name("key").to_owned())?;
    if key.len() > limits::SESSION_KEY_BYTES_MAX {
        let message = format!(
            "invalid {} params: at /key: longer than {} bytes",
            call.name,
            limits::SESSION_KEY_BYTES_MAX
        );
        return Err(ErrorShape::invalid(message));
    }
    Ok(key)
}
