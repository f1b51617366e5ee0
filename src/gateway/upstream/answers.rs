//! What comes from the runtime: answers to their calls, events to those who may hear them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::adapt::{self, Between, Told};
use super::introduce::Fault;
use super::leg::Purpose;
use super::outlet::{Call, Progress};
use crate::clock::Now;
use crate::gateway::broadcast::News;
use crate::gateway::event::{Event, Source};
use crate::gateway::io::ConnId;
use crate::gateway::method::{Answers, Fallback, Route};
use crate::gateway::{Conn, Gateway};
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::frame::{self, FromServer, ServerAnswer};

impl Gateway {
    /// A message of an open leg.
    pub(super) fn hear_runtime(
        &mut self,
        purpose: Purpose,
        protocol: Protocol,
        message: FromServer<'_>,
        now: Now,
    ) {
        match (purpose, message) {
            (Purpose::Sentinel, FromServer::Answer(answer)) => self.hear_pending_nodes(&answer),
            // The runtime waits for somebody to approve what a node offers.
            (Purpose::Sentinel, FromServer::Event("node.pair.requested", ..)) => self.ask_pending_nodes(),
            (Purpose::Sentinel, _) => {}
            (Purpose::Member(id), FromServer::Answer(answer)) => self.hear_answer(id, protocol, &answer, now),
            (Purpose::Member(id), FromServer::Event(name, payload, seq)) => {
                let Some(event) = Event::find(name).filter(|event| event.source != Source::Native) else {
                    return;
                };
                let changed = match self.heard(id, event, payload, protocol) {
                    Told::AsItIs => None,
                    Told::Changed(changed) => Some(changed),
                    Told::Nothing => return,
                };
                let payload = changed.as_deref().unwrap_or(payload);
                let news = News::new(event.name, payload);
                match (seq, event.name) {
                    // What is told to one client alone has no number.
                    (None, name) => self.tell(id, name, payload, now),
                    (_, "health") => self.publish_upstream(id, news.with_version(self.state_version()), now),
                    _ => self.publish_upstream(id, news, now),
                }
            }
        }
    }

    /// An event in the words of the member's protocol.
    fn heard(&self, id: ConnId, event: &Event, payload: &str, runtime: Protocol) -> Told {
        let client = self.conns.get(id).and_then(Conn::member).map(|member| member.protocol);
        client.map_or(Told::Nothing, |client| adapt::event(event.name, payload, Between { client, runtime }))
    }

