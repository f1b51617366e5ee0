//! What a table of changes cannot show: that the changed calls are those that the other version was seen to take.

use serde_json::{Value, json};

use super::table::{ADDITIONS, METHODS_V3, REMOVALS};
use super::*;
use crate::gateway::event::Event;
use crate::gateway::method::{FALLBACK, Method};

const OLDER_RUNTIME: Between = Between { client: Protocol::V4, runtime: Protocol::V3 };
const NEWER_RUNTIME: Between = Between { client: Protocol::V3, runtime: Protocol::V4 };

/// The params as they would be sent.
fn sent(method: &str, given: &Value) -> Value {
    let given = given.to_string();
    let changed = params(method, &given, OLDER_RUNTIME);
    serde_json::from_str(&changed.unwrap_or(given)).unwrap()
}

/// What the command line and the Control UI of 2026.9.6 send, and what of it 2026.3.13 was seen to take.
#[test]
fn recorded_calls_of_newer_clients_become_calls_that_an_older_runtime_takes() {
    let calls: Vec<(String, Value, Value)> =
        serde_json::from_str(include_str!("../../../../tests/data/upstream/newer-params.json")).unwrap();
    assert!(calls.len() > 20);
    for (method, given, wanted) in &calls {
        assert_eq!(&sent(method, given), wanted, "{method} {given}");
    }
}

