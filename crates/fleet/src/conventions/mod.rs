//! How devices speak. Each convention is one module with one type that implements [`Speech`].
//!
//! To add a convention, add a module beside these (`mod` below) and a line to the list
//! `conventions!`. The device model knows no convention by name. It asks:
//!
//! | question | method |
//! |---|---|
//! | What does this message mean, and for which device? | [`Speech::read`] |
//! | What is this member of a payload for? | [`Speech::role`] |
//! | Which topic and payload carry this command? | [`Speech::command`] |
//! | Which command does this message carry to a device? | [`Speech::request`] |
//! | Which command does this message answer, and how? | [`Speech::answer`] |
//! | Which topic filters cover one device? | [`Speech::filters`] |
//!
//! # State
//!
//! A convention may learn. [`Speech::learn`] gets the messages of each device until it has learnt
//! from the device, and charges what it keeps to the fleet's memory. [`Speech::forget`]
//! frees what it keeps for a device. `four_topics` learns prefixes in this way, `plain` learns
//! nothing. A convention whose devices are described by a retained configuration or a birth
//! certificate keeps the descriptions in its type, with a limit and a [`Limit`] that counts what is
//! over it. `read` then finds the device of a topic there, and `command` its topic; `tests.rs` has
//! a small one.

mod four_topics;
mod ibm;
mod plain;

use crate::command::{CommandError, CommandRequest};
use crate::fault::FaultKind;
use crate::limits::{Budget, Limit};
use crate::options::FleetOptions;
use crate::payload::Payload;
use crate::presence::OfflineReason;
use crate::readings::{Readings, Scalar};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// What a device is called on the wire. The two together are unique in a fleet. A convention borrows
/// them from the message, or takes them from its state.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) struct Name<'a> {
    /// What stands before the id in its topics; may be empty.
    pub(crate) prefix: Cow<'a, str>,
    pub(crate) id: Cow<'a, str>,
}

impl<'a> Name<'a> {
    pub(crate) const fn new(prefix: &'a str, id: &'a str) -> Self {
        Self {
            prefix: Cow::Borrowed(prefix),
            id: Cow::Borrowed(id),
        }
    }

    /// Prefix and id joined by a slash.
    pub(crate) fn full(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        [&*self.prefix, slash, &*self.id].concat()
    }
}

/// The questions that a convention answers. A convention without commands leaves out the methods
/// for commands.
pub(crate) trait Speech: Sized {
    /// Its name, for people.
    const NAME: &'static str;

