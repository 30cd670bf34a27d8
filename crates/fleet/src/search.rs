//! Which devices a list shows, and in which order. The page and the server's API have the same rules.

use crate::device::Device;
use crate::metric::{Metric, Value};
use crate::presence::PresenceKind;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Write as _;

/// The order of a list of devices.
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

impl Sort {
    /// All of them, in declaration order.
    pub const ALL: [Self; 3] = [Self::Name, Self::Trouble, Self::Latest];

    /// A lower-case word: `name`, `trouble`, `latest`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Trouble => "trouble",
            Self::Latest => "latest",
        }
    }

    /// Which place comes first. Only places of the same device are equal.
    pub fn compare(self, a: &SortPlace<'_>, b: &SortPlace<'_>) -> Ordering {
        let first = match self {
            Self::Name => Ordering::Equal,
            Self::Trouble => urgency(a.presence).cmp(&urgency(b.presence)),
            Self::Latest => b.since.cmp(&a.since),
        };
        first
            .then_with(|| natural(a.id, b.id))
            .then_with(|| natural(a.prefix, b.prefix))
    }
}

/// What decides where a device stands in a list.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SortPlace<'a> {
    /// Its presence.
    pub presence: PresenceKind,
    /// Since when it has this presence.
    pub since: Timestamp,
    /// Its id, without the prefix.
    pub id: &'a str,
    /// Its prefix.
    pub prefix: &'a str,
}

impl<'a> SortPlace<'a> {
    /// Where this device stands now.
    pub fn of(device: &'a Device) -> Self {
        Self {
            presence: device.presence().kind(),
            since: device.presence().since(),
            id: device.id(),
            prefix: device.prefix(),
        }
    }
}

/// Words that must all be found at a device, in any case: in its full id, in a metric's name or
/// value, or as the beginning of its presence's word (`offline`), or of `faults` if it has some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// In lower case.
    words: Vec<String>,
}

impl Search {
    /// Searches for the words of this text.
    pub fn new(text: &str) -> Self {
        let words = text.split_whitespace().map(str::to_lowercase).collect();
        Self { words }
    }

    /// Whether it finds every device.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether this device has all of the words.
    pub fn finds(&self, device: &Device) -> bool {
        if self.is_empty() {
            return true;
        }
        let id = device.full_id();
        self.words.iter().all(|word| {
            contains(&id, word)
                || begins(device.presence().kind().word(), word)
                || (!device.faults().is_empty() && begins("faults", word))
                || device.metrics().iter().any(|metric| has(metric, word))
        })
    }
}

/// Whether `typed` is the beginning of a word that says how a device is. One or two letters are the
/// beginning of too many words.
fn begins(word: &str, typed: &str) -> bool {
    typed.len() >= 3 && word.starts_with(typed)
}

fn has(metric: &Metric, word: &str) -> bool {
    contains(metric.name(), word) || (metric.has_value && is_value(&metric.value, word))
}

fn is_value(value: &Value, word: &str) -> bool {
    match value {
        Value::Text(text) => contains(text, word),
        Value::Bool(value) => word == if *value { "true" } else { "false" },
        Value::Number(value) => begins_with(*value, word),
    }
}

/// Whether the number, as it is written, begins with the word.
fn begins_with(value: f64, word: &str) -> bool {
    // Writing every number would take most of a search's time.
    if !word.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return false;
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{value}");
    text.starts_with(word)
}

/// Whether `text` contains `word`, which is in lower case, in any case.
fn contains(text: &str, word: &str) -> bool {
    if text.is_ascii() {
        let mut parts = text.as_bytes().windows(word.len().max(1));
        return parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    }
    text.to_lowercase().contains(word)
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
pub fn natural(a: &str, b: &str) -> Ordering {
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
                let order = compare_letters(x, y);
                if order.is_ne() {
                    return order;
                }
            }
        }
        (left, right) = (chars_left.as_str(), chars_right.as_str());
    }
}

