//! What the headers `Host` and `Origin` are worth.
//!
//! Rule: a host is an address that parses, or the one name `localhost`; whatever only looks like one is foreign. No
//! name is ever looked up, so that no answer of a name server can make a page local (DNS rebinding).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the `Host` header names. A stored format: a hand-over carries the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostClass {
    /// No such header: HTTP/1.0, or a client that writes none.
    Absent,
    /// This machine, under the listener's own port.
    Loopback,
    /// Anything else: other machines, other ports, several headers, look-alikes.
    Foreign,
}

/// What the `Origin` header names. A stored format: a hand-over carries the names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginClass {
    /// No such header: not a page in a browser, for every browser sends one.
    Absent,
    /// A page that this very listener has served.
    Own,
    /// A page of an origin that the settings name, as they name it.
    Allowed(Origin),
    /// Any other page, `null`, several headers, what cannot be read.
    Foreign,
}

/// An origin in its one spelling: lower case, no port where it is the scheme's own. In JSON it is that text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// A host that is this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loopback {
    Name,
    Address(IpAddr),
}

impl HostClass {
    /// Classes the `Host` headers of a request (all of them) that came to `port`; `None` where the listener has none.
    pub fn of<'a>(headers: impl IntoIterator<Item = &'a [u8]>, port: Option<u16>) -> Self {
        match single(headers) {
            Ok(None) => Self::Absent,
            Ok(Some(text)) if local_authority(text, port).is_some() => Self::Loopback,
            Ok(Some(_)) | Err(Several) => Self::Foreign,
        }
    }
}

impl OriginClass {
    /// Classes the `Origin` headers of a request whose `Host` headers are `hosts`.
    ///
    /// A page is our own if it comes from the address to which it now talks, under the same port. Another address of
    /// 127.0.0.0/8 does not count: another user's program may listen there.
    pub fn of<'a>(
        origins: impl IntoIterator<Item = &'a [u8]>,
        hosts: impl IntoIterator<Item = &'a [u8]>,
        port: Option<u16>,
        allowed: &[Origin],
    ) -> Self {
        let origin = match single(origins) {
            Ok(None) => return Self::Absent,
            Ok(Some(text)) => match text.parse::<Origin>() {
                Ok(origin) => origin,
                Err(NotAnOrigin) => return Self::Foreign,
            },
            Err(Several) => return Self::Foreign,
        };
        if allowed.contains(&origin) {
            return Self::Allowed(origin);
        }
        let host = single(hosts).ok().flatten().and_then(|text| local_authority(text, port));
        match origin.loopback() {
            Some(page)
                if port.is_some() && origin.port() == port && (page.is_usual() || host == Some(page)) =>
            {
                Self::Own
            }
            _ => Self::Foreign,
        }
    }
}

impl Origin {
    /// The port, the scheme's own if none is written.
    pub fn port(&self) -> Option<u16> {
        self.port.or_else(|| default_port(&self.scheme))
    }

    /// The host, if this is an http page of this machine.
    fn loopback(&self) -> Option<Loopback> {
        matches!(&*self.scheme, "http" | "https").then(|| Loopback::parse(&self.host))?
    }
}

/// Not `scheme://host` or `scheme://host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnOrigin;

impl fmt::Display for NotAnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an origin, write scheme://host or scheme://host:port")
    }
}

impl std::error::Error for NotAnOrigin {}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(NotAnOrigin)?;
        let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let (host, port) = split_port(authority).ok_or(NotAnOrigin)?;
        let plain = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => host.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)),
        };
        if !named || !plain || host.is_empty() {
            return Err(NotAnOrigin);
        }
        let scheme = scheme.to_ascii_lowercase();
        let port = port.filter(|port| default_port(&scheme) != Some(*port));
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port })
    }
}

impl TryFrom<String> for Origin {
    type Error = NotAnOrigin;

    fn try_from(text: String) -> Result<Self, NotAnOrigin> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Loopback {
    /// `host` as the authority of a URL has it: an IPv6 address stands in brackets.
    ///
    /// The name is `localhost` and nothing else. `localhost.` with a dot at the end is left out: resolvers that find
    /// `localhost` in /etc/hosts ask a name server for the other one, and its answer is whatever somebody makes it.
    /// The standard parsers take neither decimal, octal, hex nor short forms, and no zone.
    fn parse(host: &str) -> Option<Self> {
        if host.eq_ignore_ascii_case("localhost") {
            return Some(Self::Name);
        }
        let address = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => IpAddr::from(inner.parse::<Ipv6Addr>().ok()?).to_canonical(),
            None => IpAddr::from(host.parse::<Ipv4Addr>().ok()?),
        };
        address.is_loopback().then_some(Self::Address(address))
    }

    /// One of the names under which everybody opens the gateway's page.
    fn is_usual(self) -> bool {
        match self {
            Self::Name => true,
            Self::Address(address) => address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST,
        }
    }
}

struct Several;

/// The value of a header that may come once, without the white space around it. What is not ASCII is given as an
/// empty text, which is neither a host nor an origin.
fn single<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Several> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii()).unwrap_or_default();
            Ok(Some(text.trim_matches([' ', '\t'])))
        }
        (Some(_), Some(_)) => Err(Several),
    }
}

/// `host` or `host:port`, where the host is this machine and the port, if both sides name one, is the listener's.
fn local_authority(text: &str, port: Option<u16>) -> Option<Loopback> {
    let (host, named) = split_port(text)?;
    let same_port = match (named, port) {
        (Some(named), Some(port)) => named == port,
        (None, _) | (_, None) => true,
    };
    same_port.then(|| Loopback::parse(host))?
}

/// Splits off `:port`. `None` if there is a colon but no port behind it, or a sign, a blank or too large a number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let behind = match authority.rfind(']') {
        Some(bracket) => authority.get(bracket..)?,
        None => authority,
    };
    if !behind.contains(':') {
        return Some((authority, None));
    }
    let (host, port) = authority.rsplit_once(':')?;
    let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| port.parse().ok()).flatten().map(|port| (host, Some(port)))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
