//! OpenClaw's own gateways that want the gate's port.

use std::collections::BTreeSet;

use super::super::facts::instance::Instance;
use super::super::facts::rival::Rival;
use super::super::facts::who::Caller;
use super::super::facts::{Machine, configured_port};
use super::super::finding::{Finding, Outcome, quote};

/// Looks at the units of OpenClaw's.
pub(super) fn look(machine: &Machine) -> Outcome {
    let mut ports: BTreeSet<u16> = machine.instances().in_use().filter_map(Instance::port).collect();
    if ports.is_empty() {
        ports.insert(configured_port());
    }
    judge(machine.rivals(), &ports, &machine.caller)
}

fn judge(rivals: &[Rival], ports: &BTreeSet<u16>, caller: &Caller) -> Outcome {
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for rival in rivals {
        let (words, port) = (rival.words(), rival.port);
        if !ports.contains(&port) {
            saw.push(format!("{words} has port {port}, beside the gate"));
            continue;
        }
        let state = match (rival.is_active(), rival.enabled) {
            (true, _) => "runs, or tries to",
            (false, true) => "is enabled",
            (false, false) => {
                saw.push(format!("{words} has port {port}, and is neither enabled nor running"));
                continue;
            }
        };
        let text = format!("{words} {state}: a second gateway on port {port}");
        let why = "whoever comes second fails, and is started again and again";
        let disable = rival.manager.command(caller, &format!("disable --now {}", quote(&rival.name)));
        findings.push(Finding::fault(text).because(why).mend(disable));
    }
    if rivals.is_empty() {
        saw.push("no unit starts a gateway of OpenClaw's".to_owned());
    }
    Outcome::looked(saw, findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::facts::unit::Manager;

    #[test]
    fn a_second_gateway_on_the_port_is_a_fault() {
        let alice = Caller::of("alice", 1000);
        let rival = |port, enabled| Rival {
            manager: Manager::User(alice.user.clone().unwrap()),
            name: "openclaw-gateway.service".to_owned(),
            port,
            version: None,
            enabled,
            unit: None,
        };
        let ports = BTreeSet::from([18_789]);
        let outcome = judge(&[rival(18_789, true), rival(18_790, true)], &ports, &alice);
        let Outcome::Looked { saw, findings } = outcome else { panic!("skipped") };
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.mend, ["systemctl --user disable --now openclaw-gateway.service"]);
        assert_eq!(saw.len(), 1);
        assert_eq!(judge(&[rival(18_789, false)], &ports, &alice).status(), "ok");
    }
}
