//! Sessions at rest: neither a planned restart nor a crash is anything that they notice.

use std::time::{Duration, Instant};

use loopgate::limits;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::client::Device;
use crate::common::{Seed, TOKEN};
use crate::kit::{
    ADMIN, BOTH, LATE, Member, PATIENT, READ, listed, listed_params, node_host, numbers, one_of_each,
    without_a_gap,
};
use crate::live::keeper::{BOOK, LOT};
use crate::live::{End, Gate, Peer, dial, head, http, operator, unix_ms, until, with_auth};

#[test]
fn sessions_of_every_kind_go_on_as_what_they_are() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let mut members = one_of_each(&gate);
        for _ in 0..3 {
            gate.settle();
            gate.renew(signal);
            members.iter_mut().for_each(Member::is_itself);
        }
        for member in &members {
            let told: Vec<&Value> = member.peer.events.iter().map(|event| &event["event"]).collect();
            assert!(!told.contains(&&json!("shutdown")), "{signal}, {}: {told:?}", member.kind);
        }
    }
}

#[test]
fn what_comes_while_nobody_is_there_is_answered_by_the_next_process() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let mut member = gate.operator(READ);
        gate.settle();
        gate.stop(signal);
        let asked: Vec<String> = (0..50).map(|_| member.ask("health", &json!({}))).collect();
        let mut late = dial(gate.port);
        std::io::Write::write_all(&mut late, head(gate.port, "/", "").as_bytes()).expect("room");
        gate.go(|plan| plan);
        for id in asked {
            assert_eq!(member.answer(&id).expect("an answer")["ok"], true);
        }
        Peer::upgrade(late, "").expect("an upgrade").admit(operator(4, READ));
    }
}

#[test]
fn twenty_restarts_in_a_row_leave_nothing_behind() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut member = gate.operator(ADMIN);
    let kept = || [BOOK, LOT, LOT, LOT, LOT].map(str::to_owned);
    let names = |gate: &Gate| {
        let mut names = gate.keeper().names();
        names.sort_unstable_by(|a, b| b.cmp(a));
        names
    };
    for round in 0..20 {
        gate.renew(BOTH[round % 2]);
        member.ok("health", &json!({}));
        let mut guest = gate.operator(READ);
        guest.ok("health", &json!({}));
        guest.leave();
        gate.settle();
        assert_eq!(names(&gate), kept(), "round {round}");
    }
    // Its health is what a new process finds out and tells.
    let told: Vec<&Value> = member.events.iter().map(|event| &event["event"]).collect();
    assert!(told.iter().all(|name| *name == "health"), "{told:?}");
}

#[test]
fn the_numbered_stream_goes_on_without_a_gap() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let mut reader = gate.operator(READ);
        let mut guests = Vec::new();
        for round in 0..4 {
            let before = numbers(&reader).len();
            guests.push(listed(&gate, &format!("guest-{round}")));
            until("the list is told", || {
                reader.ok("health", &json!({}));
                numbers(&reader).len() > before
            });
            gate.settle();
            gate.renew(signal);
        }
        reader.ok("health", &json!({}));
        let seen = numbers(&reader);
        assert!(seen.len() >= 4, "{seen:?}");
        without_a_gap(&seen);
    }
}

/// The events themselves come from the runtime; that a subscription is still there shows in its bound.
#[test]
fn subscriptions_still_hold() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let mut reader = gate.operator(READ);
        let key = |number: usize| json!({"key": format!("agent:main:room-{number}")});
        reader.ok("sessions.subscribe", &json!({}));
        for number in 0..limits::SUBSCRIPTIONS_MAX {
            reader.ok("sessions.messages.subscribe", &key(number));
        }
        gate.settle();
        gate.renew(signal);
        reader.ok("sessions.messages.subscribe", &key(0));
        reader.error("sessions.messages.subscribe", &key(limits::SUBSCRIPTIONS_MAX));
        reader.ok("sessions.messages.unsubscribe", &key(3));
        gate.settle();
        gate.renew(signal);
        reader.ok("sessions.messages.subscribe", &key(limits::SUBSCRIPTIONS_MAX));
        reader.error("sessions.messages.subscribe", &key(3));
    }
}

