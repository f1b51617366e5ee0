//! Taking secrets out of a configuration before it is shown. The rule is OpenClaw's (2026.3.13 and 2026.9.6), which goes
//! by the names of keys, widened on the side of caution: variables, HTTP headers, URLs with credentials, flags of
//! commands, and every text that repeats a secret found elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The secrets of a configuration, so that they are known wherever they turn up again.
#[derive(Clone, Default)]
pub struct Redactor {
    /// By their first bytes, so that a text is searched in one pass however many secrets there are; those that begin
    /// alike longest first, so that a secret inside a longer one does not spoil it.
    secrets: BTreeMap<[u8; REPEATED_BYTES_MIN], Vec<String>>,
}

/// The way to a value, as the rule looks at it.
#[derive(Debug, Clone, Copy)]
struct Spot<'a> {
    /// The keys joined by dots, `[]` for an element of a list, in lower case.
    path: &'a str,
    /// Inside something that is a secret as a whole.
    inside: bool,
}

/// What becomes of a value.
enum Verdict {
    Keep,
    Hide,
}

impl Redactor {
    /// Finds the secrets in all of `values`, which are forms of one configuration: as written, as resolved.
    pub fn new(values: &[&Value]) -> Self {
        let mut found = BTreeSet::new();
        for value in values {
            walk(value, Spot { path: "", inside: false }, &mut |text| {
                found.insert(text.to_owned());
            });
        }
        Self::default().knowing(found)
    }

    /// A redactor that knows these secrets too.
    pub(crate) fn knowing(mut self, more: impl IntoIterator<Item = String>) -> Self {
        for secret in more {
            let Some(start) = secret.as_bytes().first_chunk() else { continue };
            let alike = self.secrets.entry(*start).or_default();
            let at = alike.partition_point(|other| (other.len(), other.as_str()) > (secret.len(), &secret));
            if alike.get(at) != Some(&secret) {
                alike.insert(at, secret);
            }
        }
        self
    }

    /// The secrets themselves.
    pub(crate) fn into_secrets(self) -> impl Iterator<Item = String> {
        self.secrets.into_values().flatten()
    }

    /// `value` without secrets.
    pub fn value(&self, value: &Value) -> Value {
        self.scrub(walk(value, Spot { path: "", inside: false }, &mut |_| {}))
    }

    /// `text` with every known secret replaced.
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let found = self.leading(rest);
            let (with, len) = found.map_or((None, c.len_utf8()), |secret| (Some(REDACTED), secret.len()));
            let (taken, behind) = rest.split_at(len);
            out.push_str(with.unwrap_or(taken));
            rest = behind;
        }
        out
    }

    /// The longest secret that `text` begins with.
    fn leading(&self, text: &str) -> Option<&String> {
        let alike = self.secrets.get(text.as_bytes().first_chunk()?)?;
        alike.iter().find(|secret| text.starts_with(secret.as_str()))
    }

    /// A secret like `gateway` must not take the structure apart, so plain words stay in keys.
    fn key(&self, key: String) -> String {
        if key.chars().all(char::is_alphabetic) { key } else { self.text(&key) }
    }

    /// Takes repeated secrets out of all strings and keys.
    fn scrub(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.scrub(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(key, value)| (self.key(key), self.scrub(value))).collect()
            }
            other => other,
        }
    }
}

/// Whether a key of this path holds a secret: OpenClaw's rule and some names more. `path` is in lower case.
fn is_sensitive(path: &str) -> bool {
    if HARMLESS_ENDS.iter().any(|end| path.ends_with(end)) {
        return false;
    }
    SECRET_ENDS.iter().any(|end| path.ends_with(end))
        || SECRET_WORDS.iter().any(|word| path.contains(word))
        || SECRET_KEYS.iter().any(|word| holds_key(path, word))
}

