//! The options of a connection, the same for every client program: one clap group.
//!
//! The names are those of mosquitto's tools, because many people know them.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::{ArgAction, Args};
use mqtt::packet::WillProperties;
use mqtt::{ClientOptions, ProtocolVersion, QoS, TopicName, Utf8String, Will};

use super::endpoint::{Endpoint, Remote, Scheme, Url};
use super::tls::{Cipher, Tls, TlsSettings, TlsVersion};
use super::unsupported;
use crate::cli::parse;

/// How to connect. Flatten it last into a program's own options.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Args)]
#[command(
    disable_help_flag = true,
    args_override_self = true,
    next_help_heading = "Connection"
)]
pub(crate) struct ConnectionArgs {
    /// The broker's name or address. Without it: that of the variable BROKER, which may be a URL, or
    /// localhost.
    #[arg(short = 'h', long, value_name = "HOST")]
    host: Option<String>,

    /// The broker's port. Without it: 1883, with TLS 8883, over WebSocket 8080, with both 443. Port
    /// 8883 means TLS.
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,

    /// Broker, login and topic in one: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC], or
    /// ws[s]://…[/PATH] for WebSocket, whose path is /mqtt if none is given.
    #[arg(short = 'L', long, value_name = "URL")]
    url: Option<String>,

    /// The user name to log in with.
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// The password to log in with.
    #[arg(
        short = 'P',
        long = "pw",
        visible_alias = "password",
        value_name = "PASSWORD",
        allow_hyphen_values = true
    )]
    password: Option<OsString>,

    /// The client identifier. Without it the broker chooses one.
    #[arg(short, long, value_name = "ID", conflicts_with = "id_prefix")]
    id: Option<String>,

    /// The client identifier is this text followed by the process's number.
    #[arg(short = 'I', long, value_name = "TEXT")]
    id_prefix: Option<String>,

    /// After how many seconds of silence to ask whether the broker is there; 0: never.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60, value_parser = keep_alive)]
    keepalive: u16,

    /// The version of MQTT: 5 (or mqttv5) or 311 (or mqttv311).
    #[arg(short = 'V', long, value_name = "VERSION", value_parser = version)]
    protocol_version: Option<ProtocolVersion>,

    /// Keep the session: the broker keeps subscriptions and messages while the client is away. Needs
    /// --id.
    #[arg(short = 'c', long)]
    disable_clean_session: bool,

    /// For how many seconds the broker keeps the session (version 5); -1: for ever.
    #[arg(
        short = 'x',
        long,
        value_name = "SECONDS",
        allow_hyphen_values = true,
        value_parser = session_expiry
    )]
    session_expiry_interval: Option<u32>,

    /// Connect from this address of this machine.
    #[arg(short = 'A', long = "bind", value_name = "ADDRESS")]
    bind_address: Option<IpAddr>,

    /// Accepted for scripts: small packets never wait for others.
    #[arg(long)]
    nodelay: bool,

    /// Speak MQTT over WebSocket.
    #[arg(long)]
    ws: bool,

    /// The path of the WebSocket.
    #[arg(long, value_name = "PATH", default_value = "/mqtt")]
    ws_path: String,

    /// Print this help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// What the broker publishes if the client vanishes: the topic.
    #[arg(long, value_name = "TOPIC", value_parser = parse::topic, help_heading = "Will")]
    will_topic: Option<TopicName>,

    /// Its payload. Without it: empty.
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        requires = "will_topic",
        help_heading = "Will"
    )]
    will_payload: Option<OsString>,

    /// Its quality of service: 0, 1 or 2.
    #[arg(long, value_name = "QOS", default_value = "0", value_parser = qos, help_heading = "Will")]
    will_qos: QoS,

    /// The broker keeps it for later subscribers.
    #[arg(long, requires = "will_topic", help_heading = "Will")]
    will_retain: bool,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    unsupported: unsupported::OfConnections,
}

/// How to encrypt.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
struct TlsArgs {
    /// Encrypt, and trust the authorities that this system trusts.
    #[arg(long, visible_alias = "tls-use-os-certs")]
    tls: bool,

    /// Encrypt, and trust the authorities in this file (PEM).
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,

    /// Encrypt, and trust the authorities in the files of this folder (PEM).
    #[arg(long, value_name = "DIR")]
    capath: Option<PathBuf>,

    /// The client's own certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The private key to --cert (PEM, without a password).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// With --cafile or --capath: do not check the server's name. Without: check nothing. Not for use.
    #[arg(long)]
    insecure: bool,

    /// The only version of TLS to speak: tlsv1.2 or tlsv1.3.
    #[arg(long, value_name = "VERSION", value_parser = TlsVersion::parse)]
    tls_version: Option<TlsVersion>,

