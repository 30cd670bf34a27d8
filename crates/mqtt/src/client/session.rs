//! The part of a session that must outlive a connection, as data that a page can store.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::event::PublishId;
use super::queue::Publication;
use super::{Client, PublishError};
use crate::PUBLISH;
use crate::codec::{Decoder, encode, encoded_len};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::packet::{Packet, PacketId, ProtocolVersion, PubRec, PubRel, Publish, QoS};
use crate::reason::ReasonCode;

/// The client's part of the session state (section 4.1.0), and the publications that wait.
///
/// A page stores it as [bytes](Self::to_bytes) and gives it to the client of the next page, so that
/// `QoS` 1 and 2 survive a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// `QoS` 1 and 2 publications that were sent and not answered, in the order of sending. Each
    /// has its packet identifier.
    in_flight: Vec<Publish>,
    /// `QoS` 2 publications that wait for PUBCOMP, in the order of their PUBRECs.
    releases: Vec<PacketId>,
    /// `QoS` 2 messages that were received and not released.
    received: Vec<PacketId>,
    /// Publications that were not sent yet, in order.
    queued: Vec<Publish>,
}

/// A placeholder: the packet identifier in a stored publication that has none of its own yet.
const NOT_SENT: PacketId = PacketId::MIN;

impl SessionSnapshot {
    /// Whether the snapshot holds nothing.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
            && self.releases.is_empty()
            && self.received.is_empty()
            && self.queued.is_empty()
    }

    /// Encodes the snapshot as a sequence of MQTT 5 packets. A PUBLISH with DUP was sent, one
    /// without DUP was not. PUBREL waits for PUBCOMP, PUBREC waits for PUBREL.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::new();
        let mut put = |packet: Packet| encode(&packet, ProtocolVersion::V5, &mut out);
        for publish in &self.in_flight {
            put(Packet::Publish(publish.clone()))?;
        }
        for &id in &self.releases {
            put(Packet::PubRel(PubRel::new(id, ReasonCode::Success)))?;
        }
        for &id in &self.received {
            put(Packet::PubRec(PubRec::new(id, ReasonCode::Success)))?;
        }
        for publish in &self.queued {
            let mut publish = publish.clone();
            publish.packet_id = (publish.qos != QoS::AtMostOnce).then_some(NOT_SENT);
            put(Packet::Publish(publish))?;
        }
        Ok(out.freeze())
    }

    /// Decodes what [`to_bytes`](Self::to_bytes) has encoded.
    pub fn from_bytes(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let mut snapshot = Self::default();
        let mut decoder = Decoder::client(ProtocolVersion::V5);
        decoder.set_max_packet_size(u32::MAX);
        while let Some(packet) = decoder.decode(&mut bytes)? {
            snapshot.take(packet)?;
        }
        if decoder.buffered() > 0 {
            return Err(DecodeError {
                offset: 0,
                kind: DecodeErrorKind::UnexpectedEnd,
            });
        }
        Ok(snapshot)
    }

    fn take(&mut self, packet: Packet) -> Result<(), DecodeError> {
        match packet {
            Packet::Publish(mut publish) => {
                if publish.dup {
                    self.in_flight.push(publish);
                } else {
                    publish.packet_id = None;
                    self.queued.push(publish);
                }
            }
            Packet::PubRel(pubrel) => self.releases.push(pubrel.packet_id),
            Packet::PubRec(pubrec) => self.received.push(pubrec.packet_id),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::PubAck(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => {
                return Err(DecodeError {
                    offset: 0,
                    kind: DecodeErrorKind::UnexpectedPacket(packet.packet_type()),
                });
            }
        }
        Ok(())
    }
}

impl Client {
    /// Everything that is not finished. A page stores it, and gives it to the client of a later
    /// page in [`ClientOptions::session`](super::ClientOptions::session). It does not hold the
    /// subscriptions: the page subscribes again.
    pub fn session(&self) -> SessionSnapshot {
        let stored = |publication: &Publication, packet_id: Option<PacketId>| {
            let mut publish = publication.at(self.now);
            publish.dup = packet_id.is_some();
            publish.packet_id = packet_id;
            publish
        };
        SessionSnapshot {
            in_flight: self
                .outgoing
                .unanswered()
                .map(|one| stored(one.publication(), Some(one.packet_id())))
                .collect(),
            releases: self
                .outgoing
                .unreleased()
                .map(|one| one.packet_id)
                .collect(),
            received: self.incoming.packet_ids().collect(),
            queued: self
                .outgoing
                .queue
                .iter()
                .map(|publication| stored(publication, None))
                .collect(),
        }
    }

    /// Takes over what an earlier client has left. Events about it carry new ids, counted from 0 in
    /// the order of the snapshot.
    pub(super) fn restore(&mut self, session: SessionSnapshot) {
        if !PUBLISH {
            return;
        }
        for publish in session.in_flight {
            let packet_id = publish.packet_id;
            if let (Some(packet_id), Ok(publication)) = (packet_id, self.taken_up(publish)) {
                self.ids.reserve(packet_id);
                self.outgoing.restore_unanswered(packet_id, publication);
            }
        }
        for packet_id in session.releases {
            let id = self.next_publish_id();
            self.ids.reserve(packet_id);
            self.outgoing.restore_unreleased(packet_id, id);
        }
        self.incoming.restore(&session.received);
        for publish in session.queued {
            if let Ok(publication) = self.taken_up(publish) {
                self.outgoing.queue.restore(publication);
            }
        }
    }

    fn taken_up(&mut self, mut publish: Publish) -> Result<Publication, PublishError> {
        publish.packet_id = (publish.qos != QoS::AtMostOnce).then_some(NOT_SENT);
        let size = encoded_len(&Packet::Publish(publish.clone()), ProtocolVersion::V5)?;
        publish.packet_id = None;
        publish.dup = false;
        Ok(Publication {
            id: self.next_publish_id(),
            publish,
            size,
            since: self.now,
        })
    }

    fn next_publish_id(&mut self) -> PublishId {
        let id = PublishId(self.requests);
        self.requests += 1;
        id
    }
}
