//! The rules that Terraform and OpenTofu hold a provider to, as checks over plain values.
//!
//! Both CLIs check every answer of a provider and fail the user's run when one breaks a rule (OpenTofu's
//! `internal/plans/objchange`, `internal/tofu/node_resource_*.go` and `internal/plugin/validation`). A check here tells
//! the same before any user sees it. Everything is pure: values in, violations out.

mod answers;
mod apply;
mod identity;
mod plan;
mod proposed;
mod refined;
mod schema;
mod walk;

#[cfg(test)]
mod example;

use tfplugin::Path;

pub use answers::{check_data, check_function, check_import, check_move, check_read, check_upgrade};
pub use apply::check_apply;
pub use identity::{IdentityStage, check_identity, check_identity_schema};
pub use plan::{Action, action, check_plan, check_second_plan};
pub use proposed::proposed_new_state;
pub use schema::{Place, check_function_signature, check_schema};
pub use walk::check_type;

/// What a provider has to keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rule {
    /// A schema that the CLIs load: one that breaks this disables the whole provider.
    Schema = 0,
    /// There is a plan where there is a configuration, and none for a destroy.
    PlannedExistence = 1,
    /// An answer has exactly the schema's type.
    Type = 2,
    /// A configured value is planned as it is, or kept exactly as it was.
    ConfiguredValue = 3,
    /// Nested objects are planned where they are configured, as many of them, under the same keys.
    NestedObjects = 4,
    /// A path that needs a new object leads somewhere.
    ReplacePath = 6,
    /// An identity has exactly its type, and is known as soon as the object is there.
    Identity = 8,
    /// The same inputs give the same plan; a plan with more known completes the one before.
    FinalPlan = 10,
    /// There is an object after an apply where one was planned.
    AppliedExistence = 11,
    /// Nothing is unknown in a state.
    WhollyKnown = 12,
    /// What was planned is what there is.
    PlannedValue = 13,
    /// No element of a collection appears or vanishes between plan and apply.
    PlannedElements = 14,
    /// Write-only values are in no plan and no state.
    WriteOnly = 16,
    /// An import gives an object.
    Import = 22,
    /// An identity stays the same for as long as the object is the same.
    IdentityChange = 24,
    /// A data source answers.
    DataSource = 25,
    /// A function gives the same result for the same arguments, of the type that it says.
    Function = 27,
}

impl Rule {
    /// Its number, for messages.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Where; elements of sets stand at their set.
    pub path: Path,
    /// How.
    pub message: String,
}

impl Violation {
    fn new(rule: Rule, path: &Path, message: impl Into<String>) -> Self {
        Violation { rule, path: path.clone(), message: message.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "rule {} ({:?}) at `{}`: {}", self.rule.number(), self.rule, self.path, self.message)
    }
}