/// The same for one that may hold many: `tokens` beside `token`.
fn is_sensitive_text(path: &str) -> bool {
    is_sensitive(path)
        || is_sensitive(path.trim_end_matches("[]"))
        || SECRET_TEXT_ENDS.iter().any(|end| path.trim_end_matches("[]").ends_with(end)) && !is_count(path)
        || path.split('.').rev().skip(1).any(|step| SECRET_MAPS.contains(&step))
        || (path.starts_with("hooks.") && path.ends_with(".sessionkey"))
}

fn is_count(path: &str) -> bool {
    HARMLESS_ENDS.iter().any(|end| path.ends_with(end))
}

/// Whether `path` has `word`, at most one character, and `key`: `apiKey`, `api_key`.
fn holds_key(path: &str, word: &str) -> bool {
    path.match_indices(word).any(|(at, _)| {
        let behind = path.get(at + word.len()..).unwrap_or_default();
        let mut skipped = behind.chars();
        skipped.next();
        behind.starts_with("key") || skipped.as_str().starts_with("key")
    })
}

/// Copies `value` without its secrets, each of which is handed to `found`.
fn walk(value: &Value, spot: Spot<'_>, found: &mut dyn FnMut(&str)) -> Value {
    match value {
        Value::String(text) => match judge_text(text, spot) {
            Verdict::Keep => value.clone(),
            Verdict::Hide => {
                found(text);
                embedded(text).for_each(&mut *found);
                Value::String(REDACTED.to_owned())
            }
        },
        Value::Number(number) if spot.inside || is_sensitive(last_step(spot.path)) => {
            found(&number.to_string());
            Value::String(REDACTED.to_owned())
        }
        Value::Array(items) => walk_list(items, spot, found),
        Value::Object(members) if is_reference(members) && (spot.inside || is_sensitive_text(spot.path)) => {
            walk_reference(members, found)
        }
        Value::Object(members) => walk_members(members, spot, found),
        other => other.clone(),
    }
}

fn walk_list(items: &[Value], spot: Spot<'_>, found: &mut dyn FnMut(&str)) -> Value {
    let path = format!("{}[]", spot.path);
    let mut behind_flag = false;
    items
        .iter()
        .map(|item| {
            let inside = spot.inside || (behind_flag && item.is_string());
            behind_flag = item.as_str().is_some_and(is_secret_flag);
            walk(item, Spot { path: &path, inside }, found)
        })
        .collect()
}

fn walk_members(members: &Map<String, Value>, spot: Spot<'_>, found: &mut dyn FnMut(&str)) -> Value {
    let walked = members.iter().map(|(key, value)| {
        let key_path = key.to_lowercase();
        let path = if spot.path.is_empty() { key_path } else { format!("{}.{key_path}", spot.path) };
        // What hangs below a secret's own key is secret, whatever its keys are. A whole section that is only named
        // after secrets (`secrets.providers`) has harmless numbers.
        let inside =
            spot.inside || (value.is_object() || value.is_array()) && is_secret_key(last_step(&path));
        (key.clone(), walk(value, Spot { path: &path, inside }, found))
    });
    Value::Object(walked.collect())
}

/// `{source, id}`: the place of a secret. The id is hidden, as OpenClaw does it.
fn walk_reference(members: &Map<String, Value>, found: &mut dyn FnMut(&str)) -> Value {
    let mut shown = members.clone();
    if let Some(Value::String(id)) = shown.get_mut("id") {
        if !is_placeholder(id) {
            found(id);
            REDACTED.clone_into(id);
        }
    }
    Value::Object(shown)
}

fn judge_text(text: &str, spot: Spot<'_>) -> Verdict {
    let secret = spot.inside || is_sensitive_text(spot.path);
    if text.trim().is_empty() || is_placeholder(text) {
        return Verdict::Keep;
    }
    if secret || has_credentials(text) || text.split_once('=').is_some_and(|(flag, _)| is_secret_flag(flag)) {
        return Verdict::Hide;
    }
    Verdict::Keep
}

