//! Units, as a service manager describes them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::tool::{Patience, Silence, Tool};
use super::who::{Caller, User};

/// A service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manager {
    /// PID 1.
    System,
    /// A user's own.
    User(User),
}

/// A unit and its properties, by `systemctl show`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `Id`.
    pub name: String,
    properties: BTreeMap<String, Vec<String>>,
}

impl Manager {
    /// Describes `units`, in the order in which they are named; a pattern gives those that are loaded.
    pub(crate) fn show(
        &self,
        caller: &Caller,
        units: &[&str],
        patience: Patience,
    ) -> Result<Vec<Unit>, Silence> {
        let properties = format!("--property={}", PROPERTIES.join(","));
        let arguments = ["show", "--no-pager", "--timestamp=unix", &properties, "--"];
        let said = self.tool(caller)?.args(&arguments).args(units).run(patience)?;
        Ok(blocks(&said.out))
    }

    /// `systemctl`, about to talk to this manager.
    pub(crate) fn tool(&self, caller: &Caller) -> Result<Tool, Silence> {
        let user = match self {
            // Without PID 1 being systemd there is nothing to ask, and the bus would be waited for.
            Self::System if Path::new(BOOTED).is_dir() => return Ok(Tool::new("systemctl")),
            Self::System => return Err(Silence::Failed("systemctl", NOT_BOOTED.to_owned())),
            Self::User(user) => user,
        };
        let folder = runtime_dir(user.uid);
        if !Path::new(&folder).join("systemd").is_dir() {
            return Err(Silence::Failed(
                "systemctl",
                format!("{} has no service manager running", user.name),
            ));
        }
        let foreign = caller.uid != user.uid;
        let tool = if foreign { Tool::of_user("systemctl", user) } else { Tool::new("systemctl") };
        let bus = format!("unix:path={folder}/bus");
        let home = user.home.display().to_string();
        let tool = tool.env("XDG_RUNTIME_DIR", &folder).env("DBUS_SESSION_BUS_ADDRESS", &bus);
        Ok(tool.env("HOME", &home).args(&["--user"]))
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::System => "the system's service manager".to_owned(),
            Self::User(user) => format!("the service manager of {}", user.name),
        }
    }

    /// The uid that its sockets belong to.
    pub(crate) fn uid(&self) -> u32 {
        match self {
            Self::System => 0,
            Self::User(user) => user.uid,
        }
    }

    /// A command of `systemctl` that changes something, as `caller` types it.
    pub(crate) fn command(&self, caller: &Caller, words: &str) -> String {
        match self {
            Self::System => super::super::finding::as_root(caller, &format!("systemctl {words}")),
            Self::User(user) if user.uid == caller.uid => format!("systemctl --user {words}"),
            Self::User(user) => {
                let machine = super::super::finding::quote(&format!("{}@", user.name));
                let command = format!("systemctl --user --machine={machine} {words}");
                super::super::finding::as_root(caller, &command)
            }
        }
    }
}

impl Unit {
    /// A property; empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.properties.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    /// Whether there is a unit file, or something that stands for one.
    pub(crate) fn is_installed(&self) -> bool {
        !matches!(self.get("LoadState"), "" | "not-found")
    }

    /// Whether it starts by itself.
    pub(crate) fn is_enabled(&self) -> bool {
        matches!(self.get("UnitFileState"), "enabled" | "enabled-runtime" | "alias" | "linked")
    }

