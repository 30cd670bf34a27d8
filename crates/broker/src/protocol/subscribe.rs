//! SUBSCRIBE and SUBACK: what a client asks for, and what it is granted (sections 3.8 and 3.9).

use mqtt::{QoS, ReasonCode, RetainHandling, Subscribe, Subscription, TopicFilter};

use crate::types::{BadTopic, CloseCause, Limit, Limits, violation};

/// Checks the rules that decoding does not check.
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

/// Checks that a client may subscribe to a filter of this form.
pub(crate) fn check_filter(limits: &Limits, filter: &TopicFilter) -> Result<(), BadTopic> {
    let (limit, what) = if filter.len() > limits.topic_bytes {
        (Limit::TopicBytes, "the topic filter is too long")
    } else if !limits.has_few_levels(filter) {
        (Limit::TopicLevels, "the topic filter has too many levels")
    } else if filter.is_malformed_share() {
        // Only clients of version 3.1.1 can send this. Their standard knows no shared
        // subscriptions, so the packet is not malformed and the connection stays. mosquitto 2.0
        // treats it as an ordinary filter, but that would never match, because nobody may
        // publish to `$share/…`. And `$share/g/t` is a shared subscription here in both
        // versions. So the client has made a mistake, and we say so.
        let what = "not a well-formed shared subscription [MQTT-4.8.2-1]";
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

/// Bytes that a subscription takes if its filter shares no level with another.
pub(crate) fn subscription_cost(filter: &str) -> usize {
    const SUBSCRIPTION: usize = 32;
    const LEVEL: usize = 128;
    SUBSCRIPTION + filter.len() + filter.split('/').count() * LEVEL
}

/// The code in SUBACK for a subscription that was made.
pub(crate) const fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

/// The subscriptions of a bridge, with options that version 3.1.1 cannot express. Its own
/// messages do not come back to it. The retain flag stays as published, because the broker
/// behind the bridge has subscribers of its own.
pub(crate) fn as_bridge(subscriptions: &[Subscription]) -> Vec<Subscription> {
    let options = |subscription: &Subscription| Subscription {
        // [MQTT-3.8.3-4]
        no_local: subscription.topic_filter.shared().is_none(),
        retain_as_published: true,
        ..subscription.clone()
    };
    subscriptions.iter().map(options).collect()
}
