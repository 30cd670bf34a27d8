//! `beaconry-latest`: a client gets the newest message of each topic, at most every so often.

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt::{Packet, Publish, QoS, ReasonCode, Subscribe, Subscription, Unsubscribe, Utf8String};
use proptest::prelude::*;

use super::{V5, World, lasting, message, packet_id, retained, text, to};
use crate::{Conn, LATEST_PROPERTY, Limit, SKIPPED_PROPERTY};

const QOS: QoS = QoS::AtMostOnce;

/// SUBSCRIBE for the newest values of these filters.
fn newest(interval: &str, subscriptions: &[Subscription], identifier: Option<u32>) -> Packet {
    let text = |text| Utf8String::try_from(text).unwrap();
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(900),
        subscriptions: subscriptions.to_vec(),
        subscription_identifier: identifier.and_then(std::num::NonZeroU32::new),
        user_properties: vec![(text(LATEST_PROPERTY), text(interval))],
    })
}

/// A client that gets the newest values of `filter`.
fn follower(world: &mut World, interval: &str, filter: &str) -> Conn {
    let conn = world.client(V5, "s");
    follow(world, conn, interval, filter);
    conn
}

fn follow(world: &mut World, conn: Conn, interval: &str, filter: &str) {
    world.send(
        conn,
        &newest(interval, &[to(filter, QoS::ExactlyOnce)], None),
    );
    let Packet::SubAck(suback) = world.take(conn) else {
        panic!("no SUBACK");
    };
    assert_eq!(suback.reason_codes, [ReasonCode::Success], "QoS 0");
}

fn unsubscribe(world: &mut World, conn: Conn, filter: &str) {
    let unsubscribe = Unsubscribe {
        packet_id: packet_id(901),
        topic_filters: vec![to(filter, QOS).topic_filter],
        user_properties: Vec::new(),
    };
    world.send(conn, &Packet::Unsubscribe(unsubscribe));
}

/// How many messages it says it has replaced.
fn skipped(publish: &Publish) -> u64 {
    let mut properties = publish.properties.user_properties.iter();
    let property = properties.find(|(name, _)| **name == *SKIPPED_PROPERTY);
    property.map_or(0, |(_, value)| value.parse().unwrap())
}

/// Topic, payload and number of replaced messages of all messages that have come.
fn told(world: &mut World, conn: Conn) -> Vec<(String, String, u64)> {
    let told = |packet| match packet {
        Packet::Publish(publish) => {
            assert_eq!(publish.qos, QOS);
            let topic = publish.topic.as_ref().map_or("", |it| it.as_str());
            Some((topic.to_owned(), text(&publish), skipped(&publish)))
        }
        _ => None,
    };
    world.received(conn).into_iter().filter_map(told).collect()
}

