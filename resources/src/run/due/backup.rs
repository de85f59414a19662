//! Whether a plan runs a backup job.

use super::{Change, Due, Planned, PlannedPoint, Prior, fired};
use crate::ledger::LastRun;
use crate::run::Cause;

/// Whether and why a backup job runs: when it is new, when its triggers fired, when its storage is another one, when its
/// last run did not end well; each only if `on` asks for it. Of `prior` and `planned` only what a backup has is looked at.
pub fn due_backup(prior: Option<&Prior>, planned: &Planned, on: &[Cause]) -> Due {
    let answer = |change, reasons, point, warnings| Due { change, reasons, point, warnings };
    let asked = |cause| on.contains(&cause);
    let Some(prior) = prior else {
        let reasons = vec!["the job is new".to_owned()];
        let change = if asked(Cause::Create) { Change::Run } else { Change::None };
        return answer(change, reasons, PlannedPoint::Unknown, Vec::new());
    };
    let mut reasons = Vec::new();
    match prior.refreshed.last_run {
        LastRun::Failed if asked(Cause::Create) || asked(Cause::Triggers) => reasons.push("the last run failed".into()),
        LastRun::Unfinished if asked(Cause::Create) || asked(Cause::Triggers) => {
            reasons.push("the last run did not end".into());
        }
        _ => {}
    }
    let triggers = planned.triggers.as_ref().filter(|_| asked(Cause::Triggers));
    let fired = triggers.map(|triggers| fired(&prior.triggers, triggers)).unwrap_or_default();
    reasons.extend(fired.iter().map(|name| format!("trigger `{name}` changed")));
    if asked(Cause::Create) && !planned.server_unknown && prior.refreshed.server_uid != prior.ran_on {
        reasons.push("the storage is another one than that of the last run".into());
    }
    if !reasons.is_empty() {
        return answer(Change::Run, reasons, PlannedPoint::Unknown, Vec::new());
    }
    if (planned.server_unknown && asked(Cause::Create)) || (planned.triggers.is_none() && asked(Cause::Triggers)) {
        let reason = if planned.server_unknown { "the storage is not known yet" } else { "a trigger is not known yet" };
        return answer(Change::Unknown, vec![reason.to_owned()], PlannedPoint::Unknown, Vec::new());
    }
    let names: Vec<String> = planned.changed.iter().map(|name| format!("`{name}`")).collect();
    let warning = format!("No backup will run: {} changed, `triggers` did not", names.join(", "));
    answer(Change::None, reasons, PlannedPoint::Prior, if names.is_empty() { Vec::new() } else { vec![warning] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Triggers;

    const USUAL: [Cause; 2] = [Cause::Create, Cause::Triggers];

    fn triggers(value: &str) -> Triggers {
        [("release".to_owned(), Some(value.to_owned()))].into()
    }

    fn change(prior: &Prior, triggers: Option<Triggers>, on: &[Cause]) -> Change {
        due_backup(Some(prior), &Planned { triggers, ..Planned::default() }, on).change
    }

    #[test]
    fn a_new_job_runs_when_on_says_create() {
        assert_eq!(due_backup(None, &Planned::default(), &USUAL).change, Change::Run);
        assert_eq!(due_backup(None, &Planned::default(), &[Cause::Destroy]).change, Change::None);
    }

    #[test]
    fn changed_triggers_run_it_when_on_says_triggers() {
        let prior = Prior { triggers: triggers("1"), ..Prior::default() };
        assert_eq!(change(&prior, Some(triggers("1")), &USUAL), Change::None);
        assert_eq!(change(&prior, Some(triggers("2")), &USUAL), Change::Run);
        assert_eq!(change(&prior, Some(triggers("2")), &[Cause::Create]), Change::None);
        assert_eq!(change(&prior, Some(Triggers::new()), &USUAL), Change::None);
        assert_eq!(change(&prior, None, &USUAL), Change::Unknown);
    }

    #[test]
    fn a_run_that_did_not_end_well_is_made_again() {
        for last_run in [LastRun::Failed, LastRun::Unfinished] {
            let mut prior = Prior::default();
            prior.refreshed.last_run = last_run;
            assert_eq!(change(&prior, Some(Triggers::new()), &USUAL), Change::Run);
            assert_eq!(change(&prior, Some(Triggers::new()), &[Cause::Destroy]), Change::None);
        }
    }

    #[test]
    fn another_storage_gets_a_backup_of_its_own() {
        let mut prior = Prior { ran_on: Some("old".into()), ..Prior::default() };
        prior.refreshed.server_uid = Some("new".into());
        assert_eq!(change(&prior, Some(Triggers::new()), &USUAL), Change::Run);
        let unknown = Planned { triggers: Some(Triggers::new()), server_unknown: true, ..Planned::default() };
        assert_eq!(due_backup(Some(&prior), &unknown, &USUAL).change, Change::Unknown);
    }

    #[test]
    fn changed_arguments_without_a_run_are_a_warning() {
        let changed = vec!["restic.paths".to_owned()];
        let planned = Planned { triggers: Some(Triggers::new()), changed, ..Planned::default() };
        let answer = due_backup(Some(&Prior::default()), &planned, &USUAL);
        assert_eq!(answer.warnings, ["No backup will run: `restic.paths` changed, `triggers` did not"]);
    }
}
