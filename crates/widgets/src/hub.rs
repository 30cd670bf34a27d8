//! One connection to a broker for all elements of a page.

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use fleet::{
    Device, Fleet, FleetOptions, Message, ObserverState, Presence, PresenceKind, Timestamp,
};
use link::{BrokerUrl, Link, LinkEvent, PageAddress, Timer, random};
use mqtt::client::{ClientOptions, Event, State};
use mqtt::{Publish, QoS, RetainHandling, Subscription, TopicFilter};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::element::own_broker;
use crate::source::Source;

/// Everything is drawn again at least this often, in milliseconds. The reason is that at midnight a
/// time of day becomes one of yesterday's. In every time zone midnight is at a whole quarter of an
/// hour.
const QUARTER_HOUR_MS: u32 = 900_000;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = requestAnimationFrame)]
    fn request_animation_frame(draw: &JsValue);
}

/// The page that the elements stand in: its connections, and the one place that draws. It lives
/// as long as the page does.
pub(crate) struct Page {
    pub(crate) address: PageAddress,
    hubs: RefCell<Vec<Weak<Hub>>>,
    frame: Closure<dyn Fn()>,
    frame_asked: Cell<bool>,
}

impl Page {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new_cyclic(|weak: &Weak<Self>| {
            let weak = Weak::clone(weak);
            Self {
                address: PageAddress::beside(own_broker()),
                hubs: RefCell::default(),
                frame: Closure::new(move || {
                    if let Some(page) = weak.upgrade() {
                        page.draw();
                    }
                }),
                frame_asked: Cell::default(),
            }
        })
    }

    /// The connection to `url`. Opens it if there is none yet.
    pub(crate) fn hub(self: &Rc<Self>, url: BrokerUrl) -> Rc<Hub> {
        let mut hubs = self.hubs.borrow_mut();
        hubs.retain(|hub| hub.strong_count() > 0);
        let same = |hub: &Rc<Hub>| *hub.link.url() == url;
        if let Some(hub) = hubs.iter().filter_map(Weak::upgrade).find(same) {
            return hub;
        }
        let hub = Hub::open(Rc::clone(self), url);
        hubs.push(Rc::downgrade(&hub));
        hub
    }

    /// Draws everything once, in the next frame. A hidden page has no frames.
    fn ask_for_frame(&self) {
        if !self.frame_asked.replace(true) {
            request_animation_frame(self.frame.as_ref());
        }
    }

    fn draw(&self) {
        self.frame_asked.set(false);
        let hubs: Vec<_> = self
            .hubs
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for hub in hubs {
            let watchers: Vec<_> = hub
                .watchers
                .borrow()
                .iter()
                .filter_map(Weak::upgrade)
                .collect();
            for watcher in watchers {
                watcher.draw();
            }
        }
    }
}

/// An element that follows one device.
pub(crate) trait Watcher {
    /// Which device.
    fn source(&self) -> &Source;
    /// Draws what has changed, if anything has.
    fn draw(&self);
}

/// A connection and what came over it. Lives as long as an element holds it.
pub(crate) struct Hub {
    page: Rc<Page>,
    link: Link,
    fleet: RefCell<Fleet>,
    watchers: RefCell<Vec<Weak<dyn Watcher>>>,
    /// The filters that the broker does not let this page subscribe to.
    refused: RefCell<Vec<TopicFilter>>,
    timer: Timer,
    /// The quarter of an hour in which everything was last drawn.
    quarter: Cell<i64>,
}

/// What is known about a device now.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) enum DeviceState {
    /// There was no connection yet.
    Connecting,
    /// The broker wants a user name and password, or the connection was stopped.
    Refused,
    /// The broker does not let this page read what the device sends.
    Forbidden,
    /// The connection is lost, and comes back by itself. Before that, the presence was this one.
    Lost(PresenceKind),
    /// Connected, and no message of the device has come.
    Silent,
    /// What the device's messages say.
    Known {
        /// Whether it is there.
        presence: Presence,
        /// Whether the presence began at its `since`. Otherwise it may have begun earlier.
        exact: bool,
    },
}

