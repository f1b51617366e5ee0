//! A gateway made of scripts, and a way to run the real `loopgate` against it.
//!
//! Rule: each connection gets the next script; behind the last one the listener is gone. So a test says exactly how
//! often it expects to be called.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// Either kind of socket.
pub trait Wire: Read + Write + Send {}
impl Wire for TcpStream {}
impl Wire for UnixStream {}

/// What a gateway does with one connection.
pub type Script = Box<dyn FnOnce(Box<dyn Wire>) + Send>;

/// A scripted gateway that listens until its scripts are used up.
pub struct Gateway {
    /// What to put after `--url` or `--socket`.
    pub address: String,
    done: Receiver<usize>,
}

/// One admitted or arriving client, seen from the gateway.
pub struct Peer {
    socket: WebSocket<Box<dyn Wire>>,
}

/// A folder of its own, gone at the end.
pub struct Folder(pub PathBuf);

/// A finished run of `loopgate`.
#[derive(Debug)]
pub struct Run {
    /// The exit status.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// How long it took.
    pub took: Duration,
}

impl Gateway {
    /// On a port of 127.0.0.1.
    pub fn tcp(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, scripts)
    }

    /// On this listener.
    pub fn on(listener: TcpListener, scripts: Vec<Script>) -> Self {
        let address = format!("ws://{}", listener.local_addr().unwrap());
        Self { address, done: serve(scripts, move || Box::new(listener.accept().unwrap().0)) }
    }

    /// On a UNIX socket.
    pub fn unix(path: &Path, scripts: Vec<Script>) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let address = path.to_str().unwrap().to_owned();
        Self { address, done: serve(scripts, move || Box::new(listener.accept().unwrap().0)) }
    }

    /// Waits until every script has run to its end.
    pub fn finished(&self, scripts: usize) {
        for _ in 0..scripts {
            self.done.recv_timeout(PATIENCE).expect("a script was not called, or failed");
        }
    }
}

fn serve(scripts: Vec<Script>, accept: impl Fn() -> Box<dyn Wire> + Send + 'static) -> Receiver<usize> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for (index, script) in scripts.into_iter().enumerate() {
            script(accept());
            sender.send(index).ok();
        }
    });
    receiver
}

impl Peer {
    /// Upgrades and sends the challenge.
    pub fn greet(wire: Box<dyn Wire>) -> Self {
        let socket = tungstenite::accept(wire).ok().expect("an upgrade");
        let mut peer = Self { socket };
        peer.event("connect.challenge", &json!({"nonce": "n-1", "ts": 1}));
        peer
    }

    /// Admits whoever comes; the params of `connect`.
    pub fn admit(wire: Box<dyn Wire>) -> (Self, Value) {
        Self::admit_at(wire, 4)
    }

    /// [`Peer::admit`] under another protocol number.
    pub fn admit_at(wire: Box<dyn Wire>, protocol: u64) -> (Self, Value) {
        let mut peer = Self::greet(wire);
        let connect = peer.request("connect");
        let hello = json!({
            "type": "hello-ok", "protocol": protocol,
            "server": {"version": "9.9.9", "connId": "c-1"},
            "snapshot": {"uptimeMs": 61_000, "authMode": "token"},
            "auth": {"method": "token", "role": "operator", "scopes": connect["params"]["scopes"]},
        });
        peer.answer(&connect, &hello);
        (peer, connect["params"].clone())
    }

    /// The next request, which must be of `method`.
    pub fn request(&mut self, method: &str) -> Value {
        let request = self.next().expect("a request");
        assert_eq!(request["method"], method, "{request}");
        request
    }

    /// The next message as JSON; `None` once the client has closed.
    pub fn next(&mut self) -> Option<Value> {
        Some(serde_json::from_str(&self.next_text()?).unwrap())
    }

    /// The next message as it came.
    pub fn next_text(&mut self) -> Option<String> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Answers `request` with success.
    pub fn answer(&mut self, request: &Value, payload: &Value) {
        self.send(&json!({"type": "res", "id": request["id"], "ok": true, "payload": payload}).to_string());
    }

