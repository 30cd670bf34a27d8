//! What every call does: it notes the time, routes packets, and collects what is to be sent.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::Client;
use super::connecting::Farewell;
use super::connection::Outlet;
use super::event::{Event, PublishError};
use super::options::OfflineQoS0;
use super::state::{DisconnectCause, State};
use crate::codec::encoded_len;
use crate::error::ProtocolError;
use crate::packet::{Packet, PacketId, ProtocolVersion, Publish, QoS};
use crate::reason::ReasonCode;
use crate::time::Instant;

impl Client {
    /// Notes the time. Returns `false` if that ended or began a connection or an attempt: the
    /// shell's report is then about a transport that no longer exists.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        self.now = self.now.max(now);
        match self.state {
            State::Opening { since, .. } | State::Connecting { since, .. }
                if self.now >= since + self.options.connect_timeout =>
            {
                self.end(DisconnectCause::ConnectTimeout, Farewell::Close);
                false
            }
            State::Waiting { until, .. } if self.now >= until => {
                self.open();
                false
            }
            State::Connected { .. } => match self.check_connection() {
                Ok(()) => true,
                Err(why) => {
                    self.end(why, Farewell::Close);
                    false
                }
            },
            State::Opening { .. }
            | State::Connecting { .. }
            | State::Waiting { .. }
            | State::CredentialsNeeded { .. }
            | State::Stopped { .. } => true,
        }
    }

    /// Why the connection counts as dead at this time, if it does.
    pub(super) fn check_connection(&mut self) -> Result<(), DisconnectCause> {
        self.connection.as_mut().map_or(Ok(()), |connection| {
            connection
                .keep_alive
                .check(self.now, self.options.ping_timeout)
        })
    }

    /// Whether [`disconnect`](Self::disconnect) was called.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(
            self.state,
            State::Stopped {
                why: DisconnectCause::Requested
            }
        )
    }

    /// Prepares a publication for the queue and measures it, or says why it cannot be sent.
    pub(super) fn check(&self, publish: &mut Publish) -> Result<usize, PublishError> {
        if self.is_stopped() {
            return Err(PublishError::Stopped);
        }
        if publish.topic.is_none() {
            return Err(PublishError::NoTopic);
        }
        publish.dup = false;
        publish.properties.topic_alias = None;
        publish.properties.subscription_identifiers = Vec::new();
        publish.packet_id = (publish.qos != QoS::AtMostOnce).then_some(PacketId::MIN);
        let size = encoded_len(&Packet::Publish(publish.clone()), ProtocolVersion::V5)?;
        publish.packet_id = None;

        let connection = self
            .connection
            .as_ref()
            .filter(|_| self.state.is_connected());
        let Some(connection) = connection else {
            let refused =
                self.options.offline_qos0 == OfflineQoS0::Refuse && publish.qos == QoS::AtMostOnce;
            return if refused {
                Err(PublishError::Offline)
            } else {
                Ok(size)
            };
        };
        let limits = &connection.limits;
        if size > limits.maximum_packet_size {
            return Err(PublishError::TooLarge {
                size,
                limit: limits.maximum_packet_size,
            });
        }
        if publish.qos > limits.maximum_qos && !self.options.lower_qos {
            return Err(PublishError::QoSNotSupported);
        }
        if publish.retain && !limits.retain_available {
            return Err(PublishError::RetainNotSupported);
        }
        Ok(size)
    }

    pub(super) fn transmit(&mut self, out: &mut BytesMut) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let before = out.len();
        if connection.keep_alive.take_ping(self.now) {
            connection.push(&Packet::PingReq);
        }
        connection.take_pending(out);
        self.incoming.sent();
        if self.state.is_connected() {
            let mut outlet = Outlet {
                now: self.now,
                connection,
                ids: &mut self.ids,
                out,
                events: &mut self.events,
            };
            self.subscriptions.transmit(&mut outlet);
            self.outgoing.transmit(&mut outlet);
        }
        if out.len() > before {
            connection.keep_alive.sent(self.now);
        }
    }

    pub(super) fn take_packets(&mut self, bytes: &mut Bytes) -> Result<(), ProtocolError> {
        while let Some(connection) = &mut self.connection {
            match connection.decoder.decode(bytes)? {
                Some(packet) => self.take_packet(packet)?,
                None => break,
            }
        }
        Ok(())
    }

    fn take_packet(&mut self, packet: Packet) -> Result<(), ProtocolError> {
        let connected = self.state.is_connected();
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        if !connected {
            let Packet::ConnAck(connack) = packet else {
                return Err(violation("the first packet is not CONNACK [MQTT-3.2.0-1]"));
            };
            return self.on_connack(connack);
        }
        match packet {
            Packet::Publish(publish) => {
                let receive_maximum = self.options.receive_maximum;
                let message = self
                    .incoming
                    .on_publish(connection, publish, receive_maximum)?;
                self.events.extend(message.map(Event::Message));
            }
            Packet::PubAck(puback) => {
                self.outgoing
                    .on_puback(&puback, &mut self.ids, &mut self.events)?;
            }
            Packet::PubRec(pubrec) => {
                self.outgoing
                    .on_pubrec(&pubrec, connection, &mut self.ids, &mut self.events)?;
            }
            Packet::PubRel(pubrel) => self.incoming.on_pubrel(connection, &pubrel),
            Packet::PubComp(pubcomp) => {
                self.outgoing
                    .on_pubcomp(&pubcomp, &mut self.ids, &mut self.events);
            }
            Packet::SubAck(suback) => {
                self.subscriptions
                    .on_suback(suback, &mut self.ids, &mut self.events)?;
            }
            Packet::UnsubAck(unsuback) => {
                self.subscriptions
                    .on_unsuback(unsuback, &mut self.ids, &mut self.events)?;
            }
            // Any byte from the server counts as the answer, and the client has already noted that
            // one has come.
            Packet::PingResp => {}
            Packet::Disconnect(disconnect) => self.on_disconnect(disconnect),
            Packet::ConnAck(_) => return Err(violation("a second CONNACK [MQTT-3.2.0-2]")),
            Packet::Auth(_) => {
                return Err(violation(
                    "AUTH that this client did not ask for [MQTT-4.12.0-6]",
                ));
            }
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => return Err(violation("a packet that only clients send")),
        }
        Ok(())
    }
}

const fn violation(what: &'static str) -> ProtocolError {
    ProtocolError::Violation {
        reason_code: ReasonCode::ProtocolError,
        what,
    }
}
