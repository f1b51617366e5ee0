//! Who is paired: devices, their tokens, nodes, and what waits for an approval. A pure model; the shell only writes
//! what [`Pairing::begin_save`] hands out.
//!
//! Rule: an answer that promises a change goes out after [`Pairing::saved`] has confirmed its revision. If the write
//! fails, the model goes back to what the disk holds, and everybody who waits is refused.

mod device;
pub mod import;
mod list;
mod node;
mod node_request;
mod request;
mod store;
mod token;

use std::borrow::Cow;

use crate::clock::Now;
use crate::policy::scope::{AuthMethod, Grant, Scopes};

pub use self::device::{Adopted, Approved, Removed};
pub use self::node::{NodeApproved, Surface};
pub use self::node_request::{NodeAsk, NodeAsked, NodeRequest, Origin, approval_need};
pub use self::request::{Ask, Asked, PairRequest, Requests};
pub use self::store::{Device, Node, Store, Token};
pub use self::token::{Issued, Revoked, Rotated, Rotation};

/// The store, what waits for an approval, and how far the disk has followed.
///
/// Operations that change the store give a revision; the change is real once [`Pairing::saved`] says so. Requests for
/// an approval are not part of the file: whoever still wants to come in asks again, and a stranger who is refused must
/// not be able to make us write. They can be taken out with [`Pairing::requests`] and put back with
/// [`Pairing::restore`], for a planned restart.
#[derive(Debug)]
pub struct Pairing {
    store: Store,
    requests: Requests,
    /// The last change, saved or not.
    revision: u64,
    /// The last change whose fate is known.
    settled: u64,
    /// What the disk holds, kept while `store` is ahead of it.
    durable: Option<Box<Store>>,
    saving: Option<Saving>,
    /// Requests that unsaved changes took away, to be put back if the write fails.
    answered: Vec<request::Answered>,
}

/// A write that is under way.
#[derive(Debug)]
struct Saving {
    revision: u64,
    /// What was handed out for writing, kept once `store` has moved on.
    handed: Option<Box<Store>>,
}

/// What became of a write, for those who wait with a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Changes up to and including this revision are on disk.
    Durable(u64),
    /// Changes up to and including this revision never happened.
    Lost(u64),
}

/// Who asks for a change, as far as the rules of pairing care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What the caller may do.
    pub scopes: Scopes,
    /// The device that the caller has proven to be.
    pub device: Option<String>,
    /// Whether a device token is all that the caller came in with; such a caller speaks for its own device alone.
    pub by_token: bool,
}

/// Why an operation was not done. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No such request, or it has expired.
    UnknownRequest,
    /// No such device.
    UnknownDevice,
    /// No such device, or it does not have the role, or there is no token.
    UnknownToken,
    /// No such node.
    UnknownNode,
    /// The caller would give away what it does not hold: the name of the scope.
    MissingScope(&'static str),
    /// Another device's affairs need `operator.admin`.
    NotYours,
    /// Roles other than `operator` need `operator.admin`.
    NeedsAdmin,
    /// The scopes go beyond what the device was approved for.
    OutsideApproved,
    /// [`crate::limits::DEVICES_MAX`] devices are paired.
    Full,
}

impl Pairing {
    /// The model of what the file holds; `None`: there is no file yet.
    ///
    /// # Errors
    /// The file cannot be understood; see [`Store::parse`].
    pub fn open(file: Option<&[u8]>) -> Result<Self, String> {
        let store = file.map_or_else(|| Ok(Store::default()), Store::parse)?;
        Ok(Self {
            store,
            requests: Requests::default(),
            revision: 0,
            settled: 0,
            durable: None,
            saving: None,
            answered: Vec::new(),
        })
    }

    /// The store as it is now, unsaved changes included.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The paired device, unsaved changes included.
    pub fn find(&self, device_id: &str) -> Option<&Device> {
        self.store.devices.get(device_id)
    }

