//! Calls that go to the runtime: what is ours is changed, and nothing else.

use loopgate::limits;
use serde_json::{Value, json};

use crate::bench::{ALL, Bench, answered};
use crate::common::OWNER;
use crate::runtime::{Manner, Runtime};

/// Spelled as no writer of JSON would: whoever parses it and writes it again is found out.
const ODD: &str = r#"{ "b":1.50,"a" : [1e2,"\u0041\/",{}],"b":12345678901234567890123,"π":"\ud83d\ude00"  }"#;

#[test]
fn params_and_payloads_pass_byte_for_byte_under_ids_of_ours() {
    for (own, runtime) in [(4, 4), (3, 4), (4, 3), (3, 3)] {
        let mut bench = Bench::with(Runtime::new(runtime, OWNER));
        let (mut client, name) = bench.client(own, ALL);
        client.texts = Some(Vec::new());
        for id in ["1", "a longer one", r"\u0022quoted\u0022 \\", "日本"] {
            bench.ask(&mut client, id, "wizard.start", ODD);
            let asked = bench.asked(&name);
            assert_eq!(
                asked.text,
                format!(r#"{{"type":"req","id":"{}","method":"wizard.start","params":{ODD}}}"#, asked.id)
            );
            assert!(asked.id.parse::<u64>().is_ok(), "{}", asked.id);
            assert!(!answered(&client, id));
            bench.answer(&name, &mut client, &asked, ODD);
            let seen: Value = serde_json::from_str(&format!("\"{id}\"")).unwrap();
            assert_eq!(client.answer(seen.as_str().unwrap())["ok"], true);
            let text = client.texts.as_ref().unwrap().last().unwrap();
            assert!(text.ends_with(&format!(r#","ok":true,"payload":{ODD}}}"#)), "{text}");
        }
    }
}

#[test]
fn a_call_without_params_goes_without() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    client.send(&mut bench.world, r#"{"type":"req","id":"1","method":"wizard.start"}"#);
    bench.turn();
    let asked = bench.asked(&name);
    assert_eq!(asked.text, format!(r#"{{"type":"req","id":"{}","method":"wizard.start"}}"#, asked.id));
    // As it waits for a leg, too.
    bench.break_leg(&name);
    client.send(&mut bench.world, r#"{"type":"req","id":"2","method":"wizard.start"}"#);
    bench.sleep(limits::RUNTIME_RETRY);
    assert!(!bench.asked(&name).text.contains("params"));
}

/// Two clients use the same ids, the runtime answers in another order, and twice, and what nobody has asked.
#[test]
fn every_answer_finds_its_call_and_no_other() {
    let mut bench = Bench::new();
    let ((mut one, first), (mut two, second)) = (bench.client(4, ALL), bench.client(3, ALL));
    for id in ["a", "b", "c"] {
        bench.ask(&mut one, id, "wizard.next", &format!(r#"{{"of":"one","id":"{id}"}}"#));
        bench.ask(&mut two, id, "wizard.next", &format!(r#"{{"of":"two","id":"{id}"}}"#));
    }
    for name in [&second, &first] {
        let mut asked: Vec<_> = bench.runtime.leg(name).asked.drain(..).collect();
        let mut ids: Vec<&str> = asked.iter().map(|asked| &*asked.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        asked.reverse();
        for ask in asked {
            let request: Value = serde_json::from_str(&ask.text).unwrap();
            let text =
                format!(r#"{{"type":"res","id":"{}","ok":true,"payload":{}}}"#, ask.id, request["params"]);
            for _ in 0..2 {
                bench.say(name, &text);
            }
        }
        for id in ["", "0", "99", "connect", "-1", "x"] {
            bench
                .say(name, &format!(r#"{{"type":"res","id":"{id}","ok":true,"payload":{{"of":"nobody"}}}}"#));
        }
    }
    for (client, of) in [(&mut one, "one"), (&mut two, "two")] {
        client.receive(&mut bench.world);
        for id in ["a", "b", "c"] {
            assert_eq!(client.answer(id)["payload"], json!({"of": of, "id": id}));
        }
        assert!(client.frames.iter().all(|frame| frame["type"] != "res"), "{:?}", client.frames);
    }
}

#[test]
fn agents_and_approvals_answer_twice() {
    for (method, first) in [
        ("agent", r#"{"status":"accepted","runId":"r"}"#),
        ("exec.approval.request", r#"{ "id":"x", "status" :"accepted"}"#),
        ("plugin.approval.request", r#"{"status":"accepted"}"#),
    ] {
        let mut bench = Bench::new();
        let (mut client, name) = bench.client(4, ALL);
        bench.ask(&mut client, "1", method, r#"{"message":"x","idempotencyKey":"k"}"#);
        let asked = bench.asked(&name);
        bench.answer(&name, &mut client, &asked, first);
        assert_eq!(client.answer("1")["payload"]["status"], "accepted");
        // The second may come with an error and a payload.
        let late = format!(
            r#"{{"type":"res","id":"{}","ok":false,"payload":{{"status":"error"}},"error":{{"code":"UNAVAILABLE","message":"m"}}}}"#,
            asked.id
        );
        bench.say(&name, &late);
        client.receive(&mut bench.world);
        let last = client.answer("1");
        assert_eq!((&last["ok"], &last["payload"]["status"]), (&json!(false), &json!("error")), "{last}");
        bench.say(&name, &late);
        client.receive(&mut bench.world);
        assert!(!answered(&client, "1"), "two answers are all");

        // One answer is enough if it is the last.
        bench.ask(&mut client, "2", method, "{}");
        let asked = bench.asked(&name);
        bench.answer(&name, &mut client, &asked, r#"{"status":"ok"}"#);
        assert_eq!(client.answer("2")["payload"]["status"], "ok");
        bench.answer(&name, &mut client, &asked, r#"{"status":"ok"}"#);
        assert!(!answered(&client, "2"));
    }
    // Where one answer is all, `accepted` is as good as any other.
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "wizard.start", "{}");
    let asked = bench.asked(&name);
    bench.answer(&name, &mut client, &asked, r#"{"status":"accepted"}"#);
    client.answer("1");
    bench.answer(&name, &mut client, &asked, r#"{"status":"ok"}"#);
    assert!(!answered(&client, "1"));
}

#[test]
fn the_runtimes_error_stays_the_runtimes_error() {
    let error = r#"{"code":"MADE_UP", "message":"no","details":{"b":1.50},"retryable":false,"newKey":[1]}"#;
    for (own, runtime) in [(4, 4), (3, 3), (3, 4), (4, 3)] {
        let mut bench = Bench::with(Runtime::new(runtime, OWNER));
        let (mut client, name) = bench.client(own, ALL);
        client.texts = Some(Vec::new());
        bench.ask(&mut client, "1", "wizard.start", "{}");
        let asked = bench.asked(&name);
        bench.fail(&name, &asked, error);
        client.receive(&mut bench.world);
        let answer = client.answer("1");
        assert_eq!((&answer["ok"], &answer["error"]["message"]), (&json!(false), &json!("no")));
        assert_eq!(answer["error"]["code"], "MADE_UP");
        let text = client.texts.as_ref().unwrap().last().unwrap();
        if own == runtime {
            assert!(text.ends_with(&format!(r#","ok":false,"error":{error}}}"#)), "{text}");
        } else {
            // A client of the other protocol takes the keys alone that both know.
            assert!(
                answer["error"].get("newKey").is_none() && answer["error"]["retryable"] == false,
                "{text}"
            );
        }
    }
}

/// A code that clients of protocol 3 do not take, where it came with particulars of its own.
#[test]
fn an_older_client_hears_of_what_is_forbidden_in_its_own_words() {
    let error = r#"{"code":"FORBIDDEN","message":"not yours","details":{"code":"NEW"}}"#;
    for (own, runtime, code, details) in
        [(3, 4, "INVALID_REQUEST", Value::Null), (4, 4, "FORBIDDEN", json!({"code": "NEW"}))]
    {
        let mut bench = Bench::with(Runtime::new(runtime, OWNER));
        let (mut client, name) = bench.client(own, ALL);
        bench.ask(&mut client, "1", "wizard.start", "{}");
        let asked = bench.asked(&name);
        bench.fail(&name, &asked, error);
        client.receive(&mut bench.world);
        let heard = client.answer("1")["error"].clone();
        assert_eq!((&heard["code"], &heard["details"]), (&json!(code), &details));
    }
}

#[test]
fn what_is_denied_here_is_not_asked_there() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, &["operator.read"]);
    for method in ["wizard.start", "chat.send", "no.such.method", "cron.add"] {
        bench.ask(&mut client, "1", method, "{}");
        let error = &client.answer("1")["error"];
        assert!(error["message"].as_str().unwrap().contains("missing scope"), "{method}: {error}");
        bench.asked_nothing(&name);
    }
    bench.ask(&mut client, "2", "cron.list", "{}");
    assert_eq!(bench.asked(&name).method, "cron.list");
}

#[test]
fn the_gates_own_matters_are_not_the_runtimes() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    for (method, params) in
        [("system-presence", "{}"), ("device.pair.list", "{}"), ("node.list", "{}"), ("connect", "{}")]
    {
        bench.ask(&mut client, "1", method, params);
        let answer = client.answer("1");
        assert!(answer["payload"].get("loopgate").is_none(), "{answer}");
        bench.asked_nothing(&name);
    }
}

#[test]
fn a_name_that_no_table_has_goes_to_the_runtime_of_an_admin() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    bench.ask(&mut client, "1", "plugin.made\\u0020up", ODD);
    let asked = bench.asked(&name);
    assert_eq!(asked.method, "plugin.made up");
    assert!(asked.text.ends_with(&format!(r#","params":{ODD}}}"#)), "{}", asked.text);
    bench.answer(&name, &mut client, &asked, "{}");
    assert_eq!(client.answer("1")["ok"], true);
}

/// An older runtime does not know what a newer client asks; what the gate knows it answers, and says so.
#[test]
fn a_method_that_the_runtime_does_not_know_is_answered_here_if_it_can_be() {
    let mut bench = Bench::with(Runtime::new(3, OWNER));
    let (mut client, name) = bench.client(4, ALL);
    let unknown =
        |method: &str| format!(r#"{{"code":"INVALID_REQUEST","message":"unknown method: {method}"}}"#);
    bench.ask(&mut client, "1", "tasks.list", "{}");
    let asked = bench.asked(&name);
    bench.fail(&name, &asked, &unknown("tasks.list"));
    client.receive(&mut bench.world);
    let answer = client.answer("1");
    assert_eq!(
        (&answer["ok"], &answer["payload"]["loopgate"]["answeredBy"]),
        (&json!(true), &json!("loopgate"))
    );
    for method in ["wizard.start", "set-heartbeats"] {
        bench.ask(&mut client, "2", method, "{}");
        let asked = bench.asked(&name);
        bench.fail(&name, &asked, &unknown(method));
        client.receive(&mut bench.world);
        let answer = client.answer("2");
        assert_eq!(answer["error"]["message"], format!("unknown method: {method}"), "it stays the runtime's");
    }
}

/// An older runtime tells those without admin that they lack it, where it does not know the method.
#[test]
fn who_lacks_nothing_is_not_told_so() {
    let mut bench = Bench::with(Runtime::new(3, OWNER));
    let (mut client, name) = bench.client(4, &["operator.read"]);
    for (method, want) in [
        ("hooks.status", "unknown method: hooks.status"),
        // One that it knows, and of which it says what is so.
        ("tts.providers", "missing scope: operator.admin"),
    ] {
        bench.ask(&mut client, "1", method, "{}");
        let asked = bench.asked(&name);
        bench.fail(&name, &asked, r#"{"code":"INVALID_REQUEST","message":"missing scope: operator.admin"}"#);
        client.receive(&mut bench.world);
        assert_eq!(client.answer("1")["error"]["message"], want);
    }
}

/// What the table of differences says is done to the calls themselves.
#[test]
fn calls_and_answers_are_put_into_the_other_protocol() {
    let mut bench = Bench::with(Runtime::new(3, OWNER));
    let ((mut newer, name), (mut equal, second)) = (bench.client(4, ALL), bench.client(3, ALL));
    for (client, name, params, revision) in [
        (&mut newer, &name, r#""params":{"limit":7}}"#, json!("2 jobs")),
        (&mut equal, &second, r#""params":{"limit":7,"compact":true}}"#, Value::Null),
    ] {
        bench.ask(client, "1", "cron.list", r#"{"limit":7,"compact":true}"#);
        let asked = bench.asked(name);
        assert!(asked.text.ends_with(params), "{}", asked.text);
        bench.answer(name, client, &asked, r#"{"jobs":[],"total":2}"#);
        let payload = client.answer("1")["payload"].clone();
        assert_eq!((&payload["total"], &payload["snapshotRevision"]), (&json!(2), &revision));
    }
}

/// 2026.9.6 says so to whoever calls while it ends, and has done nothing.
#[test]
fn a_call_that_a_runtime_refuses_as_it_ends_waits_for_the_next() {
    let refusal = |reason: &str| {
        json!({"code": "UNAVAILABLE", "message": "restarting", "retryable": true, "details": {"reason": reason}})
            .to_string()
    };
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    for (id, method) in [("read", "status"), ("call", "wizard.start"), ("other", "wizard.start")] {
        bench.ask(&mut client, id, method, r#"{"n":1.50}"#);
        let asked = bench.asked(&name);
        let reason = if id == "other" { "something-else" } else { "gateway-restarting" };
        bench.fail(&name, &asked, &refusal(reason));
        client.receive(&mut bench.world);
    }
    assert_eq!(client.answer("read")["payload"]["loopgate"]["answeredBy"], "loopgate");
    assert_eq!(client.answer("other")["error"]["message"], "restarting", "it stays the runtime's");
    bench.asked_nothing(&name);
    assert!(!answered(&client, "call"));
    bench.die(false);
    bench.runtime.manner = Manner::Serves;
    bench.sleep(limits::RUNTIME_RETRY);
    client.receive(&mut bench.world);
    assert!(!answered(&client, "call"), "no runtime has begun it");
    let asked = bench.asked(&name);
    assert!(asked.text.ends_with(r#""params":{"n":1.50}}"#), "{}", asked.text);
    bench.answer(&name, &mut client, &asked, "{}");
    assert_eq!(client.answer("call")["ok"], true);
    // What is too large to be kept is not kept: whose it is hears the runtime's own word.
    let large = format!("\"{}\"", "x".repeat(limits::CALL_KEPT_BYTES_MAX));
    bench.ask(&mut client, "large", "wizard.start", &large);
    let asked = bench.asked(&name);
    bench.fail(&name, &asked, &refusal("gateway-restarting"));
    client.receive(&mut bench.world);
    assert_eq!(client.answer("large")["error"]["message"], "restarting");
}

#[test]
fn a_client_hears_what_gate_and_runtime_serve() {
    let mut bench = Bench::new();
    let mut client = crate::common::Client::open(&mut bench.world);
    client.nonce();
    let hello = client.connect(&mut bench.world, crate::common::client::cli(4, ALL));
    let methods = hello["payload"]["features"]["methods"].as_array().unwrap().clone();
    for (method, served) in
        [("wizard.start", true), ("agent", true), ("node.list", true), ("talk.mode", false)]
    {
        assert_eq!(methods.contains(&json!(method)), served, "{method}");
    }
    let events = hello["payload"]["features"]["events"].as_array().unwrap();
    assert!(events.contains(&json!("chat")) && events.contains(&json!("tick")));
}

/// The largest message there is, in both directions, in pieces as sockets give them.
#[test]
fn twenty_five_million_bytes_pass() {
    let mut bench = Bench::new();
    let (mut client, name) = bench.client(4, ALL);
    client.texts = Some(Vec::new());
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(25 * 1024 * 1024 - 200));
    bench.ask(&mut client, "1", "wizard.start", &large);
    let asked = bench.asked(&name);
    assert!(asked.text.contains(&large));
    let text = format!(r#"{{"type":"res","id":"{}","ok":true,"payload":{large}}}"#, asked.id);
    let bytes = bench.runtime.leg(&name).encode(&text);
    let conn = bench.runtime.leg(&name).conn;
    for piece in bytes.chunks(60_000) {
        bench.world.bytes(conn, piece);
    }
    client.receive(&mut bench.world);
    assert!(client.texts.as_ref().unwrap().last().unwrap().contains(&large));
    assert!(client.close.is_none());
    bench.turn();
}
