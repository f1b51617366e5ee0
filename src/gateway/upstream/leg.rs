//! One leg: a connection to the runtime, from dialling to its end, and how it introduces itself.

use std::time::Instant;

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::config::gateway::{Auth, AuthMode};
use crate::gateway::io::ConnId;
use crate::policy::device;
use crate::session::Line;
use crate::wire::Protocol;
use crate::wire::connect::{Client, Connect, DeviceProof, Secrets};
use crate::wire::frame;

/// A connection to the runtime.
#[derive(Debug)]
pub(in crate::gateway) struct Leg {
    pub(in crate::gateway) purpose: Purpose,
    pub(in crate::gateway) line: Line,
    pub(in crate::gateway) stage: Stage,
    /// What stands in the gateway's table of deadlines.
    pub(in crate::gateway) due: Option<Instant>,
    /// When the stage ends at the latest.
    pub(in crate::gateway) limit: Option<Instant>,
    /// Whether the shell knows that there is something to write.
    pub(in crate::gateway) flushing: bool,
    /// The last number that a call on it had in a former process.
    pub(in crate::gateway) last: u64,
}

/// Whom a leg is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Purpose {
    /// The gateway itself: it tells whether the runtime is there.
    Sentinel,
    /// A member.
    Member(ConnId),
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Stage {
    /// Not connected, or not accepted, or its owner is not known yet.
    Dialling,
    /// Our `connect` is due when the challenge comes.
    Asking,
    /// Our `connect` is out.
    Connecting,
    /// Calls can be sent.
    Open(Protocol),
    /// Our last word is said.
    Closing,
}

/// What a leg says of whom it is for.
#[derive(Debug)]
pub(in crate::gateway) struct Introduction<'a> {
    pub(in crate::gateway) client: Client,
    pub(in crate::gateway) role: &'static str,
    pub(in crate::gateway) scopes: Vec<String>,
    pub(in crate::gateway) caps: Vec<String>,
    /// Of a node: what it can do.
    pub(in crate::gateway) node: Option<NodeSurface<'a>>,
}

/// What a node offers.
#[derive(Debug)]
pub(in crate::gateway) struct NodeSurface<'a> {
    pub(in crate::gateway) commands: &'a std::collections::BTreeSet<String>,
    pub(in crate::gateway) permissions: Value,
    pub(in crate::gateway) path_env: Option<&'a str>,
}

impl Leg {
    /// Whether the runtime has not let it in yet.
    pub(in crate::gateway) fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Dialling | Stage::Asking | Stage::Connecting)
    }

    /// A leg that is being dialled, until `limit`.
    pub(in crate::gateway) fn new(purpose: Purpose, limit: Instant) -> Self {
        Self {
            purpose,
            line: Line::new(),
            stage: Stage::Dialling,
            due: None,
            limit: Some(limit),
            flushing: false,
            last: 0,
        }
    }
}

impl Introduction<'_> {
    /// The `connect` request under the id [`CONNECT`], signed with `key` over the challenge's `nonce`. `None`: the client's
    /// words cannot be signed.
    pub(in crate::gateway) fn connect(
        self,
        auth: &Auth,
        key: &SigningKey,
        nonce: &str,
        now: Now,
    ) -> Option<String> {
        let connect = Connect {
            min_protocol: Protocol::V3.number(),
            max_protocol: Protocol::V4.number(),
            client: self.client,
            caps: self.caps,
            commands: Vec::new(),
            permissions: std::collections::BTreeMap::new(),
            path_env: None,
            role: self.role.to_owned(),
            scopes: self.scopes,
            device: None,
            auth: secrets(auth),
            locale: None,
            user_agent: None,
        };
        let device = device::sign(key, &connect, nonce, now.unix_ms)?;
        let mut params = params(&connect, &device);
        if let Some(NodeSurface { commands, permissions, path_env }) = self.node {
            params.insert("commands".to_owned(), json!(commands));
            params.insert("permissions".to_owned(), permissions);
            params.extend(path_env.map(|path| ("pathEnv".to_owned(), json!(path))));
        }
        let request = json!({"type": "req", "id": CONNECT, "method": "connect", "params": params});
        Some(frame::to_json(&request))
    }
}

