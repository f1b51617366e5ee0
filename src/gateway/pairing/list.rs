//! The shapes of `device.pair.list`, `node.pair.list` and their relatives. No secret and no digest is in any of them.

use serde_json::{Map, Value, json};

use super::node_request::NodeRequest;
use super::store::{Device, Node, Token};
use super::{Caller, Pairing};
use crate::clock::Now;

impl Pairing {
    /// The payload of `device.pair.list`: requests newest first, devices newest approval first. A caller with nothing
    /// but a device token sees its own device. `connected` tells whether a device has a connection right now.
    pub fn list_devices(&mut self, caller: &Caller, connected: impl Fn(&str) -> bool, now: Now) -> Value {
        self.expire(now);
        let pending = self.requests.devices();
        let pending: Vec<_> =
            pending.into_iter().filter(|request| caller.may_touch(&request.device_id).is_ok()).collect();
        let mut devices: Vec<_> =
            self.store.devices().filter(|device| caller.may_touch(&device.device_id).is_ok()).collect();
        devices.sort_by(|a, b| {
            b.approved_at_ms.cmp(&a.approved_at_ms).then_with(|| a.device_id.cmp(&b.device_id))
        });
        let paired = devices.into_iter().map(|device| {
            let mut value = device.to_public();
            if let Value::Object(object) = &mut value {
                object.insert("connected".to_owned(), connected(&device.device_id).into());
            }
            value
        });
        json!({ "pending": pending, "paired": paired.collect::<Vec<_>>() })
    }

    /// The payload of `node.pair.list`, in the same order.
    pub fn list_nodes(&mut self, caller: &Caller, now: Now) -> Value {
        self.expire(now);
        let pending = self.requests.nodes();
        let pending = pending.into_iter().filter(|request| caller.may_touch(&request.ask.node_id).is_ok());
        let pending: Vec<_> = pending.map(NodeRequest::to_public).collect();
        let mut nodes: Vec<_> =
            self.store.nodes().filter(|node| caller.may_touch(&node.node_id).is_ok()).collect();
        nodes.sort_by(|a, b| b.approved_at_ms.cmp(&a.approved_at_ms).then_with(|| a.node_id.cmp(&b.node_id)));
        let paired: Vec<_> = nodes.into_iter().map(Node::to_public).collect();
        json!({ "pending": pending, "paired": paired })
    }
}

impl Device {
    /// The device as clients see it (protocol.md 5.7).
    pub fn to_public(&self) -> Value {
        let mut object = Map::new();
        let optional = [
            ("displayName", &self.display_name),
            ("operatorLabel", &self.operator_label),
            ("platform", &self.platform),
            ("deviceFamily", &self.device_family),
            ("clientId", &self.client_id),
            ("clientMode", &self.client_mode),
            ("remoteIp", &self.remote_ip),
        ];
        object.insert("deviceId".to_owned(), self.device_id.as_str().into());
        object.insert("publicKey".to_owned(), self.public_key.as_str().into());
        for (name, value) in optional {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.as_str().into());
            }
        }
        if let Some(role) = self.roles.first() {
            object.insert("role".to_owned(), role.as_str().into());
        }
        object.insert("roles".to_owned(), json!(self.roles));
        object.insert("scopes".to_owned(), json!(self.approved_scopes));
        if !self.tokens.is_empty() {
            let tokens: Vec<_> = self.tokens.iter().map(|(role, token)| token.to_public(role)).collect();
            object.insert("tokens".to_owned(), tokens.into());
        }
        object.insert("createdAtMs".to_owned(), self.created_at_ms.into());
        object.insert("approvedAtMs".to_owned(), self.approved_at_ms.into());
        Value::Object(object)
    }
}

impl Node {
    /// The node as clients see it (protocol.md 5.8), without its token.
    pub fn to_public(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.remove("digest");
            for key in self.rest.keys() {
                object.remove(key);
            }
        }
        value
    }
}

impl NodeRequest {
    /// The request as clients see it (protocol.md 5.8).
    pub fn to_public(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.remove("origin");
            // What may be approved without a person never waits.
            object.insert("silent".to_owned(), false.into());
        }
        value
    }
}

impl Token {
    fn to_public(&self, role: &str) -> Value {
        let mut object = Map::new();
        object.insert("role".to_owned(), role.into());
        object.insert("scopes".to_owned(), json!(self.scopes));
        object.insert("createdAtMs".to_owned(), self.created_at_ms.into());
        let times = [
            ("rotatedAtMs", self.rotated_at_ms),
            ("revokedAtMs", self.revoked_at_ms),
            ("lastUsedAtMs", self.last_used_at_ms),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                object.insert(name.to_owned(), time.into());
            }
        }
        Value::Object(object)
    }
}
