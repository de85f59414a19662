//! What a Velero backup holds, as schedules and backup jobs both say it: the fields of Velero's BackupSpec.

use dr_framework::{Anything, Attr, Diagnostics, Model, Path};
use serde_json::{Value, json};

use super::duration::duration;
use crate::engines::kubernetes::label_selector::{self, MatchExpressions};
use crate::engines::kubernetes::spec::{Spec, TextMap, Texts};
use crate::jobs::texts;
use crate::validators;

/// What a backup holds.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VeleroTemplate {
    /// The namespaces that are backed up; all if left out. `*` and `?` stand for any letters and any letter.
    #[dr(optional)]
    pub included_namespaces: Texts,
    /// Namespaces that are left out.
    #[dr(optional)]
    pub excluded_namespaces: Texts,
    /// The resources that are backed up, like `deployments.apps`; all if left out.
    #[dr(optional)]
    pub included_resources: Texts,
    /// Resources that are left out.
    #[dr(optional)]
    pub excluded_resources: Texts,
    /// The resources without a namespace that are backed up. Not together with `included_resources`,
    /// `excluded_resources` and `include_cluster_resources`.
    #[dr(optional)]
    pub included_cluster_scoped_resources: Texts,
    /// Resources without a namespace that are left out.
    #[dr(optional)]
    pub excluded_cluster_scoped_resources: Texts,
    /// The resources in namespaces that are backed up. Not together with `included_resources`, `excluded_resources` and
    /// `include_cluster_resources`.
    #[dr(optional)]
    pub included_namespace_scoped_resources: Texts,
    /// Resources in namespaces that are left out.
    #[dr(optional)]
    pub excluded_namespace_scoped_resources: Texts,
    /// Whether resources without a namespace are backed up. Left out: those that belong to what is backed up.
    #[dr(optional)]
    pub include_cluster_resources: Attr<bool>,
    /// Only objects with all of these labels are backed up.
    #[dr(optional)]
    pub label_selector: TextMap,
    /// Only objects are backed up whose labels meet all of these conditions, beside having those of `label_selector`.
    #[dr(optional)]
    pub match_expressions: MatchExpressions,
    /// Only objects with all labels of at least one of these sets are backed up. Not together with `label_selector` and
    /// `match_expressions`.
    #[dr(optional)]
    pub or_label_selectors: Attr<Vec<TextMap>>,
    /// Whether volumes are saved as snapshots of their storage.
    #[dr(optional)]
    pub snapshot_volumes: Attr<bool>,
    /// Whether the content of CSI snapshots is moved to the target by Velero's data mover.
    #[dr(optional)]
    pub snapshot_move_data: Attr<bool>,
    /// The data mover of `snapshot_move_data`; Velero's own if left out.
    #[dr(optional)]
    pub datamover: Attr<String>,
    /// The label of claims by whose value their snapshots are taken together, as one group.
    #[dr(optional)]
    pub volume_group_snapshot_label_key: Attr<String>,
    /// Whether volumes of pods are saved file by file, unless a pod says otherwise.
    #[dr(optional)]
    pub default_volumes_to_fs_backup: Attr<bool>,
    /// The names of the VolumeSnapshotLocations, one for each provider of snapshots.
    #[dr(optional)]
    pub volume_snapshot_locations: Texts,
    /// How long a CSI snapshot may take, like `10m`.
    #[dr(optional, validate = duration)]
    pub csi_snapshot_timeout: Attr<String>,
    /// How long operations of plugins may take that go on after the backup, like `4h`.
    #[dr(optional, validate = duration)]
    pub item_operation_timeout: Attr<String>,
    /// The order in which objects are backed up, by resource: `{ pods = "docs/db-0,docs/app-0" }`.
    #[dr(optional)]
    pub ordered_resources: TextMap,
    /// The name of the ConfigMap in Velero's namespace that holds resource policies.
    #[dr(optional)]
    pub resource_policy: Attr<String>,
    /// How many files of a volume are uploaded beside each other.
    #[dr(optional, validate = validators::positive)]
    pub parallel_files_upload: Attr<i64>,
    /// Commands that run in pods before and after they are backed up, as `spec.hooks` of a Backup: passed on as it is.
    #[dr(optional)]
    pub hooks: Attr<Anything>,
}

