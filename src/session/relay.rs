//! A connection whose request passes to the runtime: a bounded pipe, without I/O.
//!
//! Rule: towards the runtime goes one request and not a byte more; towards the peer goes whatever the runtime answers,
//! as it came. Neither side is read while as much waits for the other one as may.

use std::time::{Duration, Instant};

use super::Session;
use super::body::Body;
use super::closing::Tail;
use super::forward::{self, Authorization};
use super::head::Head;
use super::phase::Event;
use super::proof::{Outcome, Proof};
use super::queue::Queue;
use super::state::{Asked, State};
use crate::clock::Now;
use crate::limits::{RELAY_DIAL, RELAY_PEER, RELAY_QUEUE_BYTES_MAX, RELAY_RUNTIME};
use crate::wire::refusal::Refusal;

/// What belongs to the phase of the same name.
#[derive(Debug)]
pub(super) struct Relay {
    /// What the runtime is owed and was not sent: at first the head.
    up: Queue,
    /// What is still to come of the request.
    body: Body,
    /// The body is not framed as its head says.
    fault: Option<Refusal>,
    /// How far the answer has come.
    answer: Answer,
    /// What has come of an answer to an upgrade, until it is known whose socket it is.
    proof: Proof,
    /// The method was HEAD.
    head_only: bool,
    /// The runtime is there.
    reached: bool,
    /// When something came or went last.
    moved: Instant,
}

/// How far the runtime's answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Not a byte came.
    Awaited,
    /// It came in part.
    Begun,
}

/// What a relay waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// For the runtime to be reached.
    Dial,
    /// For the peer to send the rest of its request.
    Request,
    /// For the peer to take what it is sent.
    Taking,
    /// For the runtime to go on.
    Runtime,
    /// For nobody in particular: both speak another protocol.
    Nobody,
}

impl Session {
    /// [`super::Phase::Head`]: the request, whose head was `head`, goes to the runtime.
    ///
    /// # Errors
    /// The request cannot be passed on as it is; nothing has changed yet.
    pub fn relay(&mut self, head: &Head, authorization: Authorization<'_>, now: Now) -> Result<(), Refusal> {
        let State::HeadGiven(Asked { len, head_only, .. }) = self.state else { return Ok(()) };
        let body = Body::of(head)?;
        let raw = self.rx.waiting().get(..len).unwrap_or_default();
        let up = Queue::holding(forward::forwarded(head, raw, authorization)?);
        self.rx.skip(len);
        let moved = now.mono;
        let relay = Relay {
            up,
            body,
            fault: None,
            answer: Answer::Awaited,
            proof: Proof::default(),
            head_only,
            reached: false,
            moved,
        };
        self.step(Event::Relay, |_| State::Relay(Box::new(relay)));
        self.pass_body();
        Ok(())
    }

    /// The runtime is there, and its owner is whom the settings name.
    pub fn relay_reached(&mut self, now: Now) {
        if let State::Relay(relay) = &mut self.state {
            relay.reached = true;
            relay.moved = now.mono;
        }
    }

    /// The bytes to write to the runtime, oldest first; none before it is reached.
    pub fn relay_outgoing(&self) -> &[u8] {
        match &self.state {
            State::Relay(relay) if relay.reached => relay.up.waiting(),
            _ => &[],
        }
    }

    /// The first `count` bytes of [`Session::relay_outgoing`] were written.
    pub fn relay_sent(&mut self, count: usize, now: Now) {
        if let State::Relay(relay) = &mut self.state {
            relay.up.skip(count);
            relay.moved = now.mono;
        }
        self.pass_body();
    }

    /// Whether the runtime should be read now: there is room for more of its answer.
    pub fn relay_wants_read(&self) -> bool {
        let held = |relay: &Relay| self.tx.len() + relay.proof.len();
        matches!(&self.state, State::Relay(relay) if held(relay) < RELAY_QUEUE_BYTES_MAX)
    }

    /// Bytes of the runtime's answer. How many are held is bounded if the caller reads at most
    /// [`crate::limits::READ_TURN_BYTES_MAX`] at once, and only while [`Session::relay_wants_read`].
    pub fn relay_give(&mut self, bytes: &[u8], now: Now) {
        let State::Relay(relay) = &mut self.state else { return };
        relay.moved = now.mono;
        if relay.body == Body::Held {
            self.tx.push(&relay.prove(bytes));
        } else {
            relay.answer = Answer::Begun;
            self.tx.push(bytes);
        }
        self.pass_body();
    }

