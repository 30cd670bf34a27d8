//! All subscriptions: who is subscribed to what.
//!
//! The levels of a filter are a path in a [`LevelTree`], in which `+` and `#` are levels like
//! others. To match a topic, we walk its levels down the literal children and the `+` children
//! at once, and collect `#` children on the way. So we visit the filters that match so far,
//! never all filters.
//!
//! A shared subscription (`$share/{name}/{filter}`) is a group at the node of `{filter}`, beside
//! the direct subscribers there.

use std::sync::Arc;

use mqtt::Utf8String;

use crate::durability::Subscribed;
use crate::routing::{Groups, LevelTree, Membership, Standing, SubscriberList, Value};
use crate::types::{Grants, GroupId, NodeId, SessionId, Subscriber};

/// All subscriptions to one filter.
#[derive(Debug, Default)]
struct Subscribers {
    direct: SubscriberList,
    /// The groups that share the filter. Few filters have any.
    shared: Option<Box<Shares>>,
}

/// The groups of one filter, ordered by name.
#[derive(Debug, Default)]
struct Shares(Vec<(Arc<str>, GroupId)>);

impl Value for Subscribers {
    fn is_vacant(&self) -> bool {
        self.direct.is_empty() && self.shared.is_none()
    }
}

/// All subscriptions of all sessions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    tree: LevelTree<Subscribers>,
    groups: Groups,
    /// The stack of the walk, kept to save its allocation.
    steps: Vec<(NodeId, usize)>,
    /// Where each level of the topic being matched ends.
    ends: Vec<usize>,
}

/// The result of adding a subscription.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inserted {
    node: NodeId,
    /// Whether the session had no subscription to this filter before `[MQTT-3.8.4-3]`.
    is_new: bool,
}

impl Inserted {
    /// The node of the filter.
    pub(crate) fn node(self) -> NodeId {
        self.node
    }

    /// Whether the session had no subscription to this filter before `[MQTT-3.8.4-3]`.
    pub(crate) fn is_new(self) -> bool {
        self.is_new
    }
}

impl Subscriber {
    /// The subscription as a record stores it.
    pub(crate) fn record(&self, filter: &str, group: Option<GroupId>) -> Subscribed {
        Subscribed {
            // Always valid: the filter comes from a SUBSCRIBE.
            filter: Utf8String::try_from(filter).unwrap_or_default(),
            group,
            identifier: self.identifier,
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            latest: self.latest,
            asks: false,
        }
    }
}

impl Subscriptions {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            tree: LevelTree::new(seed),
            groups: Groups::new(seed),
            steps: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The groups of shared subscriptions.
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Mutable access to the groups of shared subscriptions.
    pub(crate) fn groups_mut(&mut self) -> &mut Groups {
        &mut self.groups
    }

    /// Adds a subscription, or replaces the session's earlier one to the same filter
    /// `[MQTT-3.8.4-3]`. Returns `None` if there is no room for another filter.
    pub(crate) fn insert(&mut self, filter: &str, subscriber: Subscriber) -> Option<Inserted> {
        let node = self.tree.insert(filter)?;
        let is_new = self.tree.value_mut(node).direct.insert(subscriber);
        Some(Inserted { node, is_new })
    }

    /// The node of `filter`, if `session` is subscribed to it. Filters are compared character by
    /// character `[MQTT-3.10.4-1]`.
    pub(crate) fn find(&self, filter: &str, session: SessionId) -> Option<NodeId> {
        let node = self.tree.find(filter)?;
        self.tree.value(node).direct.find(session)?;
        Some(node)
    }

    /// Applies changed `grants` to the session's subscription to the filter at `node`.
    pub(crate) fn restrict(&mut self, node: NodeId, session: SessionId, grants: &Grants) {
        let reach = grants.reach(&self.tree.path(node));
        let direct = &mut self.tree.value_mut(node).direct;
        if let Some(subscriber) = direct.find(session).copied() {
            direct.insert(subscriber.within(reach));
        }
    }

    /// Applies changed `grants` to a shared subscription.
    pub(crate) fn restrict_member(&mut self, membership: Membership, grants: &Grants) {
        let Some((node, _)) = self.groups.shared(membership.group()) else {
            return;
        };
        let reach = grants.reach(&self.tree.path(node));
        if let Some(subscriber) = self.groups.subscriber(membership).copied() {
            self.groups.replace(membership, subscriber.within(reach));
        }
    }