#[test]
fn the_presence_list_is_the_same_and_nobody_is_told_of_it() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let guests = [listed(&gate, "one"), listed(&gate, "two"), node_host(&gate, 7)];
        let gone = listed(&gate, "gone");
        gone.leave();
        let mut reader = gate.operator(READ);
        let version = |gate: &Gate| {
            let hello = gate.open().admit(operator(4, READ));
            hello["snapshot"]["stateVersion"]["presence"].as_u64().expect("a number")
        };
        // What has happened so far is told once and for all.
        std::thread::sleep(3 * limits::PRESENCE_SETTLE);
        let before = (others(&mut reader), version(&gate));
        assert_eq!(before.0.len(), 4, "{before:?}");
        reader.events.clear();
        gate.come_to_rest();
        gate.renew(signal);
        assert_eq!(others(&mut reader), before.0, "{signal}");
        // After a crash nobody knows how far it had come; it never goes back.
        let after = version(&gate);
        assert!(after == before.1 || (signal == Signal::SIGKILL && after > before.1), "{signal}: {after}");
        std::thread::sleep(3 * limits::PRESENCE_SETTLE);
        reader.ok("health", &json!({}));
        let told = reader.events.iter().filter(|event| event["event"] == "presence").count();
        assert_eq!(told, 0, "{:?}", reader.events);
        // Who keeps an entry alive is known as well.
        drop(guests);
        until("their ends are seen", || {
            let list = others(&mut reader);
            list.iter().all(|entry| entry["reason"] == "disconnect")
        });
    }
}

#[test]
fn who_leaves_while_nobody_is_there_is_gone() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let guest = listed(&gate, "guest");
        let mut reader = gate.operator(READ);
        gate.settle();
        gate.stop(signal);
        drop(guest);
        gate.go(|plan| plan);
        until("it is seen", || others(&mut reader)[0]["reason"] == "disconnect");
    }
}

#[test]
fn a_lock_out_and_the_attempts_so_far_are_remembered() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let guess = |gate: &Gate, origin: &str, token: &str| {
            let mut params = with_auth(operator(4, READ), json!({"token": token}));
            params["client"] =
                json!({"id": "webchat-ui", "mode": "webchat", "version": "1", "platform": "web"});
            let origin = format!("Origin: http://{origin}:{}\r\n", gate.port);
            gate.open_with(&origin).expect("our own page may upgrade").refusal(&params)
        };
        for number in 0..9 {
            assert_eq!(guess(&gate, "localhost", &format!("guess-{number}")), "AUTH_TOKEN_MISMATCH");
        }
        gate.come_to_rest();
        gate.renew(signal);
        // The tenth attempt is the last one, and it was not the first of a new process.
        assert_eq!(guess(&gate, "localhost", "guess-9"), "AUTH_TOKEN_MISMATCH");
        assert_eq!(guess(&gate, "localhost", "guess-10"), "AUTH_RATE_LIMITED");
        gate.come_to_rest();
        gate.renew(signal);
        assert_eq!(guess(&gate, "localhost", TOKEN), "AUTH_RATE_LIMITED");
    }
}

#[test]
fn a_pairing_request_waits_on() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let device = Device::new(3);
        let mut owner = gate.operator(ADMIN);
        let asked = |gate: &Gate| {
            let peer = gate.page();
            let params = peer.sign(&device, operator(4, READ));
            peer.refused(&params).0["details"]["requestId"].clone()
        };
        let request = asked(&gate);
        let pending = owner.ok("device.pair.list", &json!({}))["pending"].clone();
        gate.come_to_rest();
        gate.renew(signal);
        assert_eq!(owner.ok("device.pair.list", &json!({}))["pending"], pending);
        assert_eq!(asked(&gate), request, "who asks again waits under the same number");
        owner.ok("device.pair.approve", &json!({"requestId": request}));
        let mut page = gate.page();
        let params = page.sign(&device, operator(4, READ));
        page.admit(params);
    }
}

#[test]
fn what_waits_for_a_node_and_what_was_switched_off_stays_so() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let (mut admin, mut node) = (gate.operator(ADMIN), node_host(&gate, 7));
        let work = json!({"nodeId": Device::new(7).id(), "type": "location.request", "priority": "high"});
        let queued = admin.ok("node.pending.enqueue", &work)["queued"]["id"].clone();
        admin.ok("set-heartbeats", &json!({"enabled": false}));
        let status = admin.ok("status", &json!({}))["heartbeat"].clone();
        gate.come_to_rest();
        gate.renew(signal);
        let drained = node.ok("node.pending.drain", &json!({"maxItems": 1}));
        assert_eq!(drained["items"][0]["id"], queued, "{drained}");
        assert_eq!(admin.ok("status", &json!({}))["heartbeat"], status);
    }
}

/// The tick of a session comes thirty seconds after it was admitted, whatever happens to the process meanwhile.
#[test]
fn the_tick_keeps_its_time() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut reader = gate.operator(READ);
    let start = Instant::now();
    for signal in BOTH {
        std::thread::sleep(Duration::from_secs(7));
        gate.renew(signal);
        reader.ok("health", &json!({}));
    }
    std::thread::sleep(Duration::from_secs(2));
    let tick = loop {
        let event = reader.frame().expect("a tick");
        reader.events.push_back(event.clone());
        if event["event"] == "tick" {
            break event;
        }
    };
    let took = start.elapsed();
    assert!((limits::TICK - LATE..limits::TICK + LATE).contains(&took), "{took:?}: {tick}");
    without_a_gap(&numbers(&reader));
}

