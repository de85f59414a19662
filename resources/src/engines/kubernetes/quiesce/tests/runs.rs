//! Whole runs: the toy's data, a real pause, processes that end at any moment.

use async_trait::async_trait;

use super::super::kinds::APPLICATION;
use super::*;
use crate::connections::kubernetes::Cluster;
use crate::engines::table::QuiesceOrder;
use crate::engines::toy::{Server, Toy};
use crate::engines::volsync;
use crate::ledger::{LedgerStore, PathLedger, PinnedPoint};
use crate::run::{
    Cancel, EngineError, Journal, Listing, Memory, Outcome, Points, Probe, Restore, RestoreJob, RestoreParts,
    RestoreResult, Restored, RunError, restore,
};
use crate::waiting::Patience;

struct World {
    _folder: tempfile::TempDir,
    server: Server,
    ledger: PathLedger,
    api: Api,
}

impl World {
    /// A volume that is lost and one point of it; a Deployment of three under an Application that heals itself.
    fn lost() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::create(folder.path());
        server.write_file("a", "one");
        server.store("backup", "first", server.files());
        server.lose_volume();
        let ledger = PathLedger::new(&server.volume()).unwrap();
        let api = Api::new();
        workload(&api, &Kind::DEPLOYMENT, "web");
        let automated = json!({ "prune": true, "selfHeal": true });
        api.put(&APPLICATION, "argocd", "web", json!({ "spec": { "syncPolicy": { "automated": automated } } }));
        World { _folder: folder, server, ledger, api }
    }

    fn pause(&self) -> KubernetesPause {
        pause(&self.api, &["argocd/application/web"], &["deployment/web"])
    }

    async fn restore(&self, pause: &KubernetesPause, cancel: Cancel) -> Result<RestoreResult, RunError> {
        self.restore_by(&Toy(self.server.clone()), pause, cancel).await
    }

    async fn restore_by(
        &self,
        engine: &dyn Restore,
        pause: &KubernetesPause,
        cancel: Cancel,
    ) -> Result<RestoreResult, RunError> {
        let job = RestoreJob { server_uid: Some(self.server.uid()), ..RestoreJob::for_tests() };
        let parts = RestoreParts {
            ledger: &self.ledger,
            memory: Memory { storage: None, siblings: None },
            engine,
            pause: Some(pause),
            safety: None,
            order: QuiesceOrder::QuiesceFirst,
            cancel,
        };
        restore(&job, &parts).await
    }

    fn replicas(&self) -> Value {
        self.api.get(&Kind::DEPLOYMENT, NAMESPACE, "web")["spec"]["replicas"].clone()
    }

    fn automated(&self) -> Value {
        self.api.get(&APPLICATION, "argocd", "web")["spec"]["syncPolicy"]["automated"].clone()
    }

    fn is_as_before(&self) -> bool {
        self.replicas() == 3 && self.automated() == json!({ "prune": true, "selfHeal": true })
    }
}

#[tokio::test]
async fn a_restore_takes_the_application_down_and_brings_it_back() {
    let world = World::lost();
    let result = world.restore(&world.pause(), Cancel::never()).await.unwrap();
    assert_eq!((result.outcome, result.warnings.as_slice()), (Outcome::Restored, &[][..]));
    assert!(world.is_as_before());
    let records = world.ledger.list().await.unwrap();
    assert!(records.iter().all(|record| !record.owes_undo()));
}

/// The toy, where VolSync has to be installed.
struct WithVolSync(Toy, Cluster);

#[async_trait]
impl Points for WithVolSync {
    async fn list(&self) -> Result<Listing, EngineError> {
        self.0.list().await
    }

    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        volsync::INSTALLED_BY.wait_for(&self.1, &[&volsync::SOURCE], patience).await
    }

    async fn check_readable(&self, point: &PinnedPoint) -> Result<(), EngineError> {
        self.0.check_readable(point).await
    }
}

