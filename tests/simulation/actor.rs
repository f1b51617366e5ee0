//! A peer: what it sends, and what it may ever see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use loopgate::clock::Now;
use loopgate::gateway::io::ConnId;
use serde_json::{Value, json};

use crate::common::client::{Client, Device, cli};

/// What a peer is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A command line with the right secret, without a device.
    Plain,
    /// The same with a device.
    Device,
    /// A node host.
    Node,
    /// A wrong secret.
    Wrong,
    /// A page of our own origin with a device that nobody has approved.
    Page,
    /// Another user's process with the right secret.
    Stranger,
    /// Opens and never says anything.
    Silent,
    /// Sends bytes that mean nothing.
    Noise,
    /// Speaks before it is admitted.
    Hasty,
    /// Asks for /readyz.
    Probe,
}

/// A peer, what it has sent and what it knows. Of restarts it knows nothing.
#[allow(clippy::struct_excessive_bools, reason = "each says something else about the peer")]
pub struct Actor {
    pub kind: Kind,
    pub client: Client,
    protocol: u32,
    born: Now,
    /// Bytes that it has written and the network has not delivered.
    pub wire: VecDeque<u8>,
    /// Bytes that the gateway wrote and the network has not delivered.
    pub back: Vec<u8>,
    challenged: bool,
    pub connected: bool,
    /// Requests without an answer, and how many answers each got.
    pub asked: BTreeMap<String, u32>,
    next: u64,
    /// The number of the last event.
    seq: u64,
    /// Calls that it got as a node.
    called: BTreeSet<String>,
    pub gone: bool,
    /// How many numbers may be left out: one for each leg to the runtime that was lost.
    pub slack: u64,
    /// Does not take what is sent to it.
    pub deaf: bool,
}

impl Actor {
    pub fn new(kind: Kind, conn: ConnId, protocol: u32, now: Now) -> Self {
        Self {
            kind,
            client: Client::on(conn),
            protocol,
            born: now,
            wire: VecDeque::new(),
            back: Vec::new(),
            challenged: false,
            connected: false,
            asked: BTreeMap::new(),
            next: 0,
            seq: 0,
            called: BTreeSet::new(),
            gone: false,
            slack: 0,
            deaf: false,
        }
    }

    /// Sends a request for one of the methods.
    pub fn ask(&mut self, pick: u64) {
        let method = METHODS[(pick % METHODS.len() as u64) as usize];
        let params = match method {
            "node.invoke" => json!({
                "nodeId": Device::new(NODE).id(), "command": "system.which", "idempotencyKey": "k", "timeoutMs": 9000,
            }),
            "sessions.messages.subscribe" => json!({"key": "agent:main:main"}),
            "agent" | "chat.send" if pick % 2 == 0 => json!({"message": "hello", "idempotencyKey": "k"}),
            _ => json!({"text": "hello", "enabled": true, "event": "x"}),
        };
        self.request(method, &params);
    }

    fn request(&mut self, method: &str, params: &Value) {
        self.next += 1;
        let id = format!("r{}", self.next);
        let text = json!({"type": "req", "id": id, "method": method, "params": params}).to_string();
        let bytes = self.client.encode(&text);
        self.wire.extend(bytes);
        self.asked.insert(id, 0);
    }

    /// Reads what came and reacts to it.
    pub fn take(&mut self, now: Now) {
        let bytes = std::mem::take(&mut self.back);
        self.client.take_in(&bytes);
        while let Some(frame) = self.client.frames.pop_front() {
            self.react(&frame, now);
        }
        let pongs = self.client.encode_pending();
        self.wire.extend(pongs);
    }

    fn react(&mut self, frame: &Value, now: Now) {
        match frame["type"].as_str().unwrap() {
            "event" => self.hear(frame, now),
            "res" => self.take_answer(frame),
            other => panic!("a frame of type {other}"),
        }
    }

