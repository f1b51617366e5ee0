//! One session as clients see it.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::gateway::job::Query;
use crate::gateway::native::date::Date;
use crate::gateway::native::{keys, store, text, transcript};
use crate::limits;
use crate::wire::Protocol;
use crate::wire::params::Reader;

/// What to read of a session's transcript.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Extras {
    /// A title, made of the first thing that a person said.
    pub(crate) title: bool,
    /// The last thing that was said.
    pub(crate) last_message: bool,
}

/// A session of some store.
#[derive(Debug)]
pub(crate) struct Row {
    /// The full key.
    pub(crate) key: String,
    /// The agent it belongs to.
    pub(crate) agent: String,
    /// The folder of its transcript.
    pub(crate) folder: PathBuf,
    /// What the store says of it.
    pub(crate) entry: Value,
}

impl Extras {
    /// Nothing.
    pub(crate) const NONE: Self = Self { title: false, last_message: false };

    /// Reads `includeDerivedTitles` and `includeLastMessage`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            title: reader.flag("includeDerivedTitles") == Some(true),
            last_message: reader.flag("includeLastMessage") == Some(true),
        }
    }
}

impl Row {
    /// `sessionId`, if the session has begun.
    pub(crate) fn session_id(&self) -> Option<&str> {
        store::text(&self.entry, "sessionId")
    }

    /// Whether it was put away.
    pub(crate) fn is_archived(&self) -> bool {
        store::time(&self.entry, "archivedAt").is_some()
    }

    /// Whether a text in lower case is part of one of its names.
    pub(crate) fn mentions(&self, search: &str) -> bool {
        let names =
            ["label", "subject", "sessionId"].map(|key| store::text(&self.entry, key).map(str::to_owned));
        let names = names.into_iter().chain([self.display_name(), Some(self.key.clone())]);
        names.flatten().any(|name| name.to_lowercase().contains(search))
    }

    /// The row, with a title and the last message if they are wanted and there.
    pub(crate) fn shown(&self, query: &Query<'_>, extras: Extras) -> Value {
        let mut row = self.basics(query);
        let places = || store::transcripts(&self.folder, &self.entry);
        if extras.title && self.session_id().is_some() {
            let title =
                self.title(&|| transcript::first_user_text(query.files, &places(), limits::TITLE_HEAD_BYTES));
            row.extend(title.map(|title| ("derivedTitle".to_owned(), title.into())));
        }
        if extras.last_message && self.session_id().is_some() {
            let last = transcript::last_text(query.files, &places(), limits::LAST_MESSAGE_TAIL_BYTES);
            row.extend(last.map(|last| ("lastMessagePreview".to_owned(), last.into())));
        }
        if query.protocol == Protocol::V4 {
            row.extend(self.newer(query));
        }
        Value::Object(row)
    }

    /// What both protocols show.
    fn basics(&self, query: &Query<'_>) -> Map<String, Value> {
        let entry = &self.entry;
        let mut row = Map::new();
        for key in COPIED {
            if let Some(value) = entry.get(*key).filter(|value| !value.is_null()) {
                row.insert((*key).to_owned(), value.clone());
            }
        }
        let fresh = entry.get("totalTokensFresh") != Some(&Value::Bool(false));
        let total = store::time(entry, "totalTokens");
        row.extend(total.filter(|_| fresh).map(|total| ("totalTokens".to_owned(), total.into())));
        row.insert("totalTokensFresh".to_owned(), (total.is_some() && fresh).into());
        row.insert("key".to_owned(), self.key.clone().into());
        row.insert("kind".to_owned(), keys::kind(&self.key, entry).into());
        row.insert("updatedAt".to_owned(), store::time(entry, "updatedAt").into());
        row.extend(self.display_name().map(|name| ("displayName".to_owned(), name.into())));
        row.extend(self.channel().map(|channel| ("channel".to_owned(), channel.into())));
        let (provider, model) = self.model(query);
        row.extend(provider.map(|provider| ("modelProvider".to_owned(), provider.into())));
        row.extend(model.map(|model| ("model".to_owned(), model.into())));
        row
    }

    /// What protocol 4 has beside: a gateway without a runtime runs nothing.
    fn newer(&self, query: &Query<'_>) -> Map<String, Value> {
        let main = self.key == keys::main_of(&self.agent);
        let pinned = self.entry.get("pinned") == Some(&Value::Bool(true))
            || store::time(&self.entry, "pinnedAt").is_some();
        let newer = json!({
            "agentId": self.agent,
            "isMain": main,
            "archived": self.is_archived(),
            "pinned": pinned,
            "hasActiveRun": false,
            "activeRunIds": [],
            "snapshotAt": query.now.unix_ms,
        });
        if let Value::Object(newer) = newer { newer } else { Map::new() }
    }

