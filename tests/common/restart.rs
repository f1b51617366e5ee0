//! Another process goes on with a [`World`], as the shell does it after a planned end, or after none.

use std::collections::BTreeMap;
use std::time::Duration;

use loopgate::clock::{Epoch, Now};
use loopgate::gateway::io::{ConnId, Input};
use loopgate::gateway::{Gateway, Heritage, Setup};

use super::{Client, Seed, TOKEN, World, setup};

/// A planned restart.
pub struct Restart {
    pub setup: Setup,
    /// How long nobody is there.
    pub away: Duration,
    /// What the pairing store's file holds then, if not what it held before.
    pub store: Option<Vec<u8>>,
    /// Who does not come back.
    pub lost: Vec<ConnId>,
    /// Who was in the middle of something when the process died.
    pub broken: Vec<ConnId>,
    /// Whether the legs to the runtime come back.
    pub legs: bool,
}

impl Restart {
    /// With the configuration of [`World::token`].
    pub fn new() -> Self {
        Self::with(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"), "{}")
    }

    /// With these configuration files.
    pub fn with(openclaw: &str, settings: &str) -> Self {
        Self {
            setup: setup(openclaw, settings),
            away: Duration::from_millis(300),
            store: None,
            lost: Vec::new(),
            broken: Vec::new(),
            legs: true,
        }
    }

    pub fn away(self, away: Duration) -> Self {
        Self { away, ..self }
    }

    pub fn losing(self, client: &Client) -> Self {
        Self { lost: vec![client.conn], ..self }
    }

    pub fn breaking(self, client: &Client) -> Self {
        Self { broken: vec![client.conn], ..self }
    }

    pub fn without_legs(self) -> Self {
        Self { legs: false, ..self }
    }

    pub fn with_store(self, store: Vec<u8>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// The world with all its connections but those of `lost`; `clients` are told their new ids. Gives the legs that came
    /// back by what they were called.
    pub fn run(self, world: &mut World, clients: &mut [&mut Client]) -> BTreeMap<ConnId, ConnId> {
        // Those that broke off are known as they were when they were at rest.
        let records: BTreeMap<ConnId, Vec<u8>> = clients
            .iter()
            .filter(|client| self.broken.contains(&client.conn))
            .map(|client| (client.conn, world.gateway.record(client.conn).expect("a record")))
            .collect();
        world.handle(Input::HandOver);
        let now = world.now;
        let shared = world.gateway.share(true, now);
        let mut left = Vec::new();
        for (index, client) in
            clients.iter().enumerate().filter(|(_, client)| !self.lost.contains(&client.conn))
        {
            let broken = records.get(&client.conn).cloned();
            let record = broken.clone().or_else(|| world.gateway.record(client.conn));
            left.push((index, client.conn.slot, record.expect("a record"), broken.is_some()));
        }
        let legs: Vec<ConnId> = if self.legs { world.gateway.legs_underway() } else { Vec::new() };
        let legs: Vec<(ConnId, Vec<u8>)> =
            legs.into_iter().map(|id| (id, world.gateway.record(id).expect("a record"))).collect();
        world.now = world.now.later(self.away);
        let store = self.store.or(world.store.clone());
        let mut next =
            Gateway::new(self.setup, Box::new(Seed(99)), store.as_deref(), world.now).expect("a gateway");
        next.count_from(world.epoch());
        next.resume_shared(&shared, world.now).expect("what is shared");
        for (index, slot, record, broken) in left {
            let record = record.as_slice();
            let heritage = if broken { Heritage::Broken { record } } else { Heritage::Saved { record } };
            clients[index].conn = next.resume(slot, &heritage, world.now).expect("a connection");
        }
        let resume = |(old, record): (ConnId, Vec<u8>)| {
            let new = next.resume(old.slot, &Heritage::Saved { record: &record }, world.now);
            (old, new.expect("a leg"))
        };
        let legs = legs.into_iter().map(resume).collect();
        next.resumed(world.now);
        next.check().expect("no contradiction");
        world.gateway = next;
        world.store = store;
        world.stuck.clear();
        world.settle();
        legs
    }
}

impl World {
    /// From which times are counted: when the first process began.
    pub fn epoch(&self) -> Epoch {
        Epoch::new(self.began.mono)
    }

    pub fn began(&self) -> Now {
        self.began
    }
}

/// The text of a record.
pub fn head(record: &[u8]) -> serde_json::Value {
    let (length, rest) = record.split_first_chunk().expect("a length");
    serde_json::from_slice(&rest[..u32::from_le_bytes(*length) as usize]).expect("JSON")
}

/// The bytes behind it.
pub fn tail(record: &[u8]) -> &[u8] {
    let (length, rest) = record.split_first_chunk().expect("a length");
    &rest[u32::from_le_bytes(*length) as usize..]
}

/// A record of this text and these bytes.
pub fn record(head: &str, tail: &[u8]) -> Vec<u8> {
    let length = u32::try_from(head.len()).expect("a short text").to_le_bytes();
    [&length[..], head.as_bytes(), tail].concat()
}
