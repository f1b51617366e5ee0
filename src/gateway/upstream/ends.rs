//! The end of a leg, and what it means for whoever waited for it.

use super::leg::{Purpose, Stage};
use super::outlet::{Call, Outlet, Progress, Reach};
use super::runtime::Condition;
use crate::clock::Now;
use crate::gateway::io::{ConnId, Output};
use crate::gateway::{Conn, Gateway};
use crate::journal::Kind;
use crate::limits;
use crate::wire::error::ErrorShape;

/// Why a leg is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The connection ended, or never came about.
    Gone,
    /// The runtime is not ready yet.
    Starting,
    /// It must not, or does not want to, serve us.
    Refused(String),
    /// We are not allowed to connect to it.
    Barred(String),
}

impl Gateway {
    /// A leg is over: whoever waited for it hears so, or waits for another.
    pub(super) fn leg_over(&mut self, id: ConnId, over: Over, now: Now) {
        let Some(leg) = self.conns.remove_leg(id) else { return };
        self.upstream.legs = self.upstream.legs.saturating_sub(1);
        if leg.is_opening() {
            self.upstream.opening = self.upstream.opening.saturating_sub(1);
        }
        if let Some(due) = leg.due {
            self.deadlines.remove(&(due, id));
        }
        self.outputs.push_back(Output::Close(id));
        if leg.stage == Stage::Closing {
            return;
        }
        match leg.purpose {
            Purpose::Sentinel => self.sentinel_over(over, now),
            Purpose::Member(member) => self.member_leg_over(member, &over, now),
        }
    }

    fn sentinel_over(&mut self, over: Over, now: Now) {
        let before = self.upstream.runtime.condition();
        let refusal =
            if matches!(over, Over::Barred(_)) { Kind::RuntimeBarred } else { Kind::RuntimeRefuses };
        let cause = match over {
            Over::Gone => {
                self.upstream.runtime.gone(now.mono);
                None
            }
            Over::Starting => {
                self.upstream.runtime.starting(now.mono);
                None
            }
            Over::Refused(why) | Over::Barred(why) => {
                self.upstream.runtime.refusing(why.clone(), now.mono);
                Some(why)
            }
        };
        let after = self.upstream.runtime.condition();
        if before != after {
            let kind = if after == Condition::Refusing { refusal } else { Kind::RuntimeAway };
            // At the start it is away until it has been tried.
            if before != Condition::Away || after == Condition::Refusing {
                self.note_runtime(kind, cause, now);
            }
            for id in self.conns.ids() {
                self.rescue_unseen(id, now);
                self.give_up_unsure(id, now);
            }
        }
    }

    /// A member's leg did not outlive a restart of ours.
    pub(in crate::gateway) fn member_leg_lost(&mut self, id: ConnId, now: Now) {
        self.member_leg_over(id, &Over::Gone, now);
    }

    fn member_leg_over(&mut self, id: ConnId, over: &Over, now: Now) {
        self.set_reach(id, Reach::Nowhere);
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        member.outlet.missed = true;
        let refused = matches!(over, Over::Refused(_) | Over::Barred(_));
        let pause = if refused { limits::RUNTIME_REFUSED_RETRY } else { limits::RUNTIME_RETRY };
        member.outlet.attempt = Some(now.mono + pause);
        for number in member.outlet.numbers(|_| true) {
            self.settle_call(id, number, over, now);
        }
        self.settle(id);
    }

