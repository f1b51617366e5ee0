//! What lies in the service manager's store: it holds up nobody's end, and it tells nothing.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loopgate::limits;
use nix::sys::signal::Signal;
use rustix::fs::SealFlags;
use serde_json::json;

use crate::common::TOKEN;
use crate::common::client::Device;
use crate::live::keeper::{BOOK, Book, LOT};
use crate::live::raw::{frame, request};
use crate::live::{Gate, Peer, dial, http, operator, timed, until};
use crate::restored::{ADMIN, BOTH, PATIENT, READ, key_file};

#[test]
fn s38_whoever_ends_is_gone_at_once_though_a_copy_lies_in_the_store() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut peers: Vec<Peer> = (0..100).map(|_| gate.operator(READ)).collect();
    let mut worst = Duration::ZERO;
    for signal in BOTH {
        gate.settle();
        gate.renew(signal);
        for _ in 0..30 {
            let peer = peers.pop().expect("there are enough");
            let (end, took) = timed(|| peer.leave());
            assert_eq!(end.0, 1005, "{end:?}");
            worst = worst.max(took);
            // Who is sent away is gone as fast, the kernel's end of it included.
            let mut stranger = gate.open();
            let (end, took) = timed(|| {
                stranger.send("{}");
                stranger.leave()
            });
            assert_eq!(end.0, 1008, "{end:?}");
            worst = worst.max(took);
            let plain = format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port);
            worst = worst.max(timed(|| http(gate.port, &plain)).1);
        }
    }
    println!("the slowest end took {worst:?}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

/// `LOOPGATE_CONNECTIONS=n` makes n of them instead of 10,000.
#[test]
fn s38_ten_thousand_connections_leave_nothing_in_the_store() {
    let wanted = std::env::var("LOOPGATE_CONNECTIONS").map_or(10_000, |text| text.parse().expect("a number"));
    let mut gate = Gate::kept_token(PATIENT);
    let mut members: Vec<Peer> = (0..5).map(|_| gate.operator(READ)).collect();
    let open =
        |gate: &Gate| fs::read_dir(format!("/proc/{}/fd", gate.daemon.pid())).expect("a process").count();
    gate.come_to_rest();
    let before = open(&gate);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= wanted {
                        break;
                    }
                    pass_by(&gate, number);
                }
            });
        }
    });
    until("all of them are closed", || open(&gate) <= before);
    // A dead one may lie in a lot for so long.
    std::thread::sleep(limits::HANDOVER_DEAD_MAX + Duration::from_secs(2));
    for member in &mut members {
        member.ok("health", &json!({}));
    }
    gate.stop(Signal::SIGKILL);
    let weight = Book::read(gate.keeper().one(BOOK)).weight();
    assert!(weight < 2 << 20, "the memory file takes {weight} bytes");
    assert_eq!(gate.keeper().drain(LOT), members.len(), "connections that are parked");
}

/// Comes and goes, in one of the ways in which clients do that.
fn pass_by(gate: &Gate, number: usize) {
    match number % 4 {
        0 => {
            let plain = format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port);
            assert!(http(gate.port, &plain).starts_with("HTTP/1.1 200 "));
        }
        1 => {
            let mut peer = gate.operator(READ);
            peer.ok("health", &json!({}));
            assert_eq!(peer.leave().0, 1005);
        }
        // Vanishes, in the middle of a message or before the first.
        2 => gate.open().raw().write_all(&[0x81, 0xfe, 0x01]).expect("room"),
        _ => drop(dial(gate.port)),
    }
}

#[test]
fn s39_the_memory_file_is_ours_alone_and_tells_nothing() {
    let canary = "canary-in-a-connect-frame";
    let mut gate = Gate::kept_token(PATIENT);
    let device = Device::new(1);
    let mut talkative = operator(4, ADMIN);
    talkative["client"]["displayName"] = json!(canary);
    let mut member = gate.open();
    let params = member.sign(&device, talkative.clone());
    let token = member.admit(params)["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
    member.ok("sessions.messages.subscribe", &json!({"key": "canary-of-a-session"}));
    let mut challenged = gate.open();
    // A secret that is in the middle of coming is saved with a planned stop.
    let connect = frame(1, request("c", "connect", &talkative).as_bytes());
    challenged.raw().write_all(&connect[..connect.len() - 3]).expect("room");
    let key = fs::read(key_file(&gate)).expect("a key");
    let mode = fs::metadata(key_file(&gate)).expect("a file").permissions().mode();
    assert_eq!((key.len(), mode & 0o777), (32, 0o600));
    for signal in [Signal::SIGTERM, Signal::SIGTERM, Signal::SIGKILL] {
        gate.come_to_rest();
        all_close_on_exec(&gate);
        gate.stop(signal);
        let fd = gate.keeper().one(BOOK);
        let mode = rustix::fs::fstat(&fd).expect("a file").st_mode;
        assert_eq!(mode & 0o777, 0o600, "who may open it");
        let book = Book::read(fd);
        let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        assert!(book.seals.contains(sealed), "{:?}", book.seals);
        assert!(book.weight() > 200, "there is something in it");
        let nonce = challenged.nonce.as_bytes();
        let words = [TOKEN, canary, "canary", &token, "operator", "connect", "minProtocol", &device.id()];
        for secret in words.map(str::as_bytes).into_iter().chain([nonce, &key, &key[..8]]) {
            assert!(!book.contains(secret), "{signal}: {:?}", String::from_utf8_lossy(secret));
        }
        gate.go(|plan| plan);
        member.ok("health", &json!({}));
    }
    // The kill came in the middle of its connect.
    assert_eq!(challenged.answer("c").expect_err("a close").0, 1012);
    assert!(!gate.daemon.log().contains(canary), "{}", gate.daemon.log());
}

/// Nothing that the daemon has open would be open in a program that it might ever start, but for what it was started
/// with by this process, which has it from its own parent.
fn all_close_on_exec(gate: &Gate) {
    let theirs = inheritable(&gate.daemon.pid().to_string());
    let ours = inheritable("self");
    let left: Vec<_> = theirs.into_iter().filter(|one| one.0 > 2 && !ours.contains(one)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What is open in a process and stays open in what it becomes: numbers and what they stand for.
fn inheritable(process: &str) -> Vec<(u32, PathBuf)> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("a process");
    let stays = |number: &u32| {
        let text = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| u32::from_str_radix(flags.trim(), 8).expect("octal") & O_CLOEXEC == 0)
    };
    open.filter_map(|entry| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.parse().ok().filter(stays)?;
        Some((number, fs::read_link(path).ok()?))
    })
    .collect()
}

const O_CLOEXEC: u32 = 0o2_000_000;
