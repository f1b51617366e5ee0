//! What every connection goes through, whatever it is about: accept, bytes, deadlines, the end.

use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::io::{ConnId, Output, Peer, uuid};
use super::{Conn, Gateway, Setup, Stage};
use crate::clock::Now;
use crate::journal::{Entry, Field, Kind};
use crate::limits;
use crate::session::{End, Happening, Session, Spans};
use crate::wire::error::ErrorShape;
use crate::wire::refusal::Refusal;

impl Gateway {
    /// Takes in a connection that the shell has accepted. `None`: there is no room ([`Gateway::accepting`] was false).
    pub fn accept(&mut self, peer: Peer, now: Now) -> Option<ConnId> {
        if !self.accepting() {
            return None;
        }
        if self.arriving >= limits::ARRIVING_MAX {
            self.let_go_of_the_oldest(now);
        }
        let name = uuid(&mut *self.entropy);
        let session = Session::new(now, self.spans());
        let id = self.conns.insert(|id| Conn::new(id, name, peer, session));
        self.arriving += 1;
        if let Some(conn) = self.conns.get(id) {
            let address = peer.address.map(|address| address.to_string());
            let entry = conn.entry(Kind::Accept, now).with_some(Field::PeerAddress, address);
            self.ledger.note(entry, now);
            if peer.uid.is_none() {
                let entry = conn.entry(Kind::PeerUnknown, now).with(Field::Remedy, PEER_UNKNOWN_REMEDY);
                self.ledger.note(entry, now);
            }
        }
        self.settle(id);
        Some(id)
    }

    /// How long a peer may take, under the present settings.
    pub(super) fn spans(&self) -> Spans {
        let handshake = self.setup.settings.handshake;
        Spans { handshake: handshake.timeout, head: handshake.head, closing: handshake.closing }
    }

    /// The connections whose deadline has passed. The shell reads each of them once more before it calls
    /// [`Gateway::expire`], so that what has arrived in time counts even if the loop was late.
    pub fn expiring(&self, now: Now) -> Vec<ConnId> {
        self.deadlines.iter().take_while(|(at, _)| *at <= now.mono).map(|(_, id)| *id).collect()
    }

    /// Acts on every deadline that has passed, and on messages left over from the last turn.
    pub fn expire(&mut self, now: Now) {
        for _ in 0..self.backlog.len() {
            if let Some(id) = self.backlog.pop_front() {
                self.advance(id, now);
            }
        }
        for id in self.expiring(now) {
            self.expire_conn(id, now);
        }
        self.expire_nodes(now);
        self.expire_runtime(now);
        self.expire_health(now);
        self.expire_presence(now);
        self.ledger.expire(now);
        self.finish_if_empty();
    }

    pub(super) fn bytes(&mut self, id: ConnId, bytes: &[u8], now: Now) {
        if self.conns.leg(id).is_some() {
            return self.leg_bytes(id, bytes, now);
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.spoke = true;
            conn.session.receive(bytes, now);
            self.advance(id, now);
        }
    }

    pub(super) fn eof(&mut self, id: ConnId, now: Now) {
        if self.conns.leg(id).is_some() {
            return self.leg_eof(id, now);
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session.eof();
            self.advance(id, now);
        }
    }

    pub(super) fn lost(&mut self, id: ConnId, now: Now) {
        if self.conns.leg(id).is_some() {
            return self.leg_lost(id, now);
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session.lost();
            self.advance(id, now);
        }
    }

    pub(super) fn sent(&mut self, id: ConnId, bytes: usize, now: Now) {
        if self.conns.leg(id).is_some() {
            return self.leg_sent(id, bytes);
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session.sent(bytes, now);
            conn.stalled = (conn.session.unsent() > limits::TX_DROPPABLE_BYTES_MAX).then_some(now.mono);
            conn.flushing = !conn.session.outgoing().is_empty();
            self.advance(id, now);
        }
    }

