//! Where messages go: lines on standard output, or a table on a terminal.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::time::Duration;

use jiff::ZonedDateTime;
use mqtt::Publish;
use tokio::time::Instant;

use super::args::SubArgs;
use super::format::Format;
use super::json;
use super::screen::Screen;
use super::table::Table;
use crate::programs::output::{Colour, Output, OutputError};
use crate::programs::tool::Stderr;

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// Where messages go.
pub(super) enum Sink {
    Lines(Lines),
    Table(Watch),
}

/// Messages as lines.
pub(super) struct Lines {
    output: Output,
    style: Style,
    has_newline: bool,
    is_pretty: bool,
    /// The share of messages that are printed, if not all.
    share: Option<f64>,
    stderr: Stderr,
    line: Vec<u8>,
}

/// Messages as a table.
pub(super) struct Watch {
    table: Table,
    /// `None`: the terminal is as it was.
    screen: Option<Screen>,
    next_frame: Instant,
}

/// What a line holds.
enum Style {
    Payload,
    TopicAndPayload,
    Json,
    Format(Format),
}

impl Sink {
    /// What the options ask for. `Err` says why that cannot be.
    pub(super) fn new(args: &SubArgs, stderr: Stderr) -> Result<Self, String> {
        let output = Output::new();
        if args.watch {
            if !output.is_terminal() {
                return Err(
                    "--watch needs a terminal on standard output; --json writes for programs"
                        .to_owned(),
                );
            }
            let now = Instant::now();
            return Ok(Self::Table(Watch {
                table: Table::new(now),
                screen: Some(Screen::enter().map_err(|error| format!("the terminal: {error}"))?),
                next_frame: now,
            }));
        }
        let style = match &args.format {
            Some(format) => Style::Format(format.clone()),
            None if args.json => Style::Json,
            None if args.verbose => Style::TopicAndPayload,
            None => Style::Payload,
        };
        Ok(Self::Lines(Lines {
            output,
            style,
            has_newline: !args.no_newline,
            is_pretty: args.pretty,
            share: args.random_filter.map(|percent| percent / 100.0),
            stderr,
            line: Vec::new(),
        }))
    }

    /// Takes a message.
    pub(super) fn take(&mut self, message: &Publish) -> Result<(), OutputError> {
        match self {
            Self::Lines(lines) => lines.write(message),
            Self::Table(watch) => {
                let topic = json::topic(message);
                watch.table.note(Instant::now(), topic, &message.payload);
                // Also while messages come without end.
                watch.draw_if_due()
            }
        }
    }

    /// Shows everything that was taken. Call it before waiting.
    pub(super) fn flush(&mut self) -> Result<(), OutputError> {
        match self {
            Self::Lines(lines) => lines.output.flush(),
            Self::Table(watch) => watch.draw_if_due(),
        }
    }

    /// When to call [`flush`](Self::flush) again, even if nothing comes.
    pub(super) fn next_frame(&self) -> Option<Instant> {
        match self {
            Self::Lines(_) => None,
            Self::Table(watch) => Some(watch.next_frame),
        }
    }

    /// Gives the terminal back, so that lines for people stay on it.
    pub(super) fn leave_screen(&mut self) {
        match self {
            Self::Lines(_) => {}
            Self::Table(watch) => watch.screen = None,
        }
    }

    /// Whether lines for people may go to the same terminal now.
    pub(super) fn leaves_room_for_lines(&self) -> bool {
        match self {
            Self::Lines(_) => true,
            Self::Table(watch) => watch.screen.is_none(),
        }
    }
}

impl Watch {
    fn draw_if_due(&mut self) -> Result<(), OutputError> {
        let now = Instant::now();
        if now < self.next_frame {
            return Ok(());
        }
        self.next_frame = now + FRAME;
        let (width, height) = Screen::size();
        if let Some(screen) = &mut self.screen {
            screen.draw(self.table.lines(now, width, height))?;
        }
        Ok(())
    }
}

impl Lines {
    fn write(&mut self, message: &Publish) -> Result<(), OutputError> {
        if self.share.is_some_and(|share| chance() >= share) {
            return Ok(());
        }
        self.line.clear();
        if self.fill(message) && self.has_newline {
            self.line.push(b'\n');
        }
        self.output.write(&self.line)
    }

    /// Puts a message into the line. `false`: it is not printed at all.
    fn fill(&mut self, message: &Publish) -> bool {
        let line = &mut self.line;
        match &self.style {
            // As in mosquitto_sub: an empty payload is no line.
            Style::Payload => {
                line.extend_from_slice(&message.payload);
                !message.payload.is_empty()
            }
            Style::TopicAndPayload if message.payload.is_empty() => {
                if self.has_newline {
                    let topic = self.output.paint(Colour::Bold, json::topic(message));
                    let null = self.output.paint(Colour::Dim, "(null)");
                    let _ = write!(line, "{topic} {null}");
                }
                true
            }
            Style::TopicAndPayload => {
                let topic = self.output.paint(Colour::Bold, json::topic(message));
                let _ = write!(line, "{topic} ");
                line.extend_from_slice(&message.payload);
                true
            }
            Style::Json => {
                let payload = json::Payload::Safe;
                // Every payload can be written so.
                let _ = json::write(
                    line,
                    message,
                    &ZonedDateTime::now(),
                    payload,
                    self.is_pretty,
                );
                true
            }
            Style::Format(format) => {
                if format
                    .write(line, message, &ZonedDateTime::now(), self.is_pretty)
                    .is_err()
                {
                    let topic = json::topic(message);
                    self.stderr.warn(format_args!(
                        "{topic}: the payload is not valid JSON, as %J needs"
                    ));
                }
                true
            }
        }
    }
}

/// A number from 0 to 1, another one each time.
fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