    fn hear_answer(&mut self, id: ConnId, protocol: Protocol, answer: &ServerAnswer<'_>, now: Now) {
        // A number of ours that has no call any more was answered without the runtime.
        let Ok(number) = answer.id.parse() else { return };
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        let own = member.protocol;
        let Some(call) = member.outlet.get_mut(number) else { return };
        if call.method.answers == Answers::Twice && call.progress.is_sent() && is_first(answer) {
            call.progress = Progress::Accepted;
            let request = call.id.clone();
            return self.pass_back(id, &request, answer, now);
        }
        let Some(call) = self.take_call(id, number, now) else { return };
        let between = Between { client: own, runtime: protocol };
        let changed = answer.payload.filter(|_| answer.ok);
        let changed = changed.and_then(|payload| adapt::payload(call.method.name, payload, between));
        let answer = &ServerAnswer { payload: changed.as_deref().or(answer.payload), ..answer.clone() };
        let unknown = !answer.ok && is_unknown(&call, answer, between);
        if !answer.ok && is_restarting(answer) && (call.may_be_read_here() || call.params.is_some()) {
            return self.take_back(id, call, now);
        }
        match answer.payload {
            Some(payload) if answer.ok => self.keep_answer(id, &call, payload, now),
            // An older runtime; what clients of a newer one ask for is known here.
            _ if unknown && call.may_be_unknown() => return self.answer_here(id, &call, now),
            _ => {}
        }
        if let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) {
            member.owed = member.owed.saturating_sub(1);
        }
        match answer.error {
            Some(_) if unknown => {
                let error = ErrorShape::invalid(format!("unknown method: {}", call.wire_name()));
                let error = frame::to_json(&error.for_peer(own));
                self.pass_back(id, &call.id, &ServerAnswer { error: Some(&error), ..answer.clone() }, now);
            }
            Some(error) if own != protocol => {
                let error = reshaped(error, own);
                self.pass_back(id, &call.id, &ServerAnswer { error: Some(&error), ..answer.clone() }, now);
            }
            _ => self.pass_back(id, &call.id, answer, now),
        }
        self.settle(id);
    }

    /// The runtime has not done a call because it restarts: it is answered here, or waits for the runtime that comes.
    fn take_back(&mut self, id: ConnId, call: Call, now: Now) {
        if call.may_be_read_here() {
            return self.answer_here(id, &call, now);
        }
        if let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) {
            member.outlet.add(Call { progress: Progress::Parked, ..call });
            self.upstream.runtime.count(1, 0, now.mono);
        }
        self.settle(id);
    }

    /// An answer as it is, under the client's own id; what it says is copied once.
    fn pass_back(&mut self, id: ConnId, request: &str, answer: &ServerAnswer<'_>, now: Now) {
        let request = frame::quoted(request);
        let ok = if answer.ok { r#","ok":true"# } else { r#","ok":false"# };
        let mut pieces = vec![r#"{"type":"res","id":"#, &request, ok];
        if let Some(payload) = answer.payload {
            pieces.extend([r#","payload":"#, payload]);
        }
        if let Some(error) = answer.error {
            pieces.extend([r#","error":"#, error]);
        }
        pieces.push("}");
        self.send_pieces(id, &pieces, now);
    }
}

impl Call {
    /// Whether there is an answer of ours where the runtime does not know the method.
    fn may_be_unknown(&self) -> bool {
        matches!(self.method.route, Route::UpstreamElseNative(_, fallback) if fallback != Fallback::Never)
    }
}

/// Whether another answer follows: only of those that have two, and only the first says `accepted`.
fn is_first(answer: &ServerAnswer<'_>) -> bool {
    #[derive(Deserialize)]
    struct Status<'a> {
        #[serde(borrow)]
        status: Option<Cow<'a, str>>,
    }
    let status = answer.payload.and_then(|payload| serde_json::from_str::<Status<'_>>(payload).ok());
    answer.ok && status.and_then(|peek| peek.status).as_deref() == Some("accepted")
}

/// Whether the runtime has refused a call because it ends, or is not ready yet (2026.9.6).
fn is_restarting(answer: &ServerAnswer<'_>) -> bool {
    let fault = answer.error.and_then(|error| serde_json::from_str::<Fault>(error).ok());
    fault.is_some_and(|fault| {
        let reason = fault.details.unwrap_or_default().reason;
        fault.code == "UNAVAILABLE" && fault.retryable && RESTARTING.contains(&&*reason)
    })
}

fn is_unknown(call: &Call, answer: &ServerAnswer<'_>, between: Between) -> bool {
    let fault = answer.error.and_then(|error| serde_json::from_str::<Fault>(error).ok());
    fault.is_some_and(|fault| adapt::is_unknown(call.method.name, &fault.message, between))
}

/// An error of the runtime in the shape of another protocol: the keys alone that the older one knows, and no code that it
/// does not.
fn reshaped(error: &str, own: Protocol) -> String {
    let Ok(Value::Object(mut error)) = serde_json::from_str(error) else { return error.to_owned() };
    error.retain(|key, _| ERROR_KEYS.contains(&key.as_str()));
    if own == Protocol::V3 && error.get("code").and_then(Value::as_str) == Some("FORBIDDEN") {
        error.insert("code".to_owned(), "INVALID_REQUEST".into());
        error.remove("details");
    }
    frame::to_json(&error)
}

/// `details.reason` of a runtime that ends or starts: it has not begun the call.
const RESTARTING: &[&str] = &["gateway-restarting", "startup-sidecars"];
/// All that protocol 3 clients accept (protocol-versions.md 3).
const ERROR_KEYS: &[&str] = &["code", "message", "details", "retryable", "retryAfterMs"];
