//! What a connection has agreed on with its client, and how far both have used it.

use core::time::Duration;

use mqtt::{Connect, Dialect, PacketId, ProtocolVersion, Publish, TopicForm};

use crate::admission::MemoryBudget;
use crate::delivery::routed::template;
use crate::delivery::{ClientAliases, Naming, ServerAliases};
use crate::types::{BadTopic, CloseCause, Delivery, Limits, Metrics, SessionId, ThinVec, topic};

/// What a connection has agreed on with its client.
#[derive(Debug)]
pub(crate) struct Link {
    session: SessionId,
    pub(super) version: ProtocolVersion,
    /// Seconds; 0: none.
    keep_alive: u16,
    /// The client's Maximum Packet Size `[MQTT-3.1.2-24]`.
    pub(super) maximum_packet_size: u32,
    /// How many more `QoS` 1 and 2 messages may be sent `[MQTT-4.9.0-2]`.
    pub(super) quota: u16,
    /// Whether reason strings are wanted `[MQTT-3.1.2-29]`.
    problem_information: bool,
    /// `QoS` 1 messages from the client whose PUBACK waits for a record.
    unacknowledged: u16,
    /// The session's incoming `QoS` 2 messages, in order, that are from earlier connections and
    /// were not sent again on this one: they are no part of its quota (section 4.9).
    carried_over: ThinVec<PacketId>,
    /// Whether the client has reached a limit and will be dismissed. Nothing more is read from
    /// it.
    is_being_dismissed: bool,
    /// What the client's topic aliases stand for.
    aliases: ClientAliases,
    /// What the server's topic aliases stand for, if the client takes any.
    server_aliases: Option<Box<ServerAliases>>,
    /// Whether the client is a bridge to another broker, or speaks MQTT 3.1.
    dialect: Dialect,
    /// Whether CONNECT asked for a session that outlives the connection: only then may
    /// DISCONNECT (section 3.14.2.2.2).
    may_outlive: bool,
}

impl Link {
    /// What `connect` asks for, within the limits. The broker uses at most `most_aliases` topic
    /// aliases towards the client; `seed` keys their table. `carried_over` are the incoming
    /// `QoS` 2 messages of earlier connections.
    pub(crate) fn new(
        session: SessionId,
        connect: &Connect,
        longest_keep_alive: Option<u16>,
        most_aliases: u16,
        seed: u64,
        carried_over: Vec<PacketId>,
    ) -> Self {
        let properties = &connect.properties;
        Self {
            session,
            version: connect.version,
            keep_alive: Self::granted_keep_alive(connect, longest_keep_alive),
            maximum_packet_size: properties.maximum_packet_size.unwrap_or(u32::MAX),
            quota: properties.receive_maximum.unwrap_or(u16::MAX),
            problem_information: properties.request_problem_information.unwrap_or(true),
            unacknowledged: 0,
            carried_over: carried_over.into(),
            is_being_dismissed: false,
            aliases: ClientAliases::default(),
            server_aliases: ServerAliases::up_to(
                properties
                    .topic_alias_maximum
                    .unwrap_or(0)
                    .min(most_aliases),
                seed,
            ),
            dialect: connect.dialect,
            may_outlive: properties.session_expiry_interval.unwrap_or(0) > 0,
        }
    }

    /// The keep alive that `connect` gets, in seconds, where `longest` is the most that the server allows.
    pub(crate) fn granted_keep_alive(connect: &Connect, longest: Option<u16>) -> u16 {
        match (connect.version, longest) {
            (ProtocolVersion::V5, Some(longest)) if connect.keep_alive == 0 => longest,
            (ProtocolVersion::V5, Some(longest)) => connect.keep_alive.min(longest),
            (ProtocolVersion::V5, None) | (ProtocolVersion::V3_1_1, _) => connect.keep_alive,
        }
    }

    /// How a message says its topic. `leads`: the client reads it before all that is written
    /// after it.
    pub(super) fn naming(&self, publish: &Publish, delivery: &Delivery, leads: bool) -> Naming {
        /// What saying an alias besides the name adds at most: the property, and a byte for
        /// each of two lengths.
        const ALIAS: usize = 5;
        let Some(aliases) = &self.server_aliases else {
            return Naming::Name;
        };
        let naming = aliases.naming(topic(publish));
        let most = self.maximum_packet_size;
        match naming {
            Naming::Introduce(_) if !leads => Naming::Name,
            Naming::Introduce(_) if most != u32::MAX => {
                match template(publish, self.version, delivery, TopicForm::Name) {
                    Ok(named) if named.encoded_len() + ALIAS <= most as usize => naming,
                    Ok(_) | Err(_) => Naming::Name,
                }
            }
            Naming::Introduce(_) | Naming::Name | Naming::Alias(_) => naming,
        }
    }

