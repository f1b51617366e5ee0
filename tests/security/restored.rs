//! Connections that a former process has left: whatever the store and the files say, nobody gains by a restart.

use std::fs;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use rustix::fs::{MemfdFlags, SealFlags, memfd_create};
use serde_json::json;

use crate::common::Seed;
use crate::common::client::cli;
use crate::live::keeper::{BOOK, Book, LOT};
use crate::live::{Answer, Gate, Peer, dial, head, unix_ms, with_auth};
use crate::rig::Stored;

pub(crate) const ADMIN: &[&str] = &["operator.admin"];
pub(crate) const READ: &[&str] = &["operator.read"];
pub(crate) const PATIENT: &str =
    "{handshake: {timeoutMs: 120000, headTimeoutMs: 60000, closingTimeoutMs: 30000}}";
pub(crate) const BOTH: [Signal; 2] = [Signal::SIGTERM, Signal::SIGKILL];

/// One of each whose rights could change: three sessions, and one that says nothing.
struct Crowd {
    admin: Peer,
    reader: Peer,
    challenged: Peer,
    silent: TcpStream,
}

/// What became of an admin, a reader, and somebody who was challenged only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Itself,
    /// Closed with 1012 and a reason.
    Told,
    /// Closed without a word.
    Lost,
}

/// What may be done to the store between two processes.
type Harm<'a> = (&'static str, Box<dyn Fn(&Gate) + 'a>);

impl Crowd {
    fn come(gate: &Gate) -> Self {
        let crowd = Self {
            admin: gate.operator(ADMIN),
            reader: gate.operator(READ),
            challenged: gate.open(),
            silent: dial(gate.port),
        };
        gate.settle();
        crowd
    }

    /// Looks at everybody. That somebody has more than before is a failure whatever else happened.
    fn fates(mut self, gate: &Gate, what: &str) -> [Fate; 3] {
        let switch = json!({"enabled": true});
        let [admin, reader, challenged] = [&mut self.admin, &mut self.reader, &mut self.challenged]
            .map(|peer| peer.call("set-heartbeats", &switch));
        if let Ok(answer) = &reader {
            assert_eq!(answer["error"]["message"], "missing scope: operator.admin", "{what}: {answer}");
        }
        if let Ok(answer) = &challenged {
            let message = "invalid handshake: first request must be connect";
            assert_eq!(answer["error"]["message"], message, "{what}: {answer}");
        }
        if let Ok(answer) = &admin {
            assert_eq!(answer["ok"], true, "{what}: {answer}");
        }
        // Whoever has said nothing begins a handshake, or is not there any more.
        match Peer::upgrade(self.silent, &head(gate.port, "/", "")) {
            Ok(peer) => {
                let nothing = with_auth(cli(4, READ), json!({}));
                assert_eq!(peer.refusal(&nothing), "DEVICE_IDENTITY_REQUIRED", "{what}");
            }
            Err(Answer(text)) => assert!(!text.starts_with("HTTP/1.1 101"), "{what}: {text:?}"),
        }
        [admin, reader, challenged].map(|end| match end {
            Ok(_) => Fate::Itself,
            Err((1012, reason)) => {
                assert!(!reason.is_empty(), "{what}: a close without a reason");
                Fate::Told
            }
            Err((1006, _)) => Fate::Lost,
            Err(end) => panic!("{what}: {end:?}"),
        })
    }
}

#[test]
fn s37_a_connection_without_its_state_is_closed_and_told() {
    let mut gate = Gate::kept_token(PATIENT);
    let other = Gate::kept_token(PATIENT);
    other.operator(ADMIN).ok("health", &json!({}));
    other.come_to_rest();
    let mut harms = harms_to_the_book(&other);
    harms.extend(harms_to_the_key());
    for (what, harm) in harms {
        for signal in BOTH {
            let crowd = Crowd::come(&gate);
            gate.stop(signal);
            harm(&gate);
            gate.go(|plan| plan);
            assert_eq!(crowd.fates(&gate, what), [Fate::Told; 3], "{what}, {signal}");
            // From here on everything is kept again, and nothing of what was harmed is.
            let crowd = Crowd::come(&gate);
            assert_eq!(sorted_names(&gate), [LOT, LOT, LOT, LOT, BOOK], "{what}");
            gate.renew(signal);
            assert_eq!(crowd.fates(&gate, what), [Fate::Itself; 3], "after {what}, {signal}");
        }
    }
}

#[test]
fn s37_the_reason_is_in_the_journal() {
    let mut gate = Gate::kept_token(PATIENT);
    for (harm, words) in [
        (&|gate: &Gate| newer(gate) as _, "this version knows"),
        (&|gate: &Gate| gate.keeper().replace(BOOK, empty()) as _, "memory file"),
        (&|gate: &Gate| rewrite_key(gate, 32), "what all connections share cannot be understood"),
    ] as [(&dyn Fn(&Gate), &str); 3]
    {
        let crowd = Crowd::come(&gate);
        gate.stop(Signal::SIGKILL);
        harm(&gate);
        gate.go(|plan| plan);
        gate.daemon.says(&[words, "REMEDY="]);
        assert_eq!(crowd.fates(&gate, words), [Fate::Told; 3]);
    }
}

