//! The names of files: a day, what is in it, and a number.

use series::{Level, Millis};

/// Milliseconds of a day.
pub(crate) const DAY: Millis = 86_400_000;

/// What the blocks of a file are.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Rows as they came.
    Raw,
    /// Rows that are few and kept as long as rollups: presences, commands, faults, descriptions.
    Events,
    /// Rollups of a minute.
    Minutes,
    /// Rollups of an hour and of a day.
    Hours,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Raw, Self::Events, Self::Minutes, Self::Hours];

    /// The word in the file's name.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Events => "events",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Minutes => 1,
            Self::Hours => 2,
            Self::Events => 3,
        }
    }

    /// Where rollups of this level are.
    pub(crate) const fn of_level(level: Level) -> Self {
        match level {
            Level::Minute => Self::Minutes,
            Level::Hour | Level::Day => Self::Hours,
        }
    }
}

/// The name of a file: what is in it, its day (counted from 1970), and a number that no other file has.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The day, counted from 1970, in UTC.
    pub day: i32,
    /// What is in it.
    pub kind: Kind,
    /// Its number. Later files have larger ones.
    pub number: u64,
    /// It has everything of all files of the day and kind that have smaller numbers.
    pub is_merged: bool,
}

impl Name {
    pub(crate) fn to_text(self) -> String {
        let (year, month, day) = date_of(self.day);
        let kind = self.kind.word();
        let merged = if self.is_merged { "m" } else { "" };
        format!(
            "{year:04}{month:02}{day:02}-{kind}-{:010}{merged}.seg",
            self.number
        )
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(".seg")?.split('-');
        let (date, kind, number) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || date.len() < 8 || !date.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = date.split_at(date.len() - 4);
        let (month, day) = rest.split_at(2);
        let day = day_of(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
        let kind = Kind::ALL.into_iter().find(|it| it.word() == kind)?;
        let digits = number.strip_suffix('m');
        Some(Self {
            day,
            kind,
            number: digits.unwrap_or(number).parse().ok()?,
            is_merged: digits.is_some(),
        })
    }
}

/// The day of a time.
pub(crate) fn day_of_time(time: Millis) -> i32 {
    i32::try_from(time.div_euclid(DAY)).unwrap_or(if time < 0 { i32::MIN } else { i32::MAX })
}

/// When a day begins.
pub(crate) fn start_of(day: i32) -> Millis {
    Millis::from(day) * DAY
}

/// Year, month and day of the month of a day that is counted from 1970 (Howard Hinnant's `civil_from_days`).
fn date_of(day: i32) -> (i64, u32, u32) {
    let z = i64::from(day) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = u32::try_from(doy - (153 * mp + 2) / 5 + 1).unwrap_or(1);
    let month = u32::try_from(if mp < 10 { mp + 3 } else { mp - 9 }).unwrap_or(1);
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The reverse of [`date_of`]. `None`: there is no such date.
fn day_of(year: i64, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let found = i32::try_from(era * 146_097 + doe - 719_468).ok()?;
    (date_of(found) == (year, month, day)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written() {
        for day in [-1, 0, 59, 60, 20_788, 11_016, 47_540, -719_468] {
            for kind in Kind::ALL {
                for is_merged in [false, true] {
                    let name = Name {
                        day,
                        kind,
                        number: 17,
                        is_merged,
                    };
                    assert_eq!(
                        Name::parse(&name.to_text()),
                        Some(name),
                        "{}",
                        name.to_text()
                    );
                }
            }
        }
        let name = Name {
            day: 20_788,
            kind: Kind::Raw,
            number: 3,
            is_merged: true,
        };
        assert_eq!(name.to_text(), "20261201-raw-0000000003m.seg");
        for text in [
            "20261301-raw-0000000001.seg",
            "20260230-raw-0000000001.seg",
            "20261201-song-0000000001.seg",
            "20261201-raw-x.seg",
            "20261201-raw-1.new",
            "x",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}
