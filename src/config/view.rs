//! The configuration as `config.get` shows it: without secrets, with OpenClaw's defaults, in the shape of the client's
//! protocol. Facts from recordings of OpenClaw 2026.3.13 (protocol 3) and 2026.9.6 (protocol 4).

use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::OpenClaw;
use super::agents::normalize_agent_id;
use super::error::ConfigError;
use super::redact::Redactor;
use super::redact_raw;
use super::text::Document;

/// Which client is answered.
#[derive(Clone, Copy)]
pub enum Form<'a> {
    /// Protocol 3: the hash is the plain SHA-256 of the text.
    V3,
    /// Protocol 4: hashes are keyed, so that they tell nothing about short secrets.
    V4 {
        /// 32 random bytes that stay the same as long as clients may compare hashes.
        key: &'a [u8; 32],
    },
}

impl Form<'_> {
    /// The token of a text: what a client hands in again to prove that it changes what it has read.
    fn raw_hash(self, text: &str) -> String {
        let plain = hex(&Sha256::digest(text.as_bytes()));
        match self {
            Self::V3 => plain,
            Self::V4 { key } => keyed(key, "openclaw.gateway.config-revision.raw.v1", &plain),
        }
    }

    fn is_v4(self) -> bool {
        matches!(self, Self::V4 { .. })
    }
}

/// The payload of `config.get` for the configuration in use.
pub fn config_get(config: &OpenClaw, form: Form<'_>) -> Value {
    let redactor = Redactor::new(&[&config.parsed, &config.resolved]);
    let parsed = redactor.value(&config.parsed);
    let mut resolved = redactor.value(&config.resolved);
    let raw = config.text.as_ref().map(|text| match Document::parse(&config.path, text.clone()) {
        Ok(document) => redact_raw::redact(&document, &parsed, &redactor),
        Err(_) => format!("{parsed:#}\n"),
    });
    if form.is_v4() {
        key_agents(&mut resolved);
    }
    let shown = with_defaults(&resolved, form);
    let warnings: Vec<Value> = config
        .warnings
        .iter()
        .map(|warning| json!({ "path": warning.path, "message": redactor.text(&warning.message) }))
        .collect();
    let mut payload = json!({
        "path": config.path,
        "exists": config.text.is_some(),
        "raw": raw,
        "parsed": parsed,
        "resolved": resolved,
        "valid": true,
        "config": shown,
        "hash": form.raw_hash(config.text.as_deref().unwrap_or_default()),
        "issues": [],
        "warnings": warnings,
        "legacyIssues": [],
    });
    add_v4(&mut payload, Some(&config.resolved), form);
    payload
}

/// The payload of `config.get` for a file that cannot be used. It shows nothing of the file but the error, for what is
/// secret in it cannot be told.
pub fn config_get_broken(path: &Path, text: Option<&str>, error: &ConfigError, form: Form<'_>) -> Value {
    let mut payload = json!({
        "path": path,
        "exists": text.is_some(),
        "raw": null,
        "parsed": null,
        "resolved": {},
        "valid": false,
        "config": {},
        "hash": form.raw_hash(text.unwrap_or_default()),
        "issues": [{ "path": error.key().unwrap_or_default(), "message": error.to_string() }],
        "warnings": [],
        "legacyIssues": [],
    });
    add_v4(&mut payload, None, form);
    payload
}

/// What protocol 4 shows besides. `resolved` is the configuration with its secrets: it goes into a keyed hash alone.
fn add_v4(payload: &mut Value, resolved: Option<&Value>, form: Form<'_>) {
    let (Form::V4 { key }, Some(payload)) = (form, payload.as_object_mut()) else { return };
    let revision = resolved.map(|resolved| {
        let plain = hex(&Sha256::digest(resolved.to_string().as_bytes()));
        keyed(key, "openclaw.gateway.config-revision.resolved.v1", &plain)
    });
    let same_as = |key: &str| payload.get(key).cloned().unwrap_or_default();
    let (resolved, config) = (same_as("resolved"), same_as("config"));
    for (key, value) in [
        ("sourceConfig", resolved),
        ("runtimeConfig", config),
        ("includedPaths", json!([])),
        ("includeProvenance", json!([])),
        ("agentRosterIncludeOwned", json!(false)),
        ("bindingsIncludeOwned", json!(false)),
        ("configRevisionHash", json!(revision)),
        ("appliedConfigHash", json!(revision)),
    ] {
        payload.insert(key.to_owned(), value);
    }
}

/// `agents.list` as 2026.9.6 has it: `agents.entries` by id, `main` if there is none.
fn key_agents(config: &mut Value) {
    let Some(agents) = member(config, "agents") else { return };
    if agents.contains_key("entries") {
        return;
    }
    let mut entries = Map::new();
    if let Some(Value::Array(list)) = agents.remove("list") {
        for mut entry in list {
            let id = entry.as_object_mut().and_then(|entry| entry.remove("id"));
            let id = id.as_ref().and_then(Value::as_str).map_or_else(String::new, normalize_agent_id);
            entries.entry(id).or_insert(entry);
        }
    }
    if entries.is_empty() {
        entries.insert("main".to_owned(), json!({}));
    }
    agents.insert("entries".to_owned(), Value::Object(entries));
}

