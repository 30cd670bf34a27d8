//! The subscriptions of a session, direct and shared.

use crate::routing::Membership;
use crate::session::Session;
use crate::types::{GroupId, NodeId};

/// A session's places in groups.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    /// Ordered by group.
    memberships: Vec<Membership>,
    /// The groups in which the session counts as blocked because it had no room.
    blocked: Vec<Membership>,
}

impl Memberships {
    fn position(&self, group: GroupId) -> Result<usize, usize> {
        self.memberships
            .binary_search_by_key(&group, |it| it.group())
    }
}

impl Session {
    /// How many subscriptions it has.
    pub(crate) fn subscribed(&self) -> usize {
        self.subscriptions.len() + self.memberships().len()
    }

    /// The nodes of the filters of its direct subscriptions, in order.
    pub(crate) fn subscriptions(&self) -> &[NodeId] {
        &self.subscriptions
    }

    /// Adds a direct subscription to the filter at `node`, unless there is one.
    pub(crate) fn add_subscription(&mut self, node: NodeId) {
        if let Err(place) = self.subscriptions.binary_search(&node) {
            self.subscriptions.insert(place, node);
        }
    }

    /// Removes the direct subscription to the filter at `node`. `None` if there was none.
    pub(crate) fn remove_subscription(&mut self, node: NodeId) -> Option<()> {
        let place = self.subscriptions.binary_search(&node).ok()?;
        self.subscriptions.remove(place);
        Some(())
    }

    /// Its places in groups, ordered by group.
    pub(crate) fn memberships(&self) -> &[Membership] {
        self.shared.as_ref().map_or(&[], |it| &it.memberships)
    }

    /// Its place in a group, if it is a member.
    pub(crate) fn membership_in(&self, group: GroupId) -> Option<Membership> {
        let shared = self.shared.as_ref()?;
        Some(shared.memberships[shared.position(group).ok()?])
    }

    /// Adds a place in a group.
    pub(crate) fn join(&mut self, membership: Membership) {
        let shared = self.shared.get_or_insert_default();
        if let Err(place) = shared.position(membership.group()) {
            shared.memberships.insert(place, membership);
        }
    }

    /// Removes and returns its place in a group, if it is a member.
    pub(crate) fn leave(&mut self, group: GroupId) -> Option<Membership> {
        let shared = self.shared.as_deref_mut()?;
        let place = shared.position(group).ok()?;
        shared.blocked.retain(|it| it.group() != group);
        let left = shared.memberships.remove(place);
        if shared.memberships.is_empty() {
            self.shared = None;
        }
        Some(left)
    }

    /// Removes and returns all its places in groups.
    pub(crate) fn leave_all(&mut self) -> Vec<Membership> {
        self.shared
            .take()
            .map_or_else(Vec::new, |it| it.memberships)
    }

    /// Notes that a group counts the session as blocked because it had no room.
    pub(crate) fn block(&mut self, membership: Membership) {
        if let Some(shared) = &mut self.shared {
            shared.blocked.push(membership);
        }
    }

    /// The groups in which the session counts as blocked.
    pub(crate) fn blocked(&self) -> &[Membership] {
        self.shared.as_ref().map_or(&[], |it| &it.blocked)
    }

    /// Removes and returns the groups in which the session counts as blocked, so that it can be
    /// ready in them again.
    pub(crate) fn unblock(&mut self) -> Vec<Membership> {
        let shared = self.shared.as_deref_mut();
        shared.map_or_else(Vec::new, |it| core::mem::take(&mut it.blocked))
    }

    /// Bytes of its subscriptions.
    pub(crate) fn subscription_bytes(&self) -> usize {
        self.subscription_bytes
    }
}
