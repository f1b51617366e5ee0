//! The phase that a connection is in, with what belongs to it and to no other.

use std::time::Instant;

use super::End;
use super::closing::Closing;
use super::framing::Framing;
use super::head::{self, Upgrade};
use super::phase::Phase;
use super::relay::Relay;

/// The phase of a connection and what belongs to it.
#[derive(Debug)]
pub(super) enum State {
    Accept,
    /// A part of the head is here, and since when.
    HeadPart(head::Progress, Instant),
    /// The head was handed out.
    HeadGiven(Asked),
    Connect {
        framing: Framing,
        /// The first message was handed out.
        given: bool,
    },
    Verdict,
    Open(Framing),
    Relay(Box<Relay>),
    Closing(Closing),
    /// With what is still to be told.
    Closed(Option<End>),
}

/// What remains of a head that was handed out.
#[derive(Debug)]
pub(super) struct Asked {
    /// When the head began to come.
    pub(super) began: Instant,
    /// How many bytes it has; they are the first that wait.
    pub(super) len: usize,
    /// The answer that makes a WebSocket of the connection, if that was asked for.
    pub(super) upgrade: Option<Upgrade>,
    /// The method was HEAD.
    pub(super) head_only: bool,
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Accept => Phase::Accept,
            Self::HeadPart(..) | Self::HeadGiven(_) => Phase::Head,
            Self::Connect { .. } => Phase::Connect,
            Self::Verdict => Phase::Verdict,
            Self::Open(_) => Phase::Open,
            Self::Relay(_) => Phase::Relay,
            Self::Closing(_) => Phase::Closing,
            Self::Closed(_) => Phase::Closed,
        }
    }

    /// The same, and the peer has said its last word.
    pub(super) fn peer_ended(self) -> Self {
        match self {
            Self::Closing(closing) => Self::Closing(closing.ended()),
            other => other,
        }
    }
}
