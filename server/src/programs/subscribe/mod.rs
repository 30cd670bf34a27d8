//! `beaconry sub`: subscribes, and prints the messages.
//!
//! While standard output does not take them, nothing is read from the broker: then the broker holds
//! them, by its own rules.

mod args;
mod format;
mod json;
mod screen;
mod sink;
mod table;

use std::process::ExitCode;

use bytes::Bytes;
use mqtt::packet::RetainHandling;
use mqtt::{
    Disconnect, Event, ProtocolVersion, Publish, QoS, ReasonCode, Subscription, TopicFilter,
    topic_matches,
};
use tokio::time::Instant;

pub(crate) use self::args::SubArgs;
use self::sink::Sink;
use super::connection::{Connection, explain};
use super::ending::Ending;
use super::exit::Exit;
use super::output::OutputError;
use super::properties::Properties;
use super::tool::{self, Stderr, far_future};
use crate::cli::parse;
use crate::clock::Clock;
use crate::mqtt_driver::Driver;

/// The largest packet that MQTT knows.
const LARGEST_PACKET: u32 = 268_435_460;

/// A running subscriber.
struct Subscriber<'a> {
    args: &'a SubArgs,
    driver: Driver,
    ending: Ending,
    sink: Sink,
    stderr: Stderr,
    properties: Properties,
    version: ProtocolVersion,
    was_connected: bool,
    /// How many messages may still come, with `-C`.
    left: Option<u64>,
}

/// Subscribes and prints until something ends it. Returns how that went; standard error has been told.
pub(crate) fn run(args: &SubArgs) -> ExitCode {
    let stderr = Stderr::new(args.quiet, args.debug);
    match tool::runtime() {
        Ok(runtime) => runtime.block_on(subscribe(args, stderr)).into(),
        Err(error) => stderr.fail(Exit::Failed, error).into(),
    }
}

async fn subscribe(args: &SubArgs, stderr: Stderr) -> Exit {
    let started = prepare(args).and_then(|(connection, properties)| {
        for warning in &connection.warnings {
            stderr.warn(warning);
        }
        start(args, stderr, connection, properties)
    });
    match started {
        Ok(mut subscriber) => {
            let (exit, reason_code) = subscriber.run().await;
            subscriber.leave(exit, reason_code).await
        }
        Err(error) => stderr.fail(Exit::Usage, error),
    }
}

fn prepare(args: &SubArgs) -> Result<(Connection, Properties), String> {
    let (mut connection, properties) = tool::connection(&args.connection, &args.properties)?;
    let options = &mut connection.options;
    options.maximum_packet_size = options.maximum_packet_size.max(LARGEST_PACKET);
    options.subscription_limit = usize::MAX;
    // The server sends no more than what is printed, so the rest of a session stays in it.
    let count = args.count.and_then(|count| u16::try_from(count).ok());
    options.receive_maximum = options.receive_maximum.min(count.unwrap_or(u16::MAX));
    properties.apply(options)?;
    Ok((connection, properties))
}

fn start(
    args: &SubArgs,
    stderr: Stderr,
    connection: Connection,
    properties: Properties,
) -> Result<Subscriber<'_>, String> {
    let ending = Ending::new().map_err(|error| error.to_string())?;
    let version = connection.options.version;
    let of_url = connection
        .topic
        .as_deref()
        .map(parse::topic_filter)
        .transpose();
    let of_url = of_url.map_err(|error| format!("-L: {error}"))?;
    let filters: Vec<TopicFilter> = of_url
        .into_iter()
        .chain(args.topic.iter().cloned())
        .collect();
    if filters.is_empty() {
        return Err("a topic is missing: -t TOPIC, or -L mqtt://HOST/TOPIC".to_owned());
    }
    let mut driver = Driver::new(Clock::new(), connection.endpoint, connection.options);
    let subscriptions = filters
        .into_iter()
        .map(|filter| args.subscription(filter))
        .collect();
    let (client, now) = driver.client();
    client
        .subscribe_with(now, subscriptions, properties.subscribe.clone())
        .map_err(|error| error.to_string())?;
    if !args.unsubscribe.is_empty() {
        let ended = client.unsubscribe(now, args.unsubscribe.clone());
        ended.map_err(|error| error.to_string())?;
    }
    Ok(Subscriber {
        args,
        driver,
        ending,
        sink: Sink::new(args, stderr)?,
        stderr,
        properties,
        version,
        was_connected: false,
        left: args.count,
    })
}

