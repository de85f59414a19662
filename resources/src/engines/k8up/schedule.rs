//! A Schedule of k8up.

use std::time::Duration;

use async_trait::async_trait;
use dr_framework::{Anything, Attr, Diagnostic, Diagnostics, Model, Path, Result};
use serde_json::{Map, Value, json};

use super::archive::{Archive, OpenArchive};
use super::backend::{self, Backend};
use super::claims::{self, Labels};
use super::opener::Opener;
use super::target::INSTALLED_BY;
use super::{ENGINE, repository};
use crate::clock;
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::cron::Cron;
use crate::engines::concepts::{Blame, Failure, ScheduleArguments, ScheduleBlock, TargetServer};
use crate::engines::declared::Declared;
use crate::engines::kubernetes::alerts;
use crate::engines::kubernetes::imported;
use crate::engines::kubernetes::objects::{Objects, Settle, Wanted, differs_in, server_of};
use crate::engines::kubernetes::repository_secret::{namespace_of, repository_of};
use crate::engines::kubernetes::spec::{Spec, TextMap, Texts};
use crate::engines::restic::site::Site;
use crate::reference::{Place, Reference};
use crate::retention::Keep;
use crate::run::History;
use crate::shared::Shared;
use crate::waiting::{Patience, SILENCE, Silence, too_many_wait};
use crate::words::ended;

/// Schedules.
pub const SCHEDULE: Kind = Kind::namespaced("k8up.io", "v1", "Schedule", "schedules");

/// The kinds of runs in a Schedule that this provider knows.
pub const RUNS: [&str; 4] = ["backup", "prune", "check", "archive"];

/// How long k8up is given to take a Schedule, how long a refusal is not believed yet, and how often it is looked.
const TAKEN: Duration = Duration::from_secs(120);
const REFUSED: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_secs(1);

/// A Schedule of k8up, in the namespace of its target: it backs up the volumes of that namespace.
///
/// k8up removes old points in runs of their own, so `retention` needs `prune`, and covers what the namespace has in the
/// repository. A Schedule can't be paused in k8up: `paused = true` leaves it there without anything to run.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct K8upSchedule {
    /// Only claims with all labels of at least one of these sets are backed up; all of the namespace if left out.
    #[dr(optional)]
    pub label_selectors: Attr<Vec<TextMap>>,
    /// Tags of the points.
    #[dr(optional)]
    pub tags: Texts,
    /// When points are removed that `retention` does not keep.
    #[dr(optional)]
    pub prune: Attr<RunsAt>,
    /// When the repository is checked.
    #[dr(optional)]
    pub check: Attr<RunsAt>,
    /// When the newest point of each claim is put into a bucket, as a compressed file `backup-<namespace>-<claim>-<time>.tar.gz`:
    /// of every namespace that the repository holds.
    #[dr(optional)]
    pub archive: Attr<Archive>,
    /// The security context of k8up's pods, as `spec.podSecurityContext` of a Schedule: passed on as it is.
    #[dr(optional)]
    pub pod_security_context: Attr<Anything>,
    /// The name of a PodConfig in the namespace, which says more of k8up's pods.
    #[dr(optional)]
    pub pod_config: Attr<String>,
    /// How many objects of runs that failed are kept in the namespace; 3 if left out.
    #[dr(optional)]
    pub failed_jobs_history_limit: Attr<i64>,
    /// How many objects of runs that succeeded are kept in the namespace; 3 if left out.
    #[dr(optional)]
    pub successful_jobs_history_limit: Attr<i64>,
    /// What k8up's pods may use, as `spec.resourceRequirementsTemplate` of a Schedule: passed on as it is.
    #[dr(optional)]
    pub resource_requirements_template: Attr<Anything>,
    /// Whether a backup may begin while the one before still runs.
    #[dr(optional)]
    pub concurrent_runs_allowed: Attr<bool>,
    /// The Prometheus Pushgateway that k8up's backups push figures to; what its operator was told if left out.
    #[dr(optional)]
    pub prom_url: Attr<String>,
    /// Where k8up's backups post what restic said of the points; what its operator was told if left out.
    #[dr(optional)]
    pub stats_url: Attr<String>,
    /// Whether fields are taken that another program owns.
    #[dr(default = false)]
    pub force_conflicts: Attr<bool>,
}

