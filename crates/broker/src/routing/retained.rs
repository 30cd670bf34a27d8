//! Retained messages: the last message of each topic that was published with RETAIN (section
//! 3.3.1.3).

use std::sync::Arc;

use mqtt::Instant;

use crate::admission::MemoryBudget;
use crate::routing::{LevelTree, Value};
use crate::types::{Message, NodeId, Timer, Timers};

/// The retained message of one topic. A node without one is the place where a search pauses.
#[derive(Debug, Default)]
pub(crate) struct RetainedNode {
    message: Option<Arc<Message>>,
    /// The message's number among all messages that were ever retained.
    number: u64,
    /// How many searches have paused at this node.
    holders: u32,
    /// When [`Timer::Retained`] is due.
    expires_at: Option<Instant>,
}

impl Value for RetainedNode {
    fn is_vacant(&self) -> bool {
        self.message.is_none() && self.holders == 0
    }
}

/// All retained messages, found by topic and by filter.
#[derive(Debug)]
pub(crate) struct Retained {
    tree: LevelTree<RetainedNode>,
    max_messages: usize,
    max_bytes: usize,
    messages: usize,
    bytes: usize,
    set_so_far: u64,
}

/// What happened to a message that was to be retained.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum RetainOutcome {
    /// It is retained.
    Stored,
    /// There is no room for it. If its topic had an earlier message, that one was removed, because
    /// it would be out of date. `was_there` says whether it had one.
    NoRoom { was_there: bool },
}

impl Retained {
    /// Bytes that a node of the tree takes, approximately.
    const NODE: usize = 128;

    pub(crate) fn new(seed: u64, max_messages: usize, max_bytes: usize) -> Self {
        Self {
            tree: LevelTree::new(seed),
            max_messages,
            max_bytes,
            messages: 0,
            bytes: 0,
            set_so_far: 0,
        }
    }

    /// Retains `message` in place of the earlier one of its topic `[MQTT-3.3.1-5]`. Gives `expired`
    /// each message that it removes for room, because its expiry interval has passed.
    pub(crate) fn set(
        &mut self,
        now: Instant,
        message: Arc<Message>,
        timers: &mut Timers,
        mut expired: impl FnMut(&Message),
    ) -> RetainOutcome {
        let topic = message.topic();
        let mut room = self.room(&message);
        // Messages that have expired must not take room from others. Each takes at least one
        // node, so this many removals are enough. If an earlier run stored more than the limits
        // now allow, the rest goes when it expires.
        for _ in 0..=Self::cost(&message) / Self::NODE {
            if room.is_some() || Self::cost(&message) > self.max_bytes {
                break;
            }
            let Some(node) = timers.pop_due_retained(now) else {
                break;
            };
            if let Some(message) = self.expire(node) {
                expired(&message);
            }
            room = self.room(&message);
        }
        let node = room.and_then(|room| Some((self.tree.insert(topic)?, room)));
        let Some((node, room)) = node else {
            let was_there = self.remove(topic, timers);
            return RetainOutcome::NoRoom { was_there };
        };
        self.put(node, message, room, timers);
        RetainOutcome::Stored
    }

    /// Puts `message` at the node of its topic. `(messages, bytes)` is how many there are then.
    fn put(
        &mut self,
        node: NodeId,
        message: Arc<Message>,
        (messages, bytes): (usize, usize),
        timers: &mut Timers,
    ) {
        let expires = message.expires();
        let kept = self.tree.value_mut(node);
        kept.message = Some(message);
        kept.number = self.set_so_far;
        self.set_so_far += 1;
        timers.set(Timer::Retained(node), &mut kept.expires_at, expires);
        self.messages = messages;
        self.bytes = bytes;
    }

    /// Removes the retained message of `topic` `[MQTT-3.3.1-6]`. Returns whether there was one.
    pub(crate) fn remove(&mut self, topic: &str, timers: &mut Timers) -> bool {
        let Some(node) = self.tree.find(topic) else {
            return false;
        };
        let kept = self.tree.value_mut(node);
        timers.set(Timer::Retained(node), &mut kept.expires_at, None);
        self.take(node).is_some()
    }

