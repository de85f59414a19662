//! Key files: how a password opens a repository.

use super::crypto::{KeyBytes, seal, unseal};
use super::machine;
use crate::clock;
use crate::secret::Secret;
use base64::prelude::{BASE64_STANDARD, Engine};
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// log2 of scrypt's N for our own key files: 37 MB and 0.1 s for an open, where rustic's 2^17 takes 135 MB.
pub const LOG_N: u8 = 15;
/// scrypt's N takes 128·N·r bytes: beyond this a key file asks for a gigabyte.
const LARGEST_N: u32 = 1 << 20;
const LARGEST_R: u32 = 16;
const LARGEST_P: u32 = 16;

/// A key file as restic writes it.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    created: String,
    username: String,
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// Makes a key file for `password` around a repository's key: its name and its bytes.
pub fn make(master: &MasterKey, password: &Secret, log_n: u8) -> Result<(String, Vec<u8>), String> {
    let salt: [u8; 64] = rand::random();
    let (r, p) = (8, 1);
    let key = derive(password, &salt, log_n, r, p)?;
    let plain = Zeroizing::new(serde_json::to_vec(master).map_err(|error| error.to_string())?);
    let file = KeyFile {
        created: clock::now().to_string(),
        username: machine::user(),
        hostname: machine::host(),
        kdf: "scrypt".to_owned(),
        n: 1 << log_n,
        r,
        p,
        salt: BASE64_STANDARD.encode(salt),
        data: BASE64_STANDARD.encode(seal(&key, &plain)),
    };
    let bytes = serde_json::to_vec(&file).map_err(|error| error.to_string())?;
    Ok((hex::encode(Sha256::digest(&bytes)), bytes))
}

/// What a key file gives for a password: the repository's key, nothing when the password is not its own, or why it can't
/// be tried.
pub fn open(bytes: &[u8], password: &Secret) -> Result<Option<MasterKey>, String> {
    let file: KeyFile = serde_json::from_slice(bytes).map_err(|error| format!("it can't be read ({error})"))?;
    if file.kdf != "scrypt" {
        return Err(format!("its key derivation {} is unknown", file.kdf));
    }
    if !file.n.is_power_of_two() || file.n < 2 || file.n > LARGEST_N || file.r > LARGEST_R || file.p > LARGEST_P {
        return Err(format!("its scrypt parameters are refused: N = {}, r = {}, p = {}", file.n, file.r, file.p));
    }
    let decoded = |text: &str| BASE64_STANDARD.decode(text).map_err(|error| format!("it can't be read ({error})"));
    let log_n = u8::try_from(file.n.ilog2()).map_err(|error| error.to_string())?;
    let key = derive(password, &decoded(&file.salt)?, log_n, file.r, file.p)?;
    let Some(plain) = unseal(&key, &decoded(&file.data)?).map(Zeroizing::new) else { return Ok(None) };
    // The cause of a parse error could repeat a part of the key.
    serde_json::from_slice(&plain).map(Some).map_err(|_| "what it seals is no key".to_owned())
}

fn derive(password: &Secret, salt: &[u8], log_n: u8, r: u32, p: u32) -> Result<KeyBytes, String> {
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| "its scrypt parameters are refused".to_owned())?;
    let mut key = Zeroizing::new([0; 64]);
    scrypt::scrypt(password.expose().as_bytes(), salt, &params, key.as_mut_slice())
        .map_err(|error| error.to_string())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_make_a_key_file_panic() {
        let (_, bytes) = make(&MasterKey::new(), &Secret::new("secret"), 1).unwrap();
        // What is expensive to try is another matter: three digits of N are a moment.
        let cheap = |bytes: &[u8]| serde_json::from_slice::<KeyFile>(bytes).map_or(true, |file| file.n < 1000);
        crate::noise::survives(&[&bytes], |bytes| cheap(bytes).then(|| open(bytes, &Secret::new("secret")).is_ok()));
    }

    #[test]
    fn a_key_file_opens_with_its_password_and_no_other() {
        let master = MasterKey::new();
        let (name, bytes) = make(&master, &Secret::new("secret"), 1).unwrap();
        assert_eq!(name.len(), 64);
        let opened = open(&bytes, &Secret::new("secret")).unwrap().unwrap();
        assert_eq!(opened.encrypt, master.encrypt);
        assert!(open(&bytes, &Secret::new("wrong")).unwrap().is_none());
    }

    #[test]
    fn a_key_file_that_wants_a_gigabyte_or_is_torn_is_refused() {
        let (_, bytes) = make(&MasterKey::new(), &Secret::new("secret"), 1).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let greedy = text.replace("\"N\":2", "\"N\":2097152");
        assert!(open(greedy.as_bytes(), &Secret::new("secret")).unwrap_err().contains("N = 2097152"));
        assert!(open(&text.as_bytes()[..60], &Secret::new("secret")).unwrap_err().starts_with("it can't be read"));
        assert!(open(text.replace("scrypt", "argon").as_bytes(), &Secret::new("secret")).is_err());
    }
}
