//! Whether a device is there, since when, and why.

use crate::time::Timestamp;
use alloc::vec::Vec;

/// Whether a device is there. Each state carries what is known about it; whether a `since` is
/// the exact moment or only the latest possible one is in [`PresenceSpan::exact`].
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Presence {
    /// It said so, or it sends.
    Online {
        /// When it came.
        since: Timestamp,
    },
    /// It said so, or its will or its broker said so.
    Offline {
        /// When it left.
        since: Timestamp,
        /// Why, as far as anyone can tell.
        reason: OfflineReason,
    },
    /// It comes and goes in a rhythm that was observed, or it said that it sleeps.
    Sleeping {
        /// When it fell asleep.
        since: Timestamp,
        /// When its rhythm brings it back.
        wakes_about: Option<Timestamp>,
    },
    /// It should have sent something by now, and nobody said that it left.
    Stale {
        /// When its silence became too long.
        since: Timestamp,
        /// When it last sent.
        last_seen: Timestamp,
    },
    /// Nobody can tell.
    Unknown {
        /// Since when nobody can tell.
        since: Timestamp,
        /// Why not.
        reason: UnknownReason,
    },
}

/// Why nobody can tell whether a device is there.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum UnknownReason {
    /// It never spoke while we listened, and no presence topic tells.
    Unseen,
    /// We were not connected, and it has not spoken since.
    Away,
    /// The server was started again, and the device has not spoken since.
    ServerRestarted,
}

impl UnknownReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unseen, Self::Away, Self::ServerRestarted];

    /// The reason, for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Unseen => "not heard yet",
            Self::Away => "not heard since the connection was lost",
            Self::ServerRestarted => "not heard since the server was restarted",
        }
    }

    /// The reason as the server's API writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Away => "away",
            Self::ServerRestarted => "server-restarted",
        }
    }

    /// The reason of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// Why a device is offline. Only what can be known is claimed.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum OfflineReason {
    /// Its presence topic says so. The device itself and its will send the same message, and no
    /// subscriber can tell one from the other.
    SaidSo,
    /// Its presence topic says that it was lost (`lost`, `connection lost`): its will.
    Lost,
    /// It sleeps in a rhythm and did not wake when it should have.
    DidNotWake,
    /// The broker says: the device sent DISCONNECT.
    Disconnected,
    /// The broker says: the connection broke.
    ConnectionLost,
    /// The broker says: nothing came for one and a half times the keep-alive.
    KeepAliveTimeout,
    /// The broker says: another client took its id.
    TakenOver,
    /// The broker says: it was put out, by an administrator or for breaking the protocol.
    PutOut,
    /// The broker says: the client that publishes for it and for others was lost. The device itself may
    /// still be there.
    GatewayLost,
}

impl OfflineReason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::SaidSo,
        Self::Lost,
        Self::DidNotWake,
        Self::Disconnected,
        Self::ConnectionLost,
        Self::KeepAliveTimeout,
        Self::TakenOver,
        Self::PutOut,
        Self::GatewayLost,
    ];

    /// The reason, for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::SaidSo => "signed out, or its will did",
            Self::Lost => "lost",
            Self::DidNotWake => "did not wake up",
            Self::Disconnected => "disconnected",
            Self::ConnectionLost => "connection lost",
            Self::KeepAliveTimeout => "stopped answering",
            Self::TakenOver => "another client took its id",
            Self::PutOut => "put out by the broker",
            Self::GatewayLost => "its gateway is unreachable",
        }
    }

    /// The reason as the server's API writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SaidSo => "said-so",
            Self::Lost => "lost",
            Self::DidNotWake => "did-not-wake",
            Self::Disconnected => "disconnected",
            Self::ConnectionLost => "connection-lost",
            Self::KeepAliveTimeout => "keep-alive",
            Self::TakenOver => "taken-over",
            Self::PutOut => "put-out",
            Self::GatewayLost => "unreachable",
        }
    }

    /// The reason of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }

    /// Whether only the broker can know it.
    pub const fn is_of_broker(self) -> bool {
        match self {
            Self::SaidSo | Self::Lost | Self::DidNotWake => false,
            Self::Disconnected
            | Self::ConnectionLost
            | Self::KeepAliveTimeout
            | Self::TakenOver
            | Self::PutOut
            | Self::GatewayLost => true,
        }
    }
}

