//! How a broker is set up.

use crate::limits::Limits;

/// How a broker is set up. [`BrokerOptions::default`] needs no further thought but a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerOptions {
    /// Every limit.
    pub limits: Limits,
    /// Random, and secret: keys the hash tables against chosen collisions and makes assigned
    /// client identifiers hard to guess. The same seed and the same inputs give the same
    /// outputs.
    pub seed: u64,
    /// Whether CONNECT leads to [`Output::Authenticate`](crate::Output::Authenticate).
    /// Otherwise every client is let in.
    pub authenticate: bool,
    /// Whether acknowledgements wait for [`Input::Persisted`](crate::Input::Persisted).
    pub durable: bool,
    /// Seconds for which the session of a 3.1.1 client outlives its connection when Clean
    /// Session is 0; version 5 clients say it themselves. `u32::MAX`: for ever.
    pub session_expiry_interval_3_1_1: u32,
    /// The longest keep alive in seconds. A version 5 client that asks for a longer one, or
    /// for none, is told this one `[MQTT-3.1.2-21]`.
    pub server_keep_alive: Option<u16>,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            seed: 0,
            authenticate: false,
            durable: false,
            session_expiry_interval_3_1_1: 7 * 24 * 60 * 60,
            server_keep_alive: None,
        }
    }
}
