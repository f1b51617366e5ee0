//! One session as plain values, so that another process goes on where this one stopped.
//!
//! Rule: what is restored is a session that could have come about here, or nothing. The names of fields, phases and
//! tails are a stored format: they stay what they are, and a field that is added has a default.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::closing::{Closing, Tail};
use super::framing::{self, Framing};
use super::head::Progress;
use super::phase::Phase;
use super::queue::Queue;
use super::{End, Session, Spans, State};
use crate::clock::Epoch;
use crate::limits::{
    FRAME_HEADER_BYTES_MAX, HELD_CONNECT_BYTES_MAX, HELD_HEAD_BYTES_MAX, HELD_OPEN_BYTES_MAX,
    HELD_TX_BYTES_MAX, PEER_REASON_BYTES_MAX,
};

/// A session without its bytes, which are [`Held`]. How long a peer may take is not in it: the settings of the day of
/// the restart say that. Times are microseconds since an [`Epoch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// When it was accepted.
    accepted: u64,
    /// The peer will send no more.
    #[serde(default)]
    eof: bool,
    state: Place,
}

/// The bytes of a session. `Debug` shows their number alone: there may be secrets among them.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Held {
    /// What came and is not dealt with.
    pub rx: Vec<u8>,
    /// What is owed and not written.
    pub tx: Vec<u8>,
    /// The frames of an unfinished message, headers and masks included.
    pub fragments: Vec<u8>,
}

/// The phase and what belongs to it, for the phases that can be saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
enum Place {
    Accept,
    Head {
        /// When the first byte came.
        began: u64,
        #[serde(default)]
        progress: Progress,
    },
    Connect,
    Open,
    Closing {
        /// When waiting ends; none if the clock could not show it.
        #[serde(default)]
        until: Option<u64>,
        tail: Tail,
        /// The close frame of a peer that began it.
        #[serde(default)]
        goodbye: Option<Goodbye>,
    },
}

/// [`End::PeerClosed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Goodbye {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    reason: Box<str>,
}

impl Session {
    /// Whether nothing is unread, unwritten, half here or handed out and undecided, so that another process may go on
    /// with what [`Session::save`] gives now even if this one ends without a word. Only true before the first byte, and
    /// between messages before and after admission.
    pub fn at_rest(&self) -> bool {
        let whole = match &self.state {
            State::Accept => true,
            State::Connect { framing, given: false } | State::Open(framing) => framing.held() == 0,
            _ => false,
        };
        whole && !self.eof && self.rx.is_empty() && self.tx.is_empty()
    }

    /// The session as plain values, every byte included. `None` while the gateway owes a decision on something that
    /// was handed out (a head, the connect request), while a request passes to the runtime, and when the connection is
    /// over.
    pub fn save(&self, epoch: &Epoch) -> Option<(Saved, Held)> {
        let state = match &self.state {
            State::Accept => Place::Accept,
            State::HeadPart(progress, began) => {
                Place::Head { began: epoch.micros(*began), progress: progress.clone() }
            }
            State::Connect { given: false, .. } => Place::Connect,
            State::Open(_) => Place::Open,
            State::Closing(closing) => Place::of(closing, epoch),
            State::HeadGiven(_)
            | State::Connect { given: true, .. }
            | State::Verdict
            | State::Relay(_)
            | State::Closed(_) => return None,
        };
        let fragments = match &self.state {
            State::Connect { framing, .. } | State::Open(framing) => framing.fragments().to_vec(),
            _ => Vec::new(),
        };
        let held = Held { rx: self.rx.waiting().to_vec(), tx: self.tx.waiting().to_vec(), fragments };
        Some((Saved { accepted: epoch.micros(self.accepted), eof: self.eof, state }, held))
    }

    /// The same for a WebSocket that takes and sends messages, without its bytes: how it will be when they are dealt with.
    pub fn save_at_rest(&self, epoch: &Epoch) -> Option<Saved> {
        let state = match &self.state {
            State::Connect { given: false, .. } => Place::Connect,
            State::Open(_) => Place::Open,
            _ => return None,
        };
        Some(Saved { accepted: epoch.micros(self.accepted), eof: false, state })
    }

    /// The session that was saved. Poll it before anything else: what lies unread comes up then.
    ///
    /// # Errors
    /// The values are not those of a session that could have come about here; the text says which. Whether the times
    /// lie in the past is not looked at.
    pub fn restore(saved: Saved, held: Held, spans: Spans, epoch: &Epoch) -> Result<Self, String> {
        let Saved { accepted, eof, state } = saved;
        let Held { rx, tx, fragments } = held;
        state.check_bytes(rx.len(), tx.len(), fragments.len())?;
        state.check_times(accepted)?;
        state.check_unread(&rx, eof)?;
        Ok(Self {
            accepted: instant(accepted, epoch)?,
            spans,
            rx: Queue::holding(rx),
            tx: Queue::holding(tx),
            eof,
            state: state.restore(fragments, epoch)?,
        })
    }
}

impl Place {
    fn of(closing: &Closing, epoch: &Epoch) -> Self {
        let goodbye = match closing.end() {
            Some(End::PeerClosed { code, reason }) => Some(Goodbye { code: *code, reason: reason.clone() }),
            // No other end is known before it is there.
            _ => None,
        };
        let until = closing.until().map(|until| epoch.micros(until));
        Self::Closing { until, tail: closing.tail().clone(), goodbye }
    }

