//! What was changed while nobody was there holds for those who were admitted before, from the first frame on.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::TOKEN;
use crate::common::client::{Device, cli};
use crate::live::{Gate, Peer, head, node, operator, timed, until, with_auth};
use crate::restored::{ADMIN, BOTH, PATIENT, READ};
use crate::stranger::{self, NOBODY};

#[test]
fn s23_a_device_that_was_sent_away_meanwhile_does_not_come_back() {
    let device = Device::new(1);
    for signal in BOTH {
        for (what, by_token) in [("the device", true), ("the device", false), ("its token", true)] {
            let mut gate = Gate::kept_token(PATIENT);
            let mut first = gate.open();
            let params = first.sign(&device, operator(4, ADMIN));
            let token = first.admit(params)["auth"]["deviceToken"].as_str().expect("a token").to_owned();
            first.leave();
            let auth = if by_token { json!({"deviceToken": token}) } else { json!({"token": TOKEN}) };
            let mut live: Vec<Peer> = [3, 4]
                .map(|protocol| {
                    let mut peer = gate.open();
                    let params = peer.sign(&device, with_auth(cli(protocol, ADMIN), auth.clone()));
                    peer.admit(params);
                    peer
                })
                .into();
            let mut bystander = gate.operator(READ);
            gate.come_to_rest();
            gate.stop(signal);
            change_pairing(&gate, |devices| match what {
                "the device" => devices.as_object_mut().expect("devices").clear(),
                _ => devices[device.id()]["tokens"].as_object_mut().expect("tokens").clear(),
            });
            for peer in &mut live {
                peer.ask("set-heartbeats", &json!({"enabled": true}));
            }
            gate.go(|plan| plan);
            let (ends, took) = timed(|| live.iter_mut().map(Peer::end).collect::<Vec<_>>());
            assert!(took < Duration::from_secs(1), "{took:?}");
            for (peer, (code, reason)) in live.iter().zip(ends) {
                assert!(code == 1008 && !reason.is_empty(), "{what}, {signal}: {code} {reason:?}");
                refused_all(peer);
            }
            bystander.ok("health", &json!({}));
        }
    }
}

#[test]
fn s40_a_secret_that_was_changed_meanwhile_opens_nothing_any_more() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let device = Device::new(1);
        let mut shared: Vec<Peer> = [3, 4]
            .map(|protocol| {
                let mut peer = gate.open();
                peer.admit(operator(protocol, ADMIN));
                peer
            })
            .into();
        let mut with_device = gate.open();
        let params = with_device.sign(&device, operator(4, READ));
        let token = with_device.admit(params)["auth"]["deviceToken"].as_str().expect("a token").to_owned();
        let mut by_token = gate.open();
        let params = by_token.sign(&device, with_auth(cli(4, READ), json!({"deviceToken": token})));
        by_token.admit(params);
        let mut at_owners_door =
            Peer::upgrade(gate.dial_owner(), &head(gate.port, "/", "")).expect("an upgrade");
        at_owners_door.admit(with_auth(cli(4, ADMIN), json!({})));
        shared.push(with_device);
        gate.come_to_rest();
        gate.stop(signal);
        gate.home.configure("{gateway: {auth: {mode: 'token', token: 'tok-made-up-new'}}}");
        for peer in &mut shared {
            peer.ask("set-heartbeats", &json!({"enabled": true}));
            peer.ask("health", &json!({}));
        }
        gate.go(|plan| plan);
        for peer in &mut shared {
            let (code, reason) = peer.end();
            assert!(code == 1008 && !reason.is_empty(), "{signal}: {code} {reason:?}");
            refused_all(peer);
        }
        // Who did not come in with that secret stays.
        by_token.ok("health", &json!({}));
        at_owners_door.ok("set-heartbeats", &json!({"enabled": true}));
        // The new secret opens, the old one does not.
        assert_eq!(gate.open().refusal(&operator(4, READ)), "AUTH_TOKEN_MISMATCH");
        gate.open().admit(with_auth(operator(4, READ), json!({"token": "tok-made-up-new"})));
    }
}

