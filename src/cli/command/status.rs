//! `status`: the gateway at a glance, put together from four answers over one connection.

use serde_json::{Map, Value, json};

use super::{Form, Shown, none};
use crate::cli::client::Hello;
use crate::cli::failure::Failure;
use crate::cli::json::Member;
use crate::cli::link::Link;
use crate::cli::refusal::is_plain;
use crate::cli::screen::{Screen, Span, Tone, duration};

/// `loopgate status`. An answer that fails is shown in its place; the first failure is the status to end with.
pub(crate) fn run(link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    let methods = PARTS.map(|(_, method)| method);
    // One connection for all: it asks for what the four need together.
    link.ask_for(&methods);
    let hello = link.hello()?;
    let address = link.way()?.target.address.to_string();
    let mut report = Map::from_iter([("gateway".to_owned(), gateway(&hello, &address))]);
    let mut first = None;
    for (part, method) in PARTS {
        let answer = link.call(method, &none()).and_then(|payload| payload.value());
        let answer = answer.unwrap_or_else(|failure| {
            let error = json!({"error": failure.to_json()});
            first.get_or_insert(failure);
            error
        });
        report.insert(part.to_owned(), answer);
    }
    Ok(form.report(&Value::Object(report), draw).but(first))
}

/// What is known from the handshake.
fn gateway(hello: &Hello, address: &str) -> Value {
    let payload = hello.payload();
    json!({
        "address": address,
        "protocol": hello.protocol,
        "server": payload.at("server"),
        "uptimeMs": payload.at("snapshot").at("uptimeMs"),
        "authMode": payload.at("snapshot").at("authMode"),
        "runtime": payload.at("snapshot").at("runtime"),
        "auth": {"method": payload.at("auth").at("method"), "role": payload.at("auth").at("role"), "scopes": payload.at("auth").at("scopes")},
    })
}

/// One line a subject; the one that wants attention names the command for it.
fn draw(screen: &mut Screen, report: &Value) {
    let gateway = report.at("gateway");
    let version = gateway.at("server").at("version").as_str().unwrap_or("of unknown version");
    let up = gateway.at("uptimeMs").as_u64().map(|ms| format!(", up {}", duration(ms))).unwrap_or_default();
    screen.pair("gateway", &[Span::new(version, Tone::Bold), up.into()]);
    screen.pair(
        "address",
        &[format!("{}, protocol {}", text(gateway.at("address")), gateway.at("protocol")).into()],
    );
    // OpenClaw 2026.9 tells the mode to admins only.
    let mode = gateway.at("authMode");
    screen
        .pair("auth mode", &[if mode.is_string() { mode.into() } else { Span::new("not told", Tone::Dim) }]);
    if gateway.at("runtime").is_object() {
        screen.pair("runtime", &runtime(gateway.at("runtime")));
    }
    screen.pair("peers", &[told(report.at("presence"), peers)]);
    screen.pair("nodes", &[told(report.at("nodes"), nodes)]);
    screen.pair("pairing", &[told(report.at("devices"), pairing)]);
    screen.pair("sessions", &[told(report.at("status"), |status| status.at("sessions").at("count").into())]);
    screen.pair("agents", &[told(report.at("status"), agents)]);
}

/// How OpenClaw's own gateway is, and what to type if it is not well.
fn runtime(runtime: &Value) -> [Span; 2] {
    let state = text(runtime.at("state"));
    let version = runtime.at("version").as_str().map(|version| format!(" ({version})")).unwrap_or_default();
    match state {
        "ready" => [Span::new(state, Tone::Good), version.into()],
        _ => [Span::new(state, Tone::Warn), format!("{version}: loopgate doctor runtime").into()],
    }
}

/// One part in its words, or why it is missing.
fn told(part: &Value, words: impl FnOnce(&Value) -> Span) -> Span {
    match part.at("error").at("message").as_str() {
        Some(message) => Span::new(&format!("unknown: {message}"), Tone::Warn),
        None => words(part),
    }
}

