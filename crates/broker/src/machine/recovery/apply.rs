//! Applies each record to the broker that is being recovered.

use std::sync::Arc;

use mqtt::{QoS, TopicFilter, Utf8String};

use super::{KnownSession, Recovery};
use crate::admission::MemoryBudget;
use crate::durability::{
    Absence, Accepted, FromSession, InQueue, InWindow, Recipient, Record, Retention, SessionState,
    Stored, Subscribed, Terms,
};
use crate::session::{Outgoing, Session, Stage};
use crate::types::{
    Cause, DueWill, Entry, Holder, Lsn, Message, MessageId, Origin, Queued, SessionId,
    SessionNumber, Subscriber, Weight,
};

impl Recovery {
    // Long, because it is one list: an arm for each kind of record.
    pub(super) fn apply(&mut self, lsn: Lsn, record: Record) {
        match record {
            Record::Opened {
                session,
                client_id,
                terms,
            } => {
                self.open(session, &client_id, &terms, None);
            }
            Record::Resumed { session, terms } => {
                if let Some(found) = self.sessions.get_mut(&session) {
                    found.absence = None;
                }
                self.change(session, |it, memory| it.set_terms(&terms, memory));
            }
            Record::Disconnected {
                session,
                expiry_interval,
                absence,
                is_will_gone,
            } => {
                if let Some(found) = self.sessions.get_mut(&session) {
                    found.absence = Some(absence);
                }
                self.change(session, |it, memory| {
                    it.set_expiry_interval(expiry_interval);
                    if is_will_gone {
                        it.forget_will(memory);
                    }
                });
            }
            Record::Ended { session } => self.end(session),
            Record::Subscribed {
                session,
                subscriptions,
            } => {
                if let Some(id) = self.find(session) {
                    for subscribed in subscriptions {
                        self.subscribe(id, &subscribed);
                        if subscribed.asks {
                            self.lookups.entry(session).or_default().push(subscribed);
                        }
                    }
                }
            }
            Record::Unsubscribed { session, filters } => {
                if let Some(id) = self.find(session) {
                    for filter in filters {
                        self.unsubscribe(id, filter);
                    }
                }
            }
            Record::Accepted(accepted) => self.accept(lsn, *accepted),
            Record::Incoming { session, packet_id } => {
                self.change(session, |it, memory| it.add_incoming(packet_id, memory));
            }
            Record::Released { session, packet_id } => {
                self.change(session, |it, memory| {
                    it.release_incoming(packet_id, memory);
                });
            }
            Record::Message { id, message } => {
                self.keep(lsn, id, &message);
            }
            Record::Queued {
                message,
                from,
                recipient,
            } => {
                let message = self.message(message);
                if let Some(message) = message {
                    if let Some(from) = from {
                        self.take_from(from, &message, &recipient);
                    }
                    self.queue(&message, recipient);
                }
            }
            Record::Sent {
                session,
                message,
                packet_id,
            } => self.change_outgoing(session, |outgoing| {
                let queued = outgoing.take_message(message, None);
                let was_there = queued.is_some();
                if let Some(queued) = queued {
                    outgoing.restore(packet_id, stage(queued));
                }
                was_there
            }),
            Record::Received { session, packet_id } => self.change_outgoing(session, |outgoing| {
                outgoing.pub_rec(packet_id, false);
                true
            }),
            Record::Done { session, packet_id } => {
                self.change_outgoing(session, |outgoing| outgoing.restore_done(packet_id));
            }
            Record::Dropped {
                holder: Holder::Session(session),
                message,
                origin,
            } => self.change_outgoing(session, |outgoing| {
                outgoing.take_message(message, Some(origin)).is_some()
            }),
            Record::Dropped {
                holder: Holder::Group,
                message,
                origin,
            } => {
                self.note_group(origin);
                if !self.let_go(message, origin) {
                    self.stray();
                }
            }
            Record::WillPublished { session } => {
                self.change(session, Session::forget_will);
            }
            Record::TransientWill(transient_will) => {
                self.number(transient_will.session);
                let will = DueWill::left(&transient_will, self.grants.clone());
                self.wills.insert(transient_will.session, will);
            }
            Record::TransientWillEnded { session } => self.forget_transient_will(session),
            Record::RetainedMessage { id, message } => {
                let message = self.keep(lsn, id, &message);
                self.retain(message);
            }
            Record::Retained { message } => {
                if let Some(message) = self.message(message) {
                    self.retain(message);
                }
            }
            Record::LookupEnded { session, filter } => self.looked(session, &filter),
            Record::Session(state) => self.restore(&state),
            Record::CheckpointBegan => self.checkpointing = Some(lsn),
            Record::Numbers { sessions, groups } => {
                self.numbered = self.numbered.max(sessions);
                self.broker.subscriptions.groups_mut().note_number(groups);
            }
            Record::CheckpointEnded { from } => {
                self.checkpointing = None;
                self.is_whole |= self.first.is_some_and(|first| first <= from);
            }
            Record::Restarted => self.restart(),
        }
    }

