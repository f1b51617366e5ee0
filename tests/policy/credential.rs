//! What offered secrets are worth.

use loopgate::policy::credential::{Credential, HeldToken, Known, Mode, Reason, Shared, check};
use loopgate::policy::scope::{AuthMethod, Role, Scopes};
use loopgate::policy::secret::Digest;
use loopgate::wire::Protocol;
use serde_json::{Value, json};

use crate::kit::{TOKEN, connect};

const DEVICE_TOKEN: &str = "device-token-made-up";
const BOOTSTRAP: &str = "bootstrap-made-up";

fn mode() -> Mode {
    Mode::Token(Shared::Set(Digest::of(TOKEN)))
}

/// Checks `auth` for a proven device that holds [`DEVICE_TOKEN`] as an operator, beside a live [`BOOTSTRAP`].
fn weigh(mode: &Mode, auth: &Value, protocol: Protocol, proven: bool) -> Credential {
    let connect = connect(&json!({ "auth": auth }));
    let held = HeldToken { role: Role::Operator, digest: Digest::of(DEVICE_TOKEN), scopes: Scopes::READ };
    let bootstrap = connect.auth.bootstrap_token.as_deref() == Some(BOOTSTRAP);
    check(mode, &connect, protocol, &Known { proven, tokens: &[held], bootstrap })
}

fn token_ok() -> Credential {
    Credential::Shared { method: AuthMethod::Token, digest: Digest::of(TOKEN) }
}

fn device_ok() -> Credential {
    Credential::DeviceToken { digest: Digest::of(DEVICE_TOKEN), scopes: Scopes::READ }
}

#[test]
fn precedence_is_that_of_the_protocol() {
    let bootstrap_ok = Credential::Bootstrap { digest: Digest::of(BOOTSTRAP) };
    let failed = Credential::Failed;
    let cases = [
        (json!({"token": TOKEN}), token_ok()),
        (json!({"token": format!(" {TOKEN}\n")}), token_ok()),
        (
            json!({"token": TOKEN, "deviceToken": "bad", "bootstrapToken": "bad", "password": "bad"}),
            token_ok(),
        ),
        (json!({"token": TOKEN, "bootstrapToken": BOOTSTRAP}), token_ok()),
        (json!({"token": "bad", "bootstrapToken": BOOTSTRAP, "deviceToken": "bad"}), bootstrap_ok),
        (json!({"bootstrapToken": "bad"}), failed(Reason::BootstrapInvalid)),
        (json!({"bootstrapToken": "bad", "deviceToken": DEVICE_TOKEN}), device_ok()),
        (json!({"bootstrapToken": "bad", "deviceToken": "bad"}), failed(Reason::DeviceTokenMismatch)),
        (json!({"bootstrapToken": "bad", "token": "bad"}), failed(Reason::BootstrapInvalid)),
        (json!({"deviceToken": DEVICE_TOKEN}), device_ok()),
        (json!({"token": "bad", "deviceToken": DEVICE_TOKEN}), device_ok()),
        (json!({"token": "bad", "deviceToken": "bad"}), failed(Reason::DeviceTokenMismatch)),
        (json!({"token": DEVICE_TOKEN}), device_ok()),
        (json!({"token": DEVICE_TOKEN, "deviceToken": "bad"}), failed(Reason::DeviceTokenMismatch)),
        (json!({"token": "bad"}), failed(Reason::TokenMismatch)),
        (json!({"token": TOKEN.to_uppercase()}), failed(Reason::TokenMismatch)),
        (json!({"token": "", "deviceToken": "", "bootstrapToken": " "}), failed(Reason::TokenMissing)),
        (json!({}), failed(Reason::TokenMissing)),
    ];
    for (auth, want) in cases {
        for protocol in Protocol::ALL {
            // A wrong password beside a missing token is the one thing that the protocols see differently.
            assert_eq!(weigh(&mode(), &auth, protocol, true), want, "{auth} v{protocol}");
        }
    }
}

