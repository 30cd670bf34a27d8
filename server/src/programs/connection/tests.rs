//! The driver over each kind of byte stream, to a small server that answers as a broker does.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use mqtt::client::PublishOutcome;
use mqtt::{
    ConnAck, Decoder, Event, Packet, ProtocolVersion, PubAck, Publish, QoS, ReasonCode, TopicName,
    Utf8String, encode,
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use testbed::Folder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::{Connection, ConnectionArgs, Defaults, explain};
use crate::clock::Clock;
use crate::mqtt_driver::Driver;

/// The longest that a step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the tests' program takes.
#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// How the server is reached.
#[derive(Clone)]
struct Server {
    tls: Option<TlsAcceptor>,
    is_web_socket: bool,
}

/// An authority, with its certificate and a client's as files.
struct Authority {
    folder: Folder,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self {
            folder: Folder::new(),
            issuer,
        };
        fs::write(authority.path("ca.pem"), authority.issuer.pem()).unwrap();
        let (certificate, key) = authority.signed("client");
        fs::write(authority.path("client.pem"), certificate.pem()).unwrap();
        fs::write(authority.path("client.key"), key.serialize_pem()).unwrap();
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path as an argument.
    fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn signed(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// TLS with the authority's own certificate, which nobody else signed.
    fn self_signed_acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(self.issuer.key().serialize_der().into());
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder
            .with_no_client_auth()
            .with_single_cert(vec![self.issuer.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }

    /// TLS as the server `name`, which may want a certificate of this authority too.
    fn acceptor(&self, name: &str, wants_certificate: bool) -> TlsAcceptor {
        let (certificate, key) = self.signed(name);
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if wants_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = builder.with_single_cert(vec![certificate.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

impl Server {
    fn bare() -> Self {
        Self {
            tls: None,
            is_web_socket: false,
        }
    }

    fn secure(tls: TlsAcceptor) -> Self {
        Self {
            tls: Some(tls),
            is_web_socket: false,
        }
    }

    fn with_web_socket(self) -> Self {
        Self {
            is_web_socket: true,
            ..self
        }
    }

    /// Accepts connections, in the background of the runtime. Returns its port.
    async fn start(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(self.clone().serve(stream));
            }
        });
        port
    }

    async fn serve(self, stream: TcpStream) {
        match self.tls.clone() {
            None => self.talk(stream).await,
            Some(tls) => {
                // A client that does not trust us goes away.
                if let Ok(stream) = tls.accept(stream).await {
                    self.talk(stream).await;
                }
            }
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let mut broker = Broker::new();
        if !self.is_web_socket {
            let mut buffer = BytesMut::new();
            while matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                let answer = broker.answer(&buffer.split());
                // In pieces, so that packets arrive cut.
                for piece in answer.chunks(1_000) {
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                }
                let _ = stream.flush().await;
            }
            return;
        }
        let mut socket = accept_hdr_async(stream, with_protocol).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let Message::Binary(bytes) = message else {
                continue;
            };
            for piece in broker.answer(&bytes).chunks(1_000) {
                let piece = Bytes::copy_from_slice(piece);
                socket.send(Message::Binary(piece)).await.unwrap();
            }
        }
    }
}

#[allow(clippy::result_large_err, clippy::unnecessary_wraps)] // as tungstenite wants it
fn with_protocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.uri().path(), "/mqtt");
    let asked = &request.headers()["sec-websocket-protocol"];
    assert_eq!(asked, "mqtt");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", asked.clone());
    Ok(response)
}

/// Accepts everyone, acknowledges each message and sends it back.
struct Broker {
    decoder: Decoder,
    input: BytesMut,
}

impl Broker {
    fn new() -> Self {
        let mut decoder = Decoder::server();
        decoder.set_max_packet_size(4 << 20);
        Self {
            decoder,
            input: BytesMut::new(),
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> BytesMut {
        self.input.extend_from_slice(bytes);
        let mut input = self.input.split().freeze();
        let mut output = BytesMut::new();
        while let Some(packet) = self.decoder.decode(&mut input).unwrap() {
            let answers = match packet {
                Packet::Connect(_) => {
                    vec![Packet::ConnAck(ConnAck::new(false, ReasonCode::Success))]
                }
                Packet::Publish(publish) => vec![
                    Packet::PubAck(PubAck::new(publish.packet_id.unwrap(), ReasonCode::Success)),
                    Packet::Publish(Publish::new(publish.topic.unwrap(), publish.payload)),
                ],
                _ => Vec::new(),
            };
            for answer in answers {
                encode(&answer, ProtocolVersion::V5, &mut output).unwrap();
            }
        }
        self.input.extend_from_slice(&input);
        output
    }
}

fn parsed(arguments: &[&str]) -> Connection {
    let program = Program::try_parse_from([&["test"], arguments].concat()).unwrap();
    let defaults = Defaults {
        version: Some(ProtocolVersion::V5),
        broker: None,
        takes_topic: true,
    };
    program.connection.connection(&defaults).unwrap()
}

/// Connects, sends a large message, and waits until it comes back.
async fn exchange(port: u16, arguments: &[&str]) -> Result<(), String> {
    let port = port.to_string();
    let connection = parsed(&[&["-p", &port], arguments].concat());
    let endpoint = connection.endpoint;
    let mut driver = Driver::new(Clock::new(), endpoint.clone(), connection.options);
    let payload: Bytes = (0..1_000_000_u32).map(|it| (it % 251) as u8).collect();
    let (client, now) = driver.client();
    let mut publish = Publish::new(
        TopicName::new(Utf8String::from_static("large")).unwrap(),
        payload.clone(),
    );
    publish.qos = QoS::AtLeastOnce;
    client.publish(now, publish).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut is_acknowledged = false;
    loop {
        match driver.next(deadline).await {
            Some(Event::Published { outcome, .. }) => {
                assert!(matches!(outcome, PublishOutcome::Acknowledged(_)));
                is_acknowledged = true;
            }
            Some(Event::Message(message)) => {
                assert!(is_acknowledged);
                assert!(message.payload == payload);
                driver.disconnect().await;
                return Ok(());
            }
            Some(Event::Disconnected { why, .. }) => {
                return Err(explain(&endpoint, &why, driver.trouble()));
            }
            Some(_) => {}
            None => panic!("nothing came in time"),
        }
    }
}

async fn refused(port: u16, arguments: &[&str]) -> String {
    exchange(port, arguments).await.unwrap_err()
}

#[tokio::test]
async fn plain_tcp() {
    let port = Server::bare().start().await;
    exchange(port, &["-h", "127.0.0.1"]).await.unwrap();
    exchange(port, &["-L", &format!("mqtt://localhost:{port}/x")])
        .await
        .unwrap();
    exchange(port, &["-h", "127.0.0.1", "-A", "127.0.0.1"])
        .await
        .unwrap();
}

#[tokio::test]
async fn over_web_socket() {
    let port = Server::bare().with_web_socket().start().await;
    exchange(port, &["--ws"]).await.unwrap();
    exchange(port, &["-L", "ws://localhost"]).await.unwrap();
}

#[tokio::test]
async fn over_tls() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem");
    let server = Server::secure(authority.acceptor("localhost", false));
    let port = server.start().await;
    exchange(port, &["--cafile", &ca]).await.unwrap();
    let url = format!("mqtts://localhost:{port}/x");
    exchange(port, &["-L", &url, "--cafile", &ca])
        .await
        .unwrap();
    let folder = authority.folder.path().to_str().unwrap();
    exchange(port, &["--capath", folder]).await.unwrap();
    for version in ["tlsv1.2", "tlsv1.3"] {
        exchange(port, &["--cafile", &ca, "--tls-version", version])
            .await
            .unwrap();
    }
    let cipher = "ECDHE-ECDSA-AES128-GCM-SHA256";
    exchange(port, &["--cafile", &ca, "--ciphers", cipher])
        .await
        .unwrap();
    // Its messages are no TLS.
    let error = refused(Server::bare().start().await, &["--cafile", &ca]).await;
    assert!(error.contains("TLS"), "{error}");
}

#[tokio::test]
async fn over_web_socket_and_tls() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem");
    let server = Server::secure(authority.acceptor("localhost", false)).with_web_socket();
    let port = server.start().await;
    exchange(port, &["--ws", "--cafile", &ca]).await.unwrap();
    exchange(port, &["-L", "wss://localhost/mqtt", "--cafile", &ca])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = other.file("ca.pem");
    let server = Server::secure(authority.acceptor("localhost", false));
    let port = server.start().await;
    for arguments in [
        &["--cafile", &ca][..],
        // Only the name is let pass.
        &["--cafile", &ca, "--insecure"],
        // The system's authorities do not know it either.
        &["--tls"],
    ] {
        let error = refused(port, arguments).await;
        assert!(
            error.contains("invalid peer certificate") && error.contains("--cafile names"),
            "{error}"
        );
    }
    exchange(port, &["--tls", "--insecure"]).await.unwrap();
}

#[tokio::test]
async fn a_server_with_another_name_is_refused() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem");
    let server = Server::secure(authority.acceptor("elsewhere", false));
    let port = server.start().await;
    let error = refused(port, &["--cafile", &ca]).await;
    assert!(
        error.contains(&format!("localhost:{port}")) && error.contains("--insecure"),
        "{error}"
    );
    exchange(port, &["--cafile", &ca, "--insecure"])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_trusted_if_it_is_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let port = Server::secure(authority.self_signed_acceptor())
        .start()
        .await;
    let (ca, wrong) = (authority.file("ca.pem"), other.file("ca.pem"));
    exchange(port, &["--cafile", &ca]).await.unwrap();
    refused(port, &["--cafile", &wrong]).await;
    refused(port, &["--cafile", &wrong, "--insecure"]).await;
    let error = refused(port, &["-h", "127.0.0.1", "--cafile", &ca]).await;
    assert!(error.contains("--insecure"), "{error}");
    exchange(port, &["-h", "127.0.0.1", "--cafile", &ca, "--insecure"])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_may_want_a_certificate() {
    let authority = Authority::new();
    let server = Server::secure(authority.acceptor("localhost", true));
    let port = server.start().await;
    let ca = authority.file("ca.pem");
    let certificate = authority.file("client.pem");
    let key = authority.file("client.key");
    let with = ["--cafile", &ca, "--cert", &certificate, "--key", &key];
    exchange(port, &with).await.unwrap();
    for version in ["tlsv1.2", "tlsv1.3"] {
        let error = refused(port, &["--cafile", &ca, "--tls-version", version]).await;
        assert!(error.contains("--cert and --key"), "{error}");
    }
}

#[tokio::test]
async fn an_error_says_where_and_what_to_try() {
    // Bound, but never listened to.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let error = refused(port, &["-h", "127.0.0.1"]).await;
    assert_eq!(
        error,
        format!(
            "127.0.0.1:{port}: connection refused; does a broker run there, and on that port? -h and \
             -p name another"
        )
    );
    let error = refused(port, &["-h", "no-such-host.invalid"]).await;
    assert!(
        error.contains("no-such-host.invalid") && error.contains("-h"),
        "{error}"
    );
    let port = Server::bare().start().await;
    let error = refused(port, &["--ws", "-h", "127.0.0.1", "-k", "5"]).await;
    assert!(
        error.contains(&format!("ws://127.0.0.1:{port}/mqtt")),
        "{error}"
    );
}

#[test]
fn options_become_a_connection() {
    let connection = parsed(&["-L", "mqtt://ann:secret@broker:1884/a/b", "-k", "30"]);
    assert_eq!(connection.endpoint.to_string(), "broker:1884");
    assert_eq!(connection.topic.as_deref(), Some("a/b"));
    assert_eq!(connection.options.user_name.as_deref(), Some("ann"));
    assert_eq!(connection.options.password.as_deref(), Some(&b"secret"[..]));
    assert_eq!(connection.options.keep_alive, 30);
    assert_eq!(connection.options.session_expiry_interval, 0);
    assert!(connection.options.clean_start);

    let connection = parsed(&[
        "-c",
        "-i",
        "me",
        "-h",
        "::1",
        "--will-topic",
        "w",
        "--will-qos",
        "1",
    ]);
    assert_eq!(connection.endpoint.to_string(), "[::1]:1883");
    assert_eq!(connection.options.session_expiry_interval, u32::MAX);
    assert!(!connection.options.clean_start);
    let will = connection.options.will.unwrap();
    assert_eq!((will.topic.as_str(), will.qos), ("w", QoS::AtLeastOnce));

    let expiry = |arguments: &[&str]| parsed(arguments).options.session_expiry_interval;
    assert_eq!(expiry(&["-x", "-1", "-i", "me"]), u32::MAX);
    assert_eq!(expiry(&["-x", "60"]), 60);
    // The last one counts.
    assert_eq!(expiry(&["-x", "60", "-x", "61"]), 61);
    assert_eq!(
        parsed(&["--ws"]).endpoint.to_string(),
        "ws://localhost:8080/mqtt"
    );
}

#[test]
fn the_environment_names_a_broker_unless_the_user_does() {
    let endpoint = |arguments: &[&str], broker| {
        let program = Program::try_parse_from([&["test"], arguments].concat()).unwrap();
        let defaults = Defaults {
            version: None,
            broker: Some(broker),
            takes_topic: false,
        };
        let connection = program.connection.connection(&defaults);
        connection.map(|it| it.endpoint.to_string())
    };
    assert_eq!(
        endpoint(&[], "mqtt://broker.example").unwrap(),
        "broker.example:1883"
    );
    assert_eq!(
        endpoint(&[], "broker.example:1884").unwrap(),
        "broker.example:1884"
    );
    assert_eq!(
        endpoint(&["-h", "me"], "mqtt://broker.example").unwrap(),
        "me:1883"
    );
    assert_eq!(
        endpoint(&["-L", "ws://me/x"], "other").unwrap(),
        "ws://me:8080/x"
    );
    assert!(
        endpoint(&[], "mqqt://x")
            .unwrap_err()
            .contains("BROKER=mqqt://x")
    );
}

#[test]
fn what_is_not_supported_says_what_to_do() {
    for (arguments, part) in [
        (&["--psk", "00"][..], "--cafile"),
        (&["--proxy", "socks5h://x"], "ssh -L"),
        (&["--unix", "/x"], "-h and -p"),
        (&["-S"], "SRV"),
        (&["-V", "31"], "311"),
        (&["--tls-version", "tlsv1.1"], "tlsv1.2"),
        (&["--ciphers", "HIGH"], "ECDHE"),
        (&["-k", "3"], "5 to 65535"),
        (&["-i", "a", "-I", "b"], "--id"),
        (&["--cert", "a"], "--key"),
        (&["--will-retain"], "--will-topic"),
    ] {
        let error = Program::try_parse_from([&["test"], arguments].concat()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
