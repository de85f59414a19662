//! The servers of the tests: MinIO, an S3 server in this process that misbehaves on request, and Kubernetes.

mod client;
mod door;
mod faulty;
pub mod kubernetes;
mod minio;
mod process;

pub use client::{Credentials, S3};
pub use door::Door;
pub use faulty::{Fault, Faulty, Rule};
pub use minio::Minio;

#[cfg(test)]
mod tests {
    use super::*;

    /// What both servers have to do, or the scenarios mean nothing.
    fn stores_and_lists(s3: &S3) {
        s3.create_bucket("bucket").unwrap();
        s3.put("bucket", "docs/a b", b"one").unwrap();
        s3.put("bucket", "docs/c", b"two").unwrap();
        assert_eq!(s3.keys("bucket", "docs/").unwrap(), ["docs/a b", "docs/c"]);
        assert_eq!(s3.get("bucket", "docs/c").unwrap(), b"two");
        assert!(s3.put_new("bucket", "docs/c", b"three").is_err(), "a condition was ignored");
        s3.delete("bucket", "docs/c").unwrap();
        assert_eq!(s3.keys("bucket", "").unwrap(), ["docs/a b"]);
    }

    #[test]
    fn minio_stores_and_lists() {
        stores_and_lists(&Minio::start().unwrap().s3);
    }

    #[test]
    fn the_server_in_this_process_stores_and_lists_and_counts_requests() {
        let server = Faulty::start().unwrap();
        stores_and_lists(&server.s3);
        assert!(server.requests().iter().any(|request| request.starts_with("PUT /bucket/docs/c")));
    }

    #[test]
    fn the_server_in_this_process_misbehaves_on_request() {
        let server = Faulty::start().unwrap();
        server.s3.create_bucket("bucket").unwrap();
        server.s3.put("bucket", "key", &[7; 10_000]).unwrap();
        let get = |fault| {
            server.misbehave(Rule::on("GET", "/bucket/key", fault));
            let result = server.s3.get("bucket", "key");
            server.behave();
            result
        };
        for fault in [Fault::Refuse, Fault::RedirectTo("http://127.0.0.1:9/".into()), Fault::CutOff, Fault::HangUp] {
            assert!(get(fault.clone()).is_err(), "{fault:?}");
        }
        assert!(get(Fault::Html).unwrap().starts_with(b"<!DOCTYPE html>"));
        assert_eq!(get(Fault::None).unwrap(), [7; 10_000]);
        server.misbehave(Rule::on("GET", "/bucket/key", Fault::SlowDown).times(1));
        assert_eq!(server.s3.get("bucket", "key").unwrap(), [7; 10_000], "SlowDown once is retried by every client");
        server.misbehave(Rule::on("PUT", "/bucket/", Fault::IgnoreConditions));
        server.s3.put_new("bucket", "key", b"over").unwrap();
        assert_eq!(server.s3.get("bucket", "key").unwrap(), b"over");
    }
}
