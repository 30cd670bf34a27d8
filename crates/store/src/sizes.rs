//! The sizes of the store and its files, and whether they are enough.

use std::collections::VecDeque;
use std::path::Path;
use std::{fs, io};

use broker::Metrics;
use bytesize::ByteSize;
use tracing::{info, warn};

use crate::error::StoreError;
use crate::journal::Segment;
use crate::platform;

/// The sizes that the store keeps to.
#[derive(Copy, Clone, Debug)]
pub struct Sizes {
    /// Bytes of a segment.
    pub segment: u64,
    /// The most bytes of all segments together. `u64::MAX`: as much as the disk has.
    pub most: u64,
    /// The most bytes that may wait in memory while the disk is full.
    pub waiting: usize,
}

impl Sizes {
    /// The part of a segment that is kept free as a reserve, for what is not counted: frames of groups,
    /// clients that come and go.
    const KEPT: u64 = 8;
    /// Bytes of the shortest segment that a store can work with.
    pub(super) const SHORTEST: u64 = 64 << 10;
    /// Bytes that a new store needs: that segment, the next one, and the small files.
    pub(super) const LEAST: u64 = 2 * Self::SHORTEST;

    /// Bytes that are always kept free.
    pub(super) const fn kept(self) -> u64 {
        self.segment / Self::KEPT
    }

    /// Shortens the segments for a small disk. `folder` is on it, and `segments` holds the journal. The
    /// reserve is a part of a segment, so with long segments a small disk would be full from the
    /// beginning.
    pub(super) fn on_disk_of(self, folder: &Path, segments: &Path) -> Self {
        let Ok(disk) = platform::space_of(folder) else {
            return self;
        };
        let files = fs::read_dir(segments).into_iter().flatten().flatten();
        let used: u64 = files
            .filter_map(|file| file.metadata().ok())
            .map(|it| it.len())
            .sum();
        let free = disk.free.saturating_add(used);
        let sizes = self.within(free, disk.all);
        if sizes.segment < self.segment {
            info!(
                "{}: the disk is small, so files of the store have at most {}, less than --store-segment-size",
                folder.display(),
                ByteSize(sizes.segment)
            );
        }
        sizes
    }

    /// Shortens the segments for a disk of `all` bytes, of which `free` bytes are free for the
    /// store.
    fn within(self, free: u64, all: u64) -> Self {
        /// At least this much counts as free. Other programs may free space later, and then
        /// segments that are too short would be slow.
        const COUNTED: u64 = 4 << 20;
        let room = free.max(COUNTED).min(all);
        Self {
            segment: self.segment.min((room / 4).max(Self::SHORTEST)),
            ..self
        }
    }

    /// How many bytes the store may take until the next checkpoint is complete.
    ///
    /// What was stored within a limit always leaves space for a checkpoint, even when the store is
    /// full. But a server that was killed during a checkpoint leaves a part of one, and a new one must
    /// fit behind it; after several kills there are several parts. So until a checkpoint is complete,
    /// the store may take up to twice the limit, if it fits into the limit afterwards.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooSmall`] if the store can never have space again within the limit.
    pub(super) fn until_checkpoint(
        self,
        path: &Path,
        segments: &VecDeque<Segment>,
        metrics: &Metrics,
    ) -> Result<u64, StoreError> {
        let used: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let copied = used + metrics.copy_bytes;
        if used == 0 || copied <= self.most {
            return Ok(self.most);
        }
        let least = copied + metrics.copy_bytes / 8 + metrics.taking_bytes;
        // A part of the whole is kept as a reserve.
        let least = (least + least / 8).next_multiple_of(64 << 10);
        let fits_afterwards = 2 * metrics.copy_bytes <= self.most;
        if fits_afterwards && least <= self.most.saturating_mul(2) {
            warn!(
                "{}: what is stored fits into --max-store-size only after the next checkpoint; until then the store takes up to {}",
                path.display(),
                ByteSize(least)
            );
            return Ok(least);
        }
        Err(StoreError::TooSmall {
            path: path.to_owned(),
            most: self.most,
            least,
        })
    }

    /// Whether this many bytes may be added to those that are `reserved`.
    pub(super) fn check_limit(self, reserved: u64, len: u64) -> io::Result<()> {
        if reserved.saturating_add(len) > self.most {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "--max-store-size allows no more",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn four_segments_fit_on_the_disk() {
        let sizes = Sizes {
            segment: 64 * MIB,
            most: u64::MAX,
            waiting: 0,
        };
        for (free, all, segment) in [
            (100_000 * MIB, 200_000 * MIB, 64 * MIB),
            (40 * MIB, 40 * MIB, 10 * MIB),
            (40 * MIB, 200_000 * MIB, 10 * MIB),
            // Other programs have filled the disk.
            (0, 200_000 * MIB, MIB),
            (0, 2 * MIB, MIB / 2),
            (MIB, MIB, MIB / 4),
            (1_000, 1_000, Sizes::SHORTEST),
        ] {
            assert_eq!(sizes.within(free, all).segment, segment, "{free} of {all}");
        }
        let short = Sizes {
            segment: 1_000,
            ..sizes
        };
        assert_eq!(short.within(0, 1_000).segment, 1_000);
    }
    #[test]
    fn a_part_of_a_checkpoint_may_exceed_the_limit_until_the_next_one() {
        let sizes = Sizes {
            segment: MIB / 4,
            most: MIB,
            waiting: 0,
        };
        let allowed = |used, copy_bytes| {
            let segments = VecDeque::from([Segment {
                number: 1,
                first: broker::Lsn(1),
                bytes: used,
                group: 0,
            }]);
            let metrics = Metrics {
                copy_bytes,
                ..Metrics::default()
            };
            sizes.until_checkpoint(Path::new("data"), &segments, &metrics)
        };
        let kib = 1 << 10;
        assert_eq!(allowed(600 * kib, 400 * kib).unwrap(), MIB);
        let raised = allowed(800 * kib, 400 * kib).unwrap();
        assert!((1_200 * kib..2 * MIB).contains(&raised), "{raised}");
        // A server that was killed in that next checkpoint too has left more than the limit.
        let raised = allowed(1_200 * kib, 400 * kib).unwrap();
        assert!((1_600 * kib..=2 * MIB).contains(&raised), "{raised}");
        // With this limit the store would be full for ever, or would take more than twice as much.
        for (used, copy) in [(800 * kib, 600 * kib), (1_700 * kib, 400 * kib)] {
            let refused = allowed(used, copy).unwrap_err();
            assert!(matches!(refused, StoreError::TooSmall { .. }), "{refused}");
        }
    }
}
