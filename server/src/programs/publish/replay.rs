//! `beaconry replay`: publishes messages of the past again, in their own time or faster.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use api::history::Message;
use bytes::Bytes;
use clap::{ArgAction, Args};
use data_encoding::BASE64;
use mqtt::packet::DisconnectProperties;
use mqtt::{Publish, QoS, TopicName};
use tokio::time::Instant;

use super::lines::{self, Shape, Timed};
use super::{Publisher, input};
use crate::programs::connection::{Connection, ConnectionArgs, Defaults};
use crate::programs::ending::Ending;
use crate::programs::exit::Exit;
use crate::programs::tool::{self, Stderr};

/// How many messages may be on their way.
const HELD: usize = 1_000;

/// The options of `beaconry replay`.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The messages: a line of JSON for each, as GET api/v1/messages?format=ndjson answers. Without it,
    /// or with -: standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// How many times faster than they came: 1, 60, 0.5; or max, as fast as the broker takes them.
    #[arg(long, value_name = "N", default_value = "1", value_parser = speed)]
    speed: Speed,

    /// Put this before each topic, such as replay/.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// Say on standard error what happens.
    #[arg(short, long, action = ArgAction::SetTrue)]
    debug: bool,

    /// Say nothing on standard error, not even of errors.
    #[arg(long)]
    quiet: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// How fast time passes.
#[derive(Copy, Clone, Debug, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let times = text.parse().ok().filter(|it| (0.001..=1e6).contains(it));
    times
        .map(Speed::Times)
        .ok_or_else(|| "expected a number from 0.001 to 1000000, or max".to_owned())
}

/// Publishes the messages, and returns how that ended. Standard error has been told.
pub(crate) fn run(args: &ReplayArgs) -> ExitCode {
    let stderr = Stderr::new(args.quiet, args.debug);
    let runtime = match tool::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return stderr.fail(Exit::Failed, error).into(),
    };
    runtime.block_on(replay(args, stderr)).into()
}

async fn replay(args: &ReplayArgs, stderr: Stderr) -> Exit {
    let prepared = prepare(args).and_then(|connection| Ok((connection, args.open()?)));
    let (connection, file) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return stderr.fail(Exit::Usage, error),
    };
    for warning in &connection.warnings {
        stderr.warn(warning);
    }
    let ending = match Ending::new() {
        Ok(ending) => ending,
        Err(error) => return stderr.fail(Exit::Failed, error),
    };
    let lines = match file {
        Some(file) => input::lines_of(move || file),
        None => input::lines_of(|| io::stdin().lock()),
    };
    let mut publisher = Publisher::new(connection, DisconnectProperties::default(), stderr, ending);
    let mut past = Past {
        speed: args.speed,
        prefix: args.prefix.clone(),
        line: 0,
        begin: None,
        cut: 0,
    };
    let exit = lines::publish(&mut publisher, lines, &mut past, HELD).await;
    if past.cut > 0 {
        stderr.warn(format_args!(
            "{} messages were left out: only the beginning of their payload was kept",
            past.cut
        ));
    }
    publisher.leave(exit).await
}

fn prepare(args: &ReplayArgs) -> Result<Connection, String> {
    let broker = std::env::var("BROKER").ok().filter(|it| !it.is_empty());
    let mut connection = args.connection.connection(&Defaults {
        version: None,
        broker: broker.as_deref(),
        takes_topic: false,
    })?;
    // Memory is bounded by how much is given to the client, so one message may be of any size.
    connection.options.queue_limit_bytes = usize::MAX;
    Ok(connection)
}

impl ReplayArgs {
    /// The file, or `None` for standard input.
    fn open(&self) -> Result<Option<File>, String> {
        let file = self.file.as_deref().filter(|it| *it != Path::new("-"));
        let open =
            |path: &Path| File::open(path).map_err(|error| format!("{}: {error}", path.display()));
        file.map(open).transpose()
    }
}

/// Makes messages of the past.
struct Past {
    speed: Speed,
    prefix: String,
    /// The number of the line that was read last.
    line: u64,
    /// When the first message came, and when it was sent again.
    begin: Option<(i64, Instant)>,
    /// How many were left out, because their payload is not whole.
    cut: u64,
}

