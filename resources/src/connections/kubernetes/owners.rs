//! Who owns a field of an object, from `managedFields`.

use kube::core::DynamicObject;
use serde_json::Value;

/// The managers that own the field at `path`, something below it, or something that it is below; `["spec", "schedule"]`.
pub fn field_owners(object: &DynamicObject, path: &[&str]) -> Vec<String> {
    let entries = object.metadata.managed_fields.as_deref().unwrap_or_default();
    let owns = |fields: &Value| path_is_owned(fields, path);
    let mut owners: Vec<String> = entries
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0)))
        .filter_map(|entry| entry.manager.clone())
        .collect();
    owners.sort();
    owners.dedup();
    owners
}

fn path_is_owned(fields: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match fields.get(format!("f:{first}")) {
        // A leaf: all that is below it is owned with it.
        Some(Value::Object(below)) if below.is_empty() => true,
        Some(below) => path_is_owned(below, rest),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> DynamicObject {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "velero.io/v1", "kind": "Schedule",
            "metadata": { "name": "daily", "managedFields": [
                { "manager": "terraform-provider-dr", "operation": "Apply", "fieldsType": "FieldsV1",
                  "fieldsV1": { "f:spec": { "f:schedule": {}, "f:template": { "f:ttl": {} } } } },
                { "manager": "kubectl-edit", "operation": "Update", "fieldsType": "FieldsV1",
                  "fieldsV1": { "f:spec": { "f:paused": {}, "f:template": { "f:ttl": {} } } } },
                { "manager": "velero", "operation": "Update", "subresource": "status" },
            ] },
        }))
        .unwrap()
    }

    #[test]
    fn a_field_names_its_owners() {
        assert_eq!(field_owners(&object(), &["spec", "paused"]), ["kubectl-edit"]);
        assert_eq!(field_owners(&object(), &["spec", "template", "ttl"]), ["kubectl-edit", "terraform-provider-dr"]);
        assert_eq!(field_owners(&object(), &["spec", "schedule", "below"]), ["terraform-provider-dr"]);
        assert_eq!(field_owners(&object(), &["spec", "template"]).len(), 2);
        assert!(field_owners(&object(), &["status", "phase"]).is_empty());
    }
}