/// Runs of one kind.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct RunsAt {
    /// When: five fields, or `@daily` and the like; in the time zone of the schedule.
    #[dr(required)]
    pub cron: Attr<String>,
}

/// The sets of labels, as they are known.
pub fn selectors(sets: &Attr<Vec<TextMap>>) -> Vec<Labels> {
    let labels = |set: &TextMap| -> Labels {
        let known = set.known().into_iter().flatten();
        known.filter_map(|(name, value)| Some((name.clone(), value.text()?.to_owned()))).collect()
    };
    sets.known().map(|sets| sets.iter().map(labels).collect()).unwrap_or_default()
}

/// The sets of labels as a spec has them.
pub fn put_selectors(spec: &mut Spec, sets: &Attr<Vec<TextMap>>) {
    let sets: Vec<Value> = selectors(sets).iter().map(|labels| json!({ "matchLabels": labels })).collect();
    if !sets.is_empty() {
        spec.set("labelSelectors", sets);
    }
}

/// A line in k8up's spelling: without a zone it would take its container's.
pub fn in_zone(cron: &str, zone: Option<&str>) -> String {
    format!("CRON_TZ={} {cron}", zone.unwrap_or("UTC"))
}

/// A policy as k8up writes it.
fn retention(keep: &Keep) -> Value {
    let mut retention = Spec::default();
    let rules = [
        ("keepLast", keep.last),
        ("keepHourly", keep.hourly),
        ("keepDaily", keep.daily),
        ("keepWeekly", keep.weekly),
        ("keepMonthly", keep.monthly),
        ("keepYearly", keep.yearly),
    ];
    for (field, count) in rules.into_iter().filter_map(|(field, count)| Some((field, count?))) {
        retention.set(field, count);
    }
    retention.done()
}

/// Why k8up can't keep a policy, with what comes nearest to it.
fn refused(keep: &Keep) -> Option<String> {
    if keep.all {
        return None;
    }
    if let Some(within) = &keep.within {
        let days = within.hours().map(|hours| hours.div_ceil(24).max(1));
        let nearest = match days {
            Some(days) => format!("`keep_daily = {days}`, one point of each of so many days"),
            None => "`keep_monthly` or `keep_yearly`".to_owned(),
        };
        return Some(format!("k8up keeps points by number and knows no age ({within}). The nearest is {nearest}."));
    }
    if keep.daily.is_none() {
        return Some(
            "k8up keeps 14 daily points when it is told no number, so a policy without them can't be said. Set \
             `keep_daily`; 1 is the nearest to none, 14 is what k8up would do."
                .to_owned(),
        );
    }
    None
}

impl K8upSchedule {
    /// Reads it from the spec of a Schedule, but for where archives go.
    pub fn imported(spec: &Value, archive: Attr<Archive>) -> Self {
        let runs = |kind: &str| {
            let line = imported::text(&spec[kind]["schedule"]);
            line.map(|line| RunsAt { cron: imported::zoned(&line).1.into() })
        };
        let limit = |field: &str| RUNS.iter().find_map(|kind| spec[kind][field].as_i64()).into();
        let backup = &spec["backup"];
        let selectors = backup["labelSelectors"].as_array().filter(|selectors| !selectors.is_empty());
        let selectors: Option<Vec<TextMap>> =
            selectors.map(|selectors| selectors.iter().map(|one| imported::map(&one["matchLabels"])).collect());
        K8upSchedule {
            label_selectors: selectors.into(),
            tags: imported::list(&backup["tags"]),
            prune: runs("prune"),
            check: runs("check"),
            archive,
            pod_security_context: imported::passed(&spec["podSecurityContext"]),
            pod_config: imported::text(&spec["podConfigRef"]["name"]),
            failed_jobs_history_limit: limit("failedJobsHistoryLimit"),
            successful_jobs_history_limit: limit("successfulJobsHistoryLimit"),
            resource_requirements_template: imported::passed(&spec["resourceRequirementsTemplate"]),
            concurrent_runs_allowed: imported::truth(&backup["concurrentRunsAllowed"]),
            prom_url: imported::text(&backup["promURL"]),
            stats_url: imported::text(&backup["statsURL"]),
            force_conflicts: Attr::Known(false),
        }
    }

