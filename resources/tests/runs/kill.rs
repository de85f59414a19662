//! SIGKILL at every step of a restore and of a backup, then apply again.

use std::os::unix::process::ExitStatusExt;

use dr_resources::engines::toy::StoredPoint;
use dr_resources::ledger::{JobKind, LastRun, LedgerStore, Phase, PinnedPoint, Record};
use dr_resources::run::{BackupJob, Cause, When};

use crate::world::World;

const KILLED: Option<i32> = Some(9);

/// What a child process does; in the test run itself, nothing.
#[test]
fn child() {
    let Ok(root) = std::env::var("DR_TOY_ROOT") else { return };
    let job = std::env::var("DR_TOY_JOB").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let world = World::open(root.as_ref());
        match job.as_str() {
            "restore" => world.restore(&world.restore_job()).await.map(drop),
            "restore in storage" => world.restore_in_storage(&world.restore_job()).await.map(drop),
            "again in storage" => world.restore_in_storage(&again(&world)).await.map(drop),
            "path" => world.restore_in_storage(&world.path_job("there")).await.map(drop),
            "renamed path" => world.restore_in_storage(&renamed_path(&world)).await.map(drop),
            "release" => {
                let release = world.server.read("release");
                let triggers = [("release".to_owned(), release)].into();
                world.restore(&dr_resources::run::RestoreJob { triggers, ..world.restore_job() }).await.map(drop)
            }
            "overwrite" => world.restore(&overwrite(&world)).await.map(drop),
            "backup" => world.backup(&world.backup_job(), None).await.map(drop),
            "last backup" => {
                let job = BackupJob { on: vec![Cause::Destroy], ..world.backup_job() };
                world.backup_for(Cause::Destroy, &job, None).await.map(drop)
            }
            other => panic!("no such job: {other}"),
        }
    });
    if let Err(error) = &result {
        eprintln!("{error}");
    }
    std::process::exit(i32::from(result.is_err()));
}

/// A restore over a volume that is there: with a safety backup before it.
fn overwrite(world: &World) -> dr_resources::run::RestoreJob {
    dr_resources::run::RestoreJob { when: When::Always, ..world.restore_job() }
}

/// The same restore with other triggers.
fn again(world: &World) -> dr_resources::run::RestoreJob {
    let triggers = [("again".to_owned(), Some("1".to_owned()))].into();
    dr_resources::run::RestoreJob { triggers, ..world.restore_job() }
}

/// A restore to a path, on a machine that has another name than before, which waits for the path to be lost.
fn renamed_path(world: &World) -> dr_resources::run::RestoreJob {
    dr_resources::run::RestoreJob { when: When::TargetMissing, ..world.path_job("another name") }
}

/// Whether the schedule may run: nothing is being changed, or nothing has been changed yet.
fn schedule_is_where_it_belongs(world: &World, events: &[String]) {
    let paused = events.iter().any(|event| event == "paused schedule");
    let resumed = events.iter().any(|event| event == "resumed schedule");
    let before = world.server.count("schedule ran");
    world.server.tick();
    let ran = world.server.count("schedule ran") - before;
    assert!(!paused || resumed || ran == 0, "the schedule ran in between: {events:?}");
}

/// Kills at the steps in turn, applies again until it ends, and checks that everything happened once.
async fn killed_at(what: &str, world: World, deaths: &[String]) -> bool {
    for die in deaths {
        let status = world.apply_in_child(what, Some(die));
        if status.signal() != KILLED {
            assert_eq!(status.code(), Some(0), "{what} killed at {deaths:?}: {:?}", world.server.events());
            break;
        }
        schedule_is_where_it_belongs(&world, &world.server.events());
    }
    let status = world.apply_in_child(what, None);
    let events = world.server.events();
    assert_eq!(status.code(), Some(0), "{what} killed at {deaths:?}, applied again: {events:?}");
    let job = if what == "overwrite" { overwrite(&world) } else { world.restore_job() };
    let record = world.ledger_for(what).read(&job.key()).await.unwrap().unwrap();
    assert_eq!(record.last_run(), LastRun::Succeeded, "{deaths:?}");
    assert!(!record.owes_undo());
    assert_eq!(record.undo.len(), 2, "each change is written down once: {deaths:?}");
    assert_eq!(world.server.effective_restores(), 1, "{deaths:?}: {events:?}");
    for once in ["paused schedule", "stopped app", "resumed app", "resumed schedule"] {
        assert_eq!(world.server.count(once), 1, "{once} after {deaths:?}: {events:?}");
    }
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
    assert_eq!(world.server.files().len(), 3);
    // And once more: nothing happens.
    assert_eq!(world.apply_in_child(what, None).code(), Some(0));
    assert_eq!(world.server.effective_restores(), 1, "{deaths:?}");
    assert_eq!(world.server.count("resumed app"), 1);
    true
}

/// The number of steps of an undisturbed run, counted by the first that no longer kills.
fn steps(what: &str, world: impl Fn() -> World) -> usize {
    (1..).find(|number| world().apply_in_child(what, Some(&number.to_string())).signal() != KILLED).unwrap() - 1
}

