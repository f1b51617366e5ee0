//! The HTTP request head, and what is written before a connection is a WebSocket.
//!
//! Rule: a [`Head`] that exists is well formed, and its upgrade, if it asks for one, can be granted as it stands.
//! What is ambiguous (a second `Host`, a bare line feed, a folded line) is refused, never interpreted.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use tungstenite::handshake::derive_accept_key;

use crate::limits::{HEAD_BYTES_MAX, HEAD_HEADERS_MAX};
use crate::wire::refusal::Refusal;

/// A whole request head. Bytes of a header value that are not UTF-8 show as U+FFFD, which equals no name of anything.
#[derive(Clone)]
pub struct Head {
    /// All names and values, one after the other; the ranges below point into it.
    text: String,
    method: Range<usize>,
    target: Range<usize>,
    /// Name and value of each header, in the order they came.
    headers: Vec<(Range<usize>, Range<usize>)>,
    /// The version is HTTP/1.1.
    modern: bool,
    upgrade: Option<Upgrade>,
}

/// How much of an unfinished head was looked at, so that a head in single bytes costs no more than one in lines.
/// Stored as it is: see [`super::saved`].
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// Bytes that were there at the last look.
    seen: usize,
    /// How many there have to be before a look is worth it without a line's end.
    worth: usize,
}

/// What the answer to a valid WebSocket upgrade is made of.
#[derive(Debug, Clone)]
pub(super) struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    accept: String,
    /// The subprotocol that the client named first; OpenClaw's gateway echoes it.
    protocol: Option<String>,
}

/// A plain HTTP answer. The session adds the length, `Connection: close` and the headers that every answer carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// Further headers: `Content-Type`, `Cache-Control`, `Allow`, … Control characters in values are left out.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; only its length is sent if the request's method is HEAD.
    pub body: Cow<'static, [u8]>,
}

impl Head {
    /// Reads a head from the beginning of `bytes`: itself and its length in bytes, or `None` if it is not whole yet.
    /// The outcome depends on the bytes alone, not on how many of them were there at an earlier try.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Refusal> {
        let within = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        // httparse skips empty lines and takes bare line feeds; two readers of one head must not differ over them.
        if within.first().is_some_and(|first| !first.is_ascii_alphabetic()) {
            return Err(malformed(NO_LINES));
        }
        let strict = within.get(..bare_line_feed(within)).unwrap_or(within);
        let mut headers = [httparse::EMPTY_HEADER; HEAD_HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(strict) {
            Ok(httparse::Status::Complete(len)) => Ok(Some((Self::build(&request)?, len))),
            Ok(httparse::Status::Partial) if strict.len() < within.len() => Err(malformed(NO_LINES)),
            Ok(httparse::Status::Partial) if within.len() < HEAD_BYTES_MAX => Ok(None),
            Ok(httparse::Status::Partial) => Err(too_large(&format!("{HEAD_BYTES_MAX} bytes"))),
            Err(httparse::Error::TooManyHeaders) => Err(too_large(&format!("{HEAD_HEADERS_MAX} headers"))),
            Err(error) => Err(malformed(&error.to_string())),
        }
    }

    /// The request method, as sent.
    pub fn method(&self) -> &str {
        self.at(&self.method)
    }

    /// The request target, as sent: path and query, or an absolute URL.
    pub fn target(&self) -> &str {
        self.at(&self.target)
    }

