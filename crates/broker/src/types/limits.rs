//! What bounds the broker's memory, and what happens at each bound.

use core::time::Duration;

use crate::types::BadTopic;

/// Every limit of the broker. Reaching one is counted in [`Metrics`](crate::Metrics).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, before and after CONNECT. One more is closed at once.
    pub connections: usize,
    /// Sessions, with and without a connection. For a new client above it the session ends that
    /// has been without a connection for longest and for which nothing waits; if there is
    /// none, it gets CONNACK "quota exceeded".
    pub sessions: usize,
    /// How long a connection may take to send its whole CONNECT.
    pub connect_timeout: Duration,
    /// Bytes that a client may send behind CONNECT while it waits to be authenticated; more
    /// of them close the connection.
    pub early_bytes: usize,
    /// The largest packet that a client may send, in bytes, told in CONNACK. A larger one
    /// ends the connection with "packet too large" `[MQTT-3.2.2-15]`.
    pub maximum_packet_size: u32,
    /// How many `QoS` 1 and 2 messages a client may have unacknowledged, told in CONNACK
    /// `[MQTT-3.3.4-7]`. One more ends the connection with "receive maximum exceeded", and so
    /// does one of `QoS` 2 if twice as many are not released, those of earlier connections
    /// included. It does not hold for version 3.1.1, which has no word for it: such a client may have as
    /// many as there are packet identifiers, 65,535.
    pub receive_maximum: u16,
    /// Messages that a client may publish in a second; a second's worth may come at once. Whoever
    /// is faster is not read for a while. 0: as many as it likes.
    pub publish_rate: u32,
    /// The highest topic alias that a client may use, told in CONNACK `[MQTT-3.3.2-9]`.
    pub topic_alias_maximum: u16,
    /// How many topic aliases the broker uses towards a client, where the client's own Topic
    /// Alias Maximum is not smaller `[MQTT-3.3.2-11]`. Other topics are said by name.
    pub server_topic_aliases: u16,
    /// The longest topic name or filter in bytes. A longer name is refused in the
    /// acknowledgement with "topic name invalid", a longer filter with "topic filter invalid".
    pub topic_bytes: usize,
    /// The most levels of a topic name or filter; more are refused like a longer one.
    pub topic_levels: usize,
    /// Subscriptions of one client; one more gets SUBACK "quota exceeded". This also bounds
    /// for how many filters a client can have retained messages looked for at once, and one
    /// SUBSCRIBE at all, equal ones included.
    pub subscriptions_per_client: usize,
    /// Bytes of one client's subscriptions, as if no filter shared a level with another; one
    /// more gets SUBACK "quota exceeded".
    pub subscription_bytes_per_client: usize,
    /// The same over all clients.
    pub all_subscriptions_bytes: usize,
    /// `QoS` 1 and 2 messages that are sent to a client and not acknowledged, where its own
    /// Receive Maximum is not smaller `[MQTT-3.3.4-9]`. The rest waits in its queue.
    pub inflight_window: u16,
    /// `QoS` 1 and 2 messages that wait for one client, present or absent. Retained messages
    /// that a subscription asked for are no part of them: only their bytes are limited.
    pub queue_messages: usize,
    /// The same in bytes (topic, payload, properties and what holding them costs).
    pub queue_bytes: usize,
    /// The same in bytes over all clients, as if nothing were shared between them. No queue may
    /// be larger than what is still free of it: who has a fair share of it is not refused
    /// because of those who have more.
    pub all_queues_bytes: usize,
    /// What happens to a `QoS` 1 or 2 message that its client's queue has no room for.
    pub queue_full: QueueFull,
    /// Bytes of one client's will, with what holding it costs; a larger one is refused in
    /// CONNACK with "quota exceeded".
    pub will_bytes: usize,
    /// The same over all clients.
    pub all_wills_bytes: usize,
    /// Bytes that wait to be taken for one connection. At the limit `QoS` 0 messages to it are
    /// dropped and `QoS` 1 and 2 messages stay in its queue. A client that reads nothing and
    /// still makes the broker answer more than twice as much is closed with "quota exceeded".
    pub out_buffer_bytes: usize,
    /// The same over all connections, with what is being written. Nobody may have more waiting
    /// than is still free of it, and everybody 16 KiB. One message that is larger than all of it
    /// goes out when nothing else waits.
    pub all_out_buffers_bytes: usize,
    /// Bytes of unfinished packets over all connections. At the limit the connection is closed
    /// that has held most for longest.
    pub all_partial_bytes: usize,
    /// Bytes that all lists may take together. Above it messages of `QoS` 0 are dropped, those
    /// of `QoS` 1 and 2 get "quota exceeded", and new clients "server busy"; clients that come
    /// back for what waits for them are let in.
    pub memory_bytes: usize,
    /// Retained messages. One more is delivered and not kept.
    pub retained_messages: usize,
    /// The same in bytes.
    pub retained_bytes: usize,
    /// Bytes of [records](crate#what-outlives-a-crash) that the store has not made durable yet.
    /// Above it clients that cause more of them, and those that come, are not read until half of
    /// it is durable; who comes with a will gets "server busy".
    pub journal_backlog_bytes: usize,
    /// The longest Session Expiry Interval in seconds; a longer one is cut, and told in
    /// CONNACK. `u32::MAX`: sessions may live for ever.
    pub session_expiry_interval: u32,
}

