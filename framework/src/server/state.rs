//! States and identities that older versions wrote.

use std::fmt::Display;

use tfplugin::wire::tfplugin6 as wire;
use tfplugin::{Value, json, panics, v6};
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
        let result = panics::catch(async { self.upgraded(resource, request) }).await.unwrap_or_else(|panic| {
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
                diagnostics: self.out(unreadable("state", &request.type_name, &why)),
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
        let identity = match v6::decode_state(request.raw_identity.as_ref(), &schema.ty()) {
            Ok(identity) => identity,
            Err(why) => {
                return Ok(Response::new(wire::upgrade_resource_identity::Response {
                    upgraded_identity: None,
                    diagnostics: self.out(unreadable("identity", &request.type_name, &why)),
                }));
            }
        };
        // OpenTofu 1.12 asks for it after a move too, with the identity that the resource had as another type.
        let is_ours = schema
            .attributes
            .iter()
            .all(|attribute| !attribute.required_for_import || !identity.attribute(&attribute.name).is_null());
        let identity = if is_ours { identity } else { Value::Null };
        let identity_data = Some(encode(&identity, &schema.ty())?);
        Ok(Response::new(wire::upgrade_resource_identity::Response {
            upgraded_identity: Some(wire::ResourceIdentityData { identity_data }),
            diagnostics: Vec::new(),
        }))
    }

    fn upgraded(
        &self,
        resource: &Typed<Box<dyn AnyResource>>,
        request: &wire::upgrade_resource_state::Request,
    ) -> Result<Value, String> {
        let upgrades = resource.inner.upgrades();
        let from = usize::try_from(request.version).map_err(|_| format!("there is no version {}", request.version))?;
        let Some(missing) = upgrades.get(from..) else {
            return Err(format!("version {from} is newer than this provider's version {}", upgrades.len()));
        };
        let raw = request.raw_state.as_ref();
        if missing.is_empty() {
            return there(v6::decode_state(raw, &resource.ty).map_err(|error| error.to_string())?);
        }
        let mut state = there(v6::decode_untyped_state(raw).map_err(|error| error.to_string())?)?;
        // An upgrade that fails may say what it found.
        self.learn(resource.inner.fields(), &state);
        for upgrade in missing {
            state = upgrade(state)?;
        }
        let of_today = |state| json::decode_lenient(json::encode_untyped(&state)?.as_bytes(), &resource.ty);
        there(of_today(state).map_err(|error| error.to_string())?)
    }
}

fn unreadable(what: &str, type_name: &str, why: &dyn Display) -> Diagnostics {
    Diagnostics::error(
        format!("Unable to read the stored {what} of {type_name}"),
        format!(
            "{why}. The state is unchanged; go back to the version of the provider that wrote it, or forget the resource \
             and import it."
        ),
    )
}

fn there(state: Value) -> Result<Value, String> {
    if state.is_null() { Err("the stored state is empty".to_owned()) } else { Ok(state) }
}
