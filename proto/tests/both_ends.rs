//! A host and a provider of ours, talking to each other over real sockets.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tfplugin::client::{ClientError, Plugin};
use tfplugin::handshake::{Address, COOKIE, Environment, Line};
use tfplugin::server::{Listening, Options, ServeError, Transport};
use tfplugin::tls::{End, Identity};
use tfplugin::wire::health::HealthCheckRequest;
use tfplugin::wire::health::health_client::HealthClient;
use tfplugin::wire::plugin::Empty;
use tfplugin::wire::plugin::grpc_controller_client::GrpcControllerClient;
use tfplugin::wire::plugin::grpc_stdio_client::GrpcStdioClient;
use tfplugin::wire::tfplugin6::provider_server::Provider;
use tfplugin::wire::tfplugin6::{DynamicValue, call_function, stop_provider};
use tfplugin::{Type, Value, v6};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Response, Status};

/// Gives back the first argument of every function.
struct Echo;

#[tonic::async_trait]
impl Provider for Echo {
    async fn call_function(
        &self,
        request: Request<call_function::Request>,
    ) -> Result<Response<call_function::Response>, Status> {
        let result = request.into_inner().arguments.into_iter().next();
        Ok(Response::new(call_function::Response { result, error: None }))
    }
}

fn environment(client: Option<&Identity>) -> Environment {
    Environment {
        cookie: Some(COOKIE.to_owned()),
        protocol_versions: Some("5,6".to_owned()),
        client_certificate: client.map(|client| client.pem().to_owned()),
        ..Environment::default()
    }
}

async fn start(environment: Environment, transport: Transport) -> (Line, JoinHandle<Result<(), ServeError>>) {
    let options = Options { environment, transport, ..Options::default() };
    let listening = Listening::new(&options).await.unwrap();
    // What the host gets is text.
    let line = listening.line().to_string().parse().unwrap();
    (line, tokio::spawn(listening.serve(Echo)))
}

/// Whether the provider answers a call over this connection.
async fn answers(plugin: &Plugin) -> Result<(), Status> {
    let sent = v6::encode_value(&Value::string("text"), &Type::String).unwrap();
    let request = call_function::Request { name: "echo".to_owned(), arguments: vec![sent.clone()] };
    let response = plugin.provider().call_function(request).await?.into_inner();
    assert_eq!(response.result, Some(sent));
    Ok(())
}

async fn connect(line: &Line, identity: &Identity) -> Result<Plugin, ClientError> {
    let config = identity.client_config(line.certificate.clone().unwrap()).unwrap();
    Plugin::connect(line.address.clone(), Some(config)).await
}

/// TLS 1.3 refuses a client only after it believes to be connected, so a refusal comes with the connection or the call.
async fn is_refused(connected: Result<Plugin, ClientError>) -> bool {
    match connected {
        Err(_) => true,
        Ok(plugin) => answers(&plugin).await.is_err(),
    }
}

#[tokio::test]
async fn both_ends_understand_each_other_with_tls_and_without_over_both_transports() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let identity = Identity::new(End::Client).unwrap();
        let (line, _server) = start(environment(Some(&identity)), transport).await;
        answers(&connect(&line, &identity).await.unwrap()).await.unwrap();

        let (line, _server) = start(environment(None), transport).await;
        assert_eq!(line.certificate, None);
        answers(&Plugin::attach(line.address).await.unwrap()).await.unwrap();
    }
}

