//! What backup jobs and restore jobs have in common: triggers, points, results, and how failures are told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dr_framework::{Attr, Context, Diagnostic, Diagnostics, Model, Path};
use jiff::Timestamp;

use crate::clock;
use crate::engines::restic::model as restic;
use crate::engines::table::{self, LedgerPlace};
use crate::ledger::{ConfigMapLedger, LedgerError, LedgerStore, PathLedger, Phase, PinnedPoint, Triggers};
use crate::reference::Reference;
use crate::run::{Candidate, Points, RunError, left};
use crate::shared::Shared;
use crate::timeouts::Deadline;
use crate::words::{ended, sentence};

/// A recovery point.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct PointModel {
    /// The engine's id.
    #[dr(computed)]
    pub id: Attr<String>,
    /// When it was taken, in RFC 3339.
    #[dr(computed)]
    pub time: Attr<String>,
    /// How many bytes it holds.
    #[dr(computed)]
    pub bytes: Attr<i64>,
}

impl From<&PinnedPoint> for PointModel {
    fn from(point: &PinnedPoint) -> Self {
        PointModel {
            id: Attr::Known(point.id.clone()),
            time: Attr::Known(point.time.to_string()),
            bytes: point.bytes.map(count).into(),
        }
    }
}

impl From<&Candidate> for PointModel {
    fn from(point: &Candidate) -> Self {
        PointModel {
            id: Attr::Known(point.id.clone()),
            time: Attr::Known(point.time.to_string()),
            bytes: point.bytes.map(count).into(),
        }
    }
}

impl PointModel {
    /// The point as it stands in state.
    pub fn candidate(&self) -> Option<Candidate> {
        let bytes = self.bytes.known().and_then(|bytes| u64::try_from(*bytes).ok());
        Some(Candidate { id: self.id.text()?.to_owned(), time: self.time.text()?.parse().ok()?, bytes })
    }
}

/// A count as the schema's numbers hold it.
pub fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A moment as the schema's strings hold it.
pub fn moment(time: Option<Timestamp>) -> Attr<String> {
    time.map(|time| time.to_string()).into()
}

/// The triggers, once all of them are known.
pub fn triggers(triggers: &Attr<BTreeMap<String, Attr<String>>>) -> Option<Triggers> {
    match triggers {
        Attr::Null => Some(Triggers::new()),
        Attr::Unknown => None,
        Attr::Known(triggers) => triggers
            .iter()
            .map(|(name, value)| match value {
                Attr::Unknown => None,
                known => Some((name.clone(), known.known().cloned())),
            })
            .collect(),
    }
}

/// A run, and the ledger that holds its record.
pub type RunOf = (String, Arc<dyn LedgerStore>);

/// The run that an `after` names, and the ledger that holds its record; none while it names none yet.
pub async fn run_of(shared: &Shared, after: &Attr<Reference>) -> Result<Option<RunOf>, Diagnostics> {
    let Some(after) = after.known() else { return Ok(None) };
    let path = Path::attribute("after");
    let (Some(key), Some(connection), Some(scope)) = (after.uid.text(), after.connection.text(), after.scope.text())
    else {
        return Ok(None);
    };
    let engine = after.engine.text().and_then(table::engine);
    let ledger: Option<Arc<dyn LedgerStore>> = match engine.map(|engine| engine.ledger_place) {
        Some(LedgerPlace::Path) => {
            let beside = PathLedger::new(&PathBuf::from(format!("/{scope}"))).map(|ledger| Arc::new(ledger) as _);
            let storage = restic::ledger_in_storage(shared, after, &path)?;
            holding(key, beside, storage)
                .await
                .map_err(|error| Diagnostics::error_at(path, "Unable to read the ledger", ended(error)))?
        }
        Some(LedgerPlace::Namespace) => shared
            .cluster(connection, &path.then("connection"))?
            .map(|cluster| Arc::new(ConfigMapLedger::new(cluster, scope)) as _),
        // No restore has its record there.
        Some(LedgerPlace::Store) | None => None,
    };
    Ok(ledger.map(|ledger| (key.to_owned(), ledger)))
}

