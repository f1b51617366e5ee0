//! A gateway without a machine: the production core, a clock that stands still, files from a map, clients in memory.
//!
//! Every test file that drives the core uses this; what one of them does not need is not dead for the others.
#![allow(
    dead_code,
    unused_imports,
    clippy::cast_possible_truncation,
    reason = "each test file uses its part of it"
)]

pub mod client;
pub mod restart;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use loopgate::clock::Now;
use loopgate::config::{OpenClaw, Settings, Sources};
use loopgate::gateway::io::{ConnId, Door, Entropy, FileError, Files, Input, Output, Peer};
use loopgate::gateway::{Gateway, Host, Setup};
use loopgate::journal::{Entry, Field, Kind};

pub use client::Client;

/// The uid whose processes are local.
pub const OWNER: u32 = 1000;
/// The shared secret of [`World::token`].
pub const TOKEN: &str = "tok-made-up-0001";
/// Where the state folder is.
pub const HOME: &str = "/home/u";

/// A gateway and everything around it.
pub struct World {
    pub gateway: Gateway,
    pub now: Now,
    /// When the first process began.
    began: Now,
    pub disk: Disk,
    pub journal: Vec<Entry>,
    /// Whether writes of the pairing store work.
    pub disk_works: bool,
    /// Writes that are not done until [`World::unstick`].
    pub disk_stuck: bool,
    stuck: Vec<u64>,
    /// What was last written to the pairing store.
    pub store: Option<Vec<u8>>,
    pub closed: Vec<ConnId>,
    pub half_closed: Vec<ConnId>,
    /// Connections to the runtime that the gateway asked for, and to which port.
    pub dialled: Vec<(ConnId, u16)>,
    pub finished: bool,
    /// How many writes of the pairing store there were.
    pub writes: usize,
}

/// Files from a map.
#[derive(Clone, Default)]
pub struct Disk(pub BTreeMap<PathBuf, Vec<u8>>);

/// Environment and files for the configuration.
pub struct Surroundings {
    pub files: BTreeMap<PathBuf, String>,
    pub env: BTreeMap<String, String>,
}

/// SplitMix64: random numbers from a seed.
#[derive(Debug, Clone)]
pub struct Seed(pub u64);

impl World {
    /// A gateway in mode `token` with [`TOKEN`].
    pub fn token() -> Self {
        Self::new(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"), "{}")
    }

    /// A gateway with these configuration files.
    pub fn new(openclaw: &str, settings: &str) -> Self {
        Self::with_store(openclaw, settings, None)
    }

    /// The same with a pairing store.
    pub fn with_store(openclaw: &str, settings: &str, store: Option<&[u8]>) -> Self {
        let now = Now { mono: Instant::now(), unix_ms: 1_795_000_000_000 };
        let setup = setup(openclaw, settings);
        let gateway = Gateway::new(setup, Box::new(Seed(7)), store, now).expect("a gateway");
        let mut world = Self {
            gateway,
            now,
            began: now,
            disk: Disk::default(),
            journal: Vec::new(),
            disk_works: true,
            disk_stuck: false,
            stuck: Vec::new(),
            store: store.map(<[u8]>::to_vec),
            closed: Vec::new(),
            half_closed: Vec::new(),
            dialled: Vec::new(),
            finished: false,
            writes: 0,
        };
        world.settle();
        world
    }

    /// A connection of the owner's over TCP.
    pub fn accept(&mut self) -> ConnId {
        self.accept_from(Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None })
    }

    pub fn accept_from(&mut self, peer: Peer) -> ConnId {
        let conn = self.gateway.accept(peer, self.now).expect("room");
        self.settle();
        conn
    }

