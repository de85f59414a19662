//! Makes a data folder that a person would recognise as theirs.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

/// How much of it, and from which seed.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// About how many files.
    pub files: usize,
    /// About how many bytes in all.
    pub bytes: u64,
    /// The same seed makes the same tree.
    pub seed: u64,
}

impl Recipe {
    /// What the tests use: every kind of thing, little of each.
    pub fn small(seed: u64) -> Self {
        Self { files: 60, bytes: 2 << 20, seed }
    }

    /// What `make quickstart` shows: a few thousand files, about 200 MB.
    pub fn quickstart() -> Self {
        Self { files: 3_000, bytes: 200_000_000, seed: 2026 }
    }
}

/// What was made.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// Regular files; a hard link counts once.
    pub files: usize,
    /// Their bytes, holes included.
    pub bytes: u64,
    /// Why there are no extended attributes, where the file system has none.
    pub without_attributes: Option<String>,
}

/// Makes the tree in `folder`, which must not exist.
pub fn make(folder: &Path, recipe: &Recipe) -> Result<Made> {
    fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut maker = Maker { root: folder, random: StdRng::seed_from_u64(recipe.seed), made: Made::default() };
    maker.odd_things()?;
    maker.ordinary_things(recipe)?;
    maker.folder_times(folder)?;
    Ok(maker.made)
}

struct Maker<'a> {
    root: &'a Path,
    random: StdRng,
    made: Made,
}

const WORDS: [&str; 16] = [
    "invoice", "kitchen", "garden", "the", "a", "signed", "draft", "summer", "meeting", "of", "and", "paid", "offer",
    "server", "family", "holiday",
];

