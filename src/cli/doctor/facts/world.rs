//! The configuration as an instance, or a user's command line, reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Machine;
use super::instance::{Instance, Kind};
use super::tool::read_of;
use super::who::User;
use crate::config::Sources;
use crate::limits::{CONFIG_BYTES_MAX, SECRET_FILE_BYTES_MAX};

/// Variables and a home folder in place of the process's own.
#[derive(Clone)]
pub(crate) struct World {
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// Whose files are read: root does not read for a user what the user may not.
    trusted: Option<u32>,
    /// Whether what root has laid into `/etc` is read too.
    system: bool,
}

impl World {
    /// What the process of an instance is told, as far as it matters to its files.
    pub(crate) fn of_instance(instance: &Instance, machine: &Machine) -> Self {
        let mut variables: BTreeMap<String, String> = instance.service.environment().into_iter().collect();
        let home = instance.user().map(|user| user.home.clone());
        if instance.kind == Kind::System {
            for (name, value) in SYSTEM {
                variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        let home = home.or_else(|| Some(instance.state_dir()));
        let trusted = machine.caller.is_root().then(|| machine.uid_of(instance));
        Self { variables, home, trusted, system: instance.kind == Kind::System }
    }

    /// What a user's process is told that has no variables of its own.
    pub(crate) fn of_user(user: &User) -> Self {
        Self { variables: BTreeMap::new(), home: Some(user.home.clone()), trusted: None, system: false }
    }

    /// Whose the file has to be. What lies in `/etc` is there by root's hand, whether root's or the daemon's.
    fn owner_of(&self, path: &Path) -> Option<u32> {
        if self.system && path.starts_with("/etc") { None } else { self.trusted }
    }
}

impl Sources for World {
    fn env(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => read_of(path, CONFIG_BYTES_MAX, self.owner_of(path)).map(Some),
        }
    }

    fn secret_file(&self, path: &Path) -> Result<String, String> {
        read_of(path, SECRET_FILE_BYTES_MAX, self.owner_of(path))
    }

    /// They lie in a folder that the service alone sees.
    fn credential(&self, _name: &str) -> Option<Result<String, String>> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }
}

/// What the units say where `systemctl` does not: the folders of the system's instance.
const SYSTEM: [(&str, &str); 3] = [
    ("OPENCLAW_CONFIG_PATH", "/etc/loopgate/openclaw.json"),
    ("OPENCLAW_STATE_DIR", "/var/lib/loopgate/openclaw"),
    ("CONFIGURATION_DIRECTORY", "/etc/loopgate"),
];
