//! PUBLISH from a client, and the exchanges of packets about messages in both directions
//! (sections 3.3 to 3.7).

use mqtt::{
    Instant, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, Publish, QoS,
    ReasonCode, TopicName, Utf8String,
};

use crate::broker::{Broker, violation};
use crate::connection::{Link, Slot};
use crate::limits::{Limit, Limits};
use crate::message::Routed;
use crate::outgoing::Acknowledged;
use crate::output::CloseCause;
use crate::record;
use crate::session::SessionId;

impl Broker {
    pub(crate) fn publish(
        &mut self,
        now: Instant,
        slot: Slot,
        mut publish: Publish,
    ) -> Result<(), CloseCause> {
        self.metrics.messages_in += 1;
        let Some((link, _, _)) = self.connections.linked(slot) else {
            return Ok(());
        };
        link.resolve(&mut publish, &self.options.limits)?;
        let session = link.session;
        let (qos, packet_id) = (publish.qos, publish.packet_id);
        match (qos, packet_id) {
            (QoS::AtMostOnce, _) => {
                self.accept(now, session, publish);
                Ok(())
            }
            (QoS::AtLeastOnce, Some(packet_id)) => {
                self.check_receive_maximum(slot, session)?;
                let reason_code = self.accept(now, session, publish);
                self.acknowledge(slot, Packet::PubAck(PubAck::new(packet_id, reason_code)))
            }
            (QoS::ExactlyOnce, Some(packet_id)) => {
                self.receive_exactly_once(now, slot, packet_id, publish)
            }
            (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => Err(violation(
                ReasonCode::MalformedPacket,
                "no packet identifier [MQTT-2.2.1-3]",
            )),
        }
    }

    fn receive_exactly_once(
        &mut self,
        now: Instant,
        slot: Slot,
        packet_id: PacketId,
        publish: Publish,
    ) -> Result<(), CloseCause> {
        let Some((link, _, _)) = self.connections.linked(slot) else {
            return Ok(());
        };
        let id = link.session;
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        let Err(place) = session.incoming.binary_search(&packet_id) else {
            // [MQTT-4.3.3-10]
            self.metrics.duplicates_in += 1;
            let again = PubRec::new(packet_id, ReasonCode::Success);
            return self.acknowledge(slot, Packet::PubRec(again));
        };
        self.check_receive_maximum(slot, id)?;
        let reason_code = self.accept(now, id, publish);
        // [MQTT-4.3.3-9]
        if !reason_code.is_error()
            && let Some(session) = self.sessions.get_mut(id)
        {
            session.incoming.insert(place, packet_id);
        }
        self.acknowledge(slot, Packet::PubRec(PubRec::new(packet_id, reason_code)))
    }

    /// `[MQTT-3.3.4-7]`
    fn check_receive_maximum(&mut self, slot: Slot, id: SessionId) -> Result<(), CloseCause> {
        let limit = self.limits().receive_maximum;
        let (Some((link, _, _)), Some(session)) =
            (self.connections.linked(slot), self.sessions.get(id))
        else {
            return Ok(());
        };
        let most = usize::from(link.receive_maximum(limit));
        let released = session.incoming.len().saturating_sub(link.carried_over);
        if released + usize::from(link.unacknowledged) < most {
            return Ok(());
        }
        self.metrics.refused_receive_maximum += 1;
        let client = self.sessions.get(id).map(|session| &session.client_id);
        self.bites.note(Limit::ReceiveMaximum, client);
        Err(violation(
            ReasonCode::ReceiveMaximumExceeded,
            "more unacknowledged messages than Receive Maximum [MQTT-3.3.4-7]",
        ))
    }

    /// Takes over responsibility for a message: hands it out, or says why not.
    ///
    /// Topics that start with `$` are the server's own: what clients publish there is
    /// refused, in version 3.1.1 (which has no word for it) acknowledged and dropped.
    fn accept(&mut self, now: Instant, id: SessionId, publish: Publish) -> ReasonCode {
        let Some(session) = self.sessions.get(id) else {
            return ReasonCode::UnspecifiedError;
        };
        let client_id = session.client_id.clone();
        let topic = publish.topic.as_ref().map_or("", TopicName::as_str);
        if self.check_topic_name(topic, Some(&client_id)).is_err() {
            return ReasonCode::TopicNameInvalid;
        }
        if self.ledger.is_kept() && (publish.qos != QoS::AtMostOnce || publish.retain) {
            self.ledger
                .record(|out| record::put_accepted(out, &client_id, now, &publish));
        }
        let routed = Routed::fresh(publish, client_id);
        if self.route(now, routed, Some(id)) {
            ReasonCode::Success
        } else {
            ReasonCode::NoMatchingSubscribers
        }
    }

    /// Whether clients may publish to `topic`; otherwise why not, and that is counted.
    pub(crate) fn check_topic_name(
        &mut self,
        topic: &str,
        client: Option<&Utf8String>,
    ) -> Result<(), &'static str> {
        let what = if topic.starts_with('$') {
            "topics that start with $ are the server's own"
        } else if topic.len() > self.limits().topic_bytes {
            "the topic name is too long"
        } else if !self.has_few_levels(topic) {
            "the topic name has too many levels"
        } else {
            return Ok(());
        };
        self.metrics.refused_topic_name += 1;
        self.bites.note(Limit::Topic, client);
        Err(what)
    }

