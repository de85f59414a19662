//! The toy engine: every trait, over a toy server.

use std::time::Duration;

use async_trait::async_trait;

use super::server::{RunObject, StoredPoint};
use super::{Server, step};
use crate::ledger::{Counts, PinnedPoint, Record, UndoStep, engine_object_name};
use crate::run::{
    Backup, BackupStored, EngineError, FirstUse, Held, Journal, Listing, Pause, Pins, Point, Points, Probe, ReadBack,
    Restore, Restored, Safety, TargetState,
};

/// The engine of one toy server.
#[derive(Debug, Clone)]
pub struct Toy(pub Server);

impl Toy {
    fn reach(&self) -> Result<(), EngineError> {
        match self.0.read("unreachable") {
            Some(_) => Err(EngineError::nothing_written("the toy server can't be reached")),
            None => Ok(()),
        }
    }

    fn fails(&self, operation: &str) -> Result<(), EngineError> {
        self.reach()?;
        let told = self.0.read("fail").unwrap_or_default();
        let mut told = told.split(' ');
        match told.find(|fail| fail.strip_prefix("early:").unwrap_or(fail) == operation) {
            Some(fail) if fail == operation => {
                Err(EngineError::new(format!("the toy was told to fail at {operation}")))
            }
            Some(_) => Err(EngineError::nothing_written(format!("the toy was told to fail early at {operation}"))),
            None => Ok(()),
        }
    }

    /// Somebody starts the application at the operation that they were told.
    fn meddle(&self, operation: &str) {
        if self.0.read("meddler").as_deref() == Some(operation) {
            self.0.write("app", "3");
        }
    }

    async fn slow(&self) {
        if let Some(millis) = self.0.read("slow").and_then(|text| text.parse().ok()) {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }

    fn point(&self, id: &str) -> Result<StoredPoint, EngineError> {
        let found = self.0.points().into_iter().find(|point| point.id == id);
        found.ok_or_else(|| EngineError::nothing_written(format!("there is no point {id}")))
    }

    /// The backups beyond those that `keep` says, without what is to be spared.
    fn too_old(&self, spare: &[PinnedPoint]) -> Vec<StoredPoint> {
        let Some(keep) = self.0.read("keep").and_then(|text| text.parse().ok()) else { return Vec::new() };
        let backups: Vec<StoredPoint> = self.0.points().into_iter().filter(|point| point.kind == "backup").collect();
        let old = backups.into_iter().rev().skip(keep);
        old.filter(|point| !spare.iter().any(|spared| spared.id == point.id)).collect()
    }

    fn look(&self) -> Result<Probe, EngineError> {
        self.fails("probe")?;
        let Some((incarnation, born)) = self.0.incarnation() else {
            let evidence = "the volume does not exist".to_owned();
            return Ok(Probe { state: TargetState::Missing, incarnation: None, born: None, evidence });
        };
        let files = self.0.files().len();
        let state = match (self.0.read("blind"), files) {
            (Some(_), _) => TargetState::Unknown,
            (None, 0) => TargetState::Empty,
            _ => TargetState::Present,
        };
        let evidence = format!("the volume holds {files} files");
        Ok(Probe { state, incarnation: Some(incarnation), born: Some(born), evidence })
    }

    /// The object of this run: the one it made already, or the first free name of its own.
    async fn object(&self, point: &str, journal: &Journal) -> Result<(String, RunObject), EngineError> {
        let record = journal.record().await;
        let objects = self.0.run_objects();
        let live =
            |name: &String| objects.get(name).is_none_or(|object| object.state != "failed" && object.point == point);
        let name = match record.engine_object.filter(live) {
            Some(name) => name,
            None => {
                let base = engine_object_name(&record.name, &record.key);
                let free = (0..).map(|number| format!("{base}-{number}")).find(|name| !objects.contains_key(name));
                let name = free.unwrap_or(base);
                journal.engine_object(&name).await?;
                name
            }
        };
        let new = || RunObject { point: point.to_owned(), state: "running".into() };
        let object = objects.get(&name).cloned().unwrap_or_else(new);
        step("object");
        self.0.write_run_object(&name, &object);
        step("object made");
        Ok((name, object))
    }

    fn change_to(&self, step: &UndoStep, value: &str, down: bool) {
        let (file, event) = match (step.action.as_str(), down) {
            ("pause_schedule", true) => ("schedule", "paused schedule"),
            ("pause_schedule", false) => ("schedule", "resumed schedule"),
            (_, true) => ("app", "stopped app"),
            (_, false) => ("app", "resumed app"),
        };
        if self.0.read(file).as_deref() != Some(value) {
            self.0.write(file, value);
            self.0.log(event);
        }
    }
}

#[async_trait]
impl Points for Toy {
    async fn list(&self) -> Result<Listing, EngineError> {
        self.fails("list")?;
        while self.0.read("hold").is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let point = |stored: StoredPoint| Point {
            kind: stored.kind(),
            bytes: Some(stored.bytes()),
            items: Some(stored.files.len() as u64),
            id: stored.id,
            time: stored.time,
        };
        let points: Vec<Point> = self.0.points().into_iter().map(point).collect();
        let first_use = match (points.is_empty(), self.0.read("packs")) {
            (true, None) => FirstUse::Proven,
            _ => FirstUse::NotProven("the storage holds data".into()),
        };
        let near_misses = self.0.read("near").into_iter().collect();
        let looked = "the toy's storage".to_owned();
        Ok(Listing { points, first_use, looked, near_misses, unreadable: Vec::new() })
    }

