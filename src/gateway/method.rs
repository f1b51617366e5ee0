//! The one table of methods: name, need, route. Dispatch, `features.methods`, the man page and `loopgate call` read it.
//!
//! Rule: a method without a row does not exist ([`FALLBACK`]), a row without a need cannot be written. The names and
//! needs are those of OpenClaw 2026.3.13 and 2026.9.6; where the two disagree, the older need stands, for its clients
//! ask for no other scopes.

use std::fmt;

use serde_json::Value;

use super::dispatch::{Call, Reply};
use super::job::FileMethod;
use super::{Gateway, native};
use crate::policy::scope::{Need, Scopes};

/// One method.
#[derive(Clone, Copy)]
pub struct Method {
    /// The wire name.
    pub name: &'static str,
    /// What a caller must hold.
    pub demand: Demand,
    /// Who answers.
    pub route: Route,
    /// Why it is they.
    pub why: &'static str,
    /// What is to be known of its answers.
    pub answers: Answers,
}

/// What a caller must hold: fixed, or a matter of the params.
#[derive(Clone, Copy)]
pub enum Demand {
    /// Always the same.
    Always(Need),
    /// Looks at the params (`Value::Null` if there are none).
    Params(fn(&Value) -> Need),
}

/// Who answers a method.
#[derive(Clone, Copy)]
pub enum Route {
    /// This gateway.
    Native(Handler),
    /// The OpenClaw runtime. While there is none, `UNAVAILABLE` with the reason.
    Upstream,
    /// The OpenClaw runtime, where one is configured; this gateway where none is, and in the case that [`Fallback`] names.
    UpstreamElseNative(Handler, Fallback),
}

/// How this gateway answers.
#[derive(Clone, Copy)]
pub enum Handler {
    /// From what it holds in memory.
    Live(fn(&mut Gateway, &Call) -> Reply),
    /// From files, off the loop.
    File(FileMethod),
}

/// When this gateway answers in place of a runtime that is configured and does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Always: it only reads.
    Read,
    /// If the runtime has not seen the call: it does something, which must not be done twice.
    Unseen,
    /// Never; it would only look as if something were done.
    Never,
    /// It takes note in any case, so that it holds for the runtime's next life, too, and answers like [`Fallback::Read`].
    Noted,
}

/// What is to be known of the runtime's answers to a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// One answer to each call.
    Once,
    /// The same, and the last good one is given again while the runtime is away.
    Kept,
    /// One answer; a call with the same `idempotencyKey` is not done again, so it may be sent again.
    Idempotent,
    /// The same, and after an answer with the status `accepted` comes a second one under the same id.
    Twice,
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Method({})", self.name)
    }
}

impl Method {
    /// The row of `name`; [`FALLBACK`] if no version of the protocol knows it.
    pub fn find(name: &str) -> &'static Self {
        match METHODS.binary_search_by(|row| row.name.cmp(name)) {
            Ok(index) => METHODS.get(index).unwrap_or(&FALLBACK),
            Err(_) => &FALLBACK,
        }
    }

    /// Whether `features.methods` lists it where no runtime is: only what is really served.
    pub fn is_advertised(&self) -> bool {
        !matches!(self.route, Route::Upstream)
    }

    /// The row for a method of which the last good answer is kept.
    const fn kept(self) -> Self {
        Self { answers: Answers::Kept, ..self }
    }

    /// The row for a method that tells repeated calls by their key.
    const fn idempotent(self) -> Self {
        Self { answers: Answers::Idempotent, ..self }
    }

    /// The row for a method with two answers.
    const fn twice(self) -> Self {
        Self { answers: Answers::Twice, ..self }
    }

    /// The need for these params.
    pub fn need(&self, params: &Value) -> Need {
        match self.demand {
            Demand::Always(need) => need,
            Demand::Params(need) => need(params),
        }
    }
}

impl Route {
    /// The name in `--dump=methods` and in the man page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native(_) => "native",
            Self::Upstream => "upstream",
            Self::UpstreamElseNative(..) => "upstream-else-native",
        }
    }
}

const fn row(name: &'static str, need: Need, route: Route, why: &'static str) -> Method {
    Method { name, demand: Demand::Always(need), route, why, answers: Answers::Once }
}

