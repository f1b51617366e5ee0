//! A grant and its proof as plain values, for a process that goes on with the connection.
//!
//! Rule: what was granted yesterday is worth nothing by itself. A saved grant becomes a [`Former`], which can do one
//! thing only: ask to be admitted again ([`Former::readmit`]), under what holds today.

use serde::{Deserialize, Serialize};

use super::recheck::{self, Proof, Standing};
use super::rules::{Act, Ground, Rule};
use super::scope::{self, AuthMethod, Grant, Role, Scopes};
use super::secret::Digest;
use crate::journal::Entry;
use crate::wire::Protocol;
use crate::wire::refusal::Refusal;

/// What a connection was granted and on what proof. A stored format: everything goes by its name, and a field that is
/// added needs a default. The digest may be that of a secret that a person has chosen, so what holds this is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedGrant {
    role: String,
    /// Everything held, implied scopes too, in the spelling of protocol 4.
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    how: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    rule: String,
}

/// A grant of an earlier process. It opens nothing: there is no way to the [`Grant`] but [`Former::readmit`].
#[must_use = "who is not admitted again is closed"]
#[derive(Debug)]
pub struct Former {
    grant: Grant,
    proof: Proof,
}

/// A grant that holds again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readmission {
    /// What the connection may do from now on; never more than before.
    pub grant: Grant,
    /// What it was let in with, as before.
    pub proof: Proof,
    /// Whether it is less than before.
    pub narrowed: bool,
}

impl SavedGrant {
    /// What has to be kept of a member.
    pub fn of(grant: &Grant, proof: &Proof) -> Self {
        Self {
            role: grant.role.name().to_owned(),
            scopes: grant.scopes.names(Protocol::V4).map(str::to_owned).collect(),
            device: grant.device.clone(),
            how: grant.how.name().to_owned(),
            digest: proof.digest(),
            rule: grant.rule.to_owned(),
        }
    }

    /// The grant that was saved, to be admitted again.
    ///
    /// # Errors
    /// Admission could not have made such a grant; the text says why.
    pub fn restore(self) -> Result<Former, String> {
        let role = known("role", &self.role, Role::from_name)?;
        let how = known("auth method", &self.how, AuthMethod::from_name)?;
        let (by, ground) = known("rule that admits", &self.rule, admitting)?;
        let scopes = self.scopes.iter().map(|name| known("scope", name, Scopes::from_name));
        let scopes = scopes.collect::<Result<Vec<_>, _>>()?.into_iter().fold(Scopes::NONE, Scopes::or);
        if role == Role::Node && !scopes.is_empty() {
            return Err("a node with scopes".to_owned());
        }
        if self.device.as_deref().is_some_and(|id| Digest::from_hex(id).is_none()) {
            return Err("a device id that is not 64 lower-case hex digits".to_owned());
        }
        if !ground.fits(role, how, self.device.is_some()) {
            return Err(format!(
                "rule {} admits no {} by {} like this one",
                by.name,
                role.name(),
                how.name()
            ));
        }
        let proof = Proof::restore(how, self.digest)
            .ok_or_else(|| format!("auth method {} and its digest do not go together", how.name()))?;
        Ok(Former { grant: Grant { role, scopes, device: self.device, how, rule: by.name }, proof })
    }
}

impl Former {
    /// The role, for the look-ups that a [`Standing`] needs.
    pub fn role(&self) -> Role {
        self.grant.role
    }

    /// The device, for the look-ups that a [`Standing`] needs.
    pub fn device(&self) -> Option<&str> {
        self.grant.device()
    }

    /// The fields that every entry about a grant has.
    pub fn describe(&self, entry: Entry) -> Entry {
        scope::describe(entry, &self.grant)
    }

    /// What is left of the grant as things stand now ([`recheck::readmit`]), or the refusal with which the connection
    /// ends.
    pub fn readmit(self, standing: &Standing<'_>) -> Result<Readmission, Refusal> {
        let grant = recheck::readmit(&self.grant, &self.proof, standing)?;
        let narrowed = grant.scopes != self.grant.scopes;
        Ok(Readmission { grant, proof: self.proof, narrowed })
    }
}

impl Ground {
    /// Whether a grant like this can stand on this ground: what the conditions of its rules have in common.
    fn fits(self, role: Role, how: AuthMethod, device: bool) -> bool {
        match self {
            Self::Uid => how == AuthMethod::PeerUid && role == Role::Operator,
            Self::Local => {
                matches!(how, AuthMethod::None | AuthMethod::Password | AuthMethod::Token)
                    && (role == Role::Operator || device)
            }
            Self::Bootstrap => how == AuthMethod::BootstrapToken && device,
            Self::Record => !matches!(how, AuthMethod::PeerUid | AuthMethod::BootstrapToken) && device,
        }
    }
}

/// The rule of this name and the ground on which it admits.
fn admitting(name: &str) -> Option<(&'static Rule, Ground)> {
    let rule = Rule::named(name)?;
    match rule.act {
        Act::Admit(ground) => Some((rule, ground)),
        Act::Pend(_) | Act::Refuse(_) => None,
    }
}

fn known<T>(kind: &str, name: &str, find: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
    find(name).ok_or_else(|| format!("no {kind} is called {name:?}"))
}
