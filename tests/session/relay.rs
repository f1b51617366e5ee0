//! Requests that pass to a runtime: what it gets, what the peer gets, and what is waited for.

use loopgate::limits::{RELAY_DIAL, RELAY_PEER, RELAY_QUEUE_BYTES_MAX, RELAY_RUNTIME};
use loopgate::session::{Authorization, End, Happening, Phase};

use crate::rig::{Rig, SPANS, stopping};

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &[u8] = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
const UPGRADE: &[u8] =
    b"GET /__openclaw__/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn sent(rig: &Rig) -> String {
    String::from_utf8_lossy(rig.runtime.as_deref().unwrap()).into_owned()
}

fn written(rig: &Rig) -> String {
    String::from_utf8_lossy(&rig.written).into_owned()
}

#[test]
fn a_request_passes_and_what_is_behind_it_does_not() {
    for step in [1, 3, 1_000] {
        let mut rig = Rig { runtime: Some(Vec::new()), ..Rig::new() };
        for piece in [POST, b"hello", GET].concat().chunks(step) {
            rig.bytes(piece);
        }
        let want = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        assert_eq!(sent(&rig), want, "in steps of {step}");
        rig.give(b"HTTP/1.1 200 OK\r\n\r\nfine");
        assert_eq!(written(&rig), "HTTP/1.1 200 OK\r\n\r\nfine");
        rig.session.relay_end(rig.now);
        rig.pump();
        assert!(rig.half_closed && rig.session.phase() == Phase::Closing);
        rig.eof();
        assert_eq!(rig.end, Some(End::Drained));
    }
}

