//! The four-topic convention, under a prefix of any depth:
//!
//! | topic | payload |
//! |---|---|
//! | `{prefix}/register/{id}` | `SIGN_IN` or `SIGN_OUT` in any case, or a JSON object that says so in `messageType`, `status` or `state` |
//! | `{prefix}/data/{id}` | a JSON object |
//! | `{prefix}/cmd/req/{id}` | a JSON object with `uuid` and `command` |
//! | `{prefix}/cmd/resp/{id}` | a JSON object with `uuid` and `commandResult` |
//!
//! Other topics look like these too (`site/data/x`), so the convention learns its prefixes. It
//! learns a prefix when a device uses it for something that only this convention has. Under a known
//! prefix everything on the four topics belongs to the convention, and what cannot be read there is
//! a fault. A prefix stays known as long as the fleet knows a device that taught it.

use super::{Answer, Composed, Name, Request, Role, Said, Speech, What, presence_word};
use crate::TELEMETRY;
use crate::command::{CommandError, CommandRequest};
use crate::fault::FaultKind;
use crate::json;
use crate::limits::{Budget, Limit};
use crate::options::FleetOptions;
use crate::payload::{Form, Payload};
use crate::prefix_rule::PrefixRule;
use crate::presence::OfflineReason;
use crate::text::{contains, split_last_level};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// The convention, with the prefixes that are known to belong to it.
#[derive(Debug)]
pub(super) struct FourTopics {
    /// Prefixes that are known from the start, and for ever.
    given: Vec<Box<str>>,
    learnt: Vec<Learnt>,
    /// Whether other prefixes than the given ones may be of the convention.
    learns: bool,
}

/// A prefix that devices have taught us.
#[derive(Debug)]
struct Learnt {
    prefix: Box<str>,
    /// How many devices keep it known.
    devices: u32,
}

/// The most prefixes that are learnt. Most sites have one. The limit stops attackers.
const MAX_LEARNT: usize = 64;

impl FourTopics {
    fn knows(&self, prefix: &str) -> bool {
        self.given.iter().any(|given| **given == *prefix)
            || self.learnt.iter().any(|learnt| *learnt.prefix == *prefix)
    }

    fn place(&self, prefix: &str) -> Option<usize> {
        let mut learnt = self.learnt.iter();
        learnt.position(|learnt| *learnt.prefix == *prefix)
    }
}