    fn open(
        &mut self,
        number: SessionNumber,
        client_id: &Utf8String,
        terms: &Terms,
        absence: Option<Absence>,
    ) -> SessionId {
        self.number(number);
        let broker = &mut self.broker;
        if let Some(id) = broker.sessions.find(client_id) {
            let old = broker.sessions.get(id).and_then(Session::number);
            self.forget(id);
            if let Some(old) = old {
                self.sessions.remove(&old);
                self.lookups.remove(&old);
            }
        }
        let broker = &mut self.broker;
        let id = broker.sessions.insert(client_id);
        broker.memory.set_sessions(broker.sessions.len());
        if let Some(session) = broker.sessions.get_mut(id) {
            session.set_grants(self.grants.clone());
            session.set_number(Some(number), &mut broker.memory);
            session.set_terms(terms, &mut broker.memory);
        }
        self.sessions.insert(number, KnownSession { id, absence });
        id
    }

    /// Removes the first look-up for this filter: it is over.
    fn looked(&mut self, session: SessionNumber, filter: &Utf8String) {
        if self.find(session).is_none() {
            return;
        }
        let lookups = self.lookups.entry(session).or_default();
        match lookups.iter().position(|it| it.filter == *filter) {
            Some(at) => {
                lookups.remove(at);
            }
            None => self.stray(),
        }
        if self.lookups.get(&session).is_some_and(Vec::is_empty) {
            self.lookups.remove(&session);
        }
    }

    fn end(&mut self, session: SessionNumber) {
        self.lookups.remove(&session);
        match self.sessions.remove(&session) {
            Some(found) => self.forget(found.id),
            None => self.stray(),
        }
    }

    /// Drops the will of a session that ended with its connection: it was published or taken
    /// back.
    fn forget_transient_will(&mut self, session: SessionNumber) {
        self.number(session);
        if self.wills.remove(&session).is_none() {
            self.stray();
        }
    }

    /// Removes a session. This changes no other session: what happened to those is in other
    /// records.
    fn forget(&mut self, id: SessionId) {
        let broker = &mut self.broker;
        broker.leave_groups(id);
        let Some(mut session) = broker.sessions.remove(id) else {
            return;
        };
        for node in session.subscriptions() {
            broker.subscriptions.remove(*node, id);
        }
        let memory = &mut broker.memory;
        session.forget_will(memory);
        broker.metrics.subscriptions -= session.subscriptions().len() as u64;
        session.set_subscription_bytes(0, memory);
        memory.change_stored_session(session.stored_bytes(), 0);
        memory.remove_incoming(session.incoming().len());
        memory.set_sessions(broker.sessions.len());
        if let Some(outgoing) = session.outgoing() {
            memory.requeue(outgoing.weight(), Weight::default());
        }
    }

