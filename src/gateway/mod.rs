//! All connections together, without I/O: [`Gateway`] takes [`Input`]s and gives [`Output`]s.
//!
//! Rule: values in, values out. No clock, no file, no socket; the same inputs give the same outputs, so that the
//! simulation drives the production code.

mod adopt;
mod arrive;
mod broadcast;
mod check;
mod conn;
mod conns;
pub mod dispatch;
pub mod event;
mod features;
mod gate;
pub mod handover;
mod health;
pub mod http;
pub mod io;
pub mod job;
mod ledger;
mod lifecycle;
mod member;
pub mod method;
mod native;
pub mod nodes;
pub mod pairing;
mod presence;
mod recorder;
mod relay;
mod saves;
mod startup;
pub mod upstream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use crate::clock::{Epoch, Now};
use crate::config::{OpenClaw, Settings};
use crate::journal::Entry;
use crate::policy::penalty::Penalty;
use crate::policy::recheck::Proof;
use crate::policy::scope::Grant;
use crate::wire::Protocol;
use crate::wire::connect::Client;

use conn::{Conn, Stage, Way, client_fields};
use conns::Conns;
use dispatch::Waiting;
use handover::shared::SavedInvocation;
pub use handover::{Heritage, Keep};
pub use io::{ConnId, Door, Entropy, Files, Input, Output, Peer, Ticket};
use recorder::Recorder;
pub use upstream::identity::LegSeed;
use upstream::leg::Leg;
use upstream::outlet::Outlet;

/// Everything that the gateway is told about its surroundings; replaced as a whole on reload.
#[derive(Debug, Clone)]
pub struct Setup {
    /// OpenClaw's own configuration.
    pub openclaw: OpenClaw,
    /// loopgate's settings.
    pub settings: Settings,
    /// Users whose processes count as local; the daemon's own uid unless the settings name others.
    pub owners: Vec<u32>,
    /// Further users that may connect with a valid secret.
    pub allowed: Vec<u32>,
    /// The port of the TCP listeners, if there are any: `Host` and `Origin` must name it.
    pub port: Option<u16>,
    /// Set if the token of `openclaw` was made just now, for want of one.
    pub made: Option<MadeToken>,
    /// This machine.
    pub host: Host,
    /// What our own device keys are derived from, for the legs to the runtime.
    pub legs: LegSeed,
}

/// Where a token of our own making is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeToken {
    /// Its file.
    pub file: PathBuf,
    /// The command that shows it.
    pub command: String,
}

/// Facts about the machine that presence and health show.
#[derive(Debug, Clone)]
pub struct Host {
    /// The host name.
    pub name: String,
    /// `linux 6.12.0` and the like.
    pub platform: String,
    /// `x64`, `arm64`: the name that OpenClaw gives the architecture.
    pub arch: String,
}

/// All connections and what they share.
pub struct Gateway {
    setup: Arc<Setup>,
    gate: gate::Gate,
    penalties: Penalty,
    pairing: pairing::Pairing,
    saves: VecDeque<(u64, saves::Then)>,
    /// `hello-ok.features`, the same for everybody.
    features: Box<RawValue>,
    conns: Conns<Conn, Leg, relay::Pipe>,
    /// The earliest deadline of each connection that has one.
    deadlines: BTreeSet<(Instant, ConnId)>,
    /// Connections with messages left over from their turn.
    backlog: VecDeque<ConnId>,
    arriving: usize,
    outputs: VecDeque<Output>,
    entropy: Box<dyn Entropy>,
    ledger: ledger::Ledger,
    presence: presence::Presence,
    /// When a change of the presence list is told.
    presence_due: Option<Instant>,
    nodes: nodes::Nodes,
    upstream: upstream::Upstream,
    health: health::Health,
    live: Arc<job::Live>,
    jobs: BTreeMap<Ticket, Waiting>,
    last_ticket: u64,
    started: Now,
    /// Times that leave this process count from here.
    epoch: Epoch,
    /// Calls that a former process has left, until everybody is back.
    calls_left: Vec<SavedInvocation>,
    boot_id: String,
    /// OpenClaw's own pairings are being taken over.
    importing: bool,
    stopping: bool,
    finished: bool,
}

/// An admitted connection.
struct Member {
    client: Client,
    protocol: Protocol,
    /// What it says that it can show or take.
    caps: Vec<String>,
    grant: Arc<Grant>,
    /// What it was admitted with, to look at again after a reload.
    proof: Proof,
    /// The number of the last event.
    seq: u64,
    next_tick: Instant,
    /// Set for clients of protocol 4.
    next_ping: Option<Instant>,
    role_violations: u32,
    presence_key: Option<String>,
    subscriptions: native::Subscriptions,
    /// Calls that wait for their answer.
    owed: u32,
    /// Those that the runtime has to answer.
    outlet: Outlet,
}

impl Setup {
    /// The version that clients are told: that of the settings, else our own.
    fn server_version(&self) -> &str {
        self.settings.server_version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"))
    }
}

