//! What a former process has left, taken over at the start.
//!
//! Rule: nothing is believed because of its name. A socket belongs to the line of the book that has its cookie, and a
//! line counts if its record was sealed for that cookie. What belongs to nothing is told that it has to connect again;
//! what cannot be used at all is taken out of the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use libsystemd::daemon::{NotifyState, notify_with_fds};
use rustix::net::sockopt::socket_cookie;

use super::book::{Book, Left, Legacy};
use super::cell::{Cell, State};
use super::header::Header;
use super::lot::{Lot, Lots};
use super::seal::{KEY_BYTES, Key};
use super::{HandOver, LOT_NAME, STATE_NAME};
use crate::daemon::files::cause;
use crate::gateway::{ConnId, Heritage, Peer};
use crate::limits;

/// What the service manager has handed back beside the listeners.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Stored {
    /// Entries named as the book is.
    pub(in crate::daemon) books: Vec<File>,
    /// Entries named as the ends of the lots are.
    pub(in crate::daemon) ends: Vec<UnixDatagram>,
    /// Names of entries that are not in use. They are closed already.
    pub(in crate::daemon) strangers: Vec<String>,
}

/// What was taken over, and is to be told or brought back to life.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Inheritance {
    /// Whose sockets were found.
    pub(in crate::daemon) heirs: Vec<Heir>,
    /// What all connections share; none if it was never written, an error if it cannot be believed.
    pub(in crate::daemon) shared: Option<Result<Vec<u8>, &'static str>>,
    /// The beginning of the lineage: nanoseconds of `CLOCK_MONOTONIC`.
    pub(in crate::daemon) epoch_ns: u64,
    /// Sockets of which nothing is known.
    pub(in crate::daemon) orphans: Vec<OwnedFd>,
    /// Why nothing else was taken over.
    pub(in crate::daemon) failure: Option<String>,
}

/// A connection, its socket, and what is known of it.
#[derive(Debug)]
pub(in crate::daemon) struct Heir {
    /// Under which it stands in the book and in the lots.
    pub(in crate::daemon) id: ConnId,
    pub(in crate::daemon) socket: OwnedFd,
    pub(in crate::daemon) claim: Claim,
}

/// What stands in the book of a connection.
#[derive(Debug)]
pub(in crate::daemon) struct Claim {
    cell: Cell,
    record: Option<Result<Vec<u8>, &'static str>>,
}

/// Why a connection does not go on.
#[derive(Debug)]
pub(in crate::daemon) struct Loss {
    pub(in crate::daemon) why: &'static str,
    pub(in crate::daemon) cause: Option<String>,
    /// Whether a close frame can be sent.
    pub(in crate::daemon) speaks: bool,
}

impl Claim {
    /// Whether there are bytes in the record that somebody has to deal with, once.
    pub(in crate::daemon) fn is_underway(&self) -> bool {
        self.cell.state == State::Saved
    }

    /// What the connection goes on with, if it can.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::daemon) fn heritage(&self, identify: impl FnOnce() -> Peer) -> Result<Heritage<'_>, Loss> {
        let Cell { seq, time, state, .. } = self.cell;
        let record = match &self.record {
            Some(Ok(record)) => Some(record.as_slice()),
            Some(Err(cause)) => {
                return Err(Loss { why: cause, cause: None, speaks: state != State::Torn });
            }
            None => None,
        };
        match (state, record) {
            (State::Fresh, _) => Ok(Heritage::Fresh { peer: identify(), accepted: time }),
            (State::Rest, Some(record)) => Ok(Heritage::Rest { record, seq, tick: time }),
            (State::Saved, Some(record)) => Ok(Heritage::Saved { record }),
            (State::Busy, Some(record)) => Ok(Heritage::Broken { record }),
            (State::Torn, _) => Err(Loss { why: TORN, cause: None, speaks: false }),
            // Before the upgrade nobody at the other end would understand a close frame.
            _ => Err(Loss { why: UNFINISHED, cause: None, speaks: false }),
        }
    }
}

