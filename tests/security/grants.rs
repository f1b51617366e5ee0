//! What is granted, on which facts, and that nothing else has a bearing on it.

use loopgate::policy::surroundings::FORWARDING;
use serde_json::{Value, json};

use crate::common::client::{Device, cli};
use crate::common::{Seed, TOKEN};
use crate::live::{Gate, node, operator, with_auth};
use crate::rig::Home;
use crate::stranger::{self, NOBODY};

const ADMIN: &[&str] = &["operator.admin"];
const READ: &[&str] = &["operator.read"];

#[test]
fn s08_what_is_asked_for_is_granted_within_the_ceiling_and_said() {
    let auth = format!("mode: 'token', token: '{TOKEN}'");
    let gate = Gate::new(&auth, "{ceiling: {operator: ['operator.read', 'operator.pairing']}}");
    for protocol in [3, 4] {
        let mut peer = gate.open();
        let hello = peer.admit(operator(protocol, &["operator.admin", "operator.read", "operator.write"]));
        assert_eq!(hello["auth"]["scopes"], json!(["operator.pairing", "operator.read"]), "{hello}");
        let error = peer.error("set-heartbeats", &json!({"enabled": true}));
        assert_eq!(error["message"], "missing scope: operator.admin");
        let error = peer.error("node.invoke", &json!({}));
        assert_eq!(error["message"], "missing scope: operator.write");
        peer.ok("status", &json!({}));
    }
    let entry = gate.daemon.says(&["admitted", "RULE=local-operator", "SCOPES_REQUESTED="]);
    assert!(entry.contains("SCOPES_REQUESTED=\"operator.admin operator.read operator.write\""), "{entry}");
    assert!(entry.contains("SCOPES_GRANTED=\"operator.pairing operator.read\""), "{entry}");
    // A client that is not local gets nothing for a secret alone.
    let peer = gate.open_with("X-Forwarded-For: 203.0.113.9\r\n").expect("an upgrade");
    assert_eq!(peer.refusal(&operator(4, READ)), "DEVICE_IDENTITY_REQUIRED");
    // Scopes that do not exist are not granted, and those that are not asked for neither.
    let mut peer = gate.open();
    assert_eq!(peer.admit(operator(4, &["operator.root", "*"]))["auth"]["scopes"], json!([]));
    peer.error("status", &json!({}));
}

#[test]
fn s14_what_a_header_says_of_a_user_is_nobodys_word() {
    let gate = Gate::token();
    for header in [
        "X-Forwarded-User: owner",
        "Tailscale-User-Login: owner@example.com\r\nTailscale-User-Name: Owner",
        "Remote-User: root",
        "X-Remote-User: root",
        "X-Auth-Request-User: owner",
        "X-Goog-Authenticated-User-Email: accounts.google.com:owner@example.com",
        "Cf-Access-Authenticated-User-Email: owner@example.com",
        "Authorization: Bearer tok-made-up-0001",
        "Authorization: Basic b3duZXI6dG9rLW1hZGUtdXAtMDAwMQ==",
        "Cookie: token=tok-made-up-0001",
        "X-OpenClaw-Token: tok-made-up-0001",
    ] {
        let open = || gate.open_with(&format!("{header}\r\n")).expect("an upgrade");
        let nothing = with_auth(cli(4, READ), json!({}));
        assert_eq!(open().refusal(&nothing), "DEVICE_IDENTITY_REQUIRED", "{header}");
        let mut page = nothing.clone();
        page["client"] =
            json!({"id": "openclaw-control-ui", "mode": "webchat", "version": "1", "platform": "web"});
        open().refusal(&page);
    }
    // The mode that would believe them is not there, which is said at once.
    let home = Home::new();
    home.configure(
        "{gateway: {auth: {mode: 'trusted-proxy', trustedProxy: {userHeader: 'x-forwarded-user'}}}}",
    );
    let (code, _, words) = home.run(&["--check"]);
    assert!(code == Some(78) && words.contains("trusted-proxy"), "{code:?} {words}");
}

