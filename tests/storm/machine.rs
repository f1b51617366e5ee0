//! The booted machine from outside: its service manager, its processes, its sockets.
//!
//! Rule: one shell inside for the whole run, so that asking costs the manager as little as possible; signals are sent
//! straight from here, at the instant that is noted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::common::TOKEN;
use crate::plan::Manager;
use crate::profile::Target;
use crate::rig::within;
use crate::talk::transcript;

/// The machine, and the manager that loopgate's units belong to.
pub struct Machine {
    whose: Manager,
    shell: Shell,
    /// Root's, where the other is a user's.
    root: Option<Shell>,
    /// The manager, as it is numbered here.
    pub manager: Pid,
    runtime: PathBuf,
}

/// A shell in the machine.
struct Shell {
    child: Child,
    to: ChildStdin,
    from: Receiver<String>,
}

/// What a process costs and holds.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub cpu: Duration,
    pub fds: usize,
}

/// Sockets of the gateway's port, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sockets {
    pub listening: usize,
    /// Both ends are over, the kernel only waits for late packets.
    pub time_wait: usize,
    /// All others.
    pub alive: usize,
    /// The owner's socket: listener and connections.
    pub owner: usize,
}

impl Machine {
    pub fn enter(whose: Manager) -> Self {
        let user = whose == Manager::User;
        let (shell, root) = (Shell::enter(user), user.then(|| Shell::enter(false)));
        let mut machine =
            Self { whose, shell, root, manager: Pid::from_raw(0), runtime: PathBuf::from("/run/loopgate") };
        let first = outer(1).expect("the machine's first process");
        let mut inner = 1;
        match whose {
            Manager::System => {}
            Manager::User => {
                inner = machine.ok("systemctl show -P MainPID user@$(id -u).service").parse().expect("a pid");
                machine.runtime = machine.ok("echo $XDG_RUNTIME_DIR/loopgate").into();
            }
            Manager::Template => machine.runtime.push("tester"),
        }
        machine.manager = outer(inner).expect("the manager");
        let root = format!("/proc/{first}/root");
        machine.runtime = Path::new(&root).join(machine.runtime.strip_prefix("/").expect("absolute"));
        machine
    }

    /// Puts configuration and state into place, and starts the socket.
    pub fn install(&mut self) {
        let config = json!({"gateway": {"mode": "local", "auth": {"mode": "token", "token": TOKEN}}});
        let sessions = json!({"agent:main:main": {"sessionId": SESSION, "updatedAt": 1_795_331_900_000_u64}});
        let bench = std::env::var_os("BENCH_ROOT").expect("boot --outside sets BENCH_ROOT");
        let drop_box = Path::new(&bench).join("var/lib/bench");
        for (name, text) in [
            ("openclaw.json", config.to_string()),
            ("sessions.json", sessions.to_string()),
            ("transcript.jsonl", transcript()),
        ] {
            fs::write(drop_box.join(name), text).expect("a file for the machine");
        }
        let (config, state) = self.folders();
        let owner = if self.whose == Manager::Template { "-o tester -g tester" } else { "" };
        self.ok(&format!(
            "cd /var/lib/bench && \
             install {owner} -d {config} {state} {state}/agents {state}/agents/main {state}/agents/main/sessions && \
             install {owner} -m 644 openclaw.json {config}/openclaw.json && \
             install {owner} -m 644 sessions.json {state}/agents/main/sessions/sessions.json && \
             install {owner} -m 644 transcript.jsonl {state}/agents/main/sessions/{SESSION}.jsonl"
        ));
        let socket = self.socket();
        if self.whose != Manager::System && self.as_root("systemctl is-active loopgate.socket").0 == 0 {
            // A port is one instance's only; who wants another than the package has started, does this.
            self.as_root("systemctl disable --now loopgate.socket");
        }
        self.systemctl(&format!("start {socket}"));
    }