    /// Retains a message that an earlier run of the broker retained, whatever the limits are
    /// now.
    pub(crate) fn restore(&mut self, message: Arc<Message>, timers: &mut Timers) {
        let sums = self.sums_with(&message);
        if let Some(node) = self.tree.insert(message.topic()) {
            self.put(node, message, sums, timers);
        }
    }

    /// Whether there may be a message at this place or a later one.
    pub(crate) fn has_place(&self, node: NodeId) -> bool {
        self.tree.has_place(node)
    }

    /// The message at this place, if there is one.
    pub(crate) fn at(&self, node: NodeId) -> Option<&Arc<Message>> {
        self.tree.at(node)?.message.as_ref()
    }

    /// Removes the message at `node`, because its timer was due. Returns the message.
    pub(crate) fn expire(&mut self, node: NodeId) -> Option<Arc<Message>> {
        self.tree.value_mut(node).expires_at = None;
        self.take(node)
    }

    /// How many messages have been retained since the start.
    pub(crate) fn set_so_far(&self) -> u64 {
        self.set_so_far
    }

    /// The message at `node`, if it was one of the first `first` that were ever retained.
    pub(crate) fn older_than(&self, node: NodeId, first: u64) -> Option<&Arc<Message>> {
        let kept = self.tree.value(node);
        kept.message.as_ref().filter(|_| kept.number < first)
    }

    /// The number of the retained message of `topic`, counted over all messages that were ever
    /// retained.
    pub(crate) fn number(&self, topic: &str) -> Option<u64> {
        let kept = self.tree.value(self.tree.find(topic)?);
        kept.message.as_ref().map(|_| kept.number)
    }

    pub(crate) fn tree(&self) -> &LevelTree<RetainedNode> {
        &self.tree
    }

    /// Keeps `node` in the tree until [`let_go`](Self::let_go).
    pub(crate) fn hold(&mut self, node: NodeId) {
        self.tree.value_mut(node).holders += 1;
    }

    pub(crate) fn let_go(&mut self, node: NodeId) {
        self.tree.value_mut(node).holders -= 1;
        self.tree.prune(node);
    }

    /// The capacity of the tables.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.tree.capacity()
    }

    /// All messages, in the order of their places.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<&Arc<Message>> {
        let mut all = Vec::new();
        let mut next = NodeId::ROOT;
        while self.has_place(next) {
            all.extend(self.at(next));
            next = next.following();
        }
        all
    }

    /// How many messages are retained.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    /// Updates the memory budget.
    pub(crate) fn count(&self, memory: &mut MemoryBudget) {
        memory.set_retained(self.messages, self.bytes);
    }

    /// Bytes that retaining `message` takes, counted as if its topic shared no level with
    /// another.
    fn cost(message: &Message) -> usize {
        let levels = 1 + message.topic().bytes().filter(|&byte| byte == b'/').count();
        message.cost() + Self::NODE * levels
    }

    /// How many messages and bytes there would be with `message` in its place. `None` if that is
    /// over a limit.
    fn room(&self, message: &Message) -> Option<(usize, usize)> {
        let (messages, bytes) = self.sums_with(message);
        let has_room = messages <= self.max_messages && bytes <= self.max_bytes;
        has_room.then_some((messages, bytes))
    }

    fn sums_with(&self, message: &Message) -> (usize, usize) {
        let old = self.tree.find(message.topic()).and_then(|node| {
            let old = self.tree.value(node).message.as_ref()?;
            Some(Self::cost(old))
        });
        let messages = self.messages + usize::from(old.is_none());
        let bytes = self.bytes - old.unwrap_or(0) + Self::cost(message);
        (messages, bytes)
    }

    fn take(&mut self, node: NodeId) -> Option<Arc<Message>> {
        let message = self.tree.value_mut(node).message.take()?;
        self.messages -= 1;
        self.bytes -= Self::cost(&message);
        self.tree.prune(node);
        Some(message)
    }
}
