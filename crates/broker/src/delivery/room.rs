//! Whether a connection and its session have room for a message.

use crate::admission::MemoryBudget;
use crate::delivery::{Link, Outbox};
use crate::durability::Ledger;
use crate::routing::Groups;
use crate::session::Outgoing;
use crate::types::{Holder, Limits, Origin, SessionNumber};

/// Who has a message in the journal that a session gets: what a group that has members that
/// last gave to one that does not is the group's, until that has acknowledged it.
pub(crate) fn holder(
    number: Option<SessionNumber>,
    origin: Origin,
    ledger: &Ledger,
    groups: &Groups,
) -> Option<Holder> {
    match (number, origin) {
        (Some(number), _) => Some(Holder::Session(number)),
        (None, Origin::Shared(group)) if ledger.may_hold() && groups.lasts(group) => {
            Some(Holder::Group)
        }
        (None, Origin::Live | Origin::Retained | Origin::Shared(_)) => None,
    }
}

/// Whether a connection has room for `len` bytes of a `QoS` 0 message, where so much memory is
/// `freeable`.
pub(crate) fn takes_at_most_once(
    limits: &Limits,
    memory: &MemoryBudget,
    outbox: &Outbox,
    len: usize,
) -> bool {
    let waiting = outbox.len();
    // One that is larger than the buffer goes through it alone.
    (waiting == 0 || waiting + len <= limits.out_buffer_bytes)
        && memory.has_egress_room(limits, outbox.held(), len)
        && memory.has_memory_for_copy(limits, len)
}

/// Whether a client has as many messages unacknowledged as it may.
pub(crate) fn lacks_window(limits: &Limits, outgoing: &Outgoing, link: &Link) -> bool {
    link.quota == 0 || !outgoing.has_window(limits.inflight_window)
}

/// Whether a client can be sent a `QoS` 1 or 2 message at once, if none is to go before it.
pub(crate) fn takes_surely(
    limits: &Limits,
    memory: &MemoryBudget,
    outgoing: Option<&Outgoing>,
    link: &Link,
    outbox: &Outbox,
) -> bool {
    link.quota > 0
        && outgoing.is_none_or(|it| it.has_window(limits.inflight_window))
        && outbox.len() < memory.out_buffer(limits) / 2
}

/// Whether a packet is no larger than its receiver takes `[MQTT-3.1.2-24]`.
pub(crate) fn fits(len: usize, maximum_packet_size: u32) -> bool {
    len <= maximum_packet_size as usize
}
