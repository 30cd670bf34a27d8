//! The limits that can be set: each a flag and a variable, each told in docs/limits.md.

use std::time::Duration;

use broker::QueueFull;
use clap::Args;

use super::{parse_duration, parse_timeout};
use crate::memory;

/// What bounds the server, in the order of docs/limits.md.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// The most memory that all sessions, queues, retained messages and buffers may take together;
    /// above it new messages and new clients are refused. Half of what the machine, or the
    /// container, has if not given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_MEMORY", value_parser = parse_memory)]
    pub(crate) max_memory: Option<usize>,

    /// How many connections may be open at once, MQTT and HTTP together.
    #[arg(long, value_name = "N", env = "BEACONRY_MAX_CONNECTIONS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: u32,

    /// How many connections may be open from one address; 0: as many as in all. For IPv6 the first
    /// 64 bits count as the address. Connections from this machine are not counted.
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 1_000
    )]
    pub(crate) max_connections_per_address: u32,

    /// After how much silence the system asks a peer whether it is still there; 0: never.
    #[arg(long, value_name = "TIME", env = "BEACONRY_TCP_KEEP_ALIVE", default_value = "60s", value_parser = parse_keep_alive)]
    pub(crate) tcp_keep_alive: Duration,

    /// How long a new connection may take until it has said who it is (CONNECT, or its HTTP
    /// request).
    #[arg(long, value_name = "TIME", env = "BEACONRY_CONNECT_TIMEOUT", default_value = "10s", value_parser = parse_timeout)]
    pub(crate) connect_timeout: Duration,

    /// The largest MQTT packet that a client may send, for example 512KiB or 8MiB.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_PACKET_SIZE", default_value = "1MiB", value_parser = parse_packet_size)]
    pub(crate) max_packet_size: u32,

    /// Bytes that a client may send behind its CONNECT before it is answered.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_EARLY_BYTES", default_value = "64KiB", value_parser = parse_size)]
    pub(crate) max_early_bytes: usize,

    /// The longest topic name or filter, in bytes.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_TOPIC_LENGTH", default_value = "16KiB", value_parser = parse_least_one)]
    pub(crate) max_topic_length: usize,

    /// The most levels of a topic name or filter.
    #[arg(long, value_name = "N", env = "BEACONRY_MAX_TOPIC_LEVELS", default_value = "128", value_parser = parse_levels)]
    pub(crate) max_topic_levels: usize,

    /// How many topic aliases a client may use (Topic Alias Maximum).
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_MAX_TOPIC_ALIAS",
        default_value_t = 16
    )]
    pub(crate) max_topic_alias: u16,

    /// How many topic aliases the server uses towards a client, if that takes as many; 0: none.
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_SERVER_TOPIC_ALIASES",
        default_value_t = 16
    )]
    pub(crate) server_topic_aliases: u16,

    /// How many sessions there may be, with and without a connection.
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_MAX_SESSIONS",
        default_value_t = 200_000
    )]
    pub(crate) max_sessions: usize,

    /// The longest that a session is kept when its connection has ended, for example 12h or 30d;
    /// never: as long as its client asks for.
    #[arg(long, value_name = "TIME", env = "BEACONRY_MAX_SESSION_EXPIRY", default_value = "never", value_parser = parse_expiry)]
    pub(crate) max_session_expiry: u32,

    /// The largest will, with its properties.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_WILL_SIZE", default_value = "128KiB", value_parser = parse_size)]
    pub(crate) max_will_size: usize,

    /// How large all wills together may be. A 32nd of --max-memory if not given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_ALL_WILLS_BYTES", value_parser = parse_size)]
    pub(crate) max_all_wills_bytes: Option<usize>,

    /// How many subscriptions a client may have.
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_MAX_SUBSCRIPTIONS",
        default_value_t = 10_000
    )]
    pub(crate) max_subscriptions: usize,

    /// How many bytes a client's subscriptions may take.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_SUBSCRIPTION_BYTES", default_value = "8MiB", value_parser = parse_size)]
    pub(crate) max_subscription_bytes: usize,

    /// How many bytes the subscriptions of all clients may take. An eighth of --max-memory if not
    /// given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_ALL_SUBSCRIPTIONS_BYTES", value_parser = parse_size)]
    pub(crate) max_all_subscriptions_bytes: Option<usize>,

    /// How many messages a client may publish in a second, a second's worth at once; whoever is
    /// faster is not read for a while. 0: as many as it likes.
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_MAX_PUBLISH_RATE",
        default_value_t = 0
    )]
    pub(crate) max_publish_rate: u32,

    /// How many QoS 1 and 2 messages a client may send before they are acknowledged (Receive
    /// Maximum).
    #[arg(long, value_name = "N", env = "BEACONRY_RECEIVE_MAXIMUM", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) receive_maximum: u16,

    /// How many QoS 1 and 2 messages are sent to a client before it acknowledges the first; the
    /// others wait in its queue.
    #[arg(long, value_name = "N", env = "BEACONRY_INFLIGHT_WINDOW", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) inflight_window: u16,

    /// How many QoS 1 and 2 messages may wait in a client's queue, connected or not.
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_MAX_QUEUED_MESSAGES",
        default_value_t = 10_000
    )]
    pub(crate) max_queued_messages: usize,

    /// How many bytes the messages in a client's queue may take.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_QUEUED_BYTES", default_value = "16MiB", value_parser = parse_size)]
    pub(crate) max_queued_bytes: usize,

    /// How many bytes the messages in all clients' queues may take. A quarter of --max-memory if
    /// not given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_ALL_QUEUES_BYTES", value_parser = parse_size)]
    pub(crate) max_all_queues_bytes: Option<usize>,

    /// What to do with a message that a client's queue has no room for. disconnect: drop it and
    /// disconnect the client, which can come back for what is in its queue; drop-newest: drop it;
    /// drop-oldest: drop older ones for it.
    #[arg(long, value_name = "POLICY", env = "BEACONRY_QUEUE_FULL", default_value = "disconnect", value_parser = parse_queue_full)]
    pub(crate) queue_full: QueueFull,

    /// How many bytes may wait to be written to a client; beyond, QoS 0 messages to it are dropped,
    /// and those of QoS 1 and 2 stay in its queue.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_OUT_BUFFER", default_value = "1MiB", value_parser = parse_size)]
    pub(crate) max_out_buffer: usize,

    /// How many bytes may wait to be written to all clients. An eighth of --max-memory if not
    /// given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_ALL_OUT_BUFFERS", value_parser = parse_size)]
    pub(crate) max_all_out_buffers: Option<usize>,

    /// How many bytes of packets whose end has not come may be held for all clients. A sixteenth of
    /// --max-memory if not given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_ALL_PARTIAL_BYTES", value_parser = parse_size)]
    pub(crate) max_all_partial_bytes: Option<usize>,

    /// How many retained messages there may be.
    #[arg(
        long,
        value_name = "N",
        env = "BEACONRY_MAX_RETAINED_MESSAGES",
        default_value_t = 1_000_000
    )]
    pub(crate) max_retained_messages: usize,

    /// How many bytes all retained messages may take. A quarter of --max-memory if not given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_RETAINED_BYTES", value_parser = parse_size)]
    pub(crate) max_retained_bytes: Option<usize>,

    /// How many bytes may wait to be written to the disk; clients that cause more are not read until
    /// half of that is written.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_JOURNAL_BACKLOG", default_value = "64MiB", value_parser = parse_size)]
    pub(crate) max_journal_backlog: usize,
}

