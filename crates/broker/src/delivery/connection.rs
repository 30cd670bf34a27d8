//! One network connection, from its opening to its end.

use core::hash::BuildHasher;
use core::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mqtt::{
    Connect, Decoder, Dialect, Instant, PacketId, ProtocolVersion, Publish, TopicForm, Utf8String,
};
use slab::Slab;

use crate::admission::MemoryBudget;
use crate::delivery::routed::template;
use crate::delivery::{ClientAliases, Naming, Outbox, Pause, Receiver, ServerAliases};
use crate::types::{
    Conn, Delivery, Metrics, Peer, SessionId, ShrinkPolicy, Slot, ThinVec, shrink, topic,
};

/// One network connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) conn: Conn,
    pub(crate) decoder: Decoder,
    pub(crate) phase: Phase,
    pub(crate) outbox: Outbox,
    /// The client's Maximum Packet Size; no limit before CONNECT `[MQTT-3.1.2-24]`.
    pub(crate) maximum_packet_size: u32,
    /// Set while nothing is to be read from it.
    pub(crate) pause: Option<Box<Pause>>,
    /// When [`Timer::Resume`](crate::timers::Timer::Resume) is due.
    pub(crate) resumes_at: Option<Instant>,
    /// What an unfinished packet takes, as counted in
    /// [`Metrics::partial_bytes`](crate::Metrics::partial_bytes).
    pub(crate) partial: usize,
    /// When a whole packet was last received, or the connection opened.
    pub(crate) last_heard: Instant,
    /// When [`Timer::Connection`](crate::timers::Timer::Connection) is due.
    pub(crate) deadline: Option<Instant>,
}

/// How far a connection is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing has come yet but perhaps a part of CONNECT.
    AwaitingConnect(Peer),
    /// CONNECT has come; the shell finds out whether the client may.
    Authenticating(Box<Authenticating>),
    /// CONNACK "success" has been sent.
    Connected(Link),
    /// The shell has been told to close, or will be at once; nothing more is read.
    Closing,
}

/// A CONNECT that waits for the shell's decision.
#[derive(Debug)]
pub(crate) struct Authenticating {
    pub(crate) peer: Peer,
    pub(crate) connect: Connect,
    /// As asked for or assigned.
    pub(crate) client_id: ClientId,
    /// What the client has sent behind its CONNECT.
    pub(crate) early: Vec<Bytes>,
    pub(crate) early_bytes: usize,
}

/// A client identifier, and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct ClientId {
    pub(crate) text: Utf8String,
    /// By the broker, and so to be told in CONNACK `[MQTT-3.1.3-7]`.
    pub(crate) is_assigned: bool,
}

/// What a connection has agreed on with its client.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) session: SessionId,
    pub(crate) version: ProtocolVersion,
    /// Seconds; 0: none.
    pub(crate) keep_alive: u16,
    /// The client's Maximum Packet Size `[MQTT-3.1.2-24]`.
    pub(crate) maximum_packet_size: u32,
    /// How many more `QoS` 1 and 2 messages may be sent `[MQTT-4.9.0-2]`.
    pub(crate) quota: u16,
    /// Whether reason strings are wanted `[MQTT-3.1.2-29]`.
    pub(crate) problem_information: bool,
    /// `QoS` 1 messages from the client whose PUBACK waits for a record.
    pub(crate) unacknowledged: u16,
    /// The session's incoming `QoS` 2 messages, in order, that are from earlier connections and
    /// were not sent again on this one: they are no part of its quota (section 4.9).
    pub(crate) carried_over: ThinVec<PacketId>,
    /// Whether the client has reached a limit and will be dismissed. Nothing more is read from
    /// it.
    is_being_dismissed: bool,
    /// What the client's topic aliases stand for.
    pub(crate) aliases: ClientAliases,
    /// What the server's topic aliases stand for, if the client takes any.
    server_aliases: Option<Box<ServerAliases>>,
    /// Whether the client is a bridge to another broker, or speaks MQTT 3.1.
    pub(crate) dialect: Dialect,
    /// Whether CONNECT asked for a session that outlives the connection: only then may
    /// DISCONNECT (section 3.14.2.2.2).
    pub(crate) may_outlive: bool,
}

