//! The life of legs: how one is opened, and what happens to it until its end.

use super::ends::Over;
use super::leg::{CONNECT, Leg, Purpose, Stage};
use super::outlet::Reach;
use super::runtime::{Condition, Hello};
use super::{AWAY_REMEDY, BARRED_REMEDY, STRANGER_REMEDY};
use crate::clock::Now;
use crate::gateway::io::{ConnId, Output};
use crate::gateway::{Conn, Gateway};
use crate::journal::{Entry, Field, Kind};
use crate::limits;
use crate::session::Signal;
use crate::wire::Protocol;
use crate::wire::frame::{FromServer, ServerAnswer};

impl Gateway {
    // -- opening --

    /// Tries whether the runtime is there.
    pub(super) fn open_sentinel(&mut self, now: Now) {
        let Some(port) = self.setup.settings.runtime_port else { return };
        match self.open_leg(Purpose::Sentinel, port, now) {
            Some(leg) => self.upstream.runtime.trying(leg),
            // (all legs are taken, so there is a runtime)
            None => self.upstream.runtime.gone(now.mono),
        }
    }

    /// Opens the leg of a member, if the runtime is there and it has none.
    pub(super) fn reach_out(&mut self, id: ConnId, now: Now) {
        let ready = self.upstream.runtime.condition() == Condition::Ready;
        let port = self.setup.settings.runtime_port;
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        // This was the try, whatever comes of it: what is due must not stay due.
        member.outlet.attempt = None;
        let Some(port) = port else { return self.settle(id) };
        // 2026.9.6 refuses more than 32 connections that it has not let in.
        if ready && self.upstream.opening >= limits::LEGS_OPENING_MAX {
            member.outlet.attempt = Some(now.mono + limits::LEG_TURN);
        } else if ready && member.outlet.leg == Reach::Nowhere && !self.stopping {
            if let Some(leg) = self.open_leg(Purpose::Member(id), port, now) {
                self.set_reach(id, Reach::Underway(leg));
            } else {
                self.try_again(id, now);
                self.rescue_unseen(id, now);
            }
        }
        self.settle(id);
    }

    fn open_leg(&mut self, purpose: Purpose, port: u16, now: Now) -> Option<ConnId> {
        if self.upstream.legs >= limits::LEGS_MAX {
            return None;
        }
        self.upstream.legs += 1;
        self.upstream.opening += 1;
        let limit = now.mono + limits::LEG_HANDSHAKE;
        let leg = self.conns.insert_leg(|_| Leg::new(purpose, limit));
        self.outputs.push_back(Output::Dial { conn: leg, port });
        self.settle_leg(leg);
        Some(leg)
    }

