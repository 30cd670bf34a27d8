//! The page's state in a real browser, with a server that the test plays: broker, API and changes.
#![cfg(target_arch = "wasm32")]
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

#[path = "../link/tests/browser/mod.rs"]
mod browser;

use std::cell::RefCell;
use std::rc::Rc;

use browser::{Network, Peer, publish, until};
use dashboard::state::{AppState, ConnectionView};
use fleet::PresenceKind;
use js_sys::Array;
use leptos::prelude::*;
use mqtt::packet::{ReasonProperties, RetainHandling};
use mqtt::{ConnAck, Packet, QoS, ReasonCode, SubAck, Subscribe, Utf8String};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(inline_js = "
const real = { fetch: globalThis.fetch, EventSource: globalThis.EventSource };
let answers = {};
export let asked = [];
class FakeStream extends EventTarget {
  static all = [];
  constructor(url) { super(); this.url = url; this.closed = false; FakeStream.all.push(this); }
  close() { this.closed = true; }
}
export function install_api() {
  answers = {};
  asked = [];
  FakeStream.all = [];
  globalThis.EventSource = FakeStream;
  globalThis.fetch = async (url, init) => {
    asked.push(`${init.method} ${url}`);
    const [path] = Object.keys(answers).filter((path) => url.startsWith(path)).sort((a, b) => b.length - a.length);
    const [status, body] = answers[path] ?? [404, ''];
    return new Response(body, { status });
  };
}
export function restore_api() { Object.assign(globalThis, real); }
export function answer(path, status, body) { answers[path] = [status, body]; }
export function requests() { return asked; }
export function streams() { return FakeStream.all.filter((it) => !it.closed).map((it) => it.url); }
export function tell(id, data) {
  for (const stream of FakeStream.all.filter((it) => !it.closed)) {
    stream.dispatchEvent(new MessageEvent('changes', { data, lastEventId: id }));
  }
}
")]
extern "C" {
    fn install_api();
    fn restore_api();
    fn answer(path: &str, status: u16, body: &str);
    fn requests() -> Array;
    fn streams() -> Array;
    fn tell(id: &str, data: &str);
}

const SERVER: &str = r#"{"id":"s1","version":"0.1.0","started_at_ms":1,"stores":false,
    "mqtt":{"port":1883,"max_packet_size":1,"clients":1}}"#;
const COUNTS: &str = r#"{"online":1,"sleeping":1,"stale":0,"offline":0,"unknown":0}"#;

fn device(id: &str, presence: &str) -> String {
    format!(
        r#"{{"id":"p/{id}","prefix_len":2,"name":"{id}","convention":"four topics","presence":{presence},
            "topics":["p/register/{id}","p/data/{id}"],"first_seen":"2026-12-01T08:00:00.000Z",
            "metrics":[{{"name":"temp","value":21.5,"time":"2026-12-01T08:29:59.000Z"}}]}}"#
    )
}

fn devices() -> String {
    let online = r#"{"state":"online","since":"2026-12-01T08:00:00.000Z"}"#;
    let asleep = r#"{"state":"sleeping","since":"2026-12-01T08:10:00.000Z"}"#;
    format!(
        r#"{{"now":"2026-12-01T08:30:00.000Z","cursor":"s1-7","counts":{COUNTS},"total":2,"devices":[{},{}]}}"#,
        device("a", online),
        device("b", asleep)
    )
}

struct Page {
    state: AppState,
    network: Network,
    /// Unmounts the page when it is dropped.
    _mounted: Box<dyn std::any::Any>,
}

impl Page {
    fn open() -> Self {
        let network = Network::install();
        install_api();
        answer("api/v1/server", 200, SERVER);
        answer("api/v1/devices", 200, &devices());
        let document = web_sys::window().unwrap().document().unwrap();
        let root = document.create_element("div").unwrap();
        document.body().unwrap().append_child(&root).unwrap();
        let made = Rc::new(RefCell::new(None));
        let handed_out = Rc::clone(&made);
        let mounted = leptos::mount::mount_to(root.unchecked_into(), move || {
            *handed_out.borrow_mut() = Some(AppState::provide());
        });
        let state = made.borrow_mut().take().unwrap();
        Self {
            state,
            network,
            _mounted: Box::new(mounted),
        }
    }

    /// The broker's end of a connection, accepted in the name of a server.
    async fn broker(&self, index: usize, server: &'static str) -> Peer {
        let mut peer = self.network.socket(index).await;
        peer.open();
        assert!(matches!(peer.receive().await, Packet::Connect(_)));
        let mut connack = ConnAck::new(false, ReasonCode::Success);
        connack.properties.user_properties = vec![(
            Utf8String::from_static("beaconry-server"),
            Utf8String::from_static(server),
        )];
        peer.send(&[Packet::ConnAck(connack)]);
        peer
    }

    fn notice_says(&self, text: &str) -> bool {
        self.state.connection().with_untracked(|connection| {
            matches!(connection, ConnectionView::Live { notice: Some(notice), .. }
                if notice.contains(text))
        })
    }

    fn kind(&self, id: &str) -> Option<PresenceKind> {
        let owner = Owner::new();
        let kind = owner.with(|| {
            let key = self.state.find(format!("p/{id}")).get_untracked()?;
            let card = self.state.card(key);
            card.with_untracked(|card| Some(card.as_ref()?.presence.kind()))
        });
        owner.cleanup();
        kind
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        restore_api();
    }
}

async fn subscribed(peer: &mut Peer) -> Subscribe {
    let Packet::Subscribe(subscribe) = peer.receive().await else {
        panic!("no SUBSCRIBE");
    };
    peer.send(&[Packet::SubAck(SubAck {
        packet_id: subscribe.packet_id,
        reason_codes: vec![ReasonCode::Success; subscribe.subscriptions.len()],
        properties: ReasonProperties::default(),
    })]);
    subscribe
}