fn line(topic: &str, payload: &str, skipped: u64) -> (String, String, u64) {
    (topic.to_owned(), payload.to_owned(), skipped)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn the_first_message_comes_at_once_and_later_ones_are_replaced_until_they_are_due() {
    let mut world = World::new();
    let conn = follower(&mut world, "200", "#");
    let publisher = world.client(V5, "p");
    world.publish(publisher, "a", "1", QoS::AtLeastOnce);
    assert_eq!(told(&mut world, conn), [line("a", "1", 0)]);
    for payload in ["2", "3", "4"] {
        world.publish(publisher, "a", payload, QOS);
        world.publish(publisher, "b", payload, QOS);
        world.sleep(millis(50));
    }
    assert_eq!(told(&mut world, conn), []);
    world.sleep(millis(49));
    assert_eq!(told(&mut world, conn), []);
    world.sleep(millis(1));
    assert_eq!(
        told(&mut world, conn),
        [line("a", "4", 2), line("b", "4", 2)]
    );
    world.publish(publisher, "b", "5", QOS);
    world.sleep(millis(199));
    assert_eq!(told(&mut world, conn), []);
    world.sleep(millis(1));
    assert_eq!(told(&mut world, conn), [line("b", "5", 0)]);
    // Nothing came for as long as that, so the next is not delayed.
    world.sleep(millis(200));
    assert_eq!(world.broker.metrics().latest_bytes, 0);
    world.publish(publisher, "a", "6", QOS);
    assert_eq!(told(&mut world, conn), [line("a", "6", 0)]);
    assert_eq!(world.broker.metrics().latest_replaced, 4);
}

#[test]
fn what_cannot_be_granted_is_refused_with_the_reason() {
    let mut world = World::new();
    let conn = world.client(V5, "s");
    let filters = [to("a", QOS), to("b/#", QOS)];
    for interval in ["soon", "9", "60001"] {
        world.send(conn, &newest(interval, &filters, None));
        let Packet::SubAck(suback) = world.take(conn) else {
            panic!("no SUBACK");
        };
        assert_eq!(
            suback.reason_codes,
            [ReasonCode::ImplementationSpecificError; 2]
        );
        let reason = suback.properties.reason_string.unwrap();
        assert!(reason.contains("from 10 to 60000"), "{reason:?}");
    }
    assert_eq!(world.broker.metrics().subscriptions, 0);
    let filters = [to("$share/g/a", QOS), to("a", QOS)];
    world.send(conn, &newest("100", &filters, None));
    let Packet::SubAck(suback) = world.take(conn) else {
        panic!("no SUBACK");
    };
    let refused = ReasonCode::ImplementationSpecificError;
    assert_eq!(suback.reason_codes, [refused, ReasonCode::Success]);
}

#[test]
fn an_ordinary_subscription_of_the_same_session_wins() {
    let mut world = World::new();
    let conn = world.client(V5, "s");
    world.send(conn, &newest("1000", &[to("d/#", QOS)], Some(7)));
    world.take(conn);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "d/1", "a", QOS);
    world.publish(publisher, "d/1", "b", QOS);
    world.publish(publisher, "d/2", "b", QOS);
    assert_eq!(told(&mut world, conn), [line("d/1", "a", 0)]);
    world.subscribe(conn, &[to("d/1", QoS::AtLeastOnce)]);
    world.received(conn);
    // The value that waits is older than this.
    world.publish(publisher, "d/1", "c", QoS::AtLeastOnce);
    let full = world.take_publish(conn);
    assert_eq!((full.qos, text(&full)), (QoS::AtLeastOnce, "c".to_owned()));
    // [MQTT-3.3.4-4]
    let identifiers = full.properties.subscription_identifiers;
    assert_eq!(
        identifiers.iter().map(|it| it.get()).collect::<Vec<_>>(),
        [7]
    );
    world.sleep(millis(1_000));
    assert_eq!(told(&mut world, conn), [line("d/2", "b", 0)]);
    unsubscribe(&mut world, conn, "d/1");
    world.received(conn);
    world.sleep(millis(1_000));
    for payload in ["d", "e"] {
        world.publish(publisher, "d/1", payload, QOS);
    }
    assert_eq!(told(&mut world, conn), [line("d/1", "d", 0)]);
    // Of several intervals the shortest counts.
    follow(&mut world, conn, "20", "d/1");
    for payload in ["f", "g"] {
        world.publish(publisher, "d/1", payload, QOS);
        world.sleep(millis(20));
    }
    assert_eq!(
        told(&mut world, conn),
        [line("d/1", "f", 1), line("d/1", "g", 0)]
    );
}

#[test]
fn retained_messages_come_too_and_never_after_newer_ones() {
    let mut world = World::with(|options| options.limits.latest_bytes = 2_000_000);
    let publisher = world.client(V5, "p");
    for number in 0..5_000 {
        let topic = format!("r/{number}");
        world.send(publisher, &retained(&topic, "old", QoS::AtLeastOnce));
    }
    let conn = follower(&mut world, "60000", "none");
    world.set_reads(conn, false);
    world.send(conn, &newest("100", &[to("r/#", QOS)], None));
    // The look-up has filled half of the room and is not over. What is retained, and what is not, both replace what is there.
    assert_eq!(world.broker.metrics().retained_lookups, 1);
    world.send(publisher, &retained("r/4999", "kept", QOS));
    for number in 4_000..5_000 {
        world.publish(publisher, &format!("r/{number}"), "new", QOS);
    }
    world.set_reads(conn, true);
    let mut newest = BTreeMap::new();
    let mut stood_for = 0;
    for _ in 0..10 {
        for (topic, payload, skipped) in told(&mut world, conn) {
            newest.insert(topic, payload);
            stood_for += 1 + skipped;
        }
        world.sleep(millis(100));
    }
    assert_eq!(world.broker.metrics().retained_lookups, 0);
    assert_eq!(newest.len(), 5_000);
    for (topic, payload) in newest {
        let number: u32 = topic[2..].parse().unwrap();
        assert_eq!(
            payload,
            if number < 4_000 { "old" } else { "new" },
            "{topic}"
        );
    }
    // Each retained message, the one that was replaced later, and the live ones.
    assert_eq!(stood_for, 5_000 + 1 + 1_000);
    assert_eq!(world.broker.metrics().latest_bytes, 0);
}

