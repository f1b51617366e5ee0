//! The head of a request on its way to the runtime.
//!
//! Rule: every line goes on with the very bytes that were read here, but for those that speak of this connection alone
//! and for the credential. Nothing is added that tells of us: a header that claims where a request came from would be
//! believed. `Host` stays what it was: the runtimes take any, compare it with `Origin`, and make links of it.

use super::head::Head;
use crate::wire::refusal::Refusal;

/// What becomes of the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization<'a> {
    /// It stays.
    Keep,
    /// It is left out.
    Drop,
    /// This bearer token takes its place.
    Replace(&'a str),
}

/// The head that `head` becomes. `raw` are its bytes.
pub(super) fn forwarded(
    head: &Head,
    raw: &[u8],
    authorization: Authorization<'_>,
) -> Result<Vec<u8>, Refusal> {
    check_connection(head)?;
    let mut out = Vec::with_capacity(raw.len() + ROOM_BYTES);
    // The head is lines that end in CR LF, none of them folded: that was checked when it was read.
    for (number, line) in raw.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if line == b"\r\n" {
            break;
        }
        if number == 0 || stays(name_of(line), head.is_upgrade(), authorization) {
            out.extend_from_slice(line);
        }
    }
    if let Authorization::Replace(token) = authorization {
        // A secret of the configuration may hold anything; a line end in it would begin a header of its own.
        let token = token.bytes().filter(|byte| !byte.is_ascii_control());
        out.extend(b"Authorization: Bearer ".iter().copied().chain(token).chain(*b"\r\n"));
    }
    let connection: &[u8] = if head.is_upgrade() { b"Upgrade" } else { b"close" };
    out.extend_from_slice(&[b"Connection: ", connection, b"\r\n\r\n"].concat());
    Ok(out)
}

/// `Connection` may name further headers that the next reader must not see. Whoever could take away a header so could
/// take away the one that shows a proxy.
fn check_connection(head: &Head) -> Result<(), Refusal> {
    let options = head.values("connection").flat_map(|list| list.split(',')).map(str::trim);
    let odd =
        |option: &str| !option.is_empty() && !OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(option));
    if options.into_iter().any(odd) {
        let reason = "malformed http request: its connection header names another header";
        return Err(Refusal::new("head-malformed", reason, REMEDY).with_status(400));
    }
    Ok(())
}

fn stays(name: &[u8], upgrade: bool, authorization: Authorization<'_>) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    if is("authorization") {
        return authorization == Authorization::Keep;
    }
    !(HOP_BY_HOP.iter().any(|other| is(other)) || (is("upgrade") && !upgrade))
}

fn name_of(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b':').next().unwrap_or_default()
}

/// Headers that speak of one connection (RFC 9110 section 7.6.1), and are ours to say. `Transfer-Encoding` stays, for
/// the body goes on as it came.
const HOP_BY_HOP: &[&str] = &["connection", "keep-alive", "proxy-connection", "te"];
/// What `Connection` may say.
const OPTIONS: &[&str] = &["close", "keep-alive", "upgrade", "te"];
const REMEDY: &str = "check the client, and any proxy between it and this port";
/// For the lines that are added.
const ROOM_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(raw: &str, authorization: Authorization<'_>) -> Result<String, Refusal> {
        let (head, len) = Head::parse(raw.as_bytes()).unwrap().unwrap();
        let out = forwarded(&head, &raw.as_bytes()[..len], authorization)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn lines_keep_their_bytes() {
        let raw = "GET /a?token=x HTTP/1.1\r\nhOST:127.0.0.1:18789\r\nX-Odd:\t a  b \r\nX-Forwarded-For: 10.0.0.1\r\n\
                   Cookie: a=b\r\nAccept:\r\n\r\nGET /next HTTP/1.1\r\n\r\n";
        let want = "GET /a?token=x HTTP/1.1\r\nhOST:127.0.0.1:18789\r\nX-Odd:\t a  b \r\nX-Forwarded-For: 10.0.0.1\r\n\
                    Cookie: a=b\r\nAccept:\r\nConnection: close\r\n\r\n";
        assert_eq!(passed(raw, Authorization::Keep).unwrap(), want);
    }

    #[test]
    fn what_speaks_of_one_connection_is_said_anew() {
        let raw = "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, TE\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
                   Proxy-Connection: keep-alive\r\n\r\n";
        let want = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert_eq!(passed(raw, Authorization::Keep).unwrap(), want);
        let raw = "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let out = passed(raw, Authorization::Keep).unwrap();
        assert!(
            out.contains("Upgrade: websocket\r\n") && out.ends_with("\r\nConnection: Upgrade\r\n\r\n"),
            "{out}"
        );
    }

    #[test]
    fn the_credential_is_kept_dropped_or_replaced_in_every_spelling() {
        for name in ["Authorization", "AUTHORIZATION", "authorization"] {
            let raw = format!("GET / HTTP/1.1\r\nHost: x\r\n{name}: Bearer theirs\r\nA: b\r\n\r\n");
            assert_eq!(passed(&raw, Authorization::Keep).unwrap().matches("theirs").count(), 1);
            assert!(!passed(&raw, Authorization::Drop).unwrap().to_lowercase().contains("authorization"));
            let out = passed(&raw, Authorization::Replace("ou\r\nX: rs")).unwrap();
            assert!(
                !out.contains("theirs") && out.contains("\r\nAuthorization: Bearer ouX: rs\r\n"),
                "{out}"
            );
        }
    }

    #[test]
    fn no_header_is_taken_away_by_naming_it() {
        for option in [
            "X-Forwarded-For",
            "close, Forwarded",
            "Host",
            "authorization",
            "keep-alive,\tvia",
            "Content-Length",
        ] {
            let raw = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: {option}\r\n\r\n");
            assert_eq!(passed(&raw, Authorization::Keep).unwrap_err().status, 400, "{option}");
        }
    }
}
