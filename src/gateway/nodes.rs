//! The nodes that are connected, what was asked of them, and what waits for them. A pure model.
//!
//! Rule: everything is tied to a connection, never to a node's name alone. Two connections may be the same node; the
//! younger one serves, and when either ends the other is still there. (In OpenClaw 2026.3.13 the end of the first
//! unregisters the second.)

pub mod command;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use self::command::{Platform, Refused};
use super::io::ConnId;
use super::pairing::{NodeAsk, Surface};
use crate::config::gateway::Nodes as Settings;
use crate::limits;
use crate::wire::connect::Connect;

pub use self::work::{Drained, Item, KINDS as WORK, Priority, Work};

/// All connected nodes and their open calls.
#[derive(Debug, Default)]
pub struct Nodes {
    /// Connections by node id, the youngest last.
    live: BTreeMap<String, Vec<LiveNode>>,
    invocations: BTreeMap<String, Invocation>,
    deadlines: BTreeSet<(Instant, String)>,
    work: Work,
}

/// A connected node.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveNode {
    /// Its connection.
    pub conn: ConnId,
    /// What it says of itself and wants to offer.
    pub ask: NodeAsk,
    /// Its `PATH`.
    pub path_env: Option<String>,
    /// Approved capabilities.
    pub caps: BTreeSet<String>,
    /// Approved commands.
    pub commands: BTreeSet<String>,
    /// Approved permissions.
    pub permissions: BTreeMap<String, bool>,
    /// ms since 1970.
    pub connected_at_ms: u64,
}

/// A call that waits for a node's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// Its id towards the node.
    pub id: String,
    /// Who answers.
    pub node_id: String,
    /// On which connection.
    pub node: ConnId,
    /// What was asked.
    pub command: String,
    /// Who asked.
    pub caller: ConnId,
    /// The id of the caller's request.
    pub request: String,
    /// What the caller is told.
    pub purpose: Purpose,
    /// When the caller is told that it took too long.
    pub deadline: Instant,
}

/// What an invocation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `node.invoke`: the node's answer is told as it is.
    Invoke,
    /// `browser.request`: the node's answer holds the browser's.
    Browser,
}

/// Why nothing was asked of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// [`limits::INVOCATIONS_PENDING_MAX`] calls wait already.
    Gateway,
    /// [`limits::CALLS_PENDING_MAX`] calls of this caller wait already.
    Caller,
}

/// What ends with a connection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ended {
    /// The node that is not connected any more; none if another connection of it is left, or if it was no node.
    pub left: Option<String>,
    /// Calls that this connection will not answer any more.
    pub unanswered: Vec<Invocation>,
}

impl Nodes {
    /// Takes in a connected node.
    pub fn register(&mut self, node: LiveNode) {
        self.live.entry(node.ask.node_id.clone()).or_default().push(node);
    }

    /// A connection is gone, a node's or a caller's.
    pub fn unregister(&mut self, conn: ConnId) -> Ended {
        let mut ended = Ended::default();
        self.live.retain(|node_id, nodes| {
            let before = nodes.len();
            nodes.retain(|node| node.conn != conn);
            if nodes.is_empty() && before > 0 {
                ended.left = Some(node_id.clone());
            }
            !nodes.is_empty()
        });
        let over = self.invocations.values().filter(|call| call.node == conn || call.caller == conn);
        let over: Vec<String> = over.map(|call| call.id.clone()).collect();
        // Nobody waits for the calls of a caller that is gone; a late answer to them is passed over.
        ended.unanswered =
            over.iter().filter_map(|id| self.take(id)).filter(|call| call.caller != conn).collect();
        ended
    }

    /// The connected node of this id: its youngest connection.
    pub fn find(&self, node_id: &str) -> Option<&LiveNode> {
        self.live.get(node_id)?.last()
    }

    /// The node behind a connection.
    pub fn of_conn(&self, conn: ConnId) -> Option<&LiveNode> {
        self.live.values().flatten().find(|node| node.conn == conn)
    }

