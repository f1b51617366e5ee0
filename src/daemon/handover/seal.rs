//! The key under which records of the hand-over are sealed. The memory file that holds them lies in the service manager
//! and tells nothing without the key; the key lies in the state folder and tells nothing without the file.
//!
//! Rule: what was not sealed with this key for this very place is not believed.

use std::fmt;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{Key as RawKey, KeyInit, Tag, XChaCha20Poly1305, XNonce};

/// The length of the key in bytes.
pub(in crate::daemon) const KEY_BYTES: usize = 32;
/// What sealing adds to a record, in bytes.
pub(super) const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// Seals and opens records. XChaCha20-Poly1305: its nonces are long enough to be drawn at random, for as many records as
/// a daemon can write.
pub(super) struct Key(XChaCha20Poly1305);

impl Key {
    /// The cipher with this key.
    pub(super) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(RawKey::from_slice(bytes)))
    }

    /// Appends `plain`, sealed for `place`, to `out`: nonce, text, tag. `None`: the kernel gives no random bytes, or the
    /// record is beyond any length.
    pub(super) fn seal(&self, place: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let text = out.get_mut(start..)?;
        let tag = self.0.encrypt_in_place_detached(XNonce::from_slice(&nonce), place, text).ok()?;
        out.extend_from_slice(&tag);
        Some(())
    }

    /// What was sealed for `place`; `None` if it was not, or if a bit of it has changed.
    pub(super) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        let mut plain = text.to_vec();
        let opened = self.0.decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            place,
            &mut plain,
            Tag::from_slice(tag),
        );
        opened.ok().map(|()| plain)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_in_its_place_only() {
        let key = Key::new(&[7; KEY_BYTES]);
        let mut sealed = Vec::new();
        key.seal(b"slot 1", b"made-up-token", &mut sealed).unwrap();
        assert_eq!(sealed.len(), b"made-up-token".len() + OVERHEAD_BYTES);
        assert!(!sealed.windows(7).any(|window| window == b"made-up"));
        assert_eq!(key.open(b"slot 1", &sealed).as_deref(), Some(&b"made-up-token"[..]));
        assert_eq!(key.open(b"slot 2", &sealed), None);
        assert_eq!(Key::new(&[8; KEY_BYTES]).open(b"slot 1", &sealed), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(key.open(b"slot 1", &forged), None, "byte {at}");
            assert_eq!(key.open(b"slot 1", &sealed[..at]), None, "cut at {at}");
        }
    }
}
