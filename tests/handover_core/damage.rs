//! Records that are none: whatever is wrong with them, nothing panics, and what is resumed is a connection like any other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::client::Device;
use crate::common::restart::{head, record, tail};
use crate::common::{Client, OWNER, Seed, TOKEN, World, setup};
use crate::{listed, node, operator};
use loopgate::gateway::io::{Door, Input, Peer};
use loopgate::gateway::{Gateway, Heritage};
use loopgate::limits;

/// One record of each kind, and what was shared.
struct Sample {
    world: World,
    records: Vec<Vec<u8>>,
    shared: Vec<u8>,
}

fn sample() -> Sample {
    let mut world = World::token();
    let challenged = Client::open(&mut world);
    let mut admin = operator(&mut world, 4);
    let mut ui = listed(&mut world, 3, "one");
    let mut node = node(&mut world, 4);
    ui.ok(&mut world, "sessions.messages.subscribe", json!({"key": "agent:main:main"}));
    let params =
        json!({"nodeId": Device::new(crate::NODE).id(), "command": "system.which", "idempotencyKey": "k"});
    crate::send(&mut world, &mut admin, "i", "node.invoke", params);
    node.receive(&mut world);
    let half = ui.encode(r#"{"type":"req","id":"h","method":"health"}"#);
    world.bytes(ui.conn, &half[..20]);
    let mut wrong = Client::open(&mut world);
    wrong.nonce();
    let connect = wrong.encode(r#"{"type":"req","id":"c","method":"connect","params":{}}"#);
    world.bytes(wrong.conn, &connect);
    let head_part = world.accept();
    world.bytes(head_part, b"GET / HTTP/1.1\r\nHost: 127.0");
    let conns = [challenged.conn, admin.conn, ui.conn, node.conn, wrong.conn, head_part];
    let records = conns.map(|conn| world.gateway.record(conn).unwrap()).to_vec();
    let shared = world.gateway.share(true, world.now);
    Sample { world, records, shared }
}

impl Sample {
    fn successor(&self) -> Gateway {
        let openclaw = format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}");
        let store = self.world.store.as_deref();
        let now = self.world.now.later(Duration::from_millis(5));
        let mut next = Gateway::new(setup(&openclaw, "{}"), Box::new(Seed(3)), store, now).unwrap();
        next.count_from(self.world.epoch());
        next
    }

    /// Resumes what may be a record, and lives with it for a while. True if it was one.
    fn attempt(&self, next: &mut Gateway, heritage: &Heritage<'_>) -> bool {
        let mut now = self.world.now.later(Duration::from_millis(5));
        let Ok(id) = next.resume(2, heritage, now) else {
            next.check().unwrap();
            return false;
        };
        next.resumed(now);
        next.check().unwrap();
        now = now.later(Duration::from_secs(31));
        next.expire(now);
        next.check().unwrap();
        next.keep(id);
        next.handle(Input::Lost { conn: id }, now);
        while next.poll_output().is_some() {}
        next.check().unwrap();
        true
    }
}

fn mutations(bytes: &[u8], all: bool) -> impl Iterator<Item = Vec<u8>> + '_ {
    let steps: Vec<u8> = if all { (1..=u8::MAX).collect() } else { vec![1, 2, 4, 8, 16, 32, 64, 128] };
    (0..bytes.len()).flat_map(move |at| {
        steps.clone().into_iter().map(move |step| {
            let mut changed = bytes.to_vec();
            changed[at] ^= step;
            changed
        })
    })
}

