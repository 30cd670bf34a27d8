//! How a broker is set up.

use mqtt::Utf8String;

use crate::admission::Steps;
use crate::types::{Grants, Limits};

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
    /// What clients may do that are let in without being asked, and sessions of an earlier run
    /// until their clients are back.
    pub grants: Grants,
    /// Whether acknowledgements wait for [`Input::Persisted`](crate::Input::Persisted).
    pub durable: bool,
    /// Seconds for which the session of a 3.1.1 client outlives its connection when Clean
    /// Session is 0; version 5 clients say it themselves. `u32::MAX`: for ever.
    pub session_expiry_interval_3_1_1: u32,
    /// The longest keep alive in seconds. A version 5 client that asks for a longer one, or
    /// for none, is told this one `[MQTT-3.1.2-21]`.
    pub server_keep_alive: Option<u16>,
    /// Whether a payload that says that it is UTF-8 has to be (section 3.3.2.3.2). One that is
    /// not is refused with "payload format invalid"; for `QoS` 0 that ends the connection, as
    /// there is no other way to say it.
    pub check_payload_format: bool,
    /// What a client is told that asks for Response Information (section 3.2.2.3.15), with a
    /// `/` and its client identifier behind it: where it may have its answers sent. Nothing is
    /// told to a client whose identifier could not stand in a topic name.
    pub response_information: Option<Utf8String>,
    /// How much of what can wait is done at once.
    #[doc(hidden)]
    pub steps: Steps,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            seed: 0,
            authenticate: false,
            grants: Grants::default(),
            durable: false,
            session_expiry_interval_3_1_1: 7 * 24 * 60 * 60,
            server_keep_alive: None,
            check_payload_format: true,
            response_information: None,
            steps: Steps::default(),
        }
    }
}
