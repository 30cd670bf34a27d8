//! What is recorded when a client connects.

use crate::admission::MemoryBudget;
use crate::durability::{Ledger, Record, Terms};
use crate::session::Session;
use crate::types::Lsn;

/// Records that a client is connected, as far as its session outlives the connection or did, or
/// leaves a will. Gives the record that CONNACK waits for.
pub(crate) fn record_session(
    ledger: &mut Ledger,
    session: &mut Session,
    memory: &mut MemoryBudget,
) -> Option<Lsn> {
    if !ledger.is_kept() {
        return None;
    }
    if session.expiry_interval == 0 {
        return record_passing(ledger, session, memory);
    }
    let terms = || Terms {
        expiry_interval: session.expiry_interval,
        will: session
            .will()
            .filter(|_| !session.owes_will)
            .cloned()
            .map(Box::new),
    };
    let record = if let Some(number) = session.number {
        Record::Resumed {
            session: number,
            terms: terms(),
        }
    } else {
        // Without a number it did not last, and so is a new one.
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

/// The same for one whose session ends with its connection.
fn record_passing(
    ledger: &mut Ledger,
    session: &mut Session,
    memory: &mut MemoryBudget,
) -> Option<Lsn> {
    let ended = session.number;
    session.set_number(None, memory);
    let ended = ended.map(|session| ledger.record(&Record::Ended { session }));
    // Where the store is full the client is let in all the same, and its will stays in memory
    // until there is room (`mend`): it is promised nothing else that lasts, and whoever refused
    // it would keep nearly every device off, for which `QoS` 0 goes on.
    if session.owes_will {
        return ended;
    }
    let bequest = session.bequest(|| ledger.number_session());
    let willed = bequest.map(|bequest| ledger.record(&Record::Willed(Box::new(bequest))));
    willed.or(ended)
}
