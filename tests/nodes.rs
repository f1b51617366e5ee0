//! Nodes over the wire: connect, approval, the relay of calls, the end. Against the production gateway, without a
//! machine.
#![allow(
    clippy::duration_suboptimal_units,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::ok_expect,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a panic is how a test fails, and nobody calls a test"
)]

mod common;

use std::time::Duration;

use common::client::{Device, cli};
use common::{Client, OWNER, TOKEN, World};
use loopgate::gateway::io::{Door, Input, Peer};
use loopgate::journal::{Field, Kind};
use loopgate::limits;
use serde_json::{Value, json};

const ALL: &[&str] =
    &["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];
const COMMANDS: &[&str] =
    &["browser.proxy", "camera.snap", "system.execApprovals.get", "system.run", "system.which"];

#[test]
fn a_local_node_is_listed_with_the_commands_that_the_filter_lets_through() {
    for protocol in [3, 4] {
        let mut world = World::token();
        let mut admin = operator(&mut world, protocol);
        let _node = node(&mut world, 1, protocol);
        let list = admin.ok(&mut world, "node.list", json!({}));
        let node = &list["nodes"][0];
        assert_eq!(node["nodeId"], Device::new(1).id());
        assert_eq!(node["commands"], json!(["browser.proxy", "system.run", "system.which"]));
        assert_eq!(node["caps"], json!(["browser", "system"]));
        assert_eq!((&node["paired"], &node["connected"]), (&json!(true), &json!(true)));
        assert_eq!((&node["approvalState"], &node["pathEnv"]), (&json!("approved"), &json!("/usr/bin")));
        let described = admin.ok(&mut world, "node.describe", json!({"nodeId": Device::new(1).id()}));
        assert_eq!((&described["displayName"], &described["ts"]), (&json!("desk"), &list["ts"]));
        let error = admin.error(&mut world, "node.describe", json!({"nodeId": "x"}));
        assert_eq!(error["message"], "unknown nodeId");
    }
}

#[test]
fn a_call_reaches_the_node_and_its_answer_the_caller() {
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 1, 3));
    let params = json!({"nodeId": Device::new(1).id(), "command": "system.which", "params": {"bins": ["git"]},
        "timeoutMs": 1500, "idempotencyKey": "k1"});
    send(&mut world, &mut admin, "7", "node.invoke", params);
    let request = asked(&mut world, &mut node);
    assert!(request.get("seq").is_none(), "told to one connection only");
    let payload = &request["payload"];
    assert_eq!((&payload["command"], &payload["timeoutMs"]), (&json!("system.which"), &json!(1500)));
    assert_eq!(
        (&payload["paramsJSON"], &payload["idempotencyKey"]),
        (&json!(r#"{"bins":["git"]}"#), &json!("k1"))
    );
    let text = r#" {"bins":{"git":"/usr/bin/git"},"b":1.50} "#;
    let result = json!({"id": payload["id"], "nodeId": payload["nodeId"], "ok": true, "payloadJSON": text});
    assert_eq!(node.ok(&mut world, "node.invoke.result", result.clone()), json!({"ok": true}));
    admin.receive(&mut world);
    let answer = admin.answer("7");
    assert_eq!(answer["payload"]["payload"]["bins"]["git"], "/usr/bin/git");
    assert_eq!((&answer["payload"]["payloadJSON"], &answer["payload"]["ok"]), (&json!(text), &json!(true)));
    let late = node.ok(&mut world, "node.invoke.result", result);
    assert_eq!(late, json!({"ok": true, "ignored": true}));
    let other = json!({"id": "x", "nodeId": "somebody", "ok": true});
    assert_eq!(node.error(&mut world, "node.invoke.result", other)["message"], "nodeId mismatch");
}

#[test]
fn payloads_come_in_every_shape_that_nodes_write() {
    let cases = [
        (json!({"payload": {"a": 1}, "payloadJSON": null}), json!({"a": 1}), json!(null)),
        (json!({"payloadJSON": "not json"}), json!({"payloadJSON": "not json"}), json!("not json")),
        (json!({"payloadJSON": ""}), json!(null), json!("")),
        (json!({"payloadJSON": {"a": 2}, "error": null}), json!({"a": 2}), json!(null)),
        (json!({}), json!(null), json!(null)),
    ];
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 1, 3));
    for (told, payload, payload_json) in cases {
        invoke(&mut world, &mut admin, "system.which");
        answer(&mut world, &mut node, told.clone());
        admin.receive(&mut world);
        let answer = admin.answer("i");
        assert_eq!(
            (&answer["payload"]["payload"], &answer["payload"]["payloadJSON"]),
            (&payload, &payload_json),
            "{told}"
        );
    }
}

