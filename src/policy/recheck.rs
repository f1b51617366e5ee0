//! An open connection looked at again, after the configuration or the pairing store has changed, or after a restart.
//!
//! Rule: nobody gains by it. A connection keeps what it has, or what is left of it, or it ends.

use super::credential::{Credential, HeldToken, Mode, Shared};
use super::facts::{Pairing, PeerClass};
use super::refusals;
use super::rules::{CREDENTIAL_GONE, Rule};
use super::scope::{AuthMethod, Grant, Role, Scopes};
use super::secret::Digest;
use crate::wire::refusal::Refusal;

/// What a connection was let in with: enough to see whether it still holds, and no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    method: AuthMethod,
    digest: Option<Digest>,
}

/// How things stand now for one connection.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Whose process is at the other end, under the present settings.
    pub peer: PeerClass,
    /// The present auth mode and secret.
    pub mode: &'a Mode,
    /// The live tokens of the connection's device.
    pub tokens: &'a [HeldToken],
    /// The present record of the connection's device.
    pub pairing: Pairing<'a>,
    /// The present ceiling.
    pub ceiling: Scopes,
}

impl Proof {
    /// The kernel's word for the uid.
    pub(super) fn of_uid() -> Self {
        Self { method: AuthMethod::PeerUid, digest: None }
    }

    /// What a credential that holds leaves behind.
    pub(super) fn of(credential: &Credential) -> Option<Self> {
        let (method, digest) = match *credential {
            Credential::NoneRequired => (AuthMethod::None, None),
            Credential::Shared { method, digest } => (method, Some(digest)),
            Credential::DeviceToken { digest, .. } => (AuthMethod::DeviceToken, Some(digest)),
            Credential::Bootstrap { digest } => (AuthMethod::BootstrapToken, Some(digest)),
            Credential::Failed(_) => return None,
        };
        Some(Self { method, digest })
    }

    /// What was saved; `None` if the method and the digest do not belong together.
    pub(super) fn restore(method: AuthMethod, digest: Option<Digest>) -> Option<Self> {
        let secret = !matches!(method, AuthMethod::None | AuthMethod::PeerUid);
        (secret == digest.is_some()).then_some(Self { method, digest })
    }

    /// How the connection proved who it is.
    pub fn method(&self) -> AuthMethod {
        self.method
    }

    /// The digest of the secret; none for the methods that have no secret.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether a connection in `role` could still come in with this.
    pub fn still_holds(&self, role: Role, standing: &Standing<'_>) -> bool {
        let is_set = |shared: &Shared| matches!(shared, Shared::Set(digest) if Some(*digest) == self.digest);
        match (self.method, standing.mode) {
            (AuthMethod::PeerUid, _) => standing.peer == PeerClass::Owner,
            (AuthMethod::None, mode) => *mode == Mode::None,
            (AuthMethod::Token, Mode::Token(shared)) | (AuthMethod::Password, Mode::Password(shared)) => {
                is_set(shared)
            }
            (AuthMethod::Token | AuthMethod::Password, _) => false,
            (AuthMethod::DeviceToken, _) => {
                standing.tokens.iter().any(|token| token.role == role && Some(token.digest) == self.digest)
            }
            // The setup code is used up; what it made is the record.
            (AuthMethod::BootstrapToken, _) => standing.pairing != Pairing::Unknown,
        }
    }
}

/// What is left of `grant`: the same, a narrower one, or a refusal with which the connection ends.
pub fn readmit(grant: &Grant, proof: &Proof, standing: &Standing<'_>) -> Result<Grant, Refusal> {
    let rule = Rule::named(grant.rule);
    let local = rule.is_some_and(Rule::is_local);
    let peer = match standing.peer {
        PeerClass::Owner => true,
        PeerClass::Allowed(_) | PeerClass::Unknown => !local,
        PeerClass::Other(_) => false,
    };
    let record = match (&grant.device, standing.pairing) {
        (None, _) => Some(Scopes::ADMIN),
        (Some(_), Pairing::Unknown) => None,
        (Some(_), Pairing::Known { roles, approved, .. }) => {
            roles.contains(&grant.role).then_some(if local { Scopes::ADMIN } else { approved })
        }
    };
    match record {
        Some(bound) if peer && rule.is_some() && proof.still_holds(grant.role, standing) => {
            let token = token_bound(proof, grant.role, standing);
            Ok(Grant { scopes: grant.scopes & standing.ceiling & bound & token, ..grant.clone() })
        }
        _ => Err(refusals::gone(&CREDENTIAL_GONE)),
    }
}

/// The most that the device token opens now; no bound for other methods.
fn token_bound(proof: &Proof, role: Role, standing: &Standing<'_>) -> Scopes {
    let bound = |token: &&HeldToken| token.role == role && Some(token.digest) == proof.digest;
    match proof.method {
        AuthMethod::DeviceToken => {
            standing.tokens.iter().find(bound).map_or(Scopes::NONE, |token| token.scopes)
        }
        _ => Scopes::ADMIN,
    }
}
