//! What became of every client, and whether that may be.
//!
//! Rule: this file alone decides. A restart must not be noticed at all. A crash may cost a connection only what the
//! gateway was in the middle of, and then says so: close code 1012 and a reason.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::profile::Part;

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    RefusedConnect,
    FailedHandshake,
    DroppedSession,
    EndedWithoutReason,
    AnswerLost,
    AnswerDoubled,
    AnswerUnknown,
    AnswerWrong,
    ScopesChanged,
    SequenceBroken,
    ShutdownTold,
    /// A tick or a ping long before its time: a new process that does not know when the last one was.
    TickTooSoon,
    FrameBroken,
    GoodbyeUnanswered,
    /// Not a client's fate: a unit, the store or the machine is not as it should be.
    Surroundings,
}

/// What the gateway may have been in the middle of when it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Inside {
    /// A call without its answer, or a part of a message.
    Call,
    /// A handshake.
    Handshake,
    /// A request that was no WebSocket yet, so that no close frame could be sent, or a connection that had not said
    /// anything: it may have been accepted at that very moment, and not been parked.
    Arrival,
    /// The answer was here, but the turn of the loop that wrote it may not have been over.
    Turn,
    /// An event, a tick or a ping was due.
    Event,
    /// The client had said goodbye.
    Goodbye,
}

/// Which endings are fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// None but those that the client asked for.
    Seamless,
    /// As after a crash.
    Crash,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A close frame.
    Closed(u16, String),
    /// An HTTP answer other than 101.
    Answered(String),
    /// Nothing was said; whether a part of a frame had come.
    Silent { torn: bool },
}

/// What a client knows about itself when it is ended.
#[derive(Debug, Clone)]
pub struct Standing {
    pub in_handshake: bool,
    /// The connection is a WebSocket.
    pub upgraded: bool,
    /// When it began to connect.
    pub began: Instant,
    pub goodbye_at: Option<Instant>,
    /// When the oldest call began that has no answer.
    pub asked_at: Option<Instant>,
    /// When bytes went in or came out, as far back as matters.
    pub moved: Vec<Instant>,
    /// When a tick or a ping of its own is next due.
    pub due: [Option<Instant>; 2],
    /// It hears of what others do.
    pub hears: bool,
}

/// The verdict on an ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine(Inside),
    Wrong(Fault),
}

/// When the gateway was struck: from just before to just after the signal.
#[derive(Debug, Clone, Copy)]
pub struct Blow {
    pub from: Instant,
    pub to: Instant,
    /// It came before the gateway had got over the one before.
    again: bool,
}

/// All blows, told by whoever strikes.
#[derive(Debug, Clone, Default)]
pub struct Blows(Arc<Mutex<Vec<Blow>>>);

/// When everybody heard something, as far back as matters.
#[derive(Debug, Default)]
pub struct Broadcasts(VecDeque<Instant>);

/// How many of each kind, and of faults the story of the first.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub faults: BTreeMap<Fault, (usize, String)>,
    pub inside: BTreeMap<(Part, Inside), usize>,
    /// The longest time between an answer and a blow that still cost the connection.
    pub turn_max: Duration,
}

impl Law {
    /// Whether a connection may end so.
    pub fn judge(self, end: &End, standing: &Standing, blows: &Blows, broadcasts: &Broadcasts) -> Verdict {
        let chain = match self {
            Self::Seamless => Vec::new(),
            Self::Crash => blows.chain(),
        };
        if chain.is_empty() {
            return Verdict::Wrong(match end {
                _ if standing.in_handshake => Fault::FailedHandshake,
                _ if standing.goodbye_at.is_some() => Fault::GoodbyeUnanswered,
                _ => Fault::DroppedSession,
            });
        }
        let said = match end {
            End::Closed(1012, reason) => !reason.is_empty(),
            End::Answered(head) => head.starts_with("HTTP/1.1 503 "),
            // Nothing can be said in the middle of a frame, and nothing need be said to who has said goodbye.
            End::Silent { torn } => *torn || standing.goodbye_at.is_some() || !standing.upgraded,
            End::Closed(..) => false,
        };
        match chain.into_iter().find_map(|blow| standing.inside(blow, broadcasts)) {
            _ if !said => Verdict::Wrong(Fault::EndedWithoutReason),
            Some(inside) => Verdict::Fine(inside),
            None => Verdict::Wrong(if standing.in_handshake {
                Fault::FailedHandshake
            } else {
                Fault::DroppedSession
            }),
        }
    }
}

