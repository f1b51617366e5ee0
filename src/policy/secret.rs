//! Secrets and their digests. Rule: a secret is compared as a digest and in constant time, and only digests are kept.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a secret. In JSON it is 64 lower-case hex digits.
///
/// Device tokens have 256 random bits, so that their plain digest tells nothing; the digest of a shared secret, which a
/// person may have chosen, stays in memory.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `secret` without the white space around it, which OpenClaw ignores on both sides.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.trim().as_bytes()).into())
    }

    /// Whether `offered` is the secret. Takes the same time whatever is offered of the same length.
    pub fn matches(&self, offered: &str) -> bool {
        *self == Self::of(offered)
    }

    /// 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Reads what [`Digest::hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    /// Never the digest: that of a short password could be searched for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("expected 64 lower-case hex digits"))
    }
}

/// An offered secret, if there is one: OpenClaw takes an empty one for none.
pub(super) fn offered(secret: Option<&String>) -> Option<&str> {
    secret.map(|text| text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_and_nothing_near_it() {
        let digest = Digest::of("tok-made-up-0001");
        assert!(digest.matches("tok-made-up-0001") && digest.matches("  tok-made-up-0001\n"));
        for other in ["", "tok-made-up-0002", "tok-made-up-000", "tok-made-up-00011", "TOK-made-up-0001"] {
            assert!(!digest.matches(other), "{other}");
        }
    }

    #[test]
    fn a_digest_is_hex_in_json_and_hidden_in_debug() {
        let digest = Digest::of("abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{hex}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{hex}\"")).unwrap(), digest);
        assert_eq!(format!("{digest:?}"), "Digest(..)");
        for bad in ["", "ba78", &hex.to_uppercase(), &hex.replace('b', "g")] {
            assert!(Digest::from_hex(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_empty_secret_is_none() {
        for (secret, want) in [(None, None), (Some(""), None), (Some(" \t"), None), (Some(" a "), Some("a"))]
        {
            assert_eq!(offered(secret.map(str::to_owned).as_ref()), want);
        }
    }
}
