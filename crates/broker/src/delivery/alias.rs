//! Topic aliases, one table for each direction of a connection (section 3.3.2.3.4). None
//! outlives its connection `[MQTT-3.3.2-7]`.

use core::num::NonZeroU16;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{Publish, ReasonCode, TopicForm, TopicName};

use crate::admission::MemoryBudget;
use crate::types::{BadTopic, CloseCause, Limits, ThinVec, violation};

/// The topics of the client's aliases, from alias 1 on.
#[derive(Debug, Default)]
pub(crate) struct ClientAliases(ThinVec<Target>);

#[derive(Clone, Debug, Default)]
enum Target {
    #[default]
    Nothing,
    Topic(TopicName),
    /// A topic that is always refused. It stands for any such topic, so their names need not be
    /// stored.
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
    /// Bytes of memory that the aliases take, approximately. Looks at all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(Target::bytes).sum()
    }

    /// Replaces the topic alias of `publish` by its topic, or stores the topic for a new alias.
    /// Returns why the topic is refused, if it is. Counts the memory that aliases take.
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
            // The alias stands for the topic from now on, even if this message is refused.
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
                "a topic alias that was never set (section 3.3.2.3.4)",
            )),
        }
    }
}

/// The topics of the server's aliases: the first topics of a connection that are worth an alias.
#[derive(Debug)]
pub(crate) struct ServerAliases {
    by_topic: HashMap<Box<str>, NonZeroU16, FixedState>,
    /// The most aliases that there may be.
    most: u16,
    /// Bytes of memory that they take, approximately.
    bytes: u64,
}

/// How a message names its topic to one client.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Naming {
    #[default]
    Name,
    /// By its name, and with an alias that stands for it from now on.
    Introduce(NonZeroU16),
    /// By the alias alone.
    Alias(NonZeroU16),
}

impl ServerAliases {
    /// The shortest topic that is worth an alias. An alias takes three bytes.
    const SHORTEST: usize = 8;
    /// The longest topic that gets an alias.
    const LONGEST: usize = 256;

    /// An empty table for `most` aliases. `None` if that is 0 `[MQTT-3.1.2-27]`.
    pub(crate) fn up_to(most: u16, seed: u64) -> Option<Box<Self>> {
        (most > 0).then(|| {
            Box::new(Self {
                by_topic: HashMap::with_hasher(FixedState::with_seed(seed)),
                most,
                bytes: 0,
            })
        })
    }

    /// Bytes of memory that they take, approximately.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How a message to `topic` names the topic. An alias is never above the client's Topic Alias
    /// Maximum `[MQTT-3.1.2-26]`.
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

    /// Notes that a message to `topic` was written with this naming. Counts the memory that
    /// aliases take.
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
    /// How the packet names its topic. The form is the same for all aliases, because the number
    /// itself is in the [`TemplatePatch`](mqtt::TemplatePatch).
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
