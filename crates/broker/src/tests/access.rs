//! Grants that deny something: at PUBLISH, SUBSCRIBE, a will, delivery and retained look-up.

use mqtt::packet::{Will, WillProperties};
use mqtt::{Connect, Packet, QoS, ReasonCode, TopicFilter};
use proptest::prelude::*;

use super::*;
use crate::admission::WorkBudget;
use crate::{Decision, DenyRules, Grants, Limit, Principal};

fn filters(filters: &[&str]) -> Vec<TopicFilter> {
    let filters = filters.iter();
    filters
        .map(|it| TopicFilter::try_from(*it).unwrap())
        .collect()
}

fn denying(publish: &[&str], subscribe: &[&str]) -> Grants {
    Grants::new(DenyRules::new(filters(publish), filters(subscribe)))
}

/// A world in which every client has the same denied topics.
fn world(publish: &[&str], subscribe: &[&str]) -> World {
    let grants = denying(publish, subscribe);
    World::with(|options| {
        options.grants = grants;
        options.durable = true;
    })
}

/// The reason codes of SUBACK for these filters.
fn suback(world: &mut World, conn: Conn, filters: &[&str]) -> Vec<ReasonCode> {
    let subscriptions: Vec<_> = filters.iter().map(|it| to(it, QoS::AtLeastOnce)).collect();
    world.send(conn, &subscribe(&subscriptions, None));
    let Packet::SubAck(suback) = world.take(conn) else {
        panic!("no SUBACK");
    };
    suback.reason_codes
}

#[test]
fn a_filter_inside_a_denied_one_is_refused_and_a_wider_one_is_not() {
    let mut world = world(&[], &["plant/+/secret/#"]);
    let asked = [
        "plant/1/secret",
        "plant/+/secret/#",
        "plant/#",
        "plant/1/temp",
    ];
    let one = ReasonCode::GrantedQoS1;
    for (version, refused) in [
        (V5, ReasonCode::NotAuthorized),
        // 0x80: version 3.1.1 has no other code.
        (V3, ReasonCode::UnspecifiedError),
    ] {
        let conn = world.client(version, "a");
        let codes = suback(&mut world, conn, &asked);
        assert_eq!(codes, [refused, refused, one, one], "{version:?}");
        // For a shared subscription only the filter inside it counts.
        let codes = suback(
            &mut world,
            conn,
            &["$share/g/plant/1/secret/x", "$share/g/#"],
        );
        assert_eq!(codes, [refused, one], "{version:?}");
    }
    assert_eq!(world.broker.metrics().refused_subscribe_rule, 6);
    assert_eq!(world.told[0].limit, Limit::SubscribeRule);
    assert_eq!(world.told[0].client_id.as_deref(), Some("a"));
}

#[test]
fn a_wider_filter_delivers_only_permitted_messages() {
    let mut world = world(&[], &["+/secret"]);
    let publisher = world.client(V5, "p");
    world.send(publisher, &retained("a/secret", "kept", QoS::AtLeastOnce));
    world.send(publisher, &retained("a/open", "kept", QoS::AtLeastOnce));
    let (conn, _) = world.lasting(V5, "s");
    world.subscribe(
        conn,
        &[to("#", QoS::AtLeastOnce), to("a/open", QoS::AtLeastOnce)],
    );
    // Two filters match the retained message. It comes once for each of them.
    assert_eq!(world.payloads(conn), ["kept", "kept"]);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        world.publish(publisher, "a/secret", "no", qos);
        world.publish(publisher, "a/open", "yes", qos);
    }
    assert_eq!(world.payloads(conn), ["yes", "yes"]);
    // The denied message does not wait for an absent client either.
    world.cut(conn);
    world.publish(publisher, "a/secret", "no", QoS::AtLeastOnce);
    world.publish(publisher, "b", "yes", QoS::AtLeastOnce);
    let (conn, is_present) = world.lasting(V5, "s");
    assert!(is_present);
    assert!(world.payloads(conn).contains(&"yes".to_owned()));
    assert!(!world.payloads(conn).contains(&"no".to_owned()));
    assert_eq!(world.broker.metrics().dropped_rule, 4);
}

