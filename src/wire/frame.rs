//! The three envelopes: request in, response and event out. Params and payloads pass as raw JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::ErrorShape;

/// A request of a peer, borrowed from the text of its message.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Chosen by the peer, echoed in the response; never empty.
    pub id: Cow<'a, str>,
    /// The method's wire name; never empty.
    pub method: Cow<'a, str>,
    /// The params, unparsed; absent and `null` are both `None`.
    pub params: Option<&'a RawValue>,
}

/// Why a message is not a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// Not a JSON document at all.
    NotJson,
    /// JSON, but not a request frame: what is wrong, and the id to answer under (`invalid` if there is none).
    NotRequest {
        /// The frame's own id, even an empty one, or `invalid`.
        id: String,
        /// In the words of [`super::params`].
        problem: String,
    },
}

/// `stateVersion` of an event: counters of what a client has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StateVersion {
    /// Changes of the presence list.
    pub presence: u64,
    /// Computations of the health snapshot.
    pub health: u64,
}

impl<'a> Request<'a> {
    /// Reads one message. Unknown top-level keys are ignored: newer clients add some (`traceparent`).
    pub fn parse(text: &'a str) -> Result<Self, FrameError> {
        match serde_json::from_str::<Envelope<'a>>(text) {
            Ok(Envelope { kind, id: Some(id), method: Some(method), params })
                if kind.as_deref() == Some("req") && !id.is_empty() && !method.is_empty() =>
            {
                Ok(Self { id, method, params: params.filter(|raw| raw.get() != "null") })
            }
            _ => Err(explain(text)),
        }
    }
}

/// What a server sends, borrowed from the text of its message: we are the client here. Payloads stay raw.
#[derive(Debug, Clone)]
pub enum FromServer<'a> {
    /// An answer.
    Answer(ServerAnswer<'a>),
    /// An event: name, payload, and its number if it is part of the numbered stream.
    Event(&'a str, &'a str, Option<u64>),
}

/// An answer of a server. One that failed late may have both a payload and an error (protocol.md 7).
#[derive(Debug, Clone)]
pub struct ServerAnswer<'a> {
    /// The id of the request.
    pub id: Cow<'a, str>,
    /// Whether it went well.
    pub ok: bool,
    /// The payload as JSON.
    pub payload: Option<&'a str>,
    /// The error as JSON.
    pub error: Option<&'a str>,
}

impl<'a> FromServer<'a> {
    /// Reads one message. `None`: neither an answer nor an event. Unknown keys are ignored.
    pub fn parse(text: &'a str) -> Option<Self> {
        let Served { kind, id, ok, payload, error, event, seq } = serde_json::from_str(text).ok()?;
        let (payload, error) = (payload.map(RawValue::get), error.map(RawValue::get));
        match (&*kind, id, event) {
            ("res", Some(id), _) => {
                Some(Self::Answer(ServerAnswer { id, ok: ok == Some(true), payload, error }))
            }
            ("event", _, Some(name)) => Some(Self::Event(name, payload.unwrap_or("null"), seq)),
            _ => None,
        }
    }
}

