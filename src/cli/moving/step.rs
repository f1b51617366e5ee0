//! One step of a move, and how it is shown.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::unit_file::redacted;

/// Something that is done. Doing it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A file gets this text, and the folders that it needs.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// A file goes, and its folder if nothing else is in it.
    Remove(PathBuf),
    /// The user's service manager is told something.
    Run(Verb, Option<String>),
}

/// What a service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Read the units again.
    Reload,
    /// Stop.
    Stop,
    /// Start.
    Start,
    /// Start again, if it runs.
    Restart,
    /// Start now and from now on.
    Enable,
    /// Stop now and from now on.
    Disable,
    /// Forget that it failed.
    ResetFailed,
}

impl Step {
    /// What concerns no unit.
    pub(super) fn manager(verb: Verb) -> Self {
        Self::Run(verb, None)
    }

    /// What concerns `unit`.
    pub(super) fn run(verb: Verb, unit: &str) -> Self {
        Self::Run(verb, Some(unit.to_owned()))
    }

    /// The arguments for `systemctl --user`, if it is one for it.
    pub(crate) fn arguments(&self) -> Option<Vec<&str>> {
        let Self::Run(verb, unit) = self else { return None };
        Some(verb.words().iter().copied().chain(unit.as_deref()).collect())
    }

    /// Whether nothing is lost if it cannot be done.
    pub(crate) fn may_fail(&self) -> bool {
        matches!(self, Self::Run(Verb::ResetFailed, _))
    }

    /// In one line.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Write { path, .. } => format!("write {}", path.display()),
            Self::Remove(path) => format!("remove {}", path.display()),
            Self::Run(..) => format!("systemctl --user {}", self.arguments().unwrap_or_default().join(" ")),
        }
    }

    /// The text that is written, without secrets.
    pub(crate) fn shown_text(&self) -> Option<String> {
        match self {
            Self::Write { text, .. } => Some(redacted(text)),
            _ => None,
        }
    }

    /// For machines.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Write { path, .. } => json!({"do": "write", "path": path, "text": self.shown_text()}),
            Self::Remove(path) => json!({"do": "remove", "path": path}),
            Self::Run(..) => json!({"do": "run", "command": self.words()}),
        }
    }
}

impl Verb {
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Reload => &["daemon-reload"],
            Self::Stop => &["stop"],
            Self::Start => &["start"],
            Self::Restart => &["try-restart"],
            Self::Enable => &["enable", "--now"],
            Self::Disable => &["disable", "--now"],
            Self::ResetFailed => &["reset-failed"],
        }
    }
}

/// The units of a user's own instance.
pub(crate) const GATE_SOCKET: &str = "loopgate.socket";
/// See [`GATE_SOCKET`].
pub(crate) const GATE_SERVICE: &str = "loopgate.service";
