//! What happens to one connection: the shell opened it, read from it, wrote to it, or decided
//! about its client.

use bytes::Bytes;
use mqtt::{Instant, Packet};

use crate::delivery::{Connection, Phase};
use crate::machine::{Broker, Decision, connect};
use crate::protocol::looks_like;
use crate::types::{CloseCause, Conn, Limit, Peer, Slot, violation};

impl Broker {
    pub(super) fn opened(&mut self, now: Instant, conn: Conn, peer: Peer) {
        if self.connections.slot(conn).is_some() {
            return;
        }
        self.metrics.connections_opened += 1;
        let is_full = self.connections.len() >= self.limits().connections
            && !self.is_shut_down
            && !self.make_room_for_connection(now);
        let connection = Connection::new(now, conn, peer, self.limits().maximum_packet_size);
        let slot = self.connections.insert(connection);
        self.memory.set_connections(self.connections.len());
        if self.is_shut_down {
            self.close(now, slot, CloseCause::ShuttingDown);
        } else if is_full {
            self.metrics.refused_connections_limit += 1;
            self.limit_log.note(Limit::Connections, None);
            let cause = CloseCause::Limit {
                reason_code: mqtt::ReasonCode::ServerBusy,
                what: "too many connections",
            };
            self.close(now, slot, cause);
        } else {
            self.set_deadline(slot, Some(now + self.limits().connect_timeout));
        }
    }

    pub(super) fn bytes(&mut self, now: Instant, conn: Conn, bytes: Bytes) {
        if let Some(slot) = self.connections.slot(conn) {
            self.metrics.bytes_in += bytes.len() as u64;
            self.read(now, slot, bytes);
        }
    }

    /// Handles bytes from a client, packet by packet, as far as the phase of its connection
    /// allows.
    pub(crate) fn read(&mut self, now: Instant, slot: Slot, mut bytes: Bytes) {
        while let Some(connection) = self.connections.get_mut(slot) {
            if connection.defer(&bytes) {
                return self.count_partial(now, slot);
            }
            let mut is_first = false;
            match connection.phase_mut() {
                Phase::Connected(agreement) if agreement.is_being_dismissed() => return,
                Phase::AwaitingConnect(_) => is_first = true,
                Phase::Connected(_) => {}
                Phase::Authenticating(waiting) => {
                    if bytes.is_empty() {
                        return;
                    }
                    if !waiting.defer(&bytes, self.options.limits.early_bytes) {
                        self.metrics.refused_early_bytes += 1;
                        self.limit_log
                            .note(Limit::EarlyBytes, Some(waiting.client_id().text()));
                        let cause = CloseCause::Refused {
                            reason_code: mqtt::ReasonCode::QuotaExceeded,
                            what: "the client sent too much before CONNACK",
                        };
                        self.close(now, slot, cause);
                    }
                    return self.count_partial(now, slot);
                }
                Phase::Closing => return,
            }
            let is_first = is_first && !connection.has_partial_packet();
            let other_protocol = is_first.then(|| looks_like(&bytes)).flatten();
            let handled = match connection.decode(now, &mut bytes) {
                Ok(Some(packet)) => {
                    self.metrics.packets_in += 1;
                    self.handle_packet(now, slot, packet)
                }
                Ok(None) => return self.count_partial(now, slot),
                Err(error) => Err(match other_protocol {
                    Some(what) => violation(error.reason_code(), what),
                    None => CloseCause::Protocol(error.into()),
                }),
            };
            if let Err(cause) = handled {
                self.close(now, slot, cause);
            }
            self.settle(now);
        }
    }

    /// Handles a packet. The decoder has made sure that CONNECT comes first and once
    /// `[MQTT-3.1.0-1]` `[MQTT-3.1.0-2]`.
    fn handle_packet(
        &mut self,
        now: Instant,
        slot: Slot,
        packet: Packet,
    ) -> Result<(), CloseCause> {
        match packet {
            Packet::Connect(connect) => {
                let client_id = connect.client_id.clone();
                if let Some(connection) = self.connections.get_mut(slot)
                    && let Some(limit) = connect.properties.maximum_packet_size
                {
                    connection.set_maximum_packet_size(limit);
                }
                if let Err(cause) = self.connect(now, slot, connect) {
                    self.close_named(now, slot, Some(client_id), cause);
                }
                Ok(())
            }
            Packet::Publish(publish) => {
                self.pace(now, slot);
                let before = self.ledger.last();
                let published = self.publish(now, slot, publish);
                self.await_store(slot, before);
                published
            }
            Packet::PubAck(ack) => self.pub_ack(now, slot, ack.packet_id),
            Packet::PubRec(ack) => self.pub_rec(now, slot, &ack),
            Packet::PubRel(ack) => {
                self.pub_rel(slot, ack.packet_id);
                Ok(())
            }
            Packet::PubComp(ack) => self.pub_comp(now, slot, ack.packet_id),
            Packet::Subscribe(subscribe) => {
                let before = self.ledger.last();
                let subscribed = self.subscribe(now, slot, &subscribe);
                self.await_store(slot, before);
                subscribed
            }
            Packet::Unsubscribe(unsubscribe) => {
                let before = self.ledger.last();
                self.unsubscribe(now, slot, &unsubscribe);
                self.await_store(slot, before);
                Ok(())
            }
            // [MQTT-3.12.4-1]
            Packet::PingReq => {
                self.send(slot, &Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.disconnect(slot, &disconnect),
            Packet::Auth(_) => Err(violation(
                mqtt::ReasonCode::ProtocolError,
                "AUTH without an authentication method in CONNECT [MQTT-4.12.0-7]",
            )),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(violation(
                    mqtt::ReasonCode::ProtocolError,
                    "a packet that only a server may send",
                ))
            }
        }
    }

    pub(super) fn drained(&mut self, now: Instant, conn: Conn) {
        let Some(slot) = self.connections.slot(conn) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.outbox_mut().drained(&mut self.memory);
        if let Phase::Connected(agreement) = connection.phase() {
            let session = agreement.session();
            self.pump(now, session);
            self.continue_lookups(now, session);
            self.unblock(session);
        }
        self.announce(slot);
    }

    pub(super) fn authenticated(&mut self, now: Instant, conn: Conn, decision: Decision) {
        let Some(slot) = self.connections.slot(conn) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(waiting) = connection.end_authentication() else {
            return;
        };
        connection.count_partial(&mut self.memory);
        let client_id = waiting.client_id().text().clone();
        let (connect, asked_for, early) = waiting.into_parts();
        let admitted = match decision {
            Decision::Accept(principal) => {
                let arrival = connect::Arrival {
                    connect,
                    client_id: asked_for,
                    principal,
                };
                self.admit(now, slot, arrival)
            }
            Decision::Refuse(reason_code) => Err(CloseCause::Refused {
                reason_code,
                what: "not authenticated",
            }),
        };
        match admitted {
            Ok(()) => {
                for bytes in early {
                    self.read(now, slot, bytes);
                }
            }
            // [MQTT-3.1.4-6]: bytes after CONNECT are not processed.
            Err(cause) => self.close_named(now, slot, Some(client_id), cause),
        }
    }
}