fn lost() -> World {
    World::lost()
}

/// A volume with other content than the point: half of it newer.
fn changed() -> World {
    let world = World::new();
    world.server.write_file("a", "changed since");
    world
}

#[tokio::test]
async fn a_restore_killed_at_any_step_happens_once() {
    let steps = steps("restore", lost);
    assert!(steps > 30, "only {steps} steps");
    for number in 1..=steps {
        assert!(killed_at("restore", lost(), &[number.to_string()]).await);
    }
}

#[tokio::test]
async fn a_restore_killed_twice_happens_once() {
    let steps = steps("restore", lost);
    for number in 1..=steps {
        // The second death comes early, in the middle and late in what is left.
        for again in [2, 5, 9] {
            assert!(killed_at("restore", lost(), &[number.to_string(), again.to_string()]).await);
        }
    }
}

#[tokio::test]
async fn a_restore_over_something_killed_at_any_step_happens_once_and_saves_what_it_overwrites_once() {
    let steps = steps("overwrite", changed);
    for number in 1..=steps {
        let world = changed();
        let server = world.server.clone();
        let folder = world.server.root().to_owned();
        let kept = World::open(&folder);
        assert!(killed_at("overwrite", kept, &[number.to_string()]).await);
        let safety: Vec<_> = server.points().into_iter().filter(|point| point.kind == "safety").collect();
        assert_eq!(safety.len(), 1, "killed at {number}: {:?}", server.events());
        assert_eq!(safety[0].files["a"], "changed since", "killed at {number}");
        // The schedule may have stored the newest point before it was paused; the pinned one is what came back.
        let pinned = world.record(&overwrite(&world)).await.unwrap().point.unwrap().id;
        let point = server.points().into_iter().find(|point| point.id == pinned).unwrap();
        assert_eq!(server.files(), point.files);
    }
}

#[tokio::test]
async fn each_phase_is_reached_and_taken_over() {
    for phase in ["recorded", "paused", "quiesced", "safety", "writing", "verifying", "undoing", "done"] {
        let world = lost();
        let status = world.apply_in_child("restore", Some(&format!("phase:{phase}")));
        assert_eq!(status.signal(), KILLED, "{phase} is never written");
        let record = world.record(&world.restore_job()).await.unwrap();
        assert_eq!(serde_json::to_value(record.phase).unwrap(), phase);
        assert!(killed_at("restore", world, &[]).await);
    }
}

#[tokio::test]
async fn a_backup_killed_at_any_step_is_stored_by_the_next_apply_and_owes_nothing() {
    let steps = steps("backup", World::new);
    assert!(steps > 10, "only {steps} steps");
    for number in 1..=steps {
        let world = World::new();
        assert_eq!(world.apply_in_child("backup", Some(&number.to_string())).signal(), KILLED);
        assert_eq!(world.apply_in_child("backup", None).code(), Some(0), "killed at {number}");
        let record = world.storage.read(&world.backup_job().key()).await.unwrap().unwrap();
        assert_eq!(record.last_run(), LastRun::Succeeded);
        assert!(record.lease.is_none());
        assert!(world.storage.seen("docs").await.unwrap());
        let points = world.server.points();
        assert!((2..=3).contains(&points.len()), "killed at {number}: {}", points.len());
        assert!(points.iter().all(|point| point.files.len() == 3));
    }
}

#[tokio::test]
async fn a_backup_that_a_dead_process_stored_is_not_taken_for_the_last_one_before_a_destroy() {
    let world = dead_after_storing();
    world.server.write_file("a", "written since");
    assert_eq!(world.apply_in_child("last backup", None).code(), Some(0));
    assert_eq!(stored(&world).await.files["a"], "written since");
}

#[tokio::test]
async fn a_backup_that_a_dead_process_stored_and_that_is_gone_is_made_again() {
    let world = dead_after_storing();
    world.server.forget(&stored(&world).await.id);
    assert_eq!(world.apply_in_child("backup", None).code(), Some(0));
    assert_eq!(stored(&world).await.files.len(), 3);
}

#[tokio::test]
async fn a_backup_that_a_dead_process_stored_long_ago_is_made_again() {
    let world = World::new();
    let job = world.backup_job();
    let point = world.server.store("backup", "long ago", world.server.files());
    let mut record = Record::new(JobKind::Backup, &job.key(), &job.name, &job.engine, &job.target);
    record.phase = Phase::Verifying;
    let time = dr_resources::clock::now() - jiff::SignedDuration::from_hours(2);
    record.point = Some(PinnedPoint { id: point.id, time, bytes: None });
    let acquired = world.storage.acquire(&record).await.unwrap();
    acquired.lease.write(&record).await.unwrap();
    acquired.lease.release().await;
    world.server.write_file("a", "written since");
    world.backup(&job, None).await.unwrap();
    assert_eq!(stored(&world).await.files["a"], "written since");
}

/// A backup whose process died when its point was stored.
fn dead_after_storing() -> World {
    let world = World::new();
    assert_eq!(world.apply_in_child("backup", Some("phase:verifying")).signal(), KILLED);
    world
}

