//! What a device says over TCP, and what it means in MQTT.
//!
//! Pure. The founding documents' device begins with SIGNUP, which names it. Then it sends DATA, and answers
//! commands with `COMMAND_RESP` or `commandResp`.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// How long an id may be, in bytes.
const LONGEST_ID: usize = 200;

/// A connection's device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Session {
    /// It has not said yet who it is.
    #[default]
    Unknown,
    SignedUp {
        id: String,
    },
}

/// What to do about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The device has named itself.
    SignUp { id: String },
    /// Publish the object as data.
    Data,
    /// Publish the object as the answer to a command.
    Answer,
}

/// Why the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Braces match, but it is no JSON.
    NotJson(String),
    /// It has no messageType, or none that the gateway knows.
    UnknownType(String),
    /// Something came before SIGNUP.
    NotSignedUp,
    /// It has signed up already.
    SecondSignUp,
    /// The id cannot end a topic.
    BadId(String),
    /// It speaks for another device than it has signed up as.
    OtherDevice { signed_up: String, named: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    device_id: Option<String>,
    message_type: Option<String>,
}

impl Session {
    /// The device has sent an object.
    pub(crate) fn handle(&mut self, object: &str) -> Result<Said, Refusal> {
        let read = serde_json::from_str::<Object>(object);
        let read = read.map_err(|error| Refusal::NotJson(error.to_string()))?;
        let kind = read.message_type.unwrap_or_default();
        let said = match &*kind {
            "SIGNUP" => return self.sign_up(read.device_id),
            "DATA" => Said::Data,
            "COMMAND_RESP" | "commandResp" => Said::Answer,
            _ => return Err(Refusal::UnknownType(kind)),
        };
        match (self, read.device_id) {
            (Self::Unknown, _) => Err(Refusal::NotSignedUp),
            (Self::SignedUp { id }, Some(named)) if *id != named => Err(Refusal::OtherDevice {
                signed_up: id.clone(),
                named,
            }),
            (Self::SignedUp { .. }, Some(_) | None) => Ok(said),
        }
    }

    fn sign_up(&mut self, id: Option<String>) -> Result<Said, Refusal> {
        if *self != Self::Unknown {
            return Err(Refusal::SecondSignUp);
        }
        let id = id.unwrap_or_default();
        let is_bad = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
        if id.is_empty() || id.len() > LONGEST_ID || id.contains(is_bad) {
            return Err(Refusal::BadId(id));
        }
        *self = Self::SignedUp { id: id.clone() };
        Ok(Said::SignUp { id })
    }
}

/// Whether this is one JSON object. A device finds commands by where they end, so anything else would spoil
/// all that come after it.
pub(crate) fn is_object(payload: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(payload) else {
        return false;
    };
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    is_json && text.trim_start().starts_with('{')
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => write!(f, "an object is no JSON: {error}"),
            Self::UnknownType(kind) if kind.is_empty() => {
                f.write_str("an object has no messageType: SIGNUP, DATA or COMMAND_RESP")
            }
            Self::UnknownType(kind) => write!(
                f,
                "messageType is {:?}: it must be SIGNUP, DATA or COMMAND_RESP",
                head(kind)
            ),
            Self::NotSignedUp => f.write_str("SIGNUP must come first"),
            Self::SecondSignUp => f.write_str("a second SIGNUP: one connection is one device"),
            Self::BadId(id) if id.is_empty() => f.write_str("SIGNUP has no deviceId"),
            Self::BadId(id) => write!(
                f,
                "the deviceId {:?} cannot end a topic: at most {LONGEST_ID} bytes, without / + # and control characters",
                head(id)
            ),
            Self::OtherDevice { signed_up, named } => write!(
                f,
                "the deviceId is {:?}, but {signed_up:?} has signed up here",
                head(named)
            ),
        }
    }
}

/// The beginning of a text that somebody else has written.
fn head(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_up() -> Session {
        let mut session = Session::default();
        let said = session.handle(r#"{"deviceId":"a","messageType":"SIGNUP"}"#);
        assert_eq!(said, Ok(Said::SignUp { id: "a".to_owned() }));
        session
    }

    #[test]
    fn a_device_of_the_documents_is_understood() {
        let mut session = signed_up();
        let data = r#"{"deviceId":"a","messageType":"DATA","temp":23.6}"#;
        assert_eq!(session.handle(data), Ok(Said::Data));
        for kind in ["COMMAND_RESP", "commandResp"] {
            let answer = format!(r#"{{"messageType":"{kind}","commandResult":"PONG"}}"#);
            assert_eq!(session.handle(&answer), Ok(Said::Answer));
        }
    }

    #[test]
    fn whatever_else_it_says_is_refused_with_the_reason() {
        for (object, said) in [
            ("{\"a\":}", "no JSON"),
            ("{}", "no messageType"),
            (r#"{"messageType":"HELLO"}"#, "\"HELLO\""),
            (
                r#"{"deviceId":"a","messageType":"SIGNUP"}"#,
                "a second SIGNUP",
            ),
            (
                r#"{"deviceId":"b","messageType":"DATA"}"#,
                "\"a\" has signed up",
            ),
            (r#"{"deviceId":7,"messageType":"DATA"}"#, "no JSON"),
        ] {
            let refusal = signed_up().handle(object).unwrap_err().to_string();
            assert!(refusal.contains(said), "{object}: {refusal}");
        }
        let long = "x".repeat(201);
        for (id, said) in [
            ("", "no deviceId"),
            ("a/b", "\"a/b\""),
            ("#", "\"#\""),
            ("\\u0000", "\\0"),
            (&long, "200 bytes"),
        ] {
            let object = format!(r#"{{"deviceId":"{id}","messageType":"SIGNUP"}}"#);
            let refusal = Session::default().handle(&object).unwrap_err().to_string();
            assert!(
                refusal.contains(said) && refusal.len() < 300,
                "{id}: {refusal}"
            );
        }
        let first = Session::default().handle(r#"{"messageType":"DATA"}"#);
        assert_eq!(first, Err(Refusal::NotSignedUp));
    }
}
