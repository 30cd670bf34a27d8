//! A message while it is delivered, encoded once for all sessions that get the same form.

use std::sync::Arc;

use mqtt::{
    EncodeError, Instant, ProtocolVersion, Publish, PublishForm, PublishTemplate, TopicForm,
    Utf8String,
};

use crate::delivery::send::Sendable;
use crate::types::{Delivery, Message, MessageBytes, MessageId, Subscriber, cost, topic};

/// A message while it is delivered. Each encoded form serves all sessions that need it. A copy to
/// keep is made only once, when the first session needs one.
#[derive(Debug)]
pub(crate) struct Routed {
    source: Source,
    /// The message's name in records, if it is recorded.
    id: Option<MessageId>,
    /// Most messages have one form.
    first: Option<(Form, PublishTemplate)>,
    others: Vec<(Form, PublishTemplate)>,
}

// Only one exists at a time, on the stack. A box would cost an allocation for each message.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Source {
    /// Slices of the read buffer.
    Fresh {
        publish: Publish,
        publisher: Utf8String,
    },
    Kept(Arc<Message>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Form {
    version: ProtocolVersion,
    delivery: Delivery,
    topic: TopicForm,
}

/// Where a template is.
#[derive(Copy, Clone, Debug)]
enum TemplatePlace {
    First,
    Other(usize),
}

/// How many forms of one message are kept. Without subscription identifiers there are at most
/// twelve, and as many again for each way to name the topic. With identifiers there may be one form
/// for each client, used only once.
const MAX_TEMPLATES: usize = 16;

impl Routed {
    /// A message that the client `publisher` has just published. It has a topic and no topic
    /// alias.
    pub(crate) fn fresh(publish: Publish, publisher: Utf8String) -> Self {
        Self {
            source: Source::Fresh { publish, publisher },
            id: None,
            first: None,
            others: Vec::new(),
        }
    }

    /// Sets the number of the record that the message may become. [`settle`](Self::settle) says
    /// whether it did.
    pub(crate) fn number(&mut self, id: Option<MessageId>) {
        self.id = id;
    }

    /// Notes whether the message has become that record.
    pub(crate) fn settle(&mut self, is_recorded: bool, message_bytes: &MessageBytes) {
        if let (Source::Kept(message), Some(id)) = (&self.source, self.id) {
            if is_recorded {
                message.count(message_bytes);
                message.set_stored(id, id.lsn());
            } else {
                message.forget_id();
            }
        }
    }

    pub(crate) fn publish(&self) -> &Publish {
        match &self.source {
            Source::Fresh { publish, .. } => publish,
            Source::Kept(message) => &message.publish,
        }
    }

    pub(crate) fn topic(&self) -> &str {
        topic(self.publish())
    }

    /// How a member of a group gets the message.
    pub(crate) fn delivery_to(&self, member: &Subscriber) -> Delivery {
        let publish = self.publish();
        Delivery {
            // [MQTT-4.8.2-3]
            qos: publish.qos.min(member.qos),
            retain: publish.retain && member.retain_as_published,
            identifiers: member.identifier.into(),
        }
    }

    /// Bytes of memory of a copy to keep.
    pub(crate) fn cost(&self) -> usize {
        match &self.source {
            Source::Fresh { publish, .. } => cost(publish),
            Source::Kept(message) => message.cost(),
        }
    }

    /// The client that published it.
    pub(crate) fn publisher(&self) -> &Utf8String {
        match &self.source {
            Source::Fresh { publisher, .. } => publisher,
            Source::Kept(message) => &message.publisher,
        }
    }

    /// A copy to keep. All callers get the same one.
    pub(crate) fn keep(&mut self, now: Instant) -> Arc<Message> {
        match &self.source {
            Source::Kept(message) => Arc::clone(message),
            Source::Fresh { publish, publisher } => {
                let message = Message::new(now, publish, publisher);
                if let Some(id) = self.id {
                    message.set_id(id);
                }
                let message = Arc::new(message);
                self.source = Source::Kept(Arc::clone(&message));
                message
            }
        }
    }

    /// The encoded message for one session. Sessions that get the same form share it.
    pub(super) fn template(
        &mut self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<&PublishTemplate, EncodeError> {
        let place = self.place(version, delivery, topic)?;
        self.at(place)
    }

    /// Where the template with this form is. Makes it if there is none.
    fn place(
        &mut self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<TemplatePlace, EncodeError> {
        let is = |(form, _): &(Form, PublishTemplate)| {
            form.version == version && form.topic == topic && form.delivery == *delivery
        };
        let place = match &self.first {
            None => None,
            Some(first) if is(first) => Some(TemplatePlace::First),
            Some(_) => self.others.iter().position(is).map(TemplatePlace::Other),
        };
        match place {
            Some(place) => Ok(place),
            None => self.add(version, delivery, topic),
        }
    }

    fn at(&self, place: TemplatePlace) -> Result<&PublishTemplate, EncodeError> {
        match (place, &self.first) {
            (TemplatePlace::First, Some((_, template))) => Ok(template),
            (TemplatePlace::Other(at), _) => Ok(&self.others[at].1),
            (TemplatePlace::First, None) => Err(EncodeError::Invalid("no template")),
        }
    }

    fn add(
        &mut self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<TemplatePlace, EncodeError> {
        let template = template(self.publish(), version, delivery, topic)?;
        let form = Form {
            version,
            delivery: delivery.clone(),
            topic,
        };
        let made = (form, template);
        if self.first.is_none() {
            self.first = Some(made);
            return Ok(TemplatePlace::First);
        }
        if self.others.len() >= MAX_TEMPLATES {
            self.others.pop();
        }
        self.others.push(made);
        Ok(TemplatePlace::Other(self.others.len() - 1))
    }
}

impl From<Arc<Message>> for Routed {
    fn from(message: Arc<Message>) -> Self {
        Self {
            id: message.id(),
            source: Source::Kept(message),
            first: None,
            others: Vec::new(),
        }
    }
}

pub(super) fn template(
    publish: &Publish,
    version: ProtocolVersion,
    delivery: &Delivery,
    topic: TopicForm,
) -> Result<PublishTemplate, EncodeError> {
    let form = PublishForm {
        qos: delivery.qos,
        retain: delivery.retain,
        topic,
        subscription_identifiers: delivery.identifiers.as_slice(),
    };
    PublishTemplate::new(publish, version, &form)
}

impl<'m> Sendable<'m> for &'m mut Routed {
    type Template = &'m PublishTemplate;

    fn publish(&self) -> &Publish {
        Routed::publish(self)
    }

    fn remaining_expiry(&self, now: Instant) -> Option<u32> {
        match &self.source {
            Source::Fresh { .. } => None,
            Source::Kept(message) => message.remaining_expiry(now),
        }
    }

    fn encode(
        self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<(&'m str, &'m PublishTemplate), EncodeError> {
        let place = self.place(version, delivery, topic)?;
        Ok((self.topic(), self.at(place)?))
    }
}

/// A message from a queue is encoded for one session alone.
impl<'m> Sendable<'m> for &'m Message {
    type Template = PublishTemplate;

    fn publish(&self) -> &Publish {
        &self.publish
    }

    fn remaining_expiry(&self, now: Instant) -> Option<u32> {
        Message::remaining_expiry(self, now)
    }

    fn encode(
        self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<(&'m str, PublishTemplate), EncodeError> {
        let template = template(&self.publish, version, delivery, topic)?;
        Ok((self.topic(), template))
    }
}
