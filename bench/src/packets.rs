//! Packets that are encoded before they are needed.

use anyhow::Result;
use bytes::BytesMut;
use mqtt::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, QoS, Subscribe, Subscription, TopicFilter,
    TopicName,
};

use crate::scanner::{Scanner, Seen};

pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const PUBREC: u8 = 5;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const PUBCOMP: u8 = 7;
pub(crate) const SUBACK: u8 = 9;
/// A whole DISCONNECT, which is the same in both versions.
pub(crate) const DISCONNECT: [u8; 2] = [14 << 4, 0];

/// What a client asks for when it connects.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) version: ProtocolVersion,
    pub(crate) client_id: String,
    /// Whether its session outlives its connection.
    pub(crate) lasting: bool,
}

pub(crate) fn connect(hello: &Hello) -> Result<Vec<u8>> {
    let mut connect = Connect::with_client_id(hello.version, &hello.client_id)?;
    connect.keep_alive = 600;
    connect.clean_start = !hello.lasting;
    if hello.lasting && hello.version == ProtocolVersion::V5 {
        connect.properties.session_expiry_interval = Some(3600);
    }
    encoded(&Packet::Connect(connect), hello.version)
}

pub(crate) fn subscribe(version: ProtocolVersion, filter: &str, qos: QoS) -> Result<Vec<u8>> {
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: vec![Subscription::new(TopicFilter::try_from(filter)?, qos)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    };
    encoded(&Packet::Subscribe(subscribe), version)
}

pub(crate) fn publish(
    version: ProtocolVersion,
    topic: &str,
    payload: &[u8],
    qos: QoS,
    retain: bool,
) -> Result<Vec<u8>> {
    let mut publish = Publish::new(TopicName::try_from(topic)?, payload.to_vec());
    publish.qos = qos;
    publish.retain = retain;
    publish.packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    encoded(&Packet::Publish(publish), version)
}

/// An acknowledgement of four bytes, the same in both versions.
pub(crate) fn ack(kind: u8, packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    let flags = if kind == PUBREL { 2 } else { 0 };
    [kind << 4 | flags, 2, high, low]
}

/// The offset of the packet identifier in a PUBLISH of `QoS` 1 or 2.
pub(crate) fn publish_id_at(packet: &[u8]) -> usize {
    let mut body = 0;
    let mut topic = 0;
    let _ = Scanner::default().scan(packet, |seen: Seen<'_>| {
        body = packet.len() - seen.body.len();
        topic = usize::from(seen.packet_id());
    });
    body + 2 + topic
}

fn encoded(packet: &Packet, version: ProtocolVersion) -> Result<Vec<u8>> {
    let mut out = BytesMut::new();
    mqtt::encode(packet, version, &mut out)?;
    Ok(out.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_stands_behind_the_topic() {
        for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
            let mut packet =
                publish(version, "bench/1", &[0; 300], QoS::AtLeastOnce, false).unwrap();
            let at = publish_id_at(&packet);
            assert_eq!(packet[at..at + 2], [0, 1]);
            packet[at..at + 2].copy_from_slice(&0x1234_u16.to_be_bytes());
            let mut id = 0;
            let scan = Scanner::default().scan(&packet, |seen| id = seen.publish_id());
            assert_eq!((scan, id), (Ok(()), 0x1234));
        }
    }

    #[test]
    fn acknowledgements_are_what_the_codec_writes() {
        for kind in [PUBACK, PUBREC, PUBREL, PUBCOMP] {
            let mut decoder = if kind == PUBREL {
                mqtt::Decoder::server()
            } else {
                mqtt::Decoder::client(ProtocolVersion::V5)
            };
            let hello = Hello {
                version: ProtocolVersion::V5,
                client_id: "x".to_owned(),
                lasting: false,
            };
            if kind == PUBREL {
                let mut connect = bytes::Bytes::from(connect(&hello).unwrap());
                decoder.decode(&mut connect).unwrap().unwrap();
            }
            let mut wire = bytes::Bytes::copy_from_slice(&ack(kind, 7));
            let packet = decoder.decode(&mut wire).unwrap().unwrap();
            assert_eq!(packet.packet_type() as u8, kind);
        }
    }
}
