//! The manual and the README say what the tables say: every row of every table stands there, and nothing stands there
//! that no table has.
//!
//! Rule: what a page repeats is compared; what it explains is prose and nobody's business here.
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
#![cfg(all(feature = "daemon", feature = "cli"))]

mod daemon;
mod journal;
mod line;
mod package;
mod page;
mod readme;
mod settings;
mod source;
