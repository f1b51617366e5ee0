//! `agents.list` and `agent.identity.get`: who the agents are. Facts from OpenClaw 2026.3.13 and 2026.9.6.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::agents::{Agent, ModelRef};
use crate::gateway::job::Query;
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;

use super::answer::{Answer, checked, invalid, no_params, params, say, whole_file};
use super::keys::{self, Keys};
use super::{store, text};

/// What an agent says of itself in `IDENTITY.md`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Card {
    /// `Name:`.
    name: Option<String>,
    /// `Emoji:`.
    emoji: Option<String>,
    /// `Avatar:`.
    avatar: Option<String>,
}

/// `agents.list`: the configured agents; if none is configured, those that have a folder too.
pub(in crate::gateway) fn list(query: &Query<'_>) -> Answer {
    no_params(query, "agents.list")?;
    let openclaw = &query.setup.openclaw;
    let mut rows: Vec<Value> = openclaw.agents.list.iter().map(|agent| row(agent, query.protocol)).collect();
    if !is_explicit(query) {
        let configured = |id: &String| openclaw.agents.list.iter().any(|agent| agent.id == *id);
        let found = store::on_disk(openclaw, query.files)?.into_iter().filter(|id| !configured(id));
        rows.extend(found.map(|id| json!({"id": id})));
    }
    // The default agent comes first.
    rows.sort_by_key(|row| row.get("id").and_then(Value::as_str) != Some(&openclaw.agents.default_id));
    let mut list = json!({
        "defaultId": openclaw.agents.default_id,
        "mainKey": keys::MAIN,
        "scope": openclaw.session.scope.name(),
        "agents": rows,
    });
    if let (Value::Object(list), Protocol::V4) = (&mut list, query.protocol) {
        list.insert("selectionRequired".to_owned(), false.into());
        if openclaw.agents.list.len() == 1 {
            list.insert("ownership".to_owned(), "sole".into());
        }
    }
    say(&list)
}

/// `agent.identity.get`: name and picture of an agent, by its id or by one of its sessions.
///
/// The configuration's assistant wins, then the agent's identity there, then its `IDENTITY.md`. A picture that is a
/// file in the workspace is passed over: the runtime serves those.
pub(in crate::gateway) fn identity(query: &Query<'_>) -> Answer {
    let openclaw = &query.setup.openclaw;
    let id = identity_agent(query)?;
    let agent = openclaw.agents.find(&id);
    let card = agent.map(|agent| card(query, &agent.workspace)).transpose()?.unwrap_or_default();
    let configured = agent.map(|agent| agent.identity.clone()).unwrap_or_default();
    let assistant = &openclaw.assistant;

    let sources = [("config", &assistant.name), ("agent", &configured.name), ("workspace", &card.name)];
    let named = sources.into_iter().find_map(|(source, name)| Some((source, name.as_deref()?)));
    let (source, name) = named.unwrap_or(("default", "Assistant"));
    let avatars =
        [&assistant.avatar, &configured.avatar, &configured.emoji, &card.avatar, &card.emoji].into_iter();
    let avatar = avatars.flatten().find_map(|avatar| picture(avatar)).unwrap_or("A");
    let emojis = [&configured.emoji, &card.emoji, &configured.avatar, &card.avatar].into_iter();
    let emoji = emojis.flatten().find_map(|text| emoji(text));

    let mut identity = json!({
        "agentId": id,
        "name": text::prefix(name, NAME_CHARS_MAX).unwrap_or(name),
        "avatar": avatar,
    });
    if let Value::Object(identity) = &mut identity {
        identity.extend(emoji.map(|emoji| ("emoji".to_owned(), emoji.into())));
        if query.protocol == Protocol::V4 {
            identity.insert("nameSource".to_owned(), source.into());
        }
    }
    say(&identity)
}

/// `{id, name?}`.
pub(super) fn brief(agent: &Agent) -> Value {
    let mut brief = Map::new();
    brief.insert("id".to_owned(), agent.id.clone().into());
    brief.extend(agent.name.clone().map(|name| ("name".to_owned(), name.into())));
    Value::Object(brief)
}

/// `provider/model`, or the model alone if no provider is known.
pub(super) fn full_name(model: &ModelRef) -> String {
    if model.provider.is_empty() {
        model.model.clone()
    } else {
        format!("{}/{}", model.provider, model.model)
    }
}

/// An agent of `agents.list`. What the configuration does not say is left out: the runtime has defaults for it.
fn row(agent: &Agent, protocol: Protocol) -> Value {
    let mut row = brief(agent);
    let Value::Object(members) = &mut row else { return row };
    let identity = &agent.identity;
    let parts = [
        ("name", &identity.name),
        ("theme", &identity.theme),
        ("emoji", &identity.emoji),
        ("avatar", &identity.avatar),
    ];
    let mut shown: Map<String, Value> =
        parts.into_iter().filter_map(|(key, part)| Some((key.to_owned(), part.clone()?.into()))).collect();
    if let Some(url) = identity.avatar.as_deref().filter(|avatar| is_url(avatar)) {
        shown.insert("avatarUrl".to_owned(), url.into());
    }
    if !shown.is_empty() {
        members.insert("identity".to_owned(), shown.into());
    }
    if protocol == Protocol::V4 {
        members.insert("kind".to_owned(), "agent".into());
        members.insert("workspace".to_owned(), agent.workspace.display().to_string().into());
        members.extend(
            agent.model.as_ref().map(|model| ("model".to_owned(), json!({"primary": full_name(model)}))),
        );
    }
    row
}

