//! Methods that an idle gateway answers with nothing, and those that read a small file for it.

use serde_json::{Value, json};

use crate::world::{BOTH, NOW, World};

#[test]
fn nothing_is_said_in_the_recorded_shapes() {
    let cases: &[(&str, Value, Value)] = &[
        ("exec.approval.list", json!({}), json!([])),
        ("plugin.approval.list", json!({}), json!([])),
        ("openclaw.approval.list", json!({}), json!([])),
        ("question.list", json!({}), json!({"questions": []})),
        ("sessions.groups.list", json!({}), json!({"groups": [], "sectionOrder": []})),
        ("sessions.groups.defaults", json!({}), json!({"defaults": []})),
        ("sessions.catalog.list", json!({"agentId": "main", "limitPerHost": 40}), json!({"catalogs": []})),
        ("environments.list", json!({}), json!({"environments": []})),
        ("diagnostics.lanes", json!({}), json!({"ts": NOW, "lanes": [], "dynamic": null})),
        ("update.status", json!({}), json!({"sentinel": null, "updateAvailable": null})),
        ("usage.status", Value::Null, json!({"updatedAt": NOW, "providers": []})),
        ("users.prefs.get", json!({"keys": ["ui.theme"]}), json!({"status": "ok", "entries": {}})),
        ("tasks.list", json!({"status": ["queued"], "limit": 200}), json!({"tasks": []})),
        ("taskSuggestions.list", json!({"agentId": "main"}), json!({"suggestions": []})),
        (
            "board.get",
            json!({"sessionKey": "agent:main:main", "agentId": "main"}),
            json!({"sessionKey": "agent:main:main", "revision": 0, "tabs": [], "widgets": []}),
        ),
        ("progressCard.get", json!({"sessionKey": "x"}), json!({"card": null})),
        ("sessions.branches.list", json!({"sessionKey": "x"}), json!({"branches": []})),
        ("session.discussion.info", json!({"sessionKey": "x"}), json!({"state": "none"})),
        ("sessions.companion.state", json!({"sessionKey": "x"}), json!({"exchanges": []})),
        ("sessions.observer.visibility", json!({"visible": true}), json!({"ok": true})),
        ("sessions.viewers.set", json!({"sessionKeys": ["a", "b"]}), json!({"sessionKeys": ["a", "b"]})),
        (
            "controlUi.sessionPullRequests.subscribe",
            json!({"sessionKeys": ["a"]}),
            json!({"subscribed": false}),
        ),
        ("talk.config", json!({}), json!({"config": {}})),
        ("voicewake.get", json!({}), json!({"triggers": ["openclaw", "claude", "computer"]})),
    ];
    for protocol in BOTH {
        for (at, (method, params, want)) in cases.iter().enumerate() {
            assert_eq!(World::empty().of(protocol).good(method, params.clone()), *want, "case {at}");
            let told = World::empty().of(protocol).invalid(method, json!([]));
            assert!(told.ends_with("params: must be object"), "{told}");
        }
    }
}

#[test]
fn params_that_are_there_are_checked() {
    let cases: &[(&str, Value, &str)] = &[
        ("board.get", json!({}), "invalid board.get params: must have required property 'sessionKey'"),
        (
            "progressCard.get",
            json!({"sessionKey": ""}),
            "at /sessionKey: must NOT have fewer than 1 characters",
        ),
        ("sessions.branches.list", json!({"sessionKey": "x", "agentId": 1}), "at /agentId: must be string"),
        ("sessions.observer.visibility", json!({}), "must have required property 'visible'"),
        ("sessions.observer.visibility", json!({"visible": "x"}), "at /visible: must be boolean"),
        ("sessions.viewers.set", json!({}), "must have required property 'sessionKeys'"),
        (
            "sessions.viewers.set",
            json!({"sessionKeys": [""]}),
            "at /sessionKeys/0: must NOT have fewer than 1 characters",
        ),
        ("users.prefs.get", json!({"keys": "x"}), "at /keys: must be array"),
        ("skills.status", json!({"agentId": "nobody"}), "unknown agent id \"nobody\""),
        ("usage.cost", json!({"startDate": "yesterday"}), "at /startDate: must be a day like 2026-11-22"),
        (
            "sessions.usage",
            json!({"startDate": "2026-11-22", "endDate": "2026-11-21"}),
            "at /endDate: must not be before startDate",
        ),
        ("sessions.usage", json!({"mode": "x"}), "at /mode: must be one of utc, gateway, specific"),
    ];
    for (method, params, want) in cases {
        let told = World::full().v4().invalid(method, params.clone());
        assert!(told.contains(want), "{told}");
    }
    let keys = |count: usize| json!({"sessionKeys": vec!["k"; count]});
    assert!(World::empty().call("sessions.viewers.set", &keys(32)).is_ok());
    assert!(
        World::empty().invalid("sessions.viewers.set", keys(33)).contains("must NOT have more than 32 items")
    );
}

