//! Calls about the provider itself, data sources and functions.

use std::collections::HashMap;

use tfplugin::Value;
use tfplugin::panics;
use tfplugin::wire::tfplugin6 as wire;
use tonic::{Response, Status};

use super::Server;
use super::answer::{decode, encode, guard, report};
use crate::field::object_type;
use crate::model::Model;
use crate::provider::Provider;
use crate::resource::FunctionError;
use crate::validate;

type Answered<T> = Result<Response<T>, Status>;

impl<P: Provider> Server<P> {
    pub(super) fn schemas(&self) -> wire::get_provider_schema::Response {
        wire::get_provider_schema::Response {
            provider: Some((&self.config_schema()).into()),
            resource_schemas: self.resources().map(|it| (it.type_name().to_owned(), (&it.schema()).into())).collect(),
            data_source_schemas: self
                .data_sources()
                .map(|it| (it.type_name().to_owned(), (&it.schema()).into()))
                .collect(),
            functions: self.function_signatures(),
            server_capabilities: Some(capabilities()),
            ..Default::default()
        }
    }

    pub(super) fn function_signatures(&self) -> HashMap<String, wire::Function> {
        self.functions().map(|function| (function.name().to_owned(), (&function.signature()).into())).collect()
    }

    pub(super) fn metadata(&self) -> wire::get_metadata::Response {
        use wire::get_metadata::{DataSourceMetadata, FunctionMetadata, ResourceMetadata};
        let resource = |name: &&str| ResourceMetadata { type_name: (*name).to_owned() };
        let source = |name: &&str| DataSourceMetadata { type_name: (*name).to_owned() };
        wire::get_metadata::Response {
            server_capabilities: Some(capabilities()),
            resources: self.resources.keys().map(resource).collect(),
            data_sources: self.data_sources.keys().map(source).collect(),
            functions: self.functions.keys().map(|name| FunctionMetadata { name: (*name).to_owned() }).collect(),
            ..Default::default()
        }
    }

    pub(super) async fn validate_provider(
        &self,
        request: wire::validate_provider_config::Request,
    ) -> Answered<wire::validate_provider_config::Response> {
        let config = decode(request.config.as_ref(), &object_type(&self.config))?;
        self.learn(&self.config, &config);
        let context = self.context(None);
        let result = guard(async {
            report(&context, validate::validate(&self.config, &config, true))?;
            report(&context, self.provider.validate(&context, &P::Config::from_object(&config)?).await)
        })
        .await;
        let answer = self.answer(context, result);
        Ok(Response::new(wire::validate_provider_config::Response { diagnostics: answer.diagnostics }))
    }

    pub(super) async fn configure(
        &self,
        request: wire::configure_provider::Request,
    ) -> Answered<wire::configure_provider::Response> {
        let config = decode(request.config.as_ref(), &object_type(&self.config))?;
        self.learn(&self.config, &config);
        let context = self.context(request.client_capabilities);
        let result = guard(async { self.provider.configure(&context, P::Config::from_object(&config)?).await }).await;
        let answer = self.answer(context, result);
        Ok(Response::new(wire::configure_provider::Response { diagnostics: answer.diagnostics }))
    }

    pub(super) async fn validate_data(
        &self,
        request: wire::validate_data_resource_config::Request,
    ) -> Answered<wire::validate_data_resource_config::Response> {
        let source = self.data_source(&request.type_name)?;
        let config = decode(request.config.as_ref(), &source.ty)?;
        self.learn(source.inner.fields(), &config);
        let context = self.context(None);
        let result = guard(async { report(&context, source.inner.validate(&context, &config).await) }).await;
        let answer = self.answer(context, result);
        Ok(Response::new(wire::validate_data_resource_config::Response { diagnostics: answer.diagnostics }))
    }

    pub(super) async fn read_data(
        &self,
        request: wire::read_data_source::Request,
    ) -> Answered<wire::read_data_source::Response> {
        let source = self.data_source(&request.type_name)?;
        let config = decode(request.config.as_ref(), &source.ty)?;
        self.learn(source.inner.fields(), &config);
        let context = self.context(request.client_capabilities);
        let result = guard(source.inner.read(&context, &config)).await;
        if let Ok(answer) = &result {
            self.learn(source.inner.fields(), answer);
        }
        let answer = self.answer(context, result);
        let (mut value, mut diagnostics, deferred) = (answer.value, answer.diagnostics, answer.deferred);
        if deferred.is_some() {
            // "Not now" is not an error, whatever the data source could not say; without a value it would be one.
            value = value.or_else(|| Some(Value::unknown()));
            diagnostics.clear();
        }
        let state = value.map(|value| encode(&value, &source.ty)).transpose()?;
        Ok(Response::new(wire::read_data_source::Response { state, diagnostics, deferred }))
    }

    pub(super) async fn call(&self, request: &wire::call_function::Request) -> Answered<wire::call_function::Response> {
        let function = self
            .functions
            .get(request.name.as_str())
            .ok_or_else(|| Status::invalid_argument(format!("there is no function {}", request.name)))?;
        let signature = function.signature();
        let parameter = |index: usize| signature.parameters.get(index).or(signature.variadic.as_ref());
        let mut arguments = Vec::new();
        for (index, argument) in request.arguments.iter().enumerate() {
            let parameter = parameter(index).ok_or_else(|| Status::invalid_argument("too many arguments"))?;
            arguments.push(decode(Some(argument), &parameter.ty)?);
        }
        if arguments.len() < signature.parameters.len() {
            return Err(Status::invalid_argument("too few arguments"));
        }
        let result = panics::catch(async { function.call(&arguments) }).await.unwrap_or_else(|panic| {
            Err(FunctionError {
                text: format!("the function panicked, a bug in the provider: {panic}"),
                argument: None,
            })
        });
        let response = match result {
            Ok(value) => {
                wire::call_function::Response { result: Some(encode(&value, &signature.result)?), error: None }
            }
            Err(error) => wire::call_function::Response {
                result: None,
                error: Some(wire::FunctionError::new(self.redactor.redact(&error.text), error.argument)),
            },
        };
        Ok(Response::new(response))
    }
}

/// What the server can do beyond the oldest protocol 6.
pub(super) fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        generate_resource_config: false,
    }
}
