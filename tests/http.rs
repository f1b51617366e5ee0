//! HTTP through the real binary to a stand-in for the runtime, which does on command what a real one does not: huge
//! bodies, slow ones, an end in the middle, none at all. Tests named `sNN_…` hold the row of that number in the list of
//! attacks.
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
#![cfg(feature = "daemon")]

#[path = "http/away.rs"]
mod away;
#[path = "http/bodies.rs"]
mod bodies;
mod common;
#[path = "http/doors.rs"]
mod doors;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod live;
#[allow(dead_code, reason = "each test file uses its part of it")]
#[path = "daemon/rig.rs"]
mod rig;
#[path = "http/runtime.rs"]
mod runtime;
#[path = "security/stranger.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod stranger;
