//! Adversarial peers, a virtual clock, a disk that fails, files that come late and out of order, processes that are
//! replaced or die: the production core under thousands of random histories, with its invariants checked after every
//! step.
//!
//! `LOOPGATE_SIM_SEED=n` replays one history, `LOOPGATE_SIM_SEEDS=n` and `LOOPGATE_SIM_STEPS=n` make more of them.
#![allow(
    clippy::cast_possible_truncation,
    clippy::duration_suboptimal_units,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::ok_expect,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a panic is how a test fails, and nobody calls a test"
)]

#[path = "simulation/actor.rs"]
mod actor;
mod common;
#[path = "simulation/legs.rs"]
mod legs;
#[path = "simulation/restart.rs"]
mod restart;
#[path = "common/runtime.rs"]
mod runtime;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use actor::{Actor, Kind};
use common::{Disk, OWNER, Seed, TOKEN, setup};
use loopgate::clock::{Epoch, Now};
use loopgate::gateway::io::{ConnId, Door, Input, Output, Peer};
use loopgate::gateway::job::Job;
use loopgate::gateway::{Gateway, Ticket};
use restart::{Line, Tally};
use runtime::Runtime;

const SEEDS: u64 = 200;
const STEPS: u64 = 600;
const ACTORS_MAX: usize = 12;
const SECRETS: [&str; 2] = [TOKEN, "tok-made-up-0002"];
const CEILINGS: [&str; 3] = [
    "{}",
    "{operator: ['operator.read', 'operator.write']}",
    "{operator: ['operator.read', 'operator.approvals']}",
];
/// Where the runtime is said to be.
const PORTS: [Option<u16>; 3] = [Some(18790), Some(18791), None];

/// What the files say, by numbers of the above.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Config {
    secret: usize,
    ceiling: usize,
    port: usize,
}

struct World {
    seed: Seed,
    gateway: Gateway,
    now: Now,
    /// From which all processes count.
    epoch: Epoch,
    disk: Disk,
    /// Which secret and which ceiling are in force.
    config: Config,
    actors: Vec<Actor>,
    runtime: Runtime,
    /// How many times the runtime has called a node.
    called: u64,
    jobs: VecDeque<(Ticket, Box<Job>)>,
    save: Option<(u64, Vec<u8>)>,
    /// The pairing store as the disk has it.
    store: Option<Vec<u8>>,
    disk_works: bool,
    finished: bool,
    /// What would be left of each connection if the process died.
    book: BTreeMap<ConnId, Line>,
    /// What would be left of everything else.
    shared: Vec<u8>,
    /// Whose lines have to be looked at when the turn ends.
    touched: BTreeSet<ConnId>,
    tally: Tally,
}

