//! The end of a connection, from either side, and the end of a session.

use mqtt::{Disconnect, Instant, Packet, ReasonCode, Utf8String};

use crate::admission::WorkBudget;
use crate::delivery::{Passage, Phase};
use crate::durability::{Absence, Record};
use crate::machine::{Broker, Output};
use crate::protocol::{farewell, refusal};
use crate::routing::Standing;
use crate::session::Session;
use crate::tap::Departure;
use crate::types::{
    Cause, CloseCause, CloseReason, Conn, DueWill, Limit, Lsn, SessionId, Slot, violation,
};

impl Broker {
    /// Closes a connection: tells the client why, as far as the standard allows, and tells the
    /// shell.
    pub(crate) fn close(&mut self, now: Instant, slot: Slot, cause: CloseCause) {
        self.close_named(now, slot, None, cause);
    }

    /// Closes a connection whose client is not connected yet but has given its identifier.
    pub(crate) fn close_named(
        &mut self,
        now: Instant,
        slot: Slot,
        client_id: Option<Utf8String>,
        cause: CloseCause,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let conn = connection.conn();
        let last_word = match connection.phase() {
            Phase::AwaitingConnect(_) | Phase::Authenticating(_) => {
                refusal(connection.version(), &cause)
                    .map(|(packet, version)| (packet, version, connection.maximum_packet_size()))
            }
            Phase::Connected(agreement) => farewell(agreement, &cause),
            Phase::Closing => return,
        };
        let unwritten = connection.outbox_mut().held();
        let may_speak = connection.outbox_mut().drop_gated();
        if let Some((packet, version, limit)) = last_word.filter(|_| may_speak) {
            let buffer = connection.outbox_mut().buffer(&mut self.wire.spare);
            // If the packet is too large for the client, it is left out.
            let _ = mqtt::encode_within(&packet, version, limit, buffer);
        }
        if connection.outbox_mut().announce_last() {
            self.wire.outputs.push_back(Output::Write(conn));
        }
        let phase = connection.begin_closing();
        let client_id = match phase {
            Phase::AwaitingConnect(_) | Phase::Closing => client_id.filter(|it| !it.is_empty()),
            Phase::Authenticating(waiting) => Some(waiting.client_id().text().detach()),
            Phase::Connected(mut agreement) => {
                agreement.forget(slot, &mut self.memory, &mut self.timers);
                let how = Departure::of(&cause);
                self.detach(now, conn, agreement.session(), how)
            }
        };
        self.count(&cause, client_id.as_ref());
        self.set_deadline(slot, None);
        self.work
            .spend(WorkBudget::CLOSE + unwritten / WorkBudget::BYTES);
        self.output_close(conn, CloseReason { client_id, cause });
    }

    /// Handles a connection that the broker did not close, for example one that the network lost.
    pub(crate) fn closed(&mut self, now: Instant, conn: Conn) {
        let Some(slot) = self.connections.slot(conn) else {
            return;
        };
        self.set_deadline(slot, None);
        if let Some(connection) = self.connections.get_mut(slot) {
            let phase = connection.begin_closing();
            match phase {
                Phase::Connected(mut agreement) => {
                    agreement.forget(slot, &mut self.memory, &mut self.timers);
                    let how = Departure::ConnectionLost;
                    self.detach(now, conn, agreement.session(), how);
                }
                Phase::AwaitingConnect(_) | Phase::Authenticating(_) | Phase::Closing => {}
            }
        }
        self.forget_connection(slot);
    }

    /// Handles DISCONNECT from the client (section 3.14).
    pub(crate) fn disconnect(
        &mut self,
        slot: Slot,
        disconnect: &Disconnect,
    ) -> Result<(), CloseCause> {
        let longest = self.limits().session_expiry_interval;
        if let Some((agreement, _, _)) = self.connections.established(slot)
            && let Some(expiry) = disconnect.properties.session_expiry_interval
            && let Some(session) = self.sessions.get_mut(agreement.session())
        {
            if !agreement.may_outlive() && expiry > 0 {
                return Err(violation(
                    ReasonCode::ProtocolError,
                    "a Session Expiry Interval in DISCONNECT after 0 in CONNECT (3.14.2.2.2)",
                ));
            }
            session.set_expiry_interval(expiry.min(longest));
        }
        Err(CloseCause::Disconnected(disconnect.reason_code))
    }

