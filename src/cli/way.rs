//! The way to the gateway: an address and the secrets for it.
//!
//! Rule: `openclaw.json` is read only when nothing nearer says where to go or what to show at the port, so that a
//! broken file never stands in the way of the owner's socket.

use std::path::PathBuf;

use super::failure::Failure;
use super::secrets::{Credentials, Given};
use super::target::{Choice, Target};
use crate::config::gateway::AuthMode;
use crate::config::{OpenClaw, Secret, Sources};

/// What the command line and the environment say about the way.
pub(crate) struct Plan<'a> {
    /// Flags that name an address.
    pub choice: Choice,
    /// Flags that name secrets.
    pub given: Given,
    /// Everything else.
    pub sources: &'a dyn Sources,
}

/// An address and the secrets for it.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// Where to.
    pub target: Target,
    /// With what.
    pub credentials: Credentials,
}

/// What is used of `openclaw.json`.
struct Configured {
    file: PathBuf,
    port: u16,
    token: Option<Secret>,
    password: Option<Secret>,
}

impl Plan<'_> {
    /// The best way.
    pub(crate) fn first(&self) -> Result<Way, Failure> {
        let target = Target::find(&self.choice, self.sources)?.into_iter().next();
        self.to(target)
    }

    /// The next best way, for the case that `denied` is a socket that was found, not named, and leads nowhere.
    pub(crate) fn after(&self, denied: &Way) -> Result<Option<Way>, Failure> {
        if denied.target.is_asked_for() || !denied.target.address.is_owner_door() {
            return Ok(None);
        }
        let targets = Target::find(&self.choice, self.sources)?;
        let next = targets.into_iter().skip_while(|target| *target != denied.target).nth(1);
        self.to(next).map(Some)
    }

    /// The way to `target`, or to the port if there is none.
    fn to(&self, target: Option<Target>) -> Result<Way, Failure> {
        let given = Credentials::given(&self.given, self.sources)?;
        let port = match &target {
            None => variable_port(self.sources)?,
            Some(_) => None,
        };
        // The kernel vouches for us at the owner's socket: no secret is looked for, let alone sent.
        let needs_secret = target.as_ref().is_none_or(|target| !target.address.is_owner_door());
        let mut credentials = given;
        if credentials.is_none() && needs_secret {
            credentials = Credentials::from_env(self.sources);
        }
        let needs_config = needs_secret && credentials.is_none() || target.is_none() && port.is_none();
        let configured = if needs_config { Some(configured(self.sources)?) } else { None };
        let target = match (target, port, &configured) {
            (Some(target), ..) => target,
            (None, Some(port), _) => Target::at_port(port),
            (None, None, Some(configured)) => Target::at_port(configured.port),
            (None, None, None) => return Err(Failure::config("no gateway port is known")),
        };
        if let (None, true, Some(found)) = (&credentials, needs_secret, &configured) {
            credentials =
                Some(Credentials::of_config(found.token.as_ref(), found.password.as_ref(), &found.file));
        }
        Ok(Way { target, credentials: credentials.unwrap_or_default() })
    }
}

/// `OPENCLAW_GATEWAY_PORT`, if it is set.
fn variable_port(sources: &dyn Sources) -> Result<Option<u16>, Failure> {
    let Some(text) = sources.env(PORT).filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(Failure::config(format!("{PORT} is no port number, write 1 to 65535"))),
    }
}

/// Reads `openclaw.json` the way the gateway does.
fn configured(sources: &dyn Sources) -> Result<Configured, Failure> {
    let config = OpenClaw::load(sources).map_err(|error| {
        Failure::config(error.to_string())
            .next("loopgated --check")
            .next("--url ws://127.0.0.1:PORT --token-file FILE")
    })?;
    let gateway = &config.gateway;
    if gateway.tls {
        let message = format!("{}: gateway.tls.enabled: TLS is not spoken here", config.path.display());
        return Err(Failure::config(message).next("use the owner's socket, or switch TLS off"));
    }
    if let Some(reason) = gateway.auth.secret().and_then(|secret| secret.reason()) {
        return Err(Failure::config(reason).next("--token-file FILE"));
    }
    let secret = |mode| {
        let asked = gateway.auth.mode == mode;
        asked.then(|| gateway.auth.secret()?.set().cloned()).flatten()
    };
    Ok(Configured {
        port: gateway.port,
        token: secret(AuthMode::Token),
        password: secret(AuthMode::Password),
        file: config.path.clone(),
    })
}

