//! Messages to the server: the exchanges of `QoS` 1 and 2 (section 4.3), in order (section 4.6),
//! and never more at a time than the server accepts (section 4.9).
//!
//! An exchange is an [`Unanswered`] until the server has answered its PUBLISH. A `QoS` 2 exchange
//! is then an [`Unreleased`] until PUBCOMP. Each step consumes the state before it, so the client
//! cannot handle an answer twice.

use alloc::collections::VecDeque;

use super::connection::{Connection, Outlet};
use super::event::{DropCause, Event, PublishId, PublishOutcome};
use super::packet_ids::PacketIds;
use super::queue::{Publication, Queue};
use crate::PUBLISH;
use crate::error::ProtocolError;
use crate::packet::{Packet, PacketId, PubAck, PubComp, PubRec, PubRel, QoS};
use crate::reason::ReasonCode;

/// The sender's part of the session state, and the publications that wait for their turn.
#[derive(Debug)]
pub(super) struct SenderState {
    pub(super) queue: Queue,
    /// In the order in which they were first sent `[MQTT-4.6.0-1]`.
    unanswered: VecDeque<Unanswered>,
    /// How many of `unanswered`, from the front, were sent on this connection. The others come
    /// next, before anything from the queue.
    sent: usize,
    /// In the order of their PUBRECs `[MQTT-4.6.0-4]`.
    unreleased: VecDeque<Unreleased>,
    /// How many of `unreleased`, from the front, had their PUBREL sent on this connection.
    released: usize,
    /// Whether to send a message with a lower `QoS` rather than not at all.
    lower_qos: bool,
}

/// PUBLISH was sent; PUBACK or PUBREC has not come.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// `QoS` 1.
    PubAck(PacketId, Publication),
    /// `QoS` 2.
    PubRec(PacketId, Publication),
}

/// PUBREC has come, and the client has forgotten the message `[MQTT-4.3.3-5]`; PUBCOMP has not
/// come.
#[derive(Debug)]
pub(super) struct Unreleased {
    pub(super) packet_id: PacketId,
    id: PublishId,
    /// The outcome to report when the exchange ends.
    outcome: PublishOutcome,
}

impl Unanswered {
    const fn new(packet_id: PacketId, publication: Publication) -> Self {
        match publication.publish.qos {
            QoS::AtMostOnce | QoS::AtLeastOnce => Self::PubAck(packet_id, publication),
            QoS::ExactlyOnce => Self::PubRec(packet_id, publication),
        }
    }

    pub(super) const fn packet_id(&self) -> PacketId {
        match self {
            Self::PubAck(packet_id, _) | Self::PubRec(packet_id, _) => *packet_id,
        }
    }

    pub(super) const fn publication(&self) -> &Publication {
        match self {
            Self::PubAck(_, publication) | Self::PubRec(_, publication) => publication,
        }
    }

    fn into_publication(self) -> Publication {
        match self {
            Self::PubAck(_, publication) | Self::PubRec(_, publication) => publication,
        }
    }
}

impl SenderState {
    pub(super) const fn new(queue: Queue, lower_qos: bool) -> Self {
        Self {
            queue,
            unanswered: VecDeque::new(),
            sent: 0,
            unreleased: VecDeque::new(),
            released: 0,
            lower_qos,
        }
    }

    /// Begins a connection. If the server still has the session, the client sends everything
    /// unfinished again, in order `[MQTT-4.4.0-1]`. If it does not, the client publishes once more,
    /// before the queue, what the server had not answered. A message that the server had answered
    /// with PUBREC is finished: the server has taken it over `[MQTT-4.3.3-4]`.
    pub(super) fn connected(
        &mut self,
        session_present: bool,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) {
        self.sent = 0;
        self.released = 0;
        if session_present || !PUBLISH {
            return;
        }
        while let Some(unreleased) = self.unreleased.pop_front() {
            self.finish_release(unreleased, ids, events);
        }
        while let Some(unanswered) = self.unanswered.pop_back() {
            ids.free(unanswered.packet_id());
            self.queue.put_back(unanswered.into_publication());
        }
    }

    /// Appends everything that may be sent now to `out`.
    pub(super) fn transmit(&mut self, outlet: &mut Outlet<'_>) {
        if !PUBLISH {
            return;
        }
        self.transmit_releases(outlet);
        while self.sent < self.unanswered.len() && self.may_publish(outlet.connection) {
            self.transmit_again(outlet);
        }
        // If the loop gave up a `QoS` 2 message, its PUBREL goes out in this call, not in the next
        // one.
        self.transmit_releases(outlet);
        while self.transmit_next(outlet) {}
    }

    /// Sends PUBREL for each released message that has not had one on this connection.
    fn transmit_releases(&mut self, outlet: &mut Outlet<'_>) {
        for unreleased in self.unreleased.range(self.released..) {
            let pubrel = PubRel::new(unreleased.packet_id, ReasonCode::Success);
            outlet.connection.write(&Packet::PubRel(pubrel), outlet.out);
        }
        self.released = self.unreleased.len();
    }