impl Link {
    /// What `connect` asks for, as far as it gets it: no more than `most_aliases` for topics of
    /// messages to the client, hashed with `seed`. `carried_over` incoming messages are from
    /// earlier connections.
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
            keep_alive: Self::keep_alive(connect, longest_keep_alive),
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

    /// The seconds that are in force where `longest` is the most that the server allows.
    pub(crate) fn keep_alive(connect: &Connect, longest: Option<u16>) -> u16 {
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
    pub(crate) fn written(
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
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    shrink: ShrinkPolicy,
    by_conn: HashTable<Slot>,
    hasher: FixedState,
}

impl Connections {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slab: Slab::new(),
            shrink: ShrinkPolicy::default(),
            by_conn: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn slot(&self, conn: Conn) -> Option<Slot> {
        self.by_conn
            .find(self.hasher.hash_one(conn), |slot| {
                self.slab[slot.key()].conn == conn
            })
            .copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Connection> {
        self.slab.get(slot.key())
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.slab.get_mut(slot.key())
    }

    /// The connection in `slot`, if it is one with a client.
    pub(crate) fn linked(&mut self, slot: Slot) -> Option<(&mut Link, &mut Outbox, Conn)> {
        let connection = self.slab.get_mut(slot.key())?;
        match &mut connection.phase {
            Phase::Connected(link) => Some((link, &mut connection.outbox, connection.conn)),
            Phase::AwaitingConnect(_) | Phase::Authenticating(_) | Phase::Closing => None,
        }
    }

    /// The connection in `slot` as one that messages are sent to, if it has a client.
    pub(crate) fn receiver(&mut self, slot: Slot) -> Option<Receiver<'_>> {
        let (link, outbox, conn) = self.linked(slot)?;
        Some(Receiver {
            link,
            outbox,
            slot,
            conn,
        })
    }

    /// The connection that holds most of an unfinished packet for longest, and its session.
    ///
    /// Looks at all: that costs a part of what was held to come here, and makes room for as
    /// much again.
    pub(crate) fn worst_partial(&self, now: Instant) -> Option<(Slot, Option<SessionId>)> {
        let weight = |connection: &Connection| {
            let age = now.saturating_since(connection.last_heard).as_millis() + 1;
            connection.partial as u128 * age
        };
        let (key, worst) = self
            .slab
            .iter()
            .max_by_key(|(_, connection)| weight(connection))?;
        let session = match &worst.phase {
            Phase::Connected(link) => Some(link.session),
            Phase::AwaitingConnect(_) | Phase::Authenticating(_) | Phase::Closing => None,
        };
        Some((Slot::from_key(key), session))
    }

    /// All slots in use, in order.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.slab
            .iter()
            .map(|(key, _)| Slot::from_key(key))
            .collect()
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> Slot {
        let conn = connection.conn;
        let slot = Slot::from_key(self.slab.insert(connection));
        self.shrink.grew(&self.slab);
        let (slab, hasher) = (&self.slab, &self.hasher);
        let hash = hasher.hash_one(conn);
        self.by_conn
            .insert_unique(hash, slot, |other| hasher.hash_one(slab[other.key()].conn));
        slot
    }

    /// How many places its tables have.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.slab.capacity() + self.by_conn.capacity()
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Connection> {
        let connection = self.slab.try_remove(slot.key())?;
        let hash = self.hasher.hash_one(connection.conn);
        if let Ok(entry) = self.by_conn.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        if self.shrink.shrank(&mut self.slab) {
            let (slab, hasher) = (&self.slab, &self.hasher);
            shrink::shrink_table(&mut self.by_conn, |other| {
                hasher.hash_one(slab[other.key()].conn)
            });
        }
        Some(connection)
    }
}

impl Connection {
    pub(crate) fn new(now: Instant, conn: Conn, peer: Peer, maximum_packet_size: u32) -> Self {
        let mut decoder = Decoder::server();
        decoder.set_max_packet_size(maximum_packet_size);
        Self {
            conn,
            decoder,
            phase: Phase::AwaitingConnect(peer),
            outbox: Outbox::default(),
            pause: None,
            resumes_at: None,
            partial: 0,
            maximum_packet_size: u32::MAX,
            last_heard: now,
            deadline: None,
        }
    }
}

impl Link {
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
