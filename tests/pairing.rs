//! The pairing store as a model: every rule of it, and random histories in which the rules must hold after each step.
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

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use loopgate::clock::Now;
use loopgate::gateway::pairing::{
    Ask, Asked, Caller, Denied, NodeAsk, Pairing, Requests, Rotation, Settled, Store,
};
use loopgate::limits;
use loopgate::policy::scope::{Role, Scopes};
use loopgate::policy::secret::Digest;

const START_MS: u64 = 1_795_334_052_241;
const FIVE: &[&str] =
    &["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

#[test]
fn the_same_request_keeps_its_id_and_its_life_slides() {
    let (mut pairing, now) = fresh();
    let first = request(&mut pairing, &ask("a", &["operator.read"]), "r1", now);
    assert!(first.created && first.gone.is_empty());
    let almost = now.later(limits::PAIRING_PENDING_AGE);
    let again = request(&mut pairing, &ask("a", &["operator.read"]), "r2", almost);
    assert_eq!((again.created, again.request.request_id.as_str()), (false, "r1"));
    assert_eq!(again.request.ts, almost.unix_ms);
    let late = almost.later(limits::PAIRING_PENDING_AGE);
    assert!(pairing.approve("r1", &admin(), late).is_ok());
    assert_eq!(pairing.approve("r1", &admin(), late), Err(Denied::UnknownRequest));
}

#[test]
fn an_idle_request_is_forgotten() {
    let (mut pairing, now) = fresh();
    request(&mut pairing, &ask("a", &["operator.read"]), "r1", now);
    let late = now.later(limits::PAIRING_PENDING_AGE + Duration::from_millis(1));
    assert_eq!(pairing.approve("r1", &admin(), late), Err(Denied::UnknownRequest));
    assert_eq!(pairing.reject("r1", &admin(), late), Err(Denied::UnknownRequest));
    assert!(request(&mut pairing, &ask("a", &["operator.read"]), "r2", late).created);
    assert!(!pairing.dirty(), "requests are not written");
}

/// Nobody approves what was not shown: a wider wish is a new request, a narrower one is in the old.
#[test]
fn a_wider_request_takes_the_place_of_the_old_and_has_everything() {
    let (mut pairing, now) = fresh();
    request(&mut pairing, &ask("a", &["operator.read"]), "r1", now);
    let wider = request(&mut pairing, &ask("a", &["operator.pairing"]), "r2", now);
    assert_eq!(wider.request.scopes, ["operator.read", "operator.pairing"]);
    assert_eq!(wider.gone.iter().map(|gone| gone.request_id.as_str()).collect::<Vec<_>>(), ["r1"]);
    let node = request(&mut pairing, &Ask { role: Role::Node, ..ask("a", &["operator.admin"]) }, "r3", now);
    assert_eq!(node.request.roles, ["operator", "node"]);
    assert_eq!(node.request.scopes, ["operator.read", "operator.pairing"], "a node has no scopes");
    let narrower = request(&mut pairing, &ask("a", &["operator.read"]), "r4", now);
    assert_eq!((narrower.created, narrower.request.request_id.as_str()), (false, "r3"));
    assert_eq!(pairing.requests().devices().len(), 1);
    assert_eq!(pairing.approve("r1", &admin(), now), Err(Denied::UnknownRequest));
}

#[test]
fn a_flood_of_one_user_costs_only_that_user() {
    let (mut pairing, now) = fresh();
    let mine = Ask { uid: Some(1000), ..ask("mine", &["operator.read"]) };
    request(&mut pairing, &mine, "mine", now);
    for i in 0..3 * limits::PAIRING_PENDING_MAX {
        let theirs = Ask { uid: Some(1001), ..ask(&format!("their-{i}"), &["operator.read"]) };
        let later = now.later(Duration::from_millis(1 + i as u64));
        request(&mut pairing, &theirs, &format!("t{i}"), later);
        assert!(pairing.requests().devices().len() <= limits::PAIRING_PENDING_MAX);
    }
    assert!(pairing.requests().of_device("mine").is_some());
    let newest = format!("their-{}", 3 * limits::PAIRING_PENDING_MAX - 1);
    assert!(pairing.requests().of_device(&newest).is_some());
}

/// S9: an approver gives away only what it holds; roles other than operator are an admin's.
#[test]
fn an_approver_must_hold_what_it_gives() {
    let (mut pairing, now) = fresh();
    request(&mut pairing, &ask("a", &["operator.read", "operator.admin"]), "r1", now);
    let pairer = caller(Scopes::PAIRING | Scopes::READ);
    assert_eq!(pairing.approve("r1", &pairer, now), Err(Denied::MissingScope("operator.admin")));
    request(&mut pairing, &Ask { role: Role::Node, ..ask("n", &[]) }, "r2", now);
    assert_eq!(pairing.approve("r2", &pairer, now), Err(Denied::NeedsAdmin));
    request(&mut pairing, &ask("b", &["operator.read"]), "r3", now);
    assert!(pairing.approve("r3", &pairer, now).is_ok());
    let stranger = Caller { device: Some("b".into()), by_token: true, ..pairer.clone() };
    request(&mut pairing, &ask("c", &["operator.read"]), "r4", now);
    assert_eq!(pairing.approve("r4", &stranger, now), Err(Denied::NotYours));
    assert_eq!(pairing.reject("r4", &stranger, now), Err(Denied::NotYours));
    assert_eq!(pairing.remove("a", &stranger), Err(Denied::NotYours));
    assert!(pairing.reject("r4", &pairer, now).is_ok());
}

#[test]
fn an_unknown_scope_is_never_approved() {
    let (mut pairing, now) = fresh();
    request(&mut pairing, &ask("a", &["operator.read", "operator.bogus"]), "r1", now);
    pairing.approve("r1", &admin(), now).unwrap();
    assert_eq!(pairing.find("a").unwrap().approved_scopes, ["operator.read"]);
}

/// The cure for "token mismatch after an upgrade": whoever holds the token keeps it.
#[test]
fn an_approval_extends_a_live_token_and_never_rotates_it() {
    let (mut pairing, now) = fresh();
    let token = paired(&mut pairing, "a", &["operator.read"], now);
    request(&mut pairing, &ask("a", &["operator.read", "operator.write"]), "r1", now);
    pairing.approve("r1", &admin(), now).unwrap();
    let held = pairing.held("a", now);
    assert_eq!(held.len(), 1);
    assert!(held[0].digest.matches(&token) && held[0].scopes.covers(Scopes::WRITE));
    pairing.approve_silently(&ask("a", FIVE), now).unwrap();
    assert!(pairing.held("a", now)[0].digest.matches(&token));
    assert!(pairing.held("a", now)[0].scopes.covers(Scopes::ADMIN));
    assert_eq!(pairing.issue(("a", Role::Operator), &[], [9; 32], now), None, "a token is out there already");
}

#[test]
fn a_role_upgrade_leaves_the_other_roles_token_alone() {
    let (mut pairing, now) = fresh();
    let token = paired(&mut pairing, "a", &["operator.read"], now);
    pairing.approve_silently(&Ask { role: Role::Node, ..ask("a", FIVE) }, now).unwrap();
    let device = pairing.find("a").unwrap();
    assert_eq!((device.roles.len(), device.approved_scopes.len()), (2, 1));
    assert!(pairing.held("a", now)[0].digest.matches(&token));
    assert!(pairing.issue(("a", Role::Node), &[], [3; 32], now).is_some());
    assert_eq!(pairing.held("a", now).len(), 2);
}

#[test]
fn a_silent_approval_of_nothing_new_writes_nothing() {
    let (mut pairing, now) = fresh();
    paired(&mut pairing, "a", &["operator.read"], now);
    save(&mut pairing);
    let mut again = ask("a", &["operator.read"]);
    again.client_id = Some("gateway-client".into());
    again.client_mode = Some("backend".into());
    assert_eq!(pairing.approve_silently(&again, now).unwrap().revision, None);
    pairing.touch("a", Role::Operator, now);
    assert_eq!(pairing.begin_save(), None);
    again.platform = Some("darwin".into());
    assert!(pairing.approve_silently(&again, now).unwrap().revision.is_some());
    assert_eq!(pairing.find("a").unwrap().platform.as_deref(), Some("darwin"));
    let (_, bytes) = pairing.begin_save().unwrap();
    assert!(String::from_utf8(bytes).unwrap().contains("lastUsedAtMs"), "rides along");
}

/// A refused upgrade stays a request of its own and changes nothing about what comes after.
#[test]
fn a_leftover_request_does_not_poison_what_follows() {
    let (mut pairing, now) = fresh();
    paired(&mut pairing, "a", &["operator.read"], now);
    request(&mut pairing, &ask("a", FIVE), "r1", now);
    let adopted = pairing.approve_silently(&ask("a", &["operator.write"]), now).unwrap();
    assert!(adopted.revision.is_some() && adopted.resolved.is_none());
    assert!(pairing.find("a").unwrap().scopes().covers(Scopes::WRITE));
    assert!(!pairing.find("a").unwrap().scopes().covers(Scopes::ADMIN));
    let adopted = pairing.approve_silently(&ask("a", FIVE), now).unwrap();
    assert_eq!(adopted.resolved.unwrap().request_id, "r1");
    assert!(pairing.requests().devices().is_empty());
}

#[test]
fn another_key_under_the_same_id_inherits_no_token() {
    let (mut pairing, now) = fresh();
    paired(&mut pairing, "a", &["operator.read"], now);
    let other = Ask { public_key: "another".into(), ..ask("a", &["operator.read"]) };
    pairing.approve_silently(&other, now).unwrap();
    assert!(pairing.held("a", now).is_empty());
}

#[test]
fn beyond_the_bound_nobody_is_paired_and_nobody_forgotten() {
    let (mut pairing, now) = fresh();
    for i in 0..limits::DEVICES_MAX {
        pairing.approve_silently(&ask(&format!("d{i}"), &[]), now).unwrap();
    }
    assert_eq!(pairing.approve_silently(&ask("more", &[]), now), Err(Denied::Full));
    request(&mut pairing, &ask("more", &[]), "r1", now);
    assert_eq!(pairing.approve("r1", &admin(), now), Err(Denied::Full));
    assert!(pairing.approve_silently(&ask("d0", FIVE), now).is_ok());
    assert_eq!(pairing.store().devices().count(), limits::DEVICES_MAX);
}

/// D7: the old token is taken for a while, so that a device that is connecting right now gets in.
#[test]
fn rotation_has_an_overlap_and_revocation_has_none() {
    let (mut pairing, now) = fresh();
    let old = paired(&mut pairing, "a", &["operator.read"], now);
    let own = Caller { device: Some("a".into()), ..caller(Scopes::READ | Scopes::PAIRING) };
    let rotated = pairing.rotate(&order("operator", None), &own, [7; 32], now).unwrap();
    let new = rotated.token.unwrap();
    assert_eq!((rotated.scopes, rotated.rotated_at_ms), (vec!["operator.read".to_owned()], now.unix_ms));
    assert!(opens(&pairing, "a", &new, now) && opens(&pairing, "a", &old, now));
    let last = now.later(limits::TOKEN_OVERLAP - Duration::from_millis(1));
    assert!(opens(&pairing, "a", &old, last));
    let after = now.later(limits::TOKEN_OVERLAP);
    assert!(opens(&pairing, "a", &new, after) && !opens(&pairing, "a", &old, after));
    let revoked = pairing.revoke("a", "operator", &own, now).unwrap();
    assert_eq!(revoked.revoked_at_ms, now.unix_ms);
    assert!(!opens(&pairing, "a", &new, now) && !opens(&pairing, "a", &old, now));
    let fresh = pairing.issue(("a", Role::Operator), &names(&["operator.read"]), [8; 32], now).unwrap();
    assert!(opens(&pairing, "a", &fresh.token, now) && !opens(&pairing, "a", &new, now));
}

/// S10: another device's token is an admin's to rotate, and even an admin does not see the new secret.
#[test]
fn a_rotated_secret_goes_to_its_owner_only() {
    let (mut pairing, now) = fresh();
    let old = paired(&mut pairing, "a", &["operator.read"], now);
    for stranger in [
        caller(Scopes::PAIRING | Scopes::READ),
        Caller { device: Some("b".into()), by_token: true, ..caller(Scopes::PAIRING | Scopes::READ) },
    ] {
        let denied = pairing.rotate(&order("operator", None), &stranger, [7; 32], now).unwrap_err();
        assert_eq!(denied, Denied::NotYours);
    }
    let rotated = pairing.rotate(&order("operator", None), &admin(), [7; 32], now).unwrap();
    assert_eq!(rotated.token, None);
    assert!(opens(&pairing, "a", &old, now), "the overlap lets the device come and get its new one");
    let issued = pairing.issue(("a", Role::Operator), &names(FIVE), [8; 32], now).unwrap();
    assert_eq!(issued.scopes, ["operator.read"], "what the rotation set, not what is asked for");
    assert!(opens(&pairing, "a", &issued.token, now));
    assert!(!opens(&pairing, "a", &old, now.later(limits::TOKEN_OVERLAP)));
}

/// S9: what is minted lies within what the caller holds and what the device was approved for.
#[test]
fn rotation_mints_no_more_than_was_approved_and_is_held() {
    let (mut pairing, now) = fresh();
    paired(&mut pairing, "a", &["operator.read", "operator.pairing"], now);
    let own = Caller { device: Some("a".into()), ..caller(Scopes::PAIRING) };
    let mut rotate = |scopes: &[&str], caller: &Caller| {
        pairing
            .rotate(&order("operator", Some(&names(scopes))), caller, [7; 32], now)
            .map(|rotated| rotated.scopes)
    };
    assert_eq!(rotate(&["operator.admin"], &admin()), Err(Denied::OutsideApproved));
    assert_eq!(rotate(&["operator.write"], &admin()), Err(Denied::OutsideApproved));
    assert_eq!(rotate(&["operator.read"], &own), Err(Denied::MissingScope("operator.read")));
    assert_eq!(rotate(&["operator.pairing"], &own), Ok(names(&["operator.pairing"])));
    let denied = |role| paired_node(now).rotate(&order(role, None), &own, [7; 32], now).unwrap_err();
    assert_eq!(denied("node"), Denied::NeedsAdmin);
    assert_eq!(denied("operator"), Denied::UnknownToken);
    assert_eq!(denied("bogus"), Denied::UnknownToken);
    assert_eq!(
        pairing.revoke("a", "operator", &caller(Scopes::READ), now),
        Err(Denied::MissingScope("operator.pairing"))
    );
    assert_eq!(pairing.revoke("b", "operator", &admin(), now), Err(Denied::UnknownToken));
}

#[test]
fn nothing_is_issued_beyond_what_was_approved() {
    let (mut pairing, now) = fresh();
    pairing.approve_silently(&ask("a", &["operator.read"]), now).unwrap();
    let mut issue = |role, scopes: &[&str]| pairing.issue(("a", role), &names(scopes), [1; 32], now);
    assert_eq!(issue(Role::Operator, &["operator.write"]), None);
    assert_eq!(issue(Role::Node, &[]), None);
    let issued = issue(Role::Operator, &["operator.read", "operator.bogus"]).unwrap();
    assert_eq!((issued.token.len(), issued.scopes), (43, names(&["operator.read"])));
    assert!(!format!("{:?}", pairing.store()).contains(&issued.token));
}

/// S21: once, whatever races, and also across a crash: the admission waits for the disk.
#[test]
fn a_bootstrap_token_is_spent_once() {
    let (mut pairing, now) = fresh();
    let expires = now.unix_ms + 1000;
    let revision = pairing.spend("boot", expires, now).unwrap();
    assert_eq!(pairing.spend("boot", expires, now), None, "a racing connection loses");
    assert_eq!(pairing.spend("late", now.unix_ms, now), None, "expired");
    let (written, bytes) = pairing.begin_save().unwrap();
    assert_eq!(written, revision);
    assert_eq!(Pairing::open(Some(&bytes)).unwrap().spend("boot", expires, now), None, "after a crash");
    assert_eq!(pairing.saved(written, &Err("disk full".into())), Some(Settled::Lost(revision)));
    assert!(pairing.spend("boot", expires, now).is_some(), "the admission that spent it never happened");
    pairing.spend("other", expires + 5000, now.later(Duration::from_secs(2))).unwrap();
    assert!(!String::from_utf8(pairing.store().render()).unwrap().contains(&Digest::of("boot").hex()));
}

#[test]
fn one_write_is_under_way_and_later_changes_wait_for_the_next() {
    let (mut pairing, now) = fresh();
    assert_eq!(pairing.begin_save(), None);
    let first = pairing.approve_silently(&ask("a", &[]), now).unwrap().revision.unwrap();
    let (revision, bytes) = pairing.begin_save().unwrap();
    assert_eq!((revision, pairing.settled()), (first, 0));
    let second = pairing.approve_silently(&ask("b", &[]), now).unwrap().revision.unwrap();
    assert_eq!(pairing.begin_save(), None, "one at a time");
    assert_eq!(Store::parse(&bytes).unwrap().devices().count(), 1);
    assert_eq!(pairing.saved(99, &Ok(())), None, "not a write of ours");
    assert_eq!(pairing.saved(first, &Ok(())), Some(Settled::Durable(first)));
    let (revision, bytes) = pairing.begin_save().unwrap();
    assert_eq!((revision, Store::parse(&bytes).unwrap().devices().count()), (second, 2));
    assert_eq!(pairing.saved(second, &Ok(())), Some(Settled::Durable(second)));
    assert!(!pairing.dirty() && pairing.settled() == second);
}

#[test]
fn a_failed_write_takes_back_everything_since_the_last_good_one() {
    let (mut pairing, now) = fresh();
    paired(&mut pairing, "a", &["operator.read"], now);
    save(&mut pairing);
    let durable = pairing.store().clone();
    request(&mut pairing, &ask("b", &["operator.read"]), "r1", now);
    pairing.approve("r1", &admin(), now).unwrap();
    let (revision, _) = pairing.begin_save().unwrap();
    let meanwhile = pairing.remove("a", &admin()).unwrap().revision;
    request(&mut pairing, &ask("c", &["operator.read"]), "r2", now);
    assert_eq!(pairing.saved(revision, &Err("no space".into())), Some(Settled::Lost(meanwhile)));
    assert_eq!(pairing.store(), &durable);
    assert!(pairing.requests().of_device("b").is_some(), "the request is there again");
    assert!(pairing.requests().of_device("c").is_some(), "requests of the meantime stay");
    assert_eq!(pairing.begin_save(), None);
    assert!(pairing.approve("r1", &admin(), now).is_ok());
    save(&mut pairing);
    assert!(pairing.find("b").is_some());
}

#[test]
fn requests_survive_a_restart_as_a_value() {
    let (mut pairing, now) = fresh();
    request(&mut pairing, &ask("a", &["operator.read"]), "r1", now);
    pairing.surface(&node_ask("n", &["system.run"]), false, "r2".into(), now);
    let json = serde_json::to_vec(pairing.requests()).unwrap();
    let (mut next, _) = fresh();
    next.restore(serde_json::from_slice::<Requests>(&json).unwrap());
    assert_eq!(next.requests(), pairing.requests());
    assert!(next.approve("r1", &admin(), now).is_ok());
}

#[test]
fn openclaws_pairings_are_taken_over_once() {
    let devices = include_bytes!("data/pairing/openclaw-devices.json");
    let nodes = include_bytes!("data/pairing/openclaw-nodes.json");
    let (mut pairing, now) = fresh();
    let imported = pairing.import(devices, Some(nodes)).unwrap().unwrap();
    assert_eq!((imported.devices, imported.nodes), (3, 1));
    save(&mut pairing);
    let file = String::from_utf8(pairing.store().render()).unwrap();
    assert!(!file.contains("made-up"), "tokens are digests");
    let id = |start: &str| {
        pairing.store().devices().find(|d| d.device_id.starts_with(start)).unwrap().device_id.clone()
    };
    let (laptop, phone, node) = (id("7d11"), id("ef47"), id("9b90"));
    let held = pairing.held(&laptop, now);
    assert!(held[0].digest.matches("made-up-operator-token-000000000000000000001"));
    assert!(
        held[0].scopes.covers(Scopes::WRITE) && !held[0].scopes.covers(Scopes::ADMIN),
        "approved, not asked for"
    );
    assert!(pairing.held(&phone, now).is_empty(), "revoked stays revoked");
    assert_eq!(pairing.find(&phone).unwrap().remote_ip.as_deref(), Some("192.0.2.9"));
    assert!(pairing.find(&node).unwrap().has_role(Role::Node));
    assert!(pairing.verify_node("legacy-node", "made-up-legacy-token-0000000000000000000004").is_some());
    assert!(pairing.verify_node("legacy-node", "made-up").is_none());
    assert_eq!(pairing.import(devices, Some(nodes)), Ok(None), "once");
    assert!(!pairing.dirty());
    let mut reopened = Pairing::open(Some(file.as_bytes())).unwrap();
    assert_eq!(reopened.import(devices, None), Ok(None), "also after a restart");
}

#[test]
fn an_import_that_is_not_understood_imports_nothing() {
    let good = include_str!("data/pairing/openclaw-devices.json");
    let stranger = good.replacen("\"deviceId\": \"7", "\"deviceId\": \"8", 1);
    let cases = [
        ("", "devices/paired.json: EOF"),
        ("[1]", "devices/paired.json: invalid type"),
        (&good[..good.len() / 2], "devices/paired.json: EOF"),
        (r#"{"a":{"deviceId":"a"}}"#, "missing field `publicKey`"),
        (&stranger, "calls itself `8d11"),
    ];
    for (text, want) in cases {
        let (mut pairing, _) = fresh();
        let error = pairing.import(text.as_bytes(), None).unwrap_err();
        assert!(error.contains(want), "{error}");
        assert_eq!(pairing.store(), &Store::default());
        assert!(!pairing.dirty());
    }
    let (mut pairing, _) = fresh();
    let error = pairing.import(good.as_bytes(), Some(b"{")).unwrap_err();
    assert!(error.contains("nodes/paired.json"), "{error}");
    assert!(!pairing.store().imported());
    assert!(pairing.import(good.as_bytes(), None).unwrap().is_some(), "tried again with a good file");
}

#[test]
fn the_list_has_the_protocols_shape_and_no_secret() {
    let (mut pairing, now) = fresh();
    let token = paired(&mut pairing, "a", &["operator.read"], now);
    let later = now.later(Duration::from_secs(1));
    pairing.approve_silently(&Ask { role: Role::Node, ..ask("b", &[]) }, later).unwrap();
    request(&mut pairing, &ask("c", &["operator.read"]), "r1", now);
    request(&mut pairing, &ask("d", &["operator.read"]), "r2", later);
    let list = pairing.list_devices(&admin(), |id| id == "a", later);
    let ids = |key: &str, id: &str| -> Vec<String> {
        list[key].as_array().unwrap().iter().map(|item| item[id].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (ids("pending", "requestId"), ids("paired", "deviceId")),
        (names(&["r2", "r1"]), names(&["b", "a"]))
    );
    let device = &list["paired"][1];
    let want = serde_json::json!({
        "deviceId": "a", "publicKey": "key-a", "platform": "linux", "clientId": "cli", "clientMode": "cli",
        "role": "operator", "roles": ["operator"], "scopes": ["operator.read"], "connected": true,
        "tokens": [{"role": "operator", "scopes": ["operator.read"], "createdAtMs": START_MS}],
        "createdAtMs": START_MS, "approvedAtMs": START_MS,
    });
    assert_eq!(device, &want);
    assert!(list["paired"][0].get("tokens").is_none());
    let want = serde_json::json!({
        "requestId": "r2", "deviceId": "d", "publicKey": "key-d", "platform": "linux", "clientId": "cli",
        "clientMode": "cli", "role": "operator", "roles": ["operator"], "scopes": ["operator.read"],
        "silent": false, "isRepair": false, "ts": later.unix_ms,
    });
    assert_eq!(list["pending"][0], want);
    let text = list.to_string();
    assert!(!text.contains(&token) && !text.contains("digest"));
    let own = Caller { device: Some("a".into()), by_token: true, ..caller(Scopes::PAIRING) };
    let list = pairing.list_devices(&own, |_| false, later);
    assert_eq!((list["paired"].as_array().unwrap().len(), list["pending"].as_array().unwrap().len()), (1, 0));
}

#[test]
fn a_nodes_surface_waits_for_an_approval_unless_a_rule_gives_it() {
    let (mut pairing, now) = fresh();
    pairing.approve_silently(&Ask { role: Role::Node, ..ask("n", &[]) }, now).unwrap();
    let wish = node_ask("n", &["system.run", "system.which"]);
    let surface = pairing.surface(&wish, false, "r1".into(), now);
    assert!(surface.commands.is_empty() && surface.caps.is_empty());
    let asked = surface.asked.unwrap();
    assert_eq!(asked.request.required_approve_scopes, ["operator.pairing", "operator.admin"]);
    let hours = now.later(Duration::from_secs(7200));
    let again = pairing.surface(&wish, false, "r2".into(), hours).asked.unwrap();
    assert_eq!(
        (again.created, again.request.request_id.as_str()),
        (false, "r1"),
        "it lives while the node is there"
    );
    let writer = caller(Scopes::PAIRING | Scopes::WRITE);
    assert!(matches!(
        pairing.approve_node("r1", &writer, [0; 32], hours),
        Err(Denied::MissingScope("operator.admin"))
    ));
    let approved = pairing.approve_node("r1", &admin(), [0; 32], hours).unwrap();
    assert_eq!(approved.token, None, "a device has its own token");
    let surface = pairing.surface(&wish, false, "r3".into(), hours);
    assert_eq!((surface.commands.len(), surface.asked), (2, None));
    let wider = node_ask("n", &["system.run", "camera.snap"]);
    let surface = pairing.surface(&wider, false, "r4".into(), hours);
    assert_eq!(surface.commands, BTreeSet::from(["system.run".to_owned()]));
    assert!(surface.asked.unwrap().request.is_repair);
    let surface = pairing.surface(&wider, true, "r5".into(), hours);
    assert!(surface.revision.is_some() && surface.commands.len() == 2);
    assert_eq!(surface.resolved.unwrap().request_id, "r4");
    let surface = pairing.surface(&wider, true, "r6".into(), hours);
    assert_eq!(surface.revision, None, "nothing new, nothing written");
}

#[test]
fn the_request_of_a_node_that_left_expires() {
    let (mut pairing, now) = fresh();
    pairing.surface(&node_ask("n", &["system.run"]), false, "r1".into(), now);
    let gone = now.later(Duration::from_secs(3600));
    pairing.release_node("n", gone);
    let late = gone.later(limits::PAIRING_PENDING_AGE + Duration::from_millis(1));
    assert!(matches!(pairing.approve_node("r1", &admin(), [0; 32], late), Err(Denied::UnknownRequest)));
}

#[test]
fn permissions_are_approved_like_commands() {
    let (mut pairing, now) = fresh();
    let mut wish = node_ask("n", &["system.which"]);
    wish.permissions = Some([("screen".to_owned(), true), ("camera".to_owned(), false)].into());
    pairing.surface(&wish, true, "r1".into(), now);
    wish.permissions = Some([("screen".to_owned(), true), ("camera".to_owned(), true)].into());
    let surface = pairing.surface(&wish, false, "r2".into(), now);
    assert!(surface.permissions["screen"]);
    assert!(!surface.permissions["camera"]);
    assert!(surface.asked.is_some());
}

#[test]
fn a_node_of_the_older_kind_gets_a_token_that_opens_nothing_else() {
    let (mut pairing, now) = fresh();
    let asked = pairing.request_node(&node_ask("legacy", &["system.run"]), "r1".into(), now);
    assert!(asked.created);
    let public = asked.request.to_public();
    let want = serde_json::json!({
        "requestId": "r1", "nodeId": "legacy", "displayName": "L", "platform": "linux", "commands": ["system.run"],
        "requiredApproveScopes": ["operator.pairing", "operator.admin"], "silent": false, "isRepair": false,
        "ts": START_MS,
    });
    assert_eq!(public, want);
    let approved = pairing.approve_node("r1", &admin(), [5; 32], now).unwrap();
    let token = approved.token.unwrap();
    assert!(pairing.verify_node("legacy", &token).is_some());
    assert!(pairing.held("legacy", now).is_empty());
    let list = pairing.list_nodes(&admin(), now);
    assert_eq!(list["paired"][0]["nodeId"], "legacy");
    assert!(!list.to_string().contains("digest") && !list.to_string().contains(&token));
    pairing.rename_node("legacy", "shed", &admin()).unwrap();
    assert_eq!(pairing.store().node("legacy").unwrap().display_name.as_deref(), Some("shed"));
    pairing.remove_node("legacy", &admin()).unwrap();
    assert_eq!(pairing.remove_node("legacy", &admin()), Err(Denied::UnknownNode));
}

#[test]
fn removing_a_node_takes_its_role_and_removing_a_device_takes_its_node() {
    let (mut pairing, now) = fresh();
    paired(&mut pairing, "a", &["operator.read"], now);
    pairing.approve_silently(&Ask { role: Role::Node, ..ask("a", &[]) }, now).unwrap();
    pairing.surface(&node_ask("a", &["system.run"]), true, String::new(), now);
    pairing.rename_node("a", "desk", &admin()).unwrap();
    pairing.remove_node("a", &admin()).unwrap();
    assert_eq!(pairing.find("a").unwrap().roles, ["operator"]);
    assert!(pairing.store().node("a").is_none());
    pairing.approve_silently(&Ask { role: Role::Node, ..ask("b", &[]) }, now).unwrap();
    pairing.surface(&node_ask("b", &["system.run"]), true, String::new(), now);
    request(&mut pairing, &ask("b", FIVE), "r1", now);
    let removed = pairing.remove("b", &admin()).unwrap();
    assert_eq!(removed.rejected.unwrap().request_id, "r1");
    assert!(pairing.find("b").is_none() && pairing.store().node("b").is_none());
    assert!(pairing.requests().devices().is_empty());
}

/// Random histories. After each step: a token opens nothing beyond its device's approval; what was revoked opens
/// nothing; the file says what the model says; a lost write leaves exactly what the disk holds.
#[test]
fn the_rules_hold_in_random_histories() {
    for seed in 0..300 {
        History::new(seed).run(120);
    }
}

struct History {
    rng: u64,
    pairing: Pairing,
    now: Now,
    /// What the disk holds.
    disk: Option<Vec<u8>>,
    writing: Option<(u64, Vec<u8>)>,
    /// Secrets that were told to somebody, by device and role.
    told: Vec<(String, Role, String)>,
    /// Secrets that must open nothing any more, unless the change was lost.
    dead: Vec<(u64, String, String)>,
    seed: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let (pairing, now) = fresh();
        let rng = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { rng, pairing, now, disk: None, writing: None, told: Vec::new(), dead: Vec::new(), seed }
    }

    fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
            self.check();
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 11) % bound
    }

    fn device(&mut self) -> String {
        format!("d{}", self.below(4))
    }

    fn role(&mut self) -> Role {
        if self.below(4) == 0 { Role::Node } else { Role::Operator }
    }

    fn scopes(&mut self) -> Vec<String> {
        FIVE.iter().filter(|_| self.below(3) == 0).map(|name| (*name).to_owned()).collect()
    }

    fn caller(&mut self) -> Caller {
        let scopes = Scopes::from_names(self.scopes().iter().map(String::as_str));
        let device = (self.below(2) == 0).then(|| self.device());
        Caller { scopes, by_token: device.is_some() && self.below(2) == 0, device }
    }

    fn secret(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| u8::try_from(self.below(256)).unwrap())
    }

    fn ask(&mut self) -> Ask {
        let (id, role, scopes) = (self.device(), self.role(), self.scopes());
        Ask { role, scopes, ..ask(&id, &[]) }
    }

    fn step(&mut self) {
        self.now = self.now.later(Duration::from_millis(1 << self.below(17)));
        let (now, caller, device, role) = (self.now, self.caller(), self.device(), self.role());
        match self.below(12) {
            0 | 1 => {
                let (ask, id) = (self.ask(), format!("r{}", self.below(1 << 40)));
                self.pairing.request(&ask, id, now);
            }
            2 | 3 => {
                let waiting =
                    self.pairing.requests().of_device(&device).map(|request| request.request_id.clone());
                if let Some(id) = waiting {
                    drop(self.pairing.approve(&id, &caller, now));
                }
            }
            4 => {
                let ask = self.ask();
                drop(self.pairing.approve_silently(&ask, now));
            }
            5 | 6 => {
                let (scopes, secret) = (self.scopes(), self.secret());
                if let Some(issued) = self.pairing.issue((&device, role), &scopes, secret, now) {
                    self.told.push((device, role, issued.token));
                }
            }
            7 => {
                let (scopes, secret) = (self.scopes(), self.secret());
                let scopes = (self.below(2) == 0).then_some(scopes.as_slice());
                let order = Rotation { device_id: &device, role: role.name(), scopes };
                let rotated = self.pairing.rotate(&order, &caller, secret, now);
                if let Ok(Some(token)) = rotated.map(|rotated| rotated.token) {
                    self.told.push((device, role, token));
                }
            }
            8 => {
                if let Ok(revoked) = self.pairing.revoke(&device, role.name(), &caller, now) {
                    let dead = self.told.iter().filter(|(id, told, _)| *id == device && *told == role);
                    self.dead
                        .extend(dead.map(|(id, _, token)| (revoked.revision, id.clone(), token.clone())));
                }
            }
            9 => {
                if let Ok(removed) = self.pairing.remove(&device, &caller) {
                    let dead = self.told.iter().filter(|(id, _, _)| *id == device);
                    self.dead
                        .extend(dead.map(|(id, _, token)| (removed.revision, id.clone(), token.clone())));
                }
            }
            _ => self.disk_turn(),
        }
    }

    fn disk_turn(&mut self) {
        if let Some((revision, bytes)) = self.writing.take() {
            let works = self.below(3) > 0;
            let result = if works { Ok(()) } else { Err("no space".to_owned()) };
            let settled = self.pairing.saved(revision, &result).unwrap();
            if works {
                assert_eq!(settled, Settled::Durable(revision));
                self.disk = Some(bytes);
            } else {
                assert_eq!(settled, Settled::Lost(self.pairing.revision()));
                let disk = Pairing::open(self.disk.as_deref()).unwrap();
                assert_eq!(self.pairing.store().render(), disk.store().render(), "seed {}", self.seed);
                // What was lost never happened: those secrets may be good again, or never were.
                self.dead.clear();
                self.told.clear();
            }
        } else {
            self.writing = self.pairing.begin_save();
        }
    }

    fn check(&mut self) {
        let (seed, now) = (self.seed, self.now);
        let store = self.pairing.store();
        assert_eq!(Store::parse(&store.render()).unwrap(), *store, "seed {seed}");
        for device in store.devices() {
            for token in device.tokens.values().filter(|token| token.is_live()) {
                assert!(device.scopes().covers(token.scopes()), "seed {seed}: a token beyond its approval");
            }
            for held in self.pairing.held(&device.device_id, now) {
                assert!(device.has_role(held.role) && device.scopes().covers(held.scopes), "seed {seed}");
            }
        }
        for (_, device, token) in &self.dead {
            assert!(!opens(&self.pairing, device, token, now), "seed {seed}: a dead token opens {device}");
        }
        let devices: BTreeSet<_> =
            self.pairing.requests().devices().iter().map(|request| request.device_id.clone()).collect();
        assert_eq!(
            devices.len(),
            self.pairing.requests().devices().len(),
            "seed {seed}: one request a device"
        );
    }
}

