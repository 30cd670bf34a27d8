//! Any packet of either version, for proptest.
//!
//! Every packet is in the normal form of its version: what the version has no place for is absent,
//! so decoding gives exactly the packet that was encoded. A client's stream starts with CONNECT, as
//! it must.
#![allow(dead_code)] // each test binary uses a part of this

use bytes::Bytes;
use mqtt::packet::{
    AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PublishProperties,
    ReasonProperties, SubscriptionIdentifier, UserProperty, WillProperties,
};
use mqtt::{
    Auth, ConnAck, Connect, Dialect, Disconnect, Packet, PacketId, PacketType, ProtocolVersion,
    PubAck, PubComp, PubRec, PubRel, Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe,
    Subscription, TopicFilter, TopicName, UnsubAck, Unsubscribe, Utf8String, Will,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Either version.
pub(crate) fn version() -> impl Strategy<Value = ProtocolVersion> {
    select(vec![ProtocolVersion::V3_1_1, ProtocolVersion::V5])
}

/// CONNECT and then up to six packets that a client may send.
pub(crate) fn client_stream(version: ProtocolVersion) -> BoxedStrategy<Vec<Packet>> {
    (connect(version), vec(from_client(version), 0..6))
        .prop_map(|(connect, mut packets)| {
            packets.insert(0, Packet::Connect(connect));
            packets
        })
        .boxed()
}

/// Up to seven packets that a server may send.
pub(crate) fn server_stream(version: ProtocolVersion) -> BoxedStrategy<Vec<Packet>> {
    vec(from_server(version), 0..7).boxed()
}

/// Whatever a client may send after CONNECT.
pub(crate) fn from_client(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        4 => publish(version, false).prop_map(Packet::Publish),
        4 => acknowledgement(version),
        2 => subscribe(version).prop_map(Packet::Subscribe),
        2 => unsubscribe(version).prop_map(Packet::Unsubscribe),
        1 => Just(Packet::PingReq),
        1 => disconnect(version, false).prop_map(Packet::Disconnect),
    ];
    match version {
        ProtocolVersion::V3_1_1 => common.boxed(),
        ProtocolVersion::V5 => prop_oneof![9 => common, 1 => auth().prop_map(Packet::Auth)].boxed(),
    }
}

/// Whatever a server may send.
pub(crate) fn from_server(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        1 => connack(version).prop_map(Packet::ConnAck),
        4 => publish(version, true).prop_map(Packet::Publish),
        4 => acknowledgement(version),
        2 => suback(version).prop_map(Packet::SubAck),
        2 => unsuback(version).prop_map(Packet::UnsubAck),
        1 => Just(Packet::PingResp),
    ];
    match version {
        ProtocolVersion::V3_1_1 => common.boxed(),
        ProtocolVersion::V5 => prop_oneof![
            8 => common,
            1 => auth().prop_map(Packet::Auth),
            1 => disconnect(version, true).prop_map(Packet::Disconnect),
        ]
        .boxed(),
    }
}

/// A UTF-8 Encoded String.
pub(crate) fn text() -> impl Strategy<Value = Utf8String> {
    "[^\u{0}]{0,12}".prop_map(|text| Utf8String::try_from(text).unwrap())
}

/// Binary data.
pub(crate) fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

/// A topic name.
pub(crate) fn topic_name() -> impl Strategy<Value = TopicName> {
    "[^\u{0}+#]{1,12}".prop_map(|text| TopicName::try_from(text).unwrap())
}

/// A topic filter, with wildcards or without, shared or not.
pub(crate) fn topic_filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![1 => Just("+".to_owned()), 3 => "[a-zé]{0,3}"];
    let share = option::weighted(0.2, "[^\u{0}/+#]{1,4}");
    (share, vec(level, 1..4), any::<bool>())
        .prop_map(|(share, levels, all_below)| {
            let mut text = levels.join("/");
            if all_below {
                text = format!("{text}/#");
            }
            match share {
                Some(name) => format!("$share/{name}/{text}"),
                None => text,
            }
        })
        .prop_filter_map("a filter is not empty", |text| {
            TopicFilter::try_from(text).ok()
        })
}

pub(crate) fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

pub(crate) fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn user_properties() -> impl Strategy<Value = Vec<UserProperty>> {
    vec((text(), text()), 0..3)
}

fn subscription_identifier() -> impl Strategy<Value = SubscriptionIdentifier> {
    prop_oneof![1..=200_u32, 1..=268_435_455_u32]
        .prop_map(|id| SubscriptionIdentifier::new(id).unwrap())
}

