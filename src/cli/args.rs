//! The command line as types. Rule: what is described here is all there is; `--help`, the man page and completions
//! are made from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit;
use super::moving::{Order, Way};
use super::secrets::Given;
use super::target::Choice;
use crate::limits::{CLI_REQUEST, CLI_WAIT};

/// Ask the OpenClaw gateway on this machine, and tell it what to do.
#[derive(Debug, Parser)]
#[command(name = "loopgate", version, long_about = LONG, after_long_help = after_help(),
    arg_required_else_help = true, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The way to the gateway, and how to answer.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print the gateway's answer as JSON; errors as a JSON object on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// The owner's socket [default: $LOOPGATE_SOCKET, else what is found]
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "url", help_heading = WAY)]
    pub socket: Option<PathBuf>,
    /// The gateway's port, on this machine only: ws://127.0.0.1:PORT
    #[arg(long, global = true, value_name = "URL", help_heading = WAY)]
    pub url: Option<String>,
    /// File with the gateway token, readable by you alone; - for standard input
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token", help_heading = WAY)]
    pub token_file: Option<PathBuf>,
    /// The gateway token itself; other users see it in the list of processes, prefer --token-file
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true, help_heading = WAY)]
    pub token: Option<String>,
    /// File with the gateway password, readable by you alone; - for standard input
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, help_heading = WAY)]
    pub password_file: Option<PathBuf>,
    /// Wait so long for each answer, in milliseconds
    #[arg(long, global = true, value_name = "MS", value_parser = request_ms, help_heading = PATIENCE,
        default_value_t = crate::clock::millis(CLI_REQUEST.default))]
    pub timeout: u64,
    /// Try again so long while the gateway starts or restarts; 0 for one attempt
    #[arg(long, global = true, value_name = "SECONDS", value_parser = wait_seconds, help_heading = PATIENCE,
        default_value = "5")]
    pub wait: Duration,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the gateway at a glance: version, peers, nodes, waiting pairing requests
    Status,
    /// Ask whether the gateway is well; exit 1 if it says no
    Health,
    /// Check the way to the gateway step by step, with times, scopes and close codes
    Probe,
    /// Find what keeps clients from the gateway, and the commands that mend it; exit 1 if there is a fault
    #[command(after_long_help = DOCTOR_HELP)]
    Doctor {
        /// What to look at [default: everything]
        #[arg(value_name = "CHECK", value_parser = super::doctor::names())]
        checks: Vec<String>,
    },
    /// Move this user's OpenClaw gateway behind loopgate: it gets another port, loopgate takes the one of the clients
    #[command(after_long_help = ADOPT_HELP)]
    Adopt {
        /// Show what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// The gateway's new port [default: runtime.port of loopgate.conf, else 28789 or a free one]
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..))]
        runtime_port: Option<u16>,
        /// The gateway's unit, if there are several
        #[arg(long, value_name = "UNIT")]
        unit: Option<String>,
    },
    /// Give the gateway that was adopted its port back
    Release {
        /// Show what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// The gateway's unit, if there are several
        #[arg(long, value_name = "UNIT")]
        unit: Option<String>,
    },
    /// List who is connected
    Presence,
    /// Look after paired devices
    #[command(subcommand)]
    Devices(Devices),
    /// Look after nodes
    #[command(subcommand)]
    Nodes(Nodes),
    /// Look at the gateway's configuration
    #[command(subcommand)]
    Config(Config),
    /// Look at the browser that the gateway drives
    #[command(subcommand)]
    Browser(Browser),
    /// Call any method of the gateway protocol
    #[command(after_long_help = CALL_EXAMPLES)]
    Call {
        /// The method's name, such as sessions.list
        method: String,
        /// The params as JSON; - reads them from standard input
        #[arg(long, value_name = "JSON", default_value = "{}")]
        params: String,
    },
    /// Print what a shell needs to complete command lines
    Completions {
        /// The shell
        shell: Shell,
        /// The program whose command line is completed
        #[arg(default_value = "loopgate")]
        program: Program,
    },
}

/// The programs that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// The command line.
    Loopgate,
    /// The daemon.
    #[cfg(feature = "daemon")]
    Loopgated,
}

/// `loopgate devices`.
#[derive(Debug, Subcommand)]
pub(crate) enum Devices {
    /// List waiting requests and paired devices
    List,
    /// Approve a pairing request
    #[command(after_long_help = APPROVE_HELP)]
    Approve {
        /// The request; may be left out when exactly one waits
        #[arg(value_name = "REQUEST_ID", conflicts_with = "latest")]
        request: Option<String>,
        /// Approve the newest request, whoever made it
        #[arg(long)]
        latest: bool,
    },
    /// Turn a pairing request down
    Reject {
        /// The request
        #[arg(value_name = "REQUEST_ID")]
        request: String,
    },
    /// Forget a device; its connections end and it has to pair again
    Remove {
        /// The device: its id, or the first 12 characters or more
        #[arg(value_name = "DEVICE_ID")]
        device: String,
    },
    /// Replace the token of a device; the old one stops working
    Rotate {
        /// The device: its id, or the first 12 characters or more
        #[arg(value_name = "DEVICE_ID")]
        device: String,
        /// The role whose token is replaced
        #[arg(long)]
        role: String,
        /// A scope of the new token, several times if need be [default: those of the old token]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// Make the token of a device useless; the device stays paired
    Revoke {
        /// The device: its id, or the first 12 characters or more
        #[arg(value_name = "DEVICE_ID")]
        device: String,
        /// The role whose token is revoked
        #[arg(long)]
        role: String,
    },
}

/// `loopgate nodes`.
#[derive(Debug, Subcommand)]
pub(crate) enum Nodes {
    /// List nodes, connected ones first
    List,
}

/// `loopgate config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show the configuration that the gateway uses
    Get,
}

