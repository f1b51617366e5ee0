//! `agents.list`, `agent.identity.get`, `models.*` and `config.*`.

use serde_json::{Value, json};

use crate::world::{BOTH, NOW, World, column};

#[test]
fn an_empty_gateway_has_the_recorded_agent() {
    assert_eq!(
        World::empty().v3().good("agents.list", json!({})),
        json!({"defaultId": "main", "mainKey": "main", "scope": "per-sender", "agents": [{"id": "main"}]})
    );
    let v4 = World::empty().v4().good("agents.list", Value::Null);
    assert_eq!(v4["ownership"], "sole");
    assert_eq!(v4["selectionRequired"], false);
    assert_eq!(
        v4["agents"],
        json!([{"id": "main", "kind": "agent", "workspace": "/home/u/.openclaw/workspace"}])
    );
}

#[test]
fn configured_agents_are_listed_the_default_first() {
    let world = World::full().v3();
    assert_eq!(
        world.good("agents.list", json!({}))["agents"],
        json!([
            {"id": "main", "identity": {"theme": "garden"}},
            {
                "id": "ops", "name": "Operator",
                "identity": {
                    "name": "Opal", "avatar": "https://pictures.example/opal.png",
                    "avatarUrl": "https://pictures.example/opal.png",
                },
            },
        ])
    );
    let v4 = World::full().v4().good("agents.list", json!({}));
    assert_eq!(v4.get("ownership"), None);
    assert_eq!(v4["agents"][0]["workspace"], "/state/workspace");
    let config = "{agents: {list: [{id: 'a'}, {id: 'b', default: true, model: 'acme/x'}]}}";
    let v4 = World::empty().v4().config(config).good("agents.list", json!({}));
    assert_eq!(column(&v4["agents"], "id"), ["b", "a"]);
    assert_eq!(v4["agents"][0]["model"], json!({"primary": "acme/x"}));
    // Agents that nobody configured are listed only if nobody configured any.
    let stray = "/state/agents/stray/sessions/sessions.json";
    assert_eq!(
        column(&World::full().file(stray, "{}").good("agents.list", json!({}))["agents"], "id"),
        ["main", "ops"]
    );
    let alone = World::empty()
        .file(stray, "{}")
        .file("/state/agents/Not An Id/x", "")
        .file("/state/agents/notes", "");
    assert_eq!(column(&alone.good("agents.list", json!({}))["agents"], "id"), ["main", "stray"]);
    let told = World::empty().broken("/state/agents").unavailable("agents.list", json!({}));
    assert_eq!(told, "/state/agents: permission denied");
}

#[test]
fn an_identity_is_found_where_it_stands() {
    let asked = json!({"sessionKey": "agent:main:main"});
    let v3 = World::empty().v3().good("agent.identity.get", asked.clone());
    assert_eq!(v3, json!({"agentId": "main", "name": "Assistant", "avatar": "A"}));
    let v4 = World::empty().v4().good("agent.identity.get", json!({}));
    assert_eq!(v4, json!({"agentId": "main", "name": "Assistant", "nameSource": "default", "avatar": "A"}));

    let world = World::full().v4();
    let main = world.good("agent.identity.get", asked);
    let card =
        json!({"agentId": "main", "name": "Fern", "nameSource": "workspace", "avatar": "🌿", "emoji": "🌿"});
    assert_eq!(main, card);
    let ops = world.good("agent.identity.get", json!({"agentId": "ops", "sessionKey": "agent:OPS:main"}));
    assert_eq!(ops["nameSource"], "agent");
    assert_eq!(ops["name"], "Opal");
    assert_eq!(ops["avatar"], "https://pictures.example/opal.png");
    let assistant = "{ui: {assistant: {name: 'Desk', avatar: 'D'}}}";
    let named = World::full().v4().config(assistant).good("agent.identity.get", json!({}));
    assert_eq!(
        (&named["name"], &named["avatar"], &named["nameSource"]),
        (&json!("Desk"), &json!("D"), &json!("config"))
    );
    // An agent that is not there has the name of nobody.
    assert_eq!(world.good("agent.identity.get", json!({"agentId": "Nobody"}))["agentId"], "nobody");
}

