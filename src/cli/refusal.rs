//! What an error answer, a close or a broken connection means: the status, and what to type next.
//!
//! Rule: pure. Whether another attempt is worth it is decided here and nowhere else.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;

use super::exit::Exit;
use super::failure::{Again, Failure, codes};
use super::json::Member;
use super::secrets::Credentials;
use super::target::{Address, Target};

/// The `error` member of an answer, as far as it is there.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireError {
    /// `INVALID_REQUEST`, `UNAVAILABLE`, ...
    pub code: String,
    /// A sentence.
    pub message: String,
    /// Particulars; `details.code` is the finer code.
    #[serde(default)]
    pub details: Option<Value>,
    /// Whether the same may work later.
    #[serde(default)]
    pub retryable: Option<bool>,
    /// How long to wait before that.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

/// What was going on when the connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage<'a> {
    /// Nothing was asked yet.
    Handshake,
    /// The answer to this method is owed.
    Request(&'a str),
}

impl WireError {
    /// The answer to a request as a failure.
    pub(crate) fn into_failure(self) -> Failure {
        let exit = if self.is_refusal() { Exit::Refused } else { Exit::Answer };
        let again = if self.code == "UNAVAILABLE" && self.retryable == Some(true) {
            Again::Harmless(self.retry_after_ms.map(Duration::from_millis))
        } else {
            Again::Never
        };
        let scope = self.missing_scope();
        let mut failure =
            Failure { code: self.code.into(), ..Failure::new(exit, "", self.message) }.again(again);
        failure.details = self.details.map(Box::new);
        if scope {
            return failure.next("loopgate probe, which shows the scopes that were granted");
        }
        failure
    }

    /// The answer to `connect` as a failure.
    pub(crate) fn into_connect_failure(self, target: &Target, credentials: &Credentials) -> Failure {
        let fine = self
            .details
            .as_ref()
            .and_then(|details| details.at("code").as_str())
            .unwrap_or_default()
            .to_owned();
        let request =
            self.details.as_ref().and_then(|details| details.at("requestId").as_str()).map(str::to_owned);
        // Older gateways give no code for it, only the sentence.
        let mismatch = fine == "PROTOCOL_MISMATCH" || self.message == "protocol mismatch";
        // It is about whose process asks: no secret would help.
        let stranger =
            self.details.as_ref().is_some_and(|details| details.at("authReason") == "peer_not_allowed");
        let mut failure = self.into_failure();
        if mismatch {
            failure.exit = Exit::Protocol;
            return failure
                .next("upgrade the older of loopgate and the gateway; loopgate speaks protocol 3 and 4");
        }
        // "Starting, come back" is no verdict on who we are, so no advice about secrets.
        if failure.again != Again::Never {
            return failure;
        }
        failure.exit = Exit::Refused;
        match fine.as_str() {
            "PAIRING_REQUIRED" => failure.next(approval(request.as_deref())),
            "AUTH_RATE_LIMITED" => {
                failure.next("wait for some minutes, then once more with the right secret")
            }
            "CONTROL_UI_ORIGIN_NOT_ALLOWED" => failure,
            _ if stranger => target.joining().iter().fold(failure, |failure, advice| failure.next(*advice)),
            _ if target.address.is_owner_door() && credentials.is_empty() => failure
                .next("run it as the user who owns the gateway, or as root")
                .next("loopgate --token-file FILE COMMAND"),
            _ => {
                failure.message = format!("{}; {}", failure.message, credentials.origin());
                failure.next(credentials.remedy())
            }
        }
    }

    /// Every version says it in these words; the code differs.
    fn missing_scope(&self) -> bool {
        self.message.starts_with("missing scope: ")
    }

    /// Whether it is about who asks, not about what is asked. Protocol 3 has one code for both, so the words count.
    fn is_refusal(&self) -> bool {
        let fine = self.details.as_ref().and_then(|details| details.at("code").as_str()).unwrap_or_default();
        matches!(self.code.as_str(), "FORBIDDEN" | "NOT_PAIRED")
            || self.missing_scope()
            || self.message.starts_with("unauthorized")
            || ["AUTH_", "DEVICE_", "PAIRING_"].iter().any(|prefix| fine.starts_with(prefix))
    }
}

/// The gateway ended the connection with a close frame, before it answered.
pub(crate) fn closed(stage: Stage<'_>, frame: Option<&CloseFrame>) -> Failure {
    let code = frame.map(|frame| u16::from(frame.code));
    let reason = frame.map_or("", |frame| frame.reason.as_str());
    let told = match (code, reason) {
        (None, _) => "no code, no reason".to_owned(),
        (Some(code), "") => format!("{code}, no reason"),
        (Some(code), reason) => format!("{code} {reason}"),
    };
    let (message, again) = match stage {
        Stage::Handshake => {
            (format!("the gateway closed the connection in the handshake ({told})"), Again::Harmless(None))
        }
        Stage::Request(method) => (
            format!("the gateway closed the connection before it answered {method} ({told})"),
            Again::Repeatable,
        ),
    };
    // 1011 failure, 1012 restart, 1013 try again: the next attempt may meet a healthy gateway. 1008 is a rule's verdict,
    // 1009 our own message's size, 1002 and all else a misunderstanding that will repeat itself.
    let (exit, again) = match code {
        Some(1011..=1013) => (Exit::Temporary, again),
        Some(1008) => (Exit::Refused, Again::Never),
        Some(1009) => (Exit::Answer, Again::Never),
        _ => (Exit::Protocol, Again::Never),
    };
    let name = match stage {
        Stage::Handshake => "handshake",
        Stage::Request(_) => "request",
    };
    Failure::new(exit, codes::CLOSED, message)
        .with_details(json!({"closeCode": code, "closeReason": reason, "stage": name}))
        .again(again)
        .next("journalctl -e -u loopgate.service, which tells why")
}

