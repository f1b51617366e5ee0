//! `sessions.list`, `.preview`, `.resolve`, `.get` and `.describe`: what the session stores hold.

use serde_json::{Value, json};

use crate::gateway::job::Query;
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;

use super::answer::{Answer, checked, invalid, params, say, whole, wide};
use super::keys::Keys;
use super::store::{self, Stores};
use super::transcript;

mod filter;
mod row;

pub(super) use filter::Filter;
pub(super) use row::{Extras, Row, defaults, info};

/// `sessions.list`: the sessions of all agents, newest first, filtered and cut as asked.
pub(in crate::gateway) fn list(query: &Query<'_>) -> Answer {
    let filter = Filter::read(query)?;
    let mut rows = rows(query)?;
    filter.apply(&mut rows, query);
    let total = rows.len();
    let offset = filter.offset.min(total);
    let page: Vec<Value> = rows
        .into_iter()
        .skip(offset)
        .take(filter.limit.unwrap_or(usize::MAX))
        .map(|row| row.shown(query, filter.extras))
        .collect();
    let next = offset + page.len();
    let mut list = json!({
        "ts": query.now.unix_ms,
        "path": store::shown_path(&query.setup.openclaw),
        "count": page.len(),
        "defaults": defaults(query),
        "sessions": page,
    });
    if let (Value::Object(list), Protocol::V4) = (&mut list, query.protocol) {
        list.insert("totalCount".to_owned(), total.into());
        list.insert("limitApplied".to_owned(), filter.limit.into());
        list.insert("hasMore".to_owned(), (next < total).into());
        list.insert("nextOffset".to_owned(), (next < total).then_some(next).into());
        list.insert("owners".to_owned(), json!([]));
    }
    say(&list)
}

/// `sessions.preview`: the last messages of some sessions, a line each.
pub(in crate::gateway) fn preview(query: &Query<'_>) -> Answer {
    const METHOD: &str = "sessions.preview";
    let mut reader = params(query, METHOD)?;
    reader.require("keys");
    let wanted = reader.names("keys").unwrap_or_default();
    if reader.value("keys").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        reader.wrong::<()>("keys", "must NOT have fewer than 1 items");
    }
    let items = whole(&mut reader, "limit", 1);
    let items = items.unwrap_or(limits::PREVIEW_ITEMS.default).min(limits::PREVIEW_ITEMS.max);
    let chars = whole(&mut reader, "maxChars", wide(limits::PREVIEW_CHARS.min));
    let chars = chars.unwrap_or(limits::PREVIEW_CHARS.default).min(limits::PREVIEW_CHARS.max);
    checked(reader, METHOD)?;

    let mut stores = Stores::new(&query.setup.openclaw, query.files);
    let mut previews = Vec::new();
    let wanted = wanted.into_iter().map(str::trim).filter(|key| !key.is_empty());
    for key in wanted.take(limits::PREVIEW_KEYS_MAX) {
        let found = stores.find(key)?;
        let (status, items) = match found.session_id() {
            None => ("missing", Vec::new()),
            Some(_) => preview_of(query, &found, items, chars),
        };
        previews.push(json!({"key": key, "status": status, "items": items}));
    }
    say(&json!({"ts": query.now.unix_ms, "previews": previews}))
}

/// `sessions.resolve`: the one session that has this key, session id or label.
pub(in crate::gateway) fn resolve(query: &Query<'_>) -> Answer {
    const METHOD: &str = "sessions.resolve";
    let mut reader = params(query, METHOD)?;
    let trimmed = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let key = trimmed(reader.name("key"));
    let session_id = trimmed(reader.name("sessionId"));
    let label = filter::label(&mut reader, query.protocol);
    let may_miss = query.protocol == Protocol::V4 && reader.flag("allowMissing") == Some(true);
    let filter = Filter::narrow(&mut reader, query);
    checked(reader, METHOD)?;

    let given =
        [key.is_some(), session_id.is_some(), label.is_some()].into_iter().filter(|given| *given).count();
    if given != 1 {
        let problem = if given == 0 { "name one of" } else { "name only one of" };
        return Err(invalid(METHOD, &format!("{problem} key, sessionId and label")));
    }
    let resolved = match (key, session_id, label) {
        (Some(key), ..) => resolve_key(query, &key),
        (_, Some(id), _) => resolve_by(query, &filter, "for sessionId", &id, &|row| {
            row.session_id() == Some(&id) || row.key == id.to_lowercase()
        }),
        (.., label) => {
            let label = label.unwrap_or_default();
            resolve_by(query, &filter, "with label", &label, &|row| {
                store::text(&row.entry, "label") == Some(label.as_str())
            })
        }
    };
    match resolved {
        Ok(key) => say(&resolved_payload(query, &key)),
        Err(error) if may_miss && error.code == crate::wire::error::ErrorCode::InvalidRequest => {
            say(&json!({"ok": false}))
        }
        Err(error) => Err(error),
    }
}

