//! What a row of the table is, and how the command line is made from it.

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches};

use crate::metrics::Metric;

/// A limit, whatever the type of its value.
#[derive(Debug)]
pub struct Row {
    /// Its section.
    pub group: Group,
    /// The flag without its dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The placeholder behind the flag: N, SIZE, TIME or POLICY.
    pub unit: &'static str,
    /// Says what is limited: in `--help`, and first in its section of docs/limits.md.
    pub help: &'static str,
    /// Says in docs/limits.md what happens at the limit.
    pub at_limit: &'static str,
    /// Counts how often the limit is reached. If nothing counts that, it shows how close the limit is.
    pub metric: &'static Metric,
    /// Further metrics that show the limit at work.
    pub more_metrics: &'static [&'static Metric],
}

/// A row, and what depends on the type of its value.
#[derive(Debug)]
pub(crate) struct Setting<T: 'static> {
    pub(crate) row: Row,
    pub(crate) default: Preset<T>,
    /// Reads a value. The error says what is expected.
    pub(crate) parse: fn(&str) -> Result<T, String>,
}

/// The default of a limit: its value if the flag is not given.
#[derive(Debug)]
pub(crate) enum Preset<T> {
    /// As it is written on the command line.
    Text(&'static str),
    /// A description, and the function that computes it.
    Follows(&'static str, fn(Known) -> T),
}

/// The limits from which the defaults of others follow.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Known {
    /// `--max-memory` in bytes.
    pub(crate) memory: usize,
    /// `--max-packet-size` in bytes.
    pub(crate) packet: usize,
}

/// The sections of docs/limits.md and the headings of `--help`, in their order.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The memory of everything together.
    Memory,
    /// Connections, of MQTT and HTTP.
    Connections,
    /// Packets, topics and topic aliases.
    Packets,
    /// Sessions and wills.
    Sessions,
    /// Subscriptions.
    Subscriptions,
    /// Messages that clients publish.
    Publishers,
    /// Messages that wait for clients.
    Queues,
    /// Retained messages.
    Retained,
    /// What is stored on the disk.
    Store,
    /// The model of the devices.
    Devices,
    /// The memory of what happened.
    History,
}

impl Row {
    /// All metrics of this limit.
    pub fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        let more = self.more_metrics.iter().copied();
        std::iter::once(self.metric).chain(more)
    }
}

impl<T: Copy + Send + Sync> Setting<T> {
    /// The flag with its variable.
    pub(super) fn arg(&self) -> Arg
    where
        ValueParser: From<fn(&str) -> Result<T, String>>,
    {
        let row = &self.row;
        let arg = Arg::new(row.flag)
            .long(row.flag)
            .env(row.variable)
            .value_name(row.unit)
            .value_parser(ValueParser::from(self.parse))
            .help_heading(row.group.heading())
            // `-h` shows only what a beginner needs.
            .hide_short_help(true);
        match self.default {
            Preset::Text(text) => arg.help(row.help).default_value(text),
            Preset::Follows(what, _) => arg.help(format!("{} [default: {what}]", row.help)),
        }
    }

    /// The value that was given, or the default.
    pub(super) fn value(&self, matches: &ArgMatches, known: Known) -> Result<T, clap::Error> {
        match (matches.get_one::<T>(self.row.flag), &self.default) {
            (Some(value), _) => Ok(*value),
            (None, Preset::Follows(_, follow)) => Ok(follow(known)),
            // clap fills in the default, so this means that the flag is not defined.
            (None, Preset::Text(_)) => Err(clap::Error::raw(
                ErrorKind::MissingRequiredArgument,
                format!("--{} is missing", self.row.flag),
            )),
        }
    }
}

impl<T> Preset<T> {
    /// The default, as documentation shows it.
    pub(crate) const fn text(&self) -> &'static str {
        match self {
            Self::Text(text) | Self::Follows(text, _) => text,
        }
    }
}

impl Known {
    /// A `part`-th of the memory, but enough for `packets` of the largest packets. A smaller limit would
    /// refuse packets that clients are told they may send.
    pub(crate) fn part(self, part: usize, packets: usize) -> usize {
        (self.memory / part).max(self.packet.saturating_mul(packets))
    }

    /// For the tap: enough for a burst of some tens of milliseconds at the highest rate.
    pub(crate) fn tap(self) -> usize {
        self.part(64, 0).min(16 << 20)
    }
}

impl Group {
    /// The heading of this section in `--help`.
    const fn heading(self) -> &'static str {
        match self {
            Self::Memory => "Limits: memory",
            Self::Connections => "Limits: connections",
            Self::Packets => "Limits: packets and topics",
            Self::Sessions => "Limits: sessions and wills",
            Self::Subscriptions => "Limits: subscriptions",
            Self::Publishers => "Limits: messages from clients",
            Self::Queues => "Limits: messages to clients",
            Self::Retained => "Limits: retained messages",
            Self::Store => "Limits: store",
            Self::Devices => "Limits: devices",
            Self::History => "Limits: history",
        }
    }
}

/// Makes the table, the values that the command line gave, and `broker::Limits` from them. The
/// rows under `broker` have the names of its fields, so each field has one row.
macro_rules! limits {
    (
        server { $($own:ident: $own_type:ty = $own_setting:expr;)* }
        broker { $($field:ident: $type:ty = $setting:expr;)* }
    ) => {
        /// The rows.
        pub(crate) static TABLE: Table = Table {
            $($own: $own_setting,)*
            $($field: $setting,)*
        };

        /// The rows.
        #[derive(Debug)]
        pub(crate) struct Table {
            $(pub(crate) $own: Setting<$own_type>,)*
            $(pub(crate) $field: Setting<$type>,)*
        }

        /// The limits of this run.
        #[derive(Clone, Debug)]
        pub(crate) struct LimitArgs {
            $(pub(crate) $own: $own_type,)*
            $(pub(crate) $field: $type,)*
        }

        impl Table {
            /// In the order of their groups, with the texts of their defaults.
            pub(crate) fn rows_with_defaults(&'static self) -> Vec<(&'static Row, &'static str)> {
                let mut rows = vec![
                    $((&self.$own.row, self.$own.default.text()),)*
                    $((&self.$field.row, self.$field.default.text()),)*
                ];
                rows.sort_by_key(|(row, _)| row.group);
                rows
            }
        }

        impl Args for LimitArgs {
            fn augment_args(command: Command) -> Command {
                let mut args = vec![
                    $((TABLE.$own.row.group, TABLE.$own.arg()),)*
                    $((TABLE.$field.row.group, TABLE.$field.arg()),)*
                ];
                args.sort_by_key(|(group, _)| *group);
                command.args(args.into_iter().map(|(_, arg)| arg))
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for LimitArgs {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let mut known = Known::default();
                known.memory = TABLE.memory_bytes.value(matches, known)?;
                let packet = TABLE.maximum_packet_size.value(matches, known)?;
                known.packet = usize::try_from(packet).unwrap_or(usize::MAX);
                let limits = Self {
                    $($own: TABLE.$own.value(matches, known)?,)*
                    $($field: TABLE.$field.value(matches, known)?,)*
                };
                Ok(limits.with_room_for_packets())
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }

        impl LimitArgs {
            /// The broker's limits.
            pub(crate) fn broker(&self) -> broker::Limits {
                broker::Limits {
                    // The gate limits connections, WebSocket and HTTP included.
                    connections: usize::MAX,
                    $($field: self.$field,)*
                }
            }
        }
    };
}
pub(super) use limits;
