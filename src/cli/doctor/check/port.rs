//! Who holds the gateway's port.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::facts::instance::{Instance, Instances};
use super::super::facts::listener::{self, Listener};
use super::super::facts::process::{Home, Process};
use super::super::facts::rival::is_gateway;
use super::super::facts::unit::Manager;
use super::super::facts::who::Caller;
use super::super::facts::{Machine, configured_port};
use super::super::finding::{Finding, Outcome, as_root, quote};

/// All that the verdict needs.
struct Facts<'a> {
    caller: &'a Caller,
    instances: &'a Instances,
    ipv6: bool,
    ports: Vec<Port>,
    /// Units of the caller's own that start a gateway of OpenClaw's, and have a file that says how.
    gateways: Vec<String>,
}

/// One port and its listeners.
struct Port {
    number: u16,
    holders: Vec<Holder>,
}

/// A listener, with names in place of numbers.
#[derive(Debug, Clone)]
struct Holder {
    listener: Listener,
    user: String,
    /// The socket unit for which a service manager holds it, if it is one's.
    unit: Option<String>,
}

/// Looks at each port that an instance has, or would have.
pub(super) fn look(machine: &Machine) -> Outcome {
    let instances = machine.instances();
    let mut numbers: BTreeSet<u16> = instances.in_use().filter_map(Instance::port).collect();
    if numbers.is_empty() {
        let installed = instances.preferred().and_then(Instance::port);
        numbers.insert(installed.unwrap_or_else(configured_port));
    }
    let mut ports = Vec::new();
    for number in numbers {
        match listener::at(number) {
            Ok(listeners) => {
                let holders = listeners.into_iter().map(|listener| holder(machine, listener)).collect();
                ports.push(Port { number, holders });
            }
            Err(cause) => return Outcome::Skipped(cause),
        }
    }
    let own = machine.rivals().iter().filter(|rival| rival.manager.uid() == machine.caller.uid);
    let gateways = own.map(|rival| rival.name.clone()).collect();
    judge(&Facts { caller: &machine.caller, instances, ipv6: listener::has_ipv6(), ports, gateways })
}

fn holder(machine: &Machine, listener: Listener) -> Holder {
    let user = machine.users.name(listener.uid);
    let unit = machine.socket_unit(&listener);
    Holder { listener, user, unit }
}

/// The verdict.
fn judge(facts: &Facts<'_>) -> Outcome {
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for port in &facts.ports {
        let (ours, foreign): (Vec<&Holder>, Vec<&Holder>) =
            port.holders.iter().partition(|holder| facts.owner_of(holder).is_some());
        if port.holders.is_empty() {
            findings.push(nobody(port.number, facts));
        }
        let mut told = BTreeSet::new();
        for holder in foreign {
            // One process with two sockets is one finding.
            let pid = holder.listener.process.as_ref().map(|process| process.pid);
            if told.insert((pid, holder.listener.uid)) {
                findings.push(foreigner(port.number, holder, facts));
            }
        }
        if let Some(instance) = ours.first().and_then(|holder| facts.owner_of(holder)) {
            let addresses: Vec<String> = ours.iter().map(|holder| holder.listener.ip.to_string()).collect();
            let (number, unit) = (port.number, instance.words());
            saw.push(format!("port {number}: systemd holds it for {unit} ({})", addresses.join(", ")));
            findings.extend(half(port, instance, facts));
        }
    }
    Outcome::looked(saw, findings)
}

impl Facts<'_> {
    /// The instance for which the service manager holds this listener.
    fn owner_of(&self, holder: &Holder) -> Option<&Instance> {
        let listener = &holder.listener;
        self.instances.found.iter().find(|instance| {
            // Two sockets cannot be bound to one address: an active unit's is the one there is.
            let bound = |address: &std::net::SocketAddr| {
                address.ip() == listener.ip && address.port() == listener.port
            };
            instance.socket.is_active()
                && instance.manager().uid() == listener.uid
                && instance.socket.addresses().iter().any(bound)
        })
    }
}

/// Nobody listens.
fn nobody(port: u16, facts: &Facts<'_>) -> Finding {
    let finding = Finding::fault(format!("port {port}: nobody listens"));
    let start = facts.instances.start(facts.caller);
    if let (None, Some(user)) = (facts.instances.in_use().next(), facts.instances.asleep.first()) {
        let why = format!(
            "loopgate.socket of {0} is enabled, and the service manager of {0} does not run",
            user.name
        );
        return finding.because(why).mend_all(start);
    }
    let Some(instance) = facts.instances.preferred() else {
        let why = "no socket unit of loopgate was found, so there is nothing that could be started";
        return finding.because(facts.instances.blind().unwrap_or_else(|| why.to_owned()));
    };
    let state = if instance.socket.is_failed() {
        format!("failed ({})", instance.socket.get("Result"))
    } else if instance.socket.is_enabled() {
        "enabled, and not started".to_owned()
    } else {
        "not enabled".to_owned()
    };
    finding.because(format!("{} is {state}", instance.words())).mend_all(start)
}

