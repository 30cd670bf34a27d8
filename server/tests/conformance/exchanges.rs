//! Sections 3.5 to 3.7, 4.3 and 4.4: the exchanges of `QoS` 1 and 2, and what the server sends
//! again.

use crate::clock::seconds;
use crate::raw::{
    Connect, MESSAGE_EXPIRY, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, REASON_STRING,
    USER_PROPERTY, V3, V5, VERSIONS, Version, ack, ack_with, four, packet,
};
use crate::wire::{Site, Wire, on_each_transport};

/// A CONNECT for a session that lasts, one for each version.
fn connect(version: Version) -> Connect {
    Connect::lasting(version, &format!("lasting {version:?}"))
}

/// That client, connected and subscribed to "t" with `QoS` 2.
fn lasting(site: &Site, version: Version) -> Wire {
    let mut wire = site.connect(&connect(version)).0;
    wire.subscribe("t", 2);
    wire
}

/// The connection ends as if the network had failed, and the client comes back to its session.
fn again(site: &Site, wire: Wire) -> Wire {
    let version = wire.version;
    wire.cut();
    let (wire, connack) = site.connect(&connect(version));
    assert_eq!(connack.id, 1, "Session Present");
    wire
}

// [MQTT-2.2.1-2] [MQTT-3.3.1-2] [MQTT-3.3.1-3]
#[test]
fn mqtt_4_3_1_1_qos_0_has_no_identifier_and_no_dup() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = site.subscriber(version, "t", 2);
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::new("t", "x"));
            subscriber.expect(&Publish::new("t", "x").bytes(version));
            // Messages of a higher QoS, to a subscription with QoS 0.
            subscriber.subscribe("u", 0);
            let sent = Publish {
                dup: true,
                ..Publish::of_qos(1, 7, "u", "y")
            };
            publisher.publishes(&sent);
            subscriber.expect(&Publish::new("u", "y").bytes(version));
        }
    });
}

// [MQTT-2.2.1-4] [MQTT-2.2.1-5] [MQTT-3.3.1-3] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.2-1]
#[test]
fn mqtt_4_3_2_2_a_new_message_has_an_unused_identifier_and_no_dup() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = site.subscriber(version, "t", 2);
            let mut publisher = site.connected(version, "publisher");
            let mut used = vec![0];
            for number in 0..20 {
                let qos = 1 + number % 2;
                let dup = number % 3 == 0;
                let sent = Publish {
                    dup,
                    ..Publish::of_qos(qos, 9, "t", [number])
                };
                publisher.publishes(&sent);
                let received = subscriber.publish();
                assert_eq!((received.qos, received.dup), (qos, false));
                assert_eq!(received.payload, [number]);
                assert!(!used.contains(&received.id), "{used:?} {received:?}");
                used.push(received.id);
            }
        }
    });
}

// [MQTT-2.2.1-5] [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-3.1.2-5 of 3.1.1] [MQTT-4.4.0-1 of 3.1.1]
#[test]
fn mqtt_4_3_2_3_qos_1_is_sent_again_until_its_puback() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = lasting(site, version);
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::of_qos(1, 9, "t", "x"));
            let first = subscriber.publish();
            assert_eq!((first.qos, first.dup), (1, false));
            // An acknowledgement of another message does not count.
            subscriber.send(&ack(PUBACK, first.id.wrapping_add(1)));
            subscriber.quiet();
            let again_with_dup = Publish {
                dup: true,
                ..first.clone()
            };
            for _ in 0..2 {
                subscriber = again(site, subscriber);
                assert_eq!(subscriber.publish(), again_with_dup);
                subscriber.quiet();
            }
            subscriber.send(&ack(PUBACK, first.id));
            subscriber.quiet();
            again(site, subscriber).quiet();
        }
    });
}

// [MQTT-2.2.1-5] [MQTT-3.3.4-1]
#[test]
fn mqtt_4_3_2_4_qos_1_is_answered_with_its_identifier() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = site.subscriber(version, "t", 1);
            let mut publisher = site.connected(version, "publisher");
            for id in [1, 0x1234, 0xFFFF] {
                publisher.send(&Publish::of_qos(1, id, "t", "x").bytes(version));
                publisher.expect(&ack(PUBACK, id));
                subscriber.message("t", "x");
            }
        }
    });
}

