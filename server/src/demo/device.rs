//! The messages of a simulated device: the four-topic convention with the prefix `beaconry`.
//!
//! Pure: messages go in, messages come out, and the time is an argument. `runner` connects it.

use std::borrow::Cow;
use std::time::Duration;

use api::fleet::KnownCommand;
use api::{Announcement, Command, CommandAnswer, Data, MessageType, Raw, Registration};
use mqtt::packet::WillProperties;
use mqtt::{Publish, QoS, Subscription, TopicFilter, TopicName, Utf8String, Will};
use serde_json::Value;

use super::kinds::Kind;
use super::model::{Model, Moment, Pace, Readings, Setting, number, rounded};
use super::random::Random;

/// How long a `SIGN_IN` is valid, in seconds. The device sends it again before it expires.
const SIGN_IN_EXPIRY: u32 = 300;
/// How often every device can be told to send.
const INTERVAL: Setting = Setting {
    command: "SET_INTERVAL",
    name: "seconds",
    unit: "s",
    low: 0.1,
    high: 3_600.0,
    usual: 5.0,
};

/// The commands that every device understands.
const COMMON: [&str; 3] = ["PING", "SET_INTERVAL", "REBOOT"];
/// The hour at which the demo's day begins.
const MORNING: f64 = 9.0;

/// A simulated device.
pub(crate) struct Device {
    id: String,
    kind: Kind,
    topics: Topics,
    model: Box<dyn Model>,
    pace: Pace,
    random: Random,
    home: (f64, f64),
    interval: Duration,
}

/// The topics that a device uses.
struct Topics {
    register: TopicName,
    data: TopicName,
    request: TopicName,
    response: TopicName,
    /// The topic with the data of its partner, the device that it works with.
    partner: Option<TopicName>,
}

/// Where a device's topics begin. Each goes on with `/` and the device's id.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Bases<'a> {
    pub(crate) register: &'a str,
    pub(crate) data: &'a str,
    pub(crate) request: &'a str,
    pub(crate) response: &'a str,
}

/// The topics of the demo's devices.
const BASES: Bases<'static> = Bases {
    register: "beaconry/register",
    data: "beaconry/data",
    request: "beaconry/cmd/req",
    response: "beaconry/cmd/resp",
};

/// What the device does about a message.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    pub(crate) answers: Vec<Publish>,
    /// Whether the device reboots after its answers are sent.
    pub(crate) reboots: bool,
}

impl Device {
    /// The device of `kind` with this number. Each number gives a different device.
    ///
    /// Fails only with a number so long that the topics do not fit.
    pub(crate) fn new(
        kind: Kind,
        number: &str,
        seed: u64,
        interval: Duration,
    ) -> Result<Self, mqtt::TopicError> {
        let id = format!("{}-{number}", kind.name());
        Self::with_topics(kind, id, &BASES, seed, interval)
    }