/// Somebody else listens.
fn foreigner(port: u16, holder: &Holder, facts: &Facts<'_>) -> Finding {
    let (caller, user) = (facts.caller, &holder.user);
    let place = if holder.listener.ip.is_unspecified() {
        ", on every address of this machine".to_owned()
    } else {
        format!(", on {}", holder.listener.ip)
    };
    if let Some(unit) = &holder.unit {
        return for_unit(port, unit, user, facts);
    }
    let Some(process) = &holder.listener.process else {
        let why = format!("only root and {user} can see which process it is");
        let look = as_root(caller, &format!("loopgate doctor {NAME}"));
        return Finding::fault(format!("port {port}: a process of user {user} holds it{place}"))
            .because(why)
            .mend(look);
    };
    let (pid, name) = (process.pid, &process.name);
    let said = format!("port {port}: {name} holds it (process {pid} of user {user}{place})");
    if name == "loopgated" || name.starts_with("systemd-socket-") {
        return Finding::note(said).because("it was started by hand, not by a socket unit");
    }
    if name == "docker-proxy" {
        return Finding::fault(said)
            .because("a container publishes this port; publish it elsewhere, then start the socket")
            .mend(as_root(caller, &format!("docker ps --filter publish={port}")));
    }
    let gateway = matches!(&process.unit, Home::User(_, unit) if is_gateway(unit));
    let own = gateway && process.uid == caller.uid;
    let movable = own && matches!(&process.unit, Home::User(_, unit) if facts.gateways.contains(unit));
    let mend = facts.instances.adopt(caller).filter(|_| movable).unwrap_or_else(|| {
        let stop = stop(process, user, caller);
        [stop].into_iter().chain(facts.instances.start(caller)).collect()
    });
    let finding = Finding::fault(said).mend_all(mend);
    match &process.unit {
        Home::System(unit) => finding.because(format!("the system runs it as {unit}")),
        Home::User(_, unit) if gateway && !own => finding.because(format!(
            "the service manager of {user} runs it as {unit}; `loopgate adopt`, run by {user}, would keep it, behind loopgate"
        )),
        Home::User(_, unit) => finding.because(format!("the service manager of {user} runs it as {unit}")),
        Home::Loose => finding.because("no service manager runs it"),
    }
}

/// The command that ends a process for as long as it matters: a gateway for good, others until they are started again.
pub(super) fn stop(process: &Process, user: &str, caller: &Caller) -> String {
    let Process { pid, unit: home, uid, .. } = process;
    // Whoever is a gateway under another name than ours starts again with the machine, and takes the port again.
    let words = |unit: &str| {
        let verb = if is_gateway(unit) { "disable --now" } else { "stop" };
        format!("{verb} {}", quote(unit))
    };
    match home {
        Home::System(unit) => Manager::System.command(caller, &words(unit)),
        Home::User(uid, unit) if *uid == caller.uid => format!("systemctl --user {}", words(unit)),
        Home::User(_, unit) => {
            let machine = quote(&format!("{user}@"));
            as_root(caller, &format!("systemctl --user --machine={machine} {}", words(unit)))
        }
        Home::Loose if *uid == caller.uid => format!("kill {pid}"),
        Home::Loose => as_root(caller, &format!("kill {pid}")),
    }
}

/// A service manager holds it for another socket unit.
fn for_unit(port: u16, unit: &str, user: &str, facts: &Facts<'_>) -> Finding {
    let whose = if user == "root" { "systemd".to_owned() } else { format!("the service manager of {user}") };
    let said = format!("port {port}: {whose} holds it for {unit}");
    if unit.starts_with("loopgate") {
        // Somebody's gate all the same: what is wrong, if anything, is that this user wants another.
        return Finding::warning(said)
            .because("that gate serves somebody else; a port can be one gate's only");
    }
    let start = facts.instances.start(facts.caller);
    let manager = Manager::System;
    let finding = Finding::fault(said);
    if user == "root" {
        return finding
            .mend(manager.command(facts.caller, &format!("disable --now {}", quote(unit))))
            .mend_all(start);
    }
    finding.mend(as_root(facts.caller, &format!("loopgate doctor {NAME}")))
}

/// One of the two families is not held although the unit names it, or not even named.
fn half(port: &Port, instance: &Instance, facts: &Facts<'_>) -> Option<Finding> {
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let wanted = loopback.into_iter().filter(|ip| ip.is_ipv4() || facts.ipv6);
    let open: Vec<IpAddr> =
        wanted.filter(|ip| !port.holders.iter().any(|holder| holder.listener.takes(*ip))).collect();
    let missing = open.first()?;
    let named = instance.socket.addresses().iter().any(|address| address.ip() == *missing);
    let said = format!("port {}: nobody listens at {missing}", port.number);
    if named {
        let [socket, _] = instance.kind.units();
        let restart = instance.manager().command(facts.caller, &format!("restart {socket}"));
        let why =
            format!("{} names that address; it was not there when the socket was opened", instance.words());
        return Some(Finding::warning(said).because(why).mend(restart));
    }
    let why =
        format!("{} does not name it; a client that resolves localhost may try it first", instance.words());
    Some(Finding::note(said).because(why))
}

