//! The stand-in for the service manager keeps its word: what these tests rely on is tested first.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::live::keeper::{Book, Keeper, STORE_MAX};
use crate::live::{Gate, until};
use crate::rig::{Home, Plan, Stored};

#[test]
fn what_is_stored_is_kept_by_name_once_newest_first() {
    let home = Home::new();
    let keeper = Keeper::new(&home);
    let (one, two) = UnixDatagram::pair().unwrap();
    say(&keeper, "FDSTORE=1\nFDNAME=lot", &[&one, &two]);
    say(&keeper, "FDSTORE=1\nFDNAME=lot", &[&one]);
    say(&keeper, "FDSTORE=1", &[&File::open("/dev/null").unwrap()]);
    say(&keeper, "FDSTORE=1\nFDNAME=empty", &[]);
    say(&keeper, "READY=1\nSTATUS=all said", &[]);
    assert_eq!(keeper.waits_for("STATUS="), "READY=1\nSTATUS=all said");
    assert_eq!(keeper.names(), ["stored", "lot", "lot"]);
    say(&keeper, "FDSTOREREMOVE=1\nFDNAME=lot", &[]);
    until("it is removed", || keeper.names() == ["stored"]);
    let many: Vec<File> = (0..2 * STORE_MAX).map(|_| tempfile()).collect();
    let many: Vec<&dyn AsFd> = many.iter().map(|file| file as &dyn AsFd).collect();
    say(&keeper, "FDSTORE=1\nFDNAME=many", &many);
    until("it is full", || keeper.names().len() == STORE_MAX);
}

#[test]
fn what_hangs_up_leaves_by_itself_unless_it_may_stay() {
    let home = Home::new();
    let keeper = Keeper::new(&home);
    let (watched, writer) = UnixStream::pair().unwrap();
    let (unwatched, other_writer) = UnixStream::pair().unwrap();
    say(&keeper, "FDSTORE=1\nFDNAME=watched", &[&watched]);
    say(&keeper, "FDSTORE=1\nFDPOLL=0\nFDNAME=unwatched", &[&unwatched]);
    until("both are kept", || keeper.names().len() == 2);
    drop((writer, other_writer));
    assert_eq!(keeper.names(), ["unwatched"]);
}

#[test]
fn a_process_finds_its_listeners_and_then_what_is_kept() {
    let home = Home::new();
    let (one, two) = UnixDatagram::pair().unwrap();
    let stored = (0..9).map(|_| Stored::new("lot", one.try_clone().unwrap())).collect();
    let before = "ls -l /proc/$$/fd >&2; echo pid=$$ >&2; set -x;";
    let plan = Plan { stored, before, ..Plan::new(&home, vec![two.into()]) };
    let (_, log) = plan.refused();
    for number in 3..13 {
        assert!(log.contains(&format!(" {number} -> socket:[")), "{number}: {log}");
    }
    assert!(!log.contains(" 13 -> socket"), "{log}");
    let pid = log.lines().find_map(|line| line.strip_prefix("pid=")).expect("a pid");
    assert!(log.contains(&format!("LISTEN_PID={pid} LISTEN_FDS=10 ")), "{log}");
    assert!(log.contains(&format!("LISTEN_FDNAMES=gateway{}", ":lot".repeat(9))), "{log}");
}

#[test]
fn a_memory_file_is_read_copied_and_changed() {
    let fd = memfd_create("book", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let file = File::from(fd);
    file.set_len(1 << 40).unwrap();
    let write = |bytes: &[u8], at| std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
    write(b"head", 0);
    write(b"tape", 1 << 30);
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    let mut book = Book::read(&file);
    assert_eq!((book.length, book.pieces.len()), (1 << 40, 2));
    assert!(book.contains(b"tape") && book.weight() <= 4 << 12);
    assert_eq!(Book::read(book.copy()), book);
    assert_eq!(book.written().len(), 8);
    book.at(1, 1)[0] ^= 0xff;
    assert!(!Book::read(book.copy()).contains(b"head"));
    let short = Book::read(book.shortened(100).copy());
    assert_eq!((short.length, short.weight()), (100, 100));
}

#[test]
fn a_kept_gate_is_there_again_on_the_same_port() {
    let mut gate = Gate::kept(Home::new());
    let first = gate.daemon.pid();
    gate.settle();
    gate.stop(nix::sys::signal::Signal::SIGKILL);
    gate.go(|plan| plan);
    gate.settle();
    assert_ne!(gate.daemon.pid(), first);
}

/// What a service sends to `NOTIFY_SOCKET`.
fn say(keeper: &Keeper, words: &str, fds: &[&dyn AsFd]) {
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(keeper.path()).unwrap();
    let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2 * STORE_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(&socket, &[IoSlice::new(words.as_bytes())], &mut control, SendFlags::empty()).unwrap();
}

/// A file like no other.
fn tempfile() -> File {
    let fd: OwnedFd = memfd_create("one of many", MemfdFlags::CLOEXEC).unwrap();
    fd.into()
}
