//! Whether a plan runs a restore: a pure function of what the last refresh saw and of the configuration.

mod backup;

use jiff::Timestamp;

pub use backup::due_backup;

use super::{Point, PointChoice, TargetState, When, choose};
use crate::ledger::{LastRun, PinnedPoint, Record, Triggers};

/// What Read found out, as it stands in state. A server that could not be reached leaves all of it as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refreshed {
    /// The server that holds the target; `None` for a path.
    pub server_uid: Option<String>,
    /// What the target looked like.
    pub target_state: TargetState,
    /// How the last run of the job's key ended.
    pub last_run: LastRun,
    /// What a run would restore.
    pub candidate: Option<Candidate>,
}

/// The recovery point that a run would restore now, or the pin of the run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The engine's id.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// How much it holds, where known.
    pub bytes: Option<u64>,
}

impl From<PinnedPoint> for Candidate {
    fn from(point: PinnedPoint) -> Self {
        Candidate { id: point.id, time: point.time, bytes: point.bytes }
    }
}

impl From<&Point> for Candidate {
    fn from(point: &Point) -> Self {
        point.pinned().into()
    }
}

/// What Read stores: `before` as it stands in state, `seen` what this refresh saw, `None` when the server could not be
/// reached. The candidate belongs to a run that is due and goes when nothing is. `pick` gives it; what it gets is the pin of a run
/// that did not end well, which it is as long as the points can't be listed.
pub fn refresh(
    before: Refreshed,
    seen: Option<(Option<String>, TargetState, Option<&Record>)>,
    when: When,
    pick: impl FnOnce(Option<Candidate>) -> Option<Candidate>,
) -> Refreshed {
    let Some((server_uid, target_state, record)) = seen else { return before };
    let last_run = record.map_or(LastRun::None, Record::last_run);
    let candidate = match wants_candidate(target_state, last_run, when) {
        true => pick(pin_of(record).cloned().map(Candidate::from)),
        false => None,
    };
    Refreshed { server_uid, target_state, last_run, candidate }
}

/// What a run would restore now of the points that are there: the pin of a run that did not end well, also where newer points
/// appeared. Where that is gone and nothing was written, what `choice` means now; where something was, apply says how to go on.
pub fn pick(
    points: &[Point],
    record: Option<&Record>,
    choice: &PointChoice,
    when: When,
    born: Option<Timestamp>,
) -> Option<Candidate> {
    let there = |pin: &PinnedPoint| points.iter().any(|point| point.id == pin.id);
    match pin_of(record) {
        Some(pin) if there(pin) => Some(pin.clone().into()),
        Some(_) if !record.is_some_and(Record::may_choose_anew) => None,
        _ => choose(points, choice, when, born).ok().map(|chosen| (&chosen.point).into()),
    }
}

/// The point of a run that did not end well.
fn pin_of(record: Option<&Record>) -> Option<&PinnedPoint> {
    record.filter(|record| wants_pin(record.last_run())).and_then(|record| record.point.as_ref())
}

fn wants_pin(last_run: LastRun) -> bool {
    matches!(last_run, LastRun::Failed | LastRun::Unfinished)
}

/// Whether what Read saw makes a run due, so that Read has to look for its recovery point too.
pub fn wants_candidate(target_state: TargetState, last_run: LastRun, when: When) -> bool {
    wants_pin(last_run) || waits_for(target_state, when)
}

/// `when = "always"` runs on other reasons alone, or it would run at every plan.
fn waits_for(target_state: TargetState, when: When) -> bool {
    when != When::Always && when.is_met(target_state) == Some(true)
}

/// A job that exists, as the last refresh left it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prior {
    /// The triggers of the last apply.
    pub triggers: Triggers,
    /// The server that the last run restored to (`result.server_uid`); `None` for a path.
    pub ran_on: Option<String>,
    /// What Read saw.
    pub refreshed: Refreshed,
}

/// What the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Planned {
    /// The triggers, `None` while any of them is unknown.
    pub triggers: Option<Triggers>,
    /// When the target is restored.
    pub when: When,
    /// Whether the connection's address is unknown or its server declared lost.
    pub server_unknown: bool,
    /// The id that `recovery_point.id` names, or the beginning of it.
    pub exact_point: Option<String>,
    /// Arguments whose values changed, other than `triggers`.
    pub changed: Vec<String>,
    /// What a run does, in order, for people: "scale down deployment/docs".
    pub steps: Vec<String>,
    /// What a run overwrites, for people.
    pub overwrites: Option<String>,
    /// The target, for people.
    pub target: String,
}

/// What a plan does about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing runs.
    None,
    /// It can't be known before apply, which plans again: an in-place update that may turn out to be nothing.
    Unknown,
    /// The job runs, as an in-place update (or as the create that it is).
    Run,
}

/// The planned value of `point`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedPoint {
    /// As it stands in state.
    Prior,
    /// Apply pins its own.
    Unknown,
    /// Apply restores exactly this one, or fails.
    Exactly(Candidate),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What happens.
    pub change: Change,
    /// Why, for people.
    pub reasons: Vec<String>,
    /// The planned value of `point`.
    pub point: PlannedPoint,
    /// What the plan has to print.
    pub warnings: Vec<String>,
}

/// Why a plan can't tell whether the target is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// It can't be seen.
    #[error(
        "it can't be told whether {target} is lost: is it mounted? Mount it, or make the folder that it lies in; or change `triggers` to restore here"
    )]
    Unseen {
        /// The target.
        target: String,
    },
    /// Only some of it is lost.
    #[error(
        "a part of {target} is lost and the rest is not: restore what is missing with a job of its own. To restore all of it \
         over what is there, set when = \"always\" and change `triggers`; to go on without, set when = \"always\" alone"
    )]
    Partial {
        /// The target.
        target: String,
    },
}

