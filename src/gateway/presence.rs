//! Who is here: the presence list of `system-presence`, the hello snapshot and the `presence` event.
//!
//! Source: OpenClaw 2026.3.13. An entry lives as long as its connection (there it vanished after five minutes even if
//! the client was still connected) and [`limits::PRESENCE_AGE`] longer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Host;
use crate::clock::{Now, millis};
use crate::limits;
use crate::policy::scope::Grant;
use crate::wire::Protocol;
use crate::wire::connect::Client;

/// The presence list.
#[derive(Debug)]
pub(super) struct Presence {
    version: u64,
    entries: BTreeMap<String, Entry>,
    /// Entries that had connections before a restart, until those are counted again.
    awaited: Vec<String>,
}

/// One line of the list, as it goes over the wire, and as it is stored over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_input_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance_id: Option<String>,
    pub(super) text: String,
    pub(super) ts: u64,
    /// Connections that keep the entry alive.
    #[serde(skip)]
    pub(super) holders: u32,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self { version: 1, entries: BTreeMap::new(), awaited: Vec::new() }
    }

    /// How often the list has changed, plus one: `stateVersion.presence`.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Enters a client that was admitted. Its key, or `None` if clients of its mode are not listed: a command line
    /// lives for milliseconds.
    pub(super) fn join(&mut self, client: &Client, grant: &Grant, conn: &str, now: Now) -> Option<String> {
        if client.mode == "cli" {
            return None;
        }
        let key = grant.device().or(client.instance_id.as_deref()).unwrap_or(conn).to_ascii_lowercase();
        let holders = self.entries.get(&key).map_or(0, |entry| entry.holders);
        let host = client.display_name.clone().unwrap_or_else(|| client.id.clone());
        let entry = Entry {
            text: format!("Node: {host} · mode {}", client.mode),
            host: Some(host),
            version: Some(client.version.clone()),
            platform: Some(client.platform.clone()),
            device_family: client.device_family.clone(),
            model_identifier: client.model_identifier.clone(),
            mode: Some(client.mode.clone()),
            reason: Some("connect".to_owned()),
            device_id: grant.device().map(str::to_owned),
            roles: vec![grant.role().name().to_owned()],
            scopes: scope_names(grant),
            instance_id: grant.device().map(str::to_owned).or_else(|| client.instance_id.clone()),
            ts: now.unix_ms,
            holders: holders + 1,
            ..Entry::default()
        };
        self.put(key.clone(), entry, now);
        Some(key)
    }

    /// A connection that [`Presence::join`] entered is gone.
    pub(super) fn leave(&mut self, key: &str, now: Now) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.holders = entry.holders.saturating_sub(1);
            entry.ts = now.unix_ms;
            if entry.holders == 0 {
                entry.reason = Some("disconnect".to_owned());
            }
            self.version += 1;
        }
    }

    /// Enters or replaces an entry that was told by `system-event`.
    pub(super) fn put(&mut self, key: String, entry: Entry, now: Now) {
        self.forget_old(now);
        if self.entries.len() >= limits::PRESENCE_MAX && !self.entries.contains_key(&key) {
            let idle = self.entries.iter().filter(|(_, e)| e.holders == 0).min_by_key(|(_, e)| e.ts);
            match idle.map(|(key, _)| key.clone()) {
                Some(oldest) => drop(self.entries.remove(&oldest)),
                None => return,
            }
        }
        self.entries.insert(key, entry);
        self.version += 1;
    }

    /// The list as it stands, for a process that goes on with it. The connections behind the entries have to be counted
    /// again ([`Presence::rejoin`]).
    pub(super) fn export(&self) -> (u64, &BTreeMap<String, Entry>) {
        (self.version, &self.entries)
    }

    /// The keys of entries with a connection.
    pub(super) fn held(&self) -> Vec<&str> {
        let held = self.entries.iter().filter(|(_, entry)| entry.holders > 0);
        held.map(|(key, _)| key.as_str()).collect()
    }

    /// Puts back what [`Presence::export`] and [`Presence::held`] gave.
    pub(super) fn import(&mut self, version: u64, entries: BTreeMap<String, Entry>, held: Vec<String>) {
        self.version = version.max(self.version);
        self.entries = entries;
        self.awaited = held;
    }

    /// A connection that was entered before a restart is still there.
    /// False: there is no such entry, it has to join.
    pub(super) fn rejoin(&mut self, key: &str) -> bool {
        let entry = self.entries.get_mut(key);
        entry.map(|entry| entry.holders += 1).is_some()
    }

    /// Nobody is behind these entries any more: their connections did not outlive the restart.
    pub(super) fn part_with_the_lost(&mut self, now: Now) -> bool {
        let mut any = false;
        for key in std::mem::take(&mut self.awaited) {
            if self.entries.get(&key).is_some_and(|entry| entry.holders == 0) {
                self.leave(&key, now);
                any = true;
            }
        }
        any
    }

    /// What a connection may do has changed.
    pub(super) fn rescope(&mut self, key: &str, grant: &Grant) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.scopes = scope_names(grant);
            self.version += 1;
        }
    }

    /// An entry by key.
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The list, newest first, with the gateway itself at its head.
    pub(super) fn list(&mut self, host: &Host, version: &str, now: Now) -> Vec<Value> {
        self.forget_old(now);
        let mut others: Vec<&Entry> = self.entries.values().collect();
        others.sort_by_key(|entry| std::cmp::Reverse(entry.ts));
        let this = gateway_entry(host, version, now);
        std::iter::once(&this).chain(others).filter_map(|entry| serde_json::to_value(entry).ok()).collect()
    }

    fn forget_old(&mut self, now: Now) {
        let age = millis(limits::PRESENCE_AGE);
        self.entries.retain(|_, entry| entry.holders > 0 || entry.ts.saturating_add(age) > now.unix_ms);
    }
}

