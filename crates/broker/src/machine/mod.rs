//! Machine: the state machine that ties the wings together.
//!
//! Each file handles one kind of event: it asks the wings what to do, and then does it with the
//! state of all of them. Wings answer with values (whom to close, what to publish, how much was
//! freed), and the machine acts on those.
//!
//! **Invariant.** After each input [`Broker::settle`] finishes what the input has caused: it closes
//! connections, publishes wills, and continues with connections that now fit into the egress
//! budget. Only deferrable work may be left.
//!
//! Begin with this file, `input.rs` and `output.rs`, then follow a client: `connect.rs`,
//! `receive.rs`, `route.rs`, `close.rs`. `recovery/` makes a broker from the journal.

mod access;
mod acknowledge;
mod bounds;
mod checkpoint;
mod close;
mod connect;
mod connection;
mod deliver;
mod input;
mod lookups;
mod make_room;
mod options;
mod output;
mod pace;
mod receive;
mod recovery;
mod route;
mod sharing;
mod space;
mod subscribe;
mod tap;
mod will;
mod write_back;

use std::collections::VecDeque;

use bytes::BytesMut;
use mqtt::{Instant, Utf8String};

use crate::admission::{LimitLog, MemoryBudget, WorkBudget};
use crate::delivery::{AwaitingBudget, Connections, Dismissals, Phase, SpareBuffers};
use crate::durability::Ledger;
use crate::routing::{LookupRotation, Membership, Retained, Subscriptions};
use crate::session::{Reclamation, Sessions};
use crate::tap::Tap;
use crate::types::{
    CloseCause, CloseReason, Conn, DueWill, GroupId, Limit, Limits, Metrics, SessionId, Slot,
    Subscriber, Timer, Timers,
};

pub use input::{Decision, Input};
pub use options::BrokerOptions;
pub use output::{ConnectedClient, Credentials, Output};
pub use recovery::Recovery;

/// An MQTT server without its network: one shard.
///
/// See the [crate's documentation](crate) for the loop to run it in.
#[derive(Debug)]
pub struct Broker {
    pub(crate) options: BrokerOptions,
    pub(crate) connections: Connections,
    pub(crate) sessions: Sessions,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) retained: Retained,
    pub(crate) lookup_rotation: LookupRotation,
    pub(crate) timers: Timers,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) memory: MemoryBudget,
    pub(crate) limit_log: LimitLog,
    pub(crate) wire: Wire,
    pub(crate) awaiting_budget: AwaitingBudget,
    /// Wills that [`Broker::settle`] has still to publish.
    pub(crate) due_wills: VecDeque<DueWill>,
    pub(crate) work: WorkBudget,
    pub(crate) reclamation: Reclamation,
    pub(crate) dismissals: Dismissals,
    /// Subscribers of the topic that is being matched. Kept to save the allocation.
    pub(crate) found: Vec<Subscriber>,
    /// Matching groups of shared subscriptions, kept for the same reason.
    pub(crate) found_groups: Vec<GroupId>,
    /// Group members that turned out to be blocked when a member was chosen.
    pub(crate) blocked: Vec<(SessionId, Membership)>,
    /// Connections that are paused because the store is behind.
    pub(crate) awaiting_store: VecDeque<(Slot, Conn)>,
    /// For those who look on, if anybody does.
    pub(crate) tap: Option<Tap>,
    /// How many client identifiers have been assigned.
    pub(crate) assigned: u64,
    /// The time of the last [`Input::Timeout`]. The shell has passed on everything that clients had
    /// sent by then. So the broker closes a connection for silence, ends a session, or publishes a
    /// delayed will only if its time was over by then.
    pub(crate) heard_until: Instant,
    is_shut_down: bool,
}

/// Outputs for the shell, and buffers for what it writes.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) spare: SpareBuffers,
}

impl Broker {
    /// A broker without connections.
    pub fn new(_now: Instant, mut options: BrokerOptions) -> Self {
        options.limits.make_workable();
        let seed = options.seed;
        let limits = &options.limits;
        Self {
            connections: Connections::new(seed),
            sessions: Sessions::new(seed),
            subscriptions: Subscriptions::new(seed),
            retained: Retained::new(seed, limits.retained_messages, limits.retained_bytes),
            lookup_rotation: LookupRotation::default(),
            timers: Timers::default(),
            ledger: Ledger::new(options.durable),
            metrics: Metrics::default(),
            memory: MemoryBudget::default(),
            limit_log: LimitLog::default(),
            wire: Wire::default(),
            awaiting_budget: AwaitingBudget::default(),
            due_wills: VecDeque::new(),
            work: WorkBudget::new(options.steps),
            reclamation: Reclamation::new(options.steps.small_queue),
            dismissals: Dismissals::default(),
            found: Vec::new(),
            found_groups: Vec::new(),
            blocked: Vec::new(),
            awaiting_store: VecDeque::new(),
            tap: options.tap.then(|| Tap::new(limits.tap_bytes)),
            assigned: 0,
            heard_until: Instant::ZERO,
            is_shut_down: false,
            options,
        }
    }

