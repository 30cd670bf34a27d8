//! Topic aliases, one table for each direction of a connection (section 3.3.2.3.4). None
//! outlives its connection `[MQTT-3.3.2-7]`.

use core::num::NonZeroU16;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{Publish, ReasonCode, TopicForm, TopicName};

use crate::admission::MemoryBudget;
use crate::types::{BadTopic, CloseCause, Limits, ThinVec, violation};

/// What the client's aliases stand for, from alias 1 on.
#[derive(Debug, Default)]
pub(crate) struct ClientAliases(ThinVec<Target>);

#[derive(Clone, Debug, Default)]
enum Target {
    #[default]
    Nothing,
    Topic(TopicName),
    /// A topic that is refused whenever it is published to, and so need not be held.
    Refused(BadTopic),
}

impl Target {
    fn bytes(&self) -> u64 {
        const EACH: u64 = 96;
        match self {
            Self::Topic(topic) => EACH + topic.len() as u64,
            Self::Nothing | Self::Refused(_) => EACH,
        }
    }
}

impl ClientAliases {
    /// Bytes of memory that they take, near enough. Looks at all.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(Target::bytes).sum()
    }

    /// Sees to it that `publish` has a topic, for which its alias may stand, and no alias. Or
    /// says why its topic is refused. What aliases take is counted in `bytes`.
    pub(crate) fn resolve(
        &mut self,
        publish: &mut Publish,
        limits: &Limits,
        memory: &mut MemoryBudget,
    ) -> Result<Option<BadTopic>, CloseCause> {
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
                let more = at + 1 - self.0.len();
                memory.change_aliases(0, more as u64 * Target::Nothing.bytes());
                self.0.to_mut().resize(at + 1, Target::Nothing);
            }
            // It stands for the topic from now on, be this very message accepted or not.
            let target = match limits.check_topic(topic) {
                Ok(()) => Target::Topic(topic.detach()),
                Err(bad) => Target::Refused(bad),
            };
            memory.change_aliases(self.0[at].bytes(), target.bytes());
            self.0.to_mut()[at] = target;
            return Ok(None);
        }
        match self.0.get(at) {
            Some(Target::Topic(topic)) => {
                publish.topic = Some(topic.clone());
                Ok(None)
            }
            Some(Target::Refused(bad)) => Ok(Some(*bad)),
            Some(Target::Nothing) | None => Err(violation(
                ReasonCode::ProtocolError,
                "a topic alias that stands for nothing (section 3.3.2.3.4)",
            )),
        }
    }
}

/// What the server's aliases stand for: the first topics of a connection that are worth it.
#[derive(Debug)]
pub(crate) struct ServerAliases {
    by_topic: HashMap<Box<str>, NonZeroU16, FixedState>,
    /// How many there may be.
    most: u16,
    /// What they take, near enough.
    bytes: u64,
}

/// How a message says its topic to one client.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Naming {
    #[default]
    Name,
    /// By its name, for which the alias stands from now on.
    Introduce(NonZeroU16),
    /// By the alias alone.
    Alias(NonZeroU16),
}

impl ServerAliases {
    /// The shortest topic that is worth an alias, which takes three bytes.
    const SHORTEST: usize = 8;
    /// The longest topic that is remembered.
    const LONGEST: usize = 256;

    /// `None` where there may be none `[MQTT-3.1.2-27]`.
    pub(crate) fn up_to(most: u16, seed: u64) -> Option<Box<Self>> {
        (most > 0).then(|| {
            Box::new(Self {
                by_topic: HashMap::with_hasher(FixedState::with_seed(seed)),
                most,
                bytes: 0,
            })
        })
    }

    /// Bytes of memory that they take, near enough.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How a message to `topic` says it: never above the client's Topic Alias Maximum
    /// `[MQTT-3.1.2-26]`.
    pub(crate) fn naming(&self, topic: &str) -> Naming {
        if let Some(alias) = self.by_topic.get(topic) {
            return Naming::Alias(*alias);
        }
        let is_worth_it = (Self::SHORTEST..=Self::LONGEST).contains(&topic.len());
        let next = u16::try_from(self.by_topic.len() + 1).unwrap_or(u16::MAX);
        match NonZeroU16::new(next) {
            Some(alias) if is_worth_it && next <= self.most => Naming::Introduce(alias),
            Some(_) | None => Naming::Name,
        }
    }

    /// A message to `topic` has been written so. What aliases take is counted in `bytes`.
    pub(crate) fn written(&mut self, topic: &str, naming: Naming, memory: &mut MemoryBudget) {
        const EACH: u64 = 64;
        match naming {
            Naming::Introduce(alias) => {
                let more = EACH + topic.len() as u64;
                self.bytes += more;
                memory.change_aliases(0, more);
                self.by_topic.insert(topic.into(), alias);
            }
            Naming::Name | Naming::Alias(_) => {}
        }
    }
}

impl Naming {
    /// The same for all aliases: which one it is stands in the
    /// [`TemplatePatch`](mqtt::TemplatePatch).
    pub(crate) const fn form(self) -> TopicForm {
        match self {
            Self::Name => TopicForm::Name,
            Self::Introduce(_) => TopicForm::NameAndAlias(NonZeroU16::MIN),
            Self::Alias(_) => TopicForm::Alias(NonZeroU16::MIN),
        }
    }

    pub(crate) const fn alias(self) -> Option<NonZeroU16> {
        match self {
            Self::Name => None,
            Self::Introduce(alias) | Self::Alias(alias) => Some(alias),
        }
    }
}
