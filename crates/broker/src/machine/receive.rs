//! PUBLISH from a client, and the exchanges of packets about messages in both directions
//! (sections 3.3 to 3.7).

use mqtt::packet::ReasonProperties;
use mqtt::{
    Instant, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, Publish, QoS,
    ReasonCode, TopicName, Utf8String,
};

use crate::delivery::Routed;
use crate::durability::{Record, StoreCost};
use crate::machine::Broker;
use crate::protocol::{check_name, is_as_indicated};
use crate::session::{Acknowledged, Outgoing, Session};
use crate::tap::Publisher;
use crate::types::{
    BadTopic, Cause, CloseCause, Conn, Holder, Limit, Refusal, SessionId, Slot, violation,
};

impl Broker {
    pub(crate) fn publish(
        &mut self,
        now: Instant,
        slot: Slot,
        mut publish: Publish,
    ) -> Result<(), CloseCause> {
        self.metrics.messages_in += 1;
        let Some((agreement, _, _)) = self.connections.established(slot) else {
            return Ok(());
        };
        let before = self.memory.alias_bytes();
        let limits = &self.options.limits;
        let resolved = agreement.resolve_alias(&mut publish, limits, &mut self.memory);
        let refused = resolved.map_err(|cause| self.note_alias(slot, cause))?;
        if self.memory.alias_bytes() > before && self.frees_too_little_memory() {
            return Err(self.no_memory_for_alias(slot));
        }
        let Some((agreement, _, conn)) = self.connections.established(slot) else {
            return Ok(());
        };
        let session = agreement.session();
        let topic = match refused {
            Some(bad) => Err(self.refuse_topic(session, bad)),
            None => Ok(()),
        };
        if let Some(refused) = self.refuse_for_memory(slot, &publish) {
            return refused;
        }
        let (qos, packet_id) = (publish.qos, publish.packet_id);
        match (qos, packet_id) {
            (QoS::AtMostOnce, _) => {
                match topic.and_then(|()| self.accept(now, session, conn, publish, Cause::Client)) {
                    // A `QoS` 0 message has no acknowledgement that could carry the refusal.
                    Err(Refusal { reason_code, what })
                        if reason_code == ReasonCode::PayloadFormatInvalid =>
                    {
                        Err(violation(reason_code, what))
                    }
                    Ok(_) | Err(_) => Ok(()),
                }
            }
            (QoS::AtLeastOnce, Some(packet_id)) => {
                self.check_receive_maximum(slot, session, false)?;
                let before = self.ledger.mark();
                let accepted = topic
                    .and_then(|()| self.check_packet_id(slot, packet_id))
                    .and_then(|()| self.accept(now, session, conn, publish, Cause::Client));
                let gate = self.ledger.since(before);
                let (reason_code, properties) = self.answer(slot, accepted)?;
                let ack = PubAck {
                    packet_id,
                    reason_code,
                    properties,
                };
                self.acknowledge(slot, &Packet::PubAck(ack), gate);
                Ok(())
            }
            (QoS::ExactlyOnce, Some(packet_id)) => {
                self.receive_exactly_once(now, slot, packet_id, publish, topic)
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
        topic: Result<(), Refusal>,
    ) -> Result<(), CloseCause> {
        let Some((agreement, _, conn)) = self.connections.established(slot) else {
            return Ok(());
        };
        let id = agreement.session();
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        if session.has_incoming(packet_id) {
            // [MQTT-4.3.3-10]
            self.metrics.duplicates_in += 1;
            // This PUBREC builds on the record of the first PUBLISH, which may not be durable yet.
            let gate = session.number().and_then(|_| self.ledger.gate());
            // The client has now sent the message on this connection too, so the message counts
            // against its quota.
            if agreement.is_carried_over(packet_id) {
                self.check_receive_maximum(slot, id, false)?;
                if let Some((agreement, _, _)) = self.connections.established(slot) {
                    agreement.forget_carried_over(packet_id);
                }
            }
            let again = Packet::PubRec(PubRec::new(packet_id, ReasonCode::Success));
            self.acknowledge(slot, &again, gate);
            return Ok(());
        }
        let number = session.number();
        self.check_receive_maximum(slot, id, true)?;
        let cause = number.map_or(Cause::Client, |number| Cause::Incoming(number, packet_id));
        let before = self.ledger.mark();
        let accepted = topic.and_then(|()| self.accept(now, id, conn, publish, cause));
        let gate = self.ledger.since(before);
        // [MQTT-4.3.3-9]
        if accepted.is_ok()
            && let Some(session) = self.sessions.get_mut(id)
        {
            session.add_incoming(packet_id, &mut self.memory);
        }
        let (reason_code, properties) = self.answer(slot, accepted)?;
        let received = PubRec {
            packet_id,
            reason_code,
            properties,
        };
        self.acknowledge(slot, &Packet::PubRec(received), gate);
        Ok(())
    }

    /// The reason code and properties for the acknowledgement of a message. Version 3.1.1 cannot
    /// express a refusal `[MQTT-3.3.5-2 of 3.1.1]`, so a message that is refused is acknowledged as
    /// if it were accepted: if the connection ended instead, the client would send it again for
    /// ever. But if the broker only lacks room, the client should send it again, so the connection
    /// ends.
    fn answer(
        &mut self,
        slot: Slot,
        accepted: Result<ReasonCode, Refusal>,
    ) -> Result<(ReasonCode, ReasonProperties), CloseCause> {
        let Refusal { reason_code, what } = match accepted {
            Ok(reason_code) => return Ok((reason_code, ReasonProperties::default())),
            Err(refusal) => refusal,
        };
        let agreement = self.connections.established(slot);
        let is_old = agreement
            .is_some_and(|(agreement, _, _)| agreement.version() == ProtocolVersion::V3_1_1);
        if is_old && reason_code == ReasonCode::QuotaExceeded {
            return Err(CloseCause::Limit { reason_code, what });
        }
        Ok((reason_code, self.reason_properties(slot, what)))
    }

    /// Checks that the store has room for a message, if it must be stored.
    fn check_message_store(
        &mut self,
        id: SessionId,
        publish: &Publish,
        cause: Cause,
    ) -> Result<(), Refusal> {
        if publish.qos == QoS::AtMostOnce || !self.may_lack_room_for(publish) {
            return Ok(());
        }
        let lasting = self.lasting_recipients(Some(id), publish);
        let is_needed = publish.retain || cause != Cause::Client || lasting > 0;
        if !is_needed || !self.lacks_room(StoreCost::of(publish), lasting) {
            return Ok(());
        }
        self.metrics.refused_store_full += 1;
        let client = self.sessions.get(id).map(Session::client_id);
        self.limit_log.note(Limit::Store, client);
        Err(Refusal {
            reason_code: ReasonCode::QuotaExceeded,
            what: "the store has no room for the message",
        })
    }

    /// A reason string, if the client wants any `[MQTT-3.1.2-29]`.
    pub(crate) fn reason_properties(&mut self, slot: Slot, what: &'static str) -> ReasonProperties {
        let wanted = self
            .connections
            .established(slot)
            .is_some_and(|(agreement, _, _)| agreement.wants_reason_strings());
        ReasonProperties {
            reason_string: wanted.then(|| Utf8String::from_static(what)),
            user_properties: Vec::new(),
        }
    }

    /// Checks that a packet identifier is free `[MQTT-2.2.1-3]`, as far as the broker can know: it
    /// remembers only the identifiers of `QoS` 2 messages.
    pub(crate) fn check_packet_id(
        &mut self,
        slot: Slot,
        packet_id: PacketId,
    ) -> Result<(), Refusal> {
        let agreement = self.connections.established(slot);
        let is_in_use = agreement.is_some_and(|(agreement, _, _)| {
            let session = self.sessions.get(agreement.session());
            // Version 3.1.1 has no reason code for this.
            agreement.version() == ProtocolVersion::V5
                && session.is_some_and(|it| it.has_incoming(packet_id))
        });
        if is_in_use {
            return Err(Refusal {
                reason_code: ReasonCode::PacketIdentifierInUse,
                what: "a QoS 2 message uses this packet identifier [MQTT-2.2.1-3]",
            });
        }
        Ok(())
    }

    /// Checks that the client may have another message unacknowledged `[MQTT-3.3.4-7]`.
    /// `is_new`: it is a `QoS` 2 message that is not known yet.
    fn check_receive_maximum(
        &mut self,
        slot: Slot,
        id: SessionId,
        is_new: bool,
    ) -> Result<(), CloseCause> {
        let limit = self.limits().receive_maximum;
        let (Some((agreement, _, _)), Some(session)) =
            (self.connections.established(slot), self.sessions.get(id))
        else {
            return Ok(());
        };
        let most = usize::from(agreement.receive_maximum(limit));
        let released = session
            .incoming()
            .len()
            .saturating_sub(agreement.carried_over());
        // Messages of earlier connections do not count against the quota, but their number must not
        // grow with each connection. A client that follows the rules has at most one more quota of
        // them before it releases them.
        let is_bounded = !is_new || session.incoming().len() < 2 * most;
        if is_bounded && released + usize::from(agreement.unacknowledged()) < most {
            return Ok(());
        }
        self.metrics.refused_receive_maximum += 1;
        let client = self.sessions.get(id).map(Session::client_id);
        self.limit_log.note(Limit::ReceiveMaximum, client);
        Err(violation(
            ReasonCode::ReceiveMaximumExceeded,
            "more unacknowledged messages than Receive Maximum allows [MQTT-3.3.4-7]",
        ))
    }

    /// Accepts a message and routes it, or refuses it.
    ///
    /// Topics that start with `$` are the server's own. A message to one is refused, and in
    /// version 3.1.1, which cannot express that, acknowledged and dropped. A bridge's own state
    /// is the exception.
    fn accept(
        &mut self,
        now: Instant,
        id: SessionId,
        conn: Conn,
        publish: Publish,
        cause: Cause,
    ) -> Result<ReasonCode, Refusal> {
        let Some(session) = self.sessions.get(id) else {
            return Err(Refusal {
                reason_code: ReasonCode::UnspecifiedError,
                what: "the session has ended",
            });
        };
        let client_id = session.client_id().clone();
        let topic = publish.topic.as_ref().map_or("", TopicName::as_str);
        self.check_topic_name(topic, Some(&client_id))
            .map_err(|what| Refusal {
                reason_code: ReasonCode::TopicNameInvalid,
                what,
            })?;
        self.check_publish_rule(id, topic)?;
        let indicator = publish.properties.payload_format_indicator;
        self.check_payload_format(indicator, &publish.payload, &client_id)?;
        self.check_message_store(id, &publish, cause)?;
        self.tap_message(now, Publisher::Connection(conn), &publish);
        let routed = Routed::fresh(publish, client_id);
        Ok(if self.route(now, routed, Some(id), cause) {
            ReasonCode::Success
        } else {
            ReasonCode::NoMatchingSubscribers
        })
    }

    /// Checks that a payload has the format that its message claims (section 3.3.2.3.2). Counts a
    /// refusal.
    pub(crate) fn check_payload_format(
        &mut self,
        indicator: Option<bool>,
        payload: &[u8],
        client: &Utf8String,
    ) -> Result<(), Refusal> {
        if self.options.check_payload_format && !is_as_indicated(indicator, payload) {
            self.metrics.refused_payload_format += 1;
            self.limit_log.note(Limit::PayloadFormat, Some(client));
            return Err(Refusal {
                reason_code: ReasonCode::PayloadFormatInvalid,
                what: "the payload claims to be UTF-8, but is not (section 3.3.2.3.2)",
            });
        }
        Ok(())
    }

    /// Checks that a client may publish to a topic of this form. Counts a refusal.
    pub(crate) fn check_topic_name(
        &mut self,
        topic: &str,
        client: Option<&Utf8String>,
    ) -> Result<(), &'static str> {
        let checked = check_name(self.limits(), topic, client.map(Utf8String::as_str));
        let Err(bad) = checked else { return Ok(()) };
        self.metrics.refused_topic_name += 1;
        self.limit_log.note(bad.limit, client);
        Err(bad.what)
    }

    /// Refuses the topic behind an alias, and counts it.
    fn refuse_topic(&mut self, id: SessionId, bad: BadTopic) -> Refusal {
        self.metrics.refused_topic_name += 1;
        let client = self.sessions.get(id).map(Session::client_id);
        self.limit_log.note(bad.limit, client);
        Refusal {
            reason_code: ReasonCode::TopicNameInvalid,
            what: bad.what,
        }
    }

    /// Counts a connection that is closed because of an alias above Topic Alias Maximum.
    fn note_alias(&mut self, slot: Slot, cause: CloseCause) -> CloseCause {
        if cause.reason_code() == ReasonCode::TopicAliasInvalid {
            let agreement = self.connections.established(slot);
            let client =
                agreement.and_then(|(agreement, _, _)| self.sessions.get(agreement.session()));
            self.metrics.refused_topic_alias += 1;
            self.limit_log
                .note(Limit::TopicAlias, client.map(Session::client_id));
        }
        cause
    }

    pub(crate) fn pub_rel(&mut self, slot: Slot, packet_id: PacketId) {
        let Some((agreement, _, _)) = self.connections.established(slot) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(agreement.session()) else {
            return;
        };
        let (reason_code, gate) = if session.release_incoming(packet_id, &mut self.memory) {
            agreement.forget_carried_over(packet_id);
            let gate = session.number().map(|session| {
                let released = Record::Released { session, packet_id };
                self.ledger.record(&released)
            });
            (ReasonCode::Success, gate)
        } else {
            // The answer says that the identifier is free. The record that freed it may not be
            // durable yet.
            let gate = session.number().and_then(|_| self.ledger.gate());
            (ReasonCode::PacketIdentifierNotFound, gate)
        };
        // [MQTT-4.3.3-11]
        let ack = Packet::PubComp(PubComp::new(packet_id, reason_code));
        self.acknowledge(slot, &ack, gate);
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

    /// Handles an acknowledgement from the client. `step` applies it to what the session sent.
    fn acknowledged(
        &mut self,
        now: Instant,
        slot: Slot,
        packet_id: PacketId,
        what: &'static str,
        step: impl FnOnce(&mut Outgoing) -> Acknowledged,
    ) -> Result<(), CloseCause> {
        let Some((agreement, _, _)) = self.connections.established(slot) else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(agreement.session()) else {
            return Ok(());
        };
        let session_number = session.number();
        let outgoing = session.outgoing_or_new();
        let before = outgoing.weight();
        let held = match session_number {
            None if self.ledger.is_kept() => outgoing.held_in_window(packet_id),
            None | Some(_) => None,
        };
        let outcome = step(outgoing);
        let after = outgoing.weight();
        self.memory.requeue(before, after);
        let mut gate = None;
        if let Some((message, origin)) = held
            && matches!(outcome, Acknowledged::Done { .. })
        {
            self.ledger.forgotten(Holder::Group, message, origin);
        }
        if let Some(session) = session_number {
            match outcome {
                Acknowledged::Done { .. } => {
                    self.ledger.record(&Record::Done { session, packet_id });
                }
                Acknowledged::Release { is_news: true }
                | Acknowledged::ReleaseLater { is_news: true } => {
                    let received = Record::Received { session, packet_id };
                    gate = Some(self.ledger.record(&received));
                }
                Acknowledged::Release { is_news: false } => gate = self.ledger.gate(),
                Acknowledged::ReleaseLater { is_news: false }
                | Acknowledged::Nothing
                | Acknowledged::NotFound
                | Acknowledged::WrongPacket => {}
            }
        }
        match outcome {
            Acknowledged::Done { is_charged } => {
                if is_charged {
                    agreement.give_back_quota();
                }
                let session = agreement.session();
                self.pump(now, session);
                self.continue_lookups(now, session);
                self.unblock(session);
            }
            // [MQTT-4.3.3-4]
            Acknowledged::Release { .. } => {
                let release = PubRel::new(packet_id, ReasonCode::Success);
                self.acknowledge(slot, &Packet::PubRel(release), gate);
            }
            // The broker answers, so that the client can end its exchange.
            Acknowledged::NotFound => {
                let release = PubRel::new(packet_id, ReasonCode::PacketIdentifierNotFound);
                self.acknowledge(slot, &Packet::PubRel(release), None);
            }
            Acknowledged::ReleaseLater { .. } | Acknowledged::Nothing => {}
            Acknowledged::WrongPacket => {
                return Err(violation(ReasonCode::ProtocolError, what));
            }
        }
        Ok(())
    }
}
