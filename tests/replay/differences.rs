//! Where loopgate answers otherwise than OpenClaw's own gateway did, on purpose: each with its reason.

/// In which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only the OpenClaw runtime can answer it, and there is none: `UNAVAILABLE`.
    NoRuntime,
    /// Refused here, answered there.
    Refused,
    /// Answered here, refused there.
    Cured,
    /// Another error.
    Error,
    /// A key of the payload that is not told.
    Shape,
}

/// Differences of one kind, in one client's eyes, for one reason.
struct Difference {
    kind: Kind,
    versions: &'static [&'static str],
    /// Methods, or paths in their payloads; with a star at its end, everything that begins so.
    what: &'static [&'static str],
    why: &'static str,
}

/// The difference that allows this, by its place in the table.
pub(crate) fn find(version: &str, kind: Kind, what: &str) -> Option<(usize, usize)> {
    let place = |(row, difference): (usize, &Difference)| {
        let applies = difference.kind == kind && difference.versions.contains(&version);
        let column = difference.what.iter().position(|pattern| fits(pattern, what));
        if applies { Some((row, column?)) } else { None }
    };
    DIFFERENCES.iter().enumerate().find_map(place)
}

/// Differences that no conversation of this version met: they are to be taken out of the table.
pub(crate) fn unmet(version: &str, met: &[(usize, usize)]) -> Vec<String> {
    let mut all = Vec::new();
    for (row, difference) in DIFFERENCES.iter().enumerate() {
        for (column, what) in difference.what.iter().enumerate() {
            if difference.versions.contains(&version) && !met.contains(&(row, column)) {
                all.push(format!(
                    "{:?} {what} is no difference any more ({})",
                    difference.kind, difference.why
                ));
            }
        }
    }
    all
}

fn fits(pattern: &str, what: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == what, |start| what.starts_with(start))
}

const V3: &[&str] = &["2026.3.13"];
const V4: &[&str] = &["2026.9.6"];
const BOTH: &[&str] = &["2026.3.13", "2026.9.6"];

const DIFFERENCES: &[Difference] = &[
    Difference {
        kind: Kind::Cured,
        versions: BOTH,
        what: &["connect", "status", "system-presence", "config.get"],
        why: "a local probe without a device lost its scopes there, and without a secret it was not let in at all",
    },
    Difference {
        kind: Kind::NoRuntime,
        versions: BOTH,
        what: &["browser.request"],
        why: "a browser needs the runtime, or a node that is capable of it",
    },
    Difference {
        kind: Kind::NoRuntime,
        versions: V4,
        what: &["openclaw.setup.detect", "plugin.surface.refresh"],
        why: "models are set up and plugins are run by the runtime alone",
    },
    Difference {
        kind: Kind::Cured,
        versions: V4,
        what: &["node.event", "node.runnerInventory.update"],
        why: "what a node on this machine with the shared secret can do is approved at once, so that its first calls count",
    },
    Difference {
        kind: Kind::Refused,
        versions: V4,
        what: &["node.pair.approve"],
        why: "for the same reason there is nothing to approve",
    },
    Difference {
        kind: Kind::Shape,
        versions: V3,
        what: &["connect.auth.deviceToken", "connect.auth.issuedAtMs"],
        why: "a device is told its token once, when it is issued; after that nobody has it but the device",
    },
    Difference {
        kind: Kind::Shape,
        versions: V3,
        what: &["connect.canvasHostUrl"],
        why: "no canvas host runs here; without the key clients take it for switched off",
    },
    Difference {
        kind: Kind::Shape,
        versions: V3,
        what: &["connect.snapshot.configPath", "connect.snapshot.stateDir"],
        why: "paths of the machine are told to admins only, as newer gateways do it",
    },
    Difference {
        kind: Kind::Shape,
        versions: V3,
        what: &["chat.history.thinkingLevel"],
        why: "what a model does by default is in the runtime's catalog; without the key clients show none",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["connect.server.buildId", "connect.server.controlUiBuildSource"],
        why: "no build of the Control UI is served here; a page whose build is another one would reload for ever",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["connect.pluginSurfaceUrls", "connect.controlUiLinkReaders", "connect.controlUiWidgetKinds"],
        why: "plugins are run by the runtime",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["connect.policy.*"],
        why: "attachments, and who sees whose sessions, are the runtime's to say",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["connect.auth.recovery*"],
        why: "a lost device is paired again; there is no recovery",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &[
            "connect.snapshot.appliedConfigHash",
            "connect.snapshot.suspension",
            "connect.snapshot.updateSchedule",
            "update.status.effectiveChannel",
            "update.status.schedule",
        ],
        why: "systemd and the package manager suspend and update this gateway, not a client",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &[
            "health.configReload",
            "health.eventLoop",
            "health.modelRuntime",
            "channels.status.eventLoop",
            "status.eventLoop",
            "status.hostDesktop",
            "status.modelRuntime",
            "status.pid",
            "status.processMemory",
            "status.shutdownBudget",
            "status.workerPools",
            "status.cliProjection.memoryPlugin",
            "system.info.eventLoop",
            "system.info.processMemory",
            "system.info.processInstanceId",
        ],
        why: "how the process of the runtime is: there is none",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["system.info.disk*", "system.info.defaultAgentUtilityModel"],
        why: "it is not asked for by any page; the journal and df say more of the disk",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &[
            "agents.list.agents[].*",
            "sessions.list.defaults.*",
            "models.list.*",
            "chat.metadata.accountSelection",
            "chat.startup.metadata.accountSelection",
            "chat.startup.defaults.*",
            "chat.history.defaults.*",
        ],
        why: "models, what they can do and whose account they use is in the runtime's catalog",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["chat.startup.sessionInfo.*", "chat.history.sessionInfo.*"],
        why: "how a session runs is known to whoever runs it",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["cron.status.sqlitePath", "cron.status.triggersEnabled", "cron.list.deliveryPreviews"],
        why: "newer runtimes keep their jobs in a database, which is theirs alone; the jobs in files are told",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &[
            "exec.approvals.get.resolvedDefaults",
            "usage.status.refreshing",
            "diagnostics.stability.firstSeq",
            "diagnostics.stability.lastSeq",
        ],
        why: "commands are run, use is counted and phases are measured by the runtime",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["system-presence[].instanceId", "system-presence[].ip"],
        why: "the gateway's own entry has no instance id and tells no address of the machine: its clients are on the machine",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["node.list.nodes[].pending*", "device.pair.list.paired[].pendingNodeSurface"],
        why: "for the same reason nothing is pending",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &[
            "node.list.nodes[].nodePluginTools",
            "node.list.nodes[].sessionHost",
            "node.describe.nodePluginTools",
            "node.describe.sessionHost",
        ],
        why: "what a node offers to plugins and workers is used by the runtime alone",
    },
    Difference {
        kind: Kind::Shape,
        versions: V4,
        what: &["device.pair.list.paired[].approvedVia", "device.pair.list.paired[].lastSeen*"],
        why: "how a device was approved and when it was seen is in the journal; writing it to disk at every connect costs too much",
    },
];
