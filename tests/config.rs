//! The configuration from the outside: agreement with OpenClaw's recordings, secrets, settings, samples.
#![allow(
    clippy::duration_suboptimal_units,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::ok_expect,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a panic is how a test fails, and nobody calls a test"
)]

#[path = "config/redaction.rs"]
mod redaction;
#[path = "config/settings.rs"]
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loopgate::config::gateway::{AuthMode, BrowserMode};
use loopgate::config::view::{Form, config_get, config_get_broken};
use loopgate::config::{ConfigError, OpenClaw, Resolved, Secret, Sources};
use serde_json::{Value, json};

/// A world in maps: a home folder `/h`, and what a test puts in.
#[derive(Default, Clone)]
struct World {
    env: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, Result<String, String>>,
    credentials: BTreeMap<String, Result<String, String>>,
}

impl World {
    /// A world with this configuration.
    fn with(config: &str) -> Self {
        Self::default().file(CONFIG, config)
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), Ok(text.into()));
        self
    }

    fn credential(mut self, name: &str, value: Result<&str, &str>) -> Self {
        self.credentials.insert(name.into(), value.map(Into::into).map_err(Into::into));
        self
    }

    fn load(&self) -> Result<OpenClaw, ConfigError> {
        OpenClaw::load(self)
    }

    fn refusal(&self) -> String {
        self.load().expect_err("a refused configuration").to_string()
    }
}

impl Sources for World {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        self.files.get(path).cloned().transpose()
    }

    fn secret_file(&self, path: &Path) -> Result<String, String> {
        self.file(path)?.ok_or_else(|| "no such file".to_owned())
    }

    fn credential(&self, name: &str) -> Option<Result<String, String>> {
        self.credentials.get(name).cloned()
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/h".into())
    }
}

/// Numbers that JavaScript holds as floats are equal if their floats are.
fn alike(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => ours == theirs,
    }
}

// -- agreement with OpenClaw --

/// The text that the recorded gateways had: theirs was written by `JSON.stringify`.
fn recorded_text(port: u16) -> String {
    format!(
        "{{\n  \"gateway\": {{\n    \"mode\": \"local\",\n    \"bind\": \"loopback\",\n    \"port\": {port},\n    \
         \"auth\": {{\n      \"mode\": \"token\",\n      \"token\": \"tok-fake-test-gateway-0001\"\n    }}\n  }},\n  \
         \"update\": {{\n    \"checkOnStart\": false\n  }}\n}}"
    )
}

fn recorded(port: u16) -> OpenClaw {
    let home = World::default().env("OPENCLAW_HOME", "/home/u");
    home.file("/home/u/.openclaw/openclaw.json", &recorded_text(port)).load().expect("the recorded file")
}

#[test]
fn config_get_is_as_recorded_with_protocol_3() {
    let theirs: Value = serde_json::from_str(CONFIG_GET_V3).expect("the recording");
    let ours = config_get(&recorded(20_100), Form::V3);
    // The recorded gateway wrote its text anew; ours keeps the layout.
    let raw = |payload: &Value| -> Value {
        World::with(payload["raw"].as_str().expect("a text")).load().expect("a valid text").parsed
    };
    assert_eq!(raw(&ours), raw(&theirs));
    for (key, theirs) in theirs.as_object().expect("an object").iter().filter(|(key, _)| *key != "raw") {
        assert_eq!(&ours[key], theirs, "{key}");
    }
    assert_eq!(ours.as_object().map(serde_json::Map::len), theirs.as_object().map(serde_json::Map::len));
}

