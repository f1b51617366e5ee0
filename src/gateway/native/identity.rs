//! `gateway.identity.get`: the device identity of this installation, which OpenClaw's own programs share.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

use crate::gateway::io::FileError;
use crate::gateway::job::Query;
use crate::limits;
use crate::policy::device;
use crate::wire::error::ErrorShape;
use crate::wire::frame;

/// `gateway.identity.get`: `{deviceId, publicKey}` from `identity/device.json` in the state folder, else our own. The private key in
/// that file is not looked at.
pub(in crate::gateway) fn identity(query: &Query<'_>) -> Result<String, ErrorShape> {
    let path = query.setup.openclaw.state_dir.join("identity").join("device.json");
    let bytes = match query.files.read(&path, limits::CONFIG_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(FileError::Missing) => return Ok(own(query)),
        Err(error) => {
            return Err(ErrorShape::unavailable(format!("cannot read {}: {error}", path.display())));
        }
    };
    let file: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let device = file.get("deviceId").and_then(Value::as_str);
    let key = file.get("publicKeyPem").and_then(Value::as_str).and_then(raw_key);
    match (device, key) {
        (Some(device), Some(key)) => Ok(frame::to_json(&json!({"deviceId": device, "publicKey": key}))),
        _ => Err(ErrorShape::unavailable(format!("{} is not a device identity", path.display()))),
    }
}

/// The device that loopgated is to a runtime: where OpenClaw has none yet, it is the gateway's only one.
fn own(query: &Query<'_>) -> String {
    let key = query.setup.legs.operator();
    let public = BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
    frame::to_json(&json!({"deviceId": device::id_of(&key).as_str(), "publicKey": public}))
}

/// The raw Ed25519 key of a PEM: the last 32 bytes of its SubjectPublicKeyInfo (protocol.md 4.1), in base64url.
fn raw_key(pem: &str) -> Option<String> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).flat_map(str::chars).collect();
    let spki = BASE64.decode(body.trim().as_bytes()).ok().filter(|spki| spki.len() == SPKI_BYTES)?;
    spki.get(SPKI_BYTES - 32..).map(|key| BASE64URL_NOPAD.encode(key))
}

/// Header and key of an Ed25519 SubjectPublicKeyInfo.
const SPKI_BYTES: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_key_is_taken_out_of_the_pem() {
        let key = [7u8; 32];
        let spki =
            [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &key].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&spki));
        assert_eq!(raw_key(&pem), Some(BASE64URL_NOPAD.encode(&key)));
        assert_eq!(raw_key("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), None);
    }
}
