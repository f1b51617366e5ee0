//! Secrets that devices hold: issued once, kept as digests. `policy::credential` compares them.
//!
//! Rule: a secret leaves this file in [`Issued`] and [`Rotated`] only, towards the device that owns it (S10); and no
//! token is worth more than its device was approved for (S9).

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde_json::Map;

use super::store::{Device, Previous, Spent, Token};
use super::{Caller, Denied, Pairing};
use crate::clock::{Now, millis};
use crate::limits;
use crate::policy::credential::HeldToken;
use crate::policy::scope::{Role, Scopes};
use crate::policy::secret::Digest;

/// A new token for a device that has none.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// When this is saved the token may be told.
    pub revision: u64,
    /// The secret: `hello-ok.auth.deviceToken`.
    pub token: String,
    /// Its scopes by name, sorted.
    pub scopes: Vec<String>,
    /// ms since 1970.
    pub issued_at_ms: u64,
}

/// Which token to rotate: the params of `device.token.rotate`.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    /// Whose.
    pub device_id: &'a str,
    /// For which role.
    pub role: &'a str,
    /// Its new scopes; `None`: as they are.
    pub scopes: Option<&'a [String]>,
}

/// A token whose secret was changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Rotated {
    /// When this is saved the change holds.
    pub revision: u64,
    /// The new secret if the caller is the device itself. Another device gets its own when it connects next.
    pub token: Option<String>,
    /// Its scopes by name, sorted.
    pub scopes: Vec<String>,
    /// ms since 1970.
    pub rotated_at_ms: u64,
}

/// A token that is worth nothing any more. Connections of the device in this role have to be closed at once (S23).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// When this is saved the change holds.
    pub revision: u64,
    /// ms since 1970.
    pub revoked_at_ms: u64,
}

impl Pairing {
    /// The tokens of a device that open something now, for `policy::credential` to compare with: the live ones, and
    /// those whose rotation is so recent that the device may not have heard of it. None opens more than was approved.
    pub fn held(&self, device_id: &str, now: Now) -> Vec<HeldToken> {
        let Some(device) = self.find(device_id) else {
            return Vec::new();
        };
        let mut held = Vec::new();
        for (name, token) in device.tokens.iter().filter(|(_, token)| token.revoked_at_ms.is_none()) {
            let Some(role) = Role::from_name(name).filter(|role| device.has_role(*role)) else {
                continue;
            };
            let previous = token.previous.as_ref().filter(|previous| now.unix_ms < previous.until_ms);
            let digests = token.digest.into_iter().chain(previous.map(|previous| previous.digest));
            let scopes = token.scopes() & device.scopes();
            held.extend(digests.map(|digest| HeldToken { role, digest, scopes }));
        }
        held
    }

    /// The tokens of all operators that open something now.
    pub fn held_by_operators(&self, now: Now) -> impl Iterator<Item = HeldToken> {
        let held = self.store.devices.keys().flat_map(move |id| self.held(id, now));
        held.filter(|token| token.role == Role::Operator)
    }

    /// Notes that a token was used. Nothing is written for it.
    pub fn touch(&mut self, device_id: &str, role: Role, now: Now) {
        let device = self.store.devices.get_mut(device_id);
        if let Some(token) = device.and_then(|device| device.tokens.get_mut(role.name())) {
            token.last_used_at_ms = Some(now.unix_ms);
        }
    }

    /// Makes the device's token for a role if nobody holds one: there is none, it was revoked, or it was rotated by
    /// somebody else. `None`: a token is out there, the role is not approved, or `wanted` goes beyond what is.
    pub fn issue(
        &mut self,
        (device_id, role): (&str, Role),
        wanted: &[String],
        secret: [u8; 32],
        now: Now,
    ) -> Option<Issued> {
        let device = self.find(device_id).filter(|device| device.has_role(role))?;
        let old = device.tokens.get(role.name());
        let scopes = match old {
            Some(token) if token.is_live() => return None,
            // Whoever rotated it chose its scopes.
            Some(token) if token.revoked_at_ms.is_none() => token.scopes.clone(),
            _ => token_scopes(device, role, wanted).ok()?,
        };
        let revision = self.change();
        let text = BASE64URL_NOPAD.encode(&secret);
        let token = self.token_mut(device_id, role, now)?;
        if token.revoked_at_ms.take().is_some() {
            token.created_at_ms = now.unix_ms;
            token.rotated_at_ms = None;
        }
        token.digest = Some(Digest::of(&text));
        token.scopes.clone_from(&scopes);
        Some(Issued { revision, token: text, scopes, issued_at_ms: now.unix_ms })
    }

