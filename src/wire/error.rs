//! Error answers (`res` with `ok: false`) and their shapes per protocol.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::Protocol;

/// Codes of OpenClaw's gateway protocol. `Forbidden` exists from protocol 4 on; see [`ErrorShape::for_peer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// A scope is missing. Protocol 3 says `INVALID_REQUEST` instead.
    Forbidden,
    /// The request, or what it asks for, cannot be right.
    InvalidRequest,
    /// The device has to be paired, or to prove itself, first.
    NotPaired,
    /// Not now, or not here: something that the answer needs is missing.
    Unavailable,
}

/// The `error` member of a `res` frame. Its five keys are all that protocol 3 clients accept.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorShape {
    /// The class of the error; clients branch on it.
    pub code: ErrorCode,
    /// The sentence a person reads. Clients match on some of them, so they are part of the protocol.
    pub message: Cow<'static, str>,
    /// Machine-readable particulars, often with a `code` of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether the same request may work later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// How long to wait before that, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorShape {
    /// `INVALID_REQUEST`.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// `UNAVAILABLE`, and trying again does not help by itself.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: Some(false), ..Self::new(ErrorCode::Unavailable, message) }
    }

    /// `UNAVAILABLE` for the moment: worth another try after `after_ms`.
    pub fn busy(message: impl Into<Cow<'static, str>>, after_ms: u64) -> Self {
        Self {
            retryable: Some(true),
            retry_after_ms: Some(after_ms),
            ..Self::new(ErrorCode::Unavailable, message)
        }
    }

    /// A scope that the connection lacks, by its wire name. Both versions of the command line match on the message.
    pub fn missing_scope(scope: &str) -> Self {
        Self {
            details: Some(json!({
                "code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope],
            })),
            ..Self::new(ErrorCode::Forbidden, format!("missing scope: {scope}"))
        }
    }

    /// Any code, without details.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None, retryable: None, retry_after_ms: None }
    }

    /// The same with particulars.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// The shape that a peer of `protocol` knows: protocol 3 has no `FORBIDDEN` and no details for a missing scope.
    #[must_use]
    pub fn for_peer(mut self, protocol: Protocol) -> Self {
        if self.code == ErrorCode::Forbidden && protocol == Protocol::V3 {
            self.code = ErrorCode::InvalidRequest;
            self.details = None;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_scope_has_the_shape_of_each_version() {
        let v3 =
            serde_json::to_value(ErrorShape::missing_scope("operator.read").for_peer(Protocol::V3)).unwrap();
        assert_eq!(v3, json!({"code": "INVALID_REQUEST", "message": "missing scope: operator.read"}));
        let v4 =
            serde_json::to_value(ErrorShape::missing_scope("operator.read").for_peer(Protocol::V4)).unwrap();
        assert_eq!(v4["code"], "FORBIDDEN");
        assert_eq!(v4["message"], "missing scope: operator.read");
        assert_eq!(v4["details"]["missingScope"], "operator.read");
    }
}
