//! `last-heartbeat` and `set-heartbeats`. Heartbeats are the runtime's; this gateway keeps the switch and the last one
//! that it heard of.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::gateway::dispatch::{Call, Reply};
use crate::wire::error::ErrorShape;

/// `last-heartbeat`: the last one, or `null`.
pub(in crate::gateway) fn last(gateway: &mut Gateway, _call: &Call) -> Reply {
    Reply::json(&gateway.live.last_heartbeat)
}

/// `set-heartbeats {enabled}`. `status` shows the switch.
pub(in crate::gateway) fn set(gateway: &mut Gateway, call: &Call) -> Reply {
    let Some(enabled) = call.params.get("enabled").and_then(Value::as_bool) else {
        let message = "invalid set-heartbeats params: enabled (boolean) required";
        return Reply::Error(ErrorShape::invalid(message));
    };
    Arc::make_mut(&mut gateway.live).heartbeats = enabled;
    Reply::json(&json!({"ok": true, "enabled": enabled}))
}
