//! Who loopgated is to the runtime: a device of its own, whose key is derived from the one secret in the state folder, so
//! that it is the same after a restart and nothing more has to be kept.

use std::fmt;

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

/// What our device keys are derived from. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct LegSeed([u8; 32]);

impl LegSeed {
    /// Derives the seed from a secret of 32 random bytes that is used for other things besides.
    pub fn derive(secret: &[u8; 32]) -> Self {
        Self(hash(&[SEED, secret]))
    }

    /// The key under which operators' legs are opened.
    pub(in crate::gateway) fn operator(&self) -> SigningKey {
        SigningKey::from_bytes(&hash(&[OPERATOR, &self.0]))
    }

    /// The key under which the node `id` is shown to the runtime: it tells nodes apart by their devices.
    pub(super) fn node(&self, id: &str) -> SigningKey {
        SigningKey::from_bytes(&hash(&[NODE, &self.0, id.as_bytes()]))
    }
}

impl fmt::Debug for LegSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegSeed(..)")
    }
}

/// All parts but the last have a fixed length, so that no two lists give the same bytes.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into()
}

const SEED: &[u8] = b"loopgate legs, seed 1\0\0\0";
const OPERATOR: &[u8] = b"loopgate legs, operator\0";
const NODE: &[u8] = b"loopgate legs, node\0\0\0\0\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_has_a_key_of_its_own_and_keeps_it() {
        let seed = LegSeed::derive(&[7; 32]);
        let keys = [seed.operator(), seed.node("a"), seed.node("b"), LegSeed::derive(&[8; 32]).operator()];
        for (index, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(index + 1).all(|other| other != key), "{index}");
        }
        assert_eq!(LegSeed::derive(&[7; 32]).node("a"), seed.node("a"));
        assert_eq!(format!("{seed:?}"), "LegSeed(..)");
        assert!(SEED.len() == 24 && OPERATOR.len() == 24 && NODE.len() == 24);
    }
}
