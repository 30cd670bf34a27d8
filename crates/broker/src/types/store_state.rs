//! Whether the store of records can take more.

/// Whether the store of records has room.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreState {
    /// It has.
    #[default]
    Ready,
    /// It has a reserve left, enough for the small records that end something. What would
    /// promise something new is refused: `QoS` 1 and 2 messages, subscriptions and sessions
    /// that outlive a connection. `QoS` 0 goes on. Nothing of size that a client can cause is
    /// recorded: a retained message of `QoS` 0 and the will of a client that is let in stay in
    /// memory until there is room again, and a will that is due, and would have to be stored, is
    /// published with `QoS` 0.
    Full,
}
