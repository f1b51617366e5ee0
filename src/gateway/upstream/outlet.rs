//! The calls of one client that wait for the runtime, and its leg.
//!
//! Rule: a call stands here from the moment it is to go upstream until its last answer has left, whatever becomes of legs
//! meanwhile; so every call is answered once, and its number upstream is never used again.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::gateway::io::ConnId;
use crate::gateway::method::Method;
use crate::limits;
use crate::wire::Protocol;

/// Where the calls of one client leave.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Outlet {
    pub(in crate::gateway) leg: Reach,
    /// When a leg is tried next: after a while for its events alone, or after one has failed.
    pub(in crate::gateway) attempt: Option<Instant>,
    /// A leg has ended: its events were missed until there is another.
    pub(in crate::gateway) missed: bool,
    /// By their numbers upstream.
    calls: BTreeMap<u64, Call>,
    /// The last number that was used.
    last: u64,
    /// Bytes of params in `calls`.
    kept: usize,
    /// The slot of the leg that it had in a former process, until everybody is back.
    former: Option<u32>,
}

/// How far the leg of a client is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Reach {
    /// There is none.
    #[default]
    Nowhere,
    /// It is being opened.
    Underway(ConnId),
    /// Calls can be sent.
    Open(ConnId, Protocol),
}

/// A call that waits for the runtime.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Call {
    /// The client's id for it.
    pub(in crate::gateway) id: String,
    pub(in crate::gateway) method: &'static Method,
    /// The wire name, where the table has no row for it.
    pub(in crate::gateway) name: Option<Box<str>>,
    /// The params, if they may be needed once more; `None`: there are none, or they are not kept.
    pub(in crate::gateway) params: Option<Box<str>>,
    /// When it is answered if the runtime does not turn.
    pub(in crate::gateway) due: Instant,
    pub(in crate::gateway) progress: Progress,
}

/// What has become of a call. A stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::gateway) enum Progress {
    /// No runtime has seen it.
    Parked,
    /// It was sent: whether it was done is not known.
    Sent,
    /// It was sent, and its leg ended before the answer; the runtime knows a repetition.
    Unsure,
    /// The same, and it was sent once more.
    Again,
    /// The first of two answers has come.
    Accepted,
}

impl Progress {
    /// Whether the runtime has it and has not said a word about it.
    pub(in crate::gateway) fn is_sent(self) -> bool {
        matches!(self, Self::Sent | Self::Again)
    }
}

impl Reach {
    /// The leg.
    pub(in crate::gateway) fn leg(self) -> Option<ConnId> {
        match self {
            Self::Nowhere => None,
            Self::Underway(leg) | Self::Open(leg, _) => Some(leg),
        }
    }

    /// The leg and the runtime's protocol, if calls can be sent.
    pub(in crate::gateway) fn open(self) -> Option<(ConnId, Protocol)> {
        match self {
            Self::Open(leg, protocol) => Some((leg, protocol)),
            Self::Nowhere | Self::Underway(_) => None,
        }
    }
}

impl Outlet {
    /// The outlet of a member of a former process, without its calls.
    pub(in crate::gateway) fn of_former(last: u64, missed: bool, leg: Option<u32>) -> Self {
        Self { last, missed, former: leg, ..Self::default() }
    }

    /// The slot of the leg that it had in a former process.
    pub(in crate::gateway) fn former_leg(&self) -> Option<u32> {
        self.former
    }

    pub(in crate::gateway) fn forget_former(&mut self) {
        self.former = None;
    }

    /// Whether one more call may wait.
    pub(in crate::gateway) fn has_room(&self) -> bool {
        self.calls.len() < limits::CALLS_MAX
    }

    /// Whether so many bytes of params may be kept.
    pub(in crate::gateway) fn may_keep(&self, bytes: usize) -> bool {
        bytes <= limits::CALL_KEPT_BYTES_MAX
            && self.kept.saturating_add(bytes) <= limits::CALLS_KEPT_BYTES_MAX
    }

    /// Takes a call in and gives its number.
    pub(in crate::gateway) fn add(&mut self, call: Call) -> u64 {
        self.last += 1;
        self.kept += call.kept();
        self.calls.insert(self.last, call);
        self.last
    }

    /// The same for a call of a former process, under the number that it had.
    pub(in crate::gateway) fn restore(&mut self, number: u64, call: Call) {
        self.last = self.last.max(number);
        self.kept += call.kept();
        self.calls.insert(number, call);
    }

    /// A number that no call has.
    pub(in crate::gateway) fn skip(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// No number up to this one is given again.
    pub(in crate::gateway) fn skip_to(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    pub(in crate::gateway) fn take(&mut self, number: u64) -> Option<Call> {
        let call = self.calls.remove(&number)?;
        self.kept = self.kept.saturating_sub(call.kept());
        Some(call)
    }

    pub(in crate::gateway) fn get_mut(&mut self, number: u64) -> Option<&mut Call> {
        self.calls.get_mut(&number)
    }

    /// All calls, the oldest first.
    pub(in crate::gateway) fn iter(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.calls.iter().map(|(number, call)| (*number, call))
    }

    pub(in crate::gateway) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(in crate::gateway) fn last(&self) -> u64 {
        self.last
    }

    /// The numbers of the calls for which `which` holds, the oldest first.
    pub(in crate::gateway) fn numbers(&self, which: impl Fn(&Call) -> bool) -> Vec<u64> {
        self.iter().filter(|(_, call)| which(call)).map(|(number, _)| number).collect()
    }

    /// When something of it is due.
    pub(in crate::gateway) fn due(&self) -> Option<Instant> {
        self.calls.values().map(|call| call.due).chain(self.attempt).min()
    }
}

impl Call {
    fn kept(&self) -> usize {
        self.params.as_deref().map_or(0, str::len)
    }
}
