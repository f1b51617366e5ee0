//! How long a transient failure is worked at. Rule: pure; the time is an argument.

use std::time::{Duration, Instant};

use super::failure::Again;
use crate::limits::{CLI_BACKOFF_MAX, CLI_BACKOFF_MIN};

/// Attempts at one answer. The bound counts from the first failure, so that a slow answer costs nothing of it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    wait: Duration,
    since: Option<Instant>,
    failures: u32,
}

impl Budget {
    /// At most `wait` between the first failure and the last attempt; zero means one attempt.
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, since: None, failures: 0 }
    }

    /// Counts a failure. The pause before the next attempt, or `None` if there shall be none.
    ///
    /// `repeatable` says whether doing the request twice is the same as doing it once.
    pub(crate) fn pause(&mut self, again: Again, repeatable: bool, now: Instant) -> Option<Duration> {
        self.failures += 1;
        let since = *self.since.get_or_insert(now);
        let named = match again {
            Again::Never => return None,
            Again::Repeatable if !repeatable => return None,
            Again::Repeatable => None,
            Again::Harmless(named) => named,
        };
        let backoff = CLI_BACKOFF_MIN.saturating_mul(1 << (self.failures - 1).min(16)).min(CLI_BACKOFF_MAX);
        // Earlier than the gateway said is pointless; a zero must not become a busy loop.
        let pause = named.map_or(backoff, |named| named.max(CLI_BACKOFF_MIN));
        let left = self.wait.saturating_sub(now.saturating_duration_since(since));
        (!left.is_zero() && pause <= left).then_some(pause)
    }

    /// Attempts that failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The time since the first failure.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// An answer came: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.since = None;
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pauses of a failure that never ends.
    fn pauses(wait: Duration, again: Again) -> Vec<u64> {
        let mut budget = Budget::new(wait);
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        while let Some(pause) = budget.pause(again, true, now) {
            assert!(pauses.len() < 1_000, "never ends");
            pauses.push(crate::clock::millis(pause));
            now += pause;
        }
        pauses
    }

    #[test]
    fn pauses_grow_and_their_sum_is_bounded() {
        let shown = pauses(Duration::from_secs(5), Again::Harmless(None));
        assert_eq!(shown, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert!(pauses(Duration::ZERO, Again::Harmless(None)).is_empty());
        assert!(pauses(Duration::from_secs(5), Again::Never).is_empty());
    }

    #[test]
    fn the_gateways_own_word_counts() {
        let again = |ms| Again::Harmless(Some(Duration::from_millis(ms)));
        assert_eq!(pauses(Duration::from_secs(5), again(2_000)), [2_000, 2_000]);
        assert!(pauses(Duration::from_secs(5), again(60_000)).is_empty());
        assert_eq!(pauses(Duration::from_millis(200), again(0)), [50; 4]);
    }

    #[test]
    fn what_may_have_happened_is_not_done_twice() {
        let mut budget = Budget::new(Duration::from_secs(5));
        assert_eq!(budget.pause(Again::Repeatable, false, Instant::now()), None);
        assert!(budget.pause(Again::Repeatable, true, Instant::now()).is_some());
    }
}
