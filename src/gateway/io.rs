//! What crosses the border between the gateway and the shell that runs it: values only.
//!
//! Rule: the gateway never calls out, the shell never reaches in. A test is a list of [`Input`]s and the [`Output`]s
//! they must give.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::journal::Entry;

use super::job::Job;

/// A connection: a slot and the slot's generation, so that something late can never reach a new tenant of the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Index of the slot; the shell uses it as its poll token.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

/// The listener through which a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// Loopback TCP: everybody on the machine can knock.
    Tcp,
    /// The owner's UNIX socket.
    Owner,
}

/// What the kernel knows of the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where it came in.
    pub door: Door,
    /// Its address; none at the owner socket.
    pub address: Option<SocketAddr>,
    /// The user whose process made the socket; none if the kernel did not tell.
    pub uid: Option<u32>,
    /// The process; known at the owner socket only.
    pub pid: Option<u32>,
}

/// What happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came.
    Bytes {
        /// From whom.
        conn: ConnId,
        /// At least one.
        bytes: &'a [u8],
    },
    /// The peer will send no more; it may still read.
    Eof {
        /// Whose end came.
        conn: ConnId,
    },
    /// The connection is broken in both directions.
    Lost {
        /// Which one.
        conn: ConnId,
    },
    /// The first `bytes` of [`super::Gateway::outgoing`] were written to the socket.
    Sent {
        /// To whom.
        conn: ConnId,
        /// How many.
        bytes: usize,
    },
    /// A leg that [`Output::Dial`] asked for is connected, and the program at its other end has accepted it.
    Dialled {
        /// Which leg.
        conn: ConnId,
        /// The user whose process has the other end of this very connection, as the kernel tells it.
        owner: u32,
    },
    /// A leg that [`Output::Dial`] asked for cannot be tried: this process is not allowed to connect. Until somebody changes
    /// that, no other will do better.
    Barred {
        /// Which leg.
        conn: ConnId,
        /// What forbids it, in words.
        cause: String,
    },
    /// A job that [`Output::Run`] asked for is done.
    Done {
        /// The ticket of the job.
        ticket: Ticket,
        /// What it made.
        outcome: super::job::Outcome,
    },
    /// The bytes that [`Output::Save`] asked for are safely on disk, or not.
    Saved {
        /// The revision that was to be saved.
        revision: u64,
        /// The cause of a failure, in words.
        result: Result<(), String>,
    },
    /// SIGHUP: a new configuration, already parsed.
    Reload(Box<super::Setup>),
    /// Another process goes on from here: see [`super::handover`].
    HandOver,
    /// A stop for good: tell everybody and end.
    Stop,
}

/// What the shell has to do, in order.
#[derive(Debug)]
pub enum Output {
    /// There may be something in [`super::Gateway::outgoing`]; write it, then say [`Input::Sent`]. What has to be known of
    /// the connection may have changed even if there is nothing: [`super::Gateway::keep`] tells when the turn ends.
    Flush(ConnId),
    /// Everything is written: end our direction, keep reading (and throwing away) until the peer ends its own.
    HalfClose(ConnId),
    /// Shut the socket down in both directions and forget it. The id is dead.
    Close(ConnId),
    /// Connect to this port of 127.0.0.1; comes back as [`Input::Dialled`], as [`Input::Lost`] if nobody listens there or the
    /// kernel does not tell whose process has accepted, or as [`Input::Barred`].
    Dial {
        /// The leg's id from here on.
        conn: ConnId,
        /// The runtime's port.
        port: u16,
    },
    /// Write an entry to the journal.
    Journal(Entry),
    /// Run a job off the loop; its outcome comes back as [`Input::Done`]. The number waiting is bounded by
    /// [`crate::limits::JOBS_PENDING_MAX`].
    Run {
        /// Comes back with the outcome.
        ticket: Ticket,
        /// What to do.
        job: Box<Job>,
    },
    /// Replace the pairing store's file, durably; comes back as [`Input::Saved`]. One at a time.
    Save {
        /// Comes back with the result.
        revision: u64,
        /// The whole content of the file.
        bytes: Vec<u8>,
    },
    /// Every connection is gone after [`Input::Stop`]: the loop may end.
    Finished,
}

/// Ties a job's outcome to whoever waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Random bytes, as an argument: the daemon takes them from the kernel, tests from a seed.
pub trait Entropy {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// Files, as an argument of jobs: the daemon reads the disk, tests a map.
pub trait Files {
    /// The whole file, if it has at most `max` bytes.
    fn read(&self, path: &Path, max: u64) -> Result<Vec<u8>, FileError>;
    /// `len` bytes from `offset` on (fewer at the end), and the file's size.
    fn read_range(&self, path: &Path, offset: u64, len: u64) -> Result<(Vec<u8>, u64), FileError>;
    /// The last `len` bytes (fewer if there are fewer), and the file's size.
    fn read_tail(&self, path: &Path, len: u64) -> Result<(Vec<u8>, u64), FileError> {
        let (_, size) = self.read_range(path, 0, 0)?;
        self.read_range(path, size.saturating_sub(len), len)
    }
    /// The entries of a folder, in no order.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, FileError>;
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// There is none.
    Missing,
    /// It has more bytes than the caller takes.
    TooLarge(u64),
    /// Anything else, in words.
    Failed(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file"),
            Self::TooLarge(max) => write!(f, "larger than {max} bytes"),
            Self::Failed(cause) => f.write_str(cause),
        }
    }
}

/// A random UUID (version 4), as OpenClaw uses them for nonces and ids: 122 random bits.
pub fn uuid(entropy: &mut dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

impl Door {
    /// The value of `DOOR` in the journal, and the listener's name in `LISTEN_FDNAMES`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Owner => "owner",
        }
    }
}
