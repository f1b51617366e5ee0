//! What to ask for: the least scopes that a method needs, and whether it may be asked twice. Both come from the
//! gateway's own table; here stands only where OpenClaw wants more.

use crate::gateway::method::{Demand, Method};
use crate::policy::scope::{Need, Scopes};

/// The scopes to ask for before calling `method`.
pub(crate) fn scopes(method: &str) -> Vec<&'static str> {
    let own = match need(method) {
        Some(Need::Scope(scopes)) => Some(scopes.name()),
        Some(Need::Nothing | Need::Node | Need::Operator) | None => None,
    };
    let more = MORE.iter().filter(|(name, _)| *name == method).map(|(_, scopes)| scopes.name());
    own.into_iter().chain(more).collect()
}

/// Whether `method` may be sent again when it is unknown whether it was carried out: what only reads, may.
pub(crate) fn is_repeatable(method: &str) -> bool {
    matches!(need(method), Some(Need::Nothing | Need::Scope(Scopes::READ))) || method == "device.pair.list"
}

/// The need of `method`, whatever its params are; `None` if it depends on them.
fn need(method: &str) -> Option<Need> {
    match Method::find(method).demand {
        Demand::Always(need) => Some(need),
        Demand::Params(_) => None,
    }
}

/// The scopes that every version of the protocol knows: what `call` asks for, whose user knows better what it needs.
pub(crate) const CLASSIC: [&str; 5] =
    ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

/// What gateways behind this command line may want beyond the table. Giving a scope away needs the scope itself, and
/// touching another device needs admin (OpenClaw since spring 2026); its 2026.9.6 also wants admin for the browser
/// and read for health.
const MORE: [(&str, Scopes); 6] = [
    ("browser.request", Scopes::ADMIN),
    ("device.pair.approve", Scopes::ADMIN),
    ("device.pair.remove", Scopes::ADMIN),
    ("device.token.revoke", Scopes::ADMIN),
    ("device.token.rotate", Scopes::ADMIN),
    ("health", Scopes::READ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::method::METHODS;

    #[test]
    fn the_least_is_asked_for() {
        assert_eq!(scopes("status"), ["operator.read"]);
        assert_eq!(scopes("health"), ["operator.read"]);
        assert_eq!(scopes("device.pair.reject"), ["operator.pairing"]);
        assert_eq!(scopes("device.pair.approve"), ["operator.pairing", "operator.admin"]);
        assert_eq!(scopes("no.such.method"), ["operator.admin"]);
    }

    #[test]
    fn what_changes_something_is_not_done_twice() {
        for method in
            ["chat.send", "agent", "no.such.method", "device.pair.approve", "system-event", "browser.request"]
        {
            assert!(!is_repeatable(method), "{method}");
        }
        for method in ["status", "health", "device.pair.list", "node.list", "config.get", "system-presence"] {
            assert!(is_repeatable(method), "{method}");
        }
    }

    #[test]
    fn exceptions_are_about_methods_that_exist() {
        for (name, _) in MORE {
            assert!(METHODS.iter().any(|row| row.name == name), "{name}");
        }
    }
}
