//! A Schedule of Velero.

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostic, Diagnostics, Model, Path, Result};
use serde_json::{Value, json};

use super::ENGINE;
use super::backup_block::VeleroBackupBlock;
use super::target::INSTALLED_BY;
use super::template::VeleroTemplate;
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::engines::concepts::{
    BackupBlock, Blame, Failure, OpenBackup, ScheduleArguments, ScheduleBlock, TargetServer,
};
use crate::engines::declared::Declared;
use crate::engines::kubernetes::alerts;
use crate::engines::kubernetes::objects::{Objects, Settle, Wanted, differs_in, server_of};
use crate::engines::kubernetes::spec::{Spec, TextMap};
use crate::reference::Reference;
use crate::retention::Keep;
use crate::run::History;
use crate::shared::Shared;
use crate::waiting::Patience;
use crate::words::sentence;

/// Schedules.
pub const SCHEDULE: Kind = Kind::namespaced("velero.io", "v1", "Schedule", "schedules");

/// A Schedule of Velero, in the cluster and namespace of its target.
///
/// Its retention is the `ttl` that each backup is made with, so it has to be `keep_within` in days and hours; another tier
/// is another schedule.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VeleroSchedule {
    #[dr(flatten)]
    template: VeleroTemplate,
    /// Labels of the backups. Without any, they inherit the schedule's own, by which a GitOps controller may think that
    /// they are its.
    #[dr(optional)]
    pub backup_labels: TextMap,
    /// Whether the backups go from the cluster with the schedule. What is stored stays in any case.
    #[dr(optional)]
    pub use_owner_references_in_backup: Attr<bool>,
    /// Whether fields are taken that another program owns.
    #[dr(default = false)]
    pub force_conflicts: Attr<bool>,
}

impl VeleroSchedule {
    /// As an import makes it.
    pub fn imported(template: VeleroTemplate, backup_labels: TextMap, owner: Attr<bool>) -> Self {
        let force_conflicts = Attr::Known(false);
        VeleroSchedule { template, backup_labels, use_owner_references_in_backup: owner, force_conflicts }
    }

    /// The Schedule, but for its name.
    pub(super) fn body(&self, schedule: &ScheduleArguments<'_>) -> Value {
        let mut template = self.template.spec();
        if let Some(fields) = template.as_object_mut() {
            for field in NARROWS {
                fields.entry(field).or_insert(Value::Null);
            }
        }
        template["storageLocation"] = schedule.target.name.text().unwrap_or_default().into();
        if let Some(ttl) = schedule.keep.and_then(ttl) {
            template["ttl"] = ttl.into();
        }
        let mut labels = Spec::default();
        if let Some(labels) = labels.map("labels", &self.backup_labels).done().get("labels") {
            template["metadata"] = json!({ "labels": labels });
        }
        // Whether it rests is ours even when the configuration does not name it: it turns protection off.
        let mut spec = json!({ "schedule": self.native(schedule), "template": template, "paused": schedule.paused });
        if let Some(owned) = self.use_owner_references_in_backup.known() {
            spec["useOwnerReferencesInBackup"] = (*owned).into();
        }
        json!({ "spec": spec })
    }
}

/// By what a backup stores less. Somebody who sets one that the configuration leaves out turns protection off.
const NARROWS: [&str; 12] = [
    "excludedClusterScopedResources",
    "excludedNamespaceScopedResources",
    "excludedNamespaces",
    "excludedResources",
    "includedClusterScopedResources",
    "includedNamespaceScopedResources",
    "includedNamespaces",
    "includedResources",
    "labelSelector",
    "orLabelSelectors",
    "resourcePolicy",
    "snapshotVolumes",
];

/// How long a backup is kept, as Velero writes it; none for a policy that it can't keep.
fn ttl(keep: &Keep) -> Option<String> {
    let only_within = Keep { within: None, ..keep.clone() } == Keep::default();
    let hours = keep.within.as_ref().filter(|_| only_within)?.hours()?;
    Some(format!("{hours}h0m0s"))
}

