//! How it ends: every cause has its status, its words and its JSON.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::Message;

use crate::support::{
    Folder, Gateway, Peer, Script, Wire, against, answering, closing, command, failing, finish, loopgate,
    refusing, wait,
};

/// Says `bytes` to whoever comes and hangs up when the other end does.
fn saying(bytes: &'static [u8]) -> Script {
    Box::new(move |mut wire: Box<dyn Wire>| {
        let mut head = [0; 4096];
        assert!(wire.read(&mut head).unwrap() > 0);
        wire.write_all(bytes).ok();
        while wire.read(&mut head).is_ok_and(|count| count > 0) {}
    })
}

/// Admits, then sends `text` where the answer to `health` belongs.
fn sending(text: &'static str) -> Script {
    Box::new(move |wire| {
        let (mut peer, _) = Peer::admit(wire);
        peer.request("health");
        peer.send(text);
        peer.goodbye();
    })
}

#[test]
fn an_error_is_a_json_object_on_standard_error() {
    let error = json!({"code": "INVALID_REQUEST", "message": "unknown deviceId", "details": {"x": 1}});
    let run = against(vec![failing("device.pair.remove", error)], &["devices", "remove", "d", "--json"]);
    let want = json!({"code": "INVALID_REQUEST", "message": "unknown deviceId", "details": {"x": 1}, "exit": 1, "next": []});
    assert_eq!((run.code, run.out.as_str(), run.error()), (1, "", want));
}

#[test]
fn a_refused_token_names_where_it_came_from() {
    let error = json!({"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch (hint)",
        "details": {"code": "AUTH_TOKEN_MISMATCH"}});
    let home = Folder::new();
    let file = home.write(".openclaw/openclaw.json", "{gateway: {auth: {mode: 'token', token: 'canary'}}}");
    for (variable, source) in [(true, "OPENCLAW_GATEWAY_TOKEN"), (false, file.to_str().unwrap())] {
        let gateway = Gateway::tcp(vec![refusing(error.clone(), 1008, "unauthorized")]);
        let mut run = command(&home, &["health", "--url", &gateway.address]);
        if variable {
            run.env("OPENCLAW_GATEWAY_TOKEN", "canary");
        }
        let run = finish(run);
        assert_eq!(run.code, 77, "{run:?}");
        assert!(run.err.contains(&format!("the token came from {source}")), "{run:?}");
        assert!(!run.err.contains("canary"), "{run:?}");
        gateway.finished(1);
    }
}

#[test]
fn a_pairing_request_comes_with_its_command() {
    let error = json!({"code": "NOT_PAIRED", "message": "pairing required",
        "details": {"code": "PAIRING_REQUIRED", "requestId": "44e7394c-03e8"}});
    let run = against(vec![refusing(error, 1008, "pairing required")], &["health"]);
    assert_eq!(run.code, 77, "{run:?}");
    assert!(run.err.contains("try: loopgate devices approve 44e7394c-03e8"), "{run:?}");
}

#[test]
fn close_codes_and_reasons_are_told() {
    let cases =
        [(1008, "handshake timeout", 77), (1000, "", 76), (1002, "protocol mismatch", 76), (4000, "own", 76)];
    for (code, reason, exit) in cases {
        let run = against(vec![closing(code, reason)], &["health", "--json"]);
        assert_eq!(run.code, exit, "{code}: {run:?}");
        let error = run.error();
        let want = json!({"closeCode": code, "closeReason": reason, "stage": "handshake"});
        assert_eq!((&error["code"], &error["details"]), (&json!("CLOSED"), &want));
        assert!(
            error["message"].as_str().unwrap().contains(&format!("({code} ")) || reason.is_empty(),
            "{error}"
        );
    }
}

#[test]
fn a_protocol_mismatch_is_no_matter_of_secrets() {
    let error = json!({"code": "INVALID_REQUEST", "message": "protocol mismatch", "details": {"expectedProtocol": 5}});
    let run = against(vec![refusing(error, 1002, "protocol mismatch")], &["health"]);
    assert_eq!(run.code, 76, "{run:?}");
    assert!(run.err.contains("speaks protocol 3 and 4") && !run.err.contains("token"), "{run:?}");
}

