//! Why clients were refused in the last hour, by the journal.

use std::collections::BTreeMap;

use super::super::facts::Machine;
use super::super::facts::journal::Record;
use super::super::facts::who::{Caller, Users};
use super::super::finding::{Finding, Outcome, as_root, quote};
use crate::cli::refusal::is_plain;
use crate::cli::screen::duration;

/// The refusals of one rule.
#[derive(Default)]
struct Group<'a> {
    count: u64,
    last: u64,
    remedy: &'a str,
    clients: Vec<&'a str>,
    users: Vec<u32>,
}

/// Looks at the journal.
pub(super) fn look(machine: &Machine) -> Outcome {
    match machine.journal() {
        Ok(Some(records)) => judge(records, &machine.caller, &machine.users, crate::cli::unix_ms() / 1_000),
        Ok(None) => Outcome::Skipped("only root and the group systemd-journal read the journal".to_owned()),
        Err(silence) => Outcome::Skipped(silence.words()),
    }
}

fn judge(records: &[Record], caller: &Caller, users: &Users, now: u64) -> Outcome {
    let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    let recent = |record: &&Record| record.is_refusal() && now.saturating_sub(record.at) < HOUR_SECONDS;
    for record in records.iter().filter(recent) {
        let group = groups.entry(&record.rule).or_default();
        group.count += record.count;
        group.last = group.last.max(record.at);
        group.remedy = &record.remedy;
        if !record.client.is_empty() && !group.clients.contains(&record.client.as_str()) {
            group.clients.push(&record.client);
        }
        group.users.extend(record.peer_uid.filter(|uid| !group.users.contains(uid)));
    }
    let findings: Vec<Finding> =
        groups.iter().map(|(rule, group)| finding(rule, group, caller, users, now)).collect();
    let saw =
        if findings.is_empty() { vec!["nobody was refused in the last hour".to_owned()] } else { Vec::new() };
    Outcome::looked(saw, findings)
}

fn finding(rule: &str, group: &Group<'_>, caller: &Caller, users: &Users, now: u64) -> Finding {
    let names: Vec<String> = group.users.iter().take(SHOWN_MAX).map(|uid| users.name(*uid)).collect();
    let clients: Vec<&str> = group.clients.iter().copied().take(SHOWN_MAX).collect();
    let mut whose = Vec::new();
    if !clients.is_empty() {
        whose.push(clients.join(", "));
    }
    if !names.is_empty() {
        whose.push(format!("user {}", names.join(", ")));
    }
    let ago = duration(now.saturating_sub(group.last) * 1_000);
    let text = format!(
        "{} refused by the rule {rule} ({}), the last {ago} ago",
        times(group.count),
        whose.join("; ")
    );
    // A refusal may be what was wanted: somebody has to judge it.
    let finding = Finding::note(text).because(group.remedy);
    if is_plain(rule) {
        let look = format!("journalctl --no-pager --catalog --since=-1h RULE={}", quote(rule));
        return finding.mend(as_root(caller, &look));
    }
    finding
}

fn times(count: u64) -> String {
    if count == 1 { "one connection was".to_owned() } else { format!("{count} connections were") }
}

const HOUR_SECONDS: u64 = 3_600;
const SHOWN_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::facts::tool::Patience;
    use crate::journal::Kind;

    #[test]
    fn refusals_are_grouped_by_rule() {
        let record = |rule: &str, at, count| Record {
            at,
            id: Kind::Refuse.row().id.to_owned(),
            rule: rule.to_owned(),
            remedy: "use the right one".to_owned(),
            peer_uid: Some(0),
            client: "cli".to_owned(),
            count,
            ..Record::default()
        };
        let records =
            [record("secret-wrong", 9_000, 2), record("secret-wrong", 9_990, 1), record("locked-out", 10, 1)];
        let (alice, users) = (Caller::of("alice", 1000), Users::new(Patience::new()));
        let Outcome::Looked { findings, .. } = judge(&records, &alice, &users, 10_000) else {
            panic!("skipped")
        };
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(
            finding.text,
            "3 connections were refused by the rule secret-wrong (cli; user root), the last 10 s ago"
        );
        assert_eq!(finding.mend, ["sudo journalctl --no-pager --catalog --since=-1h RULE=secret-wrong"]);
    }
}
