//! The loop: it gives the client what the browser reports, and does what the client asks for.

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::client::{
    Client, ClientOptions, Event, PublishError, PublishId, State, SubscribeError, SubscribeId,
    SubscribeProperties, UnsubscribeId,
};
use mqtt::{Instant, Publish, QoS, ReasonCode, Subscription, TopicFilter, Utf8String};
use web_sys::VisibilityState;

use crate::address::BrokerUrl;
use crate::clock::Clock;
use crate::failure::TransportFailure;
use crate::listener::Listener;
use crate::socket::{Socket, SocketEvent};
use crate::timer::Timer;
use crate::window;

/// What a [`Link`] tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The client says this. It is never [`Event::OpenTransport`] or [`Event::CloseTransport`]: the
    /// link handles these itself.
    Client(Event),
    /// The socket failed. The client's [`Event::Disconnected`] follows.
    TransportFailed(TransportFailure),
}

/// A client with its socket, timer and listeners. Dropping it ends all of them.
///
/// It does not rely on the browser's `close` event to learn that a connection is dead:
/// - Every call and every frame reads the [`Clock`], and so notices that the machine slept.
/// - On `pagehide` it leaves the server, and lets its session end there: the page may never come back.
/// - On `online`, on `pageshow` and when the page becomes visible, it reconnects at once. If a
///   connection is open, it sends a PINGREQ with a short time-out instead.
/// - While the page is visible and the broker has been silent for [`Link::SILENCE`], it sends a
///   PINGREQ too. So a connection that looks live is live.
/// - It never arms the timer for longer than [`Link::LONGEST_TIMER`], and so notices a sleep soon
///   after its end.
///
/// In a background tab the browser delays timers, at worst to one a minute. It does not delay
/// frames that come in, and these keep the loop going. Use a `keep_alive` of 120 s or more.
pub struct Link(Rc<Inner>);

struct Inner {
    url: BrokerUrl,
    clock: Clock,
    client: RefCell<Client>,
    socket: RefCell<Option<Socket>>,
    timer: Timer,
    /// When the timer goes off, if it is running.
    timer_at: Cell<Option<Instant>>,
    listeners: RefCell<Vec<Listener>>,
    handler: Box<Handler>,
    failure: RefCell<Option<TransportFailure>>,
    last_heard: Cell<Instant>,
    /// The number of the present socket. Reports of earlier sockets are ignored.
    socket_number: Cell<u32>,
    in_turn: Cell<bool>,
    /// Whether there may be more to write than acknowledgements.
    urgent: Cell<bool>,
    /// Until when acknowledgements wait for others, if some do.
    gathers_until: Cell<Option<Instant>>,
    closed: Cell<bool>,
}

type Handler = dyn Fn(Instant, Vec<LinkEvent>);

impl Link {
    /// While more bytes than this wait in the browser, the link writes no more.
    pub const MAX_BUFFERED: u32 = 256 << 10;
    /// How often the link looks at a full buffer again: WebSockets have no event for it.
    pub const BUFFER_POLL: Duration = Duration::from_millis(50);
    /// The longest time that the timer is armed for.
    pub const LONGEST_TIMER: Duration = Duration::from_secs(10);
    /// How long acknowledgements of messages wait, on a visible page, so that those of several frames
    /// go out as one. Each frame that is written costs as much as reading ten messages.
    pub const GATHER: Duration = Duration::from_millis(10);
    /// How long the server may be silent on a visible page before the link sends a PINGREQ.
    pub const SILENCE: Duration = Duration::from_secs(20);

