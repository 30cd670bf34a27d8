//! `beaconry pub`: publishes one message, a message several times, or each line of standard input.
//! `beaconry replay`: publishes messages of the past.

mod input;
mod lines;
mod once;
mod replay;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{ArgAction, ArgGroup, Args};
use mqtt::client::{DropCause, PublishOutcome};
use mqtt::packet::DisconnectProperties;
use mqtt::{Disconnect, Event, ProtocolVersion, Publish, QoS, ReasonCode, TopicName};

pub(crate) use self::replay::{ReplayArgs, run as replay};

use super::connection::{Connection, ConnectionArgs, bytes_of, explain, qos};
use super::ending::Ending;
use super::exit::Exit;
use super::properties::{Properties, PropertyArgs};
use super::tool::{self, Stderr, far_future};
use crate::cli::parse;
use crate::clock::Clock;
use crate::mqtt_driver::Driver;

/// The options of `beaconry pub`.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("payload").args(["message", "file", "stdin_file", "stdin_line", "null_message"]).required(true))]
pub(crate) struct PubArgs {
    /// The topic to publish to.
    #[arg(short, long, value_name = "TOPIC", value_parser = parse::topic, required_unless_present = "url")]
    topic: Option<TopicName>,

    /// The message.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<OsString>,

    /// The message is what this file holds.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The message is all of standard input.
    #[arg(short, long)]
    stdin_file: bool,

    /// Each line of standard input is a message, sent as it comes.
    #[arg(short = 'l', long)]
    stdin_line: bool,

    /// The message is empty. With -r it removes the retained message of the topic.
    #[arg(short, long)]
    null_message: bool,

    /// The quality of service: 0, 1 or 2.
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = qos)]
    qos: QoS,

    /// The broker keeps the message for later subscribers.
    #[arg(short, long)]
    retain: bool,

    /// Send the message so many times, each after the one before is done.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,

    /// With --repeat: how many seconds to wait between, such as 0.5.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    repeat_delay: Option<Duration>,

    /// With -l: how many messages of QoS 1 and 2 may be unacknowledged at a time.
    #[arg(short = 'M', long = "max-inflight", value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..))]
    max_inflight: u16,

    #[command(flatten)]
    properties: PropertyArgs,

    /// Say on standard error what happens.
    #[arg(short, long, action = ArgAction::SetTrue)]
    debug: bool,

    /// Say nothing on standard error, not even of errors.
    #[arg(long)]
    quiet: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What to publish, but for its payload.
struct Template {
    topic: TopicName,
    qos: QoS,
    retain: bool,
    properties: Properties,
}

/// What all ways of publishing work with.
struct Publisher {
    driver: Driver,
    /// For the last packet.
    goodbye: DisconnectProperties,
    stderr: Stderr,
    ending: Ending,
    /// Whether to try again when a connection is lost.
    tries_again: bool,
    /// Whether the server has accepted the connection once.
    was_connected: bool,
    version: ProtocolVersion,
}

/// What an event means for whoever publishes.
enum Happened {
    Nothing,
    Connected,
    /// A message is sent or, with `QoS` 1 and 2, acknowledged.
    Finished,
}

/// Publishes, and returns how that ended. Standard error has been told.
pub(crate) fn run(args: &PubArgs) -> ExitCode {
    let stderr = Stderr::new(args.quiet, args.debug);
    let runtime = match tool::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return stderr.fail(Exit::Failed, error).into(),
    };
    runtime.block_on(publish(args, stderr)).into()
}

