//! The states of a connection as data: every phase with its deadline and limit, and every step between them.
//!
//! Rule: whatever moves a connection from one phase to another is an [`Event`] in [`TRANSITIONS`]; there is no other
//! way.

use crate::limits;

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Accepted; not a byte came yet.
    Accept,
    /// A part of an HTTP request head came, or all of it and the gateway has not answered yet.
    Head,
    /// The connection is a WebSocket; the challenge is sent, the first request is awaited.
    Connect,
    /// The first request is read; the gateway decides, maybe waiting for a durable write.
    Verdict,
    /// Admitted.
    Open,
    /// The request passes to the runtime, and its answer back.
    Relay,
    /// Our last word is written or being written; the peer's own end is awaited.
    Closing,
    /// Over.
    Closed,
}

/// Which clock runs in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// None: nothing is awaited that the peer owes.
    None,
    /// The head span, from the first byte, and never beyond the handshake span.
    Head,
    /// The handshake span, from accept.
    Handshake,
    /// The closing span, from entering the phase.
    Closing,
    /// The relay spans, from the last byte that came or went: one for reaching the runtime, one for a peer that is to
    /// send or to take something, one for the runtime's answer. None once another protocol is agreed on.
    Relay,
}

/// One row of [`PHASES`].
#[derive(Debug, Clone, Copy)]
pub struct PhaseRow {
    /// The phase.
    pub phase: Phase,
    /// Its name in the journal and in close reasons.
    pub name: &'static str,
    /// How long the connection may stay in it.
    pub deadline: Deadline,
    /// The largest single thing (head, message) that the peer may send in it, in bytes; in [`Phase::Verdict`] and
    /// [`Phase::Relay`] how much may wait unread. 0: what comes is thrown away.
    pub bytes_max: usize,
    /// What happens when the deadline has passed.
    pub on_deadline: &'static str,
    /// What the phase is.
    pub doc: &'static str,
}

/// What moves a connection from phase to phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// The first byte came.
    Byte,
    /// The gateway lets the connection become a WebSocket.
    Upgrade,
    /// The gateway answers the request as plain HTTP, or the runtime's answer is all here.
    Answer,
    /// The gateway passes the request to the runtime.
    Relay,
    /// The first request is read and is being decided on.
    Connect,
    /// The gateway admits the peer.
    Admit,
    /// The peer is refused, by the gateway or for breaking the rules of HTTP or WebSocket.
    Refuse,
    /// We end the connection for a reason of our own.
    Finish,
    /// The peer's close frame came.
    PeerClose,
    /// The peer will send no more.
    Eof,
    /// The connection broke.
    Lost,
    /// The deadline of the phase passed.
    Deadline,
    /// Everything is written and the peer has ended its side.
    Drained,
}

impl Phase {
    /// Every phase, in the order of a connection's life.
    pub const ALL: [Self; 8] = [
        Self::Accept,
        Self::Head,
        Self::Connect,
        Self::Verdict,
        Self::Open,
        Self::Relay,
        Self::Closing,
        Self::Closed,
    ];

    /// The phase's row in [`PHASES`].
    pub fn row(self) -> &'static PhaseRow {
        match self {
            Self::Accept => &ACCEPT,
            Self::Head => &HEAD,
            Self::Connect => &CONNECT,
            Self::Verdict => &VERDICT,
            Self::Open => &OPEN,
            Self::Relay => &RELAY,
            Self::Closing => &CLOSING,
            Self::Closed => &CLOSED,
        }
    }

    /// Its name in the journal and in close reasons.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 13] = [
        Self::Byte,
        Self::Upgrade,
        Self::Answer,
        Self::Relay,
        Self::Connect,
        Self::Admit,
        Self::Refuse,
        Self::Finish,
        Self::PeerClose,
        Self::Eof,
        Self::Lost,
        Self::Deadline,
        Self::Drained,
    ];
}

/// The phase after `event` in `phase`; `None`: the event is a protocol error there, and the connection stays where it
/// is.
pub fn next(phase: Phase, event: Event) -> Option<Phase> {
    TRANSITIONS.iter().find(|(from, on, _)| *from == phase && *on == event).map(|(_, _, to)| *to)
}

const ACCEPT: PhaseRow = PhaseRow {
    phase: Phase::Accept,
    name: "accept",
    deadline: Deadline::Handshake,
    bytes_max: limits::HEAD_BYTES_MAX,
    on_deadline: "HTTP 408, then closing",
    doc: "accepted, and not a byte came yet",
};

const HEAD: PhaseRow = PhaseRow {
    phase: Phase::Head,
    name: "head",
    deadline: Deadline::Head,
    bytes_max: limits::HEAD_BYTES_MAX,
    on_deadline: "HTTP 408, then closing",
    doc: "a part of the HTTP request head came",
};

const CONNECT: PhaseRow = PhaseRow {
    phase: Phase::Connect,
    name: "connect",
    deadline: Deadline::Handshake,
    bytes_max: limits::PREAUTH_MESSAGE_BYTES_MAX,
    on_deadline: "close 1008, then closing",
    doc: "upgraded and challenged; the connect request is awaited",
};

