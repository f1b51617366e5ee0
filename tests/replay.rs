//! Conversations of real clients, recorded, replayed on the production core: what worked there works here, and an
//! answer has at least what the clients saw in it.
//!
//! `tests/data/conversations/VERSION/COMMAND.json` holds what one command, page or node host of that OpenClaw version
//! sent, in order, and the essence of what its own gateway answered. Only the device proofs are made anew, for they
//! cover the nonce. Where loopgate answers otherwise on purpose, `replay/differences.rs` says so and why; a difference
//! that is gone must be taken out of it.
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
#[path = "replay/differences.rs"]
mod differences;
#[path = "replay/player.rs"]
mod player;
#[path = "replay/script.rs"]
mod script;
#[path = "replay/shape.rs"]
mod shape;

use player::Player;
use script::Conversation;

#[test]
fn clients_of_protocol_3_hear_what_they_expect() {
    replay("2026.3.13", 45);
}

#[test]
fn clients_of_protocol_4_hear_what_they_expect() {
    replay("2026.9.6", 50);
}

/// Every conversation of a version; at least `least` of them, or something was lost.
fn replay(version: &str, least: usize) {
    let conversations = Conversation::all(version);
    assert!(conversations.len() >= least, "{} conversations", conversations.len());
    let mut complaints = Vec::new();
    let mut used = Vec::new();
    for conversation in &conversations {
        let mut player = Player::new(conversation);
        player.play();
        used.append(&mut player.used);
        complaints.extend(player.complaints.into_iter().map(|text| format!("{}: {text}", conversation.name)));
    }
    complaints.extend(differences::unmet(version, &used));
    assert!(complaints.is_empty(), "{version}: {} complaints\n{}", complaints.len(), complaints.join("\n"));
}
