//! `config.schema.lookup`: what loopgate knows of `openclaw.json`. Rule: a row for every key that loopgate reads, and
//! none for others; a test holds the table against the reader.

use serde_json::{Map, Value, json};

/// One key that loopgate reads.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The path by dots; `[]` stands for any element of a list, `*` for any key.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What it does for loopgate.
    pub help: &'static str,
}

/// What the value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A string or a reference to a secret; hidden when shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A list of strings.
    Texts,
    /// A string, or an object whose `primary` is one.
    Model,
}

impl Kind {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::OneOf(names) => json!({ "type": "string", "enum": names }),
            Self::Secret | Self::Model => json!({ "type": ["string", "object"] }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Whole(min, u64::MAX) => json!({ "type": "integer", "minimum": min }),
            Self::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Self::Texts => json!({ "type": "array" }),
        }
    }
}

/// The answer to `config.schema.lookup` for `path`; `None` if loopgate knows no such key. Elements of lists may be
/// written `[0]`, `[*]`, `[]` or `.0`.
pub fn schema_lookup(path: &str) -> Option<Value> {
    let steps = split(path);
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return None;
    }
    let below: Vec<(&Key, Vec<&str>)> = KEYS
        .iter()
        .filter_map(|key| {
            let parts: Vec<&str> = key.path.split('.').collect();
            let rest = parts.get(steps.len()..)?.to_vec();
            steps.iter().zip(&parts).all(|(step, part)| fits(step, part)).then_some((key, rest))
        })
        .collect();
    let path = steps.join(".");
    let leaf = below.iter().find(|(_, rest)| rest.is_empty()).map(|(key, _)| *key);
    let schema = match leaf {
        Some(key) => key.kind.schema(),
        None => json!({ "type": container(&below)? }),
    };
    let mut answer = json!({ "path": path, "schema": schema, "children": children(&path, &below, leaf) });
    add_hint(&mut answer, leaf);
    Some(answer)
}

fn children(path: &str, below: &[(&Key, Vec<&str>)], leaf: Option<&Key>) -> Vec<Value> {
    if leaf.is_some_and(|key| key.kind == Kind::Texts) {
        return vec![child(path, "*", &json!("string"), false)];
    }
    let mut names: Vec<&str> = below.iter().filter_map(|(_, rest)| rest.first().copied()).collect();
    names.dedup();
    let answer = |name: &str| {
        let inside: Vec<(&Key, Vec<&str>)> = below
            .iter()
            .filter(|(_, rest)| rest.first() == Some(&name))
            .map(|(key, rest)| (*key, rest.get(1..).unwrap_or_default().to_vec()))
            .collect();
        let leaf = inside.iter().find(|(_, rest)| rest.is_empty()).map(|(key, _)| *key);
        let kind = match leaf {
            Some(key) => key.kind.schema().get("type").cloned().unwrap_or_default(),
            None => json!(container(&inside)),
        };
        let shown = if name == "[]" { "*" } else { name };
        let has_children = leaf.is_none_or(|key| key.kind == Kind::Texts);
        let mut child = child(path, shown, &kind, has_children);
        add_hint(&mut child, leaf);
        child
    };
    names.into_iter().map(answer).collect()
}

fn child(path: &str, key: &str, kind: &Value, has_children: bool) -> Value {
    json!({
        "key": key, "path": format!("{path}.{key}"), "type": kind, "required": false, "hasChildren": has_children
    })
}

fn add_hint(answer: &mut Value, key: Option<&Key>) {
    let (Some(key), Some(answer)) = (key, answer.as_object_mut()) else { return };
    let mut hint = Map::new();
    hint.insert("help".to_owned(), json!(key.help));
    if key.kind == Kind::Secret {
        hint.insert("sensitive".to_owned(), json!(true));
    }
    answer.insert("hint".to_owned(), Value::Object(hint));
    answer.insert("hintPath".to_owned(), json!(key.path));
}

/// What holds these keys; `None` if there are none.
fn container(below: &[(&Key, Vec<&str>)]) -> Option<&'static str> {
    let (_, rest) = below.first()?;
    Some(if rest.first() == Some(&"[]") { "array" } else { "object" })
}

