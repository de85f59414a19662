//! States and identities that older versions wrote.

use tfplugin::wire::tfplugin6 as wire;
use tfplugin::{json, panics, v6};
use tonic::{Response, Status};

use super::answer::encode;
use super::{Server, Typed};
use crate::diagnostics::Diagnostics;
use crate::erased::AnyResource;
use crate::plan;
use crate::provider::Provider;

impl<P: Provider> Server<P> {
    pub(super) async fn upgrade_state(
        &self,
        request: &wire::upgrade_resource_state::Request,
    ) -> Result<Response<wire::upgrade_resource_state::Response>, Status> {
        let resource = self.resource(&request.type_name)?;
        let result = panics::catch(async { upgraded(resource, request) }).await.unwrap_or_else(|panic| {
            Err(format!("The upgrade of the state panicked, which is a bug in the provider: {panic}"))
        });
        let response = match result {
            Ok(value) => {
                self.learn(resource.inner.fields(), &value);
                let value = plan::without_write_only(resource.inner.fields(), &value);
                wire::upgrade_resource_state::Response {
                    upgraded_state: Some(encode(&value, &resource.ty)?),
                    diagnostics: Vec::new(),
                }
            }
            Err(why) => wire::upgrade_resource_state::Response {
                upgraded_state: None,
                diagnostics: self.out(Diagnostics::error(
                    format!("Unable to read the stored state of {}", request.type_name),
                    format!("{why}. The state is unchanged; go back to the version of the provider that wrote it, or forget the resource and import it."),
                )),
            },
        };
        Ok(Response::new(response))
    }

    pub(super) fn upgrade_identity(
        &self,
        request: &wire::upgrade_resource_identity::Request,
    ) -> Result<Response<wire::upgrade_resource_identity::Response>, Status> {
        let resource = self.resource(&request.type_name)?;
        let Some(schema) = resource.inner.identity_schema() else {
            return Err(Status::invalid_argument(format!("{} has no identity", request.type_name)));
        };
        let identity = v6::decode_state(request.raw_identity.as_ref(), &schema.ty())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        // OpenTofu 1.12 asks for it after a move too, with the identity that the resource had as another type.
        let is_ours = |identity: &tfplugin::Value| {
            let tfplugin::Value::Object(held) = identity else { return false };
            schema.attributes.iter().all(|attribute| {
                !attribute.required_for_import || held.get(&attribute.name).is_some_and(|value| !value.is_null())
            })
        };
        let identity = if is_ours(&identity) { identity } else { tfplugin::Value::Null };
        let identity_data = Some(encode(&identity, &schema.ty())?);
        Ok(Response::new(wire::upgrade_resource_identity::Response {
            upgraded_identity: Some(wire::ResourceIdentityData { identity_data }),
            diagnostics: Vec::new(),
        }))
    }
}

fn upgraded(
    resource: &Typed<Box<dyn AnyResource>>,
    request: &wire::upgrade_resource_state::Request,
) -> Result<tfplugin::Value, String> {
    let upgrades = resource.inner.upgrades();
    let from = usize::try_from(request.version).map_err(|_| format!("there is no version {}", request.version))?;
    let Some(missing) = upgrades.get(from..) else {
        return Err(format!("version {from} is newer than this provider's version {}", upgrades.len()));
    };
    if missing.is_empty() {
        let state = v6::decode_state(request.raw_state.as_ref(), &resource.ty).map_err(|error| error.to_string())?;
        return there(state);
    }
    let bytes = request.raw_state.as_ref().map(|state| state.json.as_ref()).unwrap_or_default();
    let mut state: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    for upgrade in missing {
        state = upgrade(state)?;
    }
    let state = json::decode_lenient(state.to_string().as_bytes(), &resource.ty).map_err(|error| error.to_string())?;
    there(state)
}

fn there(state: tfplugin::Value) -> Result<tfplugin::Value, String> {
    if state.is_null() { Err("the stored state is empty".to_owned()) } else { Ok(state) }
}