    /// The path of the target, without the query.
    pub fn path(&self) -> &str {
        let target = self.target();
        let path = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            _ => target,
        };
        path.split(['?', '#']).next().unwrap_or_default()
    }

    /// The `Host` header. There is at most one; HTTP/1.0 needs none.
    pub fn host(&self) -> Option<&str> {
        self.values("host").next()
    }

    /// The `Origin` header: only browsers send it. There is at most one.
    pub fn origin(&self) -> Option<&str> {
        self.values("origin").next()
    }

    /// The values of every header called `name`, in the order they came. Letter case of names does not matter.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, name and value, in the order they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (self.at(name), self.at(value)))
    }

    /// Whether this is a valid WebSocket upgrade, so that [`super::Session::upgrade`] will do it.
    pub fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Whether the version is HTTP/1.1; else it is HTTP/1.0.
    pub(super) fn is_modern(&self) -> bool {
        self.modern
    }

    /// The token of `Authorization: Bearer`, which no query and no other header can stand for.
    pub fn bearer(&self) -> Option<&str> {
        let value = self.values("authorization").next()?.trim();
        let (scheme, token) = value.split_once([' ', '\t'])?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
    }

    /// What the session has to keep of a head that it hands out.
    pub(super) fn take_upgrade(&self) -> Option<Upgrade> {
        self.upgrade.clone()
    }

    fn at(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn build(request: &httparse::Request<'_, '_>) -> Result<Self, Refusal> {
        let mut text = String::with_capacity(512);
        let mut keep = |piece: &str| {
            let start = text.len();
            text.push_str(piece);
            start..text.len()
        };
        let method = keep(request.method.unwrap_or_default());
        let target = keep(request.path.unwrap_or_default());
        let headers = request
            .headers
            .iter()
            .map(|header| (keep(header.name), keep(&String::from_utf8_lossy(header.value))))
            .collect();
        let modern = request.version == Some(1);
        let mut head = Self { text, method, target, headers, modern, upgrade: None };
        head.check_singles(modern)?;
        head.upgrade = head.read_upgrade(modern)?;
        Ok(head)
    }

    /// Headers that decide who is asking, or how the request ends, must not leave a choice.
    fn check_singles(&self, modern: bool) -> Result<(), Refusal> {
        if let Some(name) = SINGLE.iter().find(|name| self.values(name).nth(1).is_some()) {
            return Err(malformed(&format!("it has more than one {name} header")));
        }
        if modern && self.host().is_none() {
            return Err(malformed("it has no host header"));
        }
        Ok(())
    }

    /// RFC 6455 section 4.2.1. A request without `Upgrade` is plain HTTP; one that has it must be right.
    fn read_upgrade(&self, modern: bool) -> Result<Option<Upgrade>, Refusal> {
        if self.values("upgrade").next().is_none() {
            return Ok(None);
        }
        if !self.names_token("upgrade", "websocket") {
            return Err(no_upgrade("the upgrade header does not name websocket"));
        }
        if !self.names_token("connection", "upgrade") {
            return Err(no_upgrade("the connection header does not name upgrade"));
        }
        if self.method() != "GET" || !modern {
            return Err(no_upgrade("a websocket upgrade is a GET request of HTTP/1.1"));
        }
        if self.values("content-length").next().is_some() || self.values("transfer-encoding").next().is_some()
        {
            return Err(no_upgrade("a websocket upgrade has no body"));
        }
        let version = self.values("sec-websocket-version").next();
        if !matches!(version, Some("13" | "8")) {
            return Err(no_upgrade(VERSION_PROBLEM));
        }
        let key = self.values("sec-websocket-key").next().filter(|key| is_key(key));
        let key = key.ok_or_else(|| no_upgrade("the sec-websocket-key header is not 16 bytes in base64"))?;
        Ok(Some(Upgrade { accept: derive_accept_key(key.as_bytes()), protocol: self.first_protocol()? }))
    }

    /// Whether a header that is a list of tokens has `token` in it, in any letter case.
    fn names_token(&self, header: &str, token: &str) -> bool {
        self.values(header)
            .flat_map(|list| list.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    fn first_protocol(&self) -> Result<Option<String>, Refusal> {
        let Some(list) = self.values("sec-websocket-protocol").next() else { return Ok(None) };
        let first = list.split(',').next().unwrap_or_default().trim();
        if first.is_empty() || !first.bytes().all(is_token_byte) {
            return Err(no_upgrade("the sec-websocket-protocol header is not a list of tokens"));
        }
        Ok(Some(first.to_owned()))
    }
}

impl Progress {
    /// Whether `len` bytes can have been looked at like this.
    pub(super) fn fits(&self, len: usize) -> bool {
        self.seen <= len && self.worth <= 2 * len
    }

    /// Whether a look at `bytes` may bring news: a line has ended, or there is twice as much, or no more will come.
    pub(super) fn is_due(&mut self, bytes: &[u8], last: bool) -> bool {
        let new = bytes.get(self.seen..).unwrap_or_default();
        let due = last || new.contains(&b'\n') || bytes.len() >= self.worth.min(HEAD_BYTES_MAX);
        if !new.is_empty() {
            self.seen = bytes.len();
        }
        if due {
            self.worth = 2 * bytes.len();
        }
        due
    }
}

impl Upgrade {
    /// The answer that makes the connection a WebSocket.
    pub(super) fn response(&self) -> String {
        let protocol = match &self.protocol {
            Some(name) => format!("Sec-WebSocket-Protocol: {name}\r\n"),
            None => String::new(),
        };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{protocol}\r\n",
            self.accept
        )
    }
}

impl HttpAnswer {
    /// An answer of one line of plain text.
    pub fn text(status: u16, line: &str) -> Self {
        Self {
            status,
            headers: vec![
                ("Content-Type", "text/plain; charset=utf-8".into()),
                ("Cache-Control", "no-store".into()),
            ],
            body: format!("{line}\n").into_bytes().into(),
        }
    }

    /// The answer on the wire; without the body if the request's method was HEAD.
    pub(super) fn format(&self, with_body: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n{COMMON_HEADERS}", self.status, status_text(self.status));
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.extend(value.chars().filter(|c| !c.is_control()));
            head.push_str("\r\n");
        }
        head.push_str("Content-Length: ");
        head.push_str(&self.body.len().to_string());
        head.push_str("\r\n\r\n");
        let mut bytes = head.into_bytes();
        if with_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// Headers may hold secrets, so only the method and the path show.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} {})", self.method(), self.path())
    }
}