#[test]
fn s18_without_a_proven_device_no_token_of_a_device_counts() {
    for (auth, want) in [
        (json!({"deviceToken": DEVICE_TOKEN}), Reason::TokenMissing),
        (json!({"token": DEVICE_TOKEN}), Reason::TokenMismatch),
        (json!({"bootstrapToken": BOOTSTRAP}), Reason::TokenMissing),
        (json!({"deviceToken": TOKEN}), Reason::TokenMissing),
        (json!({"bootstrapToken": TOKEN}), Reason::TokenMissing),
    ] {
        assert_eq!(weigh(&mode(), &auth, Protocol::V4, false), Credential::Failed(want), "{auth}");
    }
    assert_eq!(weigh(&mode(), &json!({"token": TOKEN}), Protocol::V3, false), token_ok());
}

#[test]
fn since_protocol_4_the_secret_may_stand_in_the_other_field() {
    let password = Mode::Password(Shared::Set(Digest::of(TOKEN)));
    let password_ok = Credential::Shared { method: AuthMethod::Password, digest: Digest::of(TOKEN) };
    let in_password = json!({"password": TOKEN});
    let in_token = json!({"token": TOKEN});
    assert_eq!(weigh(&mode(), &in_password, Protocol::V4, false), token_ok());
    assert_eq!(weigh(&mode(), &in_password, Protocol::V3, false), Credential::Failed(Reason::TokenMissing));
    assert_eq!(weigh(&password, &in_password, Protocol::V3, false), password_ok);
    assert_eq!(weigh(&password, &in_token, Protocol::V4, false), password_ok);
    assert_eq!(weigh(&password, &in_token, Protocol::V3, false), Credential::Failed(Reason::PasswordMissing));
    let wrong = json!({"password": "bad"});
    assert_eq!(weigh(&mode(), &wrong, Protocol::V4, false), Credential::Failed(Reason::TokenMismatch));
    assert_eq!(weigh(&password, &wrong, Protocol::V3, false), Credential::Failed(Reason::PasswordMismatch));
    // A secret in its own field is not rescued by the other one.
    let both = json!({"token": "bad", "password": TOKEN});
    assert_eq!(weigh(&mode(), &both, Protocol::V4, false), Credential::Failed(Reason::TokenMismatch));
}

#[test]
fn a_gateway_without_its_secret_says_so_and_admits_nobody_by_it() {
    for (mode, want) in [
        (Mode::Token(Shared::Missing), Reason::TokenNotConfigured),
        (Mode::Token(Shared::Unusable), Reason::TokenUnusable),
        (Mode::Password(Shared::Missing), Reason::PasswordNotConfigured),
        (Mode::Password(Shared::Unusable), Reason::PasswordUnusable),
    ] {
        for auth in [
            json!({}),
            json!({"token": TOKEN}),
            json!({"token": "", "password": ""}),
            json!({"token": "undefined"}),
        ] {
            assert_eq!(weigh(&mode, &auth, Protocol::V4, true), Credential::Failed(want), "{auth}");
        }
        assert_eq!(weigh(&mode, &json!({"deviceToken": DEVICE_TOKEN}), Protocol::V3, true), device_ok());
    }
}

#[test]
fn a_device_token_is_for_its_role() {
    let connect = connect(&json!({"role": "node", "auth": {"deviceToken": DEVICE_TOKEN}}));
    let held = |role| HeldToken { role, digest: Digest::of(DEVICE_TOKEN), scopes: Scopes::NONE };
    let known = |tokens: &[HeldToken]| {
        check(&mode(), &connect, Protocol::V4, &Known { proven: true, tokens, bootstrap: false })
    };
    let mismatch = Credential::Failed(Reason::DeviceTokenMismatch);
    assert_eq!(known(&[held(Role::Operator)]), mismatch);
    assert_eq!(known(&[]), mismatch);
    assert!(matches!(known(&[held(Role::Operator), held(Role::Node)]), Credential::DeviceToken { .. }));
}

#[test]
fn mode_none_looks_at_nothing() {
    for auth in [json!({}), json!({"token": "bad"}), json!({"bootstrapToken": "bad"})] {
        assert_eq!(weigh(&Mode::None, &auth, Protocol::V3, false), Credential::NoneRequired);
    }
}
