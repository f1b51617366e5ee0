//! `health`, `status` and `channels.status`.

use loopgate::policy::scope::Scopes;
use serde_json::{Value, json};

use crate::world::{BOTH, NOW, World};

fn status_of(world: &World, params: &Value) -> Value {
    world.clone().queued("hello").good("status", params.clone())
}

#[test]
fn an_empty_gateway_has_the_recorded_health() {
    let health = World::empty().health();
    assert_eq!(
        health,
        json!({
            "ok": true, "ts": NOW, "durationMs": 0, "channels": {}, "channelOrder": [], "channelLabels": {},
            "plugins": {"loaded": [], "errors": [], "unavailable": []},
            "heartbeatSeconds": 1800, "defaultAgentId": "main",
            "agents": [{
                "agentId": "main", "isDefault": true,
                "heartbeat": {
                    "enabled": true, "every": "30m", "everyMs": 1_800_000, "target": "none", "ackMaxChars": 300,
                },
                "sessions": {"path": "/state/agents/main/sessions/sessions.json", "count": 0, "recent": []},
            }],
            "sessions": {"path": "/state/agents/main/sessions/sessions.json", "count": 0, "recent": []},
        })
    );
}

#[test]
fn health_counts_sessions_and_shows_the_newest_five() {
    let health = World::full().health();
    let sessions = &health["sessions"];
    // Neither `global` nor `unknown` is somebody's session.
    assert_eq!(sessions["count"], 7);
    assert_eq!(sessions["recent"].as_array().unwrap().len(), 5);
    let first = json!({"key": "agent:main:main", "updatedAt": 1_795_331_900_000_u64, "age": 100_000});
    assert_eq!(sessions["recent"][0], first);
    assert_eq!(health["agents"][1]["name"], "Operator");
    assert_eq!(health["agents"][1]["heartbeat"]["enabled"], false);
    assert_eq!(health["agents"][1]["sessions"]["count"], 1);
}

#[test]
fn health_never_fails() {
    let path = "/state/agents/main/sessions/sessions.json";
    for (content, cause) in [("[]", "not an object"), ("{", "not valid JSON")] {
        let health = World::full().file(path, content).health();
        assert_eq!(health["ok"], true);
        let error = health["sessions"]["error"].as_str().unwrap();
        assert!(error.starts_with(path) && error.contains(cause), "{error}");
        assert_eq!(health["agents"][1]["sessions"]["count"], 1);
    }
    let snapshot = World::full().broken(path).health();
    assert!(snapshot["sessions"]["error"].as_str().unwrap().contains("permission denied"));
}

#[test]
fn an_admin_sees_all_of_status() {
    for protocol in BOTH {
        let status = status_of(&World::full().of(protocol), &json!({}));
        assert_eq!(status["queuedSystemEvents"], json!(["hello"]));
        assert_eq!(status["heartbeat"]["agents"][0]["everyMs"], 1_800_000);
        let sessions = &status["sessions"];
        assert_eq!(sessions["paths"].as_array().unwrap().len(), 2);
        assert_eq!(sessions["count"], 8);
        assert_eq!(sessions["defaults"], json!({"model": "acme-large", "contextTokens": 200_000}));
        assert_eq!(sessions["recent"].as_array().unwrap().len(), 8);
        assert_eq!(sessions["recent"][0]["key"], "agent:ops:main");
        assert_eq!(sessions["byAgent"][1]["agentId"], "ops");
        assert_eq!(
            sessions["recent"][1],
            json!({
                "agentId": "main", "key": "agent:main:main", "kind": "direct",
                "sessionId": "5f0c1c6e-0000-4000-8000-000000000001",
                "updatedAt": 1_795_331_900_000_u64, "age": 100_000, "thinkingLevel": "high", "verboseLevel": "on",
                "fastMode": true, "systemSent": true, "abortedLastRun": false, "inputTokens": 1200,
                "outputTokens": 300, "totalTokens": 50000, "totalTokensFresh": true, "remainingTokens": 150_000,
                "percentUsed": 25, "model": "acme-large", "contextTokens": 200_000,
                "flags": [
                    "think:high", "verbose:on", "fast", "system", "id:5f0c1c6e-0000-4000-8000-000000000001",
                ],
            })
        );
    }
}

#[test]
fn others_see_counts_alone() {
    for protocol in BOTH {
        let world = World::full().of(protocol).scopes(Scopes::READ);
        let sessions = &status_of(&world, &json!({}))["sessions"];
        assert_eq!(
            *sessions,
            json!({
                "paths": [], "count": 8, "defaults": {"model": null, "contextTokens": null}, "recent": [],
                "byAgent": [
                    {"agentId": "main", "path": "[redacted]", "count": 7, "recent": []},
                    {"agentId": "ops", "path": "[redacted]", "count": 1, "recent": []},
                ],
            })
        );
    }
    let broken = World::full().broken("/state/agents/main/sessions/sessions.json").scopes(Scopes::READ);
    let sessions = &status_of(&broken, &json!({}))["sessions"];
    assert!(!sessions.to_string().contains("/state"), "{sessions}");
    assert!(sessions["byAgent"][0]["error"].is_string());
}

#[test]
fn status_names_the_version_that_clients_are_told() {
    let world = World::empty();
    assert_eq!(status_of(&world, &json!({}))["runtimeVersion"], env!("CARGO_PKG_VERSION"));
    let world = world.settings("{serverVersion: '2026.5.1'}");
    assert_eq!(status_of(&world, &json!({}))["runtimeVersion"], "2026.5.1");
}

#[test]
fn protocol_4_asks_for_more() {
    let asked = json!({"includeChannelSummary": false, "includeCliProjection": true});
    let status = status_of(&World::full().v4(), &asked);
    assert_eq!(status["tasks"]["byStatus"]["running"], 0);
    assert_eq!(
        status["cliProjection"]["agents"]["rows"],
        json!([{"id": "main"}, {"id": "ops", "name": "Operator"}])
    );
    assert_eq!(status["cliProjection"]["updateChannel"], Value::Null);
    assert!(status_of(&World::full().v3(), &asked).get("cliProjection").is_none());
    assert!(status_of(&World::full().v4(), &json!({})).get("cliProjection").is_none());
}

#[test]
fn agents_that_share_a_store_count_its_sessions_once() {
    let world = World::full()
        .config("{session: {store: '/state/all.json'}, agents: {list: [{id: 'main', default: true}, {id: 'ops'}]}}")
        .file("/state/all.json", r#"{"agent:main:main": {"updatedAt": 5}, "agent:ops:main": {"updatedAt": 6}}"#);
    let sessions = &status_of(&world, &json!({}))["sessions"];
    assert_eq!(sessions["paths"], json!(["/state/all.json"]));
    assert_eq!(sessions["count"], 2);
}

#[test]
fn no_channel_is_loaded() {
    for protocol in BOTH {
        let world = World::full().of(protocol);
        let status = world.good("channels.status", json!({"probe": false, "timeoutMs": 8000}));
        assert_eq!(status["channelOrder"], json!([]));
        assert_eq!(status["channels"], json!({}));
        assert_eq!(status["ts"], NOW);
        assert_eq!(status.get("statusIssues").is_some(), protocol.number() == 4);
        let error = world.invalid("channels.status", json!({"probe": 1, "timeoutMs": -1}));
        assert_eq!(
            error,
            "invalid channels.status params: at /probe: must be boolean; at /timeoutMs: must be >= 0"
        );
    }
}
