//! A stand-in for the service manager's fd store: what a daemon without a booted machine is restarted with.
//!
//! It does what systemd 254 and later do (sd_notify(3), sd_pid_notify_with_fds(3)): keeps what comes with `FDSTORE=1`
//! under its `FDNAME=`, the newest first; keeps nothing twice; forgets what `FDSTOREREMOVE=1` names and, unless
//! `FDPOLL=0` was said, what hangs up; closes what is over its bound without a word.
//!
//! ```text
//! let keeper = Keeper::new(&home);              // NOTIFY_SOCKET is keeper.path()
//! keeper.waits_for("READY=1");                  // a word of the process that runs now
//! keeper.stored() / keeper.names()              // copies of what is kept, in the order in which it is handed over
//! keeper.doctor(|store| store.swap(0, 1));      // what the next process finds
//! ```
//!
//! [`Book`] is a memory file as a test sees it: read, copied, shortened, changed.

use std::fs::{File, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fcntl_add_seals, fcntl_get_seals, memfd_create, seek};
use rustix::net::RecvFlags;

use crate::live::PATIENCE;
use crate::rig::{Home, Manager, Stored, receive, within};

/// The manager that keeps file descriptors. It listens in a thread until it is dropped.
pub struct Keeper {
    memory: Arc<Mutex<Memory>>,
    path: String,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A memory file, its holes left out: where each piece of it begins, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    pub length: u64,
    pub pieces: Vec<(u64, Vec<u8>)>,
    pub seals: SealFlags,
}

#[derive(Default)]
struct Memory {
    store: Vec<Entry>,
    /// What the present process said.
    heard: Vec<String>,
}

struct Entry {
    stored: Stored,
    /// Leaves by itself when it hangs up.
    watched: bool,
}

impl Keeper {
    /// Listens at `notify` in this home.
    pub fn new(home: &Home) -> Self {
        let manager = Manager::new(home);
        let path = manager.path();
        let memory = Arc::new(Mutex::new(Memory::default()));
        let over = Arc::new(AtomicBool::new(false));
        let (theirs, end) = (Arc::clone(&memory), Arc::clone(&over));
        let listen = move || {
            while !end.load(Ordering::Relaxed) {
                if let Some((words, fds)) = manager.receives(Duration::from_millis(50)) {
                    theirs.lock().expect("the memory").takes(words, fds);
                }
            }
        };
        Self { memory, path, over, thread: Some(std::thread::spawn(listen)) }
    }

    /// `NOTIFY_SOCKET`.
    pub fn path(&self) -> String {
        self.path.clone()
    }

    /// What a process that is started now finds behind its listeners.
    pub fn stored(&self) -> Vec<Stored> {
        let mut memory = self.memory();
        memory.store.retain(|entry| !(entry.watched && hung_up(&entry.stored.fd)));
        memory.store.iter().map(|entry| entry.stored.clone()).collect()
    }

    /// The names of what is kept.
    pub fn names(&self) -> Vec<String> {
        self.stored().into_iter().map(|stored| stored.name).collect()
    }

    /// The only one that is kept under this name.
    pub fn one(&self, name: &str) -> OwnedFd {
        let mut found: Vec<_> = self.stored().into_iter().filter(|stored| stored.name == name).collect();
        assert_eq!(found.len(), 1, "{name} among {:?}", self.names());
        found.remove(0).fd
    }

    /// Changes what is kept. Meant for the time between two processes.
    pub fn doctor(&self, change: impl FnOnce(&mut Vec<Stored>)) {
        let mut store = self.stored();
        change(&mut store);
        self.memory().store = store.into_iter().map(|stored| Entry { stored, watched: true }).collect();
    }

    /// Puts another file descriptor in the place of the only one of this name.
    pub fn replace(&self, name: &str, fd: impl Into<OwnedFd>) {
        self.one(name);
        self.doctor(|store| {
            let place = store.iter_mut().find(|stored| stored.name == name).expect("it is there");
            *place = Stored::new(name, fd);
        });
    }

    /// How many file descriptors lie in messages that wait in the sockets of this name. Takes them out: nothing of them
    /// is left for a next process.
    pub fn drain(&self, name: &str) -> usize {
        let sockets = self.stored().into_iter().filter(|stored| stored.name == name);
        let waiting = |stored: Stored| {
            std::iter::from_fn(move || receive(&stored.fd, RecvFlags::DONTWAIT))
                .map(|(_, fds)| fds.len())
                .sum::<usize>()
        };
        sockets.map(waiting).sum()
    }

    /// The words of the process that was started last, a datagram each.
    pub fn heard(&self) -> Vec<String> {
        self.memory().heard.clone()
    }

    /// Waits until the process that was started last has said something that begins so, and gives it.
    pub fn waits_for(&self, start: &str) -> String {
        let found = || self.heard().into_iter().find(|word| word.lines().any(|line| line.starts_with(start)));
        within(PATIENCE, found).unwrap_or_else(|| panic!("no {start} among {:?}", self.heard()))
    }

