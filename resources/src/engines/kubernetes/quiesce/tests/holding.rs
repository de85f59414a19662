//! A pause that somebody undoes is an error that names them, and nothing is taken down for it.

use super::super::kinds::{APPLICATION, APPLICATION_SET, KUSTOMIZATION};
use super::api::{address, own};
use super::*;

/// Somebody who sets a field again whenever it differs, while `acts` says so.
fn put_back(api: &Api, kind: &Kind, namespace: &str, name: &str, patch: Value, manager: &'static str) {
    let address = address(kind, namespace, name);
    api.controller(move |objects| {
        let Some(object) = objects.get_mut(&address) else { return };
        let (spec, wanted) = (&mut object["spec"], patch["spec"].as_object().unwrap());
        if wanted.iter().any(|(field, value)| spec[field] != *value) {
            wanted.iter().for_each(|(field, value)| spec[field] = value.clone());
            own(&mut patch.clone(), object, manager);
        }
    });
}

fn child_of(parent: &str) -> Value {
    json!({ "labels": { "kustomize.toolkit.fluxcd.io/name": parent, "kustomize.toolkit.fluxcd.io/namespace": "flux-system" } })
}

/// The Kustomization `apps`, which the Kustomization `flux-system` sets to `suspend: false` when it is asked to reconcile.
fn flux(api: &Api) {
    api.put(
        &KUSTOMIZATION,
        "flux-system",
        "apps",
        json!({ "metadata": child_of("flux-system"), "spec": { "suspend": false } }),
    );
    api.put(&KUSTOMIZATION, "flux-system", "flux-system", json!({ "metadata": child_of("flux-system"), "spec": {} }));
    let (parent, child) =
        (address(&KUSTOMIZATION, "flux-system", "flux-system"), address(&KUSTOMIZATION, "flux-system", "apps"));
    api.controller(move |objects| {
        let parent = objects.get_mut(&parent).unwrap();
        let asked = parent["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"].clone();
        if parent["spec"]["suspend"] == json!(true) || asked == parent["status"]["lastHandledReconcileAt"] {
            return;
        }
        parent["status"] = json!({ "lastHandledReconcileAt": asked });
        let child = objects.get_mut(&child).unwrap();
        child["spec"]["suspend"] = json!(false);
        own(&mut json!({ "spec": { "suspend": false } }), child, "kustomize-controller");
    });
}

#[tokio::test]
async fn a_flux_parent_that_resumes_its_child_is_found_out_before_anything_is_scaled_down() {
    let api = Api::new();
    flux(&api);
    workload(&api, &Kind::DEPLOYMENT, "web");
    let pause = pause(&api, &["flux-system/kustomization/apps"], &["deployment/web"]);
    let error = take_down(&pause).await.unwrap_err();
    insta::assert_snapshot!(error.message);
    assert!(error.before_first_write);
    assert_eq!(api.get(&Kind::DEPLOYMENT, NAMESPACE, "web")["spec"]["replicas"], 3);
}

#[tokio::test]
async fn a_flux_parent_that_is_suspended_too_leaves_its_child_alone() {
    let api = Api::new();
    flux(&api);
    workload(&api, &Kind::DEPLOYMENT, "web");
    let entries = ["flux-system/kustomization/apps", "flux-system/kustomization/flux-system"];
    let pause = pause(&api, &entries, &["deployment/web"]);
    let steps = take_down(&pause).await.unwrap();
    assert_eq!(steps[0].object, "flux-system/kustomization.kustomize.toolkit.fluxcd.io/flux-system");
    bring_back(&pause, &steps).await;
    assert_eq!(api.get(&KUSTOMIZATION, "flux-system", "apps")["spec"]["suspend"], false);
    assert!(api.get(&KUSTOMIZATION, "flux-system", "flux-system")["spec"]["suspend"].is_null());
}

