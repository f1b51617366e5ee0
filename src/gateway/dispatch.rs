//! From a message of an admitted peer to its answer: row, decision, route.

use std::sync::Arc;

use serde_json::Value;

use super::handover::unanswered;
use super::io::{ConnId, Output, Ticket};
use super::job::{FileMethod, Job, Outcome};
use super::method::{Demand, FALLBACK, Method, Route};
use super::upstream::here::{Mark, settled};
use super::{Conn, Gateway, Recorder, Stage};
use crate::clock::Now;
use crate::journal::Field;
use crate::limits;
use crate::policy::scope::{self, Grant, Need};
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::frame::{self, FrameError, Request};
use crate::wire::params::Reader;
use crate::wire::refusal::Refusal;

/// A call that was decided and may be answered.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls.
    pub conn: ConnId,
    /// The id to answer under.
    pub id: String,
    /// The method's name.
    pub name: &'static str,
    /// The params; an empty object if there were none.
    pub params: Value,
    /// The caller's protocol: shapes differ.
    pub protocol: Protocol,
    /// What the caller was granted.
    pub grant: Arc<Grant>,
    /// Set if the answer has to say that it is not the runtime's.
    pub(super) mark: Option<Mark>,
    /// When the call came.
    pub now: Now,
}

/// The answer of a live method.
#[derive(Debug)]
pub enum Reply {
    /// The payload as JSON.
    Payload(String),
    /// An error.
    Error(ErrorShape),
    /// Later: the method has put the call where its answer will come from.
    Later,
}

/// Who waits for a job.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A call.
    Call(Call),
    /// A connect that brought a bootstrap token.
    Bootstrap(ConnId),
    /// The health snapshot.
    Health,
    /// OpenClaw's own pairings.
    Pairings,
}

impl Call {
    /// Reads the params with `read`; the error is what the protocol says about wrong params.
    pub fn read<T>(&self, read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, ErrorShape> {
        read_params(self.name, &self.params, read)
    }
}

impl Reply {
    /// What `answer` gives, with `?` for errors.
    pub fn attempt(answer: impl FnOnce() -> Result<Self, ErrorShape>) -> Self {
        answer().unwrap_or_else(Self::Error)
    }