/// Takes over what was stored, or begins anew and has it stored. `now_ns`: the time by `CLOCK_MONOTONIC`.
///
/// # Errors
/// The kernel gives no memory file or no sockets.
pub(in crate::daemon) fn begin(
    stored: Stored,
    key: &[u8; KEY_BYTES],
    now_ns: u64,
) -> io::Result<(HandOver, Inheritance)> {
    let mut used = used_names(&stored);
    let Stored { mut books, ends, .. } = stored;
    let had = !books.is_empty() || !ends.is_empty();
    let failure = if books.len() > 1 {
        format!("{} memory files were handed back, which is the right one cannot be told", books.len())
    } else if let Some(book) = books.pop() {
        match proceed(book, ends, Key::new(key), now_ns) {
            Ok(Begun { hand_over, inheritance }) => {
                used.retain(|name| name != STATE_NAME && name != LOT_NAME);
                forget(&used);
                return Ok((hand_over, inheritance));
            }
            Err(Refused { why, ends }) => {
                return anew(&used, ends, key, now_ns).map(|(hand_over, inheritance)| {
                    (hand_over, Inheritance { failure: Some(why), ..inheritance })
                });
            }
        }
    } else {
        "the sockets were handed back without the memory file".to_owned()
    };
    let (hand_over, inheritance) = anew(&used, ends, key, now_ns)?;
    Ok((hand_over, Inheritance { failure: had.then_some(failure), ..inheritance }))
}

/// Where nothing can be kept, what was stored is given up.
pub(in crate::daemon) fn give_up(stored: &Stored) -> Vec<OwnedFd> {
    forget(&used_names(stored));
    empty(&stored.ends)
}

/// A lineage that goes on.
struct Begun {
    hand_over: HandOver,
    inheritance: Inheritance,
}

/// A lineage that ends, and the lots that have to be emptied.
struct Refused {
    why: String,
    ends: Vec<UnixDatagram>,
}

/// Goes on with the book of a former process.
fn proceed(file: File, ends: Vec<UnixDatagram>, key: Key, now_ns: u64) -> Result<Begun, Refused> {
    let (mut book, legacy) = match Book::open(file, key) {
        Ok(opened) => opened,
        Err(why) => return Err(Refused { why, ends }),
    };
    let header = *book.header();
    if header.epoch_ns > now_ns {
        return Err(Refused { why: "the memory file is from the future".into(), ends });
    }
    if header.attempts >= limits::HANDOVER_ATTEMPTS_MAX {
        let why = format!("the last {} processes ended while they took over", header.attempts);
        return Err(Refused { why, ends });
    }
    let run = header.run.wrapping_add(1);
    if let Err(error) = book.begin_run(run) {
        return Err(Refused { why: format!("the memory file cannot be written: {}", cause(&error)), ends });
    }
    let mut lots = match lots(&header, ends, run) {
        Ok(lots) => lots,
        Err(ends) => return Err(Refused { why: "an end of a lot is missing".into(), ends }),
    };
    let Legacy { conns, shared } = legacy;
    match gather(conns, &mut lots, &mut book) {
        Ok((heirs, orphans)) => {
            let inheritance =
                Inheritance { heirs, shared, epoch_ns: header.epoch_ns, orphans, failure: None };
            Ok(Begun { hand_over: HandOver::new(book, lots), inheritance })
        }
        Err(error) => {
            let why = format!("the lots cannot be read: {}", cause(&error));
            Err(Refused { why, ends: Vec::new() })
        }
    }
}

/// The lots, by the cookies of their ends. The ends, if one is missing.
fn lots(header: &Header, ends: Vec<UnixDatagram>, run: u64) -> Result<Lots, Vec<UnixDatagram>> {
    let mut found: BTreeMap<u64, UnixDatagram> = BTreeMap::new();
    for end in ends {
        found.insert(socket_cookie(&end).unwrap_or_default(), end);
    }
    if !header.ends.iter().all(|cookie| found.contains_key(cookie)) {
        return Err(found.into_values().collect());
    }
    let [a, b, c, d] = header.ends.map(|cookie| found.remove(&cookie));
    let lot = |send: Option<UnixDatagram>, take: Option<UnixDatagram>| Lot::with(send?, take?).ok();
    match (lot(a, b), lot(c, d)) {
        (Some(young), Some(old)) => Ok(Lots::new(young, old, run)),
        _ => Err(Vec::new()),
    }
}

