//! What the log says when a limit is reached, with the flags that change it.

use std::fmt;

use broker::{CloseCause, Limit};

use super::row::Row;
use super::table::TABLE;

/// What happened at a limit, for the log: `too many sessions, a new client is refused
/// (--max-sessions)`.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    what: &'static str,
    rows: Vec<&'static Row>,
}

impl Described {
    fn new<const N: usize>(what: &'static str, rows: [&'static Row; N]) -> Self {
        let rows = rows.into();
        Self { what, rows }
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        for (index, row) in self.rows.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}--{}", row.flag)?;
        }
        f.write_str(if self.rows.is_empty() { "" } else { ")" })
    }
}

/// Says what happened at a limit of the broker. If the limit is not in the table, the text names its
/// flag, if it has one.
// Long because it has a sentence for each limit.
pub(crate) fn describe(limit: Limit) -> Described {
    match limit {
        Limit::Connections => Described::new(
            "too many connections, a new one is refused",
            [&TABLE.connections.row],
        ),
        Limit::Sessions => Described::new(
            "too many sessions, a new client is refused",
            [&TABLE.sessions.row],
        ),
        Limit::SessionsEvicted => Described::new(
            "too many sessions, the one that has been absent longest is ended for a new client",
            [&TABLE.sessions.row],
        ),
        Limit::PublishRate => Described::new(
            "publishes too fast, the server does not read from it for a while",
            [&TABLE.publish_rate.row],
        ),
        Limit::ConnectTimeout => Described::new(
            "no CONNECT in time, the connection is closed",
            [&TABLE.connect_timeout.row],
        ),
        Limit::EarlyBytes => Described::new(
            "sent too much before its CONNACK, is refused",
            [&TABLE.early_bytes.row],
        ),
        Limit::PacketSize => Described::new(
            "a packet is too large, the connection is closed",
            [&TABLE.maximum_packet_size.row],
        ),
        Limit::ClientPacketSize => Described::new(
            "a message is larger than the client's Maximum Packet Size, it is not sent to that client",
            [],
        ),
        Limit::ReceiveMaximum => Described::new(
            "too many unacknowledged messages, the connection is closed",
            [&TABLE.receive_maximum.row],
        ),
        Limit::TopicBytes => Described::new(
            "a topic name or filter is too long, it is refused",
            [&TABLE.topic_bytes.row],
        ),
        Limit::TopicLevels => Described::new(
            "a topic name or filter has too many levels, it is refused",
            [&TABLE.topic_levels.row],
        ),
        Limit::ServerTopic => Described::new(
            "published to a topic that starts with $, is refused: those are the server's own",
            [],
        ),
        Limit::PublishRule => Described::new(
            "published, or left a will, to a topic that --deny-publish denies",
            [],
        ),
        Limit::SubscribeRule => Described::new(
            "subscribed to a filter that is denied to it, is refused (--deny-subscribe)",
            [],
        ),
        Limit::ShareName => Described::new(
            "a malformed shared subscription is refused: it should be $share/NAME/FILTER",
            [],
        ),
        Limit::TopicAlias => Described::new(
            "a topic alias is too high, the connection is closed",
            [&TABLE.topic_alias_maximum.row],
        ),
        Limit::PayloadFormat => Described::new(
            "a payload says that it is UTF-8 and is not, it is refused (--check-payload-format)",
            [],
        ),
        Limit::Subscriptions => Described::new(
            "too many subscriptions, a new one is refused",
            [
                &TABLE.subscriptions_per_client.row,
                &TABLE.subscription_bytes_per_client.row,
                &TABLE.all_subscriptions_bytes.row,
            ],
        ),
        Limit::Queue => Described::new("the queue is full, the client loses messages", QUEUES),
        Limit::Will => Described::new(
            "the will is too large, or all wills together are, the client is refused",
            [&TABLE.will_bytes.row, &TABLE.all_wills_bytes.row],
        ),
        Limit::Partial => Described::new(
            "unfinished packets take too much memory, the client that holds most is closed",
            [&TABLE.all_partial_bytes.row],
        ),
        Limit::Memory => Described::new(
            "the memory is full, new messages and new clients are refused",
            [&TABLE.memory_bytes.row],
        ),
        Limit::SlowReader => Described::new(
            "reads too slowly, QoS 0 messages to it are dropped",
            [
                &TABLE.out_buffer_bytes.row,
                &TABLE.all_out_buffers_bytes.row,
            ],
        ),
        Limit::Latest => Described::new(
            "reads too slowly for the newest values that it asked for, some topics are dropped",
            [&TABLE.latest_bytes.row, &TABLE.all_latest_bytes.row],
        ),
        Limit::NotReading => Described::new(
            "does not read its answers, the connection is closed",
            [&TABLE.out_buffer_bytes.row],
        ),
        Limit::Retained => Described::new(
            "no room for another retained message, it is delivered and not kept",
            [&TABLE.retained_messages.row, &TABLE.retained_bytes.row],
        ),
        Limit::RetainedLookups => Described::new(
            "asked for retained messages with too many filters at once, they are not sent",
            [&TABLE.subscriptions_per_client.row],
        ),
        Limit::Tap => Described::new(
            "the model of the devices is slow and loses messages",
            [&TABLE.tap_bytes.row],
        ),
        Limit::JournalBacklog => Described::new(
            "the disk is slow, the server does not read from the client for a while",
            [&TABLE.journal_backlog_bytes.row],
        ),
        Limit::RecordSize => Described::new(
            "a record is too long for the journal: nothing that must be stored is acknowledged until the next start",
            [],
        ),
        Limit::Store => Described::new(
            "the store or the disk of --data is full, what must be stored is refused",
            [&TABLE.store_bytes.row],
        ),
    }
}

/// The flags of a client's queue.
static QUEUES: [&Row; 4] = [
    &TABLE.queue_messages.row,
    &TABLE.queue_bytes.row,
    &TABLE.all_queues_bytes.row,
    &TABLE.queue_full.row,
];

/// The flags to name in the log when a connection is closed for this cause: the limits of the
/// client's queue if it read too slowly, or `--http` if it connected to the wrong port. Other
/// causes need none.
pub(crate) fn flags_of(cause: &CloseCause) -> Described {
    if let CloseCause::Limit { what, .. } = cause
        && *what == broker::TOO_SLOW
    {
        return Described::new("", QUEUES);
    }
    if let CloseCause::Protocol(mqtt::ProtocolError::Violation { what, .. }) = cause
        && *what == broker::LOOKS_LIKE_HTTP
    {
        let what = " (the dashboard and WebSockets are on the port of --http)";
        return Described::new(what, []);
    }
    Described::new("", [])
}
