//! Raw JSON: parts of a message that stay exactly as the sender wrote them.
//!
//! A number with twenty digits, or an object with its members in some order, passes through unchanged.
//! The parser finds only where a value ends, and never converts it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Where a text is not the expected JSON.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct BadJson {
    /// The line, counted from 1.
    pub line: usize,
    /// The byte within the line, counted from 1; 0 before the first.
    pub column: usize,
}

impl fmt::Display for BadJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl core::error::Error for BadJson {}

impl From<serde_json::Error> for BadJson {
    fn from(error: serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// One JSON value, as it was written.
#[derive(Clone, Debug)]
pub struct Raw<'a>(Cow<'a, RawValue>);

impl Raw<'_> {
    /// The value as JSON. `None` if JSON cannot represent it, such as a map whose keys are not strings.
    pub fn of(value: &impl Serialize) -> Option<Self> {
        let raw = serde_json::value::to_raw_value(value).ok()?;
        Some(Self(Cow::Owned(raw)))
    }

    /// Takes one JSON value, without white space around it.
    pub fn parse(json: String) -> Result<Self, BadJson> {
        let raw: Box<RawValue> = RawValue::from_string(json)?;
        Ok(Self(Cow::Owned(raw)))
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The value as a `T`, if it is one.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.as_json().as_bytes()).ok()
    }

    /// The characters of a JSON string. `None` for any other value.
    pub fn text(&self) -> Option<String> {
        text_of(self.as_json())
    }

    /// Whether this is `null`, `false` or an empty string.
    pub fn is_nothing(&self) -> bool {
        is_nothing(self.as_json())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(Cow::Borrowed(raw)))
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

pub(crate) fn is_nothing(json: &str) -> bool {
    matches!(json, "null" | "false" | "\"\"")
}

/// The members of an object, as they were written and in their order.
#[derive(Clone, Default, Debug)]
pub struct Members<'a>(Vec<(String, Raw<'a>)>);

impl<'a> Members<'a> {
    /// Parses the members of one JSON object.
    pub fn parse(json: &'a str) -> Result<Self, BadJson> {
        Ok(serde_json::from_slice(json.as_bytes())?)
    }

    /// Adds a member.
    pub fn push(&mut self, name: &str, value: Raw<'a>) {
        self.0.push((String::from(name), value));
    }

    /// Removes the members with this name, and returns the last one. Most JSON readers use the last one
    /// too.
    pub fn take(&mut self, name: &str) -> Option<Raw<'a>> {
        let mut taken = None;
        while let Some(index) = self.0.iter().position(|(known, _)| known == name) {
            taken = Some(self.0.remove(index).1);
        }
        taken
    }

    /// The member with this name as a `T`, if it exists and is one.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let (_, value) = self.0.iter().rev().find(|(known, _)| known == name)?;
        value.read()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The characters of a JSON string such as `"PONG"`. `None` for any other text.
pub fn text_of(json: &str) -> Option<String> {
    serde_json::from_slice(json.as_bytes()).ok()
}

/// The text as a JSON string, with quotes.
pub fn quoted(text: &str) -> String {
    // Writing a string into memory does not fail.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_stay_as_they_were_written() {
        let text = r#"{"z":12345678901234567890123,"a":{ "x" : [1,2] },"b\n":"c\""}"#;
        let members = Members::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&members).unwrap(), text);
        let names: Vec<_> = members.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["z", "a", "b\n"]);
    }

    #[test]
    fn the_place_where_it_is_no_object_is_reported() {
        let wrong = |text| Members::parse(text).unwrap_err();
        assert_eq!(wrong("[]"), BadJson { line: 1, column: 0 });
        assert_eq!(wrong("{} {}"), BadJson { line: 1, column: 4 });
        assert_eq!(wrong("{\n\"a\" 1}"), BadJson { line: 2, column: 5 });
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        let mut members = Members::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(members.read("a"), Some(3));
        assert_eq!(members.read::<String>("a"), None);
        assert_eq!(members.take("a").unwrap().as_json(), "3");
        assert_eq!(members.iter().count(), 1);
        assert!(members.take("a").is_none());
    }

    proptest! {
        #[test]
        fn quoting_and_reading_are_inverse(text in any::<String>()) {
            prop_assert_eq!(text_of(&quoted(&text)), Some(text));
        }
    }
}
