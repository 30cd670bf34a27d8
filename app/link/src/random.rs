//! Random names and seeds, from the browser's random source.

use alloc::string::String;
use core::fmt::Write as _;

use mqtt::Utf8String;

/// Random bytes by `crypto.getRandomValues`. Unlike `crypto.randomUUID`, pages without TLS
/// (`http://192.168…`) have it too.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    let crypto = crate::window().and_then(|window| window.crypto().ok());
    let filled = crypto.is_some_and(|crypto| crypto.get_random_values_with_u8_array(bytes).is_ok());
    if !filled {
        // This is good enough for names that must not collide by accident.
        for byte in bytes {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let random = (js_sys::Math::random() * 256.0) as u8;
            *byte = random;
        }
    }
}

/// A UUID of version 4 (RFC 9562).
pub fn uuid() -> String {
    format_uuid(bytes())
}

/// A seed for values that are no secret, such as the jitter between attempts to connect.
pub fn seed() -> u64 {
    u64::from_le_bytes(bytes())
}

/// `prefix`, a hyphen, and ten random letters and digits. A prefix that no client id can have gives
/// an empty id: the server then assigns one.
pub fn client_id(prefix: &str) -> Utf8String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut id = String::from(prefix);
    id.push('-');
    for byte in bytes::<10>() {
        id.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    }
    Utf8String::try_from(id).unwrap_or_default()
}

fn format_uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        assert_eq!(format_uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(
            format_uuid([0xFF; 16]),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
    }
}
