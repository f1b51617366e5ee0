//! OpenClaw's own pairings, taken over once so that nobody has to pair again.
//!
//! Rule: all or nothing. A file that is not understood is an error and imports nothing; OpenClaw's files are never
//! written. Tokens become digests on the way in.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Map;

use super::Pairing;
use super::request::unite;
use super::store::{Device, Node, Token};
use crate::policy::secret::Digest;

/// How many records were taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// When this is saved the import is done for good.
    pub revision: u64,
    /// Devices that were not known yet.
    pub devices: usize,
    /// Nodes that were not known yet.
    pub nodes: usize,
}

impl Pairing {
    /// Takes over `devices/paired.json` and, if there is one, `nodes/paired.json` of OpenClaw 2026.3.13, unless that
    /// was done before (`Ok(None)`). A record that is known already stays as it is.
    ///
    /// # Errors
    /// A file is not what OpenClaw writes; the text says which and why. Nothing is imported, and the import is tried
    /// again at the next start.
    pub fn import(&mut self, devices: &[u8], nodes: Option<&[u8]>) -> Result<Option<Imported>, String> {
        if self.store.imported {
            return Ok(None);
        }
        let devices: BTreeMap<String, TheirDevice> = read("devices/paired.json", devices)?;
        let nodes =
            nodes.map(|nodes| read::<TheirNode>("nodes/paired.json", nodes)).transpose()?.unwrap_or_default();
        check_keys("devices/paired.json", devices.iter().map(|(key, device)| (key, &device.device_id)))?;
        check_keys("nodes/paired.json", nodes.iter().map(|(key, node)| (key, &node.node_id)))?;
        let mut imported = Imported { revision: self.change(), ..Imported::default() };
        for (id, device) in devices {
            imported.devices += usize::from(!self.store.devices.contains_key(&id));
            self.store.devices.entry(id).or_insert_with(|| device.into_ours());
        }
        for (id, node) in nodes {
            imported.nodes += usize::from(!self.store.nodes.contains_key(&id));
            self.store.nodes.entry(id).or_insert_with(|| node.into_ours());
        }
        self.store.imported = true;
        Ok(Some(imported))
    }
}

/// A record of `devices/paired.json` (protocol.md 5.1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TheirDevice {
    device_id: String,
    public_key: String,
    display_name: Option<String>,
    operator_label: Option<String>,
    platform: Option<String>,
    device_family: Option<String>,
    client_id: Option<String>,
    client_mode: Option<String>,
    remote_ip: Option<String>,
    role: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    scopes: Option<Vec<String>>,
    approved_scopes: Option<Vec<String>>,
    #[serde(default)]
    tokens: BTreeMap<String, TheirToken>,
    created_at_ms: u64,
    approved_at_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TheirToken {
    token: String,
    #[serde(default)]
    scopes: Vec<String>,
    created_at_ms: u64,
    rotated_at_ms: Option<u64>,
    revoked_at_ms: Option<u64>,
    last_used_at_ms: Option<u64>,
}

/// A record of `nodes/paired.json` (protocol.md 5.8).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TheirNode {
    node_id: String,
    token: Option<String>,
    display_name: Option<String>,
    platform: Option<String>,
    version: Option<String>,
    core_version: Option<String>,
    ui_version: Option<String>,
    device_family: Option<String>,
    model_identifier: Option<String>,
    remote_ip: Option<String>,
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    commands: Vec<String>,
    #[serde(default)]
    permissions: BTreeMap<String, bool>,
    created_at_ms: u64,
    approved_at_ms: u64,
    last_connected_at_ms: Option<u64>,
}

impl TheirDevice {
    fn into_ours(self) -> Device {
        let mut roles = Vec::new();
        unite(&mut roles, self.roles.iter().chain(&self.role));
        // `scopes` holds what was asked for since; `approvedScopes`, where it exists, is what somebody agreed to.
        let mut approved_scopes = Vec::new();
        unite(&mut approved_scopes, self.approved_scopes.iter().chain(&self.scopes).take(1).flatten());
        Device {
            device_id: self.device_id,
            public_key: self.public_key,
            display_name: self.display_name,
            operator_label: self.operator_label,
            platform: self.platform,
            device_family: self.device_family,
            client_id: self.client_id,
            client_mode: self.client_mode,
            remote_ip: self.remote_ip,
            roles,
            approved_scopes,
            tokens: self.tokens.into_iter().map(|(role, token)| (role, token.into_ours())).collect(),
            created_at_ms: self.created_at_ms,
            approved_at_ms: self.approved_at_ms,
            rest: Map::new(),
        }
    }
}

impl TheirToken {
    fn into_ours(self) -> Token {
        Token {
            digest: Some(Digest::of(&self.token)),
            scopes: sorted(self.scopes),
            created_at_ms: self.created_at_ms,
            rotated_at_ms: self.rotated_at_ms,
            revoked_at_ms: self.revoked_at_ms,
            last_used_at_ms: self.last_used_at_ms,
            previous: None,
            rest: Map::new(),
        }
    }
}

impl TheirNode {
    fn into_ours(self) -> Node {
        Node {
            node_id: self.node_id,
            display_name: self.display_name,
            platform: self.platform,
            version: self.version,
            core_version: self.core_version,
            ui_version: self.ui_version,
            device_family: self.device_family,
            model_identifier: self.model_identifier,
            client_id: None,
            client_mode: None,
            remote_ip: self.remote_ip,
            caps: sorted(self.caps),
            commands: sorted(self.commands),
            permissions: self.permissions,
            digest: self.token.as_deref().map(Digest::of),
            created_at_ms: self.created_at_ms,
            approved_at_ms: self.approved_at_ms,
            last_connected_at_ms: self.last_connected_at_ms,
            rest: Map::new(),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<BTreeMap<String, T>, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("OpenClaw's {name}: {e}"))
}

fn check_keys<'a>(name: &str, records: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), String> {
    for (key, id) in records {
        if key.is_empty() || key != id {
            return Err(format!("OpenClaw's {name}: the record under `{key}` calls itself `{id}`"));
        }
    }
    Ok(())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}
