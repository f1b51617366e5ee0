//! Deadlines: not a millisecond early, and each says what was missing.

use std::time::Duration;

use loopgate::session::{End, Phase};

use crate::rig::{Rig, SPANS, closed_with, frames, text, upgrade_request};

const TICK: Duration = Duration::from_millis(1);

/// The text of the refusal at `span` after accept, and that there is none a millisecond before it.
fn late(rig: &mut Rig, span: Duration) -> (&'static str, String) {
    rig.later(span - TICK);
    let phase = rig.session.phase();
    assert_eq!(rig.session.overdue(rig.now), None);
    assert_eq!(rig.expire(), None);
    assert_eq!(rig.session.phase(), phase);
    rig.later(TICK);
    assert_eq!(rig.session.deadline(), Some(rig.now.mono));
    let foretold = rig.session.overdue(rig.now).unwrap();
    assert_eq!(rig.session.phase(), phase, "asking changes nothing");
    let refusal = rig.expire().unwrap();
    assert_eq!(refusal, foretold);
    // A verdict that does not come is the gateway's own failure.
    let code = if phase == Phase::Verdict { 1011 } else { 1008 };
    assert_eq!((refusal.status, refusal.code.number()), (408, code));
    assert_eq!(rig.session.phase(), Phase::Closing);
    assert_eq!(rig.expire(), None, "said once");
    assert!(refusal.reason.len() <= 120 && refusal.remedy.len() > 10);
    (refusal.rule, refusal.reason.into_owned())
}

