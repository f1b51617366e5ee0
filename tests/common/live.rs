//! A client over a real socket, blocking, and the daemon it talks to.
//!
//! Nothing here waits for ever: whatever does not come within [`PATIENCE`] is a failure.
//!
//! A [`Gate`] ends with its process, or it is [`Gate::kept`] over restarts (`kept.rs`).

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect, listen, socket,
};
use serde_json::{Value, json};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::common::TOKEN;
use crate::common::client::Device;
use crate::rig::{Daemon, Home, Plan, tcp, within};

#[path = "keeper.rs"]
pub mod keeper;
#[path = "kept.rs"]
mod kept;
#[path = "raw.rs"]
pub mod raw;

/// How long anything may take that should happen at once, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A loopgated with a home of its own, on a port of its own.
pub struct Gate {
    // Dropped before its home is.
    pub daemon: Daemon,
    kept: Option<kept::Kept>,
    pub home: Home,
    pub port: u16,
}

/// One WebSocket connection, from its upgrade on.
pub struct Peer {
    socket: WebSocket<TcpStream>,
    pub nonce: String,
    /// Events that came while an answer was awaited.
    pub events: VecDeque<Value>,
    /// What came back for pings.
    pub pongs: Vec<Vec<u8>>,
    next: u64,
}

/// What an upgrade that does not succeed is answered: the whole HTTP answer, or how the WebSocket ended before the
/// challenge.
#[derive(Debug)]
pub struct Answer(pub String);

/// How a connection ended: the close frame's code and reason, 1006 and nothing if there was none, or [`TIMED_OUT`].
pub type End = (u16, String);

impl Gate {
    /// In mode `token`, with [`TOKEN`].
    pub fn token() -> Self {
        Self::new(&format!("mode: 'token', token: '{TOKEN}'"), "{}")
    }

    /// With these fields of `gateway.auth`, and with this loopgate.conf.
    pub fn new(auth: &str, settings: &str) -> Self {
        Self::in_home(Home::new(), auth, settings)
    }

    pub fn in_home(home: Home, auth: &str, settings: &str) -> Self {
        home.configure(&format!("{{gateway: {{auth: {{{auth}}}}}}}"));
        home.set(settings);
        Self::start(home, |plan| plan)
    }

    /// In a home that is furnished already.
    pub fn start(home: Home, change: impl FnOnce(Plan<'_>) -> Plan<'_>) -> Self {
        let (listener, port) = tcp("127.0.0.1:0");
        // systemd lets as many wait as the kernel allows; the standard library 128, and then a peer tries for seconds.
        listen(&listener, Backlog::MAXCONN).expect("a listener");
        let daemon = change(Plan::new(&home, vec![listener])).start();
        Self { daemon, kept: None, home, port }
    }

    /// Ends the process so, and starts another one in the same home, on another port.
    pub fn restart(mut self, signal: Signal) -> Self {
        self.daemon.signal(signal);
        self.daemon.end();
        let Self { daemon, home, .. } = self;
        drop(daemon);
        Self::start(home, |plan| plan)
    }

    pub fn open(&self) -> Peer {
        Peer::open(self.port)
    }

    /// The same with these further headers, each with its end of line.
    pub fn open_with(&self, headers: &str) -> Result<Peer, Answer> {
        Peer::upgrade(dial(self.port), &head(self.port, "/", headers))
    }

    /// The headers of a page that the gateway itself might have served.
    pub fn own_page(&self) -> String {
        format!("Origin: http://localhost:{}\r\n", self.port)
    }

    pub fn page(&self) -> Peer {
        self.open_with(&self.own_page()).expect("our own page may upgrade")
    }

    /// An admitted operator with these scopes, local and without a device.
    pub fn operator(&self, scopes: &[&str]) -> Peer {
        let mut peer = self.open();
        peer.admit(operator(4, scopes));
        peer
    }

    /// Resident memory of the daemon, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim_end_matches("kB").trim().parse().expect("a number")
    }
}

impl Peer {
    /// Upgrades without further headers, and takes the challenge.
    pub fn open(port: u16) -> Self {
        Self::upgrade(dial(port), &head(port, "/", "")).expect("an upgrade")
    }

    /// The same on any connection, with any request head.
    pub fn upgrade(mut stream: TcpStream, head: &str) -> Result<Self, Answer> {
        // A peer that is refused early may find its side closed already.
        stream.write_all(head.as_bytes()).unwrap_or_default();
        let (head, rest) = read_head(&mut stream);
        if !head.starts_with("HTTP/1.1 101 ") {
            let mut body = rest;
            stream.read_to_end(&mut body).unwrap_or_default();
            return Err(Answer(head + &String::from_utf8_lossy(&body)));
        }
        let mut peer = Self::midway(stream, rest);
        let challenge = peer.frame().map_err(|end| Answer(format!("closed {end:?}")))?;
        assert_eq!(challenge["event"], "connect.challenge", "{challenge}");
        challenge["payload"]["nonce"].as_str().expect("a nonce").clone_into(&mut peer.nonce);
        Ok(peer)
    }

    /// A WebSocket that was opened long ago. `seen`: what has come of a frame that is not all here.
    pub fn midway(stream: TcpStream, seen: Vec<u8>) -> Self {
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let socket = WebSocket::from_partially_read(stream, seen, Role::Client, Some(config));
        Self { socket, nonce: String::new(), events: VecDeque::new(), pongs: Vec::new(), next: 0 }
    }