#[test]
fn config_get_is_as_recorded_with_protocol_4() {
    let theirs: Value = serde_json::from_str(CONFIG_GET_V4).expect("the recording");
    let ours = config_get(&recorded(20_200), Form::V4 { key: &[7; 32] });
    for (key, theirs) in theirs.as_object().expect("an object") {
        if key.to_lowercase().ends_with("hash") {
            let (ours, theirs) = (ours[key].as_str().expect(key), theirs.as_str().expect(key));
            assert_eq!(ours.len(), theirs.len(), "{key}");
            assert!(ours.starts_with("hmac-sha256:v1:"), "{key}");
        } else {
            assert_eq!(&ours[key], theirs, "{key}");
        }
    }
    assert_eq!(ours.as_object().map(serde_json::Map::len), theirs.as_object().map(serde_json::Map::len));
    assert_eq!(ours["configRevisionHash"], ours["appliedConfigHash"]);
    let other = config_get(&recorded(20_200), Form::V4 { key: &[8; 32] });
    assert_ne!(ours["hash"], other["hash"]);
}

#[test]
fn config_get_of_a_broken_file_shows_none_of_it() {
    let text = "{ gateway: { auth: { token: 'tok-fake-1' } ";
    let error = World::with(text).load().expect_err("a broken file");
    for form in [Form::V3, Form::V4 { key: &[1; 32] }] {
        let payload = config_get_broken(Path::new(CONFIG), Some(text), &error, form);
        assert!(!payload.to_string().contains("tok-fake"), "{payload}");
        assert_eq!(payload["valid"], json!(false));
        assert_eq!(payload["raw"], Value::Null);
        let message = payload["issues"][0]["message"].as_str().expect("a message");
        assert!(message.starts_with("/h/.openclaw/openclaw.json:1:"), "{message}");
    }
}

#[test]
fn a_missing_file_is_an_empty_configuration() {
    let config = World::default().load().expect("defaults");
    assert_eq!((&config.text, &config.parsed), (&None, &json!({})));
    assert_eq!(config.path, Path::new(CONFIG));
    assert_eq!(config.gateway.port, 18_789);
    assert_eq!(config.gateway.auth.mode, AuthMode::Token);
    assert_eq!(config.gateway.auth.token, Resolved::Missing);
    assert_eq!(config.gateway.auth.rate_limit, None);
    assert_eq!(config.gateway.nodes.browser_mode, BrowserMode::Auto);
    assert!(config.gateway.control_ui.enabled && config.browser_enabled && config.cron.enabled);
    assert_eq!(config.cron.store, Path::new("/h/.openclaw/cron/jobs.json"));
    assert_eq!(config.session_store("main"), Path::new("/h/.openclaw/agents/main/sessions/sessions.json"));
    assert_eq!(config.main_session_key(), "agent:main:main");
    let [main] = config.agents.list.as_slice() else { panic!("one agent") };
    assert_eq!((main.id.as_str(), config.agents.default_id.as_str()), ("main", "main"));
    assert_eq!(main.workspace, Path::new("/h/.openclaw/workspace"));
    assert_eq!((main.heartbeat.every.as_str(), main.heartbeat.every_ms), ("30m", Some(1_800_000)));
    let payload = config_get(&config, Form::V3);
    assert_eq!((&payload["exists"], &payload["raw"]), (&json!(false), &Value::Null));
}