    /// The channel of the entry, else that of the key.
    fn channel(&self) -> Option<&str> {
        store::text(&self.entry, "channel").or_else(|| keys::group(&self.key).map(|group| group.channel))
    }

    /// The name people gave it, else its group's, else its label.
    fn display_name(&self) -> Option<String> {
        let own = store::text(&self.entry, "displayName").map(str::to_owned);
        let rest = || {
            let label = store::text(&self.entry, "label");
            let origin = self.entry.get("origin").and_then(|origin| store::text(origin, "label"));
            label.or(origin).map(str::to_owned)
        };
        own.or_else(|| self.group_name()).or_else(rest)
    }

    /// `<channel>:<name of the group>`.
    fn group_name(&self) -> Option<String> {
        let channel = self.channel()?.trim().to_lowercase();
        let named = ["groupChannel", "subject", "space"].iter().find_map(|key| store::text(&self.entry, key));
        let name =
            named.map(|name| name.trim().to_lowercase().split_whitespace().collect::<Vec<_>>().join("-"));
        let id = || keys::group(&self.key).map(|group| group.id.to_owned());
        let name = name.or_else(id).unwrap_or_else(|| self.key.clone());
        let plain = name.starts_with(['#', '@']) || name.starts_with("g-") || name.contains('#');
        Some(if plain { format!("{channel}:{name}") } else { format!("{channel}:g-{name}") })
    }

    /// What a list calls the session: its name, else what was said first, else its id and day.
    fn title(&self, first_text: &dyn Fn() -> Option<String>) -> Option<String> {
        let named = ["displayName", "subject"].iter().find_map(|key| store::text(&self.entry, key));
        if let Some(name) = named {
            return Some(name.trim().to_owned());
        }
        first_text().map(|said| text::title(&said)).or_else(|| {
            let id = self.session_id()?;
            let start = id.get(..8).unwrap_or(id);
            let at = store::time(&self.entry, "updatedAt").filter(|at| *at > 0);
            Some(at.map_or_else(|| start.to_owned(), |at| format!("{start} ({})", Date::of(at).day())))
        })
    }

    /// Provider and model: of the last run, else as chosen for the session, else of the agent, else the default.
    fn model(&self, query: &Query<'_>) -> (Option<String>, Option<String>) {
        let entry = |key: &str| store::text(&self.entry, key).map(|text| text.trim().to_owned());
        for (provider, model) in [("modelProvider", "model"), ("providerOverride", "modelOverride")] {
            if let Some(model) = entry(model) {
                return match (entry(provider), model.split_once('/')) {
                    (Some(provider), _) => (Some(provider), Some(model)),
                    (None, Some((provider, model))) => (Some(provider.to_owned()), Some(model.to_owned())),
                    (None, None) => (None, Some(model)),
                };
            }
        }
        let agents = &query.setup.openclaw.agents;
        let own = agents.find(&self.agent).and_then(|agent| agent.model.as_ref());
        let Some(model) = own.or(agents.model.as_ref()) else { return (None, None) };
        (Some(model.provider.clone()).filter(|provider| !provider.is_empty()), Some(model.model.clone()))
    }
}

/// The configured model and context size; null where the configuration leaves the choice to the runtime.
pub(crate) fn defaults(query: &Query<'_>) -> Value {
    let agents = &query.setup.openclaw.agents;
    json!({
        "modelProvider": agents.model.as_ref().map(|model| &model.provider).filter(|provider| !provider.is_empty()),
        "model": agents.model.as_ref().map(|model| &model.model),
        "contextTokens": agents.context_tokens,
    })
}

/// The session that a chat is about, whether it has begun or not.
pub(crate) fn info(found: &store::Found, query: &Query<'_>) -> Value {
    let row = Row {
        key: found.key.clone(),
        agent: found.agent.clone(),
        folder: found.folder.clone(),
        entry: found.entry.clone(),
    };
    row.shown(query, Extras::NONE)
}

/// Members that are shown as the store has them.
const COPIED: &[&str] = &[
    "spawnedBy",
    "label",
    "subject",
    "groupChannel",
    "space",
    "chatType",
    "origin",
    "sessionId",
    "systemSent",
    "abortedLastRun",
    "thinkingLevel",
    "fastMode",
    "verboseLevel",
    "reasoningLevel",
    "elevatedLevel",
    "sendPolicy",
    "inputTokens",
    "outputTokens",
    "responseUsage",
    "contextTokens",
    "deliveryContext",
    "lastChannel",
    "lastTo",
    "lastAccountId",
    "lastInteractionAt",
    "archivedAt",
    "pinnedAt",
];