impl Hub {
    fn open(page: Rc<Page>, url: BrokerUrl) -> Rc<Self> {
        Rc::new_cyclic(|weak: &Weak<Self>| {
            let options = ClientOptions {
                // This is long enough even for the timers of a background tab, which run once a
                // minute at worst.
                keep_alive: 120,
                // The session need not last, because the retained messages say again what was
                // missed.
                session_expiry_interval: 0,
                // A page may have many elements, each with a few filters.
                subscription_limit: 16_384,
                seed: random::seed(),
                ..ClientOptions::new(random::client_id("beaconry-widget"))
            };
            let (on_batch, on_time) = (Weak::clone(weak), Weak::clone(weak));
            Self {
                page,
                link: Link::open(url, options, move |_, batch| {
                    if let Some(hub) = on_batch.upgrade() {
                        hub.handle(batch);
                    }
                }),
                fleet: RefCell::new(Fleet::new(FleetOptions {
                    max_devices: 4_000,
                    max_bytes: 8 << 20,
                    // These two are the presence now and the one before the connection was lost.
                    max_presence_history: 2,
                    ..FleetOptions::default()
                })),
                watchers: RefCell::default(),
                refused: RefCell::default(),
                quarter: Cell::default(),
                timer: Timer::new(move || {
                    if let Some(hub) = on_time.upgrade() {
                        hub.turn(now());
                    }
                }),
            }
        })
    }

    /// Follows a device. The watcher is called at most once a frame, when anything has changed.
    pub(crate) fn join(&self, watcher: &Rc<impl Watcher + 'static>) {
        let filters = watcher.source().filters.iter();
        let new = filters.filter(|filter| !self.uses(filter)).cloned();
        let subscriptions: Vec<_> = new.map(subscription).collect();
        let weak = Rc::downgrade(watcher);
        self.watchers.borrow_mut().push(weak);
        if !subscriptions.is_empty() {
            // This fails only above the client's own limit of topic filters. The element then says
            // that nothing was heard.
            let _ = self.link.subscribe(subscriptions);
        }
        self.page.ask_for_frame();
    }

    /// A watcher of `source` has gone: ends the subscriptions that no other one uses.
    pub(crate) fn leave(&self, source: &Source) {
        let living = |watcher: &Weak<dyn Watcher>| watcher.strong_count() > 0;
        self.watchers.borrow_mut().retain(living);
        let filters = source.filters.iter();
        let unused: Vec<_> = filters
            .filter(|filter| !self.uses(filter))
            .cloned()
            .collect();
        if unused.is_empty() {
            return;
        }
        let still_used = |filter: &TopicFilter| !unused.contains(filter);
        self.refused.borrow_mut().retain(still_used);
        let _ = self.link.unsubscribe(unused);
    }

    /// What is known about the device of `source` now.
    pub(crate) fn state(&self, source: &Source) -> DeviceState {
        let connected = self.link.with_state(|state| match state {
            State::Connected { .. } => Some(true),
            State::Opening { .. } | State::Connecting { .. } | State::Waiting { .. } => Some(false),
            State::CredentialsNeeded { .. } | State::Stopped { .. } => None,
        });
        match connected {
            Some(true) => {}
            Some(false) => {
                return self
                    .look(source, last_known)
                    .map_or(DeviceState::Connecting, DeviceState::Lost);
            }
            None => return DeviceState::Refused,
        }
        let now = |device: &Device| DeviceState::Known {
            presence: *device.presence(),
            exact: device.is_since_exact(),
        };
        if let Some(state) = self.look(source, now) {
            return state;
        }
        let refused = self.refused.borrow();
        if source.filters.iter().all(|filter| refused.contains(filter)) {
            return DeviceState::Forbidden;
        }
        DeviceState::Silent
    }

    /// Reads something of the device, if it is known.
    fn look<T>(&self, source: &Source, at: impl FnOnce(&Device) -> T) -> Option<T> {
        let fleet = self.fleet.borrow();
        // A device may also publish under the bare id. But another device with this id, which an
        // element with another prefix follows, does not count.
        let names = [
            [&source.prefix, "/", &source.device].concat(),
            source.device.clone(),
        ];
        let mut keys = names.iter().filter_map(|name| fleet.find(name));
        let key = keys.find(|key| {
            let device = fleet.device(*key);
            device.is_some_and(|device| names.contains(&device.full_id()))
        })?;
        fleet.device(key).map(at)
    }

