//! What each node may offer: the surface (capabilities, commands, permissions) that was approved for it.
//!
//! Rule: a node's connection is a matter of its device's pairing; what it may be asked to do is a matter of the surface
//! approved here. OpenClaw 2026.9.6 keeps it that way; 2026.3.13 has the same methods for a store of nodes that pair
//! by themselves (`node.pair.request`), which lives in the same records.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;

use super::node_request::{NodeAsk, NodeAsked, NodeRequest, Origin};
use super::request::{Answered, What};
use super::store::Node;
use super::{Caller, Denied, Pairing};
use crate::clock::Now;
use crate::limits;
use crate::policy::scope::Role;
use crate::policy::secret::Digest;

/// What a connecting node may offer now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Surface {
    /// Approved capabilities among the declared ones.
    pub caps: BTreeSet<String>,
    /// Approved commands among the declared ones.
    pub commands: BTreeSet<String>,
    /// Permissions; one that was not approved is reported as refused.
    pub permissions: BTreeMap<String, bool>,
    /// The rest waits for an approval.
    pub asked: Option<NodeAsked>,
    /// A request that has become pointless: `node.pair.resolved` is due, with `approved` if `revision` is there.
    pub resolved: Option<NodeRequest>,
    /// The surface was approved on the spot; when this is saved the approval holds.
    pub revision: Option<u64>,
}

/// A surface that was approved.
#[derive(Clone, PartialEq)]
pub struct NodeApproved {
    /// When this is saved the approval holds.
    pub revision: u64,
    /// What was approved.
    pub request: NodeRequest,
    /// The token of a node that pairs by itself.
    pub token: Option<String>,
}

impl Pairing {
    /// What a connecting node may offer. With `silently` everything declared is approved on the spot, because an
    /// admission rule says so; otherwise what goes beyond the approved surface becomes a request named `id`.
    pub fn surface(&mut self, ask: &NodeAsk, silently: bool, id: String, now: Now) -> Surface {
        if silently {
            return self.approve_surface(ask, now);
        }
        let declared = Surface::of(ask);
        let approved = self.store.nodes.get(&ask.node_id);
        let Some(surface) = approved.map(|node| declared.within(node)) else {
            let asked = Some(self.ask_node(ask, id, Origin::Here, now));
            return Surface { asked, ..Surface::default() };
        };
        if surface == declared {
            let resolved = self.drop_node_request(&ask.node_id);
            return Surface { resolved, ..surface };
        }
        let asked = Some(self.ask_node(ask, id, Origin::Here, now));
        Surface { asked, ..surface }
    }

    /// `node.pair.request`: a node of the older kind, which is not connected, asks by itself.
    pub fn request_node(&mut self, ask: &NodeAsk, id: String, now: Now) -> NodeAsked {
        self.ask_node(ask, id, Origin::ByItself, now)
    }

    /// Approves a node's request. `secret` becomes its token if the node pairs by itself.
    ///
    /// # Errors
    /// The request is unknown; the caller lacks a scope that the commands take, or may only speak for another device;
    /// there are too many nodes.
    pub fn approve_node(
        &mut self,
        request_id: &str,
        caller: &Caller,
        secret: [u8; 32],
        now: Now,
    ) -> Result<NodeApproved, Denied> {
        let request = self.requests.node(request_id, now)?.clone();
        caller.may_touch(&request.ask.node_id)?;
        caller.must_hold(&request.required_approve_scopes)?;
        if self.store.nodes.len() >= limits::DEVICES_MAX
            && !self.store.nodes.contains_key(&request.ask.node_id)
        {
            return Err(Denied::Full);
        }
        let revision = self.change();
        self.forget_node_request(&request.ask.node_id, revision);
        let node = self.enter_node(&request.ask, now);
        let mut token = None;
        if request.gets_token() {
            let text = BASE64URL_NOPAD.encode(&secret);
            node.digest = Some(Digest::of(&text));
            token = Some(text);
        }
        Ok(NodeApproved { revision, request, token })
    }

    /// Turns a node's request down. Nothing is written.
    ///
    /// # Errors
    /// The request is unknown, or the caller may only speak for another device.
    pub fn reject_node(
        &mut self,
        request_id: &str,
        caller: &Caller,
        now: Now,
    ) -> Result<NodeRequest, Denied> {
        let request = self.requests.node(request_id, now)?.clone();
        caller.may_touch(&request.ask.node_id)?;
        self.requests.nodes.remove(request_id);
        Ok(request)
    }

    /// `node.pair.verify`: whether this is the token of a node that paired by itself.
    pub fn verify_node(&self, node_id: &str, token: &str) -> Option<&Node> {
        let presented = Digest::of(token);
        self.store.nodes.get(node_id).filter(|node| node.digest == Some(presented))
    }

