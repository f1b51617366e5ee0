//! What must hold after every step, whatever happened before. The simulation asks after each one.

use std::collections::{BTreeMap, BTreeSet};

use super::dispatch::Waiting;
use super::io::ConnId;
use super::saves::Then;
use super::{Conn, Gateway, Stage};
use crate::limits;
use crate::session::Phase;

impl Gateway {
    /// Looks at everything that is kept in more than one place.
    ///
    /// # Errors
    /// The first contradiction, in words.
    pub fn check(&self) -> Result<(), String> {
        self.check_stages()?;
        self.check_deadlines()?;
        self.check_presence()?;
        self.check_debts()?;
        self.check_bounds()
    }

    fn check_stages(&self) -> Result<(), String> {
        let mut arriving = 0;
        for (id, conn) in self.conns.iter() {
            let (phase, stage) = (conn.session.phase(), &conn.stage);
            let fits = match stage {
                Stage::Arriving => matches!(phase, Phase::Accept | Phase::Head | Phase::Closing),
                Stage::Challenged(_) => phase == Phase::Connect,
                Stage::Deciding(_) => phase == Phase::Verdict,
                Stage::Member(_) => phase == Phase::Open,
                Stage::Relaying(relaying) => {
                    phase == Phase::Relay && self.conns.pipe(relaying.pipe).is_some()
                }
                Stage::Leaving => matches!(phase, Phase::Closing | Phase::Closed),
            };
            // The peer's close is seen by the session first and by us with its next happening.
            if !fits && !matches!(phase, Phase::Closing | Phase::Closed) {
                return Err(format!("{id:?} is in phase {} and another stage", phase.name()));
            }
            arriving +=
                usize::from(matches!(stage, Stage::Arriving | Stage::Challenged(_) | Stage::Deciding(_)));
        }
        if arriving != self.arriving {
            return Err(format!("{arriving} connections arrive and {} are counted", self.arriving));
        }
        Ok(())
    }

    fn check_deadlines(&self) -> Result<(), String> {
        let kept: BTreeSet<_> = self.conns.iter().filter_map(|(id, conn)| Some((conn.due?, id))).collect();
        let legs = self.conns.legs().filter_map(|(id, leg)| Some((leg.due?, id)));
        let kept: BTreeSet<_> = kept.into_iter().chain(legs).collect();
        if kept != self.deadlines {
            return Err("the deadlines of the connections are not those that are kept".to_owned());
        }
        for (id, conn) in self.conns.iter() {
            // What speaks another protocol through us may be silent for as long as it likes.
            if conn.due.is_none() && !matches!(conn.session.phase(), Phase::Closed | Phase::Relay) {
                return Err(format!(
                    "{id:?} waits in phase {} without a deadline",
                    conn.session.phase().name()
                ));
            }
        }
        Ok(())
    }

    /// Behind every line of the presence list are as many members as it says.
    fn check_presence(&self) -> Result<(), String> {
        let mut holders: BTreeMap<&str, u32> = BTreeMap::new();
        for member in self.conns.iter().filter_map(|(_, conn)| conn.member()) {
            if let Some(key) = member.presence_key.as_deref() {
                *holders.entry(key).or_default() += 1;
            }
        }
        for (key, entry) in self.presence.export().1 {
            let found = holders.get(key.as_str()).copied().unwrap_or_default();
            if entry.holders != found {
                return Err(format!(
                    "{found} members are listed as {key:?} and {} are counted",
                    entry.holders
                ));
            }
        }
        Ok(())
    }

    /// Every call that is not answered is somewhere from where its answer will come.
    fn check_debts(&self) -> Result<(), String> {
        let calls = self.jobs.values().filter_map(|waiting| match waiting {
            Waiting::Call(call) => Some(call.conn),
            Waiting::Bootstrap(_) | Waiting::Health | Waiting::Pairings => None,
        });
        let changes = self.saves.iter().filter_map(|(_, then)| match then {
            Then::Answer { conn, .. } => Some(*conn),
            _ => None,
        });
        let invocations = self.nodes.invocations().map(|call| call.caller);
        let mut owed: BTreeMap<ConnId, u32> = BTreeMap::new();
        let upstream = self.conns.iter().filter_map(|(id, conn)| Some((id, conn.member()?)));
        let upstream = upstream.flat_map(|(id, member)| std::iter::repeat_n(id, member.outlet.len()));
        for conn in calls.chain(changes).chain(invocations).chain(self.health.waiting()).chain(upstream) {
            *owed.entry(conn).or_default() += 1;
        }
        for (id, member) in self.conns.iter().filter_map(|(id, conn)| Some((id, Conn::member(conn)?))) {
            let found = owed.get(&id).copied().unwrap_or_default();
            if member.owed != found {
                return Err(format!("{found} answers to {id:?} will come and {} are owed", member.owed));
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), String> {
        let most =
            self.setup.settings.tx_queue_bytes + limits::MESSAGE_BYTES_MAX + limits::TX_DROPPABLE_BYTES_MAX;
        for (id, conn) in self.conns.iter() {
            if conn.session.unsent() > most {
                return Err(format!("{id:?} has {} unsent bytes", conn.session.unsent()));
            }
        }
        if self.jobs.len() > limits::JOBS_PENDING_MAX {
            return Err(format!("{} jobs wait", self.jobs.len()));
        }
        Ok(())
    }
}
