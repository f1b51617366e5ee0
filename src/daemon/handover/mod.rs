//! What the next process needs to go on with the connections of this one: their sockets, parked in [`lot`]s, and what is
//! known of them, in the [`book`]. Both lie in the service manager's fd store, a handful of entries however many
//! connections there are.
//!
//! Rule: before anything of a connection is read or written its line in the book says so, and only at the end of the turn,
//! when nothing of it is held or owed any more, the line says again that it may go on. So the process may end at any
//! instant: who was at rest goes on, and who was not is told.

mod book;
mod cell;
mod header;
mod inherit;
mod lot;
mod seal;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::net::sockopt::socket_cookie;

use crate::clock::Now;
use crate::gateway::{ConnId, Gateway, Keep};
use crate::journal::{Entry, Field, Kind};
use crate::limits;

use book::Book;
use cell::{Cell, State};
pub(super) use inherit::{Heir, Inheritance, Loss, Stored, begin, give_up};
use lot::Lots;
pub(super) use seal::KEY_BYTES;

/// Nothing where no service manager keeps anything for us.
#[derive(Debug, Default)]
pub(super) struct HandOver(Option<Box<Keeper>>);

#[derive(Debug)]
struct Keeper {
    book: Book,
    lots: Lots,
    /// Connections whose lines are to be looked at when the turn ends; one may stand here twice.
    touched: Vec<ConnId>,
    /// What all connections share, as it was written last.
    shared: Vec<u8>,
    /// When it is looked at again, if anything has happened since it was.
    share_due: Option<Instant>,
    /// When it was looked at last.
    share_last: Option<Instant>,
    /// What went wrong in this turn.
    failure: Option<io::Error>,
    /// When the journal may be told again.
    quiet_until: Option<Instant>,
}

/// How many connections a planned stop leaves.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    /// They go on.
    pub(super) kept: usize,
    /// They could not be saved.
    pub(super) lost: usize,
}

impl HandOver {
    fn new(book: Book, lots: Lots) -> Self {
        Self(Some(Box::new(Keeper {
            book,
            lots,
            touched: Vec::new(),
            shared: Vec::new(),
            share_due: None,
            share_last: None,
            failure: None,
            quiet_until: None,
        })))
    }

    /// Whether connections outlive this process.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this connection does.
    pub(super) fn keeps(&self, id: ConnId) -> bool {
        self.0.as_ref().is_some_and(|keeper| keeper.book.cell(id.slot).state != State::Free)
    }

