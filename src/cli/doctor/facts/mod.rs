//! What is looked at. Rule: here alone doctor touches the machine; every look is bounded in time and in size, and
//! nothing is changed.

pub(crate) mod gate;
pub(crate) mod instance;
pub(crate) mod journal;
pub(crate) mod listener;
pub(crate) mod offer;
pub(crate) mod process;
pub(crate) mod rival;
pub(crate) mod tool;
pub(crate) mod unit;
pub(crate) mod who;
pub(crate) mod world;

use std::cell::OnceCell;
use std::os::unix::fs::MetadataExt;

use gate::Told;
use instance::{Instance, Instances};
use journal::Record;
use listener::Listener;
use rival::Rival;
use tool::{Patience, Silence};
use unit::{Manager, Unit};
use who::{Caller, Users};

use crate::cli::failure::Failure;
use crate::cli::sources::Process;
use crate::config::OpenClaw;

/// What the checks have in common. Each part is looked at when the first check asks for it.
pub(crate) struct Machine {
    /// Who asks.
    pub caller: Caller,
    /// The time that is left.
    pub patience: Patience,
    /// Who is who.
    pub users: Users,
    instances: OnceCell<Instances>,
    told: OnceCell<Vec<(Instance, Result<Told, Failure>)>>,
    journal: OnceCell<Result<Option<Vec<Record>>, Silence>>,
    rivals: OnceCell<Vec<Rival>>,
}

impl Machine {
    /// This machine, as whoever runs the program sees it.
    pub(crate) fn new() -> Self {
        let patience = Patience::new();
        let users = Users::new(patience);
        Self {
            caller: Caller::current(&users),
            patience,
            users,
            instances: OnceCell::new(),
            told: OnceCell::new(),
            journal: OnceCell::new(),
            rivals: OnceCell::new(),
        }
    }

    /// What each instance whose socket is open says at its owner's socket. One that the caller may not open is asked
    /// all the same: that it refuses is a fact.
    pub(crate) fn told(&self) -> &[(Instance, Result<Told, Failure>)] {
        self.told.get_or_init(|| {
            let open = self.instances().found.iter().filter(|instance| instance.socket.is_active());
            open.filter(|instance| self.may_ask(instance))
                .map(|instance| (instance.clone(), gate::ask_owner(&instance.owner_socket(), self.patience)))
                .collect()
        })
    }

    /// Root asks at no socket but the instance's own, wherever a user's unit may say that it is.
    fn may_ask(&self, instance: &Instance) -> bool {
        let owner = match instance.user() {
            Some(user) if self.caller.is_root() => user.uid,
            _ => return true,
        };
        std::fs::metadata(instance.owner_socket()).is_ok_and(|meta| meta.uid() == owner)
    }

    /// Refusals and admissions of the last day.
    pub(crate) fn journal(&self) -> &Result<Option<Vec<Record>>, Silence> {
        self.journal.get_or_init(|| {
            let uid = self.caller.uid;
            let own =
                self.instances().in_use().any(|instance| instance.user().is_some_and(|user| user.uid == uid));
            journal::last_day(&self.caller, own, self.patience)
        })
    }

    /// OpenClaw's own gateways, as units.
    pub(crate) fn rivals(&self) -> &[Rival] {
        self.rivals.get_or_init(|| rival::find(self))
    }

    /// The user that an instance's process runs as; nobody's number where there is no such user.
    pub(crate) fn uid_of(&self, instance: &Instance) -> u32 {
        let system = || self.users.by_name(SYSTEM_USER).map(|user| user.uid);
        instance.user().map(|user| user.uid).or_else(system).unwrap_or(u32::MAX)
    }

    /// The socket unit for which a service manager holds a listener, if it can be found out.
    pub(crate) fn socket_unit(&self, listener: &Listener) -> Option<String> {
        // PID 1 is hidden from users; what it holds is root's.
        let hidden = listener.process.is_none() && listener.uid == 0;
        if !hidden && listener.process.as_ref().is_none_or(|process| process.name != "systemd") {
            return None;
        }
        let manager = match listener.uid {
            0 => Manager::System,
            uid => Manager::User(self.users.by_uid(uid)?),
        };
        let units = manager.show(&self.caller, &["*.socket"], self.patience).ok()?;
        let holds = |unit: &&Unit| {
            let mut addresses = unit.addresses().into_iter();
            unit.is_active() && addresses.any(|at| at.port() == listener.port && at.ip() == listener.ip)
        };
        units.iter().find(holds).map(|unit| unit.name.clone())
    }

    /// Every instance of loopgate that the caller may look at.
    pub(crate) fn instances(&self) -> &Instances {
        self.instances.get_or_init(|| Instances::find(&self.caller, &self.users, self.patience))
    }
}

/// The port that the caller's own configuration names; the one that every client tries if it is silent or broken.
pub(super) fn configured_port() -> u16 {
    OpenClaw::load(&Process).map_or(DEFAULT_PORT, |config| config.gateway.port)
}

/// The user that the system's instance runs as.
pub(super) const SYSTEM_USER: &str = "loopgate";
const DEFAULT_PORT: u16 = 18_789;
