//! What can be wrong with a configuration. Rule: every error says where, what, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// A position in a text, both numbers counted from one, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// Where something stands: a file and, where it is known, the position in it. Shown as `FILE:LINE:COLUMN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The position; unknown for a value that came in by an include or by the environment.
    pub position: Option<Position>,
}

/// Why a configuration cannot be used. All of them end a start with [`Exit::Config`](super::exit::Exit::Config).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// No home folder is known and nothing else says where the files are.
    NoHome,
    /// A file is there but cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The cause in words.
        cause: String,
    },
    /// A file that was asked for by name is not there.
    Absent {
        /// The file.
        file: PathBuf,
        /// Who named it: a flag or a variable.
        named_by: &'static str,
    },
    /// The text is not JSON5.
    Syntax {
        /// Where the reader stopped.
        place: Place,
        /// What it expected.
        cause: String,
    },
    /// The text nests too deep or holds too many values.
    TooBig {
        /// Where the bound was passed.
        place: Place,
        /// The bound in words.
        bound: String,
    },
    /// An `$include` that cannot be followed.
    Include {
        /// The file that includes.
        place: Place,
        /// The cause in words.
        cause: String,
    },
    /// A key has a value of another type than it must have.
    WrongType {
        /// Where the value stands.
        place: Place,
        /// The key with its path, for example `gateway.port`.
        key: String,
        /// What the value must be.
        expected: &'static str,
        /// What the value is.
        found: &'static str,
    },
    /// A key has a value that it may not have.
    BadValue {
        /// Where the value stands.
        place: Place,
        /// The key with its path.
        key: String,
        /// What is wrong and what may be written instead.
        cause: String,
    },
    /// A key that loopgate's own settings do not have.
    UnknownKey {
        /// Where the key stands.
        place: Place,
        /// The key with its path.
        key: String,
        /// The known key that is spelled most alike.
        nearest: Option<&'static str>,
    },
    /// A token and a password are configured, but no mode says which of them counts.
    AmbiguousAuth {
        /// The file with both.
        place: Place,
    },
    /// The configuration asks for authentication by a trusted proxy, which loopgate does not offer.
    TrustedProxy {
        /// Where the mode stands.
        place: Place,
    },
}

impl ConfigError {
    /// Where in a file it is, if it is in one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Syntax { place, .. }
            | Self::TooBig { place, .. }
            | Self::Include { place, .. }
            | Self::WrongType { place, .. }
            | Self::BadValue { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::AmbiguousAuth { place }
            | Self::TrustedProxy { place } => Some(place),
            Self::NoHome | Self::Unreadable { .. } | Self::Absent { .. } => None,
        }
    }
}

impl Place {
    /// A place in `file` without a position.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), position: None }
    }
}

impl ConfigError {
    /// The key that the error is about, if it is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::WrongType { key, .. } | Self::BadValue { key, .. } | Self::UnknownKey { key, .. } => {
                Some(key)
            }
            Self::AmbiguousAuth { .. } => Some("gateway.auth"),
            Self::TrustedProxy { .. } => Some("gateway.auth.mode"),
            _ => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{}:{position}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => {
                write!(f, "no home folder is known, set HOME, OPENCLAW_STATE_DIR or OPENCLAW_CONFIG_PATH")
            }
            Self::Unreadable { file, cause } => write!(f, "{}: cannot be read: {cause}", file.display()),
            Self::Absent { file, named_by } => {
                write!(f, "{}: no such file, create it or correct {named_by}", file.display())
            }
            Self::Syntax { place, cause } => write!(f, "{place}: not valid JSON5: {cause}"),
            Self::TooBig { place, bound } => write!(f, "{place}: too big, {bound}"),
            Self::Include { place, cause } => write!(f, "{place}: $include: {cause}"),
            Self::WrongType { place, key, expected, found } => {
                write!(f, "{place}: {key} is {found}, write {expected}")
            }
            Self::BadValue { place, key, cause } => write!(f, "{place}: {key}: {cause}"),
            Self::UnknownKey { place, key, nearest: Some(nearest) } => {
                write!(f, "{place}: unknown key {key}, did you mean {nearest}")
            }
            Self::UnknownKey { place, key, nearest: None } => {
                write!(f, "{place}: unknown key {key}, see loopgate.conf(5) for the known ones")
            }
            Self::AmbiguousAuth { place } => write!(
                f,
                "{place}: gateway.auth has a token and a password but no mode, set gateway.auth.mode to \
                 \"token\" or \"password\""
            ),
            Self::TrustedProxy { place } => write!(
                f,
                "{place}: gateway.auth.mode \"trusted-proxy\" is not supported, set it to \"token\" or \
                 \"password\" and let the proxy pass the secret on"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
