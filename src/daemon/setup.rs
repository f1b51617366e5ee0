//! From configuration files to what the gateway is told about its surroundings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::utsname::uname;
use nix::unistd::{Group, User, geteuid, gethostname};

use super::files::{Disk, cause};
use super::store::Store;
use crate::config::settings::UserRef;
use crate::config::{OpenClaw, Resolved, Secret, Settings, Sources};
use crate::gateway::{Host, LegSeed, MadeToken, Setup};

/// What has to be known to read the configuration, at the start and at each reload.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The settings file, if the command line names one.
    pub(super) config: Option<PathBuf>,
    /// The port of the TCP listeners.
    pub(super) port: Option<u16>,
    /// Where a token is kept that nobody has configured.
    pub(super) store: Store,
}

impl Origin {
    /// What the command line, the service manager and the listeners say.
    pub(super) fn new(config: Option<PathBuf>, port: Option<u16>, store: Store) -> Self {
        Self { config, port, store }
    }

    /// Reads both files and looks up the users that they name; makes a token if one is needed and there is none. Blocks
    /// for as long as the disk and the user database take.
    ///
    /// # Errors
    /// The text says where, what, and what to do.
    pub(super) fn load(&self) -> Result<Box<Setup>, String> {
        let mut setup = self.read()?;
        setup.legs = LegSeed::derive(&self.secret()?);
        if setup.openclaw.gateway.auth.wants_token() {
            (setup.openclaw.gateway.auth.token, setup.made) = self.own_token();
        }
        Ok(setup)
    }

    /// What our own device keys are derived from. Without a state folder that can be used they are others at each start, and
    /// the runtime pairs them anew.
    fn secret(&self) -> Result<[u8; 32], String> {
        self.store.hand_over_key().or_else(|_| {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|error| error.to_string())?;
            Ok(key)
        })
    }

    /// The token in the state folder. One that is there and cannot be used does not stop a start: the owner's socket
    /// needs none, and the journal says what is wrong.
    fn own_token(&self) -> (Resolved<Secret>, Option<MadeToken>) {
        match self.store.token() {
            Ok(Some(token)) => (Resolved::Set(token), None),
            Ok(None) => match self.store.make_token() {
                Ok(token) => (Resolved::Set(token), Some(made(self.store.token_path()))),
                Err(why) => (Resolved::Unresolvable(why), None),
            },
            Err(why) => (Resolved::Unresolvable(why), None),
        }
    }

    /// The same without a token of our own: nothing is written.
    ///
    /// # Errors
    /// As with [`Origin::load`].
    pub(super) fn read(&self) -> Result<Box<Setup>, String> {
        let settings = Settings::load(&Disk, self.config.as_deref());
        let settings = settings.map_err(|error| error.to_string())?;
        let openclaw = OpenClaw::load(&Disk).map_err(|error| error.to_string())?;
        let own = geteuid().as_raw();
        // Whoever names a group that nobody is in has named nobody: root alone is the owner then.
        let owners =
            if settings.owner.is_empty() { vec![own] } else { uids(&settings.owner, &settings.path)? };
        let allowed = uids(&settings.peers_allow, &settings.path)?;
        Ok(Box::new(Setup {
            openclaw,
            settings,
            owners,
            allowed,
            port: self.port,
            made: None,
            host: host(),
            // Whoever only reads opens no legs.
            legs: LegSeed::derive(&[0; 32]),
        }))
    }
}

/// The folder of the system's instance is closed to everybody; a user's is that user's own.
fn made(file: PathBuf) -> MadeToken {
    let with = if Disk.env("CONFIGURATION_DIRECTORY").is_some() { "sudo " } else { "" };
    let command = format!("{with}cat {}", file.display());
    MadeToken { file, command }
}

/// The numbers of all users that a setting names, each once, in the order of the setting: OpenClaw's own log is looked
/// for under the first owner.
fn uids(users: &[UserRef], file: &Path) -> Result<Vec<u32>, String> {
    let found = users.iter().map(|user| uids_of(user).map_err(|why| format!("{}: {why}", file.display())));
    let mut uids = found.collect::<Result<Vec<_>, _>>()?.concat();
    let mut seen = BTreeSet::new();
    uids.retain(|uid| seen.insert(*uid));
    Ok(uids)
}

/// A name is looked up once, when the settings are read; who is renamed later stays who he was, and who joins a group
/// later is none of its members yet.
fn uids_of(user: &UserRef) -> Result<Vec<u32>, String> {
    match user {
        UserRef::Uid(uid) => Ok(vec![*uid]),
        UserRef::Name(name) => match uid(name)? {
            Some(uid) => Ok(vec![uid]),
            None => {
                Err(format!("there is no user {name} on this machine, write an existing one or a number"))
            }
        },
        UserRef::Group(name) => match Group::from_name(name) {
            // Databases list members that are gone; nobody comes as one of them.
            Ok(Some(group)) => group.mem.iter().filter_map(|member| uid(member).transpose()).collect(),
            Ok(None) => Err(format!("there is no group {name} on this machine, make it or take %{name} out")),
            Err(errno) => Err(format!("group {name} cannot be looked up: {}", cause(&errno.into()))),
        },
    }
}

/// The number of the user of this name, if there is one.
fn uid(name: &str) -> Result<Option<u32>, String> {
    match User::from_name(name) {
        Ok(user) => Ok(user.map(|user| user.uid.as_raw())),
        Err(errno) => Err(format!("user {name} cannot be looked up: {}", cause(&errno.into()))),
    }
}

/// This machine; what cannot be found out is "unknown", for none of it decides anything.
fn host() -> Host {
    let unknown = || "unknown".to_owned();
    let name = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(unknown);
    let release = uname().ok().and_then(|kernel| kernel.release().to_str().map(str::to_owned));
    Host {
        name,
        platform: format!("linux {}", release.unwrap_or_else(unknown)),
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
        assert_eq!(uids(&[UserRef::Uid(2), UserRef::Uid(1), UserRef::Uid(2)], file), Ok(vec![2, 1]));
        let error = uids(&[UserRef::Name("no-such-user-here".into())], file).unwrap_err();
        assert!(error.starts_with("/etc/loopgate.conf: there is no user no-such-user-here"), "{error}");
    }

    /// Against the machine's own database: what is in it differs, what is said of it may not.
    #[test]
    fn members_of_groups_are_looked_up() {
        let file = Path::new("/etc/loopgate.conf");
        for line in std::fs::read_to_string("/etc/group").unwrap().lines() {
            let name = line.split(':').next().unwrap();
            let Ok(Some(group)) = Group::from_name(name) else { continue };
            let mut members: Vec<u32> =
                group.mem.iter().filter_map(|name| Some(User::from_name(name).ok()??.uid.as_raw())).collect();
            let mut seen = BTreeSet::new();
            members.retain(|uid| seen.insert(*uid));
            assert_eq!(uids(&[UserRef::Group(name.into())], file), Ok(members), "{name}");
        }
        let error = uids(&[UserRef::Group("no-such-group-here".into())], file).unwrap_err();
        assert!(error.starts_with("/etc/loopgate.conf: there is no group no-such-group-here"), "{error}");
    }

    #[test]
    fn the_machine_has_a_name_and_a_kernel() {
        let host = host();
        assert!(!host.name.is_empty() && host.platform.starts_with("linux ") && host.platform.len() > 8);
    }
}
