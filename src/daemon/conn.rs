//! The connections' sockets: the only place that reads from a peer or writes to one.
//!
//! Rule: what epoll has said once is remembered until the socket itself says "would block". Reading is bounded per
//! connection and turn; what is left over waits its turn in a queue, so that nobody starves. Writing is tried first,
//! and the kernel is asked about it only after it refused.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use mio::event::Event;
use mio::{Interest, Registry, Token};

use super::handover::{HandOver, Tally};
use super::stream::Stream;
use crate::clock::Now;
use crate::gateway::{ConnId, Gateway, Input};
use crate::journal::Entry;
use crate::limits;

/// All connections.
#[derive(Debug)]
pub(super) struct Conns {
    registry: Registry,
    /// By [`ConnId::slot`], which is also the poll token. An event that comes late for a former tenant of the slot does
    /// no harm: it can only make the new one try a read or a write that would block.
    slots: Vec<Option<Conn>>,
    /// Those that may have something to read, each once, in the order of their turns.
    readable: VecDeque<ConnId>,
    /// Those with something to write, each once.
    writable: Vec<ConnId>,
    /// Where every read goes; the gateway takes it from there at once.
    buffer: Vec<u8>,
    /// How many slots are taken.
    open: usize,
    /// What outlives this process.
    hand_over: HandOver,
}

#[derive(Debug)]
struct Conn {
    id: ConnId,
    /// Its socket.
    stream: Stream,
    /// It stands in [`Conns::readable`].
    read_queued: bool,
    /// It stands in [`Conns::writable`].
    write_queued: bool,
    /// The kernel took no more; it says when it does.
    blocked: bool,
    /// What epoll said.
    heard: Heard,
    /// What was passed on.
    told: Told,
}

/// What epoll has said about the connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Nothing,
    /// Of an end, which a short read may hide.
    HungUp,
    /// Of both directions being broken.
    Broken,
}

/// What the gateway knows about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    /// Nothing more will come.
    Eof,
    /// Nothing will come or go.
    Lost,
}

/// What a read left behind.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing; epoll tells of more.
    Nothing,
    /// Perhaps something.
    Something,
}

impl Conns {
    /// No connections yet; they will be registered with `registry`.
    pub(super) fn new(registry: Registry, hand_over: HandOver) -> Self {
        Self {
            registry,
            slots: Vec::new(),
            readable: VecDeque::new(),
            writable: Vec::new(),
            buffer: vec![0; limits::READ_TURN_BYTES_MAX],
            open: 0,
            hand_over,
        }
    }

