//! The table of all sessions.

use core::hash::BuildHasher;
use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mqtt::{Instant, Utf8String};
use slab::Slab;

use crate::session::Session;
use crate::types::{SessionId, ShrinkPolicy, shrink};

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    slab: Slab<Session>,
    shrink: ShrinkPolicy,
    by_client_id: HashTable<SessionId>,
    /// Sessions without a connection, ordered by when they lost it.
    absent: BTreeSet<(Instant, SessionId)>,
    hasher: FixedState,
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

    /// The session of the client with this identifier `[MQTT-3.1.3-2]`.
    pub(crate) fn find(&self, client_id: &str) -> Option<SessionId> {
        self.by_client_id
            .find(self.hasher.hash_one(client_id), |&id| {
                self.slab[id.key()].client_id == *client_id
            })
            .copied()
    }

    /// Creates a session. The client must not have one.
    pub(crate) fn insert(&mut self, client_id: &Utf8String) -> SessionId {
        let client_id = client_id.detach();
        let hash = self.hasher.hash_one(client_id.as_str());
        let id = SessionId::from_key(self.slab.insert(Session::new(client_id)));
        self.shrink.record_insert(&self.slab);
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_client_id.insert_unique(hash, id, |other| {
            hasher.hash_one(slab[other.key()].client_id.as_str())
        });
        id
    }

    /// Notes the time since which the session has had no connection. `None`: it has one.
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

    /// The session that has been without a connection for longest and has nothing waiting. We
    /// only look at the first few: if messages wait for all of them, no session can end without
    /// loss.
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

    /// Whether there may be a session at this place or after it.
    pub(crate) fn has_place(&self, id: SessionId) -> bool {
        id.key() < self.slab.capacity()
    }

    /// All sessions, in the order of their places.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.slab
            .iter()
            .map(|(key, _)| SessionId::from_key(key))
            .collect()
    }

    /// The capacity of the tables.
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
        if self.shrink.shrink_if_due(&mut self.slab) {
            let (slab, hasher) = (&self.slab, &self.hasher);
            shrink::shrink_table(&mut self.by_client_id, |other| {
                hasher.hash_one(slab[other.key()].client_id.as_str())
            });
        }
        Some(session)
    }
}