/// Everybody in the list who is neither the gateway itself nor gone.
fn peers(presence: &Value) -> Span {
    let here = |entry: &&Value| entry.at("reason") != "disconnect" && entry.at("reason") != "self";
    let here = presence.as_array().into_iter().flatten().filter(here).count();
    format!("{here} connected").into()
}

/// How many nodes there are, and how many of them can be used now.
fn nodes(answer: &Value) -> Span {
    let nodes = answer.at("nodes").as_array().map_or(&[][..], Vec::as_slice);
    if nodes.is_empty() {
        return Span::new("none", Tone::Dim);
    }
    let connected = nodes.iter().filter(|node| node.at("connected") == true).count();
    let tone = if connected == nodes.len() { Tone::Good } else { Tone::Warn };
    Span::new(&format!("{connected} of {} connected", nodes.len()), tone)
}

/// How many devices there are, and what to type if one waits.
fn pairing(devices: &Value) -> Span {
    let count = |key: &str| devices.at(key).as_array().map_or(0, Vec::len);
    let paired = count("paired");
    let command = match devices.at("pending").as_array().map_or(&[][..], Vec::as_slice) {
        [] => return format!("{paired} paired, no request waits").into(),
        [only] => match only.at("requestId").as_str() {
            Some(id) if is_plain(id) => format!("loopgate devices approve {id}"),
            _ => "loopgate devices approve".to_owned(),
        },
        _ => "loopgate devices list".to_owned(),
    };
    Span::new(&format!("{paired} paired, {} waiting: {command}", count("pending")), Tone::Warn)
}

/// The agents by id, the default one marked.
fn agents(status: &Value) -> Span {
    let default = text(status.at("heartbeat").at("defaultAgentId"));
    let names: Vec<String> = status
        .at("heartbeat")
        .at("agents")
        .as_array()
        .into_iter()
        .flatten()
        .map(|agent| text(agent.at("agentId")))
        .map(|id| if id == default { format!("{id} (default)") } else { id.to_owned() })
        .collect();
    if names.is_empty() { Span::none() } else { names.join(", ").into() }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// The parts of the report and the methods that give them.
const PARTS: [(&str, &str); 4] = [
    ("status", "status"),
    ("presence", "system-presence"),
    ("nodes", "node.list"),
    ("devices", "device.pair.list"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_counts_and_names_the_next_command() {
        let report = json!({
            "gateway": {"address": "ws://127.0.0.1:7", "protocol": 4, "server": {"version": "2026.9.6"},
                "uptimeMs": 7_260_000, "authMode": "token",
                "runtime": {"state": "away", "version": "2026.3.13"}},
            "status": {"sessions": {"count": 3}, "heartbeat": {"defaultAgentId": "main",
                "agents": [{"agentId": "main"}, {"agentId": "work"}]}},
            "presence": [{"reason": "self"}, {"reason": "connect"}, {"reason": "disconnect"}],
            "nodes": {"nodes": [{"connected": true}, {"connected": false}]},
            "devices": {"pending": [{"requestId": "r-1"}], "paired": [{}]},
        });
        let mut screen = Screen::new(false, 0);
        draw(&mut screen, &report);
        let want = "\
gateway     2026.9.6, up 2 h 1 min
address     ws://127.0.0.1:7, protocol 4
auth mode   token
runtime     away (2026.3.13): loopgate doctor runtime
peers       1 connected
nodes       1 of 2 connected
pairing     1 paired, 1 waiting: loopgate devices approve r-1
sessions    3
agents      main (default), work
";
        assert_eq!(screen.finish(), want);
    }

    #[test]
    fn a_part_that_failed_says_why() {
        let part = json!({"error": {"message": "missing scope: operator.read"}});
        assert_eq!(told(&part, nodes), Span::new("unknown: missing scope: operator.read", Tone::Warn));
    }
}
