//! What the broker knows of a client, connected or not (section 4.1).

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mqtt::{Instant, PacketId, Utf8String, Will};
use slab::Slab;

use core::hash::BuildHasher;
use core::time::Duration;
use std::collections::BTreeSet;

use crate::admission::MemoryBudget;
use crate::durability::Bequest;
use crate::routing::{Lookups, Membership};
use crate::session::{HeldWill, Outgoing};
use crate::types::{
    GroupId, NodeId, SessionId, SessionNumber, ShrinkPolicy, Slot, ThinVec, shrink, will_cost,
};

/// A client's session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: Utf8String,
    /// Its name in records, if it outlives its connection and records are kept.
    pub(crate) number: Option<SessionNumber>,
    /// The client's connection, if it has one.
    pub(crate) slot: Option<Slot>,
    /// Seconds for which it outlives its connection; `u32::MAX`: for ever.
    pub(crate) expiry_interval: u32,
    /// Where it is subscribed, in order.
    pub(crate) subscriptions: Vec<NodeId>,
    /// Where it shares a subscription, ordered by group.
    pub(crate) memberships: ThinVec<Membership>,
    /// Where of those it was put aside for having no room.
    pub(crate) blocked: ThinVec<Membership>,
    /// What its subscriptions cost, in bytes.
    pub(crate) subscription_bytes: usize,
    /// What is to be sent, or sent and not acknowledged; absent until there is something.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// What retained messages are still looked for; absent if none are.
    pub(crate) lookups: Option<Box<Lookups>>,
    /// Where `outgoing` goes on when it is there again: an identifier that was just in use is
    /// not used again soon, so that nobody takes a late packet for another.
    pub(crate) last_packet_id: u16,
    /// The packet identifiers of incoming `QoS` 2 messages between PUBLISH and PUBREL, in
    /// order `[MQTT-4.3.3-10]`.
    pub(crate) incoming: Vec<PacketId>,
    /// Up to which message its client has used up what its rate allows, counted as if one had
    /// been allowed after the other since the clock began.
    pub(crate) paid: u64,
    /// Since when it has been without a connection, if it is in [`Sessions::absent`].
    absent_since: Option<Instant>,
    /// `[MQTT-3.1.2-7]`
    will: Option<Box<HeldWill>>,
    /// Whether the will is in no record, for want of room.
    pub(crate) owes_will: bool,
    /// When [`Timer::Will`](crate::timers::Timer::Will) is due.
    pub(crate) will_at: Option<Instant>,
    /// When [`Timer::SessionExpiry`](crate::timers::Timer::SessionExpiry) is due.
    pub(crate) expires_at: Option<Instant>,
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    slab: Slab<Session>,
    shrink: ShrinkPolicy,
    by_client_id: HashTable<SessionId>,
    /// Those without a connection, by since when.
    absent: BTreeSet<(Instant, SessionId)>,
    hasher: FixedState,
}

impl Session {
    /// What is to be sent: from now on there is something.
    pub(crate) fn outgoing_mut(&mut self) -> &mut Outgoing {
        self.named_outgoing_mut().1
    }

    /// The same, and who it is to be sent to.
    pub(crate) fn named_outgoing_mut(&mut self) -> (&Utf8String, &mut Outgoing) {
        let (last_packet_id, lasts) = (self.last_packet_id, self.number.is_some());
        let outgoing = self
            .outgoing
            .get_or_insert_with(|| Box::new(Outgoing::following(last_packet_id, lasts)));
        (&self.client_id, outgoing)
    }

    /// Its name in records from now on.
    pub(crate) fn set_number(&mut self, number: Option<SessionNumber>, memory: &mut MemoryBudget) {
        let before = self.stored_bytes();
        self.number = number;
        memory.change_stored_session(before, self.stored_bytes());
        if let Some(outgoing) = &mut self.outgoing {
            let before = outgoing.weight();
            outgoing.set_stored(number.is_some());
            memory.requeue(before, outgoing.weight());
        }
    }

    /// What it takes in a copy of everything, without its will and what waits for it: rather more.
    pub(crate) fn stored_bytes(&self) -> u64 {
        /// A frame, and all that has no length of its own.
        const SESSION: usize = 96;
        match self.number {
            Some(_) => (SESSION + self.client_id.len() + self.subscription_bytes) as u64,
            None => 0,
        }
    }

    /// Its subscriptions cost so many bytes from now on.
    pub(crate) fn set_subscription_bytes(&mut self, bytes: usize, memory: &mut MemoryBudget) {
        let before = self.stored_bytes();
        memory.change_subscriptions(self.subscription_bytes, bytes);
        self.subscription_bytes = bytes;
        memory.change_stored_session(before, self.stored_bytes());
    }

    /// Gives back the memory of what is to be sent, if that is nothing.
    pub(crate) fn drop_outgoing_if_empty(&mut self) {
        if let Some(outgoing) = &self.outgoing
            && outgoing.messages() == 0
        {
            self.last_packet_id = outgoing.last_packet_id();
            self.outgoing = None;
        }
    }

    /// When the session ends that loses its connection now, if it ever does.
    pub(crate) fn expires_after(&self, now: Instant) -> Option<Instant> {
        (self.expiry_interval != u32::MAX)
            .then(|| now + Duration::from_secs(self.expiry_interval.into()))
    }

    /// When the will is due of a session that loses its connection now, if that is before the
    /// session ends.
    pub(crate) fn will_due_at(&self, now: Instant) -> Option<Instant> {
        let delay = self.will()?.properties.will_delay_interval.unwrap_or(0);
        let is_before = delay == 0 || delay < self.expiry_interval;
        is_before.then(|| now + Duration::from_secs(delay.into()))
    }

