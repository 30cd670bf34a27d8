//! One message for many receivers: encoded once, patched for each.

use core::num::NonZeroU16;

use bytes::{Bytes, BytesMut};

use super::publish::{Head, PublishForm, first_byte};
use super::{check_remaining_length, put_fixed_header};
use crate::codec::sink::{Diagnostics, Sink, variable_byte_integer_len};
use crate::error::EncodeError;
use crate::packet::{PacketId, ProtocolVersion, Publish};

/// A PUBLISH in one of its forms (version, `QoS`, retain flag, subscription identifiers, topic
/// alias), encoded once, for any number of receivers.
///
/// Writing it copies bytes and patches the fields of fixed size: packet identifier, DUP flag,
/// message expiry interval, topic alias. The template shares the payload with the [`Publish`] that
/// it was made from. So a template costs the size of its header, and a large payload need not be
/// copied at all: write [`head`](Self::write_head) and [`payload`](Self::payload) one after the
/// other.
///
/// ```
/// use bytes::BytesMut;
/// use mqtt::{
///     PacketId, ProtocolVersion, Publish, PublishForm, PublishTemplate, QoS, TemplatePatch,
///     TopicName,
/// };
///
/// let mut publish = Publish::new(TopicName::try_from("a/b").unwrap(), "21.5");
/// publish.qos = QoS::AtLeastOnce;
/// let form = PublishForm::of(&publish);
/// let template = PublishTemplate::new(&publish, ProtocolVersion::V3_1_1, &form).unwrap();
///
/// let mut out = BytesMut::new();
/// let packet_id = PacketId::new(7);
/// template.write(&TemplatePatch { packet_id, ..TemplatePatch::default() }, &mut out);
/// assert_eq!(&out[..], b"\x32\x0B\x00\x03a/b\x00\x0721.5");
/// assert_eq!(out.len(), template.encoded_len());
/// ```
#[derive(Clone, Debug)]
pub struct PublishTemplate {
    /// Fixed and variable header, with packet identifier 0.
    head: Bytes,
    payload: Bytes,
    packet_id_at: Option<usize>,
    message_expiry_interval_at: Option<usize>,
    topic_alias_at: Option<usize>,
}

/// What differs between the receivers of one form of a message.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplatePatch {
    /// The receiver's own packet identifier. `QoS` 1 and 2 need it `[MQTT-2.2.1-4]`, `QoS` 0
    /// ignores it.
    pub packet_id: Option<PacketId>,
    /// Whether the packet is sent again `[MQTT-3.3.1-3]`. `QoS` 0 ignores it `[MQTT-3.3.1-2]`.
    pub dup: bool,
    /// The rest of the message expiry interval, in seconds `[MQTT-3.3.2-6]`. It replaces the
    /// interval that the message was published with, and is ignored if there was none.
    pub message_expiry_interval: Option<u32>,
    /// The receiver's own alias for the topic. It replaces the form's alias, and is ignored if the
    /// form has none `[MQTT-3.3.2-11]`.
    pub topic_alias: Option<NonZeroU16>,
}

/// Appends `publish`, encoded for `version`, without DUP. `form` replaces its own `QoS`, retain
/// flag, topic alias and subscription identifiers. With `QoS` 1 and 2 give `packet_id`. On an error
/// it appends nothing.
///
/// Use it for a message that is written once: it spares making a [`Packet`](crate::Packet). For
/// many receivers a [`PublishTemplate`] is cheaper.
pub fn encode_publish(
    publish: &Publish,
    version: ProtocolVersion,
    form: &PublishForm<'_>,
    packet_id: Option<PacketId>,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let head = Head::new(publish, version, form)?;
    let packet_id = packet_id.map_or(0, PacketId::get);
    let mut count = Sink::counting(Diagnostics::Full);
    head.put(packet_id, &mut count);
    let remaining_length = check_remaining_length(count.finish()? + publish.payload.len())?;
    out.reserve(1 + variable_byte_integer_len(remaining_length) + remaining_length);
    put_fixed_header(
        first_byte(false, form.qos, form.retain),
        remaining_length,
        out,
    );
    head.put(packet_id, &mut Sink::writing(out, Diagnostics::Full));
    out.extend_from_slice(&publish.payload);
    Ok(())
}

impl PublishTemplate {
    /// Encodes `publish` for `version`. `form` replaces its own `QoS`, retain flag, topic alias and
    /// subscription identifiers. The packet identifier and DUP flag of `publish` do not count.
    pub fn new(
        publish: &Publish,
        version: ProtocolVersion,
        form: &PublishForm<'_>,
    ) -> Result<Self, EncodeError> {
        let head = Head::new(publish, version, form)?;
        let mut count = Sink::counting(Diagnostics::Full);
        head.put(0, &mut count);
        let head_len = count.finish()?;
        let remaining_length = check_remaining_length(head_len + publish.payload.len())?;
        let fixed_len = 1 + variable_byte_integer_len(remaining_length);

        let mut out = BytesMut::with_capacity(fixed_len + head_len);
        let first_byte = first_byte(false, form.qos, form.retain);
        put_fixed_header(first_byte, remaining_length, &mut out);
        head.put(0, &mut Sink::writing(&mut out, Diagnostics::Full));
        Ok(Self {
            head: out.freeze(),
            payload: publish.payload.clone(),
            packet_id_at: head.packet_id_at().map(|at| fixed_len + at),
            message_expiry_interval_at: head.message_expiry_interval_at().map(|at| fixed_len + at),
            topic_alias_at: head.topic_alias_at().map(|at| fixed_len + at),
        })
    }

    /// How many bytes [`write`](Self::write) appends. Compare it with the receiver's Maximum Packet
    /// Size `[MQTT-3.1.2-24]`.
    pub fn encoded_len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Whether the receiver has to acknowledge the message, so that it needs a packet identifier.
    pub const fn needs_packet_id(&self) -> bool {
        self.packet_id_at.is_some()
    }

    /// The message's payload, shared.
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Appends the whole packet for one receiver.
    pub fn write(&self, patch: &TemplatePatch, out: &mut BytesMut) {
        out.reserve(self.encoded_len());
        self.write_head(patch, out);
        out.extend_from_slice(&self.payload);
    }

    /// Appends the packet without its payload, which must follow.
    pub fn write_head(&self, patch: &TemplatePatch, out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        if let Some(at) = self.packet_id_at {
            debug_assert!(patch.packet_id.is_some(), "a packet identifier is needed");
            let packet_id = patch.packet_id.map_or(0, PacketId::get);
            overwrite(out, start + at, &packet_id.to_be_bytes());
            if patch.dup {
                overwrite(out, start, &[self.head[0] | DUP]);
            }
        }
        if let Some(at) = self.message_expiry_interval_at
            && let Some(seconds) = patch.message_expiry_interval
        {
            overwrite(out, start + at, &seconds.to_be_bytes());
        }
        if let Some(at) = self.topic_alias_at
            && let Some(alias) = patch.topic_alias
        {
            overwrite(out, start + at, &alias.get().to_be_bytes());
        }
    }
}

/// The DUP bit in the first byte of a PUBLISH.
const DUP: u8 = 0x08;

fn overwrite(out: &mut BytesMut, at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
