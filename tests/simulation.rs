//! Adversarial peers, a virtual clock, a disk that fails, files that come late and out of order: the production core
//! under thousands of random histories, with its invariants checked after every step.
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

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use common::client::{Client, Device, cli};
use common::{Disk, OWNER, Seed, TOKEN, setup};
use loopgate::clock::Now;
use loopgate::gateway::io::{Door, Input, Output, Peer};
use loopgate::gateway::job::Job;
use loopgate::gateway::{Gateway, Ticket};
use serde_json::{Value, json};

const SEEDS: u64 = 200;
const STEPS: u64 = 600;
const ACTORS_MAX: usize = 12;
const SECRETS: [&str; 2] = [TOKEN, "tok-made-up-0002"];

/// What a peer is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A command line with the right secret, without a device.
    Plain,
    /// The same with a device.
    Device,
    /// A node host.
    Node,
    /// A wrong secret.
    Wrong,
    /// A page of our own origin with a device that nobody has approved.
    Page,
    /// Another user's process with the right secret.
    Stranger,
    /// Opens and never says anything.
    Silent,
    /// Sends bytes that mean nothing.
    Noise,
    /// Speaks before it is admitted.
    Hasty,
    /// Asks for /readyz.
    Probe,
}

/// A peer, what it has sent and what it knows.
struct Actor {
    kind: Kind,
    client: Client,
    protocol: u32,
    born: Now,
    /// Bytes that it has written and the network has not delivered.
    wire: VecDeque<u8>,
    /// Bytes that the gateway wrote and the network has not delivered.
    back: Vec<u8>,
    connected: bool,
    /// Requests without an answer, and how many answers each got.
    asked: BTreeMap<String, u32>,
    next: u64,
    gone: bool,
    /// Does not take what is sent to it.
    deaf: bool,
}

struct World {
    seed: Seed,
    gateway: Gateway,
    now: Now,
    disk: Disk,
    secret: usize,
    actors: Vec<Actor>,
    jobs: VecDeque<(Ticket, Box<Job>)>,
    save: Option<u64>,
    disk_works: bool,
    finished: bool,
}

