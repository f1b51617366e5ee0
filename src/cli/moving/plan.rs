//! From facts to steps. Rule: pure; what is to be done, and what undoes it, is decided here before anything is touched.
//!
//! The drop-in is the record: it is written first and taken away last, so that whoever finds it knows what is left to do.
//! Every step may be done again. A run that was interrupted is finished by the next one, in either direction.

use super::facts::{Config, Facts, File, Gate, Gateway, Holder, Wish};
use super::port;
use super::step::{GATE_SERVICE, GATE_SOCKET, Step, Verb};
use super::unit_file::{self, UnitFile};
use crate::cli::failure::Failure;
use crate::config::Settings;
use crate::config::settings::{Runtime, is_new, set_runtime};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The gateway's unit; none if there is nothing to undo.
    pub unit: Option<String>,
    /// Its version, if it says so.
    pub version: Option<String>,
    /// The port that clients use.
    pub port: u16,
    /// The gateway's port afterwards.
    pub runtime: u16,
    /// In their order; none if all is as it should be.
    pub steps: Vec<Step>,
    /// What puts all back.
    pub back: Vec<Step>,
    /// Whether the gateway listens again once all is put back.
    pub returns: bool,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// The texts that a move wants.
struct Texts {
    ours: String,
    world: Option<String>,
    conf: String,
}

/// How the gateway gets behind loopgate.
pub(crate) fn adopt(facts: &Facts, wish: &Wish) -> Result<Plan, Failure> {
    let gate = free_gate(facts)?;
    let gateway = choose(facts, gate, wish)?;
    serves_this_machine(&facts.config)?;
    let (file, start) = movable(gateway)?;
    free_port(facts, gate, gateway)?;
    let settings = facts.conf.text.clone().unwrap_or_else(|| "{}".to_owned());
    let settings =
        Settings::parse(&facts.conf.path, settings).map_err(|error| Failure::config(error.to_string()))?;
    let runtime =
        port::choose(facts, gate.port, &gateway.name, wish.port.or(settings.runtime_port), wish.port)?;
    let before = gateway.ours.text.as_deref().map_or_else(|| Runtime::of(&settings), unit_file::before);
    let texts = Texts {
        ours: unit_file::drop_in(start, runtime, &before),
        world: unit_file::world(file).map_err(|why| cannot_move(gateway, &why))?,
        conf: conf(facts, &Runtime { port: Some(runtime), unit: Some(gateway.name.clone()) })?,
    };
    let back = if gateway.ours.text.is_some() {
        undo(facts, gateway)
    } else {
        restore(facts, gateway, gate, &texts)
    };
    Ok(Plan {
        unit: Some(gateway.name.clone()),
        version: gateway.version.clone(),
        port: gate.port,
        runtime,
        steps: steps(facts, gateway, gate, runtime, &texts),
        back,
        returns: gateway.active || gateway.enabled,
        notes: notes(facts, gate, gateway),
    })
}

/// How it gets its port back.
pub(crate) fn release(facts: &Facts, wish: &Wish) -> Plan {
    let port = facts.gate.map_or(port::GATE, |gate| gate.port);
    let named = |gateway: &&Gateway| wish.unit.as_ref().is_none_or(|unit| *unit == gateway.name);
    let moved = facts.gateways.iter().filter(named).find(|gateway| gateway.ours.text.is_some());
    let mut plan = Plan {
        unit: moved.map(|gateway| gateway.name.clone()),
        version: None,
        port,
        runtime: port,
        steps: Vec::new(),
        back: Vec::new(),
        returns: false,
        notes: Vec::new(),
    };
    if let Some(gateway) = moved {
        plan.steps = undo(facts, gateway);
        plan.returns = starts_again(gateway);
        plan.notes = left(facts, gateway);
        return plan;
    }
    // A run that was interrupted right before its end: the gateway is moved back, and not started.
    let open = facts.gate.is_some_and(|gate| gate.open);
    let waits = |gateway: &&Gateway| wants(gateway, port) && gateway.enabled && !gateway.active && !open;
    if let Some(gateway) = facts.gateways.iter().filter(named).find(waits) {
        plan.unit = Some(gateway.name.clone());
        plan.steps = vec![Step::manager(Verb::Reload), Step::run(Verb::Start, &gateway.name)];
        plan.returns = true;
    }
    plan
}