/// The records of two connections change places: each is good, and neither belongs to the socket beside it.
#[test]
fn s37_a_state_that_belongs_to_another_socket_is_not_believed() {
    let mut gate = Gate::kept_token(PATIENT);
    for words in [RECORD..RECORD + 8, 0..RECORD, 0..RECORD + 8] {
        let crowd = Crowd::come(&gate);
        gate.stop(Signal::SIGKILL);
        let mut book = Book::read(gate.keeper().one(BOOK));
        let mut lines: Vec<u64> = lines(&mut book);
        // The first three of them are the sessions.
        lines.truncate(3);
        let old: Vec<Vec<u8>> =
            lines.iter().map(|line| book.at(*line, LINE)[words.clone()].to_vec()).collect();
        for (number, line) in lines.iter().enumerate() {
            book.at(*line, LINE)[words.clone()].copy_from_slice(&old[(number + 1) % 3]);
        }
        gate.keeper().replace(BOOK, book.copy());
        gate.go(|plan| plan);
        assert_eq!(crowd.fates(&gate, "exchanged"), [Fate::Told; 3], "{words:?}");
    }
}

/// What stood in the book a while ago was true of a socket that is gone.
#[test]
fn s37_an_older_state_says_nothing_of_who_came_since() {
    let mut gate = Gate::kept_token(PATIENT);
    let admins: Vec<Peer> = (0..3).map(|_| gate.operator(ADMIN)).collect();
    gate.settle();
    let then = Book::read(gate.keeper().one(BOOK));
    for admin in admins {
        admin.leave();
    }
    gate.settle();
    // They come into the same slots.
    let crowd = Crowd::come(&gate);
    gate.stop(Signal::SIGKILL);
    gate.keeper().replace(BOOK, then.copy());
    gate.go(|plan| plan);
    assert_eq!(crowd.fates(&gate, "an older book"), [Fate::Told; 3]);
}

#[test]
fn s37_no_changed_bit_lets_anybody_in() {
    let number =
        std::env::var("LOOPGATE_SEED").map_or_else(|_| unix_ms(), |text| text.parse().expect("a number"));
    println!("LOOPGATE_SEED={number}");
    let mut seed = Seed(number);
    let mut gate = Gate::kept_token(PATIENT);
    let mut fates = Vec::new();
    for round in 0..FLIPS {
        let signal = BOTH[round % 2];
        let crowd = Crowd::come(&gate);
        gate.stop(signal);
        let mut book = Book::read(gate.keeper().one(BOOK));
        let written = book.written();
        let place = written[seed.below(written.len())];
        book.at(place, 1)[0] ^= 1 << seed.below(8);
        gate.keeper().replace(BOOK, book.copy());
        gate.go(|plan| plan);
        fates.extend(crowd.fates(&gate, &format!("a bit at {place}")));
    }
    let count = |fate| fates.iter().filter(|other| **other == fate).count();
    println!("{} went on, {} were told", count(Fate::Itself), count(Fate::Told));
    assert!(count(Fate::Itself) > 0 && count(Fate::Told) > 0, "{fates:?}");
}

/// Without a lot its connections are gone: the kernel ends them with it. Nobody else is harmed, and the next start works.
#[test]
fn s37_a_store_that_lost_a_lot_is_made_anew() {
    let mut gate = Gate::kept_token(PATIENT);
    for (number, signal) in (0..5).zip(BOTH.into_iter().cycle()) {
        let crowd = Crowd::come(&gate);
        gate.stop(signal);
        gate.keeper().doctor(|store| {
            let mut lots = 0..;
            // The last time all of them are gone.
            store.retain(|stored| stored.name != LOT || (number < 4 && lots.next() != Some(number)));
        });
        gate.go(|plan| plan);
        let fates = crowd.fates(&gate, "a lot is lost");
        assert!(!fates.contains(&Fate::Itself), "{number}: {fates:?}");
        let crowd = Crowd::come(&gate);
        assert_eq!(sorted_names(&gate), [LOT, LOT, LOT, LOT, BOOK]);
        gate.renew(signal);
        assert_eq!(crowd.fates(&gate, "after a lot was lost"), [Fate::Itself; 3]);
    }
}