    /// Handles what the session has for us, at most a turn's worth.
    pub(super) fn advance(&mut self, id: ConnId, now: Now) {
        if self.conns.leg(id).is_some() {
            return self.advance_leg(id, now);
        }
        for _ in 0..limits::MESSAGES_TURN_MAX {
            let Some(happening) = self.conns.get_mut(id).and_then(|conn| conn.session.poll(now)) else {
                return self.settle(id);
            };
            match happening {
                Happening::Head(head) => self.head(id, &head, now),
                Happening::Message(text) => self.message(id, &text, now),
                Happening::Refused(refusal) => self.refused(id, &refusal, now),
                Happening::Ended(end) => return self.ended(id, &end, now),
            }
        }
        self.backlog.push_back(id);
        self.settle(id);
    }

    fn message(&mut self, id: ConnId, text: &str, now: Now) {
        match self.conns.get(id).map(|conn| &conn.stage) {
            Some(Stage::Challenged(_)) => self.first_message(id, text, now),
            Some(Stage::Member(_)) => self.request(id, text, now),
            // The session gives no messages in the other stages.
            _ => {}
        }
    }

    /// Tells the shell what there is to do for this connection, and keeps its deadline.
    pub(super) fn settle(&mut self, id: ConnId) {
        self.settle_pipe(id);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !conn.flushing && !conn.session.outgoing().is_empty() {
            conn.flushing = true;
            self.outputs.push_back(Output::Flush(id));
        }
        if conn.session.half_close_due() {
            self.outputs.push_back(Output::HalfClose(id));
        }
        let member = conn.member().and_then(|member| {
            [Some(member.next_tick), member.next_ping, member.outlet.due()].into_iter().flatten().min()
        });
        let stalled = conn.stalled.map(|since| since + limits::SLOW_MAX);
        let due = [conn.session.deadline(), member, stalled].into_iter().flatten().min();
        if due != conn.due {
            if let Some(old) = conn.due {
                self.deadlines.remove(&(old, id));
            }
            if let Some(new) = due {
                self.deadlines.insert((new, id));
            }
            conn.due = due;
        }
    }

    fn expire_conn(&mut self, id: ConnId, now: Now) {
        if self.conns.leg(id).is_some() {
            return self.expire_leg(id, now);
        }
        let overdue = self.conns.get(id).and_then(|conn| conn.session.overdue(now));
        if let (Some(refusal), Some(Stage::Deciding(_))) =
            (overdue, self.conns.get(id).map(|conn| &conn.stage))
        {
            // It is our disk that was too slow: the client hears so, and may try again.
            let error = ErrorShape::busy(refusal.reason.clone(), RETRY_AFTER_MS);
            let refusal = Refusal { error: Some(Box::new(error)), ..refusal };
            self.turn_away(id, &refusal, now);
        }
        self.expire_relay(id, now);
        if let Some(refusal) = self.conns.get_mut(id).and_then(|conn| conn.session.expire(now)) {
            self.refused(id, &refusal, now);
        }
        self.expire_slow(id, now);
        self.beat(id, now);
        self.expire_calls(id, now);
        self.advance(id, now);
    }

