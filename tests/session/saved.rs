//! A session goes on in another process as if nothing had happened, wherever it was cut.

use std::time::{Duration, Instant};

use loopgate::clock::{Epoch, Now};
use loopgate::limits;
use loopgate::session::{Held, Phase, Saved, Session};
use serde_json::{Value, json};

use crate::chunks::{noise, streams};
use crate::rig::{Random, Rig, SPANS, close, frame, header, text, upgrade_request};

/// Everything that a peer and the gateway see of one session.
#[derive(Debug, PartialEq)]
struct Course {
    told: Vec<String>,
    messages: Vec<String>,
    written: Vec<u8>,
    /// From the time of accept.
    deadline: Option<Duration>,
    half_closed: bool,
    phase: Phase,
}

fn epoch(rig: &Rig) -> Epoch {
    Epoch::new(rig.now.mono - Duration::from_secs(100))
}

/// Puts the session through its stored form, as two processes with clocks of their own would. False if it cannot be
/// saved at this moment.
fn change(rig: &mut Rig) -> bool {
    let epoch = epoch(rig);
    let Some((saved, held)) = rig.session.save(&epoch) else { return false };
    let stored = serde_json::to_string(&saved).unwrap();
    let read: Saved = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, saved);
    let next = Session::restore(read, held.clone(), SPANS, &epoch).unwrap();
    assert_eq!(next.save(&epoch), Some((saved, held)), "nothing is lost on the way");
    assert_eq!((next.phase(), next.deadline()), (rig.session.phase(), rig.session.deadline()));
    assert_eq!(next.at_rest(), rig.session.at_rest());
    assert_eq!(next.unsent(), rig.session.unsent());
    assert_eq!(next.wants_read(), rig.session.wants_read());
    rig.session = next;
    true
}

/// The course of a session that is sent `pieces`; after each, `cut` says whether processes change.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, end: bool, mut cut: impl FnMut() -> bool) -> Course {
    let mut rig = Rig::new();
    for piece in pieces {
        rig.bytes(piece);
        if cut() && !change(&mut rig) {
            // After a turn of this rig nothing is handed out and undecided.
            assert_eq!(rig.session.phase(), Phase::Closed);
        }
    }
    if end {
        rig.eof();
    }
    let accepted = rig.session.accepted();
    Course {
        told: rig.told,
        messages: rig.messages,
        written: rig.written,
        deadline: rig.session.deadline().map(|deadline| deadline - accepted),
        half_closed: rig.half_closed,
        phase: rig.session.phase(),
    }
}

/// Cuts `stream` at every byte, and then at all of them.
fn cut_everywhere(name: &str, stream: &[u8]) {
    for end in [true, false] {
        for at in 0..stream.len() {
            let (before, behind) = stream.split_at(at);
            let whole = run([before, behind], end, || false);
            let mut first = true;
            let course = run([before, behind], end, || std::mem::take(&mut first));
            assert_eq!(course, whole, "{name}, byte {at}");
        }
        let whole = run(stream.chunks(1), end, || false);
        assert_eq!(run(stream.chunks(1), end, || true), whole, "{name}, every byte");
    }
}

#[test]
fn a_cut_at_any_byte_changes_nothing() {
    for (name, stream) in streams().iter().filter(|(_, stream)| stream.len() < 10_000) {
        cut_everywhere(name, stream);
    }
}

#[test]
fn recorded_conversations_survive_a_cut_at_any_byte() {
    for record in [
        include_str!("../data/conversations/2026.3.13/call-health.json"),
        include_str!("../data/conversations/2026.9.6/call-health.json"),
    ] {
        let said = said(&serde_json::from_str(record).unwrap());
        let mut stream = upgrade_request();
        stream.extend(text(&said[0]));
        for message in &said {
            let (first, rest) = message.as_bytes().split_at(message.len() / 3);
            stream.extend(frame(0x01, first));
            stream.extend(frame(0x89, b"between"));
            stream.extend(frame(0x00, &rest[..5]));
            stream.extend(frame(0x80, &rest[5..]));
        }
        stream.extend(close(1000, "done"));
        let course = run([stream.as_slice()], true, || false);
        assert_eq!(course.messages[1..], said);
        assert!(stream.len() > 900, "{}", stream.len());
        cut_everywhere("recorded", &stream);
    }
}

