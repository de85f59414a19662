//! A prefix of an S3 bucket as an object store.

mod error;
mod folders;
#[cfg(test)]
mod tests;

use super::{Condition, Entry, Object, ObjectStore, Put, StoreError};
use crate::clock;
use crate::connections::s3::Server;
use async_trait::async_trait;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::{Bytes, BytesMut};
use error::{Answer, Failure};
use std::sync::Arc;
use std::time::Duration;

/// How often what the S3 client does not repeat by itself is tried.
const ATTEMPTS: u32 = 4;
/// To answer a request whose body is small.
const PATIENCE: Duration = Duration::from_secs(60);
/// A line that is slower than this is taken for one that drips.
const SLOWEST_BYTES_PER_SECOND: u64 = 32 * 1024;

/// The objects of a bucket below a prefix.
pub struct S3Store {
    server: Arc<Server>,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    place: String,
    /// The connection's name in the provider block.
    connection: Option<String>,
    patience: Duration,
}

/// What is said of a server with such a name that does not answer.
const INSIDE: &str = "Its name is one of a cluster's own network: from outside, `via` of the connection leads there through the \
                      cluster's API server";

impl S3Store {
    pub(crate) fn new(
        server: Arc<Server>,
        bucket: &str,
        prefix: &str,
        place: String,
        connection: Option<String>,
    ) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        S3Store { server, bucket: bucket.to_owned(), prefix, place, connection, patience: PATIENCE }
    }

    /// The time that moving `bytes` may take.
    fn allowance(&self, bytes: u64) -> Duration {
        clock::scaled(self.patience + moving(bytes))
    }

    fn settings(&self, bytes: u64) -> Builder {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(self.allowance(bytes)).build();
        Builder::default().timeout_config(timeouts)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A failure as this store says it: with its place, without its keys.
    fn failed(&self, failure: Failure) -> StoreError {
        match failure.into_error(&self.place, self.connection.as_deref(), &self.server.redactor) {
            StoreError::Unreachable { place, reason } if self.server.is_inside => {
                StoreError::Unreachable { place, reason: format!("{reason}. {INSIDE}") }
            }
            error => error,
        }
    }

    /// Makes a request that moves `bytes`, unless it is known that nobody is there to answer.
    async fn ask<T>(&self, bytes: u64, request: impl Future<Output = Result<T, Failure>>) -> Result<T, StoreError> {
        let moving = clock::scaled(moving(bytes));
        self.server.line.ask(moving, request).await.map_err(|failure| self.failed(failure))
    }

    /// One download, tried again when it breaks off: the client repeats requests, not bodies.
    async fn download(&self, name: &str, range: Option<(u64, u64)>) -> Result<Option<Object>, Failure> {
        let mut attempt = 1;
        loop {
            match self.download_once(name, range).await {
                Err(failure) if failure.is(Answer::CutOff) && attempt < ATTEMPTS => {
                    clock::sleep(Duration::from_secs(1 << attempt)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn download_once(&self, name: &str, range: Option<(u64, u64)>) -> Result<Option<Object>, Failure> {
        let mut request = self.server.client.get_object().bucket(&self.bucket).key(self.key(name));
        if let Some((offset, length)) = range {
            request = request.range(format!("bytes={offset}-{}", offset + length.saturating_sub(1)));
        }
        let output = match request.customize().config_override(self.settings(0)).send().await {
            Ok(output) => output,
            Err(error) => {
                return match Failure::of(error) {
                    failure if failure.is(Answer::NoSuchKey) => Ok(None),
                    failure => Err(failure),
                };
            }
        };
        let etag = output.e_tag.clone().ok_or_else(|| Failure::bad("an object without an etag"))?;
        let expected = range.map(|(_, length)| length);
        Ok(Some(Object { bytes: self.body(output, expected).await?, etag }))
    }

    /// All of an answer's body: as long as the server said, and within a time that fits its length.
    async fn body(&self, output: GetObjectOutput, expected: Option<u64>) -> Result<Bytes, Failure> {
        let announced = output.content_length.and_then(|length| u64::try_from(length).ok());
        let mut stream = output.body;
        let mut bytes = BytesMut::with_capacity(usize::try_from(announced.unwrap_or(0).min(1 << 27)).unwrap_or(0));
        let read = async {
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk.map_err(|_| Failure::cut_off())?);
            }
            Ok(())
        };
        tokio::time::timeout(self.allowance(announced.unwrap_or(0)), read).await.map_err(|_| Failure::dripping())??;
        match expected.or(announced) {
            Some(length) if length != bytes.len() as u64 => {
                Err(Failure::bad(&format!("{} bytes where {length} were asked for", bytes.len())))
            }
            _ => Ok(bytes.freeze()),
        }
    }

    /// One conditional write. The S3 client may not repeat it by itself: the second attempt would meet what the first one
    /// wrote when only its answer was lost.
    async fn put_once(&self, name: &str, bytes: &Bytes, condition: &Condition) -> Result<Put, Failure> {
        let request = self.server.client.put_object().bucket(&self.bucket).key(self.key(name));
        let request = request.body(ByteStream::from(bytes.clone()));
        let (request, attempts) = match condition {
            Condition::Any => (request, None),
            Condition::Absent => (request.if_none_match("*"), Some(1)),
            Condition::Matches(etag) => (request.if_match(etag), Some(1)),
        };
        let mut settings = self.settings(bytes.len() as u64);
        if let Some(attempts) = attempts {
            settings = settings.retry_config(RetryConfig::standard().with_max_attempts(attempts));
        }
        match request.customize().config_override(settings).send().await {
            Ok(output) => output.e_tag.map(Put::Written).ok_or_else(|| Failure::bad("no etag for what was written")),
            Err(error) => match Failure::of(error) {
                failure if *condition != Condition::Any && failure.is(Answer::ConditionFailed) => {
                    Ok(Put::ConditionFailed)
                }
                failure if matches!(condition, Condition::Matches(_)) && failure.is(Answer::NoSuchKey) => {
                    Ok(Put::ConditionFailed)
                }
                failure => Err(failure),
            },
        }
    }

    /// A write, tried again as far as its condition allows.
    async fn upload(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, Failure> {
        let mut attempt = 1;
        loop {
            match self.put_once(name, &bytes, &condition).await {
                Ok(Put::ConditionFailed) if attempt > 1 => {
                    // An attempt whose answer was lost may have written it.
                    return Ok(match self.download(name, None).await? {
                        Some(object) if object.bytes == bytes => Put::Written(object.etag),
                        _ => Put::ConditionFailed,
                    });
                }
                Err(failure) if condition != Condition::Any && failure.is_transient() && attempt < ATTEMPTS => {
                    clock::sleep(Duration::from_secs(1 << attempt)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn pages(&self, prefix: &str) -> Result<Vec<Entry>, Failure> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let request = self.server.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix));
            let request = request.set_continuation_token(next.take());
            let page = request.customize().config_override(self.settings(0)).send().await;
            let page = page.map_err(Failure::of)?;
            for object in page.contents.unwrap_or_default() {
                let name = object.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix));
                // A name with a slash at its end is how consoles draw an empty folder.
                if let Some(name) = name.filter(|name| !name.is_empty() && !name.ends_with('/')) {
                    let size = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                    found.push(Entry { name: name.to_owned(), size });
                }
            }
            match page.next_continuation_token {
                Some(token) if page.is_truncated == Some(true) => next = Some(token),
                None if page.is_truncated == Some(true) => {
                    return Err(Failure::bad("a listing that has more and does not say where"));
                }
                _ => return Ok(found),
            }
        }
    }
}

/// What moving `bytes` takes at the most.
fn moving(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND)
}

#[async_trait]
impl ObjectStore for S3Store {
    fn describe(&self) -> String {
        self.place.clone()
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        self.ask(0, self.download(name, None)).await
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let object = self.ask(0, self.download(name, Some((offset, length)))).await?;
        let missing = || self.failed(Failure::bad(&format!("{name} is not there")));
        object.map(|object| object.bytes).ok_or_else(missing)
    }

    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.ask(bytes.len() as u64, self.upload(name, bytes, condition)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let remove = async {
            let request = self.server.client.delete_object().bucket(&self.bucket).key(self.key(name));
            match request.customize().config_override(self.settings(0)).send().await.map_err(Failure::of) {
                Ok(_) => Ok(()),
                Err(failure) if failure.is(Answer::NoSuchKey) => Ok(()),
                Err(failure) => Err(failure),
            }
        };
        self.ask(0, remove).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.ask(0, self.folders(prefix)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.ask(0, self.pages(prefix)).await
    }
}
