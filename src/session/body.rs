//! Where a request ends: the framing of its body, read along while the bytes pass.
//!
//! Rule: the bytes go on as they came, and exactly those of one request. What two readers could frame differently
//! (two lengths, a length and chunks, a sign, an extension, a bare line feed) is refused before it is passed on.

use super::head::Head;
use super::queue::Queue;
use crate::limits::{RELAY_CHUNK_BYTES_MAX, RELAY_TRAILER_BYTES_MAX};
use crate::wire::refusal::Refusal;

/// What is still to come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing: what comes now belongs to no request that we know.
    Whole,
    /// So many bytes.
    Left(u64),
    /// Chunks, up to the empty one and the trailer.
    Chunks(Chunk),
    /// Nothing before the runtime has agreed to another protocol; what comes is kept until then.
    Held,
    /// Everything: the connection speaks another protocol.
    Raw,
}

/// Where in a chunk the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the line that tells its size: the size so far, and its digits.
    Size(u64, u8),
    /// At the line feed behind a size.
    SizeEnd(u64),
    /// In its bytes, of which so many are left.
    Data(u64),
    /// At the carriage return behind its bytes.
    DataEnd,
    /// At the line feed behind its bytes.
    DataEndLine,
    /// In the trailer: its bytes so far, and those of the line.
    Trailer(usize, usize),
    /// At the line feed of a trailer line, which is the last one if it is empty.
    TrailerEnd(usize, bool),
}

impl Body {
    /// The body that a head announces.
    pub(super) fn of(head: &Head) -> Result<Self, Refusal> {
        if head.is_upgrade() {
            return Ok(Self::Held);
        }
        let mut codings = head.values("transfer-encoding");
        let length = head.values("content-length").next();
        match (codings.next(), codings.next(), length) {
            (None, _, None) => Ok(Self::Whole),
            (None, _, Some(text)) => length_of(text).map(Self::left),
            (Some(_), _, Some(_)) => Err(unclear("it has a length and a transfer encoding")),
            (Some(coding), None, None) if coding.eq_ignore_ascii_case("chunked") && head.is_modern() => {
                Ok(Self::Chunks(Chunk::START))
            }
            (Some(_), _, None) => Err(unclear("its transfer encoding is not just chunked")),
        }
    }

    /// Whether the request is all here, or was never to be looked at.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self, Self::Whole)
    }

    /// Moves at most `max` bytes of the request from `rx` behind `out`. What comes after its end is thrown away.
    pub(super) fn pass(&mut self, rx: &mut Queue, max: usize, out: &mut Queue) -> Result<(), Refusal> {
        let waiting = rx.waiting();
        let within = waiting.get(..max).unwrap_or(waiting);
        let count = match self {
            Self::Whole | Self::Held => 0,
            Self::Raw => within.len(),
            Self::Left(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(within.len());
                *self = Self::left(*left - count as u64);
                count
            }
            Self::Chunks(_) => self.chunks(within)?,
        };
        out.push(within.get(..count).unwrap_or_default());
        rx.skip(if self.is_whole() { usize::MAX } else { count });
        Ok(())
    }

    /// How many of these bytes belong to the request.
    fn chunks(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut seen = 0;
        while let (Self::Chunks(chunk), Some(byte)) = (&mut *self, bytes.get(seen)) {
            if let Chunk::Data(left) = chunk {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - seen);
                *left -= count as u64;
                seen += count;
                if *left == 0 {
                    *chunk = Chunk::DataEnd;
                }
                continue;
            }
            seen += 1;
            *self = chunk.after(*byte)?.map_or(Self::Whole, Self::Chunks);
        }
        Ok(seen)
    }

    const fn left(len: u64) -> Self {
        if len == 0 { Self::Whole } else { Self::Left(len) }
    }
}

impl Chunk {
    const START: Self = Self::Size(0, 0);

    /// Where the byte after `byte` is; `None` behind the last one.
    fn after(self, byte: u8) -> Result<Option<Self>, Refusal> {
        Ok(Some(match (self, byte) {
            (Self::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = size * 16 + u64::from(digit);
                // Zeros in front make no number larger, and must not go on for ever.
                if size > RELAY_CHUNK_BYTES_MAX || digits >= SIZE_DIGITS_MAX {
                    return Err(unclear("it has too large a chunk"));
                }
                Self::Size(size, digits + 1)
            }
            (Self::Size(size, 1..), b'\r') => Self::SizeEnd(size),
            (Self::SizeEnd(0), b'\n') => Self::Trailer(0, 0),
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataEnd, b'\r') => Self::DataEndLine,
            (Self::DataEndLine, b'\n') => Self::START,
            (Self::Trailer(total, line), b'\r') => Self::TrailerEnd(total, line == 0),
            (Self::Trailer(total, _), _) if total >= RELAY_TRAILER_BYTES_MAX => {
                return Err(unclear("its trailer is too long"));
            }
            (Self::Trailer(total, line), _) if byte != b'\n' => Self::Trailer(total + 1, line + 1),
            (Self::TrailerEnd(_, true), b'\n') => return Ok(None),
            (Self::TrailerEnd(total, false), b'\n') => Self::Trailer(total, 0),
            _ => return Err(unclear("its chunks are not well formed")),
        }))
    }
}

