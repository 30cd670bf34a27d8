//! The page's one state: it drives the link, and tells the screen once a frame.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use fleet::{Command, CommandRequest, Counts, DeviceKey, MetricKey, Position, Timestamp};
use gloo_timers::callback::Interval;
use leptos::prelude::*;
use link::{BrokerUrl, Clock, Link, LinkEvent, PageAddress, Timer, TransportFailure, random};
use mqtt::client::{ClientOptions, Event};
use mqtt::{Instant, TopicFilter, Utf8String};

use super::connection::ConnectionView;
use super::core::Core;
use super::list::{Listing, Query, Sort};
use super::messages::RawMessage;
use super::pace::{Due, Pace};
use super::parameters::{Parameters, refusal, subscription};
use super::preferences::{self, ChartWindow, Choice, Layout};
use super::series::Series;
use super::slots::{Commands, Messages, Slots, View};
use super::views::{CardView, DeviceView};
use crate::frame::{Drawable, FrameLoop, Phase};

/// What the screen shows. The [module](super) says how to use it.
#[derive(Copy, Clone)]
pub struct AppState {
    inner: StoredValue<Rc<Inner>, LocalStorage>,
    connection: RwSignal<ConnectionView>,
    counts: RwSignal<Counts>,
    list: RwSignal<Listing>,
    now: RwSignal<Timestamp>,
    /// What the list shows. Set it, and the list follows in the next frame. Its order is remembered.
    pub query: RwSignal<Query>,
    /// How the fleet is laid out; remembered.
    pub layout: RwSignal<Layout>,
    /// How much time the charts show; remembered.
    pub window: RwSignal<ChartWindow>,
}

struct Inner {
    core: RefCell<Core>,
    slots: RefCell<Slots>,
    link: RefCell<Option<Link>>,
    frame: RefCell<Option<Drawable>>,
    /// Until the next frame that draws what has arrived.
    draw_timer: RefCell<Option<Timer>>,
    pace: RefCell<Pace>,
    clock: Clock,
    ticker: RefCell<Option<Interval>>,
    failure: RefCell<Option<TransportFailure>>,
    notice: RefCell<Option<String>>,
    logged_in: Cell<bool>,
    list_due: Cell<bool>,
    list_made: Cell<f64>,
}

/// Keep alive, in seconds: twice what a background tab's timer may be late, and more.
const KEEP_ALIVE: u16 = 120;
/// How long the broker keeps our session while we are away, in seconds.
const SESSION_EXPIRY: u32 = 300;

impl AppState {
    /// Connects as the page's address says, and provides the state as a context. Call this once for
    /// each page.
    pub fn provide() -> Self {
        let state = Self::new();
        provide_context(state);
        state.start();
        state
    }

    /// The state, provided further up.
    ///
    /// # Panics
    /// Outside of the application.
    pub fn expect() -> Self {
        expect_context()
    }

    fn new() -> Self {
        let query = Query {
            sort: preferences::load(),
            ..Query::default()
        };
        let inner = Inner {
            core: RefCell::default(),
            slots: RefCell::default(),
            link: RefCell::default(),
            frame: RefCell::default(),
            draw_timer: RefCell::default(),
            pace: RefCell::default(),
            clock: Clock::new(),
            ticker: RefCell::default(),
            failure: RefCell::default(),
            notice: RefCell::default(),
            logged_in: Cell::new(false),
            list_due: Cell::new(false),
            list_made: Cell::new(f64::NEG_INFINITY),
        };
        Self {
            inner: StoredValue::new_local(Rc::new(inner)),
            connection: RwSignal::new(ConnectionView::Connecting { attempt: 0 }),
            counts: RwSignal::default(),
            list: RwSignal::default(),
            now: RwSignal::new(Timestamp(wall_clock())),
            query: RwSignal::new(query),
            layout: RwSignal::new(preferences::load()),
            window: RwSignal::new(preferences::load()),
        }
    }

    // ---- the connection ----

    /// The state of the connection. Its seconds count down during a wait.
    pub fn connection(self) -> ReadSignal<ConnectionView> {
        self.connection.read_only()
    }