impl Gateway {
    /// A gateway with the pairing store that `store` holds (`None`: there is no file yet).
    ///
    /// # Errors
    /// The store cannot be understood; the text says why. It is left untouched.
    pub fn new(
        setup: Setup,
        mut entropy: Box<dyn Entropy>,
        store: Option<&[u8]>,
        now: Now,
    ) -> Result<Self, String> {
        let boot_id = io::uuid(&mut *entropy);
        let gate = gate::Gate::of(&setup);
        let mut live = job::Live::default();
        entropy.fill(&mut live.hash_key);
        let mut gateway = Self {
            ledger: ledger::Ledger::new(setup.settings.decisions_flush),
            upstream: upstream::Upstream::new(setup.settings.runtime_port.is_some(), now),
            setup: Arc::new(setup),
            penalties: Penalty::new(gate.tries),
            gate,
            pairing: pairing::Pairing::open(store)?,
            saves: VecDeque::new(),
            features: features::features(None),
            conns: Conns::new(),
            deadlines: BTreeSet::new(),
            backlog: VecDeque::new(),
            arriving: 0,
            outputs: VecDeque::new(),
            entropy,
            presence: presence::Presence::new(),
            presence_due: None,
            nodes: nodes::Nodes::default(),
            health: health::Health::default(),
            live: Arc::new(live),
            jobs: BTreeMap::new(),
            last_ticket: 0,
            started: now,
            epoch: Epoch::new(now.mono),
            calls_left: Vec::new(),
            boot_id,
            importing: false,
            stopping: false,
            finished: false,
        };
        gateway.start(now);
        Ok(gateway)
    }

    /// Whether one more connection may be accepted. While it is false the kernel's backlog waits.
    pub fn accepting(&self) -> bool {
        self.started() && self.conns.len() < self.setup.settings.connections
    }

    /// Takes note of something that happened.
    pub fn handle(&mut self, input: Input<'_>, now: Now) {
        let Some(input) = self.pipe_input(input, now) else { return };
        match input {
            Input::Bytes { conn, bytes } => self.bytes(conn, bytes, now),
            Input::Eof { conn } => self.eof(conn, now),
            Input::Lost { conn } => self.lost(conn, now),
            Input::Sent { conn, bytes } => self.sent(conn, bytes, now),
            Input::Dialled { conn, owner } => self.dialled(conn, owner, now),
            Input::Barred { conn, cause } => self.leg_barred(conn, cause, now),
            Input::Done { ticket, outcome } => self.done(ticket, outcome, now),
            Input::Saved { revision, result } => self.saved(revision, &result, now),
            Input::Reload(setup) => self.reload(*setup, now),
            Input::HandOver => self.hand_over(now),
            Input::Stop => self.stop(now),
        }
    }

    /// The next thing to do, or nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(entry) = self.ledger.poll() {
            return Some(Output::Journal(entry));
        }
        self.outputs.pop_front()
    }

    /// When [`Gateway::expire`] has to be called next.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.backlog.is_empty() {
            // Left-over messages are handled in the next turn, which must not wait.
            return Some(self.started.mono);
        }
        let conns = self.deadlines.first().map(|(at, _)| *at);
        let others = [
            self.ledger.deadline(),
            self.health_deadline(),
            self.presence_due,
            self.nodes.deadline(),
            self.runtime_deadline(),
        ];
        others.into_iter().chain([conns]).flatten().min()
    }

    /// The unsent bytes of a connection, oldest first; empty for a connection that is gone.
    pub fn outgoing(&self, conn: ConnId) -> &[u8] {
        match self.conns.leg(conn) {
            Some(leg) => leg.line.outgoing(),
            None => self.conns.get(conn).map_or(self.pipe_outgoing(conn), |conn| conn.session.outgoing()),
        }
    }

    /// Whether the shell should read from this connection now. May change with every input about it; a connection that
    /// must not be read keeps its bytes in the kernel.
    pub fn wants_read(&self, conn: ConnId) -> bool {
        match self.conns.leg(conn) {
            Some(leg) => leg.line.wants_read() && !self.holds_up(leg),
            None => match self.conns.get(conn) {
                Some(conn) => conn.session.wants_read() && !self.is_held_up(conn),
                None => self.pipe_wants_read(conn),
            },
        }
    }

    /// Whether a handshake would succeed: what READY=1 and /readyz say.
    pub fn ready(&self) -> bool {
        !self.stopping && self.started()
    }

    /// One line for `systemctl status`: connections, phases, runtime.
    pub fn status_line(&self) -> String {
        let members = self.conns.iter().filter(|(_, conn)| conn.member().is_some()).count();
        let phase = if self.stopping { "stopping" } else { "ready" };
        format!(
            "{phase}: {members} clients, {} arriving, {} connections; {}",
            self.arriving,
            self.conns.len(),
            self.runtime_status()
        )
    }

    /// The version that clients are told.
    fn server_version(&self) -> &str {
        self.setup.server_version()
    }

    fn note(&mut self, entry: Entry, now: Now) {
        self.ledger.note(entry, now);
    }
}
