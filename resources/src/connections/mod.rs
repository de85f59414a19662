//! Kinds of connection, one file each.

pub mod kubernetes;
pub mod s3;
pub mod tls;
