//! Declarative objects of an engine, targets and schedules: found, put, removed, and adopted only when they are ours.

use async_trait::async_trait;
use serde_json::Value;

use super::concepts::Failure;
use crate::waiting::Patience;

/// What an engine keeps because of one resource: an object on its server, or several that belong together.
#[async_trait]
pub trait Declared: Send + Sync {
    /// It, for people: "Schedule velero/daily on cluster `prod`".
    fn what(&self) -> String;

    /// What the configuration sets of it, in the engine's own form, without secrets: for [`Declared::instead_of`].
    fn wanted(&self) -> Value;

    /// What an earlier configuration set: it may be put back when somebody changed it by hand.
    fn instead_of(&mut self, before: Value);

    /// How long what is not there yet is waited for.
    fn wait(&mut self, _: Patience) {}

    /// The server's own identity.
    async fn server_uid(&self) -> Result<String, Failure>;

    /// Looks for it. `None`: the server answered, and it is not there; a server that can't be reached is an error.
    async fn find(&self) -> Result<Option<Found>, Failure>;

    /// What the installed version of the engine lacks of it, for people, as far as a refresh of this process saw. Asks nobody.
    fn lacking(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes it, or makes it so: absent, it is made; ours, it is made so, without a write when it is so already. `known` is
    /// the uid in state, `None` for a create: only what is not known is adopted.
    async fn put(&self, known: Option<&str>, adopt: Adopt) -> Result<Found, NotPut>;

    /// Removes what an earlier configuration made and this one does not want. `known` is the uid in state of what it made.
    async fn remove_former(&self, known: &str) -> Result<(), Failure>;

    /// Waits until the engine took it. What the user should know.
    async fn settle(&self) -> Result<Vec<String>, Failure>;

    /// Removes it; one that is not there is fine. `known` is the uid in state.
    async fn remove(&self, known: &str) -> Result<(), Failure>;
}

/// An object that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Its own identity.
    pub uid: String,
    /// Who made it, when that was not us.
    pub foreign: Option<String>,
    /// What is not as the configuration sets it, for people; the fields that can turn protection off included.
    pub drift: Vec<String>,
    /// Whether it holds another secret than the configuration.
    pub stale: bool,
    /// Why the engine does not use it as it is, in the engine's words.
    pub unavailable: Option<String>,
    /// Whether all of it was made just now: nothing of it was there.
    pub made: bool,
}

/// What happens with an object that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adopt {
    /// It is taken over when it is ours.
    #[default]
    IfCompatible,
    /// It is an error.
    Never,
    /// It is taken over.
    Always,
}

impl Adopt {
    /// Out of the word of the schema.
    pub fn parse(word: Option<&str>) -> Self {
        match word {
            Some("never") => Adopt::Never,
            Some("always") => Adopt::Always,
            _ => Adopt::IfCompatible,
        }
    }

    /// Whether an object may be written that is there: `known` is the uid in state.
    pub fn allows(self, known: Option<&str>, found: &Found) -> bool {
        match (known == Some(found.uid.as_str()), self) {
            (true, _) | (false, Adopt::Always) => true,
            (false, Adopt::IfCompatible) => found.foreign.is_none(),
            (false, Adopt::Never) => false,
        }
    }
}

/// Why an object could not be put.
#[derive(Debug, thiserror::Error)]
pub enum NotPut {
    /// It is there and not to be taken over.
    #[error("{what} exists already{}", .maker.as_ref().map(|maker| format!(" and belongs to {maker}")).unwrap_or_default())]
    Exists {
        /// The object, for people.
        what: String,
        /// Who made it, when that was not us.
        maker: Option<String>,
    },
    /// It is ours and about something else, so another state holds it.
    #[error("{what} exists already and is about something else: {how}")]
    AboutAnother {
        /// The object, for people.
        what: String,
        /// What it is about.
        how: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] Failure),
}
