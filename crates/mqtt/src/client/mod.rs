//! The sans-IO client.
//!
//! A [`Client`] is a state machine: the shell that owns the socket tells it what happened
//! and what time it is, and does what it says. It reconnects by itself, keeps what `QoS` 1
//! and 2 promise over lost connections, and renews its subscriptions when the server has
//! forgotten them.
//!
//! **Invariant: the loop.** After any `handle_*` or other call, drain
//! [`poll_event`](Client::poll_event), then write what
//! [`poll_transmit`](Client::poll_transmit) gives, then arm a timer for
//! [`poll_timeout`](Client::poll_timeout). Nothing else is needed, and no order of calls
//! panics.
//!
//! **Invariant: memory is bounded.** Publications by the queue's limits, subscriptions by
//! theirs, an incoming packet by the maximum packet size, incoming `QoS` 2 identifiers by
//! the receive maximum. Events arise from input and from calls, and a shell that keeps to
//! the loop has drained them before the next one.

mod event;
mod options;
mod session;
mod state;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

pub use event::{
    DropCause, Event, PublishError, PublishId, PublishOutcome, SubscribeError, SubscribeId,
    UnsubscribeId,
};
pub use options::{ClientOptions, OfflineQoS0, Reconnect};
pub use session::SessionSnapshot;
pub use state::{DisconnectCause, ServerReason, State, Timer};

use crate::error::ProtocolError;
use crate::packet::{Publish, Subscription, SubscriptionIdentifier};
use crate::reason::ReasonCode;
use crate::text::Utf8String;
use crate::time::Instant;
use crate::topic::TopicFilter;

/// An MQTT client that knows no socket and no clock; see the [module](self) for its loop.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    state: State,
    now: Instant,
    events: VecDeque<Event>,
}

impl Client {
    /// A client that wants to connect: its first event is [`Event::OpenTransport`].
    pub fn new(now: Instant, options: ClientOptions) -> Self {
        let state = State::Opening {
            since: now,
            attempt: 0,
        };
        let events = VecDeque::from([Event::OpenTransport]);
        Self {
            options,
            state,
            now,
            events,
        }
    }

    /// Queues a message; its packet identifier and its topic alias are the client's affair,
    /// and what stands there is replaced.
    ///
    /// [`Event::Published`] tells what became of it.
    pub fn publish(&mut self, now: Instant, publish: Publish) -> Result<PublishId, PublishError> {
        self.now = now;
        let _ = publish;
        Err(PublishError::Stopped)
    }

    /// Asks for messages, and remembers it: when the server has lost the session, the
    /// subscription is renewed. A filter that was subscribed to before is replaced
    /// `[MQTT-3.8.4-3]`.
    pub fn subscribe(
        &mut self,
        now: Instant,
        subscriptions: Vec<Subscription>,
    ) -> Result<SubscribeId, SubscribeError> {
        self.subscribe_with_identifier(now, subscriptions, None)
    }

    /// The same with a subscription identifier, which the server puts into every message
    /// that these subscriptions cause; version 5, and left out where the server has none.
    pub fn subscribe_with_identifier(
        &mut self,
        now: Instant,
        subscriptions: Vec<Subscription>,
        identifier: Option<SubscriptionIdentifier>,
    ) -> Result<SubscribeId, SubscribeError> {
        self.now = now;
        let _ = (subscriptions, identifier);
        Err(SubscribeError::Stopped)
    }

    /// Ends subscriptions, and forgets them.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        topic_filters: Vec<TopicFilter>,
    ) -> Result<UnsubscribeId, SubscribeError> {
        self.now = now;
        let _ = topic_filters;
        Err(SubscribeError::Stopped)
    }

    /// Ends for good. Over an open connection what may still be sent is sent first, then
    /// DISCONNECT; acknowledgements are not waited for.
    ///
    /// [`ReasonCode::DisconnectWithWill`] asks the server to publish the will all the same;
    /// in version 3.1.1 the connection is closed without DISCONNECT for that.
    pub fn disconnect(&mut self, now: Instant, reason_code: ReasonCode) {
        self.now = now;
        let _ = reason_code;
    }

    /// Uses other credentials from the next connection on, and begins that at once if the
    /// client waits for them.
    pub fn set_credentials(
        &mut self,
        now: Instant,
        user_name: Option<Utf8String>,
        password: Option<Bytes>,
    ) {
        self.now = now;
        self.options.user_name = user_name;
        self.options.password = password;
    }

    /// For the button, for the browser's `online`, for a page that becomes visible.
    ///
    /// Not connected: the next attempt begins at once, also after a stop that a server
    /// caused, but not after [`disconnect`](Self::disconnect) nor while credentials are
    /// needed. Connected: a PINGREQ with a short time-out asks whether that is still true.
    pub fn reconnect_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// The transport that [`Event::OpenTransport`] asked for is open.
    pub fn handle_transport_open(&mut self, now: Instant) {
        self.now = now;
    }

    /// The transport could not be opened, or was closed by the other side or by the network.
    pub fn handle_transport_closed(&mut self, now: Instant) {
        self.now = now;
    }

    /// Bytes have come. They may hold any part of a packet or many packets.
    ///
    /// An error has already been dealt with (DISCONNECT, close, a later attempt): it is
    /// returned for the log.
    pub fn handle_input(&mut self, now: Instant, bytes: Bytes) -> Result<(), ProtocolError> {
        self.now = now;
        let _ = bytes;
        Ok(())
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come, or has passed long ago:
    /// what counts is `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
    }

    /// Appends to `out` all that may be sent now; `false` if that is nothing.
    ///
    /// A shell whose transport does not keep up may wait with this call: publications then
    /// fill the bounded queue.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) -> bool {
        let _ = out;
        false
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted, and what for. Calling it
    /// earlier does no harm.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        None
    }

    /// Where the client stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The client id: the one that the server gave, where the options have none.
    pub fn client_id(&self) -> &Utf8String {
        &self.options.client_id
    }

    /// How many publications wait for their end, and the bytes that they take.
    pub fn queued(&self) -> (usize, usize) {
        (0, 0)
    }

    /// What is not finished, to be stored and given to the client of a later page in
    /// [`ClientOptions::session`].
    pub fn session(&self) -> SessionSnapshot {
        SessionSnapshot::default()
    }
}