#[test]
fn agents_are_read_in_both_forms() {
    let text = "{ agents: {
        defaults: { workspace: '~/common', model: { primary: 'Anthropic/some-model' }, contextTokens: 1000,
            heartbeat: { every: '1h', target: 'last', prompt: 'common' } },
        list: [
            { id: 'Ops X', name: ' Ops ', identity: { emoji: ' O ', name: ' ' }, workspace: '/w/../ops',
              heartbeat: { every: '90s', ackMaxChars: 10 } },
            { id: 'two', default: true, model: 'bare' },
            { id: 'ops x' },
        ] }, session: { scope: 'global', store: '~/s/{agentId}.json', mainKey: 'other' } }";
    let config = World::with(text).load().expect("a configuration");
    let agents = &config.agents;
    assert_eq!(agents.default_id, "two");
    assert_eq!(agents.context_tokens, Some(1_000));
    let model = agents.model.as_ref().expect("a model");
    assert_eq!((model.provider.as_str(), model.model.as_str()), ("anthropic", "some-model"));
    let [ops, two] = agents.list.as_slice() else { panic!("two agents") };
    assert_eq!((ops.id.as_str(), ops.name.as_deref()), ("ops-x", Some("Ops")));
    assert_eq!((ops.identity.emoji.as_deref(), &ops.identity.name), (Some("O"), &None));
    assert_eq!(
        (ops.workspace.as_path(), two.workspace.as_path()),
        (Path::new("/ops"), Path::new("/h/common"))
    );
    let beat = &ops.heartbeat;
    assert_eq!((beat.enabled, beat.every.as_str(), beat.every_ms), (true, "90s", Some(90_000)));
    assert_eq!((beat.prompt.as_deref(), beat.target.as_deref()), (Some("common"), Some("last")));
    assert_eq!(beat.ack_max_chars, 10);
    let none = &two.heartbeat;
    assert_eq!((none.enabled, none.every.as_str(), none.every_ms), (false, "disabled", None));
    assert_eq!(two.model.as_ref().map(|model| model.provider.as_str()), Some(""));
    assert_eq!(config.main_session_key(), "global");
    assert_eq!(config.session_store("two"), Path::new("/h/s/two.json"));
    assert_eq!(config.warnings.len(), 1);

    let keyed =
        World::with("{ agents: { entries: { zed: { name: 'Z' }, main: {} } } }").load().expect("agents");
    assert_eq!(keyed.agents.default_id, "main");
    let zed = keyed.agents.find("zed").expect("an agent");
    assert_eq!(zed.workspace, Path::new("/h/.openclaw/workspace-zed"));
}

#[test]
fn the_gateway_section_is_read() {
    let text = "{ gateway: { port: 20000, tls: { enabled: true },
        auth: { rateLimit: { maxAttempts: 3 } },
        controlUi: { basePath: 'ui/', allowedOrigins: [' HTTPS://A.example ', '', '*'], allowInsecureAuth: true },
        trustedProxies: ['10.0.0.1'],
        nodes: { allowCommands: ['camera.snap'], denyCommands: ['system.run'], browser: { mode: 'manual', node: 'n' } } },
        browser: { enabled: false }, logging: { file: '~/log' }, cron: { enabled: false, store: '/c' },
        models: { providers: { P: { models: [{ id: 'm', contextWindow: 5 }] } } },
        ui: { assistant: { name: ' Ada ' } } }";
    let config = World::with(text).load().expect("a configuration");
    let gateway = &config.gateway;
    assert_eq!((gateway.port, gateway.tls), (20_000, true));
    let limit = gateway.auth.rate_limit.expect("a limit");
    assert_eq!((limit.max_attempts, limit.window.as_secs(), limit.lockout.as_secs()), (3, 60, 300));
    assert!(limit.exempt_loopback);
    assert_eq!(gateway.control_ui.base_path, "/ui");
    assert_eq!(gateway.control_ui.allowed_origins, ["https://a.example", "*"]);
    assert!(gateway.control_ui.allow_insecure_auth && !gateway.control_ui.disable_device_auth);
    assert_eq!(
        (gateway.nodes.browser_mode, gateway.nodes.browser_node.as_deref()),
        (BrowserMode::Manual, Some("n"))
    );
    assert_eq!(
        (&gateway.nodes.allow_commands[..], &gateway.nodes.deny_commands[..]),
        (&["camera.snap".to_owned()][..], &["system.run".to_owned()][..])
    );
    assert!(!config.browser_enabled && !config.cron.enabled);
    assert_eq!(
        (config.cron.store.as_path(), config.logging.file.as_deref()),
        (Path::new("/c"), Some(Path::new("/h/log")))
    );
    let [model] = config.models.as_slice() else { panic!("one model") };
    assert_eq!((model.provider.as_str(), model.name.as_str(), model.context_window), ("p", "m", Some(5)));
    assert_eq!((model.reasoning, &model.input[..]), (false, &["text".to_owned()][..]));
    assert_eq!(config.assistant.name.as_deref(), Some("Ada"));
    let port = |value: &str| {
        World::with(text).env("OPENCLAW_GATEWAY_PORT", value).load().expect("a port").gateway.port
    };
    assert_eq!((port("30000"), port("x"), port("0")), (30_000, 20_000, 20_000));
}

