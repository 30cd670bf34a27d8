use bytes::{Bytes, BytesMut};
use mqtt::packet::{PublishProperties, WillProperties};
use mqtt::{PacketId, QoS, TopicName};
use proptest::prelude::*;

use core::num::NonZeroU64;

use super::*;
use crate::durability::{
    Absence, Accepted, FromSession, InQueue, InWindow, Malformed, Recipient, Record, Retention,
    SessionState, Stored, Subscribed, Terms, TransientWill,
};
use crate::types::{
    Cause, Delivery, GroupId, Holder, Identifiers, Lsn, MessageId, Origin, SessionNumber,
};

fn text() -> impl Strategy<Value = Utf8String> {
    "[a-zé/]{0,12}".prop_map(|text| Utf8String::try_from(text).unwrap())
}

fn topic() -> impl Strategy<Value = TopicName> {
    "[a-zé/]{1,12}".prop_map(|text| TopicName::try_from(text.as_str()).unwrap())
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn qos() -> impl Strategy<Value = QoS> {
    (0_u8..3).prop_map(|qos| QoS::from_u8(qos).unwrap())
}

fn session() -> impl Strategy<Value = SessionNumber> {
    any::<NonZeroU64>().prop_map(SessionNumber)
}

fn id() -> impl Strategy<Value = MessageId> {
    any::<NonZeroU64>().prop_map(MessageId)
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|number| PacketId::new(number).unwrap())
}

fn time() -> impl Strategy<Value = Instant> {
    (1..u64::MAX).prop_map(Instant::from_micros)
}

fn user_properties() -> impl Strategy<Value = Vec<(Utf8String, Utf8String)>> {
    prop::collection::vec((text(), text()), 0..3)
}

fn publish() -> impl Strategy<Value = Publish> {
    let properties = (
        any::<Option<bool>>(),
        any::<Option<u32>>(),
        prop::option::of(topic()),
        prop::option::of(bytes()),
        user_properties(),
        prop::option::of(text()),
    );
    (qos(), any::<bool>(), topic(), bytes(), properties).prop_map(
        |(qos, retain, topic, payload, properties)| Publish {
            dup: false,
            qos,
            retain,
            topic: Some(topic),
            packet_id: None,
            payload,
            properties: PublishProperties {
                payload_format_indicator: properties.0,
                message_expiry_interval: properties.1,
                topic_alias: None,
                response_topic: properties.2,
                correlation_data: properties.3,
                user_properties: properties.4,
                subscription_identifiers: Vec::new(),
                content_type: properties.5,
            },
        },
    )
}

fn will() -> impl Strategy<Value = Box<Will>> {
    (publish(), any::<Option<u32>>()).prop_map(|(publish, will_delay_interval)| {
        let properties = publish.properties;
        Box::new(Will {
            topic: publish.topic.unwrap(),
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: WillProperties {
                will_delay_interval,
                payload_format_indicator: properties.payload_format_indicator,
                message_expiry_interval: properties.message_expiry_interval,
                content_type: properties.content_type,
                response_topic: properties.response_topic,
                correlation_data: properties.correlation_data,
                user_properties: properties.user_properties,
            },
        })
    })
}

fn terms() -> impl Strategy<Value = Terms> {
    (any::<u32>(), prop::option::of(will())).prop_map(|(expiry_interval, will)| Terms {
        expiry_interval,
        will,
    })
}

fn absence() -> impl Strategy<Value = Absence> {
    (prop::option::of(time()), prop::option::of(time())).prop_map(|(expires_at, will_at)| Absence {
        expires_at,
        will_at,
    })
}

fn stored() -> impl Strategy<Value = Stored> {
    (text(), time(), publish()).prop_map(|(publisher, received, publish)| Stored {
        publisher,
        received,
        publish,
    })
}

fn identifier() -> impl Strategy<Value = SubscriptionIdentifier> {
    (1_u32..268_435_456).prop_map(|number| SubscriptionIdentifier::new(number).unwrap())
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Live),
        Just(Origin::Retained),
        any::<u64>().prop_map(|group| Origin::Shared(GroupId(group))),
    ]
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let qos = prop_oneof![Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    let identifiers = prop::collection::vec(identifier(), 0..4);
    (qos, any::<bool>(), identifiers).prop_map(|(qos, retain, identifiers)| Delivery {
        qos,
        retain,
        identifiers: Identifiers::collect(identifiers.into_iter()),
    })
}

