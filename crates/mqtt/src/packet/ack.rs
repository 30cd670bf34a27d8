//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7).

use super::types::{PacketId, ReasonProperties};
use crate::reason::ReasonCode;

macro_rules! ack {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// The packet identifier of the PUBLISH that this answers.
            pub packet_id: PacketId,
            /// Version 5; always success in 3.1.1.
            pub reason_code: ReasonCode,
            /// Version 5 only.
            pub properties: ReasonProperties,
        }

        impl $name {
            /// Creates an answer without properties.
            pub fn new(packet_id: PacketId, reason_code: ReasonCode) -> Self {
                Self { packet_id, reason_code, properties: ReasonProperties::default() }
            }
        }
    };
}

ack! {
    /// `QoS` 1: the message has arrived.
    PubAck
}
ack! {
    /// `QoS` 2, first answer: the message has arrived.
    PubRec
}
ack! {
    /// `QoS` 2, second step: the message may be forgotten.
    PubRel
}
ack! {
    /// `QoS` 2, last answer: it is forgotten.
    PubComp
}
