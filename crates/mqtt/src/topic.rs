//! Topic names and topic filters (section 4.7).

use core::fmt;
use core::ops::Deref;

use alloc::string::String;
use bytes::Bytes;

use crate::packet::ProtocolVersion;
use crate::text::{TextError, Utf8String};

/// A topic name, which a message is published to. It is not empty and has no wildcard
/// `[MQTT-4.7.1-1]` `[MQTT-4.7.3-1]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Utf8String);

/// A topic filter, which a subscription asks for. `+` matches one whole level, `#` matches all
/// levels that follow `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]`. The filter may be shared:
/// `$share/{name}/{filter}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Utf8String);

/// Why a text is not a topic name or not a topic filter.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The text is empty `[MQTT-4.7.3-1]`.
    #[error("is empty")]
    Empty,
    /// A topic name contains `+` or `#` `[MQTT-3.3.2-2]`.
    #[error("name contains a wildcard")]
    WildcardInName,
    /// A `#` is not the whole last level `[MQTT-4.7.1-1]`.
    #[error("filter has a '#' that is not its whole last level")]
    MultiLevelWildcard,
    /// A `+` is not a whole level `[MQTT-4.7.1-2]`.
    #[error("filter has a '+' that is not a whole level")]
    SingleLevelWildcard,
    /// `$share` comes without a valid share name or filter `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]`.
    #[error("filter is not a well-formed shared subscription")]
    Share,
    /// The text is not a UTF-8 Encoded String.
    #[error("is {0}")]
    Text(#[from] TextError),
}

impl TopicName {
    /// Checks `text` and makes it a topic name.
    pub fn new(text: Utf8String) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.as_bytes().iter().any(|b| matches!(b, b'+' | b'#')) {
            return Err(TopicError::WildcardInName);
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_text(&self) -> &Utf8String {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A copy that holds no memory but its own bytes.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self(self.0.detach())
    }
}

impl TopicFilter {
    /// Checks `text` and makes it a topic filter.
    pub fn new(text: Utf8String) -> Result<Self, TopicError> {
        check_filter(&text)?;
        Ok(Self(text))
    }

    /// Checks `text` as a client of this version may send it.
    ///
    /// Version 3.1.1 by itself has no shared subscriptions: there `$share/x` is a filter like
    /// others, so a packet that contains it is not malformed. It is [no shared
    /// subscription](Self::shared), and the server decides how to answer
    /// [it](Self::is_malformed_share).
    pub(crate) fn of_version(
        version: ProtocolVersion,
        text: Utf8String,
    ) -> Result<Self, TopicError> {
        match check_filter(&text) {
            Err(TopicError::Share) if version == ProtocolVersion::V3_1_1 => check_levels(&text)?,
            checked => checked?,
        }
        Ok(Self(text))
    }

    /// The text, with `$share/…/` if the filter is shared.
    pub fn as_text(&self) -> &Utf8String {
        &self.0
    }

    /// The text, with `$share/…/` if the filter is shared.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The share name and the inner filter of a shared subscription.
    pub fn shared(&self) -> Option<(&str, &str)> {
        share(self.as_str().strip_prefix("$share/")?)
    }

    /// Whether the filter begins like a shared subscription but is not a valid one `[MQTT-4.8.2-1]`
    /// `[MQTT-4.8.2-2]`. Only a version 3.1.1 client can have sent such a filter.
    pub fn is_malformed_share(&self) -> bool {
        let is_share = self.as_str() == "$share" || self.as_str().starts_with("$share/");
        is_share && self.shared().is_none()
    }

    /// Whether the filter (of a shared subscription: the inner filter) has a wildcard.
    pub fn has_wildcard(&self) -> bool {
        self.0.as_bytes().iter().any(|b| matches!(b, b'+' | b'#'))
    }

    /// Whether the filter (of a shared subscription: the inner filter) matches `topic`.
    pub fn matches(&self, topic: &TopicName) -> bool {
        let filter = self.shared().map_or(self.as_str(), |(_, filter)| filter);
        topic_matches(filter, topic.as_str())
    }

    /// A copy that holds no memory but its own bytes.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self(self.0.detach())
    }
}

fn check_filter(text: &str) -> Result<(), TopicError> {
    let proper = match text.strip_prefix("$share/") {
        None if text == "$share" => return Err(TopicError::Share),
        None => text,
        Some(rest) => share(rest).ok_or(TopicError::Share)?.1,
    };
    check_levels(proper)
}

