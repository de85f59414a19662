//! What the block of a restore job says to Velero, and what is refused of it.

use serde_json::json;

use super::*;
use crate::engines::kubernetes::label_selector::MatchExpression;
use crate::reference::ReferencedStore;

fn list(items: &[&str]) -> Texts {
    Attr::Known(items.iter().map(|item| Attr::from(*item)).collect())
}

fn pairs(pairs: &[(&str, &str)]) -> TextMap {
    Attr::Known(pairs.iter().map(|(key, value)| (key.to_string(), Attr::from(*value))).collect())
}

fn of(namespaces: &[&str]) -> VeleroRestoreBlock {
    VeleroRestoreBlock { included_namespaces: list(namespaces), ..VeleroRestoreBlock::default() }
}

fn refused(block: &VeleroRestoreBlock) -> Vec<String> {
    let found = block.check(&Path::attribute("velero")).0;
    found.into_iter().map(|found| found.attribute.map(|path| path.to_string()).unwrap_or_default()).collect()
}

#[test]
fn only_what_is_set_is_rendered() {
    assert_eq!(of(&["docs"]).spec(), json!({ "includedNamespaces": ["docs"] }));
}

#[test]
fn every_field_reaches_the_spec() {
    let block = VeleroRestoreBlock {
        namespace_mapping: pairs(&[("docs", "docs-test")]),
        included_resources: list(&["pods", "pvc"]),
        excluded_resources: list(&["secrets"]),
        include_cluster_resources: Attr::Known(false),
        label_selector: pairs(&[("app", "docs")]),
        match_expressions: Attr::Known(vec![Attr::Known(MatchExpression {
            key: "tier".into(),
            operator: "NotIn".into(),
            values: list(&["cache"]),
        })]),
        restore_pvs: Attr::Known(true),
        preserve_node_ports: Attr::Known(true),
        existing_resource_policy: "update".into(),
        restore_status: Attr::Known(RestoreStatus { included_resources: list(&["*"]), ..RestoreStatus::default() }),
        resource_modifier: "rules".into(),
        hooks: Attr::Known(Anything(Configured::object([("resources", Configured::Tuple(Vec::new()))]))),
        item_operation_timeout: "2h".into(),
        parallel_files_download: Attr::Known(4),
        write_sparse_files: Attr::Known(true),
        ..of(&["docs"])
    };
    assert_eq!(
        block.spec(),
        json!({
            "includedNamespaces": ["docs"],
            "namespaceMapping": { "docs": "docs-test" },
            "includedResources": ["pods", "pvc"],
            "excludedResources": ["secrets"],
            "includeClusterResources": false,
            "labelSelector": {
                "matchLabels": { "app": "docs" },
                "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": ["cache"] }],
            },
            "restorePVs": true,
            "preserveNodePorts": true,
            "existingResourcePolicy": "update",
            "restoreStatus": { "includedResources": ["*"] },
            "resourceModifier": { "kind": "ConfigMap", "name": "rules" },
            "hooks": { "resources": [] },
            "itemOperationTimeout": "2h",
            "uploaderConfig": { "parallelFilesDownload": 4, "writeSparseFiles": true },
        })
    );
}

#[test]
fn of_several_sets_of_labels_one_is_enough_and_they_stand_alone() {
    let sets = Attr::Known(vec![pairs(&[("app", "docs"), ("tier", "db")]), pairs(&[("app", "mail")])]);
    let block = VeleroRestoreBlock { or_label_selectors: sets, ..of(&["docs"]) };
    let rendered = json!([{ "matchLabels": { "app": "docs", "tier": "db" } }, { "matchLabels": { "app": "mail" } }]);
    assert_eq!(block.spec()["orLabelSelectors"], rendered);
    assert!(refused(&block).is_empty());
    let labels = block.selection().unwrap().labels;
    assert_eq!(labels.lists(None), [Some("app=docs,tier=db".to_owned()), Some("app=mail".to_owned())]);
    let both = VeleroRestoreBlock { label_selector: pairs(&[("a", "b")]), ..block };
    assert_eq!(refused(&both), ["velero.or_label_selectors"]);
}

#[test]
fn the_target_is_where_namespaces_go_and_unknown_while_one_is() {
    let mut block = VeleroRestoreBlock { namespace_mapping: pairs(&[("docs", "zoo")]), ..of(&["docs", "mail"]) };
    assert_eq!(block.target(), Attr::from("mail,zoo"));
    block.included_namespaces = Attr::Known(vec!["docs".into(), Attr::Unknown]);
    assert_eq!(block.target(), Attr::Unknown);
}

#[test]
fn mappings_that_lead_nowhere_or_together_are_refused() {
    let mapped = |names: &[&str], mapping: &[(&str, &str)]| {
        refused(&VeleroRestoreBlock { namespace_mapping: pairs(mapping), ..of(names) })
    };
    assert_eq!(mapped(&["docs"], &[("mail", "post")]), ["velero.namespace_mapping[\"mail\"]"]);
    assert_eq!(mapped(&["docs", "mail"], &[("mail", "docs")]), ["velero.namespace_mapping"]);
    assert_eq!(mapped(&["docs"], &[("docs", "Docs!")]), ["velero.namespace_mapping[\"docs\"]"]);
    assert!(mapped(&["docs", "mail"], &[("mail", "post")]).is_empty());
}

#[test]
fn two_sets_of_modifiers_are_refused() {
    let block = VeleroRestoreBlock {
        resource_modifier: "rules".into(),
        storage_class_mapping: pairs(&[("fast", "standard")]),
        ..of(&["docs"])
    };
    assert_eq!(refused(&block), ["velero.storage_class_mapping"]);
}

#[test]
fn patterns_are_no_names_of_what_a_run_fills() {
    let path = Path::attribute("included_namespaces");
    let of = |names: &[&str]| Configured::List(names.iter().map(|name| Configured::string(*name)).collect());
    assert_eq!(namespaces(&of(&[]), &path).len(), 1);
    assert_eq!(
        namespaces(&of(&["docs", "*"]), &path)[0].attribute.as_ref().unwrap().to_string(),
        "included_namespaces[1]"
    );
    assert!(namespaces(&of(&["docs"]), &path).is_empty());
}

#[test]
fn cluster_and_namespace_come_from_the_target_unless_they_are_named() {
    let target = Reference {
        kind: "backup_target".into(),
        connection: "prod".into(),
        scope: "velero-system".into(),
        ..Reference::default()
    };
    let block = of(&["docs"]);
    assert_eq!(block.place(&target), ("prod".into(), "velero-system".into()));
    let elsewhere = VeleroRestoreBlock { cluster: "scratch".into(), ..block.clone() };
    assert_eq!(elsewhere.place(&target), ("scratch".into(), "velero-system".into()));
    let store =
        Reference { kind: "store".into(), store: Attr::Known(ReferencedStore::default()), ..Reference::default() };
    assert_eq!(block.place(&store), ("default".into(), "velero".into()));
    assert_eq!(block.place(&Reference::open()), (Attr::Unknown, Attr::Unknown));
}
