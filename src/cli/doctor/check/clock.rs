//! The clock that device proofs are held against.

use std::path::Path;

use super::super::facts::Machine;
use super::super::facts::instance::Instance;
use super::super::facts::tool::Tool;
use super::super::facts::who::Caller;
use super::super::finding::{Finding, Outcome, as_root, quote};
use crate::cli::screen::duration;
use crate::limits::DEVICE_SKEW_MS;

/// What `timedatectl` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ntp {
    /// Something on this machine can set the clock.
    can: bool,
    /// It is switched on.
    on: bool,
    /// The kernel holds the clock to be right.
    synchronized: bool,
}

/// All that the verdict needs.
struct Facts<'a> {
    caller: &'a Caller,
    /// Each gateway's clock and ours, in milliseconds since 1970.
    clocks: Vec<(&'a Instance, u64, u64)>,
    ntp: Option<Ntp>,
    /// The clock is that of another machine, around this one.
    contained: bool,
    /// Device proofs refused in the last day because of their time.
    stale: u64,
}

/// Compares the clocks, and looks at the journal.
pub(super) fn look(machine: &Machine) -> Outcome {
    let told = machine.told().iter();
    let clocks = told.filter_map(|(instance, told)| {
        let (theirs, ours) = told.as_ref().ok()?.clocks?;
        Some((instance, theirs, ours))
    });
    let records = machine.journal().as_ref().ok().and_then(Option::as_ref);
    let stale =
        records.into_iter().flatten().filter(|record| record.rule == STALE).map(|record| record.count);
    let properties = ["show", "--property=NTPSynchronized", "--property=NTP", "--property=CanNTP"];
    let ntp = Tool::new("timedatectl").args(&properties).run(machine.patience);
    let facts = Facts {
        caller: &machine.caller,
        clocks: clocks.collect(),
        ntp: ntp.ok().map(|said| parse(&said.out)),
        contained: Path::new(CONTAINED).exists(),
        stale: stale.sum(),
    };
    judge(&facts)
}

fn judge(facts: &Facts<'_>) -> Outcome {
    if facts.clocks.is_empty() && facts.ntp.is_none() {
        return Outcome::Skipped("neither a gateway nor timedatectl could be asked".to_owned());
    }
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for (instance, theirs, ours) in &facts.clocks {
        let apart = theirs.abs_diff(*ours);
        if apart < SLOW_ANSWER_MS {
            saw.push(format!("{}: its clock and this program's are {apart} ms apart", instance.words()));
        } else {
            findings.push(of_gateway(instance, *theirs, *ours, facts.caller));
        }
    }
    let drifts = facts.ntp.filter(|ntp| !ntp.synchronized);
    match drifts {
        Some(ntp) => findings.push(of_machine(ntp, facts)),
        None if facts.stale > 0 => {
            let text = format!("{} refused in the last day because of their time", proofs(facts.stale));
            let why =
                "this machine's clock is synchronised: the devices' clocks are more than two minutes off";
            findings.push(Finding::warning(text).because(why));
        }
        None => saw.extend(facts.ntp.map(|_| "this machine's clock is synchronised".to_owned())),
    }
    Outcome::looked(saw, findings)
}

/// A process of this machine that lives in another time.
fn of_gateway(instance: &Instance, theirs: u64, ours: u64, caller: &Caller) -> Finding {
    let direction = if theirs > ours { "ahead of" } else { "behind" };
    let apart = theirs.abs_diff(ours);
    let text = format!("{}: its clock is {} {direction} this program's", instance.words(), duration(apart));
    let finding = if apart > DEVICE_SKEW_MS { Finding::fault(text) } else { Finding::warning(text) };
    let [_, service] = instance.kind.units();
    finding
        .because("a device proof may be two minutes off; one of the two was started under another clock than the machine's")
        .mend(instance.manager().command(caller, &format!("restart {}", quote(&service))))
}

/// A machine whose clock nobody sets.
fn of_machine(ntp: Ntp, facts: &Facts<'_>) -> Finding {
    let text = "this machine's clock is not synchronised".to_owned();
    let finding = if facts.stale > 0 {
        Finding::fault(format!(
            "{text}, and {} refused in the last day because of their time",
            proofs(facts.stale)
        ))
    } else if ntp.on || facts.contained {
        // It may be on its way, or the host's affair; nothing went wrong so far.
        Finding::note(text)
    } else {
        Finding::warning(text)
    };
    let finding =
        finding.because("a device that signed more than two minutes before or after our time is refused");
    match ntp {
        _ if facts.contained => finding.because("this machine is a container: the host sets its clock"),
        Ntp { on: true, .. } => finding,
        Ntp { can: true, .. } => finding.mend(as_root(facts.caller, "timedatectl set-ntp true")),
        Ntp { .. } => finding.mend(as_root(facts.caller, "apt-get install --yes systemd-timesyncd")),
    }
}

fn proofs(count: u64) -> String {
    if count == 1 { "a device proof was".to_owned() } else { format!("{count} device proofs were") }
}

fn parse(text: &str) -> Ntp {
    let yes = |key: &str| text.lines().any(|line| line.strip_prefix(key) == Some("=yes"));
    Ntp { can: yes("CanNTP"), on: yes("NTP"), synchronized: yes("NTPSynchronized") }
}

/// systemd's mark of a container.
const CONTAINED: &str = "/run/systemd/container";
const STALE: &str = "device-proof-stale";
/// A gateway that needs longer from its challenge to our reading it is slow, not late.
const SLOW_ANSWER_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::facts::instance::Kind;

    fn mend(outcome: &Outcome) -> Vec<String> {
        match outcome {
            Outcome::Looked { findings, .. } => {
                findings.iter().flat_map(|finding| finding.mend.clone()).collect()
            }
            Outcome::Skipped(why) => vec![why.clone()],
        }
    }

    #[test]
    fn clocks_are_compared() {
        let alice = Caller::of("alice", 1000);
        let instance = Instance::of(Kind::System);
        let facts = |theirs, ntp, stale| Facts {
            caller: &alice,
            clocks: vec![(&instance, theirs, 1_000_000)],
            ntp,
            contained: false,
            stale,
        };
        let good = Some(Ntp { can: true, on: true, synchronized: true });
        let off = Some(Ntp { can: true, on: false, synchronized: false });
        let none = Some(Ntp::default());
        let cases = [
            (facts(1_000_100, good, 0), "ok", ""),
            (facts(1_600_000, good, 0), "fault", "sudo systemctl restart loopgate.service"),
            (facts(1_010_000, good, 0), "warning", "sudo systemctl restart loopgate.service"),
            (facts(1_000_000, good, 2), "warning", ""),
            (facts(1_000_000, off, 0), "warning", "sudo timedatectl set-ntp true"),
            (facts(1_000_000, off, 1), "fault", "sudo timedatectl set-ntp true"),
            (facts(1_000_000, none, 0), "warning", "sudo apt-get install --yes systemd-timesyncd"),
            (facts(1_000_000, None, 0), "ok", ""),
        ];
        for (facts, status, command) in cases {
            let outcome = judge(&facts);
            assert_eq!((outcome.status(), mend(&outcome).concat().as_str()), (status, command));
        }
        let blind = Facts { caller: &alice, clocks: Vec::new(), ntp: None, contained: false, stale: 0 };
        assert_eq!(judge(&blind).status(), "skipped");
    }

    #[test]
    fn properties_are_read() {
        let text = "NTPSynchronized=no\nNTP=yes\nCanNTP=yes\n";
        assert_eq!(parse(text), Ntp { can: true, on: true, synchronized: false });
    }
}