    fn hear(&mut self, frame: &Value, now: Now) {
        let name = frame["event"].as_str().unwrap();
        if let Some(seq) = frame["seq"].as_u64() {
            let left_out = seq.checked_sub(self.seq + 1).expect("never backwards, and none twice");
            assert!(left_out <= self.slack, "{:?} missed an event: {frame} after {}", self.kind, self.seq);
            (self.seq, self.slack) = (seq, self.slack - left_out);
        }
        if name == "connect.challenge" {
            assert!(!std::mem::replace(&mut self.challenged, true), "challenged twice");
            if self.kind != Kind::Hasty {
                let params = self.params(frame["payload"]["nonce"].as_str().unwrap(), now);
                let text =
                    json!({"type": "req", "id": "c", "method": "connect", "params": params}).to_string();
                let bytes = self.client.encode(&text);
                self.wire.extend(bytes);
            }
        }
        if self.kind == Kind::Node {
            let may = matches!(name, "connect.challenge" | "tick" | "shutdown" | "node.invoke.request");
            assert!(may, "a node heard {name}");
        }
        if name == "node.invoke.request" {
            let id = frame["payload"]["id"].as_str().unwrap().to_owned();
            assert!(self.called.insert(id.clone()), "called twice for the same");
            let params = json!({"id": id, "nodeId": Device::new(NODE).id(), "ok": true, "payloadJSON": "{}"});
            self.request("node.invoke.result", &params);
        }
    }

    fn take_answer(&mut self, frame: &Value) {
        let id = frame["id"].as_str().unwrap();
        if id == "c" {
            assert!(!self.connected, "let in twice");
            self.connected = frame["ok"] == true;
            self.judge_hello(frame);
        } else if frame["payload"]["status"] == "accepted" {
            // The first of two.
            assert_eq!(self.asked.get(id), Some(&0), "{id} was answered before it was accepted");
        } else if let Some(answers) = self.asked.get_mut(id) {
            *answers += 1;
            assert_eq!(*answers, 1, "{id} was answered twice");
        }
    }

    fn params(&self, nonce: &str, now: Now) -> Value {
        let mut params = cli(self.protocol, &["operator.admin"]);
        let number = match self.kind {
            Kind::Device => 1,
            Kind::Node => NODE,
            Kind::Page => 3,
            Kind::Wrong => {
                params["auth"]["token"] = json!("canary-made-up");
                return params;
            }
            _ => return params,
        };
        if self.kind == Kind::Device {
            // Unlike a command line it is listed.
            params["client"]["mode"] = json!("ui");
        }
        if self.kind == Kind::Node {
            params["role"] = json!("node");
            params["scopes"] = json!([]);
            params["commands"] = json!(["system.which"]);
            params["client"] =
                json!({"id": "node-host", "mode": "node", "version": "1", "platform": "linux"});
        }
        if self.kind == Kind::Page {
            params["client"]["id"] = json!("openclaw-control-ui");
            params["client"]["mode"] = json!("webchat");
        }
        Device::new(number).sign(params, nonce, now.unix_ms)
    }

    fn judge_hello(&self, frame: &Value) {
        match self.kind {
            Kind::Wrong | Kind::Page | Kind::Stranger => {
                assert_eq!(frame["ok"], false, "{:?}: {frame}", self.kind);
            }
            Kind::Plain | Kind::Device if frame["ok"] == true => {
                let scopes = &frame["payload"]["auth"]["scopes"];
                let narrowed = [
                    json!(["operator.read", "operator.write"]),
                    json!(["operator.approvals", "operator.read"]),
                ];
                assert!(scopes[0] == "operator.admin" || narrowed.contains(scopes), "{frame}");
            }
            Kind::Node if frame["ok"] == true => {
                assert_eq!(frame["payload"]["auth"]["role"], "node", "{frame}");
            }
            _ => {
                // A secret that was changed meanwhile, or a disk that failed: refused, with a reason.
                assert!(frame["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{frame}");
            }
        }
    }

    pub fn judge(&self, now: Now) {
        if let Some((code, reason)) = &self.client.close {
            assert!(
                *code != 1000 && *code != 1005 && !reason.is_empty(),
                "{:?}: {code} {reason:?}",
                self.kind
            );
        }
        if self.kind == Kind::Silent && !self.gone {
            let age = now.mono.duration_since(self.born.mono);
            // 15 s for the handshake, 2 s to drain, and the time that passed in one step and one restart.
            assert!(age < Duration::from_secs(15 + 2 + 41 + 3), "a silent peer is {age:?} old");
        }
    }
}

/// The device that is a node.
const NODE: u8 = 2;
const METHODS: [&str; 19] = [
    "agent",
    "chat.send",
    "cron.list",
    "hooks.status",
    "skills.bins",
    "wizard.start",
    "health",
    "system-presence",
    "last-heartbeat",
    "set-heartbeats",
    "chat.send",
    "no.such",
    "connect",
    "system-event",
    "gateway.identity.get",
    "sessions.subscribe",
    "sessions.messages.subscribe",
    "node.event",
    "node.invoke",
];
