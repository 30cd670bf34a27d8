//! Each limit of docs/limits.md on the running server: how the server answers a client that reaches
//! it, that the counter counts, and that the log names the client and the flag.

use std::collections::BTreeSet;

use beaconry::limits::{self, Row as Limit};
use beaconry::metrics::Kind;
use mqtt::{Packet, QoS, ReasonCode};

use super::meeting::{self, CULPRIT};
use super::support::{Server, wait_until};

/// A limit, and how a client reaches it.
struct Row {
    /// Its flag with a small value, then further flags that make the client reach this limit first.
    flags: &'static [&'static str],
    /// The metric's name in docs/limits.md.
    metric: &'static str,
    line: Line,
    /// Lets [`CULPRIT`] reach it and checks the answer: in `meeting.rs`.
    meet: fn(&Server),
}

/// What the log says, apart from the flag.
#[derive(Clone, Copy)]
enum Line {
    /// It names the client.
    Culprit,
    /// It has this text, about a client that has not sent its identifier.
    Of(&'static str),
    /// Nothing: see docs/limits.md.
    None,
}

const ROWS: &[Row] = &[
    Row {
        flags: &["--connect-timeout", "200ms"],
        metric: "mqtt_connect_timeouts_total",
        line: Line::Of("limit reached once: no CONNECT in time"),
        meet: meeting::says_nothing,
    },
    Row {
        flags: &["--connect-timeout", "200ms"],
        metric: "http_head_timeouts_total",
        line: Line::Of("closed 1 connection(s), the last from 127.0.0.1:"),
        meet: meeting::asks_half_a_question,
    },
    Row {
        flags: &["--max-packet-size", "1KiB"],
        metric: r#"mqtt_refused_total{limit="packet_size"}"#,
        line: Line::Culprit,
        meet: meeting::sends_a_large_packet,
    },
    Row {
        flags: &["--max-topic-length", "20"],
        metric: r#"mqtt_refused_total{limit="topic_name"}"#,
        line: Line::Culprit,
        meet: meeting::publishes_to_a_topic_of_21_bytes_and_4_levels,
    },
    Row {
        flags: &["--max-topic-length", "20"],
        metric: r#"mqtt_refused_total{limit="topic_filter"}"#,
        line: Line::Culprit,
        meet: meeting::subscribes_to_21_bytes_and_4_levels,
    },
    Row {
        flags: &["--max-topic-levels", "3"],
        metric: r#"mqtt_refused_total{limit="topic_name"}"#,
        line: Line::Culprit,
        meet: meeting::publishes_to_a_topic_of_21_bytes_and_4_levels,
    },
    Row {
        flags: &["--max-topic-levels", "3"],
        metric: r#"mqtt_refused_total{limit="topic_filter"}"#,
        line: Line::Culprit,
        meet: meeting::subscribes_to_21_bytes_and_4_levels,
    },
    Row {
        flags: &["--max-topic-alias", "2"],
        metric: r#"mqtt_refused_total{limit="topic_alias"}"#,
        line: Line::Culprit,
        meet: meeting::uses_a_third_alias,
    },
    Row {
        flags: &["--server-topic-aliases", "1"],
        metric: "mqtt_aliases_out_total",
        line: Line::None,
        meet: meeting::is_sent_one_topic_by_alias,
    },
    Row {
        flags: &["--max-journal-backlog", "1KiB", "--data", "{data}"],
        metric: "mqtt_journal_backlog_pauses_total",
        line: Line::Culprit,
        meet: meeting::has_4_kb_stored,
    },
    Row {
        flags: &["--max-store-size", "256KiB", "--data", "{data}"],
        metric: r#"mqtt_refused_total{limit="store_full"}"#,
        line: Line::Culprit,
        meet: meeting::stores_until_it_is_refused,
    },
    Row {
        flags: &["--max-store-size", "256KiB", "--data", "{data}"],
        metric: "mqtt_retained_not_stored_total",
        line: Line::Culprit,
        meet: meeting::retains_what_is_not_stored,
    },
    Row {
        flags: &["--max-store-size", "256KiB", "--data", "{data}"],
        metric: "mqtt_wills_not_stored_total",
        line: Line::Culprit,
        meet: meeting::comes_with_a_will_when_the_store_is_full,
    },
    Row {
        flags: &["--max-sessions", "1"],
        metric: "mqtt_sessions_evicted_total",
        line: Line::Culprit,
        meet: meeting::makes_room_for_another,
    },
    Row {
        flags: &["--max-sessions", "1"],
        metric: r#"mqtt_refused_total{limit="sessions"}"#,
        line: Line::Culprit,
        meet: meeting::is_one_too_many,
    },
    Row {
        flags: &["--max-session-expiry", "1s"],
        metric: "mqtt_sessions_expired_total",
        line: Line::None,
        meet: meeting::wants_its_session_kept_for_long,
    },
    Row {
        flags: &["--max-will-size", "1000"],
        metric: r#"mqtt_refused_total{limit="will"}"#,
        line: Line::Culprit,
        meet: meeting::comes_with_a_large_will,
    },
    Row {
        flags: &["--max-all-wills-bytes", "1000"],
        metric: r#"mqtt_refused_total{limit="will"}"#,
        line: Line::Culprit,
        meet: meeting::comes_with_a_large_will,
    },
    Row {
        flags: &["--max-subscriptions", "3"],
        metric: r#"mqtt_refused_total{limit="subscriptions"}"#,
        line: Line::Culprit,
        meet: meeting::subscribes_to_too_much,
    },
    Row {
        flags: &["--max-subscriptions", "3"],
        metric: r#"mqtt_refused_total{limit="retained_lookups"}"#,
        line: Line::Culprit,
        meet: meeting::asks_for_what_is_retained_too_often,
    },
    Row {
        flags: &["--max-subscription-bytes", "1200"],
        metric: r#"mqtt_refused_total{limit="subscriptions"}"#,
        line: Line::Culprit,
        meet: meeting::subscribes_to_too_much,
    },
    Row {
        flags: &["--max-all-subscriptions-bytes", "1200"],
        metric: r#"mqtt_refused_total{limit="subscriptions"}"#,
        line: Line::Culprit,
        meet: meeting::subscribes_to_too_much,
    },
    Row {
        flags: &["--max-publish-rate", "20"],
        metric: "mqtt_publish_rate_pauses_total",
        line: Line::Culprit,
        meet: meeting::publishes_too_fast,
    },
    Row {
        flags: &["--receive-maximum", "2"],
        metric: r#"mqtt_refused_total{limit="receive_maximum"}"#,
        line: Line::Culprit,
        meet: meeting::has_three_messages_unreleased,
    },
    Row {
        flags: &["--inflight-window", "2"],
        metric: "mqtt_window_waits_total",
        line: Line::None,
        meet: meeting::acknowledges_late,
    },
    Row {
        flags: &["--inflight-window-3-1-1", "2"],
        metric: "mqtt_window_waits_total",
        line: Line::None,
        meet: meeting::acknowledges_late_in_3_1_1,
    },
    Row {
        flags: &["--max-queued-messages", "2"],
        metric: r#"mqtt_dropped_messages_total{reason="queue_full"}"#,
        line: Line::Culprit,
        meet: meeting::acknowledges_nothing,
    },
    Row {
        flags: &["--max-queued-bytes", "4KiB", "--max-packet-size", "2KiB"],
        metric: r#"mqtt_dropped_messages_total{reason="queue_full"}"#,
        line: Line::Culprit,
        meet: meeting::acknowledges_nothing,
    },
    Row {
        flags: &[
            "--max-all-queues-bytes",
            "4KiB",
            "--max-packet-size",
            "2KiB",
        ],
        metric: r#"mqtt_dropped_messages_total{reason="queue_full"}"#,
        line: Line::Culprit,
        meet: meeting::acknowledges_nothing,
    },
    Row {
        flags: &["--queue-full", "disconnect", "--max-queued-messages", "2"],
        metric: r#"mqtt_refused_total{limit="queue_full"}"#,
        line: Line::Culprit,
        meet: meeting::acknowledges_nothing,
    },
    Row {
        flags: &["--max-page-frames", "20"],
        metric: "websocket_postponed_frames_total",
        line: Line::None,
        meet: meeting::is_a_page_that_gets_much,
    },
    Row {
        flags: &["--max-latest-bytes", "16KiB", "--max-packet-size", "8KiB"],
        metric: r#"mqtt_dropped_messages_total{reason="latest_full"}"#,
        line: Line::Culprit,
        meet: meeting::wants_the_newest_of_too_many_topics,
    },
    Row {
        flags: &[
            "--max-all-latest-bytes",
            "32KiB",
            "--max-packet-size",
            "8KiB",
        ],
        metric: r#"mqtt_dropped_messages_total{reason="latest_full"}"#,
        line: Line::Culprit,
        meet: meeting::wants_the_newest_of_too_many_topics,
    },
    Row {
        flags: &["--max-out-buffer", "8KiB", "--max-packet-size", "8KiB"],
        metric: r#"mqtt_dropped_messages_total{reason="slow"}"#,
        line: Line::Culprit,
        meet: meeting::reads_nothing,
    },
    Row {
        flags: &[
            "--max-all-out-buffers",
            "32KiB",
            "--max-packet-size",
            "8KiB",
        ],
        metric: r#"mqtt_dropped_messages_total{reason="slow"}"#,
        line: Line::Culprit,
        meet: meeting::reads_nothing,
    },
    Row {
        flags: &[
            "--max-out-buffer",
            "8KiB",
            "--max-packet-size",
            "8KiB",
            "--max-topic-levels",
            "1",
        ],
        metric: r#"mqtt_refused_total{limit="not_reading"}"#,
        line: Line::Culprit,
        meet: meeting::reads_no_answers,
    },
    Row {
        flags: &[
            "--max-all-partial-bytes",
            "64KiB",
            "--max-packet-size",
            "64KiB",
        ],
        metric: r#"mqtt_refused_total{limit="partial"}"#,
        line: Line::Culprit,
        meet: meeting::never_comes_to_an_end,
    },
    Row {
        flags: &["--max-retained-messages", "2"],
        metric: r#"mqtt_refused_total{limit="retained"}"#,
        line: Line::Culprit,
        meet: meeting::retains_too_much,
    },
    Row {
        flags: &["--max-retained-bytes", "4000"],
        metric: r#"mqtt_refused_total{limit="retained"}"#,
        line: Line::Culprit,
        meet: meeting::retains_too_much,
    },
    Row {
        flags: &["--max-memory", "16MiB", "--max-retained-bytes", "1GiB"],
        metric: r#"mqtt_refused_total{limit="memory"}"#,
        line: Line::Culprit,
        meet: meeting::fills_the_memory_with_qos_1,
    },
    Row {
        flags: &["--max-memory", "16MiB", "--max-retained-bytes", "1GiB"],
        metric: r#"mqtt_dropped_messages_total{reason="memory"}"#,
        line: Line::Culprit,
        meet: meeting::fills_the_memory_with_qos_0,
    },
];

/// Counters of docs/limits.md that are not in [`ROWS`], and why.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "--max-connections",
        "connections_refused_total",
        "with them in use nobody can ask for metrics: a_flood_of_connections",
    ),
    (
        "--max-connections-per-address",
        "connections_refused_address_total",
        "this machine's are not counted: server/src/listener.rs",
    ),
    (
        "--max-early-bytes",
        r#"mqtt_refused_total{limit="early_bytes"}"#,
        "CONNECT is answered at once: crates/broker/src/tests/limits.rs",
    ),
    (
        "--max-tap-bytes",
        "mqtt_tap_lost_total",
        "the reader is not slow: crates/broker/src/tests/tapping.rs",
    ),
    ("--max-tap-bytes", "mqtt_tap_resyncs_total", "the same"),
    (
        "--max-devices",
        "devices_forgotten_total",
        "clients may say what they like: server/tests/serve/devices.rs",
    ),
    (
        "--max-devices",
        "devices_ignored_messages_total",
        "the same: server/tests/serve/devices.rs",
    ),
    (
        "--max-devices-bytes",
        "devices_out_of_memory_total",
        "the same: server/tests/serve/devices.rs",
    ),
    (
        "--max-change-log",
        "devices_change_resyncs_total",
        "over HTTP: server/tests/serve/changes.rs",
    ),
    (
        "--max-change-streams",
        "devices_change_streams_refused_total",
        "over HTTP: server/tests/serve/changes.rs",
    ),
    (
        "--max-gateway-object",
        "gateway_too_large_total",
        "over plain TCP: server/tests/serve/gateway.rs",
    ),
    (
        "--max-store-size",
        "store_ran_full_total",
        "the store's own: server/tests/durability/full.rs",
    ),
    (
        "--history-size",
        "history_dropped_by_size_bytes_total",
        "the archive's own: crates/history/src",
    ),
    ("--max-history-memory", "history_blocks_total", "the same"),
    (
        "--max-history-backlog",
        "history_overrun_rows_total",
        "the disk is not slow",
    ),
    (
        "--max-history-backlog",
        "history_messages_lost_total",
        "the disk is not slow: server/src/history/messages.rs",
    ),
    (
        "--max-history-series",
        "history_refused_values_total",
        "the archive's own: crates/history/src",
    ),
    (
        "--max-history-names",
        "history_refused_values_total",
        "the same",
    ),
    (
        "--history-messages-size",
        "history_messages_dropped_by_size_total",
        "the message log's own: crates/messages/src/tests",
    ),
    (
        "--history-messages-size",
        "history_messages_dropped_by_age_total",
        "the same",
    ),
    (
        "--max-history-payload",
        "history_messages_cut_total",
        "over HTTP: server/tests/serve/messages.rs",
    ),
];

