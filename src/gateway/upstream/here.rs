//! Answers that the gateway gives itself although a runtime should: natively, or as the runtime gave them last.
//!
//! Rule: such an answer says so. An object gets one more member, `loopgate`, with who answers, how the runtime is and how old
//! the answer is; what is no object has no place for it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kept::Question;
use super::outlet::Call;
use crate::clock::Now;
use crate::gateway::dispatch::{self, Reply};
use crate::gateway::io::ConnId;
use crate::gateway::method::{Answers, Handler, Route};
use crate::gateway::{Conn, Gateway};
use crate::wire::error::{ErrorCode, ErrorShape};

/// What there is to say of an answer that is not the runtime's.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Mark {
    /// The member that is put into the payload.
    text: String,
    /// What the runtime said last, marked as that: for the case that there is no native answer.
    spare: Option<Spare>,
    /// How long whoever gets no answer at all should wait.
    retry_after_ms: u64,
}

/// An answer of the runtime's with its mark.
#[derive(Debug, Clone)]
struct Spare {
    payload: Arc<str>,
    text: String,
}

impl Mark {
    fn new(answered_by: &str, runtime: &str, unix_ms: u64) -> Self {
        Self { text: Self::member(answered_by, runtime, unix_ms), spare: None, retry_after_ms: 0 }
    }

