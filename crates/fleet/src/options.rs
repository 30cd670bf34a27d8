//! What a fleet recognises, how long it waits, and the limits on what it holds.

use crate::prefix_rule::PrefixRule;
use core::time::Duration;

/// When a device that should be talking counts as stale.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct StaleRule {
    /// Silence of this many median intervals makes a device stale. Default 3.
    pub intervals: u32,
    /// A shorter silence never makes a device stale. Default 30 s.
    pub at_least: Duration,
    /// The least silence while fewer than three intervals have been observed, because a device
    /// that reports every few minutes looks silent at first. Default 15 min: three times the
    /// 300 s at which much firmware reports.
    pub while_unknown: Duration,
}

impl Default for StaleRule {
    fn default() -> Self {
        Self {
            intervals: 3,
            at_least: Duration::from_secs(30),
            while_unknown: Duration::from_mins(15),
        }
    }
}

/// The options of a [`crate::Fleet`]. The defaults fit the dashboard.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct FleetOptions {
    /// Which prefixes belong to the four-topic convention.
    pub prefixes: PrefixRule,
    /// Makes the places of ids in the fleet's tables unpredictable: give it something random, so
    /// that no stranger can choose ids that collide. The same seed gives the same fleet.
    pub seed: u64,
    /// When silence means stale.
    pub stale_after: StaleRule,
    /// How long a command may stay unanswered after it was sent; for a sleeping device, after
    /// it should have woken. Default 30 s.
    pub command_timeout: Duration,
    /// How far a device's own clock may be ahead of ours and still be believed. Default 60 s.
    pub max_clock_ahead: Duration,
    /// How far a device's own clock may stay behind ours and still be believed. Messages that are older
    /// still count as a backlog, unless they all are late by the same time. Default 30 min.
    pub max_clock_behind: Duration,
    /// The longest sleep of a duty-cycled device; a longer absence is offline. Default 1 h.
    pub max_cycle: Duration,

    /// Somebody who knows more tells what there is, by [`Fleet::adopt`](crate::Fleet::adopt) and its kin.
    /// Then messages change values and commands, but no presence, silence means nothing, and messages
    /// of devices that are not known are ignored. Default: no.
    pub follows: bool,
    /// The number in the key of the first device. With two fleets of which one has numbers far from the other's,
    /// no key of one means a device of the other. Default: 0.
    pub first_number: u32,
    /// Whether each live value is written down for [`Fleet::take_records`](crate::Fleet::take_records). Default: no.
    pub records: bool,

    /// Bytes for everything the fleet remembers, estimated. At the limit a stranger is forgotten
    /// for each new device, as with `max_devices`; nothing else that is new is remembered, and
    /// what is known goes on. Default 256 MiB.
    pub max_bytes: usize,
    /// Devices. For a further one the fleet forgets a stranger, counted as
    /// [`Limit::Strangers`](crate::Limit::Strangers). If there is none, the further one is ignored,
    /// counted as [`Limit::Devices`](crate::Limit::Devices). [`Fleet::forget`](crate::Fleet::forget)
    /// says who is a stranger. Default 200,000.
    pub max_devices: usize,
    /// Devices that a person asked to forget, which only a live message brings back. Beyond this
    /// many, or beyond 1 MiB of names, a retained message too may bring back those forgotten longest
    /// ago. Default 4,096.
    pub max_forgotten: usize,
    /// Metrics of one device; further ones are ignored, with a fault. Default 256.
    pub max_metrics_per_device: usize,
    /// Bytes of a device id and of its prefix; longer ones are ignored. Default 8,192.
    pub max_id_len: usize,
    /// Bytes of a metric's name; longer ones are ignored, with a fault. Default 8,192.
    pub max_metric_name_len: usize,
    /// Bytes of a text value or an answer; longer ones are cut. Default 4,096.
    pub max_text_len: usize,
    /// Entries of a device's presence history; the oldest go first. Default 64.
    pub max_presence_history: usize,
    /// Commands remembered for a device; the oldest finished ones go first. Default 50.
    pub max_commands_per_device: usize,
    /// Values read from one message; the rest is a fault. Default 512.
    pub max_values_per_message: usize,
    /// Levels of nested JSON that are read; deeper is a fault. Default 16.
    pub max_json_depth: usize,
    /// Bytes of a payload that is read at all; longer is a fault. Default 4 MiB.
    pub max_payload_len: usize,
    /// Samples that wait to be polled; the oldest go first. Default 65,536 (1.5 MB).
    pub max_queued_samples: usize,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            prefixes: PrefixRule::Any,
            seed: 0,
            stale_after: StaleRule::default(),
            command_timeout: Duration::from_secs(30),
            max_clock_ahead: Duration::from_mins(1),
            max_clock_behind: Duration::from_mins(30),
            max_cycle: Duration::from_hours(1),
            follows: false,
            records: false,
            first_number: 0,
            max_bytes: 256 << 20,
            max_devices: 200_000,
            max_forgotten: 4096,
            max_metrics_per_device: 256,
            max_id_len: 8192,
            max_metric_name_len: 8192,
            max_text_len: 4096,
            max_presence_history: 64,
            max_commands_per_device: 50,
            max_values_per_message: 512,
            max_json_depth: 16,
            max_payload_len: 4 << 20,
            max_queued_samples: 65_536,
        }
    }
}

/// Whether we, the observer, can see the broker.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum ObserverState {
    /// Connected and subscribed: silence means something.
    Connected,
    /// Not connected: nothing can be said about any device.
    Disconnected,
}
