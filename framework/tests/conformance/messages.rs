//! The server over its messages: no bytes make it panic, no secret leaves it, old states find their way in.

use std::collections::BTreeMap;

use dr_framework::redact::MASK;
use dr_framework::{
    AnyDataSource, AnyResource, Attr, Context, DataSource, Deferral, Diagnostics, Function, Model, MoveFrom, Provider,
    Redactor, Resource, Result, Server, Upgrade, Value, async_trait, data_source, resource,
};
use proptest::prelude::*;
use tfplugin::v6::{decode_value, encode_value};
use tfplugin::wire::tfplugin6 as wire;
use tonic::Request;
use wire::provider_server::Provider as Rpc;

use crate::support::{Hints, generate, wire as calls};
use crate::zoo;

/// Settings.
#[derive(Model, Clone, Debug)]
pub struct Settings {
    /// Hidden.
    #[dr(optional, sensitive)]
    token: Attr<String>,
}

/// Holds secrets of every shape.
#[derive(Model, Clone, Debug)]
struct Secretive {
    /// Public.
    #[dr(optional)]
    name: Attr<String>,
    /// Hidden.
    #[dr(optional, sensitive)]
    token: Attr<String>,
    /// Never stored.
    #[dr(optional, write_only)]
    password_wo: Attr<String>,
    /// Hidden texts.
    #[dr(optional, sensitive)]
    keys: Attr<Vec<String>>,
    /// Hidden, name by name.
    #[dr(optional, sensitive)]
    environment: Attr<BTreeMap<String, String>>,
    /// Hidden as a whole.
    #[dr(optional, sensitive)]
    login: Attr<Login>,
    /// Hidden in part.
    #[dr(optional)]
    accounts: Attr<Vec<Account>>,
}

/// A login.
#[derive(Model, Clone, Debug)]
struct Login {
    /// Who.
    #[dr(optional)]
    user: Attr<String>,
    /// Which.
    #[dr(optional)]
    description: Attr<String>,
}

/// An account.
#[derive(Model, Clone, Debug)]
struct Account {
    /// Public.
    #[dr(optional)]
    name: Attr<String>,
    /// Hidden.
    #[dr(optional, sensitive)]
    key: Attr<String>,
}

/// What answers a data source.
#[derive(Model, Clone, Debug)]
struct Question {
    /// Hidden.
    #[dr(optional, sensitive)]
    token: Attr<String>,
}

/// Fails at everything, and tells all that it knows.
struct Chatty;

/// The same text in the forms that messages usually have.
fn chatter(model: &impl Model) -> Diagnostics {
    let value = model.to_object();
    let mut found = Diagnostics::default();
    for text in value.strings() {
        let json = serde_json::Value::from(text).to_string();
        found.extend(Diagnostics::error(
            format!("Unable to {text}"),
            format!("{text:?}, that is {json} or <{text}{text}>"),
        ));
    }
    found.extend(Diagnostics::error(
        "Unable",
        format!("{value:?} {model}", model = serde_json::json!({ "all": value.strings() })),
    ));
    found
}

#[async_trait]
impl Resource for Chatty {
    type Model = Secretive;

    fn type_name(&self) -> &'static str {
        "dr_chatty"
    }

    async fn validate(&self, _: &Context, config: &Secretive) -> Diagnostics {
        chatter(config)
    }

    async fn plan(&self, context: &Context, plan: &mut dr_framework::Plan<'_, Secretive>) -> Result<()> {
        chatter(plan.config).into_iter().for_each(|diagnostic| context.report(diagnostic));
        Err(plan.prior.map(chatter).unwrap_or_default())
    }

    async fn read(&self, _: &Context, state: Secretive) -> Result<Option<Secretive>> {
        Err(chatter(&state))
    }

    async fn apply(&self, _: &Context, _: Option<Secretive>, _: Secretive, config: Secretive) -> Result<Secretive> {
        panic!("{:?}", config.to_object())
    }

    async fn delete(&self, _: &Context, prior: Secretive) -> Result<()> {
        Err(chatter(&prior))
    }

    async fn move_from(&self, _: &Context, _: &MoveFrom) -> Result<Option<Secretive>> {
        Ok(None)
    }
}

