//! The units: installed, enabled, open, and not failed.

use super::super::facts::Machine;
use super::super::facts::instance::{Instance, Instances};
use super::super::facts::unit::Unit;
use super::super::facts::who::Caller;
use super::super::finding::{Finding, Outcome, quote};
use crate::config::exit::EXITS;

/// Looks at the units of every instance.
pub(super) fn look(machine: &Machine) -> Outcome {
    judge(machine.instances(), &machine.caller)
}

fn judge(instances: &Instances, caller: &Caller) -> Outcome {
    if let Some(why) = instances.blind() {
        return Outcome::Skipped(why);
    }
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for (manager, why, _) in instances.unseen.iter().filter(|(.., late)| *late) {
        findings.push(Finding::warning(format!("{manager} cannot be asked: {why}")));
    }
    let Some(preferred) = instances.preferred() else {
        let text = "no unit of loopgate is installed";
        return Outcome::looked(
            saw,
            vec![Finding::fault(text).because("no service manager knows loopgate.socket")],
        );
    };
    for user in &instances.asleep {
        // The check linger has the rest.
        saw.push(format!("loopgate.socket of {} is enabled, and asleep", user.name));
    }
    if instances.in_use().next().is_none() && instances.asleep.is_empty() && !is_masked(&preferred.socket) {
        let text = "no socket unit of loopgate is enabled";
        findings.push(Finding::fault(text).mend_all(preferred.start(caller)));
    }
    let (first, second) = rivals(instances).unwrap_or((preferred, Vec::new()));
    for instance in &instances.found {
        if second.contains(&instance) {
            // To start it is no cure.
            findings.push(twice(first, instance, caller));
            continue;
        }
        let before = findings.len();
        findings.extend(of_socket(instance, caller));
        findings.extend(of_service(instance, caller));
        if findings.len() == before && instance.is_in_use() {
            let service = if instance.service.is_active() { "runs" } else { "waits for a connection" };
            saw.push(format!("{} is open and enabled, its service {service}", instance.words()));
        }
    }
    Outcome::looked(saw, findings)
}

/// What is wrong with the socket unit.
fn of_socket(instance: &Instance, caller: &Caller) -> Vec<Finding> {
    let (socket, words, manager) = (&instance.socket, instance.words(), instance.manager());
    let [name, _] = instance.kind.units().map(|name| quote(&name));
    let mut findings = Vec::new();
    if is_masked(socket) {
        // Whoever masked one of several instances has said that it is not to be used.
        if instance.kind == super::super::facts::instance::Kind::System {
            findings.push(Finding::warning(format!("{words} is masked")).mend_all([
                manager.command(caller, &format!("unmask {name}")),
                manager.command(caller, &format!("enable --now {name}")),
            ]));
        }
        return findings;
    }
    if matches!(socket.get("LoadState"), "error" | "bad-setting") {
        let finding = Finding::fault(format!("{words} cannot be loaded ({})", socket.get("LoadState")));
        return vec![finding.mend(manager.command(caller, &format!("status --no-pager {name}")))];
    }
    if socket.is_failed() {
        let finding = Finding::fault(format!("{words} has failed ({})", socket.get("Result")));
        findings.push(finding.because(why_failed(socket.get("Result"))).mend_all(instance.start(caller)));
    } else if socket.is_enabled() && !socket.is_active() {
        let finding = Finding::fault(format!("{words} is enabled, and not open"));
        findings.push(finding.mend_all(instance.start(caller)));
    } else if socket.is_active() && !socket.is_enabled() {
        let finding = Finding::warning(format!("{words} is open, and not enabled"));
        let why = "after the next start of the machine nobody will listen";
        findings.push(finding.because(why).mend(manager.command(caller, &format!("enable {name}"))));
    }
    if socket.get("NeedDaemonReload") == "yes" || instance.service.get("NeedDaemonReload") == "yes" {
        let finding = Finding::warning(format!("the files of {words} changed after they were loaded"));
        findings.push(finding.mend(manager.command(caller, "daemon-reload")));
    }
    findings
}

/// What is wrong with the service.
fn of_service(instance: &Instance, caller: &Caller) -> Option<Finding> {
    let (service, manager) = (&instance.service, instance.manager());
    let [socket, name] = instance.kind.units().map(|name| quote(&name));
    let words = instance.words().replacen(".socket", ".service", 1);
    // One that took its socket along is mended with it.
    if service.is_failed() && !instance.socket.is_failed() {
        let text = format!("{words} has failed ({}{})", service.get("Result"), status(service));
        let finding = Finding::fault(text).because(why_failed(service.get("Result")));
        return Some(finding.mend_all([
            manager.command(caller, &format!("reset-failed {name} {socket}")),
            manager.command(caller, &format!("start {socket} {name}")),
        ]));
    }
    // It is between two starts, or in one of many: of a process that runs the manager knows no status yet, but how often
    // it has started one again by itself.
    let again = service.get("SubState").starts_with("auto-restart")
        || (service.get("ActiveState") == "activating" && !matches!(service.get("NRestarts"), "0" | ""));
    if again && instance.is_in_use() {
        let text = format!("{words} ends and is started again and again{}", status(service));
        let look =
            if name == "loopgate.service" { "journalctl --unit=loopgate.service" } else { "journalctl" };
        let look = match &instance.kind {
            super::super::facts::instance::Kind::User(user) if user.uid == caller.uid => {
                "journalctl --user --unit=loopgate.service".to_owned()
            }
            _ => super::super::finding::as_root(caller, look),
        };
        let why = match service.get("StatusText") {
            "" => "the check files names what it cannot use; its last words are in the journal".to_owned(),
            said => format!("it says: {said}"),
        };
        return Some(Finding::fault(text).because(why).mend(format!("{look} --no-pager --lines=20")));
    }
    None
}

