//! What engines in a Kubernetes cluster have in common.

pub mod abandoned;
pub mod alerts;
pub mod drill;
pub mod hold;
pub mod imported;
pub mod imported_repository;
pub mod label_selector;
pub mod last_seen;
pub mod objects;
pub mod owned;
pub mod quiesce;
pub mod render;
pub mod repository_secret;
pub mod runs;
pub mod safety;
pub mod spec;
pub mod store_keys;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

/// What a restore into a claim that is there overwrites, for a plan. `removes`: whether what the point does not hold goes; so
/// says `argument`.
pub fn overwritten(claim: &str, removes: bool, argument: &str) -> String {
    match removes {
        true => format!("{claim} and removes from it what the point does not hold (`{argument}`)"),
        false => format!(
            "{claim} and leaves there what the point does not hold, which a database takes for newer data (`{argument}` removes \
             it)"
        ),
    }
}
