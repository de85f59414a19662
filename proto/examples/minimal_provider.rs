//! A provider with nothing but one function, that gives back its argument. With `-debug` it is run by hand.

use std::process::ExitCode;
use std::sync::Arc;

use tfplugin::handshake::Environment;
use tfplugin::logging::{self, HclogFormat, Redact};
use tfplugin::server::{Options, Start, serve};
use tfplugin::wire::tfplugin6::provider_server::Provider;
use tfplugin::wire::tfplugin6::{
    self, call_function, configure_provider, get_functions, get_provider_schema, get_resource_identity_schemas,
    stop_provider, validate_provider_config,
};
use tfplugin::{Function, Parameter, Schema, Type, v6};
use tonic::{Request, Response, Status};
use tracing_subscriber::fmt::format::JsonFields;

struct Minimal;

fn echo() -> Function {
    let value = Parameter {
        name: "value".to_owned(),
        ty: Type::Dynamic,
        description: "Anything".to_owned(),
        allow_null: true,
        allow_unknown: true,
    };
    Function {
        summary: "Gives back its argument".to_owned(),
        description: "Gives back its argument.".to_owned(),
        parameters: vec![value],
        variadic: None,
        result: Type::Dynamic,
    }
}

#[tonic::async_trait]
impl Provider for Minimal {
    async fn get_provider_schema(
        &self,
        _: Request<get_provider_schema::Request>,
    ) -> Result<Response<get_provider_schema::Response>, Status> {
        tracing::info!(functions = 1, "Gave the schema");
        Ok(Response::new(get_provider_schema::Response {
            provider: Some(tfplugin6::Schema::from(&Schema::default())),
            functions: [("echo".to_owned(), tfplugin6::Function::from(&echo()))].into(),
            ..Default::default()
        }))
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<get_resource_identity_schemas::Request>,
    ) -> Result<Response<get_resource_identity_schemas::Response>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_functions(
        &self,
        _: Request<get_functions::Request>,
    ) -> Result<Response<get_functions::Response>, Status> {
        let functions = [("echo".to_owned(), tfplugin6::Function::from(&echo()))].into();
        Ok(Response::new(get_functions::Response { functions, diagnostics: Vec::new() }))
    }

    async fn validate_provider_config(
        &self,
        _: Request<validate_provider_config::Request>,
    ) -> Result<Response<validate_provider_config::Response>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn configure_provider(
        &self,
        _: Request<configure_provider::Request>,
    ) -> Result<Response<configure_provider::Response>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn call_function(
        &self,
        request: Request<call_function::Request>,
    ) -> Result<Response<call_function::Response>, Status> {
        let arguments = request.into_inner().arguments;
        if std::env::var_os("MINIMAL_PROVIDER_PANICS").is_some() {
            panic!("asked to");
        }
        let response = match v6::decode_value(arguments.first(), &Type::Dynamic) {
            Ok(value) => {
                let result = v6::encode_value(&value, &Type::Dynamic);
                call_function::Response {
                    result: Some(result.map_err(|error| Status::internal(error.to_string()))?),
                    error: None,
                }
            }
            Err(error) => call_function::Response {
                result: None,
                error: Some(tfplugin6::FunctionError::new(error.to_string(), Some(0))),
            },
        };
        Ok(Response::new(response))
    }

    async fn stop_provider(
        &self,
        _: Request<stop_provider::Request>,
    ) -> Result<Response<stop_provider::Response>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let redact: Redact = Arc::new(ToOwned::to_owned);
    logging::install_panic_hook(redact.clone());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .fmt_fields(JsonFields::new())
        .event_format(HclogFormat::new("provider.minimal").redacting(redact))
        .init();
    let start = match std::env::args().nth(1).as_deref() {
        Some("-debug") => Start::ForDebugging { addresses: vec!["example.com/test/minimal".to_owned()] },
        _ => Start::ByHost,
    };
    let options = Options {
        environment: Environment::of_this_process(),
        explanation: "This is a provider for Terraform and OpenTofu, and nothing to run by hand".to_owned(),
        start,
        ..Options::default()
    };
    match serve(Minimal, options).await {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
