//! The flags of the history. Its limits are in the table of limits.

use std::time::Duration;

use clap::Args;
use mqtt::TopicFilter;

use super::parse;
use crate::history::{ArchiveLimits, Chosen, MessageLimits};
use crate::limits::LimitArgs;

/// The memory of what happened.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "History")]
pub(crate) struct HistoryArgs {
    /// Remember nothing of what happened: charts and presences begin when a page is opened. So it is with
    /// --in-memory and --no-devices, too.
    #[arg(long, env = "BEACONRY_NO_HISTORY", value_parser = clap::builder::BoolishValueParser::new())]
    no_history: bool,

    /// How long values are kept as they came.
    #[arg(long, value_name = "TIME", env = "BEACONRY_HISTORY_RAW", default_value = "30d", value_parser = parse::history_time)]
    history_raw: Duration,

    /// How long rollups of a minute, an hour and a day are kept, and presences, commands and faults.
    #[arg(long, value_name = "TIME", env = "BEACONRY_HISTORY_ROLLUPS", default_value = "3653d", value_parser = parse::history_time)]
    history_rollups: Duration,

    /// How long messages are kept as they came; 0 keeps none. They can be read and searched later.
    #[arg(long, value_name = "TIME", env = "BEACONRY_HISTORY_MESSAGES", default_value = "24h", value_parser = parse::messages_time)]
    history_messages: Duration,

    /// Record only values and messages from topics that this filter matches. May be given several times; in the variable, one
    /// filter a line.
    #[arg(long, value_name = "FILTER", env = "BEACONRY_HISTORY_INCLUDE", value_delimiter = '\n', value_parser = parse::topic_filter)]
    history_include: Vec<TopicFilter>,

    /// Record no values and no messages from topics that this filter matches. May be given several times; in the variable, one
    /// filter a line.
    #[arg(long, value_name = "FILTER", env = "BEACONRY_HISTORY_EXCLUDE", value_delimiter = '\n', value_parser = parse::topic_filter)]
    history_exclude: Vec<TopicFilter>,
}

impl HistoryArgs {
    /// How much is kept. `None`: nothing.
    pub(crate) fn limits(&self, limits: &LimitArgs) -> Option<ArchiveLimits> {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        (!self.no_history).then(|| ArchiveLimits {
            raw: millis(self.history_raw),
            rollups: millis(self.history_rollups.max(self.history_raw)),
            bytes: limits.history_bytes,
            memory: limits.history_memory,
            series: u64::from(limits.history_series),
            names: limits.history_names as u64,
        })
    }

    /// How many messages are kept. `None`: none.
    pub(crate) fn messages(&self, limits: &LimitArgs) -> Option<MessageLimits> {
        (!self.history_messages.is_zero()).then_some(MessageLimits {
            keep: self.history_messages,
            bytes: limits.history_messages_bytes,
            payload: limits.history_payload,
        })
    }

    /// Which topics are recorded.
    pub(crate) fn chosen(&self) -> Chosen {
        Chosen {
            include: self.history_include.clone(),
            exclude: self.history_exclude.clone(),
        }
    }
}
