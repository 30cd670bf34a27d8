//! Whether the store has room for more records.

/// Whether the store has room for more records.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreState {
    /// It has room.
    #[default]
    Ready,
    /// Only a reserve is left, for the small records that end something. The broker refuses
    /// whatever would promise something new: `QoS` 1 and 2 messages, and subscriptions and
    /// sessions that outlive a connection. `QoS` 0 goes on.
    ///
    /// No client can cause a large record in this state. A retained `QoS` 0 message and the will
    /// of a new client stay in memory until there is room again. A will that is due, and that
    /// would need a record, is published with `QoS` 0.
    Full,
}
