//! Which devices the list shows, and in which order.

use std::sync::Arc;

pub use fleet::Sort;
use fleet::{DeviceKey, Fleet, Limit, PresenceKind, Search, SortPlace};

use super::core::ListChanges;
use super::sort;

/// What the user asks the list for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Words that the device must all have: see [`Search`].
    pub text: String,
    /// Only devices of this presence.
    pub presence: Option<PresenceKind>,
    /// In which order.
    pub sort: Sort,
    /// The hidden devices, instead of all others.
    pub hidden: bool,
}

impl Query {
    /// Whether it asks for some of the devices only.
    pub fn narrows(&self) -> bool {
        self.presence.is_some() || self.searches()
    }

    /// Whether these changes can change which devices the list has, or their order. To make a list of
    /// thousands of devices takes milliseconds, and most changes make no other one.
    pub fn depends_on(&self, changes: ListChanges) -> bool {
        let by_presence = match self.sort {
            Sort::Name => self.narrows(),
            Sort::Trouble | Sort::Latest => true,
        };
        changes.devices || (changes.presence && by_presence) || (changes.values && self.searches())
    }

    fn searches(&self) -> bool {
        !self.text.trim().is_empty()
    }
}

/// The list as it was made last, with what the page says about it. The page must not take that from
/// the query or the fleet, which may be newer than the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The devices, in the order asked for.
    pub keys: Arc<Vec<DeviceKey>>,
    /// How many devices were known, without the hidden ones, or these alone.
    pub of: usize,
    /// Whether it was asked for some of them only.
    pub narrowed: bool,
    /// How many devices are hidden.
    pub hidden: usize,
    /// Whether it has the hidden devices.
    pub shows_hidden: bool,
    /// The fleet's limits that dropped something, and how often.
    pub limits: Vec<(Limit, u64)>,
}

/// What the page shows in the place of the devices.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The list was made before there was a device.
    Waiting,
    /// There are devices, but none matches the query.
    NoneFits,
    /// There are some to show.
    Some,
}

impl Listing {
    /// The least time between two lists, in milliseconds: nobody can read a list that changes its
    /// order faster.
    const PAUSE_MS: f64 = 250.0;

    /// The list that `query` asks for.
    pub fn new(fleet: &Fleet, query: &Query) -> Self {
        let hidden = hidden(fleet);
        Self {
            keys: Arc::new(select(fleet, query)),
            of: if query.hidden {
                hidden
            } else {
                fleet.len() - hidden
            },
            narrowed: query.narrows(),
            hidden,
            shows_hidden: query.hidden,
            limits: fleet.limits().hit().collect(),
        }
    }

    /// This list, with what the limits have dropped until now.
    #[must_use]
    pub fn with_limits(&self, fleet: &Fleet) -> Self {
        Self {
            limits: fleet.limits().hit().collect(),
            ..self.clone()
        }
    }

    /// What the page shows.
    pub fn outcome(&self) -> Outcome {
        match (self.keys.is_empty(), self.of) {
            (true, 0) => Outcome::Waiting,
            (true, _) => Outcome::NoneFits,
            (false, _) => Outcome::Some,
        }
    }

    /// Whether a new list may replace this one, which was made `age` milliseconds ago. A list without
    /// devices may be replaced at once.
    pub fn may_be_replaced(&self, age: f64) -> bool {
        self.outcome() == Outcome::Waiting || age >= Self::PAUSE_MS
    }
}

/// How many devices somebody has hidden.
fn hidden(fleet: &Fleet) -> usize {
    fleet.len() - fleet.counts().total()
}

