//! `node.pair.*` and `node.rename` (protocol.md 5.8, protocol-versions.md 9): what nodes may offer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::devices::{PartCause, caller};
use crate::clock::Now;
use crate::gateway::Gateway;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::io::uuid;
use crate::gateway::pairing::{Node, NodeAsk, NodeAsked, NodeRequest};
use crate::gateway::saves::Then;
use crate::journal::Kind;
use crate::limits;
use crate::policy::scope::Role;
use crate::wire::error::ErrorShape;
use crate::wire::frame;
use crate::wire::params::Reader;

/// `node.pair.list {}`.
pub(in crate::gateway) fn list(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::json(&gateway.pairing.list_nodes(&caller(call), call.now))
}

/// `node.pair.request {nodeId, …}` (protocol 3): a node that is not connected asks by itself.
pub(in crate::gateway) fn request(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let ask = call.read(read_ask)?;
        if frame::to_json(&ask).len() > limits::NODE_ASK_BYTES_MAX {
            let message =
                format!("invalid {} params: more than {} bytes", call.name, limits::NODE_ASK_BYTES_MAX);
            return Err(ErrorShape::invalid(message));
        }
        let id = uuid(&mut *gateway.entropy);
        let asked = gateway.pairing.request_node(&ask, id, call.now);
        gateway.announce_node_asked(&asked, call.now);
        Ok(Reply::json(
            &json!({"status": "pending", "request": asked.request.to_public(), "created": asked.created}),
        ))
    })
}

/// `node.pair.approve {requestId}`. A node that is connected may offer what was approved at once.
pub(in crate::gateway) fn approve(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let request_id = call.read(|r| r.required_name("requestId").trim().to_owned())?;
        let mut secret = [0; 32];
        gateway.entropy.fill(&mut secret);
        let approved = gateway
            .pairing
            .approve_node(&request_id, &caller(call), secret, call.now)
            .map_err(|denied| gateway.denied(call, denied))?;
        let node_id = approved.request.ask.node_id.clone();
        let entry = gateway.entry(call, Kind::PairingApproved, &node_id);
        gateway.note(entry, call.now);
        let mut node = gateway.pairing.store().node(&node_id).map_or(Value::Null, Node::to_public);
        if let (Some(token), Value::Object(node)) = (approved.token, &mut node) {
            // The node pairs by itself: whoever approves it carries the token over. It opens nothing here.
            node.insert("token".to_owned(), token.into());
        }
        let payload = resolved(&request_id, &node_id, "approved", call.now);
        gateway.when_durable(
            approved.revision,
            Then::Offer { node_id, payload: frame::to_json(&payload) },
            call.now,
        );
        gateway.broadcast_when_durable(approved.revision, "node.pair.resolved", &payload, call.now);
        Ok(gateway.answer_when_durable(
            approved.revision,
            call,
            &json!({"requestId": request_id, "node": node}),
        ))
    })
}

/// `node.pair.reject {requestId}`.
pub(in crate::gateway) fn reject(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let request_id = call.read(|r| r.required_name("requestId").trim().to_owned())?;
        let request = gateway
            .pairing
            .reject_node(&request_id, &caller(call), call.now)
            .map_err(|denied| gateway.denied(call, denied))?;
        let entry = gateway.entry(call, Kind::PairingRejected, &request.ask.node_id);
        gateway.note(entry, call.now);
        gateway.announce_node_resolved(&request, "rejected", call.now);
        Ok(Reply::json(&json!({"requestId": request_id, "nodeId": request.ask.node_id})))
    })
}

/// `node.pair.remove {nodeId}` (protocol 4): forgets the node and the role of its device.
pub(in crate::gateway) fn remove(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let node_id = call.read(|r| r.required_name("nodeId").trim().to_owned())?;
        let revision = gateway
            .pairing
            .remove_node(&node_id, &caller(call))
            .map_err(|denied| gateway.denied(call, denied))?;
        let entry = gateway.entry(call, Kind::PairingRemoved, &node_id);
        gateway.note(entry, call.now);
        gateway.nodes.work().forget(&node_id);
        let payload = resolved("", &node_id, "removed", call.now);
        gateway.broadcast_when_durable(revision, "node.pair.resolved", &payload, call.now);
        let reply = gateway.answer_when_durable(revision, call, &json!({"nodeId": node_id}));
        gateway.part((&node_id, Some(Role::Node)), PartCause::Removed, (call.conn, revision), call.now);
        Ok(reply)
    })
}

/// `node.pair.verify {nodeId, token}` (protocol 3).
pub(in crate::gateway) fn verify(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (node_id, token) = call
            .read(|r| (r.required_name("nodeId").trim().to_owned(), r.required_name("token").to_owned()))?;
        Ok(Reply::json(&match gateway.pairing.verify_node(&node_id, &token) {
            Some(node) => json!({"ok": true, "node": node.to_public()}),
            None => json!({"ok": false}),
        }))
    })
}

/// `node.rename {nodeId, displayName}`.
pub(in crate::gateway) fn rename(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (node_id, name) = call.read(|r| {
            (r.required_name("nodeId").trim().to_owned(), r.required_name("displayName").trim().to_owned())
        })?;
        if name.is_empty() {
            return Err(ErrorShape::invalid("displayName required"));
        }
        let name = limits::cut(&name, limits::LABEL_BYTES_MAX);
        let revision = gateway
            .pairing
            .rename_node(&node_id, name, &caller(call))
            .map_err(|denied| gateway.denied(call, denied))?;
        Ok(gateway.answer_when_durable(revision, call, &json!({"nodeId": node_id, "displayName": name})))
    })
}

impl Gateway {
    /// Tells those who may approve that a node asks, and which requests that replaces.
    pub(in crate::gateway) fn announce_node_asked(&mut self, asked: &NodeAsked, now: Now) {
        for gone in &asked.gone {
            self.announce_node_resolved(gone, "rejected", now);
        }
        if asked.created {
            self.announce("node.pair.requested", &asked.request.to_public(), now);
        }
    }

    /// Tells those who may approve what became of a node's request.
    pub(in crate::gateway) fn announce_node_resolved(
        &mut self,
        request: &NodeRequest,
        decision: &str,
        now: Now,
    ) {
        let payload = resolved(&request.request_id, &request.ask.node_id, decision, now);
        self.announce("node.pair.resolved", &payload, now);
    }
}

fn read_ask(r: &mut Reader<'_>) -> NodeAsk {
    let node_id = r.required_name("nodeId").trim().to_owned();
    let mut text = |key: &str| r.name(key).map(str::to_owned);
    let ask = NodeAsk {
        node_id,
        display_name: text("displayName"),
        platform: text("platform"),
        version: text("version"),
        core_version: text("coreVersion"),
        ui_version: text("uiVersion"),
        device_family: text("deviceFamily"),
        model_identifier: text("modelIdentifier"),
        remote_ip: text("remoteIp"),
        ..NodeAsk::default()
    };
    let set = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let permissions = r.value("permissions").and_then(Value::as_object).map(|object| {
        object
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_bool()?)))
            .collect::<BTreeMap<_, _>>()
    });
    NodeAsk { caps: r.names("caps").map(set), commands: r.names("commands").map(set), permissions, ..ask }
}

fn resolved(request_id: &str, node_id: &str, decision: &str, now: Now) -> Value {
    json!({"requestId": request_id, "nodeId": node_id, "decision": decision, "ts": now.unix_ms})
}
