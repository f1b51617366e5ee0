//! One connection, without I/O: bytes and the time go in, [`Happening`]s and bytes come out.
//!
//! Rule: every step from phase to phase goes through `Session::step`, which allows what [`TRANSITIONS`] lists and
//! nothing else; what a phase needs lives in that phase's `State`. The session knows no policy: the gateway asks
//! ([`Session::poll`]) and tells ([`Session::upgrade`], [`Session::admit`], [`Session::refuse`], …). Telling
//! something that does not fit the phase any more, because the peer has gone meanwhile, changes nothing.

mod body;
mod closing;
mod deadline;
mod forward;
mod framing;
mod happening;
mod head;
mod line;
mod phase;
mod proof;
mod queue;
mod relay;
mod saved;
mod state;

use std::time::{Duration, Instant};

use tungstenite::protocol::Role;

use crate::clock::Now;
use crate::limits;
use crate::wire::refusal::{CloseCode, Refusal};

use closing::{Closing, Tail};
use framing::{Arrival, Framing};
use queue::Queue;
use state::{Asked, State};

pub use forward::Authorization;
pub use framing::Text;
pub use happening::{End, Happening};
pub use head::{Head, HttpAnswer};
pub use line::{Line, SavedLine, Signal};
pub use phase::{Deadline, Event, PHASES, Phase, PhaseRow, TRANSITIONS, next};
pub use saved::{Held, Saved};

/// One connection.
///
/// Call [`Session::poll`] until it returns `None` after each [`Session::receive`], [`Session::eof`],
/// [`Session::lost`], [`Session::sent`] and [`Session::expire`], and after telling something; then look at
/// [`Session::outgoing`] and [`Session::half_close_due`].
#[derive(Debug)]
pub struct Session {
    accepted: Instant,
    spans: Spans,
    /// What came and is not dealt with.
    rx: Queue,
    /// What is owed and not written.
    tx: Queue,
    /// The peer will send no more.
    eof: bool,
    state: State,
}

/// How long a peer may take; within the bounds of [`limits::HANDSHAKE`], [`limits::HEAD`] and [`limits::CLOSING`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// From accept to admission.
    pub handshake: Duration,
    /// From the first byte to the end of the HTTP head.
    pub head: Duration,
    /// From our last word to the peer's end.
    pub closing: Duration,
}

