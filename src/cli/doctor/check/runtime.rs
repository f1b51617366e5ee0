//! OpenClaw's own gateway behind this one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use super::super::facts::Machine;
use super::super::facts::gate;
use super::super::facts::instance::Instance;
use super::super::facts::listener::{self, Listener};
use super::super::facts::rival::Rival;
use super::super::facts::unit::Unit;
use super::super::facts::who::Caller;
use super::super::facts::world::World;
use super::super::finding::{Finding, Outcome, as_root, quote};
use super::sandbox;
use crate::config::Settings;

/// A runtime: its port, and what is there.
struct Facts {
    port: u16,
    /// Who says that it is there: a setting, or a unit.
    named_by: String,
    /// The users that it may belong to, beside root.
    owners: Vec<u32>,
    listener: Option<Listener>,
    /// The name of the listener's user.
    user: String,
    /// The status of its health page.
    health: Result<u16, String>,
    /// The unit that starts it.
    unit: Option<Rival>,
    /// The time, in seconds since 1970.
    now: u64,
}

/// Looks at the runtime that the settings name, else at OpenClaw's units on another port than the gate's.
pub(super) fn look(machine: &Machine) -> Outcome {
    let mut ports: BTreeMap<u16, (String, Vec<u32>)> = BTreeMap::new();
    let mut barred = Vec::new();
    for instance in machine.instances().in_use() {
        let Ok(settings) = Settings::load(&World::of_instance(instance, machine), None) else { continue };
        if let Some(port) = settings.runtime_port {
            let named = format!("runtime.port of {}", settings.path.display());
            let owners = instance.user().map(|user| user.uid).into_iter();
            barred.extend(sandbox::bars(instance, port, &machine.caller));
            ports.entry(port).or_insert_with(|| (named, owners.collect()));
        }
    }
    let gates: Vec<u16> = machine.instances().in_use().filter_map(Instance::port).collect();
    for rival in machine.rivals().iter().filter(|rival| !gates.is_empty() && !gates.contains(&rival.port)) {
        let (_, owners) = ports.entry(rival.port).or_insert_with(|| (rival.words(), Vec::new()));
        owners.push(rival.manager.uid());
    }
    let facts: Vec<Facts> =
        ports.into_iter().map(|(port, (named_by, owners))| gather(port, named_by, owners, machine)).collect();
    match judge(&facts, &machine.caller) {
        Outcome::Looked { saw, findings } => Outcome::looked(saw, [barred, findings].concat()),
        skipped @ Outcome::Skipped(_) => skipped,
    }
}

fn gather(port: u16, named_by: String, owners: Vec<u32>, machine: &Machine) -> Facts {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listeners = listener::at(port).unwrap_or_default();
    let listener = listeners.into_iter().find(|listener| listener.takes(at.ip()));
    let user = listener.as_ref().map(|listener| machine.users.name(listener.uid)).unwrap_or_default();
    let health = match &listener {
        Some(_) => gate::http_health(at, machine.patience),
        None => Err("nobody listens".to_owned()),
    };
    let unit = machine.rivals().iter().find(|rival| rival.port == port).cloned();
    Facts { port, named_by, owners, listener, user, health, unit, now: crate::cli::unix_ms() / 1_000 }
}

fn judge(all: &[Facts], caller: &Caller) -> Outcome {
    if all.is_empty() {
        let text = "no runtime is configured: what needs one is answered with UNAVAILABLE";
        let why = "runtime.port of loopgate.conf says where OpenClaw's own gateway runs";
        return Outcome::looked(Vec::new(), vec![Finding::note(text).because(why)]);
    }
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for facts in all {
        let port = facts.port;
        match (&facts.listener, &facts.health) {
            (None, _) => findings.push(dead(facts, caller)),
            (Some(listener), _) if !may_own(listener.uid, facts) => {
                findings.push(foreign(listener, facts, caller));
            }
            (Some(_), Ok(200)) => {
                let version = facts.unit.as_ref().and_then(|unit| unit.version.clone());
                let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
                saw.push(format!("the runtime at port {port} answers, as user {}{version}", facts.user));
            }
            (Some(_), health) => {
                let said = match health {
                    Ok(status) => format!("its health page says {status}"),
                    Err(cause) => cause.clone(),
                };
                let finding =
                    Finding::fault(format!("the runtime at port {port} listens, and is not well: {said}"));
                findings.push(finding.mend_all(facts.unit.as_ref().map(|unit| restart(unit, caller))));
            }
        }
    }
    Outcome::looked(saw, findings)
}

/// Root can be everybody anyway.
fn may_own(uid: u32, facts: &Facts) -> bool {
    uid == 0 || facts.owners.is_empty() || facts.owners.contains(&uid)
}

