//! Calls and events between clients and a runtime that a test plays: the production gateway with `runtime.port` set,
//! without a machine.
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

#[path = "upstream/away.rs"]
mod away;
#[path = "upstream/bench.rs"]
mod bench;
#[path = "upstream/bounds.rs"]
mod bounds;
#[path = "upstream/calls.rs"]
mod calls;
mod common;
#[path = "upstream/ends.rs"]
mod ends;
#[path = "upstream/events.rs"]
mod events;
#[path = "upstream/opening.rs"]
mod opening;
#[path = "upstream/restart.rs"]
mod restart;
#[path = "common/runtime.rs"]
mod runtime;
