//! The page's state in a real browser, fed by a broker that the test plays.
#![cfg(target_arch = "wasm32")]
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

#[path = "../link/tests/browser/mod.rs"]
mod browser;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use browser::{Network, Peer, next_frame, publish, until};
use dashboard::state::{AppState, ConnectionView, Query};
use fleet::{CommandRequest, CommandState, DeviceKey};
use leptos::prelude::*;
use mqtt::packet::{Disconnect, ReasonProperties, RetainHandling};
use mqtt::{ConnAck, Packet, PubComp, PubRec, QoS, ReasonCode, SubAck, Subscribe, Subscription};
use wasm_bindgen::JsCast;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// A page that shows what `view` makes of the state, with its broker.
struct Page {
    state: AppState,
    network: Network,
    /// Unmounts the page when it is dropped.
    _mounted: Box<dyn std::any::Any>,
}

impl Page {
    fn open(view: impl FnOnce(AppState) + 'static) -> Self {
        let network = Network::install();
        let document = web_sys::window().unwrap().document().unwrap();
        let root = document.create_element("div").unwrap();
        document.body().unwrap().append_child(&root).unwrap();
        let made = Rc::new(RefCell::new(None));
        let handed_out = Rc::clone(&made);
        let mounted = leptos::mount::mount_to(root.unchecked_into(), move || {
            let state = AppState::provide();
            *handed_out.borrow_mut() = Some(state);
            view(state);
        });
        let state = made.borrow_mut().take().unwrap();
        Self {
            state,
            network,
            _mounted: Box::new(mounted),
        }
    }

    /// The broker's end of the first connection, accepted and subscribed.
    async fn broker(&self) -> Peer {
        let mut peer = self.network.socket(0).await;
        peer.accept(false).await;
        acknowledge(&mut peer).await;
        peer
    }

    async fn key(&self, id: &str) -> DeviceKey {
        let found = self.state.find(id.to_owned());
        until("the device is known", || found.get_untracked().is_some()).await;
        found.get_untracked().unwrap()
    }
}

async fn acknowledge(peer: &mut Peer) {
    let Packet::Subscribe(subscribe) = peer.receive().await else {
        panic!("no SUBSCRIBE");
    };
    assert_eq!(filters(&subscribe), ["#"]);
    assert_eq!(subscribe.subscriptions[0].qos, QoS::AtMostOnce);
    peer.send(&[granted(&subscribe)]);
}

fn filters(subscribe: &Subscribe) -> Vec<&str> {
    subscribe
        .subscriptions
        .iter()
        .map(|subscription| subscription.topic_filter.as_str())
        .collect()
}

fn granted(subscribe: &Subscribe) -> Packet {
    let granted = |subscription: &Subscription| match subscription.qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    };
    Packet::SubAck(SubAck {
        packet_id: subscribe.packet_id,
        reason_codes: subscribe.subscriptions.iter().map(granted).collect(),
        properties: ReasonProperties::default(),
    })
}

/// The next packet that is no SUBSCRIBE.
async fn receive(peer: &mut Peer) -> Packet {
    loop {
        match peer.receive().await {
            Packet::Subscribe(subscribe) => peer.send(&[granted(&subscribe)]),
            packet => return packet,
        }
    }
}

#[wasm_bindgen_test]
async fn a_thousand_messages_set_a_card_once_a_frame_and_only_if_it_is_looked_at() {
    let page = Page::open(|_| ());
    let peer = page.broker().await;
    until("it is live", || {
        page.state.connection().get_untracked().is_live()
    })
    .await;
    peer.send(&[
        publish("beaconry/register/a", "SIGN_IN"),
        publish("beaconry/register/b", "SIGN_IN"),
    ]);
    let a = page.key("a").await;

    let owner = Owner::new();
    let sets = Rc::new(Cell::new(0));
    let counted = Rc::clone(&sets);
    let card = owner.with(|| page.state.card(a));
    owner.with(|| {
        Effect::new(move |_| {
            card.track();
            counted.set(counted.get() + 1);
        });
    });
    until("it is shown", || sets.get() == 1).await;
    next_frame().await;
    let before = sets.get();
    for index in 0..1_000 {
        peer.send(&[
            publish("beaconry/data/a", &format!("{{\"temp\":{index}}}")),
            publish("beaconry/data/b", &format!("{{\"temp\":{index}}}")),
        ]);
    }
    assert_eq!(sets.get(), before, "not before the frame");
    until("it is drawn", || {
        card.with_untracked(|card| card.as_ref().unwrap().values.len() == 1)
    })
    .await;
    next_frame().await;
    assert_eq!(sets.get(), before + 1);
    let text = card.with_untracked(|card| card.as_ref().unwrap().values[0].text.clone());
    assert_eq!(text, "999");

    let metric = card.with_untracked(|card| card.as_ref().unwrap().trend.as_ref().unwrap().key);
    let last = page
        .state
        .with_series(a, metric, |series| series.values().last().copied());
    assert_eq!(last, Some(Some(999.0)), "all readings were taken up");
    assert_eq!(page.state.figures().messages, 2_002);
    owner.cleanup();
}