    /// The broker's address; empty if the page's address names one that cannot be used.
    pub fn broker(self) -> String {
        self.inner.with_value(|inner| {
            let link = inner.link.borrow();
            link.as_ref()
                .map_or_else(String::new, |link| link.url().to_string())
        })
    }

    /// Tries to connect at once, for the button.
    pub fn reconnect(self) {
        self.with_link(Link::reconnect_now);
    }

    /// Answers [`ConnectionView::CredentialsNeeded`]. The page keeps the credentials in memory
    /// only, until the user leaves it. `Err` says what cannot be sent.
    pub fn log_in(self, user_name: &str, password: &str) -> Result<(), String> {
        let user_name =
            Utf8String::try_from(user_name).map_err(|error| format!("the user name {error}"))?;
        if password.len() > Utf8String::MAX_LEN {
            return Err("the password is longer than 65,535 bytes".to_owned());
        }
        let password = Bytes::copy_from_slice(password.as_bytes());
        self.inner.with_value(|inner| inner.logged_in.set(true));
        self.with_link(|link| link.set_credentials(Some(user_name), Some(password)));
        Ok(())
    }

    // ---- the fleet ----

    /// How many devices are in each presence.
    pub fn counts(self) -> ReadSignal<Counts> {
        self.counts.read_only()
    }

    /// The devices that [`Self::query`] asks for, in its order. Once there are some, the list
    /// changes at most four times a second.
    pub fn list(self) -> ReadSignal<Listing> {
        self.list.read_only()
    }

    /// The time to a second, for texts such as “12 s ago”. It stands still while the page is
    /// hidden.
    pub fn now(self) -> ReadSignal<Timestamp> {
        self.now.read_only()
    }

    /// The device of this id, or of this prefix and id; `None` until it is heard of.
    pub fn find(self, id: String) -> Memo<Option<DeviceKey>> {
        Memo::new(move |_| {
            self.counts.track();
            self.inner
                .with_value(|inner| inner.core.borrow().fleet().find(&id))
        })
    }

    /// The devices whose position is known, and where they are now.
    pub fn positions(self) -> Vec<(DeviceKey, Position)> {
        self.inner.with_value(|inner| {
            let core = inner.core.borrow();
            let devices = core.fleet().devices();
            devices
                .filter_map(|(key, device)| Some((key, *device.position()?)))
                .collect()
        })
    }

    // ---- one device; each until the calling component is cleaned up ----

    /// What a card shows.
    pub fn card(self, key: DeviceKey) -> ReadSignal<Option<CardView>> {
        self.look(key)
    }

    /// What a device's page shows.
    pub fn device(self, key: DeviceKey) -> ReadSignal<Option<DeviceView>> {
        self.look(key)
    }

    /// A device's commands, newest first.
    pub fn commands(self, key: DeviceKey) -> ReadSignal<Option<Vec<Command>>> {
        self.look::<Commands>(key)
    }

    /// A device's raw messages, newest first, since it was [opened](Self::open).
    pub fn messages(self, key: DeviceKey) -> ReadSignal<Option<Vec<Arc<RawMessage>>>> {
        self.look::<Messages>(key)
    }

    /// Keeps more of this device's readings, and its raw messages, until the calling component is
    /// cleaned up. Call it before the others.
    pub fn open(self, key: DeviceKey) {
        let inner = self.inner.get_value();
        inner.core.borrow_mut().open(key);
        on_local_cleanup(move || inner.core.borrow_mut().close(key));
    }

    /// Sends a command; it appears in [`Self::commands`] at once, and its answer there too. Returns
    /// the command's uuid. `Err` says, for people, why it cannot be sent.
    pub fn send(self, key: DeviceKey, request: CommandRequest<'_>) -> Result<String, String> {
        let inner = self.inner.get_value();
        let uuid = random::uuid();
        let now = inner.wall();
        let publish = inner.core.borrow_mut().command(now, key, &uuid, request)?;
        let link = inner.link.borrow();
        let link = link.as_ref().ok_or("there is no connection")?;
        // The borrow of the core must have ended here, because publishing turns the link's loop.
        // The loop may find the connection dead, so the state is asked for afterwards.
        let published = link.publish(publish);
        let connected = link.state().is_connected();
        let mut core = inner.core.borrow_mut();
        match published {
            Ok(id) => core.command_published(now, id, key, &uuid, connected),
            Err(error) => core.command_failed(now, key, &uuid, &error.to_string()),
        }
        drop(core);
        inner.draw_now();
        Ok(uuid)
    }

