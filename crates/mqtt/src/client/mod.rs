//! The sans-IO client.
//!
//! A [`Client`] is a state machine. The shell owns the socket. It tells the client what happened
//! and what time it is, and does what the client asks for. The client reconnects by itself, keeps
//! the promises of `QoS` 1 and 2 over lost connections, and renews its subscriptions when the
//! server has forgotten them.
//!
//! **Invariant: the loop.** After any `handle_*` or other call, drain
//! [`poll_event`](Client::poll_event), then write what [`poll_transmit`](Client::poll_transmit)
//! returns. If it returned something, begin again, because sending can finish a publication or give
//! it up. Otherwise arm a timer for [`poll_timeout`](Client::poll_timeout). Nothing else is needed,
//! and no order of calls panics.
//!
//! **Invariant: memory is bounded.** The queue's limits bound publications. The subscription limit
//! bounds subscriptions, the maximum packet size bounds an incoming packet, and the receive maximum
//! bounds incoming `QoS` 2 identifiers. Input and calls cause events; a shell that keeps to the
//! loop drains them before the next input or call.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use mqtt::{Client, ClientOptions, Event, Instant, Utf8String};
//!
//! let mut now = Instant::ZERO;
//! let mut client = Client::new(now, ClientOptions::new(Utf8String::from_static("pump-7")));
//! assert_eq!(client.poll_event(), Some(Event::OpenTransport));
//!
//! // The shell opens a socket, reports it, and writes what the client has to send: CONNECT.
//! now = Instant::from_millis(20);
//! client.handle_transport_open(now);
//! let mut out = BytesMut::new();
//! assert!(client.poll_transmit(&mut out));
//! assert_eq!(out[0], 0x10);
//!
//! // The server's CONNACK comes back.
//! now = Instant::from_millis(40);
//! client.handle_input(now, Bytes::from_static(&[0x20, 3, 0, 0, 0])).unwrap();
//! assert!(matches!(client.poll_event(), Some(Event::Connected { .. })));
//! assert!(client.state().is_connected());
//! ```

mod alias;
mod connecting;
mod connection;
mod dispatch;
mod event;
mod incoming;
mod keep_alive;
mod options;
mod outgoing;
mod packet_ids;
mod queue;
mod reconnect;
mod session;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;

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
pub use subscriptions::SubscribeProperties;

use connecting::{Acquaintance, Farewell};
use connection::Connection;
use incoming::ReceiverState;
use outgoing::SenderState;
use packet_ids::PacketIds;
use queue::{Publication, Queue};
use subscriptions::Subscriptions;

use crate::error::ProtocolError;
use crate::packet::{Disconnect, Publish, Subscription};
use crate::reason::ReasonCode;
use crate::text::Utf8String;
use crate::time::Instant;
use crate::topic::TopicFilter;

/// An MQTT client that knows no socket and no clock. The [module](self) describes its loop.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    state: State,
    now: Instant,
    events: VecDeque<Event>,
    server: Acquaintance,
    /// Present while the client waits for CONNACK and while it is connected.
    connection: Option<Connection>,
    /// The last bytes for a transport that the shell will close.
    farewell: BytesMut,
    ids: PacketIds,
    outgoing: SenderState,
    incoming: ReceiverState,
    subscriptions: Subscriptions,
    /// How many publications, subscriptions and unsubscriptions there were so far.
    requests: u64,
}

impl Client {
    /// Creates a client that wants to connect: its first event is [`Event::OpenTransport`].
    pub fn new(now: Instant, mut options: ClientOptions) -> Self {
        let session = options.session.take();
        let queue = Queue::new(options.queue_limit_messages, options.queue_limit_bytes);
        let mut client = Self {
            state: State::Opening {
                since: now,
                attempt: 0,
            },
            now,
            events: VecDeque::new(),
            server: Acquaintance::new(&options),
            connection: None,
            farewell: BytesMut::new(),
            ids: PacketIds::new(),
            outgoing: SenderState::new(queue, options.lower_qos),
            incoming: ReceiverState::default(),
            subscriptions: Subscriptions::new(options.subscription_limit),
            requests: 0,
            options,
        };
        if let Some(session) = session {
            client.restore(session);
        }
        client.open();
        client
    }

