//! `-D`: the properties of version 5, as mosquitto's tools take them.
//!
//! `-D publish content-type text/plain -D connect user-property name value`

use std::num::NonZeroU32;
use std::str::FromStr;

use bytes::Bytes;
use clap::Args;
use mqtt::client::SubscribeProperties;
use mqtt::packet::{DisconnectProperties, PublishProperties, UserProperty, WillProperties};
use mqtt::{ClientOptions, TopicName, Utf8String};

/// The option.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
pub(crate) struct PropertyArgs {
    /// A property of version 5, which the connection then speaks: the packet (connect, publish,
    /// subscribe, disconnect or will), the property's name, its value; for user-property a name and a
    /// value. May be given several times.
    #[arg(
        short = 'D',
        long = "property",
        value_names = ["PACKET", "PROPERTY", "VALUE"],
        num_args = 3..=4,
        allow_negative_numbers = true
    )]
    property: Vec<String>,
}

/// All properties that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    connect: ConnectProperties,
    pub(crate) publish: PublishProperties,
    pub(crate) subscribe: SubscribeProperties,
    pub(crate) disconnect: DisconnectProperties,
    will: Option<WillProperties>,
}

/// Those of CONNECT that a client does not choose itself.
#[derive(Clone, Debug, Default)]
struct ConnectProperties {
    session_expiry_interval: Option<u32>,
    receive_maximum: Option<u16>,
    maximum_packet_size: Option<u32>,
    topic_alias_maximum: Option<u16>,
    request_response_information: Option<bool>,
    request_problem_information: Option<bool>,
    user_properties: Vec<UserProperty>,
}

impl PropertyArgs {
    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.property.is_empty()
    }

    /// Reads them. `Err` says which is wrong.
    pub(crate) fn properties(&self) -> Result<Properties, String> {
        let mut properties = Properties::default();
        let mut words = self.property.iter().map(String::as_str);
        while let Some(packet) = words.next() {
            let (Some(name), Some(value)) = (words.next(), words.next()) else {
                return Err(format!("-D {packet}: a property needs a name and a value"));
            };
            let value = if name == "user-property" {
                let Some(second) = words.next() else {
                    return Err(format!("-D {packet} {name} {value}: the value is missing"));
                };
                Value::Pair(value, second)
            } else {
                Value::One(value)
            };
            let taken = properties.take(packet, name, value);
            taken.map_err(|error| format!("-D {packet} {name}: {error}"))?;
        }
        Ok(properties)
    }
}

/// What stands behind a property's name.
#[derive(Clone, Copy)]
enum Value<'a> {
    One(&'a str),
    Pair(&'a str, &'a str),
}

impl Value<'_> {
    fn number<T: FromStr>(self, range: &str) -> Result<T, String> {
        self.one().parse().map_err(|_| format!("give {range}"))
    }

    fn flag(self) -> Result<bool, String> {
        match self.one() {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err("give 0 or 1".to_owned()),
        }
    }

    fn text(self) -> Result<Utf8String, String> {
        Utf8String::try_from(self.one()).map_err(|error| error.to_string())
    }

    fn topic(self) -> Result<TopicName, String> {
        TopicName::try_from(self.one()).map_err(|error| error.to_string())
    }

    fn bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.one().as_bytes())
    }

    fn pair(self) -> Result<UserProperty, String> {
        let (name, value) = match self {
            Self::One(name) => (name, ""),
            Self::Pair(name, value) => (name, value),
        };
        let text = |text: &str| Utf8String::try_from(text).map_err(|error| error.to_string());
        Ok((text(name)?, text(value)?))
    }

    fn one(&self) -> &str {
        match self {
            Self::One(value) | Self::Pair(value, _) => value,
        }
    }
}

const U32: &str = "0 to 4294967295";
const U16: &str = "0 to 65535";

