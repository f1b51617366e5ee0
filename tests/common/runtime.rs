//! A runtime in memory: the server's side of every leg that a gateway opens, doing as the test says.
#![allow(dead_code, reason = "each test file uses its part of it")]

use std::collections::VecDeque;

use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use loopgate::clock::Now;
use loopgate::gateway::Gateway;
use loopgate::gateway::io::{ConnId, Input};

use crate::common::client::Pipe;

/// How a runtime behaves towards who connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// It lets everybody in.
    Serves,
    /// Nobody listens.
    Away,
    /// It is stopped: connections lie in its backlog, nothing is read and nothing is written.
    Frozen,
    /// It accepts and says nothing, as while it loads plugins.
    Mute,
    /// It answers `connect` with this error.
    Refuses(Value),
    /// It answers the upgrade with these bytes.
    Answers(&'static str),
}

/// A runtime and all connections to it.
pub struct Runtime {
    pub manner: Manner,
    /// The uid of its process.
    pub owner: u32,
    /// What its hello-ok says.
    pub hello: Value,
    /// Open connections, the one that came first first.
    pub legs: Vec<ServerLeg>,
    /// How many connections were tried.
    pub dials: usize,
    /// The port of the last of them.
    pub port: u16,
    /// Connections that it did not accept yet.
    pub backlog: Vec<ConnId>,
    /// How many bytes it takes of one connection at a time.
    pub most: usize,
}

/// The runtime's side of one leg.
pub struct ServerLeg {
    pub conn: ConnId,
    socket: WebSocketContext,
    pipe: Pipe,
    /// The head of the upgrade, once it is there.
    pub head: Option<String>,
    /// The params of `connect`.
    pub connect: Option<Value>,
    /// Whether it was let in.
    pub open: bool,
    /// Requests that nobody took.
    pub asked: VecDeque<Asked>,
    pub pings: usize,
    /// Whether the gateway has said that the leg ends.
    pub closed: bool,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub id: String,
    pub method: String,
    pub text: String,
}

impl Runtime {
    /// One that serves, of this protocol and the user `owner`.
    pub fn new(protocol: u32, owner: u32) -> Self {
        let version = if protocol == 3 { "2026.3.13" } else { "2026.9.6" };
        let hello = json!({
            "type": "hello-ok", "protocol": protocol,
            "server": {"version": version, "connId": "made-up"},
            "features": {"methods": ["agent", "chat.send", "health", "wizard.start"], "events": []},
        });
        Self {
            manner: Manner::Serves,
            owner,
            hello,
            legs: Vec::new(),
            dials: 0,
            port: 0,
            backlog: Vec::new(),
            most: usize::MAX,
        }
    }

    /// The gateway dials.
    pub fn dialled(&mut self, conn: ConnId, port: u16) {
        self.dials += 1;
        self.port = port;
        self.backlog.push(conn);
    }

    /// The gateway has closed a connection.
    pub fn closed(&mut self, conn: ConnId) {
        self.backlog.retain(|waiting| *waiting != conn);
        self.legs.retain(|leg| leg.conn != conn);
    }

    /// Accepts, reads, and answers what it answers by itself. True if anything happened.
    pub fn turn(&mut self, gateway: &mut Gateway, now: Now) -> bool {
        if self.manner == Manner::Frozen {
            return false;
        }
        let dialled = std::mem::take(&mut self.backlog);
        let mut busy = !dialled.is_empty();
        for conn in dialled {
            if self.manner == Manner::Away {
                gateway.handle(Input::Lost { conn }, now);
            } else {
                self.legs.push(ServerLeg::new(conn));
                gateway.handle(Input::Dialled { conn, owner: self.owner }, now);
            }
        }
        for leg in &mut self.legs {
            busy |= leg.turn((&self.manner, &self.hello, self.most), gateway, now);
        }
        busy
    }

    /// The process is gone: every connection breaks, in this order of [`Runtime::legs`].
    pub fn die(&mut self, gateway: &mut Gateway, last_first: bool, now: Now) {
        self.manner = Manner::Away;
        let mut conns: Vec<ConnId> = self.legs.drain(..).map(|leg| leg.conn).collect();
        conns.append(&mut self.backlog);
        if last_first {
            conns.reverse();
        }
        for conn in conns {
            gateway.handle(Input::Lost { conn }, now);
        }
    }

    /// The connection by which the gateway itself sees how the runtime is.
    pub fn sentinel(&mut self) -> &mut ServerLeg {
        self.find(|connect| connect["client"]["displayName"] == "loopgate").expect("a sentinel")
    }

