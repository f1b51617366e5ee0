//! A gate whose process ends and begins anew while its listeners and its connections stay.
//!
//! The test plays the service manager: it holds the listeners and the fd store ([`Keeper`]), and may end the process and
//! start the next one as often as it likes.
//!
//! ```text
//! let mut gate = Gate::kept(Home::new());       // waits for READY=1
//! let mut peer = gate.operator(&["operator.read"]);
//! gate.renew(Signal::SIGTERM);                  // or, with something done in between:
//! gate.stop(Signal::SIGKILL);
//! gate.keeper().doctor(|store| store.clear());
//! gate.go(|plan| plan.var("FDSTORE", "0"));
//! peer.ok("health", &json!({}));
//! ```

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use loopgate::limits;
use nix::sys::signal::Signal;
use nix::sys::socket::{Backlog, listen};

use super::keeper::{Keeper, STORE_MAX};
use super::{Gate, http, timed_out};
use crate::common::TOKEN;
use crate::rig::{Daemon, Home, Plan, Stored, tcp, unix};

/// What outlives the process of a [`Gate`].
pub struct Kept {
    keeper: Keeper,
    /// TCP, and the owner's socket.
    listeners: [OwnedFd; 2],
}

impl Gate {
    /// In mode `token` with [`TOKEN`], with this loopgate.conf, over restarts.
    pub fn kept_token(settings: &str) -> Self {
        let home = Home::new();
        home.configure(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"));
        home.set(settings);
        Self::kept(home)
    }

    /// With an owner's socket and a service manager that keeps file descriptors, in a home that is furnished already.
    pub fn kept(home: Home) -> Self {
        Self::inheriting(home, |_, _| Vec::new())
    }

    /// The same with what a former process has left in the store. `leave` gets the TCP listener and its port, and may
    /// accept connections.
    pub fn inheriting(home: Home, leave: impl FnOnce(&TcpListener, u16) -> Vec<Stored>) -> Self {
        let (listener, port) = tcp("127.0.0.1:0");
        let owner = unix(&home.path.join(OWNER_SOCKET));
        for listener in [&listener, &owner] {
            listen(listener, Backlog::MAXCONN).expect("a listener");
        }
        let listener = TcpListener::from(listener);
        let left = leave(&listener, port);
        let kept = Kept { keeper: Keeper::new(&home), listeners: [listener.into(), owner] };
        kept.keeper.doctor(|store| *store = left);
        let daemon = kept.start(&home, |plan| plan);
        kept.keeper.waits_for("READY=1");
        Self { daemon, kept: Some(kept), home, port }
    }

    /// The service manager of a gate that is [`Gate::kept`].
    pub fn keeper(&self) -> &Keeper {
        &self.kept.as_ref().expect("a gate that is kept").keeper
    }

    /// Ends the process so; how long that takes, from the signal to the end. A kept gate can [`Gate::go`] on.
    pub fn stop(&mut self, signal: Signal) -> Duration {
        let start = Instant::now();
        self.daemon.signal(signal);
        let status = self.daemon.end();
        if signal != Signal::SIGKILL {
            assert_eq!(status.code(), Some(0), "{}", self.daemon.log());
        }
        start.elapsed()
    }

    /// Starts the next process with the same listeners and with what the manager keeps, and waits until it is ready.
    pub fn go(&mut self, change: impl FnOnce(Plan<'_>) -> Plan<'_>) {
        self.launch(change);
        self.keeper().waits_for("READY=1");
    }

    /// The same without waiting.
    pub fn launch(&mut self, change: impl FnOnce(Plan<'_>) -> Plan<'_>) {
        self.daemon = self.kept.as_ref().expect("a gate that is kept").start(&self.home, change);
    }

    /// Ends the process so, and starts the next one.
    pub fn renew(&mut self, signal: Signal) -> Duration {
        let took = self.stop(signal);
        self.go(|plan| plan);
        took
    }

    /// When this returns, the loop has turned: whatever was answered before is done with.
    pub fn settle(&self) {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port);
        let answer = http(self.port, &request);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    /// Nothing is under way, and what all connections share is saved, which is not done at once.
    pub fn come_to_rest(&self) {
        self.settle();
        std::thread::sleep(2 * limits::HANDOVER_SHARE);
        self.settle();
    }

    /// A connection to the owner's socket of a kept gate.
    pub fn dial_owner(&self) -> TcpStream {
        let stream = UnixStream::connect(self.home.path.join(OWNER_SOCKET)).expect("the socket is there");
        // What reads and writes is the same for both families, and so all of a peer serves both.
        timed_out(TcpStream::from(OwnedFd::from(stream)))
    }
}

impl Kept {
    fn start(&self, home: &Home, change: impl FnOnce(Plan<'_>) -> Plan<'_>) -> Daemon {
        self.keeper.forget_words();
        let fds = self.listeners.iter().map(|fd| fd.try_clone().expect("a copy")).collect();
        let plan = Plan { stored: self.keeper.stored(), ..Plan::new(home, fds).names("tcp:owner") };
        let plan = plan.var("NOTIFY_SOCKET", self.keeper.path()).var("FDSTORE", STORE_MAX.to_string());
        change(plan).start()
    }
}

/// The owner's socket of a kept gate, in its home.
const OWNER_SOCKET: &str = "owner.sock";
