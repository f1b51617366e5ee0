//! Which versions of clients come.

use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::Machine;
use super::super::facts::gate::Told;
use super::super::facts::instance::Instance;
use super::super::facts::journal::Record;
use super::super::finding::{Finding, Outcome};
use crate::cli::failure::Failure;
use crate::cli::json::Member;
use crate::cli::screen::neutral;

/// Looks at who is connected, and at the journal of the last day.
pub(super) fn look(machine: &Machine) -> Outcome {
    let empty = Vec::new();
    let records = machine.journal().as_ref().ok().and_then(Option::as_ref).unwrap_or(&empty);
    let told = machine.told();
    if records.is_empty() && told.iter().all(|(_, answer)| answer.is_err()) {
        return Outcome::Skipped(
            "nobody could be asked: neither the owner's socket nor the journal is open".to_owned(),
        );
    }
    judge(told, records)
}

fn judge(told: &[(Instance, Result<Told, Failure>)], records: &[Record]) -> Outcome {
    // By client and version, each with whether it was refused for its protocol.
    let mut seen: BTreeMap<(String, String), bool> = BTreeMap::new();
    for record in records.iter().filter(|record| !record.client.is_empty()) {
        let refused = seen.entry((record.client.clone(), record.version.clone())).or_default();
        *refused |= record.rule == MISMATCH;
    }
    for told in told.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
        for entry in told.answer("system-presence").as_array().into_iter().flatten() {
            let text = |key: &str| entry.at(key).as_str().map(neutral);
            if let (Some(mode), Some(version)) = (text("mode"), text("version")) {
                if mode != "gateway" {
                    seen.entry((mode, version)).or_default();
                }
            }
        }
    }
    let mut findings = Vec::new();
    for ((client, version), refused) in &seen {
        if *refused {
            let text = format!("{client} {version} speaks another protocol and was refused");
            findings.push(
                Finding::warning(text).because("use OpenClaw 2026.3.13 to 2026.9, or a newer loopgate"),
            );
        } else if is_older(version) {
            let text = format!(
                "{client} {version} is older than {}, the first version that loopgate is tested with",
                FIRST.map(|n| n.to_string()).join(".")
            );
            findings.push(Finding::note(text).because("update it if something does not work"));
        }
    }
    let versions: BTreeSet<&str> =
        seen.keys().map(|(_, version)| version.as_str()).filter(|v| !v.is_empty()).collect();
    let saw = if versions.is_empty() {
        "no client was seen in the last day".to_owned()
    } else {
        format!(
            "versions of clients seen: {}",
            versions.into_iter().take(SHOWN_MAX).collect::<Vec<_>>().join(", ")
        )
    };
    Outcome::looked(vec![saw], findings)
}

/// Whether a version of OpenClaw's is older than the first that is served. Other numbers say nothing: other programs
/// count in their own way.
fn is_older(version: &str) -> bool {
    let numbers: Vec<u32> =
        version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).take(FIRST.len()).collect();
    numbers.first().is_some_and(|year| (2024..3000).contains(year)) && numbers.as_slice() < FIRST.as_slice()
}

const MISMATCH: &str = "protocol-mismatch";
const FIRST: [u32; 3] = [2026, 3, 13];
const SHOWN_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_from_others() {
        for (version, want) in [
            ("2026.3.12", true),
            ("2026.1.30-2", true),
            ("2026.3.13", false),
            ("2026.9.6", false),
            ("0.1.0", false),
            ("dev", false),
            ("", false),
        ] {
            assert_eq!(is_older(version), want, "{version}");
        }
    }

    #[test]
    fn a_refused_protocol_is_a_warning() {
        let record = |rule: &str, version: &str| Record {
            rule: rule.into(),
            client: "cli".into(),
            version: version.into(),
            ..Record::default()
        };
        let outcome = judge(&[], &[record(MISMATCH, "2025.1.1"), record("local-operator", "2026.3.1")]);
        assert_eq!(
            (outcome.status(), outcome.count(super::super::super::finding::Level::Note)),
            ("warning", 1)
        );
    }
}
