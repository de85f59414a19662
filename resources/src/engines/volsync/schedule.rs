//! A ReplicationSource of VolSync that runs by a cron line.

use std::time::Duration;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostics, Model, Path, Result};
use serde_json::{Map, Value, json};

use super::claim::{Freshness, probe};
use super::source::VolsyncSource;
use super::{ENGINE, INSTALLED_BY, SOURCE, rest, site, standing};
use crate::clock;
use crate::connections::kubernetes::{Cluster, DynamicObject};
use crate::engines::concepts::{Blame, Failure, ScheduleArguments, ScheduleBlock, TargetServer};
use crate::engines::declared::Declared;
use crate::engines::kubernetes::objects::{Objects, Settle, Wanted, differs_in, server_of};
use crate::engines::kubernetes::{alerts, imported};
use crate::engines::restic::restore::as_run_point;
use crate::engines::restic::site::Site;
use crate::reference::Reference;
use crate::retention::Keep;
use crate::run::{History, Probe};
use crate::shared::Shared;
use crate::validators;
use crate::waiting::Patience;

/// A ReplicationSource of VolSync with the restic mover, in the cluster and namespace of its target.
///
/// A target belongs to one schedule: VolSync tells the claims of a repository not apart. It runs a first time as soon as it
/// is made.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VolsyncSchedule {
    #[dr(flatten)]
    source: VolsyncSource,
    /// After how many days the repository is cleared of what no snapshot needs; VolSync's own is 7.
    #[dr(optional, validate = validators::positive)]
    pub prune_interval_days: Attr<i64>,
    /// Any text: with another one the next run first removes stale locks, as `restic unlock` does.
    #[dr(optional)]
    pub unlock: Attr<String>,
    /// Whether fields are taken that another program owns.
    #[dr(default = false)]
    pub force_conflicts: Attr<bool>,
}

impl VolsyncSchedule {
    /// Reads it from the spec of a ReplicationSource.
    pub fn imported(spec: &Value) -> Self {
        VolsyncSchedule {
            source: VolsyncSource::imported(spec),
            prune_interval_days: spec["restic"]["pruneIntervalDays"].as_i64().into(),
            unlock: imported::text(&spec["restic"]["unlock"]),
            force_conflicts: Attr::Known(false),
        }
    }

    fn restic(&self, repository: &str, has_ca: bool, keep: Option<&Keep>) -> Value {
        let mut restic = self.source.restic(repository, has_ca);
        if let Some(days) = self.prune_interval_days.known() {
            restic["pruneIntervalDays"] = (*days).into();
        }
        if let Some(unlock) = self.unlock.text() {
            restic["unlock"] = unlock.into();
        }
        if let Some(keep) = keep {
            restic["retain"] = retain(keep);
        }
        restic
    }

    /// The ReplicationSource, but for its name.
    pub(super) fn body(&self, schedule: &ScheduleArguments<'_>, repository: &str, has_ca: bool) -> Value {
        // Whether it rests is ours even when the configuration does not name it, and so is that nothing else triggers it:
        // a manual trigger switches the cron line off.
        json!({ "spec": {
            "sourcePVC": self.source.pvc.text().unwrap_or_default(),
            "paused": schedule.paused,
            "trigger": { "schedule": self.native(schedule), "manual": null },
            "restic": self.restic(repository, has_ca, schedule.keep),
        } })
    }
}

/// A policy in VolSync's words.
pub fn retain(keep: &Keep) -> Value {
    let mut retain = Map::new();
    let counts = [
        ("hourly", keep.hourly),
        ("daily", keep.daily),
        ("weekly", keep.weekly),
        ("monthly", keep.monthly),
        ("yearly", keep.yearly),
    ];
    retain.extend(counts.into_iter().filter_map(|(rule, count)| Some((rule.to_owned(), count?.into()))));
    if let Some(last) = keep.last {
        retain.insert("last".to_owned(), last.to_string().into());
    }
    if let Some(within) = &keep.within {
        retain.insert("within".to_owned(), within.as_str().into());
    }
    retain.into()
}