    /// Takes the session off its connection. Returns the client identifier.
    fn detach(
        &mut self,
        now: Instant,
        conn: Conn,
        id: SessionId,
        how: Departure,
    ) -> Option<Utf8String> {
        let is_normal = how == Departure::Disconnected;
        self.metrics.clients -= 1;
        if is_normal {
            self.take_back_will(id);
        }
        let session = self.sessions.get_mut(id)?;
        session.set_slot(None);
        let client_id = session.client_id().clone();
        // The will is published later than this.
        self.tap_left(now, conn, &client_id, how);
        let session = self.sessions.get_mut(id)?;
        if session.expiry_interval() == 0 {
            self.end_session(now, id);
            return Some(client_id);
        }
        let expires_at = session.expires_after(now);
        if let Some(number) = session.number() {
            self.ledger.record(&Record::Disconnected {
                session: number,
                expiry_interval: session.expiry_interval(),
                absence: Absence {
                    expires_at,
                    will_at: session.will_due_at(now),
                },
                is_will_gone: is_normal,
            });
        }
        if let Some(outgoing) = session.outgoing_mut() {
            let before = outgoing.weight();
            self.metrics.dropped_absent += outgoing.detach() as u64;
            let after = outgoing.weight();
            self.memory.requeue(before, after);
        }
        session.set_expires_at(id, expires_at, &mut self.timers);
        self.sessions.set_absent(id, Some(now));
        self.end_lookups_at_most_once(now, id);
        self.set_standing(id, Standing::Absent);
        self.hand_over(now, id);
        if let Some(session) = self.sessions.get_mut(id) {
            session.drop_outgoing_if_empty();
        }
        self.schedule_will(now, id);
        Some(client_id)
    }

    /// Ends the session `[MQTT-4.1.0-2]`, and publishes its will if it has one.
    pub(crate) fn end_session(&mut self, now: Instant, id: SessionId) {
        self.leave_groups(id);
        self.end_lookups(now, id);
        let Some(mut session) = self.sessions.remove(id) else {
            return;
        };
        let subscriptions = session.subscriptions().len() * WorkBudget::SUBSCRIPTION;
        self.work.spend(WorkBudget::SESSION + subscriptions);
        session.set_will_at(id, None, &mut self.timers);
        session.set_expires_at(id, None, &mut self.timers);
        for node in session.subscriptions() {
            self.subscriptions.remove(*node, id);
        }
        self.metrics.subscriptions -= session.subscriptions().len() as u64;
        session.set_subscription_bytes(0, &mut self.memory);
        self.memory.change_stored_session(session.stored_bytes(), 0);
        self.memory.remove_incoming(session.incoming().len());
        if let Some(mut outgoing) = session.take_outgoing_if(|_| true) {
            self.hand_over_all(now, session.number(), &mut outgoing);
            self.metrics.dropped_session_ended += outgoing.messages() as u64;
            self.reclamation
                .take(outgoing, &mut self.work, &mut self.memory);
        }
        if let Some(will) = session.take_will(&mut self.memory) {
            // The end of the session or of the will is recorded together with the will's
            // message.
            let cause = match (session.number(), will.number()) {
                (Some(number), _) => Cause::LastWill(number),
                (None, Some(number)) => Cause::TransientWill(number),
                (None, None) => Cause::OtherWill,
            };
            self.due_wills.push_back(DueWill {
                will: will.into_will(),
                publisher: session.client_id().clone(),
                session: None,
                cause,
                grants: session.grants().clone(),
            });
        } else if let Some(session) = session.number() {
            self.ledger.record(&Record::Ended { session });
        }
        self.memory.set_sessions(self.sessions.len());
    }

