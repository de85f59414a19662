//! What the CLIs keep for a resource beside its state goes through every call as it is.

use dr_framework::{Server, Value};
use proptest::prelude::*;
use tfplugin::v6::encode_value;
use tfplugin::wire::tfplugin6 as wire;
use tonic::Request;
use wire::provider_server::Provider as Rpc;

use crate::messages::{Zoo, runtime, server, settings};
use crate::support::{Hints, generate, wire as calls};

/// Two configurations, a state, and what goes with it.
fn cases(server: &Server<Zoo>, name: &str) -> impl Strategy<Value = ([Value; 3], [Vec<u8>; 2])> + use<> {
    let resource = server.resources().find(|resource| resource.type_name() == name).expect("it is in the zoo");
    let config = || generate::config(resource.fields(), &Hints::new());
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    ([config(), config(), generate::state(resource.fields(), &Hints::new())], [bytes(), bytes()])
}

/// What comes back of `private` from a plan, with an earlier one's, from an apply, and from a read.
async fn returned(
    server: &Server<Zoo>,
    name: &str,
    [prior, config, planned]: [&Value; 3],
    [private, earlier]: [&[u8]; 2],
) -> [Vec<u8>; 3] {
    let fields = server.resources().find(|it| it.type_name() == name).expect("it is in the zoo").fields();
    let message = |value: &Value| encode_value(value, &calls::object_type(fields)).ok();
    let plan = wire::plan_resource_change::Request {
        type_name: name.to_owned(),
        prior_state: message(prior),
        proposed_new_state: message(config),
        config: message(config),
        prior_private: private.to_vec(),
        planned_private: earlier.to_vec(),
        client_capabilities: calls::capabilities(),
        ..Default::default()
    };
    let apply = wire::apply_resource_change::Request {
        type_name: name.to_owned(),
        prior_state: message(prior),
        planned_state: message(planned),
        config: message(config),
        planned_private: private.to_vec(),
        ..Default::default()
    };
    let read = wire::read_resource::Request {
        type_name: name.to_owned(),
        current_state: message(prior),
        private: private.to_vec(),
        client_capabilities: calls::capabilities(),
        ..Default::default()
    };
    let planned = server.plan_resource_change(Request::new(plan)).await.expect("an answer").into_inner();
    let applied = server.apply_resource_change(Request::new(apply)).await.expect("an answer").into_inner();
    let read = server.read_resource(Request::new(read)).await.expect("an answer").into_inner();
    [planned.planned_private, applied.private, read.private]
}

/// Rule 20, and what goes with it: an answer's private bytes take the place of those that are stored, also beside an error.
#[test]
fn private_bytes_come_back_from_every_call_also_from_one_that_fails() {
    let (server, runtime) = (server(), runtime());
    for name in ["dr_flat", "dr_chatty"] {
        let run = |([first, second, state], [private, earlier]): ([Value; 3], [Vec<u8>; 2])| {
            let null = Value::Null;
            for values in [[&null, &first, &first], [&state, &second, &second], [&state, &null, &null]] {
                let back = runtime.block_on(returned(&server, name, values, [&private, &earlier]));
                prop_assert_eq!(back, [private.clone(), private.clone(), private.clone()]);
            }
            Ok(())
        };
        if let Err(error) = proptest::test_runner::TestRunner::new(settings(100)).run(&cases(&server, name), run) {
            panic!("{name}: {error}");
        }
    }
}

/// What another type's provider kept is nothing that this one could read.
#[tokio::test]
async fn private_bytes_of_another_type_are_not_taken_over() {
    let request = wire::move_resource_state::Request {
        source_type_name: "old_grown".into(),
        source_state: Some(wire::RawState { json: b"{}".to_vec(), ..Default::default() }),
        source_private: b"theirs".to_vec(),
        target_type_name: "dr_grown".into(),
        ..Default::default()
    };
    let moved = server().move_resource_state(Request::new(request)).await.expect("an answer").into_inner();
    assert!(moved.target_state.is_some(), "{:#?}", moved.diagnostics);
    assert!(moved.target_private.is_empty());
}
