//! From the HTTP head to admission: what a connection goes through before it may ask for anything.
//!
//! Rule: facts are gathered here, the verdict is [`admit::admit`]'s alone, and whatever it says reaches the peer, the
//! journal and the limiter from one place.

use std::sync::Arc;

use serde_json::{Value, json};

use super::dispatch::{Reply, Waiting};
use super::gate::Record;
use super::io::{self, ConnId, Door};
use super::job::{Job, Presented};
use super::pairing::Issued;
use super::{Gateway, Stage, Way};
use crate::clock::Now;
use crate::journal::{Field, Kind};
use crate::policy::admit::{self, Admission, Verdict};
use crate::policy::credential::{self, Known};
use crate::policy::device::{self, Fault, ProvenDevice};
use crate::policy::facts::{self, Facts};
use crate::policy::penalty::Source;
use crate::policy::surroundings::{Surroundings, may_upgrade};
use crate::session::{Head, HttpAnswer};
use crate::wire::Protocol;
use crate::wire::connect::Connect;
use crate::wire::error::ErrorShape;
use crate::wire::frame::{self, FrameError, Request};
use crate::wire::hello::Challenge;
use crate::wire::refusal::{CloseCode, Refusal};

/// The challenge is out.
pub(super) struct Challenged {
    pub(super) surroundings: Surroundings,
    pub(super) nonce: String,
}

/// A readable `connect`: the id of its request, what it says, and the protocol number that both sides speak.
struct Offer {
    request: String,
    connect: Connect,
    protocol: Protocol,
}

/// A client that sent a readable `connect`.
pub(super) struct Candidate {
    pub(super) connect: Connect,
    pub(super) protocol: Protocol,
    /// The id of the `connect` request.
    pub(super) request: String,
    surroundings: Surroundings,
    pub(super) device: Option<Result<ProvenDevice, Fault>>,
    /// Set once the verdict is known and only the disk is waited for.
    pub(super) welcome: Option<Welcome>,
}

/// What an admission brings, ready to be told.
pub(super) struct Welcome {
    pub(super) admission: Admission,
    pub(super) issued: Option<Issued>,
}

/// A verdict and the source that a failure is counted against.
struct Judgement {
    source: Source,
    verdict: Verdict,
}

