//! Single rules of admission, and the words in which they refuse.

use loopgate::policy::admit::{Admission, Approval, BOOTSTRAP_SCOPES, PairingChange, Verdict};
use loopgate::policy::credential::{Credential, Reason};
use loopgate::policy::device::Fault;
use loopgate::policy::facts::{Door, Pairing, PeerClass};
use loopgate::policy::origin::OriginClass;
use loopgate::policy::scope::{AuthMethod, Role, Scopes};
use loopgate::policy::secret::Digest;
use loopgate::wire::Protocol;
use serde_json::{Value, json};

use crate::kit::{Scene, connect, direct, own_page, proven};

const OPERATOR: &[Role] = &[Role::Operator];
const NODE: &[Role] = &[Role::Node];

fn admitted(scene: &Scene) -> Admission {
    match scene.verdict() {
        Verdict::Admit(admission) => admission,
        other => panic!("{other:?}"),
    }
}

fn refused(scene: &Scene) -> (&'static str, Value, String) {
    match scene.verdict() {
        Verdict::Refuse { refusal, .. } => {
            let close = refusal.close_reason().to_owned();
            (refusal.rule, serde_json::to_value(refusal.error.unwrap()).unwrap(), close)
        }
        other => panic!("{other:?}"),
    }
}

fn pended(scene: &Scene) -> (&'static str, Value, String) {
    match scene.verdict() {
        Verdict::Pend(pending) => {
            let refusal = pending.refusal("req-1");
            assert!(refusal.remedy.contains("loopgate devices approve") && refusal.rule == pending.rule());
            let close = refusal.close_reason().to_owned();
            (refusal.rule, serde_json::to_value(refusal.error.unwrap()).unwrap(), close)
        }
        other => panic!("{other:?}"),
    }
}