    /// Queues a message. The client chooses the packet identifier and the topic alias, and replaces
    /// what `publish` holds there.
    ///
    /// [`Event::Published`] tells what happened to it.
    pub fn publish(
        &mut self,
        now: Instant,
        mut publish: Publish,
    ) -> Result<PublishId, PublishError> {
        self.advance(now);
        let size = self.check(&mut publish)?;
        let id = PublishId(self.requests);
        self.outgoing.queue.push(Publication {
            id,
            publish,
            size,
            since: self.now,
        })?;
        self.requests += 1;
        Ok(id)
    }

    /// Subscribes, and remembers it: the client renews the subscription when the server has lost
    /// the session. The new subscription replaces an earlier one to the same filter
    /// `[MQTT-3.8.4-3]`.
    pub fn subscribe(
        &mut self,
        now: Instant,
        subscriptions: Vec<Subscription>,
    ) -> Result<SubscribeId, SubscribeError> {
        self.subscribe_with(now, subscriptions, SubscribeProperties::default())
    }

    /// Subscribes with the properties of version 5, which are also sent when the client renews the
    /// subscriptions. In version 3.1.1 they are left out.
    pub fn subscribe_with(
        &mut self,
        now: Instant,
        subscriptions: Vec<Subscription>,
        properties: SubscribeProperties,
    ) -> Result<SubscribeId, SubscribeError> {
        self.advance(now);
        if self.is_stopped() {
            return Err(SubscribeError::Stopped);
        }
        let id = SubscribeId(self.requests);
        self.subscriptions
            .subscribe(id, subscriptions, properties)?;
        self.requests += 1;
        Ok(id)
    }

