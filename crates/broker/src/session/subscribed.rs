//! Where a session is subscribed.

use crate::routing::Membership;
use crate::session::Session;
use crate::types::{GroupId, NodeId};

impl Session {
    /// Where the session is in a group, or would come in `memberships`.
    pub(crate) fn membership(&self, group: GroupId) -> Result<usize, usize> {
        self.memberships
            .binary_search_by_key(&group, |it| it.group())
    }

    /// How many subscriptions it has.
    pub(crate) fn subscribed(&self) -> usize {
        self.subscriptions.len() + self.memberships.len()
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
        &self.memberships
    }

    /// Its place in a group, if it is a member.
    pub(crate) fn membership_in(&self, group: GroupId) -> Option<Membership> {
        let at = self.membership(group).ok()?;
        Some(self.memberships[at])
    }

    /// It is a member from now on.
    pub(crate) fn join(&mut self, membership: Membership) {
        if let Err(place) = self.membership(membership.group()) {
            self.memberships.to_mut().insert(place, membership);
        }
    }

    /// It is a member no longer; gives its place if it was one.
    pub(crate) fn leave(&mut self, group: GroupId) -> Option<Membership> {
        let place = self.membership(group).ok()?;
        self.blocked.retain(|it| it.group() != group);
        Some(self.memberships.remove(place))
    }

    /// It is a member of nothing any more; gives where it was.
    pub(crate) fn leave_all(&mut self) -> Vec<Membership> {
        self.blocked.clear();
        self.memberships.take()
    }

    /// It was put aside in a group, as it has no room.
    pub(crate) fn block(&mut self, membership: Membership) {
        self.blocked.to_mut().push(membership);
    }

    /// Where it was put aside.
    pub(crate) fn blocked(&self) -> &[Membership] {
        &self.blocked
    }

    /// It is put aside nowhere any more; gives where it was.
    pub(crate) fn unblock(&mut self) -> Vec<Membership> {
        self.blocked.take()
    }

    /// What its subscriptions cost, in bytes.
    pub(crate) fn subscription_bytes(&self) -> usize {
        self.subscription_bytes
    }
}