#[test]
fn a_body_that_breaks_its_framing_goes_no_further() {
    let mut rig =
        Rig::relaying(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    rig.bytes(b"5;x\r\nworld\r\n");
    assert!(sent(&rig).ends_with("\r\n5\r\nhello\r\n"), "{}", sent(&rig));
    assert!(written(&rig).starts_with("HTTP/1.1 400 "), "{}", written(&rig));
    assert_eq!(rig.refusals[0].rule, "body-malformed");
    assert_eq!(rig.session.phase(), Phase::Closing);
}

#[test]
fn a_request_of_two_meanings_does_not_pass_at_all() {
    for headers in ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Connection: X-Forwarded-For\r\n"]
    {
        let mut rig = Rig::new();
        rig.session.receive(format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes(), rig.now);
        let Some(Happening::Head(head)) = rig.session.poll(rig.now) else { panic!("no head") };
        let refusal = rig.session.relay(&head, Authorization::Keep, rig.now).unwrap_err();
        assert_eq!((refusal.status, rig.session.phase()), (400, Phase::Head));
    }
}

const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
const PROBE: &[u8] = b"loopgate: whose socket is this?";

/// The runtime's answer to the ping that it was sent.
fn pong() -> Vec<u8> {
    [&[0x8a, u8::try_from(PROBE.len()).unwrap()], PROBE].concat()
}

#[test]
fn only_a_socket_that_the_runtime_agrees_to_opens_the_pipe() {
    let early = [UPGRADE, b"early"].concat();
    for step in [1, 5, 1_000] {
        let mut rig = Rig::relaying(&early);
        assert!(sent(&rig).ends_with("Connection: Upgrade\r\n\r\n"), "{}", sent(&rig));
        for piece in SWITCHING.chunks(step) {
            rig.give(piece);
        }
        assert!(
            sent(&rig).ends_with(std::str::from_utf8(PROBE).unwrap()),
            "nothing passes before it is known"
        );
        assert!(rig.written.is_empty());
        rig.give(&pong());
        rig.bytes(b" and late");
        assert!(sent(&rig).ends_with("early and late"), "{}", sent(&rig));
        assert_eq!(rig.written, SWITCHING);
        assert_eq!(rig.session.deadline(), None, "both are silent for as long as they like");
        rig.eof();
        assert!(rig.session.relay_said_all() && rig.end.is_none(), "the runtime may still answer");
    }
    for answer in [&b"HTTP/1.1 401 Unauthorized\r\n\r\n"[..], b"HTTP/1.1 1010", b"HTTP/1.0 101 ", b"x"] {
        let mut rig = Rig::relaying(&early);
        rig.give(answer);
        rig.bytes(b" and late");
        assert!(sent(&rig).ends_with("Connection: Upgrade\r\n\r\n"), "{}", sent(&rig));
        assert_eq!(rig.written, answer);
    }
    // A 101 that nobody asked for opens nothing.
    let mut rig = Rig::relaying(GET);
    rig.give(SWITCHING);
    rig.bytes(b"late");
    assert!(sent(&rig).ends_with("\r\n\r\n"), "{}", sent(&rig));
}

#[test]
fn s11_the_runtimes_gateway_is_no_second_door() {
    let challenge = br#"{"type":"event","event":"connect.challenge","payload":{}}"#;
    let frame = [&[0x81, u8::try_from(challenge.len()).unwrap()], &challenge[..]].concat();
    for answer in [[SWITCHING, &frame].concat(), [SWITCHING, &frame, &pong()].concat()] {
        for step in [1, 1_000] {
            let mut rig = Rig::relaying(&[UPGRADE, b"connect"].concat());
            for piece in answer.chunks(step) {
                rig.give(piece);
            }
            assert!(!sent(&rig).contains("\r\n\r\nconnect"), "{}", sent(&rig));
            assert!(written(&rig).starts_with("HTTP/1.1 404 "), "{}", written(&rig));
            assert_eq!(rig.refusals[0].rule, "socket-of-gateway");
        }
    }
}

#[test]
fn interim_answers_and_the_body_behind_them_pass() {
    let mut rig = Rig::relaying(POST);
    rig.give(b"HTTP/1.1 100 Continue\r\n\r\n");
    rig.bytes(b"hello");
    rig.give(b"HTTP/1.1 204 No Content\r\n\r\n");
    assert!(sent(&rig).ends_with("hello"));
    assert_eq!(written(&rig), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn both_directions_are_bounded() {
    let head = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";
    let mut rig = Rig::relaying(head);
    // The runtime takes nothing more, and the peer takes nothing.
    let zeros = vec![0; 64 * 1024];
    let mut taken = 0;
    while rig.session.wants_read() && taken < 100 * zeros.len() {
        rig.session.receive(&zeros, rig.now);
        taken += zeros.len();
    }
    assert!(taken <= 2 * RELAY_QUEUE_BYTES_MAX + zeros.len(), "{taken} bytes of the request");
    let mut given = 0;
    while rig.session.relay_wants_read() && given < 100 * zeros.len() {
        rig.session.relay_give(&zeros, rig.now);
        given += zeros.len();
    }
    assert!(given <= RELAY_QUEUE_BYTES_MAX + zeros.len(), "{given} bytes of the answer");
    assert!(rig.session.heap_bytes() < 7 * RELAY_QUEUE_BYTES_MAX, "{}", rig.session.heap_bytes());
    // Whoever takes something makes room for as much.
    let outgoing = rig.session.relay_outgoing().len();
    rig.session.relay_sent(outgoing, rig.now);
    assert!(rig.session.wants_read());
    rig.session.sent(given, rig.now);
    assert!(rig.session.relay_wants_read());
}

#[test]
fn every_wait_has_its_own_end() {
    // The runtime is not reached.
    let mut rig = Rig::new();
    rig.session.receive(GET, rig.now);
    let Some(Happening::Head(head)) = rig.session.poll(rig.now) else { panic!("no head") };
    rig.session.relay(&head, Authorization::Keep, rig.now).unwrap();
    rig.later(RELAY_DIAL);
    assert_eq!(rig.expire().map(|refusal| (refusal.rule, refusal.status)), Some(("deadline-dial", 503)));
    assert!(written(&rig).starts_with("HTTP/1.1 503 "));

    // The peer sends half a request.
    let mut rig = Rig::relaying(POST);
    rig.later(RELAY_PEER / 2);
    rig.bytes(b"h");
    rig.later(RELAY_PEER / 2);
    assert!(rig.expire().is_none(), "it has gone on");
    rig.later(RELAY_PEER / 2);
    assert_eq!(rig.expire().map(|refusal| refusal.status), Some(408));

    // The runtime does not answer.
    let mut rig = Rig::relaying(GET);
    rig.later(RELAY_PEER);
    assert!(rig.expire().is_none(), "a turn takes its time");
    rig.later(RELAY_RUNTIME);
    assert_eq!(rig.expire().map(|refusal| (refusal.rule, refusal.status)), Some(("deadline-runtime", 504)));

    // The peer does not take the answer, which can only be cut then.
    let mut rig = Rig::relaying(GET);
    rig.blocked = true;
    rig.give(b"HTTP/1.1 200 OK\r\n\r\nhalf");
    rig.later(RELAY_PEER);
    assert!(rig.expire().is_some());
    assert_eq!(rig.session.outgoing(), b"HTTP/1.1 200 OK\r\n\r\nhalf", "no second answer behind the first");
    rig.later(SPANS.closing);
    assert!(rig.expire().is_none());
    assert!(matches!(rig.end, Some(End::Overdue { .. })));
}

#[test]
fn a_peer_that_goes_in_the_middle_of_its_request_is_gone() {
    let mut rig = Rig::relaying(POST);
    rig.bytes(b"hel");
    rig.eof();
    assert_eq!(rig.end, Some(End::Eof { phase: Phase::Relay, unfinished: 0 }));
    // One that has said all still gets its answer.
    let mut rig = Rig::relaying(&[POST, b"hello"].concat());
    rig.eof();
    assert_eq!(rig.end, None);
    assert!(rig.session.relay_said_all());
    assert_eq!(rig.session.phase(), Phase::Relay);
    rig.give(b"HTTP/1.1 200 OK\r\n\r\n");
    rig.session.relay_end(rig.now);
    rig.pump();
    assert_eq!(rig.end, Some(End::Drained));
}

#[test]
fn a_stop_answers_who_waits_and_cuts_who_listens() {
    let mut rig = Rig::relaying(GET);
    rig.session.finish(&stopping(), rig.now);
    rig.pump();
    assert!(written(&rig).starts_with("HTTP/1.1 503 "));
    let mut rig = Rig::relaying(GET);
    rig.give(b"HTTP/1.1 200 OK\r\n\r\nhalf");
    rig.session.finish(&stopping(), rig.now);
    rig.pump();
    assert_eq!(written(&rig), "HTTP/1.1 200 OK\r\n\r\nhalf");
    assert!(rig.half_closed);
}
