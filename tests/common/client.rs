//! A client in memory: tungstenite's client side, fed with what the gateway sends.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tungstenite::Message;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};

use loopgate::gateway::io::{ConnId, Door, Peer};

use super::{OWNER, TOKEN, World};

/// One client and its connection.
pub struct Client {
    pub conn: ConnId,
    socket: WebSocketContext,
    pipe: Pipe,
    next: u64,
    /// The HTTP answer, once it is there.
    pub status: Option<u16>,
    /// Frames that came and nobody took.
    pub frames: VecDeque<Value>,
    /// The texts of the frames as they came, where a test wants them.
    pub texts: Option<Vec<String>>,
    /// The close that came: code and reason.
    pub close: Option<(u16, String)>,
    pub pings: usize,
}

/// A device key and what it signs with.
#[derive(Clone)]
pub struct Device(pub SigningKey);

/// What came and was not read yet, and what was written.
#[derive(Default)]
pub struct Pipe {
    pub rx: VecDeque<u8>,
    pub tx: Vec<u8>,
}

impl Client {
    /// Opens a connection of the owner's, without an Origin, and takes the challenge.
    pub fn open(world: &mut World) -> Self {
        let peer = Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None };
        Self::open_with(world, peer, "Host: 127.0.0.1:18789\r\n")
    }

    /// The same for any peer and any headers.
    pub fn open_with(world: &mut World, peer: Peer, headers: &str) -> Self {
        let conn = world.accept_from(peer);
        let mut client = Self::on(conn);
        let head = format!(
            "GET / HTTP/1.1\r\n{headers}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        world.bytes(conn, head.as_bytes());
        client.receive(world);
        client
    }

    /// A client on a connection that has sent nothing.
    pub fn on(conn: ConnId) -> Self {
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        Self {
            conn,
            socket: WebSocketContext::new(Role::Client, Some(config)),
            pipe: Pipe::default(),
            next: 0,
            status: None,
            frames: VecDeque::new(),
            texts: None,
            close: None,
            pings: 0,
        }
    }

    /// Takes what the gateway has for this client.
    pub fn receive(&mut self, world: &mut World) {
        let bytes = world.take(self.conn);
        self.take_in(&bytes);
        self.write(world);
    }

    /// Takes bytes that came from the gateway.
    pub fn take_in(&mut self, bytes: &[u8]) {
        self.pipe.rx.extend(bytes);
        if self.status.is_none() {
            let all: Vec<u8> = self.pipe.rx.iter().copied().collect();
            let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else {
                return;
            };
            let line = String::from_utf8_lossy(&all[..end]).into_owned();
            self.status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
            self.pipe.rx.drain(..end + 4);
        }
        if self.status != Some(101) {
            return;
        }
        while let Ok(message) = self.socket.read(&mut self.pipe) {
            match message {
                Message::Text(text) => {
                    self.frames.push_back(serde_json::from_str(&text).expect("JSON"));
                    self.texts.iter_mut().for_each(|texts| texts.push(text.to_string()));
                }
                Message::Close(Some(frame)) => {
                    self.close = Some((frame.code.into(), frame.reason.to_string()));
                }
                Message::Close(None) => self.close = Some((1005, String::new())),
                Message::Ping(_) => self.pings += 1,
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// Hands what the client has written to the gateway.
    pub fn write(&mut self, world: &mut World) {
        drop(self.socket.flush(&mut self.pipe));
        let bytes = std::mem::take(&mut self.pipe.tx);
        if !bytes.is_empty() {
            world.bytes(self.conn, &bytes);
            let back = world.take(self.conn);
            self.take_in(&back);
            let bytes = std::mem::take(&mut self.pipe.tx);
            if !bytes.is_empty() {
                world.bytes(self.conn, &bytes);
            }
        }
    }

    /// The bytes of a text message, without sending them.
    pub fn encode(&mut self, text: &str) -> Vec<u8> {
        drop(self.socket.write(&mut self.pipe, Message::text(text)));
        drop(self.socket.flush(&mut self.pipe));
        std::mem::take(&mut self.pipe.tx)
    }

    /// The bytes of what the client owes by itself: pongs and the echo of a close.
    pub fn encode_pending(&mut self) -> Vec<u8> {
        drop(self.socket.flush(&mut self.pipe));
        std::mem::take(&mut self.pipe.tx)
    }

    /// Sends a text message.
    pub fn send(&mut self, world: &mut World, text: &str) {
        drop(self.socket.write(&mut self.pipe, Message::text(text)));
        self.write(world);
    }

    /// Closes from the client's side, with a code or without one.
    pub fn hang_up(&mut self, world: &mut World, code: Option<u16>) {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: "".into() });
        drop(self.socket.close(&mut self.pipe, frame));
        self.write(world);
    }

    /// The nonce of the challenge, which must be the first frame.
    pub fn nonce(&mut self) -> String {
        let challenge = self.frames.pop_front().expect("a challenge");
        assert_eq!(challenge["event"], "connect.challenge", "{challenge}");
        challenge["payload"]["nonce"].as_str().expect("a nonce").to_owned()
    }

    /// Sends a request and gives its answer; events that come before it are kept.
    pub fn call(&mut self, world: &mut World, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = format!("{}", self.next);
        self.send(world, &json!({"type": "req", "id": id, "method": method, "params": params}).to_string());
        self.answer(&id)
    }

    /// Takes the answer to request `id` out of what came.
    pub fn answer(&mut self, id: &str) -> Value {
        let index = self.frames.iter().position(|frame| frame["type"] == "res" && frame["id"] == id);
        let index = index.unwrap_or_else(|| panic!("no answer to {id}: {:?} {:?}", self.frames, self.close));
        self.frames.remove(index).expect("the frame")
    }

    /// Connects with these params; gives the answer.
    pub fn connect(&mut self, world: &mut World, params: Value) -> Value {
        self.call(world, "connect", params)
    }

    /// The payload of a call that must work.
    pub fn ok(&mut self, world: &mut World, method: &str, params: Value) -> Value {
        let answer = self.call(world, method, params);
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer["payload"].clone()
    }

    /// The error of a call that must fail.
    pub fn error(&mut self, world: &mut World, method: &str, params: Value) -> Value {
        let answer = self.call(world, method, params);
        assert_eq!(answer["ok"], false, "{method}: {answer}");
        answer["error"].clone()
    }

    /// The events that came, by name.
    pub fn events(&mut self, name: &str) -> Vec<Value> {
        let (found, rest): (VecDeque<Value>, _) =
            self.frames.drain(..).partition(|frame| frame["event"] == name);
        self.frames = rest;
        found.into()
    }
}

/// `connect` params of a command line without a device: what `openclaw` of protocol 4 sends.
pub fn cli(protocol: u32, scopes: &[&str]) -> Value {
    json!({
        "minProtocol": protocol, "maxProtocol": protocol,
        "client": {"id": "cli", "version": "2026.3.13", "platform": "linux", "mode": "cli"},
        "role": "operator", "scopes": scopes, "caps": [], "auth": {"token": TOKEN},
    })
}

impl Device {
    /// A key that is the same for the same number.
    pub fn new(number: u8) -> Self {
        Self(SigningKey::from_bytes(&[number; 32]))
    }

    pub fn id(&self) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::digest(self.0.verifying_key().as_bytes()))
    }

    /// Adds this device's proof (version 3 of the signed text) to `connect` params.
    pub fn sign(&self, params: Value, nonce: &str, unix_ms: u64) -> Value {
        self.sign_as("v3", params, nonce, unix_ms)
    }

    /// The same in this version of the signed text: `v2`, as the Control UI does it, or `v3`.
    pub fn sign_as(&self, version: &str, mut params: Value, nonce: &str, unix_ms: u64) -> Value {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let auth = &params["auth"];
        let secret = ["token", "deviceToken", "bootstrapToken"].iter().find_map(|key| auth[key].as_str());
        let scopes: Vec<String> = params["scopes"].as_array().into_iter().flatten().map(text).collect();
        let client = &params["client"];
        let mut signed = vec![
            version.to_owned(),
            self.id(),
            text(&client["id"]),
            text(&client["mode"]),
            params["role"].as_str().unwrap_or("operator").to_owned(),
            scopes.join(","),
            unix_ms.to_string(),
            secret.unwrap_or_default().to_owned(),
            nonce.to_owned(),
        ];
        if version == "v3" {
            signed.extend(["platform", "deviceFamily"].map(|key| text(&client[key]).to_ascii_lowercase()));
        }
        let signed = signed.join("|");
        let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        params["device"] = json!({
            "id": self.id(),
            "publicKey": encode(self.0.verifying_key().as_bytes()),
            "signature": encode(&self.0.sign(signed.as_bytes()).to_bytes()),
            "nonce": nonce,
            "signedAt": unix_ms,
        });
        params
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.rx.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.rx.read(buf)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.tx.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
