//! `systemctl restart` under load, again and again: nobody may notice.

use std::time::Duration;

use super::{Report, Stage};
use crate::common::Seed;
use crate::fates::{Fault, Law};
use crate::machine::{Cost, Machine};
use crate::meter::{Spans, show};
use crate::plan::{Manager, Plan};

/// What each restart took.
#[derive(Default)]
struct Rounds {
    command: Spans,
    exit: Spans,
    between: Spans,
    fork: Spans,
    start: Spans,
    hello_silence: Spans,
    hello_took: Spans,
    answer_silence: Spans,
    answer_took: Spans,
}

pub(super) fn run(plan: &Plan) -> Report {
    let mut stage = Stage::set(plan, Law::Seamless, |wish| wish.beater = true);
    let mut seed = Seed(plan.seed);
    // Without a restart, for comparison.
    stage.load.read();
    std::thread::sleep(Duration::from_secs(2));
    let quiet = stage.load.read();
    let asking = cost_of_asking(&mut stage.machine);
    let before = Cost::of(stage.machine.manager).expect("the manager is alive");
    let mut rounds = Rounds::default();
    let mut done: u32 = 0;
    while (done as usize) < plan.rounds && !stage.hopeless() {
        std::thread::sleep(Duration::from_millis(20 + seed.below(150) as u64));
        let begun = std::time::Instant::now();
        let (status, text) = restart(&mut stage.machine, plan.manager);
        rounds.command.push(begun.elapsed());
        if status != 0 {
            stage.report.fault(Fault::Surroundings, &format!("systemctl restart: {status} {text}"));
        }
        rounds.times(&mut stage.machine);
        let window = stage.load.read();
        rounds.hello_silence.push(window.hellos.silence);
        rounds.hello_took.push(window.hellos.took);
        rounds.answer_silence.push(window.answers.silence);
        rounds.answer_took.push(window.answers.took);
        done += 1;
    }
    let after = Cost::of(stage.machine.manager).expect("the manager is alive");
    let crashes = stage.machine.number(stage.machine.service(), "NRestarts");
    if crashes > 0 {
        stage.report.fault(Fault::Surroundings, &format!("it was started again by itself {crashes} times"));
    }
    let report = &mut stage.report;
    report.row("sessions, visitors, restarts", format!("{}, {}, {done}", plan.sessions, plan.visitors));
    report.row("without a restart: longest silence of hellos, answers", {
        format!("{}, {}", show(quiet.hellos.silence), show(quiet.answers.silence))
    });
    rounds.report(report);
    let cpu = (after.cpu - before.cpu) / done.max(1);
    report.row("manager's CPU a restart, without the asking", show(cpu.saturating_sub(asking)));
    stage.close()
}

impl Rounds {
    /// When the manager saw it end and begin.
    fn times(&mut self, machine: &mut Machine) {
        let shown = machine.show(machine.service(), &TIMES);
        let at = |name: &str| shown.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        let span = |from: &str, to: &str| Duration::from_micros(at(to).saturating_sub(at(from)));
        self.exit.push(span(TIMES[0], TIMES[1]));
        self.between.push(span(TIMES[1], TIMES[2]));
        self.fork.push(span(TIMES[2], TIMES[3]));
        self.start.push(span(TIMES[3], TIMES[4]));
    }

    fn report(&self, report: &mut Report) {
        for (name, spans) in [
            ("systemctl restart", &self.command),
            ("SIGTERM to exit", &self.exit),
            ("exit to the manager's next start", &self.between),
            ("of that until there is a process", &self.fork),
            ("from there to ready", &self.start),
            ("longest silence of hellos", &self.hello_silence),
            ("longest handshake", &self.hello_took),
            ("longest silence of answers", &self.answer_silence),
            ("longest call", &self.answer_took),
        ] {
            report.row(&format!("{name}, p50 / p99 / max"), spans.line());
        }
    }
}

pub(super) fn restart(machine: &mut Machine, manager: Manager) -> (i32, String) {
    machine.run(&format!("systemctl {} restart {}", manager.flag(), manager.service()))
}

/// What it costs the manager to be asked for times once.
fn cost_of_asking(machine: &mut Machine) -> Duration {
    let before = Cost::of(machine.manager).expect("the manager is alive");
    for _ in 0..ASKED {
        machine.show(machine.service(), &TIMES);
    }
    (Cost::of(machine.manager).expect("the manager is alive").cpu - before.cpu) / ASKED
}

const ASKED: u32 = 20;
/// SIGTERM, its end, the manager's next start, the process of it, its readiness.
const TIMES: [&str; 5] = [
    "ActiveExitTimestampMonotonic",
    "InactiveEnterTimestampMonotonic",
    "InactiveExitTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
];
