//! What `TF_REATTACH_PROVIDERS` says: where providers run that somebody else started.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::handshake::Address;

/// The variable that a host reads it from.
pub const VARIABLE: &str = "TF_REATTACH_PROVIDERS";

/// One running provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reattach {
    /// Always `grpc`.
    pub protocol: String,
    /// The version of the provider protocol; 0 means 5.
    #[serde(default)]
    pub protocol_version: u32,
    /// The process.
    pub pid: u32,
    /// The host never ends the process.
    #[serde(default)]
    pub test: bool,
    /// Where it listens.
    pub addr: ReattachAddress,
}

/// Where a running provider listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReattachAddress {
    /// `unix` or `tcp`.
    pub network: String,
    /// A path, or a host and a port.
    pub string: String,
}

impl Reattach {
    /// A provider of protocol 6 that runs in this process.
    pub fn here(address: &Address) -> Self {
        let (network, string) = address.parts();
        Reattach {
            protocol: "grpc".to_owned(),
            protocol_version: 6,
            pid: std::process::id(),
            test: true,
            addr: ReattachAddress { network: network.to_owned(), string },
        }
    }

    /// Where it listens, if there is such a network.
    pub fn address(&self) -> Option<Address> {
        Address::from_parts(&self.addr.network, &self.addr.string)
    }
}

/// The variable's value for one provider under each of its source addresses.
pub fn to_json(reattach: &Reattach, addresses: &[String]) -> String {
    let all: BTreeMap<_, _> = addresses.iter().map(|address| (address, reattach)).collect();
    serde_json::to_string(&all).unwrap_or_default()
}

/// Reads the variable's value: providers by source address.
pub fn from_json(text: &str) -> Result<BTreeMap<String, Reattach>, serde_json::Error> {
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_hosts_read_it() {
        let mut reattach = Reattach::here(&Address::Unix("/tmp/p/s".into()));
        reattach.pid = 12;
        let text = to_json(&reattach, &["registry.terraform.io/ns/type".to_owned()]);
        assert_eq!(
            text,
            r#"{"registry.terraform.io/ns/type":{"Protocol":"grpc","ProtocolVersion":6,"Pid":12,"Test":true,"Addr":{"Network":"unix","String":"/tmp/p/s"}}}"#
        );
        assert_eq!(from_json(&text).unwrap()["registry.terraform.io/ns/type"], reattach);
        assert_eq!(reattach.address(), Some(Address::Unix("/tmp/p/s".into())));
    }
}
