//! Who gets through, as what, and what the journal says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use loopgate::policy::passage::{Access, PASSAGES};
use nix::unistd::{Uid, setfsuid};
use serde_json::json;

use crate::common::TOKEN;
use crate::common::client::Device;
use crate::live::{Gate, dial, http, operator, until};
use crate::runtime::{Runtime, gate};
use crate::stranger::{NOBODY, can_be, dial_as_nobody};

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no HTTP: {answer:?}"))
}

fn ask(gate: &Gate, line: &str, headers: &str) -> u16 {
    let host = format!("Host: 127.0.0.1:{}\r\n", gate.port);
    status(&http(gate.port, &format!("{line} HTTP/1.1\r\n{host}{headers}\r\n")))
}

/// A path of each class.
fn path_of(pattern: &str) -> String {
    pattern.replace('*', "x")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn s17_every_class_of_paths_lets_through_whom_its_rule_names() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    for row in PASSAGES {
        let path = path_of(row.paths[0]);
        // The test's own user is the owner.
        let want = if row.access == Access::Bearer { 401 } else { 200 };
        assert_eq!(ask(&gate, &format!("GET {path}"), ""), want, "{path}");
        assert_eq!(ask(&gate, &format!("GET {path}"), &bearer(TOKEN)), 200, "{path}");
        let changing =
            ask(&gate, &format!("POST {path}"), &format!("{}Content-Length: 0\r\n", bearer(TOKEN)));
        assert_eq!(changing, if row.reads_only { 405 } else { 200 }, "{path}");
        for method in ["TRACE", "CONNECT", "PROPFIND", "get"] {
            assert_eq!(ask(&gate, &format!("{method} {path}"), &bearer(TOKEN)), 405, "{method} {path}");
        }
    }
    // Ours stay ours.
    let passed = runtime.heads().len();
    for path in ["/health", "/healthz", "/ready", "/readyz", "/startupz"] {
        assert_eq!(ask(&gate, &format!("GET {path}"), ""), 200, "{path}");
        assert_eq!(ask(&gate, &format!("POST {path}"), ""), 405, "{path}");
    }
    assert_eq!(runtime.heads().len(), passed);
}

#[test]
fn s30_s31_pages_from_elsewhere_get_nothing_and_change_nothing() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    for row in PASSAGES {
        let path = path_of(row.paths[0]);
        for origin in ["https://evil.example", "null", "http://localhost:8080", "http://127.0.0.3:18789"] {
            for method in ["GET", "POST"] {
                let headers = format!("{}Origin: {origin}\r\nContent-Length: 0\r\n", bearer(TOKEN));
                assert_eq!(
                    ask(&gate, &format!("{method} {path}"), &headers),
                    403,
                    "{method} {path} {origin}"
                );
            }
        }
        let foreign = format!("GET {path} HTTP/1.1\r\nHost: evil.example:{}\r\n\r\n", gate.port);
        assert_eq!(status(&http(gate.port, &foreign)), 403, "{path}");
        if !row.reads_only {
            for site in ["cross-site", "same-site", "none"] {
                let headers = format!("{}Sec-Fetch-Site: {site}\r\nContent-Length: 0\r\n", bearer(TOKEN));
                assert_eq!(ask(&gate, &format!("POST {path}"), &headers), 403, "{path} {site}");
            }
        }
    }
    assert_eq!(runtime.heads(), Vec::<String>::new(), "not a request has passed");
    let own = format!("{}Sec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n", gate.own_page());
    assert_eq!(ask(&gate, "POST /api/x", &own), 200);
}

