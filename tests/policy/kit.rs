//! Clients, devices and facts for the tests.

use ed25519_dalek::{Signer, SigningKey};
use loopgate::policy::admit::{Verdict, admit};
use loopgate::policy::credential::Credential;
use loopgate::policy::device::{self, ProvenDevice};
use loopgate::policy::facts::{Door, Facts, Pairing, PeerClass};
use loopgate::policy::origin::{HostClass, OriginClass};
use loopgate::policy::scope::{AuthMethod, Scopes};
use loopgate::policy::secret::Digest;
use loopgate::policy::surroundings::Surroundings;
use loopgate::wire::Protocol;
use loopgate::wire::connect::Connect;
use serde_json::{Value, json};
use sha2::Digest as _;

/// The nonce of every connection here.
pub(crate) const NONCE: &str = "3ceaefd6-d414-43af-812e-cd04d325eebd";
/// The time of every connection here.
pub(crate) const UNIX_MS: u64 = 1_700_000_000_000;
/// Made up.
pub(crate) const TOKEN: &str = "tok-made-up-0001";
/// The port of the listener.
pub(crate) const PORT: u16 = 18_789;

/// `connect` of a command line, with `changes` on top.
pub(crate) fn params(changes: &Value) -> Value {
    let mut params = json!({
        "minProtocol": 3, "maxProtocol": 4, "role": "operator", "scopes": ["operator.read"],
        "client": {"id": "cli", "mode": "cli", "version": "1.2.3", "platform": "linux"},
    });
    merge(&mut params, changes);
    params
}

/// `changes` merged into `target`, objects key by key.
pub(crate) fn merge(target: &mut Value, changes: &Value) {
    match (target, changes) {
        (Value::Object(target), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(target.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (target, changes) => *target = changes.clone(),
    }
}

pub(crate) fn connect(changes: &Value) -> Connect {
    Connect::parse(&params(changes)).unwrap()
}

/// `params` with a device proof of the key made of `seed`, signed as version 2 or 3.
pub(crate) fn signed(params: &Value, version: u8, seed: u8) -> Value {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let raw = key.verifying_key().to_bytes();
    let id = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(raw));
    let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let scopes: Vec<_> = params["scopes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let secret = ["token", "deviceToken", "bootstrapToken"]
        .iter()
        .find_map(|name| params.pointer(&format!("/auth/{name}")).and_then(Value::as_str));
    let mut message = format!(
        "v{version}|{id}|{}|{}|{}|{}|{UNIX_MS}|{}|{NONCE}",
        text("/client/id"),
        text("/client/mode"),
        text("/role"),
        scopes.join(","),
        secret.unwrap_or_default(),
    );
    if version == 3 {
        let folded = |pointer| text(pointer).trim().to_ascii_lowercase();
        message = format!("{message}|{}|{}", folded("/client/platform"), folded("/client/deviceFamily"));
    }
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let mut signed = params.clone();
    signed["device"] = json!({
        "id": id, "publicKey": encode(&raw), "nonce": NONCE, "signedAt": UNIX_MS,
        "signature": encode(&key.sign(message.as_bytes()).to_bytes()),
    });
    signed
}

/// A device whose proof was checked.
pub(crate) fn proven(seed: u8) -> ProvenDevice {
    let connect = Connect::parse(&signed(&params(&json!({})), 3, seed)).unwrap();
    device::verify(&connect, NONCE, UNIX_MS).unwrap().unwrap()
}

pub(crate) fn shared() -> Credential {
    Credential::Shared { method: AuthMethod::Token, digest: Digest::of(TOKEN) }
}

/// What a local program's request looks like.
pub(crate) fn direct() -> Surroundings {
    Surroundings { host: HostClass::Loopback, origin: OriginClass::Absent, forwarded: None }
}

/// What a request of our own page looks like.
pub(crate) fn own_page() -> Surroundings {
    Surroundings { origin: OriginClass::Own, ..direct() }
}

/// A case in owned parts, so that a test can change one of them.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) door: Door,
    pub(crate) peer: PeerClass,
    pub(crate) surroundings: Surroundings,
    pub(crate) connect: Connect,
    pub(crate) protocol: Protocol,
    pub(crate) device: Option<Result<ProvenDevice, device::Fault>>,
    pub(crate) credential: Credential,
    pub(crate) pairing: Pairing<'static>,
    pub(crate) ceiling: Scopes,
    pub(crate) locked: Option<std::time::Duration>,
}

impl Scene {
    /// The owner's command line on TCP with the shared secret and without a device.
    pub(crate) fn local(changes: &Value) -> Self {
        Self {
            door: Door::Tcp,
            peer: PeerClass::Owner,
            surroundings: direct(),
            connect: connect(changes),
            protocol: Protocol::V3,
            device: None,
            credential: shared(),
            pairing: Pairing::Unknown,
            ceiling: Scopes::ADMIN,
            locked: None,
        }
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            door: self.door,
            peer: self.peer,
            surroundings: &self.surroundings,
            connect: &self.connect,
            protocol: self.protocol,
            device: self.device.as_ref().map(|proof| proof.as_ref().map_err(|fault| *fault)),
            credential: &self.credential,
            pairing: self.pairing,
            ceiling: self.ceiling,
            locked: self.locked,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        admit(&self.facts())
    }

    pub(crate) fn rule(&self) -> &'static str {
        self.verdict().rule()
    }
}
