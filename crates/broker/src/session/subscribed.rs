//! Where a session is subscribed, and where it shares a subscription.

use crate::routing::Membership;
use crate::session::Session;
use crate::types::{GroupId, NodeId};

/// A session's places in groups.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Ordered by group.
    memberships: Vec<Membership>,
    /// Those where the session was put aside for having no room.
    blocked: Vec<Membership>,
}

impl Shared {
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

    /// The filters that it is subscribed to by itself, in order.
    pub(crate) fn subscriptions(&self) -> &[NodeId] {
        &self.subscriptions
    }

    /// It is subscribed to the filter at `node`, if it was not before.
    pub(crate) fn add_subscription(&mut self, node: NodeId) {
        if let Err(place) = self.subscriptions.binary_search(&node) {
            self.subscriptions.insert(place, node);
        }
    }

    /// It is not subscribed to the filter at `node` any more; `None`: it was not.
    pub(crate) fn remove_subscription(&mut self, node: NodeId) -> Option<()> {
        let place = self.subscriptions.binary_search(&node).ok()?;
        self.subscriptions.remove(place);
        Some(())
    }

    /// Where it shares subscriptions, ordered by group.
    pub(crate) fn memberships(&self) -> &[Membership] {
        self.shared.as_ref().map_or(&[], |it| &it.memberships)
    }

    /// Its place in a group, if it is a member.
    pub(crate) fn membership_in(&self, group: GroupId) -> Option<Membership> {
        let shared = self.shared.as_ref()?;
        Some(shared.memberships[shared.position(group).ok()?])
    }

    /// It is a member from now on.
    pub(crate) fn join(&mut self, membership: Membership) {
        let shared = self.shared.get_or_insert_default();
        if let Err(place) = shared.position(membership.group()) {
            shared.memberships.insert(place, membership);
        }
    }

    /// It is a member no longer; gives its place if it was one.
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

    /// It is a member of nothing any more; gives where it was.
    pub(crate) fn leave_all(&mut self) -> Vec<Membership> {
        self.shared
            .take()
            .map_or_else(Vec::new, |it| it.memberships)
    }

    /// It was put aside in a group, as it has no room.
    pub(crate) fn block(&mut self, membership: Membership) {
        if let Some(shared) = &mut self.shared {
            shared.blocked.push(membership);
        }
    }

    /// Where it was put aside.
    pub(crate) fn blocked(&self) -> &[Membership] {
        self.shared.as_ref().map_or(&[], |it| &it.blocked)
    }

    /// It is put aside nowhere any more; gives where it was.
    pub(crate) fn unblock(&mut self) -> Vec<Membership> {
        let shared = self.shared.as_deref_mut();
        shared.map_or_else(Vec::new, |it| core::mem::take(&mut it.blocked))
    }

    /// What its subscriptions cost, in bytes.
    pub(crate) fn subscription_bytes(&self) -> usize {
        self.subscription_bytes
    }
}
