//! Whether what the `openclaw` command line sends is what the gateway takes: by one attempt at the port.

use std::path::{Path, PathBuf};

use super::super::facts::Machine;
use super::super::facts::instance::{Instance, Kind};
use super::super::facts::offer::{self, Offer, Source};
use super::super::facts::who::Caller;
use super::super::finding::{Finding, Outcome, as_root, quote};
use crate::cli::failure::Failure;
use crate::cli::json::Member;
use crate::config::paths::TOKEN_FILE;

/// One gateway, and one client of it.
struct Facts {
    instance: Instance,
    offer: Offer,
    answer: Answer,
    /// The file has changed since the gateway has read it.
    stale: Option<PathBuf>,
    /// The user's file with another secret than the one that was tried.
    other_config: Option<PathBuf>,
    /// The user's service manager gives its units another secret, under this name.
    manager_variable: Option<&'static str>,
}

/// What the gateway made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// It took it, or would with a device beside it.
    Taken,
    /// It is another's.
    Wrong,
    /// One is asked for.
    Missing,
    /// The gateway itself has none.
    Unset,
    /// The user may not use this gateway, whatever they send.
    Foreign,
    /// There were too many attempts before this one.
    Locked,
    /// No word about the secret.
    Other(String),
    /// Nothing was sent.
    NotTried,
}

/// Tries the gateway of each open instance with what would be sent to it.
pub(super) fn look(machine: &Machine) -> Outcome {
    let open: Vec<&Instance> = machine.instances().found.iter().filter(|at| at.socket.is_active()).collect();
    if open.is_empty() {
        // A secret is for a gateway whose socket is known to be systemd's, and for nobody else who listens.
        return Outcome::Skipped(
            "no instance of loopgate is open, and a secret is sent to nobody else".to_owned(),
        );
    }
    let facts: Vec<Facts> = open.into_iter().map(|instance| gather(instance, machine)).collect();
    judge(&facts, &machine.caller)
}

fn gather(instance: &Instance, machine: &Machine) -> Facts {
    // A gateway that was not started yet makes its token when it is asked for the first time.
    machine.told();
    let offer = offer::of(machine, instance);
    let answer = match (&offer, offer::address(instance)) {
        (Offer::Unusable(_), _) | (_, None) => Answer::NotTried,
        (offer, Some(address)) => {
            match super::super::facts::gate::try_port(address, &offer.credentials(), machine.patience) {
                Ok(_) => Answer::Taken,
                Err(failure) => Answer::of(&failure, offer),
            }
        }
    };
    let stale = offer::stale(machine, instance);
    let other_config = offer::other_config(machine, &offer);
    let manager_variable = offer::manager_variable(machine, &offer);
    Facts { instance: instance.clone(), offer, answer, stale, other_config, manager_variable }
}

impl Answer {
    fn of(failure: &Failure, offer: &Offer) -> Self {
        let details = failure.details.as_deref().unwrap_or(&serde_json::Value::Null);
        let text = |key: &str| details.at(key).as_str().unwrap_or_default();
        match (text("code"), text("authReason")) {
            (_, "peer_not_allowed") => Self::Foreign,
            ("AUTH_TOKEN_MISMATCH" | "AUTH_PASSWORD_MISMATCH", _) => Self::Wrong,
            ("AUTH_TOKEN_NOT_CONFIGURED" | "AUTH_PASSWORD_NOT_CONFIGURED", _) => Self::Unset,
            ("AUTH_RATE_LIMITED", _) => Self::Locked,
            // Whoever has the secret and is no owner has to prove a device as well, which the real command line does.
            ("DEVICE_IDENTITY_REQUIRED", _) if matches!(offer, Offer::Secret { .. }) => Self::Taken,
            ("AUTH_TOKEN_MISSING" | "AUTH_PASSWORD_MISSING" | "DEVICE_IDENTITY_REQUIRED", _) => Self::Missing,
            _ => Self::Other(failure.message.clone()),
        }
    }
}