    fn job(&self, cron: &str, zone: Option<&str>, backend: &Backend) -> Value {
        let mut spec = Spec::default();
        spec.set("schedule", in_zone(cron, zone));
        // The limits of the Schedule itself reach none of its objects (createJobList in k8up's schedulecontroller).
        for (field, limit) in [
            ("failedJobsHistoryLimit", &self.failed_jobs_history_limit),
            ("successfulJobsHistoryLimit", &self.successful_jobs_history_limit),
        ] {
            if let Some(limit) = limit.known() {
                spec.set(field, *limit);
            }
        }
        let mut spec = spec.done();
        backend.mount_into(&mut spec);
        spec
    }

    fn backup(&self, schedule: &ScheduleArguments<'_>, backend: &Backend) -> Value {
        let mut backup = self.job(schedule.cron.as_str(), schedule.time_zone, backend);
        let mut more = Spec::default();
        more.list("tags", &self.tags)
            .switch("concurrentRunsAllowed", &self.concurrent_runs_allowed)
            .text("promURL", &self.prom_url)
            .text("statsURL", &self.stats_url);
        put_selectors(&mut more, &self.label_selectors);
        if let (Value::Object(backup), Value::Object(more)) = (&mut backup, more.done()) {
            backup.extend(more);
            // By these it stores less, so that somebody who sets them turns protection off.
            backup.entry("labelSelectors").or_insert(Value::Null);
        }
        backup
    }

    /// The Schedule, but for its name.
    pub fn body(&self, schedule: &ScheduleArguments<'_>, backend: &Backend, archive: Option<&OpenArchive>) -> Value {
        let zone = schedule.time_zone;
        let cron = |runs: &Attr<RunsAt>| runs.known().and_then(|runs| runs.cron.text().map(str::to_owned));
        // What is not wanted is said too: somebody who adds it is seen.
        let (mut backup, mut prune, mut check, mut archives) = (Value::Null, Value::Null, Value::Null, Value::Null);
        if !schedule.paused {
            backup = self.backup(schedule, backend);
            if let (Some(cron), Some(keep)) = (cron(&self.prune), schedule.keep.filter(|keep| !keep.all)) {
                prune = self.job(&cron, zone, backend);
                prune["retention"] = retention(keep);
            }
            if let Some(cron) = cron(&self.check) {
                check = self.job(&cron, zone, backend);
            }
            if let Some(archive) = archive {
                archives = self.job(&archive.cron, zone, backend);
                archive.bucket.put_into(&mut archives);
            }
        }
        let mut spec = Spec::default();
        spec.set("backend", backend.spec.clone())
            .set("backup", backup)
            .set("prune", prune)
            .set("check", check)
            .set("archive", archives)
            .anything("podSecurityContext", &self.pod_security_context)
            .anything("resourceRequirementsTemplate", &self.resource_requirements_template);
        if let Some(name) = self.pod_config.text() {
            spec.set("podConfigRef", json!({ "name": name }));
        }
        json!({ "spec": spec.done() })
    }

    /// Retention and the runs that apply it have to come together.
    fn check_retention(&self, keep: Option<&Keep>) -> Diagnostics {
        let (policy, prune) = (Path::attribute("retention"), Path::attribute(ENGINE).then("prune"));
        let error = Diagnostics::error_at;
        // What is not known yet may turn out to be either.
        if self.prune.is_unknown() {
            return Diagnostics::default();
        }
        match (keep, self.prune.is_null()) {
            (None, true) => Diagnostic::warning(
                "Nothing is ever removed",
                "Without `retention`, k8up keeps every point. `keep_all = true` says that this is meant.",
            )
            .at(policy)
            .into(),
            (None, false) => error(
                prune,
                "Nothing to prune by",
                "k8up would keep 14 daily points and remove the others: set `retention`, or leave `prune` out."
                    .to_owned(),
            ),
            (Some(keep), true) if keep.all => Diagnostics::default(),
            (Some(keep), false) if keep.all => {
                error(prune, "Nothing to prune", "`keep_all` removes nothing: leave `prune` out.".to_owned())
            }
            (Some(keep), no_prune) => {
                let mut found = Diagnostics::default();
                if let Some(why) = refused(keep) {
                    found.extend(error(policy, "Retention that k8up can't keep", why));
                }
                if no_prune {
                    let why = "k8up applies retention in runs of its own: set `prune = { cron = \"0 5 * * *\" }`.";
                    found.extend(error(prune, "Retention without a time", why.to_owned()));
                }
                found
            }
        }
    }
}

