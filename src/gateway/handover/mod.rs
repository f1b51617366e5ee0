//! What another process has to know to go on with the connections of this one, and how it goes on.
//!
//! Rule: a connection goes on where it was or it ends with a reason; it is never resumed on a guess, and never without
//! being admitted again under what holds today.

mod legs;
mod record;
mod resume;
pub(super) mod shared;

use super::io::ConnId;
use super::{Conn, Gateway, Stage};
use crate::clock::{Epoch, Now};
use crate::wire::error::ErrorShape;
use crate::wire::refusal::{CloseCode, Refusal};

pub use resume::Heritage;

/// Whether a connection could go on without this process, as it stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing was read or written yet: whoever has the socket can begin anew.
    Fresh,
    /// Nothing is held and nothing is owed.
    Rest {
        /// The number of the last event.
        seq: u64,
        /// When the next tick is due; microseconds of the epoch.
        tick: u64,
        /// What the next process has to know besides, if that has changed since it was asked for last.
        record: Option<Vec<u8>>,
    },
    /// Something is under way that is only known here.
    Busy,
}

impl Gateway {
    /// Counts all times that leave this process from here.
    pub fn count_from(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// A time as it leaves this process: microseconds of the epoch.
    pub fn moment(&self, now: Now) -> u64 {
        self.epoch.micros(now.mono)
    }

    /// Whether a connection could go on without this process.
    pub fn keep(&mut self, id: ConnId) -> Keep {
        let epoch = self.epoch;
        let Some(conn) = self.conns.get_mut(id) else { return Keep::Busy };
        if !conn.session.at_rest() {
            return Keep::Busy;
        }
        let (seq, tick) = match &conn.stage {
            Stage::Arriving if !conn.spoke => return Keep::Fresh,
            Stage::Challenged(_) => (0, 0),
            Stage::Member(member) if member.owed == 0 => (member.seq, epoch.micros(member.next_tick)),
            _ => return Keep::Busy,
        };
        Keep::Rest { seq, tick, record: self.news(id) }
    }

    /// What the next process has to know of a WebSocket, if that has changed since it was asked for last: enough to go on
    /// with it at rest, or to end it properly if it is not.
    pub fn news(&mut self, id: ConnId) -> Option<Vec<u8>> {
        let Self { conns, nodes, epoch, .. } = self;
        let conn = conns.get_mut(id).filter(|conn| conn.record_due)?;
        if !matches!(conn.stage, Stage::Challenged(_) | Stage::Member(_)) {
            return None;
        }
        let record = record::at_rest(conn, nodes, epoch)?;
        conn.record_due = false;
        Some(record)
    }

    /// Whether something has changed of which the record that was given last says nothing, a leg above all: a connection can
    /// be at rest meanwhile, and nothing of it is read or written.
    pub fn has_news(&self, id: ConnId) -> bool {
        self.conns.get(id).is_some_and(|conn| conn.record_due)
    }

    /// The record that [`Gateway::news`] or [`Gateway::keep`] gave could not be kept: it is given again.
    pub fn forget_record(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.record_due = true;
        }
    }

    /// Everything about a connection, held bytes included. `None` where something is under way that cannot be put into
    /// another process: see [`Gateway::settled`].
    pub fn record(&self, id: ConnId) -> Option<Vec<u8>> {
        if let Some(leg) = self.conns.leg(id) {
            let (record, held) = legs::of(leg, self)?;
            return record::encode(&record, &held);
        }
        let conn = self.conns.get(id)?;
        record::as_it_stands(conn, &self.nodes, &self.epoch)
    }

    /// What all connections share. `planned`: calls to nodes that wait for an answer, too; without it they end with this
    /// process, as their callers are told.
    pub fn share(&self, planned: bool, now: Now) -> Vec<u8> {
        shared::of(self, planned, now)
    }

    /// Whether no file is being read and no change is on its way to the disk, for anybody who waits for it.
    pub fn settled(&self) -> bool {
        self.jobs.is_empty() && self.saves.is_empty() && !self.pairing.dirty()
    }

    /// Whether this is a connection that came to us, not a leg.
    pub fn is_peer(&self, id: ConnId) -> bool {
        self.conns.get(id).is_some()
    }

    /// Ends a connection that no other process can go on with.
    pub fn interrupt(&mut self, id: ConnId, now: Now) {
        self.refuse(id, &interrupted(), now);
    }

    /// Another process goes on from here. What has been counted is told, nothing new begins, and whoever waits for what
    /// has not come hears so.
    pub fn hand_over(&mut self, now: Now) {
        let waiting = std::mem::take(&mut self.jobs);
        for (_, waiting) in waiting {
            self.disappoint(waiting, now);
        }
        for (conn, request) in self.health.give_up() {
            self.respond(conn, &request, Err(unanswered()), now);
        }
        for (_, then) in std::mem::take(&mut self.saves) {
            self.leave_open(then, now);
        }
        // A verdict that is not there yet is the next process's to make, on a new connect.
        for id in self.conns.ids() {
            let undecided = matches!(self.conns.get(id), Some(Conn { stage: Stage::Deciding(_), .. }));
            if undecided {
                self.turn_away(id, &interrupted(), now);
            }
            // Who waits for the runtime's answer can ask again; one that has begun nobody else can end.
            if matches!(self.conns.get(id), Some(Conn { stage: Stage::Relaying(_), .. })) {
                self.refuse(id, &interrupted(), now);
            }
        }
        self.ledger.flush(now);
    }
}

/// Work that this process began and does not see the end of. It may be done all the same.
pub(super) fn unanswered() -> ErrorShape {
    ErrorShape::busy(
        "the gateway restarts, and the answer did not come in time; see whether it was done",
        500,
    )
}

/// A connection that was in the middle of something when its process ended, or of which nothing is known.
pub fn interrupted() -> Refusal {
    let error = ErrorShape::busy("the gateway was restarted in the middle of this; connect again", 500);
    Refusal::answer("interrupted", error, "none: the client connects again by itself")
        .with_code(CloseCode::Restart)
        .with_status(503)
}
