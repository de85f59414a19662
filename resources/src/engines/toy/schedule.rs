//! The schedule of a toy server as a declarative object.

use async_trait::async_trait;
use serde_json::Value;

use super::Server;
use crate::engines::concepts::{Blame, Failure};
use crate::engines::declared::{Adopt, Declared, Found, NotPut};

/// The schedule of one toy server, which is to be active. Its one field can turn protection off, so it is always owned.
#[derive(Debug, Clone)]
pub struct ToySchedule(pub Server);

/// What the field is when backups run.
const ACTIVE: &str = "active";

#[async_trait]
impl Declared for ToySchedule {
    fn what(&self) -> String {
        "schedule docs".to_owned()
    }

    fn wanted(&self) -> Value {
        Value::Null
    }

    fn instead_of(&mut self, _: Value) {}

    async fn server_uid(&self) -> Result<String, Failure> {
        Ok(self.0.uid())
    }

    async fn find(&self) -> Result<Option<Found>, Failure> {
        if self.0.read("unreachable").is_some() {
            return Err(Failure::new("the toy server can't be reached".to_owned(), Blame::Unreachable));
        }
        let found = |set: String| Found {
            uid: format!("{}/schedule", self.0.uid()),
            foreign: self.0.read("schedule_maker"),
            drift: (set != ACTIVE).then(|| format!("it is {set}, not {ACTIVE}")).into_iter().collect(),
            ..Found::default()
        };
        Ok(self.0.read("schedule").map(found))
    }

    async fn put(&self, known: Option<&str>, adopt: Adopt) -> Result<Found, NotPut> {
        if let Some(found) = self.find().await? {
            if !adopt.allows(known, &found) {
                return Err(NotPut::Exists { what: self.what(), maker: found.foreign });
            }
            if found.drift.is_empty() && found.foreign.is_none() {
                return Ok(found);
            }
        }
        self.0.set("schedule", Some(ACTIVE));
        self.0.set("schedule_maker", None);
        self.0.log("put schedule");
        let gone = || Failure::new("the schedule is gone again".to_owned(), Blame::Block);
        Ok(self.find().await?.ok_or_else(gone)?)
    }

    async fn remove_former(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn settle(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &str) -> Result<(), Failure> {
        self.0.set("schedule", None);
        Ok(())
    }
}