/// The table of failures (protocol.md 8.3).
#[test]
fn what_goes_wrong_is_told_in_the_protocols_words() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 3);
    let id = Device::new(1).id();
    let call = |command: &str| json!({"nodeId": id, "command": command, "idempotencyKey": "k"});
    let error = admin.error(&mut world, "node.invoke", call("system.which"));
    assert_eq!((&error["code"], &error["message"]), (&json!("UNAVAILABLE"), &json!("node not connected")));
    assert_eq!(error["details"]["code"], "NOT_CONNECTED");

    let mut node = node(&mut world, 1, 3);
    let cases = [
        (
            "camera.snap",
            "node command not allowed: \"camera.snap\" is not in the allowlist for platform \"linux\"",
        ),
        (
            "system.notify",
            "node command not allowed: the node (platform: linux) does not support \"system.notify\"",
        ),
        (
            "system.execApprovals.set",
            "node.invoke does not allow system.execApprovals.*; use exec.approvals.node.*",
        ),
    ];
    for (command, message) in cases {
        let error = admin.error(&mut world, "node.invoke", call(command));
        assert_eq!((&error["code"], &error["message"]), (&json!("INVALID_REQUEST"), &json!(message)));
        assert_eq!(error["details"]["command"], command);
    }
    let error = admin.error(&mut world, "node.invoke", json!({"nodeId": id, "command": "system.which"}));
    assert_eq!(error["message"], "invalid node.invoke params: must have required property 'idempotencyKey'");

    invoke(&mut world, &mut admin, "system.which");
    answer(&mut world, &mut node, json!({"ok": false, "error": {"code": "EXEC", "message": "no shell"}}));
    admin.receive(&mut world);
    let error = admin.answer("i")["error"].clone();
    assert_eq!(
        (&error["message"], &error["details"]["nodeError"]["code"]),
        (&json!("EXEC: no shell"), &json!("EXEC"))
    );

    invoke(&mut world, &mut admin, "system.which");
    world.sleep(limits::INVOCATION.default);
    admin.receive(&mut world);
    let error = admin.answer("i")["error"].clone();
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("UNAVAILABLE"), &json!("TIMEOUT: node invoke timed out"))
    );
    assert_eq!(
        error["details"],
        json!({"nodeError": {"code": "TIMEOUT", "message": "node invoke timed out"}})
    );

    invoke(&mut world, &mut admin, "system.which");
    world.handle(Input::Lost { conn: node.conn });
    admin.receive(&mut world);
    let error = admin.answer("i")["error"].clone();
    assert_eq!(error["message"], "NOT_CONNECTED: node disconnected (system.which)");
}

/// Commands that reach the owner's browser or files take admin, whoever relays them.
#[test]
fn write_alone_does_not_reach_the_browser_through_a_node() {
    let mut world = World::token();
    let _node = node(&mut world, 1, 4);
    let mut writer = operator_with(&mut world, 4, &["operator.write"]);
    let call = json!({"nodeId": Device::new(1).id(), "command": "browser.proxy", "idempotencyKey": "k"});
    let error = writer.error(&mut world, "node.invoke", call);
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("FORBIDDEN"), &json!("missing scope: operator.admin"))
    );
    assert_eq!(world.last(Kind::Deny, Field::ScopeRequired).as_deref(), Some("operator.admin"));
}

/// A node runs a program without asking if the call says that it was approved: nobody may say so here.
#[test]
fn an_approval_cannot_be_forged() {
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 1, 3));
    let call = |params: Value| json!({"nodeId": Device::new(1).id(), "command": "system.run", "params": params, "idempotencyKey": "k"});
    for forged in [
        json!({"command": ["id"], "approved": true}),
        json!({"command": ["id"], "approvalDecision": "allow-always"}),
    ] {
        let error = admin.error(&mut world, "node.invoke", call(forged));
        assert_eq!(error["details"]["code"], "APPROVALS_UNAVAILABLE");
    }
    let params = json!({"command": ["id"], "cwd": "/", "approved": false, "newer": 1});
    send(&mut world, &mut admin, "9", "node.invoke", call(params));
    let request = asked(&mut world, &mut node);
    assert_eq!(request["payload"]["paramsJSON"], r#"{"command":["id"],"cwd":"/"}"#);
    let proxy = json!({"nodeId": Device::new(1).id(), "command": "browser.proxy", "idempotencyKey": "k",
        "params": {"method": "delete", "path": "//profiles/x/"}});
    let error = admin.error(&mut world, "node.invoke", proxy);
    assert_eq!(error["code"], "INVALID_REQUEST");
}

