//! The one list of journal entries. Each has a `MESSAGE_ID`, under which packaging/catalog holds its explanation.

use std::borrow::Cow;
use std::fmt;

use super::Field;

/// Syslog levels, as far as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 3: something failed that somebody has to mend.
    Error,
    /// 4: something was refused, or works less well than it should.
    Warning,
    /// 5: normal, and worth knowing.
    Notice,
    /// 6: normal.
    Info,
}

/// One row of [`ENTRIES`].
#[derive(Debug, Clone, Copy)]
pub struct EntryRow {
    /// The kind.
    pub kind: Kind,
    /// `MESSAGE_ID`, 32 hex digits.
    pub id: &'static str,
    /// The level.
    pub level: Level,
    /// The message: a constant sentence, lower case, no full stop.
    pub message: &'static str,
}

/// Something that happened: a kind and its fields, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    kind: Kind,
    fields: Vec<(Field, Value)>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A count, an id of the kernel's, a duration.
    Number(u64),
}

impl Entry {
    /// An entry without fields.
    pub fn new(kind: Kind) -> Self {
        Self { kind, fields: Vec::new() }
    }

    /// The same with one more field, in place of whatever it held before: an entry has each field once. Text of a peer's making is cut and loses its control characters here, so that no
    /// peer can fill the journal or fake a line of the readable form.
    #[must_use]
    pub fn with(mut self, field: Field, value: impl Into<Value>) -> Self {
        self.fields.retain(|(name, _)| *name != field);
        self.fields.push((field, value.into().tamed()));
        self
    }

    /// The same with one more field, if there is a value.
    #[must_use]
    pub fn with_some(self, field: Field, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The fields, in the order in which they were added.
    pub fn fields(&self) -> &[(Field, Value)] {
        &self.fields
    }

    /// The value of `field`.
    pub fn value(&self, field: Field) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, value)| value)
    }
}