fn known(roles: &'static [Role], approved: Scopes, same_metadata: bool) -> Pairing<'static> {
    Pairing::Known { roles, approved, same_metadata }
}

fn paired(changes: &Value, pairing: Pairing<'static>) -> Scene {
    Scene { device: Some(Ok(proven(7))), pairing, surroundings: own_page(), ..Scene::local(changes) }
}

#[test]
fn a_local_operator_gets_what_it_asks_whatever_it_calls_itself() {
    let all = ["operator.admin", "operator.approvals", "operator.pairing", "operator.read", "operator.write"];
    for (id, mode) in
        [("cli", "cli"), ("cli", "probe"), ("gateway-client", "backend"), ("test", "test"), ("x", "y")]
    {
        for scopes in [&all[..], &["operator.read"], &[]] {
            let scene = Scene::local(&json!({"client": {"id": id, "mode": mode}, "scopes": scopes}));
            let admission = admitted(&scene);
            assert_eq!(admission.grant.rule(), "local-operator");
            assert_eq!(admission.grant.scopes(), Scopes::from_names(scopes.iter().copied()));
            assert_eq!((admission.narrowed, admission.pairing), (None, PairingChange::None));
            assert_eq!(admission.grant.how(), AuthMethod::Token);
        }
    }
}

#[test]
fn a_local_device_is_paired_and_extended_without_asking_and_keeps_what_it_has() {
    let scene = |pairing| Scene { surroundings: direct(), ..paired(&json!({}), pairing) };
    let approval = Approval { role: Role::Operator, scopes: Scopes::READ };
    for (pairing, want) in [
        (Pairing::Unknown, PairingChange::Create(approval)),
        (known(OPERATOR, Scopes::ADMIN, true), PairingChange::None),
        (known(OPERATOR, Scopes::ADMIN, false), PairingChange::Extend(approval)),
        (known(OPERATOR, Scopes::PAIRING, true), PairingChange::Extend(approval)),
        (known(NODE, Scopes::ADMIN, true), PairingChange::Extend(approval)),
    ] {
        let admission = admitted(&scene(pairing));
        assert_eq!(admission.pairing, want, "{pairing:?}");
        assert_eq!(admission.grant.scopes(), Scopes::READ);
        assert_eq!(admission.grant.device(), Some(proven(7).id().as_str()));
    }
}

#[test]
fn the_owners_socket_needs_no_secret_and_no_proxy() {
    let credential = Credential::Failed(Reason::TokenMissing);
    let scene = Scene { door: Door::Owner, credential, ..Scene::local(&json!({})) };
    assert_eq!(admitted(&scene).grant.how(), AuthMethod::PeerUid);
    let proxied = crate::kit::Scene {
        surroundings: loopgate::policy::surroundings::Surroundings {
            forwarded: Some("via".into()),
            ..direct()
        },
        ..scene.clone()
    };
    assert_eq!(proxied.rule(), "nothing-proven");
    assert_eq!(Scene { surroundings: own_page(), ..scene.clone() }.rule(), "browser-without-device");
    assert_eq!(Scene { peer: PeerClass::Allowed(7), ..scene.clone() }.rule(), "nothing-proven");
    assert_eq!(
        Scene { connect: connect(&json!({"role": "node"})), ..scene.clone() }.rule(),
        "node-without-device"
    );
    // A browser's client id is only a name here; a lockout of other programs is no reason to lock the owner out.
    let named = connect(&json!({"client": {"id": "openclaw-control-ui"}}));
    let locked = Some(std::time::Duration::from_secs(1));
    assert_eq!(Scene { connect: named, locked, ..scene.clone() }.rule(), "owner-socket");
    assert_eq!(Scene { device: Some(Err(Fault::Signature)), ..scene }.rule(), "device-proof-wrong");
}

#[test]
fn s08_a_grant_lies_within_the_ceiling_and_says_what_is_lacking() {
    let asked = json!({"scopes": ["operator.admin", "operator.read", "operator.bogus", "operator.write"]});
    let scene = Scene { ceiling: Scopes::READ | Scopes::PAIRING, ..Scene::local(&asked) };
    let admission = admitted(&scene);
    assert_eq!(admission.grant.scopes(), Scopes::READ | Scopes::PAIRING);
    let narrowed = admission.narrowed.unwrap();
    assert_eq!(narrowed.names(), ["operator.admin", "operator.bogus", "operator.write"]);
    assert_eq!(narrowed.to_string(), "operator.admin operator.bogus operator.write");
    // Without a device and not local, nothing that is declared counts.
    let remote = Scene { peer: PeerClass::Unknown, ..Scene::local(&asked) };
    assert_eq!(refused(&remote).0, "remote-without-device");
}

#[test]
fn s12_a_paired_device_never_gets_more_than_it_was_approved_for() {
    let record = known(OPERATOR, Scopes::WRITE, true);
    let ask = |scopes: &[&str]| paired(&json!({ "scopes": scopes }), record);
    for (scopes, granted) in [
        (&["operator.read"][..], Scopes::READ),
        (&["operator.write", "operator.read"], Scopes::WRITE),
        (&[], Scopes::NONE),
    ] {
        let admission = admitted(&ask(scopes));
        assert_eq!((admission.grant.scopes(), admission.pairing), (granted, PairingChange::None));
        assert_eq!(admission.grant.rule(), "paired-device");
    }
    for scopes in [&["operator.admin"][..], &["operator.read", "operator.pairing"]] {
        assert_eq!(ask(scopes).rule(), "pend-scope");
    }
    // Neither another client id or mode, nor another role, widens it.
    for client in [json!({"id": "cli", "mode": "cli"}), json!({"id": "gateway-client", "mode": "backend"})] {
        assert_eq!(
            paired(&json!({"client": client, "scopes": ["operator.admin"]}), record).rule(),
            "pend-scope"
        );
    }
    assert_eq!(paired(&json!({"role": "node", "scopes": []}), record).rule(), "pend-role");
    // A token that opens less bounds the record.
    let credential = Credential::DeviceToken { digest: Digest::of("made-up"), scopes: Scopes::READ };
    let by_token = |scope| Scene { credential, ..ask(&[scope]) };
    assert_eq!(by_token("operator.read").rule(), "paired-device");
    assert_eq!(by_token("operator.write").rule(), "pend-scope");
    // What the ceiling forbids anyway is not asked for.
    let capped = Scene { ceiling: Scopes::READ, ..ask(&["operator.admin"]) };
    let admission = admitted(&capped);
    assert_eq!(admission.grant.scopes(), Scopes::READ);
    assert_eq!(admission.narrowed.unwrap().names(), ["operator.admin"]);
}

#[test]
fn s05_pages_and_other_users_are_never_paired_without_asking() {
    let remote =
        Scene { surroundings: direct(), peer: PeerClass::Allowed(7), ..paired(&json!({}), Pairing::Unknown) };
    let allowed = OriginClass::Allowed("https://ui.example".parse().unwrap());
    let page = loopgate::policy::surroundings::Surroundings { origin: allowed, ..direct() };
    for scene in [
        paired(&json!({}), Pairing::Unknown),
        paired(&json!({"client": {"id": "openclaw-control-ui", "mode": "webchat"}}), Pairing::Unknown),
        paired(&json!({"role": "node", "scopes": []}), Pairing::Unknown),
        Scene { surroundings: page, ..paired(&json!({}), Pairing::Unknown) },
        Scene { credential: Credential::NoneRequired, ..paired(&json!({}), Pairing::Unknown) },
        Scene { door: Door::Owner, ..paired(&json!({}), Pairing::Unknown) },
        Scene { peer: PeerClass::Unknown, ..remote.clone() },
        remote,
    ] {
        assert_eq!(scene.rule(), "pend-not-paired");
    }
}

#[test]
fn a_pairing_refusal_has_the_shape_of_each_protocol() {
    let record = known(OPERATOR, Scopes::READ, true);
    let scene = |protocol| Scene { protocol, ..paired(&json!({"scopes": ["operator.admin", "x"]}), record) };
    let (rule, error, close) = pended(&scene(Protocol::V3));
    let want = json!({
        "code": "NOT_PAIRED", "message": "pairing required",
        "details": {"code": "PAIRING_REQUIRED", "requestId": "req-1", "reason": "scope-upgrade"},
    });
    assert_eq!((rule, error, &*close), ("pend-scope", want, "pairing required"));

    let (_, error, close) = pended(&scene(Protocol::V4));
    assert!(close.starts_with("pairing required: ") && close.ends_with(" (requestId: req-1)"), "{close}");
    let details = &error["details"];
    assert_eq!(details["requestedScopes"], json!(["operator.admin", "x"]));
    assert_eq!(details["approvedScopes"], json!(["operator.read"]));
    assert_eq!(
        (&details["requestedRole"], &details["approvedRoles"]),
        (&json!("operator"), &json!(["operator"]))
    );
    assert_eq!(details["deviceId"], proven(7).id().as_str());
    assert!(details["remediationHint"].as_str().unwrap().contains("devices approve req-1"));

    let cases = [
        (Pairing::Unknown, "not-paired"),
        (known(OPERATOR, Scopes::ADMIN, false), "metadata-upgrade"),
        (known(NODE, Scopes::ADMIN, true), "role-upgrade"),
        (known(NODE, Scopes::NONE, false), "metadata-upgrade"),
    ];
    for (pairing, reason) in cases {
        let scene = Scene { protocol: Protocol::V4, ..paired(&json!({}), pairing) };
        let (_, error, close) = pended(&scene);
        assert_eq!(error["details"]["reason"], reason);
        assert!(close.len() <= 120 && close.ends_with("(requestId: req-1)"));
        assert_eq!(
            error["details"].get("approvedScopes").is_some(),
            pairing == known(OPERATOR, Scopes::ADMIN, false) || pairing == known(NODE, Scopes::ADMIN, true)
        );
    }
}

#[test]
fn a_setup_code_pairs_a_device_within_its_bound() {
    let credential = Credential::Bootstrap { digest: Digest::of("made-up") };
    let scene = |changes: &Value| Scene { credential, ..paired(changes, Pairing::Unknown) };
    let admission = admitted(&scene(&json!({"scopes": ["operator.admin", "operator.write"]})));
    assert_eq!(admission.grant.scopes(), BOOTSTRAP_SCOPES);
    assert_eq!(admission.narrowed.unwrap().names(), ["operator.admin"]);
    assert_eq!(
        admission.pairing,
        PairingChange::Create(Approval { role: Role::Operator, scopes: BOOTSTRAP_SCOPES })
    );
    assert!(!BOOTSTRAP_SCOPES.covers(Scopes::PAIRING) && !BOOTSTRAP_SCOPES.covers(Scopes::ADMIN));
    let node = admitted(&scene(&json!({"role": "node", "scopes": []})));
    assert_eq!(node.pairing, PairingChange::Create(Approval { role: Role::Node, scopes: Scopes::NONE }));
    assert_eq!(node.grant.how(), AuthMethod::BootstrapToken);
}

#[test]
fn s16_an_admitted_peer_at_the_same_address_helps_nobody() {
    // No address and no other connection is among the facts; each connect stands for itself.
    let nothing = Scene { credential: Credential::Failed(Reason::TokenMissing), ..Scene::local(&json!({})) };
    assert_eq!(Scene::local(&json!({})).rule(), "local-operator");
    assert_eq!(nothing.rule(), "nothing-proven");
}

#[test]
fn s19_a_node_needs_a_device_with_every_credential() {
    let digest = Digest::of("made-up");
    let node = json!({"role": "node", "scopes": [], "auth": {"token": "x"}});
    for credential in [
        Credential::NoneRequired,
        Credential::Shared { method: AuthMethod::Token, digest },
        Credential::Shared { method: AuthMethod::Password, digest },
        Credential::Failed(Reason::TokenMissing),
        Credential::Failed(Reason::TokenMismatch),
    ] {
        for door in [Door::Tcp, Door::Owner] {
            for surroundings in [direct(), own_page()] {
                let scene = Scene { door, surroundings, credential, ..Scene::local(&node) };
                let (rule, error, _) = refused(&scene);
                if matches!(credential, Credential::Failed(_)) {
                    assert!(rule.starts_with("secret-"), "{rule}");
                } else {
                    assert_eq!((rule, &error["code"]), ("node-without-device", &json!("NOT_PAIRED")));
                    assert_eq!(error["details"], json!({"code": "DEVICE_IDENTITY_REQUIRED"}));
                }
            }
        }
    }
    let with_device = |pairing| Scene { device: Some(Ok(proven(7))), pairing, ..Scene::local(&node) };
    for pairing in [Pairing::Unknown, known(OPERATOR, Scopes::ADMIN, true), known(NODE, Scopes::NONE, false)]
    {
        let admission = admitted(&with_device(pairing));
        assert_eq!((admission.grant.rule(), admission.grant.scopes()), ("local-node", Scopes::NONE));
        assert_ne!(admission.pairing, PairingChange::None);
    }
}

#[test]
fn s42_another_users_process_is_refused_with_its_uid_and_the_key_to_change() {
    for door in [Door::Tcp, Door::Owner] {
        let scene = Scene { door, peer: PeerClass::Other(1001), ..Scene::local(&json!({})) };
        let (rule, error, close) = refused(&scene);
        assert_eq!(rule, "peer-foreign");
        assert!(
            close.contains("1001") && close.contains("peers.allow") && error["message"] == close.as_str()
        );
    }
    // Named by the settings, it is a remote client: its device has to be approved, by a person.
    let named = Scene { peer: PeerClass::Allowed(1001), ..Scene::local(&json!({})) };
    assert_eq!(named.rule(), "remote-without-device");
    let with_device = Scene { device: Some(Ok(proven(7))), ..named };
    assert_eq!(with_device.rule(), "pend-not-paired");
    let approved = Scene { pairing: known(OPERATOR, Scopes::READ, true), ..with_device };
    assert_eq!(approved.rule(), "paired-device");
}

#[test]
fn secrets_that_fail_are_explained_in_each_clients_words() {
    let cli = json!({"auth": {"token": "x"}});
    let backend = json!({"client": {"id": "gateway-client", "mode": "backend"}, "auth": {"token": "x"}});
    let ui = json!({"client": {"id": "openclaw-control-ui", "mode": "webchat"}, "auth": {"token": "x"}});
    let scene = |changes: &Value, reason, protocol| Scene {
        credential: Credential::Failed(reason),
        protocol,
        ..Scene::local(changes)
    };
    let (rule, error, close) = refused(&scene(&cli, Reason::TokenMismatch, Protocol::V3));
    let want = json!({
        "code": "INVALID_REQUEST",
        "message": "unauthorized: gateway token mismatch (set gateway.remote.token to match gateway.auth.token)",
        "details": {
            "code": "AUTH_TOKEN_MISMATCH", "authReason": "token_mismatch", "canRetryWithDeviceToken": false,
            "recommendedNextStep": "update_auth_credentials",
        },
    });
    assert_eq!((rule, &error, json!(close)), ("secret-wrong", &want, want["message"].clone()));

    let (_, error, _) = refused(&scene(&cli, Reason::TokenMismatch, Protocol::V4));
    let local =
        "unauthorized: gateway token mismatch (use this gateway's gateway.auth.token or pair the device)";
    assert_eq!(error["message"], local);
    let remote = Scene { peer: PeerClass::Unknown, ..scene(&cli, Reason::TokenMismatch, Protocol::V4) };
    assert_eq!(refused(&remote).1, want);
    let (_, error, _) = refused(&scene(&backend, Reason::TokenMissing, Protocol::V4));
    assert_eq!(error["message"], "unauthorized: gateway token missing (provide gateway auth token)");

    let device = Some(Ok(proven(7)));
    let page = Scene {
        device: device.clone(),
        surroundings: own_page(),
        ..scene(&ui, Reason::PasswordMissing, Protocol::V3)
    };
    let (_, error, _) = refused(&page);
    assert_eq!(
        error["message"],
        "unauthorized: gateway password missing (enter the password in Control UI settings)"
    );
    assert_eq!(error["details"]["recommendedNextStep"], "update_auth_configuration");

    let retry = |changes: &Value| {
        let scene = Scene { device: device.clone(), ..scene(changes, Reason::TokenMismatch, Protocol::V3) };
        let (_, error, _) = refused(&scene);
        (error["details"]["canRetryWithDeviceToken"] == true, error["details"]["recommendedNextStep"].clone())
    };
    assert_eq!(retry(&cli), (true, json!("retry_with_device_token")));
    for other in
        [json!({"token": "x", "deviceToken": "y"}), json!({"token": "x", "password": "y"}), json!({})]
    {
        assert_eq!(retry(&json!({ "auth": other })), (false, json!("update_auth_credentials")), "{other}");
    }
}

#[test]
fn every_failed_secret_has_its_code_and_its_rule() {
    for (reason, rule, code) in [
        (Reason::TokenMissing, "secret-missing", "AUTH_TOKEN_MISSING"),
        (Reason::TokenMismatch, "secret-wrong", "AUTH_TOKEN_MISMATCH"),
        (Reason::TokenNotConfigured, "secret-not-configured", "AUTH_TOKEN_NOT_CONFIGURED"),
        (Reason::TokenUnusable, "secret-unusable", "AUTH_TOKEN_NOT_CONFIGURED"),
        (Reason::PasswordMissing, "secret-missing", "AUTH_PASSWORD_MISSING"),
        (Reason::PasswordMismatch, "secret-wrong", "AUTH_PASSWORD_MISMATCH"),
        (Reason::PasswordNotConfigured, "secret-not-configured", "AUTH_PASSWORD_NOT_CONFIGURED"),
        (Reason::PasswordUnusable, "secret-unusable", "AUTH_PASSWORD_NOT_CONFIGURED"),
        (Reason::BootstrapInvalid, "bootstrap-token-wrong", "AUTH_BOOTSTRAP_TOKEN_INVALID"),
        (Reason::DeviceTokenMismatch, "device-token-wrong", "AUTH_DEVICE_TOKEN_MISMATCH"),
    ] {
        let device = Some(Ok(proven(7)));
        let scene = Scene { device, credential: Credential::Failed(reason), ..Scene::local(&json!({})) };
        let (by, error, close) = refused(&scene);
        assert_eq!((by, &error["details"]["code"]), (rule, &json!(code)));
        assert!(close.starts_with("unauthorized: ") && close.len() <= 120);
        // Clients drop their stored device token at these words, so they must be said for this reason alone.
        assert_eq!(close.contains("device token mismatch"), reason == Reason::DeviceTokenMismatch);
    }
}

#[test]
fn clients_without_a_device_hear_what_the_protocol_says() {
    let failed = |reason, auth: Value| Scene {
        credential: Credential::Failed(reason),
        ..Scene::local(&json!({ "auth": auth }))
    };
    // No secret, an empty one, or one in a field that does not count without a device.
    for auth in [json!({}), json!({"token": ""}), json!({"deviceToken": "x"}), json!({"bootstrapToken": "x"})]
    {
        let (rule, error, close) = refused(&failed(Reason::TokenMissing, auth));
        assert_eq!((rule, &*close), ("nothing-proven", "device identity required"));
        assert_eq!(error["code"], "NOT_PAIRED");
    }
    assert_eq!(failed(Reason::TokenMissing, json!({"password": "x"})).rule(), "secret-missing");
    // The gateway's own fault is told to everybody, for nobody else can hear it from anywhere.
    assert_eq!(failed(Reason::TokenNotConfigured, json!({})).rule(), "secret-not-configured");
    let ui = json!({"client": {"id": "openclaw-control-ui", "mode": "webchat"}});
    let page = Scene { surroundings: own_page(), ..Scene::local(&ui) };
    let (rule, error, _) = refused(&page);
    assert_eq!(
        (rule, &error["details"]),
        ("control-ui-without-device", &json!({"code": "CONTROL_UI_DEVICE_IDENTITY_REQUIRED"}))
    );
    let other = Scene { surroundings: own_page(), ..Scene::local(&json!({})) };
    assert_eq!(refused(&other).1["details"], json!({"code": "DEVICE_IDENTITY_REQUIRED"}));
    let (rule, error, _) = refused(&Scene::local(&ui));
    let want = json!({"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": "origin missing or invalid"});
    assert_eq!((rule, &error["details"]), ("browser-without-origin", &want));
    let (rule, error, _) = refused(&Scene::local(&json!({"role": "admin"})));
    assert_eq!((rule, &error["message"]), ("role-unknown", &json!("invalid role")));
}

#[test]
fn faults_of_a_proof_have_the_codes_of_the_protocol() {
    for (fault, code, reason, message) in [
        (Fault::Id, "DEVICE_AUTH_DEVICE_ID_MISMATCH", "device-id-mismatch", "device identity mismatch"),
        (Fault::Skew, "DEVICE_AUTH_SIGNATURE_EXPIRED", "device-signature-stale", "device signature expired"),
        (Fault::NonceMissing, "DEVICE_AUTH_NONCE_REQUIRED", "device-nonce-missing", "device nonce required"),
        (Fault::Nonce, "DEVICE_AUTH_NONCE_MISMATCH", "device-nonce-mismatch", "device nonce mismatch"),
        (Fault::Signature, "DEVICE_AUTH_SIGNATURE_INVALID", "device-signature", "device signature invalid"),
        (Fault::Key, "DEVICE_AUTH_PUBLIC_KEY_INVALID", "device-public-key", "device public key invalid"),
    ] {
        // Even beside the right secret.
        let (rule, error, close) = refused(&Scene { device: Some(Err(fault)), ..Scene::local(&json!({})) });
        assert!(rule.starts_with("device-proof-") && close == message);
        let want = json!({"code": "INVALID_REQUEST", "message": message, "details": {"code": code, "reason": reason}});
        assert_eq!(error, want);
    }
}
