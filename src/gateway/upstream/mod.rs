//! The runtime behind the gate: calls that go to it, and what is answered while it does not.
//!
//! Each member that needs one has a leg of its own: a connection to the runtime under loopgated's device identity, with the
//! member's caps and no scope that the member was not granted. The runtime so treats each client as itself would, and what
//! the gate has denied cannot come in by another door. Nodes have one from the start, for the runtime has to see them:
//! agents call them there, and clients call them here ([`crate::gateway::nodes`]), runtime or not.
//!
//! Rule: params and payloads pass as they are; only ids and the numbers of events are ours. A call is answered once,
//! whatever becomes of the runtime meanwhile (`outlet`).

mod adapt;
mod answers;
mod ends;
pub(super) mod here;
pub mod identity;
mod introduce;
mod kept;
pub(super) mod leg;
mod legs;
mod mirror;
pub(super) mod outlet;
pub(super) mod runtime;

use std::time::Instant;

use serde_json::value::RawValue;

use super::io::ConnId;
use super::method::{Answers, FALLBACK, Fallback, Method, Route};
use super::{Conn, Gateway};
use crate::clock::Now;
use crate::journal::Kind;
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::frame::{self, Request};
use crate::wire::hello::Runtime as Shown;

use adapt::Between;
use leg::{Leg, Purpose};
use outlet::{Call, Progress};
use runtime::{Condition, Due, Runtime};

/// What the gateway keeps about the runtime.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) runtime: Runtime,
    kept: kept::Answers,
    /// How many legs there are.
    legs: usize,
    /// How many of them the runtime has not let in yet.
    opening: usize,
}

impl Upstream {
    /// `configured`: there should be a runtime.
    pub(super) fn new(configured: bool, now: Now) -> Self {
        Self {
            runtime: Runtime::new(configured, now.mono),
            kept: kept::Answers::default(),
            legs: 0,
            opening: 0,
        }
    }

    /// A leg of a former process is ours.
    pub(super) fn take_over_leg(&mut self) {
        self.legs += 1;
    }
}

impl Gateway {
    /// A call that was decided goes to the runtime, if there should be one. False: it is answered here, as if there were
    /// none.
    pub(super) fn pass(
        &mut self,
        method: &'static Method,
        id: ConnId,
        request: &Request<'_>,
        now: Now,
    ) -> bool {
        let condition = self.upstream.runtime.condition();
        if condition == Condition::Absent || matches!(method.route, Route::Native(_)) {
            return false;
        }
        if self.is_for_us(method, id, request) {
            return false;
        }
        let raw = request.params.map_or("", RawValue::get);
        let call = Call::new(method, request, now);
        let fallback = match method.route {
            Route::UpstreamElseNative(_, fallback) => Some(fallback),
            _ => None,
        };
        if fallback == Some(Fallback::Noted) {
            self.take_note(id, &call.clone_with(raw), now);
        }
        if condition != Condition::Ready {
            let call = call.clone_with(raw);
            if fallback.is_some_and(|fallback| fallback != Fallback::Never) {
                self.answer_here(id, &call, now);
                return true;
            }
            if self.answer_again(id, &call, now) {
                return true;
            }
        }
        if condition == Condition::Refusing {
            let error = self.refused_error();
            self.respond(id, &call.id, Err(error), now);
            return true;
        }
        self.queue(id, call, raw, now);
        true
    }

    /// Sends a call with its params upstream, now or when the runtime is there and turns.
    fn queue(&mut self, id: ConnId, mut call: Call, raw: &str, now: Now) {
        let ready = self.upstream.runtime.condition() == Condition::Ready;
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        let open = member.outlet.leg.open().filter(|_| ready);
        let may_keep = member.outlet.may_keep(raw.len());
        if !member.outlet.has_room() || (open.is_none() && !may_keep) {
            let error = ErrorShape::busy("too many calls of this connection wait for the runtime", BUSY_MS);
            return self.respond(id, &call.id, Err(error), now);
        }
        // It may have to be asked again, or answered here; what is too large for that is asked once.
        if may_keep {
            call.params = Some(raw.into());
        }
        self.upstream.runtime.count(1, 0, now.mono);
        if let Some(open) = open {
            let number = member.outlet.add(Call { progress: Progress::Sent, ..call });
            self.send_call(id, open, number, Some(raw));
        } else {
            member.outlet.add(call);
            self.reach_out(id, now);
        }
        self.settle(id);
    }

