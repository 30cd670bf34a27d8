//! Commands to devices, from the button to the answer beside it.

use crate::json;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// What a device shall do.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum CommandRequest<'a> {
    /// A command without parameters: `PING`.
    Named(&'a str),
    /// A JSON object with a `command` member and whatever else the command wants, for example
    /// `{"command":"SET_INTERVAL","seconds":5}`. The `uuid` is added to it.
    Json(&'a str),
}

/// A message to publish, at quality of service 2 and not retained.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Outgoing {
    /// Where to.
    pub topic: String,
    /// JSON with the `uuid` and the `command`.
    pub payload: Vec<u8>,
    /// Where the answer is expected; an MQTT 5 property.
    pub response_topic: String,
    /// The uuid's bytes; an MQTT 5 property.
    pub correlation_data: Vec<u8>,
}

/// Why a command cannot be sent.
#[derive(Copy, Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum CommandError {
    /// No such device.
    #[error("there is no such device")]
    UnknownDevice,
    /// The device speaks a convention that has no commands.
    #[error("this device takes no commands that are known here")]
    NotSupported,
    /// The uuid is empty, longer than 128 bytes or contains something else than visible ASCII.
    #[error("a command's uuid must be 1 to 128 visible ASCII characters")]
    InvalidUuid,
    /// The device already has a command with this uuid.
    #[error("this uuid was already used for a command to this device")]
    DuplicateUuid,
    /// The command has no name.
    #[error("the command has no name")]
    NoName,
    /// The free text is not one JSON object.
    #[error("not a JSON object, at character {offset}")]
    NotAnObject {
        /// Byte offset of what does not fit.
        offset: usize,
    },
    /// The free text brings a `uuid` of its own.
    #[error("leave out \"uuid\": each command gets its own")]
    HasUuid,
    /// The free text is longer than 64 KiB.
    #[error("the command is longer than 64 KiB")]
    TooLong,
    /// The device has as many unanswered commands as are remembered, or memory is full.
    #[error("too many commands to this device are still unanswered")]
    TooMany,
}

/// How far a command has come.
#[derive(Clone, PartialEq, Debug)]
pub enum CommandState {
    /// Made, and waiting until we are connected.
    Queued,
    /// Handed to the connection.
    Sent,
    /// The broker has taken it (PUBCOMP), or it was seen on its topic; the answer is awaited.
    Pending,
    /// The device has answered.
    Answered {
        /// When.
        at: Timestamp,
        /// The round trip in milliseconds from sending; `None` when it was never seen sent.
        after_ms: Option<i64>,
        /// Whether the device reports success: see [`Command::result`] for the rule.
        ok: bool,
        /// `commandResult` (or else, and where that is `null`, `error`) as JSON text, cut to the option `max_text_len`.
        result: Box<str>,
    },
    /// No answer came in time. One that comes later still counts.
    TimedOut {
        /// When it was given up.
        at: Timestamp,
    },
    /// It could not be sent.
    Failed {
        /// When.
        at: Timestamp,
        /// Why, for people.
        why: Box<str>,
    },
}

impl CommandState {
    /// Whether an answer is still awaited.
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Queued | Self::Sent | Self::Pending => true,
            Self::Answered { .. } | Self::TimedOut { .. } | Self::Failed { .. } => false,
        }
    }

    /// A lower-case word: `queued`, `sent`, `pending`, `answered`, `timed out`, `failed`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Pending => "pending",
            Self::Answered { .. } => "answered",
            Self::TimedOut { .. } => "timed out",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A command to one device, ours or someone else's.
#[derive(Clone, PartialEq, Debug)]
pub struct Command {
    pub(crate) uuid: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) payload: Box<str>,
    pub(crate) created_at: Timestamp,
    pub(crate) sent_at: Option<Timestamp>,
    /// When it counts as unanswered; set once it was sent.
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) state: CommandState,
    pub(crate) ours: bool,
    pub(crate) changed: bool,
}

impl Command {
    /// What its answer will carry.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// What the device shall do: `PING`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole request as JSON text, cut to the option `max_text_len`.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// When it was made, or first seen.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was sent, or seen on its topic.
    pub const fn sent_at(&self) -> Option<Timestamp> {
        self.sent_at
    }

    /// How far it has come.
    pub const fn state(&self) -> &CommandState {
        &self.state
    }

