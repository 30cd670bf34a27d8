//! Turns an element's attributes into topic filters.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use mqtt::TopicFilter;

/// The prefix of a device for which the element names none.
pub(crate) const DEFAULT_PREFIX: &str = "beaconry";

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

/// Why an element can show nothing. The element shows this text instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SourceError {
    /// No `device` attribute, or an empty one.
    NoDevice,
    /// A device or prefix that no topic filter can name.
    NoFilter,
}

impl SourceError {
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::NoDevice => "give the attribute device=\"…\"",
            Self::NoFilter => "this device id cannot be a topic",
        }
    }
}

impl Source {
    /// The device of this id under `prefix`, whichever convention it follows. Only what one device
    /// publishes is subscribed to: an element must not pull a whole fleet into somebody's page.
    pub(crate) fn new(device: &str, prefix: Option<&str>) -> Result<Self, SourceError> {
        let device = device.trim_ascii();
        if device.is_empty() {
            return Err(SourceError::NoDevice);
        }
        let prefix = prefix.unwrap_or(DEFAULT_PREFIX).trim_matches('/');
        // An id with a wildcard in it would ask for other devices too. `$` begins the broker's own
        // topics, and subscriptions that take messages away from others.
        let is_wildcard = |byte| byte == b'+' || byte == b'#';
        let is_special = device.starts_with('$') || prefix.starts_with('$');
        if is_special || device.bytes().chain(prefix.bytes()).any(is_wildcard) {
            return Err(SourceError::NoFilter);
        }
        let filters = fleet::topic_filters(prefix, device).into_iter();
        let filters: Result<Vec<_>, _> = filters.map(TopicFilter::try_from).collect();
        Ok(Self {
            device: device.to_owned(),
            prefix: prefix.to_owned(),
            filters: filters.map_err(|_| SourceError::NoFilter)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(device: &str, prefix: Option<&str>) -> Vec<String> {
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
            topics("pump-7", None),
            [
                "beaconry/register/pump-7",
                "beaconry/data/pump-7",
                "presence/pump-7",
                "pump-7/#"
            ]
        );
        assert_eq!(
            topics("pump-7", Some("site/a"))[0],
            "site/a/register/pump-7"
        );
        assert!(topics("site/a/pump-7", None).contains(&"site/a/register/pump-7".to_owned()));
    }

    #[test]
    fn refuses_what_would_ask_for_others() {
        assert_eq!(Source::new(" ", None), Err(SourceError::NoDevice));
        for (device, prefix) in [
            ("#", None),
            ("a/+", None),
            ("a", Some("#")),
            ("a\0b", None),
            ("$share/g/a", None),
            ("a", Some("$SYS")),
        ] {
            assert_eq!(
                Source::new(device, prefix),
                Err(SourceError::NoFilter),
                "{device}"
            );
        }
    }
}
