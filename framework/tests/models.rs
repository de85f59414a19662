//! Models as their authors write them: what the derive makes of a struct, and what the plan rules make of its values.

use std::collections::BTreeMap;

use dr_framework::{
    Anything, Attr, Choice, Context, DataSource, Diagnostics, Field, Model, Nesting, Path, Plan, Resource, Result,
    Schema, Set, Stopper, Type, Value, async_trait, data_source, resource,
};
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, proptest};
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

/// Objects in a set that may each have been several ones.
#[derive(Model, Clone, Debug, PartialEq)]
struct Ambiguous {
    /// A set.
    #[dr(optional)]
    all: Attr<Set<Corner>>,
}

/// An element.
#[derive(Model, Clone, Debug, PartialEq)]
struct Corner {
    /// Computed when left out.
    #[dr(optional, computed)]
    a: Attr<i64>,
    /// Computed when left out.
    #[dr(optional, computed)]
    b: Attr<i64>,
    /// Computed when left out.
    #[dr(optional, computed)]
    c: Attr<i64>,
    /// Compared without case.
    #[dr(optional, equal = counted)]
    word: Attr<String>,
}

thread_local! {
    /// How often two elements were compared.
    static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn counted(left: &Value, right: &Value) -> bool {
    COMPARED.set(COMPARED.get() + 1);
    same_letters(left, right)
}

/// A set of elements; 0 is what is left out.
fn corners(all: impl IntoIterator<Item = ([i64; 3], &'static str)>) -> Value {
    let number = |number: i64| if number == 0 { Value::Null } else { Value::Number(number.into()) };
    let corner = |([a, b, c], word): ([i64; 3], &str)| {
        let word = if word.is_empty() { Value::Null } else { Value::string(word) };
        Value::object([("a", number(a)), ("b", number(b)), ("c", number(c)), ("word", word)])
    };
    Value::object([("all", Value::set(all.into_iter().map(corner)))])
}

fn planned_corners(prior: &Value, config: &Value) -> Value {
    dr_framework::plan::prepare(&Ambiguous::fields(), Some(prior), config, config)
}

#[test]
fn elements_of_a_set_share_out_what_was_there_so_that_most_of_them_stay() {
    let prior = corners([([1, 1, 1], ""), ([1, 1, 3], ""), ([2, 2, 1], "")]);
    // The first fits the first and the last, the others fit the first two.
    let config = corners([([0, 0, 1], ""), ([0, 1, 0], ""), ([1, 0, 0], "")]);
    assert_eq!(planned_corners(&prior, &config), prior);
}

/// The most elements that can stay, by trying everything.
fn most_that_stay(prior: &[([i64; 3], &str)], config: &[([i64; 3], &str)]) -> usize {
    let Some(((wanted, word), rest)) = config.split_first() else { return 0 };
    let fits = |(there, other): &([i64; 3], &str)| {
        wanted.iter().zip(there).all(|(wanted, there)| [0, *there].contains(wanted)) && word.eq_ignore_ascii_case(other)
    };
    let without = |taken: usize| [&prior[..taken], &prior[taken + 1..]].concat();
    let takes = (0..prior.len()).filter(|place| fits(&prior[*place]));
    takes.map(|place| 1 + most_that_stay(&without(place), rest)).fold(most_that_stay(prior, rest), usize::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_other_way_to_share_out_a_set_keeps_more(
        prior in corner_texts(1), config in corner_texts(0),
    ) {
        let most = most_that_stay(&prior, &config);
        let (prior, config) = (corners(prior), corners(config));
        let planned = planned_corners(&prior, &config);
        let all = |value: &Value| match value.attribute("all") {
            Value::Set(all) => all.clone(),
            other => panic!("{other:?} is no set"),
        };
        let stays = all(&planned).iter().filter(|corner| all(&prior).contains(corner)).count();
        prop_assert_eq!(stays, most, "{:?}", planned);
        prop_assert_eq!(all(&planned).len(), all(&config).len());
    }
}

/// Different elements, each of numbers from `least`.
fn corner_texts(least: i64) -> impl Strategy<Value = Vec<([i64; 3], &'static str)>> {
    let number = || least..3;
    let word = proptest::sample::select(vec!["", "x", "X"]);
    let corner = ([number(), number(), number()], word);
    proptest::collection::btree_set(corner, 0..5).prop_map(|all| all.into_iter().collect())
}

#[test]
fn an_element_of_a_set_is_the_one_that_is_spelled_like_it() {
    let prior = corners([([1, 1, 1], "hello"), ([2, 2, 2], "HELLO")]);
    let config = corners([([0, 0, 0], "HELLO")]);
    assert_eq!(planned_corners(&prior, &config), corners([([2, 2, 2], "HELLO")]));
    let config = corners([([0, 0, 0], "Hello")]);
    assert_eq!(planned_corners(&prior, &config), corners([([1, 1, 1], "hello")]));
}

#[test]
fn a_large_set_is_planned_without_comparing_everything_with_everything() {
    let words = |salt: i64| (1..=600_i64).map(move |index| ([index * salt, 0, 0], "word"));
    let prior = corners((1..=600).map(|index| ([index, 5, 6], "word")));
    for (config, least_kept) in [(corners(words(1)), 600), (corners(words(2)), 300)] {
        COMPARED.set(0);
        let planned = planned_corners(&prior, &config);
        let Value::Set(planned) = planned.attribute("all") else { panic!("{planned:?}") };
        let kept = planned.iter().filter(|corner| corner.is_wholly_known()).count();
        assert_eq!((planned.len(), kept), (600, least_kept));
        assert!(COMPARED.get() < 600 * 10, "{} comparisons", COMPARED.get());
    }
}

/// What an answer to a question holds.
#[derive(Model, Clone, Debug, PartialEq)]
struct Asked {
    /// Objects.
    #[dr(optional)]
    filters: Attr<Vec<Filter>>,
    /// One.
    #[dr(optional)]
    one: Attr<Filter>,
    /// Computed.
    #[dr(computed)]
    found: Attr<String>,
}

/// A filter.
#[derive(Model, Clone, Debug, PartialEq)]
struct Filter {
    /// With a default.
    #[dr(default = 3)]
    least: Attr<i64>,
    /// Computed.
    #[dr(computed)]
    matched: Attr<i64>,
}

struct Answers;

#[async_trait]
impl DataSource for Answers {
    type Model = Asked;

    fn type_name(&self) -> &'static str {
        "dr_answers"
    }

    async fn read(&self, _: &Context, config: Asked) -> Result<Asked> {
        Ok(config)
    }
}

#[tokio::test]
async fn what_a_data_source_computes_is_null_until_it_answers_at_any_depth() {
    let filter = |least: Value| Value::object([("least", least), ("matched", Value::Null)]);
    let asked = |least: fn() -> Value| {
        let filters = Value::List(vec![filter(least())]);
        Value::object([("filters", filters), ("one", filter(least())), ("found", Value::Null)])
    };
    let answer = data_source(Answers).read(&context(), &asked(|| Value::Null)).await;
    assert_eq!(answer, Ok(asked(|| Value::Number(3_i64.into()))));
}

/// An object that the provider fills where the configuration has none.
#[derive(Model, Clone, Debug, PartialEq)]
struct Filled {
    /// Computed when left out, with something that a user could have written.
    #[dr(optional, computed)]
    reference: Attr<Reference>,
}

#[test]
fn an_object_that_leaves_the_configuration_stays_as_it_was() {
    let of = |reference: Value| Value::object([("reference", reference)]);
    let prior = of(Value::object([("kind", Value::string("thing")), ("uid", Value::Null)]));
    let config = of(Value::Null);
    let fields = Filled::fields();
    let schema = Schema { attributes: fields.iter().map(Field::attribute).collect(), ..Schema::default() };
    let proposed = dr_framework::conformance::proposed_new_state(&schema, &prior, &config);
    assert_eq!(proposed, config, "the CLIs take what the provider filled in for what a user wrote");
    assert_eq!(dr_framework::plan::prepare(&fields, Some(&prior), &config, &proposed), prior);
}
