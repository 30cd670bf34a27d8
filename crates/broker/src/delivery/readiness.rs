//! Whether a connection and its session can take a message.

use crate::admission::MemoryBudget;
use crate::delivery::Receiver;
use crate::durability::Ledger;
use crate::routing::Groups;
use crate::session::Outgoing;
use crate::types::{Holder, Limits, Origin, SessionNumber};

/// Who holds a message in the journal if a session gets it. If the session outlives its connection,
/// it is the session. Otherwise it is the group that the message was shared in, if the sessions of
/// other members survive a crash. The group then holds the message until this member has
/// acknowledged it.
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
    // A message that is larger than the buffer goes out alone.
    (waiting == 0 || waiting + len <= limits.out_buffer_bytes)
        && memory.has_egress_room(limits, receiver.outbox.held(), len)
        && memory.has_memory_for_copy(limits, len)
}

/// Whether a client's window or quota is full.
pub(super) fn lacks_window(limits: &Limits, outgoing: &Outgoing, receiver: &Receiver<'_>) -> bool {
    receiver.agreement.quota == 0 || !outgoing.has_window(limits.inflight_window)
}

/// Whether a client can be sent a `QoS` 1 or 2 message at once, provided that no other message
/// must go first.
pub(super) fn takes_surely(
    limits: &Limits,
    memory: &MemoryBudget,
    outgoing: Option<&Outgoing>,
    receiver: &Receiver<'_>,
) -> bool {
    receiver.agreement.quota > 0
        && outgoing.is_none_or(|it| it.has_window(limits.inflight_window))
        && receiver.outbox.len_of_lasting() < memory.out_buffer(limits) / 2
}

/// Whether a member of a group can be given a `QoS` 1 or 2 message of the group: it can be sent at
/// once, no other message must go first, and the client does not have many already.
pub(crate) fn is_ready(
    limits: &Limits,
    memory: &MemoryBudget,
    outgoing: Option<&Outgoing>,
    receiver: &Receiver<'_>,
) -> bool {
    /// How many messages a member may have that are not acknowledged. More would only wait there,
    /// while another member may have nothing to do.
    const MANY: u16 = 64;
    let has_few = |it: &Outgoing| it.is_caught_up() && it.has_window(MANY);
    outgoing.is_none_or(has_few) && takes_surely(limits, memory, outgoing, receiver)
}
