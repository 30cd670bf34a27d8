//! Times of day, by the reader's clock.

use fleet::Timestamp;
use js_sys::Date;

/// A moment as people write it: `20:52` if it is of today, else `1 Dec 20:52`.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    written(&Fields::of(at), &Fields::of(now))
}

/// `20:52:11`
pub fn time_of_day(at: Timestamp) -> String {
    let fields = Fields::of(at);
    format!("{}:{:02}", fields.hours_and_minutes(), fields.seconds)
}

/// The parts of a local time.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Fields {
    year: u32,
    /// 0: January.
    month: u32,
    day: u32,
    hours: u32,
    minutes: u32,
    seconds: u32,
}

impl Fields {
    fn of(at: Timestamp) -> Self {
        #[allow(clippy::cast_precision_loss)] // Exact for the next 285,000 years.
        let date = Date::new(&(at.0 as f64).into());
        Self {
            year: date.get_full_year(),
            month: date.get_month(),
            day: date.get_date(),
            hours: date.get_hours(),
            minutes: date.get_minutes(),
            seconds: date.get_seconds(),
        }
    }

    fn hours_and_minutes(&self) -> String {
        format!("{:02}:{:02}", self.hours, self.minutes)
    }
}

fn written(at: &Fields, now: &Fields) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let time = at.hours_and_minutes();
    if (at.year, at.month, at.day) == (now.year, now.month, now.day) {
        return time;
    }
    let month = MONTHS.get(at.month as usize).unwrap_or(&"");
    if at.year == now.year {
        format!("{} {month} {time}", at.day)
    } else {
        format!("{} {month} {} {time}", at.day, at.year)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_date_only_if_it_is_not_today() {
        let now = Fields {
            year: 2026,
            month: 11,
            day: 1,
            hours: 21,
            minutes: 5,
            seconds: 9,
        };
        let earlier = Fields {
            hours: 8,
            minutes: 2,
            ..now
        };
        let yesterday = Fields {
            month: 10,
            day: 30,
            ..now
        };
        let last_year = Fields { year: 2025, ..now };
        assert_eq!(written(&earlier, &now), "08:02");
        assert_eq!(written(&yesterday, &now), "30 Nov 21:05");
        assert_eq!(written(&last_year, &now), "1 Dec 2025 21:05");
    }
}
