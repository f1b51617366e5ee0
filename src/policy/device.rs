//! The device proof: an Ed25519 signature over what `connect` says and over this connection's nonce.
//!
//! Facts of protocol.md 4, for both protocols. Rule: a [`ProvenDevice`] exists only after every check.

use std::fmt;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::limits;
use crate::wire::connect::{Client, Connect, DeviceProof};

/// SHA-256 of the raw public key: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(String);

/// A device whose key signed this very `connect`. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenDevice {
    id: DeviceId,
    public_key: String,
}

/// Why a proof does not hold, in the order in which it is checked (protocol.md 4.3 and 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The id is not that of the key, or there is no key to be read.
    Id,
    /// Signed too long ago, or in the future; see [`limits::DEVICE_SKEW_MS`].
    Skew,
    /// The nonce is nothing but white space.
    NonceMissing,
    /// Not the nonce of this connection: replayed, or meant for another.
    Nonce,
    /// The signature is not one of this key over what was sent.
    Signature,
    /// The key is not a point of the curve.
    Key,
}

impl Fault {
    /// Every fault, in the order of the checks.
    pub const ALL: [Self; 6] =
        [Self::Id, Self::Skew, Self::NonceMissing, Self::Nonce, Self::Signature, Self::Key];
}

impl DeviceId {
    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(key: &[u8; 32]) -> Self {
        Self(HEXLOWER.encode(&Sha256::digest(key)))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ProvenDevice {
    /// The id.
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// The raw key in base64url without padding: the form in which the pairing store keeps it.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }
}

/// Checks the proof in `connect`, if there is one, against this connection's `nonce` at `unix_ms`.
///
/// The caller makes sure that a nonce is good for one connection and for one try.
pub fn verify(connect: &Connect, nonce: &str, unix_ms: u64) -> Option<Result<ProvenDevice, Fault>> {
    connect.device.as_ref().map(|proof| prove(proof, connect, nonce, unix_ms))
}

/// The id of the device whose key this is.
pub fn id_of(key: &SigningKey) -> DeviceId {
    DeviceId::of(&key.verifying_key().to_bytes())
}

/// The proof that a connection of our own brings: `key` signs what `connect` says and the other side's `nonce`, in version 3
/// of the text. `None` if `connect` holds a separator where nobody could tell it from one.
pub fn sign(key: &SigningKey, connect: &Connect, nonce: &str, unix_ms: u64) -> Option<DeviceProof> {
    let public = key.verifying_key().to_bytes();
    let id = DeviceId::of(&public);
    let mut proof = DeviceProof {
        id: id.as_str().to_owned(),
        public_key: BASE64URL_NOPAD.encode(&public),
        signature: String::new(),
        nonce: nonce.to_owned(),
        signed_at: unix_ms,
    };
    let text = extended(&signed_text(&id, &proof, connect, nonce)?, &connect.client);
    proof.signature = BASE64URL_NOPAD.encode(&key.sign(text.as_bytes()).to_bytes());
    Some(proof)
}

/// Whether a client still says the same of its platform and family as was stored, as far as something was stored.
/// Spelling in another case, or with white space around it, is the same (protocol.md 5.3).
pub fn same_metadata(platform: Option<&str>, family: Option<&str>, client: &Client) -> bool {
    let same =
        |stored: Option<&str>, claimed: &str| stored.is_none_or(|stored| folded(stored) == folded(claimed));
    same(platform, &client.platform) && same(family, client.device_family.as_deref().unwrap_or_default())
}

fn prove(proof: &DeviceProof, connect: &Connect, nonce: &str, unix_ms: u64) -> Result<ProvenDevice, Fault> {
    let key = raw_key(&proof.public_key).ok_or(Fault::Id)?;
    let id = DeviceId::of(&key);
    if id.as_str() != proof.id {
        return Err(Fault::Id);
    }
    if proof.signed_at.abs_diff(unix_ms) > limits::DEVICE_SKEW_MS {
        return Err(Fault::Skew);
    }
    match proof.nonce.trim() {
        "" => return Err(Fault::NonceMissing),
        offered if offered != nonce => return Err(Fault::Nonce),
        _ => {}
    }
    let signature = lenient_base64(&proof.signature)
        .and_then(|bytes| Signature::from_slice(&bytes).ok())
        .ok_or(Fault::Signature)?;
    let point = VerifyingKey::from_bytes(&key).map_err(|_| Fault::Key)?;
    let signed = |text: &str| point.verify_strict(text.as_bytes(), &signature).is_ok();
    let v2 = signed_text(&id, proof, connect, nonce).ok_or(Fault::Signature)?;
    if signed(&extended(&v2, &connect.client)) || signed(&v2) {
        return Ok(ProvenDevice { id, public_key: BASE64URL_NOPAD.encode(&key) });
    }
    Err(Fault::Signature)
}

/// The text that a version 2 signature covers (protocol.md 4.2). Nothing in it is escaped, so a field that holds a
/// separator could be read in two ways; such a `connect` has no text at all. The secret may hold one: what stands
/// before it cannot, and the nonce ends it.
fn signed_text(id: &DeviceId, proof: &DeviceProof, connect: &Connect, nonce: &str) -> Option<String> {
    let client = &connect.client;
    let family = client.device_family.as_deref().unwrap_or_default();
    let fields = [&*client.id, &*client.mode, &*connect.role, &*client.platform, family];
    let ambiguous = fields.iter().any(|field| field.contains('|'))
        || connect.scopes.iter().any(|scope| scope.contains(['|', ',']));
    (!ambiguous).then(|| {
        format!(
            "v2|{id}|{}|{}|{}|{}|{}|{}|{nonce}",
            client.id,
            client.mode,
            connect.role,
            connect.scopes.join(","),
            proof.signed_at,
            connect.auth.signed(),
        )
    })
}

/// The text of a version 3 signature: the other one with its number changed, and two more fields.
fn extended(v2: &str, client: &Client) -> String {
    let rest = v2.strip_prefix("v2").unwrap_or(v2);
    let family = client.device_family.as_deref().unwrap_or_default();
    format!("v3{rest}|{}|{}", folded(&client.platform), folded(family))
}

fn folded(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// The raw key out of base64url, or out of PEM (recognised by `BEGIN`, as OpenClaw does it).
fn raw_key(text: &str) -> Option<[u8; 32]> {
    if !text.contains("BEGIN") {
        return lenient_base64(text.trim())?.try_into().ok();
    }
    let body: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = lenient_base64(&body)?;
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// base64 of either alphabet, padded or not: OpenClaw reads all of them.
fn lenient_base64(text: &str) -> Option<Vec<u8>> {
    let standard: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    BASE64_NOPAD.decode(standard.as_bytes()).ok()
}

/// What stands before an Ed25519 key in DER (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
