//! Parses single values of the command line. Each error says what is expected; clap puts the flag
//! and the value in front of it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use broker::QueueFull;
use bytesize::ByteSize;
use humantime::format_duration;
use mqtt::{TopicFilter, TopicName};

/// A type of whole numbers, for errors.
pub(crate) trait Whole: TryFrom<u64> {
    /// Says which values are allowed, from `least` on.
    fn expected(least: u64) -> String;
}

impl Whole for u16 {
    fn expected(least: u64) -> String {
        format!("expected a whole number from {least} to {}", Self::MAX)
    }
}

impl Whole for u32 {
    fn expected(least: u64) -> String {
        format!("expected a whole number from {least} to {}", Self::MAX)
    }
}

impl Whole for usize {
    fn expected(least: u64) -> String {
        format!("expected a whole number of at least {least}")
    }
}

pub(crate) fn number<T: Whole>(text: &str) -> Result<T, String> {
    number_from(0, text)
}

pub(crate) fn positive<T: Whole>(text: &str) -> Result<T, String> {
    number_from(1, text)
}

fn number_from<T: Whole>(least: u64, text: &str) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| *number >= least);
    let number = number.and_then(|number: u64| T::try_from(number).ok());
    number.ok_or_else(|| T::expected(least))
}

/// A size in bytes, such as 65536, 512KiB or 1.5MB.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    usize::try_from(bytes(text)?).map_err(|_| format!("expected at most {} bytes", usize::MAX))
}

/// At least one byte. With 0 every topic would be refused.
pub(crate) fn positive_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        0 => Err("expected at least 1".to_owned()),
        size => Ok(size),
    }
}

/// How much of a payload is kept.
pub(crate) fn kept_payload(text: &str) -> Result<usize, String> {
    match size(text)? {
        size if size <= messages::Options::LONGEST_PAYLOAD => Ok(size),
        _ => Err("expected at most 1MiB".to_owned()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        // A size that does not fit is parsed as the largest one, so the largest one is refused.
        Ok(ByteSize(size)) if size < u64::MAX => Ok(size),
        Ok(_) | Err(_) => Err("expected a size such as 65536, 512KiB or 4MiB".to_owned()),
    }
}

fn bytes_between(text: &str, least: u64, most: u64, expected: &str) -> Result<u64, String> {
    let size = bytes(text)?;
    if (least..=most).contains(&size) {
        Ok(size)
    } else {
        Err(format!("expected {expected}"))
    }
}

/// At least 16 MiB: the smallest limits that follow from it need that much.
pub(crate) fn memory(text: &str) -> Result<usize, String> {
    bytes_between(text, 16 << 20, u64::MAX, "at least 16MiB")?;
    size(text)
}

pub(crate) fn packet_size(text: &str) -> Result<u32, String> {
    /// The largest remaining length, and five bytes of fixed header `[MQTT-1.5.5-1]`.
    const MOST: u64 = 268_435_455 + 5;
    /// Room for a CONNECT with a client identifier of the 23 bytes that every server must accept
    /// `[MQTT-3.1.3-5]`. With less nobody could connect.
    const LEAST: u64 = 64;
    const EXPECTED: &str = "between 64 bytes and 256MiB, the most that MQTT can carry";
    let size = bytes_between(text, LEAST, MOST, EXPECTED)?;
    u32::try_from(size).map_err(|_| format!("expected {EXPECTED}"))
}

pub(crate) fn segment_size(text: &str) -> Result<u64, String> {
    bytes_between(text, 64 << 10, 1 << 30, "between 64KiB and 1GiB")
}

pub(crate) fn store_size(text: &str) -> Result<u64, String> {
    bytes_between(text, 256 << 10, u64::MAX, "at least 256KiB")
}

/// How often a simulated device sends.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_millis(10), Duration::from_hours(1))
}

/// A time for which something is kept: an hour to a hundred years.
pub(crate) fn history_time(text: &str) -> Result<Duration, String> {
    time_between(
        text,
        Duration::from_hours(1),
        Duration::from_hours(24 * 36_525),
    )
}

/// A time; zero means that nothing is kept.
pub(crate) fn messages_time(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    history_time(text)
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_millis(100), Duration::from_hours(1))
}

/// A time; zero means never.
pub(crate) fn tcp_keep_alive(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    // Operating systems do not accept longer times.
    time_between(text, Duration::from_secs(1), Duration::from_hours(9))
}

