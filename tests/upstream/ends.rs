//! The end of legs, of the runtime, of clients, and what becomes of calls that were under way.

use std::time::Duration;

use loopgate::gateway::io::Input;
use loopgate::limits;
use serde_json::{Value, json};

use crate::bench::{ALL, Bench, PORT, answered};
use crate::common::Client;
use crate::runtime::Manner;

const KEY: &str = r#"{"message":"hello", "idempotencyKey":"k-1","b":1.50}"#;

fn message(client: &mut Client, id: &str) -> String {
    let error = client.answer(id)["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{error}");
    assert!(error["retryAfterMs"].as_u64().is_some_and(|ms| ms > 0), "{error}");
    error["message"].as_str().unwrap().to_owned()
}

/// SIGKILL: what had an answer coming is answered now, and told what is known.
#[test]
fn calls_in_flight_when_the_runtime_dies_are_answered_once() {
    for last_first in [false, true] {
        let mut bench = Bench::new();
        let (mut client, name) = bench.client(4, ALL);
        bench.ask(&mut client, "once", "wizard.start", KEY);
        bench.ask(&mut client, "read", "cron.list", "{}");
        bench.ask(&mut client, "key", "chat.send", KEY);
        bench.ask(&mut client, "twice", "agent", KEY);
        bench.ask(&mut client, "unseen", "browser.request", r#"{"method":"GET","path":"/"}"#);
        let asked: Vec<_> = bench.runtime.leg(&name).asked.drain(..).collect();
        bench.answer(&name, &mut client, &asked[3], r#"{"status":"accepted"}"#);
        client.answer("twice");
        bench.die(last_first);
        client.receive(&mut bench.world);
        let read = client.answer("read");
        assert_eq!(read["payload"]["loopgate"]["answeredBy"], "loopgate", "{read}");
        for id in ["once", "key", "unseen"] {
            let message = message(&mut client, id);
            assert!(message.contains("may have been executed"), "{id}: {message}");
        }
        assert!(message(&mut client, "twice").contains("accepted"));
        // Nothing of it is done again by the next runtime, and nobody hears a second answer.
        bench.runtime.manner = Manner::Serves;
        bench.sleep(Duration::from_secs(20));
        bench.asked_nothing(&name);
        client.receive(&mut bench.world);
        assert!(client.frames.iter().all(|frame| frame["type"] != "res"), "{:?}", client.frames);
        assert!(client.close.is_none());
    }
}

/// One leg breaks and the runtime lives: it tells a repetition by its key.
#[test]
fn a_call_with_a_key_is_asked_once_more_of_the_same_runtime() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    for (id, method, params) in [
        ("key", "chat.send", KEY),
        ("twice", "agent", KEY),
        ("none", "chat.send", r#"{"message":"hello"}"#),
        ("once", "wizard.start", KEY),
        ("accepted", "agent", KEY),
        ("read", "cron.list", "{}"),
    ] {
        bench.ask(&mut client, id, method, params);
    }
    let first: Vec<_> = bench.runtime.leg(&name).asked.drain(..).collect();
    bench.answer(&name, &mut client, &first[4], r#"{"status":"accepted"}"#);
    client.answer("accepted");
    bench.break_leg(&name);
    client.receive(&mut bench.world);
    assert!(!answered(&client, "key") && !answered(&client, "twice"));
    assert_eq!(client.answer("read")["payload"]["loopgate"]["runtime"], "ready");
    for id in ["none", "once"] {
        assert!(message(&mut client, id).contains("may have been executed"));
    }
    assert!(message(&mut client, "accepted").contains("accepted"));
    bench.sleep(limits::RUNTIME_RETRY);
    let again: Vec<_> = bench.runtime.leg(&name).asked.drain(..).collect();
    assert_eq!(again.iter().map(|asked| &*asked.method).collect::<Vec<_>>(), ["chat.send", "agent"]);
    for asked in &again {
        assert!(asked.text.ends_with(&format!(r#","params":{KEY}}}"#)), "{}", asked.text);
        bench.answer(&name, &mut client, asked, "{}");
    }
    assert_eq!((&client.answer("key")["ok"], &client.answer("twice")["ok"]), (&json!(true), &json!(true)));
}

/// A call that breaks its leg each time it is sent must not do so for ever.
#[test]
fn a_call_is_not_repeated_a_second_time() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "chat.send", KEY);
    for _ in 0..2 {
        assert_eq!(bench.asked(&name).method, "chat.send");
        bench.break_leg(&name);
        bench.sleep(limits::RUNTIME_RETRY);
    }
    bench.asked_nothing(&name);
    client.receive(&mut bench.world);
    assert!(message(&mut client, "1").contains("may have been executed"));
}

/// Its leg broke, and before there was another the runtime itself was gone: the next one does not know the key.
#[test]
fn no_other_runtime_is_asked_again() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "chat.send", KEY);
    bench.break_leg(&name);
    client.receive(&mut bench.world);
    assert!(!answered(&client, "1"));
    bench.die(false);
    client.receive(&mut bench.world);
    assert!(message(&mut client, "1").contains("may have been executed"));
    bench.runtime.manner = Manner::Serves;
    bench.sleep(Duration::from_secs(2));
    bench.asked_nothing(&name);
}

/// The runtime lets the gateway in and one client not.
#[test]
fn a_client_that_the_runtime_refuses_is_told_so_and_the_others_are_not_touched() {
    let mut bench = Bench::new();
    let (mut good, other) = bench.client(4, ALL);
    let no = json!({"code": "NOT_PAIRED", "message": "pairing required"});
    bench.runtime.manner = Manner::Refuses(no);
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "wizard.start", "{}");
    bench.sleep(limits::CALL_WAIT);
    client.receive(&mut bench.world);
    let error = client.answer("1")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("pairing required"), "{error}");
    assert_eq!(error["code"], "UNAVAILABLE");
    bench.call(&mut good, &other, "wizard.start", "{}");
    let before = bench.runtime.dials;
    bench.sleep(Duration::from_secs(60));
    let dials = bench.runtime.dials - before;
    assert!(dials <= 13, "{dials} tries in a minute of what a person has to mend");
    bench.runtime.manner = Manner::Serves;
    bench.sleep(limits::RUNTIME_REFUSED_RETRY);
    bench.call(&mut client, &name, "wizard.start", "{}");
}

