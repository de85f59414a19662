//! Random walks: losses, failures, deaths, other triggers and newer points in any order; what must hold, holds after each
//! apply.

use dr_resources::ledger::{LedgerStore, Triggers};
use dr_resources::run::{Outcome, RestoreJob, RunError};

use crate::world::World;

/// A small generator, so that a seed names a walk for ever.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX constants.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Walk {
    world: World,
    dice: Dice,
    story: Vec<String>,
    /// How often the volume was lost or emptied: no more restores than that may come to an end.
    losses: usize,
    release: u64,
}

impl Walk {
    fn job(&self) -> RestoreJob {
        let triggers: Triggers = [("release".to_owned(), Some(self.release.to_string()))].into();
        RestoreJob { triggers, ..self.world.restore_job() }
    }

    async fn go_on(&mut self) {
        let server = self.world.server.clone();
        let down = server.read("app").as_deref() == Some("0");
        match self.dice.roll(9) {
            0 | 1 => {
                self.tell("lose the volume");
                self.losses += usize::from(!server.files().is_empty());
                server.lose_volume();
            }
            2 if server.volume().is_dir() => {
                self.tell("empty the volume");
                self.losses += usize::from(!server.files().is_empty());
                server.empty_volume();
            }
            3 => {
                self.tell("other triggers");
                self.release += 1;
            }
            4 => {
                let fail = ["restore", "verify", "undo", "change", "early:restore", "list", "probe"];
                let fail = fail[usize::try_from(self.dice.roll(7)).unwrap()];
                self.tell(&format!("fail at {fail}"));
                server.set("fail", Some(fail));
            }
            5 => {
                let step = self.dice.roll(45) + 1;
                self.tell(&format!("die at step {step}"));
                server.set("release", Some(&self.release.to_string()));
                let _ = self.world.apply_in_child("release", Some(&step.to_string()));
                self.holds_always();
            }
            6 if !down && server.files().len() == 3 => {
                self.tell("the schedule's time has come");
                server.tick();
            }
            _ => {
                self.tell("apply");
                let result = self.world.restore(&self.job()).await;
                self.holds_always();
                self.holds_after(&result).await;
            }
        }
    }

    fn tell(&mut self, what: &str) {
        self.story.push(what.to_owned());
    }

    /// Whatever happened: an application that runs has a paused schedule only on its way up or down, and restores that came
    /// to an end are not more than losses and failures that were retried.
    fn holds_always(&self) {
        let server = &self.world.server;
        let resumed = server.count("resumed app");
        let stopped = server.count("stopped app");
        let down = usize::from(server.read("app").as_deref() == Some("0"));
        assert_eq!(stopped, resumed + down, "{:?}\n{:?}", self.story, server.events());
        assert!(["0", "3"].contains(&server.read("app").unwrap().as_str()), "{:?}", self.story);
    }

    async fn holds_after(&self, result: &Result<dr_resources::run::RestoreResult, RunError>) {
        let server = &self.world.server;
        let story = &self.story;
        let Ok(result) = result else { return };
        assert_eq!(server.read("app").as_deref(), Some("3"), "{story:?}");
        assert_eq!(server.read("schedule").as_deref(), Some("active"), "{story:?}");
        assert_eq!(server.files().len(), 3, "{story:?}: {result:?}");
        assert!(matches!(result.outcome, Outcome::Restored | Outcome::NotNeeded), "{story:?}: {result:?}");
        let records = self.world.ledger.list().await.unwrap();
        assert!(records.iter().all(|record| !record.owes_undo()), "{story:?}: {records:#?}");
        // And once more: nothing happens.
        let events = server.events();
        let again = self.world.restore(&self.job()).await.unwrap();
        assert!(again.adopted || again.outcome == Outcome::NotNeeded, "{story:?}: {again:?}");
        assert_eq!(server.events(), events, "{story:?}");
    }
}

#[tokio::test]
async fn whatever_happens_in_whatever_order_the_next_good_apply_leaves_all_in_order() {
    for seed in 0..60 {
        let dice = Dice(seed);
        let mut walk = Walk { world: World::new(), dice, story: vec![format!("seed {seed}")], losses: 0, release: 0 };
        for _ in 0..25 {
            walk.go_on().await;
        }
        walk.world.server.set("fail", None);
        walk.tell("nothing fails any more, apply");
        let result = walk.world.restore(&walk.job()).await;
        assert!(result.is_ok(), "{:?}: {result:?}", walk.story);
        walk.holds_always();
        walk.holds_after(&result).await;
        assert!(walk.losses > 0 || walk.world.server.effective_restores() == 0, "{:?}", walk.story);
    }
}
