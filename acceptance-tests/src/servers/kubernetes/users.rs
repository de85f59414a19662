//! Users who may do only what a test grants them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cluster::Cluster;

/// The namespace of their ServiceAccounts.
const NAMESPACE: &str = "users";

/// Something that a user may do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// In this namespace, or in all of them and outside of them.
    pub namespace: Option<String>,
    /// The `rules` of a Role or ClusterRole.
    pub rules: Value,
}

impl Grant {
    /// In all namespaces and outside of them.
    pub fn everywhere(rules: Value) -> Self {
        Self { namespace: None, rules }
    }

    /// In one namespace, which has to exist.
    pub fn within(namespace: &str, rules: Value) -> Self {
        Self { namespace: Some(namespace.to_owned()), rules }
    }
}

impl Cluster {
    /// The token of a ServiceAccount called `name` that may do what is granted, and nothing else. Granting again to
    /// the same name replaces what was granted.
    pub fn service_user(&self, name: &str, grants: &[Grant]) -> Result<String> {
        self.namespace(NAMESPACE)?;
        self.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": NAMESPACE },
        }))?;
        for (number, grant) in grants.iter().enumerate() {
            self.grant(name, &format!("test-{name}-{number}"), grant)?;
        }
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}/token");
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        let answer = self.api.request("POST", &path, "application/json", serde_json::to_vec(&request)?)?;
        Ok(answer["status"]["token"].as_str().context("a TokenRequest without a token")?.to_owned())
    }

    /// Writes the kubeconfig of a user who may do what is granted.
    pub fn write_kubeconfig(&self, user: &str, grants: &[Grant], kubeconfig: &Path) -> Result<()> {
        let token = self.service_user(user, grants)?;
        Ok(fs::write(kubeconfig, self.kubeconfig_for(&token))?)
    }

    /// The same; what is returned puts it in the place of the administrator's in a configuration.
    pub fn limit(&self, user: &str, grants: &[Grant], kubeconfig: &Path) -> Result<impl Fn(&str) -> String + use<>> {
        self.write_kubeconfig(user, grants, kubeconfig)?;
        let (admin, limited) = (format!("{:?}", self.kubeconfig_path()), format!("{kubeconfig:?}"));
        Ok(move |configuration: &str| configuration.replace(&admin, &limited))
    }

    /// Makes a namespace, or finds it made.
    pub fn namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.api.apply(&namespace).map(|_| ())
    }

    fn grant(&self, user: &str, role: &str, grant: &Grant) -> Result<()> {
        let (kind, binding) = match grant.namespace {
            Some(_) => ("Role", "RoleBinding"),
            None => ("ClusterRole", "ClusterRoleBinding"),
        };
        let mut metadata = json!({ "name": role });
        if let Some(namespace) = &grant.namespace {
            metadata["namespace"] = json!(namespace);
        }
        self.api.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": metadata,
            "rules": grant.rules,
        }))?;
        self.api.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": binding,
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": user, "namespace": NAMESPACE }],
        }))?;
        Ok(())
    }
}