#[async_trait]
impl ScheduleBlock for K8upSchedule {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn seat(&self, target: &Reference) -> (Attr<String>, Attr<String>) {
        (target.connection.clone(), namespace_of(&target.scope))
    }

    fn check(&self, schedule: &ScheduleArguments<'_>) -> Diagnostics {
        let mut found = self.check_retention(schedule.keep);
        let of = |runs: &Attr<RunsAt>| runs.known().and_then(|runs| runs.cron.text().map(str::to_owned));
        let archive = self.archive.known();
        if let Some(archive) = archive {
            let store = Place::from_reference(&schedule.target.store, &Path::attribute("target")).ok().flatten();
            found.extend(archive.check(store.as_ref()));
        }
        let archive = archive.and_then(|archive| archive.cron.text().map(str::to_owned));
        for (name, cron) in [("prune", of(&self.prune)), ("check", of(&self.check)), ("archive", archive)] {
            if let Some(Err(error)) = cron.as_deref().map(Cron::parse) {
                let path = Path::attribute(ENGINE).then(name).then("cron");
                found.extend(Diagnostics::error_at(path, "Unusable cron line", ended(error)));
            }
        }
        found
    }

    fn native(&self, schedule: &ScheduleArguments<'_>) -> String {
        in_zone(schedule.cron.as_str(), schedule.time_zone)
    }

    fn alert_rules(&self, schedule: &ScheduleArguments<'_>) -> String {
        let name = schedule.name;
        let namespace = namespace_of(&schedule.target.scope).into_known().unwrap_or_default();
        let gap = alerts::gap(schedule.cron.as_str(), schedule.time_zone);
        let of = format!("{{namespace=\"{namespace}\",jobType=\"backup\"}}");
        alerts::rules(
            name,
            &[
                alerts::Rule {
                    alert: "DrBackupTooOld",
                    expr: none_within(&format!("k8up_jobs_successful_counter{of}"), gap),
                    // An operator that starts again counts anew, from the first backup on that it sees.
                    wait: gap + gap / 4,
                    summary: format!("No k8up backup of namespace {namespace} succeeded in time"),
                },
                alerts::Rule {
                    alert: "DrBackupFailed",
                    expr: format!("sum(increase(k8up_jobs_failed_counter{of}[1h])) > 0"),
                    wait: alerts::SHORTLY,
                    summary: format!("A k8up backup of namespace {namespace} failed"),
                },
                alerts::Rule {
                    alert: "DrBackupAbsent",
                    expr: format!("absent(k8up_schedules_gauge{{namespace=\"{namespace}\"}} > 0)"),
                    wait: alerts::SHORTLY,
                    summary: format!("k8up runs nothing in namespace {namespace} by schedule"),
                },
            ],
        )
    }

    /// What is of the namespace in the repository: another cluster's namespace of that name is the same one there.
    fn retention_scope(&self, shared: &Shared, schedule: &ScheduleArguments<'_>) -> Result<String> {
        let repository = repository_of(shared, schedule.target, &Path::attribute("target"))?;
        let namespace = namespace_of(&schedule.target.scope).into_known().unwrap_or_default();
        Ok(format!("k8up repository {repository} of namespace {namespace}"))
    }

    fn server(&self, shared: &Shared, target: &Reference) -> Result<TargetServer> {
        server_of(shared, &target.connection, &Path::attribute("target").then("connection"))
    }