impl Gateway {
    /// A whole HTTP head.
    pub(super) fn head(&mut self, id: ConnId, head: &Head, now: Now) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        let port = if conn.peer.door == Door::Tcp { self.setup.port } else { None };
        let headers: Vec<(&str, &[u8])> =
            head.headers().map(|(name, value)| (name, value.as_bytes())).collect();
        let surroundings = Surroundings::read(headers, port, &self.gate.origins);
        let way = way(head, &surroundings);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.way = way;
        }
        if let Err(refusal) = may_upgrade(&surroundings) {
            return self.refuse(id, &refusal, now);
        }
        if self.stopping {
            return self.refuse(id, &stopping(), now);
        }
        if !super::http::is_ours(head) && self.pass_http(id, head, &surroundings, now) {
            return;
        }
        if !head.is_upgrade() {
            let answer = self.http(head, now);
            return self.answer_http(id, &answer, now);
        }
        if head.path().starts_with(RUNTIME_SOCKETS) {
            return self.answer_http(id, &HttpAnswer::text(404, "Not Found"), now);
        }
        self.challenge(id, surroundings, now);
    }

    pub(super) fn answer_http(&mut self, id: ConnId, answer: &HttpAnswer, now: Now) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session.answer(answer, now);
        }
        self.settle(id);
    }

    /// The 101 and the challenge leave in one write, before anything else is looked at.
    fn challenge(&mut self, id: ConnId, surroundings: Surroundings, now: Now) {
        let nonce = io::uuid(&mut *self.entropy);
        let payload = frame::to_json(&Challenge { nonce: &nonce, ts: now.unix_ms });
        let text = frame::event("connect.challenge", &payload, None, None);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.session.upgrade();
        conn.stage = Stage::Challenged(Challenged { surroundings, nonce });
        conn.record_due = true;
        self.send(id, &text, now);
    }

    /// The first message, which must be `connect`.
    pub(super) fn first_message(&mut self, id: ConnId, text: &str, now: Now) {
        match read_connect(text) {
            Ok(offer) => self.deliberate(id, offer, now),
            Err((request, refusal)) => {
                if let (Some(request), Some(error)) = (request, refusal.error.as_deref()) {
                    let text = frame::error_response(&request, &error.clone().for_peer(Protocol::V3));
                    self.send(id, &text, now);
                }
                self.refuse(id, &refusal, now);
            }
        }
    }

    fn deliberate(&mut self, id: ConnId, offer: Offer, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Challenged(Challenged { surroundings, nonce }) =
            std::mem::replace(&mut conn.stage, Stage::Leaving)
        else {
            return;
        };
        conn.session.deliberate();
        let Offer { request, connect, protocol } = offer;
        let device = device::verify(&connect, &nonce, now.unix_ms);
        let bootstrap = connect.auth.bootstrap_token.clone().filter(|token| !token.trim().is_empty());
        let proven = matches!(device, Some(Ok(_)));
        let candidate = Candidate { connect, protocol, request, surroundings, device, welcome: None };
        conn.stage = Stage::Deciding(Box::new(candidate));
        match bootstrap {
            Some(token) if proven => self.look_up_bootstrap(id, token, now),
            _ => self.weigh(id, None, now),
        }
    }

    /// Bootstrap tokens are in a file of OpenClaw's, which is read off the loop.
    fn look_up_bootstrap(&mut self, id: ConnId, token: String, now: Now) {
        let job = Job::Bootstrap { setup: Arc::clone(&self.setup), token: Presented(token) };
        if let Reply::Error(error) = self.run(job, Waiting::Bootstrap(id)) {
            let refusal = Refusal::answer("files-busy", error, "none: the client tries again by itself");
            self.turn_away(id, &refusal, now);
        }
    }

    /// Asks for the verdict and carries it out. `bootstrap`: until when the bootstrap token that was offered is good.
    pub(super) fn weigh(&mut self, id: ConnId, bootstrap: Option<u64>, now: Now) {
        let Some(Judgement { source, verdict }) = self.judge(id, bootstrap, now) else {
            return;
        };
        match verdict {
            Verdict::Admit(admission) => {
                self.penalties.succeeded(&source);
                self.let_in(id, admission, bootstrap, now);
            }
            Verdict::Pend(pending) => self.pend(id, &pending, now),
            Verdict::Refuse { refusal, counts } => {
                if counts {
                    self.count_failure(id, &source, now);
                }
                self.turn_away(id, &refusal, now);
            }
        }
    }

    /// Gathers what is known and asks for the verdict.
    fn judge(&self, id: ConnId, bootstrap: Option<u64>, now: Now) -> Option<Judgement> {
        let conn = self.conns.get(id)?;
        let Stage::Deciding(candidate) = &conn.stage else {
            return None;
        };
        let peer = self.peer_class(conn);
        let source = Source::of(peer, &candidate.surroundings);
        let proven = candidate.device.as_ref().and_then(|proof| proof.as_ref().ok());
        let record = proven.and_then(|device| {
            let (id, key) = (device.id().as_str(), Some(device.public_key()));
            Record::find(&self.pairing, id, key, &candidate.connect.client)
        });
        let tokens = self.held_tokens(proven.map(|device| device.id().as_str()), now);
        let known = Known { proven: proven.is_some(), tokens: &tokens, bootstrap: bootstrap.is_some() };
        let facts = Facts {
            door: conn.peer.door.into(),
            peer,
            surroundings: &candidate.surroundings,
            connect: &candidate.connect,
            protocol: candidate.protocol,
            device: candidate.device.as_ref().map(|proof| proof.as_ref().map_err(|fault| *fault)),
            credential: &credential::check(&self.gate.mode, &candidate.connect, candidate.protocol, &known),
            pairing: Record::facts(record.as_ref()),
            ceiling: self.gate.ceiling,
            locked: self.penalties.locked(&source, now),
        };
        let verdict = admit::admit(&facts);
        Some(Judgement { source, verdict })
    }

    /// A failed attempt, once per connect, whatever mix of secrets it brought (security: every combination counts).
    pub(super) fn count_failure(&mut self, id: ConnId, source: &Source, now: Now) {
        let locked = self.penalties.failed(source, now);
        if let (Some(_), Some(conn)) = (locked, self.conns.get(id)) {
            let entry = conn.entry(Kind::Lockout, now).with(Field::Remedy, LOCKOUT_REMEDY);
            self.ledger.note(entry, now);
        }
    }

    /// The answer to `connect` and the close, from one refusal.
    pub(super) fn turn_away(&mut self, id: ConnId, refusal: &Refusal, now: Now) {
        let Some(Stage::Deciding(candidate)) = self.conns.get(id).map(|conn| &conn.stage) else {
            return;
        };
        if let Some(error) = refusal.error.as_deref() {
            let error = error.clone().for_peer(candidate.protocol);
            let text = frame::error_response(&candidate.request, &error);
            self.send(id, &text, now);
        }
        self.refuse(id, refusal, now);
    }
}

