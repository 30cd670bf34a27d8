//! `beaconry collect`: the founding documents' server. It stores what devices send, and gives each device
//! that is signed in a command from time to time.
//!
//! **No loss.** Its session is kept by the broker, and everything is subscribed to with `QoS` 2. A message is
//! acknowledged only after it is written: [`Driver::next`] sends acknowledgements when it is called for what
//! comes next. If writing fails, the connection is dropped before that, and the broker sends the message
//! again. So after a full disk or a crash the last messages may be there twice, and none is missing.

mod commander;
mod settings;
mod store;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use mqtt::client::PublishOutcome;
use mqtt::{Event, Publish, QoS, RetainHandling, Subscription};
use tokio::time::{Instant, sleep};

use self::commander::Commander;
pub(crate) use self::settings::CollectArgs;
use self::settings::Settings;
use self::store::{Record, Store};
use super::connection::{explain, is_fall_back};
use super::ending::Ending;
use super::environment::Environment;
use super::exit::Exit;
use super::topics::{Part, of_device};
use super::uuid::new_uuid;
use crate::clock::Clock;
use crate::mqtt_driver::Driver;

/// How long the program waits after it could not write.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long the program waits at its end until the broker has acknowledged the commands.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Collects until a signal comes, or until the broker refuses it for good.
pub(crate) fn run(args: &CollectArgs) -> Exit {
    let settings = Environment::load().and_then(|all| Settings::new(args, &all));
    let settings = match settings {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("beaconry: {why}; see beaconry collect --help");
            return Exit::Usage;
        }
    };
    for warning in &settings.connection.warnings {
        eprintln!("beaconry: {warning}");
    }
    let store = Store::open(settings.out.as_deref(), settings.format, settings.syncs);
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            eprintln!("beaconry: {} cannot be written: {error}", settings.place());
            return Exit::Usage;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(Collector::new(settings, store).run()),
        Err(error) => {
            eprintln!("beaconry: cannot start: {error}");
            Exit::Failed
        }
    }
}

struct Collector {
    settings: Settings,
    store: Store,
    commander: Commander,
    began: Instant,
    clock: Clock,
    counted: Counted,
    tell_at: Instant,
}

/// What was done, for people.
#[derive(Copy, Clone, Debug, Default)]
struct Counted {
    stored: u64,
    commands: u64,
    answers: u64,
    /// Times that a record could not be written.
    failures: u64,
}

/// Why a connection is over.
enum Left {
    Ended(Exit),
    /// The store has failed.
    NotWritten(io::Error),
    /// Whoever reads standard output has gone.
    NobodyReads,
}

impl Collector {
    fn new(settings: Settings, store: Store) -> Self {
        let now = Instant::now();
        Self {
            commander: Commander::new(settings.command_every, settings.max_devices),
            settings,
            store,
            began: now,
            clock: Clock::new(),
            counted: Counted::default(),
            tell_at: now + PROGRESS_EVERY,
        }
    }

    async fn run(mut self) -> Exit {
        let mut ending = match Ending::new() {
            Ok(ending) => ending,
            Err(error) => {
                eprintln!("beaconry: cannot catch signals: {error}");
                return Exit::Failed;
            }
        };
        self.say("STARTING MQTT IOT SERVER");
        loop {
            let endpoint = self.settings.connection.endpoint.clone();
            let mut driver = Driver::new(self.clock, endpoint, self.settings.options.clone());
            let left = tokio::select! {
                left = self.collect(&mut driver) => left,
                _ = ending.wait() => Left::Ended(Exit::Success),
            };
            match left {
                Left::Ended(exit) => {
                    // The broker keeps the session: what is sent meanwhile comes at the next start.
                    let goodbye = async {
                        if self.settle(&mut driver).await.is_ok() {
                            driver.disconnect().await;
                        }
                    };
                    let _ = ending.unless_again(goodbye).await;
                    self.tell_summary();
                    return exit;
                }
                Left::NobodyReads => {
                    drop(driver.vanish());
                    return Exit::Success;
                }
                Left::NotWritten(error) => {
                    // Before the message is acknowledged. A new client does not know it, so it takes it
                    // when the broker sends it again.
                    drop(driver.vanish());
                    self.counted.failures += 1;
                    eprintln!(
                        "beaconry: {} cannot be written: {error}; nothing is lost: the broker keeps what comes, and this program tries again",
                        self.settings.place()
                    );
                    tokio::select! {
                        () = sleep(PAUSE_AFTER_FAILURE) => {}
                        _ = ending.wait() => {
                            self.tell_summary();
                            return Exit::Failed;
                        }
                    }
                }
            }
        }
    }

