//! Declarative objects: made, kept, adopted, and seen to drift.

use dr_resources::engines::declared::{Adopt, Declared, NotPut};
use dr_resources::engines::toy::ToySchedule;

use crate::world::World;

async fn put(world: &World, known: Option<&str>, adopt: Adopt) -> Result<String, NotPut> {
    Ok(ToySchedule(world.server.clone()).put(known, adopt).await?.uid)
}

#[tokio::test]
async fn b5_an_update_makes_what_a_new_server_lacks_and_writes_nothing_where_it_is_the_same() {
    let world = World::new();
    let uid = put(&world, None, Adopt::IfCompatible).await.unwrap();
    assert_eq!(world.server.count("put schedule"), 0, "it is as it should be");
    world.server.replace();
    world.server.set("schedule", None);
    let new = put(&world, Some(&uid), Adopt::Never).await.unwrap();
    assert_ne!(new, uid);
    assert_eq!(world.server.count("put schedule"), 1);
}

#[tokio::test]
async fn m7_what_is_ours_is_adopted_and_what_is_foreign_only_in_words() {
    let world = World::new();
    assert!(matches!(put(&world, None, Adopt::Never).await, Err(NotPut::Exists { .. })));
    put(&world, None, Adopt::IfCompatible).await.unwrap();
    world.server.set("schedule_maker", Some("helm"));
    let error = put(&world, None, Adopt::IfCompatible).await.unwrap_err();
    assert!(error.to_string().ends_with("belongs to helm"), "{error}");
    put(&world, None, Adopt::Always).await.unwrap();
}

#[tokio::test]
async fn m12_a_schedule_that_somebody_paused_is_seen_and_put_right() {
    let world = World::new();
    let uid = put(&world, None, Adopt::IfCompatible).await.unwrap();
    world.server.set("schedule", Some("paused"));
    let seen = ToySchedule(world.server.clone()).find().await.unwrap().unwrap();
    assert_eq!(seen.drift, ["it is paused, not active"]);
    put(&world, Some(&uid), Adopt::Never).await.unwrap();
    assert_eq!(world.server.read("schedule").as_deref(), Some("active"));
}

#[tokio::test]
async fn b4_a_server_that_can_not_be_reached_is_never_a_schedule_that_is_gone() {
    let world = World::new();
    world.server.set("unreachable", Some(""));
    assert!(ToySchedule(world.server.clone()).find().await.is_err());
    assert!(put(&world, None, Adopt::Always).await.is_err());
}

#[tokio::test]
async fn removing_what_is_not_there_is_fine() {
    let world = World::new();
    let schedule = ToySchedule(world.server.clone());
    for _ in 0..2 {
        schedule.remove("").await.unwrap();
        assert_eq!(schedule.find().await.unwrap(), None);
    }
}