/// Whether the configuration names its agents.
fn is_explicit(query: &Query<'_>) -> bool {
    let agents = query.setup.openclaw.resolved.get("agents");
    let listed = agents.and_then(|agents| agents.get("list")).and_then(Value::as_array);
    let entries = agents.and_then(|agents| agents.get("entries")).and_then(Value::as_object);
    listed.is_some_and(|list| !list.is_empty()) || entries.is_some_and(|entries| !entries.is_empty())
}

/// The agent that the caller means: by id, by session, or both if they agree.
fn identity_agent(query: &Query<'_>) -> Result<String, ErrorShape> {
    const METHOD: &str = "agent.identity.get";
    let mut reader = params(query, METHOD)?;
    let said = reader.name("agentId").map(str::trim).filter(|id| !id.is_empty());
    let session = reader.text("sessionKey").map(str::trim).filter(|key| !key.is_empty());
    checked(reader, METHOD)?;
    let default = || query.setup.openclaw.agents.default_id.clone();
    let Some(session) = session else { return Ok(said.map_or_else(default, keys::agent_id)) };
    if keys::is_malformed(session) {
        return Err(invalid(METHOD, &format!("malformed session key \"{session}\"")));
    }
    let names = Keys::of(&query.setup.openclaw);
    let owner = names.agent_of(&names.canonical(session));
    match said.map(keys::agent_id) {
        Some(id) if id != owner => {
            let said = said.unwrap_or_default();
            Err(invalid(METHOD, &format!("agent \"{said}\" does not match session key agent \"{owner}\"")))
        }
        _ => Ok(owner),
    }
}

/// A workspace without a card is a usual thing; one that cannot be read is an error.
fn card(query: &Query<'_>, workspace: &Path) -> Result<Card, ErrorShape> {
    let path = workspace.join("IDENTITY.md");
    let Some(bytes) = whole_file(query, &path, limits::SMALL_FILE_BYTES_MAX)? else {
        return Ok(Card::default());
    };
    Ok(parse_card(&String::from_utf8_lossy(&bytes)))
}

/// Lines `- **Name:** value`. A value in parentheses is a blank that nobody has filled in.
fn parse_card(text: &str) -> Card {
    let mut card = Card::default();
    for line in text.lines() {
        let line = line.trim().trim_start_matches('-').trim_start();
        let Some((label, value)) = line.split_once(':') else { continue };
        let label = label.replace(['*', '_'], "").trim().to_lowercase();
        let value = value.trim_matches(['*', '_', ' ', '\t']);
        if value.is_empty() || (value.starts_with('(') && value.ends_with(')')) {
            continue;
        }
        match label.as_str() {
            "name" => card.name = Some(value.to_owned()),
            "emoji" => card.emoji = Some(value.to_owned()),
            "avatar" => card.avatar = Some(value.to_owned()),
            _ => {}
        }
    }
    card
}

/// The text as a picture that a client can show by itself: an address, or up to four letters.
fn picture(text: &str) -> Option<&str> {
    let text = text.trim();
    let short = text::prefix(text, PICTURE_CHARS_MAX).is_none() && !text.contains(char::is_whitespace);
    let usable = is_url(text) || (short && !text.is_empty() && !looks_like_path(text));
    (usable && text::prefix(text, AVATAR_CHARS_MAX).is_none()).then_some(text)
}

/// The text as an emoji: short, and not letters alone.
fn emoji(text: &str) -> Option<&str> {
    let text = text.trim();
    let fits = text::prefix(text, EMOJI_CHARS_MAX).is_none() && !text.is_ascii();
    (fits && !is_url(text) && !looks_like_path(text)).then_some(text)
}

/// Whether a browser can show it by itself. Only the start is looked at: a data URL may be long.
fn is_url(text: &str) -> bool {
    let text = text.get(..text.len().min(11)).unwrap_or(text).to_ascii_lowercase();
    ["http://", "https://", "data:image/"].iter().any(|start| text.starts_with(start))
}

/// Whether it names a picture in the workspace.
fn looks_like_path(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let picture = [".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".ico"];
    text.contains(['/', '\\']) || picture.iter().any(|end| lower.ends_with(end))
}

// The bounds of OpenClaw, in UTF-16 units; longer names are cut, longer pictures passed over.
const NAME_CHARS_MAX: usize = 50;
const AVATAR_CHARS_MAX: usize = 200;
const EMOJI_CHARS_MAX: usize = 16;
const PICTURE_CHARS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_card_is_read_without_its_blanks() {
        let text =
            "# Me\n- **Name:** Rust\n- **Emoji:** 🦀\n- *Avatar*: _(a path)_\nstray\n- **Vibe:** calm\n";
        let want = Card { name: Some("Rust".to_owned()), emoji: Some("🦀".to_owned()), avatar: None };
        assert_eq!(parse_card(text), want);
    }

    #[test]
    fn pictures_are_addresses_or_a_few_letters() {
        for good in ["A", "🦀", "AB", "https://x.test/a.png", "data:image/png;base64,AA"] {
            assert_eq!(picture(good), Some(good));
        }
        for bad in ["avatars/me.png", "me.png", "a b", "abcde", "", "ftp://x"] {
            assert_eq!(picture(bad), None, "{bad}");
        }
        assert_eq!(emoji("abc"), None);
        assert_eq!(emoji("🦀"), Some("🦀"));
    }
}
