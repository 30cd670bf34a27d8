//! The loop: what the browser reports goes into the client, what the client wants is done.

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::client::{
    Client, ClientOptions, Event, PublishError, PublishId, State, SubscribeError, SubscribeId,
    UnsubscribeId,
};
use mqtt::{Instant, Publish, ReasonCode, Subscription, TopicFilter, Utf8String};
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
    /// From the client; never [`Event::OpenTransport`] or [`Event::CloseTransport`], which
    /// are the link's own affair.
    Client(Event),
    /// The socket failed; the client's [`Event::Disconnected`] follows.
    TransportFailed(TransportFailure),
}

/// A client with its socket, timer and listeners, until it is dropped.
///
/// What keeps it true without relying on the browser's `close` event:
/// - every call and every frame looks at the [`Clock`], so a client that slept notices;
/// - `online`, `pageshow` and a page that becomes visible make it reconnect at once, or ask
///   with a PINGREQ of short time-out whether an open connection is still alive;
/// - while the page is visible and nothing has been heard for [`Link::SILENCE`], it asks
///   too: what looks live is live;
/// - the timer is never armed for longer than [`Link::LONGEST_TIMER`], so that a sleep is
///   noticed soon after it ends.
///
/// In a background tab the browser delays timers, to one a minute at worst; frames that
/// come in are not delayed and keep the loop going. Ask for a `keep_alive` of 120 s or more.
pub struct Link(Rc<Inner>);

struct Inner {
    url: BrokerUrl,
    clock: Clock,
    client: RefCell<Client>,
    socket: RefCell<Option<Socket>>,
    timer: Timer,
    listeners: RefCell<Vec<Listener>>,
    handler: Box<Handler>,
    failure: RefCell<Option<TransportFailure>>,
    last_heard: Cell<Instant>,
    /// Which socket is the present one: what an earlier one still reports is not heard.
    socket_number: Cell<u32>,
    in_turn: Cell<bool>,
    closed: Cell<bool>,
}

type Handler = dyn Fn(Instant, Vec<LinkEvent>);

impl Link {
    /// While more than this many bytes wait in the browser, no more are written.
    pub const MAX_BUFFERED: u32 = 256 << 10;
    /// How often a full buffer is looked at again: WebSockets have no event for it.
    pub const BUFFER_POLL: Duration = Duration::from_millis(50);
    /// The longest that the timer is armed for.
    pub const LONGEST_TIMER: Duration = Duration::from_secs(10);
    /// How long nothing may be heard on a visible page before the server is asked.
    pub const SILENCE: Duration = Duration::from_secs(20);