    /// Whether it was made by this fleet's `command`; otherwise it was seen on the wire.
    pub const fn is_ours(&self) -> bool {
        self.ours
    }

    /// The answer's JSON text, once there is one.
    ///
    /// An answer reports failure when it has an `error` member that is not `null`, `false` or
    /// empty, when its `ok` or `success` is `false`, when its `status` is `error`, or when its
    /// `commandResult` is a text that begins with `error` or `unknown` in any case.
    pub fn result(&self) -> Option<&str> {
        match &self.state {
            CommandState::Answered { result, .. } => Some(result),
            CommandState::Queued
            | CommandState::Sent
            | CommandState::Pending
            | CommandState::TimedOut { .. }
            | CommandState::Failed { .. } => None,
        }
    }

    pub(crate) fn cost(&self) -> usize {
        let result = match &self.state {
            CommandState::Answered { result, .. } => result.len(),
            CommandState::Failed { why, .. } => why.len(),
            CommandState::Queued
            | CommandState::Sent
            | CommandState::Pending
            | CommandState::TimedOut { .. } => 0,
        };
        size_of::<Self>() + self.uuid.len() + self.name.len() + self.payload.len() + result
    }
}

const MAX_UUID: usize = 128;
const MAX_FREE_TEXT: usize = 64 << 10;

pub(crate) fn check_uuid(uuid: &str) -> Result<(), CommandError> {
    let fits = !uuid.is_empty() && uuid.len() <= MAX_UUID;
    if fits && uuid.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(CommandError::InvalidUuid)
    }
}

/// The request's name and its JSON with the uuid in it.
pub(crate) fn encode(
    uuid: &str,
    request: CommandRequest<'_>,
) -> Result<(String, String), CommandError> {
    let mut payload = String::from("{\"uuid\":");
    json::quote_into(uuid, &mut payload);
    let mut name = String::new();
    match request {
        CommandRequest::Named(command) => {
            if command.len() > MAX_FREE_TEXT {
                return Err(CommandError::TooLong);
            }
            name.push_str(command);
            payload.push_str(",\"command\":");
            json::quote_into(command, &mut payload);
        }
        CommandRequest::Json(text) => {
            if text.len() > MAX_FREE_TEXT {
                return Err(CommandError::TooLong);
            }
            let mut has_uuid = false;
            json::each_member(text, |key, value| {
                match key {
                    "uuid" => has_uuid = true,
                    "command" => {
                        name.clear();
                        json::unquote_into(value, &mut name);
                    }
                    _ => {}
                }
                payload.push(',');
                json::quote_into(key, &mut payload);
                payload.push(':');
                payload.push_str(value);
            })
            .map_err(|error| CommandError::NotAnObject {
                offset: error.offset,
            })?;
            if has_uuid {
                return Err(CommandError::HasUuid);
            }
        }
    }
    payload.push('}');
    if name.is_empty() {
        return Err(CommandError::NoName);
    }
    Ok((name, payload))
}

/// What an answer says.
#[derive(Default, Debug)]
pub(crate) struct Answer {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) result: String,
    pub(crate) ok: bool,
}

/// Reads a request or an answer: its uuid, its command's name, its result. `Err` when it is not
/// a JSON object.
pub(crate) fn decode(text: &str) -> Result<Answer, json::NotJson> {
    let mut answer = Answer {
        ok: true,
        ..Answer::default()
    };
    let mut error_text = None;
    json::each_member(text, |key, value| match key {
        "uuid" => {
            answer.uuid.clear();
            json::unquote_into(value, &mut answer.uuid);
        }
        "command" => {
            answer.name.clear();
            json::unquote_into(value, &mut answer.name);
        }
        "commandResult" => {
            answer.result.clear();
            answer.result.push_str(value);
            let word = value.trim_start_matches('"');
            answer.ok &= !(begins_with(word, "error") || begins_with(word, "unknown"));
        }
        "error" if !matches!(value, "null" | "false" | "\"\"") => {
            answer.ok = false;
            error_text = Some(value);
        }
        "ok" | "success" if value == "false" => answer.ok = false,
        "status" if begins_with(value, "\"error\"") => answer.ok = false,
        _ => {}
    })?;
    // A `null` beside a reason is no result: people want to read the reason.
    if (answer.result.is_empty() || answer.result == "null")
        && let Some(error) = error_text
    {
        answer.result.clear();
        answer.result.push_str(error);
    }
    Ok(answer)
}

fn begins_with(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}
