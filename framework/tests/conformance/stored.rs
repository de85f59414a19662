//! What is stored of an answer that is not whole, or of none: what was made is never forgotten.

use std::collections::BTreeMap;

use dr_framework::{
    AnyDataSource, AnyResource, Anything, Attr, Context, Diagnostics, Function, Identity, IdentityAttribute,
    IdentitySchema, Model, MoveFrom, Provider, Redactor, Resource, Result, Server, Type, Value, async_trait, resource,
};
use tfplugin::v6::{decode_value, encode_value};
use tfplugin::wire::tfplugin6 as wire;
use tonic::Request;
use wire::provider_server::Provider as Rpc;

use crate::support::wire as calls;

/// Something with much to fill in.
#[derive(Model, Clone, Debug)]
struct Gapped {
    /// Its name.
    #[dr(required)]
    name: Attr<String>,
    /// Computed.
    #[dr(computed)]
    uid: Attr<String>,
    /// Computed, in objects.
    #[dr(computed)]
    parts: Attr<BTreeMap<String, Part>>,
    /// Computed, of any type.
    #[dr(computed)]
    extra: Attr<Anything>,
}

/// A part.
#[derive(Model, Clone, Debug)]
struct Part {
    /// Computed.
    #[dr(computed)]
    id: Attr<String>,
    /// Computed.
    #[dr(computed)]
    size: Attr<i64>,
}

/// Does what its name says.
struct Gaps;

#[async_trait]
impl Resource for Gaps {
    type Model = Gapped;

    fn type_name(&self) -> &'static str {
        "dr_gaps"
    }

    fn identity_schema(&self) -> Option<IdentitySchema> {
        let uid = IdentityAttribute {
            name: "uid".into(),
            ty: Type::String,
            description: String::new(),
            required_for_import: true,
        };
        Some(IdentitySchema { version: 0, attributes: vec![uid] })
    }

    fn identity(&self, model: &Gapped) -> Identity {
        let name = if model.name.text() == Some("strange") { "id" } else { "uid" };
        Identity::from([(name.to_owned(), model.uid.clone())])
    }

    async fn read(&self, _: &Context, state: Gapped) -> Result<Option<Gapped>> {
        Ok(Some(Gapped { uid: Attr::Unknown, ..state }))
    }

    async fn apply(&self, _: &Context, _: Option<Gapped>, planned: Gapped, _: Gapped) -> Result<Gapped> {
        let part = |id: Attr<String>| Part { id, size: Attr::Known(1) };
        let parts = BTreeMap::from([("a".to_owned(), part("a1".into())), ("b".to_owned(), part(Attr::Unknown))]);
        let whole = Gapped { uid: "u1".into(), parts: Attr::Known(parts.clone()), extra: Attr::Null, ..planned };
        match whole.name.text() {
            Some("open") => Ok(Gapped { uid: Attr::Unknown, ..whole }),
            // Text has no place where any type goes, unless it says that it is text.
            Some("odd") => Ok(Gapped {
                parts: Attr::Null,
                extra: Attr::Known(Anything(Value::Tuple(vec![Value::string("x")]))),
                ..whole
            }),
            Some("strange") => Ok(Gapped { parts: Attr::Null, ..whole }),
            Some("panics") => panic!("half way"),
            _ => Err(Diagnostics::error("Unable to go on", "Half of it is there.")),
        }
    }

    async fn delete(&self, _: &Context, _: Gapped) -> Result<()> {
        Err(Diagnostics::error("Unable to destroy", "Half of it is there."))
    }

    async fn move_from(&self, _: &Context, source: &MoveFrom) -> Result<Option<Gapped>> {
        let uid = match source.type_name.as_str() {
            "open" => Attr::Unknown,
            "whole" => "u1".into(),
            _ => Attr::Null,
        };
        let name = Attr::Known(source.type_name.clone());
        Ok(Some(Gapped { name, uid, parts: Attr::Null, extra: Attr::Null }))
    }
}

struct OnlyGaps;

#[async_trait]
impl Provider for OnlyGaps {
    type Config = Part;

