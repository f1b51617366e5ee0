//! Who waits for the disk. An answer that promises a change of the pairing store goes out once the change is durable;
//! if the write fails, the change never happened and whoever waits is told so.

use super::broadcast::News;
use super::handover::unanswered;
use super::io::{ConnId, Output};
use super::native::devices::PartCause;
use super::pairing::Settled;
use super::{Gateway, Stage};
use crate::clock::Now;
use crate::journal::{Entry, Field, Kind};
use crate::wire::error::ErrorShape;
use crate::wire::refusal::{CloseCode, Refusal};

/// What to do once a revision is on disk.
#[derive(Debug)]
pub(super) enum Then {
    /// Let a connection in.
    Welcome(ConnId),
    /// OpenClaw's pairings are ours.
    Imported,
    /// Answer a call.
    Answer {
        /// The caller.
        conn: ConnId,
        /// The id of its request.
        request: String,
        /// The payload as JSON.
        payload: String,
    },
    /// Tell everybody who may hear it.
    Broadcast {
        /// The event.
        name: &'static str,
        /// The payload as JSON.
        payload: String,
    },
    /// Let a connected node offer what was approved, and tell it.
    Offer {
        /// The node.
        node_id: String,
        /// The payload of its `node.pair.resolved`.
        payload: String,
    },
    /// Close the connection of a device that took its own ground away.
    Part {
        /// Which one.
        conn: ConnId,
        /// Why.
        cause: PartCause,
    },
}

impl Gateway {
    /// Does `then` once `revision` is on disk. Writes are one at a time; what changes meanwhile goes with the next.
    pub(super) fn when_durable(&mut self, revision: u64, then: Then, now: Now) {
        if self.pairing.settled() >= revision {
            return self.follow(then, now);
        }
        self.saves.push_back((revision, then));
        self.save();
    }

    /// Starts the next write, if there is something to write and none is under way.
    pub(super) fn save(&mut self) {
        if let Some((revision, bytes)) = self.pairing.begin_save() {
            self.outputs.push_back(Output::Save { revision, bytes });
        }
    }

    /// A write is done, or has failed.
    pub(super) fn saved(&mut self, revision: u64, result: &Result<(), String>, now: Now) {
        let (upto, lost) = match self.pairing.saved(revision, result) {
            Some(Settled::Durable(upto)) => (upto, false),
            Some(Settled::Lost(upto)) => (upto, true),
            None => return,
        };
        if let Err(cause) = result {
            let entry = Entry::new(Kind::StoreFailed).with(Field::Cause, cause.clone()).with(
                Field::Remedy,
                "make room or mend the permissions of the state folder; clients try again",
            );
            self.note(entry, now);
        }
        while self.saves.front().is_some_and(|(revision, _)| *revision <= upto) {
            match self.saves.pop_front() {
                Some((_, then)) if lost => self.give_up(then, now),
                Some((_, then)) => self.follow(then, now),
                None => break,
            }
        }
        self.save();
    }

    /// Nobody will know here what became of the write: another process goes on.
    pub(super) fn leave_open(&mut self, then: Then, now: Now) {
        match then {
            Then::Answer { conn, request, .. } => self.respond(conn, &request, Err(unanswered()), now),
            // A connect has no verdict and is told so; the rest is found in the store by whoever goes on.
            Then::Welcome(_)
            | Then::Imported
            | Then::Broadcast { .. }
            | Then::Offer { .. }
            | Then::Part { .. } => {}
        }
    }

    fn follow(&mut self, then: Then, now: Now) {
        match then {
            Then::Welcome(id) => {
                self.welcome(id, now);
                // The verdict is as old as the write; what has changed since holds for it, too.
                self.recheck(id, now);
                self.advance(id, now);
            }
            Then::Imported => self.importing = false,
            Then::Answer { conn, request, payload } => self.respond(conn, &request, Ok(payload), now),
            Then::Broadcast { name, payload } => self.broadcast(News::new(name, &payload).droppable(), now),
            Then::Offer { node_id, payload } => self.offer(&node_id, &payload, now),
            Then::Part { conn, cause } => self.refuse(conn, &cause.refusal(), now),
        }
    }

    fn give_up(&mut self, then: Then, now: Now) {
        let error = ErrorShape::busy("the pairing store could not be written, so nothing has changed", 1000);
        match then {
            Then::Welcome(id) => {
                if let Some(Stage::Deciding(_)) = self.conns.get(id).map(|conn| &conn.stage) {
                    let refusal =
                        Refusal::answer("store-failed", error, "look for the entry about the pairing store")
                            .with_code(CloseCode::Internal);
                    self.turn_away(id, &refusal, now);
                }
            }
            // It is tried again at the next start.
            Then::Imported => self.importing = false,
            Then::Answer { conn, request, .. } => self.respond(conn, &request, Err(error), now),
            // What did not happen is not told.
            Then::Broadcast { .. } | Then::Offer { .. } | Then::Part { .. } => {}
        }
    }
}
