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
use crate::cli::moving::unit_file::{DROP_IN, UnitFile};

/// A unit that starts a gateway of OpenClaw's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    /// Whose manager knows it.
    pub manager: Manager,
    /// Its name.
    pub name: String,
    /// The file of the unit.
    pub path: PathBuf,
    /// The port that it is started with.
    pub port: u16,
    /// Whether it was moved behind loopgate, and its file says another command by now.
    pub stale: bool,
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
pub(crate) fn find(machine: &Machine) -> Vec<Rival> {
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
                path: file.clone(),
                port: whole(folder, name, &text).port().unwrap_or(DEFAULT_PORT),
                stale: is_stale(folder, name, &text),
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

/// The unit as the service manager reads it: its file, and the drop-ins beside it, of which a later line takes back an
/// earlier one.
fn whole(folder: &Path, name: &str, text: &str) -> UnitFile {
    let drop_ins = list(&folder.join(format!("{name}.d")).display().to_string());
    let drop_ins = drop_ins.iter().filter(|path| path.extension().is_some_and(|kind| kind == "conf"));
    let texts = drop_ins.filter_map(|path| read(path, FILE_BYTES_MAX).ok());
    UnitFile::parse(&texts.fold(text.to_owned(), |text, more| format!("{text}\n{more}")))
}

/// Whether `loopgate adopt` has moved it, and its installer has written another command since.
fn is_stale(folder: &Path, name: &str, text: &str) -> bool {
    let ours = read(&folder.join(format!("{name}.d")).join(DROP_IN), FILE_BYTES_MAX).unwrap_or_default();
    let (ours, own) = (UnitFile::parse(&ours), UnitFile::parse(text));
    let (Ok(ours), Ok(own)) = (ours.start(), own.start()) else { return false };
    // What was added behind it is the port.
    ours.rsplit_once(" --port ").is_none_or(|(start, _)| start != own)
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
    fn a_drop_in_moves_its_port() {
        let folder = std::env::temp_dir().join(format!("loopgate-rival-{}", std::process::id()));
        let (name, start) = ("openclaw-gateway.service", "/usr/bin/node /x/index.js gateway --port 18789");
        let unit =
            |start: &str| format!("[Service]\nExecStart={start}\nEnvironment=OPENCLAW_GATEWAY_PORT=9\n");
        let port = |start: &str| whole(&folder, name, &unit(start)).port();
        assert_eq!(
            (port(start), port("/x gateway"), is_stale(&folder, name, &unit(start))),
            (Some(18_789), Some(9), false)
        );
        std::fs::create_dir_all(folder.join(format!("{name}.d"))).unwrap();
        let drop_in = format!("[Service]\nExecStart=\nExecStart={start} --port 28789\n");
        std::fs::write(folder.join(format!("{name}.d")).join(DROP_IN), drop_in).unwrap();
        assert_eq!((port(start), port("/x gateway")), (Some(28_789), Some(28_789)));
        assert!(
            !is_stale(&folder, name, &unit(start))
                && is_stale(&folder, name, &unit("/y gateway --port 18789"))
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn gateways_are_known_by_name() {
        assert!(is_gateway("openclaw-gateway-work.service") && is_gateway("clawdbot-gateway.service"));
        assert!(!is_gateway("openclaw-node.service") && !is_gateway("openclaw-gateway.timer"));
        assert!(!is_gateway("openclaw-gateway;id;.service") && !is_gateway("openclaw-gateway\n.service"));
    }
}
