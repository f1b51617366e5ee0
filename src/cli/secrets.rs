//! The secret that opens the port, and where it came from: a refused secret is mended at its source.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::failure::Failure;
use super::sources;
use crate::config::{Secret, Sources};
use crate::limits::SECRET_FILE_BYTES_MAX;

/// What the command line said about secrets.
#[derive(Clone, Default)]
pub(crate) struct Given {
    /// `--token`.
    pub token: Option<String>,
    /// `--token-file`; `-` is standard input.
    pub token_file: Option<PathBuf>,
    /// `--password-file`; `-` is standard input.
    pub password_file: Option<PathBuf>,
}

/// What is offered to the gateway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    /// `auth.token`.
    pub token: Option<Sourced>,
    /// `auth.password`.
    pub password: Option<Sourced>,
}

/// A secret and its source.
#[derive(Debug, Clone)]
pub(crate) struct Sourced {
    secret: Secret,
    source: Source,
}

/// Where a secret came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `--token`.
    Flag,
    /// `--token-file` or `--password-file`.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// `openclaw.json`.
    Config(PathBuf),
}

impl Credentials {
    /// The secrets given by flags; `None` if there are none.
    pub(crate) fn given(given: &Given, sources: &dyn Sources) -> Result<Option<Self>, Failure> {
        let token = match (&given.token, &given.token_file) {
            (Some(token), _) => Some(Sourced::new(token, Source::Flag)?),
            (None, Some(path)) => Some(from_file(path, "--token-file", sources)?),
            (None, None) => None,
        };
        let password = match &given.password_file {
            Some(path) => Some(from_file(path, "--password-file", sources)?),
            None => None,
        };
        let credentials = Self { token, password };
        Ok((!credentials.is_empty()).then_some(credentials))
    }

    /// The secrets of the environment; `None` if there are none.
    pub(crate) fn from_env(sources: &dyn Sources) -> Option<Self> {
        let variable = |name| {
            let secret = Secret::new(&sources.env(name)?)?;
            Some(Sourced { secret, source: Source::Variable(name) })
        };
        let credentials = Self { token: variable(TOKEN), password: variable(PASSWORD) };
        (!credentials.is_empty()).then_some(credentials)
    }

    /// A secret of `openclaw.json`.
    pub(crate) fn of_config(token: Option<&Secret>, password: Option<&Secret>, file: &Path) -> Self {
        let sourced = |secret: Option<&Secret>| {
            secret
                .map(|secret| Sourced { secret: secret.clone(), source: Source::Config(file.to_path_buf()) })
        };
        Self { token: sourced(token), password: sourced(password) }
    }

    /// Whether nothing is offered.
    pub(crate) fn is_empty(&self) -> bool {
        self.token.is_none() && self.password.is_none()
    }

    /// `auth` of `connect`; `None` if nothing is offered.
    pub(crate) fn to_auth(&self) -> Option<Value> {
        let members = [("token", &self.token), ("password", &self.password)];
        let auth: Map<String, Value> = members
            .into_iter()
            .filter_map(|(key, sourced)| Some((key.to_owned(), sourced.as_ref()?.secret.reveal().into())))
            .collect();
        (!auth.is_empty()).then_some(Value::Object(auth))
    }

    /// Where the secrets came from, as a sentence; for the case that the gateway refused them.
    pub(crate) fn origin(&self) -> String {
        match (&self.token, &self.password) {
            (None, None) => "no token and no password were offered".to_owned(),
            (Some(token), None) => format!("the token came from {}", token.source),
            (None, Some(password)) => format!("the password came from {}", password.source),
            (Some(token), Some(password)) => {
                format!("the token came from {}, the password from {}", token.source, password.source)
            }
        }
    }

    /// What to try when the gateway refused these secrets.
    pub(crate) fn remedy(&self) -> String {
        match self.token.as_ref().or(self.password.as_ref()).map(|sourced| &sourced.source) {
            None => {
                format!("loopgate --token-file FILE COMMAND, or set gateway.auth in openclaw.json; {MADE}")
            }
            Some(Source::Variable(name)) => {
                format!("env -u {name} loopgate COMMAND (it wins over openclaw.json)")
            }
            Some(Source::Flag | Source::File(_)) => {
                "leave the flag out, so that openclaw.json is asked".to_owned()
            }
            Some(Source::Config(file)) => {
                format!(
                    "see whether the gateway was started with another file than {}; {MADE}",
                    file.display()
                )
            }
        }
    }
}

impl Sourced {
    fn new(text: &str, source: Source) -> Result<Self, Failure> {
        let secret = Secret::new(text).ok_or_else(|| Failure::usage(format!("{source} holds no secret")))?;
        Ok(Self { secret, source })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("--token"),
            Self::File(path) if is_stdin(path) => f.write_str("standard input"),
            Self::File(path) | Self::Config(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Given {
    /// Says what was given, never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("token", &self.token.is_some())
            .field("token_file", &self.token_file)
            .field("password_file", &self.password_file)
            .finish()
    }
}

fn from_file(path: &Path, flag: &str, sources: &dyn Sources) -> Result<Sourced, Failure> {
    let text = if is_stdin(path) {
        sources::text(io::stdin().lock(), SECRET_FILE_BYTES_MAX)
    } else {
        sources.secret_file(path)
    };
    let text = text.map_err(|cause| Failure::config(format!("{flag} {}: {cause}", path.display())))?;
    Sourced::new(&text, Source::File(path.to_path_buf()))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Most machines have one instance, the system's.
const MADE: &str = "a token that loopgated has made is shown by sudo cat /var/lib/loopgate/gateway-token";
const TOKEN: &str = "OPENCLAW_GATEWAY_TOKEN";
const PASSWORD: &str = "OPENCLAW_GATEWAY_PASSWORD";

#[cfg(test)]
mod tests {
    use super::*;

    fn of_config(token: &str) -> Credentials {
        Credentials::of_config(Secret::new(token).as_ref(), None, Path::new("/h/openclaw.json"))
    }

    #[test]
    fn what_is_offered_is_sent_and_nothing_else() {
        let auth = of_config(" tok-canary ").to_auth().unwrap();
        assert_eq!(auth, serde_json::json!({"token": "tok-canary"}));
        assert_eq!(of_config("  ").to_auth(), None);
    }

    #[test]
    fn secrets_are_never_told() {
        let credentials = of_config("tok-canary");
        let given = Given { token: Some("tok-canary".into()), ..Given::default() };
        let told = format!("{credentials:?} {given:?} {} {}", credentials.origin(), credentials.remedy());
        assert!(!told.contains("canary"), "{told}");
        assert!(told.contains("/h/openclaw.json"));
    }
}