/// The defaults that OpenClaw puts into `config`, and no others: most of its defaults never show.
fn with_defaults(resolved: &Value, form: Form<'_>) -> Value {
    let mut config = resolved.clone();
    let agents = if form.is_v4() { 8 } else { 4 };
    set(&mut config, &["messages", "ackReactionScope"], json!("group-mentions"));
    set(&mut config, &["agents", "defaults", "maxConcurrent"], json!(agents));
    set(&mut config, &["agents", "defaults", "subagents", "maxConcurrent"], json!(8));
    set(&mut config, &["commands", "native"], json!("auto"));
    set(&mut config, &["commands", "nativeSkills"], json!("auto"));
    set(&mut config, &["commands", "restart"], json!(true));
    if form.is_v4() {
        set(&mut config, &["agents", "defaults", "subagents", "archiveAfterMinutes"], json!(60));
        set(&mut config, &["agents", "defaults", "compaction", "mode"], json!("safeguard"));
    } else {
        set(&mut config, &["commands", "ownerDisplay"], json!("raw"));
    }
    if config.get("logging").is_some() {
        set(&mut config, &["logging", "redactSensitive"], json!("tools"));
    }
    if config.pointer("/session/mainKey").is_some() {
        if let Some(session) = member(&mut config, "session") {
            session.insert("mainKey".to_owned(), json!("main"));
        }
    }
    fill_models(&mut config);
    config
}

/// The defaults of a configured model.
fn fill_models(config: &mut Value) {
    let providers = config.pointer_mut("/models/providers").and_then(Value::as_object_mut);
    for provider in providers.into_iter().flat_map(Map::values_mut) {
        let models = provider.get_mut("models").and_then(Value::as_array_mut);
        for model in models.into_iter().flatten() {
            let context = model.get("contextWindow").and_then(Value::as_u64).unwrap_or(CONTEXT_TOKENS);
            set(model, &["reasoning"], json!(false));
            set(model, &["input"], json!(["text"]));
            set(model, &["contextWindow"], json!(context));
            set(model, &["maxTokens"], json!(MODEL_MAX_TOKENS.min(context)));
            for cost in ["input", "output", "cacheRead", "cacheWrite"] {
                set(model, &["cost", cost], json!(0));
            }
        }
    }
}

/// Sets a member unless it is there; objects on the way are made. What is no object stays as it is.
fn set(value: &mut Value, path: &[&str], default: Value) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = value;
    for key in parents {
        let Value::Object(members) = at else { return };
        at = members.entry(*key).or_insert_with(|| json!({}));
    }
    if let Value::Object(members) = at {
        members.entry(*last).or_insert(default);
    }
}

/// The object at `key`, made if it is missing.
fn member<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    value.as_object_mut()?.entry(key).or_insert_with(|| json!({})).as_object_mut()
}

/// `hmac-sha256:v1:` and HMAC-SHA-256 over the JSON list of a domain and a hash, in base64url.
fn keyed(key: &[u8; 32], domain: &str, hash: &str) -> String {
    let message = json!([domain, hash]).to_string();
    let mac = hmac_sha256(key, message.as_bytes());
    format!("hmac-sha256:v1:{}", data_encoding::BASE64URL_NOPAD.encode(&mac))
}

/// RFC 2104 with SHA-256, whose block has 64 bytes, for a key of 32.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The context of a model that states none.
const CONTEXT_TOKENS: u64 = 200_000;
/// The longest answer of a model that states none.
const MODEL_MAX_TOKENS: u64 = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another implementation.
    #[test]
    fn hmac_is_right() {
        let key = std::array::from_fn(|i| u8::try_from(i).expect("32 bytes"));
        let mac = hmac_sha256(&key, b"loopgate");
        assert_eq!(hex(&mac), "60f5568d4dc405ce00fc9802f6736fcd3ba0c637830fd3e34727dda8e4b50435");
    }

    #[test]
    fn defaults_do_not_override() {
        let config = json!({
            "agents": { "defaults": { "maxConcurrent": 1 } },
            "commands": "odd",
            "logging": {},
            "session": { "mainKey": "x" },
            "models": { "providers": { "p": { "models": [{ "id": "m", "contextWindow": 100 }] } } },
        });
        let shown = with_defaults(&config, Form::V3);
        assert_eq!(shown.pointer("/agents/defaults/maxConcurrent"), Some(&json!(1)));
        assert_eq!(shown.get("commands"), Some(&json!("odd")));
        assert_eq!(shown.pointer("/logging/redactSensitive"), Some(&json!("tools")));
        assert_eq!(shown.pointer("/session/mainKey"), Some(&json!("main")));
        let model = shown.pointer("/models/providers/p/models/0").expect("the model");
        let cost = json!({ "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0 });
        let want = json!({
            "id": "m", "contextWindow": 100, "maxTokens": 100, "reasoning": false, "input": ["text"], "cost": cost
        });
        assert_eq!(model, &want);
    }

    #[test]
    fn agents_are_keyed_for_protocol_4() {
        let mut config = json!({ "agents": { "list": [{ "id": "Ops X", "name": "n" }, { "id": "ops x" }] } });
        key_agents(&mut config);
        assert_eq!(config, json!({ "agents": { "entries": { "ops-x": { "name": "n" } } } }));
        let mut config = json!({ "agents": { "entries": {} } });
        key_agents(&mut config);
        assert_eq!(config, json!({ "agents": { "entries": {} } }));
    }
}