impl Speech for FourTopics {
    const NAME: &'static str = "four topics";
    const COMMANDS: Option<&'static [&'static str]> = Some(&["PING"]);

    fn new(options: &FleetOptions) -> Self {
        let (given, learns) = match &options.prefixes {
            PrefixRule::Any => (alloc::vec!["beaconry".into()], true),
            PrefixRule::Only(prefixes) => (prefixes.clone(), false),
        };
        Self {
            given,
            learnt: Vec::new(),
            learns,
        }
    }

    /// Under a known prefix everything on the four topics belongs to the convention. Under other
    /// prefixes only what looks like it does.
    fn read<'a>(&self, topic: &'a str, payload: &Payload<'a>) -> Option<(Name<'a>, What<'a>)> {
        let (head, id) = split_last_level(topic)?;
        let (parent, last) = split_last_level(head).unwrap_or(("", head));
        let (prefix, kind) = match last {
            "register" => (parent, Kind::Register),
            "data" => (parent, Kind::Data),
            "req" => (without_cmd(parent)?, Kind::Request),
            "resp" => (without_cmd(parent)?, Kind::Response),
            _ => return None,
        };
        let known = self.knows(prefix);
        if !known && !self.learns {
            return None;
        }
        let what = match (payload.form, kind) {
            (Form::Json, Kind::Data) => What::Values {
                stem: "".into(),
                unit: None,
            },
            (Form::Json, Kind::Request) if known || has_uuid(payload.text) => What::Request,
            (Form::Json, Kind::Response) if known || has_uuid(payload.text) => What::Response,
            (Form::Json, Kind::Register) if known || says_sign(payload.text) => {
                What::PresenceObject { otherwise: None }
            }
            (_, Kind::Register) => match register_word(payload.text, known) {
                Some(said) => What::Presence(said),
                None if known => What::Unreadable(FaultKind::UnknownPresence),
                None => return None,
            },
            (Form::Binary, _) if known => What::Unreadable(FaultKind::NotText),
            _ if known => What::Unreadable(FaultKind::NotJson),
            _ => return None,
        };
        let mut name = Name::new(prefix, id);
        if TELEMETRY && prefix.is_empty() && topic.starts_with('/') {
            // `/register/x` is not `register/x`. There is no prefix to say so.
            name.id = ["/", id].concat().into();
        }
        Some((name, what))
    }

    fn role<'a>(&self, _name: &Name<'_>, member: &'a str) -> Option<Role<'a>> {
        // Most members are readings, and begin otherwise.
        if !matches!(member.as_bytes().first(), Some(b'd' | b'm' | b'c' | b'u')) {
            return None;
        }
        match member {
            "deviceId" => return Some(Role::DeviceId),
            "messageType" => return Some(Role::Envelope),
            _ => {}
        }
        if let Some(command) = member.strip_prefix("commands.") {
            return Some(if is_command_name(command) {
                Role::Command
            } else {
                Role::Envelope
            });
        }
        member.strip_prefix("units.").map(Role::Unit)
    }

    /// Filters for registrations and data of the device, under `name.prefix`, and also under the
    /// prefix in its own id if the id has slashes. Commands and their answers are not the device's
    /// state.
    fn filters(name: &Name<'_>, filters: &mut Vec<String>) {
        let own = split_last_level(&name.id).map(|(prefix, id)| match prefix {
            "" if TELEMETRY => Name::new("", &name.id),
            _ => Name::new(prefix, id),
        });
        for name in core::iter::once(name).chain(&own) {
            for kind in ["register/", "data/"] {
                filters.push(topic(name, kind));
            }
        }
    }

    fn command_filters(name: &Name<'_>, filters: &mut Vec<String>) {
        for kind in ["cmd/req/", "cmd/resp/"] {
            filters.push(topic(name, kind));
        }
    }

    fn shared_filters(prefix: &str, filters: &mut Vec<String>) {
        let any = Name::new(prefix, "+");
        for kind in ["register/", "cmd/req/", "cmd/resp/"] {
            filters.push(topic(&any, kind));
        }
    }

    fn command(
        &self,
        name: &Name<'_>,
        uuid: &str,
        request: CommandRequest<'_>,
    ) -> Result<Composed, CommandError> {
        let mut payload = String::from("{\"uuid\":");
        json::quote_into(uuid, &mut payload);
        let mut called = String::new();
        match request {
            CommandRequest::Named(command) => {
                called.push_str(command);
                payload.push_str(",\"command\":");
                json::quote_into(command, &mut payload);
            }
            CommandRequest::Json(text) => {
                let mut has_uuid = false;
                json::each_member(text, |member, value| {
                    match member {
                        "uuid" => has_uuid = true,
                        "command" => set_text(&mut called, value),
                        _ => {}
                    }
                    payload.push(',');
                    json::quote_into(member, &mut payload);
                    payload.push(':');
                    payload.push_str(value);
                })
                .map_err(|error| CommandError::NotAnObject {
                    offset: error.offset,
                })?;
                if has_uuid {
                    return Err(CommandError::HasUuid);
                }
            }
        }
        payload.push('}');
        if called.is_empty() {
            return Err(CommandError::NoName);
        }
        Ok(Composed {
            name: called,
            topic: topic(name, "cmd/req/"),
            response_topic: topic(name, "cmd/resp/"),
            payload,
        })
    }

    fn request(&self, _name: &Name<'_>, text: &str) -> Result<Request, FaultKind> {
        let mut request = Request::default();
        json::each_member(text, |member, value| match member {
            "uuid" => set_text(&mut request.uuid, value),
            "command" => set_text(&mut request.name, value),
            _ => {}
        })
        .map_err(|_| FaultKind::NotJson)?;
        Ok(request)
    }

    fn answer(&self, _name: &Name<'_>, text: &str) -> Result<Answer, FaultKind> {
        let mut answer = Answer {
            ok: true,
            ..Answer::default()
        };
        let mut reason = None;
        json::each_member(text, |member, value| {
            answer.ok &= !api::says_failure(member, value);
            match member {
                "uuid" => set_text(&mut answer.uuid, value),
                "command" => set_text(&mut answer.name, value),
                "commandResult" => {
                    answer.result.clear();
                    answer.result.push_str(value);
                }
                "error" => reason = Some(value).filter(|value| api::says_failure(member, value)),
                _ => {}
            }
        })
        .map_err(|_| FaultKind::NotJson)?;
        // Beside a reason, a result of `null` says nothing, so people read the reason.
        if (answer.result.is_empty() || answer.result == "null")
            && let Some(reason) = reason
        {
            answer.result.clear();
            answer.result.push_str(reason);
        }
        Ok(answer)
    }

    fn learn(
        &mut self,
        name: &Name<'_>,
        what: &What<'_>,
        payload: &Payload<'_>,
        budget: &mut Budget,
    ) -> Result<bool, Limit> {
        if self.given.iter().any(|given| **given == *name.prefix) {
            return Ok(true);
        }
        let certain = match what {
            What::Presence(_) | What::PresenceObject { .. } | What::Request | What::Response => {
                true
            }
            What::Values { .. } => contains(payload.text, "\"messageType\""),
            What::Unreadable(_) | What::Nothing => false,
        };
        if !certain {
            return Ok(false);
        }
        if let Some(place) = self.place(&name.prefix) {
            self.learnt[place].devices += 1;
            return Ok(true);
        }
        if self.learnt.len() >= MAX_LEARNT {
            return Err(Limit::Prefixes);
        }
        if !budget.charge(cost(&name.prefix)) {
            return Err(Limit::Bytes);
        }
        self.learnt.push(Learnt {
            prefix: (&*name.prefix).into(),
            devices: 1,
        });
        Ok(true)
    }

    fn forget(&mut self, name: &Name<'_>, budget: &mut Budget) {
        let Some(place) = self.place(&name.prefix) else {
            return;
        };
        let learnt = &mut self.learnt[place];
        learnt.devices -= 1;
        if learnt.devices == 0 {
            budget.refund(cost(&name.prefix));
            self.learnt.swap_remove(place);
        }
    }
}