#[test]
fn each_limit_is_answered_counted_and_logged() {
    for row in ROWS {
        let folder = testbed::Folder::new();
        let data = folder.data();
        let flags = row.flags.iter().map(|flag| match *flag {
            "{data}" => data.to_str().unwrap(),
            flag => flag,
        });
        let server = Server::start_with(&flags.collect::<Vec<_>>());
        // For everyone who reads why the test failed.
        println!("beaconry serve {}: {}", row.flags.join(" "), row.metric);
        assert_eq!(server.metric(row.metric), 0);
        (row.meet)(&server);
        // The server counts it with the answer, or a moment after it.
        wait_until("the counter", || server.metric(row.metric) > 0);
        let named = format!(", the last by client \"{CULPRIT}\": ");
        let says = match row.line {
            Line::Culprit => named.as_str(),
            Line::Of(what) => what,
            Line::None => continue,
        };
        // The client may have reached another limit on the way.
        while !server.log_line(says).contains(row.flags[0]) {}
    }
}

#[test]
fn no_limit_of_the_table_is_left_out() {
    let counters = |row: &'static Limit| {
        let metrics = row.metrics().filter(|it| it.kind() == Kind::Counter);
        metrics.map(|metric| (format!("--{}", row.flag), metric.to_string()))
    };
    let table: BTreeSet<_> = limits::rows().flat_map(counters).collect();
    let here = ROWS.iter().map(|row| (row.flags[0], row.metric));
    let elsewhere = ELSEWHERE.iter().map(|(flag, metric, _)| (*flag, *metric));
    let held = here.chain(elsewhere);
    let held: BTreeSet<_> = held
        .map(|(flag, metric)| (flag.to_owned(), metric.to_owned()))
        .collect();
    assert_eq!(held, table);
}

