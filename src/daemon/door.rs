//! The listeners, and who comes in by them.
//!
//! Rule: accepting is bounded per turn and fair between the doors. Where there is no room (our own bound, or the
//! kernel's for files) nothing is accepted and refused: the kernel's backlog waits.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use nix::errno::Errno;

use super::activation::Listeners;
use super::conn::Conns;
use super::files::cause;
use super::peer::{Inspector, unix_ids};
use super::stream::Stream;
use crate::clock::Now;
use crate::gateway::{ConnId, Door, Gateway, Input, Peer};
use crate::journal::{Entry, Field, Kind};
use crate::limits;

/// All doors.
#[derive(Debug)]
pub(super) struct Doors {
    /// Where the listeners are registered.
    registry: Registry,
    /// Listeners in the order in which they were handed over.
    all: Vec<Open>,
    /// None without a TCP listener.
    inspector: Option<Inspector>,
    /// The door that is served first in the next turn.
    first: usize,
    /// Set while the kernel has no file or memory for one more connection.
    paused_until: Option<Instant>,
    /// When the journal may be told again that there is no room.
    quiet_until: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    listener: Listener,
    /// Somebody may be waiting.
    ready: bool,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener, SocketAddr),
    Owner(UnixListener),
}

impl Doors {
    /// Registers the listeners; their tokens count from `first_token` on.
    ///
    /// # Errors
    /// epoll refuses.
    pub(super) fn open(listeners: Listeners, registry: Registry, first_token: usize) -> io::Result<Self> {
        let inspector = listeners.tcp.first().map(|(_, address)| Inspector::open(*address));
        let tcp = listeners
            .tcp
            .into_iter()
            .map(|(listener, at)| Listener::Tcp(TcpListener::from_std(listener), at));
        let owner =
            listeners.owner.into_iter().map(|listener| Listener::Owner(UnixListener::from_std(listener)));
        let mut doors = Vec::new();
        for mut listener in tcp.chain(owner) {
            let token = Token(first_token + doors.len());
            registry.register(listener.source(), token, Interest::READABLE)?;
            doors.push(Open { listener, ready: true });
        }
        Ok(Self { registry, all: doors, inspector, first: 0, paused_until: None, quiet_until: None })
    }

    /// Somebody knocks at a door.
    pub(super) fn note(&mut self, index: usize) {
        if let Some(door) = self.all.get_mut(index) {
            door.ready = true;
        }
    }

    /// A connection has ended: there is room again.
    pub(super) fn resume(&mut self) {
        self.paused_until = None;
    }

    /// Nobody comes in any more. The listeners themselves stay open, in the service manager's hands; that is why epoll
    /// has to be told.
    pub(super) fn shut(&mut self) {
        for mut door in self.all.drain(..) {
            self.registry.deregister(door.listener.source()).unwrap_or_default();
        }
    }

