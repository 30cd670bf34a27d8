//! Finds where one packet ends and the next begins.

/// Finds the ends of packets in a stream of bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Splitter {
    /// The part of the fixed header that has come.
    header: Vec<u8>,
    /// How many bytes of the rest are missing, once the header is complete.
    left: Option<usize>,
}

impl Splitter {
    /// Reads the next byte. Returns the type of the packet that ends with it, if one does.
    pub(super) fn next(&mut self, byte: u8) -> Option<u8> {
        if let Some(left) = &mut self.left {
            *left -= 1;
        } else {
            self.header.push(byte);
            if self.header.len() < 2 || byte & 0x80 != 0 {
                return None;
            }
            let digits = self.header[1..].iter().rev();
            self.left = Some(digits.fold(0, |sum, digit| sum << 7 | usize::from(digit & 0x7F)));
        }
        if self.left != Some(0) {
            return None;
        }
        let packet_type = self.header[0] >> 4;
        *self = Self::default();
        Some(packet_type)
    }
}