#[async_trait]
impl Restore for WithVolSync {
    async fn probe(&self) -> Result<Probe, EngineError> {
        self.0.probe().await
    }

    async fn restore(&self, point: &PinnedPoint, again: bool, journal: &Journal) -> Result<Restored, EngineError> {
        self.0.restore(point, again, journal).await
    }

    async fn verify(&self, point: &PinnedPoint, journal: &Journal) -> Result<(), EngineError> {
        self.0.verify(point, journal).await
    }
}

#[tokio::test]
async fn nothing_is_taken_down_or_written_before_the_engine_is_there() {
    let world = World::lost();
    world.api.without(&volsync::SOURCE);
    let engine = WithVolSync(Toy(world.server.clone()), world.api.cluster());
    let patience = Patience::of(Duration::from_millis(20), "timeouts.create");
    let cancel = Cancel::never().patient(patience);
    let error = world.restore_by(&engine, &world.pause(), cancel).await.unwrap_err();
    assert!(matches!(error, RunError::BeforeWriting { .. }), "{error}");
    let said = error.to_string();
    for part in [
        "the CRD replicationsources.volsync.backube (v1alpha1)",
        "helm_release.volsync",
        "helm-charts",
        "timeouts.create",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(world.is_as_before() && world.server.incarnation().is_none());
    let changed = world.api.requests().into_iter().find(|request| !request.starts_with("GET"));
    assert_eq!(changed, None);
    // It comes while it is waited for.
    let api = world.api.clone();
    let (pause, patience) = (world.pause(), Patience::of(Duration::from_secs(60), "timeouts.create"));
    let restored = world.restore_by(&engine, &pause, Cancel::never().patient(patience));
    let installed = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        api.with(&volsync::SOURCE);
    };
    let (result, ()) = tokio::join!(restored, installed);
    assert_eq!(result.unwrap().outcome, Outcome::Restored);
}

#[tokio::test]
async fn a_process_that_ends_anywhere_is_taken_over_and_everything_comes_back() {
    let mut ended_early = 0;
    for millis in (0..240).step_by(12) {
        let world = World::lost();
        let running = world.pause();
        let run = world.restore(&running, Cancel::never());
        // The future is dropped where it stands, as a kill ends a process.
        ended_early += i32::from(tokio::time::timeout(Duration::from_millis(millis), run).await.is_err());
        let result = world.restore(&world.pause(), Cancel::never()).await.unwrap();
        assert_eq!(result.outcome, Outcome::Restored, "after {millis} ms");
        assert!(world.is_as_before(), "after {millis} ms: {} {}", world.replicas(), world.automated());
        assert_eq!(world.server.effective_restores(), 1);
    }
    assert!(ended_early > 5, "only {ended_early} runs were cut off");
}

#[tokio::test]
async fn an_application_that_comes_back_before_the_first_write_stops_the_restore_and_is_left_as_it_was() {
    let world = World::lost();
    let address = api::address(&APPLICATION, "argocd", "web");
    api_heals(&world.api, address);
    let error = world.restore(&world.pause(), Cancel::never()).await.unwrap_err();
    assert!(matches!(error, RunError::BeforeWriting { .. }), "{error}");
    assert!(error.to_string().contains("argocd-controller put spec.syncPolicy.automated back"), "{error}");
    assert!(world.server.incarnation().is_none(), "nothing was written");
    assert!(world.is_as_before());
}

/// Puts the automation back once the Deployment is down.
fn api_heals(api: &Api, address: String) {
    let deployment = api::address(&Kind::DEPLOYMENT, NAMESPACE, "web");
    let mut healed = false;
    api.controller(move |objects| {
        if !healed && objects[&deployment]["spec"]["replicas"] == 0 {
            healed = true;
            let automated = json!({ "spec": { "syncPolicy": { "automated": { "prune": true, "selfHeal": true } } } });
            let application = objects.get_mut(&address).unwrap();
            application["spec"] = automated["spec"].clone();
            api::own(&mut automated.clone(), application, "argocd-controller");
        }
    });
}
