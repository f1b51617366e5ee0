//! Restarts and crashes at random instants, while clients connect, call, wait and leave.
//!
//! Every client keeps account of what it asked and what it was told: each request is answered once and rightly, or the
//! session ends with 1012 and a reason before the answer. The seed is printed; `LOOPGATE_SEED=n` repeats a run as far as
//! a machine can, `LOOPGATE_KILLS=n` makes it longer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::Seed;
use crate::kit::{PATIENT, READ, cut_off, numbers, without_a_gap};
use crate::live::keeper::{BOOK, LOT};
use crate::live::raw::write_large_log;
use crate::live::{Answer, End, Gate, Peer, dial, head, operator, unix_ms};
use crate::rig::Home;

/// Clients that are busy at once, and sessions that are at rest meanwhile.
const BUSY: u64 = 16;
const IDLE: usize = 8;

/// What became of the sessions of all clients.
#[derive(Debug, Default)]
struct Fates {
    answers: AtomicU32,
    handshakes: AtomicU32,
    cut_off: AtomicU32,
    /// Ends while the connection was no session yet.
    cut_off_early: AtomicU32,
}

/// One client and its account.
struct Client<'a> {
    port: u16,
    seed: Seed,
    fates: &'a Fates,
    /// Whether a crash may end a session.
    crashes: bool,
    asked: u64,
}

#[test]
fn every_session_of_a_crash_is_answered_rightly_or_told() {
    let fates = under_load(Signal::SIGKILL, rounds(25));
    println!("{fates:?}");
    assert!(fates.answers.load(Ordering::Relaxed) > 100, "{fates:?}");
}

#[test]
fn a_planned_restart_under_load_is_noticed_by_nobody() {
    let fates = under_load(Signal::SIGTERM, rounds(25));
    println!("{fates:?}");
    assert!(fates.answers.load(Ordering::Relaxed) > 100, "{fates:?}");
}

/// Restarts so, at random instants, also while the next process is starting.
fn under_load(signal: Signal, rounds: u32) -> Fates {
    let number =
        std::env::var("LOOPGATE_SEED").map_or_else(|_| unix_ms(), |text| text.parse().expect("a number"));
    println!("LOOPGATE_SEED={number}");
    let mut seed = Seed(number);
    let home = Home::new();
    write_large_log(&home);
    home.set(PATIENT);
    let mut gate = Gate::kept(home);
    let mut idle: Vec<Peer> = (0..IDLE).map(|_| gate.operator(READ)).collect();
    gate.settle();
    let (over, fates, port) = (AtomicBool::new(false), Fates::default(), gate.port);
    let crashes = signal == Signal::SIGKILL;
    std::thread::scope(|scope| {
        for _ in 0..BUSY {
            let client = Client { port, seed: Seed(seed.next()), fates: &fates, crashes, asked: 0 };
            let over = &over;
            scope.spawn(move || client.live(over));
        }
        // Without this, a failure here would leave the clients running for ever.
        let _end = Flag(&over);
        for _ in 0..rounds {
            std::thread::sleep(Duration::from_millis(seed.next() % 120));
            gate.stop(signal);
            while crashes && seed.once_in(3) {
                gate.launch(|plan| plan);
                std::thread::sleep(Duration::from_millis(seed.next() % 60));
                gate.stop(signal);
            }
            gate.go(|plan| plan);
        }
    });
    for peer in &mut idle {
        peer.ok("health", &json!({}));
        without_a_gap(&numbers(peer));
    }
    let names = gate.keeper().names();
    let count = |name: &str| names.iter().filter(|other| *other == name).count();
    assert_eq!((count(BOOK), count(LOT), names.len()), (1, 4, 5), "{names:?}");
    fates
}

