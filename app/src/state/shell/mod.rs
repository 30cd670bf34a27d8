//! The page at work: it drives the link and the server's API, and notes when something is to be drawn.
//!
//! All decisions are made elsewhere, by parts without a browser: what messages mean (`core`), whom to
//! believe (`server`), what to subscribe to (`interest`), how often to draw (`pace`).
//!
//! | file | what it carries out |
//! |---|---|
//! | `mod.rs` | the events of the link, time, frames |
//! | `follow.rs` | requests to the API, and its changes |
//! | `subscribe.rs` | subscriptions to what is shown |
//! | `wind.rs` | the past is shown in place of what is |

mod asking;
mod follow;
mod subscribe;
mod wind;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use fleet::{DeviceKey, Timestamp};
use gloo_events::EventListener;
use gloo_timers::callback::Interval;
use link::http::{EventStream, Request};
use link::{BrokerUrl, Clock, Link, LinkEvent, Timer, TransportFailure, random};
use mqtt::client::{ClientOptions, DisconnectCause, Event, SubscribeId};
use mqtt::packet::ConnAckProperties;
use mqtt::{Instant, ReasonCode, TopicFilter};

use self::asking::MissedRequests;
use super::connection::ConnectionView;
use super::core::Core;
use super::interest::{Held, How, Renewal, Watched};
use super::pace::{Due, Pace};
use super::parameters::Refused;
use super::server::clock::ServerClock;
use super::server::following::{Following, Mode};
use super::server::order::Order;
use super::slots::Slots;
use crate::frame::Drawable;

/// Keep alive, in seconds: twice what a background tab's timer may be late, and more.
const KEEP_ALIVE: u16 = 120;
/// How long the broker keeps our session while we are away, in seconds.
const SESSION_EXPIRY: u32 = 300;
/// How many messages may be under way to us without an acknowledgement. With a round trip of 200 ms
/// that is 20,000 a second. A smaller number than the link holds would make the broker queue what the
/// link could carry.
const RECEIVE_MAXIMUM: u16 = 4_096;

pub(super) struct Shell {
    /// What is shown.
    pub(super) core: RefCell<Core>,
    /// While the past is shown: what is, which goes on.
    aside: RefCell<Core>,
    /// The time that is shown, while that is the past.
    wound: Cell<Option<Timestamp>>,
    pub(super) slots: RefCell<Slots>,
    pub(super) link: RefCell<Option<Link>>,
    pub(super) frame: RefCell<Option<Drawable>>,
    pub(super) ticker: RefCell<Option<Interval>>,
    /// Tells that the page is hidden, or seen again.
    pub(super) seen: RefCell<Option<EventListener>>,
    pub(super) logged_in: Cell<bool>,
    /// Whether the list must be made again, and when it was made.
    pub(super) list_due: Cell<bool>,
    pub(super) list_made: Cell<f64>,
    pub(super) pace: RefCell<Pace>,
    pub(super) clock: Clock,
    /// Until the next frame that draws what has arrived.
    draw_timer: Timer,
    failure: RefCell<Option<TransportFailure>>,
    notices: RefCell<Notices>,

    following: RefCell<Following>,
    /// Whom the page believed after the last look at `following`.
    mode: Cell<Mode>,
    /// Whether our server keeps a history.
    remembers: Cell<bool>,
    /// Whether it was ever known whom to believe. Before that the fleet must not see this machine's
    /// clock: its time does not go back if the server's is behind.
    decided: Cell<bool>,
    server_clock: Cell<ServerClock>,
    stream: RefCell<Option<EventStream>>,
    order: RefCell<Order>,
    /// The request for the server's name or its devices.
    asked: RefCell<Option<Request>>,
    /// Other requests under way, each with its number.
    requests: RefCell<Vec<(u64, Request)>>,
    next_request: Cell<u64>,
    missed: RefCell<MissedRequests>,
    missed_timer: Timer,

