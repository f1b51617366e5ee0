//! loopgate's own settings, `loopgate.conf`. Rule: every key is one row of [`SETTINGS`]; parser, `--dump=settings`
//! and the manual are made from that table, and nothing else knows a key's name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Sources;
use super::error::ConfigError;
use super::paths::{tilde, variable};
use super::read::At;
use super::text::Document;
use crate::limits;

mod edit;
mod table;
mod values;

pub use edit::{Runtime, is_new, set_runtime};
pub use table::{Kind, OPERATOR_SCOPES, SETTINGS, Setting, dump};
use values::{ceiling, count, millis, origins, port, service, users, version};

/// All settings, each valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file, whether it exists or not.
    pub path: PathBuf,
    /// The deadlines of a connection.
    pub handshake: Handshake,
    /// Users whose processes count as local; an empty list stands for the daemon's own user, an empty group for nobody.
    pub owner: Vec<UserRef>,
    /// Further users whose processes may connect with a valid secret.
    pub peers_allow: Vec<UserRef>,
    /// The scopes that a local operator may be granted; `None` for all of them.
    pub operator_ceiling: Option<Vec<String>>,
    /// Browser origins allowed beside those of `openclaw.json`: `scheme://host:port` in lower case.
    pub origins: Vec<String>,
    /// Connections at once.
    pub connections: usize,
    /// Unsent bytes that one connection may pile up.
    pub tx_queue_bytes: usize,
    /// The version that clients are told; `None` leaves it to the gateway.
    pub server_version: Option<String>,
    /// How often repeated decisions are written to the journal.
    pub decisions_flush: Duration,
    /// The port of OpenClaw's own gateway on 127.0.0.1, behind loopgated.
    pub runtime_port: Option<u16>,
    /// The unit that runs OpenClaw's own gateway, for remedies; ends in `.service`.
    pub runtime_unit: Option<String>,
}

/// The deadlines of a connection that is not open yet, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// From accept to hello.
    pub timeout: Duration,
    /// From accept to the end of the HTTP head; at most `timeout`.
    pub head: Duration,
    /// From our close to the peer's.
    pub closing: Duration,
}

/// A user by name or by number, or the members of a group. Names are looked up by the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// A login name.
    Name(String),
    /// A numeric user id.
    Uid(u32),
    /// The users that the group of this name lists.
    Group(String),
}

impl Settings {
    /// Finds, reads and judges the settings. The file is the one `named` on the command line, else `$LOOPGATE_CONFIG`,
    /// else `loopgate.conf` in `$CONFIGURATION_DIRECTORY`, else in `loopgate` of `$XDG_CONFIG_HOME` or `~/.config`. One of
    /// the first two must exist; none of the others need to.
    pub fn load(sources: &dyn Sources, named: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, named_by) = locate(sources, named)?;
        match (sources.file(&path), named_by) {
            (Err(cause), _) => Err(ConfigError::Unreadable { file: path, cause }),
            (Ok(None), Some(named_by)) => Err(ConfigError::Absent { file: path, named_by }),
            (Ok(text), _) => Self::parse(&path, text.unwrap_or_else(|| "{}".to_owned())),
        }
    }

    /// Judges the text of the file at `path`.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let document = Document::parse(path, text)?;
        let root = At::root(&document, &document.value);
        table::refuse_unknown(&root, &mut Vec::new())?;
        Ok(Self {
            path: path.to_path_buf(),
            handshake: Handshake::read(&root)?,
            owner: users(&root.get("owner"))?,
            peers_allow: users(&root.at("peers.allow"))?,
            operator_ceiling: ceiling(&root.at("ceiling.operator"))?,
            origins: origins(&root.get("origins"))?,
            connections: count(&root.at("limits.connections"), limits::CONNECTIONS)?,
            tx_queue_bytes: count(&root.at("limits.txQueueBytes"), limits::TX_QUEUE_BYTES)?,
            server_version: version(&root.get("serverVersion"))?,
            decisions_flush: millis(&root.at("journal.decisionsFlushMs"), limits::DECISIONS_FLUSH_SPAN)?
                .unwrap_or(limits::DECISIONS_FLUSH),
            runtime_port: port(&root.at("runtime.port"))?,
            runtime_unit: service(&root.at("runtime.unit"))?,
        })
    }
}

impl Handshake {
    /// The head has its part of the whole: what is silent gives way, what is written must fit.
    fn read(root: &At<'_>) -> Result<Self, ConfigError> {
        let timeout = millis(&root.at("handshake.timeoutMs"), limits::HANDSHAKE)?;
        let timeout = timeout.unwrap_or(limits::HANDSHAKE.default);
        let at = root.at("handshake.headTimeoutMs");
        let head = match millis(&at, limits::HEAD)? {
            Some(head) if head > timeout => {
                let cause =
                    format!("{} is more than handshake.timeoutMs, {}", head.as_millis(), timeout.as_millis());
                return Err(at.bad(format!("{cause}; lower it, or raise the other")));
            }
            Some(head) => head,
            None => limits::HEAD.default.min(timeout),
        };
        let closing = millis(&root.at("handshake.closingTimeoutMs"), limits::CLOSING)?;
        Ok(Self { timeout, head, closing: closing.unwrap_or(limits::CLOSING.default) })
    }
}

/// The settings file, and who named it if it must exist.
fn locate(
    sources: &dyn Sources,
    named: Option<&Path>,
) -> Result<(PathBuf, Option<&'static str>), ConfigError> {
    if let Some(path) = named {
        return Ok((path.to_path_buf(), Some("--config")));
    }
    if let Some(path) = variable(sources, "LOOPGATE_CONFIG") {
        let home = sources.home().unwrap_or_default();
        return Ok((tilde(&path, &home), Some("LOOPGATE_CONFIG")));
    }
    // The one sign of the system's own instance. A unit of the system manager that acts for a user lacks it, and reads
    // what is that user's. The manager lists several folders with colons between; the first is the unit's own.
    let folder = variable(sources, "CONFIGURATION_DIRECTORY")
        .and_then(|folders| folders.split(':').next().map(PathBuf::from));
    let folder = match folder {
        Some(folder) => folder,
        None => user_folder(sources)?,
    };
    Ok((folder.join(FILE), None))
}

fn user_folder(sources: &dyn Sources) -> Result<PathBuf, ConfigError> {
    // The specification wants a relative path to be passed over.
    let xdg = variable(sources, "XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = xdg.or_else(|| Some(sources.home()?.join(".config"))).ok_or(ConfigError::NoHome)?;
    Ok(config.join("loopgate"))
}

const FILE: &str = "loopgate.conf";