/// Why Velero can't keep a policy, with what comes nearest to it.
fn refused(keep: Option<&Keep>) -> Option<String> {
    const HOW: &str = "Velero deletes each backup at an age that is fixed when it is made";
    let Some(keep) = keep else {
        return Some(format!(
            "{HOW}, and takes 30 days when nobody says one: say it, with `retention = {{ keep_within = \"30d\" }}`."
        ));
    };
    if ttl(keep).is_some() {
        return None;
    }
    if keep.all {
        return Some(format!("{HOW}, so it can't keep all. The nearest is `keep_within = \"36500d\"`."));
    }
    if let Some(within) = &keep.within
        && within.hours().is_none()
    {
        return Some(format!(
            "{HOW}: {within} counts in months or years, which differ in length. Write it in days, like `365d`."
        ));
    }
    let tiers = [
        (keep.last, "last", "the schedule's own cron", 1),
        (keep.hourly, "hourly", "0 * * * *", 1),
        (keep.daily, "daily", "0 2 * * *", 24),
        (keep.weekly, "weekly", "0 3 * * 0", 7 * 24),
        (keep.monthly, "monthly", "0 4 1 * *", 31 * 24),
        (keep.yearly, "yearly", "0 5 1 1 *", 366 * 24),
    ];
    let tier = |(count, rule, cron, hours): (Option<u32>, &str, &str, u64)| {
        let count = count?;
        if rule == "last" {
            return Some(format!("  keep_last = {count}: the number of runs of its cron, as an age"));
        }
        let hours = u64::from(count) * hours;
        let age = if hours % 24 == 0 { format!("{}d", hours / 24) } else { format!("{hours}h") };
        Some(format!("  keep_{rule} = {count}: cron = \"{cron}\", retention = {{ keep_within = \"{age}\" }}"))
    };
    let lines: Vec<String> = tiers.into_iter().filter_map(tier).collect();
    Some(format!(
        "{HOW}, so it can't count. What says nearly the same is a schedule for each tier:\n\n{}",
        lines.join("\n")
    ))
}

#[async_trait]
impl ScheduleBlock for VeleroSchedule {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn seat(&self, target: &Reference) -> (Attr<String>, Attr<String>) {
        (target.connection.clone(), target.scope.clone())
    }

    fn check(&self, schedule: &ScheduleArguments<'_>) -> Diagnostics {
        let mut found = self.template.check(&Path::attribute(ENGINE));
        if let Some(why) = refused(schedule.keep) {
            found.extend(Diagnostics::error_at(Path::attribute("retention"), "Retention that Velero can't keep", why));
        }
        if let Some(warning) = self.template.volume_warning() {
            found.push(Diagnostic::warning("What about the volumes?", sentence(warning)).at(Path::attribute(ENGINE)));
        }
        found
    }

    fn native(&self, schedule: &ScheduleArguments<'_>) -> String {
        match schedule.time_zone {
            // Without one, Velero takes its container's.
            Some(zone) => format!("CRON_TZ={zone} {}", schedule.cron),
            None => format!("CRON_TZ=UTC {}", schedule.cron),
        }
    }

    fn alert_rules(&self, schedule: &ScheduleArguments<'_>) -> String {
        let name = schedule.name;
        let gap = alerts::gap(schedule.cron.as_str(), schedule.time_zone);
        let of = format!("{{schedule=\"{name}\"}}");
        alerts::rules(
            name,
            &[
                alerts::Rule {
                    alert: "DrBackupTooOld",
                    expr: alerts::older_than(&format!("max(velero_backup_last_successful_timestamp{of})"), gap),
                    wait: alerts::SHORTLY,
                    summary: format!("No Velero backup of schedule {name} succeeded in time"),
                },
                alerts::Rule {
                    alert: "DrBackupFailed",
                    expr: format!(
                        "increase(velero_backup_failure_total{of}[1h]) + increase(velero_backup_partial_failure_total{of}[1h]) > 0"
                    ),
                    wait: alerts::SHORTLY,
                    summary: format!("A Velero backup of schedule {name} failed or is incomplete"),
                },
                alerts::Rule {
                    alert: "DrBackupAbsent",
                    expr: format!("absent(velero_backup_last_successful_timestamp{of})"),
                    wait: alerts::SHORTLY,
                    summary: format!("Velero knows of no successful backup of schedule {name}"),
                },
            ],
        )
    }

    fn retention_scope(&self, _: &Shared, schedule: &ScheduleArguments<'_>) -> Result<String> {
        let text = |attr: &Attr<String>| attr.text().unwrap_or_default().to_owned();
        let target = schedule.target;
        Ok(format!("Velero schedule {}/{} on {}", text(&target.scope), schedule.name, text(&target.connection)))
    }

    fn server(&self, shared: &Shared, target: &Reference) -> Result<TargetServer> {
        server_of(shared, &target.connection, &Path::attribute("target").then("connection"))
    }

    fn open(&self, shared: &Shared, schedule: &ScheduleArguments<'_>) -> Result<Option<Box<dyn Declared>>> {
        let target = schedule.target;
        let (Some(connection), Some(namespace), true, true) =
            (target.connection.text(), target.scope.text(), target.name.is_known(), self.to_object().is_wholly_known())
        else {
            return Ok(None);
        };
        let path = Path::attribute("target").then("connection");
        let Some(cluster) = shared.cluster(connection, &path)? else { return Ok(None) };
        let name = schedule.name.to_owned();
        let wanted =
            vec![Wanted { kind: SCHEDULE, name: name.clone(), body: Some(self.body(schedule)), lasting: false }];
        let settle = Box::new(Enabled { name });
        let waiting = shared.waiting.clone();
        let mut objects = Objects::new(cluster, namespace.to_owned(), wanted, INSTALLED_BY, waiting, settle);
        objects.force = self.force_conflicts == Attr::Known(true);
        Ok(Some(Box::new(objects)))
    }

