//! What a plan is made from. Rule: plain values; who looks at the machine is `look` alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::unit_file::UnitFile;

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The user's login name.
    pub user: String,
    /// The user's gateways, as units, and what is left of some.
    pub gateways: Vec<Gateway>,
    /// The user's own instance of loopgate; none if its units are not installed.
    pub gate: Option<Gate>,
    /// Instances of the system that want the same port, in words, each with the command that ends it.
    pub system: Vec<(String, String)>,
    /// The settings of loopgated.
    pub conf: File,
    /// The drop-in that tells loopgated where the gateway's files are.
    pub world: File,
    /// What OpenClaw's configuration says.
    pub config: Config,
    /// Who listens at the ports that matter.
    pub taken: BTreeMap<u16, Holder>,
}

/// A file and its text; none if it is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// Its path.
    pub path: PathBuf,
    /// Its text.
    pub text: Option<String>,
}

/// A gateway of OpenClaw's.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    /// Its unit.
    pub name: String,
    /// The unit's file; none if it is gone.
    pub unit: Option<UnitFile>,
    /// The program's version, if it says so.
    pub version: Option<String>,
    /// The drop-in of ours.
    pub ours: File,
    /// Drop-ins of others that say how it is started.
    pub others: Vec<PathBuf>,
    /// Whether it starts with the user.
    pub enabled: bool,
    /// Whether it runs, or tries to.
    pub active: bool,
}

/// The user's own instance of loopgate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// The port of its socket unit.
    pub port: u16,
    /// Whether its socket is opened with the user.
    pub enabled: bool,
    /// Whether its socket is open.
    pub open: bool,
    /// Whether its service runs.
    pub serves: bool,
}

/// What OpenClaw's configuration says, as far as it matters to a move.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// `gateway.port`, if it is written there.
    pub port: Option<u16>,
    /// `gateway.bind`, if it is written there.
    pub bind: Option<String>,
    /// Whether the gateway's port speaks TLS.
    pub tls: bool,
}

/// Who listens at a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The process of this unit of the user's.
    Gateway(String),
    /// The user's service manager, for loopgate.socket.
    Gate,
    /// Somebody else, in words.
    Other(String),
}

/// What the user asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// The runtime's port.
    pub port: Option<u16>,
    /// The gateway's unit.
    pub unit: Option<String>,
}
