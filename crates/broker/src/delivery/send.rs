//! One message to one client. The steps are the same for every message, whether it is live,
//! shared, retained, queued or sent again:
//!
//! 1. Name the topic: by its name, by an alias, or by both.
//! 2. Encode the message in the form that this client gets.
//! 3. Check that it is no larger than the client takes.
//! 4. Record what must survive a crash. The caller does that between [`SendAttempt::encode`] and
//!    [`Encoded::write`].
//! 5. Write the bytes to the connection's outbox, behind the record if they must wait for it.
//!
//! **Invariant.** No other code writes a PUBLISH to a connection.

use core::borrow::Borrow;

use mqtt::{
    EncodeError, Instant, Packet, PacketId, ProtocolVersion, Publish, PublishTemplate, QoS,
    TemplatePatch, TopicForm,
};

use crate::admission::MemoryBudget;
use crate::delivery::{Agreement, Means, Naming, Outbox, Passage, SpareBuffers};
use crate::durability::Ledger;
use crate::types::{Conn, Delivery, Lsn, Slot};

/// The connection that a message goes to.
#[derive(Debug)]
pub(crate) struct Receiver<'a> {
    pub(super) agreement: &'a mut Agreement,
    pub(super) outbox: &'a mut Outbox,
    pub(super) slot: Slot,
    pub(super) conn: Conn,
}

/// How a message is to be sent to one client.
#[derive(Debug)]
pub(super) struct SendAttempt<'a> {
    pub(super) delivery: &'a Delivery,
    /// `None` with `QoS` 0.
    pub(super) packet_id: Option<PacketId>,
    /// Whether the client may have received it on an earlier connection `[MQTT-3.3.1-1]`.
    pub(super) is_duplicate: bool,
    /// Whether the bytes will wait for a record. Later messages may then overtake this one, so it
    /// must not introduce a topic alias.
    pub(super) awaits_record: bool,
}

/// A message that can be encoded for a client.
pub(super) trait Sendable<'m> {
    type Template: Borrow<PublishTemplate>;

    fn publish(&self) -> &Publish;

    /// The seconds left of its expiry interval, if it has waited `[MQTT-3.3.2-6]`.
    fn remaining_expiry(&self, now: Instant) -> Option<u32>;

    /// Its topic, and the message encoded in this form.
    fn encode(
        self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<(&'m str, Self::Template), EncodeError>;
}

/// A message that is encoded for a client and fits, but is not written yet.
#[derive(Debug)]
pub(super) struct Encoded<'m, T> {
    topic: &'m str,
    naming: Naming,
    template: T,
    patch: TemplatePatch,
    qos: QoS,
    /// Whether RETAIN is set.
    is_retained: bool,
}

impl<'a> SendAttempt<'a> {
    /// An attempt to send with `QoS` 0.
    pub(super) fn at_most_once(delivery: &'a Delivery) -> Self {
        Self {
            delivery,
            packet_id: None,
            is_duplicate: false,
            awaits_record: false,
        }
    }

    /// Names the topic and encodes the message. `None` if it is larger than the client takes
    /// `[MQTT-3.1.2-24]`.
    // Without inlining, `Encoded` goes through memory, which costs a fifth of a delivery to 100
    // clients.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(super) fn encode<'m, M: Sendable<'m>>(
        &self,
        now: Instant,
        message: M,
        receiver: &Receiver<'_>,
    ) -> Option<Encoded<'m, M::Template>> {
        let agreement = &*receiver.agreement;
        let leads = !self.awaits_record && receiver.outbox.leads(self.delivery.qos);
        let naming = agreement.naming(message.publish(), self.delivery, leads);
        let patch = TemplatePatch {
            packet_id: self.packet_id,
            dup: self.is_duplicate,
            message_expiry_interval: message.remaining_expiry(now),
            topic_alias: naming.alias(),
        };
        let encoded = message.encode(agreement.version, self.delivery, naming.form());
        let (topic, template) = encoded.ok()?;
        if template.borrow().encoded_len() > agreement.maximum_packet_size as usize {
            return None;
        }
        Some(Encoded {
            topic,
            naming,
            template,
            patch,
            qos: self.delivery.qos,
            is_retained: self.delivery.retain,
        })
    }
}

