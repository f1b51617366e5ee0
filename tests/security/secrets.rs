//! What secrets open, what guessing costs, and where secrets must never be seen.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::TOKEN;
use crate::common::client::{Device, cli};
use crate::live::{Gate, Peer, dial, dial_at, dial_from, head, operator, until, with_auth};
use crate::rig::{Home, Plan, get, tcp};

const WRONG: &str = "tok-made-up-wrong";
const LOCKED: &str = "AUTH_RATE_LIMITED";

#[test]
fn s04_a_page_that_guesses_is_locked_out_and_the_owners_programs_are_not() {
    let gate = Gate::token();
    let page = |token: &str| {
        let mut params = with_auth(operator(4, &["operator.read"]), json!({"token": token}));
        params["client"] = json!({"id": "webchat-ui", "mode": "webchat", "version": "1", "platform": "web"});
        gate.page().refusal(&params)
    };
    for attempt in 0..10 {
        assert_eq!(page(&format!("guess-{attempt}")), "AUTH_TOKEN_MISMATCH");
    }
    assert_eq!(page("guess-10"), LOCKED);
    assert_eq!(page(TOKEN), LOCKED, "the right one comes too late");
    // Under another name of this machine it is the same page.
    let again = gate.open_with(&format!("Origin: http://127.0.0.1:{}\r\n", gate.port)).expect("an upgrade");
    assert_eq!(again.refusal(&operator(4, &["operator.read"])), LOCKED);
    for _ in 0..30 {
        let wrong = with_auth(operator(4, &["operator.read"]), json!({"token": WRONG}));
        assert_eq!(gate.open().refusal(&wrong), "AUTH_TOKEN_MISMATCH");
    }
    gate.operator(&["operator.admin"]).ok("status", &json!({}));
    gate.daemon.says(&["locked out"]);
}