    /// The commands that each of its devices understands; `None` if its devices take no commands.
    const COMMANDS: Option<&'static [&'static str]> = None;

    /// The convention before it has learnt anything.
    fn new(options: &FleetOptions) -> Self;

    /// What the message means and which device it belongs to. `None`: it does not follow this
    /// convention.
    fn read<'a>(&self, topic: &'a str, payload: &Payload<'a>) -> Option<(Name<'a>, What<'a>)>;

    /// What a member of the device's payload is for; `None` for a plain value.
    fn role<'a>(&self, _name: &Name<'_>, _member: &'a str) -> Option<Role<'a>> {
        None
    }

    /// Adds the topic filters that together cover what the device of this name publishes about
    /// itself, and nothing that other devices publish. `id` is what a person calls the device: it
    /// may be a full id.
    fn filters(name: &Name<'_>, filters: &mut Vec<String>);

    /// Adds the topic filters that cover the commands to the device and its answers.
    fn command_filters(_name: &Name<'_>, _filters: &mut Vec<String>) {}

    /// Adds the topic filters that cover presence, commands and answers of all devices under a prefix.
    fn shared_filters(_prefix: &str, _filters: &mut Vec<String>) {}

    /// The message that carries a command to the device.
    fn command(
        &self,
        _name: &Name<'_>,
        _uuid: &str,
        _request: CommandRequest<'_>,
    ) -> Result<Composed, CommandError> {
        Err(CommandError::NotSupported)
    }

    /// Reads the payload of a [`What::Request`].
    fn request(&self, _name: &Name<'_>, _text: &str) -> Result<Request, FaultKind> {
        Ok(Request::default())
    }

    /// Reads the payload of a [`What::Response`].
    fn answer(&self, _name: &Name<'_>, _text: &str) -> Result<Answer, FaultKind> {
        Ok(Answer::default())
    }

    /// A message of the device was read. Keeps what the convention learns from it, and charges it to
    /// `budget`. Returns whether that was all that it learns from this device: then this is not called
    /// for the device again before [`Speech::forget`]. An error is the limit that was reached.
    fn learn(
        &mut self,
        _name: &Name<'_>,
        _what: &What<'_>,
        _payload: &Payload<'_>,
        _budget: &mut Budget,
    ) -> Result<bool, Limit> {
        Ok(false)
    }

    /// The fleet has forgotten a device for which `learn` had returned `true`. Frees what was kept
    /// for it.
    fn forget(&mut self, _name: &Name<'_>, _budget: &mut Budget) {}
}

/// Makes two types from the list of conventions: one that says which convention, and one that holds
/// all of them. Each method is a `match`: the widgets' bundle drops those that it does not call,
/// which it could not with a table of function pointers.
macro_rules! conventions {
    ($($module:ident::$Type:ident,)+) => {
        /// How a device speaks.
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
        pub struct Convention(Which);

        /// The conventions in the order of the list, the more particular ones first.
        #[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
        enum Which {
            $($Type,)+
        }

        /// All conventions, with what they have learnt.
        #[derive(Debug)]
        pub(crate) struct Conventions {
            $($module: $module::$Type,)+
        }

        impl Convention {
            /// Its name, for people.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $(Which::$Type => $module::$Type::NAME,)+
                }
            }

            /// The convention of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                let all = [$(Self(Which::$Type),)+];
                all.into_iter().find(|convention| convention.name() == name)
            }

            /// The commands that each of its devices understands; `None` if its devices take no
            /// commands.
            pub(crate) const fn common_commands(self) -> Option<&'static [&'static str]> {
                match self.0 {
                    $(Which::$Type => $module::$Type::COMMANDS,)+
                }
            }
        }

        impl Conventions {
            pub(crate) fn new(options: &FleetOptions) -> Self {
                Self {
                    $($module: $module::$Type::new(options),)+
                }
            }

            /// What a message means, according to the first convention that recognises it.
            pub(crate) fn read<'a>(
                &self,
                topic: &'a str,
                payload: &Payload<'a>,
            ) -> Option<Claim<'a>> {
                $(
                    if let Some((name, what)) = self.$module.read(topic, payload) {
                        let convention = Convention(Which::$Type);
                        return Some(Claim { convention, name, what });
                    }
                )+
                None
            }

            pub(crate) fn role<'a>(
                &self,
                convention: Convention,
                name: &Name<'_>,
                member: &'a str,
            ) -> Option<Role<'a>> {
                match convention.0 {
                    $(Which::$Type => self.$module.role(name, member),)+
                }
            }

            pub(crate) fn command(
                &self,
                convention: Convention,
                name: &Name<'_>,
                uuid: &str,
                request: CommandRequest<'_>,
            ) -> Result<Composed, CommandError> {
                match convention.0 {
                    $(Which::$Type => self.$module.command(name, uuid, request),)+
                }
            }

            pub(crate) fn request(&self, claim: &Claim<'_>, text: &str) -> Result<Request, FaultKind> {
                match claim.convention.0 {
                    $(Which::$Type => self.$module.request(&claim.name, text),)+
                }
            }

            pub(crate) fn answer(&self, claim: &Claim<'_>, text: &str) -> Result<Answer, FaultKind> {
                match claim.convention.0 {
                    $(Which::$Type => self.$module.answer(&claim.name, text),)+
                }
            }

            pub(crate) fn learn(
                &mut self,
                claim: &Claim<'_>,
                payload: &Payload<'_>,
                budget: &mut Budget,
            ) -> Result<bool, Limit> {
                match claim.convention.0 {
                    $(Which::$Type => self.$module.learn(&claim.name, &claim.what, payload, budget),)+
                }
            }

            pub(crate) fn forget(
                &mut self,
                convention: Convention,
                name: &Name<'_>,
                budget: &mut Budget,
            ) {
                match convention.0 {
                    $(Which::$Type => self.$module.forget(name, budget),)+
                }
            }
        }

        /// The topic filters that together cover what a device of this convention publishes about
        /// itself.
        pub(crate) fn filters_of(convention: Convention, name: &Name<'_>) -> Vec<String> {
            let mut filters = Vec::new();
            match convention.0 {
                $(Which::$Type => $module::$Type::filters(name, &mut filters),)+
            }
            filters
        }

        /// The topic filters that cover commands to a device of this convention, and its answers.
        pub(crate) fn command_filters_of(convention: Convention, name: &Name<'_>) -> Vec<String> {
            let mut filters = Vec::new();
            match convention.0 {
                $(Which::$Type => $module::$Type::command_filters(name, &mut filters),)+
            }
            filters
        }

        /// The topic filters that cover presence, commands and answers of all devices of this
        /// convention under a prefix.
        pub(crate) fn shared_filters_of(convention: Convention, prefix: &str) -> Vec<String> {
            let mut filters = Vec::new();
            match convention.0 {
                $(Which::$Type => $module::$Type::shared_filters(prefix, &mut filters),)+
            }
            filters
        }

        /// The topic filters that together cover what one device publishes about itself, whichever
        /// convention it follows, and nothing that other devices publish. `id` is what people call
        /// the device: it may begin with a prefix of its own. Neither may have wildcards in it.
        pub fn topic_filters(prefix: &str, id: &str) -> Vec<String> {
            let mut filters = Vec::new();
            $($module::$Type::filters(&Name::new(prefix, id), &mut filters);)+
            filters
        }
    };
}

