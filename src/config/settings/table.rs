//! The one table of settings, and what follows from it.

use super::super::error::ConfigError;
use super::super::read::At;
use crate::limits::{self, UNIT_NAME_CHARS_MAX, VERSION_CHARS_MAX};

/// One row of [`SETTINGS`].
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key, nested by dots.
    pub key: &'static str,
    /// What may be written, and what holds when nothing is.
    pub kind: Kind,
    /// One or two sentences for the manual.
    pub help: &'static str,
}

/// What may be written for a key.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Whole milliseconds within bounds.
    Millis(limits::Span),
    /// A whole number within bounds.
    Count(limits::Count),
    /// A list of user names, numeric user ids and groups; empty by default.
    Users,
    /// A list of operator scopes; all of them by default.
    Scopes,
    /// A list of browser origins; empty by default.
    Origins,
    /// A version string; none by default.
    Version,
    /// A TCP port; none by default.
    Port,
    /// The name of a service unit; none by default.
    Service,
}

impl Kind {
    /// What may be written, in words.
    pub fn describe(self) -> String {
        match self {
            Self::Millis(span) => {
                format!("milliseconds from {} to {}", span.min.as_millis(), span.max.as_millis())
            }
            Self::Count(count) => format!("a whole number from {} to {}", count.min, count.max),
            Self::Users => "a list of user names, user ids and groups, a group as '%name'".to_owned(),
            Self::Scopes => format!("a list of scopes: {}", OPERATOR_SCOPES.join(", ")),
            Self::Origins => "a list of origins, each scheme://host or scheme://host:port".to_owned(),
            Self::Version => format!("a string of 1 to {VERSION_CHARS_MAX} letters, digits and .+-_"),
            Self::Port => format!("a whole number from 1 to {}", u16::MAX),
            Self::Service => {
                format!("the name of a service unit, at most {UNIT_NAME_CHARS_MAX} letters, digits and @._-")
            }
        }
    }

    /// What holds when nothing is written, as it would be written; empty if there is no such text.
    pub fn default_text(self) -> String {
        match self {
            Self::Millis(span) => span.default.as_millis().to_string(),
            Self::Count(count) => count.default.to_string(),
            Self::Users | Self::Origins => "[]".to_owned(),
            Self::Scopes | Self::Version | Self::Port | Self::Service => String::new(),
        }
    }
}

/// [`SETTINGS`] as lines of key, default, what may be written, and help, with tabs between.
pub fn dump() -> String {
    let row = |row: &Setting| {
        format!("{}\t{}\t{}\t{}\n", row.key, row.kind.default_text(), row.kind.describe(), row.help)
    };
    SETTINGS.iter().map(row).collect()
}

/// Refuses every key that is neither in [`SETTINGS`] nor on the way to one.
pub(super) fn refuse_unknown(at: &At<'_>, path: &mut Vec<String>) -> Result<(), ConfigError> {
    for (key, member) in at.members()? {
        path.push(key.to_owned());
        if SETTINGS.iter().any(|setting| leads(path, setting) == Some(true)) {
            refuse_unknown(&member, path)?;
        } else if !SETTINGS.iter().any(|setting| leads(path, setting) == Some(false)) {
            return Err(unknown(&member));
        }
        path.pop();
    }
    Ok(())
}

/// `Some(false)` if `path` is the key of a setting, `Some(true)` if it is the beginning of one.
fn leads(path: &[String], setting: &Setting) -> Option<bool> {
    let mut steps = setting.key.split('.');
    path.iter().all(|step| steps.next() == Some(step.as_str())).then(|| steps.next().is_some())
}

fn unknown(at: &At<'_>) -> ConfigError {
    let (place, key) = (at.key_place(), at.key());
    if SETTINGS.iter().any(|setting| setting.key == key) {
        let cause = "a dot stands for nesting, write an object with the last part in it".to_owned();
        return ConfigError::BadValue { place, key, cause };
    }
    let nearest = SETTINGS.iter().map(|setting| (distance(&key, setting.key), setting.key)).min();
    let nearest = nearest.filter(|&(distance, known)| distance <= known.len() / 3).map(|(_, known)| known);
    ConfigError::UnknownKey { place, key, nearest }
}

/// How many letters must be put in, left out or changed to make `known` out of `written` (Levenshtein), whatever the
/// case. Only the beginning of a long text is looked at.
fn distance(written: &str, known: &str) -> usize {
    let known: Vec<char> = known.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, w) in written.to_lowercase().chars().take(2 * KEY_CHARS_MAX).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (k, above) in known.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(*k != w)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Every key of `loopgate.conf`.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "handshake.timeoutMs",
        kind: Kind::Millis(limits::HANDSHAKE),
        help: "From accept to hello-ok. A connection that is not admitted by then is closed with a reason.",
    },
    Setting {
        key: "handshake.headTimeoutMs",
        kind: Kind::Millis(limits::HEAD),
        help: "From the first byte to the end of the HTTP request head, within handshake.timeoutMs, so at most that.",
    },
    Setting {
        key: "handshake.closingTimeoutMs",
        kind: Kind::Millis(limits::CLOSING),
        help: "From the close frame to the peer's own end. After it the socket is shut down.",
    },
    Setting {
        key: "owner",
        kind: Kind::Users,
        help: "Users whose processes count as local, by name, number or group. Empty: the user that loopgated runs as.",
    },
    Setting {
        key: "peers.allow",
        kind: Kind::Users,
        help: "Other users of this machine that may connect with a valid secret. They are never local.",
    },
    Setting {
        key: "ceiling.operator",
        kind: Kind::Scopes,
        help: "The most that a local operator is granted, whatever it asks for. Silent: every scope.",
    },
    Setting {
        key: "origins",
        kind: Kind::Origins,
        help: "Browser origins allowed beside gateway.controlUi.allowedOrigins, as scheme://host:port. There is no \
               wildcard.",
    },
    Setting {
        key: "limits.connections",
        kind: Kind::Count(limits::CONNECTIONS),
        help: "Connections at once, admitted or not. Further ones wait in the kernel's backlog.",
    },
    Setting {
        key: "limits.txQueueBytes",
        kind: Kind::Count(limits::TX_QUEUE_BYTES),
        help: "Unsent bytes of one connection. A client that lets more pile up is closed as a slow consumer.",
    },
    Setting {
        key: "serverVersion",
        kind: Kind::Version,
        help: "The OpenClaw version that clients are told. Silent: loopgate's own version.",
    },
    Setting {
        key: "journal.decisionsFlushMs",
        kind: Kind::Millis(limits::DECISIONS_FLUSH_SPAN),
        help: "How often repeated decisions are summed up in the journal. The first of its kind is written at once.",
    },
    Setting {
        key: "runtime.port",
        kind: Kind::Port,
        help: "The port at which OpenClaw's own gateway runs on 127.0.0.1, behind loopgated. What needs it goes there.",
    },
    Setting {
        key: "runtime.unit",
        kind: Kind::Service,
        help: "The unit that runs OpenClaw's own gateway. Remedies in the journal name it; loopgated(8) says what starts it.",
    },
];

/// The scopes of operators that OpenClaw has, those of 2026.9.6 included.
pub const OPERATOR_SCOPES: &[&str] = &[
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
    "operator.questions",
    "operator.talk",
    "operator.talk.secrets",
];
/// Longer than any key there is.
const KEY_CHARS_MAX: usize = 32;
