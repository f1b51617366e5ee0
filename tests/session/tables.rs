//! `PHASES` and `TRANSITIONS`: total, connected, and what the session really does.

use std::collections::BTreeSet;

use loopgate::session::{
    Authorization, Deadline, Event, Happening, Head, HttpAnswer, PHASES, Phase, TRANSITIONS, next,
};

use crate::rig::{Rig, SPANS, close, stopping, upgrade_request};

#[test]
fn every_phase_has_its_row_in_order() {
    let rows: Vec<Phase> = PHASES.iter().map(|row| row.phase).collect();
    assert_eq!(rows, Phase::ALL);
    let names: BTreeSet<&str> = PHASES.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), PHASES.len());
    for row in PHASES {
        assert_eq!(row.phase.row().name, row.name);
        assert!(!row.doc.is_empty() && !row.on_deadline.is_empty());
    }
}

#[test]
fn a_phase_that_waits_for_the_peer_has_a_deadline_and_a_way_out_of_it() {
    for row in PHASES {
        let waits = !matches!(row.phase, Phase::Open | Phase::Closed);
        assert_eq!(row.deadline != Deadline::None, waits, "{}", row.name);
        assert_eq!(next(row.phase, Event::Deadline).is_some(), waits, "{}", row.name);
    }
}

#[test]
fn the_whole_product_is_decided_once() {
    for phase in Phase::ALL {
        for event in Event::ALL {
            let rows = TRANSITIONS.iter().filter(|(from, on, _)| (*from, *on) == (phase, event)).count();
            assert!(rows <= 1, "{phase:?} {event:?}");
            assert_eq!(next(phase, event).is_some(), rows == 1);
        }
    }
    for event in Event::ALL {
        assert!(TRANSITIONS.iter().any(|(_, on, _)| *on == event), "{event:?} leads nowhere");
    }
    for phase in Phase::ALL {
        let alive = phase != Phase::Closed;
        assert_eq!(next(phase, Event::Lost), alive.then_some(Phase::Closed), "{phase:?}");
        assert_eq!(next(phase, Event::Eof).is_some(), alive, "{phase:?}");
    }
}

#[test]
fn every_phase_is_reached_and_leads_to_the_end() {
    let from_start = reach(&[Phase::Accept], |(from, _, to)| (*from, *to));
    let from_end = reach(&[Phase::Closed], |(from, _, to)| (*to, *from));
    assert_eq!(from_start.len(), Phase::ALL.len());
    assert_eq!(from_end.len(), Phase::ALL.len());
}

fn reach(start: &[Phase], edge: impl Fn(&(Phase, Event, Phase)) -> (Phase, Phase)) -> BTreeSet<Phase> {
    let mut seen: BTreeSet<Phase> = start.iter().copied().collect();
    loop {
        let more: Vec<Phase> = TRANSITIONS
            .iter()
            .map(&edge)
            .filter(|(a, b)| seen.contains(a) && !seen.contains(b))
            .map(|(_, b)| b)
            .collect();
        if more.is_empty() {
            return seen;
        }
        seen.extend(more);
    }
}

/// Every event in every phase, done to a session: it goes where the table says, or stays.
#[test]
fn the_session_follows_the_table() {
    for phase in Phase::ALL {
        for event in Event::ALL {
            let mut rig = Rig::at(phase);
            assert_eq!(rig.session.phase(), phase);
            let Some(seen) = cause(&mut rig, phase, event) else { continue };
            assert_eq!(seen, next(phase, event).unwrap_or(phase), "{event:?} in {phase:?}");
        }
    }
}

/// Does `event` to the session and tells the phase right after it; `None` if the event cannot be brought about there.
fn cause(rig: &mut Rig, phase: Phase, event: Event) -> Option<Phase> {
    let (session, now) = (&mut rig.session, rig.now);
    match event {
        Event::Byte => session.receive(b"G", now),
        Event::Upgrade if phase == Phase::Head => return Some(whole_head(|rig, _| rig.session.upgrade())),
        Event::Answer if phase == Phase::Head => {
            return Some(whole_head(|rig, _| rig.session.answer(&HttpAnswer::text(200, "ok"), rig.now)));
        }
        Event::Relay if phase == Phase::Head => {
            let pass = |rig: &mut Rig, head: &Head| {
                rig.session.relay(head, Authorization::Keep, rig.now).unwrap();
            };
            return Some(whole_head(pass));
        }
        Event::Upgrade => session.upgrade(),
        Event::Answer => session.answer(&HttpAnswer::text(200, "ok"), now),
        Event::Connect => session.deliberate(),
        Event::Admit => session.admit(),
        Event::Refuse => session.refuse(&loopgate::wire::refusal::Refusal::new("test", "no", "none"), now),
        Event::Finish => session.finish(&stopping(), now),
        Event::PeerClose if matches!(phase, Phase::Accept | Phase::Head | Phase::Relay) => return None,
        Event::PeerClose => {
            session.receive(&close(1000, ""), now);
            if phase != Phase::Closing {
                // The echo is unsent yet, so this is not the end.
                assert!(session.poll(now).is_none());
            }
        }
        // With all written this would be `Drained` in one go.
        Event::Eof if phase == Phase::Closing => session.eof(),
        Event::Eof => {
            session.eof();
            drop(session.poll(now));
        }
        Event::Lost => session.lost(),
        Event::Deadline => drop(session.expire(now.later(SPANS.handshake.max(loopgate::limits::RELAY_PEER)))),
        // Only a head that was handed out can be passed on, and it was handed out once.
        Event::Relay | Event::Drained => return None,
    }
    Some(rig.session.phase())
}

/// The phase after `tell` was told to a session whose head is whole.
fn whole_head(tell: impl Fn(&mut Rig, &Head)) -> Phase {
    let mut rig = Rig::new();
    rig.session.receive(&upgrade_request(), rig.now);
    let Some(Happening::Head(head)) = rig.session.poll(rig.now) else { panic!("no head") };
    tell(&mut rig, &head);
    rig.session.phase()
}

#[test]
fn nothing_can_be_told_before_the_head_is_whole() {
    let mut rig = Rig::at(Phase::Head);
    rig.session.upgrade();
    assert_eq!(rig.session.phase(), Phase::Head);
    assert_eq!(rig.session.unsent(), 0);
}
