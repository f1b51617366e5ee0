//! Devices: who is paired by whom, what a token opens, and what is over when a device is sent away.

use std::sync::Barrier;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::TOKEN;
use crate::common::client::{Device, cli};
use crate::live::{Gate, Peer, node, operator, timed, unix_ms, with_auth};
use crate::rig::Home;
use crate::stranger::{self, NOBODY};

const ADMIN: &[&str] = &["operator.admin"];
const READ: &[&str] = &["operator.read"];

#[test]
fn s05_neither_a_page_nor_another_user_is_paired_in_silence() {
    let gate =
        Gate::new(&format!("mode: 'token', token: '{TOKEN}'"), &format!("{{peers: {{allow: [{NOBODY}]}}}}"));
    let mut owner = gate.operator(ADMIN);
    let ask = |peer: Peer, device: &Device, params: Value| {
        let params = peer.sign(device, params);
        let (error, _) = peer.refused(&params);
        assert_eq!(error["details"]["code"], "PAIRING_REQUIRED", "{error}");
        error["details"]["requestId"].clone()
    };
    let mut requests =
        vec![ask(gate.page(), &Device::new(1), operator(4, READ)), ask(gate.page(), &Device::new(2), node())];
    if stranger::can_be() {
        requests.push(ask(stranger::open(gate.port), &Device::new(3), operator(4, READ)));
        requests.push(ask(stranger::open(gate.port), &Device::new(4), node()));
    }
    let list = owner.ok("device.pair.list", &json!({}));
    assert_eq!(list["paired"], json!([]), "nobody was paired");
    let pending: Vec<&Value> =
        list["pending"].as_array().expect("a list").iter().map(|row| &row["requestId"]).collect();
    assert!(requests.iter().all(|request| pending.contains(&request)), "{requests:?} in {pending:?}");
    // Asking again does not help either.
    ask(gate.page(), &Device::new(1), operator(4, READ));
}

#[test]
fn s10_a_new_token_goes_to_its_owner_alone() {
    let gate = Gate::token();
    let (mine, other) = (Device::new(1), Device::new(2));
    paired(&gate, &other, ADMIN);
    let rotate = |peer: &mut Peer, device: &Device| {
        peer.call("device.token.rotate", &json!({"deviceId": device.id(), "role": "operator"}))
            .expect("an answer")
    };
    let mut lesser = gate.open();
    let params = lesser.sign(&mine, operator(4, &["operator.pairing", "operator.read"]));
    lesser.admit(params);
    let answer = rotate(&mut lesser, &other);
    assert_eq!(answer["ok"], false, "{answer}");
    gate.daemon.says(&["METHOD=device.token.rotate", "SCOPE_REQUIRED=operator.admin", "DECISION=deny"]);
    // An admin may, but reads nothing; the device itself reads its own.
    let mut admin = gate.operator(ADMIN);
    let answer = rotate(&mut admin, &other);
    assert!(answer["ok"] == true && answer["payload"].get("token").is_none(), "{answer}");
    assert_eq!(answer["payload"]["tokenDelivery"], "withheld-cross-device");
    let answer = rotate(&mut lesser, &mine);
    assert_eq!(answer["payload"]["token"].as_str().map(str::len), Some(43), "{answer}");
}

#[test]
fn s09_no_token_holds_more_than_its_caller_and_its_device() {
    let gate = Gate::token();
    let device = Device::new(1);
    let mut reader = gate.open();
    let params = reader.sign(&device, operator(4, &["operator.read", "operator.pairing"]));
    reader.admit(params);
    for scopes in
        [json!(["operator.admin"]), json!(["operator.read", "operator.write"]), json!(["operator.approvals"])]
    {
        let params = json!({"deviceId": device.id(), "role": "operator", "scopes": scopes});
        reader.error("device.token.rotate", &params);
        // Not by an admin either: the device was approved for no more.
        gate.operator(ADMIN).error("device.token.rotate", &params);
    }
    reader.error("device.token.rotate", &json!({"deviceId": device.id(), "role": "node"}));
}

