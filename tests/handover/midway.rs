//! Sessions in the middle of something. A planned restart carries it over to the last byte; a crash ends the session
//! with 1012 and a reason, and never with half an answer taken for a whole one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::client::Device;
use crate::kit::{ADMIN, LATE, PATIENT, READ, cut_off, node_host};
use crate::live::keeper::LOT;
use crate::live::raw::{fragment, frame, read_all, request, write_large_log};
use crate::live::{End, Gate, Peer, dial, head, operator, timed, until};
use crate::rig::Home;

/// Where a message is cut: within its header, its mask, its text, and right before its end.
const CUTS: [usize; 6] = [1, 2, 5, 8, 40, usize::MAX];

#[test]
fn half_a_head_is_completed_after_a_planned_restart() {
    let mut gate = Gate::kept_token(PATIENT);
    let upgrade = head(gate.port, "/", "");
    let plain = format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port);
    let cuts = [1, 3, 17, upgrade.len() - 2, upgrade.len() - 1];
    let mut halves: Vec<_> = cuts.iter().map(|cut| (*cut, dial(gate.port))).collect();
    for (cut, stream) in &mut halves {
        stream.write_all(&upgrade.as_bytes()[..*cut]).expect("room");
    }
    let mut half_plain = dial(gate.port);
    half_plain.write_all(&plain.as_bytes()[..20]).expect("room");
    gate.settle();
    gate.renew(Signal::SIGTERM);
    for (cut, stream) in halves {
        let mut peer =
            Peer::upgrade(stream, &upgrade[cut..]).unwrap_or_else(|answer| panic!("{cut}: {answer:?}"));
        peer.admit(operator(4, READ));
    }
    half_plain.write_all(&plain.as_bytes()[20..]).expect("room");
    assert!(read_all(&mut half_plain).starts_with("HTTP/1.1 200 "));
}

#[test]
fn half_a_head_ends_at_once_after_a_crash() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut half = dial(gate.port);
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").expect("room");
    gate.settle();
    gate.renew(Signal::SIGKILL);
    let answer = read_all(&mut half);
    assert_eq!(answer, "", "nobody answers a request that is not known");
}

#[test]
fn half_a_connect_is_completed_within_the_time_that_is_left() {
    let mut gate =
        Gate::kept_token("{handshake: {timeoutMs: 4000, headTimeoutMs: 3500, closingTimeoutMs: 500}}");
    let whole = Duration::from_secs(4);
    let connect = frame(1, request("c", "connect", &operator(4, READ)).as_bytes());
    let start = Instant::now();
    let mut slow: Vec<(usize, Peer)> = cuts(&connect).map(|cut| (cut, gate.open())).collect();
    let (mut never, mut half_head) = (gate.open(), dial(gate.port));
    for (cut, peer) in &mut slow {
        peer.raw().write_all(&connect[..*cut]).expect("room");
    }
    never.raw().write_all(&connect[..30]).expect("room");
    half_head.write_all(b"GET / HTTP/1.1\r\n").expect("room");
    gate.settle();
    std::thread::sleep(Duration::from_secs(2));
    gate.renew(Signal::SIGTERM);
    for (cut, peer) in &mut slow {
        peer.raw().write_all(&connect[*cut..]).expect("room");
        assert_eq!(peer.answer("c").expect("an answer")["ok"], true, "cut at {cut}");
        peer.ok("health", &json!({}));
    }
    let answer = read_all(&mut half_head);
    let took = start.elapsed();
    assert!(answer.starts_with("HTTP/1.1 408 ") && took < whole, "{took:?}: {answer:?}");
    let (code, reason) = never.end();
    let took = start.elapsed();
    assert!(code == 1008 && reason.contains("connect"), "{code} {reason:?}");
    assert!((whole - LATE / 10..whole + LATE).contains(&took), "{took:?}");
}

#[test]
fn half_a_message_is_completed_after_a_planned_restart() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut halves = halves(&gate);
    gate.settle();
    // Twice, for what was carried over once has to be carried over again.
    gate.renew(Signal::SIGTERM);
    gate.renew(Signal::SIGTERM);
    for half in &mut halves {
        half.peer.raw().write_all(&half.message[half.cut..]).expect("room");
        assert_eq!(half.answer().expect("an answer")["ok"], true, "cut at {}", half.cut);
        half.peer.ok("health", &json!({}));
    }
}

