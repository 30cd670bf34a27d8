//! A message while it is handed out: encoded once for all who get the same form.

use std::sync::Arc;

use mqtt::{
    EncodeError, Instant, ProtocolVersion, Publish, PublishForm, PublishTemplate, TopicForm,
    Utf8String,
};

use crate::delivery::send::Sendable;
use crate::types::{Delivery, Message, MessageId, Subscriber, Tally, cost, topic};

/// A message while it is handed out: what has been encoded is used again, and a copy to
/// keep is made once, when the first session needs it.
#[derive(Debug)]
pub(crate) struct Routed {
    source: Source,
    /// Its name, should it be recorded.
    id: Option<MessageId>,
    /// Most messages have one form.
    first: Option<(Form, PublishTemplate)>,
    others: Vec<(Form, PublishTemplate)>,
}

// One at a time, on the stack: boxing it would cost an allocation a message.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Source {
    /// Slices of what was read from the network.
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

/// Which of the templates.
#[derive(Copy, Clone, Debug)]
enum Place {
    First,
    Other(usize),
}

/// How many forms of one message are kept. Without subscription identifiers there are at
/// most twelve, and as many again for each way to say the topic; with them there is one a client, each used once.
const MAX_TEMPLATES: usize = 16;

impl Routed {
    /// A message that has just come, from the client `publisher`: it has a topic, and no
    /// topic alias.
    pub(crate) fn fresh(publish: Publish, publisher: Utf8String) -> Self {
        Self {
            source: Source::Fresh { publish, publisher },
            id: None,
            first: None,
            others: Vec::new(),
        }
    }

    /// It will be the record `id`, or none: [`settle`](Self::settle) says so.
    pub(crate) fn number(&mut self, id: Option<MessageId>) {
        self.id = id;
    }

    /// Whether it is in the record that it was numbered for.
    pub(crate) fn settle(&mut self, is_recorded: bool, tally: &Tally) {
        if let (Source::Kept(message), Some(id)) = (&self.source, self.id) {
            if is_recorded {
                message.count(tally);
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

    /// How a member of a group gets it.
    pub(crate) fn delivery_to(&self, member: &Subscriber) -> Delivery {
        let publish = self.publish();
        Delivery {
            // [MQTT-4.8.2-3]
            qos: publish.qos.min(member.qos),
            retain: publish.retain && member.retain_as_published,
            identifiers: member.identifier.into(),
        }
    }

    /// What a copy to keep costs.
    pub(crate) fn cost(&self) -> usize {
        match &self.source {
            Source::Fresh { publish, .. } => cost(publish),
            Source::Kept(message) => message.cost(),
        }
    }

    /// Who published it.
    pub(crate) fn publisher(&self) -> &Utf8String {
        match &self.source {
            Source::Fresh { publisher, .. } => publisher,
            Source::Kept(message) => &message.publisher,
        }
    }

    /// A copy to keep: the same for all who ask.
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

    /// Encodes it for one session: once for all that get the same form.
    pub(super) fn template(
        &mut self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<&PublishTemplate, EncodeError> {
        let place = self.place(version, delivery, topic)?;
        self.at(place)
    }

    /// Which of the templates has this form. It is made if there is none.
    fn place(
        &mut self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<Place, EncodeError> {
        let is = |(form, _): &(Form, PublishTemplate)| {
            form.version == version && form.topic == topic && form.delivery == *delivery
        };
        let place = match &self.first {
            None => None,
            Some(first) if is(first) => Some(Place::First),
            Some(_) => self.others.iter().position(is).map(Place::Other),
        };
        match place {
            Some(place) => Ok(place),
            None => self.add(version, delivery, topic),
        }
    }

    fn at(&self, place: Place) -> Result<&PublishTemplate, EncodeError> {
        match (place, &self.first) {
            (Place::First, Some((_, template))) => Ok(template),
            (Place::Other(at), _) => Ok(&self.others[at].1),
            (Place::First, None) => Err(EncodeError::Invalid("no template")),
        }
    }

    fn add(
        &mut self,
        version: ProtocolVersion,
        delivery: &Delivery,
        topic: TopicForm,
    ) -> Result<Place, EncodeError> {
        let template = template(self.publish(), version, delivery, topic)?;
        let form = Form {
            version,
            delivery: delivery.clone(),
            topic,
        };
        let made = (form, template);
        if self.first.is_none() {
            self.first = Some(made);
            return Ok(Place::First);
        }
        if self.others.len() >= MAX_TEMPLATES {
            self.others.pop();
        }
        self.others.push(made);
        Ok(Place::Other(self.others.len() - 1))
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

/// A message that waited is encoded for one session alone.
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
