//! Going on with the connections of a former process.
//!
//! Rule: before the first byte of a connection is looked at it is admitted again, by the same function as after a reload.
//! What cannot go on ends here, in the usual way: a close frame with a reason, and an entry in the journal.

use std::sync::Arc;
use std::time::Instant;

use super::record::{self, Record, SavedMember, SavedStage};
use super::shared::{SavedInvocation, Shared};
use super::{Gateway, interrupted};
use crate::clock::Now;
use crate::gateway::arrive::Challenged;
use crate::gateway::io::{ConnId, Output, Peer, uuid};
use crate::gateway::lifecycle::refusal_fields;
use crate::gateway::native::invoke::Answered;
use crate::gateway::nodes::LiveNode;
use crate::gateway::{Conn, Member, Stage, client_fields};
use crate::journal::{Entry, Kind};
use crate::limits;
use crate::policy::saved::{Former, Readmission};
use crate::session::{Held, Session};
use crate::wire::refusal::Refusal;

/// What there is to go on with.
#[derive(Debug)]
pub enum Heritage<'a> {
    /// A connection of which nothing was read.
    Fresh {
        /// Whose it is; nothing was noted of it.
        peer: Peer,
        /// When it was accepted; microseconds of the epoch.
        accepted: u64,
    },
    /// A connection that was at rest.
    Rest {
        /// What [`super::Keep::Rest`] gave last.
        record: &'a [u8],
        /// The number of its last event.
        seq: u64,
        /// When its next tick is due; microseconds of the epoch.
        tick: u64,
    },
    /// A connection that was saved as it stood.
    Saved {
        /// What [`Gateway::record`] gave.
        record: &'a [u8],
    },
    /// A WebSocket that something was done with when its process ended.
    Broken {
        /// What [`super::Keep::Rest`] gave last, or what [`Gateway::record`] gave if it has not been at rest since.
        record: &'a [u8],
    },
}

impl Gateway {
    /// Takes over what all connections shared. To be called before any of them; the calls that it gives wait for
    /// [`Gateway::resumed`].
    ///
    /// # Errors
    /// It cannot be understood. Nothing has changed; connections can be resumed all the same.
    pub fn resume_shared(&mut self, bytes: &[u8], now: Now) -> Result<(), String> {
        let shared = Shared::read(bytes)?;
        self.calls_left = shared.restore(self, now);
        Ok(())
    }

    /// Goes on with a connection in the slot that it had. It may end at once, with a reason that it is sent.
    ///
    /// # Errors
    /// What is known of it cannot be understood; it is not a connection of the gateway then.
    pub fn resume(&mut self, slot: u32, heritage: &Heritage<'_>, now: Now) -> Result<ConnId, String> {
        match *heritage {
            Heritage::Fresh { peer, accepted } => self.resume_fresh(slot, peer, accepted, now),
            Heritage::Rest { record, seq, tick } => {
                let (mut record, held) = record::read(record)?;
                if let SavedStage::Member(member) = &mut record.stage {
                    (member.seq, member.next_tick) = (seq, tick);
                    // It is as old as the record.
                    let pinged = member.next_ping.and_then(|at| self.epoch.at(at));
                    member.next_ping = pinged.map(|at| self.epoch.micros(ahead(at, now)));
                }
                self.resume_record(slot, record, held, now)
            }
            Heritage::Saved { record } => {
                if let Some((leg, held)) = record::read_leg(record)? {
                    return self.resume_leg(slot, leg, held, now);
                }
                let (record, held) = record::read(record)?;
                let id = self.resume_record(slot, record, held, now)?;
                // The record has bytes in it that are going to move on.
                self.forget_record(id);
                Ok(id)
            }
            Heritage::Broken { record } => {
                let (record, held) = record::read(record)?;
                if !held.tx.is_empty() {
                    // A close frame in the middle of another would be taken for a part of it.
                    return Err("nobody knows how much of a message it was sent".to_owned());
                }
                self.resume_broken(slot, record, now)
            }
        }
    }

