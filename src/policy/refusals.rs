//! The wording of refusals. Codes, reasons and messages are the protocol's (protocol.md 3.5, 3.7, 3.8, 4.4, 5.4 and
//! protocol-versions.md 6): clients branch on the codes and match on parts of some messages.

use serde_json::json;

use super::admit::Pending;
use super::case::Case;
use super::credential::{Credential, Reason};
use super::device::Fault;
use super::facts::PeerClass;
use super::rules::{Denial, PendReason, Rule};
use super::secret::offered;
use crate::clock;
use crate::wire::Protocol;
use crate::wire::connect::Secrets;
use crate::wire::error::{ErrorCode, ErrorShape};
use crate::wire::refusal::Refusal;

/// One row of protocol.md 3.5: what goes into `details` beside the message.
struct Wording {
    reason: &'static str,
    code: &'static str,
    next_step: &'static str,
}

/// Who is told how to mend its secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Cli,
    /// The command line on this machine, since protocol 4.
    LocalCli,
    Browser,
    Other,
}

/// The refusal that `rule` makes of `case`.
pub(super) fn refusal(rule: &Rule, denial: Denial, case: &Case<'_>) -> Refusal {
    let error = match denial {
        Denial::Host => ErrorShape::invalid("host not allowed (connect to a loopback address)")
            .with_details(json!({ "code": "AUTH_UNAUTHORIZED", "authReason": "host_not_allowed" })),
        Denial::Origin => origin("origin not allowed"),
        Denial::OriginMissing => origin("origin missing or invalid"),
        Denial::Peer => peer(case.facts.peer),
        Denial::Role => ErrorShape::invalid("invalid role"),
        Denial::Locked => locked(case),
        Denial::Proof(fault) => proof(fault),
        Denial::ControlUiDevice => {
            ErrorShape::invalid("control ui requires device identity (use HTTPS or localhost secure context)")
                .with_details(json!({ "code": "CONTROL_UI_DEVICE_IDENTITY_REQUIRED" }))
        }
        Denial::Device => ErrorShape::new(ErrorCode::NotPaired, "device identity required")
            .with_details(json!({ "code": "DEVICE_IDENTITY_REQUIRED" })),
        Denial::Credential => credential(case),
        Denial::Gone => return gone(rule),
    };
    let status = match denial {
        Denial::Locked => 429,
        Denial::Credential | Denial::Device | Denial::Proof(_) => 401,
        _ => 403,
    };
    Refusal::answer(rule.name, error, rule.remedy).with_status(status)
}

/// The close of an open connection whose credential is gone. The words `device token mismatch` must not be in it: they
/// make a client throw its stored token away.
pub(super) fn gone(rule: &Rule) -> Refusal {
    let reason = "unauthorized: what this connection was admitted with is no longer valid (connect again)";
    Refusal::new(rule.name, reason, rule.remedy).with_status(401)
}

/// The refusal of a device that has to be approved, under the id of its pairing request.
pub(super) fn pairing(pending: &Pending, request_id: &str) -> Refusal {
    let reason = pending.reason;
    let mut details = json!({
        "code": "PAIRING_REQUIRED", "requestId": request_id, "reason": reason.name(),
    });
    let message = match (pending.protocol, details.as_object_mut()) {
        (Protocol::V4, Some(details)) => {
            details.insert("remediationHint".into(), hint(request_id).into());
            details.insert("deviceId".into(), pending.device.id().as_str().into());
            details.insert("requestedRole".into(), pending.role.name().into());
            details.insert("requestedScopes".into(), pending.asked.clone().into());
            if !pending.approved_roles.is_empty() {
                let roles: Vec<_> = pending.approved_roles.iter().map(|role| role.name()).collect();
                details.insert("approvedRoles".into(), roles.into());
            }
            let scopes: Vec<_> = pending.approved.names(Protocol::V4).collect();
            if !scopes.is_empty() {
                details.insert("approvedScopes".into(), scopes.into());
            }
            format!("pairing required: {}", requirement(reason))
        }
        _ => "pairing required".to_owned(),
    };
    let close = match pending.protocol {
        Protocol::V3 => message.clone(),
        Protocol::V4 => format!("{message} (requestId: {request_id})"),
    };
    let error = ErrorShape::new(ErrorCode::NotPaired, message).with_details(details);
    let rule = pending.rule;
    Refusal { reason: close.into(), ..Refusal::answer(rule.name, error, rule.remedy) }
}