    /// The leg of the client that gave this `instanceId`.
    pub fn leg(&mut self, name: &str) -> &mut ServerLeg {
        let seen: Vec<Option<Value>> = self.legs.iter().map(|leg| leg.connect.clone()).collect();
        self.find(|connect| connect["client"]["instanceId"] == name)
            .unwrap_or_else(|| panic!("{name} has no leg: {seen:?}"))
    }

    /// Whether that client has one.
    pub fn has_leg(&mut self, name: &str) -> bool {
        self.find(|connect| connect["client"]["instanceId"] == name).is_some()
    }

    fn find(&mut self, which: impl Fn(&Value) -> bool) -> Option<&mut ServerLeg> {
        self.legs.iter_mut().find(|leg| leg.connect.as_ref().is_some_and(&which))
    }
}

impl ServerLeg {
    fn new(conn: ConnId) -> Self {
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        Self {
            conn,
            socket: WebSocketContext::new(Role::Server, Some(config)),
            pipe: Pipe::default(),
            head: None,
            connect: None,
            open: false,
            asked: VecDeque::new(),
            pings: 0,
            closed: false,
        }
    }

    fn turn(
        &mut self,
        (manner, hello, most): (&Manner, &Value, usize),
        gateway: &mut Gateway,
        now: Now,
    ) -> bool {
        let mut bytes = gateway.outgoing(self.conn).to_vec();
        bytes.truncate(most);
        if bytes.is_empty() {
            return false;
        }
        gateway.handle(Input::Sent { conn: self.conn, bytes: bytes.len() }, now);
        self.pipe.rx.extend(&bytes);
        if self.head.is_none() {
            self.upgrade(manner);
        }
        self.read(manner, hello);
        drop(self.socket.flush(&mut self.pipe));
        self.flush(gateway, now);
        true
    }

    fn upgrade(&mut self, manner: &Manner) {
        let all: Vec<u8> = self.pipe.rx.iter().copied().collect();
        let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { return };
        self.pipe.rx.drain(..end + 4);
        let head = String::from_utf8(all[..end + 4].to_vec()).expect("text");
        if let Manner::Answers(bytes) = manner {
            self.pipe.tx.extend(bytes.as_bytes());
        } else {
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            self.pipe.tx.extend(answer.as_bytes());
            if *manner != Manner::Mute {
                self.write(&format!(
                    r#"{{"type":"event","event":"connect.challenge","payload":{{"nonce":"{NONCE}","ts":1}}}}"#
                ));
            }
        }
        self.head = Some(head);
    }

    fn read(&mut self, manner: &Manner, hello: &Value) {
        while self.head.is_some() {
            match self.socket.read(&mut self.pipe) {
                Ok(Message::Text(text)) => self.hear(&text, manner, hello),
                Ok(Message::Ping(_)) => self.pings += 1,
                Ok(Message::Close(_)) => self.closed = true,
                Ok(other) => panic!("unexpected {other:?}"),
                Err(_) => return,
            }
        }
    }

    fn hear(&mut self, text: &str, manner: &Manner, hello: &Value) {
        let request: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(request["type"], "req", "{text}");
        let (id, method) = (request["id"].as_str().expect("an id"), request["method"].as_str().unwrap());
        if self.open {
            self.asked.push_back(Asked {
                id: id.to_owned(),
                method: method.to_owned(),
                text: text.to_owned(),
            });
            return;
        }
        assert_eq!((method, self.connect.is_none()), ("connect", true), "before hello-ok: {text}");
        self.connect = Some(request["params"].clone());
        if let Manner::Refuses(error) = manner {
            self.write(&json!({"type": "res", "id": id, "ok": false, "error": error}).to_string());
        } else {
            self.open = true;
            self.write(&json!({"type": "res", "id": id, "ok": true, "payload": hello}).to_string());
        }
    }

    fn write(&mut self, text: &str) {
        drop(self.socket.write(&mut self.pipe, Message::text(text)));
        drop(self.socket.flush(&mut self.pipe));
    }

    /// Hands over what was written.
    fn flush(&mut self, gateway: &mut Gateway, now: Now) {
        let bytes = std::mem::take(&mut self.pipe.tx);
        if !bytes.is_empty() {
            gateway.handle(Input::Bytes { conn: self.conn, bytes: &bytes }, now);
        }
    }

    /// Says something.
    pub fn say(&mut self, gateway: &mut Gateway, text: &str, now: Now) {
        self.write(text);
        self.flush(gateway, now);
    }

    /// The bytes of a message, without sending them.
    pub fn encode(&mut self, text: &str) -> Vec<u8> {
        self.write(text);
        std::mem::take(&mut self.pipe.tx)
    }
}

/// The nonce of every challenge.
pub const NONCE: &str = "made-up-nonce";