/// Any reason code that is allowed in `packet_type`.
pub(crate) fn reason_code(packet_type: PacketType) -> impl Strategy<Value = ReasonCode> {
    let codes: Vec<_> = (0..=u8::MAX)
        .filter_map(ReasonCode::from_u8)
        .filter(|code| code.belongs_in(packet_type))
        .collect();
    select(codes)
}

fn reason_properties() -> impl Strategy<Value = ReasonProperties> {
    (option::of(text()), user_properties()).prop_map(|(reason_string, user_properties)| {
        ReasonProperties {
            reason_string,
            user_properties,
        }
    })
}

/// A method and data, data only with a method.
fn authentication() -> impl Strategy<Value = (Option<Utf8String>, Option<Bytes>)> {
    option::of((text(), option::of(binary())))
        .prop_map(|both| both.map_or((None, None), |(method, data)| (Some(method), data)))
}

/// CONNECT.
pub(crate) fn connect(version: ProtocolVersion) -> BoxedStrategy<Connect> {
    let properties = match version {
        ProtocolVersion::V3_1_1 => Just(ConnectProperties::default()).boxed(),
        ProtocolVersion::V5 => connect_properties().boxed(),
    };
    (
        (any::<bool>(), any::<u16>(), text(), dialect(version)),
        option::of(will(version)),
        option::of(text()),
        option::of(binary()),
        properties,
    )
        .prop_map(move |(first, will, user_name, password, properties)| {
            let (clean_start, keep_alive, client_id, dialect) = first;
            let password_may_stand = version == ProtocolVersion::V5 || user_name.is_some();
            Connect {
                version,
                dialect,
                clean_start,
                keep_alive,
                client_id,
                will,
                user_name,
                password: password.filter(|_| password_may_stand),
                properties,
            }
        })
        .boxed()
}

