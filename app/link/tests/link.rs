//! The link in a real browser, with the other end of its WebSocket in the test's hands.
#![cfg(target_arch = "wasm32")]
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod browser;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use browser::{Network, publish, settle, until, wire};
use link::{BrokerUrl, Link, LinkEvent, PageAddress, random};
use mqtt::client::{ClientOptions, DisconnectCause, Event, Reconnect, State};
use mqtt::packet::ReasonProperties;
use mqtt::{
    Packet, PacketId, Publish, QoS, ReasonCode, SubAck, Subscription, TopicFilter, TopicName,
    Utf8String,
};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// What the handler was given, batch by batch.
type Batches = Rc<RefCell<Vec<Vec<LinkEvent>>>>;

fn url() -> BrokerUrl {
    let page = PageAddress {
        secure: false,
        own_broker: "http://broker.test:8080/mqtt".to_owned(),
    };
    page.broker_url(None).unwrap()
}

/// Attempts to connect are far apart, so that only those happen that the test asks for.
fn options() -> ClientOptions {
    let hour = Duration::from_hours(1);
    ClientOptions {
        reconnect: Reconnect {
            initial: hour,
            max: hour,
            ..Reconnect::default()
        },
        fall_back: false,
        ..ClientOptions::new(Utf8String::from_static("test"))
    }
}

fn open() -> (Link, Batches) {
    let batches = Batches::default();
    let seen = Rc::clone(&batches);
    let link = Link::open(url(), options(), move |_, batch| {
        seen.borrow_mut().push(batch);
    });
    (link, batches)
}

fn payloads(batch: &[LinkEvent]) -> Vec<String> {
    let payload = |event: &LinkEvent| match event {
        LinkEvent::Client(Event::Message(message)) => {
            Some(String::from_utf8(message.payload.to_vec()).unwrap())
        }
        LinkEvent::Client(_) | LinkEvent::TransportFailed(_) => None,
    };
    batch.iter().filter_map(payload).collect()
}

fn dispatch(name: &str) {
    let event = web_sys::Event::new(name).unwrap();
    let window = web_sys::window().unwrap();
    if name == "visibilitychange" {
        let document = window.document().unwrap();
        document.dispatch_event(&event).unwrap();
    } else {
        window.dispatch_event(&event).unwrap();
    }
}

// [MQTT-4.2-1] [MQTT-6.0.0-1] [MQTT-6.0.0-3]
#[wasm_bindgen_test]
async fn mqtt_6_0_0_connects_with_the_subprotocol_and_writes_binary_frames() {
    let network = Network::install();
    let (link, batches) = open();
    assert_eq!(network.made(), 0, "nothing happens within `open`");
    let filter = TopicFilter::try_from("#").unwrap();
    link.subscribe(vec![Subscription::new(filter, QoS::ExactlyOnce)])
        .unwrap();
    let mut peer = network.socket(0).await;
    assert_eq!(peer.url(), "ws://broker.test:8080/mqtt");
    assert_eq!(peer.protocol(), "mqtt");
    let connect = peer.accept(false).await;
    assert_eq!(connect.client_id.as_str(), "test");
    let Packet::Subscribe(subscribe) = peer.receive().await else {
        panic!("no SUBSCRIBE");
    };
    peer.send(&[Packet::SubAck(SubAck {
        packet_id: subscribe.packet_id,
        reason_codes: vec![ReasonCode::GrantedQoS2],
        properties: ReasonProperties::default(),
    })]);
    let batches = batches.borrow();
    assert!(matches!(
        batches.concat().as_slice(),
        [
            LinkEvent::Client(Event::Connected { .. }),
            LinkEvent::Client(Event::Subscribed { .. }),
        ]
    ));
    assert!(link.state().is_connected());
}

// [MQTT-6.0.0-2]
#[wasm_bindgen_test]
async fn a_frame_is_a_batch_and_a_packet_may_span_frames() {
    let network = Network::install();
    let (_link, batches) = open();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    batches.borrow_mut().clear();

    peer.send(&[publish("a", "1"), publish("a", "2"), publish("a", "3")]);
    assert_eq!(batches.borrow().len(), 1);
    assert_eq!(payloads(&batches.borrow()[0]), ["1", "2", "3"]);
    batches.borrow_mut().clear();

    for byte in wire(&[publish("a", "4")]) {
        peer.bytes(&[byte]);
    }
    assert_eq!(payloads(&batches.borrow().concat()), ["4"]);
}

