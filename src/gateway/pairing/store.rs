//! The pairing file: versioned JSON in which nothing is lost that another version wrote.
//!
//! Rule: a file that is not understood in full is an error, never an empty store. Keys that this version does not know
//! are kept and written back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::policy::scope::{Role, Scopes};
use crate::policy::secret::Digest;

/// Everything that outlives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    version: u64,
    /// Devices by id.
    pub(super) devices: BTreeMap<String, Device>,
    /// Nodes by id: the surface that was approved for each.
    pub(super) nodes: BTreeMap<String, Node>,
    /// Bootstrap tokens that were used, until they would have expired anyway.
    pub(super) bootstrap_spent: Vec<Spent>,
    /// Whether OpenClaw's own pairings were taken over.
    pub(super) imported: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A paired device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// SHA-256 of the public key, hex; also the key of the record.
    pub device_id: String,
    /// Raw Ed25519 key, base64url.
    pub public_key: String,
    /// What the device calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What an operator calls it (`device.pair.rename`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_label: Option<String>,
    /// As approved; a device that claims another one asks again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// As approved; see `platform`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// The program that connected last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mode: Option<String>,
    /// Where it came from, if not from this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// Approved roles by name, in order of approval.
    pub roles: Vec<String>,
    /// Approved scopes by name, in order of approval; names of other versions are kept.
    pub approved_scopes: Vec<String>,
    /// One token a role.
    #[serde(default)]
    pub tokens: BTreeMap<String, Token>,
    /// First approval, ms since 1970.
    pub created_at_ms: u64,
    /// Last approval, ms since 1970.
    pub approved_at_ms: u64,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// A token of a device for one role. The secret itself is known to the device alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// SHA-256 of the token. `None`: it was rotated by somebody else than its device, so nobody holds the new one; the
    /// device gets one when it connects next.
    pub digest: Option<Digest>,
    /// What the token is good for; never more than the device was approved for.
    pub scopes: Vec<String>,
    /// First issue, ms since 1970.
    pub created_at_ms: u64,
    /// Last change of the secret, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at_ms: Option<u64>,
    /// Since when it is worth nothing, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<u64>,
    /// Last use, ms since 1970. Reaches the disk with the next change, never by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at_ms: Option<u64>,
    /// The secret before the last rotation, while it is still taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// A rotated secret in its overlap window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// SHA-256 of the old token.
    pub digest: Digest,
    /// Taken before this time, ms since 1970.
    pub until_ms: u64,
}

/// What was approved for a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The device id, or a name of its own for a node of the older kind (`node.pair.request`).
    pub node_id: String,
    /// What an operator or the node calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `linux`, `darwin`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Of the node program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of its core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_version: Option<String>,
    /// Of its user interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui_version: Option<String>,
    /// `Linux`, `iPhone`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mode: Option<String>,
    /// Where it came from, if not from this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// Approved capabilities, sorted.
    #[serde(default)]
    pub caps: Vec<String>,
    /// Approved commands, sorted.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Approved permissions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<String, bool>,
    /// SHA-256 of the token of a node of the older kind; it opens nothing but `node.pair.verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// First approval, ms since 1970.
    pub created_at_ms: u64,
    /// Last approval, ms since 1970.
    pub approved_at_ms: u64,
    /// Last connection, ms since 1970. Reaches the disk with the next change, never by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_connected_at_ms: Option<u64>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// A bootstrap token that was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spent {
    pub(super) digest: Digest,
    pub(super) expires_at_ms: u64,
}

