//! Whether a WebSocket of the runtime's is one of its own, and not the gateway's protocol under another path.
//!
//! Rule: a pipe to the runtime's gateway would be a second door, behind which it would take whoever comes for us. Which
//! paths lead there differs from version to version, so the runtime is asked: its gateway speaks first, before it reads
//! anything. We send a ping; if a challenge comes before the pong, the door stays shut. Until then nothing passes either
//! way.

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::framing;
use super::queue::Queue;
use crate::limits::HEAD_BYTES_MAX;

/// What has come of an answer to an upgrade.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// All of it, as it came.
    held: Queue,
    /// How much of it is dealt with; 0 until its head is whole and the ping is sent.
    at: usize,
}

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing yet.
    Open,
    /// It is a plain answer: the runtime does not agree to a WebSocket.
    Plain(Vec<u8>),
    /// It is a socket of the runtime's own; this is what it has said so far.
    Socket(Vec<u8>),
    /// It is the gateway, or nothing that anybody knows.
    Gateway,
}

impl Proof {
    /// Takes in more of the answer; what is to be asked goes to `up`.
    pub(super) fn hear(&mut self, bytes: &[u8], up: &mut Queue) -> Outcome {
        self.held.push(bytes);
        if self.at == 0 {
            let held = self.held.waiting();
            let alike = held.iter().zip(SWITCHING).take_while(|(byte, want)| byte == want).count();
            if alike < SWITCHING.len().min(held.len()) {
                return Outcome::Plain(held.to_vec());
            }
            match held.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
                Some(end) => self.at = end + HEAD_END.len(),
                None if held.len() > HEAD_BYTES_MAX => return Outcome::Gateway,
                None => return Outcome::Open,
            }
            framing::write_probe(up, PROBE);
        }
        self.frames()
    }

    /// How many bytes are held back.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Looks at the frames up to the pong.
    fn frames(&mut self) -> Outcome {
        loop {
            let rest = self.held.waiting().get(self.at..).unwrap_or_default();
            let front = match framing::glance(rest) {
                Ok(Some(front)) => front,
                Ok(None) => return Outcome::Open,
                Err(_) => return Outcome::Gateway,
            };
            let Ok(payload) = usize::try_from(front.payload) else { return Outcome::Gateway };
            if payload > HEAD_BYTES_MAX {
                // Nobody says as much before he is asked.
                return Outcome::Gateway;
            }
            let len = front.head + payload;
            let Some(frame) = rest.get(..len) else { return Outcome::Open };
            let said = frame.get(front.head..).unwrap_or_default();
            match front.opcode() {
                Some(OpCode::Control(Control::Pong)) if said == PROBE => {
                    return Outcome::Socket(self.without(len));
                }
                Some(OpCode::Data(Data::Text | Data::Binary | Data::Continue))
                    if said.windows(CHALLENGE.len()).any(|window| window == CHALLENGE) =>
                {
                    return Outcome::Gateway;
                }
                Some(_) => self.at += len,
                None => return Outcome::Gateway,
            }
        }
    }

    /// Everything but the pong, which is `len` bytes long.
    fn without(&self, len: usize) -> Vec<u8> {
        let held = self.held.waiting();
        let before = held.get(..self.at).unwrap_or_default();
        let behind = held.get(self.at + len..).unwrap_or_default();
        [before, behind].concat()
    }
}

/// How an answer begins that agrees to another protocol.
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The payload of our ping: nobody else's has it.
const PROBE: &[u8] = b"loopgate: whose socket is this?";
/// What the gateway says first, in every version.
const CHALLENGE: &[u8] = b"connect.challenge";

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, u8::try_from(payload.len()).unwrap()], payload].concat()
    }

    /// What comes out of `bytes` in pieces of `step`, and what was asked.
    fn hear(bytes: &[u8], step: usize) -> (Outcome, usize) {
        let (mut proof, mut up) = (Proof::default(), Queue::default());
        for piece in bytes.chunks(step) {
            let outcome = proof.hear(piece, &mut up);
            if outcome != Outcome::Open {
                return (outcome, up.len());
            }
        }
        (Outcome::Open, up.len())
    }

    #[test]
    fn a_socket_that_answers_without_a_challenge_is_the_runtimes_own() {
        let pong = frame(0x8a, PROBE);
        let said = frame(0x81, b"reload");
        let whole = [HEAD, &said, &pong, &said].concat();
        let (outcome, asked) = hear(&whole, usize::MAX);
        assert_eq!(outcome, Outcome::Socket([HEAD, &said, &said].concat()));
        assert!(asked > PROBE.len());
        for step in [1, 7] {
            let (outcome, _) = hear(&[HEAD, &said, &pong].concat(), step);
            assert_eq!(outcome, Outcome::Socket([HEAD, &said].concat()), "{step}");
        }
        assert_eq!(hear(&[HEAD, &frame(0x8a, b"other")].concat(), usize::MAX).0, Outcome::Open);
    }

    #[test]
    fn a_challenge_is_the_gateways() {
        let challenge = frame(0x81, br#"{"type":"event","event":"connect.challenge"}"#);
        let pong = frame(0x8a, PROBE);
        for step in [1, 9, usize::MAX] {
            assert_eq!(hear(&[HEAD, &challenge, &pong].concat(), step).0, Outcome::Gateway, "{step}");
        }
        assert_eq!(hear(&[HEAD, &[0xff; 20]].concat(), usize::MAX).0, Outcome::Gateway, "no frame at all");
        assert_eq!(hear(b"x", 1).0, Outcome::Plain(b"x".to_vec()));
    }

    #[test]
    fn whoever_does_not_agree_is_not_asked() {
        for answer in [&b"HTTP/1.1 401 Unauthorized\r\n\r\n"[..], b"HTTP/1.1 1010", b"HTTP/1.0 101 x", b"x"] {
            assert_eq!(hear(answer, usize::MAX), (Outcome::Plain(answer.to_vec()), 0));
        }
        assert_eq!(hear(b"HTTP/1.1 10", usize::MAX), (Outcome::Open, 0));
    }
}
