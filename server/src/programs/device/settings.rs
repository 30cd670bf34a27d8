//! The command line of `beaconry device`, with the founding documents' variables.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, builder::TypedValueParser as _};
use mqtt::{ClientOptions, Utf8String};

use super::schedule::Schedule;
use crate::cli::parse;
use crate::demo::device::{Bases, Device};
use crate::demo::kinds::Kind;
use crate::programs::connection::{Connection, ConnectionArgs, Defaults};
use crate::programs::environment::Environment;
use crate::programs::topics::{TopicArgs, Topics};

/// The id that the documents use.
const USUAL_ID: &str = "sim-iot-device-0001";
/// From one reading to the next over plain TCP.
const EVERY_OVER_TCP: Duration = Duration::from_secs(5);
/// How long the broker keeps the session of a device that does not come back, in seconds.
const SESSION: u32 = 86_400;

/// The options of `beaconry device`.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
pub(crate) struct DeviceArgs {
    /// The device's id, which ends its topics. Or the variable DEVICE_ID. Without both:
    /// sim-iot-device-0001.
    #[arg(long, value_name = "ID")]
    pub(super) device: Option<String>,

    /// How many devices to run. Their ids end in numbers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) count: u32,

    /// What the device simulates.
    #[arg(long, value_name = "KIND", default_value = "weather", value_parser = kind())]
    pub(super) kind: Kind,

    /// From one waking to the next; with --always-on or --tcp, from one reading to the next. Without it:
    /// 15s, with --tcp 5s.
    #[arg(long, value_name = "TIME", value_parser = parse::interval)]
    pub(super) every: Option<Duration>,

    /// How long the device stays awake.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse::interval)]
    pub(super) awake: Duration,

    /// Never sleep.
    #[arg(long, conflicts_with = "awake")]
    pub(super) always_on: bool,

    /// Speak JSON over plain TCP, without MQTT, to beaconry serve --tcp-gateway or a server like it. Without
    /// an address: that of the variables SERVER_HOST and SERVER_PORT, or 127.0.0.1:30000.
    #[arg(
        long,
        value_name = "HOST:PORT",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with_all = ["awake", "always_on", "count"]
    )]
    pub(super) tcp: Option<String>,

    /// Print one JSON object a line.
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) topics: TopicArgs,

    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// A kind by its name.
fn kind() -> impl clap::builder::TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name)).map(|name| {
        let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        known.unwrap_or(Kind::Weather)
    })
}

/// Where the server for plain TCP listens.
fn tcp_address(given: &str, environment: &Environment) -> String {
    if !given.is_empty() {
        return given.to_owned();
    }
    let host = environment.get("SERVER_HOST");
    let port = environment.get("SERVER_PORT");
    format!(
        "{}:{}",
        host.as_deref().unwrap_or("127.0.0.1"),
        port.as_deref().unwrap_or("30000")
    )
}

/// What was asked for, complete.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) schedule: Schedule,
    pub(super) count: u32,
    pub(super) json: bool,
    pub(super) connection: Connection,
    /// Where to speak plain TCP. `None`: MQTT.
    pub(super) tcp: Option<String>,
    topics: Topics,
    /// Of one device the whole id, of several what stands before their numbers.
    id: String,
    /// The client identifier that the user gave. It is that of a device alone.
    client_id: Option<Utf8String>,
    kind: Kind,
}

impl Settings {
    /// `Err` says what is wrong, for people.
    pub(super) fn new(args: &DeviceArgs, environment: &Environment) -> Result<Self, String> {
        let tcp = args
            .tcp
            .as_deref()
            .map(|given| tcp_address(given, environment));
        let usual = if tcp.is_some() {
            EVERY_OVER_TCP
        } else {
            Schedule::USUAL.every
        };
        let sleeps = !args.always_on && tcp.is_none();
        let schedule = Schedule {
            every: args.every.unwrap_or(usual),
            awake: sleeps.then_some(args.awake),
        };
        if schedule.awake.is_some_and(|awake| awake >= schedule.every) {
            return Err(format!(
                "--awake {} is not shorter than --every {}; a device that never sleeps has --always-on",
                humantime::format_duration(args.awake),
                humantime::format_duration(schedule.every)
            ));
        }
        let id = args.device.clone().or_else(|| environment.get("DEVICE_ID"));
        let mut id = id.unwrap_or_else(|| USUAL_ID.to_owned());
        if args.count > 1 {
            // `pump` and `pump-0001` give the same devices.
            let end = id
                .trim_end_matches(|c: char| c.is_ascii_digit())
                .trim_end_matches('-');
            id.truncate(end.len());
        }
        if id.is_empty() || id.contains(['/', '+', '#', '\0']) {
            return Err(format!(
                "the device id {id:?} cannot end a topic: give one without / + #"
            ));
        }
        if args.count > 1 && args.connection.client_id().is_some() {
            return Err(
                "-i is for one device; of several each has its id as client identifier".into(),
            );
        }
        let client_id = args.connection.client_id().map(Utf8String::try_from);
        let broker = environment.get("BROKER");
        let connection = args.connection.connection(&Defaults {
            // 5, or what the broker speaks.
            version: None,
            broker: broker.as_deref(),
            takes_topic: false,
        })?;
        Ok(Self {
            schedule,
            count: args.count,
            json: args.json,
            topics: Topics::new(&args.topics, environment)?,
            connection,
            tcp,
            id,
            client_id: client_id
                .transpose()
                .map_err(|error| format!("-i: {error}"))?,
            kind: args.kind,
        })
    }