#[test]
fn a_message_of_a_group_goes_to_a_member_that_may_have_it() {
    let mut world = World::with(|options| options.authenticate = true);
    let mut join = |id: &'static str, grants: Grants| {
        let conn = connect_as(&mut world, &Connect::new(V5, id), grants);
        let codes = suback(&mut world, conn, &["$share/g/#"]);
        assert_eq!(codes, [ReasonCode::GrantedQoS1]);
        conn
    };
    let denied = join("denied", denying(&[], &["secret"]));
    let free = join("free", Grants::default());
    let publisher = connect_as(&mut world, &Connect::new(V5, "p"), Grants::default());
    for _ in 0..4 {
        world.publish(publisher, "secret", "s", QoS::AtLeastOnce);
        world.publish(publisher, "open", "o", QoS::AtLeastOnce);
    }
    let (denied_got, free_got) = (world.payloads(denied), world.payloads(free));
    assert!(denied_got.iter().all(|it| it == "o"), "{denied_got:?}");
    assert_eq!(free_got.iter().filter(|it| *it == "s").count(), 4);
    assert_eq!(denied_got.len() + free_got.len(), 8);
    // If no member may receive it, nobody gets it.
    world.cut(free);
    world.publish(publisher, "secret", "s", QoS::AtLeastOnce);
    world.publish(publisher, "open", "o", QoS::AtLeastOnce);
    assert_eq!(world.payloads(denied), ["o"]);
    assert_eq!(world.broker.metrics().dropped_rule, 1);
}

#[test]
fn a_denied_publish_gets_its_reason_code() {
    let mut world = world(&["locked/#"], &[]);
    let subscriber = world.client(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::ExactlyOnce)]);
    let conn = world.client(V5, "five");
    world.publish(conn, "locked/a", "0", QoS::AtMostOnce);
    world.send(
        conn,
        &Packet::Publish(message("locked/a", "1", QoS::AtLeastOnce, 1)),
    );
    world.send(
        conn,
        &Packet::Publish(message("locked/a", "2", QoS::ExactlyOnce, 2)),
    );
    let answers = world.received(conn);
    let [Packet::PubAck(ack), Packet::PubRec(received)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(ack.reason_code, ReasonCode::NotAuthorized);
    assert_eq!(received.reason_code, ReasonCode::NotAuthorized);
    // The packet identifier of the refused message is free.
    world.send(
        conn,
        &Packet::Publish(message("open", "ok", QoS::ExactlyOnce, 2)),
    );
    assert_eq!(world.payloads(subscriber), ["ok"]);
    // Version 3.1.1 has no code for this: the message is acknowledged and dropped.
    let conn = world.client(V3, "three");
    world.send(
        conn,
        &Packet::Publish(message("locked/a", "1", QoS::AtLeastOnce, 1)),
    );
    assert!(matches!(world.take(conn), Packet::PubAck(_)));
    assert_eq!(world.payloads(subscriber), [] as [&str; 0]);
    assert_eq!(world.broker.metrics().refused_publish_rule, 4);
    assert_eq!(world.told[0].limit, Limit::PublishRule);
    // The refused message does not replace the retained one either.
    world.send(conn, &retained("locked/a", "kept", QoS::AtLeastOnce));
    assert_eq!(world.broker.metrics().retained_messages, 0);
}

#[test]
fn a_will_to_a_denied_topic_refuses_its_client() {
    let mut world = world(&["locked/#"], &[]);
    for (version, code) in [
        (V5, ReasonCode::NotAuthorized),
        (V3, ReasonCode::NotAuthorized),
    ] {
        let mut connect = Connect::new(version, "w");
        connect.will = Some(Will {
            topic: topic("locked/gone"),
            payload: "x".into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: WillProperties::default(),
        });
        let conn = world.open(version);
        world.send(conn, &Packet::Connect(connect));
        let Packet::ConnAck(connack) = world.take(conn) else {
            panic!("no CONNACK");
        };
        assert_eq!(connack.reason_code, code, "{version:?}");
        assert!(world.closed(conn).is_some());
    }
    assert_eq!(world.broker.metrics().refused_will_rule, 2);
    assert_eq!(world.broker.metrics().sessions, 0);
}

#[test]
fn grants_are_those_of_the_last_connection() {
    let mut world = World::with(|options| {
        options.authenticate = true;
        options.durable = true;
    });
    let publisher = connect_as(&mut world, &Connect::new(V5, "p"), Grants::default());
    let conn = connect_as(&mut world, &lasting(V5, "s"), Grants::default());
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    world.cut(conn);
    for name in ["secret", "open", "secret"] {
        world.publish(publisher, name, name, QoS::AtLeastOnce);
    }
    // Queued messages that the client may no longer receive are dropped for good.
    let conn = connect_as(&mut world, &lasting(V5, "s"), denying(&["x"], &["secret"]));
    assert_eq!(world.payloads(conn), ["open"]);
    world.publish(publisher, "secret", "secret", QoS::AtLeastOnce);
    world.publish(conn, "x", "x", QoS::AtLeastOnce);
    assert_eq!(world.payloads(conn), [] as [&str; 0]);
    let metrics = world.broker.metrics();
    assert_eq!((metrics.dropped_rule, metrics.refused_publish_rule), (3, 1));
    // The messages stay dropped when the client gets its grants back.
    world.cut(conn);
    let conn = connect_as(&mut world, &lasting(V5, "s"), Grants::default());
    world.publish(publisher, "secret", "now", QoS::AtLeastOnce);
    assert!(world.payloads(conn).contains(&"now".to_owned()));
}

