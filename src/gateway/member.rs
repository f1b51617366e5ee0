//! Admitted connections: how one begins, what it is told, how it ends, and whether it may stay after a reload.

use std::sync::Arc;

use super::arrive::Welcome;
use super::gate::Record;
use super::io::{ConnId, Output};
use super::upstream::outlet::Outlet;
use super::{Conn, Gateway, Member, Stage, native};
use crate::clock::Now;
use crate::journal::{Field, Kind};
use crate::limits;
use crate::policy::facts::PeerClass;
use crate::policy::recheck::{self, Standing};
use crate::policy::saved::{Former, Readmission};
use crate::policy::scope::{Grant, Scopes};
use crate::wire::Protocol;
use crate::wire::connect::{Client, Connect};
use crate::wire::frame;
use crate::wire::hello::{Auth, HelloOk, Server, SessionDefaults, Snapshot};
use crate::wire::refusal::Refusal;

impl Gateway {
    /// Makes a candidate whose verdict is in a member, and tells it and everybody else.
    pub(super) fn welcome(&mut self, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let candidate = match std::mem::replace(&mut conn.stage, Stage::Leaving) {
            Stage::Deciding(candidate) => candidate,
            other => {
                conn.stage = other;
                return;
            }
        };
        let Some(Welcome { admission, issued }) = candidate.welcome else {
            return;
        };
        let grant = Arc::new(admission.grant);
        let presence_key = self.presence.join(&candidate.connect.client, &grant, &conn.name, now);
        conn.session.admit();
        conn.stage = Stage::Member(Box::new(Member {
            client: candidate.connect.client.clone(),
            protocol: candidate.protocol,
            caps: candidate.connect.caps.clone(),
            grant: Arc::clone(&grant),
            proof: admission.proof,
            seq: 0,
            next_tick: now.mono + limits::TICK,
            next_ping: (candidate.protocol >= Protocol::V4).then(|| now.mono + limits::PING),
            role_violations: 0,
            presence_key,
            subscriptions: native::Subscriptions::default(),
            owed: 0,
            outlet: Outlet::default(),
        }));
        conn.record_due = true;
        self.arriving = self.arriving.saturating_sub(1);
        let kind = if admission.narrowed.is_some() { Kind::Narrow } else { Kind::Admit };
        let asked = candidate.connect.scopes.join(" ");
        if let Some(conn) = self.conns.get(id) {
            let entry = conn.entry(kind, now).with(Field::ScopesRequested, asked);
            let entry = match kind {
                Kind::Narrow => entry.with(Field::Remedy, NARROW_REMEDY),
                _ => entry,
            };
            self.ledger.note(entry, now);
        }
        self.note_issued(id, issued.is_some(), now);
        let hello = self.hello(id, issued.as_ref().map(|issued| (&*issued.token, issued.issued_at_ms)), now);
        self.send(id, &frame::response(&candidate.request, &hello), now);
        self.greet(id, &candidate.connect, now);
    }

    fn note_issued(&mut self, id: ConnId, issued: bool, now: Now) {
        if let Some(conn) = self.conns.get(id).filter(|_| issued) {
            let entry = conn.entry(Kind::TokenIssued, now);
            self.ledger.note(entry, now);
        }
    }

    /// What a new member hears right after hello, and what the others hear of it.
    fn greet(&mut self, id: ConnId, connect: &Connect, now: Now) {
        let Some(member) = self.conns.get(id).and_then(Conn::member) else {
            return;
        };
        let (protocol, listed) = (member.protocol, member.presence_key.is_some());
        self.node_joined(id, connect, now);
        if protocol == Protocol::V3 && self.health.is_known() {
            // OpenClaw 2026.3.13 sends every new connection a health event (protocol-versions.md 2).
            let (payload, version) = (self.health.json().to_owned(), self.state_version());
            self.publish(id, super::broadcast::News::new("health", &payload).with_version(version), now);
        }
        if listed {
            self.presence_changed(now);
        }
        self.expect_leg(id, now);
    }