    fn phase(&self) -> Phase {
        match self {
            Self::Accept => Phase::Accept,
            Self::Head { .. } => Phase::Head,
            Self::Connect => Phase::Connect,
            Self::Open => Phase::Open,
            Self::Closing { .. } => Phase::Closing,
        }
    }

    /// How many bytes may lie unread, and unwritten.
    fn bounds(&self) -> (RangeInclusive<usize>, usize) {
        match self {
            Self::Accept => (0..=0, 0),
            Self::Head { .. } => (1..=HELD_HEAD_BYTES_MAX, 0),
            Self::Connect => (0..=HELD_CONNECT_BYTES_MAX, HELD_TX_BYTES_MAX),
            Self::Open => (0..=HELD_OPEN_BYTES_MAX, HELD_TX_BYTES_MAX),
            // All that can be left of what is thrown away is the beginning of a frame's header.
            Self::Closing { .. } => (0..=FRAME_HEADER_BYTES_MAX - 1, HELD_TX_BYTES_MAX),
        }
    }

    fn check_bytes(&self, rx: usize, tx: usize, fragments: usize) -> Result<(), String> {
        let (unread, unwritten) = self.bounds();
        let phase = self.phase().name();
        if !unread.contains(&rx) {
            return Err(format!("{rx} unread bytes in phase {phase}"));
        }
        if tx > unwritten {
            return Err(format!("{tx} unwritten bytes in phase {phase}"));
        }
        // How many there may be, the frames themselves have to show.
        if fragments > 0 && !matches!(self, Self::Connect | Self::Open) {
            return Err(format!("{fragments} bytes of fragments in phase {phase}"));
        }
        Ok(())
    }

    fn check_unread(&self, rx: &[u8], eof: bool) -> Result<(), String> {
        match self {
            Self::Head { progress, .. } if !progress.fits(rx.len()) => {
                Err(format!("more of a head was looked at than its {} bytes", rx.len()))
            }
            Self::Closing { tail, goodbye, .. } => {
                check_tail(tail, rx, eof)?;
                goodbye.as_ref().map_or(Ok(()), |goodbye| goodbye.check(tail, rx))
            }
            _ => Ok(()),
        }
    }

    fn check_times(&self, accepted: u64) -> Result<(), String> {
        if let Self::Closing { until: None, .. } = self {
            // The clock of this machine shows every time that was saved, so it is lost, and nobody waits for ever.
            return Err("no end of the wait in phase closing".to_owned());
        }
        let (Self::Head { began: at, .. } | Self::Closing { until: Some(at), .. }) = self else {
            return Ok(());
        };
        let phase = self.phase().name();
        if *at < accepted { Err(format!("a time of phase {phase} lies before accept")) } else { Ok(()) }
    }

    fn restore(self, fragments: Vec<u8>, epoch: &Epoch) -> Result<State, String> {
        Ok(match self {
            Self::Accept => State::Accept,
            Self::Head { began, progress } => State::HeadPart(progress, instant(began, epoch)?),
            Self::Connect => {
                State::Connect { framing: Framing::restore(Phase::Connect, fragments)?, given: false }
            }
            Self::Open => State::Open(Framing::restore(Phase::Open, fragments)?),
            Self::Closing { until, tail, goodbye } => {
                let until = until.map(|until| instant(until, epoch)).transpose()?;
                let end = goodbye.map(|Goodbye { code, reason }| End::PeerClosed { code, reason });
                State::Closing(Closing::restore(until, tail, end))
            }
        })
    }
}

impl Goodbye {
    /// A peer that has closed has said its last word, and what came behind it was thrown away.
    fn check(&self, tail: &Tail, rx: &[u8]) -> Result<(), String> {
        let legal = match self.code {
            Some(code) => framing::is_close_code(code) && self.reason.len() <= PEER_REASON_BYTES_MAX,
            None => self.reason.is_empty(),
        };
        match tail {
            Tail::Ended if legal && rx.is_empty() => Ok(()),
            _ => Err("a goodbye that no peer can have said".to_owned()),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rx, tx, fragments } = self;
        write!(f, "Held({} unread, {} unwritten, {} in fragments)", rx.len(), tx.len(), fragments.len())
    }
}

/// What may lie unread in [`Phase::Closing`]: nothing but the beginning of a header, where frames are looked at.
fn check_tail(tail: &Tail, rx: &[u8], eof: bool) -> Result<(), String> {
    let fits = match *tail {
        Tail::Frames { skip: 0, close } => !close && matches!(framing::glance(rx), Ok(None)),
        Tail::Frames { .. } | Tail::Deaf { .. } => rx.is_empty(),
        // The bytes may end within a header; a close frame leaves nothing behind it.
        Tail::Ended => eof || rx.is_empty(),
    };
    if fits { Ok(()) } else { Err(format!("{} unread bytes do not fit the tail of phase closing", rx.len())) }
}

fn instant(micros: u64, epoch: &Epoch) -> Result<Instant, String> {
    epoch.at(micros).ok_or_else(|| format!("{micros} us is no time that the clock can show"))
}
