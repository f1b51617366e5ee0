//! Devices that wait for an approval.
//!
//! Rule: a request's id stands for what it asks for. Asking for the same or less again keeps the id and its place;
//! asking for more makes a new request with everything together, so that nobody approves what was not shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Denied;
use super::node_request::NodeRequest;
use super::store::Device;
use crate::clock::{Now, millis};
use crate::limits;
use crate::policy::device::ProvenDevice;
use crate::policy::scope::{Role, Scopes};
use crate::wire::connect::Connect;

/// What a proven device asks to be paired for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The proven id.
    pub device_id: String,
    /// The proven key, raw, base64url.
    pub public_key: String,
    /// What the device calls itself.
    pub display_name: Option<String>,
    /// What it says it runs on.
    pub platform: Option<String>,
    /// See `platform`.
    pub device_family: Option<String>,
    /// The program.
    pub client_id: Option<String>,
    /// Its mode.
    pub client_mode: Option<String>,
    /// Where it comes from, if not from this machine.
    pub remote_ip: Option<String>,
    /// The role it wants.
    pub role: Role,
    /// The scopes it wants, by name. Names that this version does not know are dropped, and a node has none.
    pub scopes: Vec<String>,
    /// Whose process it is: one user's requests cannot push out another's.
    pub uid: Option<u32>,
}

/// A request as `device.pair.list` and `device.pair.requested` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PairRequest {
    /// What `device.pair.approve` takes.
    pub request_id: String,
    /// Who asks.
    pub device_id: String,
    /// Its key.
    pub public_key: String,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it says it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// See `platform`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mode: Option<String>,
    /// Where it comes from, if not from this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// The first role asked for.
    pub role: String,
    /// All roles asked for.
    pub roles: Vec<String>,
    /// All scopes asked for.
    pub scopes: Vec<String>,
    /// Always false: what may be approved without a person never waits.
    pub silent: bool,
    /// Whether the device is paired and wants more, or something else.
    pub is_repair: bool,
    /// When it was asked last, ms since 1970. The request's life is counted from here.
    pub ts: u64,
}

/// Everything that waits for an approval: a value that survives a planned restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Requests {
    pub(super) devices: BTreeMap<String, Waiting>,
    pub(super) nodes: BTreeMap<String, NodeRequest>,
}

/// A request and whose process made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) request: PairRequest,
    uid: Option<u32>,
}

/// What became of an [`Ask`].
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The request that now waits.
    pub request: PairRequest,
    /// Whether it is new: `device.pair.requested` is due.
    pub created: bool,
    /// Requests that it took the place of: `device.pair.resolved` with `rejected` is due for each.
    pub gone: Vec<PairRequest>,
}

/// A request that an unsaved change took away.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) revision: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Device(Waiting),
    Node(NodeRequest),
}

impl Ask {
    /// The wishes of a `connect` whose device proof holds.
    pub fn of(connect: &Connect, device: &ProvenDevice, role: Role, uid: Option<u32>) -> Self {
        let client = &connect.client;
        Self {
            device_id: device.id().as_str().to_owned(),
            public_key: device.public_key().to_owned(),
            display_name: client.display_name.clone(),
            platform: Some(client.platform.clone()),
            device_family: client.device_family.clone(),
            client_id: Some(client.id.clone()),
            client_mode: Some(client.mode.clone()),
            remote_ip: None,
            role,
            scopes: connect.scopes.clone(),
            uid,
        }
    }

    /// The scopes that count: known names, once each, in the order they were asked for.
    pub(super) fn wanted(&self) -> Vec<String> {
        let known = |name: &&String| self.role == Role::Operator && Scopes::from_name(name).is_some();
        let mut wanted = Vec::new();
        unite(&mut wanted, self.scopes.iter().filter(known));
        wanted
    }
}

impl PairRequest {
    pub(super) fn new(request_id: String, ask: &Ask, is_repair: bool, now: Now) -> Self {
        Self {
            request_id,
            device_id: ask.device_id.clone(),
            public_key: ask.public_key.clone(),
            display_name: ask.display_name.clone(),
            platform: ask.platform.clone(),
            device_family: ask.device_family.clone(),
            client_id: ask.client_id.clone(),
            client_mode: ask.client_mode.clone(),
            remote_ip: ask.remote_ip.clone(),
            role: ask.role.name().to_owned(),
            roles: vec![ask.role.name().to_owned()],
            scopes: ask.wanted(),
            silent: false,
            is_repair,
            ts: now.unix_ms,
        }
    }

    /// Whether an approval of this request would give everything that `ask` wants.
    fn covers(&self, ask: &Ask) -> bool {
        let scopes = Scopes::from_names(self.scopes.iter().map(String::as_str));
        let wanted = ask.wanted();
        self.public_key == ask.public_key
            && self.roles.iter().any(|role| role == ask.role.name())
            && scopes.covers(Scopes::from_names(wanted.iter().map(String::as_str)))
    }

    /// Whether the device has everything that this request asks for.
    pub(super) fn is_met_by(&self, device: &Device) -> bool {
        let scopes = Scopes::from_names(self.scopes.iter().map(String::as_str));
        self.public_key == device.public_key
            && self.roles.iter().all(|role| device.roles.contains(role))
            && device.scopes().covers(scopes)
            && (self.platform.is_none() || self.platform == device.platform)
            && (self.device_family.is_none() || self.device_family == device.device_family)
    }