    /// Where openclaw.json is, and the folder that the gateway answers from.
    pub fn folders(&self) -> (&'static str, &'static str) {
        match self.whose {
            Manager::System => ("/etc/loopgate", "/var/lib/loopgate/openclaw"),
            Manager::User => ("$HOME/.openclaw", "$HOME/.openclaw"),
            Manager::Template => ("/home/tester/.openclaw", "/home/tester/.openclaw"),
        }
    }

    pub fn service(&self) -> &'static str {
        self.whose.service()
    }

    pub fn socket(&self) -> &'static str {
        self.whose.socket()
    }

    /// The port and the owner's socket of the units.
    pub fn target(&self) -> Target {
        Target { port: PORT, owner: Some(self.runtime.join("owner.sock")) }
    }

    /// A command line of the shell in the machine: its exit status and what it printed.
    pub fn run(&mut self, line: &str) -> (i32, String) {
        self.shell.run(line)
    }

    /// The same as root, whoever the units belong to.
    pub fn as_root(&mut self, line: &str) -> (i32, String) {
        self.root.as_mut().unwrap_or(&mut self.shell).run(line)
    }

    /// The same for one that must work.
    pub fn ok(&mut self, line: &str) -> String {
        let (status, text) = self.run(line);
        assert_eq!(status, 0, "{line}: {text}");
        text
    }

    pub fn systemctl(&mut self, words: &str) -> String {
        let flag = self.whose.flag();
        self.ok(&format!("systemctl {flag} {words}"))
    }

    /// Properties of a unit.
    pub fn show(&mut self, unit: &str, names: &[&str]) -> BTreeMap<String, String> {
        let text = self.systemctl(&format!("show -p {} {unit}", names.join(",")));
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// One of them as a number.
    pub fn number(&mut self, unit: &str, name: &str) -> u64 {
        self.show(unit, &[name]).get(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The running loopgated, as it is numbered here.
    pub fn daemon(&mut self) -> Option<Pid> {
        let inner = self.number(self.service(), "MainPID");
        u32::try_from(inner).ok().filter(|inner| *inner > 0).and_then(outer)
    }

    /// Waits for a loopgated that is not `old`, and serves.
    pub fn new_daemon(&mut self, old: Pid, patience: Duration) -> Option<Pid> {
        within(patience, || {
            let shown = self.show(self.service(), &["MainPID", "ActiveState"]);
            let inner = shown.get("MainPID").and_then(|text| text.parse().ok()).filter(|inner| *inner > 0);
            let active = shown.get("ActiveState").is_some_and(|state| state == "active");
            inner.filter(|_| active).and_then(outer).filter(|pid| *pid != old)
        })
    }

    /// What is wrong with the units: nothing, one hopes.
    pub fn complaint(&mut self) -> Option<String> {
        let flag = self.whose.flag();
        let mut failed = self.ok(&format!("systemctl {flag} --failed --no-legend --plain"));
        if self.root.is_some() {
            failed += &self.as_root("systemctl --failed --no-legend --plain").1;
        }
        let states =
            [self.service(), self.socket()].map(|unit| (unit, self.show(unit, &["ActiveState", "Result"])));
        let bad = |(_, state): &&(&str, BTreeMap<String, String>)| state["ActiveState"] != "active";
        let wrong = states.iter().find(bad).map(|(unit, state)| format!("{unit} is {state:?}"));
        wrong.or_else(|| (!failed.is_empty()).then(|| format!("failed units: {failed}")))
    }
}

impl Shell {
    fn enter(user: bool) -> Self {
        let enter = std::env::var_os("BENCH_ENTER").expect("boot --outside sets BENCH_ENTER");
        let mut child = Command::new(enter)
            .args(user.then_some("--user"))
            .args(["--", "sh", "-c", SHELL])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell in the machine");
        let to = child.stdin.take().expect("its input");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (send, from) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| send.send(line).is_ok()));
        Self { child, to, from }
    }

    fn run(&mut self, line: &str) -> (i32, String) {
        writeln!(self.to, "{line}").expect("the machine's shell is alive");
        let mut text = String::new();
        loop {
            let line = self.from.recv_timeout(COMMAND_MAX);
            let line = line.unwrap_or_else(|_| panic!("no end of the command after {text}"));
            if let Some(status) = line.strip_prefix(END) {
                return (status.trim().parse().expect("an exit status"), text.trim().to_owned());
            }
            writeln!(text, "{line}").expect("a string takes all");
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Its loop ends with its input.
        drop(writeln!(self.to, "exit 0"));
        drop(self.child.wait());
    }
}

impl Cost {
    pub fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        let nanos = stat.split_whitespace().next()?.parse().ok()?;
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Self { cpu: Duration::from_nanos(nanos), fds })
    }
}