fn fresh() -> (Pairing, Now) {
    (Pairing::open(None).unwrap(), Now { mono: Instant::now(), unix_ms: START_MS })
}

fn ask(device: &str, scopes: &[&str]) -> Ask {
    Ask {
        device_id: device.to_owned(),
        public_key: format!("key-{device}"),
        display_name: None,
        platform: Some("linux".to_owned()),
        device_family: None,
        client_id: Some("cli".to_owned()),
        client_mode: Some("cli".to_owned()),
        remote_ip: None,
        role: Role::Operator,
        scopes: names(scopes),
        uid: Some(1000),
    }
}

fn node_ask(node: &str, commands: &[&str]) -> NodeAsk {
    NodeAsk {
        node_id: node.to_owned(),
        display_name: Some("L".to_owned()),
        platform: Some("linux".to_owned()),
        commands: Some(commands.iter().map(|command| (*command).to_owned()).collect()),
        ..NodeAsk::default()
    }
}

fn request(pairing: &mut Pairing, ask: &Ask, id: &str, now: Now) -> Asked {
    pairing.request(ask, id.to_owned(), now)
}

/// Pairs a device and gives it a token.
fn paired(pairing: &mut Pairing, device: &str, scopes: &[&str], now: Now) -> String {
    pairing.approve_silently(&ask(device, scopes), now).unwrap();
    let secret = Digest::of(device).hex().into_bytes()[..32].try_into().unwrap();
    pairing.issue((device, Role::Operator), &names(scopes), secret, now).unwrap().token
}

fn paired_node(now: Now) -> Pairing {
    let (mut pairing, _) = fresh();
    pairing.approve_silently(&Ask { role: Role::Node, ..ask("a", &[]) }, now).unwrap();
    pairing
}

fn order<'a>(role: &'a str, scopes: Option<&'a [String]>) -> Rotation<'a> {
    Rotation { device_id: "a", role, scopes }
}

fn save(pairing: &mut Pairing) {
    let (revision, _) = pairing.begin_save().unwrap();
    assert_eq!(pairing.saved(revision, &Ok(())), Some(Settled::Durable(revision)));
}

fn opens(pairing: &Pairing, device: &str, token: &str, now: Now) -> bool {
    pairing.held(device, now).iter().any(|held| held.digest.matches(token))
}

fn admin() -> Caller {
    caller(Scopes::ADMIN)
}

fn caller(scopes: Scopes) -> Caller {
    Caller { scopes, device: None, by_token: false }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
