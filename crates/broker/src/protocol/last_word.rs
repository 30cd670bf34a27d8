//! The last packet that a client is sent.

use mqtt::packet::DisconnectProperties;
use mqtt::{
    ConnAck, DecodeErrorKind, Disconnect, Packet, ProtocolError, ProtocolVersion, ReasonCode,
    Utf8String,
};

use crate::delivery::Link;
use crate::types::CloseCause;

/// What to say to a client whose CONNECT has not been accepted, in which version, and how
/// large it may be. Never DISCONNECT `[MQTT-3.14.0-1]`; nothing at all to what may not even
/// speak MQTT.
pub(crate) fn refusal(
    version: Option<ProtocolVersion>,
    cause: &CloseCause,
) -> Option<(Packet, ProtocolVersion)> {
    let (version, reason_code, what) = match cause {
        CloseCause::Refused { reason_code, what } => (version?, *reason_code, Some(*what)),
        CloseCause::Protocol(ProtocolError::Decode(error)) => match (&error.kind, version) {
            // [MQTT-3.1.2-2] An older client understands an older answer: that of 3.1 has the
            // same bytes. So does a bridge, which sets the high bit.
            (DecodeErrorKind::ProtocolVersion(..=4 | 0x80..=0x84), _) => {
                let code = ReasonCode::UnsupportedProtocolVersion;
                (ProtocolVersion::V3_1_1, code, None)
            }
            (DecodeErrorKind::ProtocolVersion(_), _) => {
                let code = ReasonCode::UnsupportedProtocolVersion;
                (ProtocolVersion::V5, code, None)
            }
            // Version 3.1.1 has no return code for it.
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

/// What to say to a connected client: in version 5 DISCONNECT, in 3.1.1 nothing.
pub(crate) fn farewell(link: &Link, cause: &CloseCause) -> Option<(Packet, ProtocolVersion, u32)> {
    match (link.version(), cause) {
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
    let reason_string = link
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
        link.maximum_packet_size(),
    ))
}
