//! The table. Sentences are shown to people as they are: no backticks in `help`, for `--help`
//! prints it.

use std::time::Duration;

use broker::QueueFull;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::own;
use super::row::{Group, Known, Preset, Row, Setting, limits};
use crate::cli::parse;
use crate::memory;
use crate::metrics::{BROKER, CONNECTIONS};

limits! {
    server {
        connections: u32 = own::MAX_CONNECTIONS;
        connections_per_address: u32 = own::CONNECTIONS_PER_ADDRESS;
        tcp_keep_alive: Duration = own::TCP_KEEP_ALIVE;
        page_frames: u32 = own::PAGE_FRAMES;
        gateway_object: usize = own::GATEWAY_OBJECT;
        store_bytes: u64 = own::STORE_BYTES;
        devices: usize = own::MAX_DEVICES;
        devices_bytes: usize = own::DEVICES_BYTES;
        change_log_bytes: usize = own::CHANGE_LOG_BYTES;
        change_streams: usize = own::CHANGE_STREAMS;
        history_bytes: u64 = own::HISTORY_BYTES;
        history_memory: usize = own::HISTORY_MEMORY;
        history_backlog: usize = own::HISTORY_BACKLOG;
        history_series: u32 = own::HISTORY_SERIES;
        history_names: usize = own::HISTORY_NAMES;
        history_messages_bytes: u64 = own::HISTORY_MESSAGES_BYTES;
        history_payload: usize = own::HISTORY_PAYLOAD;
    }
    broker {
        memory_bytes: usize = Setting {
            default: Preset::Follows("half of the memory of the machine or container", |_| {
                memory::available() / 2
            }),
            parse: parse::memory,
            row: Row {
                group: Group::Memory,
                flag: "max-memory",
                variable: "BEACONRY_MAX_MEMORY",
                unit: "SIZE",
                help: "The most memory that sessions, queues, retained messages and buffers may take together, at least 16MiB.",
                at_limit: "The server drops QoS 0 messages. It refuses QoS 1 and 2 messages with \"quota exceeded\"; it closes a 3.1.1 client, to which MQTT has no way to say so. It refuses new clients with \"server busy\", and lets in clients that come back for their queued messages. Each limit of all clients together follows from this one unless you set it.",
                metric: &BROKER.refused_memory,
                more_metrics: &[&BROKER.dropped_memory, &BROKER.memory_bytes],
            },
        };
        connect_timeout: Duration = Setting {
            default: Preset::Text("10s"),
            parse: parse::timeout,
            row: Row {
                group: Group::Connections,
                flag: "connect-timeout",
                variable: "BEACONRY_CONNECT_TIMEOUT",
                unit: "TIME",
                help: "How long a new connection may take to send its CONNECT packet or the head of its HTTP request.",
                at_limit: "The server closes the connection.",
                metric: &BROKER.connect_timeouts,
                more_metrics: &[&CONNECTIONS.head_timeouts],
            },
        };
        maximum_packet_size: u32 = Setting {
            default: Preset::Text("1MiB"),
            parse: parse::packet_size,
            row: Row {
                group: Group::Packets,
                flag: "max-packet-size",
                variable: "BEACONRY_MAX_PACKET_SIZE",
                unit: "SIZE",
                help: "The largest MQTT packet that a client may send, up to 256MiB. It needs a --max-memory of four times as much.",
                at_limit: "The server closes the connection with \"packet too large\" as soon as it knows the length of the packet. Version 5 clients learn the limit from CONNACK. The server does not start if another limit has no room for such a packet.",
                metric: &BROKER.refused_packet_too_large,
                more_metrics: &[],
            },
        };
        early_bytes: usize = Setting {
            default: Preset::Text("64KiB"),
            parse: parse::size,
            row: Row {
                group: Group::Packets,
                flag: "max-early-bytes",
                variable: "BEACONRY_MAX_EARLY_BYTES",
                unit: "SIZE",
                help: "How much a client may send after its CONNECT before the server has answered it.",
                at_limit: "The server refuses the client with \"quota exceeded\".",
                metric: &BROKER.refused_early_bytes,
                more_metrics: &[],
            },
        };
        all_partial_bytes: usize = Setting {
            default: Preset::Follows("1/16 of --max-memory", |known| known.part(16, 1)),
            parse: parse::size,
            row: Row {
                group: Group::Packets,
                flag: "max-all-partial-bytes",
                variable: "BEACONRY_MAX_ALL_PARTIAL_BYTES",
                unit: "SIZE",
                help: "How much memory the unfinished packets of all clients may take together, and the CONNECTs that wait to be let in.",
                at_limit: "The server closes the client that has held most for longest, with \"quota exceeded\".",
                metric: &BROKER.closed_partial,
                more_metrics: &[&BROKER.partial_bytes],
            },
        };
        topic_bytes: usize = Setting {
            default: Preset::Text("16KiB"),
            parse: parse::positive_size,
            row: Row {
                group: Group::Packets,
                flag: "max-topic-length",
                variable: "BEACONRY_MAX_TOPIC_LENGTH",
                unit: "SIZE",
                help: "The longest topic name or filter.",
                at_limit: "The server answers with \"topic name invalid\" or \"topic filter invalid\".",
                metric: &BROKER.refused_topic_name,
                more_metrics: &[&BROKER.refused_topic_filter],
            },
        };
        topic_levels: usize = Setting {
            default: Preset::Text("128"),
            parse: parse::positive,
            row: Row {
                group: Group::Packets,
                flag: "max-topic-levels",
                variable: "BEACONRY_MAX_TOPIC_LEVELS",
                unit: "N",
                help: "The most levels of a topic name or filter.",
                at_limit: "The server answers with \"topic name invalid\" or \"topic filter invalid\".",
                metric: &BROKER.refused_topic_name,
                more_metrics: &[&BROKER.refused_topic_filter],
            },
        };
        topic_alias_maximum: u16 = Setting {
            default: Preset::Text("16"),
            parse: parse::number,
            row: Row {
                group: Group::Packets,
                flag: "max-topic-alias",
                variable: "BEACONRY_MAX_TOPIC_ALIAS",
                unit: "N",
                help: "The most topic aliases that a client may use (Topic Alias Maximum).",
                at_limit: "The server closes a client that uses a higher alias, with \"topic alias invalid\". Version 5 clients learn the limit from CONNACK.",
                metric: &BROKER.refused_topic_alias,
                more_metrics: &[],
            },
        };
        server_topic_aliases: u16 = Setting {
            default: Preset::Text("16"),
            parse: parse::number,
            row: Row {
                group: Group::Packets,
                flag: "server-topic-aliases",
                variable: "BEACONRY_SERVER_TOPIC_ALIASES",
                unit: "N",
                help: "The most topic aliases that the server uses towards a client; 0 uses none. The client's own Topic Alias Maximum may be lower.",
                at_limit: "The server sends further topics by name.",
                metric: &BROKER.aliases_out,
                more_metrics: &[],
            },
        };
        sessions: usize = Setting {
            default: Preset::Text("200000"),
            parse: parse::number,
            row: Row {
                group: Group::Sessions,
                flag: "max-sessions",
                variable: "BEACONRY_MAX_SESSIONS",
                unit: "N",
                help: "The most sessions, with and without a connection.",
                at_limit: "For a new client the server ends the session that has been absent longest and for which nothing waits, so no acknowledged message is lost. If none of the 64 sessions that have been absent longest is like that, it refuses the new client with \"quota exceeded\".",
                metric: &BROKER.sessions_evicted,
                more_metrics: &[&BROKER.refused_sessions_limit],
            },
        };
        session_expiry_interval: u32 = Setting {
            default: Preset::Text("never"),
            parse: parse::expiry,
            row: Row {
                group: Group::Sessions,
                flag: "max-session-expiry",
                variable: "BEACONRY_MAX_SESSION_EXPIRY",
                unit: "TIME",
                help: "The longest that a session outlives its connection, for example 12h or 30d; never sets no limit.",
                at_limit: "The server shortens a longer Session Expiry Interval and tells the client in CONNACK.",
                metric: &BROKER.sessions_expired,
                more_metrics: &[],
            },
        };
        will_bytes: usize = Setting {
            default: Preset::Text("128KiB"),
            parse: parse::size,
            row: Row {
                group: Group::Sessions,
                flag: "max-will-size",
                variable: "BEACONRY_MAX_WILL_SIZE",
                unit: "SIZE",
                help: "The largest will, with its topic and properties.",
                at_limit: "The server refuses the client with \"quota exceeded\".",
                metric: &BROKER.refused_will_limit,
                more_metrics: &[],
            },
        };
        all_wills_bytes: usize = Setting {
            default: Preset::Follows("1/32 of --max-memory", |known| known.part(32, 0)),
            parse: parse::size,
            row: Row {
                group: Group::Sessions,
                flag: "max-all-wills-bytes",
                variable: "BEACONRY_MAX_ALL_WILLS_BYTES",
                unit: "SIZE",
                help: "How much memory the wills of all clients may take together.",
                at_limit: "The server refuses the client with \"quota exceeded\".",
                metric: &BROKER.refused_will_limit,
                more_metrics: &[&BROKER.will_bytes],
            },
        };
        subscriptions_per_client: usize = Setting {
            default: Preset::Text("10000"),
            parse: parse::number,
            row: Row {
                group: Group::Subscriptions,
                flag: "max-subscriptions",
                variable: "BEACONRY_MAX_SUBSCRIPTIONS",
                unit: "N",
                help: "The most subscriptions of a client.",
                at_limit: "SUBACK says \"quota exceeded\". The server also looks up retained messages for no more filters of a client at once. It sends none for the others.",
                metric: &BROKER.refused_subscriptions_limit,
                more_metrics: &[&BROKER.retained_not_looked_for],
            },
        };
        subscription_bytes_per_client: usize = Setting {
            default: Preset::Text("8MiB"),
            parse: parse::size,
            row: Row {
                group: Group::Subscriptions,
                flag: "max-subscription-bytes",
                variable: "BEACONRY_MAX_SUBSCRIPTION_BYTES",
                unit: "SIZE",
                help: "How much memory the subscriptions of a client may take.",
                at_limit: "SUBACK says \"quota exceeded\".",
                metric: &BROKER.refused_subscriptions_limit,
                more_metrics: &[],
            },
        };
        all_subscriptions_bytes: usize = Setting {
            default: Preset::Follows("1/8 of --max-memory", |known| known.part(8, 0)),
            parse: parse::size,
            row: Row {
                group: Group::Subscriptions,
                flag: "max-all-subscriptions-bytes",
                variable: "BEACONRY_MAX_ALL_SUBSCRIPTIONS_BYTES",
                unit: "SIZE",
                help: "How much memory the subscriptions of all clients may take together.",
                at_limit: "SUBACK says \"quota exceeded\".",
                metric: &BROKER.refused_subscriptions_limit,
                more_metrics: &[&BROKER.subscription_bytes],
            },
        };
        publish_rate: u32 = Setting {
            default: Preset::Text("0"),
            parse: parse::number,
            row: Row {
                group: Group::Publishers,
                flag: "max-publish-rate",
                variable: "BEACONRY_MAX_PUBLISH_RATE",
                unit: "N",
                help: "The most messages that a client may publish in a second; 0 sets no limit. It may send the messages of one second at once.",
                at_limit: "The server does not read from the client for a while, at least 100 ms, so the client has to wait. No message is lost. The client's pings wait too, so a client that is far too fast may give up.",
                metric: &BROKER.publish_rate_pauses,
                more_metrics: &[],
            },
        };
        receive_maximum: u16 = Setting {
            default: Preset::Text("256"),
            parse: parse::positive,
            row: Row {
                group: Group::Publishers,
                flag: "receive-maximum",
                variable: "BEACONRY_RECEIVE_MAXIMUM",
                unit: "N",
                help: "The most QoS 1 and 2 messages that a client may send before the server acknowledges the first (Receive Maximum).",
                at_limit: "The server closes the client with \"receive maximum exceeded\". It does the same when twice as many QoS 2 messages are not released, those of earlier connections included. Version 5 clients learn the limit from CONNACK. The protocol cannot tell 3.1.1 clients, so for them the limit is 65,535.",
                metric: &BROKER.refused_receive_maximum,
                more_metrics: &[&BROKER.incoming_messages],
            },
        };
        inflight_window: u16 = Setting {
            default: Preset::Text("4096"),
            parse: parse::positive,
            row: Row {
                group: Group::Queues,
                flag: "inflight-window",
                variable: "BEACONRY_INFLIGHT_WINDOW",
                unit: "N",
                help: "The most QoS 1 and 2 messages that the server sends to a client before the client acknowledges the first. The client's own Receive Maximum may be lower.",
                at_limit: "Further messages wait in the client's queue.",
                metric: &BROKER.window_waits,
                more_metrics: &[&BROKER.queued_messages],
            },
        };
        inflight_window_3_1_1: u16 = Setting {
            default: Preset::Text("64"),
            parse: parse::positive,
            row: Row {
                group: Group::Queues,
                flag: "inflight-window-3-1-1",
                variable: "BEACONRY_INFLIGHT_WINDOW_3_1_1",
                unit: "N",
                help: "The same for a client of MQTT 3.1.1, which has no way to say how many it can take. The lower of the two counts.",
                at_limit: "Further messages wait in the client's queue.",
                metric: &BROKER.window_waits,
                more_metrics: &[&BROKER.queued_messages],
            },
        };
        queue_messages: usize = Setting {
            default: Preset::Text("10000"),
            parse: parse::number,
            row: Row {
                group: Group::Queues,
                flag: "max-queued-messages",
                variable: "BEACONRY_MAX_QUEUED_MESSAGES",
                unit: "N",
                help: "The most QoS 1 and 2 messages that wait for a client, connected or not.",
                at_limit: "The server does what `--queue-full` says.",
                metric: &BROKER.dropped_queue_full,
                more_metrics: &[],
            },
        };
        queue_bytes: usize = Setting {
            default: Preset::Text("16MiB"),
            parse: parse::size,
            row: Row {
                group: Group::Queues,
                flag: "max-queued-bytes",
                variable: "BEACONRY_MAX_QUEUED_BYTES",
                unit: "SIZE",
                help: "How much memory the queue of a client may take. The server raises this to twice --max-packet-size.",
                at_limit: "The server does what `--queue-full` says.",
                metric: &BROKER.dropped_queue_full,
                more_metrics: &[],
            },
        };
        all_queues_bytes: usize = Setting {
            default: Preset::Follows("1/4 of --max-memory", |known| known.part(4, 2)),
            parse: parse::size,
            row: Row {
                group: Group::Queues,
                flag: "max-all-queues-bytes",
                variable: "BEACONRY_MAX_ALL_QUEUES_BYTES",
                unit: "SIZE",
                help: "How much memory the queues of all clients may take together.",
                at_limit: "No queue may be larger than what is still free. So the largest queues are full first, and small ones have room until the end. For a full queue the server does what `--queue-full` says.",
                metric: &BROKER.dropped_queue_full,
                more_metrics: &[&BROKER.queued_bytes],
            },
        };
        queue_full: QueueFull = Setting {
            default: Preset::Text("disconnect"),
            parse: parse::queue_full,
            row: Row {
                group: Group::Queues,
                flag: "queue-full",
                variable: "BEACONRY_QUEUE_FULL",
                unit: "POLICY",
                help: "What to do with a message for a client whose queue is full. disconnect: drop it and disconnect the client, which can come back for its queue; drop-newest: drop it; drop-oldest: drop older messages to make room for it.",
                at_limit: "With `disconnect` a connected client gets \"quota exceeded\". The server disconnects no more than eight clients in a millisecond for this.",
                metric: &BROKER.closed_queue_full,
                more_metrics: &[],
            },
        };
        out_buffer_bytes: usize = Setting {
            default: Preset::Text("1MiB"),
            parse: parse::size,
            row: Row {
                group: Group::Queues,
                flag: "max-out-buffer",
                variable: "BEACONRY_MAX_OUT_BUFFER",
                unit: "SIZE",
                help: "How much may wait to be written to a client's connection. The server raises this to --max-packet-size.",
                at_limit: "The server leaves out the oldest QoS 0 messages that wait, and keeps QoS 1 and 2 messages in the client's queue. It closes a client that reads nothing while its answers grow to twice as much, with \"quota exceeded\".",
                metric: &BROKER.dropped_slow,
                more_metrics: &[&BROKER.closed_not_reading, &BROKER.unwritten_bytes],
            },
        };
        all_out_buffers_bytes: usize = Setting {
            default: Preset::Follows("1/8 of --max-memory", |known| known.part(8, 2)),
            parse: parse::size,
            row: Row {
                group: Group::Queues,
                flag: "max-all-out-buffers",
                variable: "BEACONRY_MAX_ALL_OUT_BUFFERS",
                unit: "SIZE",
                help: "How much may wait to be written to all connections together.",
                at_limit: "No connection may have more waiting than is still free, except for 16 KiB. So the slowest readers stop first, and the others have room until the end. A QoS 1 or 2 message that is larger than what is free waits. For a QoS 0 message the client's oldest ones are left out, or itself.",
                metric: &BROKER.dropped_slow,
                more_metrics: &[&BROKER.unwritten_bytes],
            },
        };
        latest_bytes: usize = Setting {
            default: Preset::Text("16MiB"),
            parse: parse::size,
            row: Row {
                group: Group::Queues,
                flag: "max-latest-bytes",
                variable: "BEACONRY_MAX_LATEST_BYTES",
                unit: "SIZE",
                help: "How much memory the newest values may take that wait for a client which asked for them with beaconry-latest. The server raises this to twice --max-packet-size.",
                at_limit: "The server drops the value of the topic that has waited for longest.",
                metric: &BROKER.dropped_latest,
                more_metrics: &[],
            },
        };
        all_latest_bytes: usize = Setting {
            default: Preset::Follows("1/16 of --max-memory", |known| known.part(16, 2)),
            parse: parse::size,
            row: Row {
                group: Group::Queues,
                flag: "max-all-latest-bytes",
                variable: "BEACONRY_MAX_ALL_LATEST_BYTES",
                unit: "SIZE",
                help: "How much memory the newest values may take that wait for all clients together.",
                at_limit: "No client may have more waiting than is still free. The server drops the value of the topic that has waited for longest.",
                metric: &BROKER.dropped_latest,
                more_metrics: &[&BROKER.latest_bytes],
            },
        };
        retained_messages: usize = Setting {
            default: Preset::Text("1000000"),
            parse: parse::number,
            row: Row {
                group: Group::Retained,
                flag: "max-retained-messages",
                variable: "BEACONRY_MAX_RETAINED_MESSAGES",
                unit: "N",
                help: "The most retained messages.",
                at_limit: "The server delivers a further message and does not keep it.",
                metric: &BROKER.refused_retained_limit,
                more_metrics: &[&BROKER.retained_messages],
            },
        };
        retained_bytes: usize = Setting {
            default: Preset::Follows("1/4 of --max-memory", |known| known.part(4, 0)),
            parse: parse::size,
            row: Row {
                group: Group::Retained,
                flag: "max-retained-bytes",
                variable: "BEACONRY_MAX_RETAINED_BYTES",
                unit: "SIZE",
                help: "How much memory the retained messages may take together.",
                at_limit: "The server delivers a further message and does not keep it.",
                metric: &BROKER.refused_retained_limit,
                more_metrics: &[&BROKER.retained_bytes],
            },
        };
        tap_bytes: usize = Setting {
            default: Preset::Follows("1/64 of --max-memory, at most 16MiB", Known::tap),
            parse: parse::size,
            row: Row {
                group: Group::Memory,
                flag: "max-tap-bytes",
                variable: "BEACONRY_MAX_TAP_BYTES",
                unit: "SIZE",
                help: "The most that may wait for the server's own model of the devices, never less than two of --max-packet-size. Twice as much may be on the way to it.",
                at_limit: "The model loses messages; clients get them as usual. From half of the limit on it loses messages with QoS 0 that are not retained, from three quarters on all that are not retained. If it loses more than that, it is told of all clients and all retained messages anew.",
                metric: &BROKER.tap_lost,
                more_metrics: &[&BROKER.tap_resyncs, &BROKER.tap_bytes],
            },
        };
        journal_backlog_bytes: usize = Setting {
            default: Preset::Text("64MiB"),
            parse: parse::size,
            row: Row {
                group: Group::Store,
                flag: "max-journal-backlog",
                variable: "BEACONRY_MAX_JOURNAL_BACKLOG",
                unit: "SIZE",
                help: "How much may wait to be written to the disk.",
                at_limit: "The server does not read from clients that add to it, nor from those that connect, until half of it is written. So they have to wait, and nothing is lost. A client that comes with a will is refused with \"server busy\". Clients that add nothing go on. If twice as much waits because others have filled the disk, and what the store reserved is used up, the server ends with an error that says so. It has told nobody that what waits is stored.",
                metric: &BROKER.journal_backlog_pauses,
                more_metrics: &[&BROKER.journal_bytes],
            },
        };
    }
}
