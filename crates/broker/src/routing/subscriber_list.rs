//! The subscriber list of one filter.
//!
//! It is a list ordered by session, because each message copies all of it. Removing an entry
//! from the middle of a hundred thousand would move half of them, and when a network fails all
//! of them go. So an entry with many behind it leaves a gap. Gaps are closed when there are as
//! many of them as sessions.
//!
//! A new session takes the gap at its place, if there is one. That is common: session numbers
//! are used again, the last one given back first. If there is no gap, and many entries are
//! behind it, it opens some new gaps before itself.

use crate::types::{Entry, SessionId, Subscriber, shrink};

/// The subscriptions of all sessions to one filter, found by binary search and always visited in
/// the same order.
#[derive(Debug, Default)]
pub(crate) struct SubscriberList {
    list: Vec<Subscriber>,
    /// How many entries are gaps: always fewer than half.
    gaps: u32,
}

impl SubscriberList {
    /// The most entries that a removal may move. That is less than a message copies.
    const MOVED: usize = 256;
    /// The most gaps that are opened at once.
    const OPENED: u32 = 256;

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn find(&self, session: SessionId) -> Option<&Subscriber> {
        let at = self.position(session).ok()?;
        Some(&self.list[at]).filter(|it| !it.is_gap())
    }

    /// Appends all subscriptions to `found`, ordered by session.
    pub(crate) fn copy_to(&self, found: &mut Vec<Subscriber>) {
        if self.gaps == 0 {
            found.extend_from_slice(&self.list);
        } else {
            found.extend(self.list.iter().filter(|it| !it.is_gap()));
        }
    }

    /// Adds a subscription, or replaces the session's earlier one. Returns whether it had none.
    pub(crate) fn insert(&mut self, subscriber: Subscriber) -> bool {
        let list = &mut self.list;
        let place = list.binary_search_by_key(&subscriber.session, |it| it.session);
        let at = match place {
            Ok(at) => at,
            Err(at) => {
                let is_gap = |at: &usize| list.get(*at).is_some_and(Subscriber::is_gap);
                let neighbours = [Some(at), at.checked_sub(1)].into_iter().flatten();
                let Some(gap) = neighbours.into_iter().find(is_gap) else {
                    if list.is_empty() {
                        // Most filters have one subscriber, so the first one reserves no room
                        // for more.
                        list.reserve_exact(1);
                    }
                    self.insert_new(at, subscriber);
                    return true;
                };
                gap
            }
        };
        let old = core::mem::replace(&mut list[at], subscriber);
        self.gaps -= u32::from(old.is_gap());
        place.is_err() || old.is_gap()
    }

    /// Adds a subscription where there is no gap.
    fn insert_new(&mut self, at: usize, subscriber: Subscriber) {
        let list = &mut self.list;
        let number = subscriber.session.number();
        let before = at
            .checked_sub(1)
            .map(|before| list[before].session.number() + 1);
        let room = (number - before.unwrap_or(0)).min(Self::OPENED);
        // Keep gaps at a quarter of the list at most, so that many more entries can go before
        // the gaps are closed.
        let may_open = 4 * (self.gaps + room) as usize <= list.len();
        if list.len() - at <= Self::MOVED || room == 0 || !may_open {
            list.insert(at, subscriber);
            return;
        }
        let gaps = (number - room..number).map(|number| Subscriber {
            session: SessionId::from_number(number),
            entry: Entry::Gap,
            ..subscriber
        });
        list.splice(at..at, gaps.chain([subscriber]));
        self.gaps += room;
    }

    /// Removes the session's subscription.
    pub(crate) fn remove(&mut self, session: SessionId) {
        let Ok(at) = self.position(session) else {
            return;
        };
        if self.list.len() - at <= Self::MOVED {
            let gone = self.list.remove(at);
            self.gaps -= u32::from(gone.is_gap());
        } else {
            let gone = core::mem::replace(&mut self.list[at].entry, Entry::Gap);
            self.gaps += u32::from(gone != Entry::Gap);
        }
        if 2 * self.gaps as usize >= self.list.len() {
            self.list.retain(|it| !it.is_gap());
            self.gaps = 0;
        }
        if self.list.is_empty() {
            self.list.shrink_to_fit();
        } else {
            shrink::shrink_list(&mut self.list);
        }
    }