    async fn configure(&self, _: &Context, _: Part) -> Result<()> {
        Ok(())
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource>> {
        vec![resource(Gaps)]
    }

    fn data_sources(&self) -> Vec<Box<dyn AnyDataSource>> {
        Vec::new()
    }

    fn functions(&self) -> Vec<Box<dyn Function>> {
        Vec::new()
    }
}

fn server() -> Server<OnlyGaps> {
    Server::new(OnlyGaps, Redactor::default())
}

fn gapped(name: &str, [uid, parts, extra]: [Value; 3]) -> Value {
    Value::object([("name", Value::string(name)), ("uid", uid), ("parts", parts), ("extra", extra)])
}

fn message(value: &Value) -> Option<wire::DynamicValue> {
    Some(encode_value(value, &Gapped::ty()).expect("it fits"))
}

/// Creates one of this name, and its state.
async fn created(name: &str) -> (wire::apply_resource_change::Response, Option<Value>) {
    let request = wire::apply_resource_change::Request {
        type_name: "dr_gaps".into(),
        prior_state: message(&Value::Null),
        planned_state: message(&gapped(name, [(); 3].map(|()| Value::unknown()))),
        config: message(&gapped(name, [(); 3].map(|()| Value::Null))),
        planned_private: b"private".to_vec(),
        ..Default::default()
    };
    let answer = server().apply_resource_change(Request::new(request)).await.expect("an answer").into_inner();
    let state = answer.new_state.as_ref().map(|state| decode_value(Some(state), &Gapped::ty()).expect("it fits"));
    (answer, state)
}

fn summaries(found: &[wire::Diagnostic]) -> Vec<&str> {
    found.iter().map(|diagnostic| diagnostic.summary.as_str()).collect()
}

#[tokio::test]
async fn what_an_apply_leaves_open_is_named_and_the_rest_is_stored() {
    let (answer, state) = created("open").await;
    let part = |id: Value| Value::object([("id", id), ("size", Value::Number(1_i64.into()))]);
    let parts = BTreeMap::from([("a".to_owned(), part(Value::string("a1"))), ("b".to_owned(), part(Value::Null))]);
    let kept = gapped("open", [Value::Null, Value::Map(parts), Value::Null]);
    assert_eq!(state, Some(kept), "{:#?}", answer.diagnostics);
    assert_eq!(
        summaries(&answer.diagnostics),
        ["dr_gaps has no value for `parts[\"b\"].id`", "dr_gaps has no value for `uid`"]
    );
    assert!(answer.diagnostics.iter().all(|one| one.severity() == wire::diagnostic::Severity::Error));
    assert!(answer.diagnostics.iter().all(|one| one.attribute.is_some()));
    assert!(answer.new_identity.is_none(), "an identity that is not known can't be stored");
    assert_eq!(answer.private, b"private".as_slice());
}

#[tokio::test]
async fn a_value_that_has_no_form_on_the_wire_takes_nothing_else_with_it() {
    let (answer, state) = created("odd").await;
    let kept = gapped("odd", [Value::string("u1"), Value::Null, Value::Null]);
    assert_eq!(state, Some(kept), "{:#?}", answer.diagnostics);
    assert_eq!(summaries(&answer.diagnostics), ["dr_gaps has no value for `extra`"]);
    let identity = answer.new_identity.expect("an identity").identity_data;
    let identity = decode_value(identity.as_ref(), &Type::object([("uid", Type::String)]));
    assert_eq!(identity, Ok(Value::object([("uid", Value::string("u1"))])));
}

#[tokio::test]
async fn an_identity_that_fits_no_schema_takes_nothing_else_with_it() {
    let (answer, state) = created("strange").await;
    let kept = gapped("strange", [Value::string("u1"), Value::Null, Value::Null]);
    assert_eq!(state, Some(kept), "{:#?}", answer.diagnostics);
    assert!(answer.new_identity.is_none() && answer.diagnostics.is_empty(), "the CLIs can do without");
}

/// Without a new state a CLI keeps what it has: nothing after a create, the old one after an update or a destroy. What a
/// failed create made is found again by the next one (note 1 of the design).
#[tokio::test]
async fn an_apply_that_fails_half_way_leaves_the_state_as_it_was() {
    for name in ["panics", "fails"] {
        let (answer, state) = created(name).await;
        assert_eq!((state, answer.diagnostics.len()), (None, 1), "{name}");
        assert_eq!(answer.private, b"private".as_slice());
    }
    let request = wire::apply_resource_change::Request {
        type_name: "dr_gaps".into(),
        prior_state: message(&gapped("fails", [Value::string("u1"), Value::Null, Value::Null])),
        planned_state: message(&Value::Null),
        ..Default::default()
    };
    let answer = server().apply_resource_change(Request::new(request)).await.expect("an answer").into_inner();
    assert_eq!((answer.new_state, answer.diagnostics.len()), (None, 1));
}

#[tokio::test]
async fn a_read_that_leaves_something_open_changes_no_state() {
    let request = wire::read_resource::Request {
        type_name: "dr_gaps".into(),
        current_state: message(&gapped("read", [Value::string("u1"), Value::Null, Value::Null])),
        client_capabilities: calls::capabilities(),
        ..Default::default()
    };
    let answer = server().read_resource(Request::new(request)).await.expect("an answer").into_inner();
    assert_eq!(answer.new_state, None);
    assert_eq!(summaries(&answer.diagnostics), ["dr_gaps has no value for `uid`"]);
}

#[tokio::test]
async fn a_move_needs_no_identity_and_leaves_nothing_open() {
    let moved = async |from: &str| {
        let request = wire::move_resource_state::Request {
            source_type_name: from.to_owned(),
            target_type_name: "dr_gaps".into(),
            ..Default::default()
        };
        server().move_resource_state(Request::new(request)).await.expect("an answer").into_inner()
    };
    // One that is known is left to the first read, too.
    for from in ["strange", "whole"] {
        let fine = moved(from).await;
        assert!(fine.target_state.is_some() && fine.target_identity.is_none(), "{from} {:#?}", fine.diagnostics);
    }
    let open = moved("open").await;
    assert_eq!((summaries(&open.diagnostics), open.target_state), (vec!["dr_gaps has no value for `uid`"], None));
}