#[wasm_bindgen_test]
async fn several_publications_are_one_frame_and_a_full_browser_is_waited_for() {
    let network = Network::install();
    let (link, batches) = open();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    let topic = TopicName::try_from("a").unwrap();

    peer.set_buffered(Link::MAX_BUFFERED + 1);
    for _ in 0..3 {
        link.publish(Publish::new(topic.clone(), "x")).unwrap();
    }
    settle().await;
    assert!(peer.frames().is_empty(), "the browser is full");
    assert_eq!(link.queued().0, 3);

    peer.set_buffered(0);
    let mut frames = Vec::new();
    until("the frames are written", || {
        frames.extend(peer.frames());
        !frames.is_empty()
    })
    .await;
    assert_eq!(frames.len(), 1);
    let sent = |event: &LinkEvent| matches!(event, LinkEvent::Client(Event::Published { .. }));
    until("all are told", || {
        batches
            .borrow()
            .concat()
            .iter()
            .filter(|event| sent(event))
            .count()
            == 3
    })
    .await;
}

#[wasm_bindgen_test]
async fn a_failure_is_explained_and_online_tries_again_at_once() {
    let network = Network::install();
    let (link, batches) = open();
    let peer = network.socket(0).await;
    peer.close(1006);
    {
        let events = batches.borrow().concat();
        let [
            LinkEvent::TransportFailed(failure),
            LinkEvent::Client(Event::Disconnected { why, .. }),
        ] = events.as_slice()
        else {
            panic!("{events:?}");
        };
        assert_eq!(*why, DisconnectCause::TransportNotOpened);
        assert_eq!(
            failure.to_string(),
            "ws://broker.test:8080/mqtt cannot be reached"
        );
        assert!(failure.advice().is_some());
    }
    assert!(matches!(link.state(), State::Waiting { attempt: 1, .. }));
    assert_eq!(network.made(), 1);
    dispatch("online");
    assert_eq!(network.made(), 2);
}

#[wasm_bindgen_test]
async fn a_page_that_is_seen_again_asks_whether_the_connection_lives() {
    let network = Network::install();
    let (link, _batches) = open();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    for event in ["visibilitychange", "pageshow", "online"] {
        dispatch(event);
        assert_eq!(peer.packets(), [Packet::PingReq], "{event}");
        peer.send(&[Packet::PingResp]);
    }
    assert!(link.state().is_connected());
}

fn reliable(number: u16) -> Packet {
    let Packet::Publish(mut message) = publish("a", "1") else {
        panic!("no PUBLISH");
    };
    message.qos = QoS::AtLeastOnce;
    message.packet_id = PacketId::new(number);
    Packet::Publish(message)
}

#[wasm_bindgen_test]
async fn acknowledgements_of_several_frames_are_one_frame_and_commands_do_not_wait_for_it() {
    let network = Network::install();
    let (link, batches) = open();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    for number in 1..=20 {
        peer.send(&[reliable(number)]);
    }
    let messages = batches.borrow().concat();
    assert_eq!(payloads(&messages).len(), 20, "messages are not kept back");
    assert_eq!(peer.frames().len(), 0);
    let mut frames = Vec::new();
    until("they are written", || {
        frames.extend(peer.frames());
        !frames.is_empty()
    })
    .await;
    settle().await;
    frames.extend(peer.frames());
    assert_eq!(frames.len(), 1);

    peer.send(&[reliable(21)]);
    let topic = TopicName::try_from("a").unwrap();
    link.publish(Publish::new(topic, "x")).unwrap();
    let written = peer.packets();
    assert!(
        matches!(written[..], [Packet::PubAck(_), Packet::Publish(_)]),
        "{written:?}"
    );
}

#[wasm_bindgen_test]
async fn a_page_that_is_left_ends_its_session_and_one_that_comes_back_begins_anew() {
    let network = Network::install();
    let (link, batches) = open();
    let filter = TopicFilter::try_from("#").unwrap();
    link.subscribe(vec![Subscription::new(filter, QoS::AtMostOnce)])
        .unwrap();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    assert!(matches!(peer.receive().await, Packet::Subscribe(_)));
    dispatch("pagehide");
    let Packet::Disconnect(goodbye) = peer.receive().await else {
        panic!("no DISCONNECT");
    };
    assert_eq!(goodbye.properties.session_expiry_interval, Some(0));
    assert!(peer.is_closed());
    let last = batches.borrow().concat().pop();
    assert!(matches!(
        last,
        Some(LinkEvent::Client(Event::Disconnected {
            why: DisconnectCause::Suspended,
            ..
        }))
    ));

    dispatch("pageshow");
    let mut next = network.socket(1).await;
    assert!(next.accept(false).await.clean_start);
    assert!(matches!(next.receive().await, Packet::Subscribe(_)));
}

