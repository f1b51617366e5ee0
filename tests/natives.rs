//! The native read methods against a state folder in memory: what is there, what is missing, what is broken, for both
//! protocols, and every bound from both sides.
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

#[path = "natives/world.rs"]
mod world;

#[path = "natives/agents.rs"]
mod agents;
#[path = "natives/chat.rs"]
mod chat;
#[path = "natives/cron.rs"]
mod cron;
#[path = "natives/health.rs"]
mod health;
#[path = "natives/idle.rs"]
mod idle;
#[path = "natives/logs.rs"]
mod logs;
#[path = "natives/sessions.rs"]
mod sessions;
