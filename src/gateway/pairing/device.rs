//! Pairing, approving, removing devices.
//!
//! Rule: whether an approval needs a person is decided from the facts of the connection alone (`policy::admit`); what
//! waits here from an earlier try never changes that. An approval only ever adds, and it leaves the tokens that are out
//! there as they are.

use std::collections::BTreeMap;

use serde_json::Map;

use super::request::{Answered, Ask, Asked, PairRequest, What, unite};
use super::store::Device;
use super::{Caller, Denied, Pairing};
use crate::clock::Now;
use crate::limits;
use crate::policy::scope::Role;

/// A request that was approved.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// When this is saved the approval holds.
    pub revision: u64,
    /// What was approved.
    pub request: PairRequest,
}

/// A device that was approved without a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Adopted {
    /// When this is saved the approval holds. `None`: the device had everything already.
    pub revision: Option<u64>,
    /// A request from an earlier try that has become pointless: `device.pair.resolved` with `approved` is due.
    pub resolved: Option<PairRequest>,
}

/// A device that was removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Removed {
    /// When this is saved the device is gone for good.
    pub revision: u64,
    /// Its request, which went with it: `device.pair.resolved` with `rejected` is due.
    pub rejected: Option<PairRequest>,
}

impl Pairing {
    /// Notes that a device waits for an approval. Nothing is written. `id` becomes the id of a new request.
    pub fn request(&mut self, ask: &Ask, id: String, now: Now) -> Asked {
        let is_repair = self.store.devices.contains_key(&ask.device_id);
        self.requests.ask(ask, id, is_repair, now)
    }

    /// Approves a request: the device gets everything that it shows. A live token of an approved role keeps its secret
    /// and gains the scopes; a missing one is issued when the device connects.
    ///
    /// # Errors
    /// The request is unknown; the caller does not hold what it would give (S9), or asks for another device or role
    /// than its own without being admin; there are too many devices.
    pub fn approve(&mut self, request_id: &str, caller: &Caller, now: Now) -> Result<Approved, Denied> {
        let request = self.requests.device(request_id, now)?;
        caller.may_touch(&request.device_id)?;
        if !caller.is_admin() && request.roles.iter().any(|role| role != Role::Operator.name()) {
            return Err(Denied::NeedsAdmin);
        }
        caller.must_hold(&request.scopes)?;
        self.check_room(&request.device_id)?;
        let request = request.clone();
        let revision = self.change();
        self.answer(request_id, Some(revision));
        self.enter(&request, now).approved_at_ms = now.unix_ms;
        Ok(Approved { revision, request })
    }

    /// Approves what a device asks for without a person, because an admission rule says so. What the device says of
    /// itself is adopted; if that and nothing else differs from the record and is only for show, nothing is written.
    ///
    /// # Errors
    /// There are too many devices.
    pub fn approve_silently(&mut self, ask: &Ask, now: Now) -> Result<Adopted, Denied> {
        self.check_room(&ask.device_id)?;
        // The request lives for this call; nobody sees its id.
        let request = PairRequest::new(String::new(), ask, false, now);
        let changes = self.find(&ask.device_id).is_none_or(|device| request.changes(device));
        let revision = changes.then(|| self.change());
        let device = self.enter(&request, now);
        if revision.is_some() {
            device.approved_at_ms = now.unix_ms;
        }
        let device = device.clone();
        let resolved =
            self.requests.of_device(&ask.device_id).filter(|waiting| waiting.is_met_by(&device)).cloned();
        if let Some(request) = &resolved {
            self.answer(&request.request_id, revision);
        }
        Ok(Adopted { revision, resolved })
    }

    /// Turns a request down. Nothing is written.
    ///
    /// # Errors
    /// The request is unknown, or the caller may only speak for another device.
    pub fn reject(&mut self, request_id: &str, caller: &Caller, now: Now) -> Result<PairRequest, Denied> {
        let request = self.requests.device(request_id, now)?;
        caller.may_touch(&request.device_id)?;
        let request = request.clone();
        self.requests.devices.remove(request_id);
        Ok(request)
    }