    /// Whether a topic or filter has no more levels than there may be.
    pub(crate) fn has_few_levels(&self, topic: &str) -> bool {
        self.limits().has_few_levels(topic)
    }

    pub(crate) fn pub_rel(&mut self, slot: Slot, packet_id: PacketId) -> Result<(), CloseCause> {
        let Some((link, _, _)) = self.connections.linked(slot) else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(link.session) else {
            return Ok(());
        };
        let reason_code = match session.incoming.binary_search(&packet_id) {
            Ok(place) => {
                session.incoming.remove(place);
                link.carried_over = link.carried_over.min(session.incoming.len());
                if session.incoming.is_empty() {
                    session.incoming = Vec::new();
                }
                let client_id = session.client_id.clone();
                if self.ledger.is_kept() {
                    self.ledger
                        .record(|out| record::put_released(out, &client_id, packet_id));
                }
                ReasonCode::Success
            }
            Err(_) => ReasonCode::PacketIdentifierNotFound,
        };
        // [MQTT-4.3.3-11]
        self.acknowledge(slot, Packet::PubComp(PubComp::new(packet_id, reason_code)))
    }

    pub(crate) fn pub_ack(
        &mut self,
        now: Instant,
        slot: Slot,
        packet_id: PacketId,
    ) -> Result<(), CloseCause> {
        let what = "PUBACK for a message of QoS 2 [MQTT-4.3.3-3]";
        self.acknowledged(now, slot, packet_id, what, |outgoing| {
            outgoing.pub_ack(packet_id)
        })
    }

    pub(crate) fn pub_rec(
        &mut self,
        now: Instant,
        slot: Slot,
        ack: &PubRec,
    ) -> Result<(), CloseCause> {
        let what = "PUBREC for a message of QoS 1 [MQTT-4.3.2-3]";
        let is_error = ack.reason_code.is_error();
        self.acknowledged(now, slot, ack.packet_id, what, |outgoing| {
            outgoing.pub_rec(ack.packet_id, is_error)
        })
    }

    pub(crate) fn pub_comp(
        &mut self,
        now: Instant,
        slot: Slot,
        packet_id: PacketId,
    ) -> Result<(), CloseCause> {
        let what = "PUBCOMP before PUBREC [MQTT-4.3.3-5]";
        self.acknowledged(now, slot, packet_id, what, |outgoing| {
            outgoing.pub_comp(packet_id)
        })
    }

