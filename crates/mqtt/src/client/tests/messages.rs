//! Publications in both directions.

use super::*;
use crate::packet::Disconnect;

#[test]
fn mqtt_4_3_1_qos_0_is_sent_and_over() {
    let mut bench = Bench::connected(options());
    let sent = bench.publish(QoS::AtMostOnce, "a");
    let publishes = bench.sent_publishes();
    assert_eq!(publishes[0].packet_id, None);
    assert_eq!(bench.outcomes(), [(sent, PublishOutcome::Sent)]);
    assert_eq!(bench.client.queued(), (0, 0));
}

#[test]
fn mqtt_4_3_2_qos_1_is_over_with_puback() {
    let mut bench = Bench::connected(options());
    let ours = bench.publish(QoS::AtLeastOnce, "a");
    let packet_id = bench.sent_publishes()[0].packet_id.unwrap();
    assert_eq!(bench.outcomes(), []);
    bench.feed(puback(packet_id));
    let outcome = PublishOutcome::Acknowledged(ReasonCode::Success);
    assert_eq!(bench.outcomes(), [(ours, outcome)]);
    assert_eq!(bench.client.packet_ids_in_use(), 0);
    bench.feed(puback(packet_id));
    assert_eq!(bench.outcomes(), [], "only once");
}

#[test]
fn mqtt_4_3_3_qos_2_is_over_with_pubcomp() {
    let mut bench = Bench::connected(options());
    let ours = bench.publish(QoS::ExactlyOnce, "a");
    let packet_id = bench.sent_publishes()[0].packet_id.unwrap();
    bench.feed(pubrec(packet_id));
    assert_eq!(bench.client.queued(), (1, 0), "the message is forgotten");
    assert_eq!(bench.sent(), [pubrel(packet_id)]);
    assert_eq!(bench.outcomes(), []);
    assert_eq!(bench.client.packet_ids_in_use(), 1);
    bench.feed(pubcomp(packet_id));
    let outcome = PublishOutcome::Acknowledged(ReasonCode::Success);
    assert_eq!(bench.outcomes(), [(ours, outcome)]);
    assert_eq!(bench.client.packet_ids_in_use(), 0);
}

#[test]
fn mqtt_4_3_3_4_a_refusal_in_pubrec_ends_the_exchange() {
    let mut bench = Bench::connected(options());
    let ours = bench.publish(QoS::ExactlyOnce, "a");
    let packet_id = bench.sent_publishes()[0].packet_id.unwrap();
    let refusal = PubRec::new(packet_id, ReasonCode::QuotaExceeded);
    bench.feed(Packet::PubRec(refusal));
    assert_eq!(bench.sent(), []);
    let outcome = PublishOutcome::Refused(ReasonCode::QuotaExceeded);
    assert_eq!(bench.outcomes(), [(ours, outcome)]);
    assert_eq!(bench.client.packet_ids_in_use(), 0);
}

#[test]
fn mqtt_4_3_3_an_unknown_pubrec_is_answered_so_that_the_server_is_done_with_it() {
    let mut bench = Bench::connected(options());
    bench.feed(pubrec(id(9)));
    let answer = PubRel::new(id(9), ReasonCode::PacketIdentifierNotFound);
    assert_eq!(bench.sent(), [Packet::PubRel(answer)]);
}

#[test]
fn the_wrong_acknowledgement_ends_the_connection_and_loses_nothing() {
    for (qos, wrong) in [
        (QoS::ExactlyOnce, puback as fn(PacketId) -> Packet),
        (QoS::AtLeastOnce, pubrec),
    ] {
        let mut bench = Bench::connected(options());
        bench.publish(qos, "a");
        let packet_id = bench.sent_publishes()[0].packet_id.unwrap();
        assert!(bench.try_feed(&wrong(packet_id)).is_err());
        bench.sent();
        bench.retry(true);
        let again = bench.sent_publishes();
        assert_eq!((again[0].packet_id, again[0].dup), (Some(packet_id), true));
    }
}

