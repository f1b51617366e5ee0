//! Work that reads files. It runs off the loop, on values; what it makes comes back as an [`Outcome`].
//!
//! Rule: a job is pure but for [`Files`]: the same files and the same clock give the same outcome.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::io::{FileError, Files};
use super::{Setup, native};
use crate::clock::{Now, millis};
use crate::limits;
use crate::policy::scope::Scopes;
use crate::policy::secret::Digest;
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;

/// A method that answers from files: the payload as JSON text, or the error to send.
pub type FileMethod = fn(&Query<'_>) -> Result<String, ErrorShape>;

/// Something to do off the loop.
pub enum Job {
    /// Answer a call.
    Call {
        /// The method's function.
        method: FileMethod,
        /// The params; `Value::Null` if there were none.
        params: Value,
        /// The setup when the call came.
        setup: Arc<Setup>,
        /// The caller's protocol: shapes differ.
        protocol: Protocol,
        /// The caller's scopes: some answers show more to an admin.
        scopes: Scopes,
        /// What the gateway knew when the call came.
        live: Arc<Live>,
    },
    /// Make the health snapshot.
    Health {
        /// The setup.
        setup: Arc<Setup>,
    },
    /// Read what OpenClaw has paired.
    Pairings {
        /// The setup.
        setup: Arc<Setup>,
    },
    /// Look a bootstrap token up in OpenClaw's `devices/bootstrap.json`.
    Bootstrap {
        /// The setup.
        setup: Arc<Setup>,
        /// What was presented.
        token: Presented,
    },
}

/// What the gateway itself knows and files do not; shown by `status`. A stored format: it outlives a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Live {
    /// The switch of `set-heartbeats`.
    pub heartbeats: bool,
    /// The last heartbeat, or `null`.
    pub last_heartbeat: Value,
    /// Texts of `system-event` for the main session, oldest first.
    pub system_events: Vec<String>,
    /// Random, made at start: keys the hashes that clients of protocol 4 compare, so that they tell nothing of secrets.
    pub hash_key: [u8; 32],
}

/// The content of OpenClaw's `devices/paired.json` and `nodes/paired.json`.
pub struct Pairings {
    /// The devices.
    pub devices: Vec<u8>,
    /// The older node store, if there is one.
    pub nodes: Option<Vec<u8>>,
}

/// A secret on its way to a job; never printed.
pub struct Presented(pub String);

/// What a job made.
#[derive(Debug)]
pub enum Outcome {
    /// The answer to a call.
    Answer(Result<String, ErrorShape>),
    /// The health snapshot as JSON.
    Health(Box<RawValue>),
    /// OpenClaw's pairings: none if there is no file, an error if it cannot be read.
    Pairings(Result<Option<Pairings>, String>),
    /// Until when the bootstrap token is good, ms since 1970; `None` if it is unknown or too old.
    Bootstrap(Option<u64>),
}

/// A call as a [`FileMethod`] sees it.
pub struct Query<'a> {
    /// The params; `Value::Null` if there were none.
    pub params: &'a Value,
    /// Configuration and facts about the machine.
    pub setup: &'a Setup,
    /// The caller's protocol.
    pub protocol: Protocol,
    /// The caller's scopes.
    pub scopes: Scopes,
    /// The files.
    pub files: &'a dyn Files,
    /// When the job runs.
    pub now: Now,
    /// What the gateway knew when the call came.
    pub live: &'a Live,
}

impl Job {
    /// Does it.
    pub fn run(self, files: &dyn Files, now: Now) -> Outcome {
        match self {
            Self::Call { method, params, setup, protocol, scopes, live } => {
                let query =
                    Query { params: &params, setup: &setup, protocol, scopes, files, now, live: &live };
                Outcome::Answer(method(&query))
            }
            Self::Health { setup } => {
                let snapshot = native::health::snapshot(&setup, files, now);
                Outcome::Health(to_raw_value(&snapshot).unwrap_or_default())
            }
            Self::Pairings { setup } => Outcome::Pairings(pairings(&setup, files)),
            Self::Bootstrap { setup, token } => Outcome::Bootstrap(bootstrap(&setup, &token.0, files, now)),
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { heartbeats: true, last_heartbeat: Value::Null, system_events: Vec::new(), hash_key: [0; 32] }
    }
}

fn pairings(setup: &Setup, files: &dyn Files) -> Result<Option<Pairings>, String> {
    let read = |name: &str| {
        let path = setup.openclaw.state_dir.join(name).join("paired.json");
        match files.read(&path, limits::STATE_FILE_BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::Missing) => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        }
    };
    match read("devices")? {
        Some(devices) => Ok(Some(Pairings { devices, nodes: read("nodes")? })),
        None => Ok(None),
    }
}

/// OpenClaw writes bootstrap tokens as an object keyed by token: `{token, ts, issuedAtMs}` (protocol.md 5.1). Every
/// entry is compared, so that the time taken says nothing about the token.
fn bootstrap(setup: &Setup, token: &str, files: &dyn Files, now: Now) -> Option<u64> {
    let path = setup.openclaw.state_dir.join("devices").join("bootstrap.json");
    let bytes = files.read(&path, limits::CONFIG_BYTES_MAX).ok()?;
    let file: Value = serde_json::from_slice(&bytes).ok()?;
    let presented = Digest::of(token);
    let issued = file.as_object()?.iter().fold(None, |found, (key, entry)| {
        let at = ["issuedAtMs", "ts"].iter().find_map(|name| entry.get(name)?.as_u64());
        if presented.matches(key) { at } else { found }
    })?;
    let expires = issued.saturating_add(millis(limits::BOOTSTRAP_AGE));
    (expires > now.unix_ms && issued <= now.unix_ms.saturating_add(limits::DEVICE_SKEW_MS)).then_some(expires)
}

impl fmt::Debug for Pairings {
    /// Without the content: it holds tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pairings({} bytes)", self.devices.len())
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { protocol, .. } => write!(f, "Call(protocol {protocol})"),
            Self::Health { .. } => f.write_str("Health"),
            Self::Pairings { .. } => f.write_str("Pairings"),
            Self::Bootstrap { .. } => f.write_str("Bootstrap"),
        }
    }
}