    /// Every connection is back that comes back.
    pub fn resumed(&mut self, now: Now) {
        self.conns.close_gaps();
        self.join_legs(now);
        for call in std::mem::take(&mut self.calls_left) {
            self.resume_call(call, now);
        }
        // Those who are back have a snapshot; a burst of new ones to all of them at once serves nobody.
        self.health.keep_quiet();
        if self.presence.part_with_the_lost(now) {
            self.presence_changed(now);
        }
        // What lay unread comes up now that everybody is there.
        for id in self.conns.ids() {
            self.advance(id, now);
        }
    }

    fn resume_fresh(&mut self, slot: u32, peer: Peer, accepted: u64, now: Now) -> Result<ConnId, String> {
        let accepted = self.epoch.at(accepted).ok_or("its time is beyond the clock")?;
        let session = Session::new(Now { mono: accepted, ..now }, self.spans());
        let name = uuid(&mut *self.entropy);
        let id = self.put(slot, |id| Conn::new(id, name, peer, session))?;
        self.arriving += 1;
        Ok(id)
    }

    fn resume_record(&mut self, slot: u32, record: Record, held: Held, now: Now) -> Result<ConnId, String> {
        let peer = record.peer();
        let Record { name, spoke, way, session, stage, .. } = record;
        let session = Session::restore(session, held, self.spans(), &self.epoch)?;
        stage.check(session.phase())?;
        let returning = match stage {
            SavedStage::Member(saved) => {
                let former = saved.grant.clone().restore()?;
                Ok((saved, former))
            }
            SavedStage::Arriving => Err(Stage::Arriving),
            SavedStage::Challenged { surroundings, nonce } => {
                let surroundings = surroundings.today(&self.gate.origins);
                Err(Stage::Challenged(Challenged { surroundings, nonce }))
            }
            SavedStage::Leaving => Err(Stage::Leaving),
        };
        let id = self.put(slot, |id| Conn {
            spoke,
            way,
            record_due: false,
            stage: Stage::Leaving,
            ..Conn::new(id, name, peer, session)
        })?;
        match returning {
            Ok((saved, former)) => {
                self.return_member(id, *saved, former, now);
            }
            Err(stage) => {
                self.arriving += usize::from(!matches!(stage, Stage::Leaving));
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.stage = stage;
                }
            }
        }
        self.settle(id);
        Ok(id)
    }

    /// Admits a member again, or ends its connection.
    fn return_member(&mut self, id: ConnId, saved: SavedMember, former: Former, now: Now) {
        let Some(conn) = self.conns.get(id) else { return };
        let entry = former.describe(client_fields(conn.entry(Kind::CloseFault, now), &saved.client));
        let peer = self.peer_class(conn);
        match self.readmit(former, peer, &saved.client, now) {
            Ok(Readmission { grant, proof, narrowed }) => {
                let member = Member {
                    client: saved.client,
                    protocol: saved.protocol,
                    grant: Arc::new(grant),
                    proof,
                    seq: saved.seq,
                    next_tick: self.epoch.at(saved.next_tick).unwrap_or(now.mono),
                    next_ping: saved.next_ping.and_then(|at| self.epoch.at(at)),
                    role_violations: saved.role_violations,
                    presence_key: saved.presence_key,
                    subscriptions: saved.subscriptions,
                    owed: 0,
                    caps: saved.caps,
                    outlet: saved.outlet.restore(&self.epoch, now),
                };
                self.rejoin(id, member, now);
                if let Some(saved) = saved.node {
                    let node = LiveNode {
                        path_env: saved.path_env,
                        ..LiveNode::new(id, saved.ask, saved.connected_at_ms)
                    };
                    self.return_node(node, now);
                }
                if narrowed {
                    self.announce_narrowed(id, now);
                }
            }
            Err(refusal) => self.cut_off(id, entry, &refusal, now),
        }
    }

    /// Enters a member that is admitted again where it was.
    fn rejoin(&mut self, id: ConnId, mut member: Member, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if member.presence_key.as_deref().is_some_and(|key| !self.presence.rejoin(key)) {
            member.presence_key = self.presence.join(&member.client, &member.grant, &conn.name, now);
        }
        conn.stage = Stage::Member(Box::new(member));
    }

    fn return_node(&mut self, node: LiveNode, now: Now) {
        let grant = self.conns.get(node.conn).and_then(Conn::member).map(|member| Arc::clone(&member.grant));
        if let Some(grant) = grant {
            let node = node.under(&self.setup.openclaw.gateway.nodes);
            self.node_enters(node, &grant, now);
            self.save();
        }
    }

    /// The end of a WebSocket that cannot go on: nobody knows where its next message begins.
    fn resume_broken(&mut self, slot: u32, record: Record, now: Now) -> Result<ConnId, String> {
        let client = match &record.stage {
            SavedStage::Member(member) => Some(member.client.clone()),
            _ => None,
        };
        let peer = record.peer();
        let session = Session::restore(record.session, Held::default(), self.spans(), &self.epoch)?;
        let id = self.put(slot, |id| Conn {
            way: record.way,
            stage: Stage::Leaving,
            ..Conn::new(id, record.name, peer, session)
        })?;
        if let Some(conn) = self.conns.get(id) {
            let entry = conn.entry(Kind::CloseFault, now);
            let entry = match &client {
                Some(client) => client_fields(entry, client),
                None => entry,
            };
            self.cut_off(id, entry, &interrupted(), now);
        }
        Ok(id)
    }

    /// Ends a connection that is no member's any more, and journals `entry` about it.
    fn cut_off(&mut self, id: ConnId, entry: Entry, refusal: &Refusal, now: Now) {
        self.note(refusal_fields(entry, refusal.code.number(), refusal), now);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session.cut_off(refusal, now);
        }
        self.settle(id);
    }

    /// A call that waits for a node goes on waiting. Where the node did not come back its caller is told; where the caller
    /// did not, nobody is.
    fn resume_call(&mut self, call: SavedInvocation, now: Now) {
        let member = |slot| self.conns.at(slot).filter(|id| self.conns.get(*id).is_some_and(Conn::is_member));
        let (node, caller) = (member(call.node), member(call.caller));
        let Some(caller) = caller else { return };
        let Some(call) = call.restore(self, node.unwrap_or(caller), caller) else { return };
        if let Some(member) = self.conns.get_mut(caller).and_then(Conn::member_mut) {
            member.owed += 1;
        }
        // Nothing is to be written, but what the shell knows of the caller is that it may go on, and that is true no more:
        // after a crash nobody would know of the call.
        self.outputs.push_back(Output::Flush(caller));
        if node.is_none() {
            let message = format!("node disconnected ({})", call.command);
            return self.conclude(&call, &Answered::failed("NOT_CONNECTED", &message), now);
        }
        // As many as there were fit in again.
        self.nodes.invoke(call).unwrap_or_default();
    }

    fn put(&mut self, slot: u32, make: impl FnOnce(ConnId) -> Conn) -> Result<ConnId, String> {
        if slot as usize >= limits::CONNECTIONS.max {
            return Err(format!("there is no slot {slot}"));
        }
        self.conns.restore(slot, make).ok_or_else(|| format!("slot {slot} is taken"))
    }
}

/// The first time at which a ping is due from now on, for one that was due at `at` and every [`limits::PING`] since.
fn ahead(at: Instant, now: Now) -> Instant {
    let passed = now.mono.saturating_duration_since(at).as_nanos().div_ceil(limits::PING.as_nanos());
    let passed = u32::try_from(passed).unwrap_or(u32::MAX);
    limits::PING.checked_mul(passed).and_then(|passed| at.checked_add(passed)).unwrap_or(now.mono)
}
