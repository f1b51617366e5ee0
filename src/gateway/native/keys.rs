//! Session keys: `agent:<agent>:<rest>`, `global` and `unknown`. Facts from OpenClaw 2026.3.13.
//!
//! Rule: a key from outside is only ever compared with keys of a store; it never becomes a part of a path. What does
//! become one is an agent's id, which [`agent_id`] makes the harmless name of a folder.

use serde_json::Value;

use crate::config::OpenClaw;
use crate::config::agents::SessionScope;
pub(super) use crate::config::agents::normalize_agent_id as agent_id;

/// How this configuration names sessions.
#[derive(Debug)]
pub(super) struct Keys {
    default_agent: String,
    global: bool,
}

/// A group's place in a key: `<channel>:group:<id>` or `<channel>:channel:<id>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<'a> {
    /// The channel.
    pub(super) channel: &'a str,
    /// The group's id on it.
    pub(super) id: &'a str,
}

impl Keys {
    /// The names under `openclaw`.
    pub(super) fn of(openclaw: &OpenClaw) -> Self {
        Self {
            default_agent: openclaw.agents.default_id.clone(),
            global: openclaw.session.scope == SessionScope::Global,
        }
    }

    /// The key that a caller means: aliases and missing parts filled in.
    pub(super) fn canonical(&self, key: &str) -> String {
        let key = key.trim().to_lowercase();
        if key.is_empty() || key == GLOBAL || key == UNKNOWN {
            return key;
        }
        if let Some((agent, rest)) = split(&key) {
            let agent = agent_id(agent);
            return if rest == MAIN { self.main_session(&agent) } else { key };
        }
        if key == MAIN {
            return self.main_session(&self.default_agent);
        }
        in_store(&self.default_agent, &key)
    }

    /// The agent that a canonical key belongs to.
    pub(super) fn agent_of(&self, canonical: &str) -> String {
        split(canonical).map_or_else(|| self.default_agent.clone(), |(agent, _)| agent_id(agent))
    }

    fn main_session(&self, agent: &str) -> String {
        if self.global { GLOBAL.to_owned() } else { main_of(agent) }
    }
}

/// The main session of an agent.
pub(super) fn main_of(agent: &str) -> String {
    format!("agent:{agent}:{MAIN}")
}

/// The parts of `agent:<agent>:<rest>`, if the key, in lower case, has this form.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    let (agent, rest) = key.strip_prefix("agent:")?.split_once(':')?;
    (!agent.trim().is_empty() && !rest.is_empty()).then_some((agent.trim(), rest))
}

/// Whether a key claims to be an agent's but is not well formed.
pub(super) fn is_malformed(key: &str) -> bool {
    let key = key.trim().to_lowercase();
    key.starts_with("agent:") && split(&key).is_none()
}

/// A key as it stands in the store of `agent`, in full.
pub(super) fn in_store(agent: &str, key: &str) -> String {
    let key = key.to_lowercase();
    if key == GLOBAL || key == UNKNOWN || key.starts_with("agent:") {
        key
    } else {
        format!("agent:{agent}:{key}")
    }
}

/// `kind` of a session: `direct`, `group`, `global` or `unknown`.
pub(super) fn kind(key: &str, entry: &Value) -> &'static str {
    let chat_type = entry.get("chatType").and_then(Value::as_str);
    match key {
        GLOBAL => "global",
        UNKNOWN => "unknown",
        _ if matches!(chat_type, Some("group" | "channel")) => "group",
        _ if key.contains(":group:") || key.contains(":channel:") => "group",
        _ => "direct",
    }
}

/// The group that a key names.
pub(super) fn group(key: &str) -> Option<Group<'_>> {
    let (_, rest) = split(key).unwrap_or(("", key));
    let (channel, rest) = rest.split_once(':')?;
    let (kind, id) = rest.split_once(':')?;
    ((kind == "group" || kind == "channel") && !channel.is_empty() && !id.is_empty())
        .then_some(Group { channel, id })
}

/// Whether the key is that of one run of a cron job, which no list shows.
pub(super) fn is_cron_run(key: &str) -> bool {
    let Some((_, rest)) = split(key) else { return false };
    let parts: Vec<&str> = rest.split(':').collect();
    matches!(parts.as_slice(), ["cron", job, "run", run] if !job.is_empty() && !run.is_empty())
}

/// The session that all senders share.
pub(super) const GLOBAL: &str = "global";
/// The session of messages without a sender.
pub(super) const UNKNOWN: &str = "unknown";
/// The name of every agent's main session.
pub(super) const MAIN: &str = "main";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(global: bool) -> Keys {
        Keys { default_agent: "ops".to_owned(), global }
    }

    #[test]
    fn aliases_are_filled_in() {
        let plain = keys(false);
        assert_eq!(plain.canonical(" Main "), "agent:ops:main");
        assert_eq!(plain.canonical("telegram:group:5"), "agent:ops:telegram:group:5");
        assert_eq!(plain.canonical("Agent:X:Main"), "agent:x:main");
        assert_eq!(plain.canonical("GLOBAL"), "global");
        assert_eq!(keys(true).canonical("main"), "global");
        assert_eq!(plain.agent_of("agent:x:y"), "x");
        assert_eq!(plain.agent_of("global"), "ops");
    }

    #[test]
    fn an_agent_id_is_a_harmless_name() {
        let names = ["Main", "../../etc", "a b/c", "..", ".", "", "/", "\0", &"x".repeat(100)];
        for id in names.map(agent_id) {
            assert!((1..=64).contains(&id.len()), "{id}");
            assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "{id}");
        }
    }

    #[test]
    fn keys_are_classified() {
        assert_eq!(kind("agent:a:tg:group:1", &json!({})), "group");
        assert_eq!(kind("agent:a:x", &json!({"chatType": "channel"})), "group");
        assert_eq!(kind("agent:a:x", &json!(null)), "direct");
        assert_eq!(kind("unknown", &json!({})), "unknown");
        assert_eq!(group("agent:a:tg:group:1:2"), Some(Group { channel: "tg", id: "1:2" }));
        assert_eq!(group("agent:a:main"), None);
        assert!(is_cron_run("agent:a:cron:j:run:r"));
        assert!(!is_cron_run("agent:a:cron:j"));
        assert!(is_malformed("agent:x") && !is_malformed("agent:x:y") && !is_malformed("main"));
    }
}
