//! A blocking S3 client, for what a test looks at or breaks behind the provider's back.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_credential_types::Credentials as AwsCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
use aws_sdk_s3::primitives::ByteStream;
use tokio::runtime::Runtime;

/// A key of an S3 server.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: String,
}

/// An S3 server, seen by a client with path-style addresses.
#[derive(Debug, Clone)]
pub struct S3 {
    /// `http://127.0.0.1:4321`
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// A key that may do everything.
    pub credentials: Credentials,
    client: Client,
    runtime: Arc<Runtime>,
}

impl S3 {
    /// A client for `endpoint`.
    #[expect(clippy::disallowed_methods, reason = "what tests look with must not go through what they test")]
    pub fn new(endpoint: &str, region: &str, credentials: Credentials) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let key = AwsCredentials::from_keys(&credentials.id, &credentials.secret, None);
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .credentials_provider(key)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Ok(Self {
            endpoint: endpoint.to_owned(),
            region: region.to_owned(),
            credentials,
            client: Client::from_conf(config),
            runtime: Arc::new(runtime),
        })
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, bucket: &str) -> Result<()> {
        self.runtime.block_on(self.client.create_bucket().bucket(bucket).send()).context("cannot make the bucket")?;
        Ok(())
    }

    /// The keys below a prefix, in order.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        let mut pages = self.client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        self.runtime.block_on(async {
            let mut keys = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.context("cannot list")?;
                keys.extend(page.contents().iter().filter_map(|object| object.key()).map(str::to_owned));
            }
            Ok(keys)
        })
    }

    /// An object's bytes.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        self.runtime.block_on(async {
            let answer = self.client.get_object().bucket(bucket).key(key).send().await.context("cannot get")?;
            Ok(answer.body.collect().await.context("cannot read to the end")?.to_vec())
        })
    }

    /// Writes an object.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let body = ByteStream::from(bytes.to_vec());
        self.runtime
            .block_on(self.client.put_object().bucket(bucket).key(key).body(body).send())
            .context("cannot put")?;
        Ok(())
    }

    /// Writes an object that must not exist.
    pub fn put_new(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let put = self.client.put_object().bucket(bucket).key(key).body(ByteStream::from(bytes.to_vec()));
        self.runtime.block_on(put.if_none_match("*").send()).context("cannot put a new object")?;
        Ok(())
    }

    /// Deletes an object.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.runtime.block_on(self.client.delete_object().bucket(bucket).key(key).send()).context("cannot delete")?;
        Ok(())
    }
}
