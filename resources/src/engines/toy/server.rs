//! The toy server: an application with a volume and a schedule, and storage that outlives it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::run::PointKind;

/// A folder that behaves like a server. Its methods panic when the folder itself is broken: that is a test's bug.
#[derive(Debug, Clone)]
pub struct Server {
    root: PathBuf,
}

/// A recovery point as the toy stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPoint {
    /// Its id.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// `backup`, `safety` or `incomplete`.
    pub kind: String,
    /// The run that took it.
    pub run: String,
    /// File names and contents.
    pub files: BTreeMap<String, String>,
}

impl StoredPoint {
    /// Its kind, in the state machine's words.
    pub fn kind(&self) -> PointKind {
        match self.kind.as_str() {
            "safety" => PointKind::Safety,
            "incomplete" => PointKind::Incomplete,
            _ => PointKind::Backup,
        }
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|content| content.len() as u64).sum()
    }
}

#[derive(Serialize, Deserialize)]
struct Born {
    id: String,
    born: Timestamp,
}

/// An object that the engine makes for a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunObject {
    pub point: String,
    pub state: String,
}

impl Server {
    /// A new server in an existing folder: an application of three replicas, an active schedule, no volume, no points.
    pub fn create(root: &Path) -> Self {
        let server = Server { root: root.to_owned() };
        for folder in ["points", "runs", "pins"] {
            fs::create_dir_all(root.join(folder)).expect("the folder of a toy server can be written");
        }
        server.write("uid", &random());
        server.write("app", "3");
        server.write("schedule", "active");
        server
    }