impl Value {
    fn tamed(self) -> Self {
        match self {
            Self::Text(text) if needs_taming(&text) => {
                let tame = |c: char| if c.is_control() { '\u{fffd}' } else { c };
                let kept: String =
                    crate::limits::cut(&text, crate::limits::FIELD_BYTES_MAX).chars().map(tame).collect();
                Self::Text(kept.into())
            }
            value => value,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

fn needs_taming(text: &str) -> bool {
    text.len() > crate::limits::FIELD_BYTES_MAX || text.chars().any(char::is_control)
}

macro_rules! entries {
    ($($variant:ident $level:ident $id:literal $message:literal)*) => {
        /// What an entry is about. The doc of a variant is its message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $(#[doc = $message] $variant,)* }

        /// All entries.
        pub const ENTRIES: &[EntryRow] =
            &[$(EntryRow { kind: Kind::$variant, id: $id, level: Level::$level, message: $message },)*];

        impl Kind {
            /// The row of this kind.
            pub const fn row(self) -> EntryRow {
                match self {
                    $(Self::$variant => EntryRow {
                        kind: Self::$variant, id: $id, level: Level::$level, message: $message,
                    },)*
                }
            }
        }
    };
}

entries! {
    Start Info "c4dffaf299054894b4b94fad97b2c4a7" "loopgated starts"
    Ready Notice "950268b646524c378ca3dffce8085594" "ready for handshakes"
    Reload Notice "889d8335168a4b28ab22e596f4ce044c" "the configuration was read again"
    ReloadFailed Error "aaffca33504046b3b8cef89fb0c3ff9b" "the configuration cannot be used, the previous one stays in force"
    Stop Notice "d1c437e0c5114893a6b6a7a7a9c008cd" "loopgated stops"
    StartFailed Error "82f5ffcaaa86495387190e28ef3f2cb0" "loopgated cannot start"
    Fault Error "74c85b3cd2354a429b419c65afc75934" "loopgated ends by a fault of its own"
    HandedOver Notice "49c48bc1b399486abd0b9e238d117926" "the connections wait for the next loopgated"
    TakenOver Notice "afaa1f6d78f645c29e683a1a86735f33" "connections were taken over from the loopgated before"
    TakeOverLost Warning "a985debff34147349210bd2f7181e29c" "a connection could not be taken over"
    TakeOverFailed Error "141956294ea24f2d8b5dc289fefb9690" "what the loopgated before has left cannot be used"
    HandOverFailed Error "6633dc0e33c940369e5570382561ffa4" "connections cannot be kept over a restart"
    SecretUnusable Error "77a49b8328bc43de859d699503a5b7c5" "the gateway secret cannot be had, clients will be refused"
    TokenMade Notice "b89f75b4edd34b22b7a41b7e4c6ef14d" "no gateway token is configured, one was made"
    Accept Info "442c576f181a4f838f3ff64336a39066" "a connection was accepted"
    Admit Notice "7cdcec18576a4355a4c663a5c7376159" "a client was admitted"
    Narrow Warning "7ca8b88e134448c28ee14c3d79bdc15e" "a client was admitted with fewer scopes than it asked for"
    Refuse Warning "de4297ad431c453da5ae67d99fffc436" "a connection was refused"
    Close Info "45905d4a6bac43308e6265500ee7be91" "a connection ended"
    CloseFault Warning "1a204c3cefc14f53b633b640c659f792" "a connection was closed by the gateway"
    Allow Info "8b8ebf91a2794348abf1bcd636217b33" "a scope decision: allowed"
    Deny Warning "ed83053219124df292d0c92112535848" "a scope decision: denied"
    Withhold Info "532c5e861a084df9a30f9818132567c8" "a scope decision: an event was withheld"
    Lockout Warning "9692d75d02cf402ead89fb5cb983a287" "too many failed attempts, this source is locked out for a while"
    PairingRequested Notice "2f9dbbd1782140ef8b762912d00e6805" "a device asks to be paired and waits for approval"
    PairingApproved Notice "73092547b8de4c85b954f65bead18f51" "a device was paired"
    PairingRejected Notice "a98f1bf228e74bbda1b57345b0d00be5" "a pairing request was rejected"
    PairingRemoved Notice "c20a879a8e134683a500b91dc23ff5ff" "a paired device was removed"
    TokenIssued Notice "43e9fce214e34ed5b3397b41e31ff3f3" "a device token was issued"
    TokenRevoked Notice "c743c638b31842da837e471ae1ef1e89" "a device token was revoked"
    DevicesImported Notice "9fe6ed0286bb4af7a2f30b8e06232a87" "devices paired with OpenClaw were taken over"
    ImportFailed Error "27876bfcfc224c368a371d707ad9b04f" "the devices paired with OpenClaw could not be taken over"
    StoreFailed Error "99d3de8da21c40adbbb37fc61116ba4a" "the pairing store could not be written"
    NodeReplaced Notice "68a7f70e0b06415696af8ddb3080e8d9" "a node connected again, its younger connection serves from now on"
    PeerUnknown Warning "a9a21836b67c4f8d9d3dc1487ec76fb8" "the kernel does not tell whose process is at the other end"
    RuntimeReady Notice "5b7d0f3f5d2b4d0c9a4c1d7b0f6f2c91" "the OpenClaw runtime answers"
    RuntimeAway Warning "c0a7b4f1f7f54b6b8a1f0de2c6a94e37" "the OpenClaw runtime is away"
    RuntimeStalled Warning "e61d9a3b2c5e4a0f8f6a7d3914bb5c20" "the OpenClaw runtime is connected and does not answer"
    RuntimeRefuses Error "1f8c2e9d7a6b4f3e9b0d5c4a8e7f6123" "the OpenClaw runtime cannot be used"
    RuntimeBarred Error "71fe9e441a6c4328ba95a4a3a1668237" "this service is not allowed to connect to the OpenClaw runtime"
    RuntimeStranger Error "8d3e5f7a9b1c4d2e8f0a6b5c7d9e1f34" "another user has the port of the OpenClaw runtime"
    Relay Info "b0d54dbba53f4788901a82ec17201051" "an HTTP request is passed to the OpenClaw runtime"
    RelayFailed Warning "ef165c1fd5aa4aeba6d90137e0685bc9" "an HTTP request could not be passed to the OpenClaw runtime"
    JournalDropped Warning "96ba8ba26a8d411ab9a0be48b3f2ce72" "journald did not keep up, entries were dropped"
    WatchdogLate Warning "adeefaaa9b884c7f86d818c700473d1f" "a turn of the loop took longer than it should"
    ConnectionsFull Warning "7a9488a1c4c74f64abcc610a7a33ecad" "no more connections are accepted until some end"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_unique_and_well_formed() {
        for row in ENTRIES {
            assert!(
                row.id.len() == 32 && row.id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')),
                "{}",
                row.id
            );
            assert_eq!(ENTRIES.iter().filter(|other| other.id == row.id).count(), 1, "{}", row.id);
            assert!(!row.message.ends_with('.') && !row.message.starts_with(char::is_uppercase));
            assert_eq!(row.kind.row().id, row.id);
        }
    }

    #[test]
    fn text_of_a_peer_is_tamed() {
        let entry = Entry::new(Kind::Admit).with(Field::ClientId, "a\nMESSAGE=b".to_owned());
        assert_eq!(entry.value(Field::ClientId).unwrap().to_string(), "a\u{fffd}MESSAGE=b");
        let long = Entry::new(Kind::Admit).with(Field::ClientId, "x".repeat(10_000));
        assert_eq!(long.value(Field::ClientId).unwrap().to_string().len(), 256);
    }
}