    /// Sets how far the leg of a member is. Another process has to know it, even if the member says nothing for a while.
    pub(super) fn set_reach(&mut self, id: ConnId, reach: Reach) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(member) = conn.member_mut() {
            member.outlet.leg = reach;
            // The next process goes on with the leg by what the record says.
            conn.record_due = true;
        }
    }

    fn try_again(&mut self, id: ConnId, now: Now) {
        if let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) {
            member.outlet.attempt = Some(now.mono + limits::RUNTIME_RETRY);
        }
    }

    // -- what happens to one --

    /// A leg is connected, and the kernel told who has accepted it. Nothing was sent yet (S28).
    pub(in crate::gateway) fn dialled(&mut self, id: ConnId, owner: u32, now: Now) {
        let Some(leg) = self.conns.leg(id) else { return };
        if !self.may_have_secrets(owner) {
            let entry = Entry::new(Kind::RuntimeStranger)
                .with(Field::PeerUid, owner)
                .with_some(Field::RuntimePort, self.setup.settings.runtime_port)
                .with(Field::Remedy, STRANGER_REMEDY);
            if leg.purpose == Purpose::Sentinel {
                self.note(entry, now);
            }
            let why = format!("user {owner}, who is no owner of this gateway, has its port");
            return self.leg_over(id, Over::Refused(why), now);
        }
        let origin = match leg.purpose {
            Purpose::Sentinel => false,
            Purpose::Member(member) => self
                .conns
                .get(member)
                .and_then(Conn::member)
                .is_some_and(|member| super::introduce::claims_page(&member.client)),
        };
        let port = self.setup.settings.runtime_port.unwrap_or_default();
        // A page's own origin is the gate's. 2026.9.6 asks a page of its very own origin for the number of its build, which
        // is the client's to say.
        let origin = origin.then(|| self.setup.port.unwrap_or(port));
        let mut nonce = [0; 16];
        self.entropy.fill(&mut nonce);
        if let Some(leg) = self.conns.leg_mut(id) {
            leg.line.begin(port, origin, nonce);
            leg.stage = Stage::Asking;
        }
        self.settle_leg(id);
    }

    pub(in crate::gateway) fn leg_bytes(&mut self, id: ConnId, bytes: &[u8], now: Now) {
        if let Some(leg) = self.conns.leg_mut(id) {
            leg.line.receive(bytes);
            if self.upstream.runtime.hear(now.mono) {
                self.note_runtime(Kind::RuntimeReady, None, now);
                self.send_all_parked();
            }
            self.advance_leg(id, now);
        }
    }

    pub(in crate::gateway) fn leg_eof(&mut self, id: ConnId, now: Now) {
        if let Some(leg) = self.conns.leg_mut(id) {
            leg.line.eof();
            if matches!(leg.stage, Stage::Dialling | Stage::Closing) {
                return self.leg_over(id, Over::Gone, now);
            }
            self.advance_leg(id, now);
        }
    }

    pub(in crate::gateway) fn leg_lost(&mut self, id: ConnId, now: Now) {
        self.leg_over(id, Over::Gone, now);
    }

    /// The shell may not connect at all.
    pub(in crate::gateway) fn leg_barred(&mut self, id: ConnId, cause: String, now: Now) {
        self.leg_over(id, Over::Barred(cause), now);
    }

    pub(in crate::gateway) fn leg_sent(&mut self, id: ConnId, bytes: usize) {
        if let Some(leg) = self.conns.leg_mut(id) {
            leg.line.sent(bytes);
            leg.flushing = leg.line.unsent() > 0;
            if leg.stage == Stage::Closing && leg.line.unsent() == 0 {
                self.outputs.push_back(Output::HalfClose(id));
            }
            self.settle_leg(id);
        }
    }

    /// Handles what has come, at most a turn's worth.
    pub(in crate::gateway) fn advance_leg(&mut self, id: ConnId, now: Now) {
        for _ in 0..limits::MESSAGES_TURN_MAX {
            let Some(signal) = self.conns.leg_mut(id).and_then(|leg| leg.line.poll()) else {
                return self.settle_leg(id);
            };
            match signal {
                Signal::Open => {}
                Signal::Message(text) => self.leg_message(id, &text, now),
                Signal::Ended(_) => return self.leg_over(id, Over::Gone, now),
            }
        }
        self.backlog.push_back(id);
        self.settle_leg(id);
    }

    fn leg_message(&mut self, id: ConnId, text: &str, now: Now) {
        let Some(leg) = self.conns.leg(id) else { return };
        let (stage, purpose) = (leg.stage, leg.purpose);
        match (stage, FromServer::parse(text)) {
            (Stage::Asking, Some(FromServer::Event("connect.challenge", payload, _))) => {
                self.introduce(id, purpose, payload, now);
            }
            (Stage::Connecting, Some(FromServer::Answer(answer))) if answer.id == CONNECT => {
                let answer = match answer {
                    ServerAnswer { ok: true, payload: Some(payload), .. } => Ok(payload),
                    ServerAnswer { error, .. } => Err(error.unwrap_or("{}")),
                };
                self.let_in_upstream(id, purpose, answer, now);
            }
            (Stage::Open(protocol), Some(message)) => self.hear_runtime(purpose, protocol, message, now),
            // What comes before hello-ok or makes no sense is passed over, as clients do.
            _ => {}
        }
    }

    pub(super) fn runtime_ready(&mut self, sentinel: ConnId, hello: Hello, now: Now) {
        let news = self.upstream.runtime.hello() != Some(&hello);
        self.upstream.runtime.ready(sentinel, hello, now.mono);
        if news {
            self.features = self.make_features();
        }
        self.note_runtime(Kind::RuntimeReady, None, now);
        for id in self.conns.ids() {
            let waits = |member: &crate::gateway::Member| {
                member.outlet.len() > 0 || member.outlet.missed || member.outlet.attempt.is_none()
            };
            if self.conns.get(id).and_then(Conn::member).is_some_and(waits) {
                self.reach_out(id, now);
            }
        }
    }

    /// The leg of a member is open: what the runtime has to know of it is told, and what has waited is sent.
    pub(super) fn leg_open(&mut self, member: ConnId, leg: ConnId, protocol: Protocol) {
        self.set_reach(member, Reach::Open(leg, protocol));
        let Some(of) = self.conns.get_mut(member).and_then(Conn::member_mut) else { return };
        if std::mem::take(&mut of.outlet.missed) && of.protocol == Protocol::V3 {
            // A client that sees a number left out asks for what it may have missed. The page of 2026.9.6 gives its
            // connection up instead.
            of.seq += 1;
        }
        let requests = of.subscriptions.requests();
        let numbers: Vec<String> = requests.iter().map(|_| of.outlet.skip().to_string()).collect();
        if let Some(leg) = self.conns.leg_mut(leg) {
            for ((method, params), number) in requests.iter().zip(&numbers) {
                let params = params.to_string();
                let head = [r#"{"type":"req","id":""#, number, r#"","method":""#, method];
                leg.line.send(&[&head[..], &[r#"","params":"#, &params, "}"]].concat());
            }
        }
        self.settle_leg(leg);
        if protocol > Protocol::V3 && self.nodes.of_conn(member).is_some() {
            self.ask_pending_nodes();
        }
        self.send_parked(member);
    }

    /// Tells the shell what there is to do for a leg, and keeps its deadline.
    pub(in crate::gateway) fn settle_leg(&mut self, id: ConnId) {
        let Some(leg) = self.conns.leg_mut(id) else { return };
        if !leg.flushing && leg.line.unsent() > 0 {
            leg.flushing = true;
            self.outputs.push_back(Output::Flush(id));
        }
        if leg.due != leg.limit {
            if let Some(old) = leg.due {
                self.deadlines.remove(&(old, id));
            }
            if let Some(new) = leg.limit {
                self.deadlines.insert((new, id));
            }
            leg.due = leg.limit;
        }
    }

    /// After a reload: another port, or none any more.
    pub(in crate::gateway) fn reconfigure_upstream(&mut self, moved: bool, now: Now) {
        let configured = self.setup.settings.runtime_port.is_some();
        if moved {
            let legs: Vec<ConnId> = self.conns.legs().map(|(id, _)| id).collect();
            for id in legs {
                self.leg_over(id, Over::Gone, now);
            }
        }
        self.upstream.runtime.configure(configured, now.mono);
        self.features = self.make_features();
    }

    /// Journals how the runtime is.
    pub(super) fn note_runtime(&mut self, kind: Kind, cause: Option<String>, now: Now) {
        let version = self.upstream.runtime.hello().map(|hello| hello.version.clone());
        let entry = Entry::new(kind)
            .with_some(Field::RuntimePort, self.setup.settings.runtime_port)
            .with_some(Field::RuntimeVersion, version)
            .with_some(Field::Cause, cause);
        let entry = match kind {
            Kind::RuntimeReady => entry,
            Kind::RuntimeRefuses => entry.with(Field::Remedy, REFUSES_REMEDY),
            Kind::RuntimeBarred => entry.with(Field::Remedy, BARRED_REMEDY),
            _ => {
                let unit = self.setup.settings.runtime_unit.as_deref();
                let remedy = unit.map_or(AWAY_REMEDY.to_owned(), |unit| AWAY_REMEDY.replace(UNIT, unit));
                entry.with(Field::Count, self.upstream.runtime.waiting()).with(Field::Remedy, remedy)
            }
        };
        self.note(entry, now);
    }
}

/// OpenClaw's own name for its unit, as [`AWAY_REMEDY`] has it.
const UNIT: &str = "openclaw-gateway";
const REFUSES_REMEDY: &str =
    "compare the secrets of the runtime and of loopgated: loopgate doctor secret runtime";
