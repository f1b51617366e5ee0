//! The checks: one file each, a look at the machine and a verdict.
//!
//! Rule: `judge` is pure, and whatever it is given comes from `facts`.

mod catalog;
mod clients;
mod clock;
mod files;
mod linger;
mod openclaw;
mod pairing;
mod port;
mod refusals;
mod runtime;
mod sandbox;
mod secret;
mod socket;

use super::facts::Machine;
use super::finding::Outcome;

/// One row of [`CHECKS`].
#[derive(Clone, Copy)]
pub struct Check {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it looks at, as a sentence of the manual.
    pub sentence: &'static str,
    /// Looks, and judges.
    pub(super) look: fn(&Machine) -> Outcome,
}

/// Every check, in the order in which they are made: what the later ones need, the earlier ones look at.
#[rustfmt::skip]
pub const CHECKS: &[Check] = &[
    Check { name: "port", sentence: "Who holds the gateway's port, in both address families.", look: port::look },
    Check { name: "socket", sentence: "Whether the units are installed, enabled, open and not failed, and no two of them want one port.", look: socket::look },
    Check { name: "linger", sentence: "Whether a user's own instance outlives the user's session.", look: linger::look },
    Check { name: "openclaw", sentence: "Whether a unit of OpenClaw's would start a second gateway on the port.", look: openclaw::look },
    Check { name: "files", sentence: "Whether configuration and state can be read by the daemon, by nobody else, and understood.", look: files::look },
    Check { name: "runtime", sentence: "Whether OpenClaw's own gateway behind this one answers, belongs to the right user, and which version it is.", look: runtime::look },
    Check { name: "secret", sentence: "Whether the gateway takes what the openclaw command line of this user sends, by one attempt at the port.", look: secret::look },
    Check { name: "pairing", sentence: "Which devices wait for approval.", look: pairing::look },
    Check { name: "clients", sentence: "Which versions of clients were seen in the last day.", look: clients::look },
    Check { name: "refusals", sentence: "Why clients were refused in the last hour.", look: refusals::look },
    Check { name: "clock", sentence: "Whether the gateway's clock is ours, and this machine's is synchronised.", look: clock::look },
    Check { name: "catalog", sentence: "Whether the journal can explain what loopgated writes.", look: catalog::look },
];
