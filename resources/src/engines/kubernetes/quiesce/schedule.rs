//! The engine's own schedules of a series, which are paused before anything else: what backs it up and what removes its points.

use serde_json::Value;

use crate::connections::kubernetes::Kind;

/// The step that has a schedule run no backups.
const PAUSE_SCHEDULE: &str = "pause_schedule";

/// The step that has a schedule remove no points. It is one of its own: a record that was written before there was one says
/// of the same object only what the other step did.
const PAUSE_RETENTION: &str = "pause_retention";

/// An object that would run a backup of the series meanwhile, or remove points of it, and the field that stops it.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnSchedule {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where the field is: `["spec", "paused"]`.
    pub field: Vec<String>,
    /// What it holds while paused.
    pub paused: Value,
    /// What the step is called in records.
    pub(super) action: &'static str,
}

impl OwnSchedule {
    /// One whose `spec.paused` stops it, as Velero's Schedule and VolSync's ReplicationSource have it.
    pub fn paused_in_spec(kind: Kind, namespace: &str, name: &str) -> Self {
        let field = vec!["spec".to_owned(), "paused".to_owned()];
        let (namespace, name, paused) = (namespace.to_owned(), name.to_owned(), Value::Bool(true));
        OwnSchedule { kind, namespace, name, field, paused, action: PAUSE_SCHEDULE }
    }

    /// One that has no switch, so that its backups rest while this field of its spec is gone.
    pub fn without_backups(kind: Kind, namespace: &str, name: &str, field: &str) -> Self {
        OwnSchedule { action: PAUSE_SCHEDULE, ..OwnSchedule::without(kind, namespace, name, field) }
    }

    /// The same of what removes points.
    pub fn without_retention(kind: Kind, namespace: &str, name: &str, field: &str) -> Self {
        OwnSchedule { action: PAUSE_RETENTION, ..OwnSchedule::without(kind, namespace, name, field) }
    }

    /// Who holds it for a target. What each step holds comes back by itself, so that each has a mark of its own.
    pub(super) fn holder(&self, holder: &str) -> String {
        match self.action {
            PAUSE_RETENTION => format!("{holder}-retention"),
            _ => holder.to_owned(),
        }
    }

    fn without(kind: Kind, namespace: &str, name: &str, field: &str) -> Self {
        let field = vec!["spec".to_owned(), field.to_owned()];
        OwnSchedule { field, paused: Value::Null, ..OwnSchedule::paused_in_spec(kind, namespace, name) }
    }
}
