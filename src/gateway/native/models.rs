//! `models.list` and, for protocol 4, `models.authStatus`: the models that the configuration names. The catalogue of
//! all models is a part of the runtime.

use serde_json::{Value, json};

use crate::config::agents::Model;
use crate::gateway::job::Query;
use crate::wire::Protocol;

use super::answer::{Answer, checked, params, say};

/// `models.list`: the configured models. Protocol 4 asks for views; without the runtime they all show the same.
pub(in crate::gateway) fn list(query: &Query<'_>) -> Answer {
    const METHOD: &str = "models.list";
    let mut reader = params(query, METHOD)?;
    if query.protocol == Protocol::V4 {
        reader.word("view", &["default", "configured", "provider-config", "all"]);
        for key in ["agentId", "sessionKey"] {
            reader.name(key);
        }
        for key in ["includeProviderCapabilities", "preparedOnly", "refresh"] {
            reader.flag(key);
        }
    }
    checked(reader, METHOD)?;
    say(&json!({"models": configured(query)}))
}

/// `models.authStatus` (protocol 4): no provider is signed in here, the runtime keeps their keys.
pub(in crate::gateway) fn auth_status(query: &Query<'_>) -> Answer {
    const METHOD: &str = "models.authStatus";
    let mut reader = params(query, METHOD)?;
    reader.flag("refresh");
    reader.text("agentId");
    checked(reader, METHOD)?;
    say(&json!({"ts": query.now.unix_ms, "providers": [], "providerCapabilities": []}))
}

/// The configured models.
pub(super) fn configured(query: &Query<'_>) -> Vec<Value> {
    query.setup.openclaw.models.iter().map(row).collect()
}

/// What the configuration does not say is left out.
fn row(model: &Model) -> Value {
    let mut row = json!({
        "id": model.id,
        "name": model.name,
        "provider": model.provider,
        "reasoning": model.reasoning,
    });
    if let Value::Object(row) = &mut row {
        row.extend(model.context_window.map(|tokens| ("contextWindow".to_owned(), tokens.into())));
        if !model.input.is_empty() {
            row.insert("input".to_owned(), json!(model.input));
        }
    }
    row
}