    /// All connected nodes, by id.
    pub fn iter(&self) -> impl Iterator<Item = &LiveNode> {
        self.live.values().filter_map(|nodes| nodes.last())
    }

    /// The connections of a node.
    pub fn conns(&self, node_id: &str) -> Vec<ConnId> {
        self.live.get(node_id).map_or_else(Vec::new, |nodes| nodes.iter().map(|node| node.conn).collect())
    }

    /// Gives a connection what has been approved for its node since it came.
    pub fn extend(&mut self, conn: ConnId, surface: &Surface) {
        if let Some(node) = self.live.values_mut().flatten().find(|node| node.conn == conn) {
            node.offer(surface);
        }
    }

    /// Notes that a call was sent to a node.
    ///
    /// # Errors
    /// Too many calls wait; nothing was noted and nothing may be sent.
    pub fn invoke(&mut self, call: Invocation) -> Result<(), Busy> {
        if self.invocations.len() >= limits::INVOCATIONS_PENDING_MAX {
            return Err(Busy::Gateway);
        }
        if self.invocations.values().filter(|other| other.caller == call.caller).count()
            >= limits::CALLS_PENDING_MAX
        {
            return Err(Busy::Caller);
        }
        self.deadlines.insert((call.deadline, call.id.clone()));
        self.invocations.insert(call.id.clone(), call);
        Ok(())
    }

    /// Whether the gateway has asked this of the node on this connection, and waits for the answer.
    pub fn asked(&self, conn: ConnId, id: &str) -> bool {
        self.invocations.get(id).is_some_and(|call| call.node == conn)
    }

    /// The call that this connection answers, which is over now; none for an id that is unknown, late, or was given to
    /// another connection.
    pub fn answer(&mut self, conn: ConnId, id: &str) -> Option<Invocation> {
        self.invocations.get(id).filter(|call| call.node == conn)?;
        self.take(id)
    }

    /// Calls that took too long; they are over now.
    pub fn expire(&mut self, now: Instant) -> Vec<Invocation> {
        let late = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        let late: Vec<String> = late.map(|(_, id)| id.clone()).collect();
        late.iter().filter_map(|id| self.take(id)).collect()
    }

    /// Calls that wait for an answer.
    pub fn invocations(&self) -> impl Iterator<Item = &Invocation> {
        self.invocations.values()
    }

    /// When [`Nodes::expire`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// What waits until nodes ask for it.
    pub fn work(&mut self) -> &mut Work {
        &mut self.work
    }

    /// The same, to be looked at.
    pub fn waiting_work(&self) -> &Work {
        &self.work
    }

    fn take(&mut self, id: &str) -> Option<Invocation> {
        let call = self.invocations.remove(id)?;
        self.deadlines.remove(&(call.deadline, call.id.clone()));
        Some(call)
    }
}

impl LiveNode {
    /// A node that has just connected and may offer nothing yet.
    pub fn new(conn: ConnId, ask: NodeAsk, connected_at_ms: u64) -> Self {
        let (caps, commands, permissions) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { conn, ask, path_env: None, caps, commands, permissions, connected_at_ms }
    }

    /// What it still wants to offer if the settings let less through than when it came.
    pub fn under(mut self, settings: &Settings) -> Self {
        let platform = Platform::of(self.platform(), self.ask.device_family.as_deref());
        if let Some(commands) = &mut self.ask.commands {
            commands.retain(|command| command::is_allowed(command, platform, settings));
        }
        self
    }

    /// Lets it offer what is approved.
    pub fn offer(&mut self, surface: &Surface) {
        self.caps.clone_from(&surface.caps);
        self.commands.clone_from(&surface.commands);
        self.permissions.clone_from(&surface.permissions);
    }

    /// Its device id.
    pub fn id(&self) -> &str {
        &self.ask.node_id
    }

    /// Its system, in its own words.
    pub fn platform(&self) -> &str {
        self.ask.platform.as_deref().unwrap_or("unknown")
    }

