//! The limits of the server itself: the rows of the table that no field of `broker::Limits` stands behind.
//! Sentences are shown to people as they are: no backticks in `help`, for `--help` prints it.

use std::time::Duration;

use super::row::{Group, Preset, Row, Setting};
use crate::cli::parse;
use crate::metrics::{BROKER, CONNECTIONS, DEVICES, GATEWAY, HISTORY, MESSAGES, SHARD, STORE};

pub(super) const MAX_CONNECTIONS: Setting<u32> = Setting {
    default: Preset::Text("100000"),
    parse: parse::positive,
    row: Row {
        group: Group::Connections,
        flag: "max-connections",
        variable: "BEACONRY_MAX_CONNECTIONS",
        unit: "N",
        help: "The most connections that may be open at once, MQTT and HTTP together.",
        at_limit: "The server closes a new connection at once. If the operating system's limit of open files is lower, that one counts, and the server logs it when it starts.",
        metric: &CONNECTIONS.refused,
        more_metrics: &[],
    },
};

pub(super) const CONNECTIONS_PER_ADDRESS: Setting<u32> = Setting {
    default: Preset::Text("1000"),
    parse: parse::number,
    row: Row {
        group: Group::Connections,
        flag: "max-connections-per-address",
        variable: "BEACONRY_MAX_CONNECTIONS_PER_ADDRESS",
        unit: "N",
        help: "The most connections that may be open from one IP address; 0 sets no limit. The first 64 bits of an IPv6 address count. Connections from this machine do not count.",
        at_limit: "The server closes a new connection at once. Raise the limit if many devices share one address (NAT), or if a proxy on another machine passes them on.",
        metric: &CONNECTIONS.refused_address,
        more_metrics: &[],
    },
};

pub(super) const TCP_KEEP_ALIVE: Setting<Duration> = Setting {
    default: Preset::Text("60s"),
    parse: parse::tcp_keep_alive,
    row: Row {
        group: Group::Connections,
        flag: "tcp-keep-alive",
        variable: "BEACONRY_TCP_KEEP_ALIVE",
        unit: "TIME",
        help: "How long a connection may be silent before the operating system asks whether the peer is still there; 0 never asks.",
        at_limit: "The operating system asks four times, a quarter of this time apart. Without an answer the connection ends.",
        metric: &CONNECTIONS.open,
        more_metrics: &[],
    },
};

pub(super) const PAGE_FRAMES: Setting<u32> = Setting {
    default: Preset::Text("60"),
    parse: parse::number,
    row: Row {
        group: Group::Queues,
        flag: "max-page-frames",
        variable: "BEACONRY_MAX_PAGE_FRAMES",
        unit: "N",
        help: "The most WebSocket frames with messages that a page in a browser gets in a second; 0 sets no limit.",
        at_limit: "Messages wait for others and leave with them, after a frame's time at most: 17 ms for 60 frames. The first few go at once, acknowledgements always. Only WebSockets whose handshake names an Origin are pages.",
        metric: &SHARD.postponed_frames,
        more_metrics: &[],
    },
};

pub(super) const GATEWAY_OBJECT: Setting<usize> = Setting {
    default: Preset::Text("64KiB"),
    parse: parse::positive_size,
    row: Row {
        group: Group::Packets,
        flag: "max-gateway-object",
        variable: "BEACONRY_MAX_GATEWAY_OBJECT",
        unit: "SIZE",
        help: "The largest JSON object that a device may send to --tcp-gateway.",
        at_limit: "The server tells the device, closes its connection and logs it. An object without an end is too large, too.",
        metric: &GATEWAY.too_large,
        more_metrics: &[],
    },
};

pub(super) const STORE_BYTES: Setting<u64> = Setting {
    default: Preset::Follows("what the disk has", |_| u64::MAX),
    parse: parse::store_size,
    row: Row {
        group: Group::Store,
        flag: "max-store-size",
        variable: "BEACONRY_MAX_STORE_SIZE",
        unit: "SIZE",
        help: "The most that the store may take on the disk, at least 256KiB. Part of it is kept free for a copy of everything that is stored.",
        at_limit: "The server behaves [as on a full disk](#the-store): it refuses what must be stored with \"quota exceeded\", and QoS 0 goes on.",
        metric: &STORE.times_full,
        more_metrics: &[
            &STORE.is_full,
            &BROKER.refused_store_full,
            &BROKER.retained_not_stored,
            &BROKER.wills_not_stored,
        ],
    },
};

pub(super) const MAX_DEVICES: Setting<usize> = Setting {
    default: Preset::Text("200000"),
    parse: parse::positive,
    row: Row {
        group: Group::Devices,
        flag: "max-devices",
        variable: "BEACONRY_MAX_DEVICES",
        unit: "N",
        help: "The most devices that the server's own model knows. It answers the API; MQTT does not need it.",
        at_limit: "For a further device the model forgets a stranger: one that is not signed in, was hardly heard and was given no command. If there is none, it ignores the further device.",
        metric: &DEVICES.strangers,
        more_metrics: &[&DEVICES.ignored_devices],
    },
};

pub(super) const DEVICES_BYTES: Setting<usize> = Setting {
    default: Preset::Follows("1/8 of --max-memory", |known| known.memory / 8),
    parse: parse::size,
    row: Row {
        group: Group::Devices,
        flag: "max-devices-bytes",
        variable: "BEACONRY_MAX_DEVICES_BYTES",
        unit: "SIZE",
        help: "How much memory the server's own model of the devices may take, roughly. It is not part of --max-memory.",
        at_limit: "As with --max-devices for a further device. The model keeps no new metrics and texts; what it knows goes on.",
        metric: &DEVICES.ignored_bytes,
        more_metrics: &[&DEVICES.bytes],
    },
};

