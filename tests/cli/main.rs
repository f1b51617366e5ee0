//! The real `loopgate` against a gateway made of scripts: what it sends, what it makes of every kind of answer, when
//! it tries again, and how it ends.
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
#![cfg(feature = "cli")]

mod doctor;
mod endings;
mod moving;
mod retries;
mod sends;
mod shows;
mod support;
