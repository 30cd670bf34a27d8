//! TLS for clients, by rustls with the cryptography of ring.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion, version,
};

use super::trouble::Trouble;

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    /// A file of certificates of authorities, in PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// A folder of such files.
    pub(crate) ca_path: Option<PathBuf>,
    /// Whether to trust the authorities that the system trusts. Without a file or folder of
    /// authorities they are trusted anyway.
    pub(crate) os_certificates: bool,
    /// The client's own certificate and its private key, both in PEM.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// With authorities of the user's own: whether any name will do. Without: whether any certificate
    /// will do.
    pub(crate) insecure: bool,
    /// The only version to speak. `None`: 1.2 and 1.3.
    pub(crate) version: Option<TlsVersion>,
    /// The suites of TLS 1.2 to use. Empty: all.
    pub(crate) ciphers: Vec<Cipher>,
    /// The protocol to ask for by ALPN.
    pub(crate) alpn: Option<String>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    V1_2,
    V1_3,
}

/// A suite that both OpenSSL and rustls know, found by OpenSSL's name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cipher(SupportedCipherSuite);

/// How to make a connection secure.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files. `Err` says which one is wrong, and how.
    pub(crate) fn new(settings: &TlsSettings) -> Result<Self, String> {
        let provider = Arc::new(provider(&settings.ciphers));
        let versions: &[&SupportedProtocolVersion] = match settings.version {
            None => &[&version::TLS12, &version::TLS13],
            Some(TlsVersion::V1_2) => &[&version::TLS12],
            Some(TlsVersion::V1_3) => &[&version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions);
        let builder = builder.map_err(|error| format!("TLS: {error}"))?;
        let own = own_certificates(settings)?;
        let builder = if settings.insecure || !own.is_empty() {
            let roots = if settings.insecure && own.is_empty() {
                None
            } else {
                Some(roots(settings, &own)?)
            };
            let inner = roots.map(|roots| {
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
            });
            let inner = inner.transpose().map_err(|error| format!("TLS: {error}"))?;
            let verifier = Verifier {
                provider,
                inner,
                own,
                checks_name: !settings.insecure,
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            builder.with_root_certificates(roots(settings, &own)?)
        };
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|error| {
                    format!("{} and {}: {error}", certificate.display(), key.display())
                })?,
        };
        config.alpn_protocols = settings
            .alpn
            .iter()
            .map(|it| it.clone().into_bytes())
            .collect();
        Ok(Self(Arc::new(config)))
    }

    /// The handshake, with the server that should be `host`.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Trouble> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Trouble::Tls(std::io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name, stream).await.map_err(Trouble::Tls)
    }
}

/// Without the private key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl TlsVersion {
    /// Reads `tlsv1.2` or `tlsv1.3`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "tlsv1.2" => Ok(Self::V1_2),
            "tlsv1.3" => Ok(Self::V1_3),
            "tlsv1" | "tlsv1.1" => Err(
                "TLS 1.0 and 1.1 are broken and not supported; use tlsv1.2 or tlsv1.3".to_owned(),
            ),
            _ => Err("use tlsv1.2 or tlsv1.3".to_owned()),
        }
    }
}

impl Cipher {
    /// Finds a suite of TLS 1.2 by OpenSSL's name for it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let suite = ring::DEFAULT_CIPHER_SUITES
            .iter()
            .find(|it| openssl_name(it).as_deref() == Some(text));
        suite.copied().map(Self).ok_or_else(|| {
            let names: Vec<String> = ring::DEFAULT_CIPHER_SUITES
                .iter()
                .filter_map(openssl_name)
                .collect();
            format!("{text} is not supported; use some of {}", names.join(":"))
        })
    }
}

/// OpenSSL's name, such as `ECDHE-RSA-AES128-GCM-SHA256`. `None` for the suites of TLS 1.3, which
/// nobody needs to choose from.
fn openssl_name(suite: &SupportedCipherSuite) -> Option<String> {
    let name = format!("{:?}", suite.suite());
    let name = name.strip_prefix("TLS_")?.replace("_WITH", "");
    let name = name.replace("AES_", "AES").replace('_', "-");
    // OpenSSL leaves the hash of this one out.
    let name = name.replace("CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305");
    name.starts_with("ECDHE").then_some(name)
}

fn provider(ciphers: &[Cipher]) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !ciphers.is_empty() {
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || ciphers.contains(&Cipher(*suite)));
    }
    provider
}

/// The certificates of the user's own files: of authorities, or of the server itself.
fn own_certificates(settings: &TlsSettings) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut own = Vec::new();
    if let Some(file) = &settings.ca_file {
        own.extend(certificates(file)?);
    }
    if let Some(folder) = &settings.ca_path {
        own.extend(certificates_of_folder(folder)?);
    }
    Ok(own)
}

/// The authorities to trust.
fn roots(settings: &TlsSettings, own: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(own.iter().cloned());
    if settings.os_certificates || own.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    if roots.is_empty() {
        let what = if own.is_empty() {
            "this system trusts no authorities; --cafile names a file of certificates"
        } else {
            "no certificate of --cafile or --capath can be read"
        };
        return Err(what.to_owned());
    }
    Ok(roots)
}

/// All certificates of the files in a folder. Other files are left alone, as OpenSSL does.
fn certificates_of_folder(folder: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let problem = |error| format!("--capath {}: {error}", folder.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.is_file() {
            all.extend(certificates(&path).unwrap_or_default());
        }
    }
    if all.is_empty() {
        return Err(format!(
            "--capath {} has no certificate in PEM",
            folder.display()
        ));
    }
    Ok(all)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| format!("{}: {error}", file.display()))?;
    if found.is_empty() {
        return Err(format!("{} has no certificate in PEM", file.display()));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if String::from_utf8_lossy(&text).contains("ENCRYPTED") {
        return Err(format!(
            "{} is encrypted; write it without a password: openssl pkey -in KEY -out PLAIN",
            file.display()
        ));
    }
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| format!("{} has no private key in PEM: {error}", file.display()))
}

/// Checks a server's certificate with `--cafile`, `--capath` or `--insecure`.
///
/// Beyond what rustls does, it takes a certificate that the user named itself, as OpenSSL does: many
/// brokers at home have a single one, which no authority signed.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: nothing is checked.
    inner: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<CertificateDer<'static>>,
    checks_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        let named = self
            .own
            .iter()
            .any(|own| own.as_ref() == end_entity.as_ref());
        let checked = if named {
            ParsedCertificate::try_from(end_entity)
                .and_then(|parsed| verify_server_name(&parsed, server_name))
                .map(|()| ServerCertVerified::assertion())
        } else {
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        match checked {
            // The name is what is checked last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_openssl_names() {
        for name in [
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ] {
            assert!(Cipher::parse(name).is_ok(), "{name}");
        }
        let error = Cipher::parse("HIGH").unwrap_err();
        assert!(error.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{error}");
    }

    #[test]
    fn an_old_version_is_named() {
        assert!(
            TlsVersion::parse("tlsv1.1")
                .unwrap_err()
                .contains("tlsv1.2")
        );
        assert_eq!(TlsVersion::parse("tlsv1.3"), Ok(TlsVersion::V1_3));
    }
}
