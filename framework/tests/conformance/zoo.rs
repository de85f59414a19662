//! Models of every shape that a resource may have, and resources that do nothing but keep the rules.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::support::generate::completed;
use dr_framework::{
    AnyResource, Anything, Attr, Choice, Context, Identity, IdentityAttribute, IdentitySchema, Model, Resource, Result,
    Set, Type, Value, async_trait, resource,
};

/// Values of every primitive type, and collections of them.
#[derive(Model, Clone, Debug)]
pub struct Flat {
    /// Required.
    #[dr(required)]
    name: Attr<String>,
    /// With a default.
    #[dr(default = "keep")]
    policy: Attr<String>,
    /// With a default of zero.
    #[dr(default = 0)]
    count_of: Attr<i64>,
    /// With a default of true.
    #[dr(default = true)]
    guarded: Attr<bool>,
    /// Computed when left out.
    #[dr(optional, computed)]
    region: Attr<String>,
    /// Computed.
    #[dr(computed)]
    uid: Attr<String>,
    /// Computed, of any precision.
    #[dr(computed)]
    size: Attr<dr_framework::Number>,
    /// Of any precision.
    #[dr(optional)]
    ratio: Attr<dr_framework::Number>,
    /// Immutable.
    #[dr(optional, requires_replace)]
    zone: Attr<String>,
    /// Hidden.
    #[dr(optional, sensitive)]
    token: Attr<String>,
    /// Never stored.
    #[dr(optional, write_only)]
    password_wo: Attr<String>,
    /// Compared without case.
    #[dr(optional, equal = same_letters)]
    word: Attr<String>,
    /// Compared without case, with a default.
    #[dr(default = "Abc", equal = same_letters)]
    spelling: Attr<String>,
    /// Old.
    #[dr(optional, deprecated = "Use `name`.")]
    title: Attr<String>,
    /// A list whose elements are always there.
    #[dr(optional)]
    paths: Attr<Vec<String>>,
    /// A list whose elements may be null.
    #[dr(optional)]
    holes: Attr<Vec<Attr<String>>>,
    /// A set of numbers.
    #[dr(optional)]
    ports: Attr<Set<i64>>,
    /// A map.
    #[dr(optional)]
    labels: Attr<BTreeMap<String, String>>,
    /// A map of lists.
    #[dr(optional)]
    groups: Attr<BTreeMap<String, Vec<Attr<bool>>>>,
    /// A list that is computed when left out.
    #[dr(optional, computed)]
    hosts: Attr<Vec<String>>,
}

fn same_letters(left: &Value, right: &Value) -> bool {
    matches!((left, right), (Value::String(left), Value::String(right)) if left.eq_ignore_ascii_case(right))
}

macro_rules! levels {
    ($($name:ident($nesting:ty)),*) => {
        $(
            /// A level.
            #[derive(Model, Clone, Debug)]
            pub struct $name {
                /// With a default.
                #[dr(default = true)]
                on: Attr<bool>,
                /// Required.
                #[dr(required)]
                name: Attr<String>,
                /// Computed.
                #[dr(computed)]
                id: Attr<String>,
                /// Computed when left out.
                #[dr(optional, computed)]
                zone: Attr<String>,
                /// Compared without case.
                #[dr(optional, equal = same_letters)]
                word: Attr<String>,
                /// Deeper.
                #[dr(optional)]
                inner: Attr<$nesting>,
            }
        )*
    };
}

levels!(
    ListOne(BTreeMap<String, ListTwo>),
    ListTwo(ListThree),
    ListThree(Set<ListFour>),
    ListFour(Vec<Deepest>),
    SetOne(Vec<SetTwo>),
    SetTwo(BTreeMap<String, SetThree>),
    SetThree(SetFour),
    SetFour(Set<Deepest>),
    Deepest(Vec<String>)
);

/// All nestings, five deep.
#[derive(Model, Clone, Debug)]
pub struct Deep {
    /// List, map, single, set, list.
    #[dr(optional)]
    lists: Attr<Vec<ListOne>>,
    /// Set, list, map, single, set.
    #[dr(optional)]
    sets: Attr<Set<SetOne>>,
    /// One, required.
    #[dr(required)]
    one: Attr<Deepest>,
    /// One, computed when left out.
    #[dr(optional, computed)]
    maybe: Attr<Deepest>,
}

/// Values of any type.
#[derive(Model, Clone, Debug)]
pub struct Open {
    /// Anything.
    #[dr(optional)]
    extra: Attr<Anything>,
    /// Anything, required.
    #[dr(required)]
    body: Attr<Anything>,
    /// Anything, computed when left out.
    #[dr(optional, computed)]
    status: Attr<Anything>,
    /// In an object.
    #[dr(optional)]
    single: Attr<Box_>,
    /// In objects of a list.
    #[dr(optional)]
    list: Attr<Vec<Box_>>,
    /// In objects of a map.
    #[dr(optional)]
    map: Attr<BTreeMap<String, Box_>>,
}

/// Holds anything.
#[derive(Model, Clone, Debug)]
pub struct Box_ {
    /// Anything.
    #[dr(optional)]
    any: Attr<Anything>,
}

/// Sets of objects with defaults.
#[derive(Model, Clone, Debug)]
pub struct Sets {
    /// Objects.
    #[dr(optional)]
    rules: Attr<Set<SetRule>>,
    /// Objects whose change needs a new object.
    #[dr(optional, requires_replace)]
    fixed: Attr<Set<SetRule>>,
    /// Text.
    #[dr(optional)]
    names: Attr<Set<Attr<String>>>,
}

