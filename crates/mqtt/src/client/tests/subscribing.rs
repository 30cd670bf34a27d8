//! Subscriptions.

use alloc::vec;

use super::*;
use crate::packet::{ReasonProperties, SubAck, Subscribe, SubscriptionIdentifier, UnsubAck};

#[test]
fn mqtt_3_8_4_a_subscription_is_asked_for_and_answered() {
    let mut bench = Bench::connected(options());
    let ours = subscribe(&mut bench, &["a/+", "b"]);
    let sent = only_subscribe(&mut bench);
    assert_eq!(sent.subscriptions.len(), 2);
    let codes = vec![ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized];
    bench.feed(suback(&sent, codes.clone()));
    let answer = Event::Subscribed {
        id: ours,
        topic_filters: vec![filter("a/+"), filter("b")],
        reason_codes: codes,
    };
    assert_eq!(bench.events(), [answer]);
    assert_eq!(bench.client.packet_ids_in_use(), 0);
}

#[test]
fn mqtt_3_9_3_1_a_suback_that_does_not_fit_is_refused() {
    let mut bench = Bench::connected(options());
    subscribe(&mut bench, &["a", "b"]);
    let sent = only_subscribe(&mut bench);
    let short = suback(&sent, vec![ReasonCode::Success]);
    assert!(bench.try_feed(&short).is_err());
}

#[test]
fn mqtt_4_1_0_subscriptions_are_renewed_when_the_session_is_gone() {
    let mut bench = Bench::connected(options());
    let first = subscribe(&mut bench, &["a", "b"]);
    subscribe(&mut bench, &["c"]);
    for packet in bench.sent() {
        if let Packet::Subscribe(sent) = packet {
            let codes = vec![ReasonCode::Success; sent.subscriptions.len()];
            bench.feed(suback(&sent, codes));
        }
    }
    bench.reconnect(true);
    assert_eq!(bench.sent(), [], "the server remembers");
    unsubscribe(&mut bench, "b");
    let unsubscribed = bench.sent();
    assert!(matches!(unsubscribed[..], [Packet::Unsubscribe(_)]));
    bench.reconnect(false);
    let renewed: Vec<Packet> = bench.sent();
    let filters: Vec<&str> = renewed
        .iter()
        .filter_map(|packet| match packet {
            Packet::Subscribe(sent) => Some(&sent.subscriptions),
            _ => None,
        })
        .flatten()
        .map(|s| s.topic_filter.as_str())
        .collect();
    assert_eq!(filters, ["a", "c"]);
    assert!(
        matches!(renewed.last(), Some(Packet::Unsubscribe(_))),
        "not answered before"
    );
    bench.events();
    let Packet::Subscribe(sent) = &renewed[0] else {
        panic!("{renewed:?}");
    };
    bench.feed(suback(sent, vec![ReasonCode::Success]));
    assert!(matches!(
        &bench.events()[..],
        [Event::Subscribed { id, .. }] if *id == first
    ));
}

#[test]
fn a_lost_connack_leaves_a_doubt_and_subscriptions_are_renewed() {
    let mut bench = Bench::connected(options());
    subscribe(&mut bench, &["a"]);
    let sent = only_subscribe(&mut bench);
    bench.feed(suback(&sent, vec![ReasonCode::Success]));
    bench.client.handle_transport_closed(bench.now);
    bench.wait(Duration::from_mins(1));
    bench.open();
    // If that answer had come, this CONNACK would have reported a new session.
    bench.reconnect(true);
    only_subscribe(&mut bench);
}

#[test]
fn unanswered_requests_are_repeated_with_the_session_present() {
    let mut bench = Bench::connected(options());
    subscribe(&mut bench, &["a"]);
    only_subscribe(&mut bench);
    bench.reconnect(true);
    only_subscribe(&mut bench);
}