    /// What becomes of a call whose leg is over.
    fn settle_call(&mut self, id: ConnId, number: u64, over: &Over, now: Now) {
        let ready = self.upstream.runtime.condition() == Condition::Ready;
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        let Some(call) = member.outlet.get_mut(number) else { return };
        if call.may_be_read_here() {
            return self.rescue_one(id, number, now);
        }
        if let Over::Refused(why) | Over::Barred(why) = over {
            let error = ErrorShape::unavailable(format!(
                "{}: the OpenClaw runtime refuses this client: {why}",
                call.wire_name()
            ));
            if let Some(call) = self.take_call(id, number, now) {
                self.respond(id, &call.id, Err(error), now);
            }
            return;
        }
        match call.progress {
            Progress::Parked => {}
            // The runtime tells a repetition by its key, as long as it lives: what it has seen is forgotten with its process.
            Progress::Sent if call.has_key() && *over == Over::Gone && ready => {
                call.progress = Progress::Unsure;
                call.due = now.mono + limits::CALL_WAIT;
            }
            // What has ended its leg twice is not tried on a third.
            Progress::Sent | Progress::Unsure | Progress::Again | Progress::Accepted => {
                if let Some(call) = self.take_call(id, number, now) {
                    let error = self.died_error(&call, now);
                    self.respond(id, &call.id, Err(error), now);
                }
            }
        }
    }

    /// The runtime's process may be another when it is there again: it would do once more what it was asked before.
    fn give_up_unsure(&mut self, id: ConnId, now: Now) {
        let Some(member) = self.conns.get(id).and_then(Conn::member) else { return };
        for number in member.outlet.numbers(|call| call.progress == Progress::Unsure) {
            if let Some(call) = self.take_call(id, number, now) {
                let error = self.died_error(&call, now);
                self.respond(id, &call.id, Err(error), now);
            }
        }
    }

    fn rescue_one(&mut self, id: ConnId, number: u64, now: Now) {
        if let Some(call) = self.take_call(id, number, now) {
            if !self.answer_again(id, &call, now) {
                self.answer_here(id, &call, now);
            }
        }
    }

    /// The error for a call that was with the runtime when its leg ended.
    fn died_error(&self, call: &Call, now: Now) -> ErrorShape {
        let what = match call.progress {
            Progress::Accepted => "it was accepted, and what came of it is not known",
            _ => "it may have been executed, look before you repeat it",
        };
        let message = format!(
            "{}: the OpenClaw runtime ended the connection before it answered; {what}",
            call.wire_name()
        );
        ErrorShape::busy(message, crate::clock::millis(self.upstream.runtime.retry_after(now.mono)))
    }

    /// A member is gone: so is its leg.
    pub(in crate::gateway) fn let_go_upstream(&mut self, outlet: &Outlet, now: Now) {
        self.upstream.runtime.count(0, outlet.len(), now.mono);
        if let Some(leg) = outlet.leg.leg() {
            self.close_leg(leg, now);
        }
    }

    /// Ends a leg in good order.
    pub(in crate::gateway) fn close_leg(&mut self, id: ConnId, now: Now) {
        let Some(leg) = self.conns.leg_mut(id) else { return };
        match leg.stage {
            Stage::Closing => return,
            Stage::Dialling | Stage::Asking => return self.leg_over(id, Over::Gone, now),
            Stage::Connecting => self.upstream.opening = self.upstream.opening.saturating_sub(1),
            Stage::Open(_) => {}
        }
        leg.line.close();
        leg.stage = Stage::Closing;
        leg.limit = Some(now.mono + limits::LEG_CLOSING);
        self.settle_leg(id);
    }

    /// The service stops: all legs end.
    pub(in crate::gateway) fn close_legs(&mut self, now: Now) {
        let legs: Vec<ConnId> = self.conns.legs().map(|(id, _)| id).collect();
        for leg in legs {
            self.close_leg(leg, now);
        }
    }

    /// The legs that could go on in another process as they stand.
    pub fn legs_underway(&self) -> Vec<ConnId> {
        self.conns.legs().filter(|(_, leg)| matches!(leg.stage, Stage::Open(_))).map(|(id, _)| id).collect()
    }

    /// The deadline of a leg has passed.
    pub(in crate::gateway) fn expire_leg(&mut self, id: ConnId, now: Now) {
        let Some(leg) = self.conns.leg(id) else { return };
        if leg.limit.is_some_and(|limit| limit <= now.mono) {
            self.leg_over(id, Over::Gone, now);
        }
    }
}
