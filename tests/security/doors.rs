//! Who may come in by which door, before anybody has said who he is: Host, Origin, paths, methods, and the one table
//! that every operation is in.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use loopgate::gateway::http::ROUTES;
use loopgate::gateway::method::{METHODS, Method};
use loopgate::policy::scope::{Need, Scopes};
use serde_json::{Value, json};

use crate::common::TOKEN;
use crate::common::client::cli;
use crate::live::{Answer, Gate, Peer, UPGRADE, dial, head, http, operator, with_auth};

/// Methods whose need is another one in 2026.9.6: `users.self` reads only, `environments.list` depends on its params.
const CHANGED_SINCE: &[&str] = &["users.self", "environments.list"];

/// Pages that are not ours, as a browser or somebody who plays one says it. `PORT` is the gateway's.
const FOREIGN_PAGES: &[&str] = &[
    "https://evil.example",
    "http://evil.example:PORT",
    "http://localhost:8080",
    "http://127.0.0.1:8080",
    "http://127.0.0.2:PORT",
    "http://localhost.evil.example:PORT",
    "http://127.evil.example:PORT",
    "http://127.0.0.1.evil.example:PORT",
    "http://[::1].evil:PORT",
    "http://evil@127.0.0.1:PORT",
    "http://127.0.0.1:PORT@evil.example",
    "http://127.0.0.1:PORT/",
    "http://localhost",
    "ftp://localhost:PORT",
    "file://",
    "null",
    "",
    "*",
];

/// Hosts that are not this gateway, look-alikes among them.
const FOREIGN_HOSTS: &[&str] = &[
    "evil.example",
    "evil.example:PORT",
    "127.evil.example:PORT",
    "localhost.evil.example:PORT",
    "evil.localhost:PORT",
    "localhost.:PORT",
    "[::1].evil:PORT",
    "[::1]evil:PORT",
    "::1",
    "::1:PORT",
    "0.0.0.0:PORT",
    "[::]:PORT",
    "0:PORT",
    "127.1:PORT",
    "127.0.1:PORT",
    "2130706433:PORT",
    "0x7f000001:PORT",
    "0x7f.0.0.1:PORT",
    "0177.0.0.1:PORT",
    "017700000001:PORT",
    "127.0.0.1.:PORT",
    "127.0.0.1%00.evil.example:PORT",
    "127.0.0.1:PORT.evil.example",
    "127.0.0.1:PORT:80",
    "127.0.0.1:+PORT",
    "127.0.0.1:",
    "127.0.0.1:0",
    "127.0.0.1:1PORT",
    "user@127.0.0.1:PORT",
    "127.0.0.1,evil.example",
    "127.0.0.1 evil.example",
    "ⅼocalhost:PORT",
    "１２７.0.0.1:PORT",
    "[::ffff:8.8.8.8]:PORT",
    "[fe80::1%25lo]:PORT",
    "10.0.0.1:PORT",
    "localhost:8080",
];

/// Ways to name this gateway.
const OWN_HOSTS: &[&str] = &[
    "127.0.0.1:PORT",
    "localhost:PORT",
    "LOCALHOST:PORT",
    "[::1]:PORT",
    "127.9.9.9:PORT",
    "[::ffff:127.0.0.1]:PORT",
    "localhost",
    " 127.0.0.1:PORT ",
];

#[test]
fn s01_a_foreign_page_sees_403_and_no_challenge_in_every_mode() {
    for mode in ["mode: 'none'", "mode: 'token', token: 'made-up'", "mode: 'password', password: 'made-up'"] {
        let gate = Gate::new(mode, "{}");
        for page in FOREIGN_PAGES {
            let origin = format!("Origin: {}\r\n", filled(page, gate.port));
            let Err(Answer(answer)) = gate.open_with(&origin) else { panic!("{mode}: {page} was upgraded") };
            assert!(answer.starts_with("HTTP/1.1 403 "), "{mode}, {page}: {answer}");
            assert!(!answer.contains("connect.challenge"), "{mode}, {page}: {answer}");
        }
        // Two of them are not better than one.
        let two = format!("{0}{0}", gate.own_page());
        assert!(gate.open_with(&two).is_err(), "two origins");
        assert!(gate.open_with(&gate.own_page()).is_ok(), "our own page may");
    }
}

