//! The runtime away, starting, refusing or stalled: who is answered all the same, who waits, and how it is noticed again.

use std::time::Duration;

use loopgate::clock::millis;
use loopgate::journal::{Field, Kind};
use loopgate::limits;
use serde_json::{Value, json};

use crate::bench::{ALL, Bench, answered};
use crate::common::Client;
use crate::runtime::Manner;

/// A gateway that had a runtime, and what has become of that since.
fn fallen(condition: &str) -> (Bench, Client, String) {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    let starting = json!({"code": "UNAVAILABLE", "message": "starting", "retryable": true});
    let wrong = json!({"code": "INVALID_REQUEST", "message": "wrong secret"});
    bench.call(&mut client, &name, "hooks.status", r#"{"kept":1.50}"#);
    if condition == "stalled" {
        bench.runtime.manner = Manner::Frozen;
        bench.ask(&mut client, "stall", "wizard.next", "{}");
        bench.sleep(limits::RUNTIME_SILENCE + limits::RUNTIME_STALL);
    } else {
        bench.die(false);
        bench.runtime.manner = match condition {
            "away" => Manner::Away,
            "starting" => Manner::Refuses(starting),
            _ => Manner::Refuses(wrong),
        };
        bench.sleep(limits::RUNTIME_RETRY);
    }
    let line = bench.world.gateway.status_line();
    assert!(line.ends_with(&format!("runtime {condition}")), "{line}");
    client.frames.clear();
    (bench, client, name)
}

const CONDITIONS: [&str; 4] = ["away", "starting", "refusing", "stalled"];

#[test]
fn reads_are_answered_here_and_say_so() {
    for condition in CONDITIONS {
        let (mut bench, mut client, _) = fallen(condition);
        let now = bench.world.now.unix_ms;
        let mark = |by: &str, at: u64| json!({"answeredBy": by, "runtime": condition, "asOfMs": at});
        for method in ["cron.list", "status", "health", "sessions.list", "config.get", "sessions.subscribe"] {
            bench.ask(&mut client, "1", method, "{}");
            let answer = client.answer("1");
            assert_eq!(answer["payload"]["loopgate"], mark("loopgate", now), "{method}: {answer}");
        }
        // What the runtime said last, for the same question of the same scopes alone.
        bench.ask(&mut client, "2", "hooks.status", "{}");
        let payload = client.answer("2")["payload"].clone();
        assert_eq!(payload["kept"], 1.5);
        assert_eq!(payload["loopgate"]["answeredBy"], "last-good");
        let kept = payload["loopgate"]["asOfMs"].as_u64().unwrap();
        assert_eq!((&payload["loopgate"]["runtime"], kept < now), (&json!(condition), true));
        let (mut reader, _) = bench.client(4, &["operator.read"]);
        for client in [(&mut client, r#"{"x":1}"#), (&mut reader, "{}")] {
            bench.ask(client.0, "3", "hooks.status", client.1);
            let other = client.0.frames.iter().find(|frame| frame["id"] == "3");
            assert!(other.is_none_or(|frame| frame["ok"] == false), "{other:?}");
        }
        // The gate's own matter is nobody else's, so it says nothing of that.
        bench.ask(&mut client, "4", "node.list", "{}");
        assert!(client.answer("4")["payload"].get("loopgate").is_none());
    }
}

#[test]
fn without_a_runtime_nothing_is_marked() {
    let mut bench = Bench::new();
    bench.reload(None);
    let (mut client, _) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "cron.list", "{}");
    assert!(client.answer("1")["payload"].get("loopgate").is_none());
    bench.ask(&mut client, "2", "wizard.start", "{}");
    let error = client.answer("2")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("needs the OpenClaw runtime"), "{error}");
    bench.ask(&mut client, "3", "no.such.method", "{}");
    assert_eq!(client.answer("3")["error"]["message"], "unknown method: no.such.method");
}

#[test]
fn other_calls_wait_and_are_told_the_truth() {
    for condition in ["away", "starting", "stalled"] {
        let (mut bench, mut client, _) = fallen(condition);
        bench.ask(&mut client, "1", "wizard.start", "{}");
        bench.sleep(limits::CALL_WAIT.checked_sub(Duration::from_millis(1)).unwrap());
        client.receive(&mut bench.world);
        assert!(!answered(&client, "1"), "{condition}");
        bench.sleep(Duration::from_millis(1));
        client.receive(&mut bench.world);
        let error = client.answer("1")["error"].clone();
        assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(condition) && message.contains("it was not executed"), "{message}");
        let retry = error["retryAfterMs"].as_u64().unwrap();
        assert!((1..=millis(limits::RUNTIME_REFUSED_RETRY)).contains(&retry), "{retry}");
        assert!(client.close.is_none());
    }
    // Where a person has to mend something nobody waits.
    let (mut bench, mut client, _) = fallen("refusing");
    bench.ask(&mut client, "1", "wizard.start", "{}");
    let error = client.answer("1")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("wrong secret"), "{error}");
    assert_eq!(error["retryAfterMs"], millis(limits::RUNTIME_REFUSED_RETRY));
}