#[test]
fn large_streams_and_noise_survive_cuts_anywhere() {
    for (name, stream) in streams() {
        let whole = run(stream.chunks(997), true, || false);
        assert_eq!(run(stream.chunks(997), true, || true), whole, "{name}");
    }
    for seed in 0..300 {
        let mut random = Random(seed);
        let stream = noise(&mut random);
        let longest = 1 + random.below(40);
        let whole = run(stream.chunks(longest), true, || false);
        let course = run(stream.chunks(longest), true, || random.below(3) == 0);
        assert_eq!(course, whole, "seed {seed}");
    }
}

/// What is owed to a peer that does not read, and messages that wait for their turn, go along.
#[test]
fn unread_and_unwritten_bytes_go_along() {
    let mut rig = Rig::open();
    rig.blocked = true;
    rig.bytes(&[text("one"), frame(0x89, b"p"), frame(0x01, b"tw")].concat());
    rig.session.receive(&[frame(0x80, b"o"), text("three"), text("fo")[..5].to_vec()].concat(), rig.now);
    assert!(!rig.session.at_rest());
    let (_, held) = rig.session.save(&epoch(&rig)).unwrap();
    assert!(!held.rx.is_empty() && !held.tx.is_empty() && !held.fragments.is_empty());
    assert!(!format!("{held:?}").contains("one"), "bytes are never printed");
    assert!(change(&mut rig));
    rig.blocked = false;
    rig.pump();
    assert_eq!(rig.messages, ["connect", "one", "two", "three"]);
    rig.bytes(&text("fo")[5..]);
    let answers: Vec<_> = crate::rig::frames(&rig.written);
    let want: [(u8, &[u8]); 5] =
        [(0x81, b"one"), (0x8a, b"p"), (0x81, b"two"), (0x81, b"three"), (0x81, b"fo")];
    assert_eq!(answers, want.map(|(first, payload)| (first, payload.to_vec())));
    assert!(rig.session.at_rest());
}

#[test]
fn a_half_written_frame_is_finished_by_the_next_process() {
    let mut rig = Rig::open();
    rig.session.send_text(&["a message in two halves"]);
    rig.session.sent(7, rig.now);
    assert!(!rig.session.at_rest());
    assert!(change(&mut rig));
    assert_eq!(rig.session.outgoing(), b"sage in two halves");
    rig.session.sent(rig.session.unsent(), rig.now);
    assert!(rig.session.at_rest());
}

/// A crash loses what is only in memory, so half of anything is no rest.
#[test]
fn half_of_anything_is_no_rest() {
    let mut rig = Rig::new();
    let mut steps = |bytes: &[u8], rests: bool| {
        rig.bytes(bytes);
        assert_eq!(rig.session.at_rest(), rests, "{} bytes in {:?}", bytes.len(), rig.session.phase());
    };
    let (first, last) = (frame(0x01, b"con"), frame(0x80, b"nect"));
    let upgrade = upgrade_request();
    steps(b"", true);
    steps(&upgrade[..9], false);
    steps(&upgrade[9..], true);
    for _ in [Phase::Connect, Phase::Open] {
        steps(&first[..1], false);
        steps(&first[1..], false);
        steps(&frame(0x89, b"between"), false);
        steps(&last[..8], false);
        steps(&last[8..], true);
        steps(&frame(0x8a, b""), true);
    }
    steps(&close(1000, ""), false);
}

/// The peer's last byte came, and nobody has looked at it yet.
#[test]
fn an_end_that_was_not_looked_at_goes_along() {
    for phase in [Phase::Accept, Phase::Head, Phase::Connect, Phase::Open, Phase::Closing] {
        let (mut rig, mut whole) = (Rig::at(phase), Rig::at(phase));
        rig.session.eof();
        whole.session.eof();
        assert!(change(&mut rig) && !rig.session.at_rest() && !rig.session.wants_read());
        rig.pump();
        whole.pump();
        assert_eq!((rig.told, rig.end), (whole.told, whole.end), "{phase:?}");
        assert_eq!(rig.session.phase(), Phase::Closed);
    }
}

