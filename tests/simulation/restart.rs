//! Processes that are replaced or die, as the shell does it: what is kept of each connection at the end of every turn,
//! what a planned end saves, and the next process that goes on with it.

use std::collections::BTreeMap;
use std::time::Duration;

use loopgate::gateway::io::{ConnId, Input, Peer};
use loopgate::gateway::{Gateway, Heritage, Keep};
use serde_json::Value;

use crate::common::Seed;
use crate::common::restart::{head, tail};
use crate::{Config, World};

/// The line of a connection in the book.
#[derive(Clone)]
pub struct Line {
    state: State,
    /// The last record.
    record: Option<Vec<u8>>,
    /// It is what a planned end has saved.
    saved: bool,
    peer: Peer,
    /// When it was accepted; microseconds of the epoch.
    accepted: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Rest {
        seq: u64,
        tick: u64,
    },
    Saved,
    /// Something was read or written in this turn, or is held.
    Busy,
    /// A part of something was written.
    Torn,
}

/// Connections as they stand, by the ids that they have.
type Stands = BTreeMap<ConnId, Vec<u8>>;

/// Legs that are kept for the next process, as they stand.
type Legs = Vec<(ConnId, Vec<u8>)>;

/// What became of connections at restarts.
#[derive(Default)]
pub struct Tally {
    fresh: usize,
    rest: usize,
    saved: usize,
    broken: usize,
    lost: usize,
    members: usize,
    refused: usize,
    narrowed: usize,
    /// Legs that have gone on.
    legs: usize,
    /// Answers of the runtime's.
    pub answers: usize,
}

impl Line {
    pub fn fresh(peer: Peer, accepted: u64) -> Self {
        Self { state: State::Fresh, record: None, saved: false, peer, accepted }
    }

    /// Something of it is going to be read or written.
    fn touch(&mut self) {
        if self.state != State::Torn {
            self.state = State::Busy;
        }
    }

    /// What the next process finds; `None`: it is lost.
    fn heritage(&self) -> Option<Heritage<'_>> {
        match (self.state, self.record.as_deref()) {
            (State::Fresh, _) => Some(Heritage::Fresh { peer: self.peer, accepted: self.accepted }),
            (State::Rest { seq, tick }, Some(record)) => Some(Heritage::Rest { record, seq, tick }),
            (State::Saved, Some(record)) => Some(Heritage::Saved { record }),
            (State::Busy, Some(record)) => Some(Heritage::Broken { record }),
            (State::Torn, _) | (_, None) => None,
        }
    }
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.fresh += other.fresh;
        self.rest += other.rest;
        self.saved += other.saved;
        self.broken += other.broken;
        self.lost += other.lost;
        self.members += other.members;
        self.refused += other.refused;
        self.narrowed += other.narrowed;
        self.legs += other.legs;
        self.answers += other.answers;
    }

    /// Everything that can happen has happened often.
    pub fn judge(&self) {
        let Self { fresh, rest, saved, broken, lost, members, refused, narrowed, legs, answers } = *self;
        for count in [fresh, rest, saved, broken, lost, members, refused, narrowed, legs, answers] {
            assert!(
                count >= 10,
                "of {fresh} fresh, {rest} at rest, {saved} saved, {broken} broken, {lost} lost, \
                                  {members} members, {refused} refused, {narrowed} narrowed, {legs} legs, \
                                  {answers} answers of the runtime, one is too few"
            );
        }
    }
}

impl World {
    /// The turn ends: the book is brought up to date.
    pub fn settle(&mut self) {
        self.write_some();
        for id in std::mem::take(&mut self.touched) {
            // Now and then there is no room for a record.
            let full = self.seed.once_in(100);
            let Some(line) = self.book.get_mut(&id) else { continue };
            line.state = match self.gateway.keep(id) {
                Keep::Fresh => State::Fresh,
                Keep::Rest { record: Some(_), .. } if full => {
                    self.gateway.forget_record(id);
                    State::Busy
                }
                Keep::Rest { seq, tick, record } => {
                    line.saved &= record.is_none();
                    line.record = record.or(line.record.take());
                    State::Rest { seq, tick }
                }
                Keep::Busy if !self.gateway.outgoing(id).is_empty() => State::Torn,
                Keep::Busy => State::Busy,
            };
        }
        if self.seed.once_in(5) {
            self.shared = self.gateway.share(false, self.now);
        }
    }

    /// The shell writes at once, as far as the sockets take it.
    fn write_some(&mut self) {
        for id in self.touched.clone() {
            let Some(index) = self.actors.iter().position(|actor| actor.client.conn == id && !actor.deaf)
            else {
                continue;
            };
            let bytes = self.gateway.outgoing(id).to_vec();
            if bytes.is_empty() || self.seed.once_in(3) {
                continue;
            }
            self.write(index, &bytes);
        }
        self.obey();
    }

