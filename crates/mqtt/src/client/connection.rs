//! What lives as long as one connection.

use alloc::collections::VecDeque;

use bytes::BytesMut;

use super::alias::{ALIAS_COST, IncomingAliases, OutgoingAliases};
use super::event::Event;
use super::keep_alive::KeepAlive;
use super::options::ClientOptions;
use super::packet_ids::PacketIds;
use crate::codec::{Decoder, encode, encoded_len};
use crate::packet::{ConnAckProperties, Packet, ProtocolVersion, Publish, QoS};
use crate::time::Instant;

/// One connection, from the moment when its transport is open.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) version: ProtocolVersion,
    /// Whether CONNECT asked the server to forget the session.
    pub(super) clean_start: bool,
    /// Whether a session that the server reports as present may be another one than the client's,
    /// because the answer to an earlier CONNECT was lost.
    pub(super) doubtful: bool,
    pub(super) decoder: Decoder,
    pub(super) limits: ServerLimits,
    pub(super) keep_alive: KeepAlive,
    pub(super) incoming_aliases: IncomingAliases,
    outgoing_aliases: OutgoingAliases,
    /// CONNECT and acknowledgements, encoded when they arise and sent together.
    pending: BytesMut,
}

/// What a part of the client needs to write to a connection.
pub(super) struct Outlet<'a> {
    pub(super) now: Instant,
    pub(super) connection: &'a mut Connection,
    pub(super) ids: &'a mut PacketIds,
    pub(super) out: &'a mut BytesMut,
    pub(super) events: &'a mut VecDeque<Event>,
}

/// The limits that the server has announced.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // they are the standard's own, and independent
pub(super) struct ServerLimits {
    pub(super) receive_maximum: usize,
    pub(super) maximum_qos: QoS,
    pub(super) retain_available: bool,
    pub(super) maximum_packet_size: usize,
    pub(super) wildcard_subscription_available: bool,
    pub(super) subscription_identifiers_available: bool,
    pub(super) shared_subscription_available: bool,
}

impl Connection {
    /// The connect time-out guards CONNECT and CONNACK. The keep alive begins with
    /// [`accept`](Self::accept).
    pub(super) fn new(now: Instant, version: ProtocolVersion, options: &ClientOptions) -> Self {
        let mut decoder = Decoder::client(version);
        decoder.set_max_packet_size(options.maximum_packet_size.max(1));
        let aliases = match version {
            ProtocolVersion::V5 => options.topic_alias_maximum,
            ProtocolVersion::V3_1_1 => 0,
        };
        Self {
            version,
            clean_start: false,
            doubtful: false,
            decoder,
            limits: ServerLimits::new(&ConnAckProperties::default()),
            keep_alive: KeepAlive::new(now, 0),
            incoming_aliases: IncomingAliases::new(aliases),
            outgoing_aliases: OutgoingAliases::new(0),
            pending: BytesMut::new(),
        }
    }

    /// The server has accepted the connection, on these terms.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        properties: &ConnAckProperties,
        options: &ClientOptions,
    ) {
        let keep_alive = properties.server_keep_alive.unwrap_or(options.keep_alive);
        let aliases = properties
            .topic_alias_maximum
            .unwrap_or(0)
            .min(options.outgoing_topic_aliases);
        self.limits = ServerLimits::new(properties);
        self.keep_alive = KeepAlive::new(now, keep_alive);
        self.outgoing_aliases = OutgoingAliases::new(aliases);
    }

    /// Queues a small packet that the server cannot refuse: an acknowledgement, PINGREQ.
    pub(super) fn push(&mut self, packet: &Packet) {
        // These packets hold no strings, so they can always be encoded.
        let encoded = encode(packet, self.version, &mut self.pending);
        debug_assert!(encoded.is_ok(), "{packet:?}: {encoded:?}");
    }

    /// Queues packets that are already encoded.
    pub(super) fn push_encoded(&mut self, wire: &[u8]) {
        self.pending.extend_from_slice(wire);
    }

    /// Appends the queued bytes to `out`.
    pub(super) fn take_pending(&mut self, out: &mut BytesMut) {
        if !self.pending.is_empty() {
            out.extend_from_slice(&self.pending);
            self.pending.clear();
        }
    }

    /// Appends a PUBLISH to `out`, with an alias for its topic where the server allows one. Returns
    /// `false`, and appends nothing, if the packet is too large for the server `[MQTT-3.2.2-15]`.
    pub(super) fn write_publish(&mut self, publish: Publish, out: &mut BytesMut) -> bool {
        let packet = Packet::Publish(publish);
        let limit = self.limits.maximum_packet_size;
        let Ok(len) = encoded_len(&packet, self.version) else {
            return false;
        };
        let Packet::Publish(mut publish) = packet else {
            return false;
        };
        if len > limit {
            return false;
        }
        if len + ALIAS_COST <= limit {
            self.outgoing_aliases.apply(&mut publish);
        }
        encode(&Packet::Publish(publish), self.version, out).is_ok()
    }

    /// Appends any other packet to `out`. Returns `false`, and appends nothing, if it is too large
    /// for the server.
    pub(super) fn write(&self, packet: &Packet, out: &mut BytesMut) -> bool {
        encoded_len(packet, self.version).is_ok_and(|len| len <= self.limits.maximum_packet_size)
            && encode(packet, self.version, out).is_ok()
    }
}

impl ServerLimits {
    fn new(properties: &ConnAckProperties) -> Self {
        Self {
            receive_maximum: usize::from(properties.receive_maximum.unwrap_or(u16::MAX)),
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available.unwrap_or(true),
            maximum_packet_size: properties
                .maximum_packet_size
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(usize::MAX),
            wildcard_subscription_available: properties
                .wildcard_subscription_available
                .unwrap_or(true),
            subscription_identifiers_available: properties
                .subscription_identifiers_available
                .unwrap_or(true),
            shared_subscription_available: properties.shared_subscription_available.unwrap_or(true),
        }
    }
}
