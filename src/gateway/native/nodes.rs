//! Nodes: `node.list`, `node.describe`, the relay of `node.invoke`, and what nodes themselves call (protocol.md 8.3).
//!
//! Rule: a call goes to a node only for a command that the node offers, that was approved for it, and that the settings
//! allow at that moment; and whoever asked gets an answer, whatever becomes of the node.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::invoke::Answered;
use crate::clock::Now;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::io::{ConnId, uuid};
use crate::gateway::nodes::{Item, LiveNode, Priority, WORK, wish};
use crate::gateway::pairing::{Device, Node, NodeAsk, NodeRequest};
use crate::gateway::{Conn, Gateway};
use crate::journal::{Field, Kind};
use crate::limits;
use crate::policy::rules::Rule;
use crate::policy::scope::{Grant, Role, Scopes};
use crate::wire::connect::Connect;
use crate::wire::error::ErrorShape;
use crate::wire::frame;
use crate::wire::params::Reader;

/// `node.list {}`: connected nodes first, then by name.
pub(in crate::gateway) fn list(gateway: &mut Gateway, call: &Call) -> Reply {
    let mut known = gateway.known_nodes();
    known.sort_by_key(Known::order);
    let sees_requests = call.grant.scopes().covers(Scopes::PAIRING);
    let nodes: Vec<Value> = known
        .iter()
        .filter(|node| node.is_for(sees_requests))
        .map(|node| node.to_json(sees_requests))
        .collect();
    Reply::json(&json!({"ts": call.now.unix_ms, "nodes": nodes}))
}

/// `node.describe {nodeId}`: the same fields, flat.
pub(in crate::gateway) fn describe(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let node_id = call.read(|r| r.required_name("nodeId").trim().to_owned())?;
        let sees_requests = call.grant.scopes().covers(Scopes::PAIRING);
        let known = gateway.known_nodes();
        let node = known.iter().find(|node| node.id == node_id && node.is_for(sees_requests));
        let mut value = node.ok_or_else(unknown_node)?.to_json(sees_requests);
        if let Value::Object(object) = &mut value {
            object.insert("ts".to_owned(), call.now.unix_ms.into());
        }
        Ok(Reply::json(&value))
    })
}

/// `node.invoke.result {id, nodeId, ok, payload?, payloadJSON?, error?}`, from a node.
pub(in crate::gateway) fn result(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (id, node_id) = call.read(|r| {
            r.require("ok");
            r.flag("ok");
            (r.required_name("id").to_owned(), r.required_name("nodeId").to_owned())
        })?;
        if call.grant.device() != Some(&node_id) {
            return Err(ErrorShape::invalid("nodeId mismatch"));
        }
        let Some(invocation) = gateway.nodes.answer(call.conn, &id) else {
            // Late, or for a caller that is gone.
            return Ok(Reply::json(&json!({"ok": true, "ignored": true})));
        };
        gateway.conclude(&invocation, &Answered::read(&call.params), call.now);
        Ok(Reply::json(&json!({"ok": true})))
    })
}

/// `node.invoke.progress`, from a node of protocol 4: nobody here follows a call while it runs.
pub(in crate::gateway) fn progress(_gateway: &mut Gateway, _call: &Call) -> Reply {
    Reply::json(&json!({"ok": true, "ignored": true}))
}

/// `node.event {event, payload?, payloadJSON?}`, from a node. What nodes tell is for the sessions and agents of the
/// runtime. While there is none it is taken and goes nowhere: a text that a node made up must not wait here for an
/// agent to believe it.
pub(in crate::gateway) fn event(_gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        call.read(|r| _ = r.required_name("event"))?;
        Ok(Reply::json(&json!({"ok": true})))
    })
}

/// `node.pending.enqueue {nodeId, type, priority?, expiresInMs?, wake?}`. Nobody can be woken: that takes the push
/// services of the runtime.
pub(in crate::gateway) fn enqueue(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (node_id, kind, priority, expires) = call.read(|r| {
            r.require("type");
            r.flag("wake");
            let kind = r.word("type", WORK).unwrap_or_default();
            let priority = r.word("priority", &["normal", "high"]);
            (
                r.required_name("nodeId").trim().to_owned(),
                kind,
                priority,
                r.int("expiresInMs", 1_000..=86_400_000),
            )
        })?;
        let known = gateway.pairing.find(&node_id).is_some_and(|device| device.has_role(Role::Node));
        if !known && gateway.nodes.find(&node_id).is_none() {
            return Err(unknown_node());
        }
        let priority = if priority == Some("high") { Priority::High } else { Priority::Normal };
        let item = Item::new(uuid(&mut *gateway.entropy), kind, priority, expires, call.now);
        let full = || ErrorShape::busy("work waits for too many nodes already", 60_000);
        let (revision, item) = gateway.nodes.work().enqueue(&node_id, item, call.now).ok_or_else(full)?;
        let answer = json!({"nodeId": node_id, "revision": revision, "queued": item, "wakeTriggered": false});
        Ok(Reply::json(&answer))
    })
}

