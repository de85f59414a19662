//! Each kind goes down in its own way and comes back exactly as it was.

use super::super::kinds::{APPLICATION, APPLICATION_SET, HELM_RELEASE, KUSTOMIZATION, SCALED_JOB, SCALED_OBJECT};
use super::super::{ClaimPause, pods_in_the_way};
use super::*;
use crate::connections::kubernetes::DynamicObject;

/// An entry, what it is, how it looks like before and, at a pointer, while it is down.
struct Case {
    entry: &'static str,
    kind: Kind,
    before: Value,
    pointer: &'static str,
    down: Value,
}

fn cases() -> Vec<Case> {
    let case = |entry, kind, before, pointer, down| Case { entry, kind, before, pointer, down };
    let paused = "/metadata/annotations/autoscaling.keda.sh~1paused";
    let replicas = "/metadata/annotations/autoscaling.keda.sh~1paused-replicas";
    let automated = json!({ "prune": true, "selfHeal": true });
    vec![
        case("cronjob/x", Kind::CRON_JOB, json!({ "spec": { "suspend": false } }), "/spec/suspend", json!(true)),
        case("cronjob/x", Kind::CRON_JOB, json!({ "spec": { "schedule": "0 * * * *" } }), "/spec/suspend", json!(true)),
        case("cronjob/x", Kind::CRON_JOB, json!({ "spec": { "suspend": true } }), "/spec/suspend", json!(true)),
        case("kustomization/x", KUSTOMIZATION, json!({ "spec": { "prune": true } }), "/spec/suspend", json!(true)),
        case("kustomization/x", KUSTOMIZATION, json!({ "spec": { "suspend": true } }), "/spec/suspend", json!(true)),
        case("helmrelease/x", HELM_RELEASE, json!({ "spec": { "suspend": false } }), "/spec/suspend", json!(true)),
        case("scaledobject/x", SCALED_OBJECT, json!({ "spec": {} }), paused, json!("true")),
        case(
            "scaledobject/x",
            SCALED_OBJECT,
            json!({ "metadata": { "annotations": { "autoscaling.keda.sh/paused-replicas": "2", "mine": "1" } }, "spec": {} }),
            replicas,
            Value::Null,
        ),
        case("scaledjob/x", SCALED_JOB, json!({ "spec": {} }), paused, json!("true")),
        case(
            "application/x",
            APPLICATION,
            json!({ "spec": { "syncPolicy": { "automated": automated, "syncOptions": ["CreateNamespace=true"] } } }),
            "/spec/syncPolicy/automated",
            json!({ "prune": true, "selfHeal": true, "enabled": false }),
        ),
        case(
            "application/x",
            APPLICATION,
            json!({ "spec": { "syncPolicy": { "automated": {} } } }),
            "/spec/syncPolicy/automated",
            json!({ "enabled": false }),
        ),
        case(
            "application/x",
            APPLICATION,
            json!({ "spec": { "syncPolicy": { "automated": { "prune": true, "enabled": false } } } }),
            "/spec/syncPolicy/automated",
            json!({ "prune": true, "enabled": false }),
        ),
        case(
            "application/x",
            APPLICATION,
            json!({ "spec": { "project": "default" } }),
            "/spec/syncPolicy",
            Value::Null,
        ),
        case(
            "applicationset/x",
            APPLICATION_SET,
            json!({ "spec": { "ignoreApplicationDifferences": [{ "jsonPointers": ["/spec/info"] }] } }),
            "/spec/ignoreApplicationDifferences",
            json!([{ "jsonPointers": ["/spec/info"] }, { "jsonPointers": ["/spec/syncPolicy"] }]),
        ),
        case(
            "applicationset/x",
            APPLICATION_SET,
            json!({ "spec": { "generators": [] } }),
            "/spec/ignoreApplicationDifferences",
            json!([{ "jsonPointers": ["/spec/syncPolicy"] }]),
        ),
    ]
}

