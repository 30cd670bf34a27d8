//! Routes one message to everybody who is subscribed to its topic.

use mqtt::{Instant, Publish, QoS, TopicName};

use crate::delivery::Routed;
use crate::durability::{AcceptedHead, Retention, StoreCost};
use crate::machine::{Broker, Output};
use crate::routing::RetainOutcome;
use crate::tap::retained_gone;
use crate::types::{Cause, Limit, Message, SessionId, Subscriber};

impl Broker {
    /// Delivers a message to every session that is subscribed to its topic, and retains it if
    /// RETAIN is set. Returns whether anybody was subscribed.
    ///
    /// A session with several matching subscriptions gets the message once `[MQTT-3.3.4-2]`. If
    /// it also shares subscriptions, it may get the message again for each of those (section
    /// 4.8.2).
    pub(crate) fn route(
        &mut self,
        now: Instant,
        mut routed: Routed,
        publisher: Option<SessionId>,
        cause: Cause,
    ) -> bool {
        let is_light = routed.publish().qos == QoS::AtMostOnce && !routed.publish().retain;
        let is_recorded = self.ledger.is_kept() && !(is_light && cause == Cause::Client);
        if is_recorded {
            let id = self.ledger.begin_message(cause);
            routed.number(id);
        }
        let retention = if routed.publish().retain {
            self.retain(now, &mut routed)
        } else {
            Retention::Unchanged
        };
        let mut found = core::mem::take(&mut self.found);
        found.clear();
        let mut groups = core::mem::take(&mut self.found_groups);
        groups.clear();
        let filters = self
            .subscriptions
            .matching(routed.topic(), &mut found, &mut groups);
        if filters > 1 {
            found.sort_by_key(|subscriber| subscriber.session);
        }
        let (mut egress, outputs) = self.egress();
        egress.fan_out(now, &mut routed, publisher, &found, |conn| {
            outputs.push_back(Output::Write(conn));
        });
        for &group in &groups {
            self.deliver_to_one(now, group, &mut routed);
        }
        let is_anyone = !found.is_empty() || !groups.is_empty();
        self.found = found;
        self.found_groups = groups;
        if is_recorded {
            self.record_message(now, &mut routed, retention, cause);
        }
        is_anyone
    }

    /// Records what became of a message that nobody gets.
    pub(crate) fn record_unrouted(&mut self, now: Instant, routed: &mut Routed, cause: Cause) {
        if self.ledger.is_kept() {
            let id = self.ledger.begin_message(cause);
            routed.number(id);
            self.record_message(now, routed, Retention::Unchanged, cause);
        }
    }

    fn record_message(
        &mut self,
        now: Instant,
        routed: &mut Routed,
        retention: Retention,
        cause: Cause,
    ) {
        let head = AcceptedHead {
            publisher: routed.publisher(),
            received: now,
            publish: routed.publish(),
            retention,
            cause,
        };
        let is_recorded = self.ledger.end_message(&head);
        routed.settle(is_recorded, self.ledger.message_bytes());
    }

    /// How many sessions that outlive their connections get, or may get, a `QoS` 1 or 2 message.
    pub(crate) fn lasting_recipients(
        &mut self,
        publisher: Option<SessionId>,
        publish: &Publish,
    ) -> usize {
        let topic = publish.topic.as_ref().map_or("", TopicName::as_str);
        let (mut found, mut groups) = (Vec::new(), Vec::new());
        self.subscriptions.matching(topic, &mut found, &mut groups);
        let sessions = &self.sessions;
        let lasts = |it: &Subscriber| {
            let session = sessions.get(it.session);
            it.qos != QoS::AtMostOnce && session.is_some_and(|it| it.number().is_some())
        };
        let is_own = |it: &Subscriber| it.no_local && publisher == Some(it.session);
        let all = self.subscriptions.groups();
        found.iter().filter(|it| lasts(it) && !is_own(it)).count()
            + groups.iter().filter(|group| all.lasts(**group)).count()
    }

    /// Retains the message, or removes the retained one `[MQTT-3.3.1-5]` `[MQTT-3.3.1-6]`
    /// `[MQTT-3.3.1-7]`.
    fn retain(&mut self, now: Instant, routed: &mut Routed) -> Retention {
        let retention = if routed.publish().payload.is_empty() {
            if self.retained.remove(routed.topic(), &mut self.timers) {
                Retention::Removed
            } else {
                Retention::Unchanged
            }
        } else {
            let is_promised = routed.publish().qos != QoS::AtMostOnce;
            let (message, timers) = (routed.keep(now), &mut self.timers);
            let expired = |it: &Message| retained_gone(&mut self.tap, now, it.topic());
            match self.retained.set(now, message, timers, expired) {
                RetainOutcome::Stored
                    if !is_promised && self.lacks_room(StoreCost::of(routed.publish()), 0) =>
                {
                    // The next checkpoint will hold it.
                    routed.keep(now).count(self.ledger.message_bytes());
                    self.metrics.retained_not_stored += 1;
                    self.ledger.write_back_mut().request();
                    self.limit_log.note(Limit::Store, Some(routed.publisher()));
                    Retention::Unchanged
                }
                RetainOutcome::Stored => Retention::Kept,
                RetainOutcome::NoRoom { was_there } => {
                    self.metrics.refused_retained_limit += 1;
                    self.limit_log
                        .note(Limit::Retained, Some(routed.publisher()));
                    retained_gone(&mut self.tap, now, routed.topic());
                    if was_there {
                        Retention::Removed
                    } else {
                        Retention::Unchanged
                    }
                }
            }
        };
        self.retained.count(&mut self.memory);
        retention
    }
}
