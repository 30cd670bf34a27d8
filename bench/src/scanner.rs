//! Cuts a stream of bytes into MQTT packets. It looks at nothing but their fixed headers.
//!
//! It hands whole packets on where they were read. It copies only a packet that continues in the
//! next read.

/// The start of a packet whose rest has not come.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    carry: Vec<u8>,
}

/// One packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    /// Packet type and flags.
    pub(crate) first: u8,
    /// Everything behind the fixed header.
    pub(crate) body: &'a [u8],
}

/// The stream is not MQTT: a Remaining Length of more than four bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotMqtt;

impl std::error::Error for NotMqtt {}

impl std::fmt::Display for NotMqtt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the broker sent a Remaining Length of more than four bytes")
    }
}

impl Scanner {
    /// Calls `each` for each packet that ends within `bytes`.
    pub(crate) fn scan(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Seen<'_>),
    ) -> Result<(), NotMqtt> {
        while !self.carry.is_empty() {
            if let Some((header, len)) = header(&self.carry)? {
                let missing = (header + len).saturating_sub(self.carry.len());
                let (now, later) = bytes.split_at(missing.min(bytes.len()));
                self.carry.extend_from_slice(now);
                bytes = later;
                if now.len() < missing {
                    return Ok(());
                }
                each(seen(&self.carry, header, len));
                self.carry.clear();
            } else if let Some((first, later)) = bytes.split_first() {
                self.carry.push(*first);
                bytes = later;
            } else {
                return Ok(());
            }
        }
        while let Some((header, len)) = header(bytes)? {
            if bytes.len() < header + len {
                break;
            }
            each(seen(bytes, header, len));
            bytes = &bytes[header + len..];
        }
        self.carry.extend_from_slice(bytes);
        Ok(())
    }
}

impl Seen<'_> {
    /// The packet identifier of an acknowledgement, at the start of its body.
    pub(crate) fn packet_id(&self) -> u16 {
        self.body
            .first_chunk()
            .map_or(0, |bytes| u16::from_be_bytes(*bytes))
    }

    /// The packet identifier of a PUBLISH of `QoS` 1 or 2. It follows the topic in both versions.
    pub(crate) fn publish_id(&self) -> u16 {
        let topic = usize::from(self.packet_id());
        let id = self.body.get(2 + topic..).and_then(<[u8]>::first_chunk);
        id.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    }

    /// The last eight bytes of a payload, where the generator puts the time.
    pub(crate) fn stamp(&self) -> u64 {
        self.body
            .last_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

fn seen(packet: &[u8], header: usize, len: usize) -> Seen<'_> {
    Seen {
        first: packet[0],
        body: &packet[header..header + len],
    }
}

/// The lengths of the fixed header and of the rest, once the header is complete.
fn header(bytes: &[u8]) -> Result<Option<(usize, usize)>, NotMqtt> {
    let mut len = 0;
    for (at, &byte) in bytes.iter().skip(1).take(4).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((at + 2, len)));
        }
    }
    if bytes.len() > 4 {
        return Err(NotMqtt);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use mqtt::{Packet, PacketId, ProtocolVersion, PubAck, Publish, QoS, ReasonCode, TopicName};

    fn wire(version: ProtocolVersion) -> BytesMut {
        let mut wire = BytesMut::new();
        for (len, id) in [(0_usize, 1), (64, 0x1234), (200, 3), (20_000, 4)] {
            let topic = TopicName::try_from("bench/ä/7").unwrap();
            let mut payload = vec![7; len];
            payload.extend_from_slice(&42_u64.to_be_bytes());
            let mut publish = Publish::new(topic, payload);
            publish.qos = QoS::AtLeastOnce;
            publish.packet_id = PacketId::new(id);
            mqtt::encode(&Packet::Publish(publish), version, &mut wire).unwrap();
            let ack = PubAck::new(PacketId::new(id).unwrap(), ReasonCode::Success);
            mqtt::encode(&Packet::PubAck(ack), version, &mut wire).unwrap();
            mqtt::encode(&Packet::PingResp, version, &mut wire).unwrap();
        }
        wire
    }

    fn scanned(chunks: &[&[u8]]) -> Vec<(u8, u16, u64)> {
        let mut scanner = Scanner::default();
        let mut all = Vec::new();
        for chunk in chunks {
            scanner
                .scan(chunk, |seen| {
                    all.push(match seen.first >> 4 {
                        3 => (3, seen.publish_id(), seen.stamp()),
                        4 => (4, seen.packet_id(), 0),
                        other => (other, 0, 0),
                    });
                })
                .unwrap();
        }
        assert!(scanner.carry.is_empty());
        all
    }

    fn expected() -> Vec<(u8, u16, u64)> {
        [1, 0x1234, 3, 4]
            .into_iter()
            .flat_map(|id| [(3, id, 42), (4, id, 0), (13, 0, 0)])
            .collect()
    }

    #[test]
    fn every_packet_of_both_versions_is_seen_once() {
        for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
            assert_eq!(scanned(&[&wire(version)]), expected());
        }
    }

    #[test]
    fn any_split_gives_the_same_packets() {
        let wire = wire(ProtocolVersion::V5);
        for at in 0..wire.len() {
            let (left, right) = wire.split_at(at);
            assert_eq!(scanned(&[left, right]), expected(), "cut at {at}");
        }
        let single: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(scanned(&single), expected());
    }

    #[test]
    fn what_is_not_mqtt_is_said_to_be_so() {
        let mut scanner = Scanner::default();
        assert_eq!(
            scanner.scan(&[0x30, 0x80, 0x80, 0x80, 0x80], |_| {}),
            Err(NotMqtt)
        );
        let mut scanner = Scanner::default();
        scanner.scan(&[0x30, 0x80, 0x80], |_| {}).unwrap();
        assert_eq!(scanner.scan(&[0x80, 0x80], |_| {}), Err(NotMqtt));
    }
}
