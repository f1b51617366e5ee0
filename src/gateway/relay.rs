//! HTTP requests that pass to the runtime: who may, over which connection, and what is said when the runtime does not.
//!
//! Rule: one request of one client has one pipe, a connection of ours to the runtime, and both end together. Not a byte
//! goes into a pipe before the kernel has told that an owner is at its other end (S28). What passes between the two is
//! the session's business ([`crate::session::Session::relay`]); here is whose turn it is.

use super::io::{ConnId, Input, Output};
use super::lifecycle::refusal_fields;
use super::upstream::runtime::Condition;
use super::upstream::{AWAY_REMEDY, BARRED_REMEDY, STRANGER_REMEDY};
use super::{Gateway, Stage};
use crate::clock::Now;
use crate::config::gateway::AuthMode;
use crate::journal::{Entry, Field, Kind};
use crate::limits;
use crate::policy::credential::Mode;
use crate::policy::facts::PeerClass;
use crate::policy::passage::{self, Bearer, Pass, PassageRow, Request};
use crate::policy::penalty::Source;
use crate::policy::secret::Digest;
use crate::policy::surroundings::Surroundings;
use crate::policy::target::Path;
use crate::session::{Authorization, Head, HttpAnswer};
use crate::wire::frame;
use crate::wire::refusal::Refusal;

/// What is known of a request that passes.
pub(super) struct Relaying {
    /// Its pipe.
    pub(super) pipe: ConnId,
    asked: Asked,
    /// The class of its path.
    row: &'static PassageRow,
    /// The credential that it was let through with.
    used: Option<Digest>,
}

/// What is told of a request.
struct Asked {
    method: String,
    /// Without the query, and without what may be a secret.
    path: String,
    /// The name of its class.
    class: &'static str,
    /// Whether a page may be the answer.
    page: bool,
}

/// A connection to the runtime that serves one request.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Whose request it is.
    client: ConnId,
    /// The runtime's owner was checked.
    open: bool,
    /// Whether the shell knows that there is something to write.
    flushing: bool,
    /// The runtime was told that nothing more will come.
    ended: bool,
}

impl Gateway {
    // -- the way in --

    /// A request that is not for us. False: there is no runtime, or it asks for a WebSocket of our own protocol.
    pub(super) fn pass_http(&mut self, id: ConnId, head: &Head, about: &Surroundings, now: Now) -> bool {
        if self.setup.settings.runtime_port.is_none() {
            return false;
        }
        let (path, upgrade) = match (Path::of(head.target()), head.is_upgrade()) {
            (Ok(path), upgrade) => (path, upgrade),
            // Under a path that nobody can name there is no socket but ours.
            (Err(_), true) => return false,
            (Err(problem), false) => {
                let reason = format!("ambiguous path: {}", problem.0);
                let refusal = Refusal::new("path-ambiguous", reason, PATH_REMEDY).with_status(400);
                self.refuse(id, &refusal, now);
                return true;
            }
        };
        let Some(row) = PassageRow::of(path, upgrade, self.gate.hooks.as_deref()) else { return false };
        match self.may_pass(id, row, (head, about), now) {
            Some(Ok(pass)) => self.begin_relay(id, head, (Asked::of(head, path, row), row, pass), now),
            Some(Err(refusal)) => {
                self.turn_back(id, &Asked::of(head, path, row), (Kind::Refuse, &refusal), now);
            }
            None => {}
        }
        true
    }

    /// Gathers the facts and asks for the verdict. `None`: the connection is gone.
    fn may_pass(
        &mut self,
        id: ConnId,
        row: &'static PassageRow,
        (head, about): (&Head, &Surroundings),
        now: Now,
    ) -> Option<Result<Pass, Refusal>> {
        let peer = self.peer_class(self.conns.get(id)?);
        let source = Source::of(peer, about);
        let request = Request {
            peer,
            surroundings: about,
            method: head.method(),
            site: head.values("sec-fetch-site").next(),
            upgrade: head.is_upgrade(),
            open: self.gate.mode == Mode::None,
        };
        let looked_at = row.access.asks_for_credential() && !matches!(peer, PeerClass::Other(_));
        let bearer = if looked_at { self.bearer(head, &source, now) } else { Bearer::Absent };
        Some(passage::decide(row, &request, bearer).map_err(|denial| {
            if denial.counts {
                self.count_failure(id, &source, now);
            }
            denial.refusal
        }))
    }