fn filters(subscribe: &Subscribe) -> Vec<&str> {
    let all = subscribe.subscriptions.iter();
    all.map(|it| it.topic_filter.as_str()).collect()
}

#[wasm_bindgen_test]
async fn our_server_is_followed_and_its_word_counts() {
    let page = Page::open();
    let mut peer = page.broker(0, "s1").await;
    until("the devices are known", || page.kind("b").is_some()).await;
    assert_eq!(page.kind("a"), Some(PresenceKind::Online));
    assert_eq!(page.kind("b"), Some(PresenceKind::Sleeping));
    assert_eq!(streams().join(" "), "api/v1/changes?after=s1-7");
    // It is half past eight, whatever this machine's clock says.
    let now = page.state.wall_ms().0 - 1_796_113_800_000;
    assert!((0..10_000).contains(&now), "{now} ms");

    let subscribe = subscribed(&mut peer).await;
    assert_eq!(
        filters(&subscribe),
        ["p/register/a", "p/data/a", "p/register/b", "p/data/b"]
    );
    let first = &subscribe.subscriptions[0];
    assert_eq!(first.qos, QoS::AtMostOnce);
    assert_eq!(first.retain_handling, RetainHandling::DoNotSend);
    let (name, value) = &subscribe.user_properties[0];
    assert_eq!((name.as_str(), value.as_str()), ("beaconry-latest", "200"));
    // What came before the subscriptions is asked for.
    let asked = || String::from(requests().join(" "));
    until("it is", || asked().contains("&id=p%2Fa&id=p%2Fb")).await;

    // Messages change values, and the server alone says who is there.
    peer.send(&[publish("p/register/a", "SIGN_OUT")]);
    assert_eq!(page.kind("a"), Some(PresenceKind::Online));
    let gone = r#"{"state":"offline","reason":"keep-alive","since":"2026-12-01T08:30:01.000Z"}"#;
    tell(
        "s1-8",
        &format!(
            r#"{{"now":"2026-12-01T08:30:02.000Z","counts":{COUNTS},
                "changes":[{{"kind":"presence","id":"p/a","presence":{gone}}}]}}"#
        ),
    );
    assert_eq!(page.kind("a"), Some(PresenceKind::Offline));

    // A device goes at once, and at the server too.
    let key = page.state.find("p/b".to_owned()).get_untracked().unwrap();
    page.state.forget(key);
    assert_eq!(page.kind("b"), None);
    assert!(asked().contains("DELETE api/v1/devices/p%2Fb"));

    // Changes that are lost are made up for by the list, which knows what else has gone.
    answer("api/v1/devices?hidden=any", 200, &devices());
    tell(
        "s1-90",
        &format!(
            r#"{{"now":"2026-12-01T08:30:03.000Z","counts":{COUNTS},"changes":[{{"kind":"resync"}}]}}"#
        ),
    );
    until("it is back", || page.kind("b").is_some()).await;
    assert_eq!(page.kind("a"), Some(PresenceKind::Online));
}

#[wasm_bindgen_test]
async fn a_list_that_cannot_be_read_is_told_and_the_page_goes_on_alone() {
    let page = Page::open();
    answer("api/v1/devices", 404, "");
    let mut peer = page.broker(0, "s1").await;
    assert_eq!(filters(&subscribed(&mut peer).await), ["#"]);
    let notice = || page.notice_says("status 404");
    until("it is told", notice).await;
    peer.send(&[publish("p/register/c", "SIGN_IN")]);
    until("the device is known", || page.kind("c").is_some()).await;

    // The API is there again, and knows better.
    answer("api/v1/devices", 200, &devices());
    until("it is followed", || page.kind("b").is_some()).await;
    assert_eq!(page.kind("c"), None);
    until("it is told no more", || !notice()).await;
}

#[wasm_bindgen_test]
async fn a_list_that_is_only_late_is_awaited() {
    let page = Page::open();
    answer("api/v1/devices", 502, "");
    let mut peer = page.broker(0, "s1").await;
    until("it is told", || page.notice_says("status 502")).await;
    assert_eq!(page.kind("b"), None);
    answer("api/v1/devices", 200, &devices());
    until("it is followed", || page.kind("b").is_some()).await;
    // The page has never subscribed to everything.
    let subscribe = subscribed(&mut peer).await;
    assert!(!filters(&subscribe).contains(&"#"), "{subscribe:?}");
    assert!(!page.notice_says("status 502"));
}

#[wasm_bindgen_test]
async fn what_came_before_is_asked_for_again_if_that_fails() {
    let page = Page::open();
    answer("api/v1/devices?hidden=any&id=", 503, "");
    let mut peer = page.broker(0, "s1").await;
    until("the devices are known", || page.kind("b").is_some()).await;
    subscribed(&mut peer).await;
    let asked = || {
        let all = String::from(requests().join(" "));
        all.matches("&id=p%2Fa").count()
    };
    until("it is asked for", || asked() == 1).await;
    let newer = devices()
        .replace("21.5", "22.5")
        .replace("08:29:59", "08:30:59");
    answer("api/v1/devices?hidden=any&id=", 200, &newer);
    until("it is asked for again", || asked() == 2).await;
    assert!(!page.notice_says("cannot be asked for"));
}

#[wasm_bindgen_test]
async fn another_server_than_the_page_s_own_is_not_followed() {
    let page = Page::open();
    let mut peer = page.broker(0, "s2").await;
    assert_eq!(filters(&subscribed(&mut peer).await), ["#"]);
    assert!(!String::from(requests().join(" ")).contains("devices"));
    assert_eq!(streams().length(), 0);
}
