//! The one table of events: name, need, source. What may not be asked for is not heard either: events are gated by the
//! same function as methods.

use crate::policy::scope::{Need, Scopes};

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// The wire name.
    pub name: &'static str,
    /// What a connection must hold to hear it.
    pub need: Need,
    /// Where it comes from.
    pub source: Source,
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This gateway.
    Native,
    /// The OpenClaw runtime.
    Upstream,
    /// The OpenClaw runtime where a client has a leg to it, else this gateway.
    UpstreamElseNative,
    /// Both, each of its own calls.
    Both,
}

impl Event {
    /// The row of `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        EVENTS.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|index| EVENTS.get(index))
    }
}

impl Source {
    /// The name in `--dump=events` and in the man page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Upstream => "upstream",
            Self::UpstreamElseNative => "upstream-else-native",
            Self::Both => "both",
        }
    }
}

const fn native(name: &'static str, need: Need) -> Event {
    Event { name, need, source: Source::Native }
}

const fn upstream(name: &'static str, need: Need) -> Event {
    Event { name, need, source: Source::Upstream }
}

const fn shared(name: &'static str, need: Need) -> Event {
    Event { name, need, source: Source::UpstreamElseNative }
}

const NOTHING: Need = Need::Nothing;
const NODE: Need = Need::Node;
const READ: Need = Need::Scope(Scopes::READ);
const APPROVALS: Need = Need::Scope(Scopes::APPROVALS);
const PAIRING: Need = Need::Scope(Scopes::PAIRING);
const QUESTIONS: Need = Need::Scope(Scopes::QUESTIONS);
const ADMIN: Need = Need::Scope(Scopes::ADMIN);

/// All events that any supported version knows, sorted by name. OpenClaw 2026.3.13 sends `presence`, `health`, `chat`
/// and `cron` to everybody; here they need read.
pub const EVENTS: &[Event] = &[
    upstream("agent", READ),
    upstream("board.changed", READ),
    upstream("board.command", READ),
    upstream("chat", READ),
    upstream("chat.metadata.changed", READ),
    upstream("chat.send_timing", READ),
    upstream("chat.side_result", READ),
    upstream("config.changed", READ),
    native("connect.challenge", NOTHING),
    upstream("controlUi.sessionPullRequests.changed", READ),
    upstream("cron", READ),
    native("device.pair.changed", PAIRING),
    native("device.pair.requested", PAIRING),
    native("device.pair.resolved", PAIRING),
    upstream("device.pair.setup.completed", PAIRING),
    upstream("device.pair.setup.deliveryUncertain", PAIRING),
    upstream("exec.approval.requested", APPROVALS),
    upstream("exec.approval.resolved", APPROVALS),
    upstream("gateway.suspension", READ),
    shared("health", READ),
    upstream("heartbeat", READ),
    upstream("mentions.changed", READ),
    upstream("models.snapshot", READ),
    upstream("node.hostStats", READ),
    upstream("node.invoke.cancel", NODE),
    upstream("node.invoke.input", NODE),
    Event { name: "node.invoke.request", need: NODE, source: Source::Both },
    native("node.pair.requested", PAIRING),
    native("node.pair.resolved", PAIRING),
    upstream("node.presence", READ),
    upstream("node.runnerInventory.changed", READ),
    upstream("openclaw.approval.requested", APPROVALS),
    upstream("openclaw.approval.resolved", APPROVALS),
    upstream("plugin.approval.requested", APPROVALS),
    upstream("plugin.approval.resolved", APPROVALS),
    upstream("plugins.changed", READ),
    upstream("plugins.controlUi.changed", READ),
    upstream("plugins.install.progress", READ),
    upstream("portal.changed", READ),
    native("presence", READ),
    upstream("progressCard.changed", READ),
    upstream("question.requested", QUESTIONS),
    upstream("question.resolved", QUESTIONS),
    upstream("session.approval", APPROVALS),
    upstream("session.message", READ),
    upstream("session.observer", READ),
    upstream("session.operation", READ),
    upstream("session.sharing", READ),
    upstream("session.sharing.evidence", READ),
    upstream("session.suggestion", READ),
    upstream("session.tool", READ),
    upstream("session.typing", READ),
    upstream("sessions.catalog.host", READ),
    upstream("sessions.changed", READ),
    native("shutdown", NOTHING),
    upstream("skills.changed", READ),
    upstream("talk.event", READ),
    upstream("talk.mode", READ),
    upstream("talk.voice.change", READ),
    upstream("task", READ),
    upstream("task.suggestion", READ),
    upstream("terminal.data", ADMIN),
    upstream("terminal.exit", ADMIN),
    native("tick", NOTHING),
    upstream("ui.command", READ),
    upstream("update.available", READ),
    upstream("update.run.changed", READ),
    upstream("users.prefs.changed", READ),
    upstream("voicewake.changed", READ),
    upstream("voicewake.routing.changed", READ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_row_is_found() {
        for pair in EVENTS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
        }
        for row in EVENTS {
            assert_eq!(Event::find(row.name).map(|found| found.name), Some(row.name));
        }
        assert!(Event::find("no.such.event").is_none());
    }
}
