//! How connections end: from which side, and what is told of it.

use loopgate::session::{End, Phase};
use loopgate::wire::refusal::{CloseCode, Refusal};

use crate::rig::{Rig, SPANS, close, closed_with, frame, frames, header, stopping, text};

#[test]
fn a_close_of_the_peer_is_echoed_and_over() {
    for (sent, code, reason) in [
        (close(1000, ""), Some(1000), ""),
        (close(1001, "going away"), Some(1001), "going away"),
        (close(4000, "tick timeout"), Some(4000), "tick timeout"),
        (frame(0x88, b""), None, ""),
    ] {
        for phase in [Phase::Connect, Phase::Open] {
            let mut rig = Rig::at(phase);
            rig.bytes(&sent);
            assert_eq!(rig.end, Some(End::PeerClosed { code, reason: reason.into() }));
            let echo = frames(&rig.written);
            let payload = code.map_or(Vec::new(), |code| [&code.to_be_bytes(), reason.as_bytes()].concat());
            assert_eq!(echo, [(0x88, payload)]);
            assert_eq!((rig.session.phase(), rig.refusals.len()), (Phase::Closed, 0));
        }
    }
}

#[test]
fn the_echo_is_written_before_the_end_whatever_comes_meanwhile() {
    let mut rig = Rig::open();
    rig.blocked = true;
    rig.bytes(&close(1000, ""));
    rig.bytes(&[text("late"), close(1000, "")].concat());
    rig.eof();
    assert_eq!((rig.session.phase(), &rig.end), (Phase::Closing, &None));
    rig.blocked = false;
    rig.pump();
    assert!(matches!(rig.end, Some(End::PeerClosed { code: Some(1000), .. })));
    assert_eq!(rig.messages.len(), 1);
}

#[test]
fn that_the_peer_closed_is_told_even_if_the_connection_breaks_then() {
    for broken in [true, false] {
        let mut rig = Rig::open();
        rig.blocked = true;
        rig.bytes(&close(1001, "bye"));
        if broken {
            rig.session.lost();
            rig.pump();
        } else {
            rig.later(SPANS.closing);
            rig.expire();
        }
        assert_eq!(rig.end, Some(End::PeerClosed { code: Some(1001), reason: "bye".into() }));
    }
}

#[test]
fn a_refusal_is_said_and_the_peers_close_awaited() {
    for phase in [Phase::Connect, Phase::Verdict, Phase::Open] {
        let mut rig = Rig::at(phase);
        let refusal = Refusal::new("test", "x".repeat(200), "none").with_code(CloseCode::Protocol);
        rig.session.send_text(&["error"]);
        rig.session.refuse(&refusal, rig.now);
        rig.pump();
        assert_eq!(frames(&rig.written)[0], (0x81, b"error".to_vec()));
        assert_eq!(closed_with(&rig.written), (1002, "x".repeat(120)));
        assert!(!rig.half_closed);
        let len = rig.written.len();
        rig.session.send_text(&["too late"]);
        rig.session.ping();
        rig.session.refuse(&refusal, rig.now);
        rig.session.finish(&stopping(), rig.now);
        rig.bytes(&[text("ignored"), frame(0x89, b"ignored")].concat());
        assert_eq!((rig.written.len(), rig.session.phase()), (len, Phase::Closing), "said once");
        rig.bytes(&close(1002, "")[..7]);
        assert_eq!(rig.end, None, "a part of the close frame");
        rig.bytes(&close(1002, "")[7..]);
        assert_eq!(rig.end, Some(End::Drained));
    }
}

#[test]
fn an_end_of_bytes_is_as_good_as_a_close_frame() {
    let mut rig = Rig::at(Phase::Closing);
    rig.eof();
    assert_eq!(rig.end, Some(End::Drained));
}

/// The peer's close frame may have come before we refused: it waited behind connect, or behind half a turn of
/// messages.
#[test]
fn a_close_frame_that_waited_is_found() {
    let mut rig = Rig::deciding();
    rig.bytes(&[text("one"), close(1000, "")].concat());
    rig.refuse();
    assert_eq!(rig.end, Some(End::Drained));
}

#[test]
fn the_close_frame_is_found_behind_a_message_that_was_refused_for_its_size() {
    let mut rig = Rig::connecting();
    rig.bytes(&header(0x81, 3_000_000));
    assert_eq!(rig.refusals.len(), 1);
    // Payload that looks like close frames is payload.
    for _ in 0..30 {
        rig.bytes(&vec![0x88; 100_000]);
    }
    assert_eq!(rig.session.phase(), Phase::Closing);
    rig.bytes(&close(1009, ""));
    assert_eq!(rig.end, Some(End::Drained));
}

#[test]
fn a_stop_says_1012() {
    for phase in [Phase::Connect, Phase::Verdict, Phase::Open] {
        let mut rig = Rig::at(phase);
        rig.session.finish(&stopping(), rig.now);
        rig.pump();
        assert_eq!(closed_with(&rig.written), (1012, "service restart".to_owned()));
    }
}

#[test]
fn an_end_without_a_close_frame_tells_what_was_unfinished() {
    let cases = [
        (Phase::Accept, &b""[..], 0),
        (Phase::Head, b"TP", 10),
        (Phase::Connect, &frame(0x01, b"abc"), 9),
        (Phase::Verdict, &text("queued"), 12),
        (Phase::Open, &header(0x81, 100), 6),
    ];
    for (phase, bytes, unfinished) in cases {
        let mut rig = Rig::at(phase);
        rig.bytes(bytes);
        rig.eof();
        assert_eq!(rig.end, Some(End::Eof { phase, unfinished }));
        assert!(!rig.session.wants_read());
    }
}

#[test]
fn a_message_that_came_with_the_end_still_counts() {
    let mut rig = Rig::open();
    rig.session.receive(&text("last"), rig.now);
    rig.session.eof();
    rig.pump();
    assert_eq!(rig.messages[1], "last");
    assert!(matches!(rig.end, Some(End::Eof { phase: Phase::Open, unfinished: 0 })));
}

#[test]
fn a_broken_connection_is_over_at_once() {
    for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Closed) {
        let mut rig = Rig::at(phase);
        rig.session.lost();
        rig.pump();
        assert_eq!(rig.end, Some(End::Lost { phase }));
        assert_eq!(rig.session.deadline(), None);
    }
}

#[test]
fn nothing_happens_after_the_end() {
    let mut rig = Rig::at(Phase::Closed);
    let told = rig.told.len();
    rig.session.receive(&text("late"), rig.now);
    rig.session.eof();
    rig.session.lost();
    rig.session.admit();
    rig.session.deliberate();
    rig.session.upgrade();
    rig.session.send_text(&["late"]);
    rig.refuse();
    rig.later(SPANS.handshake);
    rig.expire();
    assert_eq!((rig.told.len(), rig.session.unsent(), rig.session.wants_read()), (told, 0, false));
}
