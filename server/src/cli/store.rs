//! Where things are stored, and how large the store may be.

use std::path::PathBuf;

use clap::Args;
use store::{Settings, Sizes};

use super::limits::parse_size;

/// The store.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The folder for what outlives the server: sessions, messages on their way, retained
    /// messages. Made if it is not there.
    #[arg(
        long,
        value_name = "DIR",
        env = "BEACONRY_DATA",
        default_value = "./beaconry-data"
    )]
    data: PathBuf,

    /// Store nothing: what clients were promised ends with the server. --data is ignored then.
    // No conflict with it: a service's environment may name a folder once and for all.
    #[arg(long, env = "BEACONRY_IN_MEMORY", conflicts_with = "salvage", value_parser = clap::builder::BoolishValueParser::new())]
    in_memory: bool,

    /// If files in the folder are damaged, start with what was stored before the damage, and give
    /// up everything behind it, whole files too: it builds on what is missing. That may be nearly
    /// all, and is moved into the folder's own folder "damaged". A backup is better.
    #[arg(long)]
    salvage: bool,

    /// How large each file of the store is, between 64KiB and 1GiB. Half of one, or more, is
    /// reserved ahead: where others fill the disk, that is for what must still be stored. They are
    /// shorter on a disk that has no room for four of them.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_STORE_SEGMENT_SIZE", default_value = "64MiB", value_parser = parse_segment_size)]
    store_segment_size: u64,

    /// The most that the store may take on the disk, at least 256KiB. As much of it as a copy of
    /// all that is stored takes is kept, and some for what waits for clients; with the rest in use
    /// it is as if the disk were full. Its files become smaller if four of them would be more. As
    /// much as the disk has if not given.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_MAX_STORE_SIZE", help_heading = "Limits", value_parser = parse_store_size)]
    max_store_size: Option<u64>,
}

impl StoreArgs {
    /// `None`: nothing is stored. `backlog`: at how many bytes that wait to be written clients
    /// that cause more are not read any more.
    pub(crate) fn settings(&self, backlog: usize) -> Option<Settings> {
        let most = self.max_store_size.unwrap_or(u64::MAX);
        (!self.in_memory).then(|| Settings {
            folder: self.data.clone(),
            sizes: Sizes {
                segment: self.store_segment_size.min(most / 4),
                most,
                // Clients are not read long before: what comes then is little, unless something
                // is wrong.
                waiting: backlog.saturating_mul(2),
            },
            salvage: self.salvage,
        })
    }
}

fn parse_segment_size(text: &str) -> Result<u64, String> {
    bounded(text, 64 << 10, 1 << 30, "between 64KiB and 1GiB")
}

fn parse_store_size(text: &str) -> Result<u64, String> {
    bounded(text, 256 << 10, u64::MAX, "at least 256KiB")
}

fn bounded(text: &str, least: u64, most: u64, expected: &str) -> Result<u64, String> {
    let size = parse_size(text)? as u64;
    if (least..=most).contains(&size) {
        Ok(size)
    } else {
        Err(format!("expected {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_small_enough_for_the_whole() {
        let arguments = StoreArgs {
            data: PathBuf::from("x"),
            in_memory: false,
            salvage: false,
            store_segment_size: 64 << 20,
            max_store_size: Some(1 << 20),
        };
        let sizes = arguments.settings(1_000).unwrap().sizes;
        assert_eq!((sizes.segment, sizes.most), (256 << 10, 1 << 20));
        assert_eq!(sizes.waiting, 2_000);
    }

    #[test]
    fn sizes_have_bounds() {
        assert_eq!(parse_segment_size("1MiB"), Ok(1 << 20));
        assert!(parse_segment_size("1kB").is_err());
        assert!(parse_segment_size("2GiB").is_err());
        assert_eq!(parse_store_size("10GB"), Ok(10_000_000_000));
        assert!(parse_store_size("1KiB").is_err());
    }
}
