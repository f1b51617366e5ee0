//! A connected socket of either family.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;

/// A connected socket of either family.
#[derive(Debug)]
pub(super) enum Stream {
    /// From a loopback TCP listener.
    Tcp(TcpStream),
    /// From the owner's listener.
    Unix(UnixStream),
}

impl Stream {
    /// What epoll registers.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl TryFrom<OwnedFd> for Stream {
    type Error = io::Error;

    /// A socket that another process has accepted; it is non-blocking still.
    fn try_from(socket: OwnedFd) -> io::Result<Self> {
        match socket_domain(&socket)? {
            AddressFamily::UNIX => {
                Ok(Self::Unix(mio::net::UnixStream::from_std(std::os::unix::net::UnixStream::from(socket))))
            }
            _ => Ok(Self::Tcp(mio::net::TcpStream::from_std(std::net::TcpStream::from(socket)))),
        }
    }
}