    /// A peer that takes nothing of a lot for too long is closed, even if the queue is not full.
    fn expire_slow(&mut self, id: ConnId, now: Now) {
        let since = self.conns.get(id).filter(|conn| conn.member().is_some()).and_then(|conn| conn.stalled);
        if since.is_some_and(|since| since + limits::SLOW_MAX <= now.mono) {
            self.refuse(id, &slow(), now);
        }
        if let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.member().is_none()) {
            // What is owed to it has the closing deadline from here on.
            conn.stalled = None;
        }
    }

    /// Makes room among those that are not admitted yet. Their deadlines run from accept, so the earliest is the oldest's.
    fn let_go_of_the_oldest(&mut self, now: Now) {
        let arrives = |id: &ConnId| {
            let stage = self.conns.get(*id).map(|conn| &conn.stage);
            matches!(stage, Some(Stage::Arriving | Stage::Challenged(_)))
        };
        let oldest = self.deadlines.iter().map(|(_, id)| *id).find(|id| arrives(id));
        if let Some(oldest) = oldest {
            let refusal = Refusal::new("arrivals-full", ARRIVALS_FULL, ARRIVALS_REMEDY).with_status(503);
            self.refuse(oldest, &refusal, now);
        }
    }

    /// Ticks and pings that are due.
    fn beat(&mut self, id: ConnId, now: Now) {
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else {
            return;
        };
        let tick = member.next_tick <= now.mono;
        if tick {
            member.next_tick = after(member.next_tick, limits::TICK, now);
        }
        let ping = member.next_ping.is_some_and(|at| at <= now.mono);
        if ping {
            member.next_ping = member.next_ping.map(|at| after(at, limits::PING, now));
        }
        if tick {
            let payload = format!(r#"{{"ts":{}}}"#, now.unix_ms);
            self.publish(id, super::broadcast::News::new("tick", &payload).droppable(), now);
        }
        if ping {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.session.ping();
            }
        }
    }

    /// Queues a message and closes a peer that does not keep up.
    pub(super) fn send(&mut self, id: ConnId, text: &str, now: Now) {
        self.send_pieces(id, &[text], now);
    }

    /// The same for a message in pieces, each of which is copied once.
    pub(super) fn send_pieces(&mut self, id: ConnId, pieces: &[&str], now: Now) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.session.send_text(pieces);
        if conn.session.unsent() > self.setup.settings.tx_queue_bytes && conn.member().is_some() {
            return self.refuse(id, &slow(), now);
        }
        if conn.stalled.is_none() && conn.session.unsent() > limits::TX_DROPPABLE_BYTES_MAX {
            conn.stalled = Some(now.mono);
        }
        self.settle(id);
    }

    /// Ends a connection for a reason of ours: the error answer if there is one, then the close.
    pub(super) fn refuse(&mut self, id: ConnId, refusal: &Refusal, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.session.refuse(refusal, now);
        self.refused(id, refusal, now);
        self.settle(id);
    }

    /// Ends a connection because the service stops.
    fn finish(&mut self, id: ConnId, refusal: &Refusal, now: Now) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session.finish(refusal, now);
            self.refused(id, refusal, now);
            self.settle(id);
        }
    }

    /// Journals a refusal and takes the connection out of everything it was part of.
    pub(super) fn refused(&mut self, id: ConnId, refusal: &Refusal, now: Now) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        let kind = if conn.member().is_some() { Kind::CloseFault } else { Kind::Refuse };
        let code = if matches!(conn.stage, Stage::Arriving | Stage::Relaying(_)) {
            refusal.status
        } else {
            refusal.code.number()
        };
        let entry = refusal_fields(conn.entry(kind, now), code, refusal);
        self.note(entry, now);
        self.leave(id, now);
    }

    /// The connection is over.
    fn ended(&mut self, id: ConnId, end: &End, now: Now) {
        if let Some(conn) = self.conns.get(id) {
            if !matches!(conn.stage, Stage::Leaving) {
                let (code, reason) = describe(end);
                let entry = conn
                    .entry(Kind::Close, now)
                    .with_some(Field::CloseCode, code)
                    .with(Field::CloseReason, reason);
                self.note(entry, now);
            }
        }
        self.leave(id, now);
        self.ledger.forget(id, now);
        if let Some(conn) = self.conns.remove(id) {
            if let Some(due) = conn.due {
                self.deadlines.remove(&(due, id));
            }
            self.outputs.push_back(Output::Close(id));
        }
        self.finish_if_empty();
    }

    /// Takes a connection out of presence, the node registry and whatever else knows it.
    pub(super) fn leave(&mut self, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        match std::mem::replace(&mut conn.stage, Stage::Leaving) {
            Stage::Arriving | Stage::Challenged(_) | Stage::Deciding(_) => {
                self.arriving = self.arriving.saturating_sub(1);
            }
            Stage::Member(member) => self.parted(id, *member, now),
            Stage::Relaying(relaying) => self.drop_pipe(relaying.pipe),
            Stage::Leaving => {}
        }
    }

    /// SIGTERM: everybody hears `shutdown` and is closed with 1012.
    pub(super) fn stop(&mut self, now: Now) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let payload = r#"{"reason":"gateway stopping","restartExpectedMs":null}"#;
        self.broadcast(super::broadcast::News::new("shutdown", payload), now);
        let refusal = super::arrive::stopping();
        for id in self.conns.ids() {
            if let Some(conn) = self.conns.get(id) {
                if !matches!(conn.stage, Stage::Leaving) {
                    self.finish(id, &refusal, now);
                }
            }
        }
        self.ledger.flush(now);
        self.close_legs(now);
        self.finish_if_empty();
    }

    fn finish_if_empty(&mut self) {
        if self.stopping && self.conns.len() == 0 && !self.finished {
            self.finished = true;
            self.outputs.push_back(Output::Finished);
        }
    }

    /// SIGHUP: the next connect meets the new configuration, and nobody stays whose credential is gone.
    pub(super) fn reload(&mut self, setup: Setup, now: Now) {
        let moved = setup.settings.runtime_port != self.setup.settings.runtime_port;
        self.gate = Gate::of(&setup);
        self.ledger.set_window(setup.settings.decisions_flush);
        self.setup = Arc::new(setup);
        self.penalties.set_tries(self.gate.tries);
        for id in self.conns.ids() {
            self.recheck(id, now);
        }
        self.reconfigure_upstream(moved, now);
        self.refresh_health(now);
        self.note_secret(now);
        self.note(Entry::new(Kind::Reload), now);
    }
}

