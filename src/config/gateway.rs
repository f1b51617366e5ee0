//! The `gateway` section of `openclaw.json`: who may connect, and how. Facts from OpenClaw 2026.3.13 and 2026.9.6.

use std::time::Duration;

use super::error::ConfigError;
use super::openclaw::Warning;
use super::paths;
use super::read::At;
use super::reference::{Resolver, Written};
use super::secret::{Resolved, Secret};
use crate::limits::RATE_LIMIT_MILLIS_MAX;

/// What loopgate reads of `gateway`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The port that clients expect: `OPENCLAW_GATEWAY_PORT`, else `gateway.port`, else 18789. loopgate never binds
    /// it; the command line connects to it.
    pub port: u16,
    /// `gateway.tls.enabled`: clients would speak TLS, which loopgate does not.
    pub tls: bool,
    /// How a client proves that it may connect.
    pub auth: Auth,
    /// What the browser page may do.
    pub control_ui: ControlUi,
    /// Addresses and networks whose forwarding headers OpenClaw believes; as written.
    pub trusted_proxies: Vec<String>,
    /// Which commands nodes may offer.
    pub nodes: Nodes,
}

/// Authentication of clients (`gateway.auth`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Which secret counts.
    pub mode: AuthMode,
    /// The shared token: config, else `OPENCLAW_GATEWAY_TOKEN`, else the credential `gateway-token`, else one that the
    /// daemon makes.
    pub token: Resolved<Secret>,
    /// The shared password: config, else `OPENCLAW_GATEWAY_PASSWORD`, else the credential `gateway-password`.
    pub password: Resolved<Secret>,
    /// The limit on failed attempts; `None` if the file has no `rateLimit`.
    pub rate_limit: Option<RateLimit>,
}

/// `gateway.auth.mode`. The mode `trusted-proxy` is refused at load, so it has no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// No secret is asked for.
    None,
    /// `auth.token` must match.
    Token,
    /// `auth.password` must match.
    Password,
}

/// `gateway.auth.rateLimit`, OpenClaw's defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Failed attempts that are allowed in a window.
    pub max_attempts: u32,
    /// The window that attempts are counted in.
    pub window: Duration,
    /// How long a source stays locked out.
    pub lockout: Duration,
    /// Whether the own machine is spared.
    pub exempt_loopback: bool,
}

/// `gateway.controlUi`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one for each key of the file")]
pub struct ControlUi {
    /// Whether the page is offered at all.
    pub enabled: bool,
    /// The path it is served under: empty, or with a leading and no trailing slash.
    pub base_path: String,
    /// `allowedOrigins`, trimmed and in lower case, without empty ones; `*` stands for any.
    pub allowed_origins: Vec<String>,
    /// A local page may connect without a device.
    pub allow_insecure_auth: bool,
    /// Any page may connect without a device.
    pub disable_device_auth: bool,
    /// An origin that equals the `Host` header is allowed.
    pub host_header_origin: bool,
}

/// `gateway.nodes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// Commands allowed beyond the platform's own list, trimmed.
    pub allow_commands: Vec<String>,
    /// Commands that are never allowed, trimmed; wins over everything.
    pub deny_commands: Vec<String>,
    /// How `browser.request` finds its node.
    pub browser_mode: BrowserMode,
    /// The node that serves the browser: an id or a display name.
    pub browser_node: Option<String>,
}

/// `gateway.nodes.browser.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserMode {
    /// The only connected node that can.
    Auto,
    /// The configured node and no other.
    Manual,
    /// No node.
    Off,
}

/// `gateway.auth.mode` as written.
#[derive(Debug, Clone, Copy)]
enum WrittenMode {
    Known(AuthMode),
    TrustedProxy,
}

/// One of the two shared secrets: its key, its variable, its credential.
struct Place {
    key: &'static str,
    variable: &'static str,
    credential: &'static str,
}

impl Gateway {
    /// Reads `gateway` of the configuration that `resolver` has.
    pub(crate) fn read(resolver: &Resolver<'_>) -> Result<Self, ConfigError> {
        let at = resolver.config.get("gateway");
        at.expect_object()?;
        Ok(Self {
            port: port(resolver, &at)?,
            tls: at.at("tls.enabled").flag()?.unwrap_or(false),
            auth: Auth::read(resolver, &at.get("auth"))?,
            control_ui: ControlUi::read(&at.get("controlUi"))?,
            trusted_proxies: at.get("trustedProxies").texts()?,
            nodes: Nodes::read(&at.get("nodes"))?,
        })
    }
}

