//! The verdicts of `policy`, from outside. Tests named `sNN_…` hold the row of that number in the list of attacks.
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

#[path = "policy/admission.rs"]
mod admission;
#[path = "policy/credential.rs"]
mod credential;
#[path = "policy/device.rs"]
mod device;
#[path = "policy/kit.rs"]
mod kit;
#[path = "policy/origin.rs"]
mod origin;
#[path = "policy/passage.rs"]
mod passage;
#[path = "policy/penalty.rs"]
mod penalty;
#[path = "policy/product.rs"]
mod product;
#[path = "policy/recheck.rs"]
mod recheck;
#[path = "policy/saved.rs"]
mod saved;
