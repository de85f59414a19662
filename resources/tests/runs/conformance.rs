//! Every cell that the engine table claims for the toy engine is exercised. A new column does not compile until it is.

use dr_resources::engines::declared::Declared;
use dr_resources::engines::table::{
    self, Concept, EmptyProbe, Engine, Exclusive, HandOver, LedgerPlace, OnDemandObject, Pause, PointsFrom,
    QuiesceOrder, ReadOnly, RetentionScope, SecretReadBack,
};
use dr_resources::engines::toy::{Toy, ToySchedule};
use dr_resources::ledger::LedgerStore;
use dr_resources::run::{Cancel, Memory, Outcome, Points, RestoreJob, RestoreParts, TargetState, When, restore};

use crate::world::World;

#[tokio::test]
async fn the_toy_engine_does_what_its_row_claims() {
    let Engine {
        name,
        concepts,
        retention_scope,
        exclusive,
        empty_probe,
        quiesce_order,
        hand_over,
        pause,
        read_only,
        always_owned,
        secret_read_back,
        on_demand_object,
        removes_one_backup,
        points_from,
        ledger_place,
    } = *table::engine("toy").unwrap();
    assert_eq!(name, World::new().restore_job().engine);
    for concept in concepts {
        match concept {
            Concept::Backup => assert!(World::new().backup(&World::new().backup_job(), None).await.is_ok()),
            Concept::Restore => {
                let world = World::lost();
                assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::Restored);
            }
            Concept::Retention => assert_eq!(retention_scope, RetentionScope::Target),
            Concept::Points => assert_eq!(points_from, PointsFrom::Api),
            Concept::Schedule => assert!(ToySchedule(World::new().server).find().await.unwrap().is_some()),
            Concept::Target => panic!("the toy has no targets"),
        }
    }
    points_come_from_the_server().await;
    retention_covers_all_points_of_the_server().await;
    assert_eq!(exclusive, Exclusive::Nothing, "its storage is no store");
    assert_eq!(empty_probe, EmptyProbe::Directory);
    an_empty_folder_is_empty().await;
    assert_eq!(quiesce_order, QuiesceOrder::QuiesceFirst);
    both_orders_are_kept().await;
    assert_eq!(hand_over, HandOver::Exports(&["point"]));
    a_hand_over_pins_and_does_not_run().await;
    assert_eq!(pause, Pause::Field("schedule"));
    a_pause_holds().await;
    assert_eq!(read_only, ReadOnly::RestoresOnly);
    read_only_storage_can_be_restored_from().await;
    assert_eq!(always_owned, ["schedule"]);
    what_is_always_owned_is_seen_to_drift().await;
    assert_eq!(secret_read_back, SecretReadBack::None);
    assert_eq!(on_demand_object, OnDemandObject::Own("run"));
    the_object_of_a_run_is_named_after_it().await;
    assert!(!removes_one_backup);
    one_backup_can_not_be_removed().await;
    assert_eq!(ledger_place, LedgerPlace::Path);
    the_record_is_beside_the_path().await;
}

async fn points_come_from_the_server() {
    let world = World::new();
    world.server.store("backup", "elsewhere", world.server.files());
    assert_eq!(Toy(world.server.clone()).list().await.unwrap().points.len(), 2);
    world.server.set("unreachable", Some(""));
    assert!(Toy(world.server.clone()).list().await.is_err());
}

async fn one_backup_can_not_be_removed() {
    let world = World::new();
    let point = world.server.store("backup", "run", world.server.files());
    assert!(dr_resources::run::Backup::remove(&Toy(world.server.clone()), "run", &point.id).await.is_err());
    assert!(world.server.points().iter().any(|stored| stored.id == point.id));
}

async fn retention_covers_all_points_of_the_server() {
    let world = World::new();
    world.backup(&world.backup_job(), None).await.unwrap();
    world.server.set("keep", Some("1"));
    world.server.store("backup", "another job", world.server.files());
    world.backup(&world.backup_job(), None).await.unwrap();
    assert_eq!(world.server.points().len(), 1);
}

