//! A gateway as simple as can be around a session, and the client's side of the wire.

use std::time::{Duration, Instant};

use loopgate::clock::Now;
use loopgate::limits;
use loopgate::session::{Authorization, End, Happening, Head, HttpAnswer, Phase, Session, Spans};
use loopgate::wire::refusal::{CloseCode, Refusal};

pub(crate) const SPANS: Spans = Spans {
    handshake: limits::HANDSHAKE.default,
    head: limits::HEAD.default,
    closing: limits::CLOSING.default,
};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const CHALLENGE: &str = r#"{"type":"event","event":"connect.challenge"}"#;
pub(crate) const HELLO: &str = r#"{"type":"res","id":"1","ok":true}"#;

/// A session, what it told, and what it wrote. The gateway inside upgrades what can be upgraded, answers the rest
/// with 404, admits whoever sends anything (unless told to wait), and echoes messages.
pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) now: Now,
    /// Everything that happened, in words.
    pub(crate) told: Vec<String>,
    pub(crate) messages: Vec<String>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) end: Option<End>,
    pub(crate) head: Option<Head>,
    pub(crate) written: Vec<u8>,
    pub(crate) half_closed: bool,
    /// Admit only when [`Rig::admit`] is called.
    pub(crate) patient: bool,
    /// Nothing is written to the socket.
    pub(crate) blocked: bool,
    pub(crate) heap_max: usize,
    /// Requests pass to a runtime that was reached; this is what it was sent.
    pub(crate) runtime: Option<Vec<u8>>,
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// The refusal of a gateway that stops.
pub fn stopping() -> Refusal {
    Refusal::new("stopping", "service restart", "none").with_code(CloseCode::Restart).with_status(503)
}

impl Rig {
    pub(crate) fn new() -> Self {
        let now = Now { mono: Instant::now() + Duration::from_secs(1_000), unix_ms: 1_700_000_000_000 };
        Self {
            session: Session::new(now, SPANS),
            now,
            told: Vec::new(),
            messages: Vec::new(),
            refusals: Vec::new(),
            end: None,
            head: None,
            written: Vec::new(),
            half_closed: false,
            patient: false,
            blocked: false,
            heap_max: 0,
            runtime: None,
        }
    }

    /// A session in the phase `Connect`, its answers so far forgotten.
    pub(crate) fn connecting() -> Self {
        let mut rig = Self::new();
        rig.bytes(&upgrade_request());
        assert_eq!(rig.session.phase(), Phase::Connect);
        rig.written.clear();
        rig
    }

    /// A session in the phase `Verdict`.
    pub(crate) fn deciding() -> Self {
        let mut rig = Self::connecting();
        rig.patient = true;
        rig.bytes(&text("connect"));
        assert_eq!(rig.session.phase(), Phase::Verdict);
        rig
    }

    /// A session in the phase `Open`, its answers so far forgotten.
    pub(crate) fn open() -> Self {
        let mut rig = Self::connecting();
        rig.bytes(&text("connect"));
        assert_eq!(rig.session.phase(), Phase::Open);
        rig.written.clear();
        rig
    }

    /// A session whose request, which begins with `bytes`, passes to a runtime.
    pub(crate) fn relaying(bytes: &[u8]) -> Self {
        let mut rig = Self { runtime: Some(Vec::new()), ..Self::new() };
        rig.bytes(bytes);
        rig
    }

    /// The runtime answers.
    pub(crate) fn give(&mut self, bytes: &[u8]) {
        self.session.relay_give(bytes, self.now);
        self.pump();
    }

