//! Section 4.8.2: shared subscriptions.

use crate::raw::{
    Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, SESSION_EXPIRY, SUBACK, UNSUBACK, V3, V5,
    ack, ack_with, four, subscribe, unsubscribe,
};
use crate::wire::{Site, Wire, on_each_transport};

/// A member of the group whose session lasts for this many seconds.
fn member(site: &Site, name: &str, expiry: u32, qos: u8) -> Wire {
    let connect = Connect {
        properties: vec![four(SESSION_EXPIRY, expiry)],
        ..Connect::lasting(V5, name)
    };
    let mut wire = site.connect(&connect).0;
    wire.subscribe("$share/group/t", qos);
    wire
}

/// Publishes until it is the turn of the `chosen` member. The others get their messages and
/// acknowledge them. Returns the message of the chosen one, which it has not acknowledged.
fn until_chosen(publisher: &mut Wire, qos: u8, chosen: &mut Wire, others: &mut [Wire]) -> Publish {
    for number in 0..10_u8 {
        publisher.publishes(&Publish::of_qos(qos, 9, "t", [number]));
        if let Some(packet) = chosen.waiting() {
            return Publish::read(V5, &packet);
        }
        let mut served = 0;
        for other in &mut *others {
            if let Some(packet) = other.waiting() {
                served += 1;
                let publish = Publish::read(V5, &packet);
                if publish.qos == 1 {
                    other.send(&ack(PUBACK, publish.id));
                } else {
                    other.send(&ack(PUBREC, publish.id));
                    other.expect(&ack(PUBREL, publish.id));
                    other.send(&ack(PUBCOMP, publish.id));
                }
            }
        }
        assert_eq!(served, 1, "one member gets it");
    }
    panic!("ten messages, and not one for this member");
}

// [MQTT-4.8.2-2]: a filter that begins with "$share/" is a shared subscription, or invalid.
#[test]
fn mqtt_4_8_2_1_a_share_name_and_a_filter() {
    on_each_transport(|site| {
        for bad in [
            "$share/",
            "$share//t",
            "$share/g",
            "$share/g/",
            "$share/+/t",
            "$share/g+/t",
            "$share/#/t",
            "$share/#",
            "$share/g#/t",
            "$share/g/a#",
            "$share/g/#/a",
        ] {
            let mut wire = site.connected(V5, "bad");
            wire.send(&subscribe(V5, 9, &[(bad, 0)]));
            wire.expect_disconnect(0x81);
            let mut wire = site.connected(V5, "bad");
            wire.send(&unsubscribe(V5, 9, &[bad]));
            wire.expect_disconnect(0x81);
        }
        let mut publisher = site.connected(V5, "publisher");
        for (filter, topic) in [
            ("$share/g/t", "t"),
            ("$share/a name/t", "t"),
            ("$share/\u{e9}/+/b", "a/b"),
            ("$share/g/#", "a/b/c"),
            ("$share/g//a", "/a"),
        ] {
            let mut wire = site.subscriber(V5, filter, 0);
            publisher.publishes(&Publish::new(topic, filter));
            wire.message(topic, filter);
            // The client is not subscribed to the filter without its first levels.
            wire.send(&unsubscribe(V5, 9, &[topic]));
            wire.expect_answer(UNSUBACK, 9, &[0x11]);
            wire.send(&unsubscribe(V5, 9, &[filter]));
            wire.expect_answer(UNSUBACK, 9, &[0]);
            publisher.publishes(&Publish::new(topic, filter));
            wire.quiet();
        }
    });
}

// Version 3.1.1 knows no share names. A malformed one gets a failure code, and nothing else ends.
// Well-formed ones work as in version 5.
#[test]
fn a_3_1_1_client_is_told_of_a_malformed_share_and_stays() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        let mut wire = site.connected(V3, "old");
        for bad in [
            "$share",
            "$share/",
            "$share/x",
            "$share//t",
            "$share/g/",
            "$share/+/t",
            "$share/#",
        ] {
            wire.send(&subscribe(V3, 9, &[(bad, 1), ("plain", 1)]));
            wire.expect_answer(SUBACK, 9, &[0x80, 1]);
            wire.send(&unsubscribe(V3, 9, &[bad]));
            wire.expect(&[0xB0, 2, 0, 9]);
        }
        // A wildcard in the wrong place is malformed in both versions [MQTT-4.7.1-2].
        let mut other = site.connected(V3, "other");
        other.send(&subscribe(V3, 9, &[("$share/g+/t", 1)]));
        other.expect_close();
        wire.send(&subscribe(V3, 9, &[("$share/g/t", 0)]));
        wire.expect_answer(SUBACK, 9, &[0]);
        let mut second = site.subscriber(V5, "$share/g/t", 0);
        for _ in 0..2 {
            publisher.publishes(&Publish::new("t", "shared"));
        }
        for wire in [&mut wire, &mut second] {
            wire.message("t", "shared");
            wire.quiet();
        }
    });
}

