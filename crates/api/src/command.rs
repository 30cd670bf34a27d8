//! A command to a device, and its answer.

use alloc::borrow::Cow;
use alloc::string::String;

use serde::{Deserialize, Deserializer, Serialize};

use crate::device::MessageType;
use crate::raw::{BadJson, Members, Raw, is_nothing};

/// `{"uuid":…,"command":…}` and the command's arguments, such as `"seconds":5`.
#[derive(Clone, Debug, Serialize)]
pub struct Command<'a> {
    /// The answer repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Cow<'a, str>>,
    /// What the device should do, such as `PING`. `None`: the message is not a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Cow<'a, str>>,
    /// All other members of the object.
    #[serde(flatten)]
    pub arguments: Members<'a>,
}

impl<'a> Command<'a> {
    /// A command with this name, without arguments.
    pub fn new(command: &'a str) -> Self {
        Self {
            uuid: None,
            command: Some(Cow::Borrowed(command)),
            arguments: Members::default(),
        }
    }

    /// The same command with this uuid.
    #[must_use]
    pub fn with_uuid(mut self, uuid: &'a str) -> Self {
        self.uuid = Some(Cow::Borrowed(uuid));
        self
    }

    /// Parses a command. A `uuid` or `command` that is not a string counts as absent.
    pub fn parse(json: &'a str) -> Result<Self, BadJson> {
        Members::parse(json).map(Self::from)
    }

    /// The command as JSON.
    pub fn to_json(&self) -> String {
        // Writing strings into memory does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl<'a> From<Members<'a>> for Command<'a> {
    fn from(mut members: Members<'a>) -> Self {
        let mut text = |name| members.take(name).and_then(|value| value.text());
        let (uuid, command) = (text("uuid"), text("command"));
        Self {
            uuid: uuid.map(Cow::Owned),
            command: command.map(Cow::Owned),
            arguments: members,
        }
    }
}

/// What a device answers:
/// `{"deviceId":…,"messageType":"commandResp","commandResult":…,"uuid":…,"command":…}`.
///
/// Devices differ: all members may be absent, and one of an unexpected type counts as absent.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandAnswer<'a> {
    /// The device that answers.
    #[serde(
        default,
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub device_id: Option<String>,
    /// Always [`MessageType::CommandAnswer`] in what we write. Readers ignore it.
    #[serde(skip_deserializing)]
    pub message_type: Option<MessageType>,
    /// The result: any JSON.
    #[serde(default, borrow, deserialize_with = "present")]
    pub command_result: Option<Raw<'a>>,
    /// Why it failed: usually a string.
    #[serde(
        default,
        borrow,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub error: Option<Raw<'a>>,
    /// The `uuid` of the command.
    #[serde(
        default,
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub uuid: Option<String>,
    /// The command's name.
    #[serde(
        default,
        deserialize_with = "text",
        skip_serializing_if = "Option::is_none"
    )]
    pub command: Option<String>,
    /// `false` says that it failed.
    #[serde(
        default,
        borrow,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub ok: Option<Raw<'a>>,
    /// `false` says that it failed.
    #[serde(
        default,
        borrow,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub success: Option<Raw<'a>>,
    /// `error` says that it failed.
    #[serde(
        default,
        borrow,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub status: Option<Raw<'a>>,
}

impl<'a> CommandAnswer<'a> {
    /// Parses an answer. Fails if the text is not one JSON object.
    pub fn parse(json: &'a str) -> Result<Self, BadJson> {
        Ok(serde_json::from_slice(json.as_bytes())?)
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the device reports success: no member of the answer [says failure](says_failure).
    pub fn is_success(&self) -> bool {
        let failed = |name: &str, value: &Option<Raw<'_>>| {
            let value = value.as_ref();
            value.is_some_and(|value| says_failure(name, value.as_json()))
        };
        !(failed("error", &self.error)
            || failed("ok", &self.ok)
            || failed("success", &self.success)
            || failed("status", &self.status)
            || failed("commandResult", &self.command_result))
    }

