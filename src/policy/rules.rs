//! The rules of admission, in reading order: the first that holds decides.
//!
//! Rule: who is let in, and on what ground, is this table and nothing else. A rule's name is part of the interface: it
//! goes to the journal (`RULE`), to `loopgated --dump=admission` and to the manual.

use super::case::Case;
use super::credential::{Credential, Reason};
use super::device::Fault;
use super::facts::{Door, Pairing, PeerClass};
use super::origin::{HostClass, OriginClass};
use super::scope::Role;

/// One row of [`ADMISSION`].
#[derive(Debug)]
pub struct Rule {
    /// Short and stable.
    pub name: &'static str,
    /// When it is asked.
    pub stage: Stage,
    /// The condition, as far as the rules above have not decided already.
    pub when: &'static str,
    /// What an operator can do about it; empty where nothing is wrong.
    pub remedy: &'static str,
    pub(super) act: Act,
    pub(super) holds: fn(&Case<'_>) -> bool,
}

/// When a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// At the HTTP upgrade, and once more at `connect`.
    Upgrade,
    /// At `connect`.
    Connect,
    /// When the configuration or the pairing store has changed under an open connection.
    Recheck,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Lets the client in.
    Admit,
    /// Turns it away, and keeps a pairing request for the owner.
    Pend,
    /// Turns it away.
    Refuse,
}

/// What a rule does, with what the answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Admit(Ground),
    Pend(PendReason),
    Refuse(Denial),
}

/// On what ground a client is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// The kernel's word for the uid. A proven device is paired without asking.
    Uid,
    /// A local peer's credential. A proven device is paired without asking.
    Local,
    /// A bootstrap token, which pairs the proven device.
    Bootstrap,
    /// The record of the proven device, which stays as it is.
    Record,
}

/// Why a pairing request is needed: `details.reason` of `PAIRING_REQUIRED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PendReason {
    /// The device was never approved.
    NotPaired,
    /// Its platform or family is another than the approved one.
    MetadataUpgrade,
    /// The role was not approved.
    RoleUpgrade,
    /// Some scope was not approved.
    ScopeUpgrade,
}

/// Which refusal is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    Host,
    Origin,
    Peer,
    Role,
    OriginMissing,
    Locked,
    Proof(Fault),
    ControlUiDevice,
    Credential,
    Device,
    Gone,
}

impl Rule {
    /// What it does.
    pub const fn effect(&self) -> Effect {
        match self.act {
            Act::Admit(_) => Effect::Admit,
            Act::Pend(_) => Effect::Pend,
            Act::Refuse(_) => Effect::Refuse,
        }
    }

    /// Whether it stands on the peer being local, so that it falls when the owner changes.
    pub const fn is_local(&self) -> bool {
        matches!(self.act, Act::Admit(Ground::Uid | Ground::Local))
    }

    /// The rule of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ADMISSION.iter().find(|rule| rule.name == name)
    }
}

impl Stage {
    /// The name in the dump.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Connect => "connect",
            Self::Recheck => "recheck",
        }
    }
}

impl Effect {
    /// The name in the dump.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Pend => "pend",
            Self::Refuse => "refuse",
        }
    }
}

impl PendReason {
    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotPaired => "not-paired",
            Self::MetadataUpgrade => "metadata-upgrade",
            Self::RoleUpgrade => "role-upgrade",
            Self::ScopeUpgrade => "scope-upgrade",
        }
    }
}

