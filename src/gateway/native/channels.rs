//! `channels.status`: without the runtime no channel is loaded.

use serde_json::{Value, json};

use crate::gateway::job::Query;
use crate::wire::Protocol;

use super::answer::{Answer, checked, params, say, whole};

/// `channels.status` of an idle gateway.
pub(in crate::gateway) fn status(query: &Query<'_>) -> Answer {
    const METHOD: &str = "channels.status";
    let mut reader = params(query, METHOD)?;
    reader.flag("probe");
    whole(&mut reader, "timeoutMs", 0);
    if query.protocol == Protocol::V4 {
        reader.name("channel");
    }
    checked(reader, METHOD)?;
    let mut status = json!({
        "ts": query.now.unix_ms,
        "channelOrder": [],
        "channelLabels": {},
        "channelDetailLabels": {},
        "channelSystemImages": {},
        "channelMeta": [],
        "channels": {},
        "channelAccounts": {},
        "channelDefaultAccountId": {},
    });
    if let (Value::Object(status), Protocol::V4) = (&mut status, query.protocol) {
        status.insert("statusIssues".to_owned(), json!([]));
    }
    say(&status)
}
