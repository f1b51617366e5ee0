//! `sessions.*`.

use serde_json::{Value, json};

use crate::world::{BOTH, NOW, World, column};

const STORE: &str = "/state/agents/main/sessions/sessions.json";

fn keys(world: &World, params: Value) -> Vec<String> {
    let list = world.good("sessions.list", params);
    let keys = column(&list["sessions"], "key").into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(list["count"], keys.len());
    keys
}

#[test]
fn an_empty_gateway_has_the_recorded_list() {
    let mut want = json!({
        "ts": NOW, "path": "(multiple)", "count": 0, "sessions": [],
        "defaults": {"modelProvider": null, "model": null, "contextTokens": null},
    });
    assert_eq!(World::empty().v3().good("sessions.list", json!({})), want);
    let newer =
        json!({"totalCount": 0, "limitApplied": 100, "nextOffset": null, "hasMore": false, "owners": []});
    want.as_object_mut().unwrap().extend(newer.as_object().unwrap().clone());
    assert_eq!(World::empty().v4().good("sessions.list", Value::Null), want);
}

#[test]
fn sessions_of_all_agents_are_listed_newest_first() {
    let want = [
        "agent:ops:main",
        "agent:main:main",
        "agent:main:telegram:group:-1001",
        "agent:main:subagent:dig",
        "agent:main:old-style",
        "agent:main:archive",
        "agent:main:evil",
    ];
    assert_eq!(keys(&World::full().v3(), json!({})), want);
    // Protocol 4 puts archived sessions away.
    assert_eq!(keys(&World::full().v4(), json!({})), [&want[..5], &want[6..]].concat());
}

#[test]
fn a_row_shows_what_the_store_says() {
    let list = World::full().v3().good("sessions.list", json!({}));
    assert_eq!(
        list["defaults"],
        json!({"modelProvider": "acme", "model": "acme-large", "contextTokens": 200_000})
    );
    let rows = &list["sessions"];
    assert_eq!(
        rows[1],
        json!({
            "key": "agent:main:main", "kind": "direct", "label": "desk", "displayName": "desk",
            "updatedAt": 1_795_331_900_000_u64, "sessionId": "5f0c1c6e-0000-4000-8000-000000000001",
            "systemSent": true, "abortedLastRun": false, "thinkingLevel": "high", "fastMode": true,
            "verboseLevel": "on", "inputTokens": 1200, "outputTokens": 300, "totalTokens": 50000,
            "totalTokensFresh": true, "modelProvider": "acme", "model": "acme-large", "contextTokens": 200_000,
            "lastChannel": "webchat",
        })
    );
    assert_eq!(rows[2]["kind"], "group");
    assert_eq!(rows[2]["displayName"], "telegram:g-garden-club");
    assert_eq!(rows[2].get("totalTokens"), None);
    assert_eq!(rows[0]["modelProvider"], "acme");
    assert_eq!(rows[0]["model"], "acme-small");
    let row = &World::full().v4().good("sessions.list", json!({}))["sessions"][1];
    assert_eq!(row["isMain"], true);
    assert_eq!(row["agentId"], "main");
    assert_eq!(row["hasActiveRun"], false);
    assert_eq!(row["archived"], false);
}