impl Gateway {
    /// Says what other gateways do at these keys and loopgate does not.
    pub(crate) fn warn(&self, warnings: &mut Vec<Warning>) {
        let ui = &self.control_ui;
        let odd = [
            (self.tls, "tls.enabled", "loopgate serves loopback without TLS; clients must use ws://"),
            (
                ui.allowed_origins.iter().any(|origin| origin == "*"),
                "controlUi.allowedOrigins",
                "\"*\" allows nobody here; name each origin as scheme://host:port",
            ),
            (ui.allow_insecure_auth, "controlUi.allowInsecureAuth", NO_DEVICE),
            (ui.disable_device_auth, "controlUi.dangerouslyDisableDeviceAuth", NO_DEVICE),
            (
                ui.host_header_origin,
                "controlUi.dangerouslyAllowHostHeaderOriginFallback",
                "has no effect here; name the page's origin in controlUi.allowedOrigins",
            ),
        ];
        warnings.extend(odd.into_iter().filter(|(is, ..)| *is).map(|(_, key, message)| Warning {
            path: format!("gateway.{key}"),
            message: message.to_owned(),
        }));
    }
}

impl AuthMode {
    /// The name in the file and in `snapshot.authMode`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Password => "password",
        }
    }
}

impl Auth {
    fn read(resolver: &Resolver<'_>, at: &At<'_>) -> Result<Self, ConfigError> {
        at.expect_object()?;
        let written_token = Written::read(&at.get(TOKEN.key))?;
        let written_password = Written::read(&at.get(PASSWORD.key))?;
        let mode = match at.get("mode").one_of(MODES)? {
            Some(WrittenMode::TrustedProxy) => {
                return Err(ConfigError::TrustedProxy { place: at.get("mode").place() });
            }
            Some(WrittenMode::Known(mode)) => Some(mode),
            None if written_token.is_configured() && written_password.is_configured() => {
                return Err(ConfigError::AmbiguousAuth { place: at.place() });
            }
            None => None,
        };
        let token = shared_secret(resolver, &TOKEN, &written_token);
        let password = shared_secret(resolver, &PASSWORD, &written_password);
        let mode = mode.unwrap_or_else(|| silent_mode(&token, &password));
        Ok(Self { mode, token, password, rate_limit: RateLimit::read(&at.get("rateLimit"))? })
    }

    /// Whether a token is asked for and no place has one: the daemon makes one then. A place that should have one and
    /// does not is somebody's mistake, which a token of ours would hide.
    pub fn wants_token(&self) -> bool {
        self.mode == AuthMode::Token && self.token == Resolved::Missing
    }

    /// The secret that the mode asks for; `None` in mode `none`.
    pub fn secret(&self) -> Option<&Resolved<Secret>> {
        match self.mode {
            AuthMode::None => None,
            AuthMode::Token => Some(&self.token),
            AuthMode::Password => Some(&self.password),
        }
    }
}

impl RateLimit {
    fn read(at: &At<'_>) -> Result<Option<Self>, ConfigError> {
        at.expect_object()?;
        if at.value().is_none() {
            return Ok(None);
        }
        let millis = |key: &str, default: Duration| -> Result<Duration, ConfigError> {
            let millis = at.get(key).whole(0, RATE_LIMIT_MILLIS_MAX)?;
            Ok(millis.map_or(default, Duration::from_millis))
        };
        let attempts = at.get("maxAttempts").whole(1, u64::from(u32::MAX))?;
        Ok(Some(Self {
            max_attempts: attempts
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(RateLimit::DEFAULT.max_attempts),
            window: millis("windowMs", RateLimit::DEFAULT.window)?,
            lockout: millis("lockoutMs", RateLimit::DEFAULT.lockout)?,
            exempt_loopback: at.get("exemptLoopback").flag()?.unwrap_or(RateLimit::DEFAULT.exempt_loopback),
        }))
    }

    /// OpenClaw's defaults.
    pub const DEFAULT: Self = Self {
        max_attempts: 10,
        window: Duration::from_secs(60),
        lockout: Duration::from_secs(300),
        exempt_loopback: true,
    };
}