    fn member(answered_by: &str, runtime: &str, unix_ms: u64) -> String {
        let mark = json!({"answeredBy": answered_by, "runtime": runtime, "asOfMs": unix_ms});
        format!(r#""loopgate":{mark}"#)
    }

    /// The answer that a client gets: marked; or the last good one, or an invitation to try again, where what the gateway
    /// knows is not enough.
    fn settle(&self, result: Result<String, ErrorShape>) -> Result<String, ErrorShape> {
        match (result, &self.spare) {
            (Ok(payload), _) => Ok(self.put_into(&payload)),
            (Err(error), Some(spare)) if error.code == ErrorCode::Unavailable => {
                Ok(put_into(&spare.text, &spare.payload))
            }
            (Err(error), None) if error.code == ErrorCode::Unavailable => {
                Err(ErrorShape { retryable: Some(true), retry_after_ms: Some(self.retry_after_ms), ..error })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The payload with the mark in it.
    fn put_into(&self, payload: &str) -> String {
        put_into(&self.text, payload)
    }
}

fn put_into(mark: &str, payload: &str) -> String {
    match payload.trim_start().strip_prefix('{').map(str::trim_start) {
        Some(rest) if rest.starts_with('}') => format!("{{{mark}{rest}"),
        Some(rest) => format!("{{{mark},{rest}"),
        None => payload.to_owned(),
    }
}

impl Gateway {
    /// Answers a call natively, marked.
    pub(super) fn answer_here(&mut self, id: ConnId, call: &Call, now: Now) {
        let Route::UpstreamElseNative(handler, _) = call.method.route else {
            let error = self.overdue_error(call, now);
            return self.respond(id, &call.id, Err(error), now);
        };
        let runtime = self.upstream.runtime.condition().name();
        let kept = self.question(id, call).and_then(|question| self.upstream.kept.find(question));
        let spare = kept.map(|kept| Spare {
            payload: Arc::clone(&kept.payload),
            text: Mark::member("last-good", runtime, kept.unix_ms),
        });
        let retry_after_ms = crate::clock::millis(self.upstream.runtime.retry_after(now.mono));
        let mark = Mark { spare, retry_after_ms, ..Mark::new("loopgate", runtime, now.unix_ms) };
        match self.as_native(id, call, Some(mark), now) {
            Ok(native) => self.handle_call(handler, native),
            Err(error) => self.respond(id, &call.id, Err(error), now),
        }
    }

    /// Takes note of a call natively; the answer is somebody else's.
    pub(super) fn take_note(&mut self, id: ConnId, call: &Call, now: Now) {
        let Route::UpstreamElseNative(Handler::Live(note), _) = call.method.route else { return };
        if let Ok(native) = self.as_native(id, call, None, now) {
            note(self, &native);
        }
    }

    /// Answers a call as the runtime did last, marked, where nothing is known here. False: it never did.
    pub(super) fn answer_again(&mut self, id: ConnId, call: &Call, now: Now) -> bool {
        if call.method.answers != Answers::Kept || !matches!(call.method.route, Route::Upstream) {
            return false;
        }
        let Some(question) = self.question(id, call) else { return false };
        let Some(kept) = self.upstream.kept.find(question) else { return false };
        let mark = Mark::new("last-good", self.upstream.runtime.condition().name(), kept.unix_ms);
        let payload = mark.put_into(&kept.payload);
        self.respond(id, &call.id, Ok(payload), now);
        true
    }

    /// Keeps a good answer for the time when the runtime is away.
    pub(super) fn keep_answer(&mut self, id: ConnId, call: &Call, payload: &str, now: Now) {
        if call.method.answers != Answers::Kept {
            return;
        }
        let Self { conns, upstream, .. } = self;
        if let Some(question) = question(conns.get(id), call) {
            upstream.kept.keep(question, payload, now.unix_ms);
        }
    }

    fn question<'a>(&self, id: ConnId, call: &'a Call) -> Option<Question<'a>> {
        question(self.conns.get(id), call)
    }

    /// The call as a native method sees it.
    fn as_native(
        &self,
        id: ConnId,
        call: &Call,
        mark: Option<Mark>,
        now: Now,
    ) -> Result<dispatch::Call, ErrorShape> {
        let member = self.conns.get(id).and_then(Conn::member);
        let member = member.ok_or_else(|| ErrorShape::invalid("the connection is closing"))?;
        let params = call.params.as_deref().filter(|params| !params.is_empty());
        let params = params.map_or(Ok(Value::Null), serde_json::from_str);
        Ok(dispatch::Call {
            conn: id,
            id: call.id.clone(),
            name: call.method.name,
            params: params.map_err(|_| ErrorShape::invalid("invalid request frame: params nest too deep"))?,
            protocol: member.protocol,
            grant: Arc::clone(&member.grant),
            mark,
            now,
        })
    }
}

impl Gateway {
    /// Answers a call by `handler`.
    pub(in crate::gateway) fn handle_call(&mut self, handler: Handler, call: dispatch::Call) {
        let (id, request, mark, now) = (call.conn, call.id.clone(), call.mark.clone(), call.now);
        let reply = match handler {
            Handler::Live(answer) => answer(self, &call),
            Handler::File(method) => self.read_files(method, call),
        };
        match reply {
            Reply::Payload(payload) => self.respond(id, &request, settled(mark.as_ref(), Ok(payload)), now),
            Reply::Error(error) => self.respond(id, &request, settled(mark.as_ref(), Err(error)), now),
            Reply::Later => {}
        }
    }
}

fn question<'a>(conn: Option<&Conn>, call: &'a Call) -> Option<Question<'a>> {
    let member = conn?.member()?;
    Some(Question {
        method: call.method.name,
        params: call.params.as_deref().unwrap_or_default(),
        scopes: member.grant.scopes(),
        protocol: member.protocol,
    })
}

/// An answer of ours as the client gets it.
pub(in crate::gateway) fn settled(
    mark: Option<&Mark>,
    result: Result<String, ErrorShape>,
) -> Result<String, ErrorShape> {
    match mark {
        Some(mark) => mark.settle(result),
        None => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_marked_and_nothing_else() {
        let mark = Mark::new("loopgate", "away", 5);
        let seen: Value = serde_json::from_str(&mark.put_into(r#" { "a": 1}"#)).unwrap();
        let want = json!({"answeredBy": "loopgate", "runtime": "away", "asOfMs": 5});
        assert_eq!(seen, json!({"a": 1, "loopgate": want}));
        let seen: Value = serde_json::from_str(&mark.put_into("{}")).unwrap();
        assert_eq!(seen, json!({"loopgate": want}));
        for payload in ["[1]", "null", "\"{\""] {
            assert_eq!(mark.put_into(payload), payload);
        }
    }
}
