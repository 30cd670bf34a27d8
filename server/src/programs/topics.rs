//! The four topics of the founding documents: data, command requests, command answers, registration. Each
//! is a topic to which a program adds `/` and the device's id.

use clap::Args;
use mqtt::{TopicFilter, TopicName};

use super::environment::Environment;

/// The options for the four topics.
// Printed by `--help` as they are: no backticks. The fields' names are those of the flags.
#[allow(clippy::doc_markdown, clippy::struct_field_names)]
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Topics")]
pub(crate) struct TopicArgs {
    /// Where devices send data; /ID is added. Or the variable DATA_TOPIC.
    #[arg(long, value_name = "TOPIC")]
    data_topic: Option<String>,

    /// Where devices get commands; /ID is added. Or the variable CMD_REQ_TOPIC.
    #[arg(long, value_name = "TOPIC")]
    cmd_req_topic: Option<String>,

    /// Where devices answer commands; /ID is added. Or the variable CMD_RESP_TOPIC.
    #[arg(long, value_name = "TOPIC")]
    cmd_resp_topic: Option<String>,

    /// Where devices sign in and out; /ID is added. Or the variable REGISTER_TOPIC.
    #[arg(long, value_name = "TOPIC")]
    register_topic: Option<String>,
}

/// The four topics, without the device's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topics {
    pub(crate) data: String,
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) register: String,
}

/// Which of the four topics a message came by.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Data,
    Response,
    Register,
}

impl Topics {
    /// The topics of this prefix: `PREFIX/data` and its like.
    pub(crate) fn of_prefix(prefix: &str) -> Self {
        Self {
            data: format!("{prefix}/data"),
            request: format!("{prefix}/cmd/req"),
            response: format!("{prefix}/cmd/resp"),
            register: format!("{prefix}/register"),
        }
    }

    /// A flag wins over a variable, and a variable over the prefix `beaconry`. `Err` says which topic no
    /// message can have.
    pub(crate) fn new(args: &TopicArgs, environment: &Environment) -> Result<Self, String> {
        let usual = Self::of_prefix("beaconry");
        let choose = |flag: &Option<String>, variable: &str, usual: String| {
            let given = flag.clone().or_else(|| environment.get(variable));
            let topic = given.unwrap_or(usual);
            let topic = topic.trim_end_matches('/').to_owned();
            match TopicName::try_from(topic.as_str()) {
                Ok(_) => Ok(topic),
                Err(error) => Err(format!("{variable}={topic}: {error}")),
            }
        };
        Ok(Self {
            data: choose(&args.data_topic, "DATA_TOPIC", usual.data)?,
            request: choose(&args.cmd_req_topic, "CMD_REQ_TOPIC", usual.request)?,
            response: choose(&args.cmd_resp_topic, "CMD_RESP_TOPIC", usual.response)?,
            register: choose(&args.register_topic, "REGISTER_TOPIC", usual.register)?,
        })
    }

    /// The filters for what all devices send: data, answers and registrations.
    pub(crate) fn of_all_devices(&self) -> Result<[TopicFilter; 3], mqtt::TopicError> {
        let filter = |topic: &str| TopicFilter::try_from(format!("{topic}/+").as_str());
        Ok([
            filter(&self.data)?,
            filter(&self.response)?,
            filter(&self.register)?,
        ])
    }

    /// Which topic this is, and whose.
    pub(crate) fn read<'a>(&self, topic: &'a str) -> Option<(Part, &'a str)> {
        let (base, id) = topic.rsplit_once('/')?;
        let part = if base == self.data {
            Part::Data
        } else if base == self.response {
            Part::Response
        } else if base == self.register {
            Part::Register
        } else {
            return None;
        };
        Some((part, id))
    }
}

/// A device's own topic.
pub(crate) fn of_device(base: &str, id: &str) -> Result<TopicName, mqtt::TopicError> {
    TopicName::try_from(format!("{base}/{id}").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_a_variable_and_that_over_what_is_usual() {
        let environment = Environment::of(&[
            ("DATA_TOPIC", "mqtt/blog/examples/data"),
            ("REGISTER_TOPIC", "mqtt/blog/examples/register/"),
        ]);
        let args = TopicArgs {
            data_topic: Some("my/data".to_owned()),
            ..TopicArgs::default()
        };
        let topics = Topics::new(&args, &environment).unwrap();
        assert_eq!(topics.data, "my/data");
        assert_eq!(topics.register, "mqtt/blog/examples/register");
        assert_eq!(topics.request, "beaconry/cmd/req");
        let wrong = Environment::of(&[("CMD_REQ_TOPIC", "a/+")]);
        let error = Topics::new(&TopicArgs::default(), &wrong).unwrap_err();
        assert!(error.starts_with("CMD_REQ_TOPIC=a/+"), "{error}");
    }

    #[test]
    fn a_message_is_told_by_its_topic() {
        let topics = Topics::of_prefix("a/b");
        assert_eq!(topics.read("a/b/data/x"), Some((Part::Data, "x")));
        assert_eq!(topics.read("a/b/cmd/resp/x"), Some((Part::Response, "x")));
        assert_eq!(topics.read("a/b/register/x"), Some((Part::Register, "x")));
        assert_eq!(
            (topics.read("a/b/cmd/req/x"), topics.read("data")),
            (None, None)
        );
    }
}