impl Shape for Past {
    fn read(&mut self, line: Bytes) -> Result<Option<Timed>, String> {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let number = self.line;
        let wrong = |what: String| format!("line {number}: {what}");
        let message: Message = serde_json::from_slice(&line)
            .map_err(|error| wrong(format!("expected a message as JSON: {error}")))?;
        let payload = match (message.payload, message.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => BASE64
                .decode(base64.as_bytes())
                .map_err(|error| wrong(format!("base64: {error}")))?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(wrong("expected either payload or base64".to_owned()));
            }
        };
        if (payload.len() as u64) < message.bytes {
            self.cut += 1;
            return Ok(None);
        }
        let topic = format!("{}{}", self.prefix, message.topic);
        let topic = TopicName::try_from(&*topic)
            .map_err(|error| wrong(format!("the topic {topic:?} {error}")))?;
        let mut publish = Publish::new(topic, payload);
        publish.qos = QoS::from_u8(message.qos)
            .ok_or_else(|| wrong("the quality of service is 0, 1 or 2".to_owned()))?;
        publish.retain = message.retain;
        Ok(Some(Timed {
            message: publish,
            due: self.due(message.time.0),
        }))
    }
}

impl Past {
    fn due(&mut self, time: i64) -> Option<Instant> {
        let Speed::Times(speed) = self.speed else {
            return None;
        };
        let (first, begin) = *self.begin.get_or_insert_with(|| (time, Instant::now()));
        // A clock may have gone back.
        let passed = Duration::from_millis(u64::try_from(time.saturating_sub(first)).unwrap_or(0));
        let passed = Duration::try_from_secs_f64(passed.as_secs_f64() / speed);
        begin.checked_add(passed.unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(speed: Speed) -> Past {
        Past {
            speed,
            prefix: "again/".to_owned(),
            line: 0,
            begin: None,
            cut: 0,
        }
    }

    #[track_caller]
    fn read(past: &mut Past, line: &str) -> Option<Timed> {
        past.read(Bytes::from(line.to_owned())).unwrap()
    }

    #[tokio::test]
    async fn messages_keep_their_distance() {
        let mut past = past(Speed::Times(60.0));
        let line = |time: &str| {
            format!(
                r#"{{"time":"{time}","topic":"a","payload":"x","bytes":1,"qos":1,"retain":true}}"#
            )
        };
        let first = read(&mut past, &line("2026-12-01T08:30:00.000Z")).unwrap();
        assert_eq!(first.message.topic.as_ref().unwrap().as_str(), "again/a");
        assert_eq!(
            (first.message.qos, first.message.retain),
            (QoS::AtLeastOnce, true)
        );
        let begin = first.due.unwrap();
        let second = read(&mut past, &line("2026-12-01T08:31:00.000Z")).unwrap();
        assert_eq!(second.due, Some(begin + Duration::from_secs(1)));
        let back = read(&mut past, &line("2026-12-01T08:00:00.000Z")).unwrap();
        assert_eq!(back.due, Some(begin));
        assert!(read(&mut past, " ").is_none());
    }

    #[test]
    fn payloads_are_as_they_were_or_left_out() {
        let mut past = past(Speed::Max);
        let line = r#"{"time":"2026-12-01T08:30:00.000Z","topic":"a","base64":"/wA=","bytes":2}"#;
        let message = read(&mut past, line).unwrap();
        assert_eq!(
            (&message.message.payload[..], message.due),
            (&b"\xFF\x00"[..], None)
        );
        let line = r#"{"time":"2026-12-01T08:30:00.000Z","topic":"a","payload":"x","bytes":9}"#;
        assert!(read(&mut past, line).is_none());
        assert_eq!(past.cut, 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (line, part) in [
            ("{", "JSON"),
            (
                r#"{"time":"2026-12-01T08:30:00.000Z","topic":"a","bytes":0}"#,
                "either",
            ),
            (
                r##"{"time":"2026-12-01T08:30:00.000Z","topic":"#","payload":"","bytes":0}"##,
                "topic",
            ),
            (
                r#"{"time":"2026-12-01T08:30:00.000Z","topic":"a","base64":"?","bytes":0}"#,
                "base64",
            ),
            (
                r#"{"time":"2026-12-01T08:30:00.000Z","topic":"a","payload":"","bytes":0,"qos":3}"#,
                "quality",
            ),
        ] {
            let error = past(Speed::Max).read(Bytes::from(line)).err().unwrap();
            assert!(
                error.starts_with("line 1: ") && error.contains(part),
                "{line}: {error}"
            );
        }
        assert_eq!(speed("max"), Ok(Speed::Max));
        for wrong in ["0", "-1", "x", "inf", "NaN"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
