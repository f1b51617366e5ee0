//! What a client says, and when.

use std::time::{Duration, Instant};

use super::{Peer, Piece, Terms};
use crate::frames;
use crate::profile::Part;
use crate::talk::{Call, Permit, Question};

impl Peer {
    /// What comes next, now that nothing is owed.
    pub(super) fn rest(&mut self, now: Instant, terms: &Terms) {
        match self.profile.part {
            Part::Steady => self.next_burst = Some(now + self.between(terms.think)),
            Part::Beater => self.next_burst = Some(now + terms.beat),
            Part::Visitor | Part::Dawdler if self.last_call == 0 => self.next_burst = Some(now),
            Part::Visitor | Part::Dawdler => self.leave(now),
            Part::Idle => {}
        }
    }

    /// One to three calls.
    pub(super) fn burst(&mut self, now: Instant, terms: &Terms) {
        let count = if self.profile.part == Part::Steady { 1 + self.seed.below(4) / 2 } else { 1 };
        for _ in 0..count {
            let name = format!("{}-{}", self.number, self.last_call + 1);
            let (question, permit) = match self.profile.part {
                Part::Beater => (Question::Beat, None),
                _ => Question::pick(&mut self.seed, self.profile.protocol, &name, &terms.files),
            };
            let fragments = if self.seed.once_in(4) { 1 + self.seed.below(4) } else { 1 };
            let bytes = self.call(question, permit, fragments);
            self.note(now, format!("> {name} in {fragments} fragments, {} bytes", bytes.len()));
            self.cut(bytes, now, Some(self.last_call));
        }
    }

    pub(super) fn call(&mut self, question: Question, permit: Option<Permit>, fragments: usize) -> Vec<u8> {
        self.last_call += 1;
        let frame = question.frame(&format!("{}-{}", self.number, self.last_call));
        self.calls.insert(self.last_call, Call { question, began: None, whole: None, _permit: permit });
        frames::text(&frame, fragments)
    }

    /// Queues a message, often in pieces with pauses between them.
    pub(super) fn cut(&mut self, mut bytes: Vec<u8>, now: Instant, call: Option<u64>) {
        let pieces = if self.hesitates() { 2 + self.seed.below(3) } else { 1 };
        let (mut due, mut begins) = (now, call);
        for _ in 1..pieces {
            if bytes.len() < 2 {
                break;
            }
            // Often in the head of the first frame.
            let most = if self.seed.once_in(2) { bytes.len().min(8) } else { bytes.len() };
            let rest = bytes.split_off(1 + self.seed.below(most - 1));
            let bytes = std::mem::replace(&mut bytes, rest);
            self.out.push_back(Piece { bytes, sent: 0, due, begins: begins.take(), ends: None });
            due += self.between(PIECE_PAUSE);
        }
        self.paused += due.saturating_duration_since(now);
        self.out.push_back(Piece { bytes, sent: 0, due, begins, ends: call });
    }

    /// When to begin: dawdlers take their time.
    pub(super) fn dawdle(&mut self, now: Instant) -> Instant {
        if self.profile.part != Part::Dawdler {
            return now;
        }
        let pause = self.between(DAWDLING);
        self.paused += pause;
        now + pause
    }

    /// Visitors do not: they are the measure of how soon newcomers are greeted.
    fn hesitates(&mut self) -> bool {
        match self.profile.part {
            Part::Visitor => false,
            Part::Dawdler => self.seed.once_in(2),
            _ => self.seed.once_in(4),
        }
    }

    pub(super) fn queue(&mut self, bytes: Vec<u8>, due: Instant, call: Option<u64>) {
        self.out.push_back(Piece { bytes, sent: 0, due, begins: call, ends: call });
    }

    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        let span = usize::try_from(most.saturating_sub(least).as_micros()).expect("a short time");
        least + Duration::from_micros(self.seed.below(span.max(1)) as u64)
    }

    /// A visitor finishes what it came for.
    pub(super) fn may_call(&self, terms: &Terms) -> bool {
        terms.calling || !self.profile.part.stays()
    }
}

/// Long enough that it is at rest when a blow falls.
const DAWDLING: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(600));
/// Long enough that a restart falls between two pieces now and then.
const PIECE_PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(300));