/// The steps of a path as a caller writes it.
fn split(path: &str) -> Vec<String> {
    let mut steps = Vec::new();
    for part in path.trim().split('.') {
        let mut pieces = part.split('[');
        steps.extend(pieces.next().map(str::to_owned));
        for piece in pieces {
            let inside = piece.trim_end_matches(']');
            steps.push(if inside.is_empty() { "*".to_owned() } else { inside.to_owned() });
        }
    }
    steps.retain(|step| !step.is_empty());
    steps
}

/// Whether a step of a path fits a part of a row. Names that mean something to JavaScript fit nothing.
fn fits(step: &str, part: &str) -> bool {
    match part {
        "[]" => step == "*" || step.chars().all(|c| c.is_ascii_digit()),
        "*" => !matches!(step, "__proto__" | "prototype" | "constructor"),
        _ => step == part,
    }
}

const fn key(path: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { path, kind, help }
}

/// Every key of `openclaw.json` that loopgate reads; keys of one object stand together.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("gateway.port", Kind::Whole(1, 65_535), "The port that clients try. loopgated gets it from its socket unit; its command line reads it here."),
    key("gateway.tls.enabled", Kind::Flag, "Clients speak TLS. loopgate does not; leave it off and put a proxy in front."),
    key("gateway.auth.mode", Kind::OneOf(&["none", "token", "password"]), "Which secret clients must know. Silent: the one that is configured, the password first."),
    key("gateway.auth.token", Kind::Secret, "The shared token. Silent: OPENCLAW_GATEWAY_TOKEN, then the credential gateway-token, then one that loopgated makes."),
    key("gateway.auth.password", Kind::Secret, "The shared password. Silent: OPENCLAW_GATEWAY_PASSWORD, then the credential gateway-password."),
    key("gateway.auth.rateLimit.maxAttempts", Kind::Whole(1, 4_294_967_295), "Failed attempts allowed in a window; 10 if silent."),
    key("gateway.auth.rateLimit.windowMs", Kind::Whole(0, 86_400_000), "The window of failed attempts; 60000 if silent."),
    key("gateway.auth.rateLimit.lockoutMs", Kind::Whole(0, 86_400_000), "How long a source is locked out; 300000 if silent."),
    key("gateway.auth.rateLimit.exemptLoopback", Kind::Flag, "Whether the own machine is spared; true if silent."),
    key("gateway.controlUi.enabled", Kind::Flag, "Whether the Control UI is offered; true if silent."),
    key("gateway.controlUi.basePath", Kind::Text, "The path that the Control UI is served under."),
    key("gateway.controlUi.allowedOrigins", Kind::Texts, "Browser origins that may connect beside loopback ones."),
    key("gateway.controlUi.allowInsecureAuth", Kind::Flag, "A local Control UI may connect without a device."),
    key("gateway.controlUi.dangerouslyDisableDeviceAuth", Kind::Flag, "Any Control UI may connect without a device."),
    key("gateway.controlUi.dangerouslyAllowHostHeaderOriginFallback", Kind::Flag, "An origin that equals the Host header may connect."),
    key("gateway.trustedProxies", Kind::Texts, "Addresses of proxies. loopgate takes no forwarding header for a sign of being local."),
    key("gateway.nodes.allowCommands", Kind::Texts, "Commands that nodes may offer beyond their platform's list."),
    key("gateway.nodes.denyCommands", Kind::Texts, "Commands that nodes may never offer."),
    key("gateway.nodes.browser.mode", Kind::OneOf(&["auto", "manual", "off"]), "How the node for browser.request is found; auto if silent."),
    key("gateway.nodes.browser.node", Kind::Text, "The node for browser.request."),
    key("agents.defaults.workspace", Kind::Text, "The working folder of the default agent."),
    key("agents.defaults.model", Kind::Model, "The model of agents that name none, as provider/model."),
    key("agents.defaults.contextTokens", Kind::Whole(1, u64::MAX), "The size of the context that clients are told."),
    key("agents.defaults.heartbeat.every", Kind::Text, "The interval of heartbeats, 30m if silent."),
    key("agents.defaults.heartbeat.prompt", Kind::Text, "The text that wakes an agent."),
    key("agents.defaults.heartbeat.target", Kind::Text, "Where the answer to a heartbeat goes."),
    key("agents.defaults.heartbeat.model", Kind::Text, "The model of heartbeats."),
    key("agents.defaults.heartbeat.ackMaxChars", Kind::Whole(0, u64::MAX), "Longest answer that counts as nothing to say; 300 if silent."),
    key("agents.list.[].id", Kind::Text, "The agent's id."),
    key("agents.list.[].default", Kind::Flag, "Whether it is the default agent."),
    key("agents.list.[].name", Kind::Text, "The agent's name."),
    key("agents.list.[].workspace", Kind::Text, "Its working folder."),
    key("agents.list.[].model", Kind::Model, "Its model, as provider/model."),
    key("agents.list.[].identity.name", Kind::Text, "The name it presents itself by."),
    key("agents.list.[].identity.theme", Kind::Text, "Its theme."),
    key("agents.list.[].identity.emoji", Kind::Text, "Its emoji."),
    key("agents.list.[].identity.avatar", Kind::Text, "Its picture."),
    key("agents.list.[].heartbeat.every", Kind::Text, "The interval of its heartbeat."),
    key("agents.list.[].heartbeat.prompt", Kind::Text, "The text that wakes it."),
    key("agents.list.[].heartbeat.target", Kind::Text, "Where the answer to its heartbeat goes."),
    key("agents.list.[].heartbeat.model", Kind::Text, "The model of its heartbeat."),
    key("agents.list.[].heartbeat.ackMaxChars", Kind::Whole(0, u64::MAX), "Longest answer that counts as nothing to say."),
    key("agents.entries.*.default", Kind::Flag, "Whether it is the default agent."),
    key("agents.entries.*.name", Kind::Text, "The agent's name."),
    key("agents.entries.*.workspace", Kind::Text, "Its working folder."),
    key("agents.entries.*.model", Kind::Model, "Its model, as provider/model."),
    key("agents.entries.*.identity.name", Kind::Text, "The name it presents itself by."),
    key("agents.entries.*.identity.theme", Kind::Text, "Its theme."),
    key("agents.entries.*.identity.emoji", Kind::Text, "Its emoji."),
    key("agents.entries.*.identity.avatar", Kind::Text, "Its picture."),
    key("agents.entries.*.heartbeat.every", Kind::Text, "The interval of its heartbeat."),
    key("agents.entries.*.heartbeat.prompt", Kind::Text, "The text that wakes it."),
    key("agents.entries.*.heartbeat.target", Kind::Text, "Where the answer to its heartbeat goes."),
    key("agents.entries.*.heartbeat.model", Kind::Text, "The model of its heartbeat."),
    key("agents.entries.*.heartbeat.ackMaxChars", Kind::Whole(0, u64::MAX), "Longest answer that counts as nothing to say."),
    key("session.scope", Kind::OneOf(&["per-sender", "global"]), "Who shares a session; per-sender if silent."),
    key("session.mainKey", Kind::Text, "Has no effect: the main session is always main."),
    key("session.store", Kind::Text, "The file of sessions; {agentId} in it stands for the agent."),
    key("models.providers.*.models.[].id", Kind::Text, "The model's id."),
    key("models.providers.*.models.[].name", Kind::Text, "The model's name."),
    key("models.providers.*.models.[].contextWindow", Kind::Whole(1, u64::MAX), "The size of its context in tokens."),
    key("models.providers.*.models.[].reasoning", Kind::Flag, "Whether it reasons."),
    key("models.providers.*.models.[].input", Kind::Texts, "What it takes: text, image."),
    key("logging.file", Kind::Text, "The log file that logs.tail reads."),
    key("cron.enabled", Kind::Flag, "Whether jobs run; true if silent."),
    key("cron.store", Kind::Text, "The file of jobs."),
    key("browser.enabled", Kind::Flag, "Whether browser.request is served; true if silent."),
    key("ui.assistant.name", Kind::Text, "The name that wins over every agent's."),
    key("ui.assistant.avatar", Kind::Text, "The picture that wins over every agent's."),
];

