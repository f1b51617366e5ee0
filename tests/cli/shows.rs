//! What people and machines are shown.

use serde_json::{Value, json};

use crate::support::{Peer, Script, against, answering};

/// Admits and answers each method in turn.
fn talking(answers: Vec<(&'static str, Value)>) -> Script {
    Box::new(move |wire| {
        let (mut peer, _) = Peer::admit(wire);
        for (method, answer) in answers {
            let request = peer.request(method);
            match answer.get("refuse") {
                Some(error) => peer.refuse(&request, error),
                None => peer.answer(&request, &answer),
            }
        }
        assert_eq!(peer.goodbye(), Some(1000), "nothing more is asked");
    })
}

fn request(id: &str, ts: u64) -> Value {
    json!({"requestId": id, "deviceId": "ef476ede0000", "clientId": "cli", "role": "operator", "platform": "linux",
        "scopes": ["operator.read"], "ts": ts})
}

#[test]
fn names_of_others_cannot_steer_the_terminal() {
    let evil = "a\u{1b}[2Jb\u{9b}31m\u{202e}\r\n";
    let entry = json!([{"host": evil, "mode": evil, "roles": [evil], "reason": evil, "ts": 1}]);
    let device =
        json!({"deviceId": evil, "displayName": evil, "roles": [evil], "scopes": [evil], "platform": evil});
    let cases = [
        (vec!["presence"], vec![("system-presence", entry)]),
        (
            vec!["devices", "list"],
            vec![("device.pair.list", json!({"pending": [device], "paired": [device]}))],
        ),
        (
            vec!["nodes", "list"],
            vec![("node.list", json!({"nodes": [{"nodeId": evil, "displayName": evil}]}))],
        ),
        (vec!["call", "m"], vec![("m", json!({evil: evil}))]),
        (vec!["call", "m", "--json"], vec![("m", json!({evil: evil}))]),
        (vec!["call", "m"], vec![("m", json!({"refuse": {"code": evil, "message": evil}}))]),
        (vec!["call", "m", "--json"], vec![("m", json!({"refuse": {"code": evil, "message": evil}}))]),
        (
            vec!["config", "get"],
            vec![("config.get", json!({"path": evil, "issues": [{"path": evil, "message": evil}]}))],
        ),
    ];
    for (arguments, answers) in cases {
        let run = against(vec![talking(answers)], &arguments);
        let shown = format!("{}{}", run.out, run.err);
        assert!(
            !shown.is_empty() && shown.chars().all(|c| c == '\n' || !c.is_control()),
            "{arguments:?}: {shown:?}"
        );
    }
}

#[test]
fn nothing_is_coloured_for_a_pipe() {
    let run = against(vec![answering("health", json!({"ok": true, "ts": 1}))], &["health"]);
    assert!(run.out.starts_with("health      ok\nchecked     "), "{run:?}");
    assert!(!run.out.contains('\u{1b}'), "{run:?}");
}

#[test]
fn the_only_request_is_approved_without_naming_it() {
    let script: Script = Box::new(|wire| {
        let (mut peer, connect) = Peer::admit(wire);
        assert_eq!(connect["scopes"], json!(["operator.pairing", "operator.admin"]));
        let list = peer.request("device.pair.list");
        peer.answer(&list, &json!({"pending": [request("r-1", 1)], "paired": []}));
        let approve = peer.request("device.pair.approve");
        assert_eq!(approve["params"], json!({"requestId": "r-1"}));
        peer.answer(
            &approve,
            &json!({"requestId": "r-1", "device": {"deviceId": "d-1", "roles": ["operator"]}}),
        );
        peer.goodbye();
    });
    let run = against(vec![script], &["devices", "approve"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("approved request r-1\ndevice      d-1\n"), "{run:?}");
}

#[test]
fn several_requests_are_listed_and_none_is_approved() {
    let list = json!({"pending": [request("r-old", 1), request("r-new", 2)], "paired": []});
    let run = against(vec![talking(vec![("device.pair.list", list.clone())])], &["devices", "approve"]);
    assert_eq!(run.code, 64, "{run:?}");
    assert!(run.err.contains("loopgate devices approve r-new   # cli, role operator, linux"), "{run:?}");
    let run =
        against(vec![talking(vec![("device.pair.list", list.clone())])], &["devices", "approve", "--json"]);
    assert_eq!((run.code, run.out.as_str()), (64, ""), "{run:?}");
    assert_eq!(run.error()["details"]["pending"][0]["requestId"], "r-new");

    let answers = vec![("device.pair.list", list), ("device.pair.approve", json!({"requestId": "r-new"}))];
    let run = against(vec![talking(answers)], &["devices", "approve", "--latest", "--json"]);
    assert_eq!((run.code, run.json()), (0, json!({"requestId": "r-new"})));
    let nothing = talking(vec![("device.pair.list", json!({"pending": [], "paired": []}))]);
    assert_eq!(against(vec![nothing], &["devices", "approve"]).code, 64);
}

#[test]
fn a_device_may_be_named_by_its_beginning() {
    let (one, two) = ("ab".repeat(32), "abababababababcd".repeat(4));
    let list = json!({"pending": [], "paired": [{"deviceId": one}, {"deviceId": two}]});
    let script: Script = Box::new({
        let (list, one) = (list.clone(), one.clone());
        move |wire| {
            let (mut peer, _) = Peer::admit(wire);
            let ask = peer.request("device.pair.list");
            peer.answer(&ask, &list);
            let remove = peer.request("device.pair.remove");
            assert_eq!(remove["params"], json!({"deviceId": one}));
            peer.answer(&remove, &json!({"deviceId": one}));
            peer.goodbye();
        }
    });
    let run = against(vec![script], &["devices", "remove", "abababababababab"]);
    assert_eq!(run.code, 0, "{run:?}");
    let run =
        against(vec![talking(vec![("device.pair.list", list)])], &["devices", "remove", "abababababab"]);
    assert_eq!(run.code, 64, "two devices begin so: {run:?}");
}

#[test]
fn a_new_token_is_shown_once_and_other_secrets_never() {
    let answer =
        json!({"deviceId": "d", "role": "operator", "token": "tok-made-up-new", "scopes": ["operator.read"]});
    let script: Script = Box::new(move |wire| {
        let (mut peer, _) = Peer::admit(wire);
        let rotate = peer.request("device.token.rotate");
        let want =
            json!({"deviceId": "d", "role": "operator", "scopes": ["operator.read", "operator.write"]});
        assert_eq!(rotate["params"], want);
        peer.answer(&rotate, &answer);
        peer.goodbye();
    });
    let scopes = ["--scope", "operator.read", "--scope", "operator.write"];
    let run =
        against(vec![script], &[&["devices", "rotate", "d", "--role", "operator"][..], &scopes].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("token       tok-made-up-new\n") && run.out.contains("only time"), "{run:?}");

    let withheld = json!({"deviceId": "d", "role": "operator", "tokenDelivery": "withheld-cross-device"});
    let run = against(
        vec![answering("device.token.rotate", withheld)],
        &["devices", "rotate", "d", "--role", "operator"],
    );
    assert!(run.code == 0 && run.out.contains("does not show it here"), "{run:?}");

    let nodes = json!({"paired": [{"nodeId": "n", "token": "canary"}]});
    let run = against(vec![answering("node.pair.list", nodes.clone())], &["call", "node.pair.list"]);
    assert!(run.code == 0 && !run.out.contains("canary") && run.out.contains("--json shows it"), "{run:?}");
    let run =
        against(vec![answering("node.pair.list", nodes.clone())], &["call", "node.pair.list", "--json"]);
    assert_eq!(run.json(), nodes);
}

#[test]
fn status_takes_one_connection_and_shows_what_failed() {
    let pending = json!({"pending": [request("r-1", 1)], "paired": []});
    let answers = |nodes: Value| {
        vec![
            ("status", json!({"sessions": {"count": 2}})),
            ("system-presence", json!([{"reason": "self"}, {"reason": "connect"}])),
            ("node.list", nodes),
            ("device.pair.list", pending.clone()),
        ]
    };
    let run = against(vec![talking(answers(json!({"nodes": []})))], &["status"]);
    assert_eq!(run.code, 0, "{run:?}");
    for line in
        ["gateway     9.9.9, up 1 min", "peers       1 connected", "sessions    2", "devices approve r-1"]
    {
        assert!(run.out.contains(line), "{line}: {run:?}");
    }
    let refused = json!({"refuse": {"code": "FORBIDDEN", "message": "missing scope: operator.read"}});
    let run = against(vec![talking(answers(refused))], &["status", "--json"]);
    assert_eq!(run.code, 77, "{run:?}");
    let report = run.json();
    assert_eq!(report["gateway"]["protocol"], 4);
    assert_eq!(report["devices"], pending);
    assert_eq!(report["nodes"]["error"]["message"], "missing scope: operator.read");
    assert_eq!(run.error()["exit"], 77);
}

#[test]
fn probe_reports_every_step() {
    let well = || {
        vec![
            ("health", json!({})),
            ("status", json!({})),
            ("system-presence", json!([])),
            ("config.get", json!({})),
        ]
    };
    let run = against(vec![talking(well())], &["probe", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = run.json();
    assert_eq!(
        (&report["ok"], &report["protocol"], &report["close"]["code"]),
        (&json!(true), &json!(4), &json!(1000))
    );
    assert_eq!(report["auth"]["scopes"], json!(["operator.read"]));
    assert_eq!(report["calls"].as_array().unwrap().len(), 4);
    assert!(report["connectMs"].is_f64() && report["helloMs"].is_f64() && report["calls"][3]["ms"].is_f64());

    let mut ill = well();
    ill[1].1 = json!({"refuse": {"code": "UNAVAILABLE", "message": "no runtime", "retryable": false}});
    let run = against(vec![talking(ill)], &["probe"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("UNAVAILABLE: no runtime") && run.out.contains("close       1000"), "{run:?}");

    let run = crate::support::loopgate(&[
        "probe",
        "--url",
        "ws://127.0.0.1:1",
        "--token",
        "t",
        "--wait",
        "0",
        "--json",
    ]);
    assert_eq!((run.code, run.json()["ok"].clone()), (69, json!(false)));
    assert_eq!(run.json()["error"]["code"], "UNREACHABLE");
}