/// `{"type":"res",…}` with a payload that is JSON already.
pub fn response(id: &str, payload: &str) -> String {
    format!(r#"{{"type":"res","id":{},"ok":true,"payload":{payload}}}"#, quoted(id))
}

/// `{"type":"res",…}` with an error. Shape it for the peer's protocol first ([`ErrorShape::for_peer`]).
pub fn error_response(id: &str, error: &ErrorShape) -> String {
    format!(r#"{{"type":"res","id":{},"ok":false,"error":{}}}"#, quoted(id), to_json(error))
}

/// `{"type":"event",…}`; `seq` and `state_version` are left out where the protocol leaves them out.
pub fn event(name: &str, payload: &str, seq: Option<u64>, state_version: Option<StateVersion>) -> String {
    let seq = seq.map_or_else(String::new, |seq| format!(r#","seq":{seq}"#));
    let version = state_version.map_or_else(String::new, |v| format!(r#","stateVersion":{}"#, to_json(&v)));
    format!(r#"{{"type":"event","event":"{name}","payload":{payload}{seq}{version}}}"#)
}

/// JSON of a value of our own making. Such values have string keys only, so this cannot fail.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    to_json(text)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Served<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    ok: Option<bool>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    /// Names of events hold nothing that JSON escapes.
    event: Option<&'a str>,
    seq: Option<u64>,
}

/// The slow path: says what is wrong with a message that [`Request::parse`] did not take.
fn explain(text: &str) -> FrameError {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return FrameError::NotJson;
    };
    let id = value.get("id").and_then(|id| id.as_str()).unwrap_or("invalid").to_owned();
    let mut reader = match super::params::Reader::new(&value) {
        Ok(reader) => reader,
        Err(problem) => return FrameError::NotRequest { id, problem },
    };
    reader.require("type");
    reader.required_name("id");
    reader.required_name("method");
    reader.word("type", &["req"]);
    let problem = reader.finish().err().unwrap_or_else(|| "duplicate property".to_owned());
    FrameError::NotRequest { id, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_unknown_keys_are_ignored() {
        let text = r#"{"type":"req","id":"1","method":"health","params":{"probe":true},"traceparent":"x"}"#;
        let request = Request::parse(text).unwrap();
        assert_eq!((&*request.id, &*request.method), ("1", "health"));
        assert_eq!(request.params.unwrap().get(), r#"{"probe":true}"#);
        let null = Request::parse(r#"{"type":"req","id":"1","method":"health","params":null}"#).unwrap();
        assert!(null.params.is_none());
    }

    #[test]
    fn what_is_not_a_request_is_named() {
        assert_eq!(Request::parse("nope").unwrap_err(), FrameError::NotJson);
        let cases = [
            ("[]", "invalid", "must be object"),
            (r#"{"type":"req","method":"m"}"#, "invalid", "must have required property 'id'"),
            (r#"{"type":"req","id":"","method":"m"}"#, "", "at /id: must NOT have fewer than 1 characters"),
            (r#"{"type":"req","id":7,"method":"m"}"#, "invalid", "at /id: must be string"),
            (r#"{"type":"event","id":"a","method":"m"}"#, "a", "at /type: must be one of req"),
            (r#"{"type":"req","id":"a","id":"b","method":"m"}"#, "b", "duplicate property"),
        ];
        for (text, id, problem) in cases {
            let want = FrameError::NotRequest { id: id.to_owned(), problem: problem.to_owned() };
            assert_eq!(Request::parse(text).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn what_a_server_sends_is_read() {
        let text = r#"{"type":"res","id":"7","ok":true,"payload":{"a": [1]},"new":1}"#;
        let Some(FromServer::Answer(answer)) = FromServer::parse(text) else { panic!() };
        assert_eq!(
            (&*answer.id, answer.ok, answer.payload, answer.error),
            ("7", true, Some(r#"{"a": [1]}"#), None)
        );
        let text = r#"{"type":"res","id":"7","ok":false,"error":{"code":"X"}}"#;
        let Some(FromServer::Answer(answer)) = FromServer::parse(text) else { panic!() };
        assert_eq!((answer.ok, answer.payload, answer.error), (false, None, Some(r#"{"code":"X"}"#)));
        let text = r#"{"type":"event","event":"chat","payload":1,"seq":3,"stateVersion":{}}"#;
        assert!(
            matches!(FromServer::parse(text), Some(FromServer::Event(name, "1", Some(3))) if name == "chat")
        );
        for text in
            ["", "{}", r#"{"type":"req","id":"1","method":"m"}"#, r#"{"type":"res"}"#, r#"{"type":"event"}"#]
        {
            assert!(FromServer::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn depth_does_not_overflow() {
        let deep = format!(r#"{{"type":"req","id":"1","method":"m","params":{}}}"#, "[".repeat(100_000));
        assert_eq!(Request::parse(&deep).unwrap_err(), FrameError::NotJson);
    }

    #[test]
    fn frames_out_have_only_the_keys_that_protocol_3_knows() {
        assert_eq!(response("a\"b", "1"), r#"{"type":"res","id":"a\"b","ok":true,"payload":1}"#);
        let version = StateVersion { presence: 1, health: 2 };
        assert_eq!(
            event("presence", "[]", Some(3), Some(version)),
            r#"{"type":"event","event":"presence","payload":[],"seq":3,"stateVersion":{"presence":1,"health":2}}"#
        );
        assert_eq!(event("tick", "{}", None, None), r#"{"type":"event","event":"tick","payload":{}}"#);
    }
}