/// One member gets each message, with the `QoS` that was granted to it. Every other group, and
/// every subscriber without a group, gets it too.
#[test]
fn mqtt_4_8_2_3_each_member_has_its_own_qos() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        let mut members: Vec<Wire> = (0..3)
            .map(|qos| member(site, &format!("member {qos}"), 0, qos))
            .collect();
        let mut alone = site.subscriber(V5, "t", 2);
        let mut other = site.subscriber(V5, "$share/other/t", 1);
        let mut counts = [0; 3];
        for number in 0..12_u8 {
            publisher.publishes(&Publish::of_qos(2, 9, "t", [number]));
            assert_eq!(alone.message("t", [number]).qos, 2);
            assert_eq!(other.message("t", [number]).qos, 1);
            let mut served = 0;
            for (granted, wire) in (0..3).zip(&mut members) {
                let Some(packet) = wire.waiting() else {
                    continue;
                };
                let publish = Publish::read(V5, &packet);
                assert_eq!((publish.qos, publish.payload), (granted, vec![number]));
                match granted {
                    0 => {}
                    1 => wire.send(&ack(PUBACK, publish.id)),
                    _ => {
                        wire.send(&ack(PUBREC, publish.id));
                        wire.expect(&ack(PUBREL, publish.id));
                        wire.send(&ack(PUBCOMP, publish.id));
                    }
                }
                served += 1;
                counts[usize::from(granted)] += 1;
            }
            assert_eq!(served, 1);
        }
        // Members take turns: each has had as many as the others.
        assert_eq!(counts, [4; 3]);
    });
}

/// Section 4.8.2 says so for `QoS` 1, also if the session goes on. The other member gets the
/// messages in their order, as new ones. The first member gets none of them when it comes back.
/// `[MQTT-3.3.1-3]`
#[test]
fn what_a_member_has_not_acknowledged_when_it_goes_away_goes_to_another_in_order() {
    on_each_transport(|site| {
        for expiry in [0, 3_600] {
            let mut publisher = site.connected(V5, "publisher");
            let mut leaving = member(site, "leaving", expiry, 1);
            let mut staying = member(site, "staying", 0, 1);
            for number in 0..8_u8 {
                publisher.publishes(&Publish::of_qos(1, 9, "t", [number]));
            }
            let [lost, kept] = [&mut leaving, &mut staying].map(|wire| {
                let got = [(); 4].map(|()| wire.publish().payload[0]);
                wire.quiet();
                got
            });
            assert!(lost.is_sorted() && kept.is_sorted(), "{lost:?} {kept:?}");
            let mut all = [lost, kept].concat();
            all.sort_unstable();
            assert_eq!(all, (0..8).collect::<Vec<u8>>());
            leaving.cut();
            for number in lost {
                let publish = staying.message("t", [number]);
                assert_eq!((publish.qos, publish.dup), (1, false));
            }
            staying.quiet();
            let (mut back, answer) = site.connect(&Connect::lasting(V5, "leaving"));
            assert_eq!(answer.id, u16::from(expiry > 0));
            back.quiet();
            site.connected(V5, "leaving").leave();
            staying.quiet();
        }
    });
}

/// In both halves of the exchange.
#[test]
fn mqtt_4_8_2_4_qos_2_is_completed_with_the_member_that_it_was_begun_with() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        let mut chosen = member(site, "chosen", 3_600, 2);
        let mut others = [member(site, "other", 3_600, 2)];
        let first = until_chosen(&mut publisher, 2, &mut chosen, &mut others);
        chosen.cut();
        others[0].quiet();
        let (mut chosen, connack) = site.connect(&Connect::lasting(V5, "chosen"));
        assert_eq!(connack.id, 1);
        let again = Publish {
            dup: true,
            ..first.clone()
        };
        assert_eq!(chosen.publish(), again);
        chosen.send(&ack(PUBREC, first.id));
        chosen.expect(&ack(PUBREL, first.id));
        chosen.cut();
        others[0].quiet();
        let (mut chosen, _) = site.connect(&Connect::lasting(V5, "chosen"));
        chosen.expect(&ack(PUBREL, first.id));
        chosen.send(&ack(PUBCOMP, first.id));
        chosen.quiet();
        others[0].quiet();
    });
}

/// The session ends with the connection, or a clean start ends it.
#[test]
fn mqtt_4_8_2_5_qos_2_of_a_session_that_ends_is_for_nobody_else() {
    on_each_transport(|site| {
        for expiry in [0, 3_600] {
            let mut publisher = site.connected(V5, "publisher");
            let mut chosen = member(site, "chosen", expiry, 2);
            let mut others = [member(site, "other", 0, 2)];
            until_chosen(&mut publisher, 2, &mut chosen, &mut others);
            chosen.cut();
            let (mut chosen, _) = site.connect(&Connect::new(V5, "chosen"));
            chosen.quiet();
            others[0].quiet();
            // The other member is connected and reads.
            publisher.publishes(&Publish::of_qos(2, 9, "t", "next"));
            others[0].message("t", "next");
        }
    });
}

/// Neither another member gets it, nor the one that refused it again.
#[test]
fn mqtt_4_8_2_6_what_a_member_refuses_is_for_nobody_else() {
    on_each_transport(|site| {
        for (qos, refusal) in [(1, PUBACK), (2, PUBREC)] {
            let mut publisher = site.connected(V5, "publisher");
            let mut chosen = member(site, "chosen", 3_600, 2);
            let mut others = [member(site, "other", 0, 2)];
            let publish = until_chosen(&mut publisher, qos, &mut chosen, &mut others);
            chosen.send(&ack_with(refusal, publish.id, 0x83));
            chosen.quiet();
            others[0].quiet();
            chosen.cut();
            others[0].quiet();
            let (mut chosen, _) = site.connect(&Connect::lasting(V5, "chosen"));
            chosen.quiet();
            chosen.send(&[0xE0, 0]);
            chosen.expect_close();
        }
    });
}
