//! Decodes the variable header and payload of each packet (chapter 3).

mod ack;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;

pub(super) use connect::version as connect_version;

use super::reader::Reader;
use crate::SERVER;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{
    Dialect, Packet, PacketType, ProtocolVersion, PubAck, PubComp, PubRec, PubRel,
};
use crate::reason::ReasonCode;

/// A packet without its fixed header.
pub(super) struct Body {
    /// Stands after the fixed header; in CONNECT, after the protocol version.
    pub(super) reader: Reader,
    pub(super) first_byte: u8,
    pub(super) version: ProtocolVersion,
    pub(super) dialect: Dialect,
    pub(super) from_server: bool,
}

impl Body {
    /// Decodes the packet; no byte may be left over. Always returns `Some`, because the decoder
    /// hands packets out in that form. A packet is some 400 bytes, and moving it from one wrapper
    /// to the next would take as long as decoding it.
    pub(super) fn decode(mut self, packet_type: PacketType) -> Result<Option<Packet>, DecodeError> {
        let packet = match packet_type {
            PacketType::Connect if SERVER => Packet::Connect(self.connect()?),
            PacketType::ConnAck => Packet::ConnAck(self.connack()?),
            // The payload takes all the bytes that are left.
            PacketType::Publish => return self.publish(),
            PacketType::PubAck => {
                let (packet_id, reason_code, properties) = self.ack(packet_type)?;
                Packet::PubAck(PubAck {
                    packet_id,
                    reason_code,
                    properties,
                })
            }
            PacketType::PubRec => {
                let (packet_id, reason_code, properties) = self.ack(packet_type)?;
                Packet::PubRec(PubRec {
                    packet_id,
                    reason_code,
                    properties,
                })
            }
            PacketType::PubRel => {
                let (packet_id, reason_code, properties) = self.ack(packet_type)?;
                Packet::PubRel(PubRel {
                    packet_id,
                    reason_code,
                    properties,
                })
            }
            PacketType::PubComp => {
                let (packet_id, reason_code, properties) = self.ack(packet_type)?;
                Packet::PubComp(PubComp {
                    packet_id,
                    reason_code,
                    properties,
                })
            }
            PacketType::Subscribe if SERVER => Packet::Subscribe(self.subscribe()?),
            PacketType::SubAck => Packet::SubAck(self.suback()?),
            PacketType::Unsubscribe if SERVER => Packet::Unsubscribe(self.unsubscribe()?),
            PacketType::UnsubAck => Packet::UnsubAck(self.unsuback()?),
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(self.disconnect()?),
            // Our client never starts an AUTH exchange.
            PacketType::Auth if SERVER => Packet::Auth(self.auth()?),
            PacketType::Connect
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::Auth => {
                let kind = DecodeErrorKind::UnexpectedPacket(packet_type);
                return Err(DecodeError { offset: 0, kind });
            }
        };
        self.reader.finish()?;
        Ok(Some(packet))
    }

    /// Reads a version 5 reason code that is allowed in `packet_type`.
    fn reason_code(&mut self, packet_type: PacketType) -> Result<ReasonCode, DecodeError> {
        let offset = self.reader.offset();
        let value = self.reader.byte()?;
        match ReasonCode::from_u8(value) {
            Some(code) if code.belongs_in(packet_type) => Ok(code),
            Some(_) | None => Err(DecodeError {
                offset,
                kind: DecodeErrorKind::ReasonCode(value),
            }),
        }
    }
}
