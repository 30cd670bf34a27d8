//! The page's one state: it drives the link, and tells the screen once a frame.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use fleet::{Command, CommandRequest, Counts, DeviceKey, MetricKey, Position, Timestamp};
use gloo_events::EventListener;
use gloo_timers::callback::Interval;
use leptos::prelude::*;
use link::{Link, PageAddress, random};
use mqtt::Utf8String;

use super::connection::ConnectionView;
use super::list::{Listing, Query, Sort};
use super::messages::RawMessage;
use super::parameters::Parameters;
use super::preferences::{self, ChartWindow, Choice, Layout};
use super::series::Series;
use super::server::following::Mode;
use super::shell::{Shell, is_visible};
use super::slots::{Commands, Messages, View};
use super::views::{CardView, DeviceView};
use crate::frame::{FrameLoop, Phase};

/// What the screen shows. The [module](super) says how to use it.
#[derive(Copy, Clone)]
pub struct AppState {
    shell: StoredValue<Rc<Shell>, LocalStorage>,
    connection: RwSignal<ConnectionView>,
    mode: RwSignal<Mode>,
    remembers: RwSignal<bool>,
    counts: RwSignal<Counts>,
    list: RwSignal<Listing>,
    now: RwSignal<Timestamp>,
    /// What the list shows. Set it, and the list follows in the next frame. Its order is remembered.
    pub query: RwSignal<Query>,
    /// How the fleet is laid out; remembered.
    pub layout: RwSignal<Layout>,
    /// How much time the charts show; remembered.
    pub window: RwSignal<ChartWindow>,
    wound: RwSignal<Option<Timestamp>>,
    time_bar: RwSignal<bool>,
}

/// Why nothing can be sent while the past is shown.
const PAST: &str = "this is the past: go back to live first";

impl AppState {
    /// Connects as the page's address says, and provides the state as a context. Call this once for
    /// each page.
    pub fn provide() -> Self {
        let parameters = Parameters::from_page();
        let state = Self::new(&parameters);
        provide_context(state);
        state.start(&parameters);
        state
    }

    /// The state, provided further up.
    ///
    /// # Panics
    /// Outside of the application.
    pub fn expect() -> Self {
        expect_context()
    }

    fn new(parameters: &Parameters) -> Self {
        let shell = Shell::new(parameters.topics.clone(), parameters.broker.is_none());
        let now = shell.wall();
        let query = Query {
            sort: preferences::load(),
            ..Query::default()
        };
        Self {
            shell: StoredValue::new_local(shell),
            connection: RwSignal::new(ConnectionView::Connecting { attempt: 0 }),
            mode: RwSignal::new(Mode::Deciding),
            remembers: RwSignal::new(false),
            counts: RwSignal::default(),
            list: RwSignal::default(),
            now: RwSignal::new(now),
            query: RwSignal::new(query),
            layout: RwSignal::new(preferences::load()),
            window: RwSignal::new(preferences::load()),
            wound: RwSignal::new(None),
            time_bar: RwSignal::new(false),
        }
    }

    // ---- the connection ----

    /// The state of the connection. Its seconds count down during a wait.
    pub fn connection(self) -> ReadSignal<ConnectionView> {
        self.connection.read_only()
    }

    /// The broker's address; empty if the page's address names one that cannot be used.
    pub fn broker(self) -> String {
        self.shell.with_value(|shell| {
            let link = shell.link.borrow();
            link.as_ref()
                .map_or_else(String::new, |link| link.url().to_string())
        })
    }

    /// Whom the page believes about devices. With [`Mode::Follows`] the server's devices are on screen.
    pub fn mode(self) -> ReadSignal<Mode> {
        self.mode.read_only()
    }

