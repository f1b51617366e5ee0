//! Transcripts: one JSON object a line, the newest last. Facts from OpenClaw 2026.3.13.
//!
//! Rule: only the end of a transcript is read, so that a long one costs no more than its bound. A line that is cut at
//! the beginning of what was read is left out, and so is one that is no JSON: the runtime may be writing it.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::gateway::io::{FileError, Files};

use super::answer::Unreadable;
use super::date;
use super::store;
use super::text;

/// A message with the id of its line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    /// The line's `id`.
    pub(super) id: Option<String>,
    /// `message` of the line.
    pub(super) value: Value,
}

/// The end of a transcript.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Its messages, oldest first.
    pub(super) messages: Vec<Message>,
    /// Whether there is more before them.
    pub(super) cut: bool,
}

/// The messages in the last `bytes` bytes of the first of `places` that exists; none if none does.
pub(super) fn tail(files: &dyn Files, places: &[PathBuf], bytes: u64) -> Result<Tail, Unreadable> {
    for path in places {
        // One byte more tells whether the first line is whole.
        match files.read_tail(path, bytes.saturating_add(1)) {
            Ok((read, size)) => {
                let cut = size > bytes;
                let lines = if cut { whole_lines(&read) } else { &read };
                return Ok(Tail { messages: messages(lines), cut });
            }
            Err(FileError::Missing) => {}
            Err(error) => return Err(Unreadable::new(path, error)),
        }
    }
    Ok(Tail::default())
}

/// The first thing a person said in the first `bytes` bytes of a transcript.
pub(super) fn first_user_text(files: &dyn Files, places: &[PathBuf], bytes: u64) -> Option<String> {
    let (read, _) = places.iter().find_map(|path| files.read_range(path, 0, bytes).ok())?;
    messages(&read).iter().take(TITLE_LINES_MAX).find_map(|message| {
        let is_user = store::text(&message.value, "role") == Some("user");
        let is_agent =
            message.value.pointer("/provenance/kind").and_then(Value::as_str) == Some("inter_session");
        if is_user && !is_agent { first_text(&message.value) } else { None }
    })
}

/// The last thing that somebody said in the last `bytes` bytes of a transcript.
pub(super) fn last_text(files: &dyn Files, places: &[PathBuf], bytes: u64) -> Option<String> {
    let tail = tail(files, places, bytes).ok()?;
    tail.messages.iter().rev().take(LAST_LINES_MAX).find_map(|message| {
        matches!(store::text(&message.value, "role"), Some("user" | "assistant"))
            .then(|| first_text(&message.value))
            .flatten()
    })
}

/// A message as one line of a preview: `{role, text}`; `None` if it shows nothing.
pub(super) fn preview(message: &Value, max_chars: usize) -> Option<Value> {
    let calls = tool_names(message);
    let role = match store::text(message, "role").unwrap_or_default().to_lowercase().as_str() {
        _ if !calls.is_empty() => "tool",
        "user" => "user",
        "assistant" => "assistant",
        "system" => "system",
        "tool" => "tool",
        _ => "other",
    };
    let shown = all_text(message).or_else(|| called(&calls)).or_else(|| medium(message))?;
    let shown = shown.trim();
    let shown = if role == "user" { text::without_envelope(shown) } else { shown.into() };
    (!shown.is_empty()).then(|| json!({"role": role, "text": text::shortened(&shown, max_chars)}))
}

/// A message as `chat.history` shows it; `None` for an answer that says nothing. Texts longer than `max_chars` are
/// cut; pictures, signatures, details and the costs of others than the assistant are left out.
pub(super) fn shown(message: Value, max_chars: usize) -> Option<Value> {
    let Value::Object(mut message) = message else { return None };
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    message.remove("details");
    for (key, known) in [("usage", USAGE), ("cost", &["total"])] {
        let kept =
            message.remove(key).filter(|_| role == "assistant").and_then(|value| numbers(&value, known));
        if let Some(kept) = kept {
            message.insert(key.to_owned(), kept);
        }
    }
    let clean = |text: &str| clean_text(text, role == "user", max_chars);
    for key in ["content", "text"] {
        if let Some(Value::String(text)) = message.get_mut(key) {
            *text = clean(text);
        }
    }
    if let Some(Value::Array(blocks)) = message.get_mut("content") {
        blocks
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(|block| clean_block(block, &clean, max_chars));
    }
    let message = Value::Object(message);
    let silent = role == "assistant" && plain_text(&message).is_some_and(|text| text::is_silent(&text));
    (!silent).then_some(message)
}