#[test]
fn every_deadline_keeps_running() {
    for phase in [Phase::Accept, Phase::Head, Phase::Connect, Phase::Closing] {
        let (mut rig, mut whole) = (Rig::at(phase), Rig::at(phase));
        let apart = whole.session.deadline().unwrap().saturating_duration_since(whole.now.mono);
        assert!(change(&mut rig));
        for rig in [&mut rig, &mut whole] {
            rig.later(apart.checked_sub(Duration::from_millis(1)).unwrap());
            assert!(rig.expire().is_none() && rig.end.is_none(), "{phase:?} early");
            rig.later(Duration::from_millis(1));
        }
        let (got, want) = (rig.expire(), whole.expire());
        assert_eq!(got.map(|r| r.reason), want.map(|r| r.reason), "{phase:?}");
        assert_eq!((rig.told, rig.written), (whole.told, whole.written), "{phase:?}");
    }
}

#[test]
fn spans_are_those_of_the_day() {
    let rig = Rig::connecting();
    let epoch = epoch(&rig);
    let (saved, held) = rig.session.save(&epoch).unwrap();
    let handshake = limits::HANDSHAKE.max;
    let spans = loopgate::session::Spans { handshake, ..SPANS };
    let next = Session::restore(saved, held, spans, &epoch).unwrap();
    assert_eq!(next.deadline(), Some(rig.session.accepted() + handshake));
}

#[test]
fn what_is_being_decided_cannot_be_saved() {
    for phase in Phase::ALL {
        let rig = Rig::at(phase);
        let saved = rig.session.save(&epoch(&rig)).is_some();
        assert_eq!(saved, !matches!(phase, Phase::Verdict | Phase::Relay | Phase::Closed), "{phase:?}");
        let rests = matches!(phase, Phase::Accept | Phase::Connect | Phase::Open);
        assert_eq!(rig.session.at_rest(), rests, "{phase:?}");
    }
    let now = Now { mono: Instant::now(), unix_ms: 0 };
    let epoch = Epoch::new(now.mono);
    let mut session = Session::new(now, SPANS);
    session.receive(&[upgrade_request(), text("connect")].concat(), now);
    assert!(session.save(&epoch).is_some(), "nothing is handed out yet");
    session.poll(now).unwrap();
    assert!(session.save(&epoch).is_none(), "the head is handed out");
    session.upgrade();
    assert!(session.save(&epoch).is_some() && !session.at_rest());
    session.poll(now).unwrap();
    assert!(session.save(&epoch).is_none(), "the request is handed out");
    session.eof();
    assert!(!session.at_rest());
}

#[test]
fn the_stored_format_stays() {
    let saved = |state: Value| json!({"accepted": 5, "eof": false, "state": state});
    let epoch = Epoch::new(Instant::now());
    let read = |state: Value, rx: &[u8]| {
        let held = Held { rx: rx.to_vec(), ..Held::default() };
        let stored = saved(state.clone());
        let session =
            Session::restore(serde_json::from_value(stored.clone()).unwrap(), held, SPANS, &epoch).unwrap();
        let again = session.save(&epoch).unwrap().0;
        assert_eq!(serde_json::to_value(again).unwrap(), stored, "{state}");
        session.phase()
    };
    assert_eq!(read(json!({"phase": "accept"}), b""), Phase::Accept);
    let progress = json!({"seen": 3, "worth": 2});
    assert_eq!(read(json!({"phase": "head", "began": 6, "progress": progress}), b"GET"), Phase::Head);
    assert_eq!(read(json!({"phase": "connect"}), b""), Phase::Connect);
    assert_eq!(read(json!({"phase": "open"}), b""), Phase::Open);
    for tail in [
        json!({"kind": "frames", "skip": 7, "close": true}),
        json!({"kind": "deaf", "told": true}),
        json!({"kind": "ended"}),
    ] {
        let state = json!({"phase": "closing", "until": 9, "tail": tail, "goodbye": null});
        assert_eq!(read(state, b""), Phase::Closing);
    }
    let goodbye = json!({"code": 1001, "reason": "going"});
    let state = json!({"phase": "closing", "until": 9, "tail": {"kind": "ended"}, "goodbye": goodbye});
    assert_eq!(read(state, b""), Phase::Closing);
    // What an older version did not write has a default, and what a later one adds does no harm.
    let lean = json!({"accepted": 0, "state": {"phase": "closing", "tail": {"kind": "ended"}, "more": 1}});
    assert!(serde_json::from_value::<Saved>(lean).is_ok());
}