    /// What the credential of a request is worth, if there is one and any is asked for.
    fn bearer(&mut self, head: &Head, source: &Source, now: Now) -> Bearer {
        let Some(token) = head.bearer().filter(|_| self.gate.mode != Mode::None) else {
            return Bearer::Absent;
        };
        if let Some(left) = self.penalties.locked(source, now) {
            return Bearer::Locked(left);
        }
        let bearer = self.opened_by(Digest::of(token), now);
        if matches!(bearer, Bearer::Opens(_)) {
            self.penalties.succeeded(source);
        }
        bearer
    }

    fn opened_by(&self, token: Digest, now: Now) -> Bearer {
        Bearer::of(token, &self.gate.mode, self.gate.ceiling, self.pairing.held_by_operators(now))
    }

    /// After a change of the configuration or of the pairing store: a request ends that was let through with what opens
    /// nothing any more (S23).
    pub(super) fn recheck_relay(&mut self, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get(id) else { return };
        let Stage::Relaying(relaying) = &conn.stage else { return };
        let stranger = matches!(self.peer_class(conn), PeerClass::Other(_));
        let opens = |used| matches!(self.opened_by(used, now), Bearer::Opens(scopes) if scopes.covers(relaying.row.need));
        let barred = stranger && relaying.row.access.asks_for_credential();
        if barred || relaying.used.is_some_and(|used| !opens(used)) {
            self.refuse(id, &passage::gone(), now);
        }
    }

    /// The same for all.
    pub(super) fn recheck_relays(&mut self, now: Now) {
        for id in self.conns.ids() {
            self.recheck_relay(id, now);
        }
    }