impl ControlUi {
    fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        at.expect_object()?;
        let flag = |key: &str| Ok(at.get(key).flag()?.unwrap_or(false));
        let origins = at.get("allowedOrigins").texts()?;
        Ok(Self {
            enabled: at.get("enabled").flag()?.unwrap_or(true),
            base_path: base_path(at.get("basePath").trimmed()?.unwrap_or_default()),
            allowed_origins: origins.iter().map(|origin| origin.to_lowercase()).collect(),
            allow_insecure_auth: flag("allowInsecureAuth")?,
            disable_device_auth: flag("dangerouslyDisableDeviceAuth")?,
            host_header_origin: flag("dangerouslyAllowHostHeaderOriginFallback")?,
        })
    }
}

impl Nodes {
    fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        at.expect_object()?;
        at.get("browser").expect_object()?;
        Ok(Self {
            allow_commands: at.get("allowCommands").texts()?,
            deny_commands: at.get("denyCommands").texts()?,
            browser_mode: at.at("browser.mode").one_of(BROWSER_MODES)?.unwrap_or(BrowserMode::Auto),
            browser_node: at.at("browser.node").trimmed()?.map(str::to_owned),
        })
    }
}

/// The variable wins; OpenClaw passes over one that is not a number.
fn port(resolver: &Resolver<'_>, gateway: &At<'_>) -> Result<u16, ConfigError> {
    let configured =
        gateway.get("port").whole(1, u64::from(u16::MAX))?.and_then(|port| u16::try_from(port).ok());
    let by_env = paths::variable(resolver.sources, "OPENCLAW_GATEWAY_PORT")
        .or_else(|| paths::variable(resolver.sources, "CLAWDBOT_GATEWAY_PORT"))
        .and_then(|port| port.parse().ok().filter(|&port| port > 0));
    Ok(by_env.or(configured).unwrap_or(DEFAULT_PORT))
}

/// Looks a secret up: in the clear in the file, in the environment, by the file's reference, among the credentials.
/// OpenClaw follows a reference only if the environment is silent.
fn shared_secret(resolver: &Resolver<'_>, place: &Place, written: &Written) -> Resolved<Secret> {
    if let Written::Clear(secret) = written {
        return Resolved::Set(secret.clone());
    }
    if let Some(secret) = resolver.env.get(place.variable).as_deref().and_then(Secret::new) {
        return Resolved::Set(secret);
    }
    let followed = match written {
        Written::Reference(reference) => resolver.follow(reference),
        Written::Clear(_) | Written::Nothing => Resolved::Missing,
    };
    match (followed, resolver.sources.credential(place.credential)) {
        (Resolved::Set(secret), _) => Resolved::Set(secret),
        (_, Some(Ok(text))) => match Secret::new(&text) {
            Some(secret) => Resolved::Set(secret),
            None => Resolved::Unresolvable(format!("the credential {} is empty", place.credential)),
        },
        (_, Some(Err(cause))) => {
            Resolved::Unresolvable(format!("the credential {} cannot be read: {cause}", place.credential))
        }
        (followed, None) => followed,
    }
}

/// The mode of a file that names none: that of the secret there is, the password first. A secret that should be there
/// counts as there.
fn silent_mode(token: &Resolved<Secret>, password: &Resolved<Secret>) -> AuthMode {
    match (token, password) {
        (_, Resolved::Set(_)) | (Resolved::Missing, Resolved::Unresolvable(_)) => AuthMode::Password,
        _ => AuthMode::Token,
    }
}

/// Empty, or with a leading and no trailing slash.
fn base_path(path: &str) -> String {
    let inner = path.trim_matches('/');
    if inner.is_empty() { String::new() } else { format!("/{inner}") }
}

const TOKEN: Place = Place { key: "token", variable: "OPENCLAW_GATEWAY_TOKEN", credential: "gateway-token" };
const PASSWORD: Place =
    Place { key: "password", variable: "OPENCLAW_GATEWAY_PASSWORD", credential: "gateway-password" };
const MODES: &[(&str, WrittenMode)] = &[
    ("none", WrittenMode::Known(AuthMode::None)),
    ("token", WrittenMode::Known(AuthMode::Token)),
    ("password", WrittenMode::Known(AuthMode::Password)),
    ("trusted-proxy", WrittenMode::TrustedProxy),
];
const BROWSER_MODES: &[(&str, BrowserMode)] =
    &[("auto", BrowserMode::Auto), ("manual", BrowserMode::Manual), ("off", BrowserMode::Off)];
/// The port that every client tries.
const DEFAULT_PORT: u16 = 18_789;

const NO_DEVICE: &str = "has no effect here; a page in a browser always proves a paired device";
