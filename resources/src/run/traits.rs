//! What an engine has to be able to do for the state machines. An engine that lacks one of these does not implement it.

use async_trait::async_trait;

use jiff::Timestamp;

use super::{ChosenPoint, EngineError, Journal, NoPoint, Point, PointChoice, Probe, When, choose};
use crate::ledger::{PinnedPoint, Record, UndoStep};
use crate::waiting::Patience;

/// The recovery points of one series, from the storage itself.
#[async_trait]
pub trait Points: Send + Sync {
    /// Lists them. An error when the storage is missing or can't be reached: an empty listing means that it was listed.
    async fn list(&self) -> Result<Listing, EngineError>;

    /// What becomes of the work when a run is interrupted, for people.
    fn interrupted(&self) -> &'static str {
        "what the engine was told to do goes on without us, and nothing was undone"
    }

    /// What is seen now of the work of a run whose time is over: what the engine said last, and what it may wait for, for people.
    /// `object` is what the run made for the engine.
    async fn last_seen(&self, _object: Option<&str>) -> Option<String> {
        None
    }

    /// Waits for what works on points and may be about to be installed. Changes nothing, and an error is before any write.
    async fn ready(&self, _: Patience) -> Result<(), EngineError> {
        Ok(())
    }

    /// Checks that a point can be read: the secret opens it, and what it needs is there.
    async fn check_readable(&self, point: &PinnedPoint) -> Result<(), EngineError>;
}

/// A listing that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Every point of the series, in any order.
    pub points: Vec<Point>,
    /// Whether the storage was ever used.
    pub first_use: FirstUse,
    /// Where it was looked, and for which points, for people.
    pub looked: String,
    /// Places nearby that hold points, for people: "`paperless` holds 312 points".
    pub near_misses: Vec<String>,
    /// Ids of points whose own file is damaged: nobody knows of which series they are, and when they were taken.
    pub unreadable: Vec<String>,
}

impl Listing {
    /// The point that is asked for, as [`choose`] finds it.
    pub fn choose(&self, choice: &PointChoice, when: When, born: Option<Timestamp>) -> Result<ChosenPoint, NoPoint> {
        choose(&self.points, choice, when, born).map_err(|reason| match &reason {
            NoPoint::UnknownId { id } => match self.unreadable.iter().find(|found| found.starts_with(id)) {
                Some(id) => NoPoint::Unreadable { id: id.clone() },
                None => reason,
            },
            NoPoint::None | NoPoint::Unusable { .. } if !self.unreadable.is_empty() => {
                NoPoint::AllUnreadable { ids: self.unreadable.clone() }
            }
            _ => reason,
        })
    }

    /// What there may be beside a point that was chosen.
    pub fn damage(&self) -> Option<String> {
        let ids = self.unreadable.join(", ");
        match self.unreadable.len() {
            0 => None,
            1 => Some(format!(
                "recovery point {ids} can't be read, its file in the storage is damaged: when it was taken is not known, and \
                 it may be newer than the one that is taken"
            )),
            _ => Some(format!(
                "recovery points {ids} can't be read, their files in the storage are damaged: when they were taken is not \
                 known, and they may be newer than the one that is taken"
            )),
        }
    }
}

/// Whether storage without points was ever used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstUse {
    /// It holds no point and no data of any.
    Proven,
    /// It does, or it can't be told; why, for people.
    NotProven(String),
}

/// Restores to one target.
#[async_trait]
pub trait Restore: Points {
    /// Looks at the target, without changing it.
    async fn probe(&self) -> Result<Probe, EngineError>;

    /// Restores the point and waits for it. `again` when an earlier attempt of this run may have written: what is there
    /// already is compared and kept. Must be harmless to repeat; dropping the future stops waiting.
    async fn restore(&self, point: &PinnedPoint, again: bool, journal: &Journal) -> Result<Restored, EngineError>;

    /// What keeps points in the storage, where old ones are removed for more than this target and its record is not seen there.
    fn pins(&self) -> Option<&dyn Pins> {
        None
    }

    /// Whether the restore itself may start what uses the target, because it brings that back too.
    fn starts_application(&self) -> bool {
        false
    }

    /// Checks what came back against the point. Figures of the restore are in the journal.
    async fn verify(&self, point: &PinnedPoint, journal: &Journal) -> Result<(), EngineError>;

    /// Makes what the owner of the target takes the point from, and waits until it can be taken. Touches no target. Returns
    /// the incarnation that a target has which was made from it, where the engine can tell. Must be harmless to repeat.
    async fn hand_over(&self, _point: &PinnedPoint, _journal: &Journal) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    /// What the owner of the target takes, and whether it can, as of now. `record` is that of the job's run.
    async fn standing(&self, _record: Option<&Record>) -> Result<Standing, EngineError> {
        Ok(Standing::default())
    }
}

/// Keeps points for runs that need them, in the storage itself.
#[async_trait]
pub trait Pins: Send + Sync {
    /// Keeps what the record of the run names, and nothing else for it. Harmless to repeat.
    async fn pin(&self, journal: &Journal) -> Result<(), EngineError>;