fn holder() -> impl Strategy<Value = (Holder, Origin)> {
    let group = any::<u64>().prop_map(GroupId);
    prop_oneof![
        (session().prop_map(Holder::Session), origin()),
        group.prop_map(|group| (Holder::Group, Origin::Shared(group))),
    ]
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let packet_id = prop::option::of(packet_id());
    (holder(), delivery(), packet_id).prop_map(|((holder, origin), delivery, packet_id)| {
        Recipient {
            holder,
            delivery,
            origin,
            packet_id,
        }
    })
}

fn subscribed() -> impl Strategy<Value = Subscribed> {
    let group = prop::option::of(any::<u64>().prop_map(GroupId));
    let identifier = prop::option::of(identifier());
    let latest =
        prop::option::of((10_u64..=60_000).prop_map(|it| Interval::from_millis(it).unwrap()));
    let bits = any::<[bool; 3]>();
    (text(), group, identifier, qos(), latest, bits).prop_map(
        |(filter, group, identifier, qos, latest, [no_local, retain_as_published, asks])| {
            Subscribed {
                filter,
                group,
                identifier,
                qos,
                no_local,
                retain_as_published,
                latest,
                asks,
            }
        },
    )
}

fn accepted() -> impl Strategy<Value = Accepted> {
    let retention = prop_oneof![
        Just(Retention::Unchanged),
        Just(Retention::Kept),
        Just(Retention::Removed)
    ];
    let cause = prop_oneof![
        Just(Cause::Client),
        (session(), packet_id()).prop_map(|(session, id)| Cause::Incoming(session, id)),
        session().prop_map(Cause::Will),
        session().prop_map(Cause::LastWill),
        session().prop_map(Cause::TransientWill),
        Just(Cause::OtherWill),
    ];
    let recipients = prop::collection::vec(recipient(), 0..4);
    (stored(), retention, cause, recipients).prop_map(|(message, retention, cause, recipients)| {
        Accepted {
            message,
            retention,
            cause,
            recipients,
        }
    })
}

fn in_queue() -> impl Strategy<Value = InQueue> {
    (id(), delivery(), origin()).prop_map(|(message, delivery, origin)| InQueue {
        message,
        delivery,
        origin,
    })
}