/// The point that the record of the backup names.
async fn stored(world: &World) -> StoredPoint {
    let record = world.storage.read(&world.backup_job().key()).await.unwrap().unwrap();
    let id = record.point.unwrap().id;
    world.server.points().into_iter().find(|point| point.id == id).unwrap()
}

#[tokio::test]
async fn a_restore_whose_record_is_in_the_storage_killed_at_any_step_happens_once() {
    let steps = steps("restore in storage", lost);
    assert!(steps > 30, "only {steps} steps");
    // Each take-over waits until the lease is stale, so they run side by side.
    let kills = (1..=steps).map(|number| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(killed_at("restore in storage", lost(), &[number.to_string()]))
        })
    });
    for kill in kills.collect::<Vec<_>>() {
        assert!(kill.join().unwrap());
    }
}

#[test]
fn two_processes_with_other_triggers_and_records_in_the_storage_restore_once() {
    let world = lost();
    world.server.set("slow", Some("30"));
    let other = World::open(world.server.root());
    let second = std::thread::spawn(move || other.apply_in_child("again in storage", None));
    let first = world.apply_in_child("restore in storage", None);
    assert!(first.success() && second.join().unwrap().success());
    assert_eq!(world.server.effective_restores(), 1, "{:?}", world.server.events());
    assert_eq!(world.server.count("resumed app"), 1);
}

/// The jobs of two processes that keep their records in the storage: what a child calls it, and its key. The one that goes first is
/// first.
fn in_storage(world: &World) -> [(&'static str, String); 2] {
    let mut jobs = [("restore in storage", world.restore_job().key()), ("again in storage", again(world).key())];
    jobs.sort_by(|one, other| one.1.cmp(&other.1));
    jobs
}

/// Starts a job in a process of its own; how it ended comes later.
fn started(world: &World, what: &'static str) -> std::sync::mpsc::Receiver<std::process::ExitStatus> {
    let (world, (sender, ended)) = (World::open(world.server.root()), std::sync::mpsc::channel());
    std::thread::spawn(move || sender.send(world.apply_in_child(what, None)));
    ended
}

/// Waits for processes of which none should wait for another one that waits for it.
fn all_end(all: [std::sync::mpsc::Receiver<std::process::ExitStatus>; 2]) {
    for ended in all {
        let status = ended.recv_timeout(std::time::Duration::from_secs(60)).expect("they wait for each other");
        assert!(status.success());
    }
}

/// Waits until a record in the storage is like that, and for a moment more, in which its run goes on.
async fn seen(world: &World, key: &str, like: impl Fn(&Record) -> bool) {
    while !world.storage.read(key).await.unwrap().is_some_and(|record| like(&record)) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
}

#[tokio::test]
async fn of_two_jobs_of_one_target_that_begin_at_once_neither_waits_for_the_other_for_ever() {
    let world = lost();
    world.server.set("pinning", Some("on"));
    world.server.set("hold", Some(""));
    let [first, second] = in_storage(&world);
    let second_ended = started(&world, second.0);
    seen(&world, &second.1, |record| record.lease.is_some()).await;
    let first_ended = started(&world, first.0);
    seen(&world, &first.1, |record| record.lease.is_some()).await;
    world.server.set("hold", None);
    all_end([first_ended, second_ended]);
    assert_eq!(world.server.effective_restores(), 1, "{:?}", world.server.events());
    assert_eq!((world.server.files().len(), world.server.read("app").as_deref()), (3, Some("3")));
}

#[tokio::test]
async fn of_two_jobs_that_were_killed_half_way_one_completes_the_target_for_both() {
    let world = lost();
    for (what, _) in in_storage(&world) {
        assert_eq!(world.apply_in_child(what, Some("phase:writing")).signal(), KILLED);
    }
    assert!(world.storage.list().await.unwrap().iter().all(Record::left_half));
    world.server.set("hold", Some(""));
    let [first, second] = in_storage(&world);
    let second_ended = started(&world, second.0);
    seen(&world, &second.1, |record| record.waits).await;
    // It finds that nobody holds the other record before that job is started.
    seen(&world, &first.1, |record| record.lease.is_none()).await;
    let first_ended = started(&world, first.0);
    seen(&world, &first.1, |record| record.waits).await;
    world.server.set("hold", None);
    all_end([first_ended, second_ended]);
    assert_eq!(world.server.effective_restores(), 1, "{:?}", world.server.events());
    assert_eq!((world.server.files().len(), world.server.read("app").as_deref()), (3, Some("3")));
    assert_eq!(world.server.read("schedule").as_deref(), Some("active"));
    assert!(world.storage.list().await.unwrap().iter().all(|record| !record.left_half() && !record.owes_undo()));
}

#[test]
fn two_processes_at_once_restore_once() {
    let world = lost();
    world.server.set("slow", Some("30"));
    let other = World::open(world.server.root());
    let second = std::thread::spawn(move || other.apply_in_child("restore", None));
    let first = world.apply_in_child("restore", None);
    assert!(first.success() && second.join().unwrap().success());
    assert_eq!((world.server.effective_restores(), world.server.count("resumed app")), (1, 1));
}
