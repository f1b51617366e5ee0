//! What an admission changes in the pairing store, and what becomes of a device that has to be approved first.
//!
//! Rule: what hello promises is on disk before hello says so.

use serde_json::json;

use super::arrive::Welcome;
use super::broadcast::News;
use super::io::{self, ConnId};
use super::pairing::{Ask, Denied, Issued, PairRequest};
use super::saves::Then;
use super::{Gateway, Stage};
use crate::clock::Now;
use crate::journal::{Field, Kind};
use crate::policy::admit::{Admission, PairingChange, Pending};
use crate::policy::scope::{AuthMethod, Scopes};
use crate::wire::Protocol;
use crate::wire::error::ErrorShape;
use crate::wire::frame;
use crate::wire::refusal::Refusal;

/// A new token, if one was made, and the revision of the pairing store to wait for.
type Adoption = Result<(Option<Issued>, Option<u64>), Refusal>;

impl Gateway {
    /// Carries out an admission: what it changes in the pairing store is on disk before hello says so.
    pub(super) fn let_in(&mut self, id: ConnId, admission: Admission, bootstrap: Option<u64>, now: Now) {
        match self.adopt(id, &admission, bootstrap, now) {
            Ok((issued, revision)) => {
                // What another connection of the device has changed is not on disk yet, perhaps.
                let unsaved = admission.grant.device().map(|_| self.pairing.revision());
                let unsaved = unsaved.filter(|revision| self.pairing.settled() < *revision);
                let welcome = Welcome { admission, issued };
                let Some(Stage::Deciding(candidate)) = self.conns.get_mut(id).map(|conn| &mut conn.stage)
                else {
                    return;
                };
                candidate.welcome = Some(welcome);
                match revision.or(unsaved) {
                    Some(revision) => self.when_durable(revision, Then::Welcome(id), now),
                    None => self.welcome(id, now),
                }
            }
            Err(refusal) => self.turn_away(id, &refusal, now),
        }
    }

    /// What an admission changes in the pairing store, and the token that goes out with it.
    fn adopt(&mut self, id: ConnId, admission: &Admission, bootstrap: Option<u64>, now: Now) -> Adoption {
        let mut secret = [0; 32];
        self.entropy.fill(&mut secret);
        let Some(conn) = self.conns.get(id) else {
            return Ok((None, None));
        };
        let Stage::Deciding(candidate) = &conn.stage else {
            return Ok((None, None));
        };
        let mut revision = None;
        if let (AuthMethod::BootstrapToken, Some(expires)) = (admission.grant.how(), bootstrap) {
            let token = candidate.connect.auth.bootstrap_token.as_deref().unwrap_or_default();
            revision = Some(self.pairing.spend(token, expires, now).ok_or_else(bootstrap_spent)?);
        }
        let Some(Ok(device)) = &candidate.device else {
            return Ok((None, revision));
        };
        let approval = match admission.pairing {
            PairingChange::None => None,
            PairingChange::Create(approval) | PairingChange::Extend(approval) => Some(approval),
        };
        let role = admission.grant.role();
        let mut ask = Ask::of(&candidate.connect, device, role, conn.peer.uid);
        let mut resolved = None;
        if let Some(approval) = approval {
            ask.scopes = spelled(&candidate.connect.scopes, approval.scopes);
            let adopted = self.pairing.approve_silently(&ask, now).map_err(store_full)?;
            revision = adopted.revision.or(revision);
            resolved = adopted.resolved;
        }
        let wanted = spelled(&candidate.connect.scopes, admission.grant.scopes());
        let issued = self.pairing.issue((device.id().as_str(), role), &wanted, secret, now);
        revision = issued.as_ref().map(|issued| issued.revision).or(revision);
        if admission.grant.how() == AuthMethod::DeviceToken {
            self.pairing.touch(device.id().as_str(), role, now);
        }
        if let Some(kind) = approval.map(|_| Kind::PairingApproved).filter(|_| revision.is_some()) {
            let entry = conn
                .entry(kind, now)
                .with(Field::DeviceId, device.id().as_str().to_owned())
                .with(Field::Rule, admission.grant.rule())
                .with(Field::ScopesGranted, admission.grant.scopes().to_string());
            self.ledger.note(entry, now);
        }
        if let Some(request) = resolved {
            self.announce_resolved(&request, "approved", now);
        }
        Ok((issued, revision))
    }

    /// The device has to be approved by somebody: the request is noted, told to those who may approve, and the client
    /// is sent away with its id.
    pub(super) fn pend(&mut self, id: ConnId, pending: &Pending, now: Now) {
        let request_id = io::uuid(&mut *self.entropy);
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        let Stage::Deciding(candidate) = &conn.stage else {
            return;
        };
        let ask = Ask::of(&candidate.connect, &pending.device, pending.role, conn.peer.uid);
        let asked = self.pairing.request(&ask, request_id, now);
        if asked.created {
            let entry = conn
                .entry(Kind::PairingRequested, now)
                .with(Field::DeviceId, pending.device.id().as_str().to_owned())
                .with(Field::RequestId, asked.request.request_id.clone())
                .with(Field::Rule, pending.rule())
                .with(Field::Remedy, "look at it and approve it: loopgate devices approve");
            self.ledger.note(entry, now);
            let payload = frame::to_json(&asked.request);
            self.broadcast(News::new("device.pair.requested", &payload), now);
        }
        for gone in &asked.gone {
            self.announce_resolved(gone, "rejected", now);
        }
        let refusal = pending.refusal(&asked.request.request_id);
        self.turn_away(id, &refusal, now);
    }

    /// Tells those who may approve what became of a request.
    pub(super) fn announce_resolved(&mut self, request: &PairRequest, decision: &str, now: Now) {
        let payload = frame::to_json(&json!({
            "requestId": request.request_id, "deviceId": request.device_id, "decision": decision, "ts": now.unix_ms,
        }));
        self.broadcast(News::new("device.pair.resolved", &payload), now);
    }
}

/// `scopes` by the names that were asked for, if those are all of it; else by every name that it holds.
fn spelled(asked: &[String], scopes: Scopes) -> Vec<String> {
    let held = |name: &&String| Scopes::from_name(name).is_some_and(|scope| scopes.covers(scope));
    let names: Vec<String> = asked.iter().filter(held).cloned().collect();
    if Scopes::from_names(names.iter().map(String::as_str)) == scopes {
        return names;
    }
    scopes.names(Protocol::V4).map(str::to_owned).collect()
}

fn bootstrap_spent() -> Refusal {
    let error =
        ErrorShape::invalid("unauthorized: bootstrap token invalid or expired (scan a fresh setup code)")
            .with_details(json!({
                "code": "AUTH_BOOTSTRAP_TOKEN_INVALID", "authReason": "bootstrap_token_invalid",
                "canRetryWithDeviceToken": false, "recommendedNextStep": "review_auth_configuration",
            }));
    Refusal::answer("bootstrap-spent", error, "a bootstrap token is good for one device; make a new one")
}

fn store_full(denied: Denied) -> Refusal {
    let error = ErrorShape::unavailable(denied.message());
    Refusal::answer(
        "pairing-full",
        error,
        "remove devices that are not used any more: loopgate devices remove",
    )
}