    /// The send quota of section 4.9 `[MQTT-3.3.4-7]`. Exchanges that wait for PUBCOMP count too,
    /// even those of an earlier connection. That is a little less than the standard allows.
    fn may_publish(&self, connection: &Connection) -> bool {
        self.sent + self.unreleased.len() < connection.limits.receive_maximum
    }

    /// Sends the publication at `sent` again, on a connection that has not seen it yet, with DUP
    /// `[MQTT-3.3.1-1]`.
    fn transmit_again(&mut self, outlet: &mut Outlet<'_>) {
        let Some(unanswered) = self.unanswered.get(self.sent) else {
            return;
        };
        let mut publish = unanswered.publication().at(outlet.now);
        publish.packet_id = Some(unanswered.packet_id());
        publish.dup = true;
        let cause = if publish.qos > outlet.connection.limits.maximum_qos {
            DropCause::QoSNotSupported
        } else if outlet.connection.write_publish(publish, outlet.out) {
            self.sent += 1;
            return;
        } else {
            DropCause::TooLarge
        };
        if let Some(unanswered) = self.unanswered.remove(self.sent) {
            self.give_up(unanswered, cause, outlet);
        }
    }

    /// Gives up a message, because the server now accepts less than when the client first sent it.
    /// The server may hold the identifier of a `QoS` 2 message: only PUBCOMP frees it.
    fn give_up(&mut self, unanswered: Unanswered, cause: DropCause, outlet: &mut Outlet<'_>) {
        let outcome = PublishOutcome::Dropped(cause);
        match unanswered {
            Unanswered::PubAck(packet_id, publication) => {
                outlet.ids.free(packet_id);
                self.finish(&publication, outcome, outlet.events);
            }
            Unanswered::PubRec(..) => self.release(unanswered, outcome),
        }
    }

    /// Sends the next publication from the queue for the first time. Returns `false` if there is
    /// none, or if it has to wait.
    fn transmit_next(&mut self, outlet: &mut Outlet<'_>) -> bool {
        let Some(next) = self.queue.front_mut() else {
            return false;
        };
        let unfit = unfit(next, self.lower_qos, outlet);
        next.publish.qos = next.publish.qos.min(outlet.connection.limits.maximum_qos);
        let (qos, mut publish) = (next.publish.qos, next.at(outlet.now));
        let outcome = if let Some(cause) = unfit {
            PublishOutcome::Dropped(cause)
        } else if qos == QoS::AtMostOnce {
            if outlet.connection.write_publish(publish, outlet.out) {
                PublishOutcome::Sent
            } else {
                PublishOutcome::Dropped(DropCause::TooLarge)
            }
        } else {
            if self.sent < self.unanswered.len() || !self.may_publish(outlet.connection) {
                return false;
            }
            let Some(packet_id) = outlet.ids.take() else {
                return false;
            };
            publish.packet_id = Some(packet_id);
            if outlet.connection.write_publish(publish, outlet.out) {
                self.begin(packet_id);
                return true;
            }
            outlet.ids.free(packet_id);
            PublishOutcome::Dropped(DropCause::TooLarge)
        };
        if let Some(publication) = self.queue.pop() {
            self.finish(&publication, outcome, outlet.events);
        }
        true
    }

    /// Notes that the publication at the front of the queue was sent.
    fn begin(&mut self, packet_id: PacketId) {
        if let Some(publication) = self.queue.pop() {
            self.unanswered
                .push_back(Unanswered::new(packet_id, publication));
            self.sent += 1;
        }
    }

