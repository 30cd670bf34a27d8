//! How fast clients may publish.

use mqtt::Instant;

/// How many messages a client may have published by `now`, at `rate` messages a second since the
/// clock began. The result is exact even if a message takes less than a microsecond.
pub(crate) fn allowed_messages(now: Instant, rate: u32) -> u64 {
    const SECOND: u128 = 1_000_000;
    let messages = u128::from(now.as_micros()) * u128::from(rate) / SECOND;
    u64::try_from(messages).unwrap_or(u64::MAX)
}
