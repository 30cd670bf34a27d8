//! All limits of the server, in one table: `table.rs`, with `own.rs`.
//!
//! From each row come the flag and the variable of the command line, the value in `LimitArgs` (for a
//! limit of the broker also in [`broker::Limits`]), the flags that the log names, and a section of
//! docs/limits.md.
//!
//! **To add a limit of the broker:**
//! 1. Add a field to `broker::Limits`, and a variant to `broker::Limit` if the log should say when it
//!    is reached (`crates/broker/src/types/limits.rs`).
//! 2. Add a row with the name of the field to `table.rs`. Until then nothing compiles. If no metric
//!    fits, add one first: `server/src/metrics` says how.
//! 3. If there is a new variant, say in `log.rs` what happened.
//!
//! **To add a limit of the server itself:** write its row in `own.rs`, and name it under `server` in
//! `table.rs`. The value is then a field of `LimitArgs`; the code that it limits must ask for it.
//!
//! Then run `UPDATE_DOCS=1 cargo test -p beaconry docs`, which writes docs/limits.md. If a counter is
//! among the metrics of the row, a test in `server/tests/serve/limits.rs` fails until a row there
//! reaches the limit, or `ELSEWHERE` says which test does.

#[cfg(test)]
mod docs;
mod log;
mod own;
mod row;
mod table;

pub(crate) use self::log::{describe, flags_of};
pub use self::row::{Group, Row};
pub(crate) use self::table::LimitArgs;

use self::row::Known;
use self::table::TABLE;

/// Every limit, in the order of docs/limits.md.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.rows_with_defaults().into_iter().map(|(row, _)| row)
}

impl LimitArgs {
    /// How many connections one address may have.
    pub(crate) fn connections_per_address(&self) -> usize {
        match usize::try_from(self.connections_per_address) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(number) => number,
        }
    }

    /// Checks that no limits contradict each other. With such limits the server could never receive or
    /// deliver the largest packet that it tells clients they may send.
    pub(crate) fn check(&self) -> Result<(), String> {
        let packet = self.known().packet;
        for (row, has, packets) in [
            (&TABLE.memory_bytes.row, self.memory_bytes, 4),
            (&TABLE.all_queues_bytes.row, self.all_queues_bytes, 2),
            (
                &TABLE.all_out_buffers_bytes.row,
                self.all_out_buffers_bytes,
                2,
            ),
            (&TABLE.all_latest_bytes.row, self.all_latest_bytes, 2),
            (&TABLE.all_partial_bytes.row, self.all_partial_bytes, 1),
        ] {
            let least = packet.saturating_mul(packets);
            if has < least {
                return Err(format!(
                    "packets of --max-packet-size {packet} bytes need --{} of at least {least} \
                     bytes, and it is {has}",
                    row.flag
                ));
            }
        }
        Ok(())
    }

    /// Raises the limits of a single client that are too low for the largest message. Otherwise it
    /// could be published but never delivered.
    fn with_room_for_packets(mut self) -> Self {
        let packet = self.known().packet;
        self.queue_bytes = self.queue_bytes.max(packet.saturating_mul(2));
        self.latest_bytes = self.latest_bytes.max(packet.saturating_mul(2));
        self.out_buffer_bytes = self.out_buffer_bytes.max(packet);
        self.tap_bytes = self.tap_bytes.max(packet.saturating_mul(2));
        self
    }

    fn known(&self) -> Known {
        Known {
            memory: self.memory_bytes,
            packet: usize::try_from(self.maximum_packet_size).unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn parse(arguments: &[&str]) -> Result<LimitArgs, String> {
        let line = ["beaconry"].iter().chain(arguments);
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        line.limits.check().map(|()| line.limits)
    }

    #[test]
    fn limits_that_are_not_given_follow_from_the_memory() {
        let limits = parse(&["--max-memory=3200MiB"]).unwrap().broker();
        assert_eq!(limits.memory_bytes, 3_200 << 20);
        assert_eq!(limits.all_queues_bytes, 800 << 20);
        assert_eq!(limits.all_wills_bytes, 100 << 20);
        assert_eq!(limits.queue_messages, 10_000);

        let given = &["--max-memory=3200MiB", "--max-all-queues-bytes=4MiB"];
        assert_eq!(parse(given).unwrap().broker().all_queues_bytes, 4 << 20);
    }

    #[test]
    fn the_largest_packet_has_room_in_limits_that_follow() {
        let limits = parse(&["--max-memory=512MiB", "--max-packet-size=128MiB"]).unwrap();
        let limits = limits.broker();
        assert_eq!(limits.all_queues_bytes, 256 << 20);
        assert_eq!(limits.queue_bytes, 256 << 20);
        assert_eq!(limits.out_buffer_bytes, 128 << 20);
        assert_eq!(limits.all_partial_bytes, 128 << 20);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let given = "--max-memory=1GiB";
        assert!(parse(&[given]).is_ok());
        assert!(parse(&[given, "--max-packet-size=256MiB"]).is_ok());
        // The smallest broker with the usual packets.
        assert!(parse(&["--max-memory=16MiB"]).is_ok());
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
            (&["--receive-maximum=0"], "--receive-maximum"),
            (&["--max-packet-size=10XB"], "--max-packet-size"),
        ] {
            let mut line = arguments.to_vec();
            if !line.iter().any(|it| it.starts_with("--max-memory")) {
                line.push(given);
            }
            let refused = parse(&line).unwrap_err();
            assert!(refused.contains(flag), "{refused}");
        }
    }

    #[test]
    fn rows_are_named_alike() {
        for row in rows() {
            let variable = row.flag.replace('-', "_").to_ascii_uppercase();
            assert_eq!(row.variable, format!("BEACONRY_{variable}"));
            for sentence in [row.help, row.at_limit] {
                assert!(sentence.ends_with('.'), "--{}: {sentence}", row.flag);
            }
        }
    }
}
