//! The sans-IO MQTT broker: sessions, routing, retained messages, wills, queues and timers.
//!
//! One [`Broker`] is one shard: a state machine that is told what happened ([`Input`]) and
//! says what to do ([`Output`]). It serves MQTT 3.1.1 and 5 at once.
//!
//! **Invariant.** No socket, clock, thread or random source is known here. The same inputs
//! at the same [`Instant`](mqtt::Instant)s with the same seed give the same outputs.
//!
//! **Invariant.** Memory is bounded: each queue, buffer and store has a place in [`Limits`],
//! and what a limit dropped or refused is counted in [`Metrics`].
//!
//! **Invariant.** What a client is told is durable before it is told
//! ([below](#what-outlives-a-crash)).
//!
//! The loop that every shell runs, one turn after another:
//!
//! 1. [`Broker::handle_input`] for all that has happened;
//! 2. [`Broker::poll_output`] until [`Output::Idle`]; at a [`Output::Write`],
//!    [`Broker::take_writes`], at a [`Output::Persist`], [`Broker::take_journal`];
//! 3. write to the sockets, and [`Input::Drained`] for each that has taken all its bytes;
//! 4. sleep until something happens or the time that `Idle` named. Then read what waits in the
//!    sockets, and only after it give [`Input::Timeout`].
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
//! With [`BrokerOptions::durable`] the broker writes what it does into a [`journal`], as far as
//! it outlives a connection: sessions whose expiry interval is not 0, what is subscribed,
//! queued and in flight there, the wills of all sessions, and retained messages. What the shell
//! takes at once is durable at once, and until it is ([`Input::Persisted`]) this stays in the
//! broker:
//!
//! - acknowledgements of what is recorded, CONNACK and SUBACK of such sessions and CONNACK of
//!   clients with a will among them, and the acknowledgements behind them;
//! - `QoS` 2 messages to such sessions, and PUBREL: a crash would make the broker send the
//!   message again, as another one.
//!
//! Nothing else waits; what concerns no such session or will is in no record, and acknowledged
//! at once.
//! `QoS` 0 messages pass what waits, but for CONNACK. [`Recovery`] makes a broker of the records
//! that survived: every client has lost its connection then. A retained message that a
//! subscription asked for may be sent again after a crash, with `QoS` 2 too, if not all of them
//! had been sent. [`Broker::checkpoint`] makes the journal shorter; [`StoreState::Full`] says
//! what is refused while it has no room, and [`Input::StoreRoom`] how much it has: what is accepted
//! leaves enough of that for clients to take all that waits for them, and for a copy.
//!
//! # What the standard leaves to the server
//!
//! - Topics that start with `$` are the server's own: what a client publishes there is
//!   refused ("topic name invalid"; in 3.1.1 acknowledged and dropped), a will there too ("not
//!   authorized" in 3.1.1). A client may publish to, and leave its will at, one of them:
//!   `$SYS/broker/connection/{its client id}/state`, where mosquitto's bridges say whether they
//!   are connected.
//! - A client that says in CONNECT that it is a bridge (mosquitto's do, see
//!   [`Dialect`](mqtt::Dialect)) gets what version 5 calls No Local and Retain As Published with
//!   each subscription that is not shared: messages do not go in circles between the two
//!   brokers, and retained ones stay retained.
//! - A client of MQTT 3.1 is served as one of 3.1.1. It needs a client identifier, of any
//!   length; its CONNACK never says that a session is present, which 3.1 does not know; a
//!   subscription that is refused is 0x80 in its SUBACK, though 3.1 does not know that either.
//! - A client with several matching subscriptions gets a message once, at the highest of
//!   their `QoS` levels, with all their identifiers, and with the retain flag as published
//!   if one of them asks for that.
//! - Shared subscriptions (`$share/{name}/{filter}`) are for clients of both versions. Whose
//!   turn a message is goes round among the members of a group that can be sent to at once;
//!   if none can, it waits for a connected one, and for an absent one only if none of those
//!   has room. What a member has not been sent, and what it has not acknowledged of `QoS` 1,
//!   goes to another one that is connected when it loses its connection, and to any other
//!   when its session ends. A message that is too large for one member goes to another.
//! - A group with members whose sessions last (and get `QoS` 1 or 2) is in the journal for what
//!   it gave to a member whose session does not: until that one has acknowledged it, or was
//!   sent it with `QoS` 2, when it is nobody else's `[MQTT-4.8.2-5]`. After a crash another
//!   member gets it. So what was acknowledged to its publisher is kept, and whose turn it is
//!   does not depend on whose session lasts.
//! - `QoS` 0 messages are not kept for absent clients, and are dropped, not delayed, for one
//!   that reads too slowly. Retained messages that a subscription asks for are not dropped
//!   so: they are looked for as the connection has room. What is published meanwhile goes
//!   before those that are not found yet, unless one of its own topic may be among them: then
//!   it, and what comes later, waits behind them.
//! - `QoS` 1 and 2 messages wait in order, within [`Limits`]; [`QueueFull`] says what
//!   happens then.
//! - A takeover closes the old connection first: a session whose expiry interval is 0 ends
//!   with it, and its will is published, before the new connection's CONNECT is looked at.
//! - A server that shuts down publishes no wills (section 3.1.2.5 leaves it open). As after a
//!   crash, the next run publishes those that are in records. Those of sessions that ended with
//!   the server it publishes at its start; those of sessions that go on when their delay is over,
//!   which counts from the end of the connection, after a crash from the next start, and who
//!   comes back before takes the will back.

mod types;

mod admission;
mod durability;

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
    Access, CloseCause, CloseReason, Conn, Grants, LOOKS_LIKE_HTTP, Limit, Limits, Lsn, Metrics,
    Peer, Principal, QueueFull, Reach, StoreState, TOO_SLOW, Transport,
};