#[test]
fn s15_any_forwarding_header_ends_being_local() {
    let gate = Gate::token();
    let mut seed = Seed(15);
    let values = [
        "",
        " ",
        "127.0.0.1",
        "::1",
        "[::1]:80",
        "127.0.0.1:18789",
        "127.0.0.1, 127.0.0.1",
        "localhost",
        "unknown",
        "for=127.0.0.1;proto=http",
        "_hidden",
        ",",
        ", ,127.0.0.1",
        "0",
        "owner",
        "\t127.0.0.1\t",
        "203.0.113.9",
    ];
    for row in FORWARDING {
        for _ in 0..4 {
            let name = match row.name.strip_suffix('*') {
                Some(start) => format!("{start}{}", if start.ends_with('-') { "made-up" } else { "" }),
                None => row.name.to_owned(),
            };
            let name = spelled(&name, &mut seed);
            let value = values[seed.below(values.len())];
            let line = format!("{name}:{}{value}\r\n", if seed.once_in(2) { " " } else { "" });
            let headers = if seed.once_in(3) { format!("{line}{line}") } else { line };
            let peer = gate.open_with(&headers).unwrap_or_else(|answer| panic!("{headers:?}: {answer:?}"));
            let code = peer.refusal(&operator(4, ADMIN));
            assert_eq!(code, "DEVICE_IDENTITY_REQUIRED", "{headers:?}");
            let peer = gate.open_with(&headers).expect("an upgrade");
            let params = peer.sign(&Device::new(1), operator(4, ADMIN));
            assert_eq!(peer.refusal(&params), "PAIRING_REQUIRED", "{headers:?}");
        }
    }
    // Headers that show nothing of the kind end nothing.
    for headers in ["User-Agent: loopgate\r\nAccept: */*\r\n", "Accept-Language: de\r\nPragma: no-cache\r\n"]
    {
        gate.open_with(headers).expect("an upgrade").admit(operator(4, ADMIN));
    }
    // A name with a blank before the colon is no header at all.
    assert!(gate.open_with("X-Forwarded-For : 127.0.0.1\r\n").is_err());
}

