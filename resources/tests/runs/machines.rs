//! Machines that restore to one path and keep their records in one storage.

use dr_resources::ledger::{LastRun, LedgerStore, Record, Triggers};
use dr_resources::run::{Cancel, Outcome, RestoreJob, When};

use crate::world::World;

/// A machine whose restore to its path was killed half way.
fn killed() -> World {
    let world = World::new();
    world.server.empty_volume();
    assert!(!world.apply_in_child("path", Some("file")).success());
    world
}

async fn record(world: &World, job: &RestoreJob) -> Record {
    world.storage.read(&job.key()).await.unwrap().unwrap()
}

fn saved(world: &World) -> usize {
    world.server.points().iter().filter(|point| point.kind == "safety").count()
}

#[tokio::test]
async fn half_a_path_of_another_machine_is_none_of_this_one() {
    let (there, here) = (killed(), World::new());
    let names = [("docs", "1"), ("docs", "2"), ("standing", "1")];
    for (name, release) in names {
        here.server.write_file("a", "live data");
        let triggers: Triggers = [("release".to_owned(), (release != "1").then(|| release.to_owned()))].into();
        // Two containers may have one name in two places.
        for host in ["here", "there"] {
            let job = here.path_job(host);
            let job = RestoreJob { name: name.into(), when: When::TargetMissing, triggers: triggers.clone(), ..job };
            assert!(job.standing(&there.storage.list().await.unwrap()).is_none_or(|record| !record.left_half()));
            let result = here.restore_in(&there.storage, &job, Cancel::never()).await.unwrap();
            assert_eq!(result.outcome, Outcome::NotNeeded, "{name} {release} {host}");
            assert_eq!(here.server.files()["a"], "live data");
        }
    }
    let half = record(&there, &there.path_job("there")).await;
    assert!(half.left_half() && half.last_run() == LastRun::Unfinished && half.point.is_some());
    assert!(there.apply_in_child("path", None).success());
    assert_eq!(record(&there, &there.path_job("there")).await.last_run(), LastRun::Succeeded);
    assert_eq!(there.server.files().len(), 3);
}

#[tokio::test]
async fn a_path_whose_machine_has_another_name_since_is_half_still_and_saved_before_it_is_overwritten() {
    let world = killed();
    world.server.write_file("a", "who knows");
    let job = RestoreJob { when: When::TargetMissing, ..world.path_job("another name") };
    assert!(job.standing(&world.storage.list().await.unwrap()).unwrap().left_half());
    assert!(world.apply_in_child("renamed path", None).success());
    assert_eq!((world.server.files().len(), saved(&world)), (3, 1));
    assert!(!record(&world, &job).await.left_half());
}

#[tokio::test]
async fn what_a_machine_half_wrote_before_it_was_rebuilt_is_nothing_of_the_new_one() {
    let world = killed();
    world.server.lose_volume();
    world.server.make_volume();
    let job = world.path_job("there");
    assert!(job.standing(&world.storage.list().await.unwrap()).is_none(), "it is known by another volume");
    assert_eq!(world.restore_in_storage(&job).await.unwrap().outcome, Outcome::Restored);
    assert_eq!((world.server.files().len(), saved(&world)), (3, 0), "it was empty and due, not half");
}
