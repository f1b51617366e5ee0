//! The start after another process: its connections become ours.
//!
//! Rule: whoever cannot go on is told so at once, as far as it can be told, and its socket is shut down: a copy may lie in
//! the store for a while, and the peer must not wait for it.

use std::net::Shutdown;
use std::time::Duration;

use super::conn::Conns;
use super::door::{Doors, open_or_lose};
use super::handover::{Heir, Inheritance, Loss};
use super::sink::Sink;
use super::stream::Stream;
use crate::clock::{Epoch, Now};
use crate::gateway::handover::interrupted;
use crate::gateway::{ConnId, Gateway, Heritage};
use crate::journal::{Entry, Field, Kind};
use crate::session::parting;

/// Where connections go on.
pub(super) struct Resume<'a> {
    pub(super) gateway: &'a mut Gateway,
    pub(super) conns: &'a mut Conns,
    pub(super) doors: &'a mut Doors,
    pub(super) sink: &'a Sink,
    pub(super) now: Now,
    /// Connections that were saved as they stood.
    pub(super) underway: Vec<ConnId>,
}

impl Resume<'_> {
    /// Goes on with everybody who can. `age`: how long ago the epoch was.
    pub(super) fn run(mut self, inheritance: Inheritance, age: Duration) {
        let Inheritance { heirs, shared, orphans, failure, .. } = inheritance;
        if let Some(epoch) = self.now.mono.checked_sub(age) {
            self.gateway.count_from(Epoch::new(epoch));
        }
        if let Some(cause) = failure {
            let entry = Entry::new(Kind::TakeOverFailed).with(Field::Cause, cause);
            self.sink.push(entry.with(Field::Remedy, FAILED_REMEDY));
        }
        let shared = shared.map(|shared| {
            shared.map_err(str::to_owned).and_then(|bytes| self.gateway.resume_shared(&bytes, self.now))
        });
        if let Some(Err(cause)) = shared {
            self.lost("what all connections share cannot be understood", Some(cause));
        }
        let (found, mut lost) = (heirs.len(), 0);
        for heir in heirs {
            lost += usize::from(!self.take(heir));
        }
        for orphan in orphans {
            // Most are of connections that had ended before, and take no word any more.
            if Stream::try_from(orphan).is_ok_and(|stream| bid_farewell(stream, true)) {
                self.lost(ORPHAN, None);
                lost += 1;
            }
        }
        // What lies unread of these is dealt with now; no other process may do that again.
        self.conns.touch(&self.underway, self.gateway);
        self.gateway.resumed(self.now);
        if found + lost > 0 {
            let took = u64::try_from(self.now.mono.elapsed().as_micros()).unwrap_or(u64::MAX);
            let entry = Entry::new(Kind::TakenOver).with(Field::Connections, self.conns.len());
            self.sink.push(entry.with(Field::Count, lost).with(Field::ElapsedUsec, took));
        }
    }

    /// True if the connection goes on, if only for its last word.
    fn take(&mut self, heir: Heir) -> bool {
        let Ok(stream) = Stream::try_from(heir.socket) else {
            self.conns.forget(heir.id, self.now.mono);
            return false;
        };
        let doors = &mut *self.doors;
        let resumed = heir.claim.heritage(|| doors.identify(&stream)).and_then(|heritage| {
            let resumed = self.gateway.resume(heir.id.slot, &heritage, self.now);
            // Of the others nobody knows whether they stand between two messages.
            let speaks = matches!(heritage, Heritage::Rest { .. });
            resumed.map_err(|cause| Loss { why: UNREADABLE, cause: Some(cause), speaks })
        });
        match resumed {
            Ok(id) => {
                if heir.claim.is_underway() {
                    self.underway.push(id);
                }
                let open = open_or_lose(id, stream, self.conns, self.gateway, self.now);
                // A leg is kept for a planned restart alone, and parked again for the next one.
                if !open || !self.gateway.is_peer(id) {
                    self.conns.forget(heir.id, self.now.mono);
                }
                open
            }
            Err(Loss { why, cause, speaks }) => {
                bid_farewell(stream, speaks);
                self.conns.forget(heir.id, self.now.mono);
                self.lost(why, cause);
                false
            }
        }
    }

    fn lost(&self, why: &'static str, cause: Option<String>) {
        let cause = cause.map_or_else(|| why.to_owned(), |cause| format!("{why}: {cause}"));
        let entry = Entry::new(Kind::TakeOverLost).with(Field::Cause, cause);
        self.sink.push(entry.with(Field::Remedy, LOST_REMEDY));
    }
}

/// Ends a connection that does not go on: with a close frame where one can be `spoken`, and for good. True if there was
/// anybody to be told.
fn bid_farewell(mut stream: Stream, spoken: bool) -> bool {
    // One write into an empty buffer; a peer that has left no room for it hears nothing but the end.
    let told = spoken && stream.write(&parting(&interrupted())).is_ok();
    let shut = stream.shutdown(Shutdown::Both).is_ok();
    told || (!spoken && shut)
}

const UNREADABLE: &str = "what was saved of it cannot be used";
const ORPHAN: &str = "nothing was saved of it";
const LOST_REMEDY: &str =
    "none: the client connects again; report it if it happens without a downgrade or a lost state folder";
const FAILED_REMEDY: &str = "none: clients connect again, and from here on connections are kept; a downgrade or a lost state folder \
     explains it";
