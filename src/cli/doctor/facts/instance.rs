//! The instances of loopgate: the system's, the one that the system runs for a user, and a user's own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::tool::{Patience, list};
use super::unit::{Manager, Unit, runtime_dir};
use super::who::{Caller, User, Users};

/// Which of the three it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `loopgate.socket` of the system.
    System,
    /// `loopgate@NAME.socket` of the system.
    Template(User),
    /// `loopgate.socket` of a user's manager.
    User(User),
}

/// One instance: its two units, and what follows from its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Which it is.
    pub kind: Kind,
    /// Its socket unit.
    pub socket: Unit,
    /// Its service unit.
    pub service: Unit,
}

/// All that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Instances {
    /// Those whose socket unit is installed.
    pub found: Vec<Instance>,
    /// Managers that could not be asked, each with the reason; `true` if it was silent for too long.
    pub unseen: Vec<(String, String, bool)>,
    /// Users who have enabled an instance of their own, and whose manager does not run.
    pub asleep: Vec<User>,
}

impl Instances {
    /// Asks every manager that is open to `caller`: a user's is their own, root's are all.
    pub(crate) fn find(caller: &Caller, users: &Users, patience: Patience) -> Self {
        let mut found = Self::default();
        let served = if caller.is_root() { served(users) } else { caller.user.iter().cloned().collect() };
        found.ask_system(caller, &served, patience);
        let managers = if caller.is_root() { running(users) } else { caller.user.iter().cloned().collect() };
        for user in managers {
            found.ask_user(caller, user, patience);
        }
        let candidates =
            if caller.is_root() { users.with_folder(WANTS) } else { caller.user.iter().cloned().collect() };
        found.asleep = candidates.into_iter().filter(is_asleep).collect();
        found
    }

    fn ask_system(&mut self, caller: &Caller, served: &[User], patience: Patience) {
        let mut kinds = vec![Kind::System];
        kinds.extend(served.iter().filter(|user| is_instance_name(&user.name)).cloned().map(Kind::Template));
        self.ask(&Manager::System, kinds, caller, patience);
    }

    fn ask_user(&mut self, caller: &Caller, user: User, patience: Patience) {
        self.ask(&Manager::User(user.clone()), vec![Kind::User(user)], caller, patience);
    }

    fn ask(&mut self, manager: &Manager, kinds: Vec<Kind>, caller: &Caller, patience: Patience) {
        let names: Vec<[String; 2]> = kinds.iter().map(Kind::units).collect();
        let units: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        let shown = match manager.show(caller, &units, patience) {
            Ok(shown) => shown,
            Err(silence) => {
                self.unseen.push((manager.words(), silence.words(), silence.is_late()));
                return;
            }
        };
        for (kind, [socket, service]) in kinds.into_iter().zip(names) {
            let find = |name: &str| shown.iter().find(|unit| unit.name == name).cloned().unwrap_or_default();
            let instance = Instance { kind, socket: find(&socket), service: find(&service) };
            if instance.socket.is_installed() {
                self.found.push(instance);
            }
        }
    }

    /// Those that hold a port, or would after the next start of the machine.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &Instance> {
        self.found.iter().filter(|instance| instance.is_in_use())
    }

    /// The one that is to be started when none runs: one that is in use, else the system's, else the caller's own.
    pub(crate) fn preferred(&self) -> Option<&Instance> {
        let system = || self.found.iter().find(|instance| instance.kind == Kind::System);
        self.in_use().next().or_else(system).or_else(|| self.found.first())
    }

    /// The commands that open the port that nobody has, as `caller` types them.
    pub(crate) fn start(&self, caller: &Caller) -> Vec<String> {
        match (self.in_use().next(), self.asleep.first()) {
            (Some(instance), _) => instance.start(caller),
            // Its manager comes with it, and starts what is enabled.
            (None, Some(user)) => vec![linger(user, caller)],
            (None, None) => self.preferred().map(|instance| instance.start(caller)).unwrap_or_default(),
        }
    }

    /// The commands by which `caller` moves a gateway of their own behind an instance of their own, if there is one. What
    /// the system would open at the same port has to go first.
    pub(crate) fn adopt(&self, caller: &Caller) -> Option<Vec<String>> {
        let own = |instance: &&Instance| matches!(&instance.kind, Kind::User(user) if user.uid == caller.uid);
        self.found.iter().find(own).filter(|_| !caller.is_root())?;
        let of_system = self.found.iter().filter(|instance| instance.manager() == Manager::System);
        let open = of_system.filter(|instance| instance.socket.is_active() || instance.socket.is_enabled());
        let close = open.map(|instance| {
            let [socket, _] = instance.kind.units();
            let socket = super::super::finding::quote(&socket);
            Manager::System.command(caller, &format!("disable --now {socket}"))
        });
        Some(close.chain(["loopgate adopt".to_owned()]).collect())
    }

    /// Why nothing was found, if somebody could not be asked.
    pub(crate) fn blind(&self) -> Option<String> {
        let all: Vec<&str> = self.unseen.iter().map(|(_, why, _)| why.as_str()).collect();
        (self.found.is_empty() && !all.is_empty()).then(|| all.join("; "))
    }
}