    /// The device with this index, counted from 0.
    pub(super) fn device(&self, index: u32) -> Result<Device, String> {
        let id = if self.count == 1 {
            self.id.clone()
        } else {
            let width = self.count.to_string().len().max(4);
            format!("{}-{:0width$}", self.id, index + 1)
        };
        let topics = &self.topics;
        let bases = Bases {
            register: &topics.register,
            data: &topics.data,
            request: &topics.request,
            response: &topics.response,
        };
        let device = Device::with_topics(
            self.kind,
            id.clone(),
            &bases,
            u64::from(index),
            self.schedule.every,
        );
        device
            .map_err(|error| format!("the device id {id:?} does not fit into its topics: {error}"))
    }

    /// The options of a device's connection, without its session.
    pub(super) fn options(&self, device: &mut Device) -> Result<ClientOptions, String> {
        let client_id = match &self.client_id {
            Some(client_id) => client_id.clone(),
            None => Utf8String::try_from(device.id()).map_err(|error| error.to_string())?,
        };
        let given = &self.connection.options;
        Ok(ClientOptions {
            client_id,
            clean_start: false,
            session_expiry_interval: match given.session_expiry_interval {
                0 => SESSION,
                given => given,
            },
            will: Some(given.will.clone().unwrap_or_else(|| device.will())),
            seed: given.seed ^ device.random().next_u64(),
            ..given.clone()
        })
    }

    /// The name of the broker's place.
    pub(super) fn broker(&self) -> String {
        self.connection.endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(disable_help_flag = true)]
    struct Line {
        #[command(flatten)]
        args: DeviceArgs,
    }

    fn settings(line: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let words = std::iter::once("device").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Settings::new(&line.args, &Environment::of(variables))
    }

    const DOCUMENT: &[(&str, &str)] = &[
        ("DEVICE_ID", "sim-iot-device-0011"),
        ("BROKER", "mqtt://broker.example"),
        ("DATA_TOPIC", "mqtt/blog/examples/data"),
        ("CMD_REQ_TOPIC", "mqtt/blog/examples/cmd/req"),
        ("CMD_RESP_TOPIC", "mqtt/blog/examples/cmd/resp"),
        ("REGISTER_TOPIC", "mqtt/blog/examples/register"),
    ];

    #[test]
    fn the_documents_variables_are_enough() {
        let settings = settings("", DOCUMENT).unwrap();
        assert_eq!(settings.schedule, Schedule::USUAL);
        assert_eq!(settings.broker(), "broker.example:1883");
        let mut device = settings.device(0).unwrap();
        assert_eq!(device.id(), "sim-iot-device-0011");
        let topic = |publish: &mqtt::Publish| publish.topic.as_ref().unwrap().to_string();
        assert_eq!(
            topic(&device.data()),
            "mqtt/blog/examples/data/sim-iot-device-0011"
        );
        let sign_in = device.sign_in();
        assert_eq!(
            topic(&sign_in),
            "mqtt/blog/examples/register/sim-iot-device-0011"
        );
        assert_eq!(
            (sign_in.retain, sign_in.qos),
            (true, mqtt::QoS::ExactlyOnce)
        );
        assert_eq!(sign_in.properties.message_expiry_interval, Some(300));
        let options = settings.options(&mut device).unwrap();
        assert!(!options.clean_start && options.session_expiry_interval > 0);
        assert_eq!(options.client_id.as_str(), "sim-iot-device-0011");
        let will = options.will.unwrap();
        assert_eq!(
            (will.retain, will.qos, &will.payload[..]),
            (true, mqtt::QoS::ExactlyOnce, &b"SIGN_OUT"[..])
        );
    }

    #[test]
    fn a_flag_wins_over_a_variable() {
        let settings = settings("--device pump-1 -h other -p 1 --data-topic d", DOCUMENT).unwrap();
        assert_eq!(settings.broker(), "other:1");
        assert_eq!(
            settings.device(0).unwrap().data().topic.unwrap().as_str(),
            "d/pump-1"
        );
    }

    #[test]
    fn plain_tcp_needs_no_more_than_the_documents_variables() {
        let variables = [("SERVER_HOST", "h"), ("SERVER_PORT", "7")];
        let tcp = |line, variables| settings(line, variables).unwrap().tcp;
        assert_eq!(tcp("--tcp", &variables[..]).as_deref(), Some("h:7"));
        assert_eq!(tcp("--tcp", &[]).as_deref(), Some("127.0.0.1:30000"));
        assert_eq!(tcp("--tcp g:1", &variables[..]).as_deref(), Some("g:1"));
        assert_eq!(tcp("", &variables[..]), None);
        let settings = settings("--tcp", &[]).unwrap();
        assert_eq!(settings.schedule.every, EVERY_OVER_TCP);
    }

    #[test]
    fn several_devices_have_numbers() {
        let settings = settings("--device pump-0001 --count 12000", &[]).unwrap();
        let id = |index| settings.device(index).unwrap().id().to_owned();
        assert_eq!(
            (id(0).as_str(), id(11_999).as_str()),
            ("pump-00001", "pump-12000")
        );
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (line, said) in [
            ("--awake 15s", "--always-on"),
            ("--device a/b", "\"a/b\""),
            ("--count 2 -i x", "-i is for one device"),
            ("--kind toaster", "toaster"),
            ("--data-topic a/#", "DATA_TOPIC=a/#"),
        ] {
            let error = settings(line, &[]).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