/// Why VolSync can't keep a policy, with what comes nearest to it.
fn refused(keep: Option<&Keep>) -> Option<&'static str> {
    match keep {
        None => Some(
            "VolSync keeps only the newest snapshot when nobody says how many: say it, with \
             `retention = { keep_daily = 7, keep_weekly = 4 }` for instance.",
        ),
        Some(keep) if keep.all => {
            Some("VolSync removes what no rule keeps, so it can't keep all. The nearest is `keep_within = \"100y\"`.")
        }
        Some(_) => None,
    }
}

#[async_trait]
impl ScheduleBlock for VolsyncSchedule {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn seat(&self, target: &Reference) -> (Attr<String>, Attr<String>) {
        (target.connection.clone(), site::namespace_of(&target.scope))
    }

    fn check(&self, schedule: &ScheduleArguments<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Some(why) = refused(schedule.keep) {
            found.extend(Diagnostics::error_at(Path::attribute("retention"), "Retention that VolSync can't keep", why));
        }
        if let Some(zone) = schedule.time_zone.filter(|zone| !["UTC", "Etc/UTC"].contains(zone)) {
            found.extend(Diagnostics::error_at(
                Path::attribute("time_zone"),
                "VolSync knows no time zones",
                format!(
                    "Its schedules are of the clock of its own container, which is UTC: write `cron` in UTC instead of \
                     {zone}, and leave `time_zone` out."
                ),
            ));
        }
        found
    }

    /// VolSync's definition takes neither names nor lists of ranges nor ranges with steps.
    fn native(&self, schedule: &ScheduleArguments<'_>) -> String {
        schedule.cron.in_numbers()
    }

    fn alert_rules(&self, schedule: &ScheduleArguments<'_>) -> String {
        let name = schedule.name;
        let namespace = site::namespace_of(&schedule.target.scope).into_known().unwrap_or_default();
        let of = format!("{{obj_name=\"{name}\",obj_namespace=\"{namespace}\",role=\"source\"}}");
        alerts::rules(
            name,
            &[
                alerts::Rule {
                    alert: "DrBackupTooOld",
                    expr: format!("max(volsync_volume_out_of_sync{of}) > 0"),
                    wait: alerts::SHORTLY,
                    summary: format!("No VolSync backup of schedule {name} succeeded in time"),
                },
                alerts::Rule {
                    alert: "DrBackupFailed",
                    expr: format!("increase(volsync_missed_intervals_total{of}[1h]) > 0"),
                    wait: alerts::SHORTLY,
                    summary: format!("A VolSync backup of schedule {name} missed its time"),
                },
                alerts::Rule {
                    alert: "DrBackupAbsent",
                    expr: format!("absent(volsync_volume_out_of_sync{of})"),
                    wait: alerts::SHORTLY,
                    summary: format!("VolSync knows nothing of schedule {name}"),
                },
            ],
        )
    }

    /// The repository, whichever target leads there: all sources write one host and one path, so that two would remove each
    /// other's snapshots.
    fn retention_scope(&self, shared: &Shared, schedule: &ScheduleArguments<'_>) -> Result<String> {
        let repository = site::repository_of(shared, schedule.target, &Path::attribute("target"))?;
        Ok(format!("VolSync repository {repository}"))
    }

    fn server(&self, shared: &Shared, target: &Reference) -> Result<TargetServer> {
        server_of(shared, &target.connection, &Path::attribute("target").then("connection"))
    }