/// The connection broke without a close frame: the process behind it died, or is no gateway.
pub(crate) fn broken(stage: Stage<'_>, cause: &str) -> Failure {
    let (message, again) = match stage {
        Stage::Handshake => {
            (format!("the connection broke in the handshake: {cause}"), Again::Harmless(None))
        }
        Stage::Request(method) => {
            (format!("the connection broke before the answer to {method}: {cause}"), Again::Repeatable)
        }
    };
    Failure::new(Exit::Temporary, codes::CLOSED, message).again(again)
}

/// No answer within `limit`.
pub(crate) fn late(stage: Stage<'_>, limit: Duration) -> Failure {
    let ms = crate::clock::millis(limit);
    let what = match stage {
        Stage::Handshake => "to the handshake".to_owned(),
        Stage::Request(method) => format!("to {method}"),
    };
    Failure::new(Exit::Temporary, codes::TIMEOUT, format!("no answer {what} within {ms} ms"))
        .with_details(json!({"timeoutMs": ms}))
        .next(format!("--timeout {}", ms.saturating_mul(3)))
}

/// No connection at all.
pub(crate) fn unreachable(target: &Target, error: &io::Error) -> Failure {
    let address = &target.address;
    // Both happen for the moment in which a unit is started; with socket activation, hardly ever.
    let starting = matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
    let cause = match (error.kind(), address) {
        (io::ErrorKind::NotFound, Address::Unix(_)) => "there is no such socket".to_owned(),
        (io::ErrorKind::ConnectionRefused, _) => "nobody listens there".to_owned(),
        (io::ErrorKind::PermissionDenied, _) => "permission denied".to_owned(),
        (io::ErrorKind::TimedOut, _) => "nobody accepts the connection in time".to_owned(),
        _ => error.to_string(),
    };
    let (exit, code) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Exit::Refused, "PERMISSION_DENIED"),
        _ => (Exit::Unreachable, codes::UNREACHABLE),
    };
    let mut failure = Failure::new(exit, code, format!("no gateway at {address}: {cause}"))
        .again(if starting { Again::Harmless(None) } else { Again::Never });
    if exit == Exit::Refused {
        return target.admission().iter().fold(failure, |failure, advice| failure.next(*advice));
    }
    // It knows who holds the port, and what opens it; the units' own words are for whoever wants to see.
    failure = failure.next("loopgate doctor port socket");
    for command in target.units() {
        failure = failure.next(command);
    }
    failure
}

/// What listens does not speak WebSocket, or refused the upgrade with this HTTP status.
pub(crate) fn not_upgraded(target: &Target, status: u16) -> Failure {
    let address = &target.address;
    let message = format!("{address} refused the WebSocket upgrade with HTTP {status}");
    // 503 is what an OpenClaw gateway says while it shuts down or starts.
    let (exit, again) = match status {
        503 => (Exit::Temporary, Again::Harmless(None)),
        401 | 403 => (Exit::Refused, Again::Never),
        _ => (Exit::Protocol, Again::Never),
    };
    let failure =
        Failure::new(exit, codes::CLOSED, message).with_details(json!({"httpStatus": status})).again(again);
    if exit == Exit::Protocol {
        failure.next(format!("see who listens there: {}", owner_command(address)))
    } else {
        failure
    }
}

/// The command that shows who listens at `address`.
pub(crate) fn owner_command(address: &Address) -> String {
    match address {
        Address::Unix(path) => format!("ss -xlp src {}", path.display()),
        Address::Tcp { addr, .. } => format!("ss -tlnp sport = :{}", addr.port()),
    }
}

/// The command that approves a request. An id that is not plain is not repeated: people paste what they are shown.
fn approval(request: Option<&str>) -> String {
    match request {
        Some(id) if is_plain(id) => format!("loopgate devices approve {id}"),
        _ => "loopgate devices list".to_owned(),
    }
}