impl Standing {
    /// What the gateway may have been in the middle of at the blow. `None`: the connection was at rest.
    fn inside(&self, blow: Blow, broadcasts: &Broadcasts) -> Option<Inside> {
        let before = |at: Option<Instant>| at.is_some_and(|at| at <= blow.to);
        if self.in_handshake && before(self.asked_at) {
            return Some(if self.upgraded { Inside::Handshake } else { Inside::Arrival });
        }
        let arrived = self.began <= blow.to && blow.from.saturating_duration_since(self.began) <= TURN;
        if self.in_handshake && !self.upgraded && arrived {
            return Some(Inside::Arrival);
        }
        if before(self.goodbye_at) {
            return Some(Inside::Goodbye);
        }
        if before(self.asked_at) {
            return Some(Inside::Call);
        }
        if self.before(blow).is_some_and(|span| span <= TURN) {
            return Some(Inside::Turn);
        }
        let near = |at: &Instant| *at + DUE >= blow.from && *at <= blow.to + DUE;
        let own = self.due.iter().flatten().any(near);
        (own || self.hears && broadcasts.near(blow)).then_some(Inside::Event)
    }

    /// How long before the blow something moved last.
    fn before(&self, blow: Blow) -> Option<Duration> {
        let last = self.moved.iter().rev().find(|at| **at <= blow.to);
        last.map(|at| blow.from.saturating_duration_since(*at))
    }
}

impl Blows {
    /// The signal is about to be sent; `again`: to a gateway that has not got over the one before.
    pub fn begin(&self, again: bool) {
        let now = Instant::now();
        self.with(|blows| blows.push(Blow { from: now, to: now + TURN, again }));
    }

    /// It was sent.
    pub fn end(&self) {
        self.with(|blows| {
            if let Some(blow) = blows.last_mut() {
                blow.to = Instant::now();
            }
        });
    }

