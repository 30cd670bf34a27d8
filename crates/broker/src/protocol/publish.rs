//! PUBLISH: what a client may send, as far as that depends on the packet alone (section 3.3).

use crate::types::{BadTopic, Limit, Limits};

/// Checks that a client may publish to a topic of this form. Topics that start with `$` are the
/// server's own, except for a bridge's own state.
pub(crate) fn check_name(
    limits: &Limits,
    topic: &str,
    client_id: Option<&str>,
) -> Result<(), BadTopic> {
    let is_own_state = client_id.is_some_and(|id| is_bridge_state(topic, id));
    if topic.starts_with('$') && !is_own_state {
        return Err(BadTopic {
            limit: Limit::ServerTopic,
            what: "topics that start with $ belong to the server",
        });
    }
    limits.check_topic(topic)
}

/// Whether a payload has the format that its Payload Format Indicator claims (section
/// 3.3.2.3.2).
pub(crate) fn is_as_indicated(indicator: Option<bool>, payload: &[u8]) -> bool {
    indicator != Some(true) || core::str::from_utf8(payload).is_ok()
}

/// Whether `topic` is the one where a bridge of mosquitto with this client identifier says whether
/// it is connected: `$SYS/broker/connection/{client id}/state`.
fn is_bridge_state(topic: &str, client_id: &str) -> bool {
    let id = topic
        .strip_prefix("$SYS/broker/connection/")
        .and_then(|rest| rest.strip_suffix("/state"));
    !client_id.is_empty() && id == Some(client_id)
}