    /// A connection was accepted `at` this time of the epoch. `socket` finds the sockets of the others.
    pub(super) fn accepted<'a>(
        &mut self,
        id: ConnId,
        stream: BorrowedFd<'_>,
        at: u64,
        socket: impl Fn(ConnId) -> Option<BorrowedFd<'a>>,
    ) {
        let Some(keeper) = &mut self.0 else { return };
        keeper.attempt(|keeper| {
            let cookie = socket_cookie(stream)?;
            keeper.book.set(id.slot, Cell { cookie, time: at, state: State::Fresh, ..Cell::default() });
            // Its line comes first: of who is parked without one, nobody knows that nothing was read yet.
            let parked = keeper.book.flush().and_then(|()| keeper.lots.park(id, stream, socket));
            parked.inspect_err(|_| keeper.book.set(id.slot, Cell::default()))
        });
    }

    /// Something of these connections is going to be read or written in this turn.
    pub(super) fn touch(&mut self, ids: impl Iterator<Item = ConnId>) {
        let Some(keeper) = &mut self.0 else { return };
        for id in ids {
            let cell = keeper.book.cell(id.slot);
            let state = match cell.state {
                State::Free => continue,
                // It stays in the middle of a message until the turn has shown that it is not.
                State::Torn => State::Torn,
                State::Fresh | State::Rest | State::Saved | State::Busy => State::Busy,
            };
            keeper.book.set(id.slot, Cell { state, ..cell });
            keeper.touched.push(id);
        }
        keeper.attempt(|keeper| keeper.book.flush());
    }

    /// A frame was written in part to each of these.
    pub(super) fn torn(&mut self, ids: impl Iterator<Item = ConnId>) {
        let Some(keeper) = &mut self.0 else { return };
        for id in ids {
            let cell = keeper.book.cell(id.slot);
            if cell.state != State::Free {
                keeper.book.set(id.slot, Cell { state: State::Torn, ..cell });
            }
        }
        keeper.attempt(|keeper| keeper.book.flush());
    }

    /// The same as [`HandOver::touch`] for connections that something is going to be written to: what a peer is told is
    /// known to the next process before the peer knows it.
    pub(super) fn before_writing(&mut self, ids: &[ConnId], gateway: &mut Gateway) {
        if let Some(keeper) = &mut self.0 {
            for id in ids {
                let cell = keeper.book.cell(id.slot);
                if cell.state != State::Free {
                    keeper.attempt(|keeper| {
                        let record = keeper.news(*id, cell, gateway.news(*id), gateway)?;
                        keeper.book.set(id.slot, Cell { record, ..cell });
                        Ok(())
                    });
                }
            }
        }
        self.touch(ids.iter().copied());
    }

    /// A connection was shut down.
    pub(super) fn closed(&mut self, id: ConnId, now: Instant) {
        if let Some(keeper) = &mut self.0 {
            keeper.lots.leave(id, now);
            keeper.book.set(id.slot, Cell::default());
        }
    }

    /// The turn ends: whoever is at rest again may go on without us. Gives what the journal has to be told.
    pub(super) fn settle<'a>(
        &mut self,
        gateway: &mut Gateway,
        socket: impl Fn(ConnId) -> Option<BorrowedFd<'a>>,
        now: Now,
    ) -> Option<Entry> {
        let keeper = self.0.as_mut()?;
        let mut touched = std::mem::take(&mut keeper.touched);
        touched.sort_unstable();
        touched.dedup();
        for id in touched.drain(..) {
            let settled = keeper.settle_one(id, gateway);
            keeper.attempt(|_| settled);
            keeper.share_due = keeper.share_due.or(keeper.share_last.map(|at| at + limits::HANDOVER_SHARE));
        }
        keeper.touched = touched;
        if keeper.share_last.is_none() || keeper.share_due.is_some_and(|due| due <= now.mono) {
            keeper.share_last = Some(now.mono);
            keeper.share_due = None;
            keeper.attempt(|keeper| keeper.share(&gateway.share(false, now)));
        }
        keeper.attempt(|keeper| keeper.book.took_over());
        keeper.attempt(|keeper| keeper.book.tidy());
        keeper.attempt(|keeper| keeper.lots.tidy(socket, now.mono));
        keeper.complaint(now.mono)
    }

    /// A planned stop: what is held of connections that are not at rest is saved with them. `ids`: all connections.
    pub(super) fn save(&mut self, gateway: &Gateway, ids: impl Iterator<Item = ConnId>, now: Now) -> Tally {
        let Some(keeper) = &mut self.0 else { return Tally::default() };
        let mut tally = Tally::default();
        // First of all, so that there is room for it: a caller that is saved waits for what only this knows.
        keeper.attempt(|keeper| keeper.share(&gateway.share(true, now)));
        let mut ids: Vec<ConnId> = ids.collect();
        // A few peers that do not read must not take the room of all others.
        ids.sort_by_key(|id| gateway.outgoing(*id).len());
        for id in ids {
            let kept = keeper.save_one(id, gateway);
            let count = if kept { &mut tally.kept } else { &mut tally.lost };
            *count += 1;
        }
        keeper.attempt(|keeper| keeper.book.flush());
        // Who comes to a planned end has not failed at taking over, even if it never came to the end of a turn.
        keeper.attempt(|keeper| keeper.book.took_over());
        tally
    }

    /// Whether there is something to do before anything new happens.
    pub(super) fn is_busy(&self) -> bool {
        self.0.as_ref().is_some_and(|keeper| keeper.lots.is_busy())
    }

    /// When [`HandOver::settle`] has something to do even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let keeper = self.0.as_ref()?;
        keeper.lots.deadline().into_iter().chain(keeper.share_due).min()
    }

    /// How many connections are parked, dead ones included; none where nothing is kept.
    pub(super) fn parked(&self) -> Option<usize> {
        self.0.as_ref().map(|keeper| keeper.lots.parked())
    }
}

impl Keeper {
    /// The line of one connection after a turn in which something of it was read or written.
    fn settle_one(&mut self, id: ConnId, gateway: &mut Gateway) -> io::Result<()> {
        let cell = self.book.cell(id.slot);
        if cell.state == State::Free {
            return Ok(());
        }
        let cell = match gateway.keep(id) {
            Keep::Fresh => Cell { state: State::Fresh, ..cell },
            Keep::Rest { seq, tick, record } => {
                let record = self.news(id, cell, record, gateway)?;
                Cell { record, seq, time: tick, state: State::Rest, ..cell }
            }
            // What is unsent was written in part, for a write is tried before anything is left.
            Keep::Busy if !gateway.outgoing(id).is_empty() => Cell { state: State::Torn, ..cell },
            Keep::Busy => Cell { state: State::Busy, ..cell },
        };
        self.book.set(id.slot, cell);
        Ok(())
    }