#[test]
fn mqtt_4_4_0_1_unfinished_exchanges_go_on_in_order_with_dup() {
    let mut bench = Bench::connected(options());
    for (qos, payload) in [
        (QoS::ExactlyOnce, "a"),
        (QoS::AtLeastOnce, "b"),
        (QoS::ExactlyOnce, "c"),
        (QoS::AtLeastOnce, "d"),
    ] {
        bench.publish(qos, payload);
    }
    let first = bench.sent_publishes();
    assert!(first.iter().all(|publish| !publish.dup));
    let released = first[2].packet_id.unwrap();
    bench.feed(pubrec(released));
    bench.publish(QoS::AtLeastOnce, "e");
    bench.reconnect(true);
    let sent = bench.sent();
    assert_eq!(sent[0], pubrel(released));
    let again: Vec<Publish> = sent[1..]
        .iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => publish.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(payloads(&again), [b"a", b"b", b"d", b"e"]);
    assert_eq!(
        again.iter().map(|p| p.dup).collect::<Vec<_>>(),
        [true, true, true, false]
    );
    assert_eq!(again[0].packet_id, first[0].packet_id);
    assert_eq!(again[1].packet_id, first[1].packet_id);
}

#[test]
fn mqtt_4_6_0_4_pubrels_go_in_the_order_of_their_pubrecs() {
    let mut bench = Bench::connected(options());
    bench.publish(QoS::ExactlyOnce, "a");
    bench.publish(QoS::ExactlyOnce, "b");
    let sent = bench.sent_publishes();
    let (a, b) = (sent[0].packet_id.unwrap(), sent[1].packet_id.unwrap());
    bench.feed(pubrec(b));
    bench.feed(pubrec(a));
    assert_eq!(bench.sent(), [pubrel(b), pubrel(a)]);
    bench.reconnect(true);
    assert_eq!(bench.sent(), [pubrel(b), pubrel(a)]);
}

#[test]
fn without_its_session_what_was_not_answered_is_published_anew() {
    let mut bench = Bench::connected(options());
    let a = bench.publish(QoS::ExactlyOnce, "a");
    let b = bench.publish(QoS::AtLeastOnce, "b");
    let sent = bench.sent_publishes();
    bench.feed(pubrec(sent[0].packet_id.unwrap()));
    bench.publish(QoS::AtLeastOnce, "c");
    bench.reconnect(false);
    let outcome = PublishOutcome::Acknowledged(ReasonCode::Success);
    assert_eq!(
        bench.outcomes(),
        [(a, outcome.clone())],
        "the server had taken it over"
    );
    let again = bench.sent_publishes();
    assert_eq!(payloads(&again), [b"b", b"c"]);
    assert!(again.iter().all(|publish| !publish.dup));
    bench.feed(puback(again[0].packet_id.unwrap()));
    assert_eq!(bench.outcomes(), [(b, outcome)]);
}

#[test]
fn mqtt_3_3_4_7_never_more_than_the_servers_receive_maximum() {
    let mut bench = Bench::connected_as(options(), |connack| {
        connack.properties.receive_maximum = Some(2);
    });
    for payload in ["a", "b", "c", "d"] {
        bench.publish(QoS::ExactlyOnce, payload);
    }
    let sent = bench.sent_publishes();
    assert_eq!(sent.len(), 2);
    let first = sent[0].packet_id.unwrap();
    bench.feed(pubrec(first));
    assert_eq!(bench.sent(), [pubrel(first)], "PUBREC does not make room");
    bench.feed(pubcomp(first));
    assert_eq!(bench.sent_publishes().len(), 1);
    bench.reconnect(true);
    assert_eq!(bench.sent_publishes().len(), 3, "65,535 on this connection");
}

#[test]
fn mqtt_3_3_4_9_more_than_our_receive_maximum_is_refused() {
    let mut bench = Bench::connected(ClientOptions {
        receive_maximum: 2,
        ..options()
    });
    for number in 1..=2 {
        feed_message(&mut bench, QoS::ExactlyOnce, number, false).unwrap();
    }
    feed_message(&mut bench, QoS::ExactlyOnce, 2, true).unwrap();
    let error = feed_message(&mut bench, QoS::ExactlyOnce, 3, false).unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::ReceiveMaximumExceeded);
    let goodbye = Disconnect::new(ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(bench.sent().last(), Some(&Packet::Disconnect(goodbye)));
}

#[test]
fn mqtt_3_3_4_9_acknowledgements_make_room() {
    let mut bench = Bench::connected(ClientOptions {
        receive_maximum: 1,
        ..options()
    });
    for number in 1..=3 {
        feed_message(&mut bench, QoS::AtLeastOnce, number, false).unwrap();
        assert_eq!(bench.sent(), [puback(id(number))]);
        feed_message(&mut bench, QoS::ExactlyOnce, number, false).unwrap();
        assert_eq!(bench.sent(), [pubrec(id(number))]);
        bench.feed(pubrel(id(number)));
        assert_eq!(bench.sent(), [pubcomp(id(number))]);
    }
}

