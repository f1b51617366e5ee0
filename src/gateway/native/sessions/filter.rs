//! Which sessions `sessions.list` shows: its params, and what they leave out.

use serde_json::Value;

use crate::gateway::job::Query;
use crate::limits;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::params::Reader;

use super::row::{Extras, Row};
use crate::gateway::native::answer::{checked, params, whole, wide};
use crate::gateway::native::{keys, store};

/// What the caller wants to see.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// At most this many; `None` for all.
    pub(crate) limit: Option<usize>,
    /// Skip this many first.
    pub(crate) offset: usize,
    /// What to read of each transcript.
    pub(crate) extras: Extras,
    /// The keys of sessions without a sender that are shown.
    shared: Vec<&'static str>,
    /// Sessions of this agent.
    agent: Option<String>,
    /// Sessions that this one began.
    spawned_by: Option<String>,
    /// Sessions with this label.
    label: Option<String>,
    /// Sessions with this text in a name, in lower case.
    search: Option<String>,
    /// Sessions that something happened in since then.
    active_minutes: Option<u64>,
    newer: Newer,
}

/// The filters that protocol 4 has.
#[derive(Debug, Default)]
struct Newer {
    /// Sessions of agents that the configuration names.
    configured_only: bool,
    /// Sessions that a person took part in.
    interacted: bool,
    sort_by: Option<&'static str>,
    archived: Archived,
    /// Members of an entry that must have a value: a pointer and the value.
    equal: Vec<(&'static str, String)>,
    /// Somebody in particular must have taken part, which a store in a file does not tell of anybody.
    involving: bool,
}

/// What to do with archived sessions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Archived {
    /// Leave them out; protocol 3 does not know them and shows all.
    #[default]
    Out,
    /// Show nothing else.
    Only,
    /// Show them among the others.
    All,
}

impl Filter {
    /// Reads the params of `sessions.list`.
    pub(crate) fn read(query: &Query<'_>) -> Result<Self, ErrorShape> {
        const METHOD: &str = "sessions.list";
        let mut reader = params(query, METHOD)?;
        let mut filter = Self::narrow(&mut reader, query);
        filter.limit = whole(&mut reader, "limit", 1);
        filter.extras = Extras::read(&mut reader);
        filter.label = label(&mut reader, query.protocol);
        filter.search =
            reader.text("search").map(|text| text.trim().to_lowercase()).filter(|text| !text.is_empty());
        filter.active_minutes = whole(&mut reader, "activeMinutes", 1).map(wide);
        if query.protocol == Protocol::V4 {
            filter.limit = filter.limit.or(Some(limits::SESSIONS_LISTED));
            filter.offset = whole(&mut reader, "offset", 0).unwrap_or(0);
            filter.newer = Newer::read(&mut reader);
        }
        checked(reader, METHOD)?;
        Ok(filter)
    }

    /// Reads the params that `sessions.resolve` has too.
    pub(crate) fn narrow(reader: &mut Reader<'_>, query: &Query<'_>) -> Self {
        let archived = if query.protocol == Protocol::V4 { Archived::Out } else { Archived::All };
        let mut shared = Vec::new();
        for (key, name) in [("includeGlobal", keys::GLOBAL), ("includeUnknown", keys::UNKNOWN)] {
            if reader.flag(key) == Some(true) {
                shared.push(name);
            }
        }
        Self {
            shared,
            agent: reader.name("agentId").map(keys::agent_id),
            spawned_by: reader.name("spawnedBy").map(str::to_owned),
            newer: Newer { archived, ..Newer::default() },
            ..Self::default()
        }
    }

    /// Leaves out what the caller does not want to see, and sorts.
    pub(crate) fn apply(&self, rows: &mut Vec<Row>, query: &Query<'_>) {
        rows.retain(|row| {
            self.takes_key(row) && self.takes_entry(row, query) && self.newer.takes(row, query)
        });
        if self.newer.sort_by == Some("lastInteractionAt") {
            rows.sort_by_key(|row| std::cmp::Reverse(store::time(&row.entry, "lastInteractionAt")));
        }
    }