#[test]
fn s02_a_secret_in_the_url_opens_nothing_and_is_written_nowhere() {
    let gate = Gate::token();
    for path in [
        format!("/?token={TOKEN}"),
        format!("/?auth={TOKEN}&password={TOKEN}"),
        format!("/ws?access_token={TOKEN}#token={TOKEN}"),
        format!("/{TOKEN}"),
    ] {
        let peer = Peer::upgrade(dial(gate.port), &head(gate.port, &path, "")).expect("an upgrade");
        let code = peer.refusal(&with_auth(cli(4, &["operator.read"]), json!({})));
        assert_eq!(code, "DEVICE_IDENTITY_REQUIRED", "{path}");
        let plain = http(gate.port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port));
        assert!(!plain.contains(TOKEN), "{plain}");
        let foreign = http(gate.port, &format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
        assert!(foreign.starts_with("HTTP/1.1 403 ") && !foreign.contains(TOKEN), "{foreign}");
    }
    gate.daemon.says(&["RULE=host-foreign"]);
    assert!(!gate.daemon.log().contains(TOKEN), "{}", gate.daemon.log());
}

#[test]
fn s03_nothing_but_connect_is_answered_before_admission() {
    let gate = Gate::token();
    let names = METHODS.iter().map(|row| row.name).chain(["no.such.method", "Connect", ""]);
    for name in names.filter(|name| *name != "connect") {
        let mut peer = gate.open();
        let first = peer.call(name, &json!({"auth": {"token": TOKEN}}));
        let (code, reason) = match first {
            Ok(answer) => {
                let message = "invalid handshake: first request must be connect";
                assert_eq!(
                    (&answer["ok"], &answer["error"]["message"]),
                    (&json!(false), &json!(message)),
                    "{name}"
                );
                peer.end()
            }
            // A request without a method is no request at all.
            Err(end) => end,
        };
        assert_eq!(code, 1008, "{name}");
        assert!(reason.starts_with("invalid"), "{name}: {reason:?}");
    }
    // Neither is what comes behind it, nor what is no request.
    for text in ["{", "42", "[]", "{}", r#"{"type":"res","id":"1","ok":true}"#] {
        let mut peer = gate.open();
        peer.send(text);
        peer.ask("health", &json!({}));
        let (code, reason) = peer.end();
        assert!(code == 1008 && !reason.is_empty(), "{text}: {code} {reason:?}");
        assert!(peer.events.iter().all(|frame| frame["ok"] != true), "{text}: {:?}", peer.events);
    }
}

#[test]
fn s11_no_method_has_a_door_without_the_check() {
    let gate = Gate::token();
    for protocol in [3, 4] {
        for row in METHODS {
            let need = row.need(&Value::Null);
            let mut peer = gate.open();
            peer.admit(operator(protocol, &["operator.read"]));
            let answer = peer.call(row.name, &json!({})).expect("an answer");
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            let refused_for = |words: &str| answer["ok"] == false && message.starts_with(words);
            let missing = refused_for("missing scope: ");
            match need {
                Need::Scope(scopes) if !Scopes::READ.covers(scopes) => {
                    assert!(missing, "{}: {answer}", row.name);
                    let code = if protocol == 3 { "INVALID_REQUEST" } else { "FORBIDDEN" };
                    assert_eq!(answer["error"]["code"], code, "{}", row.name);
                }
                Need::Node => assert!(refused_for("unauthorized role: "), "{}: {answer}", row.name),
                Need::Nothing | Need::Scope(_) | Need::Operator => {
                    assert!(!missing && !refused_for("unauthorized role"), "{}: {answer}", row.name);
                }
            }
        }
        // A name that is in no table is for admins to find out about.
        let error = gate.operator(&["operator.read"]).error("no.such.method", &json!({}));
        assert_eq!(error["message"], "missing scope: operator.admin");
    }
}

