//! An engine that only tests use: a "server" that lives in a folder, has an identity, and can be unreachable, replaced,
//! emptied, slow, told to fail, and killed at any step.
//!
//! `DR_TOY_DIE` names the step at which the process kills itself: a number counts all steps of the process, a name is the
//! first step of that name (`phase:writing`: the record of that phase has just been written).

mod death;
mod engine;
mod ledger;
mod schedule;
mod server;

pub use death::{durable_step, step};
pub use engine::Toy;
pub use ledger::DyingLedger;
pub use schedule::ToySchedule;
pub use server::{Server, StoredPoint};