#[test]
fn a_message_is_not_sent_again_to_a_client_that_may_no_longer_receive_it() {
    let mut world = World::with(|options| {
        options.authenticate = true;
        options.durable = true;
    });
    let publisher = connect_as(&mut world, &Connect::new(V5, "p"), Grants::default());
    let conn = connect_as(&mut world, &lasting(V5, "s"), Grants::default());
    world.subscribe(conn, &[to("#", QoS::ExactlyOnce)]);
    for (name, qos) in [
        ("secret", QoS::AtLeastOnce),
        ("open", QoS::AtLeastOnce),
        ("secret", QoS::ExactlyOnce),
    ] {
        world.send(publisher, &Packet::Publish(message(name, name, qos, 7)));
    }
    // The client acknowledges none of them.
    assert_eq!(world.payloads(conn).len(), 3);
    world.cut(conn);
    let conn = connect_as(&mut world, &lasting(V5, "s"), denying(&[], &["secret"]));
    assert_eq!(world.payloads(conn), ["open"]);
    assert_eq!(world.broker.metrics().dropped_rule, 2);
    assert_eq!(world.broker.metrics().queued_messages, 1);
    // They are gone from the records too.
    assert_eq!(world.recovery().queued_messages(), 1);
}

#[test]
fn queues_of_an_earlier_run_are_held_to_new_rules_for_all() {
    let mut world = world(&[], &[]);
    let (conn, _) = world.lasting(V5, "s");
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for name in ["secret", "open"] {
        world.publish(publisher, name, &format!("sent {name}"), QoS::AtLeastOnce);
    }
    assert_eq!(world.payloads(conn).len(), 2);
    world.cut(conn);
    for name in ["secret", "open"] {
        world.publish(publisher, name, &format!("queued {name}"), QoS::AtLeastOnce);
    }
    world.options.grants = denying(&[], &["secret"]);
    world.crash();
    let (conn, is_present) = world.lasting(V5, "s");
    assert!(is_present);
    assert_eq!(world.payloads(conn), ["sent open", "queued open"]);
    assert_eq!(world.broker.metrics().dropped_rule, 2);
    assert_eq!(world.recovery().queued_messages(), 2);
}

#[test]
fn sessions_of_an_earlier_run_are_held_to_the_rules_for_all() {
    let mut world = world(&[], &["secret"]);
    let (conn, _) = world.lasting(V5, "s");
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    world.crash();
    let publisher = world.client(V5, "p");
    world.publish(publisher, "secret", "no", QoS::AtLeastOnce);
    world.publish(publisher, "open", "yes", QoS::AtLeastOnce);
    let (conn, is_present) = world.lasting(V5, "s");
    assert!(is_present);
    assert_eq!(world.payloads(conn), ["yes"]);
}

/// Asking the rules about a whole session is not divided, so deferrable work waits for as long.
#[test]
fn looking_at_a_whole_session_again_takes_its_time_from_deferrable_work() {
    let paid_after = |subscriptions: usize| {
        let mut world = World::with(|options| options.authenticate = true);
        let connect = lasting(V5, "a");
        let conn = connect_as(&mut world, &connect, denying(&[], &["x"]));
        for number in 0..subscriptions {
            world.subscribe(conn, &[to(&format!("t/{number}"), QoS::AtMostOnce)]);
        }
        world.cut(conn);
        world.sleep(Duration::from_secs(1));
        connect_as(&mut world, &connect, denying(&[], &["y"]));
        world.broker.work.not_before().saturating_since(world.now)
    };
    assert_eq!(paid_after(1), Duration::ZERO);
    let steps = 1_000 * WorkBudget::RULES;
    let periods = u32::try_from(steps / WorkBudget::STEPS).unwrap();
    assert!(paid_after(1_000) >= periods * WorkBudget::PERIOD);
}