#[test]
fn s37_what_else_is_in_the_store_is_taken_out_and_harms_nobody() {
    let mut gate = Gate::kept_token(PATIENT);
    let (socket, _other_end) = UnixStream::pair().expect("sockets");
    for signal in BOTH {
        let crowd = Crowd::come(&gate);
        gate.stop(signal);
        gate.keeper().doctor(|store| {
            store.insert(0, Stored::new("loopgate-of-tomorrow", empty()));
            store.push(Stored::new("loopgate-", fs::File::open("/dev/null").expect("a file")));
            store.push(Stored::new("loopgate-of-yesterday", socket.try_clone().expect("a copy")));
            // systemd says nothing of the order.
            store.reverse();
            store.rotate_left(2);
        });
        gate.go(|plan| plan);
        for name in ["loopgate-of-tomorrow", "loopgate-", "loopgate-of-yesterday"] {
            gate.keeper().waits_for_words(&["FDSTOREREMOVE=1", &format!("FDNAME={name}")]);
        }
        assert_eq!(crowd.fates(&gate, "strangers"), [Fate::Itself; 3], "{signal}");
        assert_eq!(sorted_names(&gate), [LOT, LOT, LOT, LOT, BOOK], "{signal}");
    }
}

/// What makes the book useless.
fn harms_to_the_book(other: &Gate) -> Vec<Harm<'_>> {
    let cut = |length| {
        move |gate: &Gate| {
            let book = Book::read(gate.keeper().one(BOOK)).shortened(length);
            gate.keeper().replace(BOOK, book.copy());
        }
    };
    let replaced = |file: fn() -> OwnedFd| move |gate: &Gate| gate.keeper().replace(BOOK, file());
    let swapped = || Book::read(other.keeper().one(BOOK)).copy();
    vec![
        ("missing", Box::new(|gate| gate.keeper().doctor(|store| store.retain(|one| one.name != BOOK)))),
        ("empty", Box::new(replaced(empty))),
        ("no file", Box::new(replaced(|| fs::File::open("/dev/null").expect("a file").into()))),
        ("somebody else's", Box::new(move |gate| gate.keeper().replace(BOOK, swapped()))),
        ("cut in the header", Box::new(cut(40))),
        ("cut in the table", Box::new(cut(TABLE + 40))),
        ("cut behind the table", Box::new(cut(16 << 20))),
        ("of a newer kind", Box::new(newer)),
        ("of no kind", Box::new(|gate| change(gate, |book| book.at(0, 1)[0] ^= 1))),
        ("not sealed", Box::new(|gate| change(gate, |book| book.seals = SealFlags::empty()))),
        ("twice there", Box::new(double)),
        ("forged", Box::new(|gate| change(gate, forge))),
    ]
}

/// What makes the records unreadable.
fn harms_to_the_key() -> Vec<Harm<'static>> {
    vec![
        ("the key is gone", Box::new(|gate| fs::remove_file(key_file(gate)).expect("a key"))),
        ("another key", Box::new(|gate| rewrite_key(gate, 32))),
        ("half a key", Box::new(|gate| rewrite_key(gate, 16))),
    ]
}

/// Two books, each of which could be the right one.
fn double(gate: &Gate) {
    let copy = Book::read(gate.keeper().one(BOOK)).copy();
    gate.keeper().doctor(|store| store.push(Stored::new(BOOK, copy)));
}

/// Writes other records over those that the table points to.
fn forge(book: &mut Book) {
    for line in lines(book) {
        let place = book.at(line, LINE)[RECORD..RECORD + 8].try_into().expect("8 bytes");
        book.at(u64::from_le_bytes(place), 48).fill(b'x');
    }
}

/// Another key in the place of the one that is there, and of this length.
fn rewrite_key(gate: &Gate, length: usize) {
    let key = fs::read(key_file(gate)).expect("a key");
    let other: Vec<u8> = key.iter().take(length).map(|byte| !byte).collect();
    fs::write(key_file(gate), other).expect("a key");
}

fn newer(gate: &Gate) {
    change(gate, |book| book.at(8, 1)[0] += 1);
}

/// Puts a changed copy in the place of the book.
fn change(gate: &Gate, change: impl FnOnce(&mut Book)) {
    let mut book = Book::read(gate.keeper().one(BOOK));
    change(&mut book);
    gate.keeper().replace(BOOK, book.copy());
}

/// The lines of the table that have a record.
fn lines(book: &mut Book) -> Vec<u64> {
    let all = (0..64).map(|slot| TABLE + slot * LINE as u64);
    all.filter(|line| book.at(*line, LINE)[RECORD..RECORD + 8] != [0; 8]).collect()
}

fn empty() -> OwnedFd {
    memfd_create("empty", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memory file")
}

fn sorted_names(gate: &Gate) -> Vec<String> {
    let mut names = gate.keeper().names();
    names.sort_unstable();
    names
}

pub(crate) fn key_file(gate: &Gate) -> PathBuf {
    gate.home.path.join(".local/state/loopgate/handover.key")
}

/// Changed bits.
const FLIPS: usize = 40;
/// The format of the memory file: where the table begins, what a line of it takes, and where in it the record's place is.
const TABLE: u64 = 4096;
const LINE: usize = 32;
const RECORD: usize = 8;
