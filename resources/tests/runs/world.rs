//! A toy server in a folder of its own, and jobs over it, in this process or in one that can be killed.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use dr_resources::engines::table::QuiesceOrder;
use dr_resources::engines::toy::{DyingLedger, Server, Toy};
use dr_resources::ledger::{LedgerStore, PathLedger, Record, StoreLedger, Triggers};
use dr_resources::run::{
    BackupJob, BackupParts, BackupResult, Cancel, Cause, FirstBackup, Locality, Memory, Probe, ReadBack, RestoreJob,
    RestoreParts, RestoreResult, RunError, TargetState, backup, restore,
};
use dr_resources::store::local::LocalStore;

pub struct World {
    _folder: Option<tempfile::TempDir>,
    pub server: Server,
    pub ledger: DyingLedger<PathLedger>,
    pub storage: DyingLedger<StoreLedger>,
}

impl World {
    /// A server with a volume of three files, one point of it, and nothing lost yet.
    pub fn new() -> Self {
        // In memory where there is such a place: processes die here, not machines, so waiting for a disk shows nothing.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        Server::create(folder.path());
        let mut world = World::open(folder.path());
        world._folder = Some(folder);
        world.fill();
        world.server.store("backup", "first", world.server.files());
        world
    }

    /// A server with a point whose volume is lost.
    pub fn lost() -> Self {
        let world = World::new();
        world.server.lose_volume();
        world
    }

    pub fn open(root: &Path) -> Self {
        let server = Server::open(root);
        let ledger = DyingLedger(PathLedger::new(&server.volume()).unwrap());
        let store = Arc::new(LocalStore::new(root.join("points.dr")));
        World { _folder: None, server, ledger, storage: DyingLedger(StoreLedger::new(store, "")) }
    }

    /// A restore to the path of this server's volume, whose record lies in storage that other machines use too. Only `host` is
    /// this one's own name.
    pub fn path_job(&self, host: &str) -> RestoreJob {
        let (incarnation, born) = self.server.incarnation().unzip();
        let probe = Probe { state: TargetState::Present, incarnation, born, evidence: String::new() };
        let locality = Some(Locality::of(&probe, host.to_owned()));
        RestoreJob { server_uid: None, target: "/data".into(), locality, ..self.restore_job() }
    }

    pub fn fill(&self) {
        for (name, content) in [("a", "one"), ("b", "two two"), ("c", "three three three")] {
            self.server.write_file(name, content);
        }
    }

    pub fn restore_job(&self) -> RestoreJob {
        RestoreJob { server_uid: Some(self.server.uid()), ..RestoreJob::for_tests() }
    }

    pub async fn restore(&self, job: &RestoreJob) -> Result<RestoreResult, RunError> {
        self.restore_until(job, Cancel::never()).await
    }

    pub async fn restore_until(&self, job: &RestoreJob, cancel: Cancel) -> Result<RestoreResult, RunError> {
        self.restore_in(&self.ledger, job, cancel).await
    }

    /// Restores with its record in the storage, as for a target without a place of its own.
    pub async fn restore_in_storage(&self, job: &RestoreJob) -> Result<RestoreResult, RunError> {
        self.restore_in(&self.storage, job, Cancel::never()).await
    }

    pub async fn restore_in(
        &self,
        ledger: &dyn LedgerStore,
        job: &RestoreJob,
        cancel: Cancel,
    ) -> Result<RestoreResult, RunError> {
        let toy = Toy(self.server.clone());
        let parts = RestoreParts {
            ledger,
            memory: Memory { storage: Some(&self.storage), siblings: None },
            engine: &toy,
            pause: Some(&toy),
            safety: Some(&toy),
            order: QuiesceOrder::QuiesceFirst,
            cancel,
        };
        restore(job, &parts).await
    }

    pub fn backup_job(&self) -> BackupJob {
        BackupJob {
            name: "docs".into(),
            engine: "toy".into(),
            server_uid: None,
            target: "repository".into(),
            triggers: Triggers::new(),
            series: "docs".into(),
            on: vec![Cause::Create, Cause::Triggers],
            first_backup: FirstBackup::Refuse,
            verify: ReadBack::Data,
            drill: false,
        }
    }

    pub async fn backup(&self, job: &BackupJob, after: Option<&str>) -> Result<BackupResult, RunError> {
        self.backup_for(Cause::Create, job, after).await
    }

    pub async fn backup_for(
        &self,
        cause: Cause,
        job: &BackupJob,
        after: Option<&str>,
    ) -> Result<BackupResult, RunError> {
        let toy = Toy(self.server.clone());
        let parts = BackupParts {
            ledger: &self.storage,
            after: after.map(|key| (key, &self.ledger as &dyn LedgerStore)),
            others: vec![&self.ledger],
            engine: &toy,
            cancel: Cancel::never(),
        };
        backup(job, cause, &parts).await
    }

    pub fn ledger_for(&self, what: &str) -> &dyn LedgerStore {
        if what.ends_with("in storage") { &self.storage } else { &self.ledger }
    }

    pub async fn record(&self, job: &RestoreJob) -> Option<Record> {
        self.ledger.read(&job.key()).await.unwrap()
    }

    /// Applies the job in a process that kills itself at `die`, which counts steps or names one.
    pub fn apply_in_child(&self, what: &str, die: Option<&str>) -> ExitStatus {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "kill::child", "--nocapture"]).env("DR_TOY_ROOT", self.server.root());
        child.env("DR_TOY_JOB", what).env("DR_TEST_CLOCK_SPEED", "200").env_remove("DR_TOY_DIE");
        if let Some(die) = die {
            child.env("DR_TOY_DIE", die);
        }
        let output = child.output().unwrap();
        if output.status.code().is_some_and(|code| code != 0) {
            eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
        output.status
    }
}
