//! The table at the end.

use std::fmt::Write as _;

use crate::fates::{Fault, Tally};
use crate::load::Account;
use crate::plan::{Manager, Plan};

/// What was seen, and what was wrong.
pub struct Report {
    plan: Plan,
    rows: Vec<(String, String)>,
    tally: Tally,
}

impl Report {
    pub fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), rows: Vec::new(), tally: Tally::default() }
    }

    pub fn title(&self) -> String {
        let manager = match self.plan.manager {
            Manager::System => "system manager",
            Manager::User => "user manager",
            Manager::Template => "system manager for a user",
        };
        format!("storm, {manager}, seed {}:", self.plan.seed)
    }

    pub fn row(&mut self, name: &str, value: impl ToString) {
        self.rows.push((name.to_owned(), value.to_string()));
    }

    /// Something that is not a client's fate is not as it should be.
    pub fn fault(&mut self, fault: Fault, what: &str) {
        self.tally.fault(fault, || what.to_owned());
    }

    pub fn faults(&self) -> usize {
        self.tally.wrong()
    }

    /// What the load has seen.
    pub fn account(&mut self, account: Account) {
        let Account { tally, opened, answered, events, visits } = account;
        for (part, count) in opened {
            self.row(&format!("admitted, {part:?}"), count);
        }
        self.row("calls answered, events heard, visits", format!("{answered}, {events}, {visits}"));
        for ((part, inside), count) in &tally.inside {
            self.row(&format!("ended for the blow, {part:?}, inside: {inside:?}"), count);
        }
        if !tally.turn_max.is_zero() {
            self.row("longest from an answer to a blow that ended it", crate::meter::show(tally.turn_max));
        }
        for (fault, (count, story)) in tally.faults {
            self.tally.faults.entry(fault).or_insert((0, story)).0 += count;
        }
    }

    pub fn table(&self) -> String {
        let mut text = format!("\n{} {:?}\n", self.title(), self.plan.mode);
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in &self.rows {
            writeln!(text, "  {name:width$}  {value}").expect("a string takes all");
        }
        for (fault, (count, story)) in &self.tally.faults {
            writeln!(text, "  FAULT {fault:?}: {count}, the first of them: {story}")
                .expect("a string takes all");
        }
        let verdict = if self.faults() == 0 { "everything holds" } else { "IT DOES NOT HOLD" };
        writeln!(text, "  {verdict}").expect("a string takes all");
        text
    }
}
