//! Scopes, grants and decisions: the one place where "may it?" is answered.
//!
//! Rule: the same facts give the same answer, for methods and for events, over WebSocket and over HTTP. Implication is
//! in the constants ([`Scopes::ADMIN`] holds every bit, [`Scopes::WRITE`] holds the bit of read), never in an `if`.

use std::fmt;
use std::ops::{BitAnd, BitOr};

use crate::journal::{Entry, Field, Kind};
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;

/// A set of operator scopes, with everything they imply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

/// One scope of the protocol: its bit, with what it implies, and its wire name.
#[derive(Debug, Clone, Copy)]
pub struct ScopeRow {
    /// The bits that holding this scope gives.
    pub scopes: Scopes,
    /// `operator.…`
    pub name: &'static str,
    /// The first protocol whose clients know the name.
    pub since: Protocol,
}

/// The two roles of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A person's program: command line, Control UI, apps.
    Operator,
    /// A machine that offers commands.
    Node,
}

/// What a method or an event demands. Events and methods share it, so that nothing is heard that may not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Any admitted connection.
    Nothing,
    /// An operator who holds these scopes.
    Scope(Scopes),
    /// The role `node`.
    Node,
    /// An operator, whatever the scopes.
    Operator,
}

/// What a connection was granted at admission. It has no setters and is never written back into the request.
///
/// Only [`super::admit`] makes one, and [`super::recheck`] another that holds no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub(super) role: Role,
    pub(super) scopes: Scopes,
    pub(super) device: Option<String>,
    pub(super) how: AuthMethod,
    pub(super) rule: &'static str,
}

/// How a connection proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// A single-use pairing token.
    BootstrapToken,
    /// A token issued to the device.
    DeviceToken,
    /// Nothing is asked for: `gateway.auth.mode` is `none`.
    None,
    /// The kernel's word for the uid at the owner socket.
    PeerUid,
    /// The shared secret of mode `password`.
    Password,
    /// The shared secret of mode `token`.
    Token,
}

/// The answer to "may it?". The only way to learn it is to record it, so that no decision goes unlogged.
#[must_use = "a decision is learned by recording it"]
#[derive(Debug)]
pub struct Decision {
    need: Need,
    outcome: Outcome,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The grant covers the need.
    Allow,
    /// The role is right, a scope is missing.
    MissingScope,
    /// The role is wrong.
    WrongRole,
}

/// Where decisions are recorded. The subject is the method's or the event's name.
pub trait Record {
    /// Takes note of one decision.
    fn record(&mut self, subject: &'static str, need: Need, outcome: Outcome);
}

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `operator.read`.
    pub const READ: Self = Self(0b0000_0001);
    /// `operator.write`, which holds read.
    pub const WRITE: Self = Self(0b0000_0011);
    /// `operator.approvals`.
    pub const APPROVALS: Self = Self(0b0000_0100);
    /// `operator.pairing`.
    pub const PAIRING: Self = Self(0b0000_1000);
    /// `operator.questions` (protocol 4).
    pub const QUESTIONS: Self = Self(0b0001_0000);
    /// `operator.talk` (protocol 4).
    pub const TALK: Self = Self(0b0010_0000);
    /// `operator.talk.secrets`.
    pub const TALK_SECRETS: Self = Self(0b0100_0000);
    /// `operator.admin`, which holds everything.
    pub const ADMIN: Self = Self(0b1111_1111);

    /// Whether everything in `need` is held.
    pub const fn covers(self, need: Self) -> bool {
        self.0 & need.0 == need.0
    }

    /// Everything that either holds; usable in constants.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is held.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set named by `names`. Names that no version of the protocol knows are left out.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().filter_map(Self::from_name).fold(Self::NONE, BitOr::bitor)
    }

    /// One scope by its wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        SCOPES.iter().find(|row| row.name == name).map(|row| row.scopes)
    }

    /// The names of everything held, implied ones too, sorted, as far as clients of `protocol` know them.
    pub fn names(self, protocol: Protocol) -> impl Iterator<Item = &'static str> {
        SCOPES.iter().filter(move |row| row.since <= protocol && self.covers(row.scopes)).map(|row| row.name)
    }

    /// The name to tell somebody who lacks this need.
    pub fn name(self) -> &'static str {
        SCOPES.iter().find(|row| row.scopes == self).map_or("operator.admin", |row| row.name)
    }
}

impl BitOr for Scopes {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl BitAnd for Scopes {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Scopes {
    /// The names, separated by spaces; nothing for the empty set. This is the form of the journal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for name in self.names(Protocol::V4) {
            write!(f, "{separator}{name}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl Role {
    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Node => "node",
        }
    }

