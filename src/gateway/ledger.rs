//! What goes to the journal, and how often. Every decision is counted; the first of its kind is written at once, the
//! rest in sums, so that a busy client cannot flood the journal and nothing is missing from it.
//!
//! Two bounds work together. Per connection, equal decisions are summed ([`Ledger::decide`]). Over all connections, a
//! window of [`limits::DECISIONS_FLUSH`] takes [`limits::ENTRIES_BURST_MAX`] entries as they are; beyond that, entries
//! that differ only in whose connection they are about become one entry with `DECISIONS=n`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::io::ConnId;
use crate::clock::Now;
use crate::journal::{Entry, Field, Kind, Value};
use crate::limits;
use crate::policy::scope::Outcome;

/// Counts decisions and meters entries.
#[derive(Debug)]
pub(super) struct Ledger {
    window: Duration,
    /// When the current window ends; set while there is something to flush or a budget to give back.
    ends: Option<Instant>,
    spent: u32,
    tallies: BTreeMap<ConnId, BTreeMap<Subject, Tally>>,
    sums: BTreeMap<(Kind, Vec<(Field, Value)>), u64>,
    out: VecDeque<Entry>,
}

/// What makes decisions of one connection equal: the same subject, the same outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    /// Method or event.
    pub(super) field: Field,
    /// Its name.
    pub(super) name: &'static str,
    /// What was decided.
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
struct Tally {
    /// The first entry; repeats are written as the same one with a count.
    entry: Entry,
    repeats: u64,
}

impl Ledger {
    /// `window`: how long repeats may wait.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            ends: None,
            spent: 0,
            tallies: BTreeMap::new(),
            sums: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }

    /// Another length for the windows that begin from now on.
    pub(super) fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// Takes an entry that stands for itself.
    pub(super) fn note(&mut self, entry: Entry, now: Now) {
        self.meter(entry, 1, now);
    }

    /// Takes a decision about a method or an event . `entry` makes the first of its kind.
    pub(super) fn decide(&mut self, conn: ConnId, subject: Subject, entry: impl FnOnce() -> Entry, now: Now) {
        let tallies = self.tallies.entry(conn).or_default();
        if let Some(tally) = tallies.get_mut(&subject) {
            tally.repeats += 1;
            self.open_window(now);
            return;
        }
        let entry = entry();
        tallies.insert(subject, Tally { entry: entry.clone(), repeats: 0 });
        self.meter(entry, 1, now);
    }

    /// A connection is gone: what was counted for it is written.
    pub(super) fn forget(&mut self, conn: ConnId, now: Now) {
        for tally in self.tallies.remove(&conn).unwrap_or_default().values() {
            self.repeat(tally, now);
        }
    }

    /// Ends the window if it is over: writes every count and gives the budget back.
    pub(super) fn expire(&mut self, now: Now) {
        if self.ends.is_none_or(|ends| ends > now.mono) {
            return;
        }
        self.flush(now);
    }

    /// Writes every count now.
    pub(super) fn flush(&mut self, now: Now) {
        self.ends = None;
        self.spent = 0;
        for ((kind, fields), count) in std::mem::take(&mut self.sums) {
            let entry = fields.into_iter().fold(Entry::new(kind), |e, (field, value)| e.with(field, value));
            self.out.push_back(entry.with(Field::Decisions, count));
        }
        let mut tallies = std::mem::take(&mut self.tallies);
        for tally in tallies.values_mut().flat_map(BTreeMap::values_mut) {
            self.repeat(tally, now);
            tally.repeats = 0;
        }
        self.tallies = tallies;
    }

    /// When [`Ledger::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends
    }

    /// The next entry for the journal.
    pub(super) fn poll(&mut self) -> Option<Entry> {
        self.out.pop_front()
    }

    fn repeat(&mut self, tally: &Tally, now: Now) {
        if tally.repeats > 0 {
            self.meter(tally.entry.clone().with(Field::Decisions, tally.repeats), tally.repeats, now);
        }
    }

    fn meter(&mut self, entry: Entry, count: u64, now: Now) {
        self.open_window(now);
        if self.spent < limits::ENTRIES_BURST_MAX {
            self.spent += 1;
            self.out.push_back(entry);
            return;
        }
        let common = |(field, _): &&(Field, Value)| COMMON.contains(field);
        let mut key = (entry.kind(), entry.fields().iter().filter(common).cloned().collect());
        if self.sums.len() >= limits::SUMS_MAX && !self.sums.contains_key(&key) {
            key = (entry.kind(), Vec::new());
        }
        *self.sums.entry(key).or_default() += count;
    }

    fn open_window(&mut self, now: Now) {
        if self.ends.is_none() {
            self.ends = Some(now.mono + self.window);
        }
    }
}

