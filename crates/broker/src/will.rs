//! Wills: what is published for a client that vanished (section 3.1.2.5).

use bytes::Bytes;
use mqtt::packet::{PublishProperties, WillProperties};
use mqtt::{Instant, Publish, QoS, Utf8String, Will};

use crate::broker::Broker;
use crate::limits::Limit;
use crate::message::Routed;
use crate::needs::Needs;
use crate::record::{Bequest, Cause, Record, SessionNumber};
use crate::session::SessionId;
use crate::timers::Timer;

/// A will that a session has.
#[derive(Debug)]
pub(crate) struct HeldWill {
    /// A copy that holds on to nothing but its own bytes.
    pub(crate) will: Will,
    /// Its name in records, if it is there by itself: it is of a session that ends with its
    /// connection. Here, and not in the session, as most have no will.
    pub(crate) number: Option<SessionNumber>,
}

impl HeldWill {
    pub(crate) fn new(will: &Will) -> Self {
        Self {
            will: detach(will),
            number: None,
        }
    }
}

/// A will whose time has come.
#[derive(Debug)]
pub(crate) struct DueWill {
    pub(crate) will: Will,
    /// Whose it is.
    pub(crate) publisher: Utf8String,
    /// Its session, if that goes on.
    pub(crate) session: Option<SessionId>,
    /// The same for records.
    pub(crate) cause: Cause,
}

impl DueWill {
    /// One that was found in records: the session and its connection have ended.
    pub(crate) fn left(bequest: &Bequest) -> Self {
        Self {
            will: detach(&bequest.will),
            publisher: bequest.client_id.detach(),
            session: None,
            cause: Cause::PassingWill(bequest.session),
        }
    }
}

/// A copy that holds on to nothing but its own bytes.
fn detach(will: &Will) -> Will {
    let properties = &will.properties;
    Will {
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
    }
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
        now: Instant,
        client: &Utf8String,
        will: &Will,
    ) -> Result<(), &'static str> {
        let cost = cost(will);
        let most = self.limits().all_wills_bytes as u64;
        self.expire_while(now, |it| it.metrics.will_bytes + cost as u64 > most);
        let limits = &self.options.limits;
        let what = if cost > limits.will_bytes {
            "the will is too large"
        } else if self.metrics.will_bytes + cost as u64 > most {
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

    /// The client has taken its will back with DISCONNECT `[MQTT-3.14.4-3]`. Of a session that
    /// outlives the connection the record of that says so.
    ///
    /// Nothing waits for the record: DISCONNECT has no answer, and whatever else the client is
    /// promised from now on is recorded behind it.
    pub(crate) fn take_back_will(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        let will = session.and_then(|session| session.take_will(&mut self.metrics));
        if let Some(session) = will.and_then(|will| will.number) {
            self.ledger.record(&Record::Unwilled { session });
        }
    }

    /// The delay of the session's will is over.
    pub(crate) fn will_due(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.will_at = None;
            // [MQTT-3.1.2-10]
            if let Some(will) = session.take_will(&mut self.metrics) {
                self.due_wills.push_back(DueWill {
                    will: will.will,
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
        let mut is_refused = false;
        // Nobody can be told to send it again later, and whoever sends it is gone: it reaches
        // those who are there. A retained one is stored when there is room again.
        if is_stored && self.may_lack_room_for(&publish) {
            let lasting = self.lasting_recipients(due.session, &publish);
            let is_needed = publish.retain || lasting > 0;
            is_refused = is_needed && self.lacks_room(Needs::of(&publish), lasting);
        }
        if is_refused {
            publish.qos = QoS::AtMostOnce;
            self.metrics.wills_not_stored += 1;
            self.bites.note(Limit::Store, Some(&due.publisher));
        }
        let routed = Routed::fresh(publish, due.publisher);
        self.route(now, routed, due.session, due.cause);
    }
}
