//! The request head, its answer, and the upgrade.

use loopgate::limits;
use loopgate::session::{End, HttpAnswer, Phase};

use crate::rig::{CHALLENGE, HELLO, KEY, Rig, frames, stopping, text, upgrade_request, upgrade_with};

fn answer_to(request: &[u8]) -> (Rig, String) {
    let mut rig = Rig::new();
    rig.bytes(request);
    let answer = String::from_utf8_lossy(&rig.written).into_owned();
    (rig, answer)
}

#[test]
fn an_upgrade_is_answered_with_exactly_this() {
    let (rig, _) = answer_to(&upgrade_request());
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let (got, challenge) = rig.written.split_at(head.len());
    assert_eq!(std::str::from_utf8(got).unwrap(), head);
    assert_eq!(frames(challenge), [(0x81, CHALLENGE.as_bytes().to_vec())]);
    let head = rig.head.unwrap();
    assert_eq!((head.method(), head.target(), head.path()), ("GET", "/ws?x=1", "/ws"));
    assert_eq!((head.host(), head.origin()), (Some("localhost:18789"), None));
}

#[test]
fn the_first_subprotocol_is_echoed_and_no_extension() {
    for offered in ["a, b", "a"] {
        let lines =
            format!("Sec-WebSocket-Protocol: {offered}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n");
        let (_, answer) = answer_to(&upgrade_with(&lines));
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: a\r\n"), "{answer}");
        assert!(!answer.contains("Extensions"), "{answer}");
    }
}

#[test]
fn bytes_behind_an_upgrade_are_frames() {
    let mut rig = Rig::new();
    rig.bytes(&[upgrade_request(), text("connect"), text("two")].concat());
    assert_eq!(rig.messages, ["connect", "two"]);
    assert_eq!(rig.session.phase(), Phase::Open);
}

#[test]
fn an_old_version_of_websocket_passes_as_it_does_at_the_original() {
    let request = String::from_utf8(upgrade_request()).unwrap().replace("Version: 13", "Version: 8");
    assert_eq!(answer_to(request.as_bytes()).0.session.phase(), Phase::Connect);
}

