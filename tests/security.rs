//! The attacks of the project's security table, each under its number, against the real daemon over real sockets.
//!
//! Some rows are not here:
//! - S22 (no long-lived secret in a setup code): loopgate makes none; its codes are OpenClaw's.
//! - S33, S34, S35 (units, signals to others, discovery) are held by reading: nothing of a user's goes into a unit,
//!   nobody is signalled, nothing is announced.
//! - S36 (forged activation) is `tests/daemon/activation.rs`.
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

mod common;
#[path = "security/doors.rs"]
mod doors;
#[path = "security/floods.rs"]
mod floods;
#[path = "security/grants.rs"]
mod grants;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod live;
#[path = "security/made.rs"]
mod made;
#[path = "security/pairing.rs"]
mod pairing;
#[path = "security/parked.rs"]
mod parked;
#[path = "security/readmitted.rs"]
mod readmitted;
#[path = "security/restored.rs"]
mod restored;
#[allow(dead_code, reason = "each test file uses its part of it")]
#[path = "daemon/rig.rs"]
mod rig;
#[path = "security/secrets.rs"]
mod secrets;
#[path = "security/stranger.rs"]
mod stranger;
#[path = "security/upstream.rs"]
mod upstream;
