//! Backup, restore and verification of much data, by a worker of ours and by the real restic, in turn.
//!
//! The worker is driven directly: what a CLI needs beside it is measured elsewhere and would blur this.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::programs::{Ours, Theirs};
use super::{Cost, Options, Peer, Row, median_cost};
use crate::parts::RESTIC;
use crate::tree::{Manifest, Recipe, make};

/// The steps, with the share of restic's time and memory that is aimed at.
const STEPS: [(&str, &str); 4] = [
    ("backup", "1.0 × time, 1.0 × memory"),
    ("backup without changes", "0.7 × time, 0.6 × memory"),
    ("verify of all data", "1.0 × time, 1.0 × memory"),
    ("restore", "0.6 × time, 0.8 × memory"),
];

pub(super) fn measure(options: &Options, restic: Option<&Peer>) -> Result<Vec<Row>> {
    let restic = match restic {
        Some(peer) => peer.binary.clone(),
        None => RESTIC.get()?,
    };
    let mut rows = Vec::new();
    let scale = if options.small { 100 } else { 1 };
    let many = Recipe { files: 20_000 / scale, bytes: 2_000_000_000 / scale as u64, seed: 1 };
    let root = options.root.join("many-files");
    fs::create_dir_all(&root)?;
    make(&root.join("data"), &many)?;
    let what = format!("{} MB in {} files", many.bytes / 1_000_000, many.files);
    rows.extend(compare(options, &restic, &root, &what)?);

    let size = 4_000_000_000 / scale as u64;
    let root = options.root.join("one-file");
    fs::create_dir_all(root.join("data"))?;
    one_file(&root.join("data/disk.img"), size)?;
    rows.extend(compare(options, &restic, &root, &format!("one file of {} MB", size / 1_000_000))?);
    Ok(rows)
}

/// A file that compresses by about a third, as disks do.
fn one_file(path: &Path, size: u64) -> Result<()> {
    use std::io::Write;

    use rand::{RngCore, SeedableRng};
    let mut random = rand::rngs::StdRng::seed_from_u64(4);
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    let mut block = vec![0; 1 << 20];
    let filled = block.len() * 2 / 3;
    for _ in 0..size >> 20 {
        random.fill_bytes(&mut block[..filled]);
        file.write_all(&block)?;
    }
    Ok(file.flush()?)
}

/// What each of the two does with the folder `data`, several times.
fn compare(options: &Options, restic: &Path, root: &Path, what: &str) -> Result<Vec<Row>> {
    let bench = Bench { data: root.join("data"), root: root.to_owned() };
    let before = Manifest::of(&bench.data)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        eprintln!("{what}: run {} of {}", run + 1, options.runs);
        // Whoever is second finds the caches warmer: they take turns.
        if run % 2 == 0 {
            theirs.push(bench.theirs(restic)?);
            ours.push(bench.ours(options, &before)?);
        } else {
            ours.push(bench.ours(options, &before)?);
            theirs.push(bench.theirs(restic)?);
        }
    }
    fs::remove_dir_all(root)?;
    let of_step = |runs: &[[Cost; STEPS.len()]], step: usize| median_cost(runs.iter().map(|run| run[step]).collect());
    let rows = STEPS.iter().enumerate().flat_map(|(step, (name, aim))| {
        let what = format!("{name}, {what}");
        let row = |by: &str, aim: &str, cost| Row { what: what.clone(), by: by.into(), aim: aim.into(), cost };
        [row("dr", aim, of_step(&ours, step)), row("restic", "", of_step(&theirs, step))]
    });
    Ok(rows.collect())
}

struct Bench {
    data: PathBuf,
    root: PathBuf,
}

impl Bench {
    fn theirs(&self, restic: &Path) -> Result<[Cost; STEPS.len()]> {
        let theirs = Theirs { restic: restic.to_owned(), repository: self.root.join("repository-of-restic") };
        let (data, to) = (self.data.to_string_lossy(), self.root.join("restored-by-restic"));
        theirs.run(&["init"])?;
        let costs = [
            theirs.run(&["backup", &data])?,
            theirs.run(&["backup", &data])?,
            theirs.run(&["check", "--read-data"])?,
            theirs.run(&["restore", &format!("latest:{data}"), "--target", &to.to_string_lossy()])?,
        ];
        fs::remove_dir_all(&to)?;
        fs::remove_dir_all(&theirs.repository)?;
        Ok(costs)
    }

    fn ours(&self, options: &Options, before: &Manifest) -> Result<[Cost; STEPS.len()]> {
        let ours = Ours::new(&options.provider, &self.root.join("repository"));
        let to = self.root.join("restored");
        ours.init()?;
        let backup =
            json!({ "backup": { "options": { "paths": [self.data] }, "verify": null, "keep": null, "pinned": [] } });
        let (first, outcome) = ours.run(&backup)?;
        let snapshot = &outcome["backup"]["backup"]["snapshot"];
        let restore = json!({ "restore": { "options": { "snapshot": snapshot, "path": self.data, "to": to } } });
        let costs = [
            first,
            ours.run(&backup)?.0,
            ours.run(&json!({ "verify": { "depth": "data" } }))?.0,
            ours.run(&restore)?.0,
        ];
        before.assert_same(&to)?;
        fs::remove_dir_all(&to)?;
        fs::remove_dir_all(&ours.repository)?;
        Ok(costs)
    }
}
