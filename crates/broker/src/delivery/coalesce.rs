//! Delivers the newest message of each topic to clients that asked for no more.
//!
//! A message goes out at once if its interval is free and nothing waits to be written. Otherwise it
//! waits in [`LatestValues`] until its interval's next round, and until the client has read what was
//! sent before. So a client that reads slowly gets fewer messages, not older ones.

use std::sync::Arc;

use mqtt::{
    EncodeError, Instant, ProtocolVersion, Publish, PublishTemplate, TopicForm, Utf8String,
};

use crate::admission::WorkBudget;
use crate::delivery::latest::Value;
use crate::delivery::routed::template;
use crate::delivery::send::{SendAttempt, Sendable};
use crate::delivery::{Egress, LatestValues, Means, Outcome, Receiver, Routed};
use crate::session::Session;
use crate::types::{
    Conn, Delivery, Interval, Limit, Message, Queued, SKIPPED_PROPERTY, SessionId, topic,
};

/// How full the newest values may make a connection's buffer. What is written with the next
/// buffer may be newer.
const SLICE: usize = 64 * 1024;

/// A value with the property that says how many messages it stands for.
#[derive(Debug)]
struct Counted<'a> {
    message: &'a Message,
    /// `None`: it stands for no others.
    publish: Option<Publish>,
}

impl Egress<'_> {
    /// Delivers a message that was just published to a session that asked for the newest message of
    /// its topic.
    pub(crate) fn deliver_latest(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        interval: Interval,
    ) -> Outcome {
        let Some(session) = self.sessions.get_mut(id) else {
            return Outcome::Dropped;
        };
        let means = &mut self.means;
        let slot = session.slot();
        let Some(mut receiver) = slot.and_then(|slot| self.connections.receiver(slot)) else {
            means.metrics.dropped_absent += 1;
            return Outcome::Dropped;
        };
        // A retained message that a look-up finds later must not come after this one
        // [MQTT-4.6.0-6].
        let is_held = session.lookups().is_some_and(|lookups| {
            let number = self.retained.number(routed.topic());
            number.is_some_and(|number| lookups.may_find(routed.topic(), number))
        });
        let may_go = !is_held && !session.holds_at_most_once() && receiver.outbox.held() == 0;
        if may_go && receiver.is_free(now, interval, routed.topic()) {
            let attempt = SendAttempt::at_most_once(&delivery);
            let Some(encoded) = attempt.encode(now, &mut *routed, &receiver) else {
                means.drop_too_large(session.client_id());
                return Outcome::TooLarge;
            };
            if means.takes_at_most_once(&receiver, encoded.len()) {
                means.free_memory_for(encoded.len());
                means.write(encoded, &mut receiver, None);
                receiver.outbox.protect();
                let mut latest = means.take_latest(&mut receiver);
                latest.sent(now, interval);
                means.put_latest(&mut receiver, latest);
                return Outcome::Written(receiver.announce(means.memory));
            }
        }
        let kept = (routed.keep(now), delivery);
        let client_id = session.client_id();
        means.keep_latest(now, &mut receiver, client_id, interval, kept, is_held);
        // The topic may have waited for a longer interval than it has now.
        let is_ready = may_go
            && receiver
                .agreement
                .latest()
                .is_some_and(LatestValues::is_ready);
        if is_ready {
            Outcome::Written(self.pump_latest(now, id))
        } else {
            Outcome::Queued
        }
    }

    /// Gives a retained message that a look-up has found to the newest values of the session's
    /// connection. [`pump_latest`](Self::pump_latest) sends it.
    pub(crate) fn keep_retained(
        &mut self,
        now: Instant,
        id: SessionId,
        message: Arc<Message>,
        delivery: Delivery,
        interval: Interval,
    ) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let slot = session.slot();
        let Some(mut receiver) = slot.and_then(|slot| self.connections.receiver(slot)) else {
            return;
        };
        let means = &mut self.means;
        let mut latest = means.take_latest(&mut receiver);
        let has_newer = latest.has_newer(now, message.topic());
        means.put_latest(&mut receiver, latest);
        if has_newer {
            means.metrics.latest_replaced += 1;
            return;
        }
        let kept = (message, delivery);
        means.keep_latest(
            now,
            &mut receiver,
            session.client_id(),
            interval,
            kept,
            false,
        );
    }

    /// Sends the newest values that are due, as far as the connection can take them. Returns the
    /// connection if the shell must be told that there are bytes for it.
    pub(crate) fn pump_latest(&mut self, now: Instant, id: SessionId) -> Option<Conn> {
        let session = self.sessions.get_mut(id)?;
        let mut receiver = self.connections.receiver(session.slot()?)?;
        if !receiver.has_latest() {
            return None;
        }
        let means = &mut self.means;
        let mut latest = means.take_latest(&mut receiver);
        if session.lookups().is_none() {
            latest.release(now);
        }
        latest.end_rests(now);
        if receiver.outbox.held() == 0 && !session.holds_at_most_once() {
            let client_id = session.client_id();
            while receiver.outbox.len() < SLICE
                && means.send_latest(now, &mut receiver, client_id, &mut latest)
            {}
            receiver.outbox.protect();
        }
        means.put_latest(&mut receiver, latest);
        receiver.announce(means.memory)
    }

    /// Forgets the value that waits for a session's connection, because a newer message to its
    /// topic goes another way.
    pub(super) fn supersede(&mut self, id: SessionId, topic: &str) {
        let slot = self.sessions.get(id).and_then(Session::slot);
        let receiver = slot.and_then(|slot| self.connections.receiver(slot));
        if let Some(mut receiver) = receiver.filter(Receiver::has_latest) {
            let mut latest = self.means.take_latest(&mut receiver);
            self.means.metrics.latest_replaced += u64::from(latest.forget(topic));
            self.means.put_latest(&mut receiver, latest);
        }
    }
}

