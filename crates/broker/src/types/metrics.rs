//! What the broker counts.

/// Counters since the start, and gauges of now. Plain numbers: the shell gives them names.
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
    /// Gauge: their bytes, as if no filter shared a level with another.
    pub subscription_bytes: u64,
    /// Gauge: bytes of topic aliases, those of clients and those towards them.
    pub alias_bytes: u64,
    /// Gauge: bytes of packets that have not come to their end.
    pub partial_bytes: u64,
    /// Gauge: bytes that wait to be written to connections.
    pub unwritten_bytes: u64,
    /// Gauge: bytes of records that are not durable yet.
    pub journal_bytes: u64,
    /// Gauge: wills of sessions.
    pub wills: u64,
    /// Gauge: their bytes, with what holding them costs.
    pub will_bytes: u64,
    /// Gauge: retained messages.
    pub retained_messages: u64,
    /// Gauge: their bytes, with what holding them costs.
    pub retained_bytes: u64,
    /// Gauge: filters of new subscriptions whose retained messages are not all sent yet.
    pub retained_lookups: u64,
    /// Gauge: their bytes.
    pub retained_lookup_bytes: u64,
    /// Gauge: `QoS` 2 messages from clients whose PUBREL has not come.
    pub incoming_messages: u64,
    /// Gauge: `QoS` 1 and 2 messages that wait to be sent or acknowledged, and those of `QoS` 0
    /// that wait behind retained ones. Those of sessions that are over are part of it until
    /// they are freed, some thousands in a millisecond.
    pub queued_messages: u64,
    /// Gauge: their bytes, as if nothing were shared between clients.
    pub queued_bytes: u64,
    /// Gauge: those of `queued_messages` that records say something about.
    pub stored_deliveries: u64,
    /// Gauge: bytes of the messages that are in records, and that somebody has or is kept for its
    /// topic, each counted once.
    pub stored_message_bytes: u64,
    /// Gauge: bytes of the sessions that are in records, without what waits for them.
    pub stored_session_bytes: u64,
    /// Gauge: bytes of memory that all lists take together, as if nothing were shared.
    pub memory_bytes: u64,
    /// Gauge: bytes that a copy of everything that is to be stored takes, at most.
    pub copy_bytes: u64,
    /// Gauge: bytes of records that clients cause who take and acknowledge everything that
    /// waits, however little of it at a time, at most.
    pub taking_bytes: u64,

    /// Connections opened.
    pub connections_opened: u64,
    /// CONNECTs accepted.
    pub connects_accepted: u64,
    /// CONNECTs refused, for whatever reason.
    pub connects_refused: u64,
    /// Sessions that went on at a CONNECT.
    pub sessions_resumed: u64,
    /// Sessions that ended because their expiry interval had passed.
    pub sessions_expired: u64,
    /// Sessions that ended because they made room for new ones.
    pub sessions_evicted: u64,
    /// How often a client was not read for a while because it published too fast.
    pub publish_rate_pauses: u64,
    /// How often a client was not read for a while because the store was behind, or was refused
    /// for it.
    pub journal_backlog_pauses: u64,
    /// Connections that lost their client to another connection.
    pub takeovers: u64,
    /// Connections closed because the peer broke the protocol.
    pub protocol_errors: u64,
    /// Connections closed by keep alive.
    pub keep_alive_timeouts: u64,
    /// Connections closed because no CONNECT came.
    pub connect_timeouts: u64,

    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes handed to the shell for sending.
    pub bytes_out: u64,
    /// Packets received.
    pub packets_in: u64,
    /// PUBLISH packets received, repetitions of `QoS` 2 included.
    pub messages_in: u64,
    /// PUBLISH packets written, retransmissions included.
    pub messages_out: u64,
    /// PUBLISH packets written with a topic alias in place of the name.
    pub aliases_out: u64,
    /// PUBLISH packets received again that were recognised as such `[MQTT-4.3.3-10]`.
    pub duplicates_in: u64,
    /// PUBLISH packets written again on a resumed session `[MQTT-4.4.0-1]`.
    pub retransmissions: u64,
    /// `QoS` 1 and 2 messages that went from one member of a shared subscription's group to
    /// another, because the first went away before it had them.
    pub passed_on: u64,
    /// Wills published.
    pub wills_published: u64,
    /// `QoS` 1 and 2 messages that were put into a connected client's queue because it had as
    /// many unacknowledged as it may have.
    pub window_waits: u64,

    /// Messages, subscriptions and sessions refused because the store was full.
    pub refused_store_full: u64,
    /// Retained `QoS` 0 messages that are kept, but only until the server ends, because the
    /// store was full.
    pub retained_not_stored: u64,
    /// Wills that were kept, or published with `QoS` 0, without a record, because the store was
    /// full.
    pub wills_not_stored: u64,
    /// The number of the last record: how many there ever were.
    pub records: u64,
    /// 1: a record was longer than can be read back. Nothing more is recorded, and nothing
    /// acknowledged that would have to be.
    pub journal_stuck: u64,
    /// Whole copies of all that matters in the journal, each of which made it shorter.
    pub checkpoints: u64,
    /// Connections closed by [`Limits::connections`](crate::Limits::connections).
    pub refused_connections_limit: u64,
    /// CONNECTs refused by [`Limits::sessions`](crate::Limits::sessions).
    pub refused_sessions_limit: u64,
    /// Connections closed because of too much sent before CONNACK.
    pub refused_early_bytes: u64,
    /// Packets that were larger than the client may send.
    pub refused_packet_too_large: u64,
    /// Connections closed because the client had too many messages unacknowledged.
    pub refused_receive_maximum: u64,
    /// Messages and wills not accepted because their payload is not the UTF-8 that it says.
    pub refused_payload_format: u64,
    /// Messages not accepted because the client may not publish to their topic.
    pub refused_publish_rule: u64,
    /// CONNECTs refused because the client may not publish to the topic of its will.
    pub refused_will_rule: u64,
    /// Subscriptions refused because the client may be sent nothing that their filter matches.
    pub refused_subscribe_rule: u64,
    /// Messages not sent to a client that may not be sent them: its filter matches more than it
    /// may be sent.
    pub dropped_rule: u64,
    /// Messages not accepted because of their topic: too long, too deep, or starting with `$`.
    pub refused_topic_name: u64,
    /// Subscriptions not accepted because of their filter: too long, too deep, shared.
    pub refused_topic_filter: u64,
    /// Connections closed because the client used a topic alias above the highest that it may.
    pub refused_topic_alias: u64,
    /// Subscriptions refused because the client, or all together, have as many as there may be.
    pub refused_subscriptions_limit: u64,
    /// Subscriptions for which no retained messages were looked for, because the client's
    /// queue had refused those of another in the same SUBSCRIBE, or it had too many filters.
    pub retained_not_looked_for: u64,
    /// `QoS` 1 and 2 messages, and new clients, refused for want of memory.
    pub refused_memory: u64,
    /// Connections closed because all together held too much of unfinished packets.
    pub closed_partial: u64,
    /// CONNECTs refused because of their will: it is too large, or all together are.
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
    /// `QoS` 0 messages dropped for want of memory.
    pub dropped_memory: u64,
    /// Messages dropped because their expiry interval had passed `[MQTT-3.3.2-5]`.
    pub dropped_expired: u64,
    /// Messages dropped because they are larger than their client takes `[MQTT-3.1.2-25]`.
    pub dropped_too_large: u64,
    /// `QoS` 1 and 2 messages dropped because their client's session ended.
    pub dropped_session_ended: u64,
}

impl Metrics {
    /// What is there now, as if nothing had been counted before.
    pub(crate) fn without_counters(&self) -> Self {
        Self {
            clients: self.clients,
            subscriptions: self.subscriptions,
            ..Self::default()
        }
    }
}