    /// The device with this id and these topics. Its partner has the same id, with the partner's kind in
    /// the place of its own.
    pub(crate) fn with_topics(
        kind: Kind,
        id: String,
        bases: &Bases<'_>,
        seed: u64,
        interval: Duration,
    ) -> Result<Self, mqtt::TopicError> {
        let mut random = Random::new(seed);
        // A place around Lake Constance.
        let home = (random.between(47.35, 47.85), random.between(8.9, 9.85));
        let partner = kind.partner().filter(|_| id.contains(kind.name()));
        let partner = partner.map(|partner| id.replace(kind.name(), partner.name()));
        Ok(Self {
            topics: Topics {
                register: topic(bases.register, &id)?,
                data: topic(bases.data, &id)?,
                request: topic(bases.request, &id)?,
                response: topic(bases.response, &id)?,
                partner: partner.map(|id| topic(bases.data, &id)).transpose()?,
            },
            id,
            kind,
            model: kind.model(home, &mut random),
            pace: Pace::new(Moment::at_hour(MORNING)),
            random,
            home,
            interval,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// How often the device sends its readings.
    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The message "I am here". It is retained, but expires.
    pub(crate) fn sign_in(&self) -> Publish {
        let word = Registration::SignIn.word();
        let mut publish = retained(&self.topics.register, word, QoS::ExactlyOnce);
        publish.properties.message_expiry_interval = Some(SIGN_IN_EXPIRY);
        publish
    }

    /// How often `SIGN_IN` is sent again: well before it expires.
    pub(crate) const fn sign_in_again() -> Duration {
        Duration::from_secs(SIGN_IN_EXPIRY as u64 * 4 / 5)
    }

    /// The message "I am leaving".
    pub(crate) fn sign_out(&self) -> Publish {
        let word = Registration::SignOut.word();
        retained(&self.topics.register, word, QoS::ExactlyOnce)
    }

    /// The will, which says "I am leaving" for a device that vanishes.
    pub(crate) fn will(&self) -> Will {
        let sign_out = self.sign_out();
        Will {
            topic: self.topics.register.clone(),
            payload: sign_out.payload,
            qos: sign_out.qos,
            retain: sign_out.retain,
            properties: WillProperties::default(),
        }
    }

    /// The retained message that announces the commands and units of the device.
    pub(crate) fn announcement(&self) -> Publish {
        let units = self.model.units().iter();
        let announcement = Announcement {
            device_id: Cow::Borrowed(&self.id),
            message_type: MessageType::Announce,
            commands: self.announced_commands(),
            units: units
                .map(|(name, unit)| (Cow::Borrowed(*name), Cow::Borrowed(*unit)))
                .collect(),
        };
        retained(&self.topics.data, announcement.to_json(), QoS::AtLeastOnce)
    }

    /// The subscriptions of the device: to its commands at `QoS` 2, and to the data of its partner.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let filter = |topic: &TopicName| TopicFilter::new(topic.as_text().clone());
        let commands =
            filter(&self.topics.request).map(|filter| Subscription::new(filter, QoS::ExactlyOnce));
        let partner = self
            .topics
            .partner
            .iter()
            .filter_map(|topic| filter(topic).ok());
        commands
            .into_iter()
            .chain(partner.map(|filter| Subscription::new(filter, QoS::AtMostOnce)))
            .collect()
    }

    /// Advances the model to this time after the start of the demo.
    pub(crate) fn advance(&mut self, since_start: Duration) {
        self.pace
            .advance(&mut *self.model, &mut self.random, since_start);
    }

    /// What the device measures now. Half of the kinds send it at `QoS` 1.
    pub(crate) fn data(&self) -> Publish {
        let mut readings = Readings::new();
        self.model.read(&mut readings);
        // A device that moves says where it is; the others stand at home.
        let mut place = |name, home: f64| {
            let moved = readings.remove(name);
            moved.and_then(|it| it.as_f64()).unwrap_or(home)
        };
        let (lat, lng) = (place("lat", self.home.0), place("lng", self.home.1));
        let data = Data {
            device_id: &self.id,
            message_type: MessageType::Data,
            lat: rounded(lat, 5),
            lng: rounded(lng, 5),
            readings,
        };
        let mut publish = Publish::new(self.topics.data.clone(), data.to_json());
        publish.qos = match self.kind {
            Kind::Weather | Kind::Solar | Kind::Humidity | Kind::Tracker => QoS::AtMostOnce,
            Kind::Freezer | Kind::Pump | Kind::Humidifier | Kind::Soil => QoS::AtLeastOnce,
        };
        publish
    }

    /// Handles a message: a command, or data of its partner.
    pub(crate) fn handle(&mut self, message: &Publish) -> Reaction {
        if message.topic.as_ref() == Some(&self.topics.request) {
            return self.handle_command(message);
        }
        if message.topic.is_some()
            && message.topic == self.topics.partner
            && let Ok(readings) = serde_json::from_slice(&message.payload)
        {
            self.model.hear(&readings);
        }
        Reaction::default()
    }

    /// The answer to a command that came without MQTT.
    pub(crate) fn answer(&mut self, command: &str) -> String {
        let request = Publish::new(self.topics.request.clone(), command.to_owned());
        let answers = self.handle_command(&request).answers;
        let payload = answers.into_iter().next().map(|answer| answer.payload);
        String::from_utf8_lossy(&payload.unwrap_or_default()).into_owned()
    }

    fn handle_command(&mut self, message: &Publish) -> Reaction {
        let text = String::from_utf8_lossy(&message.payload);
        let request = match Command::parse(&text) {
            Ok(request) => request,
            Err(error) => {
                let why = format!("not a JSON object: {error}");
                return self.answered(message, None, Err(why));
            }
        };
        let Some(command) = request.command.as_deref() else {
            let why = "the request has no \"command\"".to_owned();
            return self.answered(message, Some(&request), Err(why));
        };
        let arguments = &request.arguments;
        let mut reboots = false;
        let result = match command {
            "PING" => Ok(Value::from("PONG")),
            "REBOOT" => {
                reboots = true;
                Ok(Value::from("REBOOTING"))
            }
            "SET_INTERVAL" => INTERVAL.read(arguments).map(|seconds| {
                self.interval = Duration::from_secs_f64(seconds);
                number(seconds, 3)
            }),
            command if self.model.commands().contains(&command) => {
                self.model.command(command, arguments)
            }
            command => {
                let command: String = command.chars().take(64).collect();
                Err(format!(
                    "unknown command “{command}”; known are {}",
                    self.commands().join(", ")
                ))
            }
        };
        let reaction = self.answered(message, Some(&request), result);
        Reaction {
            reboots,
            ..reaction
        }
    }

    /// The answer to a request. The device sends it to the convention's topic, and also to the
    /// response topic if the request names one.
    fn answered(
        &self,
        request: &Publish,
        command: Option<&Command<'_>>,
        result: Result<Value, String>,
    ) -> Reaction {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let (result, error) = match result {
            Ok(result) => (result, None),
            Err(error) => (Value::Null, Raw::of(&error)),
        };
        let answer = CommandAnswer {
            device_id: Some(self.id.clone()),
            message_type: Some(MessageType::CommandAnswer),
            command_result: Raw::of(&result),
            error,
            uuid: command.and_then(|command| owned(&command.uuid)),
            command: command.and_then(|command| owned(&command.command)),
            ..CommandAnswer::default()
        };
        let payload = answer.to_json();

        let properties = &request.properties;
        let elsewhere = properties
            .response_topic
            .iter()
            .filter(|topic| **topic != self.topics.response);
        let topics = std::iter::once(&self.topics.response).chain(elsewhere);
        let answers = topics
            .map(|topic| {
                let mut answer = Publish::new(topic.clone(), payload.clone());
                answer.qos = QoS::ExactlyOnce;
                if properties.response_topic.as_ref() == Some(topic) {
                    answer
                        .properties
                        .correlation_data
                        .clone_from(&properties.correlation_data);
                }
                answer.detach()
            })
            .collect();
        Reaction {
            answers,
            reboots: false,
        }
    }

    fn announced_commands(&self) -> Vec<KnownCommand> {
        let settings = self.model.settings();
        let setting = |name| {
            let mut all = settings.iter().chain([&INTERVAL]);
            all.find(|setting| setting.command == name)
        };
        let known = |name: &'static str| KnownCommand {
            name: name.to_owned(),
            destructive: name == "REBOOT",
            arguments: setting(name).into_iter().map(Setting::argument).collect(),
        };
        self.commands().into_iter().map(known).collect()
    }

    fn commands(&self) -> Vec<&'static str> {
        COMMON
            .iter()
            .chain(self.model.commands())
            .copied()
            .collect()
    }
}

