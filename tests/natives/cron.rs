//! `cron.list`, `cron.status` and `cron.runs`.

use serde_json::{Value, json};

use crate::world::{BOTH, World, column};

const JOBS: &str = "/state/cron/jobs.json";

fn ids(world: &World, params: Value) -> Vec<String> {
    column(&world.good("cron.list", params)["jobs"], "id").into_iter().map(str::to_owned).collect()
}

#[test]
fn an_empty_gateway_has_the_recorded_shapes() {
    let mut want =
        json!({"jobs": [], "total": 0, "offset": 0, "limit": 50, "hasMore": false, "nextOffset": null});
    assert_eq!(World::empty().v3().good("cron.list", json!({"includeDisabled": false})), want);
    let v4 =
        World::empty().v4().good("cron.list", json!({"includeDisabled": false, "limit": 200, "offset": 0}));
    let revision = v4["snapshotRevision"].as_str().unwrap();
    assert!(revision.starts_with("sha256:") && revision.len() == 7 + 43, "{revision}");
    want["limit"] = 200.into();
    want["snapshotRevision"] = revision.into();
    assert_eq!(v4, want);
    assert_eq!(
        World::empty().v3().good("cron.status", json!({})),
        json!({"enabled": true, "storePath": JOBS, "jobs": 0, "nextWakeAtMs": null})
    );
    assert_eq!(World::empty().v4().good("cron.status", Value::Null)["storage"], "json");
    for protocol in BOTH {
        assert_eq!(
            World::empty().of(protocol).good("cron.runs", json!({"scope": "all"})),
            json!({"entries": [], "total": 0, "offset": 0, "limit": 50, "hasMore": false, "nextOffset": null})
        );
    }
}