#[test]
fn s11_s18_a_credential_is_looked_at_here_and_the_runtime_gets_its_own() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    for spelling in ["Bearer", "bearer", "BEARER "] {
        assert_eq!(
            ask(&gate, "POST /v1/chat/completions", &format!("Authorization: {spelling} {TOKEN}\r\n")),
            200
        );
        let head = runtime.heads().pop().unwrap();
        assert!(head.contains(&format!("\r\nAuthorization: Bearer {TOKEN}\r\n")), "{head}");
        assert_eq!(head.to_lowercase().matches("authorization").count(), 1, "{head}");
    }
    let passed = runtime.heads().len();
    for wrong in ["wrong", "tok-made-up-000", "tok-made-up-00011"] {
        for path in [
            "/v1/models",
            "/tools/invoke",
            "/api/x",
            "/chat",
            "/__openclaw__/canvas/",
            "/control-ui-config.json",
        ] {
            assert_eq!(ask(&gate, &format!("GET {path}"), &bearer(wrong)), 401, "{path}");
        }
    }
    for nothing in [
        "",
        "Authorization: Basic dG9rOg==\r\n",
        &format!("X-OpenClaw-Token: {TOKEN}\r\n"),
        "Authorization: Bearer\r\n",
    ] {
        assert_eq!(ask(&gate, "GET /v1/models", nothing), 401, "{nothing}");
    }
    assert_eq!(runtime.heads().len(), passed, "none of them has passed");
    gate.daemon.says(&[
        "a connection was refused",
        "METHOD=GET",
        "PATH=/v1/models",
        "RULE=secret-wrong",
        "CLOSE_CODE=401",
    ]);
    // A webhook's secret is the runtime's to look at, and a file takes none along.
    assert_eq!(ask(&gate, "POST /hooks/wake", &bearer("hook-made-up")), 200);
    assert!(runtime.heads().pop().unwrap().contains("Bearer hook-made-up"));
    assert_eq!(ask(&gate, "GET /assets/x.js", &bearer("wrong")), 200);
    assert!(!runtime.heads().pop().unwrap().contains("Authorization"));
}

#[test]
fn s2_a_secret_in_the_query_opens_nothing_and_is_written_nowhere() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    assert_eq!(ask(&gate, &format!("GET /v1/models?token={TOKEN}"), ""), 401);
    assert_eq!(ask(&gate, &format!("GET /chat?token={TOKEN}&password={TOKEN}"), ""), 200);
    assert_eq!(ask(&gate, &format!("GET /__openclaw__/cap/{TOKEN}/__openclaw__/canvas/"), ""), 200);
    gate.daemon.says(&["an HTTP request is passed", "METHOD=GET", "PATH=/chat ", "RULE=rest"]);
    gate.daemon.says(&["PATH=/__openclaw__/cap/…/__openclaw__/canvas/"]);
    assert!(!gate.daemon.log().contains(TOKEN), "{}", gate.daemon.log());
}

#[test]
fn s9_a_device_token_opens_over_http_what_it_opens_elsewhere() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    let token = |number, scopes: &[&str]| {
        let mut peer = gate.open();
        let connect = peer.sign(&Device::new(number), operator(4, scopes));
        let hello = peer.admit(connect);
        hello["auth"]["deviceToken"].as_str().unwrap_or_else(|| panic!("{hello}")).to_owned()
    };
    let reader = token(1, &["operator.read"]);
    let admin = token(2, &["operator.admin"]);
    for (token, path, want) in [
        (&reader, "/control-ui-config.json", 200),
        (&reader, "/v1/models", 403),
        (&reader, "/api/x", 403),
        (&admin, "/control-ui-config.json", 200),
        (&admin, "/v1/models", 200),
    ] {
        assert_eq!(ask(&gate, &format!("GET {path}"), &bearer(token)), want, "{path}");
    }
    for head in runtime.heads() {
        assert!(head.contains(&format!("Bearer {TOKEN}\r\n")) && !head.contains(&admin), "{head}");
    }
    // A token that is gone opens nothing any more (S23).
    let mut owner = gate.operator(&["operator.admin"]);
    owner.ok("device.token.revoke", &json!({"deviceId": Device::new(2).id(), "role": "operator"}));
    assert_eq!(ask(&gate, "GET /v1/models", &bearer(&admin)), 401);
}

