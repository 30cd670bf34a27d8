//! The names by which the wings speak of each other's things.

use core::num::{NonZeroU32, NonZeroU64};

/// A network connection: a number that the shell gives and never gives again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

/// Where a connection is in the broker's table. Unlike a [`Conn`] it is used again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

/// Where a session is in the broker's table, for as long as it is there.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(u32);

/// A node, for as long as it is there.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(NonZeroU32);

/// A group, for as long as it has members. The number is never given again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupId(pub(crate) u64);

/// Names a session that outlives its connection, or leaves a will.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionNumber(pub(crate) NonZeroU64);

/// Names a message that is in a record.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageId(pub(crate) NonZeroU64);

/// The place of a record in the order of all records, from 1 on, without gaps.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Slot {
    /// The most connections that there can be: as many again are told that there are too many.
    pub(crate) const MAX: usize = u32::MAX as usize / 2;

    pub(crate) fn from_key(key: usize) -> Self {
        // `Limits::connections` is cut to what fits.
        Self(u32::try_from(key).unwrap_or(u32::MAX))
    }

    pub(crate) const fn key(self) -> usize {
        self.0 as usize
    }
}

impl SessionId {
    /// The most sessions that there can be.
    pub(crate) const MAX: usize = u32::MAX as usize - 1;

    pub(crate) fn from_key(key: usize) -> Self {
        // `Limits::sessions` is cut to what fits.
        Self(u32::try_from(key).unwrap_or(u32::MAX))
    }

    pub(crate) const fn key(self) -> usize {
        self.0 as usize
    }

    /// Its place, for lists of something about each.
    pub(crate) const fn index(self) -> usize {
        self.key()
    }

    /// The place of the first.
    pub(crate) const FIRST: Self = Self(0);

    /// The next place.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

impl NodeId {
    /// What has no level above it.
    pub(crate) const ROOT: Self = Self(NonZeroU32::MIN);

    /// The next place.
    pub(crate) fn following(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn from_key(key: usize) -> Self {
        let number = u32::try_from(key).map_or(u32::MAX, |key| key.saturating_add(1));
        NonZeroU32::new(number).map_or(Self::ROOT, Self)
    }

    pub(crate) fn key(self) -> usize {
        self.0.get() as usize - 1
    }

    pub(crate) const fn number(self) -> u32 {
        self.0.get()
    }
}

impl MessageId {
    /// The number of the record that a message is in.
    pub(crate) fn of(lsn: Lsn) -> Option<Self> {
        NonZeroU64::new(lsn.0).map(Self)
    }

    pub(crate) const fn lsn(self) -> Lsn {
        Lsn(self.0.get())
    }
}