#[wasm_bindgen_test]
async fn the_list_follows_what_comes_and_what_is_asked() {
    let page = Page::open(|_| ());
    let peer = page.broker().await;
    peer.send(&[
        publish("beaconry/register/pump-10", "SIGN_IN"),
        publish("beaconry/register/pump-2", "SIGN_IN"),
        publish("beaconry/register/freezer", "SIGN_OUT"),
    ]);
    let list = page.state.list();
    until("all are listed", || {
        list.with_untracked(|list| list.keys.len() == 3)
    })
    .await;
    assert_eq!(page.state.counts().get_untracked().online(), 2);
    let pump = page.key("pump-2").await;
    page.state.query.set(Query {
        text: "PUMP".to_owned(),
        ..page.state.query.get_untracked()
    });
    until("the search is done", || {
        list.with_untracked(|list| list.keys.len() == 2)
    })
    .await;
    assert_eq!(list.with_untracked(|list| list.keys[0]), pump);
}

#[wasm_bindgen_test]
async fn the_first_devices_are_listed_in_the_frame_in_which_they_are_counted() {
    let seen: Rc<RefCell<Vec<(usize, usize)>>> = Rc::default();
    let noted = Rc::clone(&seen);
    let page = Page::open(move |state| {
        Effect::new(move |_| {
            let counted = state.counts().with(fleet::Counts::total);
            let listed = state.list().with(|list| list.keys.len());
            noted.borrow_mut().push((counted, listed));
        });
    });
    let peer = page.broker().await;
    // By now a list was made, of no device.
    next_frame().await;
    peer.send(&[
        publish("beaconry/register/a", "SIGN_IN"),
        publish("beaconry/register/b", "SIGN_IN"),
    ]);
    until("both are listed", || seen.borrow().last() == Some(&(2, 2))).await;
    let seen = seen.borrow();
    let torn = seen.iter().any(|(counted, listed)| counted != listed);
    assert!(!torn, "{seen:?}");
}

#[wasm_bindgen_test]
async fn a_command_is_published_with_qos_2_and_its_answer_comes_back_to_it() {
    let page = Page::open(|_| ());
    let mut peer = page.broker().await;
    peer.send(&[publish("beaconry/register/a", "SIGN_IN")]);
    let key = page.key("a").await;
    let owner = Owner::new();
    let commands = owner.with(|| page.state.commands(key));
    let uuid = page.state.send(key, CommandRequest::Named("PING")).unwrap();

    let Packet::Publish(request) = receive(&mut peer).await else {
        panic!("no PUBLISH");
    };
    assert_eq!(request.qos, QoS::ExactlyOnce);
    assert_eq!(request.topic.as_deref(), Some("beaconry/cmd/req/a"));
    let payload = String::from_utf8(request.payload.to_vec()).unwrap();
    assert_eq!(
        payload,
        format!("{{\"uuid\":\"{uuid}\",\"command\":\"PING\"}}")
    );
    let properties = &request.properties;
    assert_eq!(
        properties.correlation_data.as_deref(),
        Some(uuid.as_bytes())
    );
    assert!(properties.response_topic.is_some());

    let packet_id = request.packet_id.unwrap();
    let received = PubRec::new(packet_id, ReasonCode::Success);
    peer.send(&[Packet::PubRec(received)]);
    assert!(matches!(receive(&mut peer).await, Packet::PubRel(_)));
    let complete = PubComp::new(packet_id, ReasonCode::Success);
    peer.send(&[Packet::PubComp(complete)]);
    let answer = format!(
        "{{\"deviceId\":\"a\",\"messageType\":\"commandResp\",\"commandResult\":\"PONG\",\"uuid\":\"{uuid}\",\"command\":\"PING\"}}"
    );
    peer.send(&[publish("beaconry/cmd/resp/a", &answer)]);
    let answered = || {
        commands.with_untracked(|commands| {
            let command = commands.as_ref().and_then(|commands| commands.first());
            matches!(
                command.map(fleet::Command::state),
                Some(CommandState::Answered { ok: true, .. })
            )
        })
    };
    until("it is answered", answered).await;
    owner.cleanup();
}

