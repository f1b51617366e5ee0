//! What the clients see of a restart: the real daemon over real sockets, with the test in the service manager's place.
//!
//! The same with real units and a booted machine is in `tests/machine`.
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

#[path = "handover/chance.rs"]
mod chance;
mod common;
#[path = "handover/former.rs"]
mod former;
#[path = "handover/kit.rs"]
mod kit;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod live;
#[path = "handover/manager.rs"]
mod manager;
#[path = "handover/midway.rs"]
mod midway;
#[path = "handover/rest.rs"]
mod rest;
#[allow(dead_code, reason = "each test file uses its part of it")]
#[path = "daemon/rig.rs"]
mod rig;
#[path = "handover/swift.rs"]
mod swift;