#[test]
fn s12_coming_back_opens_no_more_than_was_approved() {
    let gate = Gate::token();
    let device = Device::new(1);
    let token = approve_page(&gate, &device, READ);
    let wider =
        [&["operator.read", "operator.write"][..], ADMIN, &["operator.pairing"], &["operator.approvals"]];
    let guises = [
        ("cli", "cli"),
        ("cli", "probe"),
        ("gateway-client", "backend"),
        ("webchat", "webchat"),
        ("openclaw-control-ui", "ui"),
        ("test", "test"),
    ];
    for (id, mode) in guises {
        let params = |scopes: &[&str], auth: Value| {
            let mut params = with_auth(operator(4, scopes), auth);
            params["client"]["id"] = json!(id);
            params["client"]["mode"] = json!(mode);
            params
        };
        for scopes in wider {
            // As a page with the shared secret, and with its own token.
            for auth in [json!({"token": TOKEN}), json!({"deviceToken": token})] {
                let peer = gate.page();
                let params = peer.sign(&device, params(scopes, auth));
                let (error, _) = peer.refused(&params);
                assert_eq!(error["details"]["reason"], "scope-upgrade", "{id}/{mode} {scopes:?}: {error}");
            }
        }
        let mut peer = gate.page();
        let params = peer.sign(&device, params(READ, json!({"deviceToken": token})));
        assert_eq!(peer.admit(params)["auth"]["scopes"], json!(READ), "{id}/{mode}");
        assert_eq!(
            peer.error("set-heartbeats", &json!({"enabled": true}))["details"]["code"],
            "MISSING_SCOPE"
        );
    }
    // Another role is an upgrade too.
    let peer = gate.page();
    let params = peer.sign(&device, node());
    assert_eq!(peer.refused(&params).0["details"]["reason"], "role-upgrade");
    // A local program with the shared secret is widened without asking, under the rule that says so.
    let mut local = gate.open();
    let params = local.sign(&device, operator(4, ADMIN));
    local.admit(params);
    gate.daemon.says(&["RULE=local-operator", "DEVICE_ID="]);
}

#[test]
fn s21_a_setup_code_is_good_for_one_device_in_a_race_and_across_a_crash() {
    let home = Home::new();
    let code = "bootstrap-made-up-1";
    write_bootstrap(&home, code);
    let gate = Gate::in_home(home, &format!("mode: 'token', token: '{TOKEN}'"), "{}");
    let barrier = Barrier::new(RACERS);
    let attempt = |number: usize| {
        let mut peer = gate.open();
        let device = Device::new(u8::try_from(number).expect("few racers"));
        let params = peer.sign(&device, with_auth(cli(4, READ), json!({"bootstrapToken": code})));
        barrier.wait();
        peer.call("connect", &params).expect("an answer")
    };
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS).map(|number| scope.spawn(move || attempt(number))).collect();
        racers.into_iter().map(|racer| racer.join().expect("an answer")).collect()
    });
    let losers: Vec<&Value> = answers.iter().filter(|answer| answer["ok"] == false).collect();
    assert_eq!(losers.len(), RACERS - 1, "{answers:?}");
    for answer in losers {
        assert_eq!(answer["error"]["details"]["code"], "AUTH_BOOTSTRAP_TOKEN_INVALID", "{answer}");
    }
    // The winner was told only when it was on disk, so that a crash changes nothing.
    let gate = gate.restart(Signal::SIGKILL);
    let peer = gate.open();
    let params = peer.sign(&Device::new(200), with_auth(cli(4, READ), json!({"bootstrapToken": code})));
    assert_eq!(peer.refusal(&params), "AUTH_BOOTSTRAP_TOKEN_INVALID");
}

