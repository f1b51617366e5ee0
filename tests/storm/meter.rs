//! How long things took, and how long nothing happened.

use std::time::{Duration, Instant};

/// Something that should happen all the time.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    last: Option<Instant>,
    /// What was seen since it was read last.
    pub seen: Seen,
}

/// Between two readings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub count: usize,
    /// The longest time in which it did not happen.
    pub silence: Duration,
    /// The longest time that it took.
    pub took: Duration,
}

/// Many readings.
#[derive(Debug, Clone, Default)]
pub struct Spans(Vec<Duration>);

impl Meter {
    pub fn new() -> Self {
        Self { last: None, seen: Seen::default() }
    }

    pub fn happened(&mut self, took: Duration, now: Instant) {
        if let Some(last) = self.last {
            self.seen.silence = self.seen.silence.max(now.saturating_duration_since(last));
        }
        self.last = Some(now);
        self.seen.count += 1;
        self.seen.took = self.seen.took.max(took);
    }

    /// What happened since the last reading. A silence that goes on is counted by the next one as a whole.
    pub fn take(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    /// From here on silence counts anew: nothing was meant to happen for a while.
    pub fn rest(&mut self) {
        self.last = None;
    }
}

impl Seen {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.silence = self.silence.max(other.silence);
        self.took = self.took.max(other.took);
    }
}

impl Spans {
    pub fn push(&mut self, span: Duration) {
        self.0.push(span);
    }

    /// `p50 / p99 / max`.
    pub fn line(&self) -> String {
        let mut all = self.0.clone();
        all.sort();
        let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1)));
        let text = |percent| at(percent).map_or("-".to_owned(), |span| show(*span));
        format!("{} / {} / {}", text(50), text(99), text(100))
    }
}

/// How many a second.
pub fn rate(count: usize, time: Duration) -> u128 {
    count as u128 * 1_000_000 / time.as_micros().max(1)
}

/// What one of them cost, in microseconds.
pub fn each(cost: Duration, count: usize) -> String {
    let nanos = cost.as_nanos() / (count as u128).max(1);
    format!("{}.{} us", nanos / 1_000, nanos / 100 % 10)
}

/// In milliseconds, as precise as it is worth.
pub fn show(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

#[test]
fn silence_is_the_longest_time_between_two() {
    let start = Instant::now();
    let ms = Duration::from_millis;
    let mut meter = Meter::new();
    for at in [5, 10, 50, 55] {
        meter.happened(ms(at), start + ms(at));
    }
    let seen = meter.take();
    assert_eq!((seen.count, seen.silence, seen.took), (4, ms(40), ms(55)));
    meter.happened(ms(1), start + ms(155));
    assert_eq!(meter.take().silence, ms(100));
    meter.rest();
    meter.happened(ms(1), start + ms(955));
    assert_eq!(meter.take().silence, ms(0));
    let mut spans = Spans::default();
    (1..=200).for_each(|n| spans.push(ms(n)));
    assert_eq!(spans.line(), "101 ms / 199 ms / 200 ms");
}