impl Properties {
    fn take(&mut self, packet: &str, name: &str, value: Value<'_>) -> Result<(), String> {
        match packet.to_ascii_lowercase().as_str() {
            "connect" => self.connect.take(name, value),
            "publish" => take_publish(&mut self.publish, name, value),
            "subscribe" => take_subscribe(&mut self.subscribe, name, value),
            "disconnect" => take_disconnect(&mut self.disconnect, name, value),
            "will" => take_will(self.will.get_or_insert_default(), name, value),
            "unsubscribe" => Err(
                "properties of UNSUBSCRIBE are not supported; leave them out, brokers only pass them on"
                    .to_owned(),
            ),
            _ => Err("the packet is connect, publish, subscribe, disconnect or will".to_owned()),
        }
    }

    /// Puts those of CONNECT and of the will where they belong.
    pub(crate) fn apply(&self, options: &mut ClientOptions) -> Result<(), String> {
        let connect = &self.connect;
        let expiry = connect.session_expiry_interval;
        options.session_expiry_interval = expiry.unwrap_or(options.session_expiry_interval);
        options.receive_maximum = connect.receive_maximum.unwrap_or(options.receive_maximum);
        let size = connect.maximum_packet_size;
        options.maximum_packet_size = size.unwrap_or(options.maximum_packet_size);
        let aliases = connect.topic_alias_maximum;
        options.topic_alias_maximum = aliases.unwrap_or(options.topic_alias_maximum);
        options.request_response_information = connect.request_response_information;
        options.request_problem_information = connect.request_problem_information;
        options.user_properties.clone_from(&connect.user_properties);
        match (&self.will, &mut options.will) {
            (None, _) => {}
            (Some(properties), Some(will)) => will.properties = properties.clone(),
            (Some(_), None) => return Err("-D will needs a will: --will-topic".to_owned()),
        }
        Ok(())
    }
}

impl ConnectProperties {
    fn take(&mut self, name: &str, value: Value<'_>) -> Result<(), String> {
        match name {
            "session-expiry-interval" => self.session_expiry_interval = Some(value.number(U32)?),
            "receive-maximum" => self.receive_maximum = Some(value.number(U16)?),
            "maximum-packet-size" => self.maximum_packet_size = Some(value.number(U32)?),
            "topic-alias-maximum" => self.topic_alias_maximum = Some(value.number(U16)?),
            "request-response-information" => {
                self.request_response_information = Some(value.flag()?);
            }
            "request-problem-information" => {
                self.request_problem_information = Some(value.flag()?);
            }
            "user-property" => self.user_properties.push(value.pair()?),
            "authentication-method" | "authentication-data" => {
                return Err(
                    "enhanced authentication is not supported; use -u and -P, or --cert".to_owned(),
                );
            }
            _ => {
                return Err(unknown(
                    "session-expiry-interval, receive-maximum, maximum-packet-size, \
                     topic-alias-maximum, request-response-information, \
                     request-problem-information, user-property",
                ));
            }
        }
        Ok(())
    }
}

fn take_publish(
    properties: &mut PublishProperties,
    name: &str,
    value: Value<'_>,
) -> Result<(), String> {
    match name {
        "payload-format-indicator" => properties.payload_format_indicator = Some(value.flag()?),
        "message-expiry-interval" => properties.message_expiry_interval = Some(value.number(U32)?),
        "content-type" => properties.content_type = Some(value.text()?),
        "response-topic" => properties.response_topic = Some(value.topic()?),
        "correlation-data" => properties.correlation_data = Some(value.bytes()),
        "user-property" => properties.user_properties.push(value.pair()?),
        // The client uses aliases wherever the server allows them, and chooses the numbers itself.
        "topic-alias" => {
            value.number::<u16>(U16)?;
        }
        _ => {
            return Err(unknown(
                "payload-format-indicator, message-expiry-interval, content-type, response-topic, \
                 correlation-data, topic-alias, user-property",
            ));
        }
    }
    Ok(())
}