/// Go's certificates are of P-521, and say that they are authorities.
#[tokio::test]
async fn a_host_with_a_certificate_as_go_makes_them_is_let_in() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key).unwrap();
    let go = Environment { client_certificate: Some(certificate.pem()), ..environment(None) };
    let (line, _server) = start(go, Transport::Unix).await;

    let ours = Identity::new(End::Client).unwrap();
    let mut config = ours.client_config(line.certificate.clone().unwrap()).unwrap();
    let resolver = Fixed::new(certificate.der().clone(), &key);
    config.client_auth_cert_resolver = std::sync::Arc::new(resolver);
    answers(&Plugin::connect(line.address, Some(config)).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_host_with_another_certificate_is_refused_and_the_right_one_is_still_let_in() {
    let identity = Identity::new(End::Client).unwrap();
    let (line, _server) = start(environment(Some(&identity)), Transport::Unix).await;
    assert!(is_refused(connect(&line, &Identity::new(End::Client).unwrap()).await).await);
    answers(&connect(&line, &identity).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_host_without_a_certificate_and_one_without_tls_are_refused() {
    let identity = Identity::new(End::Client).unwrap();
    let (line, _server) = start(environment(Some(&identity)), Transport::Unix).await;
    let mut anonymous = identity.client_config(line.certificate.clone().unwrap()).unwrap();
    anonymous.client_auth_cert_resolver = std::sync::Arc::new(NoCertificate);
    assert!(is_refused(Plugin::connect(line.address.clone(), Some(anonymous)).await).await);
    assert!(is_refused(Plugin::connect(line.address, None).await).await);
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_right_certificate_without_its_key_is_refused() {
    let identity = Identity::new(End::Client).unwrap();
    let (line, _server) = start(environment(Some(&identity)), Transport::Unix).await;
    let mut config = identity.client_config(line.certificate.clone().unwrap()).unwrap();
    // Another's key under the pinned certificate: what somebody has who only read the environment.
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let resolver = Fixed::new(identity.certificate().clone(), &key);
    config.client_auth_cert_resolver = std::sync::Arc::new(resolver);
    assert!(is_refused(Plugin::connect(line.address, Some(config)).await).await);
}

/// Presents one certificate, with any key.
#[derive(Debug)]
struct Fixed(std::sync::Arc<rustls::sign::CertifiedKey>);

impl Fixed {
    fn new(certificate: rustls_pki_types::CertificateDer<'static>, key: &rcgen::KeyPair) -> Self {
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Fixed(std::sync::Arc::new(rustls::sign::CertifiedKey::new(vec![certificate], key)))
    }
}

impl rustls::client::ResolvesClientCert for Fixed {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_provider_with_another_certificate_is_refused() {
    let identity = Identity::new(End::Client).unwrap();
    let (line, _server) = start(environment(Some(&identity)), Transport::Unix).await;
    let expected = Identity::new(End::Server).unwrap().certificate().clone();
    let connected = connect(&Line { certificate: Some(expected), ..line }, &identity).await;
    assert!(matches!(connected, Err(ClientError::Connect(_))));
}

#[tokio::test]
async fn a_connection_that_says_nothing_keeps_no_other_waiting() {
    let identity = Identity::new(End::Client).unwrap();
    let (line, _server) = start(environment(Some(&identity)), Transport::Unix).await;
    let Address::Unix(path) = &line.address else { panic!("no Unix socket") };
    let _silent = tokio::net::UnixStream::connect(path).await.unwrap();
    let talk = async { answers(&connect(&line, &identity).await.unwrap()).await };
    tokio::time::timeout(Duration::from_secs(10), talk).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_provider_that_no_host_started_says_what_it_is() {
    for cookie in [None, Some("garbage".to_owned())] {
        let environment = Environment { cookie, ..environment(None) };
        let options = Options { environment, explanation: "This is a provider".to_owned(), ..Options::default() };
        let error = Listening::new(&options).await.err().unwrap();
        assert!(matches!(error, ServeError::ByHand(_)));
        assert_eq!(error.to_string(), "This is a provider");
    }
}

#[tokio::test]
async fn a_host_of_other_protocols_is_told_so() {
    let environment = Environment { protocol_versions: Some("4,5".to_owned()), ..environment(None) };
    let error = Listening::new(&Options { environment, ..Options::default() }).await.err().unwrap();
    assert!(error.to_string().contains("plugin protocols 4,5 only"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_can_not_be_read_is_an_error_and_not_a_plain_connection() {
    let environment = Environment { client_certificate: Some("garbage".to_owned()), ..environment(None) };
    let listening = Listening::new(&Options { environment, ..Options::default() }).await;
    assert!(matches!(listening.err(), Some(ServeError::Tls(_))));
}

#[tokio::test]
async fn the_socket_is_private_and_goes_when_the_host_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment { socket_directory: Some(folder.path().to_owned()), ..environment(None) };
    let (line, server) = start(environment, Transport::Unix).await;
    let Address::Unix(path) = line.address.clone() else { panic!("no Unix socket") };
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let plugin = Plugin::attach(line.address).await.unwrap();
    // The answer may be lost: the provider ends at once, with whatever still runs.
    let _stdio = GrpcStdioClient::new(plugin.channel()).stream_stdio(()).await.unwrap();
    let _ = GrpcControllerClient::new(plugin.channel()).shutdown(Empty {}).await;
    tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_whose_path_is_too_long_for_a_socket_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let environment = Environment { socket_directory: Some(long), ..environment(None) };
    let error = Listening::new(&Options { environment, ..Options::default() }).await.err().unwrap();
    assert!(matches!(error, ServeError::SocketPath(_)), "{error}");
}

#[tokio::test]
async fn a_port_is_taken_from_the_range_that_the_host_names() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let least = taken.local_addr().unwrap().port();
    let range = |most| Environment { minimum_port: Some(least), maximum_port: Some(most), ..environment(None) };
    let (line, _server) = start(range(least.saturating_add(50)), Transport::Tcp).await;
    let Address::Tcp(address) = line.address else { panic!("no port") };
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(address.starts_with("127.0.0.1:") && (least + 1..=least + 50).contains(&port), "{address}");
    let options = Options { environment: range(least), transport: Transport::Tcp, ..Options::default() };
    assert!(matches!(Listening::new(&options).await, Err(ServeError::Listen { .. })));
}

#[tokio::test]
async fn it_is_healthy_and_says_so_and_leaves_out_what_it_lacks() {
    let (line, _server) = start(environment(None), Transport::Unix).await;
    let plugin = Plugin::attach(line.address).await.unwrap();
    let check = HealthCheckRequest { service: "plugin".to_owned() };
    let health = HealthClient::new(plugin.channel()).check(check).await.unwrap().into_inner();
    assert_eq!(health.status, 1);
    let missing = plugin.provider().stop_provider(stop_provider::Request {}).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_message_of_many_megabytes_goes_through() {
    let (line, _server) = start(environment(None), Transport::Unix).await;
    let plugin = Plugin::attach(line.address).await.unwrap();
    let large = DynamicValue { msgpack: vec![0xc0; 20 << 20].into(), ..DynamicValue::default() };
    let request = call_function::Request { name: "echo".to_owned(), arguments: vec![large.clone()] };
    let response = plugin.provider().call_function(request).await.unwrap().into_inner();
    assert_eq!(response.result, Some(large));
}

#[tokio::test]
async fn a_host_that_asks_is_told_that_nothing_is_multiplexed() {
    let asked = Environment { multiplex: true, ..environment(None) };
    assert_eq!(start(asked, Transport::Unix).await.0.multiplex, Some(false));
    assert_eq!(start(environment(None), Transport::Unix).await.0.multiplex, None);
}

#[tokio::test]
async fn a_program_that_is_no_provider_can_not_be_launched() {
    use tfplugin::client::Launch;
    let missing = Plugin::launch(Launch::new("/nonexistent")).await;
    assert!(matches!(missing, Err(ClientError::Spawn { .. })));
    let silent = Plugin::launch(Launch::new(PathBuf::from("/bin/true"))).await;
    assert!(matches!(silent, Err(ClientError::Ended(_))));
    let chatty = Launch { arguments: vec!["hello".into()], ..Launch::new("/bin/echo") };
    assert!(matches!(Plugin::launch(chatty).await, Err(ClientError::Line(_))));
    let endless =
        Launch { arguments: vec!["60".into()], timeout: Duration::from_millis(50), ..Launch::new("/bin/sleep") };
    assert!(matches!(Plugin::launch(endless).await, Err(ClientError::Silent(_))));
}