#[test]
fn nothing_is_changed_where_both_speak_the_same() {
    let given = r#"{"compact":true,"agentId":"main"}"#;
    for protocol in Protocol::ALL {
        let between = Between { client: protocol, runtime: protocol };
        assert_eq!(params("cron.list", given, between), None);
        assert_eq!(payload("cron.list", r#"{"total":1}"#, between), None);
        assert_eq!(event("sessions.changed", "{}", between), Told::AsItIs);
        assert_eq!(event("chat", r#"{"state":"status"}"#, between), Told::AsItIs);
    }
    assert_eq!(params("cron.list", given, NEWER_RUNTIME), None);
    assert_eq!(params("cron.list", r#"{"limit":5}"#, OLDER_RUNTIME), None);
    for odd in ["", "null", "[]", "7", r#""compact""#] {
        assert_eq!(params("cron.list", odd, OLDER_RUNTIME), None, "{odd}");
        assert_eq!(payload("cron.list", odd, OLDER_RUNTIME), None, "{odd}");
    }
}

#[test]
fn what_keeps_a_change_from_being_made_is_not_taken_away() {
    for (method, given) in [
        ("cron.update", json!({"id": "1", "patch": {}, "expectedConfigRevision": "sha256:x"})),
        ("sessions.delete", json!({"key": "agent:main:a", "archivedOnly": true})),
        ("sessions.delete", json!({"key": "agent:main:a", "expectedSessionId": "1"})),
        ("sessions.reset", json!({"key": "agent:main:a", "agentId": "other"})),
        ("sessions.reset", json!({"key": "main", "agentId": "other"})),
        ("config.patch", json!({"raw": "{}", "replacePaths": ["a"]})),
        ("agents.files.set", json!({"agentId": "main", "name": "A", "content": "", "expectedHash": "1"})),
        (
            "chat.send",
            json!({"sessionKey": "main", "message": "m", "idempotencyKey": "1", "queueMode": "steer"}),
        ),
        ("chat.history", json!({"sessionKey": "main", "offset": 200})),
        ("sessions.list", json!({"offset": 100, "archived": true})),
    ] {
        assert_eq!(sent(method, &given), given, "{method}");
    }
}

#[test]
fn what_stays_is_not_rewritten() {
    let given = r#"{"compact":true,"limit":1e1,"query":"\u00e9"}"#;
    assert_eq!(params("cron.list", given, OLDER_RUNTIME).unwrap(), r#"{"limit":1e1,"query":"\u00e9"}"#);
}

#[test]
fn an_older_page_of_jobs_gets_its_revision() {
    let page = include_str!("../../../../tests/data/upstream/older-cron-list.json");
    let answer: Value = serde_json::from_str(&payload("cron.list", page, OLDER_RUNTIME).unwrap()).unwrap();
    let before: Value = serde_json::from_str(page).unwrap();
    assert_eq!(answer["snapshotRevision"], "1 jobs");
    for key in ["jobs", "total", "offset", "limit", "hasMore", "nextOffset"] {
        assert!(!before[key].is_null() || key == "nextOffset");
        assert_eq!(answer[key], before[key], "{key}");
    }
    let newer = r#"{"jobs":[],"total":0,"snapshotRevision":"sha256:x"}"#;
    assert_eq!(super::payload("cron.list", newer, OLDER_RUNTIME), None);
}

#[test]
fn other_answers_get_the_newer_names() {
    let config =
        payload("config.get", r#"{"config":{"a":1},"resolved":{"b":2},"hash":"x"}"#, OLDER_RUNTIME).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["runtimeConfig"], &config["sourceConfig"]), (&json!({"a": 1}), &json!({"b": 2})));
    let session = payload("sessions.resolve", r#"{"ok":true,"key":"agent:main:main"}"#, OLDER_RUNTIME);
    assert_eq!(session.unwrap(), r#"{"agentId":"main","key":"agent:main:main","ok":true}"#);
    assert_eq!(payload("sessions.resolve", r#"{"ok":true,"key":"global"}"#, OLDER_RUNTIME), None);
    assert_eq!(payload("config.get", r#"{"path":"/x"}"#, OLDER_RUNTIME), None);
    assert_eq!(payload("status", r#"{"a":1}"#, OLDER_RUNTIME), None);
}

#[test]
fn newer_clients_are_told_what_is_new_in_a_piece_of_an_answer() {
    let piece = include_str!("../../../../tests/data/upstream/older-chat-delta.json");
    let Told::Changed(told) = event("chat", piece, OLDER_RUNTIME) else { panic!("it is not changed") };
    let (told, before): (Value, Value) =
        (serde_json::from_str(&told).unwrap(), serde_json::from_str(piece).unwrap());
    assert_eq!(told["deltaText"], "Hello world this");
    assert_eq!(told["replace"], true);
    for key in ["runId", "sessionKey", "seq", "state", "message"] {
        assert_eq!(told[key], before[key], "{key}");
    }
    for other in
        [r#"{"state":"final","message":{"content":[]}}"#, r#"{"state":"delta","deltaText":"x"}"#, "[]"]
    {
        assert_eq!(event("chat", other, OLDER_RUNTIME), Told::AsItIs, "{other}");
    }
    assert_eq!(event("agent", piece, OLDER_RUNTIME), Told::AsItIs);
}

#[test]
fn older_clients_are_told_what_they_know() {
    for (name, payload, told) in [
        ("chat", r#"{"state":"status","phase":"starting_model"}"#, Told::Nothing),
        ("chat", r#"{"state":"delta","deltaText":"x","message":{}}"#, Told::AsItIs),
        ("agent", "{}", Told::AsItIs),
        ("sessions.changed", "{}", Told::Nothing),
        ("voicewake.changed", "{}", Told::AsItIs),
        ("voicewake.routing.changed", "{}", Told::Nothing),
    ] {
        assert_eq!(event(name, payload, NEWER_RUNTIME), told, "{name} {payload}");
    }
}

#[test]
fn a_method_that_an_older_runtime_does_not_know_is_told_from_one_that_may_not_be_called() {
    let admin = "missing scope: operator.admin";
    for (method, message, between, unknown) in [
        ("cron.get", admin, OLDER_RUNTIME, true),
        ("cron.get", "unknown method: cron.get", OLDER_RUNTIME, true),
        ("cron.get", "missing scope: operator.read", OLDER_RUNTIME, false),
        ("cron.add", admin, OLDER_RUNTIME, false),
        ("cron.get", admin, NEWER_RUNTIME, false),
        ("cron.get", "unknown method: cron.get", NEWER_RUNTIME, true),
    ] {
        assert_eq!(is_unknown(method, message, between), unknown, "{method} {message}");
    }
}

#[test]
fn the_tables_are_sorted_and_name_what_there_is() {
    assert!(REMOVALS.windows(2).all(|pair| pair[0].method < pair[1].method));
    assert!(
        ADDITIONS.windows(2).all(|pair| (pair[0].method, pair[0].member) < (pair[1].method, pair[1].member))
    );
    assert!(EVENTS_V3.windows(2).all(|pair| pair[0] < pair[1]));
    for method in REMOVALS.iter().map(|row| row.method).chain(ADDITIONS.iter().map(|row| row.method)) {
        assert_ne!(Method::find(method).name, FALLBACK.name, "{method}");
    }
    assert!(METHODS_V3.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(METHODS_V3.iter().all(|name| Method::find(name).name == *name));
    assert!(REMOVALS.iter().all(|row| METHODS_V3.contains(&row.method)));
    assert!(EVENTS_V3.iter().all(|name| Event::find(name).is_some()));
}
