//! The table: one row for each sample of `/metrics`, named like the field that it is read from.

use super::value::Value;
use super::{Family, Metric};
use crate::devices::Counted;
use crate::gate::ConnectionCounts;
use crate::gateway::GatewayCounts;
use crate::history::{HistoryCounts, MessageCounts};
use store::Stats;

/// Defines a struct of rows with the field names of another struct, and reads the values from that
/// struct. So each field has one row, or is listed behind `not shown`.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $table:ident: $Table:ident reads $($Source:ident)::+ {
            $($field:ident: $row:expr,)*
        }
        not shown { $($hidden:ident),* }
    ) => {
        $(#[$doc])*
        pub(crate) static $table: $Table = $Table {
            $($field: $row,)*
        };

        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $Table {
            $(pub(crate) $field: Metric,)*
        }

        impl $Table {
            /// The rows with their values.
            pub(super) fn read(&self, source: &$($Source)::+) -> Vec<(Metric, Value)> {
                let $($Source)::+ { $($field,)* $($hidden: _,)* } = source;
                vec![$((self.$field, Value::from(*$field)),)*]
            }
        }
    };
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    alone(Family::counter(name, help))
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    alone(Family::gauge(name, help))
}

const fn alone(family: Family) -> Metric {
    Metric {
        family,
        label: None,
    }
}

const fn refused(limit: &'static str) -> Metric {
    Family::counter(
        "mqtt_refused_total",
        "Connections, packets, messages and subscriptions that were refused, by what refused them.",
    )
    .labelled("limit", limit)
}

const fn dropped(reason: &'static str) -> Metric {
    Family::counter(
        "mqtt_dropped_messages_total",
        "Messages that were not delivered to one of their receivers, by reason.",
    )
    .labelled("reason", reason)
}

table! {
    /// What the gate counts: all TCP connections.
    CONNECTIONS: ConnectionTable reads ConnectionCounts {
        open: gauge("connections_open", "Open TCP connections, HTTP included."),
        max: gauge("connections_max", "The most TCP connections that may be open at once."),
        accepted: counter("connections_accepted_total", "TCP connections accepted."),
        refused: counter(
            "connections_refused_total",
            "TCP connections closed at once because too many were open.",
        ),
        refused_address: counter(
            "connections_refused_address_total",
            "TCP connections closed at once because too many were open from their address.",
        ),
        accept_errors: counter(
            "accept_errors_total",
            "Times that the operating system failed to hand over a new connection.",
        ),
        head_timeouts: counter(
            "http_head_timeouts_total",
            "HTTP connections closed because the head of a request did not come in time.",
        ),
    }
    not shown {}
}

const fn devices(state: &'static str) -> Metric {
    Family::gauge(
        "devices",
        "Devices that the server knows, by their presence. Hidden ones are a state of their own.",
    )
    .labelled("state", state)
}

/// What the shard counts itself.
pub(crate) static SHARD: ShardTable = ShardTable {
    websocket_faults: counter(
        "websocket_faults_total",
        "WebSockets closed because the peer broke a rule of WebSocket.",
    ),
    postponed_frames: counter(
        "websocket_postponed_frames_total",
        "Times that messages to a page waited for others, to leave in the same frame.",
    ),
};

/// What the shard counts itself.
#[derive(Debug)]
pub(crate) struct ShardTable {
    pub(crate) websocket_faults: Metric,
    pub(crate) postponed_frames: Metric,
}

