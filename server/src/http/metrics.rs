//! `/metrics`: what the broker and the listeners count, as Prometheus reads it.

use std::time::Duration;

use super::exposition::Page;
use crate::limits::Counts;
use crate::shard::Snapshot;
use store::Stats;

/// One line each: what it is to Prometheus, its name without `beaconry_`, what it counts.
/// `started` is the date when the server was, since 1970.
pub(super) fn render(started: Duration, shard: &Snapshot, listeners: Counts) -> String {
    let m = &shard.broker;
    let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let mut page = Page::default();

    page.process_start(started);
    page.info(
        "build_info",
        "Always 1: what runs here",
        "version",
        env!("CARGO_PKG_VERSION"),
    );

    page.gauge(
        "connections_open",
        "TCP connections, HTTP included",
        number(listeners.open),
    );
    page.gauge(
        "connections_max",
        "Most connections at once",
        number(listeners.max),
    );
    page.counter(
        "connections_accepted_total",
        "TCP connections accepted",
        listeners.accepted,
    );
    page.counter(
        "connections_refused_total",
        "TCP connections closed at once: too many were open",
        listeners.refused,
    );
    page.counter(
        "connections_refused_address_total",
        "TCP connections closed at once: too many were open from their address",
        listeners.refused_address,
    );
    page.counter(
        "accept_errors_total",
        "Times that the system would not give a connection",
        listeners.accept_errors,
    );
    page.counter(
        "http_head_timeouts_total",
        "HTTP connections closed: no request came, or not the whole of its head",
        listeners.head_timeouts,
    );
    page.counter(
        "websocket_faults_total",
        "WebSockets closed: they broke a rule below MQTT",
        shard.websocket_faults,
    );

    page.gauge(
        "mqtt_connections",
        "MQTT connections, before and after CONNECT",
        m.connections,
    );
    page.gauge("mqtt_clients", "Connected clients", m.clients);
    page.gauge(
        "mqtt_sessions",
        "Sessions, with and without a connection",
        m.sessions,
    );
    page.gauge("mqtt_subscriptions", "Subscriptions", m.subscriptions);
    page.gauge(
        "mqtt_subscription_bytes",
        "Bytes of subscriptions",
        m.subscription_bytes,
    );
    page.gauge(
        "mqtt_memory_bytes",
        "Bytes of all lists together",
        m.memory_bytes,
    );
    page.gauge(
        "mqtt_alias_bytes",
        "Bytes of topic aliases, in both directions",
        m.alias_bytes,
    );
    page.gauge(
        "mqtt_partial_bytes",
        "Bytes of unfinished packets",
        m.partial_bytes,
    );
    page.gauge(
        "mqtt_unwritten_bytes",
        "Bytes that wait to be written to connections",
        m.unwritten_bytes,
    );
    page.gauge("mqtt_wills", "Wills of sessions", m.wills);
    page.gauge("mqtt_will_bytes", "Bytes of wills", m.will_bytes);
    page.gauge(
        "mqtt_retained_messages",
        "Retained messages",
        m.retained_messages,
    );
    page.gauge(
        "mqtt_retained_bytes",
        "Bytes of retained messages",
        m.retained_bytes,
    );
    page.gauge(
        "mqtt_retained_lookups",
        "Filters whose retained messages are being sent",
        m.retained_lookups,
    );
    page.gauge(
        "mqtt_retained_lookup_bytes",
        "Bytes of those filters",
        m.retained_lookup_bytes,
    );
    page.gauge(
        "mqtt_incoming_messages",
        "QoS 2 messages from clients that are not released",
        m.incoming_messages,
    );
    page.gauge(
        "mqtt_queued_messages",
        "Messages that wait for clients: QoS 1 and 2 that are queued or sent and not acknowledged, and QoS 0 that waits behind retained ones",
        m.queued_messages,
    );
    page.gauge(
        "mqtt_queued_bytes",
        "Bytes of those messages, each counted for every client it waits for",
        m.queued_bytes,
    );
    page.gauge(
        "mqtt_stored_deliveries",
        "Those of the messages that wait that are stored, each counted for every client it waits for",
        m.stored_deliveries,
    );
    page.gauge(
        "mqtt_stored_message_bytes",
        "Bytes of the messages that are stored, retained ones included, each counted once",
        m.stored_message_bytes,
    );
    page.gauge(
        "mqtt_stored_session_bytes",
        "Bytes of the sessions that are stored, without what waits for them, rather too many",
        m.stored_session_bytes,
    );

    page.counter(
        "mqtt_connections_opened_total",
        "MQTT connections opened",
        m.connections_opened,
    );
    page.counter(
        "mqtt_connects_accepted_total",
        "CONNECT packets accepted",
        m.connects_accepted,
    );
    page.counter(
        "mqtt_connects_refused_total",
        "CONNECT packets refused",
        m.connects_refused,
    );
    page.counter(
        "mqtt_sessions_resumed_total",
        "Sessions resumed",
        m.sessions_resumed,
    );
    page.counter(
        "mqtt_sessions_expired_total",
        "Sessions expired",
        m.sessions_expired,
    );
    page.counter(
        "mqtt_sessions_evicted_total",
        "Sessions ended to make room for new ones",
        m.sessions_evicted,
    );
    page.gauge(
        "mqtt_journal_backlog_bytes",
        "Bytes of records that are not on the disk yet",
        m.journal_bytes,
    );
    page.counter(
        "mqtt_journal_backlog_pauses_total",
        "Times that a client was not read for a while, or refused: the store was behind",
        m.journal_backlog_pauses,
    );
    page.gauge(
        "mqtt_journal_stuck",
        "1: a record was too long, and nothing more is stored or acknowledged",
        m.journal_stuck,
    );
    page.counter(
        "mqtt_wills_not_stored_total",
        "Wills kept in memory alone, or published with QoS 0: the store was full",
        m.wills_not_stored,
    );
    page.counter(
        "mqtt_publish_rate_pauses_total",
        "Times that a client was not read for a while: it published too fast",
        m.publish_rate_pauses,
    );
    page.counter(
        "mqtt_takeovers_total",
        "Connections taken over by another one",
        m.takeovers,
    );
    page.counter(
        "mqtt_protocol_errors_total",
        "Connections closed: the peer broke the protocol",
        m.protocol_errors,
    );
    page.counter(
        "mqtt_keep_alive_timeouts_total",
        "Connections closed by keep alive",
        m.keep_alive_timeouts,
    );
    page.counter(
        "mqtt_connect_timeouts_total",
        "Connections closed: no CONNECT came",
        m.connect_timeouts,
    );
    page.counter("mqtt_received_bytes_total", "Bytes received", m.bytes_in);
    page.counter("mqtt_sent_bytes_total", "Bytes sent", m.bytes_out);
    page.counter(
        "mqtt_received_packets_total",
        "Packets received",
        m.packets_in,
    );
    page.counter(
        "mqtt_received_messages_total",
        "PUBLISH packets received",
        m.messages_in,
    );
    page.counter(
        "mqtt_sent_messages_total",
        "PUBLISH packets sent",
        m.messages_out,
    );
    page.counter(
        "mqtt_aliases_out_total",
        "PUBLISH packets sent with a topic alias in place of the name",
        m.aliases_out,
    );
    page.counter(
        "mqtt_duplicates_total",
        "PUBLISH packets received again",
        m.duplicates_in,
    );
    page.counter(
        "mqtt_retransmissions_total",
        "PUBLISH packets sent again",
        m.retransmissions,
    );
    page.counter(
        "mqtt_passed_on_total",
        "QoS 1 and 2 messages that went from one member of a shared subscription to another",
        m.passed_on,
    );
    page.counter(
        "mqtt_wills_published_total",
        "Wills published",
        m.wills_published,
    );
    page.counter(
        "mqtt_window_waits_total",
        "QoS 1 and 2 messages that had to wait in a queue: their client had as many unacknowledged as it may",
        m.window_waits,
    );
    page.counter(
        "mqtt_records_total",
        "Records written to the journal",
        m.records,
    );
    page.counter(
        "mqtt_checkpoints_total",
        "Whole copies of what matters in the journal",
        m.checkpoints,
    );
    page.counter(
        "mqtt_retained_not_stored_total",
        "Retained QoS 0 messages kept in memory alone: the store was full",
        m.retained_not_stored,
    );

    page.family("counter", "mqtt_refused_total", "What a limit refused");
    for (limit, value) in [
        ("connections", m.refused_connections_limit),
        ("sessions", m.refused_sessions_limit),
        ("early_bytes", m.refused_early_bytes),
        ("packet_size", m.refused_packet_too_large),
        ("receive_maximum", m.refused_receive_maximum),
        ("topic_name", m.refused_topic_name),
        ("topic_filter", m.refused_topic_filter),
        ("publish_rule", m.refused_publish_rule),
        ("subscribe_rule", m.refused_subscribe_rule),
        ("will_rule", m.refused_will_rule),
        ("topic_alias", m.refused_topic_alias),
        ("payload_format", m.refused_payload_format),
        ("subscriptions", m.refused_subscriptions_limit),
        ("retained_lookups", m.retained_not_looked_for),
        ("memory", m.refused_memory),
        ("store_full", m.refused_store_full),
        ("partial", m.closed_partial),
        ("will", m.refused_will_limit),
        ("retained", m.refused_retained_limit),
        ("not_reading", m.closed_not_reading),
        ("queue_full", m.closed_queue_full),
    ] {
        page.labelled("mqtt_refused_total", "limit", limit, value);
    }
    page.family(
        "counter",
        "mqtt_dropped_messages_total",
        "Messages that were not delivered",
    );
    for (reason, value) in [
        ("absent", m.dropped_absent),
        ("slow", m.dropped_slow),
        ("queue_full", m.dropped_queue_full),
        ("memory", m.dropped_memory),
        ("expired", m.dropped_expired),
        ("too_large", m.dropped_too_large),
        ("session_ended", m.dropped_session_ended),
        ("rule", m.dropped_rule),
    ] {
        page.labelled("mqtt_dropped_messages_total", "reason", reason, value);
    }
    if let Some(stats) = &shard.store {
        store(&mut page, stats);
    }
    page.finish()
}

