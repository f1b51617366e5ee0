//! What a check has to say: findings, what was seen, and the commands that mend.
//!
//! Rule: a command of `mend` works as it stands in the shell of whoever runs doctor. Names from the machine are quoted.

use serde_json::{Value, json};

use super::facts::who::Caller;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Good to know.
    Note,
    /// It works, and will not for long, or not for everybody.
    Warning,
    /// Something does not work.
    Fault,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// How bad it is.
    pub level: Level,
    /// One sentence, lower case, without full stop.
    pub text: String,
    /// What lies behind it, if the sentence does not say it.
    pub why: Option<String>,
    /// Commands, in the order in which they are to be run.
    pub mend: Vec<String>,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It looked. What it saw, and what of that is not well.
    Looked {
        /// Facts, each a sentence; shown where nothing is wrong.
        saw: Vec<String>,
        /// What is wrong, or worth a word.
        findings: Vec<Finding>,
    },
    /// It could not look, and why.
    Skipped(String),
}

impl Level {
    /// The word in both forms of the output.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

impl Finding {
    /// Something that does not work.
    pub(super) fn fault(text: impl Into<String>) -> Self {
        Self::new(Level::Fault, text)
    }

    /// Something that works, and not for long or not for everybody.
    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self::new(Level::Warning, text)
    }

    /// Something good to know.
    pub(super) fn note(text: impl Into<String>) -> Self {
        Self::new(Level::Note, text)
    }

    fn new(level: Level, text: impl Into<String>) -> Self {
        Self { level, text: text.into(), why: None, mend: Vec::new() }
    }

    /// The same with what lies behind it.
    #[must_use]
    pub(super) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// The same with one more command.
    #[must_use]
    pub(super) fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend.push(command.into());
        self
    }

    /// The same with further commands.
    #[must_use]
    pub(super) fn mend_all(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.mend.extend(commands);
        self
    }

    fn to_json(&self, check: &str) -> Value {
        json!({"check": check, "level": self.level.name(), "text": self.text, "why": self.why, "mend": self.mend})
    }
}

impl Outcome {
    /// Nothing to complain of: one fact.
    pub(super) fn ok(fact: impl Into<String>) -> Self {
        Self::Looked { saw: vec![fact.into()], findings: Vec::new() }
    }

    /// What was seen and what is wrong.
    pub(super) fn looked(saw: Vec<String>, findings: Vec<Finding>) -> Self {
        Self::Looked { saw, findings }
    }

    /// `ok`, `skipped`, or the worst level there is.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Skipped(_) => "skipped",
            Self::Looked { findings, .. } => {
                findings.iter().map(|finding| finding.level).max().map_or("ok", Level::name)
            }
        }
    }

    /// How many findings are of `level`.
    pub(super) fn count(&self, level: Level) -> usize {
        match self {
            Self::Skipped(_) => 0,
            Self::Looked { findings, .. } => findings.iter().filter(|finding| finding.level == level).count(),
        }
    }

    /// The form for machines.
    pub(super) fn to_json(&self, check: &str) -> Value {
        let status = self.status();
        match self {
            Self::Skipped(why) => json!({"check": check, "status": status, "why": why, "findings": []}),
            Self::Looked { saw, findings } => {
                let findings: Vec<Value> = findings.iter().map(|finding| finding.to_json(check)).collect();
                json!({"check": check, "status": status, "facts": saw, "findings": findings})
            }
        }
    }
}

/// `command`, which only root may run, as `caller` types it.
pub(super) fn as_root(caller: &Caller, command: &str) -> String {
    if caller.is_root() { command.to_owned() } else { format!("sudo {command}") }
}

/// `command`, which is the user's own affair, as `caller` types it.
pub(super) fn as_user(caller: &Caller, user: &str, command: &str) -> String {
    if caller.name == user {
        command.to_owned()
    } else if caller.is_root() {
        // Part of every Debian, where sudo is not.
        format!("runuser -u {} -- {command}", quote(user))
    } else {
        format!("sudo -u {} {command}", quote(user))
    }
}

/// `text` as one word of a shell command.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_status() {
        let findings = vec![Finding::note("a"), Finding::fault("b"), Finding::warning("c")];
        let outcome = Outcome::looked(Vec::new(), findings);
        assert_eq!(outcome.status(), "fault");
        assert_eq!((outcome.count(Level::Fault), outcome.count(Level::Note)), (1, 1));
        assert_eq!(Outcome::ok("x").status(), "ok");
        assert_eq!(Outcome::Skipped("x".into()).status(), "skipped");
    }

    #[test]
    fn commands_fit_whoever_runs_them() {
        let (root, alice) = (Caller::of("root", 0), Caller::of("alice", 1000));
        assert_eq!(as_root(&root, "id"), "id");
        assert_eq!(as_root(&alice, "id"), "sudo id");
        assert_eq!(as_user(&alice, "alice", "id"), "id");
        assert_eq!(as_user(&alice, "bob", "id"), "sudo -u bob id");
        assert_eq!(as_user(&root, "bob", "id"), "runuser -u bob -- id");
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(quote("/home/a/.openclaw"), "/home/a/.openclaw");
        assert_eq!(quote("a b'; rm -r ~"), "'a b'\\''; rm -r ~'");
        assert_eq!(quote("-rf"), "'-rf'");
        assert_eq!(quote(""), "''");
    }
}