// -- secrets --

/// What the token becomes with this configuration and world.
fn token(world: &World) -> String {
    match world.load().expect("a configuration").gateway.auth.token {
        Resolved::Set(secret) => secret.reveal().to_owned(),
        Resolved::Missing => "missing".to_owned(),
        Resolved::Unresolvable(reason) => format!("unresolvable: {reason}"),
    }
}

#[test]
fn a_token_is_looked_up_in_order() {
    let auth = |token: &str| World::with(&format!("{{ gateway: {{ auth: {{ token: {token} }} }} }}"));
    let env = |world: World| world.env("OPENCLAW_GATEWAY_TOKEN", " env ");
    let credential = |world: World| world.credential("gateway-token", Ok("credential\n"));
    let reference = "{ source: 'env', provider: 'default', id: 'TOK' }";

    assert_eq!(token(&credential(env(auth("' file '")))), "file");
    assert_eq!(token(&credential(env(auth("''")))), "env");
    assert_eq!(token(&env(auth("'${GONE}'"))), "env");
    assert_eq!(token(&env(auth(reference).env("TOK", "ref"))), "env");
    assert_eq!(token(&credential(auth(reference).env("TOK", "ref"))), "ref");
    assert_eq!(token(&credential(auth(reference))), "credential");
    assert_eq!(token(&credential(World::default())), "credential");
    assert_eq!(token(&auth("'a${TOK}'").env("TOK", "b")), "ab");
    assert_eq!(token(&World::default().file("/h/.openclaw/.env", "OPENCLAW_GATEWAY_TOKEN=dot")), "dot");
    assert_eq!(token(&World::with("{ env: { vars: { OPENCLAW_GATEWAY_TOKEN: 'vars' } } }")), "vars");
    assert_eq!(token(&World::default()), "missing");
    assert_eq!(token(&auth("'half ${GONE}'")), "missing");
    assert_eq!(token(&auth("'${GONE}'")), "unresolvable: the variable GONE is not set or empty");
    assert!(
        token(&auth("{ source: 'exec', provider: 'v', id: 'x' }"))
            .starts_with("unresolvable: the secret exec:v:x")
    );
    let broken = World::default().credential("gateway-token", Err("permission denied"));
    assert_eq!(
        token(&broken),
        "unresolvable: the credential gateway-token cannot be read: permission denied"
    );
    let empty = World::default().credential("gateway-token", Ok("\n"));
    assert_eq!(token(&empty), "unresolvable: the credential gateway-token is empty");
}

#[test]
fn the_mode_follows_the_secrets_unless_it_is_set() {
    let mode = |world: World| world.load().expect("a configuration").gateway.auth.mode;
    let auth = |inner: &str| World::with(&format!("{{ gateway: {{ auth: {{ {inner} }} }} }}"));
    assert_eq!(mode(auth("mode: 'none', token: 'x'")), AuthMode::None);
    assert_eq!(mode(auth("mode: 'token', token: 'x', password: 'y'")), AuthMode::Token);
    assert_eq!(mode(auth("password: 'y'")), AuthMode::Password);
    assert_eq!(mode(auth("token: 'x'").env("OPENCLAW_GATEWAY_PASSWORD", "y")), AuthMode::Password);
    assert_eq!(mode(auth("token: 'x'").credential("gateway-password", Ok("y"))), AuthMode::Password);
    assert_eq!(mode(auth("password: '${GONE}'")), AuthMode::Password);
    assert_eq!(mode(auth("password: '${GONE}'").env("OPENCLAW_GATEWAY_TOKEN", "x")), AuthMode::Token);
    assert_eq!(mode(auth("token: 'x'")), AuthMode::Token);
}

