//! What a client and the broker have agreed on with CONNECT and CONNACK, and how much of the agreed
//! limits each has used.

use core::time::Duration;

use mqtt::{Connect, Dialect, PacketId, ProtocolVersion, Publish, TopicForm};

use crate::admission::MemoryBudget;
use crate::delivery::routed::template;
use crate::delivery::{ClientAliases, LatestValues, Naming, ServerAliases};
use crate::types::{
    BadTopic, CloseCause, Delivery, Limits, Metrics, SessionId, Slot, ThinVec, Timers, topic,
};

/// What a connection has agreed on with its client.
#[derive(Debug)]
pub(crate) struct Agreement {
    session: SessionId,
    pub(super) version: ProtocolVersion,
    /// The keep alive in seconds. 0: none.
    keep_alive: u16,
    /// The client's Maximum Packet Size `[MQTT-3.1.2-24]`.
    pub(super) maximum_packet_size: u32,
    /// How many more `QoS` 1 and 2 messages may be sent `[MQTT-4.9.0-2]`.
    pub(super) quota: u16,
    /// Whether the client wants reason strings `[MQTT-3.1.2-29]`.
    problem_information: bool,
    /// `QoS` 1 messages from the client whose PUBACK waits for a record.
    unacknowledged: u16,
    /// Incoming `QoS` 2 messages from earlier connections that were not sent again on this one, in
    /// order. They do not count against this connection's quota (section 4.9).
    carried_over: ThinVec<PacketId>,
    /// Whether the client has reached a limit and will be dismissed. Nothing more is read from
    /// it.
    is_being_dismissed: bool,
    /// The client's topic aliases.
    aliases: ClientAliases,
    /// The server's topic aliases, if the client takes any.
    server_aliases: Option<Box<ServerAliases>>,
    /// The newest values that wait, if the client asked for any and something waits or was just
    /// sent.
    latest: Option<Box<LatestValues>>,
    /// Whether the client is a bridge to another broker, or speaks MQTT 3.1.
    dialect: Dialect,
    /// Whether CONNECT asked for a session that outlives the connection. Only then may
    /// DISCONNECT ask for one (section 3.14.2.2.2).
    may_outlive: bool,
}

impl Agreement {
    /// The agreement that `connect` asks for, within the limits. `seed` keys the
    /// table of topic aliases towards the client. `carried_over`
    /// are the incoming `QoS` 2 messages of earlier connections.
    pub(crate) fn new(
        session: SessionId,
        connect: &Connect,
        longest_keep_alive: Option<u16>,
        limits: &Limits,
        seed: u64,
        carried_over: Vec<PacketId>,
    ) -> Self {
        let properties = &connect.properties;
        let quota = match connect.version {
            ProtocolVersion::V5 => properties.receive_maximum.unwrap_or(u16::MAX),
            ProtocolVersion::V3_1_1 => limits.inflight_window_3_1_1,
        };
        Self {
            session,
            version: connect.version,
            keep_alive: Self::granted_keep_alive(connect, longest_keep_alive),
            maximum_packet_size: properties.maximum_packet_size.unwrap_or(u32::MAX),
            quota,
            problem_information: properties.request_problem_information.unwrap_or(true),
            unacknowledged: 0,
            carried_over: carried_over.into(),
            is_being_dismissed: false,
            aliases: ClientAliases::default(),
            server_aliases: ServerAliases::up_to(
                properties
                    .topic_alias_maximum
                    .unwrap_or(0)
                    .min(limits.server_topic_aliases),
                seed,
            ),
            latest: None,
            dialect: connect.dialect,
            may_outlive: properties.session_expiry_interval.unwrap_or(0) > 0,
        }
    }

    /// The keep alive that `connect` gets, in seconds. `longest` is the most that the server
    /// allows.
    pub(crate) fn granted_keep_alive(connect: &Connect, longest: Option<u16>) -> u16 {
        match (connect.version, longest) {
            (ProtocolVersion::V5, Some(longest)) if connect.keep_alive == 0 => longest,
            (ProtocolVersion::V5, Some(longest)) => connect.keep_alive.min(longest),
            (ProtocolVersion::V5, None) | (ProtocolVersion::V3_1_1, _) => connect.keep_alive,
        }
    }

