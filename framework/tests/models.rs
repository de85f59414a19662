//! Models as their authors write them: what the derive makes of a struct, and what the plan rules make of its values.

use std::collections::BTreeMap;

use dr_framework::{
    Anything, Attr, Choice, Context, Diagnostics, Field, Model, Nesting, Path, Plan, Resource, Result, Set, Stopper,
    Type, Value, async_trait, resource,
};
use tfplugin::Diagnostic;

/// Where things go.
#[derive(Model, Clone, Debug, PartialEq)]
struct Thing {
    /// Its name.
    #[dr(required, validate = not_empty)]
    name: Attr<String>,
    /// What happens to it.
    ///
    /// Two paragraphs.
    #[dr(default = "keep")]
    policy: Attr<String>,
    /// Its identity.
    #[dr(computed)]
    r#ref: Attr<Reference>,
    /// Steps, five deep.
    #[dr(optional)]
    levels: Attr<Vec<Level1>>,
    /// Labels.
    #[dr(optional)]
    labels: Attr<BTreeMap<String, Attr<String>>>,
    /// Sizes.
    #[dr(optional, requires_replace)]
    sizes: Attr<Set<i64>>,
    /// Hidden.
    #[dr(optional, write_only)]
    password_wo: Attr<String>,
    /// Anything.
    #[dr(optional)]
    extra: Attr<Anything>,
    /// Compared without case.
    #[dr(optional, equal = same_letters)]
    word: Attr<String>,
    #[dr(one_of)]
    engine: Attr<Engine>,
}

/// A reference.
#[derive(Model, Clone, Debug, PartialEq)]
struct Reference {
    /// Its kind.
    #[dr(required)]
    kind: Attr<String>,
    /// Its uid.
    #[dr(optional)]
    uid: Attr<String>,
}

/// A thing with more to it.
#[derive(Model, Clone, Debug, PartialEq)]
struct Extended {
    /// Its size.
    #[dr(optional)]
    size: Attr<i64>,
    #[dr(flatten)]
    reference: Reference,
}

#[derive(Choice, Clone, Debug, PartialEq)]
enum Engine {
    /// One.
    Restic(Restic),
    /// Another.
    ProxmoxVe(Restic),
}

/// An engine.
#[derive(Model, Clone, Debug, PartialEq)]
struct Restic {
    /// A secret's name.
    #[dr(required)]
    password: Attr<String>,
    /// How often.
    #[dr(default = 3)]
    retries: Attr<i64>,
}

macro_rules! levels {
    ($($name:ident($nesting:ty)),*) => {
        $(
            /// A level.
            #[derive(Model, Clone, Debug, PartialEq)]
            struct $name {
                /// On or off.
                #[dr(default = true)]
                on: Attr<bool>,
                /// Deeper.
                #[dr(optional)]
                inner: Attr<$nesting>,
            }
        )*
    };
}

levels!(Level1(BTreeMap<String, Level2>), Level2(Set<Level3>), Level3(Level4), Level4(Vec<Level5>), Level5(String));

fn not_empty(value: &Value, path: &Path) -> Vec<Diagnostic> {
    match value {
        Value::String(text) if text.is_empty() => {
            vec![Diagnostic::error("Empty name", "Give it one.").at(path.clone())]
        }
        _ => Vec::new(),
    }
}

fn same_letters(left: &Value, right: &Value) -> bool {
    matches!((left, right), (Value::String(left), Value::String(right)) if left.eq_ignore_ascii_case(right))
}

struct Things;

#[async_trait]
impl Resource for Things {
    type Model = Thing;

    fn type_name(&self) -> &'static str {
        "dr_thing"
    }

    async fn plan(&self, _: &Context, plan: &mut Plan<'_, Thing>) -> Result<()> {
        if plan.prior.is_none() {
            plan.planned.r#ref = Attr::Known(Reference { kind: "thing".into(), uid: Attr::Unknown });
        }
        Ok(())
    }

    async fn read(&self, _: &Context, state: Thing) -> Result<Option<Thing>> {
        Ok(Some(state))
    }

    async fn apply(&self, _: &Context, _: Option<Thing>, planned: Thing, _: Thing) -> Result<Thing> {
        Ok(Thing { r#ref: Attr::Known(Reference { kind: "thing".into(), uid: "u1".into() }), ..planned })
    }

    async fn delete(&self, _: &Context, _: Thing) -> Result<()> {
        Ok(())
    }
}

fn context() -> Context {
    Context::new(dr_framework::ClientCapabilities { deferral: false, write_only: true }, Stopper::default().signal())
}

fn null_object() -> BTreeMap<String, Value> {
    Thing::fields().into_iter().map(|field| (field.name, Value::Null)).collect()
}

fn config() -> BTreeMap<String, Value> {
    let mut object = null_object();
    object.insert("name".into(), Value::string("a"));
    object.insert("restic".into(), Value::object([("password", Value::string("p")), ("retries", Value::Null)]));
    object
}

fn field<'a>(fields: &'a [Field], name: &str) -> &'a Field {
    fields.iter().find(|field| field.name == name).expect("the field is there")
}