/// The fields that a sum keeps: what happened and to which kind of peer, not to whom. All of them come from a small
/// set, except what a peer says of itself, which [`limits::SUMS_MAX`] bounds.
const COMMON: &[Field] = &[
    Field::AuthMethod,
    Field::ClientMode,
    Field::CloseCode,
    Field::Decision,
    Field::Door,
    Field::Event,
    Field::Method,
    Field::PeerUid,
    Field::Protocol,
    Field::Role,
    Field::Rule,
    Field::ScopesGranted,
    Field::ScopeRequired,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Now {
        Now { mono: Instant::now(), unix_ms: 0 }
    }

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn drain(ledger: &mut Ledger) -> Vec<Entry> {
        std::iter::from_fn(|| ledger.poll()).collect()
    }

    fn stands_for(entries: &[Entry]) -> u64 {
        let count = |entry: &Entry| match entry.value(Field::Decisions) {
            Some(Value::Number(n)) => *n,
            _ => 1,
        };
        entries.iter().map(count).sum()
    }

    fn decide(ledger: &mut Ledger, slot: u32, now: Now) {
        let entry = || Entry::new(Kind::Allow).with(Field::ConnId, slot).with(Field::Method, "health");
        let subject = Subject { field: Field::Method, name: "health", outcome: Outcome::Allow };
        ledger.decide(conn(slot), subject, entry, now);
    }

    #[test]
    fn the_first_is_written_at_once_and_repeats_in_a_sum() {
        let (mut ledger, now) = (Ledger::new(limits::DECISIONS_FLUSH), start());
        for _ in 0..100 {
            decide(&mut ledger, 1, now);
        }
        assert_eq!(drain(&mut ledger).len(), 1);
        ledger.expire(now);
        assert!(drain(&mut ledger).is_empty());
        let later = now.later(limits::DECISIONS_FLUSH);
        assert!(ledger.deadline().unwrap() <= later.mono);
        ledger.expire(later);
        let rest = drain(&mut ledger);
        assert_eq!((rest.len(), stands_for(&rest)), (1, 99));
        assert_eq!(ledger.deadline(), Some(later.mono + limits::DECISIONS_FLUSH));
    }

    #[test]
    fn what_was_counted_is_written_when_the_connection_ends() {
        let (mut ledger, now) = (Ledger::new(limits::DECISIONS_FLUSH), start());
        for slot in [0, 1, 2] {
            for _ in 0..3 {
                decide(&mut ledger, slot, now);
            }
        }
        drop(drain(&mut ledger));
        ledger.forget(conn(1), now);
        let entries = drain(&mut ledger);
        assert_eq!((entries.len(), stands_for(&entries)), (1, 2));
        assert_eq!(entries[0].value(Field::ConnId), Some(&Value::Number(1)));
        assert_eq!(ledger.tallies.len(), 2);
    }

    #[test]
    fn a_flood_is_bounded_and_no_decision_is_lost() {
        let (mut ledger, now) = (Ledger::new(limits::DECISIONS_FLUSH), start());
        for slot in 0..50_000 {
            decide(&mut ledger, slot, now);
            decide(&mut ledger, slot, now);
            ledger.forget(conn(slot), now);
        }
        ledger.expire(now.later(limits::DECISIONS_FLUSH));
        let entries = drain(&mut ledger);
        assert_eq!(stands_for(&entries), 100_000);
        assert!(entries.len() <= limits::ENTRIES_BURST_MAX as usize + 2, "{}", entries.len());
        assert!(ledger.tallies.is_empty());
    }
}
