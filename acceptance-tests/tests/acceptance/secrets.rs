//! No secret leaves the process: a canary is looked for in every byte that it writes.

use std::fs;
use std::path::Path;

use acceptance_tests::servers::Minio;
use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::s3::in_bucket;
use crate::scene::{PASSWORD, Scene};

both_clis!(no_secret_is_in_any_byte_that_leaves_the_process);

fn no_secret_is_in_any_byte_that_leaves_the_process(scene: &mut Scene) -> Result<()> {
    let minio = Minio::start()?;
    scene.make_data()?;
    let documents = in_bucket(scene, &minio.s3)?;
    scene.write(&documents)?;
    scene.workspace.trace();
    scene.workspace.plan()?.ok()?;
    scene.workspace.run(&["show", "-json", "plan"])?.ok()?;
    scene.workspace.apply()?.ok()?;
    scene.lose_data()?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.run(&["show", "-json", "plan"])?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    scene.workspace.state()?;

    // Errors speak the most: a wrong password, a wrong key, and a server that is gone.
    let wrong = "canary-wrong-password-e3f1";
    scene.workspace.set("DR_SECRET_DOCS_REPO", wrong);
    scene.workspace.apply_with(&["-replace=dr_backup_target.documents"])?.fails(&[])?;
    scene.workspace.set("DR_SECRET_DOCS_REPO", PASSWORD);
    let wrong_key = "canary-wrong-key-77aa";
    scene.workspace.set("TF_VAR_secret_access_key", wrong_key);
    scene.workspace.apply()?.fails(&[])?;
    let mut minio = minio;
    let secret = minio.s3.credentials.secret.clone();
    scene.workspace.set("TF_VAR_secret_access_key", secret.clone());
    let keys = minio.s3.keys("backups", "")?.join("\n");
    let canaries = [PASSWORD, &secret, wrong, wrong_key];
    for canary in canaries {
        ensure!(!keys.contains(canary), "{canary} is in the name of an object");
    }
    for key in minio.s3.keys("backups", "homes/documents.dr/")? {
        let record = minio.s3.get("backups", &key)?;
        ensure!(canaries.iter().all(|canary| find(&record, canary).is_none()), "a secret is in the ledger's {key}");
    }
    minio.stop();
    scene.workspace.start_apply()?.wait_for(std::time::Duration::from_secs(240))?.fails(&[])?;

    ensure!(scene.workspace.path("logs/trace.log").exists(), "there is no log to look at");
    for folder in ["configuration", "logs", "home", "tmp", ".documents.dr"] {
        search(&scene.workspace.path(folder), &canaries)?;
    }
    Ok(())
}

/// Looks for the canaries, also spelled in hexadecimal and base64, in everything below a folder.
pub fn search(folder: &Path, canaries: &[&str]) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            search(&path, canaries)?;
        } else if path.is_file() {
            let content = fs::read(&path)?;
            for canary in canaries {
                if let Some(at) = find(&content, canary) {
                    let around = &content[at.saturating_sub(200)..(at + 200).min(content.len())];
                    anyhow::bail!("{canary} is in {}:\n…{}…", path.display(), String::from_utf8_lossy(around));
                }
                let spelled = hex(canary);
                ensure!(find(&content, &spelled).is_none(), "{canary} is in {}, in hexadecimal", path.display());
                let spelled = base64(canary).iter().find_map(|spelled| find(&content, spelled));
                ensure!(spelled.is_none(), "{canary} is in {}, in base64", path.display());
            }
        }
    }
    Ok(())
}

fn find(content: &[u8], word: &str) -> Option<usize> {
    content.windows(word.len()).position(|window| window == word.as_bytes())
}

/// Three bytes are four characters: what every text that holds the word has, by how many bytes stand before it in a group.
/// Characters at the edges are left out, which its neighbours decide too.
fn base64(word: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let text = [&vec![0; before], word.as_bytes()].concat();
        let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        STANDARD_NO_PAD.encode(text)[from..to].to_owned()
    })
}

fn hex(word: &str) -> String {
    word.bytes().map(|byte| format!("{byte:02x}")).collect()
}
