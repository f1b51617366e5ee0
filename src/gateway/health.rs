//! The health snapshot: made off the loop, kept for a minute, told to everybody who may read it when it changes.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use serde_json::value::RawValue;

use super::broadcast::News;
use super::dispatch::{Call, Reply, Waiting};
use super::job::Job;
use super::{Gateway, io::ConnId};
use crate::clock::Now;
use crate::limits;
use crate::wire::error::ErrorShape;
use crate::wire::frame::StateVersion;

/// The last snapshot and who waits for the next.
#[derive(Debug)]
pub(super) struct Health {
    json: Box<RawValue>,
    version: u64,
    made: Option<Instant>,
    refreshing: bool,
    /// The next snapshot is told to nobody but those who ask.
    quiet: bool,
    waiting: Vec<(ConnId, String)>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            json: RawValue::from_string("{}".to_owned()).unwrap_or_default(),
            version: 0,
            made: None,
            refreshing: false,
            quiet: false,
            waiting: Vec::new(),
        }
    }
}

impl Health {
    /// The last snapshot as JSON; `{}` before the first.
    pub(super) fn json(&self) -> &str {
        self.json.get()
    }

    /// The same, to be put into something larger.
    pub(super) fn raw(&self) -> &RawValue {
        &self.json
    }

    pub(super) fn is_known(&self) -> bool {
        self.made.is_some()
    }

    /// How often a snapshot was made: `stateVersion.health`.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// When the last snapshot was made.
    pub(super) fn made(&self) -> Option<Instant> {
        self.made
    }

    /// Goes on with the snapshot of a former process, if it had one, and counts on from its number.
    pub(super) fn import(&mut self, version: u64, snapshot: Option<(Box<RawValue>, Instant)>) {
        self.version = self.version.max(version);
        if let Some((json, made)) = snapshot {
            (self.json, self.made) = (json, Some(made));
        }
    }

    /// Tells nobody of the snapshot that is being made.
    pub(super) fn keep_quiet(&mut self) {
        self.quiet = self.refreshing;
    }

    /// Those who wait for the next snapshot, which does not come any more.
    pub(super) fn give_up(&mut self) -> Vec<(ConnId, String)> {
        self.refreshing = false;
        std::mem::take(&mut self.waiting)
    }

    /// Whose requests wait for the next snapshot; one may stand here twice.
    pub(super) fn waiting(&self) -> impl Iterator<Item = ConnId> {
        self.waiting.iter().map(|(conn, _)| *conn)
    }

    fn is_old(&self, now: Now) -> bool {
        self.made.is_none_or(|made| made + limits::HEALTH_AGE <= now.mono)
    }
}

/// `health {probe?}`: everybody may ask. A probe asks for a snapshot that is made now.
pub(super) fn health(gateway: &mut Gateway, call: &Call) -> Reply {
    let probe = call.params.get("probe").and_then(Value::as_bool).unwrap_or(false);
    if probe || !gateway.health.is_known() {
        return gateway.health_when_new(call);
    }
    if gateway.health.is_old(call.now) {
        gateway.refresh_health(call.now);
    }
    Reply::Payload(gateway.health.json().to_owned())
}

impl Gateway {
    /// `stateVersion` as it stands.
    pub(super) fn state_version(&self) -> StateVersion {
        StateVersion { presence: self.presence.version(), health: self.health.version }
    }

    /// Asks for a new snapshot, unless one is on its way.
    pub(super) fn refresh_health(&mut self, _now: Now) {
        if !self.health.refreshing {
            let job = Job::Health { setup: Arc::clone(&self.setup) };
            self.health.refreshing = matches!(self.run(job, Waiting::Health), Reply::Later);
        }
    }

    /// A snapshot was made.
    pub(super) fn adopt_health(&mut self, json: Box<RawValue>, now: Now) {
        self.health.refreshing = false;
        self.health.made = Some(now.mono);
        self.health.version += 1;
        self.health.json = json;
        for (conn, request) in std::mem::take(&mut self.health.waiting) {
            self.respond(conn, &request, Ok(self.health.json().to_owned()), now);
        }
        if std::mem::take(&mut self.health.quiet) {
            return;
        }
        let (payload, version) = (self.health.json().to_owned(), self.state_version());
        self.broadcast(News::new("health", &payload).with_version(version), now);
    }

    /// Clients see a fresh snapshot once a minute; with nobody there, none is made.
    pub(super) fn health_deadline(&self) -> Option<Instant> {
        let wanted = !self.health.refreshing && self.conns.len() > self.arriving;
        self.health.made.filter(|_| wanted).map(|made| made + limits::HEALTH_AGE)
    }

    pub(super) fn expire_health(&mut self, now: Now) {
        if self.health_deadline().is_some_and(|at| at <= now.mono) {
            self.refresh_health(now);
        }
    }

    fn health_when_new(&mut self, call: &Call) -> Reply {
        if self.health.waiting.len() >= limits::JOBS_PENDING_MAX {
            return Reply::Error(ErrorShape::busy("too many health probes are waiting; try again", 250));
        }
        self.refresh_health(call.now);
        if !self.health.refreshing {
            return Reply::Error(ErrorShape::busy("too many file reads are waiting; try again", 250));
        }
        self.health.waiting.push((call.conn, call.id.clone()));
        Reply::Later
    }
}
