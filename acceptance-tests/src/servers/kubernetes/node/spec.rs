//! What a Pod's spec refers to: Secrets, ConfigMaps and claims, as environment and as mounted folders.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::client::Kubernetes;
use super::sandbox::Mount;
use crate::parts;

/// Looks things up on the API server.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    pub(super) api: &'a Kubernetes,
    pub(super) kubeconfig: &'a Path,
}

impl Resolver<'_> {
    /// A container's variables: the machine's programs and the cluster's address, then what its spec says.
    pub(super) fn environment(&self, pod: &Value, container: &Value) -> Result<Vec<(String, String)>> {
        let restic = parts::RESTIC.get()?;
        let programs = restic.parent().context("restic is in a folder")?.to_string_lossy().into_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut variables = vec![
            ("PATH".to_owned(), format!("{programs}:{path}")),
            ("HOME".to_owned(), "/tmp".to_owned()),
            ("HOSTNAME".to_owned(), field(pod, "/metadata/name").to_owned()),
            ("KUBECONFIG".to_owned(), self.kubeconfig.to_string_lossy().into_owned()),
            ("RESTIC_BINARY".to_owned(), restic.to_string_lossy().into_owned()),
        ];
        let namespace = field(pod, "/metadata/namespace");
        for source in list(container, "/envFrom") {
            let prefix = field(source, "/prefix");
            for (kind, reference) in [("Secret", "/secretRef"), ("ConfigMap", "/configMapRef")] {
                let Some(reference) = source.pointer(reference) else { continue };
                let values = self.values(kind, namespace, reference)?;
                variables.extend(values.into_iter().map(|(key, value)| (format!("{prefix}{key}"), text(value))));
            }
        }
        for variable in list(container, "/env") {
            if let Some(value) = self.variable(pod, variable)? {
                variables.push((field(variable, "/name").to_owned(), value));
            }
        }
        Ok(variables)
    }

    fn variable(&self, pod: &Value, variable: &Value) -> Result<Option<String>> {
        let Some(source) = variable.get("valueFrom") else { return Ok(Some(field(variable, "/value").to_owned())) };
        if let Some(path) = source.pointer("/fieldRef/fieldPath").and_then(Value::as_str) {
            return Ok(Some(field(pod, &format!("/{}", path.replace('.', "/"))).to_owned()));
        }
        for (kind, reference) in [("Secret", "/secretKeyRef"), ("ConfigMap", "/configMapKeyRef")] {
            let Some(reference) = source.pointer(reference) else { continue };
            let values = self.values(kind, field(pod, "/metadata/namespace"), reference)?;
            let key = field(reference, "/key");
            let found = values.into_iter().find(|(name, _)| name == key).map(|(_, value)| text(value));
            if found.is_none() && reference["optional"] != true {
                bail!("{kind} {} has no {key}", field(reference, "/name"));
            }
            return Ok(found);
        }
        bail!("{variable} comes from where this node can't look")
    }

    /// The values of a Secret or ConfigMap; none of an optional one that isn't there.
    fn values(&self, kind: &str, namespace: &str, reference: &Value) -> Result<Vec<(String, Vec<u8>)>> {
        let name = [field(reference, "/name"), field(reference, "/secretName")].concat();
        let Some(object) = self.api.get("v1", kind, namespace, &name)? else {
            if reference["optional"] == true {
                return Ok(Vec::new());
            }
            bail!("there is no {kind} {namespace}/{name}");
        };
        let data = object["data"].as_object().into_iter().flatten();
        data.map(|(key, value)| {
            let value = value.as_str().unwrap_or_default();
            let bytes = if kind == "Secret" { STANDARD.decode(value)? } else { value.as_bytes().to_vec() };
            Ok((key.clone(), bytes))
        })
        .collect()
    }

    /// What a container sees where. `folder` is the Pod's, for what lives as long as it does.
    pub(super) fn mounts(&self, pod: &Value, container: &Value, folder: &Path) -> Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        for mount in list(container, "/volumeMounts") {
            let name = field(mount, "/name");
            let volume = list(pod, "/spec/volumes").find(|volume| volume["name"] == name);
            let volume = volume.with_context(|| format!("there is no volume {name}"))?;
            let source = self.volume(pod, volume, &folder.join("volumes").join(name))?;
            mounts.push(Mount {
                source: source.join(field(mount, "/subPath")),
                target: field(mount, "/mountPath").to_owned(),
                read_only: mount["readOnly"] == true,
            });
        }
        Ok(mounts)
    }

    fn volume(&self, pod: &Value, volume: &Value, own: &Path) -> Result<PathBuf> {
        let namespace = field(pod, "/metadata/namespace");
        if let Some(claim) = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str) {
            return self.claim(namespace, claim);
        }
        if let Some(path) = volume.pointer("/hostPath/path").and_then(Value::as_str) {
            return Ok(PathBuf::from(path));
        }
        fs::create_dir_all(own)?;
        for (kind, source) in [("Secret", "/secret"), ("ConfigMap", "/configMap")] {
            if let Some(source) = volume.pointer(source) {
                let values = self.values(kind, namespace, source)?;
                write_files(own, source, &values)?;
                return Ok(own.to_owned());
            }
        }
        if volume.get("emptyDir").is_some() {
            return Ok(own.to_owned());
        }
        bail!("this node has no volumes like {volume}")
    }

    /// The folder of a claim that is bound.
    pub(super) fn claim(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let claim = self.api.get("v1", "PersistentVolumeClaim", namespace, name)?;
        let claim = claim.with_context(|| format!("there is no claim {namespace}/{name}"))?;
        if claim["status"]["phase"] != "Bound" {
            bail!("the claim {namespace}/{name} isn't bound");
        }
        let volume = self.api.get("v1", "PersistentVolume", "", field(&claim, "/spec/volumeName"))?;
        let volume = volume.context("a claim is bound to no volume")?;
        Ok(PathBuf::from(field(&volume, "/spec/hostPath/path")))
    }
}

fn write_files(folder: &Path, source: &Value, values: &[(String, Vec<u8>)]) -> Result<()> {
    let chosen: Vec<&Value> = list(source, "/items").collect();
    for (key, bytes) in values {
        let item = chosen.iter().find(|item| item["key"] == **key);
        match item {
            Some(item) => fs::write(folder.join(field(item, "/path")), bytes)?,
            None if chosen.is_empty() => fs::write(folder.join(key), bytes)?,
            None => {}
        }
    }
    Ok(())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A field's text, empty where there is none.
pub(super) fn field<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A field's items, none where there is none.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
