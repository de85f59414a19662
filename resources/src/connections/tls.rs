//! Whose certificate a connection accepts: the system's roots, an own authority, one pinned certificate, or any.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

/// The system's authorities: a few hundred kilobytes of files, read and parsed once for a process. One unreadable file among
/// them is the system's business; no root at all shows in the handshake.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// What a connection says about its server's certificate.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Authorities of its own, instead of the system's.
    pub ca_pem: Option<&'a str>,
    /// SHA-256 of the server's certificate, `AB:CD:..`; nothing else is then looked at.
    pub fingerprint: Option<&'a str>,
    /// Any certificate will do.
    pub insecure: bool,
}

impl Trust<'_> {
    /// The client's side of TLS; the error is a sentence about the argument that is wrong.
    pub fn client_config(self) -> Result<ClientConfig, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let accepted = match (self.fingerprint, self.insecure) {
            (Some(text), _) => Some(Accepted::Pinned(parse_fingerprint(text)?)),
            (None, true) => Some(Accepted::Any),
            (None, false) => None,
        };
        Ok(match accepted {
            Some(accepted) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(OneCertificate { accepted, provider }))
                .with_no_client_auth(),
            None => builder.with_root_certificates(self.roots()?).with_no_client_auth(),
        })
    }

    fn roots(self) -> Result<Arc<RootCertStore>, String> {
        self.ca_pem.map_or_else(|| Ok(SYSTEM_ROOTS.clone()), |pem| authorities(pem).map(Arc::new))
    }
}

/// The authorities in a text; the error is a sentence about `ca_pem`.
pub fn authorities(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("ca_pem can't be read: {error}"))?;
        roots.add(certificate).map_err(|error| format!("ca_pem holds a certificate that is none: {error}"))?;
    }
    if roots.is_empty() {
        return Err(no_certificate(pem));
    }
    Ok(roots)
}

/// That a text holds no certificate; the likeliest one to be given instead is the path of its file.
pub fn no_certificate(pem: &str) -> String {
    let is_line = !pem.trim().is_empty() && !pem.trim().contains('\n');
    let path = "; it takes the text of the certificates, not the path of their file: write ca_pem = file(\"…\")";
    format!("ca_pem holds no certificate{}", if is_line { path } else { "" })
}

/// The fingerprint in a text; the error is a sentence about `fingerprint`.
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], String> {
    let digits = text.replace([':', ' '], "");
    let wrong = || "fingerprint has to be the SHA-256 of the server's certificate, 32 pairs of hex digits".to_owned();
    hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

#[derive(Debug)]
enum Accepted {
    Any,
    Pinned([u8; 32]),
}

/// Looks at the certificate itself instead of at who signed it.
#[derive(Debug)]
struct OneCertificate {
    accepted: Accepted,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.accepted {
            Accepted::Pinned(expected) if Sha256::digest(certificate).as_slice() != expected => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            Accepted::Any | Accepted::Pinned(_) => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Trust<'static> = Trust { ca_pem: None, fingerprint: None, insecure: false };

    #[test]
    fn no_text_makes_a_fingerprint_panic() {
        let pin = ["AB"; 32].join(":");
        crate::noise::survives_text(&[&pin, "ab cd"], parse_fingerprint);
    }

    #[test]
    fn a_malformed_pin_or_authority_is_said() {
        let pin = Trust { fingerprint: Some("AB:CD"), ..PLAIN };
        assert!(pin.client_config().unwrap_err().starts_with("fingerprint has to be"));
        let authority = |text| Trust { ca_pem: Some(text), ..PLAIN }.client_config().unwrap_err();
        assert_eq!(authority("# none\n# here\n"), "ca_pem holds no certificate");
        let path = authority("/etc/ssl/canary-lab.pem");
        assert!(path.ends_with("write ca_pem = file(\"…\")") && !path.contains("canary"), "{path}");
    }

    #[test]
    fn a_pin_accepts_its_certificate_and_no_other() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate = CertificateDer::from(b"a certificate".to_vec());
        let name = ServerName::try_from("nas").unwrap();
        let pin = |text: &[u8]| OneCertificate {
            accepted: Accepted::Pinned(parse_fingerprint(&hex::encode_upper(Sha256::digest(text))).unwrap()),
            provider: provider.clone(),
        };
        let verify = |pin: OneCertificate| pin.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now());
        assert!(verify(pin(b"a certificate")).is_ok());
        assert!(verify(pin(b"another")).is_err());
    }
}