fn judge(all: &[Facts], caller: &Caller) -> Outcome {
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for facts in all {
        let words = facts.instance.words();
        match (&facts.answer, &facts.offer) {
            (_, Offer::Unusable(reason)) => {
                let text = format!("the secret for {words} cannot be had: {reason}");
                findings.push(
                    Finding::fault(text).because("the variable, file or key named there has to be mended"),
                );
            }
            (Answer::Taken, Offer::None) => saw.push(format!("{words} asks for no secret")),
            (Answer::Taken, Offer::Secret { source, .. }) => {
                saw.push(format!("{words} takes the secret from {source}"));
            }
            (Answer::Wrong, Offer::Secret { source, .. }) => findings.push(wrong(source, facts, caller)),
            (Answer::Missing | Answer::Wrong, _) => findings.push(missing(facts, caller)),
            (Answer::Unset, _) => {
                let text = format!("{words} has no secret, so that nobody can connect to its port");
                findings.push(Finding::fault(text).mend(facts.instance.reload(caller)));
            }
            (Answer::Foreign, _) => findings.push(foreign(facts, caller)),
            (Answer::Locked, _) => {
                let text = format!("{words} has locked this user out for a while: too many wrong secrets");
                findings.push(
                    Finding::warning(text)
                        .because("it passes by itself; the check refusals names the client"),
                );
            }
            (Answer::Other(message), _) => findings.push(Finding::fault(format!("{words}: {message}"))),
            (Answer::NotTried, _) => saw.push(format!("{words} has no TCP address")),
        }
        findings.extend(stale(facts, caller));
        if let (Answer::Taken, Some(path)) = (&facts.answer, &facts.other_config) {
            let text = format!("{} has another secret than the one that {words} takes", path.display());
            findings.push(teach(Finding::warning(text), facts, caller).because(VARIABLE_FIRST));
        }
        if let (Some(name), Some(user)) = (facts.manager_variable, &caller.user) {
            let text =
                format!("the service manager of {} gives its units another secret, as {name}", user.name);
            let why = "a node or a gateway that it starts uses that one";
            let mend = format!("systemctl --user unset-environment {name}");
            findings.push(Finding::warning(text).because(why).mend(mend));
        }
    }
    Outcome::looked(saw, findings)
}

/// A secret that is another's.
fn wrong(source: &Source, facts: &Facts, caller: &Caller) -> Finding {
    let words = facts.instance.words();
    let text = format!("{words} does not take the secret from {source}");
    let finding = Finding::fault(text);
    match source {
        Source::Variable(name) => finding
            .because(format!("a shell exports an old one; {VARIABLE_FIRST}"))
            .mend(format!("unset {name}")),
        Source::DotEnv(path, name) => {
            let path = quote(&path.display().to_string());
            finding.because(VARIABLE_FIRST).mend(format!("sed -i '/^ *\\(export \\)\\? *{name} *=/d' {path}"))
        }
        Source::Config(_) if facts.stale.is_some() => {
            let why = "the file was changed after the gateway has read it";
            finding.because(why).mend(facts.instance.reload(caller))
        }
        Source::Config(path) | Source::Own(path) if is_gateways(path, facts) => {
            finding.because("the gateway still has another one").mend(facts.instance.reload(caller))
        }
        Source::Config(_) | Source::Own(_) => teach(finding, facts, caller),
    }
}

/// Whether the gateway itself reads that file.
fn is_gateways(path: &Path, facts: &Facts) -> bool {
    match facts.instance.user() {
        Some(user) => path.starts_with(&user.home) || path.starts_with(facts.instance.state_dir()),
        None => path.starts_with("/etc") || path.starts_with(facts.instance.state_dir()),
    }
}

/// Nothing was sent, and something is wanted.
fn missing(facts: &Facts, caller: &Caller) -> Finding {
    let words = facts.instance.words();
    let text = format!("{words} wants a secret, and openclaw.json of {} has none", caller.name);
    teach(Finding::fault(text), facts, caller)
}

/// How the command line comes to the gateway's secret.
fn teach(finding: Finding, facts: &Facts, caller: &Caller) -> Finding {
    let path = facts.instance.state_dir().join(TOKEN_FILE);
    let read = format!("cat {}", quote(&path.display().to_string()));
    let read = match facts.instance.user() {
        Some(user) if user.uid == caller.uid => read,
        _ => as_root(caller, &read),
    };
    if caller.is_root() {
        // Root's loopgate needs no secret, and root runs no openclaw.
        return finding.because("the gateway's own file says another").mend(facts.instance.reload(caller));
    }
    let why = format!("the gateway's is what its own openclaw.json says, else the one in {}", path.display());
    finding.because(why).mend(format!("openclaw config set gateway.auth.token \"$({read})\""))
}