/// `loopgate browser`.
#[derive(Debug, Subcommand)]
pub(crate) enum Browser {
    /// Show whether a browser is there and runs
    Status,
}

impl Command {
    /// What `adopt` and `release` are to do.
    pub(crate) fn order(&self) -> Option<Order> {
        match self {
            Self::Adopt { dry_run, runtime_port, unit } => {
                Some(Order { way: Way::Adopt, dry_run: *dry_run, port: *runtime_port, unit: unit.clone() })
            }
            Self::Release { dry_run, unit } => {
                Some(Order { way: Way::Release, dry_run: *dry_run, port: None, unit: unit.clone() })
            }
            _ => None,
        }
    }
}

impl Global {
    /// The flags that name an address.
    pub(crate) fn choice(&self) -> Choice {
        Choice { socket: self.socket.clone(), url: self.url.clone() }
    }

    /// Whether a flag says where to go, or with what.
    pub(crate) fn names_a_way(&self) -> bool {
        self.socket.is_some()
            || self.url.is_some()
            || self.token.is_some()
            || self.token_file.is_some()
            || self.password_file.is_some()
    }

    /// The flags that name secrets.
    pub(crate) fn given(&self) -> Given {
        Given {
            token: self.token.clone(),
            token_file: self.token_file.clone(),
            password_file: self.password_file.clone(),
        }
    }
}

fn request_ms(text: &str) -> Result<u64, String> {
    let range = crate::clock::millis(CLI_REQUEST.min)..=crate::clock::millis(CLI_REQUEST.max);
    match text.parse() {
        Ok(ms) if range.contains(&ms) => Ok(ms),
        _ => Err(format!("write milliseconds, {} to {}", range.start(), range.end())),
    }
}

fn wait_seconds(text: &str) -> Result<Duration, String> {
    let max = CLI_WAIT.max.as_secs();
    let seconds: Option<f64> = text.parse().ok();
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(wait) if wait <= CLI_WAIT.max => Ok(wait),
        _ => Err(format!("write seconds, 0 to {max}")),
    }
}

fn after_help() -> String {
    format!("{}\n{EXAMPLES}", exit::help())
}

const WAY: &str = "The way to the gateway";
const PATIENCE: &str = "Patience";

/// One line a paragraph: it is wrapped where the terminal ends.
const LONG: &str = "\
Ask the OpenClaw gateway on this machine, and tell it what to do.

The owner's socket is used when there is one, for it needs no secret: --socket, $LOOPGATE_SOCKET, \
$XDG_RUNTIME_DIR/loopgate/owner.sock, /run/loopgate/$LOGNAME/owner.sock, /run/loopgate/owner.sock, in this order; \
for root also the only one in a folder of /run/loopgate.

Otherwise the gateway's port on 127.0.0.1 is used: --url, $OPENCLAW_GATEWAY_URL, $OPENCLAW_GATEWAY_PORT, \
gateway.port of openclaw.json, 18789. The port wants a secret: --token-file, --password-file, \
$OPENCLAW_GATEWAY_TOKEN, $OPENCLAW_GATEWAY_PASSWORD, or what openclaw.json says. No other machine is ever spoken to.

While the gateway starts or restarts, a command tries again for --wait seconds. A refusal is never repeated, nor is a \
request that changes something and may have been carried out.";

const EXAMPLES: &str = "\
Examples:
  loopgate status
  loopgate devices approve
  loopgate probe --json
  loopgate doctor
  loopgate adopt --dry-run
  loopgate call sessions.list --params '{\"limit\": 5}' --json
  loopgate --url ws://127.0.0.1:18789 --token-file ~/.gateway-token health";

const CALL_EXAMPLES: &str = "\
Without --json, values that look like secrets are hidden.

Examples:
  loopgate call models.list --json
  loopgate call set-heartbeats --params '{\"enabled\": false}'
  loopgate call chat.send --params - < message.json";

const DOCTOR_HELP: &str = "\
Nothing is changed and no secret is shown. A command that is printed works as it stands. Root sees every instance on \
the machine, a user their own and the system's.

Examples:
  loopgate doctor
  loopgate doctor port socket
  sudo loopgate doctor --json";

const ADOPT_HELP: &str = "\
Run it as the user whose gateway it is, without sudo. Every file and command is shown first. It is checked that \
both answer; if not, everything is put back. `loopgate release` undoes it, at any time.";

const APPROVE_HELP: &str = "\
Without a REQUEST_ID, the request is approved if it is the only one. If several wait they are listed and nothing is \
approved (exit 64).";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_description_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(request_ms("10000"), Ok(10_000));
        assert_eq!(wait_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(wait_seconds("5"), Ok(CLI_WAIT.default));
        for text in ["0", "-1", "x", "99999999999"] {
            assert!(request_ms(text).is_err(), "{text}");
        }
        for text in ["-1", "x", "1e9", "NaN", "inf"] {
            assert!(wait_seconds(text).is_err(), "{text}");
        }
    }
}
