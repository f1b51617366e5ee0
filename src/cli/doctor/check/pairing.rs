//! Devices that wait for approval.

use serde_json::Value;

use super::super::facts::Machine;
use super::super::facts::gate::Told;
use super::super::facts::instance::{Instance, Kind};
use super::super::facts::who::Caller;
use super::super::finding::{Finding, Outcome, as_root, as_user, quote};
use crate::cli::failure::Failure;
use crate::cli::json::Member;
use crate::cli::refusal::is_plain;
use crate::cli::screen::{duration, neutral};

/// Asks every open instance.
pub(super) fn look(machine: &Machine) -> Outcome {
    judge(machine.told(), &machine.caller, crate::cli::unix_ms())
}

fn judge(told: &[(Instance, Result<Told, Failure>)], caller: &Caller, now_ms: u64) -> Outcome {
    let (mut saw, mut findings, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for (instance, answer) in told {
        let list = match answer {
            Ok(told) => told.answer("device.pair.list"),
            Err(failure) => {
                skipped.push(failure.message.clone());
                continue;
            }
        };
        let waiting = list.at("pending").as_array().map_or(&[][..], Vec::as_slice);
        let paired = list.at("paired").as_array().map_or(0, Vec::len);
        if waiting.is_empty() {
            saw.push(format!("{}: no request waits, {paired} devices are paired", instance.words()));
        } else {
            findings.push(requests(waiting, instance, caller, now_ms));
        }
    }
    match skipped.first() {
        Some(why) if saw.is_empty() && findings.is_empty() => Outcome::Skipped(why.clone()),
        None if told.is_empty() => Outcome::Skipped("no instance of loopgate is open".to_owned()),
        _ => Outcome::looked(saw, findings),
    }
}

fn requests(waiting: &[Value], instance: &Instance, caller: &Caller, now_ms: u64) -> Finding {
    let oldest = waiting.iter().filter_map(|request| request.at("ts").as_u64()).min().unwrap_or(now_ms);
    let who: Vec<String> = waiting.iter().take(SHOWN_MAX).map(client).collect();
    let (count, age) = (waiting.len(), duration(now_ms.saturating_sub(oldest)));
    let text = format!(
        "{count} pairing request{} since {age}: {}",
        if count == 1 { " waits" } else { "s wait" },
        who.join(", ")
    );
    let commands = waiting.iter().take(SHOWN_MAX).filter_map(|request| {
        let id = request.at("requestId").as_str().filter(|id| is_plain(id))?;
        let socket = quote(&instance.owner_socket().display().to_string());
        let command = format!("loopgate --socket {socket} devices approve {id}");
        Some(match &instance.kind {
            Kind::System => as_root(caller, &command),
            Kind::Template(user) | Kind::User(user) => as_user(caller, &user.name, &command),
        })
    });
    Finding::warning(text).because("approve those that you know, and reject the others").mend_all(commands)
}

fn client(request: &Value) -> String {
    let text = |key: &str| request.at(key).as_str().map(neutral);
    let name = text("displayName").or_else(|| text("clientId")).unwrap_or_else(|| "a device".to_owned());
    let role = text("role").map(|role| format!(", {role}")).unwrap_or_default();
    format!("{name} ({}{role})", text("platform").unwrap_or_else(|| "unknown platform".to_owned()))
}

const SHOWN_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_named_with_its_command() {
        let alice = Caller::of("alice", 1000);
        let kind = Kind::User(alice.user.clone().unwrap());
        let instance = Instance::of(kind);
        let list = json!({"pending": [
            {"requestId": "r-1", "clientId": "cli\u{1b}", "platform": "linux", "role": "operator", "ts": 0},
            {"requestId": "x; rm -r ~", "ts": 50_000},
        ], "paired": []});
        let told = Told { clocks: None, answers: vec![list, Value::Null, Value::Null] };
        let outcome = judge(&[(instance, Ok(told))], &alice, 61_000);
        let Outcome::Looked { findings, .. } = outcome else { panic!("skipped") };
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(
            finding.text,
            "2 pairing requests wait since 1 min: cli\\x1b (linux, operator), a device (unknown platform)"
        );
        assert_eq!(
            finding.mend,
            ["loopgate --socket /run/user/1000/loopgate/owner.sock devices approve r-1"]
        );
        assert_eq!(judge(&[], &alice, 0).status(), "skipped");
    }
}