impl Sockets {
    pub fn count() -> Self {
        let mut all = Self::default();
        for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let text = fs::read_to_string(file).unwrap_or_default();
            for row in text.lines().skip(1) {
                let columns: Vec<&str> = row.split_whitespace().collect();
                let port = |column: &str| {
                    column.rsplit(':').next().and_then(|hex| u16::from_str_radix(hex, 16).ok())
                };
                match (columns.get(1).copied().and_then(port), columns.get(3)) {
                    (Some(PORT), Some(&"0A")) => all.listening += 1,
                    (Some(PORT), Some(&"06")) => all.time_wait += 1,
                    (Some(PORT), Some(_)) => all.alive += 1,
                    _ => {}
                }
            }
        }
        let unix = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        all.owner = unix.lines().filter(|row| row.ends_with("/loopgate/owner.sock")).count();
        all
    }
}

/// The listening sockets of the gateway's port, by the number that each keeps as long as it lives.
pub fn listeners() -> Vec<u64> {
    let rows = ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| fs::read_to_string(file).unwrap_or_default());
    let listens = |columns: &Vec<&str>| {
        let port = columns.get(1).and_then(|place| place.rsplit(':').next());
        port.and_then(|hex| u16::from_str_radix(hex, 16).ok()) == Some(PORT) && columns.get(3) == Some(&"0A")
    };
    let columns = rows.iter().flat_map(|text| text.lines()).map(|row| row.split_whitespace().collect());
    columns.filter(listens).filter_map(|columns: Vec<&str>| columns.get(9)?.parse().ok()).collect()
}

/// Sends a signal to a process of the machine.
pub fn strike(pid: Pid, signal: Signal) -> bool {
    kill(pid, signal).is_ok()
}

/// Waits until a process that was struck runs no more.
pub fn await_stillness(pid: Pid) {
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit(") ").next()?.chars().next()?;
        (!"ZXT".contains(state)).then_some(())
    };
    let end = Instant::now() + Duration::from_secs(5);
    while runs().is_some() && Instant::now() < end {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Waits for a loopgated that is not `old`, whatever it does: as soon as it has its name.
pub fn any_daemon(old: Pid) -> Option<Pid> {
    let named = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "loopgated")
    };
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        // New processes have higher numbers.
        let all =
            fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        if let Some(pid) = all.filter(|pid: &i32| *pid > old.as_raw()).find(named) {
            return Some(Pid::from_raw(pid));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    None
}

/// The process that the machine numbers so, as it is numbered here.
fn outer(inner: u32) -> Option<Pid> {
    let numbers = |pid: &str| -> Option<Vec<u32>> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_whitespace().map(|number| number.parse().ok()).collect()
    };
    let depth = numbers("self")?.len() + 1;
    let all = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let found = all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).find(|pid| {
        numbers(pid).is_some_and(|numbers| numbers.len() == depth && numbers.last() == Some(&inner))
    })?;
    found.parse().ok().map(Pid::from_raw)
}

const PORT: u16 = 18789;
/// Obeys a line at a time, and says how each ended.
const SHELL: &str = r#"while read -r line; do eval "$line" </dev/null 2>&1; s=$?; echo; echo "== $s"; done"#;
const END: &str = "== ";
/// No command takes longer.
const COMMAND_MAX: Duration = Duration::from_secs(120);
const SESSION: &str = "5f0c1c6e-0000-4000-8000-00000000000a";
