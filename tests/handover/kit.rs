//! Sessions of every kind, and what must be true of them after a restart.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::client::{Device, cli};
use crate::live::{End, Gate, Peer, head, node, operator, with_auth};

pub(crate) const ADMIN: &[&str] = &["operator.admin"];
pub(crate) const READ: &[&str] = &["operator.read"];
/// A restart that is planned, and a crash.
pub(crate) const BOTH: [Signal; 2] = [Signal::SIGTERM, Signal::SIGKILL];
/// No deadline of the handshake comes in the way.
pub(crate) const PATIENT: &str =
    "{handshake: {timeoutMs: 120000, headTimeoutMs: 60000, closingTimeoutMs: 30000}}";
/// How far a deadline may be missed, by a debug build on a shared machine.
pub(crate) const LATE: Duration = Duration::from_millis(1_500);

/// A session of some kind.
pub(crate) struct Member {
    pub(crate) kind: &'static str,
    pub(crate) peer: Peer,
    /// It may do everything, or it may only read; a node may do neither.
    pub(crate) rights: Rights,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    All,
    Read,
    Node,
}

impl Member {
    fn new(kind: &'static str, peer: Peer, rights: Rights) -> Self {
        Self { kind, peer, rights }
    }

    /// It is there, and may do what it could do before and no more.
    pub(crate) fn is_itself(&mut self) {
        let (kind, rights) = (self.kind, self.rights);
        let mut call = |method: &str, params: &Value| {
            self.peer.call(method, params).unwrap_or_else(|end| panic!("{kind}, {method}: {end:?}"))
        };
        let health = call("health", &json!({}));
        let switch = call("set-heartbeats", &json!({"enabled": true}));
        let drained = call("node.pending.drain", &json!({}));
        let message = |answer: &Value| answer["error"]["message"].as_str().unwrap_or("none").to_owned();
        match rights {
            Rights::All | Rights::Read => {
                assert_eq!(health["ok"], true, "{kind}: {health}");
                assert_eq!(switch["ok"], rights == Rights::All, "{kind}: {switch}");
                assert_eq!(message(&drained), "unauthorized role: operator", "{kind}");
            }
            Rights::Node => {
                assert_eq!(message(&switch), "unauthorized role: node", "{kind}");
                assert_eq!(drained["ok"], true, "{kind}: {drained}");
            }
        }
        if rights == Rights::Read {
            assert_eq!(message(&switch), "missing scope: operator.admin", "{kind}");
        }
    }
}

/// One session of each kind: both protocols, both doors, every way to prove who one is, both roles.
pub(crate) fn one_of_each(gate: &Gate) -> Vec<Member> {
    let device = Device::new(1);
    let mut paired = gate.open();
    let params = paired.sign(&device, operator(4, ADMIN));
    let token = paired.admit(params)["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
    let mut by_token = gate.open();
    let params = by_token.sign(&device, with_auth(cli(3, READ), json!({"deviceToken": token})));
    by_token.admit(params);
    let mut at_owners_door = owners(gate);
    at_owners_door.admit(with_auth(operator(4, ADMIN), json!({})));
    let mut older = gate.open();
    older.admit(operator(3, READ));
    vec![
        Member::new("protocol 3, shared token", older, Rights::Read),
        Member::new("protocol 4, shared token", gate.operator(ADMIN), Rights::All),
        Member::new("protocol 4, device", paired, Rights::All),
        Member::new("protocol 3, device token", by_token, Rights::Read),
        Member::new("protocol 4, owner's socket", at_owners_door, Rights::All),
        Member::new("node", node_host(gate, 7), Rights::Node),
    ]
}

/// A connection to the owner's socket that was upgraded and challenged.
pub(crate) fn owners(gate: &Gate) -> Peer {
    Peer::upgrade(gate.dial_owner(), &head(gate.port, "/", "")).expect("an upgrade")
}

/// A connected node, local and so paired at once.
pub(crate) fn node_host(gate: &Gate, number: u8) -> Peer {
    let mut peer = gate.open();
    let params = peer.sign(&Device::new(number), node());
    peer.admit(params);
    peer
}

/// A program that stands in the presence list under this name; those of command lines do not.
pub(crate) fn listed(gate: &Gate, name: &str) -> Peer {
    let mut peer = gate.open();
    peer.admit(listed_params(name));
    peer
}

pub(crate) fn listed_params(name: &str) -> Value {
    let mut params = operator(4, READ);
    params["client"] = json!({"id": "gateway-client", "mode": "backend", "version": "1", "platform": "linux",
        "instanceId": name});
    params
}

/// The numbers of the events that came.
pub(crate) fn numbers(peer: &Peer) -> Vec<u64> {
    peer.events.iter().filter_map(|event| event["seq"].as_u64()).collect()
}

/// Every number once and in order, from the first event that a connection gets.
pub(crate) fn without_a_gap(numbers: &[u64]) {
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

/// Closed for the restart, and told why.
pub(crate) fn cut_off(what: &str, end: &End) {
    assert!(end.0 == 1012 && !end.1.is_empty(), "{what}: {end:?}");
}
