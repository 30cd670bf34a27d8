//! Sections 4.6 and 4.9: order and flow control.

use crate::raw::{
    Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, RECEIVE_MAXIMUM, SUBACK, V5, VERSIONS, ack,
    ack_with, subscribe, two,
};
use crate::wire::{Site, Wire, on_each_transport};

/// How many messages each publisher sends: more than the server's window.
const MANY: u16 = 100;

/// Reads and acknowledges this many messages. Returns their payloads in order.
fn payloads(wire: &mut Wire, count: usize) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut unreleased = 0;
    while payloads.len() < count || unreleased > 0 {
        let packet = wire.packet();
        if packet.first == PUBREL {
            wire.send(&ack(
                PUBCOMP,
                u16::from_be_bytes([packet.rest[0], packet.rest[1]]),
            ));
            unreleased -= 1;
            continue;
        }
        let publish = Publish::read(wire.version, &packet);
        match publish.qos {
            0 => {}
            1 => wire.send(&ack(PUBACK, publish.id)),
            _ => {
                wire.send(&ack(PUBREC, publish.id));
                unreleased += 1;
            }
        }
        payloads.push(publish.payload);
    }
    payloads
}

/// More than any window, in one write, with each `QoS`; two publishers, each in its own order.
#[test]
fn mqtt_4_6_0_5_messages_arrive_in_the_order_in_which_they_came() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = site.subscriber(version, "t", 2);
            for qos in 0..3 {
                for publisher in [b'a', b'b'] {
                    let mut wire = site.connected(version, &format!("publisher {publisher}"));
                    let message = |number: u16| {
                        let payload = [&[publisher][..], &number.to_be_bytes()].concat();
                        Publish::of_qos(qos, number, "t", payload).bytes(version)
                    };
                    wire.send(&(1..=MANY).flat_map(message).collect::<Vec<u8>>());
                    // The answers have the same order.
                    for number in 1..=MANY {
                        match qos {
                            0 => {}
                            1 => wire.expect(&ack(PUBACK, number)),
                            _ => wire.expect(&ack(PUBREC, number)),
                        }
                    }
                    wire.quiet();
                }
                let received = payloads(&mut subscriber, 2 * usize::from(MANY));
                for publisher in [b'a', b'b'] {
                    let of_this = received.iter().filter(|payload| payload[0] == publisher);
                    let numbers: Vec<_> = of_this
                        .map(|payload| u16::from_be_bytes([payload[1], payload[2]]))
                        .collect();
                    assert_eq!(numbers, (1..=MANY).collect::<Vec<u16>>(), "QoS {qos}");
                }
            }
            subscriber.quiet();
        }
    });
}

/// For any topic and filter, and also where a small quota makes messages wait.
#[test]
fn mqtt_4_6_0_6_every_topic_is_ordered() {
    on_each_transport(|site| {
        let mut wire = limited(site, 3);
        for filter in ["#", "a/+", "+/b/#"] {
            wire.subscribe(filter, 1);
        }
        let mut publisher = site.connected(V5, "publisher");
        for topic in ["t", "a/b", "a/b/c", "/"] {
            let message = |number: u16| Publish::of_qos(1, number, topic, number.to_be_bytes());
            for number in 1..=20 {
                publisher.publishes(&message(number));
            }
            let received = payloads(&mut wire, 20);
            let sent: Vec<_> = (1..=20).map(|number| message(number).payload).collect();
            assert_eq!(received, sent, "{topic}");
        }
        wire.quiet();
    });
}

/// A client that accepts this many messages at a time, subscribed to "t" with `QoS` 2.
fn limited(site: &Site, receive_maximum: u16) -> Wire {
    let connect = Connect {
        properties: vec![two(RECEIVE_MAXIMUM, receive_maximum)],
        ..Connect::new(V5, "limited")
    };
    let mut wire = site.connect(&connect).0;
    wire.subscribe("t", 2);
    wire
}

/// PUBACK, PUBCOMP and a PUBREC that refuses free the quota. Nothing else does. [MQTT-4.9.0-1]
/// [MQTT-3.3.4-9]
#[test]
fn mqtt_4_9_0_2_no_more_than_the_clients_receive_maximum() {
    on_each_transport(|site| {
        for maximum in [1, 2, 5] {
            let mut wire = limited(site, maximum);
            let mut publisher = site.connected(V5, "publisher");
            for number in 0..20_u8 {
                publisher.publishes(&Publish::of_qos(1 + number % 2, 9, "t", [number]));
            }
            let mut open: Vec<Publish> = (0..maximum).map(|_| wire.publish()).collect();
            wire.quiet();
            let mut next = u8::try_from(maximum).unwrap();
            // The client acknowledges the oldest message last.
            while let Some(publish) = open.pop() {
                match (publish.qos, publish.payload[0] % 4) {
                    (1, _) => wire.send(&ack(PUBACK, publish.id)),
                    (_, 1) => wire.send(&ack_with(PUBREC, publish.id, 0x83)),
                    _ => {
                        wire.send(&ack(PUBREC, publish.id));
                        wire.expect(&ack(PUBREL, publish.id));
                        wire.quiet();
                        wire.send(&ack(PUBCOMP, publish.id));
                    }
                }
                if next < 20 {
                    let publish = wire.publish();
                    assert_eq!(publish.payload, [next]);
                    open.push(publish);
                    next += 1;
                }
                wire.quiet();
            }
            assert_eq!(next, 20);
        }
    });
}

/// PINGREQ, SUBSCRIBE, UNSUBSCRIBE, and messages of each `QoS` from the client itself.
/// [MQTT-3.3.4-10]
#[test]
fn mqtt_4_9_0_3_at_quota_zero_all_else_goes_on() {
    on_each_transport(|site| {
        let mut wire = limited(site, 1);
        let mut other = site.subscriber(V5, "u", 2);
        let mut publisher = site.connected(V5, "publisher");
        for number in 0..3_u8 {
            publisher.publishes(&Publish::of_qos(2, 9, "t", [number]));
        }
        let first = wire.publish();
        wire.quiet();
        wire.send(&subscribe(V5, 7, &[("v", 1)]));
        wire.expect_answer(SUBACK, 7, &[1]);
        for qos in 0..3 {
            wire.publishes(&Publish::of_qos(qos, 8, "u", [qos]));
            other.message("u", [qos]);
        }
        wire.send(&crate::raw::unsubscribe(V5, 9, &["v"]));
        wire.expect_answer(crate::raw::UNSUBACK, 9, &[0]);
        wire.send(&ack(PUBREC, first.id));
        wire.expect(&ack(PUBREL, first.id));
        wire.quiet();
        wire.send(&ack(PUBCOMP, first.id));
        assert_eq!(wire.message("t", [1]).qos, 2);
    });
}

/// Without a Receive Maximum it is 65,535: the server may send ahead, and does.
#[test]
fn mqtt_4_9_0_1_the_quota_does_not_begin_at_zero() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.subscriber(version, "t", 1);
            let mut publisher = site.connected(version, "publisher");
            for number in 0..10_u8 {
                publisher.publishes(&Publish::of_qos(1, 9, "t", [number]));
            }
            for number in 0..10_u8 {
                assert_eq!(wire.publish().payload, [number]);
            }
        }
    });
}
