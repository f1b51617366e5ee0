//! The real binary under hand-made socket activation: what it takes, what it refuses, what it tells the manager, and
//! how it ends. Everything goes over loopback, on ports of the kernel's choice, with a home of its own.
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

#[path = "daemon/activation.rs"]
mod activation;
#[path = "daemon/life.rs"]
mod life;
#[path = "daemon/peers.rs"]
mod peers;
#[path = "daemon/pressure.rs"]
mod pressure;
#[path = "daemon/rig.rs"]
mod rig;
