//! Connecting to the runtime, and finding out whose process has accepted.
//!
//! Rule: the gateway hears of a connection when the kernel has told who owns its other end. That is known once the program
//! there has accepted it; a listener's owner alone would prove nothing, for the port may change hands in between.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;
use nix::errno::Errno;

use super::conn::Conns;
use super::door::Doors;
use super::files::cause;
use super::stream::Stream;
use crate::clock::Now;
use crate::gateway::{ConnId, Gateway, Input};
use crate::limits;

/// Connections that are on their way.
#[derive(Debug, Default)]
pub(super) struct Dialler {
    underway: Vec<Dial>,
}

#[derive(Debug)]
struct Dial {
    conn: ConnId,
    /// When it is looked at next.
    due: Instant,
    /// How often it was.
    looks: u32,
}

/// How far a connection is.
enum Progress {
    /// Not connected, or not accepted.
    Waiting,
    /// Accepted by a process of this user.
    Accepted(u32),
    /// Nobody listens, or nobody knows who does.
    Failed,
}

impl Dialler {
    /// Begins to connect. Nothing blocks; a failure comes up as the connection's end.
    pub(super) fn dial(&mut self, conn: ConnId, port: u16, conns: &mut Conns, at: Instant) -> io::Result<()> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        // Requests are whole when they are written; waiting for more only delays them.
        stream.set_nodelay(true).unwrap_or_default();
        conns.open(conn, Stream::Tcp(stream))?;
        self.underway.push(Dial { conn, due: at, looks: 0 });
        Ok(())
    }

    /// Looks at those that are due, and tells the gateway who is there.
    pub(super) fn turn(&mut self, conns: &mut Conns, doors: &mut Doors, gateway: &mut Gateway, now: Now) {
        let mut index = 0;
        while let Some(dial) = self.underway.get_mut(index) {
            if dial.due > now.mono {
                index += 1;
                continue;
            }
            let conn = dial.conn;
            match look(conn, conns, doors) {
                Progress::Waiting => {
                    dial.wait(now.mono);
                    index += 1;
                }
                Progress::Accepted(owner) => {
                    self.underway.swap_remove(index);
                    gateway.handle(Input::Dialled { conn, owner }, now);
                }
                Progress::Failed => {
                    self.underway.swap_remove(index);
                    gateway.handle(Input::Lost { conn }, now);
                }
            }
        }
    }

    /// When [`Dialler::turn`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.underway.iter().map(|dial| dial.due).min()
    }
}

impl Dial {
    /// A program that turns accepts within a fraction of a millisecond; one that does not is asked about ever more rarely.
    fn wait(&mut self, now: Instant) {
        let pause = limits::DIAL_LOOK.saturating_mul(1 << self.looks.min(8));
        self.looks += 1;
        self.due = now + pause.min(limits::DIAL_LOOK_MAX);
    }
}

/// What a failure of [`Dialler::dial`] means. One that comes from a sandbox comes again at every try, and a runtime is not
/// away because of it.
pub(super) fn failure(conn: ConnId, error: &io::Error) -> Input<'static> {
    match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        // What seccomp answers for RestrictAddressFamilies=.
        Errno::EAFNOSUPPORT => Input::Barred { conn, cause: format!("{}: {FAMILIES}", cause(error)) },
        // A packet filter, or a security module.
        Errno::EPERM | Errno::EACCES => Input::Barred { conn, cause: cause(error) },
        _ => Input::Lost { conn },
    }
}

fn look(conn: ConnId, conns: &Conns, doors: &mut Doors) -> Progress {
    // One that is gone was told of as lost, or was given up by the gateway itself.
    let Some(Stream::Tcp(stream)) = conns.stream(conn) else { return Progress::Failed };
    if stream.take_error().ok().flatten().is_some() {
        return Progress::Failed;
    }
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return Progress::Waiting };
    // A port that connects to itself is nobody's.
    if peer == local {
        return Progress::Failed;
    }
    doors.owner_of(peer, local).map_or(Progress::Waiting, Progress::Accepted)
}

const FAMILIES: &str = "RestrictAddressFamilies= of this service lacks AF_INET";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_told_from_what_is_away() {
        let conn = ConnId { slot: 3, generation: 1 };
        let barred = |errno: Errno| match failure(conn, &io::Error::from_raw_os_error(errno as i32)) {
            Input::Barred { conn: which, cause } => (which == conn).then_some(cause),
            _ => None,
        };
        assert!(barred(Errno::EAFNOSUPPORT).unwrap().contains("RestrictAddressFamilies="));
        assert!(barred(Errno::EPERM).is_some() && barred(Errno::EACCES).is_some());
        // Nobody listens, or there is no port or file left: that passes.
        for errno in [Errno::ECONNREFUSED, Errno::EADDRNOTAVAIL, Errno::EMFILE, Errno::EINPROGRESS] {
            assert_eq!(barred(errno), None);
        }
    }
}