#[test]
fn jobs_are_filtered_and_sorted() {
    let v3 = World::full().v3();
    assert_eq!(ids(&v3, json!({})), ["job-1", "job-3"]);
    assert_eq!(ids(&v3, json!({"includeDisabled": true})), ["job-1", "job-3", "job-2"]);
    assert_eq!(ids(&v3, json!({"enabled": "disabled"})), ["job-2"]);
    // The word wins over the flag.
    assert_eq!(ids(&v3, json!({"enabled": "enabled", "includeDisabled": true})), ["job-1", "job-3"]);
    let all = |more: Value| {
        let mut params = json!({"enabled": "all"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ids(&v3, params)
    };
    assert_eq!(all(json!({"sortBy": "name"})), ["job-3", "job-2", "job-1"]);
    assert_eq!(all(json!({"sortBy": "updatedAtMs", "sortDir": "desc"})), ["job-1", "job-3", "job-2"]);
    assert_eq!(all(json!({"sortDir": "desc"})), ["job-2", "job-3", "job-1"]);
    assert_eq!(all(json!({"query": " BEDS "})), ["job-1"]);
    assert_eq!(all(json!({"query": "ops"})), ["job-2"]);
    // Protocol 3 gives the job as it is stored.
    let stored: Value = serde_json::from_slice(include_bytes!("../data/state/cron/jobs.json")).unwrap();
    assert_eq!(v3.good("cron.list", json!({}))["jobs"][0], stored["jobs"][0]);
}

#[test]
fn protocol_4_filters_more_and_shows_more() {
    let v4 = World::full().v4();
    let all = |more: Value| {
        let mut params = json!({"enabled": "all"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ids(&v4, params)
    };
    assert_eq!(all(json!({"scheduleKind": "cron"})), ["job-2"]);
    assert_eq!(all(json!({"scheduleKind": "all"})).len(), 3);
    assert_eq!(all(json!({"lastRunStatus": "ok"})), ["job-1"]);
    assert_eq!(all(json!({"lastRunStatus": "error"})), ["job-2"]);
    assert_eq!(all(json!({"lastRunStatus": "unknown"})), ["job-3"]);
    assert_eq!(all(json!({"trigger": "conditional"})), ["job-3"]);
    assert_eq!(all(json!({"trigger": "unconditional"})), ["job-1", "job-2"]);
    assert_eq!(all(json!({"agentId": "ops"})), ["job-2"]);
    assert_eq!(all(json!({"agentId": "main"})), ["job-1", "job-3"]);
    let job = &v4.good("cron.list", json!({}))["jobs"][0];
    assert_eq!(job["effectiveAgentId"], "main");
    assert_eq!(job["nextRunAtMs"], 1_795_335_600_000_u64);
    assert!(job["configRevision"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(
        v4.good("cron.list", json!({"compact": true, "enabled": "disabled"}))["jobs"][0],
        json!({
            "id": "job-2", "name": "backup", "agentId": "ops", "updatedAtMs": 1_795_000_000_001_u64, "enabled": false,
            "nextRunAt": null, "nextRunAtMs": null, "scheduleKind": "cron",
            "schedule": {"kind": "cron", "expr": "0 3 * * *"},
            "lastRunAt": "2026-11-21T08:33:20.000Z", "lastRunAtMs": 1_795_250_000_000_u64, "lastRunStatus": "error",
            "lastRunError": "disk full", "effectiveAgentId": "ops",
        })
    );
}

#[test]
fn pages_of_jobs_meet() {
    for protocol in BOTH {
        let world = World::full().of(protocol);
        let page = |params| {
            let page = world.good("cron.list", params);
            (column(&page["jobs"], "id").join(" "), page["hasMore"].clone(), page["nextOffset"].clone())
        };
        let two = json!({"enabled": "all", "limit": 2});
        assert_eq!(page(two), ("job-1 job-3".to_owned(), json!(true), json!(2)));
        let rest = json!({"enabled": "all", "limit": 2, "offset": 2});
        assert_eq!(page(rest), ("job-2".to_owned(), json!(false), json!(null)));
        assert_eq!(page(json!({"offset": 99})).0, "");
        let revision = |world: &World| world.good("cron.list", json!({}))["snapshotRevision"].clone();
        assert_eq!(revision(&world), revision(&world.clone()));
    }
    let changed = World::full().v4().file(JOBS, "{\"jobs\": []}");
    let revision = |world: &World| world.good("cron.list", json!({}))["snapshotRevision"].clone();
    assert_ne!(revision(&changed), revision(&World::full().v4()));
}

#[test]
fn status_tells_when_the_next_job_is_due() {
    let due = |world: World| world.good("cron.status", json!({}))["nextWakeAtMs"].clone();
    assert_eq!(World::full().good("cron.status", json!({}))["jobs"], 3);
    assert_eq!(due(World::full()), 1_795_335_600_000_u64);
    assert_eq!(due(World::full().config("{cron: {enabled: false}}")), Value::Null);
    let elsewhere = World::empty().config("{cron: {store: '~/cron.json'}}").file("/home/u/cron.json", "{}");
    assert_eq!(elsewhere.good("cron.status", json!({}))["storePath"], "/home/u/cron.json");
}

#[test]
fn wrong_params_are_told() {
    for protocol in BOTH {
        let world = World::full().of(protocol);
        let told = world.invalid(
            "cron.list",
            json!({"limit": 201, "offset": -1, "enabled": "x", "sortBy": 1, "query": 1}),
        );
        assert_eq!(
            told,
            "invalid cron.list params: at /enabled: must be one of all, enabled, disabled; \
             at /query: must be string; at /sortBy: must be string; at /offset: must be >= 0; \
             at /limit: must be <= 200"
        );
        assert!(world.call("cron.list", &json!({"limit": 200})).is_ok());
        assert!(world.invalid("cron.list", json!({"limit": 0})).contains("must be >= 1"));
        let told = world.invalid("cron.runs", json!({"scope": "job"}));
        assert_eq!(told, "invalid cron.runs params: missing id");
        let told = world
            .invalid("cron.runs", json!({"statuses": [], "deliveryStatus": "x", "id": "a/b", "limit": 201}));
        assert_eq!(
            told,
            "invalid cron.runs params: at /id: must be the id of a job; \
             at /statuses: must be a list of ok, error, skipped; \
             at /deliveryStatus: must be one of delivered, not-delivered, unknown, not-requested, all; \
             at /limit: must be <= 200"
        );
    }
    let told =
        World::full().v4().invalid("cron.list", json!({"scheduleKind": "x", "trigger": "x", "compact": 1}));
    assert!(
        told.contains("/scheduleKind") && told.contains("/trigger") && told.contains("/compact"),
        "{told}"
    );
}

#[test]
fn runs_are_listed_newest_first() {
    for protocol in BOTH {
        let world = World::full().of(protocol);
        let page = world.good(
            "cron.runs",
            json!({"scope": "all", "limit": 50, "offset": 0, "status": "all", "sortDir": "desc"}),
        );
        assert_eq!(column(&page["entries"], "jobId"), ["job-9", "job-1", "job-1", "job-2"]);
        assert_eq!(column(&page["entries"], "jobName"), ["-", "Water", "Water", "backup"]);
        let one = world.good("cron.runs", json!({"jobId": "job-1"}));
        assert_eq!(
            one["entries"][1],
            json!({
                "ts": 1_795_328_400_000_u64, "jobId": "job-1", "action": "finished", "status": "ok",
                "summary": "watered", "runAtMs": 1_795_328_400_000_u64, "durationMs": 12,
                "deliveryStatus": "delivered",
            })
        );
        assert_eq!(one["total"], 2);
        let found = |params| column(&world.good("cron.runs", params)["entries"], "jobId").join(" ");
        assert_eq!(found(json!({"status": "error"})), "job-2");
        assert_eq!(found(json!({"statuses": ["ok", "error"], "sortDir": "asc"})), "job-2 job-1 job-9");
        assert_eq!(found(json!({"deliveryStatus": "not-requested"})), "job-9 job-1");
        assert_eq!(found(json!({"deliveryStatuses": ["delivered", "not-delivered"]})), "job-1 job-2");
        assert_eq!(found(json!({"query": "WATER"})), "job-1 job-1");
        assert_eq!(found(json!({"query": "rained"})), "job-1");
        assert_eq!(found(json!({"id": "nobody"})), "");
        assert_eq!(world.good("cron.runs", json!({"limit": 1}))["nextOffset"], 1);
    }
    let found = |params| column(&World::full().v4().good("cron.runs", params)["entries"], "jobId").join(" ");
    assert_eq!(found(json!({"agentId": "ops"})), "job-2");
    assert_eq!(found(json!({"runId": "r-7"})), "job-2");
}

#[test]
fn no_job_names_a_file_elsewhere() {
    let line = "{\"ts\":1,\"jobId\":\"../x\",\"action\":\"finished\"}\n";
    let world = World::full().file("/state/cron/x.jsonl", line).file("/state/cron/runs/../x.jsonl", line);
    for id in ["../x", "..\\x", "/state/cron/x", "a\0b", " "] {
        assert!(world.invalid("cron.runs", json!({"id": id})).contains("must be the id of a job"), "{id:?}");
    }
    assert_eq!(world.good("cron.runs", json!({"id": ".."}))["total"], 0);
    assert!(world.invalid("cron.runs", json!({"id": "x".repeat(201)})).contains("/id"));
    assert!(world.call("cron.runs", &json!({"id": "x".repeat(200)})).is_ok());
}

#[test]
fn a_broken_store_is_named_and_left() {
    for (content, cause) in [
        ("{", "not valid JSON"),
        ("[]", "not an object with jobs"),
        ("{\"jobs\": {}}", "jobs is not a list"),
        ("{\"jobs\": [{\"id\": \"a\"}, {}]}", "job 1 has no id"),
    ] {
        for method in ["cron.list", "cron.status", "cron.runs"] {
            let told = World::full().file(JOBS, content).unavailable(method, json!({}));
            assert!(told.starts_with(JOBS) && told.contains(cause), "{told}");
        }
    }
    let log = "/state/cron/runs/job-2.jsonl";
    assert_eq!(
        World::full().broken(log).unavailable("cron.runs", json!({})),
        format!("{log}: permission denied")
    );
    let told = World::full().broken("/state/cron/runs").unavailable("cron.runs", json!({}));
    assert_eq!(told, "/state/cron/runs: permission denied");
}

#[test]
fn jobs_in_a_database_are_not_called_none() {
    let world = World::empty().file("/state/state/openclaw.sqlite", "SQLite format 3");
    for method in ["cron.list", "cron.status", "cron.runs"] {
        let told = world.unavailable(method, json!({}));
        assert!(told.starts_with("/state/state/openclaw.sqlite: ") && told.contains("runtime"), "{told}");
    }
    let both = World::full().file("/state/state/openclaw.sqlite", "x");
    assert_eq!(both.good("cron.status", json!({}))["jobs"], 3);
}
