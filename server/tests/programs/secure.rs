//! `pub` and `sub` over TLS and wss, by a small proxy that ends TLS before our own server.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use testbed::Folder;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::support::{Server, run};

/// Ends TLS, for as long as the test's process lives.
struct Proxy {
    folder: Folder,
    port: String,
}

impl Proxy {
    /// Passes everything on to `to`, as `localhost` with a certificate of an authority of its own.
    fn start(to: SocketAddr) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Folder::new();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        std::thread::spawn(move || serve(listener, &acceptor, to));
        Self { folder, port }
    }

    fn ca(&self) -> String {
        self.folder
            .path()
            .join("ca.pem")
            .to_str()
            .unwrap()
            .to_owned()
    }
}

fn serve(listener: std::net::TcpListener, acceptor: &TlsAcceptor, to: SocketAddr) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us goes away.
                if let Ok(mut secure) = acceptor.accept(stream).await {
                    let mut plain = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
                }
            });
        }
    });
}

/// Publishes a retained message over the connection, and reads it back over it.
fn round_trip(connection: &[&str]) {
    let message = ["-t", "secure", "-q", "1"];
    let ended = run(
        &[&["pub", "-m", "hello", "-r"], &message[..], connection].concat(),
        b"",
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let ended = run(
        &[&["sub", "-C", "1"], &message[..], connection].concat(),
        b"",
    );
    assert_eq!(
        (ended.code, ended.stdout.as_slice()),
        (Some(0), &b"hello\n"[..])
    );
}

#[test]
fn over_tls_and_wss() {
    let server = Server::start(&[]);
    let mqtt = Proxy::start(server.mqtt);
    round_trip(&["-p", &mqtt.port, "--cafile", &mqtt.ca()]);
    let url = format!("mqtts://localhost:{}/ignored", mqtt.port);
    // The topic of the URL does no harm to -t.
    let ended = run(
        &[
            "pub",
            "-L",
            &url,
            "--cafile",
            &mqtt.ca(),
            "-m",
            "x",
            "-q",
            "1",
        ],
        b"",
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let web = Proxy::start(server.http);
    let url = format!("wss://localhost:{}/mqtt", web.port);
    round_trip(&["-L", &url, "--cafile", &web.ca()]);
    round_trip(&["--ws", "-p", &web.port, "--cafile", &web.ca()]);
    let plain = format!("ws://localhost:{}/mqtt", server.http.port());
    round_trip(&["-L", &plain]);
}

#[test]
fn what_is_insecure_is_said_loudly() {
    let server = Server::start(&[]);
    let mqtt = Proxy::start(server.mqtt);
    let pub_ = ["pub", "-p", &mqtt.port, "-t", "t", "-m", "x"];
    let ended = run(&[&pub_[..], &["--tls"]].concat(), b"");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("--cafile"), "{}", ended.stderr);
    let ended = run(&[&pub_[..], &["--tls", "--insecure"]].concat(), b"");
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("INSECURE"), "{}", ended.stderr);
    // Not the name of the certificate.
    let by_address = ["-h", "127.0.0.1", "--cafile", &mqtt.ca()];
    let ended = run(&[&pub_[..], &by_address].concat(), b"");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("--insecure"), "{}", ended.stderr);
    let ended = run(&[&pub_[..], &by_address, &["--insecure"]].concat(), b"");
    assert_eq!(ended.code, Some(0));
}
