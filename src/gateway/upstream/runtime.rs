//! What is known of the runtime: whether it is there, whether it turns, and what it said of itself.
//!
//! Rule: one connection of our own, the sentinel, tells. Its end is the runtime's end; while it is away it is tried again
//! twice a second, and that is all that an absent runtime costs. Any byte of any leg is a sign of life; when calls wait and
//! none comes, the sentinel asks for one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::gateway::io::ConnId;
use crate::limits;
use crate::wire::Protocol;

/// The runtime as it is known.
#[derive(Debug)]
pub(in crate::gateway) struct Runtime {
    state: State,
    /// What it said of itself when it was there last.
    hello: Option<Hello>,
    /// The sentinel, from its dialling on.
    sentinel: Option<ConnId>,
    /// When a byte of it came last.
    heard: Instant,
    /// Since when it owes a sign of life.
    asked: Option<Instant>,
    /// When the sentinel is tried again.
    retry: Option<Instant>,
    /// Until when nobody comes in, because what the first try says would be known in a moment.
    unknown: Option<Instant>,
    /// How many calls wait for it, sent or not.
    waiting: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Absent,
    Away,
    Starting,
    Refusing(String),
    Ready,
    Stalled,
}

/// How a runtime can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Condition {
    /// None is configured.
    Absent,
    /// Nobody is at its port, or nobody who may have our secret.
    Away,
    /// It is there and says that it is not ready.
    Starting,
    /// It is there and does not let us in.
    Refusing,
    /// It answers.
    Ready,
    /// It is connected and does not turn.
    Stalled,
}

/// What the runtime said of itself. A stored format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway) struct Hello {
    pub(in crate::gateway) protocol: Protocol,
    pub(in crate::gateway) version: String,
    /// `features.methods`.
    pub(in crate::gateway) methods: BTreeSet<String>,
}

/// What is to be done about the runtime now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Due {
    /// Try the sentinel.
    Try,
    /// Ask for a sign of life.
    Ask(ConnId),
    /// It does not turn: nobody is to wait for it who does not have to.
    Stall,
}

impl Runtime {
    /// A runtime of which nothing is known; `configured`: there should be one.
    pub(in crate::gateway) fn new(configured: bool, now: Instant) -> Self {
        Self {
            state: if configured { State::Away } else { State::Absent },
            hello: None,
            sentinel: None,
            heard: now,
            asked: None,
            retry: configured.then_some(now),
            unknown: configured.then(|| now + limits::RUNTIME_FIRST),
            waiting: 0,
        }
    }

    /// How it is.
    pub(in crate::gateway) fn condition(&self) -> Condition {
        match self.state {
            State::Absent => Condition::Absent,
            State::Away => Condition::Away,
            State::Starting => Condition::Starting,
            State::Refusing(_) => Condition::Refusing,
            State::Ready => Condition::Ready,
            State::Stalled => Condition::Stalled,
        }
    }

    /// Whether the first try has said how it is, or took too long to.
    pub(in crate::gateway) fn is_known(&self) -> bool {
        self.unknown.is_none()
    }

    /// Why it does not let us in.
    pub(in crate::gateway) fn refusal(&self) -> Option<&str> {
        match &self.state {
            State::Refusing(why) => Some(why),
            _ => None,
        }
    }

    /// What it said of itself last, even if it is away now.
    pub(in crate::gateway) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// The sentinel, if there is one.
    pub(in crate::gateway) fn sentinel(&self) -> Option<ConnId> {
        self.sentinel
    }

    /// How long a client should wait before it asks again: until the next try, and the moment that it takes.
    pub(in crate::gateway) fn retry_after(&self, now: Instant) -> Duration {
        let next = self.retry.map_or(limits::RUNTIME_RETRY, |at| at.saturating_duration_since(now));
        next.max(limits::RUNTIME_RETRY)
    }

    // -- what happened --

