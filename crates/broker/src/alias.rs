//! Topic aliases, one table for each direction of a connection (section 3.3.2.3.4). None
//! outlives its connection `[MQTT-3.3.2-7]`.

use mqtt::{Publish, ReasonCode, TopicName};

use crate::broker::violation;
use crate::limits::Limits;
use crate::output::CloseCause;

/// What the client's aliases stand for, from alias 1 on.
#[derive(Debug, Default)]
pub(crate) struct ClientAliases(Vec<Target>);

#[derive(Clone, Debug, Default)]
enum Target {
    #[default]
    Nothing,
    Topic(TopicName),
    /// A topic that is refused whenever it is published to, and so need not be held.
    Refused(&'static str),
}

impl ClientAliases {
    /// Sees to it that `publish` has a topic, for which its alias may stand, and no alias. Or
    /// says why its topic is refused.
    pub(crate) fn resolve(
        &mut self,
        publish: &mut Publish,
        limits: &Limits,
    ) -> Result<Option<&'static str>, CloseCause> {
        let Some(alias) = publish.properties.topic_alias.take() else {
            return match &publish.topic {
                Some(_) => Ok(None),
                None => Err(violation(
                    ReasonCode::ProtocolError,
                    "neither a topic name nor a topic alias (section 3.3.2.1)",
                )),
            };
        };
        if alias.get() > limits.topic_alias_maximum {
            return Err(violation(
                ReasonCode::TopicAliasInvalid,
                "a topic alias above Topic Alias Maximum [MQTT-3.3.2-9]",
            ));
        }
        let at = usize::from(alias.get()) - 1;
        if let Some(topic) = &publish.topic {
            if self.0.len() <= at {
                self.0.resize(at + 1, Target::Nothing);
            }
            // It stands for the topic from now on, be this very message accepted or not.
            self.0[at] = match limits.check_topic(topic) {
                Ok(()) => Target::Topic(topic.detach()),
                Err(what) => Target::Refused(what),
            };
            return Ok(None);
        }
        match self.0.get(at) {
            Some(Target::Topic(topic)) => {
                publish.topic = Some(topic.clone());
                Ok(None)
            }
            Some(Target::Refused(what)) => Ok(Some(what)),
            Some(Target::Nothing) | None => Err(violation(
                ReasonCode::ProtocolError,
                "a topic alias that stands for nothing (section 3.3.2.3.4)",
            )),
        }
    }
}
