//! What is saved of everything that belongs to no single connection.
//!
//! Rule: as in [`super::record`], the names are a stored format.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Now;
use crate::gateway::Gateway;
use crate::gateway::io::ConnId;
use crate::gateway::job::Live;
use crate::gateway::nodes::{Invocation, Purpose, Work};
use crate::gateway::pairing::Requests;
use crate::gateway::presence::Entry;
use crate::policy::penalty::Tally;

/// As it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    /// Whether this was the last word of a process.
    planned: bool,
    boot_id: &'a str,
    live: &'a Live,
    presence_version: u64,
    presence: &'a BTreeMap<String, Entry>,
    present: Vec<&'a str>,
    health: &'a RawValue,
    health_version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_made: Option<u64>,
    requests: &'a Requests,
    work: &'a Work,
    penalties: Vec<Tally>,
    penalties_at: u64,
    invocations: Vec<SavedInvocation>,
}

/// As it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shared {
    #[serde(default)]
    planned: bool,
    boot_id: String,
    live: Live,
    presence_version: u64,
    presence: BTreeMap<String, Entry>,
    /// The keys of those with a connection.
    #[serde(default)]
    present: Vec<String>,
    #[serde(default)]
    health: Box<RawValue>,
    health_version: u64,
    /// Microseconds of the epoch; without it there is no snapshot.
    #[serde(default)]
    health_made: Option<u64>,
    requests: Requests,
    work: Work,
    #[serde(default)]
    penalties: Vec<Tally>,
    /// When the ages of the failures were true; microseconds of the epoch.
    #[serde(default)]
    penalties_at: u64,
    #[serde(default)]
    pub(super) invocations: Vec<SavedInvocation>,
}

/// A call that waits for a node. Connections go by their slots, which they keep.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway) struct SavedInvocation {
    id: String,
    node_id: String,
    pub(super) node: u32,
    command: String,
    pub(super) caller: u32,
    request: String,
    purpose: SavedPurpose,
    /// Microseconds of the epoch.
    deadline: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SavedPurpose {
    Invoke,
    Browser,
}

/// As bytes. Equal if nothing has changed, but for the ages of failures.
pub(super) fn of(gateway: &Gateway, planned: bool, now: Now) -> Vec<u8> {
    let epoch = &gateway.epoch;

    let (presence_version, presence) = gateway.presence.export();
    let penalties = gateway.penalties.export(now);
    let penalties_at = if penalties.is_empty() { 0 } else { epoch.micros(now.mono) };
    let invocations = gateway.nodes.invocations().filter(|_| planned).map(|call| SavedInvocation {
        id: call.id.clone(),
        node_id: call.node_id.clone(),
        node: call.node.slot,
        command: call.command.clone(),
        caller: call.caller.slot,
        request: call.request.clone(),
        purpose: call.purpose.into(),
        deadline: epoch.micros(call.deadline),
    });
    let written = Written {
        planned,
        boot_id: &gateway.boot_id,
        live: &gateway.live,
        presence_version,
        presence,
        present: gateway.presence.held(),
        health: gateway.health.raw(),
        health_version: gateway.health.version(),
        health_made: gateway.health.made().map(|made| epoch.micros(made)),
        requests: gateway.pairing.requests(),
        work: gateway.nodes.waiting_work(),
        penalties,
        penalties_at,
        invocations: invocations.collect(),
    };
    serde_json::to_vec(&written).unwrap_or_default()
}

impl Shared {
    /// What [`of`] gave.
    ///
    /// # Errors
    /// It is none of that, or of a version that this one does not understand; says what is wrong.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// Puts everything back but the calls, whose connections are not there yet.
    pub(super) fn restore(self, gateway: &mut Gateway, now: Now) -> Vec<SavedInvocation> {
        gateway.boot_id = self.boot_id;
        gateway.live = Arc::new(self.live);
        // What clients were told since this was saved may have had a later version; none of them may go back.
        let skipped = if self.planned { 0 } else { VERSIONS_SKIPPED };
        gateway.presence.import(self.presence_version + skipped, self.presence, self.present);
        let made = self.health_made.and_then(|made| gateway.epoch.at(made));
        gateway.health.import(self.health_version + skipped, made.map(|made| (self.health, made)));
        gateway.pairing.restore(self.requests);
        *gateway.nodes.work() = self.work;
        let then = gateway.epoch.at(self.penalties_at).unwrap_or(now.mono);
        gateway.penalties.import(self.penalties, Now { mono: then, ..now });
        self.invocations
    }
}

impl SavedInvocation {
    /// The call between these connections; `None` if its deadline is beyond the clock.
    pub(super) fn restore(self, gateway: &Gateway, node: ConnId, caller: ConnId) -> Option<Invocation> {
        Some(Invocation {
            id: self.id,
            node_id: self.node_id,
            node,
            command: self.command,
            caller,
            request: self.request,
            purpose: self.purpose.into(),
            deadline: gateway.epoch.at(self.deadline)?,
        })
    }
}

impl From<Purpose> for SavedPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Invoke => Self::Invoke,
            Purpose::Browser => Self::Browser,
        }
    }
}

impl From<SavedPurpose> for Purpose {
    fn from(purpose: SavedPurpose) -> Self {
        match purpose {
            SavedPurpose::Invoke => Self::Invoke,
            SavedPurpose::Browser => Self::Browser,
        }
    }
}

/// More changes than there can be in [`crate::limits::HANDOVER_SHARE`].
const VERSIONS_SKIPPED: u64 = 1 << 16;
