//! What is bounded: calls, legs, bytes; and who is not read while somebody else does not take what it has.

use std::time::Duration;

use loopgate::gateway::io::Input;
use loopgate::limits;
use serde_json::json;

use crate::bench::{ALL, Bench, answered};
use crate::runtime::Manner;

fn quoted(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[test]
fn one_client_has_so_many_calls_and_no_more() {
    let mut bench = Bench::new();
    let ((mut client, name), (mut other, second)) = (bench.client(4, ALL), bench.client(4, ALL));
    for number in 0..limits::CALLS_MAX {
        bench.ask(&mut client, &number.to_string(), "wizard.start", "{}");
    }
    assert!(client.frames.iter().all(|frame| frame["type"] != "res"));
    bench.ask(&mut client, "more", "wizard.start", "{}");
    let error = client.answer("more")["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{error}");
    assert_eq!(bench.runtime.leg(&name).asked.len(), limits::CALLS_MAX);
    bench.call(&mut other, &second, "wizard.start", "{}");
    let asked = bench.runtime.leg(&name).asked.pop_front().unwrap();
    bench.answer(&name, &mut client, &asked, "{}");
    bench.ask(&mut client, "room", "wizard.start", "{}");
    assert!(!answered(&client, "room"));
}

/// What waits is kept, so it is bounded; what goes at once is not.
#[test]
fn so_many_bytes_wait_for_a_runtime_and_no_more() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "large", "wizard.start", &quoted(limits::CALL_KEPT_BYTES_MAX + 1));
    assert_eq!(bench.asked(&name).method, "wizard.start");
    bench.die(false);
    client.receive(&mut bench.world);
    client.frames.clear();
    bench.ask(&mut client, "large", "wizard.start", &quoted(limits::CALL_KEPT_BYTES_MAX + 1));
    assert_eq!(client.answer("large")["error"]["code"], "UNAVAILABLE");
    let full = limits::CALLS_KEPT_BYTES_MAX / limits::CALL_KEPT_BYTES_MAX;
    for number in 0..full {
        bench.ask(&mut client, &number.to_string(), "wizard.start", &quoted(limits::CALL_KEPT_BYTES_MAX));
        assert!(!answered(&client, &number.to_string()));
    }
    bench.ask(&mut client, "more", "wizard.start", "{}");
    assert_eq!(client.answer("more")["error"]["code"], "UNAVAILABLE");
    // When they are gone there is room again.
    bench.sleep(limits::CALL_WAIT);
    client.receive(&mut bench.world);
    for number in 0..full {
        assert_eq!(client.answer(&number.to_string())["ok"], false);
    }
    bench.ask(&mut client, "room", "wizard.start", &quoted(limits::CALL_KEPT_BYTES_MAX));
    assert!(!answered(&client, "room"));
}

/// 2026.9.6 refuses more than 32 connections that it has not let in.
#[test]
fn legs_are_opened_a_few_at_a_time() {
    let mut bench = Bench::in_manner(Manner::Away);
    let mut clients: Vec<_> = (0..50).map(|_| bench.client(4, &["operator.read"])).collect();
    bench.runtime.manner = Manner::Serves;
    let mut most = 0;
    for _ in 0..5_000 {
        bench.world.now = bench.world.now.later(Duration::from_millis(1));
        bench.world.gateway.expire(bench.world.now);
        bench.world.settle();
        for (conn, port) in std::mem::take(&mut bench.world.dialled) {
            bench.runtime.dialled(conn, port);
        }
        most = most.max(bench.runtime.backlog.len());
        bench.turn();
    }
    assert!((2..=limits::LEGS_OPENING_MAX).contains(&most), "{most}");
    for (client, name) in &mut clients {
        client.receive(&mut bench.world);
        assert!(bench.runtime.leg(name).open, "each gets its turn");
    }
}

#[test]
fn there_are_so_many_legs_and_no_more() {
    let mut bench = Bench::new();
    // The sentinel has one.
    let mut clients: Vec<_> = (0..limits::LEGS_MAX).map(|_| bench.client(4, &["operator.read"])).collect();
    assert_eq!(bench.runtime.legs.len(), limits::LEGS_MAX);
    let (mut last, name) = clients.pop().unwrap();
    bench.ask(&mut last, "read", "status", "{}");
    assert_eq!(
        last.answer("read")["payload"]["loopgate"]["answeredBy"],
        "loopgate",
        "nobody waits for what is known here"
    );
    bench.ask(&mut last, "1", "tts.status", "{}");
    bench.sleep(limits::CALL_WAIT);
    last.receive(&mut bench.world);
    let error = last.answer("1")["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)));
    let message = error["message"].as_str().unwrap();
    assert!(message.ends_with("has not let this client in yet; it was not executed"), "{message}");
    let (first, _) = clients.swap_remove(0);
    bench.world.handle(Input::Lost { conn: first.conn });
    bench.sleep(Duration::from_secs(2));
    bench.call(&mut last, &name, "tts.status", "{}");
}

/// A runtime that takes nothing holds its client up, and nobody else.
#[test]
fn a_client_is_not_read_while_the_runtime_takes_nothing() {
    let mut bench = Bench::new();
    let ((mut client, name), (other, _)) = (bench.client(4, ALL), bench.client(4, ALL));
    bench.runtime.manner = Manner::Frozen;
    let large = quoted(200_000);
    let mut sent = 0;
    while bench.world.gateway.wants_read(client.conn) {
        bench.ask(&mut client, &sent.to_string(), "wizard.start", &large);
        sent += 1;
        assert!(sent < 100, "somebody pays for this");
    }
    let leg = bench.runtime.leg(&name).conn;
    let unsent = bench.world.gateway.outgoing(leg).len();
    assert!(
        (limits::LEG_TX_BYTES_MAX..limits::LEG_TX_BYTES_MAX + 2 * large.len()).contains(&unsent),
        "{unsent}"
    );
    assert!(bench.world.gateway.wants_read(other.conn));
    bench.runtime.manner = Manner::Serves;
    bench.turn();
    assert!(bench.world.gateway.wants_read(client.conn));
    assert_eq!(bench.runtime.leg(&name).asked.len(), sent, "nothing is lost");
}

/// A client that takes nothing holds its leg up, and nobody else's.
#[test]
fn a_leg_is_not_read_while_its_client_takes_nothing() {
    let mut bench = Bench::new();
    let ((mut client, name), (_other, second)) = (bench.client(4, ALL), bench.client(4, ALL));
    let (leg, its) = (bench.runtime.leg(&name).conn, bench.runtime.leg(&second).conn);
    let payload = quoted(500_000);
    let mut told = 0;
    while bench.world.gateway.wants_read(leg) {
        bench.say(&name, &format!(r#"{{"type":"event","event":"chat","payload":{payload},"seq":1}}"#));
        told += 1;
        assert!(told < 100, "somebody pays for this");
    }
    let unsent = bench.world.gateway.outgoing(client.conn).len();
    let most = limits::LEG_CLIENT_TX_BYTES_MAX + 2 * payload.len();
    assert!((limits::LEG_CLIENT_TX_BYTES_MAX..most).contains(&unsent), "{unsent}");
    assert!(bench.world.gateway.wants_read(its));
    client.receive(&mut bench.world);
    assert!(bench.world.gateway.wants_read(leg));
    assert_eq!(client.events("chat").len(), told, "nothing is lost");
}