    /// Why [`Self::send`] would not take this request, for people.
    pub fn command_problem(self, key: DeviceKey, request: CommandRequest<'_>) -> Option<String> {
        self.inner
            .with_value(|inner| inner.core.borrow().command_problem(key, request))
    }

    /// Forgets a device. It comes back when it sends something. Its retained messages do not bring
    /// it back until the page is reloaded.
    pub fn forget(self, key: DeviceKey) {
        let inner = self.inner.get_value();
        inner.core.borrow_mut().forget(key);
        inner.draw_now();
    }

    // ---- readings, for what draws ----

    /// Calls `read` with a metric's readings.
    pub fn with_series<T>(
        self,
        key: DeviceKey,
        metric: MetricKey,
        read: impl FnOnce(&Series) -> T,
    ) -> Option<T> {
        self.inner
            .try_with_value(|inner| inner.core.borrow().series().series(key, metric).map(read))?
    }

    /// A metric's name, safe to show.
    pub fn metric_name(self, key: DeviceKey, metric: MetricKey) -> Option<String> {
        self.inner.with_value(|inner| {
            let core = inner.core.borrow();
            let metric = core.fleet().device(key)?.metric(metric)?;
            Some(metric.display_name())
        })
    }

    /// Calls `call` when the device has new readings, at most once a frame and before anything is
    /// drawn in it, until the calling component is cleaned up.
    pub fn on_samples(self, key: DeviceKey, call: impl Fn() + 'static) {
        let inner = self.inner.get_value();
        let watcher = inner.slots.borrow_mut().watch(key, Rc::new(call));
        on_local_cleanup(move || inner.slots.borrow_mut().unwatch(key, watcher));
    }

    /// The time now, in milliseconds since the Unix epoch. It is the charts' right edge.
    pub fn wall_ms(self) -> Timestamp {
        self.inner
            .try_with_value(|inner| inner.wall())
            .unwrap_or(Timestamp(0))
    }

    /// What the page holds: devices, bytes of readings, estimated bytes of all else,
    /// messages so far. For an “about” corner and for measurements.
    pub fn figures(self) -> Figures {
        self.inner.with_value(|inner| {
            let core = inner.core.borrow();
            Figures {
                devices: core.fleet().len(),
                series_bytes: core.series().bytes(),
                fleet_bytes: core.fleet().memory_used(),
                messages: core.received(),
            }
        })
    }

    // ---- how it works ----

    fn start(self) {
        let inner = self.inner.get_value();
        let frame = FrameLoop::page().register(Phase::State, move |time| self.frame(time));
        *inner.frame.borrow_mut() = Some(frame);
        let weak = Rc::downgrade(&inner);
        let timer = Timer::new(move || {
            if let Some(inner) = Weak::upgrade(&weak) {
                inner.draw_now();
            }
        });
        *inner.draw_timer.borrow_mut() = Some(timer);
        *inner.ticker.borrow_mut() = Some(Interval::new(1_000, move || self.tick()));

        Effect::new(move |_| {
            self.query.track();
            self.inner.with_value(|inner| {
                inner.list_made.set(f64::NEG_INFINITY);
                inner.list_due.set(true);
                inner.draw_now();
            });
        });
        let sort = Memo::new(move |_| self.query.with(|query| query.sort));
        remember::<Sort>(move || sort.get());
        remember::<Layout>(move || self.layout.get());
        remember::<ChartWindow>(move || self.window.get());

        let parameters = Parameters::from_page();
        match PageAddress::current().broker_url(parameters.broker.as_deref()) {
            Ok(url) => self.connect(url, parameters.topics),
            Err(error) => self.connection.set(ConnectionView::Stopped {
                why: error.to_string(),
                advice: None,
            }),
        }
    }