fn malformed(problem: &str) -> Refusal {
    let reason = format!("malformed http request: {problem}");
    Refusal::new("head-malformed", reason, "use a client that speaks HTTP/1.1 without TLS to this port")
        .with_status(400)
}

fn too_large(limit: &str) -> Refusal {
    let reason = format!("http request head exceeds {limit} (phase head)");
    Refusal::new("head-too-large", reason, "clear the cookies that other services on this host have set")
        .with_status(431)
}

fn no_upgrade(problem: &'static str) -> Refusal {
    Refusal::new("upgrade-invalid", problem, "check the client, and any proxy between it and this port")
        .with_status(400)
}

/// Where the first line feed without a carriage return is; the length of `bytes` if there is none.
fn bare_line_feed(bytes: &[u8]) -> usize {
    let before = std::iter::once(&0).chain(bytes);
    before.zip(bytes).position(|(before, byte)| *byte == b'\n' && *before != b'\r').unwrap_or(bytes.len())
}

/// 24 characters of base64 that stand for 16 bytes. Bits that the last character has too many may have any value, as
/// in the servers that clients know.
fn is_key(key: &str) -> bool {
    key.len() == 24
        && key.strip_suffix("==").is_some_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
        })
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn status_text(status: u16) -> &'static str {
    STATUS_TEXTS.iter().find(|(code, _)| *code == status).map_or("Status", |(_, text)| text)
}

/// Headers of which a second one would make the request mean two things.
const SINGLE: &[&str] =
    &["host", "origin", "content-length", "sec-websocket-key", "sec-websocket-version", "authorization"];

const NO_LINES: &str = "it must be lines that end in CR LF";

/// OpenClaw's gateway has this sentence as the body, and people search for it.
const VERSION_PROBLEM: &str = "Missing or invalid Sec-WebSocket-Version header";

/// What every answer of OpenClaw's gateway carries, and the end of the connection.
const COMMON_HEADERS: &str = "Connection: close\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\n\
    Permissions-Policy: camera=(), microphone=(), geolocation=()\r\n";

const STATUS_TEXTS: &[(u16, &str)] = &[
    (200, "OK"),
    (204, "No Content"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (304, "Not Modified"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (408, "Request Timeout"),
    (413, "Content Too Large"),
    (421, "Misdirected Request"),
    (426, "Upgrade Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
];
