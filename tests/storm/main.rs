//! The storm: many clients at once while the gateway is restarted, killed, frozen or flooded, and an account of the
//! fate of every one of them. It runs in the network of a booted machine; `tests/machine/storm` sets it up.
//!
//! Rule: the load never asks the daemon how it is; it believes what a client sees. What a mode does stands in a file of
//! its own under `modes`; whether it held is decided in `fates` alone.
#![cfg(feature = "daemon")]
#![allow(
    clippy::duration_suboptimal_units,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::ok_expect,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a panic is how a test fails, and nobody calls a test"
)]

#[path = "../common/mod.rs"]
mod common;
mod fates;
mod frames;
#[path = "../common/live.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod live;
mod load;
mod machine;
mod meter;
mod modes;
mod peer;
mod plan;
mod profile;
#[path = "../daemon/rig.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod rig;
mod socket;
mod talk;

use std::io::Write as _;

use plan::Plan;

/// Everything that a mode does, as `LOOPGATE_STORM` says.
#[test]
#[ignore = "needs a booted machine: run tests/machine/storm"]
fn storm() {
    let words = std::env::var(plan::VARIABLE).expect("tests/machine/storm says what to do");
    let plan = Plan::parse(&words).unwrap_or_else(|problem| panic!("{}: {problem}", plan::VARIABLE));
    let report = modes::run(&plan);
    tell(&report.table());
    assert!(report.faults() == 0, "{} mode {:?}: {} faults", report.title(), plan.mode, report.faults());
}

/// Past the capture of the test harness: numbers are for whoever runs this.
fn tell(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("standard output");
}
