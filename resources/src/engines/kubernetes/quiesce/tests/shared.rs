//! What restores of several targets hold down at the same time, each with a record of its own.

use super::super::kinds::KUSTOMIZATION;
use super::*;

/// The parent of two applications.
fn parent(api: &Api) {
    api.put(&KUSTOMIZATION, "flux-system", "apps", json!({ "spec": { "interval": "5m" } }));
}

fn of(api: &Api, target: &str) -> KubernetesPause {
    pause(api, &["flux-system/kustomization/apps"], &[]).held_for("volsync", target)
}

fn kustomization(api: &Api) -> Value {
    api.get(&KUSTOMIZATION, "flux-system", "apps")
}

#[tokio::test]
async fn the_last_one_that_lets_go_brings_it_back_as_it_was_before_the_first() {
    for reverse in [false, true] {
        let api = Api::new();
        parent(&api);
        let before = kustomization(&api)["spec"].clone();
        let (paperless, immich) = (of(&api, "paperless/data"), of(&api, "immich/photos"));
        let first = take_down(&paperless).await.unwrap();
        let second = take_down(&immich).await.unwrap();
        let mut both = [(&paperless, &first), (&immich, &second)];
        if reverse {
            both.reverse();
        }
        let [(one, its), (_, others)] = both;
        bring_back(one, its).await;
        assert_eq!(kustomization(&api)["spec"]["suspend"], true, "the other one still writes");
        let told = one.settle().await;
        assert!(told[0].starts_with("Kustomization flux-system/apps stays down: another restore"), "{told:?}");
        // By a process that knows only the record.
        bring_back(&pause(&api, &[], &[]), others).await;
        assert_eq!(kustomization(&api)["spec"], before);
        let annotations = kustomization(&api)["metadata"]["annotations"].clone();
        let held = annotations.as_object().is_some_and(|all| all.keys().any(|name| name.starts_with("dr/held-by-")));
        assert!(!held, "{annotations}");
    }
}

#[tokio::test]
async fn runs_of_one_target_are_one_holder() {
    let api = Api::new();
    parent(&api);
    let killed = take_down(&of(&api, "paperless/data")).await.unwrap();
    let again = take_down(&of(&api, "paperless/data")).await.unwrap();
    assert_eq!(again[0].before, killed[0].before, "what it was before the first attempt");
    bring_back(&of(&api, "paperless/data"), &again).await;
    assert!(kustomization(&api)["spec"]["suspend"].is_null());
}

#[tokio::test]
async fn what_is_left_to_another_run_of_the_same_ledger_keeps_no_mark() {
    let api = Api::new();
    parent(&api);
    let (paperless, immich) = (of(&api, "paperless/data"), of(&api, "immich/photos"));
    let first = take_down(&paperless).await.unwrap();
    let second = take_down(&immich).await.unwrap();
    paperless.leave(&first[0]).await.unwrap();
    assert_eq!(kustomization(&api)["spec"]["suspend"], true);
    bring_back(&immich, &second).await;
    assert!(kustomization(&api)["spec"]["suspend"].is_null());
}

#[tokio::test]
async fn who_takes_over_what_another_run_of_the_same_ledger_wrote_down_keeps_a_mark_of_its_own() {
    let api = Api::new();
    parent(&api);
    let (data, media, immich) = (of(&api, "paperless/data"), of(&api, "paperless/media"), of(&api, "immich/photos"));
    let first = take_down(&data).await.unwrap();
    let wanted = media.application().await.unwrap();
    let second = media.beside(&wanted[0], &first[0]);
    media.change(&second).await.unwrap();
    // The first one ends and leaves it to the second, which still writes when a third one comes.
    data.leave(&first[0]).await.unwrap();
    let third = take_down(&immich).await.unwrap();
    bring_back(&media, std::slice::from_ref(&second)).await;
    assert_eq!(kustomization(&api)["spec"]["suspend"], true, "the third one still writes");
    bring_back(&immich, &third).await;
    assert!(kustomization(&api)["spec"]["suspend"].is_null());
}
