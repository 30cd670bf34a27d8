//! Identifiers: the names by which one wing refers to what another wing owns.

use core::num::{NonZeroU32, NonZeroU64};

/// A network connection. The shell chooses the number and never uses it again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

/// The place of a connection in the broker's table. Unlike a [`Conn`], a slot is used again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

/// The place of a session in the broker's table, valid until the session ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(u32);

/// A node of the topic tree, valid until the node is removed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(NonZeroU32);

/// A group of a shared subscription, valid while it has members. A number is never used again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupId(pub(crate) u64);

/// The name in records of a session that outlives its connection or leaves a will.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionNumber(pub(crate) NonZeroU64);

/// The name in records of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageId(pub(crate) NonZeroU64);

/// The log sequence number of a record: 1 for the first, without gaps.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Slot {
    /// The most connections that the table can hold. It needs the same number of slots again for
    /// surplus connections, which the broker must tell that there are too many.
    pub(crate) const MAX: usize = u32::MAX as usize / 2;

    /// The first place.
    pub(crate) const FIRST: Self = Self(0);

    /// The next place.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn from_key(key: usize) -> Self {
        // `Limits::make_workable` keeps the number small enough.
        Self(u32::try_from(key).unwrap_or(u32::MAX))
    }

    pub(crate) const fn key(self) -> usize {
        self.0 as usize
    }
}

impl SessionId {
    /// The most sessions that the table can hold.
    pub(crate) const MAX: usize = u32::MAX as usize - 1;

    pub(crate) fn from_key(key: usize) -> Self {
        // `Limits::make_workable` keeps the number small enough.
        Self(u32::try_from(key).unwrap_or(u32::MAX))
    }

    pub(crate) const fn key(self) -> usize {
        self.0 as usize
    }

    /// The first place.
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
    /// The root of the tree, which has no parent.
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
    /// A message takes the number of the first record that holds it as its name.
    pub(crate) fn of(lsn: Lsn) -> Option<Self> {
        NonZeroU64::new(lsn.0).map(Self)
    }

    pub(crate) const fn lsn(self) -> Lsn {
        Lsn(self.0.get())
    }
}
