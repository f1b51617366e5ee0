//! Legs to the runtime over a planned restart, and the calls that wait on them: the runtime does not notice, and what it
//! answers meanwhile lies in the socket.
//!
//! Rule: a leg goes on with the member that it is for and to the runtime that is configured now, or not at all; a member
//! whose leg is gone is treated as if that had ended now. The names in here are a stored format.

use serde::{Deserialize, Serialize};

use crate::clock::{Epoch, Now};
use crate::gateway::io::ConnId;
use crate::gateway::method::{FALLBACK, Method};
use crate::gateway::upstream::leg::{Leg, Purpose, Stage};
use crate::gateway::upstream::outlet::{Call, Outlet, Progress, Reach};
use crate::gateway::upstream::runtime::Hello;
use crate::gateway::{Conn, Gateway};
use crate::session::{Held, Line, SavedLine};
use crate::wire::Protocol;

/// A leg. What it held comes behind, as it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegRecord {
    leg: SavedPurpose,
    /// `runtime.port` as it was.
    port: u16,
    protocol: Protocol,
    line: SavedLine,
    pub(super) held: [usize; 3],
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "kebab-case")]
enum SavedPurpose {
    Sentinel {
        hello: Hello,
    },
    Member {
        slot: u32,
        /// The last number that a call on it had: what is known of a member at rest may be older.
        #[serde(default)]
        last: u64,
    },
}

/// The calls of a member that wait for the runtime.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavedOutlet {
    /// The slot of its leg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leg: Option<u32>,
    /// The last number that was used.
    #[serde(default)]
    last: u64,
    #[serde(default)]
    missed: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    calls: Vec<SavedCall>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedCall {
    number: u64,
    id: String,
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<Box<str>>,
    /// Microseconds of the epoch.
    due: u64,
    progress: Progress,
}

impl SavedOutlet {
    /// Calls and leg as they stand.
    pub(super) fn of(outlet: &Outlet, epoch: &Epoch) -> Self {
        let calls = outlet.iter().map(|(number, call)| SavedCall {
            number,
            id: call.id.clone(),
            method: call.wire_name().to_owned(),
            params: call.params.clone(),
            due: epoch.micros(call.due),
            progress: call.progress,
        });
        Self {
            leg: outlet.leg.open().map(|(leg, _)| leg.slot),
            last: outlet.last(),
            missed: outlet.missed,
            calls: calls.collect(),
        }
    }

    /// Leaves the calls out: whoever is at rest has none.
    pub(super) fn without_calls(&mut self) {
        self.calls.clear();
    }

    /// The outlet, whose leg is looked for when everybody is back.
    pub(super) fn restore(self, epoch: &Epoch, now: Now) -> Outlet {
        let mut outlet = Outlet::of_former(self.last, self.missed, self.leg);
        for SavedCall { number, id, method, params, due, progress } in self.calls {
            let row = Method::find(&method);
            let name = (row.name == FALLBACK.name).then(|| method.into());
            let due = epoch.at(due).unwrap_or(now.mono);
            outlet.restore(number, Call { id, method: row, name, params, due, progress });
        }
        outlet
    }
}

/// What has to be known of a leg, and its bytes.
pub(super) fn of(leg: &Leg, gateway: &Gateway) -> Option<(LegRecord, Held)> {
    let Stage::Open(protocol) = leg.stage else { return None };
    let purpose = match leg.purpose {
        Purpose::Sentinel => SavedPurpose::Sentinel { hello: gateway.upstream.runtime.hello()?.clone() },
        Purpose::Member(member) => {
            let last = gateway.conns.get(member).and_then(Conn::member)?.outlet.last();
            SavedPurpose::Member { slot: member.slot, last }
        }
    };
    let port = gateway.setup.settings.runtime_port?;
    let (line, held) = leg.line.save()?;
    let lengths = [held.rx.len(), held.tx.len(), held.fragments.len()];
    Some((LegRecord { leg: purpose, port, protocol, line, held: lengths }, held))
}

impl Gateway {
    /// Goes on with a leg in the slot that it had; with one to another port only for a close.
    pub(super) fn resume_leg(
        &mut self,
        slot: u32,
        record: LegRecord,
        held: Held,
        now: Now,
    ) -> Result<ConnId, String> {
        let line = Line::restore(&record.line, held)?;
        let purpose = match &record.leg {
            SavedPurpose::Sentinel { .. } => Purpose::Sentinel,
            SavedPurpose::Member { slot, .. } => Purpose::Member(ConnId { slot: *slot, generation: 0 }),
        };
        let last = if let SavedPurpose::Member { last, .. } = record.leg { last } else { 0 };
        let leg = Leg {
            line,
            stage: Stage::Open(record.protocol),
            limit: None,
            last,
            ..Leg::new(purpose, now.mono)
        };
        let id = self.conns.restore_leg(slot, |_| leg).ok_or_else(|| format!("slot {slot} is taken"))?;
        self.upstream.take_over_leg();
        if self.setup.settings.runtime_port != Some(record.port) {
            self.close_leg(id, now);
        } else if let SavedPurpose::Sentinel { hello } = record.leg {
            self.upstream.runtime.ready(id, hello, now.mono);
            self.features = self.make_features();
        }
        self.settle_leg(id);
        Ok(id)
    }

    /// Everybody is back: members find their legs, and what has neither is ended.
    pub(super) fn join_legs(&mut self, now: Now) {
        let legs: Vec<(ConnId, Purpose, Stage, u64)> =
            self.conns.legs().map(|(id, leg)| (id, leg.purpose, leg.stage, leg.last)).collect();
        for (id, purpose, stage, last) in legs {
            let (Purpose::Member(member), Stage::Open(protocol)) = (purpose, stage) else { continue };
            let found = self.conns.get_mut(member).and_then(Conn::member_mut);
            match found.filter(|member| member.outlet.former_leg() == Some(id.slot)) {
                Some(member) => {
                    member.outlet.leg = Reach::Open(id, protocol);
                    member.outlet.skip_to(last);
                }
                None => self.close_leg(id, now),
            }
        }
        let configured = self.setup.settings.runtime_port.is_some();
        for id in self.conns.ids() {
            let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { continue };
            let lost = member.outlet.former_leg().is_some() && member.outlet.leg == Reach::Nowhere;
            member.outlet.forget_former();
            let waiting = member.outlet.len();
            member.owed += u32::try_from(waiting).unwrap_or(u32::MAX);
            let open = member.outlet.leg.open().is_some();
            // It may have had one of which its record did not say: then it has missed what that told.
            member.outlet.missed |= !open && configured;
            self.upstream.runtime.count(waiting, 0, now.mono);
            if lost {
                self.member_leg_lost(id, now);
            } else if !open {
                self.expect_leg(id, now);
            }
            self.settle(id);
        }
    }
}
