//! SUBSCRIBE: what it asks for, and what its answer says (sections 3.8 and 3.9).

use mqtt::{QoS, ReasonCode, RetainHandling, Subscribe, Subscription, TopicFilter};

use crate::types::{BadTopic, CloseCause, Limit, Limits, violation};

/// Whether the packet keeps the rules that its form alone does not.
pub(crate) fn check_subscribe(subscribe: &Subscribe) -> Result<(), CloseCause> {
    let mut all = subscribe.subscriptions.iter();
    if all.any(|it| it.no_local && it.topic_filter.shared().is_some()) {
        return Err(violation(
            ReasonCode::ProtocolError,
            "No Local on a shared subscription [MQTT-3.8.3-4]",
        ));
    }
    Ok(())
}

/// Whether a subscription, new or not, asks for retained messages `[MQTT-3.3.1-9]`
/// `[MQTT-3.3.1-10]` `[MQTT-3.3.1-11]`. A shared one never does (section 3.8.4).
pub(crate) fn asks_for_retained(subscription: &Subscription, is_new: bool) -> bool {
    let wants = match subscription.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => is_new,
        RetainHandling::DoNotSend => false,
    };
    wants && subscription.topic_filter.shared().is_none()
}

/// Whether a client may subscribe to a filter of this form; otherwise why not.
pub(crate) fn check_filter(limits: &Limits, filter: &TopicFilter) -> Result<(), BadTopic> {
    let (limit, what) = if filter.len() > limits.topic_bytes {
        (Limit::TopicBytes, "the topic filter is too long")
    } else if !limits.has_few_levels(filter) {
        (Limit::TopicLevels, "the topic filter has too many levels")
    } else if filter.is_malformed_share() {
        // Only version 3.1.1 clients can send this. Their standard knows no shared subscriptions,
        // so that the packet is not malformed, and the connection stays. mosquitto 2.0 takes it
        // for a filter like others. It would never match, as nobody may publish to `$share/…`;
        // and `$share/g/t` is a shared subscription here in both versions. So the client has made
        // a mistake, and is told.
        let what = "no well-formed shared subscription [MQTT-4.8.2-1]";
        (Limit::ShareName, what)
    } else {
        return Ok(());
    };
    Err(BadTopic { limit, what })
}

/// A filter without `$share/{name}/`.
pub(crate) fn inner_filter(filter: &TopicFilter) -> &str {
    filter.shared().map_or(filter.as_str(), |(_, inner)| inner)
}

/// What a subscription takes if its filter shares no level with another, in bytes.
pub(crate) fn subscription_cost(filter: &str) -> usize {
    const SUBSCRIPTION: usize = 32;
    const LEVEL: usize = 128;
    SUBSCRIPTION + filter.len() + filter.split('/').count() * LEVEL
}

/// What SUBACK says of a subscription that was made.
pub(crate) const fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

/// What a bridge subscribes to, with options that version 3.1.1 has no bits for: its own messages
/// do not come back to it, and the retain flag stays as it was published, as the broker behind it
/// has subscribers of its own.
pub(crate) fn as_bridge(subscriptions: &[Subscription]) -> Vec<Subscription> {
    let options = |subscription: &Subscription| Subscription {
        // [MQTT-3.8.3-4]
        no_local: subscription.topic_filter.shared().is_none(),
        retain_as_published: true,
        ..subscription.clone()
    };
    subscriptions.iter().map(options).collect()
}