#[test]
fn a_call_that_waits_goes_when_the_runtime_is_there() {
    for condition in ["away", "starting", "stalled"] {
        let (mut bench, mut client, name) = fallen(condition);
        bench.ask(&mut client, "1", "wizard.start", r#"{"b":1.50}"#);
        bench.ask(&mut client, "2", "no.such.method", "[]");
        if condition == "stalled" {
            assert!(bench.runtime.leg(&name).asked.is_empty());
        }
        bench.sleep(Duration::from_secs(3));
        bench.runtime.manner = Manner::Serves;
        // Noticed again within a second.
        bench.sleep(Duration::from_secs(1));
        let asked = &mut bench.runtime.leg(&name).asked;
        asked.retain(|asked| asked.method != "wizard.next");
        let methods: Vec<&str> = asked.iter().map(|asked| &*asked.method).collect();
        assert_eq!(methods, ["wizard.start", "no.such.method"], "{condition}");
        let first = asked.pop_front().unwrap();
        asked.clear();
        assert!(first.text.ends_with(r#","params":{"b":1.50}}"#), "{}", first.text);
        bench.answer(&name, &mut client, &first, "{}");
        assert_eq!(client.answer("1")["payload"], json!({}), "no mark on the runtime's own answer");
        assert!(bench.world.last(Kind::RuntimeReady, Field::RuntimeVersion).is_some());
    }
}

/// Silence alone is nothing; silence while somebody waits is asked about; and only then it is a stall.
#[test]
fn a_stall_is_told_from_a_long_answer() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.sleep(Duration::from_secs(600));
    assert_eq!(bench.runtime.sentinel().pings, 0, "nobody waits");
    bench.ask(&mut client, "1", "wizard.start", "{}");
    let asked = bench.asked(&name);
    bench.sleep(Duration::from_secs(120));
    let pings = bench.runtime.sentinel().pings;
    assert!((100..=240).contains(&pings), "{pings}");
    assert!(bench.world.entries(Kind::RuntimeStalled).is_empty(), "it turns");
    bench.answer(&name, &mut client, &asked, "{}");
    assert_eq!(client.answer("1")["ok"], true, "however long it took");

    bench.runtime.manner = Manner::Frozen;
    for (id, method) in [("2", "wizard.next"), ("3", "cron.list"), ("4", "browser.request")] {
        bench.ask(&mut client, id, method, "{}");
    }
    bench.sleep(limits::RUNTIME_SILENCE + limits::RUNTIME_STALL);
    client.receive(&mut bench.world);
    assert_eq!(bench.world.last(Kind::RuntimeStalled, Field::Count).as_deref(), Some("3"));
    assert_eq!(client.answer("3")["payload"]["loopgate"]["runtime"], "stalled", "a read need not wait");
    assert!(!answered(&client, "2") && !answered(&client, "4"), "what it may have done it has to answer");
    bench.sleep(limits::CALL_WAIT);
    client.receive(&mut bench.world);
    for id in ["2", "4"] {
        let error = client.answer(id)["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("may have been executed"), "{error}");
    }
    // It goes on, and says all that it owed; the calls are over.
    bench.runtime.manner = Manner::Serves;
    bench.turn();
    let late: Vec<_> = bench.runtime.leg(&name).asked.drain(..).collect();
    assert_eq!(late.len(), 3);
    for asked in &late {
        bench.answer(&name, &mut client, asked, "{}");
    }
    assert!(client.frames.iter().all(|frame| frame["type"] != "res"), "{:?}", client.frames);
    assert!(bench.world.gateway.status_line().ends_with("runtime 2026.9.6"));
}

/// A runtime that is away costs a connect now and then and nothing else, however many ask.
#[test]
fn a_dead_runtime_costs_nothing() {
    let (mut bench, mut client, _) = fallen("away");
    let before = bench.runtime.dials;
    for second in 0..60 {
        bench.ask(&mut client, &format!("a{second}"), "wizard.start", "{}");
        bench.ask(&mut client, &format!("b{second}"), "cron.list", "{}");
        bench.sleep(Duration::from_secs(1));
    }
    let dials = bench.runtime.dials - before;
    assert!((60..=121).contains(&dials), "{dials}");
    assert_eq!(bench.world.entries(Kind::RuntimeAway).len(), 1, "told once");
    client.receive(&mut bench.world);
    assert_eq!(client.events("tick").len(), 2, "clients tick meanwhile");
}

/// Whoever comes while it is away gets a leg when it is there, without asking for anything.
#[test]
fn who_came_meanwhile_hears_its_events() {
    let (mut bench, mut client, name) = fallen("away");
    let (mut late, other) = bench.client(3, &["operator.read"]);
    bench.runtime.manner = Manner::Serves;
    bench.sleep(Duration::from_secs(1));
    for (client, name) in [(&mut client, &name), (&mut late, &other)] {
        bench.say(name, r#"{"type":"event","event":"chat","payload":{"n":1},"seq":1}"#);
        client.receive(&mut bench.world);
        assert_eq!(client.events("chat")[0]["payload"], json!({"n": 1}));
    }
}

#[test]
fn a_kept_answer_is_the_newest_good_one() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.call(&mut client, &name, "config.schema", r#"{"n":1}"#);
    bench.sleep(Duration::from_secs(1));
    let at = bench.world.now.unix_ms;
    bench.call(&mut client, &name, "config.schema", r#"{"n":2}"#);
    bench.sleep(Duration::from_secs(1));
    bench.ask(&mut client, "bad", "config.schema", "{}");
    let asked = bench.asked(&name);
    bench.fail(&name, &asked, r#"{"code":"X","message":"x"},"payload":{"n":9}"#);
    // What was not kept before is not known afterwards.
    bench.call(&mut client, &name, "wizard.start", r#"{"n":3}"#);
    bench.die(false);
    client.frames.clear();
    bench.ask(&mut client, "1", "config.schema", "{}");
    let payload: Value = client.answer("1")["payload"].clone();
    assert_eq!((&payload["n"], payload["loopgate"]["asOfMs"].as_u64()), (&json!(2), Some(at)));
    bench.ask(&mut client, "2", "wizard.start", "{}");
    assert!(!answered(&client, "2"));
}