/// The line about a full queue names the flags too: a search for the client finds both.
#[test]
fn who_is_dismissed_for_a_full_queue_is_named_with_the_flags() {
    let server = Server::start_with(&["--max-queued-messages", "2"]);
    meeting::acknowledges_nothing(&server);
    let line = server.log_line("closed: ");
    for part in [CULPRIT, "--max-queued-messages", "--queue-full"] {
        assert!(line.contains(part), "{line}");
    }
}

/// This is the client's limit, not the server's. But the server counts and logs it in the same way.
#[test]
fn a_message_that_is_too_large_for_its_subscriber_is_counted_and_logged() {
    let server = Server::start();
    meeting::takes_no_more_than_100_bytes(&server);
    let metric = r#"mqtt_dropped_messages_total{reason="too_large"}"#;
    assert_eq!(server.metric(metric), 1);
    let line = server.log_line("Maximum Packet Size");
    assert!(line.contains(CULPRIT), "{line}");
}

/// This is not a limit either: no flag changes it, and the log names none.
#[test]
fn a_topic_that_is_the_servers_own_is_counted_and_logged() {
    let server = Server::start();
    meeting::publishes_to_what_is_the_servers_own(&server);
    let metric = r#"mqtt_refused_total{limit="topic_name"}"#;
    assert_eq!(server.metric(metric), 1);
    let line = server.log_line("limit reached");
    assert!(line.contains("starts with $"), "{line}");
    assert!(line.contains(CULPRIT) && !line.contains("--"), "{line}");
}

/// This is not a limit. But the server counts and logs what it checks in the same way.
#[test]
fn a_payload_that_is_not_what_it_says_is_counted_and_logged() {
    let server = Server::start();
    let mut peer = meeting::culprit(&server);
    let mut publish = peer.publication("t", vec![0xFF], QoS::AtLeastOnce);
    publish.properties.payload_format_indicator = Some(true);
    peer.send(&Packet::Publish(publish));
    match peer.receive() {
        Some(Packet::PubAck(answer)) => {
            assert_eq!(answer.reason_code, ReasonCode::PayloadFormatInvalid);
        }
        other => panic!("PUBACK expected, not {other:?}"),
    }
    let metric = r#"mqtt_refused_total{limit="payload_format"}"#;
    assert_eq!(server.metric(metric), 1);
    let line = server.log_line("--check-payload-format");
    assert!(line.contains(CULPRIT), "{line}");
}
