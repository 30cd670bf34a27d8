//! Commands to devices, and their answers.

use crate::json;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
pub use api::fleet::Argument;

/// What a device is asked to do.
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
pub struct CommandMessage {
    /// The topic to publish it to.
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
    /// The fleet does not know the device.
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
        /// The byte offset of the first byte that does not fit.
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

/// A command that a device understands, with what it announced about it.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct KnownCommand<'a> {
    /// The name: any text.
    pub name: &'a str,
    /// Whether a person should confirm it first, because it destroys or interrupts something.
    pub destructive: bool,
    /// What it takes, in the order in which the device announced it.
    pub arguments: &'a [Argument],
}

impl<'a> KnownCommand<'a> {
    pub(crate) fn new(announced: &'a api::fleet::KnownCommand) -> Self {
        Self {
            name: &announced.name,
            destructive: announced.destructive,
            arguments: &announced.arguments,
        }
    }
}

/// The progress of a command.
#[derive(Clone, PartialEq, Debug)]
pub enum CommandState {
    /// It was made, and waits until we are connected.
    Queued,
    /// It was handed to the connection.
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
        /// When we stopped waiting for the answer.
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
    /// The uuid, which its answer will carry too.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// What the device is asked to do: `PING`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole request as JSON text, cut to the option `max_text_len`.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The request's members beside `uuid` and `command`, each with its JSON text. Nothing if the
    /// request was cut.
    pub fn arguments(&self) -> Vec<(String, String)> {
        let mut arguments = Vec::new();
        let read = json::each_member(&self.payload, |member, value| {
            if !matches!(member, "uuid" | "command") {
                arguments.push((String::from(member), String::from(value)));
            }
        });
        if read.is_err() {
            arguments.clear();
        }
        arguments
    }

    /// When it was made, or first seen.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was sent, or seen on its topic.
    pub const fn sent_at(&self) -> Option<Timestamp> {
        self.sent_at
    }

    /// Its progress.
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
const MAX_REQUEST: usize = 64 << 10;

pub(crate) fn check_uuid(uuid: &str) -> Result<(), CommandError> {
    let fits = !uuid.is_empty() && uuid.len() <= MAX_UUID;
    if fits && uuid.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(CommandError::InvalidUuid)
    }
}

pub(crate) fn check_length(request: CommandRequest<'_>) -> Result<(), CommandError> {
    let (CommandRequest::Named(text) | CommandRequest::Json(text)) = request;
    if text.len() <= MAX_REQUEST {
        Ok(())
    } else {
        Err(CommandError::TooLong)
    }
}