    fn open(&self, shared: &Shared, schedule: &ScheduleArguments<'_>) -> Result<Option<Box<dyn Declared>>> {
        let target = schedule.target;
        let scope = namespace_of(&target.scope);
        let (Some(connection), Some(namespace), Some(opener), true) =
            (target.connection.text(), scope.text(), Opener::of(target), self.to_object().is_wholly_known())
        else {
            return Ok(None);
        };
        let path = Path::attribute("target");
        let Some(cluster) = shared.cluster(connection, &path.clone().then("connection"))? else { return Ok(None) };
        let Some(backend) = backend::of(shared, target, &path, &opener)? else { return Ok(None) };
        let name = schedule.name.to_owned();
        let archive = match self.archive.known() {
            Some(archive) => match archive.open(shared, &name)? {
                None => return Ok(None),
                archive => archive,
            },
            None => None,
        };
        let body = self.body(schedule, &backend, archive.as_ref());
        let repository = repository::open(shared, target, &path, true).ok().flatten();
        let runs = repository.filter(|_| !schedule.paused);
        let settle = Box::new(Taken { name: name.clone(), absent: absent(&body), runs });
        let mut wanted: Vec<Wanted> = archive.into_iter().map(|archive| archive.bucket.secret).collect();
        wanted.push(Wanted { kind: SCHEDULE, name, body: Some(body), lasting: false });
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
        let unknown = || Failure::new("the target's cluster or store is not known".to_owned(), Blame::Block);
        let said = |error: Diagnostics| {
            let message = error.0.first().map(|error| error.detail.clone()).unwrap_or_default();
            Failure::new(message.trim_end_matches('.').to_owned(), Blame::Store)
        };
        let target = schedule.target;
        let scope = namespace_of(&target.scope);
        let (connection, namespace) =
            (target.connection.text().ok_or_else(unknown)?, scope.text().ok_or_else(unknown)?);
        let path = Path::attribute("target");
        let cluster = shared.cluster(connection, &path).map_err(said)?.ok_or_else(unknown)?;
        let site = repository::open(shared, target, &path, true).map_err(said)?.ok_or_else(unknown)?;
        let points = repository::points(&site).await.map_err(|error| Failure {
            message: format!("the points of the repository can't be listed: {error}"),
            hint: Some(
                "Without them it can't be told whether something new would be stored over older backups: make the \
                 repository readable, or set `first_backup = \"allow\"`"
                    .to_owned(),
            ),
            blame: Blame::Store,
        })?;
        let claims = claims::backed_up(&cluster, namespace, &selectors(&self.label_selectors)).await?;
        Ok(claims::histories(&cluster, namespace, &claims, &points))
    }
}

/// Waits until k8up has taken the Schedule.
struct Taken {
    name: String,
    /// The kinds of runs that there are none of.
    absent: Vec<String>,
    /// The repository of the others, where we can open it.
    runs: Option<Site>,
}

/// The fields of a spec that are to be absent.
fn absent(body: &Value) -> Vec<String> {
    let fields = body["spec"].as_object().into_iter().flatten();
    fields.filter(|(_, value)| value.is_null()).map(|(field, _)| field.clone()).collect()
}

impl Taken {
    /// k8up writes every Schedule back with fields of its own in each kind of runs, so that leaving one out takes only ours
    /// away: what remains would be a kind of runs without a time.
    async fn clear(&self, cluster: &Cluster, namespace: &str) -> std::result::Result<(), Failure> {
        let Some(found) = cluster.get(&SCHEDULE, namespace, &self.name).await? else { return Ok(()) };
        let left: Map<String, Value> = self
            .absent
            .iter()
            .filter(|field| !found.data["spec"][field.as_str()].is_null())
            .map(|field| (field.clone(), Value::Null))
            .collect();
        if !left.is_empty() {
            cluster.merge(&SCHEDULE, namespace, &self.name, json!({ "spec": left }), None).await?;
        }
        Ok(())
    }
}

/// Whether a counter did not grow within a time. One that k8up has not made counts nothing, and it makes each at its first
/// success, as 1: that is no growth to Prometheus.
fn none_within(counter: &str, time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "((sum(increase({counter}[{seconds}s])) or vector(0)) == 0) \
         unless (sum({counter}) unless sum({counter} offset {seconds}s))"
    )
}

fn ready(object: &DynamicObject) -> Option<&Value> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready")
}

#[async_trait]
impl Settle for Taken {
    fn about_another(&self, wanted: &Wanted, live: &DynamicObject) -> Option<String> {
        differs_in(wanted, live, &["spec.backend.s3.bucket"])
    }

    /// Schedules of several namespaces may begin with one repository at the same minute.
    async fn before_write(
        &self,
        wanted: &Wanted,
        live: Option<&DynamicObject>,
        _: Option<&str>,
    ) -> std::result::Result<(), Failure> {
        if let (true, None, Some(repository)) = (wanted.kind == SCHEDULE, live, &self.runs) {
            // Where we can't, k8up makes it, as it would without us.
            repository.make_ahead().await?;
        }
        Ok(())
    }