    /// Begins to connect. `handler` gets what happens, in batches and in order; it may call
    /// the link, and what that causes comes in a batch of its own.
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
            listeners: RefCell::default(),
            handler: Box::new(handler),
            failure: RefCell::default(),
            last_heard: Cell::new(now),
            socket_number: Cell::new(0),
            in_turn: Cell::new(false),
            closed: Cell::new(false),
        });
        inner.listen();
        // Not within this call: the owner has no link yet that its handler could use.
        inner.arm(Duration::ZERO);
        Self(inner)
    }

    /// Publishes, at once or when there is a connection.
    pub fn publish(&self, publish: Publish) -> Result<PublishId, PublishError> {
        self.0.call(|client, now| client.publish(now, publish))
    }

    /// Subscribes, and again whenever the server has forgotten.
    pub fn subscribe(
        &self,
        subscriptions: Vec<Subscription>,
    ) -> Result<SubscribeId, SubscribeError> {
        self.0
            .call(|client, now| client.subscribe(now, subscriptions))
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

    /// Tries at once instead of waiting, or asks whether the connection is still alive.
    pub fn reconnect_now(&self) {
        self.0.call(Client::reconnect_now);
    }

    /// Disconnects for good.
    pub fn disconnect(&self, reason_code: ReasonCode) {
        self.0
            .call(|client, now| client.disconnect(now, reason_code));
    }

    /// Where the client stands.
    pub fn state(&self) -> State {
        self.0.client.borrow().state().clone()
    }

    /// Looks at where the client stands, without a copy of it.
    pub fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(self.0.client.borrow().state())
    }

    /// How many publications wait for their end, and the bytes that they take.
    pub fn queued(&self) -> (usize, usize) {
        self.0.client.borrow().queued()
    }

    /// The time on the clock that [`Self::state`]'s instants are of.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// The wall-clock time of `at`: see [`Clock::wall_ms`].
    pub fn wall_ms(&self, at: Instant) -> f64 {
        self.0.clock.wall_ms(at)
    }

    /// Where it connects to.
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
        // Within a turn the client is borrowed by nobody: the handler runs between borrows.
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
        let on = |target: &web_sys::EventTarget, name: &'static str| {
            let weak = Rc::downgrade(self);
            Listener::new(target, name, move |_| {
                // `visibilitychange` also comes when the page is hidden.
                let concerns_us = name != "visibilitychange" || is_visible();
                if let Some(inner) = weak.upgrade()
                    && concerns_us
                {
                    inner.call(Client::reconnect_now);
                }
            })
        };
        let mut listeners = self.listeners.borrow_mut();
        listeners.push(on(&window, "online"));
        listeners.push(on(&window, "pageshow"));
        if let Some(document) = window.document() {
            listeners.push(on(&document, "visibilitychange"));
        }
    }

    /// Lets `act` do something with the client, then keeps the loop.
    fn call<T>(self: &Rc<Self>, act: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let now = self.notice_sleep();
        let result = act(&mut self.client.borrow_mut(), now);
        self.turn();
        result
    }

    /// The time; if the machine slept until now, what follows from that is done first.
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

    /// Drains events, writes, arms the timer, until there is nothing more to do.
    fn turn(self: &Rc<Self>) {
        if self.in_turn.replace(true) {
            // Called by the handler: the turn that called it goes round once more.
            return;
        }
        while !self.closed.get() {
            let mut batch = self.drain();
            self.transmit();
            // What was handed over is told with the same batch.
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
        // The old one must be gone before the new one speaks.
        let number = self.drop_socket();
        match Socket::open(&self.url, move |event| Self::report(&weak, number, event)) {
            Ok(socket) => *self.socket.borrow_mut() = Some(socket),
            Err(failure) => self.lose_socket(failure),
        }
    }

    /// Closes the socket; gives the number of the next one.
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
        // After a sleep the client may give this very socket up, and open another: the first
        // one's "open" must not be taken for the second one's.
        inner.notice_sleep();
        if inner.socket_number.get() != number {
            return;
        }
        match event {
            SocketEvent::Opened => inner.call(Client::handle_transport_open),
            SocketEvent::Bytes(bytes) => inner.call(|client, now| {
                inner.last_heard.set(now);
                // The client has dealt with an error, and `Disconnected` says it.
                let _ = client.handle_input(now, bytes);
            }),
            SocketEvent::Closed(failure) => {
                inner.lose_socket(failure);
                inner.turn();
            }
        }
    }

    /// Writes what may be written.
    fn transmit(&self) {
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
        let due = self.client.borrow().poll_timeout();
        due.map_or(Link::LONGEST_TIMER, |(at, _)| {
            at.saturating_since(now).min(Link::LONGEST_TIMER)
        })
    }

    fn arm(&self, after: Duration) {
        // Rounded up: a timer that goes off too early would only be armed again.
        let part = u64::from(after.subsec_nanos().div_ceil(1_000_000));
        let millis = after.as_secs().saturating_mul(1_000).saturating_add(part);
        self.timer.start(u32::try_from(millis).unwrap_or(u32::MAX));
    }

    fn wake(self: &Rc<Self>) {
        self.call(|client, now| {
            client.handle_timeout(now);
            let silent = now.saturating_since(self.last_heard.get()) >= Link::SILENCE;
            if silent && client.state().is_connected() && is_visible() {
                // Also keeps from asking again at every timer until the answer is there.
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