table! {
    /// What the broker counts.
    BROKER: BrokerTable reads broker::Metrics {
        connections: gauge("mqtt_connections", "MQTT connections, before and after CONNECT."),
        clients: gauge("mqtt_clients", "Connected clients."),
        sessions: gauge("mqtt_sessions", "Sessions, with and without a connection."),
        subscriptions: gauge("mqtt_subscriptions", "Subscriptions of all sessions."),
        subscription_bytes: gauge("mqtt_subscription_bytes", "Bytes of all subscriptions."),
        memory_bytes: gauge(
            "mqtt_memory_bytes",
            "Bytes of everything together that --max-memory limits.",
        ),
        alias_bytes: gauge("mqtt_alias_bytes", "Bytes of topic aliases, in both directions."),
        latest_bytes: gauge(
            "mqtt_latest_bytes",
            "Bytes of the newest values that wait for clients which asked for them with beaconry-latest.",
        ),
        partial_bytes: gauge("mqtt_partial_bytes", "Bytes of packets whose end has not come yet, and of CONNECTs that wait to be let in."),
        unwritten_bytes: gauge(
            "mqtt_unwritten_bytes",
            "Bytes that wait to be written to connections.",
        ),
        tap_bytes: gauge(
            "mqtt_tap_bytes",
            "Bytes that wait for the server's own model of the devices.",
        ),
        wills: gauge("mqtt_wills", "Wills of sessions."),
        will_bytes: gauge("mqtt_will_bytes", "Bytes of all wills."),
        retained_messages: gauge("mqtt_retained_messages", "Retained messages."),
        retained_bytes: gauge("mqtt_retained_bytes", "Bytes of all retained messages."),
        retained_lookups: gauge(
            "mqtt_retained_lookups",
            "Filters of new subscriptions whose retained messages are still being sent.",
        ),
        retained_lookup_bytes: gauge("mqtt_retained_lookup_bytes", "Bytes of the filters whose retained messages are still being sent."),
        incoming_messages: gauge(
            "mqtt_incoming_messages",
            "QoS 2 messages from clients that wait for their PUBREL.",
        ),
        queued_messages: gauge(
            "mqtt_queued_messages",
            "Messages that wait for clients: QoS 1 and 2 that are queued, or sent and not acknowledged, and QoS 0 that waits behind retained ones.",
        ),
        queued_bytes: gauge(
            "mqtt_queued_bytes",
            "Bytes of the messages that wait for clients, counted once for each client that they wait for.",
        ),
        stored_deliveries: gauge(
            "mqtt_stored_deliveries",
            "Messages that wait for clients and are stored, counted once for each client that they wait for.",
        ),
        stored_message_bytes: gauge(
            "mqtt_stored_message_bytes",
            "Bytes of stored messages, retained ones included, each counted once.",
        ),
        stored_session_bytes: gauge(
            "mqtt_stored_session_bytes",
            "Bytes of stored sessions without their queues. The figure is an upper bound.",
        ),
        connections_opened: counter("mqtt_connections_opened_total", "MQTT connections opened."),
        connects_accepted: counter("mqtt_connects_accepted_total", "CONNECT packets accepted."),
        connects_refused: counter("mqtt_connects_refused_total", "CONNECT packets refused."),
        sessions_resumed: counter("mqtt_sessions_resumed_total", "Sessions resumed."),
        sessions_expired: counter("mqtt_sessions_expired_total", "Sessions expired."),
        sessions_evicted: counter(
            "mqtt_sessions_evicted_total",
            "Sessions ended to make room for new ones.",
        ),
        journal_bytes: gauge(
            "mqtt_journal_backlog_bytes",
            "Bytes of records that are not on the disk yet.",
        ),
        journal_backlog_pauses: counter(
            "mqtt_journal_backlog_pauses_total",
            "Times that a client was not read for a while, or was refused, because the store was behind.",
        ),
        journal_stuck: gauge(
            "mqtt_journal_stuck",
            "1 when a record was too long for the journal: nothing more is stored or acknowledged.",
        ),
        wills_not_stored: counter(
            "mqtt_wills_not_stored_total",
            "Wills kept in memory alone, or published with QoS 0, because the store was full.",
        ),
        publish_rate_pauses: counter(
            "mqtt_publish_rate_pauses_total",
            "Times that a client was not read for a while because it published too fast.",
        ),
        takeovers: counter(
            "mqtt_takeovers_total",
            "Connections that lost their client to another connection with the same client identifier.",
        ),
        protocol_errors: counter(
            "mqtt_protocol_errors_total",
            "Connections closed because the peer broke the protocol.",
        ),
        keep_alive_timeouts: counter(
            "mqtt_keep_alive_timeouts_total",
            "Connections closed because the client was silent for one and a half times its keep alive.",
        ),
        connect_timeouts: counter(
            "mqtt_connect_timeouts_total",
            "Connections closed because no CONNECT came in time.",
        ),
        bytes_in: counter("mqtt_received_bytes_total", "Bytes received."),
        bytes_out: counter("mqtt_sent_bytes_total", "Bytes sent."),
        packets_in: counter("mqtt_received_packets_total", "Packets received."),
        messages_in: counter("mqtt_received_messages_total", "PUBLISH packets received."),
        messages_out: counter("mqtt_sent_messages_total", "PUBLISH packets sent."),
        aliases_out: counter(
            "mqtt_aliases_out_total",
            "PUBLISH packets sent with a topic alias in place of the topic name.",
        ),
        duplicates_in: counter(
            "mqtt_duplicates_total",
            "QoS 2 PUBLISH packets that came again and were recognised.",
        ),
        latest_replaced: counter(
            "mqtt_latest_replaced_total",
            "Messages that a newer one to the same topic replaced before they were sent, for clients that asked for the newest values.",
        ),
        retransmissions: counter("mqtt_retransmissions_total", "PUBLISH packets sent again."),
        passed_on: counter(
            "mqtt_passed_on_total",
            "QoS 1 and 2 messages that went from one member of a shared subscription to another.",
        ),
        wills_published: counter("mqtt_wills_published_total", "Wills published."),
        tap_lost: counter(
            "mqtt_tap_lost_total",
            "Messages that the server's own model of the devices lost because it was slow.",
        ),
        tap_resyncs: counter(
            "mqtt_tap_resyncs_total",
            "Times that the server's own model of the devices was told of all clients and all retained messages: once at the start, and once for each time that it lost more than messages that are not retained.",
        ),
        window_waits: counter(
            "mqtt_window_waits_total",
            "QoS 1 and 2 messages that were queued because their client had as many unacknowledged as it may have.",
        ),
        records: counter("mqtt_records_total", "Records written to the journal."),
        checkpoints: counter(
            "mqtt_checkpoints_total",
            "Whole copies of the state that were written to the journal to shorten it.",
        ),
        retained_not_stored: counter(
            "mqtt_retained_not_stored_total",
            "Retained QoS 0 messages kept in memory alone because the store was full.",
        ),

        refused_connections_limit: refused("connections"),
        refused_sessions_limit: refused("sessions"),
        refused_early_bytes: refused("early_bytes"),
        refused_packet_too_large: refused("packet_size"),
        refused_receive_maximum: refused("receive_maximum"),
        refused_topic_name: refused("topic_name"),
        refused_topic_filter: refused("topic_filter"),
        refused_topic_alias: refused("topic_alias"),
        refused_payload_format: refused("payload_format"),
        refused_publish_rule: refused("publish_rule"),
        refused_will_rule: refused("will_rule"),
        refused_subscribe_rule: refused("subscribe_rule"),
        refused_subscriptions_limit: refused("subscriptions"),
        retained_not_looked_for: refused("retained_lookups"),
        refused_memory: refused("memory"),
        refused_store_full: refused("store_full"),
        closed_partial: refused("partial"),
        refused_will_limit: refused("will"),
        refused_retained_limit: refused("retained"),
        closed_not_reading: refused("not_reading"),
        closed_queue_full: refused("queue_full"),

        dropped_absent: dropped("absent"),
        dropped_slow: dropped("slow"),
        dropped_queue_full: dropped("queue_full"),
        dropped_memory: dropped("memory"),
        dropped_latest: dropped("latest_full"),
        dropped_expired: dropped("expired"),
        dropped_too_large: dropped("too_large"),
        dropped_rule: dropped("rule"),
        dropped_session_ended: dropped("session_ended"),
    }
    // What the store must keep free. The free space of the store already shows it.
    not shown { copy_bytes, taking_bytes }
}

