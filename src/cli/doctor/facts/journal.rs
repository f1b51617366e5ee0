//! What the journal has of refusals.

use serde_json::Value;

use super::tool::{Patience, Silence, Tool, list};
use super::who::Caller;
use crate::cli::screen::neutral;
use crate::journal::Kind;

/// One refusal, or one admission: the fields that tell why and whose it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Seconds since 1970.
    pub at: u64,
    /// The message id.
    pub id: String,
    /// The rule that decided.
    pub rule: String,
    /// What to do about it.
    pub remedy: String,
    /// The reason that was sent.
    pub reason: String,
    /// Whose process it was.
    pub peer_uid: Option<u32>,
    /// The client's name for itself.
    pub client: String,
    /// The client's version.
    pub version: String,
    /// For how many it stands.
    pub count: u64,
}

/// The refusals and admissions of the last day, oldest first. `None` where the caller may not read the journal, and has
/// no gate of their own (`own`), whose entries they may.
pub(crate) fn last_day(
    caller: &Caller,
    own: bool,
    patience: Patience,
) -> Result<Option<Vec<Record>>, Silence> {
    let kinds = [Kind::Refuse, Kind::Admit, Kind::Narrow];
    let matches: Vec<String> = kinds.iter().map(|kind| format!("MESSAGE_ID={}", kind.row().id)).collect();
    let fields = format!("--output-fields={}", FIELDS.join(","));
    let most = format!("--lines={RECORDS_MAX}");
    let arguments = ["--no-pager", "--output=json", "--since=-24h", &fields, &most];
    let words: Vec<&str> = matches.iter().map(String::as_str).collect();
    let said = Tool::new("journalctl").args(&arguments).args(&words).run(patience)?;
    let records: Vec<Record> = said.out.lines().filter_map(|line| record(line, caller.uid)).collect();
    let open = caller.is_root() || own || is_open();
    Ok(open.then_some(records))
}

/// Whether the system's journal can be read. journalctl shows what there is for the caller, and with `--output=json` says
/// no word about the rest.
fn is_open() -> bool {
    let machines = FOLDERS.iter().flat_map(|folder| list(folder));
    let mut journals = machines.map(|machine| machine.join("system.journal"));
    journals.any(|journal| std::fs::File::open(journal).is_ok())
}

/// The record in a line, if a gate wrote it that the caller has reason to believe: one that the system runs, or the
/// caller's own. Everybody can write such an entry, but for the fields that the journal adds; a user's own manager would
/// vouch for whatever its user writes, so that user has to ask.
fn record(line: &str, caller: u32) -> Option<Record> {
    let value: Value = serde_json::from_str(line).ok()?;
    // What a client calls itself may be anything; a terminal must not act on it.
    let text = |key: &str| neutral(value.get(key).and_then(Value::as_str).unwrap_or_default());
    let number = |key: &str| value.get(key).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
    let unit = value.get("_SYSTEMD_UNIT").and_then(Value::as_str).unwrap_or_default();
    let is_systems = unit == "loopgate.service" || unit.starts_with("loopgate@");
    if !is_systems && number("_UID") != Some(caller.into()) {
        return None;
    }
    Some(Record {
        at: number("__REALTIME_TIMESTAMP")? / 1_000_000,
        id: text("MESSAGE_ID"),
        rule: text("RULE"),
        remedy: text("REMEDY"),
        reason: text("CLOSE_REASON"),
        peer_uid: number("PEER_UID").and_then(|uid| u32::try_from(uid).ok()),
        client: text("CLIENT_ID"),
        version: text("CLIENT_VERSION"),
        count: number("DECISIONS").unwrap_or(1).clamp(1, COUNT_MAX),
    })
}

impl Record {
    /// Whether somebody was sent away.
    pub(crate) fn is_refusal(&self) -> bool {
        self.id == Kind::Refuse.row().id
    }
}

const FIELDS: [&str; 10] = [
    "MESSAGE_ID",
    "RULE",
    "REMEDY",
    "CLOSE_REASON",
    "PEER_UID",
    "CLIENT_ID",
    "CLIENT_VERSION",
    "DECISIONS",
    "_SYSTEMD_UNIT",
    "_UID",
];
const RECORDS_MAX: usize = 2_000;
/// Where journald keeps what it writes, with a folder for each machine.
const FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
/// More than a day can have; sums of them stay numbers.
const COUNT_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_record() {
        let line = r#"{"__REALTIME_TIMESTAMP":"1763900000123456","MESSAGE_ID":"de4297ad431c453da5ae67d99fffc436",
            "RULE":"secret-wrong","PEER_UID":"1000","CLIENT_ID":"a\u001b[2Jb","DECISIONS":"3","REMEDY":null,"_UID":"996",
            "_SYSTEMD_UNIT":"loopgate.service"}"#;
        let record = record(line, 0).unwrap();
        assert!(record.is_refusal());
        assert_eq!((record.at, record.count, record.peer_uid), (1_763_900_000, 3, Some(1000)));
        assert_eq!(record.client, "a\\x1b[2Jb");
        assert_eq!(super::record("-- No entries --", 0), None);
    }

    #[test]
    fn what_others_write_is_not_believed() {
        let of = |unit: &str| {
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1","MESSAGE_ID":"x","_UID":"1000","_SYSTEMD_UNIT":"{unit}"}}"#
            )
        };
        let is_taken = |unit: &str, caller| record(&of(unit), caller).is_some();
        assert!(is_taken("loopgate.service", 0) && is_taken("loopgate@alice.service", 0));
        assert!(is_taken("user@1000.service", 1000) && !is_taken("user@1000.service", 0));
        assert!(!is_taken("loopgate.service.evil", 0) && !is_taken("", 1001));
    }
}
