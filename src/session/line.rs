//! A WebSocket that we have opened ourselves, to the runtime: the other side of what a [`super::Session`] does.
//!
//! Rule: as with a session, bytes go in and [`Signal`]s come out; every byte that is not dealt with lies in buffers of ours,
//! so that another process can go on with the line. Nothing is sent before [`Line::begin`].

use serde::{Deserialize, Serialize};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::framing::{self, Arrival, Framing};
use super::queue::Queue;
use super::saved::Held;
use super::{Text, framing::front_len};
use crate::limits;
use crate::wire::refusal::Refusal;

/// A connection to the runtime that is to become a WebSocket, or is one.
#[derive(Debug)]
pub struct Line {
    /// What came and is not dealt with.
    rx: Queue,
    /// What is to be written.
    tx: Queue,
    /// The runtime will send no more.
    eof: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing may be sent yet.
    Idle,
    /// The upgrade is asked for; what it has to be answered with.
    Asked {
        accept: String,
    },
    Open(Framing),
    /// Over; nothing is looked at any more.
    Over,
}

/// What a line tells.
#[derive(Debug)]
pub enum Signal {
    /// The runtime has made a WebSocket of it.
    Open,
    /// A message.
    Message(Text),
    /// The line is over, and why: in the runtime's words, or in ours.
    Ended(String),
}

/// A line as plain values, without its bytes. A stored format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedLine {
    #[serde(default)]
    eof: bool,
}

impl Line {
    /// A line that is not connected yet.
    pub fn new() -> Self {
        Self { rx: Queue::default(), tx: Queue::default(), eof: false, state: State::Idle }
    }