    /// Begins to connect. `handler` gets the events in order and in batches. It may call the link;
    /// the events that this causes come in a later batch.
    pub fn open(
        url: BrokerUrl,
        options: ClientOptions,
        handler: impl Fn(Instant, Vec<LinkEvent>) + 'static,
    ) -> Self {
        let clock = Clock::new();
        let now = clock.now();
        let inner = Rc::new_cyclic(|weak: &Weak<Inner>| Inner {
            url,
            client: RefCell::new(Client::new(now, options)),
            clock,
            socket: RefCell::default(),
            timer: Timer::new({
                let weak = Weak::clone(weak);
                move || {
                    if let Some(inner) = weak.upgrade() {
                        inner.wake();
                    }
                }
            }),
            timer_at: Cell::new(None),
            listeners: RefCell::default(),
            handler: Box::new(handler),
            failure: RefCell::default(),
            last_heard: Cell::new(now),
            socket_number: Cell::new(0),
            in_turn: Cell::new(false),
            urgent: Cell::new(false),
            gathers_until: Cell::new(None),
            closed: Cell::new(false),
        });
        inner.listen();
        // The loop begins later, not within this call, because the owner's handler could not use
        // the link yet.
        inner.arm(Duration::ZERO);
        Self(inner)
    }

    /// Publishes now or, if there is no connection, as soon as there is one.
    pub fn publish(&self, publish: Publish) -> Result<PublishId, PublishError> {
        self.0.call(|client, now| client.publish(now, publish))
    }

    /// Subscribes, and does so again whenever the server has lost the session.
    pub fn subscribe(
        &self,
        subscriptions: Vec<Subscription>,
    ) -> Result<SubscribeId, SubscribeError> {
        self.0
            .call(|client, now| client.subscribe(now, subscriptions))
    }

    /// Subscribes with properties of version 5; see [`Client::subscribe_with`].
    pub fn subscribe_with(
        &self,
        subscriptions: Vec<Subscription>,
        properties: SubscribeProperties,
    ) -> Result<SubscribeId, SubscribeError> {
        self.0
            .call(|client, now| client.subscribe_with(now, subscriptions, properties))
    }

    /// Ends subscriptions.
    pub fn unsubscribe(
        &self,
        topic_filters: Vec<TopicFilter>,
    ) -> Result<UnsubscribeId, SubscribeError> {
        self.0
            .call(|client, now| client.unsubscribe(now, topic_filters))
    }

    /// Answers [`Event::CredentialsNeeded`].
    pub fn set_credentials(&self, user_name: Option<Utf8String>, password: Option<Bytes>) {
        self.0
            .call(|client, now| client.set_credentials(now, user_name, password));
    }

    /// Tries at once instead of waiting. If connected, asks whether the connection is alive.
    pub fn reconnect_now(&self) {
        self.0.call(Client::reconnect_now);
    }

    /// Disconnects, and does not reconnect.
    pub fn disconnect(&self, reason_code: ReasonCode) {
        self.0
            .call(|client, now| client.disconnect(now, reason_code));
    }

    /// The client's state.
    pub fn state(&self) -> State {
        self.0.client.borrow().state().clone()
    }

    /// Looks at the client's state without copying it.
    pub fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(self.0.client.borrow().state())
    }

    /// How many publications are not finished, and the bytes that they take.
    pub fn queued(&self) -> (usize, usize) {
        self.0.client.borrow().queued()
    }

    /// The time now, by the clock of [`Self::state`]'s instants.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// The wall-clock time of `at`: see [`Clock::wall_ms`].
    pub fn wall_ms(&self, at: Instant) -> f64 {
        self.0.clock.wall_ms(at)
    }

    /// The URL that it connects to.
    pub fn url(&self) -> &BrokerUrl {
        &self.0.url
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let inner = &self.0;
        inner.closed.set(true);
        inner.listeners.borrow_mut().clear();
        inner.timer.stop();
        // Nobody borrows the client here, even in a turn: the handler runs between borrows.
        let now = inner.clock.now();
        let mut client = inner.client.borrow_mut();
        client.disconnect(now, ReasonCode::Success);
        if let Some(socket) = inner.socket.borrow_mut().take()
            && socket.is_open()
        {
            write_all(&mut client, &socket);
        }
    }
}

