//! The sending side of the reference server. It sends messages in order, repeats them on each new
//! connection until the client has answered, and never sends more at a time than the client
//! accepts.

use mqtt::{Packet, PacketId, ProtocolVersion, PubRel, QoS, ReasonCode, encoded_len};

use super::{InFlight, Peer, Session, Step};
use crate::network::LinkId;

impl Peer {
    /// Handles the client's answer to one of the server's messages.
    pub(super) fn on_ack(&mut self, link: LinkId, packet_id: PacketId, step: Step) {
        let session = self.session.get_or_insert_default();
        let mut awaited = session.in_flight.iter().filter(|one| one.step == step);
        let Some(place) = awaited.position(|one| one.packet_id == packet_id) else {
            return;
        };
        assert!(
            place == 0 || step == Step::Complete,
            "{packet_id} answered out of order [MQTT-4.6.0-2] [MQTT-4.6.0-3]"
        );
        let Some(index) = session
            .in_flight
            .iter()
            .position(|one| one.packet_id == packet_id)
        else {
            return;
        };
        match step {
            Step::Acknowledge | Step::Complete => {
                session.in_flight.remove(index);
                if let Some(connection) = self.connections.get_mut(&link) {
                    connection.sent -= usize::from(index < connection.sent);
                }
            }
            Step::Receive => {
                session.in_flight[index].step = Step::Complete;
                let pubrel = PubRel::new(packet_id, ReasonCode::Success);
                self.write(link, &Packet::PubRel(pubrel));
            }
        }
    }

    pub(super) fn may_send(&self) -> bool {
        let (Some(link), Some(session)) = (self.current, &self.session) else {
            return false;
        };
        self.connections.get(&link).is_some_and(|connection| {
            let room = connection
                .terms
                .as_ref()
                .is_some_and(|terms| connection.sent < terms.receive_maximum);
            room && (connection.sent < session.in_flight.len() || !session.waiting.is_empty())
        })
    }

    /// Sends again the messages that an earlier connection has not finished, then those that wait.
    pub(super) fn send_waiting(&mut self) {
        while self.may_send() {
            let (Some(link), Some(session)) = (self.current, &mut self.session) else {
                return;
            };
            let Some(connection) = self.connections.get_mut(&link) else {
                return;
            };
            let packet = if let Some(again) = session.in_flight.get(connection.sent) {
                connection.sent += 1;
                match again.step {
                    Step::Complete => {
                        Packet::PubRel(PubRel::new(again.packet_id, ReasonCode::Success))
                    }
                    Step::Acknowledge | Step::Receive => {
                        let mut publish = again.publish.clone();
                        publish.dup = true;
                        Packet::Publish(publish)
                    }
                }
            } else {
                let Some(mut publish) = session.waiting.pop_front() else {
                    return;
                };
                let limit = connection.terms.as_ref().map(|t| t.maximum_packet_size);
                let step = match publish.qos {
                    QoS::AtMostOnce => None,
                    QoS::AtLeastOnce => Some(Step::Acknowledge),
                    QoS::ExactlyOnce => Some(Step::Receive),
                };
                if let Some(step) = step {
                    let packet_id = session.next_id();
                    publish.packet_id = Some(packet_id);
                    session.in_flight.push(InFlight {
                        packet_id,
                        publish: publish.clone(),
                        step,
                    });
                    connection.sent += 1;
                }
                let packet = Packet::Publish(publish);
                let len = encoded_len(&packet, ProtocolVersion::V5);
                assert!(len.is_ok_and(|len| limit.is_none_or(|limit| len <= limit)));
                packet
            };
            self.write(link, &packet);
        }
    }
}

impl Session {
    fn next_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && self.in_flight.iter().all(|one| one.packet_id != id)
            {
                return id;
            }
        }
    }
}
