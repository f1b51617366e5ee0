//! Whether the instances of users outlive the users' sessions.

use std::path::Path;

use super::super::facts::Machine;
use super::super::facts::instance::{Kind, linger};
use super::super::facts::unit::runtime_dir;
use super::super::facts::who::{Caller, User};
use super::super::finding::{Finding, Outcome};

/// A user who has an instance of their own.
struct Facts {
    user: User,
    /// Their service manager runs.
    runs: bool,
    /// It runs whether they are logged in or not.
    lingers: bool,
    /// What the caller has in `XDG_RUNTIME_DIR`; `None` for other users.
    variable: Option<String>,
}

/// Looks at every user who has a user's instance.
pub(super) fn look(machine: &Machine) -> Outcome {
    let caller = &machine.caller;
    let instances = machine.instances();
    let own = instances.in_use().filter_map(|instance| match &instance.kind {
        Kind::User(user) => Some(user.clone()),
        Kind::System | Kind::Template(_) => None,
    });
    let users = own.chain(instances.asleep.iter().cloned());
    let facts: Vec<Facts> = users
        .map(|user| Facts {
            runs: !instances.asleep.contains(&user),
            lingers: Path::new(LINGER).join(&user.name).exists(),
            variable: (user.uid == caller.uid).then(|| std::env::var(VARIABLE).unwrap_or_default()),
            user,
        })
        .collect();
    if !Path::new(LOGIND).is_dir() {
        return Outcome::Skipped("logind does not run on this machine".to_owned());
    }
    judge(&facts, caller)
}

fn judge(facts: &[Facts], caller: &Caller) -> Outcome {
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for of in facts {
        let name = &of.user.name;
        let enable = linger(&of.user, caller);
        if !of.runs {
            let text =
                format!("loopgate.socket of {name} is enabled, and {name}'s service manager does not run");
            let why = "without lingering it runs only while the user is logged in";
            findings.push(Finding::fault(text).because(why).mend(enable));
        } else if !of.lingers {
            let text = format!("{name} does not linger: the port closes when {name} logs out");
            let why = "and after a start of the machine it stays closed until somebody logs in";
            findings.push(Finding::warning(text).because(why).mend(enable));
        } else {
            saw.push(format!("{name} lingers: the port is open whether {name} is logged in or not"));
        }
        let folder = runtime_dir(of.user.uid);
        if of.runs && of.variable.as_ref().is_some_and(|variable| *variable != folder) {
            let text =
                format!("{VARIABLE} is not {folder}, so that systemctl --user cannot work in this shell");
            let why = "shells of su and cron lack it";
            findings.push(Finding::warning(text).because(why).mend(format!("export {VARIABLE}={folder}")));
        }
    }
    if saw.is_empty() && findings.is_empty() {
        saw.push("no user's own instance is enabled".to_owned());
    }
    Outcome::looked(saw, findings)
}

const LINGER: &str = "/var/lib/systemd/linger";
const LOGIND: &str = "/run/systemd/users";
const VARIABLE: &str = "XDG_RUNTIME_DIR";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(runs: bool, lingers: bool, variable: &str) -> Facts {
        let user = Caller::of("alice", 1000).user.unwrap();
        Facts { user, runs, lingers, variable: Some(variable.to_owned()) }
    }

    #[test]
    fn a_port_must_not_close_with_a_session() {
        let alice = Caller::of("alice", 1000);
        let mend = |facts: Facts| match judge(&[facts], &alice) {
            Outcome::Looked { findings, .. } => {
                findings.into_iter().flat_map(|finding| finding.mend).collect()
            }
            Outcome::Skipped(why) => vec![why],
        };
        let folder = "/run/user/1000";
        assert_eq!(mend(facts(true, true, folder)), Vec::<String>::new());
        assert_eq!(mend(facts(true, false, folder)), ["sudo loginctl enable-linger alice"]);
        assert_eq!(mend(facts(false, false, folder)), ["sudo loginctl enable-linger alice"]);
        assert_eq!(mend(facts(true, true, "")), ["export XDG_RUNTIME_DIR=/run/user/1000"]);
    }
}