    fn open(&self, shared: &Shared, schedule: &ScheduleArguments<'_>) -> Result<Option<Box<dyn Declared>>> {
        let target = schedule.target;
        let path = Path::attribute("target");
        let namespace = site::namespace_of(&target.scope);
        let (Some(connection), Some(namespace), Some(repository), true) =
            (target.connection.text(), namespace.text(), site::secret_of(target), self.to_object().is_wholly_known())
        else {
            return Ok(None);
        };
        let cluster = shared.cluster(connection, &path.clone().then("connection"))?;
        let (Some(cluster), Some(has_ca)) = (cluster, site::has_ca(shared, target, &path)?) else { return Ok(None) };
        let name = schedule.name.to_owned();
        let body = Some(self.body(schedule, &repository, has_ca));
        let wanted = vec![Wanted { kind: SOURCE, name: name.clone(), body, lasting: false }];
        let force = self.force_conflicts == Attr::Known(true);
        let repository = site::repository(shared, target, &path).ok().flatten();
        let runs_at_once = repository.filter(|_| !schedule.paused);
        let (settle, waiting) = (Box::new(Taken { name, force, runs_at_once }), shared.waiting.clone());
        let mut objects = Objects::new(cluster, namespace.to_owned(), wanted, INSTALLED_BY, waiting, settle);
        objects.force = force;
        Ok(Some(Box::new(objects)))
    }

    async fn histories(
        &self,
        shared: &Shared,
        schedule: &ScheduleArguments<'_>,
    ) -> std::result::Result<Vec<History>, Failure> {
        let (target, path) = (schedule.target, Path::attribute("target"));
        let unknown = || Failure::new("the target is not known".to_owned(), Blame::Block);
        let cluster = shared.cluster(target.connection.text().unwrap_or_default(), &path);
        let cluster = cluster.map_err(|found| site::failure_of(&found))?.ok_or_else(unknown)?;
        let repository =
            site::repository(shared, target, &path).map_err(|found| unread(&site::failure_of(&found).message))?;
        let points = site::points(&repository.ok_or_else(unknown)?).await.map_err(|error| unread(&error))?;
        let series = site::series();
        let held = points.iter().filter(|point| series.holds(point));
        let points = held.filter_map(as_run_point).collect();
        let namespace = site::namespace_of(&target.scope).into_known().unwrap_or_default();
        let claim = self.source.pvc.text().unwrap_or_default();
        let seen = probe(&cluster, &namespace, claim, Freshness::Now).await?;
        let unlisted = |error: crate::ledger::LedgerError| Failure::new(error.to_string(), Blame::Block);
        let probe = match standing::has_filled(&cluster, &namespace, claim).await.map_err(unlisted)? {
            true => Probe { born: None, ..seen },
            false => seen,
        };
        Ok(vec![History { points, probe }])
    }
}

fn unread(error: &dyn std::fmt::Display) -> Failure {
    Failure {
        message: format!("the repository can't be read: {error}"),
        hint: Some(
            "Without it, it can't be told whether something new would be stored over older backups: make the repository \
             readable, or set `first_backup = \"allow\"`"
                .to_owned(),
        ),
        blame: Blame::Store,
    }
}

/// How an API server says that a write came second (`k8s.io/apiserver`'s `OptimisticLockErrorMsg`).
const CONFLICT: &str = "the object has been modified; please apply your changes to the latest version";

/// What has VolSync look at a source now: any change of it does, and it tries again by itself after up to 17 minutes
/// (`DefaultTypedControllerRateLimiter` of client-go).
const LOOK_AGAIN: &str = "dr/look-again-at";

/// How long it may take to look again.
const ANSWER: Duration = Duration::from_secs(10);

const LOOK: Duration = Duration::from_millis(500);

/// Reads whether VolSync takes the source.
struct Taken {
    name: String,
    /// Whether a restore that holds it is overruled.
    force: bool,
    /// The repository that a source writes to as soon as it is made, where we can open it.
    runs_at_once: Option<Site>,
}

impl Taken {
    async fn refused(&self, cluster: &Cluster, namespace: &str) -> std::result::Result<Option<String>, Failure> {
        let found = cluster.get(&SOURCE, namespace, &self.name).await?;
        Ok(found.as_ref().and_then(|found| self.unavailable(found)))
    }
}

#[async_trait]
impl Settle for Taken {
    fn about_another(&self, wanted: &Wanted, live: &DynamicObject) -> Option<String> {
        differs_in(wanted, live, &["spec.sourcePVC", "spec.restic.repository"])
    }

