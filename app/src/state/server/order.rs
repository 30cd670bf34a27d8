//! Which of two things that the server told is the newer one.
//!
//! Answers come beside the stream of changes. An answer may be older than a change that was here before
//! it. But the server made it after it was asked for, and so after all that the stream had told until
//! then. So an answer is late for exactly those devices that may have changed while it was under way.

use std::collections::BTreeMap;

/// What was told about devices since the oldest request that is under way.
#[derive(Debug, Default)]
pub struct Order {
    /// How much was told so far.
    told: u64,
    /// The newest about each device.
    newest: BTreeMap<String, (u64, Told)>,
    /// When the whole list came.
    list: u64,
    under_way: usize,
}

/// What the stream, or the user, tells about a device.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is there, and has changed.
    Changed,
    /// It was forgotten.
    Gone,
}

/// When something was asked for. Hand it back to [`Order::end`].
#[derive(Debug)]
pub struct Asked(u64);

/// What counts of an answer about a device.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Counts {
    /// All of it.
    Whole,
    /// What is added to it: values, commands, faults. Its presence, and whether it is hidden, are known
    /// better.
    Additions,
    /// Nothing, if the device is not known: it was forgotten.
    AdditionsIfKnown,
}

impl Order {
    /// Something is asked for.
    pub fn begin(&mut self) -> Asked {
        self.under_way += 1;
        Asked(self.told)
    }

    /// The answer has been taken, or does not come.
    // The token cannot be handed back twice.
    #[allow(clippy::needless_pass_by_value)]
    pub fn end(&mut self, _asked: Asked) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.newest.clear();
        }
    }

    /// Something new about the device of this full id.
    pub fn note(&mut self, id: &str, told: Told) {
        if self.under_way > 0 {
            self.told += 1;
            self.newest.insert(id.to_owned(), (self.told, told));
        }
    }

    /// The whole list has come.
    pub fn note_list(&mut self) {
        self.told += 1;
        self.list = self.told;
        self.newest.clear();
    }

    /// What counts of an answer about this device.
    pub fn judge(&self, asked: &Asked, id: &str) -> Counts {
        match self.newest.get(id) {
            Some((at, Told::Changed)) if *at > asked.0 => Counts::Additions,
            Some((at, Told::Gone)) if *at > asked.0 => Counts::AdditionsIfKnown,
            // Whom the list did not have was forgotten.
            Some(_) | None if self.list > asked.0 => Counts::AdditionsIfKnown,
            Some(_) | None => Counts::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_late_for_what_changed_while_it_was_under_way() {
        let mut order = Order::default();
        let early = order.begin();
        order.note("a", Told::Changed);
        order.note("b", Told::Gone);
        let later = order.begin();
        assert_eq!(order.judge(&early, "a"), Counts::Additions);
        assert_eq!(order.judge(&early, "b"), Counts::AdditionsIfKnown);
        assert_eq!(order.judge(&early, "c"), Counts::Whole);
        for id in ["a", "b", "c"] {
            assert_eq!(order.judge(&later, id), Counts::Whole);
        }
        order.note("b", Told::Changed);
        assert_eq!(order.judge(&later, "b"), Counts::Additions);
    }

    #[test]
    fn the_whole_list_is_newer_than_all_that_was_asked_before() {
        let mut order = Order::default();
        let early = order.begin();
        order.note_list();
        assert_eq!(order.judge(&early, "a"), Counts::AdditionsIfKnown);
        let later = order.begin();
        assert_eq!(order.judge(&later, "a"), Counts::Whole);
    }

    #[test]
    fn nothing_is_kept_that_no_answer_can_meet() {
        let mut order = Order::default();
        order.note("a", Told::Changed);
        assert!(order.newest.is_empty());
        let (one, two) = (order.begin(), order.begin());
        order.note("a", Told::Changed);
        order.end(one);
        assert_eq!(order.judge(&two, "a"), Counts::Additions);
        order.end(two);
        assert!(order.newest.is_empty());
    }
}
