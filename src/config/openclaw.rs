//! `openclaw.json` as loopgate uses it. It is OpenClaw's file: keys that loopgate does not know are none of its
//! business, and nothing is ever written to it.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use super::Sources;
use super::agents::{Agents, Model, Session};
use super::env::Env;
use super::error::ConfigError;
use super::gateway::Gateway;
use super::include;
use super::paths::Paths;
use super::read::At;
use super::reference::Resolver;
use super::text::Document;

/// The whole configuration, defaults filled in. It holds secrets in three of its fields, so `Debug` leaves those out.
#[derive(Clone, PartialEq)]
pub struct OpenClaw {
    /// The file, whether it exists or not.
    pub path: PathBuf,
    /// OpenClaw's state folder.
    pub state_dir: PathBuf,
    /// The home folder that `~` stands for.
    pub home: PathBuf,
    /// The text of the file; `None` if there is none. May hold secrets: redact before showing.
    pub text: Option<String>,
    /// The file as written. May hold secrets: redact before showing.
    pub parsed: Value,
    /// The file with includes and variables put in. Holds secrets: redact before showing.
    pub resolved: Value,
    /// What is odd but not fatal.
    pub warnings: Vec<Warning>,
    /// `gateway`.
    pub gateway: Gateway,
    /// `agents`.
    pub agents: Agents,
    /// `session`.
    pub session: Session,
    /// `models.providers`.
    pub models: Vec<Model>,
    /// `logging`.
    pub logging: Logging,
    /// `cron`.
    pub cron: Cron,
    /// `browser.enabled`.
    pub browser_enabled: bool,
    /// `ui.assistant`: the name and picture that win over any agent's.
    pub assistant: Assistant,
}

/// Something odd at a key; the entries of `warnings` in `config.get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key with its path.
    pub path: String,
    /// What is odd.
    pub message: String,
}

/// `logging`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// The log file; `None` for OpenClaw's default, a file a day in its temporary folder.
    pub file: Option<PathBuf>,
}

/// `cron`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// Whether jobs run.
    pub enabled: bool,
    /// The file of the jobs.
    pub store: PathBuf,
}

/// `ui.assistant`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assistant {
    /// Name, trimmed.
    pub name: Option<String>,
    /// Picture, trimmed.
    pub avatar: Option<String>,
}

/// A file read as far as its values, before any of them is judged.
pub(crate) struct Raw<'a> {
    pub(crate) places: Paths,
    pub(crate) document: Document,
    /// Whether the file exists.
    pub(crate) exists: bool,
    /// With includes and variables put in.
    pub(crate) resolved: Value,
    pub(crate) env: Env<'a>,
    pub(crate) warnings: Vec<Warning>,
}

impl OpenClaw {
    /// Finds, reads and judges the configuration. A missing file is an empty one.
    pub fn load(sources: &dyn Sources) -> Result<Self, ConfigError> {
        let places = Paths::locate(sources)?;
        let text = sources
            .file(&places.config)
            .map_err(|cause| ConfigError::Unreadable { file: places.config.clone(), cause })?;
        Self::judge(Raw::read(sources, places, text)?, sources)
    }

    /// The values of a file that has been read.
    pub(crate) fn judge(raw: Raw<'_>, sources: &dyn Sources) -> Result<Self, ConfigError> {
        let Raw { places, document, exists, resolved, env, mut warnings } = raw;
        let root = At::root(&document, &resolved);
        let config = root.clone();
        let gateway = Gateway::read(&Resolver { sources, places: &places, env: &env, config })?;
        gateway.warn(&mut warnings);
        let agents = Agents::read(&root, &places, super::paths::variable(sources, "OPENCLAW_PROFILE"))?;
        let session = Session::read(&root.get("session"), &mut warnings)?;
        let models = Model::read_all(&root.at("models.providers"))?;
        let logging = Logging { file: path(&places, &root.at("logging.file"))? };
        let cron = Cron {
            enabled: root.at("cron.enabled").flag()?.unwrap_or(true),
            store: path(&places, &root.at("cron.store"))?
                .unwrap_or_else(|| places.state_dir.join(CRON_STORE)),
        };
        let browser_enabled = root.at("browser.enabled").flag()?.unwrap_or(true);
        let assistant = Assistant::read(&root.at("ui.assistant"))?;
        let Document { text, value: parsed, .. } = document;
        let Paths { config: path, state_dir, home } = places;
        let text = exists.then_some(text);
        #[rustfmt::skip]
        let config = Self {
            path, state_dir, home, text, parsed, resolved, warnings, gateway, agents, session, models, logging, cron,
            browser_enabled, assistant,
        };
        Ok(config)
    }

    /// The session that the default agent's main conversation is kept under.
    pub fn main_session_key(&self) -> String {
        self.session.main_key(&self.agents.default_id)
    }

    /// The file of an agent's sessions: `session.store`, else `agents/ID/sessions/sessions.json` in the state folder.
    pub fn session_store(&self, agent_id: &str) -> PathBuf {
        match &self.session.store {
            Some(store) => super::paths::tilde(&store.replace("{agentId}", agent_id), &self.home),
            None => self.state_dir.join("agents").join(agent_id).join("sessions").join("sessions.json"),
        }
    }
}

impl<'a> Raw<'a> {
    /// Parses `text`, the text of `places.config`, and puts in what it refers to.
    pub(crate) fn read(
        sources: &'a dyn Sources,
        places: Paths,
        text: Option<String>,
    ) -> Result<Self, ConfigError> {
        let exists = text.is_some();
        let document = Document::parse(&places.config, text.unwrap_or_else(|| "{}".to_owned()))?;
        Self::resolve(sources, places, document, exists)
    }

    /// Puts in what `document` refers to.
    pub(crate) fn resolve(
        sources: &'a dyn Sources,
        places: Paths,
        document: Document,
        exists: bool,
    ) -> Result<Self, ConfigError> {
        let included = include::resolve(sources, &places, &document)?;
        // Null would count as absent elsewhere.
        if !included.is_object() {
            return Err(At::root(&document, &included).wrong("an object"));
        }
        let mut warnings = Vec::new();
        let mut env = Env::new(sources, &places.state_dir, &mut warnings);
        env.add_config(&included);
        let resolved = env.substitute(&included, &mut warnings);
        Ok(Self { places, document, exists, resolved, env, warnings })
    }
}

impl Assistant {
    fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        at.expect_object()?;
        let text = |key: &str| Ok(at.get(key).trimmed()?.map(str::to_owned));
        Ok(Self { name: text("name")?, avatar: text("avatar")? })
    }
}

impl fmt::Debug for OpenClaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenClaw")
            .field("path", &self.path)
            .field("state_dir", &self.state_dir)
            .field("gateway", &self.gateway)
            .field("agents", &self.agents)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

fn path(places: &Paths, at: &At<'_>) -> Result<Option<PathBuf>, ConfigError> {
    Ok(at.trimmed()?.map(|path| places.expand(path)))
}

const CRON_STORE: &str = "cron/jobs.json";