#[derive(Copy, Clone)]
enum Kind {
    Register,
    Data,
    Request,
    Response,
}

const fn cost(prefix: &str) -> usize {
    size_of::<Learnt>() + prefix.len()
}

/// `{prefix}/{kind}{id}`; `kind` ends with a slash.
fn topic(name: &Name<'_>, kind: &str) -> String {
    let rooted = name.id.strip_prefix("/");
    let rooted = rooted.filter(|_| TELEMETRY && name.prefix.is_empty());
    let slash = if name.prefix.is_empty() && rooted.is_none() {
        ""
    } else {
        "/"
    };
    [&*name.prefix, slash, kind, rooted.unwrap_or(&name.id)].concat()
}

/// The prefix: `mqtt/blog` of `mqtt/blog/cmd`, and an empty one of `cmd` alone.
fn without_cmd(parent: &str) -> Option<&str> {
    match parent.strip_suffix("cmd")? {
        "" => Some(""),
        rest => rest.strip_suffix('/'),
    }
}

fn has_uuid(text: &str) -> bool {
    contains(text, "\"uuid\"")
}

fn sign_word(text: &str) -> Option<Said> {
    match api::Registration::from_word(text)? {
        api::Registration::SignIn => Some(Said::Online),
        api::Registration::SignOut => Some(Said::Offline(OfflineReason::SaidSo)),
    }
}

/// Under a known prefix other words of presence are understood too.
fn register_word(text: &str, known: bool) -> Option<Said> {
    sign_word(text).or_else(|| presence_word(text).filter(|_| known))
}

fn says_sign(text: &str) -> bool {
    contains(text, "SIGN_IN") || contains(text, "SIGN_OUT")
}

/// Whether a member's name names a command. `rest` is what stands behind `commands.`, such as `3`,
/// `3.command` or `3.name`.
fn is_command_name(rest: &str) -> bool {
    let (index, member) = rest.split_once('.').unwrap_or((rest, ""));
    index.bytes().all(|byte| byte.is_ascii_digit()) && matches!(member, "" | "command" | "name")
}

/// Sets `text` to the text that `value` holds, or to nothing if `value` is no text.
fn set_text(text: &mut String, value: &str) {
    text.clear();
    json::unquote_into(value, text);
}