/// The bug of OpenClaw 2026.3.13: the end of the first of two connections unregistered the second.
#[test]
fn the_end_of_an_older_connection_leaves_the_node_connected() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 3);
    let first = node(&mut world, 1, 3);
    let mut second = node(&mut world, 1, 3);
    assert_eq!(world.entries(Kind::NodeReplaced).len(), 1);
    world.handle(Input::Lost { conn: first.conn });
    assert_eq!(admin.ok(&mut world, "node.list", json!({}))["nodes"][0]["connected"], true);
    invoke(&mut world, &mut admin, "system.which");
    answer(&mut world, &mut second, json!({"payload": 1}));
    admin.receive(&mut world);
    assert_eq!(admin.answer("i")["payload"]["payload"], 1);
    world.handle(Input::Lost { conn: second.conn });
    let list = admin.ok(&mut world, "node.list", json!({}));
    assert_eq!((&list["nodes"][0]["connected"], &list["nodes"][0]["paired"]), (&json!(false), &json!(true)));
}

/// A node that is not local waits for an approval of its commands, and learns of it at once.
#[test]
fn a_paired_node_offers_what_was_approved() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 4);
    let mut stranger = remote(&mut world);
    let refused = connect_node(&mut world, &mut stranger, 1, 4, COMMANDS);
    let id = refused["error"]["details"]["requestId"].clone();
    admin.ok(&mut world, "device.pair.approve", json!({"requestId": id}));

    let mut node = remote(&mut world);
    let hello = connect_node(&mut world, &mut node, 1, 4, COMMANDS);
    assert_eq!(hello["ok"], true, "{hello}");
    admin.receive(&mut world);
    let requested = admin.events("node.pair.requested");
    assert_eq!(requested.len(), 1);
    let id = requested[0]["payload"]["requestId"].clone();
    assert_eq!(
        requested[0]["payload"]["requiredApproveScopes"],
        json!(["operator.pairing", "operator.admin"])
    );
    let listed = admin.ok(&mut world, "node.list", json!({}))["nodes"][0].clone();
    assert_eq!((&listed["commands"], &listed["approvalState"]), (&json!([]), &json!("pending-approval")));
    assert_eq!(listed["pendingRequestId"], id);
    let mut reader = operator_with(&mut world, 4, &["operator.read"]);
    assert!(reader.ok(&mut world, "node.list", json!({}))["nodes"][0].get("pendingRequestId").is_none());

    let inventory =
        json!({"protocolFeatures": ["node-worker-supervisor-v6"], "workerHost": {"enabled": false}});
    let error = node.error(&mut world, "node.runnerInventory.update", inventory.clone());
    assert_eq!(error["code"], "UNAVAILABLE", "so the node tries again");
    assert!(error["message"].as_str().unwrap().contains(id.as_str().unwrap()));
    let error = admin.error(
        &mut world,
        "node.invoke",
        json!({"nodeId": Device::new(1).id(), "command": "system.which", "idempotencyKey": "k"}),
    );
    assert_eq!(error["details"]["reason"], "node did not declare commands");

    let answer = admin.ok(&mut world, "node.pair.approve", json!({"requestId": id}));
    assert_eq!(answer["node"]["commands"], json!(["browser.proxy", "system.run", "system.which"]));
    assert!(answer["node"].get("token").is_none());
    node.receive(&mut world);
    assert_eq!(node.events("node.pair.resolved")[0]["payload"]["decision"], "approved");
    assert_eq!(admin.events("node.pair.resolved").len(), 1);
    let answer = node.ok(&mut world, "node.runnerInventory.update", inventory);
    assert_eq!(answer, json!({"nodeId": Device::new(1).id()}));
    assert_eq!(admin.ok(&mut world, "node.list", json!({}))["nodes"][0]["approvalState"], "approved");

    let error = node.error(&mut world, "node.list", json!({}));
    assert_eq!(error["message"], "unauthorized role: node");
    let answer = admin.ok(&mut world, "node.pair.remove", json!({"nodeId": Device::new(1).id()}));
    assert_eq!(answer, json!({"nodeId": Device::new(1).id()}));
    node.receive(&mut world);
    assert_eq!(node.close, Some((1008, "device removed".to_owned())));
}