impl Client<'_> {
    /// One session after the other.
    fn live(mut self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let Some(mut peer) = self.come() else { continue };
            let rounds = 1 + self.seed.below(60);
            let end = (0..rounds)
                .take_while(|_| !over.load(Ordering::Relaxed))
                .find_map(|_| self.ask_some(&mut peer).err());
            match end {
                Some(end) => self.ended(&peer, &end),
                None if self.seed.once_in(2) => self.part(peer),
                // Some just vanish.
                None => {}
            }
        }
    }

    /// Connects, slowly or at once. None if a crash came in between.
    fn come(&mut self) -> Option<Peer> {
        let mut stream = dial(self.port);
        let upgrade = head(self.port, "/", "");
        let (first, rest) = upgrade.split_at(self.seed.below(upgrade.len()));
        std::io::Write::write_all(&mut stream, first.as_bytes()).unwrap_or_default();
        self.pause(5);
        let mut peer = match Peer::upgrade(stream, rest) {
            Ok(peer) => peer,
            Err(Answer(text)) => {
                // Before the upgrade there is nobody to be told in frames; once it is seen, there is. Between the two the
                // next process cannot know how much the peer has seen.
                let told =
                    text.is_empty() || text.starts_with("closed (1012, ") || text.ends_with(INTERRUPTED);
                assert!(self.crashes && told, "a handshake ended with {text:?}");
                self.fates.cut_off_early.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        };
        self.pause(5);
        let protocol = if self.seed.once_in(2) { 3 } else { 4 };
        match peer.call("connect", &operator(protocol, READ)) {
            Ok(hello) => {
                assert_eq!(hello["payload"]["auth"]["scopes"], json!(READ), "{hello}");
                self.fates.handshakes.fetch_add(1, Ordering::Relaxed);
                Some(peer)
            }
            Err(end) => {
                assert!(self.crashes, "a handshake ended with {end:?}");
                cut_off("in the handshake", &end);
                self.fates.cut_off_early.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Asks a few things at once and takes the answers: one to each, and the right one.
    fn ask_some(&mut self, peer: &mut Peer) -> Result<(), End> {
        let mut open = BTreeMap::new();
        for _ in 0..=self.seed.below(6) {
            let (method, params, large) = self.question();
            open.insert(peer.ask(method, &params), (params, large));
        }
        while !open.is_empty() {
            let frame = peer.frame()?;
            if frame["type"] != "res" {
                peer.events.push_back(frame);
                continue;
            }
            let id = frame["id"].as_str().expect("an id");
            let (params, large) = open.remove(id).unwrap_or_else(|| panic!("{id} was not open: {frame}"));
            assert_eq!(frame["ok"], true, "{frame}");
            if large {
                assert_eq!(frame["payload"]["lines"].as_array().map(Vec::len), Some(100), "{params}");
            } else {
                assert_eq!(frame["payload"]["key"], params["key"], "an answer to something else");
            }
            self.fates.answers.fetch_add(1, Ordering::Relaxed);
        }
        self.pause(8);
        Ok(())
    }

    /// Something whose answer shows what was asked: at once, or after a thread has read a file.
    fn question(&mut self) -> (&'static str, Value, bool) {
        self.asked += 1;
        if self.seed.once_in(5) {
            return ("logs.tail", json!({"limit": 100, "maxBytes": 200_000}), true);
        }
        let padding = "p".repeat(self.seed.below(300));
        let key = format!("agent:main:{}-{}-{padding}", self.seed.next(), self.asked);
        ("sessions.messages.unsubscribe", json!({"key": key}), false)
    }

    /// Says goodbye, and hears it.
    fn part(&self, peer: Peer) {
        let end = peer.leave();
        let crash = self.crashes && matches!(end.0, 1006 | 1012);
        assert!(end.0 == 1005 || crash, "a goodbye ended with {end:?}");
    }

    /// A session ended while it was in use: only a crash does that, and it is told.
    fn ended(&self, peer: &Peer, end: &End) {
        assert!(self.crashes, "{end:?} after {:?}", peer.events);
        cut_off("a session in use", end);
        self.fates.cut_off.fetch_add(1, Ordering::Relaxed);
    }

    fn pause(&mut self, most_ms: u64) {
        if self.seed.once_in(2) {
            std::thread::sleep(Duration::from_millis(self.seed.next() % most_ms));
        }
    }
}

/// Set when it is dropped.
struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn rounds(usual: u32) -> u32 {
    std::env::var("LOOPGATE_KILLS").map_or(usual, |text| text.parse().expect("a number"))
}

/// The reason that a connection is closed with which was in the middle of something.
const INTERRUPTED: &str = "the gateway was restarted in the middle of this; connect again";