impl VeleroTemplate {
    /// Whether nothing in it has an unknown value.
    pub fn is_known(&self) -> bool {
        self.to_object().is_wholly_known()
    }

    /// As a BackupSpec. What is not set is left out; where it is stored and for how long is said by whoever uses it.
    pub fn spec(&self) -> Value {
        let mut spec = Spec::default();
        spec.list("includedNamespaces", &self.included_namespaces)
            .list("excludedNamespaces", &self.excluded_namespaces)
            .list("includedResources", &self.included_resources)
            .list("excludedResources", &self.excluded_resources)
            .list("includedClusterScopedResources", &self.included_cluster_scoped_resources)
            .list("excludedClusterScopedResources", &self.excluded_cluster_scoped_resources)
            .list("includedNamespaceScopedResources", &self.included_namespace_scoped_resources)
            .list("excludedNamespaceScopedResources", &self.excluded_namespace_scoped_resources)
            .switch("includeClusterResources", &self.include_cluster_resources)
            .selector("labelSelector", &self.label_selector, &self.match_expressions)
            .selectors("orLabelSelectors", &self.or_label_selectors)
            .switch("snapshotVolumes", &self.snapshot_volumes)
            .switch("snapshotMoveData", &self.snapshot_move_data)
            .text("datamover", &self.datamover)
            .text("volumeGroupSnapshotLabelKey", &self.volume_group_snapshot_label_key)
            .switch("defaultVolumesToFsBackup", &self.default_volumes_to_fs_backup)
            .list("volumeSnapshotLocations", &self.volume_snapshot_locations)
            .text("csiSnapshotTimeout", &self.csi_snapshot_timeout)
            .text("itemOperationTimeout", &self.item_operation_timeout)
            .map("orderedResources", &self.ordered_resources)
            .config_map("resourcePolicy", &self.resource_policy)
            .anything("hooks", &self.hooks);
        if let Some(files) = self.parallel_files_upload.known() {
            spec.set("uploaderConfig", json!({ "parallelFilesUpload": files }));
        }
        spec.done()
    }

    /// What Velero would refuse, before it is asked. `block` is the path of the engine's block.
    pub fn check(&self, block: &Path) -> Diagnostics {
        let mut found = check_selectors(block, &self.label_selector, &self.match_expressions, &self.or_label_selectors);
        found.extend(self.mixed_filters(block));
        let pairs = [
            ("namespaces", &self.included_namespaces, &self.excluded_namespaces),
            ("resources", &self.included_resources, &self.excluded_resources),
        ];
        for (what, included, excluded) in pairs {
            found.extend(check_lists(block, what, &texts(included), &texts(excluded)));
        }
        found
    }

    /// Velero's filters of before and since 1.11 exclude each other.
    fn mixed_filters(&self, block: &Path) -> Diagnostics {
        let set = |list: &Texts| !texts(list).is_empty();
        let old =
            set(&self.included_resources) || set(&self.excluded_resources) || self.include_cluster_resources.is_known();
        let scoped = [
            ("included_cluster_scoped_resources", &self.included_cluster_scoped_resources),
            ("excluded_cluster_scoped_resources", &self.excluded_cluster_scoped_resources),
            ("included_namespace_scoped_resources", &self.included_namespace_scoped_resources),
            ("excluded_namespace_scoped_resources", &self.excluded_namespace_scoped_resources),
        ];
        match scoped.iter().find(|(_, list)| old && set(list)) {
            Some((name, _)) => Diagnostics::error_at(
                block.clone().then(*name),
                "Filters that exclude each other",
                "Velero takes `included_resources`, `excluded_resources` and `include_cluster_resources`, or the lists of \
                 cluster-scoped and namespace-scoped resources, never both.",
            ),
            None => Diagnostics::default(),
        }
    }

    /// Whether anything says what becomes of the content of volumes.
    pub fn has_volume_switch(&self) -> bool {
        let switches = [&self.snapshot_volumes, &self.snapshot_move_data, &self.default_volumes_to_fs_backup];
        // One that is not known yet may be one.
        switches.iter().any(|switch| !switch.is_null()) || !self.resource_policy.is_null()
    }

