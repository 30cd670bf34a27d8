//! What `beaconry device` prints: of one device each step, in the founding documents' words or as JSON; of
//! several one line of progress.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::sleep;

use super::settings::Settings;
use crate::programs::output::{Output, OutputError};

/// How often progress is told at a terminal, and elsewhere.
const PAUSE_AT_TERMINAL: Duration = Duration::from_millis(500);
const PAUSE_ELSEWHERE: Duration = Duration::from_secs(10);

/// What a device does.
#[derive(Copy, Clone, Debug)]
pub(super) enum Step<'a> {
    Connected,
    Subscribed,
    SignIn,
    Data(&'a [u8]),
    Command(&'a [u8]),
    Answer(&'a [u8]),
    Asleep,
    SignOut,
    /// Something is wrong, and whether the device goes on by itself.
    Trouble(&'a str),
}

/// Tells what happens.
pub(super) struct Report {
    output: RefCell<Output>,
    form: Form,
    /// Whether nothing can be printed any more.
    has_closed: watch::Sender<bool>,
    connected: Cell<u32>,
    data: Cell<u64>,
    commands: Cell<u64>,
    troubles: Cell<u64>,
    count: u32,
    broker: String,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Form {
    /// As the documents' programs print.
    Words,
    Json,
    /// How many devices do what.
    Progress,
}

impl Report {
    pub(super) fn new(settings: &Settings) -> Self {
        let form = match (settings.json, settings.count) {
            (true, _) => Form::Json,
            (false, 1) => Form::Words,
            (false, _) => Form::Progress,
        };
        Self {
            output: RefCell::new(Output::new()),
            form,
            has_closed: watch::Sender::new(false),
            connected: Cell::new(0),
            data: Cell::new(0),
            commands: Cell::new(0),
            troubles: Cell::new(0),
            count: settings.count,
            broker: settings.broker(),
        }
    }

    pub(super) fn begin(&self) {
        if self.form == Form::Progress {
            eprintln!("{} devices connect to {}", self.count, self.broker);
        }
    }

    /// A device has done something.
    pub(super) fn tell(&self, id: &str, step: Step<'_>) {
        match step {
            Step::Connected => self.connected.set(self.connected.get() + 1),
            Step::Data(_) => self.data.set(self.data.get() + 1),
            Step::Answer(_) => self.commands.set(self.commands.get() + 1),
            Step::Trouble(_) => self.troubles.set(self.troubles.get() + 1),
            Step::Subscribed | Step::SignIn | Step::Command(_) | Step::Asleep | Step::SignOut => {}
        }
        if let Step::Trouble(why) = step {
            // Of many devices one line says enough.
            if self.form != Form::Progress || self.troubles.get() == 1 {
                eprintln!("beaconry: {id}: {why}");
            }
        }
        let line = match self.form {
            Form::Words => words(step),
            Form::Json => json_line(id, step),
            Form::Progress => None,
        };
        if let Some(line) = line {
            self.print(&line);
        }
    }

    /// A connection has come about.
    pub(super) fn note_connected(&self) {
        self.connected.set(self.connected.get() + 1);
    }

    /// Says something in the documents' words, if it is to be said in words.
    pub(super) fn say(&self, text: &str) {
        if self.form == Form::Words {
            self.print(&format!("[DEVICE] {text}"));
        }
    }

    /// A connection is over.
    pub(super) fn note_left(&self) {
        self.connected.set(self.connected.get().saturating_sub(1));
    }

    fn print(&self, line: &str) {
        match self.output.borrow_mut().line(line) {
            Ok(()) => {}
            Err(OutputError::Closed) => {
                self.has_closed.send_replace(true);
            }
            Err(OutputError::Failed(error)) => {
                if !self.has_closed.send_replace(true) {
                    eprintln!("beaconry: cannot print: {error}");
                }
            }
        }
    }

    /// Waits until nothing can be printed any more, because whoever read has gone, or the disk is full.
    pub(super) async fn closed(&self) {
        // The sender lives as long as this report.
        let _ = self.has_closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Tells how many devices do what, again and again.
    pub(super) async fn tell_progress(&self) -> Infallible {
        let is_terminal = std::io::stderr().is_terminal();
        let pause = if is_terminal {
            PAUSE_AT_TERMINAL
        } else {
            PAUSE_ELSEWHERE
        };
        loop {
            sleep(pause).await;
            if self.form == Form::Progress {
                let line = self.progress();
                if is_terminal {
                    eprint!("\r\x1b[K{line}");
                    let _ = std::io::stderr().flush();
                } else {
                    eprintln!("{line}");
                }
            }
        }
    }

    fn progress(&self) -> String {
        let mut line = format!(
            "{} of {} devices connected, {} readings sent, {} commands answered",
            self.connected.get(),
            self.count,
            self.data.get(),
            self.commands.get()
        );
        if self.troubles.get() > 0 {
            // Writing to a String cannot fail.
            let _ = write!(line, ", {} connections failed", self.troubles.get());
        }
        line
    }

    pub(super) fn end(&self) {
        if self.form == Form::Progress {
            let start = if std::io::stderr().is_terminal() {
                "\r\x1b[K"
            } else {
                ""
            };
            eprintln!("{start}{}", self.progress());
        }
    }
}

/// In the words of the documents' programs.
fn words(step: Step<'_>) -> Option<String> {
    let text = match step {
        Step::Connected => "CONNECTED TO MQTT BROKER".to_owned(),
        Step::Subscribed => "SUCCESSFULLY SUBSCRIBED".to_owned(),
        Step::SignIn => "SENDING SIGN IN MESSAGE".to_owned(),
        Step::Data(data) => format!("SENDING DATA: {}", shown(data)),
        Step::Command(command) => format!("RECEIVED COMMAND \"{}\"", shown(command)),
        Step::Answer(answer) => format!("SENDING COMMAND RESPONSE {}", shown(answer)),
        Step::Asleep => "CLOSING CONNECTION TO MQTT BROKER".to_owned(),
        Step::SignOut => "SENDING SIGN OUT MESSAGE".to_owned(),
        Step::Trouble(_) => return None,
    };
    Some(format!("[DEVICE] {text}"))
}

fn json_line(id: &str, step: Step<'_>) -> Option<String> {
    let (event, payload) = match step {
        Step::Connected => ("connected", None),
        Step::Subscribed => ("subscribed", None),
        Step::SignIn => ("sign_in", None),
        Step::Data(data) => ("data", Some(data)),
        Step::Command(command) => ("command", Some(command)),
        Step::Answer(answer) => ("answer", Some(answer)),
        Step::Asleep => ("asleep", None),
        Step::SignOut => ("sign_out", None),
        Step::Trouble(_) => return None,
    };
    let line = Line {
        device: id,
        event,
        payload: payload.map(|payload| match serde_json::from_slice(payload) {
            // A line is a line: JSON may have breaks between its values.
            Ok(json) if !payload.contains(&b'\n') => Payload::Json(json),
            Ok(_) | Err(_) => Payload::Text(String::from_utf8_lossy(payload)),
        }),
    };
    serde_json::to_string(&line).ok()
}

/// What `--json` prints of a step.
#[derive(Serialize)]
struct Line<'a> {
    device: &'a str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
}

/// JSON as it goes over the wire, or any other text.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
}

fn shown(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    // Nobody may write on the reader's terminal.
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_as_in_the_documents() {
        let data = Step::Data(br#"{"temp":23.6}"#);
        assert_eq!(
            words(data).unwrap(),
            r#"[DEVICE] SENDING DATA: {"temp":23.6}"#
        );
        let command = Step::Command(b"{\"a\":\"\x1b[31m\"}");
        assert!(!words(command).unwrap().contains('\x1b'));
        assert_eq!(
            json_line("a", data).unwrap(),
            r#"{"device":"a","event":"data","payload":{"temp":23.6}}"#
        );
        let payload = |text: &str| json_line("a", Step::Command(text.as_bytes())).unwrap();
        let sent = r#"{"z":1, "a":12345678901234567890.10}"#;
        assert!(
            payload(sent).ends_with(&format!(r#""payload":{sent}}}"#)),
            "as it was sent"
        );
        assert!(payload("{\n}").ends_with(r#""payload":"{\n}"}"#));
        assert_eq!(words(Step::Trouble("x")), None);
    }
}
