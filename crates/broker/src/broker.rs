//! The state machine as a whole.

use std::collections::VecDeque;

use bytes::BytesMut;
use mqtt::Instant;

use crate::input::{Conn, Input};
use crate::metrics::Metrics;
use crate::options::BrokerOptions;
use crate::output::{CloseCause, CloseReason, Output};

/// An MQTT server without its network: one shard.
#[derive(Debug)]
pub struct Broker {
    outputs: VecDeque<Output>,
    metrics: Metrics,
}

impl Broker {
    /// A broker that nobody is connected to.
    pub fn new(_now: Instant, _options: BrokerOptions) -> Self {
        Self {
            outputs: VecDeque::new(),
            metrics: Metrics::default(),
        }
    }

    /// Takes in what has happened.
    pub fn handle_input(&mut self, _now: Instant, input: Input) {
        if let Input::Opened(conn, _) = input {
            let reason = CloseReason {
                client_id: None,
                cause: CloseCause::ShuttingDown,
            };
            self.outputs
                .push_back(Output::Close(conn, Box::new(reason)));
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Idle(None))
    }

    /// Gives all bytes that wait for `conn`. Into an empty `out` they are moved, not copied,
    /// and `out`'s own memory is used again for a later connection: give a buffer that has
    /// been written and cleared. To a filled `out` they are appended.
    ///
    /// Follows [`Output::Write`], and is followed by [`Input::Drained`].
    pub fn take_writes(&mut self, _conn: Conn, _out: &mut BytesMut) {}

    /// What has been counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