/// A rule.
#[derive(Model, Clone, Debug)]
pub struct SetRule {
    /// With a default.
    #[dr(default = true)]
    on: Attr<bool>,
    /// With a default too.
    #[dr(default = "any")]
    port: Attr<String>,
    /// Computed.
    #[dr(computed)]
    id: Attr<String>,
}

/// Immutable things at every place.
#[derive(Model, Clone, Debug)]
pub struct Fixed {
    /// In an object.
    #[dr(optional)]
    single: Attr<FixedPart>,
    /// In a list.
    #[dr(optional)]
    list: Attr<Vec<FixedPart>>,
    /// In a map.
    #[dr(optional)]
    map: Attr<BTreeMap<String, FixedPart>>,
    /// In a set.
    #[dr(optional)]
    set: Attr<Set<FixedPart>>,
}

/// An immutable part.
#[derive(Model, Clone, Debug)]
pub struct FixedPart {
    /// Immutable.
    #[dr(optional, requires_replace)]
    zone: Attr<String>,
    /// Not immutable.
    #[dr(optional)]
    size: Attr<i64>,
    /// Computed.
    #[dr(computed)]
    id: Attr<String>,
}

/// Exactly one of several, here and deeper.
#[derive(Model, Clone, Debug)]
pub struct Chosen {
    #[dr(one_of)]
    engine: Attr<Engine>,
    /// Choices in a list.
    #[dr(optional)]
    steps: Attr<Vec<Step>>,
    /// Never stored, in an object.
    #[dr(optional)]
    login: Attr<Login>,
}

/// A step.
#[derive(Model, Clone, Debug)]
pub struct Step {
    /// Its name.
    #[dr(optional)]
    name: Attr<String>,
    #[dr(one_of)]
    engine: Attr<Engine>,
}

/// An engine.
#[derive(Choice, Clone, Debug)]
pub enum Engine {
    /// One.
    Restic(Part),
    /// Another.
    Velero(Part),
    /// A third.
    Proxmox(Part),
}

/// An engine's own.
#[derive(Model, Clone, Debug)]
pub struct Part {
    /// How often.
    #[dr(default = 3)]
    retries: Attr<i64>,
    /// Computed.
    #[dr(computed)]
    version: Attr<String>,
}

/// A login.
#[derive(Model, Clone, Debug)]
pub struct Login {
    /// Who.
    #[dr(optional)]
    user: Attr<String>,
    /// Never stored.
    #[dr(optional, write_only)]
    password_wo: Attr<String>,
}

/// What only the provider sets, of every shape.
#[derive(Model, Clone, Debug)]
pub struct Output {
    /// Its name, and its identity.
    #[dr(required, requires_replace)]
    name: Attr<String>,
    /// One.
    #[dr(computed)]
    r#ref: Attr<Deepest>,
    /// A list.
    #[dr(computed)]
    list: Attr<Vec<Deepest>>,
    /// A set.
    #[dr(computed)]
    set: Attr<Set<Deepest>>,
    /// A map.
    #[dr(computed)]
    map: Attr<BTreeMap<String, Deepest>>,
    /// Text.
    #[dr(computed)]
    names: Attr<Vec<String>>,
}

/// What gets its identity when it is made, and keeps it.
#[derive(Model, Clone, Debug)]
pub struct Born {
    /// Its name, which may change.
    #[dr(required)]
    name: Attr<String>,
    /// Its identity.
    #[dr(computed)]
    uid: Attr<String>,
}

/// A resource that is its state.
pub struct Animal<M> {
    name: &'static str,
    /// The attribute that is its identity.
    identity: Option<&'static str>,
    model: PhantomData<fn() -> M>,
}

#[async_trait]
impl<M: Model + Clone + std::fmt::Debug + 'static> Resource for Animal<M> {
    type Model = M;

    fn type_name(&self) -> &'static str {
        self.name
    }

    fn identity_schema(&self) -> Option<IdentitySchema> {
        let attribute = |name: &str| IdentityAttribute {
            name: name.to_owned(),
            ty: Type::String,
            description: "What it is called.".into(),
            required_for_import: true,
        };
        self.identity.map(|name| IdentitySchema { version: 0, attributes: vec![attribute(name)] })
    }

    fn identity(&self, model: &M) -> Identity {
        let object = model.to_object();
        let of = |name: &str| match object.attribute(name) {
            Value::String(text) => Attr::Known(text.clone()),
            Value::Unknown(_) => Attr::Unknown,
            _ => Attr::Null,
        };
        self.identity.iter().map(|name| ((*name).to_owned(), of(name))).collect()
    }

    async fn read(&self, _: &Context, state: M) -> Result<Option<M>> {
        Ok(Some(state))
    }

    async fn apply(&self, _: &Context, _: Option<M>, planned: M, _: M) -> Result<M> {
        Ok(M::from_object(&completed(&planned.to_object(), &M::ty()))?)
    }

    async fn delete(&self, _: &Context, _: M) -> Result<()> {
        Ok(())
    }
}

fn animal<M: Model + Clone + std::fmt::Debug + 'static>(name: &'static str) -> Box<dyn AnyResource> {
    resource(Animal::<M> { name, identity: None, model: PhantomData })
}

/// All of them.
pub fn animals() -> Vec<Box<dyn AnyResource>> {
    vec![
        animal::<Flat>("dr_flat"),
        animal::<Deep>("dr_deep"),
        animal::<Open>("dr_open"),
        animal::<Sets>("dr_sets"),
        animal::<Fixed>("dr_fixed"),
        animal::<Chosen>("dr_chosen"),
        resource(Animal::<Output> { name: "dr_output", identity: Some("name"), model: PhantomData }),
        resource(Animal::<Born> { name: "dr_born", identity: Some("uid"), model: PhantomData }),
    ]
}