#[test]
fn s23_a_request_ends_with_the_credential_that_let_it_through() {
    let runtime = Runtime::start(|asked| {
        asked.say("HTTP/1.1 200 OK\r\n\r\nbegun");
        // Until the gate ends it.
        asked.stream.read(&mut [0; 1]).map(drop).unwrap_or_default();
    });
    let gate = runtime.gate();
    let mut peer = gate.open();
    let connect = peer.sign(&Device::new(1), operator(4, &["operator.admin"]));
    let token = peer.admit(connect)["auth"]["deviceToken"].as_str().expect("a token").to_owned();
    let open = |token: &str| {
        let mut stream = dial(gate.port);
        let credential = bearer(token);
        write!(stream, "GET /v1/x HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{credential}\r\n", gate.port).unwrap();
        let mut begun = [0; 24];
        stream.read_exact(&mut begun).unwrap();
        stream
    };
    let (mut device, mut owner) = (open(&token), open(TOKEN));
    gate.operator(&["operator.admin"])
        .ok("device.token.revoke", &json!({"deviceId": Device::new(1).id(), "role": "operator"}));
    assert_eq!(device.read(&mut [0; 1]).unwrap(), 0, "it ends at once");
    gate.daemon.says(&["a connection was refused", "PATH=/v1/x", "RULE=credential-gone"]);
    owner.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    assert!(owner.read(&mut [0; 1]).is_err(), "nobody else's does");
    // Another secret, read by a reload (S24).
    gate.home.configure("{gateway: {auth: {mode: 'token', token: 'tok-made-up-0002'}}}");
    gate.daemon.signal(nix::sys::signal::Signal::SIGHUP);
    owner.set_read_timeout(Some(crate::live::PATIENCE)).unwrap();
    assert_eq!(owner.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn webhooks_are_where_the_configuration_puts_them() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    assert_eq!(ask(&gate, "POST /in/x", &bearer("hook-made-up")), 401);
    let hooks = "hooks: {enabled: true, path: 'in/', token: 'hook-made-up'}";
    gate.home.configure(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}, {hooks}}}"));
    gate.daemon.signal(nix::sys::signal::Signal::SIGHUP);
    until("the new path is known", || ask(&gate, "POST /in/x", &bearer("hook-made-up")) == 200);
    assert_eq!(ask(&gate, "POST /IN/x", &bearer("hook-made-up")), 401);
}

#[test]
fn s4_s6_guesses_over_http_count_as_guesses() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    let page = gate.own_page();
    for guess in 0..10 {
        let path = ["/v1/models", "/api/x", "/__openclaw__/canvas/"][guess % 3];
        assert_eq!(ask(&gate, &format!("GET {path}"), &format!("{page}{}", bearer("guess"))), 401);
    }
    gate.daemon.says(&["too many failed attempts"]);
    assert_eq!(
        ask(&gate, "GET /v1/models", &format!("{page}{}", bearer(TOKEN))),
        429,
        "a page is locked out"
    );
    assert_eq!(ask(&gate, "GET /v1/models", &bearer(TOKEN)), 200, "and nobody else");
    assert_eq!(ask(&gate, "GET /", &page), 200, "who shows nothing guesses nothing");
}

#[test]
fn s42_another_user_gains_nothing_from_the_gates_own_connection() {
    if !can_be() {
        return;
    }
    let runtime = Runtime::saying(OK);
    let gate = gate(runtime.port, "");
    let as_nobody = |line: &str, headers: &str| {
        let mut stream = dial_as_nobody(gate.port);
        write!(stream, "{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{headers}\r\n", gate.port).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        status(&answer)
    };
    for row in PASSAGES {
        let line = format!("GET {}", path_of(row.paths[0]));
        let want = if matches!(row.access, Access::Public | Access::Own) { 200 } else { 403 };
        assert_eq!(as_nobody(&line, ""), want, "{line}");
        assert_eq!(as_nobody(&line, &bearer(TOKEN)), want, "{line} with the secret");
        assert_eq!(as_nobody(&line, "X-Forwarded-For: 10.0.0.1\r\n"), want, "{line} through a proxy");
    }
    gate.daemon.says(&["PEER_UID=65534", "RULE=peer-foreign"]);
}

