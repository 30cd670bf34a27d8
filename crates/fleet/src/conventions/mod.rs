//! How devices speak: each convention is a module with one function `read`, which says what a
//! message means, or that it is of another convention.
//!
//! To add one: a module beside these, an entry in [`Convention`], and its place in [`read`], the
//! particular before the general. A convention is stateless: topic, payload and the prefixes
//! that are known are all it sees, and what it returns borrows from them.

mod four_topics;
mod plain;

use crate::options::PrefixRule;
use crate::payload::Payload;
use crate::presence::OfflineReason;
use crate::readings::{Readings, Scalar};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// How a device speaks.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub enum Convention {
    /// `{prefix}/register/{id}`, `{prefix}/data/{id}`, `{prefix}/cmd/req/{id}` and
    /// `{prefix}/cmd/resp/{id}`.
    FourTopics,
    /// Any other topics.
    Plain,
}

impl Convention {
    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FourTopics => "four topics",
            Self::Plain => "plain topics",
        }
    }

    /// Whether its devices take commands.
    pub const fn has_commands(self) -> bool {
        match self {
            Self::FourTopics => true,
            Self::Plain => false,
        }
    }

    /// Where a device's commands go and where its answers come from.
    pub(crate) fn command_topics(self, prefix: &str, id: &str) -> Option<(String, String)> {
        match self {
            Self::FourTopics => Some(four_topics::command_topics(prefix, id)),
            Self::Plain => None,
        }
    }
}

/// A message that a convention recognised.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) convention: Convention,
    pub(crate) prefix: &'a str,
    pub(crate) id: &'a str,
    pub(crate) what: What<'a>,
}

/// What a message is.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) enum What<'a> {
    /// The device's presence.
    Presence(Said),
    /// A JSON object that says the device's presence, and if it does not, is values called
    /// `otherwise` (or, when `None`, is a fault).
    PresenceObject { otherwise: Option<&'a str> },
    /// Values, of the quantity `stem` if the topic names one.
    Values {
        stem: &'a str,
        unit: Option<&'static str>,
    },
    /// A command to the device.
    Request,
    /// A device's answer.
    Response,
    /// Not readable, at a place where the convention is certain.
    Unreadable(crate::fault::FaultKind),
    /// A retained message is being deleted: means nothing.
    Nothing,
}

/// A presence as said by a payload.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Said {
    Online,
    Offline(OfflineReason),
    Sleeping,
}

/// What `topic` and `payload` mean by the first convention that recognises them.
pub(crate) fn read<'a>(topic: &'a str, payload: &Payload<'a>, prefixes: &Prefixes) -> Claim<'a> {
    four_topics::read(topic, payload, prefixes).unwrap_or_else(|| plain::read(topic, payload))
}

/// Words that say a presence wherever a presence is expected.
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

/// The presence that a JSON object says: `{"state":"online"}`, `{"messageType":"SIGN_IN"}`,
/// `{"online":true}`.
pub(crate) fn presence_in(readings: &Readings) -> Option<Said> {
    readings.iter().find_map(|(name, value)| {
        let key = name.rsplit('.').next().unwrap_or(name);
        let is = |keys: &[&str]| keys.iter().any(|known| known.eq_ignore_ascii_case(key));
        match value {
            Scalar::Text(word) if is(&["state", "status", "messageType", "presence", "value"]) => {
                presence_word(word)
            }
            Scalar::Bool(true) if is(&["online", "connected", "available"]) => Some(Said::Online),
            Scalar::Bool(false) if is(&["online", "connected", "available"]) => {
                Some(Said::Offline(OfflineReason::SaidSo))
            }
            Scalar::Text(_) | Scalar::Bool(_) | Scalar::Number(_) | Scalar::Null => None,
        }
    })
}

/// The prefixes that are known to be of the four-topic convention.
#[derive(Debug)]
pub(crate) struct Prefixes {
    known: Vec<Box<str>>,
    fixed: bool,
}

/// How many prefixes are learnt. More than one is rare; the bound is against mischief.
const MAX_PREFIXES: usize = 64;

impl Prefixes {
    pub(crate) fn new(rule: &PrefixRule) -> Self {
        match rule {
            PrefixRule::Any => Self {
                known: alloc::vec!["beaconry".into()],
                fixed: false,
            },
            PrefixRule::Only(prefixes) => Self {
                known: prefixes.clone(),
                fixed: true,
            },
        }
    }

    /// Certainly of the convention.
    pub(crate) fn knows(&self, prefix: &str) -> bool {
        self.known.iter().any(|known| **known == *prefix)
    }

    /// Possibly of the convention.
    pub(crate) fn admits(&self, prefix: &str) -> bool {
        !self.fixed || self.knows(prefix)
    }

    /// The message could be of no other convention.
    pub(crate) fn learn_from(&mut self, claim: &Claim<'_>) {
        let prefix = claim.prefix;
        if claim.convention == Convention::FourTopics
            && !self.fixed
            && !self.knows(prefix)
            && self.known.len() < MAX_PREFIXES
        {
            self.known.push(prefix.into());
        }
    }
}
