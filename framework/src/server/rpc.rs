//! Every RPC of protocol 6 that is served, each one line to where it is answered; the others answer that they are not.

use std::future::Future;
use std::time::Instant;

use tfplugin::wire::tfplugin6 as wire;
use tonic::{Request, Response, Status};
use wire::provider_server::Provider as Rpc;

use super::Server;
use crate::provider::Provider;

type Answered<T> = Result<Response<T>, Status>;

/// Leaves a line in the log for each call, with the keys that other providers' logs have.
async fn traced<T>(rpc: &'static str, of: &str, call: impl Future<Output = Answered<T>>) -> Answered<T> {
    let began = Instant::now();
    tracing::trace!(tf_rpc = rpc, tf_resource_type = of, "the call begins");
    let answer = call.await;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(
        tf_rpc = rpc,
        tf_resource_type = of,
        tf_req_duration_ms = took,
        failed = answer.is_err(),
        "the call ended"
    );
    answer
}

#[tonic::async_trait]
impl<P: Provider> Rpc for Server<P> {
    async fn get_metadata(&self, _: Request<wire::get_metadata::Request>) -> Answered<wire::get_metadata::Response> {
        Ok(Response::new(self.metadata()))
    }

    async fn get_provider_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Answered<wire::get_provider_schema::Response> {
        Ok(Response::new(self.schemas()))
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Answered<wire::validate_provider_config::Response> {
        traced("ValidateProviderConfig", "", self.validate_provider(request.into_inner())).await
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Answered<wire::validate_resource_config::Response> {
        let request = request.into_inner();
        let of = request.type_name.clone();
        traced("ValidateResourceConfig", &of, self.validate_resource(request)).await
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Answered<wire::validate_data_resource_config::Response> {
        let request = request.into_inner();
        let of = request.type_name.clone();
        traced("ValidateDataResourceConfig", &of, self.validate_data(request)).await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Answered<wire::upgrade_resource_state::Response> {
        let request = request.into_inner();
        traced("UpgradeResourceState", &request.type_name, self.upgrade_state(&request)).await
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<wire::upgrade_resource_identity::Request>,
    ) -> Answered<wire::upgrade_resource_identity::Response> {
        let request = request.into_inner();
        traced("UpgradeResourceIdentity", &request.type_name, async { self.upgrade_identity(&request) }).await
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Answered<wire::configure_provider::Response> {
        traced("ConfigureProvider", "", self.configure(request.into_inner())).await
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Answered<wire::read_resource::Response> {
        let request = request.into_inner();
        let of = request.type_name.clone();
        traced("ReadResource", &of, self.read(request)).await
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Answered<wire::plan_resource_change::Response> {
        let request = request.into_inner();
        let of = request.type_name.clone();
        traced("PlanResourceChange", &of, self.plan(request)).await
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Answered<wire::apply_resource_change::Response> {
        let request = request.into_inner();
        let of = request.type_name.clone();
        traced("ApplyResourceChange", &of, self.apply(request)).await
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Answered<wire::import_resource_state::Response> {
        let request = request.into_inner();
        let of = request.type_name.clone();
        traced("ImportResourceState", &of, self.import(request)).await
    }

    async fn move_resource_state(
        &self,
        request: Request<wire::move_resource_state::Request>,
    ) -> Answered<wire::move_resource_state::Response> {
        let request = request.into_inner();
        let of = request.target_type_name.clone();
        traced("MoveResourceState", &of, self.move_state(request)).await
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Answered<wire::read_data_source::Response> {
        let request = request.into_inner();
        let of = request.type_name.clone();
        traced("ReadDataSource", &of, self.read_data(request)).await
    }

    async fn get_functions(&self, _: Request<wire::get_functions::Request>) -> Answered<wire::get_functions::Response> {
        Ok(Response::new(wire::get_functions::Response {
            functions: self.function_signatures(),
            diagnostics: Vec::new(),
        }))
    }

    async fn call_function(
        &self,
        request: Request<wire::call_function::Request>,
    ) -> Answered<wire::call_function::Response> {
        self.call(request.get_ref()).await
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Answered<wire::get_resource_identity_schemas::Response> {
        let schema = |resource: &dyn crate::AnyResource| {
            resource.identity_schema().map(|schema| (resource.type_name().to_owned(), (&schema).into()))
        };
        Ok(Response::new(wire::get_resource_identity_schemas::Response {
            identity_schemas: self.resources().filter_map(schema).collect(),
            diagnostics: Vec::new(),
        }))
    }

    async fn stop_provider(&self, _: Request<wire::stop_provider::Request>) -> Answered<wire::stop_provider::Response> {
        self.stopper.stop();
        Ok(Response::new(wire::stop_provider::Response::default()))
    }
}