/// The runtime's secret is the one of OpenClaw's own configuration, which both read.
fn secrets(auth: &Auth) -> Secrets {
    let text = |secret: &crate::config::Resolved<crate::config::Secret>| {
        secret.set().map(|set| set.reveal().to_owned())
    };
    match auth.mode {
        AuthMode::None => Secrets::default(),
        AuthMode::Token => Secrets { token: text(&auth.token), ..Secrets::default() },
        AuthMode::Password => Secrets { password: text(&auth.password), ..Secrets::default() },
    }
}

/// Only keys that both protocols know: the older one refuses others.
fn params(connect: &Connect, device: &DeviceProof) -> Map<String, Value> {
    let Client { id, mode, version, platform, display_name, instance_id, .. } = &connect.client;
    let mut client = json!({"id": id, "mode": mode, "version": version, "platform": platform});
    let mut auth = Map::new();
    let mut put = |key: &str, value: &Option<String>| {
        auth.extend(value.as_ref().map(|value| (key.to_owned(), json!(value))));
    };
    put("token", &connect.auth.token);
    put("password", &connect.auth.password);
    if let Some(client) = client.as_object_mut() {
        client.extend(display_name.as_ref().map(|name| ("displayName".to_owned(), json!(name))));
        client.extend(instance_id.as_ref().map(|id| ("instanceId".to_owned(), json!(id))));
    }
    let DeviceProof { id, public_key, signature, nonce, signed_at } = device;
    let params = json!({
        "minProtocol": connect.min_protocol,
        "maxProtocol": connect.max_protocol,
        "client": client,
        "role": connect.role,
        "scopes": connect.scopes,
        "caps": connect.caps,
        "device": {
            "id": id, "publicKey": public_key, "signature": signature, "nonce": nonce, "signedAt": signed_at,
        },
    });
    let Value::Object(mut params) = params else { return Map::new() };
    if !auth.is_empty() {
        params.insert("auth".to_owned(), Value::Object(auth));
    }
    params
}

/// The id of our `connect`; calls have numbers.
pub(in crate::gateway) const CONNECT: &str = "connect";

#[cfg(test)]
mod tests {
    use super::super::identity::LegSeed;
    use super::*;
    use crate::config::{Resolved, Secret};

    #[test]
    fn what_a_leg_says_is_what_a_gateway_takes() {
        let auth = Auth {
            mode: AuthMode::Token,
            token: Secret::new("tok-fake-test-gateway-0001").map_or(Resolved::Missing, Resolved::Set),
            password: Resolved::Missing,
            rate_limit: None,
        };
        let client = Client {
            id: "cli".to_owned(),
            mode: "cli".to_owned(),
            version: "2026.3.13".to_owned(),
            platform: "linux".to_owned(),
            display_name: Some("one".to_owned()),
            device_family: None,
            model_identifier: None,
            instance_id: None,
        };
        let introduction = Introduction {
            client,
            role: "operator",
            scopes: vec!["operator.read".to_owned()],
            caps: vec!["tool-events".to_owned()],
            node: None,
        };
        let now = Now { mono: Instant::now(), unix_ms: 1_700_000_000_000 };
        let key = LegSeed::derive(&[7; 32]).operator();
        let text = introduction.connect(&auth, &key, "nonce", now).unwrap();
        let request: Value = serde_json::from_str(&text).unwrap();
        let connect = Connect::parse(&request["params"]).unwrap();
        assert_eq!(connect.auth.token.as_deref(), Some("tok-fake-test-gateway-0001"));
        assert_eq!((connect.min_protocol, connect.max_protocol), (3, 4));
        let proven = device::verify(&connect, "nonce", now.unix_ms);
        assert!(matches!(proven, Some(Ok(_))), "{proven:?}");
        assert!(matches!(device::verify(&connect, "other", now.unix_ms), Some(Err(_))));
    }
}