/// Whether a unit starts a gateway at `port`.
fn wants(gateway: &Gateway, port: u16) -> bool {
    gateway.unit.as_ref().is_some_and(|unit| unit.port().unwrap_or(port::GATE) == port)
}

fn starts_again(gateway: &Gateway) -> bool {
    gateway.unit.is_some() && (gateway.active || gateway.enabled)
}

/// The user's instance, if no instance of the system wants its port.
fn free_gate(facts: &Facts) -> Result<Gate, Failure> {
    let Some(gate) = facts.gate else {
        return Err(Failure::config(format!("the user units of loopgate are not there for {}", facts.user))
            .next("install loopgate, then log in again"));
    };
    let words: Vec<&str> = facts.system.iter().map(|(words, _)| words.as_str()).collect();
    if words.is_empty() {
        return Ok(gate);
    }
    let text =
        format!("{} would take port {} at the next start of the machine", words.join(" and "), gate.port);
    let failure =
        facts.system.iter().fold(Failure::config(text), |failure, (_, command)| failure.next(command));
    Err(failure.next("loopgate adopt"))
}

/// The gateway that is meant: the one that was moved already, else the one that runs, else the one that would.
fn choose<'a>(facts: &'a Facts, gate: Gate, wish: &Wish) -> Result<&'a Gateway, Failure> {
    if let Some(unit) = &wish.unit {
        let named = facts.gateways.iter().find(|gateway| gateway.name == *unit && gateway.unit.is_some());
        return named.ok_or_else(|| Failure::usage(format!("{} has no gateway {unit}", facts.user)));
    }
    let mine: Vec<&Gateway> = facts.gateways.iter().filter(|gateway| wants(gateway, gate.port)).collect();
    let moved = |gateway: &&&Gateway| gateway.ours.text.is_some();
    for few in [
        mine.iter().filter(moved).copied().collect::<Vec<_>>(),
        mine.iter().filter(|gateway| gateway.active).copied().collect(),
        mine.iter().filter(|gateway| gateway.enabled).copied().collect(),
        mine.clone(),
    ] {
        match few.as_slice() {
            [] => {}
            [only] => return Ok(only),
            several => {
                let names: Vec<&str> = several.iter().map(|gateway| gateway.name.as_str()).collect();
                return Err(Failure::usage(format!(
                    "{} are started with port {}",
                    names.join(" and "),
                    gate.port
                ))
                .next(format!("loopgate adopt --unit={}", names.first().unwrap_or(&""))));
            }
        }
    }
    Err(Failure::config(format!(
        "no service of {} starts an OpenClaw gateway with port {}",
        facts.user, gate.port
    ))
    .next("openclaw gateway install, then loopgate adopt")
    .next("systemctl --user enable --now loopgate.socket, for a gate without a gateway behind it"))
}

/// Clients of other machines would lose the gateway: loopgate holds the port on this machine alone, without TLS.
fn serves_this_machine(config: &Config) -> Result<(), Failure> {
    if config.tls {
        return Err(Failure::config("gateway.tls is on in openclaw.json, and loopgate does not speak TLS"));
    }
    match config.bind.as_deref() {
        None | Some("loopback" | "auto") => Ok(()),
        Some(_) => Err(Failure::config(
            "gateway.bind in openclaw.json lets other machines in, and loopgate serves this one alone",
        )
        .next("openclaw config set gateway.bind loopback, if no other machine needs the port")),
    }
}

/// The unit's file and the command in it, if a port can be added to it.
fn movable(gateway: &Gateway) -> Result<(&UnitFile, &str), Failure> {
    let file = gateway.unit.as_ref().ok_or_else(|| cannot_move(gateway, "its file is gone"))?;
    if let Some(other) = gateway.others.first() {
        return Err(cannot_move(gateway, &format!("{} says how it is started", other.display())));
    }
    if gateway.ours.text.as_deref().is_some_and(|text| !text.contains("loopgate adopt")) {
        let path = gateway.ours.path.display();
        return Err(cannot_move(gateway, &format!("{path} is not of loopgate's making")));
    }
    let start = file.start().map_err(|why| cannot_move(gateway, &why))?;
    Ok((file, start))
}

