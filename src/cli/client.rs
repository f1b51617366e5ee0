//! One connection to a gateway: upgrade, challenge, `connect`, `hello-ok`, then requests one after the other.
//!
//! Rule: blocking and bounded; every wait has a deadline. Events are read past: this program asks, it does not listen.

use std::borrow::Cow;
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::failure::Failure;
use super::json::Member;
use super::refusal::{self, Stage, WireError};
use super::secrets::Credentials;
use super::socket::Stream;
use super::target::Target;
use crate::limits::{CLI_ANSWER_BYTES_MAX, CLI_CLOSING, FRAMING_BUFFER_BYTES};
use crate::wire::Protocol;

/// An admitted connection.
pub(crate) struct Client {
    socket: WebSocket<Stream>,
    hello: Hello,
    requests: u64,
}

/// What the gateway said when it admitted us.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    payload: Value,
    /// The protocol that both speak.
    pub protocol: u64,
    /// From the first packet to the end of the upgrade.
    pub connected: Duration,
    /// From the upgrade to `hello-ok`.
    pub admitted: Duration,
    /// The gateway's clock and ours when its challenge came, in milliseconds since 1970.
    pub clocks: Option<(u64, u64)>,
}

/// An answer's payload, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Payload(Box<RawValue>);

/// A frame of the gateway's, as far as it matters here.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(default)]
    ok: Option<bool>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<WireError>,
}

/// A request of ours. The params go out as they were written: numbers keep their digits.
#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    method: &'a str,
    params: &'a RawValue,
}

/// The answer that was waited for.
type Answer = Result<Payload, WireError>;

impl Client {
    /// Connects and is admitted with `scopes` asked for, all within `limit`.
    pub(crate) fn open(
        target: &Target,
        credentials: &Credentials,
        scopes: &[&str],
        limit: Duration,
    ) -> Result<Self, Failure> {
        let [_, highest] = Protocol::ALL;
        Self::speak(target, credentials, scopes, limit, highest)
    }

    /// [`Client::open`] in no newer a protocol than `highest`.
    pub(crate) fn speak(
        target: &Target,
        credentials: &Credentials,
        scopes: &[&str],
        limit: Duration,
        highest: Protocol,
    ) -> Result<Self, Failure> {
        let start = Instant::now();
        let deadline = start + limit;
        let stream = Stream::connect(&target.address, deadline)
            .map_err(|error| refusal::unreachable(target, &error))?;
        // One deadline for all of it: a peer that is slow in each step must not get the time of each step.
        let mut socket = upgrade(stream, target, limit)?;
        let connected = start.elapsed();
        let clocks = wait_for_challenge(&mut socket, limit)?.map(|theirs| (theirs, super::unix_ms()));
        send(&mut socket, &connect_frame(credentials, scopes, highest), Stage::Handshake, limit)?;
        let answer = wait_for_answer(&mut socket, CONNECT_ID, Stage::Handshake, limit)?;
        let payload = answer.map_err(|error| error.into_connect_failure(target, credentials))?;
        let admitted = start.elapsed().saturating_sub(connected);
        let hello = Hello { clocks, ..Hello::read(&payload, connected, admitted)? };
        Ok(Self { socket, hello, requests: 0 })
    }

    /// What the gateway said when it admitted us.
    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Sends a request and waits for its answer, `limit` at most.
    pub(crate) fn call(
        &mut self,
        method: &str,
        params: &RawValue,
        limit: Duration,
    ) -> Result<Payload, Failure> {
        // Ids never repeat on a connection, so a late answer to an earlier request is never taken for this one.
        self.requests += 1;
        let id = self.requests.to_string();
        self.socket.get_mut().set_deadline(Instant::now() + limit);
        let request = Request { kind: "req", id: &id, method, params };
        let request = serde_json::to_string(&request)
            .map_err(|error| Failure::usage(format!("{method} cannot be asked: {error}")))?;
        let stage = Stage::Request(method);
        send(&mut self.socket, &request, stage, limit)?;
        wait_for_answer(&mut self.socket, &id, stage, limit)?.map_err(WireError::into_failure)
    }