#[test]
fn who_is_silent_or_only_challenged_goes_on_with_the_nonce_it_has() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let silent = dial(gate.port);
        let mut challenged = gate.open();
        gate.settle();
        gate.renew(signal);
        let params = challenged.sign(&Device::new(1), listed_params("late"));
        challenged.admit(params);
        let upgraded = Peer::upgrade(silent, &head(gate.port, "/", "")).expect("an upgrade");
        assert_ne!(upgraded.nonce, challenged.nonce);
        drop(upgraded);
        challenged.ok("health", &json!({}));
    }
}

#[test]
fn the_handshakes_clock_runs_from_accept_on() {
    let whole = Duration::from_secs(4);
    for signal in BOTH {
        let mut gate =
            Gate::kept_token("{handshake: {timeoutMs: 4000, headTimeoutMs: 3500, closingTimeoutMs: 500}}");
        let start = Instant::now();
        let mut silent = dial(gate.port);
        let mut challenged = gate.open();
        gate.settle();
        std::thread::sleep(Duration::from_secs(2));
        gate.renew(signal);
        let (code, reason) = challenged.end();
        let took = start.elapsed();
        assert!(code == 1008 && reason.contains("connect"), "{code} {reason:?}");
        assert!((whole - LATE / 10..whole + LATE).contains(&took), "{signal}: {took:?}");
        let answer = crate::live::raw::read_all(&mut silent);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        let took = start.elapsed();
        assert!((whole - LATE / 10..whole + LATE).contains(&took), "{signal}: {took:?}");
    }
}

#[test]
fn a_stop_is_told_and_leaves_nobody_waiting() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut member = gate.operator(READ);
    let mut challenged = gate.open();
    gate.daemon.signal(Signal::SIGINT);
    let end = member.end();
    assert_eq!(end.0, 1012, "{end:?}");
    assert!(member.events.iter().any(|event| event["event"] == "shutdown"), "{:?}", member.events);
    assert_eq!(challenged.end().0, 1012);
    drop((member, challenged));
    gate.daemon.end();
    gate.go(|plan| plan);
    assert!(http(gate.port, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").contains("200 OK"));
    gate.operator(READ).ok("health", &json!({}));
}

/// The presence list without the gateway's own line, which shows the time.
fn others(reader: &mut Peer) -> Vec<Value> {
    let list = reader.ok("system-presence", &json!({}));
    let others = list.as_array().expect("a list").iter().filter(|entry| entry["reason"] != "self");
    others.cloned().collect()
}

/// A new process has something to tell everybody at once, its health; the instant in which it does is short.
#[test]
fn a_crash_right_after_a_start_costs_nobody_at_rest() {
    let mut seed = Seed(unix_ms());
    let mut gate = Gate::kept_token(PATIENT);
    let mut idle: Vec<Peer> = (0..300).map(|_| gate.operator(READ)).collect();
    gate.come_to_rest();
    for _ in 0..30 {
        gate.stop(Signal::SIGKILL);
        gate.go(|plan| plan);
        std::thread::sleep(Duration::from_millis(seed.next() % 20));
    }
    let lost: Vec<End> = idle.iter_mut().filter_map(|peer| peer.call("health", &json!({})).err()).collect();
    assert!(lost.is_empty(), "{} of {}: {:?}", lost.len(), idle.len(), lost[0]);
}

/// A process that ends as planned before its first turn is over has not failed at taking over.
#[test]
fn restarts_in_haste_give_nobody_up() {
    let mut gate = Gate::kept_token(PATIENT);
    let mut peer = gate.operator(READ);
    gate.settle();
    gate.stop(Signal::SIGTERM);
    for _ in 0..2 * limits::HANDOVER_ATTEMPTS_MAX {
        gate.launch(|plan| plan);
        let status = format!("/proc/{}/status", gate.daemon.pid());
        while !std::fs::read_to_string(&status).expect("it runs").lines().any(blocks_sigterm) {}
        gate.stop(Signal::SIGTERM);
    }
    gate.go(|plan| plan);
    peer.ok("health", &json!({}));
}

/// A line of `/proc/PID/status`: signals from here on are read in the loop.
fn blocks_sigterm(line: &str) -> bool {
    let mask = line.strip_prefix("SigBlk:").map(|mask| u64::from_str_radix(mask.trim(), 16).expect("a mask"));
    mask.is_some_and(|mask| mask & 1 << (Signal::SIGTERM as u32 - 1) != 0)
}
