//! What is changed on the way where a client and the runtime speak different protocols.
//!
//! Protocol 4 has grown out of protocol 3: a newer runtime takes every param of an older client, while an older runtime
//! refuses each param that it has never heard of. So params are changed for older runtimes alone, and answers and events
//! get what clients of the other protocol cannot do without. Whoever is not in the [`table`] needs no change; both Control
//! UIs, both command lines and the published schema of protocol 4 were held against both runtimes.
//!
//! Rule: where both speak the same protocol nothing is even read, and what is read is read one level deep. A param is taken
//! away only if the call then does the same, or reads more than was asked for and says of each thing what it is. What
//! keeps a change from being made (`expected…`) stays: the runtime refuses it, which is true.

mod table;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::Protocol;
use crate::wire::frame;
use table::{ADDITIONS, Addition, EVENTS_V3, METHODS_V3, Removal, removals};

/// Who speaks what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Between {
    pub(in crate::gateway) client: Protocol,
    pub(in crate::gateway) runtime: Protocol,
}

/// What a client is told of an event of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum Told {
    /// The payload as it is.
    AsItIs,
    /// This payload.
    Changed(String),
    /// Nothing: no client of its protocol knows what that is.
    Nothing,
}

/// The members of a JSON object, each as it is written.
type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl Between {
    const fn is_older_runtime(self) -> bool {
        matches!((self.client, self.runtime), (Protocol::V4, Protocol::V3))
    }

    const fn is_newer_runtime(self) -> bool {
        matches!((self.client, self.runtime), (Protocol::V3, Protocol::V4))
    }
}

/// The params of a call as the runtime takes them; `None`: as they are.
pub(in crate::gateway) fn params(method: &str, params: &str, between: Between) -> Option<String> {
    let removals = if between.is_older_runtime() { removals(method)? } else { return None };
    let mut members = members(params)?;
    let before = members.len();
    for removal in removals {
        removal.apply(&mut members);
    }
    (members.len() != before).then(|| frame::to_json(&members))
}

/// The payload of a good answer as the client takes it; `None`: as it is.
pub(in crate::gateway) fn payload(method: &str, payload: &str, between: Between) -> Option<String> {
    if !between.is_older_runtime() {
        return None;
    }
    let additions = ADDITIONS.iter().filter(|addition| addition.method == method);
    with(payload, additions)
}

/// The payload of an event as the client takes it.
pub(in crate::gateway) fn event(name: &str, payload: &str, between: Between) -> Told {
    if between.is_newer_runtime() {
        let strange = EVENTS_V3.binary_search(&name).is_err();
        return if strange || (name == "chat" && is_status(payload)) { Told::Nothing } else { Told::AsItIs };
    }
    if between.is_older_runtime() && name == "chat" {
        return delta(payload).map_or(Told::AsItIs, Told::Changed);
    }
    Told::AsItIs
}

/// Whether a refusal with this message says no more than that the runtime does not know the method: 2026.3.13 tells that to
/// admins alone, and everybody else that admin is missing.
pub(in crate::gateway) fn is_unknown(method: &str, message: &str, between: Between) -> bool {
    let hidden = message == "missing scope: operator.admin" && METHODS_V3.binary_search(&method).is_err();
    message.starts_with("unknown method") || (hidden && between.is_older_runtime())
}

impl Removal {
    fn apply(&self, members: &mut Members<'_>) {
        match *self {
            Self::Always(name) => {
                members.remove(name);
            }
            Self::If(name, values) => {
                if members.get(name).is_some_and(|value| values.contains(&value.get())) {
                    members.remove(name);
                }
            }
            Self::AgentOf(key) => {
                let named = text(members, key).and_then(|key| agent_of(&key).map(str::to_owned));
                if named.is_some() && text(members, "agentId").as_deref() == named.as_deref() {
                    members.remove("agentId");
                }
            }
        }
    }
}

/// The object with what is missing in it.
fn with<'a>(payload: &str, additions: impl Iterator<Item = &'a Addition>) -> Option<String> {
    let mut additions = additions.peekable();
    additions.peek()?;
    let mut members = members(payload)?;
    let made: Vec<(&str, Box<RawValue>)> = additions
        .filter(|addition| !members.contains_key(addition.member))
        .filter_map(|addition| Some((addition.member, (addition.value)(&members)?)))
        .collect();
    members.extend(made.iter().map(|(name, value)| (Cow::Borrowed(*name), &**value)));
    (!made.is_empty()).then(|| frame::to_json(&members))
}

/// A piece of an answer, as protocol 4 requires it: what is new, and here, that it takes the place of all that came
/// before, for protocol 3 tells the whole text each time.
fn delta(payload: &str) -> Option<String> {
    let said: Said<'_> = serde_json::from_str(payload).ok()?;
    if said.state.as_deref() != Some("delta") || said.delta.is_some() {
        return None;
    }
    let text: String =
        said.message.unwrap_or_default().content.iter().filter_map(|part| part.text.as_deref()).collect();
    let (text, replace) =
        (RawValue::from_string(frame::to_json(&text)).ok()?, RawValue::from_string("true".into()).ok()?);
    let mut members = members(payload)?;
    members.insert(Cow::Borrowed("deltaText"), &text);
    members.insert(Cow::Borrowed("replace"), &replace);
    Some(frame::to_json(&members))
}

/// What a runtime of protocol 4 is doing before it says anything.
fn is_status(payload: &str) -> bool {
    serde_json::from_str::<Said<'_>>(payload).is_ok_and(|said| said.state.as_deref() == Some("status"))
}

/// The payload of `chat`, as far as it matters here.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "deltaText")]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize, Default)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Vec<Part<'a>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

/// `None`: not an object.
fn members(json: &str) -> Option<Members<'_>> {
    serde_json::from_str(json).ok()
}

fn text(members: &Members<'_>, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// The agent that the key of a session names: `agent:ID:…`.
fn agent_of(key: &str) -> Option<&str> {
    key.strip_prefix("agent:")?.split_once(':').map(|(agent, _)| agent)
}

#[cfg(test)]
mod tests;
