//! The worker: everything that opens a repository runs in a child process, which can be stopped, and whose memory goes
//! with it.

mod bars;
mod client;
mod fence;
mod job;
mod messages;
mod process;
mod reporter;
mod wire;

pub use client::{ALLOCATOR, Worker};
pub use messages::{Event, Job, Location, LockOrder, Order, Outcome};
pub use process::worker_main;

#[cfg(test)]
mod tests;
