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
//! The loop that every shell runs, one turn after another:
//!
//! 1. [`Broker::handle_input`] for all that has happened;
//! 2. [`Broker::poll_output`] until [`Output::Idle`]; at a [`Output::Write`],
//!    [`Broker::take_writes`];
//! 3. write to the sockets, and [`Input::Drained`] for each that has taken all its bytes;
//! 4. sleep until something happens or the time that `Idle` named, at which it is
//!    [`Input::Timeout`].

mod acknowledge;
mod broker;
mod close;
mod connect;
mod connection;
mod deliver;
mod input;
mod limits;
mod message;
mod metrics;
mod options;
mod outbox;
mod outgoing;
mod output;
mod receive;
mod retained;
mod route;
mod session;
mod subscribe;
mod subscriptions;
mod timers;
mod tree;
mod will;

#[cfg(test)]
mod tests;

pub use broker::Broker;
pub use input::{Conn, Decision, Input, Peer, Transport};
pub use limits::{Limits, QueueFull};
pub use metrics::Metrics;
pub use options::BrokerOptions;
pub use output::{
    CloseCause, CloseReason, ConnectedClient, Credentials, Lsn, Output, Record, ShardId,
    ShardMessage,
};