fn cannot_move(gateway: &Gateway, why: &str) -> Failure {
    Failure::config(format!("{} cannot be moved: {why}", gateway.name))
}

/// The gate's port is the gateway's, the gate's already, or nobody's.
fn free_port(facts: &Facts, gate: Gate, gateway: &Gateway) -> Result<(), Failure> {
    let other = match facts.taken.get(&gate.port) {
        None | Some(Holder::Gate) => return Ok(()),
        Some(Holder::Gateway(unit)) if *unit == gateway.name => return Ok(()),
        Some(Holder::Gateway(unit)) => unit,
        Some(Holder::Other(words)) => words,
    };
    Err(Failure::config(format!("port {} is held by {other}", gate.port)).next("loopgate doctor port"))
}

/// The settings with `runtime` in them.
fn conf(facts: &Facts, runtime: &Runtime) -> Result<String, Failure> {
    let File { path, text } = &facts.conf;
    let edited =
        set_runtime(path, text.as_deref(), runtime).map_err(|error| Failure::config(error.to_string()))?;
    edited.ok_or_else(|| {
        Failure::config(format!("{} cannot be changed without touching something else", path.display()))
            .next(format!("write into it: {}", runtime.snippet()))
    })
}

fn steps(facts: &Facts, gateway: &Gateway, gate: Gate, runtime: u16, texts: &Texts) -> Vec<Step> {
    let mut files = vec![write(&gateway.ours, &texts.ours)];
    files.push(match &texts.world {
        Some(text) => write(&facts.world, text),
        None => facts.world.text.as_ref().map(|_| Step::Remove(facts.world.path.clone())),
    });
    files.push(write(&facts.conf, &texts.conf));
    let gate_is_told = files.iter().skip(1).all(Option::is_none);
    let moved = files.first().is_some_and(Option::is_none)
        && facts.taken.get(&runtime) == Some(&Holder::Gateway(gateway.name.clone()));
    if gate_is_told && moved && gate.open && gate.enabled {
        return Vec::new();
    }
    let mut steps: Vec<Step> = files.into_iter().flatten().collect();
    steps.push(Step::manager(Verb::Reload));
    if gateway.active && !moved {
        steps.push(Step::run(Verb::Stop, &gateway.name));
    }
    if !(gate.open && gate.enabled) {
        steps.push(Step::run(Verb::Enable, GATE_SOCKET));
    }
    if gate.serves && !gate_is_told {
        // Its connections stay.
        steps.push(Step::run(Verb::Restart, GATE_SERVICE));
    }
    if !moved {
        steps.push(Step::run(Verb::Start, &gateway.name));
    }
    steps
}

/// Writes `text`, unless it stands there.
fn write(file: &File, text: &str) -> Option<Step> {
    let same = file.text.as_deref() == Some(text);
    (!same).then(|| Step::Write { path: file.path.clone(), text: text.to_owned() })
}

/// All as it was found.
fn restore(facts: &Facts, gateway: &Gateway, gate: Gate, texts: &Texts) -> Vec<Step> {
    let mut steps = vec![Step::run(Verb::Stop, &gateway.name)];
    if !gate.enabled {
        steps.push(Step::run(Verb::Disable, GATE_SOCKET));
    } else if !gate.open {
        steps.push(Step::run(Verb::Stop, GATE_SOCKET));
    }
    if !gate.serves {
        steps.push(Step::run(Verb::Stop, GATE_SERVICE));
    }
    if !gate.open {
        steps.extend([GATE_SOCKET, GATE_SERVICE].map(|unit| Step::run(Verb::ResetFailed, unit)));
    }
    let found = |file: &File| match &file.text {
        Some(text) => Step::Write { path: file.path.clone(), text: text.clone() },
        None => Step::Remove(file.path.clone()),
    };
    if write(&facts.conf, &texts.conf).is_some() {
        steps.push(found(&facts.conf));
    }
    if texts.world.is_some() || facts.world.text.is_some() {
        steps.push(found(&facts.world));
    }
    steps.push(found(&gateway.ours));
    steps.push(Step::manager(Verb::Reload));
    if gate.serves {
        steps.push(Step::run(Verb::Restart, GATE_SERVICE));
    }
    steps.extend(start(gateway));
    steps
}

