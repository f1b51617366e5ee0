//! `device.pair.*` and `device.token.*` over the wire: against the production gateway, without a machine.
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
use common::{Client, OWNER, World};
use loopgate::gateway::io::{Door, Peer};
use loopgate::journal::{Field, Kind};
use loopgate::limits;
use serde_json::{Value, json};

const ALL: &[&str] =
    &["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

#[test]
fn a_remote_device_waits_is_approved_and_comes_back_in() {
    for protocol in [3, 4] {
        let mut world = World::token();
        let mut admin = operator(&mut world, protocol, ALL);
        let (device, mut stranger) = (Device::new(1), remote(&mut world));
        let refused = connect_as(&mut world, &mut stranger, &device, cli(protocol, &["operator.read"]));
        assert_eq!(refused["error"]["details"]["code"], "PAIRING_REQUIRED", "{refused}");
        let id = refused["error"]["details"]["requestId"].clone();
        admin.receive(&mut world);
        let events = admin.events("device.pair.requested");
        assert_eq!((events.len(), &events[0]["payload"]["requestId"]), (1, &id));
        assert_eq!(events[0]["payload"]["isRepair"], false);

        // Asking again changes nothing: one request, one id, one event.
        let mut again = remote(&mut world);
        let refused = connect_as(&mut world, &mut again, &device, cli(protocol, &["operator.read"]));
        assert_eq!(refused["error"]["details"]["requestId"], id);
        admin.receive(&mut world);
        assert!(admin.events("device.pair.requested").is_empty());
        let list = admin.ok(&mut world, "device.pair.list", json!({}));
        assert_eq!((list["pending"].as_array().unwrap().len(), &list["pending"][0]["requestId"]), (1, &id));

        let answer = admin.ok(&mut world, "device.pair.approve", json!({"requestId": id}));
        assert_eq!((&answer["requestId"], &answer["device"]["deviceId"]), (&id, &json!(device.id())));
        assert_eq!(answer["device"]["scopes"], json!(["operator.read"]));
        let resolved = admin.events("device.pair.resolved");
        assert_eq!(resolved[0]["payload"]["decision"], "approved");
        assert_eq!(world.writes, 1);
        assert!(world.last(Kind::PairingApproved, Field::DeviceId).is_some());

        let mut back = remote(&mut world);
        let hello = connect_as(&mut world, &mut back, &device, cli(protocol, &["operator.read"]));
        assert!(hello["payload"]["auth"]["deviceToken"].is_string(), "{hello}");
        let list = admin.ok(&mut world, "device.pair.list", json!({}));
        assert_eq!(list["pending"], json!([]));
        assert_eq!(
            (&list["paired"][0]["deviceId"], &list["paired"][0]["connected"]),
            (&json!(device.id()), &json!(true))
        );
        assert_eq!(list["paired"][0]["tokens"][0]["role"], "operator");
        assert!(list["paired"][0]["tokens"][0].get("token").is_none());
    }
}

#[test]
fn a_rejected_request_is_gone_and_everybody_hears_it() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 3, ALL);
    let mut stranger = remote(&mut world);
    let refused = connect_as(&mut world, &mut stranger, &Device::new(1), cli(3, &["operator.read"]));
    let id = refused["error"]["details"]["requestId"].clone();
    let answer = admin.ok(&mut world, "device.pair.reject", json!({"requestId": id}));
    assert_eq!(answer, json!({"requestId": id, "deviceId": Device::new(1).id()}));
    assert_eq!(admin.events("device.pair.resolved")[0]["payload"]["decision"], "rejected");
    let error = admin.error(&mut world, "device.pair.reject", json!({"requestId": id}));
    assert_eq!((&error["code"], &error["message"]), (&json!("INVALID_REQUEST"), &json!("unknown requestId")));
    assert_eq!(world.writes, 0);
}

