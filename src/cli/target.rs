//! Where the gateway is. Rule: only this machine is ever spoken to, for the protocol has no encryption here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tungstenite::http::Uri;

use super::failure::Failure;
use super::sources;
use crate::config::Sources;

/// What the command line said about the way to the gateway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// `--socket`.
    pub socket: Option<PathBuf>,
    /// `--url`.
    pub url: Option<String>,
}

/// A gateway's address, and who named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where to connect.
    pub address: Address,
    /// Who says so.
    pub named_by: NamedBy,
}

/// A place on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The owner's socket: the kernel tells the gateway who is calling, no secret is needed.
    Unix(PathBuf),
    /// The gateway's port, for everybody on the machine: a secret is needed.
    Tcp {
        /// Always a loopback address.
        addr: SocketAddr,
        /// The path of the request, `/` unless a URL has another.
        path: String,
    },
}

/// Where an address comes from, in the order of search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// `--socket` or `--url`.
    Flag,
    /// `LOOPGATE_SOCKET` or `OPENCLAW_GATEWAY_URL`.
    Variable,
    /// The socket of the user's own instance is there.
    User,
    /// The socket of a system unit that acts for one user is there.
    Template,
    /// The socket of the system's instance is there.
    System,
    /// `OPENCLAW_GATEWAY_PORT`, `gateway.port`, or the default port.
    Port,
}

impl Target {
    /// The targets that somebody named or that are there, best first. None at all means the gateway's port.
    pub(crate) fn find(choice: &Choice, sources: &dyn Sources) -> Result<Vec<Self>, Failure> {
        if let Some(named) = Self::named(choice, sources)? {
            return Ok(vec![named]);
        }
        Ok(found(sources, Path::new(SYSTEM_FOLDER), sources::is_root()))
    }

    /// The gateway's port on 127.0.0.1.
    pub(crate) fn at_port(port: u16) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { address: Address::Tcp { addr, path: "/".to_owned() }, named_by: NamedBy::Port }
    }

    /// The commands that show why nobody listens here.
    pub(crate) fn units(&self) -> Vec<String> {
        match (&self.address, self.named_by) {
            (Address::Unix(_), NamedBy::User) => vec![USER_UNIT.to_owned()],
            (Address::Unix(_), NamedBy::System) => vec![SYSTEM_UNIT.to_owned()],
            (Address::Unix(path), NamedBy::Template) => {
                let name = user_of(path).unwrap_or_else(|| "*".to_owned());
                vec![format!("systemctl status loopgate@{name}.socket")]
            }
            _ => [SYSTEM_UNIT, TEMPLATE_UNIT, USER_UNIT].map(str::to_owned).to_vec(),
        }
    }

    /// What to do for a socket that is not ours to open.
    pub(crate) fn admission(&self) -> &'static [&'static str] {
        match &self.address {
            Address::Unix(path) if path == Path::new(SYSTEM_SOCKET) => &[JOIN, RUN_AS_OWNER],
            _ => &[RUN_AS_OWNER],
        }
    }

    /// What to do if the way is open, and the gateway does not take us for an owner.
    pub(crate) fn joining(&self) -> &'static [&'static str] {
        match &self.address {
            Address::Unix(path) if path == Path::new(SYSTEM_SOCKET) => &[LOOK_AGAIN, RUN_AS_OWNER],
            _ => &[RUN_AS_OWNER],
        }
    }

    /// Whether somebody asked for this one; a found one may be passed over.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(self.named_by, NamedBy::Flag | NamedBy::Variable)
    }

    fn named(choice: &Choice, sources: &dyn Sources) -> Result<Option<Self>, Failure> {
        let named = |address, named_by| Ok(Some(Self { address, named_by }));
        if let Some(path) = &choice.socket {
            return named(Address::Unix(path.clone()), NamedBy::Flag);
        }
        if let Some(url) = &choice.url {
            let address =
                Address::from_url(url).map_err(|cause| Failure::usage(format!("--url: {cause}")))?;
            return named(address, NamedBy::Flag);
        }
        let variable = |name| sources.env(name).filter(|value| !value.trim().is_empty());
        if let Some(path) = variable("LOOPGATE_SOCKET") {
            return named(Address::Unix(path.into()), NamedBy::Variable);
        }
        if let Some(url) = variable("OPENCLAW_GATEWAY_URL") {
            let address = Address::from_url(url.trim())
                .map_err(|cause| Failure::config(format!("OPENCLAW_GATEWAY_URL: {cause}")))?;
            return named(address, NamedBy::Variable);
        }
        Ok(None)
    }
}

