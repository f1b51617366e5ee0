//! Secrets that a client offers, checked against what is configured, issued and valid now.
//!
//! Order of protocol.md 3.4: a valid shared secret wins over everything, whatever else is offered beside it; then the
//! bootstrap token; then the device token. Rule: what is merely present counts for nothing.

use super::scope::{AuthMethod, Role, Scopes};
use super::secret::{Digest, offered};
use crate::wire::Protocol;
use crate::wire::connect::{Connect, Secrets};

/// `gateway.auth.mode` with the secret that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No secret is asked for.
    None,
    /// `auth.token` has to match.
    Token(Shared),
    /// `auth.password` has to match.
    Password(Shared),
}

/// The configured secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// Its digest.
    Set(Digest),
    /// None is configured.
    Missing,
    /// The configuration says where it stands, but it cannot be had.
    Unusable,
}

/// A live token of a paired device, as the pairing store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldToken {
    /// The role that it is for.
    pub role: Role,
    /// What it is compared with.
    pub digest: Digest,
    /// The most that it opens.
    pub scopes: Scopes,
}

/// What the stores say about the tokens that may have been offered.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Whether a device proof was given and holds. Without one no device or bootstrap token is looked at.
    pub proven: bool,
    /// The live tokens of the proven device, of all roles.
    pub tokens: &'a [HeldToken],
    /// Whether the offered bootstrap token exists and is neither used nor expired.
    pub bootstrap: bool,
}

/// What the secrets of a client are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// Mode `none`: nothing was looked at.
    NoneRequired,
    /// The shared secret; the digest is that of the configured one.
    Shared {
        /// [`AuthMethod::Token`] or [`AuthMethod::Password`].
        method: AuthMethod,
        /// For [`super::recheck::Proof`].
        digest: Digest,
    },
    /// A token of the proven device for the role that it asks for.
    DeviceToken {
        /// For [`super::recheck::Proof`].
        digest: Digest,
        /// The most that it opens.
        scopes: Scopes,
    },
    /// A valid bootstrap token beside a proven device. It is used up by the admission, not by the check.
    Bootstrap {
        /// For [`super::recheck::Proof`] and for using it up.
        digest: Digest,
    },
    /// Nothing valid was offered.
    Failed(Reason),
}

/// Why a credential failed: `authReason` of protocol.md 3.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Mode token, no token.
    TokenMissing,
    /// Mode token, another token.
    TokenMismatch,
    /// Mode token, the gateway has none.
    TokenNotConfigured,
    /// Mode token, the gateway's own cannot be had.
    TokenUnusable,
    /// Mode password, no password.
    PasswordMissing,
    /// Mode password, another password.
    PasswordMismatch,
    /// Mode password, the gateway has none.
    PasswordNotConfigured,
    /// Mode password, the gateway's own cannot be had.
    PasswordUnusable,
    /// A bootstrap token that was never made, is used or too old.
    BootstrapInvalid,
    /// A device token that is not one of this device for this role. The causes are not told apart on the wire.
    DeviceTokenMismatch,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::TokenMissing,
        Self::TokenMismatch,
        Self::TokenNotConfigured,
        Self::TokenUnusable,
        Self::PasswordMissing,
        Self::PasswordMismatch,
        Self::PasswordNotConfigured,
        Self::PasswordUnusable,
        Self::BootstrapInvalid,
        Self::DeviceTokenMismatch,
    ];

    /// Whether the gateway's own secret is the problem, so that no client can do better.
    pub(super) const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::TokenNotConfigured
                | Self::TokenUnusable
                | Self::PasswordNotConfigured
                | Self::PasswordUnusable
        )
    }
}

/// Weighs the secrets of `connect`. `protocol` decides whether the shared secret may stand in the other of the two
/// fields `token` and `password`, as it may since protocol 4.
pub fn check(mode: &Mode, connect: &Connect, protocol: Protocol, known: &Known<'_>) -> Credential {
    let auth = &connect.auth;
    let failed = match shared(mode, auth, protocol) {
        Ok(credential) => return credential,
        Err(reason) => reason,
    };
    if !known.proven {
        return Credential::Failed(failed);
    }
    let failed = match offered(auth.bootstrap_token.as_ref()) {
        Some(token) if known.bootstrap => return Credential::Bootstrap { digest: Digest::of(token) },
        Some(_) => Reason::BootstrapInvalid,
        None => failed,
    };
    device_token(auth, Role::from_name(&connect.role), known.tokens, failed)
}

/// Whether any secret was offered at all. An attempt that offers one and fails counts, whichever field it stood in.
pub(super) fn any_offered(auth: &Secrets) -> bool {
    [&auth.token, &auth.password, &auth.device_token, &auth.bootstrap_token]
        .into_iter()
        .any(|secret| offered(secret.as_ref()).is_some())
}

fn shared(mode: &Mode, auth: &Secrets, protocol: Protocol) -> Result<Credential, Reason> {
    let other = |secret| offered(secret).filter(|_| protocol >= Protocol::V4);
    let (token, password) = (auth.token.as_ref(), auth.password.as_ref());
    let (configured, candidate, method, reasons) = match mode {
        Mode::None => return Ok(Credential::NoneRequired),
        Mode::Token(shared) => {
            (shared, offered(token).or_else(|| other(password)), AuthMethod::Token, TOKEN_REASONS)
        }
        Mode::Password(shared) => {
            (shared, offered(password).or_else(|| other(token)), AuthMethod::Password, PASSWORD_REASONS)
        }
    };
    let [missing, mismatch, not_configured, unusable] = reasons;
    match (configured, candidate) {
        (Shared::Missing, _) => Err(not_configured),
        (Shared::Unusable, _) => Err(unusable),
        (Shared::Set(_), None) => Err(missing),
        (Shared::Set(digest), Some(secret)) if digest.matches(secret) => {
            Ok(Credential::Shared { method, digest: *digest })
        }
        (Shared::Set(_), Some(_)) => Err(mismatch),
    }
}

/// An explicit `deviceToken` that fails says so; `token` is tried as a device token too, and its failure keeps the
/// reason found before.
fn device_token(auth: &Secrets, role: Option<Role>, tokens: &[HeldToken], failed: Reason) -> Credential {
    let explicit = offered(auth.device_token.as_ref());
    let Some(candidate) = explicit.or_else(|| offered(auth.token.as_ref())) else {
        return Credential::Failed(failed);
    };
    let digest = Digest::of(candidate);
    match tokens.iter().find(|token| Some(token.role) == role && token.digest == digest) {
        Some(token) => Credential::DeviceToken { digest, scopes: token.scopes },
        None if explicit.is_some() => Credential::Failed(Reason::DeviceTokenMismatch),
        None => Credential::Failed(failed),
    }
}

/// Missing, mismatch, not configured, unusable.
const TOKEN_REASONS: [Reason; 4] =
    [Reason::TokenMissing, Reason::TokenMismatch, Reason::TokenNotConfigured, Reason::TokenUnusable];
/// The same for mode password.
const PASSWORD_REASONS: [Reason; 4] = [
    Reason::PasswordMissing,
    Reason::PasswordMismatch,
    Reason::PasswordNotConfigured,
    Reason::PasswordUnusable,
];