/// Whether `id` is safe to stand in a command that somebody pastes into a shell.
pub(crate) fn is_plain(id: &str) -> bool {
    !id.is_empty()
        && !id.starts_with('-')
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::frame::coding::CloseCode;

    fn error(value: Value) -> WireError {
        serde_json::from_value(value).unwrap()
    }

    fn connect(value: Value) -> Failure {
        error(value).into_connect_failure(&Target::at_port(7), &Credentials::default())
    }

    #[test]
    fn refusals_are_told_from_errors() {
        let cases = [
            (json!({"code": "INVALID_REQUEST", "message": "unknown method: x"}), Exit::Answer),
            (json!({"code": "INVALID_REQUEST", "message": "missing scope: operator.read"}), Exit::Refused),
            (json!({"code": "FORBIDDEN", "message": "missing scope: operator.read"}), Exit::Refused),
            (json!({"code": "INVALID_REQUEST", "message": "unauthorized role: operator"}), Exit::Refused),
            (json!({"code": "NOT_PAIRED", "message": "x"}), Exit::Refused),
            (json!({"code": "UNAVAILABLE", "message": "x", "retryable": false}), Exit::Answer),
        ];
        for (value, want) in cases {
            let failure = error(value.clone()).into_failure();
            assert_eq!((failure.exit, failure.again), (want, Again::Never), "{value}");
        }
    }

    #[test]
    fn only_what_says_so_is_tried_again() {
        let busy = json!({"code": "UNAVAILABLE", "message": "x", "retryable": true, "retryAfterMs": 70});
        assert_eq!(
            error(busy.clone()).into_failure().again,
            Again::Harmless(Some(Duration::from_millis(70)))
        );
        assert_eq!(connect(busy).again, Again::Harmless(Some(Duration::from_millis(70))));
        let limited = json!({"code": "INVALID_REQUEST", "message": "unauthorized: too many", "retryable": true,
            "details": {"code": "AUTH_RATE_LIMITED"}});
        assert_eq!(connect(limited).again, Again::Never);
    }

    #[test]
    fn a_refused_secret_names_its_source() {
        let value = json!({"code": "INVALID_REQUEST", "message": "unauthorized: gateway token missing",
            "details": {"code": "AUTH_TOKEN_MISSING"}});
        let failure = connect(value);
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.message.ends_with("no token and no password were offered"), "{}", failure.message);
        assert!(failure.next.concat().contains("--token-file"));
    }

    #[test]
    fn a_stranger_is_not_asked_for_a_secret() {
        let value = json!({"code": "INVALID_REQUEST", "message": "unauthorized: user 1002 may not use this gateway",
            "details": {"code": "AUTH_UNAUTHORIZED", "authReason": "peer_not_allowed"}});
        let failure = connect(value);
        assert!(!failure.to_text().contains("token"), "{failure:?}");
        assert_eq!(failure.next, ["run it as the user who owns the gateway, or as root"]);
    }

    #[test]
    fn a_pairing_request_is_named_unless_it_could_bite() {
        let value = |id: &str| {
            json!({"code": "NOT_PAIRED", "message": "pairing required",
                "details": {"code": "PAIRING_REQUIRED", "requestId": id}})
        };
        assert_eq!(connect(value("44e7-x")).next, ["loopgate devices approve 44e7-x"]);
        assert_eq!(connect(value("x; rm -r ~")).next, ["loopgate devices list"]);
        assert_eq!(connect(value("--latest")).next, ["loopgate devices list"]);
    }

    #[test]
    fn closes_are_judged_by_code_and_stage() {
        let request = Stage::Request("health");
        let cases = [
            (Stage::Handshake, Some(1012), Exit::Temporary, Again::Harmless(None)),
            (Stage::Handshake, Some(1013), Exit::Temporary, Again::Harmless(None)),
            (Stage::Handshake, Some(1011), Exit::Temporary, Again::Harmless(None)),
            (Stage::Handshake, Some(1008), Exit::Refused, Again::Never),
            (Stage::Handshake, Some(1000), Exit::Protocol, Again::Never),
            (Stage::Handshake, None, Exit::Protocol, Again::Never),
            (request, Some(1012), Exit::Temporary, Again::Repeatable),
            (request, Some(1009), Exit::Answer, Again::Never),
        ];
        for (stage, code, exit, again) in cases {
            let frame = code.map(|code| CloseFrame { code: CloseCode::from(code), reason: "why".into() });
            let failure = closed(stage, frame.as_ref());
            assert_eq!((failure.exit, failure.again), (exit, again), "{stage:?} {code:?}");
        }
        let frame = CloseFrame { code: CloseCode::from(1012), reason: "service restart".into() };
        let failure = closed(request, Some(&frame));
        assert!(
            failure.message.ends_with("before it answered health (1012 service restart)"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn an_absent_gateway_is_waited_for_a_forbidden_one_is_not() {
        let target = Target::at_port(7);
        let refused = unreachable(&target, &io::ErrorKind::ConnectionRefused.into());
        assert_eq!((refused.exit, refused.again), (Exit::Unreachable, Again::Harmless(None)));
        assert_eq!(refused.next.len(), 4);
        let denied = unreachable(&target, &io::ErrorKind::PermissionDenied.into());
        assert_eq!((denied.exit, denied.again), (Exit::Refused, Again::Never));
        let socket = Target {
            address: Address::Unix("/run/loopgate/owner.sock".into()),
            named_by: super::super::target::NamedBy::System,
        };
        let denied = unreachable(&socket, &io::ErrorKind::PermissionDenied.into());
        assert!(denied.next.concat().contains("sudo usermod -aG loopgate $USER"), "{denied:?}");
    }
}