/// S9: an operator with pairing alone does not give away admin, and the journal has the decision.
#[test]
fn an_approver_lacks_what_it_would_give() {
    let mut world = World::token();
    let mut pairer = operator(&mut world, 4, &["operator.pairing", "operator.read"]);
    let mut stranger = remote(&mut world);
    let refused = connect_as(&mut world, &mut stranger, &Device::new(1), cli(4, ALL));
    let id = refused["error"]["details"]["requestId"].clone();
    let error = pairer.error(&mut world, "device.pair.approve", json!({"requestId": id}));
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("FORBIDDEN"), &json!("missing scope: operator.admin"))
    );
    assert_eq!(world.last(Kind::Deny, Field::ScopeRequired).as_deref(), Some("operator.admin"));
    assert_eq!(world.last(Kind::Deny, Field::Method).as_deref(), Some("device.pair.approve"));
}

/// S23: no connection of a removed device stays, and the answer reaches a caller that removes itself.
#[test]
fn removal_closes_the_devices_connections_at_once() {
    let mut world = World::token();
    let (device, mut admin) = (Device::new(1), operator(&mut world, 3, ALL));
    let mut one = paired(&mut world, &device, ALL);
    let mut other = paired(&mut world, &device, ALL);
    let answer = admin.ok(&mut world, "device.pair.remove", json!({"deviceId": device.id()}));
    assert_eq!(answer, json!({"deviceId": device.id()}));
    for client in [&mut one, &mut other] {
        client.receive(&mut world);
        assert_eq!(client.close, Some((1008, "device removed".to_owned())));
    }
    assert_eq!(
        admin.error(&mut world, "device.pair.remove", json!({"deviceId": device.id()}))["message"],
        "unknown deviceId"
    );

    let mut own = paired(&mut world, &device, ALL);
    own.ok(&mut world, "device.pair.remove", json!({"deviceId": device.id()}));
    own.receive(&mut world);
    assert_eq!(own.close, Some((1008, "device removed".to_owned())));
    assert_eq!(world.last(Kind::PairingRemoved, Field::DeviceId), Some(device.id()));
}

#[test]
fn revocation_closes_and_the_old_token_opens_nothing() {
    let mut world = World::token();
    let (device, mut admin) = (Device::new(1), operator(&mut world, 4, ALL));
    let (mut client, token) = paired_with_token(&mut world, &device);
    let answer =
        admin.ok(&mut world, "device.token.revoke", json!({"deviceId": device.id(), "role": "operator"}));
    assert_eq!(answer["revokedAtMs"], world.now.unix_ms);
    client.receive(&mut world);
    assert_eq!(client.close, Some((1008, "device token revoked".to_owned())));
    let answer = by_token(&mut world, &device, &token).1;
    assert_eq!(answer["error"]["details"]["code"], "AUTH_DEVICE_TOKEN_MISMATCH", "{answer}");
    let error =
        admin.error(&mut world, "device.token.revoke", json!({"deviceId": "none", "role": "operator"}));
    assert_eq!(error["message"], "unknown deviceId/role");
}

/// S10 and D7: the owner alone sees its new token; the old one is taken for a while.
#[test]
fn a_device_rotates_its_own_token_and_an_admin_sees_none() {
    let mut world = World::token();
    let (device, mut admin) = (Device::new(1), operator(&mut world, 3, ALL));
    let (mut client, old) = paired_with_token(&mut world, &device);
    let params = json!({"deviceId": device.id(), "role": "operator"});
    let answer = client.ok(&mut world, "device.token.rotate", params.clone());
    let new = answer["token"].as_str().expect("its own token").to_owned();
    assert_eq!((new.len(), &answer["tokenDelivery"]), (43, &json!("in-band")));
    assert_eq!(by_token(&mut world, &device, &old).1["ok"], true, "overlap");
    let (mut by_new, hello) = by_token(&mut world, &device, &new);
    assert_eq!(hello["ok"], true);

    let answer = admin.ok(&mut world, "device.token.rotate", params);
    assert_eq!((answer.get("token"), &answer["tokenDelivery"]), (None, &json!("withheld-cross-device")));
    by_new.receive(&mut world);
    assert_eq!(by_new.close.as_ref().map(|close| close.0), Some(1008), "came in with the old token");
    let (_, hello) = by_token(&mut world, &device, &new);
    let newest =
        hello["payload"]["auth"]["deviceToken"].as_str().expect("the new token, for its owner").to_owned();
    world.sleep(limits::TOKEN_OVERLAP + Duration::from_secs(1));
    assert_eq!(by_token(&mut world, &device, &newest).1["ok"], true);
    assert_eq!(by_token(&mut world, &device, &new).1["ok"], false);
}