table! {
    /// What the store counts. Without a store none of it is shown.
    STORE: StoreTable reads Stats {
        groups: counter("store_groups_total", "Groups of records made durable."),
        records: counter("store_records_total", "Records made durable."),
        bytes: counter("store_written_bytes_total", "Bytes made durable."),
        sync_time: counter(
            "store_sync_seconds_total",
            "Time spent on writing groups and waiting for the disk.",
        ),
        journal_bytes: gauge("store_journal_bytes", "Bytes in use in all files of the journal."),
        segments: gauge("store_segments", "Files of the journal."),
        reserve_bytes: gauge(
            "store_reserve_bytes",
            "Bytes that can still be written when the disk is full.",
        ),
        free_bytes: gauge("store_free_bytes", "Bytes by which the journal can still grow."),
        waiting_bytes: gauge(
            "store_waiting_bytes",
            "Bytes of records that wait to be written.",
        ),
        checkpoints: counter(
            "store_checkpoints_total",
            "Times that older files of the journal were removed after a whole copy of the state.",
        ),
        is_full: gauge("store_full", "1 while the store has no room for anything new."),
        times_full: counter("store_ran_full_total", "Times that the store ran out of room."),
        torn_bytes: gauge(
            "store_torn_bytes",
            "Bytes of an interrupted write that were cut off at the start.",
        ),
    }
    // `/healthz` reports it.
    not shown { has_ended }
}

