//! The end of a connection: what is still listened for while our last word is on its way.
//!
//! Rule: nothing that comes now is kept; it is read so that the kernel does not answer it with a reset, which could
//! destroy what was sent last.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::End;
use super::framing;
use super::queue::Queue;

/// What belongs to the phase of the same name.
#[derive(Debug)]
pub(super) struct Closing {
    /// When waiting ends.
    until: Option<Instant>,
    tail: Tail,
    /// What there is to say at the end, if the peer began it.
    end: Option<End>,
}

/// How the peer's own end is recognised. Stored as it is: see [`super::saved`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Tail {
    /// By its close frame, or by the end of its bytes.
    Frames {
        /// Bytes of the frame at the front that are still to come.
        skip: u64,
        /// That frame is a close frame.
        close: bool,
    },
    /// By the end of its bytes alone; it has to see the end of ours first.
    Deaf {
        /// The shell was told to end our direction.
        told: bool,
    },
    /// It has ended.
    Ended,
}

impl Closing {
    /// An end that we begin; the peer's own is waited for until `until`.
    pub(super) fn by_us(until: Option<Instant>, tail: Tail) -> Self {
        Self { until, tail, end: None }
    }

    /// An end that the peer has begun and finished; what we owe it is written until `until`.
    pub(super) fn by_peer(until: Option<Instant>, end: End) -> Self {
        Self { until, tail: Tail::Ended, end: Some(end) }
    }

    /// An end as it was saved.
    pub(super) fn restore(until: Option<Instant>, tail: Tail, end: Option<End>) -> Self {
        Self { until, tail, end }
    }

    /// The same after the peer's last word.
    pub(super) fn ended(self) -> Self {
        Self { tail: Tail::Ended, ..self }
    }

    /// When waiting ends; never, if the clock cannot show that time.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How the peer's own end is recognised.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// What there is to say at the end, if the peer began it.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether the peer has said its last word.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.tail, Tail::Ended)
    }

    /// What there is to say at the end, or `otherwise`.
    pub(super) fn take_end(&mut self, otherwise: End) -> End {
        self.end.take().unwrap_or(otherwise)
    }

    /// Throws away what came, as far as it is certain what it was. True if it held the peer's close frame.
    pub(super) fn listen(&mut self, rx: &mut Queue) -> bool {
        while let Tail::Frames { skip, close } = &mut self.tail {
            let here = usize::try_from(*skip).unwrap_or(usize::MAX).min(rx.len());
            rx.skip(here);
            *skip -= here as u64;
            if *skip > 0 {
                return false;
            }
            if *close {
                rx.skip(rx.len());
                return true;
            }
            match framing::glance(rx.waiting()) {
                Ok(Some(front)) => {
                    rx.skip(front.head);
                    (*skip, *close) = (front.payload, front.is_close());
                }
                Ok(None) => {
                    rx.release();
                    return false;
                }
                Err(_) => self.tail = Tail::deaf(),
            }
        }
        rx.skip(rx.len());
        false
    }

    /// True once, if the peer has to see the end of our bytes.
    pub(super) fn half_close_due(&mut self) -> bool {
        match &mut self.tail {
            Tail::Deaf { told } => !std::mem::replace(told, true),
            Tail::Frames { .. } | Tail::Ended => false,
        }
    }
}

impl Tail {
    /// WebSocket: a close frame is to be expected.
    pub(super) const fn frames() -> Self {
        Self::Frames { skip: 0, close: false }
    }

    /// HTTP, or WebSocket frames whose borders are lost.
    pub(super) const fn deaf() -> Self {
        Self::Deaf { told: false }
    }
}
