//! Many idle sessions over one restart and one SIGKILL: all of them live, and their next call is answered.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::restarts::restart;
use super::{Report, Stage};
use crate::fates::{Fault, Law};
use crate::load::Until;
use crate::machine::{Cost, await_stillness, strike};
use crate::meter::show;
use crate::plan::Plan;

pub(super) fn run(plan: &Plan) -> Report {
    let begun = Instant::now();
    let mut stage = Stage::set(plan, Law::Seamless, |wish| wish.patience = Duration::from_secs(60));
    stage.report.row("idle sessions, opened in", format!("{}, {}", plan.idle, show(begun.elapsed())));
    let manager = Cost::of(stage.machine.manager).expect("the manager is alive");
    stage.ask("before");
    stage.load.read();
    let begun = Instant::now();
    let (status, text) = restart(&mut stage.machine, plan.manager);
    if status != 0 {
        stage.report.fault(Fault::Surroundings, &format!("systemctl restart: {status} {text}"));
    }
    stage.report.row("systemctl restart", show(begun.elapsed()));
    stage.silence("over the restart");
    stage.ask("after the restart");
    stage.kill();
    stage.silence("over the SIGKILL");
    stage.ask("after the SIGKILL");
    let after = Cost::of(stage.machine.manager).expect("the manager is alive");
    stage.report.row("manager's CPU, file descriptors before and after", {
        format!("{}, {} and {}", show(after.cpu - manager.cpu), manager.fds, after.fds)
    });
    stage.close()
}

impl Stage {
    /// All call at once; visitors do not stand in the way.
    fn ask(&mut self, when: &str) {
        let visitors = self.pause_visitors();
        let begun = Instant::now();
        self.ask_all_idle();
        self.report.row(&format!("all call and are answered, {when}"), show(begun.elapsed()));
        self.load.change(move |wish| wish.visitors = visitors);
        std::thread::sleep(Duration::from_millis(300));
    }

    fn pause_visitors(&mut self) -> usize {
        let (send, receive) = std::sync::mpsc::channel();
        self.load.change(move |wish| send.send(std::mem::take(&mut wish.visitors)).unwrap_or_default());
        let visitors = receive.recv().expect("the load is alive");
        self.await_all(Until::Calm, "visitors have gone");
        visitors
    }

    /// At a moment when nobody is inside anything.
    fn kill(&mut self) {
        let visitors = self.pause_visitors();
        std::thread::sleep(Duration::from_millis(300));
        self.load.change(move |wish| (wish.law, wish.visitors) = (Law::Crash, visitors));
        let Some(pid) = self.machine.daemon() else {
            return self.report.fault(Fault::Surroundings, "no loopgated runs");
        };
        std::thread::sleep(Duration::from_millis(300));
        self.load.read();
        let begun = Instant::now();
        self.load.blows.begin(false);
        strike(pid, Signal::SIGKILL);
        await_stillness(pid);
        self.load.blows.end();
        match self.machine.new_daemon(pid, Duration::from_secs(30)) {
            Some(_) => self.report.row("SIGKILL until the next one is ready", show(begun.elapsed())),
            None => self.report.fault(Fault::Surroundings, "no new loopgated in 30 s"),
        }
    }

    /// How long no newcomer was greeted.
    fn silence(&mut self, when: &str) {
        std::thread::sleep(Duration::from_millis(500));
        let seen = self.load.read();
        let spans = (seen.hellos.silence, seen.hellos.took);
        self.report.row(
            &format!("longest silence of hellos, longest handshake, {when}"),
            format!("{}, {}", show(spans.0), show(spans.1)),
        );
        if seen.hellos.count == 0 {
            self.report.fault(Fault::Surroundings, "no visitor was greeted");
        }
    }
}