#[test]
fn mqtt_3_2_2_3_unavailable_features_are_not_requested() {
    let mut bench = Bench::connected_as(options(), |connack| {
        connack.properties.wildcard_subscription_available = Some(false);
        connack.properties.shared_subscription_available = Some(false);
        connack.properties.subscription_identifiers_available = Some(false);
    });
    subscribe(&mut bench, &["a/#"]);
    subscribe(&mut bench, &["$share/g/a"]);
    assert_eq!(bench.sent(), []);
    let codes: Vec<ReasonCode> = bench
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Subscribed { reason_codes, .. } => reason_codes[0],
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ReasonCode::WildcardSubscriptionsNotSupported,
        ReasonCode::SharedSubscriptionsNotSupported,
    ];
    assert_eq!(codes, expected);
    let one = SubscriptionIdentifier::MIN;
    let plain = vec![subscription("a")];
    let properties = SubscribeProperties {
        identifier: Some(one),
        ..SubscribeProperties::default()
    };
    bench
        .client
        .subscribe_with(bench.now, plain, properties)
        .unwrap();
    assert_eq!(only_subscribe(&mut bench).subscription_identifier, None);
}

#[test]
fn user_properties_are_sent_again_when_the_subscription_is_renewed() {
    let property = (
        Utf8String::from_static("beaconry-latest"),
        Utf8String::from_static("200"),
    );
    for (options, expected) in [
        (options(), vec![property.clone()]),
        (options_3_1_1(), vec![]),
    ] {
        let mut bench = Bench::connected(options);
        let properties = SubscribeProperties {
            user_properties: vec![property.clone()],
            ..SubscribeProperties::default()
        };
        bench
            .client
            .subscribe_with(bench.now, vec![subscription("a")], properties)
            .unwrap();
        let sent = only_subscribe(&mut bench);
        assert_eq!(sent.user_properties, expected);
        bench.feed(suback(&sent, vec![ReasonCode::Success]));
        bench.reconnect(false);
        assert_eq!(only_subscribe(&mut bench).user_properties, expected);
    }
}

#[test]
fn mqtt_3_10_4_an_unsubscription_is_answered_in_both_versions() {
    for (options, codes) in [
        (options(), vec![ReasonCode::NoSubscriptionExisted]),
        (options_3_1_1(), Vec::new()),
    ] {
        let mut bench = Bench::connected(options);
        let ours = unsubscribe(&mut bench, "a");
        let sent = bench.sent();
        let [Packet::Unsubscribe(sent)] = &sent[..] else {
            panic!("{sent:?}");
        };
        bench.feed(Packet::UnsubAck(UnsubAck {
            packet_id: sent.packet_id,
            reason_codes: codes.clone(),
            properties: ReasonProperties::default(),
        }));
        let expected = codes.first().copied().unwrap_or(ReasonCode::Success);
        let answer = Event::Unsubscribed {
            id: ours,
            reason_codes: vec![expected],
        };
        assert_eq!(bench.events(), [answer]);
    }
}

#[test]
fn subscriptions_have_a_limit_and_rules() {
    let mut bench = Bench::new(ClientOptions {
        subscription_limit: 2,
        ..options()
    });
    let now = bench.now;
    let client = &mut bench.client;
    assert_eq!(
        client.subscribe(now, Vec::new()),
        Err(SubscribeError::Empty)
    );
    let mut shared = subscription("$share/g/a");
    shared.no_local = true;
    assert_eq!(
        client.subscribe(now, vec![shared]),
        Err(SubscribeError::NoLocalShared)
    );
    client
        .subscribe(now, vec![subscription("a"), subscription("b")])
        .unwrap();
    let more = client.subscribe(now, vec![subscription("c")]);
    assert_eq!(more, Err(SubscribeError::TooMany { limit: 2 }));
    client.subscribe(now, vec![subscription("b")]).unwrap();
}

fn subscribe(bench: &mut Bench, filters: &[&str]) -> SubscribeId {
    let subscriptions = filters.iter().map(|text| subscription(text)).collect();
    bench.client.subscribe(bench.now, subscriptions).unwrap()
}

fn unsubscribe(bench: &mut Bench, text: &str) -> UnsubscribeId {
    bench
        .client
        .unsubscribe(bench.now, vec![filter(text)])
        .unwrap()
}

fn only_subscribe(bench: &mut Bench) -> Subscribe {
    match bench.sent().pop() {
        Some(Packet::Subscribe(subscribe)) => subscribe,
        other => panic!("{other:?} instead of SUBSCRIBE"),
    }
}

fn suback(subscribe: &Subscribe, reason_codes: Vec<ReasonCode>) -> Packet {
    Packet::SubAck(SubAck {
        packet_id: subscribe.packet_id,
        reason_codes,
        properties: ReasonProperties::default(),
    })
}

fn subscription(text: &str) -> Subscription {
    Subscription::new(filter(text), QoS::ExactlyOnce)
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}