/// Nothing, where nothing is stored.
fn store(page: &mut Page, store: &Stats) {
    page.counter(
        "store_groups_total",
        "Groups of records made durable",
        store.groups,
    );
    page.counter("store_records_total", "Records made durable", store.records);
    page.counter(
        "store_written_bytes_total",
        "Bytes made durable",
        store.bytes,
    );
    page.seconds_counter(
        "store_sync_seconds_total",
        "Time spent on writing groups and waiting for the disk",
        store.sync_time,
    );
    page.gauge(
        "store_journal_bytes",
        "Bytes in use in all segments",
        store.journal_bytes,
    );
    page.gauge("store_segments", "Files of the journal", store.segments);
    page.gauge(
        "store_reserve_bytes",
        "Bytes that can be written on a full disk",
        store.reserve_bytes,
    );
    page.gauge(
        "store_free_bytes",
        "Bytes that there could be in more segments",
        store.free_bytes,
    );
    page.gauge(
        "store_waiting_bytes",
        "Bytes of records that wait to be written",
        store.waiting_bytes,
    );
    page.counter(
        "store_checkpoints_total",
        "Copies of everything made, to remove what is older",
        store.checkpoints,
    );
    page.gauge(
        "store_full",
        "1 while the store has no room for anything new",
        store.is_full.into(),
    );
    page.counter(
        "store_ran_full_total",
        "Times that the store ran out of room",
        store.times_full,
    );
    page.gauge(
        "store_torn_bytes",
        "Bytes of an interrupted write that were cut off at the start",
        store.torn_bytes,
    );
}

