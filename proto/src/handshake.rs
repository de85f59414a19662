//! go-plugin's handshake: what a host says through the environment, and the one line that a plugin answers.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls_pki_types::CertificateDer;

/// The name of the variable that tells a plugin that a host started it.
pub const COOKIE_NAME: &str = "TF_PLUGIN_MAGIC_COOKIE";

/// The value of that variable: the same for every provider, and no secret.
pub const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// The version of the handshake itself.
const CORE_PROTOCOL: &str = "1";

/// A certificate takes more than this in base64; shorter fields are placeholders.
const SHORTEST_CERTIFICATE: usize = 50;

/// What a host says to a plugin through the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `TF_PLUGIN_MAGIC_COOKIE`.
    pub cookie: Option<String>,
    /// `PLUGIN_PROTOCOL_VERSIONS`, as `5,6`.
    pub protocol_versions: Option<String>,
    /// `PLUGIN_CLIENT_CERT`: the host's certificate in PEM; absent when the connection is to be plain.
    pub client_certificate: Option<String>,
    /// `PLUGIN_MIN_PORT`.
    pub minimum_port: Option<u16>,
    /// `PLUGIN_MAX_PORT`.
    pub maximum_port: Option<u16>,
    /// `PLUGIN_UNIX_SOCKET_DIR`.
    pub socket_directory: Option<PathBuf>,
    /// `PLUGIN_MULTIPLEX_GRPC`: the host wants to be told whether the plugin multiplexes.
    pub multiplex: bool,
}

impl Environment {
    /// The environment of this process.
    pub fn of_this_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let port = |name: &str| text(name).and_then(|value| value.parse().ok());
        Environment {
            cookie: text(COOKIE_NAME),
            protocol_versions: text("PLUGIN_PROTOCOL_VERSIONS"),
            client_certificate: text("PLUGIN_CLIENT_CERT"),
            minimum_port: port("PLUGIN_MIN_PORT"),
            maximum_port: port("PLUGIN_MAX_PORT"),
            socket_directory: text("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
            multiplex: text("PLUGIN_MULTIPLEX_GRPC").is_some(),
        }
    }

    /// Whether the host speaks this version; one that says nothing does.
    pub fn speaks(&self, version: u32) -> bool {
        let Some(versions) = &self.protocol_versions else { return true };
        versions.split(',').any(|known| known.trim().parse() == Ok(version))
    }

    /// The variables that say the same to a child process.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let port = |port: Option<u16>| port.map(|port| port.to_string());
        let directory = self.socket_directory.as_ref().map(|path| path.to_string_lossy().into_owned());
        [
            (COOKIE_NAME, self.cookie.clone()),
            ("PLUGIN_PROTOCOL_VERSIONS", self.protocol_versions.clone()),
            ("PLUGIN_CLIENT_CERT", self.client_certificate.clone()),
            ("PLUGIN_MIN_PORT", port(self.minimum_port)),
            ("PLUGIN_MAX_PORT", port(self.maximum_port)),
            ("PLUGIN_UNIX_SOCKET_DIR", directory),
            ("PLUGIN_MULTIPLEX_GRPC", self.multiplex.then(|| "true".to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }
}

/// Where a plugin listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A host and a port.
    Tcp(String),
}

impl Address {
    /// The network and the address, as go-plugin spells them.
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Address::Unix(path) => ("unix", path.to_string_lossy().into_owned()),
            Address::Tcp(address) => ("tcp", address.clone()),
        }
    }

    /// The address of these parts, if there is such a network.
    pub fn from_parts(network: &str, address: &str) -> Option<Self> {
        match network {
            "unix" => Some(Address::Unix(PathBuf::from(address))),
            "tcp" => Some(Address::Tcp(address.to_owned())),
            _ => None,
        }
    }
}

/// The line that a plugin answers on its standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The version of the provider protocol.
    pub protocol: u32,
    /// Where the plugin listens.
    pub address: Address,
    /// The certificate that it will present; none when the connection is plain.
    pub certificate: Option<CertificateDer<'static>>,
    /// Whether it multiplexes; only said to a host that asks.
    pub multiplex: Option<bool>,
}

/// A line that is not a handshake.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LineError {
    /// Too few fields.
    #[error("not a plugin's handshake: {0:?}")]
    Form(String),
    /// Another version of the handshake.
    #[error("unsupported version {0:?} of the plugin handshake")]
    Core(String),
    /// A network that doesn't exist, or another protocol than gRPC.
    #[error("unsupported connection {0:?}")]
    Connection(String),
    /// A certificate that can't be read.
    #[error("the certificate in the plugin's handshake can't be read")]
    Certificate,
}

impl std::fmt::Display for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (network, address) = self.address.parts();
        let certificate = self.certificate.as_ref().map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
        write!(formatter, "{CORE_PROTOCOL}|{}|{network}|{address}|grpc|{certificate}", self.protocol)?;
        match self.multiplex {
            Some(multiplex) => write!(formatter, "|{multiplex}"),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let text = text.trim();
        let fields: Vec<_> = text.split('|').collect();
        let [core, protocol, network, address, rest @ ..] = fields.as_slice() else {
            return Err(LineError::Form(text.to_owned()));
        };
        if *core != CORE_PROTOCOL {
            return Err(LineError::Core((*core).to_owned()));
        }
        let protocol = protocol.parse().map_err(|_| LineError::Form(text.to_owned()))?;
        let unsupported = || LineError::Connection(text.to_owned());
        let address = Address::from_parts(network, address).ok_or_else(unsupported)?;
        if rest.first() != Some(&"grpc") {
            return Err(unsupported());
        }
        let certificate = match rest.get(1).filter(|field| field.len() > SHORTEST_CERTIFICATE) {
            Some(field) => {
                let der = STANDARD_NO_PAD.decode(field.trim_end_matches('='));
                Some(CertificateDer::from(der.map_err(|_| LineError::Certificate)?))
            }
            None => None,
        };
        Ok(Line { protocol, address, certificate, multiplex: rest.get(2).and_then(|field| field.parse().ok()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was() {
        let line = Line {
            protocol: 6,
            address: Address::Unix("/tmp/plugin1/s".into()),
            certificate: Some(CertificateDer::from(vec![7; 100])),
            multiplex: None,
        };
        let text = line.to_string();
        assert!(text.starts_with("1|6|unix|/tmp/plugin1/s|grpc|BwcH") && !text.ends_with('='), "{text}");
        assert_eq!(text.parse(), Ok(line.clone()));
        let plain = Line { certificate: None, address: Address::Tcp("127.0.0.1:10000".to_owned()), ..line.clone() };
        assert_eq!(plain.to_string(), "1|6|tcp|127.0.0.1:10000|grpc|");
        assert_eq!(plain.to_string().parse(), Ok(plain));
        let asked = Line { multiplex: Some(false), ..line };
        assert!(asked.to_string().ends_with("|false"));
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        for text in
            ["", "hello", "1|6|unix", "2|6|unix|/s|grpc|", "1|6|pipe|/s|grpc|", "1|6|unix|/s|netrpc|", "1|6|unix|/s"]
        {
            assert!(text.parse::<Line>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn versions_are_found_in_any_order() {
        let speaks = |versions: &str| {
            Environment { protocol_versions: Some(versions.to_owned()), ..Environment::default() }.speaks(6)
        };
        assert!(speaks("5,6") && speaks("6,5") && speaks("6") && !speaks("5") && !speaks("4,16"));
        assert!(Environment::default().speaks(6));
    }
}