/// A key that is a secret's own, not only a section's about secrets.
fn is_secret_key(step: &str) -> bool {
    step != "secrets" && is_sensitive_text(step)
}

fn is_reference(members: &Map<String, Value>) -> bool {
    members.get("source").is_some_and(Value::is_string) && members.get("id").is_some_and(Value::is_string)
}

/// `${NAME}` and nothing else is no secret; the value that it stands for is.
fn is_placeholder(text: &str) -> bool {
    let inner = text.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.contains('}'))
}

/// `--api-key` and the like.
fn is_secret_flag(text: &str) -> bool {
    text.starts_with('-') && !text.contains(char::is_whitespace) && is_sensitive_text(&text.to_lowercase())
}

/// An URL with a user, or with a secret in its query.
fn has_credentials(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let parameters = path.split(['?', '&', '#', ';']).skip(1);
    let names =
        parameters.filter_map(|parameter| parameter.split_once('=')).map(|(name, _)| name.to_lowercase());
    authority.contains('@')
        || path.contains("/bot") && path.contains(':')
        || names
            .into_iter()
            .any(|name| is_sensitive_text(&name) || SECRET_PARAMETERS.contains(&name.as_str()))
}

/// Whether a word of a comment names a secret.
pub(crate) fn names_secret(word: &str) -> bool {
    is_sensitive_text(&word.to_lowercase())
}

/// What could be the secret inside a hidden text: the password of an URL, the value of a parameter or of a flag.
fn embedded(text: &str) -> impl Iterator<Item = &str> {
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    let password = user.map(|user| user.split_once(':').map_or(user, |(_, password)| password));
    let values =
        text.split(['?', '&', '#', ';']).filter_map(|part| part.split_once('=')).map(|(_, value)| value);
    password.into_iter().chain(values).filter(|part| !part.is_empty())
}

