//! `doctor` on whatever machine the tests run on: with systemd or without, it says something about every check, and
//! never a secret.

use std::net::TcpListener;

use loopgate::cli::doctor::CHECKS;

use crate::support::{Folder, command, finish, loopgate};

#[test]
fn every_check_has_its_say() {
    let home = Folder::new();
    home.write(".openclaw/openclaw.json", "{gateway: {auth: {mode: 'token', token: 'tok-canary'}}, nonsense");
    home.write(".openclaw/.env", "OPENCLAW_GATEWAY_TOKEN=tok-canary");
    home.write(".config/loopgate/loopgate.conf", "{no: 'tok-canary'}");
    let mut doctor = command(&home, &["doctor", "--json"]);
    doctor.env("OPENCLAW_GATEWAY_TOKEN", "tok-canary").env("OPENCLAW_GATEWAY_PASSWORD", "tok-canary");
    let run = finish(doctor);
    assert!(!format!("{run:?}").contains("canary"), "a secret is shown: {run:?}");
    let report = run.json();
    let names: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, CHECKS.iter().map(|check| check.name).collect::<Vec<_>>());
    assert_eq!(run.code == 0, report["ok"] == true, "{run:?}");
    for check in report["checks"].as_array().unwrap() {
        let status = check["status"].as_str().unwrap();
        assert!(["ok", "note", "warning", "fault", "skipped"].contains(&status), "{check}");
        assert_eq!(check["why"].is_string(), status == "skipped", "{check}");
        for finding in check["findings"].as_array().unwrap() {
            assert!(finding["text"].is_string() && finding["mend"].is_array(), "{finding}");
        }
    }
}

#[test]
fn whoever_holds_the_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Folder::new();
    let mut doctor = command(&home, &["doctor", "port"]);
    doctor.env("OPENCLAW_GATEWAY_PORT", listener.local_addr().unwrap().port().to_string());
    let run = finish(doctor);
    // Where an instance of loopgate is installed, its port is what counts.
    if !run.out.contains("18789") {
        assert_eq!(run.code, 1, "{run:?}");
        let pid = std::process::id();
        assert!(run.out.contains(&format!("process {pid} of user")), "{run:?}");
        assert!(run.out.contains(&format!("$ kill {pid}\n")), "{run:?}");
    }
}

#[test]
fn a_check_that_there_is_not_and_a_way_are_refused() {
    let unknown = loopgate(&["doctor", "no-such-check"]);
    assert_eq!(unknown.code, 64, "{unknown:?}");
    assert!(unknown.err.contains("possible values: port"), "{unknown:?}");
    let way = loopgate(&["doctor", "--url", "ws://127.0.0.1:1"]);
    assert_eq!(way.code, 64, "{way:?}");
}