    /// Answers `request` with an error.
    pub fn refuse(&mut self, request: &Value, error: &Value) {
        self.send(&json!({"type": "res", "id": request["id"], "ok": false, "error": error}).to_string());
    }

    /// Sends an event.
    pub fn event(&mut self, name: &str, payload: &Value) {
        self.send(&json!({"type": "event", "event": name, "payload": payload}).to_string());
    }

    /// Sends any text.
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// Sends any text; whether there was somebody to take it.
    pub fn is_there_for(&mut self, text: &str) -> bool {
        self.socket.send(Message::text(text)).is_ok()
    }

    /// Sends any message.
    pub fn send_message(&mut self, message: Message) {
        self.socket.send(message).unwrap();
    }

    /// Closes and reads to the end.
    pub fn close(mut self, code: u16, reason: &str) {
        self.socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).ok();
        while self.next().is_some() {}
    }

    /// Waits for the client's goodbye; its code.
    pub fn goodbye(mut self) -> Option<u16> {
        loop {
            match self.socket.read() {
                Ok(Message::Close(frame)) => {
                    self.socket.flush().ok();
                    return frame.map(|frame| frame.code.into());
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Folder {
    /// A new one.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("loopgate-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where a user's own instance has its socket; the folder is there.
    pub fn user_socket(&self) -> PathBuf {
        let path = self.at("loopgate/owner.sock");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Writes a file that only its owner reads; its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Run {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard error as JSON.
    pub fn error(&self) -> Value {
        serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `loopgate` with an empty environment and `home`.
pub fn command(home: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopgate"));
    command.args(arguments).env_clear().env("HOME", &home.0).env("XDG_RUNTIME_DIR", &home.0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `loopgate` with arguments alone.
pub fn loopgate(arguments: &[&str]) -> Run {
    let home = Folder::new();
    finish(command(&home, arguments))
}

/// Runs `command` to its end, which must come soon.
pub fn finish(mut command: Command) -> Run {
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let code = wait(&mut child).expect("loopgate did not end in time");
    Run { code, out: out.join().unwrap(), err: err.join().unwrap(), took: start.elapsed() }
}

/// The exit status, unless it takes too long.
pub fn wait(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().expect("ended by a signal"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).unwrap();
        }
        text
    })
}

/// Nothing in these tests takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Admits, answers `method` with `payload`, waits for the goodbye.
pub fn answering(method: &'static str, payload: Value) -> Script {
    Box::new(move |wire| {
        let (mut peer, _) = Peer::admit(wire);
        let request = peer.request(method);
        peer.answer(&request, &payload);
        assert_eq!(peer.goodbye(), Some(1000), "it leaves with a goodbye");
    })
}

/// Admits, answers `method` with an error, waits for the goodbye.
pub fn failing(method: &'static str, error: Value) -> Script {
    Box::new(move |wire| {
        let (mut peer, _) = Peer::admit(wire);
        let request = peer.request(method);
        peer.refuse(&request, &error);
        peer.goodbye();
    })
}

/// Refuses `connect` with `error`, then closes.
pub fn refusing(error: Value, code: u16, reason: &'static str) -> Script {
    Box::new(move |wire| {
        let mut peer = Peer::greet(wire);
        let connect = peer.request("connect");
        peer.refuse(&connect, &error);
        peer.close(code, reason);
    })
}

/// Closes instead of answering `connect`.
pub fn closing(code: u16, reason: &'static str) -> Script {
    Box::new(move |wire| {
        let mut peer = Peer::greet(wire);
        peer.request("connect");
        peer.close(code, reason);
    })
}

/// Admits, then closes instead of answering `method`.
pub fn dropping(method: &'static str, code: u16, reason: &'static str) -> Script {
    Box::new(move |wire| {
        let (mut peer, _) = Peer::admit(wire);
        peer.request(method);
        peer.close(code, reason);
    })
}

/// `loopgate ARGUMENTS` against a gateway of these scripts, every one of which must be used.
pub fn against(scripts: Vec<Script>, arguments: &[&str]) -> Run {
    let count = scripts.len();
    let gateway = Gateway::tcp(scripts);
    let run = loopgate(&[&["--url", &gateway.address, "--token", "tok-made-up"], arguments].concat());
    gateway.finished(count);
    run
}