#[test]
fn slow_gateways_are_not_waited_for_forever() {
    let silent: Script = Box::new(|mut wire| {
        let mut bytes = [0; 4096];
        while wire.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let dripping: Script = Box::new(|mut wire| {
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n".iter().cycle().take(200) {
            if wire.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mute: Script = Box::new(|wire| {
        let mut peer = Peer::greet(wire);
        peer.request("connect");
        while peer.next().is_some() {}
    });
    let ticking: Script = Box::new(|wire| {
        let (mut peer, _) = Peer::admit(wire);
        peer.request("health");
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(20));
            if !peer.is_there_for(r#"{"type":"event","event":"tick","payload":{}}"#) {
                return;
            }
        }
        peer.goodbye();
    });
    for (name, script) in [("silent", silent), ("dripping", dripping), ("mute", mute), ("ticking", ticking)] {
        let run = against(vec![script], &["health", "--timeout", "250", "--json"]);
        assert_eq!(run.code, 75, "{name}: {run:?}");
        assert_eq!(run.error()["code"], "TIMEOUT", "{name}: {run:?}");
        assert!(
            run.took >= Duration::from_millis(250) && run.took < Duration::from_secs(3),
            "{name}: {run:?}"
        );
    }
}

#[test]
fn what_is_not_a_gateway_is_told_from_one() {
    let cases: [(&'static [u8], i32); 4] = [
        (b"SSH-2.0-OpenSSH_9.2\r\n", 76),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 76),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 76),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 77),
    ];
    for (bytes, exit) in cases {
        let run = against(vec![saying(bytes)], &["health"]);
        assert_eq!(run.code, exit, "{run:?}");
    }
    let run = against(vec![saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")], &["health", "--wait", "0"]);
    assert_eq!(run.code, 75, "{run:?}");
}

#[test]
fn malformed_answers_break_nothing() {
    for text in [
        "not json",
        "[]",
        r#"{"type":"res","id":"1","ok":"yes"}"#,
        r#"{"type":"res","id":"1"}"#,
        r#"{"type":"res","id":"1","ok":false}"#,
        r#"{"type":"res","id":"1","ok":false,"error":{"code":7}}"#,
        r#"{"id":"1","ok":true}"#,
    ] {
        let run = against(vec![sending(text)], &["health", "--json"]);
        assert_eq!(run.code, 76, "{text}: {run:?}");
        assert_eq!(run.error()["code"], "PROTOCOL", "{text}: {run:?}");
    }
}

#[test]
fn a_malformed_hello_is_no_admission() {
    for payload in
        [json!({}), json!(null), json!({"type": "hello-ok"}), json!({"type": "hello-ok", "protocol": 5})]
    {
        let script: Script = Box::new(move |wire| {
            let mut peer = Peer::greet(wire);
            let connect = peer.request("connect");
            peer.answer(&connect, &payload);
            assert!(peer.next().is_none(), "nothing is asked");
        });
        let run = against(vec![script], &["health"]);
        assert_eq!(run.code, 76, "{run:?}");
    }
}

#[test]
fn what_is_none_of_its_business_is_read_past() {
    let script: Script = Box::new(|wire| {
        let (mut peer, _) = Peer::admit(wire);
        let request = peer.request("health");
        peer.event("presence", &json!({"presence": []}));
        peer.send(r#"{"type":"res","id":"somebody-else","ok":true,"payload":{"ok":false}}"#);
        peer.send(r#"{"type":"event","event":"tick","payload":{},"recipientProfileId":"p","new":{"a":[1]}}"#);
        peer.send_message(Message::Ping("p".into()));
        peer.answer(&request, &json!({"ok": true}));
        peer.goodbye();
    });
    assert_eq!(against(vec![script], &["health"]).code, 0);
}

#[test]
fn a_large_answer_comes_through() {
    let text = "x".repeat(20 * 1024 * 1024);
    let run = against(vec![answering("big", json!({"text": text}))], &["call", "big", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.len() > 20 * 1024 * 1024);
}

#[test]
fn ill_health_is_a_failure_that_is_shown() {
    let run = against(vec![answering("health", json!({"ok": false, "ts": 1}))], &["health", "--json"]);
    assert_eq!((run.code, run.json()["ok"].clone()), (1, Value::Bool(false)));
    assert_eq!(run.error()["code"], "UNHEALTHY");
}

#[test]
fn wrong_command_lines_end_with_64() {
    for arguments in [&["frobnicate"][..], &["health", "--timeout", "0"], &["devices"], &["call"], &[]] {
        let run = loopgate(arguments);
        assert_eq!((run.code, run.out.as_str()), (64, ""), "{run:?}");
    }
    let run = loopgate(&["health", "--wait", "never", "--json"]);
    assert_eq!((run.code, run.error()["code"].clone()), (64, json!("USAGE")));
    assert_eq!(loopgate(&["health", "--socket", "/x", "--url", "ws://127.0.0.1:1"]).code, 64);
}

#[test]
fn help_tells_the_exit_statuses() {
    let run = loopgate(&["--help"]);
    assert_eq!(run.code, 0);
    for row in loopgate::cli::exit::EXITS {
        assert!(run.out.contains(row.meaning), "{}", run.out);
    }
    assert!(run.out.contains("Examples:"), "{}", run.out);
    let version = loopgate(&["--version"]);
    assert_eq!(version.out, format!("loopgate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Folder::new();
    let gateway = Gateway::tcp(vec![answering("big", json!({"text": "x".repeat(1024 * 1024)}))]);
    let mut child = command(&home, &["--url", &gateway.address, "--token", "t", "call", "big", "--json"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = child.stderr.take().unwrap();
    assert_eq!(wait(&mut child), Some(0));
    let mut text = String::new();
    err.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
    gateway.finished(1);
}