#[test]
fn s06_every_mix_of_wrong_secrets_and_proofs_counts() {
    let secrets = ["token", "password", "deviceToken", "bootstrapToken"];
    for mix in 1..1 << secrets.len() {
        let chosen = secrets.iter().enumerate().filter(|(bit, _)| mix >> bit & 1 == 1);
        let auth: Value = chosen
            .map(|(_, name)| ((*name).to_owned(), json!(WRONG)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        for proof in [Proof::None, Proof::Good, Proof::Broken] {
            for protocol in [3, 4] {
                let gate = Gate::new(
                    &format!(
                        "mode: 'token', token: '{TOKEN}', rateLimit: {{maxAttempts: 1, exemptLoopback: false}}"
                    ),
                    "{}",
                );
                let peer = gate.open();
                let params = proof.add(&peer, with_auth(cli(protocol, &["operator.read"]), auth.clone()));
                let first = peer.refusal(&params);
                assert_ne!(first, LOCKED);
                let then = gate.open().refusal(&operator(protocol, &["operator.read"]));
                assert_eq!(
                    then, LOCKED,
                    "{auth} with {proof:?} on {protocol} was answered {first}, and did not count"
                );
            }
        }
    }
}

#[test]
fn s07_another_spelling_of_an_address_is_no_new_source() {
    let home = Home::new();
    home.configure(&format!(
        "{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}', rateLimit: {{maxAttempts: 6, exemptLoopback: false}}}}}}}}"
    ));
    let (four, six, port) = both_families();
    let daemon = Plan::new(&home, vec![four, six]).start();
    let attempt = |stream, host: &str, token: &str| {
        let upgrade = head(port, "/", "").replace("127.0.0.1", host);
        let peer = Peer::upgrade(stream, &upgrade)
            .unwrap_or_else(|answer| panic!("{host}: {answer:?}\n{}", daemon.log()));
        peer.refusal(&with_auth(operator(4, &["operator.read"]), json!({"token": token})))
    };
    let streams = [
        (dial(port), "127.0.0.1"),
        (dial(port), "localhost"),
        (dial_from(Ipv4Addr::new(127, 0, 0, 2), port), "127.0.0.1"),
        (dial_from(Ipv4Addr::new(127, 200, 1, 9), port), "127.0.0.77"),
        (dial_at("::ffff:127.0.0.1", port), "[::ffff:127.0.0.1]"),
        (dial_at("::1", port), "[::1]"),
    ];
    for (stream, host) in streams {
        assert_eq!(attempt(stream, host, WRONG), "AUTH_TOKEN_MISMATCH", "{host}");
    }
    assert_eq!(attempt(dial(port), "127.0.0.1", TOKEN), LOCKED);
    assert_eq!(attempt(dial_at("::1", port), "localhost", TOKEN), LOCKED);
}

/// Listeners of both families on one port, as the units have them.
fn both_families() -> (OwnedFd, OwnedFd, u16) {
    let pair = || {
        let (four, port) = tcp("127.0.0.1:0");
        // Somebody else may have this port in the other family.
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok()?;
        Some((four, six.into(), port))
    };
    std::iter::repeat_with(pair).take(100).find_map(|pair| pair).expect("a port that both families have free")
}

#[test]
fn s18_a_secret_that_is_only_there_opens_nothing() {
    let device = Device::new(1);
    let token = Gate::token();
    let password = Gate::new("mode: 'password', password: 'pw-made-up'", "{}");
    for gate in [&token, &password] {
        for field in ["token", "password", "deviceToken", "bootstrapToken"] {
            for value in
                ["", " ", "x", "null", "undefined", "true", "*", "tok-made-up-000", "tok-made-up-00011"]
            {
                for with_device in [false, true] {
                    let peer = gate.open();
                    let params = with_auth(cli(4, &["operator.admin"]), json!({(field): value}));
                    let params = if with_device { peer.sign(&device, params) } else { params };
                    // That it is refused is what counts; `refusal` would panic otherwise.
                    let code = peer.refusal(&params);
                    assert!(
                        code.starts_with("AUTH_") || code.starts_with("DEVICE_"),
                        "{field}={value:?}: {code}"
                    );
                }
            }
        }
    }
    // The right secret in a field that is not for it.
    for field in ["deviceToken", "bootstrapToken"] {
        token.open().refusal(&with_auth(cli(4, &["operator.admin"]), json!({(field): TOKEN})));
    }
}

#[test]
fn s24_the_old_secret_is_worth_nothing_after_a_reload() {
    let gate = Gate::token();
    let device = Device::new(2);
    let mut before = gate.operator(&["operator.read"]);
    // A device that has a token of its own does not need the shared secret, and stays.
    let mut paired = gate.open();
    let params = paired.sign(&device, operator(4, &["operator.read"]));
    let issued = paired.admit(params)["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
    let mut by_token = gate.open();
    let params =
        by_token.sign(&device, with_auth(cli(4, &["operator.read"]), json!({"deviceToken": issued})));
    by_token.admit(params);

    gate.home.configure("{gateway: {auth: {mode: 'token', token: 'tok-made-up-new'}}}");
    gate.daemon.signal(Signal::SIGHUP);
    gate.daemon.says(&["the configuration was read again"]);
    let (code, reason) = before.end();
    assert_eq!(code, 1008, "{reason}");
    assert!(!reason.is_empty());
    assert_eq!(gate.open().refusal(&operator(4, &["operator.read"])), "AUTH_TOKEN_MISMATCH");
    gate.open().admit(with_auth(operator(4, &["operator.read"]), json!({"token": "tok-made-up-new"})));
    by_token.ok("health", &json!({}));
}

/// Whatever happens with secrets, they are not seen where they must not be. The environment that the test gives is the
/// one exception: where the owner puts the token into it himself, it stands there.
#[test]
fn s32_no_secret_is_seen_in_log_arguments_environment_dumps_or_store() {
    for way in [Way::File, Way::Environment, Way::Password] {
        let home = Home::new();
        let canary = "canary-0123456789abcdef";
        let bootstrap = "canary-bootstrap-0123456789";
        home.configure(&match way {
            Way::File => format!("{{gateway: {{auth: {{mode: 'token', token: '{canary}'}}}}}}"),
            Way::Environment => "{gateway: {auth: {mode: 'token'}}}".to_owned(),
            Way::Password => format!("{{gateway: {{auth: {{mode: 'password', password: '{canary}'}}}}}}"),
        });
        crate::pairing::write_bootstrap(&home, bootstrap);
        let gate = Gate::start(home, |plan| match way {
            Way::Environment => plan.var("OPENCLAW_GATEWAY_TOKEN", canary),
            Way::File | Way::Password => plan,
        });
        let field = if way == Way::Password { "password" } else { "token" };
        let device_token = use_every_secret(&gate, field, canary, bootstrap);

        let pid = gate.daemon.pid();
        let read = |name: &str| {
            String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{name}")).expect(name)).into_owned()
        };
        let mut places = vec![
            ("the log", gate.daemon.log()),
            ("the arguments", read("cmdline")),
            ("the store", everything_below(&gate.home.path.join(".local"))),
            ("the check", format!("{:?}", gate.home.run(&["--check"]))),
        ];
        let tables = [
            "phases",
            "transitions",
            "methods",
            "events",
            "admission",
            "fields",
            "entries",
            "settings",
            "limits",
        ];
        places.extend(tables.map(|table| (table, gate.home.run(&[&format!("--dump={table}")]).1)));
        if way != Way::Environment {
            places.push(("the environment", read("environ")));
        }
        for (place, text) in &places {
            assert!(!text.is_empty() || *place == "the store", "{place} is empty");
            for secret in [canary, bootstrap, &device_token, WRONG] {
                assert!(!text.contains(secret), "{secret} stands in {place}:\n{text}");
            }
        }
        assert!(
            places.iter().any(|(place, text)| *place == "the store" && text.contains("\"digest\"")),
            "no digests"
        );
        gate.home.configure(&format!("{{gateway: {{auth: {{mode: 'token', token: '{canary}' x}}}}}}"));
        let (code, out, err) = gate.home.run(&["--check"]);
        assert!(code == Some(78) && !(out + &err).contains(canary), "an error text has the secret: {err}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Proof {
    None,
    Good,
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    File,
    Environment,
    Password,
}

impl Proof {
    fn add(self, peer: &Peer, params: Value) -> Value {
        let device = Device::new(1);
        match self {
            Self::None => params,
            Self::Good => peer.sign(&device, params),
            Self::Broken => {
                let mut params = peer.sign(&device, params);
                params["device"]["signature"] = json!("A".repeat(86));
                params
            }
        }
    }
}

/// Connects with each, rightly and wrongly, makes calls and provokes errors; the device token that was issued.
fn use_every_secret(gate: &Gate, field: &str, canary: &str, bootstrap: &str) -> String {
    let device = Device::new(3);
    let shared = || json!({(field): canary});
    let mut peer = gate.open();
    let params = peer.sign(&device, with_auth(operator(4, &["operator.admin"]), shared()));
    let token = peer.admit(params)["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
    for method in
        ["config.get", "status", "health", "device.pair.list", "logs.tail", "no.such.method", "system.info"]
    {
        let answer = peer.call(method, &json!({"token": canary})).expect("an answer").to_string()
            + &peer.call(method, &json!({})).expect("an answer").to_string();
        assert!(!answer.contains(canary) && !answer.contains(&token), "{method}: {answer}");
    }
    let mut by_token = gate.open();
    let params =
        by_token.sign(&device, with_auth(cli(3, &["operator.admin"]), json!({"deviceToken": token})));
    by_token.admit(params);
    let mut by_bootstrap = gate.open();
    let params = with_auth(cli(4, &["operator.read"]), json!({"bootstrapToken": bootstrap}));
    let params = by_bootstrap.sign(&Device::new(4), params);
    by_bootstrap.admit(params);
    for wrong in
        [json!({"token": WRONG}), json!({"password": WRONG}), json!({"deviceToken": token, "token": WRONG})]
    {
        gate.open().refusal(&with_auth(operator(4, &["operator.read"]), wrong));
    }
    // A secret in every place where a client says something of itself, and a proof that does not fit it.
    let mut talkative = with_auth(operator(4, &[]), json!({"token": WRONG}));
    talkative["client"]["displayName"] = json!("somebody");
    gate.open().refusal(&talkative);
    gate.daemon.signal(Signal::SIGHUP);
    gate.daemon.says(&["the configuration was read again"]);
    assert!(get(gate.port, "/").contains("loopgate"));
    token
}

pub(crate) fn everything_below(folder: &std::path::Path) -> String {
    let Ok(entries) = std::fs::read_dir(folder) else { return String::new() };
    let mut all = String::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        all += &if path.is_dir() {
            everything_below(&path)
        } else {
            String::from_utf8_lossy(&std::fs::read(path).expect("a file")).into_owned()
        };
    }
    all
}

#[test]
fn s13_nothing_is_decided_for_a_connection_that_is_not_admitted() {
    let gate = Gate::token();
    let mut peer = gate.open();
    let connect = json!({"type": "req", "id": "c", "method": "connect",
        "params": with_auth(operator(4, &["operator.admin"]), json!({"token": WRONG}))});
    peer.send(&connect.to_string());
    for method in ["health", "status", "config.get", "device.pair.list"] {
        peer.ask(method, &json!({}));
    }
    let (code, _) = peer.end();
    assert_eq!(code, 1008);
    let answers: Vec<&Value> = peer.events.iter().filter(|frame| frame["type"] == "res").collect();
    assert_eq!(answers.len(), 1, "only connect is answered: {answers:?}");
    gate.daemon.says(&["RULE=secret-wrong"]);
    until("the end is in the log", || gate.daemon.log().contains("CLOSE_CODE=1008"));
    assert!(!gate.daemon.log().contains("METHOD="), "{}", gate.daemon.log());
}
