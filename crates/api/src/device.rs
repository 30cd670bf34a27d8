//! What a device says about itself.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::fleet::KnownCommand;

/// What a device publishes to `{prefix}/register/{id}`: a plain word, not JSON.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Registration {
    /// The device is online.
    SignIn,
    /// The device is offline. Its will says the same.
    SignOut,
}

impl Registration {
    /// The word that is published.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SignIn => "SIGN_IN",
            Self::SignOut => "SIGN_OUT",
        }
    }

    /// The registration for this word, in upper or lower case.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::SignIn, Self::SignOut];
        all.into_iter()
            .find(|known| word.eq_ignore_ascii_case(known.word()))
    }
}

/// The member `messageType`.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum MessageType {
    /// Readings.
    #[serde(rename = "DATA")]
    Data,
    /// Which commands the device understands, and the units of its readings.
    #[serde(rename = "ANNOUNCE")]
    Announce,
    /// An answer to a command.
    #[serde(rename = "commandResp")]
    CommandAnswer,
}

/// What a device announces, retained, on its data topic.
///
/// Any data message may have these members too, so the dashboard reads them with its tolerant reader
/// and not with this type.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement<'a> {
    /// The device.
    pub device_id: Cow<'a, str>,
    /// [`MessageType::Announce`].
    pub message_type: MessageType,
    /// The commands that it understands.
    pub commands: Vec<KnownCommand>,
    /// The symbols of its units, by the dotted name of the metric.
    pub units: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl Announcement<'_> {
    /// The announcement as JSON.
    pub fn to_json(&self) -> String {
        // Writing strings into memory does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A data message: `{"deviceId":…,"messageType":"DATA",…}` and the readings.
///
/// Only writers use this type. Readers accept any payload.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Data<'a, R> {
    /// The device.
    pub device_id: &'a str,
    /// [`MessageType::Data`].
    pub message_type: MessageType,
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lng: f64,
    /// The readings, by their names.
    #[serde(flatten)]
    pub readings: R,
}

impl<R: Serialize> Data<'_, R> {
    /// The message as JSON; empty for readings that are no names and values.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Argument, Scalar};
    use alloc::vec;

    #[test]
    fn words_of_a_registration_are_known_in_any_case() {
        assert_eq!(
            Registration::from_word("sign_IN"),
            Some(Registration::SignIn)
        );
        assert_eq!(
            Registration::from_word("SIGN_OUT"),
            Some(Registration::SignOut)
        );
        assert_eq!(Registration::from_word("SIGN_INN"), None);
    }

    #[test]
    fn an_announcement_is_read_as_it_was_written() {
        let announcement = Announcement {
            device_id: "pump-02".into(),
            message_type: MessageType::Announce,
            commands: vec![
                KnownCommand {
                    name: "REBOOT".into(),
                    destructive: true,
                    arguments: Vec::new(),
                },
                KnownCommand {
                    name: "SET_LIMIT".into(),
                    destructive: false,
                    arguments: vec![Argument {
                        name: "celsius".into(),
                        kind: Some("number".into()),
                        unit: Some("°C".into()),
                        min: Some(-30.0),
                        max: Some(-5.5),
                        default: Some(Scalar::Number(-18.0)),
                    }],
                },
            ],
            units: BTreeMap::from([("flow".into(), "L/min".into())]),
        };
        let json = announcement.to_json();
        assert_eq!(
            json,
            r#"{"deviceId":"pump-02","messageType":"ANNOUNCE","commands":[{"name":"REBOOT","destructive":true},{"name":"SET_LIMIT","arguments":[{"name":"celsius","type":"number","unit":"°C","min":-30.0,"max":-5.5,"default":-18.0}]}],"units":{"flow":"L/min"}}"#
        );
        let read: Announcement<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(read, announcement);
    }

    #[test]
    fn readings_stand_beside_who_measured_them() {
        let data = Data {
            device_id: "a",
            message_type: MessageType::Data,
            lat: 47.5,
            lng: 9.25,
            readings: BTreeMap::from([("temp", 23.5)]),
        };
        assert_eq!(
            data.to_json(),
            r#"{"deviceId":"a","messageType":"DATA","lat":47.5,"lng":9.25,"temp":23.5}"#
        );
    }
}