/// Nobody listens where the runtime should be.
fn dead(facts: &Facts, caller: &Caller) -> Finding {
    let young = facts.unit.as_ref().filter(|rival| rival.is_active()).and_then(|rival| rival.unit.as_ref());
    let since = young.and_then(|unit| unit.seconds("ExecMainStartTimestamp"));
    if let Some(age) = since.map(|since| facts.now.saturating_sub(since)).filter(|age| *age < LOADING_SECONDS)
    {
        // Whoever restarts it now makes it begin again.
        let text =
            format!("the runtime at port {} was started {age} s ago, and does not listen yet", facts.port);
        return Finding::warning(text).because("it loads its plugins first; look again in a minute");
    }
    let finding =
        Finding::fault(format!("nobody listens at port {}, where the runtime should be", facts.port));
    let Some(rival) = &facts.unit else {
        return finding
            .because(format!("{} names that port, and no unit of OpenClaw's does", facts.named_by));
    };
    let state = match &rival.unit {
        Some(unit) if unit.is_failed() => format!("has failed ({})", unit.get("Result")),
        Some(unit) if unit.is_active() => "runs, and does not listen yet".to_owned(),
        Some(_) => "does not run".to_owned(),
        None => "cannot be asked for".to_owned(),
    };
    let failed = rival.unit.as_ref().is_some_and(Unit::is_failed);
    let reset =
        failed.then(|| rival.manager.command(caller, &format!("reset-failed {}", quote(&rival.name))));
    let start = if rival.is_active() {
        restart(rival, caller)
    } else {
        rival.manager.command(caller, &format!("start {}", quote(&rival.name)))
    };
    finding.because(format!("{} {state}", rival.words())).mend_all(reset).mend(start)
}

fn restart(rival: &Rival, caller: &Caller) -> String {
    rival.manager.command(caller, &format!("restart {}", quote(&rival.name)))
}

/// Somebody else's process at the runtime's port.
fn foreign(listener: &Listener, facts: &Facts, caller: &Caller) -> Finding {
    let text = format!("port {}, where the runtime should be, is held by user {}", facts.port, facts.user);
    let finding = Finding::fault(text)
        .because("do not give it the gateway's token; whoever it is would see every request");
    let Some(process) = &listener.process else {
        return finding.mend(as_root(caller, "loopgate doctor runtime"));
    };
    let start = facts.unit.as_ref().map(|unit| restart(unit, caller));
    finding.mend(super::port::stop(process, &facts.user, caller)).mend_all(start)
}

/// OpenClaw's gateway loads for this long on a small machine.
const LOADING_SECONDS: u64 = 90;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    use crate::cli::doctor::facts::unit::Manager;

    fn facts(uid: Option<u32>, health: Result<u16, String>, caller: &Caller) -> Facts {
        let unit = Rival {
            path: "/h/x".into(),
            manager: Manager::User(caller.user.clone().unwrap()),
            name: "openclaw-gateway.service".to_owned(),
            port: 18_790,
            stale: false,
            version: Some("2026.9.6".to_owned()),
            enabled: true,
            unit: Some(Unit::of("openclaw-gateway.service", "ActiveState=failed Result=exit-code")),
        };
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = uid.map(|uid| Listener { ip, port: 18_790, uid, inode: 1, process: None });
        let user = uid.map(|uid| uid.to_string()).unwrap_or_default();
        Facts {
            port: 18_790,
            named_by: "x".into(),
            owners: vec![1000],
            listener,
            user,
            health,
            unit: Some(unit),
            now: 1_000,
        }
    }

    #[test]
    fn a_runtime_is_dead_or_foreign_or_well() {
        let alice = Caller::of("alice", 1000);
        let gone = || Err("nobody listens".to_owned());
        let unit = "openclaw-gateway.service";
        let cases = [
            (
                facts(None, gone(), &alice),
                "fault",
                format!("systemctl --user reset-failed {unit} systemctl --user start {unit}"),
            ),
            (facts(Some(1001), Ok(200), &alice), "fault", "sudo loopgate doctor runtime".to_owned()),
            (facts(Some(1000), Ok(503), &alice), "fault", format!("systemctl --user restart {unit}")),
            (facts(Some(1000), Ok(200), &alice), "ok", String::new()),
            (facts(Some(0), Ok(200), &alice), "ok", String::new()),
        ];
        for (facts, status, want) in cases {
            let outcome = judge(&[facts], &alice);
            let Outcome::Looked { findings, .. } = &outcome else { panic!("skipped") };
            let mend: Vec<String> = findings.iter().flat_map(|finding| finding.mend.clone()).collect();
            assert_eq!((outcome.status(), mend.join(" ")), (status, want));
        }
        assert_eq!(judge(&[], &alice).status(), "note");
        // Restarted now, it would load from the beginning, again and again.
        let mut loading = facts(None, gone(), &alice);
        let state = "ActiveState=active ExecMainStartTimestamp=@990";
        loading.unit.as_mut().unwrap().unit = Some(Unit::of(unit, state));
        assert_eq!(judge(&[loading], &alice).status(), "warning");
    }
}
