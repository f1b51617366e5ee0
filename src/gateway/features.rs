//! What `hello-ok` says that is served.

use std::collections::BTreeSet;

use serde_json::json;
use serde_json::value::RawValue;

use super::{Gateway, event, method};

impl Gateway {
    /// The features as they stand: what the runtime serves is taken from what it said when it was there last.
    pub(super) fn make_features(&self) -> Box<RawValue> {
        features(self.upstream.runtime.hello().map(|hello| &hello.methods))
    }
}

/// `hello-ok.features`: what is served here, and nothing else: our own, and what the runtime said when it was there last.
pub(super) fn features(runtime: Option<&BTreeSet<String>>) -> Box<RawValue> {
    let served = |row: &&method::Method| {
        row.is_advertised() || runtime.is_some_and(|methods| methods.contains(row.name))
    };
    let methods: Vec<&str> = method::METHODS.iter().filter(served).map(|row| row.name).collect();
    let heard = event::EVENTS.iter().filter(|row| runtime.is_some() || row.source != event::Source::Upstream);
    let events: Vec<&str> = heard.map(|row| row.name).collect();
    let features = json!({"methods": methods, "events": events, "capabilities": []});
    serde_json::value::to_raw_value(&features).unwrap_or_default()
}
