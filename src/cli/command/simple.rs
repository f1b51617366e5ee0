//! Commands that ask one method and show its answer.

use serde_json::{Value, json};

use super::{Form, Shown, call, none};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, codes};
use crate::cli::json::Member;
use crate::cli::link::Link;
use crate::cli::screen::{Screen, Span, Tone, duration, names};
use crate::limits::CLI_ID_CHARS;

/// `loopgate health`.
pub(crate) fn health(link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    let payload = link.call("health", &none())?;
    let well = *payload.value()?.at("ok") == true;
    let failure = (!well).then(|| {
        Failure::new(Exit::Answer, codes::UNHEALTHY, "the gateway says that it is not well")
            .next("loopgate status")
    });
    Ok(form.show(&payload, draw_health)?.but(failure))
}

/// Well or not, how fresh that is, and what the gateway runs.
fn draw_health(screen: &mut Screen, health: &Value) {
    let verdict =
        if health.at("ok") == true { Span::new("ok", Tone::Good) } else { Span::new("not ok", Tone::Bad) };
    screen.pair("health", &[verdict]);
    screen.pair("checked", &[screen.ago_at(health.at("ts"))]);
    let agents: Vec<&str> = health
        .at("agents")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|agent| agent.at("agentId").as_str())
        .collect();
    screen.pair("agents", &[names(&json!(agents))]);
    screen.pair("channels", &[channels(health)]);
    screen.pair("sessions", &[health.at("sessions").at("count").into()]);
    if let Some(seconds) = health.at("heartbeatSeconds").as_u64() {
        screen.pair("heartbeat", &[format!("every {}", duration(seconds.saturating_mul(1_000))).into()]);
    }
}

/// The configured channels by name.
fn channels(health: &Value) -> Span {
    let ids = health.at("channels").as_object().map(|channels| channels.keys().cloned().collect::<Vec<_>>());
    match ids {
        Some(ids) if !ids.is_empty() => ids.join(" ").into(),
        _ => Span::new("none", Tone::Dim),
    }
}

/// `loopgate presence`.
pub(crate) fn presence(link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    form.show(&link.call("system-presence", &none())?, draw_presence)
}

fn draw_presence(screen: &mut Screen, presence: &Value) {
    let rows: Vec<Vec<Span>> = presence
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            // A system event leaves an entry that is nothing but a text.
            let host = if entry.at("host").is_string() { entry.at("host") } else { entry.at("text") };
            vec![
                host.into(),
                entry.at("mode").into(),
                entry.at("version").into(),
                entry.at("platform").into(),
                names(entry.at("roles")),
                entry.at("reason").into(),
                screen.ago_at(entry.at("ts")),
            ]
        })
        .collect();
    if rows.is_empty() {
        screen.line(&["nobody is here".into()]);
        return;
    }
    screen.table(&["HOST", "MODE", "VERSION", "PLATFORM", "ROLES", "REASON", "SEEN"], &rows);
}

/// `loopgate nodes list`.
pub(crate) fn nodes(link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    form.show(&link.call("node.list", &none())?, draw_nodes)
}

/// Nodes in the gateway's order, which puts connected ones first.
fn draw_nodes(screen: &mut Screen, answer: &Value) {
    let rows: Vec<Vec<Span>> = answer
        .at("nodes")
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| {
            let state = match (node.at("connected") == true, node.at("paired") == true) {
                (true, _) => Span::new("connected", Tone::Good),
                (false, true) => Span::new("away", Tone::Warn),
                (false, false) => Span::new("not paired", Tone::Warn),
            };
            vec![
                short(node.at("nodeId")),
                node.at("displayName").into(),
                state,
                node.at("platform").into(),
                node.at("version").into(),
                names(node.at("caps")),
                count(node.at("commands")),
                screen.ago_at(node.at("connectedAtMs")),
            ]
        })
        .collect();
    if rows.is_empty() {
        screen.line(&["no nodes; `openclaw node run` on a machine makes it one".into()]);
        return;
    }
    screen.table(&["NODE", "NAME", "STATE", "PLATFORM", "VERSION", "CAPS", "COMMANDS", "SINCE"], &rows);
}

