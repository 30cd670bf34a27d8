//! Names for commands, by which their answers are known.

use std::hash::{BuildHasher, RandomState};

/// A random UUID (version 4).
pub(crate) fn new_uuid() -> String {
    // Each has keys of its own, from the system's source.
    let random = || u128::from(RandomState::new().hash_one(std::process::id()));
    let bits = (random() << 64) | random();
    let bits = bits & !(0xf000 << 64) | (0x4000 << 64);
    let bits = bits & !(0xc << 60) | (0x8 << 60);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_random_and_of_version_4() {
        let mut all = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let uuid = new_uuid();
            assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'));
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
            assert!(all.insert(uuid));
        }
    }
}
