//! Calls about managed resources.

use tfplugin::wire::tfplugin6 as wire;
use tfplugin::{Value, v6};
use tonic::{Response, Status};

use super::Server;
use super::answer::{decode, encode, guard, report};
use crate::diagnostics::Diagnostics;
use crate::erased::{AnyResource, identity_from};
use crate::provider::Provider;
use crate::resource::{ImportBy, MoveFrom};

type Answered<T> = Result<Response<T>, Status>;

impl<P: Provider> Server<P> {
    pub(super) async fn validate_resource(
        &self,
        request: wire::validate_resource_config::Request,
    ) -> Answered<wire::validate_resource_config::Response> {
        let resource = self.resource(&request.type_name)?;
        let config = decode(request.config.as_ref(), &resource.ty)?;
        self.learn(resource.inner.fields(), &config);
        let context = self.context(request.client_capabilities);
        let found = guard(async { report(&context, resource.inner.validate(&context, &config).await) }).await;
        let answer = self.answer(context, found);
        Ok(Response::new(wire::validate_resource_config::Response { diagnostics: answer.diagnostics }))
    }

    pub(super) async fn read(&self, request: wire::read_resource::Request) -> Answered<wire::read_resource::Response> {
        let resource = self.resource(&request.type_name)?;
        let state = decode(request.current_state.as_ref(), &resource.ty)?;
        self.learn(resource.inner.fields(), &state);
        let context = self.context(request.client_capabilities);
        let result = guard(resource.inner.read(&context, &state)).await;
        if let Ok(Some(stored)) = &result {
            self.learn(resource.inner.fields(), &stored.state);
        }
        let answer = self.answer(context, result);
        let (new_state, new_identity) = match &answer.value {
            Some(Some(stored)) => (
                Some(encode(&stored.state, &resource.ty)?),
                identity(resource.inner.as_ref(), stored.identity.as_ref())?,
            ),
            Some(None) => (Some(encode(&Value::Null, &resource.ty)?), None),
            None => (None, None),
        };
        let (diagnostics, deferred) = (answer.diagnostics, answer.deferred);
        let response =
            wire::read_resource::Response { new_state, diagnostics, private: request.private, deferred, new_identity };
        Ok(Response::new(response))
    }

    pub(super) async fn plan(
        &self,
        request: wire::plan_resource_change::Request,
    ) -> Answered<wire::plan_resource_change::Response> {
        let resource = self.resource(&request.type_name)?;
        let prior = decode(request.prior_state.as_ref(), &resource.ty)?;
        let config = decode(request.config.as_ref(), &resource.ty)?;
        let proposed = decode(request.proposed_new_state.as_ref(), &resource.ty)?;
        for value in [&prior, &config, &proposed] {
            self.learn(resource.inner.fields(), value);
        }
        let context = self.context(request.client_capabilities);
        let planned_private = request.prior_private;
        if proposed.is_null() {
            let result = guard(resource.inner.plan_destroy(&context, &prior)).await;
            let answer = self.answer(context, result);
            let planned_state = Some(encode(&Value::Null, &resource.ty)?);
            let diagnostics = answer.diagnostics;
            return Ok(Response::new(wire::plan_resource_change::Response {
                planned_state,
                diagnostics,
                planned_private,
                ..Default::default()
            }));
        }
        let result = guard(resource.inner.plan(&context, &prior, &config, &proposed)).await;
        let answer = self.answer(context, result);
        let mut response = wire::plan_resource_change::Response {
            diagnostics: answer.diagnostics,
            deferred: answer.deferred,
            planned_private,
            ..Default::default()
        };
        if let Some(planned) = answer.value {
            response.planned_state = Some(encode(&planned.state, &resource.ty)?);
            response.requires_replace = planned.replace.iter().map(Into::into).collect();
            response.planned_identity = identity(resource.inner.as_ref(), planned.identity.as_ref())?;
        }
        Ok(Response::new(response))
    }

