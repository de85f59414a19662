//! Whether a restore is due, and which point it takes.

use super::begin::Run;
use super::{Memory, OnMissing, RestoreJob, RestoreResult, RunError};
use crate::ledger::{PinnedPoint, Record};
use crate::run::{FirstUse, Listing, NoPoint, PointChoice, Probe, TargetState};
use crate::store::siblings::Siblings;

/// What was decided before anything is touched.
pub(super) enum Decision {
    /// This point is restored.
    Restore { point: PinnedPoint, because: String, warning: Option<String> },
    /// Nothing is, and that is no failure.
    Nothing(Nothing),
}

/// Why nothing is restored.
pub(super) struct Nothing {
    pub(super) outcome: super::Outcome,
    pub(super) because: String,
    pub(super) warning: Option<String>,
}

/// Evaluates `when`; the reason if the target is to be restored, or why it isn't.
pub(super) fn when(job: &RestoreJob, probe: &Probe) -> Result<Result<String, Nothing>, RunError> {
    match job.when.is_met(probe.state) {
        Some(true) => Ok(Ok(probe.evidence.clone())),
        Some(false) => {
            let because = format!("{}: `when` is not met", probe.evidence);
            let said = "Nothing was restored, though the plan said that it would be";
            let warning = job.approved.is_some().then(|| format!("{said}: {}", probe.evidence));
            Ok(Err(Nothing { outcome: super::Outcome::NotNeeded, because, warning }))
        }
        None => {
            let (target, evidence) = (job.target.clone(), probe.evidence.clone());
            Err(match probe.state {
                TargetState::Partial => RunError::Partial { target, evidence },
                _ => RunError::Undecided { target, evidence },
            })
        }
    }
}

/// The point that an earlier attempt is pinned to, which is kept unless the configuration names one, or it is gone and nothing was
/// written. `half` is whether the target is half written.
pub(super) fn pinned(
    job: &RestoreJob,
    record: Option<&Record>,
    listing: &Listing,
    half: bool,
) -> Result<Option<PinnedPoint>, RunError> {
    let exact = matches!(job.recovery_point, PointChoice::Id(_));
    let pin = record.filter(|_| !exact).and_then(|record| Some((record, record.point.as_ref()?)));
    let Some((record, pin)) = pin else { return Ok(None) };
    match find(listing, &pin.id) {
        Some(point) => Ok(Some(point)),
        None if half || !record.may_choose_anew() => Err(RunError::PinGone { id: pin.id.clone(), key: job.key() }),
        None => Ok(None),
    }
}

fn find(listing: &Listing, id: &str) -> Option<PinnedPoint> {
    listing.points.iter().find(|point| point.id == id).map(|point| point.pinned())
}

/// Picks the point out of a listing: what the plan showed, the pin of an earlier attempt, or what `recovery_point` says.
pub(super) async fn point(
    job: &RestoreJob,
    record: Option<&Record>,
    listing: &Listing,
    half: bool,
    probe: &Probe,
    memory: &Memory<'_>,
) -> Result<Decision, RunError> {
    let exact = matches!(job.recovery_point, PointChoice::Id(_));
    let warning = listing.damage().filter(|_| !exact);
    if let Some(approved) = &job.approved {
        let point = find(listing, approved).ok_or_else(|| RunError::PointGone { id: approved.clone() })?;
        return Ok(Decision::Restore { point, because: "as the plan showed".into(), warning });
    }
    if let Some(point) = pinned(job, record, listing, half)? {
        return Ok(Decision::Restore { point, because: "pinned by an earlier attempt".into(), warning });
    }
    match listing.choose(&job.recovery_point, job.when, probe.born) {
        Ok(chosen) => {
            let (point, because) = (chosen.point.pinned(), chosen.because);
            Ok(Decision::Restore { point, because, warning })
        }
        Err(NoPoint::None) if job.on_missing == OnMissing::Skip => first_use(job, listing, memory).await,
        Err(reason) => {
            let (looked, near_misses) = (listing.looked.as_str().into(), listing.near_misses.clone().into());
            Err(RunError::NoPoint { reason, looked, near_misses })
        }
    }
}

