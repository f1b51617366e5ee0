//! What a session tells the gateway.
//!
//! Rule: each of these comes up once; what came up before it is dealt with by then.

use super::phase::Phase;
use super::{Head, Text};
use crate::wire::refusal::Refusal;

/// What the gateway has to know.
#[derive(Debug)]
pub enum Happening {
    /// The request head is here, once. Tell [`super::Session::upgrade`] (if [`Head::is_upgrade`]),
    /// [`super::Session::answer`], [`super::Session::relay`] or [`super::Session::refuse`].
    Head(Head),
    /// A message. In [`Phase::Connect`] there is one only; tell [`super::Session::deliberate`], then
    /// [`super::Session::admit`] or [`super::Session::refuse`]. In [`Phase::Open`] ask for as many as fit in a turn.
    Message(Text),
    /// The peer broke the rules of HTTP or WebSocket and has been refused; nothing needs to be told.
    Refused(Refusal),
    /// The connection is over, once; shut it down. Nothing follows.
    Ended(End),
}

/// How a connection came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The peer asked for it with a close frame, which was echoed.
    PeerClosed {
        /// The code, if it gave one.
        code: Option<u16>,
        /// Its reason; may be empty.
        reason: Box<str>,
    },
    /// The peer stopped sending without a close frame.
    Eof {
        /// Where it was.
        phase: Phase,
        /// Bytes of something unfinished.
        unfinished: usize,
    },
    /// The connection broke.
    Lost {
        /// Where it was.
        phase: Phase,
    },
    /// We ended it, everything was written, and the peer ended its side.
    Drained,
    /// We ended it, and the peer did not end its side within the closing span.
    Overdue {
        /// Bytes that could not be written.
        unsent: usize,
    },
}
