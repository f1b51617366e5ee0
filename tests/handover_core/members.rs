//! What every connection and the gateway itself go on with.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::client::{Device, cli};
use crate::common::restart::{Restart, head};
use crate::common::{Client, TOKEN, World, setup};
use crate::{ALL, NODE, connect_as, listed, node, operator, paired, remote, send};
use loopgate::gateway::Keep;
use loopgate::gateway::io::Input;
use loopgate::journal::{Field, Kind};
use loopgate::limits;

const READERS: &str = "{ceiling: {operator: ['operator.read']}}";

fn config() -> String {
    format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}")
}

#[test]
fn a_challenge_stays_good_and_its_deadline_where_it_was() {
    let mut world = World::token();
    let mut client = Client::open(&mut world);
    let mut idle = Client::open(&mut world);
    world.sleep(Duration::from_secs(10));
    let three = Duration::from_secs(3);
    Restart::new().away(three).run(&mut world, &mut [&mut client, &mut idle]);
    let hello = connect_as(&mut world, &mut client, &Device::new(1), cli(4, ALL));
    assert_eq!(hello["ok"], true, "{hello}");
    world.sleep(Duration::from_millis(1999));
    idle.receive(&mut world);
    assert_eq!(idle.close, None);
    world.sleep(Duration::from_millis(2));
    idle.receive(&mut world);
    assert_eq!(idle.close.as_ref().map(|close| close.0), Some(1008));
}

#[test]
fn events_go_on_with_the_next_number() {
    let mut world = World::token();
    let (mut old, mut new) = (operator(&mut world, 3), listed(&mut world, 4, "one"));
    for _ in 0..4 {
        world.sleep(limits::TICK);
        let twenty = Duration::from_secs(20);
        Restart::new().away(twenty).run(&mut world, &mut [&mut old, &mut new]);
    }
    world.sleep(limits::TICK * 2);
    for client in [&mut old, &mut new] {
        client.receive(&mut world);
        let seqs: Vec<u64> = client.frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        let ticks = client.events("tick").len();
        assert!((5..=10).contains(&ticks), "{ticks} ticks in 260 s, none while nobody was there");
        assert_eq!(client.close, None);
    }
    assert_eq!(old.pings, 0);
    assert!(new.pings > 0);
}

/// Everything that a record says, and everything that is shared, comes back as it was.
#[test]
fn nothing_is_forgotten() {
    let mut world = World::token();
    let (mut admin, mut node) = (listed(&mut world, 4, "one"), node(&mut world, 3));
    for key in ["agent:main:main", "agent:main:other"] {
        admin.ok(&mut world, "sessions.messages.subscribe", json!({"key": key}));
    }
    admin.ok(&mut world, "sessions.subscribe", json!({}));
    admin.error(&mut world, "node.event", json!({"event": "x"}));
    let work = json!({"nodeId": Device::new(NODE).id(), "type": "location.request"});
    admin.ok(&mut world, "node.pending.enqueue", work);
    admin.ok(&mut world, "system-event", json!({"text": "something happened"}));
    admin.ok(&mut world, "set-heartbeats", json!({"enabled": false}));
    let mut stranger = remote(&mut world);
    connect_as(&mut world, &mut stranger, &Device::new(5), cli(4, &["operator.read"]));
    world.sleep(Duration::from_secs(3));
    world.handle(Input::Lost { conn: stranger.conn });
    admin.receive(&mut world);
    node.receive(&mut world);

    let (at, conns) = (world.now, [admin.conn, node.conn]);
    let before = conns.map(|conn| head(&world.gateway.record(conn).unwrap()));
    let shared: Value = serde_json::from_slice(&world.gateway.share(true, at)).unwrap();
    assert_eq!(before[0]["stage"]["subscriptions"]["sessions"], true, "{}", before[0]);
    assert_eq!(before[1]["stage"]["node"]["pathEnv"], "/usr/bin", "{}", before[1]);
    Restart::new().away(Duration::ZERO).run(&mut world, &mut [&mut admin, &mut node]);
    let after = [admin.conn, node.conn].map(|conn| head(&world.gateway.record(conn).unwrap()));
    assert_eq!(after, before, "nobody is told anything for the restart's sake");
    let mut again: Value = serde_json::from_slice(&world.gateway.share(true, at)).unwrap();
    assert_eq!(again["healthVersion"].as_u64(), shared["healthVersion"].as_u64().map(|version| version + 1));
    // The next process has looked at the machine's health, and kept it to itself.
    for key in ["health", "healthMade", "healthVersion"] {
        again[key] = shared[key].clone();
    }
    assert_eq!(again, shared);
}

