//! States of `kubernetes_manifest` and `kubectl_manifest` that a `moved` block gives to a resource of this provider.

use dr_framework::{Attr, Diagnostics, MoveFrom, Result, Value};

use crate::backup_target::Imported;
use crate::reference::Reference;
use crate::shared::Shared;

/// The status of a state that was moved: the next refresh reads the object, as an import does.
pub const MOVED: &str = "moved";

/// An object that another provider made, as far as its state names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Manifest {
    /// Without the version.
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

impl Manifest {
    fn of(source: &MoveFrom) -> Option<Self> {
        let state = &source.state;
        let (api_version, kind, metadata) = match source.type_name.as_str() {
            "kubernetes_manifest" => {
                // An attribute of any type is stored beside its type.
                let manifest = match state.attribute("manifest") {
                    bare if bare.attribute("value").is_null() => bare,
                    typed => typed.attribute("value"),
                };
                (manifest.attribute("apiVersion"), manifest.attribute("kind"), manifest.attribute("metadata"))
            }
            "kubectl_manifest" => (state.attribute("api_version"), state.attribute("kind"), state),
            _ => return None,
        };
        let text = |value: &Value| value.text().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Manifest {
            group: text(api_version)?.split_once('/')?.0.to_owned(),
            kind: text(kind)?,
            namespace: text(metadata.attribute("namespace"))?,
            name: text(metadata.attribute("name"))?,
        })
    }
}

/// What a moved state of an object of `engine` is referred to by; `None` when it is of another kind.
pub fn reference(source: &MoveFrom, engine: &'static str, group: &str, kind: &str) -> Option<Reference> {
    let found = Manifest::of(source).filter(|found| found.group == group && found.kind == kind)?;
    Some(Reference {
        engine: engine.into(),
        scope: Attr::Known(found.namespace),
        name: Attr::Known(found.name),
        ..Reference::default()
    })
}

/// What has to be imported for a moved state: a state of another provider does not say by which connection.
pub fn imported(shared: &Shared, reference: &Attr<Reference>) -> Result<Imported> {
    let text = |leaf: fn(&Reference) -> &Attr<String>| {
        reference.known().and_then(|reference| leaf(reference).text()).unwrap_or_default().to_owned()
    };
    let clusters = shared.settings().map(|settings| settings.kubernetes_names()).unwrap_or_default();
    let [connection] = clusters.as_slice() else {
        return Err(Diagnostics::error(
            format!("Unable to tell which cluster {:?} is on", text(|reference| &reference.name)),
            format!(
                "A moved state names no connection, and the provider block has {} under `kubernetes`. Import it instead: \
                 `removed` with `destroy = false` for the other provider's resource, and `import` for this one.",
                clusters.len()
            ),
        ));
    };
    Ok(Imported {
        engine: text(|reference| &reference.engine),
        connection: connection.clone(),
        scope: text(|reference| &reference.scope),
        name: text(|reference| &reference.name),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(type_name: &str, state: serde_json::Value) -> MoveFrom {
        let provider = "registry.terraform.io/hashicorp/kubernetes".to_owned();
        let state = tfplugin::json::decode_untyped(state.to_string().as_bytes()).expect("it is JSON");
        MoveFrom { provider, type_name: type_name.to_owned(), version: 1, state }
    }

    #[test]
    fn a_manifest_names_its_object() {
        let manifest = json!({
            "apiVersion": "velero.io/v1", "kind": "Schedule", "metadata": { "name": "daily", "namespace": "velero" },
        });
        let typed = source("kubernetes_manifest", json!({ "manifest": { "type": ["object", {}], "value": manifest } }));
        let kubectl =
            json!({ "api_version": "velero.io/v1", "kind": "Schedule", "name": "daily", "namespace": "velero" });
        for source in [typed, source("kubectl_manifest", kubectl)] {
            let reference = reference(&source, "velero", "velero.io", "Schedule").expect("it is one");
            assert_eq!((reference.scope.text(), reference.name.text()), (Some("velero"), Some("daily")));
        }
    }

    #[test]
    fn what_is_something_else_is_not_taken() {
        let of_kind =
            |kind: &str| json!({ "api_version": "velero.io/v1", "kind": kind, "name": "daily", "namespace": "velero" });
        for source in [
            source("kubectl_manifest", of_kind("Backup")),
            source("aws_s3_bucket", of_kind("Schedule")),
            source("kubernetes_manifest", json!({ "manifest": null })),
            source("kubectl_manifest", json!([])),
        ] {
            assert_eq!(reference(&source, "velero", "velero.io", "Schedule"), None, "{source:?}");
        }
    }

    #[test]
    fn without_one_cluster_it_can_not_be_told_where_it_is() {
        let shared = Shared::new(dr_framework::Redactor::default());
        let failed = imported(&shared, &Attr::Known(Reference::default())).err().expect("an error");
        assert!(failed.0[0].detail.contains("has 0 under `kubernetes`"), "{failed:?}");
    }
}
