//! `--watch`: the newest value of each topic, how old it is, and how often it comes. Pure: the caller
//! gives the time and the size of the screen.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use tokio::time::Instant;

/// How many topics are kept. More are only counted.
const TOPICS: usize = 100_000;
/// How much of a value is kept, in characters.
const VALUE: usize = 200;
/// The rate is an average over about this time.
const MEMORY: Duration = Duration::from_secs(10);

/// The topics, in their order.
#[derive(Debug)]
pub(super) struct Table {
    rows: BTreeMap<String, Row>,
    began: Instant,
    messages: u64,
    rate: Rate,
    /// Messages of topics that found no room.
    left_out: u64,
}

#[derive(Debug)]
struct Row {
    value: String,
    at: Instant,
    rate: Rate,
}

/// Messages a second, of which older ones count less and less.
#[derive(Clone, Copy, Debug)]
struct Rate {
    value: f64,
    at: Instant,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self {
            value: 0.0,
            at: now,
        }
    }

    fn count(&mut self, now: Instant) {
        self.value = self.now(now) + 1.0 / MEMORY.as_secs_f64();
        self.at = now;
    }

    fn now(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at);
        self.value * (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

impl Table {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rows: BTreeMap::new(),
            began: now,
            messages: 0,
            rate: Rate::new(now),
            left_out: 0,
        }
    }

    /// Notes a message.
    pub(super) fn note(&mut self, now: Instant, topic: &str, payload: &[u8]) {
        self.messages += 1;
        self.rate.count(now);
        let has_room = self.rows.len() < TOPICS;
        if let Some(row) = self.rows.get_mut(topic) {
            row.rate.count(now);
            row.at = now;
            row.value = value(payload);
        } else if has_room {
            let mut rate = Rate::new(now);
            rate.count(now);
            let row = Row {
                value: value(payload),
                at: now,
                rate,
            };
            self.rows.insert(topic.to_owned(), row);
        } else {
            self.left_out += 1;
        }
    }

    /// The lines for a screen of this size: at most `height`, each at most `width` characters.
    pub(super) fn lines(&self, now: Instant, width: usize, height: usize) -> Vec<String> {
        // A heading and a last line are always there.
        let shown = self.rows.len().min(height.saturating_sub(2));
        let longest = self.rows.keys().take(shown).map(|it| it.chars().count());
        let topic_width = longest.max().unwrap_or(0).clamp(5, (width / 2).max(5));
        let value_width = width.saturating_sub(topic_width + 20);
        let mut lines = Vec::with_capacity(shown + 2);
        let mut add = |topic: &str, age: &str, rate: &str, value: &str| {
            let topic = cut(&plain(topic), topic_width);
            let value = cut(value, value_width);
            let mut line = String::new();
            let _ = write!(line, "{topic:topic_width$}  {age:>6}  {rate:>8}  {value}");
            lines.push(cut(line.trim_end(), width));
        };
        add("topic", "age", "rate", "value");
        for (topic, row) in self.rows.iter().take(shown) {
            let age = age(now.saturating_duration_since(row.at));
            // Before the average has enough behind it, it would only grow.
            let rate = rate(row.rate.now(now) / self.settled(now));
            add(topic, &age, &rate, &row.value);
        }
        lines.push(cut(&self.last_line(now, shown), width));
        lines
    }

    fn last_line(&self, now: Instant, shown: usize) -> String {
        let (topics, messages) = (self.rows.len(), self.messages);
        let rate = rate(self.rate.now(now) / self.settled(now));
        let mut line = match (topics, shown == topics) {
            (0, _) => "no message yet".to_owned(),
            (_, true) => format!("{topics} topics"),
            (_, false) => format!("{shown} of {topics} topics; a narrower -t shows others"),
        };
        let _ = write!(line, ", {messages} messages, {rate}; Ctrl-C ends");
        if self.left_out > 0 {
            let _ = write!(line, "; {} of more topics than fit here", self.left_out);
        }
        line
    }

    /// How much of its final value an average has reached.
    fn settled(&self, now: Instant) -> f64 {
        let age = now
            .saturating_duration_since(self.began)
            .max(Duration::from_secs(1));
        1.0 - (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

/// A payload as one line of plain text.
fn value(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok("") => "(empty)".to_owned(),
        Ok(text) => plain(&text.chars().take(VALUE).collect::<String>()),
        Err(_) => {
            let hex = payload
                .iter()
                .take(VALUE / 2)
                .map(|byte| format!("{byte:02x}"));
            format!("0x{}", hex.collect::<String>())
        }
    }
}

/// Without what could move the cursor.
fn plain(text: &str) -> String {
    text.chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..10 => format!("{seconds}.{}s", age.subsec_millis() / 100),
        seconds @ 10..100 => format!("{seconds}s"),
        seconds @ 100..6_000 => format!("{}min", seconds / 60),
        seconds => format!("{}h", seconds / 3_600),
    }
}

fn rate(rate: f64) -> String {
    if rate >= 9.95 {
        format!("{rate:.0}/s")
    } else if rate >= 0.095 {
        format!("{rate:.1}/s")
    } else {
        format!("{:.1}/min", rate * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_show_the_newest_value_its_age_and_its_rate() {
        let began = Instant::now();
        let mut table = Table::new(began);
        let at = |millis| began + Duration::from_millis(millis);
        for second in 0..=60 {
            table.note(at(second * 1_000), "pump/1", format!("{second}").as_bytes());
        }
        for tenth in 0..=600 {
            table.note(at(tenth * 100), "pump/2", b"x\x1b[2J");
        }
        let lines = table.lines(at(61_500), 60, 10);
        let fields: Vec<Vec<&str>> = lines
            .iter()
            .map(|it| it.split_whitespace().collect())
            .collect();
        assert_eq!(fields[0], ["topic", "age", "rate", "value"]);
        assert_eq!(fields[1], ["pump/1", "1.5s", "0.9/s", "60"]);
        // No control character comes through.
        assert_eq!(fields[2], ["pump/2", "1.5s", "8.6/s", "x", "[2J"]);
        assert!(
            lines[3].starts_with("2 topics, 662 messages"),
            "{}",
            lines[3]
        );
    }

    #[test]
    fn a_small_screen_shows_what_fits() {
        let began = Instant::now();
        let mut table = Table::new(began);
        for topic in 0..10_000 {
            table.note(
                began,
                &format!("device/{topic:05}/with a long name"),
                &[b'v'; 500],
            );
        }
        for (width, height) in [(80, 24), (20, 3), (1, 1), (0, 0)] {
            let lines = table.lines(began, width, height);
            assert!(lines.len() <= height.max(2), "{width} {height}");
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{lines:?}"
            );
        }
        let last = table.lines(began, 80, 24).pop().unwrap();
        assert!(last.starts_with("22 of 10000 topics"), "{last}");
    }

    #[test]
    fn memory_is_bounded() {
        let began = Instant::now();
        let mut table = Table::new(began);
        for topic in 0..TOPICS + 5 {
            table.note(began, &topic.to_string(), b"");
        }
        assert_eq!((table.rows.len(), table.left_out), (TOPICS, 5));
    }
}