    /// The warning about volumes whose content nobody asked for, if it is due.
    pub fn volume_warning(&self) -> Option<&'static str> {
        (!self.has_volume_switch()).then_some(
            "none of snapshot_volumes, snapshot_move_data and default_volumes_to_fs_backup is set: whether the content of \
             volumes is saved is left to how Velero was installed and to annotations of pods",
        )
    }
}

/// What Velero, or the API server, refuses of selectors.
pub fn check_selectors(
    block: &Path,
    labels: &TextMap,
    expressions: &MatchExpressions,
    sets: &Attr<Vec<TextMap>>,
) -> Diagnostics {
    let mut found = label_selector::check(&block.clone().then("match_expressions"), expressions);
    if sets.is_known() && (labels.is_known() || expressions.is_known()) {
        found.extend(Diagnostics::error_at(
            block.clone().then("or_label_selectors"),
            "Two kinds of selectors",
            "Velero takes `label_selector` with `match_expressions`, or `or_label_selectors`, not both: put the labels into \
             each set.",
        ));
    }
    found
}

/// What Velero refuses of a pair of lists, in its `ValidateIncludesExcludes`.
pub fn check_lists(block: &Path, what: &str, included: &[String], excluded: &[String]) -> Diagnostics {
    let refuse = |list: &str, detail: String| {
        Diagnostics::error_at(block.clone().then(format!("{list}_{what}")), "Lists that Velero refuses", detail)
    };
    let mut found = Diagnostics::default();
    if included.len() > 1 && included.iter().any(|item| item == "*") {
        found.extend(refuse("included", "`*` stands alone: it is everything.".to_owned()));
    }
    if excluded.iter().any(|item| item == "*") {
        found.extend(refuse("excluded", "`*` leaves everything out: name what is left out.".to_owned()));
    }
    if let Some(both) = excluded.iter().find(|item| included.contains(item) && *item != "*") {
        found.extend(refuse("excluded", format!("{both:?} is included and excluded.")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::kubernetes::label_selector::MatchExpression;

    fn list(items: &[&str]) -> Texts {
        Attr::Known(items.iter().map(|item| Attr::from(*item)).collect())
    }

    fn labels(pairs: &[(&str, &str)]) -> TextMap {
        Attr::Known(pairs.iter().map(|(key, value)| (key.to_string(), Attr::from(*value))).collect())
    }

    #[test]
    fn only_what_is_set_is_rendered() {
        assert_eq!(VeleroTemplate::default().spec(), json!({}));
        let template = VeleroTemplate {
            included_namespaces: list(&["docs", "mail"]),
            excluded_resources: list(&[]),
            label_selector: labels(&[("app", "docs")]),
            or_label_selectors: Attr::Known(vec![labels(&[("a", "1")]), labels(&[("b", "2")])]),
            snapshot_volumes: Attr::Known(false),
            csi_snapshot_timeout: "20m".into(),
            ordered_resources: labels(&[("pods", "docs/db-0,docs/app-0")]),
            resource_policy: "skip-nfs".into(),
            parallel_files_upload: Attr::Known(4),
            ..VeleroTemplate::default()
        };
        insta::assert_json_snapshot!(template.spec(), @r#"
        {
          "csiSnapshotTimeout": "20m",
          "includedNamespaces": [
            "docs",
            "mail"
          ],
          "labelSelector": {
            "matchLabels": {
              "app": "docs"
            }
          },
          "orLabelSelectors": [
            {
              "matchLabels": {
                "a": "1"
              }
            },
            {
              "matchLabels": {
                "b": "2"
              }
            }
          ],
          "orderedResources": {
            "pods": "docs/db-0,docs/app-0"
          },
          "resourcePolicy": {
            "kind": "ConfigMap",
            "name": "skip-nfs"
          },
          "snapshotVolumes": false,
          "uploaderConfig": {
            "parallelFilesUpload": 4
          }
        }
        "#);
    }

    #[test]
    fn every_field_of_the_model_reaches_the_spec() {
        let template = VeleroTemplate {
            included_namespaces: list(&["a"]),
            excluded_namespaces: list(&["a"]),
            included_resources: list(&["a"]),
            excluded_resources: list(&["a"]),
            included_cluster_scoped_resources: list(&["a"]),
            excluded_cluster_scoped_resources: list(&["a"]),
            included_namespace_scoped_resources: list(&["a"]),
            excluded_namespace_scoped_resources: list(&["a"]),
            include_cluster_resources: Attr::Known(true),
            label_selector: labels(&[("a", "b")]),
            // Part of the selector.
            match_expressions: Attr::Null,
            or_label_selectors: Attr::Known(vec![labels(&[("a", "b")])]),
            datamover: "a".into(),
            volume_group_snapshot_label_key: "a".into(),
            snapshot_volumes: Attr::Known(true),
            snapshot_move_data: Attr::Known(true),
            default_volumes_to_fs_backup: Attr::Known(true),
            volume_snapshot_locations: list(&["a"]),
            csi_snapshot_timeout: "1m".into(),
            item_operation_timeout: "1m".into(),
            ordered_resources: labels(&[("a", "b")]),
            resource_policy: "a".into(),
            parallel_files_upload: Attr::Known(1),
            hooks: Attr::Known(Anything(dr_framework::Value::object([(
                "resources",
                dr_framework::Value::List(vec![]),
            )]))),
        };
        let spec = template.spec();
        assert_eq!(spec.as_object().map(serde_json::Map::len), Some(VeleroTemplate::fields().len() - 1));
        let condition = MatchExpression { key: "a".into(), operator: "Exists".into(), values: Attr::Null };
        let template = VeleroTemplate {
            match_expressions: Attr::Known(vec![Attr::Known(condition)]),
            ..VeleroTemplate::default()
        };
        let selector = json!({ "matchExpressions": [{ "key": "a", "operator": "Exists" }] });
        assert_eq!(template.spec(), json!({ "labelSelector": selector }));
    }

    #[test]
    fn an_unknown_value_anywhere_leaves_it_open() {
        let mut template = VeleroTemplate { included_namespaces: list(&["docs"]), ..VeleroTemplate::default() };
        assert!(template.is_known());
        template.included_namespaces = Attr::Known(vec![Attr::Unknown]);
        assert!(!template.is_known());
    }

    #[test]
    fn what_velero_refuses_is_refused_with_its_path() {
        let block = Path::attribute("velero");
        let paths = |template: VeleroTemplate| {
            template
                .check(&block)
                .0
                .into_iter()
                .map(|found| found.attribute.map(|path| path.to_string()).unwrap_or_default())
                .collect::<Vec<_>>()
        };
        let both = labels(&[("a", "b")]);
        let selectors = VeleroTemplate {
            label_selector: both.clone(),
            or_label_selectors: Attr::Known(vec![both]),
            ..VeleroTemplate::default()
        };
        assert_eq!(paths(selectors.clone()), ["velero.or_label_selectors"]);
        let conditions = Attr::Known(vec![Attr::Known(MatchExpression::default())]);
        let selectors = VeleroTemplate { label_selector: Attr::Null, match_expressions: conditions, ..selectors };
        assert_eq!(paths(selectors), ["velero.or_label_selectors"]);
        let filters = VeleroTemplate {
            include_cluster_resources: Attr::Known(false),
            included_namespace_scoped_resources: list(&["pods"]),
            ..VeleroTemplate::default()
        };
        assert_eq!(paths(filters), ["velero.included_namespace_scoped_resources"]);
        let namespaces = VeleroTemplate {
            included_namespaces: list(&["docs", "*"]),
            excluded_namespaces: list(&["docs"]),
            ..VeleroTemplate::default()
        };
        assert_eq!(paths(namespaces), ["velero.included_namespaces", "velero.excluded_namespaces"]);
        assert!(paths(VeleroTemplate { included_namespaces: list(&["*"]), ..VeleroTemplate::default() }).is_empty());
    }

    #[test]
    fn a_template_without_a_volume_switch_is_warned_of() {
        assert!(VeleroTemplate::default().volume_warning().is_some());
        let off = VeleroTemplate { snapshot_volumes: Attr::Known(false), ..VeleroTemplate::default() };
        assert_eq!(off.volume_warning(), None);
        let open = VeleroTemplate { snapshot_move_data: Attr::Unknown, ..VeleroTemplate::default() };
        assert_eq!(open.volume_warning(), None);
    }
}