    /// Changes the secret of a token. The old one is still taken for [`limits::TOKEN_OVERLAP`], so that a device that
    /// is connecting right now is not locked out.
    ///
    /// # Errors
    /// There is no such token; the caller does not hold the scopes, asks for more than was approved, or needs to be
    /// admin for another device or role than its own (S9, S10).
    pub fn rotate(
        &mut self,
        order: &Rotation<'_>,
        caller: &Caller,
        secret: [u8; 32],
        now: Now,
    ) -> Result<Rotated, Denied> {
        let Rotation { device_id, role: role_name, scopes } = *order;
        let own = caller.is(device_id);
        if !own && !caller.is_admin() {
            return Err(Denied::NotYours);
        }
        let (device, role) = self.with_role(device_id, role_name, caller)?;
        let old = device.tokens.get(role_name);
        let wanted = scopes.or(old.map(|token| token.scopes.as_slice())).unwrap_or(&device.approved_scopes);
        let scopes = token_scopes(device, role, wanted)?;
        caller.must_hold(&scopes)?;
        let revision = self.change();
        let text = BASE64URL_NOPAD.encode(&secret);
        let token = self.token_mut(device_id, role, now).ok_or(Denied::UnknownToken)?;
        let held = token.digest.take().filter(|_| token.revoked_at_ms.is_none());
        if let Some(digest) = held {
            token.previous = Some(Previous {
                digest,
                until_ms: now.unix_ms.saturating_add(millis(limits::TOKEN_OVERLAP)),
            });
        }
        token.digest = own.then(|| Digest::of(&text));
        token.revoked_at_ms = None;
        token.rotated_at_ms = Some(now.unix_ms);
        token.scopes.clone_from(&scopes);
        Ok(Rotated { revision, token: own.then_some(text), scopes, rotated_at_ms: now.unix_ms })
    }

    /// Makes a token worthless, at once and without an overlap.
    ///
    /// # Errors
    /// As for [`Pairing::rotate`], but another device's token may be revoked by whoever holds its scopes.
    pub fn revoke(
        &mut self,
        device_id: &str,
        role_name: &str,
        caller: &Caller,
        now: Now,
    ) -> Result<Revoked, Denied> {
        caller.may_touch(device_id)?;
        let (device, role) = self.with_role(device_id, role_name, caller)?;
        let token = device.tokens.get(role_name).ok_or(Denied::UnknownToken)?;
        if role == Role::Operator {
            caller.must_hold(&token.scopes)?;
        }
        let revision = self.change();
        let token = self.token_mut(device_id, role, now).ok_or(Denied::UnknownToken)?;
        token.revoked_at_ms = Some(now.unix_ms);
        token.previous = None;
        Ok(Revoked { revision, revoked_at_ms: now.unix_ms })
    }

    /// Uses up a bootstrap token that was found valid until `expires_at_ms`. `None`: it was used before, also by a
    /// connection whose admission is still being saved, or it has expired (S21). The admission waits for the revision.
    pub fn spend(&mut self, token: &str, expires_at_ms: u64, now: Now) -> Option<u64> {
        let digest = Digest::of(token);
        let spent = &self.store.bootstrap_spent;
        let live = spent.iter().filter(|spent| spent.expires_at_ms > now.unix_ms);
        if expires_at_ms <= now.unix_ms
            || live.clone().any(|spent| spent.digest == digest)
            || live.count() >= limits::BOOTSTRAP_SPENT_MAX
        {
            return None;
        }
        let revision = self.change();
        self.store.bootstrap_spent.retain(|spent| spent.expires_at_ms > now.unix_ms);
        self.store.bootstrap_spent.push(Spent { digest, expires_at_ms });
        Some(revision)
    }

    /// The device if it has the role, and if the caller may handle that role.
    fn with_role(&self, device_id: &str, role: &str, caller: &Caller) -> Result<(&Device, Role), Denied> {
        let role = Role::from_name(role).ok_or(Denied::UnknownToken)?;
        if role != Role::Operator && !caller.is_admin() {
            return Err(Denied::NeedsAdmin);
        }
        let device = self.find(device_id).filter(|device| device.has_role(role));
        device.map(|device| (device, role)).ok_or(Denied::UnknownToken)
    }

    /// The token of a role, made if there is none. Only for use after [`Pairing::change`].
    fn token_mut(&mut self, device_id: &str, role: Role, now: Now) -> Option<&mut Token> {
        let tokens: &mut BTreeMap<_, _> = &mut self.store.devices.get_mut(device_id)?.tokens;
        Some(tokens.entry(role.name().to_owned()).or_insert_with(|| Token::empty(now)))
    }
}

impl Token {
    fn empty(now: Now) -> Self {
        Self {
            digest: None,
            scopes: Vec::new(),
            created_at_ms: now.unix_ms,
            rotated_at_ms: None,
            revoked_at_ms: None,
            last_used_at_ms: None,
            previous: None,
            rest: Map::new(),
        }
    }
}

impl fmt::Debug for Issued {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("revision", &self.revision)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Rotated {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotated")
            .field("revision", &self.revision)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// The scopes of a token, sorted: known names that the device was approved for. Names of other versions stay in the
/// record, but no token is made for them.
fn token_scopes(device: &Device, role: Role, wanted: &[String]) -> Result<Vec<String>, Denied> {
    if role != Role::Operator {
        return Ok(Vec::new());
    }
    let mut scopes: Vec<String> =
        wanted.iter().filter(|name| Scopes::from_name(name).is_some()).cloned().collect();
    scopes.sort_unstable();
    scopes.dedup();
    if device.scopes().covers(Scopes::from_names(scopes.iter().map(String::as_str))) {
        Ok(scopes)
    } else {
        Err(Denied::OutsideApproved)
    }
}