#[test]
fn s23_a_device_that_is_sent_away_is_gone_within_a_second() {
    let gate = Gate::token();
    let device = Device::new(1);
    for (method, by_token) in [
        ("device.token.revoke", true),
        ("device.token.revoke", false),
        ("device.pair.remove", true),
        ("device.pair.remove", false),
    ] {
        let token = paired(&gate, &device, ADMIN);
        let mut live: Vec<Peer> = (0..5)
            .map(|_| {
                let auth = if by_token { json!({"deviceToken": token}) } else { json!({"token": TOKEN}) };
                let mut peer = gate.open();
                let params = peer.sign(&device, with_auth(operator(4, READ), auth));
                peer.admit(params);
                peer
            })
            .collect();
        let mut bystander = gate.open();
        let params = bystander.sign(&Device::new(9), operator(4, READ));
        bystander.admit(params);
        gate.operator(ADMIN).ok(method, &json!({"deviceId": device.id(), "role": "operator"}));
        let (ends, took) = timed(|| live.iter_mut().map(Peer::end).collect::<Vec<_>>());
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(
            ends.iter().all(|(code, reason)| *code == 1008 && reason.contains("device")),
            "{method}: {ends:?}"
        );
        bystander.ok("health", &json!({}));
        let peer = gate.open();
        let params = peer.sign(&device, with_auth(cli(4, READ), json!({"deviceToken": token})));
        assert_eq!(peer.refusal(&params), "AUTH_DEVICE_TOKEN_MISMATCH");
        gate.operator(ADMIN)
            .call("device.pair.remove", &json!({"deviceId": device.id()}))
            .expect("an answer");
    }
}

#[test]
fn s41_a_captured_proof_opens_nothing_anywhere_else() {
    let gate = Gate::token();
    let device = Device::new(1);
    paired(&gate, &device, READ);
    let mut first = gate.open();
    let proof = first.sign(&device, operator(4, READ));
    first.admit(proof.clone());
    for _ in 0..2 {
        assert_eq!(gate.open().refusal(&proof), "DEVICE_AUTH_NONCE_MISMATCH", "on another connection");
    }
    // The nonce of the connection beside a signature for another one.
    let peer = gate.open();
    let mut mended = proof.clone();
    mended["device"]["nonce"] = json!(peer.nonce);
    assert_eq!(peer.refusal(&mended), "DEVICE_AUTH_SIGNATURE_INVALID");
    for skew in [-180_000, 180_000] {
        let peer = gate.open();
        let then = unix_ms().checked_add_signed(skew).expect("a time");
        let stale = device.sign(operator(4, READ), &peer.nonce, then);
        assert_eq!(peer.refusal(&stale), "DEVICE_AUTH_SIGNATURE_EXPIRED");
    }
    let gate = gate.restart(Signal::SIGTERM);
    assert_eq!(gate.open().refusal(&proof), "DEVICE_AUTH_NONCE_MISMATCH", "after a restart");
    // Nonces do not come again, and are nobody's to guess.
    let mut nonces: Vec<String> = (0..200).map(|_| gate.open().nonce).collect();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 200);
    assert!(nonces.iter().all(|nonce| nonce.len() >= 32 && !everything_stored(&gate).contains(nonce)));
}

/// Pairs a local device, as every command line is paired; the token that it gets.
fn paired(gate: &Gate, device: &Device, scopes: &[&str]) -> String {
    let mut peer = gate.open();
    let params = peer.sign(device, operator(4, scopes));
    let hello = peer.admit(params);
    hello["auth"]["deviceToken"].as_str().expect("a device token").to_owned()
}

/// Pairs the device of a page, which an operator has to approve; the token that it gets.
fn approve_page(gate: &Gate, device: &Device, scopes: &[&str]) -> String {
    let peer = gate.page();
    let params = peer.sign(device, operator(4, scopes));
    let (error, _) = peer.refused(&params);
    gate.operator(ADMIN).ok("device.pair.approve", &json!({"requestId": error["details"]["requestId"]}));
    let mut peer = gate.page();
    let params = peer.sign(device, operator(4, scopes));
    peer.admit(params)["auth"]["deviceToken"].as_str().expect("a device token").to_owned()
}

fn everything_stored(gate: &Gate) -> String {
    crate::secrets::everything_below(&gate.home.path.join(".local"))
}

/// A setup code as OpenClaw keeps it.
pub(crate) fn write_bootstrap(home: &Home, code: &str) {
    let folder = home.path.join(".openclaw/devices");
    std::fs::create_dir_all(&folder).expect("a folder");
    let now = unix_ms();
    let text = json!({(code): {"token": code, "ts": now, "issuedAtMs": now}}).to_string();
    std::fs::write(folder.join("bootstrap.json"), text).expect("a file");
}

const RACERS: usize = 8;
