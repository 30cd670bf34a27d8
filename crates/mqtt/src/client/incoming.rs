//! Messages from the server: each `QoS` 2 message once, and never more unacknowledged messages than
//! the client allows.

use alloc::vec::Vec;

use super::connection::Connection;
use crate::error::ProtocolError;
use crate::packet::{
    Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, Publish, QoS,
};
use crate::reason::ReasonCode;

/// The receiver's part of the session state: the `QoS` 2 messages that the application has received
/// and whose PUBREL has not come `[MQTT-4.3.3-10]`.
#[derive(Debug, Default)]
pub(super) struct ReceiverState {
    /// Sorted by identifier.
    received: Vec<Received>,
    /// How many of `received` came over this connection.
    open: usize,
    /// Whether identifiers from earlier connections may belong to a session that the server has
    /// lost. A message without DUP `[MQTT-3.3.1-1]` is then a new one, even if its identifier is
    /// known.
    doubtful: bool,
    /// How many PUBACKs and PUBCOMPs the client has not sent yet. The server does not know of them,
    /// so its quota has not grown yet.
    unsent: usize,
}

#[derive(Debug)]
struct Received {
    packet_id: PacketId,
    /// Whether the message came over this connection. Messages of earlier connections do not count
    /// against Receive Maximum, which begins anew with each connection (section 4.9).
    here: bool,
}

impl ReceiverState {
    /// Answers a message from the server. Returns it if it is new, and `None` if the application
    /// had it before `[MQTT-4.3.3-10]`.
    pub(super) fn on_publish(
        &mut self,
        connection: &mut Connection,
        mut publish: Publish,
        receive_maximum: u16,
    ) -> Result<Option<Publish>, ProtocolError> {
        connection.incoming_aliases.resolve(&mut publish)?;
        // A message without an identifier has QoS 0 [MQTT-2.2.1-2]: the decoder has checked it.
        let Some(packet_id) = publish.packet_id else {
            return Ok(Some(publish));
        };
        let new = match publish.qos {
            QoS::AtMostOnce => true,
            QoS::AtLeastOnce => {
                self.unsent += 1;
                connection.push(&Packet::PubAck(PubAck::new(packet_id, ReasonCode::Success)));
                true
            }
            QoS::ExactlyOnce => {
                let new = self.receive(packet_id, publish.dup);
                connection.push(&Packet::PubRec(PubRec::new(packet_id, ReasonCode::Success)));
                new
            }
        };
        let limited = connection.version == ProtocolVersion::V5;
        if limited && self.open + self.unsent > usize::from(receive_maximum.max(1)) {
            return Err(ProtocolError::Violation {
                reason_code: ReasonCode::ReceiveMaximumExceeded,
                what: "more messages than Receive Maximum [MQTT-3.3.4-9]",
            });
        }
        Ok(new.then_some(publish))
    }

    /// The server may forget the message, and so may the client `[MQTT-4.3.3-11]`.
    pub(super) fn on_pubrel(&mut self, connection: &mut Connection, pubrel: &PubRel) {
        let known = self.position(pubrel.packet_id);
        let reason_code = match known {
            Ok(index) => {
                if self.received.remove(index).here {
                    self.open -= 1;
                    self.unsent += 1;
                }
                ReasonCode::Success
            }
            Err(_) => ReasonCode::PacketIdentifierNotFound,
        };
        connection.push(&Packet::PubComp(PubComp::new(
            pubrel.packet_id,
            reason_code,
        )));
    }

    /// Notes that all answers were sent.
    pub(super) const fn sent(&mut self) {
        self.unsent = 0;
    }

    /// Begins a connection. If the server does not have the session, the old identifiers mean
    /// nothing any more.
    pub(super) fn connected(&mut self, session_present: bool, doubtful: bool) {
        self.doubtful = doubtful;
        if !session_present {
            self.received.clear();
        }
        for received in &mut self.received {
            received.here = false;
        }
        self.open = 0;
        self.unsent = 0;
    }

    /// The identifiers of the messages that are not released, in ascending order.
    pub(super) fn packet_ids(&self) -> impl Iterator<Item = PacketId> {
        self.received.iter().map(|received| received.packet_id)
    }

    /// Takes over what an earlier client had received.
    pub(super) fn restore(&mut self, packet_ids: &[PacketId]) {
        for &packet_id in packet_ids {
            if let Err(index) = self.position(packet_id) {
                let received = Received {
                    packet_id,
                    here: false,
                };
                self.received.insert(index, received);
            }
        }
    }

    /// Whether the identifier is new.
    fn receive(&mut self, packet_id: PacketId, dup: bool) -> bool {
        match self.position(packet_id) {
            Ok(index) => {
                let received = &mut self.received[index];
                if core::mem::replace(&mut received.here, true) {
                    return false;
                }
                self.open += 1;
                self.doubtful && !dup
            }
            Err(index) => {
                let received = Received {
                    packet_id,
                    here: true,
                };
                self.received.insert(index, received);
                self.open += 1;
                true
            }
        }
    }

    fn position(&self, packet_id: PacketId) -> Result<usize, usize> {
        self.received
            .binary_search_by_key(&packet_id, |received| received.packet_id)
    }
}
