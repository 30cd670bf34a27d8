//! One connection to a broker for all elements of a page.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use fleet::{Fleet, FleetOptions, Message, ObserverState, Presence, Timestamp};
use gloo_timers::callback::Timeout;
use link::{BrokerUrl, Link, LinkEvent, random};
use mqtt::client::{ClientOptions, Event, State};
use mqtt::{Publish, QoS, RetainHandling, Subscription, TopicFilter};
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

use crate::source::Source;

thread_local! {
    static HUBS: RefCell<BTreeMap<String, Weak<Hub>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The connection and what came over it. Lives as long as a [`Watch`] of it.
pub(crate) struct Hub {
    link: Link,
    fleet: RefCell<Fleet>,
    watches: RefCell<BTreeMap<u32, Watcher>>,
    next_watch: Cell<u32>,
    timer: RefCell<Option<Timeout>>,
    frame_asked: Cell<bool>,
}

struct Watcher {
    filters: Vec<TopicFilter>,
    redraw: Rc<dyn Fn()>,
}

/// An element's interest in one device; dropping it ends the subscriptions that no other
/// element needs.
pub(crate) struct Watch {
    hub: Rc<Hub>,
    number: u32,
    source: Source,
}

/// What can be said of a device now.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) enum Sight {
    /// There was no connection yet.
    Connecting,
    /// The broker wants a user name and password, or the connection was stopped.
    Refused,
    /// The connection is lost; it comes back by itself.
    Lost,
    /// Connected, and no message of the device has come.
    Silent,
    /// What the device's messages say.
    Known(Presence),
}

impl Hub {
    /// The hub for `url`, which the page may have already.
    pub(crate) fn of(url: BrokerUrl) -> Rc<Self> {
        HUBS.with_borrow_mut(|hubs| {
            hubs.retain(|_, hub| hub.strong_count() > 0);
            if let Some(hub) = hubs.get(url.as_str()).and_then(Weak::upgrade) {
                return hub;
            }
            let name = url.as_str().to_owned();
            let hub = Self::open(url);
            hubs.insert(name, Rc::downgrade(&hub));
            hub
        })
    }

    fn open(url: BrokerUrl) -> Rc<Self> {
        Rc::new_cyclic(|weak: &Weak<Self>| {
            let weak = Weak::clone(weak);
            let options = ClientOptions {
                // Timers of a background tab run once a minute at worst.
                keep_alive: 120,
                // What was missed is told again by the retained messages.
                session_expiry_interval: 0,
                seed: random::seed(),
                ..ClientOptions::new(random::client_id("beaconry-widget"))
            };
            Self {
                link: Link::open(url, options, move |_, batch| {
                    if let Some(hub) = weak.upgrade() {
                        hub.handle(batch);
                    }
                }),
                fleet: RefCell::new(Fleet::new(FleetOptions {
                    max_devices: 1_000,
                    max_bytes: 8 << 20,
                    max_queued_samples: 1,
                    ..FleetOptions::default()
                })),
                watches: RefCell::default(),
                next_watch: Cell::default(),
                timer: RefCell::default(),
                frame_asked: Cell::default(),
            }
        })
    }

    /// Follows a device; `redraw` is called, at most once a frame, when anything has changed.
    pub(crate) fn watch(self: &Rc<Self>, source: Source, redraw: Rc<dyn Fn()>) -> Watch {
        let wanted = source
            .filters
            .iter()
            .filter(|filter| !self.needs(filter))
            .cloned();
        let subscriptions: Vec<_> = wanted.map(subscription).collect();
        let number = self.next_watch.get();
        self.next_watch.set(number.wrapping_add(1));
        let watcher = Watcher {
            filters: source.filters.clone(),
            redraw,
        };
        self.watches.borrow_mut().insert(number, watcher);
        if !subscriptions.is_empty() {
            // Refused only above the client's own limit of topic filters: the element then
            // says that no word has come.
            let _ = self.link.subscribe(subscriptions);
        }
        Watch {
            hub: Rc::clone(self),
            number,
            source,
        }
    }

    fn needs(&self, filter: &TopicFilter) -> bool {
        self.watches
            .borrow()
            .values()
            .any(|watcher| watcher.filters.contains(filter))
    }

    fn handle(self: &Rc<Self>, batch: Vec<LinkEvent>) {
        let now = now();
        {
            let mut fleet = self.fleet.borrow_mut();
            for event in batch {
                match event {
                    LinkEvent::Client(Event::Message(publish)) => give(&mut fleet, now, &publish),
                    LinkEvent::Client(Event::Connected { .. }) => {
                        fleet.handle_observer(now, ObserverState::Connected);
                    }
                    LinkEvent::Client(Event::Disconnected { .. }) => {
                        fleet.handle_observer(now, ObserverState::Disconnected);
                    }
                    LinkEvent::Client(_) | LinkEvent::TransportFailed(_) => {}
                }
            }
        }
        self.turn(now);
    }

    /// Draws what has changed, and arms the timer for what will change by itself.
    fn turn(self: &Rc<Self>, now: Timestamp) {
        let mut fleet = self.fleet.borrow_mut();
        fleet.handle_timeout(now);
        // The elements look at the devices themselves.
        while fleet.poll_event().is_some() {}
        let next = fleet.poll_timeout();
        drop(fleet);
        let weak = Rc::downgrade(self);
        *self.timer.borrow_mut() = next.map(|next| {
            let wait = u32::try_from(next.0.saturating_sub(now.0))
                .unwrap_or(0)
                .clamp(10, 60_000);
            Timeout::new(wait, move || {
                if let Some(hub) = weak.upgrade() {
                    hub.turn(self::now());
                }
            })
        });
        self.ask_for_frame();
    }

    fn ask_for_frame(self: &Rc<Self>) {
        if self.frame_asked.replace(true) {
            return;
        }
        let weak = Rc::downgrade(self);
        let draw = Closure::once_into_js(move || {
            if let Some(hub) = weak.upgrade() {
                hub.frame_asked.set(false);
                let redraws: Vec<_> = hub
                    .watches
                    .borrow()
                    .values()
                    .map(|watcher| Rc::clone(&watcher.redraw))
                    .collect();
                for redraw in redraws {
                    redraw();
                }
            }
        });
        if let Some(window) = web_sys::window() {
            let _ = window.request_animation_frame(draw.unchecked_ref());
        }
    }
}

impl Watch {
    /// What can be said of the device now.
    pub(crate) fn sight(&self) -> Sight {
        match self.hub.link.state() {
            State::Connected { .. } => {}
            State::CredentialsNeeded { .. } | State::Stopped { .. } => return Sight::Refused,
            State::Opening { .. } | State::Connecting { .. } | State::Waiting { .. } => {
                return if self.presence().is_some() {
                    Sight::Lost
                } else {
                    Sight::Connecting
                };
            }
        }
        self.presence().map_or(Sight::Silent, Sight::Known)
    }

    fn presence(&self) -> Option<Presence> {
        let fleet = self.hub.fleet.borrow();
        let Source { device, prefix, .. } = &self.source;
        let key = fleet
            .find(&format!("{prefix}/{device}"))
            .or_else(|| fleet.find(device))?;
        Some(*fleet.device(key)?.presence())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let watcher = self.hub.watches.borrow_mut().remove(&self.number);
        let filters = watcher.map(|watcher| watcher.filters).unwrap_or_default();
        let unneeded: Vec<_> = filters
            .into_iter()
            .filter(|filter| !self.hub.needs(filter))
            .collect();
        if !unneeded.is_empty() {
            let _ = self.hub.link.unsubscribe(unneeded);
        }
    }
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