/// `node.pending.drain {maxItems?}`, from a node.
pub(in crate::gateway) fn drain(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let most = u64::try_from(limits::NODE_DRAIN_MAX).unwrap_or(u64::MAX);
        let max = call.read(|r| r.int("maxItems", 1..=most))?;
        let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(limits::NODE_DRAIN_DEFAULT);
        let node_id = node_id(call)?;
        let drained = gateway.nodes.work().drain(node_id, max, call.now);
        Ok(Reply::json(&Named { node_id, rest: drained }))
    })
}

/// `node.pending.pull {}`, from a node: actions that wait for its program to come to the foreground. Only phones have
/// such, and only the runtime queues them.
pub(in crate::gateway) fn pull(_gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| Ok(Reply::json(&json!({"nodeId": node_id(call)?, "actions": []}))))
}

/// `node.pending.ack {ids}`, from a node.
pub(in crate::gateway) fn ack(_gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let ids = call.read(|r| {
            r.require("ids");
            r.names("ids").unwrap_or_default().into_iter().map(|id| id.trim().to_owned()).collect::<Vec<_>>()
        })?;
        let mut seen = BTreeSet::new();
        let acked: Vec<&String> = ids.iter().filter(|id| !id.is_empty() && seen.insert(*id)).collect();
        Ok(Reply::json(&json!({"nodeId": node_id(call)?, "ackedIds": acked, "remainingCount": 0})))
    })
}

/// `node.canvas.capability.refresh` and `node.pluginSurface.refresh`, from a node.
pub(in crate::gateway) fn refresh_surface(_gateway: &mut Gateway, _call: &Call) -> Reply {
    let message =
        "this gateway has no canvas of its own; it takes the OpenClaw runtime, and none is connected";
    Reply::Error(ErrorShape::unavailable(message))
}

/// `node.skills.update {skills}`, from a node of protocol 4: for the agents of the runtime.
pub(in crate::gateway) fn skills(_gateway: &mut Gateway, call: &Call) -> Reply {
    published(call, "skills")
}

/// `node.pluginTools.update {tools}`, from a node of protocol 4: for the agents of the runtime.
pub(in crate::gateway) fn plugin_tools(_gateway: &mut Gateway, call: &Call) -> Reply {
    published(call, "tools")
}

/// `node.runnerInventory.update {protocolFeatures, workerHost?}`, from a node of protocol 4, which repeats it until it
/// is taken: that is how it learns that its commands are approved.
pub(in crate::gateway) fn runner_inventory(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        call.read(|r| {
            r.require("protocolFeatures");
            r.names("protocolFeatures");
        })?;
        let node_id = node_id(call)?;
        match gateway.pairing.requests().of_node(node_id) {
            None => Ok(Reply::json(&json!({"nodeId": node_id}))),
            Some(request) => Err(ErrorShape::new(
                crate::wire::error::ErrorCode::Unavailable,
                format!(
                    "what this node offers waits for an approval: run `openclaw nodes approve {}`; the node tries again \
                     by itself",
                    request.request_id
                ),
            )),
        }
    })
}

/// Everything that is known of a node.
struct Known<'a> {
    id: &'a str,
    live: Option<&'a LiveNode>,
    approved: Option<&'a Node>,
    device: Option<&'a Device>,
    request: Option<&'a NodeRequest>,
}

impl Gateway {
    /// A member in role `node` is there: what it may offer is settled, and those who may approve hear of the rest.
    pub(in crate::gateway) fn node_joined(&mut self, id: ConnId, connect: &Connect, now: Now) {
        let Some(grant) =
            self.conns.get(id).and_then(Conn::member).map(|member| std::sync::Arc::clone(&member.grant))
        else {
            return;
        };
        let (Role::Node, Some(node_id)) = (grant.role(), grant.device()) else {
            return;
        };
        if self.nodes.find(node_id).is_some() {
            if let Some(conn) = self.conns.get(id) {
                let entry = conn.entry(Kind::NodeReplaced, now).with(Field::NodeId, node_id.to_owned());
                self.ledger.note(entry, now);
            }
        }
        let ask = wish(connect, node_id, &self.setup.openclaw.gateway.nodes);
        let node = LiveNode { path_env: connect.path_env.clone(), ..LiveNode::new(id, ask, now.unix_ms) };
        self.node_enters(node, &grant, now);
        self.pairing.touch_node(grant.device().unwrap_or_default(), now);
        self.save();
    }