/// The share name and the inner filter in the text behind `$share/`.
fn share(rest: &str) -> Option<(&str, &str)> {
    rest.split_once('/').filter(|(name, filter)| {
        !name.is_empty() && !name.contains(['+', '#']) && !filter.is_empty()
    })
}

fn check_levels(proper: &str) -> Result<(), TopicError> {
    if proper.is_empty() {
        return Err(TopicError::Empty);
    }
    let mut levels = proper.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MultiLevelWildcard);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::SingleLevelWildcard);
        }
    }
    Ok(())
}

/// Whether `filter` matches `topic`. Both must be well formed, and `filter` must not have `$share`.
///
/// A filter that starts with a wildcard does not match a topic that starts with `$`
/// `[MQTT-4.7.2-1]`; `a/#` matches `a` too.
pub fn topic_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_none()
}

macro_rules! text_conversions {
    ($name:ident) => {
        impl TryFrom<&str> for $name {
            type Error = TopicError;

            fn try_from(text: &str) -> Result<Self, TopicError> {
                Self::new(Utf8String::try_from(text)?)
            }
        }

        impl TryFrom<String> for $name {
            type Error = TopicError;

            fn try_from(text: String) -> Result<Self, TopicError> {
                Self::new(Utf8String::try_from(text)?)
            }
        }

        impl TryFrom<Bytes> for $name {
            type Error = TopicError;

            fn try_from(text: Bytes) -> Result<Self, TopicError> {
                Self::new(Utf8String::from_bytes(text)?)
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

text_conversions!(TopicName);
text_conversions!(TopicFilter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_4_7_1_examples_of_the_standard() {
        let cases = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/wimbledon",
                true,
            ),
            ("sport/#", "sport", true),
            ("#", "a/b/c", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("ACCOUNTS", "Accounts", false),
        ];
        for (filter, topic, expected) in cases {
            let filter = TopicFilter::try_from(filter).unwrap();
            let topic = TopicName::try_from(topic).unwrap();
            assert_eq!(filter.matches(&topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn mqtt_4_7_1_refuses_misplaced_wildcards() {
        for (filter, error) in [
            ("", TopicError::Empty),
            ("sport/tennis#", TopicError::MultiLevelWildcard),
            ("sport/tennis/#/ranking", TopicError::MultiLevelWildcard),
            ("sport+", TopicError::SingleLevelWildcard),
            ("$share/a", TopicError::Share),
            ("$share//a", TopicError::Share),
            ("$share/+/a", TopicError::Share),
            ("$share/a/", TopicError::Share),
        ] {
            assert_eq!(TopicFilter::try_from(filter), Err(error), "{filter}");
        }
        assert_eq!(TopicName::try_from("a/+"), Err(TopicError::WildcardInName));
        assert_eq!(TopicName::try_from(""), Err(TopicError::Empty));
    }

    /// Only version 5 calls these filters malformed. In 3.1.1 they are ordinary filters if their
    /// levels are valid.
    #[test]
    fn mqtt_4_8_2_1_only_version_5_has_share_names() {
        let of = |version, text: &str| {
            TopicFilter::of_version(version, Utf8String::try_from(text).unwrap())
        };
        for text in [
            "$share",
            "$share/",
            "$share/x",
            "$share//t",
            "$share/g/",
            "$share/+/t",
            "$share/#",
        ] {
            assert_eq!(
                of(ProtocolVersion::V5, text),
                Err(TopicError::Share),
                "{text}"
            );
            let filter = of(ProtocolVersion::V3_1_1, text).unwrap();
            assert_eq!(
                (filter.shared(), filter.is_malformed_share()),
                (None, true),
                "{text}"
            );
        }
        for text in ["$share/g+/t", "$share/#/t", "$share/g/a#", ""] {
            assert!(of(ProtocolVersion::V3_1_1, text).is_err(), "{text}");
        }
        for (text, shared) in [("$share/g/t", Some(("g", "t"))), ("$shared/x", None)] {
            let filter = of(ProtocolVersion::V3_1_1, text).unwrap();
            assert_eq!(
                (filter.shared(), filter.is_malformed_share()),
                (shared, false)
            );
        }
    }

    #[test]
    fn mqtt_4_8_2_a_shared_filter_matches_as_its_filter_proper() {
        let filter = TopicFilter::try_from("$share/g/a/+").unwrap();
        assert_eq!(filter.shared(), Some(("g", "a/+")));
        assert!(filter.matches(&TopicName::try_from("a/b").unwrap()));
    }
}