    /// Waits until the process that was started last has said all these lines in one datagram.
    pub fn waits_for_words(&self, lines: &[&str]) {
        let said = |word: &String| lines.iter().all(|line| word.lines().any(|other| other == *line));
        let heard = within(PATIENCE, || self.heard().iter().any(said).then_some(()));
        assert!(heard.is_some(), "no {lines:?} among {:?}", self.heard());
    }

    /// A new process is started: what the old one said does not count any more.
    pub fn forget_words(&self) {
        self.memory().heard.clear();
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().expect("the memory")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}

impl Memory {
    /// One datagram.
    fn takes(&mut self, words: String, fds: Vec<OwnedFd>) {
        let value = |key: &str| words.lines().filter_map(|line| line.strip_prefix(key)).next_back();
        let name = value("FDNAME=").unwrap_or("stored").to_owned();
        if value("FDSTOREREMOVE=") == Some("1") {
            self.store.retain(|entry| entry.stored.name != name);
        } else if value("FDSTORE=") == Some("1") {
            let watched = value("FDPOLL=") != Some("0");
            for fd in fds {
                self.keeps(Stored::new(&name, fd), watched);
            }
        }
        self.heard.push(words);
    }

    fn keeps(&mut self, stored: Stored, watched: bool) {
        let known = self.store.iter().any(|entry| identity(&entry.stored.fd) == identity(&stored.fd));
        if !known && self.store.len() < STORE_MAX {
            self.store.insert(0, Entry { stored, watched });
        }
    }
}

impl Book {
    /// Everything that is in a memory file.
    pub fn read(fd: impl AsFd) -> Self {
        let file = File::from(fd.as_fd().try_clone_to_owned().expect("a file descriptor"));
        let length = file.metadata().expect("a size").len();
        let seals = fcntl_get_seals(&file).expect("a memory file");
        let before = seek(&file, SeekFrom::Current(0)).expect("a place");
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
            at = seek(&file, SeekFrom::Hole(start)).expect("an end");
            let mut bytes = vec![0; usize::try_from(at - start).expect("it fits into memory")];
            file.read_exact_at(&mut bytes, start).expect("bytes");
            pieces.push((start, bytes));
        }
        // The place is one with that of everybody who has this file open.
        seek(&file, SeekFrom::Start(before)).expect("the place");
        Self { length, pieces, seals }
    }

    /// Another memory file with the same in it, and with the same seals.
    pub fn copy(&self) -> OwnedFd {
        let fd =
            memfd_create("copy", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memory file");
        let file = File::from(fd);
        // The kernel seals an executable file against writing, too.
        file.set_permissions(Permissions::from_mode(0o600)).expect("a mode");
        file.set_len(self.length).expect("room");
        for (start, bytes) in &self.pieces {
            file.write_all_at(bytes, *start).expect("room");
        }
        fcntl_add_seals(&file, self.seals).expect("seals");
        file.into()
    }

    /// The same, ending here.
    pub fn shortened(&self, length: u64) -> Self {
        let mut short = Self { length, ..self.clone() };
        for (start, bytes) in &mut short.pieces {
            bytes.truncate(usize::try_from(length.saturating_sub(*start)).expect("a length"));
        }
        short
    }

    /// Bytes in memory.
    pub fn weight(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Some bytes that are not in a hole.
    pub fn at(&mut self, place: u64, length: usize) -> &mut [u8] {
        let (start, bytes) = self.pieces.iter_mut().rfind(|(start, _)| *start <= place).expect("a piece");
        let from = usize::try_from(place - *start).expect("it fits into memory");
        &mut bytes[from..from + length]
    }

    /// Where bytes are that are not zero.
    pub fn written(&self) -> Vec<u64> {
        let places = |(start, bytes): &(u64, Vec<u8>)| {
            let start = *start;
            let places = (start..).zip(bytes.clone()).filter(|(_, byte)| *byte != 0);
            places.map(|(place, _)| place).collect::<Vec<_>>()
        };
        self.pieces.iter().flat_map(places).collect()
    }

    /// Whether these bytes are anywhere in it.
    pub fn contains(&self, needle: &[u8]) -> bool {
        self.pieces.iter().any(|(_, bytes)| bytes.windows(needle.len()).any(|window| window == needle))
    }
}

/// Which file or socket it is, whoever has it open.
fn identity(fd: &OwnedFd) -> (u64, u64) {
    let stat = rustix::fs::fstat(fd).expect("a file descriptor");
    (stat.st_dev, stat.st_ino)
}

fn hung_up(fd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO).expect("an answer");
    let seen = polled[0].revents().expect("known flags");
    seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
}

/// The memory file of the hand-over.
pub const BOOK: &str = "loopgate-state";
/// The sockets in which connections are parked.
pub const LOT: &str = "loopgate-lot";
/// `FileDescriptorStoreMax=` of the units.
pub const STORE_MAX: usize = 16;