    async fn settle(
        &self,
        cluster: &Cluster,
        namespace: &str,
        _: Patience,
    ) -> std::result::Result<Vec<String>, Failure> {
        self.clear(cluster, namespace).await?;
        let began = tokio::time::Instant::now();
        let mut silence = Silence::of(cluster.waiting(), SILENCE);
        loop {
            let found = cluster.get(&SCHEDULE, namespace, &self.name).await?;
            let seen = found.as_ref().and_then(ready);
            if !silence.goes_on(seen.is_some()) {
                return Err(Failure::new(too_many_wait("k8up", SILENCE, INSTALLED_BY.depends_on), Blame::Block));
            }
            if seen.is_some_and(|ready| ready["status"] == "True") {
                return Ok(Vec::new());
            }
            // What it said before it was changed may have been put right since.
            let refused = found.as_ref().and_then(|found| self.unavailable(found));
            if let Some(message) = refused.filter(|_| began.elapsed() >= clock::scaled(REFUSED)) {
                return Err(Failure::new(message, Blame::Block));
            }
            if began.elapsed() >= clock::scaled(TAKEN) {
                return Err(Failure {
                    message: format!(
                        "k8up did not take the Schedule within {} s: does its operator run?",
                        TAKEN.as_secs()
                    ),
                    hint: Some("Add depends_on = [helm_release.k8up] if this apply installs it".to_owned()),
                    blame: Blame::Block,
                });
            }
            clock::sleep(LOOK).await;
        }
    }

    fn unavailable(&self, main: &DynamicObject) -> Option<String> {
        let ready = ready(main).filter(|ready| ready["status"] == "False")?;
        Some(format!("k8up refuses it: {}", ready["message"].as_str().unwrap_or("without a reason")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::kubernetes::testing::is_not_made_where_its_repository_vanished;
    use crate::retention::Within;

    fn keep(daily: Option<u32>) -> Keep {
        Keep { last: Some(3), daily, ..Keep::default() }
    }

    #[tokio::test]
    async fn m6_a_schedule_is_not_made_where_its_repository_vanished() {
        is_not_made_where_its_repository_vanished(SCHEDULE, |repository| Taken {
            name: "docs".to_owned(),
            absent: Vec::new(),
            runs: Some(repository),
        })
        .await;
    }

    #[test]
    fn a_policy_is_said_whole_or_refused_with_the_nearest() {
        assert_eq!(refused(&keep(Some(7))), None);
        assert_eq!(retention(&keep(Some(7))), json!({ "keepLast": 3, "keepDaily": 7 }));
        assert!(refused(&keep(None)).unwrap().contains("14"));
        let within = Keep { within: Some(Within::parse("36h").unwrap()), daily: Some(1), ..Keep::default() };
        assert!(refused(&within).unwrap().contains("`keep_daily = 2`"));
    }

    #[test]
    fn a_counter_that_is_not_there_counts_nothing_and_one_that_is_new_has_grown() {
        let expr = none_within("k8up_jobs_successful_counter{}", Duration::from_secs(3600));
        assert!(expr.contains("or vector(0)) == 0"), "{expr}");
        let born =
            "unless (sum(k8up_jobs_successful_counter{}) unless sum(k8up_jobs_successful_counter{} offset 3600s))";
        assert!(expr.ends_with(born), "{expr}");
    }

    #[test]
    fn retention_and_its_runs_come_together() {
        let with = K8upSchedule { prune: Attr::Known(RunsAt { cron: "@daily".into() }), ..K8upSchedule::default() };
        let without = K8upSchedule::default();
        let all = Keep { all: true, ..Keep::default() };
        assert!(!with.check_retention(Some(&keep(Some(7)))).has_errors());
        assert!(without.check_retention(Some(&keep(Some(7)))).has_errors());
        assert!(with.check_retention(None).has_errors());
        assert!(with.check_retention(Some(&all)).has_errors());
        assert!(without.check_retention(Some(&all)).0.is_empty());
        let warned = without.check_retention(None);
        assert!(!warned.has_errors() && warned.0[0].summary == "Nothing is ever removed");
    }
}
