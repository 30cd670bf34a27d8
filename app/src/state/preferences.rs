//! The reader's choices, remembered in the browser's local storage.
//!
//! They contain nothing that identifies anyone, and no password. In a browser that keeps nothing
//! (private windows, blocked storage) the defaults apply.

use web_sys::Storage;

use super::list::Sort;

/// One of a few options, each with a word of its own.
pub trait Choice: Copy + Default + PartialEq + Send + Sync + 'static {
    /// The name that it is kept under.
    const NAME: &'static str;
    /// All of them, in the order in which they are offered.
    const ALL: &'static [Self];

    /// The word, which is shown and kept.
    fn word(self) -> &'static str;

    /// The choice of this word.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

/// How the fleet is laid out.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Cards.
    #[default]
    Grid,
    /// Rows.
    List,
}

/// How much time a chart shows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum ChartWindow {
    /// The last minute.
    Minute,
    /// The last five minutes.
    #[default]
    FiveMinutes,
    /// The last quarter of an hour.
    QuarterHour,
    /// The last hour.
    Hour,
    /// The last six hours.
    SixHours,
    /// The last day.
    Day,
    /// The last week.
    Week,
    /// The last 30 days.
    Month,
    /// The last year.
    Year,
    /// The last ten years.
    TenYears,
    /// Everything that is kept.
    All,
}

impl ChartWindow {
    /// Its length in milliseconds; `None` for everything.
    pub const fn millis(self) -> Option<f64> {
        match self {
            Self::Minute => Some(60_000.0),
            Self::FiveMinutes => Some(300_000.0),
            Self::QuarterHour => Some(900_000.0),
            Self::Hour => Some(3_600_000.0),
            Self::SixHours => Some(21_600_000.0),
            Self::Day => Some(DAY),
            Self::Week => Some(7.0 * DAY),
            Self::Month => Some(30.0 * DAY),
            Self::Year => Some(365.0 * DAY),
            Self::TenYears => Some(3_653.0 * DAY),
            Self::All => None,
        }
    }

    /// Whether a page alone can show it: it holds what came since it was opened.
    pub const fn is_short(self) -> bool {
        matches!(
            self,
            Self::Minute | Self::FiveMinutes | Self::QuarterHour | Self::All
        )
    }

    /// Its length in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Minute => "The last minute",
            Self::FiveMinutes => "The last five minutes",
            Self::QuarterHour => "The last quarter of an hour",
            Self::Hour => "The last hour",
            Self::SixHours => "The last six hours",
            Self::Day => "The last day",
            Self::Week => "The last week",
            Self::Month => "The last 30 days",
            Self::Year => "The last year",
            Self::TenYears => "The last ten years",
            Self::All => "Since the page was opened",
        }
    }
}

/// Milliseconds of a day.
const DAY: f64 = 86_400_000.0;

impl Choice for Layout {
    const NAME: &'static str = "layout";
    const ALL: &'static [Self] = &[Self::Grid, Self::List];

    fn word(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::List => "list",
        }
    }
}

impl Choice for ChartWindow {
    const NAME: &'static str = "window";
    const ALL: &'static [Self] = &[
        Self::Minute,
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::Hour,
        Self::SixHours,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Year,
        Self::TenYears,
        Self::All,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Minute => "1 min",
            Self::FiveMinutes => "5 min",
            Self::QuarterHour => "15 min",
            Self::Hour => "1 h",
            Self::SixHours => "6 h",
            Self::Day => "1 d",
            Self::Week => "7 d",
            Self::Month => "30 d",
            Self::Year => "1 y",
            Self::TenYears => "10 y",
            Self::All => "all",
        }
    }
}

impl Choice for Sort {
    const NAME: &'static str = "sort";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        // The type's own method, which the address and the server's API use too.
        Self::word(self)
    }
}

/// What was chosen before, or the default.
pub fn load<T: Choice>() -> T {
    let word = storage().and_then(|storage| storage.get_item(&key::<T>()).ok().flatten());
    word.and_then(|word| T::from_word(&word))
        .unwrap_or_default()
}

/// Remembers a choice.
pub fn save<T: Choice>(choice: T) {
    if let Some(storage) = storage() {
        // If the storage is full or forbidden, the choice is not remembered.
        let _ = storage.set_item(&key::<T>(), choice.word());
    }
}

fn key<T: Choice>() -> String {
    format!("beaconry.{}", T::NAME)
}

fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_choice_is_found_by_its_word<T: Choice + std::fmt::Debug>() {
        for choice in T::ALL {
            assert_eq!(T::from_word(choice.word()), Some(*choice));
        }
        assert_eq!(T::from_word("something of an older version"), None);
    }

    #[test]
    fn an_order_has_one_word() {
        for sort in Sort::ALL {
            assert_eq!(Choice::word(sort), sort.word());
        }
    }

    #[test]
    fn words_and_choices() {
        every_choice_is_found_by_its_word::<Layout>();
        every_choice_is_found_by_its_word::<ChartWindow>();
        every_choice_is_found_by_its_word::<Sort>();
    }
}