    /// Says goodbye and waits a moment for the gateway's own. The code and reason that it ended with, if it did.
    pub(crate) fn close(mut self) -> Option<(u16, String)> {
        self.socket.get_mut().set_deadline(Instant::now() + CLI_CLOSING);
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(frame)).ok()?;
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => {
                    return Some((frame.code.into(), frame.reason.to_string()));
                }
                Ok(Message::Close(None)) => return Some((NO_STATUS, String::new())),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Hello {
    fn read(payload: &Payload, connected: Duration, admitted: Duration) -> Result<Self, Failure> {
        let payload = payload.value()?;
        if payload.at("type") != "hello-ok" {
            return Err(Failure::protocol("the gateway answered connect without hello-ok"));
        }
        // The number has to be one of those offered, or what follows cannot be understood.
        let spoken =
            |number: &u64| Protocol::ALL.iter().any(|protocol| u64::from(protocol.number()) == *number);
        let protocol = payload.at("protocol").as_u64().filter(spoken).ok_or_else(|| {
            Failure::protocol(format!(
                "the gateway chose protocol {}, which was not offered",
                payload.at("protocol")
            ))
        })?;
        Ok(Self { payload, protocol, connected, admitted, clocks: None })
    }

    /// The payload of `hello-ok`.
    pub(crate) fn payload(&self) -> &Value {
        &self.payload
    }
}

impl Payload {
    /// The JSON text.
    pub(crate) fn text(&self) -> &str {
        self.0.get()
    }

    /// The JSON as a value, for people's eyes.
    pub(crate) fn value(&self) -> Result<Value, Failure> {
        serde_json::from_str(self.text())
            .map_err(|error| Failure::protocol(format!("the answer cannot be shown, use --json: {error}")))
    }
}

/// The HTTP part. What fails here mostly is no gateway at all, and the failure says how to find out what it is.
fn upgrade(stream: Stream, target: &Target, limit: Duration) -> Result<WebSocket<Stream>, Failure> {
    // tungstenite's own buffer of 128 KiB would be allocated for an answer of a few hundred bytes.
    let config = WebSocketConfig::default()
        .read_buffer_size(FRAMING_BUFFER_BYTES)
        .max_message_size(Some(CLI_ANSWER_BYTES_MAX))
        .max_frame_size(Some(CLI_ANSWER_BYTES_MAX));
    match tungstenite::client::client_with_config(target.address.request_url(), stream, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(Error::Http(response))) => {
            Err(refusal::not_upgraded(target, response.status().as_u16()))
        }
        Err(HandshakeError::Failure(Error::Protocol(
            tungstenite::error::ProtocolError::HandshakeIncomplete,
        ))) => Err(refusal::broken(Stage::Handshake, "it was closed before the upgrade")),
        Err(HandshakeError::Failure(Error::Io(error))) => {
            Err(failed(Error::Io(error), Stage::Handshake, limit))
        }
        Err(error) => {
            Err(Failure::protocol(format!("what listens at {} is no gateway: {error}", target.address))
                .next(format!("see who listens there: {}", refusal::owner_command(&target.address))))
        }
    }
}

/// The challenge comes first, before anything is said. Its nonce matters to devices only, and this is none. What it
/// says the time is, if it does.
fn wait_for_challenge(socket: &mut WebSocket<Stream>, limit: Duration) -> Result<Option<u64>, Failure> {
    loop {
        let text = read(socket, Stage::Handshake, limit)?;
        let frame = parse(&text)?;
        match frame.event.as_deref() {
            Some("connect.challenge") => {
                let payload: Option<Value> =
                    frame.payload.and_then(|raw| serde_json::from_str(raw.get()).ok());
                return Ok(payload.and_then(|payload| payload.at("ts").as_u64()));
            }
            Some(_) if frame.kind == "event" => {}
            _ => return Err(Failure::protocol("the gateway did not begin with a challenge")),
        }
    }
}