    /// Whether it may be asked for a command under these settings.
    ///
    /// # Errors
    /// Why not.
    pub fn may(&self, command: &str, settings: &Settings) -> Result<(), Refused> {
        let platform = Platform::of(self.platform(), self.ask.device_family.as_deref());
        if !command::is_allowed(command, platform, settings) {
            return Err(Refused::NotAllowed);
        }
        if self.commands.is_empty() {
            return Err(Refused::NothingOffered);
        }
        if self.commands.contains(command) { Ok(()) } else { Err(Refused::NotOffered) }
    }

    /// Whether it can browse for others.
    pub fn is_browser(&self) -> bool {
        self.caps.contains("browser") || self.commands.contains("browser.proxy")
    }
}

/// What a connecting node wants to offer: what it declares, without the commands that the filter holds back.
pub fn wish(connect: &Connect, node_id: &str, settings: &Settings) -> NodeAsk {
    let client = &connect.client;
    let platform = Platform::of(&client.platform, client.device_family.as_deref());
    let names = |list: &[String]| {
        list.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let mut commands: BTreeSet<String> = names(&connect.commands);
    commands.retain(|command| command::is_allowed(command, platform, settings));
    NodeAsk {
        node_id: node_id.to_owned(),
        display_name: client.display_name.clone(),
        platform: Some(client.platform.clone()),
        version: Some(client.version.clone()),
        device_family: client.device_family.clone(),
        model_identifier: client.model_identifier.clone(),
        client_id: Some(client.id.clone()),
        client_mode: Some(client.mode.clone()),
        caps: Some(names(&connect.caps)),
        commands: Some(commands),
        permissions: Some(connect.permissions.clone()).filter(|permissions| !permissions.is_empty()),
        ..NodeAsk::default()
    }
}

/// How long a call may take: what the caller asks for, within [`limits::INVOCATION`].
pub fn patience(timeout_ms: Option<u64>) -> Duration {
    let bounds = limits::INVOCATION;
    timeout_ms.map_or(bounds.default, |ms| Duration::from_millis(ms).clamp(bounds.min, bounds.max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::gateway::BrowserMode;
    use serde_json::json;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn node(id: &str, slot: u32) -> LiveNode {
        let ask =
            NodeAsk { node_id: id.to_owned(), platform: Some("linux".to_owned()), ..NodeAsk::default() };
        let commands = ["system.which", "camera.snap"].map(str::to_owned).into();
        LiveNode { commands, ..LiveNode::new(conn(slot), ask, 7) }
    }

    fn settings(allow: &[&str], deny: &[&str]) -> Settings {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let (allow_commands, deny_commands) = (names(allow), names(deny));
        Settings { allow_commands, deny_commands, browser_mode: BrowserMode::Auto, browser_node: None }
    }

    fn call(id: &str, node: u32, caller: u32, deadline: Instant) -> Invocation {
        Invocation {
            id: id.to_owned(),
            node_id: "n".to_owned(),
            node: conn(node),
            command: "system.which".to_owned(),
            caller: conn(caller),
            request: "1".to_owned(),
            purpose: Purpose::Invoke,
            deadline,
        }
    }

    #[test]
    fn the_end_of_one_connection_leaves_the_other() {
        for (first, second) in [(1, 2), (2, 1)] {
            let mut nodes = Nodes::default();
            nodes.register(node("n", 1));
            nodes.register(node("n", 2));
            assert_eq!(nodes.find("n").unwrap().conn, conn(2), "the younger serves");
            assert_eq!(nodes.unregister(conn(first)).left, None);
            assert_eq!(nodes.find("n").unwrap().conn, conn(second));
            assert_eq!(nodes.unregister(conn(second)).left.as_deref(), Some("n"));
            assert!(nodes.find("n").is_none() && nodes.iter().next().is_none());
        }
    }

    #[test]
    fn only_the_connection_that_was_asked_answers_and_only_once() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        nodes.invoke(call("a", 1, 9, now)).unwrap();
        assert!(nodes.answer(conn(2), "a").is_none());
        assert!(nodes.answer(conn(1), "b").is_none());
        assert_eq!(nodes.answer(conn(1), "a").unwrap().request, "1");
        assert!(nodes.answer(conn(1), "a").is_none());
        assert_eq!(nodes.deadline(), None);
    }

    #[test]
    fn calls_end_with_the_node_the_caller_or_their_deadline() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        nodes.register(node("n", 1));
        for (id, at) in [("a", later), ("b", now), ("c", later)] {
            nodes.invoke(call(id, 1, 8, at)).unwrap();
        }
        nodes.invoke(call("d", 1, 9, later)).unwrap();
        assert_eq!(nodes.deadline(), Some(now));
        assert_eq!(nodes.expire(now).iter().map(|call| &*call.id).collect::<Vec<_>>(), ["b"]);
        assert!(nodes.unregister(conn(9)).unanswered.is_empty(), "nobody waits for d any more");
        let ended = nodes.unregister(conn(1));
        assert_eq!(ended.unanswered.iter().map(|call| &*call.id).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(nodes.deadline(), None);
    }

    #[test]
    fn calls_are_bounded_in_all_and_for_each_caller() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        for i in 0..limits::CALLS_PENDING_MAX {
            nodes.invoke(call(&format!("{i}"), 1, 9, now)).unwrap();
        }
        assert_eq!(nodes.invoke(call("x", 1, 9, now)), Err(Busy::Caller));
        for i in limits::CALLS_PENDING_MAX..limits::INVOCATIONS_PENDING_MAX {
            nodes.invoke(call(&format!("{i}"), 1, 1000 + u32::try_from(i).unwrap(), now)).unwrap();
        }
        assert_eq!(nodes.invoke(call("x", 1, 1, now)), Err(Busy::Gateway));
        assert_eq!(nodes.expire(now).len(), limits::INVOCATIONS_PENDING_MAX);
    }

    #[test]
    fn a_node_is_asked_for_what_it_offers_and_the_settings_allow() {
        let node = node("n", 1);
        assert_eq!(node.may("system.which", &settings(&[], &[])), Ok(()));
        assert_eq!(node.may("system.which", &settings(&[], &["system.which"])), Err(Refused::NotAllowed));
        assert_eq!(node.may("system.run", &settings(&[], &[])), Err(Refused::NotOffered));
        assert_eq!(node.may("camera.snap", &settings(&[], &[])), Err(Refused::NotAllowed));
        assert_eq!(node.may("camera.snap", &settings(&["camera.snap"], &[])), Ok(()));
        let nothing = LiveNode { commands: BTreeSet::new(), ..node };
        assert_eq!(nothing.may("system.which", &settings(&[], &[])), Err(Refused::NothingOffered));
    }

    #[test]
    fn a_wish_leaves_out_what_the_filter_holds_back() {
        let connect = Connect::parse(&json!({
            "minProtocol": 3, "maxProtocol": 4, "role": "node", "caps": ["system", "browser"],
            "commands": ["system.which", "camera.snap", " ", "system.execApprovals.get"],
            "client": {"id": "node-host", "mode": "node", "version": "1", "platform": "linux"},
        }));
        let wish = wish(&connect.unwrap(), "n", &settings(&[], &[]));
        assert_eq!(wish.commands, Some(["system.which".to_owned()].into()));
        assert_eq!(wish.caps, Some(["browser".to_owned(), "system".to_owned()].into()));
    }

    #[test]
    fn a_callers_patience_has_bounds() {
        assert_eq!(patience(None), limits::INVOCATION.default);
        assert_eq!(patience(Some(0)), limits::INVOCATION.min);
        assert_eq!(patience(Some(u64::MAX)), limits::INVOCATION.max);
        assert_eq!(patience(Some(1500)), Duration::from_millis(1500));
    }
}