    /// The runtime at `port` has accepted, and may be talked to: asks for a WebSocket, as a page that came from the port
    /// `origin` of this machine if a page does that. `nonce` is random.
    pub fn begin(&mut self, port: u16, origin: Option<u16>, nonce: [u8; 16]) {
        if !matches!(self.state, State::Idle) {
            return;
        }
        let key = data_encoding::BASE64.encode(&nonce);
        let origin = origin.map(|port| format!("Origin: http://127.0.0.1:{port}\r\n")).unwrap_or_default();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{origin}\r\n"
        );
        self.tx.push(head.as_bytes());
        self.state = State::Asked { accept: derive_accept_key(key.as_bytes()) };
    }

    // -- what happened outside --

    /// Takes in bytes of the runtime.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Over) {
            self.rx.push(bytes);
        }
    }

    /// The runtime will send no more. What has arrived still counts.
    pub fn eof(&mut self) {
        self.eof = true;
    }

    /// The first `count` bytes of [`Line::outgoing`] were written.
    pub fn sent(&mut self, count: usize) {
        self.tx.skip(count);
    }

    /// Whether the line should be read now.
    pub fn wants_read(&self) -> bool {
        let held = self.rx.len();
        !self.eof
            && match &self.state {
                State::Idle => false,
                State::Over => true,
                State::Asked { .. } => held < limits::HEAD_BYTES_MAX,
                State::Open(_) => {
                    held < limits::READ_TURN_BYTES_MAX || (held as u64) < front_len(self.rx.waiting())
                }
            }
    }

    // -- what the gateway has to know --

    /// The next thing that the gateway has to know. `None`: nothing for now.
    pub fn poll(&mut self) -> Option<Signal> {
        match &mut self.state {
            State::Idle | State::Over => None,
            State::Asked { accept } => match read_head(self.rx.waiting(), accept) {
                Ok(Some(len)) => {
                    self.rx.skip(len);
                    self.state = State::Open(Framing::of_server());
                    Some(Signal::Open)
                }
                Ok(None) => self.poll_eof(),
                Err(why) => Some(self.end(why)),
            },
            State::Open(framing) => match framing.read(&mut self.rx, &mut self.tx) {
                Ok(Some(Arrival::Text(text))) => Some(Signal::Message(text)),
                Ok(Some(Arrival::Close { code, reason })) => {
                    let code = code.map_or_else(|| "without a code".to_owned(), |code| code.to_string());
                    Some(self.end(format!("the runtime closed the connection: {code} {reason}")))
                }
                Ok(None) => self.poll_eof(),
                Err(Refusal { reason, .. }) => Some(self.end(reason.into_owned())),
            },
        }
    }

    /// The bytes to write, oldest first.
    pub fn outgoing(&self) -> &[u8] {
        self.tx.waiting()
    }

    /// How many bytes are not written yet.
    pub fn unsent(&self) -> usize {
        self.tx.len()
    }

    // -- what the gateway tells --

    /// Sends one text message, whose `pieces` are copied once.
    pub fn send(&mut self, pieces: &[&str]) {
        if matches!(self.state, State::Open(_)) {
            framing::write_text(&mut self.tx, Role::Client, pieces);
        }
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self) {
        if matches!(self.state, State::Open(_)) {
            framing::write_ping(&mut self.tx, Role::Client);
        }
    }

    /// Says that the line ends, as far as it can be said; what comes from here on is thrown away.
    pub fn close(&mut self) {
        if matches!(self.state, State::Open(_)) {
            framing::write_bare_close(&mut self.tx, Role::Client);
        }
        self.state = State::Over;
    }

    // -- over a restart --

    /// The line as plain values, every byte included. `None` before it is a WebSocket and after its end: what it is for is
    /// begun anew then.
    pub fn save(&self) -> Option<(SavedLine, Held)> {
        let State::Open(framing) = &self.state else { return None };
        let held = Held {
            rx: self.rx.waiting().to_vec(),
            tx: self.tx.waiting().to_vec(),
            fragments: framing.fragments().to_vec(),
        };
        Some((SavedLine { eof: self.eof }, held))
    }

    /// The line that was saved.
    ///
    /// # Errors
    /// The bytes cannot have come about here; the text says why.
    pub fn restore(saved: &SavedLine, held: Held) -> Result<Self, String> {
        let framing = Framing::of_server().holding(held.fragments)?;
        let (rx, tx) = (Queue::holding(held.rx), Queue::holding(held.tx));
        Ok(Self { rx, tx, eof: saved.eof, state: State::Open(framing) })
    }

    fn poll_eof(&mut self) -> Option<Signal> {
        self.eof.then(|| self.end("the runtime ended the connection".to_owned()))
    }

    fn end(&mut self, why: String) -> Signal {
        self.state = State::Over;
        Signal::Ended(why)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

/// The length of the answer's head, if all of it is here and it makes a WebSocket (RFC 6455 section 4.1).
fn read_head(bytes: &[u8], accept: &str) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; limits::HEAD_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < limits::HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("the runtime's answer has too large a head".to_owned()),
        Err(error) => return Err(format!("what answers at the runtime's port is no HTTP server: {error}")),
    };
    let status = response.code.unwrap_or_default();
    if status != 101 {
        return Err(format!("what answers at the runtime's port makes no WebSocket, it says HTTP {status}"));
    }
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let upgraded = value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    // No extension was offered, so none can be agreed on.
    if !upgraded
        || value("sec-websocket-accept") != Some(accept)
        || value("sec-websocket-extensions").is_some()
    {
        return Err(
            "what answers at the runtime's port does not speak WebSocket as RFC 6455 has it".to_owned()
        );
    }
    Ok(Some(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    /// The example of RFC 6455 section 1.3.
    fn asked() -> Line {
        let mut line = Line::new();
        line.begin(18790, Some(18789), *b"the sample nonce");
        line
    }

    fn open() -> Line {
        let mut line = asked();
        line.receive(ANSWER.as_bytes());
        assert!(matches!(line.poll(), Some(Signal::Open)));
        line.sent(line.unsent());
        line
    }

    fn server(opcode: u8, payload: &[u8]) -> Vec<u8> {
        [&[0x80 | opcode, u8::try_from(payload.len()).unwrap()][..], payload].concat()
    }

    #[test]
    fn nothing_is_sent_before_it_may() {
        let mut line = Line::new();
        line.send(&["x"]);
        line.ping();
        assert_eq!((line.unsent(), line.wants_read()), (0, false));
        line.begin(18790, None, [7; 16]);
        let head = String::from_utf8(line.outgoing().to_vec()).unwrap();
        assert!(head.starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:18790\r\n"), "{head}");
        assert!(!head.contains("Origin") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(String::from_utf8_lossy(asked().outgoing()).contains("Origin: http://127.0.0.1:18789\r\n"));
    }

    #[test]
    fn messages_go_both_ways() {
        let mut line = open();
        line.send(&["{", "}"]);
        assert_eq!(line.outgoing(), [0x81, 0x82, 0, 0, 0, 0, b'{', b'}']);
        let message = server(1, b"hello");
        for byte in &message[..6] {
            line.receive(&[*byte]);
            assert!(line.poll().is_none());
        }
        line.receive(&message[6..]);
        assert!(matches!(line.poll(), Some(Signal::Message(text)) if &*text == "hello"));
        line.receive(&server(9, b"!"));
        assert!(line.poll().is_none());
        assert_eq!(line.outgoing()[8..], [0x8a, 0x81, 0, 0, 0, 0, b'!']);
    }

    #[test]
    fn what_is_no_websocket_ends_it() {
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\n",
            &ANSWER.replace("s3pP", "aaaa"),
            &ANSWER.replace("Upgrade: websocket\r\n", ""),
            &ANSWER.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
            "SSH-2.0-OpenSSH\r\n",
        ] {
            let mut line = asked();
            line.receive(answer.as_bytes());
            assert!(matches!(line.poll(), Some(Signal::Ended(_))), "{answer}");
            assert!(line.poll().is_none());
        }
        let mut line = open();
        line.receive(&[0x81, 0x81, 1, 2, 3, 4, 5]);
        assert!(matches!(line.poll(), Some(Signal::Ended(why)) if why.contains("masked")));
    }

    #[test]
    fn the_end_comes_after_what_came_before_it() {
        let mut line = open();
        line.receive(&server(1, b"last"));
        line.eof();
        assert!(matches!(line.poll(), Some(Signal::Message(_))));
        assert!(matches!(line.poll(), Some(Signal::Ended(_))));
    }

    #[test]
    fn another_process_goes_on_with_it() {
        let mut line = open();
        line.receive(&server(1, b"whole"));
        line.receive(&server(1, b"half")[..3]);
        line.send(&["unsent"]);
        let (saved, held) = line.save().unwrap();
        let mut line = Line::restore(&saved, held).unwrap();
        assert!(matches!(line.poll(), Some(Signal::Message(text)) if &*text == "whole"));
        assert!(line.poll().is_none());
        line.receive(&server(1, b"half")[3..]);
        assert!(matches!(line.poll(), Some(Signal::Message(text)) if &*text == "half"));
        assert_eq!(line.unsent(), 12);
        assert!(asked().save().is_none());
    }
}