pub(super) const CHANGE_LOG_BYTES: Setting<usize> = Setting {
    default: Preset::Text("16MiB"),
    parse: parse::size,
    row: Row {
        group: Group::Devices,
        flag: "max-change-log",
        variable: "BEACONRY_MAX_CHANGE_LOG",
        unit: "SIZE",
        help: "How much memory the latest changes of devices may take, for those who follow them at api/v1/changes.",
        at_limit: "The oldest changes go. Who reads so slowly, or was away for so long, that it needs them, is told to ask for the devices again.",
        metric: &DEVICES.resyncs,
        more_metrics: &[&DEVICES.change_log_bytes],
    },
};

pub(super) const CHANGE_STREAMS: Setting<usize> = Setting {
    default: Preset::Text("1000"),
    parse: parse::number,
    row: Row {
        group: Group::Devices,
        flag: "max-change-streams",
        variable: "BEACONRY_MAX_CHANGE_STREAMS",
        unit: "N",
        help: "How many may follow api/v1/changes at once. Each holds a connection.",
        at_limit: "The server answers a further one with status 503.",
        metric: &DEVICES.streams_refused,
        more_metrics: &[&DEVICES.streams],
    },
};

pub(super) const HISTORY_BYTES: Setting<u64> = Setting {
    default: Preset::Text("8GiB"),
    parse: parse::store_size,
    row: Row {
        group: Group::History,
        flag: "history-size",
        variable: "BEACONRY_HISTORY_SIZE",
        unit: "SIZE",
        help: "How large all files of the history may be together; never more than a tenth of what is free on the disk when the server starts.",
        at_limit: "The oldest values go first, then the oldest rollups of a minute, then the rest.",
        metric: &HISTORY.dropped_by_size,
        more_metrics: &[&HISTORY.bytes],
    },
};

pub(super) const HISTORY_MEMORY: Setting<usize> = Setting {
    default: Preset::Text("256MiB"),
    parse: parse::positive_size,
    row: Row {
        group: Group::History,
        flag: "max-history-memory",
        variable: "BEACONRY_MAX_HISTORY_MEMORY",
        unit: "SIZE",
        help: "How much memory values may take that are in no file of blocks yet. It is not part of --max-memory.",
        at_limit: "The server seals the largest blocks early. Shorter blocks need more room on the disk.",
        metric: &HISTORY.blocks,
        more_metrics: &[&HISTORY.memory],
    },
};

pub(super) const HISTORY_BACKLOG: Setting<usize> = Setting {
    default: Preset::Text("64MiB"),
    parse: parse::positive_size,
    row: Row {
        group: Group::History,
        flag: "max-history-backlog",
        variable: "BEACONRY_MAX_HISTORY_BACKLOG",
        unit: "SIZE",
        help: "How many bytes may wait for the recorder, which waits for the disk.",
        at_limit: "Values are not recorded until the recorder has caught up; presences, faults and commands are not either, when twice as much waits. As much may wait for the log of messages, which does the same. Devices and pages get everything.",
        metric: &HISTORY.overrun,
        more_metrics: &[&HISTORY.waiting, &MESSAGES.lost, &MESSAGES.waiting],
    },
};

pub(super) const HISTORY_SERIES: Setting<u32> = Setting {
    default: Preset::Text("1000000"),
    parse: parse::number,
    row: Row {
        group: Group::History,
        flag: "max-history-series",
        variable: "BEACONRY_MAX_HISTORY_SERIES",
        unit: "N",
        help: "How many metrics of all devices may be recorded. A device has 256 at most.",
        at_limit: "Further metrics are shown and not recorded.",
        metric: &HISTORY.refused,
        more_metrics: &[&HISTORY.series],
    },
};

pub(super) const HISTORY_NAMES: Setting<usize> = Setting {
    default: Preset::Text("256MiB"),
    parse: parse::positive_size,
    row: Row {
        group: Group::History,
        flag: "max-history-names",
        variable: "BEACONRY_MAX_HISTORY_NAMES",
        unit: "SIZE",
        help: "How much memory the names and units of all recorded devices and metrics may take.",
        at_limit: "Further devices and metrics are shown and not recorded. What is known is recorded as before.",
        metric: &HISTORY.refused,
        more_metrics: &[&HISTORY.names],
    },
};

pub(super) const HISTORY_MESSAGES_BYTES: Setting<u64> = Setting {
    default: Preset::Text("1GiB"),
    parse: parse::store_size,
    row: Row {
        group: Group::History,
        flag: "history-messages-size",
        variable: "BEACONRY_HISTORY_MESSAGES_SIZE",
        unit: "SIZE",
        help: "How large all files of messages may be together; never more than a tenth of what is free on the disk when the server starts. They are not part of --history-size.",
        at_limit: "The oldest messages go first.",
        metric: &MESSAGES.dropped_by_size,
        more_metrics: &[&MESSAGES.bytes, &MESSAGES.dropped_by_age],
    },
};

pub(super) const HISTORY_PAYLOAD: Setting<usize> = Setting {
    default: Preset::Text("64KiB"),
    parse: parse::kept_payload,
    row: Row {
        group: Group::History,
        flag: "max-history-payload",
        variable: "BEACONRY_MAX_HISTORY_PAYLOAD",
        unit: "SIZE",
        help: "How much of a payload is kept with its message, at most 1MiB.",
        at_limit: "The rest of the payload is not kept. Its length is. Clients get everything.",
        metric: &MESSAGES.cut,
        more_metrics: &[],
    },
};