#[test]
fn half_a_message_ends_with_1012_after_a_crash() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut halves = halves(&gate);
    let mut at_rest = gate.operator(READ);
    gate.settle();
    gate.renew(Signal::SIGKILL);
    for half in &mut halves {
        cut_off(&format!("cut at {}", half.cut), &half.peer.end());
        assert_eq!(answers(&half.peer), 0, "cut at {}: {:?}", half.cut, half.peer.events);
    }
    at_rest.ok("health", &json!({}));
}

#[test]
fn a_fragmented_message_with_a_ping_between_is_put_together() {
    let mut gate = Gate::kept_token(PATIENT);
    let text = request("f", "sessions.messages.unsubscribe", &json!({"key": "agent:main:ä room"}));
    // The second cut is in the middle of a character.
    let third = text.find('ä').expect("it is there") + 1;
    let parts = [&text.as_bytes()[..10], &text.as_bytes()[10..third], &text.as_bytes()[third..]];
    let steps =
        [fragment(1, parts[0]), frame(9, b"are you there"), fragment(0, parts[1]), frame(0, parts[2])]
            .concat();
    // The cut goes through everything, a few bytes further for each peer.
    let mut peers: Vec<(usize, Peer)> =
        (1..steps.len()).step_by(5).map(|cut| (cut, gate.operator(READ))).collect();
    for (cut, peer) in &mut peers {
        peer.raw().write_all(&steps[..*cut]).expect("room");
    }
    gate.settle();
    gate.renew(Signal::SIGTERM);
    for (cut, peer) in &mut peers {
        peer.raw().write_all(&steps[*cut..]).expect("room");
        let answer = peer.answer("f").expect("an answer");
        assert_eq!(peer.pongs, [b"are you there"], "cut at {cut}");
        assert_eq!(answer["payload"]["key"], "agent:main:ä room", "cut at {cut}: {answer}");
    }
}

#[test]
fn a_row_of_requests_is_answered_in_order_and_once() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut peers: Vec<Peer> = (0..8).map(|_| gate.operator(READ)).collect();
    let row: Vec<u8> = (0..400)
        .flat_map(|number| {
            let params = json!({"key": format!("agent:main:{number}")});
            frame(1, request(&number.to_string(), "sessions.messages.unsubscribe", &params).as_bytes())
        })
        .collect();
    for wait in [0, 1, 3, 8] {
        for peer in &mut peers {
            peer.raw().write_all(&row).expect("room");
        }
        std::thread::sleep(Duration::from_millis(wait));
        gate.renew(Signal::SIGTERM);
        for peer in &mut peers {
            for number in 0..400 {
                let answer = next_answer(peer);
                let key = json!(format!("agent:main:{number}"));
                assert_eq!((&answer["id"], &answer["payload"]["key"]), (&json!(number.to_string()), &key));
            }
        }
    }
}

#[test]
fn a_large_answer_that_nobody_reads_arrives_whole_after_the_restart() {
    let home = Home::new();
    write_large_log(&home);
    home.set(PATIENT);
    let mut gate = Gate::kept(home);
    let expected = gate.operator(READ).ok("logs.tail", &much());
    let mut deaf: Vec<Peer> = (0..2).map(|_| gate.operator(READ)).collect();
    let mut neighbour = gate.operator(READ);
    for peer in &mut deaf {
        for number in 0..8 {
            peer.send(&request(&format!("large-{number}"), "logs.tail", &much()));
        }
    }
    // Eight million bytes for each do not fit into any socket's buffer.
    until("some of it is under way", || unsent(&gate) > 2_000_000);
    for _ in 0..2 {
        let stop = gate.stop(Signal::SIGTERM);
        let ((), start) = timed(|| gate.go(|plan| plan));
        println!("stopped in {stop:?}, ready again in {start:?}");
    }
    for peer in &mut deaf {
        for number in 0..8 {
            let answer = peer.answer(&format!("large-{number}")).expect("an answer");
            assert!(answer["payload"] == expected, "answer {number} is another one");
        }
        assert_eq!(answers(peer), 0, "an answer twice");
        peer.ok("health", &json!({}));
    }
    neighbour.ok("health", &json!({}));
}

#[test]
fn a_large_answer_is_never_half_of_one_after_a_crash() {
    let home = Home::new();
    write_large_log(&home);
    home.set(PATIENT);
    let mut gate = Gate::kept(home);
    let expected = gate.operator(READ).ok("logs.tail", &much());
    let mut deaf = gate.operator(READ);
    for number in 0..12 {
        deaf.send(&request(&format!("large-{number}"), "logs.tail", &much()));
    }
    until("some of it is under way", || unsent(&gate) > 1_000_000);
    gate.renew(Signal::SIGKILL);
    // A frame of which the rest is lost cannot be followed by another one: the end alone says it.
    let (code, reason) = deaf.end();
    assert!(matches!(code, 1006 | 1012), "{code} {reason:?}");
    deaf.events.retain(|frame| frame["type"] == "res");
    let whole = deaf.events.len();
    assert!(whole < 12, "all {whole} are here");
    for (number, answer) in deaf.events.iter().enumerate() {
        assert_eq!(answer["id"], format!("large-{number}"));
        assert!(answer["payload"] == expected, "answer {number} is another one");
    }
}

