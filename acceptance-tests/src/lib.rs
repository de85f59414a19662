//! The real programs and servers that tests run against, and what the tests share.

pub mod bench;
pub mod cli;
pub mod docs;
pub mod quickstart;
pub mod servers;
pub mod tree;

pub use parts;