// The first convention that recognises a message handles it. So a particular convention stands
// before a more general one.
conventions! {
    four_topics::FourTopics,
    ibm::Ibm,
    plain::Plain,
}

impl Convention {
    /// The convention of which every message is.
    pub(crate) const fn most_general() -> Self {
        Self(Which::Plain)
    }

    /// Whether its devices take commands.
    pub const fn has_commands(self) -> bool {
        self.common_commands().is_some()
    }

    /// Whether a device that has spoken by both conventions counts as following this one.
    pub(crate) fn wins_over(self, other: Self) -> bool {
        self < other
    }
}

/// A message that a convention recognised.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) convention: Convention,
    pub(crate) name: Name<'a>,
    pub(crate) what: What<'a>,
}

/// What a message is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum What<'a> {
    /// The device's presence.
    Presence(Said),
    /// A JSON object that may say the device's presence. If it does not, it holds values called
    /// `otherwise`, or is a fault when that is `None`.
    PresenceObject { otherwise: Option<&'a str> },
    /// Values. `stem` is the quantity, if the topic names one.
    Values {
        stem: Cow<'a, str>,
        unit: Option<&'static str>,
    },
    /// A command to the device.
    Request,
    /// A device's answer.
    Response,
    /// A payload that cannot be read, on a topic that certainly belongs to the convention.
    Unreadable(FaultKind),
    /// It says nothing about any device: it is a command to one.
    Nothing,
}

/// The presence that a payload reports.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Said {
    Online,
    Offline(OfflineReason),
    Sleeping,
}

/// What a member of a payload is for.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Role<'a> {
    /// A value that the device measured.
    Metric,
    /// When the values were measured.
    OwnClock,
    /// Degrees north.
    Latitude,
    /// Degrees east.
    Longitude,
    /// The device's id, which the topic names too.
    DeviceId,
    /// Something about the message, not about the device.
    Envelope,
    /// The name of a command that the device understands.
    Command,
    /// The unit of the metric of this name.
    Unit(&'a str),
}

