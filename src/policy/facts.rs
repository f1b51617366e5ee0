//! What is known of a connection when it asks to come in. Rule: facts are gathered by the gateway and verified by the
//! other modules of this folder; [`super::admit`] looks nothing up.

use std::time::Duration;

use super::credential::Credential;
use super::device::{Fault, ProvenDevice};
use super::scope::{Role, Scopes};
use super::surroundings::Surroundings;
use crate::wire::Protocol;
use crate::wire::connect::Connect;

/// Everything that [`super::admit::admit`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where the connection came in.
    pub door: Door,
    /// Whose process is at the other end.
    pub peer: PeerClass,
    /// What the head of the HTTP request says about the way it came.
    pub surroundings: &'a Surroundings,
    /// What the client says of itself. Claims, not facts: only the role and the scopes that it asks for count.
    pub connect: &'a Connect,
    /// The number agreed on; it chooses the wording of refusals, never the verdict.
    pub protocol: Protocol,
    /// The device proof, checked ([`super::device::verify`]); `None` if there was none.
    pub device: Option<Result<&'a ProvenDevice, Fault>>,
    /// The secrets, checked ([`super::credential::check`]).
    pub credential: &'a Credential,
    /// What the pairing store says of the proven device.
    pub pairing: Pairing<'a>,
    /// The most that any operator is granted.
    pub ceiling: Scopes,
    /// How long the source is still locked out ([`super::penalty::Penalty::locked`]).
    pub locked: Option<Duration>,
}

/// The kind of listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// Loopback TCP: everybody on the machine can knock.
    Tcp,
    /// The owner's UNIX socket.
    Owner,
}

/// Whose process made the socket, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerClass {
    /// The owner's own, or root's, who can do everything anyway.
    Owner,
    /// A user that the setting `peers.allow` names.
    Allowed(u32),
    /// Any other user.
    Other(u32),
    /// The kernel did not tell.
    Unknown,
}

/// What the pairing store says about a proven device: its id and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing<'a> {
    /// Nothing, or the store has another key under this id.
    Unknown,
    /// It was approved.
    Known {
        /// For these roles.
        roles: &'a [Role],
        /// For these operator scopes.
        approved: Scopes,
        /// Whether platform and device family are those that were approved ([`super::device::same_metadata`]).
        same_metadata: bool,
    },
}

impl PeerClass {
    /// The class of `uid`. Root is an owner; who is both owner and allowed is an owner.
    pub fn of(uid: Option<u32>, owners: &[u32], allowed: &[u32]) -> Self {
        match uid {
            None => Self::Unknown,
            Some(uid) if uid == ROOT || owners.contains(&uid) => Self::Owner,
            Some(uid) if allowed.contains(&uid) => Self::Allowed(uid),
            Some(uid) => Self::Other(uid),
        }
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_has_one_class() {
        let class = |uid| PeerClass::of(uid, &[1000], &[1000, 1001]);
        assert_eq!(class(Some(0)), PeerClass::Owner);
        assert_eq!(class(Some(1000)), PeerClass::Owner);
        assert_eq!(class(Some(1001)), PeerClass::Allowed(1001));
        assert_eq!(class(Some(1002)), PeerClass::Other(1002));
        assert_eq!(class(None), PeerClass::Unknown);
    }
}
