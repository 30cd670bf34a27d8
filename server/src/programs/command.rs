//! `beaconry command`: gives one command to a device, waits for its answer and prints it.

use std::time::Duration;

use api::{Command, CommandAnswer, Members, Raw};
use clap::Args;
use mqtt::client::PublishOutcome;
use mqtt::{Event, Publish, QoS, ReasonCode, Subscription, TopicFilter};
use tokio::time::Instant;

use super::connection::{Connection, ConnectionArgs, Defaults, explain, is_fall_back};
use super::ending::Ending;
use super::environment::Environment;
use super::exit::Exit;
use super::output::Output;
use super::topics::{TopicArgs, Topics, of_device};
use super::uuid::new_uuid;
use crate::cli::parse;
use crate::clock::Clock;
use crate::mqtt_driver::Driver;

/// After so long without an answer the device is taken to be asleep, and the program says that it waits.
const AWAKE_ANSWERS_WITHIN: Duration = Duration::from_millis(1500);
/// How long the broker may take until it has told what the device said last.
const RETAINED_WITHIN: Duration = Duration::from_millis(500);

/// The options of `beaconry command`.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
pub(crate) struct CommandArgs {
    /// The device: PREFIX/ID as in the dashboard's address, or an ID alone, whose topics are those of
    /// the options below.
    #[arg(value_name = "DEVICE")]
    device: String,

    /// A JSON object with "command", such as '{"command":"SET_INTERVAL","seconds":5}', or the command's
    /// name alone. A "uuid" is added if there is none.
    #[arg(value_name = "COMMAND")]
    command: String,

    /// How long to wait for the answer. A device that sleeps gets the command when it wakes.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse::interval)]
    wait: Duration,