/// Digits and nothing else: no sign, no list, no blank.
fn length_of(text: &str) -> Result<u64, Refusal> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = plain.then(|| text.parse().ok()).flatten();
    length.ok_or_else(|| unclear("its content-length is not a number"))
}

fn unclear(problem: &str) -> Refusal {
    let reason = format!("malformed http request: {problem}");
    Refusal::new("body-malformed", reason, "check the client, and any proxy between it and this port")
        .with_status(400)
}

/// Hex digits of a chunk's size: more than the largest one needs.
const SIZE_DIGITS_MAX: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(headers: &str) -> Result<Body, Refusal> {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        Head::parse(head.as_bytes()).and_then(|head| Body::of(&head.unwrap().0))
    }

    /// What passes of `bytes`, given in pieces of `step`, and whether the request is whole then.
    fn passed(mut body: Body, bytes: &[u8], step: usize) -> Result<(Vec<u8>, bool), Refusal> {
        let (mut rx, mut out) = (Queue::default(), Queue::default());
        for piece in bytes.chunks(step) {
            rx.push(piece);
            body.pass(&mut rx, usize::MAX, &mut out)?;
            assert!(rx.is_empty(), "nothing stays behind");
        }
        Ok((out.waiting().to_vec(), body.is_whole()))
    }

    #[test]
    fn a_body_is_framed_once_or_refused() {
        assert_eq!(body(""), Ok(Body::Whole));
        assert_eq!(body("Content-Length: 0\r\n"), Ok(Body::Whole));
        assert_eq!(body("Content-Length: 007\r\n"), Ok(Body::Left(7)));
        assert_eq!(body("transfer-encoding: Chunked\r\n"), Ok(Body::Chunks(Chunk::START)));
        for headers in [
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 1 1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: \u{663}\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "X: y\r\n Content-Length: 1\r\n",
            "Content-Length: 1\r\n\tContent-Length: 2\r\n",
            "X: y\nContent-Length: 1\r\n",
            "X: y\rContent-Length: 1\r\n",
            " Content-Length: 1\r\n",
        ] {
            let refusal = body(headers).expect_err(headers);
            assert_eq!(refusal.status, 400, "{headers:?}");
        }
        let old = Head::parse(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap().0;
        assert!(Body::of(&old).is_err(), "HTTP/1.0 has no chunks");
    }

    #[test]
    fn bytes_pass_up_to_the_end_of_the_request_and_no_further() {
        let next = b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
        for (body, request) in [
            (Body::Whole, &b""[..]),
            (Body::Left(5), b"hello"),
            (Body::Chunks(Chunk::START), b"0\r\n\r\n"),
            (Body::Chunks(Chunk::START), b"5\r\nhello\r\n00A\r\n0123456789\r\n000\r\n\r\n"),
            (Body::Chunks(Chunk::START), b"1\r\n\n\r\n0\r\nExpires: never\r\nX: y\r\n\r\n"),
        ] {
            for step in [1, 2, 3, 7, 1_000] {
                let whole = [request, next].concat();
                assert_eq!(passed(body, &whole, step), Ok((request.to_vec(), true)), "{step}");
                let half = &request[..request.len().saturating_sub(1)];
                let want = (half.to_vec(), request.is_empty());
                assert_eq!(passed(body, half, step), Ok(want), "{step}");
            }
        }
    }

    #[test]
    fn chunks_that_two_readers_may_frame_differently_are_refused() {
        for bytes in [
            &b"5;a=b\r\nhello\r\n"[..],
            b"5 \r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\nhello\n",
            b"5\r\nhello0\r\n",
            b"5\rhello",
            b"\r\n5\r\nhello\r\n",
            b"G\r\n",
            b"ffffffffffffffff\r\n",
            b"00000000000000000\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\nX: y\r\r\n",
            b"0\r\n\n",
        ] {
            for step in [1, 1_000] {
                assert!(
                    passed(Body::Chunks(Chunk::START), bytes, step).is_err(),
                    "{:?}",
                    bytes.escape_ascii().to_string()
                );
            }
        }
        let long = [&b"0\r\n"[..], &b"X: y\r\n".repeat(RELAY_TRAILER_BYTES_MAX), b"\r\n"].concat();
        assert!(passed(Body::Chunks(Chunk::START), &long, 1_000).is_err(), "a trailer without end");
    }

    #[test]
    fn no_more_passes_than_there_is_room_for() {
        let (mut rx, mut out) = (Queue::default(), Queue::default());
        rx.push(b"5\r\nhello\r\n0\r\n\r\n");
        let mut body = Body::Chunks(Chunk::START);
        while !body.is_whole() {
            let before = out.len();
            body.pass(&mut rx, 2, &mut out).unwrap();
            assert!((1..=2).contains(&(out.len() - before)));
        }
        assert_eq!(out.waiting(), b"5\r\nhello\r\n0\r\n\r\n");
    }

    #[test]
    fn before_another_protocol_is_agreed_on_nothing_passes_and_nothing_is_lost() {
        let (mut rx, mut out) = (Queue::default(), Queue::default());
        rx.push(b"early");
        let mut body = Body::Held;
        body.pass(&mut rx, 100, &mut out).unwrap();
        assert_eq!((out.len(), rx.len()), (0, 5));
        body = Body::Raw;
        body.pass(&mut rx, 100, &mut out).unwrap();
        assert_eq!(out.waiting(), b"early");
    }
}
