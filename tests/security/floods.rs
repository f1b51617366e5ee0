//! Peers that are too many, too slow, too large or too loud: what they can hurt is bounded, and others feel nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use loopgate::limits;
use serde_json::json;

use crate::common::TOKEN;
use crate::live::raw::{fragment, frame, raise_file_limit, read_all, request, write_large_log};
use crate::live::{Gate, PATIENCE, Peer, dial, head, operator, timed, until};
use crate::rig::{Home, Plan, get, talk, unix};

const READ: &[&str] = &["operator.read"];
/// What a handshake and a call may take beside a flood. The aim is 100 ms; a shared machine under a debug build gets
/// more, and less than any deadline.
const BESIDE: Duration = Duration::from_secs(2);

#[test]
fn s25_ten_thousand_half_open_connections_cost_bounded_memory_and_keep_nobody_out() {
    let wanted = 10_000;
    let count = wanted.min(raise_file_limit().saturating_sub(200));
    println!("{count} half-open connections of {wanted} wanted");
    let home = Home::new();
    home.configure(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"));
    home.set("{handshake: {timeoutMs: 120000, headTimeoutMs: 60000}}");
    let gate = Gate::start(home, |plan| Plan { before: "ulimit -n $(ulimit -H -n);", ..plan });
    gate.operator(READ).leave();
    let before = gate.memory_kib();
    let upgrade = head(gate.port, "/", "");
    let half = &upgrade.as_bytes()[..upgrade.len() - 2];
    let mut open = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = dial(gate.port);
        match number % 3 {
            0 => {}
            1 => stream.write_all(half).expect("room"),
            _ => stream.write_all(upgrade.as_bytes()).expect("room"),
        }
        open.push(stream);
    }
    let (scopes, took) = timed(|| {
        let mut peer = gate.open();
        let hello = peer.admit(operator(4, READ));
        peer.ok("health", &json!({}));
        hello["auth"]["scopes"].clone()
    });
    assert_eq!(scopes, json!(READ));
    let grown = gate.memory_kib().saturating_sub(before);
    let each = grown * 1024 / count as u64;
    println!("{grown} KiB more, {each} bytes a connection; a handshake and a call beside them took {took:?}");
    assert!(took < BESIDE, "{took:?}");
    assert!(each < 16 * 1024, "{each} bytes for a connection that has said next to nothing");
    drop(open);
    assert!(get(gate.port, "/healthz").contains("200 OK"));
}

#[test]
fn s26_a_frame_that_is_too_large_is_refused_by_its_header() {
    let gate = Gate::token();
    let max = limits::PREAUTH_MESSAGE_BYTES_MAX;
    for length in [max as u64 + 1, 1 << 20, 1 << 32, (1 << 63) - 1, u64::MAX] {
        let mut peer = gate.open();
        let mut header = vec![0x81, 0x80 | 127];
        header.extend(length.to_be_bytes());
        header.extend([1, 2, 3, 4]);
        // Not a byte of the payload is sent: the header is enough.
        peer.raw().write_all(&header).expect("room");
        let (code, reason) = peer.end();
        assert!(matches!(code, 1009 | 1002) && !reason.is_empty(), "{length}: {code} {reason:?}");
    }
    // Fragments count in sum.
    let mut peer = gate.open();
    for number in 0..5 {
        let opcode = u8::from(number == 0);
        // The last of them is more than is taken, and may find the connection closed.
        peer.raw().write_all(&fragment(opcode, &vec![b' '; 16 * 1024])).unwrap_or_default();
    }
    let (code, reason) = peer.end();
    assert!(code == 1009 && !reason.is_empty(), "{code} {reason:?}");
    // What is just as large as allowed is taken, and then refused for what it says.
    let mut peer = gate.open();
    peer.send(&" ".repeat(max));
    assert_eq!(peer.end().0, 1008);
    assert!(gate.memory_kib() < 64 * 1024, "{} KiB", gate.memory_kib());
}