    /// Forgets a device, its tokens, its node and its request. Its connections have to be closed at once (S23).
    ///
    /// # Errors
    /// The device is unknown, or the caller may only speak for another device, or for operators.
    pub fn remove(&mut self, device_id: &str, caller: &Caller) -> Result<Removed, Denied> {
        caller.may_touch(device_id)?;
        let device = self.find(device_id).ok_or(Denied::UnknownDevice)?;
        if caller.by_token && !caller.is_admin() && device.is_more_than_operator() {
            return Err(Denied::NeedsAdmin);
        }
        let revision = self.change();
        self.store.devices.remove(device_id);
        self.store.nodes.remove(device_id);
        let rejected = self.requests.of_device(device_id).cloned();
        if let Some(request) = &rejected {
            self.answer(&request.request_id, Some(revision));
        }
        self.forget_node_request(device_id, revision);
        Ok(Removed { revision, rejected })
    }

    /// Gives a device a name of the operator's choice (`device.pair.rename`).
    ///
    /// # Errors
    /// The device is unknown, or the caller may only speak for another device, or for operators.
    pub fn label(&mut self, device_id: &str, label: &str, caller: &Caller) -> Result<u64, Denied> {
        caller.may_touch(device_id)?;
        let device = self.find(device_id).ok_or(Denied::UnknownDevice)?;
        if caller.by_token && !caller.is_admin() && device.is_more_than_operator() {
            return Err(Denied::NeedsAdmin);
        }
        let revision = self.change();
        if let Some(device) = self.store.devices.get_mut(device_id) {
            device.operator_label = Some(label.to_owned());
        }
        Ok(revision)
    }

    fn check_room(&self, device_id: &str) -> Result<(), Denied> {
        let full = self.store.devices.len() >= limits::DEVICES_MAX;
        if full && !self.store.devices.contains_key(device_id) { Err(Denied::Full) } else { Ok(()) }
    }

    /// Puts what a request shows into the device's record.
    fn enter(&mut self, request: &PairRequest, now: Now) -> &mut Device {
        let devices = &mut self.store.devices;
        let device = devices.entry(request.device_id.clone()).or_insert_with(|| request.new_device(now));
        request.apply_to(device);
        device
    }

    /// Takes a request away; one that a change answers comes back if the change is lost.
    fn answer(&mut self, request_id: &str, revision: Option<u64>) {
        let waiting = self.requests.devices.remove(request_id);
        if let (Some(waiting), Some(revision)) = (waiting, revision) {
            self.answered.push(Answered { revision, what: What::Device(waiting) });
        }
    }
}

impl PairRequest {
    /// The record of a device that has nothing yet.
    fn new_device(&self, now: Now) -> Device {
        Device {
            device_id: self.device_id.clone(),
            public_key: self.public_key.clone(),
            display_name: None,
            operator_label: None,
            platform: None,
            device_family: None,
            client_id: None,
            client_mode: None,
            remote_ip: None,
            roles: Vec::new(),
            approved_scopes: Vec::new(),
            tokens: BTreeMap::new(),
            created_at_ms: now.unix_ms,
            approved_at_ms: now.unix_ms,
            rest: Map::new(),
        }
    }

    /// Whether an approval would change the record in something that has a bearing on admission.
    fn changes(&self, device: &Device) -> bool {
        let mut after = device.clone();
        self.apply_to(&mut after);
        after.public_key != device.public_key
            || after.roles != device.roles
            || after.approved_scopes != device.approved_scopes
            || after.tokens != device.tokens
            || after.platform != device.platform
            || after.device_family != device.device_family
    }

    /// What an approval does to the record.
    fn apply_to(&self, device: &mut Device) {
        if device.public_key != self.public_key {
            // Another key is another holder: what the old one had is worth nothing to it.
            device.public_key.clone_from(&self.public_key);
            device.tokens.clear();
        }
        unite(&mut device.roles, &self.roles);
        unite(&mut device.approved_scopes, &self.scopes);
        let operator = Role::Operator.name();
        if let Some(token) = device.tokens.get_mut(operator).filter(|token| token.revoked_at_ms.is_none()) {
            if self.roles.iter().any(|role| role == operator) {
                unite(&mut token.scopes, &self.scopes);
                token.scopes.sort_unstable();
            }
        }
        self.describe(device);
    }

    /// What the device says of itself.
    fn describe(&self, device: &mut Device) {
        for (field, told) in [
            (&mut device.display_name, &self.display_name),
            (&mut device.platform, &self.platform),
            (&mut device.device_family, &self.device_family),
            (&mut device.client_id, &self.client_id),
            (&mut device.client_mode, &self.client_mode),
            (&mut device.remote_ip, &self.remote_ip),
        ] {
            if told.is_some() {
                field.clone_from(told);
            }
        }
    }
}
