//! Starts loopgated as a service manager would, without one.

use std::fs::{self, File};
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

/// A folder of its own with the usual files in it, removed at the end.
pub(crate) struct Home {
    pub(crate) path: PathBuf,
}

/// How to start.
pub(crate) struct Plan<'a> {
    pub(crate) home: &'a Home,
    /// Handed over as 3, 4 and so on.
    pub(crate) fds: Vec<OwnedFd>,
    /// `LISTEN_FDNAMES` of `fds`; a single name is the name of each.
    pub(crate) names: Option<&'a str>,
    /// Handed over behind `fds`, as the manager does it with what it was given to keep.
    pub(crate) stored: Vec<Stored>,
    /// `LISTEN_FDS`, if it is not the number of `fds` and `stored`.
    pub(crate) count: Option<&'a str>,
    /// `LISTEN_PID` as the shell sees it.
    pub(crate) pid: &'a str,
    /// Further variables.
    pub(crate) vars: Vec<(&'a str, String)>,
    /// Shell words before the start, each with a semicolon.
    pub(crate) before: &'a str,
}

/// A file descriptor that the service manager keeps, and its `FDNAME`.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) fd: OwnedFd,
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
        let (names, pid, vars, stored) = (Some("gateway"), "$$", Vec::new(), Vec::new());
        Self { home, fds, names, stored, count: None, pid, vars, before: "" }
    }

    pub(crate) fn names(self, names: &'a str) -> Self {
        Self { names: Some(names), ..self }
    }

    pub(crate) fn var(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.vars.push((name, value.into()));
        self
    }

    /// A shell that has the file descriptors under the numbers that the protocol asks for becomes loopgated: nobody
    /// else knows the process's number before it is there.
    pub(crate) fn start(self) -> Daemon {
        let log = self.home.path.join("log");
        let script = format!(
            "{} exec env LISTEN_PID={} LISTEN_FDS={} {} {}",
            self.before,
            self.pid,
            self.count.map_or_else(|| (self.fds.len() + self.stored.len()).to_string(), str::to_owned),
            self.all_names().map(|names| format!("LISTEN_FDNAMES={names}")).unwrap_or_default(),
            // What is measured should be the program as it is installed.
            std::env::var("LOOPGATE_PROGRAM").unwrap_or_else(|_| PROGRAM.to_owned()),
        );
        let handed = self.fds.into_iter().chain(self.stored.into_iter().map(|stored| stored.fd));
        let mappings = (3..).zip(handed).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        let child = Command::new("sh")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home.path)
            .envs(self.vars)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .fd_mappings(mappings.collect())
            .unwrap()
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    /// `LISTEN_FDNAMES`. A manager that keeps something has a name for everything.
    fn all_names(&self) -> Option<String> {
        let of_fds = match self.names {
            Some(names) if names.contains(':') => vec![names; 1],
            Some(name) => vec![name; self.fds.len()],
            None if self.stored.is_empty() => return None,
            None => vec!["unknown"; self.fds.len()],
        };
        let names = of_fds.into_iter().chain(self.stored.iter().map(|stored| stored.name.as_str()));
        Some(names.collect::<Vec<_>>().join(":"))
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

impl Stored {
    pub(crate) fn new(name: &str, fd: impl Into<OwnedFd>) -> Self {
        Self { name: name.to_owned(), fd: fd.into() }
    }
}

impl Clone for Stored {
    fn clone(&self) -> Self {
        Self::new(&self.name, self.fd.try_clone().unwrap())
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

    /// The next word within `patience`; what came along with it is closed.
    pub(crate) fn hears(&self, patience: Duration) -> Option<String> {
        self.receives(patience).map(|(word, _)| word)
    }

    /// The next word within `patience`, and the file descriptors that came along with it.
    pub(crate) fn receives(&self, patience: Duration) -> Option<(String, Vec<OwnedFd>)> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let (word, fds) = receive(&self.socket, RecvFlags::empty())?;
        Some((String::from_utf8(word).unwrap(), fds))
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

/// One message of a socket, and the file descriptors that came along with it; none if nothing comes.
pub(crate) fn receive(socket: impl AsFd, flags: RecvFlags) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
    let mut buffer = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SCM_MAX_FD))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let message = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags) {
            Ok(message) => break message,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    };
    assert!(!message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC), "too long a message");
    let fds = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds = fds.flatten().collect();
    Some((buffer[..message.bytes].to_vec(), fds))
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
/// As many file descriptors go into one message.
const SCM_MAX_FD: usize = 253;
