//! Section 3.1: who a client is, and which session it gets.

use crate::raw::{CONNACK, Connect, Publish, V3, V5, VERSIONS, four};
use crate::wire::on_each_transport;

#[test]
fn mqtt_3_1_3_5_ordinary_client_ids_are_taken() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for id in [
                "0",
                "z",
                "0123456789abcdefghijklm",
                "nopqrstuvwxyzABCDEFGHIJ",
                "KLMNOPQRSTUVWXYZ0123456",
            ] {
                site.connected(version, id).quiet();
            }
        }
    });
}

/// `[MQTT-3.1.3-7]` `[MQTT-3.2.2-16]`: the identifier is unique, is sent in CONNACK, and is in
/// force.
#[test]
fn mqtt_3_1_3_6_an_empty_client_id_gets_one() {
    on_each_transport(|site| {
        let empty = Connect {
            properties: vec![four(crate::raw::SESSION_EXPIRY, 3600)],
            ..Connect::new(V5, "")
        };
        let (mut wire, answer) = site.connect(&empty);
        let (_other, other) = site.connect(&empty);
        let [first, second] = [answer, other].map(|answer| {
            let assigned = answer.property(crate::raw::ASSIGNED_CLIENT_ID);
            assert_eq!(assigned.len(), 1, "{answer:02x?}");
            String::from_utf8(assigned[0][3..].to_vec()).unwrap()
        });
        assert_ne!(first, second);
        wire.subscribe("kept", 1);
        wire.leave();
        // The assigned identifier finds the session again, and CONNACK does not repeat it.
        let (mut wire, answer) = site.connect(&Connect::lasting(V5, &first));
        assert_eq!(answer.id, 1, "Session Present");
        assert!(answer.property(crate::raw::ASSIGNED_CLIENT_ID).is_empty());
        site.connected(V5, "publisher")
            .publishes(&Publish::new("kept", "x"));
        wire.message("kept", "x");
    });
}

/// 3.1.1 cannot tell the client, but each is a separate client with its own session.
#[test]
fn mqtt_3_1_3_6_of_3_1_1_clients_without_an_id_live_side_by_side() {
    on_each_transport(|site| {
        let [mut first, mut second] = ["first", "second"].map(|topic| {
            let mut wire = site.connected(V3, "");
            wire.subscribe(topic, 1);
            wire
        });
        // The second client has neither taken over from the first nor got its subscription.
        first.quiet();
        let mut publisher = site.connected(V3, "");
        for topic in ["first", "second"] {
            publisher.publishes(&Publish::of_qos(1, 9, topic, topic));
        }
        first.message("first", "first");
        second.message("second", "second");
        for wire in [&mut first, &mut second, &mut publisher] {
            wire.quiet();
        }
    });
}

/// `[MQTT-3.1.3-9 of 3.1.1]` `[MQTT-3.2.2-4 of 3.1.1]` `[MQTT-3.2.2-5 of 3.1.1]`
#[test]
fn mqtt_3_1_3_8_of_3_1_1_a_lasting_session_needs_a_client_id() {
    on_each_transport(|site| {
        let mut wire = site.open();
        wire.send(&Connect::lasting(V3, "").bytes());
        wire.expect(&[CONNACK, 2, 0, 2]);
        wire.expect_close();
    });
}

#[test]
fn mqtt_3_1_3_2_the_client_id_names_the_session() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for id in ["one", "two"] {
                let (mut wire, answer) = site.connect(&Connect::lasting(version, id));
                assert_eq!(answer.id, 0, "no session of that name");
                wire.subscribe(&format!("to/{id}"), 1);
                wire.leave();
            }
            let (mut one, answer) = site.connect(&Connect::lasting(version, "one"));
            assert_eq!(answer.id, 1);
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::of_qos(1, 1, "to/two", "for two"));
            publisher.publishes(&Publish::of_qos(1, 2, "to/one", "for one"));
            one.message("to/one", "for one");
            // Upper case makes another identifier.
            assert_eq!(site.connect(&Connect::lasting(version, "ONE")).1.id, 0);
            // The next version must find none of these sessions.
            for id in ["one", "two", "ONE"] {
                site.connected(version, id).leave();
            }
        }
    });
}