#[test]
fn a_member_that_goes_takes_its_leg_along_in_good_order() {
    let mut bench = Bench::new();
    let (client, name) = bench.client(4, ALL);
    let (_other, stays) = bench.client(4, ALL);
    let conn = bench.runtime.leg(&name).conn;
    bench.world.handle(Input::Lost { conn: client.conn });
    bench.turn();
    assert!(bench.runtime.leg(&name).closed, "a close frame first");
    assert_eq!(
        bench.world.half_closed,
        [conn],
        "then the end of our direction, and the peer's is waited for"
    );
    bench.world.handle(Input::Eof { conn });
    bench.turn();
    assert!(!bench.runtime.has_leg(&name));
    assert!(bench.runtime.leg(&stays).open);

    // A runtime that does not end its side does not hold us up.
    let (client, name) = bench.client(4, ALL);
    bench.runtime.manner = Manner::Frozen;
    bench.world.handle(Input::Lost { conn: client.conn });
    bench.sleep(limits::LEG_CLOSING);
    bench.turn();
    assert!(!bench.runtime.has_leg(&name));
}

/// A client that goes leaves its calls behind: nobody hears their answers, and nobody else is in their place.
#[test]
fn an_answer_for_who_has_gone_goes_nowhere() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "wizard.start", "{}");
    let asked = bench.asked(&name);
    let text = format!(r#"{{"type":"res","id":"{}","ok":true,"payload":{{"of":"him"}}}}"#, asked.id);
    let (bytes, conn) = (bench.runtime.leg(&name).encode(&text), bench.runtime.leg(&name).conn);
    bench.world.handle(Input::Lost { conn: client.conn });
    let (mut next, _) = bench.client(4, ALL);
    bench.world.bytes(conn, &bytes);
    bench.turn();
    next.receive(&mut bench.world);
    assert!(next.frames.iter().all(|frame| frame["type"] != "res"), "{:?}", next.frames);
}

#[test]
fn a_reload_that_moves_the_port_moves_every_leg() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    let before = bench.runtime.dials;
    bench.reload(Some(PORT));
    assert_eq!(bench.runtime.dials, before, "the same port, the same legs");
    bench.ask(&mut client, "1", "wizard.start", "{}");
    bench.ask(&mut client, "2", "chat.send", KEY);
    bench.reload(Some(PORT + 1));
    client.receive(&mut bench.world);
    for id in ["1", "2"] {
        // Another runtime is at the other port.
        assert!(message(&mut client, id).contains("may have been executed"));
    }
    bench.sleep(limits::RUNTIME_RETRY);
    assert_eq!(bench.runtime.port, PORT + 1);
    bench.sleep(limits::RUNTIME_RETRY);
    bench.call(&mut client, &name, "wizard.start", "{}");
    assert_eq!(bench.runtime.legs.len(), 2);
}

#[test]
fn a_reload_that_takes_the_runtime_away_ends_every_leg() {
    let mut bench = Bench::new();
    let (mut client, _) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "wizard.start", "{}");
    bench.ask(&mut client, "2", "cron.list", "{}");
    bench.reload(None);
    client.receive(&mut bench.world);
    assert!(message(&mut client, "1").contains("may have been executed"));
    assert_eq!(client.answer("2")["ok"], true);
    bench.sleep(Duration::from_secs(60));
    assert!(bench.runtime.legs.is_empty());
    assert!(bench.world.gateway.status_line().ends_with("no runtime"));
    let before = bench.runtime.dials;
    bench.sleep(Duration::from_secs(60));
    assert_eq!(bench.runtime.dials, before);
    bench.reload(Some(PORT));
    bench.sleep(Duration::from_secs(1));
    assert_eq!(bench.runtime.legs.len(), 2, "the sentinel's, and the client's");
}

/// Calls that waited for a runtime that is not to come any more do not wait their time out.
#[test]
fn who_waits_for_a_runtime_that_is_taken_away_is_told_in_time() {
    let mut bench = Bench::in_manner(Manner::Away);
    let (mut client, _) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "wizard.start", "{}");
    bench.reload(None);
    bench.sleep(limits::CALL_WAIT);
    client.receive(&mut bench.world);
    let error: Value = client.answer("1")["error"].clone();
    assert_eq!(error["code"], "UNAVAILABLE", "{error}");
}

#[test]
fn a_stop_ends_every_leg_and_itself() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "wizard.start", "{}");
    bench.world.handle(Input::Stop);
    bench.turn();
    assert!(bench.runtime.sentinel().closed && bench.runtime.leg(&name).closed);
    bench.sleep(Duration::from_secs(3));
    assert!(bench.world.finished && bench.runtime.legs.is_empty());
}