/// The ledger that holds the record of a restore to a path: the one beside it, or, where its parent can't be written, that in
/// the storage.
async fn holding(
    key: &str,
    beside: Option<Arc<dyn LedgerStore>>,
    storage: Option<Arc<dyn LedgerStore>>,
) -> Result<Option<Arc<dyn LedgerStore>>, LedgerError> {
    let (Some(beside), Some(storage)) = (&beside, &storage) else { return Ok(beside.or(storage)) };
    let is_beside = beside.read(key).await?.is_some() || storage.read(key).await?.is_none();
    Ok(Some(if is_beside { beside.clone() } else { storage.clone() }))
}

/// The texts of a list in which everything is known.
pub fn texts(list: &Attr<Vec<Attr<String>>>) -> Vec<String> {
    list.known().map(|list| list.iter().filter_map(|text| text.known().cloned()).collect()).unwrap_or_default()
}

/// How long it is looked what a run whose time is over still waited for.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// A failed run as a diagnostic: what failed, why, and how to go on.
pub async fn failed(action: &str, error: RunError, deadline: &Deadline, engine: &dyn Points) -> Diagnostics {
    match &error {
        RunError::Interrupted { key, phase, object, .. } if deadline.is_expired() => {
            let seen = last_look(engine, object.as_deref(), clock::scaled(LAST_LOOK)).await;
            too_long(action, key, *phase, object, seen)
        }
        error => in_words(action, error),
    }
}

async fn last_look(engine: &dyn Points, object: Option<&str>, limit: Duration) -> Option<String> {
    tokio::time::timeout(limit, engine.last_seen(object)).await.ok().flatten()
}

/// That a run took too long, with what is seen of it.
fn too_long(action: &str, key: &str, phase: Phase, object: &Option<String>, seen: Option<String>) -> Diagnostics {
    let (left, phase) = (left(object), phase.as_str());
    let seen = seen.map(|seen| format!("\n\nLast seen: {}", ended(seen))).unwrap_or_default();
    Diagnostics::error(
        format!("Unable to {action}: it took too long"),
        format!(
            "Run {key} is where it was, at phase {phase}; `timeouts` allows more. Apply again: it goes on there{left}.{seen}"
        ),
    )
}

fn in_words(action: &str, error: &RunError) -> Diagnostics {
    let mut detail = sentence(error);
    let mut cause = std::error::Error::source(error).and_then(std::error::Error::source);
    while let Some(error) = cause {
        let text = error.to_string();
        if !detail.contains(&text) {
            detail.push_str(&format!("\nCaused by: {text}"));
        }
        cause = error.source();
    }
    let diagnostic = Diagnostic::error(format!("Unable to {action}"), detail);
    let attribute = match error {
        RunError::NoPoint { .. } | RunError::PointGone { .. } | RunError::PinGone { .. } => Some("recovery_point"),
        RunError::NotFirstUse { .. } => Some("on_missing"),
        RunError::Undecided { .. } | RunError::Partial { .. } => Some("when"),
        RunError::NoSafety { .. } | RunError::SafetyUndecided { .. } => Some("safety_backup"),
        RunError::After { .. } => Some("after"),
        RunError::FirstBackup { .. } => Some("first_backup"),
        _ => None,
    };
    match attribute {
        Some(attribute) => diagnostic.at(Path::attribute(attribute)).into(),
        None => diagnostic.into(),
    }
}

/// Why a job can't be imported, and what an apply does instead.
pub fn not_importable(type_name: &str, instead: &str) -> Diagnostics {
    Diagnostics::error(
        format!("{type_name} is not imported"),
        format!("A job is a record of a run, and the ledger beside its target holds it. {instead}"),
    )
}

/// Tells the user what there is to say of something beside a result.
pub fn report(shared: &Shared, context: &Context, subject: &str, warnings: &[String]) {
    for warning in warnings {
        warn(shared, context, &format!("About {subject}"), sentence(warning));
    }
}

/// Warns. The command lines show one of several warnings with the same summary, of whatever resource, so each has its number.
pub fn warn(shared: &Shared, context: &Context, summary: &str, detail: String) {
    let number = match shared.times_told(summary) {
        1 => String::new(),
        number => format!(" ({number})"),
    };
    context.report(Diagnostic::warning(format!("{summary}{number}"), detail));
}