#[test]
fn nothing_was_ever_sent() {
    let mut rig = Rig::new();
    let (rule, reason) = late(&mut rig, SPANS.handshake);
    assert_eq!(
        (rule, reason.as_str()),
        ("deadline-accept", "handshake deadline: nothing was sent within 15000 ms (phase accept)")
    );
    let answer = String::from_utf8(rig.written.clone()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{reason}\n")), "{answer}");
    assert!(rig.half_closed);
}

/// A client that connects and then loads for seconds gets in; the head's own clock starts with its first byte.
#[test]
fn a_head_that_begins_late_has_its_whole_span() {
    let mut rig = Rig::new();
    rig.later(Duration::from_secs(8));
    assert_eq!(rig.expire(), None);
    rig.bytes(&upgrade_request()[..20]);
    assert_eq!(rig.session.deadline(), Some(rig.now.mono + SPANS.head));
    rig.later(SPANS.head - TICK);
    assert_eq!(rig.expire(), None);
    rig.bytes(&upgrade_request()[20..]);
    assert_eq!(rig.session.phase(), Phase::Connect);

    // But never beyond the handshake span.
    let mut rig = Rig::new();
    let accepted = rig.now.mono;
    rig.later(Duration::from_secs(12));
    rig.bytes(b"GET / HT");
    assert_eq!(rig.session.deadline(), Some(accepted + SPANS.handshake));
}

#[test]
fn half_a_head() {
    let mut rig = Rig::new();
    rig.bytes(b"GET / HTTP/1.1\r\nHo");
    let (rule, reason) = late(&mut rig, SPANS.head);
    let want = "head deadline: half an http head (18 bytes) within 5000 ms (phase head)";
    assert_eq!((rule, reason.as_str()), ("deadline-head", want));
    assert!(rig.written.starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn a_byte_at_a_time_buys_no_time() {
    let mut rig = Rig::new();
    for byte in upgrade_request().iter().take(49) {
        rig.later(Duration::from_millis(100));
        rig.bytes(&[*byte]);
    }
    // The first byte came at 100 ms, the last at 4.9 s.
    rig.later(Duration::from_millis(100));
    assert_eq!(rig.expire(), None);
    rig.later(Duration::from_millis(100));
    assert_eq!(rig.expire().unwrap().rule, "deadline-head");
}

#[test]
fn connect_never_came() {
    let mut rig = Rig::connecting();
    let (rule, reason) = late(&mut rig, SPANS.handshake);
    let want = "handshake deadline: no connect within 15000 ms (phase connect)";
    assert_eq!((rule, reason.as_str()), ("deadline-connect", want));
    assert_eq!(closed_with(&rig.written), (1008, reason));
    assert!(!rig.half_closed, "the close frame is answered by another");
}

#[test]
fn half_a_connect() {
    let mut rig = Rig::connecting();
    rig.bytes(&text("0123456789")[..9]);
    let (rule, reason) = late(&mut rig, SPANS.handshake);
    let want = "handshake deadline: half a connect frame (9 bytes) within 15000 ms (phase connect)";
    assert_eq!((rule, reason.as_str()), ("deadline-connect", want));
}

#[test]
fn half_a_connect_in_fragments() {
    let mut rig = Rig::connecting();
    rig.bytes(&crate::rig::frame(0x01, b"01234"));
    let (_, reason) = late(&mut rig, SPANS.handshake);
    assert!(reason.contains("half a connect frame (11 bytes)"), "{reason}");
}

#[test]
fn the_verdict_took_too_long() {
    let mut rig = Rig::deciding();
    let (rule, reason) = late(&mut rig, SPANS.handshake);
    let want = "handshake deadline: no verdict on connect within 15000 ms (phase verdict)";
    assert_eq!((rule, reason.as_str()), ("deadline-verdict", want));
}

/// Between asking and acting, the request that waits can be answered.
#[test]
fn the_request_is_answered_before_the_close() {
    let mut rig = Rig::deciding();
    rig.later(SPANS.handshake);
    assert!(rig.session.overdue(rig.now).is_some());
    rig.session.send_text(&["error"]);
    rig.expire();
    let kinds: Vec<u8> = frames(&rig.written).iter().map(|(first, _)| *first).collect();
    assert_eq!(kinds, [0x81, 0x88]);
}

#[test]
fn what_came_in_time_counts_even_if_the_loop_is_late() {
    let mut rig = Rig::connecting();
    rig.later(SPANS.handshake * 2);
    rig.bytes(&text("connect"));
    assert_eq!(rig.expire(), None);
    assert_eq!(rig.session.phase(), Phase::Open);
}

#[test]
fn an_open_connection_has_no_deadline() {
    let mut rig = Rig::open();
    assert_eq!(rig.session.deadline(), None);
    rig.later(Duration::from_secs(1_000_000));
    assert_eq!(rig.expire(), None);
    assert_eq!(rig.session.phase(), Phase::Open);
}

#[test]
fn the_head_has_to_come_within_a_shorter_handshake() {
    let mut rig = Rig::new();
    let spans = loopgate::session::Spans { handshake: Duration::from_secs(1), ..SPANS };
    rig.session = loopgate::session::Session::new(rig.now, spans);
    let (_, reason) = late(&mut rig, Duration::from_secs(1));
    assert!(reason.contains("within 1000 ms"), "{reason}");
}

#[test]
fn closing_is_waited_for_from_its_beginning() {
    let mut rig = Rig::open();
    rig.later(Duration::from_secs(3_600));
    rig.refuse();
    assert_eq!(rig.session.deadline(), Some(rig.now.later(SPANS.closing).mono));
    rig.later(SPANS.closing - TICK);
    rig.expire();
    assert_eq!(rig.session.phase(), Phase::Closing);
    rig.later(TICK);
    assert_eq!(rig.expire(), None, "that is no new refusal");
    assert_eq!(rig.end, Some(End::Overdue { unsent: 0 }));
}

#[test]
fn what_could_not_be_written_is_told() {
    let mut rig = Rig::open();
    rig.blocked = true;
    rig.refuse();
    let unsent = rig.session.unsent();
    rig.later(SPANS.closing);
    rig.expire();
    assert_eq!(rig.end, Some(End::Overdue { unsent }));
    assert!(unsent > 10);
}