    /// A message to `topic` has been written, and will be read before all that follows.
    pub(super) fn written(
        &mut self,
        topic: &str,
        naming: Naming,
        metrics: &mut Metrics,
        memory: &mut MemoryBudget,
    ) {
        metrics.messages_out += 1;
        metrics.aliases_out += u64::from(matches!(naming, Naming::Alias(_)));
        if let Some(aliases) = &mut self.server_aliases {
            aliases.written(topic, naming, memory);
        }
    }

    /// The client's session.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Whether the client is a bridge to another broker, or speaks MQTT 3.1.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The largest packet that the client takes, in bytes `[MQTT-3.1.2-24]`.
    pub(crate) fn maximum_packet_size(&self) -> u32 {
        self.maximum_packet_size
    }

    /// Whether the client wants reason strings `[MQTT-3.1.2-29]`.
    pub(crate) fn wants_reason_strings(&self) -> bool {
        self.problem_information
    }

    /// Whether DISCONNECT may ask for a session that outlives the connection.
    pub(crate) fn may_outlive(&self) -> bool {
        self.may_outlive
    }

    /// Whether the client may be sent another `QoS` 1 or 2 message `[MQTT-4.9.0-2]`.
    pub(crate) fn has_quota(&self) -> bool {
        self.quota > 0
    }

    /// The client has acknowledged a message that counted against its quota.
    pub(crate) fn give_back_quota(&mut self) {
        self.quota += 1;
    }

    /// `QoS` 1 messages from the client whose PUBACK waits for a record.
    pub(crate) fn unacknowledged(&self) -> u16 {
        self.unacknowledged
    }

    /// A PUBACK waits for a record.
    pub(super) fn hold_pub_ack(&mut self) {
        self.unacknowledged += 1;
    }

    /// So many PUBACKs wait no longer.
    pub(crate) fn release_pub_acks(&mut self, count: u16) {
        self.unacknowledged -= count;
    }

    /// How many incoming `QoS` 2 messages are no part of this connection's quota: they are from
    /// earlier ones (section 4.9).
    pub(crate) fn carried_over(&self) -> usize {
        self.carried_over.len()
    }

    /// Whether the incoming message with this packet identifier is one of those.
    pub(crate) fn is_carried_over(&self, packet_id: PacketId) -> bool {
        self.carried_over.binary_search(&packet_id).is_ok()
    }

    /// The incoming message with this packet identifier was sent again, or is released.
    pub(crate) fn forget_carried_over(&mut self, packet_id: PacketId) {
        if let Ok(at) = self.carried_over.binary_search(&packet_id) {
            self.carried_over.remove(at);
        }
    }

    /// Puts the topic into `publish` that its topic alias stands for, see
    /// [`ClientAliases::resolve`].
    pub(crate) fn resolve_alias(
        &mut self,
        publish: &mut Publish,
        limits: &Limits,
        memory: &mut MemoryBudget,
    ) -> Result<Option<BadTopic>, CloseCause> {
        self.aliases.resolve(publish, limits, memory)
    }

    /// Whether the client will be dismissed for a limit: nothing more is read from it.
    pub(crate) fn is_being_dismissed(&self) -> bool {
        self.is_being_dismissed
    }

    /// The client will be dismissed. Says whether that is news.
    pub(crate) fn begin_dismissal(&mut self) -> bool {
        !core::mem::replace(&mut self.is_being_dismissed, true)
    }

    /// What the topic aliases of both sides take, as counted in
    /// [`Metrics::alias_bytes`](crate::Metrics::alias_bytes).
    pub(crate) fn alias_bytes(&self) -> u64 {
        let server = self.server_aliases.as_ref().map_or(0, |it| it.bytes());
        self.aliases.bytes() + server
    }

    /// How long the client may be silent: one and a half times its keep alive
    /// `[MQTT-3.1.2-22]`.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let keep_alive = u64::from(self.keep_alive);
        (keep_alive > 0).then(|| Duration::from_millis(keep_alive * 1_500))
    }

    /// How many messages the client may have unacknowledged where `limit` is set. Version
    /// 3.1.1 has no Receive Maximum, so that its clients cannot know the limit: what bounds
    /// them is how many packet identifiers there are.
    pub(crate) fn receive_maximum(&self, limit: u16) -> u16 {
        match self.version {
            ProtocolVersion::V5 => limit,
            ProtocolVersion::V3_1_1 => u16::MAX,
        }
    }
}
