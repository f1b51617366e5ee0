//! WebSocket frames: whole ones only. Size and form are judged on a frame's header, before its payload is here.
//!
//! Rule: tungstenite sees a message only when all of it is here, and is forgotten after it. So every byte that is not
//! dealt with lies in buffers of ours, and could be handed to another process as it is.

use std::fmt;
use std::io::{self, Cursor, Read, Write};
use std::ops::Deref;

use tungstenite::protocol::frame::coding::{CloseCode as PeerCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{FrameHeader, Utf8Bytes};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use super::phase::Phase;
use super::queue::Queue;
use crate::limits::{CONTROL_BYTES_MAX, FRAGMENT_HEADERS_BYTES_MAX, FRAMING_BUFFER_BYTES};
use crate::wire::refusal::{CloseCode, Refusal};

/// The text of one message, in the memory it was read into. `Debug` shows its length alone: it may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Utf8Bytes);

/// What came out of whole frames.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message.
    Text(Text),
    /// The peer's close frame; its echo is written.
    Close {
        /// The code, if it gave one.
        code: Option<u16>,
        /// Its reason; may be empty.
        reason: Box<str>,
    },
}

/// Reads the frames of one phase.
#[derive(Debug)]
pub(super) struct Framing {
    phase: Phase,
    /// Which side of the connection is ours.
    side: Role,
    /// The frames of the unfinished message, headers and masks included.
    fragments: Vec<u8>,
    /// Their payload in bytes.
    payload: usize,
}

/// The header of the frame at the front.
pub(super) struct Front {
    header: FrameHeader,
    /// Bytes of the header.
    pub(super) head: usize,
    /// Bytes of the payload as announced.
    pub(super) payload: u64,
}

/// The peer as tungstenite sees it: some bytes that have arrived, and room for what it answers.
struct Memory<'a> {
    unread: &'a [u8],
    answers: &'a mut Queue,
}

impl Framing {
    /// Reads frames under the message limit of `phase`.
    pub(super) fn new(phase: Phase) -> Self {
        Self { phase, side: Role::Server, fragments: Vec::new(), payload: 0 }
    }

    /// Reads the frames of a server that we have connected to, with as large messages as an admitted peer may send.
    pub(super) fn of_server() -> Self {
        Self { side: Role::Client, ..Self::new(Phase::Open) }
    }

    /// Goes on with the `fragments` of an unfinished message, which have to pass as if they came from the peer.
    pub(super) fn restore(phase: Phase, fragments: Vec<u8>) -> Result<Self, String> {
        Self::new(phase).holding(fragments)
    }

    /// The same with `fragments` of an unfinished message, which have to pass as if they came from the peer.
    pub(super) fn holding(self, fragments: Vec<u8>) -> Result<Self, String> {
        let len = fragments.len();
        let mut framing = self;
        let (mut rx, mut tx) = (Queue::holding(fragments), Queue::default());
        match framing.read(&mut rx, &mut tx) {
            // A control frame, the end of a message or half a frame would be missing here.
            Ok(None) if framing.held() == len => Ok(framing),
            Ok(_) => Err(format!("{len} bytes are not whole fragments of one unfinished message")),
            Err(refusal) => Err(format!("fragments that could not have come: {}", refusal.reason)),
        }
    }

    /// The next message or close frame in `rx`, or `None` if it is not whole yet. Pings on the way are answered to
    /// `tx`. A refusal with code 1002 means that the borders of frames are lost.
    pub(super) fn read(&mut self, rx: &mut Queue, tx: &mut Queue) -> Result<Option<Arrival>, Refusal> {
        while let Some(front) = Front::parse(rx.waiting())? {
            front.check_form(self.side)?;
            let len = self.check_size(&front)?;
            if rx.len() < len {
                break;
            }
            if let Some(arrival) = self.take(&front, len, rx, tx)? {
                return Ok(Some(arrival));
            }
        }
        Ok(None)
    }

    /// The frames of the unfinished message, headers and masks included.
    pub(super) fn fragments(&self) -> &[u8] {
        &self.fragments
    }

    /// Bytes held for an unfinished message.
    pub(super) fn held(&self) -> usize {
        self.fragments.len()
    }

