//! How long a connection may stay where it is, and what is said to one that stayed longer.
//!
//! Rule: nobody is let in later than the handshake span after accept, whatever it does meanwhile; one byte at a time
//! buys no time. A head has a shorter span of its own, from its first byte: real clients connect and then load for
//! seconds before they write, but whoever writes half a head has no such excuse. The text names the span, the phase
//! and what was missing.

use std::time::Instant;

use super::phase::{Deadline, Event, Phase};
use super::{End, Session, State};
use crate::clock::{Now, millis};
use crate::session::closing::Tail;
use crate::session::relay::{Relay, Wait};
use crate::wire::refusal::{CloseCode, Refusal};

impl Session {
    /// When [`Session::expire`] has to be called; `None` while nothing is awaited that the peer owes.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase().row().deadline {
            Deadline::None => None,
            Deadline::Head => {
                let began = match &self.state {
                    State::HeadPart(_, began) => *began,
                    State::HeadGiven(asked) => asked.began,
                    _ => self.accepted,
                };
                let head = began.checked_add(self.spans.head);
                [head, self.handshake_deadline()].into_iter().flatten().min()
            }
            Deadline::Handshake => self.handshake_deadline(),
            Deadline::Relay => match &self.state {
                State::Relay(relay) => self.relay_deadline(relay),
                _ => None,
            },
            Deadline::Closing => match &self.state {
                State::Closing(closing) => closing.until(),
                _ => None,
            },
        }
    }

    /// The refusal that [`Session::expire`] would pronounce. Read the connection once more and poll it before: what
    /// has arrived in time counts. In [`Phase::Verdict`] the answer to the request that waits is sent between the two
    /// calls.
    pub fn overdue(&self, now: Now) -> Option<Refusal> {
        let due = self.deadline().is_some_and(|deadline| now.mono >= deadline);
        if due && self.allows(Event::Refuse) { Some(self.lateness()) } else { None }
    }

    /// Acts on a deadline that has passed: refuses the peer, or gives up waiting for its end ([`End::Overdue`] comes
    /// up at the next poll). Before the deadline it does nothing.
    pub fn expire(&mut self, now: Now) -> Option<Refusal> {
        let refusal = self.overdue(now);
        if let Some(refusal) = &refusal {
            self.end(Event::Deadline, refusal, Tail::frames(), now);
        } else if self.deadline().is_some_and(|deadline| now.mono >= deadline) {
            let end = self.take_end(End::Overdue { unsent: self.unsent() });
            self.step(Event::Deadline, |_| State::Closed(Some(end)));
        }
        refusal
    }

    fn relay_lateness(&self, relay: &Relay) -> Refusal {
        let (rule, reason, remedy, status) = match self.relay_wait(relay) {
            Wait::Dial => ("deadline-dial", "the runtime could not be reached", REMEDY_RUNTIME, 503),
            Wait::Request => ("deadline-relay", "the request did not go on", REMEDY_SLOW, 408),
            Wait::Taking => ("deadline-relay", "the answer was not taken", REMEDY_SLOW, 408),
            Wait::Runtime | Wait::Nobody => {
                ("deadline-runtime", "the runtime did not answer", REMEDY_RUNTIME, 504)
            }
        };
        let moved = self.relay_span(relay).map_or(0, millis);
        let reason = format!("relay deadline: {reason} within {moved} ms (phase relay)");
        Refusal::new(rule, reason, remedy).with_status(status)
    }

    fn handshake_deadline(&self) -> Option<Instant> {
        self.accepted.checked_add(self.spans.handshake)
    }

    fn lateness(&self) -> Refusal {
        if let State::Relay(relay) = &self.state {
            return self.relay_lateness(relay);
        }
        let bytes = self.unfinished();
        let (rule, missing, remedy) = match &self.state {
            State::Accept => ("deadline-accept", "nothing was sent".to_owned(), REMEDY_SILENT),
            State::HeadGiven(_) => ("deadline-head", "no answer to the request".to_owned(), REMEDY_LOADED),
            State::HeadPart(..) => {
                ("deadline-head", format!("half an http head ({bytes} bytes)"), REMEDY_SLOW)
            }
            State::Connect { given: true, .. } | State::Verdict => {
                ("deadline-verdict", "no verdict on connect".to_owned(), REMEDY_LOADED)
            }
            _ if bytes > 0 => {
                ("deadline-connect", format!("half a connect frame ({bytes} bytes)"), REMEDY_SLOW)
            }
            _ => ("deadline-connect", "no connect".to_owned(), REMEDY_SLOW),
        };
        let (span, name) = match self.phase() {
            Phase::Head => (self.spans.head.min(self.spans.handshake), "head"),
            _ => (self.spans.handshake, "handshake"),
        };
        let phase = self.phase().name();
        let reason = format!("{name} deadline: {missing} within {} ms (phase {phase})", millis(span));
        // A verdict that does not come is our own failure, not the peer's.
        let code = if rule == "deadline-verdict" { CloseCode::Internal } else { CloseCode::Policy };
        Refusal::new(rule, reason, remedy).with_status(408).with_code(code)
    }
}

const REMEDY_SILENT: &str =
    "a port scan or a preconnecting browser does this; for a slow client raise the handshake span";
const REMEDY_SLOW: &str = "look at what keeps the client busy (load, swap), or raise the handshake span";
const REMEDY_RUNTIME: &str = "look at the runtime's own log; it runs at the port that runtime.port names";
const REMEDY_LOADED: &str = "look at the disk and the load of this machine; the request was complete";