#[test]
fn s27_who_is_silent_is_closed_at_the_deadline_of_the_phase() {
    let settings = "{handshake: {timeoutMs: 1500, headTimeoutMs: 700, closingTimeoutMs: 500}}";
    let gate = Gate::new(&format!("mode: 'token', token: '{TOKEN}'"), settings);
    let upgrade = head(gate.port, "/", "");
    // Nothing, and half a head: HTTP 408 when the handshake's or the head's time is over.
    for part in [&b""[..], &upgrade.as_bytes()[..40]] {
        let (answer, took) = timed(|| {
            let mut stream = dial(gate.port);
            stream.write_all(part).expect("room");
            read_all(&mut stream)
        });
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!((Duration::from_millis(650)..Duration::from_secs(5)).contains(&took), "{took:?}");
    }
    // A byte now and then does not help: the clock starts at accept.
    let (answer, took) = timed(|| {
        let mut stream = dial(gate.port);
        for byte in upgrade.as_bytes() {
            std::thread::sleep(Duration::from_millis(40));
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
        read_all(&mut stream)
    });
    assert!(took > Duration::from_millis(650) && (answer.is_empty() || answer.contains(" 408 ")), "{answer}");
    // Silent after the upgrade, and with half a message.
    for part in [&b""[..], &frame(1, br#"{"type":"req"}"#)[..9]] {
        let ((code, reason), took) = timed(|| {
            let mut peer = gate.open();
            peer.raw().write_all(part).expect("room");
            peer.end()
        });
        assert_eq!(code, 1008, "{reason}");
        assert!(reason.contains("connect") && reason.contains("1500"), "the phase and the limit: {reason:?}");
        assert!((Duration::from_millis(1_400)..Duration::from_secs(6)).contains(&took), "{took:?}");
    }
    // Who does not answer our close is shut down all the same.
    let mut peer = gate.open();
    peer.send("{}");
    let (end, took) = timed(|| read_all(peer.raw()));
    assert!(took < Duration::from_secs(5), "{took:?}: {end:?}");
}

#[test]
fn s43_a_flood_of_refusals_is_counted_and_not_written_one_by_one() {
    let calls: u64 = 20_000;
    let handshakes: u64 = 3_000;
    let settings = "{journal: {decisionsFlushMs: 60000}}";
    let mut gate = Gate::new(&format!("mode: 'token', token: '{TOKEN}'"), settings);
    let mut peer = gate.operator(READ);
    for _ in 0..calls / 100 {
        let ids: Vec<String> =
            (0..100).map(|_| peer.ask("set-heartbeats", &json!({"enabled": true}))).collect();
        for id in ids {
            assert_eq!(peer.answer(&id).expect("an answer")["ok"], false);
        }
    }
    peer.leave();
    for number in 0..handshakes {
        let foreign = format!("GET /{number} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        assert!(crate::live::http(gate.port, &foreign).starts_with("HTTP/1.1 403 "));
    }
    gate.daemon.signal(nix::sys::signal::Signal::SIGTERM);
    gate.daemon.end();
    let log = gate.daemon.log();
    let lines = log.lines().count() as u64;
    println!("{} refusals in {lines} lines", calls + handshakes);
    assert!(lines < u64::from(limits::ENTRIES_BURST_MAX) + 500, "{lines} lines");
    assert_eq!(sum(&log, &["METHOD=set-heartbeats", "DECISION=deny"]), calls);
    assert_eq!(sum(&log, &["RULE=host-foreign"]), handshakes);
}

#[test]
fn s44_who_never_reads_is_closed_and_the_others_feel_nothing() {
    let home = Home::new();
    let gate = Gate::in_home(
        home,
        &format!("mode: 'token', token: '{TOKEN}'"),
        "{limits: {txQueueBytes: 28311552}}",
    );
    write_large_log(&gate.home);
    let mut neighbour = gate.operator(READ);
    let mut deaf = gate.operator(READ);
    for _ in 0..120 {
        deaf.ask("logs.tail", &json!({"limit": 5000, "maxBytes": 1_000_000}));
    }
    let end = Instant::now() + PATIENCE;
    let mut worst = Duration::ZERO;
    let mut most = 0;
    while !gate.daemon.log().contains("slow consumer") {
        assert!(Instant::now() < end, "it is still there");
        worst = worst.max(timed(|| neighbour.ok("health", &json!({}))).1);
        most = most.max(gate.memory_kib());
    }
    println!("a neighbour's slowest call took {worst:?}; {most} KiB at most");
    assert!(worst < BESIDE, "{worst:?}");
    assert!(most < 256 * 1024, "{most} KiB");
    gate.daemon.says(&["CLOSE_CODE=1008", "slow consumer"]);
    // Its memory is given back within the closing time, whether it reads or not, and its end of the connection is cut.
    std::thread::sleep(limits::CLOSING.default + Duration::from_secs(1));
    until("its memory is given back", || gate.memory_kib() < 32 * 1024);
    assert_eq!(deaf.end().0, 1006, "it was cut off in the middle");
    neighbour.ok("health", &json!({}));
}

#[test]
fn s44_who_reads_late_hears_why() {
    let gate = Gate::token();
    write_large_log(&gate.home);
    let mut late = gate.operator(READ);
    for _ in 0..120 {
        late.ask("logs.tail", &json!({"limit": 5000, "maxBytes": 1_000_000}));
    }
    gate.daemon.says(&["CLOSE_CODE=1008", "slow consumer"]);
    assert_eq!(late.end(), (1008, "slow consumer".to_owned()));
}

#[test]
fn s45_odd_peers_get_the_right_code_and_are_in_nobodys_way() {
    let gate = Gate::token();
    let mut neighbour = gate.operator(READ);
    // One byte at a time, through the whole handshake and a call.
    let mut stream = dial(gate.port);
    for byte in head(gate.port, "/", "").as_bytes() {
        stream.write_all(&[*byte]).expect("room");
    }
    let mut slow = Peer::upgrade(stream, "").expect("an upgrade");
    for text in [request("1", "connect", &operator(4, READ)), request("2", "health", &json!({}))] {
        for byte in frame(1, text.as_bytes()) {
            slow.raw().write_all(&[byte]).expect("room");
        }
    }
    assert_eq!(slow.answer("2").expect("an answer")["ok"], true);

    for admitted in [false, true] {
        let peer = || if admitted { gate.operator(READ) } else { gate.open() };
        let ends = |what: &str, bytes: &[u8], codes: &[u16]| {
            let mut peer = peer();
            // The rest may find the connection closed.
            peer.raw().write_all(bytes).unwrap_or_default();
            let (code, reason) = peer.end();
            assert!(
                codes.contains(&code) && !reason.is_empty(),
                "{what}, admitted {admitted}: {code} {reason:?}"
            );
        };
        ends("not UTF-8", &frame(1, b"{\"type\":\"\xff\xfe\"}"), &[1007]);
        ends("half a character", &frame(1, b"{\"\xe2\x82"), &[1007]);
        ends("no mask", &[0x81, 2, b'{', b'}'], &[1002]);
        ends("a reserved bit", &[0xc1, 0x80, 0, 0, 0, 0], &[1002]);
        ends("an unknown opcode", &frame(3, b""), &[1002]);
        ends("a fragment of nothing", &frame(0, b"x"), &[1002]);
        ends("a fragmented ping", &[0x09, 0x80, 0, 0, 0, 0], &[1002]);
        ends("a large ping", &frame(9, &[b'p'; 126]), &[1002]);
        let endless: Vec<u8> = (0..20_000).flat_map(|number| fragment(u8::from(number == 0), b"x")).collect();
        ends("fragments without an end", &endless, &[1008, 1009]);
    }
    // Depth: an answer, not an overflow.
    let mut deep = gate.operator(READ);
    for params in [nested("[", "]", 100_000), nested("{\"a\":", "}", 100_000)] {
        deep.send(&format!(r#"{{"type":"req","id":"deep","method":"status","params":{params}}}"#));
        let answer = deep.answer("deep").expect("an answer");
        assert_eq!(answer["error"]["code"], "INVALID_REQUEST", "{answer}");
    }
    deep.ok("health", &json!({}));
    neighbour.ok("health", &json!({}));
}

#[test]
fn s45_a_flood_of_pings_costs_bounded_memory_and_leaves_room_for_others() {
    let gate = Gate::token();
    let mut neighbour = gate.operator(READ);
    let mut loud = gate.operator(READ);
    let stream = loud.raw().try_clone().expect("a socket");
    let flood = std::thread::spawn(move || shout(stream));
    let end = Instant::now() + Duration::from_secs(3);
    let (mut worst, mut most) = (Duration::ZERO, 0);
    while Instant::now() < end {
        worst = worst.max(timed(|| neighbour.ok("health", &json!({}))).1);
        most = most.max(gate.memory_kib());
    }
    println!("a neighbour's slowest call took {worst:?}; {most} KiB at most");
    assert!(worst < BESIDE, "{worst:?}");
    assert!(most < 128 * 1024, "{most} KiB");
    drop(loud);
    let sent = flood.join().expect("the flood ends");
    println!("{sent} bytes of pings were taken");
}

/// Sends pings until the other side takes no more for a second, reading nothing.
fn shout(mut stream: TcpStream) -> u64 {
    stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let pings: Vec<u8> = (0..1_000).flat_map(|_| frame(9, &[b'p'; 100])).collect();
    let end = Instant::now() + Duration::from_secs(5);
    let mut sent = 0;
    while Instant::now() < end {
        match stream.write(&pings) {
            Ok(count) => sent += count as u64,
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn s01_to_s45_hold_at_the_owners_door_too() {
    let home = Home::new();
    home.configure(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"));
    let path = home.path.join("owner.sock");
    let _daemon = Plan::new(&home, vec![unix(&path)]).names("owner").start();
    let ask = |headers: &str| {
        let mut stream = UnixStream::connect(&path).expect("the socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "GET / HTTP/1.1\r\n{headers}{}\r\n", crate::live::UPGRADE).expect("room");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(ask("Host: localhost\r\n"), "HTTP/1.1 101");
    assert_eq!(ask("Host: localhost\r\nOrigin: https://evil.example\r\n"), "HTTP/1.1 403");
    assert_eq!(ask("Host: evil.example\r\n"), "HTTP/1.1 403");
    assert!(talk(UnixStream::connect(&path).expect("the socket"), 18789, "/healthz").contains("200 OK"));
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

/// How many decisions the lines with these words stand for.
fn sum(log: &str, words: &[&str]) -> u64 {
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    let count = |line: &str| {
        let (_, rest) = line.split_once(" DECISIONS=")?;
        rest.split(' ').next()?.parse().ok()
    };
    lines.map(|line| count(line).unwrap_or(1)).sum()
}