#[test]
fn mqtt_4_3_2_5_after_puback_the_same_identifier_is_a_new_message() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = site.subscriber(version, "t", 1);
            let mut publisher = site.connected(version, "publisher");
            for dup in [false, true, true] {
                let publish = Publish {
                    dup,
                    ..Publish::of_qos(1, 9, "t", "x")
                };
                publisher.publishes(&publish);
                subscriber.message("t", "x");
            }
        }
    });
}

// [MQTT-2.2.1-5] [MQTT-3.3.1-1] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1]
#[test]
fn mqtt_4_3_3_3_each_half_of_qos_2_is_sent_again_until_its_answer() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = lasting(site, version);
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::of_qos(2, 9, "t", "x"));
            let first = subscriber.publish();
            assert_eq!((first.qos, first.dup), (2, false));
            subscriber = again(site, subscriber);
            assert_eq!(
                subscriber.publish(),
                Publish {
                    dup: true,
                    ..first.clone()
                }
            );

            subscriber.send(&ack(PUBREC, first.id));
            subscriber.expect(&ack(PUBREL, first.id));
            // The server repeats PUBREL, and never PUBLISH.
            for _ in 0..2 {
                subscriber = again(site, subscriber);
                subscriber.expect(&ack(PUBREL, first.id));
                subscriber.quiet();
            }
            // A late PUBREC changes nothing.
            subscriber.send(&ack(PUBREC, first.id));
            subscriber.expect(&ack(PUBREL, first.id));
            subscriber.send(&ack(PUBCOMP, first.id));
            subscriber.quiet();
            again(site, subscriber).quiet();
        }
    });
}

// [MQTT-4.3.3-4]
#[test]
fn mqtt_4_4_0_2_a_message_that_the_client_refuses_is_not_sent_again() {
    on_each_transport(|site| {
        for (qos, refusal) in [(1, PUBACK), (2, PUBREC)] {
            for code in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] {
                let mut subscriber = lasting(site, V5);
                let mut publisher = site.connected(V5, "publisher");
                publisher.publishes(&Publish::of_qos(qos, 9, "t", "x"));
                let received = subscriber.publish();
                subscriber.send(&ack_with(refusal, received.id, code));
                subscriber.quiet();
                again(site, subscriber).quiet();
            }
        }
    });
}

/// The server does not repeat a message on the same connection, though nobody acknowledges it.
#[test]
fn mqtt_4_4_0_1_nothing_is_sent_again_while_the_connection_lasts() {
    on_each_transport(|site| {
        let mut subscriber = lasting(site, V5);
        let mut publisher = site.connected(V5, "publisher");
        publisher.publishes(&Publish::of_qos(1, 9, "t", "1"));
        publisher.publishes(&Publish::of_qos(2, 9, "t", "2"));
        publisher.publishes(&Publish::of_qos(2, 9, "t", "3"));
        let received = [(); 3].map(|()| subscriber.publish());
        subscriber.send(&ack(PUBREC, received[2].id));
        subscriber.expect(&ack(PUBREL, received[2].id));
        seconds(site, 2);
        subscriber.quiet();
    });
}

/// Everything unfinished comes again in its order, with its identifiers. Nothing finished comes.
#[test]
fn mqtt_4_4_0_1_what_is_unfinished_comes_again_in_its_order() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = lasting(site, version);
            let mut publisher = site.connected(version, "publisher");
            for number in 0..6 {
                publisher.publishes(&Publish::of_qos(1 + number % 2, 9, "t", [number]));
            }
            let received = [(); 6].map(|()| subscriber.publish());
            subscriber.send(&ack(PUBACK, received[2].id));
            subscriber.send(&ack(PUBREC, received[3].id));
            subscriber.expect(&ack(PUBREL, received[3].id));
            // Published while the client is away: it comes last, without DUP.
            let version = subscriber.version;
            subscriber.cut();
            publisher.publishes(&Publish::of_qos(1, 9, "t", [6]));
            let (mut subscriber, _) = site.connect(&connect(version));
            for number in [0, 1] {
                let expected = Publish {
                    dup: true,
                    ..received[number].clone()
                };
                assert_eq!(subscriber.publish(), expected);
            }
            subscriber.expect(&ack(PUBREL, received[3].id));
            for number in [4, 5] {
                let expected = Publish {
                    dup: true,
                    ..received[number].clone()
                };
                assert_eq!(subscriber.publish(), expected);
            }
            let new = subscriber.publish();
            assert_eq!((new.dup, &new.payload[..]), (false, &[6][..]));
            subscriber.quiet();
        }
    });
}