#[async_trait]
impl DataSource for Chatty {
    type Model = Question;

    fn type_name(&self) -> &'static str {
        "dr_question"
    }

    async fn validate(&self, _: &Context, config: &Question) -> Diagnostics {
        chatter(config)
    }

    async fn read(&self, _: &Context, config: Question) -> Result<Question> {
        Err(chatter(&config))
    }
}

/// Answers once its configuration is more than a promise.
struct Later;

#[async_trait]
impl DataSource for Later {
    type Model = Question;

    fn type_name(&self) -> &'static str {
        "dr_later"
    }

    async fn read(&self, context: &Context, config: Question) -> Result<Question> {
        if config.token.is_known() {
            return Ok(config);
        }
        context.defer(Deferral::AbsentPrerequisite);
        Err(Diagnostics::error("Not yet", "There is nothing to ask."))
    }
}

/// A thing at version 2.
#[derive(Model, Clone, Debug)]
struct Grown {
    /// Its name.
    #[dr(required)]
    name: Attr<String>,
    /// Added without a new version.
    #[dr(optional)]
    added: Attr<String>,
    /// Nested.
    #[dr(optional)]
    parts: Attr<Vec<Login>>,
    /// Any number.
    #[dr(optional)]
    ratio: Attr<dr_framework::Number>,
    /// Anything.
    #[dr(optional)]
    extra: Attr<dr_framework::Anything>,
    /// Hidden.
    #[dr(optional, sensitive)]
    token: Attr<String>,
}

struct Growing;

fn renamed(state: Value) -> std::result::Result<Value, String> {
    let Value::Object(mut object) = state else { return Err("not an object".to_owned()) };
    let title = object.remove("title").ok_or("there is no title")?;
    object.insert("name".into(), title);
    Ok(Value::Object(object))
}

fn louder(state: Value) -> std::result::Result<Value, String> {
    let name = state.attribute("name").text().unwrap_or_else(|| panic!("no name in {state:?}")).to_uppercase();
    Ok(with(state, "name", Value::String(name)))
}

#[async_trait]
impl Resource for Growing {
    type Model = Grown;

    fn type_name(&self) -> &'static str {
        "dr_grown"
    }

    fn upgrades(&self) -> Vec<Upgrade> {
        vec![renamed, louder]
    }

    async fn read(&self, _: &Context, state: Grown) -> Result<Option<Grown>> {
        Ok(Some(state))
    }

    async fn apply(&self, _: &Context, _: Option<Grown>, planned: Grown, _: Grown) -> Result<Grown> {
        Ok(planned)
    }

    async fn delete(&self, _: &Context, _: Grown) -> Result<()> {
        Ok(())
    }

    async fn move_from(&self, _: &Context, source: &MoveFrom) -> Result<Option<Grown>> {
        let ours = source.type_name == "old_grown";
        let state = || with(grown("moved", Value::Null, Value::Null), "ratio", source.state.attribute("size").clone());
        Ok(ours.then(|| Grown::from_object(&state())).transpose()?)
    }
}

/// All that is served here.
pub struct Zoo;

#[async_trait]
impl Provider for Zoo {
    type Config = Settings;

    async fn validate(&self, _: &Context, config: &Settings) -> Diagnostics {
        chatter(config)
    }

