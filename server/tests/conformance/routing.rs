//! Section 3.3.4: which subscriptions the server sends a message for.

use crate::raw::{Publish, SUBSCRIPTION_ID, V5, VERSIONS, subscription_id};
use crate::wire::on_each_transport;

/// One copy, with the highest `QoS`, but no higher than the publisher's. `[MQTT-3.8.4-8]`
#[test]
fn mqtt_3_3_4_2_overlapping_subscriptions_give_the_highest_qos() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "subscriber");
            wire.subscribe("a/b", 0);
            wire.subscribe("a/+", 2);
            wire.subscribe("a/#", 1);
            let mut publisher = site.connected(version, "publisher");
            for qos in [2, 1, 0] {
                publisher.publishes(&Publish::of_qos(qos, 1, "a/b", "x"));
                assert_eq!(wire.message("a/b", "x").qos, qos);
                wire.quiet();
            }
            publisher.publishes(&Publish::of_qos(2, 1, "a", "x"));
            assert_eq!(wire.message("a", "x").qos, 1, "a/# alone");
        }
    });
}

/// `[MQTT-3.3.4-3]`: the identifiers of all subscriptions that match, live and retained. A
/// subscription without an identifier adds none.
#[test]
fn mqtt_3_3_4_4_one_copy_carries_all_subscription_identifiers() {
    on_each_transport(|site| {
        let mut wire = site.connected(V5, "subscriber");
        for (id, filter) in [(1, "a/b"), (128, "a/+"), (268_435_455, "a/#"), (9, "b")] {
            wire.subscribe_with(&[subscription_id(id)], filter, 1);
        }
        wire.subscribe("#", 0);
        let mut publisher = site.connected(V5, "publisher");
        for (topic, ids) in [
            ("a/b", &[1, 128, 268_435_455][..]),
            ("a/c", &[128, 268_435_455]),
            ("a", &[268_435_455]),
            ("c", &[]),
        ] {
            publisher.publishes(&Publish::of_qos(1, 1, topic, "x"));
            let mut got = wire.message(topic, "x").property(SUBSCRIPTION_ID);
            let mut expected: Vec<Vec<u8>> = ids.iter().map(|id| subscription_id(*id)).collect();
            got.sort();
            expected.sort();
            assert_eq!(got, expected);
            wire.quiet();
        }
        publisher.publishes(&Publish::retained("kept", "x"));
        let mut later = site.connected(V5, "later");
        later.subscribe_with(&[subscription_id(5)], "kept", 0);
        let got = later.message("kept", "x").property(SUBSCRIPTION_ID);
        assert_eq!(got, [subscription_id(5)]);
        // Only the client's own identifier, and the latest one.
        later.subscribe_with(&[subscription_id(6)], "kept", 0x20);
        publisher.publishes(&Publish::new("kept", "y"));
        let got = later.message("kept", "y").property(SUBSCRIPTION_ID);
        assert_eq!(got, [subscription_id(6)]);
    });
}
