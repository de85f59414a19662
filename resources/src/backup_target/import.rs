//! What an import of a target names.

use dr_framework::{Attr, Diagnostics, ImportBy, Result};

use crate::engines::table::{self, Concept};

/// What an import names.
pub struct Imported {
    /// The engine.
    pub engine: String,
    /// The connection.
    pub connection: String,
    /// Where on it.
    pub scope: String,
    /// The name.
    pub name: String,
}

/// Why what an engine has is not imported.
pub fn not_importable(engine: &str, concept: Concept) -> Diagnostics {
    let (one, all) = match concept {
        Concept::Schedule => ("schedule", "Schedules"),
        _ => ("target", "Targets"),
    };
    Diagnostics::error(
        format!("Unable to import the {one}"),
        format!(
            "{all} of the engine {engine:?} are not imported: apply the configuration with `adopt = \"always\"`, which \
             takes the object over."
        ),
    )
}

impl Imported {
    /// What the id or the identity names; the engine has to have `concept`.
    pub fn parse(by: &ImportBy, concept: Concept) -> Result<Self> {
        let wrong = |what: &str| {
            Diagnostics::error(
                "Unusable import id",
                format!(
                    "{what} The form is `<engine>:<connection>/<scope>/<name>`: `restic:local/backup/docs/docs` for the \
                     folder /backup/docs, `restic:minio/bucket/prefix/docs` for a prefix of a bucket, `velero:prod/velero/daily` for an object in \
                     namespace velero of a cluster, `volsync:prod/apps/repository/docs` for a Secret `repository` that \
                     something else makes."
                ),
            )
        };
        let found = match by {
            ImportBy::Identity(identity) => {
                let leaf = |name: &str| identity.get(name).and_then(Attr::text).map(str::to_owned);
                match (leaf("engine"), leaf("connection"), leaf("scope"), leaf("name")) {
                    (Some(engine), Some(connection), Some(scope), Some(name)) => {
                        Imported { engine, connection, scope, name }
                    }
                    _ => return Err(wrong("`engine`, `connection`, `scope` and `name` are needed.")),
                }
            }
            ImportBy::Id(id) => {
                let parts = || {
                    let (engine, rest) = id.split_once(':')?;
                    let (connection, rest) = rest.split_once('/')?;
                    let (scope, name) = rest.rsplit_once('/')?;
                    let parts = [engine, connection, scope, name];
                    parts.iter().all(|part| !part.is_empty()).then(|| parts.map(str::to_owned))
                };
                let [engine, connection, scope, name] =
                    parts().ok_or_else(|| wrong(&format!("{id:?} has too few parts.")))?;
                Imported { engine, connection, scope, name }
            }
        };
        if table::with(concept).contains(&found.engine.as_str()) {
            Ok(found)
        } else {
            Err(wrong(&format!("There is no engine {:?}.", found.engine)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_makes_an_import_id_panic_and_none_leaves_a_part_empty() {
        let known = ["restic:local/backup/docs/docs", "velero:prod/velero/daily", "volsync:prod/apps/repository/docs"];
        crate::noise::survives_text(&known, |id| {
            for concept in [Concept::Target, Concept::Schedule] {
                if let Ok(found) = Imported::parse(&ImportBy::Id(id.to_owned()), concept) {
                    let Imported { engine, connection, scope, name } = found;
                    assert_eq!(format!("{engine}:{connection}/{scope}/{name}"), id);
                    assert!(![connection, scope, name].contains(&String::new()), "{id:?}");
                }
            }
        });
    }
}