    /// The capacity of the list.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.list.capacity()
    }

    fn position(&self, session: SessionId) -> Result<usize, usize> {
        self.list.binary_search_by_key(&session, |it| it.session)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mqtt::{QoS, Subscription, TopicFilter};
    use proptest::prelude::*;

    use super::*;

    fn subscriber(session: u32, qos: QoS) -> Subscriber {
        let filter = TopicFilter::try_from("x").unwrap();
        Subscriber::new(
            SessionId::from_number(session),
            &Subscription::new(filter, qos),
            None,
        )
    }

    fn all(subscriber_list: &SubscriberList) -> Vec<Subscriber> {
        let mut found = Vec::new();
        subscriber_list.copy_to(&mut found);
        found
    }

    #[test]
    fn removing_all_in_order_closes_the_gaps_a_few_times() {
        const SESSIONS: u32 = 100_000;
        let mut subscriber_list = SubscriberList::default();
        for session in 0..SESSIONS {
            assert!(subscriber_list.insert(subscriber(session, QoS::AtMostOnce)));
        }
        let mut closed_up = 0;
        let mut len = subscriber_list.list.len();
        for session in 0..SESSIONS - 300 {
            subscriber_list.remove(SessionId::from_number(session));
            closed_up += u32::from(subscriber_list.list.len() < len);
            len = subscriber_list.list.len();
        }
        assert!(closed_up < 12, "{closed_up}");
        assert_eq!(all(&subscriber_list).len(), 300);
        assert!(
            subscriber_list.capacity() < 2_000,
            "{}",
            subscriber_list.capacity()
        );
        for session in SESSIONS - 300..SESSIONS {
            subscriber_list.remove(SessionId::from_number(session));
        }
        assert_eq!(
            (subscriber_list.is_empty(), subscriber_list.capacity()),
            (true, 0)
        );
    }

    /// Session numbers are used again, the last one given back first.
    #[test]
    fn returning_in_reverse_order_moves_few_entries() {
        const SESSIONS: u32 = 100_000;
        let mut subscriber_list = SubscriberList::default();
        for session in 0..2 * SESSIONS {
            subscriber_list.insert(subscriber(session, QoS::AtMostOnce));
        }
        for session in 0..SESSIONS {
            subscriber_list.remove(SessionId::from_number(session));
        }
        assert_eq!(subscriber_list.gaps, 0);
        let mut moved = 0;
        for session in (0..SESSIONS).rev() {
            let len = subscriber_list.list.len();
            assert!(subscriber_list.insert(subscriber(session, QoS::AtMostOnce)));
            moved += u32::from(subscriber_list.list.len() > len);
        }
        assert!(moved <= SESSIONS / 256 + 1, "{moved}");
        assert_eq!(subscriber_list.gaps, 0);
        let found = all(&subscriber_list);
        assert_eq!(found.len(), 2 * SESSIONS as usize);
        assert!(found.is_sorted_by_key(|it| it.session));
    }

    #[test]
    fn a_returning_session_takes_its_gap() {
        let mut subscriber_list = SubscriberList::default();
        for session in 0..1_000 {
            subscriber_list.insert(subscriber(2 * session, QoS::AtMostOnce));
        }
        for session in [100, 200, 300] {
            subscriber_list.remove(SessionId::from_number(session));
            assert_eq!(subscriber_list.find(SessionId::from_number(session)), None);
        }
        assert_eq!(
            (subscriber_list.gaps, all(&subscriber_list).len()),
            (3, 997)
        );
        for session in [100, 199, 301] {
            assert!(subscriber_list.insert(subscriber(session, QoS::AtLeastOnce)));
        }
        assert_eq!(
            (subscriber_list.gaps, subscriber_list.list.len()),
            (0, 1_000)
        );
        assert!(subscriber_list.list.is_sorted_by_key(|it| it.session));
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_map(
            // Session numbers close together, often far from the end of the list.
            changes in prop::collection::vec((0_u32..64, any::<bool>(), any::<bool>()), 0..400),
        ) {
            let mut subscriber_list = SubscriberList::default();
            let mut model = BTreeMap::new();
            let others = (100..100 + 2 * u32::try_from(SubscriberList::MOVED).unwrap()).rev();
            let others = others.map(|session| (session, true, true));
            for (session, is_there, is_sure) in others.chain(changes) {
                let qos = if is_sure { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let it = subscriber(session, qos);
                if is_there {
                    let is_new = model.insert(session, it).is_none();
                    prop_assert_eq!(subscriber_list.insert(it), is_new);
                } else {
                    model.remove(&session);
                    subscriber_list.remove(SessionId::from_number(session));
                }
                prop_assert_eq!(subscriber_list.find(it.session), model.get(&session));
            }
            let expected: Vec<_> = model.into_values().collect();
            prop_assert_eq!(all(&subscriber_list), expected);
        }
    }
}