/// The devices that `query` asks for, in its order.
pub fn select(fleet: &Fleet, query: &Query) -> Vec<DeviceKey> {
    let search = Search::new(&query.text);
    let found: Vec<(DeviceKey, &fleet::Device)> = fleet
        .devices()
        .filter(|(_, device)| {
            let kind = device.presence().kind();
            device.is_hidden() == query.hidden
                && query.presence.is_none_or(|asked| asked == kind)
                && search.finds(device)
        })
        .collect();
    let order = sort::order(found.len(), &mut |a, b| {
        let (a, b) = (SortPlace::of(found[a].1), SortPlace::of(found[b].1));
        query.sort.compare(&a, &b)
    });
    order.into_iter().map(|index| found[index].0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{FleetOptions, Message, Timestamp};

    fn fleet() -> Fleet {
        let mut fleet = Fleet::new(FleetOptions::default());
        for (at, id, said) in [
            (1, "pump-10", "SIGN_IN"),
            (2, "pump-2", "SIGN_OUT"),
            (3, "Freezer", "SIGN_IN"),
        ] {
            let topic = format!("beaconry/register/{id}");
            let message = Message::new(&topic, said.as_bytes());
            fleet.handle_message(Timestamp(at), message);
        }
        let data = Message::new("beaconry/data/Freezer", b"{\"temp\":-18}");
        fleet.handle_message(Timestamp(4), data);
        fleet
    }

    fn ids(query: &Query) -> Vec<String> {
        let fleet = fleet();
        let id = |key| fleet.device(key).unwrap().id().to_owned();
        select(&fleet, query).into_iter().map(id).collect()
    }

    #[test]
    fn names_are_in_natural_order() {
        assert_eq!(ids(&Query::default()), ["Freezer", "pump-2", "pump-10"]);
    }

    #[test]
    fn words_are_looked_for_in_ids_and_metrics() {
        let text = |text: &str| {
            ids(&Query {
                text: text.to_owned(),
                ..Query::default()
            })
        };
        assert_eq!(text("PUMP"), ["pump-2", "pump-10"]);
        assert_eq!(text("beaconry 10"), ["pump-10"]);
        assert_eq!(text("TEMP"), ["Freezer"]);
        assert!(text("pump temp").is_empty());
    }

    #[test]
    fn a_list_without_devices_says_nothing_and_keeps_nobody_waiting() {
        let first = Listing::new(&Fleet::new(FleetOptions::default()), &Query::default());
        assert_eq!(first.outcome(), Outcome::Waiting);
        assert_eq!(Listing::default().outcome(), Outcome::Waiting);
        assert!(first.may_be_replaced(0.0));

        let all = Listing::new(&fleet(), &Query::default());
        assert_eq!((all.outcome(), all.of), (Outcome::Some, 3));
        assert!(!all.may_be_replaced(249.0) && all.may_be_replaced(250.0));
    }

    #[test]
    fn none_fits_only_what_is_asked_for() {
        let asked = |text: &str, presence| {
            let query = Query {
                text: text.to_owned(),
                presence,
                ..Query::default()
            };
            let listing = Listing::new(&fleet(), &query);
            (listing.outcome(), listing.narrowed)
        };
        assert_eq!(asked("nothing", None), (Outcome::NoneFits, true));
        let stale = Some(PresenceKind::Stale);
        assert_eq!(asked("", stale), (Outcome::NoneFits, true));
        assert_eq!(asked("pump", None), (Outcome::Some, true));
        assert_eq!(asked(" ", None), (Outcome::Some, false));
    }

    #[test]
    fn a_list_is_made_again_only_if_it_can_be_another_one() {
        let changes = |devices, presence, values| ListChanges {
            devices,
            presence,
            values,
            limits: true,
        };
        let by = |sort, text: &str, presence| Query {
            text: text.to_owned(),
            presence,
            sort,
            hidden: false,
        };
        let plain = by(Sort::Name, " ", None);
        assert!(!plain.depends_on(changes(false, true, true)));
        assert!(plain.depends_on(changes(true, false, false)));
        let offline = by(Sort::Name, "", Some(PresenceKind::Offline));
        assert!(offline.depends_on(changes(false, true, false)));
        assert!(!offline.depends_on(changes(false, false, true)));
        let searched = by(Sort::Name, "temp", None);
        assert!(searched.depends_on(changes(false, true, false)));
        assert!(searched.depends_on(changes(false, false, true)));
        for sort in [Sort::Trouble, Sort::Latest] {
            assert!(by(sort, "", None).depends_on(changes(false, true, false)));
            assert!(!by(sort, "", None).depends_on(changes(false, false, true)));
        }
    }

    #[test]
    fn hidden_devices_have_a_list_of_their_own() {
        let mut fleet = fleet();
        let freezer = fleet.find("Freezer").unwrap();
        fleet.hide(freezer, true);
        let list = |hidden| {
            let query = Query {
                hidden,
                ..Query::default()
            };
            let listing = Listing::new(&fleet, &query);
            (
                listing.keys.len(),
                listing.of,
                listing.keys.contains(&freezer),
            )
        };
        assert_eq!(list(false), (2, 2, false));
        assert_eq!(list(true), (1, 1, true));
    }

    #[test]
    fn presence_filters_and_sorts() {
        let offline = Query {
            presence: Some(PresenceKind::Offline),
            ..Query::default()
        };
        assert_eq!(ids(&offline), ["pump-2"]);
        let trouble = Query {
            sort: Sort::Trouble,
            ..Query::default()
        };
        assert_eq!(ids(&trouble), ["pump-2", "Freezer", "pump-10"]);
        let latest = Query {
            sort: Sort::Latest,
            ..Query::default()
        };
        assert_eq!(ids(&latest), ["Freezer", "pump-2", "pump-10"]);
    }
}