    /// Handles something that has happened at the time `now`. Time does not go back from one input to
    /// the next, except with [`Input::Timeout`].
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.limit_log.set_now(now);
        if matches!(input, Input::Timeout) {
            self.heard_until = now;
        }
        // Runs everything that is due, even if the shell's timer was late. Some of the deferrable
        // work may be left for later.
        self.handle_due(now);
        match input {
            Input::Opened(conn, peer) => self.opened(now, conn, peer),
            Input::Bytes(conn, bytes) => self.bytes(now, conn, bytes),
            Input::Closed(conn) => self.closed(now, conn),
            Input::Drained(conn) => self.drained(now, conn),
            Input::Authenticated(conn, decision) => self.authenticated(now, conn, decision),
            Input::Persisted(lsn) => {
                self.persisted(lsn);
                self.write_back(now);
                self.resume_awaiting_store(now);
            }
            Input::Store(state) => self.store(now, state),
            Input::StoreRoom { bytes, from } => self.store_room(bytes, from),
            Input::Timeout => {}
            Input::Shutdown => self.shut_down(now),
        }
        self.settle(now);
        self.continue_reclamation();
        if self.may_write_back() {
            self.write_back(now);
        }
        self.resync(now);
        if self.ledger.take_stuck_news() {
            self.limit_log.note(Limit::RecordSize, None);
        }
        self.memory.set_journal(self.ledger.unsettled_bytes());
    }

    /// Returns the next thing for the shell to do.
    pub fn poll_output(&mut self) -> Output {
        while let Some(output) = self.wire.outputs.pop_front() {
            match &output {
                Output::Write(conn)
                | Output::Pause(conn)
                | Output::Resume(conn)
                | Output::Authenticate(conn, _) => {
                    if self.connections.slot(*conn).is_none() {
                        continue;
                    }
                }
                Output::Close(conn, _) => {
                    let Some(slot) = self.connections.slot(*conn) else {
                        continue;
                    };
                    self.forget_connection(slot);
                }
                Output::Connected(..)
                | Output::Persist(_)
                | Output::Checkpointed(_)
                | Output::Tapped
                | Output::Limited(_)
                | Output::Idle(_) => {}
            }
            return output;
        }
        if let Some(reached) = self.limit_log.pop() {
            return Output::Limited(Box::new(reached));
        }
        if let Some(lsn) = self.ledger.announce() {
            return Output::Persist(lsn);
        }
        if self.tap.as_mut().is_some_and(Tap::announce) {
            return Output::Tapped;
        }
        let timers = self.timers.next(self.work.not_before());
        let writes_back = self.may_write_back().then(|| self.work.not_before());
        let resyncs = self.may_resync().then(|| self.work.not_before());
        let has_deferred = !(self.dismissals.is_empty() && self.reclamation.is_empty());
        let deferred = has_deferred.then(|| self.work.renewal());
        let due = [
            timers,
            self.limit_log.next(),
            deferred,
            writes_back,
            resyncs,
        ];
        Output::Idle(due.into_iter().flatten().min())
    }

    /// Gives all bytes that wait for `conn`. They are appended to `out`, or moved into it
    /// without a copy if it is empty. The memory of an empty `out` is used again for a later
    /// connection, so pass a buffer that was written and cleared.
    ///
    /// Call this after [`Output::Write`]. When the bytes are written, send [`Input::Drained`].
    pub fn take_writes(&mut self, conn: Conn, out: &mut BytesMut) {
        let slot = self.connections.slot(conn);
        if let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) {
            self.metrics.messages_out += connection.outbox_mut().take_messages();
            let len = connection
                .outbox_mut()
                .take(out, &mut self.wire.spare, &mut self.memory);
            self.metrics.bytes_out += len as u64;
        }
    }

    /// Lets the bytes for `conn` wait, so that more of them leave together. Call
    /// [`take_writes`](Self::take_writes) soon. [`Output::Write`] comes again if something is written
    /// that must not wait: anything but a message, or a message after which the client may be sent no
    /// more before it acknowledges some.
    ///
    /// Returns `false` if such a thing waits already. Then take the bytes now.
    #[must_use]
    pub fn postpone(&mut self, conn: Conn) -> bool {
        let slot = self.connections.slot(conn);
        let connection = slot.and_then(|slot| self.connections.get_mut(slot));
        connection.is_some_and(|connection| match connection.phase() {
            Phase::Connected(_) => connection.outbox_mut().postpone(),
            // The last bytes of a connection do not wait.
            Phase::AwaitingConnect(_) | Phase::Authenticating(_) | Phase::Closing => false,
        })
    }

    /// Appends all waiting records to `out`, as whole [frames](crate::journal), in order.
    ///
    /// Call this after [`Output::Persist`]. When the records are durable, send
    /// [`Input::Persisted`].
    pub fn take_journal(&mut self, out: &mut BytesMut) {
        self.ledger.take(out);
    }

    /// Bytes of records that the shell has not taken yet.
    pub fn journal_backlog(&self) -> usize {
        self.ledger.backlog()
    }

    /// All counters and gauges.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.metrics.clone();
        self.memory.report(&mut metrics);
        self.ledger.report(&self.memory, &mut metrics);
        if let Some(tap) = &self.tap {
            tap.report(&mut metrics);
        }
        metrics
    }

    /// The client of a connection. `None` before an acceptable CONNECT, and after the end.
    pub fn client_of(&self, conn: Conn) -> Option<&Utf8String> {
        match self.connections.get(self.connections.slot(conn)?)?.phase() {
            Phase::Authenticating(waiting) => Some(waiting.client_id().text()),
            Phase::Connected(agreement) => {
                Some(self.sessions.get(agreement.session())?.client_id())
            }
            Phase::AwaitingConnect(_) | Phase::Closing => None,
        }
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.options.limits
    }

    fn shut_down(&mut self, now: Instant) {
        self.is_shut_down = true;
        let slots = self.connections.slots();
        // Sessions that end now hand over their shared messages to members whose sessions go on.
        for &slot in &slots {
            if let Some((agreement, _, _)) = self.connections.established(slot)
                && let Some(session) = self.sessions.get(agreement.session())
                && session.expiry_interval() == 0
            {
                let id = agreement.session();
                self.leave_groups(id);
            }
        }
        for slot in slots {
            self.close(now, slot, CloseCause::ShuttingDown);
        }
        // Section 3.1.2.5 leaves open whether a server publishes wills when it shuts down.
        // Nobody is left to receive them. The next start publishes those that are in records.
        self.due_wills.clear();
    }

    /// Finishes what an input has caused, except deferrable work beyond the budget.
    pub(crate) fn settle(&mut self, now: Instant) {
        loop {
            if !self.work.is_spent()
                && let Some((slot, conn, cause)) = self.dismissals.pop()
            {
                if self.connections.slot(conn) == Some(slot) {
                    self.close(now, slot, cause);
                }
            } else if let Some(will) = self.due_wills.pop_front() {
                self.publish_will(now, will);
            } else if !self.resume_one(now) {
                return;
            }
        }
    }

    pub(crate) fn handle_due(&mut self, now: Instant) {
        self.work.renew(now);
        let heard = self.heard_until;
        while let Some(timer) = self.timers.pop_due(now, heard, self.work.is_spent()) {
            self.work.spend(WorkBudget::TIMER);
            match timer {
                Timer::Connection(slot) => {
                    self.connection_due(now, slot);
                }
                Timer::Resume(slot) => self.resume(now, slot),
                Timer::Will(session) => self.will_due(session),
                Timer::SessionExpiry(session) => self.session_expired(now, session),
                Timer::Retained(node) => {
                    self.work.spend(WorkBudget::SUBSCRIPTION);
                    self.retained_expired(now, node);
                }
                Timer::Lookups => self.continue_lookups_in_turn(now),
                Timer::Latest(slot) => self.latest_due(now, slot),
            }
            self.settle(now);
        }
    }

    /// Closes a connection that was silent for too long. Returns whether it closed it.
    pub(crate) fn connection_due(&mut self, now: Instant, slot: Slot) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        connection.clear_deadline();
        let cause = match connection.phase() {
            Phase::AwaitingConnect(_) | Phase::Authenticating(_) => CloseCause::ConnectTimeout,
            Phase::Connected(_) => {
                let deadline = connection.may_be_silent_until(now);
                if deadline.is_none_or(|deadline| deadline > now) {
                    self.set_deadline(slot, deadline);
                    return false;
                }
                CloseCause::KeepAliveTimeout
            }
            Phase::Closing => return false,
        };
        self.close(now, slot, cause);
        true
    }

    /// Sets when to check the connection for silence.
    pub(crate) fn set_deadline(&mut self, slot: Slot, at: Option<Instant>) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.set_deadline(slot, at, &mut self.timers);
        }
    }

    /// Tells the shell that there are bytes for the connection, unless it knows.
    pub(crate) fn announce(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot)
            && connection.outbox_mut().announce(&mut self.memory)
        {
            self.wire
                .outputs
                .push_back(Output::Write(connection.conn()));
        }
    }

    /// Removes the connection and everything about it.
    pub(crate) fn forget_connection(&mut self, slot: Slot) {
        self.awaiting_budget.forget(slot);
        if let Some(connection) = self.connections.remove(slot) {
            connection.forget(slot, &mut self.memory, &mut self.timers);
        }
        self.memory.set_connections(self.connections.len());
    }

    /// Tells the shell to close a connection.
    pub(crate) fn output_close(&mut self, conn: Conn, reason: CloseReason) {
        let output = Output::Close(conn, Box::new(reason));
        self.wire.outputs.push_back(output);
    }
}