#[test]
fn s42_an_allowed_user_shows_a_credential_where_the_runtime_would_ask_for_none() {
    if !can_be() {
        return;
    }
    let runtime = Runtime::saying(OK);
    let gate = gate(runtime.port, &format!(", peers: {{allow: [{NOBODY}]}}"));
    let as_nobody = |path: &str, headers: &str| {
        let mut stream = dial_as_nobody(gate.port);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{headers}\r\n", gate.port).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        status(&answer)
    };
    assert_eq!(as_nobody("/__openclaw__/canvas/", ""), 401);
    assert_eq!(as_nobody("/__OPENCLAW__/canvas/", ""), 401);
    assert_eq!(as_nobody("/__openclaw__/canvas/", &bearer(TOKEN)), 200);
    assert_eq!(as_nobody("/chat", ""), 200);
    // With such a header the runtime does not take the connection for a local one.
    assert_eq!(as_nobody("/__openclaw__/canvas/", "X-Forwarded-For: 10.0.0.1\r\n"), 200);
    assert!(runtime.heads().pop().unwrap().contains("X-Forwarded-For: 10.0.0.1\r\n"));
}

#[test]
fn paths_with_two_readings_go_nowhere() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    for path in [
        "//healthz",
        "/healthz/../v1/models",
        "/./v1/models",
        "/v1//models",
        "/%76%31/models",
        "/v1%2fmodels",
        "/v1/%2e%2e/x",
        "/v1\\models",
        "/%5cv1",
        "/a%00",
        "/%",
        "http://127.0.0.1/v1/models",
        "*",
        "/a%252e",
    ] {
        assert_eq!(ask(&gate, &format!("GET {path}"), ""), 400, "{path}");
    }
    assert_eq!(runtime.heads(), Vec::<String>::new());
    gate.daemon.says(&["RULE=path-ambiguous"]);
}

#[test]
fn no_header_says_where_a_request_came_from() {
    let runtime = Runtime::saying(OK);
    let gate = runtime.gate();
    ask(&gate, "GET /chat", "");
    let head = runtime.heads().pop().unwrap().to_lowercase();
    for name in ["forwarded", "x-real", "via", "loopgate"] {
        assert!(!head.contains(name), "{head}");
    }
}

#[test]
fn s28_a_stranger_at_the_runtimes_port_is_sent_nothing() {
    if !can_be() {
        return;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // What is accepted by a thread of another user is another user's.
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        setfsuid(Uid::from_raw(NOBODY));
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = Vec::new();
            stream.read_to_end(&mut seen).unwrap_or_default();
            told.send(seen).unwrap_or_default();
        }
    });
    let gate = gate(port, "");
    let request =
        format!("GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}\r\n", gate.port, bearer(TOKEN));
    assert_eq!(status(&http(gate.port, &request)), 503);
    gate.daemon.says(&["could not be passed", "PATH=/v1/models", "RULE=runtime-stranger"]);
    // The connection of the request, and that over which the gate looks for the runtime.
    for _ in 0..2 {
        let seen = heard.recv_timeout(crate::live::PATIENCE).unwrap();
        assert!(seen.is_empty(), "{}", String::from_utf8_lossy(&seen));
    }
}

#[test]
fn requests_beyond_the_bound_are_told_so() {
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    let runtime = Runtime::start(move |asked| {
        hold.lock().unwrap().recv().unwrap_or_default();
        asked.say(OK);
    });
    let gate = runtime.gate();
    let request = format!("GET /long HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port);
    let waiting: Vec<_> = (0..loopgate::limits::RELAYS_MAX)
        .map(|_| {
            let mut stream = dial(gate.port);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    until("all have passed", || runtime.heads().len() == waiting.len());
    assert_eq!(status(&http(gate.port, &request)), 503);
    gate.daemon.says(&["RULE=relays-full"]);
    drop((waiting, release));
    until("there is room again", || status(&http(gate.port, &request)) == 200);
}