/// The gateway's own matter.
const fn live(name: &'static str, need: Need, answer: fn(&mut Gateway, &Call) -> Reply) -> Method {
    row(name, need, Route::Native(Handler::Live(answer)), OWN)
}

const fn live_by_params(
    name: &'static str,
    need: fn(&Value) -> Need,
    answer: fn(&mut Gateway, &Call) -> Reply,
) -> Method {
    Method { demand: Demand::Params(need), ..live(name, Need::Nothing, answer) }
}

/// The runtime's matter, of which something is known here besides.
const fn shared(
    name: &'static str,
    need: Need,
    answer: fn(&mut Gateway, &Call) -> Reply,
    fallback: Fallback,
) -> Method {
    let why = match fallback {
        Fallback::Read => KNOWN,
        Fallback::Unseen => NODES,
        Fallback::Never => SWITCH,
        Fallback::Noted => NOTED,
    };
    row(name, need, Route::UpstreamElseNative(Handler::Live(answer), fallback), why)
}

/// The runtime's matter, which it keeps in files that are read where it does not answer.
const fn file(name: &'static str, need: Need, answer: FileMethod) -> Method {
    row(name, need, Route::UpstreamElseNative(Handler::File(answer), Fallback::Read), FILES)
}

const fn upstream(name: &'static str, need: Need) -> Method {
    row(name, need, Route::Upstream, RUNTIME)
}

const OWN: &str = "the gateway's own matter: it must answer whatever becomes of the runtime";
const KNOWN: &str = "the runtime knows more; what the gateway knows is answered while it is away";
const FILES: &str = "the runtime's state; its files tell it while it is away";
const NODES: &str =
    "the runtime's; a node that is connected here does it where the runtime has not seen the call";
const SWITCH: &str =
    "the runtime's to take; only where none is configured does the gateway keep it for its own answers";
const NOTED: &str = "the runtime's events; noted here as well, to be asked for again after it was away";
const RUNTIME: &str = "done by agents, channels or plugins, which live in the runtime alone";

const NOTHING: Need = Need::Nothing;
const NODE: Need = Need::Node;
const READ: Need = Need::Scope(Scopes::READ);
const WRITE: Need = Need::Scope(Scopes::WRITE);
const APPROVALS: Need = Need::Scope(Scopes::APPROVALS);
const PAIRING: Need = Need::Scope(Scopes::PAIRING);
const QUESTIONS: Need = Need::Scope(Scopes::QUESTIONS);
const TALK: Need = Need::Scope(Scopes::TALK);
const ADMIN: Need = Need::Scope(Scopes::ADMIN);

/// What a name without a row needs: somebody without admin learns nothing about it (protocol.md 6.3).
pub const FALLBACK: Method = upstream("(unknown)", ADMIN);

