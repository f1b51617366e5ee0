//! What outlives a process, seen from the clients: planned restarts and broken-off connections against the production
//! gateway, without a machine.
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

#[path = "handover_core/calls.rs"]
mod calls;
mod common;
#[path = "handover_core/damage.rs"]
mod damage;
#[path = "handover_core/members.rs"]
mod members;
#[path = "handover_core/versions.rs"]
mod versions;

use common::client::{Device, cli};
use common::{Client, OWNER, TOKEN, World};
use loopgate::gateway::io::{Door, Peer};
use serde_json::{Value, json};

const ALL: &[&str] =
    &["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

/// An operator without a device, as the command line connects.
fn operator(world: &mut World, protocol: u32) -> Client {
    let mut client = Client::open(world);
    client.nonce();
    let hello = client.connect(world, cli(protocol, ALL));
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

/// One that is listed in presence.
fn listed(world: &mut World, protocol: u32, name: &str) -> Client {
    let mut client = Client::open(world);
    client.nonce();
    let mut params = cli(protocol, ALL);
    params["client"]["mode"] = json!("ui");
    params["client"]["instanceId"] = json!(name);
    let hello = client.connect(world, params);
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

/// A local client with a device, paired on the spot.
fn paired(world: &mut World, device: &Device) -> Client {
    let mut client = Client::open(world);
    let hello = connect_as(world, &mut client, device, cli(4, ALL));
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

fn connect_as(world: &mut World, client: &mut Client, device: &Device, params: Value) -> Value {
    let nonce = client.nonce();
    let params = device.sign(params, &nonce, world.now.unix_ms);
    client.connect(world, params)
}

/// A connection that came through a proxy: never approved without a person.
fn remote(world: &mut World) -> Client {
    let peer = Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None };
    Client::open_with(world, peer, "Host: 127.0.0.1:18789\r\nX-Forwarded-For: 203.0.113.9\r\n")
}

/// A local node host.
fn node(world: &mut World, protocol: u32) -> Client {
    let mut client = Client::open(world);
    let params = json!({
        "minProtocol": protocol, "maxProtocol": protocol,
        "client": {"id": "node-host", "displayName": "desk", "version": "1.0.0", "platform": "linux", "mode": "node"},
        "role": "node", "scopes": [], "caps": ["system"], "commands": ["system.run", "system.which"],
        "pathEnv": "/usr/bin", "auth": {"token": TOKEN},
    });
    let hello = connect_as(world, &mut client, &Device::new(NODE), params);
    assert_eq!(hello["ok"], true, "{hello}");
    client
}

fn send(world: &mut World, client: &mut Client, id: &str, method: &str, params: Value) {
    client.send(world, &json!({"type": "req", "id": id, "method": method, "params": params}).to_string());
}

/// The device that is a node.
const NODE: u8 = 2;