    /// Whether it is there, in any of the states in which a socket is open or a process runs.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.get("ActiveState"), "active" | "activating" | "reloading" | "deactivating")
    }

    /// Whether it failed.
    pub(crate) fn is_failed(&self) -> bool {
        self.get("ActiveState") == "failed"
    }

    /// The TCP addresses that it listens at.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let lines = self.properties.get("Listen").into_iter().flatten();
        lines.filter_map(|line| line.strip_suffix(" (Stream)")?.parse().ok()).collect()
    }

    /// The UNIX sockets that it listens at.
    pub(crate) fn paths(&self) -> Vec<&str> {
        let lines = self.properties.get("Listen").into_iter().flatten();
        lines.filter_map(|line| line.strip_suffix(" (Stream)")).filter(|path| path.starts_with('/')).collect()
    }

    /// The variables that it sets. They may hold secrets, and are not for showing.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let words = self.get("Environment").split_whitespace().map(|word| word.trim_matches('"'));
        words.filter_map(|word| word.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    /// Seconds since 1970, of a property that is a time.
    pub(crate) fn seconds(&self, name: &str) -> Option<u64> {
        self.get(name).strip_prefix('@')?.parse().ok().filter(|seconds| *seconds > 0)
    }

    /// A unit for tests: its name and lines of `KEY=VALUE`.
    #[cfg(test)]
    pub(crate) fn of(name: &str, lines: &str) -> Self {
        Self::of_lines(name, &lines.replace(' ', "\n").replace('_', " "))
    }

    /// A unit for tests: its name and what the manager prints of it.
    #[cfg(test)]
    pub(crate) fn of_lines(name: &str, lines: &str) -> Self {
        blocks(&format!("Id={name}\n{lines}")).pop().unwrap()
    }
}

/// The folder of a user's sockets.
pub(crate) fn runtime_dir(uid: u32) -> String {
    format!("/run/user/{uid}")
}

/// The output of `systemctl show`: one block a unit, an empty line between two.
fn blocks(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    for block in text.split("\n\n") {
        let mut unit = Unit::default();
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            // The values of a list have a line each.
            unit.properties.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        unit.name = unit.properties.get("Id").and_then(|ids| ids.first()).cloned().unwrap_or_default();
        if !unit.name.is_empty() {
            units.push(unit);
        }
    }
    units
}

const PROPERTIES: [&str; 23] = [
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "NeedDaemonReload",
    "Listen",
    "FragmentPath",
    "DropInPaths",
    "StatusText",
    "MainPID",
    "ExecMainCode",
    "ExecMainStatus",
    "ExecMainStartTimestamp",
    "StateChangeTimestamp",
    "NRestarts",
    "Environment",
    "ExecStart",
    "Triggers",
    "RestrictAddressFamilies",
    "IPAddressDeny",
    "IPAddressAllow",
];
/// sd_booted(3).
const BOOTED: &str = "/run/systemd/system";
const NOT_BOOTED: &str = "systemd does not run this machine";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_units() {
        let text = "Id=a.socket\nListen=127.0.0.1:18789 (Stream)\nListen=[::1]:18789 (Stream)\n\
            Listen=/run/x/owner.sock (Stream)\nActiveState=active\nUnitFileState=enabled\n\nId=a.service\n\
            ExecMainStartTimestamp=@1763900000\nLoadState=not-found\n";
        let units = blocks(text);
        assert_eq!(units.len(), 2);
        let (socket, service) = (units.first().unwrap(), units.last().unwrap());
        assert_eq!(socket.addresses().len(), 2);
        assert_eq!(socket.paths(), ["/run/x/owner.sock"]);
        assert!(socket.is_active() && socket.is_enabled() && !socket.is_failed());
        assert!(!service.is_installed());
        assert_eq!(service.seconds("ExecMainStartTimestamp"), Some(1_763_900_000));
    }

    #[test]
    fn commands_reach_the_manager() {
        let (root, alice) = (Caller::of("root", 0), Caller::of("alice", 1000));
        let manager = Manager::User(alice.user.clone().unwrap());
        assert_eq!(Manager::System.command(&alice, "start x"), "sudo systemctl start x");
        assert_eq!(manager.command(&alice, "start x"), "systemctl --user start x");
        assert_eq!(manager.command(&root, "start x"), "systemctl --user --machine=alice@ start x");
    }
}