/// Starting empty needs proof that nothing was ever stored.
async fn first_use(job: &RestoreJob, listing: &Listing, memory: &Memory<'_>) -> Result<Decision, RunError> {
    let near_misses = listing.near_misses.clone();
    let reason = match (&listing.first_use, memory.storage) {
        (FirstUse::NotProven(reason), _) => Some(reason.clone()),
        (FirstUse::Proven, None) => Some("the storage keeps no memory of earlier backups".to_owned()),
        (FirstUse::Proven, Some(storage)) if storage.seen(&job.series).await? => {
            Some("a backup was stored here before, and its points are gone".to_owned())
        }
        (FirstUse::Proven, Some(_)) => meant_another(memory.siblings).await,
    };
    if let Some(reason) = reason {
        return Err(RunError::NotFirstUse { reason, near_misses });
    }
    let near = if near_misses.is_empty() { String::new() } else { format!(". Nearby: {}", near_misses.join("; ")) };
    Ok(Decision::Nothing(Nothing {
        outcome: super::Outcome::SkippedNoPoints,
        because: "the storage holds no recovery point and no data, and no backup was ever stored in it".into(),
        warning: Some(format!(
            "nothing is restored to {}, which starts empty: there is no recovery point yet{near}",
            job.target
        )),
    }))
}

/// Why a prefix with nothing in it is no proof.
async fn meant_another(siblings: Option<&Siblings>) -> Option<String> {
    let siblings = siblings?;
    let meant = match siblings.mistyped().await {
        Ok(meant) => meant?,
        Err(error) => return Some(format!("what lies beside the prefix can't be listed: {error}")),
    };
    let prefix = &siblings.prefix;
    Some(format!(
        "nothing is in the prefix `{prefix}`, and `{meant}` beside it holds backups. Correct the prefix of the target. If \
         it is right, leave this restore out until the first backup is stored"
    ))
}

/// The target beside what restores of it left: that of the job, and where only a part of it is there those of others.
pub(super) fn beside<'a>(probe: Probe, own: Option<&Record>, others: impl Iterator<Item = &'a Record>) -> Probe {
    let probe = probe.beside(own);
    match probe.state {
        TargetState::Partial => others.fold(probe, |probe, record| probe.beside(Some(record))),
        _ => probe,
    }
}

impl Run<'_> {
    /// Lists the points and picks one.
    pub(super) async fn resolve(&self, record: Option<&Record>, probe: &Probe) -> Result<Decision, RunError> {
        let listed = self.parts.engine.list().await;
        let listing =
            listed.map_err(|source| RunError::BeforeWriting { step: "listing the recovery points", source })?;
        point(self.job, record, &listing, self.half(), probe, &self.parts.memory).await
    }

    /// That another point is taken than the one that an earlier attempt was pinned to, for people.
    pub(super) fn instead(&self, record: Option<&Record>, point: &PinnedPoint) -> Option<String> {
        let pin = record?.point.as_ref().filter(|pin| pin.id != point.id)?;
        let asked_for = matches!(self.job.recovery_point, PointChoice::Id(_));
        (!asked_for).then(|| {
            let (id, time, taken, of) = (&pin.id, pin.time, &point.id, point.time);
            format!(
                "recovery point {id} of {time}, which an earlier attempt was pinned to, is no longer there. That attempt had \
                 written nothing, so {taken} of {of} is taken instead"
            )
        })
    }

    /// Notes that nothing is restored, after changing back what an earlier attempt may have changed.
    pub(super) async fn nothing(&self, nothing: Nothing, found: &Option<Record>) -> Result<RestoreResult, RunError> {
        self.begin_attempt(found).await?;
        self.inherit_debts().await?;
        let left = self.undo_all().await?;
        let incarnation = self.parts.engine.probe().await.ok().and_then(|probe| probe.incarnation);
        self.journal
            .change(|record| {
                record.incarnation = incarnation;
                record.point = None;
            })
            .await?;
        self.journal.end(crate::ledger::Phase::Done, nothing.outcome.verdict()).await?;
        let record = self.journal.record().await;
        let mut result = RestoreResult::of(self.job, &record, nothing.outcome, nothing.because);
        result.warnings.extend(nothing.warning);
        result.warnings.extend(left);
        Ok(result)
    }
}