impl<T: Borrow<PublishTemplate>> Encoded<'_, T> {
    /// Bytes of the whole packet.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.template.borrow().encoded_len()
    }

    /// Writes the message to the connection's outbox. `record` is the record that the client has
    /// it. With `QoS` 2 the bytes wait until that record is durable: a crash must not send the
    /// message again as a new one `[MQTT-4.3.3-2]`, nor to another client of its group
    /// `[MQTT-4.8.2-5]`.
    #[allow(clippy::inline_always)] // as above
    #[inline(always)]
    pub(super) fn write(
        self,
        receiver: &mut Receiver<'_>,
        record: Option<Lsn>,
        means: &mut Means<'_>,
    ) {
        let (ledger, spare) = (&mut *means.ledger, &mut *means.spare);
        let who = (receiver.slot, receiver.conn);
        let outbox = &mut *receiver.outbox;
        let buffer = match self.qos {
            QoS::AtMostOnce => outbox.buffer(spare),
            QoS::AtLeastOnce => outbox.ordered(spare),
            QoS::ExactlyOnce => outbox.behind(record, Passage::Open, ledger, who, spare),
        };
        self.template.borrow().write(&self.patch, buffer);
        outbox.note_message();
        if self.qos == QoS::AtMostOnce {
            match self.naming {
                // Later messages need the alias.
                Naming::Introduce(_) => outbox.protect(),
                Naming::Name | Naming::Alias(_) if self.is_retained => {}
                Naming::Name | Naming::Alias(_) => {
                    outbox.note_expendable(self.template.borrow().encoded_len());
                }
            }
        }
        receiver
            .agreement
            .written(self.topic, self.naming, means.metrics, means.memory);
        if self.qos != QoS::AtMostOnce {
            receiver.agreement.quota -= 1;
        }
    }
}

impl Receiver<'_> {
    /// Writes an answer that needs no order. Returns whether the client takes packets of this
    /// size. If not, nothing is written.
    pub(crate) fn answer(&mut self, packet: &Packet, spare: &mut SpareBuffers) -> bool {
        let before = self.outbox.waiting();
        let buffer = self.outbox.buffer(spare);
        let (version, most) = (self.agreement.version, self.agreement.maximum_packet_size);
        let written = mqtt::encode_within(packet, version, most, buffer);
        self.outbox.note_answer(before);
        written.is_ok()
    }

    /// The same for an answer that goes behind everything that waits. With a `gate`, it also
    /// waits for that record.
    pub(crate) fn answer_behind(
        &mut self,
        packet: &Packet,
        gate: Option<Lsn>,
        passage: Passage,
        ledger: &mut Ledger,
        spare: &mut SpareBuffers,
    ) -> bool {
        let before = self.outbox.waiting();
        let who = (self.slot, self.conn);
        let buffer = self.outbox.behind(gate, passage, ledger, who, spare);
        let (version, most) = (self.agreement.version, self.agreement.maximum_packet_size);
        let written = mqtt::encode_within(packet, version, most, buffer);
        self.outbox.note_answer(before);
        if matches!(packet, Packet::PubAck(_)) && self.outbox.note_pub_ack() {
            self.agreement.hold_pub_ack();
        }
        written.is_ok()
    }

    /// The connection, if the shell must be told that bytes wait for it.
    #[must_use]
    pub(super) fn announce(&mut self, memory: &mut MemoryBudget) -> Option<Conn> {
        let is_news = self.outbox.announce(memory);
        is_news.then_some(self.conn)
    }
}