/// All as it was before the first move, by the record in the drop-in.
fn undo(facts: &Facts, gateway: &Gateway) -> Vec<Step> {
    let mut steps = Vec::new();
    if gateway.active {
        steps.push(Step::run(Verb::Stop, &gateway.name));
    }
    if facts.gate.is_some() {
        steps.push(Step::run(Verb::Disable, GATE_SOCKET));
        steps.push(Step::run(Verb::Stop, GATE_SERVICE));
    }
    if let Some(text) = old_conf(facts, gateway) {
        let path = facts.conf.path.clone();
        steps.push(if is_new(&text) { Step::Remove(path) } else { Step::Write { path, text } });
    }
    if facts.world.text.as_deref().is_some_and(|text| text.contains("loopgate adopt")) {
        steps.push(Step::Remove(facts.world.path.clone()));
    }
    steps.push(Step::Remove(gateway.ours.path.clone()));
    steps.push(Step::manager(Verb::Reload));
    steps.extend(start(gateway));
    steps
}

/// What starts the gateway where it ran, or would.
fn start(gateway: &Gateway) -> Vec<Step> {
    if !starts_again(gateway) {
        return Vec::new();
    }
    // It may have failed too often on the way to be started once more.
    vec![Step::run(Verb::ResetFailed, &gateway.name), Step::run(Verb::Start, &gateway.name)]
}

/// The settings as they were, if they are still what a move has made of them.
fn old_conf(facts: &Facts, gateway: &Gateway) -> Option<String> {
    let ours = gateway.ours.text.as_deref()?;
    let File { path, text } = &facts.conf;
    let settings = Settings::parse(path, text.clone()?).ok()?;
    let moved = Runtime { port: UnitFile::parse(ours).port(), unit: Some(gateway.name.clone()) };
    let changed = set_runtime(path, text.as_deref(), &unit_file::before(ours)).ok()??;
    (Runtime::of(&settings) == moved && text.as_deref() != Some(changed.as_str())).then_some(changed)
}

/// What stays behind, for the user to decide about.
fn left(facts: &Facts, gateway: &Gateway) -> Vec<String> {
    let names = facts.conf.text.as_deref().is_some_and(|text| text.contains("runtime"));
    let stays = names && old_conf(facts, gateway).is_none();
    let note = format!(
        "{} is left as it is; see whether its runtime.port and runtime.unit still hold",
        facts.conf.path.display()
    );
    if stays { vec![note] } else { Vec::new() }
}

fn notes(facts: &Facts, gate: Gate, gateway: &Gateway) -> Vec<String> {
    let mut notes = Vec::new();
    match facts.config.port {
        Some(port) if port != gate.port => {
            notes.push(format!("openclaw.json sends clients to port {port}, loopgate holds {}", gate.port));
        }
        Some(_) => notes.push(
            "openclaw.json names gateway.port: `openclaw gateway start` and `restart` of OpenClaw 2026.9 refuse to act \
             then; `openclaw config unset gateway.port` changes nothing else, for it is the default"
                .to_owned(),
        ),
        None => {}
    }
    let file = gateway.unit.as_ref();
    let variable = |name: &str| file.is_some_and(|file| file.variable(name).is_some());
    let argument =
        file.and_then(|file| file.start().ok()).is_some_and(|start| unit_file::redacted(start) != start);
    if argument || ["OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_PASSWORD"].iter().any(|name| variable(name)) {
        notes.push(format!("{} is given a secret of its own; loopgated goes by openclaw.json", gateway.name));
    }
    notes
}

#[cfg(test)]
mod tests;