table! {
    /// What the model of the devices counts. Without a model none of it is shown.
    DEVICES: DeviceTable reads Counted {
        online: devices("online"),
        sleeping: devices("sleeping"),
        stale: devices("stale"),
        offline: devices("offline"),
        unknown: devices("unknown"),
        hidden: devices("hidden"),
        bytes: gauge("devices_bytes", "Bytes of the model of the devices, estimated."),
        messages: counter("devices_messages_total", "Messages that the model of the devices has read."),
        faults: counter(
            "devices_faults_total",
            "Times that something wrong with a device was told: once for each kind of fault within 200 ms.",
        ),
        strangers: counter(
            "devices_forgotten_total",
            "Devices that were hardly heard and were forgotten for further ones.",
        ),
        ignored_devices: counter(
            "devices_ignored_messages_total",
            "Messages of further devices that were ignored because too many were known.",
        ),
        ignored_bytes: counter(
            "devices_out_of_memory_total",
            "Times that something new about a device was not kept because the model had no memory left.",
        ),
        changes: counter("devices_changes_total", "Changes of devices."),
        change_events: counter(
            "devices_change_events_total",
            "Events that told of the changes. One tells of many.",
        ),
        change_log_bytes: gauge("devices_change_log_bytes", "Bytes of the changes that are kept."),
        resyncs: counter(
            "devices_change_resyncs_total",
            "Times that somebody who followed the changes had to ask for the devices again.",
        ),
        streams: gauge("devices_change_streams", "How many follow the changes."),
        streams_refused: counter(
            "devices_change_streams_refused_total",
            "Times that somebody could not follow the changes because too many did.",
        ),
        table_bytes: gauge("devices_stored_bytes", "Bytes of the file in which the devices are stored."),
        saved: counter(
            "devices_saved_total",
            "Times that everything that had changed about the devices was stored.",
        ),
        table_errors: counter(
            "devices_store_errors_total",
            "Times that the devices could not be stored.",
        ),
        has_failed: gauge(
            "devices_model_ended",
            "1 when the model of the devices has ended because of a fault in beaconry.",
        ),
    }
    not shown {}
}

