//! A queue whose elements can also be found by topic filter.

use core::ops::Bound;
use std::collections::BTreeMap;

/// At most one element for each filter, in the order in which they came.
#[derive(Debug)]
pub(crate) struct ByFilter<T> {
    /// Boxed, because there is usually one element, and a node of the tree has room for many.
    elements: BTreeMap<u64, Box<(T, Box<str>)>>,
    numbers: BTreeMap<Box<str>, u64>,
    next: u64,
}

impl<T> Default for ByFilter<T> {
    fn default() -> Self {
        Self {
            elements: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> ByFilter<T> {
    /// Up to this many elements, the filters are checked one by one.
    const FEW: usize = 16;
    /// Bytes that an element takes here, approximately, without the two copies of its filter.
    pub(crate) const COST: usize = 96;

    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// All elements, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.elements.values().map(|it| &it.0)
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.elements.first_key_value().map(|(_, it)| &it.0)
    }

    pub(crate) fn first_mut(&mut self) -> Option<&mut T> {
        let first = self.elements.first_entry()?;
        Some(&mut first.into_mut().0)
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        let (_, first) = self.elements.pop_first()?;
        self.numbers.remove(&first.1);
        Some(first.0)
    }

    /// Adds an element at the end. Returns the one for the same filter that it replaces.
    pub(crate) fn push(&mut self, filter: &str, element: T) -> Option<T> {
        let replaced = self.remove(filter);
        let element = Box::new((element, filter.into()));
        self.elements.insert(self.next, element);
        self.numbers.insert(filter.into(), self.next);
        self.next += 1;
        replaced
    }

    pub(crate) fn remove(&mut self, filter: &str) -> Option<T> {
        let number = self.numbers.remove(filter)?;
        self.elements.remove(&number).map(|it| it.0)
    }

    /// Whether `is` is true for any element whose filter matches `topic`.
    ///
    /// With many elements, walks down the sorted filters level by level, but only along levels that
    /// some filter begins with.
    pub(crate) fn any_matching(&self, topic: &str, is: impl Fn(&T) -> bool) -> bool {
        if self.elements.len() <= Self::FEW {
            let mut elements = self.elements.values();
            return elements.any(|it| mqtt::topic_matches(&it.1, topic) && is(&it.0));
        }
        let is = |filter: &str| {
            let number = self.numbers.get(filter);
            let element = number.and_then(|number| self.elements.get(number));
            // The walk only finds candidates. `topic_matches` knows all rules.
            element.is_some_and(|it| mqtt::topic_matches(filter, topic) && is(&it.0))
        };
        // The part of the filter walked so far, and the part of the topic that is left.
        let mut ways = vec![(String::new(), topic)];
        while let Some((way, ahead)) = ways.pop() {
            if is(&format!("{way}#")) {
                return true;
            }
            let (level, below) = match ahead.split_once('/') {
                Some((level, below)) => (level, Some(below)),
                None => (ahead, None),
            };
            for level in [level, "+"] {
                let whole = format!("{way}{level}");
                let open = format!("{whole}/");
                match below {
                    Some(below) if self.begins_with(&open) => ways.push((open, below)),
                    None if is(&whole) || is(&format!("{open}#")) => return true,
                    Some(_) | None => {}
                }
            }
        }
        false
    }

    /// Whether any filter begins with `start`.
    fn begins_with(&self, start: &str) -> bool {
        let from = (Bound::Included(start), Bound::Unbounded);
        let first = self.numbers.range::<str, _>(from).next();
        first.is_some_and(|(filter, _)| filter.starts_with(start))
    }

    /// Removes the elements for which `take` is true, and returns them.
    pub(crate) fn extract(&mut self, take: impl Fn(&T) -> bool) -> Vec<T> {
        let all = core::mem::take(&mut self.elements);
        let mut taken = Vec::new();
        for (number, it) in all {
            if take(&it.0) {
                self.numbers.remove(&it.1);
                taken.push(it.0);
            } else {
                self.elements.insert(number, it);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_topic_as_a_scan_finds_them() {
        let levels = ["a", "b", "", "+", "$s"];
        let mut filters = vec!["#".to_owned()];
        for first in levels {
            filters.extend([first.to_owned(), format!("{first}/#")]);
            for second in levels {
                let both = format!("{first}/{second}");
                filters.extend([both.clone(), format!("{both}/#"), format!("{both}/b")]);
            }
        }
        filters.retain(|filter| !filter.is_empty());
        let topics = [
            "a", "b", "$s", "/", "a/b", "a/", "/a", "$s/a", "a/b/b", "a//b", "c", "c/b", "a/c/b/d",
        ];
        for filter in &filters {
            // First this filter alone among many that match nothing, then all filters except this
            // one.
            let mut alone = ByFilter::default();
            for number in 0..20 {
                alone.push(&format!("none/{number}"), false);
            }
            alone.push(filter, true);
            let mut others = ByFilter::default();
            for other in &filters {
                others.push(other, other != filter);
            }
            for topic in topics {
                let matches = |filter: &str| mqtt::topic_matches(filter, topic);
                assert_eq!(alone.any_matching(topic, |it| *it), matches(filter));
                let mut all = filters.iter().filter(|it| *it != filter);
                let expected = all.any(|it| matches(it));
                assert_eq!(others.any_matching(topic, |it| *it), expected);
            }
        }
    }

    #[test]
    fn elements_keep_their_order() {
        let mut all = ByFilter::default();
        for (filter, number) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(all.push(filter, number), None);
        }
        assert_eq!(all.push("a", 4), Some(1));
        assert_eq!(all.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(all.first(), Some(&2));
        assert_eq!(all.remove("c"), Some(3));
        assert_eq!(all.remove("c"), None);
        assert_eq!(all.extract(|it| *it == 4), [4]);
        assert_eq!(all.pop_first(), Some(2));
        assert!(all.is_empty() && all.remove("a").is_none());
        assert_eq!((all.len(), all.pop_first()), (0, None));
    }
}
