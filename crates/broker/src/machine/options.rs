//! The options of a broker.

use mqtt::Utf8String;

use crate::admission::Steps;
use crate::types::{Grants, Limits};

/// The options of a broker. [`BrokerOptions::default`] works as it is, but set a seed.
// They are switches, each of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerOptions {
    /// Every limit.
    pub limits: Limits,
    /// A random secret. It keys the hash tables against chosen collisions, and makes assigned
    /// client identifiers hard to guess. The same seed and the same inputs give the same
    /// outputs.
    pub seed: u64,
    /// Whether a CONNECT leads to [`Output::Authenticate`](crate::Output::Authenticate).
    /// Otherwise the broker lets every client in.
    pub authenticate: bool,
    /// What a client may do that the broker lets in without authentication. Recovered sessions may
    /// do the same until their clients are back.
    pub grants: Grants,
    /// Whether acknowledgements wait for [`Input::Persisted`](crate::Input::Persisted).
    pub durable: bool,
    /// How long the session of a 3.1.1 client with Clean Session 0 outlives its connection, in
    /// seconds. Version 5 clients say it themselves. `u32::MAX`: for ever.
    pub session_expiry_interval_3_1_1: u32,
    /// The longest keep alive in seconds. CONNACK gives this one to a version 5 client that asks
    /// for a longer one or for none `[MQTT-3.1.2-21]`.
    pub server_keep_alive: Option<u16>,
    /// Whether to check that a payload really is UTF-8 if its message says so (section 3.3.2.3.2).
    /// If it is not, the message is refused with "payload format invalid". For `QoS` 0 the
    /// connection is closed, because there is no other way to refuse it.
    pub check_payload_format: bool,
    /// The beginning of Response Information (section 3.2.2.3.15): the topic under which clients
    /// may have their responses sent. `/` and the client identifier follow it. A client whose
    /// identifier cannot stand in a topic name gets no Response Information.
    pub response_information: Option<Utf8String>,
    /// The server's id. CONNACK of version 5 has it as the user property `beaconry-server`, if the
    /// client has room for it `[MQTT-3.2.2-20]`. So a client knows whether an API that has the same
    /// id speaks of this broker.
    pub server_id: Option<Utf8String>,
    /// Whether somebody reads the [tap](crate::tap). Otherwise nothing is written down for it.
    pub tap: bool,
    /// The size of the work budget.
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
            server_id: None,
            tap: false,
            steps: Steps::default(),
        }
    }
}
