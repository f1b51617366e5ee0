//! `chat.history`, and for protocol 4 `chat.startup` and `chat.metadata`: what was said in a session.
//!
//! Rule: an answer is bounded three times: each text, each message, and all messages together. What is left out is the
//! oldest, and what is cut says so.

use serde_json::{Value, json};

use crate::gateway::job::Query;
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::params::Reader;

use super::answer::{Answer, checked, counted, invalid, params, say, whole};
use super::sessions::{defaults, info};
use super::store::{self, Found};
use super::transcript::{self, Message};
use super::{keys, models};

/// What part of a chat is wanted.
#[derive(Debug)]
struct Wanted {
    /// As the caller wrote it; it comes back in the answer.
    session_key: String,
    /// At most this many messages.
    limit: usize,
    /// Leave out this many of the newest.
    offset: usize,
    /// Longer texts are cut.
    max_chars: usize,
    /// More JSON than this is left for the next page.
    max_bytes: usize,
    /// The id of a message that the page is to be about.
    around: Option<String>,
    /// The session that the caller believes to be at the key.
    session_id: Option<String>,
    /// Whether the caller wants to go on in a stream.
    cursor: bool,
}

/// The part, bounded.
#[derive(Debug)]
struct Part {
    messages: Vec<Value>,
    /// How many messages were read.
    total: usize,
    /// Where older ones begin, counted from the end; `None` if there are none.
    next_offset: Option<usize>,
    /// Whether the transcript goes further back than it is read.
    cut: bool,
}

/// `chat.history`: the last messages of a session.
pub(in crate::gateway) fn history(query: &Query<'_>) -> Answer {
    let wanted = Wanted::read(query, "chat.history")?;
    if wanted.cursor {
        // A cursor names a place in a stream that only the runtime has; the client starts anew.
        return say(&json!({"kind": "reset"}));
    }
    say(&payload(query, &wanted, "chat.history")?)
}

/// `chat.startup` (protocol 4): the history with what a chat page needs beside it.
pub(in crate::gateway) fn startup(query: &Query<'_>) -> Answer {
    let wanted = Wanted::read(query, "chat.startup")?;
    let mut startup = payload(query, &wanted, "chat.startup")?;
    if let Value::Object(startup) = &mut startup {
        startup.insert("metadata".to_owned(), metadata_of(query));
    }
    say(&startup)
}

/// `chat.metadata` (protocol 4): models and commands. Commands are the runtime's, so there are none.
pub(in crate::gateway) fn metadata(query: &Query<'_>) -> Answer {
    const METHOD: &str = "chat.metadata";
    let mut reader = params(query, METHOD)?;
    reader.name("agentId");
    reader.name("sessionKey");
    checked(reader, METHOD)?;
    say(&metadata_of(query))
}

impl Wanted {
    fn read(query: &Query<'_>, method: &str) -> Result<Self, ErrorShape> {
        let mut reader = params(query, method)?;
        let mut wanted = Self {
            session_key: reader.required_name("sessionKey").trim().to_owned(),
            limit: counted(&mut reader, "limit", limits::HISTORY_MESSAGES),
            offset: 0,
            max_chars: limits::HISTORY_TEXT_CHARS.default,
            max_bytes: limits::HISTORY_BYTES_MAX,
            around: None,
            session_id: None,
            cursor: false,
        };
        if query.protocol == Protocol::V4 {
            wanted.newer(&mut reader);
        }
        checked(reader, method)?;
        if keys::is_malformed(&wanted.session_key) {
            return Err(invalid(method, &format!("malformed session key \"{}\"", wanted.session_key)));
        }
        Ok(wanted)
    }

    /// The params of protocol 4. No input is ever pending here, so those about pending inputs are only checked.
    fn newer(&mut self, reader: &mut Reader<'_>) {
        self.offset = whole(reader, "offset", 0).unwrap_or(0);
        self.max_chars = counted(reader, "maxChars", limits::HISTORY_TEXT_CHARS);
        let bytes = whole(reader, "maxBytes", 1).unwrap_or(limits::HISTORY_BYTES_MAX);
        self.max_bytes = bytes.min(limits::HISTORY_BYTES_MAX);
        self.around = reader.name("messageId").map(str::to_owned);
        self.session_id = reader.name("sessionId").map(str::to_owned);
        self.cursor = reader.text("cursor").is_some();
        reader.name("agentId");
        reader.names("inputRunIds");
        whole(reader, "pendingBefore", 1);
    }
}

/// What `chat.history` and `chat.startup` have in common.
fn payload(query: &Query<'_>, wanted: &Wanted, method: &str) -> Result<Value, ErrorShape> {
    let found = store::find(&query.setup.openclaw, query.files, &wanted.session_key)?;
    if let Some(id) = wanted.session_id.as_deref().filter(|id| found.session_id() != Some(id)) {
        return Err(invalid(method, &format!("sessionId \"{id}\" is not that of the session, leave it out")));
    }
    let part = part(query, wanted, &found)?;
    let mut payload = json!({"sessionKey": wanted.session_key, "messages": part.messages});
    let Value::Object(members) = &mut payload else { return Ok(payload) };
    let config = |key: &str| query.setup.openclaw.resolved.pointer(key).filter(|value| value.is_string());
    let entry = |key: &str| found.entry.get(key).filter(|value| !value.is_null());
    let thinking = entry("thinkingLevel").or_else(|| config("/agents/defaults/thinkingDefault"));
    let verbose = entry("verboseLevel").or_else(|| config("/agents/defaults/verboseDefault"));
    for (key, value) in [
        ("sessionId", entry("sessionId")),
        ("thinkingLevel", thinking),
        ("fastMode", entry("fastMode")),
        ("verboseLevel", verbose),
    ] {
        members.extend(value.map(|value| (key.to_owned(), value.clone())));
    }
    if query.protocol == Protocol::V4 {
        members.insert("pendingInputs".to_owned(), json!({"items": [], "total": 0}));
        members.insert("hasMore".to_owned(), part.next_offset.is_some().into());
        members.extend(part.next_offset.map(|next| ("nextOffset".to_owned(), next.into())));
        members.insert("totalMessages".to_owned(), part.total.into());
        if part.cut {
            members.insert("truncated".to_owned(), true.into());
        }
        members.insert("defaults".to_owned(), defaults(query));
        members.insert("sessionInfo".to_owned(), info(&found, query));
    }
    Ok(payload)
}

