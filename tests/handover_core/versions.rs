//! An upgrade: what a former version has saved is understood by the present one.
//!
//! `tests/data/handover/1` holds what version 0.1.0 saves. It is never edited: a version that saves something else adds
//! a folder `2` with its own records ([`record_this_version`] makes them) and goes on to understand both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::client::{Device, cli};
use crate::common::restart::{head, record, tail};
use crate::common::{Client, Seed, TOKEN, World, setup};
use crate::{ALL, NODE, connect_as, node, operator, paired, remote, send};
use data_encoding::HEXLOWER;
use loopgate::gateway::io::Input;
use loopgate::gateway::{Gateway, Heritage};

/// Records by name: the text, and what was held. In the order of their slots.
const NAMES: [&str; 6] = ["challenged", "operator-v3", "subscriber-v4", "node", "mid-message", "leaving"];

/// A folder of records.
struct Saved {
    folder: PathBuf,
}

impl Saved {
    fn of(version: &str) -> Self {
        Self { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/handover").join(version) }
    }

    fn text(&self, name: &str) -> String {
        let path = self.folder.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    fn hex(&self, name: &str) -> Vec<u8> {
        let digits: String = self.text(name).split_whitespace().collect();
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }

    fn record(&self, name: &str) -> Vec<u8> {
        record(&self.text(&format!("{name}.json")), &self.hex(&format!("{name}.held.hex")))
    }

    /// A world in which the present version has gone on, and a client for each connection.
    fn resume(&self) -> (World, BTreeMap<&'static str, Client>) {
        let mut world = World::token();
        let moment = self.json("moment.json");
        world.now = world.now.later(Duration::from_micros(moment["micros"].as_u64().unwrap()));
        world.now.unix_ms = moment["unixMs"].as_u64().unwrap();
        let openclaw = format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}");
        let store = self.text("pairing.json");
        let seed = Box::new(Seed(5));
        let mut next = Gateway::new(setup(&openclaw, "{}"), seed, Some(store.as_bytes()), world.now).unwrap();
        next.count_from(world.epoch());
        next.resume_shared(self.text("shared.json").as_bytes(), world.now).unwrap();
        let mut clients = BTreeMap::new();
        for (slot, name) in (0..).zip(NAMES) {
            let old = self.record(name);
            let id = next.resume(slot, &Heritage::Saved { record: &old }, world.now).unwrap();
            let new = next.record(id).unwrap();
            assert_holds(name, &head(&new), &head(&old));
            assert_eq!(tail(&new), tail(&old), "{name}");
            let mut client = Client::on(id);
            client.status = Some(101);
            clients.insert(name, client);
        }
        next.resumed(world.now);
        next.check().unwrap();
        let shared = serde_json::from_slice(&next.share(true, world.now)).unwrap();
        assert_holds("shared", &shared, &self.json("shared.json"));
        world.gateway = next;
        world.settle();
        (world, clients)
    }
}

/// Everything of `old` is in `new` as it was; a later version may have added to it.
fn assert_holds(place: &str, new: &Value, old: &Value) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (key, value) in old {
                let found = new.get(key).unwrap_or(&Value::Null);
                assert_holds(&format!("{place}/{key}"), found, value);
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            assert_eq!(new.len(), old.len(), "{place}");
            for (index, (new, old)) in new.iter().zip(old).enumerate() {
                assert_holds(&format!("{place}/{index}"), new, old);
            }
        }
        _ => assert_eq!(new, old, "{place}"),
    }
}

#[test]
fn version_1_is_understood() {
    let saved = Saved::of("1");
    let (mut world, mut clients) = saved.resume();
    let mut take = |name: &str| clients.remove(name).unwrap();

    // The call that the node was asked before is answered.
    let (mut admin, mut node) = (take("operator-v3"), take("node"));
    let call = saved.json("shared.json")["invocations"][0].clone();
    let told = json!({"id": call["id"], "nodeId": call["nodeId"], "ok": true, "payloadJSON": "{}"});
    assert_eq!(node.ok(&mut world, "node.invoke.result", told), json!({"ok": true}));
    admin.receive(&mut world);
    assert_eq!(admin.answer(call["request"].as_str().unwrap())["ok"], true);

    let pending = admin.ok(&mut world, "device.pair.list", json!({}))["pending"].clone();
    assert_eq!(pending[0]["deviceId"], Device::new(5).id());
    let drained = node.ok(&mut world, "node.pending.drain", json!({}));
    assert_eq!(drained["items"][0]["type"], "location.request", "{drained}");

    // The challenge is still good.
    let nonce = saved.json("challenged.json")["stage"]["nonce"].clone();
    let params = Device::new(8).sign(cli(4, ALL), nonce.as_str().unwrap(), world.now.unix_ms);
    let hello = take("challenged").connect(&mut world, params);
    assert_eq!(hello["ok"], true, "{hello}");
    assert_eq!(hello["payload"]["server"]["bootId"], saved.json("shared.json")["bootId"]);

    let mut subscriber = take("subscriber-v4");
    let key = json!({"key": "agent:main:main"});
    subscriber.ok(&mut world, "sessions.messages.unsubscribe", key);

    // A frame that was half written and a message that was half read are finished.
    let mut middle = take("mid-message");
    middle.take_in(&saved.hex("mid-message.written.hex"));
    middle.receive(&mut world);
    assert_eq!(middle.answer("unheard")["ok"], true);
    world.bytes(middle.conn, &saved.hex("mid-message.unsent.hex"));
    middle.receive(&mut world);
    assert_eq!(middle.answer("half")["ok"], true);

    let mut leaving = take("leaving");
    leaving.receive(&mut world);
    assert_eq!(leaving.close.as_ref().map(|close| close.0), Some(1008));
    world.gateway.check().unwrap();
}

