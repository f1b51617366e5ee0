//! Calls that are under way while the process changes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::client::{Device, cli};
use crate::common::restart::Restart;
use crate::common::{Client, Seed, TOKEN, World, setup};
use crate::{ALL, NODE, node, operator, paired, send};
use loopgate::gateway::io::Input;
use loopgate::gateway::{Gateway, Heritage, Keep, Output};
use loopgate::limits;

fn invoke(world: &mut World, client: &mut Client, timeout_ms: u64) {
    let params = json!({"nodeId": Device::new(NODE).id(), "command": "system.which", "idempotencyKey": "k",
        "timeoutMs": timeout_ms});
    send(world, client, "i", "node.invoke", params);
}

fn asked(world: &mut World, node: &mut Client) -> Value {
    node.receive(world);
    let mut calls = node.events("node.invoke.request");
    assert_eq!(calls.len(), 1, "asked once");
    calls.remove(0)["payload"].clone()
}

fn told(call: &Value) -> Value {
    json!({"id": call["id"], "nodeId": call["nodeId"], "ok": true, "payloadJSON": r#"{"a":1}"#})
}

#[test]
fn a_call_is_answered_over_a_restart() {
    for (heard_before, protocol) in [(true, 3), (false, 4)] {
        let mut world = World::token();
        let (mut admin, mut node) = (operator(&mut world, protocol), node(&mut world, protocol));
        invoke(&mut world, &mut admin, 5000);
        let before = heard_before.then(|| asked(&mut world, &mut node));
        Restart::new().run(&mut world, &mut [&mut admin, &mut node]);
        let call = before.unwrap_or_else(|| asked(&mut world, &mut node));
        assert_eq!(node.ok(&mut world, "node.invoke.result", told(&call)), json!({"ok": true}));
        admin.receive(&mut world);
        assert_eq!(admin.answer("i")["payload"]["payload"], json!({"a": 1}));
        let again = node.ok(&mut world, "node.invoke.result", told(&call));
        assert_eq!(again, json!({"ok": true, "ignored": true}), "it is answered once");
        world.gateway.check().unwrap();
    }
}

#[test]
fn a_caller_hears_that_its_node_did_not_come_back() {
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 3));
    invoke(&mut world, &mut admin, 5000);
    asked(&mut world, &mut node);
    Restart::new().losing(&node).run(&mut world, &mut [&mut admin, &mut node]);
    admin.receive(&mut world);
    let error = admin.answer("i")["error"].clone();
    assert_eq!(error["message"], "NOT_CONNECTED: node disconnected (system.which)");
    world.gateway.check().unwrap();
}

#[test]
fn the_answer_for_a_caller_that_did_not_come_back_is_passed_over() {
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 3));
    invoke(&mut world, &mut admin, 5000);
    let call = asked(&mut world, &mut node);
    Restart::new().losing(&admin).run(&mut world, &mut [&mut node, &mut admin]);
    let answer = node.ok(&mut world, "node.invoke.result", told(&call));
    assert_eq!(answer, json!({"ok": true, "ignored": true}));
    world.gateway.check().unwrap();
}

/// What is shared leaves waiting calls out from the first turn on; a caller that seemed at rest would wait for ever after a
/// crash.
#[test]
fn a_caller_that_waits_on_is_looked_at_at_the_end_of_the_turn() {
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 3));
    invoke(&mut world, &mut admin, 5000);
    asked(&mut world, &mut node);
    world.handle(Input::HandOver);
    let shared = world.gateway.share(true, world.now);
    let openclaw = format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}");
    let (setup, store) = (setup(&openclaw, "{}"), world.store.as_deref());
    let mut next = Gateway::new(setup, Box::new(Seed(3)), store, world.now).unwrap();
    next.count_from(world.epoch());
    next.resume_shared(&shared, world.now).unwrap();
    let [caller, _] = [admin.conn, node.conn].map(|conn| {
        let record = world.gateway.record(conn).unwrap();
        next.resume(conn.slot, &Heritage::Saved { record: &record }, world.now).unwrap()
    });
    next.resumed(world.now);
    let mut outputs = std::iter::from_fn(|| next.poll_output());
    assert!(outputs.any(|output| matches!(output, Output::Flush(conn) if conn == caller)));
    assert_eq!(next.keep(caller), Keep::Busy);
}

