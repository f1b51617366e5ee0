//! Connects per second with hand-over (the unit) and without (the same program under systemd-socket-activate), in
//! turns, so that both see the same machine.

use std::time::{Duration, Instant};

use super::{Report, Stage};
use crate::fates::{Fault, Law};
use crate::machine::{Cost, Machine};
use crate::meter::{Spans, each, rate, show};
use crate::plan::{Manager, Plan};
use crate::profile::Target;
use crate::rig::within;

/// One way of being served.
#[derive(Default)]
struct Side {
    visits: usize,
    time: Duration,
    silence: Spans,
}

pub(super) fn run(plan: &Plan) -> Report {
    let mut stage = Stage::set(plan, Law::Seamless, |wish| {
        wish.visit_pause = Duration::ZERO;
        wish.visitors = 0;
    });
    let unit = Target { owner: None, ..stage.machine.target() };
    let bare = Target { port: BARE_PORT, owner: None };
    start_bare(&mut stage.machine, plan.manager);
    let mut sides = [Side::default(), Side::default()];
    let manager = Cost::of(stage.machine.manager).expect("the manager is alive");
    let mut spent = Duration::ZERO;
    for round in 0..=plan.rounds {
        for (side, target) in sides.iter_mut().zip([&unit, &bare]) {
            let before = Cost::of(stage.machine.manager).expect("the manager is alive");
            let seen = stage.flood(plan, target);
            // The first round warms up.
            if round > 0 {
                side.add(seen);
                if target.port == unit.port {
                    spent += Cost::of(stage.machine.manager).expect("the manager is alive").cpu - before.cpu;
                }
            }
        }
    }
    let report = &mut stage.report;
    report.row("visitors at once", plan.visitors);
    for (name, side) in ["with hand-over", "without"].into_iter().zip(&sides) {
        report.row(&format!("connects a second, {name}"), side.rate());
        report.row(&format!("longest silence of hellos, {name}, p50 / p99 / max"), side.silence.line());
    }
    report.row("with / without", format!("{} %", sides[0].rate() * 100 / sides[1].rate().max(1)));
    report.row("manager's CPU a connection, with hand-over", each(spent, sides[0].visits));
    let all = Cost::of(stage.machine.manager).expect("the manager is alive").cpu - manager.cpu;
    report.row("manager's CPU in all", show(all));
    stop_bare(&mut stage.machine, plan.manager);
    stage.close()
}

impl Side {
    fn add(&mut self, (visits, time, silence): (usize, Duration, Duration)) {
        self.visits += visits;
        self.time += time;
        self.silence.push(silence);
    }

    fn rate(&self) -> u128 {
        rate(self.visits, self.time)
    }
}

impl Stage {
    /// How many were greeted, in what time, and how long nobody was.
    fn flood(&mut self, plan: &Plan, target: &Target) -> (usize, Duration, Duration) {
        let (visitors, target) = (plan.visitors, target.clone());
        self.load.change(move |wish| (wish.visitors, wish.target) = (visitors, target));
        std::thread::sleep(Duration::from_millis(200));
        self.load.read();
        let begun = Instant::now();
        std::thread::sleep(plan.span);
        let seen = self.load.read();
        let time = begun.elapsed();
        self.load.change(|wish| wish.visitors = 0);
        self.await_all(crate::load::Until::Calm, "visitors have gone");
        if seen.hellos.count == 0 {
            self.report.fault(Fault::Surroundings, "no visitor was greeted");
        }
        (seen.hellos.count, time, seen.hellos.silence)
    }
}

/// The same program with the same files, and nobody who would keep anything for it.
fn start_bare(machine: &mut Machine, manager: Manager) {
    let (flag, (config, state)) = (manager.flag(), machine.folders());
    machine.ok(&format!(
        "mkdir -p /var/lib/bench/bare/openclaw && cp -r {state}/agents /var/lib/bench/bare/openclaw && systemd-run {flag} --quiet --collect --unit={BARE} -p LimitNOFILE=17408 \
         systemd-socket-activate -l 127.0.0.1:{BARE_PORT} --fdname=gateway --setenv=HOME=$HOME \
         --setenv=STATE_DIRECTORY=/var/lib/bench/bare --setenv=OPENCLAW_CONFIG_PATH={config}/openclaw.json \
         --setenv=OPENCLAW_STATE_DIR=/var/lib/bench/bare/openclaw /usr/bin/loopgated"
    ));
    let open = || std::net::TcpStream::connect(("127.0.0.1", BARE_PORT)).ok();
    assert!(within(Duration::from_secs(10), open).is_some(), "nobody listens on {BARE_PORT}");
}

fn stop_bare(machine: &mut Machine, manager: Manager) {
    machine.ok(&format!("systemctl {} stop {BARE}.service", manager.flag()));
}

const BARE: &str = "loopgate-bare";
const BARE_PORT: u16 = 18790;
