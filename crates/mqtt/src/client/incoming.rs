//! Messages from the server: `QoS` 2 once only, and no more at a time than was agreed.

use alloc::vec::Vec;

use super::link::Link;
use crate::error::ProtocolError;
use crate::packet::{
    Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, Publish, QoS,
};
use crate::reason::ReasonCode;

/// The receiver's part of the session state: the `QoS` 2 messages that were handed to the
/// application and whose PUBREL has not come `[MQTT-4.3.3-10]`.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Sorted by identifier.
    received: Vec<Received>,
    /// Of these, how many came over this connection.
    open: usize,
    /// Whether what came over earlier connections may belong to a session that the server has
    /// lost: a message without DUP `[MQTT-3.3.1-1]` is then a new one, even if its identifier
    /// is known.
    doubtful: bool,
    /// PUBACK and PUBCOMP that have not left yet: the server cannot count on them.
    unsent: usize,
}

#[derive(Debug)]
struct Received {
    packet_id: PacketId,
    /// Over this connection. What came over an earlier one does not count against the
    /// receive maximum, which begins anew (section 4.9).
    here: bool,
}

impl Incoming {
    /// A message has come, and is answered. Gives it back if it is to be handed on; not if
    /// it was before `[MQTT-4.3.3-10]`.
    pub(super) fn on_publish(
        &mut self,
        link: &mut Link,
        mut publish: Publish,
        receive_maximum: u16,
    ) -> Result<Option<Publish>, ProtocolError> {
        link.incoming_aliases.resolve(&mut publish)?;
        // Without an identifier it is QoS 0 [MQTT-2.2.1-2], as the decoder has seen to.
        let Some(packet_id) = publish.packet_id else {
            return Ok(Some(publish));
        };
        let new = match publish.qos {
            QoS::AtMostOnce => true,
            QoS::AtLeastOnce => {
                self.unsent += 1;
                link.push(&Packet::PubAck(PubAck::new(packet_id, ReasonCode::Success)));
                true
            }
            QoS::ExactlyOnce => {
                let new = self.receive(packet_id, publish.dup);
                link.push(&Packet::PubRec(PubRec::new(packet_id, ReasonCode::Success)));
                new
            }
        };
        let limited = link.version == ProtocolVersion::V5;
        if limited && self.open + self.unsent > usize::from(receive_maximum.max(1)) {
            return Err(ProtocolError::Violation {
                reason_code: ReasonCode::ReceiveMaximumExceeded,
                what: "more messages than Receive Maximum [MQTT-3.3.4-9]",
            });
        }
        Ok(new.then_some(publish))
    }

    /// The server may forget a message, and so may we `[MQTT-4.3.3-11]`.
    pub(super) fn on_pubrel(&mut self, link: &mut Link, pubrel: &PubRel) {
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
        link.push(&Packet::PubComp(PubComp::new(
            pubrel.packet_id,
            reason_code,
        )));
    }

    /// All answers have left.
    pub(super) const fn sent(&mut self) {
        self.unsent = 0;
    }

    /// A connection begins. Without the session at the server, its identifiers mean nothing
    /// any more.
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

    /// The identifiers of messages that were not released, in order of their numbers.
    pub(super) fn packet_ids(&self) -> impl Iterator<Item = PacketId> {
        self.received.iter().map(|received| received.packet_id)
    }

    /// Takes up what an earlier client had received.
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
