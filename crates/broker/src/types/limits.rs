//! The limits of the broker, and what happens at each.

use core::time::Duration;

use crate::types::BadTopic;

/// Every limit of the broker. [`Metrics`](crate::Metrics) counts how often each is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections at once, before and after CONNECT. The broker closes any further one
    /// immediately.
    pub connections: usize,
    /// The most sessions, with and without a connection. For a further client the broker ends the
    /// session that has been without a connection for longest and has nothing waiting. If there
    /// is none, the client gets CONNACK "quota exceeded".
    pub sessions: usize,
    /// How long a client may take to send its whole CONNECT.
    pub connect_timeout: Duration,
    /// The most bytes that a client may send after CONNECT while it waits to be authenticated. More
    /// of them close the connection.
    pub early_bytes: usize,
    /// The largest packet that a client may send, in bytes. CONNACK says so. A larger packet
    /// closes the connection with "packet too large" `[MQTT-3.2.2-15]`.
    pub maximum_packet_size: u32,
    /// The most `QoS` 1 and 2 messages that a client may have unacknowledged. CONNACK says so
    /// `[MQTT-3.3.4-7]`. One more closes the connection with "receive maximum exceeded". So does a
    /// new `QoS` 2 message when twice as many `QoS` 2 messages are not released yet, including
    /// those of earlier connections.
    ///
    /// This limit does not hold for version 3.1.1, which cannot express it. Such a client may
    /// have as many as there are packet identifiers, 65,535.
    pub receive_maximum: u16,
    /// The most messages that a client may publish in a second, in bursts of up to a second's worth.
    /// The broker stops reading a faster client for a while. 0: no limit.
    pub publish_rate: u32,
    /// The highest topic alias that a client may use. CONNACK says so `[MQTT-3.3.2-9]`.
    pub topic_alias_maximum: u16,
    /// The most topic aliases that the broker uses towards a client, unless the client's own Topic
    /// Alias Maximum is smaller `[MQTT-3.3.2-11]`. The broker sends other topics by name.
    pub server_topic_aliases: u16,
    /// The longest topic name or filter in bytes. The acknowledgement of a longer name says
    /// "topic name invalid", that of a longer filter "topic filter invalid".
    pub topic_bytes: usize,
    /// The most levels of a topic name or filter. Deeper ones are refused in the same way as longer
    /// ones.
    pub topic_levels: usize,
    /// The most subscriptions of one client. One more gets SUBACK "quota exceeded". The limit also
    /// bounds the retained look-ups that a client may have at once, and the filters of one
    /// SUBSCRIBE, equal ones included.
    pub subscriptions_per_client: usize,
    /// The most bytes of one client's subscriptions, counted as if no filter shared a level with
    /// another. One more subscription gets SUBACK "quota exceeded".
    pub subscription_bytes_per_client: usize,
    /// The most bytes of the subscriptions of all clients, counted in the same way.
    pub all_subscriptions_bytes: usize,
    /// The most `QoS` 1 and 2 messages that the broker has sent to a client and that are not
    /// acknowledged, unless the client's own Receive Maximum is smaller `[MQTT-3.3.4-9]`.
    /// Further messages wait in its queue. Members of groups are given messages of the group in turn
    /// up to 64 of them, so that none hoards what others could do.
    pub inflight_window: u16,
    /// The same for clients of version 3.1.1, which have no Receive Maximum. A small device has to
    /// remember the packet identifier of each `QoS` 2 message, and has no way to say how many it can.
    pub inflight_window_3_1_1: u16,
    /// The most `QoS` 1 and 2 messages that wait for one client, connected or not. Retained messages
    /// that a subscription asked for do not count here, only in bytes.
    pub queue_messages: usize,
    /// The most bytes of the messages that wait for one client: topic, payload, properties and
    /// overhead.
    pub queue_bytes: usize,
    /// The most bytes of the messages that wait for all clients, counted as if clients shared none.
    /// No queue may be larger than what is still free of this, so large queues cannot crowd out
    /// a client that has only its fair share.
    pub all_queues_bytes: usize,
    /// What happens to a `QoS` 1 or 2 message that does not fit into its client's queue.
    pub queue_full: QueueFull,
    /// The most bytes of one client's will, overhead included. A CONNECT with a larger one gets
    /// "quota exceeded".
    pub will_bytes: usize,
    /// The most bytes of the wills of all clients, overhead included.
    pub all_wills_bytes: usize,
    /// The most bytes that wait to be written to one connection. At the limit the broker leaves out
    /// the oldest `QoS` 0 messages that wait there, and leaves `QoS` 1 and 2 messages in its queue.
    /// What is no live `QoS` 0 message may take half as much again. A client that reads
    /// nothing, and still makes the broker answer more than twice as much, is closed with "quota
    /// exceeded".
    pub out_buffer_bytes: usize,
    /// The most bytes that wait to be written to all connections, or are being written. No
    /// connection may have more waiting than is still free of this, except that each may always
    /// have 16 KiB. A single larger message goes out when nothing else waits.
    pub all_out_buffers_bytes: usize,
    /// The most bytes of the newest values that wait for one connection, overhead included. At the
    /// limit the broker drops the value of the topic that has waited for longest.
    pub latest_bytes: usize,
    /// The most bytes of the newest values that wait for all connections, counted as if they shared
    /// none. No connection may have more of them than is still free of this.
    pub all_latest_bytes: usize,
    /// The most bytes of unfinished packets over all connections. At the limit the broker closes
    /// the connection whose bytes, multiplied by its time of silence, are most.
    pub all_partial_bytes: usize,
    /// The most bytes of everything that the broker holds. Above it `QoS` 0 messages are dropped,
    /// `QoS` 1 and 2 messages get "quota exceeded", and new clients "server busy". A client that
    /// comes back for messages that wait for it is still let in.
    pub memory_bytes: usize,
    /// The most retained messages. One more is delivered but not kept.
    pub retained_messages: usize,
    /// The most bytes of retained messages, overhead included.
    pub retained_bytes: usize,
    /// The most bytes of [records](crate#what-outlives-a-crash) that are not durable yet. Above it
    /// the broker does not read new clients, nor clients that cause more records, until half of
    /// it is durable. A new client with a will gets "server busy".
    pub journal_backlog_bytes: usize,
    /// The most bytes that wait for the reader of the [tap](crate::tap). From half of it on, the
    /// reader loses messages. They are delivered to clients as usual.
    pub tap_bytes: usize,
    /// The longest Session Expiry Interval in seconds. A longer one is shortened, and CONNACK
    /// says so. `u32::MAX`: sessions may live for ever.
    pub session_expiry_interval: u32,
}