/// Version 5 has none.
fn dialect(version: ProtocolVersion) -> BoxedStrategy<Dialect> {
    match version {
        ProtocolVersion::V3_1_1 => any::<(bool, bool)>()
            .prop_map(|(is_v3_1, is_bridge)| Dialect { is_v3_1, is_bridge })
            .boxed(),
        ProtocolVersion::V5 => Just(Dialect::default()).boxed(),
    }
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    (
        option::of(any::<u32>()),
        option::of(1..=u16::MAX),
        option::of(1..=u32::MAX),
        option::of(any::<u16>()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        user_properties(),
        authentication(),
    )
        .prop_map(
            |(
                session_expiry_interval,
                receive_maximum,
                maximum_packet_size,
                topic_alias_maximum,
                request_response_information,
                request_problem_information,
                user_properties,
                (authentication_method, authentication_data),
            )| ConnectProperties {
                session_expiry_interval,
                receive_maximum,
                maximum_packet_size,
                topic_alias_maximum,
                request_response_information,
                request_problem_information,
                user_properties,
                authentication_method,
                authentication_data,
            },
        )
}

fn will(version: ProtocolVersion) -> impl Strategy<Value = Will> {
    let properties = match version {
        ProtocolVersion::V3_1_1 => Just(WillProperties::default()).boxed(),
        ProtocolVersion::V5 => will_properties().boxed(),
    };
    (topic_name(), binary(), qos(), any::<bool>(), properties).prop_map(
        |(topic, payload, qos, retain, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            properties,
        },
    )
}

fn will_properties() -> impl Strategy<Value = WillProperties> {
    (
        option::of(any::<u32>()),
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(text()),
        option::of(topic_name()),
        option::of(binary()),
        user_properties(),
    )
        .prop_map(
            |(
                will_delay_interval,
                payload_format_indicator,
                message_expiry_interval,
                content_type,
                response_topic,
                correlation_data,
                user_properties,
            )| WillProperties {
                will_delay_interval,
                payload_format_indicator,
                message_expiry_interval,
                content_type,
                response_topic,
                correlation_data,
                user_properties,
            },
        )
}

/// CONNACK.
pub(crate) fn connack(version: ProtocolVersion) -> BoxedStrategy<ConnAck> {
    let (reason_code, properties) = match version {
        ProtocolVersion::V3_1_1 => (
            (0..6_u8)
                .prop_map(|code| ReasonCode::from_return_code(code).unwrap())
                .boxed(),
            Just(ConnAckProperties::default()).boxed(),
        ),
        ProtocolVersion::V5 => (
            reason_code(PacketType::ConnAck).boxed(),
            connack_properties().boxed(),
        ),
    };
    (any::<bool>(), reason_code, properties)
        .prop_map(|(session_present, reason_code, properties)| ConnAck {
            session_present: session_present && reason_code == ReasonCode::Success,
            reason_code,
            properties,
        })
        .boxed()
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let numbers = (
        option::of(any::<u32>()),
        option::of(1..=u16::MAX),
        option::of(select(vec![QoS::AtMostOnce, QoS::AtLeastOnce])),
        option::of(1..=u32::MAX),
        option::of(any::<u16>()),
        option::of(any::<u16>()),
    );
    let flags = (
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
    );
    let texts = (
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(binary()),
    );
    (numbers, flags, texts, user_properties()).prop_map(
        |(numbers, flags, texts, user_properties)| ConnAckProperties {
            session_expiry_interval: numbers.0,
            receive_maximum: numbers.1,
            maximum_qos: numbers.2,
            maximum_packet_size: numbers.3,
            topic_alias_maximum: numbers.4,
            server_keep_alive: numbers.5,
            retain_available: flags.0,
            wildcard_subscription_available: flags.1,
            subscription_identifiers_available: flags.2,
            shared_subscription_available: flags.3,
            assigned_client_identifier: texts.0,
            reason_string: texts.1,
            response_information: texts.2,
            server_reference: texts.3,
            authentication_method: texts.4,
            authentication_data: texts.5,
            user_properties,
        },
    )
}

/// PUBLISH; subscription identifiers come only from a server.
pub(crate) fn publish(version: ProtocolVersion, from_server: bool) -> BoxedStrategy<Publish> {
    let properties = match version {
        ProtocolVersion::V3_1_1 => Just(PublishProperties::default()).boxed(),
        ProtocolVersion::V5 => publish_properties(from_server).boxed(),
    };
    (
        (any::<bool>(), qos(), any::<bool>()),
        option::weighted(0.8, topic_name()),
        topic_name(),
        packet_id(),
        vec(any::<u8>(), 0..200),
        properties,
    )
        .prop_map(
            |((dup, qos, retain), topic, other, packet_id, payload, properties)| {
                let acknowledged = qos != QoS::AtMostOnce;
                Publish {
                    dup: dup && acknowledged,
                    qos,
                    retain,
                    topic: match properties.topic_alias {
                        Some(_) => topic,
                        None => Some(topic.unwrap_or(other)),
                    },
                    packet_id: acknowledged.then_some(packet_id),
                    payload: Bytes::from(payload),
                    properties,
                }
            },
        )
        .boxed()
}

fn publish_properties(from_server: bool) -> impl Strategy<Value = PublishProperties> {
    let identifiers = if from_server { 0..3 } else { 0..1 };
    let properties = (
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(packet_id()),
        option::of(topic_name()),
        option::of(binary()),
        user_properties(),
        vec(subscription_identifier(), identifiers),
        option::of(text()),
    )
        .prop_map(|properties| PublishProperties {
            payload_format_indicator: properties.0,
            message_expiry_interval: properties.1,
            topic_alias: properties.2,
            response_topic: properties.3,
            correlation_data: properties.4,
            user_properties: properties.5,
            subscription_identifiers: properties.6,
            content_type: properties.7,
        });
    prop_oneof![1 => Just(PublishProperties::default()), 3 => properties]
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn acknowledgement(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    macro_rules! ack {
        ($name:ident) => {{
            let reason = match version {
                ProtocolVersion::V3_1_1 => {
                    Just((ReasonCode::Success, ReasonProperties::default())).boxed()
                }
                ProtocolVersion::V5 => {
                    (reason_code(PacketType::$name), reason_properties()).boxed()
                }
            };
            (packet_id(), reason).prop_map(|(packet_id, (reason_code, properties))| {
                Packet::$name($name {
                    packet_id,
                    reason_code,
                    properties,
                })
            })
        }};
    }
    prop_oneof![ack!(PubAck), ack!(PubRec), ack!(PubRel), ack!(PubComp)].boxed()
}

/// SUBSCRIBE.
pub(crate) fn subscribe(version: ProtocolVersion) -> BoxedStrategy<Subscribe> {
    let is_v5 = version == ProtocolVersion::V5;
    (
        packet_id(),
        vec(subscription(is_v5), 1..4),
        option::of(subscription_identifier()),
        user_properties(),
    )
        .prop_map(
            move |(packet_id, subscriptions, identifier, user_properties)| Subscribe {
                packet_id,
                subscriptions,
                subscription_identifier: identifier.filter(|_| is_v5),
                user_properties: if is_v5 { user_properties } else { vec![] },
            },
        )
        .boxed()
}

fn subscription(is_v5: bool) -> impl Strategy<Value = Subscription> {
    (
        topic_filter(),
        qos(),
        any::<bool>(),
        any::<bool>(),
        (0..3_u8).prop_map(|value| RetainHandling::from_u8(value).unwrap()),
    )
        .prop_map(
            move |(topic_filter, qos, no_local, retain_as_published, retain_handling)| {
                if !is_v5 {
                    return Subscription::new(topic_filter, qos);
                }
                Subscription {
                    no_local: no_local && topic_filter.shared().is_none(),
                    topic_filter,
                    qos,
                    retain_as_published,
                    retain_handling,
                }
            },
        )
}

/// SUBACK.
pub(crate) fn suback(version: ProtocolVersion) -> BoxedStrategy<SubAck> {
    let (code, properties) = match version {
        ProtocolVersion::V3_1_1 => (
            select(vec![
                ReasonCode::Success,
                ReasonCode::GrantedQoS1,
                ReasonCode::GrantedQoS2,
                ReasonCode::UnspecifiedError,
            ])
            .boxed(),
            Just(ReasonProperties::default()).boxed(),
        ),
        ProtocolVersion::V5 => (
            reason_code(PacketType::SubAck).boxed(),
            reason_properties().boxed(),
        ),
    };
    (packet_id(), vec(code, 1..4), properties)
        .prop_map(|(packet_id, reason_codes, properties)| SubAck {
            packet_id,
            reason_codes,
            properties,
        })
        .boxed()
}

/// UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: ProtocolVersion) -> BoxedStrategy<Unsubscribe> {
    let is_v5 = version == ProtocolVersion::V5;
    (packet_id(), vec(topic_filter(), 1..4), user_properties())
        .prop_map(
            move |(packet_id, topic_filters, user_properties)| Unsubscribe {
                packet_id,
                topic_filters,
                user_properties: if is_v5 { user_properties } else { vec![] },
            },
        )
        .boxed()
}

/// UNSUBACK.
pub(crate) fn unsuback(version: ProtocolVersion) -> BoxedStrategy<UnsubAck> {
    let (codes, properties) = match version {
        ProtocolVersion::V3_1_1 => (
            Just(vec![]).boxed(),
            Just(ReasonProperties::default()).boxed(),
        ),
        ProtocolVersion::V5 => (
            vec(reason_code(PacketType::UnsubAck), 1..4).boxed(),
            reason_properties().boxed(),
        ),
    };
    (packet_id(), codes, properties)
        .prop_map(|(packet_id, reason_codes, properties)| UnsubAck {
            packet_id,
            reason_codes,
            properties,
        })
        .boxed()
}

/// DISCONNECT; a session expiry interval comes only from a client `[MQTT-3.14.2-2]`.
pub(crate) fn disconnect(version: ProtocolVersion, from_server: bool) -> BoxedStrategy<Disconnect> {
    if version == ProtocolVersion::V3_1_1 {
        return Just(Disconnect::new(ReasonCode::Success)).boxed();
    }
    (
        reason_code(PacketType::Disconnect).prop_map(move |code| {
            let may = from_server || code.may_be_said_by_client();
            if may { code } else { ReasonCode::Success }
        }),
        option::of(any::<u32>()),
        reason_properties(),
        option::of(text()),
    )
        .prop_map(
            move |(reason_code, expiry, reason, server_reference)| Disconnect {
                reason_code,
                properties: DisconnectProperties {
                    session_expiry_interval: expiry.filter(|_| !from_server),
                    reason_string: reason.reason_string,
                    user_properties: reason.user_properties,
                    server_reference,
                },
            },
        )
        .boxed()
}

/// AUTH: nothing at all, or with a method.
pub(crate) fn auth() -> BoxedStrategy<Auth> {
    let bare = Just(Auth {
        reason_code: ReasonCode::Success,
        properties: AuthProperties::default(),
    });
    let full = (
        reason_code(PacketType::Auth),
        text(),
        option::of(binary()),
        reason_properties(),
    )
        .prop_map(|(reason_code, method, data, reason)| Auth {
            reason_code,
            properties: AuthProperties {
                authentication_method: Some(method),
                authentication_data: data,
                reason_string: reason.reason_string,
                user_properties: reason.user_properties,
            },
        });
    prop_oneof![1 => bare, 3 => full].boxed()
}
