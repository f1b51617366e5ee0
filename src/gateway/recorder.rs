//! How a scope decision comes into the journal.

use super::{Conn, ledger};
use crate::clock::Now;
use crate::journal::{Field, Kind};
use crate::policy::scope::{Need, Outcome, Record};

/// Writes scope decisions of one connection to the ledger.
pub(super) struct Recorder<'a> {
    pub(super) ledger: &'a mut ledger::Ledger,
    pub(super) conn: &'a Conn,
    pub(super) field: Field,
    pub(super) request: Option<&'a str>,
    pub(super) now: Now,
}

impl Record for Recorder<'_> {
    fn record(&mut self, subject: &'static str, need: Need, outcome: Outcome) {
        let kind = match (self.field, outcome) {
            (_, Outcome::Allow) => Kind::Allow,
            (Field::Event, _) => Kind::Withhold,
            _ => Kind::Deny,
        };
        let entry = || {
            let entry = self
                .conn
                .entry(kind, self.now)
                .with(self.field, subject)
                .with(Field::ScopeRequired, need.name())
                .with(Field::Decision, outcome.name())
                .with_some(Field::RequestId, self.request.map(str::to_owned));
            match kind {
                Kind::Deny => entry.with(Field::Remedy, DENY_REMEDY),
                _ => entry,
            }
        };
        let subject = ledger::Subject { field: self.field, name: subject, outcome };
        self.ledger.decide(self.conn.id, subject, entry, self.now);
    }
}

const DENY_REMEDY: &str =
    "let the client ask for the scope when it connects, or approve it: loopgate devices approve";