#[wasm_bindgen_test]
async fn a_lost_connection_counts_down_and_resumes_its_session() {
    let page = Page::open(|_| ());
    let mut first = page.network.socket(0).await;
    let connect = first.accept(false).await;
    acknowledge(&mut first).await;
    assert!(connect.clean_start);
    first.close(1006);
    let connection = page.state.connection();
    let waits = || {
        matches!(
            connection.get_untracked(),
            ConnectionView::Reconnecting { .. }
        )
    };
    until("it waits", waits).await;
    page.state.reconnect();
    let mut second = page.network.socket(1).await;
    let again = second.accept(true).await;
    assert!(!again.clean_start, "the session goes on");
    assert_eq!(again.client_id, connect.client_id);
    assert_eq!(second.packets(), [], "nothing is subscribed to twice");
    until("it is live", || connection.get_untracked().is_live()).await;
}

#[wasm_bindgen_test]
async fn another_broker_is_asked_for_promises_where_they_matter_and_copies_count_once() {
    let page = Page::open(|_| ());
    let mut peer = page.broker().await;
    peer.send(&[publish("beaconry/register/a", "SIGN_IN")]);
    let Packet::Subscribe(subscribe) = peer.receive().await else {
        panic!("no SUBSCRIBE");
    };
    assert_eq!(
        filters(&subscribe),
        [
            "beaconry/register/+",
            "beaconry/cmd/req/+",
            "beaconry/cmd/resp/+"
        ]
    );
    let first = &subscribe.subscriptions[0];
    assert_eq!(first.qos, QoS::ExactlyOnce);
    assert_eq!(first.retain_handling, RetainHandling::DoNotSend);
    let identifier = subscribe.subscription_identifier.unwrap();
    peer.send(&[granted(&subscribe)]);

    let key = page.key("a").await;
    let messages = |page: &Page| {
        let owner = Owner::new();
        let device = owner.with(|| page.state.device(key));
        let count = device.with_untracked(|device| device.as_ref().unwrap().message_count);
        owner.cleanup();
        count
    };
    let Packet::Publish(mut certain) = publish("beaconry/register/a", "SIGN_OUT") else {
        panic!("no PUBLISH");
    };
    certain.properties.subscription_identifiers = vec![identifier];
    let before = messages(&page);
    peer.send(&[
        Packet::Publish(certain),
        publish("beaconry/register/a", "SIGN_OUT"),
    ]);
    assert_eq!(messages(&page), before + 1);
}

#[wasm_bindgen_test]
async fn a_page_that_was_too_slow_begins_anew_and_says_so() {
    let page = Page::open(|_| ());
    let peer = page.broker().await;
    peer.send(&[Packet::Disconnect(Disconnect::new(
        ReasonCode::QuotaExceeded,
    ))]);
    page.state.reconnect();
    let mut second = page.network.socket(1).await;
    assert!(second.accept(false).await.clean_start);
    acknowledge(&mut second).await;
    let told = || {
        page.state.connection().with_untracked(|connection| {
            matches!(connection,
                ConnectionView::Live { notice: Some(notice), .. } if notice.contains("could not keep up"))
        })
    };
    until("it is told", told).await;
}

#[wasm_bindgen_test]
async fn credentials_are_asked_for_and_used() {
    let page = Page::open(|_| ());
    let peer = page.network.socket(0).await;
    peer.open();
    let connection = page.state.connection();
    peer.send(&[Packet::ConnAck(ConnAck::new(
        false,
        ReasonCode::NotAuthorized,
    ))]);
    let asks = |again: bool| {
        matches!(connection.get_untracked(),
            ConnectionView::CredentialsNeeded { refused } if refused == again)
    };
    until("it asks", || asks(false)).await;
    page.state.log_in("ada", "wrong").unwrap();
    let mut peer = page.network.socket(1).await;
    peer.open();
    let Packet::Connect(connect) = peer.receive().await else {
        panic!("no CONNECT");
    };
    assert_eq!(connect.user_name.as_deref(), Some("ada"));
    assert_eq!(connect.password.as_deref(), Some(&b"wrong"[..]));
    let refused = ConnAck::new(false, ReasonCode::BadUserNameOrPassword);
    peer.send(&[Packet::ConnAck(refused)]);
    until("it asks again", || asks(true)).await;
    assert!(page.state.log_in("a\0b", "").is_err());
}
