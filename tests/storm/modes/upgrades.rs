//! The package replaced by another version of itself and back, by dpkg and by apt, under load: nobody may notice, and
//! the port is the same one all the time.

use std::time::{Duration, Instant};

use super::{Report, Stage};
use crate::common::Seed;
use crate::fates::{Fault, Law};
use crate::machine::listeners;
use crate::meter::{Spans, show};
use crate::plan::Plan;

pub(super) fn run(plan: &Plan) -> Report {
    let mut stage = Stage::set(plan, Law::Seamless, |wish| wish.beater = true);
    let mut seed = Seed(plan.seed);
    stage.load.read();
    std::thread::sleep(Duration::from_secs(2));
    let quiet = stage.load.read();
    let (mut command, mut greeted, mut told) = (Spans::default(), Spans::default(), Spans::default());
    let before = Door::look(&mut stage);
    let mut done: usize = 0;
    while done < plan.rounds && !stage.hopeless() {
        std::thread::sleep(Duration::from_millis(20 + seed.below(300) as u64));
        let Some(took) = stage.replace(done) else { break };
        command.push(took);
        let window = stage.load.read();
        greeted.push(window.hellos.silence);
        told.push(window.answers.silence);
        if Door::look(&mut stage) != before {
            stage.report.fault(Fault::Surroundings, "the sockets are no longer the same ones");
        }
        stage.check_units();
        done += 1;
    }
    let report = &mut stage.report;
    report.row("sessions, visitors, upgrades and downgrades", {
        format!("{}, {}, {done}", plan.sessions, plan.visitors)
    });
    report.row("listening sockets, since when, as the manager counts", format!("{before:?}"));
    report.row("without an upgrade: longest silence of hellos, answers", {
        format!("{}, {}", show(quiet.hellos.silence), show(quiet.answers.silence))
    });
    report.row("dpkg or apt, p50 / p99 / max", command.line());
    report.row("longest silence of hellos, p50 / p99 / max", greeted.line());
    report.row("longest silence of answers, p50 / p99 / max", told.line());
    stage.close()
}

/// What must stay as it is, whatever happens to the service.
#[derive(Debug, PartialEq, Eq)]
struct Door {
    sockets: Vec<u64>,
    active_since: u64,
}

impl Door {
    fn look(stage: &mut Stage) -> Self {
        let machine = &mut stage.machine;
        let active_since = machine.number(machine.socket(), "ActiveEnterTimestampMonotonic");
        let sockets = listeners();
        if sockets.len() != 2 || active_since == 0 {
            stage.report.fault(Fault::Surroundings, &format!("{sockets:?} listen, since {active_since}"));
        }
        Self { sockets, active_since }
    }
}

impl Stage {
    /// The other version. How long that took; none if nothing came of it.
    fn replace(&mut self, done: usize) -> Option<Duration> {
        let old = self.machine.daemon();
        // The machine has the first already.
        let package = PACKAGES[(done + 1) % PACKAGES.len()];
        let begun = Instant::now();
        let install = INSTALLERS[done / PACKAGES.len() % INSTALLERS.len()];
        let (status, text) = self.machine.as_root(&format!("{install} {package}"));
        let took = begun.elapsed();
        if status != 0 {
            self.report.fault(Fault::Surroundings, &format!("{install} {package}: {status}: {text}"));
            return None;
        }
        // dpkg -i returns when the new process serves: the unit says so, not a file.
        let new = self.machine.daemon();
        let program = new.and_then(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok());
        if old.is_none() || new == old || program.as_deref() != Some(std::path::Path::new(PROGRAM)) {
            let what = format!("{install} {package}: from process {old:?} to {new:?}, {program:?}: {text}");
            self.report.fault(Fault::Surroundings, &what);
            return None;
        }
        Some(took)
    }
}

/// As `tests/machine/storm` puts them into the machine.
const PACKAGES: [&str; 2] = ["/packages/a.deb", "/packages/b.deb"];
/// Both ways that people have.
const INSTALLERS: [&str; 2] =
    ["dpkg -i", "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --allow-downgrades"];
/// As the link in /proc shows it; "(deleted)" follows where a process still runs what is no longer there.
const PROGRAM: &str = "/usr/bin/loopgated";