impl From<Door> for facts::Door {
    fn from(door: Door) -> Self {
        match door {
            Door::Tcp => Self::Tcp,
            Door::Owner => Self::Owner,
        }
    }
}

/// What is worth telling about the way a request came: nothing for a program that came straight to this port.
fn way(head: &Head, surroundings: &Surroundings) -> Option<Box<Way>> {
    if surroundings.direct() {
        return None;
    }
    let owned = |value: Option<&str>| value.map(str::to_owned);
    let forwarded = surroundings.forwarded.clone();
    Some(Box::new(Way { host: owned(head.host()), origin: owned(head.origin()), forwarded }))
}

/// Reads the first message. The error has the id to answer under, if the message had one.
fn read_connect(text: &str) -> Result<Offer, (Option<String>, Refusal)> {
    let request = Request::parse(text).map_err(|error| (None, bad_frame(&error)))?;
    let id = request.id.clone().into_owned();
    let answer = |rule, error, remedy| (Some(id.clone()), Refusal::answer(rule, error, remedy));
    if request.method != "connect" {
        let error = ErrorShape::invalid("invalid handshake: first request must be connect");
        return Err(answer("connect-first", error, "the client must send connect before anything else"));
    }
    let params = request.params.map_or(Ok(Value::Null), |raw| serde_json::from_str(raw.get()));
    let connect = params.map_err(|_| "nested too deep".to_owned()).and_then(|params| Connect::parse(&params));
    let connect = connect.map_err(|problem| {
        let error = ErrorShape::invalid(format!("invalid connect params: {problem}"));
        answer("connect-params", error, "the client does not speak the protocol of OpenClaw 2026.3 to 2026.9")
    })?;
    match connect.protocol() {
        Some(protocol) => Ok(Offer { request: id, connect, protocol }),
        None => Err((Some(id), no_common_protocol(&connect))),
    }
}

fn bad_frame(error: &FrameError) -> Refusal {
    let reason = match error {
        FrameError::NotJson => "invalid request frame: the first message is not JSON",
        FrameError::NotRequest { .. } => "invalid request frame",
    };
    Refusal::new("connect-frame", reason, "this is not an OpenClaw client, or it is broken")
}

/// The details are those of protocol 4, which says more (protocol-versions.md 1).
fn no_common_protocol(connect: &Connect) -> Refusal {
    let details = json!({
        "code": "PROTOCOL_MISMATCH",
        "clientMinProtocol": connect.min_protocol,
        "clientMaxProtocol": connect.max_protocol,
        "expectedProtocol": Protocol::V4.number(),
        "minimumProbeProtocol": Protocol::V3.number(),
    });
    let error = ErrorShape::invalid("protocol mismatch").with_details(details);
    Refusal::answer("protocol-mismatch", error, "use OpenClaw 2026.3 to 2026.9, or a newer loopgate")
        .with_code(CloseCode::Protocol)
}

pub(super) fn stopping() -> Refusal {
    Refusal::new("stopping", "service restart", "none: the service was stopped or restarted")
        .with_code(CloseCode::Restart)
        .with_status(503)
}

/// WebSockets of the runtime's own (canvas live reload): not the gateway's protocol.
const RUNTIME_SOCKETS: &str = "/__openclaw__/";
const LOCKOUT_REMEDY: &str = "look who guesses; a lock-out ends by itself (gateway.auth.rateLimit.lockoutMs)";
