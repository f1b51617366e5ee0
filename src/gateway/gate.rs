//! The configuration as admission needs it, and the pairing store as admission sees it.

use super::pairing::{Device, Pairing};
use super::{Conn, Gateway, Setup};
use crate::clock::Now;
use crate::config::gateway::AuthMode;
use crate::config::{OpenClaw, Resolved, Secret};
use crate::limits;
use crate::policy::credential::{HeldToken, Mode, Shared};
use crate::policy::device::same_metadata;
use crate::policy::facts::{self, PeerClass};
use crate::policy::origin::Origin;
use crate::policy::penalty::Tries;
use crate::policy::scope::{Role, Scopes};
use crate::policy::secret::Digest;
use crate::wire::connect::Client;

/// What every admission under one configuration has in common.
#[derive(Debug)]
pub(super) struct Gate {
    /// The auth mode with the digest of its secret.
    pub(super) mode: Mode,
    /// The most that an operator is granted.
    pub(super) ceiling: Scopes,
    /// Pages that may connect beside our own.
    pub(super) origins: Vec<Origin>,
    /// How many attempts may fail.
    pub(super) tries: Tries,
    /// The paths at which the runtime takes webhooks, if the configuration names them.
    pub(super) hooks: Option<String>,
}

/// What the pairing store has about a device, as a value.
#[derive(Debug)]
pub(super) struct Record {
    roles: Vec<Role>,
    approved: Scopes,
    same_metadata: bool,
}

impl Gate {
    pub(super) fn of(setup: &Setup) -> Self {
        let auth = &setup.openclaw.gateway.auth;
        let mode = match auth.mode {
            AuthMode::None => Mode::None,
            AuthMode::Token => Mode::Token(shared(&auth.token)),
            AuthMode::Password => Mode::Password(shared(&auth.password)),
        };
        let ceiling = setup.settings.operator_ceiling.as_ref();
        let pages = setup.openclaw.gateway.control_ui.allowed_origins.iter().chain(&setup.settings.origins);
        Self {
            mode,
            ceiling: ceiling
                .map_or(Scopes::ADMIN, |names| Scopes::from_names(names.iter().map(String::as_str))),
            // `*` and what is no origin at all allow nobody.
            origins: pages.filter_map(|page| page.parse().ok()).collect(),
            tries: tries(setup),
            hooks: hooks(&setup.openclaw),
        }
    }
}

impl Record {
    /// What the store has under the device's id and key.
    pub(super) fn find(pairing: &Pairing, id: &str, key: Option<&str>, client: &Client) -> Option<Self> {
        let device: &Device =
            pairing.find(id).filter(|device| key.is_none_or(|key| device.public_key == key))?;
        Some(Self {
            roles: device.roles.iter().filter_map(|role| Role::from_name(role)).collect(),
            approved: device.scopes(),
            same_metadata: same_metadata(device.platform.as_deref(), device.device_family.as_deref(), client),
        })
    }

    /// The same as admission reads it.
    pub(super) fn facts(record: Option<&Self>) -> facts::Pairing<'_> {
        record.map_or(facts::Pairing::Unknown, |record| facts::Pairing::Known {
            roles: &record.roles,
            approved: record.approved,
            same_metadata: record.same_metadata,
        })
    }
}

impl Gateway {
    /// Whose process is at the other end, under the present settings.
    pub(super) fn peer_class(&self, conn: &Conn) -> PeerClass {
        PeerClass::of(conn.peer.uid, &self.setup.owners, &self.setup.allowed)
    }

    /// The tokens of a device that open something now.
    pub(super) fn held_tokens(&self, device: Option<&str>, now: Now) -> Vec<HeldToken> {
        device.map_or_else(Vec::new, |device| self.pairing.held(device, now))
    }
}

fn shared(secret: &Resolved<Secret>) -> Shared {
    match secret {
        Resolved::Set(secret) => Shared::Set(Digest::of(secret.reveal())),
        Resolved::Missing => Shared::Missing,
        Resolved::Unresolvable(_) => Shared::Unusable,
    }
}

/// `hooks.path` as OpenClaw reads it: with a slash in front and none at the end.
fn hooks(openclaw: &OpenClaw) -> Option<String> {
    let hooks =
        openclaw.resolved.get("hooks").filter(|hooks| hooks.get("enabled").is_some_and(|on| on == true))?;
    let path = hooks.get("path")?.as_str()?.trim().trim_matches('/');
    (!path.is_empty()).then(|| format!("/{path}/*"))
}

/// OpenClaw's defaults hold where the file is silent (protocol.md 3.9).
fn tries(setup: &Setup) -> Tries {
    match setup.openclaw.gateway.auth.rate_limit {
        Some(limit) => Tries {
            attempts: limit.max_attempts,
            window: limit.window,
            lockout: limit.lockout,
            exempt_owner: limit.exempt_loopback,
        },
        None => Tries {
            attempts: limits::TRIES_MAX,
            window: limits::TRIES_WINDOW,
            lockout: limits::LOCKOUT,
            exempt_owner: true,
        },
    }
}
