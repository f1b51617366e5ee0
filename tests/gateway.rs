//! The core as a whole: real clients' conversations against the production gateway, without a machine.
#![allow(
    clippy::duration_suboptimal_units,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::ok_expect,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a panic is how a test fails, and nobody calls a test"
)]

mod common;

use std::time::Duration;

use common::client::{Device, cli};
use common::{Client, TOKEN, World};
use loopgate::gateway::io::{Door, Input, Peer};
use loopgate::journal::{Field, Kind};
use loopgate::limits;
use serde_json::json;

const ALL: &[&str] =
    &["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

#[test]
fn the_missions_bug_a_probe_without_device_reads_on_both_protocols() {
    for protocol in [3, 4] {
        let mut world = World::token();
        let mut client = Client::open(&mut world);
        client.nonce();
        let mut params = cli(protocol, &["operator.read"]);
        params["client"]["mode"] = json!("probe");
        let hello = client.connect(&mut world, params)["payload"].clone();
        assert_eq!(hello["protocol"], protocol);
        assert_eq!(hello["auth"]["scopes"], json!(["operator.read"]));
        for method in ["health", "system-presence"] {
            client.ok(&mut world, method, json!({}));
        }
        let error = client.error(&mut world, "set-heartbeats", json!({"enabled": true}));
        assert_eq!(error["message"], "missing scope: operator.admin");
        assert_eq!(error["code"], if protocol == 3 { "INVALID_REQUEST" } else { "FORBIDDEN" });
        assert_eq!(world.last(Kind::Admit, Field::Rule).as_deref(), Some("local-operator"));
        assert_eq!(world.last(Kind::Deny, Field::ScopeRequired).as_deref(), Some("operator.admin"));
    }
}

#[test]
fn every_client_id_and_mode_gets_the_same_grant() {
    for (id, mode) in
        [("cli", "cli"), ("cli", "probe"), ("gateway-client", "backend"), ("test", "test"), ("new", "new")]
    {
        let mut world = World::token();
        let mut client = Client::open(&mut world);
        client.nonce();
        let mut params = cli(3, ALL);
        params["client"]["id"] = json!(id);
        params["client"]["mode"] = json!(mode);
        let hello = client.connect(&mut world, params);
        assert_eq!(hello["payload"]["auth"]["scopes"][0], "operator.admin", "{id}/{mode}: {hello}");
    }
}

/// Nothing but a person changes what a sandbox forbids: it is said once, and nobody waits for it.
#[test]
fn a_runtime_that_the_sandbox_keeps_us_from_is_told_of_once() {
    let mut world = World::new(
        &format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"),
        "{runtime: {port: 18790}}",
    );
    let said =
        |world: &World| world.journal.iter().filter(|entry| entry.kind() == Kind::RuntimeBarred).count();
    for tries in 1..=3 {
        world.sleep(limits::RUNTIME_REFUSED_RETRY);
        let (conn, port) = world.dialled.pop().expect("one more try");
        assert!((port, world.dialled.len()) == (18790, 0), "one try at a time");
        world.handle(Input::Barred { conn, cause: "the unit lacks AF_INET".to_owned() });
        assert_eq!(said(&world), 1, "after {tries} tries");
    }
    let mut client = Client::open(&mut world);
    client.nonce();
    client.connect(&mut world, cli(3, ALL));
    let error = client.error(&mut world, "artifacts.list", json!({}));
    assert_eq!((error["code"].as_str(), error["retryable"].as_bool()), (Some("UNAVAILABLE"), Some(true)));
    assert!(error["message"].as_str().unwrap().contains("AF_INET"), "{error}");
    assert_eq!(world.last(Kind::RuntimeBarred, Field::RuntimePort).as_deref(), Some("18790"));
    assert!(world.last(Kind::RuntimeBarred, Field::Remedy).unwrap().contains("loopgate doctor runtime"));
}

#[test]
fn a_device_is_paired_silently_and_gets_its_token_once_it_is_on_disk() {
    let mut world = World::token();
    let device = Device::new(1);
    let mut client = Client::open(&mut world);
    let nonce = client.nonce();
    let params = device.sign(cli(3, ALL), &nonce, world.now.unix_ms);
    let hello = client.connect(&mut world, params)["payload"].clone();
    let token = hello["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
    assert_eq!((token.len(), world.writes), (43, 1));
    let store = String::from_utf8(world.store.clone().unwrap()).unwrap();
    assert!(!store.contains(&token), "only digests are stored");
    assert!(!store.contains("operator.questions"), "what protocol 3 does not know is not approved by name");

    // The next connect changes nothing, so nothing is written.
    let mut again = Client::open(&mut world);
    let nonce = again.nonce();
    let params = device.sign(cli(3, ALL), &nonce, world.now.unix_ms);
    let hello = again.connect(&mut world, params)["payload"].clone();
    assert_eq!(hello["auth"]["deviceToken"], json!(null));
    assert_eq!(world.writes, 1);

    // The token alone opens what the device was approved for.
    let mut by_token = Client::open(&mut world);
    let nonce = by_token.nonce();
    let mut params = cli(3, &["operator.read"]);
    params["auth"] = json!({"deviceToken": token});
    let params = device.sign(params, &nonce, world.now.unix_ms);
    let hello = by_token.connect(&mut world, params);
    assert_eq!(hello["ok"], true, "{hello}");
    assert_eq!(world.last(Kind::Admit, Field::AuthMethod).as_deref(), Some("device-token"));
}

#[test]
fn a_disk_that_fails_refuses_and_changes_nothing() {
    let mut world = World::token();
    world.disk_works = false;
    let device = Device::new(1);
    let mut client = Client::open(&mut world);
    let nonce = client.nonce();
    let params = device.sign(cli(3, ALL), &nonce, world.now.unix_ms);
    let answer = client.connect(&mut world, params);
    assert_eq!(answer["error"]["code"], "UNAVAILABLE", "{answer}");
    assert_eq!(client.close.as_ref().map(|close| close.0), Some(1011));
    world.disk_works = true;
    let mut client = Client::open(&mut world);
    let nonce = client.nonce();
    let params = device.sign(cli(3, ALL), &nonce, world.now.unix_ms);
    let hello = client.connect(&mut world, params);
    assert!(hello["payload"]["auth"]["deviceToken"].is_string(), "{hello}");
}

#[test]
fn a_disk_that_hangs_is_our_fault_and_the_client_hears_so() {
    let mut world = World::token();
    world.disk_stuck = true;
    let mut client = Client::open(&mut world);
    let nonce = client.nonce();
    let params = Device::new(1).sign(cli(3, ALL), &nonce, world.now.unix_ms);
    let connect = json!({"type": "req", "id": "c", "method": "connect", "params": params}).to_string();
    client.send(&mut world, &connect);
    world.sleep(Duration::from_secs(16));
    client.receive(&mut world);
    let error = client.answer("c")["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{error}");
    assert_eq!(client.close.as_ref().map(|close| close.0), Some(1011));
    world.unstick();
    world.gateway.check().unwrap();
}

#[test]
fn a_wrong_token_is_told_apart_from_none_and_the_close_says_so() {
    let mut world = World::token();
    let mut client = Client::open(&mut world);
    client.nonce();
    let mut params = cli(3, ALL);
    params["auth"]["token"] = json!("canary-made-up");
    let answer = client.connect(&mut world, params);
    assert_eq!(answer["error"]["details"]["code"], "AUTH_TOKEN_MISMATCH", "{answer}");
    let (code, reason) = client.close.clone().expect("a close");
    assert_eq!(code, 1008);
    assert!(reason.starts_with("unauthorized: gateway token mismatch"), "{reason}");
    let entry = world.entries(Kind::Refuse)[0];
    for field in
        [Field::ConnId, Field::PeerUid, Field::ClientId, Field::Rule, Field::CloseReason, Field::Remedy]
    {
        assert!(entry.value(field).is_some(), "{field:?}");
    }
    assert!(!format!("{entry:?}").contains("canary"));
}

#[test]
fn a_silent_peer_is_closed_at_its_deadline_with_a_reason() {
    let mut world = World::token();
    let mut client = Client::open(&mut world);
    client.nonce();
    world.sleep(Duration::from_millis(14_999));
    client.receive(&mut world);
    assert_eq!(client.close, None);
    world.sleep(Duration::from_millis(2));
    client.receive(&mut world);
    let (code, reason) = client.close.clone().expect("a close");
    assert_eq!(code, 1008);
    assert!(reason.contains("connect") && reason.contains("15000"), "{reason}");
    assert_eq!(world.last(Kind::Refuse, Field::Phase).as_deref(), Some("connect"));
    world.sleep(Duration::from_secs(3));
    assert_eq!(world.closed, [client.conn]);
}

#[test]
fn a_peer_that_never_spoke_is_told_from_one_that_broke_off() {
    for (bytes, phase, millis) in [(&b""[..], "accept", 15_001), (b"GET / HT", "head", 5_001)] {
        let mut world = World::token();
        let conn = world.accept();
        if !bytes.is_empty() {
            world.bytes(conn, bytes);
        }
        world.sleep(Duration::from_millis(millis));
        assert_eq!(world.last(Kind::Refuse, Field::Phase).as_deref(), Some(phase));
        let reason = world.last(Kind::Refuse, Field::CloseReason).unwrap();
        assert!(reason.contains(phase), "{reason}");
    }
}

#[test]
fn the_journal_says_which_header_told_against_a_peer() {
    let peer = Peer { door: Door::Tcp, address: None, uid: Some(common::OWNER), pid: None };
    let cases = [
        ("Host: 127.0.0.1:18789\r\nOrigin: https://evil.example\r\n", Field::Origin, "https://evil.example"),
        ("Host: evil.example:18789\r\n", Field::Host, "evil.example:18789"),
    ];
    for (headers, field, value) in cases {
        let mut world = World::token();
        Client::open_with(&mut world, peer, headers);
        assert_eq!(world.last(Kind::Refuse, field).as_deref(), Some(value));
    }
    let mut world = World::token();
    let headers = "Host: 127.0.0.1:18789\r\nX-Forwarded-For: 203.0.113.9\r\n";
    let mut client = Client::open_with(&mut world, peer, headers);
    client.nonce();
    let answer = client.connect(&mut world, cli(3, ALL));
    assert_eq!(answer["error"]["details"]["code"], "DEVICE_IDENTITY_REQUIRED", "{answer}");
    assert_eq!(world.last(Kind::Refuse, Field::ForwardedBy).as_deref(), Some("x-forwarded-for"));
}

#[test]
fn changes_of_presence_are_told_once_a_moment_later_and_only_to_readers() {
    let mut world = World::token();
    let mut reader = Client::open(&mut world);
    reader.nonce();
    reader.connect(&mut world, cli(4, &["operator.read"]));
    let mut other = Client::open(&mut world);
    other.nonce();
    other.connect(&mut world, cli(4, &["operator.pairing"]));
    for _ in 0..5 {
        let mut probe = Client::open(&mut world);
        probe.nonce();
        let mut params = cli(4, ALL);
        params["client"]["mode"] = json!("probe");
        probe.connect(&mut world, params);
        world.handle(loopgate::gateway::Input::Lost { conn: probe.conn });
    }
    reader.receive(&mut world);
    assert_eq!(reader.events("presence").len(), 0);
    world.sleep(Duration::from_millis(101));
    for client in [&mut reader, &mut other] {
        client.receive(&mut world);
    }
    let events = reader.events("presence");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["payload"]["presence"][0]["reason"], "self");
    assert!(events[0]["stateVersion"]["presence"].as_u64() > Some(5) && events[0]["seq"] == 1);
    assert_eq!(other.events("presence").len(), 0);
    assert_eq!(world.last(Kind::Withhold, Field::Event).as_deref(), Some("presence"));
}

#[test]
fn a_flood_of_half_open_connections_keeps_nobody_out() {
    let mut world = World::token();
    let first = world.accept();
    let mut member = Client::open(&mut world);
    member.nonce();
    member.connect(&mut world, cli(3, ALL));
    world.now = world.now.later(Duration::from_millis(5));
    for _ in 0..limits::ARRIVING_MAX {
        world.accept();
    }
    world.gateway.check().unwrap();
    assert!(world.gateway.outgoing(first).starts_with(b"HTTP/1.1 503"), "the oldest is let go");
    let mut late = Client::open(&mut world);
    late.nonce();
    assert_eq!(late.connect(&mut world, cli(3, ALL))["ok"], true);
    member.ok(&mut world, "health", json!({}));
    // The journal has the flood in sums, and this among them.
    world.sleep(limits::DECISIONS_FLUSH);
    let rules: Vec<String> = world
        .entries(Kind::Refuse)
        .iter()
        .filter_map(|entry| Some(entry.value(Field::Rule)?.to_string()))
        .collect();
    assert!(rules.iter().any(|rule| rule == "arrivals-full"), "{rules:?}");
}

#[test]
fn a_peer_that_takes_nothing_of_a_lot_is_closed_after_a_minute() {
    let mut world = World::token();
    let mut client = Client::open(&mut world);
    client.nonce();
    client.connect(&mut world, cli(3, ALL));
    // It asks for more than a megabyte and takes none of it.
    let calls: Vec<u8> = (0..20_000)
        .flat_map(|n| client.encode(&format!(r#"{{"type":"req","id":"{n}","method":"health"}}"#)))
        .collect();
    for chunk in calls.chunks(limits::READ_TURN_BYTES_MAX) {
        world.bytes(client.conn, chunk);
    }
    world.sleep(Duration::from_millis(1));
    assert!(world.gateway.outgoing(client.conn).len() > limits::TX_DROPPABLE_BYTES_MAX);
    world.sleep(Duration::from_secs(59));
    assert_eq!(world.entries(Kind::CloseFault).len(), 0);
    world.sleep(Duration::from_secs(2));
    assert_eq!(world.last(Kind::CloseFault, Field::Rule).as_deref(), Some("slow-consumer"));
    world.gateway.check().unwrap();

    // One that takes a little now and then is left alone.
    let mut slow = Client::open(&mut world);
    slow.nonce();
    slow.connect(&mut world, cli(3, ALL));
    for chunk in calls.chunks(limits::READ_TURN_BYTES_MAX) {
        world.bytes(slow.conn, chunk);
    }
    for _ in 0..5 {
        world.sleep(Duration::from_secs(50));
        world.handle(loopgate::gateway::Input::Sent { conn: slow.conn, bytes: 1_000 });
    }
    assert_eq!(world.entries(Kind::CloseFault).len(), 1);
}

#[test]
fn a_request_behind_connect_waits_for_the_verdict() {
    let mut world = World::token();
    let mut client = Client::open(&mut world);
    client.nonce();
    let connect = json!({"type": "req", "id": "c", "method": "connect", "params": cli(3, ALL)}).to_string();
    let mut bytes = client.encode(&connect);
    bytes.extend(client.encode(r#"{"type":"req","id":"h","method":"health"}"#));
    world.bytes(client.conn, &bytes);
    client.receive(&mut world);
    assert_eq!(client.answer("c")["ok"], true);
    assert_eq!(client.answer("h")["ok"], true);
}

#[test]
fn ticks_come_every_thirty_seconds_and_pings_to_protocol_4_only() {
    for protocol in [3, 4] {
        let mut world = World::token();
        let mut client = Client::open(&mut world);
        client.nonce();
        client.connect(&mut world, cli(protocol, ALL));
        world.sleep(Duration::from_secs(61));
        client.receive(&mut world);
        let ticks = client.events("tick");
        assert_eq!(ticks.len(), 2);
        assert_eq!(client.pings, if protocol == 4 { 2 } else { 0 });
    }
}

#[test]
fn a_reload_closes_those_whose_secret_is_gone() {
    let mut world = World::token();
    let mut client = Client::open(&mut world);
    client.nonce();
    client.connect(&mut world, cli(3, ALL));
    world.reload(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"), "{}");
    client.ok(&mut world, "health", json!({}));
    world.reload("{gateway: {auth: {mode: 'token', token: 'another-made-up'}}}", "{}");
    client.receive(&mut world);
    assert_eq!(client.close.as_ref().map(|close| close.0), Some(1008));
    let mut old = Client::open(&mut world);
    old.nonce();
    let answer = old.connect(&mut world, cli(3, ALL));
    assert_eq!(answer["error"]["details"]["code"], "AUTH_TOKEN_MISMATCH");
}

#[test]
fn a_foreign_page_gets_403_before_any_challenge() {
    let mut world = World::token();
    let peer = Peer { door: Door::Tcp, address: None, uid: Some(common::OWNER), pid: None };
    let headers = "Host: 127.0.0.1:18789\r\nOrigin: https://evil.example\r\n";
    let client = Client::open_with(&mut world, peer, headers);
    assert_eq!((client.status, client.frames.len()), (Some(403), 0));
}

#[test]
fn the_owner_socket_needs_no_secret() {
    let mut world = World::token();
    let peer = Peer { door: Door::Owner, address: None, uid: Some(common::OWNER), pid: Some(7) };
    let mut client = Client::open_with(&mut world, peer, "Host: localhost\r\n");
    client.nonce();
    let mut params = cli(4, ALL);
    params["auth"] = json!({});
    let hello = client.connect(&mut world, params);
    assert_eq!(hello["payload"]["auth"]["method"], "peer-uid", "{hello}");
    assert_eq!(world.last(Kind::Admit, Field::PeerPid).as_deref(), Some("7"));
}

#[test]
fn stop_tells_everybody_and_ends() {
    let mut world = World::token();
    let mut client = Client::open(&mut world);
    client.nonce();
    client.connect(&mut world, cli(3, ALL));
    world.handle(loopgate::gateway::Input::Stop);
    client.receive(&mut world);
    assert_eq!(client.events("shutdown").len(), 1);
    assert_eq!(client.close, Some((1012, "service restart".to_owned())));
    world.sleep(Duration::from_secs(3));
    assert!(world.finished);
}
