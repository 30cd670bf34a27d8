//! The UTF-8 Encoded String of the standard (section 1.5.4).

use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

/// A UTF-8 Encoded String: at most 65,535 bytes of well-formed UTF-8 without U+0000
/// `[MQTT-1.5.4-1]` `[MQTT-1.5.4-2]`.
///
/// It is a slice of the packet that it came in: a clone shares those bytes and copies nothing. To
/// keep one for long, keep a [`detached`](Self::detach) copy, so that a short string does not hold
/// on to a large packet.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utf8String(ByteString);

/// Why some bytes are not a UTF-8 Encoded String.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The bytes are not well-formed UTF-8 `[MQTT-1.5.4-1]`.
    #[error("not well-formed UTF-8")]
    NotUtf8,
    /// The text contains the null character U+0000 `[MQTT-1.5.4-2]`.
    #[error("contains the null character U+0000")]
    Null,
    /// The text has more than 65,535 bytes.
    #[error("longer than 65,535 bytes")]
    TooLong,
}

impl Utf8String {
    /// The longest string that a packet can carry, in bytes.
    pub const MAX_LEN: usize = u16::MAX as usize;

    /// Checks `bytes` and takes them as they are.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, TextError> {
        let text = ByteString::try_from(bytes).map_err(|_| TextError::NotUtf8)?;
        check(&text)?;
        Ok(Self(text))
    }

    /// A string that is known when the program is compiled.
    ///
    /// # Panics
    /// Panics when `text` breaks a rule; in a `const` that happens at compile time.
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        assert!(bytes.len() <= Self::MAX_LEN, "longer than 65,535 bytes");
        let mut i = 0;
        while i < bytes.len() {
            assert!(bytes[i] != 0, "contains U+0000");
            i += 1;
        }
        Self(ByteString::from_static(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text's bytes, shared and not copied.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// A copy that holds no memory but its own bytes.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }
}

fn check(text: &str) -> Result<(), TextError> {
    if text.len() > Utf8String::MAX_LEN {
        return Err(TextError::TooLong);
    }
    if text.as_bytes().contains(&0) {
        return Err(TextError::Null);
    }
    Ok(())
}

impl TryFrom<&str> for Utf8String {
    type Error = TextError;

    fn try_from(text: &str) -> Result<Self, TextError> {
        check(text)?;
        Ok(Self(ByteString::from(text)))
    }
}

impl TryFrom<String> for Utf8String {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        check(&text)?;
        Ok(Self(ByteString::from(text)))
    }
}

impl Deref for Utf8String {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Utf8String {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Utf8String {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Utf8String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_1_5_4_refuses_bytes_that_are_no_utf8_encoded_string() {
        assert_eq!(Utf8String::try_from("a\0b"), Err(TextError::Null));
        let surrogate = Bytes::from_static(&[0xED, 0xA0, 0x80]);
        assert_eq!(Utf8String::from_bytes(surrogate), Err(TextError::NotUtf8));
        let long = "x".repeat(65_536);
        assert_eq!(Utf8String::try_from(long), Err(TextError::TooLong));
    }

    #[test]
    fn mqtt_1_5_4_3_keeps_a_byte_order_mark() {
        let text = Utf8String::try_from("\u{FEFF}a").unwrap();
        assert_eq!(text.as_str(), "\u{FEFF}a");
    }
}