    /// Where the record of a connection is, after what is new.
    fn news(
        &mut self,
        id: ConnId,
        cell: Cell,
        plain: Option<Vec<u8>>,
        gateway: &mut Gateway,
    ) -> io::Result<u64> {
        let Some(plain) = plain else { return Ok(cell.record) };
        // Without its record a connection does not go on; the gateway is asked for it again next time.
        self.book.record(id.slot, cell.cookie, &plain).inspect_err(|_| gateway.forget_record(id))
    }

    /// Whether the connection goes on.
    fn save_one(&mut self, id: ConnId, gateway: &Gateway) -> bool {
        let cell = self.book.cell(id.slot);
        match cell.state {
            State::Fresh => return true,
            State::Rest if !gateway.has_news(id) => return true,
            State::Free => return false,
            State::Rest | State::Busy | State::Torn | State::Saved => {}
        }
        let Some(plain) = gateway.record(id) else { return false };
        match self.book.record(id.slot, cell.cookie, &plain) {
            Ok(record) => {
                self.book.set(id.slot, Cell { record, state: State::Saved, ..cell });
                true
            }
            Err(error) => {
                self.failure = Some(error);
                false
            }
        }
    }

    /// Writes what all connections share, if it has changed.
    fn share(&mut self, plain: &[u8]) -> io::Result<()> {
        if self.shared != plain {
            self.book.share(plain)?;
            plain.clone_into(&mut self.shared);
        }
        Ok(())
    }

    /// Remembers that something failed; whatever it was, the book is whole.
    fn attempt(&mut self, step: impl FnOnce(&mut Self) -> io::Result<()>) {
        if let Err(error) = step(self) {
            self.failure = Some(error);
        }
    }

    /// An entry that something failed, at most one in a while.
    fn complaint(&mut self, now: Instant) -> Option<Entry> {
        let failure = self.failure.take()?;
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + limits::DECISIONS_FLUSH);
        let entry = Entry::new(Kind::HandOverFailed).with(Field::Cause, super::files::cause(&failure));
        Some(entry.with(Field::Remedy, FAILED_REMEDY))
    }
}

/// The book's entry in the store. All of ours begin with [`STORED_PREFIX`].
pub(super) const STATE_NAME: &str = "loopgate-state";
/// The entries of the lots' ends.
pub(super) const LOT_NAME: &str = "loopgate-lot";
pub(super) const STORED_PREFIX: &str = "loopgate-";
const FAILED_REMEDY: &str = "give the unit more memory, and a LimitNOFILE= above limits.connections; until then these connections end \
     with the process";

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixDatagram;

    use super::book::{Left, Legacy};
    use super::header::Header;
    use super::lot::Lot;
    use super::seal::Key;
    use super::*;

    const SLOT: ConnId = ConnId { slot: 3, generation: 0 };

    fn key() -> Key {
        Key::new(&[7; KEY_BYTES])
    }

    /// A first process: its hand-over, and what outlives it.
    fn begun() -> (HandOver, File, [UnixDatagram; 2]) {
        let header = Header { epoch_ns: 1, run: 1, attempts: 0, shared: 0, ends: [0; 4] };
        let book = Book::create(key(), header).unwrap();
        let file = File::from(book.file().try_clone_to_owned().unwrap());
        let (send, take) = UnixDatagram::pair().unwrap();
        let young = Lot::with(send.try_clone().unwrap(), take.try_clone().unwrap()).unwrap();
        let lots = Lots::new(young, Lot::create().unwrap(), 1);
        (HandOver::new(book, lots), file, [send, take])
    }

    fn left(file: &File) -> Legacy {
        Book::open(file.try_clone().unwrap(), key()).unwrap().1
    }

    #[test]
    fn who_is_parked_has_a_line() {
        let (mut hand_over, file, [_, take]) = begun();
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        hand_over.accepted(SLOT, ours.as_fd(), 5, |_| None);
        // Nobody has come to the end of the turn.
        let conns = left(&file).conns;
        let cell =
            Cell { cookie: socket_cookie(&ours).unwrap(), time: 5, state: State::Fresh, ..Cell::default() };
        assert!(matches!(&conns[..], [Left { slot: 3, cell: left, record: None }] if *left == cell));
        assert_eq!(Lot::drain(&take).unwrap().len(), 1);
    }

    #[test]
    fn who_cannot_be_parked_has_none() {
        let (mut hand_over, file, [_, take]) = begun();
        take.shutdown(std::net::Shutdown::Both).unwrap();
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        hand_over.accepted(SLOT, ours.as_fd(), 5, |_| None);
        assert!(hand_over.0.as_ref().unwrap().failure.is_some());
        hand_over.touch(std::iter::empty());
        assert!(left(&file).conns.is_empty());
    }
}