impl Instance {
    /// An instance for tests, of which the units say nothing.
    #[cfg(test)]
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, socket: Unit::default(), service: Unit::default() }
    }

    /// Whether it holds a port, or would after the next start of the machine, or was meant to.
    pub(crate) fn is_in_use(&self) -> bool {
        self.socket.is_active() || self.socket.is_enabled() || self.socket.is_failed()
    }

    /// Its manager.
    pub(crate) fn manager(&self) -> Manager {
        match &self.kind {
            Kind::System | Kind::Template(_) => Manager::System,
            Kind::User(user) => Manager::User(user.clone()),
        }
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        match &self.kind {
            Kind::System => "loopgate.socket of the system".to_owned(),
            Kind::Template(user) => format!("loopgate@{}.socket", user.name),
            Kind::User(user) => format!("loopgate.socket of {}", user.name),
        }
    }

    /// Its port, by the socket unit.
    pub(crate) fn port(&self) -> Option<u16> {
        self.socket.addresses().first().map(SocketAddr::port)
    }

    /// The user that it acts for; none for the system's.
    pub(crate) fn user(&self) -> Option<&User> {
        match &self.kind {
            Kind::System => None,
            Kind::Template(user) | Kind::User(user) => Some(user),
        }
    }

    /// The folder of its state.
    pub(crate) fn state_dir(&self) -> PathBuf {
        match &self.kind {
            Kind::System => PathBuf::from("/var/lib/loopgate"),
            Kind::Template(user) => Path::new("/var/lib/loopgate-users").join(&user.name),
            Kind::User(user) => user.home.join(".local/state/loopgate"),
        }
    }

    /// The commands that open its port, as `caller` types them.
    pub(crate) fn start(&self, caller: &Caller) -> Vec<String> {
        let (manager, [socket, service]) = (self.manager(), self.kind.units());
        let [socket, service] = [socket, service].map(|name| super::super::finding::quote(&name));
        let mut commands = Vec::new();
        if self.socket.is_failed() || self.service.is_failed() {
            // Both, or the limit on starts of the one closes the other again.
            commands.push(manager.command(caller, &format!("reset-failed {socket} {service}")));
        }
        let verb = if self.socket.is_enabled() { "start" } else { "enable --now" };
        commands.push(manager.command(caller, &format!("{verb} {socket}")));
        commands
    }

    /// The command that makes it read its configuration again, as `caller` types it.
    pub(crate) fn reload(&self, caller: &Caller) -> String {
        let [_, service] = self.kind.units();
        // One that is between two starts has nothing to reload, and reads it at the next.
        let verb = "reload-or-restart";
        self.manager().command(caller, &format!("{verb} {}", super::super::finding::quote(&service)))
    }

    /// The path of the owner's socket.
    pub(crate) fn owner_socket(&self) -> PathBuf {
        if let Some(path) = self.socket.paths().first() {
            return PathBuf::from(path);
        }
        match &self.kind {
            Kind::System => PathBuf::from("/run/loopgate/owner.sock"),
            Kind::Template(user) => Path::new("/run/loopgate").join(&user.name).join("owner.sock"),
            Kind::User(user) => Path::new(&runtime_dir(user.uid)).join("loopgate/owner.sock"),
        }
    }
}

impl Kind {
    /// The names of its socket and its service.
    pub(crate) fn units(&self) -> [String; 2] {
        match self {
            Self::System | Self::User(_) => ["loopgate.socket".to_owned(), "loopgate.service".to_owned()],
            Self::Template(user) => {
                [format!("loopgate@{}.socket", user.name), format!("loopgate@{}.service", user.name)]
            }
        }
    }
}

/// The drop-in that lets a service dial its runtime: where `make install` has put it, beside the folder of this program.
pub(crate) fn drop_in() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.parent().and_then(Path::parent).map(|prefix| prefix.join(DROP_IN));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| Path::new("/usr").join(DROP_IN))
}

/// Users for whom the system holds, or held, a gate.
fn served(users: &Users) -> Vec<User> {
    let mut names = BTreeSet::new();
    for wants in ["/etc/systemd/system/sockets.target.wants", "/run/systemd/system/sockets.target.wants"] {
        let links = list(wants);
        names.extend(links.iter().filter_map(|link| {
            Some(link.file_name()?.to_str()?.strip_prefix("loopgate@")?.strip_suffix(".socket")?.to_owned())
        }));
    }
    for folder in ["/run/loopgate", "/var/lib/loopgate-users"] {
        let folders = list(folder).into_iter().filter(|path| path.is_dir());
        names.extend(folders.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())));
    }
    names.iter().filter_map(|name| users.by_name(name)).collect()
}

/// Users whose service manager runs.
fn running(users: &Users) -> Vec<User> {
    let folders = list("/run/user").into_iter().filter(|folder| folder.join("systemd").is_dir());
    folders.filter_map(|folder| users.by_uid(folder.file_name()?.to_str()?.parse().ok()?)).collect()
}

/// The command that makes a user's manager run whether they are logged in or not.
pub(crate) fn linger(user: &User, caller: &Caller) -> String {
    use super::super::finding::{as_root, quote};
    as_root(caller, &format!("loginctl enable-linger {}", quote(&user.name)))
}

/// Whether the socket is enabled, by the link that `systemctl --user enable` makes, and there is no manager to open it.
fn is_asleep(user: &User) -> bool {
    let enabled = user.home.join(WANTS).join("loopgate.socket").symlink_metadata().is_ok();
    enabled && !Path::new(&runtime_dir(user.uid)).join("systemd").is_dir()
}

/// Whether a name can stand in a unit's name. `%i` is what stands there, a dash included: only `%I` would make a slash
/// of it.
fn is_instance_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-@".contains(c)) && !name.starts_with('.')
}

/// Where `systemctl --user enable` links sockets.
const WANTS: &str = ".config/systemd/user/sockets.target.wants";
const DROP_IN: &str = "share/loopgate/runtime.conf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_are_names_of_instances() {
        for name in ["alice", "anna-maria", "A.b_1", "alice@example.com"] {
            assert!(is_instance_name(name), "{name}");
        }
        for name in ["..", "a b", "a/b", "a\\b", "\u{e9}"] {
            assert!(!is_instance_name(name), "{name}");
        }
    }
}