fn scope_names(grant: &Grant) -> Vec<String> {
    grant.scopes().names(Protocol::V4).map(str::to_owned).collect()
}

/// The gateway's own line. Clients know it by mode `gateway` and reason `self`; `openclaw status` prints host and
/// version from it.
fn gateway_entry(host: &Host, version: &str, now: Now) -> Entry {
    Entry {
        text: format!("Gateway: {} · app {version} · mode gateway · reason self", host.name),
        host: Some(host.name.clone()),
        version: Some(version.to_owned()),
        platform: Some(host.platform.clone()),
        device_family: Some("Linux".to_owned()),
        model_identifier: Some(host.arch.clone()),
        mode: Some("gateway".to_owned()),
        reason: Some("self".to_owned()),
        ts: now.unix_ms,
        ..Entry::default()
    }
}

/// What a `system-event` text of the form `Node: host (ip) · app V · last input Ns ago · mode M · reason R` says.
pub(super) fn parse_node_text(text: &str) -> Option<Map<String, Value>> {
    let mut parts = text.strip_prefix("Node:")?.split('·').map(str::trim);
    let mut said = Map::new();
    let head = parts.next()?;
    let (host, ip) = match head.split_once('(') {
        Some((host, rest)) => (host.trim(), rest.trim_end_matches(')').trim()),
        None => (head, ""),
    };
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            said.insert(key.to_owned(), Value::from(value));
        }
    };
    put("host", host);
    put("ip", ip);
    for part in parts {
        for (prefix, key) in [("app ", "version"), ("mode ", "mode"), ("reason ", "reason")] {
            if let Some(value) = part.strip_prefix(prefix) {
                put(key, value.trim());
            }
        }
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn host() -> Host {
        Host { name: "vm".into(), platform: "linux 6".into(), arch: "x64".into() }
    }

    #[test]
    fn the_list_is_bounded_and_old_entries_go() {
        let now = Now { mono: Instant::now(), unix_ms: 1_000_000 };
        let mut presence = Presence::new();
        for n in 0..limits::PRESENCE_MAX + 50 {
            let entry = Entry { ts: now.unix_ms + n as u64, ..Entry::default() };
            presence.put(format!("{n}"), entry, now);
        }
        assert_eq!(presence.list(&host(), "1", now).len(), limits::PRESENCE_MAX + 1);
        let later = now.later(limits::PRESENCE_AGE + Duration::from_secs(2));
        assert_eq!(presence.list(&host(), "1", later).len(), 1);
    }

    #[test]
    fn node_texts_are_read() {
        let said =
            parse_node_text("Node: box (10.0.0.2) · app 1.2 · last input 3s ago · mode ui · reason beat")
                .unwrap();
        let want = r#"{"host":"box","ip":"10.0.0.2","mode":"ui","reason":"beat","version":"1.2"}"#;
        assert_eq!(serde_json::to_string(&said).unwrap(), want);
        assert!(parse_node_text("hello").is_none());
    }
}