/// A good upgrade with one thing wrong is refused with 400, and the connection ends.
#[test]
fn an_upgrade_must_be_right() {
    let good = String::from_utf8(upgrade_request()).unwrap();
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let wrong = [
        ("Version: 13", "Version: 12", "Missing or invalid Sec-WebSocket-Version header"),
        ("Sec-WebSocket-Version: 13\r\n", "", "Missing or invalid Sec-WebSocket-Version header"),
        ("Upgrade: WebSocket", "Upgrade: h2c", "does not name websocket"),
        ("Connection: keep-alive, Upgrade\r\n", "", "does not name upgrade"),
        ("GET ", "POST ", "GET request of HTTP/1.1"),
        ("HTTP/1.1", "HTTP/1.0", "GET request of HTTP/1.1"),
        (key.as_str(), "", "sec-websocket-key"),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ", "sec-websocket-key"),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ==AAAA", "sec-websocket-key"),
        (KEY, "dGhlIHNhbXBsZS!ub25jZQ==", "sec-websocket-key"),
        ("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n", "has no body"),
        ("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n", "has no body"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: a b\r\n\r\n", "list of tokens"),
        ("\r\n\r\n", "\r\nHost: other\r\n\r\n", "more than one host"),
        ("\r\n\r\n", "\r\nOrigin: a\r\norigin: b\r\n\r\n", "more than one origin"),
        (
            "\r\n\r\n",
            "\r\nSec-Websocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            "more than one sec-websocket-key",
        ),
        ("Host: localhost:18789\r\n", "", "no host header"),
    ];
    for (part, instead, problem) in wrong {
        let (rig, answer) = answer_to(good.replacen(part, instead, 1).as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{part} -> {instead}: {answer}");
        assert!(answer.contains(problem), "{part} -> {instead}: {answer}");
        assert!(rig.half_closed && rig.refusals.len() == 1 && rig.head.is_none());
    }
}

#[test]
fn a_malformed_head_is_refused_at_once() {
    let bad: [&[u8]; 16] = [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"\r\nGET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET /\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ];
    for request in bad {
        let (rig, answer) = answer_to(request);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
        assert_eq!(rig.refusals[0].rule, "head-malformed");
    }
}

#[test]
fn odd_targets_and_values_are_taken_as_they_are() {
    for (target, path) in [
        ("http://localhost:18789/a/b?c", "/a/b"),
        ("http://localhost:18789", "/"),
        ("*", "*"),
        ("//x/../y", "//x/../y"),
        ("/a?u=http://b/c", "/a"),
        ("/%00?", "/%00"),
    ] {
        let (rig, _) = answer_to(format!("GET {target} HTTP/1.1\r\nHost:\t a \r\n\r\n").as_bytes());
        let head = rig.head.unwrap();
        assert_eq!((head.target(), head.path(), head.host()), (target, path, Some("a")));
    }
    let (rig, _) =
        answer_to(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \xe9\r\nx-forwarded-for: b\r\n\r\n");
    let head = rig.head.unwrap();
    assert_eq!(head.values("X-Forwarded-For").collect::<Vec<_>>(), ["\u{fffd}", "b"]);
    assert_eq!(head.headers().count(), 3);
    assert_eq!(format!("{head:?}"), "Head(GET /)");
}

#[test]
fn a_head_may_be_as_long_as_its_limit() {
    for (len, ok) in [(limits::HEAD_BYTES_MAX, true), (limits::HEAD_BYTES_MAX + 1, false)] {
        let (start, end) = ("GET / HTTP/1.1\r\nHost: a\r\nCookie: ", "\r\n\r\n");
        let request = format!("{start}{}{end}", "c".repeat(len - start.len() - end.len()));
        assert_eq!(request.len(), len);
        let (rig, answer) = answer_to(request.as_bytes());
        assert!(answer.starts_with(if ok { "HTTP/1.1 404 " } else { "HTTP/1.1 431 " }), "{len}: {answer}");
        let refusal = rig.refusals.first().map(|r| (r.rule, r.reason.to_string()));
        let want = "http request head exceeds 16384 bytes (phase head)".to_owned();
        assert_eq!(refusal, (!ok).then_some(("head-too-large", want)));
    }
}

#[test]
fn a_head_may_have_as_many_headers_as_its_limit() {
    for (count, status) in [(limits::HEAD_HEADERS_MAX, 404), (limits::HEAD_HEADERS_MAX + 1, 431)] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
        let (_, answer) = answer_to(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{count}: {answer}");
    }
}

#[test]
fn an_answer_is_complete_and_ends_the_connection() {
    let (mut rig, answer) = answer_to(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        answer,
        "HTTP/1.1 404 Not Found\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\nPermissions-Policy: camera=(), microphone=(), geolocation=()\r\n\
         Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: 10\r\n\r\nnot found\n"
    );
    assert!(rig.half_closed, "the peer sees the end");
    rig.bytes(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((rig.told.len(), rig.session.phase()), (1, Phase::Closing));
    rig.eof();
    assert_eq!(rig.end, Some(End::Drained));
}

#[test]
fn a_head_request_gets_no_body() {
    let (_, answer) = answer_to(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.contains("Content-Length: 10\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_header_value_cannot_add_a_line() {
    let mut rig = Rig::at(Phase::Head);
    let value = "a\r\nSet-Cookie: b".to_owned();
    let answer =
        HttpAnswer { status: 302, headers: vec![("Location", value.into())], body: b"".as_slice().into() };
    rig.session.answer(&answer, rig.now);
    rig.pump();
    let answer = String::from_utf8(rig.written).unwrap();
    assert!(answer.contains("\r\nLocation: aSet-Cookie: b\r\n"), "{answer}");
}

/// `printf … | nc -N`: the request and the end of the peer's bytes come together; the answer is wanted all the same.
#[test]
fn a_peer_that_has_ended_its_side_gets_its_answer() {
    let mut rig = Rig::new();
    rig.blocked = true;
    rig.session.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", rig.now);
    rig.session.eof();
    rig.pump();
    assert_eq!((rig.session.phase(), &rig.end), (Phase::Closing, &None), "unsent");
    rig.session.sent(7, rig.now);
    rig.pump();
    assert_eq!(rig.session.phase(), Phase::Closing);
    rig.blocked = false;
    rig.pump();
    assert!(rig.written.ends_with(b"not found\n"));
    assert_eq!(rig.end, Some(End::Drained));
}

#[test]
fn a_connection_may_be_refused_before_it_says_anything() {
    let mut rig = Rig::new();
    rig.refuse();
    assert!(rig.written.starts_with(b"HTTP/1.1 403 Forbidden\r\n") && rig.written.ends_with(b"not today\n"));
    let mut rig = Rig::new();
    rig.session.finish(&stopping(), rig.now);
    rig.pump();
    assert!(rig.written.starts_with(b"HTTP/1.1 503 ") && rig.written.ends_with(b"service restart\n"));
    assert!(rig.half_closed);
}

#[test]
fn what_the_gateway_says_in_reply_comes_in_order() {
    let mut rig = Rig::new();
    rig.bytes(&[upgrade_request(), text("connect"), text("three")].concat());
    let at = rig.written.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let texts: Vec<Vec<u8>> = frames(&rig.written[at..]).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(texts, [CHALLENGE.as_bytes(), HELLO.as_bytes(), b"three"]);
}