    /// Its first run may take hours; whether it goes well is seen by the next refresh.
    async fn settle(
        &self,
        cluster: &Cluster,
        namespace: &str,
        _: Patience,
    ) -> std::result::Result<Vec<String>, Failure> {
        let mut refused = self.refused(cluster, namespace).await?;
        if refused.is_some() {
            // What it said before this apply may have been put right by it.
            let ask = json!({ "metadata": { "annotations": { LOOK_AGAIN: clock::now().to_string() } } });
            cluster.merge(&SOURCE, namespace, &self.name, ask, None).await?;
            let asked = tokio::time::Instant::now();
            while refused.is_some() && asked.elapsed() < clock::scaled(ANSWER) {
                clock::sleep(LOOK).await;
                refused = self.refused(cluster, namespace).await?;
            }
        }
        Ok(refused.into_iter().collect())
    }

    /// A restore that has it rest brings it back itself; its claim must not be read before.
    async fn before_write(
        &self,
        wanted: &Wanted,
        live: Option<&DynamicObject>,
        _: Option<&str>,
    ) -> std::result::Result<(), Failure> {
        if let (None, Some(repository)) = (live, &self.runs_at_once) {
            // A backup job may begin beside it. Where we can't, VolSync makes it, as it would without us.
            repository.make_ahead().await?;
        }
        if self.force || !live.is_some_and(rest::rests) {
            return Ok(());
        }
        Err(Failure {
            message: format!("{} {} rests until a restore of its claim has come to its end", SOURCE.kind, wanted.name),
            hint: Some(
                "Name that restore in `after`, so that it ends first. If it will never run again, set `force_conflicts`"
                    .to_owned(),
            ),
            blame: Blame::Block,
        })
    }

    fn unavailable(&self, main: &DynamicObject) -> Option<String> {
        if rest::rests(main) {
            // What it then says is that its claim does not exist, which is how it rests.
            return None;
        }
        let conditions = main.data["status"]["conditions"].as_array()?;
        let error = |condition: &&Value| condition["type"] == "Synchronizing" && condition["reason"] == "Error";
        let why = conditions.iter().find(error)?["message"].as_str().unwrap_or("without a reason");
        // It wrote an object at the same time as somebody else, and tries again at once.
        (!why.contains(CONFLICT)).then(|| format!("VolSync refuses it: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::kubernetes::testing::is_not_made_where_its_repository_vanished;
    use crate::retention::Within;

    #[test]
    fn what_volsync_refuses_is_told_and_what_it_tries_again_is_not() {
        let source = |message: &str| -> DynamicObject {
            let condition =
                json!({ "type": "Synchronizing", "status": "False", "reason": "Error", "message": message });
            let status = json!({ "conditions": [condition] });
            serde_json::from_value(json!({ "metadata": { "name": "docs" }, "status": status })).unwrap()
        };
        let taken = Taken { name: "docs".to_owned(), force: false, runs_at_once: None };
        assert_eq!(taken.unavailable(&source("no such claim")).as_deref(), Some("VolSync refuses it: no such claim"));
        let second =
            format!("Operation cannot be fulfilled on jobs.batch \"volsync-src-docs\": {CONFLICT} and try again");
        assert_eq!(taken.unavailable(&source(&second)), None);
    }

    #[tokio::test]
    async fn m6_a_schedule_is_not_made_where_its_repository_vanished() {
        is_not_made_where_its_repository_vanished(SOURCE, |repository| Taken {
            name: "docs".to_owned(),
            force: false,
            runs_at_once: Some(repository),
        })
        .await;
    }

    #[test]
    fn a_policy_is_said_in_volsyncs_words() {
        let keep = Keep { last: Some(3), daily: Some(7), within: Within::parse("30d").ok(), ..Keep::default() };
        assert_eq!(retain(&keep), json!({ "last": "3", "daily": 7, "within": "30d" }));
        assert_eq!(refused(Some(&keep)), None);
        assert!(refused(None).is_some_and(|why| why.contains("newest")));
        assert!(refused(Some(&Keep { all: true, ..Keep::default() })).is_some_and(|why| why.contains("100y")));
    }
}
