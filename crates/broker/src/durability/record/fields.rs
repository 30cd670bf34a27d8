//! The fields of records: numbers, texts, times.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mqtt::{Instant, PacketId, Utf8String};

/// Why some bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// This kind does not exist.
    Kind(u8),
    /// At `offset` there should be a `what`.
    At { offset: usize, what: &'static str },
}

/// Writes a number as a varint: seven bits a byte, the lowest first.
pub(super) fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.put_u8(number.to_le_bytes()[0]);
}

pub(super) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_packet_id(out: &mut BytesMut, packet_id: PacketId) {
    out.put_u16_le(packet_id.get());
}

/// Writes a time in microseconds, and 0 for `None`. A time of 0 becomes 1.
pub(super) fn put_time(out: &mut BytesMut, time: Option<Instant>) {
    put_number(out, time.map_or(0, |time| time.as_micros().max(1)));
}

/// Writes a number plus one, and 0 for `None`.
pub(super) fn put_u32_if(out: &mut BytesMut, number: Option<u32>) {
    put_number(out, number.map_or(0, |number| u64::from(number) + 1));
}

/// Reads a record field by field.
pub(super) struct Fields {
    len: usize,
    left: Bytes,
}

impl Fields {
    pub(super) fn new(record: Bytes) -> Self {
        Self {
            len: record.len(),
            left: record,
        }
    }

    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed::At {
            offset: self.len - self.left.len(),
            what,
        }
    }

    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("end of the record"))
        }
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        if self.left.is_empty() {
            return Err(self.malformed(what));
        }
        Ok(self.left.get_u8())
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, Malformed> {
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

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        let number = self.number(what)?;
        u32::try_from(number).map_err(|_| self.malformed(what))
    }

    pub(super) fn u32_if(&mut self, what: &'static str) -> Result<Option<u32>, Malformed> {
        let Some(number) = self.number(what)?.checked_sub(1) else {
            return Ok(None);
        };
        let number = u32::try_from(number).map_err(|_| self.malformed(what))?;
        Ok(Some(number))
    }

    pub(super) fn time(&mut self, what: &'static str) -> Result<Option<Instant>, Malformed> {
        let micros = self.number(what)?;
        Ok((micros > 0).then(|| Instant::from_micros(micros)))
    }

    /// Reads bytes with their length before them. They are a slice of the record.
    pub(super) fn bytes(&mut self, what: &'static str) -> Result<Bytes, Malformed> {
        let len = self.number(what)?;
        match usize::try_from(len) {
            Ok(len) if len <= self.left.len() => Ok(self.left.split_to(len)),
            Ok(_) | Err(_) => Err(self.malformed(what)),
        }
    }

    /// Reads a text, which is a slice of the record.
    pub(super) fn text(&mut self, what: &'static str) -> Result<Utf8String, Malformed> {
        let bytes = self.bytes(what)?;
        Utf8String::from_bytes(bytes).map_err(|_| self.malformed(what))
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, Malformed> {
        let what = "packet identifier";
        PacketId::new(self.u16(what)?).ok_or_else(|| self.malformed(what))
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        if self.left.len() < 2 {
            return Err(self.malformed(what));
        }
        Ok(self.left.get_u16_le())
    }

    /// Reads bytes after a length of four bytes. The length has a fixed size, because the writer
    /// knew it only afterwards.
    pub(super) fn fixed_bytes(&mut self, what: &'static str) -> Result<Bytes, Malformed> {
        if self.left.len() < 4 {
            return Err(self.malformed(what));
        }
        let len = self.left.get_u32_le() as usize;
        if len > self.left.len() {
            return Err(self.malformed(what));
        }
        Ok(self.left.split_to(len))
    }

    /// Reads a count, and as many items with `read`. Memory grows with the items that are there,
    /// not with the count that the record claims.
    pub(super) fn list<T>(
        &mut self,
        what: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.number(what)?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }
}