#[test]
fn a_failed_write_is_an_error_and_nothing_has_changed() {
    let mut world = World::token();
    let (device, mut admin) = (Device::new(1), operator(&mut world, 3, ALL));
    paired(&mut world, &device, ALL);
    world.disk_works = false;
    let error = admin.error(&mut world, "device.pair.remove", json!({"deviceId": device.id()}));
    assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)));
    world.disk_works = true;
    let list = admin.ok(&mut world, "device.pair.list", json!({}));
    assert_eq!(list["paired"][0]["deviceId"], device.id());
    assert!(admin.events("device.pair.resolved").is_empty());
}

#[test]
fn a_label_is_kept_and_shown() {
    let mut world = World::token();
    let (device, mut admin) = (Device::new(1), operator(&mut world, 4, ALL));
    paired(&mut world, &device, ALL);
    let params = json!({"deviceId": device.id(), "label": "  the old laptop "});
    let answer = admin.ok(&mut world, "device.pair.rename", params);
    assert_eq!(answer, json!({"deviceId": device.id(), "label": "the old laptop"}));
    assert_eq!(admin.events("device.pair.changed").len(), 1);
    let list = admin.ok(&mut world, "device.pair.list", json!({}));
    assert_eq!(list["paired"][0]["operatorLabel"], "the old laptop");
    let error = admin.error(&mut world, "device.pair.rename", json!({"deviceId": device.id(), "label": " "}));
    assert_eq!(error["message"], "label required");
}

#[test]
fn wrong_params_are_named() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 3, ALL);
    for method in ["device.pair.approve", "device.pair.remove", "device.token.rotate", "device.token.revoke"]
    {
        let error = admin.error(&mut world, method, json!({}));
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("invalid {method} params: must have required property")),
            "{message}"
        );
    }
}

/// An operator without a device, as the command line of protocol 4 connects.
fn operator(world: &mut World, protocol: u32, scopes: &[&str]) -> Client {
    let mut client = Client::open(world);
    client.nonce();
    let hello = client.connect(world, cli(protocol, scopes));
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

/// A connection that came through a proxy: never approved without a person.
fn remote(world: &mut World) -> Client {
    let peer = Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None };
    Client::open_with(world, peer, "Host: 127.0.0.1:18789\r\nX-Forwarded-For: 203.0.113.9\r\n")
}

fn connect_as(world: &mut World, client: &mut Client, device: &Device, params: Value) -> Value {
    let nonce = client.nonce();
    let params = device.sign(params, &nonce, world.now.unix_ms);
    client.connect(world, params)
}

/// A local client with a device, paired on the spot.
fn paired(world: &mut World, device: &Device, scopes: &[&str]) -> Client {
    let mut client = Client::open(world);
    let hello = connect_as(world, &mut client, device, cli(3, scopes));
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

fn paired_with_token(world: &mut World, device: &Device) -> (Client, String) {
    let mut client = Client::open(world);
    let hello = connect_as(world, &mut client, device, cli(3, ALL));
    let token = hello["payload"]["auth"]["deviceToken"].as_str().expect("a token").to_owned();
    (client, token)
}

fn by_token(world: &mut World, device: &Device, token: &str) -> (Client, Value) {
    let mut client = Client::open(world);
    let mut params = cli(3, &["operator.read"]);
    params["auth"] = json!({"deviceToken": token});
    let answer = connect_as(world, &mut client, device, params);
    (client, answer)
}
