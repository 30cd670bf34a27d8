//! The command line: what can be asked for, and one clear line when it is not understood.

mod access;
mod limits;
mod mqtt;
mod store;

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub(crate) use self::access::AccessArgs;
pub(crate) use self::limits::LimitArgs;
pub(crate) use self::mqtt::MqttArgs;
pub(crate) use self::store::StoreArgs;
use crate::logging::Filter;

/// Every device, live, from one binary: an MQTT broker with its dashboard.
#[derive(Debug, Parser)]
#[command(
    name = "beaconry",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `beaconry` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker and the dashboard.
    ///
    /// Prints one line on standard output once it accepts connections:
    /// `ready mqtt=ADDR http=ADDR`. Logs go to standard error. SIGINT and SIGTERM end it
    /// cleanly.
    Serve(ServeArgs),
}

/// The flags of `beaconry serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to accept MQTT over TCP; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", env = "BEACONRY_MQTT", default_value = "127.0.0.1:1883", value_parser = parse_address)]
    pub(crate) mqtt: SocketAddr,

    /// Where to serve the dashboard, and MQTT over WebSocket at /mqtt; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", env = "BEACONRY_HTTP", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    pub(crate) http: SocketAddr,

    /// Simulate this many devices, connected by real TCP connections.
    #[arg(long, value_name = "N", env = "BEACONRY_DEMO", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) demo: u32,

    /// How often a simulated device sends its readings, for example 1s or 250ms.
    #[arg(long, value_name = "TIME", env = "BEACONRY_DEMO_INTERVAL", default_value = "1s", value_parser = parse_interval)]
    pub(crate) demo_interval: Duration,

    /// What to log: off, error, warn, info, debug or trace.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "BEACONRY_LOG",
        default_value = "info"
    )]
    pub(crate) log: Filter,

    #[command(flatten)]
    pub(crate) mqtt_options: MqttArgs,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// Reads the command line, which begins with the program's name. `Err` is the code to exit with; the
/// user has been told why.
pub(crate) fn parse<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<Command, ExitCode> {
    let checked = Cli::try_parse_from(arguments).and_then(|cli| {
        let Command::Serve(arguments) = &cli.command;
        let checked = arguments.limits.check();
        checked.map_err(|what| Cli::command().error(ErrorKind::ArgumentConflict, what))?;
        Ok(cli)
    });
    checked.map(|cli| cli.command).map_err(|error| {
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        ) {
            // A closed pipe (`beaconry --help | head -1`) is no reason to complain.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        eprintln!("{}", one_line(&error));
        ExitCode::from(2)
    })
}

/// clap explains itself in paragraphs; a log or a service manager wants one line.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "beaconry: say what to do, for example beaconry serve; see beaconry --help"
            .to_owned();
    }
    let text = error.to_string();
    let mut line = String::from("beaconry: ");
    for part in text.split('\n').map(str::trim) {
        if part.is_empty() || part.starts_with("Usage:") || part.starts_with("For more") {
            continue;
        }
        let part = part.strip_prefix("error: ").unwrap_or(part);
        let part = part
            .strip_prefix("tip: ")
            .map_or_else(|| part.to_owned(), |tip| format!("({tip})"));
        if !line.ends_with(' ') {
            line.push(' ');
        }
        line.push_str(&part);
    }
    line.push_str("; see beaconry serve --help");
    line
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    // A name such as localhost:1883; its first address is the one meant.
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| {
            "expected an address and a port, such as 127.0.0.1:1883 or [::]:1883".to_owned()
        })
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    parse_duration(text, Duration::from_millis(10), Duration::from_hours(1))
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    parse_duration(text, Duration::from_millis(100), Duration::from_hours(1))
}

fn parse_duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => Some(1.0),
        unit => UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, seconds)| *seconds),
    };
    let duration = unit
        .zip(digits.parse::<f64>().ok())
        .and_then(|(unit, number)| Duration::try_from_secs_f64(number * unit).ok());
    match duration {
        Some(duration) if (least..=most).contains(&duration) => Ok(duration),
        Some(_) => Err(format!("expected a time between {least:?} and {most:?}")),
        None => Err("expected a time such as 250ms, 1s or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_for(arguments: &[&str]) -> String {
        one_line(&Cli::try_parse_from(arguments).unwrap_err())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        for (arguments, named) in [
            (&["beaconry", "serve", "--mqqt", "x"][..], "--mqtt"),
            (
                &["beaconry", "serve", "--mqtt", "nonsense"][..],
                "127.0.0.1:1883",
            ),
            (&["beaconry", "serve", "--demo", "-1"][..], "-1"),
            (&["beaconry", "sevre"][..], "serve"),
            (&["beaconry"][..], "serve"),
        ] {
            let line = line_for(arguments);
            assert!(!line.contains('\n'), "{line}");
            assert!(line.contains(named), "{line}");
        }
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(parse_interval("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_interval("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_interval("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "s", "1ms", "2h", "1 s", "-1s", "NaN", "1d", "1é"] {
            assert!(parse_interval(bad).is_err(), "{bad}");
        }
    }
}
