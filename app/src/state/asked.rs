//! What the reader asked for, in the page's address: search, filter, order and range. So a reload, a
//! bookmark or a colleague gets the same.
//!
//! | parameter | holds |
//! |---|---|
//! | `q` | the words to search for |
//! | `state` | the presence to show |
//! | `sort` | the order: `trouble`, `latest` |
//! | `hidden` | `true`: the hidden devices instead of all others |
//! | `range` | how much time the charts show: `1m`, `15m`, `all` |
//!
//! What is as usual is left out. Other parameters (`broker`, `topics`) stay as they are.

use fleet::PresenceKind;

use super::list::{Query, Sort};
use super::preferences::{ChartWindow, Choice as _};

/// What an address asks for. What it leaves out is up to the reader's preferences.
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
    pub fn parameters(query: &Query, window: ChartWindow) -> [(&'static str, Option<String>); 5] {
        let words = [
            Some(query.text.clone()).filter(|text| !text.trim().is_empty()),
            query.presence.map(|kind| kind.word().to_owned()),
            (query.sort != Sort::default()).then(|| query.sort.word().to_owned()),
            query.hidden.then(|| "true".to_owned()),
            (window != ChartWindow::default()).then(|| short(window).to_owned()),
        ];
        let mut words = words.into_iter();
        NAMES.map(|name| (name, words.next().flatten()))
    }

    /// Changes what is shown to what was asked for. Returns whether that changed anything.
    pub fn apply(self, query: &mut Query, window: &mut ChartWindow) -> bool {
        let asked = Query {
            text: self.text,
            presence: self.presence,
            sort: self.sort.unwrap_or(query.sort),
            hidden: self.hidden,
        };
        let asked_window = self.window.unwrap_or(*window);
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
        ChartWindow::All => "all",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(query: &Query, window: ChartWindow) -> (Query, ChartWindow) {
        let parameters = Asked::parameters(query, window);
        let asked = Asked::read(|name| {
            let found = parameters.iter().find(|(other, _)| *other == name);
            found.and_then(|(_, value)| value.clone())
        });
        let (mut query, mut window) = (Query::default(), ChartWindow::default());
        asked.apply(&mut query, &mut window);
        (query, window)
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
        let parameters = Asked::parameters(&Query::default(), ChartWindow::default());
        assert!(parameters.iter().all(|(_, value)| value.is_none()));
    }

    #[test]
    fn what_an_address_leaves_out_stays_as_the_reader_prefers_it() {
        let (mut query, mut window) = (
            Query {
                text: "old".to_owned(),
                sort: Sort::Trouble,
                ..Query::default()
            },
            ChartWindow::All,
        );
        let nonsense = |name: &str| (name != "q").then(|| "nonsense".to_owned());
        assert!(Asked::read(nonsense).apply(&mut query, &mut window));
        assert_eq!((query.text.as_str(), query.sort), ("", Sort::Trouble));
        assert_eq!(window, ChartWindow::All);
        assert!(!Asked::default().apply(&mut query, &mut window));
    }
}