    /// Whether a byte of the runtime's answer has come.
    pub fn relay_begun(&self) -> bool {
        matches!(&self.state, State::Relay(relay) if relay.answer != Answer::Awaited)
    }

    /// Whether the peer has ended its side and all that it said was written, so that the runtime may see the end.
    pub fn relay_said_all(&self) -> bool {
        let said = |relay: &Relay| relay.reached && relay.up.is_empty() && self.rx.is_empty();
        self.eof && matches!(&self.state, State::Relay(relay) if said(relay))
    }

    /// The runtime has ended its side: with all of its answer, if any came ([`Session::relay_begun`]).
    pub fn relay_end(&mut self, now: Now) {
        if self.relay_begun() {
            self.close(Event::Answer, Tail::deaf(), now);
        }
    }

    /// When the relay has waited too long.
    pub(super) fn relay_deadline(&self, relay: &Relay) -> Option<Instant> {
        relay.moved.checked_add(self.relay_span(relay)?)
    }

    /// How long it may wait.
    pub(super) fn relay_span(&self, relay: &Relay) -> Option<Duration> {
        match self.relay_wait(relay) {
            Wait::Dial => Some(RELAY_DIAL),
            Wait::Request | Wait::Taking => Some(RELAY_PEER),
            Wait::Runtime => Some(RELAY_RUNTIME),
            Wait::Nobody => None,
        }
    }

    /// What is waited for.
    pub(super) fn relay_wait(&self, relay: &Relay) -> Wait {
        match relay.body {
            _ if !relay.reached => Wait::Dial,
            Body::Held => Wait::Runtime,
            _ if !self.tx.is_empty() => Wait::Taking,
            Body::Raw => Wait::Nobody,
            // With bytes unread it is the runtime that does not take them.
            Body::Left(_) | Body::Chunks(_) if self.rx.is_empty() => Wait::Request,
            Body::Left(_) | Body::Chunks(_) | Body::Whole => Wait::Runtime,
        }
    }

    /// Whether the peer has gone in the middle of its request, and all that came of it has been taken.
    pub(super) fn relay_torn(&self) -> bool {
        let torn = |relay: &Relay| matches!(relay.body, Body::Left(_) | Body::Chunks(_));
        self.eof && self.rx.is_empty() && matches!(&self.state, State::Relay(relay) if torn(relay))
    }

    /// The peer's bytes in [`super::Phase::Relay`]: as many of the request as there is room for go on. Behind it nothing
    /// counts; it is read all the same, so that the peer's end is noticed.
    pub(super) fn pass_body(&mut self) {
        let State::Relay(relay) = &mut self.state else { return };
        let Relay { up, body, fault, .. } = &mut **relay;
        let room = RELAY_QUEUE_BYTES_MAX.saturating_sub(up.len());
        if let Err(refusal) = body.pass(&mut self.rx, room, up) {
            *fault = Some(refusal);
        }
    }

    /// Something of the peer's came, or went to it.
    pub(super) fn relay_moved(&mut self, now: Now) {
        if let State::Relay(relay) = &mut self.state {
            relay.moved = now.mono;
        }
        self.pass_body();
    }
}

impl Relay {
    /// Bytes of memory that it holds.
    pub(super) fn capacity(&self) -> usize {
        self.up.capacity() + self.proof.len()
    }

    /// Why the request cannot go on, once.
    pub(super) fn take_fault(&mut self) -> Option<Refusal> {
        self.fault.take()
    }

    /// Whether an answer of ours has no body.
    pub(super) fn head_only(&self) -> bool {
        self.head_only
    }

    /// The runtime's answer to an upgrade: what may go on of it. Only a socket of the runtime's own opens the way for what
    /// is no HTTP.
    fn prove(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (said, body) = match self.proof.hear(bytes, &mut self.up) {
            Outcome::Open => return Vec::new(),
            Outcome::Plain(said) => (said, Body::Whole),
            Outcome::Socket(said) => (said, Body::Raw),
            Outcome::Gateway => {
                let reason = "not found: there is no socket of the runtime's own";
                self.fault = Some(Refusal::new("socket-of-gateway", reason, REMEDY).with_status(404));
                return Vec::new();
            }
        };
        (self.answer, self.body, self.proof) = (Answer::Begun, body, Proof::default());
        said
    }
}

const REMEDY: &str = "none: the runtime has its gateway at this path, and ours is at every other one";
