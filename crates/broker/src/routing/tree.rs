//! A tree of topic levels. Its nodes hold subscriptions or retained messages.
//!
//! All nodes share one hash table keyed by (parent, level). So a step down costs one look-up,
//! however many children a node has, and no node needs a table of its own. Siblings are also
//! linked, so that a wildcard can visit them. Their order depends only on the order of insertions
//! and removals.

use core::fmt;
use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use crate::types::{NodeId, ShrinkPolicy, shrink};

/// The value of a node.
pub(crate) trait Value: Default {
    /// Whether the value is empty. The tree removes a node with an empty value and no children.
    fn is_vacant(&self) -> bool;
}

/// A tree of topic levels with a `V` at each node.
pub(crate) struct LevelTree<V> {
    nodes: Slab<Node<V>>,
    shrink: ShrinkPolicy,
    children: HashTable<NodeId>,
    hasher: FixedState,
}

struct Node<V> {
    level: Box<str>,
    value: V,
    parent: Option<NodeId>,
    first_child: Option<NodeId>,
    next: Option<NodeId>,
    previous: Option<NodeId>,
    /// The child `+`, found without hashing.
    plus: Option<NodeId>,
    /// The child `#`, found in the same way.
    hash: Option<NodeId>,
}

impl<V: Value> LevelTree<V> {
    /// The most nodes that the tree can hold.
    const MAX_NODES: usize = u32::MAX as usize - 2;

    pub(crate) fn new(seed: u64) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(None, ""));
        Self {
            nodes,
            shrink: ShrinkPolicy::default(),
            children: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(crate) fn value(&self, node: NodeId) -> &V {
        &self.nodes[node.key()].value
    }

    pub(crate) fn value_mut(&mut self, node: NodeId) -> &mut V {
        &mut self.nodes[node.key()].value
    }

    pub(crate) fn plus(&self, node: NodeId) -> Option<NodeId> {
        self.nodes[node.key()].plus
    }

    pub(crate) fn hash(&self, node: NodeId) -> Option<NodeId> {
        self.nodes[node.key()].hash
    }

    /// The last level of the path to `node`.
    pub(crate) fn level(&self, node: NodeId) -> &str {
        &self.nodes[node.key()].level
    }

    pub(crate) fn parent(&self, node: NodeId) -> Option<NodeId> {
        self.nodes[node.key()].parent
    }

    /// The first child of `node`. Follow it with [`next`](Self::next).
    pub(crate) fn first_child(&self, node: NodeId) -> Option<NodeId> {
        self.nodes[node.key()].first_child
    }

    /// The next sibling of `node`. New siblings are inserted before all others.
    pub(crate) fn next(&self, node: NodeId) -> Option<NodeId> {
        self.nodes[node.key()].next
    }

    /// The path to `node`.
    pub(crate) fn path(&self, node: NodeId) -> String {
        let nodes = core::iter::successors(Some(node), |node| self.nodes[node.key()].parent);
        let levels: Vec<&str> = nodes
            .filter(|node| *node != NodeId::ROOT)
            .map(|node| self.level(node))
            .collect();
        levels.iter().rev().copied().collect::<Vec<_>>().join("/")
    }

    /// All children of `node`.
    #[cfg(test)]
    pub(crate) fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.nodes[node.key()].first_child;
        core::iter::successors(first, |child| self.nodes[child.key()].next)
    }

    /// The child of `parent` with exactly this level. Wildcards are ordinary levels here.
    pub(crate) fn child(&self, parent: NodeId, level: &str) -> Option<NodeId> {
        self.nodes[parent.key()].first_child?;
        self.children
            .find(self.hash_of(parent, level), |&child| {
                self.is_child(child, parent, level)
            })
            .copied()
    }

    /// The node at the end of `path`.
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        path.split('/')
            .try_fold(NodeId::ROOT, |node, level| self.child(node, level))
    }

    /// The node at the end of `path`, created if it does not exist. `None` if the tree is full.
    ///
    /// A caller that leaves the value vacant must call [`prune`](Self::prune).
    pub(crate) fn insert(&mut self, path: &str) -> Option<NodeId> {
        let mut node = NodeId::ROOT;
        for level in path.split('/') {
            node = match self.child(node, level) {
                Some(child) => child,
                None if self.nodes.len() >= Self::MAX_NODES => {
                    self.prune(node);
                    return None;
                }
                None => self.add_child(node, level),
            };
        }
        Some(node)
    }

    /// Removes `node` if it is vacant and has no children, and then likewise the nodes above it.
    pub(crate) fn prune(&mut self, node: NodeId) {
        let mut next = Some(node);
        while let Some(node) = next {
            let it = &self.nodes[node.key()];
            let Some(parent) = it.parent else { return };
            if it.first_child.is_some() || !it.value.is_vacant() {
                return;
            }
            self.remove_leaf(node, parent);
            next = Some(parent);
        }
    }

    fn add_child(&mut self, parent: NodeId, level: &str) -> NodeId {
        let child = NodeId::from_key(self.nodes.insert(Node::new(Some(parent), level)));
        self.shrink.record_insert(&self.nodes);
        let above = &mut self.nodes[parent.key()];
        let sibling = above.first_child.replace(child);
        match level {
            "+" => above.plus = Some(child),
            "#" => above.hash = Some(child),
            _ => {}
        }
        self.nodes[child.key()].next = sibling;
        if let Some(sibling) = sibling {
            self.nodes[sibling.key()].previous = Some(child);
        }
        let hash = self.hash_of(parent, level);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.children.insert_unique(hash, child, |&other| {
            let node = &nodes[other.key()];
            hash_of(hasher, node.parent.unwrap_or(NodeId::ROOT), &node.level)
        });
        child
    }

    fn remove_leaf(&mut self, node: NodeId, parent: NodeId) {
        let leaf = self.nodes.remove(node.key());
        let hash = self.hash_of(parent, &leaf.level);
        if let Ok(entry) = self.children.find_entry(hash, |&child| child == node) {
            entry.remove();
        }
        if let Some(next) = leaf.next {
            self.nodes[next.key()].previous = leaf.previous;
        }
        match leaf.previous {
            Some(previous) => self.nodes[previous.key()].next = leaf.next,
            None => self.nodes[parent.key()].first_child = leaf.next,
        }
        let above = &mut self.nodes[parent.key()];
        if above.plus == Some(node) {
            above.plus = None;
        }
        if above.hash == Some(node) {
            above.hash = None;
        }
        if self.shrink.shrink_if_due(&mut self.nodes) {
            let (nodes, hasher) = (&self.nodes, &self.hasher);
            shrink::shrink_table(&mut self.children, |&other| {
                let node = &nodes[other.key()];
                hash_of(hasher, node.parent.unwrap_or(NodeId::ROOT), &node.level)
            });
        }
    }

    fn is_child(&self, child: NodeId, parent: NodeId, level: &str) -> bool {
        let node = &self.nodes[child.key()];
        node.parent == Some(parent) && &*node.level == level
    }

    fn hash_of(&self, parent: NodeId, level: &str) -> u64 {
        hash_of(&self.hasher, parent, level)
    }

    /// Whether there may be a node at this place or after it.
    pub(crate) fn has_place(&self, node: NodeId) -> bool {
        node.key() < self.nodes.capacity()
    }

    /// The value of the node at this place, if there is one.
    pub(crate) fn at(&self, node: NodeId) -> Option<&V> {
        self.nodes.get(node.key()).map(|node| &node.value)
    }

    /// The capacity of the tables.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.capacity() + self.children.capacity()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.nodes.len(), self.children.len() + 1);
        self.nodes.len()
    }
}