#[cfg(test)]
mod tests {
    use super::super::exposition::testing as exposition;
    use super::*;

    #[test]
    fn everything_that_the_broker_counts_is_shown() {
        let page = include_str!("metrics.rs");
        let shown: Vec<_> = page
            .split("m.")
            .filter_map(|rest| {
                rest.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .next()
            })
            .collect();
        for name in crate::docs::field_names(&broker::Metrics::default()) {
            assert!(shown.contains(&name.as_str()), "{name} is not shown");
        }
    }

    #[test]
    fn the_whole_page_is_as_the_exposition_format_and_the_conventions_want_it() {
        let broker = broker::Metrics {
            messages_in: 7,
            ..broker::Metrics::default()
        };
        let stats = Stats {
            sync_time: Duration::from_micros(2_500_004),
            ..Stats::default()
        };
        let text = render(
            Duration::from_millis(1_790_000_000_250),
            &Snapshot {
                broker,
                websocket_faults: 3,
                store: Some(stats),
            },
            Counts {
                max: 10,
                open: 2,
                ..Counts::default()
            },
        );
        let families = exposition::parse(&text).unwrap();
        for (name, family) in &families {
            if let Err(fault) = exposition::check_conventions(name, family) {
                panic!("{name}: {fault}");
            }
            // OpenMetrics, and what converts to it, takes both for one.
            let base = name.strip_suffix("_total").unwrap_or(name);
            assert!(base == name || !families.contains_key(base), "{base}");
        }
        let value = |name: &str, labels: &[(&str, &str)]| {
            let found = families[name].samples.iter().find(|sample| {
                let given = sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
                given.eq(labels.iter().copied())
            });
            found.unwrap_or_else(|| panic!("{name}")).value.as_str()
        };
        assert_eq!(value("process_start_time_seconds", &[]), "1790000000.25");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        assert_eq!(value("beaconry_build_info", &version), "1");
        assert_eq!(value("beaconry_mqtt_received_messages_total", &[]), "7");
        assert_eq!(value("beaconry_websocket_faults_total", &[]), "3");
        assert_eq!(value("beaconry_store_sync_seconds_total", &[]), "2.500004");
        let limit = [("limit", "store_full")];
        assert_eq!(value("beaconry_mqtt_refused_total", &limit), "0");
    }
}