/// Takes the sockets out of the lots and finds the lines that they belong to. A line without a socket is cleared: its
/// connection ended with the process that has accepted it.
fn gather(conns: Vec<Left>, lots: &mut Lots, book: &mut Book) -> io::Result<(Vec<Heir>, Vec<OwnedFd>)> {
    let mut known: BTreeMap<u64, u32> = conns.iter().map(|left| (left.cell.cookie, left.slot)).collect();
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    let mut orphans = Vec::new();
    let taken = lots.take_over(|socket| {
        let cookie = socket_cookie(&socket).ok()?;
        if seen.contains_key(&cookie) {
            // It was being moved from one message to another.
            return None;
        }
        let Some(slot) = known.remove(&cookie) else {
            orphans.push(socket);
            return None;
        };
        seen.insert(cookie, slot);
        Some((ConnId { slot, generation: 0 }, socket))
    })?;
    for slot in known.into_values() {
        book.set(slot, Cell::default());
    }
    let mut sockets: BTreeMap<u32, (ConnId, OwnedFd)> =
        taken.into_iter().map(|(id, socket)| (id.slot, (id, socket))).collect();
    let heirs = conns.into_iter().filter_map(|Left { slot, cell, record }| {
        let (id, socket) = sockets.remove(&slot)?;
        Some(Heir { id, socket, claim: Claim { cell, record } })
    });
    Ok((heirs.collect(), orphans))
}

/// Begins a lineage and has it stored. Whoever is in the old lots is an orphan.
fn anew(
    used: &[String],
    ends: Vec<UnixDatagram>,
    key: &[u8; KEY_BYTES],
    now_ns: u64,
) -> io::Result<(HandOver, Inheritance)> {
    let orphans = empty(&ends);
    drop(ends);
    forget(used);
    let (young, old) = (Lot::create()?, Lot::create()?);
    let ends: Vec<BorrowedFd<'_>> = [young.ends(), old.ends()].concat();
    let mut cookies = [0; 4];
    for (cookie, end) in cookies.iter_mut().zip(&ends) {
        *cookie = socket_cookie(end)?;
    }
    let book = Book::create(
        Key::new(key),
        Header { epoch_ns: now_ns, run: 1, attempts: 0, shared: 0, ends: cookies },
    )?;
    store(STATE_NAME, &[book.file()]);
    store(LOT_NAME, &ends);
    let hand_over = HandOver::new(book, Lots::new(young, old, 1));
    Ok((hand_over, Inheritance { orphans, epoch_ns: now_ns, ..Inheritance::default() }))
}

/// Takes everything out of lots that are not used any more. Which end takes is not known; the other has nothing.
fn empty(ends: &[UnixDatagram]) -> Vec<OwnedFd> {
    ends.iter().flat_map(|end| Lot::drain(end).unwrap_or_default()).collect()
}

/// The names in the store that are to be taken out of it if nothing of it is used.
fn used_names(stored: &Stored) -> Vec<String> {
    let books = stored.books.first().map(|_| STATE_NAME.to_owned());
    let ends = stored.ends.first().map(|_| LOT_NAME.to_owned());
    let mut names: Vec<String> = stored.strangers.iter().cloned().chain(books).chain(ends).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Gives something into the store. It may block while the manager is busy, and we are at the start: nobody waits yet.
/// A manager that does not listen keeps nothing, and that is all that happens then.
fn store(name: &str, what: &[BorrowedFd<'_>]) {
    let raw: Vec<_> = what.iter().map(AsRawFd::as_raw_fd).collect();
    let words = [NotifyState::Fdstore, NotifyState::Fdname(name.to_owned())];
    notify_with_fds(false, &words, &raw).map(drop).unwrap_or_default();
}

/// Takes all entries of these names out of the store.
fn forget(names: &[String]) {
    for name in names {
        let words = [NotifyState::FdstoreRemove, NotifyState::Fdname(name.clone())];
        notify_with_fds(false, &words, &[]).map(drop).unwrap_or_default();
    }
}

const TORN: &str = "it had been sent a part of a message";
const UNFINISHED: &str = "its process ended in the middle of the handshake";
