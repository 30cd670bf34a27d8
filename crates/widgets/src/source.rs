//! Turns an element's attributes into topic filters.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use mqtt::TopicFilter;

/// The device that the attributes name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The device's id.
    pub(crate) device: String,
    /// The prefix of its topics.
    pub(crate) prefix: String,
    /// Filters for the topics that it may publish to.
    pub(crate) filters: Vec<TopicFilter>,
}

impl Source {
    /// The device of this id under `prefix`, whichever convention it follows. Only what one device
    /// publishes is subscribed to: an element must not pull a whole fleet into somebody's page.
    ///
    /// An error is what the element shows instead.
    pub(crate) fn new(device: &str, prefix: &str) -> Result<Self, &'static str> {
        const NO_FILTER: &str = "this device id cannot be a topic";
        // An id with a wildcard in it would ask for other devices too. `$` begins the broker's own
        // topics, and subscriptions that take messages away from others.
        let is_wildcard = |byte| byte == b'+' || byte == b'#';
        let is_special = device.starts_with('$') || prefix.starts_with('$');
        if is_special || device.bytes().chain(prefix.bytes()).any(is_wildcard) {
            return Err(NO_FILTER);
        }
        let filters = fleet::topic_filters(prefix, device).into_iter();
        let filters: Result<Vec<_>, _> = filters.map(TopicFilter::try_from).collect();
        Ok(Self {
            device: device.to_owned(),
            prefix: prefix.to_owned(),
            filters: filters.map_err(|_| NO_FILTER)?,
        })
    }
}

impl Source {
    /// The full ids that the device may have: a device may also publish under the bare id.
    pub(crate) fn ids(&self) -> [String; 2] {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        [
            [&self.prefix, slash, &self.device].concat(),
            self.device.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(device: &str, prefix: &str) -> Vec<String> {
        let source = Source::new(device, prefix).unwrap();
        source
            .filters
            .iter()
            .map(|filter| filter.as_str().to_owned())
            .collect()
    }

    #[test]
    fn asks_for_one_device_only() {
        assert_eq!(
            topics("pump-7", "beaconry"),
            [
                "beaconry/register/pump-7",
                "beaconry/data/pump-7",
                "presence/pump-7",
                "pump-7/#"
            ]
        );
        assert_eq!(topics("pump-7", "site/a")[0], "site/a/register/pump-7");
        // A slash at the beginning makes another device.
        assert!(topics("/home/kitchen", "beaconry").contains(&"/home/kitchen/#".to_owned()));
        assert!(!topics("/home/kitchen", "beaconry").contains(&"home/kitchen/#".to_owned()));
        assert!(topics("site/a/pump-7", "beaconry").contains(&"site/a/register/pump-7".to_owned()));
    }

    #[test]
    fn refuses_what_would_ask_for_others() {
        for (device, prefix) in [
            ("#", "beaconry"),
            ("a/+", "beaconry"),
            ("a", "#"),
            ("a\0b", "beaconry"),
            ("$share/g/a", "beaconry"),
            ("a", "$SYS"),
        ] {
            assert_eq!(
                Source::new(device, prefix),
                Err("this device id cannot be a topic"),
                "{device}"
            );
        }
    }
}