/// The table is compared with what OpenClaw's own gateways ask for, so that a row which was weakened is seen: the need
/// of 2026.3.13 where it has the method, else that of the published schema of protocol 4 (2026.9.1), which leaves out
/// needs that depend on the params.
#[test]
fn s11_no_method_needs_less_than_it_does_elsewhere() {
    let text = include_str!("../data/method-scopes.json");
    let known: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(text).expect("needs by name");
    let needs = known.values().flatten().filter(|(name, _)| !CHANGED_SINCE.contains(&name.as_str()));
    let mut count = 0;
    for (name, need) in needs {
        let row = Method::find(name);
        assert_eq!(row.name, name, "no row");
        let ours = match row.need(&Value::Null) {
            Need::Nothing => "none".to_owned(),
            Need::Node => "node".to_owned(),
            Need::Operator => "operator".to_owned(),
            Need::Scope(scopes) => shortest(scopes),
        };
        assert_eq!(&ours, need, "{name}");
        count += 1;
    }
    assert!(count > 350, "{count} methods were compared");
}

/// The one scope that stands for these.
fn shortest(scopes: Scopes) -> String {
    let names = [
        "operator.read",
        "operator.write",
        "operator.approvals",
        "operator.pairing",
        "operator.questions",
        "operator.talk",
        "operator.talk.secrets",
        "operator.admin",
    ];
    let name = names.into_iter().find(|name| Scopes::from_name(name) == Some(scopes));
    name.unwrap_or_else(|| panic!("{scopes} is no single scope")).to_owned()
}

#[test]
fn s11_the_doors_that_other_gateways_have_beside_the_socket_are_not_there() {
    let gate = Gate::token();
    let twins = [
        "/tools/invoke",
        "/v1/chat/completions",
        "/v1/responses",
        "/hooks/wake",
        "/hooks/agent",
        "/__openclaw__/canvas/",
        "/__openclaw__/a2ui/",
        "/__openclaw__/cap/x/",
        "/api/status",
        "/rpc",
        "/control-ui-config.json",
        "/__openclaw/control-ui-config.json",
        "/avatar/main",
        "/healthz/",
        "//healthz",
        "/healthz/../tools/invoke",
        "/%68ealthz",
        "/HEALTHZ",
        "/readyz;x",
    ];
    for path in twins {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {TOKEN}\r\n\
                 X-OpenClaw-Token: {TOKEN}\r\nContent-Length: 0\r\n\r\n",
                gate.port
            );
            let answer = http(gate.port, &request);
            let status = status(&answer);
            assert!(matches!(status, 403..=405), "{method} {path}: {answer}");
        }
    }
    // The canvas socket is the runtime's, and not another name for ours.
    let upgrade = head(gate.port, "/__openclaw__/ws", "");
    assert!(Peer::upgrade(dial(gate.port), &upgrade).is_err());
}

#[test]
fn s17_every_route_names_its_rule_and_everything_else_is_denied() {
    let gate = Gate::token();
    for row in ROUTES {
        assert!(!row.rule.is_empty(), "{}", row.path);
        let ask =
            |headers: &str| status(&http(gate.port, &format!("GET {} HTTP/1.1\r\n{headers}\r\n", row.path)));
        let own = format!("Host: 127.0.0.1:{}\r\n", gate.port);
        assert_eq!(ask(&own), 200, "{}", row.path);
        assert_eq!(ask("Host: evil.example\r\n"), 403, "{}", row.path);
        assert_eq!(ask(&format!("{own}Origin: https://evil.example\r\n")), 403, "{}", row.path);
        assert_eq!(ask(&format!("{own}{own}")), 400, "{}: two hosts are no HTTP", row.path);
    }
}

