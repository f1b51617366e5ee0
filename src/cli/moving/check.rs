//! Whether a move has worked: by asking, again and again, until all answer or the time is over.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::look;
use super::plan::Plan;
use crate::cli::client::Client;
use crate::cli::doctor::facts::Machine;
use crate::cli::doctor::facts::gate::http_status;
use crate::cli::doctor::facts::listener;
use crate::cli::doctor::facts::offer::{Offer, of_gateway};
use crate::cli::doctor::facts::process::Home;
use crate::cli::doctor::facts::tool::Patience;
use crate::cli::doctor::facts::unit::Manager;
use crate::cli::doctor::facts::who::{Caller, User};
use crate::cli::json::Member;
use crate::cli::screen::neutral;
use crate::cli::target::Target;

/// What was seen, one sentence each.
pub(super) type Seen = Vec<String>;

/// The gate answers, the gateway answers behind it, and the configured secret is taken.
pub(super) fn adopted(plan: &Plan, user: &User) -> Result<Seen, String> {
    let (gate, runtime) = (at(plan.port), at(plan.runtime));
    let mut seen = Vec::new();
    until(GATE, || answers(gate, "/readyz")).map_err(|why| format!("port {}: {why}", plan.port))?;
    seen.push(format!("port {}: loopgate answers", plan.port));
    let unit = plan.unit.as_deref().unwrap_or_default();
    runs(unit, plan.runtime, user)?;
    until(GATEWAY_ANSWER, || answers(runtime, "/healthz"))
        .map_err(|why| format!("port {}: {why}", plan.runtime))?;
    seen.push(format!("port {}: {unit} answers", plan.runtime));
    let source =
        until(THROUGH, || health(plan.port, user)).map_err(|why| format!("port {}: {why}", plan.port))?;
    seen.push(format!("port {}: health is well, answered by {unit}, with {source}", plan.port));
    Ok(seen)
}

/// The gateway is back at its port.
pub(super) fn returned(plan: &Plan, user: &User) -> Result<Seen, String> {
    let unit = plan.unit.as_deref().unwrap_or_default();
    runs(unit, plan.port, user)?;
    Ok(vec![format!("port {}: {unit} listens", plan.port)])
}

/// Whether the unit's own process listens at `port`. Whoever else does is named, and not outwaited: some gateways try for
/// minutes.
fn runs(unit: &str, port: u16, user: &User) -> Result<(), String> {
    let machine = Machine::new();
    let other_since = Cell::new(None);
    let listens = || {
        let listeners = listener::at(port)?;
        let ours = listeners.iter().find(|listener| {
            let home = listener.process.as_ref().map(|process| &process.unit);
            matches!(home, Some(Home::User(uid, of)) if *uid == user.uid && of == unit)
        });
        let Some(other) = listeners.first() else {
            other_since.set(None);
            return Err(format!("port {port}: {unit} does not listen"));
        };
        if ours.is_some() {
            return Ok(());
        }
        other_since.set(other_since.get().or_else(|| Some(Instant::now())));
        let name = other.process.as_ref().map_or("a process", |process| process.name.as_str());
        Err(format!("port {port}: {name} of user {} holds it", machine.users.name(other.uid)))
    };
    let stays =
        || other_since.get().filter(|since| since.elapsed() >= OTHER).map(|_| "it does not go".to_owned());
    until_or(GATEWAY_START, listens, || stays().or_else(|| gives_up(unit, &machine.caller, user)))
}

/// Why the unit will not come up any more, if it has failed, or failed twice since it was started.
fn gives_up(unit: &str, caller: &Caller, user: &User) -> Option<String> {
    let shown = Manager::User(user.clone()).show(caller, &[unit], Patience::new()).ok()?;
    let shown = shown.first()?;
    let restarts: u32 = shown.get("NRestarts").parse().unwrap_or_default();
    let (result, status) = (shown.get("Result"), shown.get("ExecMainStatus"));
    (shown.is_failed() || restarts >= RESTARTS_MAX)
        .then(|| format!("{unit} does not stay up ({result}, exit status {status})"))
}

fn answers(at: SocketAddr, path: &str) -> Result<(), String> {
    match http_status(at, path, Patience::new())? {
        200 => Ok(()),
        status => Err(format!("{path} is answered with {status}")),
    }
}

/// One call through the gate, as a client that knows the configured secret. Where it comes from, in words.
fn health(port: u16, user: &User) -> Result<String, String> {
    // Each time anew: the gate's unit is known only once it is there.
    let machine = Machine::new();
    let instance = look::own(&machine, user).ok_or("loopgate.socket is not there")?;
    let offer = of_gateway(&machine, instance);
    if let Offer::Unusable(reason) = &offer {
        return Err(format!("the secret cannot be had: {reason}"));
    }
    let told = |failure: crate::cli::failure::Failure| failure.message;
    let target = Target::at_port(port);
    let mut client = Client::open(&target, &offer.credentials(), &["operator.read"], ANSWER).map_err(told)?;
    if !client.hello().payload().at("snapshot").at("runtime").is_object() {
        return Err("loopgate knows of no gateway behind it".to_owned());
    }
    let health =
        client.call("health", RawValue::NULL, ANSWER).and_then(|payload| payload.value()).map_err(told)?;
    client.close();
    if health.at("ok") == false {
        return Err("health is not well".to_owned());
    }
    // The mark of an answer that loopgate gave for a runtime that did not.
    let mark = health.at("loopgate");
    if mark.at("answeredBy").is_string() {
        let runtime = neutral(mark.at("runtime").as_str().unwrap_or("unknown"));
        return Err(format!("loopgate does not reach the gateway behind it, which is {runtime} to it"));
    }
    Ok(match offer {
        Offer::Secret { source, .. } => format!("the secret from {source}"),
        _ => "no secret".to_owned(),
    })
}

fn until<T>(limit: Duration, ask: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    until_or(limit, ask, || None)
}

/// Asks until there is an answer, the time is over, or `end` says why there will be none.
fn until_or<T>(
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
    end: impl Fn() -> Option<String>,
) -> Result<T, String> {
    let deadline = Instant::now() + limit;
    loop {
        let why = match ask() {
            Ok(answer) => return Ok(answer),
            Err(why) => why,
        };
        if let Some(end) = end() {
            return Err(format!("{why}; {end}"));
        }
        if Instant::now() >= deadline {
            return Err(format!("{why}, after {} s", limit.as_secs()));
        }
        thread::sleep(PAUSE);
    }
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The gate starts in milliseconds, on a busy machine in seconds.
const GATE: Duration = Duration::from_secs(15);
/// From the gateway's first answer to one of its own through loopgate: it pairs a device, and loads what it answers with.
const THROUGH: Duration = Duration::from_secs(45);
/// A first start of 2026.9.6 was seen to take 27 seconds on two slow cores.
const GATEWAY_START: Duration = Duration::from_secs(120);
/// What holds the port for so long is no process that is about to end.
const OTHER: Duration = Duration::from_secs(5);
/// From its port to its first answer.
const GATEWAY_ANSWER: Duration = Duration::from_secs(30);
/// One call.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// One failure may be the old process's port that was not free yet.
const RESTARTS_MAX: u32 = 2;