    /// Bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.fragments.capacity()
    }

    /// The length of the whole frame, if the message is still within its limits with it.
    fn check_size(&self, front: &Front) -> Result<usize, Refusal> {
        let limit = self.phase.row().bytes_max;
        let Ok(payload) = usize::try_from(front.payload) else { return Err(self.too_large(front.payload)) };
        if !front.is_control() {
            self.check_order(front)?;
            let sum = self.payload.saturating_add(payload);
            if sum > limit {
                return Err(self.too_large(sum as u64));
            }
            if self.fragments.len() - self.payload + front.head > FRAGMENT_HEADERS_BYTES_MAX {
                return Err(too_many_fragments());
            }
        }
        Ok(front.head + payload)
    }

    fn check_order(&self, front: &Front) -> Result<(), Refusal> {
        let continues = front.header.opcode == OpCode::Data(Data::Continue);
        match (continues, self.fragments.is_empty()) {
            (true, true) => Err(broken("a continuation frame without a message to continue")),
            (false, false) => Err(broken("a new message inside a fragmented one")),
            _ => Ok(()),
        }
    }

    /// Takes the whole frame at the front, `len` bytes, out of `rx`.
    fn take(
        &mut self,
        front: &Front,
        len: usize,
        rx: &mut Queue,
        tx: &mut Queue,
    ) -> Result<Option<Arrival>, Refusal> {
        let frame = rx.waiting().get(..len).unwrap_or_default();
        let limit = self.phase.row().bytes_max;
        let outcome = match front.header.opcode {
            OpCode::Data(_) if !front.header.is_final || !self.fragments.is_empty() => {
                self.fragments.extend_from_slice(frame);
                self.payload += len - front.head;
                if front.header.is_final { self.join(tx) } else { Ok(None) }
            }
            OpCode::Data(_) => decode(frame, limit, self.side, tx),
            OpCode::Control(Control::Close) => {
                front.check_close_code(frame).and_then(|()| decode(frame, limit, self.side, tx))
            }
            // A flood of these is the cheapest way to keep us busy, so they take the shortest way.
            OpCode::Control(Control::Ping) => {
                let payload: Vec<u8> = front.unmask(frame).collect();
                write(tx, self.side, OpCode::Control(Control::Pong), &[&payload]);
                Ok(None)
            }
            OpCode::Control(_) => Ok(None),
        };
        rx.skip(len);
        outcome
    }

    /// The message whose last fragment has come.
    fn join(&mut self, tx: &mut Queue) -> Result<Option<Arrival>, Refusal> {
        let frames = std::mem::take(&mut self.fragments);
        self.payload = 0;
        decode(&frames, self.phase.row().bytes_max, self.side, tx)
    }

    fn too_large(&self, bytes: u64) -> Refusal {
        let limit = self.phase.row().bytes_max;
        let when = if self.phase == Phase::Open { "" } else { " before admission" };
        let reason =
            format!("message of {bytes} bytes exceeds {limit} bytes{when} (phase {})", self.phase.name());
        Refusal::new(
            "message-too-large",
            reason,
            "send less in one message; the limit is part of the protocol",
        )
        .with_code(CloseCode::TooBig)
    }
}

impl Front {
    /// The header at the beginning of `bytes`, or `None` if it is not whole yet.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        let mut cursor = Cursor::new(bytes);
        let Some((header, payload)) = FrameHeader::parse(&mut cursor).map_err(|error| refusal_of(&error))?
        else {
            return Ok(None);
        };
        let head = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        Ok(Some(Self { header, head, payload }))
    }

    pub(super) fn is_close(&self) -> bool {
        self.header.opcode == OpCode::Control(Control::Close)
    }

    /// What kind of frame it is; none if a bit is set whose meaning nobody has agreed on.
    pub(super) fn opcode(&self) -> Option<OpCode> {
        let FrameHeader { rsv1, rsv2, rsv3, opcode, .. } = self.header;
        (!(rsv1 || rsv2 || rsv3)).then_some(opcode)
    }

    fn is_control(&self) -> bool {
        matches!(self.header.opcode, OpCode::Control(_))
    }

    /// RFC 6455 sections 5.1, 5.2 and 5.5.
    fn check_form(&self, side: Role) -> Result<(), Refusal> {
        let header = &self.header;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(broken("a reserved bit is set and no extension was agreed on"));
        }
        match (side, header.mask) {
            (Role::Server, None) => return Err(broken("a frame of a client is not masked")),
            (Role::Client, Some(_)) => return Err(broken("a frame of a server is masked")),
            _ => {}
        }
        if self.is_control() && (self.payload > CONTROL_BYTES_MAX as u64 || !header.is_final) {
            return Err(broken("a control frame is fragmented or longer than 125 bytes"));
        }
        Ok(())
    }

    /// tungstenite turns a forbidden code into a code of its own, as if the peer had sent that one.
    fn check_close_code(&self, frame: &[u8]) -> Result<(), Refusal> {
        let mut payload = self.unmask(frame);
        let (Some(high), Some(low)) = (payload.next(), payload.next()) else { return Ok(()) };
        let code = u16::from_be_bytes([high, low]);
        if is_close_code(code) { Ok(()) } else { Err(broken("a close frame has a forbidden code")) }
    }

    /// The payload of the whole `frame` that this is the header of.
    fn unmask<'a>(&self, frame: &'a [u8]) -> impl Iterator<Item = u8> + 'a {
        let mask = self.header.mask.unwrap_or_default();
        let payload = frame.get(self.head..).unwrap_or_default();
        payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.len())
    }
}

impl Read for Memory<'_> {
    /// An end of the bytes that are here is not an end of the stream.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.unread.read(buffer)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answers.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends one text frame with `pieces` one after another, each copied once.