    /// The subscription of `session` to the filter at `node`, as a record stores it.
    pub(crate) fn direct(&self, node: NodeId, session: SessionId) -> Option<Subscribed> {
        let subscriber = self.tree.value(node).direct.find(session)?;
        Some(subscriber.record(&self.tree.path(node), None))
    }

    /// A shared subscription, as a record stores it.
    pub(crate) fn shared(&self, membership: Membership) -> Option<Subscribed> {
        let (node, name) = self.groups.shared(membership.group())?;
        let subscriber = self.groups.subscriber(membership)?;
        let filter = format!("$share/{name}/{}", self.tree.path(node));
        Some(subscriber.record(&filter, Some(membership.group())))
    }

    /// Restores the number of a group that shared `filter` under `name` in an earlier run of the
    /// broker. If the group must be created again, it gets the number `id`. `filter` is without
    /// `$share/{name}/`.
    pub(crate) fn restore_group(&mut self, id: Option<GroupId>, name: &str, filter: &str) {
        if let Some(id) = id
            && self.group(name, filter).is_none()
        {
            self.groups.restore_number(id);
        }
    }

    /// Removes the subscription of `session` to the filter at `node`, if there is one.
    pub(crate) fn remove(&mut self, node: NodeId, session: SessionId) {
        let direct = &mut self.tree.value_mut(node).direct;
        direct.remove(session);
        if direct.is_empty() {
            self.tree.prune(node);
        }
    }

    /// The capacity of the tables, and of the list of `filter`.
    #[cfg(test)]
    pub(crate) fn capacity(&self, filter: &str) -> usize {
        let list = self.tree.find(filter);
        let list = list.map_or(0, |node| self.tree.value(node).direct.capacity());
        self.tree.capacity() + self.groups.capacity() + list
    }

    /// The group that shares `filter` under `name`. `filter` is without `$share/{name}/`.
    pub(crate) fn group(&self, name: &str, filter: &str) -> Option<GroupId> {
        let node = self.tree.find(filter)?;
        let shares = self.tree.value(node).shared.as_ref()?;
        Some(shares.0[shares.position(name).ok()?].1)
    }

    /// Adds a session to the group that shares `filter` under `name`. The session must not be in
    /// the group yet, and `filter` is without `$share/{name}/`. Returns `None` if there is no
    /// room for another filter.
    pub(crate) fn join(
        &mut self,
        name: &str,
        filter: &str,
        subscriber: Subscriber,
        standing: Standing,
    ) -> Option<Membership> {
        let node = self.tree.insert(filter)?;
        let shares = self.tree.value_mut(node).shared.get_or_insert_default();
        let group = match shares.position(name) {
            Ok(at) => shares.0[at].1,
            Err(at) => {
                let name = Arc::<str>::from(name);
                let group = self.groups.create(node, Arc::clone(&name));
                shares.0.insert(at, (name, group));
                group
            }
        };
        self.groups.join(group, subscriber, standing)
    }

    /// Removes a session from a group, and an empty group from its filter.
    pub(crate) fn leave(&mut self, membership: Membership) {
        let Some((node, name)) = self.groups.leave(membership) else {
            return;
        };
        let shared = &mut self.tree.value_mut(node).shared;
        if let Some(shares) = shared
            && let Ok(at) = shares.position(&name)
        {
            shares.0.remove(at);
            if shares.0.is_empty() {
                *shared = None;
                self.tree.prune(node);
            }
        }
    }

    /// Appends all subscriptions that match `topic` to `found`, and the groups of matching shared
    /// subscriptions to `groups`. Returns how many filters the subscriptions belong to. If there is
    /// at most one, no session appears twice, and the subscriptions are ordered by session.
    pub(crate) fn matching(
        &mut self,
        topic: &str,
        found: &mut Vec<Subscriber>,
        groups: &mut Vec<GroupId>,
    ) -> usize {
        self.ends.clear();
        self.ends.extend(topic.match_indices('/').map(|(at, _)| at));
        self.ends.push(topic.len());
        let mut filters = 0;
        let mut take = |subscribers: &Subscribers| {
            filters += usize::from(!subscribers.direct.is_empty());
            subscribers.direct.copy_to(found);
            if let Some(shares) = &subscribers.shared {
                groups.extend(shares.0.iter().map(|(_, group)| *group));
            }
        };
        self.steps.push((NodeId::ROOT, 0));
        while let Some((node, depth)) = self.steps.pop() {
            // A wildcard at the start does not match a topic that starts with `$`
            // [MQTT-4.7.2-1].
            let wildcards = depth > 0 || !topic.starts_with('$');
            // `a/#` matches `a` too, so this comes before the check whether a level is left.
            if wildcards && let Some(hash) = self.tree.hash(node) {
                take(self.tree.value(hash));
            }
            let Some(&end) = self.ends.get(depth) else {
                take(self.tree.value(node));
                continue;
            };
            let start = if depth == 0 {
                0
            } else {
                self.ends[depth - 1] + 1
            };
            if wildcards && let Some(plus) = self.tree.plus(node) {
                self.steps.push((plus, depth + 1));
            }
            if let Some(child) = self.tree.child(node, &topic[start..end]) {
                self.steps.push((child, depth + 1));
            }
        }
        filters
    }
}