/// Longer paths lead nowhere.
const STEPS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::openclaw::{OpenClaw, Raw};
    use super::super::paths::Paths;
    use super::super::testing::Map as World;
    use super::super::text::Document;
    use super::*;

    /// A configuration with `value` at `path`, and what the reader needs beside it.
    fn config(path: &str, value: Value) -> Value {
        let mut config = value;
        for step in path.split('.').rev() {
            config = match step {
                "[]" => json!([config]),
                "*" => json!({ "k": config }),
                key => json!({ key: config }),
            };
        }
        for list in ["/agents/list/0", "/models/providers/k/models/0"] {
            if let Some(Value::Object(entry)) = config.pointer_mut(list) {
                entry.entry("id").or_insert(json!("x"));
            }
        }
        config
    }

    fn key_of_error(config: &Value) -> Option<String> {
        let world = World::default();
        let places = Paths { home: "/h".into(), state_dir: "/s".into(), config: "/c".into() };
        let document = Document::parse(&places.config, config.to_string()).expect("valid text");
        let raw = Raw::resolve(&world, places, document, true).expect("nothing to resolve");
        let error = OpenClaw::judge(raw, &world).err()?;
        Some(error.key().expect("an error about a key").to_owned())
    }

    /// Every row is read: a value of the wrong type is an error at this very key.
    #[test]
    fn rows_are_what_the_reader_reads() {
        for key in KEYS {
            let wrong = match key.kind {
                Kind::Text | Kind::OneOf(_) | Kind::Secret | Kind::Model => json!(1.5),
                Kind::Flag | Kind::Texts => json!("x"),
                Kind::Whole(..) => json!("1"),
            };
            let concrete = key.path.replace("[]", "0").replace('*', "k");
            assert_eq!(key_of_error(&config(key.path, wrong)), Some(concrete), "{}", key.path);
        }
    }

    /// The bounds and names of the rows are those of the reader.
    #[test]
    fn rows_have_the_bounds_of_the_reader() {
        for key in KEYS {
            match key.kind {
                Kind::Whole(min, max) => {
                    for right in [min, max] {
                        assert_eq!(key_of_error(&config(key.path, json!(right))), None, "{}", key.path);
                    }
                    for wrong in [min.checked_sub(1), max.checked_add(1)].into_iter().flatten() {
                        assert!(key_of_error(&config(key.path, json!(wrong))).is_some(), "{}", key.path);
                    }
                }
                Kind::OneOf(names) => {
                    for name in names {
                        assert_eq!(key_of_error(&config(key.path, json!(name))), None, "{}", key.path);
                    }
                    assert!(key_of_error(&config(key.path, json!("no"))).is_some(), "{}", key.path);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn finds_leaves_objects_and_lists() {
        let port = schema_lookup(" gateway.port ").expect("known");
        assert_eq!(
            port.pointer("/schema"),
            Some(&json!({ "type": "integer", "minimum": 1, "maximum": 65_535 }))
        );
        assert_eq!(port.get("hintPath"), Some(&json!("gateway.port")));
        assert_eq!(port.get("children"), Some(&json!([])));

        let auth = schema_lookup("gateway.auth").expect("known");
        assert_eq!(auth.pointer("/schema/type"), Some(&json!("object")));
        let child = |index: usize, key: &str| auth.pointer(&format!("/children/{index}/{key}")).cloned();
        assert_eq!(child(1, "path"), Some(json!("gateway.auth.token")));
        assert_eq!(child(1, "hint").and_then(|hint| hint.get("sensitive").cloned()), Some(json!(true)));
        assert_eq!(child(3, "key"), Some(json!("rateLimit")));
        assert_eq!(child(3, "hasChildren"), Some(json!(true)));
        assert_eq!(child(4, "key"), None);

        for path in ["agents.list[0].name", "agents.list[].name", "agents.list.*.name", "agents.list[*].name"]
        {
            let name = schema_lookup(path).expect(path);
            assert_eq!(name.get("hintPath"), Some(&json!("agents.list.[].name")));
        }
        let list = schema_lookup("agents.list").expect("known");
        assert_eq!(list.pointer("/schema/type"), Some(&json!("array")));
        assert_eq!(list.pointer("/children/0/path"), Some(&json!("agents.list.*")));
        let proxies = schema_lookup("gateway.trustedProxies").expect("known");
        assert_eq!(proxies.pointer("/children/0/type"), Some(&json!("string")));
    }

    #[test]
    fn knows_nothing_else() {
        for path in [
            "",
            ".",
            "channels",
            "gateway.port.x",
            "agents.entries.__proto__",
            "agents.list.x",
            &"a.".repeat(99),
        ] {
            assert_eq!(schema_lookup(path), None, "{path}");
        }
    }
}