#[test]
fn lists_that_name_this_gateway_are_stable() {
    let world = World::full().v4();
    assert_eq!(
        world.good("projects.list", json!({})),
        json!({
            "projects": [
                {
                    "id": "workspace:main", "displayName": "workspace", "repoRoot": "/state/workspace",
                    "source": "workspace", "agentId": "main",
                },
                {
                    "id": "workspace:ops", "displayName": "workspace-ops", "repoRoot": "/state/workspace-ops",
                    "source": "workspace", "agentId": "ops",
                },
            ],
            "recents": [],
        })
    );
    let mentions = world.good("mentions.list", json!({}));
    assert_eq!(mentions["gatewayInstanceId"].as_str().unwrap().len(), 32);
    assert_eq!(mentions, world.good("mentions.list", json!({})));
    let plugins = world.good("plugins.controlUi.list", json!({}));
    assert_eq!((&plugins["plugins"], &plugins["diagnostics"]), (&json!([]), &json!([])));
    assert_eq!(plugins["revision"].as_str().unwrap().len(), 64);
    let catalog = world.good("talk.catalog", json!({}));
    assert_eq!(catalog["realtime"], json!({"ready": false, "providers": []}));
    let stability = world.good("diagnostics.stability", json!({"limit": 1_000}));
    assert_eq!(stability["generatedAt"], "2026-11-22T07:20:00.000Z");
    assert_eq!(
        world.good("skills.status", json!({})),
        json!({"workspaceDir": "/state/workspace", "managedSkillsDir": "/state/skills", "skills": []})
    );
}

#[test]
fn usage_is_nothing_only_where_there_are_no_sessions() {
    for protocol in BOTH {
        let empty = World::empty().of(protocol);
        let period = json!({"startDate": "2026-11-21", "endDate": "2026-11-22", "mode": "specific", "utcOffset": "UTC+0"});
        let cost = empty.good("usage.cost", period.clone());
        assert_eq!(
            (&cost["days"], &cost["daily"], &cost["totals"]["totalCost"]),
            (&json!(2), &json!([]), &json!(0))
        );
        assert_eq!(empty.good("usage.cost", json!({}))["days"], 30);
        assert_eq!(empty.good("usage.cost", json!({"days": 7}))["days"], 7);
        let usage = empty.good("sessions.usage", period.clone());
        assert_eq!((&usage["startDate"], &usage["endDate"]), (&json!("2026-11-21"), &json!("2026-11-22")));
        assert_eq!(usage["aggregates"].get("sessionCount").is_some(), protocol.number() == 4);
        let month = empty.good("sessions.usage", json!({}));
        assert_eq!((&month["startDate"], &month["endDate"]), (&json!("2026-10-24"), &json!("2026-11-22")));
        for method in ["usage.cost", "sessions.usage"] {
            let told = World::full().of(protocol).unavailable(method, period.clone());
            assert!(told.contains("needs the OpenClaw runtime"), "{told}");
        }
    }
}

