//! `logs.tail`.

use serde_json::{Value, json};

use crate::world::{BOTH, World};

const LOG: &str = "/state/logs/openclaw-2026-11-21.log";

#[test]
fn the_newest_log_stands_in_for_one_that_is_not_there() {
    for protocol in BOTH {
        let answer = World::full().of(protocol).good("logs.tail", json!({}));
        assert_eq!(
            answer,
            json!({
                "file": LOG, "cursor": 38, "size": 38, "truncated": false, "reset": false,
                "lines": ["{\"0\":\"one\"}", "{\"0\":\"two\"}", "{\"0\":\"three\"}"],
            })
        );
    }
    let configured = World::full().file("/state/logs/openclaw-2026-11-22.log", "today\n");
    assert_eq!(configured.good("logs.tail", Value::Null)["lines"], json!(["today"]));
    // A name without a date is not guessed at.
    let fixed = World::full().config("{logging: {file: '/state/logs/gate.log'}}");
    let answer = fixed.good("logs.tail", json!({}));
    assert_eq!(answer["file"], "/state/logs/gate.log");
    assert_eq!((&answer["size"], &answer["lines"]), (&json!(0), &json!([])));
}

#[test]
fn without_a_configured_file_the_temporary_folder_counts() {
    let world = World::empty();
    let missing = world.good("logs.tail", json!({}));
    assert_eq!(
        missing,
        json!({
            "file": "/tmp/openclaw/openclaw-2026-11-22.log", "cursor": 0, "size": 0, "lines": [],
            "truncated": false, "reset": false,
        })
    );
    let world = world.file("/tmp/openclaw/openclaw-2026-11-19.log", "a\n").file("/tmp/openclaw/x.log", "b\n");
    assert_eq!(world.good("logs.tail", json!({}))["lines"], json!(["a"]));
    // Where that folder is somebody else's, OpenClaw takes one with its user's number.
    let world = world.file("/tmp/openclaw-1000/openclaw-2026-11-18.log", "mine\n");
    assert_eq!(world.good("logs.tail", json!({}))["lines"], json!(["mine"]));
}

#[test]
fn a_cursor_gives_what_is_new() {
    let world = |content: &str| World::full().file(LOG, content);
    let ask = |content: &str, params: Value| {
        let answer = world(content).good("logs.tail", params);
        (answer["lines"].clone(), answer["reset"] == true, answer["truncated"] == true)
    };
    assert_eq!(ask("a\nb\nc\n", json!({"cursor": 2})), (json!(["b", "c"]), false, false));
    assert_eq!(ask("a\nb\nc\n", json!({"cursor": 6})), (json!([]), false, false));
    // In the middle of a line: its rest was told already.
    assert_eq!(ask("aaa\nb\n", json!({"cursor": 1})), (json!(["b"]), false, false));
    assert_eq!(ask("a\nb\n", json!({"cursor": 5})), (json!(["a", "b"]), true, false));
    assert_eq!(ask("a\nb\nc\n", json!({"cursor": 0, "maxBytes": 4})), (json!(["b", "c"]), true, true));
    assert_eq!(ask("a\nb\nc\n", json!({"cursor": 2, "maxBytes": 4})), (json!(["b", "c"]), false, false));
    assert_eq!(ask("a\nb\nc\n", json!({"cursor": 9, "maxBytes": 4})), (json!(["b", "c"]), true, true));
    assert_eq!(ask("a\nb\nc\n", json!({"maxBytes": 3})), (json!(["c"]), false, true));
    assert_eq!(ask("a\nb\nc\n", json!({"maxBytes": 6})), (json!(["a", "b", "c"]), false, false));
    assert_eq!(ask("a\nb\nc\n", json!({"limit": 2})), (json!(["b", "c"]), false, false));
    assert_eq!(ask("", json!({"cursor": 3})), (json!([]), true, false));
    assert_eq!(ask("half", json!({})), (json!(["half"]), false, false));
}

#[test]
fn a_client_that_follows_sees_every_line_once() {
    let mut content = String::new();
    let mut cursor = 0;
    let mut seen = Vec::new();
    for n in 0..100 {
        content += &format!("line {n}\n");
        let answer = World::full().file(LOG, content.clone()).good("logs.tail", json!({"cursor": cursor}));
        cursor = answer["cursor"].as_u64().unwrap();
        seen.extend(answer["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()));
    }
    assert_eq!(seen, (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

#[test]
fn bounds_hold() {
    let world = World::full().file(LOG, "x\n".repeat(200_000));
    let count = |params: Value| world.good("logs.tail", params)["lines"].as_array().unwrap().len();
    assert_eq!(count(json!({})), 500);
    assert_eq!(count(json!({"limit": 5_000})), 5_000);
    assert_eq!(count(json!({"limit": 1, "maxBytes": 1_000_000})), 1);
    assert_eq!(count(json!({"limit": 5_000, "maxBytes": 10})), 5);
    let told = |params: Value| world.invalid("logs.tail", params);
    assert_eq!(
        told(json!({"cursor": -1, "limit": 5_001, "maxBytes": 1_000_001})),
        "invalid logs.tail params: at /cursor: must be >= 0; at /limit: must be <= 5000; \
         at /maxBytes: must be <= 1000000"
    );
    assert_eq!(
        told(json!({"cursor": 1.5, "limit": 0, "maxBytes": 0})),
        "invalid logs.tail params: at /cursor: must be integer; at /limit: must be >= 1; at /maxBytes: must be >= 1"
    );
}

#[test]
fn a_log_that_cannot_be_read_is_told() {
    let told = World::full().broken(LOG).unavailable("logs.tail", json!({}));
    assert_eq!(told, "log read failed: permission denied");
    let folder = World::empty().broken("/tmp/openclaw").unavailable("logs.tail", json!({}));
    assert_eq!(folder, "log read failed: /tmp/openclaw: permission denied");
    let bytes = World::full().file(LOG, b"\xff\n".as_slice());
    assert_eq!(bytes.good("logs.tail", json!({}))["lines"], json!(["\u{fffd}"]));
}