    /// Writes to a connection. What its peer is told is in the book before.
    pub fn write(&mut self, index: usize, bytes: &[u8]) {
        let conn = self.actors[index].client.conn;
        if let (Some(record), Some(line)) = (self.gateway.news(conn), self.book.get_mut(&conn)) {
            (line.record, line.saved) = (Some(record), false);
        }
        self.tell(conn, Input::Sent { conn, bytes: bytes.len() });
        self.actors[index].back.extend(bytes);
        let now = self.now;
        self.actors[index].take(now);
    }

    /// A planned end: everybody goes on, whatever they were in the middle of.
    pub fn restart(&mut self) {
        let patient = self.seed.once_in(2);
        if patient {
            self.finish_everything();
        }
        self.gateway.handle(Input::HandOver, self.now);
        self.obey();
        assert!(self.gateway.settled() || !patient);
        for id in std::mem::take(&mut self.touched) {
            self.book.get_mut(&id).into_iter().for_each(Line::touch);
        }
        self.actors.retain(|actor| !actor.gone);
        for actor in &self.actors {
            let id = actor.client.conn;
            let line = self.book.get_mut(&id).unwrap();
            let at_rest = matches!(line.state, State::Rest { .. }) && !self.gateway.has_news(id);
            if !at_rest && line.state != State::Fresh {
                let record = self.gateway.record(id);
                line.record = Some(record.unwrap_or_else(|| panic!("{:?} cannot be saved", actor.kind)));
                (line.state, line.saved) = (State::Saved, true);
            }
        }
        self.shared = self.gateway.share(true, self.now);
        let stands = self.stands();
        let legs = self.gateway.legs_underway().into_iter();
        let mut legs: Legs = legs.filter_map(|id| Some((id, self.gateway.record(id)?))).collect();
        // Not every socket is taken by the manager.
        legs.retain(|_| !self.seed.once_in(5));
        self.replace(&stands, &legs, (patient, true));
    }

    /// The process dies, at the end of a turn or in the middle of one.
    pub fn crash(&mut self) {
        let stands = self.stands();
        if self.seed.once_in(2) {
            self.deliver();
            for id in std::mem::take(&mut self.touched) {
                self.book.get_mut(&id).into_iter().for_each(Line::touch);
            }
            self.obey();
            self.actors.retain(|actor| !actor.gone);
        }
        self.replace(&stands, &Legs::new(), (false, false));
    }

    /// Everybody who can be saved as it stands.
    fn stands(&self) -> Stands {
        let ids = self.actors.iter().map(|actor| actor.client.conn);
        ids.filter_map(|id| Some((id, self.gateway.record(id)?))).collect()
    }

    fn finish_everything(&mut self) {
        for _ in 0..20 {
            self.finish_jobs();
            self.finish_save();
            self.obey();
        }
        assert!(self.gateway.settled(), "something waits for nothing");
    }

    /// Another process goes on with what there is. `settled`: the disk has everything that the last one knew.
    fn replace(&mut self, stands: &Stands, legs: &Legs, (settled, planned): (bool, bool)) {
        self.touched.clear();
        self.jobs.clear();
        if let Some((_, bytes)) = self.save.take() {
            // Nobody knows whether the disk has it.
            if self.seed.once_in(2) {
                self.store = Some(bytes);
            }
        }
        self.now = self.now.later(Duration::from_nanos(self.seed.below(3_000_000_000) as u64));
        let before = self.config;
        self.reconfigure();
        let entropy = Box::new(Seed(self.seed.next()));
        let store = self.store.as_deref();
        let next = Gateway::new(self.config.setup(), entropy, store, self.now).unwrap();
        let mut old = std::mem::replace(&mut self.gateway, next);
        self.gateway.count_from(self.epoch);
        self.gateway.resume_shared(&self.shared, self.now).unwrap();
        let old_ids: Vec<ConnId> = self.actors.iter().map(|actor| actor.client.conn).collect();
        let broken = self.resume_all(before, stands);
        self.resume_legs(legs, before);
        if settled {
            self.compare_with_reload(&mut old, &old_ids);
        }
        assert!(!planned || broken.is_empty(), "a planned restart breaks nothing");
        self.gateway.resumed(self.now);
        self.gateway.check().unwrap();
        for id in broken {
            self.bid_farewell(id);
        }
        self.actors.retain(|actor| !actor.gone);
    }

    /// Goes on with everybody in the order of their slots; the ids of those that are told that it broke off.
    fn resume_all(&mut self, before: Config, stands: &Stands) -> Vec<ConnId> {
        let mut order: Vec<usize> = (0..self.actors.len()).collect();
        order.sort_by_key(|index| self.actors[*index].client.conn.slot);
        let (mut book, mut broken) = (std::mem::take(&mut self.book), Vec::new());
        for index in order {
            let old = self.actors[index].client.conn;
            let line = book.remove(&old).unwrap();
            let Some(heritage) = line.heritage() else {
                self.tally.lost += 1;
                self.actors[index].gone = true;
                continue;
            };
            let id = match self.gateway.resume(old.slot, &heritage, self.now) {
                Ok(id) => id,
                Err(why) => {
                    // It stood before the handshake or in the middle of a message when it was saved.
                    assert!(line.saved && line.state == State::Busy, "{why}");
                    self.tally.lost += 1;
                    self.actors[index].gone = true;
                    continue;
                }
            };
            assert_eq!(id.slot, old.slot);
            self.actors[index].client.conn = id;
            match heritage {
                Heritage::Broken { .. } => broken.push(id),
                Heritage::Fresh { .. } => self.tally.fresh += 1,
                Heritage::Rest { .. } | Heritage::Saved { .. } => {
                    let stands = stands.get(&old).expect("who goes on could be saved");
                    self.judge_return(id, line.state, stands, before);
                    if line.state == State::Saved {
                        // What it was in the middle of is dealt with now, and nobody may do that again.
                        self.touched.insert(id);
                    }
                }
            }
            self.book.insert(id, line);
        }
        assert!(book.is_empty(), "the book has lines of nobody");
        broken
    }