/// Lets a client in with these grants, as the shell would.
fn connect_as(world: &mut World, connect: &Connect, grants: Grants) -> Conn {
    let conn = world.open(connect.version);
    world.send(conn, &Packet::Connect(connect.clone()));
    let asked = world.asked.pop().unwrap();
    let name = Some(connect.client_id.clone());
    let decision = Decision::Accept(Principal { name, grants });
    world.input(Input::Authenticated(asked, decision));
    let Packet::ConnAck(connack) = world.take(conn) else {
        panic!("no CONNACK");
    };
    assert_eq!(connack.reason_code, ReasonCode::Success);
    conn
}

fn levels(wild: bool) -> impl Strategy<Value = String> {
    let level = prop::sample::select(if wild {
        vec!["a", "b", "+"]
    } else {
        vec!["a", "b"]
    });
    let levels = prop::collection::vec(level, 1..4);
    (levels, any::<bool>()).prop_map(move |(levels, is_open)| {
        let end = if wild && is_open { "/#" } else { "" };
        levels.join("/") + end
    })
}

proptest! {
    /// With any subscriptions, shared or not, and any messages, retained or not: no client gets
    /// a denied message, and all others are delivered as if nothing were denied.
    #[test]
    fn a_client_gets_only_what_it_may_receive(
        denied in levels(true),
        wanted in prop::collection::vec((levels(true), any::<bool>()), 1..4),
        before in prop::collection::vec(levels(false), 0..4),
        after in prop::collection::vec(levels(false), 0..6),
    ) {
        let got = |grants: Grants| {
            let mut world = World::with(|options| options.grants = grants);
            let publisher = world.client(V5, "p");
            for name in &before {
                world.send(publisher, &retained(name, name, QoS::AtMostOnce));
            }
            let conn = world.client(V5, "s");
            for (filter, is_shared) in &wanted {
                let filter = if *is_shared { format!("$share/g/{filter}") } else { filter.clone() };
                world.send(conn, &subscribe(&[to(&filter, QoS::AtMostOnce)], None));
            }
            for name in &after {
                world.publish(publisher, name, name, QoS::AtMostOnce);
            }
            world.payloads(conn)
        };
        let mut expected = got(Grants::default());
        expected.retain(|name| !mqtt::topic_matches(&denied, name));
        prop_assert_eq!(got(denying(&[], &[&denied])), expected);
    }
}

#[test]
fn wills_of_an_earlier_run_are_held_to_new_rules() {
    let mut world = world(&[], &[]);
    let (heir, _) = world.lasting(V5, "heir");
    world.subscribe(heir, &[to("#", QoS::AtLeastOnce)]);
    world.cut(heir);
    // `with_will` publishes to "wills".
    world.connect(&restarting::with_will("lasting", 0));
    world.connect(&transient_wills::transient_with_will("transient", 0));
    world.options.grants = denying(&["wills"], &[]);
    world.crash();
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.broker.metrics().wills_published, 0);
    assert_eq!(world.broker.metrics().dropped_rule, 2);
    // They are gone from the records too: the next run publishes nothing, whatever its rules.
    world.options.grants = Grants::default();
    world.crash();
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.broker.metrics().wills_published, 0);
    let (heir, is_present) = world.lasting(V5, "heir");
    assert!(is_present);
    assert_eq!(world.payloads(heir), [] as [&str; 0]);
}

#[test]
fn a_connect_that_waits_for_a_decision_keeps_no_read_buffer_and_is_counted() {
    let mut world = World::with(|options| options.authenticate = true);
    let conn = world.open(V5);
    let mut connect = Connect::new(V5, "a");
    connect.user_name = Some(mqtt::Utf8String::from_static("user"));
    connect.password = Some(vec![7; 10_000].into());
    let mut bytes = BytesMut::new();
    mqtt::encode(&Packet::Connect(connect), V5, &mut bytes).unwrap();
    let buffer = bytes.freeze();
    let now = world.now;
    world
        .broker
        .handle_input(now, Input::Bytes(conn, buffer.clone()));
    let mut credentials = Vec::new();
    loop {
        match world.broker.poll_output() {
            Output::Authenticate(_, it) => credentials.push(it),
            Output::Idle(_) => break,
            _ => {}
        }
    }
    assert_eq!(credentials.len(), 1);
    assert!(buffer.is_unique());
    let waiting = world.broker.metrics().partial_bytes;
    assert!(waiting >= 10_000, "{waiting}");
    let early = Bytes::from_static(&[0xC0, 0]);
    world.broker.handle_input(now, Input::Bytes(conn, early));
    assert_eq!(world.broker.metrics().partial_bytes, waiting + 2);
    let decision = Decision::Accept(Principal::default());
    world
        .broker
        .handle_input(now, Input::Authenticated(conn, decision));
    assert_eq!(world.broker.metrics().partial_bytes, 0);
}
