//! The sans-IO client against the statements of the standard that a client can break. Both sides
//! send bytes, as the standard draws them.
//!
//! Each test names its statements: its own name has one, the comment above it the others. The
//! server's tests check the server's side of the same statements over real sockets.
#![allow(clippy::unwrap_used)] // what a test relies on may panic

mod closing;
mod codec;
mod connecting;
mod receiving;
mod resuming;
mod sending;
mod subscribing;
mod v3_1_1;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::client::{PublishId, PublishOutcome, Timer};
use mqtt::{
    Client, ClientOptions, Event, Instant, ProtocolVersion, Publish, QoS, ReasonCode, Subscription,
    TopicFilter, TopicName, Utf8String,
};

/// CONNACK of version 5: accepted, with a new session and no properties.
const ACCEPTED: &[u8] = b"\x20\x03\x00\x00\x00";
/// The same with the session present.
const RESUMED: &[u8] = b"\x20\x03\x01\x00\x00";
/// CONNACK of version 3.1.1: accepted, with a new session.
const ACCEPTED_3_1_1: &[u8] = b"\x20\x02\x00\x00";
/// The same with the session present.
const RESUMED_3_1_1: &[u8] = b"\x20\x02\x01\x00";

/// A client, and the test that plays its server.
struct Bench {
    now: Instant,
    client: Client,
}

impl Bench {
    /// The client has asked for a transport, and nothing else.
    fn new(options: ClientOptions) -> Self {
        let mut client = Client::new(Instant::ZERO, options);
        assert_eq!(client.poll_event(), Some(Event::OpenTransport));
        Self {
            now: Instant::ZERO,
            client,
        }
    }

    /// A client that `connack` has accepted. The events until then are taken.
    fn connected(options: ClientOptions, connack: &'static [u8]) -> Self {
        let mut bench = Self::new(options);
        bench.open();
        bench.accept(connack);
        bench
    }

    /// Opens the transport, and returns what the client sends first.
    fn open(&mut self) -> Vec<u8> {
        self.client.handle_transport_open(self.now);
        self.sent()
    }

    /// The server sends `connack`, and the client is connected.
    fn accept(&mut self, connack: &'static [u8]) {
        self.feed(connack);
        assert!(self.client.state().is_connected());
        while !matches!(self.client.poll_event(), Some(Event::Connected { .. })) {}
    }

    /// Loses the transport, and connects again as soon as the client wants to. Returns the CONNECT.
    /// The test still has to take what the client sends after `connack`.
    fn reconnect(&mut self, connack: &'static [u8]) -> Vec<u8> {
        let connect = self.reopen();
        self.accept(connack);
        connect
    }

    /// Loses the transport, and opens another as soon as the client wants to.
    fn reopen(&mut self) -> Vec<u8> {
        self.client.handle_transport_closed(self.now);
        let (at, timer) = self.client.poll_timeout().unwrap();
        assert_eq!(timer, Timer::Reconnect);
        self.now = at;
        self.client.handle_timeout(at);
        self.open()
    }

    /// The server sends `wire`, which it may.
    fn feed(&mut self, wire: &'static [u8]) {
        let bytes = Bytes::from_static(wire);
        self.client.handle_input(self.now, bytes).unwrap();
    }

    /// The server sends `wire`, which it must not. Returns the reason and what the client still
    /// sends. Checks that the client closes the transport and accepts nothing more from it.
    fn refuse(&mut self, wire: &'static [u8]) -> (ReasonCode, Vec<u8>) {
        self.events();
        let bytes = Bytes::from_static(wire);
        let error = self.client.handle_input(self.now, bytes).unwrap_err();
        assert!(self.closes(), "{error}");
        assert!(!self.client.state().is_connected());
        (error.reason_code(), self.sent())
    }

    /// Whether the client wants its transport closed.
    fn closes(&mut self) -> bool {
        self.events().contains(&Event::CloseTransport)
    }

    /// What the client sends now.
    fn sent(&mut self) -> Vec<u8> {
        let mut wire = BytesMut::new();
        while self.client.poll_transmit(&mut wire) {}
        wire.to_vec()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    /// The messages that the application receives.
    fn messages(&mut self) -> Vec<Publish> {
        let message = |event| match event {
            Event::Message(publish) => Some(publish),
            _ => None,
        };
        self.events().into_iter().filter_map(message).collect()
    }

    /// The outcomes of the publications that have ended since the last look.
    fn outcomes(&mut self) -> Vec<(PublishId, PublishOutcome)> {
        let outcome = |event| match event {
            Event::Published { id, outcome } => Some((id, outcome)),
            _ => None,
        };
        self.events().into_iter().filter_map(outcome).collect()
    }

    /// Publishes `payload` to the topic "t", which is too short for an alias.
    fn publish(&mut self, qos: QoS, payload: &'static str) -> PublishId {
        let mut publish = Publish::new(topic("t"), payload);
        publish.qos = qos;
        self.client.publish(self.now, publish).unwrap()
    }

    fn subscribe(&mut self, filter: &str) {
        let subscription = Subscription::new(self::filter(filter), QoS::AtMostOnce);
        self.client.subscribe(self.now, vec![subscription]).unwrap();
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.client.handle_timeout(self.now);
    }
}

/// The options of a client called "c". Each test names everything that `CONNECT` holds.
fn options() -> ClientOptions {
    ClientOptions {
        fall_back: false,
        ..ClientOptions::new(Utf8String::from_static("c"))
    }
}

/// The first connection of this client resumes: an earlier run of the application made the session.
fn resuming() -> ClientOptions {
    ClientOptions {
        clean_start: false,
        ..options()
    }
}

fn options_3_1_1() -> ClientOptions {
    ClientOptions {
        version: ProtocolVersion::V3_1_1,
        ..options()
    }
}

fn text(text: &'static str) -> Utf8String {
    Utf8String::from_static(text)
}

fn topic(name: &str) -> TopicName {
    TopicName::try_from(name).unwrap()
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}