const PORT: &str = "OPENCLAW_GATEWAY_PORT";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    /// A home with one `openclaw.json` and some variables.
    struct World {
        home: PathBuf,
        config: Result<&'static str, &'static str>,
        env: Vec<(&'static str, String)>,
    }

    impl Sources for World {
        fn env(&self, name: &str) -> Option<String> {
            self.env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
        }

        fn file(&self, path: &Path) -> Result<Option<String>, String> {
            match self.config {
                Ok(text) if path.ends_with("openclaw.json") => Ok(Some(text.to_owned())),
                Ok(_) => Ok(None),
                Err(cause) => Err(cause.to_owned()),
            }
        }

        fn secret_file(&self, _path: &Path) -> Result<String, String> {
            Err("none here".to_owned())
        }

        fn credential(&self, _name: &str) -> Option<Result<String, String>> {
            None
        }

        fn home(&self) -> Option<PathBuf> {
            Some(self.home.clone())
        }
    }

    fn world(config: Result<&'static str, &'static str>, env: &[(&'static str, &str)]) -> World {
        let env = env.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        World { home: "/h".into(), config, env }
    }

    fn plan(sources: &World) -> Plan<'_> {
        Plan { choice: Choice::default(), given: Given::default(), sources }
    }

    const CONFIG: &str = "{gateway: {port: 4711, auth: {mode: 'token', token: 'tok-made-up'}}}";

    #[test]
    fn the_file_says_the_port_and_the_token() {
        let world = world(Ok(CONFIG), &[]);
        let way = plan(&world).first().unwrap();
        assert_eq!(way.target.address.to_string(), "ws://127.0.0.1:4711");
        assert_eq!(way.credentials.to_auth().unwrap(), serde_json::json!({"token": "tok-made-up"}));
        assert!(way.credentials.origin().ends_with("openclaw.json"), "{}", way.credentials.origin());
    }

    #[test]
    fn a_variable_beats_the_file() {
        let world =
            world(Ok(CONFIG), &[("OPENCLAW_GATEWAY_TOKEN", "other"), ("OPENCLAW_GATEWAY_PORT", "99")]);
        let way = plan(&world).first().unwrap();
        assert_eq!(way.target.address.to_string(), "ws://127.0.0.1:99");
        assert_eq!(way.credentials.to_auth().unwrap(), serde_json::json!({"token": "other"}));
    }

    #[test]
    fn a_broken_file_matters_only_where_it_is_needed() {
        let broken = world(Err("permission denied"), &[("OPENCLAW_GATEWAY_TOKEN", "t")]);
        let failure = plan(&broken).first().unwrap_err();
        assert_eq!(failure.exit, crate::cli::exit::Exit::Config);
        let named =
            Plan { choice: Choice { url: Some("ws://[::1]:5".into()), socket: None }, ..plan(&broken) };
        assert!(named.first().is_ok());
        let socket = Plan { choice: Choice { socket: Some("/s".into()), url: None }, ..plan(&broken) };
        assert!(socket.first().unwrap().credentials.is_empty(), "the owner's socket is shown no secret");
    }

    #[test]
    fn no_secret_is_guessed_when_the_named_one_is_missing() {
        let lost =
            "{gateway: {auth: {mode: 'token', token: {source: 'env', provider: 'default', id: 'NOT_SET'}}}}";
        let failure = plan(&world(Ok(lost), &[])).first().unwrap_err();
        assert!(failure.message.contains("NOT_SET"), "{}", failure.message);
    }

    #[test]
    fn a_socket_that_is_found_but_not_ours_leads_to_the_port() {
        let folder = std::env::temp_dir().join(format!("loopgate-way-{}", std::process::id()));
        let path = folder.join("loopgate/owner.sock");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let found = world(Ok(CONFIG), &[("XDG_RUNTIME_DIR", folder.to_str().unwrap())]);
        let first = plan(&found).first().unwrap();
        assert_eq!(first.target.address.to_string(), format!("unix:{}", path.display()));
        let mut next = plan(&found).after(&first).unwrap();
        while let Some(way) = next.clone().filter(|way| way.target.address.is_owner_door()) {
            next = plan(&found).after(&way).unwrap();
        }
        assert_eq!(next.unwrap().target.address.to_string(), "ws://127.0.0.1:4711");

        let named = world(Ok(CONFIG), &[("LOOPGATE_SOCKET", path.to_str().unwrap())]);
        let first = plan(&named).first().unwrap();
        assert!(plan(&named).after(&first).unwrap().is_none(), "what was named is not passed over");
        drop(listener);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
