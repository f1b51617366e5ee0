//! The words in which the rules of admission are written.
//!
//! Rule: each looks at facts only, and says one thing; what follows from it is the table's business.

use super::credential::{Credential, Reason, any_offered};
use super::device::{Fault, ProvenDevice};
use super::facts::{Facts, Pairing, PeerClass};
use super::origin::{HostClass, OriginClass};
use super::scope::{Role, Scopes};
use super::secret::offered;

/// The facts, and what follows from several of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts<'a>,
    /// The role asked for; `None` for a word that is no role.
    pub(super) role: Option<Role>,
    /// What can be granted of the scopes asked for: those that exist and lie within the ceiling. Nothing for a node.
    pub(super) wanted: Scopes,
}

impl<'a> Case<'a> {
    pub(super) fn new(facts: &'a Facts<'a>) -> Self {
        let role = Role::from_name(&facts.connect.role);
        let asked = Scopes::from_names(facts.connect.scopes.iter().map(String::as_str));
        let wanted = if role == Some(Role::Operator) { asked & facts.ceiling } else { Scopes::NONE };
        Self { facts, role, wanted }
    }

    pub(super) fn device(&self) -> Option<&'a ProvenDevice> {
        self.facts.device.and_then(Result::ok)
    }

    /// A process of the owner, on this machine, without a proxy between: what OpenClaw calls local, but by the kernel's
    /// word. A page in a browser may still be behind it.
    pub(super) fn near(&self) -> bool {
        let Facts { peer, surroundings, .. } = self.facts;
        *peer == PeerClass::Owner
            && surroundings.host != HostClass::Foreign
            && surroundings.forwarded.is_none()
    }

    /// The same without a page in a browser.
    pub(super) fn local(&self) -> bool {
        self.facts.peer == PeerClass::Owner && self.facts.surroundings.direct()
    }

    pub(super) fn operator(&self) -> bool {
        self.role == Some(Role::Operator)
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.facts.device.and_then(Result::err)
    }

    /// A page in a browser. No page is ever paired without asking.
    pub(super) fn page(&self) -> bool {
        self.facts.surroundings.origin != OriginClass::Absent
    }

    /// The reason for which the secrets failed, if that is what the client has to hear: it proved a device or offered a
    /// shared secret (protocol.md 3.7), or the gateway's own secret is the problem.
    pub(super) fn failed(&self) -> Option<Reason> {
        let Credential::Failed(reason) = *self.facts.credential else {
            return None;
        };
        let auth = &self.facts.connect.auth;
        let shared = offered(auth.token.as_ref()).or(offered(auth.password.as_ref())).is_some();
        (shared || self.device().is_some() || reason.is_ours()).then_some(reason)
    }

    pub(super) fn verified(&self) -> bool {
        !matches!(self.facts.credential, Credential::Failed(_))
    }

    /// Whether an attempt failed that a guesser could learn from, or that looks like guessing.
    pub(super) fn guessed(&self) -> bool {
        self.fault().is_some() || (!self.verified() && any_offered(&self.facts.connect.auth))
    }

    /// What the record, and the token that was used, open at most.
    pub(super) fn approved(&self) -> Scopes {
        let token = match self.facts.credential {
            Credential::DeviceToken { scopes, .. } => *scopes,
            _ => Scopes::ADMIN,
        };
        match self.facts.pairing {
            Pairing::Unknown => Scopes::NONE,
            Pairing::Known { approved, .. } => approved & token,
        }
    }

    /// Whether the record has the role.
    pub(super) fn role_approved(&self) -> bool {
        matches!(self.facts.pairing, Pairing::Known { roles, .. } if self.role.is_some_and(|role| roles.contains(&role)))
    }

    /// Whether the record was made for such a machine.
    pub(super) fn metadata_approved(&self) -> bool {
        matches!(self.facts.pairing, Pairing::Known { same_metadata: true, .. })
    }

    /// OpenClaw's own page, which has a wording of its own for a missing device.
    pub(super) fn control_ui(&self) -> bool {
        self.facts.connect.client.id == "openclaw-control-ui"
    }
}