    /// Ends the session of a client if it has expired, even if many others are due before it. So
    /// no client finds an expired session. If the server stood still, the client's CONNECT may have
    /// come in time and is only read now.
    pub(crate) fn expire(&mut self, now: Instant, client_id: &str) {
        if let Some(id) = self.sessions.find(client_id)
            && let Some(session) = self.sessions.get(id)
            && session
                .expires_at()
                .is_some_and(|at| at <= self.heard_until)
        {
            self.metrics.sessions_expired += 1;
            self.end_session(now, id);
            self.settle(now);
        }
    }

    /// Ends a session whose expiry timer was due.
    pub(crate) fn session_expired(&mut self, now: Instant, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.expiry_timer_fired();
            self.metrics.sessions_expired += 1;
            self.end_session(now, id);
        }
    }

    /// Sends a packet that needs no order, such as PINGRESP.
    pub(crate) fn send(&mut self, slot: Slot, packet: &Packet) {
        if let Some(mut receiver) = self.connections.receiver(slot) {
            let fits = receiver.answer(packet, &mut self.wire.spare);
            self.sent(slot, fits);
        }
    }

    /// Sends an answer behind everything that waits. With a `gate`, it waits for that record.
    pub(crate) fn send_behind(
        &mut self,
        slot: Slot,
        packet: &Packet,
        gate: Option<Lsn>,
        passage: Passage,
    ) {
        let Some(mut receiver) = self.connections.receiver(slot) else {
            return;
        };
        let (ledger, spare) = (&mut self.ledger, &mut self.wire.spare);
        let fits = receiver.answer_behind(packet, gate, passage, ledger, spare);
        self.sent(slot, fits);
    }

    /// Follows up on an answer that was put into the outbox or was too large. An answer that is
    /// larger than the client takes cannot be sent, so the connection ends `[MQTT-3.1.2-24]`.
    fn sent(&mut self, slot: Slot, fits: bool) {
        let most = 2 * self.memory.out_buffer(&self.options.limits);
        let Some((agreement, outbox, conn)) = self.connections.established(slot) else {
            return;
        };
        if outbox.announce(&mut self.memory) {
            self.wire.outputs.push_back(Output::Write(conn));
        }
        let (what, reason_code) = if !fits {
            let what = "an answer is larger than the client's Maximum Packet Size";
            (what, ReasonCode::PacketTooLarge)
        } else if outbox.answers() > most {
            // Messages that wait do not count. There was room for them when they came, and it is
            // not this client's fault if others have used that room since.
            let what = "the client does not read the answers to its packets";
            (what, ReasonCode::QuotaExceeded)
        } else {
            return;
        };
        let cause = CloseCause::Limit { reason_code, what };
        // The client may get several more answers before its connection is closed. Close and count
        // the connection only once.
        if agreement.begin_dismissal() {
            if fits {
                self.metrics.closed_not_reading += 1;
                let session = self.sessions.get(agreement.session());
                let client = session.map(Session::client_id);
                self.limit_log.note(Limit::NotReading, client);
            }
            self.dismissals.push(slot, conn, cause);
        }
    }

    fn count(&mut self, cause: &CloseCause, client: Option<&Utf8String>) {
        let metrics = &mut self.metrics;
        match cause {
            CloseCause::Protocol(error) => {
                metrics.protocol_errors += 1;
                if error.reason_code() == ReasonCode::PacketTooLarge {
                    metrics.refused_packet_too_large += 1;
                    self.limit_log.note(Limit::PacketSize, client);
                }
            }
            CloseCause::Refused { .. } => metrics.connects_refused += 1,
            CloseCause::ConnectTimeout => {
                metrics.connect_timeouts += 1;
                self.limit_log.note(Limit::ConnectTimeout, None);
            }
            CloseCause::KeepAliveTimeout => metrics.keep_alive_timeouts += 1,
            CloseCause::Disconnected(_)
            | CloseCause::TakenOver { .. }
            | CloseCause::Limit { .. }
            | CloseCause::ShuttingDown => {}
        }
    }
}