    /// Takes over what the device now says of itself.
    fn refresh(&mut self, ask: &Ask, is_repair: bool, now: Now) {
        for (field, told) in [
            (&mut self.display_name, &ask.display_name),
            (&mut self.platform, &ask.platform),
            (&mut self.device_family, &ask.device_family),
            (&mut self.client_id, &ask.client_id),
            (&mut self.client_mode, &ask.client_mode),
            (&mut self.remote_ip, &ask.remote_ip),
        ] {
            if told.is_some() {
                field.clone_from(told);
            }
        }
        self.is_repair |= is_repair;
        self.ts = now.unix_ms;
    }
}

impl Requests {
    /// The device requests, newest first.
    pub fn devices(&self) -> Vec<&PairRequest> {
        let mut requests: Vec<_> = self.devices.values().map(|waiting| &waiting.request).collect();
        requests.sort_by(|a, b| b.ts.cmp(&a.ts).then_with(|| a.request_id.cmp(&b.request_id)));
        requests
    }

    /// The request of a device.
    pub fn of_device(&self, device_id: &str) -> Option<&PairRequest> {
        self.devices.values().map(|waiting| &waiting.request).find(|request| request.device_id == device_id)
    }

    /// The request under this id, unless its time is over.
    pub(super) fn device(&self, request_id: &str, now: Now) -> Result<&PairRequest, Denied> {
        let request = self.devices.get(request_id).map(|waiting| &waiting.request);
        request.filter(|request| fresh(request.ts, now)).ok_or(Denied::UnknownRequest)
    }

    /// Notes what a device asks for; `id` is used if a new request has to be made.
    pub(super) fn ask(&mut self, ask: &Ask, id: String, is_repair: bool, now: Now) -> Asked {
        self.expire(now);
        let old = self.of_device(&ask.device_id).map(|request| request.request_id.clone());
        let old = old.and_then(|id| self.devices.remove(&id));
        if let Some(mut waiting) = old.clone().filter(|waiting| waiting.request.covers(ask)) {
            waiting.request.refresh(ask, is_repair, now);
            let request = waiting.request.clone();
            self.devices.insert(request.request_id.clone(), waiting);
            return Asked { request, created: false, gone: Vec::new() };
        }
        let mut request = PairRequest::new(id, ask, is_repair, now);
        let mut gone = Vec::new();
        if let Some(Waiting { request: old, .. }) = old {
            // Another key under the same id cannot be merged with; everything else is asked for together.
            if old.public_key == request.public_key {
                request.role.clone_from(&old.role);
                unite_front(&mut request.roles, &old.roles);
                unite_front(&mut request.scopes, &old.scopes);
            }
            gone.push(old);
        }
        self.devices.insert(request.request_id.clone(), Waiting { request: request.clone(), uid: ask.uid });
        gone.extend(self.make_room());
        Asked { request, created: true, gone }
    }

    /// Drops requests of the user who has most of them until the bound holds: one user's flood costs only that user.
    fn make_room(&mut self) -> Vec<PairRequest> {
        let mut gone = Vec::new();
        while self.devices.len() > limits::PAIRING_PENDING_MAX {
            let mut counts: BTreeMap<Option<u32>, usize> = BTreeMap::new();
            for waiting in self.devices.values() {
                *counts.entry(waiting.uid).or_default() += 1;
            }
            let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(uid, _)| uid);
            let oldest = self
                .devices
                .values()
                .filter(|waiting| Some(waiting.uid) == most)
                .min_by(|a, b| {
                    a.request.ts.cmp(&b.request.ts).then(b.request.request_id.cmp(&a.request.request_id))
                })
                .map(|waiting| waiting.request.request_id.clone());
            match oldest.and_then(|id| self.devices.remove(&id)) {
                Some(waiting) => gone.push(waiting.request),
                None => break,
            }
        }
        gone
    }

    pub(super) fn expire(&mut self, now: Now) {
        self.devices.retain(|_, waiting| fresh(waiting.request.ts, now));
        self.nodes.retain(|_, request| request.lives(now));
    }

    pub(super) fn put_back(&mut self, answered: Answered) {
        match answered.what {
            // Whoever asked again meanwhile has a request already.
            What::Device(waiting) if self.of_device(&waiting.request.device_id).is_none() => {
                self.devices.insert(waiting.request.request_id.clone(), waiting);
            }
            What::Node(request) if self.of_node(&request.ask.node_id).is_none() => {
                self.nodes.insert(request.request_id.clone(), request);
            }
            What::Device(_) | What::Node(_) => {}
        }
    }
}

/// Adds the names that are not there yet; true if there were any.
pub(super) fn unite<'a>(names: &mut Vec<String>, more: impl IntoIterator<Item = &'a String>) -> bool {
    let before = names.len();
    for name in more {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names.len() > before
}

/// The same, with `first` in front: what was asked for first stays first.
fn unite_front(names: &mut Vec<String>, first: &[String]) {
    let mut all = first.to_vec();
    unite(&mut all, names.iter());
    *names = all;
}

/// Whether a request of that time still counts. A clock that was set back does not keep one alive for ever.
pub(super) fn fresh(ts: u64, now: Now) -> bool {
    now.unix_ms.abs_diff(ts) <= millis(limits::PAIRING_PENDING_AGE)
}
