//! The one list of journal fields. The man page loopgate-journal(7) and the catalog are checked against it.

/// One row of [`FIELDS`].
#[derive(Debug, Clone, Copy)]
pub struct FieldRow {
    /// The field.
    pub field: Field,
    /// Its name in the journal: `[A-Z][A-Z0-9_]*`, at most 64 characters.
    pub name: &'static str,
    /// What it holds, in one sentence.
    pub help: &'static str,
}

macro_rules! fields {
    ($($variant:ident $name:literal $help:literal)*) => {
        /// A journal field.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Field { $(#[doc = $help] $variant,)* }

        /// All fields, sorted by name.
        pub const FIELDS: &[FieldRow] =
            &[$(FieldRow { field: Field::$variant, name: $name, help: $help },)*];

        impl Field {
            /// The name in the journal.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    AuthMethod "AUTH_METHOD" "How the peer proved who it is: token, password, device-token, bootstrap-token, peer-uid or none."
    Cause "CAUSE" "What went wrong, in words, where it is not the peer's doing."
    ClientId "CLIENT_ID" "The client's id, in its own words."
    ClientMode "CLIENT_MODE" "The client's mode, in its own words."
    ClientVersion "CLIENT_VERSION" "The client's version, in its own words."
    CloseCode "CLOSE_CODE" "The WebSocket close code, or the HTTP status where the connection never became a WebSocket."
    CloseReason "CLOSE_REASON" "The reason that was sent along with it."
    Connections "CONNECTIONS" "How many connections there are."
    ConnId "CONN_ID" "The connection, unique within a run of loopgated; hello-ok tells it to the client as server.connId."
    Count "COUNT" "How many things the entry speaks of."
    Decision "DECISION" "allow, deny-missing-scope or deny-wrong-role."
    Decisions "DECISIONS" "How many equal decisions or entries this one stands for."
    DeviceId "DEVICE_ID" "The device whose key was proven, or which the entry is about."
    Door "DOOR" "The listener: tcp or owner."
    ElapsedUsec "ELAPSED_USEC" "Microseconds since the connection was accepted, or those that something else has taken."
    Event "EVENT" "The event that was to be sent."
    File "FILE" "The file that the entry is about."
    ForwardedBy "FORWARDED_BY" "The header that shows that the connection came through a proxy."
    Host "HOST" "The Host header."
    Method "METHOD" "The method that was called."
    NodeId "NODE_ID" "The node that the entry is about."
    Origin "ORIGIN" "The Origin header."
    Path "PATH" "The path of an HTTP request, without its query; segments that may be secrets are left out."
    PeerAddress "PEER_ADDRESS" "The peer's address and port."
    PeerPid "PEER_PID" "The peer's process, where the kernel tells it."
    PeerUid "PEER_UID" "The user whose process is at the other end, as the kernel tells it."
    Phase "PHASE" "The phase that the connection was in."
    Protocol "PROTOCOL" "The protocol number that was agreed on."
    Remedy "REMEDY" "What to do about it."
    RequestId "REQUEST_ID" "The pairing request, or the request of the call that was refused."
    Role "ROLE" "operator or node."
    Rule "RULE" "The rule that decided; loopgated(8) and loopgate-journal(7) list them."
    RuntimePort "RUNTIME_PORT" "The port of 127.0.0.1 at which the OpenClaw runtime is, or should be."
    RuntimeVersion "RUNTIME_VERSION" "The version that the OpenClaw runtime told when it was there last."
    ScopesGranted "SCOPES_GRANTED" "What the peer may do, implied scopes included."
    ScopesRequested "SCOPES_REQUESTED" "What the peer asked for, in its own words."
    ScopeRequired "SCOPE_REQUIRED" "What the method or event needs."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_journald_takes_and_are_sorted() {
        for pair in FIELDS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
        }
        for row in FIELDS {
            assert!(row.name.len() <= 64 && row.name.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(row.name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
            assert!(row.help.ends_with('.') && row.field.name() == row.name);
        }
    }
}