#[test]
fn no_history_breaks_an_invariant() {
    let env = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps = env("LOOPGATE_SIM_STEPS").unwrap_or(STEPS);
    let seeds = match env("LOOPGATE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env("LOOPGATE_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let mut admitted = 0;
    for seed in seeds {
        let mut world = World::new(seed);
        for step in 0..steps {
            world.step();
            if let Err(fault) = world.gateway.check() {
                panic!("seed {seed}, step {step}: {fault}");
            }
        }
        admitted += world.actors.iter().filter(|actor| actor.connected).count();
        world.end();
    }
    assert!(admitted > 0, "the histories are about something");
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Now { mono: Instant::now(), unix_ms: 1_795_000_000_000 };
        let mut world = Self {
            gateway: Gateway::new(configured(0), Box::new(Seed(seed)), None, now).unwrap(),
            seed: Seed(seed ^ 0x5eed),
            now,
            disk: Disk::default(),
            secret: 0,
            actors: Vec::new(),
            jobs: VecDeque::new(),
            save: None,
            disk_works: true,
            finished: false,
        };
        world.obey();
        world.finish_jobs();
        world
    }

    /// One thing happens.
    fn step(&mut self) {
        match self.seed.below(100) {
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
            _ => self.reload(),
        }
        self.obey();
        self.look();
    }

    fn arrive(&mut self) {
        if self.actors.len() >= ACTORS_MAX || !self.gateway.accepting() {
            return;
        }
        let kinds = [
            Kind::Plain,
            Kind::Plain,
            Kind::Device,
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
        let mut actor = Actor {
            kind,
            client: Client::on(conn),
            protocol: 3 + self.seed.below(2) as u32,
            born: self.now,
            wire: VecDeque::new(),
            back: Vec::new(),
            connected: false,
            asked: BTreeMap::new(),
            next: 0,
            gone: false,
            deaf: false,
        };
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
        let count = 1 + self.seed.below(most.min(actor.wire.len()));
        let bytes: Vec<u8> = actor.wire.drain(..count).collect();
        self.gateway.handle(Input::Bytes { conn: actor.client.conn, bytes: &bytes }, self.now);
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
        self.actors[index].back.extend_from_slice(&waiting[..count]);
        self.gateway.handle(Input::Sent { conn, bytes: count }, self.now);
        let now = self.now;
        self.actors[index].take(now);
    }

    fn ask(&mut self) {
        let Some(index) = self.pick(|actor| actor.connected && !actor.gone && actor.client.close.is_none())
        else {
            return;
        };
        let methods = [
            "health",
            "system-presence",
            "last-heartbeat",
            "set-heartbeats",
            "chat.send",
            "no.such",
            "connect",
            "system-event",
            "gateway.identity.get",
            "sessions.subscribe",
            "node.event",
        ];
        let method = methods[self.seed.below(methods.len())];
        let actor = &mut self.actors[index];
        actor.next += 1;
        let id = format!("r{}", actor.next);
        let params = json!({"text": "hello", "enabled": true, "event": "x"});
        let text = json!({"type": "req", "id": id, "method": method, "params": params}).to_string();
        let bytes = actor.client.encode(&text);
        actor.wire.extend(bytes);
        actor.asked.insert(id, 0);
    }

    fn pass_time(&mut self) {
        let millis = [1, 20, 500, 3_000, 10_000, 40_000][self.seed.below(6)];
        self.now = self.now.later(Duration::from_millis(self.seed.below(millis) as u64));
        for conn in self.gateway.expiring(self.now) {
            // What arrived in time counts, even if the loop is late.
            if let Some(actor) = self.actors.iter_mut().find(|actor| actor.client.conn == conn && !actor.gone)
            {
                let bytes: Vec<u8> = actor.wire.drain(..).collect();
                if !bytes.is_empty() && self.gateway.wants_read(conn) {
                    self.gateway.handle(Input::Bytes { conn, bytes: &bytes }, self.now);
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
        if let Some(revision) = self.save.take() {
            let result = if self.disk_works { Ok(()) } else { Err("no space left on device".to_owned()) };
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
        self.gateway.handle(input, self.now);
    }

    fn deafen(&mut self) {
        if let Some(index) = self.pick(|actor| !actor.gone) {
            self.actors[index].deaf = !self.actors[index].deaf;
        }
    }

    fn reload(&mut self) {
        if self.seed.once_in(4) {
            self.secret = 1 - self.secret;
        }
        self.gateway.handle(Input::Reload(Box::new(configured(self.secret))), self.now);
    }

    /// Does what the gateway asks for; jobs and writes are only begun.
    fn obey(&mut self) {
        while let Some(output) = self.gateway.poll_output() {
            match output {
                Output::Flush(_) | Output::HalfClose(_) | Output::Journal(_) => {}
                Output::Close(conn) => {
                    if let Some(actor) = self.actors.iter_mut().find(|actor| actor.client.conn == conn) {
                        actor.gone = true;
                    }
                }
                Output::Run { ticket, job } => self.jobs.push_back((ticket, job)),
                Output::Save { revision, .. } => {
                    assert!(self.save.is_none(), "one write at a time");
                    self.save = Some(revision);
                }
                Output::Finished => self.finished = true,
            }
        }
    }

    /// What every peer has seen is what it should have seen.
    fn look(&mut self) {
        let (now, secret) = (self.now, self.secret);
        for actor in &mut self.actors {
            actor.judge(now, secret);
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
        for _ in 0..200 {
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

impl Actor {
    /// Reads what came and reacts to it.
    fn take(&mut self, now: Now) {
        let bytes = std::mem::take(&mut self.back);
        self.client.take_in(&bytes);
        while let Some(frame) = self.client.frames.pop_front() {
            self.react(&frame, now);
        }
        let pongs = self.client.encode_pending();
        self.wire.extend(pongs);
    }

    fn react(&mut self, frame: &Value, now: Now) {
        if frame["event"] == "connect.challenge" && self.kind != Kind::Hasty {
            let nonce = frame["payload"]["nonce"].as_str().unwrap();
            let params = self.params(nonce, now);
            let text = json!({"type": "req", "id": "c", "method": "connect", "params": params}).to_string();
            let bytes = self.client.encode(&text);
            self.wire.extend(bytes);
        }
        if frame["type"] == "event" && self.kind == Kind::Node {
            let name = frame["event"].as_str().unwrap();
            assert!(matches!(name, "connect.challenge" | "tick" | "shutdown"), "a node heard {name}");
        }
        if frame["type"] == "res" {
            let id = frame["id"].as_str().unwrap();
            if id == "c" {
                self.connected = frame["ok"] == true;
                self.judge_hello(frame);
            } else if let Some(answers) = self.asked.get_mut(id) {
                *answers += 1;
                assert_eq!(*answers, 1, "{id} was answered twice");
            }
        }
    }

    fn params(&self, nonce: &str, now: Now) -> Value {
        let mut params = cli(self.protocol, &["operator.admin"]);
        let number = match self.kind {
            Kind::Device => 1,
            Kind::Node => 2,
            Kind::Page => 3,
            Kind::Wrong => {
                params["auth"]["token"] = json!("canary-made-up");
                return params;
            }
            _ => return params,
        };
        if self.kind == Kind::Node {
            params["role"] = json!("node");
            params["scopes"] = json!([]);
            params["client"] =
                json!({"id": "node-host", "mode": "node", "version": "1", "platform": "linux"});
        }
        if self.kind == Kind::Page {
            params["client"]["id"] = json!("openclaw-control-ui");
            params["client"]["mode"] = json!("webchat");
        }
        Device::new(number).sign(params, nonce, now.unix_ms)
    }

    fn judge_hello(&self, frame: &Value) {
        match self.kind {
            Kind::Wrong | Kind::Page | Kind::Stranger => {
                assert_eq!(frame["ok"], false, "{:?}: {frame}", self.kind);
            }
            Kind::Plain | Kind::Device if frame["ok"] == true => {
                assert_eq!(frame["payload"]["auth"]["scopes"][0], "operator.admin", "{frame}");
            }
            Kind::Node if frame["ok"] == true => {
                assert_eq!(frame["payload"]["auth"]["role"], "node", "{frame}");
            }
            _ => {
                // A secret that was changed meanwhile, or a disk that failed: refused, with a reason.
                assert!(frame["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{frame}");
            }
        }
    }

    fn judge(&self, now: Now, _secret: usize) {
        if let Some((code, reason)) = &self.client.close {
            assert!(
                *code != 1000 && *code != 1005 && !reason.is_empty(),
                "{:?}: {code} {reason:?}",
                self.kind
            );
        }
        if self.kind == Kind::Silent && !self.gone {
            let age = now.mono.duration_since(self.born.mono);
            // 15 s for the handshake, 2 s to drain, and the time that passed in one step.
            assert!(age < Duration::from_secs(15 + 2 + 41), "a silent peer is {age:?} old");
        }
    }
}

fn configured(secret: usize) -> loopgate::gateway::Setup {
    let openclaw = format!("{{gateway: {{auth: {{mode: 'token', token: '{}'}}}}}}", SECRETS[secret]);
    setup(&openclaw, "{}")
}