/// Warns, once for each connection, of a token that ends before what is done in a cluster has to. `engine` is that of its block.
pub async fn warn_of_token(context: &Context, shared: &Shared, engine: &str, connection: &str, limit: Duration) {
    if engine == restic::ENGINE {
        return;
    }
    let Ok(Some(cluster)) = shared.cluster(connection, &Path::default()) else { return };
    let Ok(ends) = clock::now().checked_add(limit) else { return };
    let Some(expires) = cluster.token_expires().await.filter(|expires| *expires < ends) else { return };
    if shared.warns_first(&format!("token of {connection}")) {
        context.report(Diagnostic::warning(
            format!("The token of connection `{connection}` may end too early"),
            format!(
                "It is good until {expires}, and what is done with it may take until {ends}. A token by `exec` or `token_file` \
                 is read again when it has ended; a smaller `timeouts` ends the work first."
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use dr_framework::{ClientCapabilities, Stopper};

    use super::*;
    use crate::ledger::{JobKind, Record, StoreLedger};
    use crate::run::{EngineError, Listing};
    use crate::store::local::LocalStore;
    use crate::timeouts::{Operation, Timeouts};

    /// An engine that shows this of its work, or does not answer.
    struct Shows(Option<&'static str>);

    #[async_trait]
    impl Points for Shows {
        async fn list(&self) -> Result<Listing, EngineError> {
            Err(EngineError::nothing_written("nobody asks"))
        }

        async fn check_readable(&self, _: &PinnedPoint) -> Result<(), EngineError> {
            Ok(())
        }

        async fn last_seen(&self, object: Option<&str>) -> Option<String> {
            match self.0 {
                Some(shown) => Some(format!("Restore {} {shown}", object?)),
                None => std::future::pending().await,
            }
        }
    }

    /// What a run is told whose time is over.
    async fn told(object: Option<&str>, shows: &'static str) -> String {
        let context = Context::new(ClientCapabilities::default(), Stopper::default().signal());
        let timeouts = Attr::Known(Timeouts { create: "1ms".into(), ..Timeouts::default() });
        let deadline = Deadline::start(&context, &timeouts, Operation::Create, Duration::from_secs(60));
        deadline.cancel().cancelled().await;
        let error = RunError::Interrupted {
            key: "k".to_owned(),
            phase: Phase::Writing,
            aftermath: "nothing was undone",
            object: object.map(str::to_owned),
        };
        let told = failed("restore \"docs\"", error, &deadline, &Shows(Some(shows))).await;
        assert_eq!(told.0[0].summary, "Unable to restore \"docs\": it took too long");
        told.0[0].detail.clone()
    }

    #[tokio::test]
    async fn a_run_that_took_too_long_says_what_was_seen_last_of_its_work() {
        let there = "Run k is where it was, at phase writing; `timeouts` allows more. Apply again: it goes on there";
        let with_object = told(Some("dr-docs"), "has no node").await;
        assert!(
            with_object.starts_with(there) && with_object.contains("`dr-docs`, goes on meanwhile"),
            "{with_object}"
        );
        assert!(with_object.ends_with("\n\nLast seen: Restore dr-docs has no node."), "{with_object}");
        assert_eq!(told(None, "has no node").await, format!("{there}."));
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_keeps_nobody_from_the_error() {
        assert_eq!(last_look(&Shows(None), None, Duration::from_millis(1)).await, None);
    }

    #[tokio::test]
    async fn the_record_that_a_backup_waits_for_is_found_beside_the_path_or_in_the_storage_of_the_restore() {
        let folder = tempfile::tempdir().unwrap();
        let beside: Arc<dyn LedgerStore> = Arc::new(PathLedger::new(&folder.path().join("docs")).unwrap());
        let in_storage = Arc::new(LocalStore::new(folder.path().join("repo.dr")));
        let storage: Arc<dyn LedgerStore> = Arc::new(StoreLedger::new(in_storage, ""));
        let found =
            async || holding("1", Some(beside.clone()), Some(storage.clone())).await.unwrap().unwrap().describe();
        assert_eq!(found().await, beside.describe(), "it left no record");
        for written in [&storage, &beside] {
            let record = Record::new(JobKind::Restore, "1", "docs", "restic", "/srv/docs");
            let acquired = written.acquire(&record).await.unwrap();
            acquired.lease.write(&record).await.unwrap();
            acquired.lease.release().await;
            assert_eq!(found().await, written.describe());
        }
        let only = holding("1", None, Some(storage.clone())).await.unwrap();
        assert_eq!(only.unwrap().describe(), storage.describe(), "nothing lies beside `/`");
    }
}