#[test]
fn calls_of_the_other_role_are_counted_over_restarts() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 3);
    for _ in 0..limits::ROLE_VIOLATIONS_MAX {
        admin.error(&mut world, "node.event", json!({"event": "x"}));
        admin.receive(&mut world);
        let kept = world.gateway.keep(admin.conn);
        assert!(matches!(kept, Keep::Rest { record: Some(_), .. }), "a crash must not forget it: {kept:?}");
    }
    Restart::new().run(&mut world, &mut [&mut admin]);
    send(&mut world, &mut admin, "last", "node.event", json!({"event": "x"}));
    admin.receive(&mut world);
    assert_eq!(admin.close, Some((1008, "repeated unauthorized calls".to_owned())));
}

#[test]
fn a_pairing_request_waits_on() {
    let mut world = World::token();
    let (mut admin, mut stranger) = (operator(&mut world, 4), remote(&mut world));
    let refused = connect_as(&mut world, &mut stranger, &Device::new(1), cli(4, &["operator.read"]));
    let id = refused["error"]["details"]["requestId"].clone();
    world.handle(Input::Lost { conn: stranger.conn });
    Restart::new().run(&mut world, &mut [&mut admin]);
    let list = admin.ok(&mut world, "device.pair.list", json!({}));
    assert_eq!(list["pending"][0]["requestId"], id, "{list}");
    admin.ok(&mut world, "device.pair.approve", json!({"requestId": id}));
    let mut back = remote(&mut world);
    let hello = connect_as(&mut world, &mut back, &Device::new(1), cli(4, &["operator.read"]));
    assert_eq!(hello["ok"], true, "{hello}");
}

/// A restart is no way around a lock-out, and does not make it longer either.
#[test]
fn a_lockout_keeps_its_end() {
    let config = format!(
        "{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}', rateLimit: {{maxAttempts: 3, windowMs: 60000, \
         lockoutMs: 30000, exemptLoopback: false}}}}}}}}"
    );
    let knock = |world: &mut World, token: &str| {
        let mut client = Client::open(world);
        client.nonce();
        let mut params = cli(4, ALL);
        params["auth"]["token"] = json!(token);
        client.connect(world, params)["error"]["details"]["code"].clone()
    };
    let mut world = World::new(&config, "{}");
    knock(&mut world, "wrong-made-up");
    knock(&mut world, "wrong-made-up");
    // Two are counted, the third is tried by the next process.
    Restart::with(&config, "{}").run(&mut world, &mut []);
    assert_eq!(knock(&mut world, "wrong-made-up"), "AUTH_TOKEN_MISMATCH");
    assert_eq!(knock(&mut world, TOKEN), "AUTH_RATE_LIMITED");
    Restart::with(&config, "{}").away(Duration::from_secs(20)).run(&mut world, &mut []);
    assert_eq!(knock(&mut world, TOKEN), "AUTH_RATE_LIMITED");
    Restart::with(&config, "{}").away(Duration::from_secs(11)).run(&mut world, &mut []);
    assert_eq!(knock(&mut world, TOKEN), json!(null));
}

#[test]
fn who_does_not_come_back_is_told_of_in_presence() {
    let mut world = World::token();
    let (mut one, mut two) = (listed(&mut world, 4, "one"), listed(&mut world, 4, "two"));
    let mut twin = listed(&mut world, 4, "two");
    let reasons = |client: &mut Client, world: &mut World| -> Vec<(String, String)> {
        let list = client.ok(world, "system-presence", json!({}));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> =
            list.as_array().unwrap().iter().map(|e| (text(&e["instanceId"]), text(&e["reason"]))).collect();
        found.sort();
        found
    };
    let pair = |key: &str, reason: &str| (key.to_owned(), reason.to_owned());
    Restart::new().losing(&twin).run(&mut world, &mut [&mut one, &mut two, &mut twin]);
    let all = [pair("", "self"), pair("one", "connect"), pair("two", "connect")];
    assert_eq!(reasons(&mut one, &mut world), all, "somebody is still there under this name");
    world.sleep(Duration::from_secs(2));
    one.receive(&mut world);
    one.frames.clear();
    Restart::new().losing(&two).run(&mut world, &mut [&mut one, &mut two]);
    let fewer = [pair("", "self"), pair("one", "connect"), pair("two", "disconnect")];
    assert_eq!(reasons(&mut one, &mut world), fewer);
    world.sleep(Duration::from_secs(2));
    one.receive(&mut world);
    assert_eq!(one.events("presence").len(), 1, "it is told");
}