    /// Handles the answer to `QoS` 1 `[MQTT-4.3.2-3]`. The client ignores an answer that belongs to
    /// no message: it may have come late.
    pub(super) fn on_puback(
        &mut self,
        puback: &PubAck,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProtocolError> {
        if !PUBLISH {
            return Ok(());
        }
        let Some(index) = self.position(puback.packet_id) else {
            return Ok(());
        };
        if let Some(Unanswered::PubRec(..)) = self.unanswered.get(index) {
            return Err(violation("PUBACK for QoS 2 [MQTT-4.3.3-2]"));
        }
        if let Some(unanswered) = self.answer(index) {
            ids.free(puback.packet_id);
            let outcome = outcome(puback.reason_code);
            self.finish(unanswered.publication(), outcome, events);
        }
        Ok(())
    }

    /// Handles the first answer to `QoS` 2. The client also answers an identifier that is unknown
    /// or already released, so that the server can finish the exchange.
    pub(super) fn on_pubrec(
        &mut self,
        pubrec: &PubRec,
        connection: &mut Connection,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProtocolError> {
        if !PUBLISH {
            return Ok(());
        }
        let packet_id = pubrec.packet_id;
        let Some(index) = self.position(packet_id) else {
            if !pubrec.reason_code.is_error() {
                self.release_again(packet_id, connection);
            }
            return Ok(());
        };
        if let Some(Unanswered::PubAck(..)) = self.unanswered.get(index) {
            return Err(violation("PUBREC for QoS 1 [MQTT-4.3.2-2]"));
        }
        let Some(unanswered) = self.answer(index) else {
            return Ok(());
        };
        let outcome = outcome(pubrec.reason_code);
        if pubrec.reason_code.is_error() {
            ids.free(packet_id);
            self.finish(unanswered.publication(), outcome, events);
        } else {
            self.release(unanswered, outcome);
        }
        Ok(())
    }

    /// Forgets the message, but not its identifier.
    fn release(&mut self, unanswered: Unanswered, outcome: PublishOutcome) {
        let packet_id = unanswered.packet_id();
        let publication = unanswered.into_publication();
        self.queue.forget_bytes(publication.size);
        self.unreleased.push_back(Unreleased {
            packet_id,
            id: publication.id,
            outcome,
        });
    }

    fn release_again(&self, packet_id: PacketId, connection: &mut Connection) {
        let position = self.release_position(packet_id);
        let reason_code = match position {
            // Its first PUBREL on this connection is still to come.
            Some(index) if index >= self.released => return,
            Some(_) => ReasonCode::Success,
            None => ReasonCode::PacketIdentifierNotFound,
        };
        connection.push(&Packet::PubRel(PubRel::new(packet_id, reason_code)));
    }

    /// Handles the last answer to `QoS` 2: the identifier is free `[MQTT-4.3.3-7]`. The exchange
    /// ends even if the server did not know the identifier any more.
    pub(super) fn on_pubcomp(
        &mut self,
        pubcomp: &PubComp,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) {
        if !PUBLISH {
            return;
        }
        let Some(index) = self.release_position(pubcomp.packet_id) else {
            return;
        };
        if let Some(unreleased) = self.unreleased.remove(index) {
            self.released -= usize::from(index < self.released);
            self.finish_release(unreleased, ids, events);
        }
    }

    fn finish_release(
        &mut self,
        unreleased: Unreleased,
        ids: &mut PacketIds,
        events: &mut VecDeque<Event>,
    ) {
        ids.free(unreleased.packet_id);
        self.queue.finish(0);
        events.push_back(Event::Published {
            id: unreleased.id,
            outcome: unreleased.outcome,
        });
    }

    fn finish(
        &mut self,
        publication: &Publication,
        outcome: PublishOutcome,
        events: &mut VecDeque<Event>,
    ) {
        self.queue.finish(publication.size);
        let id = publication.id;
        events.push_back(Event::Published { id, outcome });
    }

    fn release_position(&self, packet_id: PacketId) -> Option<usize> {
        self.unreleased
            .iter()
            .position(|unreleased| unreleased.packet_id == packet_id)
    }

    /// Answers usually come in order, so the search usually ends at the front.
    fn position(&self, packet_id: PacketId) -> Option<usize> {
        self.unanswered
            .iter()
            .position(|unanswered| unanswered.packet_id() == packet_id)
    }

    fn answer(&mut self, index: usize) -> Option<Unanswered> {
        self.sent -= usize::from(index < self.sent);
        self.unanswered.remove(index)
    }

    /// The exchanges that wait for their first answer, in order.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Unanswered> {
        self.unanswered.iter()
    }

    /// The exchanges that wait for PUBCOMP, in order.
    pub(super) fn unreleased(&self) -> impl Iterator<Item = &Unreleased> {
        self.unreleased.iter()
    }

    /// Takes over what an earlier client had sent.
    pub(super) fn restore_unanswered(&mut self, packet_id: PacketId, publication: Publication) {
        self.queue.count(&publication);
        self.unanswered
            .push_back(Unanswered::new(packet_id, publication));
    }

    /// Takes over what an earlier client had not released.
    pub(super) fn restore_unreleased(&mut self, packet_id: PacketId, id: PublishId) {
        self.queue.count_released();
        self.unreleased.push_back(Unreleased {
            packet_id,
            id,
            outcome: PublishOutcome::Acknowledged(ReasonCode::Success),
        });
    }
}

/// Why a publication must not be sent: this server does not accept it, or it has expired.
fn unfit(publication: &Publication, lower_qos: bool, outlet: &Outlet<'_>) -> Option<DropCause> {
    let limits = &outlet.connection.limits;
    let publish = &publication.publish;
    if publication.is_expired(outlet.now) {
        Some(DropCause::Expired)
    } else if publish.retain && !limits.retain_available {
        Some(DropCause::RetainNotSupported)
    } else if publish.qos > limits.maximum_qos && !lower_qos {
        Some(DropCause::QoSNotSupported)
    } else {
        None
    }
}

const fn outcome(reason_code: ReasonCode) -> PublishOutcome {
    if reason_code.is_error() {
        PublishOutcome::Refused(reason_code)
    } else {
        PublishOutcome::Acknowledged(reason_code)
    }
}

const fn violation(what: &'static str) -> ProtocolError {
    ProtocolError::Violation {
        reason_code: ReasonCode::ProtocolError,
        what,
    }
}