impl Address {
    /// Reads `ws://HOST:PORT[/PATH]` where HOST is a loopback address or `localhost`.
    ///
    /// # Errors
    /// The cause in words, for anything else: names that may resolve elsewhere, credentials or queries in the URL
    /// (they would end in logs), and TLS, which the gateway's port does not speak.
    pub(crate) fn from_url(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "not a URL, write ws://127.0.0.1:PORT".to_owned())?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err("TLS is not spoken on a loopback port, use ws://".to_owned()),
            _ => return Err("not a WebSocket URL, write ws://127.0.0.1:PORT".to_owned()),
        }
        let authority = uri.authority().ok_or("no host, write ws://127.0.0.1:PORT")?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err("credentials do not belong in a URL, use --token-file".to_owned());
        }
        let ip = loopback(authority.host()).ok_or_else(|| {
            format!(
                "{} is not this machine; only 127.0.0.1, [::1] and localhost are spoken to",
                authority.host()
            )
        })?;
        let port = authority.port_u16().ok_or("no port, write ws://127.0.0.1:PORT")?;
        Ok(Self::Tcp { addr: SocketAddr::new(ip, port), path: uri.path().to_owned() })
    }

    /// Whether the kernel tells the gateway who is calling.
    pub(crate) fn is_owner_door(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// The URL of the WebSocket request. Over a UNIX socket its host says nothing.
    pub(crate) fn request_url(&self) -> String {
        match self {
            Self::Unix(_) => "ws://localhost/".to_owned(),
            Self::Tcp { addr, path } => format!("ws://{addr}{path}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { addr, path } if path == "/" => write!(f, "ws://{addr}"),
            Self::Tcp { addr, path } => write!(f, "ws://{addr}{path}"),
        }
    }
}

/// The sockets that are there, best first. `system` is the folder of those that the system's manager makes; root may
/// speak for the one user who has a unit of its own.
fn found(sources: &dyn Sources, system: &Path, root: bool) -> Vec<Target> {
    let user = sources.env("XDG_RUNTIME_DIR").filter(|dir| dir.starts_with('/'));
    let mut places: Vec<(PathBuf, NamedBy)> =
        user.map(|dir| (Path::new(&dir).join(USER_SOCKET), NamedBy::User)).into_iter().collect();
    // A wrong name costs nothing: a socket there may not be opened by anybody but its user.
    let login = ["LOGNAME", "USER"].iter().find_map(|name| sources.env(name).filter(|name| is_step(name)));
    places.extend(login.map(|name| (system.join(name).join(SOCKET), NamedBy::Template)));
    places.push((system.join(SOCKET), NamedBy::System));
    if root {
        let others: Vec<PathBuf> = folders(system)
            .into_iter()
            .map(|path| path.join(SOCKET))
            .filter(|path| is_socket(path))
            .collect();
        // Of several, root has to choose.
        if let [only] = others.as_slice() {
            places.push((only.clone(), NamedBy::Template));
        }
    }
    let mut targets: Vec<Target> = Vec::new();
    for (path, named_by) in places.into_iter().filter(|(path, _)| is_socket(path)) {
        let target = Target { address: Address::Unix(path), named_by };
        if targets.iter().all(|other| other.address != target.address) {
            targets.push(target);
        }
    }
    targets
}

/// What is in a folder; nothing if there is none.
fn folders(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Whether this is one step of a path, and leads nowhere but down.
fn is_step(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !name.starts_with('.')
}

/// The user of a socket in a folder of that user's name, if it can be shown as it is.
fn user_of(socket: &Path) -> Option<String> {
    let name = socket.parent()?.file_name()?.to_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    name.chars().all(plain).then(|| name.to_owned())
}

/// The loopback address that `host` spells. Names are not resolved: `localhost` is the one name that counts.
fn loopback(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    literal.parse().ok().filter(IpAddr::is_loopback)
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// The owner socket of a user's instance, in `$XDG_RUNTIME_DIR`.
const USER_SOCKET: &str = "loopgate/owner.sock";
/// The owner socket of the system's instance.
const SYSTEM_SOCKET: &str = "/run/loopgate/owner.sock";
/// Its folder, and that of the folders of users who have a system unit.
const SYSTEM_FOLDER: &str = "/run/loopgate";
const SOCKET: &str = "owner.sock";
const USER_UNIT: &str = "systemctl --user status loopgate.socket";
const SYSTEM_UNIT: &str = "systemctl status loopgate.socket";
const TEMPLATE_UNIT: &str = "systemctl status 'loopgate@*.socket'";
/// The shell that it is pasted into knows the name.
const JOIN: &str =
    "sudo usermod -aG loopgate $USER && sudo systemctl reload loopgate.service, then log in again";
/// Whoever can open the socket is in the group.
const LOOK_AGAIN: &str =
    "sudo systemctl reload loopgate.service, for members of the group loopgate are looked up then";
const RUN_AS_OWNER: &str = "run it as the user who owns the gateway, or as root";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to() {
        for url in ["ws://127.0.0.1:18789", "ws://localhost:1", "ws://[::1]:18789/x", "ws://127.9.9.9:80/"] {
            let address = Address::from_url(url).unwrap();
            assert!(matches!(address, Address::Tcp { addr, .. } if addr.ip().is_loopback()), "{url}");
        }
        let cases = [
            ("ws://192.0.2.1:18789", "not this machine"),
            ("ws://localhost.evil.example:1", "not this machine"),
            ("ws://127.0.0.1.evil.example:1", "not this machine"),
            ("ws://2130706433:1", "not this machine"),
            ("ws://0.0.0.0:1", "not this machine"),
            ("ws://[::ffff:127.0.0.1]:1", "not this machine"),
            ("wss://127.0.0.1:1", "TLS"),
            ("http://127.0.0.1:1", "not a WebSocket URL"),
            ("127.0.0.1:1", "not a"),
            ("ws://u:p@127.0.0.1:1", "--token-file"),
            ("ws://127.0.0.1:1/?token=x", "--token-file"),
            ("ws://127.0.0.1", "no port"),
            ("ws:", "not a"),
        ];
        for (url, want) in cases {
            let cause = Address::from_url(url).unwrap_err();
            assert!(cause.contains(want), "{url}: {cause}");
            assert!(!cause.contains("u:p"), "a secret is repeated: {cause}");
        }
    }

    /// Variables and nothing else.
    struct Variables(Vec<(&'static str, String)>);

    impl Sources for Variables {
        fn env(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
        }

        fn file(&self, _path: &Path) -> Result<Option<String>, String> {
            Ok(None)
        }

        fn secret_file(&self, _path: &Path) -> Result<String, String> {
            Err("none here".to_owned())
        }

        fn credential(&self, _name: &str) -> Option<Result<String, String>> {
            None
        }

        fn home(&self) -> Option<PathBuf> {
            None
        }
    }

    #[test]
    fn sockets_are_found_in_order() {
        let top = std::env::temp_dir().join(format!("loopgate-target-{}", std::process::id()));
        let (user, system) = (top.join("user"), top.join("system"));
        let mut kept = Vec::new();
        let mut bind = |path: PathBuf| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            kept.push(std::os::unix::net::UnixListener::bind(&path).unwrap());
        };
        let variables = |name: &str| {
            let folder = user.to_str().unwrap().to_owned();
            Variables(vec![("XDG_RUNTIME_DIR", folder), ("USER", name.to_owned())])
        };
        let find = |name: &str, root| {
            let targets = found(&variables(name), &system, root);
            targets.iter().map(|target| target.units().concat()).collect::<Vec<_>>()
        };
        let of = |name: &str| format!("systemctl status loopgate@{name}.socket");
        assert!(find("anna", true).is_empty());
        bind(system.join("anna/owner.sock"));
        std::fs::create_dir_all(system.join("empty")).unwrap();
        assert_eq!(find("anna", false), [of("anna")]);
        assert_eq!(find("anna", true), [of("anna")], "once, however it is found");
        assert!(find("ben", false).is_empty() && find("../anna", false).is_empty());
        assert_eq!(find("root", true), [of("anna")]);
        bind(system.join("owner.sock"));
        bind(user.join("loopgate/owner.sock"));
        assert_eq!(find("anna", false), [USER_UNIT, &of("anna"), SYSTEM_UNIT]);
        assert_eq!(find("root", true), [USER_UNIT, SYSTEM_UNIT, &of("anna")]);
        bind(system.join("ben/owner.sock"));
        assert_eq!(find("root", true), [USER_UNIT, SYSTEM_UNIT], "root has to choose");
        std::fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn an_address_shows_itself() {
        let address = Address::from_url("ws://localhost:7/gate").unwrap();
        assert_eq!(address.to_string(), "ws://127.0.0.1:7/gate");
        assert_eq!(Target::at_port(7).address.to_string(), "ws://127.0.0.1:7");
    }
}
