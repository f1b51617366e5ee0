//! Whether a gate's sandbox lets it reach its runtime.
//!
//! Rule: the manager says what it holds the service to, and that counts; what a drop-in was meant to do does not.

use super::super::facts::instance::{Instance, Kind, drop_in};
use super::super::facts::unit::{Manager, Unit};
use super::super::facts::who::Caller;
use super::super::finding::{Finding, as_root, as_user, quote};

/// A finding if the service of `instance` cannot dial 127.0.0.1, where its runtime is at `port`.
pub(super) fn bars(instance: &Instance, port: u16, caller: &Caller) -> Option<Finding> {
    let mut why = Vec::new();
    if !has_internet(&instance.service) {
        why.push("RestrictAddressFamilies= lacks AF_INET");
    }
    // A user's manager has not the privilege that it takes: there it says what it was told, and drops nothing.
    if instance.manager() == Manager::System && drops_loopback(&instance.service) {
        why.push("IPAddressDeny= has no exception for localhost");
    }
    if why.is_empty() {
        return None;
    }
    let words = instance.words().replacen(".socket", ".service", 1);
    let text = format!("{words} is not allowed to connect to its runtime at port {port}");
    Some(Finding::fault(text).because(why.join(", ")).mend_all(mend(instance, caller)))
}

/// Puts the drop-in of the package in place.
fn mend(instance: &Instance, caller: &Caller) -> [String; 3] {
    let (manager, [_, service]) = (instance.manager(), instance.kind.units());
    let from = quote(&drop_in().display().to_string());
    let to = |folder: &str| quote(&format!("{folder}/{service}.d/runtime.conf"));
    let put = match &instance.kind {
        Kind::System | Kind::Template(_) => {
            as_root(caller, &format!("install -D -m 644 {from} {}", to("/etc/systemd/system")))
        }
        Kind::User(user) => {
            let folder = user.home.join(".config/systemd/user").display().to_string();
            as_user(caller, &user.name, &format!("install -D -m 644 {from} {}", to(&folder)))
        }
    };
    [
        put,
        manager.command(caller, "daemon-reload"),
        manager.command(caller, &format!("restart {}", quote(&service))),
    ]
}

/// An empty value is no restriction.
fn has_internet(service: &Unit) -> bool {
    let value = service.get("RestrictAddressFamilies");
    match value.strip_prefix('~') {
        Some(denied) => !has_word(denied, "AF_INET"),
        None => value.is_empty() || has_word(value, "AF_INET"),
    }
}

/// The exception counts before the rule.
fn drops_loopback(service: &Unit) -> bool {
    let covers = |name: &str| {
        let value = service.get(name);
        ["0.0.0.0/0", "127.0.0.0/8", "127.0.0.1/32"].iter().any(|range| has_word(value, range))
    };
    covers("IPAddressDeny") && !covers("IPAddressAllow")
}

fn has_word(value: &str, word: &str) -> bool {
    value.split_whitespace().any(|other| other == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::facts::who::User;

    fn instance(kind: Kind, families: &str, deny: &str, allow: &str) -> Instance {
        let mut instance = Instance::of(kind);
        let text =
            format!("RestrictAddressFamilies={families}\nIPAddressDeny={deny}\nIPAddressAllow={allow}");
        instance.service = Unit::of_lines("loopgate.service", &text);
        instance
    }

    #[test]
    fn what_the_manager_says_is_understood() {
        let unit = |text: &str| Unit::of_lines("loopgate.service", text);
        for (value, want) in [
            ("", true),
            ("AF_NETLINK AF_UNIX", false),
            ("AF_INET AF_INET6 AF_NETLINK AF_UNIX", true),
            ("AF_INET6 AF_UNIX", false),
            ("~AF_PACKET", true),
            ("~AF_INET AF_INET6", false),
        ] {
            let unit = unit(&format!("RestrictAddressFamilies={value}"));
            assert_eq!(has_internet(&unit), want, "{value:?}");
        }
        for (deny, allow, want) in [
            ("", "", false),
            ("::/0 0.0.0.0/0", "", true),
            ("::/0 0.0.0.0/0", "127.0.0.0/8 ::1/128", false),
            ("::/0 0.0.0.0/0", "10.0.0.0/8", true),
            ("10.0.0.0/8", "", false),
        ] {
            let unit = unit(&format!("IPAddressDeny={deny}\nIPAddressAllow={allow}"));
            assert_eq!(drops_loopback(&unit), want, "{deny:?} {allow:?}");
        }
    }

    #[test]
    fn each_kind_of_instance_is_mended_where_its_unit_is() {
        let alice = Caller::of("alice", 1000);
        let user: User = alice.user.clone().unwrap();
        let home = user.home.display().to_string();
        let cases = [
            (Kind::System, "sudo ", "/etc/systemd/system/loopgate.service.d"),
            (Kind::Template(user.clone()), "sudo ", "/etc/systemd/system/loopgate@alice.service.d"),
            (Kind::User(user), "", &format!("{home}/.config/systemd/user/loopgate.service.d")),
        ];
        for (kind, sudo, folder) in cases {
            let finding = bars(&instance(kind, "AF_UNIX", "", ""), 18_790, &alice).unwrap();
            let put =
                format!("{sudo}install -D -m 644 /usr/share/loopgate/runtime.conf {folder}/runtime.conf");
            assert_eq!((finding.mend.first(), finding.mend.len()), (Some(&put), 3));
        }
        assert_eq!(bars(&instance(Kind::System, "AF_INET", "", ""), 18_790, &alice), None);
        let user = alice.user.clone().unwrap();
        let denied = |kind| bars(&instance(kind, "", "0.0.0.0/0", ""), 18_790, &alice);
        assert!(denied(Kind::System).is_some() && denied(Kind::User(user)).is_none());
    }
}
