//! Parses the command line, and reports an error in one clear line. The flags of the limits come
//! from a table: `server/src/limits`.

mod access;
mod groups;
mod history;
pub(crate) mod manual;
mod mqtt;
pub(crate) mod parse;
mod store;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::access::AccessArgs;
pub(crate) use self::history::HistoryArgs;
use self::manual::{CompletionsArgs, ManArgs};
pub(crate) use self::mqtt::MqttArgs;
pub(crate) use self::store::StoreArgs;
use crate::limits::LimitArgs;
use crate::logging::Filter;
use crate::programs::collect::CollectArgs;
use crate::programs::command::CommandArgs;
use crate::programs::device::DeviceArgs;
use crate::programs::publish::{PubArgs, ReplayArgs};
use crate::programs::subscribe::SubArgs;

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

/// The subcommands.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker and the dashboard.
    ///
    /// The server prints one line on standard output when it accepts connections:
    /// `ready mqtt=ADDR http=ADDR`. Logs go to standard error. SIGINT and SIGTERM end the server
    /// cleanly.
    ///
    /// Sizes are written 65536, 64kB, 512KiB or 4MiB; times 250ms, 10s, 5m, 12h or 30d. Each flag
    /// wins over its environment variable.
    Serve(Box<ServeArgs>),

    /// Simulate devices that sleep and answer commands.
    ///
    /// A device connects, signs in, sends a reading, stays awake for some seconds and sleeps. The broker
    /// keeps its commands meanwhile. SIGINT and SIGTERM let it sign out.
    ///
    /// The variables DEVICE_ID, BROKER, DATA_TOPIC, CMD_REQ_TOPIC, CMD_RESP_TOPIC and REGISTER_TOPIC, also
    /// in a file .env in the working directory, stand in for flags that are not given.
    Device(Box<DeviceArgs>),

    /// Store what devices send, and give commands to those that are signed in.
    ///
    /// The broker keeps what comes while this program is away. Each message is written before it is
    /// acknowledged.
    ///
    /// The variables SERVER_ID, BROKER, DATA_TOPIC, CMD_REQ_TOPIC, CMD_RESP_TOPIC and REGISTER_TOPIC, also
    /// in a file .env in the working directory, stand in for flags that are not given.
    Collect(Box<CollectArgs>),

    /// Give a command to a device and print its answer.
    ///
    /// The exit code is 0 when the answer has come, 27 when it has not in time, and 1 for other faults.
    #[command(name = "command")]
    Give(Box<CommandArgs>),

    /// Publish messages, as mosquitto_pub does.
    ///
    /// The message is text (-m), a file (-f), standard input as a whole (-s) or line by line (-l), or
    /// empty (-n). The exit code is 0 when all is sent, and with QoS 1 and 2 acknowledged.
    Pub(Box<PubArgs>),

    /// Publish messages of the past again, in their own time or faster.
    ///
    /// For example: curl -s 'http://localhost:8080/api/v1/messages?format=ndjson&from=now-1h' | beaconry
    /// replay --speed 60 -h test-broker
    Replay(Box<ReplayArgs>),

    /// Subscribe to topics and print their messages, as mosquitto_sub does.
    ///
    /// Each message is a line: the payload, with -v after its topic, with -F in a format of your own,
    /// with --json as a JSON object. --watch shows a live table instead.
    Sub(Box<SubArgs>),

    /// Print what completes command lines in a shell.
    ///
    /// For bash: beaconry completions bash > /etc/bash_completion.d/beaconry. For zsh: into a file
    /// _beaconry in a folder of $fpath. For fish: > ~/.config/fish/completions/beaconry.fish.
    Completions(CompletionsArgs),

    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man(ManArgs),
}

impl Command {
    /// Whether the values fit together. `Err` says which do not.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Serve(arguments) => arguments.limits.check(),
            Self::Device(_)
            | Self::Collect(_)
            | Self::Give(_)
            | Self::Pub(_)
            | Self::Replay(_)
            | Self::Sub(_)
            | Self::Completions(_)
            | Self::Man(_) => Ok(()),
        }
    }
}

