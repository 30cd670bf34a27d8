//! What the broker counts.

/// Counters since the start, and gauges of the present state. Plain numbers: the shell gives
/// them names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Gauge: connections, before and after CONNECT.
    pub connections: u64,
    /// Gauge: connections whose CONNECT was accepted.
    pub clients: u64,
    /// Gauge: sessions, with and without a connection.
    pub sessions: u64,
    /// Gauge: subscriptions of all sessions.
    pub subscriptions: u64,
    /// Gauge: bytes of all subscriptions, counted as if no filter shared a level with another.
    pub subscription_bytes: u64,
    /// Gauge: bytes of topic aliases, in both directions.
    pub alias_bytes: u64,
    /// Gauge: bytes of unfinished packets, and of CONNECTs that wait for a decision.
    pub partial_bytes: u64,
    /// Gauge: bytes that wait to be written to connections.
    pub unwritten_bytes: u64,
    /// Gauge: bytes of the newest values that wait for connections, counted as if they shared none.
    pub latest_bytes: u64,
    /// Gauge: bytes of records that are not durable yet.
    pub journal_bytes: u64,
    /// Gauge: bytes that wait for the reader of the [tap](crate::tap).
    pub tap_bytes: u64,
    /// Gauge: wills of sessions.
    pub wills: u64,
    /// Gauge: bytes of wills, overhead included.
    pub will_bytes: u64,
    /// Gauge: retained messages.
    pub retained_messages: u64,
    /// Gauge: bytes of retained messages, overhead included.
    pub retained_bytes: u64,
    /// Gauge: retained look-ups: filters of new subscriptions whose retained messages are not
    /// all sent yet.
    pub retained_lookups: u64,
    /// Gauge: bytes of retained look-ups.
    pub retained_lookup_bytes: u64,
    /// Gauge: `QoS` 2 messages from clients that have not sent PUBREL yet.
    pub incoming_messages: u64,
    /// Gauge: `QoS` 1 and 2 messages that wait to be sent or acknowledged, and `QoS` 0 messages
    /// that wait behind retained ones. Messages of ended sessions count until they are freed, which
    /// happens at some thousands in a millisecond.
    pub queued_messages: u64,
    /// Gauge: bytes of queued messages, counted as if clients shared none.
    pub queued_bytes: u64,
    /// Gauge: how many of `queued_messages` are in records.
    pub stored_deliveries: u64,
    /// Gauge: bytes of the messages in records that are queued or retained. Each message counts
    /// once.
    pub stored_message_bytes: u64,
    /// Gauge: bytes of the sessions in records, without their queues.
    pub stored_session_bytes: u64,
    /// Gauge: bytes of memory that the broker holds, counted as if nothing were shared.
    pub memory_bytes: u64,
    /// Gauge: the most bytes that a checkpoint would take.
    pub copy_bytes: u64,
    /// Gauge: the most bytes of records that clients would cause by taking and acknowledging
    /// everything that waits for them, in steps as small as they like.
    pub taking_bytes: u64,

    /// Connections opened.
    pub connections_opened: u64,
    /// CONNECTs accepted.
    pub connects_accepted: u64,
    /// CONNECTs refused, for whatever reason.
    pub connects_refused: u64,
    /// Sessions that a CONNECT resumed.
    pub sessions_resumed: u64,
    /// Sessions that ended because their expiry interval had passed.
    pub sessions_expired: u64,
    /// Sessions that the broker ended to make room for new ones.
    pub sessions_evicted: u64,
    /// How often the broker stopped reading a client for a while because it published too fast.
    pub publish_rate_pauses: u64,
    /// How often the store was behind, so that the broker stopped reading a client for a while
    /// or refused it.
    pub journal_backlog_pauses: u64,
    /// Connections closed because their client connected again.
    pub takeovers: u64,
    /// Connections closed because the peer broke the protocol.
    pub protocol_errors: u64,
    /// Connections closed because of silence beyond the keep alive.
    pub keep_alive_timeouts: u64,
    /// Connections closed because no CONNECT came.
    pub connect_timeouts: u64,

    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes handed to the shell for sending.
    pub bytes_out: u64,
    /// Packets received.
    pub packets_in: u64,
    /// PUBLISH packets received, repeated ones of `QoS` 2 included.
    pub messages_in: u64,
    /// PUBLISH packets handed to the shell, retransmissions included.
    pub messages_out: u64,
    /// PUBLISH packets written with a topic alias instead of the name.
    pub aliases_out: u64,
    /// Messages that a newer one to the same topic has replaced, while they waited for a client
    /// that asked for the newest values.
    pub latest_replaced: u64,
    /// PUBLISH packets recognised as duplicates `[MQTT-4.3.3-10]`.
    pub duplicates_in: u64,
    /// PUBLISH packets written again on a resumed session `[MQTT-4.4.0-1]`.
    pub retransmissions: u64,
    /// `QoS` 1 and 2 messages of shared subscriptions that went to another member because the
    /// first one went away before it had them.
    pub passed_on: u64,
    /// Wills published.
    pub wills_published: u64,
    /// Messages that the reader of the [tap](crate::tap) lost, because it was too slow.
    pub tap_lost: u64,
    /// Times that the [tap](crate::tap) began to tell everything that is there: once at the start,
    /// and once for each time that its reader lost more than messages.
    pub tap_resyncs: u64,
    /// `QoS` 1 and 2 messages that were queued for a connected client because its window was
    /// full.
    pub window_waits: u64,

    /// Messages, subscriptions and sessions refused because the store was full.
    pub refused_store_full: u64,
    /// Retained `QoS` 0 messages that are kept only in memory because the store was full.
    pub retained_not_stored: u64,
    /// Wills that were kept without a record, or published with `QoS` 0, because the store was
    /// full.
    pub wills_not_stored: u64,
    /// The number of the last record, which is how many there ever were.
    pub records: u64,
    /// 1 after a record was too long to be read back, otherwise 0. Nothing more is recorded
    /// then, and nothing is acknowledged that would need a record.
    pub journal_stuck: u64,
    /// Checkpoints written. Each made the journal shorter.
    pub checkpoints: u64,
    /// Connections closed by [`Limits::connections`](crate::Limits::connections).
    pub refused_connections_limit: u64,
    /// CONNECTs refused by [`Limits::sessions`](crate::Limits::sessions).
    pub refused_sessions_limit: u64,
    /// Connections closed because the client sent too much before CONNACK.
    pub refused_early_bytes: u64,
    /// Packets that were larger than the client may send.
    pub refused_packet_too_large: u64,
    /// Connections closed because the client had too many messages unacknowledged.
    pub refused_receive_maximum: u64,
    /// Messages and wills refused because their payload is not the UTF-8 that they claim.
    pub refused_payload_format: u64,
    /// Messages refused because the client may not publish to their topic.
    pub refused_publish_rule: u64,
    /// CONNECTs refused because the client may not publish to the topic of its will.
    pub refused_will_rule: u64,
    /// Subscriptions refused because the client may be sent nothing that their filter matches.
    pub refused_subscribe_rule: u64,
    /// Messages not sent to a client because it may not receive them, although its filter
    /// matches. Wills not published because the rules have changed since CONNECT count too.
    pub dropped_rule: u64,
    /// Messages refused because of their topic: too long, too deep, or starting with `$`.
    pub refused_topic_name: u64,
    /// Subscriptions refused because of their filter: too long, too deep, or a shared
    /// subscription of bad form.
    pub refused_topic_filter: u64,
    /// Connections closed because the client used a topic alias above its maximum.
    pub refused_topic_alias: u64,
    /// Subscriptions refused because the client, or all clients together, reached a limit.
    pub refused_subscriptions_limit: u64,
    /// Subscriptions that were granted, but for which no retained messages were looked up: the
    /// client, or all clients together, had too many look-ups under way.
    pub retained_not_looked_for: u64,
    /// `QoS` 1 and 2 messages and new clients refused because of
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    pub refused_memory: u64,
    /// Connections closed because unfinished packets of all connections took too much.
    pub closed_partial: u64,
    /// CONNECTs refused because of the size of their will, or of all wills together.
    pub refused_will_limit: u64,
    /// Retained messages not kept because of a limit.
    pub refused_retained_limit: u64,
    /// Connections closed because the client did not read what it made the broker write.
    pub closed_not_reading: u64,
    /// Connections closed because the client's queue was full.
    pub closed_queue_full: u64,

    /// `QoS` 0 messages dropped because their client was absent.
    pub dropped_absent: u64,
    /// `QoS` 0 messages dropped because their client reads too slowly.
    pub dropped_slow: u64,
    /// `QoS` 1 and 2 messages dropped because a queue was full.
    pub dropped_queue_full: u64,
    /// `QoS` 0 messages dropped because of
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    pub dropped_memory: u64,
    /// Newest values dropped because too many topics waited, see
    /// [`Limits::latest_bytes`](crate::Limits::latest_bytes).
    pub dropped_latest: u64,
    /// Messages dropped because their expiry interval had passed `[MQTT-3.3.2-5]`.
    pub dropped_expired: u64,
    /// Messages dropped because they are larger than their client accepts `[MQTT-3.1.2-25]`.
    pub dropped_too_large: u64,
    /// `QoS` 1 and 2 messages dropped because their client's session ended.
    pub dropped_session_ended: u64,
}

impl Metrics {
    /// Metrics in which all counters are 0. Only the gauges that the broker keeps right here have
    /// values.
    pub(crate) fn without_counters(&self) -> Self {
        Self {
            clients: self.clients,
            subscriptions: self.subscriptions,
            ..Self::default()
        }
    }
}