    /// Enters a connected node with what is approved for it now.
    pub(in crate::gateway) fn node_enters(&mut self, mut node: LiveNode, grant: &Grant, now: Now) {
        // A local peer with the shared secret could approve its own node as an operator. Asking for that would protect
        // nothing, and OpenClaw 2026.3.13 does not ask.
        let silently = Rule::named(grant.rule()).is_some_and(Rule::is_local);
        let request_id = uuid(&mut *self.entropy);
        let surface = self.pairing.surface(&node.ask, silently, request_id, now);
        if let Some(asked) = &surface.asked {
            self.announce_node_asked(asked, now);
        }
        if let Some(resolved) = &surface.resolved {
            let decision = if silently { "approved" } else { "rejected" };
            self.announce_node_resolved(resolved, decision, now);
        }
        node.offer(&surface);
        self.nodes.register(node);
    }

    /// A member is gone: calls that it would have answered are answered for it, calls of its own are dropped.
    pub(in crate::gateway) fn node_left(&mut self, id: ConnId, now: Now) {
        let ended = self.nodes.unregister(id);
        for call in &ended.unanswered {
            let message = format!("node disconnected ({})", call.command);
            self.conclude(call, &Answered::failed("NOT_CONNECTED", &message), now);
        }
        if let Some(node_id) = ended.left {
            self.pairing.release_node(&node_id, now);
        }
    }

    /// What was approved for a node is on disk: its connections may offer it from now on, and hear so.
    pub(in crate::gateway) fn offer(&mut self, node_id: &str, payload: &str, now: Now) {
        for conn in self.nodes.conns(node_id) {
            let Some(ask) = self.nodes.of_conn(conn).map(|node| node.ask.clone()) else {
                continue;
            };
            let id = uuid(&mut *self.entropy);
            let surface = self.pairing.surface(&ask, false, id, now);
            self.nodes.extend(conn, &surface);
            self.renew_leg(conn, now);
            if let Some(asked) = &surface.asked {
                self.announce_node_asked(asked, now);
            }
            // Others hear of it if they hold operator.pairing; this is the node's own affair.
            self.send(conn, &frame::event("node.pair.resolved", payload, None, None), now);
        }
    }

    /// Calls to nodes that took too long.
    pub(in crate::gateway) fn expire_nodes(&mut self, now: Now) {
        for call in self.nodes.expire(now.mono) {
            self.conclude(&call, &Answered::failed("TIMEOUT", "node invoke timed out"), now);
        }
    }

    /// All nodes that are connected, approved, paired, or waiting.
    fn known_nodes(&self) -> Vec<Known<'_>> {
        let store = self.pairing.store();
        let devices = store.devices().filter(|device| device.has_role(Role::Node));
        let mut ids: BTreeSet<&str> = self.nodes.iter().map(LiveNode::id).collect();
        ids.extend(devices.map(|device| device.device_id.as_str()));
        ids.extend(store.nodes().map(|node| node.node_id.as_str()));
        ids.extend(self.pairing.requests().nodes().iter().map(|request| request.ask.node_id.as_str()));
        let known = ids.into_iter().map(|id| Known {
            id,
            live: self.nodes.find(id),
            approved: store.node(id),
            device: self.pairing.find(id).filter(|device| device.has_role(Role::Node)),
            request: self.pairing.requests().of_node(id),
        });
        known.collect()
    }
}