/// What the arguments ask for, without the program's name.
#[must_use]
pub(crate) fn command() -> clap::Command {
    groups::grouped(ungrouped())
}

/// The same without the groups.
fn ungrouped() -> clap::Command {
    Cli::command()
}

/// The flags of `beaconry serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address for MQTT over TCP; port 0 picks a free port.
    #[arg(long, value_name = "ADDR", env = "BEACONRY_MQTT", default_value = "127.0.0.1:1883", value_parser = parse::address)]
    pub(crate) mqtt: SocketAddr,

    /// Where to serve the dashboard, and MQTT over WebSocket at /mqtt; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", env = "BEACONRY_HTTP", default_value = "127.0.0.1:8080", value_parser = parse::address)]
    pub(crate) http: SocketAddr,

    /// Where to take devices that write JSON objects over plain TCP; port 0 picks a free one. Without it:
    /// nowhere.
    #[arg(long, value_name = "ADDR", env = "BEACONRY_TCP_GATEWAY", value_parser = parse::address)]
    pub(crate) tcp_gateway: Option<SocketAddr>,

    /// How many devices to simulate. They connect over real TCP connections.
    #[arg(long, value_name = "N", env = "BEACONRY_DEMO", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) demo: u32,

    /// How often each simulated device sends its readings, for example 1s or 250ms.
    #[arg(long, value_name = "TIME", env = "BEACONRY_DEMO_INTERVAL", default_value = "1s", value_parser = parse::interval)]
    pub(crate) demo_interval: Duration,

    /// How much to log: off, error, warn, info, debug or trace.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "BEACONRY_LOG",
        default_value = "info"
    )]
    pub(crate) log: Filter,

    /// Keep no model of the devices: api/v1/devices and api/v1/changes answer nothing, and the
    /// dashboard learns the devices from MQTT alone.
    #[arg(long, env = "BEACONRY_NO_DEVICES", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) no_devices: bool,

    #[command(flatten)]
    pub(crate) mqtt_options: MqttArgs,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    #[command(flatten)]
    pub(crate) history: HistoryArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// Reads the command line, which begins with the program's name. `Err` is the code to exit with; the
/// user has been told why.
pub(crate) fn parse<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<Command, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let matches = command().try_get_matches_from(&arguments);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let checked = parsed.and_then(|cli| {
        let checked = cli.command.check();
        checked.map_err(|what| command().error(ErrorKind::ArgumentConflict, what))?;
        Ok(cli)
    });
    checked.map(|cli| cli.command).map_err(|error| {
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        ) {
            // A closed pipe (`beaconry --help | head -1`) is no error.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let variable = variable_of(&error, &arguments, |name| std::env::var_os(name).is_some());
        let program = program_of(&arguments);
        eprintln!("{}", one_line(&error, program, variable.as_deref()));
        ExitCode::from(usage_code(program))
    })
}

/// The subcommand that the arguments name, if there is one.
fn program_of(arguments: &[OsString]) -> Option<&str> {
    let named = arguments.get(1)?.to_str()?;
    let is_known = Cli::command().find_subcommand(named).is_some();
    is_known.then_some(named)
}

/// What a wrong command line exits with: what mosquitto's tools do, for those that stand in for them.
fn usage_code(program: Option<&str>) -> u8 {
    match program {
        Some("pub" | "sub") => 1,
        _ => 2,
    }
}

/// The environment variable that gave the value that `error` is about. `None` if a flag gave it.
fn variable_of(
    error: &clap::Error,
    arguments: &[OsString],
    is_set: impl FnOnce(&OsStr) -> bool,
) -> Option<String> {
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let flag = argument.split([' ', '=']).next()?.strip_prefix("--")?;
    let gives = |it: &OsString| {
        let given = it.to_str().and_then(|it| it.strip_prefix("--"));
        given.is_some_and(|it| it.split('=').next() == Some(flag))
    };
    if arguments.iter().any(gives) {
        return None;
    }
    let command = Cli::command();
    let program = command.find_subcommand(program_of(arguments)?)?;
    let known = program
        .get_arguments()
        .find(|it| it.get_long() == Some(flag))?;
    let variable = known.get_env().filter(|it| is_set(it))?;
    Some(variable.to_string_lossy().into_owned())
}