    /// The sentinel is being dialled.
    pub(in crate::gateway) fn trying(&mut self, sentinel: ConnId) {
        self.sentinel = Some(sentinel);
        self.retry = None;
    }

    /// The sentinel is in.
    pub(in crate::gateway) fn ready(&mut self, sentinel: ConnId, hello: Hello, now: Instant) {
        self.sentinel = Some(sentinel);
        self.retry = None;
        self.unknown = None;
        self.hello = Some(hello);
        self.hear(now);
        self.state = State::Ready;
    }

    /// It has said something. True if it had stalled.
    pub(in crate::gateway) fn hear(&mut self, now: Instant) -> bool {
        self.heard = now;
        self.asked = None;
        let stalled = self.state == State::Stalled;
        if stalled {
            self.state = State::Ready;
        }
        stalled
    }

    /// The sentinel is gone, or came to nothing.
    pub(in crate::gateway) fn gone(&mut self, now: Instant) {
        self.rest(State::Away, limits::RUNTIME_RETRY, now);
    }

    /// It says that it is not ready yet.
    pub(in crate::gateway) fn starting(&mut self, now: Instant) {
        self.rest(State::Starting, limits::RUNTIME_RETRY, now);
    }

    /// It does not let us in, or must not have our secret: that takes a person to mend.
    pub(in crate::gateway) fn refusing(&mut self, why: String, now: Instant) {
        self.rest(State::Refusing(why), limits::RUNTIME_REFUSED_RETRY, now);
    }

    /// The configuration was read again.
    pub(in crate::gateway) fn configure(&mut self, configured: bool, now: Instant) {
        match (&self.state, configured) {
            (State::Absent | State::Refusing(_), true) => self.rest(State::Away, Duration::ZERO, now),
            (State::Absent, false) | (_, true) => {}
            (_, false) => *self = Self { waiting: self.waiting, ..Self::new(false, now) },
        }
    }

    /// One more call waits, or one less.
    pub(in crate::gateway) fn count(&mut self, more: usize, less: usize, now: Instant) {
        if self.waiting == 0 && more > 0 {
            // Silence counts from here: nobody has asked for anything before.
            self.heard = self.heard.max(now);
        }
        self.waiting = (self.waiting + more).saturating_sub(less);
    }

    pub(in crate::gateway) fn waiting(&self) -> usize {
        self.waiting
    }

    // -- time --

    /// When [`Runtime::expire`] has something to do.
    pub(in crate::gateway) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Absent | State::Stalled => None,
            State::Away | State::Starting | State::Refusing(_) => {
                self.retry.into_iter().chain(self.unknown).min()
            }
            State::Ready if self.waiting == 0 && self.asked.is_none() => None,
            State::Ready => Some(match self.asked {
                Some(asked) => asked + limits::RUNTIME_STALL,
                None => self.heard + limits::RUNTIME_SILENCE,
            }),
        }
    }

    /// What is due.
    pub(in crate::gateway) fn expire(&mut self, now: Instant) -> Option<Due> {
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        match self.state {
            State::Away if self.retry.is_none_or(|at| at > now) => {
                self.unknown = None;
                None
            }
            State::Ready if self.asked.is_none() => {
                self.asked = Some(now);
                self.sentinel.map(Due::Ask)
            }
            State::Ready => {
                self.asked = None;
                self.state = State::Stalled;
                Some(Due::Stall)
            }
            _ => {
                self.retry = None;
                Some(Due::Try)
            }
        }
    }

    fn rest(&mut self, state: State, pause: Duration, now: Instant) {
        self.sentinel = None;
        self.asked = None;
        self.retry = Some(now + pause);
        self.unknown = None;
        self.state = state;
    }
}

impl Condition {
    /// Its name in payloads, in the journal and in `systemctl status`.
    pub(in crate::gateway) const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Away => "away",
            Self::Starting => "starting",
            Self::Refusing => "refusing",
            Self::Ready => "ready",
            Self::Stalled => "stalled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTINEL: ConnId = ConnId { slot: 0, generation: 0 };