    /// `hello-ok` as JSON.
    fn hello(&mut self, id: ConnId, issued: Option<(&str, u64)>, now: Now) -> String {
        let presence = self.presence_list(now);
        let Some(conn) = self.conns.get(id) else {
            return "null".to_owned();
        };
        let Some(member) = conn.member() else {
            return "null".to_owned();
        };
        let (setup, scopes, v4) = (&*self.setup, member.grant.scopes(), member.protocol >= Protocol::V4);
        let admin = scopes.covers(Scopes::ADMIN);
        let agent = setup.openclaw.agents.default_id.as_str();
        let snapshot = Snapshot {
            presence: if scopes.covers(Scopes::READ) { presence } else { Vec::new() },
            health: self.health.raw(),
            state_version: self.state_version(),
            uptime_ms: now.millis_since(self.started.mono),
            config_path: admin.then(|| setup.openclaw.path.display().to_string()),
            state_dir: admin.then(|| setup.openclaw.state_dir.display().to_string()),
            session_defaults: SessionDefaults {
                default_agent_id: agent,
                main_key: "main",
                main_session_key: format!("agent:{agent}:main"),
                scope: setup.openclaw.session.scope.name(),
            },
            auth_mode: setup.openclaw.gateway.auth.mode.name(),
            runtime: self.runtime_shown(),
        };
        let server = Server {
            version: self.server_version(),
            conn_id: &conn.name,
            boot_id: v4.then_some(self.boot_id.as_str()),
        };
        let auth = Auth {
            method: v4.then(|| member.grant.how().name()),
            device_token: issued.map(|(token, _)| token),
            role: member.grant.role().name(),
            scopes: scopes.names(member.protocol).collect(),
            issued_at_ms: issued.map(|(_, at)| at),
        };
        let hello = HelloOk::new(member.protocol, server, &self.features, snapshot, auth);
        frame::to_json(&hello.with_tx_queue(setup.settings.tx_queue_bytes))
    }

    /// A member is gone.
    pub(super) fn parted(&mut self, id: ConnId, member: Member, now: Now) {
        self.node_left(id, now);
        self.let_go_upstream(&member.outlet, now);
        if let Some(key) = member.presence_key {
            self.presence.leave(&key, now);
            self.presence_changed(now);
        }
    }

    /// After a reload: a member whose credential is gone is closed, and so is a request that passes with one.
    pub(super) fn recheck(&mut self, id: ConnId, now: Now) {
        self.recheck_relay(id, now);
        let Some((conn, member)) = self.conns.get(id).and_then(|conn| Some((conn, conn.member()?))) else {
            return;
        };
        let about = (member.grant.device(), &member.client);
        let again = self.under_present_standing(self.peer_class(conn), about, now, |standing| {
            recheck::readmit(&member.grant, &member.proof, standing)
        });
        match again {
            Ok(grant) if grant == *member.grant => {}
            Ok(grant) => self.narrow(id, grant, now),
            Err(refusal) => self.refuse(id, &refusal, now),
        }
    }

    /// Admits a member of a former process again, as after a reload.
    pub(super) fn readmit(
        &self,
        former: Former,
        peer: PeerClass,
        client: &Client,
        now: Now,
    ) -> Result<Readmission, Refusal> {
        let device = former.device().map(str::to_owned);
        let about = (device.as_deref(), client);
        self.under_present_standing(peer, about, now, |standing| former.readmit(standing))
    }

    /// Asks `judge` how things stand now for a peer, its device and its client.
    fn under_present_standing<T>(
        &self,
        peer: PeerClass,
        (device, client): (Option<&str>, &Client),
        now: Now,
        judge: impl FnOnce(&Standing<'_>) -> T,
    ) -> T {
        let record = device.and_then(|device| Record::find(&self.pairing, device, None, client));
        judge(&Standing {
            peer,
            mode: &self.gate.mode,
            tokens: &self.held_tokens(device, now),
            pairing: Record::facts(record.as_ref()),
            ceiling: self.gate.ceiling,
        })
    }

    /// The configuration or the pairing store gives less than it did: the journal says so, and what is enforced is
    /// the new grant from here on.
    fn narrow(&mut self, id: ConnId, grant: Grant, now: Now) {
        if let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) {
            member.grant = Arc::new(grant);
        }
        self.announce_narrowed(id, now);
    }

    /// The journal says that a member may do less than before, and those who read the presence list see it.
    pub(super) fn announce_narrowed(&mut self, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.record_due = true;
        // Nothing has to be written for it, but its record has to: an older one would give back what was taken.
        self.outputs.push_back(Output::Flush(id));
        let entry = conn.entry(Kind::Narrow, now).with(Field::Remedy, NARROW_REMEDY);
        self.ledger.note(entry, now);
        let listed = conn.member().and_then(|member| Some((member.presence_key.as_deref()?, &member.grant)));
        if let Some((key, grant)) = listed {
            self.presence.rescope(key, grant);
            self.presence_changed(now);
        }
    }
}

const NARROW_REMEDY: &str =
    "raise ceiling.operator in loopgate.conf, or approve the device for more: loopgate devices approve";