/// What is said of a connected client by somebody else does not make it a stranger.
#[test]
fn a_system_event_about_a_connected_client_leaves_it_connected() {
    let mut world = World::token();
    let (mut one, two) = (listed(&mut world, 4, "one"), listed(&mut world, 4, "two"));
    let event = json!({"text": "Node: two · mode ui · reason beat", "instanceId": "two"});
    one.ok(&mut world, "system-event", event);
    world.gateway.check().unwrap();
    world.sleep(limits::PRESENCE_AGE * 2);
    one.receive(&mut world);
    let list = one.ok(&mut world, "system-presence", json!({}));
    assert!(list.as_array().unwrap().iter().any(|entry| entry["instanceId"] == "two"), "{list}");
    world.handle(Input::Lost { conn: two.conn });
    world.gateway.check().unwrap();
}

#[test]
fn the_boot_id_and_the_versions_go_on() {
    let mut world = World::token();
    let mut one = listed(&mut world, 4, "one");
    let hello = |world: &mut World| {
        let mut client = Client::open(world);
        client.nonce();
        client.connect(world, cli(4, ALL))["payload"].clone()
    };
    let before = hello(&mut world);
    Restart::new().run(&mut world, &mut [&mut one]);
    let after = hello(&mut world);
    assert_eq!(after["server"]["bootId"], before["server"]["bootId"]);
    for key in ["presence", "health"] {
        let version = |hello: &Value| hello["snapshot"]["stateVersion"][key].as_u64().unwrap();
        assert!(version(&after) >= version(&before), "{key}: {after}");
    }
}

#[test]
fn a_lower_ceiling_narrows_and_says_so() {
    let mut world = World::token();
    let (mut one, mut two) = (listed(&mut world, 4, "one"), operator(&mut world, 3));
    world.sleep(Duration::from_secs(2));
    one.receive(&mut world);
    one.frames.clear();
    Restart::with(&config(), READERS).run(&mut world, &mut [&mut one, &mut two]);
    assert_eq!(world.entries(Kind::Narrow).len(), 2);
    assert_eq!(world.last(Kind::Narrow, Field::ScopesGranted).as_deref(), Some("operator.read"));
    one.ok(&mut world, "health", json!({}));
    for client in [&mut one, &mut two] {
        let error = client.error(&mut world, "set-heartbeats", json!({"enabled": true}));
        assert_eq!(error["message"], "missing scope: operator.admin");
    }
    world.sleep(Duration::from_secs(2));
    one.receive(&mut world);
    let presence = one.events("presence");
    let listed = presence[0]["payload"]["presence"].as_array().unwrap();
    let entry = listed.iter().find(|entry| entry["instanceId"] == "one").unwrap();
    assert_eq!(entry["scopes"], json!(["operator.read"]));
    // A ceiling that rises again gives nothing back.
    Restart::with(&config(), "{}").run(&mut world, &mut [&mut one, &mut two]);
    one.error(&mut world, "set-heartbeats", json!({"enabled": true}));
}

/// The shell keeps an old record until it is given a new one; with the old one, what was taken would come back.
#[test]
fn a_narrowed_connection_is_looked_at_at_the_end_of_the_turn() {
    let mut world = World::token();
    let mut cli = operator(&mut world, 3);
    cli.receive(&mut world);
    assert!(matches!(world.gateway.keep(cli.conn), Keep::Rest { record: Some(_), .. }));
    let setup = setup(&config(), READERS);
    world.gateway.handle(Input::Reload(Box::new(setup)), world.now);
    let mut touched = Vec::new();
    while let Some(output) = world.gateway.poll_output() {
        if let loopgate::gateway::Output::Flush(conn) = output {
            touched.push(conn);
        }
    }
    assert!(touched.contains(&cli.conn));
    let Keep::Rest { record: Some(record), .. } = world.gateway.keep(cli.conn) else {
        panic!("a new record is due");
    };
    assert_eq!(head(&record)["stage"]["grant"]["scopes"], json!(["operator.read"]));
}