impl SubArgs {
    fn subscription(&self, filter: TopicFilter) -> Subscription {
        let mut subscription = Subscription::new(filter, self.qos);
        subscription.retain_as_published = self.retain_as_published;
        if self.no_retained {
            subscription.retain_handling = RetainHandling::DoNotSend;
        }
        subscription
    }
}

impl Subscriber<'_> {
    /// Until something ends it: how the program ends, and what the server is told.
    async fn run(&mut self) -> (Exit, ReasonCode) {
        let until = self.args.timeout.map(|time| Instant::now() + time);
        loop {
            if until.is_some_and(|until| Instant::now() >= until) {
                return (self.timed_out(), self.reason_of_signal());
            }
            let event = match self.driver.ready_event() {
                Some(event) => Some(event),
                None => match self.wait(until).await {
                    Ok(event) => event,
                    Err(exit) => return (exit, self.reason_of_signal()),
                },
            };
            let Some(event) = event else {
                continue;
            };
            if let Err(exit) = self.handle(event) {
                return (self.finish(exit).await, ReasonCode::Success);
            }
        }
    }

    /// Shows what has come, and waits for more. `None`: time has passed.
    async fn wait(&mut self, until: Option<Instant>) -> Result<Option<Event>, Exit> {
        self.shown_so_far()?;
        let frame = self.sink.next_frame();
        let deadline = until.into_iter().chain(frame).min();
        tokio::select! {
            event = self.driver.next(deadline.unwrap_or_else(far_future)) => Ok(event),
            signal = self.ending.wait() => {
                self.stderr.debug(signal);
                // As mosquitto_sub.
                Err(if self.was_connected { Exit::Success } else { Exit::Interrupted })
            }
        }
    }

    fn shown_so_far(&mut self) -> Result<(), Exit> {
        let flushed = self.sink.flush();
        flushed.map_err(|error| self.no_output(error))
    }

    /// Standard output takes no more.
    fn no_output(&self, error: OutputError) -> Exit {
        match error {
            OutputError::Closed => Exit::Success,
            OutputError::Failed(error) => self
                .stderr
                .fail(Exit::Failed, format_args!("standard output: {error}")),
        }
    }

    /// `Err`: the program ends.
    fn handle(&mut self, event: Event) -> Result<(), Exit> {
        match event {
            Event::Message(message) => self.message(&message),
            Event::Connected { version, .. } => {
                if self.was_connected {
                    self.tell(format_args!(
                        "connected to {} again",
                        self.driver.endpoint()
                    ));
                } else {
                    let endpoint = self.driver.endpoint();
                    self.stderr.debug(format_args!("connected to {endpoint}"));
                }
                self.was_connected = true;
                self.version = version;
                Ok(())
            }
            Event::Subscribed {
                topic_filters,
                reason_codes,
                ..
            } => self.subscribed(&topic_filters, &reason_codes),
            Event::Disconnected { why, retry_at } => {
                let line = explain(self.driver.endpoint(), &why, self.driver.trouble());
                if retry_at.is_none() || !self.was_connected {
                    return Err(self.fail(Exit::of_cause(&why, self.version), line));
                }
                self.tell(format_args!("{line}; trying again"));
                Ok(())
            }
            Event::Published { .. }
            | Event::Unsubscribed { .. }
            | Event::CredentialsNeeded { .. }
            | Event::OpenTransport
            | Event::CloseTransport => Ok(()),
        }
    }

    fn message(&mut self, message: &Publish) -> Result<(), Exit> {
        if self.args.retained_only && !message.retain {
            return Err(Exit::Success);
        }
        let topic = json::topic(message);
        let is_left_out = |filter: &TopicFilter| topic_matches(filter, topic);
        if self.args.no_retained && message.retain || self.args.filter_out.iter().any(is_left_out) {
            return Ok(());
        }
        if self.args.remove_retained && message.retain {
            self.remove(message)?;
        }
        let taken = self.sink.take(message);
        taken.map_err(|error| self.no_output(error))?;
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                return Err(Exit::Success);
            }
        }
        Ok(())
    }

    /// An empty retained message removes the one that is there.
    fn remove(&mut self, message: &Publish) -> Result<(), Exit> {
        let Some(topic) = message.topic.clone() else {
            return Ok(());
        };
        let mut publish = Publish::new(topic, Bytes::new());
        publish.qos = QoS::AtLeastOnce;
        publish.retain = true;
        let (client, now) = self.driver.client();
        let published = client.publish(now, publish.detach());
        published
            .map(|_| ())
            .map_err(|error| self.stderr.fail(Exit::Failed, error))
    }

    fn subscribed(&mut self, filters: &[TopicFilter], codes: &[ReasonCode]) -> Result<(), Exit> {
        let is_refused = |code: &ReasonCode| code.is_error();
        for (filter, code) in filters.iter().zip(codes) {
            if is_refused(code) {
                self.tell(format_args!("the server refused {filter}: {code}"));
            } else {
                self.stderr
                    .debug(format_args!("subscribed to {filter}: {code}"));
            }
        }
        if codes.iter().all(is_refused) {
            // With the exit code of mosquitto_sub.
            return Err(self
                .stderr
                .fail(Exit::Success, "all subscriptions were refused"));
        }
        if self.args.exit_after_subscribe {
            return Err(Exit::Success);
        }
        Ok(())
    }

    /// Says why the program ends, where a person will still see it afterwards.
    fn fail(&mut self, exit: Exit, why: impl std::fmt::Display) -> Exit {
        self.sink.leave_screen();
        self.stderr.fail(exit, why)
    }

    /// A line for people, unless the table has the terminal.
    fn tell(&self, line: impl std::fmt::Display) {
        if self.sink.leaves_room_for_lines() {
            self.stderr.warn(line);
        }
    }

    /// Ends when everything is shown, and what was to be removed is removed.
    async fn finish(&mut self, exit: Exit) -> Exit {
        let shown = self.shown_so_far();
        while self.was_connected && !self.driver.is_settled() {
            let event = tokio::select! {
                event = self.driver.next_before_settled(far_future()) => event,
                _ = self.ending.wait() => break,
            };
            if let Some(Event::Disconnected { .. }) | None = event {
                break;
            }
        }
        shown.map_or_else(|other| other, |()| exit)
    }

    fn timed_out(&mut self) -> Exit {
        let shown = self.shown_so_far();
        self.sink.leave_screen();
        self.tell("the time of -W is over");
        match shown {
            Err(exit) => exit,
            Ok(()) if self.was_connected => Exit::TimedOut,
            Ok(()) => Exit::Interrupted,
        }
    }

    /// `mosquitto_sub` lets its will speak if a signal ends it, where the version can say that.
    fn reason_of_signal(&self) -> ReasonCode {
        match self.version {
            ProtocolVersion::V5 => ReasonCode::DisconnectWithWill,
            ProtocolVersion::V3_1_1 => ReasonCode::Success,
        }
    }

    /// Says goodbye, unless a signal comes in between.
    async fn leave(mut self, exit: Exit, reason_code: ReasonCode) -> Exit {
        let mut disconnect = Disconnect::new(reason_code);
        disconnect.properties = self.properties.disconnect;
        let goodbye = self.driver.disconnect_with(disconnect);
        self.ending.unless_again(goodbye).await;
        exit
    }
}
