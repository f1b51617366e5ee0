//! The secret that the `openclaw` command line would send, and where it comes from.
//!
//! Facts: OpenClaw 2026.3.13 takes `OPENCLAW_GATEWAY_TOKEN`, then its former name, from the environment; what is unset
//! there from `.env` in the working folder, then in the state folder; then `gateway.auth.token`, then
//! `gateway.remote.token`. 2026.9.6 does so where it is told a URL, and in node hosts; otherwise its clients of the own
//! machine take what is configured first. It reads no such variable from the working folder, but from `gateway.env` in
//! `~/.config/openclaw`. Passwords alike. What the older one would send is what is tried: it is the first that can be wrong.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Machine;
use super::instance::Instance;
use super::tool::{read, read_of};
use super::unit::Manager;
use super::world::World;
use crate::cli::json::Member;
use crate::cli::secrets::Credentials;
use crate::cli::sources::Process;
use crate::config::gateway::AuthMode;
use crate::config::paths::TOKEN_FILE;
use crate::config::{OpenClaw, Resolved, Secret, Sources};
use crate::limits::SECRET_FILE_BYTES_MAX;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Nothing.
    None,
    /// Something is meant to be, and cannot be had. The reason names no secret.
    Unusable(String),
    /// A secret.
    Secret {
        /// Where it comes from.
        source: Source,
        /// The secret.
        secret: Secret,
        /// Whether it is a password, not a token.
        password: bool,
    },
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The environment.
    Variable(&'static str),
    /// A variable in `.env` of the state folder.
    DotEnv(PathBuf, &'static str),
    /// `openclaw.json`.
    Config(PathBuf),
    /// The file of the token that the daemon has made.
    Own(PathBuf),
}

impl Offer {
    /// As `connect` takes it.
    pub(crate) fn credentials(&self) -> Credentials {
        match self {
            Self::None | Self::Unusable(_) => Credentials::default(),
            Self::Secret { source, secret, password } => {
                let place = PathBuf::from(source.to_string());
                let (token, password) = if *password { (None, Some(secret)) } else { (Some(secret), None) };
                Credentials::of_config(token, password, &place)
            }
        }
    }

    fn of(secret: Resolved<Secret>, source: Source, password: bool) -> Option<Self> {
        match secret {
            Resolved::Set(secret) => Some(Self::Secret { source, secret, password }),
            Resolved::Unresolvable(reason) => Some(Self::Unusable(reason)),
            Resolved::Missing => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "{name} in the environment"),
            Self::DotEnv(path, name) => write!(f, "{name} in {}", path.display()),
            Self::Config(path) | Self::Own(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What the caller would send to `instance`. Root is nobody's client: what the gateway itself is told is tried.
pub(crate) fn of(machine: &Machine, instance: &Instance) -> Offer {
    if machine.caller.is_root() { of_gateway(machine, instance) } else { of_client(&Process) }
}

/// What the gateway's own configuration says, else the token that it has made.
pub(crate) fn of_gateway(machine: &Machine, instance: &Instance) -> Offer {
    let made = instance.state_dir().join(TOKEN_FILE);
    let config = match OpenClaw::load(&World::of_instance(instance, machine)) {
        Ok(config) => config,
        Err(error) => return Offer::Unusable(error.to_string()),
    };
    let auth = &config.gateway.auth;
    let password = auth.mode == AuthMode::Password;
    let configured = auth.secret().cloned().unwrap_or(Resolved::Missing);
    if let Some(offer) = Offer::of(configured, Source::Config(config.path.clone()), password) {
        return offer;
    }
    let text = read_of(&made, SECRET_FILE_BYTES_MAX, Some(machine.uid_of(instance))).unwrap_or_default();
    let secret = Secret::new(&text).filter(|_| auth.mode == AuthMode::Token);
    secret.map_or(Offer::None, |secret| Offer::Secret { source: Source::Own(made), secret, password })
}

/// The order of the command line: variables first.
fn of_client(sources: &dyn Sources) -> Offer {
    let config = OpenClaw::load(sources);
    let password = config.as_ref().is_ok_and(|config| config.gateway.auth.mode == AuthMode::Password);
    let names = if password { PASSWORDS } else { TOKENS };
    let variable = |name: &&'static str| Some((*name, Secret::new(&sources.env(name)?)?));
    if let Some((name, secret)) = names.iter().find_map(variable) {
        return Offer::Secret { source: Source::Variable(name), secret, password };
    }
    let config = match config {
        Ok(config) => config,
        Err(error) => return Offer::Unusable(error.to_string()),
    };
    for file in variable_files(&config) {
        let lines = read(&file, SECRET_FILE_BYTES_MAX).unwrap_or_default();
        let variables = crate::config::dotenv(&lines);
        let variable = |name: &&'static str| Some((*name, Secret::new(variables.get(*name)?)?));
        if let Some((name, secret)) = names.iter().find_map(variable) {
            return Offer::Secret { source: Source::DotEnv(file, name), secret, password };
        }
    }
    let auth = &config.gateway.auth;
    let configured = if password { &auth.password } else { &auth.token };
    let source = || Source::Config(config.path.clone());
    if let Some(offer) = Offer::of(configured.clone(), source(), password) {
        return offer;
    }
    let key = if password { "password" } else { "token" };
    let remote = config.resolved.at("gateway").at("remote").at(key).as_str().and_then(Secret::new);
    remote.map_or(Offer::None, |secret| Offer::Secret { source: source(), secret, password })
}

/// The files of variables, in their order.
fn variable_files(config: &OpenClaw) -> Vec<PathBuf> {
    let here = std::env::current_dir().map(|folder| folder.join(".env"));
    let state = [config.state_dir.join(".env"), config.home.join(".config/openclaw/gateway.env")];
    here.into_iter().chain(state).collect()
}

/// The configuration file, if the caller sends a secret of the environment and the file has another one.
pub(crate) fn other_config(machine: &Machine, offer: &Offer) -> Option<PathBuf> {
    let Offer::Secret { source: Source::Variable(_) | Source::DotEnv(..), secret, password } = offer else {
        return None;
    };
    let config = OpenClaw::load(&Process).ok().filter(|_| !machine.caller.is_root())?;
    let key = if *password { "password" } else { "token" };
    let written = config.resolved.at("gateway").at("auth").at(key).as_str().and_then(Secret::new)?;
    (written != *secret).then_some(config.path)
}

/// The address at which the instance is tried.
pub(crate) fn address(instance: &Instance) -> Option<SocketAddr> {
    let addresses = instance.socket.addresses();
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

/// The configuration file, if the gateway has read an older text of it. By the hash that it tells its owner; for
/// others, by the time at which the service last changed its state.
pub(crate) fn stale(machine: &Machine, instance: &Instance) -> Option<PathBuf> {
    let told = machine.told().iter().find(|(of, _)| of == instance).and_then(|(_, told)| told.as_ref().ok());
    if let Some(told) = told {
        let answer = told.answer("config.get");
        let path = PathBuf::from(answer.at("path").as_str()?);
        let owner = machine.caller.is_root().then(|| machine.uid_of(instance));
        let owner = if instance.user().is_none() && path.starts_with("/etc") { None } else { owner };
        let text = read_of(&path, crate::limits::CONFIG_BYTES_MAX, owner);
        // A file that is gone is an empty one.
        let text = if path.exists() { text.ok()? } else { String::new() };
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        return answer.at("hash").as_str().filter(|told| **told != hash).map(|_| path);
    }
    let config = OpenClaw::load(&World::of_instance(instance, machine)).ok()?;
    let changed = u64::try_from(std::fs::metadata(&config.path).ok()?.mtime()).ok()?;
    let read = instance.service.seconds("StateChangeTimestamp").filter(|_| instance.service.is_active())?;
    (changed > read).then_some(config.path)
}

/// The variable by which the caller's service manager gives another secret than `offer` to its units.
pub(crate) fn manager_variable(machine: &Machine, offer: &Offer) -> Option<&'static str> {
    let caller = &machine.caller;
    let Offer::Secret { secret, password, .. } = offer else { return None };
    let user = caller.user.clone().filter(|_| !caller.is_root())?;
    let tool = Manager::User(user).tool(caller).ok()?.args(&["show-environment"]);
    let said = tool.run(machine.patience).ok()?;
    let names = if *password { PASSWORDS } else { TOKENS };
    names.into_iter().find(|name| {
        let value = said.out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        // What has odd characters stands in quotes, with a dollar before them.
        let value = value.map(|value| value.trim_start_matches('$').trim_matches(['"', '\'']));
        value.and_then(Secret::new).is_some_and(|given| given != *secret)
    })
}

const TOKENS: [&str; 2] = ["OPENCLAW_GATEWAY_TOKEN", "CLAWDBOT_GATEWAY_TOKEN"];
const PASSWORDS: [&str; 2] = ["OPENCLAW_GATEWAY_PASSWORD", "CLAWDBOT_GATEWAY_PASSWORD"];
