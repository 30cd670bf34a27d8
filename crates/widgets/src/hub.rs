//! One connection to a broker for all elements of a page.

use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use fleet::{
    Device, Fleet, FleetOptions, Message, ObserverState, Presence, PresenceKind, Timestamp,
};
use js_sys::Function;
use link::{BrokerUrl, Link, LinkEvent, PageAddress, Timer, UrlError, random};
use mqtt::client::{ClientOptions, Event, State};
use mqtt::{Publish, QoS, RetainHandling, Subscription, TopicFilter};
use wasm_bindgen::JsValue;

use crate::source::Source;

/// The connections of the page that the elements stand in. It lives as long as the page does.
pub(crate) struct Hubs {
    address: PageAddress,
    open: RefCell<Vec<Weak<Hub>>>,
    /// Is called when what an element shows may have changed.
    changed: Function,
}

impl Hubs {
    /// `own_broker` is the broker that belongs to the script: `http://HOST/mqtt`.
    pub(crate) fn new(own_broker: String, changed: Function) -> Self {
        Self {
            address: PageAddress::beside(own_broker),
            open: RefCell::default(),
            changed,
        }
    }

    /// The connection to a broker. Opens it if there is none yet.
    pub(crate) fn hub(&self, broker: Option<&str>) -> Result<Rc<Hub>, UrlError> {
        let url = self.address.broker_url(broker)?;
        let mut hubs = self.open.borrow_mut();
        hubs.retain(|hub| hub.strong_count() > 0);
        let same = |hub: &Rc<Hub>| *hub.link.url() == url;
        if let Some(hub) = hubs.iter().filter_map(Weak::upgrade).find(same) {
            return Ok(hub);
        }
        let hub = Hub::open(url, self.changed.clone());
        hubs.push(Rc::downgrade(&hub));
        Ok(hub)
    }
}

/// A connection and what came over it. Lives as long as an element holds it.
pub(crate) struct Hub {
    link: Link,
    fleet: RefCell<Fleet>,
    /// The devices that elements follow, one entry for each element.
    followed: RefCell<Vec<Rc<Source>>>,
    /// The filters that the broker does not let this page subscribe to.
    refused: RefCell<Vec<TopicFilter>>,
    timer: Timer,
    changed: Function,
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
    fn open(url: BrokerUrl, changed: Function) -> Rc<Self> {
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
                followed: RefCell::default(),
                refused: RefCell::default(),
                timer: Timer::new(move || {
                    if let Some(hub) = on_time.upgrade() {
                        hub.turn(now());
                    }
                }),
                changed,
            }
        })
    }

    /// Follows a device.
    pub(crate) fn join(&self, source: &Rc<Source>) {
        let filters = source.filters.iter();
        let new = filters.filter(|filter| !self.uses(filter)).cloned();
        let subscriptions: Vec<_> = new.map(subscription).collect();
        self.followed.borrow_mut().push(Rc::clone(source));
        if !subscriptions.is_empty() {
            // This fails only above the client's own limit of topic filters. The element then says
            // that nothing was heard.
            let _ = self.link.subscribe(subscriptions);
        }
    }

    /// An element that followed `source` has gone: ends the subscriptions that no other one uses.
    pub(crate) fn leave(&self, source: &Rc<Source>) {
        let mut followed = self.followed.borrow_mut();
        if let Some(at) = followed.iter().position(|other| Rc::ptr_eq(other, source)) {
            followed.swap_remove(at);
        }
        drop(followed);
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

    /// What an element shows may have changed.
    fn changed(&self) {
        // Nothing can be done about a page whose own function fails.
        let _ = self.changed.call0(&JsValue::NULL);
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
        let names = source.ids();
        let mut keys = names.iter().filter_map(|name| fleet.find(name));
        let key = keys.find(|key| {
            let device = fleet.device(*key);
            device.is_some_and(|device| names.contains(&device.full_id()))
        })?;
        fleet.device(key).map(at)
    }

    fn uses(&self, filter: &TopicFilter) -> bool {
        let followed = self.followed.borrow();
        followed
            .iter()
            .any(|source| source.filters.contains(filter))
    }

    fn handle(&self, batch: Vec<LinkEvent>) {
        let now = now();
        for event in batch {
            let LinkEvent::Client(event) = event else {
                continue;
            };
            if !matches!(event, Event::Message(_)) {
                self.changed();
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
            self.changed();
        }
        let next = fleet.poll_timeout();
        drop(fleet);
        // Some years at most: a browser takes 24 days, and the timer is started again then.
        let wait = next.map_or(i64::MAX, |next| next.ms_since(now).max(10));
        self.timer.start(u32::try_from(wait).unwrap_or(u32::MAX));
    }
}

/// What was known of the device before the connection was lost.
fn last_known(device: &Device) -> PresenceKind {
    let mut kinds = device.history().rev().map(|span| span.presence.kind());
    let known = kinds.find(|kind| *kind != PresenceKind::Unknown);
    known.unwrap_or(PresenceKind::Unknown)
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