/// A user whom the gateway does not serve.
fn foreign(facts: &Facts, caller: &Caller) -> Finding {
    let words = facts.instance.words();
    let finding = Finding::fault(format!("{words} does not serve user {}", caller.name));
    match &facts.instance.kind {
        Kind::System => finding.because("members of the group loopgate are its owners").mend(format!(
            "{} && {}",
            as_root(caller, &format!("usermod -aG loopgate {}", quote(&caller.name))),
            facts.instance.reload(caller)
        )),
        Kind::Template(user) | Kind::User(user) => {
            finding.because(format!("it is {}'s; the setting peers.allow names further users", user.name))
        }
    }
}

/// A file that the gateway has read before it was changed. That it matters is said by the refusal already.
fn stale(facts: &Facts, caller: &Caller) -> Option<Finding> {
    let path = facts.stale.as_ref()?;
    if facts.answer == Answer::Wrong && matches!(facts.offer, Offer::Secret { source: Source::Config(_), .. })
    {
        return None;
    }
    let text = format!("{} was changed after {} has read it", path.display(), facts.instance.words());
    let why = "what was changed counts from the next reload on";
    Some(Finding::warning(text).because(why).mend(facts.instance.reload(caller)))
}

const VARIABLE_FIRST: &str = "OpenClaw 2026.3 and loopgate send what is in the environment before what openclaw.json says, \
    OpenClaw 2026.9 does so in node hosts and where it is told a URL";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::cli::exit::Exit;
    use crate::config::Secret;

    fn facts(kind: Kind, source: Option<Source>, answer: Answer, stale: bool) -> Facts {
        let instance = Instance::of(kind);
        let secret =
            |source| Offer::Secret { source, secret: Secret::new("tok-canary").unwrap(), password: false };
        let offer = source.map_or(Offer::None, secret);
        let stale = stale.then(|| PathBuf::from("/home/alice/.openclaw/openclaw.json"));
        Facts { instance, offer, answer, stale, other_config: None, manager_variable: None }
    }

    #[test]
    fn every_source_has_its_cure() {
        let alice = Caller::of("alice", 1000);
        let user = || Kind::User(alice.user.clone().unwrap());
        let file = || Source::Config("/home/alice/.openclaw/openclaw.json".into());
        let cases = [
            (facts(user(), Some(file()), Answer::Taken, false), ""),
            (facts(user(), Some(Source::Variable("X")), Answer::Wrong, false), "unset X"),
            (
                facts(user(), Some(Source::DotEnv("/h/.env".into(), "X")), Answer::Wrong, false),
                "sed -i '/^ *\\(export \\)\\? *X *=/d' /h/.env",
            ),
            (
                facts(user(), Some(file()), Answer::Wrong, true),
                "systemctl --user reload-or-restart loopgate.service",
            ),
            (
                facts(user(), Some(file()), Answer::Taken, true),
                "systemctl --user reload-or-restart loopgate.service",
            ),
            (
                facts(user(), None, Answer::Missing, false),
                "openclaw config set gateway.auth.token \"$(cat /home/alice/.local/state/loopgate/gateway-token)\"",
            ),
            (
                facts(Kind::System, Some(file()), Answer::Wrong, false),
                "openclaw config set gateway.auth.token \"$(sudo cat /var/lib/loopgate/gateway-token)\"",
            ),
            (
                facts(Kind::System, None, Answer::Foreign, false),
                "sudo usermod -aG loopgate alice && sudo systemctl reload-or-restart loopgate.service",
            ),
        ];
        for (facts, want) in cases {
            let outcome = judge(std::slice::from_ref(&facts), &alice);
            let Outcome::Looked { findings, .. } = &outcome else { panic!("skipped") };
            let mend: Vec<String> = findings.iter().flat_map(|finding| finding.mend.clone()).collect();
            assert_eq!(mend.concat(), want);
            assert!(!format!("{outcome:?} {:?}", facts.offer).contains("canary"));
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let failure = |code: &str, reason: &str| {
            Failure::new(Exit::Refused, "X", "no").with_details(json!({"code": code, "authReason": reason}))
        };
        let none = Offer::None;
        assert_eq!(Answer::of(&failure("AUTH_TOKEN_MISMATCH", "token_mismatch"), &none), Answer::Wrong);
        assert_eq!(Answer::of(&failure("AUTH_UNAUTHORIZED", "peer_not_allowed"), &none), Answer::Foreign);
        assert_eq!(Answer::of(&failure("AUTH_RATE_LIMITED", ""), &none), Answer::Locked);
        assert_eq!(Answer::of(&failure("DEVICE_IDENTITY_REQUIRED", ""), &none), Answer::Missing);
        assert_eq!(Answer::of(&failure("", ""), &none), Answer::Other("no".to_owned()));
    }
}