impl Store {
    /// Reads the file.
    ///
    /// # Errors
    /// The file is not JSON, is of a newer version, or has a record that makes no sense; the text says what and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let head: Head = serde_json::from_slice(bytes).map_err(|e| format!("not a pairing store: {e}"))?;
        match head.version {
            None => return Err("not a pairing store: there is no version".to_owned()),
            Some(VERSION) => {}
            Some(version) => {
                return Err(format!(
                    "pairing store has version {version}, this loopgate knows {VERSION}; install the loopgate that wrote it"
                ));
            }
        }
        let store: Self = serde_json::from_slice(bytes).map_err(|e| format!("pairing store: {e}"))?;
        check_keys("device", store.devices.iter().map(|(key, device)| (key, &device.device_id)))?;
        check_keys("node", store.nodes.iter().map(|(key, node)| (key, &node.node_id)))?;
        Ok(store)
    }

    /// The file: JSON with two spaces, the same bytes for the same store.
    pub fn render(&self) -> Vec<u8> {
        // String keys throughout, so this cannot fail; and an empty file would be refused, not taken for a store.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Whether OpenClaw's own pairings were taken over already.
    pub fn imported(&self) -> bool {
        self.imported
    }

    /// The paired devices, by id.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// The approved nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// What was approved for a node.
    pub fn node(&self, node_id: &str) -> Option<&Node> {
        self.nodes.get(node_id)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            version: VERSION,
            devices: BTreeMap::new(),
            nodes: BTreeMap::new(),
            bootstrap_spent: Vec::new(),
            imported: false,
            rest: Map::new(),
        }
    }
}

impl Device {
    /// Whether the role was approved.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.iter().any(|name| name == role.name())
    }

    /// The approved scopes that this version knows, implied ones included.
    pub fn scopes(&self) -> Scopes {
        Scopes::from_names(self.approved_scopes.iter().map(String::as_str))
    }

    /// Whether there is a role beside `operator`, which only an admin may handle.
    pub(super) fn is_more_than_operator(&self) -> bool {
        self.roles.iter().chain(self.tokens.keys()).any(|role| role != Role::Operator.name())
    }
}

impl Token {
    /// Whether somebody holds this token and it is worth something.
    pub fn is_live(&self) -> bool {
        self.revoked_at_ms.is_none() && self.digest.is_some()
    }

    /// The scopes that this version knows, implied ones included.
    pub fn scopes(&self) -> Scopes {
        Scopes::from_names(self.scopes.iter().map(String::as_str))
    }
}

#[derive(Deserialize)]
struct Head {
    version: Option<u64>,
}

/// A record under a key that is not its own would be found by one name and believed under another.
fn check_keys<'a>(kind: &str, records: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), String> {
    for (key, id) in records {
        if key.is_empty() || key != id {
            return Err(format!("pairing store: the {kind} under `{key}` calls itself `{id}`"));
        }
    }
    Ok(())
}

const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../../tests/data/pairing/store.json");

    #[test]
    fn a_file_comes_back_byte_by_byte_with_what_we_do_not_know() {
        let store = Store::parse(FILE.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(store.render()).unwrap(), FILE.trim_end());
        let device = store.devices().next().unwrap();
        assert!(device.scopes().covers(Scopes::ADMIN));
        assert!(device.approved_scopes.contains(&"operator.future".to_owned()));
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_it() {
        let newer = FILE.replace("\"version\": 1", "\"version\": 2");
        let stranger = FILE.replacen("\"deviceId\": \"5", "\"deviceId\": \"6", 1);
        let short = FILE.replacen("\"digest\": \"0", "\"digest\": \"", 1);
        let cases = [
            ("", "not a pairing store: EOF"),
            ("[]", "not a pairing store"),
            ("{}", "there is no version"),
            (r#"{"version":"1"}"#, "invalid type: string"),
            (r#"{"version":1}"#, "missing field `devices`"),
            (&FILE[..FILE.len() / 2], "not a pairing store: EOF"),
            (&newer, "version 2, this loopgate knows 1"),
            (&stranger, "calls itself `6"),
            (&short, "64 lower-case hex digits"),
        ];
        for (text, want) in cases {
            let error = Store::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn an_empty_store_is_a_store() {
        let store = Store::default();
        assert_eq!(Store::parse(&store.render()).unwrap(), store);
    }
}