/// Which of the [`Limits`] was reached, for the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::connections`].
    Connections,
    /// [`Limits::sessions`].
    Sessions,
    /// [`Limits::sessions`]: one that was absent for long made room.
    SessionsEvicted,
    /// [`Limits::publish_rate`].
    PublishRate,
    /// [`Limits::connect_timeout`].
    ConnectTimeout,
    /// [`Limits::early_bytes`].
    EarlyBytes,
    /// [`Limits::maximum_packet_size`].
    PacketSize,
    /// A client's own Maximum Packet Size, which is none of [`Limits`]: a message that is larger
    /// is not sent to it `[MQTT-3.1.2-24]`.
    ClientPacketSize,
    /// [`Limits::receive_maximum`].
    ReceiveMaximum,
    /// [`Limits::topic_bytes`].
    TopicBytes,
    /// [`Limits::topic_levels`].
    TopicLevels,
    /// What clients may publish to, which is none of [`Limits`]: topics that start with `$` are
    /// the server's own.
    ServerTopic,
    /// What a shared subscription has to look like, which is none of [`Limits`]
    /// `[MQTT-4.8.2-1]`.
    ShareName,
    /// What the client may publish to, which is none of [`Limits`]:
    /// [`Grants`](crate::Grants).
    PublishRule,
    /// What the client may subscribe to, which is none of [`Limits`]:
    /// [`Grants`](crate::Grants).
    SubscribeRule,
    /// [`Limits::topic_alias_maximum`].
    TopicAlias,
    /// What a payload says of itself, which is none of [`Limits`]:
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
    /// [`Limits::out_buffer_bytes`]: `QoS` 0 messages are dropped.
    SlowReader,
    /// [`Limits::out_buffer_bytes`]: a client that does not read is closed.
    NotReading,
    /// [`Limits::retained_messages`] or [`Limits::retained_bytes`].
    Retained,
    /// [`Limits::subscriptions_per_client`], for retained messages that are looked for.
    RetainedLookups,
    /// [`Limits::journal_backlog_bytes`].
    JournalBacklog,
    /// [`journal::MAX_BODY`](crate::journal::MAX_BODY), which is none of [`Limits`]: a record is
    /// longer. Nothing more is recorded, and nothing acknowledged that would have to be, until
    /// the broker is started again.
    RecordSize,
    /// The room of the store, which is none of [`Limits`]:
    /// [`StoreState::Full`](crate::StoreState::Full).
    Store,
}

/// What happens to a `QoS` 1 or 2 message that its client's queue has no room for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// It is dropped. If the client is connected, it is too slow and disconnected with
    /// "quota exceeded": it can come back and read what was kept.
    Disconnect,
    /// It is dropped.
    DropNewest,
    /// The oldest messages of the queue make room, but none does for a retained message that
    /// a subscription asks for: that one is dropped.
    DropOldest,
}

impl Limits {
    /// Raises what would let nobody do anything, and what CONNACK may not say (a Receive
    /// Maximum of 0, section 3.2.2.3.3); lowers what the tables cannot hold.
    pub(crate) fn make_workable(&mut self) {
        self.sessions = self.sessions.min(crate::types::SessionId::MAX);
        self.connections = self.connections.min(crate::types::Slot::MAX);
        self.maximum_packet_size = self.maximum_packet_size.max(64);
        self.receive_maximum = self.receive_maximum.max(1);
        self.inflight_window = self.inflight_window.max(1);
        self.out_buffer_bytes = self.out_buffer_bytes.max(64);
    }

    /// Whether a topic name is short enough; otherwise why not.
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

    /// Whether a topic or filter has no more levels than there may be.
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
            inflight_window: 64,
            queue_messages: 10_000,
            queue_bytes: 16 * 1024 * 1024,
            all_queues_bytes: 1024 * 1024 * 1024,
            queue_full: QueueFull::Disconnect,
            will_bytes: 128 * 1024,
            all_wills_bytes: 128 * 1024 * 1024,
            out_buffer_bytes: 1024 * 1024,
            all_out_buffers_bytes: 512 * 1024 * 1024,
            all_partial_bytes: 256 * 1024 * 1024,
            memory_bytes: 4 * 1024 * 1024 * 1024,
            retained_messages: 1_000_000,
            retained_bytes: 1024 * 1024 * 1024,
            journal_backlog_bytes: 64 * 1024 * 1024,
            session_expiry_interval: u32::MAX,
        }
    }
}