#[test]
fn a_calls_deadline_goes_on_while_nobody_is_there() {
    for (away, over) in [(1000, false), (6000, true)] {
        let mut world = World::token();
        let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 3));
        invoke(&mut world, &mut admin, 5000);
        asked(&mut world, &mut node);
        Restart::new().away(Duration::from_millis(away)).run(&mut world, &mut [&mut admin, &mut node]);
        let late = |admin: &Client| admin.frames.iter().any(|frame| frame["type"] == "res");
        world.sleep(Duration::from_millis(1));
        admin.receive(&mut world);
        assert_eq!(late(&admin), over);
        world.sleep(Duration::from_millis(5000 - 1000));
        admin.receive(&mut world);
        let error = admin.answer("i")["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("TIMEOUT"), "{error}");
        assert!(world.gateway.deadline().unwrap() > world.now.mono);
    }
}

/// What was read and not handled comes up in the next process, once.
#[test]
fn requests_that_wait_for_their_turn_are_answered_by_the_next_process() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 4);
    let count = limits::MESSAGES_TURN_MAX + 5;
    let mut bytes = Vec::new();
    for i in 0..count {
        let request = json!({"type": "req", "id": format!("q{i}"), "method": "last-heartbeat"}).to_string();
        bytes.extend(admin.encode(&request));
    }
    // And a half one behind them.
    let half = admin.encode(&json!({"type": "req", "id": "half", "method": "last-heartbeat"}).to_string());
    bytes.extend(&half[..9]);
    world.bytes(admin.conn, &bytes);
    Restart::new().run(&mut world, &mut [&mut admin]);
    world.bytes(admin.conn, &half[9..]);
    world.sleep(Duration::from_millis(1));
    admin.receive(&mut world);
    let answers: Vec<&str> =
        admin.frames.iter().filter(|f| f["type"] == "res").map(|f| f["id"].as_str().unwrap()).collect();
    let wanted: Vec<String> = (0..count).map(|i| format!("q{i}")).chain(["half".to_owned()]).collect();
    assert_eq!(answers, wanted);
}

/// The disk hangs: whoever waits for it is told to try again, and what came of it is found by the next process.
#[test]
fn who_waits_for_a_disk_that_hangs_is_told() {
    let mut world = World::token();
    let device = Device::new(1);
    let mut own = paired(&mut world, &device);
    let mut other = operator(&mut world, 3);
    world.disk_stuck = true;
    let label = json!({"deviceId": device.id(), "label": "desk"});
    send(&mut world, &mut own, "l", "device.pair.rename", label);
    let mut newcomer = Client::open(&mut world);
    let nonce = newcomer.nonce();
    let params = Device::new(9).sign(cli(3, ALL), &nonce, world.now.unix_ms);
    send(&mut world, &mut newcomer, "c", "connect", params);
    assert!(!world.gateway.settled());
    Restart::new().run(&mut world, &mut [&mut own, &mut other, &mut newcomer]);
    own.receive(&mut world);
    newcomer.receive(&mut world);
    for error in [own.answer("l")["error"].clone(), newcomer.answer("c")["error"].clone()] {
        assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{error}");
    }
    assert_eq!(newcomer.close.as_ref().map(|close| close.0), Some(1012));
    assert_eq!((&own.close, &other.close), (&None, &None));
    // The handshake that was cut off works at the next try.
    world.disk_stuck = false;
    paired(&mut world, &Device::new(9));
    world.handle(Input::Lost { conn: newcomer.conn });
    world.gateway.check().unwrap();
}
