//! A gateway, a runtime and clients, which take turns until nobody has anything to say.

use std::time::Duration;

use loopgate::gateway::io::Input;
use serde_json::{Value, json};

use crate::common::client::cli;
use crate::common::restart::Restart;
use crate::common::{Client, OWNER, TOKEN, World};
use crate::runtime::{Asked, Manner, Runtime};

/// The port of the runtime.
pub const PORT: u16 = 18790;
/// All that an operator can be granted.
pub const ALL: &[&str] =
    &["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

pub struct Bench {
    pub world: World,
    pub runtime: Runtime,
    clients: u32,
}

impl Bench {
    /// A gateway whose runtime serves, of protocol 4.
    pub fn new() -> Self {
        Self::with(Runtime::new(4, OWNER))
    }

    /// The same with this runtime.
    pub fn with(runtime: Runtime) -> Self {
        let mut bench = Self { world: World::new(&openclaw(), &settings(Some(PORT))), runtime, clients: 0 };
        bench.sleep(Duration::ZERO);
        bench
    }

    /// The same with a runtime that behaves like this.
    pub fn in_manner(manner: Manner) -> Self {
        Self::with(Runtime { manner, ..Runtime::new(4, OWNER) })
    }

    /// Gateway and runtime talk until both are silent.
    pub fn turn(&mut self) {
        for _ in 0..10_000 {
            self.world.settle();
            for (conn, port) in std::mem::take(&mut self.world.dialled) {
                self.runtime.dialled(conn, port);
            }
            for conn in std::mem::take(&mut self.world.closed) {
                self.runtime.closed(conn);
            }
            if !self.runtime.turn(&mut self.world.gateway, self.world.now) {
                self.world.gateway.check().unwrap();
                return;
            }
        }
        panic!("they talk for ever");
    }

    /// Lets time pass, a deadline at a time.
    pub fn sleep(&mut self, span: Duration) {
        let end = self.world.now.later(span);
        self.turn();
        while let Some(at) = self.world.gateway.deadline().filter(|at| *at <= end.mono) {
            self.world.now = self.world.now.later(at.saturating_duration_since(self.world.now.mono));
            self.world.gateway.expire(self.world.now);
            self.turn();
        }
        self.world.now = end;
    }

    /// A client with these scopes that is let in, and the name under which its leg is known.
    pub fn client(&mut self, protocol: u32, scopes: &[&str]) -> (Client, String) {
        let name = format!("c{}", self.clients + 1);
        let mut params = cli(protocol, scopes);
        params["client"]["instanceId"] = json!(name);
        (self.connect(params), name)
    }

    /// A client that connects with these params.
    pub fn connect(&mut self, params: Value) -> Client {
        self.clients += 1;
        let mut client = Client::open(&mut self.world);
        client.nonce();
        let hello = client.connect(&mut self.world, params);
        assert_eq!(hello["ok"], true, "{hello}");
        client.frames.clear();
        self.turn();
        client
    }

    /// A client sends a request, with params as they stand here.
    pub fn ask(&mut self, client: &mut Client, id: &str, method: &str, params: &str) {
        let text = format!(r#"{{"type":"req","id":"{id}","method":"{method}","params":{params}}}"#);
        client.send(&mut self.world, &text);
        self.turn();
        client.receive(&mut self.world);
    }

    /// The one request that the runtime has on the leg of `name`.
    pub fn asked(&mut self, name: &str) -> Asked {
        let leg = self.runtime.leg(name);
        let asked = leg.asked.pop_front().expect("a request");
        assert!(leg.asked.is_empty(), "{:?}", leg.asked);
        asked
    }

    /// Fails if the runtime was asked anything on the leg of `name`.
    pub fn asked_nothing(&mut self, name: &str) {
        let asked = &self.runtime.leg(name).asked;
        assert!(asked.is_empty(), "{asked:?}");
    }

    /// The runtime says something on the leg of `name`.
    pub fn say(&mut self, name: &str, text: &str) {
        self.runtime.leg(name).say(&mut self.world.gateway, text, self.world.now);
        self.turn();
    }

    /// The runtime answers with a payload, and `client` has it.
    pub fn answer(&mut self, name: &str, client: &mut Client, asked: &Asked, payload: &str) {
        self.say(name, &format!(r#"{{"type":"res","id":"{}","ok":true,"payload":{payload}}}"#, asked.id));
        client.receive(&mut self.world);
    }

    /// The runtime answers with an error.
    pub fn fail(&mut self, name: &str, asked: &Asked, error: &str) {
        self.say(name, &format!(r#"{{"type":"res","id":"{}","ok":false,"error":{error}}}"#, asked.id));
    }

    /// The whole way: a call, its answer by the runtime, and what the client hears.
    pub fn call(&mut self, client: &mut Client, name: &str, method: &str, payload: &str) -> Value {
        self.ask(client, "call", method, "{}");
        let asked = self.asked(name);
        assert_eq!(asked.method, method);
        self.answer(name, client, &asked, payload);
        client.answer("call")
    }

    /// The runtime's process is gone.
    pub fn die(&mut self, last_first: bool) {
        self.runtime.die(&mut self.world.gateway, last_first, self.world.now);
        self.turn();
    }

    /// One leg breaks.
    pub fn break_leg(&mut self, name: &str) {
        let conn = self.runtime.leg(name).conn;
        self.world.gateway.handle(Input::Lost { conn }, self.world.now);
        self.turn();
    }

    /// Another process goes on. The runtime sees the end of the legs that do not come back.
    pub fn restart(&mut self, restart: Restart, clients: &mut [&mut Client]) {
        let legs = restart.run(&mut self.world, clients);
        self.runtime.legs.retain_mut(|leg| legs.get(&leg.conn).map(|new| leg.conn = *new).is_some());
        self.turn();
        for client in clients {
            client.receive(&mut self.world);
        }
    }

    pub fn reload(&mut self, port: Option<u16>) {
        self.world.reload(&openclaw(), &settings(port));
        self.turn();
    }
}

/// The answer to `id`, if it has come.
pub fn answered(client: &Client, id: &str) -> bool {
    client.frames.iter().any(|frame| frame["type"] == "res" && frame["id"] == id)
}

pub fn openclaw() -> String {
    format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}")
}

pub fn settings(port: Option<u16>) -> String {
    port.map_or_else(|| "{}".to_owned(), |port| format!("{{runtime: {{port: {port}}}}}"))
}