#[test]
fn a_call_to_a_node_is_answered_over_the_restart() {
    let mut gate = Gate::kept_token(PATIENT);
    let (mut caller, mut node) = (gate.operator(ADMIN), node_host(&gate, 7));
    let (before, after) = (invoke(&mut caller, 60_000), invoke(&mut caller, 60_000));
    let short = (invoke(&mut caller, 3_000), Instant::now());
    // The first call reaches the node before the restart; the others lie in its socket.
    let first = asked(&mut node);
    gate.settle();
    gate.renew(Signal::SIGTERM);
    let second = asked(&mut node);
    node.ok("node.invoke.result", &result(&second, "two"));
    node.ok("node.invoke.result", &result(&first, "one"));
    for (id, word) in [(before, "one"), (after, "two")] {
        assert_eq!(answer_to(&mut caller, &id)["payload"]["payload"]["n"], word);
    }
    // The time of a call runs on.
    let answer = answer_to(&mut caller, &short.0);
    let took = short.1.elapsed();
    assert!(answer["error"]["message"].as_str().expect("a message").contains("timed out"), "{answer}");
    assert!((Duration::from_millis(2_900)..Duration::from_secs(3) + LATE).contains(&took), "{took:?}");
    // The node is asked and answers as before.
    let again = invoke(&mut caller, 60_000);
    let mut third = asked(&mut node);
    if third["payload"]["timeoutMs"] == 3_000 {
        third = asked(&mut node);
    }
    node.ok("node.invoke.result", &result(&third, "three"));
    assert_eq!(caller.answer(&again).expect("an answer")["payload"]["payload"]["n"], "three");
}

#[test]
fn a_caller_without_its_answer_is_told_of_a_crash_and_the_node_stays() {
    let mut gate = Gate::kept_token(PATIENT);
    let (mut caller, mut node) = (gate.operator(ADMIN), node_host(&gate, 7));
    invoke(&mut caller, 60_000);
    let told = asked(&mut node);
    gate.settle();
    gate.renew(Signal::SIGKILL);
    cut_off("the caller", &caller.end());
    assert_eq!(answers(&caller), 0, "{:?}", caller.events);
    let late = node.ok("node.invoke.result", &result(&told, "late"));
    assert_eq!(late, json!({"ok": true, "ignored": true}));
    // Whoever calls next reaches it.
    let mut caller = gate.operator(ADMIN);
    let again = invoke(&mut caller, 60_000);
    let told = asked(&mut node);
    node.ok("node.invoke.result", &result(&told, "new"));
    assert_eq!(caller.answer(&again).expect("an answer")["payload"]["payload"]["n"], "new");
}

#[test]
fn a_connection_that_is_closing_gets_to_its_end() {
    let mut gate = Gate::kept_token("{handshake: {closingTimeoutMs: 4000}}");
    let span = Duration::from_secs(4);
    let refused = |gate: &Gate| {
        let mut peer = gate.open();
        peer.send("{}");
        // The close frame, unanswered: the library would answer it.
        let mut header = [0; 2];
        peer.raw().read_exact(&mut header).expect("a close frame");
        assert_eq!(header[0], 0x88);
        peer.raw().read_exact(&mut vec![0; usize::from(header[1])]).expect("its text");
        peer
    };
    let (mut polite, mut rude, start) = (refused(&gate), refused(&gate), Instant::now());
    gate.settle();
    std::thread::sleep(Duration::from_secs(1));
    gate.renew(Signal::SIGTERM);
    polite.raw().write_all(&frame(8, &1008_u16.to_be_bytes())).expect("room");
    let at_end = |peer: &mut Peer| match peer.raw().read(&mut [0; 16]) {
        Ok(count) => assert_eq!(count, 0, "more than a close frame"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    };
    at_end(&mut polite);
    assert!(start.elapsed() < span, "{:?}: it was answered", start.elapsed());
    at_end(&mut rude);
    let took = start.elapsed();
    assert!((span - LATE / 10..span + LATE).contains(&took), "{took:?}");
}

#[test]
fn a_peer_that_has_said_its_last_word_gets_its_answers() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut plain = dial(gate.port);
    gate.settle();
    gate.stop(Signal::SIGTERM);
    write!(plain, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port).expect("room");
    plain.shutdown(Shutdown::Write).expect("a socket");
    gate.go(|plan| plan);
    assert!(read_all(&mut plain).starts_with("HTTP/1.1 200 "));
}