#[test]
fn places_that_cannot_have_come_about_are_refused() {
    let head = |began: u64, progress: Value| json!({"phase": "head", "began": began, "progress": progress});
    let new = || json!({});
    let (accept, connect, open) =
        (json!({"phase": "accept"}), json!({"phase": "connect"}), json!({"phase": "open"}));
    let over = |bound: usize| rx(&vec![b'a'; bound + 1]);
    refused(vec![
        ("accept with bytes", accept.clone(), rx(b"G")),
        ("accept with words", accept.clone(), Held { tx: vec![0], ..Held::default() }),
        ("accept with fragments", accept, fragments(half())),
        ("head without a byte", head(2_000_000, new()), rx(b"")),
        ("head looked at before it came", head(2_000_000, json!({"seen": 2, "worth": 2})), rx(b"G")),
        ("head that waits for too much", head(2_000_000, json!({"seen": 1, "worth": 3})), rx(b"G")),
        ("head before accept", head(999_999, new()), rx(b"G")),
        ("head too long", head(2_000_000, new()), over(limits::HELD_HEAD_BYTES_MAX)),
        ("connect too long", connect.clone(), over(limits::HELD_CONNECT_BYTES_MAX)),
        ("connect with too large a part", connect, fragments(frame(0x01, &vec![b'a'; 65_537]))),
        ("open too long", open.clone(), over(limits::HELD_OPEN_BYTES_MAX)),
        ("a whole message", open.clone(), fragments(text("whole"))),
        ("a finished message", open.clone(), fragments([half(), frame(0x80, b"done")].concat())),
        ("half a frame", open.clone(), fragments(half()[..8].to_vec())),
        ("half a header", open.clone(), fragments(vec![0x01])),
        ("a continuation of nothing", open.clone(), fragments(frame(0x00, b"x"))),
        ("two beginnings", open.clone(), fragments([half(), half()].concat())),
        ("a ping", open.clone(), fragments([half(), frame(0x89, b"")].concat())),
        ("a pong", open.clone(), fragments([half(), frame(0x8a, b"")].concat())),
        ("a close", open.clone(), fragments([half(), close(1000, "")].concat())),
        ("no mask", open.clone(), fragments(vec![0x01, 0x01, b'a'])),
        ("a reserved bit", open.clone(), fragments(frame(0x41, b"x"))),
        ("too many fragments", open.clone(), fragments([half(), frame(0x00, b"").repeat(11_000)].concat())),
        ("an endless frame", open, fragments(header(0x01, u64::MAX))),
    ]);
}

#[test]
fn ends_that_cannot_have_come_about_are_refused() {
    let closing = |tail: Value| json!({"phase": "closing", "until": 9_000_000, "tail": tail});
    let frames = |skip: u64, close: bool| closing(json!({"kind": "frames", "skip": skip, "close": close}));
    let ended = || closing(json!({"kind": "ended"}));
    let deaf = || closing(json!({"kind": "deaf", "told": false}));
    let gone = |mut state: Value, code: Value, reason: &str| {
        state["goodbye"] = json!({"code": code, "reason": reason});
        state
    };
    let early = json!({"phase": "closing", "until": 1, "tail": {"kind": "ended"}});
    refused(vec![
        ("fragments", ended(), fragments(half())),
        ("before accept", early, rx(b"")),
        ("deaf with bytes", deaf(), rx(b"x")),
        ("skipping with bytes", frames(3, false), rx(b"x")),
        ("a header unread", frames(0, false), rx(&text("")[..6])),
        ("a bad header unread", frames(0, false), rx(&[0x83, 0x80, 1, 2, 3, 4])),
        ("a close frame unseen", frames(0, true), rx(b"")),
        ("more than a header", ended(), rx(&[0; 14])),
        ("bytes after the end", ended(), rx(b"x")),
        ("a forbidden code", gone(ended(), json!(1005), ""), rx(b"")),
        ("a reason without a code", gone(ended(), json!(null), "why"), rx(b"")),
        ("a reason too long", gone(ended(), json!(1000), &"y".repeat(124)), rx(b"")),
        ("a goodbye and listening", gone(deaf(), json!(1000), ""), rx(b"")),
    ]);
}

