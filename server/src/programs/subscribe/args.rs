//! The options of `beaconry sub`.

use std::time::Duration;

use clap::{ArgAction, Args};
use mqtt::{QoS, TopicFilter};

use super::format::Format;
use crate::cli::parse;
use crate::programs::connection::{ConnectionArgs, qos};
use crate::programs::properties::PropertyArgs;

/// The options.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Args)]
pub(crate) struct SubArgs {
    /// A topic to subscribe to; + and # stand for any levels. May be given several times.
    #[arg(short, long, value_name = "FILTER", value_parser = parse::topic_filter, required_unless_present = "url")]
    pub(super) topic: Vec<TopicFilter>,

    /// The highest quality of service of the messages: 0, 1 or 2.
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    pub(super) qos: QoS,

    /// Print no messages of these topics. May be given several times.
    #[arg(short = 'T', long, value_name = "FILTER", value_parser = parse::topic_filter)]
    pub(super) filter_out: Vec<TopicFilter>,

    /// End this subscription of the session. May be given several times.
    #[arg(short = 'U', long, value_name = "FILTER", value_parser = parse::topic_filter)]
    pub(super) unsubscribe: Vec<TopicFilter>,

    /// End after so many messages.
    #[arg(short = 'C', long = "count", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// End after so many seconds, with exit code 27.
    #[arg(short = 'W', long = "timeout", value_name = "SECONDS", value_parser = timeout)]
    pub(super) timeout: Option<Duration>,

    /// End when the broker has answered the subscriptions.
    #[arg(short = 'E', long = "exit-after-subscribe")]
    pub(super) exit_after_subscribe: bool,

    /// Print no retained messages, only what is published now.
    #[arg(short = 'R', long = "no-retained", conflicts_with = "retained_only")]
    pub(super) no_retained: bool,

    /// Print only retained messages, and end at the first other one.
    #[arg(long)]
    pub(super) retained_only: bool,

    /// Remove the retained messages that come.
    #[arg(long)]
    pub(super) remove_retained: bool,

    /// Show messages as they were published: retained or not (version 5).
    #[arg(long)]
    pub(super) retain_as_published: bool,

    /// Print only so many of 100 messages, chosen by chance.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(super) random_filter: Option<f64>,

    #[command(flatten)]
    pub(super) properties: PropertyArgs,

    /// Say on standard error what happens.
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(super) debug: bool,

    /// Say nothing on standard error, not even of errors.
    #[arg(long)]
    pub(super) quiet: bool,

    /// Print the topic before the payload.
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,

    /// Print no end of line after a message.
    #[arg(short = 'N', long = "no-newline", help_heading = "Output")]
    pub(super) no_newline: bool,

    /// Print each message in this format: %t topic, %p payload, %x in hexadecimal, %l its length,
    /// %q QoS, %r retained, %m packet id, %I time, %U seconds since 1970, %j and %J JSON, %A %C %D %E
    /// %F %P %R %S properties; @ and a letter as in strftime; \n \t \0 and others.
    #[arg(short = 'F', long = "format", value_name = "FORMAT", allow_hyphen_values = true, value_parser = Format::parse, help_heading = "Output")]
    pub(super) format: Option<Format>,

    /// With %j, %J and --json: over several lines.
    #[arg(long, help_heading = "Output")]
    pub(super) pretty: bool,

    /// Print each message as a JSON object on a line of its own.
    #[arg(long, conflicts_with_all = ["format", "verbose"], help_heading = "Output")]
    pub(super) json: bool,

    /// Show the newest value of each topic, its age and its rate in a live table, on a terminal.
    #[arg(long, conflicts_with_all = ["format", "verbose", "json"], help_heading = "Output")]
    pub(super) watch: bool,

    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("give a whole number of seconds".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.1..=100.0).contains(&percent) => Ok(percent),
        _ => Err("give 0.1 to 100".to_owned()),
    }
}