    fn uses(&self, filter: &TopicFilter) -> bool {
        let watchers = self.watchers.borrow();
        let mut living = watchers.iter().filter_map(Weak::upgrade);
        living.any(|watcher| watcher.source().filters.contains(filter))
    }

    fn handle(&self, batch: Vec<LinkEvent>) {
        let now = now();
        for event in batch {
            let LinkEvent::Client(event) = event else {
                continue;
            };
            if !matches!(event, Event::Message(_)) {
                self.page.ask_for_frame();
            }
            let mut fleet = self.fleet.borrow_mut();
            match event {
                Event::Message(publish) => give(&mut fleet, now, &publish),
                Event::Connected { .. } => fleet.handle_observer(now, ObserverState::Connected),
                Event::Disconnected { .. } => {
                    fleet.handle_observer(now, ObserverState::Disconnected);
                }
                Event::Subscribed {
                    topic_filters,
                    reason_codes,
                    ..
                } => {
                    let mut refused = self.refused.borrow_mut();
                    refused.retain(|filter| !topic_filters.contains(filter));
                    let answers = topic_filters.into_iter().zip(reason_codes);
                    let errors = answers.filter(|(_, code)| code.is_error());
                    refused.extend(errors.map(|(filter, _)| filter));
                }
                Event::OpenTransport
                | Event::CloseTransport
                | Event::CredentialsNeeded { .. }
                | Event::Published { .. }
                | Event::Unsubscribed { .. } => {}
            }
        }
        self.turn(now);
    }

    /// Judges silence, and arms the timer for the next time. A message that changes no presence
    /// draws nothing.
    fn turn(&self, now: Timestamp) {
        let mut fleet = self.fleet.borrow_mut();
        fleet.handle_timeout(now);
        while fleet.poll_event().is_some() {
            self.page.ask_for_frame();
        }
        let next = fleet.poll_timeout();
        drop(fleet);
        let (quarter, passed) = quarter_hour(now);
        if self.quarter.replace(quarter) != quarter {
            self.page.ask_for_frame();
        }
        let wait = next.map_or(i64::MAX, |next| next.ms_since(now).max(10));
        let wait = u32::try_from(wait).unwrap_or(u32::MAX);
        self.timer.start(wait.min(QUARTER_HOUR_MS - passed));
    }
}

/// What was known of the device before the connection was lost.
fn last_known(device: &Device) -> PresenceKind {
    let mut kinds = device.history().rev().map(|span| span.presence.kind());
    let known = kinds.find(|kind| *kind != PresenceKind::Unknown);
    known.unwrap_or(PresenceKind::Unknown)
}

/// Which quarter of an hour this is, and how many milliseconds of it have passed.
fn quarter_hour(now: Timestamp) -> (i64, u32) {
    let length = i64::from(QUARTER_HOUR_MS);
    let passed = u32::try_from(now.0.rem_euclid(length)).unwrap_or(0);
    (now.0.div_euclid(length), passed)
}

/// Which quarter of an hour it is now.
pub(crate) fn this_quarter_hour() -> i64 {
    quarter_hour(now()).0
}

fn subscription(topic_filter: TopicFilter) -> Subscription {
    Subscription {
        retain_handling: RetainHandling::Send,
        ..Subscription::new(topic_filter, QoS::AtLeastOnce)
    }
}

fn give(fleet: &mut Fleet, now: Timestamp, publish: &Publish) {
    let Some(topic) = &publish.topic else { return };
    fleet.handle_message(
        now,
        Message {
            retained: publish.retain,
            duplicate: publish.dup,
            ..Message::new(topic.as_str(), &publish.payload)
        },
    );
}

#[allow(clippy::cast_possible_truncation)] // milliseconds fit an i64 for 292 million years
fn now() -> Timestamp {
    Timestamp(js_sys::Date::now() as i64)
}