const NAME: &str = "port";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::facts::instance::Kind;
    use crate::cli::doctor::facts::unit::Unit;

    const LISTEN: &str = "LoadState=loaded Listen=127.0.0.1:18789_(Stream) Listen=[::1]:18789_(Stream)";

    fn instances(kind: Kind, state: &str) -> Instances {
        let socket = Unit::of("loopgate.socket", &format!("{LISTEN} {state}"));
        Instances { found: vec![Instance { socket, ..Instance::of(kind) }], ..Instances::default() }
    }

    fn holder(ip: &str, uid: u32, process: Option<(&str, u32, Home)>) -> Holder {
        let process = process.map(|(name, uid, unit)| Process { pid: 42, name: name.into(), uid, unit });
        let listener = Listener { ip: ip.parse().unwrap(), port: 18_789, uid, inode: 7, process };
        Holder { listener, user: if uid == 0 { "root".into() } else { format!("u{uid}") }, unit: None }
    }

    fn judged(instances: &Instances, holders: Vec<Holder>) -> (&'static str, Vec<String>) {
        let caller = Caller::of("alice", 1000);
        let ports = vec![Port { number: 18_789, holders }];
        let gateways = vec!["openclaw-gateway-work.service".to_owned()];
        let outcome = judge(&Facts { caller: &caller, instances, ipv6: true, ports, gateways });
        let Outcome::Looked { findings, .. } = &outcome else { panic!("skipped") };
        (outcome.status(), findings.iter().flat_map(|finding| finding.mend.clone()).collect())
    }

    #[test]
    fn systemd_holds_it_or_somebody_has_to_go() {
        let on = instances(Kind::System, "ActiveState=active UnitFileState=enabled");
        let both = || vec![holder("127.0.0.1", 0, None), holder("::1", 0, None)];
        assert_eq!(judged(&on, both()), ("ok", Vec::new()));
        let (status, mend) = judged(&on, vec![holder("127.0.0.1", 0, None)]);
        assert_eq!((status, mend.concat().as_str()), ("warning", "sudo systemctl restart loopgate.socket"));

        let failed = instances(Kind::System, "ActiveState=failed UnitFileState=enabled Result=resources");
        let start = [
            "sudo systemctl reset-failed loopgate.socket loopgate.service",
            "sudo systemctl start loopgate.socket",
        ];
        assert_eq!(judged(&failed, Vec::new()), ("fault", start.map(str::to_owned).to_vec()));
        let cases = [
            (
                Home::User(1000, "openclaw-gateway.service".into()),
                1000,
                "systemctl --user disable --now openclaw-gateway.service",
            ),
            (
                Home::User(1001, "x.service".into()),
                1001,
                "sudo systemctl --user --machine=u1001@ stop x.service",
            ),
            (Home::System("nginx.service".into()), 33, "sudo systemctl stop nginx.service"),
            (Home::Loose, 1000, "kill 42"),
            (Home::Loose, 1001, "sudo kill 42"),
        ];
        for (home, uid, want) in cases {
            let (status, mend) = judged(&failed, vec![holder("0.0.0.0", uid, Some(("node", uid, home)))]);
            assert_eq!((status, mend.first().map(String::as_str)), ("fault", Some(want)));
            assert_eq!(mend.len(), 3, "and the socket is started: {mend:?}");
        }
        let mut own =
            instances(Kind::User(Caller::of("alice", 1000).user.unwrap()), "UnitFileState=disabled");
        own.found.extend(instances(Kind::System, "UnitFileState=enabled").found);
        let work = Home::User(1000, "openclaw-gateway-work.service".into());
        let (_, mend) = judged(&own, vec![holder("127.0.0.1", 1000, Some(("node", 1000, work)))]);
        assert_eq!(mend, ["sudo systemctl disable --now loopgate.socket", "loopgate adopt"]);
        let (_, mend) = judged(&failed, vec![holder("127.0.0.1", 1001, None)]);
        assert_eq!(mend, ["sudo loopgate doctor port"]);
    }

    #[test]
    fn nothing_installed_is_said() {
        let none = Instances::default();
        assert_eq!(judged(&none, Vec::new()), ("fault", Vec::new()));
        let hand = vec![holder("127.0.0.1", 1000, Some(("loopgated", 1000, Home::Loose)))];
        assert_eq!(judged(&none, hand).0, "note");
    }
}