    /// The suites of TLS 1.2 to use, by OpenSSL's names, with : between them.
    #[arg(long, value_name = "NAMES", value_delimiter = ':', value_parser = Cipher::parse)]
    ciphers: Vec<Cipher>,

    /// The protocol to ask for by ALPN.
    #[arg(long, value_name = "NAME")]
    tls_alpn: Option<String>,
}

/// What a program chooses where the user has not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults<'a> {
    /// The version to speak. `None`: 5, or 3.1.1 if the server does not accept that.
    pub(crate) version: Option<ProtocolVersion>,
    /// A broker from the environment: a URL, or a host with or without a port.
    pub(crate) broker: Option<&'a str>,
    /// Whether what stands behind the `/` of a URL is a topic.
    pub(crate) takes_topic: bool,
}

/// What the options make.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Where to connect.
    pub(crate) endpoint: Endpoint,
    /// How. Client identifier, clean start and session expiry are as the user said.
    pub(crate) options: ClientOptions,
    /// The topic of the URL.
    pub(crate) topic: Option<String>,
    /// What a person should know. It goes to standard error.
    pub(crate) warnings: Vec<String>,
}

impl ConnectionArgs {
    /// Puts the options together, and reads the files that they name. `Err` says what is wrong.
    pub(crate) fn connection(&self, defaults: &Defaults<'_>) -> Result<Connection, String> {
        let mut warnings = Vec::new();
        let url = self.url(defaults)?;
        let (endpoint, topic) = self.endpoint(url.as_ref(), defaults, &mut warnings)?;
        let options = self.client_options(url.as_ref(), defaults, &mut warnings)?;
        Ok(Connection {
            endpoint,
            options,
            topic,
            warnings,
        })
    }

    /// The client identifier that the user gave.
    pub(crate) fn client_id(&self) -> Option<String> {
        let prefixed = || {
            Some(format!(
                "{}{}",
                self.id_prefix.as_ref()?,
                std::process::id()
            ))
        };
        self.id.clone().or_else(prefixed)
    }

    /// Whether the user gave a client identifier that is the same each time.
    pub(crate) fn has_own_id(&self) -> bool {
        self.id.as_ref().is_some_and(|id| !id.is_empty())
    }

    /// `-L`, or else the environment's broker, but not if `-h` names one.
    fn url(&self, defaults: &Defaults<'_>) -> Result<Option<Url>, String> {
        if let Some(url) = &self.url {
            return Ok(Some(
                Url::parse(url).map_err(|error| format!("-L: {error}"))?,
            ));
        }
        let Some(broker) = defaults.broker.filter(|_| self.host.is_none()) else {
            return Ok(None);
        };
        let url = if broker.contains("://") {
            Url::parse(broker)
        } else {
            Url::parse(&format!("mqtt://{broker}"))
        };
        Ok(Some(
            url.map_err(|error| format!("BROKER={broker}: {error}"))?,
        ))
    }