#[test]
fn doc_comments_options_and_types_become_the_schema() {
    let fields = Thing::fields();
    assert_eq!(Thing::DESCRIPTION, "Where things go.");
    let policy = field(&fields, "policy");
    assert_eq!(policy.description, "What happens to it.\n\nTwo paragraphs.");
    assert!(policy.optional && policy.computed && !policy.required);
    assert_eq!(policy.default, Some(Value::string("keep")));
    assert_eq!(field(&fields, "labels").attribute().ty(), Type::map(Type::String));
    assert_eq!(field(&fields, "sizes").attribute().ty(), Type::set(Type::Number));
    assert_eq!(field(&fields, "extra").attribute().ty(), Type::Dynamic);
    assert_eq!(field(&fields, "proxmox_ve").one_of, Some("engine"));
    assert!(matches!(field(&fields, "levels").nested(), Some((Nesting::List, _))));
}

#[test]
fn what_only_the_provider_sets_is_computed_all_the_way_down() {
    let fields = Thing::fields();
    let (_, inner) = field(&fields, "ref").nested().expect("it is nested");
    assert!(inner.iter().all(|field| field.computed && !field.required && !field.optional));
}

#[test]
fn a_flattened_model_has_its_fields_beside_those_of_its_owner() {
    let names: Vec<String> = Extended::fields().into_iter().map(|field| field.name).collect();
    assert_eq!(names, ["size", "kind", "uid"]);
    let object = Value::object([("size", Value::Null), ("kind", Value::string("store")), ("uid", Value::unknown())]);
    let model = Extended::from_object(&object).expect("it fits");
    assert_eq!(model.reference.kind, Attr::from("store"));
    assert_eq!(model.to_object(), object);
}