/// Saves records of this version into the folder that LOOPGATE_RECORD_HANDOVER names.
#[test]
#[ignore = "makes test data for a new version of what is saved"]
fn record_this_version() {
    let folder = PathBuf::from(std::env::var("LOOPGATE_RECORD_HANDOVER").expect("LOOPGATE_RECORD_HANDOVER"));
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), format!("{text}\n")).unwrap();
    let mut world = World::token();
    let challenged = Client::open(&mut world);
    let mut admin = operator(&mut world, 3);
    let mut subscriber = paired(&mut world, &Device::new(1));
    let mut node = node(&mut world, 4);
    let mut middle = operator(&mut world, 4);
    let mut leaving = Client::open(&mut world);
    fill(&mut world, &mut admin, &mut subscriber);
    node.receive(&mut world);
    world.sleep(Duration::from_micros(2_345_678));
    for client in [&mut admin, &mut subscriber, &mut node, &mut middle] {
        client.receive(&mut world);
    }
    leaving.nonce();
    let mut wrong = cli(3, ALL);
    wrong["auth"]["token"] = json!("tok-made-up-wrong");
    let text = json!({"type": "req", "id": "c", "method": "connect", "params": wrong}).to_string();
    let bytes = leaving.encode(&text);
    world.bytes(leaving.conn, &bytes);
    let unheard = middle.encode(r#"{"type":"req","id":"unheard","method":"last-heartbeat"}"#);
    world.bytes(middle.conn, &unheard);
    let written = world.gateway.outgoing(middle.conn)[..7].to_vec();
    world.handle(Input::Sent { conn: middle.conn, bytes: written.len() });
    let halves =
        (fragment(0x01, br#"{"type":"req","id":"half","#), fragment(0x80, br#""method":"last-heartbeat"}"#));
    world.bytes(middle.conn, &[&halves.0[..], &halves.1[..11]].concat());

    let conns = [&challenged, &admin, &subscriber, &node, &middle, &leaving].map(|client| client.conn);
    for ((slot, name), conn) in (0..).zip(NAMES).zip(conns) {
        assert_eq!(conn.slot, slot);
        let record = world.gateway.record(conn).unwrap();
        write(&format!("{name}.json"), &serde_json::to_string_pretty(&head(&record)).unwrap());
        write(&format!("{name}.held.hex"), &HEXLOWER.encode(tail(&record)));
    }
    let shared: Value = serde_json::from_slice(&world.gateway.share(true, world.now)).unwrap();
    write("shared.json", &serde_json::to_string_pretty(&shared).unwrap());
    write("pairing.json", String::from_utf8(world.store.clone().unwrap()).unwrap().trim_end());
    write("mid-message.written.hex", &HEXLOWER.encode(&written));
    write("mid-message.unsent.hex", &HEXLOWER.encode(&halves.1[11..]));
    let micros = u64::try_from(world.now.mono.duration_since(world.began().mono).as_micros()).unwrap();
    let moment = json!({"micros": micros, "unixMs": world.now.unix_ms});
    write("moment.json", &serde_json::to_string_pretty(&moment).unwrap());
}

/// Something of everything that is shared.
fn fill(world: &mut World, admin: &mut Client, subscriber: &mut Client) {
    subscriber.ok(world, "sessions.subscribe", json!({}));
    subscriber.ok(world, "sessions.messages.subscribe", json!({"key": "agent:main:main"}));
    subscriber.error(world, "node.event", json!({"event": "x"}));
    admin.ok(
        world,
        "system-event",
        json!({"text": "Node: desk (10.0.0.2) · app 1.2 · mode ui · reason beat"}),
    );
    admin.ok(world, "set-heartbeats", json!({"enabled": false}));
    let work =
        json!({"nodeId": Device::new(NODE).id(), "type": "location.request", "expiresInMs": 3_600_000});
    admin.ok(world, "node.pending.enqueue", work);
    for (device, token) in [(5, TOKEN), (6, "tok-made-up-wrong")] {
        let mut stranger = remote(world);
        let mut params = cli(4, &["operator.read"]);
        params["auth"]["token"] = json!(token);
        connect_as(world, &mut stranger, &Device::new(device), params);
        world.handle(Input::Lost { conn: stranger.conn });
    }
    let params = json!({"nodeId": Device::new(NODE).id(), "command": "system.which", "idempotencyKey": "k",
        "timeoutMs": 30_000});
    send(world, admin, "asked", "node.invoke", params);
}

/// A masked frame.
fn fragment(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [first, 0x80 | length].into_iter().chain(mask).chain(masked).collect()
}