/// The messages of whole lines.
fn messages(bytes: &[u8]) -> Vec<Message> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(message)
        .collect()
}

/// `message` of a line. A compaction leaves a mark of its own, so that a reader sees that something is missing.
fn message(mut line: Value) -> Option<Message> {
    let id = store::text(&line, "id").map(str::to_owned);
    let value = line.get_mut("message").map(Value::take).filter(Value::is_object);
    if let Some(value) = value {
        return Some(Message { id, value });
    }
    if line.get("type").and_then(Value::as_str) != Some("compaction") {
        return None;
    }
    let at = line.get("timestamp").and_then(Value::as_str).and_then(date::parse_iso);
    let value = json!({
        "role": "system",
        "content": [{"type": "text", "text": "Compaction"}],
        "timestamp": at,
        "__openclaw": {"kind": "compaction", "id": id},
    });
    Some(Message { id, value })
}

/// What follows the first line break.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => bytes.get(end + 1..).unwrap_or_default(),
        None => &[],
    }
}

/// A text for people: without what was meant for the channel, and cut.
fn clean_text(text: &str, is_user: bool, max_chars: usize) -> String {
    let text = if is_user { text::without_envelope(text) } else { text.into() };
    text::truncated(&text::without_marks(&text), max_chars).into_owned()
}

/// A part of a message for people. The bytes of a picture are left out, their number stays.
fn clean_block(block: &mut Map<String, Value>, clean: &dyn Fn(&str) -> String, max_chars: usize) {
    if let Some(Value::String(text)) = block.get_mut("text") {
        *text = clean(text);
    }
    for key in ["partialJson", "arguments", "thinking"] {
        if let Some(Value::String(text)) = block.get_mut(key) {
            *text = text::truncated(text, max_chars).into_owned();
        }
    }
    block.remove("thinkingSignature");
    if block.get("type").and_then(Value::as_str) == Some("image") {
        if let Some(Value::String(data)) = block.remove("data") {
            block.insert("omitted".to_owned(), true.into());
            block.insert("bytes".to_owned(), data.len().into());
        }
    }
}

/// The members of an object that are numbers and known; `None` if there are none.
fn numbers(value: &Value, known: &[&str]) -> Option<Value> {
    let mut kept = Map::new();
    for key in known {
        if let Some(number) = value.get(key).filter(|number| number.is_number()) {
            kept.insert((*key).to_owned(), number.clone());
        }
    }
    if let Some(total) = value.pointer("/cost/total").filter(|total| total.is_number()) {
        kept.insert("cost".to_owned(), json!({"total": total}));
    }
    (!kept.is_empty()).then_some(Value::Object(kept))
}

/// The text of a message that is nothing but text.
fn plain_text(message: &Value) -> Option<String> {
    if let Some(text) = message.get("text").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    match message.get("content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) if !blocks.is_empty() => {
            let texts: Option<Vec<&str>> = blocks
                .iter()
                .map(|block| {
                    block
                        .get("text")
                        .filter(|_| block.get("type") == Some(&json!("text")))
                        .and_then(Value::as_str)
                })
                .collect();
            texts.map(|texts| texts.join("\n"))
        }
        _ => None,
    }
}

/// The first text in a message.
fn first_text(message: &Value) -> Option<String> {
    let is_user = store::text(message, "role") == Some("user");
    let clean = |text: &str| {
        let text = if is_user { text::without_envelope(text) } else { text.into() };
        let text = text::without_marks(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    match message.get("content")? {
        Value::String(text) => clean(text),
        Value::Array(blocks) => blocks.iter().find_map(|block| {
            let kind = block.get("type").and_then(Value::as_str)?;
            let text = block.get("text").and_then(Value::as_str)?;
            matches!(kind, "text" | "output_text" | "input_text").then(|| clean(text)).flatten()
        }),
        _ => None,
    }
}

/// All texts of a message, a line each.
fn all_text(message: &Value) -> Option<String> {
    let texts: Vec<&str> = match message.get("content") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(blocks)) => {
            blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect()
        }
        _ => message.get("text").and_then(Value::as_str).into_iter().collect(),
    };
    let texts: Vec<_> =
        texts.into_iter().map(text::without_marks).filter(|text| !text.trim().is_empty()).collect();
    let joined = texts.join("\n").trim().to_owned();
    (!joined.is_empty()).then_some(joined)
}

