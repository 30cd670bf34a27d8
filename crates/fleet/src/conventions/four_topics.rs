//! The four-topic convention, under a prefix of any depth:
//!
//! | topic | payload |
//! |---|---|
//! | `{prefix}/register/{id}` | `SIGN_IN` or `SIGN_OUT` in any case, or a JSON object that says so in `messageType`, `status` or `state` |
//! | `{prefix}/data/{id}` | a JSON object |
//! | `{prefix}/cmd/req/{id}` | a JSON object with `uuid` and `command` |
//! | `{prefix}/cmd/resp/{id}` | a JSON object with `uuid` and `commandResult` |

use super::{Claim, Convention, Prefixes, Said, What};
use crate::fault::FaultKind;
use crate::payload::{Form, Payload};
use crate::presence::OfflineReason;
use crate::text::{contains, split_last_level};
use alloc::string::String;

/// What the message means, if it is of this convention. Under a known prefix everything on the
/// four topics is; under others only what looks like it.
pub(super) fn read<'a>(
    topic: &'a str,
    payload: &Payload<'a>,
    prefixes: &Prefixes,
) -> Option<Claim<'a>> {
    let (head, id) = split_last_level(topic)?;
    let (parent, last) = split_last_level(head).unwrap_or(("", head));
    let (prefix, role) = match last {
        "register" => (parent, Role::Register),
        "data" => (parent, Role::Data),
        "req" => (without_cmd(parent)?, Role::Request),
        "resp" => (without_cmd(parent)?, Role::Response),
        _ => return None,
    };
    if !prefixes.admits(prefix) {
        return None;
    }
    let known = prefixes.knows(prefix);
    let what = match (payload.form, role) {
        (Form::Empty, _) if known => What::Nothing,
        (Form::Json, Role::Data) => What::Values {
            stem: "",
            unit: None,
        },
        (Form::Json, Role::Request) if known || contains(payload.text, "\"uuid\"") => What::Request,
        (Form::Json, Role::Response) if known || contains(payload.text, "\"uuid\"") => {
            What::Response
        }
        (Form::Json, Role::Register) if known || says_sign(payload.text) => {
            What::PresenceObject { otherwise: None }
        }
        (_, Role::Register) => match sign_word(payload.text) {
            Some(said) => What::Presence(said),
            None if known => What::Unreadable(FaultKind::UnknownPresence),
            None => return None,
        },
        (Form::Binary, _) if known => What::Unreadable(FaultKind::NotText),
        _ if known => What::Unreadable(FaultKind::NotJson),
        _ => return None,
    };
    Some(Claim {
        convention: Convention::FourTopics,
        prefix,
        id,
        what,
    })
}

/// `{prefix}/cmd/req/{id}` and `{prefix}/cmd/resp/{id}`.
pub(super) fn command_topics(prefix: &str, id: &str) -> (String, String) {
    let topic = |role: &str| {
        let mut topic = String::with_capacity(prefix.len() + role.len() + id.len() + 1);
        topic.push_str(prefix);
        if !prefix.is_empty() {
            topic.push('/');
        }
        topic.push_str(role);
        topic.push_str(id);
        topic
    };
    (topic("cmd/req/"), topic("cmd/resp/"))
}

#[derive(Copy, Clone)]
enum Role {
    Register,
    Data,
    Request,
    Response,
}

/// `mqtt/blog/cmd` is of the prefix `mqtt/blog`, and `cmd` alone of the empty one.
fn without_cmd(parent: &str) -> Option<&str> {
    match parent.strip_suffix("cmd")? {
        "" => Some(""),
        rest => rest.strip_suffix('/'),
    }
}

fn sign_word(text: &str) -> Option<Said> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("SIGN_IN") {
        Some(Said::Online)
    } else if is("SIGN_OUT") {
        Some(Said::Offline(OfflineReason::SaidSo))
    } else {
        None
    }
}

fn says_sign(text: &str) -> bool {
    contains(text, "SIGN_IN") || contains(text, "SIGN_OUT")
}