/// The five presences without their data: for counting, filtering and colours.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub enum PresenceKind {
    /// [`Presence::Online`]
    Online,
    /// [`Presence::Sleeping`]
    Sleeping,
    /// [`Presence::Stale`]
    Stale,
    /// [`Presence::Offline`]
    Offline,
    /// [`Presence::Unknown`]
    Unknown,
}

impl PresenceKind {
    /// All of them, liveliest first.
    pub const ALL: [Self; 5] = [
        Self::Online,
        Self::Sleeping,
        Self::Stale,
        Self::Offline,
        Self::Unknown,
    ];

    /// A lower-case word: `online`, `sleeping`, `stale`, `offline`, `unknown`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Sleeping => "sleeping",
            Self::Stale => "stale",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }
}

impl Presence {
    /// Which of the five it is.
    pub const fn kind(&self) -> PresenceKind {
        match self {
            Self::Online { .. } => PresenceKind::Online,
            Self::Offline { .. } => PresenceKind::Offline,
            Self::Sleeping { .. } => PresenceKind::Sleeping,
            Self::Stale { .. } => PresenceKind::Stale,
            Self::Unknown { .. } => PresenceKind::Unknown,
        }
    }

    /// Since when.
    pub const fn since(&self) -> Timestamp {
        match self {
            Self::Online { since }
            | Self::Offline { since, .. }
            | Self::Sleeping { since, .. }
            | Self::Stale { since, .. }
            | Self::Unknown { since, .. } => *since,
        }
    }
}

/// A presence and how well its beginning is known. In a history, it held from
/// `presence.since()` to the next entry's `since()`.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct PresenceSpan {
    /// What held.
    pub presence: Presence,
    /// Whether it began at `since`. Otherwise it may have begun earlier: a retained message says
    /// what the presence is, not since when.
    pub exact: bool,
}

/// How many devices are in each presence.
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub struct Counts {
    by_kind: [usize; PresenceKind::ALL.len()],
}

impl Counts {
    /// Devices of this presence.
    pub const fn of(&self, kind: PresenceKind) -> usize {
        self.by_kind[kind as usize]
    }

    /// Online devices.
    pub const fn online(&self) -> usize {
        self.of(PresenceKind::Online)
    }

    /// Sleeping devices.
    pub const fn sleeping(&self) -> usize {
        self.of(PresenceKind::Sleeping)
    }

    /// Stale devices.
    pub const fn stale(&self) -> usize {
        self.of(PresenceKind::Stale)
    }

    /// Offline devices.
    pub const fn offline(&self) -> usize {
        self.of(PresenceKind::Offline)
    }

    /// Devices whose presence is unknown.
    pub const fn unknown(&self) -> usize {
        self.of(PresenceKind::Unknown)
    }

    /// All devices.
    pub fn total(&self) -> usize {
        self.by_kind.iter().sum()
    }

    pub(crate) fn add(&mut self, kind: PresenceKind) {
        self.by_kind[kind as usize] += 1;
    }

    pub(crate) fn remove(&mut self, kind: PresenceKind) {
        let count = &mut self.by_kind[kind as usize];
        *count = count.saturating_sub(1);
    }
}

/// The latest presences, oldest first, never empty, ordered by `since()`.
#[derive(Clone, Debug)]
pub(crate) struct History {
    spans: Vec<PresenceSpan>,
}

impl History {
    pub(crate) fn new(first: PresenceSpan) -> Self {
        Self {
            spans: alloc::vec![first],
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &PresenceSpan> {
        self.spans.iter()
    }

    pub(crate) fn last(&self) -> Option<&PresenceSpan> {
        self.spans.last()
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The presence has changed.
    pub(crate) fn push(&mut self, span: PresenceSpan) {
        // Removes spans that would begin later than this one, or would last no time.
        while let Some(last) = self.spans.last()
            && last.presence.since() >= span.presence.since()
        {
            self.spans.pop();
        }
        // Spans of the same kind that follow each other are one entry.
        if self
            .spans
            .last()
            .is_none_or(|last| last.presence.kind() != span.presence.kind())
        {
            self.spans.push(span);
        }
    }

    /// Forgets the oldest entry, but never the only one.
    pub(crate) fn forget_oldest(&mut self) {
        if self.spans.len() > 1 {
            self.spans.remove(0);
        }
    }
}