#[test]
fn s19_every_role_with_every_credential() {
    let gate = Gate::token();
    let known = Device::new(1);
    let mut peer = gate.open();
    let params = peer.sign(&known, operator(4, READ));
    let token = peer.admit(params)["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
    for (number, case) in credentials(&token).into_iter().enumerate() {
        let codes =
            [(operator(4, READ), case.operator), (node(), case.node), (other_role(), Some("invalid role"))];
        for (params, expected) in codes {
            crate::pairing::write_bootstrap(
                &gate.home,
                &format!("bootstrap-made-up-{number}-{}", params["role"]),
            );
            let mut auth = case.auth.clone();
            if auth.get("bootstrapToken").is_some() {
                auth["bootstrapToken"] = json!(format!("bootstrap-made-up-{number}-{}", params["role"]));
            }
            let mut peer = gate.open();
            let mut params = with_auth(params, auth);
            if let Some(device) = &case.device {
                params = peer.sign(device, params);
            }
            if case.broken {
                params["device"]["signature"] = json!("A".repeat(86));
            }
            let what = format!("{} as {}", case.name, params["role"]);
            match expected {
                None => {
                    let hello = peer.admit(params.clone());
                    assert_eq!(hello["auth"]["role"], params["role"], "{what}");
                }
                Some(code) => assert_eq!(peer.refusal(&params), code, "{what}"),
            }
        }
    }
    // A node may call nothing that is an operator's, and an operator nothing that is a node's.
    let mut host = gate.open();
    let params = host.sign(&Device::new(8), node());
    host.admit(params);
    for method in ["status", "config.get", "device.pair.list", "node.invoke", "connect"] {
        assert_eq!(host.error(method, &json!({}))["message"], "unauthorized role: node", "{method}");
    }
    let mut admin = gate.operator(ADMIN);
    for method in ["node.invoke.result", "node.event", "node.pending.pull"] {
        assert_eq!(admin.error(method, &json!({}))["message"], "unauthorized role: operator", "{method}");
    }
}

#[test]
fn s20_what_the_signature_does_not_cover_has_no_bearing() {
    let gate = Gate::token();
    let device = Device::new(1);
    // A page, for which the device decides: locally the shared secret alone would.
    let peer = gate.page();
    let params = peer.sign(&device, base());
    let (error, _) = peer.refused(&params);
    gate.operator(ADMIN).ok("device.pair.approve", &json!({"requestId": error["details"]["requestId"]}));
    let mut peer = gate.page();
    let params = peer.sign(&device, base());
    let granted = peer.admit(params)["auth"].clone();

    for (path, value) in changes() {
        let mut peer = gate.page();
        let mut params = peer.sign(&device, base());
        *params.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value.clone();
        let answer = peer.call("connect", &params).expect("an answer");
        if COVERED.contains(&path) {
            let code = &answer["error"]["details"]["code"];
            assert_eq!(code, "DEVICE_AUTH_SIGNATURE_INVALID", "{path}={value}: {answer}");
        } else {
            let auth = &answer["payload"]["auth"];
            for what in ["role", "scopes"] {
                assert_eq!(auth[what], granted[what], "{path}={value} has changed {what}: {answer}");
            }
            assert_eq!(
                peer.error("set-heartbeats", &json!({"enabled": true}))["details"]["code"],
                "MISSING_SCOPE"
            );
        }
    }
}

#[test]
fn s42_another_user_with_the_right_token_is_let_in_only_where_the_policy_names_him() {
    if !stranger::can_be() {
        return;
    }
    let auth = format!("mode: 'token', token: '{TOKEN}'");
    for settings in ["{}", "{owner: [0]}", "{peers: {allow: [65533]}}"] {
        let gate = Gate::new(&auth, settings);
        let (error, _) = stranger::open(gate.port).refused(&operator(4, READ));
        assert!(error["details"]["code"] != "PAIRING_REQUIRED", "{settings}: {error}");
        let entry = gate.daemon.says(&["RULE=peer-foreign"]);
        assert!(entry.contains("PEER_UID=65534"), "{entry}");
        let peer = stranger::open(gate.port);
        let params = peer.sign(&Device::new(1), operator(4, READ));
        peer.refused(&params);
        gate.operator(READ);
    }
    // Named, he may come with a device that was approved; local he never is.
    let gate = Gate::new(&auth, &format!("{{peers: {{allow: [{NOBODY}]}}}}"));
    let device = Device::new(1);
    assert_eq!(stranger::open(gate.port).refusal(&operator(4, READ)), "DEVICE_IDENTITY_REQUIRED");
    let peer = stranger::open(gate.port);
    let params = peer.sign(&device, operator(4, READ));
    let (error, _) = peer.refused(&params);
    gate.operator(ADMIN).ok("device.pair.approve", &json!({"requestId": error["details"]["requestId"]}));
    let mut peer = stranger::open(gate.port);
    let params = peer.sign(&device, operator(4, READ));
    assert_eq!(peer.admit(params)["auth"]["scopes"], json!(READ));
    gate.daemon.says(&["admitted", "PEER_UID=65534", "RULE=paired-device"]);
    // And in mode none nobody asks for a secret, but still for who it is.
    let open = Gate::new("mode: 'none'", "{}");
    stranger::open(open.port).refused(&operator(4, READ));
    open.operator(READ);
}

/// One way to show who one is, and the refusal for each role; nothing: admitted.
struct Case {
    name: &'static str,
    auth: Value,
    device: Option<Device>,
    broken: bool,
    operator: Option<&'static str>,
    node: Option<&'static str>,
}

fn credentials(token: &str) -> Vec<Case> {
    const ID: Option<&str> = Some("DEVICE_IDENTITY_REQUIRED");
    const MISMATCH: Option<&str> = Some("AUTH_TOKEN_MISMATCH");
    const MISSING: Option<&str> = Some("AUTH_TOKEN_MISSING");
    const STALE: Option<&str> = Some("AUTH_DEVICE_TOKEN_MISMATCH");
    const BROKEN: Option<&str> = Some("DEVICE_AUTH_SIGNATURE_INVALID");
    let wrong = || json!({"token": "tok-made-up-wrong"});
    let known = || Some(Device::new(1));
    let case =
        |name, auth, device, operator, node| Case { name, auth, device, broken: false, operator, node };
    vec![
        case("nothing", json!({}), None, ID, ID),
        case("a wrong token", wrong(), None, MISMATCH, MISMATCH),
        case("the token", json!({"token": TOKEN}), None, None, ID),
        case("a device", json!({}), Some(Device::new(2)), MISSING, MISSING),
        case("a known device", json!({}), known(), MISSING, MISSING),
        case("a known device, a wrong token", wrong(), known(), MISMATCH, MISMATCH),
        case("a new device, the token", json!({"token": TOKEN}), Some(Device::new(3)), None, None),
        case("its device token", json!({"deviceToken": token}), known(), None, STALE),
        case("its device token as token", json!({"token": token}), known(), None, MISMATCH),
        case("a device token, no device", json!({"deviceToken": token}), None, ID, ID),
        case("another device's token", json!({"deviceToken": token}), Some(Device::new(4)), STALE, STALE),
        case("a setup code, a device", json!({"bootstrapToken": ""}), Some(Device::new(5)), None, None),
        case("a setup code, no device", json!({"bootstrapToken": ""}), None, ID, ID),
        Case {
            broken: true,
            ..case("the token, a broken proof", json!({"token": TOKEN}), known(), BROKEN, BROKEN)
        },
    ]
}

fn other_role() -> Value {
    let mut params = operator(4, ADMIN);
    params["role"] = json!("admin");
    params
}

/// `connect` params with every field there is.
fn base() -> Value {
    let mut params = operator(4, READ);
    params["client"] = json!({
        "id": "cli", "mode": "cli", "version": "1", "platform": "linux", "displayName": "a", "deviceFamily": "Linux",
        "modelIdentifier": "m", "instanceId": "i",
    });
    params["caps"] = json!(["tool-events"]);
    params["commands"] = json!([]);
    params["permissions"] = json!({"a": true});
    params["pathEnv"] = json!("/usr/bin");
    params["locale"] = json!("en");
    params["userAgent"] = json!("loopgate");
    params
}

fn changes() -> Vec<(&'static str, Value)> {
    vec![
        ("/client/id", json!("gateway-client")),
        ("/client/mode", json!("backend")),
        ("/client/platform", json!("darwin")),
        ("/client/deviceFamily", json!("Mac")),
        ("/role", json!("node")),
        ("/scopes", json!(["operator.read", "operator.admin"])),
        ("/scopes", json!([])),
        ("/auth/token", json!("tok-made-up-other")),
        ("/client/version", json!("2026.9.6")),
        ("/client/displayName", json!("owner")),
        ("/client/modelIdentifier", json!("gateway")),
        ("/client/instanceId", json!("another")),
        ("/minProtocol", json!(3)),
        ("/maxProtocol", json!(9)),
        ("/caps", json!(["browser", "system", "operator.admin"])),
        ("/commands", json!(["system.run"])),
        ("/permissions", json!({"operator.admin": true})),
        ("/pathEnv", json!("/tmp")),
        ("/locale", json!("de")),
        ("/userAgent", json!("openclaw-control-ui")),
    ]
}

const COVERED: &[&str] = &[
    "/client/id",
    "/client/mode",
    "/client/platform",
    "/client/deviceFamily",
    "/role",
    "/scopes",
    "/auth/token",
];

/// A header's name in some other case, and with the other kind of dash.
fn spelled(name: &str, seed: &mut Seed) -> String {
    let dash = if seed.once_in(4) { '_' } else { '-' };
    let flip = |c: char, seed: &mut Seed| if seed.once_in(2) { c.to_ascii_uppercase() } else { c };
    name.chars().map(|c| if c == '-' { dash } else { flip(c, seed) }).collect()
}
