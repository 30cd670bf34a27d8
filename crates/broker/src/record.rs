//! Records: what the broker does to state that outlives it, as bytes.
//!
//! The first byte says the kind. A kind's form never changes: a new form is a new kind.
//!
//! **Invariant.** No bytes make decoding panic, or allocate more than a few times their size.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqtt::{
    Decoder, Instant, Packet, PacketId, ProtocolVersion, Publish, PublishForm, QoS, TopicForm,
    Utf8String,
};

use crate::message::Message;

/// Something that was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A message was accepted.
    Accepted(Box<Message>),
    /// The packet identifier of an incoming `QoS` 2 message is free.
    Released {
        client_id: Utf8String,
        packet_id: PacketId,
    },
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Kind(u8),
    At { offset: usize, what: &'static str },
}

mod kind {
    pub(super) const ACCEPTED: u8 = 1;
    pub(super) const RELEASED: u8 = 2;
}

pub(crate) fn put_accepted(
    out: &mut BytesMut,
    publisher: &Utf8String,
    received: Instant,
    publish: &Publish,
) {
    out.put_u8(kind::ACCEPTED);
    put_message(out, publisher, received, publish);
}

pub(crate) fn put_released(out: &mut BytesMut, client_id: &Utf8String, packet_id: PacketId) {
    out.put_u8(kind::RELEASED);
    put_bytes(out, client_id.as_bytes());
    out.put_u16_le(packet_id.get());
}

fn put_message(out: &mut BytesMut, publisher: &Utf8String, received: Instant, publish: &Publish) {
    put_bytes(out, publisher.as_bytes());
    out.put_u64_le(received.as_micros());
    out.put_u8(publish.qos.as_u8());
    let form = PublishForm {
        // Without a packet identifier, which would mean nothing.
        qos: QoS::AtMostOnce,
        retain: publish.retain,
        topic: TopicForm::Name,
        subscription_identifiers: &[],
    };
    let start = out.len();
    out.put_u32_le(0);
    // What was decoded can be encoded.
    let _ = mqtt::encode_publish(publish, ProtocolVersion::V5, &form, None, out);
    let len = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first.
fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.put_u8(number.to_le_bytes()[0]);
}

impl Record {
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields {
            len: bytes.len(),
            left: bytes,
        };
        let record = match fields.byte("kind")? {
            kind::ACCEPTED => Self::Accepted(Box::new(fields.message()?)),
            kind::RELEASED => Self::Released {
                client_id: fields.text("client identifier")?.detach(),
                packet_id: fields.packet_id()?,
            },
            other => return Err(Malformed::Kind(other)),
        };
        if fields.left.is_empty() {
            Ok(record)
        } else {
            Err(fields.malformed("end of the record"))
        }
    }
}

/// What is left of a record.
struct Fields {
    len: usize,
    left: Bytes,
}

impl Fields {
    fn malformed(&self, what: &'static str) -> Malformed {
        Malformed::At {
            offset: self.len - self.left.len(),
            what,
        }
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        if self.left.is_empty() {
            return Err(self.malformed(what));
        }
        Ok(self.left.get_u8())
    }

    fn number(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed(what))
    }

    fn bytes(&mut self, len: usize, what: &'static str) -> Result<Bytes, Malformed> {
        if len > self.left.len() {
            return Err(self.malformed(what));
        }
        Ok(self.left.split_to(len))
    }

    fn text(&mut self, what: &'static str) -> Result<Utf8String, Malformed> {
        let len = self.number(what)?;
        let bytes = self.bytes(usize::try_from(len).unwrap_or(usize::MAX), what)?;
        Utf8String::from_bytes(bytes).map_err(|_| self.malformed(what))
    }

    fn packet_id(&mut self) -> Result<PacketId, Malformed> {
        let what = "packet identifier";
        let bytes = self.bytes(2, what)?;
        let number = u16::from_le_bytes([bytes[0], bytes[1]]);
        PacketId::new(number).ok_or_else(|| self.malformed(what))
    }

    fn message(&mut self) -> Result<Message, Malformed> {
        let publisher = self.text("publisher")?.detach();
        let received = self.bytes(8, "time")?.get_u64_le();
        let qos = QoS::from_u8(self.byte("QoS")?).ok_or_else(|| self.malformed("QoS"))?;
        let len = self.bytes(4, "length of a message")?.get_u32_le();
        let mut bytes = self.bytes(len as usize, "message")?;
        let mut decoder = Decoder::client(ProtocolVersion::V5);
        decoder.set_max_packet_size(u32::MAX);
        match decoder.decode(&mut bytes) {
            Ok(Some(Packet::Publish(mut publish)))
                if bytes.is_empty() && publish.topic.is_some() =>
            {
                publish.qos = qos;
                let received = Instant::from_micros(received);
                Ok(Message::new(received, &publish, &publisher))
            }
            Ok(_) | Err(_) => Err(self.malformed("message")),
        }
    }
}
