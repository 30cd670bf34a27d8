//! Of which topics the values are recorded.

use mqtt::{TopicFilter, TopicName};

/// The topics that are recorded: those of `include`, or all if there are none there, but for those of `exclude`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) include: Vec<TopicFilter>,
    pub(crate) exclude: Vec<TopicFilter>,
}

impl Chosen {
    /// Whether the values of this topic are recorded.
    pub(crate) fn has(&self, topic: &str) -> bool {
        if self.include.is_empty() && self.exclude.is_empty() {
            return true;
        }
        // The broker takes no other topics.
        let Ok(topic) = TopicName::try_from(topic) else {
            return false;
        };
        let fits = |filter: &TopicFilter| filter.matches(&topic);
        (self.include.is_empty() || self.include.iter().any(fits)) && !self.exclude.iter().any(fits)
    }
}