#[test]
fn mqtt_4_3_3_10_a_message_that_comes_again_is_handed_on_once() {
    let mut bench = Bench::connected(options());
    feed_message(&mut bench, QoS::ExactlyOnce, 7, false).unwrap();
    assert_eq!(bench.events().len(), 1);
    feed_message(&mut bench, QoS::ExactlyOnce, 7, true).unwrap();
    bench.reconnect(true);
    bench.events();
    feed_message(&mut bench, QoS::ExactlyOnce, 7, true).unwrap();
    assert_eq!(bench.events(), []);
    assert_eq!(bench.sent(), [pubrec(id(7))]);
    bench.feed(pubrel(id(7)));
    feed_message(&mut bench, QoS::ExactlyOnce, 7, false).unwrap();
    assert_eq!(
        bench.events().len(),
        1,
        "the identifier is free for another"
    );
}

#[test]
fn mqtt_4_1_0_identifiers_of_a_lost_session_mean_nothing() {
    let mut bench = Bench::connected(options());
    feed_message(&mut bench, QoS::ExactlyOnce, 7, false).unwrap();
    bench.reconnect(false);
    bench.events();
    feed_message(&mut bench, QoS::ExactlyOnce, 7, false).unwrap();
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn mqtt_3_3_1_1_a_lost_connack_leaves_a_doubt_that_dup_decides() {
    let mut bench = Bench::connected(options());
    feed_message(&mut bench, QoS::ExactlyOnce, 7, false).unwrap();
    bench.client.handle_transport_closed(bench.now);
    bench.wait(Duration::from_mins(1));
    bench.open();
    // If that answer had come, this CONNACK would have reported a new session.
    bench.reconnect(true);
    bench.events();
    feed_message(&mut bench, QoS::ExactlyOnce, 7, false).unwrap();
    assert_eq!(
        bench.events().len(),
        1,
        "a new message under an old identifier"
    );
    feed_message(&mut bench, QoS::ExactlyOnce, 7, true).unwrap();
    assert_eq!(bench.events(), []);
}

#[test]
fn mqtt_4_3_3_11_an_unknown_pubrel_is_answered() {
    let mut bench = Bench::connected(options());
    bench.feed(pubrel(id(5)));
    let answer = PubComp::new(id(5), ReasonCode::PacketIdentifierNotFound);
    assert_eq!(bench.sent(), [Packet::PubComp(answer)]);
}

#[test]
fn mqtt_3_2_2_15_never_larger_than_the_servers_maximum_packet_size() {
    let limit = |connack: &mut ConnAck| connack.properties.maximum_packet_size = Some(30);
    let mut bench = Bench::connected_as(options(), limit);
    let large = Publish::new(topic("fleet/pump-7"), alloc::vec![0; 30]);
    let refused = bench.client.publish(bench.now, large.clone());
    assert!(matches!(
        refused,
        Err(PublishError::TooLarge { limit: 30, .. })
    ));
    bench.client.handle_transport_closed(bench.now);
    let ours = bench.client.publish(bench.now, large).unwrap();
    bench.wait(Duration::from_mins(1));
    bench.connect(limit);
    assert_eq!(bench.sent(), []);
    let outcome = PublishOutcome::Dropped(DropCause::TooLarge);
    assert_eq!(bench.outcomes(), [(ours, outcome)]);
}

#[test]
fn mqtt_3_2_2_11_a_lower_qos_or_none() {
    let limit = |connack: &mut ConnAck| {
        connack.properties.maximum_qos = Some(QoS::AtLeastOnce);
    };
    let mut bench = Bench::connected_as(options(), limit);
    bench.publish(QoS::ExactlyOnce, "a");
    assert_eq!(bench.sent_publishes()[0].qos, QoS::AtLeastOnce);
    let strict = ClientOptions {
        lower_qos: false,
        ..options()
    };
    let mut bench = Bench::connected_as(strict, limit);
    let refused = bench
        .client
        .publish(bench.now, message(QoS::ExactlyOnce, "a"));
    assert_eq!(refused, Err(PublishError::QoSNotSupported));
}

#[test]
fn mqtt_3_2_2_14_no_retained_message_where_the_server_keeps_none() {
    let mut bench = Bench::new(options());
    let mut retained = message(QoS::AtLeastOnce, "a");
    retained.retain = true;
    let early = bench.client.publish(bench.now, retained.clone()).unwrap();
    bench.connect(|connack| connack.properties.retain_available = Some(false));
    assert_eq!(bench.sent(), []);
    let outcome = PublishOutcome::Dropped(DropCause::RetainNotSupported);
    assert_eq!(bench.outcomes(), [(early, outcome)]);
    let refused = bench.client.publish(bench.now, retained);
    assert_eq!(refused, Err(PublishError::RetainNotSupported));
}

#[test]
fn mqtt_3_3_2_6_the_rest_of_the_message_expiry_interval_is_sent() {
    let mut bench = Bench::new(options());
    for (payload, interval) in [("a", 5), ("b", 60)] {
        let mut publish = message(QoS::AtLeastOnce, payload);
        publish.properties.message_expiry_interval = Some(interval);
        bench.client.publish(bench.now, publish).unwrap();
    }
    bench.now = Instant::from_millis(10_000);
    bench.connect(|_| {});
    let sent = bench.sent_publishes();
    assert_eq!(payloads(&sent), [b"b"]);
    assert_eq!(sent[0].properties.message_expiry_interval, Some(50));
    assert_eq!(
        bench.outcomes()[0].1,
        PublishOutcome::Dropped(DropCause::Expired)
    );
}

/// A shell that keeps to the loop hears at once that the message has expired, not only when the
/// next event occurs.
#[test]
fn giving_up_a_publication_without_a_byte_is_reported() {
    let mut bench = Bench::connected(options());
    let mut publish = message(QoS::AtLeastOnce, "a");
    publish.properties.message_expiry_interval = Some(5);
    bench.client.publish(bench.now, publish).unwrap();
    bench.now = Instant::from_millis(10_000);
    bench.client.handle_timeout(bench.now);
    assert_eq!(bench.client.poll_event(), None);
    let mut out = BytesMut::new();
    assert!(bench.client.poll_transmit(&mut out));
    assert!(out.is_empty());
    let dropped = PublishOutcome::Dropped(DropCause::Expired);
    assert_eq!(bench.outcomes()[0].1, dropped);
    assert!(!bench.client.poll_transmit(&mut out));
}

#[test]
fn mqtt_3_3_2_7_an_alias_is_made_anew_on_each_connection() {
    let aliases = |connack: &mut ConnAck| connack.properties.topic_alias_maximum = Some(3);
    let mut bench = Bench::connected_as(options(), aliases);
    bench.publish(QoS::AtLeastOnce, "a");
    bench.publish(QoS::AtLeastOnce, "b");
    let sent = bench.sent_publishes();
    assert!(sent[0].topic.is_some() && sent[0].properties.topic_alias.is_some());
    assert!(sent[1].topic.is_none(), "only the alias");
    bench.reconnect(true);
    let again = bench.sent_publishes();
    assert!(again.iter().all(|publish| publish.topic.is_some()));
    assert!(
        again
            .iter()
            .all(|publish| publish.properties.topic_alias.is_none())
    );
}

#[test]
fn the_queue_has_a_limit_in_messages_and_in_bytes() {
    let mut bench = Bench::new(ClientOptions {
        queue_limit_messages: 2,
        ..options()
    });
    bench.publish(QoS::AtMostOnce, "a");
    bench.publish(QoS::AtLeastOnce, "b");
    let full = bench
        .client
        .publish(bench.now, message(QoS::AtLeastOnce, "c"));
    assert!(matches!(
        full,
        Err(PublishError::QueueFull { messages: 2, .. })
    ));
    bench.connect(|_| {});
    let sent = bench.sent_publishes();
    assert_eq!(bench.client.queued().0, 1, "what is in flight still counts");
    bench.feed(puback(sent[1].packet_id.unwrap()));
    assert_eq!(bench.client.queued(), (0, 0));

    let mut bench = Bench::new(ClientOptions {
        queue_limit_bytes: 100,
        ..options()
    });
    let large = Publish::new(topic("a"), alloc::vec![0; 100]);
    let full = bench.client.publish(bench.now, large);
    assert_eq!(
        full,
        Err(PublishError::QueueFull {
            messages: 0,
            bytes: 0
        })
    );
}

#[test]
fn qos_0_without_a_connection_waits_or_is_refused_as_the_options_say() {
    let mut bench = Bench::new(ClientOptions {
        offline_qos0: OfflineQoS0::Refuse,
        ..options()
    });
    let refused = bench
        .client
        .publish(bench.now, message(QoS::AtMostOnce, "a"));
    assert_eq!(refused, Err(PublishError::Offline));
    let mut bench = Bench::new(options());
    bench.publish(QoS::AtMostOnce, "a");
    bench.connect(|_| {});
    assert_eq!(bench.sent_publishes().len(), 1);
}

#[test]
fn mqtt_2_2_1_3_exhausted_identifiers_make_publications_wait() {
    let mut bench = Bench::connected(ClientOptions {
        queue_limit_messages: usize::MAX,
        queue_limit_bytes: usize::MAX,
        ..options()
    });
    let filter = Subscription::new(TopicFilter::try_from("a").unwrap(), QoS::AtMostOnce);
    bench
        .client
        .subscribe(bench.now, alloc::vec![filter])
        .unwrap();
    for _ in 0..65_535 {
        bench.publish(QoS::AtLeastOnce, "a");
    }
    let sent = bench.sent();
    assert_eq!(
        sent.len(),
        65_535,
        "the subscription has one, the last has to wait"
    );
    assert_eq!(bench.client.packet_ids_in_use(), 65_535);
    let Packet::Publish(publish) = &sent[1] else {
        panic!("{:?}", sent[1]);
    };
    bench.feed(puback(publish.packet_id.unwrap()));
    assert_eq!(bench.sent_publishes().len(), 1);
}

#[test]
fn a_session_is_taken_up_by_a_later_client() {
    let mut bench = Bench::connected(options());
    bench.publish(QoS::ExactlyOnce, "a");
    bench.publish(QoS::ExactlyOnce, "b");
    let sent = bench.sent_publishes();
    let (a, b) = (sent[0].packet_id.unwrap(), sent[1].packet_id.unwrap());
    bench.feed(pubrec(a));
    feed_message(&mut bench, QoS::ExactlyOnce, 9, false).unwrap();
    bench.client.handle_transport_closed(bench.now);
    bench.publish(QoS::AtLeastOnce, "c");

    let stored = bench.client.session().to_bytes().unwrap();
    let session = SessionSnapshot::from_bytes(stored.clone()).unwrap();
    assert!(SessionSnapshot::from_bytes(stored.slice(..stored.len() - 1)).is_err());
    let mut later = Bench::new(ClientOptions {
        clean_start: false,
        session: Some(session),
        ..options()
    });
    later.connect(|connack| connack.session_present = true);
    let sent = later.sent();
    assert_eq!(sent[0], pubrel(a));
    assert!(matches!(&sent[1], Packet::Publish(p) if p.packet_id == Some(b) && p.dup));
    assert!(matches!(&sent[2], Packet::Publish(p) if !p.dup && p.packet_id != Some(b)));
    later.events();
    feed_message(&mut later, QoS::ExactlyOnce, 9, true).unwrap();
    assert_eq!(later.events(), [], "it was handed on by the earlier client");
}

/// A process was killed, and the next one knows nothing of its exchanges: whose identifiers are in use
/// `[MQTT-4.3.3-10]` only the server knows.
#[test]
fn a_client_that_resumes_an_unknown_session_begins_with_another_identifier() {
    let first_id = |seed, session_present| {
        let mut bench = Bench::connected_as(
            ClientOptions {
                clean_start: false,
                seed,
                ..options()
            },
            |connack| connack.session_present = session_present,
        );
        bench.publish(QoS::ExactlyOnce, "a");
        bench.sent_publishes()[0].packet_id.unwrap().get()
    };
    assert_eq!(first_id(1_234, true), 1_234);
    assert_eq!(first_id(4_096 + 7, true), 7);
    assert_eq!(first_id(1_234, false), 1, "there is none to disturb");
}

fn feed_message(bench: &mut Bench, qos: QoS, number: u16, dup: bool) -> Result<(), ProtocolError> {
    let mut publish = message(qos, "from the server");
    publish.packet_id = Some(id(number));
    publish.dup = dup;
    bench.try_feed(&Packet::Publish(publish))
}
