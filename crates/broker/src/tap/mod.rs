//! The tap: what happens in the broker, for those in the same process who look on.
//!
//! A broker with [`BrokerOptions::tap`](crate::BrokerOptions::tap) writes down every PUBLISH that it
//! accepts, every will that it publishes, and every client that comes or leaves. The shell takes that
//! in batches ([`Broker::take_tap`](crate::Broker::take_tap)) and gives them to a reader on another
//! thread, which [`read`]s them.
//!
//! **Invariant.** Whoever looks on slows nobody down. What waits for the reader takes at most
//! [`Limits::tap_bytes`](crate::Limits::tap_bytes). Beyond that the broker does not wait: it loses,
//! and counts what it lost.
//!
//! # What the reader can rely on
//!
//! Batches follow each other without a gap, and events stand in the order in which they happened in
//! the broker. In particular a client's will comes after the [`TapEvent::Left`] of that client, and
//! a client's messages come between its [`TapEvent::Connected`] and its `Left`. Only during a resync a
//! message may come from a connection of which the resync has not told yet.
//!
//! The first event of all is [`TapEvent::ResyncBegins`]. Until [`TapEvent::ResyncEnds`] the broker
//! tells of every connected client (`Connected`, with `is_news: false`) and of every retained message
//! ([`TapEvent::Retained`]), a few at a time. What happens meanwhile stands between them and is
//! current. So a reader does this:
//!
//! - At `ResyncBegins` it marks every connection and every retained message that it knows as
//!   doubtful.
//! - At `Connected`, `Retained` and a `Message` with `retain` it takes what the event says, and
//!   removes the mark. It does so at any time, resync or not.
//! - At `Left`, [`TapEvent::RetainedGone`], and a `Message` with `retain` and an empty payload it
//!   removes the connection or retained message.
//! - At `ResyncEnds` it removes what is still marked: the connections have ended, and nobody knows
//!   how; the retained messages are gone.
//!
//! Then it knows the same connections and the same retained messages as the broker had at that
//! point. One exception: a message that is larger than three quarters of the tap's buffer is never
//! told, and is gone for the reader.
//!
//! # What is lost
//!
//! The reader is slow, and bytes wait for it. From half of the limit on, the broker loses messages
//! with `QoS` 0 that are not retained: telemetry. From three quarters on, it loses all messages that
//! are not retained. A will counts as retained here, because it speaks of presence. When something
//! else does not fit either, everything is lost until the reader has taken what waits. After that a
//! resync follows. [`TapEvent::Lost`] stands at the end of a batch and says how many messages were
//! lost during the batch. Messages that a resync brings again as `Retained` count too.
//!
//! ```
//! use broker::tap::{self, Publisher, TapEvent};
//! use broker::{Broker, BrokerOptions, Conn, Input, Output, Peer};
//! use bytes::BytesMut;
//! use mqtt::{Connect, Instant, Packet, ProtocolVersion, Publish, TopicName, encode};
//!
//! let options = BrokerOptions { tap: true, ..BrokerOptions::default() };
//! let now = Instant::ZERO;
//! let mut broker = Broker::new(now, options);
//! let mut wire = BytesMut::new();
//! let connect = Packet::Connect(Connect::new(ProtocolVersion::V5, "weather-01"));
//! encode(&connect, ProtocolVersion::V5, &mut wire).unwrap();
//! let topic = TopicName::try_from("weather/01/temperature").unwrap();
//! let publish = Packet::Publish(Publish::new(topic, "21.5"));
//! encode(&publish, ProtocolVersion::V5, &mut wire).unwrap();
//! broker.handle_input(now, Input::Opened(Conn(1), Peer::MEMORY));
//! broker.handle_input(now, Input::Bytes(Conn(1), wire.freeze()));
//!
//! let mut is_tapped = false;
//! loop {
//!     match broker.poll_output() {
//!         Output::Tapped => is_tapped = true,
//!         Output::Idle(_) => break,
//!         _ => {}
//!     }
//! }
//! assert!(is_tapped);
//! let mut batch = Vec::new();
//! broker.take_tap(&mut batch);
//! let said = tap::read(&batch).find_map(|event| match event {
//!     TapEvent::Message { publisher: Publisher::Connection(Conn(1)), payload, .. } => Some(payload),
//!     _ => None,
//! });
//! assert_eq!(said, Some(&b"21.5"[..]));
//! ```

mod buffer;
mod event;
mod form;

pub(crate) use buffer::{Stage, Tap, retained_gone};
pub use event::{Departure, Publisher, TapEvent};
pub use form::{Events, read};
