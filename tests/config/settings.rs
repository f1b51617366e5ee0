//! loopgate's own settings: bounds, positions, hints, places, and the sample file.

use std::path::Path;
use std::time::Duration;

use loopgate::config::settings::{self, Kind, SETTINGS, Settings, UserRef};
use loopgate::limits;

use super::World;

fn parsed(text: &str) -> Result<Settings, String> {
    Settings::parse(Path::new("/s"), text.to_owned()).map_err(|error| error.to_string())
}

/// A text that sets the key to a value.
fn setting(key: &str, value: &str) -> String {
    key.rsplit('.').fold(value.to_owned(), |inner, step| format!("{{ {step}: {inner} }}"))
}

#[test]
fn every_setting_has_its_bounds() {
    for row in SETTINGS {
        let (min, max) = match row.kind {
            Kind::Millis(span) => (span.min.as_millis(), span.max.as_millis()),
            Kind::Count(count) => (count.min as u128, count.max as u128),
            _ => continue,
        };
        // The head's deadline may not pass the handshake's, which has to be raised with it.
        let text = |value: u128| match row.key {
            "handshake.headTimeoutMs" => {
                format!("{{ handshake: {{ timeoutMs: 120000, headTimeoutMs: {value} }} }}")
            }
            key => setting(key, &value.to_string()),
        };
        let default = parsed("{}").expect("defaults");
        let changed = |value: u128| parsed(&text(value)).map(|settings| settings != default);
        assert_eq!((changed(min), changed(max)), (Ok(true), Ok(true)), "{}", row.key);
        for wrong in [min - 1, max + 1] {
            let error = parsed(&text(wrong)).expect_err(row.key);
            assert!(error.contains(&format!("write a whole number from {min} to {max}")), "{error}");
        }
        for wrong in ["'5000'", "1.5", "-1", "true", "[]"] {
            assert!(parsed(&setting(row.key, wrong)).is_err(), "{} = {wrong}", row.key);
        }
    }
}

#[test]
fn defaults_are_those_of_the_limits() {
    let settings = parsed("{}").expect("defaults");
    assert_eq!(settings.handshake.timeout, limits::HANDSHAKE.default);
    assert_eq!(settings.handshake.head, limits::HEAD.default);
    assert_eq!(settings.handshake.closing, limits::CLOSING.default);
    assert_eq!(
        (settings.connections, settings.tx_queue_bytes),
        (limits::CONNECTIONS_MAX, limits::TX_QUEUE_BYTES_MAX)
    );
    assert_eq!(settings.decisions_flush, limits::DECISIONS_FLUSH);
    assert_eq!((settings.operator_ceiling, settings.server_version), (None, None));
    assert!(settings.owner.is_empty() && settings.peers_allow.is_empty() && settings.origins.is_empty());
}

#[test]
fn the_head_has_a_part_of_the_handshake() {
    let of = |text: &str| parsed(text).map(|settings| settings.handshake.head);
    assert_eq!(of("{ handshake: { timeoutMs: 3000 } }"), Ok(Duration::from_secs(3)));
    assert_eq!(
        of("{ handshake: {\n timeoutMs: 3000,\n headTimeoutMs: 3001 } }"),
        Err("/s:3:17: handshake.headTimeoutMs: 3001 is more than handshake.timeoutMs, 3000; lower it, or raise the \
             other"
            .to_owned())
    );
}

#[test]
fn unknown_keys_are_placed_and_get_a_hint() {
    for (text, want) in [
        ("{\n\n  ownr: [] }", "/s:3:3: unknown key ownr, did you mean owner"),
        (
            "{ handshake: {\n  timeoutMS: 1 } }",
            "/s:2:3: unknown key handshake.timeoutMS, did you mean handshake.timeoutMs",
        ),
        (
            "{ handshake: { headTimeout: 1 } }",
            "/s:1:16: unknown key handshake.headTimeout, did you mean handshake.headTimeoutMs",
        ),
        ("{ nonsense: 1 }", "/s:1:3: unknown key nonsense, see loopgate.conf(5) for the known ones"),
        ("{ owner: [], 'peers': { x: 1 } }", "/s:1:25: unknown key peers.x"),
        ("{ 'handshake.timeoutMs': 1 }", "/s:1:3: handshake.timeoutMs: a dot stands for nesting"),
        ("{ handshake: 5 }", "/s:1:14: handshake is a number, write an object"),
        ("[]", "/s:1:1: the file is a list, write an object"),
        ("{ owner: 'root' }", "/s:1:10: owner is a string, write a list"),
    ] {
        let error = parsed(text).expect_err(text);
        assert!(error.starts_with(want), "{text}: {error}");
    }
}

