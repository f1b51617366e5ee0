//! The token that loopgated makes when none is configured.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::TOKEN;
use crate::live::{Gate, operator, with_auth};
use crate::rig::Home;

const MADE: &str = "notice no gateway token is configured, one was made";

/// A home in which nobody has said anything about secrets.
fn silent() -> Home {
    let home = Home::new();
    home.configure("{}");
    home
}

fn path(home: &Home) -> PathBuf {
    home.path.join(".local/state/loopgate/gateway-token")
}

fn with_token(token: &str) -> Value {
    with_auth(operator(4, &["operator.admin"]), json!({"token": token}))
}

#[test]
fn a_token_is_made_once_and_opens_the_gate_until_another_is_configured() {
    let mut gate = Gate::kept(silent());
    let file = path(&gate.home);
    let show = format!("cat {}", file.display());
    let log = gate.daemon.says(&[MADE, &format!("FILE={}", file.display()), &show]);
    let token = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(token.trim_end().len(), 43, "32 bytes in base64url");
    assert!(!log.contains(token.trim()), "{log}");
    gate.open().admit(with_token(&token));
    assert_eq!(gate.open().refusal(&with_token("tok-made-up-guess")), "AUTH_TOKEN_MISMATCH");
    let (status, out, _) = gate.home.run(&["--check"]);
    assert_eq!(status, Some(0));
    assert!(out.contains(&format!("{}: has the token", file.display())), "{out}");

    let mut before = gate.open();
    before.admit(with_token(&token));
    gate.renew(Signal::SIGTERM);
    before.ok("health", &json!({}));
    gate.open().admit(with_token(&token));
    assert!(!gate.daemon.log().contains(MADE));
    assert_eq!(fs::read_to_string(&file).unwrap(), token);

    gate.home.configure(&format!("{{gateway: {{auth: {{token: '{TOKEN}'}}}}}}"));
    gate.daemon.signal(Signal::SIGHUP);
    let (code, reason) = before.end();
    assert_eq!(code, 1008, "{reason}");
    assert_eq!(gate.open().refusal(&with_token(&token)), "AUTH_TOKEN_MISMATCH");
    gate.open().admit(with_token(TOKEN));
    assert_eq!(fs::read_to_string(&file).unwrap(), token, "it is kept for the case that it is needed again");
}

#[test]
fn a_reload_that_first_needs_one_makes_it() {
    let gate = Gate::token();
    gate.operator(&["operator.read"]);
    assert!(!path(&gate.home).exists());
    gate.home.configure("{gateway: {auth: {mode: 'token'}}}");
    gate.daemon.signal(Signal::SIGHUP);
    gate.daemon.says(&[MADE]);
    gate.open().admit(with_token(&fs::read_to_string(path(&gate.home)).unwrap()));
}

#[test]
fn no_token_is_made_where_none_is_asked_for_or_another_place_is_named() {
    for auth in [
        "mode: 'none'",
        "mode: 'password'",
        "password: 'pw-made-up'",
        "mode: 'token', token: {source: 'env', provider: 'default', id: 'NO_SUCH'}",
    ] {
        let gate = Gate::new(auth, "{}");
        gate.daemon.says(&["ready for handshakes"]);
        assert!(!path(&gate.home).exists(), "{auth}");
    }
}

#[test]
fn a_check_says_where_it_would_be_and_makes_nothing() {
    let home = silent();
    let (status, out, _) = home.run(&["--check"]);
    assert_eq!(status, Some(0));
    assert!(out.contains("gateway-token: no such file, a start makes it"), "{out}");
    assert!(!home.path.join(".local").exists());
}

#[test]
fn a_file_that_cannot_be_used_is_left_alone_and_told() {
    for (content, mode, remedy) in [("tok-made-up-0003\n", 0o644, "chmod 600"), (" \n", 0o600, "remove it")] {
        let home = silent();
        fs::create_dir_all(path(&home).parent().unwrap()).unwrap();
        fs::write(path(&home), content).unwrap();
        fs::set_permissions(path(&home), fs::Permissions::from_mode(mode)).unwrap();
        let (status, _, err) = home.run(&["--check"]);
        assert_eq!(status, Some(78));
        assert!(err.contains(remedy), "{err}");
        let gate = Gate::start(home, |plan| plan);
        gate.daemon.says(&["the gateway secret cannot be had", remedy]);
        assert_eq!(gate.open().refusal(&with_token("tok-made-up-0003")), "AUTH_TOKEN_NOT_CONFIGURED");
        gate.daemon.says(&["RULE=secret-unusable"]);
        assert_eq!(fs::read_to_string(path(&gate.home)).unwrap(), content);
        // Mended, it is taken at the next reload.
        fs::set_permissions(path(&gate.home), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path(&gate.home), "tok-made-up-0004").unwrap();
        gate.daemon.signal(Signal::SIGHUP);
        gate.daemon.says(&["the configuration was read again"]);
        gate.open().admit(with_token("tok-made-up-0004"));
    }
}