impl Shares {
    /// The position of the group with this name, or where it would be inserted.
    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::{QoS, Subscription, TopicFilter, topic_matches};
    use proptest::prelude::*;

    fn subscriber(session: u32) -> Subscriber {
        let filter = TopicFilter::try_from("x").unwrap();
        let subscription = Subscription::new(filter, QoS::AtMostOnce);
        Subscriber::new(SessionId::from_number(session), &subscription, None)
    }

    fn sessions(subscriptions: &mut Subscriptions, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        subscriptions.matching(topic, &mut found, &mut Vec::new());
        let mut numbers: Vec<_> = found.iter().map(|it| it.session.number()).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn mqtt_4_7_2_1_wildcards_at_the_start_do_not_match_dollar_topics() {
        let mut subscriptions = Subscriptions::new(0);
        for (session, filter) in (0..).zip(["#", "+/monitor/Clients", "$SYS/#", "$SYS/+/Clients"]) {
            subscriptions.insert(filter, subscriber(session));
        }
        assert_eq!(sessions(&mut subscriptions, "$SYS/monitor/Clients"), [2, 3]);
        assert_eq!(sessions(&mut subscriptions, "SYS/monitor/Clients"), [0, 1]);
    }

    #[test]
    fn topics_with_wide_letters_are_split_only_at_levels() {
        let mut subscriptions = Subscriptions::new(0);
        subscriptions.insert("éa/+/日本", subscriber(1));
        assert_eq!(sessions(&mut subscriptions, "éa/b/日本"), [1]);
        assert!(sessions(&mut subscriptions, "é/b/日本").is_empty());
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just(""), Just("a"), Just("b"), Just("$x")]
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a topic has a character", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![3 => level(), 1 => Just("+")];
        (prop::collection::vec(level, 0..5), any::<bool>())
            .prop_map(|(mut levels, multi)| {
                if multi || levels.is_empty() {
                    levels.push("#");
                }
                levels.join("/")
            })
            .prop_filter("a filter has a character", |filter| !filter.is_empty())
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_a_scan_of_all_filters_finds(
            filters in prop::collection::vec((filter(), 0_u32..6, any::<bool>()), 0..40),
            topics in prop::collection::vec(topic(), 1..20),
        ) {
            let mut subscriptions = Subscriptions::new(7);
            let mut model: Vec<(String, u32)> = Vec::new();
            for (filter, session, add) in filters {
                let known = model.iter().position(|it| *it == (filter.clone(), session));
                let id = SessionId::from_number(session);
                prop_assert_eq!(subscriptions.find(&filter, id).is_some(), known.is_some());
                if add {
                    let inserted = subscriptions.insert(&filter, subscriber(session)).unwrap();
                    prop_assert_eq!(inserted.is_new, known.is_none());
                    if known.is_none() {
                        model.push((filter, session));
                    }
                } else if let Some(at) = known {
                    let node = subscriptions.find(&filter, id).unwrap();
                    subscriptions.remove(node, id);
                    model.swap_remove(at);
                }
            }
            for topic in topics {
                let mut expected: Vec<_> = model
                    .iter()
                    .filter(|(filter, _)| topic_matches(filter, &topic))
                    .map(|(_, session)| *session)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(sessions(&mut subscriptions, &topic), expected);
            }
            for (filter, session) in model {
                let id = SessionId::from_number(session);
                let node = subscriptions.find(&filter, id).unwrap();
                subscriptions.remove(node, id);
            }
            prop_assert_eq!(subscriptions.tree.len(), 1);
        }
    }
}
