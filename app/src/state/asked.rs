//! What the reader asked for, in the page's address: search, filter, order and range. So a reload, a
//! bookmark or a colleague gets the same.
//!
//! | parameter | holds |
//! |---|---|
//! | `q` | the words to search for |
//! | `state` | the presence to show |
//! | `sort` | the order: `trouble`, `latest` |
//! | `hidden` | `true`: the hidden devices instead of all others |
//! | `range` | how much time the charts show: `1m`, `15m`, `7d`, `all` |
//!
//! What is as usual is left out, and `range` stands only in the address of a device. Other parameters
//! (`broker`, `topics`) stay as they are.
//!
//! What an address leaves out is as usual, so that everybody who follows a link sees the same. Only where
//! an address asks for nothing at all of the fleet, its order is the one that the reader prefers.

use fleet::PresenceKind;

use super::list::{Query, Sort};
use super::preferences::{ChartWindow, Choice as _};

/// What an address asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    text: String,
    presence: Option<PresenceKind>,
    sort: Option<Sort>,
    hidden: bool,
    window: Option<ChartWindow>,
}

/// The parameters' names.
const NAMES: [&str; 5] = ["q", "state", "sort", "hidden", "range"];

impl Asked {
    /// Reads the address's parameters.
    pub fn read(parameter: impl Fn(&str) -> Option<String>) -> Self {
        let [text, presence, sort, hidden, window] = NAMES.map(parameter);
        let kinds = PresenceKind::ALL.into_iter();
        Self {
            text: text.unwrap_or_default(),
            presence: presence.and_then(|word| kinds.clone().find(|kind| kind.word() == word)),
            sort: sort.and_then(|word| Sort::ALL.into_iter().find(|sort| sort.word() == word)),
            hidden: hidden.as_deref() == Some("true"),
            window: window.and_then(|word| {
                let mut all = ChartWindow::ALL.iter().copied();
                all.find(|window| short(*window) == word)
            }),
        }
    }

    /// The parameters for what is shown. `None`: the parameter is left out.
    ///
    /// `window`: what the charts show, on a page that has some.
    pub fn parameters(
        query: &Query,
        window: Option<ChartWindow>,
    ) -> [(&'static str, Option<String>); 5] {
        let window = window.filter(|window| *window != ChartWindow::default());
        let words = [
            Some(query.text.clone()).filter(|text| !text.trim().is_empty()),
            query.presence.map(|kind| kind.word().to_owned()),
            (query.sort != Sort::default()).then(|| query.sort.word().to_owned()),
            query.hidden.then(|| "true".to_owned()),
            window.map(|window| short(window).to_owned()),
        ];
        let mut words = words.into_iter();
        NAMES.map(|name| (name, words.next().flatten()))
    }

    /// Changes what is shown to what was asked for. Returns whether that changed anything.
    /// `has_charts`: the address is that of a page with charts.
    pub fn apply(self, query: &mut Query, window: &mut ChartWindow, has_charts: bool) -> bool {
        let asks = !self.text.is_empty() || self.presence.is_some() || self.hidden;
        let usual = if asks { Sort::default() } else { query.sort };
        let asked = Query {
            text: self.text,
            presence: self.presence,
            sort: self.sort.unwrap_or(usual),
            hidden: self.hidden,
        };
        let asked_window = if has_charts {
            self.window.unwrap_or_default()
        } else {
            *window
        };
        let changed = (&asked, asked_window) != (&*query, *window);
        (*query, *window) = (asked, asked_window);
        changed
    }
}

const fn short(window: ChartWindow) -> &'static str {
    match window {
        ChartWindow::Minute => "1m",
        ChartWindow::FiveMinutes => "5m",
        ChartWindow::QuarterHour => "15m",
        ChartWindow::Hour => "1h",
        ChartWindow::SixHours => "6h",
        ChartWindow::Day => "1d",
        ChartWindow::Week => "7d",
        ChartWindow::Month => "30d",
        ChartWindow::Year => "1y",
        ChartWindow::TenYears => "10y",
        ChartWindow::All => "all",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(query: &Query, window: ChartWindow) -> (Query, ChartWindow) {
        let parameters = Asked::parameters(query, Some(window));
        let asked = Asked::read(|name| {
            let found = parameters.iter().find(|(other, _)| *other == name);
            found.and_then(|(_, value)| value.clone())
        });
        // Whoever follows the link prefers something else.
        let mut shown = Query {
            sort: Sort::Trouble,
            ..Query::default()
        };
        let mut shown_window = ChartWindow::All;
        asked.apply(&mut shown, &mut shown_window, true);
        (shown, shown_window)
    }

    #[test]
    fn everything_that_can_be_asked_for_is_read_back() {
        for sort in Sort::ALL {
            for presence in PresenceKind::ALL.map(Some).into_iter().chain([None]) {
                for window in ChartWindow::ALL {
                    let query = Query {
                        text: "pump & 50% ä".to_owned(),
                        presence,
                        sort,
                        hidden: presence.is_none(),
                    };
                    assert_eq!(read_back(&query, *window), (query, *window));
                }
            }
        }
    }

    #[test]
    fn what_is_as_usual_is_left_out() {
        let parameters = Asked::parameters(&Query::default(), Some(ChartWindow::default()));
        assert!(parameters.iter().all(|(_, value)| value.is_none()));
    }

    #[test]
    fn the_fleet_s_address_has_no_range_and_changes_none() {
        let parameters = Asked::parameters(&Query::default(), None);
        assert!(parameters.iter().all(|(_, value)| value.is_none()));
        let (mut query, mut window) = (Query::default(), ChartWindow::All);
        Asked::default().apply(&mut query, &mut window, false);
        assert_eq!(window, ChartWindow::All);
    }

    #[test]
    fn an_address_that_asks_for_nothing_is_in_the_order_that_the_reader_prefers() {
        let (mut query, mut window) = (
            Query {
                text: "old".to_owned(),
                sort: Sort::Trouble,
                ..Query::default()
            },
            ChartWindow::All,
        );
        let nonsense = |name: &str| (name != "q").then(|| "nonsense".to_owned());
        assert!(Asked::read(nonsense).apply(&mut query, &mut window, false));
        assert_eq!((query.text.as_str(), query.sort), ("", Sort::Trouble));
        assert!(!Asked::default().apply(&mut query, &mut window, false));
    }
}