#[test]
fn contradictions_are_told() {
    for protocol in BOTH {
        let world = World::full().of(protocol);
        assert_eq!(
            world.invalid("agent.identity.get", json!({"agentId": "ops", "sessionKey": "agent:main:x"})),
            "invalid agent.identity.get params: agent \"ops\" does not match session key agent \"main\""
        );
        assert_eq!(
            world.invalid("agent.identity.get", json!({"sessionKey": "agent:main"})),
            "invalid agent.identity.get params: malformed session key \"agent:main\""
        );
        assert_eq!(
            world.invalid("agent.identity.get", json!({"agentId": "", "sessionKey": 5})),
            "invalid agent.identity.get params: at /agentId: must NOT have fewer than 1 characters; \
             at /sessionKey: must be string"
        );
    }
    let card = "/state/workspace/IDENTITY.md";
    assert_eq!(
        World::full().broken(card).unavailable("agent.identity.get", json!({})),
        format!("{card}: permission denied")
    );
    let told =
        World::full().file(card, "x".repeat(256 * 1024 + 1)).unavailable("agent.identity.get", json!({}));
    assert_eq!(told, format!("{card}: larger than 262144 bytes"));
    assert_eq!(
        World::full().file(card, "x".repeat(256 * 1024)).good("agent.identity.get", json!({}))["name"],
        "Assistant"
    );
}

#[test]
fn configured_models_are_listed() {
    for protocol in BOTH {
        assert_eq!(World::empty().of(protocol).good("models.list", json!({})), json!({"models": []}));
        assert_eq!(
            World::full().of(protocol).good("models.list", json!({"view": "configured", "agentId": "main"})),
            json!({"models": [
                {
                    "id": "acme-large", "name": "Acme Large", "provider": "acme", "contextWindow": 200_000,
                    "reasoning": true, "input": ["text", "image"],
                },
                {"id": "acme-small", "name": "acme-small", "provider": "acme", "reasoning": false, "input": ["text"]},
            ]})
        );
    }
    assert!(World::full().v3().call("models.list", &json!({"view": "x"})).is_ok());
    let told = World::full().v4().invalid("models.list", json!({"view": "x", "refresh": 1}));
    assert_eq!(
        told,
        "invalid models.list params: at /view: must be one of default, configured, provider-config, all; \
         at /refresh: must be boolean"
    );
    assert_eq!(
        World::full().v4().good("models.authStatus", json!({"agentId": "main"})),
        json!({"ts": NOW, "providers": [], "providerCapabilities": []})
    );
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    for protocol in BOTH {
        let shown = World::full().of(protocol).good("config.get", json!({}));
        assert_eq!(shown["path"], "/state/openclaw.json");
        assert_eq!(shown["exists"], true);
        assert_eq!(shown["parsed"]["gateway"]["auth"]["token"], "__OPENCLAW_REDACTED__");
        assert!(!shown.to_string().contains("tok-made-up-0001"));
        let hash = shown["hash"].as_str().unwrap();
        assert_eq!(hash.starts_with("hmac-sha256:v1:"), protocol.number() == 4, "{hash}");
    }
}

#[test]
fn keys_that_are_known_are_explained() {
    for protocol in BOTH {
        let world = World::full().of(protocol);
        let port = world.good("config.schema.lookup", json!({"path": "gateway.port"}));
        assert_eq!(port["schema"]["type"], "integer");
        let told = |params| world.invalid("config.schema.lookup", params);
        assert_eq!(told(json!({"path": "gateway.nonsense"})), "config schema path not found");
        let start = "invalid config.schema.lookup params: ";
        assert_eq!(told(json!({})), format!("{start}must have required property 'path'"));
        assert_eq!(told(json!({"path": "a b"})), format!("{start}at /path: must be keys joined by dots"));
        assert_eq!(told(json!({"path": "a".repeat(1_024)})), "config schema path not found");
        assert!(told(json!({"path": "a".repeat(1_025)})).contains("must NOT have more than 1024 characters"));
    }
}

/// Until OpenClaw has made a device of its own the gateway is the one that it is to a runtime.
#[test]
fn the_gateway_has_an_identity_where_openclaw_has_none() {
    let own = World::empty().good("gateway.identity.get", json!({}));
    let key = data_encoding::BASE64URL_NOPAD.decode(own["publicKey"].as_str().unwrap().as_bytes()).unwrap();
    let id = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(&key));
    assert_eq!(own["deviceId"], id);
    assert_eq!(World::empty().good("gateway.identity.get", json!({})), own, "and keeps it");
}