const VERDICT: PhaseRow = PhaseRow {
    phase: Phase::Verdict,
    name: "verdict",
    deadline: Deadline::Handshake,
    bytes_max: limits::QUEUED_BYTES_MAX,
    on_deadline: "close 1011, then closing",
    doc: "the connect request is being decided on; what comes behind it waits unread",
};

const OPEN: PhaseRow = PhaseRow {
    phase: Phase::Open,
    name: "open",
    deadline: Deadline::None,
    bytes_max: limits::MESSAGE_BYTES_MAX,
    on_deadline: "none: the peer is alive while it takes what it is sent",
    doc: "admitted",
};

const RELAY: PhaseRow = PhaseRow {
    phase: Phase::Relay,
    name: "relay",
    deadline: Deadline::Relay,
    bytes_max: limits::RELAY_QUEUE_BYTES_MAX,
    on_deadline: "HTTP 503 or 504 if the answer has not begun, then closing",
    doc: "the request passes to the runtime, and its answer back",
};

const CLOSING: PhaseRow = PhaseRow {
    phase: Phase::Closing,
    name: "closing",
    deadline: Deadline::Closing,
    bytes_max: 0,
    on_deadline: "closed, whatever is unsent",
    doc: "our last word is being written; the peer's own end is awaited",
};

const CLOSED: PhaseRow = PhaseRow {
    phase: Phase::Closed,
    name: "closed",
    deadline: Deadline::None,
    bytes_max: 0,
    on_deadline: "none: nothing is awaited",
    doc: "over",
};

/// Every phase, in the order of a connection's life.
pub const PHASES: &[PhaseRow] = &[ACCEPT, HEAD, CONNECT, VERDICT, OPEN, RELAY, CLOSING, CLOSED];

/// Every step there is: in this phase, on this event, to that phase.
pub const TRANSITIONS: &[(Phase, Event, Phase)] = &[
    (Phase::Accept, Event::Byte, Phase::Head),
    (Phase::Accept, Event::Refuse, Phase::Closing),
    (Phase::Accept, Event::Finish, Phase::Closing),
    (Phase::Accept, Event::Eof, Phase::Closed),
    (Phase::Accept, Event::Lost, Phase::Closed),
    (Phase::Accept, Event::Deadline, Phase::Closing),
    (Phase::Head, Event::Upgrade, Phase::Connect),
    (Phase::Head, Event::Answer, Phase::Closing),
    (Phase::Head, Event::Relay, Phase::Relay),
    (Phase::Head, Event::Refuse, Phase::Closing),
    (Phase::Head, Event::Finish, Phase::Closing),
    (Phase::Head, Event::Eof, Phase::Closed),
    (Phase::Head, Event::Lost, Phase::Closed),
    (Phase::Head, Event::Deadline, Phase::Closing),
    (Phase::Connect, Event::Connect, Phase::Verdict),
    (Phase::Connect, Event::Refuse, Phase::Closing),
    (Phase::Connect, Event::Finish, Phase::Closing),
    (Phase::Connect, Event::PeerClose, Phase::Closing),
    (Phase::Connect, Event::Eof, Phase::Closed),
    (Phase::Connect, Event::Lost, Phase::Closed),
    (Phase::Connect, Event::Deadline, Phase::Closing),
    // Frames wait unread here, a close frame among them.
    (Phase::Verdict, Event::Admit, Phase::Open),
    (Phase::Verdict, Event::Refuse, Phase::Closing),
    (Phase::Verdict, Event::Finish, Phase::Closing),
    (Phase::Verdict, Event::Eof, Phase::Closed),
    (Phase::Verdict, Event::Lost, Phase::Closed),
    (Phase::Verdict, Event::Deadline, Phase::Closing),
    (Phase::Open, Event::Refuse, Phase::Closing),
    (Phase::Open, Event::Finish, Phase::Closing),
    (Phase::Open, Event::PeerClose, Phase::Closing),
    (Phase::Open, Event::Eof, Phase::Closed),
    (Phase::Open, Event::Lost, Phase::Closed),
    // A peer that has said all may end its side and still get the answer; `Eof` is an end in the middle.
    (Phase::Relay, Event::Answer, Phase::Closing),
    (Phase::Relay, Event::Refuse, Phase::Closing),
    (Phase::Relay, Event::Finish, Phase::Closing),
    (Phase::Relay, Event::Eof, Phase::Closed),
    (Phase::Relay, Event::Lost, Phase::Closed),
    (Phase::Relay, Event::Deadline, Phase::Closing),
    // The peer's end may come before all of ours is written; `Drained` tells when both are done.
    (Phase::Closing, Event::PeerClose, Phase::Closing),
    (Phase::Closing, Event::Eof, Phase::Closing),
    (Phase::Closing, Event::Lost, Phase::Closed),
    (Phase::Closing, Event::Deadline, Phase::Closed),
    (Phase::Closing, Event::Drained, Phase::Closed),
];