/// Reads the end of the transcript and takes the wanted page out of it.
fn part(query: &Query<'_>, wanted: &Wanted, found: &Found) -> Result<Part, ErrorShape> {
    let places = found.transcripts();
    let mut tail = transcript::tail(query.files, &places, limits::TRANSCRIPT_TAIL_BYTES_MAX)?;
    let total = tail.messages.len();
    let end = match &wanted.around {
        Some(id) => around(&tail.messages, id, wanted.limit)?,
        None => total.saturating_sub(wanted.offset),
    };
    tail.messages.truncate(end);
    let start = end.saturating_sub(wanted.limit);
    let mut shown: Vec<(usize, Value)> = tail
        .messages
        .drain(start..)
        .enumerate()
        .filter_map(|(at, message)| Some((start + at, transcript::shown(message.value, wanted.max_chars)?)))
        .map(|(at, message)| (at, small(message, query.now.unix_ms)))
        .collect();
    let left_out = shown.len() - fitting(&shown, wanted.max_bytes);
    shown.drain(..left_out);
    // What the bound left out is still to come.
    let start = shown.first().filter(|_| left_out > 0).map_or(start, |(at, _)| *at);
    let messages = shown.into_iter().map(|(_, message)| message).collect();
    Ok(Part { messages, total, next_offset: (start > 0).then(|| total - start), cut: tail.cut })
}

/// Where a page of `limit` messages ends that has the message `id` in its middle.
fn around(messages: &[Message], id: &str, limit: usize) -> Result<usize, ErrorShape> {
    match messages.iter().position(|message| message.id.as_deref() == Some(id)) {
        Some(at) => Ok((at + 1 + limit / 2).min(messages.len())),
        None => Err(ErrorShape::invalid(format!("message not found: {id}"))),
    }
}

/// The message, or a note in its place if it is too large.
fn small(message: Value, now_ms: u64) -> Value {
    if json_len(&message) <= limits::HISTORY_MESSAGE_BYTES_MAX {
        return message;
    }
    let at = message.get("timestamp").filter(|at| at.is_number()).cloned();
    json!({
        "role": store::text(&message, "role").unwrap_or("assistant"),
        "timestamp": at.unwrap_or_else(|| now_ms.into()),
        "content": [{"type": "text", "text": "[chat.history omitted: message too large]"}],
        "__openclaw": {"truncated": true, "reason": "oversized"},
    })
}

/// How many of the last messages fit into `max` bytes of JSON. The newest is always one of them: without it a client
/// that turns pages would never get on.
fn fitting(messages: &[(usize, Value)], max: usize) -> usize {
    let mut bytes = 2;
    let fitting = messages.iter().rev().take_while(|(_, message)| {
        bytes += json_len(message) + 1;
        bytes <= max
    });
    fitting.count().max(messages.len().min(1))
}

/// The length of a value as JSON, without writing it.
fn json_len(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

/// What a chat page offers beside the messages.
fn metadata_of(query: &Query<'_>) -> Value {
    json!({
        "models": models::configured(query),
        "commands": [],
        "swarmEnabled": false,
        "runtimeSelectionLocked": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_messages_stay() {
        let messages: Vec<(usize, Value)> = (0..5).map(|n| (n, json!({"n": n}))).collect();
        let len = json_len(&messages[0].1);
        assert_eq!(len, messages[0].1.to_string().len());
        assert_eq!(fitting(&messages, 2 + 2 * (len + 1)), 2);
        assert_eq!(fitting(&messages, 1 + 2 * (len + 1)), 1);
        assert_eq!(fitting(&messages, 0), 1);
        assert_eq!(fitting(&messages, usize::MAX), 5);
        assert_eq!(fitting(&[], 9), 0);
    }

    #[test]
    fn a_large_message_becomes_a_note() {
        let fits = |text: usize| {
            let message = json!({"content": "x".repeat(text), "role": "user", "timestamp": 7});
            small(message, 9).get("__openclaw").is_none()
        };
        let overhead = json_len(&json!({"content": "", "role": "user", "timestamp": 7}));
        assert!(fits(limits::HISTORY_MESSAGE_BYTES_MAX - overhead));
        assert!(!fits(limits::HISTORY_MESSAGE_BYTES_MAX - overhead + 1));
        let note = small(json!({"role": "user", "content": "x".repeat(200_000)}), 9);
        assert_eq!(note["role"], "user");
        assert_eq!(note["timestamp"], 9);
        assert_eq!(note["__openclaw"]["reason"], "oversized");
    }
}