/// `remediationHint` of protocol 4.
fn hint(request_id: &str) -> String {
    format!("on the gateway's machine, run: openclaw devices approve {request_id}")
}

/// Protocol 4 puts it behind `pairing required: `, which is what clients look for.
fn requirement(reason: PendReason) -> &'static str {
    match reason {
        PendReason::NotPaired => "this device was not approved yet",
        PendReason::MetadataUpgrade => "device identity changed and must be re-approved",
        PendReason::RoleUpgrade => "this device asks for a role that was not approved",
        PendReason::ScopeUpgrade => "this device asks for scopes that were not approved",
    }
}

/// The same message for both reasons (protocol.md 3.8).
fn origin(reason: &str) -> ErrorShape {
    let message = "origin not allowed (open the Control UI from the gateway host or allow it in \
                   gateway.controlUi.allowedOrigins)";
    ErrorShape::invalid(message)
        .with_details(json!({ "code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": reason }))
}

/// OpenClaw knows no users of the machine; the code is the one that its clients take for "not you" in general.
fn peer(peer: PeerClass) -> ErrorShape {
    let message = match peer {
        PeerClass::Other(uid) | PeerClass::Allowed(uid) => {
            format!("unauthorized: user {uid} may not use this gateway (name it in peers.allow)")
        }
        PeerClass::Owner | PeerClass::Unknown => {
            "unauthorized: this user may not use this gateway".to_owned()
        }
    };
    ErrorShape::invalid(message).with_details(json!({
        "code": "AUTH_UNAUTHORIZED", "authReason": "peer_not_allowed",
        "canRetryWithDeviceToken": false, "recommendedNextStep": "review_auth_configuration",
    }))
}

/// Clients of protocol 3 stop trying at this code; those of protocol 4 are told for how long to wait.
fn locked(case: &Case<'_>) -> ErrorShape {
    let message = "unauthorized: too many failed authentication attempts (retry later)";
    let error = ErrorShape::invalid(message).with_details(json!({
        "code": "AUTH_RATE_LIMITED", "authReason": "rate_limited",
        "canRetryWithDeviceToken": false, "recommendedNextStep": "wait_then_retry",
    }));
    ErrorShape { retryable: Some(true), retry_after_ms: case.facts.locked.map(clock::millis), ..error }
}

fn proof(fault: Fault) -> ErrorShape {
    let (message, code, reason) = match fault {
        Fault::Id => ("device identity mismatch", "DEVICE_AUTH_DEVICE_ID_MISMATCH", "device-id-mismatch"),
        Fault::Skew => {
            ("device signature expired", "DEVICE_AUTH_SIGNATURE_EXPIRED", "device-signature-stale")
        }
        Fault::NonceMissing => {
            ("device nonce required", "DEVICE_AUTH_NONCE_REQUIRED", "device-nonce-missing")
        }
        Fault::Nonce => ("device nonce mismatch", "DEVICE_AUTH_NONCE_MISMATCH", "device-nonce-mismatch"),
        Fault::Signature => ("device signature invalid", "DEVICE_AUTH_SIGNATURE_INVALID", "device-signature"),
        Fault::Key => ("device public key invalid", "DEVICE_AUTH_PUBLIC_KEY_INVALID", "device-public-key"),
    };
    ErrorShape::invalid(message).with_details(json!({ "code": code, "reason": reason }))
}

fn credential(case: &Case<'_>) -> ErrorShape {
    let reason = match case.facts.credential {
        Credential::Failed(reason) => *reason,
        // No rule asks for this wording of a credential that holds.
        _ => Reason::TokenMismatch,
    };
    let auth = &case.facts.connect.auth;
    let can_retry = reason == Reason::TokenMismatch && case.device().is_some() && offers_token_alone(auth);
    let Wording { reason: name, code, next_step } = wording(reason);
    ErrorShape::invalid(message(reason, audience(case))).with_details(json!({
        "code": code,
        "authReason": name,
        "canRetryWithDeviceToken": can_retry,
        "recommendedNextStep": if can_retry { "retry_with_device_token" } else { next_step },
    }))
}

