//! Retention: which points go, and the space that they free.

use super::error::EngineError;
use super::locks::{self, Hear, RepositoryLock, Request};
use super::notes::{Kept, Notes};
use super::points::{self, Phase, Point};
use super::repository::Opened;
use crate::clock;
use crate::retention::{self, Keep};
use rustic_core::{LimitOption, PruneOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::runtime::Handle;

/// How many points that a restore took of its target are kept of each path.
const SAFETY_KEPT: usize = 3;

/// What retention did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetReport {
    /// The ids of the points that went.
    pub removed: Vec<String>,
    /// How many stay.
    pub kept: u64,
    /// Why something that the policy would remove is still there.
    pub warnings: Vec<String>,
}

/// Applies `keep` to the whole repository and frees the space; without it only space that an earlier run owes. A repository that is in
/// use is left as it is, with a
/// warning: the next run does it. Blocks: not for a runtime's thread.
pub fn forget(
    opened: &Opened,
    keep: Option<&Keep>,
    pinned: &[String],
    notes: &Notes,
    request: &Request,
    hear: Hear,
    runtime: &Handle,
) -> Result<ForgetReport, EngineError> {
    let look = || -> Result<ForgetReport, EngineError> {
        let points = points::list(opened, runtime)?;
        let Some(keep) = keep else {
            return Ok(ForgetReport { kept: points.len() as u64, ..ForgetReport::default() });
        };
        // After the points: what is pinned later has to find its point gone, and that is before anything is restored.
        Ok(spare(&points, keep, pinned, &runtime.block_on(notes.pins())?))
    };
    let owed = runtime.block_on(notes.is_prune_owed())?;
    let before = look()?;
    if before.removed.is_empty() && !owed {
        return Ok(before);
    }
    let lock = match locks::acquire(&opened.store, &opened.key, request, hear, runtime) {
        Ok(lock) => lock,
        Err(error @ EngineError::Locked { .. }) => {
            let hint = error.hint().unwrap_or_default();
            let waits = format!("{error}; old points were not removed, the next run does it. {hint}");
            let warnings = before.warnings.into_iter().chain([waits]).collect();
            let kept = before.kept + before.removed.len() as u64;
            return Ok(ForgetReport { removed: Vec::new(), kept, warnings });
        }
        Err(error) => return Err(error),
    };
    opened.gate.guard(lock.held());
    // Again, now that nobody else adds or removes.
    let report = look()?;
    remove(opened, &report.removed, notes, &lock, runtime)?;
    Ok(report)
}

/// Removes points, then what nothing else needs. Whoever is killed in between owes the second to the next one, which may find
/// no point to remove.
fn remove(
    opened: &Opened,
    removed: &[String],
    notes: &Notes,
    lock: &RepositoryLock,
    runtime: &Handle,
) -> Result<(), EngineError> {
    let failed = |error: Box<rustic_core::RusticError>| EngineError::repository("removing old recovery points", &error);
    let ids: Vec<_> = removed.iter().filter_map(|id| id.parse().ok()).collect();
    if !ids.is_empty() {
        runtime.block_on(notes.owe_prune())?;
        lock.held().check()?;
        opened.repository.delete_snapshots(&ids).map_err(failed)?;
    }
    let options = PruneOptions::default()
        .instant_delete(true)
        .max_unused(LimitOption::Percentage(5))
        .max_repack(LimitOption::Unlimited);
    let plan = opened.repository.prune_plan(&options).map_err(failed)?;
    lock.held().check()?;
    opened.repository.prune(&options, plan).map_err(failed)?;
    runtime.block_on(notes.pruned())
}

/// What would go and what stays for the sake of restores, wherever their targets are.
fn spare(points: &[Point], keep: &Keep, pinned: &[String], pins: &[Kept]) -> ForgetReport {
    let needed = pins.iter().flat_map(|kept| &kept.pin.points).map(|point| point.id.clone());
    let mut report = choose(points, keep, &pinned.iter().cloned().chain(needed).collect::<Vec<_>>());
    let due = choose(points, keep, pinned).removed;
    for kept in pins {
        for point in kept.pin.points.iter().filter(|point| due.contains(&point.id)) {
            let (id, time) = (&point.id, point.time);
            report.warnings.push(format!(
                "Recovery point {id} of {time} stays for {kept}, which has not ended: apply that restore job again, or remove that \
                 file where the restore is not wanted any more"
            ));
        }
    }
    report
}

/// What would go and what stays. `points` are newest first.
pub fn choose(points: &[Point], keep: &Keep, pinned: &[String]) -> ForgetReport {
    let mut groups: BTreeMap<_, Vec<&Point>> = BTreeMap::new();
    for point in points {
        let kind = match point.phase {
            // Nothing is known about it.
            Phase::Unreadable => continue,
            Phase::Safety => Kind::Safety,
            // These never count as the newest, so they may not push a good one out either.
            Phase::Incomplete => Kind::Lacking,
            Phase::Complete if point.is_empty() => Kind::Lacking,
            Phase::Complete => Kind::Whole,
        };
        let mut paths = point.paths.clone();
        paths.sort();
        groups.entry((&point.host, paths, kind)).or_default().push(point);
    }
    let mut report = ForgetReport::default();
    for ((host, paths, kind), group) in &groups {
        let kept = match kind {
            Kind::Safety => (0..group.len()).map(|index| index < SAFETY_KEPT).collect(),
            Kind::Lacking => by_policy(group, keep),
            Kind::Whole => match points::shrunk(group) {
                None => by_policy(group, keep),
                Some((bytes, median)) => {
                    report.warnings.push(format!(
                        "The newest point of {} on {host} holds {bytes} bytes, those before it {median} in the median: \
                         none of them is removed until a later one is as large again",
                        paths.join(", ")
                    ));
                    vec![true; group.len()]
                }
            },
        };
        for (point, kept) in group.iter().zip(kept) {
            if !kept && !pinned.iter().any(|id| !id.is_empty() && point.id.starts_with(id)) {
                report.removed.push(point.id.clone());
            }
        }
    }
    report.kept = (points.len() - report.removed.len()) as u64;
    report
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Whole,
    Lacking,
    Safety,
}

fn by_policy(group: &[&Point], keep: &Keep) -> Vec<bool> {
    let moments: Option<Vec<retention::Point>> = group.iter().map(|point| point.moment()).collect();
    // A point whose time can't be read keeps its whole group.
    moments.map_or_else(|| vec![true; group.len()], |moments| retention::restic::apply(&moments, keep, clock::now()))
}

#[cfg(test)]
mod tests;
