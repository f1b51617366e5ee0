//! What a connection holds.

use loopgate::limits;
use loopgate::session::{Phase, Session};

use crate::rig::{Random, Rig, close, frame, header, text, upgrade_request};

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Session>() <= 256, "{} bytes", size_of::<Session>());
    let mut rig = Rig::new();
    rig.bytes(&upgrade_request());
    rig.bytes(&text(&"c".repeat(3_000)));
    assert_eq!(rig.session.phase(), Phase::Open);
    rig.session.send_text(&[&"h".repeat(50_000)]);
    rig.bytes(&text(&"m".repeat(1_000_000)));
    let fragment = vec![b'f'; 100_000];
    rig.bytes(&[frame(0x01, &fragment), frame(0x80, &fragment)].concat());
    assert_eq!(rig.messages.len(), 3);
    assert!(rig.session.heap_bytes() <= 2 * limits::BUFFER_KEEP_BYTES, "{} bytes", rig.session.heap_bytes());
}

#[test]
fn the_handshake_is_forgotten_at_admission() {
    let rig = Rig::open();
    assert!(rig.session.heap_bytes() <= 256, "{} bytes", rig.session.heap_bytes());
}

#[test]
fn payload_over_the_limit_is_not_kept() {
    let mut rig = Rig::connecting();
    rig.bytes(&header(0x81, 10 << 20));
    assert_eq!(rig.refusals[0].rule, "message-too-large");
    for _ in 0..160 {
        rig.bytes(&vec![0; limits::READ_TURN_BYTES_MAX]);
        assert!(rig.session.heap_bytes() <= limits::BUFFER_KEEP_BYTES);
    }
}

/// Frames without end, none of which finishes a message.
#[test]
fn empty_fragments_do_not_pile_up() {
    let mut rig = Rig::connecting();
    rig.bytes(&frame(0x01, b""));
    for _ in 0..limits::FRAGMENT_HEADERS_BYTES_MAX / 6 - 1 {
        rig.bytes(&frame(0x00, b""));
    }
    assert!(rig.refusals.is_empty());
    rig.bytes(&frame(0x00, b""));
    assert_eq!((rig.refusals[0].rule, rig.refusals[0].code.number()), ("message-fragments", 1009));
    assert!(rig.heap_max <= 3 * limits::FRAGMENT_HEADERS_BYTES_MAX);
}

/// Small messages come faster than they are taken: reading stops until some are.
#[test]
fn unread_messages_are_bounded() {
    let mut rig = Rig::open();
    rig.session.receive(&text("0123456789").repeat(limits::READ_TURN_BYTES_MAX / 16), rig.now);
    assert!(!rig.session.wants_read());
    rig.pump();
    assert!(rig.session.wants_read());
    assert_eq!(rig.messages.len(), 1 + limits::READ_TURN_BYTES_MAX / 16);
}

/// A peer that pings and never reads owes us the pongs; the gateway sees them in `unsent`.
#[test]
fn pongs_of_a_peer_that_does_not_read_are_counted() {
    let mut rig = Rig::open();
    rig.blocked = true;
    for _ in 0..100 {
        rig.bytes(&frame(0x89, &[7; 125]));
    }
    assert_eq!(rig.session.unsent(), 100 * 127);
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_not_read_either() {
    for (phase, bound) in
        [(Phase::Connect, limits::QUEUED_BYTES_MAX), (Phase::Open, limits::TX_QUEUE_BYTES_MAX)]
    {
        let mut rig = Rig::at(phase);
        rig.blocked = true;
        let turn = frame(0x89, &[7; 125]).repeat(limits::READ_TURN_BYTES_MAX / 131);
        while rig.session.wants_read() {
            rig.bytes(&turn);
            assert!(rig.session.unsent() < bound + limits::READ_TURN_BYTES_MAX);
        }
        assert!(rig.session.unsent() >= bound);
        rig.blocked = false;
        rig.pump();
        assert!(rig.session.wants_read(), "once it has taken what it was owed");
    }
}

#[test]
fn nothing_behind_a_close_frame_is_kept() {
    let mut rig = Rig::open();
    rig.blocked = true;
    rig.refuse();
    rig.bytes(&[close(1000, ""), vec![0x81; 50_000]].concat());
    assert_eq!(rig.session.phase(), Phase::Closing, "our close frame is unsent");
    assert!(rig.session.heap_bytes() <= limits::BUFFER_KEEP_BYTES);
}

#[test]
fn noise_in_the_closing_phase_is_thrown_away() {
    for seed in 0..50 {
        let mut rig = Rig::at(Phase::Closing);
        let mut random = Random(seed);
        for _ in 0..100 {
            let len = random.below(3_000);
            rig.bytes(&random.bytes(len));
        }
        assert!(rig.session.heap_bytes() <= 2 * limits::BUFFER_KEEP_BYTES);
        assert!(rig.messages.len() == 1, "only the connect");
    }
}
