//! What passes, byte by byte and in bulk.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::live::{dial, http, until};
use crate::runtime::{Asked, Runtime, read_head};

/// Larger than the largest message of the gateway's protocol.
const HUGE: usize = 30 * 1024 * 1024;

fn ask(port: u16, request: &str) -> TcpStream {
    let mut stream = dial(port);
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn text(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Bytes of which no two places are alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| at.to_le_bytes()[at % 3] ^ at.to_le_bytes()[1]).collect()
}

#[test]
fn a_request_and_its_answer_keep_their_bytes() {
    const ANSWER: &str = "HTTP/1.1 200 Fine\r\nX-Odd:  a  b \r\nConnection: close\r\n\r\nbody";
    let runtime = Runtime::saying(ANSWER);
    let gate = runtime.gate();
    let request = format!(
        "GET /chat?a=b&token=x HTTP/1.1\r\nhost:  127.0.0.1:{}\r\nX-Odd:\ta b \r\nConnection: keep-alive\r\n\
         User-Agent: test\r\n\r\n",
        gate.port
    );
    assert_eq!(http(gate.port, &request), ANSWER);
    let want = request
        .replace("Connection: keep-alive\r\n", "")
        .replace("test\r\n\r\n", "test\r\nConnection: close\r\n\r\n");
    assert_eq!(runtime.heads(), [want]);
    // HEAD, an answer without a body, an interim one.
    for answer in
        ["HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"]
    {
        let runtime = Runtime::saying(answer);
        let gate = runtime.gate();
        let request = format!("HEAD / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port);
        assert_eq!(http(gate.port, &request), answer);
    }
}

#[test]
fn what_follows_a_request_reaches_nobody() {
    let runtime = Runtime::start(|asked| {
        asked.body(5);
        // A second request would come up here.
        asked.stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        let more = asked.stream.read(&mut [0; 1]).unwrap_or_default();
        asked.say(&format!("HTTP/1.1 200 OK\r\n\r\n{more} more"));
    });
    let gate = runtime.gate();
    let request = format!(
        "POST /hooks/wake HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\nContent-Length: 5\r\n\r\nhello\
         GET /secret HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n",
        gate.port
    );
    assert!(http(gate.port, &request).ends_with("\r\n\r\n0 more"));
    assert_eq!(runtime.heads().len(), 1);
}

#[test]
fn huge_bodies_pass_within_little_memory() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let runtime = Runtime::start(move |asked| {
        let body = asked.body(HUGE);
        asked.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n"));
        for piece in body.chunks(64 * 1024) {
            asked.stream.write_all(piece).unwrap();
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    let gate = runtime.gate();
    let before = gate.memory_kib();
    let head = format!(
        "POST /hooks/wake HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {HUGE}\r\n\r\n",
        gate.port
    );
    let mut stream = ask(gate.port, &head);
    let body = pattern(HUGE);
    stream.write_all(&body).unwrap();
    // The peer begins to read late: the runtime has to wait, and not in the gate's memory.
    let mut seen = 0;
    until("the runtime gets no further", || {
        let now = written.load(Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(200));
        now > 0 && std::mem::replace(&mut seen, now) == now
    });
    let kept = gate.memory_kib().saturating_sub(before);
    assert!(kept < 8 * 1024, "{kept} KiB for a body that nobody takes");
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == body, "{} bytes came back, not all as they were", back.len());
}

#[test]
fn chunks_pass_as_they_are_and_broken_ones_do_not() {
    const BODY: &str = "5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 6\r\n\r\n";
    let runtime = Runtime::start(|asked| {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"0\r\nX-Sum: 6\r\n\r\n")
            && asked.stream.read(&mut byte).unwrap_or_default() == 1
        {
            seen.push(byte[0]);
        }
        asked.say("HTTP/1.1 200 OK\r\n\r\n");
        asked.stream.write_all(&seen).unwrap_or_default();
    });
    let gate = runtime.gate();
    let head = format!(
        "POST /hooks/x HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nTransfer-Encoding: chunked\r\n\r\n",
        gate.port
    );
    assert!(http(gate.port, &format!("{head}{BODY}")).ends_with(&format!("\r\n\r\n{BODY}")));
    let answer = http(gate.port, &format!("{head}5;x=y\r\nhello\r\n0\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    gate.daemon.says(&["RULE=body-malformed"]);
}

#[test]
fn a_request_that_two_readers_may_frame_differently_goes_nowhere() {
    let runtime = Runtime::saying("HTTP/1.1 200 OK\r\n\r\n");
    let gate = runtime.gate();
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\nContent-Length: 5\r\n",
        "Connection: close, X-Forwarded-For\r\nX-Forwarded-For: 10.0.0.1\r\n",
    ] {
        let request =
            format!("POST /hooks/x HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{headers}\r\n0\r\n\r\n", gate.port);
        let answer = http(gate.port, &request);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
    }
    assert_eq!(runtime.heads(), Vec::<String>::new());
}

#[test]
fn events_arrive_when_they_are_sent() {
    let (next, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let runtime = Runtime::start(move |asked| {
        asked.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        let wait = wait.lock().unwrap();
        for number in 0..5 {
            asked.say(&format!("data: {number}\n\n"));
            // Nothing more is said before this was seen.
            if wait.recv().is_err() {
                return;
            }
        }
    });
    let gate = runtime.gate();
    let mut stream =
        ask(gate.port, &format!("GET /events HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port));
    read_head(&mut stream);
    for number in 0..5 {
        let mut event = [0; 9];
        stream.read_exact(&mut event).unwrap();
        assert_eq!(String::from_utf8_lossy(&event), format!("data: {number}\n\n"));
        next.send(()).unwrap();
    }
    assert_eq!(text(stream), "");
}

#[test]
fn an_expectation_is_the_runtimes_to_meet() {
    let runtime = Runtime::start(|asked| {
        asked.say("HTTP/1.1 100 Continue\r\n\r\n");
        let body = asked.body(5);
        asked.say("HTTP/1.1 200 OK\r\n\r\n");
        asked.stream.write_all(&body).unwrap();
    });
    let gate = runtime.gate();
    let head = format!(
        "POST /hooks/x HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        gate.port
    );
    let mut stream = ask(gate.port, &head);
    assert_eq!(read_head(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    assert_eq!(text(stream), "HTTP/1.1 200 OK\r\n\r\nhello");
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The gate's ping, and the pong for it.
fn prove(asked: &mut Asked) {
    let ping = asked.body(6 + PROBE.len());
    assert_eq!(&ping[6..], PROBE, "zero masks nothing");
    let length = u8::try_from(PROBE.len()).unwrap();
    asked.stream.write_all(&[&[0x8a, length], PROBE].concat()).unwrap();
}

const PROBE: &[u8] = b"loopgate: whose socket is this?";

#[test]
fn a_socket_of_the_runtimes_own_is_a_pipe_once_it_agrees() {
    let runtime = Runtime::start(|asked| {
        asked.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        prove(asked);
        asked.say("hello");
        // Whatever comes goes back, to the end of it.
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = asked.stream.read(&mut buffer) {
            asked.stream.write_all(&buffer[..count]).unwrap();
        }
    });
    let gate = runtime.gate();
    let head = format!("GET /__openclaw__/ws HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{UPGRADE}\r\n", gate.port);
    let mut stream = ask(gate.port, &head);
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101 "));
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    for round in 0..3u8 {
        // No frames: nobody looks.
        stream.write_all(&[0xff, round, 0, 0x81, 13]).unwrap();
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0xff, round, 0, 0x81, 13]);
    }
    stream.write_all(b"last").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(text(stream), "last");
}

#[test]
fn s11_the_runtimes_gateway_is_no_second_door() {
    let runtime = Runtime::start(|asked| {
        let challenge = br#"{"type":"event","event":"connect.challenge","payload":{}}"#;
        asked.say("HTTP/1.1 101 Switching Protocols\r\n\r\n");
        asked.stream.write_all(&[0x81, u8::try_from(challenge.len()).unwrap()]).unwrap();
        asked.stream.write_all(challenge).unwrap();
        prove(asked);
        assert_eq!(
            asked.stream.read(&mut [0; 1]).unwrap_or_default(),
            0,
            "something of the client's came through"
        );
    });
    let gate = runtime.gate();
    for path in ["/__openclaw__/ws", "/desktop/observe", "/__openclaw__/cap/x/__openclaw__/ws"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{UPGRADE}\r\nconnect", gate.port);
        let answer = text(ask(gate.port, &head));
        assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("challenge"), "{path}: {answer}");
    }
    gate.daemon.says(&["RULE=socket-of-gateway"]);
}

#[test]
fn a_socket_that_the_runtime_does_not_agree_to_is_no_pipe() {
    let runtime = Runtime::start(|asked| {
        asked.say("HTTP/1.1 401 Unauthorized\r\n\r\n");
        asked.stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        let more = asked.stream.read(&mut [0; 1]).unwrap_or_default();
        asked.say(&format!("{more} more"));
    });
    let gate = runtime.gate();
    let head =
        format!("GET /__openclaw__/ws HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{UPGRADE}\r\nearly", gate.port);
    assert!(text(ask(gate.port, &head)).ends_with("\r\n\r\n0 more"));
}

#[test]
fn nothing_is_left_of_requests_that_are_given_up() {
    let gone = Arc::new(Mutex::new(0));
    let count = Arc::clone(&gone);
    let runtime = Runtime::start(move |asked| {
        asked.say("HTTP/1.1 200 OK\r\n\r\n");
        // It speaks until nobody listens any more.
        while asked.stream.write_all(&[b'.'; 4096]).is_ok() {}
        *count.lock().unwrap() += 1;
    });
    let gate = runtime.gate();
    for _ in 0..20 {
        let mut stream =
            ask(gate.port, &format!("GET /long HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", gate.port));
        let mut some = [0; 4096];
        stream.read_exact(&mut some).unwrap();
    }
    until("the runtime hears that all have gone", || *gone.lock().unwrap() == 20);
}
