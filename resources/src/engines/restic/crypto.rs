//! How restic seals what it writes: AES-256 in counter mode with Poly1305-AES; nonce, ciphertext, tag.

use aes256ctr_poly1305aes::aead::Aead;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use rustic_core::repofile::MasterKey;
use zeroize::Zeroizing;

/// Key bytes as the cipher takes them: the encryption key, then the two halves of the authentication key.
pub type KeyBytes = Zeroizing<[u8; 64]>;

const NONCE: usize = 16;

/// The bytes of a repository's key; none when a part has not the length that it should have.
pub fn key_bytes(master: &MasterKey) -> Option<KeyBytes> {
    let mut bytes = Zeroizing::new([0; 64]);
    if (master.encrypt.len(), master.mac.k.len(), master.mac.r.len()) != (32, 16, 16) {
        return None;
    }
    bytes[..32].copy_from_slice(&master.encrypt);
    bytes[32..48].copy_from_slice(&master.mac.k);
    bytes[48..].copy_from_slice(&master.mac.r);
    Some(bytes)
}

/// Seals under a fresh nonce.
pub fn seal(key: &KeyBytes, plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = rand::random();
    let cipher = Aes256CtrPoly1305Aes::new(Key::from_slice(key.as_slice()));
    let sealed =
        cipher.encrypt(Nonce::from_slice(&nonce), plain).expect("a buffer in memory is never too long to seal");
    [nonce.as_slice(), &sealed].concat()
}

/// The plain bytes, or nothing when they were sealed with another key or changed since.
pub fn unseal(key: &KeyBytes, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let cipher = Aes256CtrPoly1305Aes::new(Key::from_slice(key.as_slice()));
    cipher.decrypt(Nonce::from_slice(nonce), sealed).ok()
}

/// The plain bytes of a file of a repository, which version 2 may have compressed: its first byte says so.
pub fn unseal_file(key: &KeyBytes, sealed: &[u8]) -> Option<Vec<u8>> {
    let plain = unseal(key, sealed)?;
    match plain.first() {
        Some(2) => zstd::decode_all(&plain[1..]).ok(),
        _ => Some(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_its_key_only_and_only_unchanged() {
        let key = key_bytes(&MasterKey::new()).unwrap();
        let mut sealed = seal(&key, b"text");
        assert_eq!(sealed.len(), 4 + 32);
        assert_eq!(unseal(&key, &sealed).unwrap(), b"text");
        assert!(unseal(&key_bytes(&MasterKey::new()).unwrap(), &sealed).is_none());
        sealed[20] ^= 1;
        assert!(unseal(&key, &sealed).is_none());
        assert!(unseal(&key, b"short").is_none());
    }

    #[test]
    fn a_compressed_file_is_read_too() {
        let key = key_bytes(&MasterKey::new()).unwrap();
        let compressed = [vec![2], zstd::encode_all(b"{}".as_slice(), 3).unwrap()].concat();
        assert_eq!(unseal_file(&key, &seal(&key, &compressed)).unwrap(), b"{}");
        assert_eq!(unseal_file(&key, &seal(&key, b"{}")).unwrap(), b"{}");
    }
}