#[test]
fn nothing_is_left_of_what_nobody_wants_any_more() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    let waiting = |world: &mut World, conn| {
        for topic in ["a/1", "a/2", "b/1", "b/2"] {
            world.publish(publisher, topic, "x", QOS);
        }
        told(world, conn)
    };
    let (conn, _) = world.connect(&lasting(V5, "s"));
    follow(&mut world, conn, "60000", "a/#");
    follow(&mut world, conn, "60000", "+/1");
    assert_eq!(waiting(&mut world, conn), [line("a/1", "x", 0)]);
    let full = world.broker.metrics().latest_bytes;
    unsubscribe(&mut world, conn, "a/#");
    let less = world.broker.metrics().latest_bytes;
    assert!(0 < less && less < full, "{less} of {full}");
    world.sleep(millis(60_000));
    assert_eq!(told(&mut world, conn), [line("b/1", "x", 0)]);
    waiting(&mut world, conn);
    assert!(world.broker.metrics().latest_bytes > 0);
    world.cut(conn);
    assert_eq!(world.broker.metrics().latest_bytes, 0);
    // Nothing waits for a client that is away, but its subscription is still there.
    let other = world.client(V5, "other");
    assert_eq!(waiting(&mut world, other), []);
    let (conn, is_resumed) = world.lasting(V5, "s");
    assert!(is_resumed);
    world.sleep(millis(60_000));
    assert_eq!(told(&mut world, conn), []);
    assert_eq!(waiting(&mut world, conn), [line("a/1", "x", 0)]);
}

#[test]
fn a_lasting_session_keeps_the_interval_through_a_crash() {
    let mut world = World::with(|options| options.durable = true);
    let (conn, _) = world.lasting(V5, "s");
    follow(&mut world, conn, "300", "#");
    for by_checkpoint in [false, true] {
        if by_checkpoint {
            world.checkpoint(1_000);
        }
        world.crash();
        let (conn, is_resumed) = world.lasting(V5, "s");
        assert!(is_resumed);
        let publisher = world.client(V5, "p");
        for payload in ["1", "2", "3"] {
            world.publish(publisher, "t", payload, QOS);
        }
        assert_eq!(told(&mut world, conn), [line("t", "1", 0)]);
        world.sleep(millis(300));
        assert_eq!(told(&mut world, conn), [line("t", "3", 1)]);
    }
}

#[test]
fn a_client_that_reads_nothing_loses_the_topics_that_waited_longest() {
    let mut world = World::with(|options| options.limits.latest_bytes = 20_000);
    let conn = follower(&mut world, "10", "#");
    let publisher = world.client(V5, "p");
    world.publish(publisher, "first", "x", QOS);
    told(&mut world, conn);
    world.set_reads(conn, false);
    for round in 0..3 {
        for number in 0..100 {
            world.publish(publisher, &format!("t/{number}"), &round.to_string(), QOS);
        }
        world.sleep(millis(20));
    }
    let metrics = world.broker.metrics();
    assert!(
        metrics.dropped_latest > 0 && metrics.latest_bytes <= 20_100,
        "{metrics:?}"
    );
    assert!(world.told.iter().any(|it| it.limit == Limit::Latest));
    assert_eq!(world.closed(conn).map(ToString::to_string), None);
    world.set_reads(conn, true);
    world.sleep(millis(20));
    let told = told(&mut world, conn);
    let last = told.last().unwrap();
    assert_eq!((last.0.as_str(), last.1.as_str()), ("t/99", "2"));
    assert_eq!(world.broker.metrics().latest_bytes, 0);
}

#[test]
fn no_connection_takes_what_others_need() {
    let mut world = World::with(|options| options.limits.all_latest_bytes = 40_000);
    let publisher = world.client(V5, "p");
    let mut conns = Vec::new();
    for id in ["a", "b", "c"] {
        let conn = world.client(V5, id);
        follow(&mut world, conn, "60000", &format!("{id}/#"));
        for number in 0..100 {
            world.publish(publisher, &format!("{id}/{number}"), "x", QOS);
        }
        conns.push(conn);
        let most = 40_000 * u64::try_from(conns.len()).unwrap() / 4 + 20_000;
        let bytes = world.broker.metrics().latest_bytes;
        assert!(bytes < 40_400.min(most), "{bytes} for {}", conns.len());
    }
    for conn in conns {
        let all = told(&mut world, conn).len();
        world.sleep(millis(60_000));
        assert!(all + told(&mut world, conn).len() > 5);
    }
}

/// The property of a PUBLISH may be too much for a small client, the message is not.
#[test]
fn a_small_client_gets_the_message_without_the_property() {
    let mut world = World::new();
    let mut connect = mqtt::Connect::new(V5, "s");
    connect.properties.maximum_packet_size = Some(40);
    let (conn, _) = world.connect(&connect);
    follow(&mut world, conn, "100", "#");
    let publisher = world.client(V5, "p");
    for payload in ["1", "2", "3"] {
        world.publish(publisher, "t/of/twenty/letters/", payload, QOS);
    }
    world.sleep(millis(100));
    let told = told(&mut world, conn);
    let topic = "t/of/twenty/letters/";
    assert_eq!(told, [line(topic, "1", 0), line(topic, "3", 0)]);
    assert_eq!(world.broker.metrics().dropped_too_large, 0);
}

