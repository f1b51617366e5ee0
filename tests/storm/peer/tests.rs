//! A client that is told what no client should be told must say so.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{News, Peer, Terms};
use crate::fates::{End, Fault};
use crate::profile::{Part, Profile, Target};
use crate::talk::Files;

/// A client and what it has told.
struct Told {
    peer: Peer,
    terms: Terms,
    now: Instant,
    news: Vec<News>,
}

impl Told {
    /// An idle client that is admitted and has made one call, with the id `0-1`.
    fn new() -> Self {
        let profile = Profile::new(Part::Idle, 0, &Target { port: 1, owner: None });
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let files = Files::default();
        let terms = Terms { calling: true, think: (second, second), beat: second, patience: second, files };
        let mut told = Self { peer: Peer::new(profile, 0, 1, 7, now), terms, now, news: Vec::new() };
        told.peer.connected(now);
        told.flush();
        told.bytes(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        told.says(json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n"}}));
        told.now += second;
        told.flush();
        told.says(hello(3, &["operator.approvals"]));
        assert!(matches!(told.news[..], [News::Open(_)]), "{:?}", told.news);
        told.news.clear();
        told.peer.ask(told.now);
        told.flush();
        told
    }

    fn flush(&mut self) {
        loop {
            let count = self.peer.sendable(self.now).len();
            if count == 0 {
                return;
            }
            self.peer.sent(count, self.now);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.peer.receive(bytes, self.now, &self.terms, &mut self.news);
    }

    fn says(&mut self, frame: Value) {
        let text = frame.to_string();
        let length = u16::try_from(text.len()).expect("a short frame").to_be_bytes();
        self.bytes(&[&[0x81, 126][..], &length, text.as_bytes()].concat());
    }

    fn answers(&mut self, id: &str, payload: Value) {
        self.says(json!({"type": "res", "id": id, "ok": true, "payload": payload}));
    }

    fn faults(&self) -> Vec<Fault> {
        let fault = |news: &News| match news {
            News::Fault(fault, _) => Some(*fault),
            _ => None,
        };
        self.news.iter().filter_map(fault).collect()
    }
}

fn hello(protocol: u32, scopes: &[&str]) -> Value {
    let payload = json!({"protocol": protocol, "auth": {"scopes": scopes}});
    json!({"type": "res", "id": "connect", "ok": true, "payload": payload})
}

#[test]
fn an_answer_is_right_once() {
    let mut told = Told::new();
    told.answers("0-1", json!({"ok": true}));
    assert!(matches!(told.news[..], [News::Answered(_)]), "{:?}", told.news);
    assert!(told.peer.is_calm());
    told.answers("0-1", json!({"ok": true}));
    assert_eq!(told.faults(), [Fault::AnswerDoubled]);
}

#[test]
fn an_answer_to_nobody_or_to_another_is_a_fault() {
    for (id, fault) in
        [("0-2", Fault::AnswerUnknown), ("1-1", Fault::AnswerUnknown), ("connect", Fault::AnswerDoubled)]
    {
        let mut told = Told::new();
        told.answers(id, json!({"ok": true}));
        assert_eq!(told.faults(), [fault], "{id}");
    }
}

#[test]
fn a_wrong_answer_and_an_error_are_faults() {
    let mut told = Told::new();
    told.answers("0-1", json!({"ok": false}));
    assert_eq!(told.faults(), [Fault::AnswerWrong]);
    let mut told = Told::new();
    told.says(json!({"type": "res", "id": "0-1", "ok": false, "error": {"code": "UNAVAILABLE"}}));
    assert_eq!(told.faults(), [Fault::AnswerWrong]);
}

#[test]
fn a_call_without_an_answer_is_lost_in_the_end() {
    let mut told = Told::new();
    let later = told.now + Duration::from_secs(1);
    assert_eq!(told.peer.due(&told.terms, false), Some(later));
    told.peer.expire(later, &told.terms, &mut told.news);
    assert_eq!(told.faults(), [Fault::AnswerLost]);
}

#[test]
fn events_that_are_missing_or_come_twice_are_a_fault() {
    let event = |seq: u64| json!({"type": "event", "event": "health", "payload": {}, "seq": seq});
    for (numbers, faults) in [(&[1, 2, 3][..], 0), (&[1, 3], 1), (&[1, 1], 1), (&[2], 1)] {
        let mut told = Told::new();
        for number in numbers {
            told.says(event(*number));
        }
        assert_eq!(told.faults(), vec![Fault::SequenceBroken; faults], "{numbers:?}");
    }
}

#[test]
fn versions_that_go_back_are_a_fault() {
    let mut told = Told::new();
    for (seq, presence, health, faults) in [(1, 5, 3, 0), (2, 5, 4, 0), (3, 4, 4, 1), (4, 6, 3, 2)] {
        let version = json!({"presence": presence, "health": health});
        let event = json!({"type": "event", "event": "health", "payload": {}, "seq": seq});
        let mut event = event.as_object().expect("an object").clone();
        event.insert("stateVersion".to_owned(), version);
        told.says(event.into());
        assert_eq!(told.faults().len(), faults, "{presence} {health}");
    }
}

#[test]
fn a_tick_or_a_ping_before_its_time_is_a_fault() {
    let tick = || json!({"type": "event", "event": "tick", "payload": {}});
    for (wait, faults) in [(27, 1), (29, 0), (40, 0)] {
        let mut told = Told::new();
        told.now += Duration::from_secs(wait);
        told.says(tick());
        assert_eq!(told.faults(), vec![Fault::TickTooSoon; faults], "{wait} s");
    }
    // Protocol 3 is not pinged at all.
    let mut told = Told::new();
    told.bytes(&[0x89, 0]);
    assert_eq!(told.faults(), [Fault::TickTooSoon]);
}

#[test]
fn a_shutdown_and_other_scopes_are_faults() {
    let mut told = Told::new();
    told.says(json!({"type": "event", "event": "shutdown", "payload": {}}));
    assert_eq!(told.faults(), [Fault::ShutdownTold]);
    let profile = Profile::new(Part::Idle, 0, &Target { port: 1, owner: None });
    assert!(profile.check(&hello(3, &["operator.approvals"])["payload"]).is_ok());
    for wrong in [hello(4, &["operator.approvals"]), hello(3, &["operator.read"]), hello(3, &[])] {
        assert!(profile.check(&wrong["payload"]).is_err(), "{wrong}");
    }
}

#[test]
fn an_end_is_told_with_how_the_client_stood() {
    let mut told = Told::new();
    told.bytes(&[0x88, 5, 0x03, 0xf4, b'b', b'y', b'e']);
    let Some(News::Ended(End::Closed(1012, reason), standing)) = told.news.pop() else {
        panic!("{:?}", told.news)
    };
    assert_eq!((reason.as_str(), standing.asked_at), ("bye", Some(told.now)));
    assert!(told.peer.is_over());
    let mut told = Told::new();
    told.answers("0-1", json!({"ok": true}));
    told.bytes(&[0x81, 5, b'h']);
    told.peer.eof(told.now, &mut told.news);
    let Some(News::Ended(End::Silent { torn: true }, standing)) = told.news.pop() else {
        panic!("{:?}", told.news)
    };
    assert_eq!(standing.asked_at, None);
}