/// `sessions.get`: the messages of a session as the transcript has them, the last `limit`.
pub(in crate::gateway) fn get(query: &Query<'_>) -> Answer {
    const METHOD: &str = "sessions.get";
    let mut reader = params(query, METHOD)?;
    let named = if reader.value("key").is_some() { reader.text("key") } else { reader.text("sessionKey") };
    let key = named.map(str::trim).unwrap_or_default();
    let limit = whole(&mut reader, "limit", 1).unwrap_or(limits::HISTORY_MESSAGES.default);
    checked(reader, METHOD)?;
    if key.is_empty() {
        return Err(ErrorShape::invalid("key required"));
    }
    let found = store::find(&query.setup.openclaw, query.files, key)?;
    let places = found.transcripts();
    let tail = transcript::tail(query.files, &places, limits::TRANSCRIPT_TAIL_BYTES_MAX)?;
    let skipped = tail.messages.len().saturating_sub(limit);
    let messages: Vec<Value> = tail.messages.into_iter().skip(skipped).map(|message| message.value).collect();
    say(&json!({"messages": messages}))
}

/// `sessions.describe` (protocol 4): one session as the list shows it, or null.
pub(in crate::gateway) fn describe(query: &Query<'_>) -> Answer {
    const METHOD: &str = "sessions.describe";
    let mut reader = params(query, METHOD)?;
    let key = reader.required_name("key").trim();
    let extras = Extras::read(&mut reader);
    checked(reader, METHOD)?;
    let found = store::find(&query.setup.openclaw, query.files, key)?;
    let session = if found.entry.is_null() {
        Value::Null
    } else {
        let row = Row { key: found.key, agent: found.agent, folder: found.folder, entry: found.entry };
        row.shown(query, extras)
    };
    say(&json!({"session": session}))
}

/// All sessions, newest first. Where two stores have the same key, the newer entry counts.
fn rows(query: &Query<'_>) -> Result<Vec<Row>, ErrorShape> {
    let names = Keys::of(&query.setup.openclaw);
    let mut rows = std::collections::BTreeMap::<String, Row>::new();
    for store in store::all(&query.setup.openclaw, query.files)? {
        let folder = store.folder().to_path_buf();
        for (key, entry) in store.entries {
            let key = super::keys::in_store(&store.agent, &key);
            let older = |row: &Row| store::time(&row.entry, "updatedAt") <= store::time(&entry, "updatedAt");
            if rows.get(&key).is_none_or(older) {
                let agent = names.agent_of(&key);
                rows.insert(key.clone(), Row { key, agent, folder: folder.clone(), entry });
            }
        }
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by(|a, b| store::newest_first(&a.entry, &b.entry));
    Ok(rows)
}

/// `status` and `items` of one preview. A transcript that cannot be read is that session's trouble alone.
fn preview_of(
    query: &Query<'_>,
    found: &store::Found,
    items: usize,
    chars: usize,
) -> (&'static str, Vec<Value>) {
    let Ok(tail) = transcript::tail(query.files, &found.transcripts(), limits::PREVIEW_TAIL_BYTES) else {
        return ("error", Vec::new());
    };
    let last = tail.messages.len().saturating_sub(items);
    let shown: Vec<Value> = tail
        .messages
        .iter()
        .skip(last)
        .filter_map(|message| transcript::preview(&message.value, chars))
        .collect();
    (if shown.is_empty() { "empty" } else { "ok" }, shown)
}

/// The canonical key, if the store has an entry for it.
fn resolve_key(query: &Query<'_>, key: &str) -> Result<String, ErrorShape> {
    let found = store::find(&query.setup.openclaw, query.files, key)?;
    if found.entry.is_null() {
        return Err(ErrorShape::invalid(format!("No session found: {key}")));
    }
    Ok(found.key)
}

/// The key of the one session that is wanted. None or several is the caller's fault: the words are OpenClaw's,
/// because clients show them.
fn resolve_by(
    query: &Query<'_>,
    filter: &Filter,
    how: &str,
    said: &str,
    wanted: &dyn Fn(&Row) -> bool,
) -> Result<String, ErrorShape> {
    let mut rows = rows(query)?;
    filter.apply(&mut rows, query);
    rows.retain(wanted);
    match rows.as_slice() {
        [] if how == "for sessionId" => Err(ErrorShape::invalid(format!("No session found: {said}"))),
        [] => Err(ErrorShape::invalid(format!("No session found {how}: {said}"))),
        [row] => Ok(row.key.clone()),
        many => {
            let keys: Vec<&str> = many.iter().take(RESOLVED_SHOWN_MAX).map(|row| row.key.as_str()).collect();
            Err(ErrorShape::invalid(format!("Multiple sessions found {how}: {said} ({})", keys.join(", "))))
        }
    }
}

/// Protocol 4 names the agent too.
fn resolved_payload(query: &Query<'_>, key: &str) -> Value {
    let mut payload = json!({"ok": true, "key": key});
    if let (Value::Object(payload), Protocol::V4) = (&mut payload, query.protocol) {
        payload.insert("agentId".to_owned(), Keys::of(&query.setup.openclaw).agent_of(key).into());
    }
    payload
}

/// Keys named in an error; OpenClaw's number.
const RESOLVED_SHOWN_MAX: usize = 8;