    /// Lets go what was kept for these runs.
    async fn unpin(&self, runs: &[Record]) -> Result<(), EngineError>;
}

/// What a run handed over, looked at later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// What a new target names as its source; `None` where a new one starts empty.
    pub source: Option<DataSource>,
    /// Why a new target would not be filled from it; `None` while it would.
    pub why_not: Option<String>,
}

/// An object that fills a new volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSource {
    /// The group of its kind.
    pub api_group: String,
    /// Its kind.
    pub kind: String,
    /// Its name, in the namespace of the volume.
    pub name: String,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Bytes that are in the target now because of this run, those that were right already included.
    pub bytes: u64,
    /// The same for files or items.
    pub items: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Changes around a run, each of which can be changed back.
#[async_trait]
pub trait Pause: Send + Sync {
    /// What has to change so that the series' own schedule does not run, with what it is now.
    async fn schedule(&self) -> Result<Vec<UndoStep>, EngineError>;

    /// What has to change so that nothing writes to the target, with what it is now.
    async fn application(&self) -> Result<Vec<UndoStep>, EngineError>;

    /// The change where another run made it `other`wise before: what was there then is what is to come back.
    fn beside(&self, step: &UndoStep, other: &UndoStep) -> UndoStep {
        UndoStep { before: other.before.clone(), ..step.clone() }
    }

    /// Makes the change; harmless to repeat.
    async fn change(&self, step: &UndoStep) -> Result<(), EngineError>;

    /// Sees that the changes that were made still hold, when the last one was made and again directly before the first
    /// write. Waits where somebody else needs time to change them back. An error when one does not hold.
    async fn holds(&self, _made: &[UndoStep]) -> Result<(), EngineError> {
        Ok(())
    }

    /// Changes it back; harmless to repeat.
    async fn undo(&self, step: &UndoStep) -> Result<(), EngineError>;

    /// Leaves the change as it is to others that hold the object too; harmless to repeat.
    async fn leave(&self, _: &UndoStep) -> Result<(), EngineError> {
        Ok(())
    }

    /// Waits, for a while, until what was changed back works again; what does not, for people.
    async fn settle(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Saves what a restore is about to overwrite.
#[async_trait]
pub trait Safety: Send + Sync {
    /// Takes a safety backup for a run, or finds the one that an earlier attempt of it took.
    async fn take(&self, journal: &Journal) -> Result<PinnedPoint, EngineError>;
}

/// Backs one series up.
#[async_trait]
pub trait Backup: Points {
    /// Looks at what is backed up.
    async fn probe(&self) -> Result<Probe, EngineError>;

    /// What is backed up, each part with its own history.
    async fn histories(&self) -> Result<Vec<History>, EngineError> {
        Ok(vec![History { points: self.list().await?.points, probe: self.probe().await? }])
    }

    /// What a point that may be removed holds, as that is now. `None` when the point is gone.
    async fn sources_of(&self, _point: &str) -> Result<Option<PointSources>, EngineError> {
        Ok(None)
    }

    /// A digest of what is read, for jobs whose name says too little.
    fn reads(&self) -> Option<String> {
        None
    }

    /// Whether [`Backup::retain`] removes points itself, and frees what they needed.
    fn prunes(&self) -> bool {
        false
    }

    /// How many points [`Backup::retain`] would remove now.
    async fn would_remove(&self, _spare: &[PinnedPoint]) -> Result<u64, EngineError> {
        Ok(0)
    }

    /// Takes a backup and waits for it.
    async fn backup(&self, journal: &Journal) -> Result<BackupStored, EngineError>;

    /// Reads what is stored back.
    async fn verify(&self, point: &PinnedPoint, depth: ReadBack, journal: &Journal) -> Result<(), EngineError>;

    /// Removes a point that the run with this key stored, with all that belongs to it, and waits until it is gone. What is not
    /// there any more is no error. Returns what the user should know.
    async fn remove(&self, _run: &str, _point: &str) -> Result<Vec<String>, EngineError> {
        Err(EngineError::nothing_written("this engine can't remove one backup and keep the others".to_owned()))
    }

    /// Applies the retention of the scope, sparing what runs still need. Returns what the user should know.
    async fn retain(&self, spare: &[PinnedPoint], journal: &Journal) -> Result<Vec<String>, EngineError>;
}

/// A part of what is backed up, with the points that hold it.
#[derive(Debug, Clone)]
pub struct History {
    /// The points.
    pub points: Vec<Point>,
    /// What the part looks like now.
    pub probe: Probe,
}

/// What a point holds, as it is now.
#[derive(Debug, Clone)]
pub struct PointSources {
    /// When the point was taken.
    pub taken: jiff::Timestamp,
    /// What each part looks like.
    pub probes: Vec<Probe>,
}

/// What a backup stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupStored {
    /// The new point.
    pub point: PinnedPoint,
    /// What it holds.
    pub held: Held,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What a new point holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes.
    pub bytes: u64,
    /// Files or items.
    pub items: u64,
}

/// How much is read back after a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadBack {
    /// Nothing.
    #[default]
    None,
    /// That everything which a point needs is there.
    Structure,
    /// All of it.
    Data,
}