/// Which of the [`Limits`] was reached, for the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::connections`].
    Connections,
    /// [`Limits::sessions`].
    Sessions,
    /// [`Limits::sessions`]: a session that was absent for long was ended to make room.
    SessionsEvicted,
    /// [`Limits::publish_rate`].
    PublishRate,
    /// [`Limits::connect_timeout`].
    ConnectTimeout,
    /// [`Limits::early_bytes`].
    EarlyBytes,
    /// [`Limits::maximum_packet_size`].
    PacketSize,
    /// A client's own Maximum Packet Size, not one of [`Limits`]: the broker does not send it a
    /// larger message `[MQTT-3.1.2-24]`.
    ClientPacketSize,
    /// [`Limits::receive_maximum`].
    ReceiveMaximum,
    /// [`Limits::topic_bytes`].
    TopicBytes,
    /// [`Limits::topic_levels`].
    TopicLevels,
    /// Not one of [`Limits`]: clients may not publish to topics that start with `$`, which are
    /// the server's own.
    ServerTopic,
    /// Not one of [`Limits`]: a shared subscription is malformed `[MQTT-4.8.2-1]`.
    ShareName,
    /// Not one of [`Limits`]: the client's [`Grants`](crate::Grants) do not let it publish to a
    /// topic.
    PublishRule,
    /// Not one of [`Limits`]: the client's [`Grants`](crate::Grants) do not let it subscribe to a
    /// filter.
    SubscribeRule,
    /// [`Limits::topic_alias_maximum`].
    TopicAlias,
    /// Not one of [`Limits`]: a payload is not in the format that it claims, see
    /// [`BrokerOptions::check_payload_format`](crate::BrokerOptions::check_payload_format).
    PayloadFormat,
    /// [`Limits::subscriptions_per_client`], [`Limits::subscription_bytes_per_client`] or
    /// [`Limits::all_subscriptions_bytes`].
    Subscriptions,
    /// [`Limits::queue_messages`], [`Limits::queue_bytes`] or [`Limits::all_queues_bytes`].
    Queue,
    /// [`Limits::will_bytes`] or [`Limits::all_wills_bytes`].
    Will,
    /// [`Limits::all_partial_bytes`].
    Partial,
    /// [`Limits::memory_bytes`].
    Memory,
    /// [`Limits::out_buffer_bytes`]: `QoS` 0 messages were dropped.
    SlowReader,
    /// [`Limits::latest_bytes`] or [`Limits::all_latest_bytes`]: newest values were dropped.
    Latest,
    /// [`Limits::out_buffer_bytes`]: a client that does not read was closed.
    NotReading,
    /// [`Limits::retained_messages`] or [`Limits::retained_bytes`].
    Retained,
    /// [`Limits::subscriptions_per_client`], for retained look-ups.
    RetainedLookups,
    /// [`Limits::tap_bytes`].
    Tap,
    /// [`Limits::journal_backlog_bytes`].
    JournalBacklog,
    /// Not one of [`Limits`]: a record is longer than
    /// [`journal::MAX_BODY`](crate::journal::MAX_BODY). Until the broker is started again it
    /// records nothing more, and acknowledges nothing that would need a record.
    RecordSize,
    /// Not one of [`Limits`]: the store has no room, see
    /// [`StoreState::Full`](crate::StoreState::Full).
    Store,
}