/// A command as a convention writes it.
#[derive(Debug)]
pub(crate) struct Composed {
    /// The command's name.
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) response_topic: String,
}

/// A command that was seen on the wire. Without a uuid it cannot be followed.
#[derive(Default, Debug)]
pub(crate) struct Request {
    pub(crate) uuid: String,
    pub(crate) name: String,
}

/// What an answer says. The uuid tells which command it answers. If that is empty, the message's
/// correlation data tells. Without either, it answers the oldest open command of the same name.
#[derive(Default, Debug)]
pub(crate) struct Answer {
    pub(crate) uuid: String,
    pub(crate) name: String,
    /// JSON, for people.
    pub(crate) result: String,
    pub(crate) ok: bool,
}

/// The presence that a word means, wherever a presence is expected.
pub(crate) fn presence_word(word: &str) -> Option<Said> {
    const WORDS: &[(&str, Said)] = &[
        ("online", Said::Online),
        ("offline", Said::Offline(OfflineReason::SaidSo)),
        ("sign_in", Said::Online),
        ("sign_out", Said::Offline(OfflineReason::SaidSo)),
        ("connected", Said::Online),
        ("disconnected", Said::Offline(OfflineReason::SaidSo)),
        ("available", Said::Online),
        ("unavailable", Said::Offline(OfflineReason::SaidSo)),
        ("alive", Said::Online),
        ("on", Said::Online),
        ("off", Said::Offline(OfflineReason::SaidSo)),
        ("up", Said::Online),
        ("down", Said::Offline(OfflineReason::SaidSo)),
        ("gone", Said::Offline(OfflineReason::SaidSo)),
        ("unreachable", Said::Offline(OfflineReason::Lost)),
        ("init", Said::Online),
        ("ready", Said::Online),
        ("alert", Said::Online),
        ("dead", Said::Offline(OfflineReason::Lost)),
        ("lost", Said::Offline(OfflineReason::Lost)),
        ("connection lost", Said::Offline(OfflineReason::Lost)),
        ("sleeping", Said::Sleeping),
        ("asleep", Said::Sleeping),
    ];
    let found = WORDS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(word));
    found.map(|(_, said)| *said)
}

/// The presence that a JSON object says, and which of its values says it: `{"state":"online"}`,
/// `{"messageType":"SIGN_IN"}`, `{"online":true}`. Only its own members count: deeper ones speak of parts
/// of the device. `stem` is the name that the topic gives.
pub(crate) fn presence_in(readings: &Readings, stem: &str) -> Option<(usize, Said)> {
    let said = |(name, value): (&str, Scalar<'_>)| {
        let own = own_name(name, stem);
        let key = if own.is_empty() { "value" } else { own };
        // On `…/online`, a member of that name or of none means the same.
        let named = ["online", "connected", "available", "value"];
        let is = |keys: &[&str]| keys.iter().any(|known| known.eq_ignore_ascii_case(key));
        match value {
            Scalar::Text(word) if is(&["state", "status", "messageType", "presence", "value"]) => {
                presence_word(word)
            }
            Scalar::Bool(true) if is(&named) => Some(Said::Online),
            Scalar::Bool(false) if is(&named) => Some(Said::Offline(OfflineReason::SaidSo)),
            Scalar::Text(_) | Scalar::Bool(_) | Scalar::Number(_) | Scalar::Null => None,
        }
    };
    (0..readings.len()).find_map(|index| Some((index, readings.get(index).and_then(said)?)))
}

/// A value's name without the one that its topic gives.
pub(crate) fn own_name<'a>(name: &'a str, stem: &str) -> &'a str {
    if stem.is_empty() {
        return name;
    }
    let rest = name.strip_prefix(stem).unwrap_or(name);
    rest.strip_prefix('.').unwrap_or(rest)
}

#[cfg(test)]
mod tests;