    /// Goes on with these legs; the runtime sees the end of all others.
    fn resume_legs(&mut self, legs: &Legs, before: Config) {
        let kept: BTreeMap<ConnId, ConnId> = legs
            .iter()
            .map(|(old, record)| {
                let new = self.gateway.resume(old.slot, &Heritage::Saved { record }, self.now);
                (*old, new.expect("what was saved can go on"))
            })
            .collect();
        let underway = if self.config.port == before.port { kept.len() } else { 0 };
        assert_eq!(self.gateway.legs_underway().len(), underway, "a leg goes on where its runtime is");
        self.tally.legs += underway;
        self.runtime.backlog.clear();
        self.runtime.legs.retain_mut(|leg| match kept.get(&leg.conn) {
            Some(new) => {
                leg.conn = *new;
                true
            }
            None => false,
        });
        self.allow_gaps();
    }

    /// One that goes on is what it was, or what today's configuration leaves of it.
    fn judge_return(&mut self, id: ConnId, state: State, stood: &[u8], before: Config) {
        let record = self.gateway.record(id).expect("who went on can be saved");
        let (mut was, mut is) = (head(stood), head(&record));
        if state == State::Saved {
            self.tally.saved += 1;
        } else {
            self.tally.rest += 1;
            // Its pings begin again where they stood when something else about it changed.
            for head in [&mut was, &mut is] {
                head["stage"].as_object_mut().unwrap().remove("nextPing");
                // A gap that was left for it is left again.
                head["stage"].as_object_mut().unwrap().remove("seq");
            }
        }
        // Its leg is looked for when everybody is back: what was missed is known when it is not found, numbers when it is.
        for head in [&mut was, &mut is] {
            if let Some(outlet) = head["stage"]["outlet"].as_object_mut() {
                outlet.retain(|key, _| key == "calls");
            }
        }
        if self.config == before {
            assert_eq!(is, was);
            assert_eq!(tail(&record), tail(stood));
        }
        if was["stage"]["name"] != "member" {
            return;
        }
        let stays = is["stage"]["name"] == "member";
        assert_eq!(stays, self.config.secret == before.secret, "who has the secret stays: {is}");
        if stays {
            let (had, has) = (scopes(&was), scopes(&is));
            assert!(has.iter().all(|scope| had.contains(scope)), "{had:?} has become {has:?}");
            self.tally.members += 1;
            self.tally.narrowed += usize::from(has.len() < had.len());
        } else {
            self.tally.refused += 1;
        }
    }

    /// A restart under another configuration leaves of everybody what a reload leaves.
    fn compare_with_reload(&self, old: &mut Gateway, ids: &[ConnId]) {
        old.handle(Input::Reload(Box::new(self.config.setup())), self.now);
        for (actor, id) in self.actors.iter().zip(ids) {
            let reloaded = old.record(*id).map(|record| head(&record));
            let resumed = self.gateway.record(actor.client.conn).map(|record| head(&record));
            let (Some(reloaded), Some(resumed)) = (reloaded, resumed) else {
                panic!("{:?} could be saved before", actor.kind);
            };
            assert_eq!(resumed["stage"]["name"], reloaded["stage"]["name"], "{:?}", actor.kind);
            assert_eq!(resumed["stage"]["grant"], reloaded["stage"]["grant"], "{:?}", actor.kind);
        }
    }

    /// One that was in the middle of something is told so, unless it was on its way out anyway.
    fn bid_farewell(&mut self, id: ConnId) {
        self.tally.broken += 1;
        let bytes = self.gateway.outgoing(id).to_vec();
        self.tell(id, Input::Sent { conn: id, bytes: bytes.len() });
        let now = self.now;
        let actor = self.actors.iter_mut().find(|actor| actor.client.conn == id).unwrap();
        // Before it is a WebSocket it has no record, unless a planned end has saved one.
        let ended = actor.client.close.is_some() || actor.client.status != Some(101);
        actor.back.extend(bytes);
        actor.take(now);
        let code = actor.client.close.as_ref().map(|(code, _)| *code);
        assert!(ended || code == Some(1012), "{:?} heard {:?}", actor.kind, actor.client.close);
    }
}

fn scopes(head: &Value) -> Vec<&str> {
    head["stage"]["grant"]["scopes"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}