    /// The last one, and those right before it.
    fn chain(&self) -> Vec<Blow> {
        self.with(|blows| {
            let mut chain = Vec::new();
            for blow in blows.iter().rev() {
                chain.push(*blow);
                if !blow.again {
                    break;
                }
            }
            chain
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Blow>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Broadcasts {
    pub fn heard(&mut self, now: Instant) {
        if self.0.back().is_none_or(|last| now > *last + Duration::from_millis(5)) {
            self.0.push_back(now);
            if self.0.len() > BROADCASTS_KEPT {
                self.0.pop_front();
            }
        }
    }

    fn near(&self, blow: Blow) -> bool {
        self.0.iter().any(|at| *at + TURN >= blow.from && *at <= blow.to + TURN)
    }
}

impl Tally {
    pub fn fault(&mut self, fault: Fault, story: impl FnOnce() -> String) {
        self.faults.entry(fault).or_insert_with(|| (0, story())).0 += 1;
    }

    pub fn ended(&mut self, part: Part, inside: Inside, standing: &Standing, blows: &Blows) {
        *self.inside.entry((part, inside)).or_default() += 1;
        if inside == Inside::Turn {
            let span = blows.chain().into_iter().filter_map(|blow| standing.before(blow)).min();
            self.turn_max = self.turn_max.max(span.unwrap_or_default());
        }
    }

    pub fn wrong(&self) -> usize {
        self.faults.values().map(|(count, _)| count).sum()
    }
}

/// The longest that a turn of the loop is given after its answer was seen here.
const TURN: Duration = Duration::from_millis(100);
/// How exactly it is known here when a tick or a ping is due.
const DUE: Duration = Duration::from_millis(500);
const BROADCASTS_KEPT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// At rest since a second before the blow.
    fn world() -> (Blows, Standing, Instant) {
        let start = Instant::now();
        let blow = Blow { from: start + ms(1_000), to: start + ms(1_001), again: false };
        let standing = Standing {
            in_handshake: false,
            upgraded: true,
            began: start,
            goodbye_at: None,
            asked_at: None,
            moved: vec![start],
            due: [Some(start + ms(30_000)), None],
            hears: false,
        };
        (Blows(Arc::new(Mutex::new(vec![blow]))), standing, start)
    }

    fn restarted() -> End {
        End::Closed(1012, "service restart".into())
    }

    #[test]
    fn a_restart_may_end_nothing() {
        let (blows, standing, start) = world();
        let asking = Standing { asked_at: Some(start), ..standing.clone() };
        for end in [restarted(), End::Silent { torn: true }, End::Closed(1000, String::new())] {
            let verdict = Law::Seamless.judge(&end, &asking, &blows, &Broadcasts::default());
            assert_eq!(verdict, Verdict::Wrong(Fault::DroppedSession));
        }
    }

    #[test]
    fn a_crash_may_end_what_was_inside_a_call_and_must_say_so() {
        let (blows, standing, start) = world();
        let judge =
            |end: &End, standing: &Standing| Law::Crash.judge(end, standing, &blows, &Broadcasts::default());
        let asking = Standing { asked_at: Some(start + ms(900)), ..standing.clone() };
        assert_eq!(judge(&restarted(), &asking), Verdict::Fine(Inside::Call));
        for end in [
            End::Closed(1012, String::new()),
            End::Closed(1006, "x".into()),
            End::Closed(1008, "x".into()),
            End::Silent { torn: false },
        ] {
            assert_eq!(judge(&end, &asking), Verdict::Wrong(Fault::EndedWithoutReason), "{end:?}");
        }
        // What was asked after the blow waits in the kernel.
        let late = Standing { asked_at: Some(start + ms(1_050)), ..standing.clone() };
        assert_eq!(judge(&restarted(), &late), Verdict::Wrong(Fault::DroppedSession));
    }

    #[test]
    fn a_crash_says_nothing_to_who_was_just_arriving() {
        let (blows, standing, start) = world();
        let judge = |standing: &Standing| {
            Law::Crash.judge(&End::Silent { torn: false }, standing, &blows, &Broadcasts::default())
        };
        let arriving = Standing { in_handshake: true, upgraded: false, asked_at: Some(start), ..standing };
        assert_eq!(judge(&arriving), Verdict::Fine(Inside::Arrival));
        let upgraded = Standing { upgraded: true, ..arriving.clone() };
        assert_eq!(judge(&upgraded), Verdict::Wrong(Fault::EndedWithoutReason));
        let late = Standing { asked_at: Some(start + ms(1_050)), ..arriving.clone() };
        assert_eq!(judge(&late), Verdict::Wrong(Fault::FailedHandshake));
        // It was accepted a second before, and had said nothing.
        let silent = Standing { asked_at: None, ..arriving };
        assert_eq!(judge(&silent), Verdict::Wrong(Fault::FailedHandshake));
        let at = |at| judge(&Standing { began: start + ms(at), ..silent.clone() });
        assert_eq!(at(990), Verdict::Fine(Inside::Arrival));
        assert_eq!(at(850), Verdict::Wrong(Fault::FailedHandshake));
        assert_eq!(at(1_010), Verdict::Wrong(Fault::FailedHandshake));
    }

    #[test]
    fn a_crash_may_not_end_what_was_at_rest() {
        let (blows, standing, start) = world();
        let mut broadcasts = Broadcasts::default();
        let dropped = Verdict::Wrong(Fault::DroppedSession);
        assert_eq!(Law::Crash.judge(&restarted(), &standing, &blows, &broadcasts), dropped);
        let answered =
            |at| Standing { moved: vec![start, start + ms(at), start + ms(1_300)], ..standing.clone() };
        assert_eq!(Law::Crash.judge(&restarted(), &answered(800), &blows, &broadcasts), dropped);
        assert_eq!(
            Law::Crash.judge(&restarted(), &answered(950), &blows, &broadcasts),
            Verdict::Fine(Inside::Turn)
        );
        broadcasts.heard(start + ms(500));
        let hearing = Standing { hears: true, ..standing.clone() };
        assert_eq!(Law::Crash.judge(&restarted(), &hearing, &blows, &broadcasts), dropped);
        broadcasts.heard(start + ms(950));
        assert_eq!(Law::Crash.judge(&restarted(), &standing, &blows, &broadcasts), dropped);
        assert_eq!(
            Law::Crash.judge(&restarted(), &hearing, &blows, &broadcasts),
            Verdict::Fine(Inside::Event)
        );
        let ticking = Standing { due: [Some(start + ms(1_200)), None], ..standing.clone() };
        assert_eq!(
            Law::Crash.judge(&restarted(), &ticking, &blows, &Broadcasts::default()),
            Verdict::Fine(Inside::Event)
        );
    }
}
