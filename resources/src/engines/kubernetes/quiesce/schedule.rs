//! The engine's own schedule of a series, which is paused before anything else.

use serde_json::Value;

use crate::connections::kubernetes::Kind;

/// An object that would run a backup of the series meanwhile, and the field that stops it.
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
}

impl OwnSchedule {
    /// One whose `spec.paused` stops it, as Velero's Schedule and VolSync's ReplicationSource have it.
    pub fn paused_in_spec(kind: Kind, namespace: &str, name: &str) -> Self {
        let field = vec!["spec".to_owned(), "paused".to_owned()];
        OwnSchedule { kind, namespace: namespace.to_owned(), name: name.to_owned(), field, paused: Value::Bool(true) }
    }
}
