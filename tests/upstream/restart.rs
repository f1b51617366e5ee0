//! Another process of the gateway: what becomes of legs, and of the calls that wait on them.

use loopgate::limits;
use serde_json::json;

use crate::bench::{ALL, Bench, PORT, answered, openclaw, settings};
use crate::common::restart::Restart;

fn same() -> Restart {
    Restart::with(&openclaw(), &settings(Some(PORT)))
}

#[test]
fn a_call_goes_on_with_its_leg() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(3, ALL);
    bench.ask(&mut client, "1", "wizard.start", "{}");
    let asked = bench.asked(&name);
    bench.restart(same(), &mut [&mut client]);
    assert_eq!(bench.runtime.legs.len(), 2, "the same two");
    assert!(bench.world.gateway.status_line().ends_with("; runtime 2026.9.6"), "it was never away");
    bench.answer(&name, &mut client, &asked, r#"{"n":1}"#);
    assert_eq!(client.answer("1")["payload"], json!({"n": 1}));
    // No number is used twice.
    bench.ask(&mut client, "2", "wizard.start", "{}");
    let next = bench.asked(&name);
    assert_ne!(next.id, asked.id);
    let seq =
        |client: &crate::common::Client| client.frames.iter().filter_map(|frame| frame["seq"].as_u64()).max();
    let before = seq(&client);
    bench.say(&name, r#"{"type":"event","event":"chat","payload":{},"seq":1}"#);
    client.receive(&mut bench.world);
    let after = client.events("chat")[0]["seq"].as_u64().unwrap();
    assert!(before.is_none_or(|before| after == before + 1), "{before:?}, {after}: nothing was missed");
}

/// Its end is that of any other leg.
#[test]
fn calls_whose_leg_does_not_come_back_are_answered_once() {
    let mut bench = Bench::new();
    let ((mut client, name), (mut other, _)) = (bench.client(4, ALL), bench.client(4, ALL));
    for (id, method) in [("read", "status"), ("call", "wizard.start")] {
        bench.ask(&mut client, id, method, "{}");
        assert_eq!(bench.asked(&name).method, method);
    }
    bench.restart(same().without_legs(), &mut [&mut client, &mut other]);
    assert_eq!(client.answer("read")["payload"]["loopgate"]["answeredBy"], "loopgate");
    let error = client.answer("call")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("may have been executed"), "{error}");
    bench.sleep(limits::RUNTIME_RETRY);
    for (client, name) in [(&mut client, "c1"), (&mut other, "c2")] {
        bench.asked_nothing(name);
        bench.call(client, name, "wizard.start", "{}");
    }
}

#[test]
fn a_leg_goes_on_only_where_the_runtime_is_meant_to_be() {
    for port in [Some(PORT + 1), None] {
        let mut bench = Bench::new();
        let (mut client, name) = bench.client(4, ALL);
        bench.ask(&mut client, "1", "wizard.start", "{}");
        let old = bench.runtime.leg(&name).conn;
        bench.restart(Restart::with(&openclaw(), &settings(port)), &mut [&mut client]);
        bench.sleep(limits::LEG_CLOSING);
        client.receive(&mut bench.world);
        let error = client.answer("1")["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("may have been executed"), "{error}");
        assert!(!bench.runtime.legs.iter().any(|leg| leg.conn == old), "nobody is left at the old one");
        let line = bench.world.gateway.status_line();
        let want = if port.is_some() { "; runtime 2026.9.6" } else { "; no runtime" };
        assert!(line.ends_with(want), "{line}");
        bench.ask(&mut client, "2", "wizard.start", "{}");
        assert_eq!(
            answered(&client, "2"),
            port.is_none(),
            "there is nobody to ask, or the next one is asked"
        );
    }
}