/// What happens to a `QoS` 1 or 2 message that does not fit into its client's queue.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// The message is dropped. A connected client is too slow: the broker disconnects it with
    /// "quota exceeded", so that it can come back and read what was kept.
    Disconnect,
    /// The message is dropped.
    DropNewest,
    /// The oldest messages of the queue are dropped. They do not make room for a retained
    /// message that a subscription asks for: that one is dropped.
    DropOldest,
}

impl Limits {
    /// Raises limits that would let nobody do anything, or that CONNACK may not state (a Receive
    /// Maximum of 0, section 3.2.2.3.3). Lowers limits beyond what the tables can hold.
    pub(crate) fn make_workable(&mut self) {
        self.sessions = self.sessions.min(crate::types::SessionId::MAX);
        self.connections = self.connections.min(crate::types::Slot::MAX);
        self.maximum_packet_size = self.maximum_packet_size.max(64);
        self.receive_maximum = self.receive_maximum.max(1);
        self.inflight_window = self.inflight_window.max(1);
        self.inflight_window_3_1_1 = self.inflight_window_3_1_1.max(1);
        self.out_buffer_bytes = self.out_buffer_bytes.max(64);
    }

    /// Checks the length and depth of a topic name.
    pub(crate) fn check_topic(&self, topic: &str) -> Result<(), BadTopic> {
        let (limit, what) = if topic.len() > self.topic_bytes {
            (Limit::TopicBytes, "the topic name is too long")
        } else if !self.has_few_levels(topic) {
            (Limit::TopicLevels, "the topic name has too many levels")
        } else {
            return Ok(());
        };
        Err(BadTopic { limit, what })
    }

    /// Whether a topic name or filter has at most [`Limits::topic_levels`].
    pub(crate) fn has_few_levels(&self, topic: &str) -> bool {
        topic.bytes().filter(|&byte| byte == b'/').count() < self.topic_levels
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            sessions: 200_000,
            connect_timeout: Duration::from_secs(10),
            early_bytes: 64 * 1024,
            maximum_packet_size: 1024 * 1024,
            receive_maximum: 256,
            publish_rate: 0,
            topic_alias_maximum: 16,
            server_topic_aliases: 16,
            topic_bytes: 16 * 1024,
            topic_levels: 128,
            subscriptions_per_client: 10_000,
            subscription_bytes_per_client: 8 * 1024 * 1024,
            all_subscriptions_bytes: 1024 * 1024 * 1024,
            inflight_window: 4_096,
            inflight_window_3_1_1: 64,
            queue_messages: 10_000,
            queue_bytes: 16 * 1024 * 1024,
            all_queues_bytes: 1024 * 1024 * 1024,
            queue_full: QueueFull::Disconnect,
            will_bytes: 128 * 1024,
            all_wills_bytes: 128 * 1024 * 1024,
            out_buffer_bytes: 1024 * 1024,
            all_out_buffers_bytes: 512 * 1024 * 1024,
            latest_bytes: 16 * 1024 * 1024,
            all_latest_bytes: 256 * 1024 * 1024,
            all_partial_bytes: 256 * 1024 * 1024,
            memory_bytes: 4 * 1024 * 1024 * 1024,
            retained_messages: 1_000_000,
            retained_bytes: 1024 * 1024 * 1024,
            journal_backlog_bytes: 64 * 1024 * 1024,
            tap_bytes: 16 * 1024 * 1024,
            session_expiry_interval: u32::MAX,
        }
    }
}
