//! A crash right after an answer.

use std::time::Duration;

use mqtt::{Connect, Packet, QoS, ReasonCode, RetainHandling, Subscription};

use super::{V5, World, message, retained, subscribe, to};

fn world() -> World {
    World::with(|options| options.durable = true)
}

/// CONNACK must not say that the old session is gone before that is durable.
#[test]
fn mqtt_3_1_2_4_connack_waits_for_the_end_of_the_old_session() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("t", QoS::ExactlyOnce)]);
    world.cut(a);
    world.persists = false;
    let durable = world.journal().last().unwrap().0;
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, "a")));
    let answered = !world.received(conn).is_empty();
    world.crash_at(durable);
    world.persists = true;
    let (_, present) = world.lasting(V5, "a");
    assert!(
        !(answered && present),
        "CONNACK had said the session was discarded"
    );
}

/// The crash tears a group of records, and leaves only SUBSCRIBED of it. The client has got no
/// SUBACK, and subscribes again.
#[test]
fn mqtt_3_3_1_10_retained_messages_come_after_a_torn_subscribe() {
    let mut world = world();
    let publisher = world.client(V5, "p");
    world.send(publisher, &retained("t", "M", QoS::AtLeastOnce));
    let (a, _) = world.lasting(V5, "a");
    world.persists = false;
    let mut subscription: Subscription = to("t", QoS::AtLeastOnce);
    subscription.retain_handling = RetainHandling::SendIfNew;
    world.send(a, &subscribe(&[subscription.clone()], None));
    let at = world
        .records
        .iter()
        .find(|(_, it)| matches!(it, crate::durability::Record::Subscribed { .. }))
        .unwrap()
        .0;
    assert!(
        !world
            .received(a)
            .iter()
            .any(|it| matches!(it, Packet::SubAck(_)))
    );
    world.crash_at(at);
    world.persists = true;
    let (a, _) = world.lasting(V5, "a");
    world.send(a, &subscribe(&[subscription], None));
    assert_eq!(world.payloads(a), ["M"]);
}

/// An expired message in the queue is dropped to make room.
#[test]
fn an_expired_message_that_made_room_is_not_missed() {
    let mut world = World::with(|options| {
        options.durable = true;
        options.limits.queue_messages = 2;
        options.limits.queue_full = crate::QueueFull::DropOldest;
    });
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("t", QoS::AtLeastOnce)]);
    world.cut(a);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "1", QoS::AtLeastOnce);
    let mut expiring = message("t", "2", QoS::AtLeastOnce, 1);
    expiring.properties.message_expiry_interval = Some(5);
    world.send(publisher, &Packet::Publish(expiring));
    world.now = world.now + Duration::from_secs(10);
    world.checkpoint(1 << 20);
    for p in ["3", "4", "5", "6"] {
        world.publish(publisher, "t", p, QoS::AtLeastOnce);
    }
    world.crash();
    let (a, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(a), ["5", "6"]);
}

/// The wall clock steps back between two runs, as on a machine without a clock battery.
#[test]
fn a_clock_that_steps_back_keeps_no_session_longer() {
    let mut world = world();
    world.now = mqtt::Instant::from_millis(100_000_000);
    let (a, _) = world.lasting(V5, "a");
    world.cut(a);
    world.now = mqtt::Instant::from_millis(100_000);
    world.crash();
    // The clock has gone back: the session must end within an hour on the new clock.
    world.sleep(Duration::from_hours(1));
    assert_eq!(world.broker.metrics().sessions, 0);
}

/// A will is published when its session ends. The crash comes before or after that.
#[test]
fn a_will_that_went_with_its_session_is_not_published_again() {
    let mut world = world();
    let mut c = super::lasting(V5, "w");
    c.properties.session_expiry_interval = Some(10);
    c.will = Some(mqtt::Will {
        topic: super::topic("wills"),
        payload: "w".into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: mqtt::packet::WillProperties {
            will_delay_interval: Some(60),
            ..Default::default()
        },
    });
    let (s, _) = world.lasting(V5, "s");
    world.subscribe(s, &[to("wills", QoS::AtLeastOnce)]);
    let (_w, _) = world.connect(&c);
    world.crash();
    let (s, _) = world.lasting(V5, "s");
    world.sleep(Duration::from_secs(11));
    assert_eq!(world.payloads(s), ["w"]);
    world.crash();
    let (s, _) = world.lasting(V5, "s");
    assert_eq!(world.payloads(s), ["w"]);
}

/// A server that shuts down publishes no wills. The next run publishes them, once.
#[test]
fn mqtt_3_1_2_8_wills_of_sessions_that_last_are_published_by_the_next_run() {
    let mut world = world();
    let mut c = super::lasting(V5, "w");
    c.will = Some(mqtt::Will {
        topic: super::topic("wills"),
        payload: "w".into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: mqtt::packet::WillProperties::default(),
    });
    let (s, _) = world.lasting(V5, "s");
    world.subscribe(s, &[to("wills", QoS::AtLeastOnce)]);
    let (_w, _) = world.connect(&c);
    world.input(crate::Input::Shutdown);
    world.crash();
    let (s, _) = world.lasting(V5, "s");
    // [MQTT-3.1.2-8]: published, and only once.
    assert_eq!(world.payloads(s), ["w"]);
    world.crash();
    let (s, _) = world.lasting(V5, "s");
    let again = world.received(s);
    assert!(
        again
            .iter()
            .all(|it| matches!(it, Packet::Publish(it) if it.dup)),
        "{again:?}"
    );
}

/// A refusal for lack of memory needs no record, but is not sent before earlier answers that need
/// one.
#[test]
fn mqtt_4_6_0_2_a_refusal_does_not_overtake_answers_that_wait_for_the_store() {
    // [MQTT-4.6.0-2] [MQTT-4.6.0-3]
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::with(|options| {
            options.durable = true;
            options.limits.memory_bytes = 30_000;
        });
        let (absent, _) = world.lasting(V5, "absent");
        world.subscribe(absent, &[to("t", qos)]);
        world.cut(absent);
        let publisher = world.client(V5, "p");
        world.persists = false;
        let large = message("t", &"x".repeat(30_000), qos, 1);
        world.send(publisher, &Packet::Publish(large));
        world.send(publisher, &Packet::Publish(message("t", "x", qos, 2)));
        assert!(world.received(publisher).is_empty());
        world.persist();
        let acknowledged: Vec<_> = world
            .received(publisher)
            .iter()
            .map(|it| match it {
                Packet::PubAck(it) => (it.packet_id.get(), it.reason_code),
                Packet::PubRec(it) => (it.packet_id.get(), it.reason_code),
                other => panic!("{other:?}"),
            })
            .collect();
        let (success, refused) = (ReasonCode::Success, ReasonCode::QuotaExceeded);
        assert_eq!(acknowledged, [(1, success), (2, refused)]);
    }
}