    /// `?topics=`, or everything.
    topics: Vec<TopicFilter>,
    watched: RefCell<Watched>,
    held: RefCell<Held>,
    /// The devices that a subscription is for, until it is granted.
    granting: RefCell<Vec<(SubscribeId, Vec<DeviceKey>)>>,
    /// Those whose subscriptions are renewed after the broker has forgotten the session.
    renewal: RefCell<Renewal>,
    /// Those whose values are to be asked for as soon as the page follows the server.
    owed: RefCell<Vec<DeviceKey>>,
    /// Those whose values the page has followed since they came on screen.
    followed: RefCell<Vec<DeviceKey>>,
    subscribe_timer: Timer,
    /// Whether that timer runs.
    gathering: Cell<bool>,
    /// Whether the broker has our subscriptions, so that silence means something.
    listens: Cell<bool>,
    /// Whether the broker could not send as fast as messages came.
    lossy: Cell<bool>,
}

/// What the page says beside its connection, the most important first.
#[derive(Debug, Default)]
struct Notices {
    /// The topics that the broker refuses.
    refused: Refused,
    /// Something that the user asked for has failed.
    failed: Option<(Instant, String)>,
    /// When the broker closed the connection for being slow.
    slow: Option<Instant>,
}

/// How long something is told that is over.
const TELLING: Duration = Duration::from_mins(2);

impl Shell {
    /// A page that is not connected. `own_broker`: the page's address names no other one.
    pub(super) fn new(topics: Vec<TopicFilter>, own_broker: bool) -> Rc<Self> {
        Rc::new_cyclic(|weak: &Weak<Self>| {
            let timer = |act: fn(&Rc<Self>)| {
                let weak = Weak::clone(weak);
                Timer::new(move || {
                    if let Some(shell) = weak.upgrade() {
                        act(&shell);
                    }
                })
            };
            Self {
                core: RefCell::default(),
                aside: RefCell::default(),
                wound: Cell::new(None),
                slots: RefCell::default(),
                link: RefCell::default(),
                frame: RefCell::default(),
                ticker: RefCell::default(),
                seen: RefCell::default(),
                logged_in: Cell::new(false),
                list_due: Cell::new(false),
                list_made: Cell::new(f64::NEG_INFINITY),
                pace: RefCell::default(),
                clock: Clock::new(),
                draw_timer: timer(|shell| shell.draw_now()),
                failure: RefCell::default(),
                notices: RefCell::default(),
                following: RefCell::new(Following::new(own_broker)),
                mode: Cell::new(Mode::Deciding),
                remembers: Cell::new(false),
                decided: Cell::new(false),
                server_clock: Cell::default(),
                stream: RefCell::default(),
                order: RefCell::default(),
                asked: RefCell::default(),
                requests: RefCell::default(),
                next_request: Cell::new(0),
                missed: RefCell::default(),
                missed_timer: timer(Self::ask_for_missed),
                topics,
                watched: RefCell::default(),
                held: RefCell::default(),
                granting: RefCell::default(),
                renewal: RefCell::default(),
                owed: RefCell::default(),
                followed: RefCell::default(),
                subscribe_timer: timer(Self::subscribe),
                gathering: Cell::new(false),
                listens: Cell::new(false),
                lossy: Cell::new(false),
            }
        })
    }

    /// Begins to connect. `shown` is called after each batch of events.
    pub(super) fn connect(self: &Rc<Self>, url: BrokerUrl, shown: impl Fn() + 'static) {
        let options = ClientOptions {
            keep_alive: KEEP_ALIVE,
            session_expiry_interval: SESSION_EXPIRY,
            receive_maximum: RECEIVE_MAXIMUM,
            subscription_limit: 4 * Watched::MOST * 4,
            seed: random::seed(),
            ..ClientOptions::new(random::client_id("beaconry-web"))
        };
        let weak = Rc::downgrade(self);
        let link = Link::open(url, options, move |_, batch| {
            if let Some(shell) = Weak::upgrade(&weak) {
                shell.handle_batch(batch);
                shown();
            }
        });
        *self.link.borrow_mut() = Some(link);
        self.follow();
    }

    // ---- time ----

