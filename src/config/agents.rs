//! Agents, sessions and models of `openclaw.json`, as far as `agents.list`, `health`, `status`, `sessions.list` and
//! `models.list` tell of them. Facts from OpenClaw 2026.3.13 and 2026.9.6.

use std::path::PathBuf;

use super::error::ConfigError;
use super::openclaw::Warning;
use super::paths::Paths;
use super::read::At;

/// The configured agents; there is always at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agents {
    /// In the order of the file; ids are unique.
    pub list: Vec<Agent>,
    /// The id of the default agent, one of `list`.
    pub default_id: String,
    /// The model that agents use unless they say otherwise (`agents.defaults.model`).
    pub model: Option<ModelRef>,
    /// `agents.defaults.contextTokens`.
    pub context_tokens: Option<u64>,
}

/// One agent (`agents.list[]`, or `agents.entries.*` since 2026.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Lower case letters, digits, `_` and `-`, at most 64 characters.
    pub id: String,
    /// `name`, trimmed.
    pub name: Option<String>,
    /// How the agent presents itself.
    pub identity: Identity,
    /// Its working folder.
    pub workspace: PathBuf,
    /// Its regular wake-up.
    pub heartbeat: Heartbeat,
    /// Its own model.
    pub model: Option<ModelRef>,
}

/// `agents.list[].identity`, each trimmed and not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: Option<String>,
    /// Theme.
    pub theme: Option<String>,
    /// Emoji.
    pub emoji: Option<String>,
    /// Picture: a path in the workspace, an URL, or one or two letters.
    pub avatar: Option<String>,
}

/// The heartbeat of an agent, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Whether this agent has one: those with a `heartbeat` block, or the default agent if none has.
    pub enabled: bool,
    /// The interval as written, `30m` by default, `disabled` for an agent without heartbeat.
    pub every: String,
    /// The interval; `None` if it is 0, not a duration, or the agent has none.
    pub every_ms: Option<u64>,
    /// The text that wakes the agent, if it is configured.
    pub prompt: Option<String>,
    /// Where answers go, if it is configured.
    pub target: Option<String>,
    /// Its own model, as written.
    pub model: Option<String>,
    /// Answers of at most this many characters beside the acknowledgement count as nothing to say.
    pub ack_max_chars: u64,
}

/// `session`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who shares a session.
    pub scope: SessionScope,
    /// `session.store`: one file for all agents, or a path with `{agentId}` in it; as written.
    pub store: Option<String>,
}

/// `session.scope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionScope {
    /// Each sender has a session.
    PerSender,
    /// All senders share one.
    Global,
}

/// A model by name: `provider/model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    /// The provider's id; empty if the configuration names the model alone.
    pub provider: String,
    /// The model's id.
    pub model: String,
}

/// A model of a configured provider (`models.providers.*.models[]`), as `models.list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The model's id.
    pub id: String,
    /// The name; the id if there is none.
    pub name: String,
    /// The provider's id.
    pub provider: String,
    /// The size of its context in tokens.
    pub context_window: Option<u64>,
    /// Whether it reasons.
    pub reasoning: bool,
    /// What it takes: `text`, `image`, ...
    pub input: Vec<String>,
}

/// What an agent is judged with.
struct Roster<'a> {
    defaults: At<'a>,
    places: &'a Paths,
    profile: Option<String>,
    default_id: String,
    /// Whether any agent has a heartbeat block; then only those have a heartbeat.
    explicit_heartbeats: bool,
}

impl Agents {
    /// Reads `agents` of the configuration at `root`. Without any there is the agent `main`.
    pub(crate) fn read(root: &At<'_>, places: &Paths, profile: Option<String>) -> Result<Self, ConfigError> {
        let at = root.get("agents");
        at.expect_object()?;
        let entries = entries(&at)?;
        let roster = Roster {
            defaults: at.get("defaults"),
            places,
            profile,
            default_id: default_id(&entries, at.get("entries").value().is_some())?,
            explicit_heartbeats: entries.iter().any(|(_, entry)| entry.get("heartbeat").value().is_some()),
        };
        roster.defaults.expect_object()?;
        let mut list: Vec<Agent> = Vec::new();
        for (id, entry) in &entries {
            if list.iter().all(|agent| agent.id != *id) {
                list.push(Agent::read(id, entry, &roster)?);
            }
        }
        if list.is_empty() {
            let nothing = at.get("list").get("0");
            list.push(Agent::read(&roster.default_id, &nothing, &roster)?);
        }
        let model = ModelRef::read(&roster.defaults.get("model"))?;
        let context_tokens = roster.defaults.get("contextTokens").whole(1, u64::MAX)?;
        Ok(Self { list, default_id: roster.default_id, model, context_tokens })
    }

    /// The agent with this id.
    pub fn find(&self, id: &str) -> Option<&Agent> {
        self.list.iter().find(|agent| agent.id == id)
    }
}

