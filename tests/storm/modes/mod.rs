//! What each mode does, and the table at the end.

mod floods;
mod idle;
mod kills;
mod leak;
mod report;
mod restarts;
mod upgrades;

use std::time::Duration;

use crate::fates::{Fault, Law};
use crate::load::{Load, Until, Wish};
use crate::machine::Machine;
use crate::plan::{Mode, Plan};

pub use report::Report;

/// A machine, a load, and what is to be reported about them.
struct Stage {
    machine: Machine,
    load: Load,
    report: Report,
}

/// Does what the plan says.
pub fn run(plan: &Plan) -> Report {
    match plan.mode {
        Mode::Restarts => restarts::run(plan),
        Mode::Kills | Mode::Watchdog => kills::run(plan),
        Mode::Idle => idle::run(plan),
        Mode::Leak => leak::run(plan),
        Mode::Floods => floods::run(plan),
        Mode::Upgrades => upgrades::run(plan),
    }
}

impl Stage {
    /// Everybody is there and calls; the first restart is still to come.
    fn set(plan: &Plan, law: Law, change: impl FnOnce(&mut Wish)) -> Self {
        let mut machine = Machine::enter(plan.manager);
        machine.install();
        let mut wish = Wish::new(law, machine.target());
        (wish.steady, wish.idle, wish.visitors) = (plan.sessions, plan.idle, plan.visitors);
        if plan.sessions > 0 {
            wish.dawdlers = plan.visitors.div_ceil(2);
        }
        change(&mut wish);
        let mut stage = Self { machine, load: Load::start(wish, plan.seed), report: Report::new(plan) };
        stage.await_all(Until::Open, "all clients are there");
        stage
    }

    fn await_all(&mut self, until: Until, what: &str) {
        if !self.load.wait(until, PATIENCE) {
            self.report.fault(Fault::Surroundings, &format!("not within {PATIENCE:?}: {what}"));
        }
    }

    /// No more calls; what was asked is answered.
    fn calm(&mut self) {
        self.load.change(|wish| (wish.calling, wish.visitors, wish.dawdlers) = (false, 0, 0));
        self.await_all(Until::Calm, "every call is answered");
    }

    /// Every idle session calls once.
    fn ask_all_idle(&mut self) {
        self.load.ask_idle(usize::MAX);
        self.await_all(Until::Calm, "every idle session is answered");
    }

    fn check_units(&mut self) {
        if let Some(complaint) = self.machine.complaint() {
            self.report.fault(Fault::Surroundings, &complaint);
        }
    }

    /// The end: everybody calls once more, nobody is missing, the units are well.
    fn close(mut self) -> Report {
        self.calm();
        self.ask_all_idle();
        self.check_units();
        let Self { load, mut report, .. } = self;
        report.account(load.finish());
        report
    }

    /// Whether so much has gone wrong that more of it would tell nothing new.
    fn hopeless(&self) -> bool {
        self.load.faults() > FAULTS_MAX
    }
}

/// The longest that all clients together may take for anything.
const PATIENCE: Duration = Duration::from_secs(90);
const FAULTS_MAX: usize = 2_000;