const fn rule(
    name: &'static str,
    act: Act,
    holds: fn(&Case<'_>) -> bool,
    when: &'static str,
    remedy: &'static str,
) -> Rule {
    Rule { name, stage: Stage::Connect, when, remedy, act, holds }
}

/// See [`super::surroundings::may_upgrade`].
pub(super) const HOST_FOREIGN: Rule = Rule {
    stage: Stage::Upgrade,
    ..rule(
        "host-foreign",
        Act::Refuse(Denial::Host),
        |case| case.facts.surroundings.host == HostClass::Foreign,
        "the Host header is not localhost or a loopback address under the listener's own port",
        "connect to ws://127.0.0.1 or ws://localhost under the gateway's port; forward a remote port under the same \
         number",
    )
};

/// See [`super::surroundings::may_upgrade`].
pub(super) const ORIGIN_FOREIGN: Rule = Rule {
    stage: Stage::Upgrade,
    ..rule(
        "origin-foreign",
        Act::Refuse(Denial::Origin),
        |case| case.facts.surroundings.origin == OriginClass::Foreign,
        "the request comes from a web page that is neither our own nor named by the settings",
        "open the page under the gateway's own address and port, or add its origin to the setting origins",
    )
};

/// See [`super::recheck`].
pub(super) const CREDENTIAL_GONE: Rule = Rule {
    stage: Stage::Recheck,
    ..rule(
        "credential-gone",
        Act::Refuse(Denial::Gone),
        |_| false,
        "what an open connection was admitted with is no longer valid",
        "let the client connect again with the present token or password, or pair its device again",
    )
};

/// All rules. At `connect` they are asked from the first to the last; one of them always holds.
pub const ADMISSION: &[Rule] = &[
    HOST_FOREIGN,
    ORIGIN_FOREIGN,
    rule(
        "peer-foreign",
        Act::Refuse(Denial::Peer),
        |case| matches!(case.facts.peer, PeerClass::Other(_)),
        "the process at the other end belongs to a user that is neither the owner, root nor named by the settings",
        "add the user to the setting peers.allow if it may connect, then reload",
    ),
    rule(
        "role-unknown",
        Act::Refuse(Denial::Role),
        |case| case.role.is_none(),
        "the role is neither operator nor node",
        "update the client; it has to ask for the role operator or node",
    ),
    rule(
        "browser-without-origin",
        Act::Refuse(Denial::OriginMissing),
        |case| {
            case.facts.door == Door::Tcp
                && case.facts.connect.claims_browser()
                && case.facts.surroundings.origin == OriginClass::Absent
        },
        "the client says that it is a page in a browser, but sends no Origin header",
        "open the Control UI in a browser; other programs have to use a client id of their own",
    ),
    rule(
        "owner-socket",
        Act::Admit(Ground::Uid),
        |case| case.facts.door == Door::Owner && case.local() && case.operator() && case.fault().is_none(),
        "an operator of the owner or root at the owner's socket, without a proxy and without Origin",
        "",
    ),
    rule(
        "locked-out",
        Act::Refuse(Denial::Locked),
        |case| case.facts.locked.is_some(),
        "this source has failed too often a short while ago",
        "wait until the lockout has passed, then use the right secret; gateway.auth.rateLimit sets its length",
    ),
    rule(
        "device-proof-id",
        Act::Refuse(Denial::Proof(Fault::Id)),
        |case| case.fault() == Some(Fault::Id),
        "the device id is not the SHA-256 of the device's key",
        "remove identity/device.json of the client, so that it makes a new identity, and pair it",
    ),
    rule(
        "device-proof-stale",
        Act::Refuse(Denial::Proof(Fault::Skew)),
        |case| case.fault() == Some(Fault::Skew),
        "the device signed more than two minutes before or after our time",
        "set the clock of the client's machine and of this one",
    ),
    rule(
        "device-proof-without-nonce",
        Act::Refuse(Denial::Proof(Fault::NonceMissing)),
        |case| case.fault() == Some(Fault::NonceMissing),
        "the device proof has an empty nonce",
        "update the client; it has to sign the nonce of connect.challenge",
    ),
    rule(
        "device-proof-replayed",
        Act::Refuse(Denial::Proof(Fault::Nonce)),
        |case| case.fault() == Some(Fault::Nonce),
        "the device signed a nonce that is not this connection's",
        "let the client connect again; if it goes on, somebody replays its handshake",
    ),
    rule(
        "device-proof-wrong",
        Act::Refuse(Denial::Proof(Fault::Signature)),
        |case| case.fault() == Some(Fault::Signature),
        "the device's signature does not fit its key and what it sent",
        "update the client; what it sends must be what it signs",
    ),
    rule(
        "device-proof-key",
        Act::Refuse(Denial::Proof(Fault::Key)),
        |case| case.fault() == Some(Fault::Key),
        "the device's key is no Ed25519 key",
        "remove identity/device.json of the client, so that it makes a new identity, and pair it",
    ),
    rule(
        "local-operator",
        Act::Admit(Ground::Local),
        |case| case.local() && case.operator() && matches!(case.facts.credential, Credential::Shared { .. }),
        "a local operator with the shared secret, with a device or without, whatever client id and mode it claims",
        "",
    ),
    rule(
        "local-none",
        Act::Admit(Ground::Local),
        |case| case.local() && case.operator() && *case.facts.credential == Credential::NoneRequired,
        "a local operator while gateway.auth.mode is none",
        "",
    ),
    rule(
        "control-ui-without-device",
        Act::Refuse(Denial::ControlUiDevice),
        |case| case.page() && case.device().is_none() && case.control_ui(),
        "the Control UI proves no device, because its page is not in a secure context",
        "open the Control UI over https, or as http://localhost or http://127.0.0.1 on this machine",
    ),
    rule(
        "secret-not-configured",
        Act::Refuse(Denial::Credential),
        |case| matches!(case.failed(), Some(Reason::TokenNotConfigured | Reason::PasswordNotConfigured)),
        "the auth mode asks for a secret, but the gateway has none",
        "set gateway.auth.token (or gateway.auth.password, for that mode) in openclaw.json, then reload",
    ),
    rule(
        "secret-unusable",
        Act::Refuse(Denial::Credential),
        |case| matches!(case.failed(), Some(Reason::TokenUnusable | Reason::PasswordUnusable)),
        "the gateway's secret has its place, but cannot be had from there",
        "see the journal for the variable or file that it should come from, mend that, then reload",
    ),
    rule(
        "secret-missing",
        Act::Refuse(Denial::Credential),
        |case| matches!(case.failed(), Some(Reason::TokenMissing | Reason::PasswordMissing)),
        "the client does not offer the kind of secret that the auth mode asks for",
        "give the client the value of gateway.auth.token (or gateway.auth.password, for that mode), or of the file \
         gateway-token if loopgated has made one",
    ),
    rule(
        "secret-wrong",
        Act::Refuse(Denial::Credential),
        |case| matches!(case.failed(), Some(Reason::TokenMismatch | Reason::PasswordMismatch)),
        "the secret is not the gateway's",
        "compare the client's secret with gateway.auth in openclaw.json, or with the file gateway-token if nothing \
         stands there; OPENCLAW_GATEWAY_TOKEN in its environment comes before its own file",
    ),
    rule(
        "bootstrap-token-wrong",
        Act::Refuse(Denial::Credential),
        |case| case.failed() == Some(Reason::BootstrapInvalid),
        "the setup code was never made, was used before, or is too old",
        "make a new setup code and use it within ten minutes",
    ),
    rule(
        "device-token-wrong",
        Act::Refuse(Denial::Credential),
        |case| case.failed() == Some(Reason::DeviceTokenMismatch),
        "the device token is not one of this device for this role, or was revoked",
        "connect the client once with the shared secret, or issue a new token: loopgate devices rotate",
    ),
    rule(
        "node-without-device",
        Act::Refuse(Denial::Device),
        |case| case.role == Some(Role::Node) && case.device().is_none(),
        "a node proves no device",
        "start the node with its device identity; a node cannot connect with a secret alone",
    ),
    rule(
        "browser-without-device",
        Act::Refuse(Denial::Device),
        |case| case.page() && case.device().is_none(),
        "a page in a browser proves no device",
        "open the page over https, or as http://localhost or http://127.0.0.1 on this machine",
    ),
    rule(
        "nothing-proven",
        Act::Refuse(Denial::Device),
        |case| case.device().is_none() && !case.verified(),
        "the client offers neither the shared secret nor a device",
        "give the client the gateway's secret: gateway.auth in its openclaw.json, or OPENCLAW_GATEWAY_TOKEN",
    ),
    rule(
        "remote-without-device",
        Act::Refuse(Denial::Device),
        |case| case.device().is_none(),
        "a secret without a device, and the peer is not local: it came through a proxy, is another user's, or is \
         unknown",
        "connect as the owner and without a proxy, or with a client that proves a device, and pair it",
    ),
    rule(
        "bootstrap",
        Act::Admit(Ground::Bootstrap),
        |case| matches!(case.facts.credential, Credential::Bootstrap { .. }),
        "a device with a valid setup code, which pairs it with the role that it asks for and a bounded set of scopes",
        "",
    ),
    rule(
        "local-node",
        Act::Admit(Ground::Local),
        |case| {
            case.local()
                && case.role == Some(Role::Node)
                && matches!(case.facts.credential, Credential::Shared { .. } | Credential::NoneRequired)
        },
        "a local node with a device and the shared secret, or any while gateway.auth.mode is none",
        "",
    ),
    rule(
        "pend-not-paired",
        Act::Pend(PendReason::NotPaired),
        |case| case.facts.pairing == Pairing::Unknown,
        "the device was never approved",
        "approve it: loopgate devices list, then loopgate devices approve with the id of the request",
    ),
    rule(
        "pend-metadata",
        Act::Pend(PendReason::MetadataUpgrade),
        |case| !case.metadata_approved(),
        "the device was approved with another platform or device family",
        "approve the change if it is the same machine: loopgate devices approve with the id of the request",
    ),
    rule(
        "pend-role",
        Act::Pend(PendReason::RoleUpgrade),
        |case| !case.role_approved(),
        "the device was approved, but not for this role",
        "approve the role: loopgate devices approve with the id of the request",
    ),
    rule(
        "pend-scope",
        Act::Pend(PendReason::ScopeUpgrade),
        |case| !case.approved().covers(case.wanted),
        "the device asks for scopes that it, or the token that it uses, was not approved for",
        "approve the scopes, or let the client ask for fewer: loopgate devices approve with the id of the request",
    ),
    rule(
        "paired-device",
        Act::Admit(Ground::Record),
        |_| true,
        "a paired device with a verified credential asks for no more than it was approved for",
        "",
    ),
    CREDENTIAL_GONE,
];
