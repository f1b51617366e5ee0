//! How a leg is let in: what it says of whom it is for, and what the runtime says to that.

use ed25519_dalek::SigningKey;
use serde::Deserialize;
use serde_json::json;

use super::ends::Over;
use super::leg::{Introduction, NodeSurface, Purpose, Stage};
use super::runtime::Hello;
use crate::clock::Now;
use crate::gateway::io::ConnId;
use crate::gateway::{Conn, Gateway, Member};
use crate::policy::scope::{Role, Scopes};
use crate::wire::Protocol;
use crate::wire::connect::Client;

/// What the runtime's `hello-ok` says, as far as it matters here.
#[derive(Deserialize)]
struct HelloOk {
    protocol: u32,
    #[serde(default)]
    server: Server,
    #[serde(default)]
    features: Features,
}

#[derive(Deserialize, Default)]
struct Server {
    #[serde(default)]
    version: String,
}

#[derive(Deserialize, Default)]
struct Features {
    #[serde(default)]
    methods: std::collections::BTreeSet<String>,
}

#[derive(Deserialize)]
struct Challenge {
    nonce: String,
}

/// An error as far as it matters here.
#[derive(Deserialize, Default)]
pub(super) struct Fault {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) retryable: bool,
    #[serde(default)]
    pub(super) details: Option<Details>,
}

/// Particulars of an error.
#[derive(Deserialize, Default)]
pub(super) struct Details {
    #[serde(default)]
    pub(super) reason: String,
}

impl Gateway {
    /// Answers the runtime's challenge with our `connect`.
    pub(super) fn introduce(&mut self, id: ConnId, purpose: Purpose, challenge: &str, now: Now) {
        let Ok(Challenge { nonce }) = serde_json::from_str(challenge) else {
            return self.leg_over(id, Over::Refused("its challenge has no nonce".to_owned()), now);
        };
        let introduction = match purpose {
            Purpose::Sentinel => Some((own_introduction(), self.setup.legs.operator())),
            Purpose::Member(member) => self.introduction_of(member),
        };
        let auth = &self.setup.openclaw.gateway.auth;
        let text = introduction.and_then(|(introduction, key)| introduction.connect(auth, &key, &nonce, now));
        match (text, self.conns.leg_mut(id)) {
            (Some(text), Some(leg)) => {
                leg.line.send(&[&text]);
                leg.stage = Stage::Connecting;
                self.settle_leg(id);
            }
            _ => self.leg_over(id, Over::Refused("the client's words cannot be signed".to_owned()), now),
        }
    }

    /// What the leg of a member says, and under which device.
    fn introduction_of(&self, id: ConnId) -> Option<(Introduction<'_>, SigningKey)> {
        let member = self.conns.get(id).and_then(Conn::member)?;
        let protocol = self.upstream.runtime.hello().map_or(Protocol::V3, |hello| hello.protocol);
        let node = self.nodes.of_conn(id).map(|node| NodeSurface {
            commands: &node.commands,
            permissions: json!(node.permissions),
            path_env: node.path_env.as_deref(),
        });
        let key = match (member.grant.role(), member.grant.device()) {
            (Role::Node, Some(device)) => self.setup.legs.node(device),
            _ => self.setup.legs.operator(),
        };
        let introduction = Introduction {
            client: client_upstream(&member.client, protocol),
            role: member.grant.role().name(),
            scopes: member.grant.scopes().names(Protocol::V4).map(str::to_owned).collect(),
            caps: caps_upstream(member, protocol),
            node,
        };
        Some((introduction, key))
    }