    /// Opens the pipe of a request that may pass.
    fn begin_relay(
        &mut self,
        id: ConnId,
        head: &Head,
        (asked, row, pass): (Asked, &'static PassageRow, Pass),
        now: Now,
    ) {
        if let Some(refusal) = self.no_way() {
            return self.turn_back(id, &asked, (Kind::RelayFailed, &refusal), now);
        }
        let Some(port) = self.setup.settings.runtime_port else { return };
        let auth = &self.setup.openclaw.gateway.auth;
        let secret = match auth.mode {
            AuthMode::None => None,
            AuthMode::Token => auth.token.set(),
            AuthMode::Password => auth.password.set(),
        };
        let authorization = match (pass, secret) {
            (Pass::AsItCame, _) => Authorization::Keep,
            (Pass::WithSecret, Some(secret)) => Authorization::Replace(secret.reveal()),
            (Pass::Bare, _) | (Pass::WithSecret, None) => Authorization::Drop,
        };
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Err(refusal) = conn.session.relay(head, authorization, now) {
            return self.refuse(id, &refusal, now);
        }
        let pipe =
            self.conns.insert_pipe(|_| Pipe { client: id, open: false, flushing: false, ended: false });
        self.arriving = self.arriving.saturating_sub(1);
        if let Some(conn) = self.conns.get_mut(id) {
            let used = head.bearer().filter(|_| pass == Pass::WithSecret).map(Digest::of);
            conn.stage = Stage::Relaying(Box::new(Relaying { pipe, asked, row, used }));
            let entry = conn.entry(Kind::Relay, now);
            self.ledger.note(entry, now);
        }
        self.outputs.push_back(Output::Dial { conn: pipe, port });
        self.settle(id);
    }

    /// Why no request can pass at all at this moment. Whether a runtime is there that was not seen yet, or has gone, the
    /// kernel tells at once; one that starts, or does not let our legs in, answers requests for itself.
    fn no_way(&self) -> Option<Refusal> {
        if self.conns.pipes() >= limits::RELAYS_MAX {
            let reason = "too many requests pass to the runtime at once";
            return Some(Refusal::new("relays-full", reason, FULL_REMEDY).with_status(503));
        }
        let stalled = self.upstream.runtime.condition() == Condition::Stalled;
        stalled.then(|| away("the OpenClaw runtime does not answer"))
    }

    // -- what a pipe tells --

    /// Takes what concerns a pipe; gives back what does not.
    pub(super) fn pipe_input<'a>(&mut self, input: Input<'a>, now: Now) -> Option<Input<'a>> {
        let (Input::Bytes { conn: pipe, .. }
        | Input::Eof { conn: pipe }
        | Input::Lost { conn: pipe }
        | Input::Sent { conn: pipe, .. }
        | Input::Dialled { conn: pipe, .. }
        | Input::Barred { conn: pipe, .. }) = input
        else {
            return Some(input);
        };
        let Some(client) = self.conns.pipe(pipe).map(|pipe| pipe.client) else { return Some(input) };
        let conn = self.conns.get_mut(client)?;
        match input {
            Input::Bytes { bytes, .. } => conn.session.relay_give(bytes, now),
            Input::Sent { bytes, .. } => conn.session.relay_sent(bytes, now),
            Input::Dialled { owner, .. } => self.pipe_dialled(client, pipe, owner, now),
            Input::Barred { .. } => self.pipe_barred(client, now),
            _ => self.pipe_ended(client, now),
        }
        if let (Input::Sent { .. }, Some(pipe)) = (&input, self.conns.pipe_mut(pipe)) {
            pipe.flushing = false;
        }
        self.advance(client, now);
        None
    }

    fn pipe_dialled(&mut self, client: ConnId, pipe: ConnId, owner: u32, now: Now) {
        if !self.may_have_secrets(owner) {
            let reason = "the port of the OpenClaw runtime belongs to another user";
            let refusal = Refusal::new("runtime-stranger", reason, STRANGER_REMEDY).with_status(503);
            return self.fail_relay(client, &refusal, now);
        }
        if let Some(pipe) = self.conns.pipe_mut(pipe) {
            pipe.open = true;
        }
        if let Some(conn) = self.conns.get_mut(client) {
            conn.session.relay_reached(now);
        }
    }

    fn pipe_barred(&mut self, client: ConnId, now: Now) {
        let reason = "this service is not allowed to connect to the OpenClaw runtime";
        let refusal = Refusal::new("runtime-barred", reason, BARRED_REMEDY).with_status(503);
        self.fail_relay(client, &refusal, now);
    }

    /// Whether a runtime of this user may have what we know. Root could read it where it lies.
    pub(super) fn may_have_secrets(&self, owner: u32) -> bool {
        owner == 0 || self.setup.owners.contains(&owner)
    }

    /// The runtime said all, or it is gone.
    fn pipe_ended(&mut self, client: ConnId, now: Now) {
        let Some(conn) = self.conns.get_mut(client) else { return };
        if conn.session.relay_begun() {
            conn.session.relay_end(now);
            return self.leave(client, now);
        }
        let Some(conn) = self.conns.get(client) else { return };
        let open = matches!(&conn.stage, Stage::Relaying(relaying) if self.conns.pipe(relaying.pipe).is_some_and(|pipe| pipe.open));
        let refusal = if open {
            let reason = "the OpenClaw runtime ended the connection before it answered";
            Refusal::new("runtime-ended", reason, AWAY_REMEDY).with_status(503)
        } else {
            away("the OpenClaw runtime is away")
        };
        self.fail_relay(client, &refusal, now);
    }

    // -- what the shell asks and is told --

    /// The unsent bytes of a pipe.
    pub(super) fn pipe_outgoing(&self, pipe: ConnId) -> &[u8] {
        let conn = self.conns.pipe(pipe).and_then(|pipe| self.conns.get(pipe.client));
        conn.map_or(&[], |conn| conn.session.relay_outgoing())
    }

    /// Whether a pipe should be read now.
    pub(super) fn pipe_wants_read(&self, pipe: ConnId) -> bool {
        let pipe = self.conns.pipe(pipe).filter(|pipe| pipe.open);
        pipe.and_then(|pipe| self.conns.get(pipe.client)).is_some_and(|conn| conn.session.relay_wants_read())
    }

    /// Tells the shell what there is to do for the pipe of a client.
    pub(super) fn settle_pipe(&mut self, client: ConnId) {
        let Some(Stage::Relaying(relaying)) = self.conns.get(client).map(|conn| &conn.stage) else { return };
        let id = relaying.pipe;
        let session = self.conns.get(client).map(|conn| &conn.session);
        let owed = session.is_some_and(|session| !session.relay_outgoing().is_empty());
        let said_all = session.is_some_and(crate::session::Session::relay_said_all);
        let Some(pipe) = self.conns.pipe_mut(id) else { return };
        if owed && !pipe.flushing {
            pipe.flushing = true;
            self.outputs.push_back(Output::Flush(id));
        }
        if said_all && !pipe.ended {
            pipe.ended = true;
            self.outputs.push_back(Output::HalfClose(id));
        }
    }

    /// A client has left: so does its pipe.
    pub(super) fn drop_pipe(&mut self, pipe: ConnId) {
        if self.conns.remove_pipe(pipe).is_some() {
            self.outputs.push_back(Output::Close(pipe));
        }
    }

    /// The runtime was not reached in time, or did not answer: the client hears so in a form that it can show.
    pub(super) fn expire_relay(&mut self, id: ConnId, now: Now) {
        let Some(conn) = self.conns.get(id).filter(|conn| matches!(conn.stage, Stage::Relaying(_))) else {
            return;
        };
        if let Some(refusal) = conn.session.overdue(now).filter(|refusal| refusal.status >= 500) {
            self.fail_relay(id, &refusal, now);
        }
    }

    // -- no answer of the runtime's --

    /// A request that passes gets no answer, or no whole one.
    fn fail_relay(&mut self, id: ConnId, refusal: &Refusal, now: Now) {
        let Some(conn) = self.conns.get(id) else { return };
        let Stage::Relaying(relaying) = &conn.stage else { return };
        let (answer, entry) = (relaying.asked.answer(refusal), conn.entry(Kind::RelayFailed, now));
        self.end_with(id, &answer, (entry, refusal), now);
    }

    /// A request that does not pass is answered here.
    fn turn_back(&mut self, id: ConnId, asked: &Asked, (kind, refusal): (Kind, &Refusal), now: Now) {
        let Some(conn) = self.conns.get(id) else { return };
        let entry = asked.describe(conn.entry(kind, now));
        self.end_with(id, &asked.answer(refusal), (entry, refusal), now);
    }

    /// Answers, or cuts off an answer that has begun, and journals why.
    fn end_with(&mut self, id: ConnId, answer: &HttpAnswer, (entry, refusal): (Entry, &Refusal), now: Now) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.session.answer(answer, now);
        conn.session.refuse(refusal, now);
        self.note(refusal_fields(entry, refusal.status, refusal), now);
        self.leave(id, now);
        self.settle(id);
    }
}

