//! A blocking stream with a deadline. Rule: nothing here can wait longer than the caller said.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::target::Address;

/// A connection to the gateway. Reads and writes fail with [`io::ErrorKind::TimedOut`] once the deadline is past,
/// however slowly bytes trickle in.
#[derive(Debug)]
pub(crate) struct Stream {
    inner: Inner,
    deadline: Instant,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects before `deadline`, which holds for reads and writes as well until it is set anew.
    pub(crate) fn connect(address: &Address, deadline: Instant) -> io::Result<Self> {
        let wait = left(deadline)?;
        let inner = match address {
            Address::Unix(path) => Inner::Unix(connect_unix(path, wait)?),
            Address::Tcp { addr, .. } => {
                let stream = TcpStream::connect_timeout(addr, wait)?;
                stream.set_nodelay(true)?;
                Inner::Tcp(stream)
            }
        };
        Ok(Self { inner, deadline })
    }

    /// From now on this is the deadline.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = Some(left(self.deadline)?);
        let result = match &mut self.inner {
            Inner::Tcp(stream) => stream.set_read_timeout(wait).and_then(|()| stream.read(buffer)),
            Inner::Unix(stream) => stream.set_read_timeout(wait).and_then(|()| stream.read(buffer)),
        };
        result.map_err(timed_out)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wait = Some(left(self.deadline)?);
        let result = match &mut self.inner {
            Inner::Tcp(stream) => stream.set_write_timeout(wait).and_then(|()| stream.write(bytes)),
            Inner::Unix(stream) => stream.set_write_timeout(wait).and_then(|()| stream.write(bytes)),
        };
        result.map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time to `deadline`; an error if it is past.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The kernel calls a timeout of a blocking socket "would block"; tungstenite would take that for a reason to go on.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// Connecting to a UNIX socket blocks while the listener's backlog is full, and std has no timeout for it. A thread
/// has: if it comes too late it ends with the process.
fn connect_unix(path: &Path, wait: Duration) -> io::Result<UnixStream> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let path = path.to_path_buf();
    thread::Builder::new().name("connect".to_owned()).spawn(move || {
        sender.send(UnixStream::connect(path)).ok();
    })?;
    receiver.recv_timeout(wait).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_silent_peer_does_not_hold_anybody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp { addr: listener.local_addr().unwrap(), path: "/".into() };
        let start = Instant::now();
        let mut stream = Stream::connect(&address, start + Duration::from_millis(100)).unwrap();
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(5), "{took:?}");
    }
}
