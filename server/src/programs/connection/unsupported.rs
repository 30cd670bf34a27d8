//! Options of mosquitto's tools that these programs do not have. They are accepted by name, so that the
//! error can say what to do instead.

use clap::Args;

/// Of connections. Each refuses every value.
#[derive(Clone, Debug, Args)]
pub(super) struct OfConnections {
    #[arg(long, hide = true, value_name = "KEY", value_parser = no_psk)]
    psk: Option<String>,

    #[arg(long, hide = true, value_name = "NAME", value_parser = no_psk)]
    psk_identity: Option<String>,

    #[arg(long, hide = true, value_name = "URL", value_parser = no_proxy)]
    proxy: Option<String>,

    #[arg(long, hide = true, value_name = "PATH", value_parser = no_unix)]
    unix: Option<String>,

    #[arg(long, hide = true, value_name = "ENGINE", value_parser = no_engine)]
    tls_engine: Option<String>,

    #[arg(long, hide = true, value_name = "SHA1", value_parser = no_engine)]
    tls_engine_kpass_sha1: Option<String>,

    #[arg(short = 'S', hide = true, num_args = 0, default_missing_value = "", value_parser = no_srv)]
    srv: Option<String>,

    #[arg(long, hide = true, value_name = "FORM", value_parser = key_form)]
    keyform: Option<String>,
}

fn no_psk(_: &str) -> Result<String, String> {
    Err(
        "TLS with shared keys is not supported; use certificates: --cafile, --cert and --key"
            .into(),
    )
}

fn no_proxy(_: &str) -> Result<String, String> {
    Err("proxies are not supported; forward a port instead, for example by ssh -L".into())
}

fn no_unix(_: &str) -> Result<String, String> {
    Err("sockets of the file system are not supported; use -h and -p".into())
}

fn no_srv(_: &str) -> Result<String, String> {
    Err("SRV records of DNS are not supported; -h and -p name the broker".into())
}

fn no_engine(_: &str) -> Result<String, String> {
    Err("engines of OpenSSL are not supported; --key names a file in PEM".into())
}

fn key_form(text: &str) -> Result<String, String> {
    match text {
        "pem" => Ok(text.to_owned()),
        _ => Err("only pem is supported".to_owned()),
    }
}
