//! Messages: their limits, their fragments, their order; against tungstenite's own client.

use std::io::{self, Cursor, Read, Write};

use loopgate::limits;
use loopgate::session::Phase;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use crate::rig::{Random, Rig, closed_with, frame, frames, header, text};

#[test]
fn pipelined_requests_wait_for_the_verdict() {
    let mut rig = Rig::deciding();
    rig.bytes(&[text("one"), frame(0x89, b"ping"), text("two")].concat());
    assert_eq!((rig.messages.len(), rig.written.len()), (1, 0), "not even a pong");
    rig.admit();
    assert_eq!(rig.messages, ["connect", "one", "two"]);
    let kinds: Vec<u8> = frames(&rig.written).iter().map(|(first, _)| *first).collect();
    assert_eq!(kinds, [0x81, 0x81, 0x8a, 0x81], "hello first");
}

#[test]
fn what_waits_for_the_verdict_is_bounded() {
    let mut rig = Rig::deciding();
    rig.bytes(&vec![0; limits::QUEUED_BYTES_MAX - 1]);
    assert!(rig.session.wants_read());
    rig.session.receive(&[0], rig.now);
    assert!(!rig.session.wants_read());
}

/// What comes behind connect is judged by the limits of an admitted peer: it is one by then.
#[test]
fn a_large_message_behind_connect_is_taken() {
    let mut rig = Rig::deciding();
    let large = "x".repeat(limits::PREAUTH_MESSAGE_BYTES_MAX + 1);
    rig.bytes(&text(&large));
    rig.admit();
    assert_eq!(rig.messages[1].len(), large.len());
}

#[test]
fn a_message_before_admission_may_be_as_large_as_its_limit() {
    let max = limits::PREAUTH_MESSAGE_BYTES_MAX;
    let mut rig = Rig::connecting();
    rig.bytes(&text(&"x".repeat(max)));
    assert_eq!(rig.messages[0].len(), max);
    let mut rig = Rig::connecting();
    rig.bytes(&header(0x81, max as u64 + 1));
    let reason = "message of 65537 bytes exceeds 65536 bytes before admission (phase connect)";
    assert_eq!(closed_with(&rig.written), (1009, reason.to_owned()));
}

#[test]
fn fragments_count_in_sum() {
    let half = limits::PREAUTH_MESSAGE_BYTES_MAX / 2;
    let mut rig = Rig::connecting();
    rig.bytes(&[frame(0x01, &vec![b'a'; half]), frame(0x80, &vec![b'b'; half])].concat());
    assert_eq!(rig.messages[0].len(), 2 * half);
    let mut rig = Rig::connecting();
    rig.bytes(&[frame(0x01, &vec![b'a'; half]), header(0x80, half as u64 + 1)].concat());
    assert_eq!(closed_with(&rig.written).0, 1009);
}

#[test]
fn an_admitted_peer_may_send_as_much_as_hello_says() {
    let max = limits::MESSAGE_BYTES_MAX;
    let mut rig = Rig::open();
    rig.bytes(&text(&"x".repeat(max)));
    assert_eq!(rig.messages[1].len(), max);
    assert_eq!(rig.session.heap_bytes(), 0, "and nothing of it stays");
    rig.written.clear();
    rig.bytes(&header(0x81, max as u64 + 1));
    let reason = "message of 26214401 bytes exceeds 26214400 bytes (phase open)";
    assert_eq!(closed_with(&rig.written), (1009, reason.to_owned()));
    let mut rig = Rig::open();
    rig.bytes(&header(0x81, u64::MAX));
    assert_eq!(closed_with(&rig.written).0, 1009);
}

