//! The record of a client that connects.

use crate::admission::MemoryBudget;
use crate::durability::{Ledger, Record, Terms};
use crate::session::Session;
use crate::types::Lsn;

/// Records that a client connected, if its session outlives the connection or did so before, or
/// if it leaves a will. Returns the record that CONNACK waits for.
pub(crate) fn record_session(
    ledger: &mut Ledger,
    session: &mut Session,
    memory: &mut MemoryBudget,
) -> Option<Lsn> {
    if !ledger.is_kept() {
        return None;
    }
    if session.expiry_interval == 0 {
        return record_transient(ledger, session, memory);
    }
    let terms = || Terms {
        expiry_interval: session.expiry_interval,
        will: session
            .will()
            .filter(|_| !session.is_will_unrecorded)
            .cloned()
            .map(Box::new),
    };
    let record = if let Some(number) = session.number {
        Record::Resumed {
            session: number,
            terms: terms(),
        }
    } else {
        // A session without a number did not outlive its connection, so it is a new one.
        let number = ledger.number_session();
        let record = Record::Opened {
            session: number,
            client_id: session.client_id.clone(),
            terms: terms(),
        };
        session.set_number(Some(number), memory);
        record
    };
    Some(ledger.record(&record))
}

/// Records that a client connected whose session ends with its connection. Returns the record that
/// CONNACK waits for.
fn record_transient(
    ledger: &mut Ledger,
    session: &mut Session,
    memory: &mut MemoryBudget,
) -> Option<Lsn> {
    let ended = session.number;
    session.set_number(None, memory);
    let ended = ended.map(|session| ledger.record(&Record::Ended { session }));
    // If the store is full, the client is let in nevertheless, and its will stays in memory until
    // there is room (see `write_back`). The client is promised nothing else that needs a record. If
    // clients with a will were refused, nearly every device would be kept out, although `QoS` 0
    // still works.
    if session.is_will_unrecorded {
        return ended;
    }
    let transient_will = session.transient_will(|| ledger.number_session());
    let willed = transient_will
        .map(|transient_will| ledger.record(&Record::TransientWill(Box::new(transient_will))));
    willed.or(ended)
}