    /// Bytes of a peer.
    pub fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        self.gateway.handle(Input::Bytes { conn, bytes }, self.now);
        self.settle();
    }

    pub fn handle(&mut self, input: Input<'_>) {
        self.gateway.handle(input, self.now);
        self.settle();
    }

    /// Everything that waits to be sent to a peer, taken as sent.
    pub fn take(&mut self, conn: ConnId) -> Vec<u8> {
        let bytes = self.gateway.outgoing(conn).to_vec();
        if !bytes.is_empty() {
            self.handle(Input::Sent { conn, bytes: bytes.len() });
        }
        bytes
    }

    /// Lets time pass, a deadline at a time.
    pub fn sleep(&mut self, span: Duration) {
        let end = self.now.later(span);
        while let Some(at) = self.gateway.deadline().filter(|at| *at <= end.mono) {
            let step = at.saturating_duration_since(self.now.mono);
            self.now = self.now.later(step);
            self.gateway.expire(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// The disk takes what it was given.
    pub fn unstick(&mut self) {
        self.disk_stuck = false;
        for revision in std::mem::take(&mut self.stuck) {
            self.handle(Input::Saved { revision, result: Ok(()) });
        }
    }

    pub fn reload(&mut self, openclaw: &str, settings: &str) {
        self.handle(Input::Reload(Box::new(setup(openclaw, settings))));
    }

    /// Does what the gateway asks for until it asks for nothing.
    pub fn settle(&mut self) {
        let mut queue = VecDeque::new();
        loop {
            while let Some(output) = self.gateway.poll_output() {
                queue.push_back(output);
            }
            let Some(output) = queue.pop_front() else {
                return;
            };
            self.apply(output);
        }
    }

    fn apply(&mut self, output: Output) {
        match output {
            Output::Flush(_) => {}
            Output::HalfClose(conn) => self.half_closed.push(conn),
            Output::Close(conn) => self.closed.push(conn),
            Output::Dial { conn, port } => self.dialled.push((conn, port)),
            Output::Journal(entry) => {
                let mut fields: Vec<Field> = entry.fields().iter().map(|(field, _)| *field).collect();
                let all = fields.len();
                fields.sort_unstable();
                fields.dedup();
                assert_eq!(fields.len(), all, "a field twice: {entry:?}");
                self.journal.push(entry);
            }
            Output::Run { ticket, job } => {
                let outcome = job.run(&self.disk, self.now);
                self.gateway.handle(Input::Done { ticket, outcome }, self.now);
            }
            Output::Save { revision, .. } if self.disk_stuck => self.stuck.push(revision),
            Output::Save { revision, bytes } => {
                let result = if self.disk_works { Ok(()) } else { Err("no space left on device".to_owned()) };
                if result.is_ok() {
                    self.store = Some(bytes);
                    self.writes += 1;
                }
                self.gateway.handle(Input::Saved { revision, result }, self.now);
            }
            Output::Finished => self.finished = true,
        }
    }

    /// The journal's entries of a kind.
    pub fn entries(&self, kind: Kind) -> Vec<&Entry> {
        self.journal.iter().filter(|entry| entry.kind() == kind).collect()
    }

    /// The last entry of a kind, as text by field.
    pub fn last(&self, kind: Kind, field: Field) -> Option<String> {
        self.entries(kind).last()?.value(field).map(ToString::to_string)
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
        let bytes = self.0.get(path).ok_or(FileError::Missing)?;
        if bytes.len() as u64 > max { Err(FileError::TooLarge(max)) } else { Ok(bytes.clone()) }
    }

    fn read_range(&self, path: &Path, offset: u64, len: u64) -> Result<(Vec<u8>, u64), FileError> {
        let bytes = self.0.get(path).ok_or(FileError::Missing)?;
        let range = bytes.iter().skip(offset as usize).take(len as usize).copied().collect();
        Ok((range, bytes.len() as u64))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
        Ok(self.0.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }
}

impl Sources for Surroundings {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        Ok(self.files.get(path).cloned())
    }

    fn secret_file(&self, path: &Path) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn credential(&self, _name: &str) -> Option<Result<String, String>> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        Some(HOME.into())
    }
}

impl Seed {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

impl Entropy for Seed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// The setup that these two files make.
pub fn setup(openclaw: &str, settings: &str) -> Setup {
    let path = PathBuf::from(HOME).join(".openclaw/openclaw.json");
    let sources = Surroundings { files: BTreeMap::from([(path, openclaw.to_owned())]), env: BTreeMap::new() };
    Setup {
        legs: loopgate::gateway::LegSeed::derive(&[7; 32]),
        openclaw: OpenClaw::load(&sources).expect("openclaw.json"),
        settings: Settings::parse(Path::new("/etc/loopgate.conf"), settings.to_owned()).expect("settings"),
        owners: vec![OWNER],
        allowed: vec![],
        port: Some(18789),
        made: None,
        host: Host { name: "vm".into(), platform: "linux 6.12.0".into(), arch: "x64".into() },
    }
}
