//! `doctor`: what keeps clients from the gateway, and the commands that mend it.
//!
//! Rule: doctor changes nothing, asks nobody twice and shows no secret. `facts` look at the machine, a check is a pure
//! function from facts to findings, [`CHECKS`] is the one list of them.

mod check;
pub(super) mod facts;
mod finding;
mod report;

use clap::builder::{PossibleValue, PossibleValuesParser};

pub use check::{CHECKS, Check};

use super::args::Global;
use super::command::Form;
use super::exit::Exit;
use super::failure::Failure;
use facts::Machine;
pub(super) use finding::quote;
use finding::{Level, Outcome};

/// The names that the command line takes, each with its sentence.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(CHECKS.iter().map(|check| PossibleValue::new(check.name).help(check.sentence)))
}

/// `loopgate doctor [CHECK]...`. The text, and the status to end with.
pub(super) fn run(chosen: &[String], global: &Global, form: Form) -> Result<(String, Exit), Failure> {
    if global.names_a_way() {
        return Err(Failure::usage("doctor looks for every way to the gateway itself")
            .next("loopgate doctor, without --socket, --url and secrets"));
    }
    let machine = Machine::new();
    let wanted = |check: &&Check| chosen.is_empty() || chosen.iter().any(|name| name == check.name);
    let outcomes: Vec<(&str, Outcome)> =
        CHECKS.iter().filter(wanted).map(|check| (check.name, (check.look)(&machine))).collect();
    let faults: usize = outcomes.iter().map(|(_, outcome)| outcome.count(Level::Fault)).sum();
    let exit = if faults == 0 { Exit::Ok } else { Exit::Answer };
    Ok((report::show(&outcomes, form), exit))
}
