//! How a request came: what its head says about the browser page and the proxies behind it.
//!
//! Rule: headers only ever take something away. Whatever they claim, none of them makes a peer more local, or anybody
//! in particular.

use serde::{Deserialize, Serialize};

use super::origin::{HostClass, Origin, OriginClass};
use super::rules::{self, Rule};
use crate::wire::refusal::Refusal;

/// The verdict on the head of one request. Made once, at the upgrade, and kept for the admission, over a restart too:
/// a field that is added needs a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// What the `Host` header names.
    pub host: HostClass,
    /// What the `Origin` header names.
    pub origin: OriginClass,
    /// The first header that shows that a proxy stands between, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<String>,
}

/// One row of [`FORWARDING`].
#[derive(Debug, Clone, Copy)]
pub struct ForwardingRow {
    /// The header in lower case; with a `*` at the end, every header that begins so.
    pub name: &'static str,
    /// Who sends it.
    pub sender: &'static str,
}

impl Surroundings {
    /// Reads the headers of a request that came to `port` (`None` where the listener has none). `allowed` are the
    /// origins that the settings name.
    pub fn read<'a, I>(headers: I, port: Option<u16>, allowed: &[Origin]) -> Self
    where
        I: IntoIterator<Item = (&'a str, &'a [u8])>,
        I::IntoIter: Clone,
    {
        let headers = headers.into_iter();
        let values = |name: &'static str| {
            headers
                .clone()
                .filter(move |(key, _)| key.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        Self {
            host: HostClass::of(values("host"), port),
            origin: OriginClass::of(values("origin"), values("host"), port, allowed),
            forwarded: headers.clone().map(|(name, _)| folded(name)).find(|name| shows_proxy(name)),
        }
    }

    /// The same under the settings of another day: a page of an origin that `allowed` does not name any more is
    /// foreign. Nothing else in a verdict depends on the settings but the port, which is that of the listener.
    pub fn today(self, allowed: &[Origin]) -> Self {
        match self.origin {
            OriginClass::Allowed(ref origin) if !allowed.contains(origin) => {
                Self { origin: OriginClass::Foreign, ..self }
            }
            _ => self,
        }
    }

    /// Whether the request came straight from a program of this machine that is not a page in a browser, as far as
    /// its head can tell. Whose program it is, the kernel has to say.
    pub fn direct(&self) -> bool {
        self.host != HostClass::Foreign && self.origin == OriginClass::Absent && self.forwarded.is_none()
    }
}

/// Whether a request may become a WebSocket. A foreign page gets 403 before it sees a challenge.
pub fn may_upgrade(surroundings: &Surroundings) -> Result<(), Refusal> {
    let refuse = |rule: &Rule, reason: &'static str| Err(Refusal::new(rule.name, reason, rule.remedy));
    if surroundings.host == HostClass::Foreign {
        return refuse(&rules::HOST_FOREIGN, "host not allowed: the Host header does not name this gateway");
    }
    if surroundings.origin == OriginClass::Foreign {
        return refuse(&rules::ORIGIN_FOREIGN, "origin not allowed: this page may not use the gateway");
    }
    Ok(())
}

/// A header name in the one spelling that is compared: lower case, and `_` for `-`, as CGI-like proxies change it.
fn folded(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

fn shows_proxy(name: &str) -> bool {
    FORWARDING.iter().any(|row| match row.name.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == row.name,
    })
}

/// The headers that show a proxy, whatever they say, even nothing. No OpenClaw client and no browser sends one.
pub const FORWARDING: &[ForwardingRow] = &[
    ForwardingRow { name: "cdn-loop", sender: "content networks, against loops" },
    ForwardingRow { name: "cf-*", sender: "Cloudflare, its tunnel and its Access" },
    ForwardingRow { name: "client-ip", sender: "older proxies" },
    ForwardingRow { name: "fastly-client-ip", sender: "Fastly" },
    ForwardingRow { name: "fly-client-ip", sender: "Fly.io" },
    ForwardingRow { name: "forwarded", sender: "proxies after RFC 7239" },
    ForwardingRow { name: "forwarded-for", sender: "older proxies" },
    ForwardingRow { name: "ngrok-*", sender: "ngrok" },
    ForwardingRow { name: "proxy-*", sender: "clients that talk to a proxy" },
    ForwardingRow { name: "remote-user", sender: "proxies that authenticate" },
    ForwardingRow { name: "tailscale-*", sender: "Tailscale Serve and Funnel" },
    ForwardingRow { name: "true-client-ip", sender: "Akamai, Cloudflare" },
    ForwardingRow { name: "via", sender: "every proxy after RFC 9110" },
    ForwardingRow { name: "x-appengine-*", sender: "App Engine" },
    ForwardingRow { name: "x-auth-request-*", sender: "proxies that authenticate" },
    ForwardingRow { name: "x-azure-*", sender: "Azure Front Door" },
    ForwardingRow { name: "x-client-ip", sender: "older proxies" },
    ForwardingRow { name: "x-cluster-client-ip", sender: "load balancers" },
    ForwardingRow { name: "x-envoy-*", sender: "Envoy" },
    ForwardingRow { name: "x-forwarded*", sender: "nearly every proxy" },
    ForwardingRow { name: "x-goog-*", sender: "Google's identity-aware proxy" },
    ForwardingRow { name: "x-original-*", sender: "proxies that rewrite" },
    ForwardingRow { name: "x-proxyuser-ip", sender: "proxies that authenticate" },
    ForwardingRow { name: "x-real-*", sender: "nginx" },
    ForwardingRow { name: "x-remote-*", sender: "proxies that authenticate" },
];
