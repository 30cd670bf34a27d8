//! How large the store may be, and whether that is enough.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use broker::Metrics;

use super::error::StoreError;
use super::journal::Segment;

/// How large things may be.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sizes {
    /// Bytes of a segment.
    pub(crate) segment: u64,
    /// Bytes of all segments together. `u64::MAX`: what the disk has.
    pub(crate) most: u64,
    /// Bytes that may wait for a full disk to have room.
    pub(crate) waiting: usize,
}

impl Sizes {
    /// Of a segment: what is kept beside what has to have room, for all that nobody counts. The
    /// frames of groups, clients that come and go.
    const KEPT: u64 = 8;

    /// Bytes that are not given away, whatever has room.
    pub(super) const fn kept(self) -> u64 {
        self.segment / Self::KEPT
    }

    /// Whether the limit lets the store ever have room again. Whatever was stored within a limit
    /// leaves room for a copy of everything, even when it is full.
    pub(super) fn check(
        self,
        path: &Path,
        segments: &VecDeque<Segment>,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let used: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let copied = used + metrics.copy_bytes();
        if used == 0 || copied <= self.most {
            return Ok(());
        }
        let least = copied + metrics.copy_bytes() / 8 + metrics.taking_bytes();
        // Some of the whole is kept for what nobody counts.
        let least = (least + least / 8).next_multiple_of(64 << 10);
        Err(StoreError::TooSmall {
            path: path.to_owned(),
            most: self.most,
            least,
        })
    }

    /// Whether there may be so many bytes more than are `reserved`.
    pub(super) fn check_limit(self, reserved: u64, len: u64) -> io::Result<()> {
        if reserved.saturating_add(len) > self.most {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "as much is stored as --max-store-size allows",
            ));
        }
        Ok(())
    }
}
