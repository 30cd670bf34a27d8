//! The last message of each topic that was published to be kept (section 3.3.1.3).

use std::sync::Arc;

use mqtt::Instant;

use crate::admission::MemoryBudget;
use crate::routing::{LevelTree, Value};
use crate::types::{Message, NodeId, Timer, Timers};

/// What is kept of a topic.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    message: Option<Arc<Message>>,
    /// Which of all messages that were ever kept this is.
    number: u64,
    /// How many searches rest here.
    holders: u32,
    /// When [`Timer::Retained`] is due.
    expires_at: Option<Instant>,
}

impl Value for Kept {
    fn is_vacant(&self) -> bool {
        self.message.is_none() && self.holders == 0
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
    kept_so_far: u64,
}

/// What became of a message that was to be kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is kept.
    Stored,
    /// There is no room for it. What was kept of its topic, if there was anything, is gone: it
    /// would be out of date.
    NoRoom { was_there: bool },
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
            kept_so_far: 0,
        }
    }

    /// Keeps `message` as the last of its topic `[MQTT-3.3.1-5]`.
    pub(crate) fn set(
        &mut self,
        now: Instant,
        message: Arc<Message>,
        timers: &mut Timers,
    ) -> Outcome {
        let topic = message.topic();
        let mut room = self.room(&message);
        // What is only not forgotten yet takes no other one's place: so many at most, as each
        // takes a node at least. Where more was restored than there may be now, the rest has
        // its own time.
        for _ in 0..=Self::cost(&message) / Self::NODE {
            if room.is_some() || Self::cost(&message) > self.max_bytes {
                break;
            }
            let Some(node) = timers.pop_due_retained(now) else {
                break;
            };
            self.expire(node);
            room = self.room(&message);
        }
        let kept = room.and_then(|room| Some((room, self.tree.insert(topic)?)));
        let Some(((messages, bytes), node)) = kept else {
            let was_there = self.remove(topic, timers);
            return Outcome::NoRoom { was_there };
        };
        let expires = message.expires();
        let kept = self.tree.value_mut(node);
        kept.message = Some(message);
        kept.number = self.kept_so_far;
        self.kept_so_far += 1;
        timers.set(Timer::Retained(node), &mut kept.expires_at, expires);
        self.messages = messages;
        self.bytes = bytes;
        Outcome::Stored
    }

    /// Forgets what was kept of `topic` `[MQTT-3.3.1-6]`; says whether there was anything.
    pub(crate) fn remove(&mut self, topic: &str, timers: &mut Timers) -> bool {
        let Some(node) = self.tree.find(topic) else {
            return false;
        };
        let kept = self.tree.value_mut(node);
        let is_there = kept.message.is_some();
        timers.set(Timer::Retained(node), &mut kept.expires_at, None);
        self.take(node);
        is_there
    }

    /// Keeps `message` as an earlier run of the broker did, whatever the limits are now.
    pub(crate) fn restore(&mut self, message: Arc<Message>, timers: &mut Timers) {
        let limits = (self.max_messages, self.max_bytes);
        (self.max_messages, self.max_bytes) = (usize::MAX, usize::MAX);
        self.set(Instant::ZERO, message, timers);
        (self.max_messages, self.max_bytes) = limits;
    }

    /// Whether there may be a message at this place or behind it.
    pub(crate) fn has_place(&self, node: NodeId) -> bool {
        self.tree.has_place(node)
    }

    /// The message at this place, if there is one.
    pub(crate) fn at(&self, node: NodeId) -> Option<&Arc<Message>> {
        self.tree.at(node)?.message.as_ref()
    }

    /// The timer of `node` is due.
    pub(crate) fn expire(&mut self, node: NodeId) {
        self.tree.value_mut(node).expires_at = None;
        self.take(node);
    }

    /// How many messages have been kept since the start.
    pub(crate) fn kept_so_far(&self) -> u64 {
        self.kept_so_far
    }

    /// What is kept at `node`, if it was one of the first so many.
    pub(crate) fn kept(&self, node: NodeId, first: u64) -> Option<&Arc<Message>> {
        let kept = self.tree.value(node);
        kept.message.as_ref().filter(|_| kept.number < first)
    }

    /// Which of all messages that were ever kept the one of `topic` is, if there is one.
    pub(crate) fn number(&self, topic: &str) -> Option<u64> {
        let kept = self.tree.value(self.tree.find(topic)?);
        kept.message.as_ref().map(|_| kept.number)
    }

    pub(crate) fn tree(&self) -> &LevelTree<Kept> {
        &self.tree
    }

    /// `node` stays in the tree until it is [let go](Self::let_go).
    pub(crate) fn hold(&mut self, node: NodeId) {
        self.tree.value_mut(node).holders += 1;
    }

    pub(crate) fn let_go(&mut self, node: NodeId) {
        self.tree.value_mut(node).holders -= 1;
        self.tree.prune(node);
    }

    /// How many places its tables have.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.tree.capacity()
    }

    /// All, in the order of their places.
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

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    /// Brings the gauges up to date.
    pub(crate) fn count(&self, memory: &mut MemoryBudget) {
        memory.set_retained(self.messages, self.bytes);
    }

    /// What keeping `message` costs, as if its topic shared no level with another.
    fn cost(message: &Message) -> usize {
        let levels = 1 + message.topic().bytes().filter(|&byte| byte == b'/').count();
        message.cost() + Self::NODE * levels
    }

    /// How many messages and bytes there are with `message` in its place, if there may be.
    fn room(&self, message: &Message) -> Option<(usize, usize)> {
        let old = self.tree.find(message.topic()).and_then(|node| {
            let old = self.tree.value(node).message.as_ref()?;
            Some(Self::cost(old))
        });
        let messages = self.messages + usize::from(old.is_none());
        let bytes = self.bytes - old.unwrap_or(0) + Self::cost(message);
        let has_room = messages <= self.max_messages && bytes <= self.max_bytes;
        has_room.then_some((messages, bytes))
    }

    fn take(&mut self, node: NodeId) {
        if let Some(message) = self.tree.value_mut(node).message.take() {
            self.messages -= 1;
            self.bytes -= Self::cost(&message);
            self.tree.prune(node);
        }
    }
}