fn hash_of(hasher: &FixedState, parent: NodeId, level: &str) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(level.as_bytes());
    hasher.write_u32(parent.number());
    hasher.finish()
}

impl<V: Value> Node<V> {
    fn new(parent: Option<NodeId>, level: &str) -> Self {
        Self {
            level: level.into(),
            value: V::default(),
            parent,
            first_child: None,
            next: None,
            previous: None,
            plus: None,
            hash: None,
        }
    }
}

impl<V> fmt::Debug for LevelTree<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelTree")
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Value for bool {
        fn is_vacant(&self) -> bool {
            !*self
        }
    }

    #[test]
    fn vacant_nodes_are_removed_up_to_the_first_used_one() {
        let mut tree = LevelTree::<bool>::new(1);
        let abc = tree.insert("a/b/c").unwrap();
        *tree.value_mut(abc) = true;
        let ab = tree.insert("a/b").unwrap();
        *tree.value_mut(ab) = true;
        let plus = tree.insert("a/+").unwrap();
        *tree.value_mut(plus) = true;
        assert_eq!(tree.plus(tree.find("a").unwrap()), Some(plus));
        assert_eq!(tree.len(), 5);

        *tree.value_mut(abc) = false;
        tree.prune(abc);
        assert_eq!((tree.find("a/b/c"), tree.find("a/b")), (None, Some(ab)));
        *tree.value_mut(ab) = false;
        tree.prune(ab);
        *tree.value_mut(plus) = false;
        tree.prune(plus);
        assert_eq!(tree.len(), 1);
        assert_eq!(tree.children(NodeId::ROOT).count(), 0);
    }

    #[test]
    fn siblings_stay_linked_whichever_is_removed() {
        for removed in 0..4 {
            let mut tree = LevelTree::<bool>::new(1);
            for name in 0..4 {
                let node = tree.insert(&format!("{name}")).unwrap();
                *tree.value_mut(node) = true;
            }
            let node = tree.find(&format!("{removed}")).unwrap();
            *tree.value_mut(node) = false;
            tree.prune(node);
            let mut left: Vec<_> = tree
                .children(NodeId::ROOT)
                .map(|child| tree.level(child).to_owned())
                .collect();
            left.sort();
            let expected: Vec<_> = (0..4)
                .filter(|name| *name != removed)
                .map(|name| name.to_string())
                .collect();
            assert_eq!(left, expected);
        }
    }
}
