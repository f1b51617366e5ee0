//! What goes out: the handshake, secrets and where they come from, params.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Folder, Gateway, Peer, Run, Script, answering, command, finish, loopgate};

/// Admits if `auth` is what comes, answers `health`.
fn expecting(auth: Value) -> Script {
    Box::new(move |wire| {
        let (mut peer, connect) = Peer::admit(wire);
        assert_eq!(connect["auth"], auth);
        let request = peer.request("health");
        peer.answer(&request, &json!({"ok": true}));
        peer.goodbye();
    })
}

/// Runs `loopgate health` with this much said about secrets; the gateway expects `auth`.
fn health(auth: Value, home: &Folder, change: impl FnOnce(&mut Command, &str)) -> Run {
    let gateway = Gateway::tcp(vec![expecting(auth)]);
    let mut run = command(home, &["health"]);
    change(&mut run, &gateway.address);
    let run = finish(run);
    assert_eq!(run.code, 0, "{run:?}");
    gateway.finished(1);
    run
}

#[test]
fn the_owners_socket_sees_no_secret_and_the_least_scope() {
    let home = Folder::new();
    home.write(".openclaw/openclaw.json", "{gateway: {auth: {mode: 'token', token: 'canary'}}}");
    let script: Script = Box::new(|wire| {
        let (mut peer, connect) = Peer::admit(wire);
        let want = json!({
            "minProtocol": 3, "maxProtocol": 4, "role": "operator", "scopes": ["operator.read"], "caps": [],
            "client": {"id": "cli", "mode": "cli", "version": env!("CARGO_PKG_VERSION"), "platform": "linux"},
        });
        assert_eq!(connect, want);
        let request = peer.request("node.list");
        assert_eq!(request["params"], json!({}));
        peer.answer(&request, &json!({"nodes": []}));
        assert_eq!(peer.goodbye(), Some(1000));
    });
    // Where a user's own instance has it: nobody has to name it.
    let gateway = Gateway::unix(&home.user_socket(), vec![script]);
    let mut run = command(&home, &["nodes", "list"]);
    run.env("OPENCLAW_GATEWAY_TOKEN", "canary");
    let run = finish(run);
    assert_eq!(run.code, 0, "{run:?}");
    gateway.finished(1);
}

#[test]
fn sockets_are_searched_in_order() {
    let home = Folder::new();
    let (flag, variable) = (home.at("flag.sock"), home.at("variable.sock"));
    for (arguments, path) in [(vec!["--socket", flag.to_str().unwrap()], &flag), (vec![], &variable)] {
        let gateway = Gateway::unix(path, vec![answering("health", json!({"ok": true}))]);
        // A socket that is found counts less than one that is named.
        let found = Gateway::unix(&home.user_socket(), vec![]);
        let mut run = command(&home, &[arguments.as_slice(), &["health"]].concat());
        run.env("LOOPGATE_SOCKET", &variable);
        assert_eq!(finish(run).code, 0);
        gateway.finished(1);
        drop(found);
        std::fs::remove_file(home.user_socket()).unwrap();
    }
}

#[test]
fn the_token_comes_from_the_nearest_source() {
    let home = Folder::new();
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    home.write(".openclaw/openclaw.json", "{gateway: {auth: {mode: 'token', token: 'of-file'}}}");
    let file = home.write("token", " of-token-file\n");

    health(json!({"token": "of-file"}), &home, |run, address| {
        run.env("OPENCLAW_GATEWAY_PORT", port(address));
    });
    health(json!({"token": "of-env"}), &home, |run, address| {
        run.env("OPENCLAW_GATEWAY_URL", address).env("OPENCLAW_GATEWAY_TOKEN", "of-env");
    });
    health(json!({"password": "of-env"}), &home, |run, address| {
        run.args(["--url", address]).env("OPENCLAW_GATEWAY_PASSWORD", "of-env");
    });
    health(json!({"token": "of-token-file"}), &home, |run, address| {
        run.args(["--url", address, "--token-file"]).arg(&file).env("OPENCLAW_GATEWAY_TOKEN", "of-env");
    });
    health(json!({"password": "of-token-file"}), &home, |run, address| {
        run.args(["--url", address, "--password-file"]).arg(&file);
    });
}