impl Relaying {
    /// An entry with what is told of the request.
    pub(super) fn describe(&self, entry: Entry) -> Entry {
        self.asked.describe(entry)
    }
}

impl Asked {
    fn of(head: &Head, path: Path<'_>, row: &PassageRow) -> Self {
        let page = head.values("accept").any(|kinds| kinds.contains("text/html"));
        Self { method: head.method().to_owned(), path: path.to_string(), class: row.name, page }
    }

    /// An entry with what is told of it. Where a refusal decided, its rule comes in the place of the class.
    fn describe(&self, entry: Entry) -> Entry {
        entry
            .with(Field::Method, self.method.clone())
            .with(Field::Path, self.path.clone())
            .with(Field::Rule, self.class)
    }

    /// What the client is told in the runtime's place: a page that asks again by itself, or JSON in the runtime's form.
    fn answer(&self, refusal: &Refusal) -> HttpAnswer {
        let again = refusal.status >= 500;
        let (kind, body) =
            if self.page { ("text/html", page(refusal, again)) } else { ("application/json", json(refusal)) };
        let mut headers = vec![
            ("Content-Type", format!("{kind}; charset=utf-8").into()),
            ("Cache-Control", "no-store".into()),
        ];
        if again {
            headers.push(("Retry-After", limits::RELAY_RETRY.as_secs().to_string().into()));
        }
        HttpAnswer { status: refusal.status, headers, body: body.into_bytes().into() }
    }
}

fn away(reason: &'static str) -> Refusal {
    Refusal::new("runtime-away", reason, AWAY_REMEDY).with_status(503)
}

fn page(refusal: &Refusal, again: bool) -> String {
    let refresh = if again {
        format!("<meta http-equiv=refresh content={}>", limits::RELAY_RETRY.as_secs())
    } else {
        String::new()
    };
    // The reasons are our own words; a path or a method never stands in them.
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">{refresh}\
         <title>loopgate</title><style>body{{font:16px/1.5 system-ui;max-width:40em;margin:4em auto;padding:0 1em}}\
         code{{background:#8882;padding:.1em .3em}}</style><h1>{}</h1><p>{}</p>\
         <p>Look at <code>loopgate status</code> and <code>journalctl -u loopgate</code>.</p></html>",
        refusal.status,
        if again {
            format!("{}. This page asks again by itself.", refusal.reason)
        } else {
            refusal.reason.to_string()
        }
    )
}

fn json(refusal: &Refusal) -> String {
    let kind = match refusal.status {
        401 => "unauthorized",
        429 => "rate_limited",
        403 | 405 => "forbidden",
        _ => "unavailable",
    };
    frame::to_json(&serde_json::json!({"error": {"message": refusal.reason, "type": kind}}))
}

const PATH_REMEDY: &str = "write the path plainly: no dot segments, no doubled or encoded slashes";
const FULL_REMEDY: &str = "look at PEER_UID for whose programs hold so many requests open";
