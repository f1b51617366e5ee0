//! OpenClaw's own gateways that want the gate's port.

use std::collections::BTreeSet;

use super::super::facts::instance::{Instance, Instances};
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
    judge(machine.rivals(), &ports, machine.instances(), &machine.caller)
}

fn judge(rivals: &[Rival], ports: &BTreeSet<u16>, instances: &Instances, caller: &Caller) -> Outcome {
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for rival in rivals {
        let (words, port) = (rival.words(), rival.port);
        let adopt = || instances.adopt(caller).filter(|_| rival.manager.uid() == caller.uid);
        if rival.stale {
            let text = format!(
                "{words} was moved behind loopgate, and starts another command than its file says by now"
            );
            let why = "its installer has written the file again since, for another version or another place";
            let mend = adopt().unwrap_or_default();
            findings.push(Finding::warning(text).because(why).mend_all(mend));
        }
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
        findings.push(Finding::fault(text).because(why).mend_all(adopt().unwrap_or(vec![disable])));
    }
    if rivals.is_empty() {
        saw.push("no unit starts a gateway of OpenClaw's".to_owned());
    }
    Outcome::looked(saw, findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::facts::instance::Kind;
    use crate::cli::doctor::facts::unit::{Manager, Unit};

    #[test]
    fn a_second_gateway_on_the_port_is_a_fault() {
        let alice = Caller::of("alice", 1000);
        let rival = |port, enabled| Rival {
            manager: Manager::User(alice.user.clone().unwrap()),
            name: "openclaw-gateway.service".to_owned(),
            path: "/h/openclaw-gateway.service".into(),
            port,
            stale: port == 18_790,
            version: None,
            enabled,
            unit: None,
        };
        let ports = BTreeSet::from([18_789]);
        let judged = |rivals: &[Rival], instances: &Instances, caller: &Caller| match judge(
            rivals, &ports, instances, caller,
        ) {
            Outcome::Looked { saw, findings } => (saw.len(), findings),
            Outcome::Skipped(why) => panic!("{why}"),
        };
        let none = Instances::default();
        let (saw, findings) = judged(&[rival(18_789, true), rival(18_791, true)], &none, &alice);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.mend, ["systemctl --user disable --now openclaw-gateway.service"]);
        assert_eq!(saw, 1);
        assert!(judged(&[rival(18_789, false)], &none, &alice).1.is_empty());

        // With an instance of their own it is moved, once the system's is out of the way.
        let own = Instance::of(Kind::User(alice.user.clone().unwrap()));
        let mut some = Instances { found: vec![own], ..Instances::default() };
        assert_eq!(judged(&[rival(18_789, true)], &some, &alice).1[0].mend, ["loopgate adopt"]);
        let socket = Unit::of("loopgate.socket", "UnitFileState=enabled");
        some.found.push(Instance { socket, ..Instance::of(Kind::System) });
        let want = ["sudo systemctl disable --now loopgate.socket", "loopgate adopt"];
        assert_eq!(judged(&[rival(18_789, true)], &some, &alice).1[0].mend, want);
        let root = Caller::of("root", 0);
        let disable = ["systemctl --user --machine=alice@ disable --now openclaw-gateway.service"];
        assert_eq!(judged(&[rival(18_789, true)], &some, &root).1[0].mend, disable);
        let moved = &judged(&[rival(18_790, true)], &some, &alice).1[0];
        assert!(moved.text.contains("another command") && moved.mend == want, "{moved:?}");
    }
}