/// Whether a client that failed may try once more with a device token that it has stored.
fn offers_token_alone(auth: &Secrets) -> bool {
    let there = |secret: &Option<String>| offered(secret.as_ref()).is_some();
    there(&auth.token) && !there(&auth.password) && !there(&auth.device_token)
}

fn wording(reason: Reason) -> Wording {
    let (reason, code, next_step) = match reason {
        Reason::TokenMissing => ("token_missing", "AUTH_TOKEN_MISSING", CONFIGURATION),
        Reason::TokenMismatch => ("token_mismatch", "AUTH_TOKEN_MISMATCH", CREDENTIALS),
        Reason::TokenNotConfigured | Reason::TokenUnusable => {
            ("token_missing_config", "AUTH_TOKEN_NOT_CONFIGURED", CONFIGURATION)
        }
        Reason::PasswordMissing => ("password_missing", "AUTH_PASSWORD_MISSING", CONFIGURATION),
        Reason::PasswordMismatch => ("password_mismatch", "AUTH_PASSWORD_MISMATCH", CREDENTIALS),
        Reason::PasswordNotConfigured | Reason::PasswordUnusable => {
            ("password_missing_config", "AUTH_PASSWORD_NOT_CONFIGURED", CONFIGURATION)
        }
        Reason::BootstrapInvalid => ("bootstrap_token_invalid", "AUTH_BOOTSTRAP_TOKEN_INVALID", REVIEW),
        Reason::DeviceTokenMismatch => ("device_token_mismatch", "AUTH_DEVICE_TOKEN_MISMATCH", CREDENTIALS),
    };
    Wording { reason, code, next_step }
}

fn message(reason: Reason, audience: Audience) -> String {
    let (what, hint) = match reason {
        Reason::TokenMissing => ("gateway token missing", token_hint(audience)),
        Reason::TokenMismatch => ("gateway token mismatch", token_hint(audience)),
        Reason::TokenNotConfigured => ("gateway token not configured on gateway", "set gateway.auth.token"),
        Reason::TokenUnusable => ("gateway token not configured on gateway", UNUSABLE_HINT),
        Reason::PasswordMissing => ("gateway password missing", password_hint(audience)),
        Reason::PasswordMismatch => ("gateway password mismatch", password_hint(audience)),
        Reason::PasswordNotConfigured => {
            ("gateway password not configured on gateway", "set gateway.auth.password")
        }
        Reason::PasswordUnusable => ("gateway password not configured on gateway", UNUSABLE_HINT),
        Reason::BootstrapInvalid => ("bootstrap token invalid or expired", "scan a fresh setup code"),
        Reason::DeviceTokenMismatch => ("device token mismatch", "rotate/reissue device token"),
    };
    format!("unauthorized: {what} ({hint})")
}

fn audience(case: &Case<'_>) -> Audience {
    let connect = case.facts.connect;
    if connect.client.mode == "cli" {
        let local = case.facts.protocol >= Protocol::V4 && case.near();
        return if local { Audience::LocalCli } else { Audience::Cli };
    }
    if connect.claims_browser() || connect.client.mode == "webchat" {
        return Audience::Browser;
    }
    Audience::Other
}

fn token_hint(audience: Audience) -> &'static str {
    match audience {
        Audience::Cli => "set gateway.remote.token to match gateway.auth.token",
        Audience::LocalCli => "use this gateway's gateway.auth.token or pair the device",
        Audience::Browser => "open the dashboard URL and paste the token in Control UI settings",
        Audience::Other => "provide gateway auth token",
    }
}

fn password_hint(audience: Audience) -> &'static str {
    match audience {
        Audience::Cli => "set gateway.remote.password to match gateway.auth.password",
        Audience::LocalCli => "use this gateway's gateway.auth.password",
        Audience::Browser => "enter the password in Control UI settings",
        Audience::Other => "provide gateway auth password",
    }
}

const CONFIGURATION: &str = "update_auth_configuration";
const CREDENTIALS: &str = "update_auth_credentials";
const REVIEW: &str = "review_auth_configuration";
const UNUSABLE_HINT: &str = "the place that gateway.auth names cannot be read; see the journal";
