//! The recovery points of a repository with ten thousand snapshots, beside restic's listing of the same repository.

use std::fs;
use std::path::Path;

use aes256ctr_poly1305aes::aead::Aead;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::programs::{Ours, PASSWORD, Theirs};
use super::{Options, Peer, Row, median_cost};
use crate::parts::RESTIC;

/// How often each lists them; the median counts.
const RUNS: usize = 5;

pub(super) fn measure(options: &Options, restic: Option<&Peer>) -> Result<Vec<Row>> {
    let restic = match restic {
        Some(peer) => peer.binary.clone(),
        None => RESTIC.get()?,
    };
    let count = if options.small { 100 } else { 10_000 };
    let root = options.root.join("snapshots");
    fs::create_dir_all(root.join("data"))?;
    fs::write(root.join("data/letter.txt"), "Dear all,\n")?;
    let ours = Ours::new(&options.provider, &root.join("repository"));
    ours.init()?;
    let job = json!({ "backup": { "options": { "paths": [root.join("data")] }, "verify": null, "keep": null, "pinned": [] } });
    ours.run(&job)?;
    multiply(&ours.repository, count)?;
    let theirs = Theirs { restic, repository: ours.repository.clone() };
    let (mut our_costs, mut their_costs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (cost, outcome) = ours.run(&json!("points"))?;
        let listed = outcome["points"].as_array().map_or(0, Vec::len);
        ensure!(listed == count, "{listed} of {count} points were listed");
        our_costs.push(cost);
        their_costs.push(theirs.run(&["snapshots", "--json", "--no-lock"])?);
    }
    fs::remove_dir_all(&root)?;
    let row = |by: &str, aim: &str, costs| Row {
        what: format!("{count} recovery points"),
        by: by.into(),
        aim: aim.into(),
        cost: median_cost(costs),
    };
    Ok(vec![row("dr", "0.6 × time", our_costs), row("restic", "", their_costs)])
}

/// Writes more snapshots like the one there is, an hour apart, until there are `count`.
fn multiply(repository: &Path, count: usize) -> Result<()> {
    let key = key(repository)?;
    let folder = repository.join("snapshots");
    let one = only_file(&folder)?;
    let plain = unseal(&key, &fs::read(one)?).context("the snapshot does not open")?;
    let plain = if plain.first() == Some(&2) { zstd::decode_all(&plain[1..])? } else { plain };
    let mut snapshot: Value = serde_json::from_slice(&plain)?;
    for number in 1..count {
        let (day, hour) = (number / 24, number % 24);
        let (year, month, day) = (2020 + day / 336, day / 28 % 12 + 1, day % 28 + 1);
        snapshot["time"] = json!(format!("{year}-{month:02}-{day:02}T{hour:02}:00:00.123456789Z"));
        let sealed = seal(&key, &serde_json::to_vec(&snapshot)?)?;
        fs::write(folder.join(hex::encode(Sha256::digest(&sealed))), sealed)?;
    }
    Ok(())
}

fn only_file(folder: &Path) -> Result<std::path::PathBuf> {
    let entry = fs::read_dir(folder)?.next().with_context(|| format!("{} is empty", folder.display()))?;
    Ok(entry?.path())
}

/// The key of a repository, as restic's design document ("Keys, Encryption and MAC") has it.
fn key(repository: &Path) -> Result<Vec<u8>> {
    let file: Value = serde_json::from_slice(&fs::read(only_file(&repository.join("keys"))?)?)?;
    let text = |field: &str| BASE64_STANDARD.decode(file[field].as_str().unwrap_or_default());
    let number = |field: &str| u32::try_from(file[field].as_u64().unwrap_or_default());
    let log_n = u8::try_from(number("N")?.ilog2())?;
    let mut derived = vec![0; 64];
    scrypt::scrypt(
        PASSWORD.as_bytes(),
        &text("salt")?,
        &scrypt::Params::new(log_n, number("r")?, number("p")?).context("strange scrypt parameters")?,
        &mut derived,
    )?;
    let master: Value = serde_json::from_slice(&unseal(&derived, &text("data")?).context("the key does not open")?)?;
    let part = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap_or_default());
    Ok([part(&master["encrypt"])?, part(&master["mac"]["k"])?, part(&master["mac"]["r"])?].concat())
}

fn unseal(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(16)?;
    Aes256CtrPoly1305Aes::new(Key::from_slice(key)).decrypt(Nonce::from_slice(nonce), sealed).ok()
}

fn seal(key: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; 16] = rand::random();
    let sealed = Aes256CtrPoly1305Aes::new(Key::from_slice(key)).encrypt(Nonce::from_slice(&nonce), plain);
    Ok([nonce.as_slice(), &sealed.ok().context("it can't be sealed")?].concat())
}