/// What the node host of 2026.9.6 calls right after hello must leave it content.
#[test]
fn the_calls_of_a_newer_node_host_are_taken() {
    let mut world = World::token();
    let mut node = node(&mut world, 1, 4);
    let id = Device::new(1).id();
    let stats = json!({"event": "node.host.stats", "payloadJSON": "{\"cpuCount\":2}"});
    assert_eq!(node.ok(&mut world, "node.event", stats), json!({"ok": true}));
    let inventory =
        json!({"protocolFeatures": ["node-worker-supervisor-v6"], "workerHost": {"enabled": false}});
    assert_eq!(node.ok(&mut world, "node.runnerInventory.update", inventory), json!({"nodeId": id}));
    let skills = json!({"skills": []});
    assert_eq!(node.ok(&mut world, "node.skills.update", skills), json!({"nodeId": id, "skills": []}));
    let tools = json!({"tools": [{"name": "x"}]});
    assert_eq!(
        node.ok(&mut world, "node.pluginTools.update", tools),
        json!({"nodeId": id, "tools": [{"name": "x"}]})
    );
    let error = node.error(&mut world, "node.skills.update", json!({"skills": 1}));
    assert_eq!(error["message"], "invalid node.skills.update params: at /skills: must be array");
    assert_eq!(node.ok(&mut world, "node.pending.pull", json!({})), json!({"nodeId": id, "actions": []}));
    let acked = node.ok(&mut world, "node.pending.ack", json!({"ids": ["a", "a", "b"]}));
    assert_eq!(acked, json!({"nodeId": id, "ackedIds": ["a", "b"], "remainingCount": 0}));
    for method in ["node.canvas.capability.refresh", "node.pluginSurface.refresh"] {
        assert_eq!(node.error(&mut world, method, json!({}))["code"], "UNAVAILABLE");
    }
}

#[test]
fn work_waits_for_a_node() {
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 1, 3));
    let id = Device::new(1).id();
    let queued = admin.ok(
        &mut world,
        "node.pending.enqueue",
        json!({"nodeId": id, "type": "location.request", "priority": "high"}),
    );
    assert_eq!((&queued["revision"], &queued["wakeTriggered"]), (&json!(1), &json!(false)));
    assert_eq!(queued["queued"]["type"], "location.request");
    let drained = node.ok(&mut world, "node.pending.drain", json!({"maxItems": 1}));
    assert_eq!((&drained["nodeId"], &drained["items"][0]["id"]), (&json!(id), &queued["queued"]["id"]));
    assert_eq!(drained["hasMore"], true);
    let drained = node.ok(&mut world, "node.pending.drain", json!({}));
    assert_eq!(drained["items"][0]["id"], "baseline-status");
    let error =
        admin.error(&mut world, "node.pending.enqueue", json!({"nodeId": "x", "type": "status.request"}));
    assert_eq!(error["message"], "unknown nodeId");
    let error = admin.error(&mut world, "node.pending.enqueue", json!({"nodeId": id, "type": "x"}));
    assert!(error["message"].as_str().unwrap().contains("must be one of status.request, location.request"));
}