#[test]
fn what_ends_a_start_says_where_and_what_to_do() {
    for (text, want) in [
        (
            "{ gateway: {\n auth: { token: 'x', password: 'y' } } }",
            ":2:8: gateway.auth has a token and a password",
        ),
        (
            "{ gateway: { auth: { mode: 'trusted-proxy' } } }",
            ":1:28: gateway.auth.mode \"trusted-proxy\" is not supported",
        ),
        (
            "{ gateway: { auth: { mode: 'open' } } }",
            ":1:28: gateway.auth.mode: not a known value, write \"none\"",
        ),
        ("{ gateway: { port: '1' } }", ":1:20: gateway.port is a string, write a whole number"),
        ("{ gateway: { port: 0 } }", ":1:20: gateway.port: 0 is out of bounds"),
        ("{ gateway: [] }", ":1:12: gateway is a list, write an object"),
        ("{ agents: { list: [{ name: 'x' }] } }", ":1:20: agents.list.0.id is missing, write the agent's id"),
        ("[]", ":1:1: the file is a list, write an object"),
        ("{ $include: './no' }", ":1:3: $include: /h/.openclaw/no: no such file"),
        ("{ a: 1", ":1:1: not valid JSON5: the text ends inside this object"),
    ] {
        let error = World::with(text).refusal();
        assert!(error.contains(&format!("{CONFIG}{want}")), "{text}: {error}");
    }
    let mut world = World::default();
    world.files.insert(CONFIG.into(), Err("permission denied".into()));
    assert_eq!(world.refusal(), format!("{CONFIG}: cannot be read: permission denied"));
}

#[test]
fn a_value_that_was_included_is_placed_at_the_include() {
    let world = World::with("{\n gateway: { $include: './g.json' } }");
    let world = world.file("/h/.openclaw/g.json", "{ port: 'x' }");
    assert_eq!(world.refusal(), format!("{CONFIG}:2:11: gateway.port is a string, write a whole number"));
}

#[test]
fn keys_that_open_nothing_here_are_warned_of() {
    let text = "{ gateway: { tls: { enabled: true }, controlUi: { allowedOrigins: ['*', 'http://a.example'], \
                allowInsecureAuth: true, dangerouslyDisableDeviceAuth: true, \
                dangerouslyAllowHostHeaderOriginFallback: true } } }";
    let config = World::with(text).load().expect("a configuration");
    let mut warned: Vec<_> = config.warnings.iter().map(|warning| warning.path.as_str()).collect();
    warned.sort_unstable();
    let want = [
        "gateway.controlUi.allowInsecureAuth",
        "gateway.controlUi.allowedOrigins",
        "gateway.controlUi.dangerouslyAllowHostHeaderOriginFallback",
        "gateway.controlUi.dangerouslyDisableDeviceAuth",
        "gateway.tls.enabled",
    ];
    assert_eq!(warned, want);
    let quiet = World::with("{ gateway: { controlUi: { allowedOrigins: ['http://a.example'] } } }").load();
    assert!(quiet.expect("a configuration").warnings.is_empty());
}

#[test]
fn debug_shows_no_secret() {
    let world = World::with("{ gateway: { auth: { token: 'tok-fake-1' } }, x: { password: 'tok-fake-2' } }");
    let config = world.load().expect("a configuration");
    assert!(!format!("{config:?}").contains("tok-fake"));
    assert_eq!(config.gateway.auth.secret().and_then(Resolved::set).map(Secret::reveal), Some("tok-fake-1"));
}

const CONFIG: &str = "/h/.openclaw/openclaw.json";
const CONFIG_GET_V3: &str = include_str!("data/config/config-get-2026.3.13.json");
const CONFIG_GET_V4: &str = include_str!("data/config/config-get-2026.9.6.json");
