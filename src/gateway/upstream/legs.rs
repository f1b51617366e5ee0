//! The life of legs: how one is opened and let in, and what its end means.

use serde::Deserialize;
use serde_json::json;

use super::leg::{CONNECT, Introduction, Leg, NodeSurface, Purpose, Stage};
use super::outlet::{Call, Progress, Reach};
use super::runtime::{Condition, Hello};
use crate::clock::Now;
use crate::gateway::io::{ConnId, Output};
use crate::gateway::{Conn, Gateway};
use crate::journal::{Entry, Field, Kind};
use crate::limits;
use crate::policy::scope::{Role, Scopes};
use crate::session::Signal;
use crate::wire::Protocol;
use crate::wire::connect::Client;
use crate::wire::error::ErrorShape;
use crate::wire::frame::{FromServer, ServerAnswer};

/// What the runtime's `hello-ok` says, as far as it matters here.
#[derive(Deserialize)]
struct HelloOk {
    protocol: u32,
    #[serde(default)]
    server: Server,
    #[serde(default)]
    features: Features,
}

#[derive(Deserialize, Default)]
struct Server {
    #[serde(default)]
    version: String,
}

#[derive(Deserialize, Default)]
struct Features {
    #[serde(default)]
    methods: std::collections::BTreeSet<String>,
}

#[derive(Deserialize)]
struct Challenge {
    nonce: String,
}

/// An error as far as it matters here.
#[derive(Deserialize, Default)]
pub(super) struct Fault {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) retryable: bool,
}