#[test]
fn the_browser_is_asked_through_the_only_node_that_has_one() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 4);
    let request = json!({"method": "get", "path": "/", "timeoutMs": 45000, "query": {"profile": "p"}});
    let error = admin.error(&mut world, "browser.request", request.clone());
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("no browser-capable node or OpenClaw runtime is connected")
    );

    let mut node = node(&mut world, 1, 4);
    send(&mut world, &mut admin, "b", "browser.request", request.clone());
    let asked = asked(&mut world, &mut node);
    assert_eq!(
        (&asked["payload"]["command"], &asked["payload"]["timeoutMs"]),
        (&json!("browser.proxy"), &json!(45000))
    );
    let params: Value = serde_json::from_str(asked["payload"]["paramsJSON"].as_str().unwrap()).unwrap();
    assert_eq!(
        params,
        json!({"method": "GET", "path": "/", "query": {"profile": "p"}, "timeoutMs": 45000, "profile": "p"})
    );
    let text = r#"{"result":{"enabled":true,"running":null},"files":[]}"#;
    let told =
        json!({"id": asked["payload"]["id"], "nodeId": Device::new(1).id(), "ok": true, "payloadJSON": text});
    node.ok(&mut world, "node.invoke.result", told);
    admin.receive(&mut world);
    assert_eq!(admin.answer("b")["payload"], json!({"enabled": true, "running": null}));

    send(&mut world, &mut admin, "b", "browser.request", request.clone());
    answer(&mut world, &mut node, json!({"payloadJSON": "{\"other\":1}"}));
    admin.receive(&mut world);
    assert_eq!(admin.answer("b")["error"]["message"], "browser proxy failed");

    let _second = self::node(&mut world, 2, 4);
    let error = admin.error(&mut world, "browser.request", request);
    assert!(error["message"].as_str().unwrap().starts_with("2 browser-capable nodes are connected"));
    let cases = [
        (json!({"path": "/"}), "method and path are required"),
        (json!({"method": "PUT", "path": "/"}), "method must be GET, POST, or DELETE"),
        (
            json!({"method": "DELETE", "path": "profiles/x/"}),
            "browser.request cannot create or delete persistent browser profiles",
        ),
        (
            json!({"method": "POST", "path": "/profiles/create"}),
            "browser.request cannot create or delete persistent browser profiles",
        ),
    ];
    for (params, message) in cases {
        let error = admin.error(&mut world, "browser.request", params);
        assert_eq!((&error["code"], &error["message"]), (&json!("INVALID_REQUEST"), &json!(message)));
    }
}

#[test]
fn the_settings_choose_the_browser_and_hold_commands_back() {
    let config =
        |nodes: &str| format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}, nodes: {nodes}}}}}");
    let mut world = World::new(&config("{browser: {node: 'Desk'}}"), "{}");
    let mut admin = operator(&mut world, 3);
    let request = json!({"method": "GET", "path": "/"});
    let error = admin.error(&mut world, "browser.request", request.clone());
    assert_eq!(error["message"], "the browser node of gateway.nodes.browser.node is not connected: Desk");
    let mut node = node(&mut world, 1, 3);
    send(&mut world, &mut admin, "b", "browser.request", request.clone());
    asked(&mut world, &mut node);
    for (nodes, message) in [
        ("{browser: {mode: 'off'}}", "gateway.nodes.browser.mode is off"),
        ("{browser: {mode: 'manual'}}", "gateway.nodes.browser.mode is manual"),
        ("{denyCommands: ['browser.proxy']}", "node command not allowed"),
    ] {
        world.reload(&config(nodes), "{}");
        let error = admin.error(&mut world, "browser.request", request.clone());
        assert!(error["message"].as_str().unwrap().starts_with(message), "{error}");
    }
}

#[test]
fn a_node_of_the_older_kind_pairs_by_itself() {
    let mut world = World::token();
    let mut admin = operator(&mut world, 3);
    let ask =
        json!({"nodeId": "legacy-node", "displayName": "L", "platform": "linux", "commands": ["system.run"]});
    let asked = admin.ok(&mut world, "node.pair.request", ask.clone());
    assert_eq!((&asked["status"], &asked["created"]), (&json!("pending"), &json!(true)));
    assert_eq!(admin.events("node.pair.requested")[0]["payload"], asked["request"]);
    let again = admin.ok(&mut world, "node.pair.request", ask);
    assert_eq!(
        (&again["created"], &again["request"]["requestId"]),
        (&json!(false), &asked["request"]["requestId"])
    );
    let list = admin.ok(&mut world, "node.pair.list", json!({}));
    assert_eq!(list["pending"].as_array().unwrap().len(), 1);
    let approved =
        admin.ok(&mut world, "node.pair.approve", json!({"requestId": asked["request"]["requestId"]}));
    let token = approved["node"]["token"].as_str().unwrap().to_owned();
    let verified = admin.ok(&mut world, "node.pair.verify", json!({"nodeId": "legacy-node", "token": token}));
    assert_eq!((&verified["ok"], &verified["node"]["displayName"]), (&json!(true), &json!("L")));
    let wrong = admin.ok(&mut world, "node.pair.verify", json!({"nodeId": "legacy-node", "token": "x"}));
    assert_eq!(wrong, json!({"ok": false}));
    let renamed =
        admin.ok(&mut world, "node.rename", json!({"nodeId": "legacy-node", "displayName": " shed "}));
    assert_eq!(renamed, json!({"nodeId": "legacy-node", "displayName": "shed"}));
    assert_eq!(admin.ok(&mut world, "node.list", json!({}))["nodes"][0]["displayName"], "shed");
    assert_eq!(
        admin.error(&mut world, "node.rename", json!({"nodeId": "x", "displayName": "y"}))["message"],
        "unknown nodeId"
    );
    let store = String::from_utf8(world.store.clone().unwrap()).unwrap();
    assert!(!store.contains(&token));
    let huge = json!({"nodeId": "n", "displayName": "x".repeat(limits::NODE_ASK_BYTES_MAX)});
    let error = admin.error(&mut world, "node.pair.request", huge);
    assert!(error["message"].as_str().unwrap().starts_with("invalid node.pair.request params: more than"));
}