// [MQTT-4.3.3-13]
#[test]
fn mqtt_4_3_3_7_a_message_that_was_sent_does_not_expire() {
    on_each_transport(|site| {
        let mut subscriber = lasting(site, V5);
        let mut publisher = site.connected(V5, "publisher");
        let expiring = Publish::of_qos(2, 9, "t", "x").with(&[four(MESSAGE_EXPIRY, 1)]);
        publisher.publishes(&expiring);
        let first = subscriber.publish();
        seconds(site, 2);
        subscriber = again(site, subscriber);
        let second = subscriber.publish();
        assert_eq!((second.id, second.dup), (first.id, true));
        subscriber.send(&ack(PUBREC, first.id));
        subscriber.expect(&ack(PUBREL, first.id));
        subscriber.send(&ack(PUBCOMP, first.id));
        subscriber.quiet();
    });
}

/// The server as the receiver.
#[test]
fn mqtt_4_3_3_13_the_exchange_goes_on_when_the_message_has_expired() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        let expiring = Publish::of_qos(2, 9, "t", "x").with(&[four(MESSAGE_EXPIRY, 1)]);
        publisher.send(&expiring.bytes(V5));
        let answer = publisher.answer();
        assert_eq!((answer.first, answer.id), (PUBREC, 9));
        seconds(site, 2);
        publisher.send(&ack(PUBREL, 9));
        publisher.expect(&ack(PUBCOMP, 9));
    });
}

// [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12]
#[test]
fn mqtt_4_3_3_8_qos_2_is_answered_each_time_and_passed_on_once() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut subscriber = site.subscriber(version, "t", 2);
            let (mut publisher, _) = site.connect(&Connect::lasting(version, "publisher"));
            let publish = Publish::of_qos(2, 0x1234, "t", "x").bytes(version);
            let dup = Publish {
                dup: true,
                ..Publish::of_qos(2, 0x1234, "t", "x")
            }
            .bytes(version);
            publisher.send(&publish);
            publisher.expect(&ack(PUBREC, 0x1234));
            publisher.send(&dup);
            publisher.expect(&ack(PUBREC, 0x1234));
            subscriber.message("t", "x");
            subscriber.quiet();

            // On the next connection too.
            publisher.cut();
            let (mut publisher, _) = site.connect(&Connect::lasting(version, "publisher"));
            publisher.send(&dup);
            publisher.expect(&ack(PUBREC, 0x1234));
            subscriber.quiet();
            publisher.send(&ack(PUBREL, 0x1234));
            publisher.expect(&ack(PUBCOMP, 0x1234));
            subscriber.quiet();

            // After PUBCOMP it is a new message, whatever DUP says.
            publisher.send(&dup);
            publisher.expect(&ack(PUBREC, 0x1234));
            subscriber.message("t", "x");
            publisher.send(&ack(PUBREL, 0x1234));
            publisher.expect(&ack(PUBCOMP, 0x1234));
        }
    });
}

/// Topics that begin with "$" belong to the server, so it refuses such a message.
#[test]
fn mqtt_4_3_3_9_after_a_refusal_the_same_identifier_is_a_new_message() {
    on_each_transport(|site| {
        let mut subscriber = site.subscriber(V5, "t", 2);
        let mut publisher = site.connected(V5, "publisher");
        publisher.send(&Publish::of_qos(2, 9, "$own", "x").bytes(V5));
        publisher.expect_answer(PUBREC, 9, &[0x90]);
        publisher.send(&Publish::of_qos(2, 9, "t", "y").bytes(V5));
        publisher.expect_answer(PUBREC, 9, &[0]);
        subscriber.message("t", "y");
        publisher.send(&ack(PUBREL, 9));
        publisher.expect(&ack(PUBCOMP, 9));
    });
}

// [MQTT-2.1.3-1] [MQTT-4.13.1-1] [MQTT-2.2.2-2 of 3.1.1] [MQTT-4.8.0-1 of 3.1.1]
#[test]
fn mqtt_3_6_1_1_pubrel_with_other_flags_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for flags in (0..16).filter(|flags| *flags != 2) {
                let mut wire = site.connected(version, "flags");
                wire.send(&packet(0x60 | flags, &[0, 1]));
                wire.expect_disconnect(0x81);
            }
        }
    });
}