    /// Takes a connection in.
    ///
    /// # Errors
    /// epoll refuses; the stream is dropped.
    pub(super) fn open(&mut self, id: ConnId, mut stream: Stream) -> io::Result<()> {
        let registered = self.registry.register(stream.source(), token(id), Interest::READABLE);
        if registered.is_err() {
            // A copy of it may be parked.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
        registered?;
        self.place(id, stream);
        Ok(())
    }

    /// Parks a connection that was just accepted, so that it outlives this process.
    pub(super) fn park(&mut self, id: ConnId, gateway: &Gateway, now: Now) {
        let Self { slots, hand_over, .. } = self;
        if let Some(socket) = socket_of(slots, id) {
            hand_over.accepted(id, socket, gateway.moment(now), |other| socket_of(slots, other));
        }
    }

    fn place(&mut self, id: ConnId, stream: Stream) {
        let index = id.slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(Conn::new(id, stream));
            self.open += 1;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Remembers what epoll says.
    pub(super) fn note(&mut self, event: &Event) {
        let Some(conn) = self.slots.get_mut(event.token().0).and_then(Option::as_mut) else { return };
        let heard = Heard::of(event);
        conn.heard = conn.heard.max(heard);
        let id = conn.id;
        if event.is_readable() || heard != Heard::Nothing {
            self.queue_read(id);
        }
        if event.is_writable() {
            self.queue_write(id);
        }
    }

    /// Gives each connection that may have something to read its turn.
    pub(super) fn read(&mut self, gateway: &mut Gateway, now: Now) {
        self.hand_over.touch(self.readable.iter().copied());
        for _ in 0..self.readable.len() {
            let Some(id) = self.readable.pop_front() else { return };
            let rest = self.read_one(id, gateway, now);
            if let Some(conn) = self.conn(id) {
                conn.read_queued = rest == Rest::Something;
                if conn.read_queued {
                    self.readable.push_back(id);
                }
            }
        }
    }

    /// Reads what may have come since epoll was asked; before a deadline is acted on.
    pub(super) fn read_late(&mut self, ids: &[ConnId], gateway: &mut Gateway, now: Now) {
        self.hand_over.touch(ids.iter().copied());
        for id in ids {
            if self.read_one(*id, gateway, now) == Rest::Something {
                self.queue_read(*id);
            }
        }
    }

    /// Something is to be written; it goes out with the next [`Conns::write`].
    pub(super) fn queue_write(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id).filter(|conn| !conn.write_queued) {
            conn.write_queued = true;
            self.writable.push(id);
        }
    }

    /// Writes what is to be written, each connection's in one piece. True if the gateway was told anything by it.
    pub(super) fn write(&mut self, gateway: &mut Gateway, now: Now) -> bool {
        let mut told = false;
        self.hand_over.before_writing(&self.writable, gateway);
        for id in std::mem::take(&mut self.writable) {
            if let Some(conn) = self.conn(id) {
                conn.write_queued = false;
            }
            told |= self.write_one(id, gateway, now);
        }
        told
    }

    /// The turn is over: who is at rest may go on without this process. Gives what the journal has to be told.
    pub(super) fn settle(&mut self, gateway: &mut Gateway, now: Now) -> Option<Entry> {
        let Self { slots, hand_over, .. } = self;
        hand_over.settle(gateway, |id| socket_of(slots, id), now)
    }

    /// A planned stop: everything of everybody is saved.
    pub(super) fn save(&mut self, gateway: &Gateway, now: Now) -> Tally {
        let Self { slots, hand_over, .. } = self;
        // Legs that are not open are opened anew by whoever goes on.
        let ids: Vec<ConnId> = slots.iter().flatten().map(|conn| conn.id).collect();
        let ids =
            ids.into_iter().filter(|id| gateway.is_peer(*id) || hand_over.keeps(*id)).collect::<Vec<_>>();
        hand_over.save(gateway, ids.into_iter(), now)
    }

    /// Something of these, which were saved as they stood, is dealt with that no other process may deal with again.
    pub(super) fn touch(&mut self, ids: &[ConnId], gateway: &Gateway) {
        self.hand_over.touch(ids.iter().copied());
        let unsent = ids.iter().filter(|id| !gateway.outgoing(**id).is_empty());
        self.hand_over.torn(unsent.copied());
    }

    /// A connection of a former process does not go on.
    pub(super) fn forget(&mut self, id: ConnId, now: Instant) {
        self.hand_over.closed(id, now);
    }

    /// Parks the legs to the runtime that can go on in another process. Before a planned end alone: with a crash they end, as
    /// nobody would know what the runtime was asked.
    pub(super) fn park_legs(&mut self, gateway: &Gateway, now: Now) {
        for id in gateway.legs_underway() {
            self.park(id, gateway, now);
            self.hand_over.touch(std::iter::once(id));
        }
    }

    /// Connections that the kernel did not let us park: they end with this process.
    pub(super) fn unparked(&self) -> Vec<ConnId> {
        let ids = self.slots.iter().flatten().map(|conn| conn.id);
        ids.filter(|id| !self.hand_over.keeps(*id)).collect()
    }

    /// Whether connections outlive this process.
    pub(super) fn outlive(&self) -> bool {
        self.hand_over.is_on()
    }

    /// How many connections are parked for the next process, dead ones included; none where nothing outlives this one.
    pub(super) fn parked(&self) -> Option<usize> {
        self.hand_over.parked()
    }

    /// When [`Conns::settle`] has something to do although nothing has happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.hand_over.deadline()
    }

    /// Whether the next turn has something to do before anything new happens.
    pub(super) fn busy(&self, gateway: &Gateway) -> bool {
        self.hand_over.is_busy()
            || !self.writable.is_empty()
            || self.readable.iter().any(|id| gateway.wants_read(*id))
    }