/// All methods that any supported version knows, sorted by name.
pub const METHODS: &[Method] = &[
    upstream("agent", WRITE).twice(),
    file("agent.identity.get", READ, native::agents::identity),
    upstream("agent.wait", WRITE),
    upstream("agents.create", ADMIN),
    upstream("agents.delete", ADMIN),
    upstream("agents.files.get", READ).kept(),
    upstream("agents.files.list", READ).kept(),
    upstream("agents.files.set", ADMIN),
    file("agents.list", READ, native::agents::list),
    upstream("agents.update", ADMIN),
    upstream("agents.workspace.get", READ),
    upstream("agents.workspace.list", READ),
    upstream("approval.get", APPROVALS),
    upstream("approval.history", APPROVALS),
    upstream("approval.resolve", APPROVALS),
    upstream("artifacts.download", READ),
    upstream("artifacts.get", READ),
    upstream("artifacts.list", READ),
    upstream("assistant.media.get", READ),
    upstream("attach.grant", ADMIN),
    upstream("attach.revoke", ADMIN),
    upstream("audit.activity.list", READ),
    upstream("audit.list", READ),
    upstream("audit.run.inspect", READ),
    upstream("board.action", WRITE),
    upstream("board.data.read", READ),
    upstream("board.event", WRITE),
    file("board.get", READ, native::idle::board),
    upstream("board.prompt.authorize", READ),
    upstream("board.update", WRITE),
    upstream("board.widget.appView", READ),
    upstream("board.widget.grant", APPROVALS),
    upstream("board.widget.put", WRITE),
    shared("browser.request", WRITE, native::invoke::browser, Fallback::Unseen),
    upstream("canvas.document.preview", READ),
    upstream("canvas.document.view", READ),
    upstream("channels.logout", ADMIN),
    upstream("channels.pairing.approve", ADMIN),
    upstream("channels.pairing.dismiss", PAIRING),
    upstream("channels.pairing.list", PAIRING),
    upstream("channels.start", ADMIN),
    file("channels.status", READ, native::channels::status).kept(),
    upstream("channels.stop", ADMIN),
    upstream("chat.abort", WRITE),
    file("chat.history", READ, native::chat::history).kept(),
    upstream("chat.inject", ADMIN),
    upstream("chat.message.get", READ),
    file("chat.metadata", READ, native::chat::metadata).kept(),
    upstream("chat.send", WRITE).idempotent(),
    file("chat.startup", READ, native::chat::startup).kept(),
    upstream("chat.toolTitles", WRITE),
    upstream("claws.monitors", ADMIN),
    upstream("claws.packages.remove", ADMIN),
    upstream("commands.list", READ).kept(),
    upstream("computer.invoke", WRITE),
    upstream("computer.status", READ),
    upstream("config.apply", ADMIN),
    file("config.get", READ, native::config::get),
    upstream("config.openFile", ADMIN),
    upstream("config.patch", ADMIN),
    upstream("config.schema", READ).kept(),
    file("config.schema.lookup", READ, native::config::schema_lookup_of),
    upstream("config.set", ADMIN),
    upstream("controlUi.githubDetail", READ),
    upstream("controlUi.githubPreview", READ),
    upstream("controlUi.linkPreview", READ),
    upstream("controlUi.sessionPreview", READ),
    upstream("controlUi.sessionPullRequests.checks", READ),
    file("controlUi.sessionPullRequests.subscribe", READ, native::idle::pull_requests),
    upstream("conversations.list", ADMIN),
    upstream("conversations.send", ADMIN),
    upstream("conversations.turn", ADMIN),
    upstream("conversations.turn.cancel", ADMIN),
    upstream("cron.add", ADMIN),
    upstream("cron.get", READ),
    file("cron.list", READ, native::cron::list).kept(),
    upstream("cron.remove", ADMIN),
    upstream("cron.run", ADMIN),
    file("cron.runs", READ, native::cron::runs).kept(),
    upstream("cron.scratch.get", ADMIN),
    upstream("cron.scratch.set", ADMIN),
    file("cron.status", READ, native::cron::status).kept(),
    upstream("cron.update", ADMIN),
    upstream("desktop.launch", ADMIN),
    upstream("desktop.observe", ADMIN),
    upstream("desktop.release", ADMIN),
    live("device.pair.approve", PAIRING, native::devices::approve),
    live("device.pair.list", PAIRING, native::devices::list),
    live("device.pair.reject", PAIRING, native::devices::reject),
    live("device.pair.remove", PAIRING, native::devices::remove),
    live("device.pair.rename", PAIRING, native::devices::rename),
    upstream("device.pair.setupCode", ADMIN),
    upstream("device.pair.setupStatus", ADMIN),
    upstream("device.scopes.requestUpgrade", READ),
    upstream("device.scopes.waitUpgrade", READ),
    live("device.token.revoke", PAIRING, native::devices::revoke),
    live("device.token.rotate", PAIRING, native::devices::rotate),
    upstream("diagnostics.cpuProfile", ADMIN),
    upstream("diagnostics.heapProfile", ADMIN),
    file("diagnostics.lanes", READ, native::idle::lanes),
    file("diagnostics.stability", READ, native::idle::stability),
    upstream("doctor.memory.backfillDreamDiary", WRITE),
    upstream("doctor.memory.dedupeDreamDiary", WRITE),
    upstream("doctor.memory.dreamDiary", READ),
    upstream("doctor.memory.repairDreamingArtifacts", WRITE),
    upstream("doctor.memory.resetDreamDiary", WRITE),
    upstream("doctor.memory.resetGroundedShortTerm", WRITE),
    upstream("doctor.memory.status", READ).kept(),
    upstream("environments.create", ADMIN),
    upstream("environments.destroy", ADMIN),
    Method {
        demand: Demand::Params(environments_list),
        ..file("environments.list", READ, native::idle::environments)
    },
    upstream("environments.prepare", ADMIN),
    upstream("environments.session.create", ADMIN),
    upstream("environments.session.destroy", ADMIN),
    upstream("environments.session.exec", ADMIN),
    upstream("environments.session.status", READ),
    upstream("environments.status", READ),
    upstream("exec.approval.get", APPROVALS),
    upstream("exec.approval.grants.list", APPROVALS),
    upstream("exec.approval.grants.revoke", APPROVALS),
    file("exec.approval.list", APPROVALS, native::idle::exec_approvals),
    upstream("exec.approval.request", APPROVALS).twice(),
    upstream("exec.approval.resolve", APPROVALS),
    upstream("exec.approval.waitDecision", APPROVALS),
    file("exec.approvals.get", ADMIN, native::idle::exec_rules).kept(),
    upstream("exec.approvals.node.get", ADMIN),
    upstream("exec.approvals.node.set", ADMIN),
    upstream("exec.approvals.set", ADMIN),
    upstream("fs.listDir", ADMIN),
    file("gateway.identity.get", READ, native::identity::identity).kept(),
    upstream("gateway.restart.preflight", READ),
    upstream("gateway.restart.request", ADMIN),
    upstream("gateway.suspend.handoff", ADMIN),
    upstream("gateway.suspend.prepare", ADMIN),
    upstream("gateway.suspend.resume", ADMIN),
    upstream("gateway.suspend.status", READ),
    upstream("github.detail", ADMIN),
    upstream("github.image", ADMIN),
    upstream("github.preview", ADMIN),
    shared("health", NOTHING, super::health::health, Fallback::Read),
    upstream("hooks.status", READ).kept(),
    shared("last-heartbeat", READ, native::heartbeat::last, Fallback::Read),
    file("logs.tail", READ, native::logs::tail),
    upstream("mcp.app.callTool", WRITE),
    upstream("mcp.app.listResourceTemplates", READ),
    upstream("mcp.app.listResources", READ),
    upstream("mcp.app.listTools", READ),
    upstream("mcp.app.readResource", READ),
    upstream("mcp.app.updateModelContext", WRITE),
    upstream("mcp.app.view", READ),
    upstream("mcp.authLogin", ADMIN),
    upstream("memory.search", READ),
    upstream("memory.sessionBackfill.apply", ADMIN),
    upstream("memory.sessionBackfill.preview", ADMIN),
    upstream("memory.sessionBackfill.rollback", ADMIN),
    upstream("mentions.dismiss", READ),
    file("mentions.list", READ, native::idle::mentions),
    upstream("message.action", WRITE),
    upstream("migrations.memory.apply", ADMIN),
    upstream("migrations.memory.plan", ADMIN),
    upstream("models.authLogin", ADMIN),
    upstream("models.authLogout", ADMIN),
    upstream("models.authOrderSet", ADMIN),
    upstream("models.authRefresh", ADMIN),
    upstream("models.authSetApiKey", ADMIN),
    file("models.authStatus", READ, native::models::auth_status),
    file("models.list", READ, native::models::list).kept(),
    upstream("models.probe", ADMIN),
    upstream("nativeHook.invoke", ADMIN),
    live("node.canvas.capability.refresh", NODE, native::nodes::refresh_surface),
    live("node.describe", READ, native::nodes::describe),
    shared("node.event", NODE, native::nodes::event, Fallback::Never),
    live_by_params("node.invoke", native::invoke::need, native::invoke::invoke),
    shared("node.invoke.progress", NODE, native::nodes::progress, Fallback::Never),
    shared("node.invoke.result", NODE, native::nodes::result, Fallback::Never),
    live("node.list", READ, native::nodes::list),
    live("node.pair.approve", PAIRING, native::node_pair::approve),
    live("node.pair.list", PAIRING, native::node_pair::list),
    live("node.pair.reject", PAIRING, native::node_pair::reject),
    live("node.pair.remove", PAIRING, native::node_pair::remove),
    live("node.pair.request", PAIRING, native::node_pair::request),
    live("node.pair.verify", PAIRING, native::node_pair::verify),
    live("node.pending.ack", NODE, native::nodes::ack),
    live("node.pending.drain", NODE, native::nodes::drain),
    live("node.pending.enqueue", WRITE, native::nodes::enqueue),
    live("node.pending.pull", NODE, native::nodes::pull),
    live("node.pluginSurface.refresh", NODE, native::nodes::refresh_surface),
    shared("node.pluginTools.update", NODE, native::nodes::plugin_tools, Fallback::Noted),
    live("node.rename", PAIRING, native::node_pair::rename),
    shared("node.runnerInventory.update", NODE, native::nodes::runner_inventory, Fallback::Noted),
    shared("node.skills.update", NODE, native::nodes::skills, Fallback::Noted),
    file("openclaw.approval.list", APPROVALS, native::idle::openclaw_approvals),
    upstream("openclaw.changes.list", ADMIN),
    upstream("openclaw.chat", ADMIN),
    upstream("openclaw.chat.history", ADMIN),
    upstream("openclaw.setup.activate", ADMIN),
    upstream("openclaw.setup.activate.start", ADMIN),
    upstream("openclaw.setup.auth.start", ADMIN),
    upstream("openclaw.setup.detect", ADMIN),
    upstream("openclaw.setup.prepare.start", ADMIN),
    upstream("openclaw.setup.verify", ADMIN),
    file("plugin.approval.list", APPROVALS, native::idle::plugin_approvals),
    upstream("plugin.approval.request", APPROVALS).twice(),
    upstream("plugin.approval.resolve", APPROVALS),
    upstream("plugin.approval.waitDecision", APPROVALS),
    upstream("plugin.surface.refresh", READ),
    upstream("plugins.catalog.browse", READ),
    upstream("plugins.catalog.categories", READ),
    upstream("plugins.catalog.get", READ),
    file("plugins.controlUi.list", READ, native::idle::control_ui_plugins),
    upstream("plugins.controlUi.reload", ADMIN),
    upstream("plugins.controlUi.report", READ),
    upstream("plugins.controlUi.status", ADMIN),
    upstream("plugins.credentials.inspect", ADMIN),
    upstream("plugins.inspect", READ),
    upstream("plugins.install", ADMIN),
    upstream("plugins.list", READ).kept(),
    upstream("plugins.refresh", ADMIN),
    upstream("plugins.reload", ADMIN),
    upstream("plugins.search", READ),
    upstream("plugins.sessionAction", WRITE),
    upstream("plugins.setEnabled", ADMIN),
    upstream("plugins.skills.read", READ),
    upstream("plugins.uiDescriptors", READ),
    upstream("plugins.uninstall", ADMIN),
    upstream("poll", WRITE).idempotent(),
    upstream("portal.close", WRITE),
    upstream("portal.list", READ),
    upstream("portal.open", WRITE),
    file("progressCard.get", READ, native::idle::progress_card),
    upstream("progressCard.put", WRITE),
    upstream("progressCard.refresh", WRITE),
    upstream("projects.add", WRITE),
    file("projects.list", READ, native::idle::projects),
    upstream("projects.register", ADMIN),
    upstream("projects.remove", ADMIN),
    upstream("projects.searchRemote", READ),
    upstream("push.test", WRITE),
    upstream("push.web.preferences.get", READ),
    upstream("push.web.preferences.set", WRITE),
    upstream("push.web.subscribe", WRITE),
    upstream("push.web.test", WRITE),
    upstream("push.web.unsubscribe", WRITE),
    upstream("push.web.vapidPublicKey", WRITE),
    upstream("question.get", QUESTIONS),
    file("question.list", QUESTIONS, native::idle::questions),
    upstream("question.request", QUESTIONS),
    upstream("question.resolve", QUESTIONS),
    upstream("question.waitAnswer", QUESTIONS),
    upstream("secrets.reload", ADMIN),
    upstream("secrets.resolve", ADMIN),
    upstream("secrets.store.delete", ADMIN),
    upstream("secrets.store.list", ADMIN),
    upstream("secrets.store.set", ADMIN),
    upstream("send", WRITE).idempotent(),
    file("session.discussion.info", READ, native::idle::session_discussion),
    upstream("session.discussion.open", WRITE),
    upstream("session.members.add", WRITE),
    upstream("session.members.list", READ),
    upstream("session.members.listEvidence", READ),
    upstream("session.members.remove", WRITE),
    upstream("session.publicShare.set", WRITE),
    upstream("session.suggestions.add", WRITE),
    upstream("session.suggestions.list", READ),
    upstream("session.suggestions.resolve", WRITE),
    upstream("session.typing", WRITE),
    upstream("session.visibility.set", WRITE),
    upstream("sessions.abort", WRITE),
    upstream("sessions.activitySummary.ensure", WRITE),
    upstream("sessions.assignOwner", WRITE),
    file("sessions.branches.list", READ, native::idle::session_branches),
    upstream("sessions.branches.switch", ADMIN),
    upstream("sessions.catalog.archive", WRITE),
    upstream("sessions.catalog.continue", WRITE),
    file("sessions.catalog.list", READ, native::idle::session_catalogs),
    upstream("sessions.catalog.read", READ),
    upstream("sessions.catalog.startTerminal", ADMIN),
    upstream("sessions.cleanup", ADMIN),
    upstream("sessions.compact", ADMIN),
    upstream("sessions.compaction.branch", WRITE),
    upstream("sessions.compaction.list", READ),
    upstream("sessions.compaction.restore", ADMIN),
    upstream("sessions.companion.ask", READ),
    upstream("sessions.companion.reset", WRITE),
    file("sessions.companion.state", READ, native::idle::session_companion),
    upstream("sessions.create", WRITE),
    upstream("sessions.delete", ADMIN),
    file("sessions.describe", READ, native::sessions::describe).kept(),
    upstream("sessions.diff", READ),
    upstream("sessions.dispatch", WRITE),
    upstream("sessions.files.get", READ),
    upstream("sessions.files.list", READ),
    upstream("sessions.files.reveal", ADMIN),
    upstream("sessions.files.set", ADMIN),
    upstream("sessions.fork", WRITE),
    file("sessions.get", READ, native::sessions::get).kept(),
    upstream("sessions.github.confirm", WRITE),
    upstream("sessions.github.options", READ),
    upstream("sessions.github.publish", WRITE),
    upstream("sessions.github.status", READ),
    upstream("sessions.goal.clear", WRITE),
    upstream("sessions.goal.update", WRITE),
    file("sessions.groups.defaults", WRITE, native::idle::session_group_defaults),
    upstream("sessions.groups.delete", WRITE),
    file("sessions.groups.list", READ, native::idle::session_groups),
    upstream("sessions.groups.put", WRITE),
    upstream("sessions.groups.rename", WRITE),
    upstream("sessions.groups.update", WRITE),
    file("sessions.list", READ, native::sessions::list).kept(),
    shared("sessions.messages.subscribe", READ, native::subscribe::messages, Fallback::Noted),
    shared("sessions.messages.unsubscribe", READ, native::subscribe::messages_off, Fallback::Noted),
    upstream("sessions.move", WRITE),
    file("sessions.observer.visibility", READ, native::idle::observer_visibility),
    upstream("sessions.patch", ADMIN),
    upstream("sessions.patchMany", ADMIN),
    upstream("sessions.pluginPatch", ADMIN),
    file("sessions.preview", READ, native::sessions::preview).kept(),
    upstream("sessions.providerReview.continue", WRITE),
    upstream("sessions.reclaim", WRITE),
    upstream("sessions.recover", WRITE),
    upstream("sessions.reset", ADMIN),
    file("sessions.resolve", READ, native::sessions::resolve),
    upstream("sessions.rewind", ADMIN),
    upstream("sessions.search", READ),
    upstream("sessions.send", WRITE),
    upstream("sessions.setInvolvement", READ),
    upstream("sessions.steer", WRITE),
    upstream("sessions.storage.run", ADMIN),
    upstream("sessions.storage.status", ADMIN),
    shared("sessions.subscribe", READ, native::subscribe::sessions, Fallback::Noted),
    upstream("sessions.title.prepare", WRITE),
    file("sessions.usage", READ, native::idle::sessions_usage).kept(),
    upstream("sessions.usage.logs", READ).kept(),
    upstream("sessions.usage.timeseries", READ).kept(),
    file("sessions.viewers.set", READ, native::idle::viewers),
    shared("set-heartbeats", ADMIN, native::heartbeat::set, Fallback::Never),
    upstream("skills.bins", NODE).kept(),
    upstream("skills.curator.pin", ADMIN),
    upstream("skills.curator.restore", ADMIN),
    upstream("skills.curator.status", READ),
    upstream("skills.curator.unpin", ADMIN),
    upstream("skills.detail", READ),
    upstream("skills.install", ADMIN),
    upstream("skills.library.activate", WRITE),
    upstream("skills.library.import", WRITE),
    upstream("skills.library.list", READ),
    upstream("skills.library.mutate", WRITE),
    upstream("skills.library.read", READ),
    upstream("skills.library.save", WRITE),
    upstream("skills.library.upload", WRITE),
    upstream("skills.proposals.apply", ADMIN),
    upstream("skills.proposals.create", ADMIN),
    upstream("skills.proposals.evaluate", ADMIN),
    upstream("skills.proposals.events.list", READ),
    upstream("skills.proposals.historyScan", ADMIN),
    upstream("skills.proposals.historyStatus", READ),
    upstream("skills.proposals.inspect", READ),
    upstream("skills.proposals.list", READ),
    upstream("skills.proposals.quarantine", ADMIN),
    upstream("skills.proposals.reject", ADMIN),
    upstream("skills.proposals.requestRevision", ADMIN),
    upstream("skills.proposals.revise", ADMIN),
    upstream("skills.proposals.update", ADMIN),
    upstream("skills.search", READ),
    upstream("skills.securityVerdicts", READ),
    upstream("skills.skillCard", READ),
    file("skills.status", READ, native::idle::skills).kept(),
    upstream("skills.update", ADMIN),
    upstream("skills.upload.begin", ADMIN),
    upstream("skills.upload.chunk", ADMIN),
    upstream("skills.upload.commit", ADMIN),
    upstream("skills.workshop.read", READ),
    file("status", READ, native::status::status),
    shared("system-event", ADMIN, native::presence::system_event, Fallback::Noted),
    live("system-presence", READ, native::presence::system_presence),
    file("system.info", READ, native::system::info),
    file("talk.catalog", READ, native::idle::talk_catalog),
    upstream("talk.client.close", TALK),
    upstream("talk.client.create", TALK),
    upstream("talk.client.steer", TALK),
    upstream("talk.client.toolCall", TALK),
    upstream("talk.client.transcript", TALK),
    Method { demand: Demand::Params(talk_config), ..file("talk.config", READ, native::idle::talk_config) },
    upstream("talk.mode", WRITE),
    upstream("talk.session.acknowledgeMark", TALK),
    upstream("talk.session.appendAudio", TALK),
    upstream("talk.session.cancelOutput", TALK),
    upstream("talk.session.close", TALK),
    upstream("talk.session.create", TALK),
    upstream("talk.session.steer", TALK),
    upstream("talk.session.submitToolResult", TALK),
    upstream("talk.speak", TALK),
    upstream("talk.voice.complete", TALK),
    upstream("talk.voice.get", TALK),
    upstream("talk.voice.set", TALK),
    upstream("taskSuggestions.accept", ADMIN),
    upstream("taskSuggestions.create", WRITE),
    upstream("taskSuggestions.dismiss", WRITE),
    file("taskSuggestions.list", READ, native::idle::task_suggestions),
    upstream("tasks.cancel", WRITE),
    upstream("tasks.dismiss", WRITE),
    upstream("tasks.get", READ),
    upstream("tasks.history", READ),
    file("tasks.list", READ, native::idle::tasks),
    upstream("tasks.retry", WRITE),
    upstream("terminal.attach", ADMIN),
    upstream("terminal.close", ADMIN),
    upstream("terminal.input", ADMIN),
    upstream("terminal.list", ADMIN),
    upstream("terminal.open", ADMIN),
    upstream("terminal.resize", ADMIN),
    upstream("terminal.upload", ADMIN),
    upstream("themes.get", READ),
    upstream("themes.import", WRITE),
    upstream("themes.list", READ),
    upstream("themes.set", WRITE),
    upstream("tools.catalog", READ).kept(),
    upstream("tools.effective", READ).kept(),
    upstream("tools.github.authorize.cancel", ADMIN),
    upstream("tools.github.authorize.poll", ADMIN),
    upstream("tools.github.authorize.start", ADMIN),
    upstream("tools.github.configure", ADMIN),
    upstream("tools.github.status", READ),
    upstream("tools.invoke", WRITE),
    upstream("transcripts.export", READ),
    upstream("transcripts.get", READ),
    upstream("transcripts.list", READ),
    upstream("transcripts.status", READ),
    upstream("transcripts.summarize", WRITE),
    upstream("tts.convert", WRITE),
    upstream("tts.disable", WRITE),
    upstream("tts.enable", WRITE),
    upstream("tts.personas", READ),
    upstream("tts.providers", READ).kept(),
    upstream("tts.setPersona", WRITE),
    upstream("tts.setProvider", WRITE),
    upstream("tts.speak", WRITE),
    upstream("tts.status", READ).kept(),
    upstream("ui.command", WRITE),
    upstream("update.hold", ADMIN),
    upstream("update.report", ADMIN),
    upstream("update.run", ADMIN),
    upstream("update.runs.get", ADMIN),
    upstream("update.runs.list", ADMIN),
    file("update.status", ADMIN, native::idle::update_status),
    file("usage.cost", READ, native::idle::usage_cost).kept(),
    file("usage.status", READ, native::idle::usage_status).kept(),
    upstream("users.authConnect.answer", WRITE),
    upstream("users.authConnect.cancel", WRITE),
    upstream("users.authConnect.catalog", WRITE),
    upstream("users.authConnect.start", WRITE),
    upstream("users.authConnect.status", WRITE),
    upstream("users.github.authorize.cancel", READ),
    upstream("users.github.authorize.poll", READ),
    upstream("users.github.authorize.start", READ),
    upstream("users.github.disconnect", READ),
    upstream("users.github.status", READ),
    upstream("users.linkAuthProfile", ADMIN),
    upstream("users.linkChannelIdentity", ADMIN),
    upstream("users.linkEmail", ADMIN),
    upstream("users.list", READ),
    upstream("users.listAuthLinks", READ),
    upstream("users.listChannelIdentities", ADMIN),
    upstream("users.listModelAccounts", READ),
    upstream("users.mentionable", READ),
    file("users.prefs.get", READ, native::idle::user_prefs),
    upstream("users.prefs.set", WRITE),
    upstream("users.selectModelAccount", WRITE),
    upstream("users.self", READ),
    upstream("users.setAvatar", WRITE),
    upstream("users.setDisplayName", WRITE),
    upstream("users.setRole", ADMIN),
    upstream("users.unlinkAuthProfile", WRITE),
    upstream("users.unlinkChannelIdentity", ADMIN),
    file("voicewake.get", READ, native::idle::voicewake),
    upstream("voicewake.routing.get", READ).kept(),
    upstream("voicewake.set", WRITE),
    upstream("wake", WRITE),
    upstream("web.login.start", ADMIN),
    upstream("web.login.wait", ADMIN),
    upstream("webSearch.status", READ),
    upstream("webSearch.test", ADMIN),
    upstream("wizard.cancel", ADMIN),
    upstream("wizard.next", ADMIN),
    upstream("wizard.start", ADMIN),
    upstream("wizard.status", ADMIN),
    upstream("worker.desktop.launch", ADMIN),
    upstream("worker.desktop.observe", ADMIN),
    upstream("worktrees.branches", WRITE),
    upstream("worktrees.create", WRITE),
    upstream("worktrees.gc", ADMIN),
    upstream("worktrees.list", READ),
    upstream("worktrees.remove", ADMIN),
    upstream("worktrees.restore", ADMIN),
];

/// The environments of one runtime are more than their list (OpenClaw 2026.9.6).
fn environments_list(params: &Value) -> Need {
    let one = params.get("runtimeId").and_then(Value::as_str).is_some_and(|id| !id.is_empty());
    if one { WRITE } else { READ }
}

/// A voice's secrets have a scope of their own (protocol.md 6.5).
fn talk_config(params: &Value) -> Need {
    let secrets = params.get("includeSecrets").and_then(Value::as_bool) == Some(true);
    if secrets { Need::Scope(Scopes::TALK_SECRETS) } else { READ }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voices_secrets_need_more() {
        let need =
            |secrets: bool| Method::find("talk.config").need(&serde_json::json!({"includeSecrets": secrets}));
        assert_eq!(need(true), Need::Scope(Scopes::TALK_SECRETS));
        assert_eq!(need(false), READ);
    }

    #[test]
    fn the_table_is_sorted_and_every_row_is_found() {
        for pair in METHODS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} {}", pair[0].name, pair[1].name);
        }
        for row in METHODS {
            assert_eq!(Method::find(row.name).name, row.name);
        }
        assert_eq!(Method::find("no.such.method").name, FALLBACK.name);
        assert_eq!(Method::find("connect").name, FALLBACK.name);
    }
}
