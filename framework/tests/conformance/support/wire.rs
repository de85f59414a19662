//! The server over its messages, as a CLI or a stranger would call it.

pub use dr_framework::field::object_type;
use dr_framework::{AnyResource, Provider, Server, Type, Value};
use proptest::prelude::*;
use tfplugin::v6::encode_value;
use tfplugin::wire::tfplugin6 as wire;
use tonic::Request;
use wire::provider_server::Provider as Rpc;

/// A message that holds a value, or anything else.
pub fn messages(value: impl Strategy<Value = Value>, ty: Type) -> impl Strategy<Value = wire::DynamicValue> {
    let noise = || proptest::collection::vec(any::<u8>(), 0..40);
    let encoded = value.prop_map(move |value| encode_value(&value, &ty).unwrap_or_default().msgpack.to_vec());
    let spoilt =
        (encoded, any::<proptest::sample::Index>(), any::<u8>(), 0_u8..4).prop_map(|(mut bytes, at, byte, how)| {
            if bytes.is_empty() {
                return bytes;
            }
            let at = at.index(bytes.len());
            match how {
                0 => {}
                1 => bytes[at] = byte,
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
            bytes
        });
    prop_oneof![
        5 => spoilt.prop_map(|bytes| (bytes, Vec::new())),
        2 => noise().prop_map(|bytes| (bytes, Vec::new())),
        1 => noise().prop_map(|bytes| (Vec::new(), bytes)),
        1 => "[\\[\\]{}\":,a-z0-9eE+-]{0,30}".prop_map(|text| (Vec::new(), text.into_bytes())),
        1 => Just((Vec::new(), Vec::new())),
    ]
    .prop_map(|(msgpack, json)| wire::DynamicValue { msgpack: msgpack.into(), json: json.into() })
}

/// What a client that knows everything says about itself.
pub fn capabilities() -> Option<wire::ClientCapabilities> {
    Some(wire::ClientCapabilities { write_only_attributes_allowed: true, ..Default::default() })
}

fn told<T>(
    answer: Result<tonic::Response<T>, tonic::Status>,
    of: impl Fn(T) -> Vec<wire::Diagnostic>,
) -> Vec<wire::Diagnostic> {
    let as_diagnostic =
        |status: tonic::Status| vec![wire::Diagnostic { summary: status.message().to_owned(), ..Default::default() }];
    answer.map_or_else(as_diagnostic, |answer| of(answer.into_inner()))
}

/// Calls everything that takes a resource's values, with these; all that the server tells the user comes back.
pub async fn call_everything<P: Provider>(
    server: &Server<P>,
    resource: &dyn AnyResource,
    [config, prior, planned]: [wire::DynamicValue; 3],
) -> Vec<wire::Diagnostic> {
    let request = wire::apply_resource_change::Request {
        type_name: resource.type_name().to_owned(),
        prior_state: Some(prior.clone()),
        planned_state: Some(planned.clone()),
        config: Some(config.clone()),
        ..Default::default()
    };
    let mut found = told(server.apply_resource_change(Request::new(request)).await, |it| it.diagnostics);
    found.extend(call_reads(server, resource, [config, prior, planned]).await);
    found
}

/// Calls everything that changes nothing.
pub async fn call_reads<P: Provider>(
    server: &Server<P>,
    resource: &dyn AnyResource,
    [config, prior, planned]: [wire::DynamicValue; 3],
) -> Vec<wire::Diagnostic> {
    let name = || resource.type_name().to_owned();
    let some = |value: &wire::DynamicValue| Some(value.clone());
    let raw = || Some(wire::RawState { json: prior.json.to_vec(), ..Default::default() });
    let identity = || Some(wire::ResourceIdentityData { identity_data: some(&config) });
    let mut found = Vec::new();

    let request = wire::validate_resource_config::Request {
        type_name: name(),
        config: some(&config),
        client_capabilities: capabilities(),
    };
    found.extend(told(server.validate_resource_config(Request::new(request)).await, |it| it.diagnostics));

    let request = wire::plan_resource_change::Request {
        type_name: name(),
        prior_state: some(&prior),
        proposed_new_state: some(&planned),
        config: some(&config),
        client_capabilities: capabilities(),
        ..Default::default()
    };
    found.extend(told(server.plan_resource_change(Request::new(request)).await, |it| it.diagnostics));

    let request = wire::read_resource::Request {
        type_name: name(),
        current_state: some(&prior),
        client_capabilities: capabilities(),
        ..Default::default()
    };
    found.extend(told(server.read_resource(Request::new(request)).await, |it| it.diagnostics));

    let request = wire::upgrade_resource_state::Request { type_name: name(), version: 0, raw_state: raw() };
    found.extend(told(server.upgrade_resource_state(Request::new(request)).await, |it| it.diagnostics));

    let request = wire::upgrade_resource_identity::Request { type_name: name(), version: 0, raw_identity: raw() };
    found.extend(told(server.upgrade_resource_identity(Request::new(request)).await, |it| it.diagnostics));

    let request = wire::import_resource_state::Request {
        type_name: name(),
        identity: identity(),
        client_capabilities: capabilities(),
        ..Default::default()
    };
    found.extend(told(server.import_resource_state(Request::new(request)).await, |it| it.diagnostics));

    let request = wire::move_resource_state::Request {
        source_type_name: "other_thing".into(),
        source_state: raw(),
        target_type_name: name(),
        ..Default::default()
    };
    found.extend(told(server.move_resource_state(Request::new(request)).await, |it| it.diagnostics));
    found
}

/// Calls everything that takes a data source's configuration.
pub async fn call_data_source<P: Provider>(
    server: &Server<P>,
    type_name: &str,
    config: wire::DynamicValue,
) -> Vec<wire::Diagnostic> {
    let request =
        wire::validate_data_resource_config::Request { type_name: type_name.to_owned(), config: Some(config.clone()) };
    let mut found = told(server.validate_data_resource_config(Request::new(request)).await, |it| it.diagnostics);
    let request =
        wire::read_data_source::Request { type_name: type_name.to_owned(), config: Some(config), ..Default::default() };
    found.extend(told(server.read_data_source(Request::new(request)).await, |it| it.diagnostics));
    found
}

/// Calls everything that takes the provider's configuration.
pub async fn call_provider<P: Provider>(server: &Server<P>, config: wire::DynamicValue) -> Vec<wire::Diagnostic> {
    let request = wire::validate_provider_config::Request { config: Some(config.clone()) };
    let mut found = told(server.validate_provider_config(Request::new(request)).await, |it| it.diagnostics);
    let request = wire::configure_provider::Request { config: Some(config), ..Default::default() };
    found.extend(told(server.configure_provider(Request::new(request)).await, |it| it.diagnostics));
    found
}

/// No panic was caught on the way: one would have become such a diagnostic.
pub fn without_panics(found: &[wire::Diagnostic]) -> Result<(), TestCaseError> {
    let panicked = |diagnostic: &&wire::Diagnostic| {
        [&diagnostic.summary, &diagnostic.detail].iter().any(|text| text.contains("panicked"))
    };
    match found.iter().find(panicked) {
        Some(diagnostic) => Err(TestCaseError::fail(format!("{diagnostic:?}"))),
        None => Ok(()),
    }
}
