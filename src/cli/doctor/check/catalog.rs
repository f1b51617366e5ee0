//! Whether the journal can explain what loopgated writes.

use std::path::Path;

use super::super::facts::Machine;
use super::super::facts::tool::Tool;
use super::super::facts::who::Caller;
use super::super::finding::{Finding, Outcome, as_root};
use crate::journal::ENTRIES;

/// Asks the catalog for every message.
pub(super) fn look(machine: &Machine) -> Outcome {
    // Silent about an id it does not know, but for its status.
    match Tool::new("journalctl").args(&["--no-pager", "--list-catalog"]).hear(machine.patience) {
        Ok(said) => judge(&said.out, Path::new(FILE).exists(), &machine.caller),
        Err(silence) => Outcome::Skipped(silence.words()),
    }
}

fn judge(list: &str, installed: bool, caller: &Caller) -> Outcome {
    let known = ENTRIES.iter().filter(|row| list.contains(row.id)).count();
    let all = ENTRIES.len();
    if known == all {
        return Outcome::ok(format!("the journal explains all {all} messages of loopgated"));
    }
    let text = format!("the journal explains {known} of {all} messages of loopgated");
    let finding =
        Finding::warning(text).because("journalctl --catalog says what a message means and what to do");
    let finding = if installed {
        finding.mend(as_root(caller, "journalctl --update-catalog"))
    } else {
        finding.because(format!("{FILE} is not installed"))
    };
    Outcome::looked(Vec::new(), vec![finding])
}

const FILE: &str = "/usr/lib/systemd/catalog/loopgate.catalog";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_that_is_not_in_use_is_updated() {
        let root = Caller::of("root", 0);
        let all: Vec<&str> = ENTRIES.iter().map(|row| row.id).collect();
        let all = all.join(" loopgate: x\n");
        assert_eq!(judge(&all, true, &root).status(), "ok");
        let Outcome::Looked { findings, .. } = judge("", true, &root) else { panic!("skipped") };
        assert_eq!(findings.first().unwrap().mend, ["journalctl --update-catalog"]);
        let Outcome::Looked { findings, .. } = judge("", false, &root) else { panic!("skipped") };
        assert!(findings.first().unwrap().mend.is_empty());
    }
}