    async fn check_readable(&self, point: &PinnedPoint) -> Result<(), EngineError> {
        self.fails("readable")?;
        self.point(&point.id).map(drop)
    }
}

#[async_trait]
impl Restore for Toy {
    async fn probe(&self) -> Result<Probe, EngineError> {
        self.look()
    }

    async fn restore(&self, point: &PinnedPoint, _again: bool, journal: &Journal) -> Result<Restored, EngineError> {
        self.reach()?;
        if self.0.read("fail").as_deref() == Some("early:restore") {
            return Err(EngineError::nothing_written("the toy was told to fail early at restore"));
        }
        let stored = self.point(&point.id)?;
        let (name, object) = self.object(&point.id, journal).await?;
        let restored = Restored { bytes: stored.bytes(), items: stored.files.len() as u64, warnings: Vec::new() };
        if object.state == "done" {
            return Ok(restored);
        }
        self.0.make_volume();
        let mut counts =
            Counts { total_files: Some(restored.items), total_bytes: Some(restored.bytes), ..Counts::default() };
        for (file, content) in &stored.files {
            step("file");
            self.0.write_file(file, content);
            counts.files += 1;
            counts.bytes += content.len() as u64;
            journal.progress(counts).await;
            self.meddle("restore");
            self.slow().await;
            if let Err(error) = self.fails("restore") {
                self.0.write_run_object(&name, &RunObject { state: "failed".into(), ..object });
                return Err(error);
            }
        }
        step("files");
        self.0.write_run_object(&name, &RunObject { state: "done".into(), ..object });
        step("restored");
        Ok(if self.0.read("fail").as_deref() == Some("nothing") { Restored::default() } else { restored })
    }

    fn pins(&self) -> Option<&dyn Pins> {
        self.0.read("pinning").is_some().then_some(self)
    }

