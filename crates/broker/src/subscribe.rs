//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{
    Instant, Packet, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription, TopicFilter,
    UnsubAck, Unsubscribe,
};

use crate::broker::{Broker, violation};
use crate::connection::Slot;
use crate::message::{Delivery, Routed};
use crate::outgoing::Origin;
use crate::output::CloseCause;
use crate::session::SessionId;
use crate::subscriptions::Subscriber;

impl Broker {
    pub(crate) fn subscribe(
        &mut self,
        now: Instant,
        slot: Slot,
        subscribe: &Subscribe,
    ) -> Result<(), CloseCause> {
        let Some((link, _, _)) = self.connections.linked(slot) else {
            return Ok(());
        };
        let id = link.session;
        let mut reason_codes = Vec::with_capacity(subscribe.subscriptions.len());
        let mut asking = Vec::new();
        for subscription in &subscribe.subscriptions {
            if subscription.no_local && subscription.topic_filter.shared().is_some() {
                return Err(violation(
                    ReasonCode::ProtocolError,
                    "No Local on a shared subscription [MQTT-3.8.3-4]",
                ));
            }
            let added = self.add(id, subscription, subscribe.subscription_identifier);
            reason_codes.push(match added {
                Ok(is_new) => {
                    let asks = match subscription.retain_handling {
                        RetainHandling::Send => true,
                        RetainHandling::SendIfNew => is_new,
                        RetainHandling::DoNotSend => false,
                    };
                    if asks {
                        asking.push(subscription);
                    }
                    granted(subscription.qos)
                }
                Err(reason_code) => reason_code,
            });
        }
        let suback = SubAck {
            packet_id: subscribe.packet_id,
            reason_codes,
            properties: mqtt::packet::ReasonProperties::default(),
        };
        self.send(slot, &Packet::SubAck(suback));
        // Equal filters are as good as several SUBSCRIBEs [MQTT-3.8.4-5], but not without end.
        let most = self.limits().subscriptions_per_client;
        let mut has_room = true;
        for (number, subscription) in asking.into_iter().enumerate() {
            if has_room && number < most {
                let identifier = subscribe.subscription_identifier;
                has_room = self.send_retained(now, id, subscription, identifier);
            } else {
                self.metrics.retained_not_looked_for += 1;
            }
        }
        Ok(())
    }

    /// Makes a subscription; says whether it is a new one, or why it is none.
    fn add(
        &mut self,
        id: SessionId,
        subscription: &Subscription,
        identifier: Option<SubscriptionIdentifier>,
    ) -> Result<bool, ReasonCode> {
        let filter = &subscription.topic_filter;
        self.check_topic_filter(filter)?;
        let limits = &self.options.limits;
        let is_known = self.subscriptions.find(filter, id).is_some();
        let Some(session) = self.sessions.get_mut(id) else {
            return Err(ReasonCode::UnspecifiedError);
        };
        let cost = cost(filter);
        let all_bytes = self.metrics.subscription_bytes + cost as u64;
        let has_room = is_known
            || (session.subscriptions.len() < limits.subscriptions_per_client
                && session.subscription_bytes + cost <= limits.subscription_bytes_per_client
                && all_bytes <= limits.all_subscriptions_bytes as u64);
        let subscriber = Subscriber::new(id, subscription, identifier);
        let inserted = has_room
            .then(|| self.subscriptions.insert(filter, subscriber))
            .flatten();
        let Some(inserted) = inserted else {
            self.metrics.refused_subscriptions_limit += 1;
            return Err(ReasonCode::QuotaExceeded);
        };
        if let Err(place) = session.subscriptions.binary_search(&inserted.node) {
            session.subscriptions.insert(place, inserted.node);
            session.subscription_bytes += cost;
            self.metrics.subscriptions += 1;
            self.metrics.subscription_bytes += cost as u64;
        }
        Ok(inserted.is_new)
    }

    fn check_topic_filter(&mut self, filter: &TopicFilter) -> Result<(), ReasonCode> {
        let reason_code = if filter.shared().is_some() {
            ReasonCode::SharedSubscriptionsNotSupported
        } else if filter.len() > self.limits().topic_bytes || !self.has_few_levels(filter) {
            ReasonCode::TopicFilterInvalid
        } else {
            return Ok(());
        };
        self.metrics.refused_topic_filter += 1;
        Err(reason_code)
    }

    /// Sends the retained messages that a new subscription asks for `[MQTT-3.3.1-9]`. Those
    /// that find no room on the connection at once wait in the session's queue. From the first
    /// on that the queue refuses they are dropped and counted; says whether it refused none.
    fn send_retained(
        &mut self,
        now: Instant,
        id: SessionId,
        subscription: &Subscription,
        identifier: Option<SubscriptionIdentifier>,
    ) -> bool {
        let mut has_room = true;
        let client_id = self.sessions.get(id).map(|it| it.client_id.clone());
        for message in self.retained.matching(now, &subscription.topic_filter) {
            // [MQTT-3.8.3-3]
            if subscription.no_local && Some(&message.publisher) == client_id.as_ref() {
                continue;
            }
            let delivery = Delivery {
                qos: subscription.qos.min(message.publish.qos),
                retain: true,
                identifiers: identifier.into(),
            };
            if has_room {
                let mut routed = Routed::from(message);
                has_room = self.deliver(now, id, &mut routed, delivery, Origin::Retained);
            } else if delivery.qos == QoS::AtMostOnce {
                self.metrics.dropped_slow += 1;
            } else {
                self.metrics.dropped_queue_full += 1;
            }
        }
        has_room
    }

    pub(crate) fn unsubscribe(&mut self, slot: Slot, unsubscribe: &Unsubscribe) {
        let Some((link, _, _)) = self.connections.linked(slot) else {
            return;
        };
        let id = link.session;
        let filters = unsubscribe.topic_filters.iter();
        let reason_codes = filters.map(|filter| self.remove(id, filter)).collect();
        // [MQTT-3.10.4-4] [MQTT-3.10.4-6]
        let unsuback = UnsubAck {
            packet_id: unsubscribe.packet_id,
            reason_codes,
            properties: mqtt::packet::ReasonProperties::default(),
        };
        self.send(slot, &Packet::UnsubAck(unsuback));
    }

    fn remove(&mut self, id: SessionId, filter: &TopicFilter) -> ReasonCode {
        let Some(node) = self.subscriptions.find(filter, id) else {
            return ReasonCode::NoSubscriptionExisted;
        };
        self.subscriptions.remove(node, id);
        if let Some(session) = self.sessions.get_mut(id)
            && let Ok(place) = session.subscriptions.binary_search(&node)
        {
            session.subscriptions.remove(place);
            session.subscription_bytes -= cost(filter);
            self.metrics.subscriptions -= 1;
            self.metrics.subscription_bytes -= cost(filter) as u64;
        }
        ReasonCode::Success
    }
}

/// What a subscription takes if its filter shares no level with another, in bytes.
fn cost(filter: &str) -> usize {
    const SUBSCRIPTION: usize = 32;
    const LEVEL: usize = 128;
    SUBSCRIPTION + filter.len() + filter.split('/').count() * LEVEL
}

const fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
