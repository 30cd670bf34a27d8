//! The sans-IO MQTT broker: sessions, routing, retained messages, wills, queues and timers.
//!
//! One [`Broker`] is one shard: a state machine that takes what happened ([`Input`]) and answers
//! with what to do ([`Output`]). It serves MQTT 3.1.1 and 5 at once.
//!
//! **Invariant.** The broker knows no socket, clock, thread or random source. The same inputs at
//! the same [`Instant`](mqtt::Instant)s with the same seed give the same outputs.
//!
//! **Invariant.** Memory is bounded. Each queue, buffer and store has a limit in [`Limits`], and
//! [`Metrics`] counts what a limit dropped or refused.
//!
//! **Invariant.** The broker tells a client only what is durable
//! ([below](#what-outlives-a-crash)).
//!
//! Every shell runs this loop, one turn after another:
//!
//! 1. Call [`Broker::handle_input`] for everything that has happened.
//! 2. Call [`Broker::poll_output`] until [`Output::Idle`]. At an [`Output::Write`] call
//!    [`Broker::take_writes`], at an [`Output::Persist`] call [`Broker::take_journal`],
//!    at an [`Output::Tapped`], now or soon, [`Broker::take_tap`].
//! 3. Write to the sockets, and give [`Input::Drained`] for each socket that has taken all its
//!    bytes.
//! 4. Sleep until something happens or until the time that `Idle` named. Then read what waits in
//!    the sockets, and only after that give [`Input::Timeout`].
//!
//! ```
//! use broker::{Broker, BrokerOptions, Conn, Input, Output, Peer};
//! use bytes::BytesMut;
//! use mqtt::{Connect, Decoder, Instant, Packet, ProtocolVersion, ReasonCode, encode};
//!
//! let now = Instant::ZERO;
//! let mut broker = Broker::new(now, BrokerOptions::default());
//! let conn = Conn(1);
//! broker.handle_input(now, Input::Opened(conn, Peer::MEMORY));
//! let mut wire = BytesMut::new();
//! let connect = Packet::Connect(Connect::new(ProtocolVersion::V5, "weather-01"));
//! encode(&connect, ProtocolVersion::V5, &mut wire).unwrap();
//! broker.handle_input(now, Input::Bytes(conn, wire.split().freeze()));
//!
//! loop {
//!     match broker.poll_output() {
//!         Output::Write(conn) => broker.take_writes(conn, &mut wire),
//!         Output::Idle(_) => break,
//!         other => println!("{other:?}"),
//!     }
//! }
//! let answer = Decoder::client(ProtocolVersion::V5).decode(&mut wire.freeze()).unwrap();
//! let Some(Packet::ConnAck(connack)) = answer else { panic!("{answer:?}") };
//! assert_eq!(connack.reason_code, ReasonCode::Success);
//! broker.handle_input(now, Input::Drained(conn));
//! ```
//!
//! # What outlives a crash
//!
//! With [`BrokerOptions::durable`] the broker writes each change of state that outlives a
//! connection into a [`journal`]: sessions whose expiry interval is not 0, with their
//! subscriptions, queues and messages in flight; the wills of all sessions; and retained
//! messages. The records that the shell takes at once become durable together. Until they are
//! ([`Input::Persisted`]), the broker holds back:
//!
//! - acknowledgements of anything recorded, CONNACK and SUBACK of such sessions, CONNACK of
//!   clients with a will, and the acknowledgements behind them;
//! - `QoS` 2 messages to such sessions, and PUBREL: after a crash the broker would otherwise
//!   send the message again as a new one.
//!
//! Nothing else waits. Anything that concerns no such session, no will and no retained message is
//! not recorded, and is acknowledged at once. `QoS` 0 messages overtake what waits, except CONNACK.
//!
//! [`Recovery`] makes a broker from the records that survived a crash. Every client has then
//! lost its connection. A retained look-up that was not over begins again, so some retained
//! messages may be sent twice, with `QoS` 2 too.
//!
//! [`Broker::checkpoint`] makes the journal shorter. [`StoreState::Full`] says what is refused
//! while the store has no room, and [`Input::StoreRoom`] tells the broker how much room there is.
//! The broker accepts new things only while enough room is left for two others: the records that
//! clients cause by taking everything that waits for them, and a checkpoint.
//!
//! # What the standard leaves to the server
//!
//! - Topics that start with `$` are the server's own. A message to one is refused with "topic
//!   name invalid" (in 3.1.1 it is acknowledged and dropped), and a CONNECT with such a will too
//!   ("not authorized" in 3.1.1). One exception: a client may publish to, and leave its will at,
//!   `$SYS/broker/connection/{its client id}/state`, where mosquitto's bridges say whether they
//!   are connected.
//! - A client may say in CONNECT that it is a bridge, as mosquitto's do (see
//!   [`Dialect`](mqtt::Dialect)). Each of its subscriptions that is not shared then gets what
//!   version 5 calls No Local and Retain As Published. So messages do not go in circles between
//!   the two brokers, and retained messages stay retained.
//! - A client of MQTT 3.1 is served like one of 3.1.1. It needs a client identifier, of any length.
//!   Its CONNACK never says that a session is present, because 3.1 has no such flag. A refused
//!   subscription gets 0x80 in SUBACK, although 3.1 does not define that code either.
//! - A client with several matching subscriptions gets a message once, at the highest of their
//!   `QoS` levels and with all their identifiers. The retain flag stays as published if one of
//!   them asks for that.
//! - Shared subscriptions (`$share/{name}/{filter}`) work in both versions. The turn goes round
//!   among the members of a group that the broker can send to at once. If there are none, the
//!   message waits for a connected member, or for an absent one if no connected member has room.
//!   When a member loses its connection, its messages go to another connected member: those that
//!   were not sent yet, and those that were sent with `QoS` 1 and not acknowledged. When its
//!   session ends, they go to any other member. A message that is too large for one member goes to
//!   another.
//! - A group may have members whose sessions outlive their connections and get `QoS` 1 or 2. The
//!   journal then also keeps the messages that the group gave to other members, until they are
//!   acknowledged. After a crash another member gets them. A message that was sent with `QoS` 2 may
//!   go to no other member `[MQTT-4.8.2-5]`, so the journal does not keep it for the group. So no
//!   message is lost that the broker has acknowledged, and the turn does not depend on which
//!   members have lasting sessions.
//! - `QoS` 0 messages are not kept for absent clients. For a client that reads too slowly
//!   the oldest are dropped. But retained messages for a new subscription are not dropped: the broker
//!   looks them up as the connection has room. Live messages go before retained ones that the
//!   broker has not found yet, unless one of those may have the same topic. Then the live message
//!   and all later ones wait.
//! - `QoS` 1 and 2 messages wait in order, within [`Limits`]. [`QueueFull`] says what happens
//!   beyond these.
//! - A SUBSCRIBE with the user property [`LATEST_PROPERTY`] asks for the newest message of each
//!   topic and no more, at most as often as it says. It is granted `QoS` 0. What the client cannot be
//!   sent yet is replaced by what is newer, and [`SKIPPED_PROPERTY`] says how many messages a PUBLISH
//!   stands for. If an ordinary subscription of the session matches too, the message goes out as
//!   usual. Nothing waits for a client that is away. SUBACK refuses an interval out of bounds, and a
//!   shared subscription, with "implementation specific error".
//! - A takeover closes the old connection first. If the session's expiry interval is 0, the session
//!   ends and its will is published before the new connection's CONNECT is handled.
//! - A server that shuts down publishes no wills (section 3.1.2.5 leaves it open). As after a
//!   crash, the next run publishes those in records. Wills of sessions that ended with the server
//!   are published at its start. Wills of sessions that go on are published when their delay is
//!   over. A client that comes back before that takes its will back. The delay counts from the end
//!   of the connection, or from the next start after a crash.

mod types;

mod admission;
mod durability;

pub mod tap;

mod delivery;
mod protocol;
mod routing;
mod session;

mod machine;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use admission::Steps;
pub use admission::{DenyRules, LimitReached};
pub use durability::journal;
pub use durability::{RecordError, RecordErrorKind};
pub use machine::{
    Broker, BrokerOptions, ConnectedClient, Credentials, Decision, Input, Output, Recovery,
};
pub use types::{
    Access, CloseCause, CloseReason, Conn, Grants, LATEST_PROPERTY, LOOKS_LIKE_HTTP, Limit, Limits,
    Lsn, Metrics, Peer, Principal, QueueFull, Reach, SKIPPED_PROPERTY, StoreState, TOO_SLOW,
    Transport,
};
