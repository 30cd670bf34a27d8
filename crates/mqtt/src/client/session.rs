//! What of a session must outlive a connection, as data that a page can store.

use alloc::vec::Vec;

use crate::packet::{PacketId, Publish};

/// The client's part of the session state (section 4.1.0): what has not been finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// `QoS` 1 and 2 publications that were sent and not answered, in the order of sending,
    /// each with its packet identifier.
    pub(super) in_flight: Vec<Publish>,
    /// `QoS` 2 publications that wait for PUBCOMP, in the order of their PUBRECs.
    pub(super) releases: Vec<PacketId>,
    /// `QoS` 2 messages that were received and not released.
    pub(super) received: Vec<PacketId>,
    /// Publications that were not sent yet, in order.
    pub(super) queued: Vec<Publish>,
}