    /// Ends our direction.
    pub(super) fn half_close(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id) {
            // It fails only if the peer has broken the connection, of which a read tells.
            conn.stream.shutdown(Shutdown::Write).unwrap_or_default();
        }
    }

    /// Ends a connection for good: both directions first, so that the peer sees the end at once even if a copy of the
    /// socket is held elsewhere.
    pub(super) fn close(&mut self, id: ConnId, now: Instant) {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return };
        let Some(mut conn) = slot.take_if(|conn| conn.id == id) else { return };
        self.open -= 1;
        conn.stream.shutdown(Shutdown::Both).unwrap_or_default();
        self.registry.deregister(conn.stream.source()).unwrap_or_default();
        self.hand_over.closed(id, now);
    }

    /// The connection, if it is still the same one.
    /// The socket of a connection.
    pub(super) fn stream(&self, id: ConnId) -> Option<&Stream> {
        let conn = self.slots.get(id.slot as usize)?.as_ref().filter(|conn| conn.id == id)?;
        Some(&conn.stream)
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.id == id)
    }

    /// Something may be readable; it is read at its turn.
    fn queue_read(&mut self, id: ConnId) {
        if let Some(conn) = self.conn(id).filter(|conn| !conn.read_queued && conn.told != Told::Lost) {
            conn.read_queued = true;
            self.readable.push_back(id);
        }
    }

    /// One connection's turn of reading: until the socket is empty, the gateway has enough, or the turn is over.
    fn read_one(&mut self, id: ConnId, gateway: &mut Gateway, now: Now) -> Rest {
        let mut left = limits::READ_TURN_BYTES_MAX;
        loop {
            let Some(conn) = self.slots.get_mut(id.slot as usize).and_then(Option::as_mut) else {
                return Rest::Nothing;
            };
            if conn.id != id {
                return Rest::Nothing;
            }
            if conn.told != Told::Nothing || !gateway.wants_read(id) {
                return conn.rest_unread(gateway, now);
            }
            let Some(buffer) = self.buffer.get_mut(..left).filter(|buffer| !buffer.is_empty()) else {
                return Rest::Something;
            };
            match conn.stream.read(buffer) {
                Ok(0) => {
                    conn.told = Told::Eof;
                    gateway.handle(Input::Eof { conn: id }, now);
                    return Rest::Nothing;
                }
                Ok(count) => {
                    // A short read has emptied the socket: what comes later makes a new event. Only an end that came
                    // along with the bytes makes none.
                    let emptied = count < left && conn.heard == Heard::Nothing;
                    let bytes = buffer.get(..count).unwrap_or_default();
                    gateway.handle(Input::Bytes { conn: id, bytes }, now);
                    if emptied {
                        return Rest::Nothing;
                    }
                    left -= count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return conn.lose(gateway, now),
            }
        }
    }

    /// One connection's turn of writing: until all is out, the socket is full, or the turn is over.
    fn write_one(&mut self, id: ConnId, gateway: &mut Gateway, now: Now) -> bool {
        let mut told = false;
        let mut left = limits::WRITE_TURN_BYTES_MAX;
        while let Some(conn) = self.slots.get_mut(id.slot as usize).and_then(Option::as_mut) {
            let bytes = gateway.outgoing(id);
            if conn.id != id || bytes.is_empty() {
                break;
            }
            if left == 0 {
                self.queue_write(id);
                return told;
            }
            match conn.stream.write(bytes.get(..left).unwrap_or(bytes)) {
                Ok(count) if count > 0 => {
                    left -= count;
                    told = true;
                    gateway.handle(Input::Sent { conn: id, bytes: count }, now);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.wait_for_room(&self.registry, true);
                    self.hand_over.torn(std::iter::once(id));
                    return told;
                }
                Ok(_) | Err(_) => {
                    conn.lose(gateway, now);
                    return true;
                }
            }
        }
        if let Some(conn) = self.slots.get_mut(id.slot as usize).and_then(Option::as_mut) {
            conn.wait_for_room(&self.registry, false);
        }
        told
    }
}

impl Conn {
    fn new(id: ConnId, stream: Stream) -> Self {
        Self {
            id,
            stream,
            read_queued: false,
            write_queued: false,
            blocked: false,
            heard: Heard::Nothing,
            told: Told::Nothing,
        }
    }

    /// What becomes of a connection that is not read now: it waits, or a break that epoll told of is passed on.
    fn rest_unread(&mut self, gateway: &mut Gateway, now: Now) -> Rest {
        if self.heard == Heard::Broken {
            return self.lose(gateway, now);
        }
        if self.told == Told::Nothing { Rest::Something } else { Rest::Nothing }
    }

    /// Tells the gateway of a broken connection, once. The socket is closed when the gateway says so.
    fn lose(&mut self, gateway: &mut Gateway, now: Now) -> Rest {
        if self.told != Told::Lost {
            self.told = Told::Lost;
            gateway.handle(Input::Lost { conn: self.id }, now);
        }
        Rest::Nothing
    }

    /// Asks epoll to tell when there is room, or not to tell any more.
    fn wait_for_room(&mut self, registry: &Registry, blocked: bool) {
        if self.blocked != blocked {
            self.blocked = blocked;
            let interest = if blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            // It fails only for a socket that is not registered, and all of ours are.
            registry.reregister(self.stream.source(), token(self.id), interest).unwrap_or_default();
        }
    }
}

impl Heard {
    fn of(event: &Event) -> Self {
        if event.is_error() || (event.is_read_closed() && event.is_write_closed()) {
            Self::Broken
        } else if event.is_read_closed() {
            Self::HungUp
        } else {
            Self::Nothing
        }
    }
}

/// The socket of a connection, if it is still the same one.
fn socket_of(slots: &[Option<Conn>], id: ConnId) -> Option<BorrowedFd<'_>> {
    let conn = slots.get(id.slot as usize)?.as_ref().filter(|conn| conn.id == id)?;
    Some(conn.stream.as_fd())
}

fn token(id: ConnId) -> Token {
    Token(id.slot as usize)
}