    pub(crate) fn will(&self) -> Option<&Will> {
        self.will.as_ref().map(|held| &held.will)
    }

    /// What of a session that ends with its connection is to be in a record: its will, under a
    /// name of its own that `number` gives if it has none.
    pub(crate) fn bequest(&mut self, number: impl FnOnce() -> SessionNumber) -> Option<Bequest> {
        debug_assert!(self.number.is_none(), "its record has the will");
        let held = self.will.as_deref_mut()?;
        Some(Bequest {
            session: *held.number.get_or_insert_with(number),
            client_id: self.client_id.clone(),
            will: Box::new(held.will.clone()),
        })
    }

    /// The will, if it is in a record by itself, and its name there.
    #[cfg(test)]
    pub(crate) fn held_will(&self) -> Option<(SessionNumber, &Will)> {
        let held = self.will.as_deref()?;
        Some((held.number?, &held.will))
    }

    /// The will from now on: a copy that holds on to nothing but its own bytes.
    pub(crate) fn set_will(&mut self, will: Option<&Will>, memory: &mut MemoryBudget) {
        self.forget_will(memory);
        if let Some(will) = will {
            memory.add_will(will_cost(will));
            self.will = Some(Box::new(HeldWill::new(will)));
        }
    }

    /// Gives the will, which the session has no longer.
    pub(crate) fn take_will(&mut self, memory: &mut MemoryBudget) -> Option<Box<HeldWill>> {
        let will = self.will.take()?;
        memory.remove_will(will_cost(&will.will));
        Some(will)
    }

    pub(crate) fn forget_will(&mut self, memory: &mut MemoryBudget) {
        self.take_will(memory);
    }

    /// Where the session is in a group, or would come in `memberships`.
    pub(crate) fn membership(&self, group: GroupId) -> Result<usize, usize> {
        self.memberships.binary_search_by_key(&group, |it| it.group)
    }

    /// How many subscriptions it has.
    pub(crate) fn subscribed(&self) -> usize {
        self.subscriptions.len() + self.memberships.len()
    }

    fn new(client_id: Utf8String) -> Self {
        Self {
            client_id,
            number: None,
            slot: None,
            expiry_interval: 0,
            subscriptions: Vec::new(),
            memberships: ThinVec::default(),
            blocked: ThinVec::default(),
            subscription_bytes: 0,
            outgoing: None,
            lookups: None,
            last_packet_id: 0,
            incoming: Vec::new(),
            paid: 0,
            absent_since: None,
            will: None,
            owes_will: false,
            will_at: None,
            expires_at: None,
        }
    }
}

impl Sessions {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slab: Slab::new(),
            shrink: ShrinkPolicy::default(),
            by_client_id: HashTable::new(),
            absent: BTreeSet::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slab.get_mut(id.key())
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.slab.get(id.key())
    }

    /// The session of the client that calls itself `client_id` `[MQTT-3.1.3-2]`.
    pub(crate) fn find(&self, client_id: &str) -> Option<SessionId> {
        self.by_client_id
            .find(self.hasher.hash_one(client_id), |&id| {
                self.slab[id.key()].client_id == *client_id
            })
            .copied()
    }

    /// A new session; there must be none of this client.
    pub(crate) fn insert(&mut self, client_id: &Utf8String) -> SessionId {
        let client_id = client_id.detach();
        let hash = self.hasher.hash_one(client_id.as_str());
        let id = SessionId::from_key(self.slab.insert(Session::new(client_id)));
        self.shrink.grew(&self.slab);
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_client_id.insert_unique(hash, id, |other| {
            hasher.hash_one(slab[other.key()].client_id.as_str())
        });
        id
    }

    /// Has the session been without a connection since `since`, or does it have one?
    pub(crate) fn set_absent(&mut self, id: SessionId, since: Option<Instant>) {
        let Some(session) = self.slab.get_mut(id.key()) else {
            return;
        };
        if let Some(before) = core::mem::replace(&mut session.absent_since, since) {
            self.absent.remove(&(before, id));
        }
        if let Some(since) = since {
            self.absent.insert((since, id));
        }
    }

    /// The session that has been without a connection for longest, of those for which nothing
    /// waits. Only the first few are looked at: where messages wait for all of them, there is
    /// none that could go without loss.
    pub(crate) fn dispensable(&self) -> Option<SessionId> {
        const LOOKED_AT: usize = 64;
        let absent = self.absent.iter().take(LOOKED_AT).map(|(_, id)| *id);
        absent.into_iter().find(|id| {
            self.get(*id).is_some_and(|session| {
                let waiting = session.outgoing.as_ref().map_or(0, |it| it.messages());
                waiting == 0 && session.incoming.is_empty() && session.lookups.is_none()
            })
        })
    }

    /// Whether there may be a session at this place or behind it.
    pub(crate) fn has_place(&self, id: SessionId) -> bool {
        id.key() < self.slab.capacity()
    }

    /// All, in the order of their places.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.slab
            .iter()
            .map(|(key, _)| SessionId::from_key(key))
            .collect()
    }

    /// How many places its tables have.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.slab.capacity() + self.by_client_id.capacity()
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.set_absent(id, None);
        let session = self.slab.try_remove(id.key())?;
        let hash = self.hasher.hash_one(session.client_id.as_str());
        if let Ok(entry) = self.by_client_id.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        if self.shrink.shrank(&mut self.slab) {
            let (slab, hasher) = (&self.slab, &self.hasher);
            shrink::shrink_table(&mut self.by_client_id, |other| {
                hasher.hash_one(slab[other.key()].client_id.as_str())
            });
        }
        Some(session)
    }
}