    async fn collect(&mut self, driver: &mut Driver) -> Left {
        let filters = &self.settings.filters;
        let names: Vec<&str> = filters.iter().map(mqtt::TopicFilter::as_str).collect();
        let names = names.join(",");
        let subscriptions = filters.iter().map(|filter| Subscription {
            // Who is signed in is asked for each time. The rest was stored when it came.
            retain_handling: if filter.as_str().starts_with(&self.settings.topics.register) {
                RetainHandling::Send
            } else {
                RetainHandling::SendIfNew
            },
            ..Subscription::new(filter.clone(), QoS::ExactlyOnce)
        });
        let subscriptions = subscriptions.collect();
        let (client, now) = driver.client();
        if let Err(error) = client.subscribe(now, subscriptions) {
            eprintln!("beaconry: cannot subscribe: {error}");
            return Left::Ended(Exit::Failed);
        }
        loop {
            let due = self.commander.next().map(|at| self.began + at);
            let wake = due.map_or(self.tell_at, |due| due.min(self.tell_at));
            match driver.next(wake).await {
                Some(Event::Connected { .. }) => {
                    self.say("CONNECTED TO MQTT BROKER");
                    self.say(&format!("SUBSCRIBING TO TOPICS {names}"));
                }
                Some(Event::Subscribed { reason_codes, .. }) => {
                    if let Some(code) = reason_codes.iter().find(|code| **code as u8 >= 0x80) {
                        eprintln!("beaconry: the broker refuses a subscription to {names}: {code}");
                        return Left::Ended(Exit::Failed);
                    }
                    self.say("SUCCESSFULLY SUBSCRIBED");
                }
                Some(Event::Message(message)) => match self.take(&message) {
                    Ok(()) => {}
                    Err(error)
                        if self.store.is_stdout() && error.kind() == io::ErrorKind::BrokenPipe =>
                    {
                        return Left::NobodyReads;
                    }
                    Err(error) => return Left::NotWritten(error),
                },
                Some(Event::Published { outcome, .. }) => note_outcome(&outcome),
                Some(Event::Disconnected { why, retry_at })
                    if is_fall_back(&why, retry_at.is_some()) => {}
                Some(Event::Disconnected { why, retry_at }) => {
                    let what = explain(driver.endpoint(), &why, driver.trouble());
                    if retry_at.is_none() {
                        eprintln!("beaconry: {what}");
                        return Left::Ended(Exit::of_cause(&why, self.settings.options.version));
                    }
                    eprintln!("beaconry: {what}; it tries again by itself");
                }
                Some(
                    Event::CredentialsNeeded { .. }
                    | Event::Unsubscribed { .. }
                    | Event::OpenTransport
                    | Event::CloseTransport,
                )
                | None => {}
            }
            self.give_commands(driver);
            if Instant::now() >= self.tell_at {
                self.tell_at = Instant::now() + PROGRESS_EVERY;
                if self.settings.quiet {
                    self.tell_summary();
                }
            }
        }
    }