impl LimitArgs {
    /// How many connections one address may have.
    pub(crate) fn connections_per_address(&self) -> usize {
        match usize::try_from(self.max_connections_per_address) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(number) => number,
        }
    }

    /// The most memory, in bytes: as given, or half of what there is.
    pub(crate) fn memory(&self) -> usize {
        self.max_memory.unwrap_or_else(|| memory::available() / 2)
    }

    /// Says which limits contradict each other, if any do: with them the largest packets that
    /// clients are told they may send could never be received whole, or never be delivered.
    pub(crate) fn check(&self) -> Result<(), String> {
        let packet = self.packet();
        for (flag, has, least) in [
            ("--max-memory", Some(self.memory()), 4),
            ("--max-all-queues-bytes", self.max_all_queues_bytes, 2),
            ("--max-all-out-buffers", self.max_all_out_buffers, 2),
            ("--max-all-partial-bytes", self.max_all_partial_bytes, 1),
        ] {
            let least = packet.saturating_mul(least);
            if let Some(has) = has
                && has < least
            {
                return Err(format!(
                    "packets of --max-packet-size {packet} bytes need {flag} of at least \
                     {least} bytes, and it is {has}"
                ));
            }
        }
        Ok(())
    }

    fn packet(&self) -> usize {
        usize::try_from(self.max_packet_size).unwrap_or(usize::MAX)
    }

    /// The broker's limits.
    pub(crate) fn broker(&self) -> broker::Limits {
        let memory = self.memory();
        let packet = self.packet();
        let part =
            |part: usize, packets: usize| (memory / part).max(packet.saturating_mul(packets));
        broker::Limits {
            // The listeners count and refuse, WebSockets and HTTP included.
            connections: usize::MAX,
            sessions: self.max_sessions,
            connect_timeout: self.connect_timeout,
            early_bytes: self.max_early_bytes,
            maximum_packet_size: self.max_packet_size,
            publish_rate: self.max_publish_rate,
            receive_maximum: self.receive_maximum,
            topic_alias_maximum: self.max_topic_alias,
            server_topic_aliases: self.server_topic_aliases,
            topic_bytes: self.max_topic_length,
            topic_levels: self.max_topic_levels,
            subscriptions_per_client: self.max_subscriptions,
            subscription_bytes_per_client: self.max_subscription_bytes,
            all_subscriptions_bytes: self.max_all_subscriptions_bytes.unwrap_or(memory / 8),
            inflight_window: self.inflight_window,
            queue_messages: self.max_queued_messages,
            // The largest message must fit, or it could be published and never delivered.
            queue_bytes: self.max_queued_bytes.max(packet.saturating_mul(2)),
            all_queues_bytes: self.max_all_queues_bytes.unwrap_or_else(|| part(4, 2)),
            queue_full: self.queue_full,
            will_bytes: self.max_will_size,
            all_wills_bytes: self.max_all_wills_bytes.unwrap_or(memory / 32),
            out_buffer_bytes: self.max_out_buffer.max(packet),
            all_out_buffers_bytes: self.max_all_out_buffers.unwrap_or_else(|| part(8, 2)),
            all_partial_bytes: self.max_all_partial_bytes.unwrap_or_else(|| part(16, 1)),
            memory_bytes: memory,
            retained_messages: self.max_retained_messages,
            retained_bytes: self.max_retained_bytes.unwrap_or(memory / 4),
            journal_backlog_bytes: self.max_journal_backlog,
            session_expiry_interval: self.max_session_expiry,
        }
    }
}