    async fn verify(&self, point: &PinnedPoint, _journal: &Journal) -> Result<(), EngineError> {
        let stored = self.point(&point.id)?;
        self.fails(if stored.kind == "safety" { "verify_safety" } else { "verify" })?;
        step("verify");
        let wanted = stored.files;
        let there = self.0.files();
        match wanted.iter().find(|(name, content)| there.get(*name) != Some(content)) {
            Some((name, _)) => Err(EngineError::new(format!("{name} is not what the point holds"))),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Pins for Toy {
    async fn pin(&self, journal: &Journal) -> Result<(), EngineError> {
        if self.0.read("pinning").as_deref() == Some("denied") {
            return Err(EngineError::nothing_written("access denied"));
        }
        let written = |error| EngineError::nothing_written("the run could not be written down").because(error);
        let mark = journal.mark().await.map_err(written)?;
        let record = journal.record().await;
        let points: Vec<String> =
            record.point.iter().chain(&record.safety_point).map(|point| point.id.clone()).collect();
        self.0.write(&format!("pins/{mark}"), &points.join("\n"));
        Ok(())
    }

    async fn unpin(&self, runs: &[Record]) -> Result<(), EngineError> {
        self.fails("unpin")?;
        for mark in runs.iter().flat_map(Record::marks) {
            self.0.set(&format!("pins/{mark}"), None);
        }
        Ok(())
    }
}

#[async_trait]
impl Pause for Toy {
    async fn schedule(&self) -> Result<Vec<UndoStep>, EngineError> {
        self.fails("schedule")?;
        let before = self.0.read("schedule");
        Ok(vec![UndoStep { action: "pause_schedule".into(), object: "schedule".into(), before, undone: false }])
    }

    async fn application(&self) -> Result<Vec<UndoStep>, EngineError> {
        self.fails("application")?;
        let before = self.0.read("app");
        Ok(vec![UndoStep { action: "scale_down".into(), object: "app".into(), before, undone: false }])
    }

    async fn change(&self, change: &UndoStep) -> Result<(), EngineError> {
        self.fails("change")?;
        step("change");
        self.change_to(change, if change.action == "pause_schedule" { "paused" } else { "0" }, true);
        step("changed");
        Ok(())
    }

    async fn holds(&self, made: &[UndoStep]) -> Result<(), EngineError> {
        let down = |step: &&UndoStep| match step.action.as_str() {
            "pause_schedule" => self.0.read("schedule").as_deref() == Some("paused"),
            _ => self.0.read("app").as_deref() == Some("0"),
        };
        match made.iter().filter(|step| !step.undone).find(|step| !down(step)) {
            Some(step) => Err(EngineError::nothing_written(format!("somebody brought the {} back", step.object))),
            None => Ok(()),
        }
    }

    async fn undo(&self, change: &UndoStep) -> Result<(), EngineError> {
        self.fails("undo")?;
        step("undo");
        self.change_to(change, change.before.as_deref().unwrap_or_default(), false);
        step("undone");
        Ok(())
    }
}

#[async_trait]
impl Safety for Toy {
    async fn take(&self, journal: &Journal) -> Result<PinnedPoint, EngineError> {
        self.fails("safety")?;
        self.meddle("safety");
        let (key, began) = (journal.key().await, journal.record().await.times.recorded);
        let of_this = |point: &StoredPoint| point.kind == "safety" && point.run == key && Some(point.time) >= began;
        let earlier = self.0.points().into_iter().find(of_this);
        step("safety");
        let point = earlier.unwrap_or_else(|| self.0.store("safety", &key, self.0.files()));
        step("saved");
        Ok(PinnedPoint { bytes: Some(point.bytes()), id: point.id, time: point.time })
    }
}

#[async_trait]
impl Backup for Toy {
    async fn probe(&self) -> Result<Probe, EngineError> {
        self.look()
    }

    fn prunes(&self) -> bool {
        true
    }

    async fn would_remove(&self, spare: &[PinnedPoint]) -> Result<u64, EngineError> {
        Ok(self.too_old(spare).len() as u64)
    }

    async fn backup(&self, journal: &Journal) -> Result<BackupStored, EngineError> {
        self.fails("backup")?;
        step("backup");
        self.slow().await;
        let point = self.0.store("backup", &journal.key().await, self.0.files());
        step("backed up");
        let held = Held { bytes: point.bytes(), items: point.files.len() as u64 };
        let point = PinnedPoint { bytes: Some(point.bytes()), id: point.id, time: point.time };
        Ok(BackupStored { point, held, warnings: Vec::new() })
    }

    async fn verify(&self, point: &PinnedPoint, _depth: ReadBack, _journal: &Journal) -> Result<(), EngineError> {
        self.fails("verify")?;
        self.point(&point.id).map(drop)
    }

    async fn retain(&self, spare: &[PinnedPoint], _journal: &Journal) -> Result<Vec<String>, EngineError> {
        self.fails("retain")?;
        for point in self.too_old(spare) {
            step("forget");
            self.0.forget(&point.id);
        }
        Ok(Vec::new())
    }
}