    #[command(flatten)]
    topics: TopicArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Gives the command. The answer goes to standard output, everything else to standard error.
pub(crate) fn run(args: &CommandArgs) -> Exit {
    let order = Environment::load().and_then(|all| Order::new(args, &all));
    let order = match order {
        Ok(order) => order,
        Err(why) => {
            eprintln!("beaconry: {why}; see beaconry command --help");
            return Exit::Usage;
        }
    };
    for warning in &order.connection.warnings {
        eprintln!("beaconry: {warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(give(order)),
        Err(error) => {
            eprintln!("beaconry: cannot start: {error}");
            Exit::Failed
        }
    }
}

/// What is to be done.
#[derive(Debug)]
struct Order {
    connection: Connection,
    /// The device's id, for people.
    device: String,
    request: Publish,
    uuid: String,
    register: TopicFilter,
    response: TopicFilter,
    wait: Duration,
}

impl Order {
    fn new(args: &CommandArgs, environment: &Environment) -> Result<Self, String> {
        let (topics, id) = match args.device.rsplit_once('/') {
            Some((prefix, id)) => (Topics::of_prefix(prefix), id),
            None => (Topics::new(&args.topics, environment)?, &*args.device),
        };
        let fits = |error: mqtt::TopicError| format!("no device can be {:?}: {error}", args.device);
        if id.is_empty() {
            return Err(format!(
                "no device can be {:?}: its id is missing",
                args.device
            ));
        }
        let (payload, uuid) = complete(&args.command, new_uuid)?;
        let mut request = Publish::new(of_device(&topics.request, id).map_err(fits)?, payload);
        request.qos = QoS::ExactlyOnce;
        let filter = |base: &str| TopicFilter::try_from(format!("{base}/{id}").as_str());
        let broker = environment.get("BROKER");
        let connection = args.connection.connection(&Defaults {
            // 5, or what the broker speaks.
            version: None,
            broker: broker.as_deref(),
            takes_topic: false,
        })?;
        Ok(Self {
            connection,
            device: args.device.clone(),
            request,
            uuid,
            register: filter(&topics.register).map_err(fits)?,
            response: filter(&topics.response).map_err(fits)?,
            wait: args.wait,
        })
    }
}

/// The command as JSON, with its uuid. `new_uuid` makes one if it has none.
pub(super) fn complete(
    text: &str,
    new_uuid: impl FnOnce() -> String,
) -> Result<(String, String), String> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let text = text.trim();
    if !text.is_empty() && text.chars().all(is_name) {
        let uuid = new_uuid();
        let json = serde_json::json!({ "uuid": uuid, "command": text });
        return Ok((json.to_string(), uuid));
    }
    let example = r#"write it like '{"command":"PING"}'"#;
    let wrong = |error| format!("the command is no JSON object ({error}); {example}");
    let command = Command::parse(text).map_err(wrong)?;
    if command.command.is_none() {
        return Err(format!("the JSON object has no \"command\"; {example}"));
    }
    if let Some(uuid) = command.uuid.as_deref().filter(|it| !it.is_empty()) {
        return Ok((text.to_owned(), uuid.to_owned()));
    }
    let mut members = Members::parse(text).map_err(wrong)?;
    members.take("uuid");
    let uuid = new_uuid();
    if let Some(raw) = Raw::of(&uuid) {
        members.push("uuid", raw);
    }
    let json = serde_json::to_string(&members).map_err(|error| error.to_string())?;
    Ok((json, uuid))
}

/// How far the program has got.
enum Phase {
    /// Until this time the broker may tell what the device said last.
    Listening { until: Option<Instant> },
    /// The command is on its way.
    Given { at: Instant, has_told: bool },
}

async fn give(order: Order) -> Exit {
    let mut ending = match Ending::new() {
        Ok(ending) => ending,
        Err(error) => {
            eprintln!("beaconry: cannot catch signals: {error}");
            return Exit::Failed;
        }
    };
    let clock = Clock::new();
    let endpoint = order.connection.endpoint.clone();
    let mut driver = Driver::new(clock, endpoint, order.connection.options.clone());
    let (client, now) = driver.client();
    let filters = [&order.register, &order.response];
    let subscriptions = filters.map(|filter| Subscription::new(filter.clone(), QoS::ExactlyOnce));
    if let Err(error) = client.subscribe(now, subscriptions.into()) {
        eprintln!("beaconry: cannot subscribe: {error}");
        return Exit::Failed;
    }
    let exit = tokio::select! {
        exit = converse(&mut driver, &order) => exit,
        // There is no answer: a script must not take it for one.
        _ = ending.wait() => Exit::Failed,
    };
    driver.disconnect().await;
    exit
}

async fn converse(driver: &mut Driver, order: &Order) -> Exit {
    let give_up = Instant::now() + order.wait;
    let mut phase = Phase::Listening { until: None };
    let mut said = None;
    loop {
        let next = match &phase {
            Phase::Listening { until } => until.unwrap_or(give_up),
            Phase::Given {
                at,
                has_told: false,
            } => *at + AWAKE_ANSWERS_WITHIN,
            Phase::Given { has_told: true, .. } => give_up,
        };
        let event = driver.next(next.min(give_up)).await;
        let now = Instant::now();
        match event {
            Some(Event::Subscribed { reason_codes, .. }) => {
                if let Some(code) = reason_codes.iter().find(|code| **code as u8 >= 0x80) {
                    eprintln!(
                        "beaconry: the broker lets nobody read {}'s answers: {code}",
                        order.device
                    );
                    return Exit::Failed;
                }
                phase = Phase::Listening {
                    until: Some(now + RETAINED_WITHIN),
                };
            }
            Some(Event::Message(message)) => {
                let topic = message.topic.as_ref().map_or("", |topic| topic.as_str());
                if topic == order.register.as_str() {
                    said = Some(String::from_utf8_lossy(&message.payload).into_owned());
                    if matches!(phase, Phase::Listening { .. }) {
                        phase = Phase::Listening { until: Some(now) };
                    }
                } else if answers(&message.payload, &order.uuid) {
                    return print(&message.payload);
                }
            }
            Some(Event::Published { outcome, .. }) => {
                if let Some(exit) = published(&outcome, order) {
                    return exit;
                }
            }
            Some(Event::Disconnected { why, retry_at })
                if is_fall_back(&why, retry_at.is_some()) => {}
            Some(Event::Disconnected { why, retry_at }) => {
                let what = explain(driver.endpoint(), &why, driver.trouble());
                eprintln!("beaconry: {what}");
                // Before the command is given, whoever typed it can correct it.
                if retry_at.is_none() || matches!(phase, Phase::Listening { .. }) {
                    return Exit::of_cause(&why, order.connection.options.version);
                }
            }
            Some(
                Event::Connected { .. }
                | Event::CredentialsNeeded { .. }
                | Event::Unsubscribed { .. }
                | Event::OpenTransport
                | Event::CloseTransport,
            )
            | None => {}
        }
        if let Phase::Listening { until: Some(until) } = phase
            && now >= until
        {
            let (client, at) = driver.client();
            if let Err(error) = client.publish(at, order.request.clone()) {
                eprintln!("beaconry: the command cannot be sent: {error}");
                return Exit::Failed;
            }
            phase = Phase::Given {
                at: now,
                has_told: false,
            };
        }
        if let Phase::Given { at, has_told } = &mut phase
            && !*has_told
            && now >= *at + AWAKE_ANSWERS_WITHIN
        {
            *has_told = true;
            eprintln!(
                "beaconry: {}",
                waiting(&order.device, said.as_deref(), give_up - now)
            );
        }
        if now >= give_up {
            let time = humantime::format_duration(order.wait);
            eprintln!(
                "beaconry: {} has not answered within {time}; --wait waits longer",
                order.device
            );
            return Exit::TimedOut;
        }
    }
}

/// Why there is no answer yet, by what the device said of itself last.
fn waiting(device: &str, said: Option<&str>, left: Duration) -> String {
    let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
    match said {
        Some("SIGN_IN") => {
            format!(
                "{device} is signed in and does not answer: it sleeps, perhaps. Waiting for it to wake, up to {left}"
            )
        }
        Some("SIGN_OUT") => {
            format!(
                "{device} has signed out. The command waits for it if the broker keeps its session. Waiting up to {left}"
            )
        }
        Some(_) | None => {
            format!("{device} has not said that it is there. Waiting up to {left}")
        }
    }
}

/// What ends the program when the command was published, if anything does.
fn published(outcome: &PublishOutcome, order: &Order) -> Option<Exit> {
    match outcome {
        PublishOutcome::Acknowledged(ReasonCode::NoMatchingSubscribers) => {
            let topic = order
                .request
                .topic
                .as_ref()
                .map_or("", |topic| topic.as_str());
            eprintln!(
                "beaconry: nobody listens at {topic}: is the id {:?} right, and was the device ever connected?",
                order.device
            );
            Some(Exit::Failed)
        }
        PublishOutcome::Sent | PublishOutcome::Acknowledged(_) => None,
        PublishOutcome::Refused(code) => {
            eprintln!("beaconry: the broker refused the command: {code}");
            Some(Exit::Failed)
        }
        PublishOutcome::Dropped(cause) => {
            eprintln!("beaconry: the command was given up: {cause:?}");
            Some(Exit::Failed)
        }
    }
}

/// Whether this is the answer to the command with this uuid.
fn answers(payload: &[u8], uuid: &str) -> bool {
    let text = String::from_utf8_lossy(payload);
    let answer = CommandAnswer::parse(&text);
    answer.is_ok_and(|answer| answer.uuid.as_deref() == Some(uuid))
}

fn print(answer: &[u8]) -> Exit {
    match Output::new().line(String::from_utf8_lossy(answer)) {
        Ok(()) | Err(super::output::OutputError::Closed) => Exit::Success,
        Err(super::output::OutputError::Failed(error)) => {
            eprintln!("beaconry: cannot print the answer: {error}");
            Exit::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gets_a_uuid_and_stays_as_it_is_otherwise() {
        let complete = |text: &str| complete(text, || "u".to_owned());
        let (json, uuid) = complete("PING").unwrap();
        assert_eq!(
            (json.as_str(), uuid.as_str()),
            (r#"{"command":"PING","uuid":"u"}"#, "u")
        );
        let text = r#"{"command":"SET","big":12345678901234567890.10,"uuid":"mine"}"#;
        assert_eq!(
            complete(text).unwrap(),
            (text.to_owned(), "mine".to_owned())
        );
        let (json, _) = complete(r#"{"command":"SET","big":12345678901234567890.10}"#).unwrap();
        assert_eq!(
            json,
            r#"{"command":"SET","big":12345678901234567890.10,"uuid":"u"}"#
        );
        for (text, said) in [
            ("{", "JSON"),
            ("[1]", "JSON"),
            ("", "JSON"),
            ("{\"a\":1}", "\"command\""),
        ] {
            assert!(complete(text).unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn only_the_answer_to_this_command_counts() {
        assert!(answers(br#"{"uuid":"u","commandResult":"PONG"}"#, "u"));
        assert!(!answers(br#"{"uuid":"v","commandResult":"PONG"}"#, "u"));
        assert!(!answers(b"PONG", "u"));
    }
}
