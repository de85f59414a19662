//! Reads the extended attributes of an entry, never those of what a link names.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;

/// The kernel's largest list and largest value (XATTR_LIST_MAX and XATTR_SIZE_MAX in linux/limits.h).
const LARGEST: usize = 64 * 1024;

/// All attributes, as the library's list of them: its element has no public name, but can be had from its stored form.
pub(super) fn read<List: DeserializeOwned + Default>(path: &Path) -> io::Result<List> {
    let names = match grown(|buffer| llistxattr(path, buffer)) {
        Ok(names) if names.is_empty() => return Ok(List::default()),
        Ok(names) => names,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(List::default()),
        Err(error) => return Err(error.into()),
    };
    let mut list = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let text = std::str::from_utf8(name)
            .map_err(|_| io::Error::other(format!("the name {} is not UTF-8", String::from_utf8_lossy(name))))?;
        match grown(|buffer| lgetxattr(path, name, buffer)) {
            Ok(value) => list.push(serde_json::json!({ "name": text, "value": BASE64_STANDARD.encode(value) })),
            Err(Errno::NODATA) => {} // removed since it was listed
            Err(error) => return Err(io::Error::other(format!("{text}: {}", io::Error::from(error)))),
        }
    }
    serde_json::from_value(list.into()).map_err(io::Error::other)
}

/// Calls with a small buffer, and with the largest when that does not do.
fn grown(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let length = call(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