    /// The runtime's answer to our `connect`.
    pub(super) fn let_in_upstream(
        &mut self,
        id: ConnId,
        purpose: Purpose,
        answer: Result<&str, &str>,
        now: Now,
    ) {
        let hello = match answer.map(serde_json::from_str::<HelloOk>) {
            Ok(Ok(hello)) => hello,
            Ok(Err(_)) => {
                return self.leg_over(id, Over::Refused("its hello-ok cannot be read".to_owned()), now);
            }
            Err(error) => {
                let fault: Fault = serde_json::from_str(error).unwrap_or_default();
                let over = if fault.retryable && fault.code == "UNAVAILABLE" {
                    Over::Starting
                } else {
                    Over::Refused(fault.message)
                };
                return self.leg_over(id, over, now);
            }
        };
        let Some(protocol) = Protocol::from_number(hello.protocol) else {
            let why = format!("it speaks protocol {}, which this loopgate does not know", hello.protocol);
            return self.leg_over(id, Over::Refused(why), now);
        };
        if let Some(leg) = self.conns.leg_mut(id) {
            leg.stage = Stage::Open(protocol);
            leg.limit = None;
        }
        self.upstream.opening = self.upstream.opening.saturating_sub(1);
        match purpose {
            Purpose::Sentinel => {
                let hello =
                    Hello { protocol, version: hello.server.version, methods: hello.features.methods };
                self.runtime_ready(id, hello, now);
            }
            Purpose::Member(member) => self.leg_open(member, id, protocol),
        }
        self.settle_leg(id);
    }
}

/// What the sentinel says. Nodes that are approved here are approved there, which takes admin.
fn own_introduction<'a>() -> Introduction<'a> {
    Introduction {
        client: own_client(),
        role: Role::Operator.name(),
        scopes: Scopes::ADMIN.names(Protocol::V3).map(str::to_owned).collect(),
        caps: Vec::new(),
        node: None,
    }
}

/// loopgated itself as a client.
fn own_client() -> Client {
    Client {
        id: "gateway-client".to_owned(),
        mode: "backend".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: PLATFORM.to_owned(),
        display_name: Some("loopgate".to_owned()),
        device_family: None,
        model_identifier: None,
        instance_id: None,
    }
}

/// What the leg of a member says that it can show. Runtimes of protocol 4 ask those alone for approvals who say so, which
/// clients of protocol 3 have never heard of.
fn caps_upstream(member: &Member, runtime: Protocol) -> Vec<String> {
    let mut caps = member.caps.clone();
    let asked_before = member.protocol < Protocol::V4 && runtime >= Protocol::V4;
    if asked_before
        && member.grant.scopes().covers(Scopes::APPROVALS)
        && !caps.iter().any(|cap| cap == APPROVALS)
    {
        caps.push(APPROVALS.to_owned());
    }
    caps
}

/// A client as its leg names it to a runtime of `protocol`. The platform is that of our device: one that changes has to be
/// paired again. The older runtime takes the ids and modes of its own day alone.
fn client_upstream(client: &Client, protocol: Protocol) -> Client {
    let own = own_client();
    let knows = |names: &[&str], name: &str| protocol > Protocol::V3 || names.contains(&name);
    let id =
        if knows(IDS_V3, &client.id) && client.id != BROWSER_COPILOT { client.id.clone() } else { own.id };
    let mode = if knows(MODES_V3, &client.mode) { client.mode.clone() } else { own.mode };
    Client { id, mode, platform: own.platform, device_family: None, model_identifier: None, ..client.clone() }
}

/// Whether a client is a page, which the runtime takes from its own origin alone.
pub(super) fn claims_page(client: &Client) -> bool {
    matches!(client.id.as_str(), "openclaw-control-ui" | "webchat" | "webchat-ui") || client.mode == "webchat"
}

const APPROVALS: &str = "approvals";
const PLATFORM: &str = "linux";
/// Asks for more than a leg can show: an extension's origin.
const BROWSER_COPILOT: &str = "openclaw-browser-copilot";
/// The ids and modes that OpenClaw 2026.3.13 takes (protocol-versions.md 3).
const IDS_V3: &[&str] = &[
    "webchat-ui",
    "openclaw-control-ui",
    "webchat",
    "cli",
    "gateway-client",
    "openclaw-macos",
    "openclaw-ios",
    "openclaw-android",
    "node-host",
    "test",
    "fingerprint",
    "openclaw-probe",
];
const MODES_V3: &[&str] = &["webchat", "cli", "ui", "backend", "node", "probe", "test"];