#[tokio::test]
async fn an_application_set_that_rewrites_the_policy_is_named() {
    let api = Api::new();
    let owners = json!({ "ownerReferences": [{ "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "apps", "uid": "1" }] });
    let spec = json!({ "syncPolicy": { "automated": { "selfHeal": true } } });
    api.put(&APPLICATION, "argocd", "web", json!({ "metadata": owners, "spec": spec.clone() }));
    api.put(&APPLICATION_SET, "argocd", "apps", json!({ "spec": {} }));
    put_back(&api, &APPLICATION, "argocd", "web", json!({ "spec": spec }), "argocd-applicationset-controller");
    let error = take_down(&pause(&api, &["argocd/application/web"], &[])).await.unwrap_err();
    insta::assert_snapshot!(error.message);
}

#[tokio::test]
async fn replicas_that_are_put_back_are_found_out_while_the_pods_are_waited_for() {
    let api = Api::new();
    workload(&api, &Kind::DEPLOYMENT, "web");
    put_back(&api, &Kind::DEPLOYMENT, NAMESPACE, "web", json!({ "spec": { "replicas": 3 } }), "argocd-controller");
    let error = take_down(&pause(&api, &[], &["deployment/web"])).await.unwrap_err();
    insta::assert_snapshot!(error.message);
}

#[tokio::test]
async fn a_pause_counts_only_after_it_has_held_for_a_while() {
    let api = Api::new();
    api.put(&Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": {} }));
    let pause = pause(&api, &["cronjob/x"], &[]);
    let steps = pause.application().await.unwrap();
    let begun = tokio::time::Instant::now();
    pause.change(&steps[0]).await.unwrap();
    pause.holds(&steps).await.unwrap();
    assert!(begun.elapsed() >= quick().hold);
    // Directly before the first write nothing is waited for, and a revert is still seen.
    let then = tokio::time::Instant::now();
    pause.holds(&steps).await.unwrap();
    assert!(then.elapsed() < quick().hold);
    put_back(&api, &Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": { "suspend": false } }), "kubectl-patch");
    let error = pause.holds(&steps).await.unwrap_err();
    assert!(error.message.contains("kubectl-patch put spec.suspend back"), "{}", error.message);
}

#[tokio::test]
async fn what_appears_while_the_restore_is_prepared_is_not_overlooked() {
    let api = Api::new();
    let pause = pause(&api, &[], &["deployment/web"]);
    let steps = pause.application().await.unwrap();
    assert!(steps.is_empty());
    pause.holds(&steps).await.unwrap();
    workload(&api, &Kind::DEPLOYMENT, "web");
    let error = pause.holds(&steps).await.unwrap_err();
    assert!(error.message.starts_with("Deployment paperless/web was made while"), "{}", error.message);
}

#[tokio::test]
async fn a_name_that_never_existed_is_told_and_one_that_the_restore_brought_is_not() {
    let api = Api::new();
    let pause = pause(&api, &[], &["deployment/web", "deployment/wep"]);
    assert!(take_down(&pause).await.unwrap().is_empty());
    workload(&api, &Kind::DEPLOYMENT, "web");
    let told = pause.settle().await;
    assert_eq!(
        told,
        ["`quiesce` names paperless/deployment.apps/wep, which does not exist: nothing was taken down for it"]
    );
}

#[tokio::test]
async fn what_the_configuration_no_longer_names_is_not_held_to_it() {
    let api = Api::new();
    api.put(&Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": {} }));
    let steps = take_down(&pause(&api, &["cronjob/x"], &[])).await.unwrap();
    put_back(&api, &Kind::CRON_JOB, NAMESPACE, "x", json!({ "spec": { "suspend": false } }), "kubectl-patch");
    pause(&api, &[], &[]).holds(&steps).await.unwrap();
}

#[tokio::test]
async fn a_parent_that_does_not_answer_is_not_waited_for_for_long() {
    let api = Api::new();
    api.put(&KUSTOMIZATION, "flux-system", "apps", json!({ "metadata": child_of("flux-system"), "spec": {} }));
    api.put(&KUSTOMIZATION, "flux-system", "flux-system", json!({ "spec": {} }));
    take_down(&pause(&api, &["flux-system/kustomization/apps"], &[])).await.unwrap();
    let annotations = &api.get(&KUSTOMIZATION, "flux-system", "flux-system")["metadata"]["annotations"];
    assert!(annotations["reconcile.fluxcd.io/requestedAt"].is_string());
}