/// A silent node and a gone caller leave nothing behind.
#[test]
fn a_callers_end_ends_its_calls() {
    let mut world = World::token();
    let (mut admin, mut node) = (operator(&mut world, 3), node(&mut world, 1, 3));
    invoke(&mut world, &mut admin, "system.which");
    let request = asked(&mut world, &mut node);
    world.handle(Input::Lost { conn: admin.conn });
    let told = json!({"id": request["payload"]["id"], "nodeId": Device::new(1).id(), "ok": true});
    assert_eq!(node.ok(&mut world, "node.invoke.result", told), json!({"ok": true, "ignored": true}));
    let deadline = world.gateway.deadline().unwrap();
    assert!(deadline > world.now.mono, "no deadline of the past is left");
    world.sleep(Duration::from_secs(1));
}

fn operator(world: &mut World, protocol: u32) -> Client {
    operator_with(world, protocol, ALL)
}

fn operator_with(world: &mut World, protocol: u32, scopes: &[&str]) -> Client {
    let mut client = Client::open(world);
    client.nonce();
    let hello = client.connect(world, cli(protocol, scopes));
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

fn remote(world: &mut World) -> Client {
    let peer = Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None };
    Client::open_with(world, peer, "Host: 127.0.0.1:18789\r\nX-Forwarded-For: 203.0.113.9\r\n")
}

/// A local node host.
fn node(world: &mut World, device: u8, protocol: u32) -> Client {
    let mut client = Client::open(world);
    let hello = connect_node(world, &mut client, device, protocol, COMMANDS);
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

fn connect_node(
    world: &mut World,
    client: &mut Client,
    device: u8,
    protocol: u32,
    commands: &[&str],
) -> Value {
    let params = json!({
        "minProtocol": protocol, "maxProtocol": protocol,
        "client": {"id": "node-host", "displayName": "desk", "version": "1.0.0", "platform": "linux", "mode": "node"},
        "role": "node", "scopes": [], "caps": ["system", "browser"], "commands": commands, "pathEnv": "/usr/bin",
        "auth": {"token": TOKEN},
    });
    let nonce = client.nonce();
    let params = Device::new(device).sign(params, &nonce, world.now.unix_ms);
    client.connect(world, params)
}

fn send(world: &mut World, client: &mut Client, id: &str, method: &str, params: Value) {
    client.send(world, &json!({"type": "req", "id": id, "method": method, "params": params}).to_string());
}

/// A call of the first node under the id `i`.
fn invoke(world: &mut World, client: &mut Client, command: &str) {
    let params = json!({"nodeId": Device::new(1).id(), "command": command, "idempotencyKey": "k"});
    send(world, client, "i", "node.invoke", params);
}

/// The call that a node was sent.
fn asked(world: &mut World, node: &mut Client) -> Value {
    node.receive(world);
    node.events("node.invoke.request").pop().expect("a call")
}

/// Lets a node answer its call with these members.
fn answer(world: &mut World, node: &mut Client, told: Value) {
    let request = asked(world, node);
    let mut params =
        json!({"id": request["payload"]["id"], "nodeId": request["payload"]["nodeId"], "ok": true});
    for (key, value) in told.as_object().unwrap() {
        params[key] = value.clone();
    }
    node.ok(world, "node.invoke.result", params);
}