fn take_subscribe(
    properties: &mut SubscribeProperties,
    name: &str,
    value: Value<'_>,
) -> Result<(), String> {
    match name {
        "subscription-identifier" => {
            let identifier: NonZeroU32 = value.number("1 to 268435455")?;
            if identifier.get() > 268_435_455 {
                return Err("give 1 to 268435455".to_owned());
            }
            properties.identifier = Some(identifier);
        }
        "user-property" => properties.user_properties.push(value.pair()?),
        _ => return Err(unknown("subscription-identifier, user-property")),
    }
    Ok(())
}

fn take_disconnect(
    properties: &mut DisconnectProperties,
    name: &str,
    value: Value<'_>,
) -> Result<(), String> {
    match name {
        "session-expiry-interval" => properties.session_expiry_interval = Some(value.number(U32)?),
        "reason-string" => properties.reason_string = Some(value.text()?),
        "user-property" => properties.user_properties.push(value.pair()?),
        _ => {
            return Err(unknown(
                "session-expiry-interval, reason-string, user-property",
            ));
        }
    }
    Ok(())
}

fn take_will(properties: &mut WillProperties, name: &str, value: Value<'_>) -> Result<(), String> {
    match name {
        "will-delay-interval" => properties.will_delay_interval = Some(value.number(U32)?),
        "payload-format-indicator" => properties.payload_format_indicator = Some(value.flag()?),
        "message-expiry-interval" => properties.message_expiry_interval = Some(value.number(U32)?),
        "content-type" => properties.content_type = Some(value.text()?),
        "response-topic" => properties.response_topic = Some(value.topic()?),
        "correlation-data" => properties.correlation_data = Some(value.bytes()),
        "user-property" => properties.user_properties.push(value.pair()?),
        _ => {
            return Err(unknown(
                "will-delay-interval, payload-format-indicator, message-expiry-interval, \
                 content-type, response-topic, correlation-data, user-property",
            ));
        }
    }
    Ok(())
}

fn unknown(known: &str) -> String {
    format!("the packet has no such property; it has {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Properties, String> {
        let property = words.iter().map(|&it| it.to_owned()).collect();
        PropertyArgs { property }.properties()
    }

    #[test]
    fn each_packet_gets_its_own() {
        let properties = parsed(&[
            "publish",
            "content-type",
            "text/plain", //
            "publish",
            "user-property",
            "a",
            "1", //
            "connect",
            "user-property",
            "b",
            "2", //
            "connect",
            "receive-maximum",
            "7", //
            "subscribe",
            "subscription-identifier",
            "5", //
            "disconnect",
            "session-expiry-interval",
            "9", //
        ])
        .unwrap();
        assert_eq!(
            properties.publish.content_type.as_deref(),
            Some("text/plain")
        );
        assert_eq!(&*properties.publish.user_properties[0].0, "a");
        assert_eq!(
            properties.subscribe.identifier.map(NonZeroU32::get),
            Some(5)
        );
        assert_eq!(properties.disconnect.session_expiry_interval, Some(9));
        let mut options = ClientOptions::new(Utf8String::default());
        properties.apply(&mut options).unwrap();
        assert_eq!(options.receive_maximum, 7);
        assert_eq!(&*options.user_properties[0].1, "2");
    }

    #[test]
    fn a_mistake_is_named() {
        for (words, part) in [
            (&["publish", "content-type"][..], "needs a name and a value"),
            (&["publish", "user-property", "a"], "value is missing"),
            (&["publish", "reason-string", "a"], "content-type"),
            (&["puback", "reason-string", "a"], "connect, publish"),
            (&["connect", "receive-maximum", "x"], "65535"),
            (&["connect", "authentication-method", "x"], "-u and -P"),
            (&["publish", "response-topic", "a/#"], "response-topic"),
            (&["subscribe", "subscription-identifier", "0"], "268435455"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
        let will = parsed(&["will", "content-type", "x"]).unwrap();
        let mut options = ClientOptions::new(Utf8String::default());
        assert!(
            will.apply(&mut options)
                .unwrap_err()
                .contains("--will-topic")
        );
    }
}
