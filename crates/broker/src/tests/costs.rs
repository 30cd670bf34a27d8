//! Everything is counted with the memory that it really takes, so that the limits mean what they
//! say.

use std::num::NonZeroU16;

use mqtt::{Packet, QoS, ReasonCode};

use super::{V5, World, message, retained, subscribe, to, topic};

#[test]
fn a_queued_message_is_charged_for_its_subscription_identifiers() {
    let queued_bytes = |filters: &[&str]| {
        let mut world = World::new();
        let (subscriber, _) = world.lasting(V5, "s");
        for (filter, identifier) in filters.iter().zip(1..) {
            let subscriptions = [to(filter, QoS::AtLeastOnce)];
            world.send(subscriber, &subscribe(&subscriptions, Some(identifier)));
        }
        world.cut(subscriber);
        let publisher = world.client(V5, "p");
        world.publish(publisher, "t", "x", QoS::AtLeastOnce);
        assert_eq!(world.broker.metrics().queued_messages, 1);
        let bytes = world.broker.metrics().queued_bytes;
        let (subscriber, _) = world.lasting(V5, "s");
        let publish = world.take_publish(subscriber);
        assert_eq!(
            publish.properties.subscription_identifiers.len(),
            filters.len()
        );
        world.send(
            subscriber,
            &Packet::PubAck(mqtt::PubAck::new(
                publish.packet_id.unwrap(),
                ReasonCode::Success,
            )),
        );
        assert_eq!(world.broker.metrics().queued_bytes, 0);
        bytes
    };
    assert_eq!(queued_bytes(&["t", "+", "#"]), queued_bytes(&["t"]) + 3 * 4);
}

#[test]
fn a_retained_message_is_charged_for_each_level_of_its_topic() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    // Both topics have the same length. They differ only in their number of levels.
    let mut costs = ["abcde", "a/c/e"].map(|topic| {
        world.send(conn, &retained(topic, "x", QoS::AtMostOnce));
        // Replacing it does not change the cost.
        let bytes = world.broker.metrics().retained_bytes;
        world.send(conn, &retained(topic, "y", QoS::AtMostOnce));
        assert_eq!(world.broker.metrics().retained_bytes, bytes);
        world.send(conn, &retained(topic, "", QoS::AtMostOnce));
        assert_eq!(world.broker.metrics().retained_bytes, 0);
        bytes
    });
    costs.sort_unstable();
    assert_eq!(costs[1] - costs[0], 2 * 128);
}

#[test]
fn a_refused_topic_is_not_stored_for_its_alias() {
    for refused in ["x".repeat(11), "a/b/c/d".to_owned()] {
        let mut world = World::with(|options| {
            options.limits.topic_bytes = 10;
            options.limits.topic_levels = 3;
        });
        let conn = world.client(V5, "a");
        let mut publish = message("fits", "x", QoS::AtLeastOnce, 1);
        publish.properties.topic_alias = NonZeroU16::new(1);
        world.send(conn, &Packet::Publish(publish.clone()));
        publish.topic = Some(topic(&refused));
        world.received(conn);
        world.send(conn, &Packet::Publish(publish.clone()));
        let Packet::PubAck(ack) = world.take(conn) else {
            panic!("PUBACK expected");
        };
        assert_eq!(ack.reason_code, ReasonCode::TopicNameInvalid);
        // The alias stands for the refused topic, not for the earlier one. Using it is no
        // protocol error, and is refused again.
        publish.topic = None;
        for _ in 0..2 {
            world.send(conn, &Packet::Publish(publish.clone()));
            let Packet::PubAck(ack) = world.take(conn) else {
                panic!("PUBACK expected");
            };
            assert_eq!(ack.reason_code, ReasonCode::TopicNameInvalid);
        }
        publish.topic = Some(topic("fits"));
        world.send(conn, &Packet::Publish(publish.clone()));
        publish.topic = None;
        world.send(conn, &Packet::Publish(publish));
        for _ in 0..2 {
            let Packet::PubAck(ack) = world.take(conn) else {
                panic!("PUBACK expected");
            };
            assert_eq!(ack.reason_code, ReasonCode::NoMatchingSubscribers);
        }
        assert_eq!(world.broker.metrics().refused_topic_name, 3);
    }
}