/// `[MQTT-3.1.2-5]` `[MQTT-3.1.2-6]` `[MQTT-3.1.2-23]` `[MQTT-3.1.4-4]` `[MQTT-3.2.2-2]`
/// `[MQTT-3.2.2-3]`; of 3.1.1 `[MQTT-3.1.2-4 of 3.1.1]` `[MQTT-3.1.2-5 of 3.1.1]`
/// `[MQTT-3.1.2-6 of 3.1.1]` `[MQTT-3.2.2-1 of 3.1.1]` `[MQTT-3.2.2-2 of 3.1.1]`
/// `[MQTT-3.2.2-3 of 3.1.1]`
#[test]
fn mqtt_3_1_2_4_a_session_goes_on_until_a_clean_start() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            let (mut wire, answer) = site.connect(&Connect::lasting(version, "session"));
            assert_eq!(answer.id, 0, "there was none");
            wire.subscribe("kept", 2);
            wire.leave();
            for qos in [1, 2] {
                publisher.publishes(&Publish::of_qos(qos, 1, "kept", [qos]));
            }
            let (mut wire, answer) = site.connect(&Connect::lasting(version, "session"));
            assert_eq!(answer.id, 1, "it goes on");
            for qos in [1, 2] {
                assert_eq!(wire.message("kept", [qos]).qos, qos);
            }
            wire.leave();
            publisher.publishes(&Publish::of_qos(1, 1, "kept", "for the old session"));
            let (mut wire, answer) = site.connect(&Connect::new(version, "session"));
            assert_eq!(answer.id, 0, "a clean start");
            publisher.publishes(&Publish::of_qos(1, 1, "kept", "for the old subscription"));
            wire.quiet();
            wire.subscribe("kept", 1);
            wire.leave();
            // The clean session ended with its connection, so there is none to resume.
            let (mut wire, answer) = site.connect(&Connect::lasting(version, "session"));
            assert_eq!(answer.id, 0, "it ended");
            publisher.publishes(&Publish::of_qos(1, 1, "kept", "x"));
            wire.quiet();
            wire.leave();
            site.connected(version, "session").leave();
        }
    });
}

/// `[MQTT-3.1.2-23]`: without an interval, or with 0, the session ends with the connection, clean
/// start or not.
#[test]
fn mqtt_3_1_2_23_a_session_without_expiry_interval_ends_with_its_connection() {
    on_each_transport(|site| {
        for all in [vec![], vec![four(crate::raw::SESSION_EXPIRY, 0)]] {
            let connect = Connect {
                properties: all,
                ..Connect::lasting(V5, "short")
            };
            for _ in 0..2 {
                let (mut wire, answer) = site.connect(&connect);
                assert_eq!(answer.id, 0);
                wire.subscribe("t", 1);
                wire.leave();
            }
        }
    });
}

/// `[MQTT-3.1.4-2 of 3.1.1]`: there without a DISCONNECT.
#[test]
fn mqtt_3_1_4_3_a_client_that_connects_again_takes_over() {
    on_each_transport(|site| {
        for (old, new) in [(V5, V5), (V5, V3), (V3, V5), (V3, V3)] {
            let (mut first, _) = site.connect(&Connect::lasting(old, "mine"));
            first.subscribe("t", 1);
            let (mut second, answer) = site.connect(&Connect::lasting(new, "mine"));
            assert_eq!(answer.id, 1, "the session goes on");
            first.expect_disconnect(0x8E);
            let mut publisher = site.connected(new, "publisher");
            publisher.publishes(&Publish::of_qos(1, 1, "t", "x"));
            second.message("t", "x");
            second.quiet();
            site.connected(new, "mine").leave();
        }
    });
}