    /// Writes the request of a call to its leg. `params`: if the call does not keep them itself.
    fn send_call(&mut self, id: ConnId, open: (ConnId, Protocol), number: u64, params: Option<&str>) {
        let (leg, protocol) = open;
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        let own = member.protocol;
        let Some(call) = member.outlet.get_mut(number) else { return };
        let (method, name) = (call.method, frame::quoted(call.wire_name()));
        // Out of the call while they are written, so that nothing is copied but into the leg.
        let kept = call.params.take();
        let plain = params.or(kept.as_deref()).unwrap_or_default();
        let adapted = adapt::params(method.name, plain, Between { client: own, runtime: protocol });
        let params = adapted.as_deref().unwrap_or(plain);
        let number_text = number.to_string();
        if let Some(leg) = self.conns.leg_mut(leg) {
            let head = [r#"{"type":"req","id":""#, &number_text, r#"","method":"#, &name];
            let tail: &[&str] = if params.is_empty() { &["}"] } else { &[r#","params":"#, params, "}"] };
            leg.line.send(&[&head[..], tail].concat());
        }
        if let Some(call) = self.waiting_call(id, number) {
            call.params = kept;
        }
        self.settle_leg(leg);
    }

    /// The runtime turns again: what was held back is sent.
    fn send_all_parked(&mut self) {
        for id in self.conns.ids() {
            self.send_parked(id);
        }
    }

    /// Sends what has waited for the leg.
    fn send_parked(&mut self, id: ConnId) {
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        let Some(open) = member.outlet.leg.open() else { return };
        for number in
            member.outlet.numbers(|call| matches!(call.progress, Progress::Parked | Progress::Unsure))
        {
            if let Some(call) = self.waiting_call(id, number) {
                let before = call.progress;
                call.progress = if before == Progress::Unsure { Progress::Again } else { Progress::Sent };
            }
            self.send_call(id, open, number, None);
        }
        self.settle(id);
    }

    /// A new member gets its leg at once, for it hears the runtime's events from here on.
    pub(super) fn expect_leg(&mut self, id: ConnId, now: Now) {
        if self.upstream.runtime.condition() == Condition::Ready {
            self.reach_out(id, now);
        }
    }

    /// Whether a member has a leg on which the runtime tells it of events.
    pub(super) fn has_leg(&self, id: ConnId) -> bool {
        self.conns.get(id).and_then(Conn::member).is_some_and(|member| member.outlet.leg.open().is_some())
    }

    /// Whether a leg must not be read, because its client does not take what it has.
    pub(super) fn holds_up(&self, leg: &Leg) -> bool {
        match leg.purpose {
            Purpose::Sentinel => false,
            Purpose::Member(id) => {
                self.conns.get(id).is_some_and(|conn| conn.session.unsent() > limits::LEG_CLIENT_TX_BYTES_MAX)
            }
        }
    }

    /// Whether a client must not be read, because the runtime does not take what it has sent.
    pub(super) fn is_held_up(&self, conn: &Conn) -> bool {
        let leg = conn.member().and_then(|member| member.outlet.leg.leg());
        leg.and_then(|leg| self.conns.leg(leg))
            .is_some_and(|leg| leg.line.unsent() > limits::LEG_TX_BYTES_MAX)
    }

    /// How the runtime is, for clients; nothing where none is configured.
    pub(super) fn runtime_shown(&self) -> Option<Shown<'_>> {
        let runtime = &self.upstream.runtime;
        let version = runtime.hello().map(|hello| hello.version.as_str());
        let condition = runtime.condition();
        (condition != Condition::Absent).then(|| Shown { state: condition.name(), version })
    }

    /// The same for people.
    pub(super) fn runtime_status(&self) -> String {
        match (self.upstream.runtime.condition(), self.upstream.runtime.hello()) {
            (Condition::Absent, _) => "no runtime".to_owned(),
            (Condition::Ready, Some(hello)) => format!("runtime {}", hello.version),
            (condition, _) => format!("runtime {}", condition.name()),
        }
    }

    // -- time --

    /// When [`Gateway::expire_runtime`] has something to do.
    pub(super) fn runtime_deadline(&self) -> Option<Instant> {
        self.upstream.runtime.deadline()
    }

    /// Tries a runtime that is away, and notices one that does not turn.
    pub(super) fn expire_runtime(&mut self, now: Now) {
        match self.upstream.runtime.expire(now.mono) {
            Some(Due::Try) => self.open_sentinel(now),
            Some(Due::Ask(sentinel)) => {
                if let Some(leg) = self.conns.leg_mut(sentinel) {
                    leg.line.ping();
                }
                self.settle_leg(sentinel);
            }
            Some(Due::Stall) => self.stalled(now),
            None => {}
        }
    }

    /// The runtime does not turn: who can be answered without it is.
    fn stalled(&mut self, now: Now) {
        self.note_runtime(Kind::RuntimeStalled, None, now);
        for id in self.conns.ids() {
            self.rescue(id, Call::may_be_read_here, now);
        }
    }

    /// Answers the calls of a member that no runtime has seen and that need none.
    fn rescue_unseen(&mut self, id: ConnId, now: Now) {
        self.rescue(id, |call| call.progress == Progress::Parked && call.may_be_read_here(), now);
    }

    /// Answers the calls of a member for which `which` holds without the runtime.
    fn rescue(&mut self, id: ConnId, which: impl Fn(&Call) -> bool, now: Now) {
        let numbers = self
            .conns
            .get(id)
            .and_then(Conn::member)
            .map_or_else(Vec::new, |member| member.outlet.numbers(&which));
        for number in numbers {
            if let Some(call) = self.take_call(id, number, now) {
                if !self.answer_again(id, &call, now) {
                    self.answer_here(id, &call, now);
                }
            }
        }
    }

    /// Calls of a member that have waited long enough, and its next try for a leg.
    pub(super) fn expire_calls(&mut self, id: ConnId, now: Now) {
        let ready = self.upstream.runtime.condition() == Condition::Ready;
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        for number in member.outlet.numbers(|call| call.due <= now.mono) {
            let Some(call) = self.waiting_call(id, number) else { continue };
            if ready && !matches!(call.progress, Progress::Parked | Progress::Unsure) {
                // The runtime turns: how long it takes is its own matter.
                call.due = now.mono + limits::CALL_WAIT;
                continue;
            }
            if let Some(call) = self.take_call(id, number, now) {
                let error = self.overdue_error(&call, now);
                self.respond(id, &call.id, Err(error), now);
            }
        }
        let attempt = self.conns.get(id).and_then(Conn::member).and_then(|member| member.outlet.attempt);
        if attempt.is_some_and(|at| at <= now.mono) {
            self.reach_out(id, now);
        }
    }

    /// A call that waits.
    fn waiting_call(&mut self, id: ConnId, number: u64) -> Option<&mut Call> {
        self.conns.get_mut(id).and_then(Conn::member_mut)?.outlet.get_mut(number)
    }

    /// Takes a call out of its outlet: it is about to be answered.
    fn take_call(&mut self, id: ConnId, number: u64, now: Now) -> Option<Call> {
        let call = self.conns.get_mut(id).and_then(Conn::member_mut)?.outlet.take(number)?;
        self.upstream.runtime.count(0, 1, now.mono);
        Some(call)
    }

    /// The error for a call that the runtime has not answered in time.
    fn overdue_error(&self, call: &Call, now: Now) -> ErrorShape {
        let state = match self.upstream.runtime.condition() {
            // Its legs are all taken, or it takes its time.
            Condition::Ready if call.progress == Progress::Parked => {
                "has not let this client in yet".to_owned()
            }
            condition => format!("is {}", condition.name()),
        };
        let retry = crate::clock::millis(self.upstream.runtime.retry_after(now.mono));
        let done = if call.progress == Progress::Parked {
            "it was not executed"
        } else {
            "it may have been executed, look before you repeat it"
        };
        let message = format!("{}: the OpenClaw runtime {state}; {done}", call.wire_name());
        ErrorShape::busy(message, retry)
    }

    /// The error where the runtime does not let us in.
    fn refused_error(&self) -> ErrorShape {
        let why = self.upstream.runtime.refusal().unwrap_or_default();
        ErrorShape::busy(
            format!("the OpenClaw runtime cannot be used: {why}; see loopgate doctor runtime"),
            crate::clock::millis(limits::RUNTIME_REFUSED_RETRY),
        )
    }
}

impl Call {
    fn new(method: &'static Method, request: &Request<'_>, now: Now) -> Self {
        let name = (method.name == FALLBACK.name).then(|| request.method.as_ref().into());
        Self {
            id: request.id.clone().into_owned(),
            method,
            name,
            params: None,
            due: now.mono + limits::CALL_WAIT,
            progress: Progress::Parked,
        }
    }

    /// The name that the client called.
    pub(super) fn wire_name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.method.name)
    }