    fn connect(self, url: BrokerUrl, topics: Vec<TopicFilter>) {
        let options = ClientOptions {
            keep_alive: KEEP_ALIVE,
            session_expiry_interval: SESSION_EXPIRY,
            seed: random::seed(),
            ..ClientOptions::new(random::client_id("beaconry-web"))
        };
        let inner = self.inner.get_value();
        let weak = Rc::downgrade(&inner);
        let link = Link::open(url, options, move |now, batch| {
            if let Some(inner) = Weak::upgrade(&weak) {
                inner.handle_batch(now, batch);
                self.show_connection();
            }
        });
        // The client subscribes again by itself whenever the broker has forgotten the session.
        let subscribed = link.subscribe(topics.into_iter().map(subscription).collect());
        if let Err(error) = subscribed {
            *inner.notice.borrow_mut() = Some(error.to_string());
        }
        *inner.link.borrow_mut() = Some(link);
    }

    fn look<T: View>(self, key: DeviceKey) -> ReadSignal<Option<T>> {
        let inner = self.inner.get_value();
        let signal = inner
            .slots
            .borrow_mut()
            .look::<T>(&inner.core.borrow(), key);
        on_local_cleanup(move || inner.slots.borrow_mut().look_away::<T>(key));
        signal.into()
    }

    fn with_link(self, act: impl FnOnce(&Link)) {
        let inner = self.inner.get_value();
        if let Some(link) = inner.link.borrow().as_ref() {
            act(link);
        }
        self.show_connection();
    }

    fn show_connection(self) {
        let view = self.inner.try_with_value(|inner| inner.connection_view());
        if let Some(Some(view)) = view
            && self.connection.with_untracked(|old| *old != view)
        {
            self.connection.set(view);
        }
    }

    /// Once a second, less often in a background tab.
    fn tick(self) {
        let Some(inner) = self.inner.try_get_value() else {
            return;
        };
        let now = inner.wall();
        inner.core.borrow_mut().handle_timeout(now);
        inner.invalidate();
        self.show_connection();
        if is_visible() {
            self.now.set(now);
        }
    }

    /// Carries what has changed into the reactive graph.
    fn frame(self, time: f64) {
        let Some(inner) = self.inner.try_get_value() else {
            return;
        };
        inner.pace.borrow_mut().draw(inner.clock.now());
        let changes = inner.core.borrow_mut().take_changes();
        let mut updates = Vec::new();
        for (key, changed) in changes.devices {
            let core = inner.core.borrow();
            updates.extend(inner.slots.borrow_mut().updates(&core, key, changed));
        }
        for update in updates {
            update();
        }
        if changes.list.devices || changes.list.presence {
            let counts = inner.core.borrow().fleet().counts();
            // Components that find a device by its id notice in this way that devices came or went.
            if changes.list.devices || self.counts.get_untracked() != counts {
                self.counts.set(counts);
            }
        }
        let due = self
            .query
            .with_untracked(|query| query.depends_on(changes.list));
        if due {
            inner.list_due.set(true);
        }
        if inner.list_due.get() {
            self.make_list(&inner, time);
        } else if changes.list.limits {
            let core = inner.core.borrow();
            self.list
                .update(|list| *list = list.with_limits(core.fleet()));
        }
    }

    fn make_list(self, inner: &Inner, time: f64) {
        let age = time - inner.list_made.get();
        if !self.list.with_untracked(|list| list.may_be_replaced(age)) {
            // The next frame looks at the list again.
            inner.request_frame();
            return;
        }
        inner.list_due.set(false);
        inner.list_made.set(time);
        let query = self.query.get_untracked();
        let list = Listing::new(inner.core.borrow().fleet(), &query);
        if self.list.with_untracked(|old| *old != list) {
            self.list.set(list);
        }
    }
}

/// What the page holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Devices that are known.
    pub devices: usize,
    /// Bytes of readings.
    pub series_bytes: usize,
    /// Estimated bytes of what is known about the devices.
    pub fleet_bytes: usize,
    /// Messages that have come.
    pub messages: u64,
}

