//! Whether a connection and its session can take a message.

use crate::admission::MemoryBudget;
use crate::delivery::Receiver;
use crate::durability::Ledger;
use crate::routing::Groups;
use crate::session::Outgoing;
use crate::types::{Holder, Limits, Origin, SessionNumber};

/// Who has a message in the journal that a session gets. A group with members whose sessions
/// last keeps what it gave to a member whose session does not, until that one has acknowledged
/// it.
pub(super) fn holder(
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

/// Whether a connection has room for `len` bytes of a `QoS` 0 message.
pub(super) fn takes_at_most_once(
    limits: &Limits,
    memory: &MemoryBudget,
    receiver: &Receiver<'_>,
    len: usize,
) -> bool {
    let waiting = receiver.outbox.len();
    // One that is larger than the buffer goes through it alone.
    (waiting == 0 || waiting + len <= limits.out_buffer_bytes)
        && memory.has_egress_room(limits, receiver.outbox.held(), len)
        && memory.has_memory_for_copy(limits, len)
}

/// Whether a client has as many messages unacknowledged as it may.
pub(super) fn lacks_window(limits: &Limits, outgoing: &Outgoing, receiver: &Receiver<'_>) -> bool {
    receiver.link.quota == 0 || !outgoing.has_window(limits.inflight_window)
}

/// Whether a client can be sent a `QoS` 1 or 2 message at once, if none is to go before it.
pub(super) fn takes_surely(
    limits: &Limits,
    memory: &MemoryBudget,
    outgoing: Option<&Outgoing>,
    receiver: &Receiver<'_>,
) -> bool {
    receiver.link.quota > 0
        && outgoing.is_none_or(|it| it.has_window(limits.inflight_window))
        && receiver.outbox.len() < memory.out_buffer(limits) / 2
}

/// Whether a client can be sent a `QoS` 1 or 2 message at once: none is to go before it.
pub(crate) fn is_ready(
    limits: &Limits,
    memory: &MemoryBudget,
    outgoing: Option<&Outgoing>,
    receiver: &Receiver<'_>,
) -> bool {
    outgoing.is_none_or(Outgoing::is_caught_up) && takes_surely(limits, memory, outgoing, receiver)
}
