//! Settings for what the standard leaves to the server.

use clap::Args;
use mqtt::TopicName;

use super::parse;

/// How the server speaks MQTT.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "MQTT")]
pub(crate) struct MqttArgs {
    /// The longest keep alive in seconds. A version 5 client that asks for a longer one, or for
    /// none, is told to use this one. Without this flag each client chooses its own.
    #[arg(long, value_name = "SECONDS", env = "BEACONRY_SERVER_KEEP_ALIVE", value_parser = clap::value_parser!(u16).range(1..))]
    server_keep_alive: Option<u16>,

    /// How long the session of a 3.1.1 client outlives its connection, unless the client asked for
    /// a clean session. The value never keeps the session for good. Version 5 clients choose this
    /// time themselves.
    #[arg(long, value_name = "TIME", env = "BEACONRY_SESSION_EXPIRY_3_1_1", default_value = "7d", value_parser = parse::expiry)]
    session_expiry_3_1_1: u32,

    /// Whether to refuse a payload that claims to be UTF-8 (version 5) and is not.
    #[arg(
        long,
        value_name = "BOOL",
        env = "BEACONRY_CHECK_PAYLOAD_FORMAT",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    check_payload_format: bool,

    /// Where version 5 clients expect the answers to their requests. A client that asks for Response
    /// Information gets this topic followed by / and its client identifier. Without this flag it
    /// gets none.
    #[arg(long, value_name = "TOPIC", env = "BEACONRY_RESPONSE_INFORMATION", value_parser = parse::topic)]
    response_information: Option<TopicName>,
}

impl MqttArgs {
    /// The broker's options. The limits are left at their defaults.
    pub(crate) fn broker(&self) -> broker::BrokerOptions {
        let response_information = self.response_information.as_ref();
        broker::BrokerOptions {
            server_keep_alive: self.server_keep_alive,
            session_expiry_interval_3_1_1: self.session_expiry_3_1_1,
            check_payload_format: self.check_payload_format,
            response_information: response_information.map(|topic| topic.as_text().clone()),
            ..broker::BrokerOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        mqtt: MqttArgs,
    }

    #[test]
    fn the_flags_set_what_they_say() {
        let line = Line::try_parse_from([
            "beaconry",
            "--server-keep-alive=20",
            "--session-expiry-3-1-1=1h",
            "--check-payload-format=false",
            "--response-information=answers",
        ]);
        let options = line.unwrap().mqtt.broker();
        assert_eq!(options.server_keep_alive, Some(20));
        assert_eq!(options.session_expiry_interval_3_1_1, 3_600);
        assert!(!options.check_payload_format);
        assert_eq!(options.response_information.as_deref(), Some("answers"));

        let options = Line::try_parse_from(["beaconry"]).unwrap().mqtt.broker();
        assert_eq!(options, broker::BrokerOptions::default());
        assert!(Line::try_parse_from(["beaconry", "--response-information=a/#"]).is_err());
        assert!(Line::try_parse_from(["beaconry", "--server-keep-alive=0"]).is_err());
    }
}