    /// The same with its params.
    fn clone_with(&self, raw: &str) -> Self {
        Self { params: Some(raw.into()), ..self.clone() }
    }

    /// Whether the runtime tells a repetition of it by its key.
    fn has_key(&self) -> bool {
        matches!(self.method.answers, Answers::Idempotent | Answers::Twice)
            && self.params.as_deref().is_some_and(|params| params.contains(KEY))
    }

    /// Whether it may be answered without the runtime even if that has seen it.
    fn may_be_read_here(&self) -> bool {
        match self.method.route {
            Route::UpstreamElseNative(_, Fallback::Unseen) => self.progress == Progress::Parked,
            Route::UpstreamElseNative(_, fallback) => fallback != Fallback::Never,
            _ => false,
        }
    }
}

const BUSY_MS: u64 = 250;
/// Only ever written by those who mean it, so a look at the text is enough.
const KEY: &str = r#""idempotencyKey""#;
pub(super) const STRANGER_REMEDY: &str =
    "find out whose process listens at runtime.port (loopgate doctor runtime); nothing was sent to it";
pub(super) const BARRED_REMEDY: &str =
    "let the service connect: its unit needs the drop-in runtime.conf; see loopgate doctor runtime";
pub(super) const AWAY_REMEDY: &str =
    "none if it restarts; else look at its own journal: journalctl --user -u openclaw-gateway";
