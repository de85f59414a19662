//! The product: concepts, engines, connections and the ledger of the `dr` provider.

pub mod backup_job;
pub mod backup_schedule;
pub mod backup_target;
pub mod cache;
pub mod clock;
pub mod connections;
pub mod cron;
pub mod deletion;
pub mod engines;
pub mod functions;
pub mod jobs;
pub mod ledger;
pub mod moved;
#[cfg(test)]
mod noise;
pub mod poll;
pub mod provider;
pub mod recovery_points;
pub mod reference;
pub mod registered;
pub mod restore_job;
pub mod retention;
pub mod retention_policy;
pub mod run;
pub mod scope;
pub mod secret;
pub mod settings;
pub mod shared;
pub mod store;
pub mod timeouts;
pub mod validators;
pub mod waiting;
pub mod words;
