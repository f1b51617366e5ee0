//! A runtime that is away, ends in the middle, or says nothing; and a gate that stops.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::sync::{Mutex, mpsc};

use nix::sys::signal::Signal;

use crate::live::{Gate, PATIENCE, dial, http, until};
use crate::runtime::{Runtime, gate, read_head};

fn get(gate: &Gate, headers: &str) -> String {
    http(gate.port, &format!("GET /chat HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{headers}\r\n", gate.port))
}

#[test]
fn a_restart_answers_who_waits_and_keeps_what_is_owed() {
    let (release, hold) = mpsc::channel::<()>();
    let (taken, all) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let runtime = Runtime::start(move |asked| match asked.head.split(' ').nth(1) {
        // More than a peer who does not read is sent by the kernel's buffers.
        Some("/whole") => {
            let whole = "x".repeat(WHOLE);
            asked.say(&format!("HTTP/1.1 200 OK\r\n\r\n{whole}"));
            // The gate ends its side when it has taken all.
            asked.stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(asked.stream.read(&mut [0]).unwrap(), 0);
            taken.send(()).unwrap();
        }
        Some("/waiting") => hold.lock().unwrap().recv().unwrap_or_default(),
        _ => asked.say("HTTP/1.1 200 OK\r\n\r\n"),
    });
    let mut gate = Gate::kept_token(&format!("{{runtime: {{port: {}}}}}", runtime.port));
    let open = |path: &str| {
        let mut stream = dial(gate.port);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port).unwrap();
        stream
    };
    let (mut waiting, mut whole) = (open("/waiting"), open("/whole"));
    read_head(&mut whole);
    until("both have passed", || runtime.heads().len() == 2);
    all.recv_timeout(PATIENCE).unwrap();
    gate.renew(Signal::SIGTERM);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    answer.clear();
    whole.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.len(), WHOLE);
    assert!(get(&gate, "").starts_with("HTTP/1.1 "), "and the next process passes requests");
    drop(release);
}

const WHOLE: usize = 200 * 1024;

/// A port at which nobody listens.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn while_the_runtime_is_away_a_page_waits_for_it() {
    let port = free_port();
    let gate = gate(port, "");
    let page = get(&gate, "Accept: text/html,*/*\r\n");
    assert!(page.starts_with("HTTP/1.1 503 "), "{page}");
    for part in [
        "Retry-After: 2\r\n",
        "Cache-Control: no-store\r\n",
        "Content-Type: text/html",
        "http-equiv=refresh content=2",
    ] {
        assert!(page.contains(part), "{page}");
    }
    let json = get(&gate, "Accept: application/json\r\n");
    assert!(json.starts_with("HTTP/1.1 503 ") && json.contains("Retry-After: 2\r\n"), "{json}");
    let (_, body) = json.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["type"], "unavailable");
    gate.daemon.says(&[
        "could not be passed",
        "METHOD=GET",
        "PATH=/chat",
        "RULE=runtime-away",
        "CLOSE_CODE=503",
    ]);
    // The page is the runtime's as soon as it is there.
    let _runtime = Runtime::on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), |asked| {
        asked.say("HTTP/1.1 200 OK\r\n\r\nhere");
    });
    until("the runtime answers", || get(&gate, "").ends_with("here"));
}

#[test]
fn a_runtime_that_ends_without_a_word_is_told_as_such() {
    let runtime = Runtime::start(|_| ());
    let gate = runtime.gate();
    let answer = get(&gate, "");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    gate.daemon.says(&["could not be passed", "RULE=runtime-ended"]);
}

#[test]
fn an_answer_that_ends_in_the_middle_ends_there() {
    let runtime = Runtime::saying("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let gate = runtime.gate();
    assert_eq!(get(&gate, ""), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    // An answer that comes before the request is whole is an answer.
    let runtime = Runtime::saying("HTTP/1.1 413 Content Too Large\r\n\r\n");
    let gate = runtime.gate();
    let request = format!(
        "POST /hooks/x HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 1000000\r\n\r\nbegun",
        gate.port
    );
    let answer = http(gate.port, &request);
    assert_eq!(answer, "HTTP/1.1 413 Content Too Large\r\n\r\n");
}

#[test]
fn a_stop_answers_who_waits_and_cuts_who_listens() {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let runtime = Runtime::start(move |asked| {
        if asked.head.starts_with("GET /begun") {
            asked.say("HTTP/1.1 200 OK\r\n\r\nhalf");
        }
        hold.lock().unwrap().recv().unwrap_or_default();
    });
    let mut gate = runtime.gate();
    let open = |path: &str| {
        let mut stream = dial(gate.port);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port).unwrap();
        stream
    };
    let (mut waiting, mut begun) = (open("/waiting"), open("/begun"));
    read_head(&mut begun);
    until("both have passed", || runtime.heads().len() == 2);
    gate.daemon.signal(Signal::SIGTERM);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let mut rest = String::new();
    begun.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "half");
    drop((waiting, begun));
    assert!(gate.daemon.end().success());
    drop(release);
}