#[test]
fn a_changed_record_is_refused_or_makes_a_whole_connection() {
    let sample = sample();
    let mut next = sample.successor();
    next.resume_shared(&sample.shared, sample.world.now).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for (index, record) in sample.records.iter().enumerate() {
        assert!(sample.attempt(&mut next, &Heritage::Saved { record }), "record {index} is whole");
        for (count, changed) in mutations(record, index == 0).enumerate() {
            let record = changed.as_slice();
            let heritage = match count % 3 {
                0 => Heritage::Saved { record },
                1 => Heritage::Rest { record, seq: 7, tick: 9 },
                _ => Heritage::Broken { record },
            };
            let whole = sample.attempt(&mut next, &heritage);
            *(if whole { &mut taken } else { &mut refused }) += 1;
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

#[test]
fn a_record_that_was_cut_off_or_goes_on_is_refused() {
    let sample = sample();
    let mut next = sample.successor();
    for whole in &sample.records {
        for length in 0..whole.len() {
            let record = &whole[..length];
            assert!(!sample.attempt(&mut next, &Heritage::Saved { record }), "{length} of {}", whole.len());
            assert!(!sample.attempt(&mut next, &Heritage::Broken { record }));
        }
        let record = [whole.as_slice(), b"x"].concat();
        assert!(!sample.attempt(&mut next, &Heritage::Saved { record: &record }));
    }
}

#[test]
fn what_is_shared_is_taken_whole_or_not_at_all() {
    let sample = sample();
    let now = sample.world.now;
    let mut next = sample.successor();
    for length in 0..sample.shared.len() {
        assert!(next.resume_shared(&sample.shared[..length], now).is_err(), "{length} bytes");
    }
    let fresh = sample.successor().share(true, now);
    assert_eq!(next.share(true, now), fresh, "nothing has changed");
    let (mut taken, mut refused) = (0, 0);
    for changed in mutations(&sample.shared, false) {
        match next.resume_shared(&changed, now) {
            Ok(()) => taken += 1,
            Err(why) => {
                assert!(!why.is_empty());
                refused += 1;
            }
        }
        // The calls in it are between connections that are not there.
        next.resumed(now);
        next.check().unwrap();
        next.expire(now);
        while next.poll_output().is_some() {}
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

#[test]
fn what_a_later_version_may_write_is_refused_with_its_name() {
    let sample = sample();
    let mut next = sample.successor();
    for (record_of, from, to) in [
        (0, r#""name":"challenged""#, r#""name":"hibernating""#),
        (0, r#""phase":"connect""#, r#""phase":"dreaming""#),
        (0, r#""door":"tcp""#, r#""door":"window""#),
        (1, r#""how":"token""#, r#""how":"smile""#),
        (1, r#""role":"operator""#, r#""role":"emperor""#),
        (1, r#""operator.admin""#, r#""operator.omnipotent""#),
    ] {
        let old = &sample.records[record_of];
        let text = head_text(old);
        assert!(text.contains(from), "{from} in {text}");
        let record = record(&text.replacen(from, to, 1), tail(old));
        let why = next.resume(2, &Heritage::Saved { record: &record }, sample.world.now).unwrap_err();
        let name = to.split('"').nth(3).or(to.split('"').nth(1)).unwrap();
        assert!(why.contains(name), "{why}");
        next.check().unwrap();
    }
}

/// Numbers at the end of their range.
#[test]
fn times_and_numbers_beyond_all_bounds_break_nothing() {
    let sample = sample();
    let mut next = sample.successor();
    for old in &sample.records {
        for place in [
            "/session/accepted",
            "/session/state/began",
            "/session/state/until",
            "/stage/nextTick",
            "/stage/nextPing",
            "/stage/roleViolations",
            "/stage/node/connectedAtMs",
            "/held/0",
            "/held/1",
        ] {
            for number in [0, u64::MAX, u64::MAX / 2] {
                let mut head = head(old);
                let Some(value) = head.pointer_mut(place) else { continue };
                *value = json!(number);
                let record = record(&head.to_string(), tail(old));
                sample.attempt(&mut next, &Heritage::Saved { record: &record });
            }
        }
    }
}

/// A stage that does not go with the phase of its session cannot have come about.
#[test]
fn stages_and_phases_that_do_not_go_together_are_refused() {
    let sample = sample();
    let mut next = sample.successor();
    let stages: Vec<Value> = sample.records.iter().map(|old| head(old)["stage"].clone()).collect();
    for (index, old) in sample.records.iter().enumerate() {
        for (other, stage) in stages.iter().enumerate() {
            let mut head = head(old);
            let same = head["stage"]["name"] == stage["name"];
            head["stage"] = stage.clone();
            let record = record(&head.to_string(), tail(old));
            let whole = sample.attempt(&mut next, &Heritage::Saved { record: &record });
            // What is said of one that is closing may be what it was before the peer's close.
            let closing = head["session"]["state"]["phase"] == "closing";
            assert_eq!(whole, same || closing, "the session of {index} in the stage of {other}");
        }
    }
}

#[test]
fn a_slot_is_one_that_there_is_and_for_one_connection() {
    let sample = sample();
    let (mut next, now) = (sample.successor(), sample.world.now);
    let saved = Heritage::Saved { record: &sample.records[1] };
    let peer = Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None };
    let fresh = Heritage::Fresh { peer, accepted: 0 };
    for slot in [u32::MAX, u32::try_from(limits::CONNECTIONS.max).unwrap()] {
        for heritage in [&saved, &fresh] {
            let why = next.resume(slot, heritage, now).unwrap_err();
            assert_eq!(why, format!("there is no slot {slot}"));
        }
    }
    next.resume(3, &saved, now).unwrap();
    for heritage in [&saved, &fresh] {
        assert_eq!(next.resume(3, heritage, now).unwrap_err(), "slot 3 is taken");
    }
    next.resumed(now);
    next.check().unwrap();
    for garbage in [&b""[..], b"x", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x02\0\0\0{}", b"\x04\0\0\0null"] {
        assert!(next.resume(4, &Heritage::Saved { record: garbage }, now).is_err());
        assert!(next.resume_shared(garbage, now).is_err());
    }
    next.check().unwrap();
}

fn head_text(record: &[u8]) -> String {
    let text = &record[4..record.len() - tail(record).len()];
    String::from_utf8(text.to_vec()).unwrap()
}
