//! What is looked at before a move. Rule: nothing is changed, and every look is bounded, as doctor's are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::facts::{Config, Facts, File, Gate, Gateway, Holder, Wish};
use super::port;
use super::step::{GATE_SERVICE, GATE_SOCKET};
use super::unit_file::{DROP_IN, UnitFile};
use crate::cli::doctor::facts::Machine;
use crate::cli::doctor::facts::instance::{Instance, Kind};
use crate::cli::doctor::facts::listener::{self, Listener};
use crate::cli::doctor::facts::process::Home;
use crate::cli::doctor::facts::rival::{Rival, is_gateway};
use crate::cli::doctor::facts::tool::{list, read};
use crate::cli::doctor::facts::unit::{Manager, Unit};
use crate::cli::doctor::facts::who::User;
use crate::cli::doctor::facts::world::World;
use crate::cli::failure::Failure;
use crate::cli::json::Member;
use crate::config::{OpenClaw, Settings};

/// The user whose gateway it is. Root's own is nobody's: it would be run by the user manager of root, and `sudo` changes who
/// asks without changing whose files are meant.
pub(super) fn user(machine: &Machine, command: &str) -> Result<User, Failure> {
    let caller = &machine.caller;
    if caller.is_root() {
        let text = "a gateway is moved by the user whose it is, for its files and its service manager are that user's";
        return Err(Failure::usage(text).next(format!("loopgate {command}, as that user and without sudo")));
    }
    let name = &caller.name;
    caller.user.clone().ok_or_else(|| Failure::config(format!("user {name} is not in the user database")))
}

/// Everything that a plan is made from. With `lenient`, what cannot be read is not looked at: whoever goes back may have
/// broken it meanwhile.
pub(super) fn facts(machine: &Machine, user: &User, wish: &Wish, lenient: bool) -> Result<Facts, Failure> {
    let manager = Manager::User(user.clone());
    // Without it nothing could be moved; why it is silent is worth more than what follows from that.
    manager.show(&machine.caller, &[GATE_SOCKET], machine.patience).map_err(|silence| {
        Failure::config(silence.words()).next("log in as that user, on a session of its own")
    })?;
    let own = own(machine, user);
    let gate = own.filter(|instance| instance.socket.is_installed()).map(|instance| Gate {
        port: instance.port().unwrap_or(port::GATE),
        enabled: instance.socket.is_enabled(),
        open: instance.socket.is_active(),
        serves: instance.service.is_active(),
    });
    let world = own.map_or_else(|| World::of_user(user), |instance| World::of_instance(instance, machine));
    let conf = match Settings::load(&world, None) {
        Ok(settings) => settings.path,
        Err(_) if lenient => user.home.join(".config/loopgate/loopgate.conf"),
        Err(error) => return Err(Failure::config(error.to_string())),
    };
    // What is a link is written where it leads.
    let conf = std::fs::canonicalize(&conf).unwrap_or(conf);
    let gateways = gateways(machine, user);
    let world_drop_in = units(user).join(format!("{GATE_SERVICE}.d")).join(WORLD_FILE);
    let port = gate.map_or(port::GATE, |gate| gate.port);
    let conf = file(conf)?;
    let configured = conf.text.clone().and_then(|text| Settings::parse(&conf.path, text).ok()?.runtime_port);
    let ports = [Some(port), wish.port, configured].into_iter().flatten().chain(port::CHOICES);
    Ok(Facts {
        user: user.name.clone(),
        taken: taken(ports, machine, user, gate)?,
        gateways,
        gate,
        system: of_system(machine, port),
        conf,
        world: file(world_drop_in)?,
        config: config(&world)
            .or_else(|failure| if lenient { Ok(Config::default()) } else { Err(failure) })?,
    })
}

/// The user's own instance, as doctor finds it.
pub(super) fn own<'a>(machine: &'a Machine, user: &User) -> Option<&'a Instance> {
    let mine = |instance: &&Instance| matches!(&instance.kind, Kind::User(of) if of.uid == user.uid);
    machine.instances().found.iter().find(mine)
}

/// Who listens at each of `ports`.
fn taken(
    ports: impl Iterator<Item = u16>,
    machine: &Machine,
    user: &User,
    gate: Option<Gate>,
) -> Result<BTreeMap<u16, Holder>, Failure> {
    let mut taken = BTreeMap::new();
    for port in ports {
        let listeners = listener::at(port).map_err(Failure::config)?;
        if let Some(listener) = listeners.first() {
            taken.insert(port, holder(listener, machine, user, gate));
        }
    }
    Ok(taken)
}

