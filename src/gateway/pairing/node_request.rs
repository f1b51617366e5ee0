//! Nodes that wait for an approval of what they offer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::Denied;
use super::node::Surface;
use super::request::{Requests, fresh};
use super::store::Node;
use crate::clock::Now;
use crate::limits;
use crate::policy::scope::Scopes;

/// What a node wants to offer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeAsk {
    /// The device id, or a name of its own for a node of the older kind.
    pub node_id: String,
    /// What the node calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `linux`, `darwin`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Of the node program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of its core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_version: Option<String>,
    /// Of its user interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui_version: Option<String>,
    /// `Linux`, `iPhone`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mode: Option<String>,
    /// Where it comes from, if not from this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// Capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<BTreeSet<String>>,
    /// Commands, as far as the command filter lets them through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<BTreeSet<String>>,
    /// Permissions that the node reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<BTreeMap<String, bool>>,
}

/// A request as `node.pair.list` and `node.pair.requested` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRequest {
    /// What `node.pair.approve` takes.
    pub request_id: String,
    /// What is asked for.
    #[serde(flatten)]
    pub ask: NodeAsk,
    /// The scopes that an approval takes.
    pub required_approve_scopes: Vec<String>,
    /// Whether something was approved for this node before.
    pub is_repair: bool,
    /// When it was asked last, ms since 1970.
    pub ts: u64,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a node's request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The connect of a node that is still there: the request does not expire.
    Here,
    /// The connect of a node that has left.
    Left,
    /// `node.pair.request`: the node pairs by itself and gets a token for `node.pair.verify`.
    ByItself,
}

/// What became of a [`NodeAsk`].
#[derive(Debug, Clone, PartialEq)]
pub struct NodeAsked {
    /// The request that now waits.
    pub request: NodeRequest,
    /// Whether it is new: `node.pair.requested` is due.
    pub created: bool,
    /// Requests that it took the place of: `node.pair.resolved` with `rejected` is due for each.
    pub gone: Vec<NodeRequest>,
}

impl Requests {
    /// The node requests, newest first.
    pub fn nodes(&self) -> Vec<&NodeRequest> {
        let mut requests: Vec<_> = self.nodes.values().collect();
        requests.sort_by(|a, b| b.ts.cmp(&a.ts).then_with(|| a.request_id.cmp(&b.request_id)));
        requests
    }

    /// The request of a node.
    pub fn of_node(&self, node_id: &str) -> Option<&NodeRequest> {
        self.nodes.values().find(|request| request.ask.node_id == node_id)
    }

    /// The request under this id, unless its time is over.
    pub(super) fn node(&self, request_id: &str, now: Now) -> Result<&NodeRequest, Denied> {
        let request = self.nodes.get(request_id);
        request.filter(|request| request.lives(now)).ok_or(Denied::UnknownRequest)
    }

    /// Drops the oldest requests, those of connected nodes last, until the bound holds.
    pub(super) fn make_node_room(&mut self, newest: &str) -> Vec<NodeRequest> {
        let mut gone = Vec::new();
        while self.nodes.len() > limits::PAIRING_PENDING_MAX {
            let others = self.nodes.values().filter(|request| request.request_id != newest);
            let oldest = others
                .min_by_key(|request| (request.origin == Origin::Here, request.ts))
                .map(|request| request.request_id.clone());
            match oldest.and_then(|id| self.nodes.remove(&id)) {
                Some(request) => gone.push(request),
                None => break,
            }
        }
        gone
    }
}

impl NodeRequest {
    pub(super) fn new(request_id: String, ask: &NodeAsk, origin: Origin, now: Now) -> Self {
        let need = approval_need(ask.commands.iter().flatten().map(String::as_str));
        let names = need.iter().map(|scope| scope.name().to_owned());
        Self {
            request_id,
            ask: ask.clone(),
            required_approve_scopes: names.collect(),
            is_repair: false,
            ts: now.unix_ms,
            origin,
        }
    }

    pub(super) fn lives(&self, now: Now) -> bool {
        self.origin == Origin::Here || fresh(self.ts, now)
    }

    pub(super) fn gets_token(&self) -> bool {
        self.origin == Origin::ByItself
    }
}

impl NodeAsk {
    pub(super) fn new_node(&self, now: Now) -> Node {
        Node {
            node_id: self.node_id.clone(),
            display_name: self.display_name.clone(),
            platform: None,
            version: None,
            core_version: None,
            ui_version: None,
            device_family: None,
            model_identifier: None,
            client_id: None,
            client_mode: None,
            remote_ip: None,
            caps: Vec::new(),
            commands: Vec::new(),
            permissions: BTreeMap::new(),
            digest: None,
            created_at_ms: now.unix_ms,
            approved_at_ms: now.unix_ms,
            last_connected_at_ms: None,
            rest: Map::new(),
        }
    }

    /// What an approval does to the record. The name stays: an operator may have chosen it.
    pub(super) fn apply_to(&self, node: &mut Node) {
        let surface = Surface::of(self);
        node.caps = surface.caps.into_iter().collect();
        node.commands = surface.commands.into_iter().collect();
        node.permissions = surface.permissions;
        for (field, told) in [
            (&mut node.platform, &self.platform),
            (&mut node.version, &self.version),
            (&mut node.core_version, &self.core_version),
            (&mut node.ui_version, &self.ui_version),
            (&mut node.device_family, &self.device_family),
            (&mut node.model_identifier, &self.model_identifier),
            (&mut node.client_id, &self.client_id),
            (&mut node.client_mode, &self.client_mode),
            (&mut node.remote_ip, &self.remote_ip),
        ] {
            if told.is_some() {
                field.clone_from(told);
            }
        }
    }
}

/// The scopes that approving these commands takes: commands that run programs or browse as the owner take admin.
pub fn approval_need<'a>(commands: impl IntoIterator<Item = &'a str>) -> Vec<Scopes> {
    let mut commands = commands.into_iter().peekable();
    if commands.peek().is_none() {
        return vec![Scopes::PAIRING];
    }
    if commands.any(|command| ADMIN_COMMANDS.contains(&command)) {
        return vec![Scopes::PAIRING, Scopes::ADMIN];
    }
    vec![Scopes::PAIRING, Scopes::WRITE]
}

/// Commands that reach beyond the node program itself, as OpenClaw 2026.9.6 counts them.
const ADMIN_COMMANDS: &[&str] = &[
    "browser.proxy",
    "browser.proxy.upload.v1",
    "fs.listDir",
    "system.execApprovals.get",
    "system.execApprovals.set",
    "system.run",
    "system.run.prepare",
    "system.which",
    "terminal.upload",
];