fn topic(base: &str, id: &str) -> Result<TopicName, mqtt::TopicError> {
    TopicName::new(Utf8String::try_from(format!("{base}/{id}"))?)
}

fn retained(topic: &TopicName, payload: impl Into<bytes::Bytes>, qos: QoS) -> Publish {
    let mut publish = Publish::new(topic.clone(), payload);
    publish.qos = qos;
    publish.retain = true;
    publish
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn device(kind: Kind) -> Device {
        Device::new(kind, "03", 7, Duration::from_secs(1)).unwrap()
    }

    fn request(kind: Kind, payload: &str) -> Publish {
        Publish::new(
            topic(BASES.request, &format!("{}-03", kind.name())).unwrap(),
            payload.to_owned(),
        )
    }

    fn answer_to(device: &mut Device, payload: &str) -> Value {
        let mut reaction = device.handle(&request(device.kind(), payload));
        assert_eq!(reaction.answers.len(), 1);
        let answer = reaction.answers.remove(0);
        assert_eq!(
            answer.topic.unwrap().as_str(),
            format!("beaconry/cmd/resp/{}", device.id())
        );
        assert_eq!(answer.qos, QoS::ExactlyOnce);
        serde_json::from_slice(&answer.payload).unwrap()
    }

    #[test]
    fn no_member_of_a_data_message_comes_twice() {
        for kind in Kind::ALL {
            let data = device(kind).data().payload;
            let text = String::from_utf8(data.to_vec()).unwrap();
            let members = api::Members::parse(&text).unwrap();
            let mut names: Vec<&str> = members.iter().map(|(name, _)| name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{text}");
        }
    }

    #[test]
    fn every_kind_answers_ping_and_refuses_what_it_does_not_know() {
        for kind in Kind::ALL {
            let mut device = device(kind);
            let pong = answer_to(&mut device, r#"{"uuid":"u1","command":"PING"}"#);
            let expected = json!({
                "deviceId": device.id(), "messageType": "commandResp", "commandResult": "PONG", "uuid": "u1", "command": "PING",
            });
            assert_eq!(pong, expected);
            let refusal = answer_to(&mut device, r#"{"uuid":"u2","command":"<script>"}"#);
            assert_eq!(refusal["commandResult"], Value::Null);
            let error = refusal["error"].as_str().unwrap();
            assert!(error.contains("PING, SET_INTERVAL, REBOOT"), "{error}");
        }
    }

    #[test]
    fn every_announced_command_is_understood() {
        for kind in Kind::ALL {
            let mut device = device(kind);
            let announcement: Value =
                serde_json::from_slice(&device.announcement().payload).unwrap();
            for command in announcement["commands"].as_array().unwrap() {
                let mut request = json!({"command": command["name"]});
                // What it announces is enough to give it.
                for argument in command["arguments"].as_array().into_iter().flatten() {
                    request[argument["name"].as_str().unwrap()] = argument["default"].clone();
                }
                let answer = answer_to(&mut device, &request.to_string());
                assert!(answer.get("error").is_none(), "{answer}");
                let destroys = command["destructive"].as_bool().unwrap_or(false);
                assert_eq!(destroys, command["name"] == "REBOOT");
            }
        }
    }

    #[test]
    fn an_interval_is_set_within_bounds() {
        let mut device = device(Kind::Weather);
        answer_to(&mut device, r#"{"command":"SET_INTERVAL","seconds":5}"#);
        assert_eq!(device.interval(), Duration::from_secs(5));
        for bad in ["0", "-1", "1e300", "\"5\"", "null"] {
            let answer = answer_to(
                &mut device,
                &format!(r#"{{"command":"SET_INTERVAL","seconds":{bad}}}"#),
            );
            assert!(
                answer["error"].as_str().unwrap().contains("0.1 to 3600"),
                "{answer}"
            );
        }
        assert_eq!(device.interval(), Duration::from_secs(5));
    }

    #[test]
    fn nonsense_is_answered_with_an_error() {
        let mut device = device(Kind::Pump);
        for nonsense in [
            "",
            "PING",
            "[]",
            "{}",
            "{\"command\":7}",
            "\u{202e}",
            "{\"command\":\"PING\"",
        ] {
            let answer = answer_to(&mut device, nonsense);
            assert!(answer["error"].is_string(), "{answer}");
        }
        let long = answer_to(
            &mut device,
            &json!({"command": "x".repeat(4_000)}).to_string(),
        );
        assert!(long["error"].as_str().unwrap().len() < 300);
    }

    #[test]
    fn an_answer_goes_where_the_request_wants_it_once() {
        let mut device = device(Kind::Weather);
        let mut elsewhere = request(Kind::Weather, r#"{"command":"PING"}"#);
        elsewhere.properties.response_topic = Some(topic("x", "y").unwrap());
        elsewhere.properties.correlation_data = Some("c".into());
        let answers = device.handle(&elsewhere).answers;
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].properties.correlation_data, None);
        assert_eq!(answers[1].topic.as_ref().unwrap().as_str(), "x/y");
        assert_eq!(
            answers[1].properties.correlation_data.as_deref(),
            Some(&b"c"[..])
        );

        elsewhere.properties.response_topic = Some(topic(BASES.response, "weather-03").unwrap());
        let answers = device.handle(&elsewhere).answers;
        assert_eq!(answers.len(), 1);
        assert_eq!(
            answers[0].properties.correlation_data.as_deref(),
            Some(&b"c"[..])
        );
    }

    #[test]
    fn presence_follows_the_convention() {
        let device = device(Kind::Freezer);
        let sign_in = device.sign_in();
        assert_eq!(
            sign_in.topic.as_ref().unwrap().as_str(),
            "beaconry/register/freezer-03"
        );
        assert_eq!(
            (&sign_in.payload[..], sign_in.retain, sign_in.qos),
            (&b"SIGN_IN"[..], true, QoS::ExactlyOnce)
        );
        assert_eq!(sign_in.properties.message_expiry_interval, Some(300));
        assert!(Device::sign_in_again() < Duration::from_mins(5));
        let will = device.will();
        assert_eq!(
            (&will.payload[..], will.retain, will.qos),
            (&b"SIGN_OUT"[..], true, QoS::ExactlyOnce)
        );
    }

    #[test]
    fn every_kind_says_where_it_is_and_several_things_more() {
        for kind in Kind::ALL {
            let mut device = device(kind);
            device.advance(Duration::from_secs(30));
            let data: Value = serde_json::from_slice(&device.data().payload).unwrap();
            let data = data.as_object().unwrap();
            assert_eq!(data["messageType"], "DATA");
            assert!((47.0..48.1).contains(&data["lat"].as_f64().unwrap()));
            assert!((8.5..10.1).contains(&data["lng"].as_f64().unwrap()));
            assert!(data.len() >= 6, "{data:?}");
        }
    }

    #[test]
    fn the_humidity_loop_closes_over_messages() {
        let (mut sensor, mut humidifier) = (device(Kind::Humidity), device(Kind::Humidifier));
        let mut was_on = Vec::new();
        for second in 0..600 {
            let now = Duration::from_secs(second);
            sensor.advance(now);
            humidifier.advance(now);
            humidifier.handle(&sensor.data());
            let data = humidifier.data();
            sensor.handle(&data);
            let data: Value = serde_json::from_slice(&data.payload).unwrap();
            was_on.push(data["on"].as_bool().unwrap());
        }
        assert!(was_on.contains(&true) && was_on.contains(&false));
        let subscribed: Vec<_> = humidifier
            .subscriptions()
            .iter()
            .map(|s| s.topic_filter.as_str().to_owned())
            .collect();
        assert_eq!(
            subscribed,
            [
                "beaconry/cmd/req/humidifier-03",
                "beaconry/data/humidity-03"
            ]
        );
    }
}