#[test]
fn filters_leave_out() {
    let v3 = World::full().v3();
    assert_eq!(keys(&v3, json!({"agentId": "OPS"})), ["agent:ops:main"]);
    assert_eq!(keys(&v3, json!({"spawnedBy": "agent:main:main"})), ["agent:main:subagent:dig"]);
    assert_eq!(keys(&v3, json!({"label": " desk "})), ["agent:main:main"]);
    assert_eq!(keys(&v3, json!({"search": "GARDEN"})), ["agent:main:telegram:group:-1001"]);
    assert_eq!(keys(&v3, json!({"search": "000000000003"})), ["agent:main:subagent:dig"]);
    assert_eq!(keys(&v3, json!({"activeMinutes": 2, "limit": 1})), ["agent:ops:main"]);
    // 200 s ago is within 4 minutes and not within 3.
    assert_eq!(keys(&v3, json!({"activeMinutes": 4})).len(), 3);
    assert_eq!(keys(&v3, json!({"activeMinutes": 3})).len(), 2);
    let shared = json!({"includeGlobal": true, "includeUnknown": true});
    assert_eq!(keys(&v3, shared)[..2], ["unknown", "agent:ops:main"]);
    assert!(keys(&v3, json!({"includeGlobal": true})).contains(&"global".to_owned()));
    assert!(!keys(&v3, json!({"includeGlobal": true, "agentId": "main"})).contains(&"global".to_owned()));
    // What protocol 3 does not know changes nothing there.
    assert_eq!(keys(&v3, json!({"archived": true, "offset": 3, "boardFace": 5})).len(), 7);
}

