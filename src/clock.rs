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

/// The instant from which saved times are counted, so that another process of the same boot can read them.
///
/// Saved times are whole microseconds: an instant that was saved comes back less than a microsecond too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(Instant);

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

impl Epoch {
    /// Counts from `start`, which must not lie behind anything that is to be saved.
    pub const fn new(start: Instant) -> Self {
        Self(start)
    }

    /// Microseconds from the epoch to `at`; 0 for what lies before the epoch.
    pub fn micros(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.0))
    }

    /// The instant that is saved as `micros`; `None` if the clock cannot show it.
    pub fn at(&self, micros: u64) -> Option<Instant> {
        self.0.checked_add(Duration::from_micros(micros))
    }
}

/// A duration in whole milliseconds, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration in whole microseconds, saturating.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_comes_back_to_the_microsecond() {
        let start = Instant::now();
        let epoch = Epoch::new(start);
        for nanos in [0, 1, 999, 1_000, 1_999, 86_400_000_000_000] {
            let at = start + Duration::from_nanos(nanos);
            let back = epoch.at(epoch.micros(at)).unwrap();
            assert_eq!(back, start + Duration::from_micros(nanos / 1_000), "{nanos}");
        }
    }

    #[test]
    fn what_the_clock_cannot_show_is_told() {
        let start = Instant::now() + Duration::from_secs(5);
        let epoch = Epoch::new(start);
        assert_eq!(epoch.micros(start.checked_sub(Duration::from_secs(1)).unwrap()), 0);
        // On Linux an instant has 63 bits of seconds, so every count of microseconds can be shown.
        assert_eq!(epoch.at(u64::MAX), start.checked_add(Duration::from_micros(u64::MAX)));
    }
}
