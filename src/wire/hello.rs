//! The challenge and `hello-ok`, in the shape of each protocol.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Protocol;
use crate::limits;

/// The payload of `connect.challenge`, the first frame of every connection.
#[derive(Debug, Serialize)]
pub struct Challenge<'a> {
    /// What the device signs; good for this connection alone.
    pub nonce: &'a str,
    /// Our clock, ms since 1970; clients of protocol 4 sign with it.
    pub ts: u64,
}

/// The payload that answers `connect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloOk<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    protocol: u32,
    /// Who answers.
    pub server: Server<'a>,
    /// What can be called and heard.
    pub features: &'a RawValue,
    /// The state of things at this moment.
    pub snapshot: Snapshot<'a>,
    /// What was granted. Protocol 3 clients know `deviceToken`, `role`, `scopes`, `issuedAtMs` and ignore the rest.
    pub auth: Auth<'a>,
    /// The bounds of the connection.
    pub policy: Policy,
}

/// `hello-ok.server`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Server<'a> {
    /// The version that clients show.
    pub version: &'a str,
    /// The connection's id, as in the journal's `CONN_ID`.
    pub conn_id: &'a str,
    /// Changes with every run (protocol 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<&'a str>,
}

/// `hello-ok.snapshot`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot<'a> {
    /// The presence list; empty for those who may not read it.
    pub presence: Vec<Value>,
    /// The last health snapshot.
    pub health: &'a RawValue,
    /// How current the two are.
    pub state_version: super::frame::StateVersion,
    /// Since loopgated started, in milliseconds.
    pub uptime_ms: u64,
    /// The path of openclaw.json; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// OpenClaw's state folder; for admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// Which session a client talks to if it names none.
    pub session_defaults: SessionDefaults<'a>,
    /// `none`, `token` or `password`.
    pub auth_mode: &'static str,
    /// The runtime, if there should be one. OpenClaw has no such member; its clients pass over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime<'a>>,
}

/// `hello-ok.snapshot.runtime`.
#[derive(Debug, Serialize)]
pub struct Runtime<'a> {
    /// `ready`, `away`, `starting`, `refusing` or `stalled`.
    pub state: &'static str,
    /// What it told when it was there last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'a str>,
}

/// `hello-ok.snapshot.sessionDefaults`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionDefaults<'a> {
    /// The agent.
    pub default_agent_id: &'a str,
    /// The key of its main session.
    pub main_key: &'static str,
    /// The same with the agent's id.
    pub main_session_key: String,
    /// `per-sender` or `global`.
    pub scope: &'static str,
}

/// `hello-ok.auth`: always there, so that no client has to guess what it may do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth<'a> {
    /// How the connection proved who it is (protocol 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// A new secret of this device, if one was issued just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_token: Option<&'a str>,
    /// The role.
    pub role: &'static str,
    /// What is granted and enforced, implied scopes included.
    pub scopes: Vec<&'static str>,
    /// When the device token was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_at_ms: Option<u64>,
}

/// `hello-ok.policy`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The largest message that is taken.
    pub max_payload: usize,
    /// Unsent bytes after which a slow client is closed.
    pub max_buffered_bytes: usize,
    /// The interval of `tick`.
    pub tick_interval_ms: u64,
}

impl<'a> HelloOk<'a> {
    /// A `hello-ok` of this protocol.
    pub fn new(
        protocol: Protocol,
        server: Server<'a>,
        features: &'a RawValue,
        snapshot: Snapshot<'a>,
        auth: Auth<'a>,
    ) -> Self {
        Self {
            kind: "hello-ok",
            protocol: protocol.number(),
            server,
            features,
            snapshot,
            auth,
            policy: Policy {
                max_payload: limits::MESSAGE_BYTES_MAX,
                max_buffered_bytes: limits::TX_QUEUE_BYTES.default,
                tick_interval_ms: crate::clock::millis(limits::TICK),
            },
        }
    }

    /// The same with the bound of the write queue that the settings chose.
    #[must_use]
    pub fn with_tx_queue(mut self, bytes: usize) -> Self {
        self.policy.max_buffered_bytes = bytes;
        self
    }
}