table! {
    /// What the recorder counts. Without a history none of it is shown.
    HISTORY: HistoryTable reads HistoryCounts {
        rows: counter("history_rows_total", "Messages of devices of which values were recorded."),
        values: counter("history_values_total", "Values that were recorded."),
        series: gauge("history_series", "Metrics of devices that were ever recorded."),
        names: gauge("history_names_bytes", "Memory for the names of recorded devices and metrics."),
        refused: counter(
            "history_refused_values_total",
            "Values that were not recorded because they are of further metrics.",
        ),
        too_old: counter(
            "history_too_old_total",
            "Rows that were not recorded because their own time is older than what is kept.",
        ),
        overrun: counter(
            "history_overrun_rows_total",
            "Rows and events that were not recorded because too many waited for the recorder.",
        ),
        lost: counter(
            "history_lost_rows_total",
            "Rows that were not recorded because the disk was full or refused to write.",
        ),
        waiting: gauge("history_waiting_bytes", "Bytes that wait for the recorder."),
        memory: gauge("history_memory_bytes", "Bytes of memory for rows that are in no file of blocks yet."),
        bytes: gauge("history_bytes", "Bytes of all files of the history."),
        blocks: counter("history_blocks_total", "Blocks that were sealed."),
        dropped_by_age: counter(
            "history_dropped_by_age_bytes_total",
            "Bytes of files that were dropped because of their age.",
        ),
        dropped_by_size: counter(
            "history_dropped_by_size_bytes_total",
            "Bytes of files that were dropped because the history was too large.",
        ),
        errors: counter("history_errors_total", "Times that the disk refused to take what happened."),
        is_full: gauge("history_stopped", "1 while nothing is recorded because the disk is full or refuses."),
    }
    not shown { messages }
}

table! {
    /// What the log of messages counts. Without a history none of it is shown.
    MESSAGES: MessagesTable reads MessageCounts {
        appended: counter("history_messages_total", "Messages that were kept as they came."),
        cut: counter("history_messages_cut_total", "Messages of which only the beginning of the payload was kept."),
        lost: counter(
            "history_messages_lost_total",
            "Messages that were not kept because too many waited, or the disk was full or refused.",
        ),
        dropped_by_age: counter(
            "history_messages_dropped_by_age_total",
            "Kept messages that were dropped because of their age.",
        ),
        dropped_by_size: counter(
            "history_messages_dropped_by_size_total",
            "Kept messages that were dropped because there were too many.",
        ),
        kept: gauge("history_messages_kept", "Messages that are kept."),
        bytes: gauge("history_messages_bytes", "Bytes of all files of messages."),
        waiting: gauge("history_messages_waiting_bytes", "Bytes of messages that wait for the disk."),
        damaged: gauge(
            "history_messages_damaged",
            "Damaged places that the last start found in the files of messages.",
        ),
        errors: counter("history_messages_errors_total", "Times that the disk refused to take messages."),
        is_stopped: gauge("history_messages_stopped", "1 while no messages are kept because the disk is full or refuses."),
    }
    not shown {}
}

table! {
    /// What the gateway for TCP counts. Without one none of it is shown.
    GATEWAY: GatewayTable reads GatewayCounts {
        open: gauge("gateway_connections", "Open connections of devices over plain TCP."),
        signed_up: counter("gateway_sign_ups_total", "Devices that have signed up over plain TCP."),
        objects: counter("gateway_objects_total", "JSON objects that came from these devices."),
        commands: counter("gateway_commands_total", "Commands that went to these devices."),
        unfit_commands: counter(
            "gateway_unfit_commands_total",
            "Messages to these devices that were not passed on, because they are no JSON objects.",
        ),
        too_large: counter(
            "gateway_too_large_total",
            "Connections that were closed because an object was too large or had no end.",
        ),
        refused: counter(
            "gateway_refused_total",
            "Connections that were closed because of what the device sent, or because it signed up again elsewhere.",
        ),
        silent: counter(
            "gateway_silent_total",
            "Connections that were closed because no SIGNUP came in time.",
        ),
        not_reading: counter(
            "gateway_not_reading_total",
            "Connections that were closed because the device did not read its commands.",
        ),
    }
    not shown {}
}