    fn endpoint(
        &self,
        url: Option<&Url>,
        defaults: &Defaults<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(Endpoint, Option<String>), String> {
        let tls = &self.tls;
        let port = self.port.or(url.and_then(|url| url.port));
        let asks_for_tls = tls.tls || tls.cafile.is_some() || tls.capath.is_some();
        let scheme = Scheme {
            is_secure: asks_for_tls
                || url.is_some_and(|it| it.scheme.is_secure)
                || port == Some(8883),
            is_web_socket: self.ws || url.is_some_and(|it| it.scheme.is_web_socket),
        };
        if !scheme.is_secure && (tls.cert.is_some() || tls.insecure) {
            return Err(
                "--cert and --insecure need TLS: add --cafile FILE or --tls, or use mqtts://"
                    .to_owned(),
            );
        }
        let host = match (&self.host, url) {
            // As in a URL, an IPv6 address may stand in brackets.
            (Some(host), _) => host.trim_matches(['[', ']']).to_owned(),
            (None, Some(url)) => url.host.clone(),
            (None, None) => "localhost".to_owned(),
        };
        let rest = url
            .and_then(|url| url.rest.clone())
            .filter(|it| !it.is_empty());
        let (path, topic) = if scheme.is_web_socket {
            let of_url = rest.map(|rest| format!("/{rest}"));
            let path =
                of_url.unwrap_or_else(|| format!("/{}", self.ws_path.trim_start_matches('/')));
            (Some(path), None)
        } else {
            (None, rest.filter(|_| defaults.takes_topic))
        };
        let remote = Remote {
            host,
            port: port.unwrap_or_else(|| scheme.usual_port()),
            from: self.bind_address,
            tls: scheme
                .is_secure
                .then(|| self.secure(warnings))
                .transpose()?,
            path,
        };
        Ok((Endpoint::Remote(Arc::new(remote)), topic))
    }

    fn secure(&self, warnings: &mut Vec<String>) -> Result<Tls, String> {
        let args = &self.tls;
        if args.insecure {
            warnings.push(
                if args.cafile.is_some() || args.capath.is_some() {
                    "INSECURE: the server's name is not checked; anyone with a certificate of that \
                     authority can pose as it"
                } else {
                    "INSECURE: the server's certificate is not checked; anyone on the way can read and \
                     change everything"
                }
                .to_owned(),
            );
        }
        Tls::new(&TlsSettings {
            ca_file: args.cafile.clone(),
            ca_path: args.capath.clone(),
            os_certificates: args.tls,
            identity: args.cert.clone().zip(args.key.clone()),
            insecure: args.insecure,
            version: args.tls_version,
            ciphers: args.ciphers.clone(),
            alpn: args.tls_alpn.clone(),
        })
    }

    fn client_options(
        &self,
        url: Option<&Url>,
        defaults: &Defaults<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<ClientOptions, String> {
        let chosen = self.protocol_version.or(defaults.version);
        let user_name = self.username.clone().or_else(|| url?.user.clone());
        let password = self.password.as_ref().map(bytes_of);
        let password = password.or_else(|| Some(Bytes::from(url?.password.clone()?)));
        if password.is_some() && user_name.is_none() && chosen == Some(ProtocolVersion::V3_1_1) {
            warnings.push("a password without a user name (-u): the name is sent empty".to_owned());
        }
        let client_id = self.client_id().unwrap_or_default();
        Ok(ClientOptions {
            version: chosen.unwrap_or(ProtocolVersion::V5),
            fall_back: chosen.is_none(),
            clean_start: !self.disable_clean_session,
            keep_alive: self.keepalive,
            session_expiry_interval: self.session_expiry(chosen),
            will: self.will(),
            user_name: user_name.map(|it| text("user name", it)).transpose()?,
            password,
            seed: seed(),
            ..ClientOptions::new(text("client id", client_id)?)
        })
    }

    /// As mosquitto's tools: none, unless the session is kept; then for ever, unless `-x` says
    /// otherwise.
    fn session_expiry(&self, version: Option<ProtocolVersion>) -> u32 {
        let asked = match version {
            // Version 3.1.1 has no such interval: a session is kept for good or not at all.
            Some(ProtocolVersion::V3_1_1) => None,
            Some(ProtocolVersion::V5) | None => self.session_expiry_interval,
        };
        asked.unwrap_or(if self.disable_clean_session {
            u32::MAX
        } else {
            0
        })
    }

    fn will(&self) -> Option<Will> {
        Some(Will {
            topic: self.will_topic.clone()?,
            payload: self.will_payload.as_ref().map(bytes_of).unwrap_or_default(),
            qos: self.will_qos,
            retain: self.will_retain,
            properties: WillProperties::default(),
        })
    }
}

/// The bytes of an argument: on Unix, exactly those that were given.
pub(crate) fn bytes_of(argument: &OsString) -> Bytes {
    Bytes::copy_from_slice(argument.as_encoded_bytes())
}

fn text(what: &str, text: String) -> Result<Utf8String, String> {
    Utf8String::try_from(text).map_err(|error| format!("{what}: {error}"))
}

/// Differs from process to process, so that not all clients come back at the same time.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

fn keep_alive(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(seconds) if seconds == 0 || seconds >= 5 => Ok(seconds),
        _ => Err("give 5 to 65535 seconds, or 0 for never".to_owned()),
    }
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "5" | "mqttv5" => Ok(ProtocolVersion::V5),
        "311" | "mqttv311" | "3.1.1" | "4" => Ok(ProtocolVersion::V3_1_1),
        "31" | "mqttv31" => {
            Err("version 3.1 is from before the standard; use 311, which every broker knows".into())
        }
        _ => Err("use 5 (mqttv5) or 311 (mqttv311)".to_owned()),
    }
}

/// Reads a quality of service.
pub(crate) fn qos(text: &str) -> Result<QoS, String> {
    let level = text.parse().ok().and_then(QoS::from_u8);
    level.ok_or_else(|| "the quality of service is 0, 1 or 2".to_owned())
}

fn session_expiry(text: &str) -> Result<u32, String> {
    match text {
        "∞" | "-1" => Ok(u32::MAX),
        _ => text
            .parse()
            .map_err(|_| "give 0 to 4294967295 seconds, or -1 for ever".to_owned()),
    }
}