impl Agent {
    fn read(id: &str, at: &At<'_>, roster: &Roster<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            id: id.to_owned(),
            name: owned(&at.get("name"))?,
            identity: Identity::read(&at.get("identity"))?,
            workspace: roster.workspace(id, at)?,
            heartbeat: Heartbeat::read(id, &at.get("heartbeat"), roster)?,
            model: ModelRef::read(&at.get("model"))?,
        })
    }
}

impl Roster<'_> {
    /// The default agent has the common folder, every other one its own.
    fn workspace(&self, id: &str, agent: &At<'_>) -> Result<PathBuf, ConfigError> {
        let common = self.defaults.get("workspace");
        let configured = match agent.get("workspace").trimmed()? {
            None if id == self.default_id => common.trimmed()?,
            own => own,
        };
        if let Some(path) = configured {
            return Ok(self.places.expand(path));
        }
        if id != self.default_id {
            return Ok(self.places.state_dir.join(format!("workspace-{id}")));
        }
        let folder = match &self.profile {
            Some(profile) if !profile.eq_ignore_ascii_case("default") => format!("workspace-{profile}"),
            _ => "workspace".to_owned(),
        };
        Ok(self.places.home.join(".openclaw").join(folder))
    }
}

impl Identity {
    fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        at.expect_object()?;
        Ok(Self {
            name: owned(&at.get("name"))?,
            theme: owned(&at.get("theme"))?,
            emoji: owned(&at.get("emoji"))?,
            avatar: owned(&at.get("avatar"))?,
        })
    }
}

impl Heartbeat {
    fn read(id: &str, own: &At<'_>, roster: &Roster<'_>) -> Result<Self, ConfigError> {
        let common = roster.defaults.get("heartbeat");
        own.expect_object()?;
        common.expect_object()?;
        let enabled =
            if roster.explicit_heartbeats { own.value().is_some() } else { id == roster.default_id };
        let text = |key: &str| match owned(&own.get(key))? {
            Some(text) if enabled => Ok(Some(text)),
            _ => owned(&common.get(key)),
        };
        let every = text("every")?.unwrap_or_else(|| DEFAULT_EVERY.to_owned());
        let ack = match own.get("ackMaxChars").whole(0, u64::MAX)? {
            Some(chars) if enabled => Some(chars),
            _ => common.get("ackMaxChars").whole(0, u64::MAX)?,
        };
        Ok(Self {
            enabled,
            every_ms: duration_ms(&every).filter(|&ms| enabled && ms > 0),
            every: if enabled { every } else { "disabled".to_owned() },
            prompt: text("prompt")?,
            target: text("target")?,
            model: text("model")?,
            ack_max_chars: ack.unwrap_or(DEFAULT_ACK_MAX_CHARS),
        })
    }
}

impl Session {
    /// Reads `session`.
    pub(crate) fn read(at: &At<'_>, warnings: &mut Vec<Warning>) -> Result<Self, ConfigError> {
        at.expect_object()?;
        let main_key = at.get("mainKey");
        if main_key.trimmed()?.is_some_and(|key| key != MAIN) {
            let message = "the main session is always \"main\"; the key has no effect".to_owned();
            warnings.push(Warning { path: main_key.key(), message });
        }
        let scope = at.get("scope").one_of(SCOPES)?.unwrap_or(SessionScope::PerSender);
        Ok(Self { scope, store: owned(&at.get("store"))? })
    }

    /// The main session of an agent: `global` if all share one.
    pub fn main_key(&self, agent_id: &str) -> String {
        match self.scope {
            SessionScope::Global => "global".to_owned(),
            SessionScope::PerSender => format!("agent:{agent_id}:{MAIN}"),
        }
    }
}

impl ModelRef {
    /// Reads a string, or the `primary` of an object.
    fn read(at: &At<'_>) -> Result<Option<Self>, ConfigError> {
        let primary =
            if at.value().is_some_and(serde_json::Value::is_object) { at.get("primary") } else { at.clone() };
        Ok(primary.trimmed()?.map(|name| match name.split_once('/') {
            Some((provider, model)) => {
                Self { provider: provider.trim().to_lowercase(), model: model.trim().to_owned() }
            }
            None => Self { provider: String::new(), model: name.to_owned() },
        }))
    }
}

impl Model {
    /// Reads the models of all providers.
    pub(crate) fn read_all(providers: &At<'_>) -> Result<Vec<Self>, ConfigError> {
        let mut models = Vec::new();
        for (provider, at) in providers.members()? {
            for model in at.get("models").items()? {
                models.push(Self::read(provider, &model)?);
            }
        }
        Ok(models)
    }

    fn read(provider: &str, at: &At<'_>) -> Result<Self, ConfigError> {
        let id = owned(&at.get("id"))?.ok_or_else(|| at.get("id").wrong("the model's id"))?;
        let input = at.get("input").texts()?;
        Ok(Self {
            name: owned(&at.get("name"))?.unwrap_or_else(|| id.clone()),
            id,
            provider: provider.trim().to_lowercase(),
            context_window: at.get("contextWindow").whole(1, u64::MAX)?,
            reasoning: at.get("reasoning").flag()?.unwrap_or(false),
            input: if input.is_empty() { vec!["text".to_owned()] } else { input },
        })
    }
}