impl Known<'_> {
    /// Requests are shown to those who may approve them.
    fn is_for(&self, sees_requests: bool) -> bool {
        sees_requests || self.is_paired() || self.live.is_some()
    }

    fn is_paired(&self) -> bool {
        self.device.is_some() || self.approved.is_some()
    }

    fn name(&self) -> Option<&str> {
        let approved = self.approved.and_then(|node| node.display_name.as_deref());
        let device = self.device;
        approved
            .or(device.and_then(|device| device.operator_label.as_deref()))
            .or(self.live.and_then(|node| node.ask.display_name.as_deref()))
            .or(device.and_then(|device| device.display_name.as_deref()))
            .or(self.request.and_then(|request| request.ask.display_name.as_deref()))
    }

    fn order(&self) -> (bool, String, String) {
        (self.live.is_none(), self.name().unwrap_or(self.id).to_lowercase(), self.id.to_owned())
    }

    /// The fields of both versions; clients pass over what they do not know.
    fn to_json(&self, sees_requests: bool) -> Value {
        let mut object = Map::new();
        object.insert("nodeId".to_owned(), self.id.into());
        let texts = [
            ("displayName", self.name()),
            ("platform", self.text(|ask| &ask.platform, |node| &node.platform, |device| &device.platform)),
            ("version", self.text(|ask| &ask.version, |node| &node.version, |_| &None)),
            ("coreVersion", self.text(|ask| &ask.core_version, |node| &node.core_version, |_| &None)),
            ("uiVersion", self.text(|ask| &ask.ui_version, |node| &node.ui_version, |_| &None)),
            ("clientId", self.text(|ask| &ask.client_id, |node| &node.client_id, |device| &device.client_id)),
            (
                "clientMode",
                self.text(|ask| &ask.client_mode, |node| &node.client_mode, |device| &device.client_mode),
            ),
            ("deviceFamily", self.text(|ask| &ask.device_family, |node| &node.device_family, |_| &None)),
            (
                "modelIdentifier",
                self.text(|ask| &ask.model_identifier, |node| &node.model_identifier, |_| &None),
            ),
            ("remoteIp", self.text(|ask| &ask.remote_ip, |node| &node.remote_ip, |device| &device.remote_ip)),
            ("pathEnv", self.live.and_then(|node| node.path_env.as_deref())),
            ("approvalState", Some(self.approval())),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                object.insert(name.to_owned(), text.into());
            }
        }
        self.surface(&mut object, sees_requests);
        self.times(&mut object);
        object.insert("paired".to_owned(), self.is_paired().into());
        object.insert("connected".to_owned(), self.live.is_some().into());
        Value::Object(object)
    }

    /// What the node says now, else what was approved, else what its device said, else what it asks for.
    fn text(
        &self,
        ask: fn(&NodeAsk) -> &Option<String>,
        node: fn(&Node) -> &Option<String>,
        device: fn(&Device) -> &Option<String>,
    ) -> Option<&str> {
        let live = self.live.and_then(|live| ask(&live.ask).as_deref());
        live.or(self.approved.and_then(|approved| node(approved).as_deref()))
            .or(self.device.and_then(|paired| device(paired).as_deref()))
            .or(self.request.and_then(|request| ask(&request.ask).as_deref()))
    }

    /// The words of OpenClaw 2026.9.6.
    fn approval(&self) -> &'static str {
        match (self.request.is_some(), self.approved.is_some()) {
            (true, true) => "pending-reapproval",
            (true, false) => "pending-approval",
            (false, true) => "approved",
            (false, false) => "unapproved",
        }
    }

    fn surface(&self, object: &mut Map<String, Value>, sees_requests: bool) {
        let (caps, commands, permissions) = match (self.live, self.approved) {
            (Some(node), _) => (json!(node.caps), json!(node.commands), json!(node.permissions)),
            (None, Some(node)) => (json!(node.caps), json!(node.commands), json!(node.permissions)),
            (None, None) => (json!([]), json!([]), json!({})),
        };
        object.insert("caps".to_owned(), caps);
        object.insert("commands".to_owned(), commands);
        if permissions.as_object().is_some_and(|permissions| !permissions.is_empty()) {
            object.insert("permissions".to_owned(), permissions);
        }
        if let Some(request) = self.request.filter(|_| sees_requests) {
            object.insert("pendingRequestId".to_owned(), request.request_id.as_str().into());
            object.insert("pendingDeclaredCaps".to_owned(), json!(request.ask.caps));
            object.insert("pendingDeclaredCommands".to_owned(), json!(request.ask.commands));
        }
    }

    fn times(&self, object: &mut Map<String, Value>) {
        let connected = self.live.map(|node| node.connected_at_ms);
        let last = connected.or(self.approved.and_then(|node| node.last_connected_at_ms));
        let approved = self.approved.map(|node| node.approved_at_ms);
        let approved = approved.or(self.device.map(|device| device.approved_at_ms));
        let times = [
            ("connectedAtMs", connected),
            ("lastConnectedAtMs", last),
            ("lastSeenAtMs", last),
            ("approvedAtMs", approved),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                object.insert(name.to_owned(), time.into());
            }
        }
        if last.is_some() {
            object.insert("lastSeenReason".to_owned(), "connect".into());
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named<'a, T> {
    node_id: &'a str,
    #[serde(flatten)]
    rest: T,
}

/// The node that calls. A member in role `node` always has a proven device.
fn node_id(call: &Call) -> Result<&str, ErrorShape> {
    call.grant.device().ok_or_else(|| ErrorShape::invalid("nodeId required"))
}

fn unknown_node() -> ErrorShape {
    ErrorShape::invalid("unknown nodeId")
}

/// A list that a node publishes for agents, given back as proof that it has arrived.
fn published(call: &Call, key: &'static str) -> Reply {
    Reply::attempt(|| {
        let list = call.read(|r: &mut Reader<'_>| {
            r.require(key);
            let list = r.value(key).filter(|list| list.is_array()).cloned();
            list.or_else(|| r.wrong(key, "must be array"))
        })?;
        Ok(Reply::json(&json!({"nodeId": node_id(call)?, key: list})))
    })
}
