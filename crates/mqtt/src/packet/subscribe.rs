//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (sections 3.8 to 3.11).

use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::types::{PacketId, QoS, ReasonProperties, UserProperty};
use crate::reason::ReasonCode;
use crate::topic::TopicFilter;

/// A subscription identifier: 1 to 268,435,455.
pub type SubscriptionIdentifier = NonZeroU32;

/// A client asks for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// SUBACK repeats it.
    pub packet_id: PacketId,
    /// At least one `[MQTT-3.8.3-2]`.
    pub subscriptions: Vec<Subscription>,
    /// Version 5: the server puts it into every message that these subscriptions cause.
    pub subscription_identifier: Option<SubscriptionIdentifier>,
    /// Version 5 only.
    pub user_properties: Vec<UserProperty>,
}

/// One topic filter with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topics that the client asks for.
    pub topic_filter: TopicFilter,
    /// The highest `QoS` at which the server sends messages.
    pub qos: QoS,
    /// Version 5: the server does not send the client's own messages. Not allowed with `$share`
    /// `[MQTT-3.8.3-4]`.
    pub no_local: bool,
    /// Version 5: the server leaves the retain flag as it was published.
    pub retain_as_published: bool,
    /// Version 5: which retained messages the server sends at once.
    pub retain_handling: RetainHandling,
}

/// Which retained messages the server sends at once for a subscription (section 3.8.3.1).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Those that match.
    #[default]
    Send = 0,
    /// Those that match, if the subscription is new.
    SendIfNew = 1,
    /// None.
    DoNotSend = 2,
}

/// The answer to SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// The packet identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One code per filter, in order `[MQTT-3.9.3-1]`. Version 3.1.1 has only 0, 1, 2 and 0x80.
    pub reason_codes: Vec<ReasonCode>,
    /// Version 5 only.
    pub properties: ReasonProperties,
}

/// A client ends subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// UNSUBACK repeats it.
    pub packet_id: PacketId,
    /// At least one `[MQTT-3.10.3-2]`.
    pub topic_filters: Vec<TopicFilter>,
    /// Version 5 only.
    pub user_properties: Vec<UserProperty>,
}

/// The answer to UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// The packet identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// One code per filter, in order `[MQTT-3.11.3-1]`. Version 3.1.1 has none: the list is empty.
    pub reason_codes: Vec<ReasonCode>,
    /// Version 5 only.
    pub properties: ReasonProperties,
}

impl Subscription {
    /// A subscription with the options that version 3.1.1 has.
    pub fn new(topic_filter: TopicFilter, qos: QoS) -> Self {
        Self {
            topic_filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::default(),
        }
    }
}

impl RetainHandling {
    /// The option that is `value` on the wire.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}