/// How many answers came that nobody took.
fn answers(peer: &Peer) -> usize {
    peer.events.iter().filter(|frame| frame["type"] == "res").count()
}

/// The next frame that is an answer.
fn next_answer(peer: &mut Peer) -> Value {
    loop {
        let frame = peer.frame().expect("an answer");
        if frame["type"] == "res" {
            return frame;
        }
    }
}

/// The answer to `id`, also if it came before another one that was awaited.
fn answer_to(peer: &mut Peer, id: &str) -> Value {
    match peer.events.iter().position(|frame| frame["type"] == "res" && frame["id"] == id) {
        Some(at) => peer.events.remove(at).expect("it is there"),
        None => peer.answer(id).expect("an answer"),
    }
}

/// A peer of which a part of a message is here.
struct Half {
    peer: Peer,
    message: Vec<u8>,
    cut: usize,
}

impl Half {
    fn answer(&mut self) -> Result<Value, End> {
        self.peer.answer("half")
    }
}

/// Small messages and large ones, of both protocols, cut everywhere.
fn halves(gate: &Gate) -> Vec<Half> {
    let small = request("half", "health", &json!({}));
    let large = request("half", "health", &json!({"pad": "ü".repeat(300_000)}));
    let mut halves = Vec::new();
    for (protocol, text) in [(3, &small), (4, &small), (4, &large)] {
        let message = frame(1, text.as_bytes());
        for cut in cuts(&message).chain((message.len() > 70_000).then_some(70_000)) {
            let mut peer = gate.open();
            peer.admit(operator(protocol, READ));
            // What a new member hears first comes now, and not beside the answer.
            peer.ok("health", &json!({}));
            peer.events.clear();
            peer.raw().write_all(&message[..cut]).expect("room");
            halves.push(Half { peer, message: message.clone(), cut });
        }
    }
    halves
}

/// [`CUTS`] in this message.
fn cuts(message: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let last = message.len() - 1;
    CUTS.into_iter().map(move |cut| cut.min(last))
}

/// Asks the node of number 7 for something: the id of the request.
fn invoke(caller: &mut Peer, timeout_ms: u64) -> String {
    let key = format!("key-{}-{timeout_ms}", crate::live::unix_ms());
    caller.ask(
        "node.invoke",
        &json!({"nodeId": Device::new(7).id(), "command": "system.which", "timeoutMs": timeout_ms,
            "idempotencyKey": key}),
    )
}

/// The next call that reaches a node.
fn asked(node: &mut Peer) -> Value {
    loop {
        let frame = node.frame().expect("a call");
        if frame["event"] == "node.invoke.request" {
            return frame;
        }
    }
}

fn result(asked: &Value, word: &str) -> Value {
    json!({"id": asked["payload"]["id"], "nodeId": asked["payload"]["nodeId"], "ok": true, "payload": {"n": word}})
}

/// Bytes that lie in the sockets of the daemon, and that their peers have not taken.
fn unsent(gate: &Gate) -> u64 {
    let port = format!(":{:04X}", gate.port);
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
    let ours = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words[1].ends_with(&port).then(|| u64::from_str_radix(words[4].split(':').next()?, 16).ok())?
    });
    ours.sum()
}

/// Params for about a million bytes of log.
fn much() -> Value {
    json!({"limit": 5000, "maxBytes": 1_000_000})
}

#[test]
fn who_could_not_be_parked_is_told_of_a_planned_end() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut parked = gate.operator(READ);
    // From here on the kernel takes nobody.
    for stored in gate.keeper().stored().iter().filter(|stored| stored.name == LOT) {
        rustix::net::shutdown(&stored.fd, rustix::net::Shutdown::Both).expect("a socket");
    }
    let mut unparked = gate.operator(READ);
    gate.stop(Signal::SIGTERM);
    cut_off("who was not parked", &unparked.end());
    // What is broken is replaced, and nobody waits for it.
    gate.go(|plan| plan);
    drop(parked.end());
    let mut parked = gate.operator(READ);
    gate.renew(Signal::SIGTERM);
    parked.ok("health", &json!({}));
    assert!(gate.operator(READ).ok("health", &json!({})).is_object());
}