/// Why a leg is over.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// The connection ended, or never came about.
    Gone,
    /// The runtime is not ready yet.
    Starting,
    /// It must not, or does not want to, serve us.
    Refused(String),
}

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
        let Some(port) = self.setup.settings.runtime_port else { return };
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        member.outlet.attempt = None;
        // 2026.9.6 refuses more than 32 connections that it has not let in.
        if ready && self.upstream.opening >= limits::LEGS_OPENING_MAX {
            member.outlet.attempt = Some(now.mono + limits::LEG_TURN);
        } else if ready && member.outlet.leg == Reach::Nowhere && !self.stopping {
            match self.open_leg(Purpose::Member(id), port, now) {
                Some(leg) => self.set_reach(id, Reach::Underway(leg)),
                None => self.try_again(id, now),
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

    fn set_reach(&mut self, id: ConnId, reach: Reach) {
        if let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) {
            member.outlet.leg = reach;
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
        // Root could read our secret where it lies.
        if owner != 0 && !self.setup.owners.contains(&owner) {
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
                .is_some_and(|member| claims_page(&member.client)),
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
                match serde_json::from_str::<Challenge>(payload) {
                    Ok(Challenge { nonce }) => self.introduce(id, purpose, &nonce, now),
                    Err(_) => self.leg_over(id, Over::Refused("its challenge has no nonce".to_owned()), now),
                }
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

    /// Sends our `connect`.
    fn introduce(&mut self, id: ConnId, purpose: Purpose, nonce: &str, now: Now) {
        let protocol = self.upstream.runtime.hello().map_or(Protocol::V3, |hello| hello.protocol);
        let Self { conns, nodes, setup, .. } = self;
        let text = match purpose {
            Purpose::Sentinel => {
                let introduction = Introduction {
                    client: own_client(),
                    role: Role::Operator.name(),
                    // Nodes that are approved here are approved there, which takes admin.
                    scopes: Scopes::ADMIN.names(Protocol::V3).map(str::to_owned).collect(),
                    caps: Vec::new(),
                    node: None,
                };
                introduction.connect(&setup.openclaw.gateway.auth, &setup.legs.operator(), nonce, now)
            }
            Purpose::Member(member) => {
                let Some(member_of) = conns.get(member).and_then(Conn::member) else { return };
                let node = nodes.of_conn(member);
                let surface = node.map(|node| NodeSurface {
                    commands: &node.commands,
                    permissions: json!(node.permissions),
                    path_env: node.path_env.as_deref(),
                });
                let key = match (member_of.grant.role(), member_of.grant.device()) {
                    (Role::Node, Some(device)) => setup.legs.node(device),
                    _ => setup.legs.operator(),
                };
                let introduction = Introduction {
                    client: client_upstream(&member_of.client, protocol),
                    role: member_of.grant.role().name(),
                    scopes: member_of.grant.scopes().names(Protocol::V4).map(str::to_owned).collect(),
                    caps: member_of.caps.clone(),
                    node: surface,
                };
                introduction.connect(&setup.openclaw.gateway.auth, &key, nonce, now)
            }
        };
        match (text, conns.leg_mut(id)) {
            (Some(text), Some(leg)) => {
                leg.line.send(&[&text]);
                leg.stage = Stage::Connecting;
                self.settle_leg(id);
            }
            _ => self.leg_over(id, Over::Refused("the client's words cannot be signed".to_owned()), now),
        }
    }

    /// The runtime's answer to our `connect`.
    fn let_in_upstream(&mut self, id: ConnId, purpose: Purpose, answer: Result<&str, &str>, now: Now) {
        let hello = match answer.map(serde_json::from_str::<HelloOk>) {
            Ok(Ok(hello)) => hello,
            Ok(Err(_)) => {
                return self.leg_over(id, Over::Refused("its hello-ok cannot be read".to_owned()), now);
            }
            Err(error) => {
                let fault: Fault = serde_json::from_str(error).unwrap_or_default();
                let over = if fault.retryable && fault.code == "UNAVAILABLE" {
                    Over::Starting
                } else {
                    Over::Refused(fault.message)
                };
                return self.leg_over(id, over, now);
            }
        };
        let Some(protocol) = Protocol::from_number(hello.protocol) else {
            let why = format!("it speaks protocol {}, which this loopgate does not know", hello.protocol);
            return self.leg_over(id, Over::Refused(why), now);
        };
        if let Some(leg) = self.conns.leg_mut(id) {
            leg.stage = Stage::Open(protocol);
            leg.limit = None;
        }
        self.upstream.opening = self.upstream.opening.saturating_sub(1);
        match purpose {
            Purpose::Sentinel => {
                let hello =
                    Hello { protocol, version: hello.server.version, methods: hello.features.methods };
                self.runtime_ready(id, hello, now);
            }
            Purpose::Member(member) => self.leg_open(member, id, protocol),
        }
        self.settle_leg(id);
    }

    fn runtime_ready(&mut self, sentinel: ConnId, hello: Hello, now: Now) {
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
    fn leg_open(&mut self, member: ConnId, leg: ConnId, protocol: Protocol) {
        self.set_reach(member, Reach::Open(leg, protocol));
        let Some(of) = self.conns.get_mut(member).and_then(Conn::member_mut) else { return };
        if std::mem::take(&mut of.outlet.missed) {
            // A client that sees a number left out asks for what it may have missed.
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

    // -- the end --

    /// A leg is over: whoever waited for it hears so, or waits for another.
    fn leg_over(&mut self, id: ConnId, over: Over, now: Now) {
        let Some(leg) = self.conns.remove_leg(id) else { return };
        self.upstream.legs = self.upstream.legs.saturating_sub(1);
        if leg.is_opening() {
            self.upstream.opening = self.upstream.opening.saturating_sub(1);
        }
        if let Some(due) = leg.due {
            self.deadlines.remove(&(due, id));
        }
        self.outputs.push_back(Output::Close(id));
        if leg.stage == Stage::Closing {
            return;
        }
        match leg.purpose {
            Purpose::Sentinel => self.sentinel_over(over, now),
            Purpose::Member(member) => self.member_leg_over(member, &over, now),
        }
    }

    fn sentinel_over(&mut self, over: Over, now: Now) {
        let before = self.upstream.runtime.condition();
        let cause = match over {
            Over::Gone => {
                self.upstream.runtime.gone(now.mono);
                None
            }
            Over::Starting => {
                self.upstream.runtime.starting(now.mono);
                None
            }
            Over::Refused(why) => {
                self.upstream.runtime.refusing(why.clone(), now.mono);
                Some(why)
            }
        };
        let after = self.upstream.runtime.condition();
        if before != after {
            let kind = if after == Condition::Refusing { Kind::RuntimeRefuses } else { Kind::RuntimeAway };
            // At the start it is away until it has been tried.
            if before != Condition::Away || after == Condition::Refusing {
                self.note_runtime(kind, cause, now);
            }
            for id in self.conns.ids() {
                self.rescue(id, |call| call.progress == Progress::Parked && call.may_be_read_here(), now);
                self.give_up_unsure(id, now);
            }
        }
    }

    /// A member's leg did not outlive a restart of ours.
    pub(in crate::gateway) fn member_leg_lost(&mut self, id: ConnId, now: Now) {
        self.member_leg_over(id, &Over::Gone, now);
    }

    fn member_leg_over(&mut self, id: ConnId, over: &Over, now: Now) {
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        member.outlet.leg = Reach::Nowhere;
        member.outlet.missed = true;
        member.outlet.attempt = Some(now.mono + limits::RUNTIME_RETRY);
        for number in member.outlet.numbers(|_| true) {
            self.settle_call(id, number, over, now);
        }
        self.settle(id);
    }

    /// What becomes of a call whose leg is over.
    fn settle_call(&mut self, id: ConnId, number: u64, over: &Over, now: Now) {
        let ready = self.upstream.runtime.condition() == Condition::Ready;
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        let Some(call) = member.outlet.get_mut(number) else { return };
        if call.may_be_read_here() {
            return self.rescue_one(id, number, now);
        }
        if let Over::Refused(why) = over {
            let error = ErrorShape::unavailable(format!(
                "{}: the OpenClaw runtime refuses this client: {why}",
                call.wire_name()
            ));
            if let Some(call) = self.take_call(id, number, now) {
                self.respond(id, &call.id, Err(error), now);
            }
            return;
        }
        match call.progress {
            Progress::Parked => {}
            // The runtime tells a repetition by its key, as long as it lives: what it has seen is forgotten with its process.
            Progress::Sent if call.has_key() && *over == Over::Gone && ready => {
                call.progress = Progress::Unsure;
                call.due = now.mono + limits::CALL_WAIT;
            }
            Progress::Sent | Progress::Unsure | Progress::Accepted => {
                if let Some(call) = self.take_call(id, number, now) {
                    let error = self.died_error(&call, now);
                    self.respond(id, &call.id, Err(error), now);
                }
            }
        }
    }

    /// The runtime's process may be another when it is there again: it would do once more what it was asked before.
    fn give_up_unsure(&mut self, id: ConnId, now: Now) {
        let Some(member) = self.conns.get(id).and_then(Conn::member) else { return };
        for number in member.outlet.numbers(|call| call.progress == Progress::Unsure) {
            if let Some(call) = self.take_call(id, number, now) {
                let error = self.died_error(&call, now);
                self.respond(id, &call.id, Err(error), now);
            }
        }
    }

    fn rescue_one(&mut self, id: ConnId, number: u64, now: Now) {
        if let Some(call) = self.take_call(id, number, now) {
            if !self.answer_again(id, &call, now) {
                self.answer_here(id, &call, now);
            }
        }
    }

    /// The error for a call that was with the runtime when its leg ended.
    fn died_error(&self, call: &Call, now: Now) -> ErrorShape {
        let what = match call.progress {
            Progress::Accepted => "it was accepted, and what came of it is not known",
            _ => "it may have been executed, look before you repeat it",
        };
        let message = format!(
            "{}: the OpenClaw runtime ended the connection before it answered; {what}",
            call.wire_name()
        );
        ErrorShape::busy(message, crate::clock::millis(self.upstream.runtime.retry_after(now.mono)))
    }

    /// A member is gone: so is its leg.
    pub(in crate::gateway) fn let_go_upstream(&mut self, outlet: &super::outlet::Outlet, now: Now) {
        self.upstream.runtime.count(0, outlet.len(), now.mono);
        if let Some(leg) = outlet.leg.leg() {
            self.close_leg(leg, now);
        }
    }

    /// Ends a leg in good order.
    pub(in crate::gateway) fn close_leg(&mut self, id: ConnId, now: Now) {
        let Some(leg) = self.conns.leg_mut(id) else { return };
        match leg.stage {
            Stage::Closing => return,
            Stage::Dialling | Stage::Asking => return self.leg_over(id, Over::Gone, now),
            Stage::Connecting => self.upstream.opening = self.upstream.opening.saturating_sub(1),
            Stage::Open(_) => {}
        }
        leg.line.close();
        leg.stage = Stage::Closing;
        leg.limit = Some(now.mono + limits::LEG_CLOSING);
        self.settle_leg(id);
    }

    /// The service stops: all legs end.
    pub(in crate::gateway) fn close_legs(&mut self, now: Now) {
        let legs: Vec<ConnId> = self.conns.legs().map(|(id, _)| id).collect();
        for leg in legs {
            self.close_leg(leg, now);
        }
    }

    /// The legs that could go on in another process as they stand.
    pub fn legs_underway(&self) -> Vec<ConnId> {
        self.conns.legs().filter(|(_, leg)| matches!(leg.stage, Stage::Open(_))).map(|(id, _)| id).collect()
    }

    /// The deadline of a leg has passed.
    pub(in crate::gateway) fn expire_leg(&mut self, id: ConnId, now: Now) {
        let Some(leg) = self.conns.leg(id) else { return };
        if leg.limit.is_some_and(|limit| limit <= now.mono) {
            self.leg_over(id, Over::Gone, now);
        }
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
            _ => entry.with(Field::Count, self.upstream.runtime.waiting()).with(Field::Remedy, AWAY_REMEDY),
        };
        self.note(entry, now);
    }
}

/// loopgated itself as a client.
fn own_client() -> Client {
    Client {
        id: "gateway-client".to_owned(),
        mode: "backend".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: PLATFORM.to_owned(),
        display_name: Some("loopgate".to_owned()),
        device_family: None,
        model_identifier: None,
        instance_id: None,
    }
}

/// A client as its leg names it to a runtime of `protocol`. The platform is that of our device: one that changes has to be
/// paired again. The older runtime takes the ids and modes of its own day alone.
fn client_upstream(client: &Client, protocol: Protocol) -> Client {
    let own = own_client();
    let knows = |names: &[&str], name: &str| protocol > Protocol::V3 || names.contains(&name);
    let id =
        if knows(IDS_V3, &client.id) && client.id != BROWSER_COPILOT { client.id.clone() } else { own.id };
    let mode = if knows(MODES_V3, &client.mode) { client.mode.clone() } else { own.mode };
    Client { id, mode, platform: own.platform, device_family: None, model_identifier: None, ..client.clone() }
}

/// Whether a client is a page, which the runtime takes from its own origin alone.
fn claims_page(client: &Client) -> bool {
    matches!(client.id.as_str(), "openclaw-control-ui" | "webchat" | "webchat-ui") || client.mode == "webchat"
}

const PLATFORM: &str = "linux";
/// Asks for more than a leg can show: an extension's origin.
const BROWSER_COPILOT: &str = "openclaw-browser-copilot";
/// The ids and modes that OpenClaw 2026.3.13 takes (protocol-versions.md 3).
const IDS_V3: &[&str] = &[
    "webchat-ui",
    "openclaw-control-ui",
    "webchat",
    "cli",
    "gateway-client",
    "openclaw-macos",
    "openclaw-ios",
    "openclaw-android",
    "node-host",
    "test",
    "fingerprint",
    "openclaw-probe",
];
const MODES_V3: &[&str] = &["webchat", "cli", "ui", "backend", "node", "probe", "test"];
const STRANGER_REMEDY: &str =
    "find out whose process listens at runtime.port (loopgate doctor runtime); nothing was sent to it";
const REFUSES_REMEDY: &str =
    "compare the secrets of the runtime and of loopgated: loopgate doctor secret runtime";
const AWAY_REMEDY: &str =
    "none if it restarts; else look at its own journal: journalctl --user -u openclaw-gateway";