    /// The next frame, whatever it is, or the connection's end.
    pub fn frame(&mut self) -> Result<Value, End> {
        let lost = || (1006, String::new());
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(Some(frame))) => return Err((frame.code.into(), frame.reason.to_string())),
                Ok(Message::Close(None)) => return Err((1005, String::new())),
                Ok(Message::Pong(bytes)) => self.pongs.push(bytes.to_vec()),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    return Err((TIMED_OUT, format!("nothing came within {PATIENCE:?}")));
                }
                Err(_) => return Err(lost()),
            }
        }
    }

    /// Sends a text; a connection that is closed already shows at the next read.
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap_or_default();
    }

    /// Sends a request and gives its id.
    pub fn ask(&mut self, method: &str, params: &Value) -> String {
        self.next += 1;
        let id = self.next.to_string();
        self.send(&json!({"type": "req", "id": id, "method": method, "params": params}).to_string());
        id
    }

    /// The answer to `id`, or the end that came instead.
    pub fn answer(&mut self, id: &str) -> Result<Value, End> {
        loop {
            let frame = self.frame()?;
            if frame["type"] == "res" && frame["id"] == id {
                return Ok(frame);
            }
            self.events.push_back(frame);
        }
    }

    /// A request and its answer.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, End> {
        let id = self.ask(method, params);
        self.answer(&id)
    }

    /// The payload of a call that must work.
    pub fn ok(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.call(method, params).unwrap_or_else(|end| panic!("{method}: {end:?}"));
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer["payload"].clone()
    }

    /// The error of a call that must fail.
    pub fn error(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.call(method, params).unwrap_or_else(|end| panic!("{method}: {end:?}"));
        assert_eq!(answer["ok"], false, "{method}: {answer}");
        answer["error"].clone()
    }

    /// Connects; the payload of hello-ok.
    pub fn admit(&mut self, params: Value) -> Value {
        self.ok("connect", &params)
    }

    /// Connects and must be refused: the error, and how the connection ended.
    pub fn refused(mut self, params: &Value) -> (Value, End) {
        let error = self.error("connect", params);
        let end = self.end();
        assert_eq!(end.0, 1008, "{end:?}");
        assert!(!end.1.is_empty(), "a refusal has a reason");
        (error, end)
    }

    /// `details.code` of the refusal, or its message if it has none.
    pub fn refusal(self, params: &Value) -> String {
        let (error, _) = self.refused(params);
        error["details"]["code"].as_str().or(error["message"].as_str()).expect("a refusal").to_owned()
    }

    /// Reads until the connection is over.
    pub fn end(&mut self) -> End {
        loop {
            match self.frame() {
                Ok(frame) => self.events.push_back(frame),
                Err(end) => return end,
            }
        }
    }

    /// Says goodbye as a client does, takes the echo, and waits for the end of the connection itself.
    pub fn leave(mut self) -> End {
        self.socket.close(None).unwrap_or_default();
        let end = self.end();
        // The server ends its side first, so that no port of ours waits for late packets.
        while matches!(self.raw().read(&mut [0; 64]), Ok(1..)) {}
        end
    }

    /// Bytes past the framing.
    pub fn raw(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    /// These params with the proof of `device` for this connection.
    pub fn sign(&self, device: &Device, params: Value) -> Value {
        device.sign(params, &self.nonce, unix_ms())
    }
}

/// `connect` params of an operator without a device that shows [`TOKEN`].
pub fn operator(protocol: u32, scopes: &[&str]) -> Value {
    crate::common::client::cli(protocol, scopes)
}

/// `connect` params of a node host that shows [`TOKEN`]; a node needs a device.
pub fn node() -> Value {
    let mut params = operator(4, &[]);
    params["client"] = json!({"id": "node-host", "version": "2026.9.6", "platform": "linux", "mode": "node"});
    params["role"] = json!("node");
    params["commands"] = json!(["system.which"]);
    params
}

/// These params with other secrets.
pub fn with_auth(mut params: Value, auth: Value) -> Value {
    params["auth"] = auth;
    params
}

/// The head of an upgrade.
pub fn head(port: u16, path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}{UPGRADE}\r\n")
}

/// A TCP connection on which nothing takes longer than [`PATIENCE`].
pub fn dial(port: u16) -> TcpStream {
    patient(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port is open"))
}

/// The same from another address of this machine.
pub fn dial_from(source: Ipv4Addr, port: u16) -> TcpStream {
    use std::os::fd::AsRawFd as _;
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let at = |address: Ipv4Addr, port| SockaddrIn::from(std::net::SocketAddrV4::new(address, port));
    bind(fd.as_raw_fd(), &at(source, 0)).expect("an address of this machine");
    connect(fd.as_raw_fd(), &at(Ipv4Addr::LOCALHOST, port)).expect("the port is open");
    patient(fd.into())
}

/// The same to any address.
pub fn dial_at(address: &str, port: u16) -> TcpStream {
    let address = SocketAddr::new(address.parse().expect("an address"), port);
    patient(TcpStream::connect(address).expect("the port is open"))
}

/// One request, whole, and the whole answer.
pub fn http(port: u16, request: &str) -> String {
    let mut stream = dial(port);
    stream.write_all(request.as_bytes()).unwrap_or_default();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_default();
    String::from_utf8(answer).expect("text")
}

/// Waits until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    assert!(within(PATIENCE, || so().then_some(())).is_some(), "not within {PATIENCE:?}: {what}");
}

/// How long it takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 500 million")
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("no delay");
    timed_out(stream)
}

fn timed_out(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The head of an HTTP answer, and what came along behind it.
fn read_head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = seen.split_off(end + 4);
            return (String::from_utf8_lossy(&seen).into_owned(), rest);
        }
        match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return (String::from_utf8_lossy(&seen).into_owned(), Vec::new()),
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The code of an end that did not come; no close frame has it.
pub const TIMED_OUT: u16 = 0;
/// What every upgrade has.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