    /// `node.pair.remove`: forgets what was approved, and takes the role `node` from the device of that id, which goes
    /// altogether if it has no other role. Its node connections have to be closed at once (S23).
    ///
    /// # Errors
    /// The node is unknown, or a caller with nothing but a device token is not admin.
    pub fn remove_node(&mut self, node_id: &str, caller: &Caller) -> Result<u64, Denied> {
        caller.may_touch(node_id)?;
        let is_device = self.find(node_id).is_some_and(|device| device.has_role(Role::Node));
        if !is_device && !self.store.nodes.contains_key(node_id) {
            return Err(Denied::UnknownNode);
        }
        if caller.by_token && !caller.is_admin() {
            return Err(Denied::NeedsAdmin);
        }
        let revision = self.change();
        self.forget_node_request(node_id, revision);
        self.store.nodes.remove(node_id);
        if let Some(device) = self.store.devices.get_mut(node_id).filter(|_| is_device) {
            device.roles.retain(|role| role != Role::Node.name());
            device.tokens.remove(Role::Node.name());
            if device.roles.is_empty() {
                self.store.devices.remove(node_id);
            }
        }
        Ok(revision)
    }

    /// `node.rename`: a name of the operator's choice, also for a node whose surface nobody has approved yet.
    ///
    /// # Errors
    /// The node is unknown, or the caller may only speak for another device.
    pub fn rename_node(&mut self, node_id: &str, name: &str, caller: &Caller) -> Result<u64, Denied> {
        caller.may_touch(node_id)?;
        let is_device = self.find(node_id).is_some_and(|device| device.has_role(Role::Node));
        if !is_device && !self.store.nodes.contains_key(node_id) {
            return Err(Denied::UnknownNode);
        }
        let revision = self.change();
        if let Some(node) = self.store.nodes.get_mut(node_id) {
            node.display_name = Some(name.to_owned());
        } else if let Some(device) = self.store.devices.get_mut(node_id) {
            device.operator_label = Some(name.to_owned());
        }
        Ok(revision)
    }

    /// Notes that a node has connected. Nothing is written for it.
    pub fn touch_node(&mut self, node_id: &str, now: Now) {
        if let Some(node) = self.store.nodes.get_mut(node_id) {
            node.last_connected_at_ms = Some(now.unix_ms);
        }
    }

    /// Notes that a node is gone: the life of its request, if it has one, is counted from now.
    pub fn release_node(&mut self, node_id: &str, now: Now) {
        let here =
            |request: &&mut NodeRequest| request.ask.node_id == node_id && request.origin == Origin::Here;
        for request in self.requests.nodes.values_mut().filter(here) {
            request.origin = Origin::Left;
            request.ts = now.unix_ms;
        }
    }

    fn approve_surface(&mut self, ask: &NodeAsk, now: Now) -> Surface {
        let declared = Surface::of(ask);
        let known = self.store.nodes.get(&ask.node_id).is_some_and(|node| declared.within(node) == declared);
        let revision = (!known).then(|| self.change());
        if revision.is_some() {
            self.enter_node(ask, now);
        }
        let resolved = self.drop_node_request(&ask.node_id);
        Surface { resolved, revision, ..declared }
    }

    /// Puts what a node declares into its record.
    fn enter_node(&mut self, ask: &NodeAsk, now: Now) -> &mut Node {
        let node = self.store.nodes.entry(ask.node_id.clone()).or_insert_with(|| ask.new_node(now));
        ask.apply_to(node);
        node.approved_at_ms = now.unix_ms;
        node
    }

    fn ask_node(&mut self, ask: &NodeAsk, id: String, origin: Origin, now: Now) -> NodeAsked {
        self.requests.expire(now);
        let old = self.drop_node_request(&ask.node_id);
        let mut request = NodeRequest::new(id, ask, origin, now);
        request.is_repair = self.store.nodes.contains_key(&ask.node_id);
        let mut gone = Vec::new();
        let created = match old {
            Some(old)
                if Surface::of(&old.ask) == Surface::of(ask) && old.gets_token() == request.gets_token() =>
            {
                request.request_id = old.request_id;
                false
            }
            old => {
                gone.extend(old);
                true
            }
        };
        self.requests.nodes.insert(request.request_id.clone(), request.clone());
        gone.extend(self.requests.make_node_room(&request.request_id));
        NodeAsked { request, created, gone }
    }

    /// Takes a node's request away; it comes back if the change is lost.
    pub(super) fn forget_node_request(&mut self, node_id: &str, revision: u64) {
        if let Some(request) = self.drop_node_request(node_id) {
            self.answered.push(Answered { revision, what: What::Node(request) });
        }
    }

    fn drop_node_request(&mut self, node_id: &str) -> Option<NodeRequest> {
        let id = self.requests.of_node(node_id)?.request_id.clone();
        self.requests.nodes.remove(&id)
    }
}

impl Surface {
    /// Everything that the node declares.
    pub(super) fn of(ask: &NodeAsk) -> Self {
        Self {
            caps: ask.caps.clone().unwrap_or_default(),
            commands: ask.commands.clone().unwrap_or_default(),
            permissions: ask.permissions.clone().unwrap_or_default(),
            ..Self::default()
        }
    }

    /// What of it was approved.
    fn within(&self, node: &Node) -> Self {
        let approved = |names: &BTreeSet<String>, list: &[String]| {
            names.iter().filter(|name| list.contains(name)).cloned().collect()
        };
        let granted = |(name, declared): (&String, &bool)| {
            (name.clone(), *declared && node.permissions.get(name) == Some(&true))
        };
        Self {
            caps: approved(&self.caps, &node.caps),
            commands: approved(&self.commands, &node.commands),
            permissions: self.permissions.iter().map(granted).collect(),
            ..Self::default()
        }
    }
}