#[tokio::test]
async fn a_create_fills_in_defaults_and_leaves_what_is_computed_unknown() {
    let config = Value::Object(config());
    let planned = resource(Things).plan(&context(), &Value::Null, &config, &config).await.expect("it plans");
    let thing = Thing::from_object(&planned.state).expect("it fits");
    assert_eq!(thing.policy, "keep".into());
    assert_eq!(thing.engine, Attr::Known(Engine::Restic(Restic { password: "p".into(), retries: Attr::Known(3) })));
    assert_eq!(thing.r#ref, Attr::Known(Reference { kind: "thing".into(), uid: Attr::Unknown }));
    assert!(planned.replace.is_empty());
}

#[tokio::test]
async fn defaults_reach_five_levels_down() {
    let mut object = config();
    let off = |inner: Value| Value::object([("on", Value::Null), ("inner", inner)]);
    let deepest = off(Value::string("x"));
    let nested = off(Value::Map(
        [("k".to_owned(), off(Value::set([off(off(Value::List(vec![deepest])))])))].into_iter().collect(),
    ));
    object.insert("levels".into(), Value::List(vec![nested]));
    let config = Value::Object(object);
    let planned = resource(Things).plan(&context(), &Value::Null, &config, &config).await.expect("it plans");
    let text = format!("{:?}", planned.state);
    assert_eq!(text.matches("\"on\": Bool(true)").count(), 5, "{text}");
}

#[tokio::test]
async fn an_update_without_a_difference_plans_exactly_what_there_is() {
    let things = resource(Things);
    let config = Value::Object(config());
    let planned = things.plan(&context(), &Value::Null, &config, &config).await.expect("it plans");
    let stored = things.apply(&context(), &Value::Null, &planned.state, &config).await.expect("it applies");
    let again = things.plan(&context(), &stored.state, &config, &stored.state).await.expect("it plans");
    assert_eq!(again.state, stored.state);
}

#[tokio::test]
async fn an_equal_spelling_stays_as_it_was_and_a_changed_size_needs_a_new_object() {
    let things = resource(Things);
    let mut object = config();
    object.insert("word".into(), Value::string("Hello"));
    let first = Value::Object(object.clone());
    let planned = things.plan(&context(), &Value::Null, &first, &first).await.expect("it plans");
    let stored = things.apply(&context(), &Value::Null, &planned.state, &first).await.expect("it applies");
    object.insert("word".into(), Value::string("HELLO"));
    object.insert("sizes".into(), Value::set([Value::Number(5_i64.into())]));
    let second = Value::Object(object);
    let again = things.plan(&context(), &stored.state, &second, &second).await.expect("it plans");
    assert_eq!(Thing::from_object(&again.state).expect("it fits").word, "Hello".into());
    assert_eq!(again.replace, vec![Path::attribute("sizes")]);
}

#[tokio::test]
async fn write_only_values_never_reach_plan_or_state() {
    let things = resource(Things);
    let mut object = config();
    object.insert("password_wo".into(), Value::string("secret"));
    let config = Value::Object(object);
    let planned = things.plan(&context(), &Value::Null, &config, &config).await.expect("it plans");
    let stored = things.apply(&context(), &Value::Null, &planned.state, &config).await.expect("it applies");
    assert!(!format!("{planned:?}{stored:?}").contains("secret"));
}

async fn problems(object: BTreeMap<String, Value>) -> Diagnostics {
    resource(Things).validate(&context(), &Value::Object(object)).await
}

#[tokio::test]
async fn exactly_one_engine_has_to_be_set() {
    let mut none = config();
    none.insert("restic".into(), Value::Null);
    assert_eq!(problems(none.clone()).await.0[0].summary, "No engine");

    let mut two = config();
    two.insert("proxmox_ve".into(), two["restic"].clone());
    let found = problems(two).await;
    assert_eq!(found.0[0].summary, "More than one engine");
    assert_eq!(found.0[0].attribute, Some(Path::attribute("proxmox_ve")));

    none.insert("proxmox_ve".into(), Value::unknown());
    assert!(!problems(none.clone()).await.has_errors(), "an unknown engine is left for the plan");
    let config = Value::Object(none);
    let error = resource(Things).plan(&context(), &Value::Null, &config, &config).await.expect_err("it can't plan");
    assert_eq!(error.0[0].summary, "The engine is not known yet");
}

#[tokio::test]
async fn validators_and_types_speak_with_the_path_of_what_is_wrong() {
    let mut object = config();
    object.insert("name".into(), Value::string(""));
    assert_eq!(problems(object.clone()).await.0[0].attribute, Some(Path::attribute("name")));

    object.insert("name".into(), Value::string("a"));
    let half = Value::Number("0.5".parse().expect("a number"));
    object.insert("sizes".into(), Value::set([half]));
    assert_eq!(problems(object).await.0[0].attribute, Some(Path::attribute("sizes").index(0)));
}

#[tokio::test]
async fn a_client_that_would_store_write_only_values_is_refused() {
    let mut object = config();
    object.insert("password_wo".into(), Value::string("secret"));
    let old = Context::new(dr_framework::ClientCapabilities::default(), Stopper::default().signal());
    let found = resource(Things).validate(&old, &Value::Object(object)).await;
    assert_eq!(found.0[0].attribute, Some(Path::attribute("password_wo")));
}

/// Objects in a set that leave more or less open.
#[derive(Model, Clone, Debug, PartialEq)]
struct Elements {
    /// A set.
    #[dr(optional)]
    all: Attr<Set<Element>>,
}

/// An element.
#[derive(Model, Clone, Debug, PartialEq)]
struct Element {
    /// Computed when left out.
    #[dr(optional, computed)]
    zone: Attr<String>,
}

#[test]
fn an_element_of_a_set_that_leaves_much_open_takes_no_other_elements_place() {
    let of =
        |zones: [Value; 2]| Value::object([("all", Value::set(zones.map(|zone| Value::object([("zone", zone)]))))]);
    let prior = of([Value::string("a"), Value::string("computed")]);
    let config = of([Value::string("a"), Value::Null]);
    let planned = dr_framework::plan::prepare(&Elements::fields(), Some(&prior), &config, &config);
    assert_eq!(planned, prior);
}