#[test]
fn a_token_can_come_from_standard_input() {
    let home = Folder::new();
    let gateway = Gateway::tcp(vec![expecting(json!({"token": "of-stdin"}))]);
    let mut run = command(&home, &["--url", &gateway.address, "--token-file", "-", "health"]);
    let mut child = run.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"of-stdin\n").unwrap();
    assert_eq!(crate::support::wait(&mut child), Some(0));
    gateway.finished(1);
}

#[test]
fn mode_none_sends_nothing() {
    let home = Folder::new();
    home.write(".openclaw/openclaw.json", "{gateway: {auth: {mode: 'none'}}}");
    health(Value::Null, &home, |run, address| {
        run.args(["--url", address]);
    });
}

#[test]
fn a_token_file_that_others_read_is_refused() {
    let home = Folder::new();
    let file = home.write("token", "canary");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let run = loopgate(&["health", "--url", "ws://127.0.0.1:1", "--token-file", file.to_str().unwrap()]);
    assert_eq!(run.code, 78, "{run:?}");
    assert!(run.err.contains("chmod 600") && !run.err.contains("canary"), "{run:?}");
    let run = loopgate(&["health", "--url", "ws://127.0.0.1:1", "--token-file", "/nowhere/token"]);
    assert_eq!(run.code, 78, "{run:?}");
}

#[test]
fn other_machines_are_not_spoken_to() {
    for url in ["ws://192.0.2.1:18789", "wss://127.0.0.1:1", "ws://localhost.evil.example:1", "x"] {
        assert_eq!(loopgate(&["health", "--url", url]).code, 64, "{url}");
    }
    let home = Folder::new();
    let mut run = command(&home, &["health"]);
    run.env("OPENCLAW_GATEWAY_URL", "ws://gateway.example:18789");
    let run = finish(run);
    assert_eq!(run.code, 78, "{run:?}");
    assert!(run.err.contains("OPENCLAW_GATEWAY_URL: gateway.example is not this machine"), "{run:?}");
}

#[test]
fn params_go_out_and_payloads_come_in_as_they_are() {
    let script: Script = Box::new(|wire| {
        let (mut peer, connect) = Peer::admit(wire);
        assert_eq!(connect["scopes"].as_array().unwrap().len(), 5, "call asks for the classic five");
        let text = peer.next_text().unwrap();
        assert!(text.contains(r#""params":{"b":1.50,"a":[1e3]}"#), "{text}");
        let request: Value = serde_json::from_str(&text).unwrap();
        let payload = r#"{"z":1.50,"a":[10000000000000000000000,{}]}"#;
        peer.send(&format!(r#"{{"type":"res","id":{},"ok":true,"payload":{payload}}}"#, request["id"]));
        peer.goodbye();
    });
    let params = r#"{"b":1.50,"a":[1e3]}"#;
    let run = crate::support::against(vec![script], &["call", "some.method", "--params", params, "--json"]);
    let want = "{\n  \"z\": 1.50,\n  \"a\": [\n    10000000000000000000000,\n    {}\n  ]\n}\n";
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, want, ""));
}

#[test]
fn params_can_come_from_standard_input_and_must_be_json() {
    let home = Folder::new();
    let script: Script = Box::new(|wire| {
        let (mut peer, _) = Peer::admit(wire);
        let request = peer.request("m");
        assert_eq!(request["params"], json!({"text": "ü"}));
        peer.answer(&request, &Value::Null);
        peer.goodbye();
    });
    let gateway = Gateway::tcp(vec![script]);
    let mut run =
        command(&home, &["--url", &gateway.address, "--token", "t", "call", "m", "--params", "-", "--json"]);
    let mut child = run.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("{\"text\": \"ü\"}\n".as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"null\n"[..]));
    gateway.finished(1);

    let run = loopgate(&["call", "m", "--params", "{nope", "--url", "ws://127.0.0.1:1", "--token", "t"]);
    assert_eq!(run.code, 64, "{run:?}");
}

#[test]
fn protocol_3_is_spoken_too() {
    let script: Script = Box::new(|wire| {
        let (mut peer, _) = Peer::admit_at(wire, 3);
        let request = peer.request("health");
        peer.answer(&request, &json!({"ok": true}));
        peer.goodbye();
    });
    assert_eq!(crate::support::against(vec![script], &["health"]).code, 0);
}
