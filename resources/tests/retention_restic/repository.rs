//! A restic repository that holds nothing but snapshots, written by hand: thousands of points in a second.

use std::fs;
use std::path::Path;

use aes256ctr_poly1305aes::aead::Aead;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rand::{RngCore, rngs::StdRng};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The repository's password.
pub const PASSWORD: &str = "not a secret";

/// Writes snapshot files below a folder.
pub struct Repository<'a> {
    folder: &'a Path,
    key: [u8; 64],
}

impl<'a> Repository<'a> {
    /// Makes an empty repository of format 1 (nothing compressed), whose key opens cheaply (scrypt with N = 2).
    pub fn create(folder: &'a Path, random: &mut StdRng) -> Self {
        for name in ["keys", "snapshots", "locks", "index", "data"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let mut key = [0; 64];
        random.fill_bytes(&mut key);
        let repository = Self { folder, key };
        repository.write_key(random);
        // The polynomial has to be irreducible; nothing is cut with it here.
        let config = json!({ "version": 1, "id": hex::encode([7; 32]), "chunker_polynomial": "3da3358b4dc173" });
        fs::write(folder.join("config"), encrypt(&repository.key, config.to_string().as_bytes(), random)).unwrap();
        repository
    }

    /// Writes a snapshot and returns its id.
    pub fn add_snapshot(&self, time: &str, host: &str, random: &mut StdRng) -> String {
        let snapshot = json!({ "time": time, "tree": hex::encode([1; 32]), "paths": ["/data"], "hostname": host, "username": "test" });
        let file = encrypt(&self.key, snapshot.to_string().as_bytes(), random);
        let id = hex::encode(Sha256::digest(&file));
        fs::write(self.folder.join("snapshots").join(&id), file).unwrap();
        id
    }

    fn write_key(&self, random: &mut StdRng) {
        let mut salt = [0; 64];
        random.fill_bytes(&mut salt);
        let mut user_key = [0; 64];
        let params = scrypt::Params::new(1, 8, 1).unwrap();
        scrypt::scrypt(PASSWORD.as_bytes(), &salt, &params, &mut user_key).unwrap();
        let (encryption, mac) = self.key.split_at(32);
        let (k, r) = mac.split_at(16);
        let master = json!({
            "mac": { "k": BASE64.encode(k), "r": BASE64.encode(r) },
            "encrypt": BASE64.encode(encryption),
        });
        let file = json!({
            "created": "2025-01-01T00:00:00Z", "username": "test", "hostname": "test",
            "kdf": "scrypt", "N": 2, "r": 8, "p": 1, "salt": BASE64.encode(salt),
            "data": BASE64.encode(encrypt(&user_key, master.to_string().as_bytes(), random)),
        });
        let file = file.to_string();
        fs::write(self.folder.join("keys").join(hex::encode(Sha256::digest(&file))), file).unwrap();
    }
}

fn encrypt(key: &[u8; 64], plain: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut nonce = [0; 16];
    random.fill_bytes(&mut nonce);
    let cipher = Aes256CtrPoly1305Aes::new(Key::from_slice(key));
    let mut file = nonce.to_vec();
    file.extend(cipher.encrypt(Nonce::from_slice(&nonce), plain).unwrap());
    file
}