/// The names of the tools that a message calls.
fn tool_names(message: &Value) -> Vec<&str> {
    let blocks = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    blocks
        .iter()
        .filter(|block| {
            let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
            matches!(kind.to_lowercase().as_str(), "toolcall" | "tool_call" | "tooluse" | "tool_use")
        })
        .filter_map(|block| store::text(block, "name"))
        .collect()
}

/// The first two names, and how many more there are.
fn called(names: &[&str]) -> Option<String> {
    let (shown, rest) = names.split_at(names.len().min(2));
    let more = if rest.is_empty() { String::new() } else { format!(" +{}", rest.len()) };
    (!shown.is_empty()).then(|| format!("call {}{more}", shown.join(", ")))
}

/// The kind of the first part that is neither text nor a call, in brackets.
fn medium(message: &Value) -> Option<String> {
    message.get("content")?.as_array()?.iter().find_map(|block| {
        let kind = store::text(block, "type")?.trim().to_lowercase();
        (!matches!(kind.as_str(), "text" | "toolcall" | "tool_call")).then(|| format!("[{kind}]"))
    })
}

/// Members of `usage` that clients know; anything else in a transcript could be of any type.
const USAGE: &[&str] = &[
    "input",
    "output",
    "totalTokens",
    "inputTokens",
    "outputTokens",
    "cacheRead",
    "cacheWrite",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
];
/// Messages that a title is looked for in; OpenClaw's number.
const TITLE_LINES_MAX: usize = 10;
/// Messages that the last text is looked for in; OpenClaw's number.
const LAST_LINES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_for_people_is_left_out() {
        let message = json!({
            "role": "assistant", "details": {"x": 1},
            "usage": {"input": 5, "bogus": "x", "output": "y", "cost": {"total": 0.5, "z": 1}},
            "content": [
                {"type": "text", "text": "[[reply_to_current]]hello"},
                {"type": "thinking", "thinking": "abcdef", "thinkingSignature": "s"},
                {"type": "image", "data": "AAAA", "mimeType": "image/png"},
                "stray",
            ],
        });
        let want = json!({
            "role": "assistant",
            "usage": {"input": 5, "cost": {"total": 0.5}},
            "content": [
                {"type": "text", "text": "hello"},
                {"type": "thinking", "thinking": "abcde\n...(truncated)..."},
                {"type": "image", "mimeType": "image/png", "omitted": true, "bytes": 4},
                "stray",
            ],
        });
        assert_eq!(shown(message, 5), Some(want));
        assert_eq!(
            shown(json!({"role": "assistant", "content": [{"type": "text", "text": "NO_REPLY"}]}), 9),
            None
        );
        assert!(shown(json!({"role": "user", "content": "NO_REPLY"}), 9).is_some());
        let user = json!({"role": "user", "content": "[Telegram Bob] hi", "usage": {"input": 1}});
        assert_eq!(shown(user, 99), Some(json!({"role": "user", "content": "hi"})));
    }

    #[test]
    fn previews_say_what_happened() {
        let calls = json!({"role": "assistant", "content": [
            {"type": "toolCall", "name": "a"}, {"type": "tool_use", "name": "b"}, {"type": "toolcall", "name": "c"},
        ]});
        assert_eq!(preview(&calls, 99), Some(json!({"role": "tool", "text": "call a, b +1"})));
        let picture = json!({"role": "user", "content": [{"type": "Image"}]});
        assert_eq!(preview(&picture, 99), Some(json!({"role": "user", "text": "[image]"})));
        assert_eq!(preview(&json!({"role": "user", "content": []}), 99), None);
        let two = json!({"role": "bot", "content": [{"text": "a"}, {"text": " "}, {"text": "b"}]});
        assert_eq!(preview(&two, 99), Some(json!({"role": "other", "text": "a\nb"})));
    }
}