impl SessionScope {
    /// The name in the file and in `sessionDefaults.scope`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerSender => "per-sender",
            Self::Global => "global",
        }
    }
}

/// An id as OpenClaw writes it: in lower case. One that is not of 1 to 64 letters, digits, `_` and `-`, beginning with
/// a letter or a digit, gets one `-` for each run of other characters and loses the dashes at its ends; `main` if
/// nothing is left.
pub fn normalize_agent_id(id: &str) -> String {
    let lower = id.trim().to_lowercase();
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if lower.len() <= AGENT_ID_CHARS_MAX
        && lower.starts_with(|c: char| c.is_ascii_alphanumeric())
        && lower.chars().all(kept)
    {
        return lower;
    }
    let mut normal = String::new();
    let mut in_run = false;
    for c in lower.chars() {
        if kept(c) || !in_run {
            normal.push(if kept(c) { c } else { '-' });
        }
        in_run = !kept(c);
    }
    let normal: String = normal.trim_matches('-').chars().take(AGENT_ID_CHARS_MAX).collect();
    if normal.is_empty() { MAIN.to_owned() } else { normal }
}

/// `agents.entries` by key if it is there, else `agents.list`.
fn entries<'a>(agents: &At<'a>) -> Result<Vec<(String, At<'a>)>, ConfigError> {
    let by_key = agents.get("entries").members()?;
    if agents.get("entries").value().is_some() {
        return Ok(by_key.into_iter().map(|(key, at)| (normalize_agent_id(key), at)).collect());
    }
    let mut entries = Vec::new();
    for at in agents.get("list").items()? {
        at.expect_object()?;
        let id = at.get("id").trimmed()?.ok_or_else(|| at.get("id").wrong("the agent's id"))?;
        entries.push((normalize_agent_id(id), at));
    }
    Ok(entries)
}

/// The first agent marked as default, else the first of a list, else of keyed ones `main` or the first.
fn default_id(entries: &[(String, At<'_>)], keyed: bool) -> Result<String, ConfigError> {
    for (id, at) in entries {
        if at.get("default").flag()? == Some(true) {
            return Ok(id.clone());
        }
    }
    if keyed && entries.iter().any(|(id, _)| id == MAIN) {
        return Ok(MAIN.to_owned());
    }
    Ok(entries.first().map_or_else(|| MAIN.to_owned(), |(id, _)| id.clone()))
}

/// A duration as OpenClaw writes it: `30m`, `1h30m`, `45` for minutes; `None` if it is none.
fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim().to_lowercase();
    let mut rest = text.as_str();
    let mut total = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(number_end);
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let number: f64 = number.parse().ok().filter(|_| number.starts_with(|c: char| c.is_ascii_digit()))?;
        // A number without a unit must stand alone.
        let unit = if unit.is_empty() && rest.len() == text.len() && behind.is_empty() { "m" } else { unit };
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number * millis;
        rest = behind;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative and within 53 bits"
    )]
    (!text.is_empty() && total <= WHOLE_F64_MAX).then(|| total.round() as u64)
}

fn owned(at: &At<'_>) -> Result<Option<String>, ConfigError> {
    Ok(at.trimmed()?.map(str::to_owned))
}

const MAIN: &str = "main";
const DEFAULT_EVERY: &str = "30m";
const DEFAULT_ACK_MAX_CHARS: u64 = 300;
const AGENT_ID_CHARS_MAX: usize = 64;
const SCOPES: &[(&str, SessionScope)] =
    &[("per-sender", SessionScope::PerSender), ("global", SessionScope::Global)];
/// Milliseconds of the units.
const UNITS: &[(&str, f64)] = &[("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6), ("d", 8.64e7)];
/// Up to here a float holds every whole number exactly.
const WHOLE_F64_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_normal() {
        for (from, to) in [
            ("main", "main"),
            (" Ops_1-x ", "ops_1-x"),
            ("ops-", "ops-"),
            ("a b!?c", "a-b-c"),
            ("a-!b", "a--b"),
            ("-x-", "x"),
            ("!!", "main"),
            ("", "main"),
        ] {
            assert_eq!(normalize_agent_id(from), to, "{from}");
        }
        assert_eq!(normalize_agent_id(&"x".repeat(70)).len(), 64);
    }

    #[test]
    fn durations_are_read() {
        for (text, want) in [
            ("30m", Some(1_800_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("45", Some(2_700_000)),
            (" 10S ", Some(10_000)),
            ("250ms", Some(250)),
            ("0m", Some(0)),
            ("1d", Some(86_400_000)),
            ("1h 5m", None),
            ("1h5", None),
            ("m", None),
            (".5m", None),
            ("1w", None),
            ("-1m", None),
            ("", None),
            ("9999999999999d", None),
        ] {
            assert_eq!(duration_ms(text), want, "{text}");
        }
    }
}