pub(super) fn write_text(tx: &mut Queue, side: Role, pieces: &[&str]) {
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    write(tx, side, OpCode::Data(Data::Text), &pieces);
}

/// Appends a ping without payload.
pub(super) fn write_ping(tx: &mut Queue, side: Role) {
    write(tx, side, OpCode::Control(Control::Ping), &[]);
}

/// Appends a ping with `payload`, of a client.
pub(super) fn write_probe(tx: &mut Queue, payload: &[u8]) {
    write(tx, Role::Client, OpCode::Control(Control::Ping), &[payload]);
}

/// Appends a close frame; `reason` has at most 123 bytes.
pub(super) fn write_close(tx: &mut Queue, side: Role, code: CloseCode, reason: &str) {
    write(tx, side, OpCode::Control(Control::Close), &[&code.number().to_be_bytes(), reason.as_bytes()]);
}

/// Appends a close frame without a code: an end that nobody is to blame for.
pub(super) fn write_bare_close(tx: &mut Queue, side: Role) {
    write(tx, side, OpCode::Control(Control::Close), &[]);
}

/// How long the frame at the beginning of `bytes` is in all; 0 if its header is not whole.
pub(super) fn front_len(bytes: &[u8]) -> u64 {
    match glance(bytes) {
        Ok(Some(front)) => front.payload.saturating_add(front.head as u64),
        _ => 0,
    }
}

/// The header of the frame at the beginning of `bytes`, its form unjudged, or `None` if it is not whole yet.
pub(super) fn glance(bytes: &[u8]) -> Result<Option<Front>, Refusal> {
    Front::parse(bytes)
}

/// Whether a peer may give `code` in a close frame.
pub(super) fn is_close_code(code: u16) -> bool {
    PeerCode::from(code).is_allowed()
}

/// What a client sends has to be masked, lest a proxy on the way takes it for HTTP. Between us and a runtime on this machine
/// is none, so the mask is zero: the bytes stay what they are, and are copied once.
fn write(tx: &mut Queue, side: Role, opcode: OpCode, payload: &[&[u8]]) {
    let len: usize = payload.iter().map(|piece| piece.len()).sum();
    let mask = (side == Role::Client).then_some([0; 4]);
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    // A queue takes everything.
    header.format(len as u64, tx).unwrap_or_default();
    for piece in payload {
        tx.push(piece);
    }
}

/// Decodes the frames of exactly one message, or a close frame, whose echo goes to `tx`.
fn decode(frames: &[u8], limit: usize, side: Role, tx: &mut Queue) -> Result<Option<Arrival>, Refusal> {
    // Twice the length, because tungstenite asks for room for a payload even if that is in the buffer already.
    let buffer = (2 * frames.len() + 16).min(FRAMING_BUFFER_BYTES);
    let config = WebSocketConfig::default()
        .read_buffer_size(buffer)
        .write_buffer_size(0)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let mut context = WebSocketContext::new(side, Some(config));
    let mut memory = Memory { unread: frames, answers: tx };
    let message = context.read(&mut memory).map_err(|error| refusal_of(&error))?;
    match context.flush(&mut memory) {
        Ok(()) | Err(Error::ConnectionClosed) => arrival_of(message),
        Err(error) => Err(refusal_of(&error)),
    }
}

fn arrival_of(message: Message) -> Result<Option<Arrival>, Refusal> {
    match message {
        Message::Text(text) => Ok(Some(Arrival::Text(Text(text)))),
        Message::Binary(bytes) => {
            Utf8Bytes::try_from(bytes).map(|text| Some(Arrival::Text(Text(text)))).map_err(|_| not_utf8())
        }
        Message::Close(None) => Ok(Some(Arrival::Close { code: None, reason: "".into() })),
        Message::Close(Some(CloseFrame { code, reason })) => {
            Ok(Some(Arrival::Close { code: Some(code.into()), reason: reason.as_str().into() }))
        }
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}

fn refusal_of(error: &Error) -> Refusal {
    match error {
        Error::Utf8(_) => not_utf8(),
        other => broken(&other.to_string()),
    }
}

fn broken(problem: &str) -> Refusal {
    Refusal::new(
        "frame-malformed",
        format!("websocket protocol violated: {problem}"),
        "report this to the makers of the client, or of a proxy between it and this port",
    )
    .with_code(CloseCode::Protocol)
}

fn not_utf8() -> Refusal {
    Refusal::new("message-not-utf8", "message is not valid UTF-8", "report this to the makers of the client")
        .with_code(CloseCode::Invalid)
}

fn too_many_fragments() -> Refusal {
    let reason =
        format!("message in so many fragments that their headers exceed {FRAGMENT_HEADERS_BYTES_MAX} bytes");
    Refusal::new("message-fragments", reason, "send the message in fewer fragments")
        .with_code(CloseCode::TooBig)
}
