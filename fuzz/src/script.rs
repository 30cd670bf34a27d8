//! An input as a list of operations.
//!
//! Everything is read from the front: a number as one or two bytes, a text with its length before
//! it. So libFuzzer's mutations stay local, and [`Pen`] can write the seeds.

use arbitrary::Unstructured;
use bytes::Bytes;
use mqtt::packet::{
    ConnectProperties, DisconnectProperties, PublishProperties, ReasonProperties, UserProperty,
    WillProperties,
};
use mqtt::{
    Connect, Dialect, Disconnect, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec,
    PubRel, Publish, QoS, ReasonCode, RetainHandling, Subscribe, Subscription, TopicFilter,
    TopicName, Unsubscribe, Utf8String, Will,
};

/// Topics that overlap, for filters that overlap.
const TOPICS: &[&str] = &[
    "a",
    "a/b",
    "a/b/c",
    "a//c",
    "b",
    "/",
    "b/a",
    "$SYS/a",
    "a/b/c/d/e",
    "c",
];
const FILTERS: &[&str] = &[
    "#",
    "a/+",
    "a",
    "+/b/#",
    "$share/g/a",
    "$share/g/#",
    "$share/h/a/+",
    "a/#",
    "+",
    "+/+",
    "/+",
    "b/a",
    "a/b/c",
    "$SYS/#",
    "a/b/c/d/e",
];
const CLIENTS: &[&str] = &["x", "y", "z", ""];

/// Reads operations. Past the end everything is zero.
pub struct Script<'a>(Unstructured<'a>);

impl<'a> Script<'a> {
    /// Begins at the front of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// Whether everything has been read.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    /// The next two bytes, the lower one first.
    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The lowest bit of the next byte.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// As many bytes as the next word says, or as there are.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.word()).min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.0.bytes(self.0.len()).unwrap_or_default()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// One of the two versions.
    pub fn version(&mut self) -> ProtocolVersion {
        self.pick(&[ProtocolVersion::V5, ProtocolVersion::V3_1_1])
    }

