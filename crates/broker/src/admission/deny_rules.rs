//! The simplest rules: topic filters that nobody may publish to, or subscribe to.

use mqtt::{TopicFilter, filter_covers, filters_overlap, topic_matches};

use crate::types::{Access, Reach};

/// Topic filters that are denied to every client. Everything else is allowed.
///
/// ```
/// use broker::{DenyRules, Grants, Reach};
/// use mqtt::TopicFilter;
///
/// let secret = TopicFilter::try_from("plant/+/secret/#").unwrap();
/// let grants = Grants::new(DenyRules::new(vec![], vec![secret]));
/// assert_eq!(grants.reach("plant/1/secret"), Reach::Nothing);
/// assert_eq!(grants.reach("plant/#"), Reach::Part);
/// assert!(grants.may_receive("plant/1/temp") && !grants.may_receive("plant/1/secret/key"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyRules {
    publish: Box<[TopicFilter]>,
    subscribe: Box<[TopicFilter]>,
}

impl DenyRules {
    /// Denies publishing to topics that match one of `publish`, and receiving topics that match
    /// one of `subscribe`. A shared subscription `$share/{name}/{filter}` counts as its
    /// `{filter}`.
    #[must_use]
    pub fn new(publish: Vec<TopicFilter>, subscribe: Vec<TopicFilter>) -> Self {
        Self {
            publish: publish.into(),
            subscribe: subscribe.into(),
        }
    }

    /// Whether nothing is denied.
    pub fn is_empty(&self) -> bool {
        self.publish.is_empty() && self.subscribe.is_empty()
    }
}

impl Access for DenyRules {
    fn may_publish(&self, topic: &str) -> bool {
        !self
            .publish
            .iter()
            .any(|it| topic_matches(inner(it), topic))
    }

    fn may_receive(&self, topic: &str) -> bool {
        let mut denied = self.subscribe.iter();
        !denied.any(|it| topic_matches(inner(it), topic))
    }

    fn reach(&self, filter: &str) -> Reach {
        let denied = || self.subscribe.iter().map(inner);
        if denied().any(|it| filter_covers(it, filter)) {
            Reach::Nothing
        } else if denied().any(|it| filters_overlap(it, filter)) {
            Reach::Part
        } else {
            Reach::All
        }
    }
}

/// A filter without `$share/{name}/`.
fn inner(filter: &TopicFilter) -> &str {
    filter.shared().map_or(filter.as_str(), |(_, inner)| inner)
}