/// Zero: never.
fn parse_keep_alive(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    // What the system can count.
    parse_duration(text, Duration::from_secs(1), Duration::from_hours(9))
}

fn parse_queue_full(text: &str) -> Result<QueueFull, String> {
    match text {
        "disconnect" => Ok(QueueFull::Disconnect),
        "drop-newest" => Ok(QueueFull::DropNewest),
        "drop-oldest" => Ok(QueueFull::DropOldest),
        _ => Err("expected disconnect, drop-newest or drop-oldest".to_owned()),
    }
}

/// Seconds; `u32::MAX` for ever.
pub(super) fn parse_expiry(text: &str) -> Result<u32, String> {
    const MOST: Duration = Duration::from_hours(24 * 365 * 100);
    if text == "never" {
        return Ok(u32::MAX);
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let time = match days {
        Some(days) => Some(Duration::from_hours(24).saturating_mul(days)),
        None => parse_duration(text, Duration::ZERO, MOST).ok(),
    };
    time.filter(|time| *time <= MOST)
        .and_then(|time| u32::try_from(time.as_secs()).ok())
        .ok_or_else(|| "expected a time such as 90m, 12h or 30d, up to 36500d, or never".to_owned())
}

/// Less would not even hold what the smallest of brokers keeps.
fn parse_memory(text: &str) -> Result<usize, String> {
    const LEAST: usize = 16 << 20;
    let size = parse_size(text)?;
    if size < LEAST {
        return Err("expected at least 16MiB".to_owned());
    }
    Ok(size)
}

/// With 0 every topic would be refused, as below.
fn parse_least_one(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        0 => Err("expected at least 1".to_owned()),
        size => Ok(size),
    }
}

