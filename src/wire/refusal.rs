//! The one exit: whatever ends a connection from our side is a [`Refusal`], and the error answer, the close frame (or
//! the HTTP status) and the journal entry are all made from it.

use std::borrow::Cow;

use super::error::ErrorShape;
use crate::limits;

/// Close codes that this gateway sends. 1000 is not among them: a peer that asked for the end gets its own code back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// 1002: no common protocol number, or a frame that RFC 6455 forbids.
    Protocol,
    /// 1003: a kind of data that is not handled.
    Unsupported,
    /// 1007: text that is not UTF-8.
    Invalid,
    /// 1008: everything that is refused by a rule.
    Policy,
    /// 1009: a message over the limit of its phase.
    TooBig,
    /// 1011: our own failure.
    Internal,
    /// 1012: the service stops or restarts.
    Restart,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::Invalid => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::Restart => 1012,
        }
    }
}

/// Why a connection ends from our side. It cannot be built without a reason, a rule and a remedy.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The name of the rule or limit that decided; goes to the journal as `RULE`.
    pub rule: &'static str,
    /// The answer to the request that was refused, if there was one.
    pub error: Option<Box<ErrorShape>>,
    /// The code of the close frame.
    pub code: CloseCode,
    /// The HTTP status if the connection is not a WebSocket yet.
    pub status: u16,
    /// The reason of the close frame; see [`Refusal::close_reason`].
    pub reason: Cow<'static, str>,
    /// What an operator can do about it; goes to the journal as `REMEDY`.
    pub remedy: &'static str,
}

impl Refusal {
    /// A refusal by `rule` whose close reason is `reason`; 1008 over WebSocket, 403 over HTTP.
    pub fn new(rule: &'static str, reason: impl Into<Cow<'static, str>>, remedy: &'static str) -> Self {
        Self { rule, error: None, code: CloseCode::Policy, status: 403, reason: reason.into(), remedy }
    }

    /// A refusal that is also the answer to a request: the reason is the error's message.
    pub fn answer(rule: &'static str, error: ErrorShape, remedy: &'static str) -> Self {
        let reason = error.message.clone();
        Self { error: Some(Box::new(error)), ..Self::new(rule, reason, remedy) }
    }

    /// The same with another close code.
    #[must_use]
    pub fn with_code(mut self, code: CloseCode) -> Self {
        self.code = code;
        self
    }

    /// The same with another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The reason as it goes into the close frame: cut at [`limits::CLOSE_REASON_BYTES_MAX`], never inside a character.
    pub fn close_reason(&self) -> &str {
        limits::cut(&self.reason, limits::CLOSE_REASON_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let refusal = Refusal::new("test", "ü".repeat(100), "none");
        assert_eq!(refusal.close_reason().len(), 120);
    }
}
