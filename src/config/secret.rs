//! Secrets and where they come from. Rule: the text of a secret leaves this type by [`Secret::reveal`] alone; no
//! `Debug`, no `Display`, no error text carries it.

use std::fmt;

/// A secret that is set: at least one character, without surrounding white space, as OpenClaw trims it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The outcome of looking a value up in the places where it may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved<T> {
    /// It is there.
    Set(T),
    /// No place has it.
    Missing,
    /// The configuration says where it stands, but it is not there. The reason is fit for a log; it names variables,
    /// files and keys, never a secret.
    Unresolvable(String),
}

impl Secret {
    /// The trimmed text as a secret; `None` if nothing is left of it, for an empty secret means "unset".
    pub fn new(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| Self(trimmed.to_owned()))
    }

    /// The secret itself, to compare it or to send it to the runtime.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T> Resolved<T> {
    /// The value, if it is set.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Missing | Self::Unresolvable(_) => None,
        }
    }

    /// Why there is no value although the configuration names a place for it.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Unresolvable(reason) => Some(reason),
            Self::Set(_) | Self::Missing => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