#[test]
fn pings_between_fragments_are_answered_at_once() {
    let mut rig = Rig::open();
    rig.bytes(&[frame(0x01, b"{\"a\""), frame(0x89, b"now"), frame(0x8a, b"unasked")].concat());
    assert_eq!(frames(&rig.written), [(0x8a, b"now".to_vec())]);
    rig.bytes(&[frame(0x00, b":"), frame(0x89, b""), frame(0x80, b"1}")].concat());
    assert_eq!(rig.messages[1], r#"{"a":1}"#);
}

#[test]
fn binary_messages_are_text_if_they_are_utf8() {
    let mut rig = Rig::open();
    rig.bytes(&frame(0x82, "ü".as_bytes()));
    assert_eq!(rig.messages[1], "ü");
    rig.bytes(&frame(0x82, b"\xc3"));
    assert_eq!(closed_with(&rig.written), (1007, "message is not valid UTF-8".to_owned()));
}

#[test]
fn violations_are_refused_with_their_code() {
    let unmasked = vec![0x81, 0x01, b'a'];
    let cases: [(&str, Vec<u8>, u16); 18] = [
        ("unmasked", unmasked, 1002),
        ("reserved bit 1", frame(0xc1, b"a"), 1002),
        ("reserved bit 2", frame(0xa1, b"a"), 1002),
        ("reserved bit 3", frame(0x91, b"a"), 1002),
        ("unmasked, payload to come", vec![0x81, 0x01], 1002),
        ("unmasked ping", vec![0x89, 0x01, b'a'], 1002),
        ("reserved bit of a ping", frame(0x99, b"a"), 1002),
        ("reserved data opcode", frame(0x83, b"a"), 1002),
        ("reserved control opcode", frame(0x8b, b"a"), 1002),
        ("continuation of nothing", frame(0x80, b"a"), 1002),
        ("message within a message", [frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002),
        ("fragmented ping", frame(0x09, b"a"), 1002),
        ("long ping", header(0x89, 126), 1002),
        ("close with one byte", frame(0x88, b"a"), 1002),
        ("close with a forbidden code", frame(0x88, &1006u16.to_be_bytes()), 1002),
        ("close with a code of nobody", frame(0x88, &999u16.to_be_bytes()), 1002),
        ("close with a bad reason", frame(0x88, b"\x03\xe8\xff"), 1007),
        ("bad text in fragments", [frame(0x01, b"\xc3"), frame(0x80, b"\x28")].concat(), 1007),
    ];
    for (name, bytes, code) in cases {
        let mut rig = Rig::open();
        rig.bytes(&bytes);
        let (got, reason) = closed_with(&rig.written);
        assert_eq!(got, code, "{name}: {reason}");
        assert!(!reason.is_empty() && reason == rig.refusals[0].reason, "{name}");
        assert_eq!((rig.session.phase(), rig.messages.len()), (Phase::Closing, 1), "{name}");
        assert_eq!(rig.half_closed, code == 1002, "{name}: after that no close frame can be found");
    }
    let mut rig = Rig::open();
    rig.bytes(&frame(0x89, &[0; 125]));
    assert_eq!(frames(&rig.written), [(0x8a, vec![0; 125])]);
}

#[test]
fn our_ping_is_empty_and_only_for_websockets() {
    let mut rig = Rig::open();
    rig.session.ping();
    assert_eq!(rig.session.outgoing(), [0x89, 0]);
    let mut rig = Rig::new();
    rig.session.ping();
    rig.session.send_text(&["no"]);
    assert_eq!(rig.session.unsent(), 0);
}

#[test]
fn messages_of_a_session_show_no_content_in_debug_output() {
    let mut rig = Rig::connecting();
    rig.bytes(&text("made-up-secret"));
    assert!(rig.told.iter().all(|told| !told.contains("secret")), "{:?}", rig.told);
}

/// tungstenite's client and this session: messages of every length class, both ways, in random pieces.
#[test]
fn an_independent_client_understands_every_message() {
    let mut random = Random(7);
    let mut rig = Rig::open();
    let mut client = Client::new();
    let mut lens = vec![0, 1, 125, 126, 127, 4_000, 4_096, 65_535, 65_536, 65_537, 300_000];
    lens.extend((0..40).map(|_| random.below(20_000)));
    for len in lens {
        let sent = "ä".repeat(len / 2) + &"x".repeat(len % 2);
        client.send(Message::text(sent.clone()));
        while client.outgoing.position() < client.outgoing.get_ref().len() as u64 {
            let mut piece = vec![0; 1 + random.below(70_000)];
            let count = client.outgoing.read(&mut piece).unwrap();
            rig.bytes(&piece[..count]);
        }
        assert_eq!(client.read(&mut rig).unwrap(), Message::text(sent));
    }
    rig.refuse();
    assert!(matches!(client.read(&mut rig), Ok(Message::Close(Some(close))) if close.reason == "not today"));
    client.flush();
    let mut reply = Vec::new();
    client.outgoing.read_to_end(&mut reply).unwrap();
    rig.bytes(&reply);
    assert_eq!(rig.end, Some(loopgate::session::End::Drained));
}

/// tungstenite as a client over two buffers.
struct Client {
    context: WebSocketContext,
    outgoing: Cursor<Vec<u8>>,
}

struct Wire<'a> {
    incoming: &'a [u8],
    outgoing: &'a mut Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let config = WebSocketConfig::default().write_buffer_size(0);
        Self { context: WebSocketContext::new(Role::Client, Some(config)), outgoing: Cursor::default() }
    }

    fn send(&mut self, message: Message) {
        let mut wire = Wire { incoming: &[], outgoing: self.outgoing.get_mut() };
        self.context.write(&mut wire, message).unwrap();
    }

    fn flush(&mut self) {
        let mut wire = Wire { incoming: &[], outgoing: self.outgoing.get_mut() };
        self.context.flush(&mut wire).unwrap();
    }

    fn read(&mut self, rig: &mut Rig) -> Result<Message, Error> {
        let written = std::mem::take(&mut rig.written);
        self.context.read(&mut Wire { incoming: &written, outgoing: self.outgoing.get_mut() })
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
