//! SIGKILL, or SIGSTOP until the watchdog acts, at random instants under load: what is at rest stays, what is not is
//! told so, and nothing is ever answered twice or not at all.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{Report, Stage};
use crate::common::Seed;
use crate::fates::{Fault, Law};
use crate::load::Until;
use crate::machine::{any_daemon, await_stillness, strike};
use crate::meter::{Seen, Spans};
use crate::plan::{Mode, Plan};
use crate::rig::within;

/// What the rounds were like.
#[derive(Default)]
struct Rounds {
    done: usize,
    /// How often the next process was struck while it took over.
    again: usize,
    ready: Spans,
    hellos: Spans,
    answers: Spans,
}

pub(super) fn run(plan: &Plan) -> Report {
    let signal = if plan.mode == Mode::Watchdog { Signal::SIGSTOP } else { Signal::SIGKILL };
    let mut stage = Stage::set(plan, Law::Crash, |wish| {
        wish.beater = true;
        wish.beat = Duration::from_secs(3);
        if signal == Signal::SIGSTOP {
            wish.patience = Duration::from_secs(60);
        }
    });
    stage.load.ask_idle(usize::MAX);
    let (mut seed, mut rounds) = (Seed(plan.seed), Rounds::default());
    while rounds.done < plan.rounds && !stage.hopeless() && rounds.next(&mut stage, signal, &mut seed) {
        rounds.done += 1;
        if rounds.done % 10 == 0 {
            stage.check_units();
        }
    }
    let starts = stage.machine.number(stage.machine.service(), "NRestarts");
    let report = &mut stage.report;
    report
        .row("sessions, idle ones, visitors", format!("{}, {}, {}", plan.sessions, plan.idle, plan.visitors));
    report.row(
        &format!("{signal}, and again during the take-over"),
        format!("{}, {}", rounds.done, rounds.again),
    );
    report.row("starts by the manager itself", starts);
    report.row("until the next one is ready, p50 / p99 / max", rounds.ready.line());
    report.row("longest silence of hellos, p50 / p99 / max", rounds.hellos.line());
    report.row("longest silence of answers, p50 / p99 / max", rounds.answers.line());
    stage.close()
}

impl Rounds {
    /// A blow, and the recovery from it. False if there is none.
    fn next(&mut self, stage: &mut Stage, signal: Signal, seed: &mut Seed) -> bool {
        stage.await_all(Until::Idle, "all idle ones are at rest");
        // They are for sure, once the turn that served them is over.
        std::thread::sleep(Duration::from_millis(200 + seed.below(400) as u64));
        let Some(mut pid) = stage.machine.daemon() else {
            stage.report.fault(Fault::Surroundings, "no loopgated runs");
            return false;
        };
        stage.load.read();
        let begun = Instant::now();
        stage.blow(pid, signal, false);
        let twice = signal == Signal::SIGKILL && seed.once_in(4);
        if let Some(next) = twice.then(|| any_daemon(pid)).flatten() {
            std::thread::sleep(Duration::from_micros(seed.below(30_000) as u64));
            stage.blow(next, signal, true);
            pid = next;
            self.again += 1;
        }
        if stage.machine.new_daemon(pid, RECOVERY).is_none() {
            stage.report.fault(Fault::Surroundings, &format!("no new loopgated within {RECOVERY:?}"));
            return false;
        }
        self.ready.push(begun.elapsed());
        stage.await_all(Until::Open, "all clients are there again");
        stage.load.ask_idle(SAMPLE);
        self.hear(stage);
        true
    }

    /// How long nobody was greeted, and nobody answered.
    fn hear(&mut self, stage: &mut Stage) {
        let (mut greeted, mut told) = (Seen::default(), Seen::default());
        let heard = within(RECOVERY, || {
            let window = stage.load.read();
            greeted.add(window.hellos);
            told.add(window.answers);
            (greeted.count > 0 && told.count > 0).then_some(())
        });
        if heard.is_none() {
            stage.report.fault(Fault::Surroundings, "it does not serve again");
        }
        self.hellos.push(greeted.silence);
        self.answers.push(told.silence);
    }
}

impl Stage {
    fn blow(&mut self, pid: Pid, signal: Signal, again: bool) {
        self.load.blows.begin(again);
        let struck = strike(pid, signal);
        // It may be inside a system call that ends first.
        await_stillness(pid);
        self.load.blows.end();
        if !struck {
            self.report.fault(Fault::Surroundings, "loopgated had gone by itself");
        }
    }
}

/// Idle sessions that call after each blow; others every time.
const SAMPLE: usize = 10;
/// The longest until the next process serves, the watchdog's own time included.
const RECOVERY: Duration = Duration::from_secs(40);