    /// The role by its wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Operator, Self::Node].into_iter().find(|role| role.name() == name)
    }
}

impl Grant {
    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The scopes, implied ones included: what `hello-ok` says and what is enforced.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// The proven device, if there is one.
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// How the connection proved who it is.
    pub fn how(&self) -> AuthMethod {
        self.how
    }

    /// The admission rule that made this grant.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 6] =
        [Self::BootstrapToken, Self::DeviceToken, Self::None, Self::PeerUid, Self::Password, Self::Token];

    /// The name in the journal, in `hello-ok` (protocol 4) and in a saved grant.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BootstrapToken => "bootstrap-token",
            Self::DeviceToken => "device-token",
            Self::None => "none",
            Self::PeerUid => "peer-uid",
            Self::Password => "password",
            Self::Token => "token",
        }
    }

    /// The method of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

impl Need {
    /// Whether no grant of `role` can ever cover it.
    pub const fn is_of_another_role(self, role: Role) -> bool {
        match (self, role) {
            (Self::Node, Role::Operator) | (Self::Scope(_) | Self::Operator, Role::Node) => true,
            (Self::Nothing, _)
            | (Self::Node, Role::Node)
            | (Self::Scope(_) | Self::Operator, Role::Operator) => false,
        }
    }

    /// The scope's name for the journal and for error answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Node => "role node",
            Self::Operator => "role operator",
            Self::Scope(scopes) => scopes.name(),
        }
    }
}

impl Outcome {
    /// The value of `DECISION` in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::MissingScope => "deny-missing-scope",
            Self::WrongRole => "deny-wrong-role",
        }
    }

    /// The kind of journal entry.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Allow => Kind::Allow,
            Self::MissingScope | Self::WrongRole => Kind::Deny,
        }
    }
}

impl Decision {
    /// Notes the decision about `subject` and tells it: `Err` is the answer to the peer.
    pub fn record(
        self,
        subject: &'static str,
        grant: &Grant,
        log: &mut impl Record,
    ) -> Result<(), ErrorShape> {
        log.record(subject, self.need, self.outcome);
        match self.outcome {
            Outcome::Allow => Ok(()),
            Outcome::MissingScope => Err(ErrorShape::missing_scope(self.need.name())),
            Outcome::WrongRole => {
                Err(ErrorShape::invalid(format!("unauthorized role: {}", grant.role.name())))
            }
        }
    }
}

/// The one place: does `grant` cover `need`?
///
/// An operator's scopes never help with what is a node's, and the reverse (protocol.md 6.3).
pub fn decide(need: Need, grant: &Grant) -> Decision {
    let outcome = match need {
        _ if need.is_of_another_role(grant.role) => Outcome::WrongRole,
        Need::Scope(scopes) if !grant.scopes.covers(scopes) => Outcome::MissingScope,
        _ => Outcome::Allow,
    };
    Decision { need, outcome }
}

/// The fields that every entry about a grant has.
pub fn describe(entry: Entry, grant: &Grant) -> Entry {
    let entry = entry
        .with(Field::Role, grant.role.name())
        .with(Field::AuthMethod, grant.how.name())
        .with(Field::Rule, grant.rule)
        .with(Field::ScopesGranted, grant.scopes.to_string());
    match &grant.device {
        Some(device) => entry.with(Field::DeviceId, device.clone()),
        None => entry,
    }
}

/// All scopes, sorted by name, which is the order of every list on the wire.
pub const SCOPES: &[ScopeRow] = &[
    ScopeRow { scopes: Scopes::ADMIN, name: "operator.admin", since: Protocol::V3 },
    ScopeRow { scopes: Scopes::APPROVALS, name: "operator.approvals", since: Protocol::V3 },
    ScopeRow { scopes: Scopes::PAIRING, name: "operator.pairing", since: Protocol::V3 },
    ScopeRow { scopes: Scopes::QUESTIONS, name: "operator.questions", since: Protocol::V4 },
    ScopeRow { scopes: Scopes::READ, name: "operator.read", since: Protocol::V3 },
    ScopeRow { scopes: Scopes::TALK, name: "operator.talk", since: Protocol::V4 },
    ScopeRow { scopes: Scopes::TALK_SECRETS, name: "operator.talk.secrets", since: Protocol::V3 },
    ScopeRow { scopes: Scopes::WRITE, name: "operator.write", since: Protocol::V3 },
];