fn state() -> impl Strategy<Value = SessionState> {
    let in_window = (packet_id(), prop::option::of(in_queue()))
        .prop_map(|(packet_id, message)| InWindow { packet_id, message });
    let head = (
        session(),
        text(),
        terms(),
        prop::option::of(absence()),
        any::<u16>(),
    );
    let lists = (
        prop::collection::vec(packet_id(), 0..4),
        prop::collection::vec(subscribed(), 0..4),
        prop::collection::vec(in_window, 0..4),
        prop::collection::vec(in_queue(), 0..4),
        prop::collection::vec(subscribed(), 0..4),
    );
    (head, lists).prop_map(
        |(head, (incoming, subscriptions, window, queue, lookups))| {
            let (session, client_id, terms, absence, last_packet_id) = head;
            SessionState {
                session,
                client_id,
                terms,
                absence,
                last_packet_id,
                incoming,
                subscriptions,
                window,
                queue,
                lookups,
            }
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let with_packet_id = |make: fn(SessionNumber, PacketId) -> Record| {
        (session(), packet_id()).prop_map(move |(session, packet_id)| make(session, packet_id))
    };
    let from = (session(), prop::option::of(packet_id()))
        .prop_map(|(session, packet_id)| FromSession { session, packet_id });
    let sessions = prop_oneof![
        (session(), text(), terms()).prop_map(|(session, client_id, terms)| Record::Opened {
            session,
            client_id,
            terms
        }),
        (session(), terms()).prop_map(|(session, terms)| Record::Resumed { session, terms }),
        (session(), any::<u32>(), absence(), any::<bool>()).prop_map(
            |(session, expiry_interval, absence, is_will_gone)| Record::Disconnected {
                session,
                expiry_interval,
                absence,
                is_will_gone
            }
        ),
        session().prop_map(|session| Record::Ended { session }),
        session().prop_map(|session| Record::WillPublished { session }),
        (session(), text(), will()).prop_map(|(session, client_id, will)| {
            Record::TransientWill(Box::new(TransientWill {
                session,
                client_id,
                will,
            }))
        }),
        session().prop_map(|session| Record::TransientWillEnded { session }),
        (session(), prop::collection::vec(subscribed(), 0..4)).prop_map(
            |(session, subscriptions)| Record::Subscribed {
                session,
                subscriptions
            }
        ),
        (session(), prop::collection::vec(text(), 0..4))
            .prop_map(|(session, filters)| Record::Unsubscribed { session, filters }),
        (session(), text()).prop_map(|(session, filter)| Record::LookupEnded { session, filter }),
        state().prop_map(|state| Record::Session(Box::new(state))),
    ];
    let messages = prop_oneof![
        accepted().prop_map(|accepted| Record::Accepted(Box::new(accepted))),
        with_packet_id(|session, packet_id| Record::Incoming { session, packet_id }),
        with_packet_id(|session, packet_id| Record::Released { session, packet_id }),
        with_packet_id(|session, packet_id| Record::Received { session, packet_id }),
        with_packet_id(|session, packet_id| Record::Done { session, packet_id }),
        (id(), stored()).prop_map(|(id, message)| Record::Message { id, message }),
        (id(), stored()).prop_map(|(id, message)| Record::RetainedMessage { id, message }),
        id().prop_map(|message| Record::Retained { message }),
        (id(), prop::option::of(from), recipient()).prop_map(|(message, from, recipient)| {
            Record::Queued {
                message,
                from,
                recipient,
            }
        }),
        (session(), id(), packet_id()).prop_map(|(session, message, packet_id)| Record::Sent {
            session,
            message,
            packet_id
        }),
        (holder(), id()).prop_map(|((holder, origin), message)| Record::Dropped {
            holder,
            message,
            origin
        }),
    ];
    let others = prop_oneof![
        Just(Record::CheckpointBegan),
        any::<[u64; 2]>().prop_map(|[sessions, groups]| Record::Numbers {
            sessions,
            groups: GroupId(groups)
        }),
        any::<u64>().prop_map(|from| Record::CheckpointEnded { from: Lsn(from) }),
        Just(Record::Restarted),
    ];
    prop_oneof![11 => sessions, 11 => messages, 3 => others]
}

/// Changes a record so that it names one of only a few sessions and messages. Then several records
/// are often about the same ones.
fn narrowed(record: Record) -> Record {
    let session = |it: SessionNumber| SessionNumber(few(it.0, 3));
    let id = |it: MessageId| MessageId(few(it.0, 5));
    let packet_id = |it: PacketId| PacketId::new(1 + it.get() % 3).unwrap();
    let holder = |it: Holder| match it {
        Holder::Session(it) => Holder::Session(session(it)),
        Holder::Group => Holder::Group,
    };
    let recipient = |it: Recipient| Recipient {
        holder: holder(it.holder),
        packet_id: it.packet_id.map(packet_id),
        ..it
    };
    match record {
        Record::Opened {
            session: it,
            client_id,
            terms,
        } => Record::Opened {
            session: session(it),
            client_id,
            terms,
        },
        Record::Resumed { session: it, terms } => Record::Resumed {
            session: session(it),
            terms,
        },
        Record::Ended { session: it } => Record::Ended {
            session: session(it),
        },
        Record::TransientWill(transient_will) => Record::TransientWill(Box::new(TransientWill {
            session: session(transient_will.session),
            ..*transient_will
        })),
        Record::TransientWillEnded { session: it } => Record::TransientWillEnded {
            session: session(it),
        },
        Record::Subscribed {
            session: it,
            subscriptions,
        } => Record::Subscribed {
            session: session(it),
            subscriptions,
        },
        Record::Accepted(mut accepted) => {
            let recipients = core::mem::take(&mut accepted.recipients);
            accepted.recipients = recipients.into_iter().map(recipient).collect();
            accepted.cause = match accepted.cause {
                Cause::Will(it) => Cause::Will(session(it)),
                Cause::LastWill(it) => Cause::LastWill(session(it)),
                Cause::TransientWill(it) => Cause::TransientWill(session(it)),
                Cause::Client | Cause::Incoming(..) | Cause::OtherWill => accepted.cause,
            };
            Record::Accepted(accepted)
        }
        Record::Queued {
            message,
            from,
            recipient: it,
        } => Record::Queued {
            message: id(message),
            from: from.map(|from| FromSession {
                session: session(from.session),
                packet_id: from.packet_id.map(packet_id),
            }),
            recipient: recipient(it),
        },
        Record::Sent {
            session: it,
            message,
            packet_id: number,
        } => Record::Sent {
            session: session(it),
            message: id(message),
            packet_id: packet_id(number),
        },
        Record::Received {
            session: it,
            packet_id: number,
        } => Record::Received {
            session: session(it),
            packet_id: packet_id(number),
        },
        Record::Done {
            session: it,
            packet_id: number,
        } => Record::Done {
            session: session(it),
            packet_id: packet_id(number),
        },
        Record::Dropped {
            holder: it,
            message,
            origin,
        } => Record::Dropped {
            holder: holder(it),
            message: id(message),
            origin,
        },
        Record::Message { id: it, message } => Record::Message {
            id: id(it),
            message,
        },
        Record::Retained { message } => Record::Retained {
            message: id(message),
        },
        other => other,
    }
}

fn few(number: NonZeroU64, count: u64) -> NonZeroU64 {
    NonZeroU64::new(1 + number.get() % count).unwrap()
}

fn encoded(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    record.put(&mut out);
    out.freeze()
}

#[test]
fn small_records_take_few_bytes() {
    let session = SessionNumber(NonZeroU64::new(100).unwrap());
    let packet_id = PacketId::new(7).unwrap();
    assert_eq!(encoded(&Record::Done { session, packet_id }).len(), 4);
    let message = MessageId(NonZeroU64::new(1_000_000).unwrap());
    let sent = Record::Sent {
        session,
        message,
        packet_id,
    };
    assert_eq!(encoded(&sent).len(), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_record_comes_back_as_it_was(record in record()) {
        let bytes = encoded(&record);
        prop_assert_ne!(bytes[0], crate::durability::journal::GROUP_KIND);
        prop_assert_eq!(Record::decode(bytes), Ok(record));
    }

    #[test]
    fn a_record_that_is_cut_short_is_refused(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&record);
        let cut = cut.index(bytes.len());
        // Decoding reports where the record was cut off.
        match Record::decode(bytes.slice(..cut)) {
            Err(Malformed::At { offset, .. }) => prop_assert!(offset <= cut),
            other => prop_assert!(false, "{other:?}"),
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert!(Record::decode(longer.into()).is_err());
    }

    /// Replay never panics, whatever the records say and however badly they fit together.
    #[test]
    fn no_records_panic_when_they_are_replayed(
        records in prop::collection::vec(record(), 1..40),
        now in time(),
    ) {
        let mut recovery = crate::Recovery::new(crate::BrokerOptions::default());
        for (lsn, record) in (1..).zip(records) {
            let record = encoded(&narrowed(record));
            prop_assert_eq!(recovery.replay(Lsn(lsn), record), Ok(()));
        }
        let mut broker = recovery.finish(now).unwrap();
        let metrics = broker.metrics().clone();
        prop_assert!(metrics.sessions <= 40 && metrics.retained_messages <= 40, "{:?}", metrics);
        while broker.checkpoint(now, 100) {}
        broker.handle_input(now, crate::Input::Timeout);
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..80), kind in 0_u8..28) {
        bytes[0] = kind;
        let _ = Record::decode(bytes.into());
    }

    #[test]
    fn no_changed_record_panics(record in record(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = encoded(&record).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = Record::decode(bytes.into());
    }
}