/// The answer to the request `id`, whatever comes before it. Events do not prolong the deadline.
fn wait_for_answer(
    socket: &mut WebSocket<Stream>,
    id: &str,
    stage: Stage<'_>,
    limit: Duration,
) -> Result<Answer, Failure> {
    loop {
        let text = read(socket, stage, limit)?;
        let frame = parse(&text)?;
        // Events come at any time, and so may the answer to a request that was given up.
        if frame.kind != "res" || frame.id.as_deref() != Some(id) {
            continue;
        }
        return match (frame.ok, frame.error) {
            (Some(true), _) => Ok(Ok(Payload::of(frame.payload))),
            (Some(false), Some(error)) => Ok(Err(error)),
            _ => Err(Failure::protocol("the gateway's answer says neither ok nor error")),
        };
    }
}

impl Payload {
    /// An absent payload is null: the gateway's way to say "nothing".
    fn of(raw: Option<&RawValue>) -> Self {
        Self(raw.map_or_else(|| RawValue::NULL.to_owned(), ToOwned::to_owned))
    }
}

/// A frame; keys that it does not know are ignored, for newer gateways add some.
fn parse(text: &str) -> Result<Frame<'_>, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::protocol(format!("the gateway sent a malformed frame: {error}")))
}

fn send(
    socket: &mut WebSocket<Stream>,
    text: &str,
    stage: Stage<'_>,
    limit: Duration,
) -> Result<(), Failure> {
    match socket.send(Message::text(text)) {
        Ok(()) => Ok(()),
        // Whoever closed on us while we wrote may have said why; it waits to be read.
        Err(Error::Io(error)) if error.kind() != io::ErrorKind::TimedOut => Err(read(socket, stage, limit)
            .err()
            .unwrap_or_else(|| refusal::broken(stage, &error.to_string()))),
        Err(error) => Err(failed(error, stage, limit)),
    }
}

/// The next message, whatever it is.
fn read(socket: &mut WebSocket<Stream>, stage: Stage<'_>, limit: Duration) -> Result<String, Failure> {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => return Ok(text.to_string()),
            Ok(Message::Binary(bytes)) => {
                return String::from_utf8(bytes.to_vec())
                    .map_err(|_| Failure::protocol("the gateway sent a message that is not UTF-8"));
            }
            Ok(Message::Close(frame)) => {
                // The echo of the close goes out with a flush; whether it arrives is nobody's concern any more.
                socket.flush().ok();
                return Err(refusal::closed(stage, frame.as_ref()));
            }
            Ok(_) => {}
            Err(error) => return Err(failed(error, stage, limit)),
        }
    }
}

/// Any error of the WebSocket as a failure: late, broken, or against the protocol.
fn failed(error: Error, stage: Stage<'_>, limit: Duration) -> Failure {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => refusal::late(stage, limit),
        Error::Io(error) => refusal::broken(stage, &error.to_string()),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            refusal::broken(stage, "it ended without a close")
        }
        error => Failure::protocol(format!("the gateway broke the WebSocket protocol: {error}")),
    }
}

/// `connect` as a client without a device: the secret, or the kernel's word at the owner's socket, says who we are.
/// OpenClaw 2026.3.13 and 2026.9.6 know client ids by a closed list; `cli` is the one for a command line.
fn connect_frame(credentials: &Credentials, scopes: &[&str], highest: Protocol) -> String {
    let [lowest, _] = Protocol::ALL;
    let mut params = json!({
        "minProtocol": lowest.number(),
        "maxProtocol": highest.number(),
        "client": {"id": "cli", "mode": "cli", "version": env!("CARGO_PKG_VERSION"), "platform": "linux"},
        "caps": [],
        "role": "operator",
        "scopes": scopes,
    });
    if let (Some(auth), Some(params)) = (credentials.to_auth(), params.as_object_mut()) {
        params.insert("auth".to_owned(), auth);
    }
    json!({"type": "req", "id": CONNECT_ID, "method": "connect", "params": params}).to_string()
}

const CONNECT_ID: &str = "connect";
/// RFC 6455: what stands for a close frame without a code.
const NO_STATUS: u16 = 1005;
