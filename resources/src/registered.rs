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

    /// The object of a server for which one resource stands. Targets of one name share a Secret, whatever their engine.
    fn object(&self, server_uid: &str) -> String {
        let Seat { concept, engine, place, .. } = self;
        let kind = if *concept == "target" { "" } else { engine };
        format!("{concept} {kind} {server_uid} {place}")
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
    pub async fn apply(
        &self,
        earlier: Option<&Earlier>,
        planned: &Memory,
        adopt: Adopt,
        expect: Option<&str>,
    ) -> Result<Memory> {
        let memory = earlier.map(|earlier| earlier.memory.clone()).unwrap_or_default();
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
        let found = self.put(known, adopt, &server_uid).await?;
        if let (Some(earlier), Some(known)) = (earlier, known) {
            let _turn = self.shared.turn(&earlier.seat.object(&server_uid)).await;
            // What has the old name may be another resource's by now.
            if !self.shared.was_taken_over(known) {
                self.objects.remove_former(known).await.map_err(failed)?;
            }
        }
        let warnings = match self.objects.settle().await {
            Ok(warnings) => warnings,
            Err(failure) => return Err(failed(self.undone(failure, &found).await)),
        };
        jobs::report(self.shared, self.context, &self.objects.what(), &warnings);
        Ok(Memory { uid: Some(found.uid), server_uid: Some(server_uid) })
    }

    /// A failure of which no state will know: what was made just now is removed again.
    async fn undone(&self, failure: Failure, found: &Found) -> Failure {
        if !found.made {
            return failure;
        }
        let what = match self.objects.remove(&found.uid).await {
            Ok(()) => "What was made for it is removed again".to_owned(),
            Err(left) => format!("What was made for it is still there, and could not be removed: {left}"),
        };
        Failure { message: format!("{}. {what}", failure.message.trim_end_matches('.')), ..failure }
    }

    async fn put(&self, known: Option<&str>, adopt: Adopt, server_uid: &str) -> Result<Found> {
        let _turn = self.shared.turn(&self.seat.object(server_uid)).await;
        let found = self.objects.put(known, adopt).await.map_err(|error| match error {
            NotPut::Exists { what, maker } => self.exists(&what, maker.as_deref()),
            NotPut::AboutAnother { .. } => self.of_another(&error.to_string()),
            NotPut::Engine(failure) => self.failed("apply", &failure),
        })?;
        // Whoever had it before, and is destroyed or renamed in the same apply, must not take it away.
        if known != Some(found.uid.as_str()) {
            self.shared.took_over(&found.uid);
        }
        Ok(found)
    }

    /// One object belongs to one resource, whatever its connection is called: a second one would write over the first
    /// at every apply.
    fn claim(&self, server_uid: &str) -> Result<()> {
        if self.shared.applies_first(&self.seat.object(server_uid)) {
            return Ok(());
        }
        Err(Diagnostics::error_at(
            Path::attribute("name"),
            "Two resources for one object",
            format!(
                "Another dr_backup_{} of this configuration was just applied as {}. Give this one another name.",
                self.seat.concept,
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
            let _turn = self.shared.turn(&self.seat.object(&server_uid)).await;
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

    fn of_another(&self, conflict: &str) -> Diagnostics {
        Diagnostics::error_at(
            Path::attribute("name"),
            "It exists already",
            format!(
                "{conflict}. Another state may hold it: nothing was changed. Give this one another name. To take it over as it is \
                 configured here, import it, or set `adopt = \"always\"`:\n\n  tofu import ADDRESS '{}'",
                self.seat.import_id()
            ),
        )
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

/// Says what the installed version of an engine lacks of what is planned, once for each thing that it lacks. It is no error: the
/// same apply may install another version.
pub fn warn_of_lacking(shared: &Shared, context: &Context, seat: &Seat, objects: &dyn Declared) {
    for lacking in objects.lacking() {
        if shared.warns_first(&format!("lacking {} {lacking}", seat.connection)) {
            let detail = format!(
                "By the definitions on cluster `{}`, {lacking}. The apply refuses it before anything is changed, unless it \
                 installs a version first that has it. Else leave out the argument that sets it.",
                seat.connection
            );
            let summary = format!("The installed version of {} lacks something", seat.engine);
            context.report(Diagnostic::warning(summary, detail).at(Path::attribute(seat.engine)));
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use async_trait::async_trait;
    use dr_framework::{ClientCapabilities, Redactor, Stopper};
    use serde_json::Value;

    use super::*;

    /// What is on the server: uids by name.
    type Server = Arc<Mutex<BTreeMap<String, String>>>;

    /// One object, that was called otherwise before.
    struct Named {
        server: Server,
        name: &'static str,
        former: Option<&'static str>,
        looks: Duration,
    }

    impl Named {
        fn uid(&self, name: &str) -> Option<String> {
            self.server.lock().unwrap().get(name).cloned()
        }
    }

    #[async_trait]
    impl Declared for Named {
        fn what(&self) -> String {
            self.name.to_owned()
        }

        fn wanted(&self) -> Value {
            self.name.into()
        }

        fn instead_of(&mut self, _: Value) {}

        async fn server_uid(&self) -> std::result::Result<String, Failure> {
            Ok("server".to_owned())
        }

        async fn find(&self) -> std::result::Result<Option<Found>, Failure> {
            Ok(self.uid(self.name).map(|uid| Found { uid, ..Found::default() }))
        }

        async fn put(&self, _: Option<&str>, _: Adopt) -> std::result::Result<Found, NotPut> {
            let found = self.find().await?;
            tokio::time::sleep(self.looks).await;
            // What is as it should be is not written.
            Ok(found.unwrap_or_else(|| {
                let uid = format!("made as {}", self.name);
                self.server.lock().unwrap().insert(self.name.to_owned(), uid.clone());
                Found { uid, ..Found::default() }
            }))
        }

        async fn remove_former(&self, known: &str) -> std::result::Result<(), Failure> {
            if let Some(former) = self.former.filter(|former| self.uid(former).as_deref() == Some(known)) {
                self.server.lock().unwrap().remove(former);
            }
            Ok(())
        }

        async fn settle(&self) -> std::result::Result<Vec<String>, Failure> {
            Ok(Vec::new())
        }

        async fn remove(&self, _: &str) -> std::result::Result<(), Failure> {
            self.server.lock().unwrap().remove(self.name);
            Ok(())
        }
    }

    fn seat(name: &str) -> Seat {
        let (connection, scope) = ("prod".into(), "velero".into());
        Seat::new("schedule", "velero", (connection, scope), &name.into())
    }

    fn memory(uid: &str) -> Memory {
        Memory { uid: Some(uid.to_owned()), server_uid: Some("server".to_owned()) }
    }

    /// `daily` is taken over by a new resource while the one that had that name is `gone`: both in one apply.
    async fn beside_a_new_one(gone: impl AsyncFnOnce(&Shared, &Context, &Server)) {
        let server: Server = Arc::new(Mutex::new([("daily".to_owned(), "uid 1".to_owned())].into()));
        let shared = Shared::new(Redactor::default());
        let context = Context::new(ClientCapabilities::default(), Stopper::default().signal());
        let looks = Duration::from_millis(80);
        let new = Named { server: server.clone(), name: "daily", former: None, looks };
        let daily = seat("daily");
        let registration = Registration { shared: &shared, context: &context, objects: &new, seat: &daily };
        let unknown = Memory::default();
        let takes_over = registration.apply(None, &unknown, Adopt::IfCompatible, None);
        let soon = async {
            tokio::time::sleep(looks / 4).await;
            gone(&shared, &context, &server).await;
        };
        let (made, ()) = tokio::join!(takes_over, soon);
        let there = server.lock().unwrap().get("daily").cloned();
        assert_eq!((made.unwrap().uid, there), (Some("uid 1".to_owned()), Some("uid 1".to_owned())));
    }

    #[tokio::test]
    async fn a_name_that_one_resource_gives_up_is_not_taken_from_the_one_that_took_it_over() {
        beside_a_new_one(async |shared, context, server| {
            let (server, looks) = (server.clone(), Duration::ZERO);
            let renamed = Named { server, name: "weekly", former: Some("daily"), looks };
            let earlier = Earlier::new(seat("daily"), memory("uid 1"), Ok(None));
            let weekly = seat("weekly");
            let registration = Registration { shared, context, objects: &renamed, seat: &weekly };
            let unknown = Memory::default();
            let made = registration.apply(Some(&earlier), &unknown, Adopt::IfCompatible, None).await.unwrap();
            assert_eq!(made.uid.as_deref(), Some("made as weekly"));
        })
        .await;
    }

    #[tokio::test]
    async fn an_object_that_is_destroyed_is_not_taken_from_the_one_that_took_it_over() {
        beside_a_new_one(async |shared, context, server| {
            let (server, looks) = (server.clone(), Duration::ZERO);
            let old = Named { server, name: "daily", former: None, looks };
            let daily = seat("daily");
            let registration = Registration { shared, context, objects: &old, seat: &daily };
            registration.delete(&memory("uid 1")).await.unwrap();
        })
        .await;
    }
}