fn refused(cases: Vec<(&str, Value, Held)>) {
    let epoch = Epoch::new(Instant::now());
    for (name, state, held) in cases {
        let saved = json!({"accepted": 1_000_000, "state": state});
        let saved: Saved = serde_json::from_value(saved).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = Session::restore(saved, held, SPANS, &epoch).map(|s| s.phase()).expect_err(name);
        assert!(!error.is_empty() && !error.ends_with('.'), "{name}: {error}");
    }
}

fn rx(bytes: &[u8]) -> Held {
    Held { rx: bytes.to_vec(), ..Held::default() }
}

fn fragments(bytes: Vec<u8>) -> Held {
    Held { fragments: bytes, ..Held::default() }
}

fn half() -> Vec<u8> {
    frame(0x01, b"half")
}

#[test]
fn too_much_to_write_is_refused() {
    let held = Held { tx: vec![0; limits::HELD_TX_BYTES_MAX + 1], ..Held::default() };
    let saved = serde_json::from_value(json!({"accepted": 0, "state": {"phase": "open"}})).unwrap();
    let error = Session::restore(saved, held, SPANS, &Epoch::new(Instant::now())).unwrap_err();
    assert!(error.contains("unwritten"), "{error}");
}

#[test]
fn what_is_no_record_is_not_read() {
    for bad in [
        json!({}),
        json!({"accepted": 0}),
        json!({"accepted": -1, "state": {"phase": "open"}}),
        json!({"accepted": "0", "state": {"phase": "open"}}),
        json!({"accepted": 0, "state": {"phase": "verdict"}}),
        json!({"accepted": 0, "state": {"phase": "closed"}}),
        json!({"accepted": 0, "state": {"phase": "head"}}),
        json!({"accepted": 0, "state": {"phase": "closing"}}),
        json!({"accepted": 0, "state": {"phase": "closing", "tail": {"kind": "frames", "skip": -1, "close": true}}}),
        json!({"accepted": 0, "state": "open"}),
        json!([0, false, "open"]),
    ] {
        assert!(serde_json::from_value::<Saved>(bad.clone()).is_err(), "{bad}");
    }
}

/// Whatever is restored lives on without harm, whatever the bytes.
#[test]
fn noise_in_a_record_is_refused_or_lives() {
    let mut restored = 0;
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let state = match random.below(4) {
            0 => json!({"phase": "head", "began": random.below(9)}),
            1 => json!({"phase": "connect"}),
            2 => json!({"phase": "open"}),
            _ => {
                let tail = json!({"kind": "frames", "skip": random.below(2), "close": random.below(2) == 0});
                json!({"phase": "closing", "until": random.below(9), "tail": tail})
            }
        };
        let saved = json!({"accepted": random.below(5), "eof": random.below(9) == 0, "state": state});
        let fragments = match random.below(3) {
            0 => Vec::new(),
            1 => frame(0x01, b"first"),
            _ => noise(&mut random),
        };
        let held = Held { rx: noise(&mut random), tx: Vec::new(), fragments };
        let mut rig = Rig::new();
        let epoch = epoch(&rig);
        let Ok(session) = Session::restore(serde_json::from_value(saved).unwrap(), held, SPANS, &epoch)
        else {
            continue;
        };
        restored += 1;
        rig.session = session;
        rig.pump();
        rig.bytes(&noise(&mut random));
        rig.eof();
        assert_eq!(rig.session.phase(), Phase::Closed, "seed {seed}");
    }
    assert!(restored > 300, "{restored}");
}

/// The requests of a recorded conversation, as its client sent them.
fn said(record: &Value) -> Vec<String> {
    let talk = &record["connections"][0];
    let connect = json!({"type": "req", "id": "1", "method": "connect", "params": talk["connect"]["params"]});
    let calls =
        talk["requests"].as_array().unwrap().iter().map(
            |call| json!({"type": "req", "id": "2", "method": call["method"], "params": call["params"]}),
        );
    [connect].into_iter().chain(calls).map(|message| message.to_string()).collect()
}
