//! One connection of a peer, as the gateway sees it: how far it has come, and what is told of it.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::io::{ConnId, Peer};
use super::{Member, arrive, relay};
use crate::clock::Now;
use crate::journal::{Entry, Field, Kind};
use crate::policy::scope;
use crate::session::{Phase, Session};
use crate::wire::connect::Client;

/// One connection.
pub(super) struct Conn {
    pub(super) id: ConnId,
    /// The id on the wire and in the journal.
    pub(super) name: String,
    pub(super) peer: Peer,
    pub(super) session: Session,
    pub(super) stage: Stage,
    /// What stands in [`Gateway::deadlines`].
    pub(super) due: Option<Instant>,
    /// Whether the shell knows that there is something to write.
    pub(super) flushing: bool,
    /// Since when a peer that has a lot to take has taken nothing.
    pub(super) stalled: Option<Instant>,
    /// Whether a byte has come.
    pub(super) spoke: bool,
    /// What the head says about the way it came, if that is worth telling.
    pub(super) way: Option<Box<Way>>,
    /// What another process has to know of it has changed.
    pub(super) record_due: bool,
}

/// Headers that decide who a peer can be; kept for the journal if there is more than a loopback `Host`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Way {
    pub(super) host: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) forwarded: Option<String>,
}

/// How far a connection has come; what belongs to a stage lives in it.
pub(super) enum Stage {
    /// Before the challenge.
    Arriving,
    /// The challenge is out.
    Challenged(arrive::Challenged),
    /// `connect` came; the verdict waits for a file or for the disk.
    Deciding(Box<arrive::Candidate>),
    /// Admitted.
    Member(Box<Member>),
    /// Its request passes to the runtime.
    Relaying(Box<relay::Relaying>),
    /// Refused, answered or ended; what is owed is still being sent.
    Leaving,
}

impl Conn {
    /// A connection of which nothing came yet.
    pub(super) fn new(id: ConnId, name: String, peer: Peer, session: Session) -> Self {
        Self {
            id,
            name,
            peer,
            session,
            stage: Stage::Arriving,
            due: None,
            flushing: false,
            stalled: None,
            spoke: false,
            way: None,
            record_due: true,
        }
    }

    pub(super) fn is_member(&self) -> bool {
        self.member().is_some()
    }

    pub(super) fn member(&self) -> Option<&Member> {
        match &self.stage {
            Stage::Member(member) => Some(member),
            _ => None,
        }
    }

    pub(super) fn member_mut(&mut self) -> Option<&mut Member> {
        match &mut self.stage {
            Stage::Member(member) => Some(member),
            _ => None,
        }
    }

    /// The phase that the connection was in when what is told happened: a session that refuses is closing already.
    pub(super) fn phase(&self) -> Phase {
        match (&self.stage, self.session.phase()) {
            (Stage::Arriving, _) if !self.spoke => Phase::Accept,
            (Stage::Arriving, _) => Phase::Head,
            (Stage::Challenged(_), _) => Phase::Connect,
            (Stage::Deciding(_), _) => Phase::Verdict,
            (Stage::Member(_), _) => Phase::Open,
            (Stage::Relaying(_), _) => Phase::Relay,
            (Stage::Leaving, phase) => phase,
        }
    }

    /// An entry with what is known of the connection.
    pub(super) fn entry(&self, kind: Kind, now: Now) -> Entry {
        let entry = Entry::new(kind)
            .with(Field::ConnId, self.name.clone())
            .with(Field::Door, self.peer.door.name())
            .with_some(Field::PeerUid, self.peer.uid)
            .with_some(Field::PeerPid, self.peer.pid)
            .with(Field::Phase, self.phase().name())
            .with(Field::ElapsedUsec, micros(now, self.session.accepted()));
        let entry = match &self.way {
            Some(way) => entry
                .with_some(Field::Host, way.host.clone())
                .with_some(Field::Origin, way.origin.clone())
                .with_some(Field::ForwardedBy, way.forwarded.clone()),
            None => entry,
        };
        match &self.stage {
            Stage::Member(member) => {
                let entry =
                    client_fields(entry, &member.client).with(Field::Protocol, member.protocol.number());
                scope::describe(entry, &member.grant)
            }
            Stage::Deciding(candidate) => client_fields(entry, &candidate.connect.client)
                .with(Field::Protocol, candidate.protocol.number())
                .with(Field::Role, candidate.connect.role.clone())
                .with(Field::ScopesRequested, candidate.connect.scopes.join(" ")),
            Stage::Relaying(relaying) => relaying.describe(entry),
            Stage::Arriving | Stage::Challenged(_) | Stage::Leaving => entry,
        }
    }
}

/// The fields that describe a client in its own words.
pub(super) fn client_fields(entry: Entry, client: &Client) -> Entry {
    entry
        .with(Field::ClientId, client.id.clone())
        .with(Field::ClientMode, client.mode.clone())
        .with(Field::ClientVersion, client.version.clone())
}

pub(super) fn micros(now: Now, since: Instant) -> u64 {
    u64::try_from(now.mono.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
}