/// Variables that this project's own builds and tests read.
const OF_BUILDS: [&str; 8] = [
    "BEACONRY_ADVISORY_DB",
    "BEACONRY_BIN",
    "BEACONRY_CACHE",
    "BEACONRY_DIST",
    "BEACONRY_KILLS",
    "BEACONRY_PACKET_MIB",
    "BEACONRY_SEED",
    "BEACONRY_VERBOSE",
];

/// Those of `names` that look like variables of the server and that it does not know: perhaps they are
/// misspelt.
pub(crate) fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let command = Cli::command();
    let is_known = |name: &str| {
        let programs = command.get_subcommands();
        let mut arguments = programs.flat_map(clap::Command::get_arguments);
        OF_BUILDS.contains(&name) || arguments.any(|it| it.get_env() == Some(OsStr::new(name)))
    };
    names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("BEACONRY_") && !is_known(name))
        .collect()
}

/// Joins clap's paragraphs into one line, for logs and service managers.
fn one_line(error: &clap::Error, program: Option<&str>, variable: Option<&str>) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "beaconry: a command is missing, for example beaconry serve; see beaconry --help"
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
    if let Some(variable) = variable {
        line.push_str(" (from the variable ");
        line.push_str(variable);
        line.push(')');
    }
    line.push_str("; see beaconry");
    if let Some(program) = program {
        line.push(' ');
        line.push_str(program);
    }
    line.push_str(" --help");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_for(arguments: &[&str]) -> String {
        let given: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let error = Cli::try_parse_from(arguments).unwrap_err();
        one_line(&error, program_of(&given), None)
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
            (&["beaconry", "pub", "-q", "3"], "0, 1 or 2"),
            (&["beaconry", "sub", "-x"], "; see beaconry sub --help"),
            (&["beaconry"][..], "serve"),
        ] {
            let line = line_for(arguments);
            assert!(!line.contains('\n'), "{line}");
            assert!(line.contains(named), "{line}");
        }
    }
    #[test]
    fn a_mistake_in_a_variable_names_the_variable() {
        let given = ["beaconry", "serve", "--max-connections=ten"].map(OsString::from);
        let error = Cli::try_parse_from(&given).unwrap_err();
        assert_eq!(variable_of(&error, &given, |_| true), None);
        // The same value, from the environment.
        let given = ["beaconry", "serve", "--mqtt=127.0.0.1:0"].map(OsString::from);
        assert_eq!(variable_of(&error, &given, |_| false), None);
        let variable = variable_of(&error, &given, |_| true).unwrap();
        assert_eq!(variable, "BEACONRY_MAX_CONNECTIONS");
        let line = one_line(&error, Some("serve"), Some(&variable));
        assert!(
            line.contains("(from the variable BEACONRY_MAX_CONNECTIONS)"),
            "{line}"
        );
    }
    /// Every command line of a `sh` block in the page is understood.
    #[test]
    fn the_page_of_pub_and_sub_is_right() {
        let page = include_str!("../../docs/pub-sub.md");
        let blocks = page.split("```sh\n").skip(1);
        let lines = blocks.flat_map(|block| block.split("```").take(1).flat_map(str::lines));
        let mut count = 0;
        for line in lines {
            let line = line.split(" #").next().unwrap_or(line);
            for command in line.split(" | ").filter(|it| it.starts_with("beaconry ")) {
                let quoted = command.split('\'').enumerate();
                let words = quoted.flat_map(|(index, part)| match index % 2 {
                    0 => part.split_whitespace().collect::<Vec<_>>(),
                    _ => vec![part],
                });
                let words: Vec<&str> = words.collect();
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{command}: {error}");
                }
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn misspelt_variables_are_found() {
        let names = [
            "PATH",
            "BEACONRY_CACHE",
            "BEACONRY_MAX_CONNECTIONS",
            "BEACONRY_MAX_CONECTIONS",
        ];
        let unknown = unknown_variables(names.into_iter().map(OsString::from));
        assert_eq!(unknown, ["BEACONRY_MAX_CONECTIONS"]);
    }
}
