//! The last packet that the broker sends to a client.

use mqtt::packet::DisconnectProperties;
use mqtt::{
    ConnAck, DecodeErrorKind, Disconnect, Packet, ProtocolError, ProtocolVersion, ReasonCode,
    Utf8String,
};

use crate::delivery::Agreement;
use crate::types::CloseCause;

/// The last packet to a client whose CONNECT was not accepted, and the protocol version to encode
/// it for. The packet is never DISCONNECT `[MQTT-3.14.0-1]`. `None` for a peer that perhaps does
/// not speak MQTT at all.
pub(crate) fn refusal(
    version: Option<ProtocolVersion>,
    cause: &CloseCause,
) -> Option<(Packet, ProtocolVersion)> {
    let (version, reason_code, what) = match cause {
        CloseCause::Refused { reason_code, what } => (version?, *reason_code, Some(*what)),
        CloseCause::Protocol(ProtocolError::Decode(error)) => match (&error.kind, version) {
            // [MQTT-3.1.2-2] An older client understands an older answer. The answer of 3.1 has
            // the same bytes. A bridge sets the high bit of the version and understands it too.
            (DecodeErrorKind::ProtocolVersion(..=4 | 0x80..=0x84), _) => {
                let code = ReasonCode::UnsupportedProtocolVersion;
                (ProtocolVersion::V3_1_1, code, None)
            }
            (DecodeErrorKind::ProtocolVersion(_), _) => {
                let code = ReasonCode::UnsupportedProtocolVersion;
                (ProtocolVersion::V5, code, None)
            }
            // Version 3.1.1 has no return code for malformed packets.
            (_, Some(ProtocolVersion::V5)) => (ProtocolVersion::V5, error.reason_code(), None),
            (_, Some(ProtocolVersion::V3_1_1) | None) => return None,
        },
        CloseCause::ShuttingDown => (version?, ReasonCode::ServerUnavailable, None),
        CloseCause::Protocol(ProtocolError::Violation { .. })
        | CloseCause::Disconnected(_)
        | CloseCause::ConnectTimeout
        | CloseCause::KeepAliveTimeout
        | CloseCause::TakenOver { .. }
        | CloseCause::Limit { .. } => return None,
    };
    let mut connack = ConnAck::new(false, reason_code);
    connack.properties.reason_string = what.and_then(|what| Utf8String::try_from(what).ok());
    Some((Packet::ConnAck(connack), version))
}

/// The last packet to a connected client, with its version and the client's Maximum Packet Size:
/// DISCONNECT in version 5, nothing in 3.1.1.
pub(crate) fn farewell(
    agreement: &Agreement,
    cause: &CloseCause,
) -> Option<(Packet, ProtocolVersion, u32)> {
    match (agreement.version(), cause) {
        (ProtocolVersion::V3_1_1, _) | (_, CloseCause::Disconnected(_)) => return None,
        (
            ProtocolVersion::V5,
            CloseCause::Protocol(_)
            | CloseCause::Refused { .. }
            | CloseCause::ConnectTimeout
            | CloseCause::KeepAliveTimeout
            | CloseCause::TakenOver { .. }
            | CloseCause::Limit { .. }
            | CloseCause::ShuttingDown,
        ) => {}
    }
    let reason_string = agreement
        .wants_reason_strings()
        .then(|| Utf8String::try_from(cause.to_string()).ok())
        .flatten();
    let disconnect = Disconnect {
        reason_code: cause.reason_code(),
        properties: DisconnectProperties {
            reason_string,
            ..DisconnectProperties::default()
        },
    };
    Some((
        Packet::Disconnect(disconnect),
        ProtocolVersion::V5,
        agreement.maximum_packet_size(),
    ))
}
