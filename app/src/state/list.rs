//! Which devices the list shows, and in which order.

use std::cmp::Ordering;
use std::sync::Arc;

use fleet::{DeviceKey, Fleet, Limit, PresenceKind};

/// What the user asks the list for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Words that must all be in the device's full id or in a metric's name, in any case.
    pub text: String,
    /// Only devices of this presence.
    pub presence: Option<PresenceKind>,
    /// In which order.
    pub sort: Sort,
}

impl Query {
    /// Whether it asks for some of the devices only.
    pub fn narrows(&self) -> bool {
        self.presence.is_some() || !self.text.trim().is_empty()
    }
}

/// The list as it was made last, with what the page says about it. The page must not take that from
/// the query or the fleet, which may be newer than the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The devices, in the order asked for.
    pub keys: Arc<Vec<DeviceKey>>,
    /// How many devices were known.
    pub of: usize,
    /// Whether it was asked for some of them only.
    pub narrowed: bool,
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
        Self {
            keys: Arc::new(select(fleet, query)),
            of: fleet.len(),
            narrowed: query.narrows(),
            limits: fleet.limits().hit().collect(),
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

/// The order of the list.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By id, numbers in it by their size: `pump-2` before `pump-10`.
    #[default]
    Name,
    /// Those with trouble first: stale, offline, unknown, sleeping, online.
    Trouble,
    /// The device that changed its presence last comes first.
    Latest,
}

/// The devices that `query` asks for, in its order. Equal ones are in the order of
/// [`Fleet::devices`].
pub fn select(fleet: &Fleet, query: &Query) -> Vec<DeviceKey> {
    let words: Vec<String> = query
        .text
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    let mut found: Vec<(DeviceKey, &fleet::Device)> = fleet
        .devices()
        .filter(|(_, device)| {
            let kind = device.presence().kind();
            query.presence.is_none_or(|asked| asked == kind)
        })
        .filter(|(_, device)| matches(device, &words))
        .collect();
    let by_name = |a: &fleet::Device, b: &fleet::Device| {
        natural(a.id(), b.id()).then_with(|| natural(a.prefix(), b.prefix()))
    };
    found.sort_by(|(_, a), (_, b)| match query.sort {
        Sort::Name => by_name(a, b),
        Sort::Trouble => urgency(a.presence().kind())
            .cmp(&urgency(b.presence().kind()))
            .then_with(|| by_name(a, b)),
        Sort::Latest => {
            let (a_since, b_since) = (a.presence().since(), b.presence().since());
            b_since.cmp(&a_since).then_with(|| by_name(a, b))
        }
    });
    found.into_iter().map(|(key, _)| key).collect()
}

fn matches(device: &fleet::Device, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let id = device.full_id().to_lowercase();
    words.iter().all(|word| {
        id.contains(word.as_str())
            || device
                .metrics()
                .iter()
                .any(|metric| metric.name().to_lowercase().contains(word.as_str()))
    })
}

const fn urgency(kind: PresenceKind) -> u8 {
    match kind {
        PresenceKind::Stale => 0,
        PresenceKind::Offline => 1,
        PresenceKind::Unknown => 2,
        PresenceKind::Sleeping => 3,
        PresenceKind::Online => 4,
    }
}

/// Compares letters without regard to case, and digits by the number that they make.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (digits_left, digits_right) = (leading_digits(left), leading_digits(right));
        if digits_left > 0 && digits_right > 0 {
            let (x, rest_left) = left.split_at(digits_left);
            let (y, rest_right) = right.split_at(digits_right);
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            (left, right) = (rest_left, rest_right);
            continue;
        }
        let (mut chars_left, mut chars_right) = (left.chars(), right.chars());
        match (chars_left.next(), chars_right.next()) {
            // The texts differ only in case or leading zeros. Any order will do if it is always the
            // same.
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let order = x.to_lowercase().cmp(y.to_lowercase());
                if order.is_ne() {
                    return order;
                }
            }
        }
        (left, right) = (chars_left.as_str(), chars_right.as_str());
    }
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
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
        for (a, b) in [
            ("a", "b"),
            ("A", "b"),
            ("a", "B"),
            ("x2", "x10"),
            ("x02", "x10"),
            ("", "a"),
            ("x9", "x٣"),
        ] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{b} {a}");
        }
        assert_eq!(natural("x01", "x01"), Ordering::Equal);
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