    /// Unsubscribes, and forgets the subscriptions.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        topic_filters: Vec<TopicFilter>,
    ) -> Result<UnsubscribeId, SubscribeError> {
        self.advance(now);
        if self.is_stopped() {
            return Err(SubscribeError::Stopped);
        }
        let id = UnsubscribeId(self.requests);
        self.subscriptions.unsubscribe(id, topic_filters)?;
        self.requests += 1;
        Ok(id)
    }

    /// Ends the client for good. Over an open connection the client first sends what it still may,
    /// then DISCONNECT. It does not wait for acknowledgements.
    ///
    /// [`ReasonCode::DisconnectWithWill`] asks the server to publish the will nevertheless. In
    /// version 3.1.1 the client closes the connection without DISCONNECT for that. It sends
    /// [`ReasonCode::UnspecifiedError`] instead of a code that only a server may send.
    pub fn disconnect(&mut self, now: Instant, reason_code: ReasonCode) {
        self.disconnect_with(now, Disconnect::new(reason_code));
    }

    /// The same with the properties of version 5, which are left out in version 3.1.1. The standard
    /// allows a session expiry interval only if the options' one is not 0 `[MQTT-3.14.2-2]`.
    pub fn disconnect_with(&mut self, now: Instant, disconnect: Disconnect) {
        self.advance(now);
        if self.is_stopped() {
            return;
        }
        let mut last = BytesMut::new();
        self.transmit(&mut last);
        if let Some(connection) = &mut self.connection {
            connection.push_encoded(&last);
        }
        for publication in self.outgoing.queue.drain() {
            self.events.push_back(Event::Published {
                id: publication.id,
                outcome: PublishOutcome::Dropped(DropCause::Stopped),
            });
        }
        let farewell = match self.state {
            State::Opening { .. } | State::Connecting { .. } | State::Connected { .. } => {
                Farewell::Disconnect(disconnect)
            }
            State::Waiting { .. } | State::CredentialsNeeded { .. } | State::Stopped { .. } => {
                Farewell::None
            }
        };
        self.end(DisconnectCause::Requested, farewell);
    }

    /// Leaves the server until [`reconnect_now`](Self::reconnect_now) is called, for example because
    /// the browser puts the page aside. Over an open connection the client first sends what it still
    /// may, then a DISCONNECT that ends the session: nobody reads what the server would queue. The next
    /// connection begins anew, with the same subscriptions and publications.
    pub fn suspend(&mut self, now: Instant) {
        self.advance(now);
        match self.state {
            State::Opening { .. } | State::Connecting { .. } | State::Waiting { .. } => {
                self.end(DisconnectCause::Suspended, Farewell::Close);
            }
            State::Connected { .. } => {
                let mut last = BytesMut::new();
                self.transmit(&mut last);
                if let Some(connection) = &mut self.connection {
                    connection.push_encoded(&last);
                }
                self.end(DisconnectCause::Suspended, Farewell::EndSession);
            }
            State::CredentialsNeeded { .. } | State::Stopped { .. } => {}
        }
    }

    /// Uses other credentials from the next connection on. If the client waits for credentials, it
    /// begins that connection at once.
    pub fn set_credentials(
        &mut self,
        now: Instant,
        user_name: Option<Utf8String>,
        password: Option<Bytes>,
    ) {
        self.advance(now);
        self.options.user_name = user_name;
        self.options.password = password;
        if let State::CredentialsNeeded { .. } = self.state {
            self.open();
        }
    }

    /// Call this for a button, for the browser's `online` event, or when a page becomes visible.
    ///
    /// If the client is not connected, the next attempt begins at once, also after a stop that a
    /// server caused. It does not begin after [`disconnect`](Self::disconnect), nor while
    /// credentials are needed. If the client is connected, it sends a PINGREQ with a short time-out
    /// to find out whether it still is.
    pub fn reconnect_now(&mut self, now: Instant) {
        self.advance(now);
        match &self.state {
            State::Connected { .. } => {
                if let Some(connection) = &mut self.connection {
                    connection
                        .keep_alive
                        .probe(self.now, self.options.probe_timeout);
                }
            }
            State::Waiting { .. } => {
                self.server.backoff.reset();
                self.open();
            }
            State::Stopped { .. } if !self.is_stopped() => self.open(),
            State::Opening { .. }
            | State::Connecting { .. }
            | State::CredentialsNeeded { .. }
            | State::Stopped { .. } => {}
        }
    }

    /// The shell has opened the transport that [`Event::OpenTransport`] asked for.
    pub fn handle_transport_open(&mut self, now: Instant) {
        if !self.advance(now) {
            return;
        }
        if let State::Opening { since, attempt } = self.state {
            self.send_connect(since, attempt);
        }
    }

    /// The shell could not open the transport, or the other side or the network closed it.
    pub fn handle_transport_closed(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let why = match self.state {
            State::Opening { .. } => DisconnectCause::TransportNotOpened,
            State::Connecting { .. } => DisconnectCause::TransportClosed,
            State::Connected { .. } => self
                .check_connection()
                .err()
                .unwrap_or(DisconnectCause::TransportClosed),
            State::Waiting { .. } | State::CredentialsNeeded { .. } | State::Stopped { .. } => {
                return;
            }
        };
        self.end(why, Farewell::None);
    }

    /// Handles bytes from the server. They may hold any part of a packet or many packets.
    ///
    /// The client has already dealt with a returned error (DISCONNECT, close, a later attempt). It
    /// is for the log.
    pub fn handle_input(&mut self, now: Instant, mut bytes: Bytes) -> Result<(), ProtocolError> {
        if !self.advance(now) {
            return Ok(());
        }
        if let Some(connection) = &mut self.connection {
            connection.keep_alive.received(self.now);
        }
        let result = self.take_packets(&mut bytes);
        if let Err(error) = &result {
            let farewell = Farewell::Disconnect(Disconnect::new(error.reason_code()));
            self.end(DisconnectCause::Protocol(error.clone()), farewell);
        }
        result
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come, perhaps long ago. Only `now`
    /// counts.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// Appends everything that may be sent now to `out`. Returns `true` if it appended something,
    /// or if there is a new event: the client can give up a publication without sending a byte.
    ///
    /// A shell whose transport does not keep up may delay this call. Publications then fill the
    /// bounded queue.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) -> bool {
        let before = (out.len(), self.events.len());
        if self.farewell.is_empty() {
            self.transmit(out);
        } else {
            out.extend_from_slice(&self.farewell);
            self.farewell = BytesMut::new();
        }
        (out.len(), self.events.len()) != before
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When the shell should call [`handle_timeout`](Self::handle_timeout), and what for. An
    /// earlier call does no harm.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Opening { since, .. } | State::Connecting { since, .. } => {
                Some((since + self.options.connect_timeout, Timer::Connect))
            }
            State::Connected { .. } => self.connection.as_ref()?.keep_alive.next(),
            State::Waiting { until, .. } => Some((until, Timer::Reconnect)),
            State::CredentialsNeeded { .. } | State::Stopped { .. } => None,
        }
    }

    /// The client's state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The client identifier: the one from the server, if the options have none.
    pub fn client_id(&self) -> &Utf8String {
        &self.options.client_id
    }

    /// How many publications are not finished, and how many bytes they take.
    pub fn queued(&self) -> (usize, usize) {
        self.outgoing.queue.counts()
    }

    /// How many packet identifiers are in use: none if nothing is unfinished.
    pub fn packet_ids_in_use(&self) -> usize {
        self.ids.used()
    }
}
