//! A search for the retained messages that match a filter, in steps of any size.
//!
//! The search walks the tree depth first and stores only its present node. While it pauses, that
//! node is held in the tree ([`Retained::rest`]), and so the nodes above it stay too. It ignores
//! messages that are retained after it began: the subscriber got those when they were published.

use std::sync::Arc;

use mqtt::{Instant, Utf8String};

use crate::routing::Retained;
use crate::types::{Message, NodeId};

/// A search that may still be going on. To give it up, [`release`](Retained::release) it.
#[derive(Debug)]
pub(crate) struct Search {
    filter: Utf8String,
    /// Where each level of the filter ends, without a final `#`.
    ends: Box<[usize]>,
    /// Whether the filter ends with `#`.
    is_open: bool,
    /// How many messages had been retained when it began. Later ones are ignored.
    begun: u64,
    /// The present node.
    node: NodeId,
    /// How many levels `node` is below the root.
    depth: usize,
    /// Whether the search has paused, and `node` is held in the tree for it.
    is_resting: bool,
    /// Whether to look at `node` once more, because what was found there could not be sent.
    is_again: bool,
}

/// The result of a step of a search.
#[derive(Debug)]
pub(crate) enum Found {
    /// A message that matches and has not expired.
    Message(Arc<Message>),
    /// There are no more.
    Nothing,
    /// There may be more, but the step has looked at as many nodes as it may.
    NotYet,
}

impl Search {
    /// The filter.
    pub(crate) fn filter(&self) -> &Utf8String {
        &self.filter
    }

    /// Whether the message with this [number](Retained::number) was retained before the search
    /// began. If so, the search finds it, unless it has already passed its topic.
    pub(crate) fn is_of(&self, number: u64) -> bool {
        number < self.begun
    }

    /// Bytes of memory.
    pub(crate) fn cost(&self) -> usize {
        core::mem::size_of::<Self>() + self.filter.len() + core::mem::size_of_val(&*self.ends)
    }

    /// The filter's level for nodes `depth` levels below the root. `None` if only `#` covers them.
    fn level(&self, depth: usize) -> Option<&str> {
        let end = *self.ends.get(depth.checked_sub(1)?)?;
        let start = depth.checked_sub(2).map_or(0, |above| self.ends[above] + 1);
        Some(&self.filter[start..end])
    }

    /// Whether the filter has a wildcard for nodes `depth` levels below the root.
    fn is_wild(&self, depth: usize) -> bool {
        match self.level(depth) {
            Some(level) => level == "+",
            None => self.is_open,
        }
    }

    /// Whether a node `depth` levels below the root can be the end of a match. `a/#` matches `a`
    /// too.
    fn is_whole(&self, depth: usize) -> bool {
        depth == self.ends.len() || (self.is_open && depth > self.ends.len())
    }
}

impl Retained {
    /// Begins a search. `filter` is the filter of a subscription that is not shared.
    pub(crate) fn search(&self, filter: &Utf8String) -> Search {
        let mut ends: Vec<_> = filter.match_indices('/').map(|(at, _)| at).collect();
        ends.push(filter.len());
        let is_open = filter.ends_with('#');
        if is_open {
            ends.pop();
        }
        Search {
            // A copy, so that it keeps no read buffer alive.
            filter: filter.detach(),
            ends: ends.into(),
            is_open,
            begun: self.set_so_far(),
            node: NodeId::ROOT,
            depth: 0,
            is_resting: false,
            is_again: false,
        }
    }

    /// Finds the next message that matches. Each node that it looks at takes one off `visits`.
    pub(crate) fn next(&mut self, now: Instant, search: &mut Search, visits: &mut usize) -> Found {
        let held = search.is_resting.then_some(search.node);
        search.is_resting = false;
        let found = loop {
            if *visits == 0 {
                break Found::NotYet;
            }
            *visits -= 1;
            let is_again = core::mem::replace(&mut search.is_again, false);
            if !is_again && !self.step(search) {
                break Found::Nothing;
            }
            if search.is_whole(search.depth)
                && let Some(message) = self.older_than(search.node, search.begun)
                && !message.is_expired(now)
            {
                break Found::Message(Arc::clone(message));
            }
        };
        if let Some(held) = held {
            if matches!(found, Found::NotYet) && search.node == held {
                search.is_resting = true;
            } else {
                self.let_go(held);
            }
        }
        found
    }

    /// Pauses the search. Its node stays in the tree.
    pub(crate) fn rest(&mut self, search: &mut Search) {
        if !search.is_resting && search.node != NodeId::ROOT {
            self.hold(search.node);
            search.is_resting = true;
        }
    }

    /// Pauses the search before the message that it has just found. It finds that message again,
    /// unless it is gone.
    pub(crate) fn rest_before(&mut self, search: &mut Search) {
        search.is_again = true;
        self.rest(search);
    }

    /// Gives the search up.
    pub(crate) fn release(&mut self, search: &Search) {
        if search.is_resting {
            self.let_go(search.node);
        }
    }

