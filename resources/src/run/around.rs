//! What is changed around a run: paused and taken down before it, changed back after it, each step written down first.

use super::{EngineError, Journal, Pause, RunError};
use crate::ledger::{JobKind, LedgerError, LedgerStore, Record, UndoStep};

/// Runs of other targets that hold something down: two volumes of one application are restored at the same time, and what
/// the first took down is down for the second too. Runs of the same target take over each other's debts instead.
pub(super) async fn others(ledger: &dyn LedgerStore, own: &Record) -> Result<Vec<Record>, LedgerError> {
    let mut records = ledger.list().await?;
    records.retain(|record| {
        record.kind == JobKind::Restore && record.key != own.key && record.target != own.target && record.owes_undo()
    });
    Ok(records)
}

/// The same change, not changed back.
fn owed<'a>(steps: &'a [UndoStep], wanted: &UndoStep) -> Option<&'a UndoStep> {
    steps.iter().find(|step| !step.undone && step.action == wanted.action && step.object == wanted.object)
}

/// Makes changes, writing down how to undo each before it is made. One that an earlier attempt made is made again, since
/// somebody may have changed it back, but what it was before stays what was written down then; the same goes for one that
/// another run had made when it was looked what there is to change.
pub(super) async fn hold(
    pause: &dyn Pause,
    wanted: Vec<UndoStep>,
    others: &[Record],
    journal: &Journal,
) -> Result<(), HoldError> {
    for step in wanted {
        let held = owed(&journal.record().await.undo, &step).cloned();
        let step = match held {
            Some(held) => held,
            None => {
                let before_it = others.iter().find_map(|other| owed(&other.undo, &step));
                let step = before_it.map_or(step.clone(), |other| pause.beside(&step, other));
                journal.change(|record| record.undo.push(step.clone())).await?;
                step
            }
        };
        pause.change(&step).await?;
    }
    Ok(())
}

/// Why a change could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum HoldError {
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Changes everything back, last first, and writes each down when it is done. Stops at the first that fails: what was
/// changed before it may depend on it. What another run still holds down is left to that one: what that is, for people.
pub(super) async fn undo_all(
    pause: Option<&dyn Pause>,
    ledger: &dyn LedgerStore,
    journal: &Journal,
) -> Result<Vec<String>, RunError> {
    let record = journal.record().await;
    let mut left = Vec::new();
    for (place, step) in record.undo.iter().enumerate().rev().filter(|(_, step)| !step.undone) {
        if holders(ledger, &record, step).await?.is_empty() {
            undo(pause, &record, step).await?;
            journal.change(|record| record.undo[place].undone = true).await?;
            continue;
        }
        journal.change(|record| record.undo[place].undone = true).await?;
        // The other one may have left it to this one at the same moment.
        let holders = holders(ledger, &record, step).await?;
        match pause {
            Some(pause) if !holders.is_empty() => {
                pause.leave(step).await.map_err(|source| not_undone(&record, step, source))?
            }
            _ if holders.is_empty() => undo(pause, &record, step).await?,
            _ => {}
        }
        left.extend(holders.iter().map(|holder| {
            let (object, name, key) = (&step.object, &holder.name, &holder.key);
            format!("{object} stays down until the restore job {name} (run {key}) has succeeded")
        }));
    }
    Ok(left)
}

async fn holders(ledger: &dyn LedgerStore, own: &Record, step: &UndoStep) -> Result<Vec<Record>, LedgerError> {
    let mut others = others(ledger, own).await?;
    others.retain(|other| owed(&other.undo, step).is_some());
    Ok(others)
}

async fn undo(pause: Option<&dyn Pause>, record: &Record, step: &UndoStep) -> Result<(), RunError> {
    let undone = match pause {
        Some(pause) => pause.undo(step).await,
        None => Err(EngineError::new("nothing here knows how to change it back")),
    };
    undone.map_err(|source| not_undone(record, step, source))
}

fn not_undone(record: &Record, step: &UndoStep, source: EngineError) -> RunError {
    RunError::Undo {
        key: record.key.clone(),
        action: step.action.clone(),
        object: step.object.clone(),
        source: Box::new(source),
        first: None,
    }
}