    fn subscribe(&mut self, id: SessionId, subscribed: &Subscribed) {
        if let Some(group) = subscribed.group {
            self.note_group(Origin::Shared(group));
        }
        let Ok(filter) = TopicFilter::new(subscribed.filter.clone()) else {
            return self.stray();
        };
        let subscriber = Subscriber {
            session: id,
            identifier: subscribed.identifier,
            qos: subscribed.qos,
            no_local: subscribed.no_local,
            retain_as_published: subscribed.retain_as_published,
            latest: subscribed.latest,
            entry: Entry::All,
        };
        self.broker
            .restore_subscription(id, &filter, subscribed.group, subscriber);
    }

    fn unsubscribe(&mut self, id: SessionId, filter: Utf8String) {
        match TopicFilter::new(filter) {
            Ok(filter) => self.broker.restore_unsubscribed(id, &filter),
            Err(_) => self.stray(),
        }
    }

    fn accept(&mut self, lsn: Lsn, accepted: Accepted) {
        let Accepted {
            message,
            retention,
            cause,
            recipients,
        } = accepted;
        match cause {
            Cause::Client | Cause::OtherWill => {}
            Cause::Incoming(session, packet_id) => {
                self.change(session, |it, memory| it.add_incoming(packet_id, memory));
            }
            Cause::Will(session) => self.change(session, Session::forget_will),
            Cause::LastWill(session) => self.end(session),
            Cause::TransientWill(session) => self.forget_transient_will(session),
        }
        match retention {
            Retention::Unchanged | Retention::Kept => {}
            Retention::Removed => {
                let topic = message.publish.topic.as_ref().map_or("", |it| it.as_str());
                let broker = &mut self.broker;
                broker.retained.remove(topic, &mut broker.timers);
            }
        }
        if recipients.is_empty() && retention != Retention::Kept {
            return;
        }
        let Some(id) = MessageId::of(lsn) else {
            return;
        };
        let message = self.keep(lsn, id, &message);
        for recipient in recipients {
            self.queue(&message, recipient);
        }
        if retention == Retention::Kept {
            self.retain(message);
        }
    }

    /// The message `id`, which this record holds whole.
    fn keep(&mut self, lsn: Lsn, id: MessageId, stored: &Stored) -> Arc<Message> {
        let make = || {
            Arc::new(Message::new(
                stored.received,
                &stored.publish,
                &stored.publisher.detach(),
            ))
        };
        let message = Arc::clone(self.messages.entry(id).or_insert_with(make));
        message.set_stored(id, lsn);
        message.count(self.broker.ledger.message_bytes());
        message
    }

    fn message(&mut self, id: MessageId) -> Option<Arc<Message>> {
        let message = self.messages.get(&id).map(Arc::clone);
        if message.is_none() {
            self.stray();
        }
        message
    }

    fn retain(&mut self, message: Arc<Message>) {
        let broker = &mut self.broker;
        broker.retained.restore(message, &mut broker.timers);
    }

    fn queue(&mut self, message: &Arc<Message>, recipient: Recipient) {
        let queued = Queued {
            message: Arc::clone(message),
            delivery: recipient.delivery,
            origin: recipient.origin,
            is_held: recipient.holder == Holder::Group,
        };
        self.note_group(queued.origin);
        let message = message.id();
        if let Some(message) = message {
            self.let_go(message, queued.origin);
        }
        match recipient.holder {
            Holder::Session(session) => self.change_outgoing(session, |outgoing| {
                match recipient.packet_id {
                    Some(packet_id) => outgoing.restore(packet_id, stage(queued)),
                    None => outgoing.push(queued),
                }
                true
            }),
            Holder::Group => {
                if let (Some(message), Origin::Shared(group)) = (message, queued.origin) {
                    self.held.insert((message, group), queued);
                }
            }
        }
    }

    /// Takes a message from its group. Returns whether the group had it.
    fn let_go(&mut self, message: MessageId, origin: Origin) -> bool {
        match origin {
            Origin::Shared(group) => self.held.remove(&(message, group)).is_some(),
            Origin::Live | Origin::Retained => false,
        }
    }

