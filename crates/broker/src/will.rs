//! Wills: what is published for a client that vanished (section 3.1.2.5).

use bytes::Bytes;
use mqtt::packet::{PublishProperties, WillProperties};
use mqtt::{Instant, Publish, QoS, Utf8String, Will};

use crate::broker::Broker;
use crate::limits::Limit;
use crate::message::Routed;
use crate::record::Cause;
use crate::session::SessionId;
use crate::timers::Timer;

/// A will whose time has come.
#[derive(Debug)]
pub(crate) struct DueWill {
    pub(crate) will: Box<Will>,
    /// Whose it is.
    pub(crate) publisher: Utf8String,
    /// Its session, if that goes on.
    pub(crate) session: Option<SessionId>,
    /// The same for records.
    pub(crate) cause: Cause,
}

/// A copy that holds on to nothing but its own bytes.
pub(crate) fn detach(will: &Will) -> Box<Will> {
    let properties = &will.properties;
    Box::new(Will {
        topic: will.topic.detach(),
        payload: Bytes::copy_from_slice(&will.payload),
        qos: will.qos,
        retain: will.retain,
        properties: WillProperties {
            will_delay_interval: properties.will_delay_interval,
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            content_type: properties.content_type.as_ref().map(Utf8String::detach),
            response_topic: properties
                .response_topic
                .as_ref()
                .map(mqtt::TopicName::detach),
            correlation_data: properties
                .correlation_data
                .as_ref()
                .map(|data| Bytes::copy_from_slice(data)),
            user_properties: properties
                .user_properties
                .iter()
                .map(|(name, value)| (name.detach(), value.detach()))
                .collect(),
        },
    })
}

/// Bytes of memory that holding a will takes, near enough.
pub(crate) fn cost(will: &Will) -> usize {
    let properties = &will.properties;
    crate::message::held(&crate::message::Parts {
        topic: will.topic.len(),
        payload: will.payload.len(),
        content_type: properties.content_type.as_ref(),
        response_topic: properties.response_topic.as_ref(),
        correlation_data: properties.correlation_data.as_ref(),
        user_properties: &properties.user_properties,
    })
}

/// The message that a will is.
pub(crate) fn to_publish(will: &Will) -> Publish {
    let properties = &will.properties;
    Publish {
        dup: false,
        qos: will.qos,
        retain: will.retain,
        topic: Some(will.topic.clone()),
        packet_id: None,
        payload: will.payload.clone(),
        properties: PublishProperties {
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            topic_alias: None,
            response_topic: properties.response_topic.clone(),
            correlation_data: properties.correlation_data.clone(),
            user_properties: properties.user_properties.clone(),
            subscription_identifiers: Vec::new(),
            content_type: properties.content_type.clone(),
        },
    }
}

impl Broker {
    /// Whether there is room for a client's will; otherwise why not, and that is counted.
    /// What the client's earlier will takes is not taken off: whoever sends the same again
    /// needs room for both for a moment.
    pub(crate) fn check_will_size(
        &mut self,
        client: &Utf8String,
        will: &Will,
    ) -> Result<(), &'static str> {
        let limits = &self.options.limits;
        let cost = cost(will);
        let what = if cost > limits.will_bytes {
            "the will is too large"
        } else if self.metrics.will_bytes + cost as u64 > limits.all_wills_bytes as u64 {
            "the wills of all clients take as much as they may"
        } else {
            return Ok(());
        };
        self.metrics.refused_will_limit += 1;
        self.bites.note(Limit::Will, Some(client));
        Err(what)
    }

    /// The session has lost its connection and goes on: its will is due now or after its
    /// delay `[MQTT-3.1.2-8]`, and no later than the session ends.
    pub(crate) fn schedule_will(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        match session.will_due_at(now) {
            None => {}
            Some(at) if at <= now => self.will_due(id),
            Some(at) => {
                let timer = Timer::Will(id);
                self.timers.set(timer, &mut session.will_at, Some(at));
            }
        }
    }

    /// The delay of the session's will is over.
    pub(crate) fn will_due(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.will_at = None;
            // [MQTT-3.1.2-10]
            if let Some(will) = session.take_will(&mut self.metrics) {
                self.due_wills.push_back(DueWill {
                    will,
                    publisher: session.client_id.clone(),
                    session: Some(id),
                    cause: session.number.map_or(Cause::OtherWill, Cause::Will),
                });
            }
        }
    }

    pub(crate) fn publish_will(&mut self, now: Instant, due: DueWill) {
        self.metrics.wills_published += 1;
        let mut publish = to_publish(&due.will);
        let is_stored =
            publish.retain && !publish.payload.is_empty() || publish.qos != QoS::AtMostOnce;
        // Nobody can be told to send it again later, and whoever sends it is gone: it reaches
        // those who are there. A retained one is stored when there is room again.
        if self.ledger.is_full()
            && is_stored
            && (publish.retain || self.concerns_lasting(due.session, &publish))
        {
            publish.qos = QoS::AtMostOnce;
            self.metrics.wills_not_stored += 1;
            self.bites.note(Limit::Store, Some(&due.publisher));
        }
        let routed = Routed::fresh(publish, due.publisher);
        self.route(now, routed, due.session, due.cause);
    }
}