#[test]
fn protocol_4_filters_more() {
    let v4 = World::full().v4();
    assert_eq!(keys(&v4, json!({"archived": true})), ["agent:main:archive"]);
    assert_eq!(keys(&v4, json!({"archived": "all"})).len(), 7);
    assert_eq!(keys(&v4, json!({"archived": "all", "requireLastInteraction": true})), ["agent:main:archive"]);
    let by_interaction = json!({"archived": "all", "sortBy": "lastInteractionAt"});
    assert_eq!(keys(&v4, by_interaction)[0], "agent:main:archive");
    for nobody in [
        json!({"involvingMe": true}),
        json!({"involvingProfileId": "p"}),
        json!({"ownerId": "p"}),
        json!({"creatorId": "p"}),
        json!({"boardFace": "chat"}),
    ] {
        assert!(keys(&v4, nobody.clone()).is_empty(), "{nobody}");
    }
    let stray = v4.clone().file("/state/agents/stray/sessions/sessions.json", r#"{"x": {"updatedAt": 1}}"#);
    assert!(keys(&stray, json!({})).contains(&"agent:stray:x".to_owned()));
    assert!(!keys(&stray, json!({"configuredAgentsOnly": true})).contains(&"agent:stray:x".to_owned()));
}

#[test]
fn pages_meet() {
    let world = World::full().v4();
    let all = keys(&world, json!({}));
    let mut paged = Vec::new();
    let mut offset = Some(0);
    while let Some(at) = offset {
        let page = world.good("sessions.list", json!({"limit": 4, "offset": at}));
        assert_eq!(page["totalCount"], all.len());
        assert_eq!(page["hasMore"], !page["nextOffset"].is_null());
        paged.extend(column(&page["sessions"], "key").into_iter().map(str::to_owned));
        offset = page["nextOffset"].as_u64();
    }
    assert_eq!(paged, all);
    assert!(keys(&world, json!({"offset": 99})).is_empty());
}

#[test]
fn titles_and_last_messages_come_from_transcripts() {
    for protocol in BOTH {
        let asked = json!({"includeDerivedTitles": true, "includeLastMessage": true});
        let list = World::full().of(protocol).good("sessions.list", asked);
        let rows = &list["sessions"];
        assert_eq!(rows[1]["derivedTitle"], "Which bulbs go in before the first frost?");
        assert_eq!(rows[1]["lastMessagePreview"], "Thank you!");
        assert_eq!(rows[2]["derivedTitle"], "Garden Club");
        assert_eq!(rows[2]["lastMessagePreview"], "Who waters on Sunday?");
        // Nothing was said yet: the id and the day.
        assert_eq!(rows[3]["derivedTitle"], "5f0c1c6e (2026-11-22)");
        assert_eq!(rows[3].get("lastMessagePreview"), None);
    }
}

#[test]
fn wrong_params_are_told() {
    let v3 = World::full().v3();
    let told = v3.invalid(
        "sessions.list",
        json!({"limit": 0, "activeMinutes": "x", "includeGlobal": 1, "label": "", "agentId": ""}),
    );
    assert_eq!(
        told,
        "invalid sessions.list params: at /includeGlobal: must be boolean; \
         at /agentId: must NOT have fewer than 1 characters; at /limit: must be >= 1; \
         at /label: must NOT have fewer than 1 characters; at /activeMinutes: must be integer"
    );
    assert_eq!(v3.invalid("sessions.list", json!([])), "invalid sessions.list params: must be object");
    for (world, max) in [(World::empty().v3(), 64), (World::empty().v4(), 512)] {
        assert!(world.call("sessions.list", &json!({"label": "x".repeat(max)})).is_ok());
        let told = world.invalid("sessions.list", json!({"label": "x".repeat(max + 1)}));
        assert!(told.ends_with(&format!("must NOT have more than {max} characters")), "{told}");
    }
    let told =
        World::full().v4().invalid("sessions.list", json!({"archived": "no", "sortBy": "x", "offset": -1}));
    assert_eq!(
        told,
        "invalid sessions.list params: at /offset: must be >= 0; at /archived: must be boolean or \"all\"; \
         at /sortBy: must be one of updatedAt, lastInteractionAt"
    );
}

#[test]
fn a_broken_store_is_named_and_left() {
    for (content, cause) in [
        ("", "not valid JSON, repair or move the file"),
        ("[1]", "not an object of sessions"),
        ("{\"a\": ", "not valid JSON"),
    ] {
        for protocol in BOTH {
            let told =
                World::full().of(protocol).file(STORE, content).unavailable("sessions.list", json!({}));
            assert!(told.starts_with(STORE) && told.contains(cause), "{told}");
        }
    }
    let told = World::full().broken(STORE).unavailable("sessions.get", json!({"key": "main"}));
    assert_eq!(told, format!("{STORE}: permission denied"));
    // One entry that is none does not hide the others.
    let world = World::empty().file(STORE, r#"{"a": 5, "b": {"updatedAt": 1.5}, "c": null}"#);
    assert_eq!(keys(&world, json!({})), ["agent:main:b"]);
}

#[test]
fn sessions_in_a_database_are_not_called_none() {
    let database = "/state/agents/main/agent/openclaw-agent.sqlite";
    let world = World::full().without(STORE).file(database, "SQLite format 3");
    for (method, params) in [
        ("sessions.list", json!({})),
        ("sessions.describe", json!({"key": "main"})),
        ("sessions.preview", json!({"keys": ["main"]})),
        ("sessions.resolve", json!({"key": "main"})),
        ("sessions.get", json!({"key": "main"})),
    ] {
        let told = world.unavailable(method, params);
        assert!(told.starts_with(database) && told.contains("needs its runtime"), "{told}");
    }
    // Another agent's sessions can still be read by key.
    assert_eq!(world.good("sessions.resolve", json!({"key": "agent:ops:main"}))["ok"], true);
    // A file beside a database is the present one: OpenClaw renames it when it moves the sessions.
    assert!(!keys(&World::full().file(database, "x"), json!({})).is_empty());
}

#[test]
fn previews_show_the_last_lines() {
    let world = World::full().v3();
    let answer =
        world.good("sessions.preview", json!({"keys": ["main", "agent:main:subagent:dig", "nobody", " "]}));
    assert_eq!(answer["ts"], NOW);
    let previews = answer["previews"].as_array().unwrap();
    assert_eq!(column(&answer["previews"], "status"), ["ok", "empty", "missing"]);
    assert_eq!(
        previews[0]["items"],
        json!([
            {"role": "user", "text": "Which bulbs go in before the first frost?"},
            {"role": "tool", "text": "Tulips and crocuses."},
            {"role": "other", "text": "frost on the 28th"},
            {"role": "assistant", "text": "NO_REPLY"},
            {"role": "system", "text": "Compaction"},
            {"role": "user", "text": "Thank you!"},
        ])
    );
    let short = world.good("sessions.preview", json!({"keys": ["main"], "limit": 1, "maxChars": 20}));
    assert_eq!(short["previews"][0]["items"].as_array().unwrap().len(), 1);
    let told = world.invalid("sessions.preview", json!({"keys": [], "limit": 0, "maxChars": 19}));
    assert_eq!(
        told,
        "invalid sessions.preview params: at /keys: must NOT have fewer than 1 items; at /limit: must be >= 1; \
         at /maxChars: must be >= 20"
    );
    let told = world.invalid("sessions.preview", json!({}));
    assert_eq!(told, "invalid sessions.preview params: must have required property 'keys'");
    let many: Vec<String> = (0..70).map(|n| format!("s{n}")).collect();
    assert_eq!(
        world.good("sessions.preview", json!({"keys": many}))["previews"].as_array().unwrap().len(),
        64
    );
}

#[test]
fn a_preview_is_bounded() {
    let lines: String = (0..60)
        .map(|n| {
            json!({"message": {"role": "user", "content": format!("{n} {}", "x".repeat(3_000))}}).to_string()
                + "\n"
        })
        .collect();
    let world =
        World::full().file("/state/agents/main/sessions/5f0c1c6e-0000-4000-8000-000000000003.jsonl", lines);
    let asked = json!({"keys": ["subagent:dig"], "limit": 999, "maxChars": 99_999});
    let answer = world.good("sessions.preview", asked);
    let items = answer["previews"][0]["items"].as_array().unwrap();
    assert_eq!(items.len(), 50);
    assert!(items.iter().all(|item| item["text"].as_str().unwrap().len() == 2_000));
    let items = &world.good("sessions.preview", json!({"keys": ["subagent:dig"]}))["previews"][0]["items"];
    assert_eq!(items.as_array().unwrap().len(), 12);
    assert_eq!(items[0]["text"].as_str().unwrap().len(), 240);
}

#[test]
fn a_broken_transcript_is_one_sessions_trouble() {
    let world =
        World::full().broken("/state/agents/main/sessions/5f0c1c6e-0000-4000-8000-000000000001.jsonl");
    let answer = world.good("sessions.preview", json!({"keys": ["main", "telegram:group:-1001"]}));
    assert_eq!(column(&answer["previews"], "status"), ["error", "ok"]);
    let told = world.unavailable("sessions.get", json!({"key": "main"}));
    assert!(told.contains("000000000001.jsonl: permission denied"), "{told}");
}

#[test]
fn keys_ids_and_labels_resolve_to_one_session() {
    let world = World::full().v3();
    let key = |params| world.good("sessions.resolve", params)["key"].clone();
    assert_eq!(key(json!({"key": "main"})), "agent:main:main");
    assert_eq!(key(json!({"key": "OLD-style"})), "agent:main:old-style");
    assert_eq!(key(json!({"sessionId": "6a0c1c6e-0000-4000-8000-000000000001"})), "agent:ops:main");
    assert_eq!(key(json!({"label": "desk"})), "agent:main:main");
    assert_eq!(key(json!({"label": "twin", "spawnedBy": "agent:main:main"})), "agent:main:subagent:dig");
    let told = |params| world.invalid("sessions.resolve", params);
    assert_eq!(told(json!({"key": "nobody"})), "No session found: nobody");
    assert_eq!(told(json!({"sessionId": "nobody"})), "No session found: nobody");
    assert_eq!(told(json!({"label": "nobody"})), "No session found with label: nobody");
    assert_eq!(
        told(json!({"label": "twin"})),
        "Multiple sessions found with label: twin (agent:main:subagent:dig, agent:main:old-style)"
    );
    assert_eq!(told(json!({})), "invalid sessions.resolve params: name one of key, sessionId and label");
    assert_eq!(
        told(json!({"key": "a", "label": "b"})),
        "invalid sessions.resolve params: name only one of key, sessionId and label"
    );
    // A session without a sender is found if it is asked for.
    let id = "5f0c1c6e-0000-4000-8000-000000000007";
    assert_eq!(told(json!({"sessionId": id})), format!("No session found: {id}"));
    assert_eq!(key(json!({"sessionId": id, "includeGlobal": true})), "global");
    let v4 = World::full().v4();
    let resolved = v4.good("sessions.resolve", json!({"key": "main"}));
    assert_eq!(resolved, json!({"ok": true, "key": "agent:main:main", "agentId": "main"}));
    assert_eq!(
        v4.good("sessions.resolve", json!({"key": "nobody", "allowMissing": true})),
        json!({"ok": false})
    );
}

#[test]
fn messages_are_given_as_the_transcript_has_them() {
    let world = World::full().v3();
    let all = world.good("sessions.get", json!({"key": "main"}));
    let messages = all["messages"].as_array().unwrap();
    // The last line is still being written.
    assert_eq!(messages.len(), 6);
    assert_eq!(messages[2]["details"], json!({"raw": "not for clients"}));
    assert_eq!(messages[4]["role"], "system");
    assert_eq!(messages[4]["timestamp"], 1_795_332_600_000_u64);
    let two = world.good("sessions.get", json!({"sessionKey": "main", "limit": 2}));
    assert_eq!(two["messages"].as_array().unwrap()[..], messages[4..]);
    assert_eq!(world.good("sessions.get", json!({"key": "nobody"})), json!({"messages": []}));
    assert_eq!(world.invalid("sessions.get", json!({"key": " "})), "key required");
    assert_eq!(world.invalid("sessions.get", json!({})), "key required");
    assert!(world.invalid("sessions.get", json!({"key": 5})).contains("at /key: must be string"));
}

#[test]
fn no_entry_reads_a_file_outside_of_the_folder() {
    let world = World::full()
        .file("/etc/passwd", "{\"message\": {\"role\": \"user\", \"content\": \"root\"}}\n")
        .file("/etc/passwd.jsonl", "{\"message\": {\"role\": \"user\", \"content\": \"root\"}}\n");
    assert_eq!(world.good("sessions.get", json!({"key": "agent:main:evil"})), json!({"messages": []}));
    for key in ["agent:../../etc:x", "../../../etc/passwd", "agent:/etc:passwd", "agent:..:x"] {
        assert_eq!(world.good("sessions.get", json!({"key": key})), json!({"messages": []}), "{key}");
    }
}

#[test]
fn one_session_is_described_or_is_null() {
    let world = World::full().v4();
    let session = world.good("sessions.describe", json!({"key": "main", "includeLastMessage": true}));
    assert_eq!(session["session"]["lastMessagePreview"], "Thank you!");
    assert_eq!(session["session"].get("derivedTitle"), None);
    assert_eq!(world.good("sessions.describe", json!({"key": "nobody"})), json!({"session": null}));
    let told = world.invalid("sessions.describe", json!({"includeLastMessage": 1}));
    assert_eq!(
        told,
        "invalid sessions.describe params: must have required property 'key'; \
         at /includeLastMessage: must be boolean"
    );
}

#[test]
fn a_store_may_stand_elsewhere() {
    let world = World::empty()
        .config("{session: {store: '~/s/{agentId}.json'}}")
        .file("/home/u/s/main.json", r#"{"main": {"updatedAt": 1, "sessionId": "x"}}"#)
        .file("/home/u/s/x.jsonl", "{\"message\": {\"role\": \"user\", \"content\": \"hi\"}}\n");
    assert_eq!(world.good("sessions.list", json!({}))["path"], "~/s/{agentId}.json");
    assert_eq!(keys(&world, json!({})), ["agent:main:main"]);
    assert_eq!(world.good("sessions.get", json!({"key": "main"}))["messages"][0]["content"], "hi");
    let relative = World::empty().config("{session: {store: 'all.json'}}");
    assert!(relative.unavailable("sessions.list", json!({})).contains("write it in full"));
    let global = World::full().config("{session: {scope: 'global'}}");
    assert_eq!(global.good("sessions.resolve", json!({"key": "main"}))["key"], "global");
}
