//! WebSocket frames as a client writes and reads them (RFC 6455).
//!
//! Rule: strict about what a server may send, and able to send what a library never would: a message in any number of
//! fragments, whose bytes are then cut anywhere.

/// One frame of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    /// Code and reason; 1005 if there was none.
    Close(u16, String),
}

/// What came and is not dealt with.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    taken: usize,
}

impl Reader {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The head of an HTTP answer, once it is whole.
    pub fn take_head(&mut self) -> Option<String> {
        let end = self.rest().windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.rest()[..end]).into_owned();
        self.taken += end;
        Some(head)
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// What no server may send.
    pub fn take_frame(&mut self) -> Result<Option<Frame>, String> {
        let rest = self.rest();
        let (Some(&first), Some(&second)) = (rest.first(), rest.get(1)) else { return Ok(None) };
        if first & 0x70 != 0 || second & 0x80 != 0 {
            return Err(format!("a frame that begins with {first:#04x} {second:#04x}"));
        }
        if first & 0x80 == 0 {
            return Err("a fragment".to_owned());
        }
        let (start, length) = match second {
            126 => (4, rest.get(2..4).map(|two| u64::from(u16::from_be_bytes([two[0], two[1]])))),
            127 => (10, rest.get(2..10).map(|all| u64::from_be_bytes(all.try_into().expect("eight bytes")))),
            short => (2_usize, Some(u64::from(short))),
        };
        let Some(length) = length else { return Ok(None) };
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        let end = end.filter(|end| *end <= FRAME_BYTES_MAX).ok_or("a frame that is too large")?;
        let Some(payload) = rest.get(start..end) else { return Ok(None) };
        let frame = frame_of(first & 0x0f, payload)?;
        self.taken += end;
        if self.taken == self.bytes.len() && self.bytes.capacity() > KEEP_BYTES {
            *self = Self::default();
        }
        Ok(Some(frame))
    }

    /// Whether a part of something is here.
    pub fn is_mid_frame(&self) -> bool {
        !self.rest().is_empty()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }
}

/// A text message in this many fragments.
pub fn text(message: &str, fragments: usize) -> Vec<u8> {
    let bytes = message.as_bytes();
    let each = bytes.len().div_ceil(fragments.max(1)).max(1);
    let count = bytes.len().div_ceil(each).max(1);
    let mut out = Vec::with_capacity(bytes.len() + 14 * count);
    for index in 0..count {
        let part = &bytes[(index * each).min(bytes.len())..((index + 1) * each).min(bytes.len())];
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        let fin = if index + 1 == count { FIN } else { 0 };
        frame(&mut out, fin | opcode, part);
    }
    out
}

/// A pong with what the ping carried.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, FIN | PONG, payload);
    out
}

/// A close frame with this code.
pub fn close(code: u16) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, FIN | CLOSE, &code.to_be_bytes());
    out
}

fn frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        short @ 0..=125 => out.push(MASKED + u8::try_from(short).expect("short")),
        middle @ 126..=0xffff => {
            out.push(MASKED + 126);
            out.extend_from_slice(&u16::try_from(middle).expect("two bytes").to_be_bytes());
        }
        long => {
            out.push(MASKED + 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn frame_of(opcode: u8, payload: &[u8]) -> Result<Frame, String> {
    let text =
        |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "text that is no UTF-8".to_owned());
    match (opcode, payload) {
        (TEXT, _) => Ok(Frame::Text(text(payload)?)),
        (PING, _) => Ok(Frame::Ping(payload.to_vec())),
        (PONG, _) => Ok(Frame::Pong),
        (CLOSE, []) => Ok(Frame::Close(1005, String::new())),
        (CLOSE, [high, low, reason @ ..]) => {
            Ok(Frame::Close(u16::from_be_bytes([*high, *low]), text(reason)?))
        }
        _ => Err(format!("a frame with opcode {opcode} and {} bytes", payload.len())),
    }
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The last fragment of its message.
const FIN: u8 = 0x80;
/// Added to the length of a frame that is masked.
const MASKED: u8 = 0x80;
/// Any mask is a mask.
const MASK: [u8; 4] = [0x5a, 0x01, 0xc3, 0x7e];
/// No answer that the storm asks for is larger.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A buffer that grew beyond this is given back.
const KEEP_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_in_any_pieces() {
        let mut all = vec![0x81, 2, b'h', b'i', 0x89, 1, 7, 0x81, 126, 1, 0];
        all.extend([b'x'; 256]);
        all.extend([0x88, 5, 0x03, 0xf4, b'b', b'y', b'e']);
        let mut reader = Reader::default();
        let mut seen = Vec::new();
        for byte in all {
            reader.push(&[byte]);
            seen.extend(reader.take_frame().expect("good frames"));
        }
        let long = Frame::Text("x".repeat(256));
        assert_eq!(
            seen,
            [Frame::Text("hi".into()), Frame::Ping(vec![7]), long, Frame::Close(1012, "bye".into())]
        );
        assert!(!reader.is_mid_frame());
    }

    #[test]
    fn what_no_server_may_send_is_an_error() {
        for wrong in [&[0x01, 0][..], &[0x81, 0x80], &[0xc1, 0], &[0x83, 0], &[0x88, 1, 3], &[0x81, 1, 0xff]]
        {
            let mut reader = Reader::default();
            reader.push(wrong);
            assert!(reader.take_frame().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_message_is_the_same_in_any_number_of_fragments() {
        for fragments in [1, 2, 5, 300] {
            let bytes = text("0123456789", fragments);
            let ends = bytes.iter().filter(|byte| **byte == 0x80 || **byte == 0x81).count();
            assert!(ends >= 1 && bytes.len() >= 10 + 6 * fragments.min(10), "{fragments}: {bytes:?}");
        }
    }
}
