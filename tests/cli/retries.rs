//! When it tries again, and when it does not.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Folder, Gateway, Peer, Script, against, answering, closing, command, dropping, failing, finish, loopgate,
    refusing,
};

/// `UNAVAILABLE`, worth another try.
fn busy(after_ms: Value) -> Value {
    json!({"code": "UNAVAILABLE", "message": "gateway starting; retry shortly", "retryable": true, "retryAfterMs": after_ms})
}

fn well() -> Script {
    answering("health", json!({"ok": true}))
}

/// A port where nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_gateway_that_is_being_started_is_waited_for() {
    let port = free_port();
    let starting = thread::spawn(move || {
        thread::sleep(Duration::from_millis(400));
        let gateway = Gateway::on(TcpListener::bind(("127.0.0.1", port)).unwrap(), vec![well()]);
        gateway.finished(1);
    });
    let run = loopgate(&["health", "--url", &format!("ws://127.0.0.1:{port}"), "--token", "t"]);
    assert_eq!(run.code, 0, "{run:?}");
    starting.join().unwrap();
}

#[test]
fn a_socket_that_appears_is_waited_for() {
    let home = Folder::new();
    let path = home.at("late.sock");
    let late = path.clone();
    let starting = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        Gateway::unix(&late, vec![well()]).finished(1);
    });
    let run = finish(command(&home, &["health", "--socket", path.to_str().unwrap()]));
    assert_eq!(run.code, 0, "{run:?}");
    starting.join().unwrap();
}

#[test]
fn patience_is_bounded_and_says_what_to_look_at() {
    let url = format!("ws://127.0.0.1:{}", free_port());
    let run = loopgate(&["health", "--url", &url, "--token", "t", "--wait", "0.4"]);
    assert_eq!(run.code, 69, "{run:?}");
    assert!(run.took >= Duration::from_millis(150) && run.took < Duration::from_secs(4), "{run:?}");
    assert!(run.err.contains("systemctl status loopgate.socket"), "{run:?}");
    assert!(run.err.contains("systemctl --user status loopgate.socket"), "{run:?}");
    assert!(run.err.contains("gave up after"), "{run:?}");
    let run = loopgate(&["health", "--url", &url, "--token", "t", "--wait", "0"]);
    assert_eq!(run.code, 69, "{run:?}");
    assert!(!run.err.contains("gave up"), "{run:?}");
}

#[test]
fn a_socket_without_listener_names_its_own_unit() {
    let home = Folder::new();
    drop(std::os::unix::net::UnixListener::bind(home.user_socket()).unwrap());
    let run = finish(command(&home, &["health", "--wait", "0"]));
    assert_eq!(run.code, 69, "{run:?}");
    assert!(run.err.contains("systemctl --user status") && !run.err.contains("systemctl status"), "{run:?}");
}

#[test]
fn a_starting_gateway_is_given_the_time_it_asks_for() {
    let run = against(vec![refusing(busy(json!(300)), 1013, "gateway starting"), well()], &["health"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.took >= Duration::from_millis(300), "{run:?}");
}

#[test]
fn a_wait_that_is_longer_than_patience_is_not_begun() {
    let run =
        against(vec![refusing(busy(json!(60_000)), 1013, "gateway starting")], &["health", "--wait", "1"]);
    assert_eq!(run.code, 75, "{run:?}");
    assert!(run.took < Duration::from_secs(1), "{run:?}");
}

#[test]
fn closes_of_a_restart_are_ridden_out_in_the_handshake() {
    let scripts = vec![
        closing(1012, "service restart"),
        closing(1013, "try again later"),
        closing(1011, "oops"),
        well(),
    ];
    let run = against(scripts, &["health"]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn what_reads_is_asked_again_after_a_restart() {
    let run = against(vec![dropping("health", 1012, "service restart"), well()], &["health"]);
    assert_eq!(run.code, 0, "{run:?}");
    let broken: Script = Box::new(|wire| {
        let (mut peer, _) = Peer::admit(wire);
        peer.request("health");
    });
    let run = against(vec![broken, well()], &["health"]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn what_changes_something_is_not_done_twice() {
    // One script only: a second attempt would find nobody and end with 69.
    let run = against(
        vec![dropping("device.pair.reject", 1012, "service restart")],
        &["devices", "reject", "r-1", "--json"],
    );
    assert_eq!(run.code, 75, "{run:?}");
    let error = run.error();
    assert_eq!(error["exit"], 75);
    assert_eq!(error["details"]["closeCode"], 1012);
    assert_eq!(error["details"]["closeReason"], "service restart");
    assert!(error["message"].as_str().unwrap().contains("may have been carried out"), "{error}");
    let run = against(vec![dropping("chat.send", 1012, "service restart")], &["call", "chat.send"]);
    assert_eq!(run.code, 75, "{run:?}");
}

#[test]
fn a_busy_answer_means_that_nothing_was_done() {
    let script: Script = Box::new(|wire| {
        let (mut peer, _) = Peer::admit(wire);
        for _ in 0..2 {
            let request = peer.request("device.pair.reject");
            peer.refuse(&request, &busy(json!(60)));
        }
        let request = peer.request("device.pair.reject");
        assert_eq!(request["params"], json!({"requestId": "r-1"}));
        peer.answer(&request, &json!({"requestId": "r-1", "deviceId": "d"}));
        peer.goodbye();
    });
    let run = against(vec![script], &["devices", "reject", "r-1"]);
    assert_eq!((run.code, run.out.as_str()), (0, "rejected request r-1\n"), "{run:?}");
}

#[test]
fn refusals_are_final() {
    let mismatch = json!({"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch",
        "details": {"code": "AUTH_TOKEN_MISMATCH"}});
    let unavailable = json!({"code": "UNAVAILABLE", "message": "no runtime", "retryable": false});
    let cases = [
        (refusing(mismatch, 1008, "unauthorized"), 77),
        (
            refusing(json!({"code": "NOT_PAIRED", "message": "pairing required"}), 1008, "pairing required"),
            77,
        ),
        (closing(1008, "slow consumer"), 77),
        (failing("health", json!({"code": "FORBIDDEN", "message": "missing scope: operator.read"})), 77),
        (failing("health", json!({"code": "INVALID_REQUEST", "message": "invalid health params: x"})), 1),
        (failing("health", unavailable), 1),
    ];
    for (script, code) in cases {
        // One script each: another attempt would end with 69.
        let run = against(vec![script], &["health"]);
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.took < Duration::from_secs(3), "{run:?}");
    }
}
