//! Time as a value. The core never asks for it; row 7 reads the clock once a turn and passes it down.

use std::time::{Duration, Instant};

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines: never goes back.
    pub mono: Instant,
    /// For what people and device proofs see: milliseconds since 1970, UTC.
    pub unix_ms: u64,
}

impl Now {
    /// The reading `by` later, as both clocks would show it without an adjustment.
    pub fn later(self, by: Duration) -> Self {
        Self { mono: self.mono + by, unix_ms: self.unix_ms.saturating_add(millis(by)) }
    }

    /// Milliseconds from `earlier` to now on the monotonic clock; 0 if `earlier` lies ahead.
    pub fn millis_since(self, earlier: Instant) -> u64 {
        millis(self.mono.saturating_duration_since(earlier))
    }
}

/// A duration in whole milliseconds, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