/// A time in seconds; `u32::MAX` means never.
pub(crate) fn expiry(text: &str) -> Result<u32, String> {
    const MOST: Duration = Duration::from_hours(24 * 365 * 100);
    if text == "never" {
        return Ok(u32::MAX);
    }
    let time = time(text).filter(|time| *time <= MOST);
    let seconds = time.and_then(|time| u32::try_from(time.as_secs()).ok());
    seconds
        .ok_or_else(|| "expected a time such as 90m, 12h or 30d, up to 36500d, or never".to_owned())
}

fn time_between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    match time(text) {
        Some(time) if (least..=most).contains(&time) => Ok(time),
        Some(_) => Err(format!(
            "expected a time between {} and {}",
            format_duration(least),
            format_duration(most)
        )),
        None => Err("expected a time such as 250ms, 1s or 2m".to_owned()),
    }
}

/// A time with units. A plain number is in seconds.
fn time(text: &str) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

pub(crate) fn queue_full(text: &str) -> Result<QueueFull, String> {
    match text {
        "disconnect" => Ok(QueueFull::Disconnect),
        "drop-newest" => Ok(QueueFull::DropNewest),
        "drop-oldest" => Ok(QueueFull::DropOldest),
        _ => Err("expected disconnect, drop-newest or drop-oldest".to_owned()),
    }
}

pub(crate) fn topic(text: &str) -> Result<TopicName, String> {
    TopicName::try_from(text)
        .map_err(|error| format!("expected a topic name, but this one {error}"))
}

/// A topic filter, for a program that subscribes.
pub(crate) fn topic_filter(text: &str) -> Result<TopicFilter, String> {
    TopicFilter::try_from(text)
        .map_err(|error| format!("expected a topic filter, but this one {error}"))
}

/// An address, or a host name with a port such as localhost:1883. Takes the first address of a name.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| {
            "expected an address and a port, such as 127.0.0.1:1883 or [::]:1883".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(number::<u16>("65535"), Ok(65_535));
        assert_eq!(number::<usize>("0"), Ok(0));
        for bad in ["", "65536", "-1", "1.5", "x"] {
            let error = number::<u16>(bad).unwrap_err();
            assert_eq!(error, "expected a whole number from 0 to 65535");
        }
        assert!(positive::<u32>("0").unwrap_err().contains("from 1 to"));
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(packet_size("65536"), Ok(65_536));
        assert_eq!(packet_size("4MiB"), Ok(4 << 20));
        assert_eq!(packet_size("1MB"), Ok(1_000_000));
        assert_eq!(packet_size("256MiB"), Ok(256 << 20));
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("64kB"), Ok(64_000));
        assert_eq!(size("1.5KiB"), Ok(1_536));
        assert_eq!(bytes("3GiB"), Ok(3 << 30));
        assert_eq!(segment_size("1MiB"), Ok(1 << 20));
        assert_eq!(store_size("10GB"), Ok(10_000_000_000));
        for bad in ["", "10XB", "KiB", "-1", "1e3", "99999999999999999999MiB"] {
            let error = size(bad).unwrap_err();
            assert!(error.contains("such as 65536, 512KiB"), "{bad}: {error}");
        }
        for bad in ["0", "10", "1GiB", "300MB"] {
            assert!(packet_size(bad).is_err(), "{bad}");
        }
        assert!(memory("1MiB").is_err());
        assert!(segment_size("1kB").is_err());
        assert!(segment_size("2GiB").is_err());
        assert!(store_size("1KiB").is_err());
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(interval("2"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(interval("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "s", "1ms", "2h", "-1s", "NaN", "inf", "1d", "1é"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
        let error = timeout("1ms").unwrap_err();
        assert_eq!(error, "expected a time between 100ms and 1h");
        assert_eq!(tcp_keep_alive("0"), Ok(Duration::ZERO));
        assert!(tcp_keep_alive("500ms").is_err());
    }

    #[test]
    fn expiries_have_days_and_may_be_never() {
        assert_eq!(expiry("never"), Ok(u32::MAX));
        assert_eq!(expiry("30d"), Ok(30 * 86_400));
        assert_eq!(expiry("2w"), Ok(14 * 86_400));
        assert_eq!(expiry("12h"), Ok(12 * 3_600));
        assert_eq!(expiry("0"), Ok(0));
        assert_eq!(expiry("36500d"), Ok(36_500 * 86_400));
        // A time that is too long must not become never.
        for bad in ["", "d", "-1d", "x", "50000d", "36501d", "99999999h"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }
}