    fn hello() -> Hello {
        Hello { protocol: Protocol::V3, version: "2026.3.13".to_owned(), methods: BTreeSet::new() }
    }

    fn ready(now: Instant) -> Runtime {
        let mut runtime = Runtime::new(true, now);
        assert_eq!(runtime.expire(now), Some(Due::Try));
        runtime.trying(SENTINEL);
        runtime.ready(SENTINEL, hello(), now);
        runtime
    }

    #[test]
    fn without_a_port_nothing_is_ever_due() {
        let now = Instant::now();
        let mut runtime = Runtime::new(false, now);
        assert_eq!(
            (runtime.condition(), runtime.deadline(), runtime.expire(now)),
            (Condition::Absent, None, None)
        );
    }

    #[test]
    fn what_the_first_try_says_is_waited_for_and_not_for_long() {
        let now = Instant::now();
        assert!(Runtime::new(false, now).is_known() && ready(now).is_known());
        let tried = |now| {
            let mut runtime = Runtime::new(true, now);
            assert_eq!(runtime.expire(now), Some(Due::Try));
            runtime.trying(SENTINEL);
            assert!(!runtime.is_known());
            runtime
        };
        let mut runtime = tried(now);
        runtime.gone(now);
        assert!(runtime.is_known(), "nobody is there");
        let mut runtime = tried(now);
        let end = runtime.deadline().unwrap();
        assert_eq!((end, runtime.expire(end)), (now + limits::RUNTIME_FIRST, None));
        assert_eq!((runtime.is_known(), runtime.condition()), (true, Condition::Away));
        assert_eq!(runtime.deadline(), None, "the try goes on");
        runtime.configure(false, end);
        runtime.configure(true, end);
        assert!(runtime.is_known(), "clients are in, and wait for nothing any more");
    }

    #[test]
    fn one_that_is_away_is_tried_within_a_second() {
        let now = Instant::now();
        let mut runtime = ready(now);
        assert_eq!(runtime.deadline(), None, "an idle runtime costs nothing");
        runtime.gone(now);
        assert_eq!(runtime.condition(), Condition::Away);
        let next = runtime.deadline().unwrap();
        assert!(next <= now + Duration::from_secs(1));
        assert_eq!(runtime.expire(next), Some(Due::Try));
        assert_eq!(runtime.deadline(), None, "one try at a time");
    }

    #[test]
    fn silence_while_calls_wait_is_asked_about_and_then_a_stall() {
        let now = Instant::now();
        let mut runtime = ready(now);
        let later = now + Duration::from_secs(60);
        runtime.count(1, 0, later);
        let ask = runtime.deadline().unwrap();
        assert_eq!(ask, later + limits::RUNTIME_SILENCE);
        assert_eq!(runtime.expire(ask), Some(Due::Ask(SENTINEL)));
        assert!(!runtime.hear(ask), "the answer came in time");
        let ask = runtime.deadline().unwrap();
        assert_eq!(runtime.expire(ask), Some(Due::Ask(SENTINEL)));
        let stall = runtime.deadline().unwrap();
        assert_eq!((runtime.expire(stall), runtime.condition()), (Some(Due::Stall), Condition::Stalled));
        assert_eq!(runtime.deadline(), None);
        assert!(runtime.hear(stall), "it turns again");
        assert_eq!(runtime.condition(), Condition::Ready);
    }

    #[test]
    fn a_runtime_that_is_not_configured_any_more_is_forgotten() {
        let now = Instant::now();
        let mut runtime = ready(now);
        runtime.configure(true, now);
        assert_eq!(runtime.condition(), Condition::Ready);
        runtime.configure(false, now);
        assert_eq!(
            (runtime.condition(), runtime.sentinel, runtime.deadline()),
            (Condition::Absent, None, None)
        );
        runtime.configure(true, now);
        assert_eq!(runtime.expire(now), Some(Due::Try));
    }
}