// [MQTT-3.5.2-1] [MQTT-3.6.2-1]: version 5 has a code for an unknown identifier, 3.1.1 has none.
#[test]
fn mqtt_3_7_2_1_unknown_identifiers_have_the_code_of_the_standard() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "unknown");
            let unknown = match version {
                V3 => 0,
                V5 => 0x92,
            };
            wire.send(&ack(PUBREL, 9));
            wire.expect_answer(PUBCOMP, 9, &[unknown]);
            wire.send(&ack(PUBREC, 9));
            wire.expect_answer(PUBREL, 9, &[unknown]);
            // These need no answer.
            wire.send(&ack(PUBACK, 9));
            wire.send(&ack(PUBCOMP, 9));
            wire.quiet();
            wire.send(&Publish::of_qos(2, 9, "nobody", "").bytes(version));
            let none = match version {
                V3 => 0,
                V5 => 0x10,
            };
            wire.expect_answer(PUBREC, 9, &[none]);
        }
    });
}

/// Codes that belong to another packet or to none. [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1]
/// [MQTT-3.7.2-1]
#[test]
fn mqtt_4_13_1_1_codes_that_do_not_belong_end_the_connection() {
    on_each_transport(|site| {
        for (first, code) in [
            (PUBACK, 0x92),
            (PUBACK, 0x01),
            (PUBREC, 0x92),
            (PUBREC, 0x18),
            (PUBREL, 0x10),
            (PUBREL, 0x80),
            (PUBCOMP, 0x10),
            (PUBCOMP, 0x87),
        ] {
            let mut wire = site.connected(V5, "codes");
            wire.send(&ack_with(first, 9, code));
            wire.expect_disconnect(0x82);
        }
    });
}

/// A client that accepts nothing longer than its CONNACK gets complete answers, without reason
/// strings. [MQTT-3.4.2-2] [MQTT-3.1.2-24]
#[test]
fn mqtt_3_5_2_2_no_words_where_they_would_be_too_large() {
    on_each_transport(|site| {
        let mut roomy = site.connected(V5, "roomy");
        let mut small = crate::ending::with_least_packet_size(site, "small");
        for (qos, first) in [(1, PUBACK), (2, PUBREC)] {
            roomy.send(&Publish::of_qos(qos, 9, "$own", "x").bytes(V5));
            let answer = roomy.expect_answer(first, 9, &[0x90]);
            assert_eq!(answer.property(REASON_STRING).len(), 1, "there are words");
            small.send(&Publish::of_qos(qos, 9, "$own", "x").bytes(V5));
            let answer = small.expect_answer(first, 9, &[0x90]);
            assert_eq!(answer.property(REASON_STRING), [] as [Vec<u8>; 0]);
            assert_eq!(answer.property(USER_PROPERTY), [] as [Vec<u8>; 0]);
        }
        small.send(&ack(PUBREC, 9));
        assert!(
            small
                .expect_answer(PUBREL, 9, &[0x92])
                .properties
                .is_empty()
        );
        small.send(&ack(PUBREL, 9));
        assert!(
            small
                .expect_answer(PUBCOMP, 9, &[0x92])
                .properties
                .is_empty()
        );
    });
}

/// From PUBLISH to PUBCOMP the identifier belongs to the message. The server refuses another use of
/// it, and the exchange goes on. 3.1.1 has no code for it.
#[test]
fn mqtt_2_2_1_3_an_identifier_in_use_is_refused() {
    on_each_transport(|site| {
        let mut subscriber = site.subscriber(V5, "t", 2);
        let mut wire = site.connected(V5, "reusing");
        wire.send(&Publish::of_qos(2, 9, "t", "first").bytes(V5));
        wire.expect_answer(PUBREC, 9, &[0]);
        subscriber.message("t", "first");
        wire.send(&Publish::of_qos(1, 9, "t", "second").bytes(V5));
        wire.expect_answer(PUBACK, 9, &[0x91]);
        subscriber.quiet();
        wire.send(&ack(PUBREL, 9));
        wire.expect(&ack(PUBCOMP, 9));
        wire.send(&Publish::of_qos(1, 9, "t", "third").bytes(V5));
        wire.expect_answer(PUBACK, 9, &[0]);
        subscriber.message("t", "third");
    });
}