/// A verdict that waits for the disk is not spared by a reload.
#[test]
fn a_reload_between_the_verdict_and_the_disk_counts() {
    for (openclaw, settings) in [
        (config(), READERS),
        ("{gateway: {auth: {mode: 'token', token: 'tok-made-up-0002'}}}".to_owned(), "{}"),
    ] {
        let mut world = World::token();
        world.disk_stuck = true;
        let mut client = Client::open(&mut world);
        let nonce = client.nonce();
        let params = Device::new(1).sign(cli(4, ALL), &nonce, world.now.unix_ms);
        send(&mut world, &mut client, "c", "connect", params);
        world.reload(&openclaw, settings);
        world.unstick();
        client.receive(&mut world);
        if settings == READERS {
            let error = client.error(&mut world, "set-heartbeats", json!({"enabled": true}));
            assert_eq!(error["message"], "missing scope: operator.admin");
        } else {
            assert_eq!(client.close.as_ref().map(|close| close.0), Some(1008));
        }
    }
}

/// A hello rests on what the disk has, whoever has changed it.
#[test]
fn a_second_connection_of_a_new_device_waits_for_the_disk_as_well() {
    let mut world = World::token();
    world.disk_stuck = true;
    let mut clients: Vec<Client> = (0..2).map(|_| Client::open(&mut world)).collect();
    for client in &mut clients {
        let nonce = client.nonce();
        let params = Device::new(1).sign(cli(4, ALL), &nonce, world.now.unix_ms);
        send(&mut world, client, "c", "connect", params);
        client.receive(&mut world);
        assert!(client.frames.is_empty(), "{:?}", client.frames);
    }
    world.unstick();
    for client in &mut clients {
        client.receive(&mut world);
        assert_eq!(client.answer("c")["ok"], true);
    }
}

/// S23: before the first byte of a connection is looked at it is admitted again.
#[test]
fn a_removed_device_is_closed_before_its_unread_requests_are_handled() {
    for removed in [true, false] {
        let mut world = World::token();
        let mut admin = operator(&mut world, 4);
        let empty = world.store.clone();
        let mut client = paired(&mut world, &Device::new(1));
        let mut bytes = Vec::new();
        for i in 0..limits::MESSAGES_TURN_MAX {
            let request = json!({"type": "req", "id": format!("q{i}"), "method": "last-heartbeat"});
            bytes.extend(client.encode(&request.to_string()));
        }
        let params = json!({"text": "done by one that was removed"});
        let request = json!({"type": "req", "id": "last", "method": "system-event", "params": params});
        bytes.extend(client.encode(&request.to_string()));
        world.bytes(client.conn, &bytes);
        let restart = Restart::new();
        let restart = if removed { restart.with_store(empty.unwrap_or_else(empty_store)) } else { restart };
        restart.run(&mut world, &mut [&mut admin, &mut client]);
        client.receive(&mut world);
        assert_eq!(client.close.as_ref().map(|close| close.0), removed.then_some(1008));
        let list = admin.ok(&mut world, "system-presence", json!({})).to_string();
        assert_eq!(list.contains("done by one that was removed"), !removed, "{list}");
        let entry = world.last(Kind::CloseFault, Field::Rule);
        assert_eq!(entry.as_deref(), removed.then_some("credential-gone"));
    }
}

fn empty_store() -> Vec<u8> {
    let mut world = World::token();
    let mut client = paired(&mut world, &Device::new(77));
    client.ok(&mut world, "device.pair.remove", json!({"deviceId": Device::new(77).id()}));
    world.store.expect("a store")
}

#[test]
fn one_that_broke_off_is_told_and_journalled() {
    let mut world = World::token();
    let (mut one, mut two) = (operator(&mut world, 3), listed(&mut world, 4, "two"));
    let mut challenged = Client::open(&mut world);
    for client in [&mut one, &mut two, &mut challenged] {
        client.receive(&mut world);
    }
    Restart::new().breaking(&two).run(&mut world, &mut [&mut one, &mut two, &mut challenged]);
    two.receive(&mut world);
    let (code, reason) = two.close.clone().expect("a close");
    assert!(code == 1012 && !reason.is_empty());
    assert_eq!(world.last(Kind::CloseFault, Field::CloseCode).as_deref(), Some("1012"));
    assert_eq!(world.last(Kind::CloseFault, Field::ClientMode).as_deref(), Some("ui"));
    Restart::new().breaking(&challenged).run(&mut world, &mut [&mut one, &mut challenged]);
    challenged.receive(&mut world);
    assert_eq!(challenged.close.as_ref().map(|close| close.0), Some(1012));
    assert_eq!(one.close, None);
    world.sleep(Duration::from_secs(3));
    world.gateway.check().unwrap();
}
