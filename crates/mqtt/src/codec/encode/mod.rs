//! Encodes packets (chapter 3).
//!
//! The same code visits each packet twice. The first visit measures it and finds whatever cannot be
//! encoded. The second visit writes it, and cannot fail. The encoder allocates nothing but the
//! output.

mod ack;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod template;

use bytes::{BufMut, BytesMut};

use super::sink::{Diagnostics, Sink, put_variable_byte_integer, variable_byte_integer_len};
use crate::error::EncodeError;
use crate::packet::{Packet, PacketType, ProtocolVersion};
use crate::reason::ReasonCode;
use crate::{PUBLISH, SERVER};

pub use publish::{PublishForm, TopicForm};
pub use template::{PublishTemplate, TemplatePatch, encode_publish};

/// The largest Remaining Length (section 2.1.4).
const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// Appends `packet`, encoded for `version`. On an error it appends nothing.
///
/// It leaves out what `version` has no place for (properties in 3.1.1). It returns an error for
/// whatever the other side's decoder would have to refuse.
pub fn encode(
    packet: &Packet,
    version: ProtocolVersion,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let remaining_length = measure(packet, version, Diagnostics::Full)?;
    write(packet, version, Diagnostics::Full, remaining_length, out)
}

/// How many bytes [`encode`] appends.
pub fn encoded_len(packet: &Packet, version: ProtocolVersion) -> Result<usize, EncodeError> {
    measure(packet, version, Diagnostics::Full).map(packet_len)
}

/// Appends `packet` as [`encode`] does, in at most `limit` bytes: the peer's Maximum Packet Size
/// `[MQTT-3.1.2-24]` `[MQTT-3.2.2-15]`.
///
/// If a packet that only acknowledges or closes is too large, the encoder leaves out its user
/// properties, and then its reason string: `[MQTT-3.2.2-19]` `[MQTT-3.2.2-20]` for CONNACK,
/// `[MQTT-3.4.2-2]` `[MQTT-3.4.2-3]` for PUBACK and the like for PUBREC, PUBREL, PUBCOMP, SUBACK,
/// UNSUBACK, DISCONNECT and AUTH. A message keeps its own user properties `[MQTT-3.3.2-17]`. If the
/// packet is still too large, the result is [`EncodeError::AboveLimit`], and nothing is appended.
pub fn encode_within(
    packet: &Packet,
    version: ProtocolVersion,
    limit: u32,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let limit = limit as usize;
    let mut size = 0;
    for diagnostics in [
        Diagnostics::Full,
        Diagnostics::ReasonString,
        Diagnostics::None,
    ] {
        match measure(packet, version, diagnostics) {
            Ok(remaining_length) => {
                size = packet_len(remaining_length);
                if size <= limit {
                    return write(packet, version, diagnostics, remaining_length, out);
                }
            }
            Err(EncodeError::TooLarge(len)) => size = len,
            Err(error) => return Err(error),
        }
    }
    Err(EncodeError::AboveLimit { size, limit })
}

/// The Remaining Length, or why `packet` cannot be encoded.
fn measure(
    packet: &Packet,
    version: ProtocolVersion,
    diagnostics: Diagnostics,
) -> Result<usize, EncodeError> {
    let mut sink = Sink::counting(diagnostics);
    put_body(packet, version, &mut sink)?;
    check_remaining_length(sink.finish()?)
}

fn check_remaining_length(len: usize) -> Result<usize, EncodeError> {
    if len > MAX_REMAINING_LENGTH {
        return Err(EncodeError::TooLarge(packet_len(len)));
    }
    Ok(len)
}

const fn packet_len(remaining_length: usize) -> usize {
    1 + variable_byte_integer_len(remaining_length) + remaining_length
}

fn write(
    packet: &Packet,
    version: ProtocolVersion,
    diagnostics: Diagnostics,
    remaining_length: usize,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    out.reserve(packet_len(remaining_length));
    put_fixed_header(first_byte(packet), remaining_length, out);
    put_body(packet, version, &mut Sink::writing(out, diagnostics))
}

fn put_fixed_header(first_byte: u8, remaining_length: usize, out: &mut BytesMut) {
    out.put_u8(first_byte);
    put_variable_byte_integer(out, remaining_length);
}

/// Packet type and flags `[MQTT-2.1.3-1]`.
fn first_byte(packet: &Packet) -> u8 {
    match packet {
        Packet::Publish(publish) => publish::first_byte(publish.dup, publish.qos, publish.retain),
        Packet::PubRel(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) => {
            packet.packet_type().as_u8() << 4 | 0x02
        }
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::PubAck(_)
        | Packet::PubRec(_)
        | Packet::PubComp(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => packet.packet_type().as_u8() << 4,
    }
}

/// Writes the variable header and payload. It fails only where measuring fails too.
fn put_body(
    packet: &Packet,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect::put(connect, version, sink),
        Packet::ConnAck(connack) if SERVER => connack::put(connack, version, sink),
        Packet::Publish(publish) if PUBLISH => publish::put(publish, version, sink),
        Packet::PubAck(ack) => {
            let reason = (PacketType::PubAck, ack.reason_code, &ack.properties);
            ack::put(ack.packet_id, reason, version, sink)
        }
        Packet::PubRec(ack) => {
            let reason = (PacketType::PubRec, ack.reason_code, &ack.properties);
            ack::put(ack.packet_id, reason, version, sink)
        }
        Packet::PubRel(ack) if PUBLISH => {
            let reason = (PacketType::PubRel, ack.reason_code, &ack.properties);
            ack::put(ack.packet_id, reason, version, sink)
        }
        Packet::PubComp(ack) => {
            let reason = (PacketType::PubComp, ack.reason_code, &ack.properties);
            ack::put(ack.packet_id, reason, version, sink)
        }
        Packet::Subscribe(subscribe) => subscribe::put_subscribe(subscribe, version, sink),
        Packet::SubAck(suback) if SERVER => subscribe::put_suback(suback, version, sink),
        Packet::Unsubscribe(unsubscribe) => subscribe::put_unsubscribe(unsubscribe, version, sink),
        Packet::UnsubAck(unsuback) if SERVER => subscribe::put_unsuback(unsuback, version, sink),
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(disconnect) => disconnect::put_disconnect(disconnect, version, sink),
        Packet::Auth(auth) if SERVER => disconnect::put_auth(auth, version, sink),
        Packet::ConnAck(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::Auth(_)
        | Packet::Publish(_)
        | Packet::PubRel(_) => Err(EncodeError::Invalid("this build does not send this packet")),
    }
}

/// `[MQTT-3.2.2-8]` `[MQTT-3.4.2-1]` and the like for other packets.
fn check_reason_code(code: ReasonCode, packet_type: PacketType) -> Result<(), EncodeError> {
    if code.belongs_in(packet_type) {
        Ok(())
    } else {
        Err(EncodeError::Invalid(
            "the reason code does not belong in this packet",
        ))
    }
}

/// The limits that either side may set for the other (sections 3.1.2.11.3, 3.1.2.11.4, 3.2.2.3.3,
/// 3.2.2.3.6).
fn check_bounds(
    receive_maximum: Option<u16>,
    maximum_packet_size: Option<u32>,
) -> Result<(), EncodeError> {
    check(receive_maximum != Some(0), "receive maximum is 0")?;
    check(maximum_packet_size != Some(0), "maximum packet size is 0")
}

fn check(holds: bool, otherwise: &'static str) -> Result<(), EncodeError> {
    if holds {
        Ok(())
    } else {
        Err(EncodeError::Invalid(otherwise))
    }
}