    /// A payload made from a value.
    pub fn json<T: serde::Serialize>(value: &T) -> Self {
        Self::Payload(frame::to_json(value))
    }
}

impl From<Result<Value, ErrorShape>> for Reply {
    fn from(result: Result<Value, ErrorShape>) -> Self {
        match result {
            Ok(value) => Self::json(&value),
            Err(error) => Self::Error(error),
        }
    }
}

/// Reads params with `read`; the error is `invalid METHOD params: …` (protocol.md 7).
pub fn read_params<T>(
    method: &str,
    params: &Value,
    read: impl FnOnce(&mut Reader<'_>) -> T,
) -> Result<T, ErrorShape> {
    let empty = Value::Object(serde_json::Map::new());
    let params = if params.is_null() { &empty } else { params };
    let wrong = |problem: String| ErrorShape::invalid(format!("invalid {method} params: {problem}"));
    let mut reader = Reader::new(params).map_err(wrong)?;
    let value = read(&mut reader);
    reader.finish().map_err(wrong)?;
    Ok(value)
}

impl Gateway {
    /// A message of an admitted peer.
    pub(super) fn request(&mut self, id: ConnId, text: &str, now: Now) {
        let parsed = Request::parse(text);
        if let (Some(member), false) =
            (self.conns.get_mut(id).and_then(Conn::member_mut), matches!(parsed, Err(FrameError::NotJson)))
        {
            member.owed += 1;
        }
        match parsed {
            Ok(request) => self.dispatch(id, &request, now),
            // As OpenClaw does it: what is no JSON is passed over, what is no request is answered.
            Err(FrameError::NotJson) => {}
            Err(FrameError::NotRequest { id: request, problem }) => {
                let error = ErrorShape::invalid(format!("invalid request frame: {problem}"));
                self.respond(id, &request, Err(error), now);
            }
        }
    }

    fn dispatch(&mut self, id: ConnId, request: &Request<'_>, now: Now) {
        let method = Method::find(&request.method);
        let parse = || request.params.map_or(Ok(Value::Null), |raw| serde_json::from_str(raw.get()));
        // What goes to the runtime goes unparsed, unless what it needs stands in the params.
        let (parsed, need) = match method.demand {
            Demand::Always(need) => (None, need),
            Demand::Params(need) => {
                let Ok(params) = parse() else { return self.too_deep(id, &request.id, now) };
                let need = need(&params);
                (Some(params), need)
            }
        };
        let Some((grant, protocol)) = self.decide_call(id, &request.id, (method.name, need), now) else {
            return;
        };
        if request.method == "connect" {
            let error = ErrorShape::invalid("connect is only valid as the first request");
            return self.respond(id, &request.id, Err(error), now);
        }
        if self.pass(method, id, request, now) {
            return;
        }
        if method.name == FALLBACK.name {
            let error = ErrorShape::invalid(format!("unknown method: {}", request.method));
            return self.respond(id, &request.id, Err(error), now);
        }
        let Some(params) = parsed.or_else(|| parse().ok()) else {
            return self.too_deep(id, &request.id, now);
        };
        let request = request.id.clone().into_owned();
        self.route(
            method,
            Call { conn: id, id: request, name: method.name, params, protocol, grant, mark: None, now },
        );
    }

    fn too_deep(&mut self, id: ConnId, request: &str, now: Now) {
        let error = ErrorShape::invalid("invalid request frame: params nest too deep");
        self.respond(id, request, Err(error), now);
    }

    /// The scope decision about a call. `None`: it was answered with a refusal.
    fn decide_call(
        &mut self,
        id: ConnId,
        request: &str,
        (method, need): (&'static str, Need),
        now: Now,
    ) -> Option<(Arc<Grant>, Protocol)> {
        let conn = self.conns.get(id)?;
        let Stage::Member(member) = &conn.stage else {
            return None;
        };
        let (grant, protocol) = (Arc::clone(&member.grant), member.protocol);
        let mut recorder =
            Recorder { ledger: &mut self.ledger, conn, field: Field::Method, request: Some(request), now };
        match scope::decide(need, &grant).record(method, &grant, &mut recorder) {
            Ok(()) => Some((grant, protocol)),
            Err(error) => {
                let wrong_role = need.is_of_another_role(grant.role());
                self.respond(id, request, Err(error), now);
                if wrong_role {
                    self.count_role_violation(id, now);
                }
                None
            }
        }
    }

    fn route(&mut self, method: &Method, call: Call) {
        match method.route {
            Route::Native(handler) | Route::UpstreamElseNative(handler, _) => self.handle_call(handler, call),
            Route::Upstream => {
                let error = ErrorShape::unavailable(format!(
                    "{} needs the OpenClaw runtime, and none is connected to this gateway",
                    method.name
                ));
                self.respond(call.conn, &call.id, Err(error), call.now);
            }
        }
    }

    /// Has a method answered from files.
    pub(super) fn read_files(&mut self, method: FileMethod, call: Call) -> Reply {
        let job = Job::Call {
            method,
            params: call.params.clone(),
            setup: Arc::clone(&self.setup),
            protocol: call.protocol,
            scopes: call.grant.scopes(),
            live: Arc::clone(&self.live),
        };
        self.run(job, Waiting::Call(call))
    }

    /// Starts a job for `waiting`, if there is room.
    pub(super) fn run(&mut self, job: Job, waiting: Waiting) -> Reply {
        if self.jobs.len() >= limits::JOBS_PENDING_MAX {
            return Reply::Error(ErrorShape::busy("too many file reads are waiting; try again", 250));
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.jobs.insert(ticket, waiting);
        self.outputs.push_back(Output::Run { ticket, job: Box::new(job) });
        Reply::Later
    }

    /// A job is done.
    pub(super) fn done(&mut self, ticket: Ticket, outcome: Outcome, now: Now) {
        match (self.jobs.remove(&ticket), outcome) {
            (Some(Waiting::Call(call)), Outcome::Answer(result)) => {
                let result = settled(call.mark.as_ref(), result);
                self.respond(call.conn, &call.id, result, now);
            }
            (Some(Waiting::Health), Outcome::Health(snapshot)) => self.adopt_health(snapshot, now),
            (Some(Waiting::Pairings), Outcome::Pairings(found)) => self.import(found, now),
            (Some(Waiting::Bootstrap(conn)), Outcome::Bootstrap(found)) => self.weigh(conn, found, now),
            // A ticket that nobody holds any more: its connection is gone.
            _ => {}
        }
    }

    /// What this job was to bring does not come any more: another process goes on.
    pub(super) fn disappoint(&mut self, waiting: Waiting, now: Now) {
        match waiting {
            Waiting::Call(call) => self.respond(call.conn, &call.id, Err(unanswered()), now),
            // Its connection has no verdict, and is told so.
            Waiting::Bootstrap(_) | Waiting::Health | Waiting::Pairings => {}
        }
    }

    /// Answers a request.
    pub(super) fn respond(
        &mut self,
        id: ConnId,
        request: &str,
        result: Result<String, ErrorShape>,
        now: Now,
    ) {
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else {
            return;
        };
        // Every request is answered once, and only here.
        member.owed = member.owed.saturating_sub(1);
        let protocol = member.protocol;
        let text = match result {
            Ok(payload) => frame::response(request, &payload),
            Err(error) => frame::error_response(request, &error.for_peer(protocol)),
        };
        self.send(id, &text, now);
    }

    /// Eleven calls of the other role's methods end the connection (protocol.md 1.4).
    fn count_role_violation(&mut self, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.record_due = true;
        let Some(member) = conn.member_mut() else {
            return;
        };
        member.role_violations += 1;
        if member.role_violations > limits::ROLE_VIOLATIONS_MAX {
            let refusal = Refusal::new(
                "role-violations",
                "repeated unauthorized calls",
                "the client calls methods of the other role; connect with the role it needs",
            );
            self.refuse(id, &refusal, now);
        }
    }
}