async fn publish(args: &PubArgs, stderr: Stderr) -> Exit {
    let prepared = prepare(args).and_then(|(connection, template)| {
        let payload = args.payload()?;
        Ok((connection, template, payload))
    });
    let (connection, template, payload) = match prepared {
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
    let mut publisher = Publisher {
        // Of a single message, another connection would be another attempt.
        tries_again: payload.is_none(),
        ..Publisher::new(
            connection,
            template.properties.disconnect.clone(),
            stderr,
            ending,
        )
    };
    let exit = if let Some(payload) = payload {
        let message = template.message(payload);
        once::publish(&mut publisher, &message, args.repeat, args.repeat_delay).await
    } else {
        let limit = match template.qos {
            QoS::AtMostOnce => lines::HELD_MESSAGES,
            QoS::AtLeastOnce | QoS::ExactlyOnce => usize::from(args.max_inflight),
        };
        let lines = input::lines_of(|| io::stdin().lock());
        lines::publish(&mut publisher, lines, &mut { template }, limit).await
    };
    publisher.leave(exit).await
}

fn prepare(args: &PubArgs) -> Result<(Connection, Template), String> {
    let (mut connection, properties) = tool::connection(&args.connection, &args.properties)?;
    // Memory is bounded by how much is given to the client, so one message may be of any size.
    connection.options.queue_limit_bytes = usize::MAX;
    let of_url = connection.topic.as_deref().map(parse::topic).transpose();
    let of_url = of_url.map_err(|error| format!("-L: {error}"))?;
    let topic = args.topic.clone().or(of_url);
    let template = Template {
        topic: topic.ok_or("a topic is missing: -t TOPIC, or -L mqtt://HOST/TOPIC")?,
        qos: args.qos,
        retain: args.retain,
        properties,
    };
    Ok((connection, template))
}

impl PubArgs {
    /// The one message, or `None` if the messages are lines.
    fn payload(&self) -> Result<Option<Bytes>, String> {
        if let Some(message) = &self.message {
            return Ok(Some(bytes_of(message)));
        }
        if let Some(file) = &self.file {
            return input::file(file).map(Some);
        }
        if self.stdin_file {
            return input::all_of_stdin().map(Some);
        }
        Ok(self.null_message.then(Bytes::new))
    }
}

impl Template {
    fn message(&self, payload: Bytes) -> Publish {
        let mut publish = Publish::new(self.topic.clone(), payload);
        publish.qos = self.qos;
        publish.retain = self.retain;
        publish.properties = self.properties.publish.clone();
        publish
    }
}

impl Publisher {
    fn new(
        connection: Connection,
        goodbye: DisconnectProperties,
        stderr: Stderr,
        ending: Ending,
    ) -> Self {
        Self {
            version: connection.options.version,
            driver: Driver::new(Clock::new(), connection.endpoint, connection.options),
            goodbye,
            stderr,
            ending,
            tries_again: true,
            was_connected: false,
        }
    }

    /// Hands a message to the client. `Err`: it can never be sent.
    fn publish(&mut self, message: Publish) -> Result<(), Exit> {
        let (client, now) = self.driver.client();
        match client.publish(now, message) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.stderr.fail(Exit::Failed, error)),
        }
    }

    /// Notes an event, and says what it means. `Err`: the program ends.
    fn handle(&mut self, event: &Event) -> Result<Happened, Exit> {
        match event {
            Event::Connected { version, .. } => {
                self.was_connected = true;
                self.version = *version;
                let endpoint = self.driver.endpoint();
                self.stderr.debug(format_args!("connected to {endpoint}"));
                Ok(Happened::Connected)
            }
            Event::Published { outcome, .. } => self.done(outcome).map(|()| Happened::Finished),
            Event::Disconnected { why, retry_at } => {
                let line = explain(self.driver.endpoint(), why, self.driver.trouble());
                if retry_at.is_none() || !self.was_connected || !self.tries_again {
                    return Err(self.stderr.fail(Exit::of_cause(why, self.version), line));
                }
                self.stderr.warn(format_args!("{line}; trying again"));
                Ok(Happened::Nothing)
            }
            Event::CredentialsNeeded { .. }
            | Event::Message(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed { .. }
            | Event::OpenTransport
            | Event::CloseTransport => Ok(Happened::Nothing),
        }
    }

    /// A message that the server refused ends nothing, as in mosquitto's tools; one that cannot be sent
    /// does.
    fn done(&self, outcome: &PublishOutcome) -> Result<(), Exit> {
        let cause = match outcome {
            PublishOutcome::Sent | PublishOutcome::Acknowledged(_) => return Ok(()),
            PublishOutcome::Refused(reason) => {
                let refused = format_args!("the server refused the message: {reason}");
                self.stderr.warn(refused);
                return Ok(());
            }
            PublishOutcome::Dropped(cause) => cause,
        };
        let why = match cause {
            DropCause::Expired => "the message expired before it could be sent",
            DropCause::Stopped => "the message was not sent",
            DropCause::TooLarge => "the message is larger than the server accepts",
            DropCause::QoSNotSupported => "the server does not support this QoS; try a lower one",
            DropCause::RetainNotSupported => "the server keeps no retained messages; leave -r out",
        };
        Err(self.stderr.fail(Exit::Failed, why))
    }

    /// Ends when everything has left.
    async fn finish(&mut self) -> Exit {
        loop {
            let event = tokio::select! {
                event = self.driver.next_before_settled(far_future()) => event,
                signal = self.ending.wait() => return self.interrupted(signal),
            };
            let Some(event) = event else {
                return Exit::Success;
            };
            if let Err(exit) = self.handle(&event) {
                return exit;
            }
        }
    }

    /// Says goodbye, unless a signal comes in between.
    async fn leave(mut self, exit: Exit) -> Exit {
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        disconnect.properties = self.goodbye;
        let goodbye = self.driver.disconnect_with(disconnect);
        self.ending.unless_again(goodbye).await;
        exit
    }

    /// A signal came before the end.
    fn interrupted(&self, signal: &str) -> Exit {
        let (messages, _) = self.driver.queued();
        let what = format_args!("{signal}: the end, with {messages} messages not sent");
        self.stderr.fail(Exit::Interrupted, what)
    }
}

/// How long something takes, in seconds with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give seconds, such as 0.5")?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "give seconds, such as 0.5".to_owned())
}