impl Maker<'_> {
    /// Photos take most of the bytes, documents and mail most of the names.
    fn ordinary_things(&mut self, recipe: &Recipe) -> Result<()> {
        let files = recipe.files.saturating_sub(self.made.files).max(20);
        let photos = files / 5;
        let photo_bytes = (recipe.bytes / 10 * 9 / photos.max(1) as u64).max(1024);
        for number in 0..files {
            let (year, month) = (2015 + self.random.random_range(0..11), self.random.random_range(1..13));
            let (path, content) = match number % 5 {
                0 => {
                    let size = self.random.random_range(photo_bytes / 2..photo_bytes / 2 * 3);
                    (format!("photos/{year}/{month:02}/IMG_{number:04}.jpg"), self.noise(size))
                }
                1 => (format!("documents/{year}/{}-{number}.txt", self.word()), self.prose(12_000)),
                2 => (format!("mail/archive/{year}/cur/{number}.eml"), self.prose(4_000)),
                3 => (format!("projects/website/{}/{}_{number}.rs", self.word(), self.word()), self.prose(2_000)),
                _ => (format!("music/{}/{month:02} - {}.txt", self.word(), number), self.prose(600)),
            };
            self.file(&path, &content, 0o644)?;
        }
        Ok(())
    }

    /// One of everything that a careless restore gets wrong.
    fn odd_things(&mut self) -> Result<()> {
        let text = self.prose(3_000);
        self.file("projects/website/README.md", &text, 0o644)?;
        self.file("projects/website/deploy.sh", b"#!/bin/sh\nexec true\n", 0o755)?;
        self.file("secrets/private.key", &text, 0o600)?;
        self.file("secrets/read-only.txt", &text, 0o444)?;
        self.file("inbox/empty.txt", b"", 0o644)?;
        self.file("inbox/Grüße aus Köln – 日本.txt", &text, 0o644)?;
        // The same word to a person, another name to the kernel: composed and decomposed.
        self.file("inbox/caf\u{e9}.txt", b"composed", 0o644)?;
        self.file("inbox/cafe\u{301}.txt", b"decomposed", 0o644)?;
        self.file("inbox/ two  spaces and a\nline break", &text, 0o644)?;
        self.file("inbox/-rf *'\"\\$(x)", &text, 0o644)?;
        self.file_at(&Path::new("inbox").join(OsStr::from_bytes(b"not-utf8-\xff\xfe.bin")), &text, 0o644)?;
        self.file(&format!("inbox/{}", "long".repeat(60)), &text, 0o644)?;
        self.file(&format!("{}leaf", "deep/".repeat(24)), &text, 0o644)?;
        let photo = self.noise(40_000);
        self.file("photos/first.jpg", &photo, 0o644)?;
        fs::hard_link(self.root.join("photos/first.jpg"), self.root.join("photos/newest.jpg"))?;
        self.folder(Path::new("backup-of-photos"))?;
        fs::hard_link(self.root.join("photos/first.jpg"), self.root.join("backup-of-photos/first.jpg"))?;
        self.sparse("machines/disk.img", 8 << 20)?;
        self.folder(Path::new("inbox/empty folder"))?;
        fs::set_permissions(self.folder(Path::new("shared"))?, Permissions::from_mode(0o2775))?;
        fs::set_permissions(self.folder(Path::new("secrets/closed"))?, Permissions::from_mode(0o700))?;
        self.link("photos/latest", "first.jpg")?;
        self.link("inbox/dangling", "/nowhere/at/all")?;
        self.link("inbox/folder-link", "../projects/website")?;
        self.attributes("projects/website/README.md")?;
        self.old("documents/from-1969.txt", -1)?;
        self.old("documents/from-2040.txt", 2_208_988_800)
    }

    fn old(&mut self, path: &str, seconds: i64) -> Result<()> {
        self.file(path, b"time is relative\n", 0o644)?;
        set_time(&self.root.join(path), seconds, 123_456_789)?;
        Ok(())
    }

    fn folder(&self, path: &Path) -> io::Result<PathBuf> {
        let folder = self.root.join(path);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        self.file_at(Path::new(path), content, mode)
    }

    fn file_at(&mut self, path: &Path, content: &[u8], mode: u32) -> Result<()> {
        let at = self.root.join(path);
        self.folder(path.parent().unwrap_or(Path::new("")))?;
        fs::write(&at, content).with_context(|| format!("cannot write {}", at.display()))?;
        self.finish(&at, content.len() as u64, mode)
    }

    fn finish(&mut self, at: &Path, bytes: u64, mode: u32) -> Result<()> {
        fs::set_permissions(at, Permissions::from_mode(mode))?;
        self.random_time(at)?;
        self.made.files += 1;
        self.made.bytes += bytes;
        Ok(())
    }

    /// Mostly hole, with a little data in the middle and at the end.
    fn sparse(&mut self, path: &str, size: u64) -> Result<()> {
        let at = self.root.join(path);
        self.folder(Path::new(path).parent().unwrap_or(Path::new("")))?;
        let mut file = File::create(&at)?;
        file.set_len(size)?;
        for offset in [size / 2, size - 512] {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&self.noise(512))?;
        }
        drop(file);
        self.finish(&at, size, 0o640)
    }

    fn link(&mut self, path: &str, target: &str) -> Result<()> {
        symlink(target, self.root.join(path))?;
        self.random_time(&self.root.join(path))
    }

    fn attributes(&mut self, path: &str) -> Result<()> {
        let at = self.root.join(path);
        for (name, value) in [("user.comment", &b"kept with the file"[..]), ("user.binary", b"\x00\xff\x00")] {
            if let Err(error) = rustix::fs::lsetxattr(&at, name, value, XattrFlags::empty()) {
                self.made.without_attributes = Some(format!("this file system takes no extended attributes: {error}"));
            }
        }
        // Setting an attribute leaves the modification time alone, so the file is as it was.
        Ok(())
    }

    fn random_time(&mut self, at: &Path) -> Result<()> {
        let seconds = self.random.random_range(1_400_000_000..1_750_000_000);
        let nanoseconds = self.random.random_range(0..1_000_000_000);
        set_time(at, seconds, nanoseconds)
    }

    /// Folders last, the deepest first: whatever is made in a folder changes its time.
    fn folder_times(&mut self, folder: &Path) -> Result<()> {
        let mut inside: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
        inside.sort_by_key(fs::DirEntry::file_name);
        for entry in inside {
            if entry.file_type()?.is_dir() {
                self.folder_times(&entry.path())?;
            }
        }
        self.random_time(folder)
    }

    fn noise(&mut self, size: u64) -> Vec<u8> {
        let mut bytes = vec![0; size as usize];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.random.random_range(0..WORDS.len())]
    }

    fn prose(&mut self, size: usize) -> Vec<u8> {
        let size = self.random.random_range(size / 2..size);
        let mut text = String::with_capacity(size + 16);
        while text.len() < size {
            text.push_str(self.word());
            text.push(if self.random.random_bool(0.1) { '\n' } else { ' ' });
        }
        text.into_bytes()
    }
}

fn set_time(at: &Path, seconds: i64, nanoseconds: i64) -> Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("cannot set the time of {}", at.display()))
}