async fn what_is_always_owned_is_seen_to_drift() {
    let world = World::new();
    world.server.set("schedule", Some("paused"));
    assert_eq!(ToySchedule(world.server.clone()).find().await.unwrap().unwrap().drift.len(), 1);
}

async fn an_empty_folder_is_empty() {
    let world = World::new();
    let probe = || async { dr_resources::run::Restore::probe(&Toy(world.server.clone())).await.unwrap().state };
    assert_eq!(probe().await, TargetState::Present);
    world.server.empty_volume();
    assert_eq!(probe().await, TargetState::Empty);
    world.server.lose_volume();
    assert_eq!(probe().await, TargetState::Missing);
}

/// The phases as they follow each other in the events of the server: a safety backup is a point, so its place is seen by
/// what the application was when it failed.
async fn both_orders_are_kept() {
    for (order, app) in [(QuiesceOrder::QuiesceFirst, "stopped app"), (QuiesceOrder::SafetyFirst, "")] {
        let world = World::new();
        let toy = Toy(world.server.clone());
        world.server.set("fail", Some("safety"));
        let parts = RestoreParts {
            ledger: &world.ledger,
            memory: Memory { storage: None, siblings: None },
            engine: &toy,
            pause: Some(&toy),
            safety: Some(&toy),
            order,
            cancel: Cancel::never(),
        };
        restore(&RestoreJob { when: When::Always, ..world.restore_job() }, &parts).await.unwrap_err();
        assert_eq!(world.server.count("stopped app"), usize::from(!app.is_empty()), "{order:?}");
        assert_eq!(world.server.count("paused schedule"), 1);
    }
}

async fn a_hand_over_pins_and_does_not_run() {
    let world = World::lost();
    let job = RestoreJob { perform: false, ..world.restore_job() };
    let result = world.restore(&job).await.unwrap();
    assert_eq!(result.outcome, Outcome::HandedOver);
    assert_eq!(result.point.unwrap().id, "p0000");
    assert!(world.server.events().is_empty());
}

async fn a_pause_holds() {
    let world = World::new();
    world.server.set("fail", Some("restore"));
    world.restore(&RestoreJob { when: When::Always, ..world.restore_job() }).await.unwrap_err();
    world.server.tick();
    assert_eq!(world.server.count("schedule ran"), 0);
}

async fn read_only_storage_can_be_restored_from() {
    let world = World::new();
    world.server.write_file("a", "changed since");
    let toy = Toy(world.server.clone());
    let parts = RestoreParts {
        ledger: &world.ledger,
        memory: Memory { storage: None, siblings: None },
        engine: &toy,
        pause: Some(&toy),
        safety: None,
        order: QuiesceOrder::QuiesceFirst,
        cancel: Cancel::never(),
    };
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    let error = restore(&job, &parts).await.unwrap_err();
    assert!(error.to_string().contains("set safety_backup = false"), "{error}");
    assert_eq!(world.server.files()["a"], "changed since");
    restore(&RestoreJob { safety_backup: false, ..job }, &parts).await.unwrap();
    assert_eq!(world.server.files()["a"], "one");
    assert_eq!(world.server.points().len(), 1);
}

async fn the_object_of_a_run_is_named_after_it() {
    let world = World::lost();
    let key = world.restore(&world.restore_job()).await.unwrap().key;
    let record = world.ledger.read(&key).await.unwrap().unwrap();
    assert!(record.engine_object.unwrap().starts_with(&format!("dr-docs-{}", &key[..8])));
}

async fn the_record_is_beside_the_path() {
    let world = World::lost();
    let key = world.restore(&world.restore_job()).await.unwrap().key;
    assert!(world.server.root().join(format!(".volume.dr/runs/{key}.json")).exists());
}