/// Whether and why a job runs. `prior` is `None` for a job that does not exist yet; `now` is used for warnings alone.
pub fn due(prior: Option<&Prior>, planned: &Planned, now: Timestamp) -> Result<Due, Undecided> {
    let Some(prior) = prior else {
        // A new job asks nothing and prints nothing: plan needs no network.
        let reasons = vec!["the job is new".to_owned()];
        return Ok(Due { change: Change::Run, reasons, point: PlannedPoint::Unknown, warnings: Vec::new() });
    };
    let seen = &prior.refreshed;
    let seen_reasons = reasons_seen(seen, planned);
    let mut reasons = seen_reasons.clone();
    if !planned.server_unknown && seen.server_uid != prior.ran_on {
        reasons.push("the server is another one than that of the last run".to_owned());
    }
    let fired = planned.triggers.as_ref().map(|triggers| fired(&prior.triggers, triggers)).unwrap_or_default();
    reasons.extend(fired.iter().map(|name| format!("trigger `{name}` changed")));
    if !reasons.is_empty() {
        let holds = |candidate: &Candidate| holds(candidate, seen.last_run, planned);
        let candidate = seen.candidate.clone().filter(|candidate| !seen_reasons.is_empty() && holds(candidate));
        return Ok(running(candidate, reasons, planned, now));
    }
    if planned.server_unknown || planned.triggers.is_none() {
        let reason = if planned.server_unknown { "the server is not known yet" } else { "a trigger is not known yet" };
        let (reasons, point) = (vec![reason.to_owned()], PlannedPoint::Unknown);
        return Ok(Due { change: Change::Unknown, reasons, point, warnings: Vec::new() });
    }
    if planned.when.is_met(seen.target_state).is_none() {
        let target = planned.target.clone();
        return Err(match seen.target_state {
            TargetState::Partial => Undecided::Partial { target },
            _ => Undecided::Unseen { target },
        });
    }
    let warnings = if planned.changed.is_empty() { Vec::new() } else { vec![nothing_runs(planned)] };
    Ok(Due { change: Change::None, reasons, point: PlannedPoint::Prior, warnings })
}

/// Whether the point that Read picked by the arguments in state is that of the arguments now. The beginning of an id may
/// fit another point too: only who picked by it knows.
fn holds(candidate: &Candidate, last_run: LastRun, planned: &Planned) -> bool {
    let chosen_anew = planned.changed.iter().any(|name| name != "when");
    match &planned.exact_point {
        Some(id) if chosen_anew => candidate.id == *id,
        Some(id) => candidate.id.starts_with(id),
        None => wants_pin(last_run) || !chosen_anew,
    }
}

/// Reasons for which Read has already looked for the point.
fn reasons_seen(seen: &Refreshed, planned: &Planned) -> Vec<String> {
    let mut reasons = Vec::new();
    match seen.last_run {
        LastRun::Failed => reasons.push("the last run failed".to_owned()),
        LastRun::Unfinished => reasons.push("the last run did not end".to_owned()),
        LastRun::None | LastRun::Succeeded => {}
    }
    if waits_for(seen.target_state, planned.when) {
        reasons.push(format!("{} is {}", planned.target, seen.target_state.as_str()));
    }
    reasons
}

/// The triggers that are new or have another value. One that was removed, or went to null, never runs.
fn fired<'a>(before: &Triggers, after: &'a Triggers) -> Vec<&'a str> {
    let differs = |name: &str, value: &Option<String>| value.is_some() && before.get(name) != Some(value);
    after.iter().filter(|(name, value)| differs(name, value)).map(|(name, _)| name.as_str()).collect()
}

fn running(candidate: Option<Candidate>, reasons: Vec<String>, planned: &Planned, now: Timestamp) -> Due {
    let Some(candidate) = candidate else {
        return Due { change: Change::Run, reasons, point: PlannedPoint::Unknown, warnings: Vec::new() };
    };
    let mut lines = vec![format!(
        "A restore will run because {}: recovery point {} of {}, {}{}",
        reasons.join(" and "),
        candidate.id,
        candidate.time,
        match candidate.time.duration_since(now) > FAST {
            true => format!("{} in the future: a clock is or was wrong", age(now, candidate.time)),
            false => format!("{} old", age(candidate.time, now)),
        },
        candidate.bytes.map(|bytes| format!(", {}", in_units(bytes))).unwrap_or_default(),
    )];
    match &planned.overwrites {
        Some(overwritten) => lines.push(format!("It overwrites {overwritten}")),
        None => lines.push(format!("It fills {}; nothing is overwritten", planned.target)),
    }
    if !planned.steps.is_empty() {
        lines.push(format!("Steps: {}", planned.steps.join(", ")));
    }
    Due { change: Change::Run, reasons, point: PlannedPoint::Exactly(candidate), warnings: vec![lines.join("\n")] }
}

fn nothing_runs(planned: &Planned) -> String {
    let names: Vec<String> = planned.changed.iter().map(|name| format!("`{name}`")).collect();
    format!("No restore will run: {} changed, `triggers` did not", names.join(", "))
}

/// By how much clocks of machines differ that keep them right.
const FAST: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// How old, in the largest two units: `2d 3h`, `43m`.
pub fn age(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// Bytes in the unit that people read: `19.0 GiB`.
pub fn in_units(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let power = (0..units.len()).rev().find(|power| bytes >> (10 * power) > 0).unwrap_or(0);
    match power {
        0 => format!("{bytes} B"),
        _ => format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * power)) as f64, units[power]),
    }
}

#[cfg(test)]
mod tests;