/// What an entry says of a refusal. A member's entry has the rule that admitted it; what decided here is the refusal's.
pub(super) fn refusal_fields(entry: Entry, code: u16, refusal: &Refusal) -> Entry {
    entry
        .with(Field::CloseCode, code)
        .with(Field::CloseReason, refusal.close_reason().to_owned())
        .with(Field::Remedy, refusal.remedy)
        .with(Field::Rule, refusal.rule)
}

/// A peer that does not take what it is sent.
fn slow() -> Refusal {
    Refusal::new("slow-consumer", "slow consumer", SLOW_REMEDY)
}

/// The code and the reason of an end that was not ours, for the journal. Without a close frame there is no code.
fn describe(end: &End) -> (Option<u16>, String) {
    match end {
        // 1005 is how RFC 6455 names a close frame without a code.
        End::PeerClosed { code, reason } => (Some(code.unwrap_or(1005)), reason.to_string()),
        End::Eof { phase, unfinished: 0 } => {
            (None, format!("the peer ended the connection in phase {}", phase.name()))
        }
        End::Eof { phase, unfinished } => (
            None,
            format!(
                "the peer ended the connection in phase {}, {unfinished} bytes into something",
                phase.name()
            ),
        ),
        End::Lost { phase } => (None, format!("the connection broke in phase {}", phase.name())),
        End::Drained => (None, "drained".to_owned()),
        End::Overdue { unsent } => (None, format!("the peer did not end its side, {unsent} bytes unsent")),
    }
}

/// The next multiple of `interval` after `at` that lies ahead: a loop that was late does not send a burst.
fn after(at: std::time::Instant, interval: Duration, now: Now) -> std::time::Instant {
    let next = at + interval;
    if next > now.mono { next } else { now.mono + interval }
}

const RETRY_AFTER_MS: u64 = 1_000;
const ARRIVALS_FULL: &str = "too many connections wait to be admitted, and this one waits longest";
const ARRIVALS_REMEDY: &str = "look at PEER_UID for whose processes open connections and say nothing";
const SLOW_REMEDY: &str = "the client does not read what it asked for; look at its own log";
const PEER_UNKNOWN_REMEDY: &str =
    "allow the daemon AF_NETLINK sockets or /proc/net/tcp; until then such a peer counts as remote";
