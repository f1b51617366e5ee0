//! Many short connections, and nothing of them is left: not in the store, not in the kernel, not in a process.

use std::time::{Duration, Instant};

use super::{Report, Stage};
use crate::fates::{Fault, Law};
use crate::load::{Until, Window};
use crate::machine::{Cost, Sockets};
use crate::meter::{each, rate, show};
use crate::plan::Plan;
use crate::rig::within;

/// What must be the same before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    stored: u64,
    sockets: Sockets,
    daemon_fds: usize,
    manager_fds: usize,
}

pub(super) fn run(plan: &Plan) -> Report {
    let mut stage = Stage::set(plan, Law::Seamless, |wish| {
        wish.visit_pause = Duration::ZERO;
        wish.visits = Some(WARM_UP);
    });
    stage.visited(plan.visitors);
    let Some(before) = stage.at_rest(None) else { return stage.close() };
    let manager = Cost::of(stage.machine.manager).expect("the manager is alive");
    let daemon = stage.machine.daemon().and_then(Cost::of).expect("loopgated is alive");
    stage.load.read();
    let begun = Instant::now();
    let (connects, visitors) = (plan.connects, plan.visitors);
    stage.load.change(move |wish| (wish.visits, wish.visitors) = (Some(connects), visitors));
    stage.visited(plan.visitors);
    let took = begun.elapsed();
    let after = Cost::of(stage.machine.manager).expect("the manager is alive");
    let daemon_after = stage.machine.daemon().and_then(Cost::of).expect("loopgated is alive");
    stage.report.row("connections, visitors at once, in", {
        format!("{connects}, {visitors}, {} ({} a second)", show(took), rate(connects, took))
    });
    stage.report.row("manager's CPU a connection", each(after.cpu - manager.cpu, connects));
    stage.report.row("loopgated's CPU a connection", each(daemon_after.cpu - daemon.cpu, connects));
    let rest = Instant::now();
    let held = stage.at_rest(Some(before));
    stage.report.row("held before", format!("{before:?}"));
    stage.report.row("held after a rest of", format!("{}: {held:?}", show(rest.elapsed())));
    if held.is_none() {
        stage.report.fault(Fault::Surroundings, "something is left");
    }
    stage.close()
}

impl Stage {
    /// All visits that were wished for are over.
    fn visited(&mut self, visitors: usize) {
        let mut last = (Instant::now(), Window::default());
        loop {
            let (send, receive) = std::sync::mpsc::channel();
            self.load.change(move |wish| send.send(wish.visits).unwrap_or_default());
            let left = receive.recv().expect("the load is alive").unwrap_or_default();
            let seen = self.load.read();
            if seen.hellos.count > 0 {
                last = (Instant::now(), seen);
            }
            if left == 0 || self.hopeless() {
                break;
            }
            if last.0.elapsed() > STUCK {
                self.report.fault(Fault::Surroundings, &format!("{left} of {visitors} visitors do not come"));
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.await_all(Until::Calm, "visitors have gone");
    }

    /// What is held once nothing moves any more; if it is to be something, then when it is that.
    fn at_rest(&mut self, wanted: Option<Held>) -> Option<Held> {
        let mut before = None;
        let mut seen = None;
        let found = within(REST, || {
            let held = self.held()?;
            seen = Some(held);
            let still = before.replace(held) == Some(held);
            let clean = held.sockets.alive == 0 && held.sockets.listening > 0 && held.sockets.owner == 1;
            std::thread::sleep(Duration::from_millis(250));
            let fits = wanted.is_none_or(|wanted| wanted == held);
            (still && clean && fits).then_some(held)
        });
        if found.is_none() {
            self.report.row("held at last", format!("{seen:?}"));
        }
        found
    }

    fn held(&mut self) -> Option<Held> {
        let pid = self.machine.daemon()?;
        // Those that only wait for late packets are nobody's.
        let sockets = Sockets { time_wait: 0, ..Sockets::count() };
        Some(Held {
            stored: self.machine.number(self.machine.service(), "NFileDescriptorStore"),
            sockets,
            daemon_fds: Cost::of(pid)?.fds,
            manager_fds: Cost::of(self.machine.manager)?.fds,
        })
    }
}

/// Enough that everything is there that is made at first use.
const WARM_UP: usize = 200;
/// How long what is over may still be held.
const REST: Duration = Duration::from_secs(20);
/// No visitor for so long: none will come.
const STUCK: Duration = Duration::from_secs(30);