    async fn histories(
        &self,
        shared: &Shared,
        schedule: &ScheduleArguments<'_>,
    ) -> std::result::Result<Vec<History>, Failure> {
        // What a schedule stores is what a backup job of the same template would.
        let block = VeleroBackupBlock {
            template: self.template.clone(),
            accept_partially_failed: Attr::Known(true),
            ..VeleroBackupBlock::default()
        };
        let told = |error: Diagnostics| {
            let message = error.0.first().map(|error| error.detail.clone()).unwrap_or_default();
            Failure::new(message.trim_end_matches('.').to_owned(), Blame::Store)
        };
        let open = block.open(shared, schedule.target).map_err(told)?;
        let unknown = || Failure::new("the target is not known".to_owned(), Blame::Store);
        let OpenBackup { engine, .. } = open.ok_or_else(unknown)?;
        let failed = |error: &dyn std::error::Error| {
            Failure {
            message: format!("what is backed up, or the backups in the bucket, can't be looked at: {error}"),
            hint: Some(
                "Without that it can't be told whether something new would be stored over older backups. If you know that \
                 it is not, set `first_backup = \"allow\"`"
                    .to_owned(),
            ),
            blame: Blame::Store,
        }
        };
        engine.histories().await.map_err(|error| failed(&error))
    }
}

/// Reads whether Velero takes the schedule.
struct Enabled {
    name: String,
}

#[async_trait]
impl Settle for Enabled {
    fn about_another(&self, wanted: &Wanted, live: &DynamicObject) -> Option<String> {
        differs_in(wanted, live, &["spec.template.storageLocation"])
    }

    /// The server looks at schedules once a minute; whether it took this one is seen by the next refresh.
    async fn settle(
        &self,
        cluster: &Cluster,
        namespace: &str,
        _: Patience,
    ) -> std::result::Result<Vec<String>, Failure> {
        let found = cluster.get(&SCHEDULE, namespace, &self.name).await?;
        Ok(found.as_ref().and_then(|found| self.unavailable(found)).into_iter().collect())
    }

    /// Velero runs a schedule at once whose new line was due since its last backup (`getNextRunTime` of its schedule
    /// controller). It lets that pass once where it is asked to, and takes the word back itself. A version before 1.13 drops
    /// the field.
    async fn before_change(
        &self,
        cluster: &Cluster,
        namespace: &str,
        wanted: &Wanted,
        live: &DynamicObject,
    ) -> std::result::Result<(), Failure> {
        let spec = |body: &Value| body["spec"].clone();
        let (wanted_spec, live_spec) = (wanted.body.as_ref().map(spec).unwrap_or_default(), &live.data["spec"]);
        if wanted_spec["schedule"] != live_spec["schedule"] && wanted_spec["paused"] != true {
            let skip = json!({ "spec": { "skipImmediately": true } });
            cluster.merge(&SCHEDULE, namespace, &wanted.name, skip, None).await?;
        }
        Ok(())
    }

    fn unavailable(&self, main: &DynamicObject) -> Option<String> {
        let status = &main.data["status"];
        (status["phase"] == "FailedValidation").then(|| {
            let errors: Vec<&str> =
                status["validationErrors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("Velero refuses it: {}", errors.join("; "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::kubernetes::quiesce::tests::api::Api;

    #[tokio::test]
    async fn minor_9_another_line_starts_no_backup_and_nothing_else_is_skipped() {
        let skips = async |wanted: Value| {
            let api = Api::new();
            let live = json!({ "spec": { "schedule": "CRON_TZ=UTC 0 2 * * *", "paused": false } });
            api.put(&SCHEDULE, "velero", "daily", live);
            let name = "daily".to_owned();
            let wanted =
                Wanted { kind: SCHEDULE, name: name.clone(), body: Some(json!({ "spec": wanted })), lasting: false };
            let live = serde_json::from_value(api.get(&SCHEDULE, "velero", "daily")).unwrap();
            Enabled { name }.before_change(&api.cluster(), "velero", &wanted, &live).await.unwrap();
            api.get(&SCHEDULE, "velero", "daily")["spec"]["skipImmediately"] == true
        };
        assert!(skips(json!({ "schedule": "CRON_TZ=UTC 0 * * * *", "paused": false })).await);
        assert!(!skips(json!({ "schedule": "CRON_TZ=UTC 0 2 * * *", "paused": false, "template": {} })).await);
        // It would be let pass when it begins again.
        assert!(!skips(json!({ "schedule": "CRON_TZ=UTC 0 * * * *", "paused": true })).await);
    }
}