    /// A server that exists.
    pub fn open(root: &Path) -> Self {
        Server { root: root.to_owned() }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the volume.
    pub fn volume(&self) -> PathBuf {
        self.root.join("volume")
    }

    /// Its identity.
    pub fn uid(&self) -> String {
        self.read("uid").unwrap_or_default()
    }

    /// Another server takes its place: nothing is left of the old one but its storage.
    pub fn replace(&self) {
        self.lose_volume();
        let _ = fs::remove_dir_all(self.root.join("runs"));
        fs::create_dir_all(self.root.join("runs")).expect("the folder of a toy server can be written");
        self.write("uid", &random());
        self.write("app", "3");
        self.write("schedule", "active");
    }

    /// The volume is gone.
    pub fn lose_volume(&self) {
        let _ = fs::remove_dir_all(self.volume());
        let _ = fs::remove_file(self.root.join("born"));
    }

    /// The volume holds nothing.
    pub fn empty_volume(&self) {
        for name in self.files().keys() {
            fs::remove_file(self.volume().join(name)).expect("a file of the toy volume can be removed");
        }
    }

    /// Makes the volume if there is none, another one than any before.
    pub fn make_volume(&self) {
        if !self.volume().is_dir() {
            let born = Born { id: random(), born: crate::clock::now() };
            self.write("born", &serde_json::to_string(&born).unwrap_or_default());
            fs::create_dir(self.volume()).expect("the toy volume can be made");
        }
    }

    /// Writes a file into the volume.
    pub fn write_file(&self, name: &str, content: &str) {
        self.make_volume();
        fs::write(self.volume().join(name), content).expect("a file of the toy volume can be written");
    }

    /// What the volume holds, or nothing when there is none.
    pub fn files(&self) -> BTreeMap<String, String> {
        let Ok(entries) = fs::read_dir(self.volume()) else { return BTreeMap::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        let file = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), fs::read_to_string(&path).ok()?));
        paths.filter_map(file).collect()
    }

    /// Which volume it is and when it was made, if there is one.
    pub fn incarnation(&self) -> Option<(String, Timestamp)> {
        let born: Born = serde_json::from_str(&self.read("born")?).ok()?;
        self.volume().is_dir().then_some((born.id, born.born))
    }

    /// A setting: `unreachable`, `slow` (milliseconds for each file), `fail` (the operation that fails, with `early:`
    /// before it when nothing is written), `packs` (the storage holds data of no point), `near`, `hold` (listing points
    /// waits until it goes), `keep` (points), `meddler`
    /// (somebody who starts the application during a safety backup), `pinning` (runs keep their points in the storage, or are `denied` it).
    pub fn set(&self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.write(name, value),
            None => {
                let _ = fs::remove_file(self.root.join(name));
            }
        }
    }

    /// A setting, or the state of `app` and `schedule`.
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.root.join(name)).ok()
    }

    /// Stores a point of what `files` holds.
    pub fn store(&self, kind: &str, run: &str, files: BTreeMap<String, String>) -> StoredPoint {
        let last = self.points().last().and_then(|point| point.id.strip_prefix('p')?.parse::<u64>().ok());
        let number = last.map_or(0, |last| last + 1);
        let id = format!("p{number:04}");
        let point = StoredPoint { id, time: crate::clock::now(), kind: kind.into(), run: run.into(), files };
        let json = serde_json::to_string(&point).unwrap_or_default();
        self.write(&format!("points/{}", point.id), &json);
        point
    }

    /// Every point, oldest first.
    pub fn points(&self) -> Vec<StoredPoint> {
        let Ok(entries) = fs::read_dir(self.root.join("points")) else { return Vec::new() };
        let read = |path: PathBuf| serde_json::from_str(&fs::read_to_string(path).ok()?).ok();
        let mut points: Vec<StoredPoint> = entries.flatten().filter_map(|entry| read(entry.path())).collect();
        points.sort_by(|a, b| a.id.cmp(&b.id));
        points
    }

    /// Forgets a point.
    pub fn forget(&self, id: &str) {
        let _ = fs::remove_file(self.root.join("points").join(id));
    }

    /// The ids of the points that runs keep in the storage.
    pub fn pinned(&self) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(self.root.join("pins")) else { return BTreeSet::new() };
        let read = |path: PathBuf| fs::read_to_string(path).ok();
        let texts: Vec<String> = entries.flatten().filter_map(|entry| read(entry.path())).collect();
        texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
    }

    /// The schedule's time has come: it runs if it is active and there is a volume, whatever that holds.
    pub fn tick(&self) {
        if self.read("schedule").as_deref() == Some("active") && self.volume().is_dir() {
            self.log("schedule ran");
            self.store("backup", "schedule", self.files());
        }
    }

    /// How often something happened.
    pub fn count(&self, event: &str) -> usize {
        self.read("log").unwrap_or_default().lines().filter(|line| *line == event).count()
    }

    /// Everything that happened, in order.
    pub fn events(&self) -> Vec<String> {
        self.read("log").unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// How many restores came to their end here.
    pub fn effective_restores(&self) -> usize {
        self.run_objects().values().filter(|object| object.state == "done").count()
    }

    pub(super) fn run_objects(&self) -> BTreeMap<String, RunObject> {
        let Ok(entries) = fs::read_dir(self.root.join("runs")) else { return BTreeMap::new() };
        let read = |path: PathBuf| {
            let object = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
            Some((path.file_name()?.to_str()?.to_owned(), object))
        };
        entries.flatten().filter_map(|entry| read(entry.path())).collect()
    }

    pub(super) fn write_run_object(&self, name: &str, object: &RunObject) {
        self.write(&format!("runs/{name}"), &serde_json::to_string(object).unwrap_or_default());
    }

    pub(super) fn log(&self, event: &str) {
        let open = fs::File::options().append(true).create(true).open(self.root.join("log"));
        let written = open.and_then(|mut log| writeln!(log, "{event}"));
        written.expect("the log of a toy server can be written");
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        let path = self.root.join(name);
        let beside = self.root.join(format!(".{}.new", name.replace('/', "-")));
        let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, &path));
        written.expect("the folder of a toy server can be written");
    }
}

fn random() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}