    /// What waits for an approval.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Puts back what [`Pairing::requests`] gave before a restart.
    pub fn restore(&mut self, requests: Requests) {
        self.requests = requests;
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The last revision whose fate is known: nobody has to wait for it, or for one before it.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Whether a change waits for [`Pairing::begin_save`].
    pub fn dirty(&self) -> bool {
        self.revision > self.saving.as_ref().map_or(self.settled, |saving| saving.revision)
    }

    /// The next write: its revision and the whole file. Nothing while one is under way or nothing has changed.
    pub fn begin_save(&mut self) -> Option<(u64, Vec<u8>)> {
        if self.saving.is_some() || !self.dirty() {
            return None;
        }
        self.saving = Some(Saving { revision: self.revision, handed: None });
        Some((self.revision, self.store.render()))
    }

    /// Takes note of how the write of `revision` went, and tells what that means for those who wait. `None`: no such
    /// write is under way.
    pub fn saved(&mut self, revision: u64, result: &Result<(), String>) -> Option<Settled> {
        let saving = self.saving.take_if(|saving| saving.revision == revision)?;
        if result.is_ok() {
            // Later changes, if any, are still ahead of what has just been written.
            self.durable = saving.handed;
            self.settled = revision;
            self.answered.retain(|answered| answered.revision > revision);
            return Some(Settled::Durable(revision));
        }
        // Changes made meanwhile stand on the lost ones, so they are lost too.
        if let Some(durable) = self.durable.take() {
            self.store = *durable;
        }
        self.settled = self.revision;
        for answered in self.answered.drain(..) {
            self.requests.put_back(answered);
        }
        Some(Settled::Lost(self.revision))
    }

    /// Forgets requests that nobody repeated for too long.
    pub fn expire(&mut self, now: Now) {
        self.requests.expire(now);
    }

    /// Opens the store for a change and counts it. Call it only when something is going to change for good.
    fn change(&mut self) -> u64 {
        match &mut self.saving {
            Some(Saving { handed: Some(_), .. }) => {}
            // The write under way is what the disk will hold if it works; `durable` is what it holds if not.
            Some(saving) => saving.handed = Some(Box::new(self.store.clone())),
            None if self.durable.is_some() => {}
            None => self.durable = Some(Box::new(self.store.clone())),
        }
        self.revision += 1;
        self.revision
    }
}

impl Caller {
    /// The caller behind a grant.
    pub fn of(grant: &Grant) -> Self {
        Self {
            scopes: grant.scopes(),
            device: grant.device().map(str::to_owned),
            by_token: grant.how() == AuthMethod::DeviceToken,
        }
    }

    /// Whether the caller may do anything.
    pub fn is_admin(&self) -> bool {
        self.scopes.covers(Scopes::ADMIN)
    }

    /// Whether the caller has proven to be this device.
    pub fn is(&self, device_id: &str) -> bool {
        self.device.as_deref() == Some(device_id)
    }

    /// A caller with nothing but a device token has no business with other devices.
    fn may_touch(&self, device_id: &str) -> Result<(), Denied> {
        if self.by_token && !self.is_admin() && !self.is(device_id) {
            return Err(Denied::NotYours);
        }
        Ok(())
    }

    /// Nobody gives away what it does not hold (S9).
    fn must_hold(&self, names: &[String]) -> Result<(), Denied> {
        for name in names {
            // A name that this version does not know may mean anything to the next one.
            let scope = Scopes::from_name(name).unwrap_or(Scopes::ADMIN);
            if !self.scopes.covers(scope) {
                return Err(Denied::MissingScope(scope.name()));
            }
        }
        Ok(())
    }
}

impl Denied {
    /// The message of the error answer, in the words that clients know from OpenClaw.
    pub fn message(self) -> Cow<'static, str> {
        match self {
            Self::UnknownRequest => "unknown requestId".into(),
            Self::UnknownDevice => "unknown deviceId".into(),
            Self::UnknownToken => "unknown deviceId/role".into(),
            Self::UnknownNode => "unknown nodeId".into(),
            Self::MissingScope(name) => format!("missing scope: {name}").into(),
            Self::NotYours => "another device's pairing needs operator.admin".into(),
            Self::NeedsAdmin => "roles other than operator need operator.admin".into(),
            Self::OutsideApproved => "scopes go beyond what the device was approved for".into(),
            Self::Full => "too many paired devices; remove some with `loopgate devices remove`".into(),
        }
    }
}
