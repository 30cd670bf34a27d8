//! The flags of the store. Its limits are in the table of limits.

use std::path::PathBuf;

use clap::Args;
use store::{Settings, Sizes};

use super::parse;
use crate::limits::LimitArgs;

/// The store.
// Printed by `--help` as they are: no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The folder for what must outlive the server: sessions, queued messages, retained messages.
    /// The server creates it if it does not exist.
    #[arg(
        long,
        value_name = "DIR",
        env = "BEACONRY_DATA",
        default_value = "./beaconry-data"
    )]
    data: PathBuf,

    /// Store nothing. Sessions and messages end with the server. --data is ignored.
    // It does not conflict with --data, because the environment of a service may always name a folder.
    #[arg(long, env = "BEACONRY_IN_MEMORY", conflicts_with = "salvage", value_parser = clap::builder::BoolishValueParser::new())]
    in_memory: bool,

    /// If files in the folder are damaged, start with what was stored before the damage. The server
    /// gives up everything after it, because later records depend on those that are missing. That
    /// may be nearly everything. It moves such files into the folder "damaged" inside the data
    /// folder. A backup is better.
    #[arg(long)]
    salvage: bool,

    /// The size of each file of the store, between 64KiB and 1GiB. The server reserves half a file
    /// or more in advance, so that it can still store what it must when other programs fill the
    /// disk. On a disk without room for four files they are smaller.
    #[arg(long, value_name = "SIZE", env = "BEACONRY_STORE_SEGMENT_SIZE", default_value = "64MiB", value_parser = parse::segment_size)]
    store_segment_size: u64,
}

impl StoreArgs {
    /// `None`: nothing is stored.
    pub(crate) fn settings(&self, limits: &LimitArgs) -> Option<Settings> {
        let most = limits.store_bytes;
        (!self.in_memory).then(|| Settings {
            folder: self.data.clone(),
            sizes: Sizes {
                // Four files must fit.
                segment: self.store_segment_size.min(most / 4),
                most,
                // The server stops reading from clients at half of this. More comes only if something
                // is wrong.
                waiting: limits.journal_backlog_bytes.saturating_mul(2),
            },
            salvage: self.salvage,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn four_files_fit_into_the_limit() {
        let line = Line::try_parse_from([
            "beaconry",
            "--max-store-size=1MiB",
            "--max-journal-backlog=1000",
        ]);
        let line = line.unwrap();
        let sizes = line.store.settings(&line.limits).unwrap().sizes;
        assert_eq!((sizes.segment, sizes.most), (256 << 10, 1 << 20));
        assert_eq!(sizes.waiting, 2_000);
    }

    #[test]
    fn nothing_is_stored_in_memory() {
        let line = Line::try_parse_from(["beaconry", "--in-memory"]).unwrap();
        assert!(line.store.settings(&line.limits).is_none());
    }
}