    /// The client has acknowledged something that it was sent.
    fn acknowledged(
        &mut self,
        now: Instant,
        slot: Slot,
        packet_id: PacketId,
        what: &'static str,
        step: impl FnOnce(&mut crate::outgoing::Outgoing) -> Acknowledged,
    ) -> Result<(), CloseCause> {
        let Some((link, _, _)) = self.connections.linked(slot) else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(link.session) else {
            return Ok(());
        };
        let outgoing = session.outgoing_mut();
        let before = (outgoing.messages(), outgoing.bytes());
        let outcome = step(outgoing);
        let after = (outgoing.messages(), outgoing.bytes());
        self.metrics.requeue(before, after);
        match outcome {
            Acknowledged::Done { is_charged } => {
                link.quota += u16::from(is_charged);
                let session = link.session;
                self.pump(now, session);
                self.look_on(now, session);
                self.unblock(session);
            }
            // [MQTT-4.3.3-4]
            Acknowledged::Release => {
                let release = PubRel::new(packet_id, ReasonCode::Success);
                self.send(slot, &Packet::PubRel(release));
            }
            // The client is told, so that its exchange can end.
            Acknowledged::NotFound => {
                let release = PubRel::new(packet_id, ReasonCode::PacketIdentifierNotFound);
                self.send(slot, &Packet::PubRel(release));
            }
            Acknowledged::ReleaseLater | Acknowledged::Nothing => {}
            Acknowledged::WrongPacket => {
                return Err(violation(ReasonCode::ProtocolError, what));
            }
        }
        Ok(())
    }

    /// Sends an acknowledgement, or holds it until what it promises is durable.
    fn acknowledge(&mut self, slot: Slot, packet: Packet) -> Result<(), CloseCause> {
        if self.ledger.is_settled() {
            self.send(slot, &packet);
            return Ok(());
        }
        let limit = self.limits().receive_maximum;
        if let Some((link, _, conn)) = self.connections.linked(slot) {
            let most = u32::from(link.receive_maximum(limit)) * 4;
            link.held(&packet);
            if link.waiting > most {
                return Err(violation(
                    ReasonCode::ReceiveMaximumExceeded,
                    "more to acknowledge than Receive Maximum allows [MQTT-3.3.4-7]",
                ));
            }
            self.held.hold(self.ledger.last(), conn, packet);
        }
        Ok(())
    }
}

impl Link {
    /// Sees to it that `publish` has a topic, for which its alias may stand (section
    /// 3.3.2.3.4), and no alias.
    fn resolve(&mut self, publish: &mut Publish, limits: &Limits) -> Result<(), CloseCause> {
        let Some(alias) = publish.properties.topic_alias.take() else {
            return match &publish.topic {
                Some(_) => Ok(()),
                None => Err(violation(
                    ReasonCode::ProtocolError,
                    "neither a topic name nor a topic alias (section 3.3.2.1)",
                )),
            };
        };
        if alias.get() > limits.topic_alias_maximum || self.version != ProtocolVersion::V5 {
            return Err(violation(
                ReasonCode::TopicAliasInvalid,
                "a topic alias above Topic Alias Maximum [MQTT-3.3.2-9]",
            ));
        }
        let at = usize::from(alias.get()) - 1;
        if let Some(topic) = &publish.topic {
            if self.aliases.len() <= at {
                self.aliases.resize(at + 1, None);
            }
            // A topic that will be refused is not held; nor may the alias go on standing for
            // another one.
            let may_be = topic.len() <= limits.topic_bytes && limits.has_few_levels(topic);
            self.aliases[at] = may_be.then(|| topic.detach());
            return Ok(());
        }
        publish.topic = self.aliases.get(at).cloned().flatten();
        if publish.topic.is_none() {
            return Err(violation(
                ReasonCode::ProtocolError,
                "a topic alias that stands for nothing (section 3.3.2.3.4)",
            ));
        }
        Ok(())
    }

    /// How many messages the client may have unacknowledged where `limit` is set. Version
    /// 3.1.1 has no Receive Maximum, so that its clients cannot know the limit: what bounds
    /// them is how many packet identifiers there are.
    fn receive_maximum(&self, limit: u16) -> u16 {
        match self.version {
            ProtocolVersion::V5 => limit,
            ProtocolVersion::V3_1_1 => u16::MAX,
        }
    }

    fn held(&mut self, packet: &Packet) {
        self.waiting = self.waiting.saturating_add(1);
        self.unacknowledged += u16::from(matches!(packet, Packet::PubAck(_)));
    }

    /// `packet`, which was held, is sent.
    pub(crate) fn acknowledged(&mut self, packet: &Packet) {
        self.waiting = self.waiting.saturating_sub(1);
        self.unacknowledged -= u16::from(matches!(packet, Packet::PubAck(_)));
    }
}
