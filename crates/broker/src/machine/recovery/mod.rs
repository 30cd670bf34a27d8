//! Recovery makes a broker from the records of a journal.
//!
//! The records are applied to a broker without connections. At the end every session that had a
//! connection has lost it.
//!
//! A journal whose beginning was removed starts somewhere before a complete
//! [checkpoint](crate::Broker::checkpoint). Until the end of that checkpoint, records may name
//! sessions and messages that are not known yet. Recovery passes over them, because the
//! checkpoint includes their effect.

mod apply;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::Instant;

use crate::durability::{
    Absence, Ledger, Malformed, Record, RecordError, RecordErrorKind, Subscribed,
};
use crate::machine::{Broker, BrokerOptions};
use crate::routing::Standing;
use crate::session::Session;
use crate::types::{
    DueWill, Grants, GroupId, Lsn, Message, MessageId, Queued, SessionId, SessionNumber,
};

/// Makes a broker from the records that survived.
///
/// ```
/// use broker::{BrokerOptions, Recovery};
/// use mqtt::Instant;
///
/// // An empty journal gives a new broker.
/// let broker = Recovery::new(BrokerOptions::default()).finish(Instant::ZERO).unwrap();
/// assert_eq!(broker.metrics().sessions, 0);
/// ```
#[derive(Debug)]
pub struct Recovery {
    broker: Broker,
    first: Option<Lsn>,
    last: Lsn,
    /// Whether the state is complete: the journal began with record 1, or a whole checkpoint was
    /// replayed.
    is_whole: bool,
    /// The first record of the checkpoint that is being replayed.
    checkpointing: Option<Lsn>,
    sessions: HashMap<SessionNumber, KnownSession, FixedState>,
    /// Wills of sessions that ended with their connections.
    wills: BTreeMap<SessionNumber, DueWill>,
    /// Retained look-ups. Few sessions have any.
    lookups: BTreeMap<SessionNumber, Vec<Subscribed>>,
    /// Messages of group members whose sessions ended with their connections. They go to other
    /// members.
    held: BTreeMap<(MessageId, GroupId), Queued>,
    /// Messages by name. Some may belong to no session any more.
    messages: HashMap<MessageId, Arc<Message>, FixedState>,
    /// When there are this many messages, those that nothing else holds are dropped.
    sweep_at: usize,
    /// What the sessions may do until their clients are back.
    grants: Grants,
    /// The highest session number.
    numbered: u64,
    /// How many records named something unknown although the state was complete.
    strays: u64,
}

/// A session from the records.
#[derive(Copy, Clone, Debug)]
struct KnownSession {
    id: SessionId,
    /// `None` if it was connected.
    absence: Option<Absence>,
}

impl Recovery {
    const FIRST_SWEEP: usize = 1 << 16;

    /// A recovery before its first record.
    pub fn new(mut options: BrokerOptions) -> Self {
        options.durable = true;
        let hasher = || FixedState::with_seed(options.seed);
        let (sessions, messages) = (hasher(), hasher());
        // Recovered queues may have been filled under other rules.
        let grants = options.grants.of_an_earlier_run();
        let mut broker = Broker::new(Instant::ZERO, options);
        // Replay must not record anything again.
        broker.ledger = Ledger::new(false);
        Self {
            broker,
            first: None,
            last: Lsn(0),
            is_whole: false,
            checkpointing: None,
            sessions: HashMap::with_hasher(sessions),
            wills: BTreeMap::new(),
            lookups: BTreeMap::new(),
            held: BTreeMap::new(),
            messages: HashMap::with_hasher(messages),
            sweep_at: Self::FIRST_SWEEP,
            grants,
            numbered: 0,
            strays: 0,
        }
    }

    /// Replays the record with the number `lsn`. The first record may have any number. Each
    /// other one must follow the one before.
    ///
    /// Returns an error if the record is not the next one or is malformed. Then the journal is
    /// damaged or was written by another program, and recovery cannot continue.
    pub fn replay(&mut self, lsn: Lsn, record: Bytes) -> Result<(), RecordError> {
        let error = |kind| RecordError { lsn, kind };
        let expected = Lsn(self.last.0.saturating_add(1));
        if self.first.is_some() && lsn != expected {
            return Err(error(RecordErrorKind::Gap { expected }));
        }
        let record = Record::decode(record).map_err(|malformed| match malformed {
            Malformed::Kind(kind) => error(RecordErrorKind::UnknownKind(kind)),
            Malformed::At { offset, what } => error(RecordErrorKind::Malformed { offset, what }),
        })?;
        if self.first.is_none() {
            self.first = Some(lsn);
            self.is_whole = lsn <= Lsn(1);
        }
        self.last = lsn;
        self.apply(lsn, record);
        self.sweep();
        Ok(())
    }

    /// Makes the broker, as if every client had just lost its connection. Everything that became
    /// due since the crash happens now. Deferrable work stays deferred.
    ///
    /// Returns an error if the beginning of the journal was removed and no complete checkpoint
    /// follows.
    pub fn finish(mut self, now: Instant) -> Result<Broker, RecordError> {
        if self.first.is_some() && !self.is_whole {
            return Err(RecordError {
                lsn: self.last,
                kind: RecordErrorKind::NoWholeCopy,
            });
        }
        self.restart();
        self.messages = HashMap::with_hasher(FixedState::default());
        let mut broker = self.broker;
        let message_bytes = broker.ledger.message_bytes().clone();
        broker.ledger = Ledger::following(self.last, self.numbered, message_bytes);
        if self.first.is_some() {
            broker.ledger.record(&Record::Restarted);
        }
        for id in broker.sessions.ids() {
            let number = broker.sessions.get(id).and_then(Session::number);
            let found = number.and_then(|number| self.sessions.get(&number));
            let absence = found.and_then(|found| found.absence);
            broker.take_up(now, id, absence);
            let lookups = number.and_then(|number| self.lookups.remove(&number));
            for lookup in lookups.unwrap_or_default() {
                broker.restore_lookup(id, &lookup);
            }
        }
        for ((_, group), queued) in &self.held {
            broker.restore_held(now, *group, queued);
        }
        broker.retained.count(&mut broker.memory);
        broker.metrics = broker.metrics.without_counters();
        // Sessions that end with their connections ended in the crash [MQTT-3.1.2-8].
        broker.due_wills.extend(self.wills.into_values());
        // No client was connected.
        broker.heard_until = now;
        broker.handle_due(now);
        broker.settle(now);
        broker.memory.set_journal(broker.ledger.unsettled_bytes());
        Ok(broker)
    }