    async fn configure(&self, _: &Context, config: Settings) -> Result<()> {
        Err(chatter(&config))
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource>> {
        let mut all = zoo::animals();
        all.extend([resource(Chatty), resource(Growing)]);
        all
    }

    fn data_sources(&self) -> Vec<Box<dyn AnyDataSource>> {
        vec![data_source(Chatty), data_source(Later)]
    }

    fn functions(&self) -> Vec<Box<dyn Function>> {
        Vec::new()
    }
}

/// Serves it.
pub fn server() -> Server<Zoo> {
    Server::new(Zoo, Redactor::default())
}

/// What runs its calls.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// How many cases.
pub fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn no_bytes_make_the_server_panic() {
    let (server, runtime) = (server(), runtime());
    for resource in server.resources().filter(|resource| resource.type_name() != "dr_chatty") {
        let ty = || calls::object_type(resource.fields());
        let message = || calls::messages(generate::state(resource.fields(), &Hints::new()), ty());
        let outcome = proptest::test_runner::TestRunner::new(settings(100))
            .run(&[message().boxed(), message().boxed(), message().boxed()], |values| {
                calls::without_panics(&runtime.block_on(calls::call_everything(&server, resource, values)))
            });
        if let Err(error) = outcome {
            panic!("{}: {error}", resource.type_name());
        }
    }
}

#[test]
fn no_bytes_make_data_sources_and_the_configuration_panic() {
    let (server, runtime) = (server(), runtime());
    let ty = dr_framework::Type::object([("token", dr_framework::Type::String)]);
    let config = generate::config(&Settings::fields(), &Hints::new());
    let outcome = proptest::test_runner::TestRunner::new(settings(300)).run(&calls::messages(config, ty), |message| {
        calls::without_panics(&runtime.block_on(calls::call_provider(&server, message.clone())))?;
        calls::without_panics(&runtime.block_on(calls::call_data_source(&server, "dr_question", message)))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{4,20}", "[a-z\"\\\\/+&% ']{4,12}", "\\PC{4,10}", "[a-z]{4}\n[A-Z]{9}"]
}

fn secretive() -> impl Strategy<Value = (Vec<String>, Value)> {
    proptest::collection::vec(secret(), 9).prop_map(|secrets| {
        let text = |index: usize| Value::string(secrets[index].clone());
        let map = BTreeMap::from([("first".to_owned(), text(3)), ("second".to_owned(), text(4))]);
        let login = Value::object([("user", text(5)), ("description", text(6))]);
        let account = Value::object([("name", Value::string("public")), ("key", text(7))]);
        let value = Value::object([
            ("name", Value::string("public")),
            ("token", text(0)),
            ("password_wo", text(1)),
            ("keys", Value::List(vec![text(2), text(8)])),
            ("environment", Value::Map(map)),
            ("login", login),
            ("accounts", Value::List(vec![account])),
        ]);
        (secrets, value)
    })
}

/// What the user sees, without the masks.
fn seen(found: &[wire::Diagnostic]) -> Vec<String> {
    let place = |diagnostic: &wire::Diagnostic| format!("{:?}", diagnostic.attribute);
    let texts = |it: &wire::Diagnostic| [it.summary.clone(), it.detail.clone(), place(it)];
    found.iter().flat_map(texts).map(|text| text.replace(MASK, "\u{1}")).collect()
}

fn assert_silent(secrets: &[String], found: &[wire::Diagnostic]) -> std::result::Result<(), TestCaseError> {
    prop_assert!(!found.is_empty());
    for text in seen(found) {
        for secret in secrets {
            let escaped = format!("{secret:?}");
            prop_assert!(!text.contains(secret.as_str()), "{secret:?} is in {text:?}");
            prop_assert!(!text.contains(&escaped[1..escaped.len() - 1]), "{secret:?} is in {text:?}");
        }
    }
    Ok(())
}

#[test]
fn a_secret_that_was_learnt_is_in_no_diagnostic() {
    let runtime = runtime();
    let ty = calls::object_type(&Secretive::fields());
    let outcome = proptest::test_runner::TestRunner::new(settings(200)).run(&secretive(), |(secrets, value)| {
        let server = server();
        let chatty = server.resources().find(|it| it.type_name() == "dr_chatty").expect("it is there");
        let message = || encode_value(&value, &ty).expect("it fits");
        let found = runtime.block_on(calls::call_everything(&server, chatty, [message(), message(), message()]));
        // Validate, plan, apply and read each say a lot.
        prop_assert!(found.len() > 20, "{found:?}");
        assert_silent(&secrets, &found)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn secrets_of_a_stored_state_of_a_data_source_and_of_the_provider_are_learnt_too() {
    let runtime = runtime();
    let outcome = proptest::test_runner::TestRunner::new(settings(100)).run(&secretive(), |(secrets, value)| {
        let ty = calls::object_type(&Secretive::fields());
        let state = encode_value(&value, &ty).expect("it fits");
        let request = || wire::read_resource::Request {
            type_name: "dr_chatty".into(),
            current_state: Some(state.clone()),
            ..Default::default()
        };
        let read = runtime.block_on(server().read_resource(Request::new(request()))).expect("an answer").into_inner();
        assert_silent(&secrets, &read.diagnostics)?;

        let destroy = wire::plan_resource_change::Request {
            type_name: "dr_chatty".into(),
            prior_state: Some(state.clone()),
            ..Default::default()
        };
        runtime.block_on(server().plan_resource_change(Request::new(destroy))).expect("an answer");
        let destroy = wire::apply_resource_change::Request {
            type_name: "dr_chatty".into(),
            prior_state: Some(state.clone()),
            ..Default::default()
        };
        let gone =
            runtime.block_on(server().apply_resource_change(Request::new(destroy))).expect("an answer").into_inner();
        assert_silent(&secrets, &gone.diagnostics)?;

        let ty = calls::object_type(&Settings::fields());
        let config =
            encode_value(&Value::object([("token", Value::string(secrets[0].clone()))]), &ty).expect("it fits");
        assert_silent(&secrets[..1], &runtime.block_on(calls::call_provider(&server(), config.clone())))?;
        assert_silent(&secrets[..1], &runtime.block_on(calls::call_data_source(&server(), "dr_question", config)))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[tokio::test]
async fn the_names_of_attributes_are_no_secrets() {
    let server = server();
    let mut object: BTreeMap<String, Value> =
        Secretive::fields().into_iter().map(|field| (field.name, Value::Null)).collect();
    let login = Value::object([("user", Value::string("somebody")), ("description", Value::string("nobody"))]);
    object.insert("login".into(), login);
    object.insert("name".into(), Value::string("the description"));
    let ty = calls::object_type(&Secretive::fields());
    let request = wire::validate_resource_config::Request {
        type_name: "dr_chatty".into(),
        config: Some(encode_value(&Value::Object(object), &ty).expect("it fits")),
        client_capabilities: calls::capabilities(),
    };
    let answer = server.validate_resource_config(Request::new(request)).await.expect("an answer").into_inner();
    let texts = seen(&answer.diagnostics);
    assert!(texts.iter().any(|text| text.contains("the description")), "{texts:#?}");
    assert!(!texts.iter().any(|text| text.contains("somebody")), "{texts:#?}");
}

/// What a data source answers to a client that waits, or to one that does not.
async fn asked(token: Value, waits: bool) -> wire::read_data_source::Response {
    let ty = calls::object_type(&Question::fields());
    let request = wire::read_data_source::Request {
        type_name: "dr_later".into(),
        config: Some(encode_value(&Value::object([("token", token)]), &ty).expect("it fits")),
        client_capabilities: Some(wire::ClientCapabilities { deferral_allowed: waits, ..Default::default() }),
        ..Default::default()
    };
    server().read_data_source(Request::new(request)).await.expect("an answer").into_inner()
}

#[tokio::test]
async fn not_yet_is_an_answer_to_a_client_that_waits_and_an_error_to_others() {
    let ty = calls::object_type(&Question::fields());
    let said = |answer: &wire::read_data_source::Response| answer.deferred.map(|deferred| deferred.reason());

    let deferred = asked(Value::Null, true).await;
    assert_eq!(said(&deferred), Some(wire::deferred::Reason::AbsentPrereq));
    assert!(deferred.diagnostics.is_empty(), "{:#?}", deferred.diagnostics);
    // A null object is an error of the provider, whatever else is said.
    assert_eq!(decode_value(deferred.state.as_ref(), &ty), Ok(Value::unknown()));

    let refused = asked(Value::Null, false).await;
    assert_eq!((said(&refused), refused.state), (None, None));
    assert_eq!(refused.diagnostics.len(), 1);

    let token = Value::string("correct horse");
    for waits in [true, false] {
        let answer = asked(token.clone(), waits).await;
        assert_eq!(said(&answer), None);
        let state = decode_value(answer.state.as_ref(), &ty);
        assert_eq!(state, Ok(Value::object([("token", token.clone())])), "{:#?}", answer.diagnostics);
    }
}

async fn upgraded(version: i64, json: &str) -> std::result::Result<Value, String> {
    let request = wire::upgrade_resource_state::Request {
        type_name: "dr_grown".into(),
        version,
        raw_state: Some(wire::RawState { json: json.as_bytes().to_vec(), ..Default::default() }),
    };
    let answer = server().upgrade_resource_state(Request::new(request)).await.expect("an answer").into_inner();
    match answer.diagnostics.first() {
        Some(first) => Err(first.detail.clone()),
        None => {
            let ty = calls::object_type(&Grown::fields());
            let value = decode_value(answer.upgraded_state.as_ref(), &ty).expect("it fits");
            let schema = resource(Growing).schema();
            assert_eq!(dr_framework::conformance::check_upgrade(&schema, &value), []);
            Ok(value)
        }
    }
}

fn grown(name: &str, parts: Value, ratio: Value) -> Value {
    Value::object([
        ("name", Value::string(name)),
        ("added", Value::Null),
        ("parts", parts),
        ("ratio", ratio),
        ("extra", Value::Null),
        ("token", Value::Null),
    ])
}

/// The attributes of an object, with another one.
fn with(object: Value, name: &str, value: Value) -> Value {
    let Value::Object(mut attributes) = object else { panic!("{object:?} is no object") };
    attributes.insert(name.to_owned(), value);
    Value::Object(attributes)
}

#[tokio::test]
async fn a_state_of_any_version_finds_its_way_to_the_newest() {
    let expected = grown("X", Value::Null, Value::Null);
    assert_eq!(upgraded(0, r#"{"title": "x"}"#).await, Ok(expected.clone()));
    assert_eq!(upgraded(1, r#"{"name": "x"}"#).await, Ok(expected.clone()));
    assert_eq!(upgraded(2, r#"{"name": "X"}"#).await, Ok(expected), "a missing attribute is null");
}

#[tokio::test]
async fn attributes_that_are_gone_are_dropped_at_any_depth_and_numbers_stay_exact() {
    let part = Value::object([("user", Value::string("u")), ("description", Value::Null)]);
    let exact = "0.1234567890123456789012345678901".parse().expect("a number");
    let state = r#"{"name": "x", "gone": {"a": [1]}, "parts": [{"user": "u", "old": 1}], "ratio": 0.1234567890123456789012345678901}"#;
    let expected = grown("x", Value::List(vec![part]), Value::Number(exact));
    assert_eq!(upgraded(2, state).await, Ok(expected));
}

#[tokio::test]
async fn numbers_go_through_an_upgrade_as_they_are() {
    for digits in ["18446744073709551616", "123456789012345678901234567890.125", "0.1000000000000000055", "1e300"] {
        let number = Value::Number(digits.parse().expect("a number"));
        let extra = Value::Dynamic(Box::new((dr_framework::Type::Number, number.clone())));
        let expected = with(grown("X", Value::Null, number), "extra", extra);
        for (version, name) in [(0, "title"), (1, "name"), (2, "name")] {
            let extra = format!(r#"{{"value": {digits}, "type": "number"}}"#);
            let state = format!(r#"{{"{name}": "X", "ratio": {digits}, "extra": {extra}}}"#);
            assert_eq!(upgraded(version, &state).await, Ok(expected.clone()), "version {version}: {digits}");
        }
    }
}

#[tokio::test]
async fn a_state_that_no_version_wrote_is_an_error_and_not_a_panic() {
    for (version, json) in [
        (3, r#"{"name": "x"}"#),
        (-1, r#"{"name": "x"}"#),
        (0, r#"{"name": "x"}"#),
        (1, r#"{"name": 5}"#),
        (2, r#"{"name": {"a": "b"}}"#),
        (2, "[]"),
        (2, "null"),
        (2, ""),
        (2, "{"),
        (0, "null"),
    ] {
        assert!(upgraded(version, json).await.is_err(), "version {version}: {json}");
    }
}

#[tokio::test]
async fn an_identity_of_another_type_is_none() {
    let upgraded = async |json: &str| {
        let request = wire::upgrade_resource_identity::Request {
            type_name: "dr_output".into(),
            version: 1,
            raw_identity: Some(wire::RawState { json: json.as_bytes().to_vec(), ..Default::default() }),
        };
        let answer = server().upgrade_resource_identity(Request::new(request)).await.expect("an answer").into_inner();
        let identity = answer.upgraded_identity.and_then(|identity| identity.identity_data);
        let output =
            server().resources().find(|one| one.type_name() == "dr_output").and_then(AnyResource::identity_schema);
        decode_value(identity.as_ref(), &output.expect("it has one").ty()).expect("it fits")
    };
    assert_eq!(upgraded(r#"{"name": "x"}"#).await, Value::object([("name", Value::string("x"))]));
    assert_eq!(upgraded(r#"{"api_version": "v1", "kind": "Secret"}"#).await, Value::Null);
}

#[tokio::test]
async fn numbers_go_through_a_move_as_they_are() {
    let digits = "123456789012345678901234567890.125";
    let request = wire::move_resource_state::Request {
        source_type_name: "old_grown".into(),
        source_state: Some(wire::RawState {
            json: format!(r#"{{"size": {digits}}}"#).into_bytes(),
            ..Default::default()
        }),
        target_type_name: "dr_grown".into(),
        ..Default::default()
    };
    let answer = server().move_resource_state(Request::new(request)).await.expect("an answer").into_inner();
    let state = decode_value(answer.target_state.as_ref(), &calls::object_type(&Grown::fields()));
    let number = Value::Number(digits.parse().expect("a number"));
    assert_eq!(state, Ok(grown("moved", Value::Null, number)), "{:#?}", answer.diagnostics);
}

/// What the user is told of stored JSON that can't be taken over, by each call that takes some.
async fn told_of(server: &Server<Zoo>, version: i64, json: &str) -> [Vec<wire::Diagnostic>; 3] {
    let raw = || Some(wire::RawState { json: json.as_bytes().to_vec(), ..Default::default() });
    let state = wire::upgrade_resource_state::Request { type_name: "dr_grown".into(), version, raw_state: raw() };
    let identity =
        wire::upgrade_resource_identity::Request { type_name: "dr_output".into(), version: 0, raw_identity: raw() };
    let moved = wire::move_resource_state::Request {
        source_type_name: "other_thing".into(),
        source_state: raw(),
        target_type_name: "dr_grown".into(),
        ..Default::default()
    };
    [
        server.upgrade_resource_state(Request::new(state)).await.expect("an answer").into_inner().diagnostics,
        server.upgrade_resource_identity(Request::new(identity)).await.expect("an answer").into_inner().diagnostics,
        server.move_resource_state(Request::new(moved)).await.expect("an answer").into_inner().diagnostics,
    ]
}

#[tokio::test]
async fn damaged_json_is_an_error_that_names_the_type_and_what_comes_next_is_answered() {
    let server = server();
    for damaged in ["{", "", "{\"name\": tru", "[1,", "\u{0}", &"[".repeat(100_000)] {
        let [state, identity, moved] = told_of(&server, 2, damaged).await;
        for (told, name) in [(&state, "dr_grown"), (&identity, "dr_output"), (&moved, "dr_grown")] {
            // Nothing at all is no identity.
            if damaged.is_empty() && name == "dr_output" {
                continue;
            }
            assert_eq!(told.len(), 1, "{damaged:.20}");
            assert!(told[0].summary.contains(name), "{damaged:.20}: {told:?}");
        }
        assert_eq!(told_of(&server, 2, r#"{"name": "x"}"#).await[..2], [vec![], vec![]]);
    }
}

#[tokio::test]
async fn an_upgrade_that_panics_is_an_error_that_names_the_type_and_tells_no_secret() {
    let server = server();
    let [told, ..] = told_of(&server, 1, r#"{"name": 5, "token": "correct horse battery"}"#).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].summary, "Unable to read the stored state of dr_grown");
    assert!(told[0].detail.contains("panicked"), "{told:?}");
    assert!(told[0].detail.contains(MASK) && !told[0].detail.contains("correct horse"), "{told:?}");
    let [told, ..] = told_of(&server, 1, r#"{"name": "x"}"#).await;
    assert_eq!(told, []);
}