    /// Moves to the next node whose levels match so far. Returns `false` if there is none.
    fn step(&self, search: &mut Search) -> bool {
        let tree = self.tree();
        let below = search.depth + 1;
        let child = match search.level(below) {
            Some(level) if level != "+" => tree.child(search.node, level),
            Some(_) => tree.first_child(search.node),
            None if search.is_open => tree.first_child(search.node),
            None => None,
        };
        let mut next = child.map(|child| (child, below));
        loop {
            match next {
                // A wildcard at the start does not stand for `$` [MQTT-4.7.2-1].
                Some((node, 1)) if search.is_wild(1) && tree.level(node).starts_with('$') => {
                    (search.node, search.depth) = (node, 1);
                    next = tree.next(node).map(|sibling| (sibling, 1));
                }
                Some((node, depth)) => {
                    (search.node, search.depth) = (node, depth);
                    return true;
                }
                None if search.depth == 0 => return false,
                None => {
                    if search.is_wild(search.depth) {
                        next = tree.next(search.node).map(|it| (it, search.depth));
                    }
                    if next.is_none() {
                        search.node = tree.parent(search.node).unwrap_or(NodeId::ROOT);
                        search.depth -= 1;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt::{Publish, TopicName, topic_matches};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use crate::types::Timers;

    const NOW: Instant = Instant::ZERO;

    fn keep(retained: &mut Retained, timers: &mut Timers, topic: &str, payload: &str) {
        let topic = TopicName::try_from(topic).unwrap();
        let publish = Publish::new(topic, payload.to_owned());
        let publisher = Utf8String::try_from("p").unwrap();
        let message = Message::new(NOW, &publish, &publisher);
        retained.set(NOW, Arc::new(message), timers, |_| {});
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "c", "", "$s"])
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a topic has a character", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![level(), Just("+")];
        (prop::collection::vec(level, 0..5), any::<bool>())
            .prop_map(|(mut levels, is_open)| {
                if is_open {
                    levels.push("#");
                }
                levels.join("/")
            })
            .prop_filter("a filter has a character", |filter| !filter.is_empty())
    }

    /// A change of the tree while the search pauses.
    #[derive(Clone, Debug)]
    enum Change {
        Keep(String),
        Remove(String),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            topic().prop_map(Change::Keep),
            topic().prop_map(Change::Remove)
        ]
    }

    proptest! {
        #[test]
        fn a_search_agrees_with_a_linear_scan_whatever_happens_meanwhile(
            topics in prop::collection::btree_set(topic(), 0..40),
            filter in filter(),
            changes in prop::collection::vec((0..4_usize, change()), 0..40),
        ) {
            let mut retained = Retained::new(1, 1_000, 1 << 20);
            let mut timers = Timers::default();
            // `true`: the topic must be found; `false`: it must not. Topics without an entry may
            // be found or not.
            let mut expected = BTreeMap::new();
            for topic in &topics {
                keep(&mut retained, &mut timers, topic, "old");
                expected.insert(topic.clone(), topic_matches(&filter, topic));
            }
            let text = Utf8String::try_from(filter.as_str()).unwrap();
            let mut search = retained.search(&text);
            let mut found = Vec::new();
            let mut look = |retained: &mut Retained, search: &mut Search, mut visits: usize| loop {
                match retained.next(NOW, search, &mut visits) {
                    Found::Message(message) => {
                        assert_eq!(message.publish.payload, "old");
                        found.push(message.topic().to_owned());
                    }
                    Found::Nothing => return true,
                    Found::NotYet => {
                        retained.rest(search);
                        return false;
                    }
                }
            };
            let mut is_over = false;
            for (visits, change) in changes {
                is_over = is_over || look(&mut retained, &mut search, visits);
                let (Change::Keep(topic) | Change::Remove(topic)) = &change;
                // The search may have passed this topic already or not.
                expected.remove(topic);
                match &change {
                    Change::Keep(topic) => keep(&mut retained, &mut timers, topic, "new"),
                    Change::Remove(topic) => {
                        retained.remove(topic, &mut timers);
                    }
                }
            }
            is_over = is_over || look(&mut retained, &mut search, 100_000);
            prop_assert!(is_over);
            for (topic, matches) in expected {
                let times = found.iter().filter(|it| **it == topic).count();
                prop_assert_eq!(times, usize::from(matches), "{}", topic);
            }
            // No node is held any longer.
            for topic in retained_topics(&retained) {
                retained.remove(&topic, &mut timers);
            }
            prop_assert_eq!(retained.tree().len(), 1);
        }
    }

    fn retained_topics(retained: &Retained) -> Vec<String> {
        let mut topics = Vec::new();
        let mut nodes = vec![NodeId::ROOT];
        while let Some(node) = nodes.pop() {
            topics.extend(
                retained
                    .older_than(node, u64::MAX)
                    .map(|it| it.topic().to_owned()),
            );
            nodes.extend(retained.tree().children(node));
        }
        topics
    }
}