    /// How a message names its topic. `leads` says that the client will read the message before
    /// everything that is written after it.
    pub(super) fn naming(&self, publish: &Publish, delivery: &Delivery, leads: bool) -> Naming {
        /// The most bytes that an alias beside the name adds: the property, and a byte for each of
        /// two length fields.
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

    /// Notes that a message to `topic` was written. The client will read it before everything
    /// that follows.
    pub(super) fn written(
        &mut self,
        topic: &str,
        naming: Naming,
        metrics: &mut Metrics,
        memory: &mut MemoryBudget,
    ) {
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

    /// Gives back quota for an acknowledged message that counted against it.
    pub(crate) fn give_back_quota(&mut self) {
        self.quota += 1;
    }

    /// `QoS` 1 messages from the client whose PUBACK waits for a record.
    pub(crate) fn unacknowledged(&self) -> u16 {
        self.unacknowledged
    }

    /// Counts a PUBACK that waits for a record.
    pub(super) fn hold_pub_ack(&mut self) {
        self.unacknowledged += 1;
    }

    /// Subtracts `count` PUBACKs that no longer wait.
    pub(crate) fn release_pub_acks(&mut self, count: u16) {
        self.unacknowledged -= count;
    }

    /// How many incoming `QoS` 2 messages are from earlier connections and do not count against
    /// this one's quota (section 4.9).
    pub(crate) fn carried_over(&self) -> usize {
        self.carried_over.len()
    }

    /// Whether the incoming message with this packet identifier is from an earlier connection.
    pub(crate) fn is_carried_over(&self, packet_id: PacketId) -> bool {
        self.carried_over.binary_search(&packet_id).is_ok()
    }

    /// Notes that the incoming message with this packet identifier was sent again or released.
    pub(crate) fn forget_carried_over(&mut self, packet_id: PacketId) {
        if let Ok(at) = self.carried_over.binary_search(&packet_id) {
            self.carried_over.remove(at);
        }
    }

    /// Replaces the topic alias of `publish` by its topic. See [`ClientAliases::resolve`].
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

    /// Notes that the client will be dismissed. Returns whether it was not noted before.
    pub(crate) fn begin_dismissal(&mut self) -> bool {
        !core::mem::replace(&mut self.is_being_dismissed, true)
    }

    /// The newest values that wait.
    pub(super) fn latest(&self) -> Option<&LatestValues> {
        self.latest.as_deref()
    }

    /// Mutable access to the newest values that wait.
    pub(crate) fn latest_mut(&mut self) -> Option<&mut LatestValues> {
        self.latest.as_deref_mut()
    }

    /// Takes the newest values, which are empty if there were none.
    pub(super) fn take_latest(&mut self) -> Box<LatestValues> {
        self.latest.take().unwrap_or_default()
    }

    /// Puts the newest values back.
    pub(super) fn put_latest(&mut self, latest: Box<LatestValues>) {
        self.latest = Some(latest);
    }

    /// Bytes of the newest values, as counted in
    /// [`Metrics::latest_bytes`](crate::Metrics::latest_bytes).
    pub(crate) fn latest_bytes(&self) -> usize {
        self.latest().map_or(0, LatestValues::bytes)
    }

    /// The connection ends: subtracts what it counted for, and removes its timer.
    pub(crate) fn forget(&mut self, slot: Slot, memory: &mut MemoryBudget, timers: &mut Timers) {
        memory.change_aliases(self.alias_bytes(), 0);
        memory.change_latest(self.latest_bytes(), 0);
        if let Some(latest) = &mut self.latest {
            latest.clear_timer(slot, timers);
        }
    }

    /// Bytes of the topic aliases in both directions, as counted in
    /// [`Metrics::alias_bytes`](crate::Metrics::alias_bytes).
    pub(crate) fn alias_bytes(&self) -> u64 {
        let server = self.server_aliases.as_ref().map_or(0, |it| it.bytes());
        self.aliases.bytes() + server
    }

    /// How long the client may be silent: one and a half times its keep alive
    /// `[MQTT-3.1.2-22]`.
    pub(crate) fn longest_silence(&self) -> Option<Duration> {
        let keep_alive = u64::from(self.keep_alive);
        (keep_alive > 0).then(|| Duration::from_millis(keep_alive * 1_500))
    }

    /// How many messages the client may have unacknowledged if `limit` is set. Clients of version
    /// 3.1.1 have no Receive Maximum and cannot know the limit. For them only the number of packet
    /// identifiers is a limit.
    pub(crate) fn receive_maximum(&self, limit: u16) -> u16 {
        match self.version {
            ProtocolVersion::V5 => limit,
            ProtocolVersion::V3_1_1 => u16::MAX,
        }
    }
}