fn compare_letters(x: char, y: char) -> Ordering {
    if x.is_ascii() && y.is_ascii() {
        return x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
    }
    x.to_lowercase().cmp(y.to_lowercase())
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fleet, FleetOptions, Message};
    use alloc::borrow::ToOwned as _;

    fn fleet() -> Fleet {
        let mut fleet = Fleet::new(FleetOptions::default());
        for (at, topic, payload) in [
            (1, "beaconry/register/pump-10", "SIGN_IN"),
            (2, "beaconry/register/pump-2", "SIGN_OUT"),
            (3, "beaconry/register/Freezer", "SIGN_IN"),
            (
                4,
                "beaconry/data/Freezer",
                r#"{"temp":-18.25,"door":"Open wide","ok":true}"#,
            ),
        ] {
            let message = Message::new(topic, payload.as_bytes());
            fleet.handle_message(Timestamp(at), message);
        }
        fleet
    }

    fn found(text: &str) -> Vec<String> {
        let (fleet, search) = (fleet(), Search::new(text));
        let devices = fleet.devices().map(|(_, device)| device);
        let found = devices.filter(|device| search.finds(device));
        found.map(|device| device.id().to_owned()).collect()
    }

    fn sorted(sort: Sort) -> Vec<String> {
        let fleet = fleet();
        let mut devices: Vec<_> = fleet.devices().map(|(_, device)| device).collect();
        devices.sort_by(|a, b| sort.compare(&SortPlace::of(a), &SortPlace::of(b)));
        devices.iter().map(|it| it.id().to_owned()).collect()
    }

    #[test]
    fn names_are_in_natural_order() {
        for (a, b) in [
            ("a", "b"),
            ("A", "b"),
            ("a", "B"),
            ("x2", "x10"),
            ("x02", "x10"),
            ("", "a"),
            ("x9", "x٣"),
            ("Ä", "äb"),
        ] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{b} {a}");
        }
        assert_eq!(natural("x01", "x01"), Ordering::Equal);
    }

    #[test]
    fn devices_are_sorted_as_asked() {
        assert_eq!(sorted(Sort::Name), ["Freezer", "pump-2", "pump-10"]);
        assert_eq!(sorted(Sort::Trouble), ["pump-2", "Freezer", "pump-10"]);
        assert_eq!(sorted(Sort::Latest), ["Freezer", "pump-2", "pump-10"]);
    }

    #[test]
    fn words_are_looked_for_in_ids_metrics_values_and_presences() {
        assert_eq!(found(""), ["pump-10", "pump-2", "Freezer"]);
        assert_eq!(found("PUMP"), ["pump-10", "pump-2"]);
        assert_eq!(found("beaconry 10"), ["pump-10"]);
        assert_eq!(found("TEMP"), ["Freezer"]);
        assert_eq!(found("open WIDE"), ["Freezer"]);
        assert_eq!(found("-18.2"), ["Freezer"]);
        assert_eq!(found("true"), ["Freezer"]);
        assert_eq!(found("offline"), ["pump-2"]);
        assert_eq!(found("Onl"), ["pump-10", "Freezer"]);
        assert!(found("pump temp").is_empty() && found("on 8.25").is_empty());
    }

    #[test]
    fn devices_with_faults_are_found() {
        assert_eq!(found("fault"), Vec::<String>::new());
        let mut fleet = fleet();
        let broken = Message::new("beaconry/data/pump-2", b"{nonsense");
        fleet.handle_message(Timestamp(5), broken);
        for word in ["fault", "Faults"] {
            let search = Search::new(word);
            let found = fleet.devices().filter(|(_, device)| search.finds(device));
            let found: Vec<_> = found.map(|(_, device)| device.id().to_owned()).collect();
            assert_eq!(found, ["pump-2"], "{word}");
        }
    }

    #[test]
    fn every_case_of_every_script_is_the_same() {
        assert!(contains("WÄRMEPUMPE", "wärme") && contains("НАСОС", "насос"));
        assert!(!contains("", "x") && !contains("ab", "abc"));
    }
}