#[test]
fn s40_a_lower_ceiling_holds_before_the_next_frame_and_is_announced() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let mut admin = gate.operator(ADMIN);
        let mut listed = gate.open();
        let mut params = operator(4, ADMIN);
        params["client"] = json!({"id": "gateway-client", "mode": "backend", "version": "1",
            "platform": "linux", "instanceId": "listed"});
        listed.admit(params);
        let mut reader = gate.operator(READ);
        gate.come_to_rest();
        gate.stop(signal);
        gate.home.set("{ceiling: {operator: ['operator.read']}}");
        let asked = admin.ask("set-heartbeats", &json!({"enabled": true}));
        gate.go(|plan| plan);
        let answer = admin.answer(&asked).expect("an answer");
        assert_eq!(answer["error"]["message"], "missing scope: operator.admin", "{answer}");
        admin.ok("health", &json!({}));
        // The presence list shows the scopes of everybody, and readers hear of the change.
        until("it is announced", || {
            reader.ok("health", &json!({}));
            reader.events.iter().any(|event| {
                let list = event["payload"]["presence"].as_array().cloned().unwrap_or_default();
                let ours = list.iter().find(|entry| entry["instanceId"] == "listed");
                event["event"] == "presence" && ours.is_some_and(|entry| entry["scopes"] == json!(READ))
            })
        });
        gate.daemon.says(&["fewer scopes", "SCOPES_GRANTED=operator.read", "REMEDY="]);
        // A wider one gives nothing back.
        gate.come_to_rest();
        gate.stop(signal);
        gate.home.set("{}");
        gate.go(|plan| plan);
        let error = admin.error("set-heartbeats", &json!({"enabled": true}));
        assert_eq!(error["message"], "missing scope: operator.admin", "{error}");
    }
}

#[test]
fn s40_a_user_who_is_not_allowed_any_more_is_sent_away() {
    if !stranger::can_be() {
        return;
    }
    let device = Device::new(3);
    let allowed = format!("{{peers: {{allow: [{NOBODY}]}}}}");
    for signal in BOTH {
        let mut gate = Gate::kept_token(&allowed);
        let mut owner = gate.operator(ADMIN);
        let peer = stranger::open(gate.port);
        let params = peer.sign(&device, operator(4, READ));
        let (error, _) = peer.refused(&params);
        owner.ok("device.pair.approve", &json!({"requestId": error["details"]["requestId"]}));
        let mut guest = stranger::open(gate.port);
        let params = guest.sign(&device, operator(4, READ));
        guest.admit(params);
        let challenged = stranger::open(gate.port);
        gate.come_to_rest();
        gate.stop(signal);
        gate.home.set("{}");
        guest.ask("health", &json!({}));
        gate.go(|plan| plan);
        let (code, reason) = guest.end();
        assert!(code == 1008 && !reason.is_empty(), "{signal}: {code} {reason:?}");
        refused_all(&guest);
        let params = challenged.sign(&device, operator(4, READ));
        challenged.refused(&params);
        owner.ok("health", &json!({}));
    }
}

#[test]
fn s40_a_node_offers_what_is_allowed_today() {
    for signal in BOTH {
        let mut gate = Gate::kept_token(PATIENT);
        let mut admin = gate.operator(ADMIN);
        let mut host = gate.open();
        let params = host.sign(&Device::new(8), node());
        host.admit(params);
        assert_eq!(admin.ok("node.list", &json!({}))["nodes"][0]["commands"], json!(["system.which"]));
        gate.come_to_rest();
        gate.stop(signal);
        gate.home.configure(&format!(
            "{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}, nodes: {{denyCommands: ['system.which']}}}}}}"
        ));
        let call = json!({"nodeId": Device::new(8).id(), "command": "system.which", "idempotencyKey": "k"});
        let asked = admin.ask("node.invoke", &call);
        gate.go(|plan| plan);
        let answer = admin.answer(&asked).expect("an answer");
        let message = answer["error"]["message"].as_str().expect("a refusal");
        assert!(message.starts_with("node command not allowed"), "{answer}");
    }
}

/// Changes the devices of the pairing store while nobody has it open.
fn change_pairing(gate: &Gate, change: impl FnOnce(&mut Value)) {
    let path = gate.home.path.join(".local/state/loopgate/pairing.json");
    let mut store: Value = serde_json::from_slice(&fs::read(&path).expect("a store")).expect("JSON");
    change(&mut store["devices"]);
    fs::write(path, store.to_string()).expect("a store");
}

/// Nothing of what was asked was done.
fn refused_all(peer: &Peer) {
    let done: Vec<&Value> = peer.events.iter().filter(|frame| frame["ok"] == true).collect();
    assert!(done.is_empty(), "{done:?}");
}