    /// Waits until the broker has acknowledged the commands. The next process begins with the same packet
    /// identifiers: an exchange that is left open would swallow one of its commands `[MQTT-4.3.3-10]`.
    async fn settle(&mut self, driver: &mut Driver) -> io::Result<()> {
        let deadline = Instant::now() + SETTLE_PATIENCE;
        while let Some(event) = driver.next_before_settled(deadline).await {
            match event {
                Event::Message(message) => self.take(&message)?,
                Event::Disconnected { .. } => break,
                Event::Published { outcome, .. } => note_outcome(&outcome),
                Event::Connected { .. }
                | Event::Subscribed { .. }
                | Event::CredentialsNeeded { .. }
                | Event::Unsubscribed { .. }
                | Event::OpenTransport
                | Event::CloseTransport => {}
            }
        }
        let (unsent, _) = driver.client().0.queued();
        if unsent > 0 {
            eprintln!("beaconry: {unsent} commands were not sent: there was no connection");
        }
        Ok(())
    }

    /// Stores a message, and notes who signs in and out.
    fn take(&mut self, message: &Publish) -> io::Result<()> {
        let topic = message.topic.as_ref().map_or("", |topic| topic.as_str());
        let Some((part, id)) = self.settings.topics.read(topic) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&message.payload);
        if !self.settings.quiet {
            let shown = printable(&text);
            self.say(&format!("RECEIVED MESSAGE \"{shown}\" ON TOPIC {topic}"));
        }
        match part {
            Part::Register => {
                // One that is only kept was stored when it came. So a restart does not store it again.
                match &*text {
                    "SIGN_IN" => self.commander.sign_in(self.began.elapsed(), id),
                    "SIGN_OUT" => self.commander.sign_out(id),
                    _ => {}
                }
                if message.retain {
                    return Ok(());
                }
            }
            Part::Response => self.counted.answers += 1,
            Part::Data => {}
        }
        self.store.write(&Record::new(part, id, topic, &text))?;
        self.counted.stored += 1;
        if !self.settings.quiet {
            self.say("Storing data...");
        }
        Ok(())
    }

    fn give_commands(&mut self, driver: &mut Driver) {
        if self.settings.gives_no_commands {
            return;
        }
        // A few at a time: messages come first.
        for _ in 0..64 {
            let Some(id) = self.commander.due(self.began.elapsed()) else {
                return;
            };
            let command = self.settings.command_with(&new_uuid());
            let Ok(topic) = of_device(&self.settings.topics.request, &id) else {
                continue;
            };
            if !self.settings.quiet {
                self.say(&format!("SENDING COMMAND TO {id}: {command}"));
            }
            let mut publish = Publish::new(topic, command);
            publish.qos = QoS::ExactlyOnce;
            let (client, now) = driver.client();
            match client.publish(now, publish) {
                Ok(_) => self.counted.commands += 1,
                Err(error) => eprintln!("beaconry: a command to {id} is left out: {error}"),
            }
        }
    }

    /// Says what happens, in the documents' words. Standard output may be for the records.
    fn say(&self, text: &str) {
        if self.settings.quiet {
        } else if self.store.is_stdout() {
            eprintln!("[SERVER] {text}");
        } else {
            use std::io::Write as _;
            // If nobody reads this, collecting goes on.
            let _ = writeln!(io::stdout(), "[SERVER] {text}");
        }
    }

    fn tell_summary(&self) {
        let Counted {
            stored,
            commands,
            answers,
            failures,
        } = self.counted;
        let mut line = format!(
            "{stored} messages stored, {} devices signed in, {commands} commands given, {answers} answers",
            self.commander.len()
        );
        if failures > 0 {
            // Writing to a String cannot fail.
            let _ = write!(line, ", {failures} times the store failed");
        }
        if self.commander.ignored() > 0 {
            let _ = write!(
                line,
                ", {} devices too many for commands (--max-devices)",
                self.commander.ignored()
            );
        }
        if self.settings.quiet || io::stderr().is_terminal() || failures > 0 {
            eprintln!("beaconry: {line}");
        }
    }
}

fn note_outcome(outcome: &PublishOutcome) {
    match outcome {
        PublishOutcome::Sent | PublishOutcome::Acknowledged(_) => {}
        PublishOutcome::Refused(code) => {
            eprintln!("beaconry: the broker refused a command: {code}");
        }
        PublishOutcome::Dropped(cause) => {
            eprintln!("beaconry: a command was given up: {cause:?}");
        }
    }
}

/// Nobody may write on the reader's terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