impl Inner {
    /// Handles the events of one frame from the socket, one timer or one call.
    fn handle_batch(&self, now: Instant, batch: Vec<LinkEvent>) {
        let wall = self.wall_at(now);
        for event in batch {
            match event {
                LinkEvent::TransportFailed(failure) => {
                    *self.failure.borrow_mut() = Some(failure);
                }
                LinkEvent::Client(event) => self.handle_event(wall, event),
            }
        }
        self.core.borrow_mut().fold();
        self.invalidate();
    }

    fn handle_event(&self, now: Timestamp, event: Event) {
        let mut core = self.core.borrow_mut();
        match event {
            Event::Message(message) => core.handle_message(now, &message),
            Event::Connected {
                session_present, ..
            } => {
                self.failure.take();
                if session_present {
                    core.handle_connected(now);
                }
                // Without the session, silence means something only once the subscription is
                // renewed.
            }
            Event::Subscribed {
                topic_filters,
                reason_codes,
                ..
            } => {
                core.handle_connected(now);
                *self.notice.borrow_mut() = refusal(&topic_filters, &reason_codes);
            }
            Event::Disconnected { .. } => core.handle_disconnected(now),
            Event::Published { id, outcome } => core.handle_published(now, id, &outcome),
            // The client's state shows the first. The link handles the next two itself. Nothing
            // here ever unsubscribes.
            Event::CredentialsNeeded { .. }
            | Event::OpenTransport
            | Event::CloseTransport
            | Event::Unsubscribed { .. } => {}
        }
    }

    fn connection_view(&self) -> Option<ConnectionView> {
        let link = self.link.borrow();
        let link = link.as_ref()?;
        Some(ConnectionView::new(
            link.now(),
            &link.state(),
            self.failure.borrow().as_ref(),
            self.notice.borrow().as_deref(),
            self.logged_in.get(),
        ))
    }

    /// Draws what has arrived, soon.
    fn invalidate(&self) {
        if self.core.borrow().has_changes() {
            self.request_frame();
        }
    }

    /// Asks for a frame that draws what has arrived, at the page's pace.
    fn request_frame(&self) {
        let due = self.pace.borrow_mut().ask(|| self.clock.now());
        match due {
            Due::Already => {}
            Due::Now => self.draw_now(),
            Due::In(wait) => {
                if let Some(timer) = self.draw_timer.borrow().as_ref() {
                    // Rounded up: a timer that goes off too early would draw too early.
                    let millis = wait.as_micros().div_ceil(1_000);
                    timer.start(u32::try_from(millis).unwrap_or(u32::MAX));
                }
            }
        }
    }

    /// Draws in the next frame: the user has done something.
    fn draw_now(&self) {
        if let Some(frame) = self.frame.borrow().as_ref() {
            frame.invalidate();
        }
    }

    fn wall(&self) -> Timestamp {
        let link = self.link.borrow();
        link.as_ref()
            .map_or_else(|| Timestamp(wall_clock()), |link| wall_at(link, link.now()))
    }

    fn wall_at(&self, now: Instant) -> Timestamp {
        let link = self.link.borrow();
        link.as_ref()
            .map_or_else(|| Timestamp(wall_clock()), |link| wall_at(link, now))
    }
}

/// Runs `clean_up` when the calling component goes. The page has one thread, which
/// `on_cleanup` cannot know.
fn on_local_cleanup(clean_up: impl FnOnce() + 'static) {
    let clean_up = send_wrapper::SendWrapper::new(clean_up);
    on_cleanup(move || clean_up.take()());
}

fn remember<T: Choice>(choice: impl Fn() -> T + 'static) {
    Effect::new(move |_| preferences::save(choice()));
}

fn wall_at(link: &Link, now: Instant) -> Timestamp {
    Timestamp(whole(link.wall_ms(now)))
}

fn wall_clock() -> i64 {
    whole(js_sys::Date::now())
}

/// Milliseconds since 1970 fit.
#[allow(clippy::cast_possible_truncation)]
fn whole(millis: f64) -> i64 {
    millis as i64
}

fn is_visible() -> bool {
    let document = web_sys::window().and_then(|window| window.document());
    document.is_none_or(|document| !document.hidden())
}
