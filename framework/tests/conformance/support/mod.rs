//! Drives any resource through its life with generated values, and holds every answer to the rules.

pub mod drive;
pub mod generate;
pub mod wire;

use std::collections::BTreeMap;

use dr_framework::Value;

/// Values that a resource takes for attributes of a name, where arbitrary ones would all be refused.
pub type Hints = BTreeMap<&'static str, Vec<Value>>;

/// How many generated configurations were taken, and why the others were not.
#[derive(Debug, Default)]
pub struct Tally {
    /// Configurations that went all the way.
    pub taken: usize,
    /// Summaries of the errors that refused the others.
    pub refused: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts a refusal.
    pub fn refuse(&mut self, why: &dr_framework::Diagnostics) {
        let summary = why.0.first().map_or_else(|| "no reason".to_owned(), |first| first.summary.clone());
        *self.refused.entry(summary).or_default() += 1;
    }

    /// A run in which next to everything is refused shows nothing.
    pub fn assert_enough(&self, name: &str, least: usize) {
        assert!(
            self.taken >= least,
            "{name}: only {} configurations were taken; refused: {:#?}",
            self.taken,
            self.refused
        );
    }
}