    /// Sessions without a sender are shown if they are asked for; runs of cron jobs never are.
    fn takes_key(&self, row: &Row) -> bool {
        let key = row.key.as_str();
        if key == keys::GLOBAL || key == keys::UNKNOWN {
            return self.shared.contains(&key) && self.agent.is_none() && self.spawned_by.is_none();
        }
        !keys::is_cron_run(key) && self.agent.as_ref().is_none_or(|id| row.agent == *id)
    }

    fn takes_entry(&self, row: &Row, query: &Query<'_>) -> bool {
        let is = |key: &str, want: &Option<String>| {
            want.is_none() || row.entry.get(key).and_then(Value::as_str) == want.as_deref()
        };
        let active = self.active_minutes.is_none_or(|minutes| {
            let since = query.now.unix_ms.saturating_sub(minutes.saturating_mul(60_000));
            store::time(&row.entry, "updatedAt").unwrap_or(0) >= since
        });
        let found = self.search.as_ref().is_none_or(|search| row.mentions(search));
        is("spawnedBy", &self.spawned_by) && is("label", &self.label) && active && found
    }
}

impl Newer {
    fn read(reader: &mut Reader<'_>) -> Self {
        let archived = match reader.value("archived") {
            Some(Value::String(all)) if all == "all" => Archived::All,
            Some(Value::Bool(true)) => Archived::Only,
            Some(Value::Bool(false)) | None => Archived::Out,
            Some(_) => reader.wrong("archived", "must be boolean or \"all\"").unwrap_or_default(),
        };
        let mut equal = Vec::new();
        equal.extend(
            reader.word("boardFace", &["chat", "dashboard"]).map(|face| ("/boardFace", face.to_owned())),
        );
        equal.extend(reader.name("creatorId").map(|id| ("/createdActor/id", id.to_owned())));
        equal.extend(reader.name("ownerId").map(|id| ("/owner/actor/id", id.to_owned())));
        let involving_me = reader.flag("involvingMe") == Some(true);
        let involving = reader.name("involvingProfileId").is_some();
        // These two change nothing here: no row has an owner or people.
        reader.flag("ownerFirst");
        reader.flag("includePeople");
        Self {
            configured_only: reader.flag("configuredAgentsOnly") == Some(true),
            interacted: reader.flag("requireLastInteraction") == Some(true),
            sort_by: reader.word("sortBy", &["updatedAt", "lastInteractionAt"]),
            archived,
            equal,
            involving: involving || involving_me,
        }
    }

    fn takes(&self, row: &Row, query: &Query<'_>) -> bool {
        let archived = match self.archived {
            Archived::Out => !row.is_archived(),
            Archived::Only => row.is_archived(),
            Archived::All => true,
        };
        let configured = || !self.configured_only || query.setup.openclaw.agents.find(&row.agent).is_some();
        let interacted = || !self.interacted || store::time(&row.entry, "lastInteractionAt").is_some();
        let equal = || {
            self.equal
                .iter()
                .all(|(at, want)| row.entry.pointer(at).and_then(Value::as_str) == Some(want.as_str()))
        };
        archived && !self.involving && configured() && interacted() && equal()
    }
}

/// `label`: not empty, and not longer than the protocol allows.
pub(crate) fn label(reader: &mut Reader<'_>, protocol: Protocol) -> Option<String> {
    let max = match protocol {
        Protocol::V3 => limits::LABEL_CHARS_MAX[0],
        Protocol::V4 => limits::LABEL_CHARS_MAX[1],
    };
    let label = reader.name("label")?;
    if label.chars().count() > max {
        return reader.wrong("label", &format!("must NOT have more than {max} characters"));
    }
    Some(label.trim().to_owned()).filter(|label| !label.is_empty())
}
