//! The last message of each topic that was published to be kept (section 3.3.1.3).

use std::sync::Arc;

use mqtt::Instant;

use crate::message::Message;
use crate::metrics::Metrics;
use crate::timers::{Timer, Timers};
use crate::tree::{LevelTree, NodeId, Value};

/// What is kept of a topic.
#[derive(Debug, Default)]
struct Kept {
    message: Option<Arc<Message>>,
    /// When [`Timer::Retained`] is due.
    expires_at: Option<Instant>,
}

impl Value for Kept {
    fn is_vacant(&self) -> bool {
        self.message.is_none()
    }
}

/// All retained messages, found by topic and by filter.
#[derive(Debug)]
pub(crate) struct Retained {
    tree: LevelTree<Kept>,
    max_messages: usize,
    max_bytes: usize,
    messages: usize,
    bytes: usize,
}

/// What became of a message that was to be kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is kept.
    Stored,
    /// There is no room for it. What was kept of its topic is gone: it would be out of date.
    NoRoom,
}

impl Retained {
    /// What a node of the tree costs, near enough, in bytes.
    const NODE: usize = 128;

    pub(crate) fn new(seed: u64, max_messages: usize, max_bytes: usize) -> Self {
        Self {
            tree: LevelTree::new(seed),
            max_messages,
            max_bytes,
            messages: 0,
            bytes: 0,
        }
    }

    /// Keeps `message` as the last of its topic `[MQTT-3.3.1-5]`.
    pub(crate) fn set(&mut self, message: Arc<Message>, timers: &mut Timers) -> Outcome {
        let topic = message.topic();
        let old = self.tree.find(topic).and_then(|node| {
            let old = self.tree.value(node).message.as_ref()?;
            Some(Self::cost(old))
        });
        let messages = self.messages + usize::from(old.is_none());
        let bytes = self.bytes - old.unwrap_or(0) + Self::cost(&message);
        let room = messages <= self.max_messages && bytes <= self.max_bytes;
        let Some(node) = room.then(|| self.tree.insert(topic)).flatten() else {
            self.remove(topic, timers);
            return Outcome::NoRoom;
        };
        let expires = message.expires();
        let kept = self.tree.value_mut(node);
        kept.message = Some(message);
        timers.set(Timer::Retained(node), &mut kept.expires_at, expires);
        self.messages = messages;
        self.bytes = bytes;
        Outcome::Stored
    }

    /// Forgets what was kept of `topic` `[MQTT-3.3.1-6]`.
    pub(crate) fn remove(&mut self, topic: &str, timers: &mut Timers) {
        if let Some(node) = self.tree.find(topic) {
            let kept = self.tree.value_mut(node);
            timers.set(Timer::Retained(node), &mut kept.expires_at, None);
            self.take(node);
        }
    }

    /// The timer of `node` is due.
    pub(crate) fn expire(&mut self, node: NodeId) {
        self.tree.value_mut(node).expires_at = None;
        self.take(node);
    }

    /// All messages whose topic matches `filter` and that have not expired.
    pub(crate) fn matching(&self, now: Instant, filter: &str) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        self.walk(NodeId::ROOT, filter, &mut |message| {
            if !message.is_expired(now) {
                found.push(Arc::clone(message));
            }
        });
        found
    }

    /// Brings the gauges up to date.
    pub(crate) fn count(&self, metrics: &mut Metrics) {
        metrics.retained_messages = self.messages as u64;
        metrics.retained_bytes = self.bytes as u64;
    }

    /// What keeping `message` costs, as if its topic shared no level with another.
    fn cost(message: &Message) -> usize {
        let levels = 1 + message.topic().bytes().filter(|&byte| byte == b'/').count();
        message.cost() + Self::NODE * levels
    }

    fn take(&mut self, node: NodeId) {
        if let Some(message) = self.tree.value_mut(node).message.take() {
            self.messages -= 1;
            self.bytes -= Self::cost(&message);
            self.tree.prune(node);
        }
    }

    /// Visits what matches `filter` below `node`. It goes no deeper than the filter has
    /// levels, which [`Limits::topic_levels`](crate::Limits::topic_levels) bounds.
    fn walk(&self, node: NodeId, filter: &str, visit: &mut impl FnMut(&Arc<Message>)) {
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        match level {
            "#" => {
                // `a/#` matches `a` too.
                self.visit(node, visit);
                self.walk_all(node, visit);
            }
            "+" => {
                for child in self.wild_children(node) {
                    self.step(child, rest, visit);
                }
            }
            _ => {
                if let Some(child) = self.tree.child(node, level) {
                    self.step(child, rest, visit);
                }
            }
        }
    }

    fn step(&self, node: NodeId, rest: Option<&str>, visit: &mut impl FnMut(&Arc<Message>)) {
        match rest {
            Some(rest) => self.walk(node, rest, visit),
            None => self.visit(node, visit),
        }
    }

    /// Everything below `node`, however deep.
    fn walk_all(&self, node: NodeId, visit: &mut impl FnMut(&Arc<Message>)) {
        let mut nodes: Vec<NodeId> = self.wild_children(node).collect();
        while let Some(node) = nodes.pop() {
            self.visit(node, visit);
            nodes.extend(self.tree.children(node));
        }
    }

    /// The children that a wildcard stands for: at the start, none with `$` `[MQTT-4.7.2-1]`.
    fn wild_children(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.tree
            .children(node)
            .filter(move |&child| node != NodeId::ROOT || !self.tree.level(child).starts_with('$'))
    }

    fn visit(&self, node: NodeId, visit: &mut impl FnMut(&Arc<Message>)) {
        if let Some(message) = &self.tree.value(node).message {
            visit(message);
        }
    }
}