    pub(super) async fn apply(
        &self,
        request: wire::apply_resource_change::Request,
    ) -> Answered<wire::apply_resource_change::Response> {
        self.apply_begins();
        let resource = self.resource(&request.type_name)?;
        let prior = decode(request.prior_state.as_ref(), &resource.ty)?;
        let planned = decode(request.planned_state.as_ref(), &resource.ty)?;
        let config = decode(request.config.as_ref(), &resource.ty)?;
        for value in [&prior, &planned, &config] {
            self.learn(resource.inner.fields(), value);
        }
        let context = self.context(None);
        let private = request.planned_private;
        if planned.is_null() {
            let result = guard(resource.inner.delete(&context, &prior)).await;
            let answer = self.answer(context, result);
            // Without a new state the CLI keeps what it has, so that a failed destroy forgets nothing.
            let new_state = answer.value.is_some().then(|| encode(&Value::Null, &resource.ty)).transpose()?;
            let diagnostics = answer.diagnostics;
            return Ok(Response::new(wire::apply_resource_change::Response {
                new_state,
                diagnostics,
                private,
                ..Default::default()
            }));
        }
        let result = guard(resource.inner.apply(&context, &prior, &planned, &config)).await;
        if let Ok(stored) = &result {
            self.learn(resource.inner.fields(), &stored.state);
        }
        let answer = self.answer(context, result);
        let mut response =
            wire::apply_resource_change::Response { diagnostics: answer.diagnostics, private, ..Default::default() };
        if let Some(stored) = answer.value {
            response.new_state = Some(encode(&stored.state, &resource.ty)?);
            response.new_identity = identity(resource.inner.as_ref(), stored.identity.as_ref())?;
        }
        Ok(Response::new(response))
    }

    pub(super) async fn import(
        &self,
        request: wire::import_resource_state::Request,
    ) -> Answered<wire::import_resource_state::Response> {
        let resource = self.resource(&request.type_name)?;
        let context = self.context(request.client_capabilities);
        let by = match (&request.identity, resource.inner.identity_schema()) {
            (Some(given), Some(schema)) => {
                let value = decode(given.identity_data.as_ref(), &schema.ty())?;
                identity_from(&value).map(ImportBy::Identity)
            }
            _ => Ok(ImportBy::Id(request.id)),
        };
        let result = match by {
            Ok(by) => guard(resource.inner.import(&context, by)).await,
            Err(error) => Err(error),
        };
        if let Ok(stored) = &result {
            self.learn(resource.inner.fields(), &stored.state);
        }
        let answer = self.answer(context, result);
        let mut response = wire::import_resource_state::Response {
            diagnostics: answer.diagnostics,
            deferred: answer.deferred,
            ..Default::default()
        };
        if let Some(stored) = answer.value {
            response.imported_resources.push(wire::import_resource_state::ImportedResource {
                type_name: request.type_name,
                state: Some(encode(&stored.state, &resource.ty)?),
                private: Default::default(),
                identity: identity(resource.inner.as_ref(), stored.identity.as_ref())?,
            });
        }
        Ok(Response::new(response))
    }

    pub(super) async fn move_state(
        &self,
        request: wire::move_resource_state::Request,
    ) -> Answered<wire::move_resource_state::Response> {
        let resource = self.resource(&request.target_type_name)?;
        let context = self.context(None);
        let result = guard(async {
            let (from, to) = (&request.source_type_name, &request.target_type_name);
            let source = MoveFrom {
                provider: request.source_provider_address.clone(),
                type_name: from.clone(),
                version: request.source_schema_version,
                state: v6::decode_untyped_state(request.source_state.as_ref())
                    .map_err(|error| cannot_move(from, to, &format!("Its state can't be read: {error}.")))?,
            };
            let provider = &source.provider;
            let strange =
                || cannot_move(from, to, &format!("{to} does not take over the state of {from} from {provider}."));
            resource.inner.move_from(&context, &source).await?.ok_or_else(strange)
        })
        .await;
        if let Ok(stored) = &result {
            self.learn(resource.inner.fields(), &stored.state);
        }
        let answer = self.answer(context, result);
        let mut response =
            wire::move_resource_state::Response { diagnostics: answer.diagnostics, ..Default::default() };
        if let Some(stored) = answer.value {
            response.target_state = Some(encode(&stored.state, &resource.ty)?);
            response.target_identity = identity(resource.inner.as_ref(), stored.identity.as_ref())?;
        }
        Ok(Response::new(response))
    }
}

fn cannot_move(from: &str, to: &str, why: &str) -> Diagnostics {
    Diagnostics::error(format!("Unable to move {from} to {to}"), why)
}

fn identity(resource: &dyn AnyResource, value: Option<&Value>) -> Result<Option<wire::ResourceIdentityData>, Status> {
    let (Some(schema), Some(value)) = (resource.identity_schema(), value) else { return Ok(None) };
    Ok(Some(wire::ResourceIdentityData { identity_data: Some(encode(value, &schema.ty())?) }))
}
