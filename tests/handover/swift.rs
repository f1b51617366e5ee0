//! How long a planned restart takes, with many sessions and with peers that do nothing.

use std::io::Write as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::kit::{PATIENT, READ};
use crate::live::raw::{frame, raise_file_limit, request, write_large_log};
use crate::live::{Gate, Peer, dial, timed};
use crate::rig::{Home, Plan};

/// From the signal to the end of the process, whatever the peers do.
const STOP_MAX: Duration = Duration::from_millis(200);
const SESSIONS: usize = 1_000;

#[test]
fn a_thousand_sessions_are_handed_over_within_two_hundred_milliseconds() {
    let room = raise_file_limit();
    assert!(room > SESSIONS + 200, "{room} open files are too few");
    let home = Home::new();
    write_large_log(&home);
    home.set(PATIENT);
    let mut gate = Gate::kept(home);
    gate.stop(Signal::SIGTERM);
    gate.go(wide);
    let mut sessions: Vec<Peer> = (0..SESSIONS).map(|_| gate.operator(READ)).collect();
    let mut fastest = Duration::MAX;
    for round in 0..4 {
        let silent: Vec<_> = (0..20).map(|_| dial(gate.port)).collect();
        let half = frame(1, request("half", "health", &json!({})).as_bytes());
        for (number, peer) in sessions.iter_mut().enumerate() {
            match number % 100 {
                // Does not read what it asked for.
                0 => (0..3).for_each(|_| drop(peer.ask("logs.tail", &json!({"maxBytes": 500_000})))),
                // Is in the middle of a message.
                1..=5 => peer.raw().write_all(&half[..20]).expect("room"),
                // Asks and is not answered yet.
                6..=9 => drop(peer.ask("health", &json!({}))),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        let stop = gate.stop(Signal::SIGTERM);
        let ((), start) = timed(|| gate.go(wide));
        println!("round {round}: stopped in {stop:?}, ready again in {start:?}");
        fastest = fastest.min(stop);
        for (number, peer) in sessions.iter_mut().enumerate() {
            if (1..=5).contains(&(number % 100)) {
                peer.raw().write_all(&half[20..]).expect("room");
                assert_eq!(peer.answer("half").expect("an answer")["ok"], true);
            }
            // What was asked before comes first.
            assert!(peer.ok("health", &json!({})).is_object(), "session {number}");
            assert!(peer.events.iter().all(|frame| frame["ok"] != false), "session {number}");
            peer.events.clear();
        }
        drop(silent);
    }
    // What else this machine does makes it slower; nothing makes it faster.
    assert!(fastest < STOP_MAX, "{fastest:?}");
}

/// The units raise the limit of open files in the same way.
fn wide(plan: Plan<'_>) -> Plan<'_> {
    Plan { before: "ulimit -n $(ulimit -H -n);", ..plan }
}