fn parse_levels(text: &str) -> Result<usize, String> {
    let levels = text.parse::<usize>().ok().filter(|levels| *levels > 0);
    levels.ok_or_else(|| "expected a number, at least 1".to_owned())
}

pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, u64); 7] = [
        ("", 1),
        ("kB", 1_000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
    ];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = UNITS
        .iter()
        .find(|(name, _)| *name == &text[digits.len()..]);
    unit.zip(digits.parse::<u64>().ok())
        .and_then(|((_, unit), number)| number.checked_mul(*unit))
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| "expected a size such as 65536, 512KiB or 4MiB".to_owned())
}

fn parse_packet_size(text: &str) -> Result<u32, String> {
    /// A remaining length of four bytes, and its fixed header `[MQTT-1.5.5-1]`.
    const MOST: usize = 268_435_455 + 5;
    /// CONNECT with a client id of the 23 bytes that every server must take `[MQTT-3.1.3-5]`
    /// and the fields round it fit; below, nobody could connect.
    const LEAST: usize = 64;
    let size = parse_size(text)?;
    u32::try_from(size)
        .ok()
        .filter(|_| (LEAST..=MOST).contains(&size))
        .ok_or_else(|| {
            format!("expected between {LEAST} bytes and 256MiB, the most that MQTT can carry")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(parse_packet_size("65536"), Ok(65_536));
        assert_eq!(parse_packet_size("4MiB"), Ok(4 << 20));
        assert_eq!(parse_packet_size("1MB"), Ok(1_000_000));
        assert_eq!(parse_packet_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size("3GiB"), Ok(3 << 30));
        for bad in [
            "",
            "0",
            "10",
            "1GiB",
            "300MB",
            "-1",
            "99999999999999999999MiB",
        ] {
            assert!(parse_packet_size(bad).is_err(), "{bad}");
        }
        assert!(parse_memory("1MiB").is_err());
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            limits: LimitArgs,
        }
        let check = |arguments: &[&str]| {
            let line = ["beaconry"].iter().chain(arguments);
            <Line as clap::Parser>::try_parse_from(line)
                .map_or_else(|error| Err(error.to_string()), |line| line.limits.check())
        };
        let given = "--max-memory=1GiB";
        assert_eq!(check(&[given]), Ok(()));
        assert_eq!(check(&[given, "--max-packet-size=256MiB"]), Ok(()));
        // The smallest broker with the packets that are usual.
        assert_eq!(check(&["--max-memory=16MiB"]), Ok(()));
        for (arguments, flag) in [
            (
                &["--max-packet-size=128MiB", "--max-memory=400MiB"][..],
                "--max-memory",
            ),
            (
                &["--max-packet-size=16MiB", "--max-all-queues-bytes=31MiB"],
                "--max-all-queues-bytes",
            ),
            (
                &["--max-packet-size=16MiB", "--max-all-partial-bytes=1MiB"],
                "--max-all-partial-bytes",
            ),
            (&["--max-all-out-buffers=1MiB"], "--max-all-out-buffers"),
            (&["--max-topic-levels=0"], "--max-topic-levels"),
            (&["--max-topic-length=0"], "--max-topic-length"),
        ] {
            let mut line = arguments.to_vec();
            if !line.iter().any(|it| it.starts_with("--max-memory")) {
                line.push(given);
            }
            let refused = check(&line).unwrap_err();
            assert!(refused.contains(flag), "{refused}");
        }
    }

    #[test]
    fn expiries_have_days_and_may_be_never() {
        assert_eq!(parse_expiry("never"), Ok(u32::MAX));
        assert_eq!(parse_expiry("30d"), Ok(30 * 86_400));
        assert_eq!(parse_expiry("12h"), Ok(12 * 3_600));
        assert_eq!(parse_expiry("0"), Ok(0));
        assert_eq!(parse_expiry("36500d"), Ok(36_500 * 86_400));
        // More than can be told must not become for ever.
        for bad in ["", "d", "-1d", "x", "1w", "50000d", "36501d", "99999999h"] {
            assert!(parse_expiry(bad).is_err(), "{bad}");
        }
    }
}