    /// Lets in who waits, one at each door in turn. Gives what the journal has to be told.
    pub(super) fn accept(&mut self, conns: &mut Conns, gateway: &mut Gateway, now: Now) -> Option<Entry> {
        if self.paused_until.is_some_and(|until| now.mono < until) {
            return None;
        }
        self.paused_until = None;
        for _ in 0..limits::ACCEPT_TURN_MAX {
            let door = self.next_ready()?;
            if !gateway.accepting() {
                // Before it is ready the gateway lets nobody in either; there is nothing to be mended then.
                return if gateway.ready() { self.full(FULL_CAUSE, FULL_REMEDY, conns, now) } else { None };
            }
            match self.accept_at(door, conns, gateway, now) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.all.get_mut(door)?.ready = false,
                Err(error) if !passing(&error) => {
                    self.paused_until = Some(now.mono + limits::ACCEPT_PAUSE);
                    return self.full(&cause(&error), remedy(&error), conns, now);
                }
                // In, or gone again before we came: on to the next.
                Ok(()) | Err(_) => {}
            }
        }
        None
    }

    /// Whether somebody who may come in is waiting.
    pub(super) fn busy(&self, gateway: &Gateway) -> bool {
        self.paused_until.is_none() && gateway.accepting() && self.all.iter().any(|door| door.ready)
    }

    /// When accepting is tried again although nothing has happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.paused_until.filter(|_| !self.all.is_empty())
    }

    /// The next door with somebody at it, after the one that was served last.
    fn next_ready(&mut self) -> Option<usize> {
        let count = self.all.len();
        let order = (0..count).map(|step| (self.first + step) % count);
        let door = order.into_iter().find(|index| self.all.get(*index).is_some_and(|door| door.ready))?;
        self.first = (door + 1) % count;
        Some(door)
    }

    /// Takes one in, and asks whose process it is before the gateway hears of it.
    fn accept_at(
        &mut self,
        door: usize,
        conns: &mut Conns,
        gateway: &mut Gateway,
        now: Now,
    ) -> io::Result<()> {
        let Some(door) = self.all.get(door) else { return Ok(()) };
        let (stream, peer) = match &door.listener {
            Listener::Tcp(listener, local) => {
                let (stream, address) = listener.accept()?;
                // Answers are whole when they are written; waiting for more only delays them.
                stream.set_nodelay(true).unwrap_or_default();
                let uid = self.inspector.as_mut().and_then(|inspector| inspector.tcp_uid(address, *local));
                (Stream::Tcp(stream), Peer { door: Door::Tcp, address: Some(address), uid, pid: None })
            }
            Listener::Owner(listener) => {
                let (stream, _) = listener.accept()?;
                let (uid, pid) = unix_ids(&stream);
                (Stream::Unix(stream), Peer { door: Door::Owner, address: None, uid, pid })
            }
        };
        if let Some(id) = gateway.accept(peer, now) {
            if open_or_lose(id, stream, conns, gateway, now) {
                conns.park(id, gateway, now);
            }
        }
        Ok(())
    }

    /// Who is at the other end of a connection that another process has accepted.
    pub(super) fn identify(&mut self, stream: &Stream) -> Peer {
        match stream {
            Stream::Tcp(stream) => {
                let ends = (stream.peer_addr().ok(), stream.local_addr().ok());
                let uid = match (ends, &mut self.inspector) {
                    ((Some(peer), Some(local)), Some(inspector)) => inspector.tcp_uid(peer, local),
                    _ => None,
                };
                Peer { door: Door::Tcp, address: ends.0, uid, pid: None }
            }
            Stream::Unix(stream) => {
                let (uid, pid) = unix_ids(stream);
                Peer { door: Door::Owner, address: None, uid, pid }
            }
        }
    }

    /// The user whose process has the other end of a connection that we have opened; none until it is accepted.
    pub(super) fn owner_of(&mut self, peer: SocketAddr, local: SocketAddr) -> Option<u32> {
        self.inspector.get_or_insert_with(|| Inspector::open(peer)).tcp_uid(peer, local)
    }

    /// An entry that there is no room, at most one in a while.
    fn full(&mut self, why: &str, remedy: &'static str, conns: &Conns, now: Now) -> Option<Entry> {
        if self.quiet_until.is_some_and(|until| now.mono < until) {
            return None;
        }
        self.quiet_until = Some(now.mono + QUIET);
        let entry = Entry::new(Kind::ConnectionsFull).with(Field::Connections, conns.len());
        Some(entry.with(Field::Cause, why.to_owned()).with(Field::Remedy, remedy))
    }
}

impl Listener {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener, _) => listener,
            Self::Owner(listener) => listener,
        }
    }
}

/// A connection that epoll does not take is broken from the start; the gateway knows how to end it.
pub(super) fn open_or_lose(
    id: ConnId,
    stream: Stream,
    conns: &mut Conns,
    gateway: &mut Gateway,
    now: Now,
) -> bool {
    let open = conns.open(id, stream).is_ok();
    if !open {
        gateway.handle(Input::Lost { conn: id }, now);
    }
    open
}

/// Whether an error of `accept` is about one connection alone, so that the next one may do better.
fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted)
}

/// Who can help.
fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        Errno::EMFILE | Errno::ENFILE => FILES_REMEDY,
        _ => KERNEL_REMEDY,
    }
}

const QUIET: Duration = limits::DECISIONS_FLUSH;
const FULL_CAUSE: &str =
    "there are as many connections as the settings allow, or too many that are not admitted yet";
const FULL_REMEDY: &str = "raise limits.connections in loopgate.conf, or end connections that are not needed";
const KERNEL_REMEDY: &str =
    "see what the kernel lacks or forbids; accepting is tried again ten times a second";
const FILES_REMEDY: &str = "raise LimitNOFILE= of loopgate.service, or end connections that are not needed";