#[test]
fn a_configured_voice_is_the_runtimes() {
    let plain = World::empty().config("{ui: {seamColor: '#123456'}, session: {mainKey: 'main'}}");
    assert_eq!(
        plain.good("talk.config", json!({})),
        json!({"config": {"ui": {"seamColor": "#123456"}, "session": {"mainKey": "main"}}})
    );
    let voice = World::empty().config("{talk: {apiKey: 'made-up'}}");
    let told = voice.unavailable("talk.config", json!({}));
    assert!(told.contains("needs the OpenClaw runtime") && !told.contains("made-up"), "{told}");
    assert!(
        World::empty().invalid("talk.config", json!({"includeSecrets": 1})).contains("at /includeSecrets")
    );
}

#[test]
fn wake_words_are_those_of_the_file() {
    assert_eq!(World::full().good("voicewake.get", json!({})), json!({"triggers": ["garden", "hello"]}));
    let path = "/state/settings/voicewake.json";
    let told = World::full().file(path, "{").unavailable("voicewake.get", json!({}));
    assert!(told.starts_with(path), "{told}");
}

#[test]
fn rules_for_commands_are_shown_without_the_sockets_token() {
    let shown = World::full().good("exec.approvals.get", json!({}));
    assert_eq!(
        shown["file"],
        json!({
            "version": 1, "socket": {"path": "/state/exec-approvals.sock"}, "defaults": {"security": "allowlist"},
            "agents": {"main": {"allowlist": [{"pattern": "/usr/bin/uptime"}]}},
        })
    );
    assert_eq!((&shown["exists"], &shown["path"]), (&json!(true), &json!("/state/exec-approvals.json")));
    assert_eq!(shown["hash"].as_str().unwrap().len(), 64);
    assert!(!shown.to_string().contains("made-up-socket-token"));
    let none = World::empty().good("exec.approvals.get", json!({}));
    assert_eq!(none["exists"], false);
    assert_eq!(none["file"], json!({"version": 1, "socket": {}, "defaults": {}, "agents": {}}));
    let path = "/state/exec-approvals.json";
    for (content, cause) in
        [("{", "not valid JSON"), ("{\"version\": 2}", "not of version 1"), ("[]", "not of version 1")]
    {
        let told = World::full().file(path, content).unavailable("exec.approvals.get", json!({}));
        assert!(told.starts_with(path) && told.contains(cause), "{told}");
    }
    let moved = World::empty().file("/state/state/openclaw.sqlite", "SQLite format 3");
    assert!(moved.unavailable("exec.approvals.get", json!({})).contains("needs its runtime"));
}

#[test]
fn the_machine_is_as_the_kernel_tells() {
    let world = World::empty()
        .v4()
        .file("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    500 kB\n")
        .file(
            "/proc/cpuinfo",
            "processor\t: 0\nmodel name\t: Made Up 9000\n\nprocessor\t: 1\nmodel name\t: x\n",
        )
        .file("/proc/loadavg", "0.50 0.25 0.10 1/100 42\n")
        .file("/proc/self/stat", "42 (loopgated) S 1 1 1 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 10000 1 1")
        .file("/proc/uptime", "160.50 1.00\n");
    assert_eq!(
        world.good("system.info", json!({})),
        json!({
            "machineName": "box", "hostname": "box", "platform": "linux", "release": "6.12.0", "arch": "x64",
            "osLabel": "Linux 6.12.0", "port": 18789, "nodeVersion": "none", "pid": 42, "uptimeMs": 60_500,
            "cpuCount": 2, "cpuModel": "Made Up 9000", "loadAverage": [0.5, 0.25, 0.1],
            "memoryTotalBytes": 1_024_000, "memoryFreeBytes": 512_000,
        })
    );
    let told = world.clone().without("/proc/meminfo").unavailable("system.info", json!({}));
    assert_eq!(told, "/proc/meminfo: no such file");
    let told = world.file("/proc/uptime", "soon").unavailable("system.info", json!({}));
    assert_eq!(told, "/proc/uptime: not in the form that Linux gives it");
}