#[test]
fn no_history_breaks_an_invariant() {
    let env = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps = env("LOOPGATE_SIM_STEPS").unwrap_or(STEPS);
    let many = env("LOOPGATE_SIM_SEED").is_none() && steps >= STEPS;
    let seeds = match env("LOOPGATE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env("LOOPGATE_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (mut admitted, mut tally) = (0, Tally::default());
    for seed in seeds {
        let mut world = World::new(seed);
        for step in 0..steps {
            world.step();
            if let Err(fault) = world.gateway.check() {
                panic!("seed {seed}, step {step}: {fault}");
            }
        }
        admitted += world.actors.iter().filter(|actor| actor.connected).count();
        tally.add(&world.tally);
        world.end();
    }
    assert!(admitted > 0, "the histories are about something");
    if many {
        tally.judge();
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Now { mono: Instant::now(), unix_ms: 1_795_000_000_000 };
        let mut world = Self {
            gateway: Gateway::new(Config::default().setup(), Box::new(Seed(seed)), None, now).unwrap(),
            seed: Seed(seed ^ 0x5eed),
            now,
            epoch: Epoch::new(now.mono),
            disk: Disk::default(),
            config: Config::default(),
            actors: Vec::new(),
            runtime: Runtime::new(3 + (seed % 2) as u32, OWNER),
            called: 0,
            jobs: VecDeque::new(),
            save: None,
            store: None,
            disk_works: true,
            finished: false,
            book: BTreeMap::new(),
            shared: Vec::new(),
            touched: BTreeSet::new(),
            tally: Tally::default(),
        };
        world.shared = world.gateway.share(false, now);
        world.obey();
        world.finish_jobs();
        world
    }

    /// One thing happens.
    fn step(&mut self) {
        match self.seed.below(150) {
            0..10 => self.arrive(),
            10..40 => self.deliver(),
            40..60 => self.hear(),
            60..75 => self.ask(),
            75..83 => self.pass_time(),
            83..90 => self.finish_a_job(),
            90..94 => self.finish_save(),
            94..96 => self.hang_up(),
            96..98 => self.deafen(),
            98 => self.disk_works = !self.seed.once_in(3),
            99 => self.reload(),
            100 => self.restart(),
            101 => self.crash(),
            _ => self.runtime_acts(),
        }
        self.obey();
        self.settle();
        self.look();
    }

    fn arrive(&mut self) {
        if self.actors.len() >= ACTORS_MAX || !self.gateway.accepting() {
            return;
        }
        let kinds = [
            Kind::Plain,
            Kind::Plain,
            Kind::Plain,
            Kind::Device,
            Kind::Device,
            Kind::Node,
            Kind::Node,
            Kind::Wrong,
            Kind::Page,
            Kind::Stranger,
            Kind::Silent,
            Kind::Noise,
            Kind::Hasty,
            Kind::Probe,
        ];
        let kind = kinds[self.seed.below(kinds.len())];
        let uid = if kind == Kind::Stranger { 4711 } else { OWNER };
        let peer = Peer { door: Door::Tcp, address: None, uid: Some(uid), pid: None };
        let Some(conn) = self.gateway.accept(peer, self.now) else { return };
        self.book.insert(conn, Line::fresh(peer, self.gateway.moment(self.now)));
        let mut actor = Actor::new(kind, conn, 3 + self.seed.below(2) as u32, self.now);
        let origin = if kind == Kind::Page { "Origin: http://127.0.0.1:18789\r\n" } else { "" };
        let text = match kind {
            Kind::Silent => String::new(),
            Kind::Noise => {
                (0..self.seed.below(300)).map(|_| char::from(self.seed.below(128) as u8)).collect()
            }
            Kind::Probe => "GET /readyz HTTP/1.1\r\nHost: localhost:18789\r\n\r\n".to_owned(),
            _ => format!(
                "GET / HTTP/1.1\r\nHost: 127.0.0.1:18789\r\n{origin}Upgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
        };
        actor.wire.extend(text.as_bytes());
        if kind == Kind::Hasty {
            let early = actor.client.encode(r#"{"type":"req","id":"h","method":"health"}"#);
            actor.wire.extend(early);
        }
        self.actors.push(actor);
    }

    /// The network delivers some bytes of somebody, cut anywhere.
    fn deliver(&mut self) {
        let Some(index) = self.pick(|actor| !actor.wire.is_empty() && !actor.gone) else { return };
        let actor = &mut self.actors[index];
        if !self.gateway.wants_read(actor.client.conn) {
            return;
        }
        let most = if self.seed.once_in(3) { 3 } else { actor.wire.len() };
        let whole = self.seed.once_in(2);
        let count = if whole { actor.wire.len() } else { 1 + self.seed.below(most.min(actor.wire.len())) };
        let bytes: Vec<u8> = actor.wire.drain(..count).collect();
        let conn = actor.client.conn;
        self.tell(conn, Input::Bytes { conn, bytes: &bytes });
    }

    /// Something is read from a connection or written to it.
    fn tell(&mut self, conn: ConnId, input: Input<'_>) {
        self.touched.insert(conn);
        self.gateway.handle(input, self.now);
    }

    /// Somebody takes some of what the gateway has for it.
    fn hear(&mut self) {
        let Some(index) = self.pick(|actor| !actor.gone && !actor.deaf) else { return };
        let conn = self.actors[index].client.conn;
        let waiting = self.gateway.outgoing(conn);
        if waiting.is_empty() {
            return;
        }
        let count = if self.seed.once_in(2) { waiting.len() } else { 1 + self.seed.below(waiting.len()) };
        let bytes = waiting[..count].to_vec();
        self.write(index, &bytes);
    }

    fn ask(&mut self) {
        let Some(index) = self.pick(|actor| actor.connected && !actor.gone && actor.client.close.is_none())
        else {
            return;
        };
        let pick = self.seed.next();
        self.actors[index].ask(pick);
    }

    fn pass_time(&mut self) {
        let millis = [1, 20, 500, 3_000, 10_000, 40_000][self.seed.below(6)];
        // Clocks do not keep to whole microseconds.
        let nanos = self.seed.below(millis * 1_000_000) as u64;
        self.now = self.now.later(Duration::from_nanos(nanos));
        for conn in self.gateway.expiring(self.now) {
            // What arrived in time counts, even if the loop is late.
            if let Some(actor) = self.actors.iter_mut().find(|actor| actor.client.conn == conn && !actor.gone)
            {
                let bytes: Vec<u8> = actor.wire.drain(..).collect();
                if !bytes.is_empty() && self.gateway.wants_read(conn) {
                    self.tell(conn, Input::Bytes { conn, bytes: &bytes });
                }
            }
        }
        self.gateway.expire(self.now);
    }

    fn finish_a_job(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let index = self.seed.below(self.jobs.len());
        let Some((ticket, job)) = self.jobs.remove(index) else { return };
        let outcome = job.run(&self.disk, self.now);
        self.gateway.handle(Input::Done { ticket, outcome }, self.now);
    }

    fn finish_jobs(&mut self) {
        while !self.jobs.is_empty() {
            self.finish_a_job();
            self.obey();
        }
    }

    fn finish_save(&mut self) {
        if let Some((revision, bytes)) = self.save.take() {
            let result = if self.disk_works { Ok(()) } else { Err("no space left on device".to_owned()) };
            if result.is_ok() {
                self.store = Some(bytes);
            }
            self.gateway.handle(Input::Saved { revision, result }, self.now);
        }
    }

    fn hang_up(&mut self) {
        let Some(index) = self.pick(|actor| !actor.gone) else { return };
        let conn = self.actors[index].client.conn;
        let input = if self.seed.once_in(2) { Input::Lost { conn } } else { Input::Eof { conn } };
        if matches!(input, Input::Lost { .. }) {
            self.actors[index].gone = true;
        }
        self.actors[index].wire.clear();
        self.actors[index].asked.clear();
        self.tell(conn, input);
    }

    fn deafen(&mut self) {
        if let Some(index) = self.pick(|actor| !actor.gone) {
            self.actors[index].deaf = !self.actors[index].deaf;
        }
    }

    fn reload(&mut self) {
        let before = self.config;
        self.reconfigure();
        self.gateway.handle(Input::Reload(Box::new(self.config.setup())), self.now);
        self.obey();
        let stay = self.config.port == before.port || self.gateway.legs_underway().is_empty();
        assert!(stay, "a leg leads where no runtime is now");
    }

    fn reconfigure(&mut self) {
        if self.seed.once_in(4) {
            self.config.secret = 1 - self.config.secret;
        }
        if self.seed.once_in(3) {
            self.config.ceiling = self.seed.below(CEILINGS.len());
        }
        if self.seed.once_in(3) {
            self.config.port = self.seed.below(PORTS.len());
        }
    }

    /// Does what the gateway asks for; jobs and writes are only begun.
    fn obey(&mut self) {
        while let Some(output) = self.gateway.poll_output() {
            match output {
                Output::HalfClose(_) | Output::Journal(_) => {}
                Output::Dial { conn, port } => {
                    assert_eq!(Some(port), PORTS[self.config.port]);
                    self.runtime.dialled(conn, port);
                }
                // The shell tries to write at once.
                Output::Flush(conn) => drop(self.touched.insert(conn)),
                Output::Close(conn) => {
                    self.leg_closed(conn);
                    self.book.remove(&conn);
                    if let Some(actor) = self.actors.iter_mut().find(|actor| actor.client.conn == conn) {
                        actor.gone = true;
                    }
                }
                Output::Run { ticket, job } => self.jobs.push_back((ticket, job)),
                Output::Save { revision, bytes } => {
                    assert!(self.save.is_none(), "one write at a time");
                    self.save = Some((revision, bytes));
                }
                Output::Finished => self.finished = true,
            }
        }
    }

    /// What every peer has seen is what it should have seen.
    fn look(&mut self) {
        for actor in &self.actors {
            actor.judge(self.now);
        }
        self.actors.retain(|actor| !actor.gone);
    }

    fn pick(&mut self, wanted: impl Fn(&Actor) -> bool) -> Option<usize> {
        let found: Vec<usize> = self
            .actors
            .iter()
            .enumerate()
            .filter(|(_, actor)| wanted(actor))
            .map(|(index, _)| index)
            .collect();
        if found.is_empty() { None } else { Some(found[self.seed.below(found.len())]) }
    }

    /// Everything settles, every question is answered, and a stop ends it all within the closing deadline.
    fn end(mut self) {
        self.disk_works = true;
        for actor in &mut self.actors {
            actor.deaf = false;
        }
        self.runtime_dies();
        for round in 0..200 {
            if round == 100 {
                // Whoever still waits for the runtime has waited as long as it may.
                self.now = self.now.later(loopgate::limits::CALL_WAIT);
            }
            self.finish_jobs();
            self.finish_save();
            for index in 0..self.actors.len() {
                let conn = self.actors[index].client.conn;
                let bytes: Vec<u8> = self.actors[index].wire.drain(..).collect();
                if !bytes.is_empty() {
                    self.gateway.handle(Input::Bytes { conn, bytes: &bytes }, self.now);
                }
                let waiting = self.gateway.outgoing(conn).to_vec();
                if !waiting.is_empty() {
                    self.gateway.handle(Input::Sent { conn, bytes: waiting.len() }, self.now);
                    self.actors[index].back.extend(waiting);
                    let now = self.now;
                    self.actors[index].take(now);
                }
            }
            self.gateway.expire(self.now);
            self.obey();
            self.look();
        }
        for actor in self.actors.iter().filter(|actor| actor.connected && actor.client.close.is_none()) {
            assert!(actor.asked.values().all(|answers| *answers == 1), "{:?}: {:?}", actor.kind, actor.asked);
        }
        self.gateway.handle(Input::Stop, self.now);
        self.obey();
        self.now = self.now.later(Duration::from_secs(3));
        self.gateway.expire(self.now);
        self.obey();
        self.gateway.check().unwrap();
        assert!(self.finished, "a stop ends within the closing deadline");
    }
}

impl Config {
    fn setup(self) -> loopgate::gateway::Setup {
        let Self { secret, ceiling, port } = self;
        let openclaw = format!("{{gateway: {{auth: {{mode: 'token', token: '{}'}}}}}}", SECRETS[secret]);
        let runtime = PORTS[port].map_or_else(String::new, |port| format!("runtime: {{port: {port}}}, "));
        setup(&openclaw, &format!("{{{runtime}ceiling: {}}}", CEILINGS[ceiling]))
    }
}