#[tokio::test]
async fn what_is_suspended_comes_back_exactly_as_it_was() {
    for Case { entry, kind, before, pointer, down } in cases() {
        let api = Api::new();
        api.put(&kind, NAMESPACE, "x", before);
        let before = bare(api.get(&kind, NAMESPACE, "x"));
        let steps = take_down(&pause(&api, &[entry], &[])).await.unwrap();
        assert_eq!(steps.len(), 1);
        let now = api.get(&kind, NAMESPACE, "x");
        assert_eq!(*now.pointer(pointer).unwrap_or(&Value::Null), down, "{entry} of {before}");
        // The process is gone: all that is left is the record, which may be read twice.
        let steps: Vec<UndoStep> = serde_json::from_str(&serde_json::to_string(&steps).unwrap()).unwrap();
        for _ in 0..2 {
            bring_back(&pause(&api, &[], &[]), &steps).await;
            assert_eq!(bare(api.get(&kind, NAMESPACE, "x")), before, "{entry}");
        }
    }
}

#[tokio::test]
async fn a_second_attempt_changes_nothing_more() {
    for Case { entry, kind, before, .. } in cases() {
        let api = Api::new();
        api.put(&kind, NAMESPACE, "x", before);
        let steps = take_down(&pause(&api, &[entry], &[])).await.unwrap();
        let now = api.get(&kind, NAMESPACE, "x");
        pause(&api, &[entry], &[]).change(&steps[0]).await.unwrap();
        assert_eq!(api.get(&kind, NAMESPACE, "x"), now);
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_installed_has_no_step() {
    let api = Api::new();
    api.without(&KUSTOMIZATION);
    let steps = pause(&api, &["kustomization/x", "cronjob/x"], &["deployment/x"]).application().await.unwrap();
    assert!(steps.is_empty());
}

#[tokio::test]
async fn what_is_gone_by_then_is_not_brought_back() {
    let api = Api::new();
    api.put(&Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": {} }));
    let pause = pause(&api, &["cronjob/x"], &[]);
    let steps = take_down(&pause).await.unwrap();
    api.remove(&Kind::CRON_JOB, NAMESPACE, "x");
    bring_back(&pause, &steps).await;
    pause.change(&steps[0]).await.unwrap();
    pause.holds(&steps).await.unwrap();
}

#[tokio::test]
async fn an_older_argo_cd_has_no_switch_and_its_automation_is_taken_away_and_put_back_whole() {
    let api = Api::new();
    api.drops("enabled");
    let automated = json!({ "prune": true, "selfHeal": true, "allowEmpty": false });
    api.put(&APPLICATION, "argocd", "x", json!({ "spec": { "syncPolicy": { "automated": automated } } }));
    let steps = take_down(&pause(&api, &["argocd/application/x"], &[])).await.unwrap();
    assert!(api.get(&APPLICATION, "argocd", "x")["spec"]["syncPolicy"]["automated"].is_null());
    bring_back(&pause(&api, &[], &[]), &steps).await;
    assert_eq!(api.get(&APPLICATION, "argocd", "x")["spec"]["syncPolicy"]["automated"], automated);
    assert!(!api.requests().iter().any(|request| request.starts_with("DELETE")));
}

#[tokio::test]
async fn what_applies_from_git_is_asked_to_do_so_when_it_is_resumed() {
    let api = Api::new();
    api.put(&KUSTOMIZATION, "flux-system", "x", json!({ "spec": {} }));
    api.put(&KUSTOMIZATION, "flux-system", "resting", json!({ "spec": { "suspend": true } }));
    api.put(&APPLICATION, "argocd", "x", json!({ "spec": { "syncPolicy": { "automated": {} } } }));
    let entries = ["flux-system/kustomization/x", "flux-system/kustomization/resting", "argocd/application/x"];
    let pause = pause(&api, &entries, &[]);
    let steps = take_down(&pause).await.unwrap();
    bring_back(&pause, &steps).await;
    let annotations =
        |kind: &Kind, namespace: &str, name: &str| api.get(kind, namespace, name)["metadata"]["annotations"].clone();
    assert!(annotations(&KUSTOMIZATION, "flux-system", "x")["reconcile.fluxcd.io/requestedAt"].is_string());
    assert_eq!(annotations(&APPLICATION, "argocd", "x")["argocd.argoproj.io/refresh"], "normal");
    assert!(annotations(&KUSTOMIZATION, "flux-system", "resting").is_null());
}

#[tokio::test]
async fn parents_come_before_children_and_whoever_starts_things_before_what_is_scaled() {
    let api = Api::new();
    let tracked = |by: &str| json!({ "annotations": { "argocd.argoproj.io/tracking-id": format!("{by}:argoproj.io/Application:argocd/x") } });
    api.put(&APPLICATION, "argocd", "leaf", json!({ "metadata": tracked("middle"), "spec": {} }));
    let labels = json!({ "labels": { "app.kubernetes.io/instance": "root" } });
    api.put(&APPLICATION, "argocd", "middle", json!({ "metadata": labels, "spec": {} }));
    api.put(
        &APPLICATION,
        "argocd",
        "root",
        json!({ "metadata": { "labels": { "app.kubernetes.io/instance": "root" } }, "spec": {} }),
    );
    let owners = json!({ "ownerReferences": [{ "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "set", "uid": "1" }] });
    api.put(&APPLICATION, "argocd", "made", json!({ "metadata": owners, "spec": {} }));
    api.put(&APPLICATION_SET, "argocd", "set", json!({ "spec": {} }));
    let by = |name: &str| json!({ "labels": { "kustomize.toolkit.fluxcd.io/name": name, "kustomize.toolkit.fluxcd.io/namespace": "flux-system" } });
    api.put(&HELM_RELEASE, NAMESPACE, "web", json!({ "metadata": by("apps"), "spec": {} }));
    api.put(&KUSTOMIZATION, "flux-system", "apps", json!({ "metadata": by("flux-system"), "spec": {} }));
    api.put(&KUSTOMIZATION, "flux-system", "flux-system", json!({ "metadata": by("flux-system"), "spec": {} }));
    api.put(&Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": {} }));
    workload(&api, &Kind::DEPLOYMENT, "web");
    let suspend = [
        "cronjob/x",
        "argocd/application/leaf",
        "argocd/application/middle",
        "argocd/application/made",
        "helmrelease/web",
        "flux-system/kustomization/apps",
        "argocd/application/root",
        "argocd/applicationset/set",
        "flux-system/kustomization/flux-system",
    ];
    let steps = pause(&api, &suspend, &["deployment/web"]).application().await.unwrap();
    let objects: Vec<&str> = steps.iter().map(|step| step.object.as_str()).collect();
    insta::assert_snapshot!(objects.join("\n"));
}

#[tokio::test]
async fn an_autoscaler_rests_with_its_target_or_not_at_all() {
    let api = Api::new();
    workload(&api, &Kind::DEPLOYMENT, "web");
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let autoscaler = Kind::HORIZONTAL_POD_AUTOSCALER;
    api.put(&autoscaler, NAMESPACE, "web", json!({ "spec": { "scaleTargetRef": target } }));
    let alone = pause(&api, &["hpa/web"], &[]).application().await.unwrap_err();
    insta::assert_snapshot!(alone.message);
    let before = api.get(&autoscaler, NAMESPACE, "web");
    let both = pause(&api, &["hpa/web"], &["deployment/web"]);
    let steps = take_down(&both).await.unwrap();
    assert_eq!(steps.len(), 2);
    bring_back(&both, &steps).await;
    assert_eq!(api.get(&autoscaler, NAMESPACE, "web"), before);
    assert_eq!(api.get(&Kind::DEPLOYMENT, NAMESPACE, "web")["spec"]["replicas"], 3);
}

/// A Job of an object, and a pod of it that uses a claim.
fn job(api: &Api, owner: &str, name: &str, status: Value) {
    let owned = |uid: String| json!([{ "apiVersion": "v1", "kind": "any", "name": "any", "uid": uid }]);
    let owners = owned(format!("uid-{owner}"));
    api.put(&Kind::JOB, NAMESPACE, name, json!({ "metadata": { "ownerReferences": owners }, "status": status }));
    let mut pod = a_pod(&format!("{name}-pod"), name);
    pod["metadata"]["ownerReferences"] = owned(format!("uid-{name}"));
    pod["spec"]["volumes"] = json!([{ "persistentVolumeClaim": { "claimName": "data" } }]);
    api.put(&Kind::POD, NAMESPACE, &format!("{name}-pod"), pod);
}

#[tokio::test]
async fn what_a_cron_job_or_a_scaled_job_has_started_is_waited_for() {
    for (entry, kind) in [("cronjob/x", Kind::CRON_JOB), ("scaledjob/x", SCALED_JOB)] {
        let api = Api::new();
        api.put(&kind, NAMESPACE, "x", json!({ "spec": {} }));
        api.put(&kind, NAMESPACE, "y", json!({ "spec": {} }));
        job(&api, "x", "x-1", json!({ "active": 1 }));
        job(&api, "y", "y-1", json!({ "active": 1 }));
        let address = api::address(&Kind::JOB, NAMESPACE, "x-1");
        let mut looks = 0;
        api.controller(move |objects| {
            looks += 1;
            if looks == 8 {
                let done = json!([{ "type": "Complete", "status": "True" }]);
                objects.get_mut(&address).unwrap()["status"] = json!({ "conditions": done });
            }
        });
        let steps = take_down(&pause(&api, &[entry], &[])).await.unwrap();
        assert_eq!(steps.len(), 1);
        assert!(api.get(&Kind::JOB, NAMESPACE, "x-1")["status"]["active"].is_null(), "it was not waited for");
    }
}

#[tokio::test]
async fn a_job_that_does_not_end_is_named_and_nothing_is_scaled_down() {
    let api = Api::new();
    workload(&api, &Kind::DEPLOYMENT, "web");
    api.put(&Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": {} }));
    job(&api, "x", "x-1", json!({ "active": 1 }));
    let error = take_down(&pause(&api, &["cronjob/x"], &["deployment/web"])).await.unwrap_err();
    insta::assert_snapshot!(error.message, @"CronJob paperless/x is suspended, and what it started before is still at work after 0 s: Job paperless/x-1 (pod x-1-pod). Let it come to its end, or delete the Job, and apply again");
    assert_eq!(api.get(&Kind::DEPLOYMENT, NAMESPACE, "web")["spec"]["replicas"], 3);
}

#[tokio::test]
async fn a_pod_that_ends_with_what_is_suspended_is_not_in_the_way_of_a_claim() {
    let api = Api::new();
    api.put(&Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": {} }));
    job(&api, "x", "x-1", json!({ "active": 1 }));
    job(&api, "other", "other-1", json!({ "active": 1 }));
    let cluster = api.cluster();
    let found = pods_in_the_way(&cluster, &quiesce(&["cronjob/x"], &[]), NAMESPACE, "data").await.unwrap();
    assert_eq!(found, ["other-1-pod"]);
}

#[tokio::test]
async fn a_claim_that_something_else_uses_is_refused_before_a_schedule_rests() {
    const SCHEDULE: Kind = Kind::namespaced("k8up.io", "v1", "Schedule", "schedules");
    let api = Api::new();
    api.put(&SCHEDULE, NAMESPACE, "nightly", json!({ "spec": { "backup": {} } }));
    let engines = |pod: &DynamicObject| pod.metadata.name.as_deref() == Some("mover");
    for name in ["mover", "debug"] {
        let mut pod = a_pod(name, name);
        pod["spec"]["volumes"] = json!([{ "persistentVolumeClaim": { "claimName": "data" } }]);
        api.put(&Kind::POD, NAMESPACE, name, pod);
    }
    let own = OwnSchedule::without_backups(SCHEDULE, NAMESPACE, "nightly", "backup");
    let (cluster, quiesce) = (api.cluster(), Quiesce::default());
    let pause = KubernetesPause::new(cluster.clone(), quiesce.clone(), vec![own]);
    let (namespace, claim) = (NAMESPACE.to_owned(), "data".to_owned());
    let pause = ClaimPause { pause, cluster, quiesce, namespace, claim, is_own: engines };
    let error = pause.schedule().await.unwrap_err();
    insta::assert_snapshot!(error.message, @"PersistentVolumeClaim paperless/data is in use by pod debug: what runs it has to be in `quiesce.scale_down` or `quiesce.suspend`");
    api.remove(&Kind::POD, NAMESPACE, "debug");
    assert_eq!(pause.schedule().await.unwrap().len(), 1);
}
