//! The command line of `beaconry collect`, with the founding documents' variables.

use std::path::PathBuf;
use std::time::Duration;

use api::{Members, Raw};
use clap::Args;
use mqtt::{ClientOptions, TopicFilter, Utf8String};

use super::store::Format;
use crate::cli::parse;
use crate::programs::command::complete;
use crate::programs::connection::{Connection, ConnectionArgs, Defaults};
use crate::programs::environment::Environment;
use crate::programs::topics::{TopicArgs, Topics};

/// The client identifier that the documents use.
const USUAL_ID: &str = "example-server-0001";
/// How long the broker keeps the session while the program is away, in seconds: a week.
const SESSION: u32 = 7 * 86_400;

/// The options of `beaconry collect`.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Args)]
pub(crate) struct CollectArgs {
    /// The client identifier, under which the broker keeps what comes while this program is away. Or the
    /// variable SERVER_ID. Without both: example-server-0001.
    #[arg(long, value_name = "ID")]
    server_id: Option<String>,

    /// Append to this file. Without it: write to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// How to write. Without it: csv if the file's name ends in .csv, else ndjson.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Acknowledge each message only when it is on the disk: safe against a power failure, and slow.
    #[arg(long)]
    sync: bool,

    /// The command for each device that is signed in: JSON, or a name.
    #[arg(long, value_name = "COMMAND", default_value = "PING")]
    command: String,

    /// How often each device gets it.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse::interval)]
    command_every: Duration,

    /// Give no commands.
    #[arg(long)]
    no_commands: bool,

    /// The most devices that get commands.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    max_devices: usize,

    /// Do not tell of each message. A line of progress comes every 10 seconds.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    topics: TopicArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What was asked for, complete.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) connection: Connection,
    pub(super) options: ClientOptions,
    pub(super) topics: Topics,
    pub(super) filters: [TopicFilter; 3],
    pub(super) out: Option<PathBuf>,
    pub(super) format: Format,
    pub(super) syncs: bool,
    /// Without its uuid.
    command: String,
    pub(super) command_every: Duration,
    pub(super) gives_no_commands: bool,
    pub(super) max_devices: usize,
    pub(super) quiet: bool,
}

impl Settings {
    /// `Err` says what is wrong, for people.
    pub(super) fn new(args: &CollectArgs, environment: &Environment) -> Result<Self, String> {
        let broker = environment.get("BROKER");
        let connection = args.connection.connection(&Defaults {
            // 5, or what the broker speaks.
            version: None,
            broker: broker.as_deref(),
            takes_topic: false,
        })?;
        let id = args
            .server_id
            .clone()
            .or_else(|| args.connection.client_id());
        let id = id.or_else(|| environment.get("SERVER_ID"));
        let id = id.unwrap_or_else(|| USUAL_ID.to_owned());
        let client_id =
            Utf8String::try_from(id).map_err(|error| format!("--server-id: {error}"))?;
        let topics = Topics::new(&args.topics, environment)?;
        let filters = topics.of_all_devices().map_err(|error| error.to_string())?;
        let (command, _) =
            complete(&args.command, String::new).map_err(|error| format!("--command: {error}"))?;
        let is_csv = args.out.as_ref().and_then(|path| path.extension());
        let is_csv = is_csv.is_some_and(|it| it.eq_ignore_ascii_case("csv"));
        let given = &connection.options;
        let options = ClientOptions {
            client_id,
            clean_start: false,
            session_expiry_interval: match given.session_expiry_interval {
                0 => SESSION,
                given => given,
            },
            ..given.clone()
        };
        Ok(Self {
            connection,
            options,
            topics,
            filters,
            out: args.out.clone(),
            format: args
                .format
                .unwrap_or(if is_csv { Format::Csv } else { Format::Ndjson }),
            syncs: args.sync,
            command,
            command_every: args.command_every,
            gives_no_commands: args.no_commands,
            max_devices: args.max_devices,
            quiet: args.quiet,
        })
    }

    /// Where the records go, for people.
    pub(super) fn place(&self) -> String {
        match &self.out {
            Some(path) => path.display().to_string(),
            None => "standard output".to_owned(),
        }
    }

    /// The command with this uuid.
    pub(super) fn command_with(&self, uuid: &str) -> String {
        let Ok(mut members) = Members::parse(&self.command) else {
            return self.command.clone();
        };
        members.take("uuid");
        if let Some(raw) = Raw::of(&uuid) {
            members.push("uuid", raw);
        }
        serde_json::to_string(&members).unwrap_or_else(|_| self.command.clone())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        args: CollectArgs,
    }

    fn settings(line: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let words = std::iter::once("collect").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Settings::new(&line.args, &Environment::of(variables))
    }

    #[test]
    fn the_documents_variables_are_enough() {
        let variables = [
            ("SERVER_ID", "server-7"),
            ("BROKER", "mqtt://broker.example"),
            ("DATA_TOPIC", "mqtt/blog/examples/data"),
        ];
        let settings = settings("", &variables).unwrap();
        assert_eq!(settings.options.client_id.as_str(), "server-7");
        assert!(!settings.options.clean_start && settings.options.session_expiry_interval > 0);
        assert_eq!(settings.filters[0].as_str(), "mqtt/blog/examples/data/+");
        assert_eq!(
            settings.connection.endpoint.to_string(),
            "broker.example:1883"
        );
        let command = settings.command_with("u-1");
        assert_eq!(command, r#"{"command":"PING","uuid":"u-1"}"#);
    }

    #[test]
    fn a_file_s_name_tells_the_format() {
        let format = |line| settings(line, &[]).unwrap().format;
        assert_eq!(format("--out a.CSV"), Format::Csv);
        assert_eq!(format("--out a.json"), Format::Ndjson);
        assert_eq!(format("--out a.csv --format ndjson"), Format::Ndjson);
        let error = settings("--command {", &[]).unwrap_err();
        assert!(error.starts_with("--command: "), "{error}");
    }
}
