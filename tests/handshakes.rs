//! Handshakes in great number, and at odd speeds, against the real daemon: none times out, none ends without a reason,
//! and the same client is granted the same every time.
//!
//! `LOOPGATE_HANDSHAKES=n` makes n of them instead of 5,000. What they cost is printed and never judged: a shared
//! machine has no speed of its own.
#![cfg(feature = "daemon")]
#![allow(
    clippy::duration_suboptimal_units,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::ok_expect,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a panic is how a test fails, and nobody calls a test"
)]

mod common;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod live;
#[allow(dead_code, reason = "each test file uses its part of it")]
#[path = "daemon/rig.rs"]
mod rig;

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use common::TOKEN;
use common::client::Device;
use live::{Gate, Peer, operator, timed};

/// Connections at once.
const WORKERS: usize = 64;
const ASKED: [&str; 2] = ["operator.read", "operator.pairing"];
const GRANTED: [&str; 2] = ["operator.pairing", "operator.read"];

#[test]
fn sixty_four_at_once_all_get_in_and_are_granted_the_same() {
    let wanted = std::env::var("LOOPGATE_HANDSHAKES").map_or(5_000, |text| text.parse().expect("a number"));
    let alone = crowd(&Gate::token(), wanted);
    let kept = crowd(&Gate::kept_token("{}"), wanted);
    let ratio = kept.as_secs_f64() / alone.as_secs_f64();
    tell(&format!("with connections that outlive the process {ratio:.2} times the processor time"));
}

/// So many handshakes; the daemon's processor time for each.
fn crowd(gate: &Gate, wanted: usize) -> Duration {
    let next = AtomicUsize::new(0);
    let before = gate.daemon.cpu();
    let (results, took) = timed(|| {
        std::thread::scope(|scope| {
            let worker = |number: usize| {
                let device = Device::new(u8::try_from(number).expect("few workers"));
                let mut times = Vec::new();
                let mut faults = Vec::new();
                while next.fetch_add(1, Ordering::Relaxed) < wanted {
                    let kind = times.len() + faults.len() + number;
                    match timed(|| handshake(gate, kind, &device)) {
                        (Ok(()), took) => times.push(took),
                        (Err(fault), _) => faults.push(fault),
                    }
                }
                (times, faults)
            };
            let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(move || worker(number))).collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker")).collect::<Vec<_>>()
        })
    });
    let cpu = gate.daemon.cpu() - before;
    let faults: Vec<&String> = results.iter().flat_map(|(_, faults)| faults).collect();
    assert!(
        faults.is_empty(),
        "{} of {wanted} failed, the first of them: {:?}",
        faults.len(),
        &faults[..faults.len().min(5)]
    );
    let mut times: Vec<Duration> = results.into_iter().flat_map(|(times, _)| times).collect();
    assert_eq!(times.len(), wanted);
    times.sort();
    let at = |percent: usize| times[(wanted * percent / 100).min(wanted - 1)];
    let per_second = u128::try_from(wanted).expect("a number") * 1_000_000 / took.as_micros();
    let each = cpu / u32::try_from(wanted).expect("fewer than 4 billion");
    tell(&format!(
        "{wanted} handshakes, {WORKERS} at once: {per_second}/s; p50 {:?}, p99 {:?}, max {:?}; {each:?} of processor \
         time each",
        at(50),
        at(99),
        at(100),
    ));
    each
}

/// Upgrade, challenge, connect, one call, goodbye; the fault if anything is not as it should be.
fn handshake(gate: &Gate, kind: usize, device: &Device) -> Result<(), String> {
    let protocol = if kind % 2 == 0 { 3 } else { 4 };
    let mut peer = gate.open();
    let mut params = operator(protocol, &ASKED);
    if kind / 2 % 2 == 0 {
        params = peer.sign(device, params);
    }
    let ended = |(code, reason)| format!("closed {code} {reason:?}");
    let hello = peer.call("connect", &params).map_err(ended)?;
    let payload = &hello["payload"];
    if (&payload["protocol"], &payload["auth"]["scopes"]) != (&json!(protocol), &json!(GRANTED)) {
        return Err(format!("another hello: {hello}"));
    }
    let health = peer.call("health", &json!({})).map_err(ended)?;
    if health["ok"] != true {
        return Err(format!("no health: {health}"));
    }
    match peer.leave() {
        (1005, _) => Ok(()),
        end => Err(ended(end)),
    }
}

#[test]
fn a_client_that_sleeps_eight_seconds_before_connect_is_admitted() {
    let gate = Gate::token();
    let mut sleepers: Vec<(u32, Peer)> = [3, 4].map(|protocol| (protocol, gate.open())).into();
    std::thread::sleep(Duration::from_secs(8));
    for (protocol, peer) in &mut sleepers {
        let params = peer.sign(&Device::new(1), operator(*protocol, &ASKED));
        assert_eq!(peer.admit(params)["auth"]["scopes"], json!(GRANTED));
    }
}

#[test]
fn a_client_that_never_speaks_is_closed_at_its_deadline_and_told_why() {
    let gate = Gate::token();
    let ((code, reason), took) = timed(|| gate.open().end());
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("connect") && reason.contains("15"), "the phase and the limit: {reason:?}");
    assert!((Duration::from_millis(14_500)..Duration::from_secs(19)).contains(&took), "{took:?}");
    let entry = gate.daemon.says(&["RULE=deadline-connect", "CLOSE_CODE=1008", "REMEDY="]);
    assert!(entry.contains("PHASE=connect"), "{entry}");
}

/// What had arrived when the deadline passed is read before the verdict on the deadline: a daemon that stood still is
/// not its clients' fault.
#[test]
fn a_connect_that_was_there_in_time_counts_however_late_it_is_read() {
    let settings = "{handshake: {timeoutMs: 4000, headTimeoutMs: 4000}}";
    let gate = Gate::new(&format!("mode: 'token', token: '{TOKEN}'"), settings);
    gate.operator(&ASKED).leave();
    let mut punctual: Vec<Peer> = (0..20).map(|_| gate.open()).collect();
    let mut silent = gate.open();
    gate.daemon.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    let mut asked = Vec::new();
    for (number, peer) in punctual.iter_mut().enumerate() {
        let protocol = if number % 2 == 0 { 3 } else { 4 };
        asked.push(peer.ask("connect", &operator(protocol, &ASKED)));
    }
    // An upgrade that was there in time counts as well.
    let late = std::thread::scope(|scope| {
        let late = scope.spawn(|| gate.open());
        std::thread::sleep(Duration::from_millis(4_500).saturating_sub(stopped.elapsed()));
        gate.daemon.signal(Signal::SIGCONT);
        late.join().expect("an upgrade")
    });
    for (peer, id) in punctual.iter_mut().zip(&asked) {
        let hello = peer.answer(id).expect("an answer, not a close");
        assert_eq!(hello["payload"]["auth"]["scopes"], json!(GRANTED), "{hello}");
    }
    let (code, reason) = silent.end();
    assert!(code == 1008 && reason.contains("connect"), "{code} {reason:?}");
    drop(late);
}

/// Past the capture of the test harness: numbers are for whoever runs this.
fn tell(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("standard output");
}