/// `loopgate config get`.
pub(crate) fn config(link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    form.show(&link.call("config.get", &none())?, draw_config)
}

/// Where it stands, whether it is good, and what it says. `raw` and `parsed` would only repeat it.
fn draw_config(screen: &mut Screen, answer: &Value) {
    screen.pair("file", &[answer.at("path").into()]);
    screen.pair("exists", &[answer.at("exists").into()]);
    let valid =
        if answer.at("valid") == true { Span::new("yes", Tone::Good) } else { Span::new("no", Tone::Bad) };
    screen.pair("valid", &[valid]);
    for (kind, tone) in [("issues", Tone::Bad), ("warnings", Tone::Warn)] {
        for issue in answer.at(kind).as_array().into_iter().flatten() {
            let text = |key: &str| issue.at(key).as_str().unwrap_or_default().to_owned();
            screen.pair(kind, &[Span::new(&format!("{}: {}", text("path"), text("message")), tone)]);
        }
    }
    screen.gap();
    call::tree(screen, answer.get("config").unwrap_or(&Value::Null));
}

/// `loopgate browser status`.
pub(crate) fn browser(link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    let timeout = crate::clock::millis(link.limit());
    // The gateway gives up no later than we do, so that its own words arrive.
    let params = json!({"method": "GET", "path": "/", "timeoutMs": timeout});
    form.show(&link.call("browser.request", &params)?, draw_browser)
}

/// The address of the browser is left out: remote ones carry a secret in it.
fn draw_browser(screen: &mut Screen, browser: &Value) {
    let running = if browser.at("running") == true {
        Span::new("yes", Tone::Good)
    } else {
        browser.at("running").into()
    };
    screen.pair("enabled", &[browser.at("enabled").into()]);
    screen.pair("running", &[running]);
    screen.pair("profile", &[browser.at("profile").into()]);
    screen.pair("transport", &[browser.at("transport").into()]);
    screen.pair("port", &[browser.at("cdpPort").into()]);
    let chosen = if browser.at("chosenBrowser").is_string() {
        browser.at("chosenBrowser")
    } else {
        browser.at("detectedBrowser")
    };
    screen.pair("browser", &[chosen.into()]);
    screen.pair("headless", &[browser.at("headless").into()]);
    if browser.at("detectError").is_string() {
        screen.pair("error", &[Span::new(browser.at("detectError").as_str().unwrap_or_default(), Tone::Bad)]);
    }
}

/// The beginning of an id, enough to name it.
pub(crate) fn short(id: &Value) -> Span {
    id.as_str().map_or_else(Span::none, |id| id.chars().take(CLI_ID_CHARS).collect::<String>().into())
}

fn count(list: &Value) -> Span {
    list.as_array().map_or_else(Span::none, |list| list.len().to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draw: fn(&mut Screen, &Value), value: &Value) -> String {
        let mut screen = Screen::new(false, 1_000_000);
        draw(&mut screen, value);
        screen.finish()
    }

    #[test]
    fn every_shape_of_answer_is_shown() {
        let draws: [fn(&mut Screen, &Value); 5] =
            [draw_health, draw_presence, draw_nodes, draw_config, draw_browser];
        for draw in draws {
            for value in
                [json!({}), json!(null), json!([7, {}]), json!({"nodes": 7, "agents": {}, "config": []})]
            {
                assert!(drawn(draw, &value).ends_with('\n'));
            }
        }
    }

    #[test]
    fn nodes_stand_in_columns() {
        let answer = json!({"nodes": [{"nodeId": "9b90752b1111222233334444", "displayName": "Desk", "platform": "linux",
            "caps": ["browser"], "commands": ["a", "b"], "connected": true, "connectedAtMs": 940_000}]});
        let text = drawn(draw_nodes, &answer);
        assert!(
            text.contains("9b90752b1111  Desk  connected  linux     -        browser  2         1 min ago"),
            "{text}"
        );
    }

    #[test]
    fn the_address_of_a_browser_is_not_shown() {
        let answer = json!({"enabled": true, "running": true, "cdpUrl": "wss://b.example/?token=canary", "cdpPort": 1});
        assert!(!drawn(draw_browser, &answer).contains("canary"));
    }
}