    /// One of the three levels.
    pub fn qos(&mut self) -> QoS {
        self.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    /// One of a few, so that some are equal.
    pub fn packet_id(&mut self) -> PacketId {
        PacketId::new(u16::from(self.below(8)) + 1).expect("not zero")
    }

    /// Any code of the standard.
    pub fn reason_code(&mut self) -> ReasonCode {
        ReasonCode::from_u8(self.byte()).unwrap_or(ReasonCode::Success)
    }

    /// One of a few topics.
    pub fn topic(&mut self) -> TopicName {
        TopicName::try_from(self.pick(TOPICS)).expect("a topic name")
    }

    /// One of a few filters.
    pub fn filter(&mut self) -> TopicFilter {
        TopicFilter::try_from(self.pick(FILTERS)).expect("a topic filter")
    }

    /// Reads only a length, because a payload's content does not matter.
    pub fn payload(&mut self) -> Bytes {
        let len = usize::from(self.word() % 600);
        Bytes::from(vec![b'x'; len])
    }

    /// A message. `packet_id` and `dup` follow its QoS.
    pub fn publish(&mut self) -> Publish {
        let mut publish = Publish::new(self.topic(), self.payload());
        publish.qos = self.qos();
        if publish.qos != QoS::AtMostOnce {
            publish.packet_id = Some(self.packet_id());
        }
        let flags = self.byte();
        publish.dup = flags & 1 != 0 && publish.packet_id.is_some();
        publish.retain = flags & 2 != 0;
        if flags & 4 != 0 {
            publish.payload = Bytes::new();
        }
        if flags & 8 != 0 {
            let expiry = self.byte();
            let alias = self.below(5);
            publish.properties = PublishProperties {
                message_expiry_interval: (expiry > 0).then_some(expiry.into()),
                topic_alias: core::num::NonZeroU16::new(alias.into()),
                payload_format_indicator: (flags & 16 != 0).then_some(true),
                user_properties: self.user_properties(),
                ..PublishProperties::default()
            };
            if alias > 0 && flags & 32 != 0 {
                publish.topic = None;
            }
        }
        publish
    }

    fn user_properties(&mut self) -> Vec<UserProperty> {
        let text = Utf8String::from_static;
        vec![(text("k"), text("v")); usize::from(self.below(3))]
    }

    fn reason_properties(&mut self) -> ReasonProperties {
        ReasonProperties {
            user_properties: self.user_properties(),
            ..ReasonProperties::default()
        }
    }

    /// Some packet that a client may send, perhaps at the wrong moment.
    pub fn client_packet(&mut self) -> Packet {
        match self.below(16) {
            0..=2 => Packet::Connect(self.connect()),
            3..=6 => Packet::Publish(self.publish()),
            7..=8 => Packet::Subscribe(self.subscribe()),
            9 => Packet::Unsubscribe(Unsubscribe {
                packet_id: self.packet_id(),
                topic_filters: vec![self.filter(); 1 + usize::from(self.below(3))],
                user_properties: self.user_properties(),
            }),
            10 => Packet::PubAck(PubAck::new(
                self.packet_id(),
                self.ack_code(mqtt::PacketType::PubAck),
            )),
            11 => Packet::PubRec(PubRec::new(
                self.packet_id(),
                self.ack_code(mqtt::PacketType::PubRec),
            )),
            12 => Packet::PubRel(PubRel::new(
                self.packet_id(),
                self.ack_code(mqtt::PacketType::PubRel),
            )),
            13 => Packet::PubComp(PubComp::new(
                self.packet_id(),
                self.ack_code(mqtt::PacketType::PubComp),
            )),
            14 => Packet::PingReq,
            _ => Packet::Disconnect(self.disconnect()),
        }
    }

    fn ack_code(&mut self, packet_type: mqtt::PacketType) -> ReasonCode {
        let code = self.reason_code();
        if code.belongs_in(packet_type) {
            code
        } else {
            ReasonCode::Success
        }
    }

    fn disconnect(&mut self) -> Disconnect {
        let flags = self.byte();
        let interval = self.word();
        Disconnect {
            reason_code: if flags & 1 != 0 {
                ReasonCode::DisconnectWithWill
            } else {
                ReasonCode::Success
            },
            properties: DisconnectProperties {
                session_expiry_interval: (flags & 2 != 0).then_some(interval.into()),
                ..DisconnectProperties::default()
            },
        }
    }

    /// A SUBSCRIBE with up to four filters.
    pub fn subscribe(&mut self) -> Subscribe {
        let packet_id = self.packet_id();
        let count = 1 + self.below(4);
        let subscriptions = (0..count).map(|_| self.subscription()).collect();
        let identifier = self.byte();
        let mut user_properties = self.user_properties();
        if let [_, second] = &mut user_properties[..] {
            let text = Utf8String::from_static;
            *second = (text("beaconry-latest"), text("20"));
        }
        Subscribe {
            packet_id,
            subscriptions,
            subscription_identifier: core::num::NonZeroU32::new(identifier.into()),
            user_properties,
        }
    }

    /// One filter with its options.
    pub fn subscription(&mut self) -> Subscription {
        let filter = self.filter();
        let mut subscription = Subscription::new(filter, self.qos());
        let flags = self.byte();
        subscription.no_local = flags & 1 != 0 && subscription.topic_filter.shared().is_none();
        subscription.retain_as_published = flags & 2 != 0;
        subscription.retain_handling = match flags >> 2 & 3 {
            0 | 1 => RetainHandling::Send,
            2 => RetainHandling::SendIfNew,
            _ => RetainHandling::DoNotSend,
        };
        subscription
    }

    /// A CONNECT of one of four clients.
    pub fn connect(&mut self) -> Connect {
        let mut connect = Connect::new(self.version(), self.pick(CLIENTS));
        let flags = self.byte();
        if connect.version == ProtocolVersion::V3_1_1 {
            connect.dialect = Dialect {
                is_v3_1: flags & 64 != 0,
                is_bridge: flags & 128 != 0,
            };
        }
        connect.clean_start = flags & 1 != 0;
        connect.keep_alive = if flags & 2 != 0 {
            self.byte().into()
        } else {
            0
        };
        if flags & 4 != 0 {
            connect.properties = ConnectProperties {
                session_expiry_interval: Some(self.word().into()),
                receive_maximum: Some(u16::from(self.below(6)) + 1),
                maximum_packet_size: (flags & 16 != 0).then(|| u32::from(self.word()).max(1)),
                topic_alias_maximum: Some(self.below(4).into()),
                request_problem_information: (flags & 32 != 0).then_some(false),
                ..ConnectProperties::default()
            };
        }
        if flags & 8 != 0 {
            let delay = self.byte();
            connect.will = Some(Will {
                topic: self.topic(),
                payload: self.payload(),
                qos: self.qos(),
                retain: self.flag(),
                properties: WillProperties {
                    will_delay_interval: (delay > 0).then_some(delay.into()),
                    ..WillProperties::default()
                },
            });
        }
        connect
    }

    /// Some packet that a server may send, perhaps at the wrong moment.
    pub fn server_packet(&mut self) -> Packet {
        use mqtt::{ConnAck, PacketType, SubAck, UnsubAck};
        match self.below(16) {
            0..=1 => {
                let code = self.ack_code(PacketType::ConnAck);
                let mut connack = ConnAck::new(self.flag() && !code.is_error(), code);
                let flags = self.byte();
                if flags & 1 != 0 {
                    connack.properties.receive_maximum = Some(u16::from(self.below(4)) + 1);
                    connack.properties.maximum_packet_size = Some(u32::from(self.word()).max(1));
                    connack.properties.topic_alias_maximum = Some(self.below(4).into());
                }
                if flags & 2 != 0 {
                    connack.properties.maximum_qos = Some(if self.flag() {
                        QoS::AtMostOnce
                    } else {
                        QoS::AtLeastOnce
                    });
                    connack.properties.server_keep_alive = Some(self.byte().into());
                }
                Packet::ConnAck(connack)
            }
            2..=6 => Packet::Publish(self.publish()),
            7 => Packet::PubAck(PubAck::new(
                self.packet_id(),
                self.ack_code(PacketType::PubAck),
            )),
            8 => Packet::PubRec(PubRec::new(
                self.packet_id(),
                self.ack_code(PacketType::PubRec),
            )),
            9 => Packet::PubRel(PubRel::new(
                self.packet_id(),
                self.ack_code(PacketType::PubRel),
            )),
            10 => Packet::PubComp(PubComp::new(
                self.packet_id(),
                self.ack_code(PacketType::PubComp),
            )),
            11..=12 => {
                let packet_id = self.packet_id();
                let count = 1 + usize::from(self.below(4));
                Packet::SubAck(SubAck {
                    packet_id,
                    reason_codes: vec![self.ack_code(PacketType::SubAck); count],
                    properties: self.reason_properties(),
                })
            }
            13 => {
                let packet_id = self.packet_id();
                let count = 1 + usize::from(self.below(4));
                Packet::UnsubAck(UnsubAck {
                    packet_id,
                    reason_codes: vec![self.ack_code(PacketType::UnsubAck); count],
                    properties: self.reason_properties(),
                })
            }
            14 => Packet::PingResp,
            _ => Packet::Disconnect(Disconnect::new(self.ack_code(PacketType::Disconnect))),
        }
    }
}

/// Writes what [`Script`] reads: for the seeds.
#[derive(Default)]
pub struct Pen(Vec<u8>);

impl Pen {
    /// The bytes written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// See [`Script::byte`].
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    /// See [`Script::word`].
    pub fn word(&mut self, word: u16) -> &mut Self {
        self.0.extend_from_slice(&word.to_le_bytes());
        self
    }

    /// See [`Script::bytes`].
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u16::try_from(bytes.len()).expect("a short seed");
        self.word(len);
        self.0.extend_from_slice(bytes);
        self
    }
}