    /// Whether the server that the page follows keeps a history.
    pub fn remembers(self) -> ReadSignal<bool> {
        self.remembers.read_only()
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
        self.shell.with_value(|shell| shell.logged_in.set(true));
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
            self.shell
                .with_value(|shell| shell.core.borrow().fleet().find(&id))
        })
    }

    /// The devices whose position is known, and where they are now.
    pub fn positions(self) -> Vec<(DeviceKey, Position)> {
        self.shell.with_value(|shell| {
            let core = shell.core.borrow();
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
        let shell = self.shell.get_value();
        shell.core.borrow_mut().open(key);
        // Who opens a device waits for its messages.
        shell.subscribe();
        shell.ask_for_details(key);
        on_local_cleanup(move || {
            shell.core.borrow_mut().close(key);
            shell.subscribe_soon();
        });
    }

    /// Sends a command; it appears in [`Self::commands`] at once, and its answer there too. Returns
    /// the command's uuid. `Err` says, for people, why it cannot be sent.
    pub fn send(self, key: DeviceKey, request: CommandRequest<'_>) -> Result<String, String> {
        let shell = self.shell.get_value();
        if shell.is_wound() {
            return Err(PAST.to_owned());
        }
        let uuid = random::uuid();
        let now = shell.wall();
        let publish = shell.core.borrow_mut().command(now, key, &uuid, request)?;
        let link = shell.link.borrow();
        let link = link.as_ref().ok_or("there is no connection")?;
        // The borrow of the core must have ended here, because publishing turns the link's loop.
        // The loop may find the connection dead, so the state is asked for afterwards.
        let published = link.publish(publish);
        let connected = link.state().is_connected();
        let mut core = shell.core.borrow_mut();
        match published {
            Ok(id) => core.command_published(now, id, key, &uuid, connected),
            Err(error) => core.command_failed(now, key, &uuid, &error.to_string()),
        }
        drop(core);
        shell.draw_now();
        Ok(uuid)
    }

    /// Why [`Self::send`] would not take this request, for people.
    pub fn command_problem(self, key: DeviceKey, request: CommandRequest<'_>) -> Option<String> {
        self.shell.with_value(|shell| {
            if shell.is_wound() {
                return Some(PAST.to_owned());
            }
            shell.core.borrow().command_problem(key, request)
        })
    }

    /// Forgets a device, with our server for everybody. It comes back when it sends something. Against
    /// another broker its retained messages bring it back when the page is reloaded.
    pub fn forget(self, key: DeviceKey) {
        self.shell.with_value(|shell| shell.forget(key));
        self.show_connection();
    }

    /// Hides a device, or shows it again, with our server for everybody. Otherwise until the page is
    /// reloaded.
    pub fn hide(self, key: DeviceKey, hidden: bool) {
        self.shell.with_value(|shell| shell.hide(key, hidden));
        self.show_connection();
    }

    // ---- the past ----

    /// The time that is shown, while that is the past.
    pub fn wound(self) -> ReadSignal<Option<Timestamp>> {
        self.wound.read_only()
    }

    /// Whether the bar with which people go back in time is there.
    pub fn time_bar(self) -> RwSignal<bool> {
        self.time_bar
    }

    /// The time now, whatever is shown.
    pub fn present(self) -> Timestamp {
        self.shell
            .try_with_value(|shell| shell.wall())
            .unwrap_or(Timestamp(0))
    }

    /// Shows these devices as they were at this time. They are all that there were.
    pub fn wind(self, at: Timestamp, devices: &[api::fleet::Device]) {
        self.shell.with_value(|shell| shell.wind(at, devices));
        self.wound.set(Some(at));
        self.after_winding();
    }

    /// Adds what is known of one device at the time that is shown: its commands and presences before.
    pub fn wind_device(self, device: &api::fleet::Device) {
        self.shell.with_value(|shell| shell.wind_device(device));
        self.after_winding();
    }

    /// Shows what is again.
    pub fn unwind(self) {
        self.shell.with_value(Shell::unwind);
        self.wound.set(None);
        self.after_winding();
    }

    fn after_winding(self) {
        self.now.set(self.wall_ms());
        self.shell.with_value(|shell| shell.draw_now());
        // A device may have come or gone, though there are as many as before.
        self.counts.notify();
    }

    // ---- readings, for what draws ----

    /// Calls `read` with a metric's readings.
    pub fn with_series<T>(
        self,
        key: DeviceKey,
        metric: MetricKey,
        read: impl FnOnce(&Series) -> T,
    ) -> Option<T> {
        self.shell
            .try_with_value(|shell| shell.core.borrow().series().series(key, metric).map(read))?
    }

    /// A metric's name, safe to show.
    pub fn metric_name(self, key: DeviceKey, metric: MetricKey) -> Option<String> {
        self.shell.with_value(|shell| {
            let core = shell.core.borrow();
            let metric = core.fleet().device(key)?.metric(metric)?;
            Some(metric.display_name())
        })
    }

    /// Calls `call` when the device has new readings, at most once a frame and before anything is
    /// drawn in it, until the calling component is cleaned up.
    pub fn on_samples(self, key: DeviceKey, call: impl Fn() + 'static) {
        let shell = self.shell.get_value();
        let watcher = shell.slots.borrow_mut().watch(key, Rc::new(call));
        on_local_cleanup(move || shell.slots.borrow_mut().unwatch(key, watcher));
    }

    /// The time that is shown, in milliseconds since the Unix epoch: now, or one of the past. It is the charts'
    /// right edge.
    pub fn wall_ms(self) -> Timestamp {
        self.shell
            .try_with_value(|shell| shell.shown_time())
            .unwrap_or(Timestamp(0))
    }

    /// What the page holds: devices, bytes of readings, estimated bytes of all else,
    /// messages so far. For an “about” corner and for measurements.
    pub fn figures(self) -> Figures {
        self.shell.with_value(|shell| {
            let core = shell.core.borrow();
            Figures {
                devices: core.fleet().len(),
                series_bytes: core.series().bytes(),
                fleet_bytes: core.fleet().memory_used(),
                messages: core.received(),
                skipped: core.skipped(),
            }
        })
    }

    // ---- how it works ----

    fn start(self, parameters: &Parameters) {
        let shell = self.shell.get_value();
        let frame = FrameLoop::page().register(Phase::State, move |time| self.frame(time));
        *shell.frame.borrow_mut() = Some(frame);
        *shell.ticker.borrow_mut() = Some(Interval::new(1_000, move || self.tick()));

        Effect::new(move |_| {
            self.query.track();
            self.shell.with_value(|shell| {
                shell.list_made.set(f64::NEG_INFINITY);
                shell.list_due.set(true);
                shell.draw_now();
            });
        });
        let sort = Memo::new(move |_| self.query.with(|query| query.sort));
        remember::<Sort>(move || sort.get());
        remember::<Layout>(move || self.layout.get());
        remember::<ChartWindow>(move || self.window.get());

        let document = web_sys::window().and_then(|window| window.document());
        let seen = document.map(|document| {
            EventListener::new(&document, "visibilitychange", move |_| {
                self.shell.with_value(Shell::handle_visibility);
            })
        });
        *shell.seen.borrow_mut() = seen;
        match PageAddress::current().broker_url(parameters.broker.as_deref()) {
            Ok(url) => shell.connect(url, move || self.show_connection()),
            Err(error) => self.connection.set(ConnectionView::Stopped {
                why: error.to_string(),
                advice: None,
            }),
        }
    }

    fn look<T: View>(self, key: DeviceKey) -> ReadSignal<Option<T>> {
        let shell = self.shell.get_value();
        let signal = shell
            .slots
            .borrow_mut()
            .look::<T>(&shell.core.borrow(), key);
        // Whose card is shown is subscribed to.
        shell.subscribe_soon();
        on_local_cleanup(move || {
            shell.slots.borrow_mut().look_away::<T>(key);
            shell.subscribe_soon();
        });
        signal.into()
    }

    fn with_link(self, act: impl FnOnce(&Link)) {
        let shell = self.shell.get_value();
        if let Some(link) = shell.link.borrow().as_ref() {
            act(link);
        }
        self.show_connection();
    }

    fn show_connection(self) {
        let view = self.shell.try_with_value(|shell| shell.connection_view());
        if let Some(Some(view)) = view
            && self.connection.with_untracked(|old| *old != view)
        {
            self.connection.set(view);
        }
    }

    /// Tells whom the page believes, once the devices that this is about are on screen.
    fn show_mode(self, shell: &Shell) {
        let mode = shell.mode();
        let shown = !shell.core.borrow().has_changes();
        // This comes first: who follows asks whether there is anything to ask for.
        if self.remembers.get_untracked() != shell.remembers() {
            self.remembers.set(shell.remembers());
        }
        if shown && self.mode.get_untracked() != mode {
            self.mode.set(mode);
        }
    }

    /// Once a second, less often in a background tab.
    fn tick(self) {
        let Some(shell) = self.shell.try_get_value() else {
            return;
        };
        shell.tick();
        self.show_connection();
        self.show_mode(&shell);
        if is_visible() {
            self.now.set(shell.shown_time());
        }
    }

    /// Carries what has changed into the reactive graph.
    fn frame(self, time: f64) {
        let Some(shell) = self.shell.try_get_value() else {
            return;
        };
        shell.pace.borrow_mut().draw(shell.clock.now());
        let changes = shell.core.borrow_mut().take_changes();
        let mut updates = Vec::new();
        for (key, changed) in changes.devices {
            let core = shell.core.borrow();
            updates.extend(shell.slots.borrow_mut().updates(&core, key, changed));
        }
        for update in updates {
            update();
        }
        if changes.list.devices || changes.list.presence {
            let counts = shell.core.borrow().fleet().counts();
            // Components that find a device by its id notice in this way that devices came or went.
            if changes.list.devices || self.counts.get_untracked() != counts {
                self.counts.set(counts);
            }
        }
        let due = self
            .query
            .with_untracked(|query| query.depends_on(changes.list));
        if due {
            shell.list_due.set(true);
        }
        if shell.list_due.get() {
            self.make_list(&shell, time);
        } else if changes.list.limits {
            let core = shell.core.borrow();
            self.list
                .update(|list| *list = list.with_limits(core.fleet()));
        }
        self.show_mode(&shell);
    }

    fn make_list(self, shell: &Shell, time: f64) {
        let age = time - shell.list_made.get();
        if !self.list.with_untracked(|list| list.may_be_replaced(age)) {
            // The next frame looks at the list again.
            shell.request_frame();
            return;
        }
        shell.list_due.set(false);
        shell.list_made.set(time);
        let query = self.query.get_untracked();
        let list = Listing::new(shell.core.borrow().fleet(), &query);
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
    /// Messages that the broker left out, because newer ones of the same topics took their place.
    pub skipped: u64,
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