/// What can happen in a run.
#[derive(Clone, Debug)]
enum Step {
    Publish { topic: u8, retain: bool },
    Sleep(u64),
    Reads(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..12, any::<bool>()).prop_map(|(topic, retain)| Step::Publish { topic, retain }),
        3 => (1_u64..250).prop_map(Step::Sleep),
        1 => any::<bool>().prop_map(Step::Reads),
    ]
}

/// What the reference model knows of a topic.
#[derive(Debug, Default)]
struct Known {
    published: u64,
    newest: String,
    /// How many messages the received ones stand for.
    stood_for: u64,
    received: u64,
    /// The last payload that came, and when.
    last: Option<(String, mqtt::Instant)>,
}

proptest! {
    /// Whatever happens: the newest message of each topic comes in the end, no topic comes more
    /// often than the interval allows, every message counts once, and the bytes are bounded.
    #[test]
    fn each_topic_is_newest_in_the_end_and_every_message_counts_once(
        interval in 10_u64..120,
        is_tight in any::<bool>(),
        never_stops in any::<bool>(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        const LIMIT: usize = 3_500;
        let mut world = World::with(|options| {
            if is_tight {
                options.limits.latest_bytes = LIMIT;
            }
        });
        let conn = follower(&mut world, &interval.to_string(), "t/+");
        let publisher = world.client(V5, "p");
        let mut topics: BTreeMap<String, Known> = BTreeMap::new();
        let end = [Step::Reads(true), Step::Sleep(2_000), Step::Sleep(2_000)];
        for (number, step) in steps.into_iter().chain(end).enumerate() {
            match step {
                Step::Publish { topic, retain } => {
                    let topic = format!("t/{topic}");
                    let known = topics.entry(topic.clone()).or_default();
                    known.published += 1;
                    known.newest = number.to_string();
                    let mut publish = message(&topic, &known.newest, QOS, 1);
                    publish.retain = retain;
                    world.send(publisher, &Packet::Publish(publish));
                }
                Step::Sleep(time) => {
                    // Millisecond by millisecond, to see when something comes.
                    for _ in 0..time {
                        world.sleep(millis(1));
                        note(&mut world, conn, &mut topics, interval, never_stops)?;
                    }
                }
                Step::Reads(reads) => world.set_reads(conn, reads || never_stops),
            }
            note(&mut world, conn, &mut topics, interval, never_stops)?;
            let most = if is_tight { LIMIT + 200 } else { 16 << 20 };
            prop_assert!(world.broker.metrics().latest_bytes <= most as u64);
        }
        let metrics = world.broker.metrics();
        prop_assert_eq!(metrics.latest_bytes, 0);
        prop_assert_eq!(metrics.dropped_slow, 0);
        let all: u64 = topics.values().map(|it| it.published).sum();
        let received: u64 = topics.values().map(|it| it.received).sum();
        prop_assert_eq!(all, received + metrics.latest_replaced + metrics.dropped_latest);
        for (topic, known) in &topics {
            if metrics.dropped_latest == 0 {
                let last = known.last.as_ref().map(|it| it.0.as_str());
                prop_assert_eq!(last, Some(known.newest.as_str()), "{}", topic);
                prop_assert_eq!(known.stood_for, known.published, "{}", topic);
            } else {
                prop_assert!(known.stood_for <= known.published, "{}", topic);
            }
        }
        prop_assert!(is_tight || metrics.dropped_latest == 0);
    }
}

/// Notes what has come, and checks that it is not too early and not older than what came before.
fn note(
    world: &mut World,
    conn: Conn,
    topics: &mut BTreeMap<String, Known>,
    interval: u64,
    never_stops: bool,
) -> Result<(), TestCaseError> {
    let now = world.now;
    for (topic, payload, skipped) in told(world, conn) {
        let known = topics.get_mut(&topic).unwrap();
        if let Some((before, at)) = &known.last {
            let is_newer = before.parse::<u64>().unwrap() < payload.parse().unwrap();
            prop_assert!(is_newer, "{} after {}", payload, before);
            let since = now.saturating_since(*at);
            prop_assert!(!never_stops || since >= millis(interval), "{:?}", since);
        }
        known.received += 1;
        known.stood_for += 1 + skipped;
        known.last = Some((payload, now));
    }
    Ok(())
}