#[test]
fn s29_hosts_are_addresses_that_parse_or_they_are_foreign() {
    let gate = Gate::token();
    let probe = |host: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", filled(host, gate.port));
        status(&http(gate.port, &request))
    };
    let upgrade = |host: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: {}\r\n{UPGRADE}\r\n", filled(host, gate.port));
        Peer::upgrade(dial(gate.port), &head)
    };
    for host in FOREIGN_HOSTS {
        // What is not even HTTP is 400; what is another host is 403.
        assert!(matches!(probe(host), 400 | 403), "{host}: {}", probe(host));
        let Err(Answer(answer)) = upgrade(host) else { panic!("{host} was upgraded") };
        assert!(matches!(status(&answer), 400 | 403), "{host}: {answer}");
    }
    for host in OWN_HOSTS {
        assert_eq!(probe(host), 200, "{host}");
        assert!(upgrade(host).is_ok(), "{host}");
    }
}

#[test]
fn s30_a_name_that_was_rebound_to_this_machine_is_still_foreign() {
    let gate = Gate::token();
    for (host, page) in [
        ("evil.example:PORT", "http://evil.example:PORT"),
        ("evil.example", "http://evil.example"),
        ("127.0.0.1:PORT", "http://localhost:8080"),
        ("127.0.0.1:PORT", "http://evil.example:PORT"),
        ("localhost:8080", "http://localhost:8080"),
        ("127.0.0.1:PORT", "http://127.0.0.3:PORT"),
    ] {
        let headers = format!("Host: {}\r\nOrigin: {}\r\n", filled(host, gate.port), filled(page, gate.port));
        let upgrade = format!("GET / HTTP/1.1\r\n{headers}{UPGRADE}\r\n");
        let Err(Answer(answer)) = Peer::upgrade(dial(gate.port), &upgrade) else {
            panic!("{host} and {page}")
        };
        assert_eq!(status(&answer), 403, "{answer}");
        let plain = http(gate.port, &format!("GET / HTTP/1.1\r\n{headers}\r\n"));
        assert_eq!(status(&plain), 403, "{plain}");
    }
}

#[test]
fn s31_a_page_elsewhere_can_change_nothing_over_http() {
    let gate = Gate::token();
    let mut operator = gate.operator(&["operator.admin"]);
    let state = |operator: &mut Peer| {
        let devices = operator.ok("device.pair.list", &json!({}));
        (devices, operator.ok("config.get", &json!({}))["hash"].clone())
    };
    let before = state(&mut operator);
    for row in ROUTES {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let body = r#"{"method":"device.pair.approve"}"#;
            for (origin, allowed) in [
                ("Origin: https://evil.example\r\n", 403..=403),
                ("Origin: null\r\n", 403..=403),
                ("", 403..=405),
            ] {
                let request = format!(
                    "{method} {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{origin}Content-Type: text/plain\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    row.path,
                    gate.port,
                    body.len()
                );
                let answer = http(gate.port, &request);
                assert!(allowed.contains(&status(&answer)), "{method} {} {origin}: {answer}", row.path);
            }
        }
    }
    assert_eq!(state(&mut operator), before, "GET and POST have changed something");
}

fn filled(text: &str, port: u16) -> String {
    text.replace("PORT", &port.to_string())
}

fn status(answer: &str) -> u16 {
    let words = answer.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    words[..3].parse().expect("a status")
}

#[test]
fn s16_the_address_of_somebody_who_was_admitted_opens_nothing() {
    let gate = Gate::token();
    let mut friend = gate.operator(&["operator.admin"]);
    for from in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)] {
        let stream = crate::live::dial_from(from, gate.port);
        let peer = Peer::upgrade(stream, &head(gate.port, "/", "")).expect("an upgrade");
        let code = peer.refusal(&with_auth(cli(4, &["operator.read"]), json!({})));
        assert_eq!(code, "DEVICE_IDENTITY_REQUIRED");
    }
    friend.ok("health", &json!({}));
}
