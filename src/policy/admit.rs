//! The one place where a connection is let in. Rule: the first rule of [`super::rules::ADMISSION`] that holds decides,
//! and a [`Grant`] is made here and in [`super::recheck`] only, after the verdict.

use std::fmt;

use super::case::Case;
use super::device::ProvenDevice;
use super::facts::{Facts, Pairing};
use super::recheck::Proof;
use super::refusals;
use super::rules::{ADMISSION, Act, CREDENTIAL_GONE, Ground, PendReason, Rule};
use super::scope::{Grant, Role, Scopes};
use crate::wire::Protocol;
use crate::wire::refusal::Refusal;

/// The answer to a `connect`.
#[derive(Debug)]
pub enum Verdict {
    /// Let in.
    Admit(Admission),
    /// Turned away until somebody approves the device.
    Pend(Pending),
    /// Turned away.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// Whether it counts as a failed attempt of its source ([`super::penalty::Penalty::failed`]), once.
        counts: bool,
    },
}

/// What a client that is let in gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What it may do.
    pub grant: Grant,
    /// What changes in the pairing store, without asking.
    pub pairing: PairingChange,
    /// What it asked for and does not get; goes to the journal and, as the grant, into `hello-ok`.
    pub narrowed: Option<Narrowed>,
    /// What it was let in with, to be looked at again when the configuration changes.
    pub proof: Proof,
}

/// A change of the pairing store that belongs to an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingChange {
    /// None: no device was proven, or the record covers everything.
    None,
    /// A new record.
    Create(Approval),
    /// The record also gets this role, these scopes, and the platform and family that the client states now. Tokens
    /// that were issued before stay valid.
    Extend(Approval),
}

/// What a device is approved for by a [`PairingChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// The role.
    pub role: Role,
    /// The operator scopes.
    pub scopes: Scopes,
}

/// Scopes that were asked for and not granted, as the client spelled them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed(Vec<String>);

/// A device that has to be approved first. The gateway makes (or finds) its pairing request.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Why.
    pub reason: PendReason,
    /// The device.
    pub device: ProvenDevice,
    /// The role that it asks for.
    pub role: Role,
    /// The scopes that it would get.
    pub wanted: Scopes,
    /// The scopes that it asks for, as it spelled them.
    pub asked: Vec<String>,
    /// The roles that it was approved for.
    pub approved_roles: Vec<Role>,
    /// The scopes that it was approved for.
    pub approved: Scopes,
    pub(super) rule: &'static Rule,
    pub(super) protocol: Protocol,
}

impl Verdict {
    /// The name of the rule that decided.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Admit(admission) => admission.grant.rule(),
            Self::Pend(pending) => pending.rule(),
            Self::Refuse { refusal, .. } => refusal.rule,
        }
    }
}

impl Narrowed {
    /// The names, in the order in which they were asked for.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Narrowed {
    /// The names, separated by spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Pending {
    /// The name of the rule that decided.
    pub fn rule(&self) -> &'static str {
        self.rule.name
    }

    /// The answer to the client, which names the pairing request so that it can be approved.
    pub fn refusal(&self, request_id: &str) -> Refusal {
        refusals::pairing(self, request_id)
    }
}

/// Decides about one `connect`. Pure: the same facts give the same verdict.
pub fn admit(facts: &Facts<'_>) -> Verdict {
    let case = Case::new(facts);
    let decided = ADMISSION.iter().filter(|rule| (rule.holds)(&case)).find_map(|rule| verdict(rule, &case));
    // The rules leave no case over, which a test shows; if they did, the door would stay shut.
    decided.unwrap_or_else(|| Verdict::Refuse { refusal: refusals::gone(&CREDENTIAL_GONE), counts: false })
}

fn verdict(rule: &'static Rule, case: &Case<'_>) -> Option<Verdict> {
    match rule.act {
        Act::Admit(ground) => admission(rule, ground, case).map(Verdict::Admit),
        Act::Pend(reason) => pending(rule, reason, case).map(Verdict::Pend),
        Act::Refuse(denial) => {
            let counts = case.facts.locked.is_none() && case.guessed();
            Some(Verdict::Refuse { refusal: refusals::refusal(rule, denial, case), counts })
        }
    }
}

fn admission(by: &'static Rule, ground: Ground, case: &Case<'_>) -> Option<Admission> {
    let role = case.role?;
    let scopes = match ground {
        Ground::Uid | Ground::Local => case.wanted,
        Ground::Bootstrap => case.wanted & BOOTSTRAP_SCOPES,
        Ground::Record => case.wanted & case.approved(),
    };
    let proof = match ground {
        Ground::Uid => Proof::of_uid(),
        Ground::Local | Ground::Bootstrap | Ground::Record => Proof::of(case.facts.credential)?,
    };
    let pairing = match ground {
        Ground::Record => PairingChange::None,
        Ground::Uid | Ground::Local | Ground::Bootstrap => change(case, Approval { role, scopes }),
    };
    let device = case.device().map(|device| device.id().as_str().to_owned());
    let grant = Grant { role, scopes, device, how: proof.method(), rule: by.name };
    Some(Admission { narrowed: narrowed(case, scopes), grant, pairing, proof })
}

fn pending(rule: &'static Rule, reason: PendReason, case: &Case<'_>) -> Option<Pending> {
    let (approved_roles, approved) = match case.facts.pairing {
        Pairing::Unknown => (Vec::new(), Scopes::NONE),
        Pairing::Known { roles, approved, .. } => (roles.to_vec(), approved),
    };
    Some(Pending {
        reason,
        device: case.device()?.clone(),
        role: case.role?,
        wanted: case.wanted,
        asked: case.facts.connect.scopes.clone(),
        approved_roles,
        approved,
        rule,
        protocol: case.facts.protocol,
    })
}

/// What the record of a device lacks that is let in as `approval` says.
fn change(case: &Case<'_>, approval: Approval) -> PairingChange {
    match (case.device(), case.facts.pairing) {
        (None, _) => PairingChange::None,
        (Some(_), Pairing::Unknown) => PairingChange::Create(approval),
        (Some(_), Pairing::Known { roles, approved, same_metadata }) => {
            let covered = roles.contains(&approval.role) && approved.covers(approval.scopes) && same_metadata;
            if covered { PairingChange::None } else { PairingChange::Extend(approval) }
        }
    }
}

/// The names that were asked for and that `scopes` does not hold, unknown ones among them.
fn narrowed(case: &Case<'_>, scopes: Scopes) -> Option<Narrowed> {
    let lacking = |name: &&String| !Scopes::from_name(name).is_some_and(|scope| scopes.covers(scope));
    let names: Vec<_> = case.facts.connect.scopes.iter().filter(lacking).cloned().collect();
    (!names.is_empty()).then_some(Narrowed(names))
}

/// What a setup code opens for an operator: the bound of OpenClaw 2026.9.6 for the codes that `qr` shows. Neither admin
/// nor pairing is in it, so that no code passes on the right to let in others.
pub const BOOTSTRAP_SCOPES: Scopes =
    Scopes::APPROVALS.or(Scopes::QUESTIONS).or(Scopes::TALK_SECRETS).or(Scopes::WRITE);
