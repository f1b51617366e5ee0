//! From configuration files to what the gateway is told about its surroundings.

use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid, gethostname};

use super::files::{Disk, cause};
use crate::config::settings::UserRef;
use crate::config::{OpenClaw, Settings};
use crate::gateway::{Host, Setup};

/// What has to be known to read the configuration, at the start and at each reload.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The settings file, if the command line names one.
    pub(super) config: Option<PathBuf>,
    /// The port of the TCP listeners.
    pub(super) port: Option<u16>,
}

impl Origin {
    /// What the command line, the service manager and the listeners say.
    pub(super) fn new(config: Option<PathBuf>, port: Option<u16>) -> Self {
        Self { config, port }
    }

    /// Reads both files and looks up the users that they name. Blocks for as long as the disk and the user database
    /// take.
    ///
    /// # Errors
    /// The text says where, what, and what to do.
    pub(super) fn load(&self) -> Result<Box<Setup>, String> {
        let settings = Settings::load(&Disk, self.config.as_deref());
        let settings = settings.map_err(|error| error.to_string())?;
        let openclaw = OpenClaw::load(&Disk).map_err(|error| error.to_string())?;
        let own = geteuid().as_raw();
        let named = uids(&settings.owner, &settings.path)?;
        let owners = if named.is_empty() { vec![own] } else { named };
        let allowed = uids(&settings.peers_allow, &settings.path)?;
        Ok(Box::new(Setup { openclaw, settings, owners, allowed, port: self.port, host: host() }))
    }
}

/// The numbers of all users that a setting names.
fn uids(users: &[UserRef], file: &Path) -> Result<Vec<u32>, String> {
    users.iter().map(|user| uid(user).map_err(|why| format!("{}: {why}", file.display()))).collect()
}

/// A name is looked up once, when the settings are read; who is renamed later stays who he was.
fn uid(user: &UserRef) -> Result<u32, String> {
    match user {
        UserRef::Uid(uid) => Ok(*uid),
        UserRef::Name(name) => match User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            Ok(None) => {
                Err(format!("there is no user {name} on this machine, write an existing one or a number"))
            }
            Err(errno) => Err(format!("user {name} cannot be looked up: {}", cause(&errno.into()))),
        },
    }
}

/// This machine; what cannot be found out is "unknown", for none of it decides anything.
fn host() -> Host {
    let unknown = || "unknown".to_owned();
    let name = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(unknown);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| unknown());
    Host {
        name,
        platform: format!("linux {}", release.trim()),
        arch: arch(std::env::consts::ARCH).to_owned(),
    }
}

/// OpenClaw's names for what Rust calls otherwise; from Node's `process.arch`.
fn arch(name: &str) -> &str {
    match name {
        "x86_64" => "x64",
        "x86" => "ia32",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_looked_up() {
        let file = Path::new("/etc/loopgate.conf");
        let users = [UserRef::Name("root".into()), UserRef::Uid(4711)];
        assert_eq!(uids(&users, file), Ok(vec![0, 4711]));
        let error = uids(&[UserRef::Name("no-such-user-here".into())], file).unwrap_err();
        assert!(error.starts_with("/etc/loopgate.conf: there is no user no-such-user-here"), "{error}");
    }

    #[test]
    fn the_machine_has_a_name_and_a_kernel() {
        let host = host();
        assert!(!host.name.is_empty() && host.platform.starts_with("linux ") && host.platform.len() > 8);
    }
}
