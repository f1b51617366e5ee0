//! OpenClaw's own gateways, as units that its installer wrote.
//!
//! Facts: OpenClaw 2026.3.13 and 2026.9.6 write `openclaw-gateway[-PROFILE].service` for the user's manager, with the
//! port as `--port` in `ExecStart=` and as `OPENCLAW_GATEWAY_PORT`; the program's former names did the same.

use std::path::{Path, PathBuf};

use super::Machine;
use super::process::is_plain_unit;
use super::tool::{list, read};
use super::unit::{Manager, Unit};
use super::who::User;

/// A unit that starts a gateway of OpenClaw's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    /// Whose manager knows it.
    pub manager: Manager,
    /// Its name.
    pub name: String,
    /// The port that it is started with.
    pub port: u16,
    /// The version of the program that it starts.
    pub version: Option<String>,
    /// Whether it starts with the machine, or with its user.
    pub enabled: bool,
    /// Its state, by the manager; none where the manager does not run.
    pub unit: Option<Unit>,
}

impl Rival {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match &self.manager {
            Manager::System => format!("{} of the system", self.name),
            Manager::User(user) => format!("{} of {}", self.name, user.name),
        }
    }

    /// Whether it runs, or tries to.
    pub(crate) fn is_active(&self) -> bool {
        self.unit.as_ref().is_some_and(Unit::is_active)
    }
}

/// Whether a unit is an OpenClaw gateway's, by the names that its versions wrote. A file whose name no unit can have is
/// none, whatever a user calls it.
pub(crate) fn is_gateway(unit: &str) -> bool {
    GATEWAYS.iter().any(|name| unit.starts_with(name)) && unit.ends_with(".service") && is_plain_unit(unit)
}

/// All of the system's, and those of the caller; root sees those of everybody who has a manager or an instance.
pub(super) fn find(machine: &Machine) -> Vec<Rival> {
    let mut found = in_folders(machine, &Manager::System, &[PathBuf::from("/etc/systemd/system")]);
    for user in people(machine) {
        let own = user.home.join(".config/systemd/user");
        let folders = [own, PathBuf::from("/etc/systemd/user")];
        found.extend(in_folders(machine, &Manager::User(user), &folders));
    }
    found
}

fn people(machine: &Machine) -> Vec<User> {
    if !machine.caller.is_root() {
        return machine.caller.user.iter().cloned().collect();
    }
    machine.users.with_folder(".config/systemd/user")
}

fn in_folders(machine: &Machine, manager: &Manager, folders: &[PathBuf]) -> Vec<Rival> {
    let mut found: Vec<Rival> = Vec::new();
    for folder in folders {
        for file in list(&folder.display().to_string()) {
            let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
            if !is_gateway(name) || found.iter().any(|rival| rival.name == name) {
                continue;
            }
            let Ok(text) = read(&file, FILE_BYTES_MAX) else { continue };
            let enabled = folders.iter().any(|folder| is_wanted(folder, name));
            found.push(Rival {
                manager: manager.clone(),
                name: name.to_owned(),
                port: port(&text),
                version: version(&text),
                enabled,
                unit: None,
            });
        }
    }
    let names: Vec<String> = found.iter().map(|rival| rival.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        return found;
    }
    let shown = manager.show(&machine.caller, &names, machine.patience).unwrap_or_default();
    for rival in &mut found {
        rival.unit = shown.iter().find(|unit| unit.name == rival.name).cloned();
        rival.enabled |= rival.unit.as_ref().is_some_and(Unit::is_enabled);
    }
    found
}

/// Whether `systemctl enable` has linked it.
fn is_wanted(folder: &Path, name: &str) -> bool {
    ["default.target.wants", "multi-user.target.wants"]
        .iter()
        .any(|wants| folder.join(wants).join(name).symlink_metadata().is_ok())
}

/// The port: the flag, else the variable, else the one that every version takes.
fn port(text: &str) -> u16 {
    let start = text.lines().find(|line| line.starts_with("ExecStart=")).unwrap_or_default();
    let words: Vec<&str> = start.split_whitespace().map(|word| word.trim_matches('"')).collect();
    let flag = words.iter().zip(words.iter().skip(1)).find(|(word, _)| **word == "--port").map(|(_, n)| *n);
    let flag = flag.or_else(|| words.iter().find_map(|word| word.strip_prefix("--port=")));
    let variable = text
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="))
        .find_map(|line| line.trim_matches('"').strip_prefix("OPENCLAW_GATEWAY_PORT="));
    flag.or(variable).and_then(|port| port.trim_matches('"').parse().ok()).unwrap_or(DEFAULT_PORT)
}

/// The version in `package.json` of the program: two folders above `dist/index.js`, or beside `openclaw.mjs`.
fn version(text: &str) -> Option<String> {
    let start = text.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let script = start
        .split_whitespace()
        .map(|word| word.trim_matches('"'))
        .find(|word| word.starts_with('/') && [".js", ".mjs"].iter().any(|kind| word.ends_with(kind)))?;
    let mut manifests =
        Path::new(script).ancestors().skip(1).take(3).map(|folder| folder.join("package.json"));
    let text = manifests.find_map(|path| read(&path, MANIFEST_BYTES_MAX).ok())?;
    let manifest: serde_json::Value = serde_json::from_str(&text).ok()?;
    manifest.get("version")?.as_str().map(crate::cli::screen::neutral)
}

const GATEWAYS: [&str; 4] = ["openclaw-gateway", "clawdbot-gateway", "moltbot-gateway", "moldbot-gateway"];
const DEFAULT_PORT: u16 = 18_789;
const FILE_BYTES_MAX: u64 = 64 << 10;
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_file_names_its_port() {
        let unit = |start: &str, env: &str| format!("[Service]\nExecStart={start}\n{env}\n");
        assert_eq!(port(&unit("/usr/bin/node /x/dist/index.js gateway --port 18790", "")), 18_790);
        assert_eq!(port(&unit("\"/a\" gateway \"--port\" \"7\"", "")), 7);
        assert_eq!(port(&unit("/a --port=8", "Environment=OPENCLAW_GATEWAY_PORT=9")), 8);
        assert_eq!(port(&unit("/a", "Environment=\"OPENCLAW_GATEWAY_PORT=9\"")), 9);
        assert_eq!(port(&unit("/a", "")), DEFAULT_PORT);
    }

    #[test]
    fn gateways_are_known_by_name() {
        assert!(is_gateway("openclaw-gateway-work.service") && is_gateway("clawdbot-gateway.service"));
        assert!(!is_gateway("openclaw-node.service") && !is_gateway("openclaw-gateway.timer"));
        assert!(!is_gateway("openclaw-gateway;id;.service") && !is_gateway("openclaw-gateway\n.service"));
    }
}