    /// Takes a message from a session, because another session has got it.
    fn take_from(&mut self, from: FromSession, message: &Message, recipient: &Recipient) {
        self.change_outgoing(from.session, |outgoing| match from.packet_id {
            Some(packet_id) => outgoing.restore_done(packet_id),
            None => message.id().is_some_and(|id| {
                let origin = Some(recipient.origin);
                outgoing.take_message(id, origin).is_some()
            }),
        });
    }

    /// Replaces a session by its state in a checkpoint.
    fn restore(&mut self, state: &SessionState) {
        let id = self.open(state.session, &state.client_id, &state.terms, state.absence);
        for subscribed in &state.subscriptions {
            self.subscribe(id, subscribed);
        }
        self.change(state.session, |it, memory| {
            it.restore_last_packet_id(state.last_packet_id);
            for packet_id in &state.incoming {
                it.add_incoming(*packet_id, memory);
            }
        });
        if !state.lookups.is_empty() {
            self.lookups.insert(state.session, state.lookups.clone());
        }
        if state.window.is_empty() && state.queue.is_empty() {
            return;
        }
        for it in &state.window {
            self.restore_in_window(state.session, it);
        }
        for it in &state.queue {
            if let Some(queued) = self.queued(it) {
                self.change_outgoing(state.session, |outgoing| {
                    outgoing.push(queued);
                    true
                });
            }
        }
        self.change_outgoing(state.session, |outgoing| {
            outgoing.restore_last_packet_id(state.last_packet_id);
            true
        });
    }

    fn restore_in_window(&mut self, session: SessionNumber, it: &InWindow) {
        let stage = match &it.message {
            None => Some(Stage::Released),
            Some(message) => self.queued(message).map(stage),
        };
        if let Some(stage) = stage {
            self.change_outgoing(session, |outgoing| {
                outgoing.restore(it.packet_id, stage);
                true
            });
        }
    }

    /// Notes the number of a group, so that no other group gets it.
    fn note_group(&mut self, origin: Origin) {
        match origin {
            Origin::Shared(group) => self.broker.subscriptions.groups_mut().note_number(group),
            Origin::Live | Origin::Retained => {}
        }
    }

    fn queued(&mut self, it: &InQueue) -> Option<Queued> {
        self.note_group(it.origin);
        Some(Queued {
            message: self.message(it.message)?,
            delivery: it.delivery.clone(),
            origin: it.origin,
            is_held: false,
        })
    }

    fn find(&mut self, session: SessionNumber) -> Option<SessionId> {
        self.number(session);
        let id = self.sessions.get(&session).map(|found| found.id);
        if id.is_none() {
            self.stray();
        }
        id
    }

    fn change(
        &mut self,
        session: SessionNumber,
        change: impl FnOnce(&mut Session, &mut MemoryBudget),
    ) {
        if let Some(id) = self.find(session)
            && let Some(session) = self.broker.sessions.get_mut(id)
        {
            change(session, &mut self.broker.memory);
        }
    }

    /// Changes a session's outgoing messages. `change` returns whether it found the message that it
    /// should change.
    fn change_outgoing(
        &mut self,
        session: SessionNumber,
        change: impl FnOnce(&mut Outgoing) -> bool,
    ) {
        let mut was_there = true;
        self.change(session, |session, memory| {
            let outgoing = session.outgoing_or_new();
            let before = outgoing.weight();
            was_there = change(outgoing);
            let after = outgoing.weight();
            memory.requeue(before, after);
        });
        if !was_there {
            self.stray();
        }
    }

    /// Counts a record that names something unknown.
    fn stray(&mut self) {
        self.strays += u64::from(self.is_whole);
    }
}

impl Session {
    fn set_terms(&mut self, terms: &Terms, memory: &mut MemoryBudget) {
        self.set_expiry_interval(terms.expiry_interval);
        self.set_will(terms.will.as_deref(), memory);
    }
}

fn stage(queued: Queued) -> Stage {
    match queued.delivery.qos {
        QoS::AtMostOnce | QoS::AtLeastOnce => Stage::Unacknowledged(queued),
        QoS::ExactlyOnce => Stage::Unreceived(queued),
    }
}
