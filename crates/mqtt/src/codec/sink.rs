//! Writes the standard's data types (section 1.5), or only counts their bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::properties::id;
use crate::error::EncodeError;
use crate::packet::UserProperty;
use crate::text::Utf8String;

/// Takes a packet's fields, and writes them to a buffer or only measures them.
///
/// The same code does both, so a length can never differ from what is then written.
pub(super) struct Sink<'a> {
    out: Option<&'a mut BytesMut>,
    len: usize,
    /// The length of binary data that does not fit its two byte prefix, if there was any.
    too_long: Option<usize>,
    diagnostics: Diagnostics,
}

/// How much of the text for people a packet carries. A sender leaves it out when the packet would
/// be too large for the receiver `[MQTT-3.2.2-19]` `[MQTT-3.2.2-20]`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Diagnostics {
    /// Reason string and user properties.
    Full,
    /// The reason string alone.
    ReasonString,
    /// Neither.
    None,
}

/// How many bytes `value` takes as a variable byte integer.
pub(super) const fn variable_byte_integer_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Appends `value`, at most 268,435,455, as a variable byte integer (section 1.5.5).
pub(super) fn put_variable_byte_integer(out: &mut BytesMut, mut value: usize) {
    let mut bytes = [0; 4];
    let mut len = 0;
    for byte in &mut bytes {
        len += 1;
        *byte = value.to_le_bytes()[0] & 0x7F;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    out.extend_from_slice(bytes.get(..len).unwrap_or_default());
}

impl<'a> Sink<'a> {
    pub(super) const fn counting(diagnostics: Diagnostics) -> Sink<'static> {
        Sink {
            out: None,
            len: 0,
            too_long: None,
            diagnostics,
        }
    }

    pub(super) const fn writing(out: &'a mut BytesMut, diagnostics: Diagnostics) -> Self {
        Self {
            out: Some(out),
            len: 0,
            too_long: None,
            diagnostics,
        }
    }

    /// How many bytes were written or measured.
    pub(super) fn finish(self) -> Result<usize, EncodeError> {
        match self.too_long {
            None => Ok(self.len),
            Some(len) => Err(EncodeError::BinaryTooLong(len)),
        }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(out) = &mut self.out {
            out.extend_from_slice(bytes);
        }
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.len += 1;
        if let Some(out) = &mut self.out {
            out.put_u8(value);
        }
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn variable_byte_integer(&mut self, value: usize) {
        self.len += variable_byte_integer_len(value);
        if let Some(out) = &mut self.out {
            put_variable_byte_integer(out, value);
        }
    }

    /// Binary data, or the bytes of a string.
    pub(super) fn binary(&mut self, data: &[u8]) {
        match u16::try_from(data.len()) {
            Ok(len) => {
                self.u16(len);
                self.raw(data);
            }
            Err(_) => self.too_long = Some(data.len()),
        }
    }

    /// A property length, and the properties that `put` writes.
    pub(super) fn properties(&mut self, put: &dyn Fn(&mut Sink<'_>)) {
        let mut count = Sink::counting(self.diagnostics);
        put(&mut count);
        self.variable_byte_integer(count.len);
        if self.out.is_some() {
            put(self);
        } else {
            self.len += count.len;
            self.too_long = self.too_long.or(count.too_long);
        }
    }

    pub(super) fn flag_property(&mut self, id: u8, value: Option<bool>) {
        if let Some(value) = value {
            self.raw(&[id, u8::from(value)]);
        }
    }

    pub(super) fn u16_property(&mut self, id: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.byte(id);
            self.u16(value);
        }
    }

    pub(super) fn u32_property(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.byte(id);
            self.raw(&value.to_be_bytes());
        }
    }

    pub(super) fn text_property(&mut self, id: u8, value: Option<&Utf8String>) {
        self.binary_property(id, value.map(Utf8String::as_bytes));
    }

    pub(super) fn binary_property(&mut self, id: u8, value: Option<&Bytes>) {
        if let Some(value) = value {
            self.byte(id);
            self.binary(value);
        }
    }

    /// In order `[MQTT-3.3.2-18]`.
    pub(super) fn user_properties(&mut self, properties: &[UserProperty]) {
        for (name, value) in properties {
            self.byte(id::USER_PROPERTY);
            self.binary(name.as_bytes());
            self.binary(value.as_bytes());
        }
    }

    /// Whether [`diagnostics`](Self::diagnostics) would write anything.
    pub(super) fn has_diagnostics(
        &self,
        reason_string: Option<&Utf8String>,
        user_properties: &[UserProperty],
    ) -> bool {
        match self.diagnostics {
            Diagnostics::Full => reason_string.is_some() || !user_properties.is_empty(),
            Diagnostics::ReasonString => reason_string.is_some(),
            Diagnostics::None => false,
        }
    }

    /// Authentication method and data. All packets that have them have them in this order.
    pub(super) fn authentication(&mut self, method: Option<&Utf8String>, data: Option<&Bytes>) {
        self.text_property(id::AUTHENTICATION_METHOD, method);
        self.binary_property(id::AUTHENTICATION_DATA, data);
    }

    /// Reason string and user properties, as far as the [`Diagnostics`] level allows.
    pub(super) fn diagnostics(
        &mut self,
        reason_string: Option<&Utf8String>,
        user_properties: &[UserProperty],
    ) {
        if self.diagnostics != Diagnostics::None {
            self.text_property(id::REASON_STRING, reason_string);
        }
        if self.diagnostics == Diagnostics::Full {
            self.user_properties(user_properties);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1-1 of the standard, and [MQTT-1.5.5-1].
    #[test]
    fn mqtt_1_5_5_1_writes_as_few_bytes_as_can_be() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut out = BytesMut::new();
            put_variable_byte_integer(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(variable_byte_integer_len(value), bytes.len());
        }
    }
}