fn last_step(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// What stands for a secret in everything that is shown; OpenClaw puts the stored value back when it comes in again.
pub const REDACTED: &str = "__OPENCLAW_REDACTED__";
/// A shorter secret is hidden where it stands, but not looked for elsewhere: it would be found in ordinary words.
const REPEATED_BYTES_MIN: usize = 6;
/// Ends of keys that only look like secrets; OpenClaw's list.
const HARMLESS_ENDS: &[&str] = &[
    "maxtokens",
    "maxoutputtokens",
    "maxinputtokens",
    "maxcompletiontokens",
    "contexttokens",
    "totaltokens",
    "tokencount",
    "tokenlimit",
    "tokenbudget",
    "passwordfile",
];
/// Ends of keys that hold a secret.
const SECRET_ENDS: &[&str] =
    &["token", "serviceaccount", "serviceaccountref", "authorization", "cookie", "passwd", "passphrase"];
/// Ends of keys that hold secrets if they hold text; numbers of this name are counts.
const SECRET_TEXT_ENDS: &[&str] = &["tokens", "cookies"];
/// Words anywhere in the path of a secret.
const SECRET_WORDS: &[&str] = &["password", "secret", "credential"];
/// What stands before `key` in the key of a secret.
const SECRET_KEYS: &[&str] = &["api", "encrypt", "encryption", "private", "access", "signing", "auth"];
/// Objects whose texts all count as secrets.
const SECRET_MAPS: &[&str] = &["env", "vars", "headers"];
/// Parameters of an URL that hold a secret, beside those whose names say so.
const SECRET_PARAMETERS: &[&str] = &["key", "pass", "auth", "jwt", "session", "code", "signature", "sig"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redacted(value: &Value) -> Value {
        Redactor::new(&[value]).value(value)
    }

    #[test]
    fn hides_by_the_names_of_keys() {
        let value = json!({
            "gateway": { "auth": { "mode": "token", "token": "s", "password": 12345 }, "port": 1 },
            "models": { "providers": { "x": { "apiKey": "s", "api_key": "s", "headers": { "X-A": "s" } } } },
            "channels": { "c": { "botToken": "s", "accounts": { "a": { "webhookSecret": "s" } } } },
            "agents": { "defaults": { "maxTokens": 5, "contextTokens": 7, "tokens": ["s"] } },
            "env": { "PLAIN": "s", "vars": { "LANG": "s" }, "shellEnv": { "enabled": true } },
            "hooks": { "mappings": [{ "sessionKey": "s", "name": "n" }] },
            "x": { "serviceAccount": { "a": "s", "n": [1] }, "passwordFile": "/f", "private-key": "s" },
        });
        let shown = redacted(&value);
        assert!(!shown.to_string().contains("\"s\""), "{shown}");
        assert_eq!(shown.pointer("/gateway/auth/mode"), Some(&json!("token")));
        assert_eq!(shown.pointer("/gateway/auth/password"), Some(&json!(REDACTED)));
        assert_eq!(shown.pointer("/gateway/port"), Some(&json!(1)));
        assert_eq!(shown.pointer("/agents/defaults/maxTokens"), Some(&json!(5)));
        assert_eq!(shown.pointer("/agents/defaults/contextTokens"), Some(&json!(7)));
        assert_eq!(shown.pointer("/x/passwordFile"), Some(&json!("/f")));
        assert_eq!(shown.pointer("/x/serviceAccount/n"), Some(&json!([REDACTED])));
        assert_eq!(shown.pointer("/hooks/mappings/0/name"), Some(&json!("n")));
        assert_eq!(shown.pointer("/env/shellEnv/enabled"), Some(&json!(true)));
    }

    #[test]
    fn references_keep_their_shape_and_placeholders_stay() {
        let value = json!({
            "token": { "source": "env", "provider": "default", "id": "NAME_OF_IT" },
            "password": "${GATEWAY_PASSWORD}",
            "apiKey": "half ${NAME}",
        });
        assert_eq!(
            redacted(&value),
            json!({
                "token": { "source": "env", "provider": "default", "id": REDACTED },
                "password": "${GATEWAY_PASSWORD}",
                "apiKey": REDACTED,
            })
        );
    }

    #[test]
    fn hides_urls_and_flags_with_secrets() {
        for text in [
            "https://u:p@host/x",
            "wss://host/?a=1&token=x",
            "https://host/p?api_key=x",
            "https://host/#sig=x",
            "https://api.example/bot123456:AAAA/send",
        ] {
            assert_eq!(redacted(&json!({ "baseUrl": text })), json!({ "baseUrl": REDACTED }), "{text}");
        }
        for text in ["https://host/p?a=1", "https://control.example.com:8443", "a@b", "x=1"] {
            assert_eq!(redacted(&json!({ "k": text })), json!({ "k": text }));
        }
        let args = json!({ "args": ["-y", "--api-key", "s1", "--token=s2", "--port", "80"] });
        assert_eq!(
            redacted(&args),
            json!({ "args": ["-y", "--api-key", REDACTED, REDACTED, "--port", "80"] })
        );
    }

    #[test]
    fn hides_what_repeats_a_secret() {
        let value =
            json!({ "auth": { "token": "tok-fake-1" }, "note": "use tok-fake-1 now", "tok-fake-1": [1] });
        let shown = redacted(&value);
        assert!(!shown.to_string().contains("tok-fake-1"), "{shown}");
        assert_eq!(shown.get("note"), Some(&json!(format!("use {REDACTED} now"))));
        let inner =
            json!({ "url": "https://u:pw-fake-1@h/?token=tok-fake-2", "note": "pw-fake-1 tok-fake-2" });
        assert_eq!(redacted(&inner).get("note"), Some(&json!(format!("{REDACTED} {REDACTED}"))));
        let short = json!({ "token": "a", "note": "a banana" });
        assert_eq!(redacted(&short).get("note"), Some(&json!("a banana")));
    }
}