impl Session {
    /// A connection that was accepted at `now`.
    pub fn new(now: Now, spans: Spans) -> Self {
        Self {
            accepted: now.mono,
            spans,
            rx: Queue::default(),
            tx: Queue::default(),
            eof: false,
            state: State::Accept,
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// When it was accepted.
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    // -- what happened outside --

    /// Takes in bytes of the peer. How many are held is bounded if the caller reads at most
    /// [`limits::READ_TURN_BYTES_MAX`] at once, and only while [`Session::wants_read`].
    pub fn receive(&mut self, bytes: &[u8], now: Now) {
        if bytes.is_empty() || self.phase() == Phase::Closed {
            return;
        }
        self.rx.push(bytes);
        if self.phase() == Phase::Accept {
            self.step(Event::Byte, |_| State::HeadPart(head::Progress::default(), now.mono));
        }
        self.relay_moved(now);
        self.listen();
    }

    /// The peer will send no more. What has arrived still counts.
    pub fn eof(&mut self) {
        self.eof = true;
    }

    /// The connection broke in both directions. What has arrived does not count any more: no answer could be sent.
    pub fn lost(&mut self) {
        if self.allows(Event::Lost) {
            let end = self.take_end(End::Lost { phase: self.phase() });
            self.step(Event::Lost, |_| State::Closed(Some(end)));
        }
    }

    /// The first `count` bytes of [`Session::outgoing`] were written.
    pub fn sent(&mut self, count: usize, now: Now) {
        self.tx.skip(count);
        self.relay_moved(now);
    }

    /// Whether the connection should be read now. It is not while as much is held as the phase allows, nor while as
    /// much is owed to a peer that asks (a ping is enough) but does not read.
    pub fn wants_read(&self) -> bool {
        let (held, owed) = (self.rx.len(), self.tx.len());
        !self.eof
            && match &self.state {
                State::Accept | State::HeadPart(..) | State::HeadGiven(_) => held < limits::HEAD_BYTES_MAX,
                State::Connect { .. } | State::Verdict => held.max(owed) < limits::QUEUED_BYTES_MAX,
                // A message may be larger than a turn; but small ones must not pile up behind each other.
                State::Open(_) => {
                    owed < limits::TX_QUEUE_BYTES_MAX
                        && (held < limits::READ_TURN_BYTES_MAX
                            || (held as u64) < framing::front_len(self.rx.waiting()))
                }
                State::Relay(_) => held < limits::RELAY_QUEUE_BYTES_MAX,
                State::Closing(_) => true,
                State::Closed(_) => false,
            }
    }

    // -- what the gateway has to know --

    /// The next thing that the gateway has to know. `None`: nothing for now.
    pub fn poll(&mut self, now: Now) -> Option<Happening> {
        match &mut self.state {
            State::Accept | State::HeadPart(..) => self.poll_head(now),
            State::Connect { given: false, .. } | State::Open(_) => self.poll_frames(now),
            State::HeadGiven(_) => None,
            State::Connect { .. } | State::Verdict => self.poll_eof(),
            State::Relay(_) => self.poll_relay(now),
            State::Closing(_) => self.poll_closing(),
            State::Closed(end) => end.take().map(Happening::Ended),
        }
    }

    /// The bytes to write, oldest first.
    pub fn outgoing(&self) -> &[u8] {
        self.tx.waiting()
    }

    /// How many bytes are owed and not written.
    pub fn unsent(&self) -> usize {
        self.tx.len()
    }

    /// Bytes of memory that the connection holds besides itself.
    pub fn heap_bytes(&self) -> usize {
        let framing = match &self.state {
            State::Connect { framing, .. } | State::Open(framing) => framing.capacity(),
            State::Relay(relay) => relay.capacity(),
            _ => 0,
        };
        self.rx.capacity() + self.tx.capacity() + framing
    }

    /// True once, when our direction of the connection should be ended because our last word is written and no close
    /// frame of the peer will tell that it has arrived. Reading goes on: a socket that is closed over unread bytes
    /// may destroy what it has just sent.
    pub fn half_close_due(&mut self) -> bool {
        match &mut self.state {
            State::Closing(closing) if self.tx.is_empty() => closing.half_close_due(),
            _ => false,
        }
    }

    // -- what the gateway tells --

    /// [`Phase::Head`]: makes the connection a WebSocket. Does nothing if that was not asked for.
    pub fn upgrade(&mut self) {
        let State::HeadGiven(Asked { upgrade: Some(upgrade), len, .. }) = &self.state else { return };
        self.tx.push(upgrade.response().as_bytes());
        self.rx.skip(*len);
        let framing = Framing::new(Phase::Connect);
        self.step(Event::Upgrade, |_| State::Connect { framing, given: false });
    }

    /// [`Phase::Head`], and [`Phase::Relay`] while the runtime has not answered: answers the request, and ends the
    /// connection once the answer has arrived.
    pub fn answer(&mut self, answer: &HttpAnswer, now: Now) {
        if self.allows(Event::Answer) && !self.relay_begun() {
            self.write_answer(answer);
            self.close(Event::Answer, Tail::deaf(), now);
        }
    }

    /// [`Phase::Connect`]: the message is a connect request and is being decided on. What comes behind it waits.
    pub fn deliberate(&mut self) {
        if self.allows(Event::Connect) {
            self.step(Event::Connect, |_| State::Verdict);
        }
    }

    /// [`Phase::Verdict`]: the peer is in. Messages may be larger from here on; what waited comes up.
    pub fn admit(&mut self) {
        if self.allows(Event::Admit) {
            self.rx.release();
            self.tx.release();
            self.step(Event::Admit, |_| State::Open(Framing::new(Phase::Open)));
        }
    }

    /// Ends the connection for `refusal`: over WebSocket with a close frame (send the answer to the request before
    /// it), over HTTP with an answer. Does nothing if the connection is ending already.
    pub fn refuse(&mut self, refusal: &Refusal, now: Now) {
        self.end(Event::Refuse, refusal, Tail::frames(), now);
    }

    /// Ends the connection for a reason that is not the peer's doing: the service stops.
    pub fn finish(&mut self, refusal: &Refusal, now: Now) {
        self.end(Event::Finish, refusal, Tail::frames(), now);
    }

    /// Ends the connection where nobody knows any more where the peer's next message begins: with a close frame, and
    /// without waiting for the peer's.
    pub fn cut_off(&mut self, refusal: &Refusal, now: Now) {
        self.end(Event::Finish, refusal, Tail::deaf(), now);
    }

    /// Sends a text message of these pieces, if the connection is a WebSocket and not ending.
    pub fn send_text(&mut self, pieces: &[&str]) {
        if self.is_websocket() {
            framing::write_text(&mut self.tx, Role::Server, pieces);
        }
    }

    /// Sends a ping, if the connection is a WebSocket and not ending.
    pub fn ping(&mut self) {
        if self.is_websocket() {
            framing::write_ping(&mut self.tx, Role::Server);
        }
    }

    // -- inside --

    /// The only way from phase to phase. Callers ask [`Session::allows`] first where the gateway or the peer may be
    /// late.
    fn step(&mut self, event: Event, change: impl FnOnce(State) -> State) {
        let Some(to) = next(self.phase(), event) else {
            debug_assert!(false, "{event:?} in {:?}", self.phase());
            return;
        };
        self.state = change(std::mem::replace(&mut self.state, State::Closed(None)));
        debug_assert_eq!(self.phase(), to, "after {event:?}");
    }

    fn allows(&self, event: Event) -> bool {
        next(self.phase(), event).is_some()
    }

    fn is_websocket(&self) -> bool {
        matches!(self.phase(), Phase::Connect | Phase::Verdict | Phase::Open)
    }

    fn poll_head(&mut self, now: Now) -> Option<Happening> {
        let eof = self.eof;
        let (due, began) = match &mut self.state {
            State::HeadPart(progress, began) => (progress.is_due(self.rx.waiting(), eof), *began),
            _ => (false, self.accepted),
        };
        match if due { Head::parse(self.rx.waiting()) } else { Ok(None) } {
            Ok(Some((head, len))) => {
                let head_only = head.method() == "HEAD";
                let asked = Asked { began, len, upgrade: head.take_upgrade(), head_only };
                self.state = State::HeadGiven(asked);
                Some(Happening::Head(head))
            }
            Ok(None) => self.poll_eof(),
            Err(refusal) => Some(self.refuse_ourselves(refusal, now)),
        }
    }

    fn poll_frames(&mut self, now: Now) -> Option<Happening> {
        let (State::Connect { framing, .. } | State::Open(framing)) = &mut self.state else { return None };
        match framing.read(&mut self.rx, &mut self.tx) {
            Ok(Some(Arrival::Text(text))) => {
                if let State::Connect { given, .. } = &mut self.state {
                    *given = true;
                }
                Some(Happening::Message(text))
            }
            Ok(Some(Arrival::Close { code, reason })) => {
                let until = now.mono.checked_add(self.spans.closing);
                let closing = Closing::by_peer(until, End::PeerClosed { code, reason });
                self.step(Event::PeerClose, |_| State::Closing(closing));
                self.listen();
                self.poll_closing()
            }
            Ok(None) => self.poll_eof(),
            Err(refusal) => Some(self.refuse_ourselves(refusal, now)),
        }
    }

    /// Everything that came is dealt with, or is not to be looked at now; if that was all, the connection is over.
    fn poll_eof(&mut self) -> Option<Happening> {
        if !self.eof {
            return None;
        }
        let end = End::Eof { phase: self.phase(), unfinished: self.unfinished() };
        self.step(Event::Eof, |_| State::Closed(None));
        Some(Happening::Ended(end))
    }

    fn poll_relay(&mut self, now: Now) -> Option<Happening> {
        let fault = match &mut self.state {
            State::Relay(relay) => relay.take_fault(),
            _ => None,
        };
        match fault {
            Some(refusal) => Some(self.refuse_ourselves(refusal, now)),
            None if self.relay_torn() => self.poll_eof(),
            None => None,
        }
    }

    fn poll_closing(&mut self) -> Option<Happening> {
        if self.eof {
            self.step(Event::Eof, State::peer_ended);
        }
        let over = matches!(&self.state, State::Closing(closing) if closing.is_over());
        if !over || !self.tx.is_empty() {
            return None;
        }
        let end = self.take_end(End::Drained);
        self.step(Event::Drained, |_| State::Closed(None));
        Some(Happening::Ended(end))
    }

    fn refuse_ourselves(&mut self, refusal: Refusal, now: Now) -> Happening {
        // After a violation of the framing nobody knows where the next frame begins.
        let tail = if refusal.code == CloseCode::Protocol { Tail::deaf() } else { Tail::frames() };
        self.end(Event::Refuse, &refusal, tail, now);
        Happening::Refused(refusal)
    }

    /// Says why and begins to close, if it has not begun.
    fn end(&mut self, event: Event, refusal: &Refusal, tail: Tail, now: Now) {
        if !self.allows(event) {
            return;
        }
        if self.is_websocket() {
            framing::write_close(&mut self.tx, Role::Server, refusal.code, refusal.close_reason());
            self.close(event, tail, now);
        } else if self.relay_begun() {
            // An answer that has begun can only be cut.
            self.close(event, Tail::deaf(), now);
        } else {
            self.write_answer(&HttpAnswer::text(refusal.status, &refusal.reason));
            self.close(event, Tail::deaf(), now);
        }
    }

    fn write_answer(&mut self, answer: &HttpAnswer) {
        let head_only = match &self.state {
            State::HeadGiven(asked) => asked.head_only,
            State::Relay(relay) => relay.head_only(),
            _ => false,
        };
        self.tx.push(&answer.format(!head_only));
    }

    fn close(&mut self, event: Event, tail: Tail, now: Now) {
        let closing = Closing::by_us(now.mono.checked_add(self.spans.closing), tail);
        self.step(event, |_| State::Closing(closing));
        self.listen();
    }

    /// In [`Phase::Closing`], throws away what came, up to the peer's close frame.
    fn listen(&mut self) {
        let State::Closing(closing) = &mut self.state else { return };
        if closing.listen(&mut self.rx) {
            self.step(Event::PeerClose, State::peer_ended);
        }
    }

    /// What there is to say at the end: that the peer began it, or `otherwise`.
    fn take_end(&mut self, otherwise: End) -> End {
        match &mut self.state {
            State::Closing(closing) => closing.take_end(otherwise),
            _ => otherwise,
        }
    }

    /// Bytes of something that is not whole.
    fn unfinished(&self) -> usize {
        match &self.state {
            State::Connect { framing, .. } | State::Open(framing) => framing.held() + self.rx.len(),
            _ => self.rx.len(),
        }
    }
}

/// The close frame that `refusal` calls for, for a WebSocket of which nothing else is known.
pub fn parting(refusal: &Refusal) -> Vec<u8> {
    let mut frame = Queue::default();
    framing::write_close(&mut frame, Role::Server, refusal.code, refusal.close_reason());
    frame.waiting().to_vec()
}