#[test]
fn lists_hold_what_they_may() {
    let users = |list: &str| parsed(&setting("owner", list)).map(|settings| settings.owner);
    assert_eq!(
        users("['claw', 1000, '1001', 'a-b_c.d']"),
        Ok(vec![
            UserRef::Name("claw".into()),
            UserRef::Uid(1000),
            UserRef::Uid(1001),
            UserRef::Name("a-b_c.d".into())
        ])
    );
    for wrong in
        ["['']", "['a b']", "[-1]", "[4294967295]", "['4294967296']", "[1.5]", "[null]", "[[]]", "['-x']"]
    {
        assert!(users(wrong).is_err(), "{wrong}");
    }
    assert!(users(&format!("[{}]", "1,".repeat(65))).is_err());

    let origins = |list: &str| parsed(&setting("origins", list)).map(|settings| settings.origins);
    assert_eq!(
        origins(
            "['HTTPS://Control.Example.com:8443', 'http://h:80', 'https://h:443', 'http://[::1]:3000', 'http://[::1]']"
        ),
        Ok([
            "https://control.example.com:8443",
            "http://h",
            "https://h",
            "http://[::1]:3000",
            "http://[::1]"
        ]
        .map(str::to_owned)
        .to_vec())
    );
    for wrong in [
        "*",
        "null",
        "h",
        "ftp://h",
        "http://",
        "http://h/",
        "http://u@h",
        "http://*.h",
        "http://h:0",
        "http://h:+1",
        "http://h:65536",
        "http://h:",
        "http://[x]",
        "http://h..i",
        "http://ä",
        "http://h?x",
        "",
    ] {
        assert!(origins(&format!("['{wrong}']")).is_err(), "{wrong}");
    }

    let ceiling =
        |list: &str| parsed(&setting("ceiling.operator", list)).map(|settings| settings.operator_ceiling);
    assert_eq!(ceiling("['operator.read']"), Ok(Some(vec!["operator.read".to_owned()])));
    assert_eq!(ceiling("[]"), Ok(Some(Vec::new())));
    assert!(ceiling("['read']").expect_err("no scope").contains("not a scope, write one of operator.admin"));

    let version =
        |text: &str| parsed(&setting("serverVersion", text)).map(|settings| settings.server_version);
    assert_eq!(version("'2026.9.6-1'"), Ok(Some("2026.9.6-1".to_owned())));
    for wrong in ["''", "'a b'", "'a\\n'", "7"] {
        assert!(version(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn groups_stand_where_users_do() {
    let users = |list: &str| parsed(&setting("owner", list)).map(|settings| settings.owner);
    let group = || UserRef::Group("loopgate".into());
    assert_eq!(users("['%loopgate', 'claw']"), Ok(vec![group(), UserRef::Name("claw".into())]));
    let allowed = parsed(&setting("peers.allow", "['%loopgate']")).map(|settings| settings.peers_allow);
    assert_eq!(allowed, Ok(vec![group()]));
    for wrong in ["['%']", "['%1000']", "['%%a']", "['% a']", "['%-a']", "['a%b']"] {
        assert!(users(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_runtime_has_a_port_or_none() {
    let port = |text: &str| parsed(&setting("runtime.port", text)).map(|settings| settings.runtime_port);
    assert_eq!((port("1"), port("65535"), port("null")), (Ok(Some(1)), Ok(Some(65535)), Ok(None)));
    for wrong in ["0", "65536", "-1", "1.5", "'28789'"] {
        assert!(port(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_runtime_has_a_unit_or_none() {
    let unit = |text: &str| parsed(&setting("runtime.unit", text)).map(|settings| settings.runtime_unit);
    for name in ["openclaw-gateway.service", "openclaw-gateway-work.service", "a@b.service"] {
        assert_eq!(unit(&format!("'{name}'")), Ok(Some(name.to_owned())));
    }
    assert_eq!(unit("null"), Ok(None));
    let long = format!("'{}.service'", "a".repeat(248));
    for wrong in [
        "''",
        "'.service'",
        "'a'",
        "'a.socket'",
        "'-a.service'",
        "'a@.service'",
        "'../a.service'",
        "'a b.service'",
        "'a.service\\nb.service'",
        "'a;b.service'",
        "'%i.service'",
        "7",
        &long,
    ] {
        assert!(unit(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_settings_file_is_found_in_order() {
    let path = |world: &World, named: Option<&str>| {
        Settings::load(world, named.map(Path::new))
            .map(|settings| settings.path.display().to_string())
            .map_err(|error| error.to_string())
    };
    let world = World::default();
    assert_eq!(path(&world, None), Ok("/h/.config/loopgate/loopgate.conf".into()));
    let world = world.env("XDG_CONFIG_HOME", "/x");
    assert_eq!(path(&world, None), Ok("/x/loopgate/loopgate.conf".into()));
    assert_eq!(
        path(&world.clone().env("XDG_CONFIG_HOME", "x"), None),
        Ok("/h/.config/loopgate/loopgate.conf".into())
    );
    let world = world.env("CONFIGURATION_DIRECTORY", "/etc/loopgate:/etc/b");
    assert_eq!(path(&world, None), Ok("/etc/loopgate/loopgate.conf".into()));
    let world = world.env("LOOPGATE_CONFIG", "~/l.conf");
    assert_eq!(
        path(&world, None),
        Err("/h/l.conf: no such file, create it or correct LOOPGATE_CONFIG".into())
    );
    let world = world.file("/h/l.conf", "{ owner: [0] }");
    assert_eq!(path(&world, None), Ok("/h/l.conf".into()));
    assert_eq!(
        path(&world, Some("/c.conf")),
        Err("/c.conf: no such file, create it or correct --config".into())
    );
    assert_eq!(path(&world.file("/c.conf", "{}"), Some("/c.conf")), Ok("/c.conf".into()));
}

#[test]
fn the_sample_shows_every_setting_and_its_default() {
    let defaults = parsed(IN_FORCE).expect("defaults, but for one");
    assert_eq!(parsed(SAMPLE).expect("the sample as it is"), defaults);
    // What is commented out is what holds anyway, or an example of what may be written.
    let uncomment = |line: &str| match line.trim().strip_prefix("// ") {
        Some(rest) if SETTINGS.iter().any(|row| rest.starts_with(&format!("{}: ", last(row.key)))) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    let full: Vec<String> = SAMPLE.lines().map(uncomment).collect();
    let settings = parsed(&full.join("\n")).expect("the sample with everything in it");
    assert_eq!(settings.origins, ["https://control.example.com:8443"]);
    assert_eq!(settings.operator_ceiling.as_deref().map(<[String]>::len), Some(2));
    let mut silenced = settings;
    silenced.origins.clear();
    silenced.operator_ceiling = None;
    silenced.server_version = None;
    silenced.runtime_port = None;
    silenced.runtime_unit = None;
    assert_eq!(silenced, defaults);
    for row in SETTINGS {
        let shown = match row.kind {
            Kind::Millis(_) | Kind::Count(_) | Kind::Users => row.kind.default_text(),
            Kind::Scopes | Kind::Origins | Kind::Version | Kind::Port | Kind::Service => String::new(),
        };
        if row.key == "owner" {
            continue;
        }
        assert!(SAMPLE.contains(&format!("// {}: {shown}", last(row.key))), "{}", row.key);
        if let Kind::Millis(_) | Kind::Count(_) | Kind::Port = row.kind {
            let bounds =
                row.kind.describe().replace("milliseconds from ", "").replace("a whole number from ", "");
            assert!(SAMPLE.contains(&bounds), "{}: {bounds}", row.key);
        }
    }
}

#[test]
fn the_dump_has_a_line_for_every_setting() {
    let dump = settings::dump();
    assert_eq!(dump.lines().count(), SETTINGS.len());
    assert!(dump.lines().all(|line| line.split('\t').count() == 4));
    assert!(dump.contains("handshake.timeoutMs\t15000\tmilliseconds from 1000 to 120000\t"));
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// What the sample changes: the members of the package's own group are owners.
const IN_FORCE: &str = "{ owner: ['%loopgate'] }";
const SAMPLE: &str = include_str!("../../packaging/loopgate.conf");