fn holder(listener: &Listener, machine: &Machine, user: &User, gate: Option<Gate>) -> Holder {
    let by_gate = gate.is_some_and(|gate| gate.open && gate.port == listener.port);
    let process = listener.process.as_ref();
    match process.map(|process| (&process.unit, process.name.as_str())) {
        Some((Home::User(uid, unit), _)) if *uid == user.uid && is_gateway(unit) => {
            Holder::Gateway(unit.clone())
        }
        Some((_, "systemd")) if by_gate && listener.uid == user.uid => Holder::Gate,
        Some((_, name)) => Holder::Other(format!("{name} of user {}", machine.users.name(listener.uid))),
        None => Holder::Other(format!("a process of user {}", machine.users.name(listener.uid))),
    }
}

/// The user's gateways, and units of which only our drop-in is left.
fn gateways(machine: &Machine, user: &User) -> Vec<Gateway> {
    let mine = |rival: &&Rival| rival.manager == Manager::User(user.clone());
    let mut found: Vec<Gateway> =
        machine.rivals().iter().filter(mine).map(|rival| gateway(rival, user)).collect();
    for folder in list(&units(user).display().to_string()) {
        let name = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".d"));
        let Some(name) = name.filter(|name| is_gateway(name) && found.iter().all(|one| one.name != **name))
        else {
            continue;
        };
        if let Ok(ours @ File { text: Some(_), .. }) = file(folder.join(DROP_IN)) {
            let (name, others) = (name.to_owned(), Vec::new());
            found.push(Gateway {
                name,
                unit: None,
                version: None,
                ours,
                others,
                enabled: false,
                active: false,
            });
        }
    }
    found
}

fn gateway(rival: &Rival, user: &User) -> Gateway {
    let ours = units(user).join(format!("{}.d", rival.name)).join(DROP_IN);
    let drop_ins = rival.unit.as_ref().map(|unit| unit.get("DropInPaths")).unwrap_or_default();
    // Those that lie there and were not loaded yet count as well.
    let beside = ours.parent().map(|folder| list(&folder.display().to_string())).unwrap_or_default();
    let mut others: Vec<PathBuf> = drop_ins.split_whitespace().map(PathBuf::from).chain(beside).collect();
    others.sort();
    others.dedup();
    others.retain(|path| {
        *path != ours && path.extension().is_some_and(|kind| kind == "conf") && has_start(path)
    });
    Gateway {
        name: rival.name.clone(),
        unit: read(&rival.path, FILE_BYTES_MAX).ok().map(|text| UnitFile::parse(&text)),
        version: rival.version.clone(),
        ours: file(ours).unwrap_or_default(),
        others,
        enabled: rival.enabled,
        active: rival.is_active(),
    }
}

/// Whether a drop-in says how the unit is started; one that cannot be read might.
fn has_start(path: &Path) -> bool {
    match read(path, FILE_BYTES_MAX) {
        Ok(text) => UnitFile::parse(&text).has_start(),
        Err(_) => path.exists(),
    }
}

/// Instances of the system at this port that run or are enabled, whomever they act for.
fn of_system(machine: &Machine, port: u16) -> Vec<(String, String)> {
    let manager = Manager::System;
    let mut names = vec![GATE_SOCKET.to_owned()];
    for wants in ["/etc/systemd/system/sockets.target.wants", "/run/systemd/system/sockets.target.wants"] {
        let links = list(wants);
        let links = links.iter().filter_map(|link| link.file_name()?.to_str());
        names.extend(links.filter(|name| name.starts_with("loopgate@")).map(str::to_owned));
    }
    names.dedup();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let units = manager.show(&machine.caller, &names, machine.patience).unwrap_or_default();
    let at_port = |unit: &Unit| unit.addresses().iter().any(|address| address.port() == port);
    let wants = |unit: &&Unit| (unit.is_active() || unit.is_enabled()) && at_port(unit);
    let words = |unit: &Unit| {
        let name = crate::cli::doctor::quote(&unit.name);
        let command = manager.command(&machine.caller, &format!("disable --now {name}"));
        (format!("{} of the system", unit.name), command)
    };
    units.iter().filter(wants).map(words).collect()
}

fn config(world: &World) -> Result<Config, Failure> {
    let config = OpenClaw::load(world).map_err(|error| Failure::config(error.to_string()))?;
    let gateway = config.resolved.at("gateway");
    Ok(Config {
        port: gateway.at("port").as_u64().and_then(|port| u16::try_from(port).ok()),
        bind: gateway.at("bind").as_str().map(str::to_owned),
        tls: config.gateway.tls,
    })
}

fn file(path: PathBuf) -> Result<File, Failure> {
    if std::fs::symlink_metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(File { path, text: None });
    }
    let text = read(&path, FILE_BYTES_MAX)
        .map_err(|cause| Failure::config(format!("{}: {cause}", path.display())))?;
    Ok(File { path, text: Some(text) })
}

/// Where the user's units are.
fn units(user: &User) -> PathBuf {
    user.home.join(".config/systemd/user")
}

const WORLD_FILE: &str = "50-openclaw.conf";
const FILE_BYTES_MAX: u64 = 1 << 20;