#[wasm_bindgen_test]
async fn a_dead_connection_is_given_up_without_any_close_event() {
    let network = Network::install();
    let batches = Batches::default();
    let seen = Rc::clone(&batches);
    let options = ClientOptions {
        probe_timeout: Duration::from_millis(30),
        ..options()
    };
    let link = Link::open(url(), options, move |_, batch| {
        seen.borrow_mut().push(batch);
    });
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    link.reconnect_now();
    // No answer to PINGREQ, and no event of the socket either.
    until("it is given up", || peer.is_closed()).await;
    let lost = |event: &LinkEvent| {
        matches!(event, LinkEvent::Client(Event::Disconnected { why, .. })
            if *why == DisconnectCause::PingTimeout)
    };
    assert!(batches.borrow().concat().iter().any(lost));

    // The browser's own event comes at last, when there is another connection.
    link.reconnect_now();
    let mut next = network.socket(1).await;
    next.accept(true).await;
    peer.close(1006);
    assert!(link.state().is_connected());
    assert!(!next.is_closed());
}

#[wasm_bindgen_test]
async fn mqtt_6_0_0_1_a_text_frame_ends_the_connection() {
    let network = Network::install();
    let (_link, batches) = open();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    batches.borrow_mut().clear();
    peer.text("hello");
    let events = batches.borrow().concat();
    let Some(LinkEvent::TransportFailed(failure)) = events.first() else {
        panic!("{events:?}");
    };
    assert!(
        failure
            .to_string()
            .ends_with("the server sent a text frame")
    );
    assert!(peer.is_closed());
}

#[wasm_bindgen_test]
async fn bytes_that_are_no_mqtt_end_the_connection_and_nothing_else() {
    let network = Network::install();
    let (link, _batches) = open();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    peer.bytes(&[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(peer.is_closed());
    assert!(matches!(
        link.state(),
        State::Waiting {
            why: DisconnectCause::Protocol(_),
            ..
        }
    ));
}

#[wasm_bindgen_test]
async fn a_dropped_link_says_goodbye_and_hears_nothing_more() {
    let network = Network::install();
    let (link, batches) = open();
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    batches.borrow_mut().clear();
    drop(link);
    assert!(matches!(peer.packets().as_slice(), [Packet::Disconnect(_)]));
    assert!(peer.is_closed());
    peer.send(&[publish("a", "1")]);
    peer.close(1006);
    dispatch("online");
    settle().await;
    assert!(batches.borrow().is_empty());
    assert_eq!(network.made(), 1);
}

#[wasm_bindgen_test]
async fn the_handler_may_call_the_link_and_may_drop_it() {
    let network = Network::install();
    let holder: Rc<RefCell<Option<Link>>> = Rc::default();
    let held = Rc::clone(&holder);
    let link = Link::open(url(), options(), move |_, batch| {
        for event in batch {
            match event {
                LinkEvent::Client(Event::Connected { .. }) => {
                    let topic = TopicName::try_from("hello").unwrap();
                    let link = held.borrow();
                    link.as_ref()
                        .unwrap()
                        .publish(Publish::new(topic, ""))
                        .unwrap();
                }
                LinkEvent::Client(Event::Message(_)) => drop(held.take()),
                LinkEvent::Client(_) | LinkEvent::TransportFailed(_) => {}
            }
        }
    });
    *holder.borrow_mut() = Some(link);
    let mut peer = network.socket(0).await;
    peer.accept(false).await;
    assert!(matches!(peer.receive().await, Packet::Publish(_)));
    peer.send(&[publish("a", "1"), publish("a", "2")]);
    assert!(holder.borrow().is_none());
    assert!(peer.is_closed());
}

#[wasm_bindgen_test]
fn random_names_are_different_and_well_formed() {
    let (a, b) = (random::uuid(), random::uuid());
    assert_ne!(a, b);
    assert_eq!(a.len(), 36);
    assert_eq!(a.as_bytes()[14], b'4');
    let id = random::client_id("beaconry-web");
    assert_eq!(id.len(), "beaconry-web-".len() + 10);
    assert_ne!(id, random::client_id("beaconry-web"));
}