    /// The time now: the server's, where it is ours.
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp(self.server_clock.get().at(self.own_wall_ms()))
    }

    /// The time that is shown: now, or one of the past.
    pub(super) fn shown_time(&self) -> Timestamp {
        self.wound.get().unwrap_or_else(|| self.wall())
    }

    /// Milliseconds since 1970 by this machine's clock, which fit.
    #[allow(clippy::cast_possible_truncation)]
    fn own_wall_ms(&self) -> i64 {
        self.clock.wall_ms(self.clock.now()) as i64
    }

    /// Once a second, less often in a background tab.
    pub(super) fn tick(self: &Rc<Self>) {
        if self.decided.get() {
            let now = self.wall();
            self.live().handle_timeout(now);
        }
        self.handle_visibility();
        self.invalidate();
    }

    /// The page is hidden, or is seen again, or time has passed.
    pub(super) fn handle_visibility(self: &Rc<Self>) {
        let now = self.clock.now();
        let mut following = self.following.borrow_mut();
        following.handle_visibility(now, !is_visible());
        following.handle_timeout(now);
        drop(following);
        self.follow();
    }

    // ---- the link ----

    /// Handles the events of one frame from the socket, one timer or one call.
    fn handle_batch(self: &Rc<Self>, batch: Vec<LinkEvent>) {
        let wall = self.wall();
        for event in batch {
            match event {
                LinkEvent::TransportFailed(failure) => {
                    *self.failure.borrow_mut() = Some(failure);
                }
                LinkEvent::Client(event) => self.handle_event(wall, event),
            }
        }
        self.live().fold();
        if self.live().has_other_devices() {
            self.subscribe_soon();
        }
        self.invalidate();
    }

    fn handle_event(self: &Rc<Self>, now: Timestamp, event: Event) {
        match event {
            Event::Message(message) => self.live().handle_message(now, &message),
            Event::Connected {
                session_present,
                properties,
                ..
            } => self.handle_connected(session_present, &properties),
            Event::Subscribed {
                id,
                topic_filters,
                reason_codes,
            } => self.handle_subscribed(id, &topic_filters, &reason_codes),
            Event::Disconnected { why, .. } => {
                if is_for_being_slow(&why) {
                    self.lossy.set(true);
                    self.notices.borrow_mut().slow = Some(self.clock.now());
                    // At once: with the next session the client renews what it holds, and the same
                    // would be too much again.
                    self.subscribe();
                }
                self.listens.set(false);
                if self.decided.get() {
                    self.live().handle_disconnected(now);
                }
                self.following.borrow_mut().handle_disconnected();
                self.follow();
            }
            Event::Published { id, outcome } => {
                self.live().handle_published(now, id, &outcome);
            }
            // The client's state shows the first. The link handles the next two itself. What is not
            // subscribed to any more is no loss.
            Event::CredentialsNeeded { .. }
            | Event::OpenTransport
            | Event::CloseTransport
            | Event::Unsubscribed { .. } => {}
        }
    }

    fn handle_connected(self: &Rc<Self>, session_present: bool, properties: &ConnAckProperties) {
        self.failure.take();
        self.listens.set(session_present);
        if !session_present {
            self.note_renewing();
            self.notices.borrow_mut().refused.clear();
        }
        let mut told = properties.user_properties.iter();
        let server = told.find(|(name, _)| name.as_str() == "beaconry-server");
        // Who names topics wants these and no others, which the server's list cannot give.
        let server = server.filter(|_| self.wants_everything());
        let id = server.map(|(_, id)| id.as_str());
        self.following.borrow_mut().handle_connected(id);
        self.follow();
    }

    fn wants_everything(&self) -> bool {
        matches!(&self.topics[..], [only] if only.as_str() == "#")
    }

    fn handle_subscribed(
        self: &Rc<Self>,
        id: SubscribeId,
        topic_filters: &[TopicFilter],
        reason_codes: &[ReasonCode],
    ) {
        let how = topic_filters
            .first()
            .and_then(|filter| self.held.borrow().how(filter));
        match how {
            Some(How::Everything) => {
                self.note_answer(topic_filters, reason_codes);
                self.listens.set(true);
                self.listen();
            }
            Some(How::Open | How::OpenLossy | How::Newest) => {
                self.note_answer(topic_filters, reason_codes);
            }
            // A broker that refuses these sends their messages by the subscription to everything.
            Some(How::ForCertain) | None => {}
        }
        self.handle_granted(id, topic_filters);
    }

    fn note_answer(&self, topic_filters: &[TopicFilter], reason_codes: &[ReasonCode]) {
        let mut notices = self.notices.borrow_mut();
        notices.refused.note(topic_filters, reason_codes);
    }

    /// Against a broker that is not ours: the page hears what devices send, so silence means something.
    fn listen(&self) {
        if self.mode.get() == Mode::Alone && self.listens.get() {
            let now = self.wall();
            self.live().handle_connected(now);
        }
    }

    /// Whom the page believes.
    pub(super) fn mode(&self) -> Mode {
        self.mode.get()
    }

    pub(super) fn remembers(&self) -> bool {
        self.remembers.get()
    }

    pub(super) fn connection_view(&self) -> Option<ConnectionView> {
        let link = self.link.borrow();
        let link = link.as_ref()?;
        let notices = self.notices.borrow();
        let following = self.following.borrow();
        let now = self.clock.now();
        let is_told = |at: &Instant| now.saturating_since(*at) < TELLING;
        let failed = notices.failed.as_ref().filter(|(at, _)| is_told(at));
        let slow = notices.slow.filter(is_told).map(|_| SLOW);
        let refused = notices.refused.notice();
        let notice = refused.as_deref().or(failed.map(|(_, text)| &**text));
        let notice = notice.or(following.trouble()).or(slow);
        Some(ConnectionView::new(
            link.now(),
            &link.state(),
            self.failure.borrow().as_ref(),
            notice,
            self.logged_in.get(),
        ))
    }

    /// Something that the user asked for has failed.
    pub(super) fn tell_failure(&self, what: Option<String>) {
        self.notices.borrow_mut().failed = what.map(|what| (self.clock.now(), what));
    }

    // ---- frames ----

    /// Draws what has arrived, soon.
    pub(super) fn invalidate(&self) {
        if self.core.borrow().has_changes() {
            self.request_frame();
        }
    }

    /// Asks for a frame that draws what has arrived, at the page's pace.
    pub(super) fn request_frame(&self) {
        let due = self.pace.borrow_mut().ask(|| self.clock.now());
        match due {
            Due::Already => {}
            Due::Now => self.draw_now(),
            Due::In(wait) => {
                // Rounded up: a timer that goes off too early would draw too early.
                let millis = wait.as_micros().div_ceil(1_000);
                self.draw_timer
                    .start(u32::try_from(millis).unwrap_or(u32::MAX));
            }
        }
    }

    /// Draws in the next frame: the user has done something.
    pub(super) fn draw_now(&self) {
        if let Some(frame) = self.frame.borrow().as_ref() {
            frame.invalidate();
        }
    }
}

const SLOW: &str = "This page could not keep up with what devices send, so the broker closed the connection. The page began anew, and leaves out values that newer ones have replaced";

/// Whether the server has closed the connection because too much waited for this page.
fn is_for_being_slow(why: &DisconnectCause) -> bool {
    match why {
        DisconnectCause::ByServer(reason) => reason.reason_code == ReasonCode::QuotaExceeded,
        DisconnectCause::Requested
        | DisconnectCause::Suspended
        | DisconnectCause::TransportNotOpened
        | DisconnectCause::TransportClosed
        | DisconnectCause::ConnectTimeout
        | DisconnectCause::PingTimeout
        | DisconnectCause::Slept
        | DisconnectCause::Refused(_)
        | DisconnectCause::Protocol(_)
        | DisconnectCause::NotEncodable(_) => false,
    }
}

pub(super) fn is_visible() -> bool {
    let document = web_sys::window().and_then(|window| window.document());
    document.is_none_or(|document| !document.hidden())
}
