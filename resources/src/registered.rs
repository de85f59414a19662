//! What resources do with objects that an engine keeps on a server: the same for targets and schedules.

use dr_framework::{Attr, Context, Diagnostic, Diagnostics, Path, Result};

use crate::connections::kubernetes::{ClusterError, Unreachable};
use crate::engines::concepts::{Blame, Failure, TargetServer};
use crate::engines::declared::{Adopt, Declared, Found, NotPut};
use crate::jobs;
use crate::reference::Reference;
use crate::shared::Shared;

/// What a resource remembers of its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// The uid of the main object.
    pub uid: Option<String>,
    /// The server that it lives on.
    pub server_uid: Option<String>,
}

impl Memory {
    /// What the reference of a state says.
    pub fn of(reference: &Attr<Reference>) -> Self {
        let leaf = |leaf: fn(&Reference) -> &Attr<String>| reference.known().and_then(|it| leaf(it).known().cloned());
        Memory { uid: leaf(|reference| &reference.uid), server_uid: leaf(|reference| &reference.server_uid) }
    }
}

/// Where something is registered, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// `target` or `schedule`.
    pub concept: &'static str,
    /// The engine, which is the name of its block.
    pub engine: &'static str,
    /// The connection.
    pub connection: String,
    /// Where on the server, and its name: `<scope>/<name>`.
    pub place: String,
}

impl Seat {
    /// The seat of a name in a scope of a connection; what is not known is left empty.
    pub fn new(
        concept: &'static str,
        engine: &'static str,
        (connection, scope): (Attr<String>, Attr<String>),
        name: &Attr<String>,
    ) -> Self {
        let text = |attr: &Attr<String>| attr.text().unwrap_or_default().to_owned();
        let place = format!("{}/{}", text(&scope), text(name));
        Seat { concept, engine, connection: text(&connection), place }
    }

    /// What an import takes.
    pub fn import_id(&self) -> String {
        let Seat { engine, connection, place, .. } = self;
        format!("{engine}:{connection}/{place}")
    }
}

/// What a refresh found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing that is known; everything stays as it was.
    NotAsked,
    /// The server is the one that it was, and the object is gone from it.
    Gone,
    /// Another server stands behind the connection.
    AnotherServer(String),
    /// It is there.
    Seen(Found),
}

/// Objects of a resource, and what messages about them need.
pub struct Registration<'a> {
    /// What every resource shares.
    pub shared: &'a Shared,
    /// The request.
    pub context: &'a Context,
    /// The objects.
    pub objects: &'a dyn Declared,
    /// Where they are.
    pub seat: &'a Seat,
}