/// The instances that want a port which another has: whoever comes second fails, or ends the first.
fn rivals(instances: &Instances) -> Option<(&Instance, Vec<&Instance>)> {
    let open = |instance: &&Instance| instance.socket.is_active();
    let first = instances.in_use().find(open).or_else(|| instances.in_use().next())?;
    let others = instances.in_use().filter(|other| *other != first && other.port() == first.port());
    Some((first, others.collect()))
}

/// One of them.
fn twice(first: &Instance, other: &Instance, caller: &Caller) -> Finding {
    let [name, _] = other.kind.units();
    let number = first.port().unwrap_or_default();
    let text = format!("port {number} is claimed by {} and by {}", first.words(), other.words());
    let finding =
        Finding::fault(text).because("a port can be one instance's only; disable the one that is not meant");
    finding.mend(other.manager().command(caller, &format!("disable --now {}", quote(&name))))
}

fn is_masked(unit: &Unit) -> bool {
    unit.get("LoadState") == "masked"
}

/// The exit status of a daemon that ended, with its meaning.
fn status(service: &Unit) -> String {
    let Ok(code) = service.get("ExecMainStatus").parse::<u8>() else { return String::new() };
    match EXITS.iter().find(|row| code != 0 && row.exit.code() == code) {
        Some(row) => format!(", exit status {code}: {}", row.meaning),
        None if code == 0 => String::new(),
        None => format!(", exit status {code}"),
    }
}

/// What the words of the service manager mean.
fn why_failed(result: &str) -> &'static str {
    match result {
        "start-limit-hit" | "service-start-limit-hit" | "trigger-limit-hit" => {
            "it was started too often in a short time, and systemd has given up"
        }
        "resources" => "what it needs was not to be had, most likely the port; see the check port",
        "exit-code" => "the daemon ended with an error; see the check files",
        "timeout" | "watchdog" => "the daemon did not answer in time",
        _ => "systemd has given up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::facts::instance::Kind;

    fn instance(kind: Kind, socket: &str, service: &str) -> Instance {
        let listen = "LoadState=loaded Listen=127.0.0.1:18789_(Stream)";
        let [name, other] = kind.units();
        let socket = Unit::of(&name, &format!("{listen} {socket}"));
        Instance { socket, service: Unit::of(&other, &format!("LoadState=loaded {service}")), kind }
    }

    fn judged(found: Vec<Instance>) -> (&'static str, String) {
        let outcome = judge(&Instances { found, ..Instances::default() }, &Caller::of("alice", 1000));
        let Outcome::Looked { findings, .. } = &outcome else { panic!("skipped") };
        let mend: Vec<String> = findings.iter().flat_map(|finding| finding.mend.clone()).collect();
        (outcome.status(), mend.join("; "))
    }

    #[test]
    fn states_have_their_commands() {
        let system = |socket, service| vec![instance(Kind::System, socket, service)];
        let on = "ActiveState=active UnitFileState=enabled";
        let s = "sudo systemctl";
        let cases = [
            (on, "ActiveState=active", "ok", String::new()),
            (
                "ActiveState=active UnitFileState=disabled",
                "",
                "warning",
                format!("{s} enable loopgate.socket"),
            ),
            ("ActiveState=inactive UnitFileState=enabled", "", "fault", format!("{s} start loopgate.socket")),
            (
                "ActiveState=inactive UnitFileState=disabled",
                "",
                "fault",
                format!("{s} enable --now loopgate.socket"),
            ),
            (
                "ActiveState=failed UnitFileState=enabled Result=service-start-limit-hit",
                "",
                "fault",
                format!("{s} reset-failed loopgate.socket loopgate.service; {s} start loopgate.socket"),
            ),
            (
                on,
                "ActiveState=failed Result=start-limit-hit",
                "fault",
                format!(
                    "{s} reset-failed loopgate.service loopgate.socket; {s} start loopgate.socket loopgate.service"
                ),
            ),
            (
                on,
                "ActiveState=activating SubState=auto-restart ExecMainStatus=78",
                "fault",
                "sudo journalctl --unit=loopgate.service --no-pager --lines=20".to_owned(),
            ),
            (
                on,
                "ActiveState=activating SubState=start ExecMainStatus=0 NRestarts=6",
                "fault",
                "sudo journalctl --unit=loopgate.service --no-pager --lines=20".to_owned(),
            ),
            (on, "ActiveState=activating SubState=start ExecMainStatus=0 NRestarts=0", "ok", String::new()),
            (
                "ActiveState=active UnitFileState=enabled NeedDaemonReload=yes",
                "",
                "warning",
                format!("{s} daemon-reload"),
            ),
        ];
        for (socket, service, status, mend) in cases {
            assert_eq!(judged(system(socket, service)), (status, mend), "{socket} / {service}");
        }
        assert_eq!(judged(Vec::new()), ("fault", String::new()));
    }

    #[test]
    fn two_instances_cannot_have_one_port() {
        let alice = Caller::of("alice", 1000).user.unwrap();
        let system = instance(Kind::System, "ActiveState=active UnitFileState=enabled", "");
        let user = instance(Kind::User(alice), "ActiveState=inactive UnitFileState=enabled", "");
        let (status, mend) = judged(vec![system, user]);
        assert_eq!(status, "fault");
        assert_eq!(mend, "systemctl --user disable --now loopgate.socket");
    }
}
