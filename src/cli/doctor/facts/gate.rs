//! The gateway itself: one connection to the owner's socket, one to the port.
//!
//! Rule: one attempt each, never repeated, so that no limit on guessing is fed; and no secret goes to a port unless it
//! is known who holds it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;

use super::tool::Patience;
use crate::cli::client::{Client, Hello};
use crate::cli::failure::Failure;
use crate::cli::secrets::Credentials;
use crate::cli::target::{Address, NamedBy, Target};
use crate::wire::Protocol;

/// What the owner's socket told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// Its clock and ours, in milliseconds since 1970.
    pub clocks: Option<(u64, u64)>,
    /// The answers to [`ASKED`], in their order; null for one that was refused.
    pub answers: Vec<Value>,
}

/// What is asked at the owner's socket.
pub(crate) const ASKED: [&str; 3] = ["device.pair.list", "system-presence", "config.get"];

impl Told {
    /// The answer to one of [`ASKED`].
    pub(crate) fn answer(&self, method: &str) -> &Value {
        let index = ASKED.iter().position(|asked| *asked == method);
        index.and_then(|index| self.answers.get(index)).unwrap_or(&Value::Null)
    }
}

/// Asks at the owner's socket.
pub(crate) fn ask_owner(path: &Path, patience: Patience) -> Result<Told, Failure> {
    let target = Target { address: Address::Unix(path.to_path_buf()), named_by: NamedBy::Flag };
    let scopes = ["operator.read", "operator.pairing"];
    let limit = patience.share().min(LIMIT);
    // In this protocol the hash of the configuration is one that can be computed.
    let mut client = Client::speak(&target, &Credentials::default(), &scopes, limit, Protocol::V3)?;
    let mut answers = Vec::new();
    for method in ASKED {
        let answer = client.call(method, RawValue::NULL, patience.share().min(LIMIT));
        answers.push(answer.and_then(|payload| payload.value()).unwrap_or_default());
    }
    let clocks = client.hello().clocks;
    client.close();
    Ok(Told { clocks, answers })
}

/// Connects to the port with `credentials`, as a command line without a device does.
pub(crate) fn try_port(
    at: SocketAddr,
    credentials: &Credentials,
    patience: Patience,
) -> Result<Hello, Failure> {
    let address = Address::Tcp { addr: at, path: "/".to_owned() };
    let target = Target { address, named_by: NamedBy::Port };
    let limit = patience.share().min(LIMIT);
    let client = Client::open(&target, credentials, &["operator.read"], limit)?;
    let hello = client.hello().clone();
    client.close();
    Ok(hello)
}

/// The status of `GET /healthz`, or why there is none.
pub(crate) fn http_health(at: SocketAddr, patience: Patience) -> Result<u16, String> {
    http_status(at, "/healthz", patience)
}

/// The status of `GET` for `path`, or why there is none.
pub(crate) fn http_status(at: SocketAddr, path: &str, patience: Patience) -> Result<u16, String> {
    let limit = patience.share().min(LIMIT);
    let deadline = Instant::now() + limit;
    let cause = |error: std::io::Error| super::tool::cause(&error);
    if limit.is_zero() {
        return Err("out of time".to_owned());
    }
    let mut stream = TcpStream::connect_timeout(&at, limit).map_err(cause)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.set_write_timeout(Some(limit)).map_err(cause)?;
    stream.write_all(request.as_bytes()).map_err(cause)?;
    let mut head = Vec::new();
    let mut bytes = [0; 512];
    // The first line is all that counts.
    while !head.contains(&b'\n') && head.len() < HEAD_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).map_err(cause)?;
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => head.extend(bytes.get(..n).unwrap_or_default()),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
                return Err(format!("no answer within {} ms", limit.as_millis()));
            }
            Err(error) => return Err(cause(error)),
        }
    }
    status(&head).ok_or_else(|| "what answered is no HTTP".to_owned())
}

/// The status in the first line of an answer.
fn status(head: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(head);
    let mut words = text.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

/// One connection, and one answer. A gateway on the same machine answers in milliseconds.
const LIMIT: Duration = Duration::from_millis(1_500);
const HEAD_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_status_is_the_second_word() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"SSH-2.0-x\r\n"), None);
        assert_eq!(status(b""), None);
    }

    #[test]
    fn who_never_answers_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let start = Instant::now();
        let error = http_health(listener.local_addr().unwrap(), Patience::new()).unwrap_err();
        assert!(error.starts_with("no answer within"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
