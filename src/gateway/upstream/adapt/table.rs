//! The one table of what differs between the protocols on the way to the runtime and back, each with its reason.

use serde_json::value::RawValue;

use super::{Members, agent_of, text};
use crate::wire::frame;

/// The params of protocol 4 that a call of it can do without at a runtime of protocol 3, which would refuse the call.
pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) removals: &'static [Removal],
}

/// When a param is taken away.
pub(super) enum Removal {
    /// Whatever it says.
    Always(&'static str),
    /// If it says one of these, as JSON: what the runtime does anyway.
    If(&'static str, &'static [&'static str]),
    /// `agentId`, if the key of the session in this param names the same agent.
    AgentOf(&'static str),
}

/// A member of an answer that clients of protocol 4 cannot do without, and runtimes of protocol 3 do not tell.
pub(super) struct Addition {
    pub(super) method: &'static str,
    pub(super) member: &'static str,
    /// Made of the rest of the answer; `None` if it cannot be.
    pub(super) value: fn(&Members<'_>) -> Option<Box<RawValue>>,
}

/// What is taken away from the params of `method`.
pub(super) fn removals(method: &str) -> Option<&'static [Removal]> {
    let at = REMOVALS.binary_search_by(|row| row.method.cmp(method)).ok()?;
    REMOVALS.get(at).map(|row| row.removals)
}

use Removal::{AgentOf, Always, If};

/// Sorted by method. Seen at 2026.3.13: "invalid cron.list params: at root: unexpected property 'compact'".
pub(super) const REMOVALS: &[Row] = &[
    // all channels are told, each under its name
    Row { method: "channels.status", removals: &[Always("channel")] },
    // the key names the agent; there are no side runs
    Row { method: "chat.abort", removals: &[AgentOf("sessionKey"), Always("preserveSideRuns")] },
    // bounds of its own hold, and no turn waits elsewhere; a later page, though, would be the first one again
    Row {
        method: "chat.history",
        removals: &[
            AgentOf("sessionKey"),
            If("offset", ZERO),
            Always("inputRunIds"),
            Always("maxBytes"),
            Always("maxChars"),
        ],
    },
    // the key names the agent
    Row { method: "chat.inject", removals: &[AgentOf("sessionKey")] },
    // a session has one transcript without branches, which its key names
    Row {
        method: "chat.send",
        removals: &[
            AgentOf("sessionKey"),
            Always("__controlUiReconnectResume"),
            Always("expectedLeafEntryId"),
            Always("sessionId"),
        ],
    },
    // the session's own route is told of the restart
    Row { method: "config.apply", removals: &[Always("deliveryContext")] },
    // as config.apply; lists are merged, so one that is to be replaced is not sent
    Row { method: "config.patch", removals: &[Always("deliveryContext"), If("replacePaths", EMPTY)] },
    // whole jobs are told, each with its agent, and no job has a trigger
    Row {
        method: "cron.list",
        removals: &[
            Always("agentId"),
            Always("compact"),
            Always("includeDeliveryPreviews"),
            If("lastRunStatus", ALL),
            If("scheduleKind", ALL),
            If("trigger", ALL),
        ],
    },
    // each run is told with its job
    Row { method: "cron.runs", removals: &[Always("agentId")] },
    // there is one catalog for everybody, and it is told whole
    Row {
        method: "models.list",
        removals: &[
            Always("agentId"),
            Always("includeDefaultModels"),
            Always("includeDetails"),
            Always("includeProviderCapabilities"),
            Always("preparedOnly"),
            Always("refresh"),
            Always("sessionKey"),
            Always("view"),
        ],
    },
    // so messages are sent anyway
    Row {
        method: "send",
        removals: &[If("asVoice", FALSE), If("forceDocument", FALSE), If("silent", FALSE)],
    },
    // the key names the agent
    Row { method: "sessions.compact", removals: &[AgentOf("key")] },
    // the key names the agent; nothing is archived
    Row { method: "sessions.delete", removals: &[AgentOf("key"), If("archivedOnly", FALSE)] },
    // more sessions are told, and each key says of what kind it is; nothing is archived and nobody owns one
    Row {
        method: "sessions.list",
        removals: &[
            If("activeOnly", FALSE),
            If("archived", &["false", r#""all""#]),
            Always("configuredAgentsOnly"),
            Always("excludeCron"),
            Always("excludeSubagents"),
            Always("excludeSystem"),
            Always("includeActivitySummary"),
            Always("includePeople"),
            If("involvingMe", FALSE),
            If("offset", ZERO),
            Always("ownerFirst"),
            Always("requireLastInteraction"),
            Always("sortBy"),
        ],
    },
    // the key names the agent
    Row { method: "sessions.patch", removals: &[AgentOf("key")] },
    // the key names the agent
    Row { method: "sessions.reset", removals: &[AgentOf("key")] },
    // a session that is not there is an error anyway, and says so
    Row { method: "sessions.resolve", removals: &[Always("allowMissing")] },
    // the sessions of all agents are told, each with its key; utcOffset says the time of day as well
    Row {
        method: "sessions.usage",
        removals: &[
            Always("agentId"),
            Always("agentScope"),
            Always("groupBy"),
            Always("includeHistorical"),
            Always("timeZone"),
        ],
    },
    // programs are installed for the machine
    Row {
        method: "skills.install",
        removals: &[Always("agentId"), If("dangerouslyForceUnsafeInstall", FALSE)],
    },
    // skills are the agent's
    Row { method: "skills.status", removals: &[Always("sessionKey")] },
    // a skill is set up for all agents
    Row { method: "skills.update", removals: &[Always("agentId")] },
    // the session's own route is told of the restart
    Row {
        method: "update.run",
        removals: &[Always("continuationMessage"), Always("deliveryContext"), Always("requester")],
    },
    // no other channel is logged in on a page
    Row { method: "web.login.start", removals: &[If("channel", WHATSAPP)] },
    // as web.login.start, once at a time
    Row {
        method: "web.login.wait",
        removals: &[If("channel", WHATSAPP), Always("currentQrDataUrl"), Always("sessionKey")],
    },
    // it is closed anyway
    Row { method: "wizard.cancel", removals: &[Always("closeInput")] },
];

const ALL: &[&str] = &[r#""all""#];
const EMPTY: &[&str] = &["[]"];
const FALSE: &[&str] = &["false"];
const WHATSAPP: &[&str] = &[r#""whatsapp""#];
const ZERO: &[&str] = &["0"];

pub(super) const ADDITIONS: &[Addition] = &[
    // the newer name of the same; the terminal UI reads no other
    Addition { method: "config.get", member: "runtimeConfig", value: |config| same(config, "config") },
    // the newer name of the same
    Addition { method: "config.get", member: "sourceConfig", value: |config| same(config, "resolved") },
    // the command line takes no page without one; it has to be the same on all pages, which know no more in common
    Addition {
        method: "cron.list",
        member: "snapshotRevision",
        value: |page| raw(format!(r#""{} jobs""#, page.get("total")?.get())),
    },
    // required by the schema of protocol 4
    Addition {
        method: "sessions.resolve",
        member: "agentId",
        value: |session| raw(frame::to_json(agent_of(&text(session, "key")?)?)),
    },
];

/// All events of protocol 3, sorted. Its clients pass over others.
pub(super) const EVENTS_V3: &[&str] = &[
    "agent",
    "chat",
    "connect.challenge",
    "cron",
    "device.pair.requested",
    "device.pair.resolved",
    "exec.approval.requested",
    "exec.approval.resolved",
    "health",
    "heartbeat",
    "node.invoke.request",
    "node.pair.requested",
    "node.pair.resolved",
    "presence",
    "shutdown",
    "talk.mode",
    "tick",
    "update.available",
    "voicewake.changed",
];

/// All methods of protocol 3, advertised or not, sorted.
pub(super) const METHODS_V3: &[&str] = &[
    "agent",
    "agent.identity.get",
    "agent.wait",
    "agents.create",
    "agents.delete",
    "agents.files.get",
    "agents.files.list",
    "agents.files.set",
    "agents.list",
    "agents.update",
    "browser.request",
    "channels.logout",
    "channels.status",
    "chat.abort",
    "chat.history",
    "chat.inject",
    "chat.send",
    "config.apply",
    "config.get",
    "config.openFile",
    "config.patch",
    "config.schema",
    "config.schema.lookup",
    "config.set",
    "cron.add",
    "cron.list",
    "cron.remove",
    "cron.run",
    "cron.runs",
    "cron.status",
    "cron.update",
    "device.pair.approve",
    "device.pair.list",
    "device.pair.reject",
    "device.pair.remove",
    "device.token.revoke",
    "device.token.rotate",
    "doctor.memory.status",
    "exec.approval.request",
    "exec.approval.resolve",
    "exec.approval.waitDecision",
    "exec.approvals.get",
    "exec.approvals.node.get",
    "exec.approvals.node.set",
    "exec.approvals.set",
    "gateway.identity.get",
    "health",
    "last-heartbeat",
    "logs.tail",
    "models.list",
    "node.canvas.capability.refresh",
    "node.describe",
    "node.event",
    "node.invoke",
    "node.invoke.result",
    "node.list",
    "node.pair.approve",
    "node.pair.list",
    "node.pair.reject",
    "node.pair.request",
    "node.pair.verify",
    "node.pending.ack",
    "node.pending.drain",
    "node.pending.enqueue",
    "node.pending.pull",
    "node.rename",
    "poll",
    "push.test",
    "secrets.reload",
    "secrets.resolve",
    "send",
    "sessions.compact",
    "sessions.delete",
    "sessions.get",
    "sessions.list",
    "sessions.patch",
    "sessions.preview",
    "sessions.reset",
    "sessions.resolve",
    "sessions.usage",
    "sessions.usage.logs",
    "sessions.usage.timeseries",
    "set-heartbeats",
    "skills.bins",
    "skills.install",
    "skills.status",
    "skills.update",
    "status",
    "system-event",
    "system-presence",
    "talk.config",
    "talk.mode",
    "tools.catalog",
    "tts.convert",
    "tts.disable",
    "tts.enable",
    "tts.providers",
    "tts.setProvider",
    "tts.status",
    "update.run",
    "usage.cost",
    "usage.status",
    "voicewake.get",
    "voicewake.set",
    "wake",
    "web.login.start",
    "web.login.wait",
    "wizard.cancel",
    "wizard.next",
    "wizard.start",
    "wizard.status",
];

/// The value of another member.
fn same(members: &Members<'_>, name: &str) -> Option<Box<RawValue>> {
    members.get(name).map(|value| (*value).to_owned())
}

fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}
