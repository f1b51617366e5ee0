//! Starts loopgated as a service manager would, without one.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A folder of its own with the usual files in it, removed at the end.
pub(crate) struct Home {
    pub(crate) path: PathBuf,
}

/// How to start.
pub(crate) struct Plan<'a> {
    pub(crate) home: &'a Home,
    /// Handed over as 3, 4, 5.
    pub(crate) fds: Vec<OwnedFd>,
    /// `LISTEN_FDNAMES`.
    pub(crate) names: Option<&'a str>,
    /// `LISTEN_FDS`, if it is not the number of `fds`.
    pub(crate) count: Option<&'a str>,
    /// `LISTEN_PID` as the shell sees it.
    pub(crate) pid: &'a str,
    /// Further variables.
    pub(crate) vars: Vec<(&'a str, String)>,
    /// Shell words before the start, each with a semicolon.
    pub(crate) before: &'a str,
}

/// A running loopgated.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

/// The service manager's end of `NOTIFY_SOCKET`.
pub(crate) struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("loopgate-daemon-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let home = Self { path: std::env::temp_dir().join(name) };
        fs::create_dir_all(home.path.join(".openclaw")).unwrap();
        home.configure("{gateway: {auth: {mode: 'token', token: 'made-up'}}}");
        home
    }

    /// Replaces openclaw.json, as a whole.
    pub(crate) fn configure(&self, text: &str) {
        let file = self.path.join(".openclaw/openclaw.json");
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// Writes loopgate.conf.
    pub(crate) fn set(&self, text: &str) {
        fs::create_dir_all(self.path.join(".config/loopgate")).unwrap();
        fs::write(self.path.join(".config/loopgate/loopgate.conf"), text).unwrap();
    }

    /// loopgated without activation, with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .env("HOME", &self.path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap_or_default();
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn new(home: &'a Home, fds: Vec<OwnedFd>) -> Self {
        Self { home, fds, names: Some("gateway"), count: None, pid: "$$", vars: Vec::new(), before: "" }
    }

    pub(crate) fn names(self, names: &'a str) -> Self {
        Self { names: Some(names), ..self }
    }

    pub(crate) fn var(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.vars.push((name, value.into()));
        self
    }

    /// The shell opens the file descriptors under the numbers that the protocol asks for, and becomes loopgated.
    pub(crate) fn start(self) -> Daemon {
        let log = self.home.path.join("log");
        let count = self.count.map_or_else(|| self.fds.len().to_string(), str::to_owned);
        let names = self.names.map(|names| {
            let all =
                if names.contains(':') { names.to_owned() } else { vec![names; self.fds.len()].join(":") };
            format!("LISTEN_FDNAMES={all}")
        });
        let handed = ["3<&0", "4<&1", "5<&2"].get(..self.fds.len()).unwrap().join(" ");
        let script = format!(
            "{} exec env LISTEN_PID={} LISTEN_FDS={count} {} {PROGRAM} {handed} 0</dev/null 1>/dev/null 2>{}",
            self.before,
            self.pid,
            names.unwrap_or_default(),
            log.display(),
        );
        let mut fds = self.fds.into_iter().map(Stdio::from);
        let mut next = || fds.next().unwrap_or_else(Stdio::null);
        let child = Command::new("sh")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home.path)
            .envs(self.vars)
            .stdin(next())
            .stdout(next())
            .stderr(next())
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    /// Starts, and expects an end before anything was served: the exit status and what was said.
    pub(crate) fn refused(self) -> (Option<i32>, String) {
        let mut daemon = self.start();
        let status = daemon.end();
        (status.code(), daemon.log())
    }
}

impl Daemon {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until a line of the log has all these words.
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let found = |log: &str| {
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        };
        within(Duration::from_secs(10), || found(&self.log()))
            .unwrap_or_else(|| panic!("{words:?} not in\n{}", self.log()))
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let status = within(Duration::from_secs(10), || self.child.try_wait().unwrap());
        status.unwrap_or_else(|| panic!("still running:\n{}", self.log()))
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        let ticks: u64 = words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            self.child.kill().unwrap_or_default();
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}

impl Manager {
    pub(crate) fn new(home: &Home) -> Self {
        let path = home.path.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, path }
    }

    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// The next word within `patience`.
    pub(crate) fn hears(&self, patience: Duration) -> Option<String> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(patience)).unwrap();
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => return Some(String::from_utf8(buffer[..length].to_vec()).unwrap()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Everything up to the first word that begins with `start`, that one included.
    pub(crate) fn hears_until(&self, start: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let word = self.hears(Duration::from_secs(10));
            heard.push(word.unwrap_or_else(|| panic!("no {start} after {heard:?}")));
            if heard.last().unwrap().starts_with(start) {
                return heard;
            }
        }
    }
}

/// Asks until there is an answer or the time is over.
pub(crate) fn within<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        match ask() {
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            answer => return answer,
        }
    }
}

/// A loopback TCP listener and its port.
pub(crate) fn tcp(address: &str) -> (OwnedFd, u16) {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener.into(), port)
}

/// An owner's listener at `path`.
pub(crate) fn unix(path: &Path) -> OwnedFd {
    UnixListener::bind(path).unwrap().into()
}

/// One HTTP request on a connection of its own, and the whole answer.
pub(crate) fn get(port: u16, path: &str) -> String {
    talk(TcpStream::connect(("127.0.0.1", port)).unwrap(), port, path)
}

/// One HTTP request, and the whole answer.
pub(crate) fn talk(mut stream: impl Read + Write, port: u16, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A WebSocket that was upgraded and challenged and says nothing more.
pub(crate) fn upgraded(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut seen = Vec::new();
    let challenged = within(Duration::from_secs(10), || {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..length]);
        String::from_utf8_lossy(&seen).contains("connect.challenge").then_some(())
    });
    assert!(challenged.is_some(), "{}", String::from_utf8_lossy(&seen));
    stream
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_loopgated");