    /// The result as JSON. If it is absent or `null`, the error. Empty if there is neither.
    pub fn result(&self) -> &str {
        let result = self.command_result.as_ref().map_or("", Raw::as_json);
        let error = self.error.as_ref().filter(|error| !error.is_nothing());
        match error {
            Some(error) if matches!(result, "" | "null") => error.as_json(),
            Some(_) | None => result,
        }
    }
}

/// Whether one member of an answer says that the command failed. `json` is its value as written.
///
/// That is an `error` that is not `null`, `false` or empty; `ok` or `success` that is `false`; a
/// `status` that is a text and begins with `error`; a `commandResult` that is a text and begins
/// with `error` or `unknown`. Texts may be in any case.
pub fn says_failure(member: &str, json: &str) -> bool {
    let begins = |word: &str| {
        let start = json
            .strip_prefix('"')
            .and_then(|text| text.get(..word.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    match member {
        "error" => !is_nothing(json),
        "ok" | "success" => json == "false",
        "status" => begins("error"),
        "commandResult" => begins("error") || begins("unknown"),
        _ => false,
    }
}

/// Reads a value that is present, even if it is `null`.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Raw<'a>>, D::Error> {
    Raw::deserialize(deserializer).map(Some)
}

/// Reads a string. Anything else counts as absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Raw::deserialize(deserializer).map(|value| value.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn a_command_keeps_what_it_brings() {
        let text = r#"{"uuid":"u","command":"SET \"X\"","seconds":5,"deep":{"a":[1]}}"#;
        let command = Command::parse(text).unwrap();
        assert_eq!(command.command.as_deref(), Some("SET \"X\""));
        assert_eq!(command.arguments.read("seconds"), Some(5.0));
        assert_eq!(command.to_json(), text);
        let odd = Command::parse(r#"{"uuid":7,"command":null}"#).unwrap();
        assert_eq!((odd.uuid, odd.command), (None, None));
        assert!(Command::parse("[]").is_err());
    }

    #[test]
    fn an_answer_is_written_as_it_is_read() {
        let answer = CommandAnswer {
            device_id: Some("a".to_string()),
            message_type: Some(MessageType::CommandAnswer),
            command_result: Raw::of(&"PONG"),
            uuid: Some("u".to_string()),
            command: Some("PING".to_string()),
            ..CommandAnswer::default()
        };
        let json = answer.to_json();
        assert_eq!(
            json,
            r#"{"deviceId":"a","messageType":"commandResp","commandResult":"PONG","uuid":"u","command":"PING"}"#
        );
        let read = CommandAnswer::parse(&json).unwrap();
        assert_eq!(read.uuid.as_deref(), Some("u"));
        assert_eq!(read.result(), "\"PONG\"");
        assert!(read.is_success());
    }

    #[test]
    fn members_of_another_type_spoil_nothing() {
        let text = r#"{"uuid":5,"ok":"yes","status":[1],"deviceId":null,"commandResult":null}"#;
        let answer = CommandAnswer::parse(text).unwrap();
        assert_eq!((answer.uuid.as_deref(), answer.result()), (None, "null"));
        assert!(answer.is_success());
    }

    #[test]
    fn failures_are_told_from_successes() {
        for (text, success, result) in [
            (
                r#"{"commandResult":{"on":true},"error":null}"#,
                true,
                r#"{"on":true}"#,
            ),
            (r#"{"commandResult":null,"error":"no"}"#, false, "\"no\""),
            (r#"{"error":"no"}"#, false, "\"no\""),
            (r#"{"commandResult":"ERROR: no"}"#, false, "\"ERROR: no\""),
            (r#"{"commandResult":"Unknown"}"#, false, "\"Unknown\""),
            (r#"{"ok":false,"commandResult":1}"#, false, "1"),
            (r#"{"success":false}"#, false, ""),
            (r#"{"status":"error","commandResult":1}"#, false, "1"),
        ] {
            let answer = CommandAnswer::parse(text).unwrap();
            assert_eq!(
                (answer.is_success(), answer.result()),
                (success, result),
                "{text}"
            );
        }
    }
}
