//! Events of the runtime: who hears them, in whose numbers, and what is missed.

use std::time::Duration;

use loopgate::limits;
use serde_json::{Value, json};

use crate::bench::{ALL, Bench};
use crate::common::Client;
use crate::runtime::Manner;

fn event(name: &str, payload: &str, seq: Option<u64>) -> String {
    let seq = seq
        .map(|seq| format!(r#","seq":{seq},"stateVersion":{{"presence":9,"health":9}}"#))
        .unwrap_or_default();
    format!(r#"{{"type":"event","event":"{name}","payload":{payload}{seq}}}"#)
}

fn numbers(client: &Client) -> Vec<u64> {
    client.frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect()
}

fn names(client: &Client) -> Vec<&str> {
    client.frames.iter().filter_map(|frame| frame["event"].as_str()).collect()
}

#[test]
fn events_are_gated_and_numbered_for_each_client() {
    let mut bench = Bench::new();
    let ((mut admin, all), (mut reader, few)) = (bench.client(4, ALL), bench.client(3, &["operator.read"]));
    for client in [&mut admin, &mut reader] {
        client.receive(&mut bench.world);
        client.frames.clear();
        client.texts = Some(Vec::new());
    }
    let odd = r#"{ "text":"\u0041", "n":1.50,"big":12345678901234567890123 }"#;
    for (seq, name) in (100..).zip(["chat", "exec.approval.requested", "agent", "terminal.data", "cron"]) {
        for leg in [&all, &few] {
            bench.say(leg, &event(name, odd, Some(seq)));
        }
    }
    for client in [&mut admin, &mut reader] {
        client.receive(&mut bench.world);
    }
    assert_eq!(names(&admin), ["chat", "exec.approval.requested", "agent", "terminal.data", "cron"]);
    assert_eq!(names(&reader), ["chat", "agent", "cron"]);
    for client in [&admin, &reader] {
        let numbers = numbers(client);
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        for text in client.texts.as_ref().unwrap() {
            assert!(text.contains(&format!(r#""payload":{odd}"#)), "{text}");
        }
    }
    // One that is told to this client alone has no number, and takes none.
    let last = *numbers(&admin).last().unwrap();
    bench.say(&all, &event("chat", "1", None));
    bench.say(&all, &event("chat", "2", Some(7)));
    admin.receive(&mut bench.world);
    let chats = admin.events("chat");
    let (alone, next) = (&chats[chats.len() - 2], &chats[chats.len() - 1]);
    assert_eq!((alone.get("seq"), &alone["payload"], &next["seq"]), (None, &json!(1), &json!(last + 1)));
}

#[test]
fn what_is_the_gates_own_is_not_heard_twice() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    client.receive(&mut bench.world);
    client.frames.clear();
    for own in [
        "tick",
        "presence",
        "shutdown",
        "connect.challenge",
        "device.pair.requested",
        "device.pair.resolved",
        "no.such.event",
    ] {
        bench.say(&name, &event(own, "{}", Some(1)));
        bench.say(&name, &event(own, "{}", None));
    }
    bench.say(&name, "[]");
    bench.say(&name, "no JSON");
    client.receive(&mut bench.world);
    assert!(client.frames.is_empty(), "{:?}", client.frames);
    // Of health the runtime knows more, so its events are the ones.
    bench.say(&name, &event("health", r#"{"of":"runtime"}"#, Some(5)));
    bench.sleep(Duration::from_secs(300));
    client.receive(&mut bench.world);
    let health = client.events("health");
    assert_eq!((health.len(), &health[0]["payload"]), (1, &json!({"of": "runtime"})));
    let versions = &health[0]["stateVersion"];
    assert!(
        ["presence", "health"].iter().all(|of| versions[of].as_u64().is_some_and(|own| own != 9)),
        "{versions}"
    );
    assert_eq!(client.events("tick").len(), 10);
}

/// A client of protocol 3 that sees a number left out asks for what it has missed; one of protocol 4 gives its connection
/// up, so it sees none.
#[test]
fn a_lost_leg_leaves_a_gap_to_older_clients() {
    for (protocol, want) in [(3, [2, 2, 2]), (4, [1, 1, 1])] {
        let mut bench = Bench::new();
        let ((mut client, name), (mut other, stays)) =
            (bench.client(protocol, ALL), bench.client(protocol, ALL));
        for round in 0..3 {
            for leg in [&name, &stays] {
                bench.say(leg, &event("chat", &round.to_string(), Some(1)));
            }
            bench.break_leg(&name);
            bench.sleep(limits::RUNTIME_RETRY);
        }
        bench.say(&name, &event("chat", "3", Some(1)));
        client.receive(&mut bench.world);
        other.receive(&mut bench.world);
        let seqs = |client: &mut Client| -> Vec<u64> {
            client.events("chat").iter().map(|event| event["seq"].as_u64().unwrap()).collect()
        };
        let gaps: Vec<u64> = seqs(&mut client).windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, want, "protocol {protocol}");
        let gaps: Vec<u64> = seqs(&mut other).windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, [1, 1], "the others have missed nothing");
    }
}

#[test]
fn subscriptions_outlive_legs_and_runtimes() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    for (id, method, params) in [
        ("1", "sessions.subscribe", "{}"),
        ("2", "sessions.messages.subscribe", r#"{"key":"agent:main:main"}"#),
        ("3", "sessions.messages.subscribe", r#"{"key":"agent:main:other"}"#),
        ("4", "sessions.messages.unsubscribe", r#"{"key":"agent:main:main"}"#),
    ] {
        bench.ask(&mut client, id, method, params);
        let asked = bench.asked(&name);
        assert_eq!(asked.method, method, "the runtime hears it");
        bench.answer(&name, &mut client, &asked, r#"{"subscribed":true}"#);
        assert_eq!(client.answer(id)["payload"], json!({"subscribed": true}), "and answers it");
    }
    client.frames.clear();
    for broken in [true, false] {
        if broken {
            bench.break_leg(&name);
        } else {
            bench.die(false);
            // Asked for while nobody is there.
            bench.ask(&mut client, "5", "sessions.messages.subscribe", r#"{"key":"agent:main:third"}"#);
            assert_eq!(client.answer("5")["payload"]["loopgate"]["runtime"], "away");
            bench.runtime.manner = Manner::Serves;
        }
        bench.sleep(Duration::from_secs(1));
        let asked: Vec<_> = bench.runtime.leg(&name).asked.drain(..).collect();
        let mut said: Vec<String> = asked
            .iter()
            .map(|asked| {
                let request: Value = serde_json::from_str(&asked.text).unwrap();
                format!("{} {}", asked.method, request["params"])
            })
            .collect();
        said.sort();
        let mut wanted = vec![
            r#"sessions.messages.subscribe {"key":"agent:main:other"}"#,
            r#"sessions.messages.subscribe {"key":"agent:main:third"}"#,
            "sessions.subscribe {}",
        ];
        wanted.retain(|text| !broken || !text.contains("third"));
        assert_eq!(said, wanted);
        for asked in &asked {
            bench.answer(&name, &mut client, asked, r#"{"subscribed":true}"#);
        }
        assert!(client.frames.iter().all(|frame| frame["type"] != "res"), "the client has not asked");
    }
}