impl Means<'_> {
    /// Takes the newest values out of the connection. Creates them if there are none.
    fn take_latest(&mut self, receiver: &mut Receiver<'_>) -> Box<LatestValues> {
        let latest = receiver.agreement.take_latest();
        self.memory.change_latest(latest.bytes(), 0);
        latest
    }

    /// Puts the newest values back, and sets their timer.
    fn put_latest(&mut self, receiver: &mut Receiver<'_>, mut latest: Box<LatestValues>) {
        latest.set_timer(receiver.slot, self.timers);
        self.memory.change_latest(0, latest.bytes());
        if !latest.is_idle() {
            receiver.agreement.put_latest(latest);
        }
    }

    /// Keeps a message until it is due.
    fn keep_latest(
        &mut self,
        now: Instant,
        receiver: &mut Receiver<'_>,
        client_id: &Utf8String,
        interval: Interval,
        kept: (Arc<Message>, Delivery),
        is_held: bool,
    ) {
        let more = Queued::cost_of(kept.0.cost(), &kept.1);
        let own = receiver.agreement.latest_bytes();
        let most = self.memory.latest_room(self.limits, own, more);
        let mut latest = self.take_latest(receiver);
        let put = latest.put(now, interval, kept, is_held, most);
        self.put_latest(receiver, latest);
        self.metrics.latest_replaced += u64::from(put.has_replaced);
        self.metrics.dropped_latest += put.dropped;
        if put.dropped > 0 {
            self.limit_log.note(Limit::Latest, Some(client_id));
        }
    }

    /// Sends the next value that is due, or drops it if it cannot be sent. Returns `false` if there
    /// is none, or if it must wait for the egress budget.
    fn send_latest(
        &mut self,
        now: Instant,
        receiver: &mut Receiver<'_>,
        client_id: &Utf8String,
        latest: &mut LatestValues,
    ) -> bool {
        let Some(place) = latest.next(now) else {
            return false;
        };
        let Some(value) = latest.value(place) else {
            return false;
        };
        if value.message().is_expired(now) {
            self.metrics.dropped_expired += 1;
            latest.remove(place);
            return true;
        }
        if !self.claim_budget(receiver, value.message().cost()) {
            return false;
        }
        self.work.spend(WorkBudget::LATEST);
        if self.write_latest(now, receiver, value) {
            latest.pop_sent(now, place);
        } else {
            self.drop_too_large(client_id);
            latest.remove(place);
        }
        true
    }

    /// Writes a value to the connection. Returns `false` if it is larger than the client takes.
    fn write_latest(&mut self, now: Instant, receiver: &mut Receiver<'_>, value: &Value) -> bool {
        let attempt = SendAttempt::at_most_once(value.delivery());
        // A client may take the message, but not the property as well.
        for counted in [Counted::new(value), Counted::bare(value)] {
            if let Some(encoded) = attempt.encode(now, &counted, receiver) {
                self.write(encoded, receiver, None);
                return true;
            }
        }
        false
    }
}

impl Receiver<'_> {
    fn has_latest(&self) -> bool {
        self.agreement.latest().is_some()
    }

    fn is_free(&self, now: Instant, interval: Interval, topic: &str) -> bool {
        let latest = self.agreement.latest();
        latest.is_none_or(|it| it.is_free(now, interval, topic))
    }
}

impl<'a> Counted<'a> {
    fn new(value: &'a Value) -> Self {
        let message = &**value.message();
        let number = Utf8String::try_from(value.skipped().to_string());
        let property = Utf8String::try_from(SKIPPED_PROPERTY).ok().zip(number.ok());
        let publish = property.filter(|_| value.skipped() > 0).map(|property| {
            let mut publish = message.publish.clone();
            publish.properties.user_properties.push(property);
            publish
        });
        Self { message, publish }
    }

    fn bare(value: &'a Value) -> Self {
        Self {
            message: value.message(),
            publish: None,
        }
    }
}

impl<'m> Sendable<'m> for &'m Counted<'m> {
    type Template = PublishTemplate;

    fn publish(&self) -> &Publish {
        self.publish.as_ref().unwrap_or(&self.message.publish)
    }

    fn remaining_expiry(&self, now: Instant) -> Option<u32> {
        self.message.remaining_expiry(now)
    }

    fn encode(
        self,
        version: ProtocolVersion,
        delivery: &Delivery,
        form: TopicForm,
    ) -> Result<(&'m str, PublishTemplate), EncodeError> {
        let template = template(self.publish(), version, delivery, form)?;
        Ok((topic(&self.message.publish), template))
    }
}