impl Registration<'_> {
    /// Looks at the objects.
    pub async fn refresh(&self, memory: &Memory) -> Result<Refreshed> {
        let seen = async {
            let server_uid = self.objects.server_uid().await?;
            if memory.server_uid.as_ref().is_some_and(|known| *known != server_uid) {
                return Ok::<_, Failure>(Refreshed::AnotherServer(server_uid));
            }
            let other = |found: &Found| memory.uid.as_ref().is_some_and(|uid| *uid != found.uid);
            Ok(match self.objects.find().await? {
                // What somebody else put in its place is theirs: it can only be taken over in words.
                Some(found) if found.foreign.is_some() && other(&found) => Refreshed::Gone,
                Some(found) => Refreshed::Seen(found),
                None => Refreshed::Gone,
            })
        };
        match seen.await {
            Ok(Refreshed::AnotherServer(uid)) => {
                if self.shared.warns_first(&format!("another server {}", self.seat.connection)) {
                    self.context.report(Diagnostic::warning(
                        format!("Connection `{}` leads to another server", self.seat.connection),
                        format!(
                            "{} was registered on server {}, and this is {uid}. What the configuration holds is made there \
                             by the next apply. If this is not what you want, put the connection right first.",
                            self.objects.what(),
                            memory.server_uid.as_deref().unwrap_or_default(),
                        ),
                    ));
                }
                Ok(Refreshed::AnotherServer(uid))
            }
            Ok(seen) => Ok(seen),
            Err(failure) if failure.blame == Blame::Unreachable => self.unreachable(&failure),
            Err(failure) => Err(self.failed("refresh", &failure)),
        }
    }

    fn unreachable(&self, failure: &Failure) -> Result<Refreshed> {
        let consequence = match self.shared.unreachable(&self.seat.connection) {
            Unreachable::Fail => return Err(self.failed("refresh", failure)),
            Unreachable::Keep => "What is on it is taken to be as it was; changing it will fail.",
            Unreachable::Lost => {
                "`unreachable` is \"lost\": what was on it is made again at apply, on the server that answers then."
            }
        };
        if self.shared.warns_first(&format!("unreachable {}", self.seat.connection)) {
            self.context.report(Diagnostic::warning(
                format!("Connection `{}` can't be reached", self.seat.connection),
                format!("{failure}. {consequence}"),
            ));
        }
        Ok(Refreshed::NotAsked)
    }

    /// The server before an apply. One that can't be reached is an error at once: whatever is asked next would only say in
    /// other words that there is no answer.
    pub async fn server_uid(&self) -> Result<Option<String>> {
        match self.objects.server_uid().await {
            Ok(uid) => Ok(Some(uid)),
            Err(failure) if failure.blame == Blame::Unreachable => Err(self.failed("apply", &failure)),
            Err(_) => Ok(None),
        }
    }

    /// Makes the objects, or makes them so, and waits until the engine took them.
    /// `planned` is what the plan promised: another server, or another object than the plan saw, is an error before
    /// anything is written.
    pub async fn apply(&self, memory: &Memory, planned: &Memory, adopt: Adopt, expect: Option<&str>) -> Result<Memory> {
        let failed = |failure: Failure| self.failed("apply", &failure);
        let server_uid = self.objects.server_uid().await.map_err(failed)?;
        if let Some(expect) = expect.filter(|expect| *expect != server_uid) {
            return Err(Diagnostics::error_at(
                Path::attribute("expect_server_uid"),
                "Another server",
                format!(
                    "Connection `{}` leads to server {server_uid}, not {expect}. Nothing was changed.",
                    self.seat.connection
                ),
            ));
        }
        self.as_planned(planned, &server_uid).await?;
        self.claim(&server_uid)?;
        let same = memory.server_uid.as_ref() == Some(&server_uid);
        let known = memory.uid.as_deref().filter(|_| same);
        let found = self.objects.put(known, adopt).await.map_err(|error| match error {
            NotPut::Exists { what, maker } => self.exists(&what, maker.as_deref()),
            NotPut::Engine(failure) => self.failed("apply", &failure),
        })?;
        // With `create_before_destroy` the one that was there is destroyed afterwards, which must not take this one away.
        if memory.uid.as_ref() != Some(&found.uid) {
            self.shared.took_over(&found.uid);
        }
        let warnings = self.objects.settle().await.map_err(failed)?;
        jobs::report(self.context, &self.objects.what(), &warnings);
        Ok(Memory { uid: Some(found.uid), server_uid: Some(server_uid) })
    }

    /// One object belongs to one resource, whatever its connection is called: a second one would write over the first
    /// at every apply.
    fn claim(&self, server_uid: &str) -> Result<()> {
        let Seat { concept, engine, place, .. } = self.seat;
        // Targets of one name share a Secret, whatever their engine.
        let kind = if *concept == "target" { "" } else { engine };
        if self.shared.applies_first(&format!("{concept} {kind} {server_uid} {place}")) {
            return Ok(());
        }
        Err(Diagnostics::error_at(
            Path::attribute("name"),
            "Two resources for one object",
            format!(
                "Another dr_backup_{concept} of this configuration was just applied as {}. Give this one another name.",
                self.objects.what()
            ),
        ))
    }

    /// Removes the objects. Of a server that is given up, what is left is named and no more.
    pub async fn delete(&self, memory: &Memory) -> Result<()> {
        let work = async {
            let server_uid = self.objects.server_uid().await?;
            // What is on another server is not this resource's, and neither is what another resource took over, or what
            // somebody else put in its place.
            let Some(uid) = memory.uid.as_ref().filter(|_| memory.server_uid.as_ref() == Some(&server_uid)) else {
                return Ok(());
            };
            let replaced = self.objects.find().await?.is_some_and(|found| found.uid != *uid);
            if !replaced && !self.shared.was_taken_over(uid) {
                self.objects.remove(uid).await?;
            }
            Ok::<_, Failure>(())
        };
        match work.await {
            Ok(()) => Ok(()),
            Err(failure)
                if failure.blame == Blame::Unreachable
                    && self.shared.unreachable(&self.seat.connection) == Unreachable::Lost =>
            {
                self.context.report(Diagnostic::warning(
                    format!("{} was not removed", self.objects.what()),
                    format!("{failure}, and `unreachable` is \"lost\": if it still runs, it still holds this object."),
                ));
                Ok(())
            }
            Err(failure) => Err(self.failed("destroy", &failure)),
        }
    }

    async fn as_planned(&self, planned: &Memory, server_uid: &str) -> Result<()> {
        let changed = |what: String| {
            Err(Diagnostics::error(
                format!("Unable to apply {}: it is not what the plan saw", self.objects.what()),
                format!("{what} Nothing was done: plan again."),
            ))
        };
        match (&planned.server_uid, &planned.uid) {
            (Some(seen), _) if seen != server_uid => {
                changed(format!("Connection `{}` led to server {seen}, and now to {server_uid}.", self.seat.connection))
            }
            (Some(_), Some(uid)) => {
                let found = self.objects.find().await.map_err(|failure| self.failed("apply", &failure))?;
                match found {
                    Some(found) if found.uid == *uid => Ok(()),
                    Some(_) => changed("Somebody put another object in its place.".to_owned()),
                    None => changed("Somebody deleted it.".to_owned()),
                }
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, action: &str, failure: &Failure) -> Diagnostics {
        let hint = failure.hint.as_ref().map(|hint| format!("\n\n{hint}.")).unwrap_or_default();
        let detail = format!("{}.{hint}", failure.message.trim_end_matches(['.', '\n']));
        let diagnostic = Diagnostic::error(format!("Unable to {action} {}", self.objects.what()), detail);
        match failure.blame {
            Blame::Unreachable => diagnostic.into(),
            Blame::Store | Blame::Secret => diagnostic.at(Path::attribute("store")).into(),
            Blame::Block => diagnostic.at(Path::attribute(self.seat.engine)).into(),
        }
    }

    fn exists(&self, what: &str, maker: Option<&str>) -> Diagnostics {
        let maker = maker.map(|maker| format!(" and belongs to {maker:?}")).unwrap_or_default();
        Diagnostics::error_at(
            Path::attribute("adopt"),
            "It exists already",
            format!(
                "{what} exists already{maker}. To take it over, import it, or set `adopt = \"always\"`:\n\n  tofu import \
                 ADDRESS '{}'",
                self.seat.import_id()
            ),
        )
    }
}

/// What an earlier state holds.
pub struct Earlier {
    seat: Seat,
    memory: Memory,
    /// None where what the state names is gone from the provider block: a connection, or a secret that has another name now.
    objects: Option<Box<dyn Declared>>,
}

impl Earlier {
    /// `opened` is what opening its objects gave.
    pub fn new(seat: Seat, memory: Memory, opened: Result<Option<Box<dyn Declared>>>) -> Self {
        Earlier { seat, memory, objects: opened.ok().flatten() }
    }

    /// What is remembered of it.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Tells new objects what was set before. What was set on another server is none of this one's.
    pub fn followed_by(&self, objects: &mut dyn Declared, same_server: bool) {
        if let Some(before) = self.objects.as_ref().filter(|_| same_server) {
            objects.instead_of(before.wanted());
        }
    }

    /// Removes it from the server of another connection, after `made` took its place; says so where it can't be looked at.
    pub async fn leave(self, now: &Registration<'_>, made: &Memory) -> Result<()> {
        let Earlier { seat, memory, objects } = self;
        if memory.uid.is_none() || seat.connection == now.seat.connection {
            return Ok(());
        }
        let Some(objects) = objects else {
            now.context.report(Diagnostic::warning(
                format!("{} was not removed", seat.import_id()),
                format!(
                    "Connection `{}` or a secret of the {} is gone from the provider block, so what was made there is \
                     still there and may still run. Remove it by hand, or put the connection back and destroy it first.",
                    seat.connection, seat.concept
                ),
            ));
            return Ok(());
        };
        if memory.server_uid == made.server_uid {
            return Ok(());
        }
        let then = Registration { shared: now.shared, context: now.context, objects: objects.as_ref(), seat: &seat };
        then.delete(&memory).await
    }
}

/// The uid of the main object and of its server, as far as a plan can promise them. `stays`: everything is known, and the
/// object keeps its name and place.
pub async fn planned(
    shared: &Shared,
    connection: &Attr<String>,
    server: TargetServer,
    memory: Memory,
    stays: bool,
) -> Result<(Attr<String>, Attr<String>)> {
    let server = asked(shared, connection, memory.server_uid.as_deref(), server).await?;
    match (server, memory) {
        (TargetServer::None | TargetServer::Known, Memory { uid: Some(uid), server_uid: Some(server_uid) })
            if stays =>
        {
            Ok((uid.into(), server_uid.into()))
        }
        _ => Ok((Attr::Unknown, Attr::Unknown)),
    }
}

/// The server of something that is there, asked where nobody did: a saved plan is applied, and a second plan made, by a
/// process that refreshed nothing.
pub async fn asked(
    shared: &Shared,
    connection: &Attr<String>,
    known: Option<&str>,
    server: TargetServer,
) -> Result<TargetServer> {
    let (TargetServer::Known, Some(known), Some(name)) = (server, known, connection.text()) else { return Ok(server) };
    let Some(cluster) = shared.cluster(name, &Path::default())? else { return Ok(TargetServer::Open) };
    Ok(match cluster.uid().await {
        Ok(uid) if uid != known => TargetServer::Open,
        Err(ClusterError::Unreachable { .. }) if cluster.unreachable() == Unreachable::Lost => TargetServer::Open,
        _ => TargetServer::Known,
    })
}

/// The status of what a drill made, or left out.
pub const DRILL: &str = "drill";

/// A state that was made outside a drill is no drill's to change or to forget.
pub fn refuse_in_drill(status: &Attr<String>) -> Result<()> {
    if status.text() == Some(DRILL) {
        return Ok(());
    }
    Err(Diagnostics::error(
        "This state was not made in a drill",
        "What it holds protects the real thing, and `mode` is \"drill\". Use a state of its own for a drill: another \
         workspace, or another folder.",
    ))
}