impl Inner {
    fn listen(self: &Rc<Self>) {
        let Some(window) = window() else {
            return;
        };
        let on =
            |target: &web_sys::EventTarget, name: &'static str, act: fn(&mut Client, Instant)| {
                let weak = Rc::downgrade(self);
                Listener::new(target, name, move |_| {
                    if let Some(inner) = weak.upgrade() {
                        inner.call(act);
                    }
                })
            };
        let mut listeners = self.listeners.borrow_mut();
        listeners.push(on(&window, "online", Client::reconnect_now));
        listeners.push(on(&window, "pageshow", Client::reconnect_now));
        listeners.push(on(&window, "pagehide", Client::suspend));
        if let Some(document) = window.document() {
            // It also comes when the page is hidden.
            let seen = |client: &mut Client, now| {
                if is_visible() {
                    client.reconnect_now(now);
                }
            };
            listeners.push(on(&document, "visibilitychange", seen));
        }
    }

    /// Lets `act` use the client, then runs a turn of the loop, which writes at once.
    fn call<T>(self: &Rc<Self>, act: impl FnOnce(&mut Client, Instant) -> T) -> T {
        self.urgent.set(true);
        self.act(act)
    }

    fn act<T>(self: &Rc<Self>, act: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let now = self.notice_sleep();
        let result = act(&mut self.client.borrow_mut(), now);
        self.turn();
        result
    }

    /// The time. If the machine slept until now, the client learns that first.
    fn notice_sleep(self: &Rc<Self>) -> Instant {
        let (now, slept) = self.clock.tick();
        if slept > 0.0 {
            {
                let mut client = self.client.borrow_mut();
                client.handle_timeout(now);
                client.reconnect_now(now);
            }
            self.turn();
        }
        now
    }

    /// Drains events, writes, and arms the timer, until there is nothing left to do.
    fn turn(self: &Rc<Self>) {
        if self.in_turn.replace(true) {
            // A turn is under way: its handler has called this. That turn goes around once more.
            return;
        }
        while !self.closed.get() {
            let mut batch = self.drain();
            if self.urgent.take() || !self.gathers(&batch) {
                self.transmit();
            }
            // Writing may end publications. Their events belong to the same batch.
            batch.append(&mut self.drain());
            if batch.is_empty() {
                break;
            }
            (self.handler)(self.clock.now(), batch);
        }
        self.in_turn.set(false);
        if !self.closed.get() {
            self.arm(self.until_timer());
        }
    }

    /// Begins or continues to gather acknowledgements: nothing but messages came, and some want one.
    /// A hidden page's timers are late, so nothing waits for them there.
    fn gathers(&self, batch: &[LinkEvent]) -> bool {
        let qos = |event: &LinkEvent| match event {
            LinkEvent::Client(Event::Message(message)) => Some(message.qos),
            LinkEvent::Client(_) | LinkEvent::TransportFailed(_) => None,
        };
        let only_messages = batch.iter().all(|event| qos(event).is_some());
        let wanted = batch.iter().any(|event| qos(event) > Some(QoS::AtMostOnce));
        let now = self.clock.now();
        match self.gathers_until.get() {
            Some(until) => only_messages && now < until,
            None if only_messages && wanted && is_visible() => {
                self.gathers_until.set(Some(now + Link::GATHER));
                true
            }
            None => false,
        }
    }

    fn drain(self: &Rc<Self>) -> Vec<LinkEvent> {
        let mut batch = Vec::new();
        loop {
            if let Some(failure) = self.failure.take() {
                batch.push(LinkEvent::TransportFailed(failure));
            }
            let event = self.client.borrow_mut().poll_event();
            match event {
                None => return batch,
                Some(Event::OpenTransport) => self.open_socket(),
                Some(Event::CloseTransport) => {
                    self.transmit();
                    self.drop_socket();
                }
                Some(
                    event @ (Event::Connected { .. }
                    | Event::Disconnected { .. }
                    | Event::CredentialsNeeded { .. }
                    | Event::Message(_)
                    | Event::Published { .. }
                    | Event::Subscribed { .. }
                    | Event::Unsubscribed { .. }),
                ) => batch.push(LinkEvent::Client(event)),
            }
        }
    }

    fn open_socket(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        // The old socket must be gone before the new one reports.
        let number = self.drop_socket();
        match Socket::open(&self.url, move |event| Self::report(&weak, number, event)) {
            Ok(socket) => *self.socket.borrow_mut() = Some(socket),
            Err(failure) => self.lose_socket(failure),
        }
    }

    /// Closes the socket, and returns the number of the next one.
    fn drop_socket(&self) -> u32 {
        self.socket.take();
        let number = self.socket_number.get().wrapping_add(1);
        self.socket_number.set(number);
        number
    }

    fn lose_socket(&self, failure: TransportFailure) {
        self.drop_socket();
        *self.failure.borrow_mut() = Some(failure);
        let now = self.clock.now();
        self.client.borrow_mut().handle_transport_closed(now);
    }

    fn report(weak: &Weak<Self>, number: u32, event: SocketEvent) {
        let Some(inner) = weak.upgrade() else {
            return;
        };
        // After a sleep the client may give up this socket and open another. An "open" of the first
        // must not count for the second.
        inner.notice_sleep();
        if inner.socket_number.get() != number {
            return;
        }
        match event {
            SocketEvent::Opened => inner.call(Client::handle_transport_open),
            SocketEvent::Bytes(bytes) => inner.act(|client, now| {
                inner.last_heard.set(now);
                // The client handles an error itself, and says so by `Disconnected`.
                let _ = client.handle_input(now, bytes);
            }),
            SocketEvent::Closed(failure) => {
                inner.lose_socket(failure);
                inner.turn();
            }
        }
    }

    /// Writes the client's bytes, unless the browser's buffer is full.
    fn transmit(&self) {
        self.gathers_until.set(None);
        let socket = self.socket.borrow();
        if let Some(socket) = socket.as_ref()
            && socket.is_open()
            && socket.buffered() <= Link::MAX_BUFFERED
        {
            write_all(&mut self.client.borrow_mut(), socket);
        }
    }

    fn until_timer(&self) -> Duration {
        let full = self
            .socket
            .borrow()
            .as_ref()
            .is_some_and(|socket| socket.buffered() > Link::MAX_BUFFERED);
        if full {
            return Link::BUFFER_POLL;
        }
        let now = self.clock.now();
        let due = self.client.borrow().poll_timeout().map(|(at, _)| at);
        let due = due.into_iter().chain(self.gathers_until.get()).min();
        due.map_or(Link::LONGEST_TIMER, |at| {
            at.saturating_since(now).min(Link::LONGEST_TIMER)
        })
    }

    /// Lets the timer go off after this time at the latest. A timer that goes off earlier is kept: it
    /// arms itself anew, and that costs less than to arm it at each frame.
    fn arm(&self, after: Duration) {
        let at = self.clock.now() + after;
        if self.timer_at.get().is_some_and(|armed| armed <= at) {
            return;
        }
        self.timer_at.set(Some(at));
        // The time is rounded up, because a timer that goes off too early must be armed again.
        let part = u64::from(after.subsec_nanos().div_ceil(1_000_000));
        let millis = after.as_secs().saturating_mul(1_000).saturating_add(part);
        self.timer.start(u32::try_from(millis).unwrap_or(u32::MAX));
    }

    fn wake(self: &Rc<Self>) {
        self.timer_at.set(None);
        self.call(|client, now| {
            client.handle_timeout(now);
            let silent = now.saturating_since(self.last_heard.get()) >= Link::SILENCE;
            if silent && client.state().is_connected() && is_visible() {
                // This keeps the next timers from asking again before the answer comes.
                self.last_heard.set(now);
                client.reconnect_now(now);
            }
        });
    }
}

fn write_all(client: &mut Client, socket: &Socket) {
    let mut out = BytesMut::new();
    client.poll_transmit(&mut out);
    if !out.is_empty() {
        socket.write(&out);
    }
}

fn is_visible() -> bool {
    let document = window().and_then(|window| window.document());
    document.is_none_or(|document| document.visibility_state() == VisibilityState::Visible)
}
