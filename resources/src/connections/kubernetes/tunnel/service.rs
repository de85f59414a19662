//! A port of a Service, as the provider block writes it.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// `storage/garage:3900`, or `storage/garage:s3` where the Service gives the port that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    Number(u16),
    Name(String),
}

impl FromStr for ServicePort {
    /// A sentence about what is wrong.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not `<namespace>/<name>:<port>`, as in `storage/garage:3900`; the port is a number, or the name \
                 that the Service gives it"
            )
        };
        let (place, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (namespace, name) = place.split_once('/').ok_or_else(wrong)?;
        if ![namespace, name, port].into_iter().all(is_label) {
            return Err(wrong());
        }
        let port = if port.bytes().all(|byte| byte.is_ascii_digit()) {
            Port::Number(port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?)
        } else {
            Port::Name(port.to_owned())
        };
        Ok(ServicePort { namespace: namespace.to_owned(), name: name.to_owned(), port })
    }
}

/// What a namespace, a Service and its ports may be called.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

impl fmt::Display for ServicePort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}:{}", self.namespace, self.name, self.port)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Number(number) => write!(formatter, "{number}"),
            Port::Name(name) => formatter.write_str(name),
        }
    }
}

impl ServicePort {
    /// What a Service with this `spec` calls the port; empty for its only one. The error is the half of a sentence.
    pub(super) fn port_in(&self, spec: &Value) -> Result<String, String> {
        if let Some(host) = spec["externalName"].as_str().filter(|_| spec["type"] == "ExternalName") {
            return Err(format!("it is another name of the host {host}, and no pod stands behind it"));
        }
        let ports: Vec<&Value> = spec["ports"].as_array().into_iter().flatten().collect();
        let name_of = |port: &Value| port["name"].as_str().unwrap_or_default().to_owned();
        let asked = |port: &&&Value| match &self.port {
            Port::Number(number) => port["port"] == *number,
            Port::Name(name) => port["name"] == **name,
        };
        if let Some(found) = ports.iter().find(asked) {
            return Ok(name_of(found));
        }
        let known = ports.iter().map(|port| match name_of(port) {
            name if name.is_empty() => port["port"].to_string(),
            name => format!("{} ({name})", port["port"]),
        });
        Err(format!("it has no port {}, but: {}", self.port, known.collect::<Vec<_>>().join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<ServicePort, String> {
        text.parse()
    }

    #[test]
    fn no_text_makes_a_port_of_a_service_panic() {
        crate::noise::survives_text(&["storage/garage:3900", "storage/garage:s3"], parse);
    }

    #[test]
    fn a_service_is_a_namespace_a_name_and_a_port() {
        for text in ["storage/garage:3900", "storage/garage:s3-api", "a/b:1", "rook-ceph/rook-ceph-rgw-home:443"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "garage",
            "garage:3900",
            "storage/garage",
            "storage/garage:",
            "storage/garage:0",
            "storage/garage:65536",
            "storage/gar/age:1",
            "Storage/garage:1",
            "storage/garage:s3_api",
            "storage/../pods:1",
            "-storage/garage:1",
        ] {
            assert!(parse(text).unwrap_err().contains("storage/garage:3900"), "{text}");
        }
    }

    #[test]
    fn a_port_is_found_by_number_and_by_name() {
        let spec = json!({ "ports": [{ "name": "api", "port": 3900 }, { "name": "admin", "port": 3903 }] });
        let port = |text: &str| parse(text).unwrap().port_in(&spec);
        assert_eq!(port("storage/garage:3903").unwrap(), "admin");
        assert_eq!(port("storage/garage:api").unwrap(), "api");
        assert_eq!(port("storage/garage:80").unwrap_err(), "it has no port 80, but: 3900 (api), 3903 (admin)");
        let only = json!({ "ports": [{ "port": 80 }] });
        assert_eq!(parse("a/b:80").unwrap().port_in(&only).unwrap(), "");
        assert_eq!(parse("a/b:web").unwrap().port_in(&only).unwrap_err(), "it has no port web, but: 80");
    }

    #[test]
    fn a_service_that_only_renames_a_host_leads_to_no_pod() {
        let spec = json!({ "type": "ExternalName", "externalName": "s3.example.org" });
        assert!(parse("a/b:80").unwrap().port_in(&spec).unwrap_err().contains("s3.example.org"));
    }
}