    /// The last record that was replayed, or 0.
    pub fn last_lsn(&self) -> Lsn {
        self.last
    }

    /// How many sessions the broker has so far.
    pub fn sessions(&self) -> usize {
        self.broker.sessions.len()
    }

    /// How many retained messages the broker has so far.
    pub fn retained_messages(&self) -> usize {
        self.broker.retained.len()
    }

    /// How many `QoS` 1 and 2 messages wait so far to be sent or acknowledged.
    pub fn queued_messages(&self) -> u64 {
        self.broker.memory.queued_messages()
    }

    /// How many records named an unknown session or message although the state was complete.
    /// Anything but 0 is a fault of the program that wrote them.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// The broker as recovered so far, and each session's clocks and look-ups.
    #[cfg(test)]
    pub(crate) fn state(
        &self,
    ) -> (
        &Broker,
        impl Fn(SessionNumber) -> (Option<Absence>, Vec<Subscribed>),
    ) {
        let rest = |number| {
            let absence = self.sessions.get(&number).and_then(|found| found.absence);
            let lookups = self.lookups.get(&number).cloned();
            (absence, lookups.unwrap_or_default())
        };
        (&self.broker, rest)
    }

    /// Messages of group members whose sessions end with their connections.
    #[cfg(test)]
    pub(crate) fn held(&self) -> impl Iterator<Item = &Queued> {
        self.held.values()
    }

    /// Wills of sessions that ended with their connections.
    #[cfg(test)]
    pub(crate) fn wills(&self) -> impl Iterator<Item = (&SessionNumber, &DueWill)> {
        self.wills.iter()
    }

    /// Handles a restart of the broker. A checkpoint that was being written will never end, and
    /// of several look-ups for one filter only one goes on.
    fn restart(&mut self) {
        self.checkpointing = None;
        for lookups in self.lookups.values_mut() {
            let all = core::mem::take(lookups);
            for (at, lookup) in all.iter().enumerate() {
                // A newer look-up replaces an older one, as in a running broker.
                let is_last = all[at + 1..].iter().all(|it| it.filter != lookup.filter);
                if is_last {
                    lookups.push(lookup.clone());
                }
            }
        }
    }

    /// When there are many messages, drops those that nothing else holds any more.
    ///
    /// It does nothing during a checkpoint, or before the state is complete: a later record may
    /// still name a message that nothing else holds now.
    fn sweep(&mut self) {
        if self.messages.len() < self.sweep_at || !self.is_whole || self.checkpointing.is_some() {
            return;
        }
        self.messages
            .retain(|_, message| Arc::strong_count(message) > 1);
        self.sweep_at = (2 * self.messages.len()).max(Self::FIRST_SWEEP);
    }

    fn number(&mut self, session: SessionNumber) {
        self.numbered = self.numbered.max(session.0.get());
    }
}

impl Absence {
    /// Limits the clocks to `latest`, the time that they could reach if they began now. The
    /// system's clock may have been set back since they began.
    fn clamped(self, latest: Self) -> Self {
        let earlier = |at: Option<Instant>, latest: Option<Instant>| {
            at.map(|at| latest.map_or(at, |latest| at.min(latest)))
        };
        Self {
            expires_at: earlier(self.expires_at, latest.expires_at),
            will_at: earlier(self.will_at, latest.will_at),
        }
    }
}

impl Broker {
    /// Continues a session from the journal. `absence` has its clocks if it had lost its connection
    /// before the crash.
    fn take_up(&mut self, now: Instant, id: SessionId, absence: Option<Absence>) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let is_news = absence.is_none();
        let expiry_interval = session.expiry_interval();
        let from_now = Absence {
            expires_at: session.expires_after(now),
            will_at: session.will_due_at(now),
        };
        let absence = absence.map_or(from_now, |absence| absence.clamped(from_now));
        if let Some(outgoing) = session.outgoing_mut() {
            let before = outgoing.weight();
            outgoing.drop_expired(now);
            let after = outgoing.weight();
            self.memory.requeue(before, after);
        }
        session.drop_outgoing_if_empty();
        session.set_expires_at(id, absence.expires_at, &mut self.timers);
        if session.will().is_some() {
            session.set_will_at(id, absence.will_at, &mut self.timers);
        }
        let number = session.number();
        // This is approximate. For sessions that never expire it does not matter.
        let lasts = u64::from(expiry_interval) * 1_000_000;
        let since = absence.expires_at.map_or(now, |at| {
            Instant::from_micros(at.as_micros().saturating_sub(lasts))
        });
        self.sessions.set_absent(id, Some(since));
        self.set_standing(id, Standing::Absent);
        if let Some(number) = number
            && is_news
        {
            self.ledger.record(&Record::Disconnected {
                session: number,
                expiry_interval,
                absence,
                is_will_gone: false,
            });
        }
    }
}