    /// A session in any phase, nothing unsent.
    pub(crate) fn at(phase: Phase) -> Self {
        match phase {
            Phase::Accept => Self::new(),
            Phase::Head => {
                let mut rig = Self::new();
                rig.bytes(b"GET / HT");
                rig
            }
            Phase::Connect => Self::connecting(),
            Phase::Verdict => Self::deciding(),
            Phase::Open => Self::open(),
            Phase::Relay => Self::relaying(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"),
            Phase::Closing => {
                let mut rig = Self::open();
                rig.refuse();
                rig
            }
            Phase::Closed => {
                let mut rig = Self::open();
                rig.eof();
                rig
            }
        }
    }

    /// The peer sends `bytes`; they are read as a shell would read them.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for turn in bytes.chunks(limits::READ_TURN_BYTES_MAX) {
            if self.session.wants_read() {
                self.session.receive(turn, self.now);
            } else {
                assert!(self.session.phase() == Phase::Closed, "stuck in {:?}", self.session.phase());
            }
            self.pump();
        }
    }

    pub(crate) fn eof(&mut self) {
        self.session.eof();
        self.pump();
    }

    pub(crate) fn later(&mut self, span: Duration) {
        self.now = self.now.later(span);
    }

    /// What the loop does when a deadline may have passed.
    pub(crate) fn expire(&mut self) -> Option<Refusal> {
        let refusal = self.session.expire(self.now);
        self.pump();
        refusal
    }

    pub(crate) fn refuse(&mut self) {
        let refusal = Refusal::new("test", "not today", "none");
        self.session.refuse(&refusal, self.now);
        self.pump();
    }

    pub(crate) fn admit(&mut self) {
        self.session.admit();
        self.session.send_text(&[HELLO]);
        self.pump();
    }

    /// Everything that can be done without new input.
    pub(crate) fn pump(&mut self) {
        loop {
            while let Some(sent) = self.runtime.as_mut().filter(|_| !self.session.relay_outgoing().is_empty())
            {
                let count = self.session.relay_outgoing().len();
                sent.extend_from_slice(self.session.relay_outgoing());
                self.session.relay_sent(count, self.now);
            }
            self.heap_max = self.heap_max.max(self.session.heap_bytes());
            let mut quiet = true;
            while let Some(happening) = self.session.poll(self.now) {
                self.handle(happening);
                quiet = false;
            }
            if !self.blocked && !self.session.outgoing().is_empty() {
                self.written.extend_from_slice(self.session.outgoing());
                self.session.sent(self.session.unsent(), self.now);
                quiet = false;
            }
            if self.session.half_close_due() {
                assert!(!self.half_closed, "told once");
                self.half_closed = true;
            }
            if quiet {
                return;
            }
        }
    }

    fn handle(&mut self, happening: Happening) {
        assert!(self.end.is_none(), "{happening:?} after the end");
        self.told.push(format!("{happening:?}"));
        match happening {
            Happening::Head(head) if self.runtime.is_some() => {
                match self.session.relay(&head, Authorization::Keep, self.now) {
                    Ok(()) => self.session.relay_reached(self.now),
                    Err(refusal) => self.session.refuse(&refusal, self.now),
                }
                self.head = Some(head);
            }
            Happening::Head(head) if head.is_upgrade() => {
                self.session.upgrade();
                self.session.send_text(&[CHALLENGE]);
                self.head = Some(head);
            }
            Happening::Head(head) => {
                self.session.answer(&HttpAnswer::text(404, "not found"), self.now);
                self.head = Some(head);
            }
            Happening::Message(text) => {
                match self.session.phase() {
                    Phase::Connect => {
                        self.session.deliberate();
                        if !self.patient {
                            self.session.admit();
                            self.session.send_text(&[HELLO]);
                        }
                    }
                    phase => {
                        assert_eq!(phase, Phase::Open);
                        self.session.send_text(&[&text]);
                    }
                }
                self.messages.push(text.to_string());
            }
            Happening::Refused(refusal) => self.refusals.push(refusal),
            Happening::Ended(end) => self.end = Some(end),
        }
    }
}

pub(crate) fn upgrade_request() -> Vec<u8> {
    upgrade_with("")
}

/// A WebSocket upgrade with further header lines, each ending in CR LF.
pub(crate) fn upgrade_with(lines: &str) -> Vec<u8> {
    format!(
        "GET /ws?x=1 HTTP/1.1\r\nHost: localhost:18789\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
    .into_bytes()
}

/// One masked frame of a client: `first` is FIN, reserved bits and opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The header of such a frame, mask included.
pub(crate) fn header(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(0xff);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.as_bytes());
    frame(0x88, &payload)
}

/// What a server wrote, as pairs of first byte and payload; panics if it is not a row of whole unmasked frames.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(), &rest[8..]),
            len => (usize::from(*len), rest),
        };
        assert_eq!(second & 0x80, 0, "masked");
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    frames
}

/// Code and reason of the close frame that a server wrote last.
pub(crate) fn closed_with(bytes: &[u8]) -> (u16, String) {
    let frames = frames(bytes);
    let Some((0x88, payload)) = frames.last() else { panic!("no close frame in {frames:?}") };
    (u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap())
}

const MASK: [u8; 4] = [0x1f, 0x80, 0x03, 0xc5];
